"""Asks for a session, and for less of it each time it is refused: by a `session.update` over the call's own socket, and
by the accept of a call beside ours.

A session is taken as a whole or refused as a whole. First everything is asked for, except what this account refused
before; then everything without the field that the server names; then what a call cannot do without; then that without
tools that are not ours.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from callflow.contracts.engine import SessionContext
from callflow.contracts.errors import HandshakeError
from callflow.engines import breaker
from callflow.engines.common.account import Account
from callflow.engines.common.refused_fields import FieldPath
from callflow.engines.openai_realtime import session_config, session_refusal
from callflow.engines.openai_realtime.session_config import RealtimeConfig


Stage = Literal["full", "minimal", "bare"]
MOST_TRIES: Final = 8
"""After so many refusals of one session no more single fields are left out of it."""


class ReducedSession(NamedTuple):
    """What to ask for after a refusal."""

    stage: Stage
    number: int
    """Counts the refusals in which a field was named; 0: this is the first session of its stage."""
    session: dict[str, Any]
    left_out: str
    """The field that is not asked for any more, as text; "": the server named none."""


class SessionFallback:
    """The way down from everything to the least, for one session."""

    def __init__(self, account: Account) -> None:
        self.left_out: tuple[FieldPath, ...] = ()
        """Fields that the server refuses."""
        self.session: dict[str, Any] = {}
        """What was asked for last."""
        self._account = account
        self._stage: Stage = "full"
        self._refusals = 0
        self._whole: dict[str, Any] = {}
        self._key = ""

    def first(self, config: RealtimeConfig, context: SessionContext) -> dict[str, Any]:
        """Return the whole session, without the fields that this account refused before."""
        self._stage, self._refusals = "full", 0
        self._whole = session_config.session(config, context)
        self._key = f"{config.model} {config.url} {config.api_key}"
        self.left_out = self._account.refused_fields.recall(self._key, self._whole)
        self.session = session_refusal.without(self._whole, self.left_out)
        return self.session

    def reduced(
        self, config: RealtimeConfig, context: SessionContext, message: str, param: Any
    ) -> ReducedSession | None:
        """Return what to ask for after a refusal; None: there is nothing less. `message`, `param`: of the error."""
        self._refusals += 1
        path = session_refusal.refused_field(self.session, param, message)
        self._whole = session_config.session(config, context)
        minimal = session_config.minimal_session(config, context)
        bare = session_refusal.functions_only(minimal)
        number, what = 0, ""
        if path is not None and path not in self.left_out and self._refusals < MOST_TRIES:
            self.left_out = (*self.left_out, path)
            number, what = self._refusals, session_refusal.shown(path)
        elif self._stage == "full":
            self._stage = "minimal"
        elif self._stage == "minimal" and bare != minimal:
            self._stage = "bare"
        else:
            return None
        wanted = {"full": self._whole, "minimal": minimal, "bare": bare}[self._stage]
        self.session = session_refusal.without(wanted, self.left_out)
        return ReducedSession(self._stage, number, self.session, what)

    def taken(self) -> None:
        """Remember what was left out of the session that was taken, for the account's other sessions."""
        self._account.refused_fields.keep(self._key, self._whole, self.left_out)


class AcceptOffer:
    """The session with which a call beside ours is accepted: see `callflow.contracts.engine.SessionOffer`.

    Vendor: https://platform.openai.com/docs/api-reference/realtime-calls/accept-call
    """

    def __init__(self, config: RealtimeConfig, context: SessionContext, account: Account) -> None:
        self._config, self._context, self._account = config, context, account
        self._fallback = SessionFallback(account)

    def first(self) -> dict[str, Any]:
        """Return the session to ask for at first."""
        return self._with_model(self._fallback.first(self._config, self._context))

    def reduced(self, message: str, param: str) -> dict[str, Any] | None:
        """Return what to ask for after a refusal; None: there is nothing less."""
        less = self._fallback.reduced(self._config, self._context, message, param)
        if less is not None and less.left_out:
            self._account.warn_left_out(less.left_out, "the accept of a call was refused for it")
        return less and self._with_model(less.session)

    @property
    def vendor_refuses(self) -> str:
        """Return why nothing is asked for now; "": it may be. An open breaker is for accepts, too."""
        return (self._account.why or "it is not asked") if self._account.is_open else ""

    def failed(self, status: int, wait: float) -> None:
        """Note the HTTP status with which an accept was answered; `wait`: seconds for which the vendor asked."""
        why = f"HTTP {status}"
        refusal = HandshakeError(why, why, counts=breaker.refusal_counts(status), retry=True, status=status, wait=wait)
        self._account.failed(self._config, self._context.call, refusal)

    def taken(self) -> None:
        """Note that the call was accepted with the session that was asked for last."""
        self._fallback.taken()

    def _with_model(self, session: dict[str, Any]) -> dict[str, Any]:
        return {**session, "model": self._config.model}
