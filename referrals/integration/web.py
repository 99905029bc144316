"""Both doors of the integrations of one's organization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn
from uuid import UUID

from flask import Response, g, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.account import queries as accounts
from referrals.account.web import (
    RATE,
    ROLE_NAMES,
    as_json,
    as_typed,
    ask,
    ask_switchable,
    is_switch,
    list_operation,
    switched,
    words_of,
)
from referrals.integration import commands as c
from referrals.integration import queries as q
from referrals.kernel.actor import Actor, Role, Source, TokenScope, nobody
from referrals.kernel.door import Doors, Form, Shape, asking, idempotency_key, json_words, run
from referrals.kernel.errors import (
    InvalidInputError,
    NotForTokensError,
    RuleBrokenError,
    ScopeMissingError,
    TokenRefusedError,
)
from referrals.kernel.schema import Takes, uid
from referrals.kernel.web import API, SignedIn, Words, current_actor, db, limiter, place, say
from referrals.sign_in.commands import FreshSignInNeededError
from referrals.sign_in.web import ask_again

doors = Doors("integration")
doors.pages.register_error_handler(FreshSignInNeededError, ask_again)
place("/organization/integrations", _l("Integrations"), 82, lambda actor: actor.works_as(Role.ADMINISTRATOR))


def load_token(token: str, scope: TokenScope | None, source: Source) -> SignedIn:
    """Return who acts through this API token, where it covers the scope; keep the day on which it was used (S-808).

    Raises:
        TokenRefusedError: it is unknown, revoked, past its last day, or its organization has left.
        ScopeMissingError, NotForTokensError: it is in order, and does not cover this. Each refusal is on record.
    """
    held = q.token_holder(db.session(), token, source)
    db.session.rollback()
    if held is None or not held.works:
        _refuse_token(held.actor if held is not None else nobody(source))
    actor = held.actor
    if scope is None or not scope.is_covered_by(held.scopes):
        refusal = NotForTokensError() if scope is None else ScopeMissingError(scope=scope.value)
        q.refuse_token(db.session(), actor, refusal.code)
        raise refusal
    if actor.token_id is not None and held.used_on != held.today:
        c.keep_token_use(db.session(), actor.token_id, held.today)
    g.zone = actor.zone
    return SignedIn(token, actor, accounts.FULL, name=held.name, organization=held.organization)


@limiter.shared_limit(RATE, scope="api token")
def _refuse_token(actor: Actor) -> NoReturn:
    """Refuse a token that opens nothing, at sign-in's rate: right ones from the same address are never held up."""
    q.refuse_token(db.session(), actor, TokenRefusedError.code)
    raise TokenRefusedError


class TokenShape(Shape):
    """An API token, as its organization's administrators see it: its text is told when it is made, and never again."""

    id = fields.UUID()
    integration_id = fields.UUID()
    name = fields.String()
    role = fields.String()
    scopes = fields.List(fields.String())
    made_at = fields.AwareDateTime()
    made_by = fields.UUID()
    ends_on = fields.Date()
    used_on = fields.Date()
    ended_at = fields.AwareDateTime()
    works = fields.Boolean()


class NewTokenShape(TokenShape):
    """An API token with its text, which is told this once."""

    shown_token = fields.String(data_key="token", allow_none=True)


class IntegrationsAsked(Takes):
    """Where a page of tokens begins."""

    after = uid(required=False)


INTEGRATIONS = "/organization/integrations"


@doors.get(INTEGRATIONS, page="integration/integrations.html", shape=TokenShape, takes=IntegrationsAsked, many=True)
def integrations(after: UUID | None) -> Mapping[str, Any]:
    """Read the API tokens of one's organization."""
    database, actor = asking()
    rows, following = q.tokens_for(database, actor, after=after)
    return {"rows": rows, "next": following, "roles": ROLE_NAMES, "scopes": SCOPE_NAMES}


@doors.pages.get(f"{INTEGRATIONS}/new", endpoint="make_token_form")
def make_token_form(form: Form | None = None) -> ResponseReturnValue:
    """Ask what an integration is, what it may do, and until when."""
    q.tokens_for(db.session(), current_actor())
    return ask_switchable("integration/make_token.html", form=form, **_offered())


def _offered() -> dict[str, Any]:
    side = current_actor().side
    roles = [(role.value, ROLE_NAMES[role.value]) for role in (q.TOKEN_ROLES[side] if side is not None else ())]
    scopes = [one.value for one in (q.SCOPES_OF_SIDE[side] if side is not None else ())]
    return {"roles": roles, "scopes": [(one, SCOPE_NAMES[one], one) for one in scopes]}


