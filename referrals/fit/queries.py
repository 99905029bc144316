"""The open programs of others, held against what a reader may know of one participant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from referrals.kernel.actor import Actor
from referrals.kernel.look import Sight
from referrals.kernel.record import clock
from referrals.organization.models import Organization
from referrals.partnership import queries as partnerships
from referrals.person import queries as persons
from referrals.person.models import Person
from referrals.program.models import SERVICES, Fit, Program, Sought, fit

__all__ = ["SERVICES"]

#: Why programs are held against somebody: to refer them (C8).
PURPOSE: Final = "referral"
#: How many programs are held against one participant at most: partners' before others.
OFFERED_AT_MOST: Final = 200
#: How many programs the sender of an ended referral is shown (R12).
SUGGESTED: Final = 5


@dataclass(frozen=True, slots=True)
class Offer:
    """A program held against one participant, with the name of who offers it."""

    fit: Fit
    organization: str
    #: Whether a referral may begin: without an agreement it could never be sent.
    may_begin: bool

    @property
    def program(self) -> Program:
        """The program."""
        return self.fit.program


@dataclass(frozen=True, slots=True)
class Offers:
    """The programs held against one participant, those that fit first. `more`: there are others, in the directory."""

    rows: Sequence[Offer]
    more: bool

    @property
    def fitting(self) -> list[Offer]:
        """Those that nothing speaks against."""
        return [one for one in self.rows if one.fit.fits]

    @property
    def others(self) -> list[Offer]:
        """The rest, each with what speaks against it."""
        return [one for one in self.rows if not one.fit.fits]


def who_fits(session: Session, actor: Actor, wishes: Sight[Person], *, service: str | None = None) -> Offers:
    """Return the open programs of others, held against what this reader may know of one participant (R12, R15).

    What is not shared counts as not known, so nothing can be read off the order. Partners' programs come whole; of the
    rest, as many as fit a page.
    """
    at = clock(session)
    own = actor.organization
    is_partner = partnerships.is_of_partner(own, at)
    asked = (
        select(Program, Organization, is_partner)
        .join(Organization, Organization.id == Program.organization_id)
        .options(selectinload(Program.location))
        .where(Program.closed_at.is_(None), Organization.ended_at.is_(None), Program.organization_id != own)
        .order_by(is_partner.desc(), Program.name_fold, Program.id)
        .limit(OFFERED_AT_MOST + 1)
    )
    found = session.execute(asked).all()
    partners = {organization.id for _program, organization, partner in found if partner}
    agreements = partnerships.agreements_among(session, [(own, one) for one in partners], at)
    sought = Sought(service, wishes.language or None, wishes.address or None)
    held_at = wishes.facility_id or None  # not shared, it is the agreement's to say when it is sent
    rows = []
    for program, organization, _partner in found[:OFFERED_AT_MOST]:
        agreement = agreements.get(frozenset((own, organization.id)))
        agreed = (
            agreement is not None
            and PURPOSE in agreement.purposes
            and agreement.covers_program(program.id)
            and agreement.covers_facility(held_at)
        )
        held = fit(program, sought, agreed=agreed, part2=organization.part2_program != "no", at=at)
        rows.append(Offer(held, organization.name, agreed))
    rows.sort(key=lambda one: (*one.fit.order, one.program.id))
    return Offers(rows, len(found) > OFFERED_AT_MOST)


def suggested(
    session: Session, actor: Actor, participant_id: UUID, *, service: str | None, asked_before: UUID
) -> list[Offer]:
    """Return up to five programs that fit, other than the one that was asked, for the sender of an ended referral.

    Raises:
        NotFoundError: the participant is no longer theirs to know of.
    """
    wishes = persons.wishes(session, actor, participant_id)
    found = who_fits(session, actor, wishes, service=service).fitting
    return [one for one in found if one.program.id != asked_before][:SUGGESTED]
