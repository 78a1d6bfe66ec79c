"""Tools of the agent: what a tool is, and the forms in which a `tools.py` may define one.

    @tool
    def opening_hours(day: str) -> str:
        \"\"\"When we are open.

        Args:
            day: a weekday, or "today"
        \"\"\"

    tools = [({"type": "function", "name": …, "parameters": …}, function), …]     pairs of definition and function
    function.definition = {…}                                                     a function that carries its own
    tools = [{"type": "mcp", "server_label": …, "server_url": …}]                 run by the model's vendor, not here
    tools = [{"type": "function", "name": …, "answered_by": "operator", "seconds": 45}]        answered by a person

Functions may be plain or asynchronous. Whatever goes wrong when one runs is told to the model as its result. A result
that is too long is shortened, with a note that says so.
"""

from __future__ import annotations

import inspect
import logging
import re
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeVar, overload

import msgspec

from callflow.contracts import remote_tools
from callflow.contracts.errors import ArgumentsError, NoOutcome, NotJson
from callflow.contracts.printable import whole
from callflow.tools import runner
from callflow.tools.arguments import Schema, read
from callflow.tools.results import never, release, to_json_text
from callflow.tools.runner import Pending
from callflow.tools.schema import CONTEXT, describe


log = logging.getLogger(__name__)

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
END_CALL: Final = "end_call"
"""The agent has this tool in every call."""
HOOK: Final = "caller lookup"
"""The name of the function that CALLER_LOOKUP names, where it runs: no tool can have it."""
MARK: Final = "__callflow_tool__"
"""The attribute that `tool` sets on a function."""
_MOST_SECONDS: Final = 86_400
OPERATOR_SECONDS: Final = 60
"""How long a tool that an operator answers waits, unless its definition says so."""
MOST_OPERATOR_SECONDS: Final = 600

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The call that a tool is run for. A function receives it as its parameter `call`."""

    call: str = ""
    """Callflow's id of the telephone call."""
    from_number: str = ""
    """The caller's number, as +15550100001."""
    to_number: str = ""
    idempotency_key: str = ""
    """The same when this tool call is repeated, so that a function can avoid doing its work twice."""
    carrier: str = ""
    """The call's carrier; only for the function that CALLER_LOOKUP names."""


class Prepared(NamedTuple):
    """What is found out once for all runs of a tool."""

    schema: Schema
    takes_context: bool


class ToolHost(Protocol):
    """Where tools run that do not run in this process."""

    async def run(self, name: str, arguments: str, context: ToolContext, *, seconds: float, version: str) -> ToolResult:
        """Run a tool within this time limit: see `Tools.run`. `version`: see `Tool.version`."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model can call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """A JSON schema of type object."""
    function: Callable[..., Any]
    seconds: float | None = None
    """Its own time limit in seconds; None: that of the settings."""
    on_loop: bool = False
    """It runs on the server's event loop and never waits: only for built-in tools."""
    ready: Prepared | None = field(default=None, repr=False, compare=False)
    """Set by `checked`; None: prepared for each run."""
    elsewhere: ToolHost | None = field(default=None, repr=False, compare=False)
    """What runs it; None: it runs in this process."""
    version: str = field(default="", repr=False, compare=False)
    """Of the file that defines it, for `elsewhere`."""
    by_operator: bool = False
    """No function runs: a person at the console answers, within `seconds`. Always with `seconds`."""

    @property
    def definition(self) -> dict[str, Any]:
        """Return `{"type": "function", "name": …, "description": …, "parameters": <JSON schema>}`."""
        about = {"description": self.description} if self.description else {}
        return {"type": "function", "name": self.name, **about, "parameters": dict(self.parameters)}


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a run of a tool gave."""

    output: str
    """JSON, encoded once."""
    ok: bool
    """False: `output` describes an error."""
    trouble: str = ""
    """For the log: what went wrong, and where."""


@overload
def tool(function: Function) -> Function: ...
@overload
def tool(*, name: str = "", description: str = "", seconds: float | None = None) -> Callable[[Function], Function]: ...
def tool(
    function: Function | None = None, *, name: str = "", description: str = "", seconds: float | None = None
) -> Function | Callable[[Function], Function]:
    """Mark a function as a tool. Name, description and time limit (`seconds`) come from the function and the settings
    where they are not given."""

    def mark(marked: Function) -> Function:
        setattr(marked, MARK, {"name": name, "description": description, "seconds": seconds})
        return marked

    return mark if function is None else mark(function)


def from_function(function: Callable[..., Any], **given: Any) -> Tool:
    """Make a tool of a function, by its docstring and type hints. Raises TypeError.

    `given`: name, description or seconds, which go before what the function says.
    """
    given = {**getattr(function, MARK, {}), **given}
    name = str(given.get("name") or getattr(function, "__name__", ""))
    try:
        text, parameters = describe(function)
    except TypeError:
        raise
    except Exception as error:
        raise TypeError(f"tool {name}: its parameters cannot be read: {describe_error(error)}") from None
    about = str(given.get("description") or text)
    return checked(Tool(name, about, parameters, function, given.get("seconds")))


def from_definition(definition: Mapping[str, Any], function: Callable[..., Any]) -> Tool:
    """Make a tool of a definition as the vendor's API has it, flat or nested under `function`. Raises TypeError."""
    inner = definition.get("function")
    flat = {**definition, **inner} if isinstance(inner, Mapping) else definition
    parameters = flat.get("parameters") or {"type": "object", "properties": {}}
    return checked(Tool(str(flat.get("name") or ""), str(flat.get("description") or ""), parameters, function))


