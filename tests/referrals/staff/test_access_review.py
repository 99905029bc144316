"""The yearly review of an organization's accounts: who may sign about whom, and what stands in the way (S-805)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from referrals.account import queries
from referrals.integration import commands as integrations
from referrals.integration import queries as integration_queries
from referrals.kernel.actor import Actor, Role, system
from referrals.kernel.command import execute
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError
from referrals.kernel.record import clock
from referrals.kernel.session import HouseSession
from referrals.sign_in import models as sign_in_models
from referrals.staff import commands as staff
from referrals.staff import models as staff_models
from referrals.staff import queries as staff_queries
from referrals.staff.models import AccessReview, AccessReviewLine
from tests.factories import account as people
from tests.factories.organization import a_community_organization, an_agency, last_event
from tests.referrals.account.conftest import Moment
from tests.referrals.organization.conftest import Visits, app, visit

__all__ = ["app", "visit"]


def seen(house: Session, organization: UUID, but: UUID | None = None, **decided: str) -> list[dict[str, Any]]:
    """The list as a reviewer sees it now, with everything kept unless `decided` says otherwise by name."""
    listed = staff_queries.accounts_to_review(house, organization, clock(house))
    house.rollback()
    return [
        {"user_id": str(one.id), "roles": one.roles, "decision": decided.get(one.name.partition(" ")[0], "keep")}
        for one in listed
        if one.is_due and one.id != but
    ]


def sign(house: Session, actor: Actor, organization: UUID, accounts: list[dict[str, Any]]) -> AccessReview:
    data: Mapping[str, Any] = {"accounts": accounts}
    return execute(house, staff.sign_access_review, actor=actor, target=organization, data=data)


def decided(house: Session, review: AccessReview) -> dict[UUID, tuple[str, list[str]]]:
    lines = house.scalars(select(AccessReviewLine).where(AccessReviewLine.review_id == review.id)).all()
    house.rollback()
    return {one.user_id: (one.decision, one.roles) for one in lines}


def test_s805_nobody_else_reviews_and_no_other_organization(house: Session, agency: UUID, community: UUID) -> None:
    people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    stranger = people.a_member(house, community, Role.ADMINISTRATOR)
    for role in (Role.CASE_MANAGER, Role.SUPERVISOR, Role.AUDITOR):
        other = people.a_member(house, agency, role, name=f"Other {role.value}")
        with pytest.raises(NotPermittedError):
            sign(house, other.actor(house), agency, seen(house, agency, other.user_id))
    with pytest.raises(NotFoundError):
        sign(house, stranger.actor(house), agency, seen(house, agency))
    for who in (stranger.actor(house), people.a_case_manager(house, agency)):
        with pytest.raises((NotPermittedError, NotFoundError)):
            staff_queries.review_for(house, who, uuid4())
    assert last_event(house, "account.access_review_viewed")["outcome"] == "refused"
    assert house.scalars(select(AccessReview)).all() == []


def test_s805_nobody_decides_about_their_own_account(house: Session, agency: UUID) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    with pytest.raises(staff_models.ReviewListChangedError):
        sign(house, ada.actor(house), agency, seen(house, agency))
    review = sign(house, ada.actor(house), agency, seen(house, agency, ada.user_id))
    assert ada.user_id not in decided(house, review)


def test_s805_unsigned_while_an_account_is_undecided(house: Session, agency: UUID) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    casey = people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    listed = seen(house, agency, ada.user_id)
    del listed[0]["decision"]
    with pytest.raises(InvalidInputError) as refusal:
        sign(house, ada.actor(house), agency, listed)
    assert refusal.value.fields == {f"decision.{casey.user_id}": ["decide_first"]}


@pytest.mark.usefixtures("engine")
def test_s805_unsigned_while_the_list_changed_and_says_whose(house: Session, agency: UUID, community: UUID) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    casey = people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    left = people.a_member(house, agency, Role.CASE_MANAGER, name="Lou Fisk")
    listed = seen(house, agency, ada.user_id)
    people.a_user(house, agency, Role.CASE_MANAGER, name="New Person")
    role = {"role": Role.SUPERVISING_OFFICER.value}
    execute(house, staff.grant_role, actor=ada.actor(house), target=casey.user_id, data=role)
    execute(house, staff.disable_user, actor=ada.actor(house), target=left.user_id, data={"because": "left"})
    elsewhere = people.a_user(house, community, Role.NAVIGATOR, name="Nia Brooks")
    listed.append({"user_id": str(elsewhere.id), "roles": ["navigator"], "decision": "disable"})
    with pytest.raises(staff_models.ReviewListChangedError) as refusal:
        sign(house, ada.actor(house), agency, listed)
    assert refusal.value.facts == {"whose": "Casey Morgan, Lou Fisk, New Person"}, "and nobody of elsewhere"
    sign(house, ada.actor(house), agency, seen(house, agency, ada.user_id))


@pytest.mark.usefixtures("engine")
def test_s805_a_signature_disables_at_once_and_is_never_changed(house: Session, agency: UUID) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    casey = people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    lou = people.a_member(house, agency, Role.SUPERVISOR, name="Lou Fisk")
    review = sign(house, ada.actor(house), agency, seen(house, agency, ada.user_id, Casey="disable", Lou="change"))
    assert (review.by, decided(house, review)) == (
        ada.user_id,
        {casey.user_id: ("disable", ["case_manager"]), lou.user_id: ("change", ["supervisor"])},
    )
    gone = queries.user(house, casey.user_id)
    assert (gone.disabled_by, gone.disabled_because) == (ada.user_id, "The yearly review of accounts")
    with pytest.raises(AssertionError, match="opens nothing"):
        casey.actor(house)
    told = last_event(house, "account.access_reviewed")
    assert (told["outcome"], told["actor"]["id"]) == ("done", str(ada.user_id))
    house.rollback()
    for change in (
        "UPDATE access_review_line SET decision = 'keep'",
        "DELETE FROM access_review_line",
        "UPDATE access_review SET revision = 2",
        "DELETE FROM access_review",
    ):
        with pytest.raises(DBAPIError, match="insert-only"):
            house.connection().execute(text(change))
        house.rollback()


def test_s805_what_was_to_be_changed_is_told_until_it_is(house: Session, agency: UUID) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    casey = people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    review = sign(house, ada.actor(house), agency, seen(house, agency, ada.user_id, Casey="change"))

    def is_open() -> bool:
        return staff_queries.review_for(house, people.an_auditor(house, agency), review.id).lines[0].is_still_open

    assert is_open()
    grant = queries.user(house, casey.user_id).grants[0].id
    execute(house, staff.end_role, actor=ada.actor(house), target=grant, data={})
    assert not is_open()


def test_s805_a_second_administrator_reviews_what_is_left_and_then_nothing_is(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    bo = people.a_member(house, agency, Role.ADMINISTRATOR, name="Bo Lind")
    casey = people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    sign(house, ada.actor(house), agency, seen(house, agency, ada.user_id))
    with pytest.raises(staff_models.NothingToReviewError):
        sign(house, ada.actor(house), agency, [{"user_id": str(uuid4()), "roles": [], "decision": "keep"}])
    assert [one["user_id"] for one in seen(house, agency)] == [str(ada.user_id)]
    execute(house, staff.grant_role, actor=ada.actor(house), target=casey.user_id, data=OFFICER)
    review = sign(house, bo.actor(house), agency, seen(house, agency, bo.user_id))
    assert decided(house, review).keys() == {ada.user_id, casey.user_id}, "new roles are decided anew"
    now.pass_by(days=30)
    assert len(seen(house, agency)) == 3


OFFICER = {"role": Role.SUPERVISING_OFFICER.value}


def test_s805_the_operator_reviews_the_only_administrator_and_nobody_else(house: Session, agency: UUID) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    casey = people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    everybody = seen(house, agency)
    for wanted in (everybody, [one for one in everybody if one["user_id"] == str(casey.user_id)]):
        with pytest.raises(staff_models.SecondAdministratorError):
            sign(house, system("cli"), agency, wanted)
    hers = [one for one in everybody if one["user_id"] == str(ada.user_id)]
    review = sign(house, system("cli"), agency, hers)
    assert (review.by, decided(house, review).keys()) == (None, {ada.user_id})
    people.a_member(house, agency, Role.ADMINISTRATOR, name="Bo Lind")
    execute(house, staff.grant_role, actor=system("cli"), target=ada.user_id, data=OFFICER)
    with pytest.raises(staff_models.SecondAdministratorError):
        sign(house, system("cli"), agency, [one for one in seen(house, agency) if one["user_id"] == str(ada.user_id)])


def test_s805_s113_signing_needs_a_fresh_second_factor(house: Session, agency: UUID, now: Moment) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    actor = ada.actor(house)
    now.pass_by(minutes=10)
    with pytest.raises(sign_in_models.FreshSignInNeededError):
        sign(house, actor, agency, seen(house, agency, ada.user_id))


@pytest.mark.usefixtures("engine")
def test_s805_overdue_is_counted_from_the_last_time_somebody_decided_about_each(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    people.a_user(house, agency, Role.CASE_MANAGER, name="Casey Morgan")

    def is_overdue() -> bool:
        found = staff_queries.review_state(house, agency, now(), zone="UTC").is_overdue
        house.rollback()
        return found

    now.pass_by(days=364)
    assert not is_overdue()
    now.pass_by(days=2)
    assert is_overdue()
    listed = [one for one in seen(house, agency) if one["user_id"] == str(ada.user_id)]
    sign(house, system("cli"), agency, listed)
    assert is_overdue(), "the other account was not reviewed"
    bo = people.a_member(house, agency, Role.ADMINISTRATOR, name="Bo Lind")
    sign(house, bo.actor(house), agency, seen(house, agency, bo.user_id))
    assert not is_overdue()
    now.pass_by(days=364)
    assert not is_overdue()
    now.pass_by(days=2)
    assert is_overdue()


def test_s805_an_integration_is_reviewed_too(house: Session, agency: UUID, now: Moment) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    ends_on = (now() + timedelta(days=30)).date().isoformat()
    words = {"called": "Case system", "role": "case_manager", "scopes": ["participants:read"], "ends_on": ends_on}
    token = execute(house, integrations.make_token, actor=ada.actor(house), target=agency, data=words)
    listed = staff_queries.accounts_to_review(house, agency, now())
    assert [(one.name, one.sign_in_name, one.is_integration, one.used_at) for one in listed][1:] == [
        ("Case system", None, True, None)
    ]
    sign(house, ada.actor(house), agency, seen(house, agency, ada.user_id, Case="disable"))
    held = integration_queries.token_holder(house, str(token.shown_token), people.Source("api"))
    assert held is not None
    assert not held.works


def test_s805_at_both_doors(visit: Visits, session: HouseSession) -> None:
    agency = an_agency(session)
    ada = visit(agency, Role.ADMINISTRATOR, name="Ada Wells")
    aubrey = visit(agency, Role.AUDITOR, name="Aubrey Cole")
    casey = visit(agency, Role.CASE_MANAGER, name="Casey Morgan")
    elsewhere = visit(a_community_organization(session), Role.ADMINISTRATOR, name="Eve Stone")
    for path in ("/organization/access-reviews", "/organization/access-reviews/new"):
        assert casey.get(path).status_code == 403
    assert aubrey.get("/organization/access-reviews/new").status_code == 403
    assert "No review was signed yet." in aubrey.get("/organization/access-reviews").text
    assert "/organization/access-reviews" in ada.get("/organization/people").text

    page = ada.get("/organization/access-reviews/new").text
    assert "Your own account is not on this list" in page
    listed = ada.ask("/organization/access-reviews/accounts").get_json()["items"]
    others = [one for one in listed if one["name"] != "Ada Wells"]
    typed = {f"seen.{one['id']}": " ".join(one["roles"]) for one in others}
    first = f"decision.{others[0]['id']}"
    answer = ada.post("/organization/access-reviews/new", **typed, **{first: "keep"})
    assert answer.status_code == 422
    assert f'href="#decision.{others[1]["id"]}"' in answer.text
    assert f'id="{first}" name="{first}" value="keep" checked' in answer.text, "what was decided is kept"

    people.a_user(session, agency.id, Role.CASE_MANAGER, name="New Person")
    everything = typed | {f"decision.{one['id']}": "keep" for one in others}
    answer = ada.post("/organization/access-reviews/new", **everything)
    assert (answer.status_code, "These accounts changed while you were reading: New Person." in answer.text) == (
        409,
        True,
    )
    listed = ada.ask("/organization/access-reviews/accounts").get_json()["items"]
    accounts = [
        {"user_id": one["id"], "roles": one["roles"], "decision": "change" if one["name"] == "New Person" else "keep"}
        for one in listed
        if one["name"] != "Ada Wells"
    ]
    made = ada.send("/organization/access-reviews", {"accounts": accounts})
    assert (made.status_code, len(made.get_json()["lines"])) == (201, 3)
    at = f"/organization/access-reviews/{made.get_json()['id']}"
    for reader in (ada, aubrey):
        text_of = reader.get(at).text
        assert "Not changed yet" in text_of
        assert "Signed by Ada Wells" in text_of
    assert elsewhere.get(at).status_code == 404
    assert "There is nothing for you to review now." in ada.get("/organization/access-reviews/new").text
