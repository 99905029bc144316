"""Reading files in: one act for each row, whole or not at all, and one for the file.

What a row would do is weighed by the same functions before the act (in a dry run instead of it) and inside it. Three
tellings are held against each other: what the source said last time (kept whole), what it says now, and what stands
here. Only what the source itself changed is taken over, and not where somebody changed the same thing here.
"""

from __future__ import annotations

import hashlib
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, cast
from uuid import UUID

import click
from marshmallow import ValidationError, fields
from sqlalchemy.orm import Session

from referrals.exchange import facilities, hsds
from referrals.exchange import policy as p
from referrals.exchange import queries as q
from referrals.exchange.models import (
    FACILITIES,
    FORMATS,
    SERVICES,
    AlreadyImportedError,
    ImportedFile,
    ImportStoppedError,
    NotActiveError,
    OtherAgencyError,
    OtherOrganizationError,
)
from referrals.kernel.actor import Actor, Side
from referrals.kernel.command import Command, Work, command, done_before, execute
from referrals.kernel.errors import InvalidInputError, NotPermittedError, RuleBrokenError, UnavailableError
from referrals.kernel.schema import Takes, code, codes, line, many, text, uid, whole, yes_no
from referrals.organization import queries as organizations
from referrals.organization.commands import (
    AddressWords,
    FacilityWords,
    email,
    record_facility,
    record_location,
    record_organization,
    web_address,
)
from referrals.organization.models import ZONES, Facility, Installation, Location, Organization
from referrals.organization.policy import administers_it
from referrals.program.commands import Places, record_program
from referrals.program.models import LANGUAGES, Program
from referrals.program.models import SERVICES as SERVICE_CODES

#: A row that stands in its file rightly and yet is nothing to take in: no fault of the file.
SET_ASIDE: Final = frozenset({"holds_nobody", "not_active"})
#: What an organization sends at once: more rows than this are read in while nobody waits for a page.
MOST_ROWS: Final = 1000
MOST_UPLOADED: Final = 10 * 1024 * 1024
#: What a report names at most: reasons of one row, remarks on all of them (a file of nothing but remarks may be large).
MOST_REASONS: Final = 200
MOST_NOTES: Final = 1000
#: Seconds between two lines of progress where there is no terminal to draw a bar on.
SPEAKS_EVERY: Final = 10.0

T = TypeVar("T")
Row = TypeVar("Row", facilities.FacilityRow, hsds.ServiceRow)


# --- the acts ---------------------------------------------------------------------------------------------------------


class ImportFacility(Takes):
    """One facility as its source tells it: of the agency `agency_id`, else of the one of `agency_key`, made if new."""

    source_id = line(100)
    source_fields = fields.Dict(keys=line(100), values=text(4000), required=True)
    facility = fields.Nested(FacilityWords, required=True)
    agency_id = uid(required=False)
    agency_key = line(100, required=False)
    agency_name = line(200, required=False)


@command(
    records="exchange.facility_imported",
    on=Installation,
    takes=ImportFacility,
    within=organizations.the_installation,
    allow=[[p.runs_imports]],
    makes=Facility,
    purpose="administration",
)
def import_facility(
    work: Work,
    _installation: Installation,
    *,
    source_id: str,
    source_fields: dict[str, Any],
    facility: dict[str, Any],
    agency_id: UUID | None,
    agency_key: str | None,
    agency_name: str | None,
) -> Facility:
    """Take in one facility, with its agency if that is new."""
    return _take_in_facility(
        work,
        {
            "source_id": source_id,
            "source_fields": source_fields,
            "facility": facility,
            "agency_id": agency_id,
            "agency_key": agency_key,
            "agency_name": agency_name,
        },
    )


class ImportOwnFacility(Takes):
    """One facility of the organization itself, as its source tells it."""

    source_id = line(100)
    source_fields = fields.Dict(keys=line(100), values=text(4000), required=True)
    facility = fields.Nested(FacilityWords, required=True)


@command(
    records="exchange.own_facility_imported",
    on=Organization,
    takes=ImportOwnFacility,
    within=organizations.own,
    allow=[[administers_it, p.is_agency]],
    makes=Facility,
    purpose="administration",
)
def import_own_facility(
    work: Work,
    organization: Organization,
    *,
    source_id: str,
    source_fields: dict[str, Any],
    facility: dict[str, Any],
) -> Facility:
    """Take one facility in to one's own agency."""
    return _take_in_facility(
        work,
        {
            "source_id": source_id,
            "source_fields": source_fields,
            "facility": facility,
            "agency_id": organization.id,
            "agency_key": None,
        },
    )


def _take_in_facility(work: Work, said: Mapping[str, Any]) -> Facility:
    """Do what a facility's row would do; `said` as `_weigh_facility` takes it, with the name of an agency to make."""
    weighed = _weigh_facility(work.session, said)
    if weighed.found is not None:
        if weighed.kind == "unchanged":
            raise AlreadyImportedError
        _apply(work, weighed.found, weighed.news, said["source_fields"])
        return weighed.found
    agency = weighed.agency
    if agency is None:
        agency = record_organization(
            work,
            name=said["agency_name"],
            side=Side.AGENCY.value,
            time_zone=said["facility"]["time_zone"],
            source=FACILITIES,
            source_id=said["agency_key"],
        )
    return record_facility(
        work,
        agency,
        **said["facility"],
        source=FACILITIES,
        source_id=said["source_id"],
        source_fields=said["source_fields"],
    )


class ProviderWords(Takes):
    """An organization as its source tells it."""

    name = line(200)
    description = text(4000, required=False)
    phone = line(40, required=False)
    email = email()
    website = web_address()
    city = line(100, required=False)


