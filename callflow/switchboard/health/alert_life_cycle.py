"""When a finding becomes an alert, and when that is over. Pure: times are Unix seconds.

An alert is *open*, then *seen* by somebody, then *closed*: by itself when what it is about has been over for a while,
or by hand. What lasts a moment opens none, and what comes and goes is one alert and not many. Closed by hand, it stays
closed for as long as what it is about goes on; when that was over and comes back, it is a new alert.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from callflow.contracts.alert_states import CLOSED, OPEN, state_of
from callflow.contracts.diagnostics import Finding


OPEN_AFTER: Final = {"wrong": 20.0, "note": 60.0}
"""Seconds for which something has to last before it is an alert."""
CLOSE_AFTER: Final = 120.0
"""Seconds for which it has to be over."""
DOCTOR: Final = "doctor/"
"""The scope of what the doctor finds."""
NODE: Final = "node:"
"""The scope of what a node of a cluster finds in itself is this, its name and a slash. That of all else is ""."""
_LONGEST_KEY: Final = 100
FORGET_AFTER: Final = 45.0
"""Seconds after which what has not become an alert begins anew."""


def scope_of(key: str) -> str:
    """Return the scope of a key: who finds that, and whether it is over."""
    return key[: key.find("/") + 1] if key.startswith((DOCTOR, NODE)) else ""


@dataclass(slots=True)
class Alert:
    """One thing that is wrong with the server, or was: what it is, what to do, and where it stands."""

    id: str
    key: str
    severity: str
    """`wrong` or `note`."""
    about: str
    what: str
    remedy: str
    opened_at: float
    seen_at: float | None = None
    seen_by: str = ""
    closed_at: float | None = None
    closed_by: str = ""
    """"": by itself."""
    over_at: float | None = None
    """When what it is about was over."""

    @property
    def state(self) -> str:
        """Where in its life it is: one of `alert_states.STATES`."""
        return state_of(self.seen_at, self.closed_at)


@dataclass(slots=True)
class _Pending:
    first: float
    last: float


class LifeCycle:
    """The alerts that are not over yet, one for each key at most."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        """`new_id`: returns an id that no other alert has."""
        self._new_id = new_id
        self._alerts: dict[str, Alert] = {}
        self._told: dict[str, float] = {}
        """By key: when it was found last."""
        self._pending: dict[str, _Pending] = {}

    @property
    def alerts(self) -> list[Alert]:
        """Those that are not over, also closed ones, the newest first."""
        return sorted(self._alerts.values(), key=lambda one: -one.opened_at)

    def restore(self, alerts: Iterable[Alert], at: float) -> None:
        """Go on with the alerts of the process before; they have a while to be found again."""
        for one in alerts:
            if one.over_at is None and one.key not in self._alerts:
                self._alerts[one.key], self._told[one.key] = one, at

    def keep(self, ids: Collection[str]) -> None:
        """Forget all alerts but these: somebody else says that they are over. What goes on opens a new one."""
        for key in [key for key, one in self._alerts.items() if one.id not in ids]:
            del self._alerts[key], self._told[key]

    def look(self, found: Iterable[Finding], at: float, *, scope: str = "", is_sure: bool = False) -> list[Alert]:
        """Take all that was found to be wrong within a scope. Returns the alerts that have opened, changed their
        severity or ended by that.

        `is_sure`: it was looked into thoroughly, so that nothing has to last before it counts.
        """
        changed = []
        named = {f"{scope}{one.name}"[:_LONGEST_KEY]: one for one in found}
        for key, one in named.items():
            if (alert := self._alerts.get(key)) is not None:
                if alert.severity != one.state:
                    changed.append(alert)
                alert.severity, alert.what, alert.remedy = one.state, one.what, one.remedy
            elif is_sure or self._has_lasted(key, one.state, at):
                self._pending.pop(key, None)
                alert = Alert(self._new_id(), key, one.state, one.about, one.what, one.remedy, at)
                self._alerts[key] = alert
                changed.append(alert)
            if key in self._alerts:
                self._told[key] = at
        for key, alert in list(self._alerts.items()):
            is_gone = key not in named and scope_of(key) == scope
            if is_gone and (is_sure or at - self._told[key] >= CLOSE_AFTER):
                del self._alerts[key], self._told[key]
                alert.over_at = at
                if alert.closed_at is None:
                    alert.closed_at = at
                changed.append(alert)
        for key in [key for key, one in self._pending.items() if at - one.last >= FORGET_AFTER]:
            del self._pending[key]
        return changed

    def _has_lasted(self, key: str, severity: str, at: float) -> bool:
        pending = self._pending.setdefault(key, _Pending(at, at))
        pending.last = at
        return at - pending.first >= OPEN_AFTER[severity]

    def see(self, id_: str, by: str, at: float) -> Alert | None:
        """Note that somebody has seen an alert. None: none of this id is open."""
        alert = self._find(id_)
        if alert is None or alert.state != OPEN:
            return None
        alert.seen_at, alert.seen_by = at, by
        return alert

    def close(self, id_: str, by: str, at: float) -> Alert | None:
        """Close an alert by hand. None: none of this id is open or seen."""
        alert = self._find(id_)
        if alert is None or alert.state == CLOSED:
            return None
        alert.closed_at, alert.closed_by = at, by
        return alert

    def _find(self, id_: str) -> Alert | None:
        return next((one for one in self._alerts.values() if one.id == id_), None)
