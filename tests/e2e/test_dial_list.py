"""`python server.py dial --list` beside a running server: what it shows, and Ctrl-C."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest

from callflow.sandbox.common.callee import Callee
from tests.e2e.campaigns import NUMBERS, SHORT, called, progress
from tests.e2e.outbound import dialling
from tests.e2e.test_dial_command import command, said


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
ALWAYS = ("--hours", "0-24", "--weekdays", "mon-sun", "--per-second", "20", "--attempts", "1")


def written(folder: Path, *numbers: str, more: str = "") -> str:
    """The name of a list."""
    path = folder / "list.csv"
    path.write_text("number;timezone;name\n" + "".join(f"{one};UTC;Ann\n" for one in numbers) + more)
    return str(path)


async def test_a_list_is_called_and_shown_until_it_is_finished(tmp_path: Path) -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = SHORT
        the.carrier.exchange.callees[NUMBERS[1]] = Callee("busy")
        name = written(tmp_path, *NUMBERS[:3], more="nobody;UTC;Bob\n")
        code, out, err = await said(the, "--list", name, *ALWAYS)
        assert (code, err) == (0, "")
        assert "3 of 4 rows are called, 1 are skipped." in out
        assert "line 5: The number must be in E.164" in out
        assert re.search(r"3 of 3 are over, 2 answered, 1 busy\nThe list is finished\.\n$", out), out
        assert sorted(called(the)) == NUMBERS[:3]
        await the.quiet()


async def test_a_dry_run_calls_nobody(tmp_path: Path) -> None:
    async with dialling() as the:
        code, out, err = await said(the, "--list", written(tmp_path, *NUMBERS[:3], NUMBERS[0]), *ALWAYS, "--dry-run")
        assert (code, err) == (0, "")
        assert "3 of 4 rows are called, 1 are skipped." in out
        assert called(the) == []
        assert await the.app.history.campaigns.page(limit=9) == []


async def test_ctrl_c_pauses_the_list_and_says_how_to_resume_it(tmp_path: Path) -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = SHORT
        async with command(the, "--list", written(tmp_path, *NUMBERS[:6]), *ALWAYS, "--at-once", "1") as process:
            await process.says("answered")
            process.process.send_signal(signal.SIGINT)
            assert await process.ended(15) == 1
            err = "".join(process.err)
        found = re.search(r"`python server\.py dial --resume (\S+)` resumes it", err)
        assert found is not None, err
        told = await progress(the, {"url": f"/api/campaigns/{found[1]}"})
        assert (told["state"], len(called(the)) < 6) == ("paused", True)
        code, out, err = await said(the, "--resume", found[1])
        assert (code, err) == (0, "")
        assert "The list is finished." in out
        assert sorted(called(the)) == NUMBERS[:6]
        await the.quiet()


async def test_one_key_makes_one_list(tmp_path: Path) -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = SHORT
        words = ("--list", written(tmp_path, *NUMBERS[:2]), *ALWAYS, "--key", "monday")
        assert (await said(the, *words))[0] == 0
        code, out, _ = await said(the, *words)
        assert (code, "nobody is called twice" in out) == (0, True)
        assert sorted(called(the)) == NUMBERS[:2]
        await the.quiet()


@pytest.mark.carrier("telnyx")
async def test_words_that_cannot_be_used_call_nobody(tmp_path: Path) -> None:
    name, empty = written(tmp_path, NUMBERS[0]), tmp_path / "empty.csv"
    empty.write_text("")
    async with dialling() as the:
        cases: list[tuple[tuple[Any, ...], str]] = [
            ((), "Whom to call?"), ((NUMBERS[0], "--list", name), "one of"),
            ((NUMBERS[0], "--hours", "9-18"), "--hours"),
            (("--list", tmp_path / "nothing.csv"), "cannot be read"), (("--list", empty), "empty"),
            (("--list", name, "--hours", "late"), "hours must be"), (("--list", name, "--at-once", "0"), "at-once"),
            (("--resume", "nobody"), "no such campaign"),
        ]  # fmt: skip
        for words, told in cases:
            code, out, err = await said(the, *map(str, words))
            assert (code, out) == (2, ""), f"{words}: {out}{err}"
            assert told in err, f"{words}: {err}"
        assert called(the) == []
