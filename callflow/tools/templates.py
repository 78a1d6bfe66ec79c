"""Definitions of tools to begin with, from no parameter at all to objects within objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final


def _text(about: str) -> dict[str, str]:
    return {"type": "string", "description": about}


def _object(properties: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(required)}


TEMPLATES: Final[Sequence[Mapping[str, Any]]] = (
    {
        "name": "get_weather",
        "description": "Tell the weather at a place, now.",
        "parameters": _object({"location": _text("A town, with its country where it is not clear")}, ["location"]),
    },
    {
        "name": "ping_no_args",
        "description": "Ask whether somebody is there. It takes no arguments.",
        "parameters": _object({}, []),
    },
    {
        "name": "get_user_nested_args",
        "description": "Look a customer up.",
        "parameters": _object(
            {
                "user": _object(
                    {
                        "id": _text("The customer's number"),
                        "metadata": _object(
                            {"region": _text("Where the customer lives"), "role": _text("What they are with us")},
                            ["region"],
                        ),
                    },
                    ["id"],
                )
            },
            ["user"],
        ),
    },
    {
        "name": "calculate_route_more_properties",
        "description": "Find the way from one place to another.",
        "parameters": _object(
            {
                "start": _text("Where it begins"),
                "end": _text("Where it ends"),
                "mode": {"type": "string", "enum": ["car", "bike", "walk"], "description": "How to travel"},
                "options": _object(
                    {
                        "avoid_highways": {"type": "boolean", "description": "Without motorways"},
                        "scenic_route": {"type": "boolean", "description": "Rather beautiful than short"},
                    },
                    [],
                ),
            },
            ["start", "end", "mode"],
        ),
    },
)
"""Each as `callflow.tools.own.read` takes it."""
