"""Arguments are checked by any JSON schema as the library would, but soon, and never by anything from elsewhere."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from callflow.contracts.errors import Abandoned
from callflow.tools.json_schema import AnySchema


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 1.5, "", "a", "ab", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "ab", "b"]), inner, max_size=3),
    max_leaves=6,
)
INNER: list[Any] = [
    {}, True, False, {"type": "integer"}, {"type": "string"}, {"uniqueItems": True}, {"uniqueItems": False},
    {"pattern": "^a"}, {"pattern": "b$"}, {"enum": [1, "a", None]}, {"const": 1}, {"maxItems": 1},
    {"patternProperties": {"^a": {"type": "integer"}}}, {"patternProperties": {"b": False}},
    {"properties": {"a": True}, "additionalProperties": False},
    {"patternProperties": {"^a": True}, "additionalProperties": False},
    {"additionalProperties": {"type": "integer"}}, {"not": {"type": "integer"}},
]  # fmt: skip


@settings(max_examples=25)
@given(st.sampled_from(INNER), st.sampled_from(["properties", "anyOf", "items"]), VALUES)
def test_what_fits_for_the_library_fits_here_and_nothing_else(inner: Any, how: str, value: Any) -> None:
    within = {"properties": inner, "anyOf": {"anyOf": [inner, False]}, "items": {"items": inner}}[how]
    schema, arguments = {"properties": {"a": within}}, {"a": value}
    fits = Draft202012Validator(schema).is_valid(arguments)
    assert (AnySchema(schema).violation(arguments) == "") is fits


@pytest.mark.parametrize(
    ("given_", "fits"), [({}, True), ({"a": 1}, True), ({"xa": 1}, True), ({"b": 1}, False), ({"b": 1, "xa": 1}, False)]
)
def test_what_a_pattern_or_a_name_covers_is_not_additional(given_: dict[str, Any], fits: bool) -> None:
    schema = AnySchema({
        "properties": {"a": True}, "patternProperties": {"^x": True}, "additionalProperties": False,
    })  # fmt: skip
    assert (schema.violation(given_) == "") is fits


@pytest.mark.parametrize(
    ("items", "unique"),
    [
        ([], True), ([1, 1.0], False), ([1, True], True), ([0, False], True), ([None, 0, "", [], {}], True),
        ([[1], [1.0]], False), ([[1], [True]], True), ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], False),
        ([{"a": [1]}, {"a": [True]}], True), (["a", "A"], True), ([["a", "b"], ["ab"]], True), ([[], [[]]], True),
    ],
)  # fmt: skip
def test_which_elements_are_the_same(items: list[Any], unique: bool) -> None:
    schema = AnySchema({"properties": {"a": {"uniqueItems": True}}})
    assert (schema.violation({"a": items}) == "") is unique


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"}, {"required": "a"}, {"pattern": "("}, {"properties": {"a": {"pattern": "[z-a]"}}},
        {"properties": []}, {"minLength": -1}, {"enum": 5}, {"$ref": 5}, {"default": object()},
    ],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_schema_is_a_type_error(schema: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        AnySchema(schema)


@pytest.mark.parametrize(
    ("schema", "needs"),
    [
        ({}, False),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, False),
        ({"properties": {"a": {"pattern": "^(?!b)"}}}, True),
        ({"properties": {"a": {"pattern": r"(.)\1"}}}, True),
        ({"patternProperties": {"(?=a)": True}}, True),
        ({"anyOf": [True, {"items": {"pattern": "(?<=a)b"}}]}, True),
        ({"properties": {"pattern": {"type": "string"}}}, False),
        ({"unevaluatedProperties": False}, False),
        ({"patternProperties": {"a": True}, "unevaluatedProperties": False}, True),
    ],
)
def test_only_patterns_that_need_it_are_matched_by_an_engine_that_may_be_slow(
    schema: dict[str, Any], needs: bool
) -> None:
    assert AnySchema(schema).needs_process is needs


def test_the_sentence_says_where_and_is_short_however_large_the_value_is() -> None:
    schema = AnySchema({"properties": {"a": {"items": {"properties": {"b": {"type": "integer"}}}}}})
    sentence = schema.violation({"a": [{}, {"b": "x" * 100_000}]})
    assert sentence.startswith("the arguments do not fit at a.1.b: ")
    assert len(sentence) == 500
    assert AnySchema({"required": ["a"]}).violation({}).startswith("the arguments do not fit: ")


def test_ten_thousand_mistakes_are_one_sentence() -> None:
    looked = itertools.count()
    schema = AnySchema({"properties": {"a": {"items": {"type": "integer"}}}})
    assert schema.violation({"a": ["x"] * 10_000}, lambda: next(looked) > 1_000_000)
    assert next(looked) < 1000, "the first ones are enough"


def test_nobody_who_waits_is_asked_before_each_part_and_one_who_does_gets_the_same_answer() -> None:
    schema = AnySchema({"properties": {"a": {"items": {"type": "integer"}}}})
    with pytest.raises(Abandoned):
        schema.violation({"a": [1]}, lambda: True)
    assert schema.violation({"a": [1]}) == "", "who asks next is not given up for it"


def test_arguments_in_which_nobody_finds_the_end_are_refused() -> None:
    deep: Any = 1
    for _ in range(3000):
        deep = [deep]
    schema = AnySchema({"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"items": {"$ref": "#/$defs/n"}}}})
    assert schema.violation({"a": deep}) == "the arguments are nested too deeply"


def test_a_schema_that_its_owner_changes_later_stays_as_it_was_read() -> None:
    given_ = {"required": ["a"]}
    schema = AnySchema(given_)
    given_["required"] = []
    assert schema.violation({})
