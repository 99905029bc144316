"""Both doors to a referral: the draft, the answer, the thread, the loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from flask import request
from flask_babel import format_date
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.fit import queries as fits
from referrals.fit.web import held_against, offered
from referrals.kernel.actor import TokenScope
from referrals.kernel.door import Doors, Form, Shape, asking
from referrals.kernel.errors import NotPermittedError
from referrals.kernel.look import NOT_SHARED, refuse
from referrals.kernel.record import clock, day_of
from referrals.kernel.web import at_api, say, sentence
from referrals.person.web import DeathShape, death_in_banner
from referrals.referral import commands as c
from referrals.referral import queries as q
from referrals.release import queries as releases

doors = Doors("referral", reads=TokenScope.REFERRALS_READ, writes=TokenScope.REFERRALS_WRITE)


# --- shapes -----------------------------------------------------------------------------------------------------------


class CardShape(Shape):
    """A referral in a list."""

    id = fields.UUID()
    reference = fields.String()
    side = fields.String()
    status = fields.String()
    waiting_on = fields.String(allow_none=True)
    loop = fields.String()
    participant_id = fields.UUID()
    participant = fields.String()
    source = fields.String()
    recipient = fields.String()
    program = fields.String()
    service = fields.String(allow_none=True)
    urgency = fields.String(allow_none=True)
    sent_at = fields.AwareDateTime(allow_none=True)
    moved_at = fields.AwareDateTime()
    acknowledge_by = fields.AwareDateTime(allow_none=True)
    answer_by = fields.AwareDateTime(allow_none=True)
    is_overdue = fields.Boolean()
    kept_until = fields.AwareDateTime(allow_none=True)
    #: Of one's own draft that one may read no more: the referral that it was made of.
    made_of_id = fields.UUID(allow_none=True)


class EntryShape(Shape):
    """One line of the timeline."""

    seq = fields.Integer(allow_none=True)
    what = fields.String()
    at = fields.AwareDateTime()
    by = fields.UUID(allow_none=True)
    who = fields.String(allow_none=True)
    organization = fields.String()
    side = fields.String()
    became = fields.String(allow_none=True)
    why = fields.String(allow_none=True)
    because = fields.String(allow_none=True)
    details = fields.Raw(allow_none=True)


class MessageShape(Shape):
    """A message of the thread."""

    id = fields.UUID()
    audience = fields.String()
    category = fields.String()
    words = fields.String()
    at = fields.AwareDateTime()
    by = fields.UUID()
    who = fields.String()
    organization = fields.String()
    is_mine = fields.Boolean()
    is_new = fields.Boolean()
    seen_by = fields.List(fields.String())
    struck_at = fields.AwareDateTime(allow_none=True)
    struck_because = fields.String(allow_none=True)


class AmendmentShape(Shape):
    """A change of what was sent: old beside new."""

    id = fields.UUID()
    topic = fields.String()
    at = fields.AwareDateTime()
    by = fields.UUID()
    who = fields.String()
    old = fields.Raw(allow_none=True)
    new = fields.Raw(allow_none=True)
    why = fields.String()
    because = fields.String(allow_none=True)
    is_new = fields.Boolean()


class ContentShape(Shape):
    """What goes with a referral."""

    id = fields.UUID()
    reference = fields.String()
    participant_id = fields.UUID()
    source_id = fields.UUID()
    recipient_id = fields.UUID()
    program_id = fields.UUID()
    drafted_at = fields.AwareDateTime()
    sent_at = fields.AwareDateTime(allow_none=True)
    replaces_id = fields.UUID(allow_none=True)
    #: The referral that one's own side made it of; null for everybody else.
    onward_from_id = fields.UUID(allow_none=True)
    asked_by = fields.String(allow_none=True)
    agreed_on = fields.Date(allow_none=True)
    agreed_how = fields.String(allow_none=True)
    service = fields.String(allow_none=True)
    urgency = fields.String(allow_none=True)
    urgency_because = fields.String(allow_none=True)
    reason_text = fields.String(allow_none=True)
    goals = fields.List(fields.String(), allow_none=True)
    strengths = fields.String(allow_none=True)
    accommodations = fields.List(fields.String(), allow_none=True)
    language = fields.String(allow_none=True)
    unavailable = fields.String(allow_none=True)
    terms_that_matter = fields.String(allow_none=True)
    first_contact = fields.String(allow_none=True)
    contact_name = fields.String(allow_none=True)
    contact_phone = fields.String(allow_none=True)
    contact_hours = fields.String(allow_none=True)
    backup_name = fields.String(allow_none=True)
    backup_phone = fields.String(allow_none=True)
    backup_hours = fields.String(allow_none=True)


class DraftShape(ContentShape):
    """One's own draft, with the version that an edit has to name, and until when it is kept untouched."""

    version = fields.Integer()
    kept_until = fields.AwareDateTime()


class StandingShape(Shape):
    """How a referral stands, and what the reader may do next: what an act answers with, and no content."""

    id = fields.UUID()
    reference = fields.String()
    side = fields.String()
    status = fields.String()
    waiting_on = fields.String(allow_none=True)
    loop = fields.String()
    loop_owed_by = fields.String(allow_none=True)
    helpers = fields.List(fields.String())
    may = fields.List(fields.String())


class PlaceShape(Shape):
    """A place on a waiting list, and who said last that it stands."""

    expected_on = fields.Date(allow_none=True)
    position = fields.Integer(allow_none=True)
    confirmed_at = fields.AwareDateTime(allow_none=True)
    confirmed_by = fields.String(allow_none=True)
    queued_on = fields.Date(allow_none=True)


class MovedShape(Shape):
    """How the release moved last since the referral was sent; days, null where unknown."""

    at = fields.AwareDateTime()
    before = fields.Date(allow_none=True)
    now = fields.Date(allow_none=True)
    is_release = fields.Boolean()
    returned_on = fields.Date(allow_none=True)
    is_new = fields.Boolean()
    corrects = fields.Boolean()


class OnwardShape(Shape):
    """A referral that the recipient made of this one and sent, as far as it is shared; `id` for who may open it."""

    id = fields.UUID(allow_none=True)
    reference = fields.String()
    recipient = fields.String()
    program = fields.String()
    status = fields.String()
    sent_at = fields.AwareDateTime()


