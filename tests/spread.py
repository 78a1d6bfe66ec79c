"""Plays the tests of one run in several processes: `--processes 10`.

What the tests need is loaded, and the tests are collected, once: each process is a fork of the one that has done so.
They take what is next from one queue, a pipe that holds the number of each group of tests (see `tests/order.py`), and
the first process reports what they find.
"""

from __future__ import annotations

import array
import os
import signal
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Final, NoReturn

import pytest
from _pytest.runner import runtestprotocol

from tests import order
from tests.e2e import forkserver


_NUMBER: Final = "I"
"""How a group stands in the queue. A pipe holds 16,000 of them."""
_BYTES: Final = array.array(_NUMBER).itemsize
_kept: Final[list[Any]] = []
"""Captures that were begun before: modules that were imported meanwhile may hold their files, which stay open."""


class _Another(pytest.Item):
    """The next test of a process that does not know it yet. It is none of the same module."""

    def runtest(self) -> None:
        raise NotImplementedError


class _Player:
    """A process that plays tests, as the first one sees it."""

    def __init__(self, process: int, told: Connection) -> None:
        self.process = process
        self.told = told
        self.plays = ""
        """The name of its newest test."""
        self.found: list[dict[str, Any]] = []
        """What that was reported to be; nothing while it is played."""

    def hears(self) -> bool:
        """Hear what it tells. False: it has ended."""
        try:
            self.plays, self.found = self.told.recv()
        except EOFError:
            self.told.close()
            return False
        return True


class Spread:
    """Plug-in of pytest."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._groups: list[list[pytest.Item]] = []
        self._found: list[pytest.TestReport] | None = None  # in a process that plays: of the test that it plays

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Play all tests, unless pytest's own loop is to tell of the collection, or a debugger is asked for."""
        if session.testsfailed or session.config.option.collectonly or session.config.option.usepdb:
            return None
        self._groups = order.groups(session.items)
        queue, filling = os.pipe()
        os.write(filling, array.array(_NUMBER, range(len(self._groups))).tobytes())
        os.close(filling)
        if any(item.get_closest_marker("unit") is None for item in session.items):
            forkserver.start()
        self._lead(session, queue)
        os.close(queue)
        session.config.pluginmanager.getplugin("capturemanager").read_global_capture()  # theirs: see `_kept`
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        return True

    # The first process

    def _lead(self, session: pytest.Session, queue: int) -> None:
        """Report what the others find, until all have ended."""
        items = {item.nodeid: item for item in session.items}
        lost = dict(items)
        players = [self._fork(session, queue, number) for number in range(min(self._processes, len(self._groups)))]
        forked = len(players)
        try:
            while players:
                ready = wait([player.told for player in players])
                for player in [player for player in players if player.told in ready]:
                    if player.hears():
                        if player.found:
                            _report(lost.pop(player.plays), [_read(session.config, data) for data in player.found])
                        continue
                    players.remove(player)
                    code = os.waitstatus_to_exitcode(os.waitpid(player.process, 0)[1])
                    if code != 0 and player.plays:
                        lost.pop(player.plays, None)
                        _report(
                            items[player.plays], [_failed(items[player.plays], f"its process has ended with {code}")]
                        )
                        players.append(self._fork(session, queue, forked))
                        forked += 1
                if session.shouldfail or session.shouldstop:
                    while os.read(queue, 1 << 16):
                        pass  # nobody shall find anything there
        finally:
            for player in players:
                os.kill(player.process, signal.SIGTERM)
        if not (session.shouldfail or session.shouldstop):
            for item in lost.values():
                _report(item, [_failed(item, "no process has played this test: that of its module has ended before")])

    def _fork(self, session: pytest.Session, queue: int, number: int) -> _Player:
        told, telling = Pipe(duplex=False)
        if (process := os.fork()) == 0:
            told.close()
            self._play(session, queue, number, telling)
        telling.close()
        return _Player(process, told)

    # The others

    def _play(self, session: pytest.Session, queue: int, number: int, telling: Connection) -> NoReturn:
        """Play what is in the queue, and end this process."""
        code = 1
        try:
            _be_apart(session.config, number)
            another = _Another.from_parent(session, name="another")
            for group in self._taken(queue):
                for item, following in zip(group, [*group[1:], another], strict=True):
                    telling.send((item.nodeid, []))
                    self._found = []
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                    shown = session.config.hook.pytest_report_to_serializable
                    telling.send((item.nodeid, [shown(config=session.config, report=one) for one in self._found]))
            session._setupstate.teardown_exact(None)
            code = 0
        except KeyboardInterrupt:
            pass  # the first process has it, too
        except BaseException:
            session.config.pluginmanager.getplugin("capturemanager").suspend_global_capture()
            traceback.print_exc()
        finally:
            os._exit(code)

    def _taken(self, queue: int) -> Iterator[list[pytest.Item]]:
        while number := os.read(queue, _BYTES):
            yield self._groups[array.array(_NUMBER, number)[0]]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Keep the reports of one test, which the first process tells of."""
        if self._found is None:
            return None
        self._found += runtestprotocol(item, log=False, nextitem=nextitem)
        return True


def _be_apart(config: pytest.Config, number: int) -> None:
    """Have what forks must not share: what they print while a test runs, and folders of their own."""
    capture = config.pluginmanager.getplugin("capturemanager")
    _kept.append(capture._global_capturing)
    capture._global_capturing = None
    capture.start_global_capturing()
    factory: Any = getattr(config, "_tmp_path_factory")  # noqa: B009 - private to pytest
    factory._basetemp = factory.getbasetemp() / f"w{number}"
    factory._basetemp.mkdir(0o700)


def _read(config: pytest.Config, data: dict[str, Any]) -> pytest.TestReport:
    report: pytest.TestReport = config.hook.pytest_report_from_serializable(config=config, data=data)
    return report


def _report(item: pytest.Item, found: list[pytest.TestReport]) -> None:
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in found:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def _failed(item: pytest.Item, why: str) -> pytest.TestReport:
    return pytest.TestReport(item.nodeid, item.location, {}, "failed", why, "call")
