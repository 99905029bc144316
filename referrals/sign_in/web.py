"""Both doors of signing in, step by step, of one's sign-ins and one's password."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

from flask import Response, flash, g, redirect, request, session
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from flask_wtf.csrf import generate_csrf
from marshmallow import fields

from referrals.account import queries as accounts
from referrals.account.web import (
    RATE,
    as_json,
    as_typed,
    ask_switchable,
    is_switch,
    list_operation,
    switched,
    where_to,
    words_of,
)
from referrals.code_sheet import queries as sheets
from referrals.issuer import queries as issuers
from referrals.kernel import language
from referrals.kernel.actor import Actor, Source, nobody
from referrals.kernel.command import execute
from referrals.kernel.door import Doors, Form, Shape, asking, json_words, run
from referrals.kernel.errors import InvalidInputError, RefusedError, RuleBrokenError, SignInNeededError
from referrals.kernel.record import clock
from referrals.kernel.web import (
    API,
    HALFWAY,
    OPEN,
    SignedIn,
    Words,
    current_actor,
    db,
    keep_language,
    limiter,
    reader_language,
    say,
    source,
)
from referrals.organization.queries import installation
from referrals.passkey import queries as passkeys
from referrals.sign_in import commands as c
from referrals.sign_in import queries as q
from referrals.sign_in.commands import (
    CodeRefusedError,
    FreshSignInNeededError,
    PasskeyRefusedError,
    PasswordRefusedError,
    SignInRefusedError,
)

doors = Doors("sign_in")

OPEN |= {
    "sign_in.sign_in_form": "this is where people sign in",
    "sign_in.sign_in": "this is where people sign in",
    "sign_in_api.sign_in": "this is where programs sign in",
}
HALFWAY |= {
    "sign_in.second_step_form": "the second factor completes the sign-in",
    "sign_in.second_step": "the second factor completes the sign-in",
    "sign_in.new_password_form": "a one-time code only opens this",
    "sign_in.new_password": "a one-time code only opens this",
    "sign_in.rules_form": "the rules of behavior come before everything else",
    "sign_in.acknowledge_rules": "the rules of behavior come before everything else",
    "sign_in.sign_out": "whoever came half the way may leave",
    "sign_in_api.this_sign_in": "a program learns here what is still missing",
    "sign_in_api.second_step": "the second factor completes the sign-in",
    "sign_in_api.new_password": "a one-time code only opens this",
    "sign_in_api.rules": "the rules of behavior come before everything else",
    "sign_in_api.acknowledge_rules": "the rules of behavior come before everything else",
    "sign_in_api.sign_out": "whoever came half the way may leave",
}

_PAGES = {
    accounts.SECOND_FACTOR: "/sign-in/second-step",
    accounts.NEW_PASSWORD: "/sign-in/new-password",
    accounts.ENROLL: "/sign-in/enroll",
    accounts.RULES: "/sign-in/rules",
}
#: What may be wrong with a code or a passkey's answer.
NOT_TAKEN = (InvalidInputError, CodeRefusedError, PasskeyRefusedError)
#: What a program sets on a request that nobody asked for, so that polling does not keep a sign-in alive (S-109).
_BACKGROUND = "X-Background"


def load_sign_in(token: str, source: Source) -> SignedIn | None:
    """Return who holds this token now, or None; keep, to the minute, that it was used (S-109)."""
    held = q.holder(db.session(), token, source)
    if held is None or held.actor.sign_in_id is None:
        g.leaves_shared = q.was_shared(db.session(), token)
        db.session.rollback()
        return None
    db.session.rollback()
    at = clock(db.session())
    g.sign_in_ends_at = held.ends_at
    if at - held.used_at >= c.USE_STEP and _BACKGROUND not in request.headers:
        c.keep_alive(db.session(), held.actor.sign_in_id, at)
        g.sign_in_ends_at = held.ends_if_used_at
    # At least so long, in whole minutes: pages that are alike stay alike to the byte, whenever they are asked (S-203).
    rest = min(g.sign_in_ends_at - at, held.idle - c.USE_STEP)
    g.sign_in_ends_in = rest // timedelta(minutes=1) * 60
    g.sign_in_shared = held.shared
    g.zone = held.time_zone
    g.news = held.has_news and held.step == accounts.FULL
    return SignedIn(
        token,
        held.actor,
        held.step,
        name=held.display_name,
        organization=held.organization,
        language=held.language,
    )


@doors.pages.after_app_request
def _leave_shared(answer: Response) -> Response:
    """Let a shared computer forget what it kept, once the sign-in on it is over (S-109, S-405).

    Cookies stay: the token in them opens nothing, and the way back in sets its own.
    """
    if g.get("leaves_shared"):
        answer.headers.setdefault("Clear-Site-Data", '"cache", "storage"')
    return answer


# --- signing in ------------------------------------------------------------------------------------------------------


def _hold(token: str) -> None:
    """Let the cookie hold this token and nothing from before: no fixed session survives a sign-in (S-111)."""
    session.clear()
    g.pop("csrf_token", None)
    session["_user_id"] = token


def _step_of(token: str) -> str:
    held = q.holder(db.session(), token, source())
    db.session.rollback()
    return held.step if held is not None else ""


def onward(step: str) -> ResponseReturnValue:
    """Lead to what is still missing, or to where the reader was going."""
    where = where_to()
    if step in _PAGES:
        return redirect(_PAGES[step] + (f"?next={quote(where)}" if where != "/home" else ""), 303)
    return redirect(where, 303)


def _begin(given: Mapping[str, Any]) -> str:
    """Sign in with name and password; return the new token."""
    words = c.sign_in.takes.understood(given)
    if words["acknowledged"]:
        c.check_ahead(db.session(), name=words["name"], password=words["password"])
    target = installation(db.session()).id
    db.session().info["address"] = request.remote_addr
    made = execute(db.session(), c.sign_in, actor=nobody(source()), target=target, data=given)
    return cast("str", made.token)


def renewed(made: Any) -> str:
    """Put the renewed token into the cookie; return what is still missing."""
    token = cast("str", made.token)
    _hold(token)
    return _step_of(token)


def go_on(made: Any = None) -> ResponseReturnValue:
    """Lead to what is still missing; `made` is a sign-in that took a new token. For rooms upstairs."""
    return onward(step_now() if made is None else renewed(made))


def told_on(made: Any, *, status: int = 200) -> ResponseReturnValue:
    """Answer with what is still missing of a sign-in that took a new token, and tell codes just made, once."""
    codes = made.shown_codes
    renewed(made)
    return as_json(_standing(made.token, codes), status)


def step_now() -> str:
    """Return what the sign-in still lacks that the request came by."""
    return cast("SignedIn", current_user).step


def is_at_second_step() -> bool:
    """Whether the second factor is what is missing."""
    return step_now() == accounts.SECOND_FACTOR


@doors.pages.get("/sign-in", endpoint="sign_in_form")
def sign_in_form(form: Form | None = None) -> ResponseReturnValue:
    """Show the system-use notice and ask for name and password."""
    if current_user.is_authenticated:
        return onward(step_now())
    is_new = accounts.nobody_has_an_account(db.session())
    shown = _ask_name(form, left="left" in request.args, is_new=is_new)
    if form is not None:  # somebody chose
        return shown
    # Kept at once: the pages after it speak as this one does, until somebody chooses.
    return keep_language(shown, reader_language())


def _ask_name(form: Form | None, status: int = 200, **around: Any) -> Response:
    around["elsewhere"] = issuers.is_any_in_use(db.session())
    return ask_switchable("sign_in/sign_in.html", form=form, status=status, **around)


@doors.pages.post("/sign-in", endpoint="sign_in")
@limiter.limit(RATE)
def take_sign_in() -> ResponseReturnValue:
    """Take name and password."""
    if is_switch():
        return switched(sign_in_form)
    try:
        token = _begin(words_of(c.sign_in))
    except InvalidInputError as fault:
        return _ask_name(as_typed(fault.fields, "password"), 422)
    except SignInRefusedError as refusal:
        return _ask_name(as_typed({"": [refusal.code]}, "password"), refusal.status)
    _hold(token)
    return onward(_step_of(token))


@doors.pages.get("/sign-in/second-step", endpoint="second_step_form")
def second_step_form(form: Form | None = None) -> ResponseReturnValue:
    """Ask for a code: to complete a sign-in, or to make it fresh again."""
    step = step_now()
    if step not in {accounts.SECOND_FACTOR, accounts.FULL}:
        return onward(step)
    return ask_code("sign_in/second_step.html", form=form, again=step == accounts.FULL)


def ask_code(page: str, **around: Any) -> ResponseReturnValue:
    """Show a page that asks for a factor, of whichever kinds its reader has; of a sheet it names the code."""
    database, actor = asking()
    sheet = sheets.sheet_of(database, actor.me)
    around["sheet"] = sheet if sheet is not None and sheet.opens else None
    around["is_dead"] = sheet is not None and not sheet.opens
    around["has_app"] = q.factor_of(database, actor.me) is not None
    around["has_passkey"] = _has_passkey()
    around["elsewhere"] = [one.issuer for one in issuers.working_subjects(database, actor.me)]
    return ask_switchable(page, **around)


@doors.pages.post("/sign-in/second-step", endpoint="second_step")
@limiter.limit(RATE)
def take_second_step() -> ResponseReturnValue:
    """Take the code."""
    if is_switch():
        return switched(second_step_form)
    again = step_now() == accounts.FULL
    try:
        made = run(c.confirm_second_factor, _this_sign_in(), words_of(c.confirm_second_factor))
    except NOT_TAKEN as fault:
        return ask_code("sign_in/second_step.html", form=not_taken(fault), status=fault.status, again=again)
    warning = _of_few_left(made.user_id)
    step = renewed(made)
    if warning is not None:
        flash(warning, "warning")
    return onward(step)


def _of_few_left(user_id: UUID) -> str | None:
    """Return what to warn of, where somebody's sheet is nearly used up, or has been."""
    sheet = sheets.sheet_of(db.session(), user_id)
    if sheet is None or sheet.lost_at is not None or sheet.left > sheets.SHEET_FEW:
        return None
    return "sheet_few_left" if sheet.left else "sheet_used_up"


