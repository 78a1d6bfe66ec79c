"""What the agent can do: functions in a `tools.py`, in any of the forms in which people write them.

    @tool
    def opening_hours(day: str) -> str:
        \"\"\"When we are open.

        Args:
            day: a weekday, or "today"
        \"\"\"

    tools = [({"type": "function", "name": …, "parameters": …}, function), …]     pairs of definition and function
    function.definition = {…}                                                     a function that carries its own
    tools = [{"type": "mcp", "server_label": …, "server_url": …}]                 run by the model's vendor, not here

Functions may be plain or asynchronous. Whatever goes wrong when one runs is an answer to the model, never a silence. A
result that is too long is shortened, with a note that says so.
"""

from __future__ import annotations

import inspect
import logging
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, overload

import msgspec

from callflow.contracts import remote_tools
from callflow.contracts.errors import ArgumentsError, NoOutcome, NotJson
from callflow.contracts.printable import whole
from callflow.tools import runner
from callflow.tools.arguments import Schema, read
from callflow.tools.results import let_go, never, written
from callflow.tools.runner import Pending
from callflow.tools.schema import CONTEXT, describe


log = logging.getLogger(__name__)

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MARK: Final = "__callflow_tool__"
_MOST_SECONDS: Final = 86_400

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Whom a tool is run for. A function gets it by a parameter named `call`."""

    call: str = ""
    from_number: str = ""
    to_number: str = ""
    idempotency_key: str = ""
    """The same for a repeat of this very call, so that whatever it orders is ordered once."""


class Ready(NamedTuple):
    """What need not be found out anew for each run of a tool."""

    schema: Schema
    takes_context: bool


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: Mapping[str, Any]
    """A JSON schema of type object."""
    function: Callable[..., Any]
    seconds: float | None = None
    """Its own time limit; None: that of the settings."""
    on_loop: bool = False
    """One of our own, which runs on the server's loop and never waits."""
    ready: Ready | None = field(default=None, repr=False, compare=False)
    """Set when it is read from a file; else prepared for each run."""

    @property
    def definition(self) -> dict[str, Any]:
        about = {"description": self.description} if self.description else {}
        return {"type": "function", "name": self.name, **about, "parameters": dict(self.parameters)}


@dataclass(frozen=True, slots=True)
class ToolResult:
    output: str
    """JSON, encoded once."""
    ok: bool
    trouble: str = ""
    """For the log: what went wrong, and where."""


@overload
def tool(function: Function) -> Function: ...
@overload
def tool(*, name: str = "", description: str = "", seconds: float | None = None) -> Callable[[Function], Function]: ...
def tool(
    function: Function | None = None, *, name: str = "", description: str = "", seconds: float | None = None
) -> Function | Callable[[Function], Function]:
    """Makes a function a tool; name, description and parameters come from the function where they are not given."""

    def mark(marked: Function) -> Function:
        setattr(marked, MARK, {"name": name, "description": description, "seconds": seconds})
        return marked

    return mark if function is None else mark(function)


def from_function(function: Callable[..., Any], **said: Any) -> Tool:
    """A tool as the function describes itself. Raises TypeError."""
    said = {**getattr(function, MARK, {}), **said}
    name = str(said.get("name") or getattr(function, "__name__", ""))
    try:
        text, parameters = describe(function)
    except TypeError:
        raise
    except Exception as error:
        raise TypeError(f"tool {name}: its parameters cannot be read: {said_of(error)}") from None
    about = str(said.get("description") or text)
    return checked(Tool(name, about, parameters, function, said.get("seconds")))


def from_definition(definition: Mapping[str, Any], function: Callable[..., Any]) -> Tool:
    """A tool as somebody has described it, flat or nested under `function`. Raises TypeError."""
    inner = definition.get("function")
    flat = {**definition, **inner} if isinstance(inner, Mapping) else definition
    parameters = flat.get("parameters") or {"type": "object", "properties": {}}
    return checked(Tool(str(flat.get("name") or ""), str(flat.get("description") or ""), parameters, function))


def checked(tool: Tool) -> Tool:
    """The same, ready to run. Raises TypeError."""
    if not _NAME.fullmatch(tool.name):
        raise TypeError(f"{tool.name!r} is no name for a tool: letters, digits, _ and -, at most 64 of them")
    if not callable(tool.function):
        raise TypeError(f"tool {tool.name}: its function is a {type(tool.function).__name__}, which cannot be called")
    seconds: Any = tool.seconds
    if seconds is not None and not (isinstance(seconds, (int, float)) and 0 < seconds <= _MOST_SECONDS):
        raise TypeError(f"tool {tool.name}: its seconds must be a number above 0, and {_MOST_SECONDS} at most")
    ready = _prepared(tool)
    check_written(tool.definition, f"tool {tool.name}")
    return replace(tool, ready=ready)


