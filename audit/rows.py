"""Many rows written as one: for what a single look or act leaves behind by the dozen."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Table, bindparam, func, insert, literal_column, select


def insert_together(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows that name the same columns, none of which holds bytes, in one statement.

    On SQLite they are handed over as one JSON text: row by row, every other thread may have the interpreter before the
    next row, and each time keeps everybody waiting who wants to write. PostgreSQL's driver sends them in one go itself.
    """
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        connection.execute(insert(table).inline(), rows)
        return
    names = tuple(rows[0])
    kept = list(zip(names, _stored(table, names, connection.dialect), strict=True))
    told = [[row[name] if keep is None else keep(row[name]) for name, keep in kept] for row in rows]
    connection.execute(_from_json(table, names), {"rows": json.dumps(told)})


@cache
def _stored(table: Table, names: tuple[str, ...], dialect: Dialect) -> list[Callable[[Any], Any] | None]:
    """Return what makes of each column's value what the database keeps; None: it is kept as it is."""
    return [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]


@cache
def _from_json(table: Table, names: tuple[str, ...]) -> Insert:
    row = func.json_each(bindparam("rows")).table_valued("value")
    values = (row.c.value.op("->>")(literal_column(str(place))) for place in range(len(names)))
    return insert(table).from_select(names, select(*values), include_defaults=False).inline()
