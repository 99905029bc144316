"""What was read in before: rows found again, and an organization's own files. Nothing here is about a participant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from referrals.exchange.models import ImportedFile
from referrals.kernel.actor import Actor
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import declare_look, note, refuse
from referrals.organization import queries as organizations
from referrals.organization.models import Facility, Location, Organization
from referrals.organization.policy import administers_it
from referrals.program.models import Program

LISTED: Final = declare_look("exchange.files_listed", "the files that an organization read in")
VIEWED: Final = declare_look("exchange.file_viewed", "what became of the rows of a file")
PURPOSE: Final = "administration"
#: How many files a page lists.
PAGE: Final = 25


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


def administered(session: Session, actor: Actor, wanted: str) -> Organization:
    """Return the organization that the actor administers; `wanted` names the act or the look it is for.

    Raises:
        NotFoundError: the actor has no organization.
        NotPermittedError: the actor is no administrator of it; the refusal is on record (S-210).
    """
    own = organizations.own_or_none(session, actor)
    if own is None:
        raise NotFoundError
    if not administers_it(actor, own):
        code = NotPermittedError.code
        refuse(session, actor, wanted, row_type="organization", target=own.id, purpose=PURPOSE, code=code)
        raise NotPermittedError
    return own


def own_files(
    session: Session, actor: Actor, *, after: UUID | None = None, limit: int = PAGE
) -> tuple[list[ImportedFile], UUID | None]:
    """Return a page of the files that the actor's organization read in, newest first, and the id to go on after.

    Raises:
        NotFoundError, NotPermittedError: as `administered()`.
    """
    own = administered(session, actor, LISTED)
    statement = select(ImportedFile).where(ImportedFile.organization_id == own.id)
    if after is not None:
        statement = statement.where(ImportedFile.id < after)
    rows = list(session.scalars(statement.order_by(ImportedFile.id.desc()).limit(limit + 1)))
    note(session, actor, records=LISTED, purpose=PURPOSE, count=len(rows[:limit]))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def own_file(session: Session, actor: Actor, file_id: UUID) -> ImportedFile:
    """Return one file that the actor's organization read in.

    Raises:
        NotPermittedError: the actor is no administrator.
        NotFoundError: there is none with this id, or it is elsewhere. Both refusals are on record.
    """
    own = administered(session, actor, VIEWED)
    statement = select(ImportedFile).where(ImportedFile.id == file_id, ImportedFile.organization_id == own.id)
    row = session.scalars(statement).one_or_none()
    if row is None:
        refuse(session, actor, VIEWED, row_type="imported_file", target=file_id, purpose=PURPOSE)
        raise NotFoundError
    note(session, actor, records=VIEWED, purpose=PURPOSE, count=1)
    return row
