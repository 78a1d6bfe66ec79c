"""Who asks on a call not to be called again: only on calls that we made, and told as done only when it is."""

from __future__ import annotations

import json
from pathlib import Path

from callflow.contracts.tools import Caller, ToolCall
from callflow.history.database import url_of
from callflow.history.history import History
from callflow.switchboard.opt_outs import OptOuts
from callflow.tools.builtin import CallToolset
from callflow.tools.registry import Tools


OURS, THEIRS = "+15550100002", "+15550100007"
DIALLED = Caller("call-1", OURS, THEIRS, was_called=True)


async def answer(opt_outs: OptOuts, caller: Caller) -> dict[str, object]:
    toolset = CallToolset(Tools(), caller, opt_outs.beside({"end_call": print}, caller))
    told = await toolset.run(ToolCall("1", "opt_out", "{}"), 10)
    found: dict[str, object] = json.loads(told.output)
    return found


async def test_the_person_who_was_called_is_put_on_the_list(tmp_path: Path) -> None:
    history = History(url_of("", str(tmp_path)), recordings=tmp_path / "recordings", retention_days=0, country="US")
    opt_outs = OptOuts(history)
    assert "error" in await answer(opt_outs, DIALLED)  # the history is not open
    await history.open()
    try:
        assert (await answer(opt_outs, DIALLED))["ok"] is True
        assert (await answer(opt_outs, DIALLED))["ok"] is True
        entry = await history.do_not_call.find(THEIRS) or {}
        assert (entry["business"], entry["added_by"], entry["reason"]) == ("", "agent", "asked for it on a call")
        assert await history.do_not_call.find(OURS) is None
    finally:
        await history.journal.close()
        await history.close()


async def test_whoever_called_us_has_no_such_tool(tmp_path: Path) -> None:
    history = History(url_of("", str(tmp_path)), recordings=tmp_path / "recordings", retention_days=0, country="US")
    try:
        incoming = Caller("call-1", THEIRS, OURS)
        toolset = CallToolset(Tools(), incoming, OptOuts(history).beside({"end_call": print}, incoming))
        assert "opt_out" not in [one["name"] for one in toolset.definitions]
        assert "there is no tool" in str(await answer(OptOuts(history), incoming))
    finally:
        await history.close()
