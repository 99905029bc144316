"""Both doors of the account room: signing in step by step, one's own account, and the people of one's organization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any, NoReturn, cast
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

import segno
from babel.dates import format_time
from flask import Response, abort, flash, g, make_response, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from flask_wtf.csrf import generate_csrf
from marshmallow import fields

from referrals.account import commands as c
from referrals.account import policy as p
from referrals.account import queries as q
from referrals.account.commands import (
    CodeRefusedError,
    FreshSignInNeededError,
    PasswordRefusedError,
    SignInRefusedError,
)
from referrals.kernel import language
from referrals.kernel.actor import Actor, Role, Source, TokenScope, nobody
from referrals.kernel.command import Command, execute
from referrals.kernel.door import (
    OPERATIONS,
    Doors,
    Form,
    ListAddress,
    Operation,
    Shape,
    asking,
    form_words,
    idempotency_key,
    json_words,
    languages_are_kept,
    people_are_called,
    run,
)
from referrals.kernel.errors import (
    InvalidInputError,
    NotForTokensError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    RuleBrokenError,
    ScopeMissingError,
    SignInNeededError,
    TokenRefusedError,
)
from referrals.kernel.look import refuse
from referrals.kernel.mail import post_of
from referrals.kernel.record import clock
from referrals.kernel.schema import Takes, line, uid
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
    page_before,
    place,
    reader_language,
    say,
    sentence,
    source,
)
from referrals.organization.queries import installation

doors = Doors("account")
people_are_called(q.names)


def _keep_language(chosen: str) -> None:
    """Keep a language for the person, once they are signed in; a browser keeps it by its cookie."""
    if current_user.is_authenticated and cast("SignedIn", current_user).step == q.FULL:
        run(c.choose_language, current_actor().me, {"language": chosen})


languages_are_kept(_keep_language)

OPEN |= {
    "account.sign_in_form": "this is where people sign in",
    "account.sign_in": "this is where people sign in",
    "account_api.sign_in": "this is where programs sign in",
    "account.choose_language": "whoever cannot read a page may change its language",
}
HALFWAY |= {
    "account.second_step_form": "the second factor completes the sign-in",
    "account.second_step": "the second factor completes the sign-in",
    "account.new_password_form": "a one-time code only opens this",
    "account.new_password": "a one-time code only opens this",
    "account.enroll_form": "without a second factor there is nothing else to do",
    "account.enroll": "without a second factor there is nothing else to do",
    "account.rules_form": "the rules of behavior come before everything else",
    "account.acknowledge_rules": "the rules of behavior come before everything else",
    "account.sign_out": "whoever came half the way may leave",
    "account_api.this_sign_in": "a program learns here what is still missing",
    "account_api.second_step": "the second factor completes the sign-in",
    "account_api.new_password": "a one-time code only opens this",
    "account_api.pending_authenticator": "without a second factor there is nothing else to do",
    "account_api.enroll": "without a second factor there is nothing else to do",
    "account_api.rules": "the rules of behavior come before everything else",
    "account_api.acknowledge_rules": "the rules of behavior come before everything else",
    "account_api.sign_out": "whoever came half the way may leave",
}
place("/organization/people", _l("People"), 80, lambda actor: actor.works_as(Role.ADMINISTRATOR))
# Administrators come to it from the people of their organization.
place("/organization/access-reviews", _l("Access reviews"), 84, lambda actor: actor.works_as(Role.AUDITOR))
place("/organization/integrations", _l("Integrations"), 82, lambda actor: actor.works_as(Role.ADMINISTRATOR))

#: Coarse, per address (S-117): a whole office may stand behind one; the account's own lock does the rest.
_RATE = "120 per minute"
_PAGES = {
    q.SECOND_FACTOR: "/sign-in/second-step",
    q.NEW_PASSWORD: "/sign-in/new-password",
    q.ENROLL: "/sign-in/enroll",
    q.RULES: "/sign-in/rules",
}
#: What a program sets on a request that nobody asked for, so that polling does not keep a sign-in alive (S-109).
_BACKGROUND = "X-Background"


def load_sign_in(token: str, source: Source) -> SignedIn | None:
    """Return who holds this token now, or None; keep, to the minute, that it was used (S-109)."""
    held = q.holder(db.session(), token, source)
    db.session.rollback()
    if held is None or held.actor.sign_in_id is None:
        return None
    at = clock(db.session())
    if at - held.used_at >= c.USE_STEP and _BACKGROUND not in request.headers:
        c.keep_alive(db.session(), held.actor.sign_in_id, at)
    g.zone = held.time_zone
    g.sign_in_ends_at = held.ends_at
    g.news = held.has_news and held.step == q.FULL
    return SignedIn(
        token,
        held.actor,
        held.step,
        name=held.display_name,
        organization=held.organization,
        language=held.language,
    )


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
    return SignedIn(token, actor, q.FULL, name=held.name, organization=held.organization)


@limiter.shared_limit(_RATE, scope="api token")
def _refuse_token(actor: Actor) -> NoReturn:
    """Refuse a token that opens nothing, at sign-in's rate: right ones from the same address are never held up."""
    q.refuse_token(db.session(), actor, TokenRefusedError.code)
    raise TokenRefusedError


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


def _next() -> str:
    """Return where the reader was going, if that is a path of this host (S-306)."""
    wanted = request.values.get("next", "")
    parts = urlsplit(wanted)
    plain = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and "\\" not in wanted
    if plain and not (parts.scheme or parts.netloc) and wanted.isprintable() and not wanted.startswith("/sign-"):
        return wanted
    return "/home"


def _onward(step: str) -> ResponseReturnValue:
    """Lead to what is still missing, or to where the reader was going."""
    where = _next()
    if step in _PAGES:
        return redirect(_PAGES[step] + (f"?next={quote(where)}" if where != "/home" else ""), 303)
    return redirect(where, 303)


def _ask(page: str, *, form: Form | None = None, status: int = 200, **around: Any) -> Response:
    if form is None:
        form = Form()
    return make_response(render_template(page, form=form, next=_next(), **around), status)


def _typed(faults: Mapping[str, Sequence[str]], *secret: str) -> Form:
    """Return the form as it was typed, without its secrets, with its faults in words."""
    kept = {name: value for name, value in request.form.items() if name not in secret}
    return Form(kept, {name: [sentence(f"{code}.{name}") for code in codes] for name, codes in faults.items()})


