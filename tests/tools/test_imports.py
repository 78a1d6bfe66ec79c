"""What a `tools.py` imports: the short way, which costs nothing before it is used, and the way of earlier versions."""

from __future__ import annotations

import subprocess
import sys

import pytest


pytestmark = pytest.mark.process


def printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_loads_nothing() -> None:
    assert printed("import sys, callflow; print(sorted({'typing', 'asyncio', 'msgspec'} & set(sys.modules)))") == "[]"


def test_tool_is_at_hand() -> None:
    assert printed("from callflow import tool, ToolContext, ToolResult; print(tool.__name__)") == "tool"


def test_the_import_of_earlier_versions_means_the_same() -> None:
    code = "import callflow; from callflow.engines.tools import tool, ToolContext; print(tool is callflow.tool)"
    assert printed(code) == "True"


def test_so_does_that_of_the_settings() -> None:
    code = (
        "import callflow; from callflow.settings import Settings, SettingsError; import callflow.settings as old;"
        "print(Settings is callflow.Settings, old.SettingsError is SettingsError)"
    )
    assert printed(code) == "True True"


def test_there_is_nothing_else() -> None:
    code = "import callflow\ntry: callflow.tol\nexcept AttributeError as error: print(error)"
    assert printed(code) == "module 'callflow' has no attribute 'tol'"
