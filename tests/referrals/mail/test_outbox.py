"""The outbox: written with the act, sent once however many workers, in its time, while what it tells of is so."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from referrals.account.models import MAIL_HOURS, User
from referrals.kernel.actor import Actor, Role
from referrals.kernel.command import execute
from referrals.kernel.errors import InvalidInputError, NotFoundError
from referrals.kernel.job import LEASE, MOST_TRIES, Job, run_once
from referrals.kernel.language import catalog_of
from referrals.kernel.mail import Post
from referrals.kernel.record import day_of
from referrals.kernel.session import HouseSession
from referrals.mail import commands as mail_commands
from referrals.mail import queries as mail_queries
from referrals.mail.models import Mail, Notice, digest_after
from referrals.organization.models import ZONES
from referrals.settings import smtp_server
from tests.factories.account import an_actor
from tests.factories.organization import an_agency
from tests.factories.referral import planting
from tests.factories.smtp import MailServer, a_mail_server

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(180)]

KIND = "account.test_told"
#: A Tuesday, 9 in the morning at the agency's place.
NINE = datetime(2026, 11, 3, 17, 0, tzinfo=UTC)


@dataclass
class Ground:
    """What the tests' notices stand on, and whether it is gone."""

    gone: set[UUID] = field(default_factory=set)
    asked: list[Actor] = field(default_factory=list)
    breaks: bool = False


@pytest.fixture
def ground() -> Iterator[Ground]:
    made = Ground()

    def holds(_session: object, actor: Actor, target: UUID, _at: datetime) -> bool:
        made.asked.append(actor)
        if made.breaks:
            raise ZeroDivisionError
        return target not in made.gone

    mail_commands.ground(KIND)(holds)
    yield made
    mail_commands.GROUNDS.pop(KIND)


@dataclass
class Office:
    """One agency, two people with addresses, a worker and its clock."""

    session: HouseSession
    server: MailServer
    ann: Actor
    bo: Actor
    now: datetime = NINE

    def told(self, who: Actor, *, urgent: bool = False, target: UUID | None = None, occasion: str = "") -> UUID:
        """Let somebody be told of something, as a job would."""
        target = target or uuid4()
        mail_commands.tell_by_job(
            self.session, [mail_commands.Told(who.me, KIND, target, occasion or str(target), urgent)]
        )
        return target

    def chooses(self, who: Actor, choice: str, hour: int | None = None) -> None:
        """Let somebody choose when mail comes."""
        execute(self.session, mail_commands.set_mail, actor=who, target=who.me, data={"choice": choice, "hour": hour})

    def work(self, session: HouseSession | None = None) -> None:
        """Let the worker do what is due, the mail that this brings about included."""
        run_once(session or self.session)

    def pass_by(self, **span: float) -> None:
        self.now += timedelta(**span)

    @property
    def bodies(self) -> list[tuple[str, str]]:
        """To whom mail came, and its first line."""
        read = [email.message_from_bytes(one.content, policy=email.policy.default) for one in self.server.received]
        return [(str(one["To"]).partition("@")[0], one.get_content().splitlines()[0]) for one in read]

    def mails(self) -> list[Mail]:
        self.session.rollback()
        self.session.expire_all()
        return list(self.session.scalars(select(Mail).order_by(Mail.id)))

    def notices(self) -> list[Notice]:
        self.session.rollback()
        self.session.expire_all()
        return list(self.session.scalars(select(Notice).order_by(Notice.id)))


@pytest.fixture
def server() -> Iterator[MailServer]:
    with a_mail_server() as made:
        yield made


def furnish(session: HouseSession, office: Office) -> HouseSession:
    session.info["clock"] = lambda: office.now
    session.info["post"] = Post(smtp_server(office.server.url()), "https://throughgate.example.org/home", catalog_of)
    return session


