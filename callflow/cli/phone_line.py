"""The phone in the operators' page of `serve`: its line is opened when somebody rings for the first time.

Until then nothing of the emulator behind it (`emulated_line.py`) is loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from callflow.app import Application
from callflow.contracts.carrier import PHONE
from callflow.web.console.phone import PhoneCall
from callflow.web.console.phone_mount import PhoneMount


if TYPE_CHECKING:
    from callflow.cli.emulated_line import EmulatedLine

_TO: Final = "+15550100002"
"""The number that is rung unless the page asks for another: one that nobody has."""
_MOST_NUMBERS: Final = 200


class _Phone:
    """The phone, and what the page may choose for it."""

    def __init__(self, application: Application, stack: contextlib.AsyncExitStack) -> None:
        """`stack`: closes the line."""
        self._application, self._stack = application, stack
        self._opening = asyncio.Lock()
        self.line: EmulatedLine | None = None
        """None: nobody has rung yet."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What the page is told: the profiles' numbers, and whose model answers."""
        profiles = self._application.configs.rules.profiles
        numbers = [{"profile": name, "to": to} for name in profiles.all() for to in profiles.numbers_of(name)]
        model = "OpenAI's" if self._application.settings.engine_costs else "emulated"
        return {"carrier": PHONE, "to": _TO, "model": model, "numbers": numbers[:_MOST_NUMBERS]}

    @property
    def mount(self) -> PhoneMount | None:
        """Where webhooks and media sockets of its calls come in."""
        return self.line.mount if self.line is not None else None

    async def ring(self, to_number: str = "", from_number: str = "") -> PhoneCall:
        """Begin a call, from a number of its own where `from_number` is "". Raises OSError if no port is free."""
        async with self._opening:
            line = self.line or await self._open()
        return await line.ring(to_number or _TO, from_number)

    async def _open(self) -> EmulatedLine:
        emulated = await asyncio.to_thread(importlib.import_module, "callflow.cli.emulated_line")
        line: EmulatedLine = await self._stack.enter_async_context(emulated.emulated_line(self._application))
        self.line = line
        return line


@contextlib.asynccontextmanager
async def phone_line(application: Application) -> AsyncIterator[None]:
    """Put the phone into an application."""
    async with contextlib.AsyncExitStack() as stack:
        application.phone = _Phone(application, stack)
        try:
            yield
        finally:
            application.phone = None
