"""Giving, declining, witnessing and taking back consents."""

from __future__ import annotations

import base64
import hashlib
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from referrals.consent import commands, queries
from referrals.consent.models import (
    ELEMENTS,
    AlreadyWitnessedError,
    BrokenEvidenceError,
    Consent,
    ConsentEndedError,
    DeclinedConsent,
    ErrorNotReportedError,
    EvidenceUsedError,
    NotReplaceableError,
    NotWitnessedError,
    SamePersonError,
    Status,
    WordsChangedError,
    a_year_after,
    in_parts,
    joined,
    media_type_of,
)
from referrals.kernel.command import execute
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError
from referrals.kernel.look import NOT_SHARED
from referrals.person.models import Person
from tests.factories.account import (
    a_case_manager,
    a_navigator,
    a_supervisor,
    an_administrator,
    an_auditor,
    an_officer,
)
from tests.factories.consent import PDF, a_consent, both_ways, withdrawn, words
from tests.factories.organization import a_community_organization, an_agency
from tests.factories.person import a_participant, as_if_referred, with_colleague
from tests.referrals.consent.conftest import World


def give(world: World, *, without: str | None = None, **said: Any) -> Consent:
    given = words(world.session, world.manager, world.community.id, **said)
    given.pop(without or "", None)
    return execute(world.session, commands.give_consent, actor=world.manager, target=world.person.id, data=given)


def faults(world: World, **said: Any) -> dict[str, Any]:
    with pytest.raises(InvalidInputError) as refused:
        give(world, **said)
    assert world.session.scalars(select(Consent)).all() == []
    return dict(refused.value.fields)


# --- the nine elements ------------------------------------------------------------------------------------------------

WITHOUT = {
    "participant_name": {"without": "name_as_on_form"},
    "discloser": {"without": "from_org_id"},
    "information": {"without": "categories"},
    "purpose": {"without": "purposes"},
    "recipient": {"without": "to_org_id"},
    "right_to_revoke": {"told_rights": False},
    "expiry": {"without": "expires_on"},
    "signature": {"without": "signature"},
    "signed_on": {"without": "signed_on"},
}


@pytest.mark.parametrize("element", ELEMENTS)
def test_each_element_left_out_is_refused_by_its_name(world: World, element: str) -> None:
    found = faults(world, **WITHOUT[element])
    assert [code for codes in found.values() for code in codes] == [f"missing_element.{element}"]


def test_with_all_elements_it_is_active_at_once(world: World) -> None:
    consent = give(world)
    assert consent.status(world.now) == Status.ACTIVE
    assert consent.missing_elements() == []
    assert consent.covers("needs", "referral", world.now)


@pytest.mark.parametrize("element", ELEMENTS)
def test_a_deficient_consent_covers_nothing_even_if_it_were_stored(world: World, element: str) -> None:
    consent = give(world)
    broken: dict[str, tuple[str, Any]] = {
        "participant_name": ("_name_as_on_form", None),
        "discloser": ("from_org_id", None),
        "information": ("categories", []),
        "purpose": ("purposes", []),
        "recipient": ("to_org_id", None),
        "right_to_revoke": ("told_rights", False),
        "expiry": ("no_later_than", None),
        "signature": ("_signature", None),
        "signed_on": ("signed_on", None),
    }
    name, value = broken[element]
    world.session.expunge(consent)
    setattr(consent, name, value)
    assert consent.missing_elements() == [element]
    assert not consent.covers("needs", "referral", world.now)


def test_every_missing_element_comes_at_once(world: World) -> None:
    data = {"language": "en"}
    with pytest.raises(InvalidInputError) as refused:
        execute(world.session, commands.give_consent, actor=world.manager, target=world.person.id, data=data)
    codes = {code for found in refused.value.fields.values() for code in found}
    assert codes == {f"missing_element.{element}" for element in ELEMENTS}


# --- rules about kinds, recipients, categories, days ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["part2", "criminal_justice"])
def test_other_kinds_are_not_offered_yet(world: World, kind: str) -> None:
    assert faults(world, kind=kind) == {"kind": ["not_yet_offered"]}


