"""The whole house, as it is served, for the tests of its architecture."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.pool import NullPool

from referrals import app as factory
from referrals.kernel.providers import FileProvider
from tests.journeys.conftest import (  # noqa: F401  # fixtures
    app,
    clock,
    demo_template,
    demo_url,
    front,
    settings_for,
)
from tools import generate


@pytest.fixture(scope="session", autouse=True)
def rooms() -> None:
    """Every part of every room is known before anything is asked about all of them."""
    generate.join_rooms()


@pytest.fixture(scope="session")
def whole_app(scratch: Path, sqlite_template: Path, provider: FileProvider) -> Flask:
    """The application on an empty database, for questions about what there is."""
    path = scratch / "whole.db"
    shutil.copy(sqlite_template, path)
    return factory.create_app(settings_for(f"sqlite:///{path}", provider), engine_options={"poolclass": NullPool})
