"""The config of the Twilio adapter, made from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioConfig:
    """What the adapter needs of the settings; `carriers.registry` fills it in."""

    account_sid: str
    auth_tokens: Sequence[str] = field(repr=False)
    """The first one is used for REST unless there is an API key; all of them verify webhooks."""
    address: Callable[[], str]
    """Returns our public address (`https://host`), without a path."""
    api_key: str
    """The SID of an API key for REST; "": the auth token is used."""
    api_secret: str = field(repr=False)
    shared_keys: Mapping[str, str] = field(repr=False)
    """The secrets of shared signing keys by their ids; under "" a secret whose id is not known."""
    api_base: str
    """The REST API's address, without a path."""
    allow_unsigned: bool
    """Take webhooks and media sockets without a signature; for development only."""
    media_signature: Literal["warn", "require"]
    """`require`: a media socket needs a valid signature beside its token; `warn`: a wrong or missing one is logged."""
    voice: str
    """The voice for spoken sentences. `AWS.Polly.…` is understood as `Polly.…`, which is Twilio's name for it."""
    language: str
    sentences: Mapping[str, str]
    """The text of each sentence that the `Speak` command may name."""
    greeting_text: str
    """Spoken by Twilio's own voice before the media stream is opened; "": nothing."""
    pause_seconds: int
    """Silence before the media stream is opened."""
    after_text: str
    """Spoken by Twilio's own voice at the very end of a call that we end; "": nothing."""
    resume_seconds: int
    """How long a caller whose stream has ended waits until Twilio asks us what to do, unless we send a document
    first."""
    from_number: str
    """Our number that outbound calls show, unless a call names another; "": there is none."""
    default_mode: str
    """Where a caller is led whose document is asked for at an address without `mode`: `stream`, `sip`, or "": as the
    number's profile says."""
    recording_hosts: Sequence[str]
    """Further hosts from which recordings may be loaded: see `Downloads`."""
    seconds: float
    """For one try of one REST command."""
    retries: int
    """Further tries after the first one failed."""
