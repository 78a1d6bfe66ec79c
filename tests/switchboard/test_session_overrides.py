"""What operators change for coming calls: it holds at once, stays in the database, and is taken whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

import pytest

from callflow.config.settings import Settings
from callflow.contracts.errors import SessionRefused
from callflow.engines.common.account import Account
from callflow.history.session_overrides import StoredOverrides
from callflow.switchboard.call_configs import CallConfigs
from callflow.switchboard.session_overrides import NOT_KNOWN, SessionOverrides


KEY = "sk-a-key-that-nobody-may-see"


class FakeStore:
    """The rows of the database."""

    def __init__(self, rows: Mapping[str, str] | None = None) -> None:
        self.rows = dict(rows or {})
        self.error: Exception | None = None

    async def read(self) -> dict[str, str]:
        if self.error is not None:
            raise self.error
        return dict(self.rows)

    async def change(self, values: Mapping[str, str], gone: Any, *, by: str, seen: int | None) -> dict[str, str]:
        if self.error is not None:
            raise self.error
        self.rows = {name: value for name, value in self.rows.items() if name not in gone} | dict(values)
        return dict(self.rows)

    async def clear(self, *, by: str, seen: int | None) -> None:
        self.rows.clear()


class Scene:
    def __init__(self, rows: Mapping[str, str] | None = None, **settings: Any) -> None:
        self.store, self.configs = FakeStore(rows), CallConfigs(Settings(**settings), Account())
        self.overrides = SessionOverrides(self.configs, cast(StoredOverrides, self.store), list)

    @property
    def voice(self) -> str:
        """That of coming calls."""
        return self.configs.rules.settings.voice


def play(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def test_a_change_holds_for_coming_calls_and_is_in_the_database() -> None:
    async def main() -> None:
        the = Scene()
        before = the.voice
        told = await the.overrides.change({"voice": "cedar"})
        assert (the.voice, the.store.rows) == ("cedar", {"voice": '"cedar"'})
        assert (told["kept"], told["settings"]["voice"]["value"]) == ({"voice": "cedar"}, "cedar")
        await the.overrides.change({"voice": None})
        assert (the.voice, the.store.rows) == (before, {})

    play(main)


def test_what_the_process_before_kept_is_read() -> None:
    async def main() -> None:
        the = Scene({"voice": '"cedar"'})
        assert NOT_KNOWN in (await the.overrides.describe())["warnings"]
        await the.overrides.load()
        assert (the.voice, the.overrides.is_known) == ("cedar", True)
        assert (await the.overrides.describe())["warnings"] == []

    play(main)


def test_a_row_that_cannot_be_used_any_more_is_told_and_the_others_hold() -> None:
    async def main() -> None:
        the = Scene({"voice": '"cedar"', "speed": '"fast"'})
        await the.overrides.load()
        assert the.voice == "cedar"
        assert any("speed" in line for line in the.overrides.warnings)

    play(main)


def test_a_row_under_a_former_name_holds_and_goes_with_the_setting() -> None:
    async def main() -> None:
        the = Scene({"ring_seconds": "7.0"})
        await the.overrides.load()
        assert the.configs.rules.settings.answer_seconds == 7
        await the.overrides.change({"answer_seconds": 8})
        assert the.store.rows == {"answer_seconds": "8.0"}
        the.store.rows = {"ring_seconds": "7.0"}
        await the.overrides.change({"ring_seconds": None})
        assert (the.store.rows, the.configs.rules.settings.answer_seconds) == ({}, Settings().answer_seconds)

    play(main)


@pytest.mark.parametrize("body", [{"voice": "cedar", "speed": "fast"}, {"voice": 7}, {"speed": 99}])
def test_a_change_is_refused_whole(body: dict[str, Any]) -> None:
    async def main() -> None:
        the = Scene()
        before = the.voice
        with pytest.raises(SessionRefused):
            await the.overrides.change(body)
        assert (the.voice, the.store.rows) == (before, {})

    play(main)


def test_where_the_database_fails_nothing_has_changed() -> None:
    async def main() -> None:
        the = Scene()
        before, the.store.error = the.voice, OSError("disk")
        with pytest.raises(OSError, match="disk"):
            await the.overrides.change({"voice": "cedar"})
        assert the.voice == before

    play(main)


def test_going_back_to_the_files_forgets_every_change() -> None:
    async def main() -> None:
        the = Scene()
        before = the.voice
        await the.overrides.change({"voice": "cedar"})
        assert (await the.overrides.forget())["kept"] == {}
        assert (the.voice, the.store.rows) == (before, {})

    play(main)


def test_a_text_with_a_secret_in_it_is_not_shown() -> None:
    async def main() -> None:
        the = Scene({"instructions": f'"The key is {KEY}."'}, openai_api_key=KEY)
        await the.overrides.load()
        assert KEY not in str(await the.overrides.describe())

    play(main)
