"""Both doors of single sign-on: what an administrator lists, and the way there and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Response, flash, redirect, request, session
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from flask_wtf.csrf import generate_csrf
from marshmallow import fields

from referrals.account.web import (
    RATE,
    as_json,
    as_typed,
    ask,
    ask_switchable,
    is_switch,
    list_operation,
    switched,
    words_of,
)
from referrals.issuer import queries as q
from referrals.kernel.actor import Role, nobody
from referrals.kernel.command import Command, execute
from referrals.kernel.door import Doors, Form, Shape, asking, idempotency_key, json_words, run
from referrals.kernel.errors import InvalidInputError, RefusedError, RuleBrokenError, SignInNeededError
from referrals.kernel.web import (
    API,
    HALFWAY,
    OPEN,
    current_actor,
    db,
    limiter,
    login_app,
    place,
    say,
    sentence,
    source,
)
from referrals.organization.queries import installation
from referrals.settings import Settings
from referrals.sign_in.web import StandingShape, ask_again, go_on, told_on
from referrals.single_sign_on import commands as c
from referrals.single_sign_on.commands import (
    FreshSignInNeededError,
    IssuerRefusedError,
    IssuerUnreachableError,
    OneFactorError,
)

doors = Doors("single_sign_on")
doors.pages.register_error_handler(FreshSignInNeededError, ask_again)
place("/organization/single-sign-on", _l("Single sign-on"), 83, lambda actor: actor.works_as(Role.ADMINISTRATOR))

OPEN |= {
    "single_sign_on.ask_issuer_form": "whoever signs in elsewhere begins here",
    "single_sign_on.ask_issuer": "whoever signs in elsewhere begins here",
    "single_sign_on.returned": "an issuer sends everybody back to one address",
    "single_sign_on.sign_in_at_issuer": "an issuer's answer signs in whoever is not signed in",
    "single_sign_on_api.issuers_in_use": "programs that sign people in learn here where",
    "single_sign_on_api.ask_issuer": "programs that sign people in begin here",
    "single_sign_on_api.sign_in_at_issuer": "an issuer's answer signs in whoever is not signed in",
}
_SECOND = "an issuer's answer is a second factor as good as any"
HALFWAY |= {
    "single_sign_on.prove_at_issuer": _SECOND,
    "single_sign_on.confirm_at_issuer": _SECOND,
    "single_sign_on.connect_issuer": "on the first day it takes the place of password and factor",
    "single_sign_on_api.prove_at_issuer": _SECOND,
    "single_sign_on_api.confirm_at_issuer": _SECOND,
    "single_sign_on_api.connect_issuer": "on the first day it takes the place of password and factor",
}

LISTED = "/organization/single-sign-on"
OWN = "/account/single-sign-on"
#: Where issuers send people back to: the one address that an organization tells its issuer.
RETURN = "/sign-in/organization/return"
_NOT_TAKEN = (InvalidInputError, IssuerRefusedError, OneFactorError, IssuerUnreachableError, RuleBrokenError)


def _settings() -> Settings:
    settings: Settings = login_app().extensions["throughgate"].settings
    return settings


def return_address() -> str:
    """Return the whole address that issuers send people back to."""
    return _settings().public_url + RETURN


def _browser() -> str:
    """Return what this browser's cookie holds and no other knows: the form token's secret (S-111)."""
    generate_csrf()
    return str(session["csrf_token"])


def _faults(fault: RefusedError, at: str = "") -> Mapping[str, Any]:
    return fault.fields if isinstance(fault, InvalidInputError) else {at: [fault.code]}


# --- what an administrator lists --------------------------------------------------------------------------------------


class IssuerShape(Shape):
    """An issuer, as its organization's administrators see it: never its secret. `people` come in by it."""

    id = fields.UUID()
    name = fields.String()
    url = fields.String()
    client_id = fields.String()
    accepted_amr = fields.String()
    accepted_acr = fields.String()
    listed_at = fields.AwareDateTime()
    checked_at = fields.AwareDateTime()
    ended_at = fields.AwareDateTime(allow_none=True)
    people = fields.Integer()