@pytest.fixture
def office(any_session: HouseSession, server: MailServer, ground: Ground) -> Office:
    assert ground.gone == set()
    any_session.info["clock"] = lambda: NINE
    agency = an_agency(any_session)
    people = [an_actor(any_session, agency.id, Role.CASE_MANAGER, name=name) for name in ("Ann Berg", "Bo Lind")]
    with planting(any_session):
        for actor in people:
            user = any_session.get_one(User, actor.me)
            user.email = f"{user.display_name.split()[0].lower()}@county.example"
    made = Office(any_session, server, *people)
    furnish(any_session, made)
    return made


ONE = "Something in Throughgate needs you."


# --- what is written --------------------------------------------------------------------------------------------------


def test_a_kind_without_a_ground_cannot_be_told_and_a_ground_is_declared_once(office: Office) -> None:
    with pytest.raises(LookupError):
        mail_commands.tell_by_job(
            office.session, [mail_commands.Told(office.ann.me, "account.unknown", uuid4(), "x", is_urgent=False)]
        )
    with pytest.raises(TypeError):
        mail_commands.ground(KIND)(lambda *_: True)
    assert office.notices() == []


def test_the_same_occasion_is_told_once(office: Office) -> None:
    target = office.told(office.ann)
    office.told(office.ann, target=target)
    office.told(office.bo, target=target)
    assert sorted(one.user_id for one in office.notices()) == sorted([office.ann.me, office.bo.me])


def test_the_outbox_and_the_job_hold_ids_and_no_content(office: Office) -> None:
    office.chooses(office.ann, "at_once")
    office.told(office.ann)
    office.work()
    (notice,) = office.notices()
    (mail,) = office.mails()
    job = office.session.scalars(select(Job).where(Job.kind == "account.send_mail")).one()
    assert (job.target_id, notice.mail_id) == (mail.id, mail.id)
    told = " ".join(str(value) for row in (notice, mail, job) for value in vars(row).values())
    assert "county.example" not in told
    assert "Ann" not in told


# --- when it is sent --------------------------------------------------------------------------------------------------


def test_mail_comes_once_a_day_unless_somebody_chooses_otherwise(office: Office) -> None:
    for _ in range(3):
        office.told(office.ann)
    office.work()
    office.pass_by(hours=22, minutes=59)
    office.work()
    assert office.bodies == []
    office.pass_by(minutes=1)
    office.work()
    assert office.bodies == [("ann", "3 things in Throughgate need you.")]
    office.pass_by(days=2)
    office.work()
    assert len(office.bodies) == 1


def test_what_is_urgent_comes_at_once_and_leaves_the_rest_for_its_hour(office: Office) -> None:
    office.told(office.ann)
    office.told(office.ann, urgent=True)
    office.work()
    assert office.bodies == [("ann", ONE)]
    office.pass_by(days=1)
    office.work()
    assert office.bodies == [("ann", ONE), ("ann", ONE)]


def test_at_once_is_at_once_and_never_is_never(office: Office) -> None:
    office.chooses(office.ann, "at_once")
    office.chooses(office.bo, "none")
    for who in (office.ann, office.bo):
        office.told(who)
        office.told(who, urgent=True)
    office.work()
    assert office.bodies == [("ann", "2 things in Throughgate need you.")]
    assert {one.dropped_at for one in office.notices() if one.user_id == office.bo.me} == {NINE}


def test_the_hour_is_the_one_they_chose(office: Office) -> None:
    office.chooses(office.ann, "daily", 15)
    office.told(office.ann)
    office.pass_by(hours=5, minutes=59)
    office.work()
    assert office.bodies == []
    office.pass_by(minutes=1)
    office.work()
    assert office.bodies == [("ann", ONE)]


