"""Tools that operators define over the API: made, changed, deleted, and offered to the next call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from callflow.tools.registry import Tool, Tools, checked
from tests.web.console.stage import Stage, play


ASK = {"name": "ask_the_kitchen", "description": "Ask.", "parameters": {"type": "object", "properties": {}}}


async def send(the: Stage, method: str, path: str, body: Any) -> tuple[int, Any]:
    answer = await the.send(method, path, json.dumps(body).encode())
    return answer.status, answer.json()


def offered(the: Stage) -> list[str]:
    return list(the.tool_service.current().local)


def test_a_tool_is_made_changed_and_deleted_and_every_version_is_kept(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        before = the.tool_service.current()
        status, told = await send(the, "POST", "/api/tools/own", ASK)
        assert (status, told["version"], told["by"], told["definition"]["seconds"]) == (201, 1, "operator", 60)
        assert offered(the) == ["ask_the_kitchen"]
        assert list(before.local) == [], "a call that has begun keeps its tools"
        assert the.tool_service.current() is the.tool_service.current(), "its definitions are made once"
        assert (await send(the, "POST", "/api/tools/own", ASK))[0] == 409
        path = "/api/tools/own/ask_the_kitchen"
        assert (await send(the, "PUT", path, {**ASK, "seconds": 20, "version": 0}))[0] == 409
        assert (await send(the, "PUT", path, {**ASK, "name": "other"}))[0] == 400
        status, told = await send(the, "PUT", path, {**ASK, "seconds": 20, "version": 1})
        assert (status, told["version"], told["definition"]["seconds"]) == (200, 2, 20)
        assert the.tool_service.current().local["ask_the_kitchen"].seconds == 20
        assert (await send(the, "DELETE", path, {"version": 2}))[0] == 200
        assert offered(the) == []
        versions = (await the.get(f"{path}/versions")).json()["versions"]
        assert [(each["version"], (each["definition"] or {}).get("seconds")) for each in versions] == [
            (3, None), (2, 20), (1, 60),
        ]  # fmt: skip
        assert (await send(the, "DELETE", path, {}))[0] == 404

    play(tmp_path, main)


def test_a_tool_of_the_file_goes_before_one_of_the_same_name_and_that_is_said(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await send(the, "POST", "/api/tools/own", ASK)
        mine = checked(Tool("ask_the_kitchen", "", {"type": "object"}, lambda: "from the file"))
        the.of_file = Tools({"ask_the_kitchen": mine})
        assert the.tool_service.current().local["ask_the_kitchen"] is mine
        (told,) = (await the.get("/api/tools/own")).json()["tools"]
        assert told["warnings"] == [
            "It is not used: the tools file has one of the same name, which goes before this one."
        ]
        text = json.dumps(ASK)
        _, checked_now = await send(the, "POST", "/api/tools/check", {"text": text})
        assert checked_now["ok"]
        assert "goes before this one" in checked_now["warnings"][0]

    play(tmp_path, main)


def test_what_is_wrong_is_kept_out(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        status, told = await send(the, "POST", "/api/tools/own", {"name": "end_call"})
        assert (status, told["error"]) == (400, '"end_call" is a tool that every agent has: choose another name.')
        _, told = await send(the, "POST", "/api/tools/check", {"text": '{"name": '})
        assert not told["ok"]
        assert (told["problems"][0]["line"], told["definition"]) == (1, None)
        assert (await send(the, "POST", "/api/tools/check", {"txt": ""}))[0] == 400
        assert (await the.get("/api/tools/own")).json()["tools"] == []

    play(tmp_path, main)