def _form(what: Command[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in form_words(what.takes).items() if name != "next"}


def _begin(given: Mapping[str, Any]) -> str:
    """Sign in with name and password; return the new token."""
    words = c.sign_in.takes.understood(given)
    if words["acknowledged"]:
        c.check_ahead(db.session(), name=words["name"], password=words["password"])
    target = installation(db.session()).id
    db.session().info["address"] = request.remote_addr
    made = execute(db.session(), c.sign_in, actor=nobody(source()), target=target, data=given)
    return cast("str", made.token)


def _renewed(made: Any) -> str:
    """Put the renewed token into the cookie; return what is still missing."""
    token = cast("str", made.token)
    _hold(token)
    return _step_of(token)


@doors.pages.get("/sign-in", endpoint="sign_in_form")
def sign_in_form() -> ResponseReturnValue:
    """Show the system-use notice and ask for name and password."""
    if current_user.is_authenticated:
        return _onward(cast("SignedIn", current_user).step)
    shown = _ask("account/sign_in.html", left="left" in request.args, is_new=q.nobody_has_an_account(db.session()))
    # Kept at once: the pages after it speak as this one does, until somebody chooses.
    return keep_language(shown, reader_language())


@doors.pages.post("/sign-in", endpoint="sign_in")
@limiter.limit(_RATE)
def take_sign_in() -> ResponseReturnValue:
    """Take name and password."""
    try:
        token = _begin(_form(c.sign_in))
    except InvalidInputError as fault:
        return _ask("account/sign_in.html", form=_typed(fault.fields, "password"), status=422)
    except SignInRefusedError as refusal:
        form = _typed({"": [refusal.code]}, "password")
        return _ask("account/sign_in.html", form=form, status=refusal.status)
    _hold(token)
    return _onward(_step_of(token))


@doors.pages.get("/sign-in/second-step", endpoint="second_step_form")
def second_step_form() -> ResponseReturnValue:
    """Ask for a code: to complete a sign-in, or to make it fresh again."""
    step = cast("SignedIn", current_user).step
    if step not in {q.SECOND_FACTOR, q.FULL}:
        return _onward(step)
    return _ask("account/second_step.html", again=step == q.FULL)


@doors.pages.post("/sign-in/second-step", endpoint="second_step")
@limiter.limit(_RATE)
def take_second_step() -> ResponseReturnValue:
    """Take the code."""
    again = cast("SignedIn", current_user).step == q.FULL
    try:
        made = run(c.confirm_second_factor, _this_sign_in(), _form(c.confirm_second_factor))
    except (InvalidInputError, CodeRefusedError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"code": [fault.code]}
        return _ask("account/second_step.html", form=_typed(faults, "code"), status=fault.status, again=again)
    return _onward(_renewed(made))


@doors.pages.get("/sign-in/new-password", endpoint="new_password_form")
def new_password_form() -> ResponseReturnValue:
    """Ask for a password of one's own."""
    step = cast("SignedIn", current_user).step
    if step != q.NEW_PASSWORD:
        return _onward(step)
    return _ask("account/new_password.html", first=True)


@doors.pages.post("/sign-in/new-password", endpoint="new_password")
@limiter.limit(_RATE)
def take_new_password() -> ResponseReturnValue:
    """Take the password."""
    try:
        made = _change_password(_form(c.change_password))
    except (InvalidInputError, CodeRefusedError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        form = _typed(faults, "new_password", "present_password")
        return _ask("account/new_password.html", form=form, status=fault.status, first=True)
    return _onward(_renewed(made))


@doors.pages.get("/sign-in/enroll", endpoint="enroll_form")
def enroll_form() -> ResponseReturnValue:
    """Show the authenticator's QR code and key, and ask for its first code."""
    step = cast("SignedIn", current_user).step
    if step != q.ENROLL:
        return _onward(step)
    return _enroll_page()


@doors.pages.post("/sign-in/enroll", endpoint="enroll")
@limiter.limit(_RATE)
def take_enroll() -> ResponseReturnValue:
    """Take the first code, and show the recovery codes once."""
    return _take_first_code("account/enroll.html")


@doors.pages.get("/sign-in/rules", endpoint="rules_form")
def rules_form() -> ResponseReturnValue:
    """Show the rules of behavior, and ask for the promise to keep them."""
    step = cast("SignedIn", current_user).step
    if step != q.RULES:
        return _onward(step)
    return _ask("account/acknowledge_rules.html", **_rules())


@doors.pages.post("/sign-in/rules", endpoint="acknowledge_rules")
def take_acknowledge_rules() -> ResponseReturnValue:
    """Take the promise, and go on."""
    try:
        run(c.acknowledge_rules, current_actor().me, _form(c.acknowledge_rules))
    except c.RulesKnownError:
        return _onward(q.FULL)  # sent twice: it holds, so go on
    except (InvalidInputError, RuleBrokenError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        return _ask("account/acknowledge_rules.html", form=_typed(faults, "wording"), status=fault.status, **_rules())
    return _onward(_step_of(cast("SignedIn", current_user).token))


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


def _enroll_page(form: Form | None = None, status: int = 200, page: str = "account/enroll.html") -> ResponseReturnValue:
    shown = q.setup(db.session(), current_actor())
    db.session.rollback()
    if shown is None:  # it was replaced at another sign-in: begin again
        session.clear()
        return redirect("/sign-in", 303)
    code = segno.make(shown.uri, error="m", micro=False)
    drawing = {"size": len(code.matrix) + 8, "path": _path(code.matrix)}
    return _ask(page, form=form, status=status, key=shown.key, qr=drawing)


def _path(matrix: Sequence[Sequence[int]]) -> str:
    """Draw a QR code as one path of dark runs, with the quiet zone of four that readers need."""
    drawn = []
    for y, row in enumerate(matrix, 4):
        x = 0
        while x < len(row):
            start = x
            while x < len(row) and row[x]:
                x += 1
            if x > start:
                drawn.append(f"M{start + 4} {y}h{x - start}v1h-{x - start}z")
            x += 1
    return "".join(drawn)


def _take_first_code(page: str) -> ResponseReturnValue:
    shown = q.setup(db.session(), current_actor())
    db.session.rollback()
    if shown is None:
        return _enroll_page()
    try:
        made = run(c.enroll_factor, shown.id, _form(c.enroll_factor))
    except (InvalidInputError, RuleBrokenError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        return _enroll_page(_typed(faults, "code"), fault.status, page)
    codes = made.shown_codes
    _renewed(made)
    return _ask("account/recovery_codes.html", codes=codes)


# --- one's own account -----------------------------------------------------------------------------------------------


class PersonShape(Shape):
    """An account, as its organization sees it."""

    id = fields.UUID()
    sign_in_name = fields.String()
    display_name = fields.String()
    roles = fields.List(fields.String())
    must_change_password = fields.Boolean()
    last_signed_in_at = fields.AwareDateTime()
    locked_at = fields.AwareDateTime()
    disabled_at = fields.AwareDateTime()
    ends_on = fields.Date()
    emergency_until = fields.AwareDateTime()


class OneselfShape(PersonShape):
    """One's own account."""

    email = fields.String()
    phone = fields.String()
    language = fields.String()
    organization_id = fields.UUID()
    mail_choice = fields.String(attribute="mailed")
    mail_hour = fields.Integer(attribute="mailed_at")


class NewCodeShape(PersonShape):
    """An account with its new one-time code, which is told this once."""

    shown_code = fields.String(data_key="one_time_code", allow_none=True)


class SignInShape(Shape):
    """One of one's own sign-ins."""

    id = fields.UUID()
    channel = fields.String()
    started_at = fields.AwareDateTime()
    used_at = fields.AwareDateTime()
    ends_at = fields.AwareDateTime()
    complete = fields.Boolean()
    this = fields.Boolean()


class EndedShape(Shape):
    """A sign-in that ended."""

    id = fields.UUID()
    ended_at = fields.AwareDateTime()


class GrantShape(Shape):
    """A role somebody has or had."""

    id = fields.UUID()
    user_id = fields.UUID()
    role = fields.String()
    granted_at = fields.AwareDateTime()
    ended_at = fields.AwareDateTime()


class ProposalShape(Shape):
    """A role that waits for a second person, or did."""

    id = fields.UUID()
    user_id = fields.UUID()
    role = fields.String()
    proposed_at = fields.AwareDateTime()
    proposed_by = fields.UUID()
    outcome = fields.String(allow_none=True)
    settled_at = fields.AwareDateTime(allow_none=True)


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


class RulesShape(Shape):
    """The rules of behavior in force, and when the reader last acknowledged rules, in whichever wording."""

    wording = fields.String()
    rules = fields.List(fields.String())
    acknowledged_at = fields.AwareDateTime(allow_none=True)


class ChangeShape(Shape):
    """Something that changed on one's account; `by` is empty for the operator and for the service itself."""

    id = fields.UUID()
    what = fields.String()
    role = fields.String(allow_none=True)
    ends_on = fields.Date(allow_none=True)
    at = fields.AwareDateTime()
    by = fields.UUID(allow_none=True)
    automatic = fields.Boolean()


class SetupShape(Shape):
    """What an authenticator app needs to be set up."""

    uri = fields.String()
    key = fields.String()


@doors.get("/account", page="account/account.html", shape=OneselfShape)
def account() -> Mapping[str, Any]:
    """Read one's own account."""
    database, actor = asking()
    return {
        "it": q.user(database, actor.me),
        "works_as": works_as,
        "rules": q.last_acknowledgment(database, actor.me),
        "around": lambda: {"newest": q.changes(database, actor)[:3], "told": told_change},
        "codes_left": len(q.recovery_codes(database, actor.me)),
        "ends_at": g.get("sign_in_ends_at"),
        "mailed": MAIL_CHOICES,
        "hour": hour_in_words,
        "form": Form(),
    }


@doors.get("/account/rules", page="account/rules.html", shape=RulesShape)
def own_rules() -> Mapping[str, Any]:
    """Read the rules of behavior again."""
    return {"it": _rules()}


@doors.get("/account/changes", page="account/changes.html", shape=ChangeShape, many=True)
def changes() -> Mapping[str, Any]:
    """Read what changed on one's account."""
    database, actor = asking()
    rows = q.changes(database, actor)

    def around() -> dict[str, Any]:
        return {
            "names": q.names(database, {one.by for one in rows}),
            "seen_at": q.user(database, actor.me).changes_seen_at,
            "told": told_change,
            "me": actor.user_id,
            "news": False,  # here it is
            "form": Form(),
        }

    return {"rows": rows, "next": None, "around": around}


def told_change(change: Any) -> str:
    """Say what changed, in words."""
    said = str(CHANGES[change.what])
    if change.role is not None:
        return f"{said}: {ROLE_NAMES[change.role]}"
    return said


doors.act(
    "/account/changes/seen",
    c.see_changes,
    page=None,
    then=lambda _user: "/account",
    shape=OneselfShape,
    show=lambda user: q.user(db.session(), user.id),
    target=lambda _ids: current_actor().me,
    done="changes_seen",
)


def hour_in_words(hour: int) -> str:
    """Say a full hour as people here read it."""
    return format_time(time(hour), "short", locale=get_locale() or "en")


def _mail() -> Mapping[str, Any]:
    """Ask when one is told by mail. Where no mail is sent, nothing is asked."""
    database, actor = asking()
    if post_of(database) is None:
        raise NotFoundError
    it = q.user(database, actor.me)
    return {
        "it": it,
        "mailed": MAIL_CHOICES,
        "hours": [(hour, hour_in_words(hour)) for hour in q.MAIL_HOURS],
        "values": {"choice": it.mailed.value, "hour": str(it.mailed_at)},
    }


doors.act(
    "/account/mail",
    c.set_mail,
    page="account/mail.html",
    context=_mail,
    target=lambda _ids: current_actor().me,
    then=lambda _user: "/account",
    shape=OneselfShape,
    show=lambda row: q.user(db.session(), row.id),
    done="mail_is_set",
)


@doors.get("/account/sign-ins", page="account/sign_ins.html", shape=SignInShape, many=True)
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


# --- saved views -----------------------------------------------------------------------------------------------------


class ViewShape(Shape):
    """A saved view, as one person sees it."""

    id = fields.UUID()
    version = fields.Integer()
    listing = fields.String()
    name = fields.String()
    query = fields.String()
    is_team = fields.Boolean()
    is_own = fields.Boolean()
    is_default = fields.Boolean()


class DefaultShape(Shape):
    """Which view a list opens with."""

    id = fields.UUID()
    listing = fields.String()
    view_id = fields.UUID(allow_none=True)


class ViewsAsked(Takes):
    """Of which list; of all when none is named."""

    listing = line(40, required=False)


def saved_views(listing: str, at: ListAddress) -> dict[str, Any]:
    """Return what a list's page shows of its saved views; a bare address leads on to one's default (pages alone)."""
    rows = q.views(*asking(), listing=listing)
    chosen = next((one for one in rows if one.is_default), None)
    if chosen is not None and not request.query_string:
        abort(redirect(f"{at.path}?{chosen.query}" if chosen.query else at.but(), 303))
    shown = [
        {
            "name": one.name,
            "url": f"{at.path}?{one.query}",
            "current": one.query == at.sorted,
            "is_team": one.is_team,
        }
        for one in rows
    ]
    save = urlencode({"listing": listing, "query": at.query})
    return {"views": shown, "save_view_url": f"/account/views/new?{save}"}


@doors.get("/account/views", page="account/views.html", shape=ViewShape, takes=ViewsAsked, many=True)
def views(*, listing: str | None) -> Mapping[str, Any]:
    """Read the saved views one may use: one's own and the team's."""
    database, actor = asking()
    shares = p.shares_views(actor)
    rows = q.views(database, actor, listing=listing)
    return {
        "rows": rows,
        "next": None,
        "form": Form(),
        "urls": {one.id: f"{c.LISTINGS[one.listing].url}?{one.query}" for one in rows if one.listing in c.LISTINGS},
        "may_withdraw": {one.id for one in rows if one.is_team and shares and not one.is_own},
    }


def _view(what: Command[Any, Any], target: UUID) -> dict[str, Any]:
    """Return what a form about a view shows; refused on record, when the view is not the asker's to change."""
    database, actor = asking()
    row = database.scalars(what.within(actor).where(what.on.id == target)).one_or_none()
    if row is None or not any(all(may(actor, row) for may in clause) for clause in what.allow):
        fault = NotFoundError() if row is None else NotPermittedError()
        refuse(database, actor, what.records, row_type="saved_view", target=target, purpose=None, code=fault.code)
        raise fault
    return {"it": row, "values": {"name": row.name}, "version": row.version}


def _naming() -> dict[str, Any]:
    given = {name: request.args.get(name, "") for name in ("listing", "query")}
    return {"values": given, "may_share": p.shares_views(current_actor())}


def _myself(_ids: Mapping[str, UUID]) -> UUID:
    return current_actor().me


def _shown_view(row: Any) -> q.View:
    return q.view(*asking(), row.id)


doors.act(
    "/account/views/new",
    c.save_view,
    page="account/save_view.html",
    context=_naming,
    target=_myself,
    then=lambda row: f"{c.LISTINGS[row.listing].url}?{row.query}",
    show=_shown_view,
    shape=ViewShape,
    done="view_saved",
    api_rule="/account/views",
)
doors.act(
    "/account/views/<uuid:target>/name",
    c.rename_view,
    page="account/rename_view.html",
    context=lambda target: _view(c.rename_view, target),
    then=lambda _row: "/account/views",
    show=_shown_view,
    shape=ViewShape,
    done="view_renamed",
)
doors.act(
    "/account/views/<uuid:target>/removal",
    c.withdraw_view,
    page="account/withdraw_view.html",
    context=lambda target: _view(c.withdraw_view, target),
    then=lambda _row: "/account/views",
    show=lambda row: q.view_of(row, current_actor(), None),
    shape=ViewShape,
    done="view_withdrawn_now",
)
doors.act(
    "/account/views/<uuid:target>/team-removal",
    c.withdraw_team_view,
    page="account/withdraw_view.html",
    context=lambda target: _view(c.withdraw_team_view, target),
    then=lambda _row: "/account/views",
    show=lambda row: q.view_of(row, current_actor(), None),
    shape=ViewShape,
    done="view_withdrawn_now",
)
doors.act(
    "/account/default-view",
    c.choose_default_view,
    page=None,
    target=_myself,
    then=lambda _row: "/account/views",
    shape=DefaultShape,
    done="default_view_set",
)


@doors.pages.get("/account/password", endpoint="change_password_form")
def change_password_form() -> ResponseReturnValue:
    """Ask for the present password and a new one."""
    return _ask("account/new_password.html", first=False)


@doors.pages.post("/account/password", endpoint="change_password")
@limiter.limit(_RATE)
def take_change_password() -> ResponseReturnValue:
    """Take the new password."""
    try:
        made = _change_password(_form(c.change_password))
    except (InvalidInputError, PasswordRefusedError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"present_password": [fault.code]}
        form = _typed(faults, "new_password", "present_password")
        return _ask("account/new_password.html", form=form, status=fault.status, first=False)
    _renewed(made)
    flash("password_changed", "success")
    return redirect("/account", 303)


@doors.pages.get("/account/recovery-codes", endpoint="renew_recovery_codes_form")
def renew_recovery_codes_form() -> ResponseReturnValue:
    """Ask for a code before making new recovery codes."""
    return _ask("account/give_code.html", purpose="recovery_codes")


@doors.pages.post("/account/recovery-codes", endpoint="renew_recovery_codes")
@limiter.limit(_RATE)
def take_renew_recovery_codes() -> ResponseReturnValue:
    """Make new recovery codes, and show them once."""
    try:
        made = run(c.renew_recovery_codes, current_actor().me, _form(c.renew_recovery_codes))
    except (InvalidInputError, CodeRefusedError) as fault:
        return _code_again(fault, "recovery_codes")
    codes = made.shown_codes
    _renewed(made)
    return _ask("account/recovery_codes.html", codes=codes)


@doors.pages.get("/account/authenticator", endpoint="start_factor_form")
def start_factor_form() -> ResponseReturnValue:
    """Ask for a code of the present authenticator before replacing it."""
    return _ask("account/give_code.html", purpose="authenticator")


@doors.pages.post("/account/authenticator", endpoint="start_factor")
@limiter.limit(_RATE)
def take_start_factor() -> ResponseReturnValue:
    """Begin to replace the authenticator."""
    try:
        run(c.start_factor, current_actor().me, _form(c.start_factor))
    except (InvalidInputError, CodeRefusedError) as fault:
        return _code_again(fault, "authenticator")
    return redirect("/account/authenticator/new", 303)


@doors.pages.get("/account/authenticator/new", endpoint="enroll_again_form")
def enroll_again_form() -> ResponseReturnValue:
    """Show the new authenticator's QR code and key."""
    if q.setup(db.session(), current_actor()) is None:
        return redirect("/account/authenticator", 303)
    return _enroll_page()


@doors.pages.post("/account/authenticator/new", endpoint="enroll_again")
@limiter.limit(_RATE)
def take_enroll_again() -> ResponseReturnValue:
    """Take the new authenticator's first code."""
    return _take_first_code("account/enroll.html")


def _code_again(fault: RefusedError, purpose: str) -> ResponseReturnValue:
    faults = fault.fields if isinstance(fault, InvalidInputError) else {"code": [fault.code]}
    return _ask("account/give_code.html", form=_typed(faults, "code"), status=fault.status, purpose=purpose)


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


@doors.pages.post("/language", endpoint="choose_language")
@limiter.limit(_RATE)
def take_language() -> ResponseReturnValue:
    """Change the language of the pages: for the person who is signed in, and at this browser; the same page follows."""
    back = redirect(page_before(), 303)
    try:
        words = c.choose_language.takes.understood({"language": request.form.get("language", "")})
    except InvalidInputError:
        return back
    _keep_language(words["language"])
    return keep_language(back, words["language"])


# --- the JSON door of signing in -------------------------------------------------------------------------------------


def _standing(token: str, codes: Sequence[str] = ()) -> dict[str, Any]:
    held = q.holder(db.session(), token, source())
    db.session.rollback()
    if held is None:
        raise SignInNeededError
    actor: Actor = held.actor
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
    }
    return StandingShape().told(told)


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    answer = make_response(dict(body), status)
    answer.mimetype = "application/json"
    return answer


def _open(
    rule: str, name: str, summary: str, what: Command[Any, Any] | None, shape: type[Shape] = StandingShape
) -> None:
    """List an operation of the JSON door that `Doors.act` does not make."""
    method = "POST" if what is not None else "GET"
    takes = type(what.takes) if what is not None else None
    creates = name in {"sign_in", "add_user", "make_token", "renew_token"}
    OPERATIONS.append(
        Operation(method, f"{API}{rule}", f"account_api.{name}", summary, shape, takes, what, creates=creates)
    )


@doors.api.post("/sign-ins", endpoint="sign_in")
@limiter.limit(_RATE)
def json_sign_in() -> ResponseReturnValue:
    """Sign in with name and password."""
    token = _begin(json_words())
    _hold(token)
    answer = _json(_standing(token), 201)
    answer.headers["Location"] = f"{API}/sign-ins/current"
    return answer


@doors.api.get("/sign-ins/current", endpoint="this_sign_in")
def json_this_sign_in() -> ResponseReturnValue:
    """Read who is signed in and what is still missing."""
    return _json(_standing(cast("SignedIn", current_user).token))


@doors.api.post("/sign-ins/current/second-step", endpoint="second_step")
@limiter.limit(_RATE)
def json_second_step() -> ResponseReturnValue:
    """Give the second factor."""
    made = run(c.confirm_second_factor, _this_sign_in(), json_words())
    _renewed(made)
    return _json(_standing(made.token))


@doors.api.post("/sign-ins/current/password", endpoint="new_password")
@limiter.limit(_RATE)
def json_new_password() -> ResponseReturnValue:
    """Choose a password."""
    made = _change_password(json_words())
    _renewed(made)
    return _json(_standing(made.token))


@doors.api.get("/sign-ins/current/authenticator", endpoint="pending_authenticator")
def json_pending_authenticator() -> ResponseReturnValue:
    """Read what the authenticator app needs, until its first code is given."""
    shown = q.setup(db.session(), current_actor())
    if shown is None:
        raise c.FactorNotPendingError
    return _json(SetupShape().told(shown))


@doors.api.post("/sign-ins/current/authenticator", endpoint="enroll")
@limiter.limit(_RATE)
def json_enroll() -> ResponseReturnValue:
    """Give the authenticator's first code; the answer tells the recovery codes, once."""
    shown = q.setup(db.session(), current_actor())
    db.session.rollback()
    if shown is None:
        raise c.FactorNotPendingError
    made = run(c.enroll_factor, shown.id, json_words())
    codes = made.shown_codes
    _renewed(made)
    return _json(_standing(made.token, codes))


@doors.api.get("/sign-ins/current/rules", endpoint="rules")
def json_rules() -> ResponseReturnValue:
    """Read the rules of behavior in force."""
    return _json(RulesShape().told(_rules()))


@doors.api.post("/sign-ins/current/rules", endpoint="acknowledge_rules")
def json_acknowledge_rules() -> ResponseReturnValue:
    """Acknowledge the rules of behavior."""
    run(c.acknowledge_rules, current_actor().me, json_words())
    return _json(_standing(cast("SignedIn", current_user).token))


@doors.api.post("/sign-ins/current/end", endpoint="sign_out")
def json_sign_out() -> ResponseReturnValue:
    """Sign out, everywhere."""
    ended = run(c.sign_out, _this_sign_in(), json_words())
    session.clear()
    answer = _json(EndedShape().told(ended))
    answer.headers["Clear-Site-Data"] = '"cache", "cookies", "storage"'
    return answer


@doors.api.post("/account/language", endpoint="choose_language")
def json_choose_language() -> ResponseReturnValue:
    """Choose the language of everything one reads here."""
    run(c.choose_language, current_actor().me, json_words())
    return _json(OneselfShape().told(q.user(db.session(), current_actor().me)))


@doors.api.post("/account/authenticator", endpoint="start_factor")
@limiter.limit(_RATE)
def json_start_factor() -> ResponseReturnValue:
    """Begin to replace one's authenticator."""
    run(c.start_factor, current_actor().me, json_words())
    return _json(SetupShape().told(q.setup(db.session(), current_actor())))


@doors.api.post("/account/recovery-codes", endpoint="renew_recovery_codes")
@limiter.limit(_RATE)
def json_renew_recovery_codes() -> ResponseReturnValue:
    """Make new recovery codes; the answer tells them, once."""
    made = run(c.renew_recovery_codes, current_actor().me, json_words())
    codes = made.shown_codes
    _renewed(made)
    return _json(_standing(made.token, codes))


_open("/sign-ins", "sign_in", "Sign in with name and password.", c.sign_in)
_open("/sign-ins/current", "this_sign_in", "Read who is signed in and what is still missing.", None)
_open("/sign-ins/current/second-step", "second_step", "Give the second factor.", c.confirm_second_factor)
_open("/sign-ins/current/password", "new_password", "Choose a password.", c.change_password)
_open(
    "/sign-ins/current/authenticator",
    "pending_authenticator",
    "Read what the authenticator app needs, until its first code is given.",
    None,
    SetupShape,
)
_open("/sign-ins/current/authenticator", "enroll", "Give the authenticator's first code.", c.enroll_factor)
_open("/sign-ins/current/rules", "rules", "Read the rules of behavior in force.", None, RulesShape)
_open("/sign-ins/current/rules", "acknowledge_rules", "Acknowledge the rules of behavior.", c.acknowledge_rules)
_open("/sign-ins/current/end", "sign_out", "Sign out, everywhere.", c.sign_out, EndedShape)
_open("/account/language", "choose_language", "Choose one's language.", c.choose_language, OneselfShape)
_open("/account/authenticator", "start_factor", "Begin to replace one's authenticator.", c.start_factor, SetupShape)
_open("/account/recovery-codes", "renew_recovery_codes", "Make new recovery codes.", c.renew_recovery_codes)


# --- the people of one's organization --------------------------------------------------------------------------------


class PeopleAsked(Takes):
    """Where a page of people begins."""

    after = uid(required=False)


@doors.get("/organization/people", page="account/people.html", shape=PersonShape, takes=PeopleAsked, many=True)
def people(after: UUID | None) -> Mapping[str, Any]:
    """Read the accounts of one's organization."""
    database, actor = asking()
    rows, following = q.people_for(database, actor, after=after)
    shown = {"rows": rows, "next": following, "works_as": works_as}

    def around() -> dict[str, Any]:
        return {
            "waiting": len(q.waiting(database, actor.organization)),
            "unreached": _unreached(*rows),
            "review": q.review_state(database, actor.organization, clock(database), zone=actor.zone),
        }

    return shown | {"around": around}


@doors.get("/organization/people/<uuid:target>", page="account/person.html", shape=PersonShape)
def person(target: UUID) -> Mapping[str, Any]:
    """Read one account of one's organization."""
    database, actor = asking()
    it = q.person_for(database, actor, target)
    shown = {"it": it, "roles": ROLE_NAMES, "oneself": it.id == actor.user_id, "form": Form()}

    def around() -> dict[str, Any]:
        return {
            "waiting": q.waiting(database, actor.organization, it.id),
            "unreached": _unreached(it),
            "work": q.open_work(database, actor, it),
            "hands_over": p.hands_work_over(actor),
        }

    return shown | {"around": around}


def _unreached(*people: Any) -> Mapping[UUID, datetime]:
    """Return since when mail to these people fails; nothing where none is sent."""
    database = db.session()
    return q.unreached(database, [one.id for one in people]) if post_of(database) is not None else {}


def works_as(user: Any) -> str:
    """Say what somebody works as, in words."""
    return ", ".join(str(words) for role, words in ROLE_NAMES.items() if role in user.roles)


def _own_side() -> list[tuple[str, Words, Words]]:
    side = current_actor().side
    found = q.ROLES[side] if side is not None else ()
    return [(role.value, ROLE_NAMES[role.value], _SECOND if role in q.POWERFUL else "") for role in found]


#: Said beside the roles that one administrator alone cannot give.
_SECOND: Words = _l("Holds once another administrator of your organization confirms it.")


@doors.pages.get("/organization/people/new", endpoint="add_user_form")
def add_user_form() -> ResponseReturnValue:
    """Ask who joins, and as what."""
    q.people_for(db.session(), current_actor())
    return _ask("account/add_user.html", roles=_own_side())


@doors.pages.post("/organization/people/new", endpoint="add_user")
def take_add_user() -> ResponseReturnValue:
    """Add an account, and show its one-time code once."""
    actor = current_actor()
    try:
        made = run(c.add_user, actor.organization, _form(c.add_user), key=request.form.get("idempotency_key"))
    except (InvalidInputError, RuleBrokenError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        form = _typed(faults)
        form.values = {**form.values, "roles": request.form.getlist("roles")}
        return _ask("account/add_user.html", form=form, status=fault.status, roles=_own_side())
    waiting = q.waiting(db.session(), actor.organization, made.id)
    return _ask("account/one_time_code.html", it=made, code=made.shown_code, added=True, waits=bool(waiting))


@doors.api.post("/organization/people", endpoint="add_user")
def json_add_user() -> ResponseReturnValue:
    """Add an account to one's organization; the first answer under a key tells its one-time code, once."""
    made = run(c.add_user, current_actor().organization, json_words(), key=idempotency_key())
    answer = _json(_with_code(made), 201)
    answer.headers["Location"] = f"{API}/organization/people/{made.id}"
    return answer


@doors.pages.post("/organization/people/<uuid:target>/reset", endpoint="reset_password")
def take_reset_password(target: UUID) -> ResponseReturnValue:
    """Start a reset, and show the one-time code once."""
    made = run(c.reset_password, target, _form(c.reset_password))
    return _ask("account/one_time_code.html", it=made, code=made.shown_code, added=False, waits=False)


@doors.api.post("/organization/people/<uuid:target>/reset", endpoint="reset_password")
def json_reset_password(target: UUID) -> ResponseReturnValue:
    """Start a reset; the answer tells the one-time code, once."""
    return _json(_with_code(run(c.reset_password, target, json_words())))


@doors.pages.post("/organization/people/<uuid:target>/enabling", endpoint="enable_user")
def take_enable_user(target: UUID) -> ResponseReturnValue:
    """Let a disabled account be used again, and show its one-time code once."""
    made = run(c.enable_user, target, _form(c.enable_user))
    waiting = q.waiting(db.session(), current_actor().organization, made.id)
    return _ask("account/one_time_code.html", it=made, code=made.shown_code, added=False, waits=bool(waiting))


@doors.api.post("/organization/people/<uuid:target>/enabling", endpoint="enable_user")
def json_enable_user(target: UUID) -> ResponseReturnValue:
    """Let a disabled account be used again; the answer tells the one-time code, once."""
    return _json(_with_code(run(c.enable_user, target, json_words())))


def _with_code(made: Any) -> dict[str, Any]:
    code = made.shown_code
    told = NewCodeShape().told(q.user(db.session(), made.id))
    return {name: value for name, value in told.items() if name != "shown_code"} | {"one_time_code": code}


_open("/organization/people", "add_user", "Add an account to one's organization.", c.add_user, NewCodeShape)
_open("/organization/people/<uuid:target>/reset", "reset_password", "Start a reset.", c.reset_password, NewCodeShape)
_open(
    "/organization/people/<uuid:target>/enabling",
    "enable_user",
    "Let a disabled account be used again.",
    c.enable_user,
    NewCodeShape,
)


def _page_of(user_id: UUID) -> str:
    return f"/organization/people/{user_id}"


def _around(target: UUID) -> Mapping[str, Any]:
    database, actor = asking()
    it = q.person_for(database, actor, target)
    held = {role.value for role in it.roles}
    free = [(code, words) for code, words, _ in _own_side() if code not in held]
    return {
        "it": it,
        "roles": ROLE_NAMES,
        "options": [one for one in free if one[0] not in q.POWERFUL],
        "powerful": [one for one in free if one[0] in q.POWERFUL],
    }


def _read_again(row: Any) -> Any:
    return q.user(db.session(), row.id)


doors.act(
    "/organization/people/<uuid:target>/roles",
    c.grant_role,
    page="account/grant_role.html",
    context=_around,
    then=lambda grant: _page_of(grant.user_id),
    shape=GrantShape,
    done="role_granted",
)
doors.act(
    "/organization/people/<uuid:target>/role-proposals",
    c.propose_role,
    page="account/propose_role.html",
    context=_around,
    then=lambda proposal: _page_of(proposal.user_id),
    shape=ProposalShape,
    done="role_proposed",
)


@doors.get(
    "/organization/people/role-proposals",
    page="account/role_proposals.html",
    shape=ProposalShape,
    takes=PeopleAsked,
    many=True,
)
def role_proposals(after: UUID | None) -> Mapping[str, Any]:
    """Read the roles that wait for a second person in one's organization."""
    database, actor = asking()
    rows, following = q.proposals_for(database, actor, after=after)

    def around() -> dict[str, Any]:
        return {
            "names": q.names(database, {one.proposed_by for one in rows}),
            "alone": len(q.administrators(database, actor.organization, clock(database))) < _TWO,
            "me": actor.user_id,
            "roles": ROLE_NAMES,
            "form": Form(),
        }

    return {"rows": rows, "next": following, "around": around}


#: It takes so many administrators to give a role that needs a second person.
_TWO = 2


def _refusing(target: UUID) -> Mapping[str, Any]:
    database, actor = asking()
    it = q.proposal_for(database, actor, target)
    return {"it": it, "role": ROLE_NAMES[it.role], "own": it.proposed_by == actor.user_id}


doors.act(
    "/organization/people/role-proposals/<uuid:target>/confirmation",
    c.confirm_role,
    page=None,
    then=lambda grant: _page_of(grant.user_id),
    shape=GrantShape,
    done="role_granted",
)
doors.act(
    "/organization/people/role-proposals/<uuid:target>/refusal",
    c.refuse_role,
    page="account/refuse_role.html",
    context=_refusing,
    then=lambda _proposal: "/organization/people/role-proposals",
    shape=ProposalShape,
    done="role_refused",
)
doors.act(
    "/organization/roles/<uuid:target>/end",
    c.end_role,
    page=None,
    then=lambda grant: _page_of(grant.user_id),
    shape=GrantShape,
    done="role_taken_back",
)
doors.act(
    "/organization/people/<uuid:target>/disabling",
    c.disable_user,
    page="account/disable_user.html",
    context=_around,
    then=lambda user: _page_of(user.id),
    shape=PersonShape,
    show=_read_again,
    done="user_is_disabled",
)


def _last_day(target: UUID) -> Mapping[str, Any]:
    around = _around(target)
    return {**around, "values": {"ends_on": around["it"].ends_on or ""}}


doors.act(
    "/organization/people/<uuid:target>/last-day",
    c.set_last_day,
    page="account/last_day.html",
    context=_last_day,
    then=lambda user: _page_of(user.id),
    shape=PersonShape,
    show=_read_again,
    done="last_day_set",
)
doors.act(
    "/organization/people/<uuid:target>/unlocking",
    c.unlock_user,
    page=None,
    then=lambda user: _page_of(user.id),
    shape=PersonShape,
    show=_read_again,
    done="user_unlocked",
)


# --- the yearly review of accounts ------------------------------------------------------------------------------------


class ReviewShape(Shape):
    """A signed review of an organization's accounts; `by` is empty for the operator."""

    id = fields.UUID()
    at = fields.AwareDateTime()
    by = fields.UUID(allow_none=True)
    accounts = fields.Integer()


class ReviewLineShape(Shape):
    """What was decided about one account, in the roles it had; `is_still_open`: it was to be changed, and was not."""

    user_id = fields.UUID()
    name = fields.String()
    roles = fields.List(fields.String())
    decision = fields.String()
    is_still_open = fields.Boolean()


class SignedReviewShape(ReviewShape):
    """The same with its lines."""

    lines = fields.List(fields.Nested(ReviewLineShape))


class AccountToReviewShape(Shape):
    """An account as a review sees it; `is_due`: it is to be decided, by somebody else than its own person."""

    id = fields.UUID()
    name = fields.String()
    is_integration = fields.Boolean()
    roles = fields.List(fields.String())
    is_powerful = fields.Boolean()
    since = fields.AwareDateTime()
    used_at = fields.String(allow_none=True)
    reviewed_at = fields.AwareDateTime(allow_none=True)
    is_due = fields.Boolean()


class ReviewsAsked(Takes):
    """Where a page of reviews begins."""

    after = uid(required=False)


REVIEWS = "/organization/access-reviews"


@doors.get(REVIEWS, page="account/access_reviews.html", shape=ReviewShape, takes=ReviewsAsked, many=True)
def access_reviews(after: UUID | None) -> Mapping[str, Any]:
    """Read the signed reviews of one's organization's accounts."""
    database, actor = asking()
    rows, following = q.reviews_for(database, actor, after=after)

    def around() -> dict[str, Any]:
        state = q.review_state(database, actor.organization, clock(database), zone=actor.zone)
        return {"review": state, "may_review": actor.works_as(Role.ADMINISTRATOR)}

    return {"rows": rows, "next": following, "around": around}


@doors.get(f"{REVIEWS}/<uuid:target>", page="account/access_review.html", shape=SignedReviewShape)
def access_review(target: UUID) -> Mapping[str, Any]:
    """Read one signed review."""
    database, actor = asking()
    shown = {"worked_as": worked_as, "decisions": DECISIONS, "may_review": actor.works_as(Role.ADMINISTRATOR)}
    return {"it": q.review_for(database, actor, target)} | shown


@doors.get(f"{REVIEWS}/accounts", page=None, shape=AccountToReviewShape, many=True)
def accounts_to_review() -> Mapping[str, Any]:
    """Read the accounts of one's organization as a review sees them."""
    rows = [
        {name: getattr(one, name) for name in AccountToReviewShape().fields}
        | {"used_at": one.used_at.isoformat() if one.used_at is not None else None}
        for one in q.to_review_for(*asking())
    ]
    return {"rows": rows, "next": None}


def worked_as(one: q.ReviewedAccount | q.ReviewLine) -> str:
    """Say what an account may do, or might when it was reviewed, in words."""
    return ", ".join(str(words) for role, words in ROLE_NAMES.items() if role in one.roles)


def _reviewing() -> Mapping[str, Any]:
    database, actor = asking()
    rows = q.to_review_for(database, actor)
    others = q.administrators(database, actor.organization, clock(database)) - {actor.user_id}
    return {
        "rows": [one for one in rows if one.is_due and one.id != actor.user_id],
        "done": sum(not one.is_due for one in rows),
        "own_is_due": any(one.is_due and one.id == actor.user_id for one in rows),
        "alone": not others,
        "worked_as": worked_as,
        "seen": {one.id: " ".join(one.roles) for one in rows},
        "decisions": list(DECISIONS.items()),
    }


def _decided(_takes: Takes) -> dict[str, Any]:
    """Read the form: for each account the roles that were shown, and what was decided."""
    accounts = []
    for name, shown in request.form.items():
        kind, _, user_id = name.partition(".")
        if kind == "seen":
            one: dict[str, Any] = {"user_id": user_id, "roles": shown.split()}
            if decision := request.form.get(f"decision.{user_id}"):
                one["decision"] = decision
            accounts.append(one)
    return {"accounts": accounts}


doors.act(
    f"{REVIEWS}/new",
    c.sign_access_review,
    page="account/review_access.html",
    context=_reviewing,
    target=lambda _ids: current_actor().organization,
    reads=_decided,
    then=lambda review: f"{REVIEWS}/{review.id}",
    shape=SignedReviewShape,
    show=lambda review: q.review_for(*asking(), review.id),
    done="review_is_signed",
    api_rule=REVIEWS,
)

#: What a review may decide about an account.
DECISIONS: dict[str, Words] = dict(
    zip(q.REVIEW_DECISIONS, (_l("Keep it as it is"), _l("Change it"), _l("Disable it")), strict=True)
)


# --- the integrations of one's organization ---------------------------------------------------------------------------


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


@doors.get(INTEGRATIONS, page="account/integrations.html", shape=TokenShape, takes=IntegrationsAsked, many=True)
def integrations(after: UUID | None) -> Mapping[str, Any]:
    """Read the API tokens of one's organization."""
    database, actor = asking()
    rows, following = q.tokens_for(database, actor, after=after)
    return {"rows": rows, "next": following, "roles": ROLE_NAMES, "scopes": SCOPE_NAMES}


@doors.pages.get(f"{INTEGRATIONS}/new", endpoint="make_token_form")
def make_token_form() -> ResponseReturnValue:
    """Ask what an integration is, what it may do, and until when."""
    q.tokens_for(db.session(), current_actor())
    return _ask("account/make_token.html", **_offered())


def _offered() -> dict[str, Any]:
    side = current_actor().side
    roles = [(role.value, ROLE_NAMES[role.value]) for role in (q.TOKEN_ROLES[side] if side is not None else ())]
    scopes = [one.value for one in (q.SCOPES_OF_SIDE[side] if side is not None else ())]
    return {"roles": roles, "scopes": [(one, SCOPE_NAMES[one], one) for one in scopes]}


@doors.pages.post(f"{INTEGRATIONS}/new", endpoint="make_token")
def take_make_token() -> ResponseReturnValue:
    """Let an integration in, and show its token once."""
    given = _form(c.make_token)
    try:
        made = run(c.make_token, current_actor().organization, given, key=request.form.get("idempotency_key"))
    except (InvalidInputError, RuleBrokenError) as fault:
        form = _typed(fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]})
        form.values = {**form.values, "scopes": request.form.getlist("scopes")}
        return _ask("account/make_token.html", form=form, status=fault.status, **_offered())
    return _show_token(made)


@doors.api.post(INTEGRATIONS, endpoint="make_token")
def json_make_token() -> ResponseReturnValue:
    """Let an integration in; the first answer under a key tells its token, once."""
    return _tell_token(run(c.make_token, current_actor().organization, json_words(), key=idempotency_key()))


@doors.pages.get(f"{INTEGRATIONS}/<uuid:target>/renewal", endpoint="renew_token_form")
def renew_token_form(target: UUID) -> ResponseReturnValue:
    """Ask until when the token that follows works."""
    return _ask("account/renew_token.html", **_of_token(target))


@doors.pages.post(f"{INTEGRATIONS}/<uuid:target>/renewal", endpoint="renew_token")
def take_renew_token(target: UUID) -> ResponseReturnValue:
    """Make the token that follows, and show it once."""
    try:
        made = run(c.renew_token, target, _form(c.renew_token), key=request.form.get("idempotency_key"))
    except (InvalidInputError, RuleBrokenError) as fault:
        form = _typed(fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]})
        return _ask("account/renew_token.html", form=form, status=fault.status, **_of_token(target))
    return _show_token(made)


