"""What can be done about passkeys, and what the rooms upstairs do with an answer of one."""

from __future__ import annotations

from uuid import UUID

from referrals.account.models import User
from referrals.account.policy import is_oneself
from referrals.account.queries import oneself
from referrals.kernel.command import Work, command
from referrals.kernel.schema import Takes, code, line
from referrals.passkey import models as m
from referrals.passkey import policy as p
from referrals.passkey import queries as q
from referrals.passkey import webauthn
from referrals.passkey.models import (
    ADD,
    USE,
    NoPasskeyError,
    NotOfferedError,
    Passkey,
    PasskeyChallenge,
    PasskeyCopiedError,
    PasskeyKnownError,
    PasskeyRefusedError,
)

__all__ = ["ADD", "USE", "PasskeyCopiedError", "PasskeyKnownError", "PasskeyRefusedError"]


class ChallengePasskey(Takes):
    """What the challenge is for: `use` one, or `add` one."""

    purpose = code(m.PURPOSES)


@command(
    records="passkey.asked",
    on=User,
    makes=PasskeyChallenge,
    takes=ChallengePasskey,
    within=oneself,
    allow=[[is_oneself, p.is_signed_in]],
    purpose="administration",
)
def challenge_passkey(work: Work, user: User, *, purpose: str) -> PasskeyChallenge:
    """Make the challenge of this sign-in, in place of any it had: for one answer, within five minutes.

    Raises:
        NotOfferedError: this installation's address cannot have passkeys.
        NoPasskeyError: there is none to use.
    """
    if q.site(work.session) is None:
        raise NotOfferedError
    if purpose == USE and not q.of_user(work.session, user.id):
        raise NoPasskeyError
    asked = q.open_challenge(work.session, work.actor.sign_in_id)
    if asked is None:
        asked = PasskeyChallenge(user_id=user.id, sign_in_id=work.actor.sign_in_id)
        asked.ask(purpose, work.now)
        work.add(asked)
    else:
        work.record(asked, asked.ask(purpose, work.now))
    return asked


class RenamePasskey(Takes):
    """What its owner calls it."""

    name = line(60)


@command(
    records="passkey.renamed",
    on=Passkey,
    takes=RenamePasskey,
    within=q.own,
    allow=[[p.holds_it]],
    purpose="administration",
)
def rename_passkey(work: Work, passkey: Passkey, *, name: str) -> Passkey:
    """Call one of one's passkeys something else.

    Raises:
        PasskeyEndedError: it was removed.
    """
    passkey.rename(name)
    work.record(passkey, ["name"])
    return passkey


# --- for the rooms upstairs ------------------------------------------------------------------------------------------


def take_answer(work: Work, user_id: UUID, answer: str) -> Passkey:
    """Take the answer of one of somebody's passkeys to the challenge of the acting sign-in.

    Raises:
        PasskeyRefusedError: it is not right; the caller counts it as a failed sign-in, and calls `spend_challenge()`.
        PasskeyCopiedError: it is right but for the key's counter.
    """
    site, asked, challenge = q.answered(work.session, work.actor.sign_in_id, answer, USE, work.now)
    passkey = q.in_force(work.session, user_id, answer)
    try:
        read = webauthn.read_used(site, answer, challenge, passkey.public_key)
    except ValueError:
        raise PasskeyRefusedError from None
    work.record(passkey, passkey.use(read.sign_count, is_synced=read.is_synced, at=work.now))
    work.record(asked, asked.spend(work.now))
    return passkey


def take_new(work: Work, user_id: UUID, answer: str, name: str) -> Passkey:
    """Take a new passkey by its answer to the challenge of the acting sign-in.

    Raises:
        PasskeyRefusedError: the answer is not right; the caller calls `spend_challenge()`.
        PasskeyKnownError: this very one was added before.
    """
    site, asked, challenge = q.answered(work.session, work.actor.sign_in_id, answer, ADD, work.now)
    try:
        read = webauthn.read_added(site, answer, challenge)
    except ValueError:
        raise PasskeyRefusedError from None
    if q.is_known(work.session, read.credential_id):
        raise PasskeyKnownError
    made = Passkey(
        user_id=user_id,
        credential_id=read.credential_id,
        public_key=read.public_key,
        sign_count=read.sign_count,
        transports=read.transports,
        aaguid=read.aaguid,
        is_syncable=read.is_syncable,
        is_synced=read.is_synced,
        name=name,
        added_at=work.now,
    )
    work.add(made)
    work.record(asked, asked.spend(work.now))
    return made


def spend_challenge(work: Work) -> None:
    """Let the challenge of the acting sign-in be answered no more: a wrong answer was its one."""
    asked = q.open_challenge(work.session, work.actor.sign_in_id)
    if asked is not None and (fields := asked.spend(work.now)):
        work.record(asked, fields)
