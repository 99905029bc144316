"""What is told by mail: written with the act, sent once, while what it tells of is so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.account.models import MAIL_HOURS, MailChoice, User
from referrals.account.policy import is_oneself
from referrals.kernel.actor import Actor
from referrals.kernel.command import Work, command
from referrals.kernel.job import LEASE, MOST_TRIES, follow_up, job_kind
from referrals.kernel.mail import MailError, Post, post_of
from referrals.kernel.record import clock, commit, start_writing
from referrals.kernel.schema import Takes, code, whole
from referrals.mail import queries as q
from referrals.mail.models import Mail, MailNotTakenError, MailUnderWayError, Notice

# --- the outbox ------------------------------------------------------------------------------------------------------
#
# Whoever acts upstairs writes notices into the outbox, with the act. The worker sorts them by what their people chose,
# writes one message for each person, and asks again, just before it leaves, whether each notice still has its ground.


class SetMail(Takes):
    """When one is told by mail, and at which hour the daily one comes."""

    choice = code(MailChoice)
    hour = whole(MAIL_HOURS.start, MAIL_HOURS.stop - 1, required=False)


@command(
    records="account.mail_set",
    on=User,
    makes=User,
    takes=SetMail,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
)
def set_mail(work: Work, user: User, *, choice: str, hour: int | None) -> User:
    """Choose when mail says that something waits: at once, once a day, or never."""
    user.choose_mail(MailChoice(choice), user.mailed_at if hour is None else hour)
    work.record(user, ["mail_choice", "mail_hour"])
    return user


#: Whether what somebody was to be told of still concerns them, and they may still know of it. Rooms upstairs fill it.
Ground = Callable[[Session, Actor, UUID, datetime], bool]
GROUNDS: Final[dict[str, Ground]] = {}


def ground(kind: str) -> Callable[[Ground], Ground]:
    """Declare what a kind of notice stands on, asked again just before its mail leaves."""

    def declare(holds: Ground) -> Ground:
        if kind in GROUNDS:
            raise TypeError(f"the ground of {kind} is declared twice")
        GROUNDS[kind] = holds
        return holds

    return declare


@dataclass(frozen=True, slots=True)
class Told:
    """What one person is to be told of: `occasion` names what is told once, whatever asks for it again."""

    user_id: UUID
    kind: str
    target_id: UUID
    occasion: str
    is_urgent: bool

    def notice(self, at: datetime) -> Notice:
        """Return its row in the outbox."""
        if self.kind not in GROUNDS:
            raise LookupError(self.kind)
        return Notice(
            user_id=self.user_id,
            kind=self.kind,
            target_id=self.target_id,
            is_urgent=self.is_urgent,
            at=at,
            dedupe_key=self.key,
        )

    @property
    def key(self) -> str:
        """What the outbox holds once."""
        return f"{self.kind}:{self.occasion}:{self.user_id}"


def tell(work: Work, told: Iterable[Told]) -> None:
    """Write notices with the act in progress: both happen, or neither. Nobody is told of their own act."""
    if post_of(work.session) is None:
        return
    for one in told:
        if one.user_id != work.actor.user_id:
            work.keep(one.notice(work.now))


def tell_by_job(session: Session, told: Iterable[Told]) -> None:
    """Write the notices that are not in the outbox yet, as the bookkeeping of a job."""
    by_key = {one.key: one for one in told}
    known = select(Notice.dedupe_key).where(Notice.dedupe_key.in_(list(by_key)))
    missing = by_key.keys() - set(session.scalars(known)) if by_key else set()
    if not missing:
        return
    start_writing(session)
    at = clock(session)
    session.add_all(by_key[key].notice(at) for key in sorted(missing))
    try:
        session.flush()
    except IntegrityError:  # another worker wrote one of them meanwhile; what is still missing is written next time
        session.rollback()
        return
    commit(session)


@job_kind("account.post_due", every=60)
def post_due(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
    """Write a message to everybody for whom it is time, and let go what nobody wants to be told."""
    if post_of(session) is None:
        return
    waiting = q.to_mail(session, clock(session))
    if waiting.unwanted:
        start_writing(session)
        _of_outbox(session, waiting.unwanted, dropped_at=clock(session))
        commit(session)
    for user_id, notices in waiting.due.items():
        start_writing(session)
        mail = Mail(user_id=user_id, at=clock(session), tries=0)
        session.add(mail)
        session.flush()
        if _of_outbox(session, notices, mail_id=mail.id) == 0:  # another worker was faster
            session.rollback()
            continue
        follow_up(session, "account.send_mail", target=mail.id)
        session.flush()
        commit(session)


#: What is told of an account: that it happened, at once and by mail too (S-806), while its person has not looked at it.
CHANGED: Final = "account.changed"
ground(CHANGED)(q.is_news)
#: So long after it happened a change is still told, should no worker have run meanwhile.
_CHANGES_TOLD_WITHIN: Final = timedelta(days=2)


@job_kind("account.tell_changes", every=60)
def tell_changes(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
    """Tell people by mail what changed on how they sign in, also what was done in their own name (S-806).

    By a job and not with the act: whoever is locked out by wrong tries costs no statement more than anybody (S-102).
    """
    if post_of(session) is None:
        return
    found = q.changed_lately(session, clock(session) - _CHANGES_TOLD_WITHIN)
    tell_by_job(session, [Told(one.user_id, CHANGED, one.id, str(one.id), is_urgent=True) for one in found])


def _of_outbox(session: Session, notices: Iterable[UUID], **values: Any) -> int:
    """Write where these notices went, unless somebody else has; return how many."""
    still = Notice.id.in_(list(notices)), Notice.mail_id.is_(None), Notice.dropped_at.is_(None)
    mine = update(Notice).where(*still).values(values).returning(Notice.id)
    return len(session.scalars(mine, execution_options={"synchronize_session": False}).all())


@job_kind("account.send_mail")
def send_mail(session: Session, target: UUID | None, _behalf: UUID | None) -> None:
    """Hand one message to the mail server: never twice, and only while what it tells of has its ground.

    Raises:
        MailNotTakenError: not now; the job is tried again.
        MailUnderWayError: another worker is at it.
    """
    post = post_of(session)
    if post is None or target is None:
        raise MailNotTakenError
    if _is_resting(session, target):
        return
    began = _begin_mail(session, target)
    if not began:
        return
    try:
        message = _letter(session, post, target)
        if message is None:
            _end_mail(session, target, dropped_at=clock(session))
            return
        post.hand_over(message)
    except MailError as fault:
        if fault.code in _OUT_OF_REACH:
            session.info["post_rests_until"] = clock(session) + _REST
        is_final = fault.fate != "later" or began >= MOST_TRIES
        _end_mail(session, target, error_code=fault.code, **_missed(session, for_good=is_final))
        if is_final:
            return
        raise MailNotTakenError from fault
    except Exception as fault:  # ours: the server has not heard of it, or would have raised what is above
        session.rollback()
        code = type(fault).__name__[:40]
        _end_mail(session, target, error_code=code, **_missed(session, for_good=began >= MOST_TRIES))
        raise
    # From here on it has been sent: if this cannot be written down, it stays begun, and is never sent again.
    _end_mail(session, target, sent_at=clock(session), error_code=None)


#: A server that cannot be reached may cost each message its whole patience, while settlements and deadlines wait: so
#: this worker asks it once in so long.
_OUT_OF_REACH: Final = frozenset({"unreachable", "tls_failed"})
_REST: Final = timedelta(minutes=1)


def _is_resting(session: Session, mail_id: UUID) -> bool:
    """Put a message off, uncounted, while this worker leaves the mail server alone; return whether it did."""
    until = session.info.get("post_rests_until")
    if until is None or until <= clock(session):
        return False
    start_writing(session)
    follow_up(session, "account.send_mail", target=mail_id, at=until)
    session.flush()
    commit(session)
    return True


def _missed(session: Session, *, for_good: bool) -> dict[str, datetime | None]:
    return {"failed_at": clock(session)} if for_good else {"begun_at": None}


def _begin_mail(session: Session, mail_id: UUID) -> int:
    """Claim a message; return which try it is, 0 when there is nothing to do."""
    start_writing(session)
    at = clock(session)
    those = select(Mail).where(Mail.id == mail_id).with_for_update()
    mail = session.scalars(those, execution_options={"populate_existing": True}).one()
    if mail.sent_at is not None or mail.failed_at is not None or mail.dropped_at is not None:
        session.rollback()
        return 0
    if mail.begun_at is None:
        mail.begun_at, mail.tries = at, mail.tries + 1
        session.flush()
        commit(session)
        return mail.tries
    if at - mail.begun_at < LEASE:
        session.rollback()
        raise MailUnderWayError
    # Whoever began it died over it, and nobody knows how far it came: it may have been sent.
    mail.failed_at, mail.error_code = at, "outcome_unknown"
    session.flush()
    commit(session)
    return 0


def _letter(session: Session, post: Post, mail_id: UUID) -> EmailMessage | None:
    """Write the message; None where nothing is left to tell, or the person is not to be mailed any more."""
    at = clock(session)
    mail = session.get_one(Mail, mail_id)
    user = accounts.user(session, mail.user_id)
    things: set[UUID] = set()
    if user.may_be_mailed(at):
        actor = accounts.reader(user)
        told = q.told_by(session, mail_id)
        things = {one.target_id for one in told if GROUNDS[one.kind](session, actor, one.target_id, at)}
    language = user.language or "en"
    message = post.message(str(user.email), len(things), language=language, at=at) if things else None
    session.rollback()
    return message


def _end_mail(session: Session, mail_id: UUID, **values: Any) -> None:
    start_writing(session)
    mine = update(Mail).where(Mail.id == mail_id).values(values)
    session.execute(mine, execution_options={"synchronize_session": False})
    commit(session)
