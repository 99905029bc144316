"""Lists as CSV: RFC 4180, in UTF-8 with a byte order mark, for spreadsheets that would take it for something else.

Every cell is quoted, and its text stays as it is, but for one mark (S-305). A spreadsheet runs a cell that begins with
`=`, `+`, `-` or `@` as a formula, also in its full-width form, and may run what follows a tab or a line end at its
beginning: such a cell gets an apostrophe in front (OWASP, CSV Injection). What begins with apostrophes before such a
sign gets one more, so that taking one away always gives back what was there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

MARK: Final = "'"
#: What a spreadsheet may take for the beginning of a formula; the last four are full-width forms.
RUNS: Final = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def written(lines: Iterable[Sequence[str]]) -> bytes:
    """Return a whole file of these lines, the first of them its header."""
    made = io.StringIO(newline="")
    writer = csv.writer(made, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([inert(cell) for cell in line] for line in lines)
    return made.getvalue().encode("utf-8-sig")


def inert(text: str) -> str:
    """Return a cell's text so that no spreadsheet runs it."""
    return MARK + text if _would_run(text) else text


def plain(cell: str) -> str:
    """Return the text that a cell was made from."""
    return cell[1:] if cell.startswith(MARK) and _would_run(cell[1:]) else cell


def _would_run(text: str) -> bool:
    return text.lstrip(MARK)[:1] in RUNS
