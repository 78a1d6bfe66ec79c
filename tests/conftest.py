"""What all tests share: how hard hypothesis looks (`--hypothesis-profile=thorough`: much harder), databases, and a
machine of one's own for those that need it (`@pytest.mark.alone`)."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Generator, Iterator
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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: measures time under a load of its own, so that no test runs beside it")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if not hasattr(item.config, "workerinput"):
        return (yield)
    shared: Path = getattr(item.config, "_tmp_path_factory").getbasetemp().parent  # noqa: B009 - of all workers
    with _place(shared, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextlib.contextmanager
def _place(shared: Path, *, alone: bool) -> Iterator[None]:
    """One of the places in which tests of all workers run side by side; or all of them."""
    import fcntl

    with (shared / "door.lock").open("w") as door, (shared / "room.lock").open("w") as room:
        # Whoever waits for the room keeps the door: else one that wants it for itself might wait for ever.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


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
