"""What can be done about an organization's people: who comes, as what, until when; and the yearly review."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from marshmallow import fields, validate
from sqlalchemy import select
from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.account.commands import tell_change, user_in
from referrals.account.models import (
    CONFIRMED,
    LAPSED,
    POWERFUL,
    REFUSED,
    AuditorAloneError,
    RoleGrant,
    RoleNotOfSideError,
    RoleProposal,
    User,
    require_fitting,
)
from referrals.account.policy import administers_it, administers_them, has_not_proposed_it, operates
from referrals.account.queries import left
from referrals.code_sheet.models import CodeSheet
from referrals.factor.commands import lost_sheet
from referrals.kernel import crypto
from referrals.kernel.actor import Role, Side, system
from referrals.kernel.command import Work, command, execute
from referrals.kernel.errors import InvalidInputError, RuleBrokenError
from referrals.kernel.job import job_kind
from referrals.kernel.record import clock, day_of
from referrals.kernel.schema import Line, Nothing, Takes, code, codes, day, line, many, uid
from referrals.organization.models import Organization
from referrals.organization.queries import own as own_organization
from referrals.sign_in.commands import end_sign_ins, require_fresh
from referrals.staff import models as m
from referrals.staff import queries as q
from referrals.staff.models import AccessReview, AccessReviewLine, AccountKeptError

_ROLES = [role.value for role in Role if role is not Role.OPERATOR]


# --- who may come in, and as what ------------------------------------------------------------------------------------


def sign_in_name() -> fields.String:
    """A sign-in name: lower-case letters, digits, dot, dash, underscore; from 3 to 64 characters."""
    return Line(
        required=True,
        validate=[
            validate.Length(max=64, error="too_long"),
            validate.Regexp(
                re.compile(r"[a-z0-9][a-z0-9._-]{1,62}[a-z0-9]\Z", re.IGNORECASE), error="not_a_sign_in_name"
            ),
        ],
    )


def email_address() -> fields.String:
    """An e-mail address, loosely: one @, something on both sides."""
    return Line(
        validate=[
            validate.Regexp(r"[^\s@]+@[^\s@]+\.[^\s@]+\Z", error="not_an_email"),
            validate.Length(max=254, error="too_long"),
        ],
        load_default=None,
        allow_none=True,
    )


class AddUser(Takes):
    """A person, their name for signing in, how to reach them, what they work as; why, if it is for an emergency."""

    sign_in_name = sign_in_name()
    display_name = line(120)
    email = email_address()
    phone = line(40, required=False)
    roles = codes(_ROLES)
    emergency_because = line(400, required=False)


@command(
    records="account.user_added",
    on=Organization,
    makes=User,
    takes=AddUser,
    within=own_organization,
    allow=[[administers_it], [operates]],
    purpose="administration",
)
def add_user(
    work: Work,
    organization: Organization,
    *,
    sign_in_name: str,
    display_name: str,
    email: str | None,
    phone: str | None,
    roles: list[str],
    emergency_because: str | None,
) -> User:
    """Add an account. Its one-time code stands in `shown_code`: shown once, good for a day (S-108).

    Roles that need a second person are proposed (S-802), unless it is the operator who makes the first accounts. With
    `emergency_because` the account ends by itself after 72 hours (S-804).

    Raises:
        InvalidInputError: the name or the address was ever used, or the roles do not fit.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    require_fresh(work)
    organization.require_in_force()
    faults: dict[str, list[str]] = {}
    name = accounts.as_name(sign_in_name)
    if accounts.by_name(work.session, name) is not None:
        faults["sign_in_name"] = ["name_taken"]
    if email is not None:
        held = work.session.scalar(select(User.id).where(crypto.matches(work.session, User, "by_email", email)))
        if held is not None:
            faults["email"] = ["email_taken"]
    wanted = [Role(role) for role in roles]
    try:
        require_fitting(wanted, Side(organization.side))
    except (RoleNotOfSideError, AuditorAloneError) as misfit:
        faults["roles"] = [misfit.code]
    if faults:
        raise InvalidInputError(faults)
    user = User(
        organization_id=organization.id,
        sign_in_name=name,
        display_name=display_name,
        email=email,
        phone=phone,
        added_at=work.now,
        added_by=work.actor.user_id,
    )
    if emergency_because is not None:
        user.begin_emergency(emergency_because, work.now)
    user.begin_code(work.now)
    work.add(user)
    for role in wanted:
        if work.actor.kind == "user" and role in POWERFUL:
            work.add(RoleProposal(user_id=user.id, role=role.value, proposed_at=work.now, proposed_by=work.actor.me))
            continue
        work.add(RoleGrant(user_id=user.id, role=role.value, granted_at=work.now, granted_by=work.actor.user_id))
    return user