@pytest.mark.parametrize(
    "words", [{"choice": "weekly"}, {"choice": "daily", "hour": 4}, {"choice": "daily", "hour": 20}, {}]
)
def test_what_cannot_be_chosen_is_refused(office: Office, words: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        execute(office.session, mail_commands.set_mail, actor=office.ann, target=office.ann.me, data=words)


def test_nobody_chooses_for_somebody_else(office: Office) -> None:
    with pytest.raises(NotFoundError):
        execute(office.session, mail_commands.set_mail, actor=office.ann, target=office.bo.me, data={"choice": "none"})


# --- digests over zones and clock changes -----------------------------------------------------------------------------

INSTANTS = st.integers(0, 8 * 366 * 24 * 60).map(
    lambda minutes: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(INSTANTS, st.sampled_from(list(MAIL_HOURS)), st.sampled_from(sorted(ZONES)))
@example(datetime(2026, 3, 8, 9, 59, tzinfo=UTC), 5, "America/Los_Angeles")  # the hour after is skipped
@example(datetime(2026, 11, 1, 8, 30, tzinfo=UTC), 5, "America/Los_Angeles")  # the hour after comes twice
def test_a_digest_comes_once_a_local_day_at_its_hour(at: datetime, hour: int, zone: str) -> None:
    leaves = digest_after(at, hour, zone)
    local = leaves.astimezone(ZoneInfo(zone))
    assert at < leaves <= at + timedelta(hours=25)
    assert (local.hour, local.minute, local.second) == (hour, 0, 0)
    following = digest_after(leaves, hour, zone)
    assert day_of(following, zone) == day_of(leaves, zone) + timedelta(days=1)
    assert digest_after(leaves - timedelta(seconds=1), hour, zone) == leaves
    assert digest_after(following - timedelta(seconds=1), hour, zone) == following


@given(INSTANTS, st.timedeltas(timedelta(0), timedelta(days=3)), st.sampled_from(sorted(ZONES)))
def test_whoever_is_told_later_is_never_mailed_earlier(at: datetime, later: timedelta, zone: str) -> None:
    assert digest_after(at, 8, zone) <= digest_after(at + later, 8, zone)


@pytest.mark.parametrize(("hour", "utc"), [(2, 10), (1, 9)])
def test_an_hour_that_a_clock_change_skips_comes_by_the_new_clock(hour: int, utc: int) -> None:
    before = datetime(2026, 3, 8, 8, 30, tzinfo=UTC)  # half past midnight in Los Angeles
    assert digest_after(before, hour, "America/Los_Angeles") == datetime(2026, 3, 8, utc, tzinfo=UTC)


def test_an_hour_that_comes_twice_counts_once() -> None:
    first = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)  # 1 in the morning, the first time
    assert digest_after(first - timedelta(hours=1), 1, "America/Los_Angeles") == first
    assert digest_after(first, 1, "America/Los_Angeles") == datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
    assert digest_after(first + timedelta(hours=1), 1, "America/Los_Angeles") == datetime(2026, 11, 2, 9, tzinfo=UTC)


# --- only while there is a reason -------------------------------------------------------------------------------------


def test_what_lost_its_ground_is_dropped_and_not_counted(office: Office, ground: Ground) -> None:
    office.chooses(office.ann, "at_once")
    gone = [office.told(office.ann), office.told(office.ann)]
    office.told(office.ann)
    office.told(office.bo, target=gone[0], urgent=True)
    ground.gone = set(gone)
    office.work()
    assert office.bodies == [("ann", ONE)]
    assert [one.dropped_at for one in office.mails() if one.user_id == office.bo.me] == [NINE]
    assert {(one.user_id, one.roles, one.sign_in_id) for one in ground.asked} == {
        (who.me, frozenset({Role.CASE_MANAGER}), None) for who in (office.ann, office.bo)
    }


def test_the_ground_is_asked_again_at_every_try(office: Office, ground: Ground) -> None:
    target = office.told(office.ann, urgent=True)
    office.server.answers["rcpt"] = ["450 not now"]
    office.work()
    ground.gone = {target}
    office.pass_by(minutes=1)
    office.work()
    assert (office.bodies, [one.dropped_at for one in office.mails()]) == ([], [office.now])


def disable(user: User, at: datetime) -> None:
    user.disable(at=at, by=None, because="A test.")


def leave(user: User, at: datetime) -> None:
    user.ends_on = day_of(at, "UTC") - timedelta(days=2)


def lose_address(user: User, _at: datetime) -> None:
    user.email = None


def want_none(user: User, _at: datetime) -> None:
    user.mail_choice = "none"


@pytest.mark.parametrize("change", [disable, leave, lose_address, want_none])
def test_whoever_is_not_to_be_mailed_any_more_gets_nothing(
    office: Office, change: Callable[[User, datetime], None]
) -> None:
    office.told(office.ann, urgent=True)
    office.server.answers["connect"] = ["421 busy"]  # packed already when the change comes
    office.work()
    with planting(office.session):
        change(office.session.get_one(User, office.ann.me), office.now)
    office.told(office.ann, urgent=True)  # and this one is not
    office.pass_by(minutes=5)
    office.work()
    assert office.bodies == []
    assert all(one.dropped_at for one in office.mails())


# --- never twice ------------------------------------------------------------------------------------------------------


def test_two_workers_at_once_send_nothing_twice(
    office: Office, engine: Engine, open_on: Callable[[Engine], HouseSession]
) -> None:
    for _ in range(4):
        office.told(office.ann, urgent=True)
        office.told(office.bo, urgent=True)

    def a_worker(_number: int) -> None:
        with furnish(open_on(engine), office) as own:
            for _ in range(3):
                office.work(own)

    office.session.rollback()
    with ThreadPoolExecutor(3) as workers:
        list(workers.map(a_worker, range(3)))
    assert sorted(office.bodies) == [(name, "4 things in Throughgate need you.") for name in ("ann", "bo")]
    assert [one.tries for one in office.mails()] == [1, 1]


def test_a_message_that_another_worker_is_sending_is_left_to_it(office: Office) -> None:
    office.told(office.ann, urgent=True)
    office.server.answers["connect"] = ["421 busy"]
    office.work()
    (mail,) = office.mails()
    mail_commands._end_mail(office.session, mail.id, begun_at=office.now)
    office.pass_by(minutes=1)
    office.work()
    assert office.bodies == []
    mail_commands._end_mail(office.session, mail.id, begun_at=None)
    office.pass_by(minutes=5)
    office.work()
    assert office.bodies == [("ann", ONE)]


def test_what_a_dead_worker_began_may_have_been_sent_and_is_not_sent_again(office: Office) -> None:
    office.told(office.ann, urgent=True)
    office.server.answers["connect"] = ["421 busy"]
    office.work()
    (mail,) = office.mails()
    mail_commands._end_mail(office.session, mail.id, begun_at=office.now)
    office.now += LEASE
    office.work()
    (mail,) = office.mails()
    assert (office.bodies, mail.error_code, mail.failed_at) == ([], "outcome_unknown", office.now)


def test_a_server_that_falls_silent_after_the_message_is_not_given_it_again(office: Office) -> None:
    office.told(office.ann, urgent=True)
    office.server.answers["content"] = [""]
    office.work()
    office.pass_by(days=1)
    office.work()
    (mail,) = office.mails()
    assert (len(office.server.received), mail.error_code, mail.failed_at is None) == (1, "outcome_unknown", False)


def test_a_server_that_is_busy_is_asked_again_with_doubling_pauses(office: Office) -> None:
    office.told(office.ann, urgent=True)
    office.server.answers["rcpt"] = ["450 busy", "450 busy"]
    office.work()
    (mail,) = office.mails()
    assert (mail.tries, mail.error_code, mail.begun_at, mail.failed_at) == (1, "smtp_450", None, None)
    job = office.session.scalars(select(Job).where(Job.kind == "account.send_mail")).one()
    assert (job.run_at - office.now, job.error_code) == (timedelta(seconds=30), "mail_not_taken")
    office.pass_by(seconds=30)
    office.work()
    office.pass_by(seconds=60)
    office.work()
    (mail,) = office.mails()
    assert (office.bodies, mail.tries, mail.error_code, mail.sent_at) == ([("ann", ONE)], 3, None, office.now)


def test_a_server_out_of_reach_is_left_alone_for_a_minute_and_holds_up_nothing(office: Office) -> None:
    for who in (office.ann, office.bo):
        office.told(who, urgent=True)
    office.server.answers["connect"] = [""]
    office.work()
    assert (office.server.connections, sorted(one.tries for one in office.mails())) == (1, [0, 1])
    office.pass_by(seconds=59)
    office.work()
    assert office.server.connections == 1
    office.pass_by(seconds=1)
    office.work()
    office.pass_by(minutes=1)
    office.work()
    assert sorted(office.bodies) == [("ann", ONE), ("bo", ONE)]
    assert sorted(one.tries for one in office.mails()) == [1, 2]


def test_a_server_that_stays_down_ends_as_failed(office: Office) -> None:
    office.told(office.ann, urgent=True)
    office.server.answers["connect"] = ["421 busy"] * 20
    for _ in range(MOST_TRIES + 2):
        office.work()
        office.pass_by(hours=3)
    (mail,) = office.mails()
    assert (mail.tries, mail.error_code, mail.failed_at is None) == (MOST_TRIES, "smtp_421", False)
    assert office.server.connections == MOST_TRIES


def test_a_fault_of_ours_is_tried_again_and_does_not_stop_others(office: Office, ground: Ground) -> None:
    office.told(office.ann, urgent=True)
    ground.breaks = True
    office.work()
    (mail,) = office.mails()
    assert (mail.error_code, mail.begun_at) == ("ZeroDivisionError", None)
    ground.breaks = False
    office.pass_by(seconds=30)
    office.work()
    assert office.bodies == [("ann", ONE)]


# --- a refusal for good -----------------------------------------------------------------------------------------------


def test_a_refusal_for_good_is_kept_and_shown_until_a_later_mail_arrives(office: Office) -> None:
    everybody = [office.ann.me, office.bo.me]
    office.told(office.ann, urgent=True)
    office.told(office.bo, urgent=True)
    office.server.answers["rcpt"] = ["550 ann@county.example is unknown here"]
    office.work()
    assert len(office.bodies) == 1
    failed = {one.user_id: one for one in office.mails()}
    (unreached,) = mail_queries.unreached(office.session, everybody).items()
    assert (unreached[1], failed[unreached[0]].error_code) == (office.now, "smtp_550")
    assert [code for _at, _name, code in mail_queries.failed_mail(office.session)] == ["smtp_550"]
    connections = office.server.connections
    office.pass_by(days=1)
    office.work()
    assert office.server.connections == connections
    with planting(office.session):
        office.session.get_one(User, unreached[0]).email = "right@county.example"
    mail_commands.tell_by_job(office.session, [mail_commands.Told(unreached[0], KIND, uuid4(), "next", is_urgent=True)])
    office.pass_by(minutes=1)
    office.work()
    assert mail_queries.unreached(office.session, everybody) == {}
    assert (len(mail_queries.failed_mail(office.session)), mail_queries.waiting_mail(office.session)) == (1, 0)


# --- without a mail server --------------------------------------------------------------------------------------------


def test_without_a_mail_server_nothing_is_sent_and_what_waits_stays(office: Office) -> None:
    office.told(office.ann, urgent=True)
    office.session.info["post"] = None
    office.work()
    assert (office.bodies, office.mails()) == ([], [])
    assert [one.dropped_at for one in office.notices()] == [None]
    furnish(office.session, office)
    office.pass_by(minutes=2)
    office.work()
    assert office.bodies == [("ann", ONE)]
