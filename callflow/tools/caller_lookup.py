"""Asks the function in tools.py that CALLER_LOOKUP names about a caller: in a thread, or in the tools' process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from callflow.contracts.caller_lookup import Question
from callflow.contracts.errors import LookupFailed
from callflow.tools.registry import HOOK, ToolContext, Tools


_MOST_WHY: Final = 200


class FunctionAsked:
    """Asks the function: see `callflow.switchboard.caller_lookup.Ask`."""

    def __init__(self, tools: Callable[[], Tools], seconds: float) -> None:
        """`tools`: returns those of the present version of the file. `seconds`: after these nobody waits any more."""
        self._tools, self._seconds = tools, seconds

    async def __call__(self, question: Question) -> str:
        """Return the answer as JSON. Raises LookupFailed."""
        context = ToolContext(
            call=question.call, from_number=question.from_number, to_number=question.to_number,
            carrier=question.carrier, idempotency_key=f"{question.call}:lookup",
        )  # fmt: skip
        result = await self._tools().run(HOOK, "{}", context, seconds=self._seconds, hook=True)
        if not result.ok:
            raise LookupFailed(_why(result.output))
        return result.output

    async def close(self) -> None:
        """Do nothing: the tools are closed elsewhere."""


def _why(output: str) -> str:
    told = msgspec.json.decode(output)
    return str(told.get("error", "") if isinstance(told, dict) else "")[:_MOST_WHY] or "it failed"