def test_a_general_consent_never_speaks_of_substance_use(world: World) -> None:
    assert faults(world, categories=["needs", "substance_use"]) == {"categories": ["needs_part2"]}


def test_only_ones_own_organization_discloses(world: World) -> None:
    assert faults(world, from_org_id=str(world.community.id), to_org_id=str(world.agency.id)) == {
        "from_org_id": ["not_your_organization"],
        "to_role": ["agency_needs_role_or_person"],
    }
    assert faults(world, to_org_id=str(world.agency.id), to_role="case_manager") == {"to_org_id": ["same_organization"]}
    assert faults(world, to_org_id=str(uuid4())) == {"to_org_id": ["not_a_choice"]}


def test_a_recipient_is_one_of_organization_role_or_person(world: World) -> None:
    nia = str(world.navigator.me)
    assert faults(world, to_role="navigator", to_user_id=nia) == {"to_role": ["one_recipient"]}
    assert faults(world, to_user_id=str(world.manager.me)) == {"to_user_id": ["not_their_staff"]}
    assert faults(world, to_user_id=str(an_administrator(world.session, world.community.id).me)) == {
        "to_user_id": ["not_their_staff"]
    }
    assert give(world, to_user_id=nia).specificity == 2
    assert give(world, to_role="navigator").specificity == 1
    assert give(world, to_person="Dr. Ada Lin, physician, 1 Main Street").specificity == 2


def test_toward_an_agency_a_role_or_person_and_never_what_was_said_in_sessions(world: World) -> None:
    toward = {"back": "yes", "back_categories": ["attendance"]}
    assert faults(world, **toward) == {"back_to_role": ["agency_needs_role_or_person"]}
    assert faults(world, **toward | {"back_to_role": "case_manager", "back_categories": ["session_content"]}) == {
        "back_categories": ["session_content_not_to_agency"]
    }
    assert faults(world, back="yes", back_to_role="case_manager") == {
        "back_categories": ["missing_element.information"]
    }


@pytest.mark.parametrize(
    ("said", "field", "code"),
    [
        ({"expires_on": "2026-06-14"}, "expires_on", "in_past"),
        ({"no_later_than": "2027-06-16"}, "no_later_than", "longer_than_a_year"),
        ({"expires_on": "2027-06-16"}, "no_later_than", "longer_than_a_year"),
        ({"expires_on": "2026-08-02", "no_later_than": "2026-08-01"}, "expires_on", "after_the_end"),
        ({"signed_on": "2026-06-16"}, "signed_on", "in_future"),
        ({"effective_on": "2026-06-14"}, "effective_on", "in_past"),
        ({"categories": ["needs", "needs"]}, "categories", "repeated"),
        ({"categories": ["everything"]}, "categories.0", "not_a_choice"),
        ({"purposes": ["legal_proceeding"]}, "purposes.0", "not_a_choice"),
    ],
)
def test_a_wrong_day_or_choice_names_its_field(world: World, said: dict[str, Any], field: str, code: str) -> None:
    assert faults(world, **said)[field] == [code]


def test_an_event_wants_a_last_day_beside_it(world: World) -> None:
    found = faults(world, without="expires_on", expires_event="released")
    assert found == {"no_later_than": ["missing_element.expiry"]}
    consent = give(world, without="expires_on", expires_event="released", no_later_than="2027-06-15")
    assert consent.ends_at is not None


def test_a_year_ends_after_a_leap_day_on_march_first() -> None:
    assert a_year_after(date(2028, 2, 29)) == date(2029, 3, 1)
    assert a_year_after(date(2026, 6, 15)) == date(2027, 6, 15)


# --- who may ----------------------------------------------------------------------------------------------------------


def test_only_who_is_assigned_takes_a_consent(world: World) -> None:
    session = world.session
    for actor in (
        a_case_manager(session, world.agency.id),
        an_administrator(session, world.agency.id),
        an_auditor(session, world.agency.id),
    ):
        given = words(session, actor, world.community.id)
        with pytest.raises(NotFoundError):
            execute(session, commands.give_consent, actor=actor, target=world.person.id, data=given)
    nia = world.navigator
    given = words(session, nia, world.agency.id, to_role="case_manager", categories=["attendance"])
    assert execute(session, commands.give_consent, actor=nia, target=world.person.id, data=given).from_org_id == (
        world.community.id
    )


