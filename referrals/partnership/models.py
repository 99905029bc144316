"""Agreements, their terms and signatures, and the rules that each side brings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    JSON,
    BindParameter,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    UniqueConstraint,
    and_,
    exists,
    or_,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapped

from referrals.kernel.errors import ChangedMeanwhileError, RefusedError, RuleBrokenError
from referrals.kernel.orm import Identified, edits, personal, public, related
from referrals.organization.models import Organization

#: What sharing may be for (C8). An agreement allows some of these; a consent names one or more of them.
PURPOSES: Final = (
    *("referral", "pre_release", "service", "supervision", "benefits", "treatment", "evaluation"),
    *("own_request", "legal_proceeding"),
)
#: An agreement runs at most this long; then both sides look at it again.
LONGEST_YEARS: Final = 5
RULE_KINDS: Final = ("non_negotiable", "facility_rule")


class Standing(StrEnum):
    """How an agreement stands; derived from what happened."""

    PROPOSED = "proposed"
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    EXPIRED = "expired"
    ENDED = "ended"


class NoAgreementError(RuleBrokenError):
    """No active agreement joins the two organizations, or none that allows this."""

    code = "no_agreement"


class SameSideError(RuleBrokenError):
    """Two agencies make no agreement: one side of it is always a community organization."""

    code = "same_side"


class AlreadySignedError(RuleBrokenError):
    """The side has signed; what both signed is changed by ending it and proposing anew."""

    code = "already_signed"


class AgreementOverError(RuleBrokenError):
    """The agreement has ended or expired."""

    code = "agreement_over"


class OverlappingAgreementError(RuleBrokenError):
    """Another agreement of the two organizations runs in the same days."""

    code = "overlapping_agreement"


class NotAPartyError(RefusedError):
    """Somebody of neither side would act for one. The doors never let it come to this."""

    code = "not_permitted"
    status = 403


class RuleRetiredError(RuleBrokenError):
    """The rule no longer holds."""

    code = "rule_retired"


class AlreadyAcknowledgedError(RuleBrokenError):
    """The person has acknowledged the rule."""

    code = "already_acknowledged"


class NotAnAgencyRuleError(RuleBrokenError):
    """Facility rules are the agency's to make."""

    code = "not_an_agency_rule"


