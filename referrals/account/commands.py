"""What people set on their own accounts, and what the rooms that change accounts share."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from referrals.account import models as m
from referrals.account import policy as p
from referrals.account import queries as q
from referrals.account.models import AccountChange, User
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.schema import Takes, code, uid


def use_fast_hashing() -> None:
    """Make hashing cheap: `THROUGHGATE_FAST_PASSWORDS` in development, and tests (S-906)."""
    m.use_fast_hashing()


# --- what acts on accounts share, here and upstairs ------------------------------------------------------------------


def locked_user(session: Session, condition: Any) -> User | None:
    """Return one user with roles and organization, in one statement: as many for a name that nobody has (S-102)."""
    statement = select(User).where(condition).with_for_update(of=User)
    options = (joinedload(User.grants), joinedload(User.organization))
    found = session.scalars(statement.options(*options), execution_options={"populate_existing": True})
    return found.unique().one_or_none()


def user_in(work: Work, user_id: UUID) -> User:
    """Return one user, under lock, with roles and organization."""
    user = locked_user(work.session, User.id == user_id)
    if user is None:
        raise LookupError("a sign-in without its user")
    return user


def tell_change(
    work: Work,
    user_id: UUID,
    what: str,
    *,
    role: str | None = None,
    ends_on: date | None = None,
    automatic: bool = False,
) -> None:
    """Keep what changed on an account, for its person to see (S-806)."""
    automatic = automatic or work.actor.source.channel == "job"
    by = None if automatic else work.actor.user_id
    work.add(
        AccountChange(user_id=user_id, what=what, role=role, ends_on=ends_on, at=work.now, by=by, automatic=automatic)
    )


# --- what people set on their own accounts ---------------------------------------------------------------------------


class SeeChanges(Takes):
    """The newest change that was looked at."""

    until = uid()


@command(
    records="account.changes_seen",
    on=User,
    makes=User,
    takes=SeeChanges,
    within=q.oneself,
    allow=[[p.is_oneself]],
    purpose="administration",
)
def see_changes(work: Work, user: User, *, until: UUID) -> User:
    """Say that one looked at what changed on one's account, up to a change; what came later stays new (S-806).

    Raises:
        InvalidInputError: no such change of this account.
    """
    change = work.session.get(AccountChange, until)
    if change is None or change.user_id != user.id:
        raise InvalidInputError({"until": ["unknown_change"]})
    if user.changes_seen_at is None or user.changes_seen_at < change.at:
        user.changes_seen_at = change.at
    work.record(user, ["changes_seen_at"])
    return user


class ChooseLanguage(Takes):
    """A language of the product."""

    language = code(m.LANGUAGES)


@command(
    records="account.language_changed",
    on=User,
    makes=User,
    takes=ChooseLanguage,
    within=q.oneself,
    allow=[[p.is_oneself]],
    purpose="administration",
)
def choose_language(work: Work, user: User, *, language: str) -> User:
    """Choose the language of everything one reads here, at every device."""
    user.language = language
    work.record(user, ["language"])
    return user