# --- both directions, and no ------------------------------------------------------------------------------------------


def test_both_directions_are_two_rows_of_one_sitting(world: World) -> None:
    forth = both_ways(world.session, world.manager, world.person.id, world.community.id, back=("attendance", "needs"))
    back = world.session.scalars(select(Consent).where(Consent.from_org_id == world.community.id)).one()
    assert (back.sitting_id, back.to_org_id, back.to_role) == (forth.sitting_id, world.agency.id, "case_manager")
    assert (back.categories, forth.categories) == (
        ["needs", "attendance"],
        ["identity", "contact", "release", "needs"],
    )
    assert "Open Door Center may share" in back.document
    assert "Open Door Center may share" not in forth.document


def test_a_no_to_the_way_back_is_kept_beside_the_yes(world: World) -> None:
    consent = give(world, back="no", back_categories=["attendance"])
    said_no = world.session.scalars(select(DeclinedConsent)).one()
    assert (said_no.sitting_id, said_no.from_org_id, said_no.to_org_id, said_no.categories) == (
        consent.sitting_id,
        world.community.id,
        world.agency.id,
        ["attendance"],
    )


def test_a_no_is_recorded_and_read(world: World) -> None:
    data = {"from_org_id": str(world.agency.id), "to_org_id": str(world.community.id), "categories": ["health"]}
    execute(world.session, commands.decline_consent, actor=world.manager, target=world.person.id, data=data)
    for actor in (world.manager, world.navigator):
        rows = world.looked(queries.declined, actor, world.person.id)
        assert [(one.categories, one.taken_by) for one in rows] == [(["health"], world.manager.me)]
    elsewhere = {"from_org_id": str(world.community.id), "to_org_id": str(uuid4())}
    with pytest.raises(InvalidInputError) as refused:
        execute(world.session, commands.decline_consent, actor=world.manager, target=world.person.id, data=elsewhere)
    assert refused.value.fields == {"to_org_id": ["not_a_choice"], "from_org_id": ["not_your_organization"]}


# --- the words --------------------------------------------------------------------------------------------------------


def test_what_is_stored_is_what_was_shown_and_its_hash(world: World) -> None:
    consent = give(world, language="es", name_as_on_form="Rosa Nu\u0301n\u0303ez")
    shown = world.looked(queries.consent, world.manager, consent.id)
    assert shown.document.startswith("Permiso para compartir información sobre mí\n")
    assert "Rosa Núñez" in shown.document
    assert hashlib.sha256(shown.document.encode()).hexdigest() == shown.document_hash
    assert (shown.language, shown.wording_version) == ("es", queries.WORDING)


def test_words_that_changed_since_they_were_shown_are_not_signed(world: World) -> None:
    with pytest.raises(WordsChangedError):
        give(world, shown="0" * 64)
    first = give(world)
    assert give(world, shown=first.document_hash).document_hash == first.document_hash
    with pytest.raises(WordsChangedError):
        give(world, shown=first.document_hash, categories=["health"])


# --- witness ----------------------------------------------------------------------------------------------------------

VERBAL = {"without": "signature", "method": "verbal", "place": "Visiting room 2"}


def test_a_consent_by_word_of_mouth_holds_once_its_witness_confirms(world: World) -> None:
    session = world.session
    witness, stranger = a_case_manager(session, world.agency.id), a_case_manager(session, world.agency.id)
    consent = give(world, **VERBAL, witness_id=str(witness.me))
    assert consent.status(world.now) == Status.DRAFT
    assert not consent.covers("needs", "referral", world.now)
    assert world.looked(queries.consent, witness, consent.id).document is NOT_SHARED
    assert [one.id for one in world.looked(queries.waiting_for_witness, witness)] == [consent.id]
    for actor in (world.manager, stranger):
        with pytest.raises(NotFoundError):
            execute(session, commands.confirm_witness, actor=actor, target=consent.id, data={})
    confirmed = execute(session, commands.confirm_witness, actor=witness, target=consent.id, data={})
    assert confirmed.status(world.now) == Status.ACTIVE
    assert confirmed.status(world.now - timedelta(seconds=1)) == Status.DRAFT
    with pytest.raises(AlreadyWitnessedError):
        execute(session, commands.confirm_witness, actor=witness, target=consent.id, data={})


