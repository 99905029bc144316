"""What the rooms of signing in do with a sheet. Its acts stand there: each is one of a sign-in, too."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from referrals.code_sheet import models as m
from referrals.code_sheet import queries as q
from referrals.code_sheet.models import CodeSheet, NoSheetError, SheetNotPendingError
from referrals.kernel.command import Work
from referrals.kernel.errors import InvalidInputError

__all__ = ["SheetNotPendingError"]


def draw_ahead(session: Session) -> None:
    """Draw and hash the codes of a sheet before the command's transaction opens: sixty hashes take half a second."""
    session.rollback()
    session.info["drawn_ahead"] = m.draw()


def print_sheet(work: Work, user_id: UUID) -> CodeSheet:
    """Make a pending sheet in place of any other pending one; its codes are told once, in `shown_codes`."""
    end_pending(work, user_id)
    drawn = work.session.info.pop("drawn_ahead", None) or m.draw()
    before = q.sheet_of(work.session, user_id)
    made = CodeSheet.print(user_id, drawn, work.now, unlike=before.name if before is not None else "")
    work.add(made)
    return made


def end_pending(work: Work, user_id: UUID) -> None:
    """End a user's sheets that wait for their first code."""
    pending = select(CodeSheet).where(
        CodeSheet.user_id == user_id, CodeSheet.confirmed_at.is_(None), CodeSheet.ended_at.is_(None)
    )
    for old in work.session.scalars(pending):
        old.ended_at = work.now
        work.record(old, ["ended_at"])


def take_into_use(work: Work, sheet: CodeSheet, typed: str) -> bool:
    """Take a sheet into use by the code of it that is asked for; return whether it took the place of another.

    Raises:
        InvalidInputError: it is not that code.
        SheetNotPendingError: it was taken into use before, or replaced meanwhile.
    """
    if sheet.confirmed_at is not None or sheet.ended_at is not None:
        raise SheetNotPendingError
    if not sheet.take(typed):
        raise InvalidInputError({"code": ["sheet_code_wrong"]})
    earlier = q.sheet_of(work.session, sheet.user_id)
    if earlier is not None:
        earlier.ended_at = work.now
        work.record(earlier, ["ended_at"])
    sheet.confirm(work.now)
    work.record(sheet, ["confirmed_at", "hashes", "asked"])
    return earlier is not None


def take_asked(work: Work, user_id: UUID, typed: str) -> bool:
    """Take the code that somebody's sheet asks for; False when it is not that one, or no sheet opens anything."""
    sheet = q.sheet_of(work.session, user_id)
    if sheet is None or not sheet.opens or not sheet.take(typed):
        return False
    work.record(sheet, ["hashes", "asked"])
    return True


def lose(work: Work, user_id: UUID) -> CodeSheet:
    """Let no code of a user's sheet open anything; it stays their factor until another takes its place (S-103).

    Raises:
        NoSheetError: there is none in use, or it was said before.
    """
    sheet = q.sheet_of(work.session, user_id)
    if sheet is None:
        raise NoSheetError
    sheet.lose(work.now)
    work.record(sheet, ["lost_at", "hashes", "asked"])
    return sheet


def end_all(work: Work, user_id: UUID) -> None:
    """Take a user's sheet for lost and replaced, and end those that wait: what two colleagues said (S-105)."""
    sheet = q.sheet_of(work.session, user_id)
    if sheet is not None:
        if sheet.lost_at is None:
            sheet.lose(work.now)
        sheet.ended_at = work.now
        work.record(sheet, ["lost_at", "hashes", "asked", "ended_at"])
    end_pending(work, user_id)
