"""Lists of referrals by whose move it is: their pages, what is open from both ends, drafts, and what a team holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Integer,
    Row,
    Select,
    Uuid,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased
from sqlalchemy.sql import operators

from referrals.account import queries as accounts
from referrals.consent.models import Consent
from referrals.kernel.actor import Actor, AnyActor, Role, Side, anybody_like, asked_by
from referrals.kernel.errors import InvalidInputError, NotPermittedError
from referrals.kernel.job import seen_until
from referrals.kernel.look import declare_look, instant, note, refuse
from referrals.kernel.orm import Instant, unindexed, written
from referrals.organization.models import Organization
from referrals.partnership import queries as partnerships
from referrals.partnership.models import Agreement
from referrals.person import queries as persons
from referrals.person.models import Assignment, DeathRecord
from referrals.person.policy import WORKING, supervises
from referrals.program.models import Program
from referrals.referral import queries as referrals
from referrals.referral.models import Deadlines, ErrorReport, Move, Party, Referral, State

COUNTED: Final = declare_look("referral.counted", "how many referrals stand in one list")
#: A count of what waits goes no further than one beyond this; that of a whole list, one beyond the other.
COUNTED_AT_MOST: Final = 100
LISTED_AT_MOST: Final = 1000
_AT_MOST: Final = bindparam("at_most", type_=Integer())


class Group(StrEnum):
    """The three lists of a side."""

    US = "us"
    THEM = "them"
    CLOSED = "closed"


class Sort(StrEnum):
    """How a list is ordered, if not as it is by itself: what waits oldest first, what is closed newest first."""

    DUE = "due"
    SENT = "sent"
    LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader looks for in a list; None where anything will do.

    What is withheld from the reader never fits, so that no filter tells it.
    """

    status: str | None = None
    urgency: str | None = None
    program_id: UUID | None = None
    participant_id: UUID | None = None
    #: Only what this colleague of one's own looks after.
    colleague_id: UUID | None = None
    #: Only what somebody should have said something about by now.
    overdue: bool = False

    @property
    def words(self) -> dict[str, Any]:
        """What a statement is handed."""
        named = ("status", "urgency", "program_id", "participant_id", "colleague_id")
        return {name: value for name in named if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a page of a list ended: at which row, and in a list by deadlines at which of them."""

    id: UUID
    due_by: datetime | None = None

    def __str__(self) -> str:
        """Write it as it stands in an address."""
        return str(self.id) if self.due_by is None else f"{self.due_by:{_MINUTE}}~{self.id}"

    @classmethod
    def read(cls, written_so: str) -> Mark:
        """Read it from an address.

        Raises:
            InvalidInputError: it is none of ours.
        """
        due, _, row = written_so.rpartition("~")
        try:
            return cls(UUID(row), datetime.strptime(due, _MINUTE).replace(tzinfo=UTC) if due else None)
        except ValueError:
            raise InvalidInputError({"after": ["not_an_id"]}) from None


#: Deadlines end at a whole minute.
_MINUTE: Final = "%Y%m%dT%H%M"


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a list, where the next one begins, how many there are, and the programs to choose from.

    The count goes no further than one beyond `LISTED_AT_MOST`.
    """

    cards: list[referrals.Card]
    following: Mark | None
    count: int
    programs: list[tuple[UUID, str]]


# --- one page of one list ---------------------------------------------------------------------------------------------


def listed(  # noqa: PLR0917  # the words of one address, each with its name
    session: Session,
    actor: Actor,
    group: Group,
    wanted: Wanted = Wanted(),
    sort: Sort | None = None,
    after: Mark | None = None,
    *,
    limit: int = 25,
) -> Listing:
    """Return a page of one list. Open loops that the actor's side owes wait on it, too."""
    anybody = anybody_like(actor)
    if anybody is None:
        return Listing([], None, 0, [])
    at = instant(session)
    asked = asked_by(actor) | referrals.moment(at) | wanted.words | {"at_most": limit + 1}
    kind = _Kind(anybody, group, frozenset(wanted.words))
    if wanted.overdue or (sort is Sort.DUE and group is not Group.CLOSED):
        found = _by_deadline(session, kind, asked, after, overdue=wanted.overdue)
    else:
        found = _in_order(session, kind, asked, sort, after)
    titles, choices = _titles_and_choices(session, actor, [line[0] for line in found.lines], at)
    cards = referrals.cards_of(session, actor, found.lines, at, running=found.running, titles=titles)
    if found.count > len(cards):  # what is listed is on record by itself
        note(session, actor, records=COUNTED, purpose=referrals.PURPOSE, count=found.count)
    return Listing(cards, found.following, found.count, choices)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Which statement a list is: whose, which of the three, and by what it is narrowed."""

    anybody: AnyActor
    group: Group
    narrowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Found:
    """The lines of a page, where the next begins, how many fit, and the clocks of its rows where they are known."""

    lines: Sequence[Row[*tuple[Any, ...]]]
    following: Mark | None
    count: int
    running: Mapping[UUID, Deadlines] | None = None


def _in_order(session: Session, kind: _Kind, asked: Mapping[str, Any], sort: Sort | None, after: Mark | None) -> _Found:
    """Find a page of a list in the order of a column."""
    given = {**asked, "after": None if after is None else after.id}
    lines = session.execute(
        _page_of(kind, sort, further=after is not None), given, execution_options=referrals.AS_IT_IS
    ).all()
    most = asked["at_most"] - 1
    following = Mark(lines[most - 1][0].id) if len(lines) > most else None
    return _Found(lines[:most], following, lines[0][-1] if lines else 0)


def _by_deadline(
    session: Session, kind: _Kind, asked: Mapping[str, Any], after: Mark | None, *, overdue: bool
) -> _Found:
    """Find a page of a list by deadlines: what runs first, then what has none, oldest first.

    A deadline is computed and not stored: of all that waits for an answer, the oldest `LISTED_AT_MOST` are sorted here.
    """
    running, most = referrals.clocks_from(session.execute(_ticking_in(kind), dict(asked))), asked["at_most"]
    if overdue:
        running = {one: found for one, found in running.items() if found.is_overdue(asked["at"])}
    marks = sorted((found.due_by, one) for one, found in running.items())
    behind = after is not None and after.due_by is None
    if after is not None and after.due_by is not None:
        marks = [mark for mark in marks if mark > (after.due_by, after.id)]
    chosen = [] if behind else [Mark(one, due) for due, one in marks[:most]]
    # What has no deadline fills the page up, found by the statement that reads it.
    missing = 0 if overdue else most - len(chosen)
    if not chosen and not missing:
        return _Found([], None, 0)
    order = {mark.id: number for number, mark in enumerate(chosen)}
    given = {**asked, "these": list(order), "ticking": list(running), "at_most": missing}
    given |= {"after": after.id if after is not None else None}
    read = _chosen_of(kind, fills_up=missing > 0, further=behind)
    lines = sorted(
        session.execute(read, given, execution_options=referrals.AS_IT_IS).all(),
        key=lambda line: (order.get(line[0].id, most), line[0].sent_at, line[0].id),
    )
    following = None
    if len(lines) == most:
        last = lines[most - 2][0].id
        following = chosen[order[last]] if last in order else Mark(last)
    count = len(running) if overdue else lines[0][-1] if lines else 0
    lines = lines[: most - 1]
    if not overdue and len(running) >= LISTED_AT_MOST:  # more wait than were sorted: their clocks run, too
        running = running | referrals.clocks(session, [line[0].id for line in lines], asked["at"])
    return _Found(lines, following, count, running)


@cache
def _ticking_in(kind: _Kind) -> Select[*tuple[Any, ...]]:
    """Select what the clocks of a list are computed from, for the oldest so many whose reader is told that they run."""
    told = (referrals.is_unanswered(), not_(referrals.is_answer_withheld(kind.anybody)))
    most = literal(LISTED_AT_MOST)
    return referrals.ticking(_first_of(kind.anybody, kind.group, *_narrowed(kind), *told, by=_OLDEST, most=most))


@cache
def _chosen_of(kind: _Kind, *, fills_up: bool, further: bool) -> Select[*tuple[Any, ...]]:
    """Select `these`, and of what is not `ticking` the oldest so many, with how many there are in all."""
    chosen: ColumnElement[bool] = Referral.id.in_(bindparam("these", expanding=True))
    if fills_up:
        also = [Referral.id.not_in(bindparam("ticking", expanding=True)), *([_OLDEST.is_behind] if further else [])]
        oldest = _first_of(kind.anybody, kind.group, *_narrowed(kind), *also, by=_OLDEST, is_keyed=True).subquery()
        first = select(oldest.c.id).order_by(*(oldest.c[one.name] for one in _OLDEST.columns)).limit(_AT_MOST)
        chosen = or_(chosen, Referral.id.in_(first))
    return referrals.lines_where(chosen).add_columns(_how_many(kind))


def _narrowed(kind: _Kind) -> list[ColumnElement[bool]]:
    """Return the conditions of the filters. Each asks only of what its reader is shown: a filter tells nothing else."""
    conditions: list[ColumnElement[bool]] = []
    if "status" in kind.narrowed:
        wanted: BindParameter[str] = bindparam("status")
        # What its last step says is cheap to find out, and rules most out.
        may_be = or_(referrals.recorded_state() == wanted, Referral.id.in_(_changed_since()))
        conditions += [may_be, referrals.settled_state() == wanted, not_(referrals.is_answer_withheld(kind.anybody))]
    if "urgency" in kind.narrowed:
        conditions += [Referral.urgency == bindparam("urgency"), referrals.is_shown(kind.anybody, "needs")]
    if "program_id" in kind.narrowed:
        conditions.append(Referral.program_id == bindparam("program_id", type_=Uuid()))
    if "participant_id" in kind.narrowed:
        conditions.append(Referral.participant_id == bindparam("participant_id", type_=Uuid()))
    if "colleague_id" in kind.narrowed:
        conditions.append(_is_with(kind.anybody, bindparam("colleague_id", type_=Uuid())))
    return conditions


def _is_with(actor: AnyActor, colleague: BindParameter[UUID]) -> ColumnElement[bool]:
    """Return the condition that a colleague of the actor's looks after a referral now.

    At the source, whoever is on the participant's care team; at the recipient, whoever works on the referral. Of the
    other side's people nothing is asked.
    """
    held = Assignment.organization_id == actor.organization, Assignment.user_id == colleague, _IN_FORCE
    people, works = select(Assignment.participant_id).where(*held), select(Assignment.referral_id).where(*held)
    at_source = and_(Referral.source_id == actor.organization, Referral.participant_id.in_(people))
    return or_(at_source, and_(Referral.recipient_id == actor.organization, Referral.id.in_(works)))


@dataclass(frozen=True, slots=True)
class _By:
    """What a list is ordered by: a column, and then its rows' ids."""

    column: str
    is_down: bool = False

    @property
    def columns(self) -> tuple[InstrumentedAttribute[Any], ...]:
        return getattr(Referral, self.column), Referral.id

    @property
    def terms(self) -> tuple[ColumnElement[Any], ...]:
        return tuple(one.desc() if self.is_down else one.asc() for one in self.columns)

    @property
    def is_behind(self) -> ColumnElement[bool]:
        """The condition that a row comes behind the one named `after`."""
        after = bindparam("after", type_=Uuid())
        beyond = operators.lt if self.is_down else operators.gt
        later: ColumnElement[bool] = beyond(Referral.id, after)
        mine: InstrumentedAttribute[datetime] = getattr(Referral, self.column)
        marked = aliased(Referral)
        there = select(getattr(marked, self.column)).where(marked.id == after).scalar_subquery()
        return or_(beyond(mine, there), and_(mine == there, later))


#: As it was sent: what has waited longest comes first.
_OLDEST: Final = _By("sent_at")


def _by(group: Group, sort: Sort | None = None) -> _By:
    """Return how a list is ordered: by itself what is closed newest first, what waits oldest first."""
    if sort is Sort.SENT or sort is Sort.LATEST:
        return _By("sent_at", sort is Sort.LATEST)
    return _By("done_at", is_down=True) if group is Group.CLOSED else _OLDEST


@cache
def _page_of(kind: _Kind, sort: Sort | None, *, further: bool) -> Select[*tuple[Any, ...]]:
    """Select one page of one list, and how many there are: building it costs more than asking it.

    The first page is taken from what is counted, so that each referral is weighed once.
    """
    by = _by(kind.group, sort)
    if further:
        first = _first_of(kind.anybody, kind.group, *_narrowed(kind), by.is_behind, by=by)
        return (
            referrals.lines_where(Referral.id.in_(first))
            .order_by(*by.terms)
            .limit(_AT_MOST)
            .add_columns(_how_many(kind))
        )
    most = literal(LISTED_AT_MOST + 1)
    found = _first_of(kind.anybody, kind.group, *_narrowed(kind), by=by, most=most, is_keyed=True).cte("found")
    order = [found.c[one.name] for one in by.columns]
    first = select(found.c.id).order_by(*(one.desc() if by.is_down else one.asc() for one in order)).limit(_AT_MOST)
    some = select(found.c.id).limit(LISTED_AT_MOST + 1).subquery()
    count = select(func.count()).select_from(some).scalar_subquery()
    return referrals.lines_where(Referral.id.in_(first)).order_by(*by.terms).limit(_AT_MOST).add_columns(count)


def _how_many(kind: _Kind) -> ColumnElement[int]:
    """Return how many a list holds, counted no further than one beyond `LISTED_AT_MOST`."""
    some = _first_of(kind.anybody, kind.group, *_narrowed(kind), by=None, most=literal(LISTED_AT_MOST + 1))
    first = select(some.subquery().c.id).limit(LISTED_AT_MOST + 1).subquery()
    return select(func.count()).select_from(first).scalar_subquery()


def _first_of(
    actor: AnyActor,
    group: Group,
    *also: ColumnElement[bool],
    by: _By | None,
    most: ColumnElement[int] = _AT_MOST,
    is_keyed: bool = False,
) -> Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]:
    """Select the ids of the first of a list, at most so many; without `by`, of any of it.

    `is_keyed`: together with what they are ordered by. Each side is found for itself, so that nothing is asked of a
    referral that its side already decides, and looking goes no further than there is to show.
    """
    columns = by.columns if is_keyed and by is not None else (Referral.id,)
    firsts = [
        select(*columns)
        .where(*also, *conditions)
        .order_by(*(() if by is None else by.terms))
        .limit(most)
        .correlate(None)
        for conditions in _in_list(actor, group)
    ]
    return firsts[0] if len(firsts) == 1 else union_all(*(select(*one.subquery().c) for one in firsts))


