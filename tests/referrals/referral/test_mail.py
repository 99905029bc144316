"""What is told of a referral by mail: to whom, while they may know of it, and nothing that says what (R12, R20)."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, select

from referrals.account.models import User
from referrals.kernel.errors import RefusedError
from referrals.kernel.job import Job, run_once
from referrals.kernel.language import catalog_of
from referrals.kernel.look import finish, looking
from referrals.kernel.mail import Post
from referrals.kernel.orm import CATEGORIES
from referrals.kernel.record import day_of
from referrals.kernel.session import HouseSession
from referrals.mail.commands import GROUNDS, post_due
from referrals.mail.models import Mail, Notice
from referrals.organization.models import is_working_day
from referrals.person.commands import assign_to_care_team, record_death
from referrals.program.models import IntakeMember, Program
from referrals.referral import commands as c
from referrals.referral import queries as q
from referrals.referral.models import State, deadlines, half_used_at
from referrals.release import commands as release
from referrals.settings import smtp_server
from tests.factories.referral import ZONE, World, a_world, planting, tomorrow
from tests.factories.smtp import MailServer, a_mail_server

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(180)]

HOME = "https://throughgate.example.org/home"
#: A Monday.
MONDAY = "2026-03-02"


def there(day: str, hour: int = 9, minute: int = 0) -> datetime:
    """An instant at the world's place."""
    local = datetime.combine(date.fromisoformat(day), datetime.min.time(), ZoneInfo(ZONE))
    return local.replace(hour=hour, minute=minute).astimezone(UTC)


def it_is(world: World, day: str, hour: int = 9, minute: int = 0) -> None:
    now = there(day, hour, minute)
    world.session.info["clock"] = lambda: now


@pytest.fixture
def server() -> Iterator[MailServer]:
    with a_mail_server() as made:
        yield made


@pytest.fixture
def world(session: HouseSession, server: MailServer) -> World:
    """The world, with an address for everybody; all want their mail at once."""
    made = a_world(session)
    with planting(session):
        for key, actor in made.people.items():
            user = session.get_one(User, actor.me)
            user.email, user.mail_choice = f"{key}@mail.example", "at_once"
        session.add(IntakeMember(program_id=made.program_id, user_id=made.outside_intake.me, added_at=there(MONDAY)))
    it_is(made, MONDAY)
    session.info["post"] = Post(smtp_server(server.url()), HOME, catalog_of)
    made.extra["server"] = server
    return made


def mailed(world: World) -> list[str]:
    """Let the worker send; return to whom, since the last time."""
    works(world)
    received = world.extra["server"].received
    read = [email.message_from_bytes(one.content, policy=email.policy.default) for one in received]
    received.clear()
    return sorted(str(one["To"]).partition("@")[0] for one in read)


def works(world: World) -> None:
    """Let the worker do what it does every few minutes, and send."""
    c.remind(world.session, None, None)
    c.tell_moves(world.session, None, None)
    post_due(world.session, None, None)
    run_once(world.session)


def notices(world: World) -> list[Notice]:
    world.session.rollback()
    return list(world.session.scalars(select(Notice).order_by(Notice.id)))


def accepts(world: World, referral_id: UUID) -> None:
    words = {"caseworker_id": str(world.navigator.me), "first_contact_on": tomorrow()}
    world.act(c.accept_referral, world.navigator, referral_id, **words)


def asks(world: World, referral_id: UUID) -> None:
    world.act(c.ask_question, world.navigator, referral_id, topic="needs", question="Which floor?")


def answers(world: World, referral_id: UUID) -> None:
    world.act(c.answer_question, world.case_manager, referral_id, answer="The ground floor.")


def declines(world: World, referral_id: UUID) -> None:
    world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")


INTAKE = ["navigator", "other_navigator", "outside_intake"]

# --- who is told of what (R20) ----------------------------------------------------------------------------------------


