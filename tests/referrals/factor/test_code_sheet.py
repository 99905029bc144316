"""Printed code sheets: what is refused first, what the database holds, what losing one does (S-103, S-104)."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from referrals.account import models, queries
from referrals.code_sheet import queries as sheets
from referrals.code_sheet.models import NoSheetError, SheetNotPendingError
from referrals.factor import commands as factors
from referrals.kernel.actor import Role, Source
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError
from referrals.sign_in import models as m
from referrals.sign_in import queries as q
from referrals.staff import commands as staff
from tests.factories import account as people
from tests.referrals.account.conftest import Browser, Moment, events, opens, refuse_sign_in, run, sheet_codes
from tests.referrals.factor.conftest import on_paper_alone


def a_sheet(house: Session, member: people.Member, code: str, token: str = "") -> tuple[list[str], str]:
    """A sheet printed by this code and taken into use; its codes, and the token that holds then."""
    made = run(house, factors.make_code_sheet, member.actor(house, token), member.user_id, code=code)
    codes = list(made.shown_codes)
    first = codes[made.asked - 1]
    done = run(house, factors.enroll_code_sheet, member.actor(house, token), made.id, code=first)
    return codes, cast("str", done.token)


def asked(house: Session, member: people.Member) -> int:
    sheet = sheets.sheet_of(house, member.user_id)
    assert sheet is not None
    assert sheet.asked is not None
    number = sheet.asked
    house.rollback()
    return number


@pytest.mark.usefixtures("engine")
def test_s104_the_code_at_another_number_is_refused_and_which_is_asked_does_not_change_by_it(
    house: Session, agency: UUID
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    codes, _ = a_sheet(house, casey, casey.recovery_codes[0])
    number = asked(house, casey)
    began = people.try_sign_in(house, casey.sign_in_name)
    for wrong in (codes[number % 60], codes[number - 2], ""):
        with pytest.raises((m.CodeRefusedError, InvalidInputError)):
            people.give_code(house, began, wrong)
        assert asked(house, casey) == number
    again = people.try_sign_in(house, casey.sign_in_name)
    assert asked(house, casey) == number
    assert people.give_code(house, again, codes[number - 1].lower().replace("-", " ")).token


@pytest.mark.usefixtures("engine")
def test_s104_a_code_of_a_sheet_works_once_also_at_another_sign_in(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    codes, _ = a_sheet(house, casey, casey.recovery_codes[0])
    first, second = (people.try_sign_in(house, casey.sign_in_name) for _ in range(2))
    code = codes[asked(house, casey) - 1]
    people.give_code(house, first, code)
    with pytest.raises(m.CodeRefusedError):
        people.give_code(house, second, code)
    sheet = sheets.sheet_of(house, casey.user_id)
    assert sheet is not None
    assert sheet.left == 58


def test_s101_s104_five_wrong_codes_of_a_sheet_lock_and_the_right_one_is_refused_then(
    house: Session, agency: UUID
) -> None:
    casey, codes = on_paper_alone(house, agency)
    began = people.try_sign_in(house, casey.sign_in_name)
    number = asked(house, casey)
    for wrong in [code for at, code in enumerate(codes, 1) if at != number][:5]:
        with pytest.raises(m.CodeRefusedError):
            people.give_code(house, began, wrong)
    assert queries.user(house, casey.user_id).is_locked
    with pytest.raises(m.CodeRefusedError):
        people.give_code(house, began, codes[number - 1])
    refuse_sign_in(house, casey.sign_in_name, casey.password)


def test_s104_somebody_elses_sheet_opens_nothing_and_is_taken_into_use_by_nobody_else(
    house: Session, agency: UUID
) -> None:
    casey, other = (people.a_member(house, agency, Role.CASE_MANAGER) for _ in range(2))
    a_sheet(house, casey, casey.recovery_codes[0])
    theirs, _ = a_sheet(house, other, other.recovery_codes[0])
    began = people.try_sign_in(house, casey.sign_in_name)
    with pytest.raises(m.CodeRefusedError):
        people.give_code(house, began, theirs[asked(house, other) - 1])
    casey_again = people.give_code(house, began, casey.recovery_codes[1])
    pending = run(
        house,
        factors.make_code_sheet,
        casey.actor(house, cast("str", casey_again.token)),
        casey.user_id,
        code=casey.recovery_codes[2],
    )
    token = cast(
        "str", people.give_code(house, people.try_sign_in(house, other.sign_in_name), other.recovery_codes[1]).token
    )
    with pytest.raises(NotFoundError):
        run(house, factors.enroll_code_sheet, other.actor(house, token), pending.id, code="x")
    with pytest.raises(NotPermittedError):
        run(house, staff.end_code_sheet, other.actor(house, token), casey.user_id)


@pytest.mark.usefixtures("engine")
def test_s104_a_new_sheet_ends_the_one_before_by_its_first_code_and_not_sooner(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    old, token = a_sheet(house, casey, casey.recovery_codes[0])
    with pytest.raises(InvalidInputError):
        run(house, factors.make_code_sheet, casey.actor(house, token), casey.user_id)
    made = run(house, factors.make_code_sheet, casey.actor(house, token), casey.user_id, code=casey.recovery_codes[1])
    codes, first, sheet_id = list(made.shown_codes), made.asked, made.id
    still = people.give_code(house, people.try_sign_in(house, casey.sign_in_name), old[asked(house, casey) - 1])
    with pytest.raises(InvalidInputError):
        run(house, factors.enroll_code_sheet, casey.actor(house, token), sheet_id, code=codes[first % 60])
    done = run(house, factors.enroll_code_sheet, casey.actor(house, token), sheet_id, code=codes[first - 1])
    assert not opens(house, still.token)
    assert opens(house, done.token)
    assert not done.shown_codes  # recovery codes are as they were
    began = people.try_sign_in(house, casey.sign_in_name)
    with pytest.raises(m.CodeRefusedError):
        people.give_code(house, began, old[asked(house, casey) - 1])
    assert people.give_code(house, began, codes[asked(house, casey) - 1]).token
    with pytest.raises(SheetNotPendingError):
        run(house, factors.enroll_code_sheet, casey.actor(house, began.token), sheet_id, code=codes[0])


@pytest.mark.usefixtures("engine")
def test_s104_the_database_holds_no_code_of_a_sheet_in_clear(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    codes, _ = a_sheet(house, casey, casey.recovery_codes[0])
    house.rollback()
    dump = ""
    for table in ("code_sheet", "user", "sign_in", "failed_attempt", "audit_event", "account_change"):
        for row in house.connection().execute(text(f'SELECT * FROM "{table}"')):  # noqa: S608  # a list above
            dump += "".join(
                bytes(cell).decode("latin-1") if isinstance(cell, bytes | memoryview) else str(cell) for cell in row
            )
    assert "$argon2id$" in dump
    for code in codes:
        assert code not in dump
        assert models.plain_code(code) not in dump


def test_s103_a_sheet_may_be_the_only_factor_and_every_place_that_asks_for_a_code_takes_it(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey, codes = on_paper_alone(house, agency)
    began = people.try_sign_in(house, casey.sign_in_name)
    assert q.pending_factor(house, casey.user_id) is None  # no authenticator waits for whoever has the password
    token = cast("str", people.give_code(house, began, codes[asked(house, casey) - 1]).token)
    held = q.holder(house, token, Source("page"))
    assert held is not None
    assert held.step == "full"
    now.pass_by(minutes=11)
    assert not q.is_fresh(house, held.actor, now())
    fresh = people.give_code(house, began, codes[asked(house, casey) - 1])  # a fresh sign-in
    actor = casey.actor(house, cast("str", fresh.token))
    assert q.is_fresh(house, actor, now())
    renewed = run(house, factors.renew_recovery_codes, actor, casey.user_id, code=codes[asked(house, casey) - 1])
    actor = casey.actor(house, renewed.token)
    pending = run(house, factors.start_factor, actor, casey.user_id, code=codes[asked(house, casey) - 1])
    shown = pending.code_of(int(now().timestamp()) // 30)
    run(house, factors.enroll_factor, actor, pending.id, code=shown)
    assert q.factor_of(house, casey.user_id) is not None
    assert sheets.sheet_of(house, casey.user_id) is not None  # an authenticator beside it


def test_s103_a_half_sign_in_prints_no_sheet_and_sets_up_no_authenticator(house: Session, agency: UUID) -> None:
    casey, codes = on_paper_alone(house, agency)
    began = people.try_sign_in(house, casey.sign_in_name)
    half = casey.actor(house, cast("str", began.token))
    with pytest.raises(m.CodeRefusedError):
        run(house, factors.make_code_sheet, half, casey.user_id)
    with pytest.raises(m.CodeRefusedError):  # not even by the right code: it is for the second step
        run(house, factors.make_code_sheet, half, casey.user_id, code=codes[asked(house, casey) - 1])
    held = q.holder(house, cast("str", began.token), Source("page"))
    assert held is not None
    assert held.step == "second_factor"


@pytest.mark.usefixtures("engine")
def test_s103_a_lost_sheet_opens_nothing_and_a_password_alone_sets_up_no_other(house: Session, agency: UUID) -> None:
    casey, codes = on_paper_alone(house, agency)
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    with pytest.raises(NoSheetError):
        run(house, factors.lose_code_sheet, ada.actor(house), ada.user_id)
    next_one = codes[asked(house, casey) - 1]
    run(house, staff.end_code_sheet, ada.actor(house), casey.user_id)
    assert not opens(house, casey.token)
    with pytest.raises(NoSheetError):
        run(house, staff.end_code_sheet, ada.actor(house), casey.user_id)
    began = people.try_sign_in(house, casey.sign_in_name)
    held = q.holder(house, cast("str", began.token), Source("page"))
    assert held is not None
    assert held.step == "second_factor"
    with pytest.raises(m.CodeRefusedError):
        people.give_code(house, began, next_one)
    back = people.give_code(house, began, casey.recovery_codes[0])
    fresh, _ = a_sheet(house, casey, casey.recovery_codes[1], cast("str", back.token))
    assert people.give_code(house, people.try_sign_in(house, casey.sign_in_name), fresh[asked(house, casey) - 1]).token


def test_s806_printing_replacing_and_losing_a_sheet_are_told_and_on_record(house: Session, agency: UUID) -> None:
    casey, codes = on_paper_alone(house, agency)
    _, token = a_sheet(house, casey, codes[asked(house, casey) - 1])
    run(house, factors.lose_code_sheet, casey.actor(house, token), casey.user_id)
    assert opens(house, token)  # here it goes on; elsewhere not
    told = [one.what for one in queries.changes(house, casey.actor(house, token))]
    assert told[:3] == ["sheet_lost", "sheet_replaced", "sheet_added"]
    acts = [one["action"] for one in events(house)]
    for act in ("account.code_sheet_made", "account.code_sheet_enrolled", "account.code_sheet_reported"):
        assert act in acts


def test_s103_the_first_day_and_the_second_step_on_paper_through_the_pages(
    browser: Browser, house: Session, agency: UUID
) -> None:
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    name, one_time = user.sign_in_name, user.shown_code
    browser.post("/sign-in", acknowledged="true", name=name, password=one_time)
    assert browser.get("/sign-in/code-sheet").location == "/sign-in/new-password"
    assert browser.post("/sign-in/new-password", new_password=people.PASSWORD).location == "/sign-in/enroll"
    assert 'href="/sign-in/code-sheet"' in browser.get("/sign-in/enroll").text
    assert browser.get("/sign-in/code-sheet").status_code == 200
    page = browser.post("/sign-in/code-sheet")
    assert page.headers["Cache-Control"] == "no-store"
    sheet = sheets.pending_sheet(house, user.id)
    assert sheet is not None
    codes = sheet_codes(page)
    assert len(codes) == 60
    assert codes[0] not in browser.get("/sign-in/code-sheet/first-code").text
    assert browser.post("/sign-in/code-sheet/first-code", code="0000-0000-00").status_code == 422
    after = browser.post("/sign-in/code-sheet/first-code", code=codes[cast("int", sheet.asked) - 1])
    assert after.status_code == 200
    assert "recovery codes" in after.text
    house.rollback()
    again = Browser(browser.client.application)
    again.post("/sign-in", acknowledged="true", name=name, password=people.PASSWORD)
    asks = again.get("/sign-in/second-step").text
    house.expire_all()
    sheet = sheets.sheet_of(house, user.id)
    assert sheet is not None
    assert f"code {sheet.asked} of sheet {sheet.name}" in asks
    assert "authenticator app and enter" not in asks
    assert again.post("/sign-in/second-step", code=codes[cast("int", sheet.asked) - 1]).status_code == 303
