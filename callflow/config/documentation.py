"""Reads what is written about the settings: the text below each in its class, and the heading of its group."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple

from pydantic_settings import BaseSettings


class Documented(NamedTuple):
    """One setting as it stands in the code."""

    name: str
    heading: str
    text: str
    """Its docstring in one line; "": it has none."""


@functools.cache
def documented(settings: type[BaseSettings]) -> tuple[Documented, ...]:
    """Return the settings that a class itself defines, in their order, with heading and docstring. Its source is read
    once."""
    return tuple(_documented(settings))


def _documented(settings: type[BaseSettings]) -> Iterator[Documented]:
    source = inspect.getsource(settings)
    lines = source.splitlines()
    (body,) = (node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    heading, line = "", 0
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        if node.target.id not in settings.model_fields:
            continue
        comments = [found[1] for each in lines[line : node.lineno] if (found := re.fullmatch(r"    # (.+)", each))]
        heading, line = (comments[-1] if comments else heading), node.lineno
        is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        text = inspect.cleandoc(str(after.value.value)) if is_text else ""  # type: ignore[union-attr]
        yield Documented(node.target.id, heading, " ".join(text.split()))
