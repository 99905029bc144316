"""What the rooms upstairs do with an answer of an issuer, and with whom it speaks of. No act of its own."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from referrals.issuer import queries as q
from referrals.issuer.models import IssuerRefusedError, IssuerRequest, IssuerSubject
from referrals.issuer.oidc import Answer
from referrals.kernel.command import Work


def ask(work: Work, issuer_id: UUID, purpose: str, *, sign_in_id: UUID | None, shared: bool = False) -> IssuerRequest:
    """Make a request for the browser that asks; its `shown_state` is told once.

    Raises:
        LookupError: the door did not say which browser asks.
    """
    browser = work.session.info.pop("browser")
    made = IssuerRequest.ask(issuer_id, purpose, browser=browser, sign_in_id=sign_in_id, shared=shared, at=work.now)
    work.add(made)
    return made


def take_answer(work: Work, brought: q.Brought, purpose: str, sign_in_id: UUID | None) -> tuple[IssuerRequest, Answer]:
    """Take the answer to a request, once; the door had it fetched before (`queries.answer_ahead`).

    Only what is taken spends the request: the issuer changes each code once, and a thief's try locks nobody out.

    Raises:
        IssuerRefusedError: there is none, or it came late, twice, to another browser, or is not right.
        IssuerUnreachableError: the issuer did not answer.
        OneFactorError: it does not say that two factors were given (S-103).
    """
    known = work.session.info.pop("issuer_answer", None)
    request = q.request_of(work.session, brought.state)
    if known is None or known[0] != brought or request is None:
        raise IssuerRefusedError
    answer = known[1]
    if not isinstance(answer, Answer):
        raise answer
    in_time = request.used_at is None and request.purpose == purpose and request.sign_in_id == sign_in_id
    if not in_time or request.issuer.ended_at is not None:
        raise IssuerRefusedError
    request.issuer.require_two_factors(answer)
    work.record(request, request.spend(work.now))
    return request, answer


def end_subjects(work: Work, user_id: UUID, because: str) -> None:
    """End whatever issuers say of somebody: none of it opens their account any more."""
    for one in q.subjects_of(work.session, user_id):
        work.record(one, one.end(at=work.now, by=work.actor.user_id, because=because))


def new_subject(user_id: UUID, issuer_id: UUID, subject: str, at: datetime) -> IssuerSubject:
    """Return that somebody is whom an issuer calls so, used for the first time now."""
    return IssuerSubject(user_id=user_id, issuer_id=issuer_id, subject=subject, added_at=at, last_used_at=at)
