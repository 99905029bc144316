"""A small world around one referral: an agency, two community organizations, their people, what was agreed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import selectinload, with_expression

from referrals.account.models import RoleGrant, User
from referrals.consent.models import Consent
from referrals.kernel.actor import Actor, Role, Side, system
from referrals.kernel.command import Command, Work, execute
from referrals.kernel.crypto import ring_of
from referrals.kernel.orm import Identified, gathered, uuid7
from referrals.kernel.record import clock, commit, start_writing
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from referrals.partnership.models import Agreement
from referrals.person.models import Assignment, Person
from referrals.program.models import IntakeMember, Program
from referrals.referral import commands as c
from referrals.referral.models import ErrorReport, LoopAnswer, Referral

ZONE = "America/Los_Angeles"
LONG_AGO = datetime(2026, 1, 5, 17, tzinfo=UTC)
SHARED = ("identity", "contact", "release", "needs")
RETURNED = ("attendance", "needs")


@contextmanager
def planting(session: HouseSession) -> Iterator[Work]:
    """Write a test's ground rows at once, as one act of the service that leaves no event."""
    start_writing(session)
    work = Work(session, system("cli"), "test.planted", clock(session))
    session.info["work"] = work
    yield work
    work.flushing = True
    session.flush()
    session.info.pop("work")
    commit(session)
    session.expunge_all()


@dataclass
class World:
    """Ids and people of the world, and the acts most tests need."""

    session: HouseSession
    agency_id: UUID
    cbo_id: UUID
    other_cbo_id: UUID
    program_id: UUID
    person_id: UUID
    people: Mapping[str, Actor]
    agreement_id: UUID
    consent_id: UUID
    return_consent_id: UUID
    extra: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Actor:
        """Give a person by their role in the story: `world.navigator`."""
        try:
            return self.people[name]
        except KeyError:
            raise AttributeError(name) from None

    def act(self, what: Command[Any, Any], actor: Actor, target: UUID, **words: Any) -> Any:
        """Run one command."""
        return execute(self.session, what, actor=actor, target=target, data=words)

    def draft(self, *, actor: Actor | None = None, program_id: UUID | None = None, **content: Any) -> UUID:
        """Draft a referral that can be sent; `content` replaces or (with None) leaves out fields."""
        actor = actor or self.case_manager
        words = {"program_id": str(program_id or self.program_id)}
        made = execute(self.session, c.draft_referral, actor=actor, target=self.person_id, data=words)
        filled = {name: value for name, value in (FULL | content).items() if value is not None}
        execute(self.session, c.save_draft, actor=actor, target=made.id, data=filled, expect=1)
        return made.id

    def sent(self, **content: Any) -> UUID:
        """Draft and send a referral."""
        referral_id = self.draft(**content)
        self.act(c.send_referral, self.case_manager, referral_id)
        return referral_id

    def accepted(self) -> UUID:
        """A referral that the navigator accepted for herself."""
        referral_id = self.sent()
        self.accept(referral_id)
        return referral_id

    def accept(self, referral_id: UUID) -> Referral:
        """Accept as the navigator, for herself."""
        words = {"caseworker_id": str(self.navigator.me), "first_contact_on": tomorrow()}
        accepted: Referral = self.act(c.accept_referral, self.navigator, referral_id, **words)
        return accepted

    def started(self) -> UUID:
        """A referral in progress."""
        referral_id = self.accepted()
        self.act(c.start_referral, self.navigator, referral_id, started_on="2026-01-06", how="in_person")
        return referral_id

    def row(self, referral_id: UUID) -> Referral:
        """Return the row as it stands in the database."""
        self.session.rollback()
        self.session.expunge_all()
        codes = gathered(LoopAnswer.answer, LoopAnswer.referral_id == Referral.id)
        loaded = (
            *(selectinload(Referral.steps), selectinload(Referral.loop_answers)),
            with_expression(Referral.loop_codes, codes),
            with_expression(Referral.error_reporters, gathered(ErrorReport.by, ErrorReport.referral_id == Referral.id)),
        )
        return self.session.scalars(select(Referral).where(Referral.id == referral_id).options(*loaded)).one()

    def withdraw_consent(self, consent_id: UUID | None = None) -> None:
        """Let the participant take a consent back now: this one, or all from agency to community organization."""
        with planting(self.session) as work:
            given = select(Consent).where(Consent.from_org_id == self.agency_id)
            if consent_id is not None:
                given = select(Consent).where(Consent.id == consent_id)
            for consent in self.session.scalars(given):
                if not consent.has_ended(work.now):
                    consent.withdraw(at=work.now, by=self.case_manager.me, how="told_staff")

    def consent_again(self, **terms: Any) -> UUID:
        """Let the participant consent anew, from agency to community organization."""
        with planting(self.session):
            consent = a_consent(self.person_id, self.agency_id, self.cbo_id, self.case_manager.me, **terms)
            self.session.add(consent)
        return consent.id

    def end_agreement(self) -> None:
        """Let the agency end the agreement now."""
        with planting(self.session) as work:
            agreement = self.session.get_one(Agreement, self.agreement_id)
            agreement.end(self.agency_id, at=work.now, by=self.case_manager.me, because="A test ends it.")


