"""The headers of pages on the operators' listener: one function for what a page may load, run and ask. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Final


_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Accept, Cookie",
}


def csp_hash(text: str) -> str:
    """Return what lets this script, import map or style stand in a page itself: `'sha256-…'`. `text`: all that stands
    between its tags, to the letter."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page_headers(
    *, scripts: Sequence[str] = (), styles: Sequence[str] = (), style_nonce: str = "", connects: str = ""
) -> dict[str, str]:
    """Return the headers of a page that loads its scripts and styles from this listener.

    `scripts`: import maps that stand in the page. `styles`: the same of styles. `style_nonce`: of a style that a
    library adds, another one for each answer. `connects`: an origin, such as `wss://api.openai.com`, that scripts may
    reach beside this listener; "": none.
    """
    style = [*map(csp_hash, styles), *([f"'nonce-{style_nonce}'"] if style_nonce else [])]
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", *map(csp_hash, scripts)]),
        "style-src": " ".join(["'self'", *style]),
        "connect-src": " ".join(filter(None, ["'self'", connects])),
        "img-src": "'self' data:",
        "media-src": "'self' blob:",
        "worker-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {**_of(policy), "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)"}


def plain_page_headers(*, styles: Sequence[str] = (), scripts: Sequence[str] = ()) -> dict[str, str]:
    """Return the headers of a page that loads nothing, runs nothing but `scripts`, and has a form at most."""
    policy = {
        "default-src": "'none'",
        **({"script-src": " ".join(map(csp_hash, scripts))} if scripts else {}),
        "style-src": " ".join(map(csp_hash, styles)) or "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    # With no-referrer, browsers send "Origin: null" with the form.
    return {**_of(policy), "Referrer-Policy": "same-origin"}


def _of(policy: dict[str, str]) -> dict[str, str]:
    told = "; ".join(f"{name} {value}" for name, value in policy.items())
    return {"Content-Security-Policy": told, "Referrer-Policy": "no-referrer", **_ALWAYS}
