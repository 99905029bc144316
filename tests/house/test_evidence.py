"""The tables of evidence: each edge and each line stands there, and every test they name is one that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from referrals.referral.models import EDGES
from tools import evidence

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
#: S-1 and S-8 of the security baseline.
NUMBERS: Final = [*range(101, 118), *range(801, 810)]


def cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def test_no_table_names_a_test_that_is_gone() -> None:
    gone = sorted(name for name in evidence.named() if name not in evidence.tests())
    assert gone == [], f"{gone}: name the test that shows it now in tools/evidence.py."
    assert "**gone**" not in (DOCS / "security-checks.md").read_text(encoding="utf-8")


def test_each_edge_stands_once_with_a_test_that_takes_it() -> None:
    rows = [cells(line) for line in (DOCS / "referral-edges.md").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if len(row) == 6 and row[0] not in {"from", "---"}]
    assert sorted(tuple(row[:3]) for row in rows) == sorted((str(a), what, str(b)) for a, what, b in EDGES)
    bare = [row[:3] for row in rows if not row[5].startswith("test_") or not row[3]]
    assert bare == [], f"{bare}: name the test that takes it in tools/evidence.py."


def test_each_line_of_s1_and_s8_stands_with_a_test_or_says_that_it_is_not_built() -> None:
    assert list(evidence.LINES) == NUMBERS
    text = (DOCS / "security-checks.md").read_text(encoding="utf-8")
    told = {int(part[2:5]): part for part in text.split("\n## ")[1:]}
    assert sorted(told) == NUMBERS
    bare = [number for number, part in told.items() if "- `test_" not in part and "*Not yet:* Not built" not in part]
    assert bare == [], f"{bare}: write a test that bears the number, or say in tools/evidence.py that it is not built."
    assert [number for number, part in told.items() if "*Not yet:* Not built" in part] == [115]
