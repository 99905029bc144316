"""What can be done about single sign-on: list an issuer, connect one's account with it, come in by it."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from referrals.account import models as account
from referrals.account import queries as accounts
from referrals.account.commands import tell_change, user_in
from referrals.account.models import User
from referrals.account.policy import administers_it, is_oneself
from referrals.factor.commands import come_in_by_new, is_first, require_another_factor
from referrals.issuer import commands as issuers
from referrals.issuer import oidc, policy
from referrals.issuer import queries as q
from referrals.issuer.models import (
    CONFIRM,
    ISSUERS_AT_MOST,
    LINK,
    SIGN_IN,
    Issuer,
    IssuerListedError,
    IssuerRefusedError,
    IssuerRequest,
    IssuerSubject,
    IssuerUnreachableError,
    OneFactorError,
    SubjectKnownError,
    TooManyIssuersError,
)
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.schema import Nothing, Takes, code, line, secret, uid, yes_no
from referrals.organization.models import Installation, Organization
from referrals.organization.queries import own as own_organization
from referrals.organization.queries import the_installation
from referrals.sign_in.commands import (
    FreshSignInNeededError,
    acting_sign_in,
    begin_sign_in,
    end_pending_factors,
    end_sign_ins,
    failed,
    owner_of,
    renew,
    require_fresh,
)
from referrals.sign_in.models import SignIn
from referrals.sign_in.policy import holds_it, is_nobody_yet
from referrals.sign_in.queries import this_sign_in

__all__ = ["FreshSignInNeededError", "IssuerRefusedError", "IssuerUnreachableError", "OneFactorError"]


# --- what an administrator says of an issuer --------------------------------------------------------------------------


def discover_ahead(session: Session, url: str, *, is_development: bool) -> None:
    """Read what an issuer publishes about itself before the command's transaction opens: it may take seconds."""
    session.rollback()
    found = None
    if oidc.is_address(url, is_development=is_development):
        found = q.discover(url, is_development=is_development)
    session.info["discovered"] = (url, found)


def _discovered(work: Work, url: str) -> oidc.Provider:
    known = work.session.info.pop("discovered", None)
    if known is None or known[0] != url or known[1] is None:
        raise InvalidInputError({"url": ["issuer_silent"]})
    return known[1]  # type: ignore[no-any-return]


class ListIssuer(Takes):
    """What people call it, its exact address, as whom we speak to it, and which of its words say "two factors"."""

    name = line(80)
    url = line(255)
    client_id = line(255)
    client_secret = secret(400)
    accepted_amr = line(200, required=False)
    accepted_acr = line(400, required=False)


@command(
    records="issuer.listed",
    on=Organization,
    makes=Issuer,
    takes=ListIssuer,
    within=own_organization,
    allow=[[administers_it]],
    purpose="administration",
)
def list_issuer(
    work: Work,
    organization: Organization,
    *,
    name: str,
    url: str,
    client_id: str,
    client_secret: str,
    accepted_amr: str | None,
    accepted_acr: str | None,
) -> Issuer:
    """Let an organization's people come in by the issuer they know. Nobody comes in by it before they connected.

    Raises:
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
        InvalidInputError: it does not answer as an issuer under this address, or no word says "two factors".
        IssuerListedError, TooManyIssuersError: it is in use already, or five are.
    """
    require_fresh(work)
    organization.require_in_force()
    used = q.in_use_of(work.session, organization.id)
    if any(one.url == url for one in used):
        raise IssuerListedError
    if len(used) >= ISSUERS_AT_MOST:
        raise TooManyIssuersError
    if not (accepted_amr or accepted_acr):
        raise InvalidInputError({"accepted_amr": ["required"]})
    provider = _discovered(work, url)
    made = Issuer(
        organization_id=organization.id,
        name=name,
        url=url,
        client_id=client_id,
        client_secret=client_secret,
        accepted_amr=" ".join((accepted_amr or "").split()),
        accepted_acr=" ".join((accepted_acr or "").split()),
        listed_at=work.now,
        listed_by=work.actor.user_id,
    )
    made.keep(provider, work.now)
    work.add(made)
    return made


class RenewIssuer(Takes):
    """The secret that replaces the one before."""

    client_secret = secret(400)


@command(
    records="issuer.renewed",
    on=Issuer,
    takes=RenewIssuer,
    within=q.visible_issuers,
    allow=[[policy.administers_its_organization]],
    purpose="administration",
)
def renew_issuer(work: Work, issuer: Issuer, *, client_secret: str) -> Issuer:
    """Take a new secret, and read anew what the issuer publishes about itself.

    Raises:
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
        IssuerEndedError: it is used no more. InvalidInputError: it does not answer.
    """
    require_fresh(work)
    issuer.require_in_force()
    try:
        provider = _discovered(work, issuer.url)
    except InvalidInputError:
        raise InvalidInputError({"client_secret": ["issuer_silent"]}) from None
    issuer.client_secret = client_secret
    work.record(issuer, ["client_secret", *issuer.keep(provider, work.now)])
    return issuer


