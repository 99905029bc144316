"""Both doors to consents: what is shared with whom, asking and signing, witnessing, taking back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, cast
from uuid import UUID

from flask import Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.account.queries import colleagues
from referrals.account.queries import names as user_names
from referrals.consent import commands as c
from referrals.consent import queries as q
from referrals.kernel.actor import Actor, Side, TokenScope
from referrals.kernel.door import (
    OPERATIONS,
    Doors,
    Form,
    Operation,
    Shape,
    asking,
    form_words,
    json_words,
    worded,
)
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.look import NOT_SHARED
from referrals.kernel.orm import CATEGORIES
from referrals.kernel.record import clock, day_of
from referrals.kernel.schema import Takes
from referrals.kernel.web import API, login_app, say, sentence
from referrals.organization.queries import names as organization_names
from referrals.person.policy import WORKING
from referrals.person.queries import participant
from referrals.person.web import banner, crumbs

doors = Doors("consent", reads=TokenScope.CONSENTS_READ)


# --- shapes -----------------------------------------------------------------------------------------------------------


class ConsentShape(Shape):
    """A consent in a list."""

    id = fields.UUID()
    participant_id = fields.UUID()
    sitting_id = fields.UUID()
    kind = fields.String()
    status = fields.String()
    from_org_id = fields.UUID()
    to_org_id = fields.UUID()
    to_role = fields.String(allow_none=True)
    to_user_id = fields.UUID(allow_none=True)
    categories = fields.List(fields.String())
    purposes = fields.List(fields.String())
    expires_on = fields.Date(allow_none=True)
    expires_event = fields.String(allow_none=True)
    no_later_than = fields.Date(allow_none=True)
    ends_at = fields.AwareDateTime(allow_none=True)
    method = fields.String()
    signed_on = fields.Date()
    signed_at = fields.AwareDateTime()
    effective_at = fields.AwareDateTime()
    language = fields.String()
    wording_version = fields.String()
    document_hash = fields.String()
    witness_id = fields.UUID(allow_none=True)
    witness_confirmed_at = fields.AwareDateTime(allow_none=True)
    withdrawn_at = fields.AwareDateTime(allow_none=True)
    withdrawn_how = fields.String(allow_none=True)
    superseded_by_id = fields.UUID(allow_none=True)
    evidence_id = fields.UUID(allow_none=True)
    taken_by = fields.UUID()
    taken_org_id = fields.UUID()


class SignedShape(ConsentShape):
    """A consent with the words that were signed."""

    name_as_on_form = fields.String()
    description = fields.String()
    document = fields.String()
    signature = fields.String(allow_none=True)
    to_person = fields.String(allow_none=True)
    interpreter = fields.String(allow_none=True)
    place = fields.String(allow_none=True)


class DeclinedShape(Shape):
    """What a participant said no to."""

    id = fields.UUID()
    from_org_id = fields.UUID()
    to_org_id = fields.UUID()
    categories = fields.List(fields.String())
    purposes = fields.List(fields.String())
    declined_at = fields.AwareDateTime()
    taken_by = fields.UUID()
    taken_org_id = fields.UUID()


class EvidenceShape(Shape):
    """A scan of a signed form, without its content."""

    id = fields.UUID()
    participant_id = fields.UUID()
    media_type = fields.String()
    size = fields.Integer()
    sha256 = fields.String()
    added_at = fields.AwareDateTime()
    added_by = fields.UUID()


class DocumentShape(Shape):
    """A text as it would be signed."""

    from_org_id = fields.UUID()
    to_org_id = fields.UUID()
    text = fields.String()
    hash = fields.String()


# --- what several pages show ------------------------------------------------------------------------------------------


def _told(seen: Any, shape: type[Shape]) -> dict[str, Any]:
    """Return a consent's fields with the status it has now."""
    session, _ = asking()
    told = {name: getattr(seen, name) for name in shape().fields if name != "status"}
    return told | {"status": str(q.status_of(seen, clock(session)))}


