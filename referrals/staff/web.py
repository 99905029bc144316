"""Both doors of the people of one's organization, the review of their accounts, and one's own account page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import g, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.account import queries as accounts
from referrals.account.web import (
    ROLE_NAMES,
    OneselfShape,
    PersonShape,
    as_json,
    as_typed,
    ask,
    ask_switchable,
    is_switch,
    list_operation,
    switched,
    told_change,
    words_of,
    works_as,
)
from referrals.code_sheet import queries as sheets
from referrals.kernel.actor import Role
from referrals.kernel.door import Doors, Form, Shape, asking, idempotency_key, json_words, run
from referrals.kernel.errors import InvalidInputError, RuleBrokenError
from referrals.kernel.mail import post_of
from referrals.kernel.record import clock
from referrals.kernel.schema import Takes, uid
from referrals.kernel.web import API, Words, current_actor, db, place, say
from referrals.mail import queries as mails
from referrals.mail.web import MAIL_CHOICES, hour_in_words
from referrals.passkey import queries as passkeys
from referrals.recovery import queries as recoveries
from referrals.sign_in import queries as sign_ins
from referrals.sign_in.commands import FreshSignInNeededError
from referrals.sign_in.web import SheetShape, ask_again
from referrals.staff import commands as c
from referrals.staff import policy as p
from referrals.staff import queries as q

doors = Doors("staff")
doors.pages.register_error_handler(FreshSignInNeededError, ask_again)
place("/organization/people", _l("People"), 80, lambda actor: actor.works_as(Role.ADMINISTRATOR))
# Administrators come to it from the people of their organization.
place("/organization/access-reviews", _l("Access reviews"), 84, lambda actor: actor.works_as(Role.AUDITOR))


# --- one's own account -----------------------------------------------------------------------------------------------


class NewCodeShape(PersonShape):
    """An account with its new one-time code, which is told this once."""

    shown_code = fields.String(data_key="one_time_code", allow_none=True)


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


@doors.get("/account", page="staff/account.html", shape=OneselfShape)
def account() -> Mapping[str, Any]:
    """Read one's own account."""
    database, actor = asking()
    return {
        "it": accounts.user(database, actor.me),
        "works_as": works_as,
        "rules": sign_ins.last_acknowledgment(database, actor.me),
        "around": lambda: {
            "newest": accounts.changes(database, actor)[:3],
            "told": told_change,
            "recoveries": recoveries.open_ones(database, actor, actor.me),
        },
        "codes_left": len(sign_ins.recovery_codes(database, actor.me)),
        "keys": len(passkeys.of_user(database, actor.me)),
        "ends_at": g.get("sign_in_ends_at"),
        "sheet": sheets.sheet_of(database, actor.me),
        "has_app": sign_ins.factor_of(database, actor.me) is not None,
        "few": sheets.SHEET_FEW,
        "mailed": MAIL_CHOICES,
        "hour": hour_in_words,
        "form": Form(),
    }


# --- the people of one's organization --------------------------------------------------------------------------------


class PeopleAsked(Takes):
    """Where a page of people begins."""

    after = uid(required=False)


@doors.get("/organization/people", page="staff/people.html", shape=PersonShape, takes=PeopleAsked, many=True)
def people(after: UUID | None) -> Mapping[str, Any]:
    """Read the accounts of one's organization."""
    database, actor = asking()
    rows, following = q.people_for(database, actor, after=after)
    shown = {"rows": rows, "next": following, "works_as": works_as}

    def around() -> dict[str, Any]:
        return {
            "waiting": len(q.waiting(database, actor.organization)),
            "recoveries": len(recoveries.open_ones(database, actor)),
            "unreached": _unreached(*rows),
            "review": q.review_state(database, actor.organization, clock(database), zone=actor.zone),
        }

    return shown | {"around": around}


@doors.get("/organization/people/<uuid:target>", page="staff/person.html", shape=PersonShape)
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
            "recoveries": recoveries.open_ones(database, actor, it.id),
            "sheet": sheets.sheet_of(database, it.id),
        }

    return shown | {"around": around}


