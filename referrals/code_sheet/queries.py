"""Reading code sheets."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from referrals.code_sheet.models import SHEET_FEW, CodeSheet
from referrals.kernel.actor import Actor

__all__ = [
    "SHEET_FEW",
]


def own(actor: Actor) -> Select[CodeSheet]:
    """Select the actor's own code sheets."""
    return select(CodeSheet).where(CodeSheet.user_id == actor.user_id)


def sheet_of(session: Session, user_id: UUID) -> CodeSheet | None:
    """Return the code sheet that was taken into use last and not replaced; it may be lost or used up."""
    statement = select(CodeSheet).where(
        CodeSheet.user_id == user_id, CodeSheet.confirmed_at.is_not(None), CodeSheet.ended_at.is_(None)
    )
    return session.scalars(statement).one_or_none()


def pending_sheet(session: Session, user_id: UUID) -> CodeSheet | None:
    """Return the code sheet that waits for its first code."""
    statement = select(CodeSheet).where(
        CodeSheet.user_id == user_id, CodeSheet.confirmed_at.is_(None), CodeSheet.ended_at.is_(None)
    )
    return session.scalars(statement.order_by(CodeSheet.id.desc()).limit(1)).one_or_none()


def exists_for(user_id: InstrumentedAttribute[UUID] | UUID) -> ColumnElement[bool]:
    """Return the condition that somebody took a sheet into use and has no other factor in its place: perhaps lost."""
    return exists().where(
        CodeSheet.user_id == user_id, CodeSheet.confirmed_at.is_not(None), CodeSheet.ended_at.is_(None)
    )
