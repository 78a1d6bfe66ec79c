"""What tools answer with, of every shape and size, as JSON for the model."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import itertools
import json
import math
import pathlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from callflow.contracts.errors import Abandoned, NotJson
from callflow.tools import results
from callflow.tools.results import MOST_CHARACTERS, release, to_json_text


_ZONE = datetime.timezone(datetime.timedelta(hours=5))


class Size(enum.Enum):
    small = "s"
    pair = (1, datetime.date(2026, 1, 2))


class Count(enum.IntEnum):
    three = 3


class Word(enum.StrEnum):
    yes = "ja"


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Order:
    number: int
    on: datetime.date
    parts: list[Point]


@dataclasses.dataclass(slots=True)
class Slotted:
    number: int


class Guest(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str = pydantic.Field(serialization_alias="called")
    born: datetime.date = datetime.date(1970, 1, 1)
    secret: str = pydantic.Field("x", exclude=True)

    @pydantic.field_serializer("born")
    def year(self, born: datetime.date) -> int:
        return born.year


class Warm(pydantic.BaseModel):
    heat: float = math.inf


class Numbers(pydantic.RootModel[list[int]]):
    pass


@pydantic.dataclasses.dataclass
class Checked:
    when: datetime.time


AS_PYDANTIC_WRITES: list[Any] = [
    None, True, False, 0, -1, 2**63, 10**30, 1.5, 1e22, "", "text", 'a "quote" \\ \n \x00 \x7f', "ä 😀 \u2028",
    b"bytes", bytearray(b"x"), [], {}, (1, "a"), [[[]]], {"a": {"b": [1]}}, {1: "a", 1.5: "b", None: "c", (1, 2): "d"},
    {datetime.date(2026, 1, 2): 1, Size.small: 2, uuid.UUID(int=5): 3, b"k": 4}, {5}, frozenset([5]),
    collections.deque([1, 2]), collections.Counter("aab"), collections.defaultdict(list, a=[1]),
    collections.OrderedDict(a=1), Point(1, [2]), datetime.datetime(2026, 1, 2, 3, 4, 5, 6, _ZONE),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), datetime.date(2026, 1, 2), datetime.time(3, 4),
    datetime.timedelta(days=1, seconds=2), decimal.Decimal("1.50"), decimal.Decimal("NaN"), fractions.Fraction(1, 3),
    1 + 2j, uuid.UUID(int=7), pathlib.Path("/a/b"), ipaddress.ip_address("::1"),
    ipaddress.ip_network("10.0.0.0/8"), Size.small, Size.pair, Count.three, Word.yes, {Word.yes: Count.three},
    Order(5, datetime.date(2026, 1, 2), [Point(1, 2)]), Slotted(5), Guest.model_validate({"name": "Ann"}),
    Guest.model_validate({"name": "Ann", "extra": [1]}),
    Numbers([1, 2]), Checked(datetime.time(1, 2)), {"guests": [Guest.model_validate({"name": "Ann"})]}, [Numbers([])],
]  # fmt: skip


@pytest.mark.parametrize("value", AS_PYDANTIC_WRITES, ids=lambda value: f"{value!r:.40}")
def test_a_short_result_is_written_as_pydantic_writes_it(value: object) -> None:
    assert json.loads(to_json_text(value)) == json.loads(to_json(value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(JSON)
def test_json_comes_out_as_it_went_in(value: Any) -> None:
    assert json.loads(to_json_text([value])) == [value]


@given(st.text(st.characters(codec=None)))  # halves of surrogate pairs, too
def test_any_text_can_be_sent(text: str) -> None:
    told = to_json_text([text, {text: 1}])
    assert msgspec.json.encode(told), "what cannot be encoded ends the session"
    assert json.loads(told)[0] == text.encode("utf-8", "replace").decode()


def test_text_that_is_a_document_is_left_as_it_is() -> None:
    for document in ('{"already": "JSON"}', " [1, 2]\n", "{}", '{"a": "ä"}'):
        assert to_json_text(document) == document
    for text in ("plain", "17", '"quoted"', "[", "[1,", "[" * 5000, "[" * 5000 + "]" * 5000, '{"a": NaN}', "{\ud800}"):
        assert json.loads(to_json_text(text)) == text.encode("utf-8", "replace").decode(), f"{text:.20}"


class Sub(str):
    """Text whose own methods cannot be trusted."""

    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __getitem__(self, _: Any) -> str:
        raise RuntimeError("no items")


NOT_OF_JSON: list[tuple[Any, Any]] = [
    (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"),
    ([math.nan, {"a": math.inf}], ["NaN", {"a": "Infinity"}]), (pathlib.PureWindowsPath("a"), "a"),
    (b"\xff\xfea", "\ufffd\ufffda"), (memoryview(b"ab"), "ab"), (range(3), [0, 1, 2]), (map(str, [1]), ["1"]),
    ({"a": 1}.keys(), ["a"]), (collections.UserDict(a=1), {"a": 1}), ((n for n in "ab"), ["a", "b"]),
    (Sub("text"), "text"), ({Sub("text"): 1}, {"text": 1}), ("half \ud83d of it", "half ? of it"),
    ({"\udc80": "\udc80"}, {"?": "?"}), (Warm(), {"heat": None}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "told"), NOT_OF_JSON, ids=range(len(NOT_OF_JSON)))
def test_what_json_has_no_word_for_is_told_in_another(value: Any, told: Any) -> None:
    text = to_json_text(value)
    assert json.loads(text) == told
    msgspec.json.decode(text)  # which takes no NaN


def deep(depth: int, make: Callable[[Any], Any]) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = make(value)
    return value


def endless() -> Iterator[Any]:
    """Each part is as endless as the whole."""
    while True:
        yield endless()


class Many(pydantic.BaseModel):
    first: str = "one"
    rest: list[int] = []
    lazy: Any = None


@dataclasses.dataclass
class Heavy:
    first: str
    rest: list[int]


HUNDRED = list(range(100_000))
TOO_MUCH: dict[str, Callable[[], Any]] = {
    "a text": lambda: "long " * 30_000,
    "a text that is a document": lambda: json.dumps(HUNDRED),
    "a text of what has to be escaped": lambda: "\x00" * 100_000,
    "a text that is plain only at first": lambda: "x" * 90_000 + "\x00" * 90_000,
    "a text beyond ASCII": lambda: "😀" * 150_000,
    "a list": lambda: HUNDRED,
    "a list in a dict in a list": lambda: [{"a": 1, "rest": HUNDRED}],
    "many lists of the same list": lambda: [HUNDRED] * 1000,
    "a set": lambda: set(HUNDRED),
    "a dict": lambda: dict.fromkeys(map(str, HUNDRED)),
    "a dict with one long key": lambda: {"a": 1, "k" * 200_000: 2},
    "a generator without an end": itertools.count,
    "a generator without an end, of texts": lambda: itertools.repeat("again"),
    "a generator of generators": endless,
    "a dataclass": lambda: Heavy("one", HUNDRED),
    "a model": lambda: Many(rest=HUNDRED),
    "a model that holds a generator": lambda: Many(lazy=itertools.count()),
    "a model that holds a model": lambda: Many(lazy=Many(rest=HUNDRED)),
    "bytes": lambda: b"b" * 200_000,
    "a path": lambda: pathlib.Path("p" * 200_000),
    "a number": lambda: 1 << 1_000_000,
    "a number among others": lambda: [1, -(1 << 1_000_000), 2],
    "deep lists": lambda: deep(5000, lambda value: [value]),
    "deep dicts": lambda: deep(5000, lambda value: {"a": value}),
    "deep tuples and sets": lambda: deep(150, lambda value: frozenset([(value,)])),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_is_too_much_is_shortened_and_the_model_is_told(name: str) -> None:
    text = to_json_text(TOO_MUCH[name]())
    assert len(text) <= MOST_CHARACTERS
    told = json.loads(text)
    assert list(told) == ["note", "result"]
    assert told["note"] == results.NOTE
    if "number" not in name and "deep" not in name and "one long key" not in name:
        assert len(text) > MOST_CHARACTERS * 0.8, "there was room for more"


def test_what_is_shortened_begins_as_the_result_does() -> None:
    told = json.loads(to_json_text({"name": "Ann", "list": HUNDRED, "late": 1}))["result"]
    assert list(told) == ["name", "list"]
    assert told["list"] == HUNDRED[: len(told["list"])]
    assert json.loads(to_json_text("y" * 200_000))["result"].strip("y") == ""


def test_no_more_of_a_result_is_looked_at_than_is_told() -> None:
    looked = 0

    def parts() -> Iterator[int]:
        nonlocal looked
        for looked in itertools.count():  # noqa: B007 - counted for the test
            yield 0

    told = json.loads(to_json_text(parts()))["result"]
    assert looked <= len(told) + 1


HUGE: dict[str, tuple[Callable[[int], Any], int]] = {
    "numbers": (lambda n: list(range(n)), 200_000),
    "texts": (lambda n: "x" * n, 2_000_000),
    "members": (lambda n: dict.fromkeys(range(n), 0), 100_000),
    "bytes": (bytes, 2_000_000),
    "blanks": (lambda n: " " * n + "[1]", 2_000_000),
}


@pytest.mark.e2e
@pytest.mark.parametrize("name", HUGE)
def test_ten_times_the_result_takes_no_longer(name: str) -> None:
    make, size = HUGE[name]

    def took(result: Any) -> float:
        times = []
        for _ in range(5):
            began = time.thread_time()
            to_json_text(result)
            times.append(time.thread_time() - began)
        return min(times)

    small, large = took(make(size)), took(make(10 * size))
    assert large < 3 * small + 0.001, f"{large * 1000:.1f} ms instead of {small * 1000:.1f}"


def itself() -> Any:
    one: list[Any] = []
    one.append({"a": (one,)})
    return one


class Hidden:
    def __repr__(self) -> str:
        raise SystemExit("nobody shall see this")


UNWRITABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "what holds itself": (itself, "it contains itself"),
    "an object": (object, "of type object"),
    "an object that cannot be shown": (Hidden, "of type Hidden"),
    "a class": (lambda: Guest, "of type"),
    "a function": (lambda: print, "of type builtin"),
    "an object deep inside": (lambda: [{"a": [object()]}], "of type object"),
    "an error": (lambda: ValueError("x"), "of type ValueError"),
    "a key that is none": (lambda: {frozenset([1]): 1}, "a key of type frozenset"),
    "a key without an end": (lambda: {(1,) * 10_000: 1}, "a key in it is too long"),
    "a decimal of a million digits": (lambda: decimal.Decimal("1" * 1_000_000), "too long"),
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_what_cannot_be_written_is_said_to_be_so(name: str) -> None:
    make, why = UNWRITABLE[name]
    with pytest.raises(NotJson, match=why) as caught:
        to_json_text(make())
    assert len(str(caught.value)) < 200


def test_writing_ends_when_nobody_waits_any_more() -> None:
    looks = iter([False] * 10)
    with pytest.raises(Abandoned):
        to_json_text(itertools.count(), lambda: next(looks, True))


# Freeing what is large


class Loud:
    """Says when it is freed."""

    def __init__(self, freed: list[str]) -> None:
        self.freed = freed

    def __del__(self) -> None:
        self.freed.append("")


@pytest.mark.parametrize("make", [lambda one: one, lambda one: dict(enumerate(one)), lambda one: [one, {"a": one}]])
def test_a_large_result_is_freed_in_pieces(make: Callable[[list[Any]], Any]) -> None:
    freed: list[str] = []
    box = [make([Loud(freed) for _ in range(20_000)])]
    release(box)
    assert box == []
    assert len(freed) == 20_000


def test_what_the_tool_keeps_is_left_alone() -> None:
    kept = list(range(20_000))
    members = dict.fromkeys(range(20_000))
    for result in (kept, members, [kept] * 5000, dict.fromkeys(range(5000), kept), (kept, members)):
        release([result])
        del result
    assert kept == list(range(20_000))
    assert len(members) == 20_000
