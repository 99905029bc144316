"""Many rows written as one: for what a single look or act leaves behind by the dozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Table, insert

#: More gain nothing, and each number of rows is a statement of its own that is kept ready.
_ROWS_AT_ONCE: Final = 100


def insert_together(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows that name the same columns in one statement (one for each 100 of them).

    Row by row, every other thread may have the interpreter before the next row, and on SQLite each time keeps everybody
    waiting who wants to write. PostgreSQL's driver sends them in one go itself.
    """
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        connection.execute(insert(table).inline(), rows)
        return
    names = tuple(rows[0])
    kept = list(zip(names, _stored(table, names, connection.dialect), strict=True))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        values = tuple(row[name] if keep is None else keep(row[name]) for row in some for name, keep in kept)
        connection.exec_driver_sql(_inserting(table, names, len(some)), values)


@cache
def _stored(table: Table, names: tuple[str, ...], dialect: Dialect) -> list[Callable[[Any], Any] | None]:
    """Return what makes of each column's value what the database keeps; None: it is kept as it is."""
    return [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]


@cache
def _inserting(table: Table, names: tuple[str, ...], count: int) -> str:
    """Write the statement out: SQLAlchemy would build and compile one of many rows anew each time."""
    row = f"({', '.join('?' for _ in names)})"
    columns = ", ".join(f'"{name}"' for name in names)
    return f'INSERT INTO "{table.name}" ({columns}) VALUES {", ".join([row] * count)}'  # noqa: S608  # our own names