class GrantRole(Takes):
    """The role."""

    role = code(_ROLES)


@command(
    records="account.role_granted",
    on=User,
    makes=RoleGrant,
    takes=GrantRole,
    within=accounts.visible_to,
    allow=[[administers_them], [operates]],
    purpose="administration",
)
def grant_role(work: Work, user: User, *, role: str) -> RoleGrant:
    """Give a role; the user's sign-ins end, so that the next one carries it (S-110).

    Raises:
        RoleNotOfSideError, AuditorAloneError, RoleHeldError, UserDisabledError: the rule that says no.
        SecondPersonNeededError: it is one of those that are proposed.
    """
    require_fresh(work)
    if work.actor.kind == "user" and Role(role) in POWERFUL:
        raise m.SecondPersonNeededError
    made = user.grant(Role(role), at=work.now, by=work.actor.user_id)
    work.add(made)
    tell_change(work, user.id, "role_given", role=made.role)
    end_sign_ins(work, user.id, "roles_changed")
    return made


class ProposeRole(Takes):
    """The role: one of those that one administrator alone cannot give."""

    role = code(sorted(POWERFUL))


@command(
    records="account.role_proposed",
    on=User,
    makes=RoleProposal,
    takes=ProposeRole,
    within=accounts.visible_to,
    allow=[[administers_them]],
    purpose="administration",
)
def propose_role(work: Work, user: User, *, role: str) -> RoleProposal:
    """Propose a role that needs a second person: it holds once another administrator confirms it (S-802).

    Raises:
        RoleProposedError: it waits already.
        RoleNotOfSideError, AuditorAloneError, RoleHeldError, UserDisabledError: the rule that says no.
    """
    require_fresh(work)
    made = user.propose(Role(role), at=work.now, by=work.actor.me)
    if any(one.role == role for one in q.waiting(work.session, user.organization_id, user.id)):
        raise m.RoleProposedError
    work.add(made)
    return made


@command(
    records="account.role_confirmed",
    on=RoleProposal,
    makes=RoleGrant,
    takes=Nothing,
    within=accounts.visible_proposals,
    allow=[[administers_them, has_not_proposed_it], [operates]],
    purpose="administration",
)
def confirm_role(work: Work, proposal: RoleProposal) -> RoleGrant:
    """Confirm a role that another administrator proposed; the user's sign-ins end, so that the next one carries it.

    The operator confirms only where the organization has no other administrator (decision 0014).

    Raises:
        ProposalSettledError: it was confirmed or refused. SecondAdministratorError: an administrator can confirm it.
        RoleNotOfSideError, AuditorAloneError, RoleHeldError, UserDisabledError: the rule that says no by now.
    """
    require_fresh(work)
    user = user_in(work, proposal.user_id)
    proposal.settle(CONFIRMED, at=work.now, by=work.actor.user_id)
    if work.actor.kind != "user":
        could = accounts.administrators(work.session, user.organization_id, work.now)
        if could - {proposal.proposed_by, user.id}:
            raise m.SecondAdministratorError
    work.record(proposal, ["outcome", "settled_at", "settled_by"])
    made = user.grant(Role(proposal.role), at=work.now, by=work.actor.user_id)
    work.add(made)
    tell_change(work, user.id, "role_given", role=made.role)
    end_sign_ins(work, user.id, "roles_changed")
    return made


class RefuseRole(Takes):
    """Why not, in a few words."""

    because = line(400)


@command(
    records="account.role_refused",
    on=RoleProposal,
    makes=RoleProposal,
    takes=RefuseRole,
    within=accounts.visible_proposals,
    allow=[[administers_them]],
    purpose="administration",
)
def refuse_role(work: Work, proposal: RoleProposal, *, because: str) -> RoleProposal:
    """Refuse a proposed role; whoever proposed it takes it back this way.

    Raises:
        ProposalSettledError: it was confirmed or refused.
    """
    proposal.settle(REFUSED, at=work.now, by=work.actor.user_id, because=because)
    work.record(proposal, ["outcome", "settled_at", "settled_by", "because"])
    return proposal


@command(
    records="account.role_ended",
    on=RoleGrant,
    makes=RoleGrant,
    takes=Nothing,
    within=accounts.visible_grants,
    allow=[[administers_them], [operates]],
    purpose="administration",
)
def end_role(work: Work, grant: RoleGrant) -> RoleGrant:
    """Take a role back; the user's sign-ins end.

    Raises:
        RoleEndedError: it was taken back before.
    """
    require_fresh(work)
    grant.end(at=work.now, by=work.actor.user_id)
    work.record(grant, ["ended_at", "ended_by"])
    tell_change(work, grant.user_id, "role_ended", role=grant.role)
    end_sign_ins(work, grant.user_id, "roles_changed")
    return grant


