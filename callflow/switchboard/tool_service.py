"""The agent's tools: those of the tools file, and those that operators define on the page, which the database keeps.

A tool of the file with the same name goes before one of the database. A change holds for calls that begin later, in
every process that shares the database.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from callflow.config.session_limits import tool_names
from callflow.config.settings import Settings
from callflow.contracts import remote_tools
from callflow.contracts.errors import ToolRefused
from callflow.contracts.printable import quoted
from callflow.contracts.tools import Caller
from callflow.history.own_tools import OwnToolStore, StoredTools
from callflow.switchboard import engine_choice
from callflow.tools import own
from callflow.tools.builtin import BUILT_IN, CallToolset
from callflow.tools.registry import Tool, Tools
from callflow.tools.templates import TEMPLATES


log = logging.getLogger(__name__)

MOST_TOOLS: Final = 64
"""Tools that the database may have at the same time: the model's server takes 128 in all."""
_LOOK_SECONDS: Final = 2.0
"""How often it is looked whether another process has changed something."""
_TRIES: Final = 5
_NOBODY: Final = Caller("", "", "")
_OTHERS: Final = "Others are changing tools at the same moment, so nothing was changed: try again."
_NOT_KNOWN: Final = "The tools of the database are not known, because it cannot be read: calls go on without them."


