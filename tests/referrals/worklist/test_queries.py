"""Which referrals stand in which list, in which order and on which page, and what a team looks after."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select

from audit.models import AuditEvent
from referrals.account.models import RoleGrant, User
from referrals.kernel.actor import Actor, anybody_like, asked_by
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError
from referrals.kernel.job import Job
from referrals.kernel.look import NOT_SHARED, Disclosure, looking
from referrals.kernel.record import commit, start_writing
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from referrals.partnership.models import Agreement
from referrals.person.models import DeathRecord
from referrals.program.models import IntakeMember, Program
from referrals.referral import commands as c
from referrals.referral import queries as referrals
from referrals.worklist import queries as q
from tests.factories.referral import LONG_AGO, RETURNED, World, a_consent, a_world, planting, tomorrow


def see(world: World, actor: Actor, referral_id: UUID) -> referrals.View:
    with looking(world.session):
        return referrals.referral(world.session, actor, referral_id)


def gone(world: World, actor: Actor, referral_id: UUID) -> bool:
    try:
        see(world, actor, referral_id)
    except NotFoundError:
        return True
    return False


def ids(world: World, actor: Actor, group: q.Group, after: q.Mark | None = None, **narrowed: Any) -> list[UUID]:
    with looking(world.session):
        listing = q.listed(world.session, actor, group, q.Wanted(**narrowed), after=after)
    return [card.id for card in listing.cards]


def test_each_referral_stands_in_exactly_one_list_of_each_side(world: World) -> None:
    walk = [
        (c.acknowledge_referral, "navigator", {}),
        (c.ask_question, "navigator", {"topic": "needs", "question": "Which?"}),
        (c.answer_question, "case_manager", {"answer": "This."}),
        (c.decline_referral, "navigator", {"reason": "not_eligible"}),
        (c.close_loop, "case_manager", {"answer": "agreed"}),
    ]
    told = {"source": [], "recipient": []}  # type: ignore[var-annotated]
    referral_id = world.sent()
    for what, who, words in [(None, "", {}), *walk]:
        if what is not None:
            world.act(what, world.people[who], referral_id, **words)
        for side, actor in (("source", world.case_manager), ("recipient", world.navigator)):
            found = [group for group in q.Group if referral_id in ids(world, actor, group)]
            assert len(found) == 1
            told[side].append(str(found[0]))
            with looking(world.session):
                home = q.waiting(world.session, actor, limit=8)
            at_home = [group for group, cards in (("us", home.us), ("them", home.them)) if cards]
            assert at_home == [str(one) for one in found if one is not q.Group.CLOSED]
            assert (home.us_count, home.them_count) == (len(home.us), len(home.them))
    assert told["source"] == ["them", "them", "us", "them", "us", "closed"]
    assert told["recipient"] == ["us", "us", "them", "us", "them", "closed"]


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_no_list_gives_away_an_answer_that_does_not_come_back(world: World, steps: int) -> None:
    walk: list[tuple[Any, dict[str, Any]]] = [
        (c.acknowledge_referral, {}),
        (c.ask_question, {"topic": "needs", "question": "Which?"}),
        (c.decline_referral, {"reason": "not_eligible"}),
    ]
    referral_id = world.sent()
    for what, words in walk[:steps]:
        world.act(what, world.navigator, referral_id, **words)
    if steps > len(walk):
        world.act(c.close_loop, world.case_manager, referral_id, answer="agreed")
    stood = [group for group in q.Group if referral_id in ids(world, world.case_manager, group)]
    world.withdraw_consent(world.return_consent_id)
    # That it is closed the source said itself; how, it is not told any more.
    expected = q.Group.CLOSED if steps > len(walk) else q.Group.THEM
    assert [group for group in q.Group if referral_id in ids(world, world.case_manager, group)] == [expected]
    (card,) = listing(world, world.case_manager, expected).cards
    loop = "closed" if steps > len(walk) else "none"
    assert (card.status, card.loop, card.moved_at, card.waiting_on) == (NOT_SHARED, loop, NOT_SHARED, NOT_SHARED)
    with looking(world.session):
        home = q.waiting(world.session, world.case_manager, limit=8)
        assert [one.id for one in (*home.us, *home.them)] == [card.id] * (expected is q.Group.THEM)
    for status in referrals.STATES:
        with looking(world.session):
            wanted = q.Wanted(status=str(status))
            told = [q.listed(world.session, world.case_manager, group, wanted) for group in q.Group]
        assert [(one.cards, one.count) for one in told] == [([], 0)] * 3, status
    with planting(world.session):
        world.session.add(
            a_consent(
                *(world.person_id, world.cbo_id, world.agency_id, world.case_manager.me),
                categories=RETURNED,
                to_role="supervisor",
            )
        )
    assert [group for group in q.Group if referral_id in ids(world, world.case_manager, group)] == [expected]
    assert [group for group in q.Group if referral_id in ids(world, world.agency_supervisor, group)] == stood


def last_seen(world: World, at: datetime) -> None:
    """The worker has recorded all that happened until an instant, and none of what happens meanwhile."""
    world.session.rollback()
    start_writing(world.session)
    world.session.add(Job(kind=referrals.SETTLES, dedupe_key=referrals.SETTLES, run_at=at, every=120, seen_until=at))
    world.session.flush()
    commit(world.session)


def dies(world: World) -> None:
    with planting(world.session) as work:
        death = DeathRecord(participant_id=world.person_id, organization_id=world.agency_id, at=work.now)
        death.category, death.by = "identity", world.case_manager.me
        world.session.add(death)


def leaves(world: World) -> None:
    with planting(world.session) as work:
        world.session.get_one(Organization, world.cbo_id).ended_at = work.now


def last_days_soon(world: World) -> None:
    """Consent and agreement end by themselves in two days."""
    soon = datetime.now(UTC) + timedelta(days=2)
    world.withdraw_consent(world.consent_id)
    world.consent_again(expires_on=soon.date(), no_later_than=soon.date())
    with planting(world.session):
        world.session.get_one(Agreement, world.agreement_id).expires_at = soon


def days_go_by(world: World, *, but: str) -> None:
    """Nobody ends anything: the last day of one of both is over."""
    if but == "consent":
        with planting(world.session):
            world.session.get_one(Agreement, world.agreement_id).expires_at += timedelta(days=9)
    else:
        world.consent_again()
    later = datetime.now(UTC) + timedelta(days=4)
    world.session.info["clock"] = lambda: later


ENDINGS: dict[str, Callable[[World], None]] = {
    "nothing": lambda _world: None,
    "consent withdrawn": World.withdraw_consent,
    "consent over": lambda world: days_go_by(world, but="consent"),
    "agreement ended": World.end_agreement,
    "agreement over": lambda world: days_go_by(world, but="agreement"),
    "organization left": leaves,
    "death": dies,
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("stands", ["sent", "accepted", "held there", "ended"])
def test_whoever_supervises_has_the_lists_of_those_they_supervise(
    any_session: HouseSession, ending: str, stands: str
) -> None:
    """Their lists are found by other conditions, for which nothing is weighed that the worker has settled before."""
    world = a_world(any_session)
    referral_id = world.sent() if stands in {"sent", "ended"} else world.accepted()
    if stands == "held there":
        words = {"reason": "health", "review_on": tomorrow()}
        world.act(c.hold_referral, world.navigator, referral_id, **words)
    elif stands == "ended":
        world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")
    last_days_soon(world)
    last_seen(world, referrals.clock(world.session))
    ENDINGS[ending](world)
    pairs = ((world.case_manager, world.agency_supervisor), (world.navigator, world.cbo_supervisor))
    for actor, supervisor in pairs:
        theirs, told = ({group: ids(world, one, group) for group in q.Group} for one in (actor, supervisor))
        assert told == theirs
        assert [one for found in told.values() for one in found] in ([referral_id], [])


def test_a_supervisors_lists_are_read_by_an_index_and_end_with_the_page(world: World) -> None:
    """SQLite's own plan: no list of what is left to do goes through all the referrals there are, or sorts them."""
    for supervisor in (world.agency_supervisor, world.cbo_supervisor):
        anybody = anybody_like(supervisor)
        assert anybody is not None
        for group in q.Group:
            for statement in (
                q._page_of(q._Kind(anybody, group, frozenset()), None, further=False),
                q._ids_of(anybody, q.Group.US),
            ):
                plan = explained(world, statement, supervisor)
                assert [line for line in plan if re.match(r"SCAN referral(_\d+)?( |$)", line)] == [], plan