def _titles_and_choices(
    session: Session, actor: Actor, rows: Iterable[Referral], at: datetime
) -> tuple[dict[UUID, str], list[tuple[UUID, str]]]:
    """Return the names around these rows, and the programs that a list may be narrowed to, by name: in one statement.

    Those are the side's own and its partners', whether or not a referral was ever made.
    """
    there, offered = referrals.ends_of(rows)
    asked = {"there": list(there), "offered": list(offered), "own": actor.organization, "at": at}
    rows_named = session.execute(_named_or_chosen(), asked).all()
    choices = sorted(((row.id, row.name) for row in rows_named if row.is_choice), key=lambda one: one[1].casefold())
    return {row.id: row.name for row in rows_named}, choices


@cache
def _named_or_chosen() -> CompoundSelect[UUID, str, int]:
    own = bindparam("own", type_=Uuid())
    named = select(referrals.named_so().subquery(), written(0).label("is_choice"))
    theirs = or_(Program.organization_id == own, partnerships.is_of_partner(own, referrals.AT))
    return union_all(named, select(Program.id, Program.name, written(1)).where(Program.closed_at.is_(None), theirs))


# --- which list: whose move it is -------------------------------------------------------------------------------------


def _in_list(actor: AnyActor, group: Group) -> list[list[ColumnElement[bool]]]:
    """Return the conditions that a referral stands in one of the three lists of the actor's side: any of these.

    Each stands in exactly one list, and fits one of these at most. What is done is closed; whose move the rest is, the
    last step says, together with what happened elsewhere: without sharing it is the source's, whose consent or
    agreement it needs, or whose loop (R5). What was answered and does not come back still waits on the recipient, as
    far as the source can know.

    Whoever supervises looks over all that an organization has: for them each list is cut into parts, each of which an
    index gives in its order, so that looking ends with the page.
    """
    if not actor.works_as(*WORKING):
        return [[false()]]
    at_source = _listed_at_source(actor, group)
    if actor.side is Side.AGENCY:  # programs are the community organizations' alone
        return at_source
    return [*at_source, *_listed_at_recipient(actor, group)]


