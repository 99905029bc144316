"""A large, made-up department and its partners, on record as if people had entered it by hand.

Organizations, accounts, programs and agreements are made by the commands themselves. Participants, consents and
referrals, which are many, are made by the same model methods and the same one flush with its events, but many rows to
an act. Words, dates and states follow from the seed alone; ids, keys and nonces are random, as everywhere.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID, uuid4

from sqlalchemy import Engine
from sqlalchemy.orm.attributes import set_committed_value

from referrals.account import commands as accounts
from referrals.account import queries as account_queries
from referrals.app import gates
from referrals.consent.models import Consent
from referrals.consent.queries import WORDING, Terms, compose
from referrals.factor import commands as factors
from referrals.handoff.models import ClosingReport, GoalOutcome, GoalResult
from referrals.kernel import command as acts
from referrals.kernel.actor import Actor, Role, Side, Source, system
from referrals.kernel.command import Command, Work, execute
from referrals.kernel.keys import PARTICIPANT, KeyRing
from referrals.kernel.orm import uuid7
from referrals.kernel.record import BasisNote, start_writing
from referrals.kernel.session import HouseSession
from referrals.organization import commands as organizations
from referrals.organization.queries import installation
from referrals.partnership import commands as partnerships
from referrals.person.models import Assignment, Person
from referrals.program import commands as programs
from referrals.referral.models import (
    TERMINAL,
    VERBS,
    Facts,
    LoopAnswer,
    Message,
    Referral,
    ReferralStep,
    State,
    new_reference,
)
from referrals.release.models import ReleaseDate
from referrals.sign_in import queries as sign_in_queries
from referrals.staff import commands as staff

#: Raised when what the seeding writes changes, so that an older database is not taken for a new one.
EDITION: Final = 4
#: Of every account that signs in; the people are made up.
PASSWORD: Final = "nine lanterns over the harbor"  # noqa: S105  # of made-up people
ZONE: Final = "America/Los_Angeles"

CASELOAD: Final = 60
PROGRAMS_EACH: Final = 4
NAVIGATORS_EACH: Final = 4
#: Case managers who share one pair of partners.
CASE_MANAGERS_A_PARTNER: Final = 4
#: What each program says of its room.
ROOM: Final = {"capacity_code": "capacity", "open_places": 6, "expected_days": 14}
#: How long before now the first entry was made.
PAST: Final = timedelta(days=150)

SHARED: Final = ("identity", "contact", "release", "needs")
RETURNED: Final = ("attendance", "needs")
AGREED: Final = ("identity", "contact", "release", "supervision", "needs", "attendance")
PURPOSES: Final = ("referral", "pre_release", "service")

GIVEN: Final = (
    *("Aaron", "Abel", "Adriana", "Ahmed", "Alan", "Alicia", "Amara", "Ana", "Andre", "Angela"),
    *("Anthony", "Ariel", "Arturo", "Asha", "Beatriz", "Ben", "Bianca", "Bo", "Brenda", "Brian"),
    *("Camila", "Carlos", "Carmen", "Cedric", "Chen", "Claire", "Connor", "Curtis", "Daniel", "Darius"),
    *("Deborah", "Denise", "Diego", "Dwayne", "Edgar", "Elena", "Elias", "Emma", "Eric", "Esther"),
    *("Fatima", "Felix", "Fernando", "Gabriel", "Gloria", "Grace", "Hakim", "Hannah", "Hector", "Hugo"),
    *("Imani", "Ines", "Isaac", "Ivan", "Jamal", "Janet", "Javier", "Jesse", "Joana", "Jorge"),
    *("Jose", "Juan", "Julia", "Kai", "Karim", "Keisha", "Kevin", "Lamar", "Lena", "Leon"),
    *("Linh", "Lorena", "Lucas", "Luz", "Malik", "Marcus", "Maria", "Mario", "Maya", "Miguel"),
    *("Mina", "Nadia", "Naomi", "Nate", "Nina", "Noel", "Nora", "Omar", "Oscar", "Pablo"),
    *("Paula", "Pedro", "Quinn", "Rafael", "Ramon", "Rosa", "Ruth", "Sam", "Sandra", "Saul"),
    *("Sergio", "Simone", "Sofia", "Tariq", "Terrence", "Tessa", "Thomas", "Tomas", "Tyrone", "Uma"),
    *("Valeria", "Victor", "Walter", "Wanda", "Xavier", "Yara", "Yusuf", "Zoe"),
)
FAMILY: Final = (
    *("Abbott", "Acosta", "Adams", "Aguilar", "Ahmadi", "Alvarez", "Amari", "Anaya", "Archer", "Arroyo"),
    *("Avila", "Bailey", "Baker", "Banks", "Barajas", "Barrera", "Bauer", "Bell", "Beltran", "Bennett"),
    *("Bishop", "Blake", "Boone", "Bravo", "Brooks", "Bui", "Burke", "Cabrera", "Calderon", "Campos"),
    *("Cardenas", "Carter", "Castillo", "Chan", "Chavez", "Cisneros", "Clarke", "Coleman", "Contreras", "Cooper"),
    *("Cortez", "Cruz", "Dang", "Davila", "Delgado", "Diaz", "Dinh", "Dixon", "Dominguez", "Dorsey"),
    *("Duarte", "Duncan", "Edwards", "Ellis", "Escobar", "Espinoza", "Estrada", "Farah", "Farouk", "Fields"),
    *("Figueroa", "Fletcher", "Flores", "Foster", "Franco", "Fuentes", "Galindo", "Gallegos", "Garcia", "Garza"),
    *("Gibson", "Gomez", "Gonzalez", "Graham", "Grant", "Griffin", "Guerra", "Gutierrez", "Guzman", "Haddad"),
    *("Hall", "Hansen", "Harper", "Hassan", "Hayes", "Henderson", "Hernandez", "Herrera", "Hoang", "Howard"),
    *("Huang", "Hughes", "Ibarra", "Ibrahim", "Jackson", "Jensen", "Jimenez", "Johnson", "Jordan", "Juarez"),
    *("Kaplan", "Keller", "Khan", "Kim", "Klein", "Lambert", "Lara", "Le", "Leon", "Lewis"),
    *("Li", "Lin", "Lopez", "Lozano", "Lucero", "Luna", "Macias", "Maldonado", "Marquez", "Marsh"),
    *("Martinez", "Mason", "Medina", "Mejia", "Mendez", "Mendoza", "Meyer", "Mills", "Miranda", "Molina"),
    *("Montes", "Morales", "Moreno", "Morgan", "Munoz", "Murray", "Naidu", "Navarro", "Nelson", "Newman"),
    *("Nguyen", "Nolan", "Norris", "Nunez", "Obrien", "Ochoa", "Olsen", "Ortega", "Ortiz", "Osman"),
    *("Owens", "Padilla", "Palmer", "Park", "Parker", "Patel", "Pena", "Perez", "Pham", "Pierce"),
    *("Pineda", "Ponce", "Porter", "Quintero", "Ramirez", "Ramos", "Reed", "Reyes", "Rios", "Rivas"),
    *("Rivera", "Robles", "Rojas", "Romero", "Rosales", "Ruiz", "Saito", "Salas", "Salazar", "Salinas"),
    *("Sanchez", "Sandoval", "Santos", "Serrano", "Shah", "Shaw", "Silva", "Simmons", "Solis", "Soto"),
    *("Stone", "Suarez", "Tanaka", "Tapia", "Torres", "Tran", "Trejo", "Trujillo", "Valdez", "Valencia"),
    *("Vargas", "Vasquez", "Vega", "Velasco", "Vo", "Wagner", "Walsh", "Watson", "Webb", "White"),
    *("Wong", "Woods", "Wu", "Yang", "Young", "Zamora", "Zapata", "Zavala", "Zhang", "Zuniga"),
)
REASONS: Final = (
    "Wants a stable place and a plan for the first weeks, arranged before release, close to the bus line to work.",
    "Asks for help to find work in construction; has a forklift certificate that expired during the sentence.",
    "Needs identity papers, a bank account and somebody to go along to the first appointments.",
    "Would like to live with an aunt and needs help to make the room ready and to agree on house rules with her.",
    "Looks for a group that meets in the evening; work begins early and the way is long.",
)
GOALS: Final = (
    "A room of my own near my sister",
    "Get my ID before I go",
    "See my children every week",
    "A steady job by summer",
    "Finish my high school diploma",
    "Stay well and keep my appointments",
)
WORDS: Final = (
    "Thank you, we will call the facility tomorrow morning to set up a first visit.",
    "He asked whether a visit on a Saturday would be possible; work keeps him on weekdays.",
    "The room is ready from the first of the month. Please bring the intake papers along.",
    "She moved to another unit; visits are held in the east wing from now on.",
)
#: Where referrals stand, in parts of a hundred.
STANDS: Final = (
    (State.DRAFT, 3),
    (State.SENT, 10),
    (State.ACKNOWLEDGED, 8),
    (State.INFO_REQUESTED, 3),
    (State.ACCEPTED, 10),
    (State.IN_PROGRESS, 24),
    (State.DECLINED, 8),
    (State.CANCELLED, 4),
    (State.COMPLETED, 30),
)
#: Which verbs lead there after sending, each as (verb, by the recipient).
_WAY: Final[Mapping[State, Sequence[tuple[str, bool]]]] = {
    State.SENT: (),
    State.ACKNOWLEDGED: (("acknowledge_referral", True),),
    State.INFO_REQUESTED: (("ask_question", True),),
    State.ACCEPTED: (("acknowledge_referral", True), ("accept_referral", True)),
    State.IN_PROGRESS: (("acknowledge_referral", True), ("accept_referral", True), ("start_referral", True)),
    State.DECLINED: (("decline_referral", True),),
    State.CANCELLED: (("cancel_referral", False),),
    State.COMPLETED: (
        ("acknowledge_referral", True),
        ("accept_referral", True),
        ("start_referral", True),
        ("complete_referral", True),
    ),
}
_REASON: Final = {
    "ask_question": "availability",
    "decline_referral": "no_capacity",
    "cancel_referral": "duplicate",
    "complete_referral": "goals_met",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is made. The same plan makes the same content."""

    participants: int
    referrals: int
    seed: int = 1
    caseload: int = CASELOAD

    @property
    def case_managers(self) -> int:
        """How many share the participants."""
        return math.ceil(self.participants / self.caseload)

    @property
    def partners(self) -> int:
        """How many community organizations take part; each case manager works with two of them."""
        return max(2, math.ceil(self.case_managers / CASE_MANAGERS_A_PARTNER))

    def fault(self) -> str | None:
        """Say why it cannot be made, or return None."""
        if self.participants < 1:
            return "There must be at least one participant."
        if not 0 <= self.referrals <= self.participants * PROGRAMS_EACH:
            return f"There can be at most {PROGRAMS_EACH} referrals to a participant."
        return None


