"""Both doors to participants: the list, the search, one participant's record, and who helps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, Final, Protocol
from uuid import UUID

from flask import request
from flask_babel import format_date
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.account.queries import colleagues
from referrals.account.queries import names as user_names
from referrals.kernel.actor import Actor, Side, TokenScope
from referrals.kernel.door import PAGE_SIZES, Doors, ListAddress, Shape, asking, form_words
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError
from referrals.kernel.look import NOT_SHARED, refuse
from referrals.kernel.schema import Takes, code, day, line, uid, whole, yes_no
from referrals.kernel.web import current_actor, place, say, sentence
from referrals.organization.queries import facilities, facility_names
from referrals.organization.queries import names as organization_names
from referrals.person import commands as c
from referrals.person import policy as p
from referrals.person import queries as q
from referrals.program.queries import names as program_names
from referrals.view.commands import declare_listing
from referrals.view.web import saved_views

doors = Doors("person", reads=TokenScope.PARTICIPANTS_READ, writes=TokenScope.PARTICIPANTS_WRITE)


def _works(actor: Actor) -> bool:
    return p.works_with_participants(actor, None)


place("/participants", _l("Participants"), 10, _works)


# --- shapes -----------------------------------------------------------------------------------------------------------


class RowShape(Shape):
    """A participant in a list."""

    id = fields.UUID()
    called = fields.String()
    given_name = fields.String()
    family_name = fields.String()
    preferred_name = fields.String(allow_none=True)
    agency_number = fields.String()
    organization_id = fields.UUID()
    facility_id = fields.UUID(allow_none=True)


class ParticipantShape(RowShape):
    """A participant, as far as this reader may see them."""

    birth_date = fields.Date()
    language = fields.String()
    phone = fields.String(allow_none=True)
    email = fields.String(allow_none=True)
    address = fields.String(allow_none=True)
    added_at = fields.AwareDateTime()
    version = fields.Integer()


class AssignmentShape(Shape):
    """One place on a care team."""

    id = fields.UUID()
    organization_id = fields.UUID()
    user_id = fields.UUID(allow_none=True)
    program_id = fields.UUID(allow_none=True)
    facility_id = fields.UUID(allow_none=True)
    tie = fields.String()
    reason = fields.String()
    reason_text = fields.String(allow_none=True)
    from_at = fields.AwareDateTime()
    from_by = fields.UUID(allow_none=True)
    until_at = fields.AwareDateTime(allow_none=True)
    ended_by = fields.UUID(allow_none=True)
    ended_because = fields.String(allow_none=True)


class EndedAssignmentShape(AssignmentShape):
    """A place that ended, and whether it was its organization's last: then nobody there knows of the participant."""

    leaves_nobody = fields.Boolean()


#: Windows of planning, in days.
WINDOWS: Final = ("30", "60", "90")
_NOWHERE: Final = frozenset({None, NOT_SHARED})
#: A list of choices holds so many facilities.
_OFFERED_AT_MOST: Final = 200


class Filters(Takes):
    """Which participants, in which order, which page: codes and ids alone, since all of it stands in the address."""

    facility_id = uid(required=False)
    language = code(c.LANGUAGES, required=False)
    mine = yes_no()
    leaving = code(WINDOWS, required=False)
    sort = code(q.SORTS, required=False)
    size = code([str(size) for size in PAGE_SIZES], default=str(PAGE_SIZES[0]))
    #: For programs that read the list; pages have `size`.
    limit = whole(1, 100, required=False)
    after = uid(required=False)


class DeathShape(Shape):
    """What is on record of a participant's death."""

    id = fields.UUID()
    organization_id = fields.UUID()
    at = fields.AwareDateTime()
    by = fields.UUID()
    died_on = fields.Date(allow_none=True)
    told_by = fields.String()
    words = fields.String(allow_none=True)


class TeamWords(Takes):
    """Whether those who helped before are wanted, too."""

    ended = line(3, required=False)


class SearchWords(Takes):
    """A name; an agency number; or a family name with a birth date."""

    name = line(200, required=False)
    agency_number = line(40, required=False)
    family_name = line(100, required=False)
    birth_date = day(required=False)


