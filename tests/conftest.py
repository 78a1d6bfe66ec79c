"""What all tests share: their markers and their order, how hard hypothesis looks (`--hypothesis-profile=thorough`: much
harder), databases, and a machine of one's own for those that need it (`@pytest.mark.alone`).

Where to begin: CONTRIBUTING.md has the rules. `tests/e2e/product.py` makes a carrier, a model and the server between
them; the `offline.py` of `tests/agent/`, `tests/call/` and `tests/media/` makes a part without sockets. What carrier
and model can do wrong is in `sandbox/common/faults.py` and the `faults.py` of each emulator.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import re
import ssl
import sys
import uuid
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from filelock import FileLock
from hypothesis import settings

from callflow.web import listener
from tests import order, statements
from tests.history import postgres
from tests.loop import Loop
from tests.sample import Sample, is_whole
from tests.spread import Spread


settings.register_profile("suite", max_examples=50, deadline=None)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.register_profile("fast", max_examples=10, deadline=None)
settings.load_profile("suite")

KINDS: Final = ("unit", "e2e", "process")
FOLDERS: Final = {
    "tests/e2e": "e2e",
    "tests/cli/test_doctor.py": "e2e",
    "tests/cluster/test_membership.py": "e2e",
    "tests/engines/test_account.py": "e2e",
    "tests/journal/test_redaction_growth.py": "e2e",
    "tests/sandbox": "e2e",
    "tests/cli/test_tunnel.py": "process",
    "tests/fuzz": "process",
    "tests/test_readme.py": "process",
    "tests/test_runtime.py": "process",
    "tests/test_scripts.py": "process",
}
"""Where tests are of another kind than `unit` without saying so."""
_NOT_UNIT: Final = re.compile("mark[.](e2e|process|alone)|postgresql|database_url")
"""Without one of these words a file outside the folders above holds unit tests only."""
_DATABASES: Final = ("database_url", "empty_database_url")
_EVEN: Final = 19702
"""A number with which six parts of --fast take the same time."""
_EVEN_ALONE: Final = 1439
"""The same for two parts of --alone."""
_COMPUTING_SECONDS: Final = 600
"""Time limit of a test that only computes: beside the others it gets what they leave of the cores."""
_SERVER: Final = "postgresql"
"""Holds the folder of the PostgreSQL server that all processes share."""


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--fast") and not config.getoption("--hypothesis-profile"):
        settings.load_profile("fast")
    if config.getoption("--processes") > 1:
        config.pluginmanager.register(Spread(config.getoption("--processes")), "spread")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("callflow")
    group.addoption("--processes", type=int, default=1, help="play the tests in so many: see tests/spread.py")
    group.addoption("--fast", action="store_true", help="only tests that start no process and wait for no clock")
    group.addoption(
        "--part", metavar="K/N", default="1/1", help="only the tests of every n-th file, beginning with the k-th"
    )
    group.addoption(
        "--slow", action="store_true", help="only those of processes and of real time, without those of --alone"
    )
    group.addoption("--exhaustive", action="store_true", help="only unit tests that take seconds of a core")
    group.addoption("--alone", action="store_true", help="only the tests beside which no other may run")
    group.addoption("--long", action="store_true", help="run long proofs whole: all cases, ten minutes of fuzzing")
    group.addoption(
        "--nodes", choices=("", "own", "other"), default="", help="whole calls with two nodes: see tests/e2e/product.py"
    )
    group.addoption("--note-durations", action="store_true", help="write tests/durations.txt, after a run of all tests")
    group.addoption("--fuzz-seed", type=int, default=0, help="say again what a fuzzer said; 0: a new seed")
    group.addoption("--fuzz-surface", action="append", help="fuzz only this: telnyx, twilio, media, engine, operators")


# Which tests run, and in what order


def kind_of(item: pytest.Item) -> str:
    """unit, e2e or process: what the test says itself, else where it lies and whether it needs a database server."""
    said = [kind for kind in KINDS if item.get_closest_marker(kind) is not None]
    if len(said) > 1:
        raise pytest.UsageError(f"{item.nodeid} is marked as {' and '.join(said)}")
    if said:
        return said[0]
    if item.get_closest_marker("alone") is not None:
        return "e2e"
    path = item.nodeid.partition("::")[0]
    folder = next((kind for folder, kind in FOLDERS.items() if path == folder or path.startswith(f"{folder}/")), "")
    if folder:
        return folder
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    needs = getattr(item, "fixturenames", ())
    return "process" if "postgresql" in needs or "postgresql" in map(parameters.get, _DATABASES) else "unit"


def _when(item: pytest.Item) -> str:
    if item.get_closest_marker("unit") is not None:
        return "fast" if item.get_closest_marker("exhaustive") is None else "exhaustive"
    return "slow" if item.get_closest_marker("alone") is None else "alone"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --fast and --slow, what holds no such test is not even imported; with --part, what is another part's."""
    inside = collection_path.relative_to(config.rootpath).as_posix()
    if config.getoption("--fast") and inside in FOLDERS:
        return True
    if not collection_path.name.startswith("test_"):
        return None
    if (config.getoption("--slow") or config.getoption("--alone")) and not _may_hold_slow_ones(inside, collection_path):
        return True
    for marker in ("alone", "exhaustive"):
        if config.getoption(f"--{marker}") and f"mark.{marker}" not in collection_path.read_text(encoding="utf-8"):
            return True
    part, parts = map(int, config.getoption("--part").split("/"))
    seed = _EVEN_ALONE if config.getoption("--alone") else _EVEN
    return True if zlib.crc32(f"{seed}{inside}".encode()) % parts != part - 1 else None


