"""Decodes JSON from outside, within bounds of depth (32) and number of values (10,000). Pure.

What was accepted can be walked through, encoded again and stored: no lone surrogates, no NaN, no huge numbers.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from callflow.contracts.errors import OutOfBounds


_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")
MOST_DEPTH: Final = 32
MOST_VALUES: Final = 10_000


def read(text: bytes, of: Any = Any) -> Any:
    """Decode JSON. `of`: a type for msgspec, whose `Raw` parts are left undecoded. Raises OutOfBounds."""
    if not text.strip():
        raise OutOfBounds("it is empty")
    try:
        value = msgspec.json.decode(text, type=of)
    except UnicodeDecodeError:
        raise OutOfBounds("it is not UTF-8") from None
    except RecursionError:
        raise OutOfBounds("it is nested too deep") from None
    except msgspec.DecodeError as error:
        has_pairs = not isinstance(error, msgspec.ValidationError) and _PAIR.search(text)
        told = "it breaks off" if str(error) == "Input data was truncated" else str(error)
        raise OutOfBounds(f"{told}{', or half of a surrogate pair stands in it' if has_pairs else ''}") from None
    if of is Any:
        check(value)
    return value


def check(value: Any) -> None:
    """Check depth and number of values of decoded JSON. Raises OutOfBounds."""
    level, values = [value], 0
    for _ in range(MOST_DEPTH + 1):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
        values += len(below)
        if values > MOST_VALUES:
            raise OutOfBounds(f"it holds more than {MOST_VALUES} values")
        if not below:
            return
        level = below
    raise OutOfBounds(f"it is nested more than {MOST_DEPTH} deep")
