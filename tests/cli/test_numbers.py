"""`numbers` as a process of its own, against both emulated carriers: what it lists, changes, and refuses."""

from __future__ import annotations

import argparse
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callflow.cli import numbers
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from tests.e2e.process import SERVER, Process, python
from tests.ports import free_port


HERE = "https://phone.test"
OLD = "https://old.test"
NUMBER = "+15550100002"
CARRIERS = ("telnyx", "twilio")


class Stage:
    def __init__(self, folder: Path, telnyx: Telnyx, twilio: Twilio) -> None:
        self.folder, self.telnyx, self.twilio = folder, telnyx, twilio

    async def run(self, *words: str, ends: int = 0, carriers: tuple[str, ...] = CARRIERS, **env: object) -> Process:
        keys: dict[str, Any] = {}
        for name in carriers:
            keys |= (self.telnyx if name == "telnyx" else self.twilio).settings()
        settings = {name.upper(): value for name, value in keys.items()}
        given = {**settings, "DATA_DIR": self.folder, "PUBLIC_BASE_URL": HERE, "COMMAND_RETRIES": 0}
        given |= {"PORT": free_port(), **env}  # a server at this port would be asked for its address
        async with python(SERVER, "numbers", *words, env=given) as process:
            assert await process.ended(30) == ends, process.said()
            return process

    def webhook(self, carrier: str) -> str:
        return self.twilio.number().voice_url if carrier == "twilio" else self.telnyx.webhook_url


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    async with Telnyx(webhook_url=f"{OLD}/webhooks") as telnyx, Twilio(OLD, voice="/voice", status="") as twilio:
        twilio.number()
        yield Stage(folder, telnyx, twilio)


@pytest.mark.process
async def test_every_number_is_a_line(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        for place in range(25):
            the.telnyx.number(f"+1555020{place:04d}", customer_reference="desk")
        the.twilio.number().trunk_sid = "TK1"
        said = await the.run(COLUMNS=200)
        rows = [line for line in said.out if "+1555" in line]
        assert len(rows) == 27
        assert sum("desk" in row and f"{OLD}/webhooks" in row for row in rows) == 25
        assert any("its trunk TK1 overrides its webhook" in row for row in rows)
        said = await the.run("list", TELNYX_API_KEY="KEY-that-is-wrong-here", ends=1)
        assert "Authentication failed" in "".join(said.err)
        assert NUMBER in "".join(said.out)


@pytest.mark.process
async def test_a_list_makes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with stage(tmp_path) as the:
        await the.run(DATA_DIR=folder)
    assert not folder.exists()


@pytest.mark.process
@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_number_is_pointed_here_and_put_back_by_the_next_process(tmp_path: Path, carrier: str) -> None:
    async with stage(tmp_path) as the:
        before = the.webhook(carrier)
        said = await the.run("point", NUMBER, "--carrier", carrier, ends=1)
        assert f"{before} → {HERE}/" in "".join(said.out), "it shows what it would change"
        assert "say --yes" in "".join(said.err)
        assert the.webhook(carrier) == before
        await the.run("point", NUMBER, "--yes", carriers=(carrier,))
        assert the.webhook(carrier).startswith(HERE)
        (row,) = (line for line in (await the.run(carriers=(carrier,))).out if NUMBER in line)
        assert "yes" in row.split()
        assert f"{before}" in row
        await the.run("undo", NUMBER, carriers=(carrier,), ends=1)
        assert the.webhook(carrier).startswith(HERE)
        said = await the.run("undo", NUMBER, "--yes", carriers=(carrier,))
        assert f"is {before} again" in "".join(said.out)
        assert the.webhook(carrier) == before
        said = await the.run("undo", NUMBER, "--yes", ends=1)
        assert "Nothing is kept" in "".join(said.err)


@pytest.mark.process
async def test_a_number_is_released_only_with_the_setting_and_the_number_once_more(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        only: dict[str, Any] = {"carriers": ("twilio",)}
        said = await the.run("release", NUMBER, "--confirm", NUMBER, ends=1, **only)
        assert "ALLOW_NUMBER_RELEASE=true" in "".join(said.err)
        said = await the.run("release", NUMBER, ends=1, ALLOW_NUMBER_RELEASE="true", **only)
        assert "--confirm" in "".join(said.err)
        await the.run("release", NUMBER, "--confirm", "+15550100003", ends=1, ALLOW_NUMBER_RELEASE="true", **only)
        assert NUMBER in the.twilio.exchange.numbers
        await the.run("release", NUMBER, "--confirm", NUMBER, ALLOW_NUMBER_RELEASE="true", **only)
        assert NUMBER not in the.twilio.exchange.numbers


@pytest.mark.parametrize(("typed", "wanted"), [("y", True), ("Yes", True), ("n", False), ("", False), ("sure", False)])
def test_the_terminal_is_asked(
    typed: str, wanted: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        os.write(ours, f"{typed}\n".encode())
        assert numbers.agreed(argparse.Namespace(yes=False), "Change this?") is wanted
        assert "Change this? [y/N]" in capsys.readouterr().err
    os.close(ours)


@pytest.mark.process
async def test_what_cannot_be_is_said_in_a_line(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        said = await the.run("point", NUMBER, "--yes", PUBLIC_BASE_URL="", ends=1)
        assert "The public address is not known" in "".join(said.err)
        said = await the.run("point", NUMBER, "--yes", ends=1)
        assert "say which (telnyx, twilio)" in "".join(said.err)
        said = await the.run(carriers=(), ends=2)
        assert "No carrier is set up" in "".join(said.err)
        assert the.webhook("telnyx") == f"{OLD}/webhooks"