def _may_hold_slow_ones(inside: str, path: Path) -> bool:
    return any(map(inside.startswith, FOLDERS)) or bool(_NOT_UNIT.search(path.read_text(encoding="utf-8")))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    # before the others: `-m unit` looks at these markers
    for item in items:
        if item.get_closest_marker(kind := kind_of(item)) is None:
            item.add_marker(kind)
        if item.get_closest_marker("exhaustive") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_COMPUTING_SECONDS))
    asked = [kind for kind in ("fast", "slow", "exhaustive", "alone") if config.getoption(f"--{kind}")]
    if asked:
        leaves_proofs = not is_whole(config)
        wanted = {
            item
            for item in items
            if _when(item) in asked and not (leaves_proofs and item.get_closest_marker("proof") is not None)
        }
        config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
        items[:] = [item for item in items if item in wanted]
    yield


def pytest_collection_finish(session: pytest.Session) -> None:
    _shared(session.config)  # before there are others
    # Thousands of tests that stay to the end need not be looked through at every collection of garbage.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


_seconds: dict[str, float] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] = _seconds.get(report.nodeid, 0.0) + report.duration


# While a test runs


_running: list[pytest.Item] = []


def _no_process(event: str, _arguments: object) -> None:
    # the module's names are gone when the interpreter ends
    if _STARTS and event in _STARTS and _running and _running[0].get_closest_marker("unit") is not None:
        raise AssertionError(f"{_running[0].nodeid} starts a process: mark it with @pytest.mark.process")


_STARTS: Final = frozenset({"subprocess.Popen", "os.fork", "os.posix_spawn"})
sys.addaudithook(_no_process)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _running[:] = [item]
    try:
        if not item.config.pluginmanager.has_plugin("spread"):
            return (yield)
        with _place(_shared(item.config), alone=item.get_closest_marker("alone") is not None):
            return (yield)
    finally:
        _running.clear()


@functools.cache
def _shared(config: pytest.Config) -> Path:
    """A folder of this run, the same for all its processes."""
    base: Path = getattr(config, "_tmp_path_factory").getbasetemp()  # noqa: B009 - private to pytest
    return base


@contextlib.contextmanager
def _place(shared: Path, *, alone: bool) -> Iterator[None]:
    """One of the places in which tests of all processes run side by side; or all of them."""
    import fcntl

    with (shared / "door.lock").open("w") as door, (shared / "room.lock").open("w") as room:
        # A test that waits for the room keeps the door: else one that wants it for itself might wait for ever.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@pytest.fixture
def anyio_backend(monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, object]]:
    """On which event loop an async test runs: the product's."""
    # A listener waits that long for connections kept alive, and the sandbox keeps its own until it closes.
    monkeypatch.setattr(listener, "_CLOSE_SECONDS", 0.05)
    return "asyncio", {"loop_factory": Loop}


@pytest.fixture(scope="session")
def some(pytestconfig: pytest.Config) -> Sample:
    """`some(cases, 4)`: every fourth of many cases; all of them with --long."""
    return Sample(whole=pytestconfig.getoption("--long"))


@pytest.fixture(scope="session", autouse=True)
def one_list_of_authorities() -> Iterator[None]:
    """Reading the certificates of all authorities takes 20 ms, and every HTTP client does so: here it is done once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_list_of_statements() -> Iterator[None]:
    """See tests/statements.py."""
    statements.share()
    yield
    statements.stop_sharing()


# Databases


@pytest.fixture(scope="session")
def postgresql(request: pytest.FixtureRequest) -> str:
    """DATABASE_URL of a private PostgreSQL server, which all processes share; `{name}` is to be filled in."""
    shared = _shared(request.config)
    with FileLock(shared / f"{_SERVER}.lock"):
        if not (shared / _SERVER).exists():
            (shared / _SERVER).write_text(str(postgres.start()), encoding="utf-8")
    return postgres.address(Path((shared / _SERVER).read_text(encoding="utf-8")))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--note-durations") and not (
        session.config.getoption("--fast")
        or session.config.getoption("--exhaustive")
        or session.config.getoption("--alone")
    ):
        order.write(_seconds)
    with contextlib.suppress(FileNotFoundError):
        postgres.stop(Path((_shared(session.config) / _SERVER).read_text(encoding="utf-8")))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """DATABASE_URL of a new database, of either kind in turn: SQLite's is still to be made."""
    return _new(request, tmp_path, empty=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """DATABASE_URL of a database without tables, of either kind in turn."""
    return _new(request, tmp_path, empty=True)


def _new(request: pytest.FixtureRequest, folder: Path, *, empty: bool) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{folder}/callflow.db"
    name = f"test_{uuid.uuid4().hex}"
    url = str(request.getfixturevalue("postgresql"))
    postgres.create(url, name, empty=empty)
    return url.format(name=name)