# --- what several pages show ------------------------------------------------------------------------------------------


def _choices(prefix: str, codes: Iterable[str]) -> list[tuple[str, str]]:
    return [(one, sentence(f"{prefix}.{one}")) for one in codes]


def _facility_choices(actor: Actor) -> list[tuple[str, str]]:
    session, _ = asking()
    return [(str(one.id), one.name) for one in session.scalars(facilities(actor.organization))]


class Leaving(Protocol):
    """What the room of releases, upstairs, tells this list."""

    def within(self, days: int) -> Mapping[UUID, date]:
        """Return who leaves within so many days, and when; for narrowing and sorting only."""
        ...

    def days(self, participants: Iterable[UUID]) -> Mapping[UUID, Any]:
        """Return the days to be shown beside these participants, on record as read."""
        ...


#: Who tells; the room of releases joins itself.
LEAVING: list[Leaving] = []

_NOT_ASKED: Final = object()
#: What rooms upstairs add to who a page is about; each is handed the participant as seen.
IN_BANNER: list[Callable[[Any], Mapping[str, Any]]] = []


def banner(seen: Any, death: Any = _NOT_ASKED) -> dict[str, Any]:
    """Return what `person_banner` shows of one participant, with what rooms upstairs add.

    `death` is what `q.death` returned, where it was asked already.
    """
    session, actor = asking()
    held = seen.facility_id
    name = held if held is NOT_SHARED else facility_names(session, [held] if held else []).get(held)
    language = seen.language
    shown = {
        "name": seen.called,
        "url": f"/participants/{seen.id}",
        "number": seen.agency_number,
        "facility": name,
        "language": language if language is NOT_SHARED else sentence(f"language.{language}"),
    }
    for add in IN_BANNER:
        shown |= add(seen)
    return shown | death_in_banner(q.death(session, actor, seen.id) if death is _NOT_ASKED else death)


def death_in_banner(death: Any) -> dict[str, str]:
    """Return what `person_banner` says of a death, where one is on record and shared."""
    if death is None:
        return {}
    if death.died_on is None:
        return {"died": sentence("person_page.died")}
    return {"died": sentence("person_page.died_on", {"day": format_date(death.died_on, "long")})}


def crumbs(seen: Any, *more: tuple[str | None, str]) -> list[dict[str, str | None]]:
    """Return the breadcrumbs down to one participant, and further."""
    called = sentence("person_page.not_shared") if seen.called is NOT_SHARED else str(seen.called)
    way = [("/participants", sentence("person_page.participants")), (f"/participants/{seen.id}", called), *more]
    return [{"url": url, "label": label} for url, label in way]


def _seen(target: UUID) -> tuple[Any, dict[str, Any]]:
    session, actor = asking()
    seen = q.participant(session, actor, target)
    return seen, {"it": seen, "person": banner(seen)}


def _editable(target: UUID) -> tuple[Any, dict[str, Any]]:
    """Return what an edit's page shows; only the agency's own writers get that far."""
    seen, context = _seen(target)
    actor = current_actor()
    if seen.organization_id != actor.organization_id or not p.writes_an_agencys_record(actor, None):
        raise _refused(q.VIEWED)
    return seen, context


def _refused(action: str) -> NotPermittedError:
    """Put on record that a form was refused, and return what to raise (S-210)."""
    session, actor = asking()
    refuse(session, actor, action, row_type="person", target=None, purpose=None, code=NotPermittedError.code)
    return NotPermittedError()


