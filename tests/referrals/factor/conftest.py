"""What these tests share with those of accounts, and somebody who works without a phone."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from referrals.account import queries
from referrals.code_sheet.models import SheetNotPendingError
from referrals.factor import commands as factors
from referrals.kernel.actor import Role, Source
from referrals.sign_in import commands as sign_ins
from referrals.sign_in import queries as q
from tests.factories import account as people
from tests.referrals.account.conftest import ada, agency, app, browser, casey, code, community, house, moment, now, run

__all__ = ["ada", "agency", "app", "browser", "casey", "code", "community", "house", "moment", "now"]


def on_paper_alone(house: Session, agency: UUID) -> tuple[people.Member, list[str]]:
    """Somebody whose first day was without a phone: their codes."""
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    name, one_time = user.sign_in_name, cast("str", user.shown_code)
    began = people.try_sign_in(house, name, one_time)
    actor = q.actor_for(queries.user(house, user.id), began, Source("page"), step=queries.NEW_PASSWORD)
    with pytest.raises(SheetNotPendingError):  # first a password of one's own
        run(house, factors.make_code_sheet, actor, user.id)
    run(house, sign_ins.change_password, actor, user.id, new_password=people.PASSWORD)
    made = run(house, factors.make_code_sheet, actor, user.id)
    codes = list(made.shown_codes)
    done = run(house, factors.enroll_code_sheet, actor, made.id, code=codes[made.asked - 1])
    oneself = q.actor_for(queries.user(house, user.id), done, Source("page"), step=queries.RULES)
    run(house, sign_ins.acknowledge_rules, oneself, user.id, wording=q.WORDING, agreed=True)
    return people.Member(user.id, name, people.PASSWORD, list(done.shown_codes), cast("str", done.token)), codes
