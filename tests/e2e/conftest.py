"""The carriers over which a module's tests run: `CARRIERS = ("telnyx", "twilio")` at its top; Telnyx alone without.

A test of such a module that is about one of them says `@pytest.mark.carrier("telnyx")`. In a module that is about the
model or the process rather than about carriers (`SAMPLED = True`) each test runs over the first of them, and one test
of three over the others; all of them over all in CI and with --long.
"""

from __future__ import annotations

import os
import zlib

import pytest

from tests.e2e import product
from tests.sample import Sample


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    carriers = getattr(metafunc.module, "CARRIERS", None)
    if carriers is None:
        return
    only = metafunc.definition.get_closest_marker("carrier")
    if only is not None:
        carriers = only.args
    elif getattr(metafunc.module, "SAMPLED", False):
        whole = metafunc.config.getoption("--long") or os.environ.get("CI") == "true"
        number = zlib.crc32(metafunc.function.__name__.encode())
        carriers = carriers if Sample(whole=whole).takes(number, 3) else carriers[:1]
    metafunc.parametrize("carrier", carriers, indirect=True)


@pytest.fixture(autouse=True)
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which carrier `product()` gets when none is given to it."""
    name: str = getattr(request, "param", "telnyx")
    monkeypatch.setattr(product, "usual", name)
    return name