def answered_by_operator(definition: Mapping[str, Any]) -> Tool:
    """Make a tool that a person answers, of a definition with `"answered_by": "operator"`. Raises TypeError."""
    made = replace(from_definition(definition, _nobody), seconds=definition.get("seconds", OPERATOR_SECONDS))
    seconds: Any = made.seconds
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= MOST_OPERATOR_SECONDS:
        raise TypeError(
            f"tool {made.name}: its seconds must be a number above 0, and {MOST_OPERATOR_SECONDS} at most, because the "
            "caller waits as long"
        )
    return replace(made, by_operator=True)


def _nobody(**given: Any) -> dict[str, str]:
    """Stand in for the function where no call is, in which somebody could be asked."""
    return {"error": "an operator answers this, in a call"}


def checked(tool: Tool) -> Tool:
    """Check a tool, and return it prepared to run. Raises TypeError."""
    if not _NAME.fullmatch(tool.name):
        raise TypeError(f"{tool.name!r} is no name for a tool: letters, digits, _ and -, at most 64 of them")
    if not callable(tool.function):
        raise TypeError(f"tool {tool.name}: its function is a {type(tool.function).__name__}, which cannot be called")
    seconds: Any = tool.seconds
    if seconds is not None and not (isinstance(seconds, (int, float)) and 0 < seconds <= _MOST_SECONDS):
        raise TypeError(f"tool {tool.name}: its seconds must be a number above 0, and {_MOST_SECONDS} at most")
    ready = _prepared(tool)
    check_encodable(tool.definition, f"tool {tool.name}")
    return replace(tool, ready=ready)


def _prepared(tool: Tool) -> Prepared:
    """Prepare a tool's schema. Raises TypeError."""
    try:
        schema = Schema(tool.parameters)
    except TypeError as error:
        raise TypeError(f"tool {tool.name}: its parameters are no JSON schema: {error}") from None
    if schema.needs_process:
        log.warning("tool %s: a pattern with look-around or the like makes checking its arguments slow", tool.name)
    try:
        takes_context = CONTEXT in inspect.signature(tool.function).parameters
    except Exception:  # some callables have no signature: they get what their definition says
        takes_context = False
    return Prepared(schema, takes_context)


def check_encodable(definition: Mapping[str, Any], what: str) -> None:
    """Check that a definition can be sent to the model. Raises TypeError."""
    try:
        msgspec.json.encode(definition)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TypeError(f"{what}: its definition cannot be written as JSON: {error}") from None