class ToolService:
    """All tools of the agent, as calls get them and as operators see and change them."""

    def __init__(self, of_file: Callable[[], Tools]) -> None:
        """`of_file`: returns the present version of the tools file, always the same object for one version."""
        self._of_file = of_file
        self._store: OwnToolStore | None = None
        self._stored = StoredTools()
        self._own: dict[str, Tool] = {}
        self._unreadable: dict[str, str] = {}
        """Tools of the database that cannot be used, and why."""
        self._merged: tuple[Tools, Tools] | None = None
        """Of the file, and with those of the database."""
        self._changing = asyncio.Lock()
        self.is_known = False
        """The database has been read."""

    # What calls get

    def current(self) -> Tools:
        """Return the tools of calls that begin now. Reads nothing, and takes no time."""
        of_file = self._of_file()
        if not self._own:
            return of_file
        if self._merged is None or self._merged[0] is not of_file:
            self._merged = of_file, Tools({**self._own, **of_file.local}, of_file.remote, of_file.hook)
        return self._merged[1]

    @property
    def definitions(self) -> Sequence[Mapping[str, Any]]:
        """The definitions of all tools, without the secrets of MCP servers; see `SessionContext.tools`."""
        return CallToolset(self.current(), _NOBODY, {"end_call": print}).shown

    def warnings_of(self, profiles: Mapping[str, Settings]) -> list[str]:
        """Return a line for each setting of these profiles that names a tool in vain."""
        remote = self.current().remote
        names = [one.get("name") for one in self.definitions]
        written = [one for one in self.definitions if one.get("name") not in BUILT_IN]
        known = (*names, *BUILT_IN, *(each.get("server_label") for each in remote))
        found: list[str] = []
        for profile, chosen in profiles.items():
            about = remote_tools.leave(remote, chosen.mcp_approval) if engine_choice.calls_remote_tools(chosen) else []
            about += engine_choice.tool_warnings(chosen, written)
            if chosen.tool_choice not in ("auto", "none", "required", *names):
                about.insert(0, f'tool_choice "{chosen.tool_choice}" is not used: there is no tool of that name')
            about += [
                f'agent_tools: there is no tool "{name}"'
                for name in tool_names(chosen.agent_tools)
                if name not in known
            ]
            found += [f"profile {profile}: {line}" if profile else line for line in about if line not in found]
        own_names = self._present(self._stored)
        return found + [f"the tool {name} is not used: {why}" for name in own_names if (why := self._why_not(name))]

    def _why_not(self, name: str) -> str:
        """Return why a tool of the database is not used; "": it is."""
        if why := self._unreadable.get(name, ""):
            return why
        return "the tools file has one of the same name, which goes before this one" if self._is_in_file(name) else ""

    def _is_in_file(self, name: str) -> bool:
        return name in self._of_file().local

    # What the database has

    def keep_in(self, store: OwnToolStore) -> None:
        """Take the tools of the database from here."""
        self._store = store

    async def load(self) -> None:
        """Read the database. Raises the driver's exceptions."""
        async with self._changing:
            await self._adopt()

    async def follow(self, others: Callable[[], Awaitable[None]]) -> None:
        """Read the database soon after another process has changed a tool. Runs `others` beside it. Never returns."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="tools of others")
            tasks.create_task(_of(others), name="changes of others")

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                if await self._kept.newest() != self._stored.seq:
                    await self.load()
            except Exception as error:  # the history tells loudly that the database is away
                log.debug("it cannot be found out whether tools have changed: %s", type(error).__name__)

    @property
    def _kept(self) -> OwnToolStore:
        if self._store is None:
            raise ToolRefused(503, _NOT_KNOWN)
        return self._store

    async def _adopt(self) -> None:
        stored = await self._kept.read()
        if stored.seq != self._stored.seq or not self.is_known:
            self._own, self._unreadable = await asyncio.to_thread(_read_all, stored)
            self._merged = None
            names = [f"{name} ({why})" if (why := self._why_not(name)) else name for name in self._present(stored)]
            log.info("tools of the database, for coming calls: %s", ", ".join(names) or "none")
        self._stored, self.is_known = stored, True

    @staticmethod
    def _present(stored: StoredTools) -> list[str]:
        return [name for name, row in stored.rows.items() if row["definition"] is not None]

    # Changes

    async def put(self, definition: Any, *, by: str, name: str = "", seen: int | None = None) -> dict[str, Any]:
        """Make a tool, or with `name` change it. `seen`: the version that whoever asks has seen; None: they do not say.

        Returns its entry, as `listed` has it. Raises ToolRefused or the driver's exceptions; then nothing has changed.
        """
        reading = await asyncio.to_thread(own.read, definition)
        if reading.problems:
            raise ToolRefused(400, *(problem.text for problem in reading.problems))
        new = str(reading.definition["name"])
        if name and new != name:
            raise ToolRefused(400, f"The definition has another name: a tool keeps its name {quoted(name)}.")
        await self._change(new, reading.definition, by, seen, make=not name)
        return {**self._entry(new), "warnings": [*reading.warnings, *self._entry(new)["warnings"]]}

    async def delete(self, name: str, *, by: str, seen: int | None = None) -> None:
        """Keep a tool no more. Raises ToolRefused or the driver's exceptions."""
        await self._change(name, None, by, seen)

    async def _change(
        self, name: str, definition: Mapping[str, Any] | None, by: str, seen: int | None, *, make: bool = False
    ) -> None:
        async with self._changing:
            for _ in range(_TRIES):
                await self._adopt()
                present = self._present(self._stored)
                if make and name in present:
                    raise ToolRefused(409, f"There is a tool {quoted(name)} already: change that one.")
                if definition is None and name not in present:
                    raise ToolRefused(404, _not_there(name))
                if definition is not None and name not in present and len(present) >= MOST_TOOLS:
                    raise ToolRefused(409, f"There are {MOST_TOOLS} tools already: delete one first.")
                newest = self._stored.rows[name]["version"] if name in self._stored.rows else 0
                if seen is not None and seen != newest:
                    raise ToolRefused(
                        409, f"Version {seen} is not the newest any more, but {newest}: look at it, and ask again."
                    )
                if await self._kept.put(name, definition, by=by, seen=self._stored.seq) is not None:
                    await self._adopt()
                    return
        raise ToolRefused(503, _OTHERS)

    # What is told

    def listed(self) -> dict[str, Any]:
        """Return the `tools` of the database, each with `name`, `definition`, `version`, `changed`, `by`, `warnings`;
        the `templates` to begin with; `names`, which are taken; and `warnings` about no single tool."""
        return {
            "tools": [self._entry(name) for name in self._present(self._stored)],
            "templates": list(TEMPLATES),
            "names": sorted({*BUILT_IN, *self._of_file().local}),
            "warnings": [] if self.is_known else [_NOT_KNOWN],
        }

    def _entry(self, name: str) -> dict[str, Any]:
        row, why = self._stored.rows[name], self._why_not(name)
        return {"name": name, **row, "warnings": [f"It is not used: {why}."] if why else []}

    async def versions(self, name: str) -> list[dict[str, Any]]:
        """Return the versions of a tool, the newest first, as `StoredTools.rows` has them. Raises ToolRefused or the
        driver's exceptions."""
        found = await self._kept.versions(name)
        if not found:
            raise ToolRefused(404, _not_there(name))
        return found

    def names_taken(self, name: str) -> list[str]:
        """Return a sentence if the tools file has a tool of this name."""
        taken = self._is_in_file(name)
        return [f"The tools file has a tool {quoted(name)}, which goes before this one."] if taken else []


def _read_all(stored: StoredTools) -> tuple[dict[str, Tool], dict[str, str]]:
    """Return the tools that can be used, and for the others why not."""
    tools, unreadable = {}, {}
    for name, row in stored.rows.items():
        if row["definition"] is None:
            continue
        reading = own.read(row["definition"])
        if reading.tool is None:
            unreadable[name] = reading.problems[0].text.rstrip(".")
            log.error("the tool %s of the database is not used: %s", name, unreadable[name])
        else:
            tools[name] = reading.tool
    return tools, unreadable


def _not_there(name: str) -> str:
    return f"The database has no tool {quoted(name)}: GET /api/tools/own lists them, and POST makes one."


async def _of(work: Callable[[], Awaitable[None]]) -> None:
    await work()
