"""People with accounts, made by the commands themselves. Importing this makes password hashing cheap."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from sqlalchemy.orm import Session

from referrals.account import commands, queries
from referrals.account.models import User
from referrals.factor import commands as factors
from referrals.kernel.actor import Actor, Role, Side, Source, nobody, system
from referrals.kernel.command import execute
from referrals.kernel.record import clock
from referrals.organization.queries import installation, organization
from referrals.sign_in import commands as sign_ins
from referrals.sign_in import queries as sign_in_queries
from referrals.sign_in.models import SignIn
from referrals.staff import commands as staff

commands.use_fast_hashing()

#: The password of everybody here.
PASSWORD = "quiet harbor lantern marigold"
_numbers = itertools.count(1)


def a_user(
    session: Session, organization_id: UUID, *roles: Role, name: str = "Sam Rivers", sign_in_name: str = ""
) -> User:
    """Somebody with an account that has not been used yet; `shown_code` is its one-time code."""
    data = {
        "sign_in_name": sign_in_name or f"{name.split(maxsplit=1)[0].lower()}.{next(_numbers)}",
        "display_name": name,
        "roles": [role.value for role in roles],
    }
    return execute(session, staff.add_user, actor=system("cli"), target=organization_id, data=data)


def actor_of(session: Session, user: User, *, channel: str = "page") -> Actor:
    """This user with the roles in force now and no sign-in: enough for every command but those on accounts."""
    found = queries.user(session, user.id)
    home = organization(session, found.organization_id)
    actor = Actor(
        "user",
        user_id=found.id,
        organization_id=found.organization_id,
        side=Side(home.side),
        roles=found.roles,
        source=Source(channel),
        zone=home.time_zone,
    )
    session.rollback()
    return actor


def an_actor(session: Session, organization_id: UUID, *roles: Role, name: str = "Sam Rivers") -> Actor:
    """Somebody new with these roles, as an actor."""
    return actor_of(session, a_user(session, organization_id, *roles, name=name))


def a_case_manager(session: Session, agency_id: UUID, name: str = "Casey Morgan") -> Actor:
    """A case manager of an agency."""
    return an_actor(session, agency_id, Role.CASE_MANAGER, name=name)


def an_officer(session: Session, agency_id: UUID, name: str = "Ofelia Diaz") -> Actor:
    """A supervising officer of an agency."""
    return an_actor(session, agency_id, Role.SUPERVISING_OFFICER, name=name)


def a_navigator(session: Session, community_id: UUID, name: str = "Nia Brooks") -> Actor:
    """A navigator of a community organization."""
    return an_actor(session, community_id, Role.NAVIGATOR, name=name)


def a_supervisor(session: Session, organization_id: UUID, name: str = "Suri Patel") -> Actor:
    """A supervisor of either side."""
    return an_actor(session, organization_id, Role.SUPERVISOR, name=name)


def an_administrator(session: Session, organization_id: UUID, name: str = "Ada Wells") -> Actor:
    """An administrator of an organization."""
    return an_actor(session, organization_id, Role.ADMINISTRATOR, name=name)


def an_auditor(session: Session, organization_id: UUID, name: str = "Aubrey Cole") -> Actor:
    """The auditor of an organization."""
    return an_actor(session, organization_id, Role.AUDITOR, name=name)


@dataclass
class Member:
    """Somebody who has been through their first day: password chosen, authenticator set up."""

    user_id: UUID
    sign_in_name: str
    password: str
    recovery_codes: list[str]
    token: str

    def actor(self, session: Session, token: str = "") -> Actor:
        """Whoever the token stands for now."""
        held = sign_in_queries.holder(session, token or self.token, Source("page"))
        assert held is not None, "this token opens nothing"
        session.rollback()
        return held.actor


def a_member(session: Session, organization_id: UUID, *roles: Role, name: str = "Sam Rivers") -> Member:
    """Somebody signed in completely, the whole way through the doors' commands."""
    user = a_user(session, organization_id, *roles, name=name)
    sign_in_name, code = user.sign_in_name, cast("str", user.shown_code)
    made = factors.first_sign_in(session, sign_in_name, code, PASSWORD, Source("page"))
    return Member(user.id, sign_in_name, PASSWORD, list(made.shown_codes), cast("str", made.token))


def try_sign_in(session: Session, name: str, password: str = PASSWORD, *, channel: str = "page") -> SignIn:
    """Name and password, as a door would ask them; raises what the command raises."""
    sign_ins.check_ahead(session, name=name, password=password)
    return execute(
        session,
        sign_ins.sign_in,
        actor=nobody(Source(channel)),
        target=installation(session).id,
        data={"name": name, "password": password, "acknowledged": True},
    )


def give_code(session: Session, began: SignIn, code: str) -> SignIn:
    """The second factor of a sign-in that began."""
    actor = sign_in_queries.actor_for(
        queries.user(session, began.user_id), began, Source("page"), step=queries.SECOND_FACTOR
    )
    return execute(session, sign_ins.confirm_second_factor, actor=actor, target=began.id, data={"code": code})


def sign_in_fully(session: Session, member: Member) -> SignIn:
    """Password and code; returns the complete sign-in with its token."""
    began = try_sign_in(session, member.sign_in_name, member.password)
    return give_code(session, began, sign_in_queries.demo_code(session, member.sign_in_name, clock(session)))
