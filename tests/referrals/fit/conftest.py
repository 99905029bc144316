"""The real application over the referral's small world, and browsers signed in to it."""

from __future__ import annotations

from tests.referrals.referral.conftest import app, browser, smtp_url, world

__all__ = ["app", "browser", "smtp_url", "world"]