def day_begins(on: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a day begins in a zone.

    Where clocks skip midnight that is the instant they jump; where midnight comes twice, the first.
    """
    return datetime.combine(on, time.min, tzinfo=zone).astimezone(UTC)


def term_faults(starts_on: date, ends_on: date, *, today: date) -> dict[str, list[str]]:
    """Say what is wrong with a term: it ends before it starts, runs longer than 5 years, or is over already."""
    faults = []
    if ends_on < starts_on:
        faults.append("ends_before_start")
    elif ends_on >= _anniversary(starts_on, LONGEST_YEARS):
        faults.append("term_too_long")
    if ends_on < today:
        faults.append("over_already")
    return {"ends_on": faults} if faults else {}


def _anniversary(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # February 29: the year after it counts from March 1
        return date(day.year + years, 3, 1)


class Agreement(Identified):
    """What two organizations agreed on: an agency and a community organization, or two of those (decision 0020).

    An agency stands first; of two community organizations, the one that proposed. Neither has more to say for it.
    Its days are days of the first one's zone as it was when proposed: `begins_at` and `expires_at` follow from
    `starts_on`, `ends_on` and `time_zone`, so that one comparison of instants decides in Python and in SQL. `terms`
    counts how often the terms were written: who signs says which writing they sign.
    """

    __tablename__ = "agreement"
    __table_args__ = (
        CheckConstraint("starts_on <= ends_on", name="term"),
        CheckConstraint("first_id <> second_id", name="sides"),
        Index("ix_agreement_first_id_second_id", "first_id", "second_id"),
    )

    first_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    second_id: Mapped[UUID] = public(ForeignKey("organization.id"), index=True)
    #: Whether both are community organizations; None in rows from before there were such agreements.
    of_peers: Mapped[bool | None] = public()
    proposed_at: Mapped[datetime] = public()
    proposed_by: Mapped[UUID] = public()
    proposed_by_org: Mapped[UUID] = public()
    starts_on: Mapped[date] = public()
    ends_on: Mapped[date] = public()
    time_zone: Mapped[str] = public()
    begins_at: Mapped[datetime] = public()
    expires_at: Mapped[datetime] = public()
    categories: Mapped[list[str]] = public(JSON)
    purposes: Mapped[list[str]] = public(JSON)
    #: None: every facility of the agency, those to come included.
    facility_ids: Mapped[list[str] | None] = public(JSON(none_as_null=True))
    #: None: every program of the community organizations, those to come included.
    program_ids: Mapped[list[str] | None] = public(JSON(none_as_null=True))
    first_signed_at: Mapped[datetime | None] = public()
    first_signed_by: Mapped[UUID | None] = public()
    second_signed_at: Mapped[datetime | None] = public()
    second_signed_by: Mapped[UUID | None] = public()
    ended_at: Mapped[datetime | None] = public()
    ended_by: Mapped[UUID | None] = public()
    ended_by_org: Mapped[UUID | None] = public()
    ended_because: Mapped[str | None] = personal()
    terms: Mapped[int] = public(default=1)
    version: Mapped[int] = public(default=1)
    edits: Mapped[dict[str, Any] | None] = edits()

    first: Mapped[Organization] = related("Organization", foreign_keys=[first_id])
    second: Mapped[Organization] = related("Organization", foreign_keys=[second_id])
    rules: Mapped[list[PartnerRule]] = related("PartnerRule", order_by="PartnerRule.added_at")

    @classmethod
    def proposed(
        cls, mine: Organization, theirs: Organization, *, at: datetime, by: UUID, terms: dict[str, Any]
    ) -> Agreement:
        """Return a new proposal between two organizations, signed by nobody yet. `terms` as `change()` takes them."""
        if (mine.is_agency and theirs.is_agency) or mine.id == theirs.id:
            raise SameSideError
        mine.require_in_force()
        theirs.require_in_force()
        first, second = in_order(mine, theirs)
        made = cls(
            first_id=first.id,
            second_id=second.id,
            of_peers=not first.is_agency,
            proposed_at=at,
            proposed_by=by,
            proposed_by_org=mine.id,
            time_zone=first.time_zone,
            terms=1,
            version=1,
        )
        made._set(terms)
        return made

    def _set(self, terms: dict[str, Any]) -> set[str]:
        zone = ZoneInfo(self.time_zone)
        follows = {
            "begins_at": day_begins(terms["starts_on"], zone),
            "expires_at": day_begins(terms["ends_on"] + timedelta(days=1), zone),
        }
        said = terms | follows
        changed = {name for name, value in said.items() if getattr(self, name) != value}
        for name in changed:
            setattr(self, name, said[name])
        return changed

    # --- signing -----------------------------------------------------------------------------------------------------

    def party_of(self, organization_id: UUID | None) -> str | None:
        """Which party an organization is here, `first` or `second`; None for one that is no party."""
        if organization_id is None:
            return None
        return {self.first_id: "first", self.second_id: "second"}.get(organization_id)

    @property
    def is_of_peers(self) -> bool:
        """Whether both are community organizations."""
        return bool(self.of_peers)

    @property
    def parties(self) -> tuple[Organization, Organization]:
        """Both organizations. Needs `first` and `second` loaded."""
        return self.first, self.second

    @property
    def community_ids(self) -> tuple[UUID, ...]:
        """The community organizations among the parties: those whose programs it may name."""
        return (self.first_id, self.second_id) if self.is_of_peers else (self.second_id,)

    @property
    def agency_id(self) -> UUID | None:
        """The agency; None between two community organizations."""
        return None if self.is_of_peers else self.first_id

    @property
    def agency_name(self) -> str | None:
        """The agency's name. Needs `first` loaded."""
        return None if self.is_of_peers else self.first.name

    @property
    def agency_signed_at(self) -> datetime | None:
        """When the agency signed."""
        return None if self.is_of_peers else self.first_signed_at

    @property
    def agency_signed_by(self) -> UUID | None:
        """Who signed for the agency."""
        return None if self.is_of_peers else self.first_signed_by

    @property
    def community_id(self) -> UUID:
        """The community organization; of two, the one that did not propose."""
        return self.second_id

    @property
    def community_name(self) -> str:
        """Its name. Needs `second` loaded."""
        return self.second.name

    @property
    def community_signed_at(self) -> datetime | None:
        """When it signed."""
        return self.second_signed_at

    @property
    def community_signed_by(self) -> UUID | None:
        """Who signed for it."""
        return self.second_signed_by

    @property
    def peer_id(self) -> UUID | None:
        """The other community organization, where no agency is party: the one that proposed."""
        return self.first_id if self.is_of_peers else None

    @property
    def peer_name(self) -> str | None:
        """Its name. Needs `first` loaded."""
        return self.first.name if self.is_of_peers else None

    @property
    def peer_signed_at(self) -> datetime | None:
        """When it signed."""
        return self.first_signed_at if self.is_of_peers else None

    @property
    def peer_signed_by(self) -> UUID | None:
        """Who signed for it."""
        return self.first_signed_by if self.is_of_peers else None

    def other_than(self, organization_id: UUID) -> UUID:
        """Return the id of the other party."""
        return self.second_id if organization_id == self.first_id else self.first_id

    @property
    def is_signed(self) -> bool:
        """Whether both sides have signed."""
        return self.first_signed_at is not None and self.second_signed_at is not None

    def is_signed_by(self, organization_id: UUID | None) -> bool:
        """Whether this party has signed."""
        party = self.party_of(organization_id)
        return party is not None and getattr(self, f"{party}_signed_at") is not None

    def change(self, *, at: datetime, terms: dict[str, Any]) -> set[str]:
        """Write the terms of a proposal anew; return the names of what changed.

        Whoever has signed signed something else: both signatures are needed anew (nothing changed, nothing lost).
        """
        self.require_proposed(at)
        changed = self._set(terms)
        if not changed:
            return changed
        for name in ("first_signed_at", "first_signed_by", "second_signed_at", "second_signed_by"):
            if getattr(self, name) is not None:
                setattr(self, name, None)
                changed.add(name)
        self.terms += 1
        self.version += 1
        return changed | {"terms", "version"}

    def sign(self, organization_id: UUID, *, terms: int, at: datetime, by: UUID) -> set[str]:
        """Sign a writing of the terms for the side of one's own organization; return the names of what changed."""
        party = self.party_of(organization_id)
        if party is None:
            raise NotAPartyError
        self.require_not_over(at)
        if terms != self.terms:
            raise ChangedMeanwhileError
        if self.is_signed_by(organization_id):
            raise AlreadySignedError
        self.version += 1
        setattr(self, f"{party}_signed_at", at)
        setattr(self, f"{party}_signed_by", by)
        return {f"{party}_signed_at", f"{party}_signed_by", "version"}

    def overlaps(self, other: Agreement) -> bool:
        """Whether the days of both, as far as the other is signed and not ended, have one in common."""
        live = other.is_signed and other.ended_at is None and other.id != self.id
        return live and self.begins_at < other.expires_at and other.begins_at < self.expires_at

    def end(self, organization_id: UUID, *, at: datetime, by: UUID, because: str) -> set[str]:
        """End it, or take the proposal back, for one's own side alone; return the names of what changed."""
        if self.party_of(organization_id) is None:
            raise NotAPartyError
        self.require_not_over(at)
        self.ended_at, self.ended_by, self.ended_by_org, self.ended_because = at, by, organization_id, because
        self.version += 1
        return {"ended_at", "ended_by", "ended_by_org", "ended_because", "version"}

    def require_proposed(self, at: datetime) -> None:
        """Refuse when both have signed, or it has ended or expired."""
        self.require_not_over(at)
        if self.is_signed:
            raise AlreadySignedError

    def require_not_over(self, at: datetime) -> None:
        """Refuse when it has ended or expired."""
        if self.ended_at is not None or at >= self.expires_at:
            raise AgreementOverError

    # --- what it allows ----------------------------------------------------------------------------------------------

    def is_active(self, at: datetime) -> bool:
        """Whether it holds at an instant: both have signed, the term runs, nobody has ended it.

        That both organizations still take part is asked in SQL alone (`active_at`): what shares asks there.
        """
        if self.first_signed_at is None or self.second_signed_at is None:
            return False
        signed_at = max(self.first_signed_at, self.second_signed_at)
        over_at = self.expires_at if self.ended_at is None else min(self.expires_at, self.ended_at)
        return max(self.begins_at, signed_at) <= at < over_at

    def standing(self, at: datetime) -> Standing:
        """How it stands at an instant, from what had happened by then."""
        if self.ended_at is not None and self.ended_at <= at:
            return Standing.ENDED
        if at >= self.expires_at:
            return Standing.EXPIRED
        if not self.is_signed:
            return Standing.PROPOSED
        return Standing.ACTIVE if self.is_active(at) else Standing.SCHEDULED

    def allows(self, category: str, purpose: str, on: datetime) -> bool:
        """Whether it lets this category cross for this purpose at an instant (consent says in which direction)."""
        return self.is_active(on) and category in self.categories and purpose in self.purposes

    def covers_facility(self, facility_id: UUID | None) -> bool:
        """Whether it covers a facility; people in no facility are covered."""
        return self.facility_ids is None or facility_id is None or str(facility_id) in self.facility_ids

    def covers_program(self, program_id: UUID | None) -> bool:
        """Whether it covers a program; what is for no program is covered."""
        return self.program_ids is None or program_id is None or str(program_id) in self.program_ids

    def new_rule(
        self,
        organization_id: UUID,
        *,
        kind: str,
        facility_id: UUID | None,
        wording: str,
        at: datetime,
        by: UUID,
    ) -> PartnerRule:
        """Return a new rule of one side, or refuse."""
        self.require_not_over(at)
        if self.party_of(organization_id) is None:
            raise NotAPartyError
        if kind == "facility_rule" and organization_id != self.agency_id:
            raise NotAnAgencyRuleError
        return PartnerRule(
            agreement_id=self.id,
            organization_id=organization_id,
            kind=kind,
            facility_id=facility_id,
            wording=wording,
            added_at=at,
            added_by=by,
        )


def in_order(mine: Organization, theirs: Organization) -> tuple[Organization, Organization]:
    """Return two organizations as an agreement that the first of them proposes names them: an agency stands first."""
    return (theirs, mine) if theirs.is_agency else (mine, theirs)


def joins(
    one: InstrumentedAttribute[UUID] | BindParameter[UUID] | UUID,
    other: InstrumentedAttribute[UUID] | BindParameter[UUID] | UUID,
) -> ColumnElement[bool]:
    """Return the condition that an agreement is between these two organizations, in either order."""
    return or_(
        and_(Agreement.first_id == one, Agreement.second_id == other),
        and_(Agreement.first_id == other, Agreement.second_id == one),
    )


def active_at(at: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Say `Agreement.is_active` in SQL, and that both organizations still take part."""
    left = exists().where(Organization.id.in_([Agreement.first_id, Agreement.second_id]), Organization.ended_at <= at)
    return and_(
        ~left,
        Agreement.begins_at <= at,
        Agreement.expires_at > at,
        Agreement.first_signed_at <= at,
        Agreement.second_signed_at <= at,
        or_(Agreement.ended_at.is_(None), Agreement.ended_at > at),
    )


class PartnerRule(Identified):
    """Something one side will not give up, or a rule of its facilities (all of them where it names none)."""

    __tablename__ = "partner_rule"
    __table_args__ = (CheckConstraint("kind IN ('non_negotiable', 'facility_rule')", name="kind"),)

    agreement_id: Mapped[UUID] = public(ForeignKey("agreement.id"), index=True)
    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    kind: Mapped[str] = public()
    facility_id: Mapped[UUID | None] = public(ForeignKey("facility.id"))
    wording: Mapped[str] = personal()
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID] = public()
    retired_at: Mapped[datetime | None] = public()
    retired_by: Mapped[UUID | None] = public()

    agreement: Mapped[Agreement] = related("Agreement")
    acknowledgments: Mapped[list[RuleAcknowledgment]] = related("RuleAcknowledgment", order_by="RuleAcknowledgment.at")

    @property
    def holds(self) -> bool:
        """Whether nobody has retired it."""
        return self.retired_at is None

    def retire(self, *, at: datetime, by: UUID) -> None:
        """Let it hold no longer. It stays to be read, with who had acknowledged it."""
        self.require_held()
        self.retired_at, self.retired_by = at, by

    def acknowledge(self, user_id: UUID, *, at: datetime) -> RuleAcknowledgment:
        """Return one person's own acknowledgment, or refuse. Needs `agreement` and `acknowledgments` loaded."""
        self.agreement.require_not_over(at)
        self.require_held()
        if any(one.user_id == user_id for one in self.acknowledgments):
            raise AlreadyAcknowledgedError
        return RuleAcknowledgment(rule_id=self.id, user_id=user_id, at=at)

    def require_held(self) -> None:
        """Refuse when it is retired."""
        if self.retired_at is not None:
            raise RuleRetiredError


class RuleAcknowledgment(Identified):
    """That one person has read a rule and will keep it: their own act, never another's."""

    __tablename__ = "rule_acknowledgment"
    __table_args__ = (UniqueConstraint("rule_id", "user_id"),)

    rule_id: Mapped[UUID] = public(ForeignKey("partner_rule.id"))
    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    at: Mapped[datetime] = public()


def ids(values: Sequence[UUID] | None) -> list[str] | None:
    """Return ids as JSON keeps them, sorted; None (all of them) when none is named."""
    return sorted(str(value) for value in values) if values else None
