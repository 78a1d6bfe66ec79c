"""`POST /v1/realtime/client_secrets`: keys that live for some minutes, with a session in each.

https://platform.openai.com/docs/api-reference/realtime-sessions/create-realtime-client-secret
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, Final

from callflow.sandbox.common.http_server import Request, Response, json_response
from callflow.sandbox.openai_realtime import config as settings
from callflow.sandbox.openai_realtime import validation as check
from callflow.sandbox.openai_realtime.errors import BETA_CODE, BETA_MESSAGE, Refusal, is_model, refused
from callflow.sandbox.openai_realtime.faults import Quirks


PATH: Final = "/v1/realtime/client_secrets"
_BODY: Final = check.object_of(
    {
        "expires_after": check.object_of(
            {"anchor": check.one_of("created_at"), "seconds": check.number(10, 7200, integer=True)}
        ),
        "session": check.plain_object,
    }
)


class ClientSecrets:
    """The secrets that were made."""

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._made: dict[str, tuple[float, dict[str, Any]]] = {}
        """By value: until when sessions may begin with it (Unix time), and the session."""
        self.requests: list[dict[str, Any]] = []
        """The bodies of all requests that were taken, in order."""

    def session_of(self, value: str | None) -> dict[str, Any] | None:
        """Return the session of a secret that has not expired; None: there is none."""
        until, session = self._made.get(value or "", (0.0, {}))
        return session if time.time() < until else None

    def make(self, request: Request, *, is_keyed: bool) -> Response:
        """Answer a request. `is_keyed`: it has our key."""
        if not is_keyed:
            return _refused(Refusal("Incorrect API key provided.", "invalid_api_key"), 401)
        if "openai-beta" in request.headers:
            return _refused(Refusal(BETA_MESSAGE, BETA_CODE))
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            return _refused(Refusal("We could not parse the JSON body of your request."))
        try:
            return json_response(200, self._make(body))
        except Refusal as why:
            return _refused(why)

    def _make(self, body: Any) -> dict[str, Any]:
        _BODY(body, "body")
        asked = body.get("session", {"type": "realtime"})
        kind = asked.get("type")
        if kind not in ("realtime", "transcription"):
            check.one_of("realtime", "transcription")(kind, "session.type")
        model = asked.get("model", "gpt-realtime-2.1")
        if not isinstance(model, str) or not is_model(model):
            raise Refusal(f"Model '{model}' is not supported in realtime mode.", "invalid_model", "session.model")
        expires = int(time.time()) + body.get("expires_after", {}).get("seconds", 600)
        usual = settings.defaults(
            f"sess_{secrets.token_hex(12)}", model, expires, self._quirks, transcription=kind == "transcription"
        )
        session = settings.updated(usual, asked, self._quirks, voice_locked=False)
        value = f"ek_{secrets.token_hex(16)}"
        self._made[value] = (expires, asked)
        self.requests.append(body)
        return {"value": value, "expires_at": expires, "session": session}


def _refused(why: Refusal, status: int = 400) -> Response:
    return refused(status, why.message, why.code, why.param)
