"""The operators' app over a history of its own, without a socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from quart import Quart
from sqlalchemy import update

from callflow.config import setup_checks
from callflow.config.settings import Settings
from callflow.contracts.secret_text import Secrets
from callflow.engines.common.account import Account
from callflow.history.database import url_of
from callflow.history.history import History
from callflow.history.kept_profiles import ProfileStore
from callflow.history.own_tools import OwnToolStore
from callflow.history.session_overrides import StoredOverrides
from callflow.history.tables import conversations
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began, Ended, Note
from callflow.journal.redaction import Redactor
from callflow.switchboard.call_configs import CallConfigs
from callflow.switchboard.health.doctor import Doctor
from callflow.switchboard.health.service import Checklist, HealthService
from callflow.switchboard.lag_admission import LagAdmission
from callflow.switchboard.profile_service import ProfileService
from callflow.switchboard.session_overrides import SessionOverrides
from callflow.switchboard.setting_service import SettingService
from callflow.switchboard.shielded_changes import ShieldedChanges
from callflow.switchboard.switchboard import Switchboard
from callflow.switchboard.tool_service import ToolService
from callflow.telemetry.telemetry import Telemetry
from callflow.tools.registry import ToolResult, Tools
from callflow.web.console.app import create_console
from callflow.web.console.session_apis import make_session_apis
from tests.web.asgi import Answer, ask


CALL = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"


@dataclass
class FakeCall:
    """A live call."""

    id: str
    is_over: bool = False
    business: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    """Of what it tells of itself."""
    hung_up: list[tuple[str, str]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        usual = {
            "carrier": "telnyx", "carrier_id": "", "direction": "inbound", "state": "streaming",
            "conversation": "listening", "from": "+15550100001", "to": "+15550100002", "began": 1_700_000_500.0,
            "cause": "", "business": self.business,
        }  # fmt: skip
        return {"id": self.id, **usual, **self.more}

    def hang_up(self, when: str, by: str) -> bool:
        self.hung_up.append((when, by))
        return not self.is_over

    @property
    def config(self) -> Any:
        return SimpleNamespace(business=self.business)

    @property
    def agent(self) -> Any:
        return SimpleNamespace(update=self._update)

    @property
    def requests(self) -> Any:
        return SimpleNamespace(step_in=SimpleNamespace(change=self._update))

    def _update(self, changes: dict[str, Any], by: str = "") -> list[str]:
        self.updates.append(changes)
        return ["left out"]


class Stage:
    def __init__(
        self, history: History, *, token: str = "", settings: Settings | None = None, named_tokens: str = ""
    ) -> None:
        self.history = history
        self.calls: dict[str, FakeCall] = {}
        self.headers = {"authorization": f"Bearer {token}"} if token else {}
        configs = CallConfigs(settings or Settings(), Account())
        self.configs = configs
        self.profiles = ProfileService(configs, ProfileStore(history.database), list)
        self.health = HealthService(
            lambda: cast(Switchboard, self.board), history, lambda: {"ok": True},
            lambda: Checklist(status=setup_checks.status(settings or Settings(), "https://calls.example")),
        )  # fmt: skip
        self.doctor = Doctor(bytes, self.health.doctor_found, lambda: Secrets(()), command=("-c", ""))
        self.of_file = Tools()
        """What the tools file has."""
        self.tool_service = ToolService(lambda: self.of_file)
        self.tool_service.keep_in(OwnToolStore(history.database))
        self.apis = make_session_apis(settings or Settings(), lambda: configs.rules.settings)
        self.shielded = ShieldedChanges()
        self.app: Quart = create_console(
            lambda: cast(Switchboard, self.board),
            history,
            SessionOverrides(configs, StoredOverrides(history.database), list),
            self.shielded,
            host="localhost",
            redact=Redactor(),
            token=token,
            tools=lambda: [{"name": "end_call"}],
            engine=lambda: {"ok": True},
            profiles=self.profiles,
            named_tokens=named_tokens,
            business_of=lambda number: configs.business_of(number)[0],
            try_tool=self._try_tool,
            tool_service=self.tool_service,
            setting_service=SettingService(configs, {}, max_calls=7),
            health=self.health,
            doctor=self.doctor,
            apis=self.apis,
            telemetry=Telemetry(capacity=4),
        )

    @staticmethod
    async def _try_tool(name: str, arguments: str) -> ToolResult | None:
        """A tool that answers what it was asked; there is no other."""
        return ToolResult(output=arguments, ok=True) if name == "echo" else None

    @property
    def board(self) -> Any:
        return SimpleNamespace(
            calls=list(self.calls.values()), live=self.calls.get, is_live=self.calls.__contains__, is_accepting=True,
            count=len(self.calls), counts={"calls": 3}, load=LagAdmission(15, 10),
        )  # fmt: skip

    def live(self, name: str = CALL, **more: Any) -> FakeCall:
        self.calls[name] = FakeCall(name, **more)
        return self.calls[name]

    async def write(self, *notes: Note, call: str = CALL, at: float = 1_700_000_000.0) -> None:
        """Into the history: what a call has noted."""
        for number, note in enumerate(notes):
            self.history.journal.note(JournalEntry.of(note, call=call, at=at + number))
        async with asyncio.timeout(10):
            while self.history.journal.waiting:  # noqa: ASYNC110 - the writer has no event for that
                await asyncio.sleep(0.002)

    async def write_call(self, call: str = CALL, at: float = 1_700_000_000.0, **began: Any) -> None:
        """A call that is over."""
        numbers = {"from_number": "+15550100001", "to_number": "+15550100002"}
        await self.write(Began(carrier="telnyx", **{**numbers, **began}), Ended(cause="hangup"), call=call, at=at)

    async def make_outbound(self, call: str = CALL) -> None:
        """As if we had dialled a call of the history."""
        dialled = update(conversations).where(conversations.c.call_id == call).values(direction="outbound")
        await self.history.database.write(lambda connection: connection.execute(dialled))

    async def get(self, path: str, **headers: str) -> Answer:
        return await ask(self.app, "GET", path, body=b"", **{**self.headers, **headers})

    async def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        given = {"content_type": "application/json", **self.headers, **headers}
        return await ask(self.app, method, path, body=body, **given)


@contextlib.asynccontextmanager
async def stage(folder: Path, *, opened: bool = True, url: str = "", **options: Any) -> AsyncIterator[Stage]:
    history = History(url_of(url, str(folder)), recordings=folder / "recordings", retention_days=0, country="")
    if opened:
        await history.open()
    the = Stage(history, **options)
    try:
        yield the
    finally:
        for close in the.app.after_serving_funcs:
            await the.app.ensure_async(close)()
        await history.journal.close()
        await history.close()


def play(folder: Path, main: Callable[[Stage], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def begin() -> None:
        async with stage(folder, **settings) as the:
            await main(the)

    asyncio.run(begin())
