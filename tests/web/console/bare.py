"""Single routes of the operators' listener: without a history, a socket, or whoever lets a request in."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from quart import Quart

from callflow.web.console.identity import ASKING, Operator
from callflow.web.responses import install_error_handlers
from tests.web.asgi import Answer, ask


def bare_app() -> Quart:
    """An app that answers errors as the operators' does."""
    app = Quart("bare", static_folder=None)
    app.url_map.merge_slashes = False
    install_error_handlers(app)
    return app


class LiveCalls:
    """A switchboard with these calls."""

    def __init__(self, **calls: Any) -> None:
        self.by_name = calls

    @property
    def calls(self) -> list[Any]:
        return list(self.by_name.values())

    def live(self, name: str) -> Any:
        return self.by_name.get(name)

    def is_live(self, name: str) -> bool:
        return name in self.by_name


class Line:
    """The requests of a live call: notes what it is asked for, and answers `why`."""

    def __init__(self, why: str = "") -> None:
        self.why = why
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def take(*arguments: Any, **more: Any) -> str:
            self.asked.append((name, *arguments, *more.items()))
            return self.why

        return take


def live_call(line: Line) -> Any:
    return SimpleNamespace(requests=SimpleNamespace(line=line, step_in=line))


async def request(
    app: Quart, method: str, path: str, body: Any = None, *, by: Operator | None = None, **headers: str
) -> Answer:
    """Ask. `body`: bytes as they are, None: nothing; anything else as JSON. `by`: who asks."""
    sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    ASKING.set(by or Operator())
    return await ask(app, method, path, body=sent, **{"content_type": "application/json", **headers})
