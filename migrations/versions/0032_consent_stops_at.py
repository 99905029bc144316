"""When a consent stops to hold, whatever ends it: one instant that lists can ask, only ever lowered.

Revision ID: 0032
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import op

revision: Final = "0032"
down_revision: Final = "0031"
branch_labels: Final = None
depends_on: Final = None

_OVER: Final = ("withdrawn_at", "superseded_at", "event_at", "voided_at")
_CONSENT: Final = sa.table(
    "consent",
    sa.column("id", sa.Uuid()),
    sa.column("expires_on", sa.Date()),
    sa.column("no_later_than", sa.Date()),
    sa.column("time_zone", sa.String()),
    *(sa.column(name, sa.DateTime(timezone=True)) for name in (*_OVER, "stops_at")),
)
_AT_ONCE: Final = 1000


def upgrade() -> None:
    op.add_column("consent", sa.Column("stops_at", sa.DateTime(timezone=True)))
    _fill()
    op.create_index("ix_consent_stops_at", "consent", ["stops_at"])
    if op.get_bind().dialect.name == "postgresql":
        raised = "OLD.stops_at IS DISTINCT FROM NEW.stops_at AND (NEW.stops_at < OLD.stops_at) IS NOT TRUE"
        refuse = "RAISE EXCEPTION 'a consent that ended stays ended' USING ERRCODE = 'restrict_violation'"
        op.execute(
            "CREATE FUNCTION consent_stays_ended() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF "
            f"{raised} THEN {refuse}; END IF; RETURN NEW; END$$"
        )
        op.execute(
            "CREATE TRIGGER consent_stays_ended BEFORE UPDATE ON consent "
            "FOR EACH ROW EXECUTE FUNCTION consent_stays_ended()"
        )
        op.execute("ALTER TABLE consent ENABLE ALWAYS TRIGGER consent_stays_ended")
        return
    raised = "OLD.stops_at IS NOT NEW.stops_at AND (NEW.stops_at < OLD.stops_at) IS NOT TRUE"
    refuse = "BEGIN SELECT RAISE(ABORT, 'a consent that ended stays ended'); END"
    op.execute(f"CREATE TRIGGER consent_stays_ended BEFORE UPDATE ON consent WHEN {raised} {refuse}")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER consent_stays_ended ON consent")
        op.execute("DROP FUNCTION consent_stays_ended()")
    else:
        op.execute("DROP TRIGGER consent_stays_ended")
    op.drop_index("ix_consent_stops_at", "consent")
    op.drop_column("consent", "stops_at")


def _fill() -> None:
    bind = op.get_bind()
    wanted = [one for one in _CONSENT.c if one.name != "stops_at"]
    row_id, stops_at = sa.bindparam("row_id", type_=sa.Uuid()), sa.bindparam("stopped", type_=_CONSENT.c.stops_at.type)
    change = sa.update(_CONSENT).where(_CONSENT.c.id == row_id).values(stops_at=stops_at)
    after: Any = None
    while True:
        some = sa.select(*wanted).order_by(_CONSENT.c.id).limit(_AT_ONCE)
        rows = bind.execute(some if after is None else some.where(_CONSENT.c.id > after)).all()
        found = [{"row_id": row.id, "stopped": at} for row in rows if (at := _stopped(row)) is not None]
        if found:
            bind.execute(change, found)
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1].id


def _stopped(row: Any) -> datetime | None:
    """Return the first instant at which it holds no longer, as the model says it."""
    if row.no_later_than is None:
        return None
    last = min(one for one in (row.expires_on, row.no_later_than) if one is not None)
    ends = [datetime.combine(last + timedelta(days=1), time(), ZoneInfo(row.time_zone)).astimezone(UTC)]
    for name in _OVER:
        over: datetime | None = getattr(row, name)
        if over is not None:
            ends.append(over if over.tzinfo is not None else over.replace(tzinfo=UTC))
    first = min(ends)
    return first if op.get_bind().dialect.name == "postgresql" else first.replace(tzinfo=None)
