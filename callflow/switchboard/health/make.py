"""Makes what looks at the server, and the doctor, for one application."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from callflow.config.profiles import Profiles
from callflow.config.settings import Settings
from callflow.config.setup_checks import setup_findings, status
from callflow.contracts.carrier import Carrier
from callflow.contracts.diagnostics import Finding
from callflow.contracts.secret_text import Secrets
from callflow.history.delivery.sender import Sender
from callflow.history.history import History
from callflow.switchboard.failover_service import check_failover, failover_of
from callflow.switchboard.health.doctor import Doctor
from callflow.switchboard.health.service import Checklist, HealthService, Nodes, Spending
from callflow.switchboard.number_service import NumberService
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
    """The telemetry of this process, which has those counts, and how late the loop is."""

    @property
    def calls(self) -> Calls: ...
    @property
    def felt_ms(self) -> float: ...


def make_health(
    settings: Settings,
    switchboard: Switchboard,
    history: History,
    account: Account,
    telemetry: Counted,
    spending: Spending,
    sender: Sender | None,
    carriers: Sequence[Carrier],
    number_service: Callable[[], NumberService],
    profiles: Callable[[], Profiles],
    known: Callable[[], Known],
    nodes: Nodes | None = None,
    apart: Mapping[str, str] | None = None,
) -> tuple[HealthService, Doctor]:
    """Make the health service and the doctor. `number_service` is called later, `profiles` whenever the carriers are
    asked, and `known` by a thread. `nodes`, `apart`: see `HealthService`."""

    def checklist() -> Checklist:
        address, _, warnings, secrets = known()
        found = setup_findings(settings, address, warnings)
        return Checklist(
            found, Path(settings.data_dir), settings.max_concurrent_calls, secrets, status(settings, address)
        )

    def given() -> bytes:
        _, port, warnings, _ = known()
        return pickle.dumps((settings.model_copy(update={"port": port or settings.port}), list(warnings)))

    async def failover() -> Sequence[Finding]:
        wanted = failover_of(settings, profiles(), known()[0])
        return [] if wanted is None else await check_failover(carriers, wanted)

    service = HealthService(
        lambda: switchboard, history, account.describe, checklist,
        sender=sender, spending=spending, carrier_errors=lambda: telemetry.calls.carrier_errors,
        felt_ms=lambda: telemetry.felt_ms,
        numbers=(lambda: number_service().listed(known()[0])) if carriers else None, failover=failover, nodes=nodes,
        apart=apart,
    )  # fmt: skip
    return service, Doctor(given, service.doctor_found, lambda: known()[3])
