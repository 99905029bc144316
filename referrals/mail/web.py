"""Both doors of when somebody is told by mail."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from typing import Any

from babel.dates import format_time
from flask_babel import get_locale
from flask_babel import lazy_gettext as _l

from referrals.account import queries as accounts
from referrals.account.web import OneselfShape
from referrals.kernel.door import Doors, asking
from referrals.kernel.errors import NotFoundError
from referrals.kernel.mail import post_of
from referrals.kernel.web import Words, current_actor, db, say
from referrals.mail import commands as c

doors = Doors("mail")


def hour_in_words(hour: int) -> str:
    """Say a full hour as people here read it."""
    return format_time(time(hour), "short", locale=get_locale() or "en")


def _mail() -> Mapping[str, Any]:
    """Ask when one is told by mail. Where no mail is sent, nothing is asked."""
    database, actor = asking()
    if post_of(database) is None:
        raise NotFoundError
    it = accounts.user(database, actor.me)
    return {
        "it": it,
        "mailed": MAIL_CHOICES,
        "hours": [(hour, hour_in_words(hour)) for hour in accounts.MAIL_HOURS],
        "values": {"choice": it.mailed.value, "hour": str(it.mailed_at)},
    }


doors.act(
    "/account/mail",
    c.set_mail,
    page="mail/mail.html",
    context=_mail,
    target=lambda _ids: current_actor().me,
    then=lambda _user: "/account",
    shape=OneselfShape,
    show=lambda row: accounts.user(db.session(), row.id),
    done="mail_is_set",
)


#: When mail comes, in words.
MAIL_CHOICES: dict[str, Words] = {
    accounts.MailChoice.AT_ONCE: _l("At once"),
    accounts.MailChoice.DAILY: _l("Once a day, and at once when it is urgent"),
    accounts.MailChoice.NONE: _l("Never"),
}

say(
    {
        "mail_is_set": _l("Saved. Mail that waits for you now follows your new choice, too."),
        "required.choice": _l("Choose when we may send you mail."),
        "mail_not_taken": _l("The mail server has not taken the message yet. It will be tried again."),
        "mail_under_way": _l("This message is being sent."),
    }
)
