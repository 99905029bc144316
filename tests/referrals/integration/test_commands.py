"""API tokens on both databases: what they open, how they are renewed, what ends them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from referrals.account import models
from referrals.integration import commands as integrations
from referrals.integration import models as integration_models
from referrals.integration import queries as integration_queries
from referrals.kernel.actor import Actor, Role, Source, system
from referrals.organization.commands import end_organization
from referrals.sign_in import models as sign_in_models
from referrals.staff import commands as staff
from tests.factories import account as people
from tests.referrals.account.conftest import Moment, disabled_because, events, run, since

# --- API tokens ------------------------------------------------------------------------------------------------------


def a_token(
    session: Session, ada: Actor, organization: UUID, now: Moment, days: int = 200
) -> integration_models.ApiToken:
    made: integration_models.ApiToken = run(
        session,
        integrations.make_token,
        ada,
        organization,
        called="County case system",
        role="case_manager",
        scopes=["referrals:read"],
        ends_on=(now() + timedelta(days=days)).astimezone(ZoneInfo("America/Los_Angeles")).date().isoformat(),
    )
    return made


def shows(session: Session, made: integration_models.ApiToken) -> bool:
    """Whether the token opens anything now."""
    held = integration_queries.token_holder(session, str(made.shown_token), Source("api"))
    session.rollback()
    return held is not None and held.works


@pytest.mark.usefixtures("engine")
def test_s808_an_integration_is_not_idle_and_ends_with_its_last_day_even_before_the_worker_came(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR).actor(house)
    before = len(events(house))
    made = a_token(house, ada, agency, now)
    integration = made.user_id
    assert since(house, before) == [("account.token_made", "done", None)] * 3
    assert {one["on"][0]["type"] for one in events(house)[before:]} == {"user", "role_grant", "api_token"}
    now.pass_by(days=150)
    staff.disable_due(house, None, None)
    assert disabled_because(house, integration) is None, "nobody signs in to it, ever"
    assert shows(house, made)
    now.pass_by(days=51)
    assert not shows(house, made)
    staff.disable_due(house, None, None)
    assert disabled_because(house, integration) == models.BECAUSE_ENDED
    assert not shows(house, made)


@pytest.mark.usefixtures("engine")
def test_s808_renewing_carries_the_integration_on_and_its_last_token_takes_it_along(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR).actor(house)
    first = a_token(house, ada, agency, now, days=1)
    later = (now() + timedelta(days=300)).date().isoformat()
    second = run(house, integrations.renew_token, ada, first.id, ends_on=later)
    assert second.user_id == first.user_id
    now.pass_by(days=3)
    staff.disable_due(house, None, None)
    assert (shows(house, first), shows(house, second)) == (False, True)
    with pytest.raises(sign_in_models.FreshSignInNeededError):
        run(house, integrations.renew_token, ada, second.id, ends_on=later)
    run(house, integrations.revoke_token, ada, second.id, because="no longer used")
    assert disabled_because(house, first.user_id) == "no longer used"
    assert not shows(house, second)


def test_s808_an_organization_that_ended_has_no_tokens_that_work(house: Session, agency: UUID, now: Moment) -> None:
    made = a_token(house, people.a_member(house, agency, Role.ADMINISTRATOR).actor(house), agency, now)
    run(house, end_organization, system("cli"), agency)
    assert not shows(house, made)


def test_s808_what_needs_a_fresh_sign_in_is_refused_to_whoever_has_none(
    house: Session, agency: UUID, now: Moment
) -> None:
    """Even if a token's role ever administered: the door is shut to it, and so is the act."""
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    made = a_token(house, ada.actor(house), agency, now)
    token = replace(ada.actor(house), sign_in_id=None, token_id=made.id)
    with pytest.raises(sign_in_models.FreshSignInNeededError):
        a_token(house, token, agency, now)
    with pytest.raises(sign_in_models.FreshSignInNeededError):
        run(house, staff.grant_role, token, people.a_user(house, agency, Role.CASE_MANAGER).id, role="supervisor")