def explained(world: World, statement: Any, actor: Actor) -> list[str]:
    asked = asked_by(actor) | referrals.moment(referrals.clock(world.session)) | {"at_most": 26}
    connection = world.session.connection()
    ran: list[tuple[str, Any]] = []

    def hear(_c: object, _cursor: object, sql: str, values: Any, _context: object, _many: bool) -> None:
        ran.append((sql, values))

    event.listen(connection.engine, "before_cursor_execute", hear)
    try:
        world.session.execute(statement, asked).all()
    finally:
        event.remove(connection.engine, "before_cursor_execute", hear)
    sql, values = ran[0]
    raw = connection.connection.cursor()
    return [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


def test_lists_hold_exactly_what_their_reader_may_open(world: World) -> None:
    """The lists start from a caseload, a page from its one row: two conditions that must say the same."""
    made = [world.sent()]
    world.act(c.cancel_referral, world.case_manager, made[0], reason="duplicate")
    made.append(world.sent())
    world.act(c.decline_referral, world.navigator, made[1], reason="not_eligible")
    made.append(world.started())
    for ending in (None, world.withdraw_consent, world.end_agreement):
        if ending is not None:
            ending()
        for who, actor in world.people.items():
            listed = {one for group in q.Group for one in ids(world, actor, group)}
            assert listed == {one for one in made if not gone(world, actor, one)}, (who, ending)


def test_a_status_filters_by_what_is_settled(world: World) -> None:
    referral_id = world.started()
    assert ids(world, world.case_manager, q.Group.THEM, status="in_progress") == [referral_id]
    world.withdraw_consent()
    assert ids(world, world.case_manager, q.Group.US, status="on_hold") == [referral_id]
    assert ids(world, world.case_manager, q.Group.US, status="in_progress") == []


def listing(world: World, actor: Actor, group: q.Group, **asked: Any) -> q.Listing:
    with looking(world.session):
        return q.listed(world.session, actor, group, **asked)


def many(world: World) -> list[UUID]:
    """Referrals of one participant to many programs, by turns further along, urgent, and seen by a role alone."""
    made = []
    world.session.info["clock"] = lambda: datetime(2026, 3, 1, 18, tzinfo=UTC)
    for number in range(7):
        with planting(world.session):
            offer = Program(
                organization_id=world.cbo_id, name=f"Program {number}", added_at=LONG_AGO, categories=["housing"]
            )
            offer.capacity_code = "capacity"
            world.session.add(offer)
            world.session.add(IntakeMember(program_id=offer.id, user_id=world.navigator.me, added_at=LONG_AGO))
        urgency = ("routine", "soon", "urgent")[number % 3]
        draft = world.draft(program_id=offer.id, urgency=urgency, urgency_because="Nowhere to sleep.")
        made.append(draft)
    for number, one in enumerate(reversed(made)):  # sent in another order than they were begun
        world.session.info["clock"] = lambda day=2 + number: datetime(2026, 3, day, 17, tzinfo=UTC)
        world.act(c.send_referral, world.case_manager, one)
    acts: list[tuple[Any, dict[str, Any]]] = [
        (c.acknowledge_referral, {}),
        (c.ask_question, {"topic": "needs", "question": "Which?"}),
        (c.decline_referral, {"reason": "no_capacity"}),
    ]
    for one, (what, words) in zip(made, acts, strict=False):
        world.act(what, world.navigator, one, **words)
    world.accept(made[3])
    world.session.info["clock"] = lambda: datetime(2026, 3, 13, 18, tzinfo=UTC)
    return made


TO_ROLES: dict[str, dict[str, Any]] = {
    "all": {},
    "supervisors there": {"to_role": "supervisor"},
    "one navigator": {"categories": ("identity", "contact"), "also": {"categories": ["needs"], "to": "navigator"}},
    "sharing over": {"none": True},
}


@pytest.mark.parametrize(("shared", "answers"), [(one, one != "sharing over") for one in TO_ROLES])
def test_a_filter_finds_exactly_the_lines_that_show_it(world: World, shared: str, answers: bool) -> None:
    """Whatever is withheld from a reader, no filter, no order and no count tells it."""
    terms = dict(TO_ROLES[shared])
    many(world)
    if shared != "all":
        world.withdraw_consent()
        also = terms.pop("also", None)
        if not terms.pop("none", False):
            world.consent_again(**terms)
        if also is not None:
            world.consent_again(categories=also["categories"], to_user_id=world.people[also["to"]].me)
    if not answers:
        world.withdraw_consent(world.return_consent_id)
    found = 0
    for actor in (world.case_manager, world.navigator, world.cbo_supervisor):
        for group in q.Group:
            whole = listing(world, actor, group)
            assert whole.count == len(whole.cards)
            wants = [
                (q.Wanted(status=str(one)), [card.status == one for card in whole.cards]) for one in referrals.STATES
            ]
            wants += [(q.Wanted(urgency=one), [card.urgency == one for card in whole.cards]) for one in c.URGENCY]
            wants += [
                (q.Wanted(program_id=one), [card.program == name for card in whole.cards])
                for one, name in whole.programs
            ]
            wants += [(q.Wanted(overdue=True), [card.is_overdue for card in whole.cards])]
            for wanted, fits in wants:
                shown = [card.id for card, fit in zip(whole.cards, fits, strict=True) if fit]
                told = listing(world, actor, group, wanted=wanted)
                assert sorted(card.id for card in told.cards) == sorted(shown), (wanted, group)
                assert told.count == len(shown)
                found += len(shown)
    assert found


@pytest.mark.parametrize("sort", [None, *q.Sort])
def test_pages_neither_skip_nor_repeat_whatever_the_order(world: World, sort: q.Sort | None) -> None:
    many(world)
    for actor in (world.case_manager, world.navigator, world.cbo_supervisor):
        for group in q.Group:
            whole = listing(world, actor, group, sort=sort).cards
            mark, told, pages = None, [], 0
            while pages == 0 or mark is not None:
                part = listing(world, actor, group, sort=sort, after=mark, limit=2)
                mark = None if part.following is None else q.Mark.read(str(part.following))
                told += part.cards
                pages += 1
                assert part.count == len(whole)
            assert [card.id for card in told] == [card.id for card in whole]
            assert pages == max(1, -(-len(whole) // 2))
            assert [card.deadlines for card in told] == [card.deadlines for card in whole]
            if sort is q.Sort.DUE and group is not q.Group.CLOSED:
                due = [card.due_by for card in whole if card.due_by is not None]
                assert [card.due_by for card in whole] == sorted(due) + [None] * (len(whole) - len(due))
            elif sort in {q.Sort.SENT, q.Sort.LATEST}:
                sent = [card.sent_at for card in whole if card.sent_at is not None]
                assert len(sent) == len(whole)
                assert sent == sorted(sent, reverse=sort is q.Sort.LATEST)


def test_both_databases_narrow_and_order_alike(any_session: HouseSession) -> None:
    world = a_world(any_session)
    made = many(world)
    told = listing(world, world.navigator, q.Group.US, sort=q.Sort.DUE)
    assert [(card.id, card.is_overdue) for card in told.cards] == [
        *((made[5], True), (made[6], True), (made[4], True), (made[0], False), (made[3], False))
    ]
    for group, wanted, sort, found in (
        (q.Group.US, q.Wanted(overdue=True), None, [5, 6, 4]),
        (q.Group.US, q.Wanted(urgency="routine"), q.Sort.SENT, [6, 3, 0]),
        (q.Group.US, q.Wanted(status="accepted", program_id=None), q.Sort.LATEST, [3]),
        (q.Group.THEM, q.Wanted(participant_id=world.person_id), None, [2, 1]),
        (q.Group.CLOSED, q.Wanted(), q.Sort.DUE, []),
    ):
        one = listing(world, world.navigator, group, wanted=wanted, sort=sort)
        assert [card.id for card in one.cards] == [made[number] for number in found]
        assert one.count == len(found)
        assert [name for _id, name in one.programs] == ["Bridge Housing", *(f"Program {n}" for n in range(7))]
        first = listing(world, world.navigator, group, wanted=wanted, sort=sort, limit=1)
        rest = listing(world, world.navigator, group, wanted=wanted, sort=sort, after=first.following)
        assert [card.id for card in (*first.cards, *(rest.cards if first.following else ()))] == [
            card.id for card in one.cards
        ]


def test_a_page_by_deadlines_goes_on_where_it_was_when_its_last_line_is_answered(world: World) -> None:
    many(world)
    whole = listing(world, world.navigator, q.Group.US, sort=q.Sort.DUE).cards
    first = listing(world, world.navigator, q.Group.US, sort=q.Sort.DUE, limit=2)
    world.accept(first.cards[-1].id)
    rest = listing(world, world.navigator, q.Group.US, sort=q.Sort.DUE, after=first.following)
    told = [card.id for card in rest.cards]
    assert [one for one in told if one != first.cards[-1].id] == [card.id for card in whole[2:]]


def test_a_mark_that_is_none_of_ours_is_refused() -> None:
    for wrong in ("", "x", "20260302T1700~", "2026~" + "0" * 32, "~~", "20260302T1700~zz"):
        with pytest.raises(InvalidInputError):
            q.Mark.read(wrong)


def test_beyond_what_is_sorted_by_deadline_the_rest_comes_oldest_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(world)
    whole = listing(world, world.navigator, q.Group.US)
    monkeypatch.setattr(q, "LISTED_AT_MOST", 2)
    q._ticking_in.cache_clear()
    q._chosen_of.cache_clear()
    told = listing(world, world.navigator, q.Group.US, sort=q.Sort.DUE)
    q._ticking_in.cache_clear()
    q._chosen_of.cache_clear()
    assert {card.id: card.deadlines for card in told.cards} == {card.id: card.deadlines for card in whole.cards}
    assert told.count == 3


def statements(world: World) -> Any:
    @contextmanager
    def counting() -> Iterator[list[str]]:
        said: list[str] = []
        engine = world.session.get_bind()

        def keep(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            said.append(statement)

        event.listen(engine, "before_cursor_execute", keep)
        try:
            yield said
        finally:
            event.remove(engine, "before_cursor_execute", keep)

    return counting()


def test_a_list_takes_the_same_number_of_statements_whatever_its_length(world: World) -> None:
    made = []
    counts = []
    for _round in range(3):
        referral_id = world.sent()
        made.append(referral_id)
        world.act(c.acknowledge_referral, world.navigator, referral_id)
        world.act(c.cancel_referral, world.case_manager, referral_id, reason="duplicate")
        with statements(world) as said:
            found = ids(world, world.case_manager, q.Group.THEM)
        assert found == made
        counts.append(len([one for one in said if one.startswith("SELECT")]))
    assert len(set(counts)) == 1
    with looking(world.session):
        first = q.listed(world.session, world.case_manager, q.Group.THEM, limit=2)
    assert [card.id for card in first.cards] == made[:2]
    assert ids(world, world.case_manager, q.Group.THEM, after=first.following) == made[2:]


def test_an_answer_crosses_in_a_list_only_where_there_is_one(world: World) -> None:
    referral_id = world.sent()
    there = q.Group.THEM

    def crossed() -> list[list[str]]:
        known = set(world.session.scalars(select(Disclosure.id)))
        world.session.rollback()
        assert ids(world, world.case_manager, there) == [referral_id]
        new = world.session.scalars(
            select(Disclosure).where(Disclosure.id.not_in(known), Disclosure.row_type == "referral")
        )
        told = [row.categories for row in new]
        world.session.rollback()
        return told

    assert crossed() == []
    world.act(c.acknowledge_referral, world.navigator, referral_id)
    assert crossed() == [["attendance"]]


# --- a supervisor's team ----------------------------------------------------------------------------------------------


def team(world: World, who: str) -> dict[str | None, q.Load]:
    with looking(world.session):
        return {one.name: one for one in q.team(world.session, world.people[who]).rows}


@pytest.mark.parametrize("who", ["case_manager", "navigator", "agency_administrator", "stranger"])
def test_who_supervises_nobody_has_no_team(world: World, who: str) -> None:
    with pytest.raises(NotPermittedError), looking(world.session):
        q.team(world.session, world.people[who])
    newest = select(AuditEvent.body).where(AuditEvent.action == q.COUNTED).order_by(AuditEvent.event_id.desc())
    refused = json.loads(world.session.scalars(newest.limit(1)).one())
    assert (refused["outcome"], refused["code"]) == ("refused", "not_permitted")


@pytest.mark.parametrize("who", ["agency_supervisor", "cbo_supervisor"])
def test_a_team_is_counted_as_its_lists_show_it(world: World, who: str) -> None:
    many(world)
    supervisor, rows = world.people[who], team(world, who)
    assert {name for name in rows if name is not None} == {
        "agency_supervisor": {"Lee Okafor", "Sam Reyes", "Pat Quinn"},
        "cbo_supervisor": {"Ana Díaz", "Bo Ramsey", "Chris Vega", "Dee Holt"},
    }[who]
    for group in (q.Group.US, q.Group.THEM):
        everything = listing(world, supervisor, group).count
        told = {}
        for name, one in rows.items():
            if one.id is None:
                continue
            theirs = listing(world, supervisor, group, wanted=q.Wanted(colleague_id=one.id))
            told[name] = theirs.count
            assert theirs.count == len(theirs.cards) == getattr(one, group)
        nobody = getattr(rows[None], group) if None in rows else 0
        assert sum(told.values()) + nobody == everything
    both = (q.Group.US, q.Group.THEM)
    late = [listing(world, supervisor, one, wanted=q.Wanted(overdue=True)).count for one in both]
    assert sum(one.overdue for one in rows.values()) == sum(late) > 0
    busy = rows["Lee Okafor" if who == "agency_supervisor" else "Ana Díaz"]
    assert busy.participants == 1
    assert busy.us + busy.them > 0


def test_nobody_of_the_other_side_can_be_asked_for(world: World) -> None:
    many(world)
    for who, theirs in (("case_manager", "navigator"), ("navigator", "case_manager"), ("cbo_supervisor", "stranger")):
        for group in q.Group:
            wanted = q.Wanted(colleague_id=world.people[theirs].me)
            assert listing(world, world.people[who], group, wanted=wanted).count == 0


@pytest.mark.parametrize("shares", [True, False])
def test_a_withheld_answer_changes_no_number_of_a_team(world: World, shares: bool) -> None:
    referral_id = world.sent()
    if not shares:
        world.withdraw_consent(world.return_consent_id)
    before = team(world, "agency_supervisor")
    world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")
    assert (team(world, "agency_supervisor") == before) is not shares


def test_what_somebody_left_behind_comes_before_what_others_look_after(world: World) -> None:
    world.started()
    with planting(world.session) as work:
        left = world.session.get_one(User, world.navigator.me)
        left.disabled_at = work.now
    with looking(world.session):
        rows = q.team(world.session, world.cbo_supervisor).rows
    assert (rows[0].name, rows[0].is_here, rows[0].us) == ("Ana Díaz", False, 1)
    assert all(one.is_here for one in rows[1:])


@pytest.mark.parametrize("other", ["role", "integration"])
def test_nobody_who_is_still_here_is_said_to_have_left(world: World, other: str) -> None:
    """Whoever has another role by now, and an integration on a care team, still hold what they hold."""
    world.started()
    with planting(world.session) as work:
        if other == "integration":
            world.session.get_one(User, world.navigator.me).integration_at = work.now
        else:
            for grant in world.session.scalars(select(RoleGrant).where(RoleGrant.user_id == world.navigator.me)):
                grant.ended_at = work.now
    ana = team(world, "cbo_supervisor")["Ana Díaz"]
    assert (ana.is_here, ana.us) == (True, 1)


def test_a_team_is_alike_on_both_databases_and_on_record_as_a_number(any_session: HouseSession) -> None:
    world = a_world(any_session)
    many(world)
    rows = team(world, "cbo_supervisor")
    assert {name: (one.participants, one.us, one.them, one.overdue) for name, one in rows.items()} == {
        None: (0, 4, 2, 4),
        "Ana Díaz": (1, 1, 0, 0),
        "Bo Ramsey": (0, 0, 0, 0),
        "Chris Vega": (0, 0, 0, 0),
        "Dee Holt": (0, 0, 0, 0),
    }
    newest = select(AuditEvent.body).where(AuditEvent.action == q.COUNTED).order_by(AuditEvent.event_id.desc())
    assert json.loads(any_session.scalars(newest.limit(1)).one())["count"] == 7
