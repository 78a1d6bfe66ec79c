"""All that is watched live in one process, and who watches it."""

from __future__ import annotations

from collections.abc import Callable

from callflow.history.history import History
from callflow.journal.redaction import Redactor
from callflow.switchboard.switchboard import Switchboard
from callflow.telemetry.telemetry import Telemetry
from callflow.web.console.live.log_feed import LogFeed
from callflow.web.console.live.other_nodes import OtherNodes
from callflow.web.console.live.rows import NO_COST, Costs
from callflow.web.console.live.sse import Seats
from callflow.web.console.live.story import Stories
from callflow.web.console.live.wall import Wall


class LiveService:
    """The wall, the stories of single calls, and the seats of their viewers. It lives until `close`."""

    def __init__(
        self,
        switchboard: Callable[[], Switchboard],
        history: History,
        telemetry: Telemetry,
        redact: Redactor,
        *,
        costs: Callable[[], Costs] = lambda: lambda call: NO_COST,
        today: Callable[[], int | None] = lambda: None,
        most_viewers: int | None = None,
        others: OtherNodes | None = None,
    ) -> None:
        """`costs`: as `Budget.live_costs`. `today`: returns how many calls today has had. `most_viewers`: of all
        streams together; None: the usual bound. `others`: the other nodes of a cluster; None: there are none."""
        self.seats = Seats() if most_viewers is None else Seats(most_viewers)
        self.node_seats = Seats()
        """Of other nodes: what they show is not to depend on how many watch here."""
        self.hour = telemetry.calls.hour
        self.wall = Wall(switchboard, self.hour, costs=costs, today=today, now=history.now, others=others)
        self.own_wall = Wall(switchboard, self.hour, costs=costs, today=today, now=history.now)
        """Of this node alone, for the others."""
        self.stories = Stories(switchboard, history, redact)
        # What is told at once when somebody comes is more than viewers of here can take in one go.
        self.logs = LogFeed(switchboard, self.stories, others.beside("/logs", pause=0.02) if others else None)
        self.redact = redact

    def close(self) -> None:
        """End all streams; the server stops."""
        self.seats.is_closed = self.node_seats.is_closed = True
        self.wall.close()
        self.own_wall.close()
        self.stories.close()
        self.logs.close()
