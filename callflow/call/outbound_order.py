"""What an outbound call is to be: who is dialled, from which number, and how the agent is set up for it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from callflow.call.call_config import CallConfig
from callflow.config import setting_names
from callflow.contracts.carrier import CarrierCan
from callflow.contracts.events import DialRequested


_FORMER: Final = {name: former for former, name in setting_names.FORMER.items()}
"""By which names a digest has the settings of a session: those of earlier versions, so that it is theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundOrder:
    """One outbound call, as it was asked for and checked."""

    to_number: str
    from_number: str
    """Both in E.164; `from_number` is ours."""
    carrier: str
    profile: str = ""
    """The name of a profile; "": that of our number, if it has one."""
    session: Mapping[str, Any] = field(default_factory=dict)
    """Settings for this call alone, by name."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """For `{{name}}` in instructions and greeting: see `contracts.prompt_variables`."""
    record: bool = False
    """The carrier records the call, whatever the settings say."""
    ring_seconds: int = 30
    by: str = ""
    """Who asked for it: see `callflow.web.console.requested_by`."""
    digest: str = field(default="", compare=False)
    """The fingerprint as it was written down, of a call that is restored."""
    config: CallConfig | None = field(default=None, compare=False, repr=False)

    def under(self, config: CallConfig) -> OutboundOrder:
        """Return the order with the config of its call. `config`: that of the settings."""
        return replace(self, config=config.recorded_by_carrier() if self.record else config)

    def dial_requested(self, *, record: bool, can: frozenset[CarrierCan]) -> DialRequested:
        """Return the first event of the call, which needs its config. `record`: the carrier records from the answer on.
        `can`: the carrier's capabilities."""
        is_led = self.config is not None and self.config.route == "sip" and "leads_to_sip" in can
        with_stream = "dials_with_stream" in can
        return DialRequested(
            from_number=self.from_number,
            to_number=self.to_number,
            streams="sip" if is_led else "with_dial" if with_stream else "on_answer",
            ring_seconds=self.ring_seconds,
            queues="queues_dials" in can,
            record=record,
            machines=self.config.machines if self.config is not None else "",
            by=self.by,
        )

    def fingerprint(self) -> str:
        """Return a short digest of what was asked for: the same for the same order."""
        if self.digest:
            return self.digest
        session = {_FORMER.get(name, name): value for name, value in self.session.items()}
        asked: list[Any] = [
            self.to_number, self.from_number, self.carrier, self.profile, session, self.record,
        ]  # fmt: skip
        if self.variables:  # without, the digest is that of earlier versions
            asked.append(dict(self.variables))
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:32]
