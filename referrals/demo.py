"""The demonstration: two sides, a few made-up people, referrals on their way. Development only (S-906).

Everything is made by the commands that people use, so it is as complete and as recorded as the real thing. All names
are invented.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.orm import Session

from referrals.account import queries as account_queries
from referrals.consent.commands import give_consent
from referrals.factor import commands as factors
from referrals.integration import commands as integrations
from referrals.kernel.actor import Actor, Role, Side, Source, system
from referrals.kernel.command import Command, execute
from referrals.kernel.record import clock, day_of
from referrals.organization import commands as organizations
from referrals.organization.queries import installation
from referrals.partnership import commands as partnerships
from referrals.person.commands import add_participant, assign_to_care_team
from referrals.program import commands as programs
from referrals.referral import commands as referrals
from referrals.release.commands import record_release_date
from referrals.sign_in import queries as sign_in_queries
from referrals.staff import commands as staff
from referrals.view import commands as views

#: For every demonstration account; production refuses a database that holds them.
PASSWORD: Final = "through the gate together"  # noqa: S105  # public on purpose, like the people
ZONE: Final = "America/Los_Angeles"


@dataclass(frozen=True, slots=True)
class Account:
    """A made-up person who can sign in."""

    name: str
    full_name: str
    role: Role
    side: Side
    says: str
    #: Which of the community organizations is theirs.
    nth: int = 0


ACCOUNTS: Final = (
    Account("maria", "Maria Delgado", Role.CASE_MANAGER, Side.AGENCY, "case manager, North Ridge facility"),
    Account("ortiz", "Sam Ortiz", Role.SUPERVISING_OFFICER, Side.AGENCY, "supervising officer"),
    Account("walsh", "Erin Walsh", Role.SUPERVISOR, Side.AGENCY, "supervisor, agency side"),
    Account("lee", "Jordan Lee", Role.ADMINISTRATOR, Side.AGENCY, "administrator, agency side"),
    Account("noor", "Noor Haddad", Role.AUDITOR, Side.AGENCY, "auditor, agency side"),
    Account("dana", "Dana Brooks", Role.NAVIGATOR, Side.COMMUNITY, "navigator, Harbor Bridge"),
    Account("rosa", "Rosa Kim", Role.SUPERVISOR, Side.COMMUNITY, "supervisor, Harbor Bridge"),
    Account("kai", "Kai Thompson", Role.ADMINISTRATOR, Side.COMMUNITY, "administrator, Harbor Bridge"),
    Account("ines", "Inés Ferrer", Role.AUDITOR, Side.COMMUNITY, "auditor, Harbor Bridge"),
    Account("bea", "Bea Lindqvist", Role.NAVIGATOR, Side.COMMUNITY, "navigator, Open Door (referred onward)", 1),
)
#: Who else it takes to run the second community organization; they sign in alike, but are not shown at the start.
COLLEAGUES: Final = (
    Account("omar", "Omar Bakri", Role.SUPERVISOR, Side.COMMUNITY, "supervisor, Open Door", 1),
    Account("yuki", "Yuki Mori", Role.ADMINISTRATOR, Side.COMMUNITY, "administrator, Open Door", 1),
)

PEOPLE: Final = (
    ("Darnell", "Whitfield", "Dee", "1988-04-12", "NR-20411", 42, "21 Example Avenue, Oakland, CA 94601"),
    ("José", "Núñez-Ortega", None, "1991-11-30", "NR-20877", 61, "8 Example Road, Oakland, CA 94603"),
    ("Marcus", "O'Brien", None, "1979-02-03", "NR-19004", 88, "3 Example Lane, Stockton, CA 95202"),
    ("Linh", "Tran", "Lily", "1995-07-21", "NR-21530", 17, None),
    ("Ahmed", "Farouk", None, "1984-09-09", "NR-20119", 120, None),
)

#: What the two who refer somebody write of their own: neither takes over the other's words.
AT_FACILITY: Final[Mapping[str, Any]] = {
    "reason_text": "Wants a stable place and a plan for the first weeks, arranged before release.",
    "goals": ["A room of my own near my sister", "Get my ID before I go"],
    "first_contact": "A visit at the facility with Maria's help, then by phone.",
    "contact_name": "Maria Delgado",
    "contact_phone": "+1 209 555 0101",
    "contact_hours": "Weekdays 8 to 4",
    "backup_name": "Erin Walsh",
    "backup_phone": "+1 209 555 0102",
    "backup_hours": "Weekdays 8 to 4",
}
AT_HARBOR: Final[Mapping[str, Any]] = {
    "reason_text": "Good with his hands, and looks for a course that ends with a certificate.",
    "goals": ["A trade that pays the rent"],
    "first_contact": "By phone, with Dana in the room the first time.",
    "contact_name": "Dana Brooks",
    "contact_phone": "+1 510 555 0142",
    "contact_hours": "Weekdays 9 to 5",
    "backup_name": "Rosa Kim",
    "backup_phone": "+1 510 555 0143",
    "backup_hours": "Weekdays 9 to 5",
}


def seed(session: Session) -> bool:
    """Make the demonstration once; return whether it was made now."""
    if account_queries.by_name(session, ACCOUNTS[0].name) is not None:
        session.rollback()
        return False
    Seeding(session).all()
    return True


def code(session: Session, name: str) -> str:
    """Return a second-factor code that works now for a demonstration account; after two in 30 seconds, wait for one."""
    wait = sign_in_queries.demo_code_ready_in(session, name, clock(session))
    session.rollback()
    time.sleep(wait)
    return sign_in_queries.demo_code(session, name, clock(session))


def first_administrator(
    session: Session, operator: Actor, *, agency: str, time_zone: str, display_name: str, sign_in_name: str
) -> str:
    """Take a new installation into use, and return the one-time code of its first administrator."""
    one = installation(session).id
    words = {"name": agency, "time_zone": time_zone, "demo": False}
    made = execute(session, organizations.install, actor=operator, target=one, data=words)
    person = {"sign_in_name": sign_in_name, "display_name": display_name, "roles": [Role.ADMINISTRATOR.value]}
    user = execute(session, staff.add_user, actor=operator, target=made.id, data=person)
    return user.shown_code or ""


class Seeding:
    """Makes the demonstration step by step, each person acting for themselves."""

    def __init__(self, session: Session) -> None:
        """Start as the operator."""
        self.session = session
        self.operator = system("cli")
        # By the demonstration's own clocks: in UTC it is tomorrow already while California's evening lasts.
        self.today = day_of(clock(session), ZONE)
        self.actors: dict[str, Actor] = {}

    def act(self, what: Command[Any, Any], target: UUID, by: Actor | str, /, **words: Any) -> Any:
        """Run one command as somebody; dates and ids are given as JSON gives them."""
        actor = self.actors[by] if isinstance(by, str) else by
        data: Mapping[str, Any] = {name: _plain(value) for name, value in words.items()}
        expect = words.pop("expect", None)
        data = {name: value for name, value in data.items() if name != "expect"}
        return execute(self.session, what, actor=actor, target=target, data=data, expect=expect)

    def all(self) -> None:
        """Organizations, accounts, program, agreement, people, one referral with its consent."""
        one = installation(self.session).id
        agency = self.act(
            organizations.install,
            one,
            self.operator,
            name="Sierra Vista Department of Corrections",
            time_zone=ZONE,
            city="Sierra Vista",
            phone="+1 209 555 0100",
            demo=True,
        )
        harbor = self.act(
            organizations.add_organization,
            one,
            self.operator,
            name="Harbor Bridge Reentry",
            side="community",
            time_zone=ZONE,
            city="Oakland",
            phone="+1 510 555 0140",
            description="Housing, work and company for people coming home.",
        )
        door = self.act(
            organizations.add_organization,
            one,
            self.operator,
            name="Open Door Learning",
            side="community",
            time_zone=ZONE,
            city="Berkeley",
            phone="+1 510 555 0170",
            description="Evening courses and trades for people who start again.",
        )
        self._accounts(agency.id, (harbor.id, door.id))
        facility = self.act(
            organizations.add_facility,
            agency.id,
            "lee",
            name="North Ridge Correctional Facility",
            kind="prison",
            city="North Ridge",
            capacity=1200,
            time_zone=ZONE,
        )
        self.act(organizations.add_room, facility.id, "lee", name="Visiting room 2", seats=4)
        location = self.act(
            organizations.add_location,
            harbor.id,
            "kai",
            name="Harbor Bridge house",
            address="14 Example Street",
            city="Oakland",
            access="Step-free entrance; interpreter by phone.",
        )
        self.act(
            organizations.set_part2_program,
            harbor.id,
            "kai",
            part2_program="no",
            because="Harbor Bridge offers no substance use treatment.",
        )
        self.act(
            integrations.make_token,
            harbor.id,
            "kai",
            called="Harbor Bridge case system",
            role=Role.NAVIGATOR.value,
            scopes=["programs:write", "referrals:read"],
            ends_on=(self.today + timedelta(days=180)).isoformat(),
        )
        home, work = self._programs(harbor.id, location.id)
        self._agreement(agency.id, harbor.id)
        people = self._people(agency.id, harbor.id, facility.id, home, work)
        self._onward(people[2], agency.id, harbor.id, door.id, home)
        self._views()

    def _views(self) -> None:
        """One view of somebody's own, and one for their team."""
        said: tuple[tuple[str, str, str, bool], ...] = (
            ("maria", "Leaving this month", "leaving=30&sort=release", False),
            ("walsh", "Leaving in 90 days", "leaving=90&sort=release", True),
        )
        for who, name, query, team in said:
            words = {"listing": "participants", "query": query, "name": name, "team": team}
            self.act(views.save_view, self.actors[who].me, who, **words)

    def _accounts(self, agency_id: UUID, community_ids: Sequence[UUID]) -> None:
        for person in (*ACCOUNTS, *COLLEAGUES):
            home = agency_id if person.side is Side.AGENCY else community_ids[person.nth]
            user = self.act(
                staff.add_user,
                home,
                self.operator,
                sign_in_name=person.name,
                display_name=person.full_name,
                email=f"{person.name}@example.org",
                roles=[person.role.value],
            )
            source = Source("cli")
            sign_in = factors.first_sign_in(self.session, person.name, user.shown_code, PASSWORD, source)
            known = account_queries.user(self.session, user.id)
            self.actors[person.name] = sign_in_queries.actor_for(known, sign_in, source)
        self.act(staff.propose_role, self.actors["ortiz"].me, "lee", role=Role.SUPERVISOR.value)

    def _programs(self, harbor_id: UUID, location_id: UUID) -> tuple[Any, Any]:
        made = []
        for name, services, says, places, number in (
            ("Homeward: supported housing", ["housing", "case_management"], "Adults leaving custody", 6, 14),
            ("Day One: work and papers", ["employment", "id_documents"], "Adults within a year of release", 0, 30),
        ):
            program = self.act(
                programs.add_program,
                harbor_id,
                "rosa",
                name=name,
                description="Starts with a visit before release, and stays for the first six months.",
                categories=services,
                eligibility=says,
                evidence="Pre-release contact by the same person is linked to fewer returns to custody.",
                evidence_source="Field practice",
                languages=["en", "es"],
                places=["Oakland", "Alameda County"],
                phone="+1 510 555 0141",
                location_id=location_id,
            )
            self.act(programs.add_to_intake, program.id, "rosa", user_id=self.actors["dana"].me)
            kind = {"capacity_code": "capacity", "open_places": places} if places else {"capacity_code": "waitlist"}
            waiting = {} if places else {"waiting": 3}
            self.act(programs.set_capacity, program.id, "dana", expect=1, expected_days=number, **kind, **waiting)
            made.append(program)
        return made[0], made[1]

    def _agreement(self, agency_id: UUID, harbor_id: UUID) -> None:
        agreement = self.act(
            partnerships.propose_agreement,
            agency_id,
            "walsh",
            partner_id=harbor_id,
            starts_on=self.today,
            ends_on=self.today + timedelta(days=730),
            categories=["identity", "contact", "release", "needs", "attendance", "supervision"],
            purposes=["referral", "pre_release", "service"],
        )
        for name in ("walsh", "rosa"):
            self.act(partnerships.sign_agreement, agreement.id, name, terms=agreement.terms)
        self.act(
            partnerships.add_rule,
            agreement.id,
            "walsh",
            kind="facility_rule",
            wording="No phones past the gate. Bring a government ID.",
        )
        self.act(
            partnerships.add_rule,
            agreement.id,
            "rosa",
            kind="non_negotiable",
            wording="What a person tells us in confidence stays with us.",
        )

    def _people(self, agency_id: UUID, harbor_id: UUID, facility_id: UUID, home: Any, work: Any) -> list[Any]:
        added = []
        for given, family, preferred, born, number, days, address in PEOPLE:
            person = self.act(
                add_participant,
                agency_id,
                "maria",
                given_name=given,
                family_name=family,
                preferred_name=preferred,
                birth_date=born,
                language="es" if given == "José" else "en",
                agency_number=number,
                facility_id=facility_id,
                address=address,
            )
            self.act(
                record_release_date,
                person.id,
                "maria",
                expected_on=self.today + timedelta(days=days),
                facility_id=facility_id,
                source="agency_record",
                as_of=self.today,
            )
            added.append(person)
        for person, program in ((added[0], home), (added[1], work)):
            self._consent(person, agency_id, harbor_id)
            draft = self.act(referrals.draft_referral, person.id, "maria", program_id=program.id)
            self._send(draft, "maria", program.categories[0], AT_FACILITY)
        self._somebody_left(agency_id, [one.id for one in added[2:4]])
        return added

    def _send(self, draft: Any, who: str, service: str, words: Mapping[str, Any]) -> None:
        """Write a draft and send it."""
        said = {
            "asked_by": "participant",
            "agreed_on": self.today,
            "agreed_how": "in_person",
            "service": service,
            "urgency": "routine",
            "accommodations": ["none"],
            "language": "en",
        }
        self.act(referrals.save_draft, draft.id, who, expect=draft.version, **said, **words)
        self.act(referrals.send_referral, draft.id, who)

    def _onward(self, person: Any, agency_id: UUID, harbor_id: UUID, door_id: UUID, home: Any) -> None:
        """A participant whom one community organization took on, and brings in another one for (R23)."""
        no_treatment = "Open Door teaches; it treats nobody."
        self.act(organizations.set_part2_program, door_id, "yuki", part2_program="no", because=no_treatment)
        evening = self.act(
            programs.add_program,
            door_id,
            "omar",
            name="Evening trades: carpentry and wiring",
            description="Two evenings a week in a workshop, with a certificate after four months.",
            categories=["education", "employment"],
            eligibility="Adults who live near Berkeley or Oakland",
            languages=["en", "es"],
            places=["Oakland", "Alameda County"],
            phone="+1 510 555 0171",
        )
        self.act(programs.add_to_intake, evening.id, "omar", user_id=self.actors["bea"].me)
        places = {"capacity_code": "capacity", "open_places": 4, "expected_days": 10}
        self.act(programs.set_capacity, evening.id, "bea", expect=1, **places)
        agreement = self.act(
            partnerships.propose_agreement,
            harbor_id,
            "rosa",
            partner_id=door_id,
            starts_on=self.today,
            ends_on=self.today + timedelta(days=365),
            categories=["identity", "contact", "release", "needs", "attendance"],
            purposes=["referral", "pre_release", "service"],
        )
        for name in ("rosa", "omar"):
            self.act(partnerships.sign_agreement, agreement.id, name, terms=agreement.terms)

        # Whom Harbor Bridge brings in comes back to the agency, too.
        self._consent(person, agency_id, harbor_id, back=("identity", "attendance", "needs"))
        first = self.act(referrals.draft_referral, person.id, "maria", program_id=home.id)
        self._send(first, "maria", home.categories[0], AT_FACILITY)
        soon = {"caseworker_id": self.actors["dana"].me, "first_contact_on": self.today + timedelta(days=1)}
        self.act(referrals.accept_referral, first.id, "dana", **soon)
        self.act(referrals.start_referral, first.id, "dana", started_on=self.today, how="in_person")
        self._consent(person, harbor_id, door_id, by="dana", place="Oakland")
        onward = self.act(referrals.refer_onward, first.id, "dana", program_id=evening.id)
        self._send(onward, "dana", "employment", AT_HARBOR)
        meets = {"caseworker_id": self.actors["bea"].me, "first_contact_on": self.today + timedelta(days=2)}
        self.act(referrals.accept_referral, onward.id, "bea", **meets)

    def _somebody_left(self, agency_id: UUID, helped: Iterable[UUID]) -> None:
        """A colleague whose account is disabled, and whose places on care teams somebody should take over."""
        words = {"sign_in_name": "tomas", "display_name": "Tomás Reyes", "roles": [Role.CASE_MANAGER.value]}
        left = self.act(staff.add_user, agency_id, self.operator, **words).id
        for person_id in helped:
            place = {"user_id": left, "tie": "case_manager", "reason": "covering"}
            self.act(assign_to_care_team, person_id, "maria", **place)
        self.act(staff.disable_user, left, "lee", because="Moved to another department.")

    def _consent(
        self,
        person: Any,
        from_id: UUID,
        to_id: UUID,
        *,
        by: str = "maria",
        place: str = "North Ridge",
        back: Sequence[str] = ("attendance", "needs"),
    ) -> None:
        self.act(
            give_consent,
            person.id,
            by,
            from_org_id=from_id,
            to_org_id=to_id,
            categories=["identity", "contact", "release", "needs"],
            purposes=["referral", "pre_release"],
            name_as_on_form=f"{person.given_name} {person.family_name}",
            told_rights=True,
            expires_on=self.today + timedelta(days=180),
            method="e_signature",
            signature=f"{person.given_name} {person.family_name}",
            signed_on=self.today,
            language="en",
            place=place,
            back="yes",
            back_categories=list(back),
            back_to_role=next(one.role.value for one in ACCOUNTS if one.name == by),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | bool | list | None) else str(value)
