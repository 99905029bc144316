"""The session and its guards: nothing is written outside a command's one flush, and nothing commits by itself.

Listeners are registered here, at import, once. What Python cannot guard (raw SQL on a connection) the database refuses.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from sqlalchemy import Column, TextClause, event
from sqlalchemy import inspect as inspected
from sqlalchemy.orm import InstanceState, Mapper, ORMExecuteState, Session, UOWTransaction

from referrals.kernel.errors import UnrecordedWriteError
from referrals.kernel.orm import Base, Identified


class Flushing(Protocol):
    """What the guards need to know of the act in progress (`session.info["work"]`)."""

    flushing: bool
    touched: dict[Identified, set[str]]


class HouseSession(Session):
    """The session with the house's guards: nothing is written outside a command, and nothing commits by itself.

    Rows stay loaded after a commit (a template must not read again after the look was recorded), and nothing flushes
    early.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Fix the two settings that the guards rely on."""
        kwargs |= {"expire_on_commit": False, "autoflush": False}
        super().__init__(*args, **kwargs)

    def commit(self) -> None:
        """Commit, when `execute()`, `look()` or a job's claim asks for it."""
        if not self.info.get("committing"):
            raise UnrecordedWriteError("only a command, a look or a job's claim commits")
        super().commit()

    def bulk_save_objects(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuse: bulk methods pass by the guards."""
        raise UnrecordedWriteError("bulk methods pass by the record")

    bulk_insert_mappings = bulk_save_objects
    bulk_update_mappings = bulk_save_objects


@event.listens_for(HouseSession, "before_flush")
def _guard_flush(session: Session, _context: UOWTransaction, _instances: object) -> None:
    work = cast("Flushing | None", session.info.get("work"))
    audited = [row for row in (*session.new, *session.dirty, *session.deleted) if type(row).__audited__]
    if session.deleted:
        raise UnrecordedWriteError("nothing is deleted: end, withdraw or correct it")
    if audited and (work is None or not work.flushing):
        raise UnrecordedWriteError(f"a write outside a command's one flush: {audited[0]!r}")


@event.listens_for(HouseSession, "after_flush")
def _collect_touched(session: Session, _context: UOWTransaction) -> None:
    work = cast("Flushing | None", session.info.get("work"))
    if work is None:
        return
    for row in session.new:
        if isinstance(row, Identified):
            work.touched[row] = _filled(row)
    for row in session.dirty:
        if isinstance(row, Identified) and (changed := changed_fields(row)):
            if {"id", type(row).__participant__} & changed:
                raise UnrecordedWriteError(f"{row!r} would pass to another id or participant")
            work.touched[row] = changed


def _field_of(row: Base, attribute: str) -> str | None:
    """Return the field a mapped attribute belongs to; None for what follows from others (an index, the revision)."""
    column = cast("Mapper[Any]", inspected(type(row))).columns.get(attribute)
    if not isinstance(column, Column) or attribute == "revision" or column.info.get("follows"):
        return None
    return column.key


def _filled(row: Identified) -> set[str]:
    state = cast("InstanceState[Any]", inspected(row))
    return {
        name for key, value in state.dict.items() if value is not None and (name := _field_of(row, key)) is not None
    }


def changed_fields(row: Identified) -> set[str]:
    """Return the names of the fields that a flush would change, or has just changed."""
    state = cast("InstanceState[Any]", inspected(row))
    return {
        name
        for key, before in state.committed_state.items()
        if state.dict.get(key) != before and (name := _field_of(row, key)) is not None
    }


@event.listens_for(HouseSession, "do_orm_execute")
def _guard_statement(state: ORMExecuteState) -> None:
    if isinstance(state.statement, TextClause):
        raise UnrecordedWriteError("raw SQL through the session")
    if not (state.is_insert or state.is_update or state.is_delete):
        return
    mapper = state.bind_mapper
    if mapper is None or mapper.class_.__audited__:
        raise UnrecordedWriteError("a bulk or Core write to an audited table")
