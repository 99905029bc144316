"""Reading organizations and their places: a directory for whoever is signed in. Nothing here is about a participant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, Select, false, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session, selectinload

from referrals.kernel.actor import Actor, Role, Side
from referrals.kernel.errors import NotFoundError
from referrals.kernel.orm import gathered, names_by_id
from referrals.organization.models import (
    AGES,
    GENDERS,
    KINDS,
    PART2,
    SECURITY,
    ZONES,
    ClosingDay,
    Facility,
    Installation,
    Location,
    Organization,
    Room,
)

__all__ = ["AGES", "GENDERS", "KINDS", "PART2", "SECURITY", "ZONES"]

#: How many rows a page of a list holds.
PAGE = 50


def the_installation(_actor: Actor) -> Select[Installation]:
    """Return the one row that acts without another parent are acts on; everybody may know of it."""
    return select(Installation)


def installation(session: Session) -> Installation:
    """Return the one row.

    Raises:
        NotFoundError: the database was not migrated.
    """
    row = session.scalars(select(Installation)).one_or_none()
    if row is None:
        raise NotFoundError
    return row


def visible_to(actor: Actor) -> Select[Organization]:
    """Select the organizations an actor may know of: all of them, for whoever is signed in."""
    return select(Organization).where(true() if actor.kind in {"user", "service"} else false())


def own(actor: Actor) -> Select[Organization]:
    """Select the organizations an actor may act on: the actor's own; every one for who runs the service."""
    if actor.works_as(Role.OPERATOR):
        return select(Organization)
    return select(Organization).where(Organization.id == actor.organization_id)


def own_facilities(actor: Actor) -> Select[Facility]:
    """Select the facilities of the actor's own organization."""
    return select(Facility).where(Facility.organization_id == actor.organization_id)


def own_rooms(actor: Actor) -> Select[Room]:
    """Select the rooms in the facilities of the actor's own organization."""
    held = select(Facility.id).where(Facility.organization_id == actor.organization_id, Facility.id == Room.facility_id)
    return select(Room).where(held.exists()).options(selectinload(Room.facility))


def own_closing_days(actor: Actor) -> Select[ClosingDay]:
    """Select the closing days of the actor's own organization."""
    announced = select(ClosingDay).where(ClosingDay.organization_id == actor.organization_id)
    return announced.options(selectinload(ClosingDay.organization))


def own_locations(actor: Actor) -> Select[Location]:
    """Select the locations of the actor's own organization."""
    return select(Location).where(Location.organization_id == actor.organization_id)


def organizations(*, side: Side | None = None) -> Select[Organization]:
    """Select the organizations that take part now, by name."""
    statement = select(Organization).where(Organization.ended_at.is_(None))
    if side is not None:
        statement = statement.where(Organization.side == side)
    return statement.order_by(Organization.name, Organization.id)


def directory(
    session: Session, actor: Actor, *, side: str | None = None, after: UUID | None = None, limit: int = PAGE
) -> tuple[list[Organization], UUID | None]:
    """Return a page of the organizations that take part, by name, and the id to go on after (None on the last page)."""
    statement = visible_to(actor).where(Organization.ended_at.is_(None))
    if side is not None:
        statement = statement.where(Organization.side == side)
    if after is not None:
        last = select(Organization.name).where(Organization.id == after).scalar_subquery()
        later = or_(Organization.name > last, (Organization.name == last) & (Organization.id > after))
        statement = statement.where(later)
    rows = list(session.scalars(statement.order_by(Organization.name, Organization.id).limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def organization(session: Session, organization_id: UUID) -> Organization:
    """Return one organization.

    Raises:
        NotFoundError: there is none with this id.
    """
    row = session.get(Organization, organization_id)
    if row is None:
        raise NotFoundError
    return row


def own_or_none(session: Session, actor: Actor) -> Organization | None:
    """Return the actor's own organization, if there is one."""
    return session.get(Organization, actor.organization_id) if actor.organization_id is not None else None


def names(session: Session, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Return the names of these organizations, in one query."""
    return names_by_id(session, Organization, ids)


def facilities(organization_id: UUID | None = None) -> Select[Facility]:
    """Select the facilities in use, by name: of one agency, or of all."""
    statement = select(Facility).where(Facility.ended_at.is_(None))
    if organization_id is not None:
        statement = statement.where(Facility.organization_id == organization_id)
    return statement.order_by(Facility.name, Facility.id)


def facility(session: Session, facility_id: UUID) -> Facility:
    """Return one facility.

    Raises:
        NotFoundError: there is none with this id.
    """
    row = session.get(Facility, facility_id)
    if row is None:
        raise NotFoundError
    return row


def facility_names(session: Session, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Return the names of these facilities, in one query."""
    return names_by_id(session, Facility, ids)


def facility_page(
    session: Session, organization_id: UUID, *, after: UUID | None = None, limit: int = PAGE
) -> tuple[list[Facility], UUID | None]:
    """Return a page of an agency's facilities by name, and the id to go on after (None on the last page)."""
    statement = facilities(organization_id)
    if after is not None:
        last = select(Facility.name).where(Facility.id == after).scalar_subquery()
        statement = statement.where(or_(Facility.name > last, (Facility.name == last) & (Facility.id > after)))
    rows = list(session.scalars(statement.limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def location(session: Session, location_id: UUID) -> Location:
    """Return one location.

    Raises:
        NotFoundError: there is none with this id.
    """
    row = session.get(Location, location_id)
    if row is None:
        raise NotFoundError
    return row


def rooms(session: Session, facility_id: UUID) -> Sequence[Room]:
    """Return the rooms in use of a facility, by name."""
    statement = select(Room).where(Room.facility_id == facility_id, Room.ended_at.is_(None))
    return session.scalars(statement.order_by(Room.name, Room.id)).all()


def closing_days(session: Session, organization_id: UUID, since: date) -> Sequence[ClosingDay]:
    """Return the days from `since` on, in order, on which an organization said that it is closed."""
    statement = select(ClosingDay).where(
        ClosingDay.organization_id == organization_id, ClosingDay.withdrawn_at.is_(None), ClosingDay.closed_on >= since
    )
    return session.scalars(statement.order_by(ClosingDay.closed_on, ClosingDay.id)).all()


def closed_days(organization_id: ColumnElement[UUID] | InstrumentedAttribute[UUID]) -> ColumnElement[frozenset[date]]:
    """Give the closing days of an organization beside what is selected, those that were and those to come."""
    return gathered(
        ClosingDay.closed_on, ClosingDay.organization_id == organization_id, ClosingDay.withdrawn_at.is_(None)
    )


def locations(organization_id: UUID) -> Select[Location]:
    """Select the locations in use of an organization, by name."""
    statement = select(Location).where(Location.organization_id == organization_id, Location.ended_at.is_(None))
    return statement.order_by(Location.name, Location.id)


def location_page(
    session: Session, organization_id: UUID, *, after: UUID | None = None, limit: int = PAGE
) -> tuple[list[Location], UUID | None]:
    """Return a page of an organization's locations by name, and the id to go on after (None on the last page)."""
    statement = locations(organization_id)
    if after is not None:
        last = select(Location.name).where(Location.id == after).scalar_subquery()
        statement = statement.where(or_(Location.name > last, (Location.name == last) & (Location.id > after)))
    rows = list(session.scalars(statement.limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None
