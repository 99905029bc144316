"""What can be done about a lost second factor: two colleagues speak for somebody, who comes back by their code."""

from __future__ import annotations

from referrals.account import policy as account_policy
from referrals.account import queries as accounts
from referrals.account.commands import tell_change, user_in
from referrals.account.models import User
from referrals.factor.commands import let_enroll, lose_factor
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError, NotPermittedError
from referrals.kernel.schema import Nothing, Takes, code, line
from referrals.recovery import models as m
from referrals.recovery import policy as p
from referrals.recovery import queries as q
from referrals.recovery.models import FactorRecovery
from referrals.sign_in import queries as sign_ins
from referrals.sign_in.commands import (
    CodeRefusedError,
    FreshSignInNeededError,
    require_fresh,
    wrong_recovery,
)
from referrals.sign_in.models import SignIn
from referrals.sign_in.policy import holds_it

__all__ = [
    "CodeRefusedError",
    "FreshSignInNeededError",
]


class StartRecovery(Takes):
    """How the first colleague made sure who is asking."""

    how = code(m.PROOFINGS)


@command(
    records="recovery.started",
    on=User,
    makes=FactorRecovery,
    takes=StartRecovery,
    within=accounts.visible_to,
    allow=[[account_policy.administers_them], [account_policy.operates]],
    purpose="administration",
)
def start_recovery(work: Work, user: User, *, how: str) -> FactorRecovery:
    """Say, as the first of two, that somebody lost their second factor. One half of a code stands in `shown_half`.

    Nothing changes yet: a second colleague has to say the same (S-105). The operator begins only where nobody else
    than the person administers the organization (decision 0023).

    Raises:
        UserDisabledError, NothingLostError, RecoveryUnderWayError, AdministratorThereError: the rule that says no.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    require_fresh(work)
    user.require_enabled()
    if work.actor.kind != "user" and accounts.administrators(work.session, user.organization_id, work.now) - {user.id}:
        raise m.AdministratorThereError
    if not sign_ins.has_factor(work.session, user.id):
        raise m.NothingLostError
    before = q.newest(work.session, user.id)
    is_open = before is not None and before.state(work.now) in {m.WAITING, m.CONFIRMED}
    if before is not None and is_open and q.holds(work.session, before, work.now):
        raise m.RecoveryUnderWayError
    made = FactorRecovery.begin(user.id, by=work.actor.user_id, how=how, at=work.now)
    work.add(made)
    tell_change(work, user.id, "recovery_started")
    return made


class ConfirmRecovery(Takes):
    """How the second colleague, by themselves, made sure who is asking."""

    how = code(m.PROOFINGS)


@command(
    records="recovery.confirmed",
    on=FactorRecovery,
    makes=FactorRecovery,
    takes=ConfirmRecovery,
    within=q.visible_to,
    allow=[[p.is_another_leader], [p.stands_in_beside_the_operator], [p.operates]],
    purpose="administration",
)
def confirm_recovery(work: Work, recovery: FactorRecovery, *, how: str) -> FactorRecovery:
    """Say, as the second of two, that somebody lost their second factor. The other half stands in `shown_half`.

    From now on the lost factor and its recovery codes open nothing, and the person is signed out everywhere. The
    operator confirms only where the organization has nobody else who could, and never what the operator began.

    Raises:
        InvalidInputError: neither of the two has seen the person.
        RecoveryOverError, OperatorTwiceError, SecondColleagueThereError: the rule that says no.
        NotPermittedError: whoever leads the organization confirms, not whoever works there.
        FreshSignInNeededError: the colleague's second factor is more than ten minutes old.
    """
    require_fresh(work)
    able = q.could_be_second(work.session, recovery, work.now)
    if work.actor.kind == "user" and work.actor.user_id not in able:
        raise NotPermittedError
    recovery.confirm(by=work.actor.user_id, how=how, at=work.now)
    if work.actor.kind != "user" and able:
        raise m.SecondColleagueThereError
    if not q.holds(work.session, recovery, work.now):
        raise m.RecoveryOverError
    if not {recovery.first_how, how} & m.SEEN:
        raise InvalidInputError({"how": ["seen_by_nobody"]})
    work.record(recovery, ["second_by", "second_how", "second_at", "second_half_hash"])
    lose_factor(work, recovery.user_id)
    tell_change(work, recovery.user_id, "factor_lost")
    return recovery


class RefuseRecovery(Takes):
    """Why not."""

    because = code(m.REASONS)


@command(
    records="recovery.refused",
    on=FactorRecovery,
    makes=FactorRecovery,
    takes=RefuseRecovery,
    within=q.visible_to,
    allow=[[p.is_another_leader], [p.is_about_them]],
    purpose="administration",
)
def refuse_recovery(work: Work, recovery: FactorRecovery, *, because: str) -> FactorRecovery:
    """Refuse a recovery, also one that was confirmed: its code works no more. Whom it is about may stop it too.

    A factor that two colleagues took for lost stays lost.

    Raises:
        RecoveryOverError: it is over.
    """
    return _settle(work, recovery, m.REFUSED, because)


@command(
    records="recovery.withdrawn",
    on=FactorRecovery,
    makes=FactorRecovery,
    takes=Nothing,
    within=q.visible_to,
    allow=[[p.began_it]],
    purpose="administration",
)
def withdraw_recovery(work: Work, recovery: FactorRecovery) -> FactorRecovery:
    """Take back a recovery that one began: its code works no more.

    Raises:
        RecoveryOverError: it is over.
    """
    return _settle(work, recovery, m.WITHDRAWN, None)


def _settle(work: Work, recovery: FactorRecovery, outcome: str, because: str | None) -> FactorRecovery:
    recovery.settle(outcome, by=work.actor.user_id, at=work.now, because=because)
    work.record(recovery, ["outcome", "settled_at", "settled_by", "because"])
    tell_change(work, recovery.user_id, "recovery_ended")
    return recovery


class UseRecovery(Takes):
    """The half of the code that each of the two colleagues gave."""

    first_half = line(40)
    second_half = line(40)


@command(
    records="recovery.used",
    on=SignIn,
    makes=SignIn,
    takes=UseRecovery,
    within=sign_ins.this_sign_in,
    allow=[[holds_it]],
    purpose="administration",
    outlasts=wrong_recovery,
)
def use_recovery(work: Work, sign_in: SignIn, *, first_half: str, second_half: str) -> SignIn:
    """Give both halves of a recovery's code, after the password: what follows is a new authenticator, nothing else.

    Raises:
        CodeRefusedError: wrong, used, too old or ended; not two colleagues; or no sign-in that lacks its second step.
            Nobody learns which, and it counts as a wrong sign-in (S-101, S-102).
    """
    user = user_in(work, sign_in.user_id)
    recovery = q.newest(work.session, user.id, lock=True)
    right = m.holds(recovery, first_half, second_half)
    if recovery is None or not right or recovery.state(work.now) != m.CONFIRMED:
        raise CodeRefusedError
    if user.is_locked or sign_in.ended_at is not None or sign_in.second_factor_at is not None:
        raise CodeRefusedError
    if not q.holds(work.session, recovery, work.now):
        raise CodeRefusedError
    recovery.use(work.now)
    work.record(recovery, ["used_at"])
    tell_change(work, user.id, "recovery_used")
    let_enroll(work, user, sign_in)
    return sign_in
