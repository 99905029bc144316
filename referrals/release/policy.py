"""Who stands where towards a release date."""

from __future__ import annotations

from referrals.person.policy import is_of_its_agency, works_with_participants, writes_an_agencys_record

__all__ = ["is_of_its_agency", "works_with_participants", "writes_an_agencys_record"]
