"""Both doors of what is set on one's own account, and what forms and lists of people share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from flask import Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from marshmallow import fields

from referrals.account import commands as c
from referrals.account import queries as q
from referrals.kernel.actor import Role
from referrals.kernel.command import Command
from referrals.kernel.door import (
    OPERATIONS,
    SHOW_IN,
    Doors,
    Form,
    Operation,
    Shape,
    asking,
    form_words,
    in_language,
    json_words,
    languages_are_kept,
    people_are_called,
    run,
)
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.web import (
    API,
    OPEN,
    SignedIn,
    Words,
    by_address,
    current_actor,
    db,
    keep_language,
    limiter,
    page_before,
    say,
    sentence,
)

doors = Doors("account")
people_are_called(q.names)


def _keep_language(chosen: str) -> None:
    """Keep a language for the person, once they are signed in; a browser keeps it by its cookie."""
    if current_user.is_authenticated and cast("SignedIn", current_user).step == q.FULL:
        run(c.choose_language, current_actor().me, {"language": chosen})


languages_are_kept(_keep_language)

OPEN |= {
    "account.choose_language": "whoever cannot read a page may change its language",
}

#: Coarse, per address (S-117): a whole office may stand behind one; the account's own lock does the rest. A facility
#: that the operator named is counted as a whole: 200 people at a change of shift, each with two slips, fit a minute.
RATE = by_address("120 per minute", "600 per minute")


# --- what pages ask and answer, here and upstairs --------------------------------------------------------------------


def where_to() -> str:
    """Return where the reader was going, if that is a path of this host (S-306)."""
    wanted = request.values.get("next", "")
    parts = urlsplit(wanted)
    plain = wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and "\\" not in wanted
    if plain and not (parts.scheme or parts.netloc) and wanted.isprintable() and not wanted.startswith("/sign-"):
        return wanted
    return "/home"


def ask(page: str, *, form: Form | None = None, status: int = 200, **around: Any) -> Response:
    """Show a page that asks for something."""
    if form is None:
        form = Form()
    return make_response(render_template(page, form=form, next=where_to(), **around), status)


def as_typed(faults: Mapping[str, Sequence[str]], *secret: str, several: str = "") -> Form:
    """Return the form as it was typed, without its secrets, with its faults in words.

    Of the field that takes `several`, every box that was ticked is kept.
    """
    kept: dict[str, Any] = {name: value for name, value in request.form.items() if name not in secret}
    if several:
        kept[several] = request.form.getlist(several)
    return Form(kept, {name: [sentence(f"{code}.{name}") for code in codes] for name, codes in faults.items()})


#: What is never put back into a form that is shown in another language, whichever form asks for it.
SECRETS: Final = ("password", "present_password", "new_password", "code", "passkey", "first_half", "second_half")


def ask_switchable(page: str, *, form: Form | None = None, status: int = 200, **around: Any) -> Response:
    """Show a page that asks for something, with a switch of the language that keeps what is typed.

    The address that its form is sent to looks at `is_switch` before anything else.
    """
    if form is None:
        form = Form()
    form.may_switch = True
    return ask(page, form=form, status=status, **around)


def is_switch() -> bool:
    """Whether a form was sent only to be shown in another language; then nothing in it is tried."""
    return SHOW_IN in request.form


def switched(show: Callable[[Form], ResponseReturnValue], *, several: str = "") -> ResponseReturnValue:
    """Show a form in the language that it asks for, with all that is typed but the secrets.

    `show` is what shows the page to whoever opens it, so that nobody sees more by a switch than by opening it.
    """
    return in_language(request.form[SHOW_IN], lambda: make_response(show(as_typed({}, *SECRETS, several=several))))


def words_of(what: Command[Any, Any]) -> dict[str, Any]:
    """Return what was typed into a form, for its command."""
    return {name: value for name, value in form_words(what.takes).items() if name != "next"}


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


class ChangeShape(Shape):
    """Something that changed on one's account; `by` is empty for the operator and for the service itself."""

    id = fields.UUID()
    what = fields.String()
    role = fields.String(allow_none=True)
    ends_on = fields.Date(allow_none=True)
    at = fields.AwareDateTime()
    by = fields.UUID(allow_none=True)
    automatic = fields.Boolean()


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


