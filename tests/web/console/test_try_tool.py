"""A tool of the agent that an operator tries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.web.console.stage import Stage, play


ALL, DESK = "a-token-of-some-characters", "another-token-of-characters"


async def tried(the: Stage, name: str, body: Any) -> tuple[int, Any]:
    answer = await the.send("POST", f"/tools/{name}/try", json.dumps(body).encode())
    return answer.status, answer.json()


def test_a_tool_is_run_with_what_was_given(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        status, told = await tried(the, "echo", {"arguments": {"city": "Oslo"}})
        assert (status, told["ok"], told["output"]) == (200, True, {"city": "Oslo"})
        assert told["ms"] >= 0
        status, told = await tried(the, "end_call", {})
        assert status == 404
        assert "end_call" in told["error"]
        assert (await tried(the, "echo", {"arguments": "Oslo"}))[0] == 400
        assert (await tried(the, "echo", {"argument": {}}))[0] == 400
        the.headers = {"authorization": f"Bearer {DESK}"}
        assert (await tried(the, "echo", {}))[0] == 403

    play(tmp_path, main, token=ALL, named_tokens=f"desk:operate:{DESK}")


def test_without_a_token_no_program_of_this_machine_runs_one(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert (await tried(the, "echo", {}))[0] == 401

    play(tmp_path, main)
