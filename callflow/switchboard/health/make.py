"""Makes what looks at the server, and the doctor, for one application."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from callflow.config.settings import Settings
from callflow.config.setup_checks import setup_findings, status
from callflow.contracts.secret_text import Secrets
from callflow.history.delivery.sender import Sender
from callflow.history.history import History
from callflow.switchboard.health.desk import Checklist, HealthDesk, Nodes, Spending
from callflow.switchboard.health.doctor import Doctor
from callflow.switchboard.number_desk import Listing
from callflow.switchboard.switchboard import Switchboard


Known = tuple[str, int, Sequence[str], Secrets]
"""Our public address ("": not known), the port of the public listener, the warnings of the start, and what is
secret."""


class Account(Protocol):
    """The model's account, which tells how it is."""

    def describe(self) -> Mapping[str, Any]: ...


class Calls(Protocol):
    """The counts of all calls, as far as the health page needs them."""

    @property
    def carrier_errors(self) -> int: ...


class Counted(Protocol):
    """The telemetry of this process, which has those counts."""

    @property
    def calls(self) -> Calls: ...


def make_health(
    settings: Settings,
    switchboard: Switchboard,
    history: History,
    account: Account,
    telemetry: Counted,
    spending: Spending,
    sender: Sender | None,
    numbers: Callable[[str], Awaitable[Listing]] | None,
    known: Callable[[], Known],
    nodes: Nodes | None = None,
) -> tuple[HealthDesk, Doctor]:
    """Make both. `numbers`: lists those of the carriers' accounts, see `NumberDesk.listed`; None: no carrier is on.
    `known`: is called by a thread. `nodes`: see `HealthDesk`."""

    def checklist() -> Checklist:
        address, _, warnings, secrets = known()
        found = setup_findings(settings, address, warnings)
        return Checklist(
            found, Path(settings.data_dir), settings.max_concurrent_calls, secrets, status(settings, address)
        )

    def given() -> bytes:
        _, port, warnings, _ = known()
        return pickle.dumps((settings.model_copy(update={"port": port or settings.port}), list(warnings)))

    desk = HealthDesk(
        lambda: switchboard, history, account.describe, checklist,
        sender=sender, spending=spending, carrier_errors=lambda: telemetry.calls.carrier_errors,
        numbers=(lambda: numbers(known()[0])) if numbers is not None else None, nodes=nodes,
    )  # fmt: skip
    return desk, Doctor(given, desk.doctor_found, lambda: known()[3])
