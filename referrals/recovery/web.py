"""Both doors of recoveries: two colleagues speak for somebody, who comes back by their code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

from flask import flash, redirect, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from marshmallow import fields

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
from referrals.kernel.door import Doors, Form, Shape, asking, form_key, idempotency_key, json_words, run
from referrals.kernel.errors import InvalidInputError, RuleBrokenError, SignInNeededError
from referrals.kernel.web import API, HALFWAY, Words, current_actor, db, limiter, say
from referrals.recovery import commands as c
from referrals.recovery import queries as q
from referrals.recovery.commands import CodeRefusedError, FreshSignInNeededError
from referrals.sign_in.web import StandingShape, go_on, is_at_second_step, told_on

doors = Doors("recovery")

HALFWAY |= {
    "recovery.use_recovery_form": "whoever lost the second factor learns here what to do",
    "recovery.use_recovery": "the code of two colleagues lets them set up another one",
    "recovery_api.use_recovery": "the code of two colleagues lets them set up another one",
}

LISTED = "/organization/people/recoveries"
#: Whoever reset the password so lately may still hold what replaces it.
_RESET_LATELY = timedelta(days=7)


@doors.pages.errorhandler(FreshSignInNeededError)
def ask_again(_refusal: FreshSignInNeededError) -> ResponseReturnValue:
    """Lead to the second step, and back to the page the act was asked from (S-113)."""
    flash("fresh_sign_in_needed", "warning")
    return redirect(f"/sign-in/second-step?next={quote(request.path)}", 303)


class RecoveryShape(Shape):
    """A recovery of a lost second factor; `by` is empty for the operator."""

    id = fields.UUID()
    user_id = fields.UUID()
    name = fields.String()
    state = fields.String()
    first_by = fields.UUID(allow_none=True)
    first_how = fields.String()
    first_at = fields.AwareDateTime()
    second_by = fields.UUID(allow_none=True)
    second_how = fields.String(allow_none=True)
    second_at = fields.AwareDateTime(allow_none=True)
    expires_at = fields.AwareDateTime()
    used_at = fields.AwareDateTime(allow_none=True)
    because = fields.String(allow_none=True)


class RecoveryHalfShape(RecoveryShape):
    """The same with one's half of the code, which is told this once."""

    half = fields.String(allow_none=True)


@doors.get(LISTED, page="recovery/recoveries.html", shape=RecoveryShape, many=True)
def recoveries() -> Mapping[str, Any]:
    """Read the recoveries of one's organization that are not over."""
    database, actor = asking()
    shown = {"how": PROOFINGS, "me": actor.user_id, "form": Form()}
    return {"rows": q.open_ones(database, actor), "next": None, "around": lambda: shown}


def _proofings() -> list[tuple[str, Words, Words]]:
    return [(one, PROOFINGS[one], _ABOUT.get(one, "")) for one in q.PROOFINGS]


def _starting(target: UUID) -> Mapping[str, Any]:
    return {"it": q.person_for(*asking(), target), "options": _proofings()}


@doors.pages.get("/organization/people/<uuid:target>/recovery", endpoint="start_recovery_form")
def start_recovery_form(target: UUID, form: Form | None = None) -> ResponseReturnValue:
    """Ask how one made sure that a colleague lost their second factor."""
    return ask_switchable("recovery/start_recovery.html", form=form, **_starting(target))