def test_what_happens_is_told_to_the_other_side(world: World) -> None:
    referral_id = world.sent()
    assert mailed(world) == INTAKE
    asks(world, referral_id)
    assert mailed(world) == ["case_manager"]
    answers(world, referral_id)
    assert mailed(world) == INTAKE
    accepts(world, referral_id)
    assert mailed(world) == ["case_manager"]
    world.act(c.start_referral, world.navigator, referral_id, started_on=MONDAY, how="in_person")
    assert mailed(world) == []
    world.act(c.cancel_referral, world.case_manager, referral_id, reason="made_by_mistake")
    assert mailed(world) == ["navigator"]
    assert mailed(world) == []


def test_a_no_is_told_to_the_sender(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    declines(world, referral_id)
    assert mailed(world) == ["case_manager"]


def test_a_question_taken_back_and_a_receipt_are_not_told(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    world.act(c.acknowledge_referral, world.navigator, referral_id)
    assert mailed(world) == []
    asks(world, referral_id)
    world.act(c.answer_question, world.navigator, referral_id)
    assert mailed(world) == []  # the question was told of, and stands no more


def test_expiry_is_told_to_both_sides(world: World) -> None:
    world.sent()
    mailed(world)
    it_is(world, "2026-03-23", 17)
    c.settle_due(world.session, None, None)
    told = [one.kind for one in notices(world) if one.kind == "referral.ended"]
    assert len(told) == 4
    assert {"case_manager", *INTAKE} <= set(mailed(world))


def test_an_urgent_one_is_urgent(world: World) -> None:
    with planting(world.session):
        for actor in world.people.values():
            world.session.get_one(User, actor.me).mail_choice = None  # once a day, as for whoever has not chosen
    world.sent()
    assert mailed(world) == []
    world.withdraw_consent()
    assert mailed(world) == []
    c.settle_due(world.session, None, None)
    world.consent_again()
    world.sent(urgency="urgent", urgency_because="Nowhere to sleep.")
    assert mailed(world) == INTAKE


def test_a_refused_act_tells_nobody(world: World) -> None:
    referral_id = world.sent()
    before = len(notices(world))
    with pytest.raises(RefusedError):
        world.act(c.accept_referral, world.navigator, referral_id, caseworker_id=str(world.stranger.me))
    with pytest.raises(RefusedError):
        world.act(c.answer_question, world.case_manager, referral_id, answer="Nobody asked.")
    assert len(notices(world)) == before


def test_without_a_mail_server_nothing_is_queued(world: World) -> None:
    world.session.info["post"] = None
    referral_id = world.sent()
    asks(world, referral_id)
    it_is(world, "2026-03-20")
    run_once(world.session)
    assert notices(world) == []
    assert world.session.scalars(select(Mail)).all() == []


# --- messages ---------------------------------------------------------------------------------------------------------


def posts(world: World, who: str, referral_id: UUID, audience: str, **words: Any) -> UUID:
    said = {"audience": audience, "category": "needs", "message": "Canary of a message."} | words
    posted: UUID = world.act(c.post_message, world.people[who], referral_id, **said).id
    return posted


def test_a_message_is_told_only_if_its_author_ticks_it(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    posts(world, "case_manager", referral_id, "both")
    assert mailed(world) == []
    posts(world, "case_manager", referral_id, "both", mail=True)
    assert mailed(world) == INTAKE
    posts(world, "navigator", referral_id, "own_side", mail=True)
    assert mailed(world) == ["other_navigator", "outside_intake"]
    posts(world, "navigator", referral_id, "both", mail=True)
    assert mailed(world) == ["case_manager", "other_navigator", "outside_intake"]


def test_a_message_that_was_struck_or_crosses_no_more_is_not_told(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    struck = posts(world, "case_manager", referral_id, "both", mail=True)
    world.act(c.strike_message, world.case_manager, struck, because="A slip.")
    assert mailed(world) == []
    posts(world, "navigator", referral_id, "both", mail=True)
    world.withdraw_consent(world.return_consent_id)
    assert mailed(world) == ["other_navigator", "outside_intake"]


# --- only who may still know of it ------------------------------------------------------------------------------------


def withdrawn(world: World) -> None:
    world.withdraw_consent()


def agreement_ended(world: World) -> None:
    world.end_agreement()


def all_left(world: World) -> None:
    with planting(world.session) as work:
        for key in INTAKE:
            world.session.get_one(User, world.people[key].me).disable(at=work.now, by=None, because="A test.")


def list_emptied(world: World) -> None:
    with planting(world.session) as work:
        for one in world.session.scalars(select(IntakeMember).where(IntakeMember.ended_at.is_(None))):
            one.ended_at = work.now


def taken_back(world: World) -> None:
    referral_id = world.session.scalars(select(Notice.target_id)).first()
    assert referral_id is not None
    world.act(c.cancel_referral, world.case_manager, referral_id, reason="made_by_mistake")
    with planting(world.session) as work:
        for one in world.session.scalars(select(Notice).where(Notice.kind == "referral.ended")):
            one.dropped_at = work.now


@pytest.mark.parametrize("change", [withdrawn, agreement_ended, all_left, list_emptied, taken_back])
def test_a_sending_whose_ground_is_gone_is_told_to_nobody(world: World, change: Callable[[World], None]) -> None:
    world.sent()
    change(world)
    assert mailed(world) == []
    assert notices(world)


@pytest.mark.parametrize("change", [withdrawn, agreement_ended, all_left, list_emptied, taken_back])
def test_nor_is_one_whose_mail_was_written_and_waits_for_the_server(
    world: World, change: Callable[[World], None]
) -> None:
    world.sent()
    world.extra["server"].answers["connect"] = ["421 busy"] * 3
    assert mailed(world) == []
    change(world)
    it_is(world, MONDAY, 9, 30)
    assert mailed(world) == []
    assert world.session.scalars(select(Job.done_at).where(Job.kind == "account.send_mail")).all().count(None) == 0


@pytest.mark.parametrize("act", [asks, accepts, declines])
def test_without_a_return_consent_no_mail_tells_the_source_that_an_answer_came(
    world: World, act: Callable[[World, UUID], None]
) -> None:
    referral_id = world.sent()
    mailed(world)
    act(world, referral_id)
    world.withdraw_consent(world.return_consent_id)
    assert mailed(world) == []
    it_is(world, "2026-03-04", 18)  # nor does a reminder, or that it is overdue
    assert "case_manager" not in mailed(world)
    it_is(world, "2026-03-06", 18)
    told = mailed(world)
    assert not {"case_manager", "agency_supervisor", "other_case_manager"} & set(told)


def test_an_answer_stays_untold_although_the_source_moved_it_since(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    accepts(world, referral_id)
    words = {"reason": "health", "review_on": "2026-03-10"}
    world.act(c.hold_referral, world.case_manager, referral_id, **words)
    world.withdraw_consent(world.return_consent_id)
    assert mailed(world) == []


def test_every_kind_that_is_told_has_its_ground() -> None:
    assert {*q.TOLD.values(), q.HALF_USED, q.OVERDUE, q.POSTED, q.MOVED} <= GROUNDS.keys()


# --- nothing personal in it (S-309) -----------------------------------------------------------------------------------


def test_s309_no_byte_of_any_mail_tells_anything(world: World) -> None:
    canary = "Canarybird"
    content = {name: f"{canary} {name}" for name in ("reason_text", "strengths", "unavailable", "first_contact")}
    referral_id = world.sent(**content, urgency="urgent", urgency_because=canary, goals=[canary])
    server = world.extra["server"]
    works(world)
    world.act(c.ask_question, world.navigator, referral_id, topic="needs", question=canary)
    works(world)
    world.act(c.answer_question, world.case_manager, referral_id, answer=canary)
    posts(world, "navigator", referral_id, "both", message=canary, mail=True)
    works(world)
    it_is(world, "2026-03-04", 18)
    works(world)
    world.act(c.decline_referral, world.navigator, referral_id, reason="other", because=canary)
    works(world)
    assert len(server.received) == 11
    row = world.row(referral_id)
    words = [
        *(canary, "Maria", "Núñez", "Nu=C3", "V48213", "1990", row.reference, "Valley", "Second Start", "Bridge"),
        *("housing", "referral", "urgent", "overdue", "question", "answer", "remind", "posted"),
        *(one for one in CATEGORIES if one != "needs"),  # a word of the one sentence, too
        *(actor.me.hex[:12] for actor in world.people.values()),
        *(str(one) for one in (referral_id, world.person_id, world.program_id, world.agency_id, world.cbo_id)),
        *("Lee", "Okafor", "Ana", "Bo Ramsey", "Dee Holt"),
    ]
    # Message ids and transfer apart, which are random or the server's, all of them are the same but for whom and when.
    said = set()
    for one in server.received:
        read = email.message_from_bytes(one.content, policy=email.policy.default)
        own = {str(read["To"]), str(read["Message-ID"]), str(read["Date"])}
        plain = one.content.decode()
        for each in own:
            plain = plain.replace(each, "")
        assert [word for word in words if word.casefold() in plain.casefold()] == []
        assert row.reference not in str(read["Message-ID"])
        said.add(plain)
    assert {text.count(HOME) for text in said} == {1}
    assert len(said) <= 2  # one thing, or several at once


# --- reminders (R12) --------------------------------------------------------------------------------------------------


def kinds(world: World) -> list[tuple[str, str]]:
    """What has been told so far: the kind, and to whom."""
    people = {actor.me: key for key, actor in world.people.items()}
    return sorted((one.kind.removeprefix("referral."), people[one.user_id]) for one in notices(world))


def since(world: World, before: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(set(kinds(world)) - set(before))


def test_half_of_the_time_reminds_whom_it_waits_on_and_the_deadline_tells_both_supervisors(world: World) -> None:
    world.sent()  # Monday 9:00; to be acknowledged by Thursday 17:00: 80 hours
    before = kinds(world)
    mailed(world)
    it_is(world, "2026-03-04", 0, 59)
    assert mailed(world) == []
    it_is(world, "2026-03-04", 1)
    c.remind(world.session, None, None)
    assert since(world, before) == [("half_used", key) for key in INTAKE]
    it_is(world, "2026-03-04", 1, 5)
    assert mailed(world) == INTAKE
    it_is(world, "2026-03-05", 16, 59)
    assert mailed(world) == []
    it_is(world, "2026-03-05", 17, 6)
    assert mailed(world) == ["agency_supervisor", "cbo_supervisor"]
    it_is(world, "2026-03-06", 9)
    assert mailed(world) == []


def test_a_weekend_is_no_time_that_is_used(world: World) -> None:
    it_is(world, "2026-03-06", 9)  # a Friday
    world.sent(urgency="urgent", urgency_because="Nowhere to sleep.")  # to be acknowledged by Monday 17:00: 32 hours
    before = kinds(world)
    it_is(world, "2026-03-09", 0, 59)
    c.remind(world.session, None, None)
    assert since(world, before) == []
    it_is(world, "2026-03-09", 1)
    c.remind(world.session, None, None)
    assert since(world, before) == [("half_used", key) for key in INTAKE]


def test_while_a_question_is_out_the_source_is_reminded_and_the_programs_clock_rests(world: World) -> None:
    referral_id = world.sent()
    asks(world, referral_id)  # to be answered by Wednesday 17:00: 56 hours
    before = kinds(world)
    it_is(world, "2026-03-03", 12, 59)
    c.remind(world.session, None, None)
    assert since(world, before) == []
    it_is(world, "2026-03-03", 13)
    c.remind(world.session, None, None)
    assert since(world, before) == [("half_used", "case_manager")]
    it_is(world, "2026-03-04", 17)
    c.remind(world.session, None, None)
    overdue = [("overdue", "agency_supervisor"), ("overdue", "cbo_supervisor")]
    assert since(world, before) == [("half_used", "case_manager"), *overdue]


def test_a_deadline_reminds_once_though_a_question_came_between(world: World) -> None:
    referral_id = world.sent()
    world.act(c.acknowledge_referral, world.navigator, referral_id)
    it_is(world, "2026-03-11")
    c.remind(world.session, None, None)
    before = len(kinds(world))
    asks(world, referral_id)
    answers(world, referral_id)
    it_is(world, "2026-03-12")
    c.remind(world.session, None, None)
    told = [kind for kind, _who in kinds(world)]
    assert (told.count("half_used"), len(told) - before) == (len(INTAKE), len(INTAKE) + 1)


def test_an_answer_before_the_mail_leaves_takes_the_reminder_back(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    it_is(world, "2026-03-05", 18)
    c.remind(world.session, None, None)
    assert ("overdue", "cbo_supervisor") in kinds(world)
    accepts(world, referral_id)
    assert mailed(world) == ["case_manager"]


def test_ended_sharing_stops_reminders(world: World) -> None:
    world.sent()
    mailed(world)
    world.withdraw_consent()
    it_is(world, "2026-03-05", 18)
    c.remind(world.session, None, None)
    assert mailed(world) == []


def test_reminders_and_expiry_read_many_clocks_by_as_many_statements_as_one(world: World) -> None:
    def asked(read: Callable[[], list[Any]], found: int) -> int:
        heard: list[str] = []

        def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            heard.append(statement)

        event.listen(world.session.get_bind(), "before_cursor_execute", hear)
        rows = read()
        event.remove(world.session.get_bind(), "before_cursor_execute", hear)
        assert len(rows) == found
        return len([one for one in heard if not one.startswith(("BEGIN", "PRAGMA"))])

    def reminded() -> list[Any]:
        return [one for page in q.running(world.session, there("2026-03-05", 18)) for one in page]

    def ended() -> list[Any]:
        return q.expired(world.session, there("2026-04-30", 18))

    world.sent()
    assert (asked(reminded, 1), asked(ended, 1)) == (3, 3)
    for name in ("Second", "Third", "Fourth"):
        another_program(world, name)
    assert (asked(reminded, 4), asked(ended, 4)) == (3, 3)


def another_program(world: World, name: str) -> None:
    with planting(world.session):
        offer = Program(
            organization_id=world.cbo_id,
            name=name,
            added_at=there(MONDAY),
            categories=["housing"],
            capacity_code="capacity",
        )
        world.session.add(offer)
        world.session.add(IntakeMember(program_id=offer.id, user_id=world.navigator.me, added_at=there(MONDAY)))
    world.act(c.send_referral, world.case_manager, world.draft(program_id=offer.id))


class Step:
    """What a clock needs of a step."""

    def __init__(self, to_state: State, at: datetime) -> None:
        self.to_state, self.at = to_state, at


ZONES = [ZoneInfo(name) for name in ("America/Los_Angeles", "America/New_York", "Pacific/Honolulu", "America/Phoenix")]


@given(
    st.integers(0, 365 * 24 * 60),
    st.lists(st.integers(1, 5 * 24 * 60), max_size=6),
    st.sampled_from(ZONES),
    st.booleans(),
)
def test_half_is_used_between_the_start_and_the_deadline_whatever_stopped_the_clock(
    minutes: int, gaps: list[int], zone: ZoneInfo, urgent: bool
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    steps = [Step(State.SENT, at)]
    for gap in gaps:
        at += timedelta(minutes=gap)
        asked = steps[-1].to_state is State.INFO_REQUESTED
        steps.append(Step(State.ACKNOWLEDGED if asked else State.INFO_REQUESTED, at))
    found = deadlines(steps, [], urgent=urgent, zone=zone)
    assert found is not None
    due = found.due_by
    half = half_used_at(steps, found)
    waits = steps[-1].to_state is State.INFO_REQUESTED
    start = steps[-1].at if waits else steps[0].at
    assert min(start, due) <= half <= max(start, due)
    if len(steps) == 1:  # nothing stopped it: the working time before and after are the same
        before, after = (_working(*span, zone) for span in ((start, half), (half, due)))
        assert abs(before - after) <= timedelta(seconds=1)


def _working(since: datetime, until: datetime, zone: ZoneInfo) -> timedelta:
    """The time of working days between two instants, counted minute by minute."""
    minute = timedelta(minutes=15)
    total, at = timedelta(), since
    while at < until:
        end = min(at + minute - timedelta(seconds=at.timestamp() % 900), until)
        if is_working_day(day_of(at, zone)):
            total += end - at
        at = end
    return total


# --- the release moved (E23, R24) -------------------------------------------------------------------------------------


def moves(world: World, day: str | None, who: str = "case_manager") -> UUID:
    """Let the agency record another expected day of release."""
    said = {"unknown_because": "court_pending"} if day is None else {"expected_on": day}
    words = {"source": "agency_record", "as_of": "2026-03-01"} | said
    made: UUID = world.act(release.record_release_date, world.people[who], world.person_id, **words).id
    return made


def on_the_team(world: World, who: str) -> None:
    words = {"user_id": str(world.people[who].me), "tie": "case_manager", "reason": "covering"}
    world.act(assign_to_care_team, world.case_manager, world.person_id, **words)


def test_a_move_is_told_once_to_both_sides_but_not_to_who_recorded_it(world: World) -> None:
    on_the_team(world, "other_case_manager")
    moves(world, "2026-07-01")
    referral_id = world.sent()
    assert mailed(world) == INTAKE, "what was known when it was sent is no news"
    it_is(world, MONDAY, 10)
    moves(world, "2026-06-01")
    assert mailed(world) == sorted([*INTAKE, "other_case_manager"])
    assert mailed(world) == []
    it_is(world, MONDAY, 11)
    moves(world, "2026-06-01")
    assert mailed(world) == [], "a day that is only confirmed"
    accepts(world, referral_id)
    mailed(world)
    it_is(world, MONDAY, 12)
    moves(world, None, "other_case_manager")
    assert mailed(world) == ["case_manager", "navigator"]


def test_several_referrals_and_several_moves_are_one_thing_each(world: World) -> None:
    with planting(world.session):
        other = Program(organization_id=world.cbo_id, name="Work", categories=["housing"], capacity_code="capacity")
        other.added_at = there(MONDAY)
        world.session.add(other)
        world.session.add(IntakeMember(program_id=other.id, user_id=world.navigator.me, added_at=there(MONDAY)))
    world.sent()
    world.sent(program_id=other.id)
    mailed(world)
    it_is(world, MONDAY, 10)
    moves(world, "2026-06-01")
    c.tell_moves(world.session, None, None)
    it_is(world, MONDAY, 10, 5)
    moves(world, "2026-05-20")
    assert mailed(world) == INTAKE
    told = [one for one in notices(world) if one.kind == q.MOVED and one.user_id == world.navigator.me]
    assert len(told) == 2, "the first was taken over before its mail left, and is not counted"


def test_who_has_seen_it_on_the_page_and_who_may_not_know_the_day_are_told_nothing(world: World) -> None:
    moves(world, "2026-07-01")
    referral_id = world.sent()
    mailed(world)
    it_is(world, MONDAY, 10)
    moves(world, "2026-06-01")
    with looking(world.session):
        q.referral(world.session, world.navigator, referral_id)
    finish(world.session)
    assert mailed(world) == ["other_navigator", "outside_intake"]
    world.withdraw_consent(world.consent_id)
    world.consent_again(categories=["identity", "needs", "contact"])
    it_is(world, MONDAY, 11)
    moves(world, "2026-05-01")
    assert mailed(world) == []


def ended(world: World, referral_id: UUID) -> None:
    world.act(c.cancel_referral, world.case_manager, referral_id, reason="made_by_mistake")


def died(world: World, _referral_id: UUID) -> None:
    world.act(record_death, world.case_manager, world.person_id, told_by="family", is_checked=True)


def taken_back_by_consent(world: World, _referral_id: UUID) -> None:
    world.withdraw_consent()


@pytest.mark.parametrize("change", [ended, died, taken_back_by_consent])
def test_a_move_is_told_to_nobody_whose_work_it_concerns_no_more(
    world: World, change: Callable[[World, UUID], None]
) -> None:
    referral_id = world.sent()
    mailed(world)
    it_is(world, MONDAY, 10)
    move = moves(world, "2026-06-01")

    def told() -> list[str]:
        at = there(MONDAY, 10)
        return sorted(key for key, actor in world.people.items() if q.is_move_told(world.session, actor, move, at))

    assert told() == sorted(["case_manager", *INTAKE])
    change(world, referral_id)
    assert not set(told()) & set(INTAKE)
    assert told() == [], change


def test_that_no_mail_comes_does_not_tell_the_sender_of_a_no_that_does_not_come_back(world: World) -> None:
    on_the_team(world, "other_case_manager")
    referral_id = world.sent()
    declines(world, referral_id)
    world.withdraw_consent(world.return_consent_id)
    mailed(world)
    it_is(world, MONDAY, 10)
    moves(world, "2026-06-01")
    assert mailed(world) == ["other_case_manager"]


def test_what_is_near_or_much_sooner_is_told_at_once_and_the_rest_once_a_day(world: World) -> None:
    with planting(world.session):
        for actor in world.people.values():
            world.session.get_one(User, actor.me).mail_choice = None  # once a day, as for whoever has not chosen
    world.sent()
    mailed(world)
    it_is(world, MONDAY, 10)
    moves(world, "2026-07-01")
    assert mailed(world) == []
    it_is(world, MONDAY, 11)
    moves(world, "2026-06-28")
    assert mailed(world) == []
    it_is(world, MONDAY, 12)
    moves(world, "2026-06-20")
    assert set(mailed(world)) == set(INTAKE)


def test_a_release_and_a_return_to_custody_are_told(world: World) -> None:
    referral_id = world.sent()
    accepts(world, referral_id)
    mailed(world)
    it_is(world, MONDAY, 10)
    said = {"source": "agency_record", "as_of": "2026-03-01"}
    world.act(release.record_release, world.case_manager, world.person_id, released_on="2026-03-01", **said)
    assert mailed(world) == ["navigator"]
    it_is(world, MONDAY, 11)
    back = said | {"returned_on": "2026-03-01", "unknown_because": "court_pending"}
    world.act(release.record_return, world.case_manager, world.person_id, **back)
    assert mailed(world) == ["navigator"]


def test_a_move_is_still_told_when_the_worker_was_away_for_a_day_but_not_for_a_week(world: World) -> None:
    world.sent()
    mailed(world)
    it_is(world, MONDAY, 10)
    moves(world, "2026-06-01")
    it_is(world, "2026-03-10", 10)
    c.tell_moves(world.session, None, None)
    assert [one for one in notices(world) if one.kind == q.MOVED] == []
    it_is(world, "2026-03-04", 9)
    c.tell_moves(world.session, None, None)
    assert len([one for one in notices(world) if one.kind == q.MOVED]) == 3
