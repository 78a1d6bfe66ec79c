"""The agent's tools: those of the file go before those of the database, and a change is made once or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

import pytest

from callflow.config.settings import Settings
from callflow.contracts.errors import ToolRefused
from callflow.history.own_tools import OwnToolStore, StoredTools
from callflow.switchboard import tool_service as module
from callflow.switchboard.tool_service import MOST_TOOLS, ToolService
from callflow.tools import own
from callflow.tools.registry import Tool, Tools
from callflow.tools.templates import TEMPLATES


def definition(name: str) -> dict[str, Any]:
    """A template, under this name."""
    found: Any = TEMPLATES[0]
    return {**found.get("definition", found), "name": name}


def tool(name: str) -> Tool:
    made = own.read(definition(name)).tool
    assert made is not None
    return made


class Store:
    """The tools of a database, in memory. `races`: so many changes come too late."""

    def __init__(self) -> None:
        self.stored = StoredTools()
        self.races = 0

    async def newest(self) -> int:
        return self.stored.seq

    async def read(self) -> StoredTools:
        return self.stored

    async def versions(self, name: str) -> list[Mapping[str, Any]]:
        return [self.stored.rows[name]] if name in self.stored.rows else []

    async def put(self, name: str, definition: Any, *, by: str, seen: int) -> int | None:
        if self.races:
            self.races -= 1
            return None
        assert seen == self.stored.seq
        version = self.stored.rows[name]["version"] + 1 if name in self.stored.rows else 1
        row = {"version": version, "changed": "now", "by": by, "definition": definition}
        self.stored = StoredTools(seen + 1, {**self.stored.rows, name: row})
        return version


def run(main: Callable[[ToolService, Store, dict[str, Tool]], Coroutine[Any, Any, None]]) -> None:
    async def begin() -> None:
        in_file, store = dict[str, Tool](), Store()
        of_file = [Tools(in_file)]
        service = ToolService(lambda: of_file[0])
        service.keep_in(cast(OwnToolStore, store))
        await main(service, store, in_file)

    asyncio.run(begin())


def names(service: ToolService) -> set[str]:
    return set(service.current().local)


async def refusal(work: Coroutine[Any, Any, Any]) -> tuple[int, str]:
    with pytest.raises(ToolRefused) as refused:
        await work
    return refused.value.status, str(refused.value)


def test_a_tool_is_made_changed_and_deleted_for_coming_calls() -> None:
    async def main(service: ToolService, store: Store, in_file: dict[str, Tool]) -> None:
        assert service.listed()["warnings"], "the database has not been read"
        before = service.current()
        made = await service.put(definition("book"), by="desk")
        assert (made["name"], made["version"], made["by"]) == ("book", 1, "desk")
        assert (names(service), set(before.local)) == ({"book"}, set()), "calls that have begun keep theirs"
        assert service.current() is service.current(), "and nothing is made anew for each call"
        assert (await service.put(definition("book"), by="desk", name="book", seen=1))["version"] == 2
        await service.delete("book", by="desk", seen=2)
        assert (names(service), service.listed()["tools"], service.listed()["warnings"]) == (set(), [], [])
        again = await service.put(definition("book"), by="desk")
        assert again["version"] == 4, "what was deleted may be made again, and its versions go on"
        assert await service.versions("book")

    run(main)


def test_what_does_not_fit_what_is_there_changes_nothing() -> None:
    async def main(service: ToolService, store: Store, in_file: dict[str, Tool]) -> None:
        await service.put(definition("book"), by="desk")
        for work, status, word in (
            (service.put(definition("book"), by="x"), 409, "already"),
            (service.put(definition("other"), by="x", name="book"), 400, "keeps its name"),
            (service.put(definition("book"), by="x", name="book", seen=7), 409, "Version 7 is not the newest"),
            (service.delete("nothing", by="x"), 404, "no tool"),
            (service.delete("book", by="x", seen=0), 409, "Version 0"),
            (service.versions("nothing"), 404, "no tool"), (service.put({}, by="x"), 400, ""),
            (service.put([], by="x"), 400, ""), (service.put({**definition("x"), "name": "a b"}, by="x"), 400, ""),
        ):  # fmt: skip
            found, sentence = await refusal(cast(Any, work))
            assert (found, word in sentence) == (status, True), sentence
        assert store.stored.seq == 1

    run(main)


def test_there_are_only_so_many_and_one_that_is_there_can_still_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_TOOLS == 64
    monkeypatch.setattr(module, "MOST_TOOLS", 1)

    async def main(service: ToolService, store: Store, in_file: dict[str, Tool]) -> None:
        await service.put(definition("book"), by="desk")
        assert (await refusal(service.put(definition("other"), by="desk")))[0] == 409
        await service.put(definition("book"), by="desk", name="book")
        await service.delete("book", by="desk")
        await service.put(definition("other"), by="desk")

    run(main)


def test_a_change_that_comes_too_late_is_tried_again_and_not_for_ever() -> None:
    async def main(service: ToolService, store: Store, in_file: dict[str, Tool]) -> None:
        store.races = 4
        assert (await service.put(definition("book"), by="desk"))["version"] == 1
        store.races = 5
        assert (await refusal(service.delete("book", by="desk")))[0] == 503
        assert names(service) == {"book"}

    run(main)


def test_a_tool_of_the_file_goes_before_one_of_the_database_and_that_is_said() -> None:
    async def main(service: ToolService, store: Store, in_file: dict[str, Tool]) -> None:
        in_file["book"] = tool("book")
        await service.put(definition("book"), by="desk")
        assert service.current().local["book"] is in_file["book"]
        (entry,) = service.listed()["tools"]
        assert "goes before this one" in entry["warnings"][0]
        assert any("the tool book is not used" in line for line in service.warnings_of({"": Settings()}))
        assert service.names_taken("book")
        assert service.names_taken("other") == []

    run(main)


def test_one_that_cannot_be_used_any_more_leaves_the_others() -> None:
    async def main(service: ToolService, store: Store, in_file: dict[str, Tool]) -> None:
        row = {"version": 1, "changed": "now", "by": "desk"}
        rows = {"old": {**row, "definition": {"name": 5}}, "book": {**row, "definition": definition("book")}}
        store.stored = StoredTools(2, {**rows, "gone": {**row, "definition": None}})
        await service.load()
        assert names(service) == {"book"}
        assert {each["name"]: bool(each["warnings"]) for each in service.listed()["tools"]} == {
            "old": True,
            "book": False,
        }

    run(main)


def test_a_setting_that_names_a_tool_in_vain_is_warned_of_once() -> None:
    async def main(service: ToolService, store: Store, in_file: dict[str, Tool]) -> None:
        await service.put(definition("book"), by="desk")
        odd, well = (
            Settings(tool_choice="bok", agent_tools="book,bok"),
            Settings(tool_choice="book", agent_tools="book"),
        )
        assert service.warnings_of({"": well}) == []
        lines = service.warnings_of({"": odd, "sales": odd})
        assert [line for line in lines if "bok" in line] == [
            'tool_choice "bok" is not used: there is no tool of that name', 'agent_tools: there is no tool "bok"',
        ]  # fmt: skip

    run(main)


def test_without_a_database_nothing_is_changed() -> None:
    async def main(service: ToolService, store: Store, in_file: dict[str, Tool]) -> None:
        alone = ToolService(Tools)
        for work in (alone.put(definition("book"), by="desk"), alone.load(), alone.versions("book")):
            assert (await refusal(cast(Any, work)))[0] == 503
        assert alone.listed()["tools"] == []

    run(main)