class ServiceWords(Takes):
    """A program as its source tells it."""

    name = line(200)
    description = text(4000, required=False)
    categories = codes(SERVICE_CODES)
    eligibility = text(4000, required=False)
    languages = codes(LANGUAGES, least=0, required=False)
    places = Places()
    phone = line(40, required=False)
    email = email()
    website = web_address()


class StandingWords(AddressWords):
    """A location as its source tells it."""

    access = text(1000, required=False)


class ImportedPlace(Takes):
    """One location with its source's id and all that was said of it."""

    source_id = line(100)
    source_fields = fields.Dict(required=True)
    location = fields.Nested(StandingWords, required=True)


class ImportOwnService(Takes):
    """One service with its organization and where it is offered; the first place is the program's own."""

    source_id = line(100)
    source_fields = fields.Dict(required=True)
    program = fields.Nested(ServiceWords, required=True)
    status = code(("active", "inactive", "defunct", "temporarily closed"))
    provider_id = line(100)
    provider_fields = fields.Dict(required=True)
    provider = fields.Nested(ProviderWords, required=True)
    places = many(fields.Nested(ImportedPlace))


class ImportService(ImportOwnService):
    """The same, and the time zone of its organization if that is new."""

    time_zone = code(ZONES)


@command(
    records="exchange.service_imported",
    on=Installation,
    takes=ImportService,
    within=organizations.the_installation,
    allow=[[p.runs_imports]],
    makes=Program,
    purpose="administration",
)
def import_service(
    work: Work,
    _installation: Installation,
    *,
    source_id: str,
    source_fields: dict[str, Any],
    program: dict[str, Any],
    status: str,
    provider_id: str,
    provider_fields: dict[str, Any],
    provider: dict[str, Any],
    places: list[dict[str, Any]],
    time_zone: str,
) -> Program:
    """Take in one service: its organization and locations where they are new, and its program."""
    return _take_in_service(
        work,
        {
            "source_id": source_id,
            "source_fields": source_fields,
            "program": program,
            "status": status,
            "provider_id": provider_id,
            "provider_fields": provider_fields,
            "provider": provider,
            "places": places,
            "time_zone": time_zone,
        },
    )


@command(
    records="exchange.own_service_imported",
    on=Organization,
    takes=ImportOwnService,
    within=organizations.own,
    allow=[[administers_it, p.is_community_organization]],
    makes=Program,
    purpose="administration",
)
def import_own_service(
    work: Work,
    organization: Organization,
    *,
    source_id: str,
    source_fields: dict[str, Any],
    program: dict[str, Any],
    status: str,
    provider_id: str,
    provider_fields: dict[str, Any],
    provider: dict[str, Any],
    places: list[dict[str, Any]],
) -> Program:
    """Take in one service of one's own organization: its locations where they are new, and its program."""
    return _take_in_service(
        work,
        {
            "source_id": source_id,
            "source_fields": source_fields,
            "program": program,
            "status": status,
            "provider_id": provider_id,
            "provider_fields": provider_fields,
            "provider": provider,
            "places": places,
        },
        own=organization.id,
    )


def _take_in_service(work: Work, said: Mapping[str, Any], *, own: UUID | None = None) -> Program:
    """Do what a service would do; `said` are loaded words of `ImportService`, or of `ImportOwnService` with `own`."""
    weighed = _weigh_service(work.session, said, own=own)
    places = said["places"]
    if weighed.kind == "unchanged" and weighed.program is not None:
        raise AlreadyImportedError
    organization = weighed.organization
    if organization is None:
        first_city = places[0]["location"]["city"] if places else None
        organization = record_organization(
            work,
            **said["provider"] | {"city": said["provider"]["city"] or first_city},
            side=Side.COMMUNITY.value,
            time_zone=said["time_zone"],
            source=SERVICES,
            source_id=said["provider_id"],
            source_fields=said["provider_fields"],
        )
    elif weighed.organization_moved:
        if organization.source is None:  # from now on it is known by its id there, whatever its name becomes
            organization.source, organization.source_id = SERVICES, said["provider_id"]
            work.record(organization, ["source", "source_id"])
        _apply(work, organization, weighed.organization_news, said["provider_fields"])
    standing = _stand(work, organization, places, weighed)
    if weighed.program is None:
        made = record_program(
            work,
            organization,
            **said["program"],
            location_id=standing[0].id if standing else None,
            source=SERVICES,
            source_id=said["source_id"],
            source_fields=said["source_fields"],
        )
        if said["status"] == "temporarily closed":
            _say_full(work, made)
        return made
    if weighed.program_moved:
        _apply(work, weighed.program, weighed.program_news, said["source_fields"])
        _follow_status(work, weighed.program, said["status"])
    return weighed.program


def _stand(
    work: Work, organization: Organization, places: Sequence[Mapping[str, Any]], weighed: WeighedService
) -> list[Location]:
    standing: list[Location] = []
    for one in places:
        location = weighed.locations.get(one["source_id"])
        if location is None:
            location = record_location(
                work,
                organization,
                **one["location"],
                source=SERVICES,
                source_id=one["source_id"],
                source_fields=one["source_fields"],
            )
        elif one["source_id"] in weighed.location_news:
            _apply(work, location, weighed.location_news[one["source_id"]], one["source_fields"])
        standing.append(location)
    return standing


def _say_full(work: Work, program: Program) -> None:
    said = program.say_capacity(
        "no_capacity", open_places=None, waiting=None, expected_days=None, at=work.now, by=work.actor.user_id
    )
    if work.declared.get(program, set()) is not None:
        work.record(program, said)