@doors.get(LISTED, page="single_sign_on/issuers.html", shape=IssuerShape, many=True)
def issuers() -> Mapping[str, Any]:
    """Read where the people of one's organization may sign in."""
    database, actor = asking()
    return {"rows": q.issuers_for(database, actor), "next": None, "around": lambda: {"back": return_address()}}


@doors.pages.get(f"{LISTED}/new", endpoint="list_issuer_form")
def list_issuer_form(form: Form | None = None) -> ResponseReturnValue:
    """Ask for an issuer's address, and as whom we speak to it."""
    q.issuers_for(db.session(), current_actor())
    return ask_switchable("single_sign_on/list_issuer.html", form=form, back=return_address(), usual=q.MORE_THAN_ONE)


@doors.pages.post(f"{LISTED}/new", endpoint="list_issuer")
@limiter.limit(RATE)
def take_list_issuer() -> ResponseReturnValue:
    """Look for the issuer, and keep it."""
    if is_switch():
        return switched(list_issuer_form)
    try:
        _list_issuer(words_of(c.list_issuer))
    except (InvalidInputError, RuleBrokenError) as fault:
        form = as_typed(_faults(fault), "client_secret")
        around = {"back": return_address(), "usual": q.MORE_THAN_ONE}
        return ask_switchable("single_sign_on/list_issuer.html", form=form, status=fault.status, **around)
    flash("issuer_is_listed", "success")
    return redirect(LISTED, 303)


@doors.api.post(LISTED, endpoint="list_issuer")
@limiter.limit(RATE)
def json_list_issuer() -> ResponseReturnValue:
    """List an issuer."""
    made = _list_issuer(json_words(), key=idempotency_key())
    answer = as_json(IssuerShape().told(q.issuer_for(*asking(), made.id)), 201)
    answer.headers["Location"] = f"{API}{LISTED}"
    return answer


def _list_issuer(given: Mapping[str, Any], *, key: str | None = None) -> Any:
    words = c.list_issuer.takes.understood(given)
    # Whoever may not list one lets us ask nobody.
    q.issuers_for(db.session(), current_actor())
    c.discover_ahead(db.session(), words["url"], is_development=_settings().is_development)
    return run(c.list_issuer, current_actor().organization, given, key=key)


def _of_issuer(target: UUID) -> dict[str, Any]:
    return {"it": q.issuer_for(*asking(), target)}


@doors.pages.get(f"{LISTED}/<uuid:target>/renewal", endpoint="renew_issuer_form")
def renew_issuer_form(target: UUID) -> ResponseReturnValue:
    """Ask for the secret that replaces an issuer's."""
    return ask("single_sign_on/renew_issuer.html", **_of_issuer(target))


@doors.pages.post(f"{LISTED}/<uuid:target>/renewal", endpoint="renew_issuer")
@limiter.limit(RATE)
def take_renew_issuer(target: UUID) -> ResponseReturnValue:
    """Take an issuer's new secret."""
    try:
        _renew_issuer(target, words_of(c.renew_issuer))
    except (InvalidInputError, RuleBrokenError) as fault:
        form = as_typed(_faults(fault), "client_secret")
        return ask("single_sign_on/renew_issuer.html", form=form, status=fault.status, **_of_issuer(target))
    flash("issuer_is_renewed", "success")
    return redirect(LISTED, 303)


@doors.api.post(f"{LISTED}/<uuid:target>/renewal", endpoint="renew_issuer")
@limiter.limit(RATE)
def json_renew_issuer(target: UUID) -> ResponseReturnValue:
    """Take an issuer's new secret."""
    _renew_issuer(target, json_words())
    return as_json(IssuerShape().told(q.issuer_for(*asking(), target)))


def _renew_issuer(target: UUID, given: Mapping[str, Any]) -> None:
    found = q.issuer_for(*asking(), target)
    c.discover_ahead(db.session(), found.url, is_development=_settings().is_development)
    run(c.renew_issuer, target, given)