def _unreached(*people: Any) -> Mapping[UUID, datetime]:
    """Return since when mail to these people fails; nothing where none is sent."""
    database = db.session()
    return mails.unreached(database, [one.id for one in people]) if post_of(database) is not None else {}


def _own_side() -> list[tuple[str, Words, Words]]:
    side = current_actor().side
    found = accounts.ROLES[side] if side is not None else ()
    return [(role.value, ROLE_NAMES[role.value], _SECOND if role in accounts.POWERFUL else "") for role in found]


#: Said beside the roles that one administrator alone cannot give.
_SECOND: Words = _l("Holds once another administrator of your organization confirms it.")


@doors.pages.get("/organization/people/new", endpoint="add_user_form")
def add_user_form(form: Form | None = None) -> ResponseReturnValue:
    """Ask who joins, and as what."""
    q.people_for(db.session(), current_actor())
    return ask_switchable("staff/add_user.html", form=form, roles=_own_side())


@doors.pages.post("/organization/people/new", endpoint="add_user")
def take_add_user() -> ResponseReturnValue:
    """Add an account, and show its one-time code once."""
    if is_switch():
        return switched(add_user_form, several="roles")
    actor = current_actor()
    try:
        made = run(c.add_user, actor.organization, words_of(c.add_user), key=request.form.get("idempotency_key"))
    except (InvalidInputError, RuleBrokenError) as fault:
        faults = fault.fields if isinstance(fault, InvalidInputError) else {"": [fault.code]}
        form = as_typed(faults, several="roles")
        return ask_switchable("staff/add_user.html", form=form, status=fault.status, roles=_own_side())
    waiting = q.waiting(db.session(), actor.organization, made.id)
    return ask("staff/one_time_code.html", it=made, code=made.shown_code, added=True, waits=bool(waiting))


@doors.api.post("/organization/people", endpoint="add_user")
def json_add_user() -> ResponseReturnValue:
    """Add an account to one's organization; the first answer under a key tells its one-time code, once."""
    made = run(c.add_user, current_actor().organization, json_words(), key=idempotency_key())
    answer = as_json(_with_code(made), 201)
    answer.headers["Location"] = f"{API}/organization/people/{made.id}"
    return answer


@doors.pages.post("/organization/people/<uuid:target>/reset", endpoint="reset_password")
def take_reset_password(target: UUID) -> ResponseReturnValue:
    """Start a reset, and show the one-time code once."""
    made = run(c.reset_password, target, words_of(c.reset_password))
    return ask("staff/one_time_code.html", it=made, code=made.shown_code, added=False, waits=False)


@doors.api.post("/organization/people/<uuid:target>/reset", endpoint="reset_password")
def json_reset_password(target: UUID) -> ResponseReturnValue:
    """Start a reset; the answer tells the one-time code, once."""
    return as_json(_with_code(run(c.reset_password, target, json_words())))


@doors.pages.post("/organization/people/<uuid:target>/enabling", endpoint="enable_user")
def take_enable_user(target: UUID) -> ResponseReturnValue:
    """Let a disabled account be used again, and show its one-time code once."""
    made = run(c.enable_user, target, words_of(c.enable_user))
    waiting = q.waiting(db.session(), current_actor().organization, made.id)
    return ask("staff/one_time_code.html", it=made, code=made.shown_code, added=False, waits=bool(waiting))


@doors.api.post("/organization/people/<uuid:target>/enabling", endpoint="enable_user")
def json_enable_user(target: UUID) -> ResponseReturnValue:
    """Let a disabled account be used again; the answer tells the one-time code, once."""
    return as_json(_with_code(run(c.enable_user, target, json_words())))


def _with_code(made: Any) -> dict[str, Any]:
    code = made.shown_code
    told = NewCodeShape().told(accounts.user(db.session(), made.id))
    return {name: value for name, value in told.items() if name != "shown_code"} | {"one_time_code": code}