class ReferralShape(StandingShape, ContentShape):
    """A referral as one reader may see it now: how it stands, its content, and what was said and done."""

    participant = fields.String()
    source = fields.String()
    recipient = fields.String()
    program = fields.String()
    acknowledge_by = fields.AwareDateTime(allow_none=True)
    answer_by = fields.AwareDateTime(allow_none=True)
    expires_at = fields.AwareDateTime(allow_none=True)
    is_overdue = fields.Boolean()
    flags = fields.List(fields.String())
    place = fields.Nested(PlaceShape, allow_none=True)
    death = fields.Nested(DeathShape, allow_none=True)
    sharing_ended_on = fields.Date(allow_none=True)
    release_move = fields.Nested(MovedShape, allow_none=True)
    capacity_shown = fields.Raw(allow_none=True)
    capacity_because = fields.String(allow_none=True)
    sendable = fields.List(fields.String())
    entries_left_out = fields.Boolean()
    #: What an amendment has to name.
    version = fields.Integer()
    amendments = fields.List(fields.Nested(AmendmentShape))
    onward = fields.List(fields.Nested(OnwardShape))
    #: What this reader began to refer onward from it, never sent, and may read no more.
    unsent = fields.List(fields.Nested(CardShape))
    timeline = fields.List(fields.Nested(EntryShape))
    thread = fields.List(fields.Nested(MessageShape))


# --- readings ---------------------------------------------------------------------------------------------------------


@doors.get("/referrals/<uuid:target>", page="referral/show.html", shape=ReferralShape)
def referral(target: UUID) -> Mapping[str, Any]:
    """Show one referral: how it stands, what happens next, the thread, the timeline."""
    session, actor = asking()
    view = q.referral(session, actor, target)
    forms = [Form(), Form(), Form()]
    return {
        "it": view,
        "versioned": view.it,
        "around": lambda: _around(view) | {"banner": _banner(view), "forms": forms, "suggested": _suggested(view)},
    }


def _suggested(view: q.View) -> list[Mapping[str, Any]] | None:
    """Return programs that fit, where the one that was asked said no or nothing (R12)."""
    if "reroute_referral" not in view.may or view.status not in {"declined", "expired"}:
        return None
    session, actor = asking()
    it = view.it
    return [
        offered(one)
        for one in fits.suggested(session, actor, it.participant_id, service=it.service, asked_before=it.program_id)
    ]


@doors.get("/referrals/<uuid:target>/answer", page="referral/answer.html", shape=None)
def answer(target: UUID) -> Mapping[str, Any]:
    """Show the three answers a program can give, on one page."""
    return _answering(target) | {"form": Form(may_switch=True)}


@doors.get("/referrals/<uuid:target>/draft", page=None, shape=DraftShape)
def draft(target: UUID) -> Mapping[str, Any]:
    """Show one's own draft."""
    session, actor = asking()
    return {"it": q.draft_alone(session, actor, target)}


def _view(target: UUID) -> q.View:
    session, actor = asking()
    return q.referral(session, actor, target)


def _banner(view: q.View) -> Mapping[str, Any]:
    session, actor = asking()
    if view.it.participant_id is NOT_SHARED:
        return {"name": NOT_SHARED}
    who = releases.banner(session, actor, view.it.participant_id, view.names.person)
    linked = {"url": f"/participants/{who.id}"} if who.name is not NOT_SHARED else {}
    return (
        linked
        | death_in_banner(view.death)
        | {
            "name": view.participant if who.name is NOT_SHARED else who.name,
            "number": who.number,
            "release_on": who.release_on,
            "days": who.days,
            "is_released": who.is_released,
        }
    )


def _around(view: q.View) -> dict[str, Any]:
    """Return what every page about one referral shows, in words."""
    other = view.names.recipient if view.side == "source" else view.names.source
    told = other if other is not NOT_SHARED else _l("the other organization")
    return {
        "view": view,
        "status": _word("status", view.status),
        "status_kind": _KINDS.get(str(view.status), "neutral"),
        "status_kinds": _KINDS,
        "next_words": _next_words(view),
        "moved": _moved_words(view.release_move),
        "entries": [_told(entry) for entry in view.timeline],
        "content": _content(view),
        "other": str(told),
        "audience": [str(told)] if ("needs" if view.side == "source" else "attendance") in view.sendable else [],
        "own": view.names.source if view.side == "source" else view.names.recipient,
        "categories": options("category", view.sendable),
        "all_categories": options("category", q.CATEGORIES),
    }


_KINDS = {
    "draft": "neutral",
    "sent": "waiting",
    "acknowledged": "waiting",
    "info_requested": "waiting",
    "accepted": "progress",
    "waitlisted": "waiting",
    "in_progress": "progress",
    "on_hold": "attention",
    "declined": "attention",
    "expired": "attention",
    "not_completed": "attention",
    "cancelled": "neutral",
    "completed": "done",
}


def _next_words(view: q.View) -> str:
    if view.status is NOT_SHARED:
        return sentence("next.not_shared")
    if view.loop in {"open", "disputed"}:
        return sentence(f"next.loop.{'us' if view.loop_owed_by == view.side else 'them'}")
    if view.loop == "closed":
        return sentence("next.done")
    if view.waiting_on is None:
        return sentence("next.over" if view.death is None else "next.died")
    if view.is_held_by_people:
        return sentence(f"next.held.{'us' if view.waiting_on == view.side else 'them'}")
    return sentence(f"next.{view.status}.{'us' if view.waiting_on == view.side else 'them'}")


def _moved_words(move: q.Moved | None) -> str | None:
    """Return how the release moved, in words."""
    if move is None:
        return None
    days = {
        name: format_date(day, "long")
        for name, day in (("before", move.before), ("now", move.now), ("back", move.returned_on))
        if day is not None
    }
    if move.corrects:
        # One sentence each: a translation orders its own words. What was said before never was so, and is not repeated.
        kind = "returned" if move.returned_on else "released" if move.is_release else "now" if move.now else "unknown"
        return sentence(f"moved.corrected_{kind}", days)
    if move.returned_on is not None:
        return sentence("moved.returned", days)
    if move.is_release:
        return sentence("moved.released", days)
    return sentence(f"moved.{'_'.join(name for name in ('before', 'now') if name in days)}", days)


