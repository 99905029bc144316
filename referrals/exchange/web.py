"""Both doors to files: an administrator reads one in for their organization; a supervisor takes a list along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import quote
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Response, flash, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.account import queries as accounts
from referrals.exchange import commands as c
from referrals.exchange import csv, facilities
from referrals.exchange import queries as q
from referrals.kernel.door import (
    OPERATIONS,
    UPLOAD_LIMIT,
    Doors,
    Form,
    ListAddress,
    Operation,
    Shape,
    asking,
    form_key,
    form_words,
    idempotency_key,
    json_words,
    query,
)
from referrals.kernel.errors import InvalidInputError, RefusedError
from referrals.kernel.look import NOT_SHARED
from referrals.kernel.record import clock, day_of
from referrals.kernel.schema import Takes, code, line, uid
from referrals.kernel.web import API, UPLOADS, Words, current_actor, db, limiter, login_app, say, sentence
from referrals.organization.queries import facility_names
from referrals.person.web import Filters
from referrals.program.queries import names as program_names
from referrals.referral.queries import Card
from referrals.worklist.queries import Group, Sort
from referrals.worklist.queries import Wanted as ReferralsWanted
from referrals.worklist.web import ListWords

doors = Doors("exchange")

HERE: Final = "/organization/imports"
UPLOADS |= {
    "exchange.import_own_file": UPLOAD_LIMIT,
    "exchange_api.import_own_file": UPLOAD_LIMIT * 4 // 3,  # quotes and line breaks are written as two signs in JSON
}


class ReasonShape(Shape):
    """Why a row did not go in: where in it, a stable code, the words."""

    field = fields.String()
    code = fields.String()
    detail = fields.String()


class RefusedRowShape(Shape):
    """A row that did not go in; `at` is its line (CSV) or number (services)."""

    at = fields.Integer()
    label = fields.String()
    reasons = fields.List(fields.Nested(ReasonShape))


class ChangedRowShape(Shape):
    """A row that changed something: which fields, and which were left because they were changed here too."""

    at = fields.Integer()
    label = fields.String()
    taken = fields.List(fields.String())
    kept = fields.List(fields.String())


class NoteShape(Shape):
    """What of the rows at these places is kept as the source says it, and has no field here."""

    field = fields.String()
    code = fields.String()
    detail = fields.String()
    at = fields.List(fields.Integer())


class FileShape(Shape):
    """A file that was read in: how many rows went where."""

    id = fields.UUID()
    name = fields.String()
    format = fields.String()
    imported_at = fields.AwareDateTime()
    imported_by = fields.UUID()
    rows = fields.Integer()
    added = fields.Integer()
    changed = fields.Integer()
    unchanged = fields.Integer()
    refused = fields.Integer()


class ReportShape(FileShape):
    """The same with what became of the rows. Of a file that was only checked there is no `id`."""

    id = fields.UUID(allow_none=True)
    dry_run = fields.Boolean()
    refused_rows = fields.List(fields.Nested(RefusedRowShape))
    changed_rows = fields.List(fields.Nested(ChangedRowShape))
    notes = fields.List(fields.Nested(NoteShape))
    more_notes = fields.Integer()
    without_field = fields.List(fields.String())
    pages = fields.Integer()


class After(Takes):
    """Where a page of the files goes on."""

    after = uid(required=False)


def _listed(after: UUID | None) -> dict[str, Any]:
    session, actor = asking()
    rows, following = q.own_files(session, actor, after=after)
    own = q.administered(session, actor, q.LISTED)
    return {
        "rows": rows,
        "next": following,
        "after": after,
        "people": accounts.names(session, [one.imported_by for one in rows]),
        "own": own,
        "columns": facilities.COLUMNS,
        "most": f"{c.MOST_ROWS:,}",
    }


@doors.get(HERE, page="exchange/files.html", shape=FileShape, takes=After, many=True)
def own_files(*, after: UUID | None) -> Mapping[str, Any]:
    """The files that one's own organization read in, newest first."""
    return {"form": Form(multipart=True), **_listed(after)}


@doors.get(f"{HERE}/<uuid:target>", page="exchange/report.html", shape=ReportShape)
def own_file(target: UUID) -> Mapping[str, Any]:
    """One file that was read in, and what became of its rows."""
    session, actor = asking()
    return _shown(c.Report.of(q.own_file(session, actor, target)))


