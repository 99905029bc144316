"""Both doors to release dates: what is in force, all that was said, and saying more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.account.queries import names as user_names
from referrals.kernel.actor import Side, TokenScope
from referrals.kernel.door import Doors, Shape, asking
from referrals.kernel.errors import NotPermittedError
from referrals.kernel.look import NOT_SHARED, refuse
from referrals.kernel.record import clock, day_of
from referrals.kernel.web import say, sentence
from referrals.organization.queries import facilities, facility_names
from referrals.organization.queries import names as organization_names
from referrals.person.queries import participant
from referrals.person.web import IN_BANNER, LEAVING, banner, crumbs
from referrals.release import commands as c
from referrals.release import queries as q

doors = Doors("release", reads=TokenScope.RELEASES_READ, writes=TokenScope.RELEASES_WRITE)


class _Leaving:
    """What the list of participants knows of releases: this room stands above it."""

    @staticmethod
    def within(days: int) -> Mapping[UUID, date]:
        """Return who leaves within so many days from today, and when."""
        session, actor = asking()
        today = day_of(clock(session), actor.zone)
        return q.leaving(session, actor, today, today + timedelta(days=days))

    @staticmethod
    def days(participants: Iterable[UUID]) -> Mapping[UUID, Any]:
        """Return for those on a page the day they are expected to leave, on record as read."""
        seen = q.shown_in_force(*asking(), participants)
        return {one: said.expected_on for one, said in seen.items()}


LEAVING.append(_Leaving())


class ReleaseDateShape(Shape):
    """One statement about a release."""

    id = fields.UUID()
    participant_id = fields.UUID()
    organization_id = fields.UUID()
    expected_on = fields.Date(allow_none=True)
    unknown_because = fields.String(allow_none=True)
    released_on = fields.Date(allow_none=True)
    returned_on = fields.Date(allow_none=True)
    facility_id = fields.UUID(allow_none=True)
    source = fields.String()
    said_by = fields.String(allow_none=True)
    as_of = fields.Date()
    is_heard = fields.Boolean()
    corrects_id = fields.UUID(allow_none=True)
    recorded_at = fields.AwareDateTime()
    recorded_by = fields.UUID()


def in_words(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return statements in words: what, who says so and as of when, where, and who wrote it down."""
    session, _ = asking()
    seen = list(rows)
    mistaken = {one.corrects_id for one in seen if one.corrects_id is not None}
    users = user_names(session, [one.recorded_by for one in seen])
    organizations = organization_names(session, [one.organization_id for one in seen])
    places = facility_names(session, [one.facility_id for one in seen if one.facility_id])
    return [
        {
            "expected_on": one.expected_on,
            "released_on": one.released_on,
            "returned_on": one.returned_on,
            "unknown": sentence(f"unknown.{one.unknown_because}") if one.unknown_because else None,
            "facility": places.get(one.facility_id),
            "source": sentence(f"source.{one.source}"),
            "said_by": one.said_by,
            "as_of": one.as_of,
            "is_heard": one.is_heard,
            "is_mistaken": one.id in mistaken,
            "corrects": one.corrects_id is not None,
            "at": one.recorded_at,
            "who": users.get(one.recorded_by),
            "organization": organizations.get(one.organization_id),
        }
        for one in seen
    ]


def release_facts(seen: Any, today: date) -> dict[str, Any]:
    """Return what `person_banner` shows of the statement in force (None: nothing was said yet)."""
    if seen is None:
        return {"release_on": None, "days": None, "release_note": None}
    if seen.expected_on is NOT_SHARED:
        return {"release_on": NOT_SHARED}
    on = seen.released_on or seen.expected_on
    note = sentence(f"unknown.{seen.unknown_because}") if seen.unknown_because else None
    days = (on - today).days if on else None
    return {"release_on": on, "days": days, "release_note": note, "is_released": seen.released_on is not None}


def _in_banner(seen: Any) -> dict[str, Any]:
    session, actor = asking()
    in_force = q.shown_in_force(session, actor, [seen.id]).get(seen.id)
    return release_facts(in_force, day_of(clock(session), actor.zone))


IN_BANNER.append(_in_banner)


def _page(target: UUID) -> tuple[Any, dict[str, Any]]:
    session, actor = asking()
    seen = participant(session, actor, target)
    rows = q.history(session, actor, target)
    own = seen.organization_id == actor.organization_id and actor.side == Side.AGENCY
    sources = c.SOURCES if own else c.HEARD
    return seen, {
        "it": seen,
        "person": banner(seen),
        "history": in_words(rows),
        "sources": [(one, sentence(f"source.{one}")) for one in sources],
        "authoritative": [(one, sentence(f"source.{one}")) for one in c.AUTHORITATIVE],
        "unknown": [(one, sentence(f"unknown.{one}")) for one in c.UNKNOWN_BECAUSE],
        "facilities": [(str(one.id), one.name) for one in session.scalars(facilities(seen.organization_id))],
        "own": own,
        "is_released": own and _is_out(rows),
        "mistakable": q.mistakable(rows) if own else None,
        "left_on": q.left_on(rows),
    }