def _listed_at_source(actor: AnyActor, group: Group) -> list[list[ColumnElement[bool]]]:
    """Return what a source's list holds. What it has closed itself is closed, whether or not the answer comes back."""
    is_broad = actor.works_as(Role.SUPERVISOR)
    # From one's caseload: an agency's referrals are many more.
    source_id = Referral.source_id if is_broad else unindexed(Referral.source_id)
    ours = [source_id == actor.organization, persons.may_know_of_many(actor, Referral.participant_id)]
    withheld = referrals.is_answer_withheld(actor)
    if group is Group.CLOSED:
        return [[*ours, Referral.sent_at.is_not(None), Referral.done_at.is_not(None)]]
    is_ours = whose_move() == written(Party.SOURCE)
    if not is_broad:
        waits = and_(is_ours, not_(withheld)) if group is Group.US else or_(not_(is_ours), withheld)
        return [[*ours, Referral.next_move.is_not(None), waits]]
    if group is Group.US:
        return [
            [*ours, _left_to(Move.SOURCE), not_(withheld)],
            [*ours, _not_left_to(Move.SOURCE), is_ours, not_(withheld)],
        ]
    theirs = [[*ours, _left_to(move), not_(is_ours)] for move in (Move.SHARED, Move.RECIPIENT)]
    return [*theirs, [*ours, _left_to(Move.SOURCE), withheld]]


