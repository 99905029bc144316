"""Both doors to the programs that fit one participant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.factories.referral import World

Open = Callable[[str], Any]


def test_who_fits_is_asked_without_a_word_in_the_address_and_begins_a_draft(world: World, browser: Open) -> None:
    lee, eli = browser("case_manager"), browser("stranger")
    at = f"/participants/{world.person_id}/programs"
    assert eli.get(at).status_code == 404
    page = lee.page(at)
    assert "Bridge Housing" in page
    assert "more than 14 days old" in page, "how old the word about room is stands beside it"
    assert lee.get(f"{at}?service=housing").status_code == 200
    wrong = lee.post(at, {"service": "gambling"})
    assert wrong.status_code == 422
    assert "Choose one of the answers offered." in wrong.get_data(as_text=True)
    asked = lee.post(at, {"service": "employment"})
    assert asked.status_code == 200
    shown = asked.get_data(as_text=True)
    assert "Does not offer the service you ask for." in shown
    assert "Refer to Bridge Housing" in shown, "people judge: it can be chosen all the same"
    made = lee.post(f"/participants/{world.person_id}/referrals/new", {"program_id": str(world.program_id)})
    assert made.status_code == 303
