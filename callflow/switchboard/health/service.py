"""Looks at the server every few seconds, off the way of the audio, and keeps the alerts that come of it.

What is judged stands in `findings.py`, what becomes an alert in `alert_life_cycle.py`. Every process looks at itself,
and keeps the alerts about itself in the database. The one that looks after the calls of the history keeps those about
what all share, too, and closes those of nodes that are gone. While the database does not answer, they are kept here,
and written when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, Final, Protocol

from callflow.cluster.nodes import View
from callflow.contracts.diagnostics import Finding
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.contracts.secret_text import NOT_SHOWN, Secrets
from callflow.history.alert_store import MOST_ONGOING
from callflow.history.delivery.sender import Sender
from callflow.history.history import History
from callflow.switchboard.health import findings as judged
from callflow.switchboard.health.alert_life_cycle import CLOSE_AFTER, DOCTOR, NODE, Alert, LifeCycle, scope_of
from callflow.switchboard.health.finding_history import FindingHistory, RecentIncrease
from callflow.switchboard.health.node_findings import NODES, of_nodes
from callflow.switchboard.health.numbers import FailoverCheck, Listed, NumberWatch, no_failover
from callflow.switchboard.health.stolen_time import stolen_time
from callflow.switchboard.switchboard import Switchboard


log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 10.0
_LATELY_MINUTES: Final = 15
_MOST_SECONDS: Final = 3.0
"""For what the database is asked."""
_TIDY_SECONDS: Final = 3600.0
_KEPT_SECONDS: Final = 30 * 86400.0
"""How long an alert that is over is kept."""
_MOST_UNSAVED: Final = 200
_NOTED: Final = frozenset({
    "carriers", "clock", "database", "disk", "events", "journal", "model", "time", NODES,
})  # fmt: skip
"""Of these, what is only worth a look is an alert, too."""
_SHARED: Final = frozenset({"budget", "database", "events", NODES})
"""Of these, what is found in one process concerns all."""
_NO_SECRETS: Final = Secrets(())

Spending = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Checklist:
    """What the application knows of itself."""

    setup: Sequence[Finding] = ()
    data: Path = field(default_factory=Path)
    """The folder with history and recordings."""
    most_calls: int = 0
    """At once; 0: not known."""
    secrets: Secrets = _NO_SECRETS
    status: Mapping[str, Any] = field(default_factory=dict)
    """See `setup_checks.status`."""


class Nodes(Protocol):
    """The nodes that share the history, of which this process is one."""

    @property
    def me(self) -> str: ...
    @property
    def view(self) -> View: ...
    @property
    def trouble(self) -> str:
        """Why the lease of this node cannot be renewed; "": it can."""

    @property
    def unserved(self) -> Mapping[str, int]:
        """How many calls of dead nodes no living node can serve, by carrier."""

    def living(self) -> Collection[Any]:
        """Return all living nodes but this one, each with its `name`."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at one moment, `at` (Unix time, seconds)."""

    at: float
    setup: Sequence[Finding]
    now: Sequence[Finding]
    secrets: Secrets