class DisableUser(Takes):
    """Why the person leaves, in a few words."""

    because = line(400)


@command(
    records="account.user_disabled",
    on=User,
    makes=User,
    takes=DisableUser,
    within=accounts.visible_to,
    allow=[[administers_them], [operates]],
    purpose="administration",
)
def disable_user(work: Work, user: User, *, because: str) -> User:
    """Disable an account: all its sign-ins end at once, and none begins. What it did stays.

    Roles it proposed that still wait for a second person lapse.

    Raises:
        UserDisabledError: it is disabled.
    """
    if work.actor.source.channel == "job" and user.reason_to_disable(work.now) is None:
        raise AccountKeptError
    _disable(work, user, because)
    return user


@command(
    records="account.user_enabled",
    on=User,
    makes=User,
    takes=Nothing,
    within=accounts.visible_to,
    allow=[[administers_them], [operates]],
    purpose="administration",
)
def enable_user(work: Work, user: User) -> User:
    """Let a disabled account be used again: its one-time code stands in `shown_code`, shown once, good for a day.

    Roles that need a second person do not come back with it: they are proposed, as if new (S-802), unless it is the
    operator who lets it be used.

    Raises:
        NotDisabledError, LastDayPassedError, EmergencyOverError: the rule that says no.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    require_fresh(work)
    user.organization.require_in_force()
    user.enable(work.now)
    work.record(
        user,
        [
            *("disabled_at", "disabled_by", "disabled_because", "enabled_at"),
            *("password_hash", "one_time_until", "one_time_used_at"),
        ],
    )
    if work.actor.kind == "user":
        _propose_again(work, user)
    tell_change(work, user.id, "enabled")
    return user


def _propose_again(work: Work, user: User) -> None:
    """End what one administrator alone cannot give, and propose it: disabling may have been how it was taken back."""
    for grant in user.grants:
        if grant.ended_at is None and Role(grant.role) in POWERFUL:
            grant.end(at=work.now, by=work.actor.user_id)
            work.record(grant, ["ended_at", "ended_by"])
            tell_change(work, user.id, "role_ended", role=grant.role)
            work.add(RoleProposal(user_id=user.id, role=grant.role, proposed_at=work.now, proposed_by=work.actor.me))


class SetLastDay(Takes):
    """The last day on which the account opens; nothing: no end is known."""

    ends_on = day(required=False)


@command(
    records="account.last_day_set",
    on=User,
    makes=User,
    takes=SetLastDay,
    within=accounts.visible_to,
    allow=[[administers_them], [operates]],
    purpose="administration",
)
def set_last_day(work: Work, user: User, *, ends_on: date | None) -> User:
    """Say when an account ends: a contract's last day, a student's (S-804). From the next day on it opens nothing."""
    require_fresh(work)
    if ends_on is not None and ends_on < day_of(work.now, user.organization.time_zone):
        raise InvalidInputError({"ends_on": ["in_past"]})
    if ends_on != user.ends_on:
        tell_change(work, user.id, "last_day_removed" if ends_on is None else "last_day_set", ends_on=ends_on)
    user.ends_on = ends_on
    work.record(user, ["ends_on"])
    return user


@job_kind("account.disable_due", every=3600)
def disable_due(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
    """Disable the accounts that nobody uses, and those past their last day or emergency (S-804)."""
    for user_id, why in q.to_disable(session, clock(session)):
        try:
            execute(session, disable_user, actor=system(), target=user_id, data={"because": why})
        except RuleBrokenError:
            continue  # an administrator was faster, or the person has just signed in


@command(
    records="account.unlocked",
    on=User,
    makes=User,
    takes=Nothing,
    within=accounts.visible_to,
    allow=[[administers_them], [operates]],
    purpose="administration",
)
def unlock_user(work: Work, user: User) -> User:
    """Unlock an account after five wrong sign-ins (S-101).

    Raises:
        NotLockedError: it is not locked.
    """
    require_fresh(work)
    user.unlock(work.now)
    work.record(user, ["locked_at", "unlocked_at"])
    tell_change(work, user.id, "unlocked")
    return user


@command(
    records="account.password_reset",
    on=User,
    makes=User,
    takes=Nothing,
    within=accounts.visible_to,
    allow=[[administers_them], [operates]],
    purpose="administration",
)
def reset_password(work: Work, user: User) -> User:
    """Start a reset: a new one-time code, in `shown_code`, replaces the password; the second factor stays (S-105).

    Raises:
        UserDisabledError: the account is disabled.
    """
    require_fresh(work)
    user.require_enabled()
    user.begin_code(work.now)
    work.record(user, ["password_hash", "one_time_until", "one_time_used_at"])
    tell_change(work, user.id, "password_reset")
    end_sign_ins(work, user.id, "password_reset")
    return user


@command(
    records="account.code_sheet_ended",
    on=User,
    makes=CodeSheet,
    takes=Nothing,
    within=accounts.visible_to,
    allow=[[administers_them], [operates]],
    purpose="administration",
)
def end_code_sheet(work: Work, user: User) -> CodeSheet:
    """End the lost code sheet of somebody: none of its codes opens anything any more (S-103).

    Raises:
        NoSheetError: there is none in use, or it was lost before.
    """
    return lost_sheet(work, user)


# --- the yearly review of accounts ------------------------------------------------------------------------------------


class ReviewedAs(Takes):
    """One account as the reviewer saw it: its roles, and what is decided about it, if anything is yet."""

    user_id = uid()
    roles = codes(_ROLES, required=False)
    decision = code(m.REVIEW_DECISIONS, required=False)


class SignAccessReview(Takes):
    """The accounts that the reviewer saw, each with its decision. Two thousand at most."""

    accounts = many(fields.Nested(ReviewedAs), least=1, most=2000)


@command(
    records="account.access_reviewed",
    on=Organization,
    makes=AccessReview,
    takes=SignAccessReview,
    within=own_organization,
    allow=[[administers_it], [operates]],
    purpose="administration",
)
def sign_access_review(work: Work, organization: Organization, *, accounts: list[dict[str, Any]]) -> AccessReview:
    """Sign that one went through the accounts of an organization (S-805). What it disables ends with the signature.

    Nobody decides about their own account: another administrator does, and where there is none, the operator does
    (decision 0014). What is to be changed, the acts on the account itself change.

    Raises:
        InvalidInputError: an account is not decided yet.
        ReviewListChangedError: accounts changed, came or went since the list was read.
        NothingToReviewError: all that is the actor's to decide was decided within the last 30 days.
        SecondAdministratorError: an administrator can review what the operator was going to.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    require_fresh(work)
    listed = {one.id: one for one in q.accounts_to_review(work.session, organization.id, work.now, lock=True)}
    due = {one.id: one for one in listed.values() if one.is_due and one.id != work.actor.user_id}
    if work.actor.kind != "user":
        due = _only_the_operators(work, organization.id, due, {one["user_id"] for one in accounts})
    if not due:
        raise m.NothingToReviewError
    seen = {one["user_id"]: one for one in accounts}
    changed = [
        user_id for user_id in due if user_id not in seen or sorted(seen[user_id]["roles"]) != due[user_id].roles
    ]
    gone = seen.keys() - due.keys()
    if changed or gone:
        who = {one.id: one.name for one in listed.values()}
        who |= {one.id: one.display_name for one in left(work.session, organization.id, gone)}  # and of nowhere else
        whose = {who[user_id] for user_id in (*changed, *gone) if user_id in who}
        raise m.ReviewListChangedError(whose=", ".join(sorted(whose, key=str.casefold)))
    undecided = [user_id for user_id in due if seen[user_id]["decision"] is None]
    if undecided:
        raise InvalidInputError({f"decision.{user_id}": ["decide_first"] for user_id in undecided})
    review = AccessReview(organization_id=organization.id, at=work.now, by=work.actor.user_id)
    work.add(review)
    for user_id, one in due.items():
        decision = seen[user_id]["decision"]
        work.add(AccessReviewLine(review_id=review.id, user_id=user_id, roles=one.roles, decision=decision))
        if decision == m.DISABLE:
            _disable(work, user_in(work, user_id), m.BECAUSE_REVIEWED)
    return review


def _only_the_operators(
    work: Work, organization_id: UUID, due: Mapping[UUID, q.ReviewedAccount], asked: set[UUID]
) -> dict[UUID, q.ReviewedAccount]:
    """Return what nobody of the organization can review: the account of its only administrator."""
    could = accounts.administrators(work.session, organization_id, work.now)
    theirs = {user_id: one for user_id, one in due.items() if not could - {user_id}}
    if asked & due.keys() - theirs.keys():
        raise m.SecondAdministratorError
    return theirs


def _disable(work: Work, user: User, because: str) -> None:
    user.disable(at=work.now, by=work.actor.user_id, because=because)
    work.record(user, ["disabled_at", "disabled_by", "disabled_because"])
    for proposal in q.proposed_by(work.session, user.id):
        proposal.settle(LAPSED, at=work.now, by=work.actor.user_id)
        work.record(proposal, ["outcome", "settled_at", "settled_by", "because"])
    tell_change(work, user.id, "disabled")
    end_sign_ins(work, user.id, "disabled")
