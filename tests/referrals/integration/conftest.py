"""What these tests share with those of accounts."""

from __future__ import annotations

from tests.referrals.account.conftest import agency, community, house, now

__all__ = ["agency", "community", "house", "now"]
