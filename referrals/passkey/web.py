"""Both doors of one's passkeys. Proving oneself by one stands in `sign_in`, adding and removing one in `factor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.account.web import RATE, as_json, list_operation
from referrals.kernel.door import Doors, Form, Shape, asking, json_words, run
from referrals.kernel.web import HALFWAY, current_actor, db, limiter, say
from referrals.passkey import commands as c
from referrals.passkey import queries as q

doors = Doors("passkey")

HALFWAY |= {
    "passkey_api.challenge_passkey": "a passkey may be what completes the sign-in, or the first factor of all",
}


class PasskeyShape(Shape):
    """One of one's passkeys; `is_synced` says that whoever keeps it for its owner has copied it between devices."""

    id = fields.UUID()
    name = fields.String()
    added_at = fields.AwareDateTime()
    last_used_at = fields.AwareDateTime(allow_none=True)
    ended_at = fields.AwareDateTime(allow_none=True)
    is_syncable = fields.Boolean()
    is_synced = fields.Boolean()


class ChallengeShape(Shape):
    """What a browser's `navigator.credentials` is to be asked: PublicKeyCredential…OptionsJSON of WebAuthn."""

    purpose = fields.String()
    options = fields.Dict()


@doors.get("/account/passkeys", page="passkey/passkeys.html", shape=PasskeyShape, many=True)
def passkeys() -> Mapping[str, Any]:
    """Read one's passkeys and security keys."""
    database, actor = asking()
    return {"rows": q.of_user(database, actor.me), "next": None, "form": Form()}


def _named(target: UUID) -> Mapping[str, Any]:
    database, actor = asking()
    one = q.one_of(database, actor, target)
    return {"it": one, "values": {"name": one.name}}


doors.act(
    "/account/passkeys/<uuid:target>/name",
    c.rename_passkey,
    page="passkey/rename.html",
    then=lambda _one: "/account/passkeys",
    shape=PasskeyShape,
    context=_named,
    done="passkey_renamed",
)


@doors.api.post("/sign-ins/current/passkey-challenge", endpoint="challenge_passkey")
@limiter.limit(RATE)
def json_challenge_passkey() -> ResponseReturnValue:
    """Make a challenge for one answer of a passkey, within five minutes."""
    asked = run(c.challenge_passkey, current_actor().me, json_words())
    told = {"purpose": asked.purpose, "options": q.options(db.session(), asked)}
    return as_json(ChallengeShape().told(told), 201)


list_operation(
    doors,
    "/sign-ins/current/passkey-challenge",
    "challenge_passkey",
    "Make a challenge for a passkey.",
    what=c.challenge_passkey,
    shape=ChallengeShape,
    creates=True,
)

say(
    {
        "required.passkey": _l(
            "Your browser did not ask for the passkey. This needs JavaScript. Allow it for this address, or use an "
            "authenticator app."
        ),
        "passkey_refused": _l("We could not take this passkey. Try again, or enter a code."),
        "passkey_copied": _l(
            "We did not take this passkey: a copy of it seems to exist. Enter a code instead, then remove it from your "
            "account and tell your organization's administrator."
        ),
        "no_passkey": _l("This account has no passkey. Enter a code."),
        "passkeys_not_offered": _l("This address cannot have passkeys. Use an authenticator app."),
        "passkey_known": _l("This passkey was added before. Use another key."),
        "passkey_ended": _l("This passkey was removed before."),
        "passkey_renamed": _l("The passkey has its new name."),
    }
)
