"""One session of the emulated OpenAI Realtime server: its life, and what each client event does to it.

Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from callflow.sandbox.openai_realtime import config as settings
from callflow.sandbox.openai_realtime import validation as check
from callflow.sandbox.openai_realtime.errors import Refusal
from callflow.sandbox.openai_realtime.events import parse, validate
from callflow.sandbox.openai_realtime.faults import Faults, Quirks
from callflow.sandbox.openai_realtime.hosted_tools import HostedTools
from callflow.sandbox.openai_realtime.input import CallerAudio
from callflow.sandbox.openai_realtime.items import Item, Tokens
from callflow.sandbox.openai_realtime.response import RATE_LIMITED, Response
from callflow.sandbox.openai_realtime.script import Pace, Script, Turn
from callflow.sandbox.openai_realtime.state import SessionState


_ON_ITS_WAY_SECONDS: Final = 0.25
"""How long a client may not know yet that a response has ended, and so cancel it."""


class Session(SessionState):
    """A session, with what the client sent and got: `received`, `sent`, `wait_for`, `wait_sent` (see `Connection`).

    Args:
        keep_audio: whether `audio_in` keeps what the caller says.
    """

    def __init__(
        self,
        socket: ServerConnection,
        number: int,
        *,
        model: str,
        transcription: bool,
        script: Script,
        pace: Pace,
        quirks: Quirks,
        faults: Callable[[], Faults],
        keep_audio: bool,
    ) -> None:
        super().__init__(
            socket,
            number,
            model=model,
            transcription=transcription,
            script=script,
            pace=pace,
            quirks=quirks,
            faults=faults,
        )
        self.updates = 0
        """How many `session.update` were applied."""
        self.responses: list[Response] = []
        """All that were ever created, in order."""
        self.violations: list[str] = []
        """Every refusal of what the client sent, as "event type: message"."""
        self.tool_outputs: dict[str, list[str]] = {}
        """What the client answered to each tool call, in order."""
        self.caller = CallerAudio(
            self,
            keep=keep_audio,
            on_interruption=lambda: self.interrupt("turn_detected"),
            on_turn=self.answer_turn,
        )
        self._hosted = HostedTools(self)
        self._turns_used = 0
        self._queued_turn = False
        self._timers: list[asyncio.TimerHandle] = []
        self._events_read = 0

    @property
    def audio_in(self) -> bytearray:
        """All audio of the caller, decoded, in order."""
        return self.caller.audio

    @property
    def active(self) -> Response | None:
        """The response under way in the default conversation, where one runs at a time."""
        latest = next((one for one in reversed(self.responses) if one.in_conversation), None)
        return latest if latest is not None and latest.active else None

    # -- life

    async def run(self) -> None:
        """Serve the socket until it closes, then end everything that belongs to the session."""
        writer = asyncio.create_task(self.write())
        try:
            self._begin()
            await self._read()
        except ConnectionClosed:
            pass
        finally:
            self.caller.disarm_idle()
            for timer in self._timers:
                timer.cancel()
            await self.cancel_tasks(writer)
            self.set_closed()

    async def _read(self) -> None:
        while True:
            limit = self.faults.stop_reading_after
            if limit is not None and self._events_read >= limit:
                self._socket.transport.pause_reading()
                await self._socket.wait_closed()
                return
            frame = await self._socket.recv()
            self._events_read += 1
            self._frame(frame)

    def _begin(self) -> None:
        faults = self.faults
        self._timers.append(self._loop.call_later(self.quirks.session_seconds, self._expire))
        if faults.drop_after_s is not None:
            self._timers.append(self._loop.call_later(faults.drop_after_s, lambda: self.spawn(self.end_by_fault())))
        if faults.freeze_after_s is not None:
            self._timers.append(self._loop.call_later(faults.freeze_after_s, self.freeze))
        if faults.no_session_created:
            return
        shown = _odd(self.config) if faults.odd_defaults else self.config
        self.emit("session.created", session=shown)
        self._hosted.named(self.config.get("tools", []))
        if self.quirks.conversation_created:
            self.emit(
                "conversation.created", conversation={"id": self.conversation_id, "object": "realtime.conversation"}
            )

    def _expire(self) -> None:
        message = f"Your session hit the maximum duration of {self.quirks.session_seconds / 60:g} minutes."
        if self.quirks.expiry != "close":
            self.fail("session_expired", message)
        if self.quirks.expiry != "error":
            self.close(1001, message)

    # -- client events

    def _frame(self, frame: str | bytes) -> None:
        event: dict[str, Any] = {}
        try:
            event = parse(frame)
            validate(event)
            if event["type"] == "input_audio_buffer.append":
                size = self.caller.append(event["audio"])
                self.note({name: value for name, value in event.items() if name != "audio"}, size)
                if self.script.echo:
                    self._echo(event["audio"], size)
                else:
                    self.caller.listen()
                return
            self.note(event)
            self._HANDLERS[event["type"]](self, event)
        except Refusal as refusal:
            if not self.received or self.received[-1].event is not event:
                self.note(event)
            if not refusal.met:
                self.violations.append(f"{event.get('type', 'frame')}: {refusal.message}")
            event_id = event.get("event_id")
            self.emit("error", error=refusal.error(event_id if isinstance(event_id, str) else None))

    def _session_update(self, event: dict[str, Any]) -> None:
        faults = self.faults
        config = settings.updated(self.config, event["session"], self.quirks, voice_locked=self.voice_locked)
        asked = event["session"].get("audio", {}).get("input", {})
        if faults.refuse_transcription and asked.get("transcription") is not None:
            model = asked["transcription"].get("model")
            self._refuse_by_fault(event, f"The model `{model}` does not exist or you do not have access to it.")
        elif faults.take("refuse_session_update"):
            self._refuse_by_fault(event, "Invalid value: this update is refused by the sandbox.")
        else:
            if faults.wrong_formats_echoed:
                for side in config["audio"].values():
                    side["format"] = {"type": "audio/pcm", "rate": 24000}
            self.config = config
            self.updates += 1
            self.caller.configure()
            if not faults.no_session_updated:
                self.emit("session.updated", session=self.config)
            self._hosted.named(config.get("tools", []))

    def _refuse_by_fault(self, event: dict[str, Any], message: str) -> None:
        self.emit("error", error=Refusal(message, "invalid_value", "session").error(event.get("event_id")))

    def _commit(self, event: dict[str, Any]) -> None:
        self.caller.commit()

    def _clear(self, event: dict[str, Any]) -> None:
        self.caller.clear()

    def _output_clear(self, event: dict[str, Any]) -> None:
        raise Refusal("output_audio_buffer.clear is for WebRTC and SIP sessions only.", "invalid_value", "type")

    def _item_create(self, event: dict[str, Any]) -> None:
        data = copy.deepcopy(event["item"])
        if data["type"] == "function_call_output" and not self.conversation.knows_call(data["call_id"]):
            raise Refusal(
                f"Tool call ID '{data['call_id']}' not found in conversation.", "invalid_tool_call_id", "item.call_id"
            )
        if data["type"] == "mcp_approval_response" and not self.conversation.awaits_leave(data["approval_request_id"]):
            message = f"No approval request with id '{data['approval_request_id']}' waits for an answer."
            raise Refusal(message, "invalid_value", "item.approval_request_id")
        if "id" in data and self.conversation.find(data["id"]) is not None:
            raise Refusal(f"Item with id '{data['id']}' already exists.", "invalid_value", "item.id")
        if data["type"] == "function_call":
            data.setdefault("call_id", self.new_id("call"))
        if data["type"] == "function_call_output":
            self.tool_outputs.setdefault(data["call_id"], []).append(data["output"])
        identity = {"id": data.pop("id", None) or self.new_id("item"), "object": "realtime.item"}
        item = Item({**identity, **data, "status": "completed"})
        previous = self.conversation.insert(item, event.get("previous_item_id"))
        self.emit("conversation.item.added", previous_item_id=previous, item=item.public())
        self.emit("conversation.item.done", previous_item_id=previous, item=item.public())

    def _item_retrieve(self, event: dict[str, Any]) -> None:
        item = self.conversation.get(event["item_id"], "retrieve")
        self.emit("conversation.item.retrieved", item=item.with_audio())

    def _item_delete(self, event: dict[str, Any]) -> None:
        item = self.conversation.get(event["item_id"], "delete")
        self.items.remove(item)
        self.emit("conversation.item.deleted", item_id=item.id)

    def _item_truncate(self, event: dict[str, Any]) -> None:
        item = self.conversation.get(event["item_id"], "truncate")
        if not item.spoken:
            raise Refusal("Only model output audio messages can be truncated")
        if event["content_index"] != 0:
            raise Refusal(f"Invalid content index: {event['content_index']}", "invalid_value", "content_index")
        wanted, length = event["audio_end_ms"], int(item.audio_ms)
        if wanted > length:
            refusal = Refusal(
                f"Audio content of {length}ms is already shorter than {wanted}ms", "invalid_value", anonymous=True
            )
            if self.quirks.truncate_overrun == "reject":
                raise refusal
            self.violations.append(f"conversation.item.truncate: {refusal.message}")
            self.emit("error", error=refusal.error(None))
            wanted = length
        item.truncate(wanted)
        self.emit("conversation.item.truncated", item_id=item.id, content_index=0, audio_end_ms=wanted)

    def _response_create(self, event: dict[str, Any]) -> None:
        params = event.get("response") or {}
        if self.config["type"] == "transcription":
            raise Refusal("A transcription session creates no responses.", "invalid_event", "type")
        active = self.active
        if active is not None and params.get("conversation", "auto") == "auto":
            raise Refusal(
                f"Conversation already has an active response in progress: {active.id}. "
                "Wait until the response is finished before creating a new one.",
                "conversation_already_has_active_response",
                anonymous=True,
            )
        settings.no_dead_prompt(params, "response.prompt", self.quirks)
        check.duplicate_labels(params.get("tools", []), "response.tools")
        tools = check.with_definitions(params.get("tools", []), self.config["tools"], "response.tools")
        for name in ("reasoning", "parallel_tool_calls"):
            if name in params:
                settings.needs_reasoning_model(self.config["model"], name)
        voice = (params.get("audio") or {}).get("output", {}).get("voice")
        if self.voice_locked and voice not in (None, self.config["audio"]["output"]["voice"]):
            raise Refusal("Cannot update a conversation's voice if assistant audio is present.", "cannot_update_voice")
        for n, item in enumerate(params.get("input", ())):
            if item["type"] == "item_reference" and self.conversation.find(item["id"]) is None:
                raise Refusal(f"Item with item_id not found: {item['id']}", "invalid_value", f"response.input[{n}].id")
        self._hosted.named(tools)
        self.respond(params)

    def _response_cancel(self, event: dict[str, Any]) -> None:
        wanted = event.get("response_id")
        running = [one for one in self.responses if one.active and wanted in (None, one.id)]
        running = [one for one in running if wanted is not None or one.in_conversation]
        if not running:
            over = [one.ended_by_itself_at for one in self.responses if wanted in (None, one.id)]
            met = bool(over) and over[-1] > self.now() - _ON_ITS_WAY_SECONDS
            raise Refusal("Cancellation failed: no active response found", "response_cancel_not_active", met=met)
        running[-1].stop("client_cancelled")

    _HANDLERS = {  # noqa: RUF012 - a table, never changed
        "session.update": _session_update,
        "input_audio_buffer.commit": _commit,
        "input_audio_buffer.clear": _clear,
        "output_audio_buffer.clear": _output_clear,
        "conversation.item.create": _item_create,
        "conversation.item.retrieve": _item_retrieve,
        "conversation.item.truncate": _item_truncate,
        "conversation.item.delete": _item_delete,
        "response.create": _response_create,
        "response.cancel": _response_cancel,
    }

    # -- responses

    def respond(self, params: dict[str, Any]) -> None:
        """Create a response, as the script and the faults say."""
        faults = self.faults
        if faults.fatal_error:
            kind = "insufficient_quota" if faults.fatal_error == "insufficient_quota" else "invalid_request_error"
            self.fail(faults.fatal_error, f"The sandbox ends this session: {faults.fatal_error}.", kind=kind)
            self.close(4000, f"{kind}.{faults.fatal_error}")
            return
        aside = params.get("conversation") == "none"
        turn = self.script.aside if aside else self.script.turn(self._turns_used)
        if faults.mute:
            return
        if faults.take("rate_limit_next"):
            turn = Turn(status="failed", error_code=RATE_LIMITED)
        elif not aside:
            self._turns_used += 1
        if turn.mute:
            return
        self.caller.disarm_idle()
        response = Response(self, turn, params, on_end=self._response_ended)
        self.responses.append(response)
        if self.script.echo and not aside:
            response.start_echo()
        else:
            response.start()

    def answer_turn(self) -> None:
        """Create the response to a caller who has finished, or has been silent for too long."""
        if self.config["type"] == "transcription":
            return
        if self.active is not None:
            self._queued_turn = self.quirks.turn_while_active == "queue"
            return
        self.respond({})

    def interrupt(self, reason: str) -> None:
        """Cancel the response under way: "turn_detected" or "client_cancelled"."""
        if self.active is not None:
            self.active.stop(reason)

    def _response_ended(self, response: Response, tokens: Tokens) -> None:
        if not response.in_conversation:
            return
        if response.status == "completed":
            self._cached = tokens
        played = 0.0 if response.first_audio_at is None else self.now() - response.first_audio_at
        self.caller.arm_idle(max(0.0, response.audio_ms / 1000 - played))
        if self._queued_turn:
            self._queued_turn = False
            self.respond({})

    def _echo(self, base64: str, size: int) -> None:
        if self.script.on_echo is not None:
            self.script.on_echo(base64)
        if self.active is None:
            self.respond({})
        if self.active is not None:
            self.active.echo(base64, size)


def _odd(config: dict[str, Any]) -> dict[str, Any]:
    """Return the session with other defaults than documented."""
    odd = copy.deepcopy(config)
    odd["horoscope"] = {"sign": None}
    odd["instructions"] = ""
    odd["audio"]["input"]["turn_detection"] = None
    odd["audio"]["input"]["format"] = {"type": "audio/pcm", "rate": 16000}
    if "output" in odd["audio"]:
        odd["audio"]["output"] |= {"voice": "cedar", "speed": 1.5}
    return odd
