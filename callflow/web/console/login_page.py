"""The page on which a browser logs in, which loads and runs nothing, and the way there and back. Pure."""

from __future__ import annotations

import html
import re
from typing import Any, Final
from urllib.parse import quote, urlencode

from callflow.contracts.errors import AccessRefused
from callflow.web.console.headers import plain_page_headers
from callflow.web.console.policy import is_from_elsewhere, values


PATH: Final = "/login"
HOME: Final = "/"
_LONGEST: Final = 2000
_BEHIND: Final = re.compile("[?#]")
"""Where the path of an address ends."""
_STYLE: Final = (
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}"
    "body{max-width:24rem;margin:15vh auto;padding:0 1rem}"
    "label,input,button{display:block;box-sizing:border-box;width:100%;font:inherit}"
    "input{margin:.25rem 0 1rem;padding:.5rem;font-family:ui-monospace,monospace}"
    "button{padding:.5rem;cursor:pointer}"
    "[role=alert]{border-inline-start:.25rem solid #c22;padding-inline-start:.75rem}"
)
_GO_ON: Final = "location.replace(document.getElementById('there').href + location.hash)"
_HTML: Final = {"Content-Type": "text/html; charset=utf-8"}
HEADERS: Final = {**plain_page_headers(styles=[_STYLE]), **_HTML}
HEADERS_ONCE_MORE: Final = {**plain_page_headers(styles=[_STYLE], scripts=[_GO_ON]), **_HTML}
AGAIN: Final = "again"
"""The parameter that asks for `once_more`."""

Page = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""


def page(problem: str = "") -> bytes:
    """Return the page. `problem`: a sentence about the last attempt.

    The form has no address of its own, so that it goes where the page is: with the wish in its query, and with what
    stands behind `#`, which only the browser knows.
    """
    said = f'<p role="alert">{html.escape(problem)}</p>\n' if problem else ""
    return _html(
        "Callflow: log in",
        f'<h1>Callflow</h1>\n{said}<form method="post">\n'
        '<label for="token">Token</label>\n'
        '<input id="token" name="token" type="password" autocomplete="current-password" required autofocus'
        ' aria-describedby="which">\n'
        "<button>Log in</button>\n</form>\n"
        '<p id="which"><small>The token is in the file .env of the server: CONSOLE_TOKEN, or one of CONSOLE_TOKENS.'
        "</small></p>\n",
    )


def wanted(asked: str) -> str:
    """Return where to go after a login: a path of this listener, and nothing else."""
    fits = asked.startswith("/") and not asked.startswith("//") and len(asked) <= _LONGEST
    is_plain = asked.isascii() and asked.isprintable() and not set('\\ "<>') & set(asked)
    # Back to the page itself would be no way out.
    return asked if fits and is_plain and _BEHIND.split(asked, maxsplit=1)[0] not in (PATH, "/logout") else HOME


def instead_of(refused: AccessRefused, scope: Any) -> Page | None:
    """Return what a browser gets in place of "a token is needed" when somebody opens a page; None: the refusal."""
    headers = scope["headers"]
    asks_for_page = any(b"text/html" in value for value in values(headers, b"accept"))
    if refused.status != 401 or scope["method"] not in ("GET", "HEAD") or not asks_for_page:
        return None
    path = quote(scope["path"], safe="/:@!$&'()*+,;=~")
    there = wanted(path + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else ""))
    asked = {"next": there} if there != HOME else {}
    if is_from_elsewhere(headers):
        # Whoever follows a link of another site comes without the cookie (SameSite=Strict): see `once_more`.
        asked[AGAIN] = "1"
    query = f"?{urlencode(asked)}" if asked else ""
    return 303, {"Location": PATH + query, "Cache-Control": "no-store", "Vary": "Accept, Cookie"}, b""


def once_more(there: str) -> bytes:
    """Return a page that asks for an address again, so that the cookie comes with it: it does when a page of ours asks.

    `there`: from `wanted`. What stands behind `#` has come along, and is known to the browser alone.
    """
    shown = html.escape(there)
    again = f'<noscript><meta http-equiv="refresh" content="0; url={shown}"></noscript>\n'
    return _html("Callflow", f'<p><a id="there" href="{shown}">Go on</a></p>\n<script>{_GO_ON}</script>\n', again)


def _html(title: str, body: str, head: str = "") -> bytes:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n{head}<title>{title}</title>\n<style>{_STYLE}</style>\n'
        f"</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    ).encode()
