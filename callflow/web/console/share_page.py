"""The page of one call for somebody who has a link to it: read only, without scripts and without sound. Pure.

It holds what was said and which tools ran, not what was handed to them; no name of an operator, and no instruction.
Numbers are masked, and words are redacted once more, by the patterns of today.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from callflow.contracts.hangup_causes import ended
from callflow.history.tables import iso
from callflow.history.views import heard_of, numbers_of
from callflow.journal.redaction import Redactor
from callflow.web.console.headers import plain_page_headers
from callflow.web.console.masking import masked, masked_cut


_STYLE: Final = (
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}"
    "body{max-width:46rem;margin:1.5rem auto;padding:0 1rem;overflow-wrap:anywhere}"
    "h1{font-size:1.3rem}dl{display:grid;grid-template-columns:auto 1fr;gap:.1rem 1rem}dt{opacity:.75}dd{margin:0}"
    "ol{list-style:none;padding:0}li{margin:.75rem 0;padding-inline-start:.75rem;border-inline-start:3px solid #8886}"
    "li.agent{border-color:#0a8f80}li p{margin:.1rem 0;white-space:pre-wrap}b,time{font-size:.85rem}"
    "time{opacity:.75;margin-inline-start:.6rem}del{opacity:.65;text-decoration:underline dotted}"
    "footer,.legend{font-size:.85rem;opacity:.8}footer{margin-block:2rem;border-block-start:1px solid #8886}"
)
HEADERS: Final = {
    **plain_page_headers(styles=[_STYLE]),
    "Content-Type": "text/html; charset=utf-8",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}
_WHO: Final = {"user": ("caller", "Caller"), "assistant": ("agent", "Agent")}
_DIRECTIONS: Final = {"outbound": "out", None: "in"}


def page(row: Mapping[str, Any], items: Sequence[Mapping[str, Any]], redact: Redactor, *, expires: float) -> bytes:
    """Return the page. `row`: the conversation; `items`: those of it, in order; `expires`: when the link does (Unix
    time, in seconds)."""
    caller, called = numbers_of(row)
    lasted = row["duration_seconds"]
    facts = {
        "From": _number(caller),
        "To": _number(called),
        "Direction": _DIRECTIONS.get(row["direction"], "in"),
        "Began": _shown(row["started_at"]),
        "Ended": _shown(row["ended_at"]) if row["ended_at"] else "not yet: load this page again for more",
        "Lasted": _minutes(lasted) if isinstance(lasted, int) else "",
        "How it ended": ended(row) if row["ended_at"] else "",
    }
    told = "".join(f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in facts.items() if value)
    turns = "\n".join(_turns(row, items, redact))
    said = f"<ol>\n{turns}\n</ol>" if turns else "<p>Nothing was said, or it is not written down yet.</p>"
    body = (
        f"<h1>One call</h1>\n<dl>{told}</dl>\n"
        "<p class=legend>Grey, underlined words were generated and never heard.</p>\n"
        f"<main>{said}</main>\n"
        "<footer><p>Whoever has this link can read this call, and nothing else. Numbers are masked, and there is no "
        f"sound. The link ends at {_shown(iso(expires))}, or when it is revoked.</p></footer>\n"
    )
    return _whole("A call", body)


def _turns(row: Mapping[str, Any], items: Sequence[Mapping[str, Any]], redact: Redactor) -> Iterator[str]:
    for item in items:
        at = f"<time>{_since(row['started_at'], item['timestamp'])}</time>"
        if item["item_type"] == "message" and item["role"] in _WHO:
            heard, unheard = map(html.escape, masked_cut(*(_plain(each, redact) for each in heard_of(item))))
            name, who = _WHO[item["role"]]
            behind = f'{" " if heard else ""}<del aria-label="never heard">{unheard}</del>' if unheard else ""
            if heard or unheard:
                yield f'<li class={name}><b>{who}</b>{at}<p dir="auto">{heard}{behind}</p></li>'
        elif item["item_type"] == "function_call":
            tool = _words(item["function_name"] or "", redact)
            yield f"<li><b>Tool</b>{at}<p>{tool} ({html.escape(item['status'] or '')})</p></li>"


def _words(text: str, redact: Redactor) -> str:
    return html.escape(masked(_plain(text, redact).encode()).decode())


def _plain(text: str, redact: Redactor) -> str:
    return redact.text(text).encode("utf-8", "replace").decode()


def _number(number: str | None) -> str:
    """Mask a number as it stands in JSON, so that one without a plus counts as well."""
    return masked(f'"{number}"'.encode("utf-8", "replace")).decode()[1:-1] if number else "withheld"


def _moment(value: Any) -> datetime | None:
    """Return a moment in UTC; one without a zone, in a database of an earlier system, as it is. None: it is none."""
    try:
        found = datetime.fromisoformat(str(value))
        return found if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _shown(value: Any) -> str:
    found = _moment(value)
    return f"{found:%Y-%m-%d %H:%M:%S} UTC" if found is not None else ""


def _since(began: Any, at: Any) -> str:
    first, now = _moment(began), _moment(at)
    try:
        seconds = (now - first).total_seconds() if first is not None and now is not None else 0.0
    except TypeError:  # one of them has no zone, in a database of an earlier system
        seconds = 0.0
    return _minutes(int(seconds))


def _minutes(seconds: int) -> str:
    """Return seconds as `minutes:seconds`; less than none, after a clock was set back, are none."""
    return f"{max(seconds, 0) // 60}:{max(seconds, 0) % 60:02}"


def _whole(title: str, body: str) -> bytes:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="robots" content="noindex">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    ).encode("utf-8", "replace")


def sentence(text: str) -> bytes:
    """Return the page that says why there is no call."""
    return _whole("Callflow", f"<main><h1>{html.escape(text)}</h1></main>\n")
