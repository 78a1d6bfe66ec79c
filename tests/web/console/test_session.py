"""The session of coming calls over HTTP: what holds, a change that stays, and back to the files."""

from __future__ import annotations

from pathlib import Path

from tests.web.console.stage import Stage, play


def test_a_change_holds_until_it_is_taken_back(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        before = (await the.get("/api/session")).json()
        assert before["kept"] == {}
        changed = await the.send("PATCH", "/api/session", b'{"voice": "cedar"}')
        assert (changed.status, changed.json()["kept"]) == (200, {"voice": "cedar"})
        assert (await the.get("/api/session")).json()["settings"]["voice"]["value"] == "cedar"
        assert (await the.send("PATCH", "/api/session", b'{"voice": null}')).json()["kept"] == {}
        await the.send("PATCH", "/api/session", b'{"voice": "cedar"}')
        assert (await the.send("DELETE", "/api/session")).json()["settings"]["voice"] == before["settings"]["voice"]

    play(tmp_path, main)


def test_a_change_that_cannot_be_is_refused_whole(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        answer = await the.send("PATCH", "/api/session", b'{"voice": "cedar", "speed": "fast"}')
        assert (answer.status, "error" in answer.json()) == (400, True)
        assert (await the.get("/api/session")).json()["kept"] == {}
        assert (await the.send("PATCH", "/api/session", b"")).status == 400

    play(tmp_path, main)


def test_without_the_database_nothing_is_changed(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert (await the.send("PATCH", "/api/session", b'{"voice": "cedar"}')).status == 503
        assert (await the.send("DELETE", "/api/session")).status == 503
        assert (await the.get("/api/session")).status == 200

    play(tmp_path, main, opened=False)