FULL: dict[str, Any] = {
    "asked_by": "participant",
    "agreed_on": "2026-01-05",
    "agreed_how": "in_person",
    "service": "housing",
    "urgency": "soon",
    "reason_text": "Needs a bed from the first night on.",
    "goals": ["A place of my own", "See my daughter every week"],
    "strengths": "Finished the carpentry course.",
    "accommodations": ["none"],
    "language": "es",
    "unavailable": "Tuesdays, kitchen duty",
    "first_contact": "By letter first, through the case manager.",
    "contact_name": "Lee Okafor",
    "contact_phone": "510-555-0100",
    "contact_hours": "Weekdays 8 to 4",
    "backup_name": "Sam Reyes",
    "backup_phone": "510-555-0101",
    "backup_hours": "Weekdays 8 to 4",
}


def tomorrow() -> str:
    """A day that has not begun anywhere in the United States."""
    return (datetime.now(UTC) + timedelta(days=1)).date().isoformat()


def a_consent(
    person_id: UUID,
    from_org: UUID,
    to_org: UUID,
    taken_by: UUID,
    *,
    categories: Iterable[str] = SHARED,
    purposes: Iterable[str] = ("referral",),
    **terms: Any,
) -> Consent:
    """A signed consent with all nine elements."""
    return Consent(
        **{
            "participant_id": person_id,
            "sitting_id": uuid7(),
            "kind": "general",
            "from_org_id": from_org,
            "to_org_id": to_org,
            "categories": list(categories),
            "purposes": list(purposes),
            "name_as_on_form": "Maria Núñez",
            "description": "What the referral says.",
            "document": "I agree.",
            "document_hash": "0" * 64,
            "told_rights": True,
            "expires_on": date(2199, 12, 1),
            "no_later_than": date(2199, 12, 1),
            "signed_by": "participant",
            "method": "e_signature",
            "signature": "Maria Núñez",
            "signed_on": date(2026, 1, 5),
            "signed_at": LONG_AGO,
            "effective_at": LONG_AGO,
            "language": "en",
            "wording_version": "2026-1",
            "time_zone": ZONE,
            "taken_by": taken_by,
            "taken_org_id": from_org,
            "version": 1,
        }
        | terms
    )


def a_user(organization: Organization, name: str, *roles: Role) -> tuple[list[Identified], Actor]:
    """A user with roles, and the actor they are once signed in."""
    user = User(
        organization_id=organization.id,
        sign_in_name=name.lower().replace(" ", "."),
        display_name=name,
        password_hash="$argon2id$none",
        added_at=LONG_AGO,
    )
    grants = [RoleGrant(user_id=user.id, role=role.value, granted_at=LONG_AGO) for role in roles]
    actor = Actor(
        "user",
        user_id=user.id,
        organization_id=organization.id,
        side=Side(organization.side),
        roles=frozenset(roles),
        sign_in_id=uuid7(),
    )
    return [user, *grants], actor


