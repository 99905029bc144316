"""Both doors to files from elsewhere: an administrator reads one in for their organization, and sees the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast
from uuid import UUID

from flask import Response, flash, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.account import queries as accounts
from referrals.exchange import commands as c
from referrals.exchange import facilities
from referrals.exchange import queries as q
from referrals.kernel.door import (
    OPERATIONS,
    UPLOAD_LIMIT,
    Doors,
    Form,
    Operation,
    Shape,
    asking,
    form_key,
    form_words,
    idempotency_key,
    json_words,
)
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.schema import Takes, uid
from referrals.kernel.web import API, UPLOADS, login_app, say, sentence

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

say({f"file.{code}": _l(words) for code, words in c.WHOLE_FILE.items()})
say(
    {
        "file_read_in": _l("The file was read in. This is what became of its rows."),
        "file_kept_out": _l("Nothing of the file went in. Each row and why is below."),
        "no_file": _l("Choose the file to read in."),
        "upload_too_large": _l("The file is larger than 10 MB. Split it, or ask who runs the service to read it in."),
        "import_stopped": _l(
            "Row %(at)s could not be put on record, so it stopped there. What came before is in; send the file again."
        ),
    }
)
