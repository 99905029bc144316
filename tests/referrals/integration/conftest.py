"""What these tests share with those of accounts."""

from __future__ import annotations

from tests.referrals.account.conftest import ada, agency, app, browser, casey, code, community, house, moment, now

__all__ = ["ada", "agency", "app", "browser", "casey", "code", "community", "house", "moment", "now"]
