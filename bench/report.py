"""Telling the figures: one Markdown table beside its goals, and JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
_PACKAGES: Final = ("flask", "sqlalchemy", "gunicorn", "cryptography", "marshmallow", "psycopg")


def versions() -> dict[str, str]:
    """Return what the figures were measured with."""
    found = {"python": platform.python_version(), "cores": str(os.cpu_count()), "machine": platform.machine()}
    for name in _PACKAGES:
        found[name] = importlib.metadata.version(name)
    commit = subprocess.run(
        ["/usr/bin/env", "git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    found["commit"] = commit.stdout.strip() or "unknown"
    return found


def markdown(about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table with what stands above and below it."""
    setting = ", ".join(f"{name} {value}" for name, value in about["versions"].items())
    served = f"{about['workers']} workers, {about['connections']} connections"
    lines = [
        f"## {about['database']}, {about['participants']:,} participants, {about['referrals']:,} referrals",
        "",
        f"{served}, {about['rounds']} rounds of {about['seconds']} s.",
        f"Median of the rounds, the lowest and highest in brackets. Load average {about['load']}.",
        f"{setting}.",
        "",
        "| what | who | door | requests/s | p50 ms | p99 ms | CPU ms | goal | SQL | goal | bytes |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(row) for row in rows]
    lines += ["", f"Memory of a worker afterwards: {', '.join(f'{one / 1024:.0f} MiB' for one in about['memory'])}."]
    return "\n".join(lines)


def _line(row: Mapping[str, Any]) -> str:
    name = f"| {row['name']} | {row['who']} | {row['door']} "
    sql = _range(row["statements"])
    goals = (
        ("" if row["goal_cpu_ms"] is None else f"≤ {row['goal_cpu_ms']:g}"),
        ("" if row["goal_statements"] is None else f"≤ {row['goal_statements']}"),
    )
    if row["fault"] or "per_second" not in row:
        return f"{name}| - | - | - | - | {goals[0]} | {sql} | {goals[1]} | {row['fault'] or 'not measured'} |"
    cpu = _with_spread(row, "cpu_ms", 1)
    if row["goal_cpu_ms"] is not None and row["cpu_ms"] > row["goal_cpu_ms"]:
        cpu = f"**{cpu}**"
    if row["goal_statements"] is not None and row["statements"] and row["statements"][-1] > row["goal_statements"]:
        sql = f"**{sql}**"
    figures = [_with_spread(row, "per_second", 0), _with_spread(row, "p50_ms", 1), _with_spread(row, "p99_ms", 0), cpu]
    return f"{name}| {' | '.join(figures)} | {goals[0]} | {sql} | {goals[1]} | {row['bytes']:,.0f} |"


def _with_spread(row: Mapping[str, Any], key: str, digits: int) -> str:
    low, high = row[f"{key}_spread"]
    return f"{row[key]:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def _range(counts: Sequence[int]) -> str:
    if not counts:
        return "-"
    return str(counts[0]) if counts[0] == counts[-1] else f"{counts[0]}-{counts[-1]}"
