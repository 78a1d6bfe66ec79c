"""Where the page's phone comes in: under its key alone, and everything else goes on as it came."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.web.console.phone_mount import PhoneMiddleware, PhoneMount
from tests.web.asgi import scope


KEY = "0123456789abcdef"


def served(asked: dict[str, Any], line: Any = SimpleNamespace) -> tuple[str, dict[str, Any]]:
    """Who serves it, and what that one sees. `line`: a class for one with a mount; else what the middleware gets."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def app(name: str) -> Any:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            seen.append((name, scope))

        return serve

    one = SimpleNamespace(mount=PhoneMount(KEY, app("phone"))) if line is SimpleNamespace else line
    asyncio.run(PhoneMiddleware(app("console"), lambda: one)(asked, None, None))
    ((who, given_),) = seen
    return who, given_


def test_what_comes_under_the_key_is_served_without_it() -> None:
    asked = scope("POST", f"/phone/{KEY}/webhooks/x?a=1")
    who, inside = served(asked)
    assert (who, inside["path"], inside["raw_path"], inside["query_string"]) == (
        "phone", "/webhooks/x", b"/webhooks/x", b"a=1",
    )  # fmt: skip
    assert asked["path"].startswith("/phone/"), "whoever gave the scope keeps it"
    assert served(scope("GET", f"/phone/{KEY}/media", kind="websocket"))[0] == "phone"


@pytest.mark.parametrize(
    "path",
    [
        "/", "/phone", "/phone/", f"/phone/{KEY}", f"/phone/{KEY[:-1]}/x", f"/phone/{KEY}x/x",
        f"/phone/{KEY.upper()}/x",
        f"//phone/{KEY}/x", f"/x/phone/{KEY}/x", f"/phone//{KEY}/x", "/phone//x", f"/phone/{KEY}\x00/x", "/phone/é/x",
    ],
)  # fmt: skip
def test_without_the_key_there_is_nothing(path: str) -> None:
    asked = scope("POST", path)
    assert served(asked) == ("console", asked)


def test_a_key_that_is_written_in_another_way_is_none() -> None:
    asked = scope("POST", f"/phone/{KEY}/x")
    asked["raw_path"] = f"/phone/%30{KEY[1:]}/x".encode()
    assert served(asked)[0] == "console"


@pytest.mark.parametrize("line", [None, SimpleNamespace(mount=None)])
def test_a_page_without_a_phone_serves_as_if_there_were_no_key(line: Any) -> None:
    assert served(scope("POST", f"/phone/{KEY}/x"), line)[0] == "console"


def test_a_lifespan_has_no_path_and_is_the_consoles() -> None:
    assert served({"type": "lifespan"})[0] == "console"


@settings(max_examples=30)
@given(st.text(st.sampled_from("/phone0123456789abcdef%."), max_size=30))
def test_whatever_is_asked_somebody_serves_it_once(path: str) -> None:
    who, inside = served(scope("GET", f"/phone/{path}"))
    assert (who == "phone") == path.startswith(f"{KEY}/")
    assert inside["path"].startswith("/")