class EndIssuer(Takes):
    """Why, in a few words."""

    because = line(400)


@command(
    records="issuer.ended",
    on=Issuer,
    takes=EndIssuer,
    within=q.visible_issuers,
    allow=[[policy.administers_its_organization]],
    purpose="administration",
)
def end_issuer(work: Work, issuer: Issuer, *, because: str) -> Issuer:
    """Believe an issuer no more: nobody comes in by it, and whoever is connected with it is signed out everywhere.

    A connection stays its account's factor, so that a password alone sets up no other (S-103).

    Raises:
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
        IssuerEndedError: it was ended before.
    """
    require_fresh(work)
    work.record(issuer, issuer.end(at=work.now, by=work.actor.user_id, because=because))
    for user_id in q.people_of(work.session, issuer.id):
        end_sign_ins(work, user_id, "factor_changed", but=work.actor.sign_in_id)
    return issuer


# --- coming in by it -------------------------------------------------------------------------------------------------


class AskIssuer(Takes):
    """Which issuer, that the system-use notice was read (S-114), and whether others use this computer."""

    issuer_id = uid()
    acknowledged = yes_no(required=True)
    shared = yes_no()


@command(
    records="issuer.requested",
    on=Installation,
    makes=IssuerRequest,
    takes=AskIssuer,
    within=the_installation,
    allow=[[is_nobody_yet]],
    purpose="administration",
)
def ask_issuer(
    work: Work, _installation: Installation, *, issuer_id: UUID, acknowledged: bool, shared: bool
) -> IssuerRequest:
    """Ask an issuer who somebody is who has not signed in; the answer signs them in.

    Raises:
        InvalidInputError: the notice was not acknowledged, or the issuer is none in use.
    """
    if not acknowledged:
        raise InvalidInputError({"acknowledged": ["acknowledge_first"]})
    if issuer_id not in {one.id for one in q.in_use(work.session)}:
        raise InvalidInputError({"issuer_id": ["not_a_choice"]})
    return issuers.ask(work, issuer_id, SIGN_IN, sign_in_id=None, shared=shared)


class Returned(Takes):
    """What the browser brought back from the issuer, which may name itself (RFC 9207)."""

    state = line(200)
    code = line(2000)
    iss = line(255, required=False)


@command(
    records="issuer.signed_in",
    on=Installation,
    makes=SignIn,
    takes=Returned,
    within=the_installation,
    allow=[[is_nobody_yet]],
    purpose="administration",
)
def sign_in_at_issuer(work: Work, _installation: Installation, *, state: str, code: str, iss: str | None) -> SignIn:
    """Sign in by an issuer's answer, which stands for password and second factor.

    It is fresh only if the person signed in there within the last ten minutes (S-113).

    Raises:
        IssuerRefusedError: it is not right, or of nobody who may come in: not connected, locked, disabled (S-102).
        OneFactorError: it does not say that two factors were given.
        IssuerUnreachableError: the issuer did not answer.
    """
    request, answer = issuers.take_answer(work, q.Brought(state, code, iss), SIGN_IN, None)
    known = q.subject_of(work.session, request.issuer_id, answer.subject)
    if known is None:
        raise IssuerRefusedError
    user = user_in(work, known.user_id)
    if not user.is_open(work.now) or user.organization_id != request.issuer.organization_id:
        raise IssuerRefusedError
    made = begin_sign_in(work, user, shared=request.is_shared)
    made.second_factor_at = work.now
    if answer.signed_in_at is not None:
        made.fresh_at = min(answer.signed_in_at, work.now)
    work.record(known, known.use(work.now))
    user.last_signed_in_at = work.now
    work.record(user, ["last_signed_in_at"])
    return made


class ProveAtIssuer(Takes):
    """Which issuer; whether to give a second factor, or to connect one's account with it."""

    issuer_id = uid()
    purpose = code((CONFIRM, LINK))


@command(
    records="issuer.proof_requested",
    on=SignIn,
    makes=IssuerRequest,
    takes=ProveAtIssuer,
    within=this_sign_in,
    allow=[[holds_it]],
    purpose="administration",
)
def prove_at_issuer(work: Work, sign_in: SignIn, *, issuer_id: UUID, purpose: str) -> IssuerRequest:
    """Ask an issuer who whoever is signed in is, for a second factor or to connect their account with it.

    Raises:
        InvalidInputError: the issuer is none of theirs.
        FreshSignInNeededError: connecting another factor asks for one given within the last ten minutes.
    """
    user = user_in(work, sign_in.user_id)
    if purpose == CONFIRM:
        offered = {one.issuer_id for one in q.working_subjects(work.session, user.id)}
    else:
        _require_connecting(work, user, sign_in)
        offered = {one.id for one in q.in_use_of(work.session, user.organization_id)}
    if issuer_id not in offered:
        raise InvalidInputError({"issuer_id": ["not_a_choice"]})
    return issuers.ask(work, issuer_id, purpose, sign_in_id=sign_in.id)


