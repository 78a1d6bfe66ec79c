"""What tests ask of the source files: each is parsed and walked once for all of them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ClassFacts:
    """One class of a file. Its name begins with those of the classes around it, each followed by a dot."""

    name: str
    bases: tuple[str, ...]
    docstring: str
    words: set[str] = field(default_factory=set)
    """Every name that stands in it, see `Source.words`."""


@dataclass(frozen=True)
class FunctionFacts:
    """One function or method of a file. Its name begins as that of a class does."""

    name: str
    decorators: tuple[str, ...]
    docstring: str


@dataclass(frozen=True)
class Source:
    """The facts of one file."""

    docstrings: list[str] = field(default_factory=list)
    classes: list[ClassFacts] = field(default_factory=list)
    functions: list[FunctionFacts] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    """Every name that the file uses, and every text that may be nothing but a name."""
    attributes: set[str] = field(default_factory=set)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)


@functools.cache
def facts(path: Path) -> Source:
    """Return what a file says."""
    found = Source()
    _visit(ast.parse(path.read_text(encoding="utf-8")), found, (), "")
    return found


def _visit(node: ast.AST, found: Source, around: tuple[ClassFacts, ...], within: str) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node, clean=False) or ""
        found.docstrings.append(text)
        if isinstance(node, ast.ClassDef):
            bases = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
            one = ClassFacts(within + node.name, bases, text)
            found.classes.append(one)
            around, within = (*around, one), f"{within}{node.name}."
        elif not isinstance(node, ast.Module):
            decorators = tuple(ast.unparse(each) for each in node.decorator_list)
            found.functions.append(FunctionFacts(within + node.name, decorators, text))
            within += "<locals>."
    elif isinstance(node, ast.Import | ast.ImportFrom):
        found.imports.append(node)
    elif isinstance(node, ast.Attribute):
        found.attributes.add(node.attr)
    for word in _words(node):
        found.words.add(word)
        for each in around:
            each.words.add(word)
    for child in ast.iter_child_nodes(node):
        _visit(child, found, around, within)


def _words(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield name
        case ast.arg(arg=name) | ast.keyword(arg=str(name)):
            yield name
        case ast.alias(name=name):
            yield from name.split(".")
        case ast.Constant(value=str(value)):
            yield value
