"""When an agreement holds: by days of the agency's zone, signatures and endings, in Python as in SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from referrals.kernel.actor import Side
from referrals.kernel.errors import ChangedMeanwhileError
from referrals.kernel.orm import uuid7
from referrals.kernel.session import HouseSession
from referrals.organization.models import ZONES, Organization
from referrals.partnership.models import (
    Agreement,
    AgreementOverError,
    AlreadySignedError,
    NotAPartyError,
    SameSideError,
    Standing,
    active_at,
    day_begins,
    term_faults,
)
from tests.factories.organization import a_community_organization, an_agency

#: US zones, and some whose clocks skip or repeat midnight.
ODD_ZONES = (*ZONES, "America/Havana", "America/Asuncion", "Asia/Beirut", "Africa/Cairo", "Pacific/Apia")
DAYS = st.dates(date(2020, 1, 1), date(2032, 12, 31))
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2033, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def an_organization(side: Side, zone: str = "America/Los_Angeles") -> Organization:
    return Organization(name=side.value, side=side.value, time_zone=zone, added_at=NOON)


def a_plain_agreement(starts_on: date, ends_on: date, zone: str = "America/Los_Angeles", **said: Any) -> Agreement:
    terms = {
        "starts_on": starts_on,
        "ends_on": ends_on,
        "categories": ["identity"],
        "purposes": ["referral"],
        "facility_ids": None,
        "program_ids": None,
    }
    agency, community = an_organization(Side.AGENCY, zone), an_organization(Side.COMMUNITY, "Pacific/Guam")
    return Agreement.proposed(community, agency, at=NOON, by=uuid7(), terms=terms | said)


def sign(agreement: Agreement, at: datetime) -> None:
    for party in (agreement.agency_id, agreement.community_id):
        agreement.sign(party, terms=agreement.terms, at=at, by=uuid7())


# --- terms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("starts_on", "ends_on", "faults"),
    [
        ("2026-03-02", "2026-03-01", ["ends_before_start", "over_already"]),
        ("2026-03-02", "2026-03-02", []),
        ("2020-01-01", "2026-03-01", ["term_too_long", "over_already"]),
        ("2024-01-01", "2026-03-01", ["over_already"]),
        ("2026-03-02", "2031-03-01", []),
        ("2026-03-02", "2031-03-02", ["term_too_long"]),
        ("2028-02-29", "2033-02-28", []),
        ("2028-02-29", "2033-03-01", ["term_too_long"]),
    ],
)
def test_a_term_ends_after_it_starts_within_five_years_and_not_in_the_past(
    starts_on: str, ends_on: str, faults: list[str]
) -> None:
    found = term_faults(date.fromisoformat(starts_on), date.fromisoformat(ends_on), today=date(2026, 3, 2))
    assert found == ({"ends_on": faults} if faults else {})


def test_two_agencies_make_no_agreement() -> None:
    terms = {"starts_on": NOON.date(), "ends_on": NOON.date()}
    with pytest.raises(SameSideError):
        Agreement.proposed(an_organization(Side.AGENCY), an_organization(Side.AGENCY), at=NOON, by=uuid7(), terms=terms)


@given(day=DAYS, zone=st.sampled_from(ODD_ZONES))
def test_a_day_begins_at_its_first_instant(day: date, zone: str) -> None:
    place = ZoneInfo(zone)
    begins = day_begins(day, place)
    assert begins.astimezone(place).date() >= day  # a day that a zone leaves out (Apia, 2011) begins with the next
    assert (begins - timedelta(microseconds=1)).astimezone(place).date() < day


# --- activity --------------------------------------------------------------------------------------------------------


@given(
    starts_on=DAYS, length=st.integers(0, 1825), zone=st.sampled_from(ODD_ZONES), at=INSTANTS, near=st.integers(-2, 2)
)
def test_it_runs_from_midnight_to_midnight_of_the_agencys_zone(
    starts_on: date, length: int, zone: str, at: datetime, near: int
) -> None:
    ends_on = starts_on + timedelta(days=length)
    agreement = a_plain_agreement(starts_on, ends_on, zone)
    signed_at = datetime(2019, 1, 1, tzinfo=UTC)
    agreement.ended_at = None
    sign(agreement, signed_at)
    edges = (agreement.begins_at, agreement.expires_at)
    for moment in (at, *(edge + timedelta(microseconds=near) for edge in edges)):
        local_day = moment.astimezone(ZoneInfo(zone)).date()
        assert agreement.is_active(moment) == (starts_on <= local_day <= ends_on)


@given(
    signed=st.tuples(INSTANTS, INSTANTS),
    ended_at=st.none() | INSTANTS,
    moments=st.lists(INSTANTS, min_size=2, max_size=6),
)
def test_once_over_it_never_holds_again(
    signed: tuple[datetime, datetime], ended_at: datetime | None, moments: list[datetime]
) -> None:
    agreement = a_plain_agreement(date(2020, 1, 1), date(2032, 12, 31))
    agreement.first_signed_at, agreement.second_signed_at = signed
    agreement.ended_at = ended_at
    held = [agreement.is_active(moment) for moment in sorted(moments)]
    assert (
        sorted(set(held[held.index(True) :]), reverse=True) == list(dict.fromkeys(held[held.index(True) :]))
        if (True in held)
        else True
    )
    for moment in moments:
        if agreement.is_active(moment):
            assert max(signed) <= moment
            assert ended_at is None or moment < ended_at
            assert agreement.standing(moment) == Standing.ACTIVE


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    starts_on=DAYS,
    length=st.integers(0, 1825),
    zone=st.sampled_from(ODD_ZONES),
    signed=st.tuples(st.none() | INSTANTS, st.none() | INSTANTS),
    ended_at=st.none() | INSTANTS,
    at=INSTANTS,
    edge=st.sampled_from(["begins_at", "expires_at", "first_signed_at", "second_signed_at", "ended_at", "at"]),
    near=st.integers(-1, 1),
)
def test_sql_says_what_python_says(
    any_session: HouseSession,
    *,
    starts_on: date,
    length: int,
    zone: str,
    signed: tuple[datetime | None, datetime | None],
    ended_at: datetime | None,
    at: datetime,
    edge: str,
    near: int,
) -> None:
    session = any_session
    agreement = a_plain_agreement(starts_on, starts_on + timedelta(days=length), zone)
    agreement.first_signed_at, agreement.second_signed_at = signed
    agreement.ended_at = ended_at
    moment = (getattr(agreement, edge, None) or at) + timedelta(microseconds=near)
    assert holds_in_sql(session, agreement, moment) == agreement.is_active(moment)


def holds_in_sql(session: Session, agreement: Agreement, moment: datetime) -> bool:
    """Ask the database, in a transaction that is thrown away: this is about SQL, not about writing."""
    parties = organizations(session)
    connection = session.connection()
    table = Agreement.__table__
    names = [column.key for column in table.columns if column.key != "revision"]
    row = {name: getattr(agreement, name) for name in names} | parties | {"revision": 1}
    connection.execute(insert(Agreement).values(**row))
    found = connection.execute(select(Agreement.id).where(Agreement.id == agreement.id, active_at(moment))).first()
    session.rollback()
    return found is not None


def organizations(session: Session) -> dict[str, Any]:
    """Return two organizations to join, made once for a database."""
    known = session.info.get("parties")
    if known is None:
        agency, community = an_agency(session), a_community_organization(session)
        known = session.info["parties"] = {"first_id": agency.id, "second_id": community.id}
    return dict(known)


# --- signing ---------------------------------------------------------------------------------------------------------


def test_nobody_signs_for_a_side_that_is_not_theirs() -> None:
    agreement = a_plain_agreement(date(2026, 1, 1), date(2026, 12, 31))
    for act in (
        lambda: agreement.sign(uuid7(), terms=1, at=NOON, by=uuid7()),
        lambda: agreement.end(uuid7(), at=NOON, by=uuid7(), because="x"),
        lambda: agreement.new_rule(uuid7(), kind="non_negotiable", facility_id=None, wording="x", at=NOON, by=uuid7()),
    ):
        with pytest.raises(NotAPartyError):
            act()
    assert not agreement.is_signed


def test_signing_is_for_the_terms_one_saw_and_once() -> None:
    agreement = a_plain_agreement(date(2026, 1, 1), date(2026, 12, 31))
    agreement.sign(agreement.agency_id, terms=1, at=NOON, by=uuid7())
    with pytest.raises(AlreadySignedError):
        agreement.sign(agreement.agency_id, terms=1, at=NOON, by=uuid7())
    terms = {"starts_on": date(2026, 1, 1), "ends_on": date(2027, 12, 31)}
    changed = agreement.change(at=NOON, terms=terms)
    assert {"first_signed_at", "first_signed_by", "terms", "expires_at"} <= changed
    assert (agreement.agency_signed_at, agreement.agency_signed_by, agreement.terms) == (None, None, 2)
    with pytest.raises(ChangedMeanwhileError):
        agreement.sign(agreement.community_id, terms=1, at=NOON, by=uuid7())
    assert agreement.change(at=NOON, terms=terms) == set()
    sign(agreement, NOON)
    assert agreement.standing(NOON) == Standing.ACTIVE
    with pytest.raises(AlreadySignedError):
        agreement.change(at=NOON, terms=terms | {"ends_on": date(2026, 6, 1)})


@pytest.mark.parametrize(
    ("signed", "ended", "at", "standing"),
    [
        (False, None, "2025-12-31", Standing.PROPOSED),
        (True, None, "2025-12-31", Standing.SCHEDULED),
        (True, None, "2026-06-01", Standing.ACTIVE),
        (False, None, "2027-01-02", Standing.EXPIRED),
        (True, "2026-05-01", "2026-06-01", Standing.ENDED),
        (True, "2026-05-01", "2026-04-30", Standing.ACTIVE),
    ],
)
def test_how_it_stands_follows_from_what_happened(
    *, signed: bool, ended: str | None, at: str, standing: Standing
) -> None:
    agreement = a_plain_agreement(date(2026, 1, 1), date(2026, 12, 31))
    if signed:
        sign(agreement, datetime(2025, 12, 1, tzinfo=UTC))
    if ended is not None:
        moment = datetime.fromisoformat(ended).replace(tzinfo=UTC)
        agreement.end(agreement.community_id, at=moment, by=uuid7(), because="The grant ended.")
    assert agreement.standing(datetime.fromisoformat(at).replace(tzinfo=UTC)) == standing


def test_what_is_over_can_be_neither_signed_nor_ended_nor_given_rules() -> None:
    agreement = a_plain_agreement(date(2026, 1, 1), date(2026, 1, 31))
    midnight = datetime(2026, 2, 1, 8, tzinfo=UTC)
    agreement.require_not_over(midnight - timedelta(microseconds=1))
    for act in (
        lambda: agreement.sign(agreement.agency_id, terms=1, at=midnight, by=uuid7()),
        lambda: agreement.end(agreement.agency_id, at=midnight, by=uuid7(), because="x"),
        lambda: agreement.change(at=midnight, terms={}),
    ):
        with pytest.raises(AgreementOverError):
            act()


def test_it_allows_what_both_named_while_it_holds() -> None:
    facility, program = uuid7(), uuid7()
    agreement = a_plain_agreement(
        date(2026, 1, 1), date(2026, 12, 31), facility_ids=[str(facility)], program_ids=[str(program)]
    )
    assert not agreement.allows("identity", "referral", NOON)
    sign(agreement, NOON)
    assert agreement.allows("identity", "referral", NOON)
    assert not agreement.allows("health", "referral", NOON)
    assert not agreement.allows("identity", "supervision", NOON)
    assert not agreement.allows("identity", "referral", agreement.expires_at)
    assert agreement.covers_facility(facility)
    assert agreement.covers_facility(None)
    assert not agreement.covers_facility(uuid7())
    assert agreement.covers_program(program)
    assert not agreement.covers_program(uuid7())
    assert a_plain_agreement(date(2026, 1, 1), date(2026, 12, 31)).covers_program(uuid7())