doors.act(
    f"{LISTED}/<uuid:target>/end",
    c.end_issuer,
    page="single_sign_on/end_issuer.html",
    context=_of_issuer,
    then=lambda _issuer: LISTED,
    shape=IssuerShape,
    show=lambda issuer: q.issuer_for(*asking(), issuer.id),
    done="issuer_is_ended",
)
list_operation(
    doors,
    LISTED,
    "list_issuer",
    "List where one's people sign in.",
    what=c.list_issuer,
    shape=IssuerShape,
    creates=True,
)
list_operation(
    doors,
    f"{LISTED}/<uuid:target>/renewal",
    "renew_issuer",
    "Give the secret that replaces an issuer's.",
    what=c.renew_issuer,
    shape=IssuerShape,
)


# --- the way there ----------------------------------------------------------------------------------------------------


class IssuerNameShape(Shape):
    """Where people of an organization may sign in."""

    id = fields.UUID()
    name = fields.String()
    organization = fields.String()


class AddressShape(Shape):
    """Where to send the browser, and the token that unsafe requests carry in X-CSRFToken."""

    address = fields.String()
    csrf_token = fields.String()


def _choosing() -> dict[str, Any]:
    """Return where people may sign in, as the page's choices: the organization, and what its people call it."""
    found = q.choices(db.session())
    return {"choices": found, "options": [(str(one.id), one.organization, f"{one.name}, {one.host}") for one in found]}


@doors.api.get("/sign-ins/organization", endpoint="issuers_in_use")
@limiter.limit(RATE)
def json_issuers_in_use() -> ResponseReturnValue:
    """Read where people may sign in."""
    return as_json({"items": [IssuerNameShape().told(one) for one in q.choices(db.session())], "next": None})


@doors.pages.get("/sign-in/organization", endpoint="ask_issuer_form")
def ask_issuer_form(form: Form | None = None) -> ResponseReturnValue:
    """Show the system-use notice, and ask where somebody signs in."""
    if current_actor().user_id is not None:
        return go_on()
    return ask_switchable("single_sign_on/ask_issuer.html", form=form, **_choosing())


@doors.pages.post("/sign-in/organization", endpoint="ask_issuer")
@limiter.limit(RATE)
def take_ask_issuer() -> ResponseReturnValue:
    """Show the way to the issuer: a link, since no form of ours may lead to another host."""
    if is_switch():
        return switched(ask_issuer_form)
    try:
        made = _ask_issuer(words_of(c.ask_issuer))
    except InvalidInputError as fault:
        form = as_typed(fault.fields)
        return ask_switchable("single_sign_on/ask_issuer.html", form=form, status=fault.status, **_choosing())
    return _way(made, "/sign-in")


@doors.api.post("/sign-ins/organization", endpoint="ask_issuer")
@limiter.limit(RATE)
def json_ask_issuer() -> ResponseReturnValue:
    """Begin to sign in at an issuer."""
    return _tell_way(_ask_issuer(json_words()), "/sign-ins/organization/answer")


def _ask_issuer(given: Mapping[str, Any]) -> Any:
    c.ask_issuer.takes.understood(given)  # before there is a cookie that the next try would have to name
    target = installation(db.session()).id
    db.session().info["browser"] = _browser()
    try:
        return execute(db.session(), c.ask_issuer, actor=nobody(source()), target=target, data=given)
    finally:
        db.session().info.pop("browser", None)


def _address(made: Any) -> tuple[Any, str]:
    locale = get_locale()
    language = str(locale) if locale is not None else ""
    return q.way(db.session(), made, return_address(), language=language)


def _way(made: Any, back: str) -> Response:
    issuer, address = _address(made)
    return ask("single_sign_on/way.html", issuer=issuer, address=address, cancel=back)


def _tell_way(made: Any, answered_at: str) -> Response:
    _issuer, address = _address(made)
    answer = as_json(AddressShape().told({"address": address, "csrf_token": generate_csrf()}), 201)
    answer.headers["Location"] = f"{API}{answered_at}"
    return answer


