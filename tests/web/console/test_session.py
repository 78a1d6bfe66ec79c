"""The session of coming calls over HTTP: what holds, a change that stays, and back to the files."""

from __future__ import annotations

import json
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


def test_every_version_is_kept_and_one_can_be_gone_back_to(database_url: str, tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        for body in (b'{"voice": "cedar", "turn_detection": "semantic_vad"}', b'{"voice": null, "speed": 1.2}'):
            assert (await the.send("PATCH", "/api/session", body)).status == 200
        await the.send("DELETE", "/api/session")
        made = await the.send("PUT", "/api/profiles/sales", b'{"voice": "ash", "numbers": ["+15550100002"]}')
        assert made.status == 200, made.body
        versions = (await the.get("/api/session/versions")).json()["versions"]
        assert [(each["version"], each["by"], each["changes"]) for each in versions] == [
            (3, "console", ["speed", "turn_detection"]), (2, "console", ["speed", "voice"]),
            (1, "console", ["turn_detection", "voice"]),
        ]  # fmt: skip
        first = (await the.get("/api/session/versions/1")).json()
        assert first["settings"] == {"voice": "cedar", "turn_detection": "semantic_vad"}
        path = "/api/session/versions/1/restore"
        assert (await the.send("POST", path, b'{"version": 2}')).status == 409
        restored = await the.send("POST", path, b'{"version": 3}')
        assert (restored.status, restored.json()["kept"]) == (200, first["settings"])
        for version, status in ((3, 409), (4, 200), (4, 409), (5, 200)):
            body = json.dumps({"speed": 1 + version / 10, "version": version}).encode()
            told = await the.send("PATCH", "/api/session", body)
            assert told.status == status, (version, told.body)
        assert (await the.send("PATCH", "/api/session", b'{"speed": 1.1, "version": "5"}')).status == 400
        assert (await the.get("/api/session")).json()["kept"]["speed"] == 1.5
        seen = b'{"version": %d}'
        assert (await the.send("DELETE", "/api/session", seen % 5)).status == 409, "somebody has changed it since"
        assert (await the.send("DELETE", "/api/session", b'{"versions": 5}')).status == 400
        assert (await the.get("/api/session")).json()["kept"]["speed"] == 1.5
        assert (await the.get("/api/session/versions/9")).status == 404
        for method, other in (("GET", "versions"), ("GET", "versions/1"), ("POST", "versions/1/restore")):
            assert (await the.send(method, f"/api/profiles/default/{other}")).status == 404, "it is no profile"
        assert (await the.send("DELETE", "/api/session", seen % 6)).json()["kept"] == {}
        assert [each["name"] for each in (await the.get("/api/profiles")).json()["profiles"]] == ["sales"]

    play(tmp_path, main, url=database_url, token="a-token-of-some-characters")


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