def _is_out(rows: Iterable[Any]) -> bool:
    """Whether the agency's latest word is that they were released; `rows` come latest first."""
    own = [one for one in rows if not one.is_heard]
    return bool(own) and own[0].released_on is not None


@doors.get("/participants/<uuid:target>/release-date", page=None, shape=ReleaseDateShape, many=True)
def release_dates(target: UUID) -> Mapping[str, Any]:
    """List all that was said about a participant's release, latest first."""
    session, actor = asking()
    participant(session, actor, target)
    return {"rows": q.history(session, actor, target), "next": None}


def _stating(target: UUID) -> Mapping[str, Any]:
    seen, context = _page(target)
    return context | {"breadcrumbs": crumbs(seen, (None, sentence("release_page.date")))}


doors.act(
    "/participants/<uuid:target>/release-date",
    c.record_release_date,
    page="release/release_date.html",
    context=_stating,
    then=lambda row: f"/participants/{row.participant_id}/release-date",
    show=lambda row: q.statement(*asking(), row.id),
    shape=ReleaseDateShape,
    done="release_done.date",
)


def _releasing(target: UUID) -> Mapping[str, Any]:
    return _of_own(target, "release_page.released")


def _returning(target: UUID) -> Mapping[str, Any]:
    return _of_own(target, "release_page.returned")


def _correcting(target: UUID) -> Mapping[str, Any]:
    context = _of_own(target, "release_page.corrected")
    said = q.require_mistakable(context["mistakable"])
    return context | {"mistaken": in_words([said])[0], "was_return": said.returned_on is not None}


def _of_own(target: UUID, here: str) -> dict[str, Any]:
    """Return a page that only the participant's own agency is shown."""
    seen, context = _page(target)
    if not context["own"]:
        session, actor = asking()
        refuse(session, actor, q.HISTORY_VIEWED, row_type="person", target=None, purpose=None, code="not_permitted")
        raise NotPermittedError
    up = (f"/participants/{target}/release-date", sentence("release_page.date"))
    return context | {"breadcrumbs": crumbs(seen, up, (None, sentence(here)))}


doors.act(
    "/participants/<uuid:target>/release",
    c.record_release,
    page="release/release.html",
    context=_releasing,
    then=lambda row: f"/participants/{row.participant_id}/release-date",
    show=lambda row: q.statement(*asking(), row.id),
    shape=ReleaseDateShape,
    done="release_done.released",
)
doors.act(
    "/participants/<uuid:target>/return-to-custody",
    c.record_return,
    page="release/return.html",
    context=_returning,
    then=lambda row: f"/participants/{row.participant_id}/release-date",
    show=lambda row: q.statement(*asking(), row.id),
    shape=ReleaseDateShape,
    done="release_done.returned",
)
doors.act(
    "/participants/<uuid:target>/release-date/correction",
    c.correct_release,
    page="release/correction.html",
    context=_correcting,
    then=lambda row: f"/participants/{row.participant_id}/release-date",
    show=lambda row: q.statement(*asking(), row.id),
    shape=ReleaseDateShape,
    done="release_done.corrected",
)


say(
    {
        "release_page.date": _l("Release date"),
        "release_page.released": _l("Record the release"),
        "release_page.returned": _l("Record the return to custody"),
        "release_page.corrected": _l("This was a mistake"),
        "release_done.corrected": _l("The correction is on record beside the mistake. Both sides are told of it."),
        "required_choice.source": _l("Choose who says so."),
        "required_day.as_of": _l("Enter the day on which they said so."),
        "required_day.released_on": _l("Enter the day of release."),
        "required_day.returned_on": _l("Enter the day of the return."),
        "nothing_to_correct": _l(
            "On record now is neither that they left nor that they came back. Another expected day is a new statement."
        ),
        "released_or_held": _l("Give the day of release, or what is expected; not both."),
        "not_of_this": _l("What is corrected is no return to custody. Leave this empty."),
        "release_done.date": _l("The statement is on record. Earlier ones stay in the history."),
        "release_done.released": _l("The release is on record."),
        "release_done.returned": _l("The return is on record. No referral ends by it: each side says what still fits."),
        "not_released": _l("No release is on record, so there is no return. Say when the release is expected."),
        "before_release": _l("This is before the day of release on record."),
        "before_return": _l("This is before the day of the return."),
        "already_released": _l("The release is on record already, on %(on)s."),
        "day_or_reason": _l("Give a day, or say why it is unknown; not both."),
        "only_the_agency": _l("Only the agency that recorded the participant can say this. Choose how you heard it."),
        "source.agency_record": _l("Agency record"),
        "source.court": _l("Court"),
        "source.parole_board": _l("Parole board"),
        "source.participant_says": _l("The participant says so"),
        "source.cbo_heard": _l("Heard by a community organization"),
        "unknown.court_pending": _l("Unknown: a court decision is pending"),
        "unknown.hearing_pending": _l("Unknown: a hearing is pending"),
        "unknown.not_yet_calculated": _l("Unknown: not yet calculated"),
        "unknown.other_case_open": _l("Unknown: another case is open"),
        "unknown.records_not_received": _l("Unknown: records were not received"),
        "unknown.other": _l("Unknown: another reason"),
    }
)