@doors.pages.post("/sign-in/organization/proof", endpoint="prove_at_issuer")
@limiter.limit(RATE)
def take_prove_at_issuer() -> ResponseReturnValue:
    """Show the way to the issuer, for a second factor or to connect one's account."""
    given = words_of(c.prove_at_issuer)
    try:
        made = _prove_at_issuer(given)
    except InvalidInputError:
        flash("issuer_ended", "warning")
        return go_on()
    return _way(made, OWN if given.get("purpose") == q.LINK else "/sign-in/second-step")


@doors.api.post("/sign-ins/current/issuer", endpoint="prove_at_issuer")
@limiter.limit(RATE)
def json_prove_at_issuer() -> ResponseReturnValue:
    """Begin to give a second factor at an issuer, or to connect one's account with it."""
    made = _prove_at_issuer(json_words())
    return _tell_way(made, f"{OWN}/answer" if made.purpose == q.LINK else "/sign-ins/current/issuer/answer")


def _prove_at_issuer(given: Mapping[str, Any]) -> Any:
    db.session().info["browser"] = _browser()
    try:
        return run(c.prove_at_issuer, _this_sign_in(), given)
    finally:
        db.session().info.pop("browser", None)


def _this_sign_in() -> UUID:
    sign_in_id = current_actor().sign_in_id
    if sign_in_id is None:
        raise SignInNeededError
    return sign_in_id


# --- and back ---------------------------------------------------------------------------------------------------------

#: Where the answer to a request is sent on to, by what it is for.
_ANSWERS = {
    q.SIGN_IN: "/sign-in/organization/answer",
    q.CONFIRM: "/sign-in/organization/proof/answer",
    q.LINK: f"{OWN}/answer",
}
_BEFORE = {q.SIGN_IN: "/sign-in/organization", q.CONFIRM: "/sign-in/second-step", q.LINK: OWN}


@doors.pages.get(RETURN, endpoint="returned")
@limiter.limit(RATE)
def returned() -> ResponseReturnValue:
    """Take whoever comes back from an issuer on; nothing is tried by opening the address."""
    state, code = request.args.get("state", ""), request.args.get("code", "")
    purpose = q.purpose_of(db.session(), state) if state else None
    if purpose is None or not code or "error" in request.args:
        return _came_with_nothing(purpose)
    kept = {"state": state, "code": code} | ({"iss": request.args["iss"]} if "iss" in request.args else {})
    form = Form(kept)
    return ask("single_sign_on/returned.html", form=form, answer=_ANSWERS[purpose])


def _came_with_nothing(purpose: str | None) -> Response:
    form = Form({}, {"": [sentence("issuer_gave_nothing")]})
    return ask("single_sign_on/refused.html", form=form, status=400, again=_BEFORE[purpose or q.SIGN_IN])


def _answered(what: Command[Any, Any], target: UUID, given: Mapping[str, Any], purpose: str) -> Any:
    """Fetch the answer, and run the command with it. Only what the command takes is sent anywhere."""
    words = what.takes.understood(given)
    actor = current_actor()
    brought = q.Brought(words["state"], words["code"], words["iss"])
    sign_in_id = actor.sign_in_id if purpose != q.SIGN_IN else None
    q.answer_ahead(db.session(), brought, q.Bearer(_browser(), purpose, sign_in_id), return_address())
    db.session().info["address"] = request.remote_addr
    by = nobody(source()) if purpose == q.SIGN_IN else actor
    try:
        return execute(db.session(), what, actor=by, target=target, data=given)
    finally:
        db.session().info.pop("issuer_answer", None)
        db.session().info.pop("address", None)


def _refused(fault: RefusedError, purpose: str) -> Response:
    code = "issuer_refused" if isinstance(fault, InvalidInputError) else fault.code
    form = Form({}, {"": [sentence(code)]})
    return ask("single_sign_on/refused.html", form=form, status=fault.status, again=_BEFORE[purpose])


def _sign_in_at_issuer(given: Mapping[str, Any]) -> Any:
    return _answered(c.sign_in_at_issuer, installation(db.session()).id, given, q.SIGN_IN)


