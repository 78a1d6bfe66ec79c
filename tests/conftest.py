"""What all tests share: how hard hypothesis looks (`--hypothesis-profile=thorough`: much harder), and databases."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.history import postgres


settings.register_profile("suite", max_examples=50, deadline=None)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("callflow")
    group.addoption("--long", action="store_true", help="run long proofs whole: ten minutes of fuzzing")
    group.addoption("--fuzz-seed", type=int, default=0, help="say again what a fuzzer said; 0: a new seed")
    group.addoption("--fuzz-surface", action="append", help="fuzz only this: telnyx, twilio, media, engine, operators")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a database of a private PostgreSQL server; `{name}` in it is to be filled in."""
    with postgres.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """DATABASE_URL of an empty database, of either kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/callflow.db"
    name = f"test_{uuid.uuid4().hex}"
    url = str(request.getfixturevalue("postgresql"))
    postgres.create(url, name)
    return url.format(name=name)
