"""The root of the operators' listener: the page for browsers, and for others, as JSON, which paths there are. The same
list as a plain page, which loads nothing and runs nothing, is at `/api`."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from quart import Quart, Response
from werkzeug.datastructures import MIMEAccept

from callflow.web.console import static_files
from callflow.web.responses import accepted, json_response


_LINKS: Final = (
    ("/api/calls", "the 50 newest calls, live or over, newest first: who, whom, when, how it ended"),
    ("/api/calls/live", "what each live call is doing, and the ids of the newest of the history"),
    ("/api/live/hour", "the last hour: calls, waits for answers, lag of the event loop"),
    ("/api/conversations", "the history of the calls, newest first: what was said in each"),
    ("/api/conversations/export?format=csv", "the same as a table, a row each"),
    ("/api/do-not-call", "the numbers that are never dialled, newest first"),
    ("/api/session", "the session of coming calls: what holds, and where each value comes from"),
    ("/api/limits", "what limits calls, and what a minute of each profile costs"),
    ("/api/settings", "what each setting of calls means, and where it holds"),
    ("/api/budget", "what the calls of today took, and what they may take"),
    ("/api/profiles", "the settings of some numbers of yours: in settings.toml, and in the database"),
    ("/api/numbers", "the numbers of your accounts, and where their calls go"),
    ("/api/realtime-token", "what client secrets are made with: address, model, how long one may live"),
    ("/api/realtime/control/about", "how the control endpoint is set up, without its secrets"),
    ("/api/events/dead", "events that EVENTS_URL did not take, newest first"),
    ("/api/whoami", "who asks, and what that role may do"),
    ("/tools", "what the agent can do, as the model is told"),
    ("/health", "whether the server takes calls, and its counts"),
    ("/api/checks", "what is set up and how the server is, in words, and what to do about what is missing"),
    ("/api/alerts", "what the server has found wrong with itself: open, seen, closed"),
    ("/api/doctor", "what the doctor has found when it was asked last"),
    ("/api/nodes", "the processes that serve together, and how many calls each has"),
    ("/metrics", "counts and times of all calls, for Prometheus"),
)
_OTHERS: Final = (
    ("GET /api/live", "the live calls as a stream of events: who speaks, latency, cost, warnings"),
    ("GET /api/calls?sid=ID", "one of them, by the carrier's id of it or ours"),
    ("POST /tools/NAME/try", "runs one of the agent's tools for no call"),
    ("POST /api/calls/check", "what a request for a call would do and cost; nothing is dialled"),
    ("GET /api/calls/ID", "one call, step by step"),
    ("GET /api/live/ID/events", "one call as a stream of events, from its beginning to its end"),
    ("GET /api/calls/ID/recording", "what was heard of it, where it was recorded"),
    ("GET /api/calls/ID/recording/peaks", "how loud that is, 20 times a second: to draw it"),
    ("POST /api/calls/ID/session", 'changes a live call: {"instructions": "Speak more slowly."}'),
    ("PATCH /api/session", 'changes that of all coming calls, and keeps it: {"voice": "cedar"}'),
    ("DELETE /api/session", "goes back to the settings of the files"),
    ("PUT /api/profiles/NAME", 'makes or changes a profile: {"numbers": ["+15550100002"], "voice": "cedar"}'),
    ("POST /api/profiles/NAME/versions/N/restore", "goes back to an earlier version of it"),
    ("POST /api/calls/ID/whisper", 'tells its model alone: {"text": "Offer ten percent."}'),
    ("POST /api/calls/ID/images", "shows its model a picture: the body itself, or a form; GET lists them"),
    ("POST /api/realtime-token", "makes a client secret, with which a browser opens a session of its own"),
    ("POST /api/realtime/control/settings", 'what the control endpoint answers: {"settings": {"voice": "cedar"}}'),
    ("POST /api/calls/ID/tools/TOOL CALL", 'answers a tool that waits for a person: {"output": {"approved": true}}'),
    ("POST /api/calls/ID/hangup", 'ends a live call: {"when": "goodbye"} or {"when": "now"}'),
    ("POST /api/numbers/NUMBER/point", "brings the calls of a number here"),
    ("POST /api/numbers/NUMBER/undo", "puts back where they went before"),
    ("DELETE /api/numbers/NUMBER", 'gives it back to the carrier: {"confirm": "+15550100002"}'),
    ("DELETE /api/calls/ID", "deletes a call from the history, so that it can be undone for 30 seconds"),
    ("POST /api/calls/ID/restore", "undoes that"),
    ("DELETE /api/conversations/stream/ID", "deletes a call from the history at once"),
    (
        "POST /api/do-not-call",
        'a number is never dialled: {"number": "+15550100001", "reason": "asked us not to call"}',
    ),
    ("DELETE /api/do-not-call/NUMBER", "takes it off that list"),
    ("POST /api/events/dead/ID/again", "sends such an event again"),
    ("POST /api/alerts/ID/seen", "somebody has seen an alert; …/closed closes it by hand"),
    ("POST /api/doctor", "lets the doctor look at everything that a first call needs"),
    ("POST /api/nodes/NODE/drain", "lets a node hand its calls over to the others; /resume lets it take calls again"),
    ("POST /api/calls/ID/share", 'makes a link with which anybody reads that call: {"days": 3}'),
    ("DELETE /api/shares/ID", "revokes such a link"),
    ("POST /mcp", "the history for a model's tools, over MCP"),
)
_STYLE: Final = (
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}"
    "body{max-width:46rem;margin:2rem auto;padding:0 1rem}"
    "dt{margin-top:.75rem}dd{margin:0;opacity:.8}code,a{font-family:ui-monospace,monospace}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def add_index(app: Quart, *, connects: str = "") -> None:
    """Add the page to the app. The version is read from files, so it is looked up now and not with each request.

    `connects`: an origin of another server that the page may open a WebSocket to; "": none."""
    number = _version()

    def links() -> list[tuple[str, str]]:
        routes = {rule.rule for rule in app.url_map.iter_rules()}
        return [(path, what) for path, what in _LINKS if path.partition("?")[0] in routes]

    @app.get("/")
    async def index() -> Response:
        """Answer the page, or to programs which paths this listener has."""
        if _is_browser():
            answer = static_files.page(connects)
        else:
            answer = json_response({"name": "Callflow", "version": number, "routes": _routes(links())})
            answer.headers.update(_HEADERS)
        answer.headers["Vary"] = "Accept, Accept-Encoding, Cookie"
        return answer

    @app.get("/api")
    async def paths() -> Response:
        """Answer which paths this listener has, as a plain page."""
        answer = Response(_page(number, links()), content_type="text/html; charset=utf-8")
        answer.headers.update(_HEADERS)
        return answer


def _is_browser() -> bool:
    """Whether HTML is asked for by its name, and is as welcome as JSON: browsers do that, programs do not."""
    types = accepted("Accept", MIMEAccept)
    is_named = any(name.lower() == "text/html" and quality > 0 for name, quality in types)
    return is_named and types["text/html"] >= types["application/json"]


def _routes(links: list[tuple[str, str]]) -> list[dict[str, Any]]:
    named = [*((f"GET {path}", what) for path, what in links), *_OTHERS]
    return [{"route": route, "what": what} for route, what in named]


def _page(number: str, links: list[tuple[str, str]]) -> str:
    shown = [f'<dt><a href="{html.escape(path)}">{html.escape(path)}</a></dt>' + _what(what) for path, what in links]
    others = [f"<dt><code>{html.escape(route)}</code></dt>" + _what(what) for route, what in _OTHERS]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Callflow: operators</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Callflow</h1>\n<p>Version {html.escape(number)}. This port is for operators; carriers have another one."
        " What each answer means is told in README.md, under “Look inside”.</p>\n"
        f"<h2>To look at</h2>\n<dl>\n{chr(10).join(shown)}\n</dl>\n"
        f"<h2>For programs</h2>\n<dl>\n{chr(10).join(others)}\n</dl>\n</body>\n</html>\n"
    )


def _what(what: str) -> str:
    return f"<dd>{html.escape(what)}</dd>"


@functools.cache
def _version() -> str:
    try:
        return version("callflow")
    except PackageNotFoundError:
        return "unknown"
