"""Code sheets: what is on them, which code is asked for, and what becomes of them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped

from referrals.account import models as account
from referrals.account.models import User, plain_code, random_code
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, personal, public, related

#: How many codes a printed sheet has, and from how few its owner is told to print another.
SHEET_CODES: Final = 60
SHEET_FEW: Final = 5
#: How many letters a code of a sheet has: 50 bits.
_LETTERS: Final = 10
#: Letters and digits of a sheet's name that nobody takes for others.
_NAME_LETTERS, _NAME_DIGITS = "ACDEFHJKMNPRTWXY", "234679"


class SheetNotPendingError(RuleBrokenError):
    """The code sheet was taken into use before, or another one was printed meanwhile."""

    code = "sheet_not_pending"


class NoSheetError(RuleBrokenError):
    """There is no code sheet that could be reported lost."""

    code = "no_sheet"


def draw() -> tuple[list[str], list[str]]:
    """Return the codes of a new sheet in clear, and their hashes, in order."""
    codes = [random_code(_LETTERS) for _ in range(SHEET_CODES)]
    return codes, [account.recovery.hash(plain_code(code)) for code in codes]


class CodeSheet(Identified):
    """Sixty numbered codes on paper, for whoever works where no phone may go; pending until its first code.

    One code at a time is asked for, by its number; which one changes when it was given, and by nothing else. A code's
    hash goes when the code is used, so nothing is left that it could match again (S-104). A sheet that was lost or
    used up opens nothing, and is still the factor of its account: a password alone never sets up another (S-103).
    """

    __tablename__ = "code_sheet"
    __allow_unmapped__ = True
    __table_args__ = (
        Index(
            "uq_code_sheet_in_force",
            "user_id",
            unique=True,
            sqlite_where=text("confirmed_at IS NOT NULL AND ended_at IS NULL"),
            postgresql_where=text("confirmed_at IS NOT NULL AND ended_at IS NULL"),
        ),
    )

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    #: What is printed at its head, so that its owner knows one sheet from another: `K4`.
    name: Mapped[str] = public(String(2))
    #: A line for each code that was not used: its number, and its salted hash.
    hashes: Mapped[str] = personal(Text)
    #: The number that is asked for now; None: none is left.
    asked: Mapped[int | None] = public()
    made_at: Mapped[datetime] = public()
    confirmed_at: Mapped[datetime | None] = public()
    lost_at: Mapped[datetime | None] = public()
    ended_at: Mapped[datetime | None] = public()

    user: Mapped[User] = related("User")

    #: The codes just drawn, in clear and in order: shown once, then gone.
    shown_codes: Sequence[str] = ()

    @classmethod
    def print(cls, user_id: UUID, drawn: tuple[list[str], list[str]], at: datetime, *, unlike: str) -> CodeSheet:
        """Return a pending sheet of these codes and hashes, under another name than the one before."""
        names = [letter + digit for letter in _NAME_LETTERS for digit in _NAME_DIGITS if letter + digit != unlike]
        codes, hashes = drawn
        lines = "\n".join(f"{number} {hashed}" for number, hashed in enumerate(hashes, 1))
        made = cls(user_id=user_id, name=secrets.choice(names), hashes=lines, made_at=at)
        made.asked = secrets.choice(list(made.unused()))
        made.shown_codes = codes
        return made

    def unused(self) -> dict[int, str]:
        """Return the hashes of the codes not used yet, by number."""
        parts = (line.split(" ", 1) for line in self.hashes.splitlines())
        return {int(number): hashed for number, hashed in parts}

    @property
    def left(self) -> int:
        """How many codes were not used yet."""
        return len(self.unused())

    @property
    def opens(self) -> bool:
        """Whether its codes count: in use, not lost, not replaced, not used up."""
        return self.confirmed_at is not None and self.lost_at is None and self.ended_at is None and bool(self.asked)

    def take(self, typed: str) -> bool:
        """Take the code that is asked for, and ask for another from now on; False when it is not that one."""
        plain, unused = plain_code(typed), self.unused()
        if self.asked is None or len(plain) != _LETTERS:
            return False
        if not account.recovery.verify(unused[self.asked], plain):
            return False
        del unused[self.asked]
        self.hashes = "\n".join(f"{number} {hashed}" for number, hashed in unused.items())
        self.asked = secrets.choice(list(unused)) if unused else None
        return True

    def confirm(self, at: datetime) -> None:
        """Take the sheet into use: its owner has shown that it was printed."""
        if self.confirmed_at is not None or self.ended_at is not None:
            raise SheetNotPendingError
        self.confirmed_at = at

    def lose(self, at: datetime) -> None:
        """Let none of its codes open anything from now on."""
        if self.lost_at is not None or self.ended_at is not None or self.confirmed_at is None:
            raise NoSheetError
        self.lost_at, self.asked, self.hashes = at, None, ""
