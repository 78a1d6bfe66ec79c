"""The carriers over which a module's tests run: `CARRIERS = ("telnyx", "twilio")` at its top; Telnyx alone without.

A test of such a module that is about one of them says `@pytest.mark.carrier("telnyx")`. In a module that is about the
model or the process rather than about carriers (`SAMPLED = True`) each test runs over one of them, another test over
another one, and all of them over all with --long. So it is with the media servers that a module names in
`MEDIA_SERVERS`.
"""

from __future__ import annotations

import pytest

from tests.e2e import product
from tests.sample import sampled


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    servers = getattr(metafunc.module, "MEDIA_SERVERS", None)
    if servers is not None:
        metafunc.parametrize("media_server", sampled(metafunc, servers), indirect=True)
    carriers = getattr(metafunc.module, "CARRIERS", None)
    if carriers is None:
        return
    only = metafunc.definition.get_closest_marker("carrier")
    if only is not None:
        carriers = only.args
    elif getattr(metafunc.module, "SAMPLED", False):
        carriers = sampled(metafunc, carriers)
    metafunc.parametrize("carrier", carriers, indirect=True)


@pytest.fixture(autouse=True)
def media_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which media server `product()` has when none is given to it."""
    name: str = getattr(request, "param", "picows")
    monkeypatch.setattr(product, "media_server", name)
    return name


@pytest.fixture(autouse=True)
def nodes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether `product()` is one node, or two: see there."""
    chosen = request.config.getoption("--nodes")
    marker = request.node.get_closest_marker("one_node")
    if chosen and marker is not None:
        pytest.skip(marker.args[0])
    monkeypatch.setattr(product, "nodes", chosen)


@pytest.fixture(autouse=True)
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which carrier `product()` gets when none is given to it."""
    name: str = getattr(request, "param", "telnyx")
    monkeypatch.setattr(product, "usual", name)
    return name
