"""What a model asks a tool for: whatever it writes, it is either a dict that fits or one sentence, and soon."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing.exceptions import Unresolvable

from callflow.contracts.errors import Abandoned, ArgumentsError
from callflow.contracts.tools import MOST_ARGUMENTS
from callflow.tools.arguments import Schema, is_plain, read
from callflow.tools.json_schema import AnySchema


ANYTHING = Schema({"type": "object"})
LONG = '{"a": "' + "x" * MOST_ARGUMENTS + '"}'


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "{}", " {} "])
def test_nothing_at_all_means_no_arguments(text: str) -> None:
    assert read(text, ANYTHING) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not valid JSON"), ('{"a": 1', "not valid JSON"), ("\x00", "not valid JSON"),
        ("{'a': 1}", "not valid JSON"), ('{"a": ' + "1" * 6000 + "}", "not valid JSON"),
        ('{"a": NaN}', "not valid JSON"), ('{"a": 1e999}', "not valid JSON"),
        ('{"a": "\\ud800"}', "not valid JSON"), ('{"a": 1}{"a": 2}', "not valid JSON"),
        ("[" * 5000, "nested too deeply"), ("[" * 5000 + "]" * 5000, "nested too deeply"),
        ('{"a":' * 9000 + "1" + "}" * 9000, "nested too deeply"),
        ("[1]", "must be a JSON object"), ("null", "must be a JSON object"), ('"text"', "must be a JSON object"),
        (LONG, "too long"), ("[" * 100_000, "too long"), (" " * (MOST_ARGUMENTS + 1), "too long"),
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_what_is_no_json_object_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ArgumentsError, match=sentence) as caught:
        read(text, ANYTHING)
    assert str(caught.value).startswith("the arguments ")
    assert len(str(caught.value)) < 100
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("half", ["\ud800", "\udfff\ud800"])
def test_half_a_character_is_repaired(half: str) -> None:
    assert read('{"a": "x' + half + '"}', ANYTHING) == {"a": "x" + "?" * len(half)}


@given(st.text(st.characters(codec=None)) | st.text('[]{}",:0 e"\\u'))
def test_whatever_comes_is_a_dict_or_a_sentence(text: str) -> None:
    try:
        found: Any = read(text, ANYTHING)
    except ArgumentsError as unfit:
        found = str(unfit)
    assert isinstance(found, dict) or found.startswith("the arguments ")


# Whether they fit


DEFINED = {"type": "object", "$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}
FITS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"required": ["a"]}, {}, False),
    ({"properties": {"a": {"type": "string"}}}, {"a": 1}, False),
    ({"properties": {"a": {"pattern": "^\\+[1-9][0-9]{3,14}$"}}}, {"a": "+15550100001"}, True),
    ({"properties": {"a": {"pattern": "^\\+[1-9][0-9]{3,14}$"}}}, {"a": "5550100001"}, False),
    ({"properties": {"a": {"pattern": "b"}}}, {"a": "abc"}, True),
    ({"properties": {"a": {"pattern": "b"}}}, {"a": 5}, True),
    ({"properties": {"a": {"pattern": "^(?!.*forbidden).*$"}}}, {"a": "allowed"}, True),
    ({"properties": {"a": {"pattern": "^(?!.*forbidden).*$"}}}, {"a": "what is forbidden"}, False),
    ({"properties": {"a": {"pattern": "^(.)\\1$"}}}, {"a": "aa"}, True),
    ({"properties": {"a": {"pattern": "^(.)\\1$"}}}, {"a": "ab"}, False),
    ({"patternProperties": {"^n_": {"type": "integer"}}}, {"n_a": 1, "b": "x"}, True),
    ({"patternProperties": {"^n_": {"type": "integer"}}}, {"n_a": "x"}, False),
    ({"patternProperties": {"^n": {}}, "properties": {"a": {}}, "additionalProperties": False}, {"n": 1, "a": 2}, True),
    ({"patternProperties": {"^n_": {}}, "properties": {"a": {}}, "additionalProperties": False}, {"b": 1}, False),
    ({"patternProperties": {"^n_": {}}, "additionalProperties": {"type": "string"}}, {"b": 1}, False),
    ({"patternProperties": {"^n_": {}}, "additionalProperties": {"type": "string"}}, {"b": "x", "n_": 1}, True),
    ({"patternProperties": {"^n_": {}}, "unevaluatedProperties": False}, {"n_": 1}, True),
    ({"patternProperties": {"^n_": {}}, "unevaluatedProperties": False}, {"b": 1}, False),
    ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, "1", True, None, [1], {"b": 1}, {"b": 2}]}, True),
    ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1, 1.0]}, False),
    ({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"b": [1]}, {"b": [1]}]}, False),
    ({"properties": {"a": {"uniqueItems": True}}}, {"a": [[1], [True]]}, True),
    ({"properties": {"a": {"uniqueItems": False}}}, {"a": [1, 1]}, True),
    (DEFINED, {"a": 1}, True),
    (DEFINED, {"a": "x"}, False),
    ({"properties": {"a": {"multipleOf": 0.01}}}, {"a": 1e300}, True),
]  # fmt: skip


@pytest.mark.process
@pytest.mark.parametrize(("schema", "given", "fits"), FITS, ids=range(len(FITS)))
def test_a_schema_means_what_it_says(schema: dict[str, Any], given: dict[str, Any], fits: bool) -> None:
    assert Draft202012Validator(schema).is_valid(given) is fits, "this case is wrong itself"
    violation = Schema(schema).violation(given)
    assert (violation == "") is fits, violation
    assert fits or violation.startswith("the arguments do not fit")


NAMES = st.sampled_from(["a", "b", "", "long name"])
KINDS = st.sampled_from(["string", "boolean", "integer", "number", "array", "object", "null"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
ABOUT = st.fixed_dictionaries({}, optional={"type": KINDS, "description": st.text(max_size=5), "default": VALUES})
PLAIN = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={
        "properties": st.dictionaries(NAMES, ABOUT),
        "required": st.lists(NAMES, unique=True),
        "additionalProperties": st.booleans(),
        "title": st.text(max_size=5),
    },
).flatmap(lambda schema: st.permutations(list(schema.items())).map(dict))


@given(PLAIN, st.dictionaries(NAMES, VALUES))
def test_a_plain_schema_says_what_the_library_says(schema: dict[str, Any], given: dict[str, Any]) -> None:
    assert is_plain(schema)
    assert Schema(schema).violation(given) == AnySchema(schema).violation(given)


@pytest.mark.parametrize(
    "schema",
    [
        {}, {"type": "array"}, {"type": ["object"]}, {"type": "object", "minProperties": 1},
        {"type": "object", "$ref": "#"},
        {"type": "object", "properties": {"a": {"enum": ["x"]}}}, {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": {"type": "nonsense"}}}, {"type": "object", "properties": []},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}, {"type": "object", "required": "a"},
        {"type": "object", "properties": {"a": {"type": "object", "properties": {}}}},
        {"type": "object", "required": [1]},
        {"type": "object", "required": ["a", "a"]}, {"type": "object", "additionalProperties": {}},
        {"type": "object", "title": 1}, {"type": "object", "properties": {"a": {"description": None}}},
        {"type": "object", "properties": {"a": {"default": object()}}}, {"type": "object", "properties": {1: {}}},
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}}, 5,
    ],
    ids=itertools.count(),
)  # fmt: skip
def test_every_other_schema_is_left_to_the_library(schema: Any) -> None:
    assert not is_plain(schema)


def test_the_sentence_says_where_and_is_short() -> None:
    schema = Schema({"properties": {"a": {"type": "array", "items": {"type": "object", "required": ["name"]}}}})
    assert "at a.1: 'name' is a required property" in schema.violation({"a": [{"name": 1}, {}]})
    assert len(schema.violation({"a": ["long " * 10_000] * 10})) <= 500


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "nonsense"}, "nonsense"),
        ({"properties": {"a": {"pattern": "("}}}, "is not a 'regex'"),
        ({"properties": {"a": {"enum": [object()]}}}, "unsupported"),
        ({"properties": 5}, "object"),
        (5, "not iterable"),
        ({"properties": {"a": {"enum": ["\ud800"]}}}, "surrogates"),
    ],
    ids=itertools.count(),
)
def test_what_is_no_schema_is_refused_when_it_is_read(schema: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        Schema(schema)


# In reasonable time


A, PAIRS = "a" * 5000 + "!", [[n, str(n)] for n in range(5000)]
SLOW: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nested repetition": ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": A}),
    "alternatives that overlap": ({"properties": {"a": {"pattern": "^(a|aa)+$"}}}, {"a": A}),
    "repetitions one after another": ({"properties": {"a": {"pattern": "^a*a*a*a*a*b$"}}}, {"a": A}),
    "a name's pattern": ({"patternProperties": {"^(a+)+$": {"type": "string"}}}, {A: 1}),
    "a name's pattern, and nothing else": (
        {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, {A: 1}),
    "names of a pattern": ({"propertyNames": {"pattern": "^(a+)+$"}}, {A: 1}),
    "items of several kinds that are unique": ({"properties": {"a": {"uniqueItems": True}}},
                                               {"a": [*PAIRS, *({"n": n} for n in range(5000))]}),
    "a schema that holds itself": ({"$ref": "#"}, {"a": 1}),
    "a pattern in a branch": ({"anyOf": [{"properties": {"a": {"pattern": "^(a+)+$"}}}, False]}, {"a": A}),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_no_schema_takes_for_ever(name: str) -> None:
    """The usual way takes longer than anybody has for each of these: that this ends at all is the test."""
    schema, given = SLOW[name]
    Schema(schema).violation(given)


@pytest.mark.e2e
def test_twice_the_text_takes_twice_the_time() -> None:
    schema = Schema({"properties": {"a": {"pattern": "^(a+)+$"}, "b": {"uniqueItems": True}}})

    def took(size: int) -> float:
        times = []
        given = {"a": "a" * (size * 10) + "!", "b": [[n, {"n": str(n)}] for n in range(size)]}
        for _ in range(5):
            began = time.thread_time()
            assert schema.violation(given)
            times.append(time.thread_time() - began)
        return min(times)

    assert took(4000) < 8 * took(1000)


@pytest.mark.process
def test_a_pattern_that_only_a_slow_engine_knows_is_given_up_after_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = Schema({"properties": {"a": {"pattern": "^(?=x|a)(a+)+$"}}})
    assert schema.needs_process
    assert schema.violation({"a": "aaaa"}) == ""
    monkeypatch.setattr("callflow.tools.json_schema._PROCESS_SECONDS", 0.5)
    assert "took too long" in schema.violation({"a": "a" * 50 + "!"})


def test_checking_ends_when_nobody_waits_any_more() -> None:
    schema = Schema({"properties": {"a": {"items": {"type": "integer"}}}})
    looks = itertools.count()
    with pytest.raises(Abandoned):
        schema.violation({"a": list(range(10_000))}, lambda: next(looks) > 100)
    assert next(looks) < 110


def test_no_schema_is_fetched_from_anywhere() -> None:
    schema = Schema({"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(Unresolvable):
        schema.violation({})


def test_a_tool_can_have_any_arguments_that_json_can_have() -> None:
    given = {"text": "ä\u2028😀", "number": -1.5e-7, "big": 2**64, "list": [None, True, {"": []}]}
    assert read(json.dumps(given), ANYTHING) == given
    assert read(json.dumps(given, ensure_ascii=False), ANYTHING) == given