@dataclass(slots=True)
class Seeded:
    """What the measurements need to know: who signs in, and whom they work with."""

    plan: Plan
    made_on: str = ""
    case_managers: list[str] = field(default_factory=list)
    supervisor: str = ""
    navigators: list[str] = field(default_factory=list)
    #: Account names to their users.
    users: dict[str, str] = field(default_factory=dict)
    #: By case manager: participants with name and number, in the order of their adding.
    caseloads: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    #: By case manager, and by navigator: sent referrals they may read.
    referrals: dict[str, list[str]] = field(default_factory=dict)
    #: By case manager, and by navigator: referrals being worked on that both sides have written about, and about whom.
    told: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    #: By case manager: participant, program and a navigator of it, where a referral may still be sent.
    free: dict[str, list[tuple[str, str, str, str]]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Keep it beside the database."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Seeded:
        """Read it back."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        return cls(**kept | {"plan": Plan(**kept["plan"])})


class Ticking:
    """The clock of the seeding: it rises from half a year ago, and never beyond the instant at which it was made."""

    def __init__(self, ago: timedelta) -> None:
        """Start so long ago."""
        self.ends = datetime.now(UTC)
        self.now = self.ends - ago

    def __call__(self) -> datetime:
        """Return the present instant."""
        return self.now

    def on(self, step: timedelta) -> None:
        """Let time pass."""
        self.now = min(self.now + step, self.ends)


@dataclass(frozen=True, slots=True)
class Known:
    """An organization, apart from any session."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A program, apart from any session, and the first name on its intake list."""

    id: UUID
    service: str
    answers: tuple[str, Actor]


@dataclass(frozen=True, slots=True)
class Partner:
    """A community organization with its programs, its navigators and its agreement."""

    organization: Known
    agreement: tuple[UUID, int]
    programs: Sequence[Offer]
    navigators: Sequence[tuple[str, Actor]]


class Seeding:
    """Makes one plan in one empty, migrated database."""

    def __init__(
        self, engine: Engine, ring: KeyRing, plan: Plan, *, signing: int = 8, done: Callable[[int], None] | None = None
    ) -> None:
        """Prepare; `signing` case managers and as many navigators get passwords, `done` is told of rows of the plan."""
        self.engine, self.ring, self.plan = engine, ring, plan
        self.done = done or (lambda _count: None)
        self.signing = signing
        self.random = random.Random(plan.seed)
        self.clock = Ticking(PAST)
        self.pace = PAST / (plan.case_managers + 1) / 3
        self.seeded = Seeded(plan, made_on=datetime.now(UTC).date().isoformat())
        self.agency: Known | None = None
        self.partners: list[Partner] = []
        self.managers: list[tuple[str, Actor]] = []
        self.facilities: list[UUID] = []

    def run(self) -> Seeded:
        """Make everything."""
        accounts.use_fast_hashing()
        with self._session() as session:
            self._ground(session)
        rows = iter(range(1, self.plan.participants + 1))
        for number, (name, manager) in enumerate(self.managers):
            numbers = list(itertools.islice(rows, self.plan.caseload))
            with self._session() as session:
                Caseload(self, session, name, manager, number).make(numbers)
            self.clock.on(self.pace)
        self.seeded.counts = {"participants": self.plan.participants, "referrals": self.plan.referrals}
        return self.seeded

    def _session(self) -> HouseSession:
        info = {"ring": self.ring, "gates": gates(), "clock": self.clock}
        return HouseSession(self.engine, info=info)

    # --- by the commands themselves ---

    def _ground(self, session: HouseSession) -> None:
        operator = system("cli")

        def act(what: Command[Any, Any], target: UUID, by: Actor, **words: Any) -> Any:
            return execute(session, what, actor=by, target=target, data=words)

        one = installation(session).id
        session.rollback()
        agency = act(
            organizations.install,
            one,
            operator,
            name="Sierra Vista Department of Corrections",
            time_zone=ZONE,
            demo=True,
        )
        self.agency = agency = Known(agency.id, agency.name)
        _, head = self._person(session, agency, "head", "Kim Adler", Role.ADMINISTRATOR)
        for number in range(max(1, self.plan.participants // 1000)):
            made = act(
                organizations.add_facility,
                agency.id,
                head,
                name=f"North Ridge {number + 1}",
                kind="prison",
                capacity=1200,
            )
            self.facilities.append(made.id)
        self.seeded.supervisor, supervisor = self._person(
            session, agency, "super", "Erin Walsh", Role.SUPERVISOR, signs=True
        )
        for number in range(self.plan.case_managers):
            signs = number < self.signing
            full_name = self._name()
            self.managers.append(
                self._person(session, agency, f"cm{number}", full_name, Role.CASE_MANAGER, signs=signs)
            )
            if signs:
                self.seeded.case_managers.append(f"cm{number}")
        for number in range(self.plan.partners):
            self.partners.append(self._partner(session, number, supervisor))

    def _person(
        self, session: HouseSession, home: Known, name: str, full_name: str, role: Role, *, signs: bool = False
    ) -> tuple[str, Actor]:
        words = {"sign_in_name": name, "display_name": full_name, "roles": [role.value]}
        user = execute(session, staff.add_user, actor=system("cli"), target=home.id, data=words)
        self.seeded.users[name] = str(user.id)
        source = Source("page")
        if signs:
            began = factors.first_sign_in(session, name, cast("str", user.shown_code), PASSWORD, source)
            known = account_queries.user(session, user.id)
            session.rollback()
            return name, sign_in_queries.actor_for(known, began, source)
        side = Side.AGENCY if home is self.agency else Side.COMMUNITY
        return name, Actor("user", user.id, home.id, side, frozenset({role}), source=source)

    def _partner(self, session: HouseSession, number: int, supervisor: Actor) -> Partner:
        agency = cast("Known", self.agency)
        made = execute(
            session,
            organizations.add_organization,
            actor=system("cli"),
            target=installation(session).id,
            data={"name": f"{FAMILY[number % len(FAMILY)]} House {number + 1}", "side": "community", "time_zone": ZONE},
        )
        words = {"part2_program": "no", "because": "Offers no treatment."}
        community = Known(made.id, made.name)
        execute(session, organizations.set_part2_program, actor=system("cli"), target=made.id, data=words)
        _, head = self._person(session, community, f"lead{number}", self._name(), Role.SUPERVISOR)
        near = number < math.ceil(self.signing / CASE_MANAGERS_A_PARTNER) + 1
        navigators = []
        for seat in range(NAVIGATORS_EACH):
            name = f"nav{number}-{seat}"
            navigators.append(self._person(session, community, name, self._name(), Role.NAVIGATOR, signs=near))
            if near:
                self.seeded.navigators.append(name)
        offered = []
        for seat, service in enumerate(("housing", "employment", "mentoring", "id_documents")):
            program = execute(
                session,
                programs.add_program,
                actor=head,
                target=community.id,
                data={
                    "name": f"{community.name}: {service.replace('_', ' ')}",
                    "description": "Starts with a visit before release, and stays for the first six months.",
                    "categories": [service, "case_management"],
                    "eligibility": "Adults within a year of release",
                    "languages": ["en", "es"],
                    "places": ["Oakland", "Alameda County"],
                    "phone": "+1 510 555 0141",
                },
            )
            for one in (seat, seat + 1):
                user_id = str(navigators[one % NAVIGATORS_EACH][1].me)
                execute(session, programs.add_to_intake, actor=head, target=program.id, data={"user_id": user_id})
            execute(session, programs.set_capacity, actor=head, target=program.id, data=ROOM, expect=1)
            offered.append(Offer(program.id, service, navigators[seat]))
        today = self.clock().date()
        agreement = execute(
            session,
            partnerships.propose_agreement,
            actor=supervisor,
            target=agency.id,
            data={
                "partner_id": str(community.id),
                "starts_on": today.isoformat(),
                "ends_on": (today + timedelta(days=900)).isoformat(),
                "categories": list(AGREED),
                "purposes": list(PURPOSES),
            },
        )
        for signer in (supervisor, head):
            agreement = execute(
                session,
                partnerships.sign_agreement,
                actor=signer,
                target=agreement.id,
                data={"terms": agreement.terms},
            )
        self.clock.on(timedelta(minutes=1))
        return Partner(community, (agreement.id, agreement.revision), offered, navigators)

    def _name(self) -> str:
        return f"{self.random.choice(GIVEN)} {self.random.choice(FAMILY)}"


@dataclass(slots=True)
class _Case:
    """One referral in the making."""

    person: Person
    partner: Partner
    program: Offer
    stands: State
    referral: Referral
    ties: list[Assignment] = field(default_factory=list)


class Caseload:
    """One case manager's participants with all that happened to them, in a session of its own."""

    def __init__(self, seeding: Seeding, session: HouseSession, name: str, manager: Actor, number: int) -> None:
        """Choose the two organizations that this case manager works with."""
        self.seeding, self.session, self.name, self.manager = seeding, session, name, manager
        self.random = random.Random(f"{seeding.plan.seed}:{number}")
        partners = seeding.partners
        first = number // CASE_MANAGERS_A_PARTNER % len(partners)
        self.partners = (partners[first], partners[(first + 1) % len(partners)])
        self.agency = cast("Known", seeding.agency)
        self.clock = seeding.clock
        self.kept: dict[tuple[UUID, UUID], tuple[Consent, Consent]] = {}

    def make(self, numbers: Sequence[int]) -> None:
        """Add these participants by number, and their part of the referrals."""
        plan = self.seeding.plan
        people = self._people(numbers)
        self._releases(people)
        wanted: list[tuple[Person, Partner, Offer]] = []
        free: list[tuple[str, str, str, str]] = []
        for number, person in zip(numbers, people, strict=True):
            share = plan.referrals * number // plan.participants - plan.referrals * (number - 1) // plan.participants
            near, far = self.partners if self.random.random() < 0.5 else self.partners[::-1]  # noqa: PLR2004  # half
            offers = [(near, one) for one in self.random.sample(list(near.programs), PROGRAMS_EACH)]
            if share > 1 and self.random.random() < 0.5:  # noqa: PLR2004  # half
                offers[1] = (far, self.random.choice(list(far.programs)))
            wanted += [(person, *offer) for offer in offers[:share]]
            taken = {program.id for _, program in offers[:share]}
            free += [
                (str(person.id), str(program.id), program.answers[0], program.service)
                for program in near.programs
                if program.id not in taken and share
            ]
        self._consents(wanted)
        self.seeding.done(len(people))
        cases = self._drafts(wanted)
        sent = [case for case in cases if case.stands is not State.DRAFT]
        self._send(sent)
        for verb in (
            *("acknowledge_referral", "ask_question", "accept_referral", "start_referral", "decline_referral"),
            *("complete_referral", "cancel_referral"),
        ):
            for (_, by_recipient), group in self._turns(sent, verb):
                self._take(verb, group, by_recipient=by_recipient)
        spoken = self._messages(sent)
        self._close_loops([case for case in sent if case.stands in TERMINAL])
        self.seeding.done(len(cases))
        if self.name in self.seeding.seeded.case_managers:
            self._tell(people, sent, free)
            for case in spoken:
                if case.stands is State.IN_PROGRESS:
                    for name in (self.name, case.program.answers[0]):
                        told = (str(case.referral.id), str(case.person.id))
                        self.seeding.seeded.told.setdefault(name, []).append(told)

    @contextmanager
    def _work(
        self, actor: Actor, action: str, purpose: str, *, to: UUID | None = None, basis: BasisNote | None = None
    ) -> Iterator[Work]:
        """Do one act as `execute()` does: write-lock, the rows, one flush held against the record, events, commit."""
        self.clock.on(self.seeding.pace / 40)
        start_writing(self.session)
        work = Work(self.session, actor, action, self.clock(), purpose, basis, to)
        self.session.info["work"] = work
        try:
            yield work
            if work.declared:
                acts._finish(self.session, work)  # noqa: SLF001  # the very path, for many rows
        finally:
            self.session.info.pop("work", None)

    def _people(self, numbers: Sequence[int]) -> list[Person]:
        people = []
        with self._work(self.manager, "person.added", "administration") as work:
            for number in numbers:
                family = self.random.choice(FAMILY)
                if self.random.random() < 0.25:  # noqa: PLR2004  # a quarter have two family names
                    family = f"{family}-{self.random.choice(FAMILY)}"
                given = self.random.choice(GIVEN)
                person = Person(
                    log_ref=uuid4(),
                    organization_id=self.agency.id,
                    facility_id=self.random.choice(self.seeding.facilities),
                    given_name=given,
                    family_name=family,
                    preferred_name=self.random.choice(GIVEN) if self.random.random() < 0.2 else None,  # noqa: PLR2004
                    birth_date=date(1955, 1, 1) + timedelta(days=self.random.randrange(18_000)),
                    language=self.random.choice(("en", "en", "en", "es", "vi")),
                    agency_number=f"SV-{number:06d}",
                    phone="+1 209 555 0100",
                    address="14 Example Street, Oakland, CA 94607",
                    added_at=work.now,
                    added_by=self.manager.me,
                    version=1,
                )
                self.seeding.ring.birth(self.session, PARTICIPANT, person.id)
                work.add(person)
                self._assign(work, person, self.agency.id, "case_manager", "new_to_agency", user_id=self.manager.me)
                people.append(person)
        return people

    def _assign(
        self, work: Work, person: Person, organization_id: UUID, tie: str, reason: str, **holder: UUID | None
    ) -> Assignment:
        row = Assignment(
            participant_id=person.id,
            organization_id=organization_id,
            tie=tie,
            reason=reason,
            from_at=work.now,
            from_by=work.actor.me,
            **holder,
        )
        work.add(row)
        return row

    def _releases(self, people: Iterable[Person]) -> None:
        today = datetime.now(UTC).date()
        with self._work(self.manager, "release.date_recorded", "administration") as work:
            for person in people:
                work.add(
                    ReleaseDate(
                        participant_id=person.id,
                        organization_id=self.agency.id,
                        expected_on=today + timedelta(days=self.random.randrange(-20, 400)),
                        facility_id=person.facility_id,
                        source="agency_record",
                        said_by="Records office",
                        as_of=work.now.date(),
                        recorded_at=work.now,
                        recorded_by=self.manager.me,
                    )
                )

    def _consents(self, wanted: Iterable[tuple[Person, Partner, Offer]]) -> None:
        pairs = {(person.id, partner.organization.id): (person, partner) for person, partner, _ in wanted}
        with self._work(self.manager, "consent.given", "administration") as work:
            for key, (person, partner) in pairs.items():
                there, back = self.agency, partner.organization
                sitting = uuid7()
                self.kept[key] = (
                    self._consent(work, person, there, back, SHARED, sitting, None),
                    self._consent(work, person, back, there, RETURNED, sitting, "case_manager"),
                )

    def _consent(  # noqa: PLR0917  # about whom, from, to, what, in which sitting, for which role
        self,
        work: Work,
        person: Person,
        here: Known,
        there: Known,
        categories: Sequence[str],
        sitting: UUID,
        to_role: str | None,
    ) -> Consent:
        name = f"{person.given_name} {person.family_name}"
        signed_on = work.now.date()
        ends = signed_on + timedelta(days=360)
        document = compose(
            Terms(
                name=name,
                from_org=here.name,
                to_org=there.name,
                categories=categories,
                purposes=PURPOSES[:2],
                to_role=to_role,
                expires_on=ends,
                no_later_than=ends,
            ),
            "en",
        )
        consent = Consent(
            participant_id=person.id,
            sitting_id=sitting,
            kind="general",
            from_org_id=here.id,
            to_org_id=there.id,
            to_role=to_role,
            categories=list(categories),
            purposes=list(PURPOSES[:2]),
            name_as_on_form=name,
            description=document.description,
            document=document.text,
            document_hash=document.hash,
            told_rights=True,
            expires_on=ends,
            no_later_than=ends,
            signed_by="participant",
            method="e_signature",
            signature=name,
            signed_on=signed_on,
            signed_at=work.now,
            effective_at=work.now,
            language="en",
            wording_version=WORDING,
            time_zone=ZONE,
            place="North Ridge",
            taken_by=self.manager.me,
            taken_org_id=self.agency.id,
            version=1,
        )
        work.add(consent)
        return consent

    def _drafts(self, wanted: Sequence[tuple[Person, Partner, Offer]]) -> list[_Case]:
        states = [state for state, _ in STANDS]
        weights = [weight for _, weight in STANDS]
        cases = []
        with self._work(self.manager, "referral.drafted", "referral") as work:
            for person, partner, program in wanted:
                referral = Referral(
                    reference=new_reference(),
                    participant_id=person.id,
                    source_id=self.agency.id,
                    recipient_id=partner.organization.id,
                    program_id=program.id,
                    drafted_at=work.now,
                    drafted_by=self.manager.me,
                    step_count=0,
                    version=1,
                    **content(self.random, program.service, work.now.date()),
                )
                set_committed_value(referral, "steps", [])
                work.add(referral)
                stands = self.random.choices(states, weights)[0]
                cases.append(_Case(person, partner, program, stands, referral))
        return cases

    def _send(self, cases: Sequence[_Case]) -> None:
        for partner in self.partners:
            basis: BasisNote = ("agreement", *partner.agreement)
            to = partner.organization.id
            with self._work(self.manager, "referral.sent", "referral", to=to, basis=basis) as work:
                for case in cases:
                    if case.partner is not partner:
                        continue
                    there, back = self.kept[case.person.id, to]
                    case.referral.consent_ids = sorted((str(there.id), str(back.id)))
                    case.referral.capacity_shown = {
                        "code": ROOM["capacity_code"],
                        "open_places": ROOM["open_places"],
                        "waiting": None,
                        "expected_days": ROOM["expected_days"],
                        "as_of": None,
                        "stale": False,
                    }
                    work.record(case.referral, ["consent_ids", "capacity_shown"])
                    case.ties.append(
                        self._assign(
                            work,
                            case.person,
                            to,
                            "intake",
                            "referral_sent",
                            program_id=case.program.id,
                            referral_id=case.referral.id,
                        )
                    )
                    self._step(work, case, "send_referral", self.agency.id)

    def _step(self, work: Work, case: _Case, verb: str, organization_id: UUID, **said: Any) -> None:
        set_committed_value(case.referral, "loop_codes", frozenset())  # a flush forgets it; nobody has answered yet
        steps: list[ReferralStep] = case.referral.take(
            VERBS[verb],
            Facts(),
            at=work.now,
            by=work.actor.me,
            organization_id=organization_id,
            reason=_REASON.get(verb),
            **said,
        )
        for step in steps:
            work.add(step)
        work.record(case.referral, ["step_count", "open_for", "sent_at", "done_at", "next_move"])

    def _turns(self, cases: Sequence[_Case], verb: str) -> Iterator[tuple[tuple[UUID, bool], list[_Case]]]:
        """Group the cases whose way leads over a verb by program: one person answers for each."""
        groups: dict[tuple[UUID, bool], list[_Case]] = {}
        for case in cases:
            for name, by_recipient in _WAY[case.stands]:
                if name == verb:
                    groups.setdefault((case.program.id, by_recipient), []).append(case)
        yield from groups.items()

    def _take(self, verb: str, group: Sequence[_Case], *, by_recipient: bool) -> None:
        partner = group[0].partner
        actor = group[0].program.answers[1] if by_recipient else self.manager
        there = self.agency.id if by_recipient else partner.organization.id
        if verb == "complete_referral":
            with self._work(actor, "handoff.report_written", "referral", to=there) as work:
                for case in group:
                    self._report(work, case)
        with self._work(actor, VERBS[verb].record, "referral", to=there) as work:
            for case in group:
                said: dict[str, Any] = {}
                if verb == "ask_question":
                    said["because"] = "Is there a day in the week on which a visit would not be possible?"
                elif verb == "accept_referral":
                    said["details"] = {
                        "caseworker_id": str(actor.me),
                        "first_contact_on": (work.now.date() + timedelta(days=3)).isoformat(),
                    }
                    case.ties.append(
                        self._assign(
                            work,
                            case.person,
                            partner.organization.id,
                            "navigator",
                            "referral_accepted",
                            user_id=actor.me,
                            referral_id=case.referral.id,
                        )
                    )
                elif verb == "start_referral":
                    said["details"] = {"started_on": work.now.date().isoformat(), "how": "in_person"}
                self._step(work, case, verb, actor.organization, **said)
                if case.stands in TERMINAL and State.ACCEPTED not in case.referral.was_ever:
                    self._let_go(work, case)

    def _let_go(self, work: Work, case: _Case) -> None:
        for tie in case.ties:
            if tie.is_in_force and case.referral.recorded in TERMINAL:
                work.record(tie, tie.end(at=work.now, by=work.actor.me, because="referral_ended"))

    def _report(self, work: Work, case: _Case) -> None:
        owner = {"participant_id": case.person.id, "organization_id": work.actor.organization}
        report = ClosingReport(
            referral_id=case.referral.id,
            helps_next="Keep the room through the winter, and a call every other week.",
            persons_view="It helped that the same person came before and after.",
            at=work.now,
            by=work.actor.me,
            **owner,
        )
        work.add(report)
        for number in range(1, case.referral.goal_count + 1):
            work.add(
                GoalOutcome(
                    report_id=report.id,
                    number=number,
                    result=self.random.choice(list(GoalResult)).value,
                    comment="Went as hoped.",
                    **owner,
                )
            )

    def _messages(self, cases: Sequence[_Case]) -> list[_Case]:
        """Let a third of the referrals have a message of each side, and return them."""
        spoken = [case for case in cases if State.ACCEPTED in case.referral.was_ever and self.random.random() < 0.3]  # noqa: PLR2004
        for partner in self.partners:
            near = [case for case in spoken if case.partner is partner]
            sides = (
                (self.manager, partner.organization.id, "needs"),
                (partner.navigators[0][1], self.agency.id, "attendance"),
            )
            for actor, to, category in sides:
                with self._work(actor, "referral.message_posted", "referral", to=to) as work:
                    for case in near:
                        work.add(
                            Message(
                                referral_id=case.referral.id,
                                participant_id=case.person.id,
                                organization_id=actor.organization,
                                audience="both",
                                category=category,
                                words=self.random.choice(WORDS),
                                at=work.now,
                                by=actor.me,
                            )
                        )
        return spoken

    def _close_loops(self, ended: Sequence[_Case]) -> None:
        """Let most of the other sides acknowledge how it ended."""
        owed = [case for case in ended if case.referral.loop_owed_by == "source" and self.random.random() < 0.8]  # noqa: PLR2004
        with self._work(self.manager, "referral.loop_closed", "referral") as work:
            for case in owed:
                set_committed_value(case.referral, "loop_codes", frozenset())
                answer: LoopAnswer = case.referral.answer_loop(
                    "agreed", at=work.now, by=self.manager.me, organization_id=self.agency.id, words=None
                )
                work.add(answer)
                work.record(case.referral, ["done_at", "next_move"])
                self._let_go(work, case)

    def _tell(self, people: Sequence[Person], sent: Sequence[_Case], free: Sequence[tuple[str, str, str, str]]) -> None:
        seeded = self.seeding.seeded
        seeded.caseloads[self.name] = [
            {
                "id": str(one.id),
                "given_name": one.given_name,
                "family_name": one.family_name,
                "number": one.agency_number,
            }
            for one in people
        ]
        seeded.referrals[self.name] = [str(case.referral.id) for case in sent]
        seeded.free[self.name] = list(free)
        for case in sent:
            if case.stands in {State.ACCEPTED, State.IN_PROGRESS, State.SENT, State.ACKNOWLEDGED}:
                seeded.referrals.setdefault(case.program.answers[0], []).append(str(case.referral.id))


def content(words: random.Random, service: str, today: date) -> dict[str, Any]:
    """Return all that goes with a referral, of ordinary length; dates as dates."""
    return {
        "asked_by": "participant",
        "agreed_on": today,
        "agreed_how": "in_person",
        "service": service,
        "urgency": words.choice(("routine", "soon")),
        "reason_text": " ".join(words.sample(REASONS, 2)),
        "goals": words.sample(GOALS, words.randrange(1, 4)),
        "strengths": "Finished the carpentry course and keeps every appointment.",
        "accommodations": ["none"],
        "language": "en",
        "unavailable": "Tuesdays, kitchen duty",
        "first_contact": "A visit at the facility with the case manager's help, then by phone.",
        "contact_name": "Lee Okafor",
        "contact_phone": "+1 209 555 0101",
        "contact_hours": "Weekdays 8 to 4",
        "backup_name": "Erin Walsh",
        "backup_phone": "+1 209 555 0102",
        "backup_hours": "Weekdays 8 to 4",
    }