def _follow_status(work: Work, program: Program, status: str) -> None:
    """Close what its source says is gone; say that there is no room in what is closed for now."""
    if status in {"inactive", "defunct"}:
        program.close(at=work.now, by=work.actor.user_id, because=f"Its source says: {status}.")
        work.record(program, ["closed_at", "closed_by", "closed_because", "version"])
    elif status == "temporarily closed":
        _say_full(work, program)


def _apply(
    work: Work,
    row: Facility | Organization | Location | Program,
    news: Mapping[str, Any],
    source_fields: Mapping[str, Any],
) -> None:
    changed = row.describe(**news) if news else set()
    row.source_fields = dict(source_fields)
    work.record(row, changed | {"source_fields"})


class ImportFile(Takes):
    """What became of a file's rows."""

    format = code(FORMATS)
    digest = line(64, least=64)
    name = line(255)
    added = whole(0, 10**9)
    changed = whole(0, 10**9)
    unchanged = whole(0, 10**9)
    refused = whole(0, 10**9)


@command(
    records="exchange.file_imported",
    on=Installation,
    takes=ImportFile,
    within=organizations.the_installation,
    allow=[[p.runs_imports]],
    makes=ImportedFile,
    purpose="administration",
)
def import_file(
    work: Work,
    _installation: Installation,
    *,
    format: str,  # noqa: A002  # the column's own name
    digest: str,
    name: str,
    added: int,
    changed: int,
    unchanged: int,
    refused: int,
) -> ImportedFile:
    """Keep that a file was read in, and what became of its rows."""
    counts = {"added": added, "changed": changed, "unchanged": unchanged, "refused": refused}
    return _keep_file(work, format=format, digest=digest, name=name, **counts)


class ImportOwnFile(ImportFile):
    """What became of a file's rows, and the rows that somebody has to know of (`Report.details()`)."""

    report = fields.Dict(required=True)


@command(
    records="exchange.own_file_imported",
    on=Organization,
    takes=ImportOwnFile,
    within=organizations.own,
    allow=[[administers_it]],
    makes=ImportedFile,
    purpose="administration",
)
def import_own_file(
    work: Work,
    organization: Organization,
    *,
    format: str,  # noqa: A002  # the column's own name
    digest: str,
    name: str,
    added: int,
    changed: int,
    unchanged: int,
    refused: int,
    report: dict[str, Any],
) -> ImportedFile:
    """Keep that an organization read a file in, and what became of its rows."""
    counts = {"added": added, "changed": changed, "unchanged": unchanged, "refused": refused}
    own = {"organization_id": organization.id, "report": report}
    return _keep_file(work, format=format, digest=digest, name=name, **counts, **own)


def _keep_file(work: Work, **said: Any) -> ImportedFile:
    run = ImportedFile(imported_at=work.now, imported_by=work.actor.user_id, **said)
    work.add(run)
    return run


# --- weighing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WeighedFacility:
    """What a facility's row would do: `news` are the fields to change, `kept` those changed here and left alone."""

    kind: str
    found: Facility | None = None
    agency: Organization | None = None
    news: Mapping[str, Any] = field(default_factory=dict)
    kept: Sequence[str] = ()

    @property
    def changes(self) -> list[str]:
        """The names of what would change."""
        return sorted(self.news)


def _weigh_facility(session: Session, said: Mapping[str, Any]) -> WeighedFacility:
    """Say what a row would do; `said` are loaded words of `ImportFacility`. Refuses as the act would."""
    found = q.facility_from(session, FACILITIES, said["source_id"])
    if found is None:
        if said["agency_id"] is not None:
            agency = q.organization_by_id(session, said["agency_id"])
        else:
            agency = q.organization_from(session, FACILITIES, said["agency_key"] or "")
        if agency is not None:
            agency.require_side(Side.AGENCY)
        return WeighedFacility("added", agency=agency)
    if said["agency_id"] is not None and found.organization_id != said["agency_id"]:
        raise OtherAgencyError
    if found.source_fields == said["source_fields"]:
        return WeighedFacility("unchanged", found)
    found.require_in_use()
    before = _loaded(FacilityWords(), lambda: facilities.words(found.source_fields or {}))
    news, kept = _difference(found, before, said["facility"])
    return WeighedFacility("changed", found, None, news, kept)


@dataclass(slots=True)
class WeighedService:
    """What a service's row would do; `*_moved` where its source tells of a thing what it did not tell before."""

    kind: str = "added"
    program: Program | None = None
    program_moved: bool = False
    program_news: Mapping[str, Any] = field(default_factory=dict)
    organization: Organization | None = None
    organization_moved: bool = False
    organization_news: Mapping[str, Any] = field(default_factory=dict)
    locations: Mapping[str, Location] = field(default_factory=dict)
    location_news: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)

    @property
    def changes(self) -> list[str]:
        """The names of what would change."""
        return sorted(
            [f"program.{name}" for name in self.program_news]
            + [f"organization.{name}" for name in self.organization_news]
            + [f"location.{name}" for news in self.location_news.values() for name in news]
        )