def _shown(report: c.Report) -> dict[str, Any]:
    session, actor = asking()
    by = report.run.imported_by if report.run is not None else None
    return {
        "it": _told(report),
        "by": accounts.names(session, [by]).get(by) if by is not None else None,
        "stopped": report.stopped[0] if report.stopped is not None else None,
        "is_lines": report.unit == "line",
        "own_id": actor.organization_id,
    }


def _told(report: c.Report) -> dict[str, Any]:
    """Return a report with its codes in words."""
    run, details = report.run, report.details()
    return {
        "id": run.id if run is not None else None,
        "name": report.file,
        "format": report.format,
        "imported_at": run.imported_at if run is not None else None,
        "imported_by": run.imported_by if run is not None else None,
        "dry_run": report.dry_run,
        "rows": report.rows,
        "added": report.added,
        "changed": len(report.changed),
        "unchanged": report.unchanged,
        "refused": len(report.refused),
        "refused_rows": [
            row | {"reasons": [_because(where, why, report) for where, why in row["reasons"]]}
            for row in details["refused"]
        ],
        "changed_rows": [
            {"at": row["at"], "label": row["label"], "taken": row["fields"], "kept": row["kept"]}
            for row in details["changed"]
        ],
        "notes": [
            {"field": where, "code": why, "detail": gettext(c.NOTES[why]), "at": at}
            for where, why, at in details["notes"]
        ],
        "more_notes": report.more_notes,
        "without_field": details["without_field"],
        "pages": report.pages,
    }


def _because(where: str, why: str, report: c.Report) -> dict[str, str]:
    words = c.reason(why, gettext(report.unit), gettext)
    said = f"{where}: {words}." if where else f"{words[:1].upper()}{words[1:]}."
    return {"field": where, "code": why, "detail": said}


def import_own_file() -> ResponseReturnValue:
    """Take the form; answer with what became of the rows, or with the form and what is wrong with the file."""
    takes = c.ReadFileIn()
    try:
        report = c.read_file_in(*asking(), **takes.understood(_sent(takes)), key=form_key())
    except InvalidInputError as fault:
        told = {name: [sentence(code, fault.facts) for code in codes] for name, codes in fault.fields.items()}
        form = Form(request.form.to_dict(), told, multipart=True)
        return make_response(render_template("exchange/files.html", form=form, **_listed(None)), fault.status)
    if report.run is not None:
        went_in = report.rows > len(report.refused)
        flash("file_read_in" if went_in else "file_kept_out", "success" if went_in else "warning")
        return redirect(f"{HERE}/{report.run.id}", 303)
    return make_response(
        render_template("exchange/report.html", **_shown(report)), 200 if report.stopped is None else 503
    )


def _sent(takes: Takes) -> dict[str, Any]:
    given = request.files.get("content")
    if given is None or not given.filename:
        raise InvalidInputError({"content": ["no_file"]})
    try:
        name = c.plain(given.filename).strip() or "?"
        return form_words(takes) | {"name": name, "content": given.read()}
    finally:
        given.close()  # a large one lies in a temporary file


def import_own_file_json() -> ResponseReturnValue:
    """Take a file's text; answer with the report."""
    report = c.read_file_in(*asking(), **c.ReadFileIn().understood(json_words()), key=idempotency_key())
    report.require_whole()
    answer = cast("Response", login_app().json.response(ReportShape().told(_told(report))))
    if report.run is not None:
        answer.status_code = 201
        answer.headers["Location"] = f"{API}{HERE}/{report.run.id}"
    return answer


doors.pages.add_url_rule(HERE, "import_own_file", import_own_file, methods=["POST"])
doors.api.add_url_rule(HERE, "import_own_file", import_own_file_json, methods=["POST"])
OPERATIONS.append(
    Operation(
        "POST",
        f"{API}{HERE}",
        "exchange_api.import_own_file",
        "Read a file in to one's own organization, or only check it.",
        ReportShape,
        c.ReadFileIn,
        None,
        creates=True,
        checks=True,
    )
)

# --- lists that leave as files ----------------------------------------------------------------------------------------

#: Coarse, per person (S-117): nobody needs more, and whoever wants to carry everything off is held up.
_RATE: Final = "30 per hour"
_CSV: Final = "text/csv"


