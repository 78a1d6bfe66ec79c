"""The vendors' machine-readable contracts. They are no part of this repository: CALLFLOW_SCHEMAS names their folder."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012


def folder() -> Path:
    """Skips the test where the contracts are not at hand."""
    named = os.environ.get("CALLFLOW_SCHEMAS")
    if not named:
        pytest.skip("CALLFLOW_SCHEMAS does not name a folder with the vendors' schemas")
    return Path(named)


def load(name: str) -> Any:
    return _load(folder() / name)


@cache
def _load(path: Path) -> Any:
    return _with_nulls(json.loads(path.read_text()))


def _with_nulls(schema: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema has a type of its own."""
    if isinstance(schema, list):
        return [_with_nulls(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: _with_nulls(value) for name, value in schema.items()}
    if schema.get("nullable") is True:
        if isinstance(schema.get("type"), str):
            schema["type"] = [schema["type"], "null"]
        elif "$ref" in schema:
            schema = {"anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}]}
    return schema


def validator(name: str, pointer: str = "") -> Draft202012Validator:
    """Checks values against the schema at `pointer` (`/components/schemas/X`) of a file, with its $refs resolved."""
    document = Resource.from_contents(load(name), default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("urn:contract", document)
    return Draft202012Validator({"$ref": f"urn:contract#{pointer}"}, registry=registry)


def complaints(name: str, pointer: str, value: Any) -> list[str]:
    """What the schema has against the value; empty: nothing."""
    return [f"{error.json_path}: {error.message}" for error in validator(name, pointer).iter_errors(value)]


def unknown_keys(document: Any, schema: Any, value: Any, at: str = "$") -> list[str]:
    """Keys of the value that no branch of the schema names. Schemas leave objects open; the real servers do not."""
    if isinstance(value, list):
        items = [item for part in _parts(document, schema) if isinstance(item := part.get("items"), dict)]
        found = []
        for number, element in enumerate(value):
            found += unknown_keys(document, {"anyOf": items}, element, f"{at}[{number}]") if items else []
        return found
    if not isinstance(value, dict):
        return []
    known: dict[str, list[Any]] = {}
    for part in _parts(document, schema):
        kinds = {one["const"] for one in _parts(document, part.get("properties", {}).get("type")) if "const" in one}
        if kinds and value.get("type") not in kinds:
            continue  # another member of a union
        for name, inner in part.get("properties", {}).items():
            known.setdefault(name, []).append(inner)
    if not known:
        return []  # a free-form object
    found = []
    for name, inner in value.items():
        where = f"{at}.{name}"
        found += unknown_keys(document, {"anyOf": known[name]}, inner, where) if name in known else [where]
    return found


def _parts(document: Any, schema: Any) -> list[dict[str, Any]]:
    """The schema and everything that it refers to or is made of."""
    if not isinstance(schema, dict):
        return []
    parts = [schema]
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = document
        for name in reference.removeprefix("#/").split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        parts += _parts(document, target)
    for word in ("anyOf", "oneOf", "allOf"):
        for member in schema.get(word, ()):
            parts += _parts(document, member)
    return parts