def test_a_witness_is_another_colleague(world: World) -> None:
    assert faults(world, **VERBAL) == {"witness_id": ["missing_element.signature"]}
    assert faults(world, **VERBAL, witness_id=str(world.manager.me)) == {"witness_id": ["witness_is_taker"]}
    assert faults(world, **VERBAL, witness_id=str(world.navigator.me)) == {"witness_id": ["not_a_colleague"]}
    witness = a_supervisor(world.session, world.agency.id)
    signed = give(world, witness_id=str(witness.me))
    assert signed.witness_id is None
    with pytest.raises(NotFoundError):
        execute(world.session, commands.confirm_witness, actor=witness, target=signed.id, data={})
    with pytest.raises(NotWitnessedError):
        signed.confirm_witness(at=world.now)


# --- evidence ---------------------------------------------------------------------------------------------------------


def upload(world: World, content: bytes | str) -> Any:
    return execute(
        world.session,
        commands.add_evidence,
        actor=world.manager,
        target=world.person.id,
        data={"content": content},
    )


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_a_document"),
        (b"<html><script>%PDF-</script>", "not_a_document"),
        (b"MZ\x90\x00", "not_a_document"),
        (PDF + b"x" * (10 * 1024 * 1024), "file_too_large"),
        ("not base64!", "not_accepted"),
        (5, "wrong_type"),
    ],
)
def test_only_documents_up_to_ten_megabytes_are_taken_in(world: World, content: Any, code: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        upload(world, content)
    assert refused.value.fields == {"content": [code]}


def test_a_wet_signature_opens_to_the_same_bytes(any_world: World) -> None:
    world, content = any_world, b"\xff\xd8\xff\xe0" + bytes(range(256)) * 9000
    evidence = upload(world, content)
    assert (evidence.media_type, evidence.parts, evidence.size) == ("image/jpeg", 3, len(content))
    consent = give(world, without="signature", method="wet", evidence_id=str(evidence.id))
    assert consent.status(world.now) == Status.ACTIVE
    file = world.looked(queries.evidence, world.manager, evidence.id)
    assert (file.content, file.media_type, file.name) == (content, "image/jpeg", "signed-form.jpg")
    for actor in (world.navigator, a_case_manager(world.session, world.agency.id)):
        with pytest.raises(NotFoundError):
            world.looked(queries.evidence, actor, evidence.id)
    with pytest.raises(EvidenceUsedError):
        give(world, without="signature", method="wet", evidence_id=str(evidence.id))


def test_a_wet_signature_proves_only_its_own_participants_consent(world: World) -> None:
    assert faults(world, without="signature", method="wet") == {"evidence_id": ["missing_element.signature"]}
    other: Person = a_participant(world.session, world.manager)
    theirs = execute(
        world.session,
        commands.add_evidence,
        actor=world.manager,
        target=other.id,
        data={"content": base64.b64encode(PDF).decode()},
    )
    for evidence_id in (theirs.id, uuid4()):
        assert faults(world, without="signature", method="wet", evidence_id=str(evidence_id)) == {
            "evidence_id": ["not_this_participants"]
        }


def test_parts_that_are_lost_moved_or_added_never_make_a_file() -> None:
    content = PDF + bytes(2 * 1024 * 1024)
    parts, sha256 = in_parts(content), hashlib.sha256(content).hexdigest()
    assert joined(parts, sha256) == content
    for broken in (parts[:-1], parts[::-1], [*parts, parts[-1]], [parts[0]], []):
        with pytest.raises(BrokenEvidenceError):
            joined(broken, sha256)
    with pytest.raises(BrokenEvidenceError):
        joined(parts, hashlib.sha256(b"other").hexdigest())
    assert media_type_of(b"\x89PNG\r\n\x1a\nrest") == "image/png"


# --- ending -----------------------------------------------------------------------------------------------------------


def test_anyone_assigned_at_either_side_takes_down_a_withdrawal_once(world: World) -> None:
    session = world.session
    consent = give(world)
    with pytest.raises(NotFoundError):
        withdrawn(session, a_case_manager(session, world.agency.id), consent.id)
    ended = withdrawn(session, world.navigator, consent.id, "by_phone")
    assert (ended.status(world.now), ended.withdrawn_by, ended.withdrawn_how) == (
        Status.WITHDRAWN,
        world.navigator.me,
        "by_phone",
    )
    assert ended.status(world.now - timedelta(microseconds=1)) == Status.SCHEDULED or Status.ACTIVE
    with pytest.raises(ConsentEndedError):
        withdrawn(session, world.manager, consent.id)


def test_a_third_organization_knows_nothing_of_it(world: World) -> None:
    third = a_community_organization(world.session, "Second Start")
    noor = a_navigator(world.session, third.id)
    as_if_referred(world.session, world.person.id, third.id, user_id=noor.me)
    consent = give(world)
    assert world.looked(queries.consents, noor, world.person.id) == []
    with pytest.raises(NotFoundError):
        world.looked(queries.consent, noor, consent.id)
    with pytest.raises(NotFoundError):
        withdrawn(world.session, noor, consent.id)


def test_a_new_one_takes_the_place_of_one_in_force(world: World) -> None:
    session = world.session
    old = give(world)
    new = give(world, replaces_id=str(old.id), categories=["identity"])
    session.refresh(old)
    assert (old.status(world.now), old.superseded_by_id) == (Status.SUPERSEDED, new.id)
    for replaces_id in (old.id, uuid4()):
        with pytest.raises(NotReplaceableError):
            give(world, replaces_id=str(replaces_id))
    with pytest.raises(ConsentEndedError):
        withdrawn(session, world.manager, old.id)


def test_a_mistake_is_undone_by_two_people(world: World) -> None:
    session = world.session
    boss, other_boss = a_supervisor(session, world.agency.id), a_supervisor(session, world.agency.id)
    consent = give(world)

    def act(what: Any, actor: Any) -> Consent:
        done: Consent = execute(session, what, actor=actor, target=consent.id, data={})
        return done

    with pytest.raises(ErrorNotReportedError):
        act(commands.void_consent, boss)
    act(commands.report_consent_error, boss)
    with pytest.raises(SamePersonError):
        act(commands.void_consent, boss)
    with pytest.raises(NotPermittedError):
        act(commands.void_consent, world.manager)
    with pytest.raises(NotPermittedError):
        act(commands.void_consent, a_supervisor(session, world.community.id))
    assert act(commands.void_consent, other_boss).status(world.now) == Status.VOID
    with pytest.raises(ConsentEndedError):
        act(commands.void_consent, other_boss)


# --- nobody changes it ------------------------------------------------------------------------------------------------

CHANGES = {
    "kind": "'part2'",
    "to_org_id": "from_org_id",
    "to_role": "'navigator'",
    "categories": "'[\"health\"]'",
    "purposes": "'[\"service\"]'",
    "expires_on": "'2099-01-01'",
    "no_later_than": "NULL",
    "signed_on": "'2020-01-01'",
    "effective_at": "'2020-01-01'",
    "time_zone": "'UTC'",
    "told_rights": "NOT told_rights",
    "document_hash": "'0'",
    "name_as_on_form": "description",
    "document": "description",
    "signature": "NULL",
    "participant_id": "id",
}


@pytest.mark.parametrize("column", sorted(CHANGES))
def test_no_column_of_a_signed_consent_changes_even_in_raw_sql(any_world: World, column: str) -> None:
    give(any_world)
    connection = any_world.session.connection()
    with pytest.raises(DBAPIError, match="never changed"):
        connection.execute(text(f"UPDATE consent SET {column} = {CHANGES[column]}"))  # noqa: S608  # columns of our own


def test_how_it_ended_is_said_once_even_in_raw_sql(any_world: World) -> None:
    consent = give(any_world)
    withdrawn(any_world.session, any_world.manager, consent.id)
    for statement in (
        "UPDATE consent SET withdrawn_at = NULL",
        "UPDATE consent SET withdrawn_how = 'written'",
        "DELETE FROM consent",
        "DELETE FROM declined_consent",
    ):
        if "declined" in statement:
            give(any_world, back="no")
        with pytest.raises(DBAPIError, match=r"never changed|insert-only"):
            any_world.session.connection().execute(text(statement))
        any_world.session.rollback()


def test_a_consent_that_ended_stays_ended_even_in_raw_sql(any_world: World) -> None:
    consent = give(any_world)
    assert consent.stops_at == consent.ends_at
    ended = withdrawn(any_world.session, any_world.manager, consent.id)
    assert ended.stops_at == ended.withdrawn_at
    for said in ("NULL", "'2199-01-01 00:00:00.000000+00:00'"):
        with pytest.raises(DBAPIError, match="stays ended"):
            any_world.session.connection().execute(
                text(f"UPDATE consent SET stops_at = {said} WHERE withdrawn_at IS NOT NULL")  # noqa: S608  # two literals
            )
        any_world.session.rollback()


def test_evidence_stays_as_it_was_taken_in_even_in_raw_sql(any_world: World) -> None:
    upload(any_world, PDF)
    for statement in (
        "UPDATE evidence SET sha256 = '0'",
        "UPDATE evidence_part SET number = 2",
        "DELETE FROM evidence_part",
        "DELETE FROM evidence",
    ):
        with pytest.raises(DBAPIError, match=r"never changed|insert-only"):
            any_world.session.connection().execute(text(statement))
        any_world.session.rollback()


def test_a_cell_may_be_sealed_again_under_another_key_only(any_world: World) -> None:
    give(any_world)
    session = any_world.session
    stored = session.scalars(select(Consent)).one().__dict__["_document"]
    under_another = stored[:2] + bytes(4) + stored[6:]
    turned = stored[:-1] + bytes([stored[-1] ^ 1])
    session.rollback()
    with pytest.raises(DBAPIError, match="never changed"):
        session.connection().execute(text("UPDATE consent SET document = :cell"), {"cell": turned})
    session.rollback()
    assert (
        session.connection().execute(text("UPDATE consent SET document = :cell"), {"cell": under_another}).rowcount == 1
    )
    session.rollback()


def test_no_word_of_a_consent_stands_readable_in_the_database(any_world: World) -> None:
    world = any_world
    give(
        world,
        name_as_on_form="Canary Name",
        signature="Canary Name",
        place="Canary place",
        interpreter="Canary interpreter",
        to_person="Canary recipient",
    )
    upload(world, PDF + b"canary")
    connection = world.session.connection()
    for table in ("consent", "evidence", "evidence_part", "audit_event"):
        for row in connection.execute(text(f"SELECT * FROM {table}")):  # noqa: S608  # tables of our own
            told = " ".join(
                bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else str(value)
                for value in row
            )
            assert "canary" not in told.lower(), table
    world.session.rollback()


def test_care_team_members_of_the_discloser_read_what_was_signed(world: World) -> None:
    officer = an_officer(world.session, world.agency.id)
    with_colleague(world.session, world.manager, world.person, officer.me, "supervising_officer")
    consent = give(world)
    assert world.looked(queries.consent, officer, consent.id).name_as_on_form == "Rosa Núñez"
    assert world.looked(queries.consent, world.navigator, consent.id).name_as_on_form == "Rosa Núñez"
    without_identity = a_consent(
        world.session, world.manager, world.person.id, world.community.id, categories=["needs"]
    )
    assert isinstance(without_identity.id, UUID)
    withdrawn(world.session, world.manager, consent.id)
    assert world.looked(queries.consent, world.navigator, without_identity.id).document is NOT_SHARED
    assert world.looked(queries.consent, world.navigator, without_identity.id).categories == ["needs"]
    assert an_agency(world.session, "Coast County Probation").id != world.agency.id
