"""Both doors of setting up second factors, of replacing them and of losing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

import segno
from flask import flash, redirect, request, session
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from referrals.account import queries as accounts
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
from referrals.code_sheet import queries as sheets
from referrals.code_sheet.commands import draw_ahead
from referrals.factor import commands as c
from referrals.kernel.door import Doors, Form, asking, json_words, run
from referrals.kernel.errors import InvalidInputError, RefusedError, RuleBrokenError, SignInNeededError
from referrals.kernel.record import clock
from referrals.kernel.web import HALFWAY, current_actor, db, limiter, say
from referrals.passkey import queries as passkeys
from referrals.sign_in import queries as q
from referrals.sign_in.commands import FreshSignInNeededError, PasskeyRefusedError
from referrals.sign_in.web import (
    NOT_TAKEN,
    SetupShape,
    SheetShape,
    StandingShape,
    ask_code,
    not_taken,
    onward,
    renewed,
    step_now,
    told_on,
)

#: Programs know these operations by the room that they were cut from (decision 0027).
doors = Doors("factor", known_as="sign_in")

HALFWAY |= {
    "factor.enroll_form": "without a second factor there is nothing else to do",
    "factor.enroll": "without a second factor there is nothing else to do",
    "factor.add_passkey_form": "a first passkey is a second factor as good as any",
    "factor.add_passkey": "a first passkey is a second factor as good as any",
    "factor.code_sheet_form": "without a second factor there is nothing else to do",
    "factor.make_code_sheet": "without a second factor there is nothing else to do",
    "factor.first_sheet_code_form": "without a second factor there is nothing else to do",
    "factor.enroll_code_sheet": "without a second factor there is nothing else to do",
    "factor_api.pending_authenticator": "without a second factor there is nothing else to do",
    "factor_api.enroll": "without a second factor there is nothing else to do",
    "factor_api.make_code_sheet": "without a second factor there is nothing else to do",
    "factor_api.enroll_code_sheet": "without a second factor there is nothing else to do",
    "factor_api.add_passkey": "a first passkey is a second factor as good as any",
}


# --- an authenticator app ---------------------------------------------------------------------------------------------


@doors.pages.get("/sign-in/enroll", endpoint="enroll_form")
def enroll_form(form: Form | None = None) -> ResponseReturnValue:
    """Show the authenticator's QR code and key, and ask for its first code."""
    step = step_now()
    if step != accounts.ENROLL:
        return onward(step)
    return _enroll_page(form)


@doors.pages.post("/sign-in/enroll", endpoint="enroll")
@limiter.limit(RATE)
def take_enroll() -> ResponseReturnValue:
    """Take the first code, and show the recovery codes once."""
    if is_switch():
        return switched(enroll_form)
    return _take_first_code("factor/enroll.html")


