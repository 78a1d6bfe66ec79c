"""A real server that speaks S3, for the tests of what lies in an object store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.object_store import object_store


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of the server."""
    with object_store() as found:
        yield found