def _require_connecting(work: Work, user: User, acting: SignIn) -> bool:
    """Return whether it would be the account's first factor; another one asks for a fresh sign-in."""
    first = is_first(work, user, acting)
    if not first:
        require_fresh(work)
    return first


@command(
    records="issuer.confirmed",
    on=SignIn,
    makes=SignIn,
    takes=Returned,
    within=this_sign_in,
    allow=[[holds_it]],
    purpose="administration",
    outlasts=failed(IssuerRefusedError, "issuer", owner_of),
)
def confirm_at_issuer(work: Work, sign_in: SignIn, *, state: str, code: str, iss: str | None) -> SignIn:
    """Give the second factor by an issuer's answer: completes a sign-in, or makes it fresh. The token is renewed.

    Raises:
        IssuerRefusedError: it is not right, or speaks of somebody else; it counts as a failed sign-in (S-101).
        OneFactorError: it does not say that two factors were given.
        IssuerUnreachableError: the issuer did not answer.
    """
    user = user_in(work, sign_in.user_id)
    if not user.is_open(work.now) or sign_in.ended_at is not None:
        raise IssuerRefusedError
    request, answer = issuers.take_answer(work, q.Brought(state, code, iss), CONFIRM, sign_in.id)
    known = q.subject_of(work.session, request.issuer_id, answer.subject)
    if known is None or known.user_id != user.id:
        raise IssuerRefusedError
    work.record(known, known.use(work.now))
    sign_in.prove(work.now)
    renew(work, sign_in)
    work.record(sign_in, ["second_factor_at", "fresh_at"])
    if not user.must_change_password:
        user.last_signed_in_at = work.now
        work.record(user, ["last_signed_in_at"])
    return sign_in


# --- one's own account with it ---------------------------------------------------------------------------------------


@command(
    records="issuer.connected",
    on=User,
    makes=SignIn,
    takes=Returned,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
)
def connect_issuer(work: Work, user: User, *, state: str, code: str, iss: str | None) -> SignIn:
    """Connect one's account with whom an issuer says one is. All other sign-ins of the user end (S-110).

    On the first day it takes the place of a password and a second factor: the one-time code opens nothing any more.

    Raises:
        FreshSignInNeededError: there is a factor, and it was given more than ten minutes ago, or not at all.
        IssuerRefusedError, OneFactorError, IssuerUnreachableError: the answer is not right, or there is none.
        SubjectKnownError: one of the two is connected with another already.
    """
    acting = acting_sign_in(work)
    first = _require_connecting(work, user, acting)
    request, answer = issuers.take_answer(work, q.Brought(state, code, iss), LINK, acting.id)
    if request.issuer.organization_id != user.organization_id or acting.ended_at is not None:
        raise IssuerRefusedError
    theirs = {one.issuer_id for one in q.subjects_of(work.session, user.id)}
    if request.issuer_id in theirs or q.subject_of(work.session, request.issuer_id, answer.subject) is not None:
        raise SubjectKnownError
    work.add(issuers.new_subject(user.id, request.issuer_id, answer.subject, work.now))
    if user.must_change_password:
        user.choose_password(account.passwords.nobody, work.now)
        work.record(user, ["password_hash", "password_changed_at", "one_time_until", "one_time_used_at"])
    if first:
        end_pending_factors(work, user.id)
    tell_change(work, user.id, "issuer_added")
    come_in_by_new(work, user, acting)
    return acting


@command(
    records="issuer.disconnected",
    on=IssuerSubject,
    makes=SignIn,
    takes=Nothing,
    within=q.own_subjects,
    allow=[[policy.holds_it]],
    purpose="administration",
)
def disconnect_issuer(work: Work, subject: IssuerSubject) -> SignIn:
    """End the connection of one's account with an issuer, but never the last second factor. Other sign-ins end.

    Raises:
        FreshSignInNeededError: the second factor was given more than ten minutes ago.
        SubjectEndedError: it was ended before. LastFactorError: the account has no other second factor.
    """
    require_fresh(work)
    user_in(work, subject.user_id)  # under lock: two factors removed at once would leave none
    fields = subject.end(at=work.now, by=work.actor.user_id, because="removed")
    require_another_factor(work, subject.user_id, but=subject.id)
    work.record(subject, fields)
    acting = acting_sign_in(work)
    tell_change(work, subject.user_id, "issuer_removed")
    end_sign_ins(work, subject.user_id, "factor_changed", but=acting.id)
    renew(work, acting)
    return acting