list_operation(
    doors,
    "/organization/people",
    "add_user",
    "Add an account to one's organization.",
    what=c.add_user,
    shape=NewCodeShape,
    creates=True,
)
list_operation(
    doors,
    "/organization/people/<uuid:target>/reset",
    "reset_password",
    "Start a reset.",
    what=c.reset_password,
    shape=NewCodeShape,
)
list_operation(
    doors,
    "/organization/people/<uuid:target>/enabling",
    "enable_user",
    "Let a disabled account be used again.",
    what=c.enable_user,
    shape=NewCodeShape,
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
        "options": [one for one in free if one[0] not in accounts.POWERFUL],
        "powerful": [one for one in free if one[0] in accounts.POWERFUL],
    }


def _read_again(row: Any) -> Any:
    return accounts.user(db.session(), row.id)


doors.act(
    "/organization/people/<uuid:target>/roles",
    c.grant_role,
    page="staff/grant_role.html",
    context=_around,
    then=lambda grant: _page_of(grant.user_id),
    shape=GrantShape,
    done="role_granted",
)
doors.act(
    "/organization/people/<uuid:target>/role-proposals",
    c.propose_role,
    page="staff/propose_role.html",
    context=_around,
    then=lambda proposal: _page_of(proposal.user_id),
    shape=ProposalShape,
    done="role_proposed",
)


@doors.get(
    "/organization/people/role-proposals",
    page="staff/role_proposals.html",
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
            "names": accounts.names(database, {one.proposed_by for one in rows}),
            "alone": len(accounts.administrators(database, actor.organization, clock(database))) < _TWO,
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
    page="staff/refuse_role.html",
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
    page="staff/disable_user.html",
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
    page="staff/last_day.html",
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


doors.act(
    "/organization/people/<uuid:target>/code-sheet-loss",
    c.end_code_sheet,
    page=None,
    then=lambda sheet: _page_of(sheet.user_id),
    shape=SheetShape,
    done="their_sheet_is_lost",
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


@doors.get(REVIEWS, page="staff/access_reviews.html", shape=ReviewShape, takes=ReviewsAsked, many=True)
def access_reviews(after: UUID | None) -> Mapping[str, Any]:
    """Read the signed reviews of one's organization's accounts."""
    database, actor = asking()
    rows, following = q.reviews_for(database, actor, after=after)

    def around() -> dict[str, Any]:
        state = q.review_state(database, actor.organization, clock(database), zone=actor.zone)
        return {"review": state, "may_review": actor.works_as(Role.ADMINISTRATOR)}

    return {"rows": rows, "next": following, "around": around}


@doors.get(f"{REVIEWS}/<uuid:target>", page="staff/access_review.html", shape=SignedReviewShape)
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
    others = accounts.administrators(database, actor.organization, clock(database)) - {actor.user_id}
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
    page="staff/review_access.html",
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


say(
    {
        "their_sheet_is_lost": _l("No code of that sheet opens anything any more. The person is told."),
        "required.display_name": _l("Enter the person's name."),
        "required.sign_in_name": _l("Enter a name to sign in with."),
        "required.roles": _l("Choose what the person works as."),
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
        "second_person_needed": _l(
            "One administrator alone cannot give this role. Propose it, and another confirms it."
        ),
        "role_proposed_before": _l("This role was proposed before, and waits for another administrator."),
        "second_administrator": _l("Another administrator of the organization can confirm this role. Ask them."),
        "role_proposed": _l("The role was proposed. It holds once another administrator confirms it."),
        "role_refused": _l("The role was not given. Its proposal is closed."),
        "not_a_sign_in_name": _l(
            "Use 3 to 64 letters, digits, dots, dashes or underscores, with a letter or digit at both ends."
        ),
        "not_an_email": _l("Enter an e-mail address, like name@example.org."),
        "name_taken": _l("This sign-in name was used before. Names are never used twice; choose another."),
        "email_taken": _l("Another account has this e-mail address."),
        "role_granted": _l("The role was given. It holds from the person's next sign-in."),
        "role_taken_back": _l("The role was taken back. The person was signed out."),
        "user_is_disabled": _l("The account is disabled, and its person was signed out."),
        "user_unlocked": _l("The account is unlocked."),
    }
)
