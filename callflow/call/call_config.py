"""The configuration of one call: the settings for its number, grouped by the packages that use them.

`callflow.switchboard.call_configs` makes one for each profile. No field is specific to a carrier or an engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from callflow.agent.agent_config import AgentConfig
from callflow.call.machine import Fallback
from callflow.config.opening_hours import OpeningHours
from callflow.contracts.carrier import CarrierCan
from callflow.contracts.engine import MakeEngine
from callflow.media.clips import Clip
from callflow.media.media_config import MediaConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class CallConfig:
    """The config of one call."""

    agent: AgentConfig
    media: MediaConfig
    clips: Mapping[str, Clip]
    """Our own recorded sentences, by name, in the language of this call."""
    deadline_seconds: Mapping[str, float]
    """Seconds, by the names in `callflow.call.machine.DEADLINES`."""
    remote_seconds: float
    """The longest call whose audio does not come here: its session ends by itself, and no other takes over."""
    profile: str
    """The profile of the dialled number; "": the number has none."""
    profile_version: int
    """Which version of it the database has; 0: it is none of the database."""
    business: str
    """Whose call it is; "": nobody's in particular."""
    overrides: Mapping[str, Any]
    """Settings that operators had changed when the call began, by name. They hold for the whole call, even if another
    process continues it."""

    plain_disclosure: str
    """The sentence that the agent says first, without the announcement of a recording."""
    record: bool
    """The call is recorded, in stereo, from its first sound on."""
    carrier_record: bool
    """The carrier records the call."""
    record_announcement: str
    """What the caller of a recorded call hears before all else; "": nothing."""
    record_pause_seconds: float
    """After which a pause of the recordings ends by itself."""
    record_after_opening: bool
    """The recording begins once the caller has heard the protected greeting, which announces the recording, in full."""

    profile_daily_minutes: float
    profile_daily_usd: float
    """What the calls of this profile may take in a day; 0: no limit."""
    over_budget: Literal["sentence", "busy", "fallback"]
    """What becomes of a caller past that."""
    route: Literal["stream", "sip"]
    """Where callers are answered: here, or at a SIP address of the engine's."""
    sip_address: str
    """That address; "": there is none."""
    opening: OpeningHours | None
    """When callers are answered; None: always."""
    when_closed: Literal["sentence", "busy", "fallback"]
    """What becomes of a caller at other hours."""
    when_full: Literal["sentence", "busy", "fallback"]
    """What becomes of a caller for whom there is no room."""
    allowed_tools: frozenset[str] | None
    """The tools that the agent has; None: all."""

    briefing_text: str
    """What a person hears before a transferred call is theirs, with `{caller}` and `{summary}`."""
    transfer_targets: Mapping[str, str]
    """Telephone numbers by the names under which they may be reached."""
    transfer_ring_seconds: float
    listen_notice: str
    """What both sides of a transferred call are told before it is listened to them; "": nobody listens."""
    make_listener: MakeEngine
    """Makes a session that writes down what it hears, and says nothing."""
    transfer_take_back: bool
    """The agent takes the caller back when the person hangs up."""
    fallback_number: str
    """With whom a caller is connected whom this line cannot serve, in E.164; "": with nobody."""
    fallback_text: str
    """What such a caller hears, in the carrier's voice; "": a recorded sentence."""
    dial_seconds: float
    """How long an outbound call may ring."""
    machine_detection: bool
    """The carrier listens to who answers an outbound call."""
    voicemail_message: str
    """What is said on an answering machine; "": nothing, the call ends."""

    left_out: tuple[str, ...]
    """Names of `{{name}}` in instructions and greeting that have no value for this call, and were left out."""

    engine_tries: int
    """How many sessions of the engine are tried after the loss of one."""
    stream_tries: int
    """How many media streams are tried after the loss of one."""

    tool_timeout_seconds: float
    tool_filler_after_ms: int
    """Milliseconds after which the agent says that it is still busy with a tool."""

    hold_music: Literal["music", "clip", "silence"]
    """What a caller on hold hears."""
    noise_suppression: Literal["off", "inbound"]
    """inbound: the carrier takes noise out of the caller's audio, if it can."""
    dtmf_tool: Literal["never", "outbound", "always"]
    """In which calls the agent has the tool that presses keys."""

    dtmf_pause_seconds: float
    """Seconds after the last digit, before the digits go to the agent."""
    dtmf_end: str
    """The digit that ends an entry at once; "": none does."""
    dtmf_sensitive: bool
    """The agent gets the digits, but they are not written down anywhere."""

    @property
    def machines(self) -> Literal["", "hang_up", "message"]:
        """What an outbound call does about an answering machine; "": nothing, and the carrier does not listen. Where
        whoever answers is led away, there is nobody here who could leave a message."""
        if not self.machine_detection:
            return ""
        return "message" if self.voicemail_message.strip() and self.route != "sip" else "hang_up"

    def announced(self) -> CallConfig:
        """Return the config of a call that is recorded: it begins with the announcement, if there is one, and the
        recording waits for its end."""
        if not self.record_announcement:
            return self
        agent = replace(self.agent, disclosure=f"{self.record_announcement} {self.plain_disclosure}".strip())
        return replace(self, agent=agent, record_after_opening=True)

    def recorded_by_carrier(self) -> CallConfig:
        """Return the config of a call that the carrier is to record, although the settings may not say so."""
        return replace(self.announced(), carrier_record=True)

    def for_carrier(self, can: frozenset[CarrierCan]) -> CallConfig:
        """Return the config for a call of a carrier with these capabilities: where the audio does not come here,
        nothing is recorded, nobody is told that it is, and the call's time is over before that of its session."""
        if "media_is_remote" not in can:
            return self
        before, last = self.deadline_seconds["warning"], self.deadline_seconds["call"]
        longest = min(before + last, self.remote_seconds)
        last = min(last, longest)
        agent = replace(self.agent, disclosure=self.plain_disclosure, max_call_warning_seconds=last)
        deadlines = {**self.deadline_seconds, "warning": longest - last, "call": last}
        return replace(
            self, agent=agent, deadline_seconds=deadlines, record=False, carrier_record=False,
            record_after_opening=False, listen_notice="", noise_suppression="off", dtmf_tool="never",
        )  # fmt: skip

    def machine_config(self, can: frozenset[CarrierCan], *, called: str | None) -> dict[str, Any]:
        """Return the arguments of the call's `machine.Model`. `can`: the carrier's capabilities. `called`: the number
        that was called, which no caller is sent back to; None: we dial."""
        connects = "transfers" in can or {"media_is_remote", "refers"} <= can
        number = self.fallback_number if connects and self.fallback_number != called else ""
        spoken = bool(self.fallback_text.strip()) and "speaks" in can
        chosen = Fallback(number, int(self.transfer_ring_seconds), spoken) if number or spoken else None
        return {
            "fallback": chosen if called is not None else None,
            "engine_tries": self.engine_tries,
            "stream_tries": self.stream_tries if "streams_on_request" in can else 0,
            "suppress_noise": self.noise_suppression == "inbound" and "suppresses_noise" in can,
        }
