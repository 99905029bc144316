"""Reading passkeys, and whether an answer of one is right."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from referrals.account.queries import user
from referrals.kernel.actor import Actor
from referrals.kernel.errors import NotFoundError
from referrals.passkey import webauthn
from referrals.passkey.models import USE, NotOfferedError, Passkey, PasskeyChallenge, PasskeyRefusedError
from referrals.settings import Site


def own(actor: Actor) -> Select[Passkey]:
    """Select the actor's own passkeys, also those removed."""
    return select(Passkey).where(Passkey.user_id == actor.user_id)


def one_of(session: Session, actor: Actor, passkey_id: UUID) -> Passkey:
    """Return one of the actor's own passkeys in force.

    Raises:
        NotFoundError: it is nobody's, another's, or was removed.
    """
    found = session.scalars(own(actor).where(Passkey.id == passkey_id, Passkey.ended_at.is_(None))).one_or_none()
    if found is None:
        raise NotFoundError
    return found


def of_user(session: Session, user_id: UUID) -> list[Passkey]:
    """Return somebody's passkeys in force, oldest first."""
    statement = select(Passkey).where(Passkey.user_id == user_id, Passkey.ended_at.is_(None))
    return list(session.scalars(statement.order_by(Passkey.id)))


def exists_for(user_id: InstrumentedAttribute[UUID] | UUID) -> ColumnElement[bool]:
    """Return the condition that somebody has a passkey in force."""
    return exists().where(Passkey.user_id == user_id, Passkey.ended_at.is_(None))


def is_known(session: Session, credential_id: bytes) -> bool:
    """Whether this very passkey was ever added, by anybody."""
    return session.scalar(select(exists().where(Passkey.credential_id == credential_id))) is True


def site(session: Session) -> Site | None:
    """Return the address that passkeys belong to; None where this installation has none that browsers take."""
    return cast("Site | None", session.info.get("site"))


def open_challenge(session: Session, sign_in_id: UUID | None) -> PasskeyChallenge | None:
    """Return what a sign-in was asked last."""
    return session.scalars(select(PasskeyChallenge).where(PasskeyChallenge.sign_in_id == sign_in_id)).one_or_none()


def options(session: Session, asked: PasskeyChallenge) -> dict[str, Any]:
    """Return what a browser is asked by a challenge just made.

    Raises:
        NotOfferedError: this installation's address cannot have passkeys.
    """
    here = site(session)
    if here is None or asked.shown is None:
        raise NotOfferedError
    known = [webauthn.Known(one.credential_id, one.transports) for one in of_user(session, asked.user_id)]
    if asked.purpose == USE:
        return webauthn.to_use(here, asked.shown, known)
    whose = user(session, asked.user_id)
    name, called = whose.sign_in_name, whose.display_name
    return webauthn.to_add(here, asked.shown, known, handle=whose.id.bytes, name=name, called=called)


def answered(
    session: Session, sign_in_id: UUID | None, answer: str, purpose: str, at: datetime
) -> tuple[Site, PasskeyChallenge, bytes]:
    """Return the site, and the challenge of this sign-in that an answer is to.

    Raises:
        PasskeyRefusedError: it is to none, to another sign-in's, to one for another purpose, to one answered before, or
            too late.
    """
    here, asked = site(session), open_challenge(session, sign_in_id)
    try:
        challenge = webauthn.challenge_of(answer)
    except ValueError:
        raise PasskeyRefusedError from None
    if here is None or asked is None or not asked.is_answered_by(challenge, purpose, at):
        raise PasskeyRefusedError
    return here, asked, challenge


def in_force(session: Session, user_id: UUID, answer: str) -> Passkey:
    """Return which passkey of somebody an answer says it is of.

    Raises:
        PasskeyRefusedError: none of theirs, or one removed.
    """
    try:
        credential_id = webauthn.credential_of(answer)
    except ValueError:
        raise PasskeyRefusedError from None
    theirs = select(Passkey).where(Passkey.user_id == user_id, Passkey.credential_id == credential_id)
    found = session.scalars(theirs.where(Passkey.ended_at.is_(None)).with_for_update(of=Passkey)).one_or_none()
    if found is None:
        raise PasskeyRefusedError
    return found