def _enroll_page(form: Form | None = None, status: int = 200, page: str = "factor/enroll.html") -> ResponseReturnValue:
    shown = q.setup(db.session(), current_actor())
    db.session.rollback()
    if shown is None:  # it was replaced at another sign-in: begin again
        session.clear()
        return redirect("/sign-in", 303)
    code = segno.make(shown.uri, error="m", micro=False)
    drawing = {"size": len(code.matrix) + 8, "path": _path(code.matrix)}
    return ask_switchable(page, form=form, status=status, key=shown.key, qr=drawing)


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
        made = run(c.enroll_factor, shown.id, words_of(c.enroll_factor))
    except (InvalidInputError, RuleBrokenError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        return _enroll_page(as_typed(faults, "code"), fault.status, page)
    codes = made.shown_codes
    renewed(made)
    return ask("factor/recovery_codes.html", codes=codes)


@doors.pages.get("/account/authenticator", endpoint="start_factor_form")
def start_factor_form(form: Form | None = None) -> ResponseReturnValue:
    """Ask for a code of the present authenticator before replacing it."""
    return ask_code("factor/give_code.html", form=form, purpose="authenticator")


@doors.pages.post("/account/authenticator", endpoint="start_factor")
@limiter.limit(RATE)
def take_start_factor() -> ResponseReturnValue:
    """Begin to replace the authenticator."""
    if is_switch():
        return switched(start_factor_form)
    try:
        run(c.start_factor, current_actor().me, words_of(c.start_factor))
    except NOT_TAKEN as fault:
        return _code_again(fault, "authenticator")
    return redirect("/account/authenticator/new", 303)


@doors.pages.get("/account/authenticator/new", endpoint="enroll_again_form")
def enroll_again_form(form: Form | None = None) -> ResponseReturnValue:
    """Show the new authenticator's QR code and key."""
    if q.setup(db.session(), current_actor()) is None:
        return redirect("/account/authenticator", 303)
    return _enroll_page(form)


@doors.pages.post("/account/authenticator/new", endpoint="enroll_again")
@limiter.limit(RATE)
def take_enroll_again() -> ResponseReturnValue:
    """Take the new authenticator's first code."""
    if is_switch():
        return switched(enroll_again_form)
    return _take_first_code("factor/enroll.html")


@doors.api.get("/sign-ins/current/authenticator", endpoint="pending_authenticator")
def json_pending_authenticator() -> ResponseReturnValue:
    """Read what the authenticator app needs, until its first code is given."""
    shown = q.setup(db.session(), current_actor())
    if shown is None:
        raise c.FactorNotPendingError
    return as_json(SetupShape().told(shown))


@doors.api.post("/sign-ins/current/authenticator", endpoint="enroll")
@limiter.limit(RATE)
def json_enroll() -> ResponseReturnValue:
    """Give the authenticator's first code; the answer tells the recovery codes, once."""
    shown = q.setup(db.session(), current_actor())
    db.session.rollback()
    if shown is None:
        raise c.FactorNotPendingError
    return told_on(run(c.enroll_factor, shown.id, json_words()))


@doors.api.post("/account/authenticator", endpoint="start_factor")
@limiter.limit(RATE)
def json_start_factor() -> ResponseReturnValue:
    """Begin to replace one's authenticator."""
    run(c.start_factor, current_actor().me, json_words())
    return as_json(SetupShape().told(q.setup(db.session(), current_actor())))


list_operation(
    doors,
    "/sign-ins/current/authenticator",
    "pending_authenticator",
    "Read what the authenticator app needs, until its first code is given.",
    what=None,
    shape=SetupShape,
)

list_operation(
    doors,
    "/sign-ins/current/authenticator",
    "enroll",
    "Give the authenticator's first code.",
    what=c.enroll_factor,
    shape=StandingShape,
)

list_operation(
    doors,
    "/account/authenticator",
    "start_factor",
    "Begin to replace one's authenticator.",
    what=c.start_factor,
    shape=SetupShape,
)


# --- recovery codes ---------------------------------------------------------------------------------------------------


@doors.pages.get("/account/recovery-codes", endpoint="renew_recovery_codes_form")
def renew_recovery_codes_form(form: Form | None = None) -> ResponseReturnValue:
    """Ask for a code before making new recovery codes."""
    return ask_code("factor/give_code.html", form=form, purpose="recovery_codes")


@doors.pages.post("/account/recovery-codes", endpoint="renew_recovery_codes")
@limiter.limit(RATE)
def take_renew_recovery_codes() -> ResponseReturnValue:
    """Make new recovery codes, and show them once."""
    if is_switch():
        return switched(renew_recovery_codes_form)
    try:
        made = run(c.renew_recovery_codes, current_actor().me, words_of(c.renew_recovery_codes))
    except NOT_TAKEN as fault:
        return _code_again(fault, "recovery_codes")
    codes = made.shown_codes
    renewed(made)
    return ask("factor/recovery_codes.html", codes=codes)


def _code_again(fault: RefusedError, purpose: str) -> ResponseReturnValue:
    return ask_code("factor/give_code.html", form=not_taken(fault), status=fault.status, purpose=purpose)


@doors.api.post("/account/recovery-codes", endpoint="renew_recovery_codes")
@limiter.limit(RATE)
def json_renew_recovery_codes() -> ResponseReturnValue:
    """Make new recovery codes; the answer tells them, once."""
    return told_on(run(c.renew_recovery_codes, current_actor().me, json_words()))


list_operation(
    doors,
    "/account/recovery-codes",
    "renew_recovery_codes",
    "Make new recovery codes.",
    what=c.renew_recovery_codes,
    shape=StandingShape,
)


# --- code sheets ------------------------------------------------------------------------------------------------------


@doors.pages.get("/sign-in/code-sheet", endpoint="code_sheet_form")
def code_sheet_form(form: Form | None = None) -> ResponseReturnValue:
    """Say what a code sheet is, and ask for a code before one is printed; on the first day there is none to ask for."""
    step = step_now()
    if step not in {accounts.ENROLL, accounts.FULL}:
        return onward(step)
    return ask_code("factor/code_sheet.html", form=form, first=step == accounts.ENROLL)


@doors.pages.post("/sign-in/code-sheet", endpoint="make_code_sheet")
@limiter.limit(RATE)
def take_make_code_sheet() -> ResponseReturnValue:
    """Draw a code sheet, and show it once, to be printed."""
    if is_switch():
        return switched(code_sheet_form)
    step = step_now()
    try:
        made = _make_sheet(words_of(c.make_code_sheet))
    except NOT_TAKEN as fault:
        form = not_taken(fault)
        return ask_code("factor/code_sheet.html", form=form, status=fault.status, first=step == accounts.ENROLL)
    return ask("factor/code_sheet_shown.html", sheet=made, codes=made.shown_codes)


def _make_sheet(given: Mapping[str, Any]) -> Any:
    draw_ahead(db.session())
    try:
        return run(c.make_code_sheet, current_actor().me, given)
    finally:
        db.session().info.pop("drawn_ahead", None)


@doors.pages.get("/sign-in/code-sheet/first-code", endpoint="first_sheet_code_form")
def first_sheet_code_form(form: Form | None = None) -> ResponseReturnValue:
    """Ask for the first code of a sheet that was printed."""
    return _first_sheet_code(form)


def _first_sheet_code(form: Form | None = None, status: int = 200) -> ResponseReturnValue:
    database, actor = asking()
    sheet = sheets.pending_sheet(database, actor.me)
    if sheet is None:
        return redirect("/sign-in/code-sheet", 303)
    return ask_switchable("factor/first_sheet_code.html", form=form, status=status, sheet=sheet)


@doors.pages.post("/sign-in/code-sheet/first-code", endpoint="enroll_code_sheet")
@limiter.limit(RATE)
def take_enroll_code_sheet() -> ResponseReturnValue:
    """Take the first code of a sheet; on the first day, show the recovery codes once."""
    if is_switch():
        return switched(first_sheet_code_form)
    try:
        made = run(c.enroll_code_sheet, _pending_sheet(), words_of(c.enroll_code_sheet))
    except (InvalidInputError, RuleBrokenError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        return _first_sheet_code(as_typed(faults, "code"), fault.status)
    codes = made.shown_codes
    step = renewed(made)
    if codes:
        return ask("factor/recovery_codes.html", codes=codes)
    flash("sheet_in_use", "success")
    return redirect("/account", 303) if step == accounts.FULL else onward(step)


def _pending_sheet() -> UUID:
    sheet = sheets.pending_sheet(db.session(), current_actor().me)
    if sheet is None:
        raise c.SheetNotPendingError
    found = sheet.id
    db.session.rollback()
    return found


@doors.api.post("/sign-ins/current/code-sheet", endpoint="make_code_sheet")
@limiter.limit(RATE)
def json_make_code_sheet() -> ResponseReturnValue:
    """Draw a code sheet; the answer tells its codes, once."""
    return as_json(SheetShape().told(_make_sheet(json_words())), 201)


@doors.api.post("/sign-ins/current/code-sheet/first-code", endpoint="enroll_code_sheet")
@limiter.limit(RATE)
def json_enroll_code_sheet() -> ResponseReturnValue:
    """Give the code of a new sheet that is asked for; on the first day the answer tells the recovery codes, once."""
    return told_on(run(c.enroll_code_sheet, _pending_sheet(), json_words()))


list_operation(
    doors,
    "/sign-ins/current/code-sheet",
    "make_code_sheet",
    "Draw a code sheet.",
    what=c.make_code_sheet,
    shape=SheetShape,
    creates=True,
)

list_operation(
    doors,
    "/sign-ins/current/code-sheet/first-code",
    "enroll_code_sheet",
    "Take a code sheet into use by its first code.",
    what=c.enroll_code_sheet,
    shape=StandingShape,
)
doors.act(
    "/account/code-sheet/loss",
    c.lose_code_sheet,
    page="factor/lose_sheet.html",
    context=lambda: {"codes_left": len(q.recovery_codes(db.session(), current_actor().me))},
    then=lambda _sheet: "/account",
    shape=SheetShape,
    target=lambda _ids: current_actor().me,
    done="sheet_is_lost",
)


# --- passkeys and security keys ---------------------------------------------------------------------------------------


def _may_add() -> str:
    """Return the step at which a passkey may be added: as the first factor, or beside others.

    Raises:
        SignInNeededError: something else comes first.
        FreshSignInNeededError: there are others, and none was given within the last ten minutes (S-113).
    """
    step = step_now()
    if step not in {accounts.ENROLL, accounts.FULL}:
        raise SignInNeededError(step=step)
    if step == accounts.FULL:
        _require_fresh()
    return step


def _require_fresh() -> None:
    if not q.is_fresh(db.session(), current_actor(), clock(db.session())):
        raise FreshSignInNeededError


@doors.pages.errorhandler(FreshSignInNeededError)
def _code_first(_refusal: FreshSignInNeededError) -> ResponseReturnValue:
    """Lead to the second step, and back to the page that was asked for: each has one of its own."""
    flash("fresh_sign_in_needed", "warning")
    return redirect(f"/sign-in/second-step?next={quote(request.path)}", 303)


@doors.pages.get("/account/passkeys/new", endpoint="add_passkey_form")
def add_passkey_form(form: Form | None = None) -> ResponseReturnValue:
    """Ask for a name, and let the browser ask for the key."""
    return ask_switchable("factor/add_passkey.html", form=form, first=_may_add() == accounts.ENROLL)


@doors.pages.post("/account/passkeys/new", endpoint="add_passkey")
@limiter.limit(RATE)
def take_add_passkey() -> ResponseReturnValue:
    """Take a passkey; with the first one, show the recovery codes once."""
    if is_switch():
        return switched(add_passkey_form)
    first = _may_add() == accounts.ENROLL
    try:
        made = run(c.add_passkey, current_actor().me, words_of(c.add_passkey))
    except (InvalidInputError, PasskeyRefusedError, c.PasskeyKnownError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        return ask_switchable(
            "factor/add_passkey.html", form=as_typed(faults, "passkey"), status=fault.status, first=first
        )
    codes = made.shown_codes
    renewed(made)
    if codes:
        return ask("factor/recovery_codes.html", codes=codes)
    flash("passkey_added", "success")
    return redirect("/account/passkeys", 303)


@doors.pages.get("/account/passkeys/<uuid:target>/removal", endpoint="remove_passkey_form")
def remove_passkey_form(target: UUID) -> ResponseReturnValue:
    """Ask whether a passkey is to be removed."""
    one = passkeys.one_of(db.session(), current_actor(), target)
    _require_fresh()
    return ask("factor/remove_passkey.html", it=one)


@doors.pages.post("/account/passkeys/<uuid:target>/removal", endpoint="remove_passkey")
@limiter.limit(RATE)
def take_remove_passkey(target: UUID) -> ResponseReturnValue:
    """Remove it."""
    try:
        made = run(c.remove_passkey, target, words_of(c.remove_passkey))
    except c.LastFactorError as fault:
        one = passkeys.one_of(db.session(), current_actor(), target)
        return ask("factor/remove_passkey.html", form=as_typed({"": [fault.code]}), status=fault.status, it=one)
    renewed(made)
    flash("passkey_removed", "success")
    return redirect("/account/passkeys", 303)


@doors.api.post("/account/passkeys", endpoint="add_passkey")
@limiter.limit(RATE)
def json_add_passkey() -> ResponseReturnValue:
    """Add a passkey; the answer tells the recovery codes, once, where it is the first factor."""
    _may_add()
    return told_on(run(c.add_passkey, current_actor().me, json_words()), status=201)


@doors.api.post("/account/passkeys/<uuid:target>/removal", endpoint="remove_passkey")
@limiter.limit(RATE)
def json_remove_passkey(target: UUID) -> ResponseReturnValue:
    """Remove one of one's passkeys."""
    return told_on(run(c.remove_passkey, target, json_words()))


list_operation(
    doors, "/account/passkeys", "add_passkey", "Add a passkey.", what=c.add_passkey, shape=StandingShape, creates=True
)

list_operation(
    doors,
    "/account/passkeys/<uuid:target>/removal",
    "remove_passkey",
    "Remove a passkey.",
    what=c.remove_passkey,
    shape=StandingShape,
)


say(
    {
        "sheet_code_wrong": _l(
            "This is not the code at that number. Look at the name of the sheet and the number again."
        ),
        "sheet_not_pending": _l("There is no printed sheet waiting for its first code. Print another one."),
        "no_sheet": _l("There is no code sheet in use."),
        "sheet_is_lost": _l("No code of that sheet opens anything any more. Print another sheet now."),
        "sheet_in_use": _l("Your new code sheet is in use. Shred the old one."),
        "code_wrong": _l(
            "This is not the code your app shows for this key. Check the time on your phone, and enter the next code."
        ),
        "last_factor": _l(
            "This is the only second step of your account. Set up an authenticator app or add another key first."
        ),
        "passkey_added": _l("The passkey was added. You are signed out everywhere else."),
        "passkey_removed": _l("The passkey was removed. You are signed out everywhere else."),
        "factor_not_pending": _l("There is no authenticator waiting to be set up. Start again from your account page."),
    }
)