def _word(kind: str, value: Any) -> Any:
    return value if value is None or value is NOT_SHARED else sentence(f"{kind}.{value}")


def options(kind: str, codes: Iterable[str]) -> list[tuple[str, str]]:
    """Return codes to choose from, each with its words."""
    return [(str(one), sentence(f"{kind}.{one}")) for one in codes]


def _told(entry: q.Entry) -> Mapping[str, Any]:
    """Return a timeline entry in words."""
    said: list[str] = []
    if entry.why is NOT_SHARED or entry.because is NOT_SHARED:
        said.append(str(_l("Not shared")))
    else:
        if entry.why is not None:
            said.append(sentence(f"{_LISTS.get(entry.what, 'reason')}.{entry.why}"))
        if entry.because is not None:
            said.append(str(entry.because))
        details = entry.details or {}
        if isinstance(details, Mapping):
            said += [
                f"{sentence(f'detail.{name}')}: {_detail(name, value)}"
                for name, value in details.items()
                if name != "caseworker_id"
            ]
    return {
        "what": sentence(f"verb.{entry.what}" if entry.side != "system" else f"settled.{entry.what}"),
        "at": entry.at,
        "who": entry.who or str(_l("Throughgate")),
        "role": sentence(f"side.{entry.side}") if entry.side != "system" else "",
        "organization": entry.organization,
        "text": "\n".join(said),
    }


_LISTS = {"ask_question": "topic", "complete_referral": "outcome"}


def _detail(name: str, value: Any) -> str:
    if name in {"how", "wish_how"} or value is True:
        return sentence(f"given.{'yes' if value is True else value}")
    return str(format_date(date.fromisoformat(value), "long")) if name.endswith("_on") else str(value)


def _content(view: q.View) -> list[dict[str, Any]]:
    """Return what goes with a referral as questions and answers, codes in words."""
    changes: dict[str, list[dict[str, Any]]] = {}
    for one in view.amendments:
        told = {"at": one.at, "who": one.who, "is_new": one.is_new, "old": _in_words(one.topic, one.old)}
        why = [sentence(f"amended.{one.why}"), *([one.because] if one.because else [])]
        changes.setdefault(one.topic, []).append(told | {"why": "\n".join(why)})
    return [
        {
            "label": sentence(f"field.{name}"),
            "value": _in_words(name, getattr(view.it, name)),
            "changes": changes.get(name, [])[::-1],
        }
        for name in q.CONTENT
    ]


def _in_words(name: str, value: Any) -> Any:
    """Return a field's value in words: codes by their labels, days written out."""
    if value is None or value is NOT_SHARED:
        return value
    if name in _CODED:
        kind = _CODED[name]
        return [_word(kind, one) for one in value] if isinstance(value, list) else _word(kind, value)
    if name.endswith("_on"):
        return format_date(value if isinstance(value, date) else date.fromisoformat(value), "long")
    return value


_CODED = {
    "asked_by": "asked_by",
    "agreed_how": "given",
    "service": "service",
    "urgency": "urgency",
    "accommodations": "accommodation",
    "language": "language",
}


# --- drafting and sending ---------------------------------------------------------------------------------------------


def _draft_of(row: Any) -> Any:
    session, actor = asking()
    return q.draft_alone(session, actor, row.id)


def _standing_of(row: Any) -> q.Standing:
    session, actor = asking()
    return q.standing(session, actor, getattr(row, "referral_id", row.id))


def _referral_url(row: Any) -> str:
    return f"/referrals/{getattr(row, 'referral_id', None) or row.id}"


def _choosing(target: UUID) -> Mapping[str, Any]:
    """Return the page on which a program is chosen, with why each fits; which service, a form before may have said."""
    asked = request.form.get("service")
    return held_against(target, asked if asked in q.SERVICES else None)


# --- rerouting -------------------------------------------------------------------------------------------------------


def _rerouting(target: UUID) -> Mapping[str, Any]:
    view = _view(target)
    if view.side != "source":  # only its sender chooses where it goes
        session, actor = asking()
        code = NotPermittedError.code
        refuse(session, actor, q.VIEWED, row_type="referral", target=target, purpose=q.PURPOSE, code=code)
        raise NotPermittedError
    service = view.it.service
    return held_against(view.it.participant_id, service if service in q.SERVICES else None) | {
        "view": view,
        "target": target,
        "asked_before": view.it.program_id,
    }


doors.act(
    "/referrals/<uuid:target>/rerouting",
    c.reroute_referral,
    page="referral/new.html",
    context=_rerouting,
    then=lambda row: f"/referrals/{row.id}/draft",
    shape=DraftShape,
    show=_draft_of,
)


# --- referring onward ------------------------------------------------------------------------------------------------


def _going_onward(target: UUID) -> Mapping[str, Any]:
    view = _view(target)
    if view.side != "recipient":  # only who took it on brings in others
        session, actor = asking()
        code = NotPermittedError.code
        refuse(session, actor, q.VIEWED, row_type="referral", target=target, purpose=q.PURPOSE, code=code)
        raise NotPermittedError
    if view.it.participant_id is NOT_SHARED:
        raise c.SharingEndedError
    # What the first source sought helps to find a program. It is not written down: the draft begins empty.
    service = view.it.service
    held = held_against(view.it.participant_id, service if service in q.SERVICES else None)
    return held | {"view": view, "target": target, "is_onward": True}


doors.act(
    "/referrals/<uuid:target>/onward",
    c.refer_onward,
    page="referral/new.html",
    context=_going_onward,
    then=lambda row: f"/referrals/{row.id}/draft",
    shape=DraftShape,
    show=_draft_of,
)


doors.act(
    "/participants/<uuid:target>/referrals/new",
    c.draft_referral,
    api_rule="/participants/<uuid:target>/referrals",
    page="referral/new.html",
    context=_choosing,
    then=lambda row: f"/referrals/{row.id}/draft",
    shape=DraftShape,
    show=_draft_of,
)


