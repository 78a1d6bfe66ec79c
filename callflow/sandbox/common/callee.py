"""The people and machines that an emulated carrier can dial: how long they let it ring, and what they do then."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import asdict, dataclass, fields
from time import monotonic
from typing import Any, Final, Literal, Protocol, Self

import msgspec

from callflow.media.g711 import BYTES_PER_MS
from callflow.sandbox.common.phone import SILENT_FRAME, Phone, tone


Does = Literal["answers", "busy", "no_answer", "rejects", "not_reachable", "voicemail", "fax", "silence"]

VOICE_HZ: Final = 440.0
"""The tone that stands for a voice."""
BEEP_HZ: Final = 1000.0
FAX_HZ: Final = 2100.0
"""The tone with which a fax machine answers (ITU-T T.30: CED, 2100 Hz)."""
FAX_S: Final = 3.0
GREETING_S: Final = 1.0
_FINGER_SECONDS: Final = 0.2
"""So long it takes a person at least to press a key."""
PICKS_UP: Final = frozenset({"answers", "voicemail", "fax", "silence"})


@dataclass(slots=True)
class Callee:
    """What is at the other end of a number that is dialled. Times are in seconds.

    `does`: a person "answers" (and speaks, if told to), is "busy", "rejects", or gives "no_answer"; "not_reachable" is
    a number that nobody has; "voicemail" plays a greeting and a beep, then records (`Phone.message`); "fax" whistles;
    "silence" answers and never says anything.
    """

    does: Does = "answers"
    ring_s: float | None = None
    """How long it rings before it does that; None: `CarrierTiming.ring_s`."""
    after_s: float = 0.0
    """The pause between the answer and the first word, or the first key when nothing is said: 0.2 s at least then."""
    says: bytes = b""
    """µ-law: a person's first words, or a machine's greeting."""
    speaks_s: float | None = None
    """How long a tone is said in place of `says`; None: by a machine for a second, by a person not at all."""
    beep_s: float = 0.2
    """The length of the voicemail's beep; 0: it has none."""
    presses: str = ""
    """The keys that are pressed after the first words, one after the other."""
    hangs_up_after_s: float | None = None
    """How long after the answer it hangs up; None: never."""

    @classmethod
    def of(cls, what: Callee | str) -> Callee:
        """Return the callee that a word stands for. Raises ValueError for a word that there is not."""
        return what if isinstance(what, Callee) else cls.from_json({"does": what.replace("-", "_")})

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make a callee from names and values; `says` is base64. Raises ValueError with what is wrong."""
        if unknown := sorted(set(values) - {each.name for each in fields(cls)}):
            raise ValueError(f"a callee has no {', '.join(unknown)}; it has {', '.join(f.name for f in fields(cls))}")
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        """Return its names and values; `says` is encoded as base64 with them."""
        return asdict(self)

    @property
    def picks_up(self) -> bool:
        """Whether somebody or something answers."""
        return self.does in PICKS_UP

    @property
    def truth(self) -> Literal["human", "machine", "fax", "silence"]:
        """What answers, as a perfect detector would say it."""
        match self.does:
            case "voicemail":
                return "machine"
            case "fax" | "silence":
                return self.does
        return "human"

    def words(self) -> bytes:
        """Return what is said first, without the beep: µ-law."""
        match self.does:
            case "silence":
                return b""
            case "fax":
                return tone(FAX_S * 1000, FAX_HZ)
        usual = GREETING_S if self.does == "voicemail" else 0.0
        return self.says or tone((usual if self.speaks_s is None else self.speaks_s) * 1000, VOICE_HZ)


class CalledLeg(Protocol):
    """The part of a call leg that its callee uses."""

    phone: Phone

    @property
    def state(self) -> str: ...

    def note(self, what: str) -> None: ...

    async def press(self, digit: str) -> None: ...

    async def hang_up(self) -> None: ...


def pick_up(callee: Callee, leg: CalledLeg) -> Coroutine[Any, Any, None]:
    """Begin to say what the callee says on an answered leg. Returns what is to be run for all that it does then."""
    phone = leg.phone
    words = callee.words()
    seconds = callee.after_s if words or not callee.presses else max(callee.after_s, _FINGER_SECONDS)
    pause = round(seconds * 1000 * BYTES_PER_MS)
    beep = tone(callee.beep_s * 1000, BEEP_HZ) if callee.does == "voicemail" and callee.beep_s else b""
    if words or beep or callee.presses:
        phone.say(SILENT_FRAME[:1] * pause + words + beep)
    return _go_on(callee, leg)


async def _go_on(callee: Callee, leg: CalledLeg) -> None:
    phone = leg.phone
    try:
        async with asyncio.timeout(callee.hangs_up_after_s):
            await phone.spoken()
            if phone.said:  # the last frame has been taken, but not heard to its end
                await asyncio.sleep(max(0.0, phone.said[-1].ends - monotonic()))
            if phone.ended_at is None and callee.does == "voicemail":
                phone.begin_message()
                leg.note("the beep has sounded" if callee.beep_s else "the greeting is over, without a beep")
            for digit in callee.presses if phone.ended_at is None else "":
                await leg.press(digit)
            if callee.hangs_up_after_s is not None:
                await asyncio.Event().wait()
    except TimeoutError:
        if leg.state != "ended":
            await leg.hang_up()
