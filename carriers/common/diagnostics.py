"""Checks that are the same for all carriers."""

from __future__ import annotations

from callflow.contracts.diagnostics import Finding, Outside
from callflow.contracts.errors import CarrierError


def refused(error: CarrierError, carrier: str, name: str, remedy: str) -> Finding:
    """Return the finding for an API that refused a key, or that could not be asked.

    `carrier`: its name as people write it. `name`: the setting that holds the key. `remedy`: what to do about the key.
    """
    if error.status in (401, 403):
        return Finding(f"{carrier} key", "wrong", f"{name} is refused (HTTP {error.status})", remedy)
    base = f"{carrier.upper()}_API_BASE"
    remedy = f"look whether this machine reaches the internet, and whether {base} is right"
    return Finding(f"{carrier} key", "wrong", f"the API cannot be asked: {error}", remedy)


async def unsigned(outside: Outside, carrier: str, path: str, body: bytes, content_type: str, remedy: str) -> Finding:
    """Send a webhook without a signature, and return whether the running server refuses it (HTTP 403)."""
    about = f"{carrier} signatures"
    status = await outside.post(path, body, {"Content-Type": content_type})
    if status == 403:
        return Finding(about, "ok", "a webhook without a signature is refused")
    if 200 <= status < 300 or status == 400:
        return Finding(about, "wrong", "a webhook without a signature is taken: anyone can fake a call", remedy)
    return elsewhere(outside, about, path, status)


def elsewhere(outside: Outside, about: str, path: str, status: int) -> Finding:
    """Return the finding for an address where another server answers, or none (`status` 0)."""
    what = f"answers HTTP {status}" if status else "does not answer"
    return Finding(about, "wrong", f"{outside.address}{path} {what}", "let the proxy pass all paths on to this server")