def _writing(target: UUID) -> Mapping[str, Any]:
    session, actor = asking()
    view = q.draft(session, actor, target)
    program = view.extra["program"]
    values = {name: getattr(view.it, name) or "" for name in q.CONTENT}
    if view.it.version == 1:  # nothing was written yet: what is known is not asked again
        values |= q.known_before(session, actor, view)
    return {
        "view": view,
        "banner": _banner(view),
        "program": program,
        "stale": view.extra["stale"],
        "values": values,
        "version": view.it.version,
        "recipient": view.extra["recipient"].name,
        "ends": _ends(view),
        "content_options": _content_options(program.categories or ()),
    }


doors.act(
    "/referrals/<uuid:target>/draft",
    c.save_draft,
    page="referral/draft.html",
    context=_writing,
    then=lambda row: f"/referrals/{row.id}/sending",
    shape=DraftShape,
    show=_draft_of,
    saves_itself="saved_by_itself",
)


def _ends(view: q.View) -> str | None:
    """Return what keeps a draft from being sent for good: the death, to whoever may know of it; else only that."""
    if not view.extra["has_died"]:
        return None
    return sentence("draft_ended" if view.death is None else "participant_died")


def _checking(target: UUID) -> Mapping[str, Any]:
    session, actor = asking()
    view = q.draft(session, actor, target)
    faults = view.extra["faults"]
    rows = [
        row
        | {
            "id": name,
            "change_url": f"/referrals/{target}/draft#{name}",
            "fault": [sentence(one) for one in faults.get(name, ())],
        }
        for name, row in zip(q.CONTENT, _content(view), strict=True)
    ]
    return {
        "view": view,
        "banner": _banner(view),
        "rows": rows,
        "faults": {
            sentence(f"field.{name}"): [sentence(one) for one in codes] for name, codes in view.extra["faults"].items()
        },
        "participant_id": view.it.participant_id,
        "similar": q.similar_open(session, actor, view),
        "program": view.extra["program"],
        "stale": view.extra["stale"],
        "recipient": view.extra["recipient"].name,
        "recipient_id": view.extra["recipient"].id,
        "rule": _ends(view)
        or next(
            (
                sentence(name)
                for name, broken in (
                    ("no_agreement", not view.extra["has_agreement"]),
                    ("program_closed", not view.extra["is_open"]),
                    ("part2_consent_needed", view.extra["part2"]),
                )
                if broken
            ),
            None,
        ),
    }


doors.act(
    "/referrals/<uuid:target>/sending",
    c.send_referral,
    page="referral/check.html",
    context=_checking,
    then=_referral_url,
    shape=StandingShape,
    show=_standing_of,
    done="referral_sent",
)


def _about_draft(target: UUID) -> Mapping[str, Any]:
    session, actor = asking()
    view = q.draft(session, actor, target)
    return {"view": view, "banner": _banner(view), "target": target}


doors.act(
    "/referrals/<uuid:target>/discarding",
    c.discard_draft,
    page="referral/discard.html",
    context=_about_draft,
    then=lambda _row: "/drafts",
    shape=StandingShape,
    show=_standing_of,
    done="draft_discarded",
)


# --- answering, working, taking back ----------------------------------------------------------------------------------


def _about(target: UUID) -> dict[str, Any]:
    view = _view(target)
    return _around(view) | {"banner": _banner(view), "target": target}


def _answering(target: UUID) -> dict[str, Any]:
    session, actor = asking()
    return _about(target) | {
        "people": q.colleagues(session, actor),
        "me": actor.user_id,
        "topics": options("topic", c.QuestionTopic),
        "reasons": options("reason", c.DeclineReason),
    }


def _replying(target: UUID) -> dict[str, Any]:
    around = _about(target)
    return around | {"question": q.open_question(around["view"])}


def _starting(target: UUID) -> dict[str, Any]:
    return _about(target) | {"ways": options("given", c.STARTED_HOW)}


def _listing(target: UUID) -> dict[str, Any]:
    session, actor = asking()
    around = _about(target)
    people = q.colleagues(session, actor) if "accept_referral" in around["view"].may else []
    may_list = "waitlist_referral" in around["view"].may
    queued_on = q.waiting_date_kept(session, q.known(session, actor, target)) if may_list else None
    return around | {"people": people, "me": actor.user_id, "queued_on": queued_on}


def _naming(target: UUID) -> dict[str, Any]:
    session, actor = asking()
    around = _about(target)
    return around | {"people": q.colleagues(session, actor), "reasons": options("named", c.NAMED_BECAUSE)}


def _holding(target: UUID) -> dict[str, Any]:
    around = _about(target)
    values = {}
    if around["view"].is_return_open:  # offered with its reason; whoever holds it for another chooses another (R24)
        session, actor = asking()
        review_on = day_of(clock(session), actor.zone) + _RETURN_REVIEWED
        values = {"reason": str(c.HoldReason.RETURNED_TO_CUSTODY), "review_on": review_on.isoformat()}
    return around | {"reasons": options("reason", c.HOLD_REASONS), "values": values}


#: A hold for a return to custody is looked at again so soon, unless another day is chosen.
_RETURN_REVIEWED = timedelta(days=14)


def _reporting(target: UUID) -> dict[str, Any]:
    return _about(target) | {"reasons": options("reason", c.ErrorReason)}


def _confirming(target: UUID) -> dict[str, Any]:
    around = _about(target)
    told = zip(around["view"].timeline, around["entries"], strict=True)
    return around | {"reports": [words for entry, words in told if entry.what == "report_error"]}


def _amending(target: UUID) -> dict[str, Any]:
    """Return the page that changes one field: which one, the address or the form sent before says."""
    session, _actor = asking()
    around = _about(target)
    view: q.View = around["view"]
    topic = request.values.get("topic")
    if topic not in q.CONTENT:
        here = f"/referrals/{target}/amendment"
        rows = [
            row | {"change_url": f"{here}?topic={name}"} for name, row in zip(q.CONTENT, around["content"], strict=True)
        ]
        return around | {"topic": None, "rows": rows}
    reasons = [one for one in c.AmendmentReason if one != "answer" or view.status == "info_requested"]
    return around | {
        "topic": topic,
        "label": sentence(f"field.{topic}"),
        "content_options": _content_options(q.services_of(session, view)),
        "reasons": options("amended", reasons),
        "values": {topic: getattr(view.it, topic) or ""},
        "version": view.it.version,
    }