@doors.pages.post("/sign-in/organization/answer", endpoint="sign_in_at_issuer")
@limiter.limit(RATE)
def take_sign_in_at_issuer() -> ResponseReturnValue:
    """Take an issuer's answer, and sign its person in."""
    try:
        made = _sign_in_at_issuer(words_of(c.sign_in_at_issuer))
    except _NOT_TAKEN as fault:
        return _refused(fault, q.SIGN_IN)
    return go_on(made)


@doors.api.post("/sign-ins/organization/answer", endpoint="sign_in_at_issuer")
@limiter.limit(RATE)
def json_sign_in_at_issuer() -> ResponseReturnValue:
    """Sign in by an issuer's answer."""
    return told_on(_sign_in_at_issuer(json_words()))


def _confirm_at_issuer(given: Mapping[str, Any]) -> Any:
    return _answered(c.confirm_at_issuer, _this_sign_in(), given, q.CONFIRM)


@doors.pages.post("/sign-in/organization/proof/answer", endpoint="confirm_at_issuer")
@limiter.limit(RATE)
def take_confirm_at_issuer() -> ResponseReturnValue:
    """Take an issuer's answer for a second factor."""
    try:
        made = _confirm_at_issuer(words_of(c.confirm_at_issuer))
    except _NOT_TAKEN as fault:
        return _refused(fault, q.CONFIRM)
    return go_on(made)


@doors.api.post("/sign-ins/current/issuer/answer", endpoint="confirm_at_issuer")
@limiter.limit(RATE)
def json_confirm_at_issuer() -> ResponseReturnValue:
    """Give a second factor by an issuer's answer."""
    return told_on(_confirm_at_issuer(json_words()))


# --- one's own account with it ----------------------------------------------------------------------------------------


class ConnectionShape(Shape):
    """That one's account is connected with an issuer."""

    id = fields.UUID()
    issuer_id = fields.UUID()
    name = fields.String()
    works = fields.Boolean()
    added_at = fields.AwareDateTime()
    last_used_at = fields.AwareDateTime(allow_none=True)


@doors.get(OWN, page="single_sign_on/connections.html", shape=ConnectionShape, many=True)
def connections() -> Mapping[str, Any]:
    """Read with which issuers one's account is connected."""
    database, actor = asking()
    rows = q.connections(database, actor)

    def around() -> dict[str, Any]:
        theirs = {one.issuer_id for one in rows}
        return {"form": Form(), "offered": [one for one in q.offered_to(database, actor) if one.id not in theirs]}

    return {"rows": rows, "next": None, "around": around}


def _connect_issuer(given: Mapping[str, Any]) -> Any:
    return _answered(c.connect_issuer, current_actor().me, given, q.LINK)


@doors.pages.post(f"{OWN}/answer", endpoint="connect_issuer")
@limiter.limit(RATE)
def take_connect_issuer() -> ResponseReturnValue:
    """Take an issuer's answer, and connect one's account with whom it speaks of."""
    try:
        made = _connect_issuer(words_of(c.connect_issuer))
    except _NOT_TAKEN as fault:
        return _refused(fault, q.LINK)
    flash("issuer_is_connected", "success")
    return go_on(made)


@doors.api.post("/account/single-sign-on/answer", endpoint="connect_issuer")
@limiter.limit(RATE)
def json_connect_issuer() -> ResponseReturnValue:
    """Connect one's account with an issuer, by its answer."""
    return told_on(_connect_issuer(json_words()))


def _of_connection(target: UUID) -> dict[str, Any]:
    return {"it": q.connection_for(*asking(), target)}


@doors.pages.get(f"{OWN}/<uuid:target>/end", endpoint="disconnect_issuer_form")
def disconnect_issuer_form(target: UUID) -> ResponseReturnValue:
    """Ask whether a connection is to end."""
    return ask("single_sign_on/disconnect_issuer.html", **_of_connection(target))