@doors.pages.post("/language", endpoint="choose_language")
@limiter.limit(RATE)
def take_language() -> ResponseReturnValue:
    """Change the language of the pages: for the person who is signed in, and at this browser; the same page follows.

    Beside the filters of a list it comes with what is typed there, which then filters: nothing typed is lost.
    """
    beside_filters = SHOW_IN in request.args
    wished = request.args[SHOW_IN] if beside_filters else request.form.get("language", "")
    back = redirect(_filtered(page_before()) if beside_filters else page_before(), 303)
    try:
        words = c.choose_language.takes.understood({"language": wished})
    except InvalidInputError:
        return back
    _keep_language(words["language"])
    return keep_language(back, words["language"])


def _filtered(address: str) -> str:
    """Return a list's address with its filters as they stand in the form; its page stays where none was changed."""
    parts = urlsplit(address)
    typed = [(name, value) for name, value in request.form.items(multi=True) if name != "csrf_token" and value]
    before = parse_qsl(parts.query)
    rest = [(name, value) for name, value in before if name not in request.form]
    if sorted(typed) != sorted(one for one in before if one not in rest):
        rest = [one for one in rest if one[0] != "after"]
    return urlunsplit(("", "", parts.path, urlencode(typed + rest), ""))


def as_json(body: Mapping[str, Any], status: int = 200) -> Response:
    """Return an answer of the JSON door that `Doors.act` does not give."""
    answer = make_response(dict(body), status)
    answer.mimetype = "application/json"
    return answer


def list_operation(
    room: Doors,
    rule: str,
    name: str,
    summary: str,
    *,
    what: Command[Any, Any] | None,
    shape: type[Shape],
    creates: bool = False,
    many: bool = False,
) -> None:
    """List an operation of the JSON door that `Doors.act` does not make."""
    method = "POST" if what is not None else "GET"
    takes = type(what.takes) if what is not None else None
    endpoint = f"{room.room}_api.{name}"
    OPERATIONS.append(Operation(method, f"{API}{rule}", endpoint, summary, shape, takes, what, many, creates=creates))


@doors.api.post("/account/language", endpoint="choose_language")
def json_choose_language() -> ResponseReturnValue:
    """Choose the language of everything one reads here."""
    run(c.choose_language, current_actor().me, json_words())
    return as_json(OneselfShape().told(q.user(db.session(), current_actor().me)))


list_operation(
    doors, "/account/language", "choose_language", "Choose one's language.", what=c.choose_language, shape=OneselfShape
)


def works_as(user: Any) -> str:
    """Say what somebody works as, in words."""
    return ", ".join(str(words) for role, words in ROLE_NAMES.items() if role in user.roles)


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
    "passkey_added": _l("Passkey or security key added"),
    "passkey_removed": _l("Passkey or security key removed"),
    "passkey_copied": _l("A passkey was refused, because a copy of it seems to exist. Remove it, and add a new one"),
    "issuer_added": _l("Connected with your organization's own sign-in"),
    "issuer_removed": _l("Disconnected from your organization's own sign-in"),
    "codes_made": _l("New recovery codes made"),
    "sheet_added": _l("Code sheet printed and taken into use"),
    "sheet_replaced": _l("Code sheet replaced by a new one"),
    "sheet_lost": _l("Code sheet reported lost"),
    "locked": _l("Account locked after five wrong sign-ins"),
    "unlocked": _l("Account unlocked"),
    "role_given": _l("Role given"),
    "role_ended": _l("Role taken back"),
    "disabled": _l("Account disabled"),
    "enabled": _l("Account can be used again"),
    "last_day_set": _l("Last day set"),
    "last_day_removed": _l("Last day removed"),
    "recovery_started": _l("A colleague says that you lost your second factor; a second one has to agree"),
    "recovery_ended": _l("The recovery of your second factor was stopped"),
    "factor_lost": _l("Two colleagues agreed that your second factor is lost; it no longer works"),
    "recovery_used": _l("A new authenticator app is being set up, by the code of two colleagues"),
}

say(
    {
        "unknown_change": _l("This is no change of your account. Load the page again."),
        "required.until": _l("Load the page again, then say what you have seen."),
        "changes_seen": _l("Thank you. We ask again when something else changes."),
        "not_disabled": _l("This account is not disabled."),
        "last_day_passed": _l("The account's last day has passed. Set another last day, or none, first."),
        "emergency_over": _l("This account was for an emergency and has ended for good. Add a new account instead."),
        "user_disabled": _l("This account is disabled."),
        "not_locked": _l("This account is not locked."),
        "role_not_of_side": _l("This role does not exist on your organization's side."),
        "auditor_alone": _l("An auditor holds no other role. Choose that one alone, or leave it out."),
        "role_held": _l("This person already has that role."),
        "proposal_settled": _l("This role was already confirmed or refused, or whoever proposed it has left."),
        "role_ended": _l("This role has already ended."),
    }
)