def _content_options(services: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Return what there is to choose from, by field."""
    return {
        "asked_by": options("asked_by", c.ASKED_BY),
        "agreed_how": options("given", c.GIVEN_HOW),
        "service": options("service", services),
        "urgency": options("urgency", c.URGENCY),
        "accommodations": options("accommodation", c.ACCOMMODATIONS),
        "language": options("language", c.LANGUAGES),
    }


def _cancelling(target: UUID) -> dict[str, Any]:
    around = _about(target)
    ours = around["view"].side == "source"
    reasons = c.CANCEL_REASONS if ours else [one for one in c.CANCEL_REASONS if one in c.PERSONS_WISH]
    offered = ours and around["view"].is_return_open
    values = {"reason": str(c.CancelReason.RETURNED_TO_CUSTODY)} if offered else {}
    return around | {
        "reasons": options("reason", reasons),
        "ways": options("given", c.GIVEN_HOW),
        "values": values,
    }


def _looping(target: UUID) -> dict[str, Any]:
    around = _about(target)
    ended = [entry for entry, told in zip(around["view"].timeline, around["entries"], strict=True) if entry.seq]
    return around | {
        "ended": around["entries"][around["view"].timeline.index(ended[0])] if ended else None,
        "answers": options("loop_answer", ["agreed", "try_again"] if around["view"].side == "source" else ["agreed"]),
    }


def _after_loop(row: Any) -> str:
    """Lead who wants to try again to the choice of a program (R22); the answer to a machine names the referral."""
    again = row.answer == "try_again" and not at_api()
    return f"/referrals/{row.referral_id}/rerouting" if again else _referral_url(row)


def _verb(rule: str, what: Any, page: str | None, context: Any, done: str) -> None:
    doors.act(
        f"/referrals/<uuid:target>/{rule}",
        what,
        page=page and f"referral/{page}.html",
        context=context,
        then=_referral_url,
        shape=StandingShape,
        show=_standing_of,
        done=done,
    )


_verb("receipt", c.acknowledge_referral, None, None, "referral_acknowledged")
_verb("question", c.ask_question, "ask", _answering, "question_asked")
_verb("reply", c.answer_question, "reply", _replying, "question_answered")
_verb("acceptance", c.accept_referral, "accept", _answering, "referral_accepted")
_verb("waiting-list", c.waitlist_referral, "waitlist", _listing, "referral_waitlisted")
_verb("place", c.confirm_place, "place", _about, "place_was_confirmed")
_verb("refusal", c.decline_referral, "decline", _answering, "referral_declined")
_verb("start", c.start_referral, "start", _starting, "referral_started")
_verb("assignment", c.name_caseworker, "assignment", _naming, "caseworker_named")
_verb("hold", c.hold_referral, "hold", _holding, "referral_held")
_verb("resumption", c.resume_referral, "resume", _about, "referral_resumed")
_verb("cancellation", c.cancel_referral, "cancel", _cancelling, "referral_cancelled")
doors.act(
    "/referrals/<uuid:target>/amendment",
    c.amend_referral,
    api_rule="/referrals/<uuid:target>/amendments",
    page="referral/amend.html",
    context=_amending,
    then=_referral_url,
    shape=StandingShape,
    show=_standing_of,
    done="referral_amended",
)
_verb("error-report", c.report_error, "error_report", _reporting, "error_was_reported")
_verb("error", c.confirm_error, "error", _confirming, "error_was_confirmed")
doors.act(
    "/referrals/<uuid:target>/outcome",
    c.close_loop,
    page="referral/outcome.html",
    context=_looping,
    then=_after_loop,
    shape=StandingShape,
    show=_standing_of,
    done="loop_closed_now",
)
_verb("dispute", c.dispute_outcome, "dispute", _looping, "outcome_disputed")


# --- the thread -------------------------------------------------------------------------------------------------------


def _said(row: Any) -> q.Said:
    session, actor = asking()
    return q.said(session, actor, row.id)


doors.act(
    "/referrals/<uuid:target>/messages",
    c.post_message,
    page="referral/message.html",
    context=_about,
    then=lambda row: f"/referrals/{row.referral_id}",
    shape=MessageShape,
    show=_said,
    done="message_posted",
)


def _striking(target: UUID) -> Mapping[str, Any]:
    session, actor = asking()
    about, said = q.message(session, actor, target)
    return _around(about) | {"message": said, "banner": _banner(about), "target": target}


doors.act(
    "/messages/<uuid:target>/widening",
    c.widen_message,
    page="referral/widen.html",
    context=_striking,
    then=lambda row: f"/referrals/{row.referral_id}",
    shape=MessageShape,
    show=_said,
    done="message_widened",
)
doors.act(
    "/messages/<uuid:target>/striking",
    c.strike_message,
    page="referral/strike.html",
    context=_striking,
    then=lambda row: f"/referrals/{row.referral_id}",
    shape=MessageShape,
    show=_said,
    done="message_struck_out",
)


# --- words ------------------------------------------------------------------------------------------------------------

say(
    {
        "status.draft": _l("Draft"),
        "status.sent": _l("Sent"),
        "status.acknowledged": _l("Received"),
        "status.info_requested": _l("Question asked"),
        "status.accepted": _l("Accepted"),
        "status.waitlisted": _l("Accepted, waiting list"),
        "status.in_progress": _l("In progress"),
        "status.on_hold": _l("On hold"),
        "status.declined": _l("Declined"),
        "status.cancelled": _l("Canceled"),
        "status.expired": _l("No answer in time"),
        "status.completed": _l("Completed"),
        "status.not_completed": _l("Ended early"),
        "status.entered_in_error": _l("Entered in error"),
        "side.source": _l("Sender"),
        "side.recipient": _l("Program"),
        "side.system": _l("Throughgate"),
        "flag.first_contact_late": _l(
            "First contact is later than promised. The program records that the work began, or writes what happened."
        ),
        "flag.place_unconfirmed": _l(
            "Nobody has said for 14 days whether the place on the waiting list still stands. The program says so."
        ),
        "flag.hold_over": _l("The day of review has passed. Take the work up again, or end it."),
        "flag.silence": _l("Nobody has written anything here for 21 days. Ask how it stands."),
        "flag.no_caseworker": _l("No caseworker is named. The program names one."),
        "flag.returned_to_custody": _l(
            "The participant is back in custody. Nothing has ended by it: each side says what becomes of its work."
        ),
        "flag.facility_not_covered": _l(
            "The participant is held in a facility that your agreement does not name. Ask for it to be changed."
        ),
        "flag.program_closed": _l("The program is closed. Both sides find out what becomes of this."),
        "flag.caseworker_gone": _l("The caseworker has left the organization. The program names another."),
        "flag.sender_gone": _l(
            "Whoever looked after the participant at the sender has left. A supervisor there adds somebody to the care "
            "team."
        ),
        "moved.before_now": _l("The release date moved from %(before)s to %(now)s."),
        "moved.now": _l("The release is expected on %(now)s. Before, nobody knew the day."),
        "moved.before": _l("Nobody knows the day of release now. Before, it was expected on %(before)s."),
        "moved.corrected_returned": _l(
            "What was said of custody before was a mistake. Back in custody since %(back)s."
        ),
        "moved.corrected_released": _l("What was said of custody before was a mistake. Released on %(now)s."),
        "moved.corrected_now": _l("What was said of custody before was a mistake. The release is expected on %(now)s."),
        "moved.corrected_unknown": _l(
            "What was said of custody before was a mistake. Nobody knows the day of release."
        ),
        "moved.released": _l("Released on %(now)s."),
        "moved.returned": _l("Back in custody since %(back)s."),
        "flag.loop_open": _l("Nobody has acknowledged how it ended for more than 5 working days."),
        "loop.open": _l("outcome not acknowledged yet"),
        "loop.disputed": _l("outcome disputed"),
        "loop.closed": _l("outcome acknowledged"),
        "loop.none": _l("no outcome yet"),
        "loop_answer.agreed": _l("We agree with how it ended"),
        "loop_answer.try_again": _l("We will try again with a new referral"),
        "verb.send_referral": _l("Referral sent"),
        "verb.discard_draft": _l("Draft discarded"),
        "verb.acknowledge_referral": _l("Marked as received"),
        "verb.ask_question": _l("Question asked"),
        "verb.answer_question": _l("Question answered"),
        "verb.accept_referral": _l("Accepted"),
        "verb.waitlist_referral": _l("Put on the waiting list"),
        "verb.confirm_place": _l("The place on the waiting list stands"),
        "verb.start_referral": _l("Work began"),
        "verb.hold_referral": _l("Put on hold"),
        "verb.resume_referral": _l("Work taken up again"),
        "verb.decline_referral": _l("Declined"),
        "verb.cancel_referral": _l("Canceled"),
        "verb.expire_referral": _l("No answer in time"),
        "verb.complete_referral": _l("Completed"),
        "verb.end_referral": _l("Ended early"),
        "verb.confirm_error": _l("Entered in error"),
        "amended.mistake": _l("It was a mistake"),
        "amended.new_information": _l("There is something new"),
        "amended.participant_asked": _l("The participant asked for it"),
        "amended.answer": _l("It answers the program's question"),
        "amended.other": _l("Another reason"),
        "verb.report_error": _l("Reported as entered in error"),
        "verb.loop_agreed": _l("Outcome acknowledged"),
        "verb.loop_try_again": _l("Outcome acknowledged: trying again"),
        "verb.loop_disputed": _l("Outcome disputed"),
        "settled.cancel_referral": _l("Canceled by what happened elsewhere"),
        "settled.hold_referral": _l("Put on hold by what happened elsewhere"),
        "settled.expire_referral": _l("No answer in time"),
        "settled.discard_draft": _l("Draft put away"),
        "next.not_shared": _l("Answers are not shared with your organization now."),
        "next.done": _l("Nothing more: it has ended, and how it ended was acknowledged."),
        "next.died": _l(
            "The participant has died. If that is a mistake, take it back on their page within a day: then this goes "
            "on as it stood."
        ),
        "next.over": _l("Nothing more: it has ended."),
        "next.loop.us": _l("Your side: read how it ended, and acknowledge it."),
        "next.loop.them": _l("The other side: they read how it ended, and acknowledge it."),
        "next.sent.us": _l("Your side: mark it as received, ask, accept or decline."),
        "next.sent.them": _l("The program: they mark it as received, ask, accept or decline."),
        "next.acknowledged.us": _l("Your side: ask, accept or decline."),
        "next.acknowledged.them": _l("The program: they ask, accept or decline."),
        "next.info_requested.us": _l("Your side: answer the question."),
        "next.info_requested.them": _l("The sender: they answer the question."),
        "next.accepted.us": _l("Your side: the caseworker meets the participant and records that the work began."),
        "next.accepted.them": _l("The program: the caseworker meets the participant and records that the work began."),
        "next.waitlisted.us": _l("Your side: tell the sender when a place is free."),
        "next.waitlisted.them": _l("The program: they tell you when a place is free."),
        "next.in_progress.us": _l("Your side: work toward the goals, then write the closing report."),
        "next.in_progress.them": _l("The program: they work toward the goals, then write the closing report."),
        "next.on_hold.us": _l(
            "Your side: find out what is needed to go on. Without consent and agreement, nothing more is shared."
        ),
        "next.on_hold.them": _l("The other side: they find out what is needed to go on."),
        "next.held.us": _l("Your side: on the day of review, take the work up again or end it."),
        "next.held.them": _l("The other side: on the day of review, they take the work up again or end it."),
        "field.asked_by": _l("Whose wish it is"),
        "field.agreed_on": _l("Day the participant agreed"),
        "field.agreed_how": _l("How the participant agreed"),
        "field.service": _l("Service"),
        "field.urgency": _l("How soon"),
        "field.urgency_because": _l("Why it is urgent"),
        "field.reason_text": _l("Reason for the referral"),
        "field.goals": _l("Goals, in the participant's own words"),
        "field.strengths": _l("Strengths"),
        "field.accommodations": _l("What the participant needs to take part"),
        "field.language": _l("Language"),
        "field.unavailable": _l("Times the participant is not free"),
        "field.terms_that_matter": _l("Conditions this service helps to keep"),
        "field.first_contact": _l("First contact: by whom and how"),
        "field.contact_name": _l("Who answers questions"),
        "field.contact_phone": _l("Their phone"),
        "field.contact_hours": _l("Their hours"),
        "field.backup_name": _l("Who answers when they are away"),
        "field.backup_phone": _l("Their backup's phone"),
        "field.backup_hours": _l("Their backup's hours"),
        "field.return_consent": _l("Consent for answers to come back"),
        "field.capacity_because": _l("Why send it although there is no room"),
        "asked_by.participant": _l("The participant asked for it"),
        "asked_by.care_team": _l("The care team suggested it, and the participant wants it"),
        "asked_by.family": _l("The family asked, and the participant wants it"),
        "given.in_person": _l("In person"),
        "given.phone": _l("By phone"),
        "given.video": _l("By video"),
        "given.in_writing": _l("In writing"),
        "given.group": _l("In a group"),
        "given.letter": _l("By letter"),
        "given.yes": _l("Yes"),
        "urgency.routine": _l("Routine"),
        "urgency.soon": _l("Soon"),
        "urgency.urgent": _l("Urgent"),
        "accommodation.none": _l("Nothing"),
        "accommodation.interpreter": _l("An interpreter"),
        "accommodation.sign_language": _l("A sign language interpreter"),
        "accommodation.wheelchair": _l("Room for a wheelchair"),
        "accommodation.step_free": _l("A way without steps"),
        "accommodation.hearing": _l("Help with hearing"),
        "accommodation.sight": _l("Help with seeing"),
        "accommodation.reading_help": _l("Help with reading and forms"),
        "accommodation.service_animal": _l("Room for a service animal"),
        "accommodation.quiet_place": _l("A quiet place"),
        "accommodation.child_care": _l("Child care"),
        "accommodation.other": _l("Something else"),
        "topic.eligibility": _l("Eligibility"),
        "topic.release": _l("Release"),
        "topic.availability": _l("When the participant is free"),
        "topic.needs": _l("Needs"),
        "topic.accommodation": _l("What is needed to take part"),
        "topic.consent": _l("Consent"),
        "topic.contact": _l("Contact"),
        "topic.other": _l("Something else"),
        "outcome.service_received": _l("Service received"),
        "outcome.goals_met": _l("Goals met"),
        "outcome.goals_partly_met": _l("Goals partly met"),
        "outcome.one_time_help_given": _l("One-time help given"),
        "outcome.moved_to_other_program": _l("Moved to another program"),
        "outcome.continuing_on_their_own": _l("Continuing on their own"),
        "reason.no_capacity": _l("No room now"),
        "reason.not_eligible": _l("Not eligible for this program"),
        "reason.out_of_area": _l("Outside the area served"),
        "reason.wrong_service": _l("Not the right service"),
        "reason.cannot_accommodate": _l("Cannot offer what is needed to take part"),
        "reason.conflict_or_safety": _l("A conflict or a safety concern"),
        "reason.information_missing": _l("Information is missing"),
        "reason.other": _l("Another reason"),
        "reason.facility_lockdown": _l("The facility is locked down"),
        "reason.transferred": _l("Moved to another facility"),
        "reason.release_date_changed": _l("The release date changed"),
        "reason.returned_to_custody": _l("Returned to custody"),
        "reason.unreachable": _l("Cannot be reached now"),
        "reason.participant_asked": _l("The participant asked"),
        "reason.health": _l("Health"),
        "reason.caseworker_changing": _l("The caseworker is changing"),
        "reason.consent_suspended": _l("The consent it rests on does not hold"),
        "reason.agreement_suspended": _l("The agreement between the organizations does not hold"),
        "reason.draft_discarded": _l("The draft was discarded"),
        "reason.draft_lapsed": _l("The draft lapsed"),
        "reason.duplicate": _l("It was made twice"),
        "reason.made_by_mistake": _l("It was made by mistake"),
        "reason.not_eligible_after_all": _l("Not eligible after all"),
        "reason.participant_declined": _l("The participant does not want it any more"),
        "reason.needs_met_elsewhere": _l("The participant's needs are met elsewhere"),
        "reason.moved_away": _l("The participant moved away"),
        "reason.work_or_family": _l("Work or family"),
        "reason.release_cancelled": _l("The release was canceled"),
        "reason.transferred_out_of_area": _l("Moved to a facility outside the area"),
        "reason.supervision_ended": _l("Supervision ended"),
        "reason.sentence_vacated": _l("The sentence was vacated"),
        "reason.consent_ended": _l("The consent it rests on ended"),
        "reason.agreement_ended": _l("The agreement between the organizations ended"),
        "reason.deceased": _l("The participant has died"),
        "reason.no_acknowledgement": _l("Nobody marked it as received"),
        "reason.no_answer_from_recipient": _l("The program did not answer"),
        "reason.no_answer_from_source": _l("The question was not answered"),
        "reason.could_not_contact": _l("Could not reach the participant"),
        "reason.stopped_coming": _l("The participant stopped coming"),
        "reason.participant_chose_to_stop": _l("The participant chose to stop"),
        "reason.lost_eligibility": _l("No longer eligible"),
        "reason.capacity_lost": _l("The program lost its room"),
        "reason.safety": _l("Safety"),
        "reason.wrong_person": _l("The wrong person"),
        "reason.wrong_program": _l("The wrong program"),
        "reason.entered_twice": _l("Entered twice"),
        "detail.caseworker": _l("Caseworker"),
        "detail.first_contact_on": _l("First contact"),
        "detail.started_on": _l("Began on"),
        "detail.how": _l("How"),
        "detail.next_step_on": _l("Day of the next step"),
        "named.caseload_change": _l("The work is handed over"),
        "named.covering": _l("They cover for somebody who is away"),
        "named.other": _l("Another reason"),
        "detail.review_on": _l("Day of review"),
        "detail.expected_on": _l("A place is expected on"),
        "detail.position": _l("Place in line"),
        "detail.queued_on": _l("Waiting since"),
        "no_waiting_date": _l(
            "There is no waiting date to keep: only that of a referral to this program whose consent ended, within 30 "
            "days."
        ),
        "detail.wish_how": _l("How the participant said so"),
        "detail.withdrawn": _l("Taken back by who asked"),
        "audience.both": _l("Both sides"),
        "audience.own_side": _l("Only one's own side"),
        "category.identity": _l("Identity: name, birth date, number, language"),
        "category.contact": _l("Contact: phone, e-mail, address"),
        "category.release": _l("Release: facility, date, where they will live, when they are free"),
        "category.supervision": _l("Supervision: officer, conditions, reporting"),
        "category.needs": _l("Needs and goals"),
        "category.attendance": _l("Attendance, answers and outcomes"),
        "category.session_content": _l("What was said in sessions"),
        "category.health": _l("Health"),
        "category.substance_use": _l("Substance use treatment"),
        "category.victim_safety": _l("Safety of others"),
        "category.legal": _l("Legal matters"),
        "category.boundary": _l("Boundaries and limits"),
        "category.family": _l("Family and supporters"),
        "capacity.capacity": _l("Has room"),
        "capacity.waitlist": _l("Waiting list"),
        "capacity.additional_assessment_required": _l("Needs an assessment first"),
        "capacity.no_capacity": _l("No room now"),
        "capacity.None": _l("Nobody has said"),
        "service.housing": _l("Housing"),
        "service.employment": _l("Employment"),
        "service.education": _l("Education"),
        "service.food": _l("Food"),
        "service.clothing": _l("Clothing"),
        "service.health_care": _l("Health care"),
        "service.mental_health": _l("Mental health"),
        "service.substance_use_treatment": _l("Substance use treatment"),
        "service.benefits": _l("Benefits"),
        "service.id_documents": _l("Identity documents"),
        "service.legal_aid": _l("Legal aid"),
        "service.transportation": _l("Transportation"),
        "service.family_support": _l("Family support"),
        "service.mentoring": _l("Mentoring"),
        "service.peer_support": _l("Peer support"),
        "service.case_management": _l("Case management"),
        "service.life_skills": _l("Life skills"),
        "service.faith_based": _l("Faith-based support"),
        "service.general_support": _l("General support"),
        "service.other": _l("Other support"),
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
        "wrong_state": _l("Answered or moved on by %(by)s at %(at)s. Reload the page to see how it stands now."),
        "sharing_ended": _l(
            "The consent or the agreement this rests on does not hold. It can go on only when it holds again."
        ),
        "loop_not_yours": _l("This acknowledgment is not your side's to give."),
        "loop_closed": _l("How it ended was acknowledged before."),
        "message_shared": _l("Both sides can read this message already."),
        "message_struck": _l("This message was struck out before."),
        "referral_done": _l(
            "This referral has ended, and how it ended was acknowledged. Nothing more is written to it."
        ),
        "referral_already_open": _l("There is an open referral of this participant to this program."),
        "part2_consent_needed": _l(
            "This program treats, or may treat, substance use. That needs a special consent, which is not offered yet."
        ),
        "answers_not_shared": _l(
            "How it stands is not shared with you now. If the participant agrees, record a consent to share back."
        ),
        "already_named": _l("The caseworker is named already. Leave this out."),
        "is_caseworker": _l("They are the caseworker already. Choose somebody else."),
        "not_the_topic": _l("Change one thing at a time: leave this out."),
        "unchanged": _l("This is what it says now. Change it, or go back."),
        "no_question": _l("No question is open. Choose another reason."),
        "say_why_first": _l("Write down first why it is urgent, then change how soon."),
        "place_over": _l("The day named before is over. Say a new day, or which place in line this is."),
        "day_or_position": _l("Say when a place is expected, or which place in line this is."),
        "over_30_days": _l("Choose a day within 30 days: a hold is looked at again at least that often."),
        "referral_error_reported": _l("You have reported this already. A supervisor of the sender has to confirm it."),
        "referral_error_not_reported": _l("Somebody else has to report it first. Then you can confirm it."),
        "nothing_due": _l("There is nothing to settle."),
        "not_covered": _l(
            "No consent lets this go to the other side. Ask the participant for consent, or leave it empty."
        ),
        "not_agreed": _l("The agreement between your organizations does not allow sharing this. Leave it empty."),
        "return_consent_missing": _l(
            "The participant has not agreed that answers may come back to you. Ask for consent in both directions."
        ),
        "not_offered": _l("The program does not offer this service. Choose one of its services."),
        "none_and_more": _l("Choose either nothing or what is needed, not both."),
        "referral_sent": _l("The referral was sent. The program has it now."),
        "draft_discarded": _l("The draft was discarded."),
        "draft_ended": _l("This draft can no longer be sent. It is put away by itself within a day or so."),
        "referral_acknowledged": _l("Marked as received. The sender can see it."),
        "question_asked": _l("Your question was sent."),
        "question_answered": _l("Your answer was sent."),
        "referral_accepted": _l("Accepted. The sender can see who will work with the participant."),
        "referral_declined": _l("Declined. The sender can see the reason."),
        "referral_started": _l("It is on record that the work began."),
        "referral_amended": _l("Changed. Both sides see what it was and what it is now."),
        "referral_waitlisted": _l("On the waiting list. The sender can see when a place is expected."),
        "place_was_confirmed": _l("Confirmed. The sender can see that the place stands."),
        "saved_by_itself": _l("Saved by itself, %(at)s."),
        "draft_kept": _l("The draft was saved within the last 60 days, so it is kept."),
        "caseworker_named": _l("Named. Both sides see who works with the participant now."),
        "referral_held": _l("On hold. Both sides can see why, and when it is looked at again."),
        "referral_resumed": _l("The work goes on."),
        "error_was_reported": _l("Reported. It stays as it is until a supervisor of the sender confirms the error."),
        "error_was_confirmed": _l("Entered in error. Nothing more is done about this referral."),
        "referral_cancelled": _l("The referral was canceled."),
        "loop_closed_now": _l("Acknowledged. This referral is done."),
        "outcome_disputed": _l("The outcome is disputed. It stays open, and both sides can see why."),
        "message_widened": _l("The other side can read your message now."),
        "message_posted": _l("Your message was posted."),
        "message_struck_out": _l("The message was struck out."),
    }
)
