"""The real application, and people who visit it."""

from __future__ import annotations

from tests.referrals.organization.conftest import app, visit

__all__ = ["app", "visit"]
