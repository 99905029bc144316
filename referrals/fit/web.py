"""Both doors to fits: the programs that fit one participant, and those that do not, each with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.fit import queries as q
from referrals.kernel.actor import TokenScope
from referrals.kernel.door import Doors, Form, Shape, asking
from referrals.kernel.look import NOT_SHARED
from referrals.kernel.schema import Takes, code
from referrals.kernel.web import say, sentence
from referrals.person import queries as persons
from referrals.person.web import death_in_banner
from referrals.release.queries import banner

doors = Doors("fit", reads=TokenScope.REFERRALS_READ, known_as="referral")


def held_against(target: UUID, service: str | None) -> dict[str, Any]:
    """Return what a page shows of the programs held against one participant, in words."""
    session, actor = asking()
    wishes = persons.wishes(session, actor, target)
    offers = q.who_fits(session, actor, wishes, service=service)
    who, speaks = banner(session, actor, target, wishes), wishes.language
    death = persons.death(session, actor, target, purpose=q.PURPOSE)
    fitting, others = ([offered(one, begins=death is None) for one in some] for some in (offers.fitting, offers.others))
    return {
        "ends": None if death is None else sentence("participant_died"),
        "banner": death_in_banner(death)
        | {
            "name": who.name,
            "url": f"/participants/{target}",
            "number": who.number,
            "release_on": who.release_on,
            "days": who.days,
            "is_released": who.is_released,
        },
        "participant_id": target,
        "wishes": {
            "language": speaks if speaks is None or speaks is NOT_SHARED else sentence(f"language.{speaks}"),
            "lives": wishes.address,
        },
        "service": service,
        "services": [(one, sentence(f"service.{one}")) for one in q.SERVICES],
        "fitting": fitting,
        "others": others,
        "more": offers.more,
    }


def offered(one: q.Offer, *, begins: bool = True) -> Mapping[str, Any]:
    """Return a program with its reasons in words, and whether a referral may begin there."""
    return {
        "program": one.program,
        "organization": one.organization,
        "may_begin": begins and one.may_begin,
        "form": Form(),  # one for each: each button is an act of its own
        "stale": one.fit.is_stale,
        "for_it": [sentence(f"fit.{each.code}", each.says) for each in one.fit.for_it],
        "to_check": [sentence(f"fit.{each.code}", each.says) for each in one.fit.to_check],
        "against": [sentence(f"fit.{each.code}", each.says) for each in one.fit.against],
    }


class WishWords(Takes):
    """Which service is sought. Beside a participant it says something about them, so it stands in no address."""

    service = code(q.SERVICES, required=False)


class OfferShape(Shape):
    """A program held against one participant: whether it fits, and why, by reasons in their order."""

    program_id = fields.UUID()
    program = fields.String()
    organization = fields.String()
    fits = fields.Boolean()
    for_it = fields.List(fields.String())
    to_check = fields.List(fields.String())
    against = fields.List(fields.String())
    may_begin = fields.Boolean()
    eligibility = fields.String(allow_none=True)
    capacity_code = fields.String(allow_none=True)
    open_places = fields.Integer(allow_none=True)
    waiting = fields.Integer(allow_none=True)
    expected_days = fields.Integer(allow_none=True)
    capacity_is_stale = fields.Boolean()


@doors.search(
    "/participants/<uuid:target>/programs",
    page="fit/programs.html",
    shape=OfferShape,
    takes=WishWords,
    blank=lambda target: held_against(target, None),
)
def programs_for(target: UUID, *, service: str | None) -> Mapping[str, Any]:
    """Hold the programs against one participant: which fit and why, which do not and why."""
    held = held_against(target, service)
    rows = [
        {
            "program_id": one["program"].id,
            "program": one["program"].name,
            "fits": not one["against"],
            "capacity_is_stale": one["stale"],
            **{
                name: getattr(one["program"], name)
                for name in ("eligibility", "capacity_code", "open_places", "waiting", "expected_days")
            },
            **{name: one[name] for name in ("organization", "for_it", "to_check", "against", "may_begin")},
        }
        for one in (*held["fitting"], *held["others"])
    ]
    return held | {"rows": rows}


say(
    {
        "fit.agreement.yes": _l("Your agreement with them is in force."),
        "fit.agreement.no": _l("No agreement in force lets you refer this participant there."),
        "fit.agreement.part2": _l(
            "They treat, or may treat, substance use. That needs a special consent, which is not offered yet."
        ),
        "fit.service.yes": _l("Offers the service you ask for."),
        "fit.service.no": _l("Does not offer the service you ask for."),
        "fit.area.yes": _l("Serves %(place)s, where the participant will live."),
        "fit.area.not_said": _l("Does not say which places it serves. Ask them."),
        "fit.area.home_unknown": _l("Serves %(places)s. You cannot see where the participant will live."),
        "fit.area.to_check": _l("Serves %(places)s. Check whether the participant will live there."),
        "fit.area.no": _l("Serves only %(places)s. The participant will live elsewhere."),
        "fit.language.yes": _l("Works in the participant's language."),
        "fit.language.not_said": _l("Does not say in which languages it works. Ask them."),
        "fit.language.theirs_unknown": _l("You cannot see which language the participant speaks."),
        "fit.language.no": _l("Does not work in the participant's language. Ask about an interpreter."),
        "fit.room.capacity": _l("Has room."),
        "fit.room.waitlist": _l("Has a waiting list."),
        "fit.room.additional_assessment_required": _l("Meets people first, before it says whether there is room."),
        "fit.room.no_capacity": _l("Says it has no room."),
        "fit.room.not_said": _l("Nobody has said whether there is room. Ask them."),
    }
)
