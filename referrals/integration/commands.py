"""What can be done about integrations: let one in, renew its token, revoke it."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import or_, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from referrals.account.commands import user_in
from referrals.account.models import RoleGrant, RoleNotOfSideError, User
from referrals.account.policy import administers_it
from referrals.integration import models as m
from referrals.integration import policy as p
from referrals.integration import queries as q
from referrals.integration.models import ApiToken, ApiTokenUse, TokenOverError
from referrals.kernel.actor import Role, TokenScope
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.record import commit, day_of, start_writing
from referrals.kernel.schema import Takes, code, codes, day, line
from referrals.organization.models import Organization
from referrals.organization.queries import own as own_organization
from referrals.sign_in.commands import require_fresh

#: In place of a password's hash: an integration has no password.
_NOTHING_HASHES_TO_IT = "-"


class MakeToken(Takes):
    """What the integration is called, what it works as, what the token may be used for, and its last day."""

    called = line(80)
    role = code(sorted({role.value for roles in m.TOKEN_ROLES.values() for role in roles}))
    scopes = codes(TokenScope)
    ends_on = day()


@command(
    records="account.token_made",
    on=Organization,
    makes=ApiToken,
    takes=MakeToken,
    within=own_organization,
    allow=[[administers_it]],
    purpose="administration",
)
def make_token(
    work: Work, organization: Organization, *, called: str, role: str, scopes: list[str], ends_on: date
) -> ApiToken:
    """Let an integration in, with a role of its own and its first token; the text is in `shown_token`, once (S-808).

    Raises:
        InvalidInputError: the role or a scope is none of this side, or the last day is past or over a year ahead.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    require_fresh(work)
    organization.require_in_force()
    faults = _last_day_faults(ends_on, day_of(work.now, organization.time_zone))
    if Role(role) not in m.TOKEN_ROLES[organization.side]:
        faults["role"] = [RoleNotOfSideError.code]
    if not set(scopes) <= set(m.SCOPES_OF_SIDE[organization.side]):
        faults["scopes"] = ["not_a_choice"]
    if faults:
        raise InvalidInputError(faults)
    integration = User(
        organization_id=organization.id,
        integration_at=work.now,
        display_name=called,
        password_hash=_NOTHING_HASHES_TO_IT,
        added_at=work.now,
        added_by=work.actor.me,
        ends_on=ends_on,
    )
    integration.sign_in_name = f"integration:{integration.id}"  # the column wants one; nobody signs in by it
    work.add(integration)
    work.add(RoleGrant(user_id=integration.id, role=role, granted_at=work.now, granted_by=work.actor.me))
    return _token(work, integration.id, scopes, ends_on)


def _token(work: Work, integration_id: UUID, scopes: list[str], ends_on: date) -> ApiToken:
    made = ApiToken.make(integration_id, scopes, ends_on, at=work.now, by=work.actor.me)
    work.add(made)
    work.keep(ApiTokenUse(token_id=made.id))
    return made


def _last_day_faults(ends_on: date, today: date) -> dict[str, list[str]]:
    if ends_on < today:
        return {"ends_on": ["in_past"]}
    return {"ends_on": ["over_a_year"]} if ends_on > m.latest_last_day(today) else {}


class RenewToken(Takes):
    """The last day of the token that follows."""

    ends_on = day()


@command(
    records="account.token_renewed",
    on=ApiToken,
    makes=ApiToken,
    takes=RenewToken,
    within=q.visible_tokens,
    allow=[[p.administers_its_organization]],
    purpose="administration",
)
def renew_token(work: Work, token: ApiToken, *, ends_on: date) -> ApiToken:
    """Make the token that follows this one: same integration, role and scopes. This one works until it ends itself.

    Raises:
        TokenOverError: this one was revoked, or its last day has passed.
        InvalidInputError: the last day is past or more than a year ahead.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    require_fresh(work)
    integration = user_in(work, token.user_id)
    today = day_of(work.now, integration.organization.time_zone)
    if token.is_over(today) or integration.disabled_at is not None:
        raise TokenOverError
    if faults := _last_day_faults(ends_on, today):
        raise InvalidInputError(faults)
    if integration.ends_on is None or integration.ends_on < ends_on:
        integration.ends_on = ends_on
        work.record(integration, ["ends_on"])
    return _token(work, integration.id, token.scopes, ends_on)


class RevokeToken(Takes):
    """Why, in a few words."""

    because = line(400)


@command(
    records="account.token_revoked",
    on=ApiToken,
    makes=ApiToken,
    takes=RevokeToken,
    within=q.visible_tokens,
    allow=[[p.administers_its_organization]],
    purpose="administration",
)
def revoke_token(work: Work, token: ApiToken, *, because: str) -> ApiToken:
    """End a token at once. With its last one the integration's account is disabled; what it did stays.

    Raises:
        TokenOverError: it was revoked before.
    """
    token.revoke(at=work.now, by=work.actor.user_id, because=because)
    work.record(token, ["ended_at", "ended_by", "ended_because"])
    integration = user_in(work, token.user_id)
    today = day_of(work.now, integration.organization.time_zone)
    others = [one for one in q.working_tokens(work.session, integration.id, today) if one.id != token.id]
    if not others and integration.disabled_at is None:
        integration.disable(at=work.now, by=work.actor.user_id, because=because)
        work.record(integration, ["disabled_at", "disabled_by", "disabled_because"])
    return token


# --- outside the acts ------------------------------------------------------------------------------------------------


def keep_token_use(session: Session, token_id: UUID, today: date) -> None:
    """Keep the day on which an API token was used, once a day, as `keep_alive` does for a sign-in."""
    try:
        start_writing(session)
        earlier = or_(ApiTokenUse.used_on.is_(None), ApiTokenUse.used_on < today)
        session.execute(update(ApiTokenUse).where(ApiTokenUse.token_id == token_id, earlier).values(used_on=today))
        commit(session)
    except OperationalError:
        session.rollback()