def _choices(prefix: str, codes: Iterable[str]) -> list[tuple[str, str]]:
    return [(one, sentence(f"{prefix}.{one}")) for one in codes]


def in_words(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return consents in words: from whom, to whom, what, why, until when, and how they stand now."""
    session, actor = asking()
    now = clock(session)
    seen = list(rows)
    ids = [one.witness_id for one in seen] + [one.to_user_id for one in seen] + [one.taken_by for one in seen]
    users = user_names(session, [*ids, *(one.withdrawn_by for one in seen)])
    organizations_named = organization_names(session, {org for one in seen for org in (one.from_org_id, one.to_org_id)})
    return [
        {
            "id": one.id,
            "from": organizations_named.get(one.from_org_id),
            "whom": (whom := _recipient(one, organizations_named, users))[0],
            "there": whom[1],
            "to": ", ".join(part for part in whom if part),
            "from_org_id": one.from_org_id,
            "to_org_id": one.to_org_id,
            "categories": list(one.categories),
            "what": [sentence(f"category.{name}") for name in one.categories],
            "why": [sentence(f"purpose.{name}") for name in one.purposes],
            "status": str(q.status_of(one, now)),
            "says": sentence(f"consent_status.{q.status_of(one, now)}"),
            "last_day": _last_day(one),
            "event": sentence(f"consent_event.{one.expires_event}") if one.expires_event else None,
            "signed_on": one.signed_on,
            "signed_at": one.signed_at,
            "method": sentence(f"method.{one.method}"),
            "zone": one.time_zone,
            "taken_by": users.get(one.taken_by),
            "witness": users.get(one.witness_id),
            "witness_confirmed_at": one.witness_confirmed_at,
            "withdrawn_at": one.withdrawn_at,
            "withdrawn_by": users.get(one.withdrawn_by),
            "withdrawn_how": sentence(f"withdrawn_how.{one.withdrawn_how}") if one.withdrawn_how else None,
            "error_reported_at": one.error_reported_at,
            "evidence_id": one.evidence_id,
            "superseded_by_id": one.superseded_by_id,
            "language": one.language,
            "for_me": one.witness_id == actor.user_id and one.witness_confirmed_at is None,
        }
        for one in seen
    ]


def _last_day(one: Any) -> date | None:
    """Return the last day on which a consent holds, as a person says it; it ends at the midnight after."""
    if one.ends_at is None:
        return None
    return day_of(one.ends_at - timedelta(microseconds=1), one.time_zone)


def _recipient(one: Any, organizations_named: Mapping[UUID, str], users: Mapping[UUID, str]) -> tuple[str, str | None]:
    """Return whom a consent names, and the organization beside it when that is not all of it."""
    there = organizations_named.get(one.to_org_id, "")
    if one.to_user_id is not None:
        return users.get(one.to_user_id, ""), there
    return (sentence(f"recipient_role.{one.to_role}"), there) if one.to_role else (there, None)


def _grid(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what crosses now: a row for each category that does, a column for each direction and recipient."""
    active = [one for one in entries if one["status"] == "active"]
    columns = list(dict.fromkeys((one["from"], one["whom"], one["there"]) for one in active))
    rows = [
        {
            "label": sentence(f"category.{category}"),
            "cells": [
                any(
                    category in one["categories"]
                    for one in active
                    if (one["from"], one["whom"], one["there"]) == column
                )
                for column in columns
            ],
        }
        for category in CATEGORIES
    ]
    heads = [{"from": one[0], "whom": one[1], "there": one[2]} for one in columns]
    return {"columns": heads, "rows": [row for row in rows if any(row["cells"])]}


# --- reading ----------------------------------------------------------------------------------------------------------


@doors.get("/participants/<uuid:target>/consents", page="consent/list.html", shape=ConsentShape, many=True)
def consents(target: UUID) -> Mapping[str, Any]:
    """Show what is shared with whom about a participant, and what was."""
    session, actor = asking()
    seen = participant(session, actor, target)
    rows = q.consents(session, actor, target)

    def around() -> Mapping[str, Any]:
        entries = in_words(rows)
        said_no = q.declined(session, actor, target)
        named = organization_names(session, {org for one in said_no for org in (one.from_org_id, one.to_org_id)})
        return {
            "it": seen,
            "person": banner(seen),
            "entries": entries,
            "grid": _grid(entries),
            "declined": [
                {
                    "from": named.get(one.from_org_id),
                    "to": named.get(one.to_org_id),
                    "what": [sentence(f"category.{name}") for name in one.categories],
                    "at": one.declined_at,
                }
                for one in said_no
            ],
            "breadcrumbs": crumbs(seen, (None, sentence("consent_page.list"))),
        }

    return {"rows": [_told(one, ConsentShape) for one in rows], "next": None, "around": around}


@doors.get("/participants/<uuid:target>/consents/declined", page=None, shape=DeclinedShape, many=True)
def declined_consents(target: UUID) -> Mapping[str, Any]:
    """List what a participant said no to."""
    session, actor = asking()
    participant(session, actor, target)
    return {"rows": q.declined(session, actor, target), "next": None}


@doors.get("/consents/<uuid:target>", page="consent/show.html", shape=SignedShape)
def consent(target: UUID) -> Mapping[str, Any]:
    """Show one consent: how it stands, and the words that were signed."""
    session, actor = asking()
    seen = q.consent(session, actor, target)
    entry = in_words([seen])[0]
    party = actor.organization_id in {seen.from_org_id, seen.to_org_id}
    open_still = entry["status"] in {"active", "scheduled", "draft"}
    return {
        "it": _told(seen, SignedShape),
        "entry": entry,
        "seen": seen,
        "paragraphs": paragraphs(seen.document),
        "may_withdraw": party and open_still,
        "may_report": party and entry["status"] != "void" and not entry["error_reported_at"],
        "may_void": bool(entry["error_reported_at"]) and entry["status"] != "void",
        "has_file": bool(seen.evidence_id) and seen.taken_org_id == actor.organization_id,
        "form": Form(),
        "breadcrumbs": [
            {"url": f"/participants/{seen.participant_id}", "label": sentence("consent_page.participant")},
            {"url": f"/participants/{seen.participant_id}/consents", "label": sentence("consent_page.list")},
            {"url": None, "label": sentence("consent_page.one")},
        ],
    }


def paragraphs(document: Any) -> list[list[str]]:
    """Return a signed text as paragraphs of lines, so that a page can show it without changing a word."""
    if document is NOT_SHARED or not document:
        return []
    return [block.split("\n") for block in str(document).strip().split("\n\n")]


@doors.get("/evidence/<uuid:target>/facts", page=None, shape=EvidenceShape)
def evidence_facts(target: UUID) -> Mapping[str, Any]:
    """Tell what is known of a scan of a signed form."""
    session, actor = asking()
    return {"it": q.evidence_facts(session, actor, target)}


@doors.pages.get("/evidence/<uuid:target>")
def evidence(target: UUID) -> ResponseReturnValue:
    """Hand out a scan of a signed form: always as a file to keep, never shown inside our pages (S-307)."""
    session, actor = asking()
    file = q.evidence(session, actor, target)
    answer = Response(file.content, mimetype=file.media_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="{file.name}"'
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer


# --- asking and signing -----------------------------------------------------------------------------------------------


def _asked(words: Mapping[str, Any]) -> c.Asked:
    said = {name: words[name] for name in c.Asked.__slots__}
    return c.Asked(**said | {"no_later_than": words["no_later_than"] or words["expires_on"]})


def _drawn(words: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the texts that would be signed, one for each direction."""
    session, actor = asking()
    drawn = q.draw_up(session, actor, _asked(words), clock(session))
    return [
        {
            "from_org_id": one.from_org.id,
            "to_org_id": one.to_org.id,
            "from": one.from_org.name,
            "to": one.to_org.name,
            "text": document.text,
            "hash": document.hash,
            "paragraphs": paragraphs(document.text),
        }
        for one, document in zip(drawn.directions, drawn.documents, strict=True)
    ]


def _asking(target: UUID) -> dict[str, Any]:
    """Return what the question page needs; nothing in it is chosen beforehand (C1)."""
    session, actor = asking()
    seen = participant(session, actor, target)
    partners_now = q.partners_now(session, actor, clock(session))
    named = {one.id: one.name for one in partners_now}
    people = [(str(one.id), f"{one.display_name}, {named[one.organization_id]}") for one in q.staff_of(session, named)]
    return {
        "it": seen,
        "person": banner(seen),
        "partners": [(str(one.id), one.name) for one in partners_now],
        "people": people,
        "roles": _choices("recipient_role", c.RECIPIENT_ROLES),
        "own_roles": _choices("recipient_role", _own_roles(actor)),
        "own_people": [(str(one.id), one.display_name) for one in _own_people(actor)],
        "categories": _categories(toward_agency=actor.side != Side.AGENCY),
        "back_categories": _categories(toward_agency=actor.side == Side.AGENCY),
        "purposes": [
            (one, words) for one, words in q.wording(_language())["purposes"].items() if one in c.PURPOSES_OFFERED
        ],
        "events": _choices("consent_event", c.EVENTS_OFFERED),
        "spoken": _choices("language", c.LANGUAGES),
        "from_org_id": str(actor.organization),
        "own_name": organization_names(session, [actor.organization])[actor.organization],
        "name": "" if seen.given_name is NOT_SHARED else f"{seen.given_name} {seen.family_name}",
        "documents": [],
        "breadcrumbs": crumbs(
            seen,
            (f"/participants/{target}/consents", sentence("consent_page.list")),
            (None, sentence("consent_page.ask")),
        ),
    }


def _categories(*, toward_agency: bool) -> list[tuple[str, str]]:
    """Return what may be chosen: no substance use (C9), and toward an agency nothing said in sessions (C2)."""
    shut = {"substance_use", "session_content"} if toward_agency else {"substance_use"}
    return [one for one in q.choices(_language()) if one[0] not in shut]


def _language() -> str:
    """Return the language of this page, if the wording has it."""
    spoken = str(get_locale() or "en")
    return spoken if spoken in c.LANGUAGES else "en"


def _own_roles(actor: Actor) -> list[str]:
    """Return the roles that may be named as a recipient on the actor's own side."""
    agency = ("case_manager", "supervising_officer", "supervisor")
    return list(agency if actor.side == Side.AGENCY else ("navigator", "supervisor"))


def _own_people(actor: Actor) -> Sequence[Any]:
    session, _ = asking()
    people: Sequence[Any] = session.scalars(colleagues(actor.organization, *WORKING)).all()
    return people


def _signing(target: UUID) -> dict[str, Any]:
    """Return what signing needs besides: who may witness, and the scans that wait to be used."""
    session, actor = asking()
    return {
        "methods": _choices("method", c.Method),
        "witnesses": [(str(one.id), one.display_name) for one in _own_people(actor) if one.id != actor.me],
        "scans": [
            (str(one.id), sentence("consent_page.scan", {"at": one.added_at, "size": max(1, one.size // 1024)}))
            for one in q.unused_evidence(session, actor, target)
        ],
        "today": day_of(clock(session), actor.zone).isoformat(),
    }


def _giving(target: UUID) -> Mapping[str, Any]:
    """Return the question page, or, when what was sent can be drawn up, the page to sign."""
    context = _asking(target)
    if request.method != "POST":
        return context | {"values": {"name_as_on_form": context["name"]}}
    ask = c.AskConsent()
    known = ask.fields
    try:
        typed = {name: value for name, value in form_words(c.GiveConsent()).items() if name in known}
        documents = _drawn(ask.understood(typed))
    except InvalidInputError:
        return context
    return context | _signing(target) | {"documents": documents, "kept": _kept(ask)}


def _kept(ask: Takes) -> list[tuple[str, str]]:
    """Return the answers to carry along to the signature, as hidden fields."""
    typed = form_words(c.GiveConsent())
    return [
        (name, one)
        for name, value in typed.items()
        if name in ask.fields and name != "told_rights"
        for one in (value if isinstance(value, list) else [value])
    ]


doors.act(
    "/participants/<uuid:target>/consents/new",
    c.give_consent,
    page="consent/new.html",
    context=_giving,
    then=lambda row: f"/consents/{row.id}",
    show=lambda row: _told(q.consent(*asking(), row.id), SignedShape),
    shape=SignedShape,
    api_rule="/participants/<uuid:target>/consents",
    done="consent_done.given",
)


def review_consent(target: UUID) -> ResponseReturnValue:
    """Show the words in full before anybody signs."""
    session, actor = asking()
    if request.path.startswith(API):
        participant(session, actor, target)
        shape = DocumentShape()
        drawn = _drawn(c.AskConsent().understood(json_words()))
        return cast("Response", login_app().json.response({"items": [shape.told(one) for one in drawn], "next": None}))
    ask = c.AskConsent()
    context, form = _asking(target), Form(_typed(), may_switch=True)
    try:
        documents = _drawn(ask.understood(form_words(ask)))
    except InvalidInputError as fault:
        told = {name: [sentence(worded(code, name, ask)) for code in codes] for name, codes in fault.fields.items()}
        return make_response(
            render_template("consent/new.html", form=Form(_typed(), told, may_switch=True), **context), 422
        )
    more = _signing(target) | {"documents": documents, "kept": _kept(ask)}
    return make_response(render_template("consent/new.html", form=form, **(context | more)), 200)


def _typed() -> dict[str, Any]:
    """Return what was typed, lists as lists."""
    known = c.GiveConsent().fields
    return {
        name: request.form.getlist(name) if isinstance(known.get(name), fields.List) else request.form[name]
        for name in request.form
    }


for _blueprint in (doors.pages, doors.api):
    _blueprint.add_url_rule(
        "/participants/<uuid:target>/consents/review", "review_consent", review_consent, methods=["POST"]
    )
OPERATIONS.append(
    Operation(
        "POST",
        f"{API}/participants/<uuid:target>/consents/review",
        "consent_api.review_consent",
        "Show the words in full before anybody signs.",
        DocumentShape,
        c.AskConsent,
        None,
        many=True,
    )
)


def _declining(target: UUID) -> Mapping[str, Any]:
    context = _asking(target)
    *above, _here = context["breadcrumbs"]
    return context | {
        "sides": [(context["from_org_id"], context["own_name"]), *context["partners"]],
        "breadcrumbs": [*above, {"url": None, "label": sentence("consent_page.decline")}],
    }


doors.act(
    "/participants/<uuid:target>/consents/declined",
    c.decline_consent,
    page="consent/decline.html",
    context=_declining,
    then=lambda row: f"/participants/{row.participant_id}/consents",
    shape=DeclinedShape,
    done="consent_done.declined",
)


def _file(_takes: Takes) -> dict[str, Any]:
    given = request.files.get("content")
    if given is None or not given.filename:
        return {}
    try:
        return {"content": given.read()}
    finally:
        given.close()  # a large one lies in a temporary file


def _uploading(target: UUID) -> Mapping[str, Any]:
    session, actor = asking()
    seen = participant(session, actor, target)
    up = (f"/participants/{target}/consents", sentence("consent_page.list"))
    return {
        "it": seen,
        "person": banner(seen),
        "breadcrumbs": crumbs(seen, up, (None, sentence("consent_page.upload"))),
    }


doors.act(
    "/participants/<uuid:target>/consents/evidence",
    c.add_evidence,
    page="consent/evidence.html",
    context=_uploading,
    then=lambda row: f"/participants/{row.participant_id}/consents/new",
    shape=EvidenceShape,
    show=lambda row: q.evidence_facts(*asking(), row.id),
    reads=_file,
    upload=True,
    done="consent_done.evidence",
)


# --- what comes after -------------------------------------------------------------------------------------------------


def _about(target: UUID, here: str) -> Mapping[str, Any]:
    session, actor = asking()
    seen = q.consent(session, actor, target)
    return {
        "seen": seen,
        "entry": in_words([seen])[0],
        "breadcrumbs": [
            {"url": f"/participants/{seen.participant_id}", "label": sentence("consent_page.participant")},
            {"url": f"/participants/{seen.participant_id}/consents", "label": sentence("consent_page.list")},
            {"url": f"/consents/{target}", "label": sentence("consent_page.one")},
            {"url": None, "label": sentence(here)},
        ],
    }


def _shown(row: Any) -> dict[str, Any]:
    return _told(q.consent(*asking(), row.id), SignedShape)


doors.act(
    "/consents/<uuid:target>/withdrawal",
    c.withdraw_consent,
    page="consent/withdraw.html",
    context=lambda target: {
        **_about(target, "consent_page.withdraw"),
        "hows": _choices("withdrawn_how", c.WITHDRAWN_HOW),
    },
    then=lambda row: f"/consents/{row.id}",
    show=_shown,
    shape=SignedShape,
    done="consent_done.withdrawn",
)
doors.act(
    "/consents/<uuid:target>/witness",
    c.confirm_witness,
    page="consent/witness.html",
    context=lambda target: _about(target, "consent_page.witness"),
    then=lambda row: f"/consents/{row.id}",
    show=_shown,
    shape=SignedShape,
    done="consent_done.witnessed",
)
doors.act(
    "/consents/<uuid:target>/error",
    c.report_consent_error,
    page=None,
    then=lambda row: f"/consents/{row.id}",
    show=_shown,
    shape=SignedShape,
    done="consent_done.error_reported",
)
doors.act(
    "/consents/<uuid:target>/void",
    c.void_consent,
    page=None,
    then=lambda row: f"/consents/{row.id}",
    show=_shown,
    shape=SignedShape,
    done="consent_done.voided",
)


say(
    {
        "consent_page.list": _l("Consents"),
        "consent_page.one": _l("Consent"),
        "consent_page.ask": _l("Ask for consent"),
        "consent_page.withdraw": _l("Take the consent back"),
        "consent_page.witness": _l("Confirm as witness"),
        "consent_page.decline": _l("Record a no"),
        "consent_page.upload": _l("Add a signed form"),
        "consent_page.participant": _l("Participant"),
        "consent_page.scan": _l("Added %(at)s (%(size)s kB)"),
        "consent_done.given": _l("The consent is on record. Offer the participant a copy."),
        "consent_done.declined": _l("The no is on record. It closes no service and counts against nobody."),
        "consent_done.evidence": _l("The signed form is on record. Choose it when you come to the signature."),
        "consent_done.withdrawn": _l("The consent has ended. Nothing more is shared under it."),
        "consent_done.witnessed": _l("You have confirmed it. The consent holds now."),
        "consent_done.error_reported": _l("The mistake is reported. A supervisor of who took the consent can void it."),
        "consent_done.voided": _l("The consent is void. It stays on record."),
        "missing_element": _l("This consent lacks something the law asks for."),
        "missing_element.participant_name": _l("Enter the participant's name as it stands on the form."),
        "missing_element.discloser": _l("Say who may share."),
        "missing_element.information": _l("Choose what may be shared. Choose at least one kind of information."),
        "missing_element.purpose": _l("Choose what it is shared for."),
        "missing_element.recipient": _l("Choose who may receive it."),
        "missing_element.right_to_revoke": _l("Tell the participant about their rights, and tick that you did."),
        "missing_element.expiry": _l("Say how long it lasts: a last day, or an event with a last day."),
        "missing_element.signature": _l("It needs a signature: the typed name, a witness, or the signed form."),
        "missing_element.signed_on": _l("Enter the day it was signed."),
        "not_yet_offered": _l("This kind of consent is not offered yet. Choose a general consent."),
        "needs_part2": _l("Substance use treatment needs a consent form of its own, which is not offered yet."),
        "session_content_not_to_agency": _l("What is said in sessions is never shared with an agency."),
        "agency_needs_role_or_person": _l("At an agency, name a role or a person, never the whole agency."),
        "one_recipient": _l("Name one recipient: the organization, a role there, or one person."),
        "not_your_organization": _l("Only your own organization can be the one that shares here."),
        "same_organization": _l("Choose another organization than your own."),
        "not_their_staff": _l("Choose somebody who works with participants at that organization."),
        "longer_than_a_year": _l("A consent lasts at most one year. Choose an earlier day."),
        "after_the_end": _l("This day is after the latest day."),
        "witness_is_taker": _l("Whoever takes the consent cannot be its witness. Choose somebody else."),
        "not_this_participants": _l("Choose a signed form of this participant."),
        "not_a_document": _l("Choose a PDF, JPEG or PNG file. We look at what is in it, not at its name."),
        "file_too_large": _l("The file is larger than 10 MB. Scan it again with less detail."),
        "consent_ended": _l("This consent has ended already."),
        "already_witnessed": _l("The witness has confirmed this already."),
        "not_to_be_witnessed": _l("This consent was not given by word of mouth; it needs no witness."),
        "words_changed": _l("The words have changed since they were shown. Read them again, then sign."),
        "not_replaceable": _l("Only a consent in force between the same organizations can be replaced."),
        "evidence_used": _l("This signed form proves another consent already."),
        "error_reported": _l("The mistake was reported already."),
        "error_not_reported": _l("Nobody has reported a mistake yet."),
        "same_person": _l("Somebody else has to confirm the mistake."),
        "consent_status.draft": _l("Waits for the witness"),
        "consent_status.scheduled": _l("Begins later"),
        "consent_status.active": _l("In force"),
        "consent_status.expired": _l("Expired"),
        "consent_status.withdrawn": _l("Taken back"),
        "consent_status.superseded": _l("Replaced"),
        "consent_status.void": _l("Void"),
        "consent_event.referral_closed": _l("When the referral is closed"),
        "consent_event.released": _l("When they are released"),
        "consent_event.supervision_ended": _l("When supervision ends"),
        "consent_event.treatment_ended": _l("When treatment ends"),
        "consent_event.final_disposition": _l("When the case is decided"),
        "method.e_signature": _l("Typed name"),
        "method.verbal": _l("Said aloud, with a witness"),
        "method.wet": _l("Signed on paper, scanned"),
        "withdrawn_how.told_staff": _l("They told somebody of either organization"),
        "withdrawn_how.written": _l("In writing"),
        "withdrawn_how.by_phone": _l("By phone"),
        "withdrawn_how.authorized_person": _l("By an authorized person"),
        "recipient_role.case_manager": _l("Case managers"),
        "recipient_role.supervising_officer": _l("Supervising officers"),
        "recipient_role.navigator": _l("Navigators"),
        "recipient_role.supervisor": _l("Supervisors"),
        "purpose.referral": _l("Referral"),
        "purpose.pre_release": _l("Meeting before release"),
        "purpose.service": _l("Service"),
        "purpose.supervision": _l("Supervision"),
        "purpose.benefits": _l("Benefits"),
        "purpose.treatment": _l("Treatment"),
        "purpose.evaluation": _l("Evaluation"),
        "purpose.own_request": _l("Own request"),
        "purpose.legal_proceeding": _l("Legal proceeding"),
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
    }
)
