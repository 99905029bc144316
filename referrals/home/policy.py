"""Whose home shows what. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role, Side
from referrals.person.policy import WORKING


def works_with_participants(actor: Actor) -> bool:
    """Has a role that works with participants."""
    return actor.works_as(*WORKING)


def answers_for_programs(actor: Actor) -> bool:
    """Answers referrals for a program, or supervises who does."""
    return actor.works_as(Role.NAVIGATOR, Role.SUPERVISOR)


def offers_programs(actor: Actor) -> bool:
    """Answers for programs at an organization that offers some."""
    return actor.side is Side.COMMUNITY and answers_for_programs(actor)


def plans_releases(actor: Actor) -> bool:
    """Works at the side that knows release dates, or hears of them."""
    return actor.works_as(Role.CASE_MANAGER, Role.SUPERVISING_OFFICER, Role.SUPERVISOR)


def runs_an_organization(actor: Actor) -> bool:
    """Looks after an organization's accounts and places."""
    return actor.works_as(Role.ADMINISTRATOR)


def leads_an_organization(actor: Actor) -> bool:
    """Speaks for an organization towards its partners."""
    return actor.works_as(Role.SUPERVISOR)


def sets_something_up(actor: Actor) -> bool:
    """Has a part in what an organization needs before its first referral."""
    return runs_an_organization(actor) or leads_an_organization(actor) or offers_programs(actor)


def reads_the_log(actor: Actor) -> bool:
    """Reads who saw what, and nothing else."""
    return actor.works_as(Role.AUDITOR)
