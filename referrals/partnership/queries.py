"""Reading agreements: their parties' people alone may know of them. Nothing here is about a participant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Select, Uuid, bindparam, exists, or_, select
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.orm.attributes import set_committed_value

from referrals.kernel.actor import Actor, Side, asked_by
from referrals.kernel.errors import NotFoundError
from referrals.kernel.orm import Instant
from referrals.organization.models import Facility, Organization
from referrals.partnership.models import (
    PURPOSES,
    RULE_KINDS,
    Agreement,
    PartnerRule,
    RuleAcknowledgment,
    active_at,
    in_order,
    joins,
)
from referrals.program.models import Program

__all__ = ["PURPOSES", "RULE_KINDS", "in_order"]

#: How many rows a page of a list holds.
PAGE = 25


def visible_to(actor: Actor) -> Select[Agreement]:
    """Select the agreements of the actor's own organization."""
    return select(Agreement).where(_is_party(actor.organization_id))


def _is_party(organization_id: UUID | BindParameter[UUID] | None) -> ColumnElement[bool]:
    return or_(Agreement.first_id == organization_id, Agreement.second_id == organization_id)


def visible_rules(actor: Actor) -> Select[PartnerRule]:
    """Select the rules in agreements of the actor's own organization, with what predicates and rules need."""
    known = exists().where(Agreement.id == PartnerRule.agreement_id, _is_party(actor.organization_id))
    return (
        select(PartnerRule)
        .where(known)
        .options(selectinload(PartnerRule.agreement), selectinload(PartnerRule.acknowledgments))
    )


def agreement(session: Session, actor: Actor, agreement_id: UUID) -> Agreement:
    """Return one agreement with both organizations, its rules and who acknowledged them.

    Raises:
        NotFoundError: there is none with this id, or the actor's organization is no party.
    """
    options = (
        selectinload(Agreement.first),
        selectinload(Agreement.second),
        selectinload(Agreement.rules).selectinload(PartnerRule.acknowledgments),
    )
    statement = visible_to(actor).where(Agreement.id == agreement_id).options(*options)
    row = session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        raise NotFoundError
    for one in row.rules:
        set_committed_value(one, "agreement", row)  # loading it the other way round would load it anew, without rules
    return row


def rule(session: Session, actor: Actor, rule_id: UUID) -> PartnerRule:
    """Return one rule with its agreement and who acknowledged it.

    Raises:
        NotFoundError: there is none with this id, or the actor's organization is no party.
    """
    statement = visible_rules(actor).where(PartnerRule.id == rule_id)
    row = session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        raise NotFoundError
    return row


