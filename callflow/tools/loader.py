"""Loads a `tools.py` with tools in any of their forms (see `registry.py`), and again when the file has changed."""

from __future__ import annotations

import importlib.util
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from callflow.contracts.errors import ToolsError
from callflow.tools.registry import (
    HOOK,
    MARK,
    Tool,
    ToolHost,
    Tools,
    answered_by_operator,
    check_encodable,
    checked,
    describe_error,
    from_definition,
    from_function,
    log,
)


_LOOK_SECONDS: Final = 0.5
"""How soon a changed file is noticed."""


def load(path: Path, hook: str = "") -> Tools:
    """Load the tools of a file; none if there is no such file. `hook`: the name of the function in it that is asked
    about callers; "": none. Raises ToolsError."""
    if not path.exists():
        if hook:
            raise ToolsError(f"{path}: it is not there, and CALLER_LOOKUP names the function {hook} in it")
        return Tools()
    module = _imported(path)
    local: dict[str, Tool] = {}
    remote: list[Mapping[str, Any]] = []
    try:
        for entry in _entries(module):
            read = _read(entry)
            if not isinstance(read, Tool):
                remote.append(read)
            elif read.name in local and local[read.name].function is not read.function:
                raise TypeError(f"two tools have the name {read.name!r}")
            else:
                local[read.name] = read
    except TypeError as error:
        raise ToolsError(f"{path}: {' '.join(str(error).split())}") from None
    except Exception as error:
        raise ToolsError(f"{path}: {describe_error(error)}") from None
    return Tools(local, remote, _hook(module, hook, path) if hook else None)


def _hook(module: ModuleType, name: str, path: Path) -> Tool:
    """Return the function that is asked about callers, as a tool without arguments. Raises ToolsError."""
    function = getattr(module, name, None)
    if not callable(function):
        raise ToolsError(f"{path}: CALLER_LOOKUP names {name}, and there is no such function: def {name}(call)")
    try:
        tool = checked(Tool(name, "", {"type": "object", "properties": {}}, function))
    except TypeError as error:
        raise ToolsError(f"{path}: {error}") from None
    if tool.ready is None or not tool.ready.takes_context:
        raise ToolsError(f"{path}: {name} must take one parameter of the name `call`: def {name}(call)")
    return replace(tool, name=HOOK)


def _imported(path: Path) -> ModuleType:
    name = f"callflow_tools_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ToolsError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where type hints are looked up
    # Bytecode is cached by the second, which would hide a second change of the file.
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ToolsError(f"{path}, line {error.lineno}: {error.msg}") from None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f", line {lines[-1]}" if lines else ""
        raise ToolsError(f"{path}{where}: {describe_error(error)}") from None
    finally:
        sys.dont_write_bytecode = writes
    return module


def _entries(module: ModuleType) -> list[Any]:
    """Return the entries of the list `tools`, then the functions of the module that are marked as tools."""
    listed = getattr(module, "tools", [])
    if not isinstance(listed, (list, tuple)):
        raise TypeError("`tools` must be a list")
    entries = list(listed)
    known = [entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry for entry in entries]
    for value in vars(module).values():
        marked = callable(value) and (hasattr(value, MARK) or isinstance(getattr(value, "definition", None), dict))
        if marked and not any(value is each for each in known):
            entries.append(value)
    return entries


def _read(entry: Any) -> Tool | Mapping[str, Any]:
    if isinstance(entry, Tool):
        return checked(entry)
    if isinstance(entry, (tuple, list)) and len(entry) == 2 and isinstance(entry[0], Mapping):
        return from_definition(entry[0], entry[1])
    if isinstance(entry, Mapping):
        return answered_by_operator(entry) if entry.get("answered_by") == "operator" else _remote(entry)
    definition = getattr(entry, "definition", None)
    if isinstance(definition, Mapping):
        return from_definition(definition, entry)
    if callable(entry):
        return from_function(entry)
    raise TypeError(f"a {type(entry).__name__} is no tool: a function, a pair (definition, function), or an MCP server")


def _remote(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the definition of an MCP server whose tools the model's vendor runs. Raises TypeError.

    `mcp_server` is an older name of the type `mcp`.
    """
    if entry.get("type") not in ("mcp", "mcp_server"):
        what = entry.get("name") or f"of {', '.join(map(str, entry))}"[:80]  # not its values, which may be keys
        raise TypeError(f'a definition without a function, and without "answered_by": "operator": {what}')
    if not entry.get("server_label"):
        raise TypeError("an MCP server needs a server_label")
    check_encodable(entry, f"MCP server {entry['server_label']}")
    return {**entry, "type": "mcp"}


class ToolLoader:
    """The tools of a file, which is loaded again when it has changed. A tool that runs keeps its version.

    A changed file is imported by a thread, however long that takes: nothing that is called on the event loop reads
    the file. Calls get the last good version until then.
    """

    def __init__(self, path: Path, elsewhere: ToolHost | None = None, hook: str = "") -> None:
        """Load the file. `elsewhere`: what runs its tools; None: they run in this process. `hook`: see `load`. Raises
        ToolsError."""
        self._path, self._elsewhere, self._hook = path, elsewhere, hook
        self.version = self._stamp()
        """Of the file that was loaded last."""
        self._tools = self._load()
        self._closing: threading.Event | None = None

    def current(self) -> Tools:
        """Return the tools of the last good version. Reads nothing, and takes no time."""
        return self._tools

    def watch(self, seconds: float = _LOOK_SECONDS) -> None:
        """Start the thread that looks every `seconds` whether the file has changed."""
        if self._closing is None:
            self._closing = threading.Event()
            # A daemon, because an import that hangs must not keep the process from ending.
            threading.Thread(target=self._watch, args=(self._closing, seconds), name="tools-file", daemon=True).start()

    def close(self) -> None:
        """Stop the thread of `watch`, without waiting for an import that is under way."""
        if self._closing is not None:
            self._closing.set()
            self._closing = None

    def refresh(self) -> None:
        """Load the file if it has changed. If it cannot be loaded, the tools stay as they were, and the log says why.

        Not for the event loop: an import takes as long as it takes.
        """
        stamp = self._stamp()
        if stamp == self.version:
            return
        self.version = stamp
        try:
            self._tools = self._load()
            log.info("tools read again: %s", ", ".join(self._tools.local) or "none")
        except ToolsError as error:
            log.error("the tools stay as they were: %s", error)

    def _watch(self, closing: threading.Event, seconds: float) -> None:
        while not closing.wait(seconds):
            try:
                self.refresh()
            except Exception:  # an internal error: the next change is still to be seen
                log.exception("the tools cannot be read again")

    def _load(self) -> Tools:
        tools = load(self._path, self._hook)
        if self._elsewhere is None:
            return tools
        apart = {
            name: replace(tool, elsewhere=self._elsewhere, version=self.version) for name, tool in tools.local.items()
        }
        hook = tools.hook and replace(tools.hook, elsewhere=self._elsewhere, version=self.version)
        return Tools(apart, tools.remote, hook)

    def _stamp(self) -> str:
        """Return the time of the last change and the size; "": there is no such file."""
        try:
            status = self._path.stat()
        except OSError:
            return ""
        return f"{status.st_mtime_ns} {status.st_size}"