class HealthService:
    """One for each process. `run` looks again and again; `look` does it once, for somebody who asks."""

    def __init__(
        self,
        switchboard: Callable[[], Switchboard],
        history: History,
        engine: Callable[[], Mapping[str, Any]] = dict,
        checklist: Callable[[], Checklist] = Checklist,
        *,
        sender: Sender | None = None,
        spending: Spending | None = None,
        carrier_errors: Callable[[], int] = int,
        felt_ms: Callable[[], float] = float,
        numbers: Listed | None = None,
        failover: FailoverCheck = no_failover,
        nodes: Nodes | None = None,
        apart: Mapping[str, str] | None = None,
    ) -> None:
        """`engine`: describes the model's account, as `Account.describe` does. `checklist`: is called by a thread.
        `sender`: sends events; None: EVENTS_URL is not set. `spending`: see `Budget.describe`; None: that is not
        counted. `carrier_errors`: returns how many commands and streams have failed with carriers since the start.
        `felt_ms`: see `LoopLag`. `numbers`, `failover`: see `NumberWatch`. `nodes`: None: this process serves
        alone. `apart`: see `Forwarding`."""
        self._switchboard, self._history, self._engine, self._checklist = switchboard, history, engine, checklist
        self._sender, self._spending, self._carrier_errors = sender, spending, carrier_errors
        self._felt_ms = felt_ms
        self._numbers, self._nodes = NumberWatch(numbers, failover=failover), nodes
        self._apart: Mapping[str, str] = apart if apart is not None else {}
        self._mine = f"{NODE}{nodes.me}/" if nodes is not None else ""
        """The scope of what this process finds in itself."""
        self._gone_at: dict[str, float] = {}
        """By scope of a node that is not there: since when."""
        self.finding_history = FindingHistory()
        self._rise = RecentIncrease(_LATELY_MINUTES * 60.0)
        self._took_ms: float | None = None
        self._question: asyncio.Task[float] | None = None
        self._is_in_charge = False
        self._cycle: LifeCycle | None = None
        self._unsaved: dict[str, Alert] = {}
        self._new: set[str] = set()
        self._doctors: Sequence[Finding] | None = None
        self._tidied_at = -inf
        self._wake = asyncio.Event()
        self._troubles = RepeatedWarnings(log)

    @property
    def node(self) -> str:
        """The name of the node that is looked at; "": it serves alone."""
        return self._nodes.me if self._nodes is not None else ""

    # Looking

    async def status(self) -> Mapping[str, Any]:
        """Return which credentials there are: see `setup_checks.status`."""
        return (await asyncio.to_thread(self._checklist)).status

    async def look(self, *, is_watched: bool = True) -> Look:
        """Look at everything now, and remember how it was. `is_watched`: somebody looks at the page."""
        self._numbers.look(is_watched=is_watched)
        known = await asyncio.to_thread(self._checklist)
        free = await asyncio.to_thread(_free, known.data)
        taken = await asyncio.to_thread(stolen_time)
        spent = await self._spent()
        board, history, clock = self._switchboard(), self._history, time.monotonic()
        counts, minutes = history.journal.counts, _LATELY_MINUTES

        def lately(name: str, value: float) -> int:
            return int(self._rise.take(name, value, clock))

        lost = lately("entries", counts["lost"] + counts["unwritable"])
        unsaid = lately("hang-ups", board.counts.get("lost_hangups", 0))
        why = judged.lost_time(
            self._rise.take("throttled", taken.throttled, clock),
            self._rise.take("stolen", taken.stolen, clock),
            minutes,
        )
        found = [
            *judged.of_calls(board, known.most_calls),
            judged.of_carriers(unsaid, lately("commands", self._carrier_errors()), minutes),
            judged.of_engine(self._engine()),
            judged.of_database(history, self._took_ms),
            *judged.of_journal(history, lost, minutes),
            judged.of_loop(board.load.p99_ms, is_overloaded=board.load.is_overloaded, felt_ms=self._felt_ms(), why=why),
            judged.of_clock(self._rise.take("clock", time.time() - clock, clock), minutes),
            judged.of_disk(free),
            *judged.of_budget(spent),
            judged.of_events(self._sender.describe() if self._sender is not None else None),
            *self._of_nodes(),
        ]
        now = [_without(one, known.secrets) for one in found]
        setup = [_without(one, known.secrets) for one in [*known.setup, *self._numbers.findings]]
        at = history.now()
        self.finding_history.take([*now, *(named_setup(one) for one in setup)], at)
        return Look(at, setup, now, known.secrets)

    def _of_nodes(self) -> Iterable[Finding]:
        if self._nodes is None:
            return ()
        # Without the database no lease can be renewed, which is a finding of its own.
        trouble = self._nodes.trouble if self.answers else ""
        return of_nodes(self._nodes.view, trouble, self._apart, self._nodes.unserved)

    async def _spent(self) -> Mapping[str, Any] | None:
        if self._spending is None or not self.answers:
            return None
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                return await self._spending()
        except Exception as error:
            self._troubles.say("spent", "what calls took today cannot be told: %s", type(error).__name__)
            return None

    @property
    def answers(self) -> bool:
        """Whether the database can be asked, as far as is known."""
        return self._history.is_readable and self._took_ms != inf

    async def _ask_database(self) -> None:
        """Measure how long its smallest question takes; one that has no answer yet is not asked again."""
        if not self._history.is_readable:
            return
        if self._question is None:
            self._question = asyncio.create_task(self._asked(), name="question to the database")
        done, _ = await asyncio.wait({self._question}, timeout=_MOST_SECONDS)
        if done:
            self._took_ms = inf if self._question.exception() is not None else self._question.result()
            self._question = None
        else:
            self._took_ms = inf

    async def _asked(self) -> float:
        began = time.monotonic()
        await self._history.database.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
        return (time.monotonic() - began) * 1000

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        try:
            await self._run()
        finally:
            self._numbers.close()
            if self._question is not None:
                self._question.cancel()

    async def _run(self) -> None:
        with contextlib.suppress(TimeoutError):  # a database that is still being opened is not away
            async with asyncio.timeout(EVERY_SECONDS):
                await self._history.opened.wait()
        while True:
            self._wake.clear()
            try:
                await self._ask_database()
                found = await self.look(is_watched=False)
                if (self._is_in_charge or self._nodes is not None) and self._switchboard().is_accepting:
                    await self._judge(found)
            except Exception as error:
                self._troubles.say("look", "the server cannot look at itself: %r", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._wake.wait()

    # Alerts

    async def keep_alerts(self) -> None:
        """Keep the alerts about what all share of this history, until cancelled: what one process does for all."""
        self._set_in_charge(True)
        try:
            await asyncio.Event().wait()
        finally:
            self._set_in_charge(False)

    def _set_in_charge(self, is_in_charge: bool) -> None:
        self._is_in_charge, self._cycle = is_in_charge, None
        self._unsaved, self._new = {}, set()  # of an earlier time in charge: others may have judged since
        self._gone_at = {}
        self._wake.set()

    @property
    def in_memory(self) -> list[Alert]:
        """The alerts that this process knows of, also without the database; the newest first."""
        known = {one.id: one for one in (self._cycle.alerts if self._cycle is not None else [])}
        return sorted((known | self._unsaved).values(), key=lambda one: -one.opened_at)

    def doctor_found(self, found: Sequence[Finding]) -> None:
        """Take what the doctor has found; it stands until the doctor is asked again."""
        self._doctors = [one for one in found if one.state == "wrong"]
        self._wake.set()

    async def see(self, id_: str, by: str) -> bool:
        """Note that somebody has seen an alert. False: none of this id is open. Raises what the driver raises."""
        now = self._history.now()
        if not await self._history.alerts.see(id_, by, now):
            return False
        if self._cycle is not None:
            self._cycle.see(id_, by, now)
        return True

    async def close(self, id_: str, by: str) -> bool:
        """Close an alert by hand. False: none of this id is open or seen. Raises what the driver raises."""
        now = self._history.now()
        if not await self._history.alerts.close(id_, by, now):
            return False
        if self._cycle is not None:
            self._cycle.close(id_, by, now)
        return True

    async def _judge(self, found: Look) -> None:
        """Let alerts open and close by what was found."""
        store, at = self._history.alerts, found.at
        rows = await self._ongoing()
        if self._cycle is None:
            if rows is None:
                return
            self._cycle = LifeCycle(_new_id)
            self._cycle.restore((Alert(**row) for row in rows if scope_of(row["key"]) in self._scopes), at)
        for row in rows or ():  # another process may have been asked
            if row["seen_at"] is not None:
                self._cycle.see(row["id"], row["seen_by"], row["seen_at"])
            if row["closed_at"] is not None:
                self._cycle.close(row["id"], row["closed_by"], row["closed_at"])
        if rows is not None and len(rows) < MOST_ONGOING:  # this node may have been gone, as those in charge saw it
            self._cycle.keep({row["id"] for row in rows} | self._unsaved.keys())
        known = {one.id for one in self._cycle.alerts}
        changed = []
        for scope, wrong in self._alarming(found).items():
            changed += self._cycle.look(wrong, at, scope=scope)
        if self._doctors is not None and self._is_in_charge:
            changed += self._cycle.look(self._doctors, at, scope=DOCTOR, is_sure=True)
            self._doctors = None
        for one in changed:
            self._tell(one, is_new=one.id not in known)
        for one in self._of_gone(rows or (), at) if self._is_in_charge else ():
            self._tell(one, is_new=False)
        if self._unsaved and self.answers:
            saved = list(self._unsaved.values())
            async with asyncio.timeout(_MOST_SECONDS):
                await store.save([asdict(one) for one in saved], list(self._new), at)
            self._unsaved, self._new = {}, set()
        if self._is_in_charge and self.answers and time.monotonic() - self._tidied_at > _TIDY_SECONDS:
            self._tidied_at = time.monotonic()
            await store.expire(at - _KEPT_SECONDS)
            await self._history.shares.expire(at)

    @property
    def _scopes(self) -> Collection[str]:
        """The scopes in which this process opens and closes alerts."""
        return {self._mine, "", DOCTOR} if self._is_in_charge else {self._mine}

    def _alarming(self, found: Look) -> dict[str, list[Finding]]:
        """Return what is to become an alert if it lasts, by scope."""
        told: dict[str, list[Finding]] = {self._mine: []}
        if self._is_in_charge:
            told[""] = [one for one in shown(self._numbers.findings, found.secrets) if one.state == "wrong"]
        for one in filter(is_alarming, found.now):
            if not self._mine or one.about in _SHARED:
                told.get("", []).append(one)
            elif self._nodes is not None:
                told[self._mine].append(replace(one, what=f"node {self._nodes.me}: {one.what}", key=one.name))
        return told

    def _of_gone(self, rows: Iterable[Mapping[str, Any]], at: float) -> list[Alert]:
        """Return the alerts of nodes that have been gone for a while, which are over by that: nobody else looks."""
        there = {self._mine, *(f"{NODE}{peer.name}/" for peer in (self._nodes.living() if self._nodes else ()))}
        ongoing = [Alert(**row) for row in rows if scope_of(row["key"]).startswith(NODE)]
        gone = {scope for one in ongoing if (scope := scope_of(one.key)) not in there}
        self._gone_at = {scope: self._gone_at.get(scope, at) for scope in gone}
        over = [one for one in ongoing if at - self._gone_at.get(scope_of(one.key), at) >= CLOSE_AFTER]
        for one in over:
            one.over_at, one.closed_at = at, at if one.closed_at is None else one.closed_at
        return over

    async def _ongoing(self) -> list[dict[str, Any]] | None:
        """Return the alerts of the database that are not over; None: it cannot be asked."""
        if not self.answers:
            return None
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                return await self._history.alerts.ongoing()
        except Exception as error:
            self._troubles.say("alerts", "the alerts cannot be read: %s", type(error).__name__)
            return None

    def _tell(self, alert: Alert, *, is_new: bool) -> None:
        if len(self._unsaved) < _MOST_UNSAVED or alert.id in self._unsaved:
            self._unsaved[alert.id] = alert
            if is_new:
                self._new.add(alert.id)
        if alert.over_at is not None:
            log.info("alert over: %s: %s", alert.about, alert.what)
        elif is_new:
            log.warning("ALERT: %s: %s → %s", alert.about, alert.what, alert.remedy)


def is_alarming(one: Finding) -> bool:
    """Return whether a finding of the server about itself is to become an alert if it lasts."""
    return one.state == "wrong" or (one.state == "note" and one.name in _NOTED)


def named_setup(one: Finding) -> Finding:
    """Return a finding of the setup as it was found last."""
    return Finding(one.about, one.state, one.what, one.remedy, f"setup: {one.name}")


def shown(found: Iterable[Finding], secrets_: Secrets) -> list[Finding]:
    """Return findings without what must not be shown."""
    return [_without(one, secrets_) for one in found]


def _without(one: Finding, hidden: Secrets) -> Finding:
    if hidden.within(f"{one.what} {one.remedy}"):
        return Finding(one.about, one.state, NOT_SHOWN, "", one.about)
    return one


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _new_id() -> str:
    return f"alert_{secrets.token_hex(12)}"
