"""The `error` events with which OpenAI Realtime refuses a client event."""

from __future__ import annotations

import re
from typing import Any, Final

from callflow.sandbox.common.http_server import Response, json_response


BETA_CODE: Final = "beta_api_shape_disabled"
BETA_MESSAGE: Final = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API."
_MODEL: Final = re.compile(r"gpt-realtime(-\d(\.\d)?)?(-mini)?(-20\d\d-\d\d-\d\d)?")


def is_model(name: str) -> bool:
    """Return whether a session may have a model of that name: none of another kind, and none of the preview, which is
    over."""
    return _MODEL.fullmatch(name) is not None


class Refusal(Exception):
    """A client event is refused; the session answers it with an `error` event.

    Args:
        message: in OpenAI's words.
        code: such as "invalid_value"; None: the error has none.
        param: the path of the field that is at fault, such as "session.audio.input.format".
        kind: the error's `type`.
        anonymous: whether the error's `event_id` is null, as some of OpenAI's are.
        met: whether the client could not know yet of what makes it wrong: then it is no violation.
    """

    def __init__(
        self,
        message: str,
        code: str | None = None,
        param: str | None = None,
        *,
        kind: str = "invalid_request_error",
        anonymous: bool = False,
        met: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind
        self.anonymous = anonymous
        self.met = met

    def error(self, event_id: str | None) -> dict[str, Any]:
        """Return the `error` object: {"type", "code", "message", "param", "event_id"}.

        https://platform.openai.com/docs/api-reference/realtime-server-events/error
        """
        return {
            "type": self.kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "event_id": None if self.anonymous else event_id,
        }


def refused(status: int, message: str, code: str | None = None, param: str | None = None) -> Response:
    """Make the answer of the REST API to a request that it refuses."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return json_response(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})
