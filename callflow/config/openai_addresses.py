"""Where OpenAI's REST API and its WebSocket are, when only one of them is given: beside each other. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from callflow.config.settings import Settings


_SOCKET = "/realtime"
"""The path of the WebSocket below the REST API."""


def rest_root(settings: Settings) -> str:
    """Return the address of the REST API, such as `https://api.openai.com/v1`: the given one, or that beside the
    WebSocket."""
    if settings.openai_api_base:
        return settings.openai_api_base
    parts = urlsplit(settings.openai_realtime_url)
    path = parts.path.rstrip("/").removesuffix(_SOCKET)
    return urlunsplit((parts.scheme.replace("ws", "http", 1), parts.netloc, path, "", ""))


def socket_beside(base: str) -> str | None:
    """Return the address of the WebSocket beside a REST API, `wss://HOST/v1/realtime`; None: `base` is no address."""
    scheme, colon, rest = base.strip().partition("://")
    if scheme.lower() not in ("http", "https") or not colon:
        return None
    return f"{'wss' if scheme.lower() == 'https' else 'ws'}://{rest.rstrip('/')}{_SOCKET}"
