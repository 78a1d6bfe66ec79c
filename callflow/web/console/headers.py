"""The headers of the pages on the operators' listener: what a page may load and who may frame it."""

from __future__ import annotations

from collections.abc import Iterable


def page_headers(script_hashes: Iterable[str] = ()) -> dict[str, str]:
    """Return the headers of a page. `script_hashes`: SHA-256, in Base64, of what stands in the page as a script, such
    as its import map; everything else comes from files of this listener."""
    scripts = " ".join(["script-src 'self'", *(f"'sha256-{each}'" for each in script_hashes)])
    policy = (
        f"default-src 'none'; {scripts}; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
