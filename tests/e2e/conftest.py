"""The carriers over which a module's tests run: `CARRIERS = ("telnyx", "twilio")` at its top; Telnyx alone without.

A test of such a module that is about one of them says `@pytest.mark.carrier("telnyx")`.
"""

from __future__ import annotations

import pytest

from tests.e2e import product


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "carrier(name): the only carrier that this test is about")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    carriers = getattr(metafunc.module, "CARRIERS", None)
    if carriers is None:
        return
    only = metafunc.definition.get_closest_marker("carrier")
    metafunc.parametrize("carrier", only.args if only is not None else carriers, indirect=True)


@pytest.fixture(autouse=True)
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which carrier `product()` gets when none is given to it."""
    name: str = getattr(request, "param", "telnyx")
    monkeypatch.setattr(product, "usual", name)
    return name