@dataclass(frozen=True, slots=True)
class Tools:
    """A set of tools. Definitions of MCP servers, whose tools the model's vendor runs (`remote`), are passed on."""

    local: Mapping[str, Tool] = field(default_factory=dict)
    remote: Sequence[Mapping[str, Any]] = ()
    hook: Tool | None = None
    """What is asked about each caller (see `HOOK`). The model knows nothing of it."""
    offered: dict[frozenset[object], Sequence[Mapping[str, Any]]] = field(
        default_factory=dict, repr=False, compare=False
    )
    """What calls are offered of this version, by the actions that their lines can do: made once, shared by all calls.
    See `callflow.tools.builtin`."""

    @property
    def definitions(self) -> list[dict[str, Any]]:
        """Return what the model is told of the tools: see `Tool.definition`."""
        return [*(tool.definition for tool in self.local.values()), *(dict(each) for each in self.remote)]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """Return the definitions without keys, to be shown to people."""
        return [*(tool.definition for tool in self.local.values()), *map(remote_tools.shown, self.remote)]

    def plus(self, more: Iterable[Tool]) -> Tools:
        """Return these tools and more; one with a name that exists already is left out."""
        return Tools({tool.name: tool for tool in more} | dict(self.local), self.remote)

    def only(self, names: Collection[str] | None) -> Tools:
        """Return those with these names, MCP servers by their labels, and `end_call`; None: all."""
        if names is None:
            return self
        local = {name: tool for name, tool in self.local.items() if name in names or name == END_CALL}
        return Tools(local, [each for each in self.remote if each.get("server_label") in names])

    async def run(
        self, name: str, arguments: str, context: ToolContext, *, seconds: float, hook: bool = False
    ) -> ToolResult:
        """Run a tool within its time limit, or within `seconds`. `arguments`: JSON, as the model wrote it. `hook`: the
        name may be `HOOK`, because it does not come from the model.

        Whatever goes wrong is a result that describes the error; only CancelledError is raised.
        """
        tool = self.hook if hook and name == HOOK else self.local.get(name)
        if tool is None:
            return error_result(f"there is no tool {name!r:.100}")
        this = _Run(tool, arguments, context)
        limit = tool.seconds or seconds
        try:
            if tool.on_loop:
                result = this.at_once()
            elif tool.elsewhere is not None:
                result = await tool.elsewhere.run(name, arguments, context, seconds=limit, version=tool.version)
            else:
                result = await runner.default_runner.run(context.call, name, limit, this.begin, this.finish)
        except NoOutcome as why:
            return error_result(f"{name} {why}")
        except Exception as error:
            result = this.failed(error)
        if result.trouble:
            log.error("call %s: tool %s failed: %s", context.call, name, result.trouble)
        return result


class _Run:
    """One run of a tool, in the parts that `Runner.run` needs. What goes wrong in a part is its result."""

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
            return error_result(str(unfit))
        except BaseException as error:
            return self.failed(error)
        finally:
            release(box)

    def finish(self, box: list[Any], error: BaseException | None, is_over: Callable[[], bool]) -> ToolResult:
        try:
            return self._written(box, is_over) if error is None else self.failed(error)
        finally:
            release(box)

    def at_once(self) -> ToolResult:
        """Run a built-in tool on the server's event loop."""
        result = self.begin(never)
        return result if isinstance(result, ToolResult) else error_result(f"{self._tool.name} has no answer")

    def failed(self, error: BaseException) -> ToolResult:
        return error_result(f"{self._tool.name} failed: {type(error).__name__:.100}", _where(error))

    def _written(self, box: list[Any], is_over: Callable[[], bool]) -> ToolResult:
        try:
            return ToolResult(to_json_text(box[0], is_over), True)
        except BaseException as error:
            why = str(error) if isinstance(error, NotJson) else type(error).__name__
            return error_result(f"the result of {self._tool.name} cannot be written as JSON: {why:.200}", _where(error))


def _where(error: BaseException) -> str:
    """Return what went wrong and where, in one line."""
    frames = traceback.extract_tb(error.__traceback__, limit=-50)
    last = next((frame for frame in reversed(frames) if __package__.replace(".", "/") not in frame.filename), None)
    place = f" ({Path(last.filename).name}, line {last.lineno})" if last is not None else ""
    return f"{describe_error(error)[:400]}{place}"[:500]


def describe_error(error: BaseException) -> str:
    """Return an exception as one line, even when its own `__str__` fails."""
    try:
        text = f": {error}"[:1000]
    except BaseException:
        text = ", which cannot be shown"
    return whole(" ".join(f"{type(error).__name__}{text}".split()))


def error_result(message: str, trouble: str = "") -> ToolResult:
    """Return a result that describes an error to the model. `trouble`: for the log."""
    return ToolResult(msgspec.json.encode({"error": whole(message)}).decode(), False, trouble)