@doors.api.post(f"{INTEGRATIONS}/<uuid:target>/renewal", endpoint="renew_token")
def json_renew_token(target: UUID) -> ResponseReturnValue:
    """Make the token that follows; the first answer under a key tells it, once."""
    return _tell_token(run(c.renew_token, target, json_words(), key=idempotency_key()))


def _of_token(target: UUID) -> dict[str, Any]:
    database, actor = asking()
    return {"it": q.token_for(database, actor, target)}


def _show_token(made: Any) -> Response:
    return _ask("account/token.html", it=q.token_for(*asking(), made.id), shown_token=made.shown_token)


def _tell_token(made: Any) -> Response:
    told = TokenShape().told(q.token_for(*asking(), made.id)) | {"token": made.shown_token}
    answer = _json(told, 201)
    answer.headers["Location"] = f"{API}{INTEGRATIONS}"
    return answer


_open(INTEGRATIONS, "make_token", "Let an integration in, with its first API token.", c.make_token, NewTokenShape)
_open(
    f"{INTEGRATIONS}/<uuid:target>/renewal",
    "renew_token",
    "Make the API token that follows one.",
    c.renew_token,
    NewTokenShape,
)
doors.act(
    f"{INTEGRATIONS}/<uuid:target>/revocation",
    c.revoke_token,
    page="account/revoke_token.html",
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


@doors.pages.errorhandler(FreshSignInNeededError)
def ask_again(_refusal: FreshSignInNeededError) -> ResponseReturnValue:
    """Lead to the second step, and back to the page the act was asked from (S-113)."""
    back = "/organization/people"
    if request.path.endswith(("/new", "/roles", "/role-proposals", "/renewal")):
        back = request.path
    elif request.path.startswith("/organization/people/role-proposals"):
        back = "/organization/people/role-proposals"
    flash("fresh_sign_in_needed", "warning")
    return redirect(f"/sign-in/second-step?next={quote(back)}", 303)


#: What each role is called. Templates name no roles; they show these.
ROLE_NAMES: dict[str, Words] = {
    Role.CASE_MANAGER.value: _l("Case manager"),
    Role.SUPERVISING_OFFICER.value: _l("Supervising officer"),
    Role.NAVIGATOR.value: _l("Navigator"),
    Role.SUPERVISOR.value: _l("Supervisor"),
    Role.ADMINISTRATOR.value: _l("Organization administrator"),
    Role.AUDITOR.value: _l("Auditor and privacy officer"),
}

#: What may change on an account.
CHANGES: dict[str, Words] = {
    "password_changed": _l("Password changed"),
    "password_reset": _l("Password reset"),
    "factor_added": _l("Authenticator app set up"),
    "factor_replaced": _l("Authenticator app replaced"),
    "codes_made": _l("New recovery codes made"),
    "locked": _l("Account locked after five wrong sign-ins"),
    "unlocked": _l("Account unlocked"),
    "role_given": _l("Role given"),
    "role_ended": _l("Role taken back"),
    "disabled": _l("Account disabled"),
    "enabled": _l("Account can be used again"),
    "last_day_set": _l("Last day set"),
    "last_day_removed": _l("Last day removed"),
}

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

#: When mail comes, in words.
MAIL_CHOICES: dict[str, Words] = {
    q.MailChoice.AT_ONCE: _l("At once"),
    q.MailChoice.DAILY: _l("Once a day, and at once when it is urgent"),
    q.MailChoice.NONE: _l("Never"),
}

say(
    {
        "unknown_change": _l("This is no change of your account. Load the page again."),
        "required.until": _l("Load the page again, then say what you have seen."),
        "changes_seen": _l("Thank you. We ask again when something else changes."),
        "agree_first": _l("Say that you will keep these rules, or sign out."),
        "required.agreed": _l("Say that you will keep these rules, or sign out."),
        "required.wording": _l("The rules on this page are not complete. Load the page again."),
        "rules_changed": _l("The rules changed while you were reading. Read the new ones below."),
        "rules_known": _l("You acknowledged these rules before. You can go on."),
        "mail_is_set": _l("Saved. Mail that waits for you now follows your new choice, too."),
        "required.choice": _l("Choose when we may send you mail."),
        "mail_not_taken": _l("The mail server has not taken the message yet. It will be tried again."),
        "mail_under_way": _l("This message is being sent."),
        "acknowledge_first": _l("Confirm that you read the notice."),
        "view_saved": _l("The view is saved. You find it above this list."),
        "view_renamed": _l("The view has its new name."),
        "view_withdrawn_now": _l("The view was removed. The list is as it was."),
        "view_withdrawn": _l("This view was removed before."),
        "default_view_set": _l("The list opens as you chose."),
        "not_of_this_list": _l("These filters do not belong to this list. Open the list, filter it, and save again."),
        "listing.participants": _l("Participants"),
        "listing.programs": _l("Programs"),
        "listing.referrals": _l("Referrals"),
        "required.acknowledged": _l("Confirm that you read the notice."),
        "required.name": _l("Enter your sign-in name."),
        "required.password": _l("Enter your password."),
        "required.code": _l("Enter the code."),
        "required.new_password": _l("Enter the new password."),
        "required.present_password": _l("Enter your present password."),
        "required.display_name": _l("Enter the person's name."),
        "required.sign_in_name": _l("Enter a name to sign in with."),
        "required.roles": _l("Choose what the person works as."),
        "sign_in_refused": _l(
            "We could not sign you in. Check your name and password. Five wrong tries in 15 minutes lock an account; "
            "your organization's administrator unlocks it."
        ),
        "code_refused": _l("We could not take this code. Wait for the next one in your app, or use a recovery code."),
        "code_wrong": _l(
            "This is not the code your app shows for this key. Check the time on your phone, and enter the next code."
        ),
        "present_password_refused": _l("This is not your present password."),
        "fresh_sign_in_needed": _l("Enter a code once more before you go on. This protects what you are about to do."),
        "sign_in_over": _l("This sign-in has already ended."),
        "not_disabled": _l("This account is not disabled."),
        "last_day_passed": _l("The account's last day has passed. Set another last day, or none, first."),
        "emergency_over": _l("This account was for an emergency and has ended for good. Add a new account instead."),
        "decide_first": _l("Decide about this account."),
        "required.accounts": _l("Load the page again, then decide about each account."),
        "review_list_changed": _l(
            "These accounts changed while you were reading: %(whose)s. The list below is as it is now. Decide about "
            "them again, then sign."
        ),
        "nothing_to_review": _l("There is nothing for you to review now."),
        "review_is_signed": _l("The review is signed. Accounts you chose to disable are disabled."),
        "account_kept": _l("This account is in use."),
        "last_day_set": _l("Saved. The account opens nothing after its last day."),
        "user_disabled": _l("This account is disabled."),
        "not_locked": _l("This account is not locked."),
        "role_not_of_side": _l("This role does not exist on your organization's side."),
        "auditor_alone": _l("An auditor holds no other role. Choose that one alone, or leave it out."),
        "role_held": _l("This person already has that role."),
        "second_person_needed": _l(
            "One administrator alone cannot give this role. Propose it, and another confirms it."
        ),
        "role_proposed_before": _l("This role was proposed before, and waits for another administrator."),
        "proposal_settled": _l("This role was already confirmed or refused, or whoever proposed it has left."),
        "second_administrator": _l("Another administrator of the organization can confirm this role. Ask them."),
        "role_proposed": _l("The role was proposed. It holds once another administrator confirms it."),
        "role_refused": _l("The role was not given. Its proposal is closed."),
        "role_ended": _l("This role has already ended."),
        "factor_not_pending": _l("There is no authenticator waiting to be set up. Start again from your account page."),
        "password_too_short": _l("Use at least 15 characters. A few words that do not belong together work well."),
        "password_too_long": _l("Use at most 128 characters."),
        "password_common": _l(
            "Too many people use a password like this one. Choose words that do not belong together."
        ),
        "password_context": _l(
            "This is made of your name, your organization's name or this service's. Choose other words."
        ),
        "password_same": _l("This is your present password. Choose another one."),
        "not_a_sign_in_name": _l(
            "Use 3 to 64 letters, digits, dots, dashes or underscores, with a letter or digit at both ends."
        ),
        "not_an_email": _l("Enter an e-mail address, like name@example.org."),
        "name_taken": _l("This sign-in name was used before. Names are never used twice; choose another."),
        "email_taken": _l("Another account has this e-mail address."),
        "sign_in_ended": _l("That sign-in has ended."),
        "password_changed": _l("Your password was changed. You are signed out everywhere else."),
        "role_granted": _l("The role was given. It holds from the person's next sign-in."),
        "role_taken_back": _l("The role was taken back. The person was signed out."),
        "user_is_disabled": _l("The account is disabled, and its person was signed out."),
        "user_unlocked": _l("The account is unlocked."),
        "required.called": _l("Enter what the integration is called."),
        "required.role": _l("Choose what it acts as."),
        "required.ends_on": _l("Enter the last day."),
        "required.scopes": _l("Choose what the token may be used for."),
        "over_a_year": _l("Choose a day within a year from today. You can renew the token before it ends."),
        "token_over": _l("This token has already ended. Make a new one."),
        "token_revoked": _l("The token was revoked. It opens nothing any more."),
    }
)
