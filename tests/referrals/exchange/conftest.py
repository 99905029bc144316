"""The same application and visitors as for organizations."""

from __future__ import annotations

from tests.referrals.organization.conftest import app, visit

__all__ = ["app", "visit"]