def team_rows(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return care team entries in words: who, from which organization, how, since when and why."""
    session, actor = asking()
    seen = list(rows)
    users = user_names(session, [one.user_id for one in seen] + [one.from_by for one in seen])
    programs = program_names(session, [one.program_id for one in seen if one.program_id])
    places = facility_names(session, [one.facility_id for one in seen if one.facility_id])
    organizations = organization_names(session, [one.organization_id for one in seen])
    return [
        {
            "id": one.id,
            "name": users.get(one.user_id) or programs.get(one.program_id) or places.get(one.facility_id),
            "organization": organizations.get(one.organization_id),
            "tie": sentence(f"tie.{one.tie}"),
            "reason": sentence(f"team_reason.{one.reason}"),
            "reason_text": one.reason_text,
            "from_at": one.from_at,
            "from_by": users.get(one.from_by),
            "until_at": one.until_at,
            "ended_because": sentence(f"team_end.{one.ended_because}") if one.ended_because else None,
            "may_end": one.is_in_force and one.organization_id == actor.organization_id,
        }
        for one in seen
    ]


# --- reading ----------------------------------------------------------------------------------------------------------


declare_listing("participants", "/participants", Filters)


@doors.get("/participants", page="person/list.html", shape=RowShape, takes=Filters, many=True)
def participants(
    *,
    facility_id: UUID | None,
    language: str | None,
    mine: bool,
    leaving: str | None,
    sort: str | None,
    size: str,
    limit: int | None,
    after: UUID | None,
) -> Mapping[str, Any]:
    """List the participants within sight: narrowed, sorted, by pages; newest first unless sorted."""
    session, actor = asking()
    days = {one: day for room in LEAVING for one, day in room.within(int(leaving)).items()} if leaving else None
    wanted = q.Wanted(facility_id, language, mine, days, sort)
    page = q.listed(session, actor, wanted, after=after, limit=limit or int(size))

    def around() -> Mapping[str, Any]:
        given = {
            "facility_id": facility_id,
            "language": language,
            "mine": "yes" if mine else None,
            "leaving": leaving,
            "sort": sort,
            "size": size if size != str(PAGE_SIZES[0]) else None,
        }
        at, ids = ListAddress("/participants", given), [one.id for one in page.rows]
        places = _filter_facilities(actor)
        held = {one.facility_id for one in page.rows} | {facility_id}
        named = dict(places) | {str(one): name for one, name in facility_names(session, held - _NOWHERE).items()}
        told = {
            "facility_id": named.get(str(facility_id), ""),
            "language": sentence(f"language.{language}"),
            "mine": sentence("person_page.mine"),
            "leaving": sentence(f"leaving.{leaving}"),
        }
        return {
            **saved_views("participants", at),
            "after": after,
            "count": page.count,
            "counted_at_most": q.COUNTED_AT_MOST,
            "too_many": page.too_many,
            "facilities": {one.facility_id: named.get(str(one.facility_id)) for one in page.rows},
            "may_add": p.writes_an_agencys_record(actor, None),
            "supervises": p.supervises(actor),
            "at": at,
            "given": given,
            "chips": at.chips(told),
            "places": places,
            "languages": _choices("language", c.LANGUAGES),
            "sorts": _choices("sort", q.SORTS if leaving else q.SORTS[:2]),
            "windows": _choices("leaving", WINDOWS),
            "days": dict(day for room in LEAVING for day in room.days(ids).items()) if leaving else {},
        }

    return {"rows": page.rows, "next": str(page.next) if page.next else None, "around": around}


def _filter_facilities(actor: Actor) -> list[tuple[str, str]]:
    """Return the facilities to choose from: one's own agency's; for others any, as far as a list of choices goes."""
    if actor.side is Side.AGENCY:
        return _facility_choices(actor)
    session, _ = asking()
    return [(str(one.id), one.name) for one in session.scalars(facilities().limit(_OFFERED_AT_MOST))]


@doors.search("/participants/search", page="person/search.html", shape=RowShape, takes=SearchWords)
def search_participants(**words: Any) -> Mapping[str, Any]:
    """Find participants by name, by number, or by family name with birth date; the words stay out of every address."""
    session, actor = asking()
    found = q.search(session, actor, **words)
    return {"rows": found.rows, "more": found.more, "whole_words": found.whole_words}


@doors.get("/participants/<uuid:target>", page="person/show.html", shape=ParticipantShape)
def participant(target: UUID) -> Mapping[str, Any]:
    """Show one participant: who they are, how to reach them, and who helps them."""
    session, actor = asking()
    seen = q.participant(session, actor, target)

    def around() -> Mapping[str, Any]:
        team = team_rows(q.care_team(session, actor, target))
        found = q.death(session, actor, target)
        own = seen.organization_id == actor.organization_id
        return {
            "person": banner(seen, found) | {"team": team},
            "team": team,
            "death": None if found is None else _death_words(found),
            "recorded_by": organization_names(session, [seen.organization_id])[seen.organization_id],
            "may_write": own and p.writes_an_agencys_record(actor, None),
            "breadcrumbs": crumbs(seen)[:2],
        }

    return {"it": seen, "around": around}


@doors.get("/participants/<uuid:target>/death", page=None, shape=DeathShape)
def death(target: UUID) -> Mapping[str, Any]:
    """Show what is on record of a participant's death; nothing on record, and nothing shared, are alike not found."""
    session, actor = asking()
    q.participant(session, actor, target)
    return {"it": _death_of(target)}


def _death_of(target: UUID) -> Any:
    session, actor = asking()
    found = q.death(session, actor, target)
    if found is None:
        refuse(session, actor, q.DEATH_VIEWED, row_type="death_record", target=None, purpose=q.PURPOSE)
        raise NotFoundError
    return found


def _death_words(death: Any) -> dict[str, Any]:
    """Return what is on record of a death in words, and whether it is the reader's to take back."""
    session, actor = asking()
    return {
        "id": death.id,
        "on": death.died_on,
        "told_by": sentence(f"told_of_death.{death.told_by}"),
        "words": death.words,
        "at": death.at,
        "who": user_names(session, [death.by]).get(death.by),
        "organization": organization_names(session, [death.organization_id]).get(death.organization_id),
        "may_take_back": q.may_take_back(session, actor, death.id),
    }


@doors.get(
    "/participants/<uuid:target>/care-team",
    page="person/care_team.html",
    shape=AssignmentShape,
    takes=TeamWords,
    many=True,
)
def care_team(target: UUID, *, ended: str | None) -> Mapping[str, Any]:
    """Show who helps a participant; with `ended=yes`, who did before, too."""
    session, actor = asking()
    seen = q.participant(session, actor, target)
    rows = q.care_team(session, actor, target, ended=ended == "yes")

    def around() -> Mapping[str, Any]:
        way = crumbs(seen, (None, sentence("person_page.care_team")))
        words = {"team": team_rows(rows), "ended": ended == "yes", "breadcrumbs": way}
        return {"it": seen, "person": banner(seen)} | words

    return {"rows": rows, "next": None, "around": around}


# --- acting -----------------------------------------------------------------------------------------------------------


def _adding() -> Mapping[str, Any]:
    actor = current_actor()
    if not p.writes_an_agencys_record(actor, None):
        raise _refused(q.LISTED)
    return {
        "facilities": _facility_choices(actor),
        "spoken": _choices("language", c.LANGUAGES),
        "duplicates": _duplicates() if request.method == "POST" else None,
    }


def _duplicates() -> q.Duplicates | None:
    """Return who may be meant by what was typed, when the command has just refused it."""
    try:
        words = c.AddParticipant().understood(form_words(c.AddParticipant()))
    except InvalidInputError:
        return None
    names = ("given_name", "family_name", "birth_date", "phone", "preferred_name")
    return q.duplicates(*asking(), q.Alike(**{name: words[name] for name in names}), words["agency_number"])


doors.act(
    "/participants/new",
    c.add_participant,
    page="person/new.html",
    context=_adding,
    target=lambda _: current_actor().organization,
    then=lambda row: f"/participants/{row.id}",
    show=lambda row: q.participant(*asking(), row.id),
    shape=ParticipantShape,
    api_rule="/participants",
    done="person_done.participant_added",
)


def _identity(target: UUID) -> Mapping[str, Any]:
    seen, context = _editable(target)
    values = {name: getattr(seen, name) for name in c.ChangeIdentity().fields}
    return context | {
        "values": values | {"birth_date": seen.birth_date.isoformat()},
        "version": seen.version,
        "spoken": _choices("language", c.LANGUAGES),
        "breadcrumbs": crumbs(seen, (None, sentence("person_page.change_identity"))),
    }


doors.act(
    "/participants/<uuid:target>/identity",
    c.change_identity,
    page="person/identity.html",
    context=_identity,
    then=lambda row: f"/participants/{row.id}",
    show=lambda row: q.participant(*asking(), row.id),
    shape=ParticipantShape,
    done="person_done.saved",
)


def _contacts(target: UUID) -> Mapping[str, Any]:
    seen, context = _editable(target)
    return context | {
        "values": {name: getattr(seen, name) for name in c.ChangeContacts().fields},
        "version": seen.version,
        "breadcrumbs": crumbs(seen, (None, sentence("person_page.change_contacts"))),
    }


doors.act(
    "/participants/<uuid:target>/contacts",
    c.change_contacts,
    page="person/contacts.html",
    context=_contacts,
    then=lambda row: f"/participants/{row.id}",
    show=lambda row: q.participant(*asking(), row.id),
    shape=ParticipantShape,
    done="person_done.saved",
)


def _moving(target: UUID) -> Mapping[str, Any]:
    seen, context = _editable(target)
    return context | {
        "values": {"facility_id": str(seen.facility_id or "")},
        "version": seen.version,
        "facilities": _facility_choices(current_actor()),
        "breadcrumbs": crumbs(seen, (None, sentence("person_page.move_to_facility"))),
    }


doors.act(
    "/participants/<uuid:target>/facility",
    c.move_to_facility,
    page="person/facility.html",
    context=_moving,
    then=lambda row: f"/participants/{row.id}/care-team",  # whoever helps them there joins by hand (R24)
    show=lambda row: q.participant(*asking(), row.id),
    shape=ParticipantShape,
    done="person_done.moved",
)


def _assigning(target: UUID) -> Mapping[str, Any]:
    session, actor = asking()
    seen, context = _seen(target)
    people = session.scalars(colleagues(actor.organization, *p.WORKING, integrations=True))
    ties = c.TIES_OF_SIDE[actor.side or Side.COMMUNITY]
    return context | {
        "colleagues": [(str(one.id), one.display_name) for one in people],
        "ties": _choices("tie", ties),
        "reasons": _choices("team_reason", c.REASONS_BY_HAND),
        "breadcrumbs": crumbs(
            seen,
            (f"/participants/{target}/care-team", sentence("person_page.care_team")),
            (None, sentence("person_page.assign")),
        ),
    }


doors.act(
    "/participants/<uuid:target>/care-team/new",
    c.assign_to_care_team,
    page="person/assign.html",
    context=_assigning,
    then=lambda row: f"/participants/{row.participant_id}/care-team",
    show=lambda row: q.assignment(*asking(), row.id),
    shape=AssignmentShape,
    api_rule="/participants/<uuid:target>/care-team",
    done="person_done.assigned",
)


def _ending(target: UUID) -> Mapping[str, Any]:
    session, actor = asking()
    one = q.assignment(session, actor, target)
    seen, context = _seen(one.participant_id)
    in_force = q.care_team(session, actor, one.participant_id)
    own = [other for other in in_force if other.organization_id == actor.organization_id]
    return context | {
        "entry": team_rows([one])[0],
        "is_last": one.is_in_force and len(own) == 1,
        "is_agency": actor.side == Side.AGENCY,
        "reasons": _choices("team_end", c.END_REASONS_BY_HAND),
        "breadcrumbs": crumbs(
            seen,
            (f"/participants/{one.participant_id}/care-team", sentence("person_page.care_team")),
            (None, sentence("person_page.end_assignment")),
        ),
    }


def _after_ending(row: Any) -> str:
    """Return the care team, or the list where it cannot be opened any more: one may have ended one's own sight."""
    known = q.is_known_to(*asking(), row.participant_id)
    return f"/participants/{row.participant_id}/care-team" if known else "/participants"


def _ended(row: Any) -> Mapping[str, Any]:
    """Return the place that ended: read again, or, where it is out of sight now, as the act itself left it."""
    session, actor = asking()
    told = q.assignment(session, actor, row.id) if q.is_known_to(session, actor, row.participant_id) else row
    leaves_nobody = not q.is_helped_by(session, row.organization_id, row.participant_id)
    return {name: getattr(told, name) for name in AssignmentShape().fields} | {"leaves_nobody": leaves_nobody}


doors.act(
    "/assignments/<uuid:target>/end",
    c.end_assignment,
    page="person/end_assignment.html",
    context=_ending,
    then=_after_ending,
    show=_ended,
    shape=EndedAssignmentShape,
    done="person_done.assignment_over",
)


def _recording_death(target: UUID) -> Mapping[str, Any]:
    seen, context = _seen(target)
    return context | {
        "sources": _choices("told_of_death", c.TOLD_OF_DEATH),
        "breadcrumbs": crumbs(seen, (None, sentence("person_page.record_death"))),
    }


def _participant_url(row: Any) -> str:
    return f"/participants/{row.participant_id}"


doors.act(
    "/participants/<uuid:target>/death",
    c.record_death,
    page="person/death.html",
    context=_recording_death,
    then=_participant_url,
    show=lambda row: _death_of(row.participant_id),
    shape=DeathShape,
    done="person_done.death_on_record",
)


def _taking_back(target: UUID) -> Mapping[str, Any]:
    session, actor = asking()
    participant_id = q.participant_of_death(session, actor, target)
    seen = q.participant(session, actor, participant_id)
    found = _death_of(participant_id)
    return {
        "it": seen,
        "person": banner(seen, found),
        "death": _death_words(found),
        "breadcrumbs": crumbs(seen, (None, sentence("person_page.take_back_death"))),
    }


doors.act(
    "/deaths/<uuid:target>/correction",
    c.take_back_death,
    page="person/take_back_death.html",
    context=_taking_back,
    then=_participant_url,
    show=lambda row: q.participant(*asking(), row.participant_id),
    shape=ParticipantShape,
    done="person_done.death_was_a_mistake",
)


say(
    {
        "person_page.participants": _l("Participants"),
        "person_page.mine": _l("On my care teams"),
        "sort.name": _l("By family name"),
        "sort.-name": _l("By family name, last first"),
        "sort.release": _l("By release date"),
        "leaving.30": _l("Leaving within 30 days"),
        "leaving.60": _l("Leaving within 60 days"),
        "leaving.90": _l("Leaving within 90 days"),
        "person_page.not_shared": _l("Not shared"),
        "person_page.care_team": _l("Care team"),
        "person_page.assign": _l("Add a colleague"),
        "person_page.end_assignment": _l("End a place on the care team"),
        "person_page.change_identity": _l("Correct who they are"),
        "person_page.change_contacts": _l("Change how to reach them"),
        "person_page.move_to_facility": _l("Change facility"),
        "person_page.record_death": _l("Record that the participant has died"),
        "person_page.take_back_death": _l("This was a mistake"),
        "person_page.died": _l("Has died."),
        "person_page.died_on": _l("Died on %(day)s."),
        "told_of_death.family": _l("Family or somebody close"),
        "told_of_death.facility": _l("The facility"),
        "told_of_death.hospital": _l("A hospital or hospice"),
        "told_of_death.medical_examiner": _l("A coroner or medical examiner"),
        "told_of_death.officer": _l("An officer"),
        "told_of_death.public_record": _l("A public record or notice"),
        "told_of_death.other": _l("Somebody else"),
        "person_done.death_on_record": _l("It is on record. Nobody is reminded of anything for them any more."),
        "person_done.death_was_a_mistake": _l("The mistake is on record. What is still open goes on as it stood."),
        "participant_died": _l(
            "It is on record that the participant has died. Nothing new is begun or sent for them. If that is a "
            "mistake, whoever put it on record or the participant's agency takes it back on the participant's page."
        ),
        "death_on_record": _l("It is on record already that the participant has died."),
        "death_taken_back": _l("Somebody has said already that this was a mistake."),
        "before_birth": _l("This day is before the participant's date of birth. Check the year."),
        "check_the_person": _l("Check that this is the right person, then say so."),
        "person_done.moved": _l(
            "Moved. If somebody else helps them there, add them here; then end the places of those who no longer do."
        ),
        "person_done.saved": _l("Saved."),
        "person_done.participant_added": _l("The participant is on record, and you are on their care team."),
        "person_done.assigned": _l("Your colleague is on the care team now."),
        "person_done.assignment_over": _l("They are no longer on the care team. What they did stays on record."),
        "number_taken": _l(
            "Your agency already has a participant under this number. Check the number. If it is right, look for them "
            "under Participants. If you do not find them there, you do not work with them: ask your supervisor. "
            "Nothing was saved."
        ),
        "likely_duplicate": _l(
            "Your agency may have this participant already. Look at who is shown below. If this is a different person, "
            "say so and add them. Nothing was saved yet."
        ),
        "likely_duplicate_unseen": _l(
            "Somebody on record at your agency may be the same person. You do not work with them, so nobody can be "
            "shown to you. Ask your supervisor to look. If you know that this is a different person, say so and add "
            "them. Nothing was saved yet."
        ),
        "alike.birth_date": _l("same family name and date of birth"),
        "alike.phone": _l("same family name and phone"),
        "alike.given_name": _l("same family name and a similar given name"),
        "already_assigned": _l("They are on the care team in this way already."),
        "assignment_ended": _l("This place on the care team has ended already."),
        "in_future": _l("This day is in the future. Check the year."),
        "in_past": _l("This day is over. Choose today or a later day."),
        "not_your_facility": _l("Choose a facility of your agency that is in use."),
        "not_a_colleague": _l("Choose a colleague of your own organization who works with participants."),
        "nothing_to_search": _l("Enter a name, an agency number, or a family name with a birth date."),
        "tie.case_manager": _l("Case manager"),
        "tie.supervising_officer": _l("Supervising officer"),
        "tie.navigator": _l("Navigator"),
        "tie.intake": _l("Intake list"),
        "tie.desk": _l("Facility desk"),
        "tie.supervisor": _l("Supervisor"),
        "team_reason.new_to_agency": _l("New to the agency"),
        "team_reason.transfer": _l("Transfer"),
        "team_reason.caseload_change": _l("Change of caseload"),
        "team_reason.supervision_began": _l("Supervision began"),
        "team_reason.referral_sent": _l("A referral was sent"),
        "team_reason.referral_accepted": _l("A referral was accepted"),
        "team_reason.session_booked": _l("A session was booked"),
        "team_reason.covering": _l("Covering for a colleague"),
        "team_reason.warm_introduction": _l("Warm introduction"),
        "team_reason.other": _l("Another reason"),
        "team_end.handed_over": _l("Handed over"),
        "team_end.transfer": _l("Transfer"),
        "team_end.supervision_ended": _l("Supervision ended"),
        "team_end.released": _l("Released"),
        "team_end.left_organization": _l("Left the organization"),
        "team_end.referral_ended": _l("The referral ended"),
        "team_end.visit_over": _l("The visit is over"),
        "team_end.mistake": _l("A mistake"),
        "team_end.other": _l("Another reason"),
        "language.en": _l("English"),
        "language.es": _l("Spanish"),
        "language.ar": _l("Arabic"),
        "language.ase": _l("American Sign Language"),
        "language.fa": _l("Persian"),
        "language.fr": _l("French"),
        "language.hmn": _l("Hmong"),
        "language.hy": _l("Armenian"),
        "language.ja": _l("Japanese"),
        "language.km": _l("Khmer"),
        "language.ko": _l("Korean"),
        "language.pa": _l("Punjabi"),
        "language.pt": _l("Portuguese"),
        "language.ru": _l("Russian"),
        "language.tl": _l("Tagalog"),
        "language.vi": _l("Vietnamese"),
        "language.zh": _l("Chinese"),
        "language.other": _l("Another language"),
    }
)
