"""The operators' app as a whole: its index, its health, and the answers that every path gives."""

from __future__ import annotations

from pathlib import Path

from tests.web.console.stage import Stage, play


TOKEN = "a-token-of-24-characters"


def test_the_index_lists_the_paths_as_html_or_json(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        page = await the.get("/api")
        assert page.headers["content-type"].startswith("text/html")
        assert b"/api/conversations" in page.body
        assert "default-src 'none'" in page.headers["content-security-policy"]
        told = (await the.get("/", accept="application/json")).json()
        assert told["name"] == "Callflow"
        assert "GET /api/calls" in [one["route"] for one in told["routes"]]

    play(tmp_path, main)


def test_its_health_tells_whether_calls_are_taken_and_written_down(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.live()
        told = (await the.get("/health")).json()
        assert (told["ok"], told["accepting"], told["calls"], told["counts"]) == (True, True, 1, {"calls": 3})
        assert (told["engine"], told["journal"]["ok"]) == ({"ok": True}, True)
        assert told["loop"] == {"late_ms": 0.0, "refuses_calls": False}

    play(tmp_path, main)


def test_the_tools_of_the_agent_are_listed(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert (await the.get("/tools")).json() == [{"name": "end_call"}]

    play(tmp_path, main)


def test_a_head_has_the_headers_of_a_get_and_no_body(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        answer = await the.send("HEAD", "/tools")
        assert (answer.status, answer.body) == (200, b"")

    play(tmp_path, main)


def test_with_a_token_every_path_needs_it(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.headers = {}
        for path in ("/", "/health", "/tools", "/api/calls", "/api/session", "/mcp", "/nothing"):
            assert (await the.get(path)).status == 401, path

    play(tmp_path, main, token=TOKEN)
