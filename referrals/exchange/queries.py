"""Finding again what an import brought before. Nothing here is about a participant."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from referrals.exchange.models import ImportedFile
from referrals.organization.models import Facility, Location, Organization
from referrals.program.models import Program


def organization_from(session: Session, source: str, source_id: str) -> Organization | None:
    """Return the organization that this source knows by this id."""
    statement = select(Organization).where(Organization.source == source, Organization.source_id == source_id)
    return session.scalars(statement).one_or_none()


def facility_from(session: Session, source: str, source_id: str) -> Facility | None:
    """Return the facility that this source knows by this id."""
    statement = select(Facility).where(Facility.source == source, Facility.source_id == source_id)
    return session.scalars(statement).one_or_none()


def locations_from(session: Session, source: str, source_ids: Iterable[str]) -> dict[str, Location]:
    """Return the locations that this source knows by these ids, by id."""
    wanted = set(source_ids)
    if not wanted:
        return {}
    statement = select(Location).where(Location.source == source, Location.source_id.in_(wanted))
    return {str(row.source_id): row for row in session.scalars(statement)}


def program_from(session: Session, source: str, source_id: str) -> Program | None:
    """Return the program that this source knows by this id."""
    statement = select(Program).where(Program.source == source, Program.source_id == source_id)
    return session.scalars(statement).one_or_none()


def organizations_called(session: Session, name: str) -> list[Organization]:
    """Return the organizations of this name, whatever its case, oldest first."""
    statement = select(Organization).where(func.lower(Organization.name) == name.lower())
    return list(session.scalars(statement.order_by(Organization.id)))


def organization_by_id(session: Session, organization_id: UUID) -> Organization | None:
    """Return an organization, or None."""
    return session.get(Organization, organization_id)


def first_zone(session: Session) -> str:
    """Return the time zone of the installation's first organization; UTC while there is none."""
    return session.scalars(select(Organization.time_zone).order_by(Organization.id).limit(1)).first() or "UTC"


def imported_files(session: Session, *, limit: int = 50) -> list[ImportedFile]:
    """Return the latest runs of the importers, newest first."""
    return list(session.scalars(select(ImportedFile).order_by(ImportedFile.id.desc()).limit(limit)))