def _prepared(tool: Tool) -> Ready:
    """Raises TypeError."""
    try:
        schema = Schema(tool.parameters)
    except TypeError as error:
        raise TypeError(f"tool {tool.name}: its parameters are no JSON schema: {error}") from None
    if schema.needs_process:
        log.warning("tool %s: a pattern with look-around or the like makes checking its arguments slow", tool.name)
    try:
        takes_context = CONTEXT in inspect.signature(tool.function).parameters
    except Exception:  # not every callable can tell: then it takes what its definition says
        takes_context = False
    return Ready(schema, takes_context)


def check_written(definition: Mapping[str, Any], what: str) -> None:
    """Raises TypeError for what could not be sent to the model."""
    try:
        msgspec.json.encode(definition)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TypeError(f"{what}: its definition cannot be written as JSON: {error}") from None


@dataclass(frozen=True, slots=True)
class Tools:
    """A set of tools. Those that the model's vendor runs (`remote`) are passed on as they stand."""

    local: Mapping[str, Tool] = field(default_factory=dict)
    remote: Sequence[Mapping[str, Any]] = ()

    @property
    def definitions(self) -> list[dict[str, Any]]:
        return [*(tool.definition for tool in self.local.values()), *(dict(each) for each in self.remote)]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The definitions, fit for people: without the keys of remote ones."""
        return [*(tool.definition for tool in self.local.values()), *map(remote_tools.shown, self.remote)]

    def plus(self, more: Iterable[Tool]) -> Tools:
        """With these, which do not replace any of the same name."""
        return Tools({tool.name: tool for tool in more} | dict(self.local), self.remote)

    async def run(self, name: str, arguments: str, context: ToolContext, *, seconds: float) -> ToolResult:
        """Never raises but CancelledError: whatever goes wrong is an answer, within the tool's time."""
        tool = self.local.get(name)
        if tool is None:
            return _error(f"there is no tool {name!r:.100}")
        this = _Run(tool, arguments, context)
        try:
            if tool.on_loop:
                result = this.at_once()
            else:
                limit = tool.seconds or seconds
                result = await runner.usual.run(context.call, name, limit, this.begin, this.finish)
        except NoOutcome as why:
            return _error(f"{name} {why}")
        except Exception as error:
            result = this.failed(error)
        if result.trouble:
            log.error("call %s: tool %s failed: %s", context.call, name, result.trouble)
        return result


class _Run:
    """One run of a tool, in the parts that `tool_runner` asks for. What goes wrong in any of them is a result."""

    def __init__(self, tool: Tool, arguments: str, context: ToolContext) -> None:
        self._tool, self._arguments, self._context = tool, arguments, context

    def begin(self, is_over: Callable[[], bool]) -> ToolResult | Pending:
        box: list[Any] = []
        try:
            ready = self._tool.ready or _prepared(self._tool)
            given = read(self._arguments, ready.schema, is_over)
            if ready.takes_context:
                given[CONTEXT] = self._context
            box.append(self._tool.function(**given))
            return Pending(box.pop()) if inspect.isawaitable(box[0]) else self._written(box, is_over)
        except ArgumentsError as unfit:
            return _error(str(unfit))
        except BaseException as error:
            return self.failed(error)
        finally:
            let_go(box)

    def finish(self, box: list[Any], error: BaseException | None, is_over: Callable[[], bool]) -> ToolResult:
        try:
            return self._written(box, is_over) if error is None else self.failed(error)
        finally:
            let_go(box)

    def at_once(self) -> ToolResult:
        """Of a tool of our own, which answers at once."""
        result = self.begin(never)
        return result if isinstance(result, ToolResult) else _error(f"{self._tool.name} has no answer")

    def failed(self, error: BaseException) -> ToolResult:
        return _error(f"{self._tool.name} failed: {type(error).__name__:.100}", _where(error))

    def _written(self, box: list[Any], is_over: Callable[[], bool]) -> ToolResult:
        try:
            return ToolResult(written(box[0], is_over), True)
        except BaseException as error:
            why = str(error) if isinstance(error, NotJson) else type(error).__name__
            return _error(f"the result of {self._tool.name} cannot be written as JSON: {why:.200}", _where(error))


def _where(error: BaseException) -> str:
    """What went wrong and where, in one line."""
    frames = traceback.extract_tb(error.__traceback__, limit=-50)
    last = next((frame for frame in reversed(frames) if __package__.replace(".", "/") not in frame.filename), None)
    place = f" ({Path(last.filename).name}, line {last.lineno})" if last is not None else ""
    return f"{said_of(error)[:400]}{place}"[:500]


def said_of(error: BaseException) -> str:
    """An exception in one line, whatever its own code makes of that."""
    try:
        text = f": {error}"[:1000]
    except BaseException:
        text = ", which cannot be shown"
    return whole(" ".join(f"{type(error).__name__}{text}".split()))


def _error(message: str, trouble: str = "") -> ToolResult:
    return ToolResult(msgspec.json.encode({"error": whole(message)}).decode(), False, trouble)


# Reading a tools.py