@doors.pages.post("/organization/people/<uuid:target>/recovery", endpoint="start_recovery")
def take_start_recovery(target: UUID) -> ResponseReturnValue:
    """Begin a recovery, and show the first half of its code once."""
    if is_switch():
        return switched(lambda form: start_recovery_form(target, form))
    try:
        made = run(c.start_recovery, target, words_of(c.start_recovery), key=form_key())
    except (InvalidInputError, RuleBrokenError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        return ask_switchable(
            "recovery/start_recovery.html", form=as_typed(faults), status=fault.status, **_starting(target)
        )
    return _half(made, first=True)


@doors.api.post("/organization/people/<uuid:target>/recovery", endpoint="start_recovery")
def json_start_recovery(target: UUID) -> ResponseReturnValue:
    """Begin a recovery; the answer tells the first half of its code, once."""
    made = run(c.start_recovery, target, json_words(), key=idempotency_key())
    answer = as_json(_told(made), 201)
    answer.headers["Location"] = f"{API}{LISTED}/{made.id}"
    return answer


@doors.get(f"{LISTED}/<uuid:target>", page="recovery/recovery.html", shape=RecoveryShape)
def recovery(target: UUID) -> Mapping[str, Any]:
    """Read one recovery of one's organization."""
    it = q.recovery_for(*asking(), target)
    return {"it": it, "how": PROOFINGS, "reasons": REASONS, "me": current_actor().user_id, "form": Form()}


def _confirming(target: UUID) -> Mapping[str, Any]:
    database, actor = asking()
    it = q.recovery_for(database, actor, target)
    reset = q.last_reset(database, it.user_id, it.first_at - _RESET_LATELY)
    who = accounts.names(database, {reset.by}) if reset is not None else {}
    return {"it": it, "how": PROOFINGS, "options": _proofings(), "reset": reset, "who": who}


@doors.pages.get(f"{LISTED}/<uuid:target>/confirmation", endpoint="confirm_recovery_form")
def confirm_recovery_form(target: UUID, form: Form | None = None) -> ResponseReturnValue:
    """Ask how one made sure, by oneself, who is asking."""
    return ask_switchable("recovery/confirm_recovery.html", form=form, **_confirming(target))


@doors.pages.post(f"{LISTED}/<uuid:target>/confirmation", endpoint="confirm_recovery")
def take_confirm_recovery(target: UUID) -> ResponseReturnValue:
    """Confirm a recovery, and show the second half of its code once."""
    if is_switch():
        return switched(lambda form: confirm_recovery_form(target, form))
    try:
        made = run(c.confirm_recovery, target, words_of(c.confirm_recovery), key=form_key())
    except (InvalidInputError, RuleBrokenError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        return ask_switchable(
            "recovery/confirm_recovery.html", form=as_typed(faults), status=fault.status, **_confirming(target)
        )
    return _half(made, first=False)


@doors.api.post(f"{LISTED}/<uuid:target>/confirmation", endpoint="confirm_recovery")
def json_confirm_recovery(target: UUID) -> ResponseReturnValue:
    """Confirm a recovery; the answer tells the second half of its code, once."""
    return as_json(_told(run(c.confirm_recovery, target, json_words(), key=idempotency_key())))


def _half(made: Any, *, first: bool) -> ResponseReturnValue:
    half = made.shown_half
    return ask("recovery/half.html", it=q.recovery_for(*asking(), made.id), half=half, first=first)


def _told(made: Any) -> dict[str, Any]:
    half = made.shown_half
    return {**RecoveryShape().told(q.recovery_for(*asking(), made.id)), "half": half}


list_operation(
    doors,
    "/organization/people/<uuid:target>/recovery",
    "start_recovery",
    "Say, as the first of two, that somebody lost their second factor.",
    what=c.start_recovery,
    shape=RecoveryHalfShape,
    creates=True,
)
list_operation(
    doors,
    f"{LISTED}/<uuid:target>/confirmation",
    "confirm_recovery",
    "Say, as the second of two, that somebody lost their second factor.",
    what=c.confirm_recovery,
    shape=RecoveryHalfShape,
)


def _refusing(target: UUID) -> Mapping[str, Any]:
    database, actor = asking()
    it = q.recovery_for(database, actor, target)
    oneself = it.user_id == actor.user_id
    return {"it": it, "oneself": oneself, "options": list((OWN_REASONS if oneself else REASONS).items())}


def _again(row: Any) -> Any:
    return q.recovery_for(db.session(), current_actor(), row.id)


doors.act(
    f"{LISTED}/<uuid:target>/refusal",
    c.refuse_recovery,
    page="recovery/refuse_recovery.html",
    context=_refusing,
    then=lambda row: f"{LISTED}/{row.id}",
    shape=RecoveryShape,
    show=_again,
    done="recovery_refused",
)
doors.act(
    f"{LISTED}/<uuid:target>/withdrawal",
    c.withdraw_recovery,
    page=None,
    then=lambda row: f"{LISTED}/{row.id}",
    shape=RecoveryShape,
    show=_again,
    done="recovery_withdrawn",
)


# --- coming back -----------------------------------------------------------------------------------------------------


def _this_sign_in() -> UUID:
    sign_in_id = current_actor().sign_in_id
    if sign_in_id is None:
        raise SignInNeededError
    return sign_in_id


@doors.pages.get("/sign-in/recovery", endpoint="use_recovery_form")
def use_recovery_form(form: Form | None = None) -> ResponseReturnValue:
    """Say what to do without a second factor, to everybody alike, and ask for the code (S-102)."""
    return ask_switchable("recovery/use_recovery.html", form=form) if is_at_second_step() else go_on()


@doors.pages.post("/sign-in/recovery", endpoint="use_recovery")
@limiter.limit(RATE)
def take_use_recovery() -> ResponseReturnValue:
    """Take both halves of the code, and go on to a new authenticator."""
    if is_switch():
        return switched(use_recovery_form)
    try:
        made = run(c.use_recovery, _this_sign_in(), words_of(c.use_recovery))
    except (InvalidInputError, CodeRefusedError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"first_half": ["recovery_code_refused"]}
        form = as_typed(faults, "first_half", "second_half")
        return ask_switchable("recovery/use_recovery.html", form=form, status=fault.status)
    return go_on(made)


@doors.api.post("/sign-ins/current/recovery", endpoint="use_recovery")
@limiter.limit(RATE)
def json_use_recovery() -> ResponseReturnValue:
    """Give both halves of a recovery's code."""
    return told_on(run(c.use_recovery, _this_sign_in(), json_words()))


list_operation(
    doors,
    "/sign-ins/current/recovery",
    "use_recovery",
    "Give both halves of a recovery's code.",
    what=c.use_recovery,
    shape=StandingShape,
)

#: How a colleague made sure who is asking.
PROOFINGS: dict[str, Words] = dict(
    zip(
        q.PROOFINGS,
        (
            _l("In person, against an official photo ID"),
            _l("In person, and I know them from working together"),
            _l("On a video call, and I know their face and voice from working together"),
            _l("I called the phone number that our organization has for them"),
        ),
        strict=True,
    )
)
_ABOUT: dict[str, Words] = {
    "photo_id_in_person": _l("Look at it, and write nothing from it down."),
    "known_on_video": _l("You called them, not they you. Ask about something that only the two of you know."),
    "called_back": _l(
        "The weakest way: nobody sees them. Never a number they gave you now. The other colleague has to see them."
    ),
}
#: Why a recovery is refused.
REASONS: dict[str, Words] = dict(
    zip(
        q.REASONS,
        (
            _l("The person did not ask for it"),
            _l("It is not certain who is asking"),
            _l("The person could not be reached"),
            _l("The app or a recovery code was found again"),
            _l("It was begun by mistake"),
        ),
        strict=True,
    )
)
#: Why somebody stops the recovery of their own factor: only what one can say of oneself.
OWN_REASONS: dict[str, Words] = {
    "not_asked_for": _l("I did not ask for it"),
    "found_again": _l("I found my app or a recovery code again"),
    "by_mistake": _l("It was begun by mistake"),
}

say(
    {
        "required.first_half": _l("Enter the first half of the code."),
        "required_choice.because": _l("Choose a reason."),
        "required.second_half": _l("Enter the second half of the code."),
        "recovery_code_refused": _l(
            "We could not take these two halves. Check both with your colleagues. They work once, for a day at most."
        ),
        "seen_by_nobody": _l("The first colleague did not see the person either. One of you two has to see them."),
        "nothing_lost": _l(
            "This person has not set up an authenticator yet. Reset the password: its code lets them in."
        ),
        "recovery_under_way": _l("A recovery of this person is under way. Withdraw it before you begin another."),
        "recovery_over": _l("This recovery is over: it was confirmed, used, stopped, or its day has passed."),
        "administrator_there": _l("The organization has an administrator who can begin. Ask them."),
        "second_colleague_there": _l("The organization has a second colleague who can confirm. Ask them."),
        "operator_twice": _l("Whoever runs this service began it, so a colleague of the person confirms."),
        "recovery_refused": _l("The recovery is stopped. Its code works no more."),
        "recovery_withdrawn": _l("The recovery is withdrawn. Its code works no more."),
    }
)