def page(
    session: Session, actor: Actor, *, after: UUID | None = None, limit: int = PAGE
) -> tuple[list[Agreement], UUID | None]:
    """Return a page of the actor's organization's agreements, newest first, and the id to go on after."""
    statement = visible_to(actor).options(selectinload(Agreement.first), selectinload(Agreement.second))
    if after is not None:
        statement = statement.where(Agreement.id < after)
    rows = list(session.scalars(statement.order_by(Agreement.id.desc()).limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


# --- what upper rooms ask --------------------------------------------------------------------------------------------


def agreement_between(session: Session, a: UUID, b: UUID, at: datetime, *, lock: bool = False) -> Agreement | None:
    """Return the agreement that joins two organizations (in either order) at an instant, if one is active.

    `lock` holds it against being ended until the caller's transaction is over.
    """
    asked = {"one": a, "other": b, "at": at}
    if lock:
        # The row may have waited for whoever ended it, and SQL then judges by what it was: look again.
        locked = _between().with_for_update(of=Agreement).execution_options(populate_existing=True)
        return next((agreement for agreement in session.scalars(locked, asked) if agreement.is_active(at)), None)
    return session.scalars(_between(), asked).first()


@cache
def _between() -> Select[Agreement]:
    """Select the agreement active at an instant between two organizations, in either order: every act asks it."""
    one, other = (bindparam(name, type_=Uuid()) for name in ("one", "other"))
    return (
        select(Agreement)
        .where(
            joins(one, other),
            active_at(bindparam("at", type_=Instant())),
        )
        .order_by(Agreement.begins_at.desc())
    )


def is_held_active(session: Session, agreement_id: UUID, at: datetime) -> bool:
    """Whether an agreement is active still, held against being ended until the caller's transaction is over."""
    return session.scalars(_still_active(), {"agreement": agreement_id, "at": at}).one_or_none() is not None


@cache
def _still_active() -> Select[UUID]:
    it = Agreement.id == bindparam("agreement", type_=Uuid())
    still = select(Agreement.id).where(it, active_at(bindparam("at", type_=Instant())))
    return still.with_for_update(read=True, of=Agreement)


def is_of_partner(own: UUID | BindParameter[UUID], at: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Return the condition that a program is offered by an organization with which one's own has an agreement then."""
    return select(Agreement.id).where(joins(own, Program.organization_id), active_at(at)).exists()


def agreements_among(
    session: Session, pairs: Iterable[tuple[UUID, UUID]], at: datetime
) -> dict[frozenset[UUID], Agreement]:
    """Return the active agreement of each pair of organizations that has one, in one query."""
    wanted = {frozenset(pair) for pair in pairs if len(set(pair)) > 1}
    if not wanted:
        return {}
    either = list(set().union(*wanted))
    rows = session.scalars(_among(), {"either": either, "at": at})
    found = {frozenset((one.first_id, one.second_id)): one for one in rows}
    return {pair: one for pair, one in found.items() if pair in wanted}


@cache
def _among() -> Select[Agreement]:
    """Select the agreements active at an instant among some organizations: every page asks it."""
    either: BindParameter[list[UUID]] = bindparam("either", expanding=True)
    return select(Agreement).where(
        Agreement.first_id.in_(either),
        Agreement.second_id.in_(either),
        active_at(bindparam("at", type_=Instant())),
    )


def partners(organization_id: UUID, at: datetime) -> Select[UUID]:
    """Select the ids of the organizations that an active agreement joins to this one."""
    as_first = select(Agreement.second_id).where(Agreement.first_id == organization_id, active_at(at))
    as_second = select(Agreement.first_id).where(Agreement.second_id == organization_id, active_at(at))
    return select(Organization.id).where(or_(Organization.id.in_(as_first), Organization.id.in_(as_second)))


def rules_to_keep(session: Session, actor: Actor, at: datetime) -> Sequence[PartnerRule]:
    """Return the rules of active partners that this person has not acknowledged yet, oldest first."""
    return session.scalars(_to_keep(), asked_by(actor) | {"at": at}).all()


@cache
def _to_keep() -> Select[PartnerRule]:
    """Select what `rules_to_keep` returns, over `asked_by(actor)`: every home page asks it."""
    mine = bindparam("organization", type_=Uuid())
    acknowledged = RuleAcknowledgment.user_id == bindparam("me", type_=Uuid())
    done = exists().where(RuleAcknowledgment.rule_id == PartnerRule.id, acknowledged)
    active = active_at(bindparam("at", type_=Instant()))
    theirs = exists().where(Agreement.id == PartnerRule.agreement_id, _is_party(mine), active)
    return (
        select(PartnerRule)
        .where(theirs, ~done, PartnerRule.organization_id != mine, PartnerRule.retired_at.is_(None))
        .options(selectinload(PartnerRule.agreement))
        .order_by(PartnerRule.added_at, PartnerRule.id)
    )


# --- what a proposal may name ----------------------------------------------------------------------------------------


def possible_partners(organization: Organization) -> Select[Organization]:
    """Select the organizations that an agreement may be proposed to and that take part now, by name.

    A community organization may ask any other; an agency asks community organizations.
    """
    others = Organization.id != organization.id, Organization.ended_at.is_(None)
    statement = select(Organization).where(*others)
    if organization.is_agency:
        statement = statement.where(Organization.side == Side.COMMUNITY)
    return statement.order_by(Organization.name, Organization.id)


def facility_choices(session: Session, agency_id: UUID | None) -> Sequence[Facility]:
    """Return the facilities in use of an agency, by name; none where no agency is party."""
    statement = select(Facility).where(Facility.organization_id == agency_id, Facility.ended_at.is_(None))
    return session.scalars(statement.order_by(Facility.name, Facility.id)).all()


def program_choices(session: Session, *community_ids: UUID) -> Sequence[Program]:
    """Return the open programs of community organizations, by name."""
    statement = select(Program).where(Program.organization_id.in_(community_ids), Program.closed_at.is_(None))
    return session.scalars(statement.order_by(Program.name_fold, Program.id)).all()
