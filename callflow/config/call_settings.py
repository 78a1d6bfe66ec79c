"""The settings that say how a call is conducted: the model, what it is told, how long each thing may take.

These, and no others, may differ from number to number and from call to call (see `callflow.config.profiles`). The text
below each setting is its documentation: docs/settings.md is made from it, by `python -m callflow.cli.settings_page`. A
comment between two empty lines is the heading of what follows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from callflow.config import opening_hours, validators
from callflow.config.origins import OriginSettings
from callflow.config.transfer_targets import checked as checked_targets


Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
"""A time in seconds that cannot be switched off."""
Off = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
"""A time in seconds; 0 switches it off."""
Milliseconds = Annotated[int, Field(ge=0, le=60_000)]
Times = Annotated[int, Field(ge=0, le=100)]
"""How often something is tried or done."""
OfADay = Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False)]
"""Minutes or dollars that the calls of a day may take; 0: no limit."""
Text = Annotated[str, Field(min_length=1)]
"""A text that must not be empty."""
Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
"""Accepts a choice in capitals, too."""


class CallSettings(OriginSettings):
    """The settings that may differ from call to call; frozen."""

    # The voice model

    engine: Annotated[Literal["openai_realtime", "openai_live"], Lower] = "openai_realtime"
    """Which of OpenAI's interfaces speaks with the caller: `openai_realtime`, in turns, or `openai_live` (GPT-Live),
    full-duplex: the model decides at every moment who speaks, and is paid by the second."""
    fallback_engine: Annotated[Literal["", "openai_realtime", "openai_live"], Lower] = ""
    """The engine that goes on with a call when the first is lost and does not come back, and that takes calls while the
    first takes none. Empty: none."""
    model: Text = "gpt-realtime-2.1"
    """The Realtime model of OpenAI that speaks with the caller."""
    live_model: Text = "gpt-live-1"
    """The model of `openai_live`."""
    delegation_model: str = ""
    """For `openai_live`: the model that calls the tools, one of OpenAI's Responses interface. Empty: there are no tools
    in its sessions, and the agent cannot end a call."""
    voice: Text = "marin"
    """One of the model's voices, or the id of a custom voice (`voice_…`)."""
    speed: Annotated[float, Field(ge=0.25, le=1.5)] = 1.0
    """How fast the voice speaks; 1 is its normal speed."""
    instructions: Text = (
        "You are the friendly voice of a small company, speaking with a caller on the telephone. "
        "Keep each answer to one or two short sentences and ask one question at a time. "
        "Repeat names, numbers and dates back to the caller to confirm them. "
        "Speak the caller's language. If you do not know something, say so; never invent an answer."
    )
    """Who the model is and how it speaks."""
    output_modalities: Annotated[Literal["audio", "text"], Lower] = "audio"
    """Accepted for the sake of older settings: only audio is asked for, because a caller cannot hear text."""
    engine_audio: Annotated[Literal["pcmu", "pcm24"], Lower] = "pcmu"
    """The audio format that the model is asked for: `pcmu` is the telephone's own (8 kHz µ-law), `pcm24` is PCM at 24
    kHz, which is transcoded here."""
    transcription_model: str = "gpt-transcribe"
    """The model that writes down what the caller says. Empty: nothing is written down, and a call that was interrupted
    cannot be resumed with its context."""
    transcription_language: Annotated[str, AfterValidator(validators.language)] = ""
    """A hint for the transcription: the caller's language (`en`, `de`). Empty: any."""
    transcription_prompt: str = ""
    """A hint for the transcription: words to expect, such as product names."""
    transcription_logprobs: bool = False
    """Ask how certain the transcription is of each word."""
    transcript_seconds: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)] = 2
    """How long to wait after a call's end for the transcript of the caller's last words. Nothing else waits for it. 0:
    no waiting."""
    noise_reduction: Annotated[Literal["near_field", "far_field", "none"], Lower] = "near_field"
    """The model's filter for the caller's audio: `near_field` for a handset or headset, `far_field` for a
    speakerphone."""
    max_output_tokens: Annotated[int | Literal["inf"], BeforeValidator(validators.tokens)] = "inf"
    """The longest answer in tokens, 1 to 4096, or `inf`."""
    tool_choice: Text = "auto"
    """`auto`: the model decides when to use a tool; `none`, `required`, or the name of one tool."""
    parallel_tool_calls: Annotated[Literal["default", "on", "off"], Lower] = "default"
    """Whether the model may call several tools at once. Only models that reason accept it."""
    reasoning_effort: Annotated[Literal["default", "minimal", "low", "medium", "high", "xhigh"], Lower] = "default"
    """How much the model thinks before it speaks. Only models that reason accept it."""
    truncation: Annotated[float | Literal["auto", "disabled"], BeforeValidator(validators.truncation)] = "auto"
    """What happens to a conversation that is too long for the model: `auto`, `disabled`, or the share of it that is
    kept, from 0 to 1."""
    tracing: Annotated[Literal["off", "auto"], Lower] = "off"
    """`auto`: the vendor keeps a trace of each session."""
    prompt_id: str = ""
    """The id of a reusable prompt. The vendor no longer serves these: accepted and not sent."""
    prompt_version: str = ""
    """The version of that prompt: accepted and not sent."""
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.8
    """The interface has no such parameter any more: accepted and not sent."""

    # When the caller has finished speaking

    turn_detection: Annotated[Literal["server_vad", "semantic_vad", "none"], Lower] = "server_vad"
    """How the model notices the end of the caller's turn: `server_vad` by silence, `semantic_vad` by meaning (slow on
    noisy lines), `none` never."""
    vad_threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    """For `server_vad`: how loud counts as speech. Higher for noisy lines."""
    vad_prefix_padding_ms: Milliseconds = 300
    """For `server_vad`: audio before the detected beginning that belongs to the speech."""
    vad_silence_ms: Milliseconds = 500
    """For `server_vad`: silence that ends the caller's turn. Lower answers sooner but interrupts callers who pause."""
    vad_idle_timeout_ms: Annotated[int, AfterValidator(validators.idle_timeout)] = 0
    """For `server_vad`: the model's own timer for a silent caller, 5000 to 30000. 0: off, because `no_input_seconds`
    does the same with more control."""
    vad_eagerness: Annotated[Literal["low", "medium", "high", "auto"], Lower] = "auto"
    """For `semantic_vad`: how soon it answers."""
    vad_create_response: bool = True
    """The model answers by itself at the end of the caller's turn. When false, Callflow asks it to."""
    vad_interrupt_response: bool = True
    """The model stops speaking by itself when it hears the caller. When false, Callflow stops it."""
    min_interruption_ms: Milliseconds = 0
    """How long the caller must speak for the agent to stop. 0: at once. A shorter noise stops nothing, and after one
    without a word in it the agent continues where it was."""

    # What is said

    greeting: str = "Greet the caller and ask how you can help."
    """An instruction to the model for its first turn. Empty: the model waits until the caller speaks."""
    greeting_protected: bool = False
    """The caller cannot interrupt the greeting."""
    disclosure: str = ""
    """A sentence that is said word for word before the greeting, such as "This call may be recorded." The caller cannot
    interrupt it. Empty: none."""
    clip_language: Text = "en"
    """The language of the recorded clips ("one moment, please") that are played while the model is not available."""

    # Whose line it is

    route: Annotated[Literal["stream", "sip"], Lower] = "stream"
    """Where callers of this number are answered. `stream`: here, over a media stream. `sip`: at OpenAI's SIP address,
    so that their audio does not come here; needs `openai_webhook_secret` and `openai_project_id`. When nobody answers
    there, it is the stream."""
    business: Annotated[str, AfterValidator(validators.business)] = ""
    """Whose calls these are, where one server answers for several businesses: a short name. Calls, their recordings,
    numbers, lists of calls and opt-outs carry it, and a token of `console_tokens` may be bound to it. Empty: nobody's
    in particular."""

    # Recording

    record: bool = False
    """Make a stereo recording of each call in the data folder: left the caller, right what the caller heard."""
    carrier_record: bool = False
    """The carrier records each call, both sides apart, from the answer on; `record_announcement` comes first here,
    too. The carrier keeps the recording, and may charge for it."""
    record_pause_seconds: Seconds = 120
    """The longest pause of recording and transcript, such as while a card number is said. Then they go on by
    themselves."""
    record_announcement: str = ""
    """A sentence that is said before anything else in a call that is recorded: by `record`, by `carrier_record`, or by
    `"record": true` of a call that is dialled. Nothing is recorded until all of it was heard. Empty: nobody is told,
    which the law may not allow."""

    # Silence and length

    no_input_seconds: Off = 10
    """Silence in the caller's turn until the agent asks whether the caller is still there. 0: it never asks."""
    no_input_asks: Times = 2
    """How often the agent asks; the next time it says goodbye and ends the call."""
    no_input_noise_seconds: Off = 60
    """An unbroken noise of this length (music of a line on hold, an open microphone) counts as silence, too. 0: it does
    not. How long *we* may keep a caller on hold is `max_hold_seconds`."""
    max_call_seconds: Seconds = 3300
    """The longest call. One over OpenAI's SIP ends after `session_seconds` and `rotation_seconds` at the latest: no
    other session can take over in it."""
    max_call_warning_seconds: Off = 30
    """How long before that end the agent says that the time is nearly up. 0: it does not."""

    # What a day's calls may take

    profile_daily_minutes: OfADay = 0
    """The same as `max_daily_minutes`, for the calls of one profile; those of numbers without a profile count together.
    0: no limit."""
    profile_daily_usd: OfADay = 0
    """The same as `max_daily_usd`, for the calls of one profile. 0: no limit."""
    over_budget: Annotated[Literal["sentence", "busy", "fallback"], Lower] = "sentence"
    """What becomes of a caller whose call is past one of these limits: they hear a sentence that it is not possible at
    the moment, or that the line is busy, or are connected with `fallback_number`."""

    # Answering machines

    machine_detection: bool = False
    """The carrier listens to who answers an outbound call, and the call ends at a fax or an answering machine. The
    agent speaks at once all the same. Where the carrier is not sure, somebody is there. It has its price at both
    carriers."""
    voicemail_message: Annotated[str, Field(max_length=1000)] = ""
    """With `machine_detection`: what the agent says on an answering machine after the beep, word for word, before it
    hangs up. Empty, or with `route = "sip"`: it hangs up without a word."""
    beep_seconds: Seconds = 20
    """How long the agent waits for the beep of an answering machine; then it says the message all the same."""
    voicemail_seconds: Seconds = 60
    """For the message, from the beep until it was played. After it the call ends in any case."""

    # Tools and keys

    agent_tools: str = ""
    """Names of the tools that the agent has, separated by commas; of an MCP server its label. The one that ends the
    call is always among them. Empty: all that there are."""
    tool_timeout_seconds: Seconds = 10
    """How long a tool may take."""
    tool_filler_after_ms: Annotated[int, Field(ge=0, le=86_400_000)] = 1500
    """After this time the agent says that it is still busy with a tool."""
    mcp_approval: Annotated[Literal["approve", "decline", "ask"], Lower] = "decline"
    """The answer to the model when it asks whether it may use a tool of an MCP server. `ask`: kept for
    later, and the same as `decline`."""
    dtmf_pause_seconds: Seconds = 2
    """After the last key, before the digits go to the agent."""
    dtmf_end: Annotated[str, AfterValidator(validators.key)] = "#"
    """The key that ends an entry at once. Empty: none does."""
    dtmf_sensitive: bool = False
    """Digits go to the agent, and are written neither to the history nor to a log. The same holds for digits that are
    sent, whose tones are not recorded here either."""
    dtmf_tool: Annotated[Literal["never", "outbound", "always"], Lower] = "outbound"
    """In which calls the agent has a tool that presses keys, for a machine at the other end."""

    # When the model or the stream fails

    session_seconds: Seconds = 3300
    """After this time a new session of the model takes over, at a moment when nobody speaks. The vendor ends a session
    after an hour."""
    rotation_seconds: Seconds = 60
    """A new session takes over at least this long before the vendor ends the old one."""
    engine_tries: Times = 3
    """New sessions that are tried after one broke."""
    engine_retry_seconds: Seconds = 0.5
    """The pause between those tries, from the second on."""
    stream_tries: Times = 3
    """New media streams that are asked for after one was lost."""
    response_retries: Times = 2
    """Further tries of an answer that failed at the model."""
    response_retry_seconds: Seconds = 0.4
    """The pause before the first of them; it doubles for each further one."""
    filler_seconds: Seconds = 1.5
    """Silence while a new session is opened, until the caller hears "one moment, please"."""
    reply_filler_seconds: Seconds = 2.5
    """Silence after the caller's last word, while the model is slow, until the caller hears "one moment, please"."""
    reply_seconds: Seconds = 8
    """How long the model may take from its turn to speak until its first word. After it the session counts as lost,
    and another is opened."""

    # Hold

    hold_music: Annotated[Literal["music", "clip", "silence"], Lower] = "music"
    """What a caller on hold hears: a soft tune, the clip "one moment, please" from time to time, or nothing."""
    max_hold_seconds: Seconds = 300
    """The longest that a caller is on hold. Then the agent has them back, and says so."""

    # Persons to whom a call may be transferred

    transfer_targets: Annotated[str, AfterValidator(checked_targets)] = ""
    """To whom the agent and operators may transfer a call: names with numbers, such as
    `sales = +15550100010, desk = sip:desk@pbx.example.com`. To a SIP address the caller's own telephone system is
    referred, which needs a caller who came over SIP. Empty: to nobody by name, and the agent has no such tool."""
    transfer_take_back: bool = True
    """The agent takes the caller back when the person hangs up. Otherwise the call ends then."""
    briefing_text: Text = "A call for you from {caller}. {summary} Press 1 to take it, or any other key to refuse."
    """What a person hears, in the carrier's voice, before a transferred call is theirs: `{caller}` is the caller's
    number, `{summary}` what the agent says of the call."""

    listen_while_bridged: bool = False
    """While a caller who was transferred with a briefing talks with the person, what both say is written down, so that
    the agent knows it when it has the caller back. Both are told so before (`listen_notice`)."""
    listen_notice: Text = "The assistant listens while you talk, and writes down what is said."
    """What both hear then, in the carrier's voice, as soon as they are connected."""

    # When the line is open

    hours: Annotated[str, AfterValidator(opening_hours.checked)] = ""
    """When callers are answered, such as `mon-fri 9-18, sat 10-14:30`; `22-6` goes over midnight. Calls that have begun
    go on. Empty: always. `never`: nobody is, and where it is said for all numbers, no profile has other hours."""
    hours_zone: Annotated[str, AfterValidator(validators.zone)] = "UTC"
    """The time zone of these hours, such as `Europe/Berlin`."""
    when_closed: Annotated[Literal["sentence", "busy", "fallback"], Lower] = "sentence"
    """What becomes of a caller at other hours: as with `over_budget`."""

    # When this line cannot serve a caller

    when_full: Annotated[Literal["sentence", "busy", "fallback"], Lower] = "busy"
    """What becomes of a caller while `max_concurrent_calls` are live or the event loop is late (`admission_lag_ms`): as
    with `over_budget`. So many at once get a sentence or `fallback_number` as may be live; all others hear busy."""
    fallback_number: Annotated[str, AfterValidator(validators.dialled_number)] = ""
    """With whom a caller is connected for whom there is no session of the model or no stream of audio, in the form
    `+15550100010`. They hear a sentence first. Empty: with nobody; they hear an apology. See also `failover_url`."""
    fallback_text: Annotated[str, Field(max_length=1000)] = ""
    """What such a caller hears, in the carrier's voice. Empty: a recorded sentence where a stream is open, otherwise
    `one_moment_text` before the connection and `apology_text` without one."""

    # Deadlines

    answer_seconds: Seconds = 20
    """From the first event of a call until it is answered."""
    transfer_ring_seconds: Annotated[float, Field(ge=5, le=600)] = 25
    """How long a person to whom a call is transferred is rung."""
    transfer_accept_seconds: Seconds = 30
    """How long the person may take to accept a transfer, from the end of the `briefing_text` that they hear."""
    join_seconds: Seconds = 10
    """For joining the caller and the person who has accepted. After it the agent has the caller back."""
    max_bridged_seconds: Seconds = 7200
    """The longest that a caller talks with a person; then the call ends."""
    dial_seconds: Annotated[float, Field(ge=5, le=600)] = 30
    """How long an outbound call may ring before the carrier gives it up; carriers count in whole seconds."""
    stream_seconds: Seconds = 10
    """From the answer until the media stream has started."""
    start_frame_seconds: Seconds = 5
    """From the opening of a media socket until its `start` frame."""
    engine_seconds: Seconds = 4
    """From the first attempt to reach the model, or from a session's end, until a session is ready, over all tries
    together. Then comes an apology of five seconds, so that a call whose model is away ends within ten."""
    restream_seconds: Seconds = 3
    """For each of the new media streams that are asked for after one was lost."""
    stream_grace_seconds: Seconds = 1
    """After the end of a media stream: time for the carrier's hangup to arrive before the stream counts as lost."""
    farewell_seconds: Seconds = 8
    """For a last sentence that is said without the model (a clip, or the carrier's voice). After it the call ends in
    any case."""
    goodbye_seconds: Seconds = 15
    """For the agent's own goodbye, from its decision to end the call until the goodbye was heard."""
    write_seconds: Seconds = 5
    """For one write to a socket whose other side may have stopped reading."""
    engine_buffer_seconds: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 10
    """Caller audio that is kept while the model is not ready. Beyond it the session counts as lost."""

    # Audio

    noise_suppression: Annotated[Literal["off", "inbound"], Lower] = "off"
    """`inbound`: the carrier takes noise out of the caller's audio before it gets here. Telnyx can, Twilio cannot. See
    also `noise_reduction`, the model's own filter."""
    playout_lead_ms: Annotated[int, Field(ge=20, le=30000)] = 400
    """Speech that the carrier holds ahead of its playing. Up to this much is still heard after the caller interrupts,
    unless the carrier clears it; too little makes gaps."""
    mark_every_ms: Annotated[int, Field(ge=20, le=60_000)] = 200
    """The distance between two marks in the speech: how exactly it is known what the caller has heard."""
    reorder_frames: Annotated[int, Field(ge=0, le=500)] = 3
    """How long to wait for a late frame of caller audio, in frames of 20 ms. Of frames that come all at once, four
    times as many are put into order. 0: take them as they come."""
    frame_batch_ms: Annotated[int, Field(ge=0, le=1000)] = 0
    """Caller audio that is sent to the model in one message. 0: each frame of 20 ms as it comes, which is fastest."""
    warm_up_ms: Annotated[int, Field(ge=0, le=2000)] = 0
    """Caller audio that must be there before the first of it is sent to the model. 0: none."""
