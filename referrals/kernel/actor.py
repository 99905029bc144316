"""Who is asking: a plain value, detached from the session and the request."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import BindParameter, Select, Uuid, bindparam

from referrals.kernel.orm import uuid7


class Side(StrEnum):
    """Which side of a partnership an organization stands on."""

    AGENCY = "agency"
    COMMUNITY = "community"


class Role(StrEnum):
    """What somebody works as. What a role may do stands in `docs/who-may-do-what.md`, generated from the commands."""

    CASE_MANAGER = "case_manager"
    SUPERVISING_OFFICER = "supervising_officer"
    NAVIGATOR = "navigator"
    SUPERVISOR = "supervisor"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"
    OPERATOR = "operator"


class TokenScope(StrEnum):
    """What an API token may be used for: a closed list (S-808). It narrows the token's role, and never widens it.

    Writing includes reading the same things. There is none for what a person does in their own name: giving consent,
    acknowledging a rule, administering accounts, reading the log.
    """

    ORGANIZATIONS_READ = "organizations:read"
    PROGRAMS_READ = "programs:read"
    PROGRAMS_WRITE = "programs:write"
    PARTNERSHIPS_READ = "partnerships:read"
    PARTICIPANTS_READ = "participants:read"
    PARTICIPANTS_WRITE = "participants:write"
    RELEASES_READ = "releases:read"
    RELEASES_WRITE = "releases:write"
    CONSENTS_READ = "consents:read"
    REFERRALS_READ = "referrals:read"
    REFERRALS_WRITE = "referrals:write"

    def is_covered_by(self, held: Collection[str]) -> bool:
        """Whether a token with these scopes may do what asks for this one."""
        family, _, kind = self.partition(":")
        return self.value in held or (kind == "read" and f"{family}:write" in held)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an act came from.

    `channel` is page, api, kiosk, cli or job; `net` a keyed pseudonym of the network address (never the address
    itself); `request` joins the events of one request.
    """

    channel: str = "cli"
    net: str | None = None
    request: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, slots=True)
class Actor:
    """The person or process an act is done by.

    `kind` is one of the log's actor kinds (user, service, anonymous, unknown …). `behalf` names the user for whom a
    job acts. `zone` is the time zone in which the organization's days begin. Whoever acts through an API token is a
    user too, with a role and assignments of its own and no sign-in; `token_id` names the token.
    """

    kind: str
    user_id: UUID | None = None
    organization_id: UUID | None = None
    side: Side | None = None
    roles: frozenset[Role] = frozenset()
    sign_in_id: UUID | None = None
    behalf: UUID | None = None
    source: Source = field(default_factory=Source)
    zone: str = "UTC"
    token_id: UUID | None = None

    @property
    def me(self) -> UUID:
        """The user's id; an actor without one may not come here."""
        if self.user_id is None:
            raise LookupError("this actor is no user")
        return self.user_id

    @property
    def organization(self) -> UUID:
        """The id of the actor's organization; an actor without one may not come here."""
        if self.organization_id is None:
            raise LookupError("this actor has no organization")
        return self.organization_id

    def works_as(self, *roles: Role) -> bool:
        """Whether the actor has one of these roles."""
        return not self.roles.isdisjoint(roles)


@dataclass(frozen=True, slots=True)
class AnyActor:
    """Whoever asks, on one side and in these roles: stands for an actor where a statement is built once for all.

    Its ids are parameters, which `asked_by(actor)` fills.
    """

    side: Side | None
    roles: frozenset[Role]

    @property
    def me(self) -> BindParameter[UUID]:
        """The user's id, filled in when the statement is asked."""
        return bindparam("me", type_=Uuid())

    @property
    def organization(self) -> BindParameter[UUID]:
        """The id of the user's organization, filled in when the statement is asked."""
        return bindparam("organization", type_=Uuid())

    def works_as(self, *roles: Role) -> bool:
        """Whether whoever asks has one of these roles."""
        return not self.roles.isdisjoint(roles)


def anybody_like(actor: Actor) -> AnyActor | None:
    """Return what statements for this actor are built over; None for whoever is no user of an organization."""
    if actor.kind != "user" or actor.user_id is None or actor.organization_id is None:
        return None
    return AnyActor(actor.side, actor.roles)


#: Queries of what an actor may know of that can be built over `AnyActor`.
FOR_ANYBODY: set[Callable[..., Any]] = set()
Within = TypeVar("Within", bound=Callable[..., Any])


def for_anybody(within: Within) -> Within:
    """Declare that a query of what an actor may know of can be built over `AnyActor`: once, instead of at each act."""
    FOR_ANYBODY.add(within)
    return within


def asked_by(actor: Actor) -> dict[str, Any]:
    """Return what a statement over `AnyActor` is handed."""
    return {"me": actor.me, "organization": actor.organization}


_Makes = Callable[..., Select[Any]]


def asking_once(makes: _Makes, actor: Actor) -> tuple[Select[Any], dict[str, Any]]:
    """Return the statement that `makes` builds over whoever is like the actor, built once, and what it is handed."""
    anybody = anybody_like(actor)
    return (makes(actor), {}) if anybody is None else (_made_once(makes, anybody), asked_by(actor))


@cache
def _made_once(makes: _Makes, anybody: AnyActor) -> Select[Any]:
    return makes(anybody)


def one_within(
    within: _Makes, on: Any, target: UUID, actor: Actor, *, lock: bool = False
) -> tuple[Select[Any], dict[str, Any]]:
    """Return the statement for one row by its id within what an actor may know of, and what it is handed.

    With `lock`, nobody changes the row until the transaction ends.
    """
    anybody = anybody_like(actor) if within in FOR_ANYBODY else None
    if anybody is None:
        return _one(within, on, actor, lock=lock), {"target": target}
    return _one_once(within, on, anybody, lock=lock), {"target": target} | asked_by(actor)


def _one(within: _Makes, on: Any, actor: Actor | AnyActor, *, lock: bool) -> Select[Any]:
    one = within(actor).where(on.id == bindparam("target", type_=Uuid()))
    return one.with_for_update(of=on) if lock else one


_one_once = cache(_one)


def system(channel: str = "job", *, behalf: UUID | None = None) -> Actor:
    """Return the service itself, acting by a job or the operator's command line."""
    return Actor("service", roles=frozenset({Role.OPERATOR}), behalf=behalf, source=Source(channel))


def nobody(source: Source) -> Actor:
    """Return whoever has not signed in."""
    return Actor("anonymous", source=source)
