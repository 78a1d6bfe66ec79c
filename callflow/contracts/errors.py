"""What can go wrong, whose fault it is, and whether trying again can help: the one tree of exceptions.

The same types decide retries, HTTP answers, counters and what the caller hears. Every exception class of the product is
here, so that whoever catches one finds all that there is beside it.

    CallflowError
    ├── of whoever sent us something: Malformed, Forged, Refused, OutOfBounds, RequestRefused, BadRequest,
    │                                 AccessRefused, DialRefused, NumberRefused, ProfileRefused, ToolRefused,
    │                                 BadList, BadQuery, SessionRefused
    ├── of the carrier, or the way to it: CarrierError, TunnelError
    ├── of the engine: EngineError (HandshakeError, CallOver), VendorRefused
    ├── of a tool, or its file: ToolsError, ToolCallError (ArgumentsError, NoOutcome, NotJson, TooManyTools, Abandoned,
    │                                                  AskOperator)
    ├── of who set it up, or typed the command: SettingsError, CommandLineError (JournalFileError, CallNotFound,
    │                                           OutputError, UnreadableRecording, DrillFailed, BenchError,
    │                                           ConsoleError (ServerAway, AnswerLost))
    └── our own limits, the database, other nodes: Overloaded, LookupFailed, ControlFailed, CallElsewhere, PeerAway,
                                                   DatabaseError, JournalError, BrokenRecording, StoreAway,
                                                   CannotWrite, WorkerFailed, McpToolError
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal


Fault = Literal["carrier", "engine", "sender", "tool", "ours"]
Refuses = Literal["", "number", "limit", "account"]
"""What a carrier's refusal to dial is about: the number that was dialled; how much is dialled now, or trouble of the
carrier's own, which pass; the account, whatever number is dialled. "": that is not known."""
RefusalCounts = Literal["", "one", "at once"]
"""What a refusal says about an account: nothing; something, if it is not the only one; all there is to say."""
ToolLimit = Literal["", "call", "tool", "reserve", "all"]
"""Which bound keeps a tool from running now: see `callflow.tools.concurrency`. "": none."""


class CallflowError(Exception):
    """The root: `whose` fault it is, and whether the same may be tried again (`retry`)."""

    whose: ClassVar[Fault] = "ours"
    retry: bool = False


# Faults of whoever sent us something


class Malformed(CallflowError):
    """A webhook, frame or event that cannot be read. Sending the same again will not help: HTTP 400."""

    whose = "sender"


class Forged(CallflowError):
    """No valid signature, or one that is too old or from the future: HTTP 403, so that the carrier does not retry."""

    whose = "sender"


class Refused(CallflowError):
    """A media socket without a valid token for a live call."""

    whose = "sender"


class OutOfBounds(CallflowError, ValueError):
    """JSON from outside that is nested too deep, or holds too many values. The message has no full stop."""

    whose = "sender"


class RequestRefused(CallflowError):
    """An HTTP request that is closed unread: its bytes break a bound of the listener."""

    whose = "sender"


class BadRequest(CallflowError):
    """A request of an operator that cannot be used: the HTTP status, and a sentence for each problem."""

    whose = "sender"

    def __init__(self, status: int, *problems: str) -> None:
        super().__init__(problems[0])
        self.status, self.problems = status, problems


class AccessRefused(CallflowError):
    """An operator's request that is not let in: HTTP status, one sentence, and headers beside the usual ones."""

    whose = "sender"

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None, *, logged: str = ""
    ) -> None:
        """`logged`: what the log says instead of the sentence."""
        super().__init__(logged or sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}


class DialRefused(CallflowError):
    """An outbound call that is not dialled: the HTTP status, and a sentence for each reason."""

    whose = "sender"

    def __init__(self, status: int, *reasons: str, wait: int = 0) -> None:
        super().__init__(reasons[0])
        self.status, self.reasons = status, reasons
        self.wait = wait
        """Seconds after which it may be asked for again; 0: asking again will not help."""


class NumberRefused(CallflowError):
    """A number that is not changed: the HTTP status, and a sentence for each reason."""

    whose = "sender"

    def __init__(self, status: int, *reasons: str) -> None:
        super().__init__(" ".join(reasons))
        self.status, self.reasons = status, reasons


class ProfileRefused(CallflowError):
    """A change of a profile that is not made: the HTTP status, and a sentence for each reason."""

    whose = "sender"

    def __init__(self, status: int, *reasons: str) -> None:
        super().__init__(" ".join(reasons))
        self.status, self.reasons = status, reasons


class ToolRefused(CallflowError):
    """A change of a tool that is not made: the HTTP status, and a sentence for each reason."""

    whose = "sender"

    def __init__(self, status: int, *reasons: str) -> None:
        super().__init__(" ".join(reasons))
        self.status, self.reasons = status, reasons


class BadList(CallflowError, ValueError):
    """A list of numbers to dial that cannot be read at all; the message says why, in a sentence."""

    whose = "sender"


class BadQuery(CallflowError, ValueError):
    """A search that makes no sense; the message says what would."""

    whose = "sender"


class SessionRefused(CallflowError):
    """A change of a session that cannot be made: a line for each reason."""

    whose = "sender"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


# Faults of the carrier's API, and of the way to it