class ExportWords(Takes):
    """What the file is for, and why in a few words."""

    purpose = code(q.WHAT_FOR)
    because = line(400)


class ExportParticipants(ExportWords, Filters):
    """The same, and which participants: as their list takes it, but for pages."""

    class Meta(Takes.Meta):
        """A file has no pages."""

        exclude = ("size", "limit", "after")


class ExportReferrals(ExportWords, ListWords):
    """The same, and which referrals."""

    class Meta(Takes.Meta):
        """A file has no pages."""

        exclude = ("limit", "after")


@dataclass(frozen=True, slots=True)
class _List:
    """A list that may leave as a file: its address, its words, what it is narrowed by, its columns and lines."""

    path: str
    title: Words
    takes: ExportWords
    wanted: Callable[[Mapping[str, Any]], q.PeopleWanted | q.ReferralsWanted]
    filters: Callable[[Mapping[str, Any]], Iterable[str]]
    columns: Callable[[Mapping[str, Any]], Sequence[str]]
    lines: Callable[[Mapping[str, Any]], Iterable[Sequence[str]]]

    def at(self, given: Mapping[str, Any]) -> ListAddress:
        """Return the list's address as it is narrowed."""
        return ListAddress(self.path, self.narrowed(given))

    def narrowed(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Return what narrows and sorts the list as addresses and hidden fields say it."""
        said = {name: given.get(name) for name in self.takes.fields if name not in ExportWords().fields}
        return {name: "yes" if one is True else str(one) for name, one in said.items() if one not in {None, False}}

    def page(self, form: Form, given: Mapping[str, Any], status: int = 200) -> Response:
        """Show what the file will hold, and ask what it is for."""
        session, actor = asking()
        count = q.rows_to_export(session, actor, self.wanted(given))
        to = self.at(given)
        again = f"{self.path}/export?{to.query}"
        shown = {
            "list_title": str(self.title),
            "list_path": self.path,
            "list_url": to.but(),
            "narrowed": self.narrowed(given),
            "filters": list(self.filters(given)),
            "columns": self.columns(given),
            "count": count,
            "most": q.MOST,
            "purposes": [(one, sentence(f"export_for.{one}"), sentence(f"export_about.{one}")) for one in q.WHAT_FOR],
            "code_url": None if q.is_fresh(session, actor) else f"/sign-in/second-step?next={quote(again)}",
        }
        return make_response(render_template("exchange/export.html", form=form, **shown), status)

    def take(self) -> ResponseReturnValue:
        """Take the form: answer with the file, or with the form and what is wrong."""
        typed = form_words(self.takes)
        try:
            return self.file(self.takes.understood(typed))
        except (InvalidInputError, q.TooManyRowsError) as fault:
            faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
            told = {name: [sentence(one, fault.facts) for one in codes] for name, codes in faults.items()}
            return self.page(Form(typed, told), self.understood(typed), fault.status)

    def understood(self, typed: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return how the list is narrowed by a form whose own words are wrong; if its filters are, by none."""
        words = {name: value for name, value in typed.items() if name not in ExportWords().fields}
        stand_in = {"purpose": next(iter(q.WHAT_FOR)), "because": "?"}
        try:
            return self.takes.understood(words | stand_in)
        except InvalidInputError:
            return self.takes.understood(stand_in)

    def take_json(self) -> ResponseReturnValue:
        """Take a JSON object; answer with the file."""
        return self.file(self.takes.understood(json_words()))

    def file(self, given: Mapping[str, Any]) -> Response:
        """Answer with the file. What it holds is on record before any of it leaves, as with every look (L1)."""
        lines = list(self.lines(given))
        answer = Response(csv.written([self.columns(given), *lines]), mimetype=_CSV)
        answer.headers["Content-Type"] = f"{_CSV}; charset=utf-8; header=present"
        day = day_of(clock(db.session()), current_actor().zone).isoformat()
        answer.headers.set("Content-Disposition", "attachment", filename=f"{self.path.strip('/')}-{day}.csv")
        return answer


def _cell(value: Any) -> str:
    """Return a value as it stands in a file: what does not cross says so, what is not there is empty."""
    if value is NOT_SHARED:
        return str(gettext("Not shared"))
    return "" if value is None else str(value)


def _said(prefix: str, value: Any) -> str:
    return sentence(f"{prefix}.{value}") if isinstance(value, str) else _cell(value)


def _when(value: Any) -> str:
    """Return an instant as spreadsheets read it, in the zone that the column names."""
    if not isinstance(value, datetime):
        return _cell(value)
    return f"{value.astimezone(ZoneInfo(current_actor().zone)):%Y-%m-%d %H:%M}"


def _people_wanted(given: Mapping[str, Any]) -> q.PeopleWanted:
    leaving = given["leaving"]
    return q.PeopleWanted(
        given["facility_id"], given["language"], given["mine"], int(leaving) if leaving else None, given["sort"]
    )


def _people_filters(given: Mapping[str, Any]) -> Iterable[str]:
    session, _ = asking()
    if (facility := given["facility_id"]) is not None:
        yield facility_names(session, [facility]).get(facility, gettext("One facility"))
    if given["leaving"]:
        yield sentence(f"leaving.{given['leaving']}")
    if given["language"]:
        yield sentence(f"language.{given['language']}")
    if given["mine"]:
        yield sentence("person_page.mine")


def _people_columns(given: Mapping[str, Any]) -> Sequence[str]:
    columns = [gettext("Name"), gettext("Agency number"), gettext("Facility")]
    return [*columns, gettext("Release")] if given["leaving"] else columns


def _people_lines(given: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    wanted = _people_wanted(given)
    found = q.export_people(*asking(), wanted, purpose=given["purpose"], because=given["because"])
    for one in found.rows:
        held = one.facility_id
        cells = [one.called, one.agency_number, held if held is NOT_SHARED else found.facilities.get(held)]
        yield [_cell(cell) for cell in (*cells, *([found.days.get(one.id)] if given["leaving"] else []))]


def _referrals_wanted(given: Mapping[str, Any]) -> q.ReferralsWanted:
    # Every filter that the list has: one that was left out here would let more leave than the list shows.
    wanted = ReferralsWanted(**{one.name: given[one.name] for one in dataclass_fields(ReferralsWanted)})
    return q.ReferralsWanted(Group(given["group"]), wanted, Sort(given["sort"]) if given["sort"] else None)


def _referral_filters(given: Mapping[str, Any]) -> Iterable[str]:
    session, _ = asking()
    yield sentence(f"group.{given['group']}")
    for name in ("status", "urgency"):
        if given[name]:
            yield sentence(f"{name}.{given[name]}")
    if (program := given["program_id"]) is not None:
        yield program_names(session, [program]).get(program, gettext("One program"))
    if given["participant_id"] is not None:
        yield gettext("One participant")
    if given["colleague_id"] is not None:
        yield gettext("One colleague")
    if given["overdue"]:
        yield gettext("Overdue")


def _referral_columns(given: Mapping[str, Any]) -> Sequence[str]:
    zone = current_actor().zone
    due = [gettext("Due (%(zone)s)", zone=zone), gettext("Overdue")]
    return [
        *(gettext("Participant"), gettext("Reference"), gettext("From"), gettext("Program"), gettext("Organization")),
        *(gettext("Service"), gettext("Urgency"), gettext("Status"), gettext("Outcome")),
        *(due if given["group"] != Group.CLOSED else ()),
        *(gettext("Sent (%(zone)s)", zone=zone), gettext("Last step (%(zone)s)", zone=zone)),
    ]


def _referral_lines(given: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    wanted = _referrals_wanted(given)
    found = q.export_referrals(*asking(), wanted, purpose=given["purpose"], because=given["because"])
    return [_referral_line(one, with_due=given["group"] != Group.CLOSED) for one in found]


def _referral_line(one: Card, *, with_due: bool) -> Sequence[str]:
    due = [_when(one.due_by), gettext("Yes") if one.is_overdue else ""]
    return [
        *(_cell(cell) for cell in (one.participant, one.reference, one.source, one.program, one.recipient)),
        *(_said("service", one.service), _said("urgency", one.urgency), _said("status", one.status)),
        _said("loop", one.loop) if one.loop in {"open", "disputed"} else "",
        *(due if with_due else ()),
        *(_when(one.sent_at), _when(one.moved_at)),
    ]


_PEOPLE: Final = _List(
    "/participants",
    _l("Participants"),
    ExportParticipants(),
    _people_wanted,
    _people_filters,
    _people_columns,
    _people_lines,
)
_REFERRALS: Final = _List(
    "/referrals",
    _l("Referrals"),
    ExportReferrals(),
    _referrals_wanted,
    _referral_filters,
    _referral_columns,
    _referral_lines,
)


@doors.pages.errorhandler(q.FreshSignInNeededError)
def ask_for_a_code(refusal: RefusedError) -> ResponseReturnValue:
    """Lead to the second step, and back to the list as it was narrowed (S-113)."""
    one = _PEOPLE if request.path.startswith(_PEOPLE.path) else _REFERRALS
    flash(refusal.code, "warning")
    back = f"{one.path}/export?{one.at(one.understood(form_words(one.takes))).query}"
    return redirect(f"/sign-in/second-step?next={quote(back)}", 303)


def _by_person() -> str:
    return str(current_actor().me)


_limited = limiter.shared_limit(_RATE, scope="export", key_func=_by_person)


def export_participants_form() -> ResponseReturnValue:
    """Show what a file of participants will hold, and ask what it is for."""
    return _PEOPLE.page(Form(), Filters().understood(query(Filters())))


def export_referrals_form() -> ResponseReturnValue:
    """Show what a file of referrals will hold, and ask what it is for."""
    return _REFERRALS.page(Form(), ListWords().understood(query(ListWords())))


@_limited
def export_participants() -> ResponseReturnValue:
    """Take the list of participants along as a CSV file."""
    return _PEOPLE.take()


@_limited
def export_referrals() -> ResponseReturnValue:
    """Take a list of referrals along as a CSV file."""
    return _REFERRALS.take()


@_limited
def export_participants_json() -> ResponseReturnValue:
    """Take the list of participants along as a CSV file."""
    return _PEOPLE.take_json()


@_limited
def export_referrals_json() -> ResponseReturnValue:
    """Take a list of referrals along as a CSV file."""
    return _REFERRALS.take_json()


# Tokens open none of these: a file is taken along by somebody who signed in, and lately (S-113, S-808).
doors.pages.add_url_rule("/participants/export", "export_participants_form", export_participants_form)
doors.pages.add_url_rule("/participants/export", "export_participants", export_participants, methods=["POST"])
doors.api.add_url_rule("/participants/export", "export_participants", export_participants_json, methods=["POST"])
doors.pages.add_url_rule("/referrals/export", "export_referrals_form", export_referrals_form)
doors.pages.add_url_rule("/referrals/export", "export_referrals", export_referrals, methods=["POST"])
doors.api.add_url_rule("/referrals/export", "export_referrals", export_referrals_json, methods=["POST"])
OPERATIONS.extend(
    Operation(
        "POST", f"{API}{one.path}/export", f"exchange_api.{name}", summary, None, type(one.takes), None, file=_CSV
    )
    for one, name, summary in (
        (_PEOPLE, "export_participants", "Take the list of participants along as a CSV file."),
        (_REFERRALS, "export_referrals", "Take a list of referrals along as a CSV file."),
    )
)

say({f"file.{code}": _l(words) for code, words in c.WHOLE_FILE.items()})
say(
    {
        "file_read_in": _l("The file was read in. This is what became of its rows."),
        "file_kept_out": _l("Nothing of the file went in. Each row and why is below."),
        "no_file": _l("Choose the file to read in."),
        "upload_too_large": _l("The file is larger than 10 MB. Split it, or ask who runs the service to read it in."),
        "too_many_rows": _l(
            "This list has more than %(most)s rows, and a file takes no more. Nothing was downloaded. Go back to the "
            "list, narrow it by its filters, and download it in parts."
        ),
        "export_for.work": _l("To plan or oversee our work"),
        "export_about.work": _l("Caseloads, deadlines, handing over within your organization."),
        "export_for.participant_asked": _l("The participant asked for it"),
        "export_about.participant_asked": _l("It is for them, or for somebody they named."),
        "export_for.legal_duty": _l("A court order or another legal duty"),
        "export_about.legal_duty": _l("Say which one below."),
        "export_for.new_system": _l("To move to another system"),
        "export_about.new_system": _l("So that services go on there."),
        "import_stopped": _l(
            "Row %(at)s could not be put on record, so it stopped there. What came before is in; send the file again."
        ),
    }
)