def _listed_at_recipient(actor: AnyActor, group: Group) -> list[list[ColumnElement[bool]]]:
    """Return what a recipient's list holds: of what it had not accepted, only while sharing holds (R25)."""
    received = referrals.received(actor)
    readable = or_(referrals.accepted(), referrals.sharing_holds())
    if group is Group.CLOSED:
        return [[received, Referral.done_at.is_not(None), readable]]
    is_ours = whose_move() == written(Party.RECIPIENT)
    if not actor.works_as(Role.SUPERVISOR):
        return [[received, Referral.next_move.is_not(None), is_ours if group is Group.US else not_(is_ours), readable]]
    if group is Group.US:
        return [[received, _left_to(move), is_ours, readable] for move in (Move.SHARED, Move.RECIPIENT)]
    return [
        [received, _left_to(Move.SOURCE), readable],
        [received, _not_left_to(Move.SOURCE), not_(is_ours), readable],
    ]


def _left_to(move: Move) -> ColumnElement[bool]:
    return Referral.next_move == written(move)


def _not_left_to(move: Move) -> ColumnElement[bool]:
    """Return the condition that something may have moved on since its last step, which left it to another."""
    others = [written(one) for one in Move if one is not move]
    return and_(Referral.id.in_(_changed_since()), unindexed(Referral.next_move).in_(others))