def a_world(session: HouseSession, *, part2: str = "no", **program: Any) -> World:
    """Plant the world: nothing is sent yet, everything that sending needs is there."""
    said = {"added_at": LONG_AGO, "time_zone": ZONE}
    agency = Organization(name="Valley State Prison", side="agency", part2_program="no", **said)
    cbo = Organization(name="Second Start", side="community", part2_program=part2, **said)
    other = Organization(name="Harbor House", side="community", part2_program="no", **said)
    people: dict[str, Actor] = {}
    rows: list[Identified] = [agency, cbo, other]
    for key, where, name, roles in (
        ("case_manager", agency, "Lee Okafor", [Role.CASE_MANAGER]),
        ("other_case_manager", agency, "Sam Reyes", [Role.CASE_MANAGER]),
        ("agency_supervisor", agency, "Pat Quinn", [Role.SUPERVISOR]),
        ("agency_administrator", agency, "Kim Adler", [Role.ADMINISTRATOR]),
        ("navigator", cbo, "Ana Díaz", [Role.NAVIGATOR]),
        ("other_navigator", cbo, "Bo Ramsey", [Role.NAVIGATOR]),
        ("outside_intake", cbo, "Chris Vega", [Role.NAVIGATOR]),
        ("cbo_supervisor", cbo, "Dee Holt", [Role.SUPERVISOR]),
        ("stranger", other, "Eli Moss", [Role.NAVIGATOR]),
    ):
        made, people[key] = a_user(where, name, *roles)
        rows += made
    offer = Program(
        organization_id=cbo.id,
        name="Bridge Housing",
        added_at=LONG_AGO,
        **{
            "categories": ["housing", "mentoring"],
            "capacity_code": "capacity",
            "open_places": 3,
            "capacity_at": LONG_AGO,
        }
        | program,
    )
    agreement = Agreement(
        first_id=agency.id,
        second_id=cbo.id,
        proposed_at=LONG_AGO,
        proposed_by=people["agency_supervisor"].me,
        proposed_by_org=agency.id,
        starts_on=date(2026, 1, 1),
        ends_on=date(2199, 12, 31),
        time_zone=ZONE,
        begins_at=LONG_AGO - timedelta(days=4),
        expires_at=datetime(2199, 12, 31, tzinfo=UTC),
        categories=[*SHARED, "attendance", "supervision"],
        purposes=["referral"],
        first_signed_at=LONG_AGO,
        first_signed_by=people["agency_supervisor"].me,
        second_signed_at=LONG_AGO,
        second_signed_by=people["cbo_supervisor"].me,
        version=1,
    )
    person = Person(
        log_ref=uuid4(),
        organization_id=agency.id,
        given_name="Maria",
        family_name="Núñez",
        birth_date=date(1990, 5, 1),
        language="es",
        agency_number="V48213",
        added_at=LONG_AGO,
        added_by=people["case_manager"].me,
        version=1,
    )
    there = a_consent(person.id, agency.id, cbo.id, people["case_manager"].me)
    back = a_consent(person.id, cbo.id, agency.id, people["case_manager"].me, categories=RETURNED)
    rows += [offer, agreement]
    rows += [
        IntakeMember(program_id=offer.id, user_id=people[key].me, added_at=LONG_AGO)
        for key in ("navigator", "other_navigator")
    ]
    helps = Assignment(
        participant_id=person.id,
        organization_id=agency.id,
        user_id=people["case_manager"].me,
        tie="case_manager",
        reason="new_to_agency",
        from_at=LONG_AGO,
        from_by=people["case_manager"].me,
    )
    with planting(session):
        ring_of(session).birth(session, "participant", person.id)
        session.add_all([*rows, person, helps, there, back])
    return World(
        session=session,
        agency_id=agency.id,
        cbo_id=cbo.id,
        other_cbo_id=other.id,
        program_id=offer.id,
        person_id=person.id,
        people=people,
        agreement_id=agreement.id,
        consent_id=there.id,
        return_consent_id=back.id,
    )


def on_session(world: World, session: HouseSession) -> World:
    """The same world over another session."""
    return replace(world, session=session)
