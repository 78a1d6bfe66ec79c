"""What a fuzzer says: messages that somebody has really sent, made odd. The same seed says the same."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any, Final


TEXTS: Final = (
    "", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "\u202e", "\x1b]0;x\x07", "\x9b2J",
    "a\n2026-01-01 00:00:00,000 ERROR   callflow: forged", "[" * 3000, "{" * 300, '{"a":' * 2000, "x" * 201,
    "x" * 70_000, "+" * 100, "+15550100001", "+1555010000199999999999", "sip:1001@198.51.100.7", "anonymous",
    "4111 1111 1111 1111", "4111" * 500, "1 2 3 4 5 6 7 8 9 " * 200, "٣", "²", "é", "%00", "%ff%fe", "..", "../../etc",
    "'; DROP TABLE steps; --", '"', "\\", "null", "true", "NaN", "Infinity", "-0", "1e400", "0x10", "١٢٣", "\U0001d7d9",
    "9" * 5000, "<script>", "{}", "[]", "[1,2", "completed", "ringing", "in-progress", "inbound", "outgoing", "#", "*",
    "1", "AAAA", "A===", "/w==", "////", "🙂", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "-1",
)  # fmt: skip
NUMBERS: Final = (
    0, -1, 1, 3, 0.1, -0.5, 160, 8000, 44_100, 65_536, 1 << 31, 1 << 53, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 63),
    10**30, 1e300, -1e308, 5e-324,
)  # fmt: skip
OTHERS: Final[tuple[Any, ...]] = (None, True, False, [], {}, [[]], [None], {"": ""}, [{}], {"a": {"b": {"c": []}}})


def odd_value(rng: random.Random) -> Any:
    kind = rng.random()
    if kind < 0.55:
        return rng.choice(TEXTS)
    if kind < 0.8:
        return rng.choice(NUMBERS)
    if kind < 0.95:
        return copy.deepcopy(rng.choice(OTHERS))
    nest: Any = rng.choice(TEXTS)
    for _ in range(rng.choice((3, 50, 400))):
        nest = [nest] if rng.random() < 0.5 else {"a": nest}
    return nest


def made_odd(value: Any, rng: random.Random, share: float = 0.08) -> Any:
    """A copy in which that share of everything is something else."""
    if rng.random() < share:
        return odd_value(rng)
    if isinstance(value, dict):
        found = {name: made_odd(each, rng, share) for name, each in value.items() if rng.random() >= share / 2}
        if rng.random() < share:
            found[rng.choice(TEXTS)] = odd_value(rng)
        return found
    if isinstance(value, list):
        found_ = [made_odd(each, rng, share) for each in value if rng.random() >= share / 2]
        return found_ * rng.choice((1, 1, 1, 2)) if len(found_) < 50 else found_
    return value


def with_one_odd(value: Any, rng: random.Random) -> Any:
    """A copy in which one thing is something else, or gone."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.1:
        return rng.choice(("", None, odd_value(rng)))
    found = copy.copy(value)
    place: Any = rng.choice(list(found)) if isinstance(found, dict) else rng.randrange(len(found))
    if rng.random() < 0.1:
        del found[place]
    else:
        found[place] = with_one_odd(found[place], rng)
    return found


def message(samples: Sequence[Any], rng: random.Random) -> bytes:
    """JSON, most of the time."""
    sample = rng.choice(samples)
    share = rng.choice((0.0, 0.02, 0.05, 0.1, 0.3))
    odd = with_one_odd(sample, rng) if rng.random() < 0.5 else made_odd(sample, rng, share)
    text = json.dumps(odd, ensure_ascii=rng.random() < 0.8)
    return garbled(text.encode("utf-8", "surrogatepass"), rng)


def form(samples: Sequence[dict[str, str]], rng: random.Random) -> list[tuple[bytes, bytes]]:
    """The parameters of a form."""
    share = rng.choice((0.0, 0.03, 0.1, 0.3))
    pairs = [
        (name, str(odd_value(rng))[:2000] if rng.random() < share else value)
        for name, value in rng.choice(samples).items()
        if rng.random() >= share / 2
    ]
    if rng.random() < share:
        pairs += [(rng.choice(TEXTS)[:500], rng.choice(TEXTS)[:500])] * rng.choice((1, 2, 20))
    return [(name.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")) for name, value in pairs]


def garbled(data: bytes, rng: random.Random) -> bytes:
    """Now and then the bytes themselves are wrong."""
    if rng.random() > 0.08 or not data:
        return data
    wrong = bytearray(data)
    match rng.randrange(5):
        case 0:
            del wrong[rng.randrange(len(wrong)) :]
        case 1:
            for _ in range(rng.randrange(1, 10)):
                wrong[rng.randrange(len(wrong))] = rng.randrange(256)
        case 2:
            wrong[rng.randrange(len(wrong)) :] = rng.randbytes(rng.randrange(1, 200))
        case 3:
            start = rng.randrange(len(wrong))
            wrong[start:start] = b"[" * rng.choice((10, 5000))
        case _:
            wrong += wrong[: rng.randrange(1, 100)]
    return bytes(wrong)