def _has_passkey() -> bool:
    """Whether whoever gave the password may use a passkey: the page offers none to others."""
    return bool(passkeys.of_user(db.session(), current_actor().me))


def not_taken(fault: RefusedError) -> Form:
    """Return the form with what was wrong with a code or a passkey's answer, and without them."""
    faults = fault.fields if isinstance(fault, InvalidInputError) else {"code": [fault.code]}
    return as_typed(faults, "code", "passkey")


@doors.pages.get("/sign-in/new-password", endpoint="new_password_form")
def new_password_form(form: Form | None = None) -> ResponseReturnValue:
    """Ask for a password of one's own."""
    step = step_now()
    if step != accounts.NEW_PASSWORD:
        return onward(step)
    return ask_switchable("sign_in/new_password.html", form=form, first=True, elsewhere=_elsewhere())


def _elsewhere() -> list[Any]:
    """Return where people of one's organization may sign in instead of having a password here."""
    database, actor = asking()
    return issuers.in_use_of(database, actor.organization)


@doors.pages.post("/sign-in/new-password", endpoint="new_password")
@limiter.limit(RATE)
def take_new_password() -> ResponseReturnValue:
    """Take the password."""
    if is_switch():
        return switched(new_password_form)
    try:
        made = _change_password(words_of(c.change_password))
    except (InvalidInputError, CodeRefusedError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        form = as_typed(faults, "new_password", "present_password")
        return ask_switchable(
            "sign_in/new_password.html", form=form, status=fault.status, first=True, elsewhere=_elsewhere()
        )
    return onward(renewed(made))


@doors.pages.get("/sign-in/rules", endpoint="rules_form")
def rules_form(form: Form | None = None) -> ResponseReturnValue:
    """Show the rules of behavior, and ask for the promise to keep them."""
    step = step_now()
    if step != accounts.RULES:
        return onward(step)
    return ask_switchable("sign_in/acknowledge_rules.html", form=form, **_rules())


@doors.pages.post("/sign-in/rules", endpoint="acknowledge_rules")
def take_acknowledge_rules() -> ResponseReturnValue:
    """Take the promise, and go on."""
    if is_switch():
        return switched(rules_form)
    try:
        run(c.acknowledge_rules, current_actor().me, words_of(c.acknowledge_rules))
    except c.RulesKnownError:
        return onward(accounts.FULL)  # sent twice: it holds, so go on
    except (InvalidInputError, RuleBrokenError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        return ask_switchable(
            "sign_in/acknowledge_rules.html", form=as_typed(faults, "wording"), status=fault.status, **_rules()
        )
    return onward(_step_of(cast("SignedIn", current_user).token))


def _rules() -> dict[str, Any]:
    database, actor = asking()
    last = q.last_acknowledgment(database, actor.me)
    return {"wording": q.WORDING, "rules": RULES[q.WORDING], "acknowledged_at": last.at if last is not None else None}


def _this_sign_in() -> UUID:
    sign_in_id = current_actor().sign_in_id
    if sign_in_id is None:
        raise SignInNeededError
    return sign_in_id


def _change_password(given: Mapping[str, Any]) -> Any:
    words = c.change_password.takes.understood(given)
    actor = current_actor()
    c.change_ahead(db.session(), actor, present=words["present_password"], new=words["new_password"])
    return run(c.change_password, actor.me, given)


# --- one's own account -----------------------------------------------------------------------------------------------


class SignInShape(Shape):
    """One of one's own sign-ins."""

    id = fields.UUID()
    channel = fields.String()
    started_at = fields.AwareDateTime()
    used_at = fields.AwareDateTime()
    ends_at = fields.AwareDateTime()
    complete = fields.Boolean()
    shared = fields.Boolean()
    this = fields.Boolean()


class EndedShape(Shape):
    """A sign-in that ended."""

    id = fields.UUID()
    ended_at = fields.AwareDateTime()


class AskedShape(Shape):
    """The code of one's sheet that is asked for: of which sheet, which number; how many were not used yet."""

    name = fields.String()
    asked = fields.Integer()
    left = fields.Integer()


class SheetShape(Shape):
    """A code sheet. `codes` are told when it is made and never again; `asked` is the one that takes it into use."""

    id = fields.UUID()
    name = fields.String()
    asked = fields.Integer(allow_none=True)
    confirmed_at = fields.AwareDateTime(allow_none=True)
    lost_at = fields.AwareDateTime(allow_none=True)
    codes = fields.List(fields.String(), attribute="shown_codes")


class StandingShape(Shape):
    """Who is signed in, what is still missing (`next`), and the token that unsafe requests carry in X-CSRFToken."""

    id = fields.UUID()
    next = fields.String()
    user_id = fields.UUID()
    display_name = fields.String()
    organization_id = fields.UUID()
    organization = fields.String()
    side = fields.String()
    roles = fields.List(fields.String())
    ends_at = fields.AwareDateTime()
    csrf_token = fields.String()
    recovery_codes = fields.List(fields.String())
    shared = fields.Boolean()
    code_sheet = fields.Nested(AskedShape, allow_none=True)


class RulesShape(Shape):
    """The rules of behavior in force, and when the reader last acknowledged rules, in whichever wording."""

    wording = fields.String()
    rules = fields.List(fields.String())
    acknowledged_at = fields.AwareDateTime(allow_none=True)


class SetupShape(Shape):
    """What an authenticator app needs to be set up."""

    uri = fields.String()
    key = fields.String()


@doors.get("/account/rules", page="sign_in/rules.html", shape=RulesShape)
def own_rules() -> Mapping[str, Any]:
    """Read the rules of behavior again."""
    return {"it": _rules()}


@doors.get("/account/sign-ins", page="sign_in/sign_ins.html", shape=SignInShape, many=True)
def sign_ins() -> Mapping[str, Any]:
    """Read where one is signed in."""
    database, actor = asking()
    return {"rows": q.where_signed_in(database, actor), "next": None, "form": Form()}


doors.act(
    "/account/sign-ins/<uuid:target>/end",
    c.end_sign_in,
    page=None,
    then=lambda _row: "/account/sign-ins",
    shape=EndedShape,
    done="sign_in_ended",
)


@doors.pages.get("/account/password", endpoint="change_password_form")
def change_password_form(form: Form | None = None) -> ResponseReturnValue:
    """Ask for the present password and a new one."""
    return ask_switchable("sign_in/new_password.html", form=form, first=False)


@doors.pages.post("/account/password", endpoint="change_password")
@limiter.limit(RATE)
def take_change_password() -> ResponseReturnValue:
    """Take the new password."""
    if is_switch():
        return switched(change_password_form)
    try:
        made = _change_password(words_of(c.change_password))
    except (InvalidInputError, PasswordRefusedError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"present_password": [fault.code]}
        form = as_typed(faults, "new_password", "present_password")
        return ask_switchable("sign_in/new_password.html", form=form, status=fault.status, first=False)
    renewed(made)
    flash("password_changed", "success")
    return redirect("/account", 303)


# --- one's own passkeys ----------------------------------------------------------------------------------------------


@doors.pages.post("/sign-out", endpoint="sign_out")
def take_sign_out() -> ResponseReturnValue:
    """Sign out, everywhere, and let the browser forget what it kept (S-405)."""
    spoken = reader_language()
    run(c.sign_out, _this_sign_in(), {})
    session.clear()
    guess = language.chosen(*language.asked_for(request.accept_languages))
    answer = redirect("/sign-in?left=1" + (f"&language={spoken}" if spoken != guess else ""), 303)
    answer.headers["Clear-Site-Data"] = '"cache", "cookies", "storage"'
    return answer


# --- the JSON door of signing in -------------------------------------------------------------------------------------


def _standing(token: str, codes: Sequence[str] = ()) -> dict[str, Any]:
    held = q.holder(db.session(), token, source())
    if held is None:
        raise SignInNeededError
    actor: Actor = held.actor
    sheet = sheets.sheet_of(db.session(), actor.me)
    told = {
        "id": actor.sign_in_id,
        "next": held.step,
        "user_id": actor.user_id,
        "display_name": held.display_name,
        "organization_id": actor.organization_id,
        "organization": held.organization,
        "side": actor.side,
        "roles": sorted(actor.roles),
        "ends_at": held.ends_at,
        "csrf_token": generate_csrf(),
        "recovery_codes": list(codes),
        "shared": held.shared,
        "code_sheet": sheet if sheet is not None and sheet.opens else None,
    }
    answer = StandingShape().told(told)
    db.session.rollback()
    return answer


@doors.api.post("/sign-ins", endpoint="sign_in")
@limiter.limit(RATE)
def json_sign_in() -> ResponseReturnValue:
    """Sign in with name and password."""
    token = _begin(json_words())
    _hold(token)
    answer = as_json(_standing(token), 201)
    answer.headers["Location"] = f"{API}/sign-ins/current"
    return answer


@doors.api.get("/sign-ins/current", endpoint="this_sign_in")
def json_this_sign_in() -> ResponseReturnValue:
    """Read who is signed in and what is still missing."""
    return as_json(_standing(cast("SignedIn", current_user).token))


@doors.api.post("/sign-ins/current/second-step", endpoint="second_step")
@limiter.limit(RATE)
def json_second_step() -> ResponseReturnValue:
    """Give the second factor."""
    return told_on(run(c.confirm_second_factor, _this_sign_in(), json_words()))


@doors.api.post("/sign-ins/current/password", endpoint="new_password")
@limiter.limit(RATE)
def json_new_password() -> ResponseReturnValue:
    """Choose a password."""
    return told_on(_change_password(json_words()))


@doors.api.get("/sign-ins/current/rules", endpoint="rules")
def json_rules() -> ResponseReturnValue:
    """Read the rules of behavior in force."""
    return as_json(RulesShape().told(_rules()))


@doors.api.post("/sign-ins/current/rules", endpoint="acknowledge_rules")
def json_acknowledge_rules() -> ResponseReturnValue:
    """Acknowledge the rules of behavior."""
    run(c.acknowledge_rules, current_actor().me, json_words())
    return as_json(_standing(cast("SignedIn", current_user).token))


@doors.api.post("/sign-ins/current/end", endpoint="sign_out")
def json_sign_out() -> ResponseReturnValue:
    """Sign out, everywhere."""
    ended = run(c.sign_out, _this_sign_in(), json_words())
    session.clear()
    answer = as_json(EndedShape().told(ended))
    answer.headers["Clear-Site-Data"] = '"cache", "cookies", "storage"'
    return answer


list_operation(
    doors, "/sign-ins", "sign_in", "Sign in with name and password.", what=c.sign_in, shape=StandingShape, creates=True
)
list_operation(
    doors,
    "/sign-ins/current",
    "this_sign_in",
    "Read who is signed in and what is still missing.",
    what=None,
    shape=StandingShape,
)
list_operation(
    doors,
    "/sign-ins/current/second-step",
    "second_step",
    "Give the second factor.",
    what=c.confirm_second_factor,
    shape=StandingShape,
)
list_operation(
    doors,
    "/sign-ins/current/password",
    "new_password",
    "Choose a password.",
    what=c.change_password,
    shape=StandingShape,
)
list_operation(
    doors, "/sign-ins/current/rules", "rules", "Read the rules of behavior in force.", what=None, shape=RulesShape
)
list_operation(
    doors,
    "/sign-ins/current/rules",
    "acknowledge_rules",
    "Acknowledge the rules of behavior.",
    what=c.acknowledge_rules,
    shape=StandingShape,
)
list_operation(doors, "/sign-ins/current/end", "sign_out", "Sign out, everywhere.", what=c.sign_out, shape=EndedShape)


def ask_again(_refusal: FreshSignInNeededError) -> ResponseReturnValue:
    """Lead to the second step, and back to the page the act was asked from (S-113)."""
    back = "/organization/people"
    if request.path.endswith(("/new", "/roles", "/role-proposals", "/renewal")):
        back = request.path
    elif request.path.startswith("/organization/people/role-proposals"):
        back = "/organization/people/role-proposals"
    flash("fresh_sign_in_needed", "warning")
    return redirect(f"/sign-in/second-step?next={quote(back)}", 303)


#: The rules of behavior, by wording. What somebody acknowledged stays here; a change is a new wording (S-803).
RULES: dict[str, tuple[Words, ...]] = {
    "2026-11": (
        _l("Use Throughgate for your work only. Look only at people you work with."),
        _l("Your account is yours alone. Nobody else may use it, your password or your codes."),
        _l("When you walk away, sign out or lock your screen."),
        _l(
            "What you learn here stays with the people the participant agreed to. "
            "Do not pass it on by e-mail, text message or social media."
        ),
        _l("Write what you saw, heard or did. Leave out guesses, and facts that nobody here needs."),
        _l("Never enter criminal history from a state or national record system."),
        _l("Print and export only what the task needs. Keep paper locked away, and shred it afterwards."),
        _l(
            "Tell your administrator at once if something goes wrong: a lost phone, a message to the wrong person, "
            "a code that somebody else saw."
        ),
        _l("What you do here is recorded. Breaking these rules can cost you your account, and may be against the law."),
    ),
}

say(
    {
        "agree_first": _l("Say that you will keep these rules, or sign out."),
        "required.agreed": _l("Say that you will keep these rules, or sign out."),
        "required.wording": _l("The rules on this page are not complete. Load the page again."),
        "rules_changed": _l("The rules changed while you were reading. Read the new ones below."),
        "rules_known": _l("You acknowledged these rules before. You can go on."),
        "acknowledge_first": _l("Confirm that you read the notice."),
        "required.acknowledged": _l("Confirm that you read the notice."),
        "required.name": _l("Enter your sign-in name."),
        "required.password": _l("Enter your password."),
        "required.code": _l("Enter the code."),
        "required.new_password": _l("Enter the new password."),
        "required.present_password": _l("Enter your present password."),
        "sign_in_refused": _l(
            "We could not sign you in. Check your name and password. Five wrong tries in 15 minutes lock an account; "
            "your organization's administrator unlocks it."
        ),
        "code_refused": _l(
            "We could not take this code. Wait for the next one in your app, give the code of your sheet that is asked "
            "for, or use a recovery code."
        ),
        "sheet_few_left": _l("Only a few codes are left on your sheet. Print a new one from your account page today."),
        "sheet_used_up": _l("No code is left on your sheet. Print a new one from your account page today."),
        "present_password_refused": _l("This is not your present password."),
        "fresh_sign_in_needed": _l("Enter a code once more before you go on. This protects what you are about to do."),
        "sign_in_over": _l("This sign-in has already ended."),
        "password_too_short": _l("Use at least 15 characters. A few words that do not belong together work well."),
        "password_too_long": _l("Use at most 128 characters."),
        "password_common": _l(
            "Too many people use a password like this one. Choose words that do not belong together."
        ),
        "password_context": _l(
            "This is made of your name, your organization's name or this service's. Choose other words."
        ),
        "password_same": _l("This is your present password. Choose another one."),
        "sign_in_ended": _l("That sign-in has ended."),
        "password_changed": _l("Your password was changed. You are signed out everywhere else."),
    }
)