class CarrierError(CallflowError):
    """A command that failed.

    `status` 0: no answer came. `gone`: the carrier says that the call is over. `retry`: the same command, under the
    same id, may be sent again. `unknown`: whether the command had an effect is not known.
    """

    whose = "carrier"

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        gone: bool = False,
        retry: bool = False,
        unknown: bool = False,
        wait: float = 0.0,
        refuses: Refuses = "",
        param: str = "",
        said: str = "",
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.gone, self.retry, self.unknown = status, code, gone, retry, unknown
        self.refuses: Refuses = refuses
        self.param, self.said = param, said
        """Which part of the command was refused, and the carrier's own words, to be searched and never shown: they may
        quote a secret. "": it did not say."""
        self.wait = wait
        """Seconds that the carrier asked us to wait before the next try; 0: it did not say."""


class TunnelError(CallflowError):
    """No way in from outside could be opened. The message says what to do."""

    whose = "carrier"


# Faults of the engine


class EngineError(CallflowError):
    """The engine refused us or broke off. `retry`: a new connection may do better; `wait`: seconds until then."""

    whose = "engine"

    def __init__(self, message: str, *, retry: bool = True, wait: float = 0.0) -> None:
        super().__init__(message)
        self.retry = retry
        self.wait = wait


class HandshakeError(EngineError):
    """The engine refused the connection. `counts`: what that says about the account; `why`: in a few words of ours."""

    def __init__(
        self, message: str, why: str, *, counts: RefusalCounts, retry: bool, wait: float = 0.0, status: int = 0
    ) -> None:
        """`status`: of the HTTP answer; 0: there was none."""
        super().__init__(message, retry=retry, wait=wait)
        self.counts: RefusalCounts = counts
        self.why, self.status = why, status


class CallOver(EngineError):
    """The call beside which a session was is over: its socket is not found any more."""


class VendorRefused(CallflowError):
    """The vendor's REST API refused a request, or gave no answer. `status`: its own, or 502 or 504."""

    whose = "engine"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


# Faults of a tool, or of its file


class ToolsError(CallflowError):
    """The tools' file cannot be used. One line, which says where and why."""

    whose = "tool"


class ToolCallError(CallflowError):
    """A call of a tool that has no result; the model is told so instead."""

    whose = "tool"


class ArgumentsError(ToolCallError):
    """Arguments that the tool is not run with. One sentence, for the model."""


class NoOutcome(ToolCallError):
    """The time has passed, or it could not begin. The message goes on behind the tool's name."""


class AskOperator(ToolCallError):
    """No function runs for this tool: an operator answers it, within so many `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("an operator answers it")
        self.seconds = seconds


class NotJson(ToolCallError):
    """A result that is no JSON. The message says why, in a few words."""


class TooManyTools(ToolCallError):
    """There is no place for this now. `reason`: which bound was reached."""

    retry = True

    def __init__(self, reason: ToolLimit) -> None:
        super().__init__(reason)
        self.reason: ToolLimit = reason


class Abandoned(ToolCallError):
    """Nobody waits for this result any more."""


# Faults of whoever set it up, or typed the command


class SettingsError(CallflowError):
    """The settings cannot be used. `problems` holds one line for each thing to correct; `warnings` may explain them."""

    def __init__(self, problems: list[str], warnings: list[str] | None = None) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.warnings = warnings or []


class CommandLineError(CallflowError):
    """A command that cannot do what it was asked for. The message says why, and what to do."""


class JournalFileError(CommandLineError):
    """A file of journal entries that cannot be read or written."""


class CallNotFound(JournalFileError):
    """The call that was asked for is not in the history."""


class OutputError(CommandLineError, BrokenPipeError):
    """What is printed cannot be written, and not because nobody reads on: the disk is full, say."""


class UnreadableRecording(CommandLineError):
    """A sound file that cannot be played into a call: which, why, and what would do instead."""


class DrillFailed(CommandLineError):
    """The drill cannot go on, and no line is to blame: what happened, and what to do."""


class BenchError(CommandLineError):
    """There are no figures."""


class ConsoleError(CommandLineError):
    """The running server cannot be asked: there is none, or it does not let us in."""


class ServerAway(ConsoleError):
    """No server is running."""

    retry = True


class AnswerLost(ConsoleError):
    """The running server has not answered, and may have done what it was asked for."""

    retry = True


# Our own limits, and the database


class Overloaded(CallflowError):
    """A bound of ours was reached (a call's mailbox). The sender may try again later: HTTP 503."""

    retry = True


class LookupFailed(CallflowError):
    """The caller lookup gave nothing that can be used; the message says why, without its address or what it said."""


class ControlFailed(CallflowError):
    """The control endpoint gave nothing that can be used, as of `LookupFailed`."""


class CallElsewhere(CallflowError):
    """A call that another node of the cluster has: whatever comes about it is for that node. The message is the call's
    id."""


class PeerAway(CallflowError):
    """Another node of the cluster does not answer. `sent`: it may have got the request. `refused`: its machine answers,
    and says that nobody listens there."""

    retry = True

    def __init__(self, message: str, *, sent: bool, refused: bool = False) -> None:
        super().__init__(message)
        self.sent, self.refused = sent, refused


class WorkerFailed(CallflowError):
    """A process that makes large answers for the server has ended, or cannot make one; the message says why."""


class DatabaseError(CallflowError):
    """The database cannot be used; the message says what to do about it."""


class JournalError(CallflowError):
    """A journal entry is not committed."""

    retry = True


class BrokenRecording(CallflowError):
    """A file among the recordings that is none of ours."""


class StoreAway(CallflowError):
    """The store of the recordings does not answer, or refuses; the message says why, without keys."""

    retry = True


class CannotWrite(CallflowError):
    """A journal entry that cannot be encoded, or makes no sense to the projection; `why`: what went wrong."""

    def __init__(self, why: Exception) -> None:
        super().__init__(type(why).__name__)
        self.why = why


class McpToolError(CallflowError):
    """What an MCP client is told instead of a result."""
