"""How a function describes itself to the model, whatever style its docstring is written in."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from callflow.tools.schema import describe


STYLES = {
    "Google": """When we are open
        on a day.

        More that the model need not know.

        Args:
            day (str, optional): a weekday,
                or "today"
            count: how many: 1 to 9

        Returns:
            text: the hours
        """,
    "Google, without indentation and blank line": """When we are open
        on a day.
        Parameters:
            day: a weekday,
            or "today"
            count: how many: 1 to 9
        """,
    "Google, without a colon": """When we are open on a day.

        args
          day: a weekday, or "today"
          count: how many: 1 to 9
        raises
          ValueError: never
        """,
    "Sphinx": """When we are open
        on a day.

        :param str day: a weekday,
            or "today"
        :param count: how many: 1 to 9
        :type count: int
        :returns: the hours
        """,
    "NumPy": """When we are open on a day.

        Parameters
        ----------
        day : str, optional
            a weekday,
            or "today"
        count : int
            how many: 1 to 9
        """,
    "Epytext": """When we are open on a day.

        @param day: a weekday,
            or "today"
        @param count: how many: 1 to 9
        """,
}


def described(docstring: str) -> tuple[str, dict[str, Any]]:
    def opening_hours(call: Any, day: str = "today", count: int = 1) -> str:
        return day

    opening_hours.__doc__ = docstring
    text, schema = describe(opening_hours)
    assert list(schema["properties"]) == ["day", "count"], "the context is no parameter"
    return text, schema["properties"]


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_docstring_describes_the_parameters(style: str) -> None:
    text, properties = described(STYLES[style])
    assert text == "When we are open on a day."
    assert properties == {
        "day": {"type": "string", "default": "today", "description": 'a weekday, or "today"'},
        "count": {"type": "integer", "default": 1, "description": "how many: 1 to 9"},
    }


@pytest.mark.parametrize("docstring", ["", "Args:", ": : ", ":param", "@param", "Args:\n    :", "Returns:\n---\n>>> x"])
def test_a_docstring_in_no_style_is_no_reason_to_refuse_a_tool(docstring: str) -> None:
    text, properties = described(docstring)
    assert text in ("", inspect.cleandoc(docstring), "Args: :") or docstring.startswith(text)
    assert properties == {"day": {"type": "string", "default": "today"}, "count": {"type": "integer", "default": 1}}