def _weigh_service(session: Session, said: Mapping[str, Any], *, own: UUID | None = None) -> WeighedService:
    """Say what a service would do; `said` are loaded words of `ImportOwnService`. Refuses as the act would.

    With `own`, the id of an organization, all of it must be that organization's.
    """
    weighed = WeighedService(
        program=q.program_from(session, SERVICES, said["source_id"]),
        organization=q.organization_from(session, SERVICES, said["provider_id"]),
        locations=q.locations_from(session, SERVICES, (one["source_id"] for one in said["places"])),
    )
    if own is not None:
        weighed.organization = weighed.organization or _by_its_name(session, own, said["provider"]["name"])
        places = weighed.locations.values()
        if weighed.organization is None or {weighed.organization.id, *(one.organization_id for one in places)} != {own}:
            raise OtherOrganizationError
    program = weighed.program
    if program is not None and (weighed.organization is None or program.organization_id != weighed.organization.id):
        raise OtherOrganizationError
    if program is None and said["status"] in {"inactive", "defunct"}:
        raise NotActiveError
    _weigh_provider(weighed, said)
    _weigh_places(weighed, said["places"])
    if program is None:
        return weighed
    if program.source_fields != said["source_fields"]:
        program.require_open()
        weighed.program_moved = True
        before = _loaded(ServiceWords(), lambda: _service_words(program.source_fields or {})[0])
        weighed.program_news, kept = _difference(program, before, said["program"])
        weighed.kept += [f"program.{name}" for name in kept]
    new_places = len(weighed.locations) < len(said["places"])
    moved = weighed.program_moved or weighed.organization_moved or weighed.location_news or new_places
    weighed.kind = "changed" if moved else "unchanged"
    return weighed


def _by_its_name(session: Session, organization_id: UUID, name: str) -> Organization | None:
    """Return an organization that no source knows yet, if it is called so."""
    known = q.organization_by_id(session, organization_id)
    if known is None or known.source is not None or known.name.casefold() != name.casefold():
        return None
    return known


def _weigh_provider(weighed: WeighedService, said: Mapping[str, Any]) -> None:
    organization = weighed.organization
    if organization is None or (organization.source_fields == said["provider_fields"] and weighed.program is not None):
        return
    organization.require_side(Side.COMMUNITY)
    if organization.source_fields != said["provider_fields"]:
        weighed.organization_moved = True
        told = organization.source_fields or {}
        before = _loaded(ProviderWords(), lambda: hsds.organization_words(told))
        weighed.organization_news, kept = _difference(organization, before, said["provider"], but=("city",))
        weighed.kept += [f"organization.{name}" for name in kept]


def _weigh_places(weighed: WeighedService, places: Sequence[Mapping[str, Any]]) -> None:
    for one in places:
        location = weighed.locations.get(one["source_id"])
        if location is None or location.source_fields == one["source_fields"]:
            continue
        location.require_in_use()
        told, name = location.source_fields or {}, location.name
        before = _loaded(StandingWords(), partial(hsds.place_words, told, name))
        weighed.location_news[one["source_id"]], kept = _difference(location, before, one["location"], but=("county",))
        weighed.kept += [f"location.{name}" for name in kept]