@cache
def _changed_since() -> CompoundSelect[UUID]:
    """Select what may not stand as its last step says: what ended sharing, or a death, is not on record there yet.

    All that happened since the job that records it has seen everything, and more: whoever asks decides each by the
    conditions above. Without it a list would weigh all that is open to find the few of them.
    """
    since = func.coalesce(seen_until(referrals.SETTLES), literal(datetime.min.replace(tzinfo=UTC), Instant()))

    def passed(when: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        return and_(when > since, when <= referrals.AT)

    told = aliased(Referral)
    given = and_(
        Consent.participant_id == told.participant_id,
        Consent.from_org_id == told.source_id,
        Consent.to_org_id == told.recipient_id,
    )
    left = select(Organization.id).where(Organization.ended_at.is_not(None), passed(Organization.ended_at))
    is_over = or_(passed(Agreement.ended_at), passed(Agreement.expires_at))
    over = select(Agreement.first_id).where(is_over).union_all(select(Agreement.second_id).where(is_over), left)
    return union_all(
        select(told.id).join_from(Consent, told, given).where(passed(Consent.stops_at)),
        # An index for each of both ends; an organization whose agreement ended has others, which are weighed as well.
        *(
            select(told.id).where(end.in_(over), told.next_move == written(Move.SHARED))
            for end in (told.source_id, told.recipient_id)
        ),
        select(told.id).where(told.participant_id.in_(select(DeathRecord.participant_id))),
    )


@cache
def whose_move() -> ColumnElement[str]:
    """Return which side has the next move in what is sent and not done, as of the statement's `moment(at)`.

    What was open when the participant died is the source's: there is nothing left to do but to read how it ended.
    """
    source, recipient = written(Party.SOURCE), written(Party.RECIPIENT)
    ended = and_(Referral.open_for.is_not(None), referrals.died_at().is_not(None))
    is_left = and_(Referral.next_move == written(Move.SHARED), referrals.sharing_holds())
    return case(
        (Referral.next_move == written(Move.SOURCE), source),
        (ended, source),
        (or_(Referral.next_move == written(Move.RECIPIENT), is_left), recipient),
        else_=source,
    )


# --- what is open, drafts and errors to confirm -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is open, from both ends: the first of each list, how many there are, and one's own drafts.

    A count goes no further than one beyond `COUNTED_AT_MOST`.
    """

    us: Sequence[referrals.Card]
    us_count: int
    them: Sequence[referrals.Card]
    them_count: int
    drafts: Sequence[referrals.Card]


def waiting(session: Session, actor: Actor, *, limit: int) -> Waiting:
    """Return the first of both open lists and of one's own drafts, newest first; read together.

    What is due comes first, oldest due before others; then what has no deadline, oldest first.
    """
    anybody = anybody_like(actor)
    if anybody is None:
        return Waiting((), 0, (), 0, ())
    at = instant(session)
    asked = asked_by(actor) | referrals.moment(at)

    def first(statement: Select[UUID], most: int) -> list[UUID]:
        return list(session.scalars(statement, asked | {"at_most": most}))

    us, them = (first(_ids_of(anybody, group), COUNTED_AT_MOST + 1) for group in (Group.US, Group.THEM))
    for one in (us, them):
        if len(one) > limit:  # what is listed is on record by itself
            note(session, actor, records=COUNTED, purpose=referrals.PURPOSE, count=len(one))
    mine = first(_drafts_of(anybody), limit)
    running = referrals.clocks(session, [*us, *them[:limit]], at)
    us.sort(key=lambda one: (running[one].due_by, one) if one in running else (_NO_DEADLINE, one))
    shown = {*us[:limit], *them[:limit], *mine}
    lines: Sequence[Row[*referrals.Line]] = ()
    if shown:
        lines = session.execute(
            _these(), referrals.moment(at) | {"these": list(shown)}, execution_options=referrals.AS_IT_IS
        ).all()
    cards = {card.id: card for card in referrals.cards_of(session, actor, lines, at, running=running)}

    def told(ids: Iterable[UUID]) -> list[referrals.Card]:
        return [cards[one] for one in ids if one in cards]

    return Waiting(told(us[:limit]), len(us), told(them[:limit]), len(them), told(mine))


#: Comes after every deadline.
_NO_DEADLINE: Final = datetime.max.replace(tzinfo=UTC)


@cache
def _ids_of(anybody: AnyActor, group: Group) -> Select[UUID]:
    """Select the ids of one open list, oldest first."""
    first = _first_of(anybody, group, by=_OLDEST)
    return select(Referral.id).where(Referral.id.in_(first)).order_by(*_OLDEST.terms).limit(_AT_MOST)


@cache
def _these() -> Select[*referrals.Line]:
    return referrals.lines_where(Referral.id.in_(bindparam("these", expanding=True)))


def drafts(session: Session, actor: Actor, *, limit: int = 100) -> list[referrals.Card]:
    """Return one's own drafts, newest first; after them those that went out of sight."""
    mine = referrals.lines_where(*_own_drafts(actor))
    seen = referrals.read(session, actor, mine.order_by(Referral.id.desc()).limit(limit))
    return [*seen, *referrals.out_of_sight(session, actor, limit=limit)]


@cache
def _drafts_of(anybody: AnyActor) -> Select[UUID]:
    """Select the ids of one's own drafts, newest first."""
    mine = select(Referral.id).where(*_own_drafts(anybody))
    return mine.order_by(Referral.id.desc()).limit(_AT_MOST)


def _own_drafts(actor: Actor | AnyActor) -> list[ColumnElement[bool]]:
    return [referrals.within_sight(actor), Referral.step_count == 0, Referral.drafted_by == actor.me]


def errors_to_confirm(session: Session, actor: Actor, *, limit: int = 20) -> list[referrals.Card]:
    """Return what somebody else reported as entered in error, for a supervisor of the source, oldest first (R7)."""
    if not actor.works_as(Role.SUPERVISOR):
        return []
    reported = select(ErrorReport.referral_id).where(ErrorReport.by != actor.me)  # few ever are
    waits = referrals.lines_where(
        referrals.within_sight(actor),
        Referral.source_id == actor.organization,
        Referral.id.in_(reported),
        referrals.recorded_state() != written(State.ENTERED_IN_ERROR),
    )
    return referrals.read(session, actor, waits.order_by(Referral.id).limit(limit))


# --- a supervisor's team ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """How much one colleague looks after: participants, and open referrals by whose move it is. `id` None: nobody.

    `is_here`: they can work now; what somebody left behind waits for somebody else.
    """

    id: UUID | None
    name: str | None
    is_here: bool
    participants: int
    us: int
    them: int
    overdue: int


@dataclass(frozen=True, slots=True)
class Team:
    """What a supervisor's colleagues look after; `is_partial`: some list was longer than what was counted."""

    rows: Sequence[Load]
    is_partial: bool


def team(session: Session, actor: Actor) -> Team:
    """Return what each colleague looks after. A referral that several look after counts for each of them.

    It is counted as its lists show it, so that an answer that does not come back changes no number.

    Raises:
        NotPermittedError: the actor supervises nobody; the refusal is on record (S-210).
    """
    anybody = anybody_like(actor)
    if anybody is None or not supervises(actor):
        code = NotPermittedError.code
        refuse(
            session,
            actor,
            COUNTED,
            row_type="organization",
            target=actor.organization_id,
            purpose=referrals.PURPOSE,
            code=code,
        )
        raise NotPermittedError
    at = instant(session)
    asked = asked_by(actor) | referrals.moment(at)
    held: dict[UUID | None, dict[str, set[UUID]]] = {}
    late: set[UUID] = set()
    counts = []
    for group in (Group.US, Group.THEM):
        kind = _Kind(anybody, group, frozenset())
        found: set[UUID] = set()
        for row in session.execute(_who_holds(kind), asked):
            held.setdefault(row.user_id, {}).setdefault(group, set()).add(row.id)
            found.add(row.id)
        counts.append(len(found))
        ticking = referrals.clocks_from(session.execute(_ticking_in(kind), asked)) if found else {}
        late |= {one for one, clock_of in ticking.items() if clock_of.is_overdue(at)}
    people = {row.user_id: row.participants for row in session.execute(_caseloads(), asked)}
    names = {one.id: one.display_name for one in session.scalars(accounts.colleagues(actor.organization, *WORKING))}
    # Integrations, and whoever has another role by now, hold work too; only a disabled account has left.
    others = {one for one in (*held, *people) if one is not None and one not in names}
    names |= accounts.names(session, others)
    gone = others - accounts.still_here(session, others) if others else set()
    rows = []
    for who in [*names, *([None] if None in held else [])]:
        own = held.get(who, {})
        us, them = own.get(Group.US, set()), own.get(Group.THEM, set())
        name = None if who is None else names[who]
        rows.append(Load(who, name, who not in gone, people.get(who, 0), len(us), len(them), len((us | them) & late)))
    # First what nobody looks after, or nobody who is still here.
    rows.sort(key=lambda one: (one.id is not None, one.is_here, -one.us - one.them, (one.name or "").casefold()))
    note(session, actor, records=COUNTED, purpose=referrals.PURPOSE, count=sum(counts))
    return Team(rows, max(counts) > LISTED_AT_MOST)


_IN_FORCE: Final = and_(Assignment.until_at.is_(None), Assignment.user_id.is_not(None))


@cache
def _who_holds(kind: _Kind) -> Select[UUID, UUID | None]:
    """Select the referrals of one list, each with every colleague who looks after it, or with nobody."""
    own = kind.anybody.organization
    some = _first_of(kind.anybody, kind.group, by=None, most=literal(LISTED_AT_MOST + 1)).subquery()
    works = and_(Referral.recipient_id == own, Assignment.referral_id == Referral.id)
    helps = and_(Referral.source_id == own, Assignment.participant_id == Referral.participant_id)
    held = and_(_IN_FORCE, unindexed(Assignment.organization_id) == own, or_(works, helps))
    return (
        select(Referral.id, Assignment.user_id)
        .join_from(Referral, Assignment, held, isouter=True)
        .where(Referral.id.in_(select(some.c.id)))
    )


@cache
def _caseloads() -> Select[UUID | None, int]:
    """Select how many participants each of an organization's people helps now."""
    own = bindparam("organization", type_=Uuid())
    counted = func.count(Assignment.participant_id.distinct()).label("participants")
    held = select(Assignment.user_id, counted).where(Assignment.organization_id == own, _IN_FORCE)
    return held.group_by(Assignment.user_id)
