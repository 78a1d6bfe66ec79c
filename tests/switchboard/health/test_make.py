"""What looks at the server, and the doctor, made for one application: what each is told, and when."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from callflow.config.settings import Settings
from callflow.contracts.diagnostics import Finding
from callflow.contracts.failover import Failover
from callflow.contracts.secret_text import Secrets
from callflow.switchboard.health import make as module
from callflow.switchboard.health.make import make_health


KNOWN: Any = ("https://calls.example", 7000, ["a warning"], Secrets(("sk-1234567890",)))


def made(settings: Settings | None = None, *, carriers: Any = (), known: Any = KNOWN) -> tuple[Any, Any, list[str]]:
    asked: list[str] = []

    async def listed(address: str) -> Any:
        asked.append(address)
        return []

    anything: Any = SimpleNamespace(calls=SimpleNamespace(carrier_errors=3), felt_ms=1.5, describe=dict)
    health, doctor = make_health(
        settings or Settings(), anything, anything, anything, anything, anything, None, carriers,
        lambda: SimpleNamespace(listed=listed),  # type: ignore[arg-type, return-value]
        lambda: SimpleNamespace(all=dict, name_for=str),  # type: ignore[arg-type, return-value]
        lambda: known,
    )  # fmt: skip
    return health, doctor, asked


def test_the_checklist_is_made_of_what_is_known_at_that_moment(tmp_path: Path) -> None:
    health, _, _ = made(Settings(data_dir=str(tmp_path), max_concurrent_calls=7))
    found = health._checklist()
    assert (found.data, found.most_calls, found.secrets) == (tmp_path, 7, KNOWN[3])
    assert found.status["publicUrl"] == "https://calls.example"
    assert any("a warning" in each.what for each in found.setup)


def test_figures_are_looked_up_and_not_copied() -> None:
    health, _, _ = made()
    assert (health._carrier_errors(), health._felt_ms()) == (3, 1.5)


def test_the_doctor_gets_the_settings_with_the_port_that_is_served() -> None:
    for port, served in ((7000, 7000), (0, Settings().port)):
        _, doctor, _ = made(known=("", port, ["a warning"], Secrets(())))
        settings, warnings = pickle.loads(doctor._given())
        assert (settings.port, warnings) == (served, ["a warning"])


def test_without_a_carrier_no_numbers_are_asked_for() -> None:
    health, _, asked = made()
    assert health._numbers._listed is None
    one: Any = SimpleNamespace(name="telnyx")
    health, _, asked = made(carriers=(one,))
    asyncio.run(health._numbers._listed())
    assert asked == ["https://calls.example"]


def test_carriers_are_asked_about_failover_only_if_something_is_wanted(monkeypatch: Any) -> None:
    asked: list[Failover] = []

    async def check(carriers: Any, wanted: Failover) -> list[Finding]:
        asked.append(wanted)
        return [Finding("failover", "ok", "they know")]

    monkeypatch.setattr(module, "check_failover", check)
    health, _, _ = made()
    assert list(asyncio.run(health._numbers._failover())) == []
    health, _, _ = made(Settings(failover_url="https://second.example"))
    assert [each.what for each in asyncio.run(health._numbers._failover())] == ["they know"]
    assert [(each.address, each.url) for each in asked] == [("https://calls.example", "https://second.example")]