def _loaded(schema: Takes, make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return words as the schema loads them; nothing where what was kept does not pass it (any more)."""
    try:
        return schema.understood(make())
    except (InvalidInputError, LookupError):
        return {}


def _difference(
    row: Facility | Organization | Location | Program,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    but: Sequence[str] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Return what the source changed since and can be taken over, and the names of what was changed here meanwhile."""
    moved = {name: value for name, value in now.items() if before.get(name) != value and name not in but}
    differs = {name: value for name, value in moved.items() if getattr(row, name) != value}
    ours = {name for name in differs if getattr(row, name) != before.get(name)}
    return {name: value for name, value in differs.items() if name not in ours}, sorted(ours)


def _service_words(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a program's words, and the languages that have no code here."""
    made = hsds.words(raw)
    unknown = [one for one in made["languages"] if one not in LANGUAGES]
    return made | {"languages": [one for one in made["languages"] if one in LANGUAGES]}, unknown


# --- the runs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that did not go in: where, which, and why (place in the row, code)."""

    at: int
    label: str
    reasons: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Changed:
    """A row that changed something: what was taken over, and what was left because it was changed here too."""

    at: int
    label: str
    fields: Sequence[str]
    kept: Sequence[str]


@dataclass(slots=True)
class Report:
    """What a run did, or would do. `unread` says why nothing was read; `stopped` why the run ended early, and where.

    `run` is the record of an organization's own run, once there is one.
    """

    format: str
    file: str
    dry_run: bool
    rows: int = 0
    added: int = 0
    unchanged: int = 0
    changed: list[Changed] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    organizations: list[str] = field(default_factory=list)
    notes: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    more_notes: int = 0
    without_field: set[str] = field(default_factory=set)
    pages: int = 1
    unread: tuple[str, str] | None = None
    stopped: tuple[int, str] | None = None
    run: ImportedFile | None = None

    @classmethod
    def of(cls, run: ImportedFile) -> Report:
        """Return the report of an organization's own run, as it was."""
        said = run.report or {}
        return cls(
            run.format,
            run.name,
            dry_run=False,
            rows=run.rows,
            added=run.added,
            unchanged=run.unchanged,
            changed=[Changed(**one) for one in said.get("changed", ())],
            refused=[
                Refused(one["at"], one["label"], [(where, why) for where, why in one["reasons"]])
                for one in said.get("refused", ())
            ],
            notes={(where, why): list(at) for where, why, at in said.get("notes", ())},
            more_notes=said.get("more_notes", 0),
            without_field=set(said.get("without_field", ())),
            pages=said.get("pages", 1),
            run=run,
        )

    def details(self) -> dict[str, Any]:
        """Return what somebody has to know beside the counts, as JSON has it."""
        return {
            "changed": [
                {"at": one.at, "label": one.label, "fields": list(one.fields), "kept": list(one.kept)}
                for one in self.changed
            ],
            "refused": [
                {"at": one.at, "label": one.label, "reasons": [[plain(where), why] for where, why in one.reasons]}
                for one in self.refused
            ],
            "notes": [[plain(where), why, lines] for (where, why), lines in sorted(self.notes.items())],
            "more_notes": self.more_notes,
            "without_field": sorted(map(plain, self.without_field))[:MOST_NOTES],
            "pages": self.pages,
        }

    @property
    def unit(self) -> str:
        """What the file is made of."""
        return N_("line") if self.format == FACILITIES else N_("service")

    def require_whole(self) -> None:
        """Refuse to pass for a whole run what ended early.

        Raises:
            ImportStoppedError: it did.
        """
        if self.stopped is not None:
            raise ImportStoppedError(at=self.stopped[0])

    @property
    def failed(self) -> bool:
        """Whether somebody has to look: the file could not be read, a row has a fault, or the run ended early."""
        faults = any(why not in SET_ASIDE for row in self.refused for _, why in row.reasons)
        return self.unread is not None or self.stopped is not None or faults

    def keep(
        self, row: facilities.FacilityRow | hsds.ServiceRow, label: str, weighed: WeighedFacility | WeighedService
    ) -> None:
        """Keep what a row did."""
        for where, why in row.notes:
            self.note(where, why, row.at)
        known = facilities.WITH_FIELD if isinstance(row, facilities.FacilityRow) else hsds.WITH_FIELD
        self.without_field |= row.raw.keys() - known
        if weighed.kind == "added":
            self.added += 1
        elif weighed.kind == "changed":
            self.changed.append(Changed(row.at, label, weighed.changes, weighed.kept))
        else:
            self.unchanged += 1

    def note(self, where: str, why: str, at: int) -> None:
        """Keep that something of a row has no field here; beyond a bound, only how often that was."""
        if (where, why) in self.notes or len(self.notes) < MOST_NOTES:
            self.notes.setdefault((where, why), []).append(at)
        else:
            self.more_notes += 1

    def told(self) -> str:
        """Return the report as lines for a terminal."""
        return "\n".join(_told(self))


@dataclass(frozen=True, slots=True)
class Importer(Generic[Row]):
    """How rows of one format go in: the act and what it is on, a row's words, and what they would do."""

    what: Command[Any, Any]
    on: Installation | Organization
    words: Callable[[Row], Mapping[str, Any]]
    weigh: Callable[[Mapping[str, Any]], WeighedFacility | WeighedService]


def import_facilities(
    session: Session,
    actor: Actor,
    path: Path,
    *,
    dry_run: bool = False,
    progress: bool = False,
    organization: str | None = None,
) -> Report:
    """Read facilities in from a CSV file (see `facilities`), each row as an act of its own; return what became of them.

    `organization` (an id or a name) says whose all of them are. Without it each jurisdiction has an agency, made when
    the first of its facilities comes in. A dry run changes nothing and says the same.

    Raises:
        NotPermittedError: the actor may not; the refusal is on record unless this is a dry run.
    """
    report = Report(FACILITIES, path.name, dry_run)
    agency_id, fault = _named_agency(session, organization)
    with _reading(report):
        if fault is not None:
            raise facilities.UnreadableFileError(fault, organization or "")
        installation = organizations.installation(session)
        content = _content(path, facilities.MOST_BYTES)
        rows = facilities.read(content)
        if agency_id is not None:
            rows = _of_one_agency(rows)

        def words(row: facilities.FacilityRow) -> Mapping[str, Any]:
            agency = row.agency
            return {
                "source_id": row.id,
                "source_fields": row.raw,
                "facility": row.words,
                "agency_id": str(agency_id) if agency_id is not None else None,
                "agency_key": agency.key if agency is not None and agency_id is None else None,
                "agency_name": agency.name if agency is not None and agency_id is None else None,
            }

        planned: set[str] = set()

        def weigh(loaded: Mapping[str, Any]) -> WeighedFacility:
            weighed = _weigh_facility(session, loaded)
            if weighed.kind == "added" and weighed.agency is None and loaded["agency_key"] not in planned:
                planned.add(loaded["agency_key"])
                _announce(session, report, loaded["agency_name"])
            return weighed

        how = Importer(import_facility, installation, words, weigh)
        _run(session, actor, report, rows, how, progress=progress)
        _record_file(session, actor, report, content)
    return report


def import_services(
    session: Session, actor: Actor, path: Path, *, dry_run: bool = False, progress: bool = False
) -> Report:
    """Read services in from an HSDS 3.0 file (see `hsds`): each with its organization and locations, as one act.

    Whether an imported organization runs a Part 2 program is unknown until somebody who knows says so (C9).

    Raises:
        NotPermittedError: the actor may not; the refusal is on record unless this is a dry run.
    """
    report = Report(SERVICES, path.name, dry_run)
    with _reading(report):
        installation = organizations.installation(session)
        content = _content(path, hsds.MOST_BYTES)
        page = hsds.read(content)
        report.pages = page.pages
        zone = q.first_zone(session)
        planned: set[str] = set()

        def words(row: hsds.ServiceRow) -> Mapping[str, Any]:
            state = next((one.words["state"] for one in row.places if one.words["state"]), None)
            return _words_of_service(report, row) | {"time_zone": facilities.ZONES.get(state or "", zone)}

        def weigh(loaded: Mapping[str, Any]) -> WeighedService:
            weighed = _weigh_service(session, loaded)
            if weighed.organization is None and loaded["provider_id"] not in planned:
                planned.add(loaded["provider_id"])
                _announce(session, report, loaded["provider"]["name"])
            return weighed

        how = Importer(import_service, installation, words, weigh)
        _run(session, actor, report, page.rows, how, progress=progress)
        _record_file(session, actor, report, content)
    return report


def _words_of_service(report: Report, row: hsds.ServiceRow) -> dict[str, Any]:
    """Return a service's words; languages that have no code here are noted."""
    program, unknown = _service_words(row.raw)
    for language in unknown:
        report.note(f"languages: {language}", "no_such_code", row.at)
    return {
        "source_id": row.id,
        "source_fields": row.raw,
        "program": program,
        "status": row.status,
        "provider_id": row.organization_id,
        "provider_fields": row.organization,
        "provider": row.organization_words,
        "places": [{"source_id": one.id, "source_fields": one.raw, "location": one.words} for one in row.places],
    }


class FileContent(fields.Field[bytes]):
    """A text file: bytes from a form, its text in JSON. At most 10 MB."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bytes:  # noqa: ARG002  # theirs
        """Return the bytes; what is wrong with them as a file is said when it is read."""
        if not isinstance(value, bytes | str):
            raise ValidationError("wrong_type")
        try:
            content = value.encode() if isinstance(value, str) else value
        except UnicodeEncodeError:
            raise ValidationError("not_text") from None
        if len(content) > MOST_UPLOADED:
            raise ValidationError("upload_too_large")
        return content


class ReadFileIn(Takes):
    """A file to read in, and whether it is only to be checked."""

    name = line(255)
    content = FileContent(
        required=True,
        error_messages={"required": "no_file", "null": "no_file"},
        metadata={"type": "string", "description": "The file's text: CSV of an agency, HSDS 3.0 JSON of others."},
    )
    dry_run = yes_no()


def read_file_in(
    session: Session, actor: Actor, *, name: str, content: bytes, dry_run: bool = False, key: str | None = None
) -> Report:
    """Read a file in to the actor's own organization; return what became of its rows, or would become of them.

    An agency reads facilities in, a community organization its own services. All of it becomes the organization's own;
    a row that is another's is refused. Under a `key` it is done once: the report of the first time is returned.

    Raises:
        NotFoundError, NotPermittedError: the actor administers no organization; the refusal is on record.
        InvalidInputError: the file cannot be read at all, or holds more than `MOST_ROWS`; nothing was changed.
        KeyReusedError: another file was sent under this key.
    """
    own = q.administered(session, actor, import_own_file.records)
    own_id, format_ = own.id, FACILITIES if own.is_agency else SERVICES
    said = {"name": name, "digest": hashlib.sha256(content).hexdigest()}
    if key is not None and not dry_run:
        before = done_before(session, import_own_file, actor=actor, target=own_id, key=key, said=said)
        if before is not None:
            return Report.of(before)
    report = Report(format_, name, dry_run)
    with _reading(report):
        if format_ == FACILITIES:
            rows = _of_one_agency(facilities.read(content, MOST_ROWS))
            _run(session, actor, report, rows, _own_facilities(session, own))
        else:
            page = hsds.read(content, MOST_ROWS)
            report.pages = page.pages
            _run(session, actor, report, page.rows, _own_services(session, own, report))
    if report.unread is not None:
        why, which = report.unread
        fault = f"file.{why}"
        raise InvalidInputError({"content": [fault]}, **({"which": which} if which else {}))
    if not dry_run and report.stopped is None:
        data = _counted(report, content) | {"report": report.details()}
        run = execute(session, import_own_file, actor=actor, target=own_id, data=data, key=key, said=said)
        return Report.of(run)
    return report


def _of_one_agency(rows: Sequence[facilities.FacilityRow]) -> list[facilities.FacilityRow]:
    """Leave out what a row says of whose it is: all of them are one agency's."""
    return [
        replace(row, agency=None, notes=tuple(one for one in row.notes if one[1] != "county_not_named")) for row in rows
    ]


def _own_facilities(session: Session, own: Organization) -> Importer[facilities.FacilityRow]:
    agency_id = own.id

    def words(row: facilities.FacilityRow) -> Mapping[str, Any]:
        return {"source_id": row.id, "source_fields": row.raw, "facility": row.words}

    def weigh(loaded: Mapping[str, Any]) -> WeighedFacility:
        return _weigh_facility(session, {**loaded, "agency_id": agency_id})

    return Importer(import_own_facility, own, words, weigh)


def _own_services(session: Session, own: Organization, report: Report) -> Importer[hsds.ServiceRow]:
    organization_id = own.id
    known_as: list[str] = []

    def weigh(loaded: Mapping[str, Any]) -> WeighedService:
        weighed = _weigh_service(session, loaded, own=organization_id)
        known_as.append(loaded["provider_id"])
        if known_as[0] != loaded["provider_id"]:  # two providers of its name: it is known by the first one's id
            raise OtherOrganizationError
        return weighed

    return Importer(import_own_service, own, partial(_words_of_service, report), weigh)


@contextmanager
def _reading(report: Report) -> Iterator[None]:
    try:
        yield
    except (facilities.UnreadableFileError, hsds.UnreadableFileError) as fault:
        at = f"{fault.code}_at"
        report.unread = (at if fault.facts and at in WHOLE_FILE else fault.code, ", ".join(map(plain, fault.facts)))


def _content(path: Path, most: int) -> bytes:
    if path.stat().st_size > most:
        raise facilities.UnreadableFileError("too_large")
    return path.read_bytes()


def _named_agency(session: Session, named: str | None) -> tuple[UUID | None, str | None]:
    """Return the agency that somebody named by id or name, or why there is none."""
    if named is None:
        return None, None
    try:
        found = [one] if (one := q.organization_by_id(session, UUID(named))) is not None else []
    except ValueError:
        found = q.organizations_called(session, named)
    if len(found) != 1:
        return None, "several_organizations" if found else "unknown_organization"
    if found[0].side != Side.AGENCY:
        return None, "not_an_agency"
    return found[0].id, None


def _announce(session: Session, report: Report, name: str) -> None:
    """Note that an organization is added, and whether one of its name is here already."""
    report.organizations.append(name)
    if q.organizations_called(session, name):
        report.note(f"organization: {plain(name)}", "same_name", 0)


def _run(
    session: Session,
    actor: Actor,
    report: Report,
    rows: Sequence[Row],
    how: Importer[Row],
    *,
    progress: bool = False,
) -> None:
    if report.dry_run and not any(all(may(actor, how.on) for may in clause) for clause in how.what.allow):
        raise NotPermittedError
    target = how.on.id
    report.rows = len(rows)
    for row in _followed(rows, f"Reading {plain(report.file)}", progress=progress):
        label = " ".join(part for part in (plain(row.name), f"({plain(row.id)})" if row.id else "") if part)
        if row.faults:
            reasons = [(where, why) for where, all_ in row.faults.items() for why in all_]
            report.refused.append(Refused(row.at, label, reasons[:MOST_REASONS]))
            continue
        known = len(report.organizations)
        try:
            data = how.words(row)
            weighed = how.weigh(how.what.takes.understood(data))
            if weighed.kind != "unchanged" and not report.dry_run:
                execute(session, how.what, actor=actor, target=target, data=data)
        except AlreadyImportedError:
            report.unchanged += 1
        except (InvalidInputError, RuleBrokenError) as refusal:
            del report.organizations[known:]
            report.refused.append(Refused(row.at, label, _reasons(refusal)))
        except UnavailableError as fault:
            report.stopped = (row.at, fault.code)
            return
        else:
            report.keep(row, label, weighed)
    session.rollback()


def _reasons(refusal: InvalidInputError | RuleBrokenError) -> list[tuple[str, str]]:
    if not isinstance(refusal, InvalidInputError):
        return [("", refusal.code)]
    return [(_in_source(where), why) for where, found in refusal.fields.items() for why in found]


def _in_source(where: str) -> str:
    """Name a field as the source names it where that is known."""
    room, _, name = where.partition(".")
    if room == "facility":
        return facilities.COLUMN_OF.get(name, name)
    if room == "source_fields":
        return name.removesuffix(".value").removesuffix(".key")
    return facilities.COLUMN_OF.get(where, where)


def _record_file(session: Session, actor: Actor, report: Report, content: bytes) -> None:
    if report.dry_run or report.stopped is not None:
        return
    target = organizations.installation(session).id
    execute(session, import_file, actor=actor, target=target, data=_counted(report, content))


def _counted(report: Report, content: bytes) -> dict[str, Any]:
    return {
        "format": report.format,
        "digest": hashlib.sha256(content).hexdigest(),
        "name": plain(report.file)[:255],
        "added": report.added,
        "changed": len(report.changed),
        "unchanged": report.unchanged,
        "refused": len(report.refused),
    }


def _followed(rows: Sequence[T], label: str, *, progress: bool) -> Iterator[T]:
    """Go through rows, showing how far one is: a bar on a terminal, else a line now and then."""
    if not progress:
        yield from rows
    elif sys.stderr.isatty():
        with click.progressbar(rows, label=label, file=sys.stderr) as bar:
            yield from cast("Iterator[T]", bar)
    else:
        spoke = time.monotonic()
        for number, row in enumerate(rows, 1):
            yield row
            if time.monotonic() - spoke >= SPEAKS_EVERY:
                spoke = time.monotonic()
                click.echo(f"{label}: {number} of {len(rows)}", err=True)


# --- the report -------------------------------------------------------------------------------------------------------


def N_(said: str) -> str:  # noqa: N802  # the name by which a catalog's tools find texts that are translated later
    """Return a text as it stands; the doors say it in the reader's language."""
    return said


#: Why nothing of a file was read. The terminal says it as it stands, the doors in the reader's language; so all below.
WHOLE_FILE: Final[Mapping[str, str]] = {
    "too_large": N_("The file is larger than 50 MB."),
    "not_utf8": N_("The file is not UTF-8 text. Save it as UTF-8 and try again."),
    "not_utf8_at": N_("The file is not UTF-8 text (line %(which)s). Save it as UTF-8 and try again."),
    "empty_file": N_("The file has no rows."),
    "no_header": N_("The first line does not name columns."),
    "missing_columns": N_(
        "These columns are missing: %(which)s. A missing column would read as 'every value is gone'."
    ),
    "repeated_columns": N_("These columns stand there twice: %(which)s."),
    "too_many_columns": N_("The file has more than %(which)s columns."),
    "too_many_rows": N_("The file has more than %(which)s rows. Split it, or ask who runs the service to read it in."),
    "not_json": N_("The file is not JSON."),
    "not_json_at": N_("The file is not JSON (line %(which)s)."),
    "no_contents": N_("The file is neither a page with 'contents' nor a list of services."),
    "unknown_organization": N_("There is no organization %(which)s here."),
    "several_organizations": N_("More than one organization is called %(which)s. Give its id."),
    "not_an_agency": N_("%(which)s is no agency, and only agencies have facilities."),
}
REASONS: Final[Mapping[str, str]] = {
    "holds_nobody": N_("it holds nobody: a total or an office, not a facility"),
    "not_active": N_("its source says that it takes nobody (inactive or defunct)"),
    "broken_quotes": N_("its quotation marks do not close on this line"),
    "wrong_number_of_cells": N_("it has {0} cells where the header has {1}"),
    "repeated_id": N_("the same id stands at {0} already"),
    "repeated_key": N_("a key stands there twice"),
    "required": N_("is missing"),
    "not_utf8": N_("is not UTF-8 text"),
    "not_text": N_("holds a NUL or another control character"),
    "one_line": N_("runs over several lines"),
    "too_long": N_("is too long"),
    "too_deep": N_("is nested too deep"),
    "not_a_choice": N_("is none of the values known here"),
    "not_a_number": N_("is not a number"),
    "out_of_range": N_("is outside what is allowed"),
    "not_a_coordinate": N_("is no coordinate"),
    "not_a_postal_code": N_("is no ZIP code"),
    "not_a_county_code": N_("is no county code of five digits"),
    "not_a_state": N_("is no state"),
    "not_a_web_address": N_("is no web address"),
    "not_an_email": N_("is no e-mail address"),
    "not_an_id": N_("is no id (UUID)"),
    "not_a_time": N_("is no date and time with its zone"),
    "not_a_list": N_("is not a list"),
    "not_an_object": N_("is not an object"),
    "wrong_type": N_("is not the kind of value expected"),
    "other_agency": N_("it is here already, under another agency"),
    "other_organization": N_("it is another organization's"),
    "place_ended": N_("it is here already, and no longer used"),
    "program_closed": N_("it is here already, and closed"),
    "organization_ended": N_("its organization no longer takes part"),
    "wrong_side": N_("its organization stands on the other side"),
    "conflicting_entry": N_("there is an entry that excludes it"),
}
NOTES: Final[Mapping[str, str]] = {
    "middle_of_state": N_("the middle of the state, not a place: left out of the facility"),
    "half_a_point": N_("only one of the two is there: left out"),
    "no_such_code": N_("no code for it here: left out of the coded field"),
    "county_not_named": N_("its county is not named, so it shares one agency with others like it: give them their own"),
    "not_in_hsds": N_("not a field of HSDS 3.0"),
    "told_differently": N_("told differently by an earlier service of the file: that telling stands"),
    "not_a_place": N_("not a physical place: no location made"),
    "not_a_state": N_("not the two letters of a state: left out of the location"),
    "not_a_postal_code": N_("no ZIP code: left out of the location"),
    "no_category": N_("none of its categories has a code here: put under 'other'"),
    "no_link": N_("not an http or https address: left out"),
    "same_name": N_("an organization of this name is here already: this is a second one"),
}


def _told(report: Report) -> Iterator[str]:
    unit = report.unit
    yield f"{'Facilities' if report.format == FACILITIES else 'Services'} from {plain(report.file)}"
    if report.dry_run:
        yield "Dry run: nothing was changed."
    if report.unread is not None:
        why, which = report.unread
        yield "Nothing was read. " + WHOLE_FILE[why] % {"which": which}
        return
    yield (
        f"{report.rows} rows: {report.added} added, {len(report.changed)} changed, {report.unchanged} left alone, "
        f"{len(report.refused)} refused."
    )
    if report.pages > 1:
        yield f"Its publisher has {report.pages} pages; this file is one of them."
    if report.stopped is not None:
        at, why = report.stopped
        yield f"STOPPED at {unit} {at} ({why}). What came before is in; run it again to go on."
    yield from _told_rows(report, unit)


def _told_rows(report: Report, unit: str) -> Iterator[str]:
    if report.refused:
        yield "Refused:"
        for row in report.refused:
            whys = "; ".join(f"{plain(where)}{': ' if where else ''}{reason(why, unit)}" for where, why in row.reasons)
            yield f"  {unit} {row.at}{f', {row.label}' if row.label else ''}: {whys}"
    if report.changed:
        yield "Changed:"
        for one in report.changed:
            taken = ", ".join(one.fields) or "only what is kept beside the fields"
            left = f"; changed here too, so left as it is: {', '.join(one.kept)}" if one.kept else ""
            yield f"  {unit} {one.at}, {one.label}: {taken}{left}"
    if report.organizations:
        side = "Agencies" if report.format == FACILITIES else "Community organizations"
        yield f"{side} added ({len(report.organizations)}):"
        yield from (f"  {plain(name)}" for name in sorted(report.organizations))
        if report.format == SERVICES:
            yield "  Whether each runs a Part 2 program is unknown until somebody who knows says so."
    yield from _told_notes(report, unit)


def _told_notes(report: Report, unit: str) -> Iterator[str]:
    if report.notes:
        yield "Kept as the source says it, but:"
        for (where, why), lines in sorted(report.notes.items()):
            places = "" if lines == [0] else f" ({unit}{'s' if len(lines) > 1 else ''} {_some(lines)})"
            yield f"  {plain(where)}: {NOTES[why]}{places}"
        if report.more_notes:
            yield f"  … and {report.more_notes} more"
    if report.without_field:
        yield f"Kept whole, without a field of their own: {', '.join(map(plain, sorted(report.without_field)))}."


def reason(why: str, unit: str, said: Callable[[str], str] = str) -> str:
    """Return in words why a row was refused; `unit` is what the file is made of, `said` the reader's language."""
    name, *values = why.split(".")
    if name == "repeated_id":
        values = [f"{unit} {values[0]}"]
    return said(REASONS.get(name, name.replace("_", " "))).format(*values)


def _some(lines: Sequence[int]) -> str:
    shown = ", ".join(str(one) for one in lines[:10])
    return shown if len(lines) <= 10 else f"{shown} and {len(lines) - 10} more"  # noqa: PLR2004  # fits a line


def plain(said: str) -> str:
    """Return text that a terminal only shows: no control characters, not endless."""
    shown = "".join("?" if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else sign for sign in said)
    return shown if len(shown) <= 80 else shown[:79] + "…"  # noqa: PLR2004  # fits a line