@doors.pages.post(f"{OWN}/<uuid:target>/end", endpoint="disconnect_issuer")
def take_disconnect_issuer(target: UUID) -> ResponseReturnValue:
    """End a connection."""
    try:
        made = run(c.disconnect_issuer, target, words_of(c.disconnect_issuer))
    except RuleBrokenError as fault:
        form = as_typed({"": [fault.code]})
        page = "single_sign_on/disconnect_issuer.html"
        return ask(page, form=form, status=fault.status, **_of_connection(target))
    go_on(made)  # the renewed token into the cookie
    flash("issuer_is_disconnected", "success")
    return redirect(OWN, 303)


@doors.api.post(f"{OWN}/<uuid:target>/end", endpoint="disconnect_issuer")
def json_disconnect_issuer(target: UUID) -> ResponseReturnValue:
    """End a connection of one's account with an issuer."""
    return told_on(run(c.disconnect_issuer, target, json_words()))


list_operation(
    doors,
    "/sign-ins/organization",
    "issuers_in_use",
    "Where people may sign in.",
    what=None,
    shape=IssuerNameShape,
    many=True,
)
for _rule, _name, _summary, _what, _shape, _creates in (
    ("/sign-ins/organization", "ask_issuer", "Begin to sign in at an issuer.", c.ask_issuer, AddressShape, True),
    (
        "/sign-ins/organization/answer",
        "sign_in_at_issuer",
        "Sign in by an issuer's answer.",
        c.sign_in_at_issuer,
        StandingShape,
        False,
    ),
    (
        "/sign-ins/current/issuer",
        "prove_at_issuer",
        "Begin to give a second factor at an issuer, or to connect one's account with it.",
        c.prove_at_issuer,
        AddressShape,
        True,
    ),
    (
        "/sign-ins/current/issuer/answer",
        "confirm_at_issuer",
        "Give a second factor by an issuer's answer.",
        c.confirm_at_issuer,
        StandingShape,
        False,
    ),
    (
        f"{OWN}/answer",
        "connect_issuer",
        "Connect one's account with an issuer, by its answer.",
        c.connect_issuer,
        StandingShape,
        False,
    ),
    (
        f"{OWN}/<uuid:target>/end",
        "disconnect_issuer",
        "End a connection of one's account with an issuer.",
        c.disconnect_issuer,
        StandingShape,
        False,
    ),
):
    list_operation(doors, _rule, _name, _summary, what=_what, shape=_shape, creates=_creates)

say(
    {
        "required.issuer_id": _l("Choose your organization."),
        "required.url": _l("Enter the address."),
        "required.client_id": _l("Enter the client ID."),
        "required.client_secret": _l("Enter the client secret."),
        "required.accepted_amr": _l("Enter the word by which it says that two factors were given, like mfa."),
        "issuer_silent": _l(
            "Under this address nothing answers as it should. It begins with https:// and is what your sign-in "
            "service calls its issuer, letter by letter."
        ),
        "issuer_listed": _l("Your organization uses this address already."),
        "too_many_issuers": _l("Five are in use. End one that nobody needs any more."),
        "issuer_ended": _l("This is not used for signing in any more."),
        "issuer_refused": _l(
            "This did not open an account here. If you have not connected your account yet, sign in with your sign-in "
            "name once, and connect it. Otherwise begin again, or ask your administrator."
        ),
        "issuer_one_factor": _l(
            "Your organization signed you in with one step only, and here it takes two. Ask whoever looks after "
            "sign-ins there, or sign in with your sign-in name."
        ),
        "issuer_unreachable": _l(
            "Your organization's sign-in does not answer now. Try again, or use your sign-in name."
        ),
        "issuer_gave_nothing": _l("You came back without having signed in there. Begin again."),
        "subject_known": _l("That account is connected already. Ask your administrator whose it is."),
        "subject_ended": _l("This connection ended before."),
        "issuer_is_listed": _l("Your people can now connect their accounts, and sign in this way."),
        "issuer_is_renewed": _l("The new secret is in use."),
        "issuer_is_ended": _l("Nobody signs in this way any more."),
        "issuer_is_connected": _l("Your account is connected. From now on you can sign in this way."),
        "issuer_is_disconnected": _l("Your account is no longer connected."),
    }
)