@doors.pages.post(f"{INTEGRATIONS}/new", endpoint="make_token")
def take_make_token() -> ResponseReturnValue:
    """Let an integration in, and show its token once."""
    if is_switch():
        return switched(make_token_form, several="scopes")
    given = words_of(c.make_token)
    try:
        made = run(c.make_token, current_actor().organization, given, key=request.form.get("idempotency_key"))
    except (InvalidInputError, RuleBrokenError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        form = as_typed(faults, several="scopes")
        return ask_switchable("integration/make_token.html", form=form, status=fault.status, **_offered())
    return _show_token(made)


@doors.api.post(INTEGRATIONS, endpoint="make_token")
def json_make_token() -> ResponseReturnValue:
    """Let an integration in; the first answer under a key tells its token, once."""
    return _tell_token(run(c.make_token, current_actor().organization, json_words(), key=idempotency_key()))


@doors.pages.get(f"{INTEGRATIONS}/<uuid:target>/renewal", endpoint="renew_token_form")
def renew_token_form(target: UUID, form: Form | None = None) -> ResponseReturnValue:
    """Ask until when the token that follows works."""
    return ask_switchable("integration/renew_token.html", form=form, **_of_token(target))


@doors.pages.post(f"{INTEGRATIONS}/<uuid:target>/renewal", endpoint="renew_token")
def take_renew_token(target: UUID) -> ResponseReturnValue:
    """Make the token that follows, and show it once."""
    if is_switch():
        return switched(lambda form: renew_token_form(target, form))
    try:
        made = run(c.renew_token, target, words_of(c.renew_token), key=request.form.get("idempotency_key"))
    except (InvalidInputError, RuleBrokenError) as fault:
        form = as_typed(fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]})
        return ask_switchable("integration/renew_token.html", form=form, status=fault.status, **_of_token(target))
    return _show_token(made)


@doors.api.post(f"{INTEGRATIONS}/<uuid:target>/renewal", endpoint="renew_token")
def json_renew_token(target: UUID) -> ResponseReturnValue:
    """Make the token that follows; the first answer under a key tells it, once."""
    return _tell_token(run(c.renew_token, target, json_words(), key=idempotency_key()))


def _of_token(target: UUID) -> dict[str, Any]:
    database, actor = asking()
    return {"it": q.token_for(database, actor, target)}


def _show_token(made: Any) -> Response:
    return ask("integration/token.html", it=q.token_for(*asking(), made.id), shown_token=made.shown_token)


def _tell_token(made: Any) -> Response:
    told = TokenShape().told(q.token_for(*asking(), made.id)) | {"token": made.shown_token}
    answer = as_json(told, 201)
    answer.headers["Location"] = f"{API}{INTEGRATIONS}"
    return answer


list_operation(
    doors,
    INTEGRATIONS,
    "make_token",
    "Let an integration in, with its first API token.",
    what=c.make_token,
    shape=NewTokenShape,
    creates=True,
)
list_operation(
    doors,
    f"{INTEGRATIONS}/<uuid:target>/renewal",
    "renew_token",
    "Make the API token that follows one.",
    what=c.renew_token,
    shape=NewTokenShape,
    creates=True,
)
doors.act(
    f"{INTEGRATIONS}/<uuid:target>/revocation",
    c.revoke_token,
    page="integration/revoke_token.html",
    context=_of_token,
    then=lambda _token: INTEGRATIONS,
    shape=TokenShape,
    show=lambda token: q.token_for(*asking(), token.id),
    done="token_revoked",
)

#: What each scope of an API token lets a program do.
SCOPE_NAMES: dict[str, Words] = {
    TokenScope.ORGANIZATIONS_READ.value: _l("Read organizations, facilities and locations"),
    TokenScope.PROGRAMS_READ.value: _l("Read programs and their open places"),
    TokenScope.PROGRAMS_WRITE.value: _l("Change programs and their open places"),
    TokenScope.PARTNERSHIPS_READ.value: _l("Read agreements between organizations"),
    TokenScope.PARTICIPANTS_READ.value: _l("Read participants and their care teams"),
    TokenScope.PARTICIPANTS_WRITE.value: _l("Add participants, and change what is recorded about them"),
    TokenScope.RELEASES_READ.value: _l("Read release dates"),
    TokenScope.RELEASES_WRITE.value: _l("Record release dates and releases"),
    TokenScope.CONSENTS_READ.value: _l("Read what participants agreed to"),
    TokenScope.REFERRALS_READ.value: _l("Read referrals and closing reports"),
    TokenScope.REFERRALS_WRITE.value: _l("Make, send, answer and close referrals"),
}

say(
    {
        "required.called": _l("Enter what the integration is called."),
        "required.role": _l("Choose what it acts as."),
        "required.ends_on": _l("Enter the last day."),
        "required.scopes": _l("Choose what the token may be used for."),
        "over_a_year": _l("Choose a day within a year from today. You can renew the token before it ends."),
        "token_over": _l("This token has already ended. Make a new one."),
        "token_revoked": _l("The token was revoked. It opens nothing any more."),
    }
)
