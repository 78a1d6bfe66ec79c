"""A server that speaks S3 on this machine, in a process of its own: `python tests/object_store.py` makes the bucket
`calls`, prints its address, and ends with its standard input."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

import pytest


KEY: Final = "a-secret-key-of-the-store"


@contextmanager
def object_store() -> Iterator[str]:
    """Run the server, and yield its address. Skips the test where its packages are missing."""
    if find_spec("obstore") is None or find_spec("moto") is None:
        why = "obstore and moto are not installed: `scripts/setup test` installs them"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    server = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdin is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.wait(20)
        server.stdout.close()


def settings_for(address: str) -> dict[str, Any]:
    """Return the settings of a server whose recordings go there."""
    return {
        "recordings_url": "s3://calls/of/today", "aws_endpoint_url": address,
        "aws_access_key_id": "some", "aws_secret_access_key": KEY,
    }  # fmt: skip


def main() -> None:
    """Serve until the standard input ends."""
    logging.disable(logging.CRITICAL)  # every request, else
    server: Any = importlib.import_module("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client: Any = importlib.import_module("boto3").client("s3", endpoint_url=address, **keys)
    client.create_bucket(Bucket="calls")
    print(address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
