"""The settings of a cluster: what keeps several processes from serving, and what the start says of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.config.settings import Settings
from callflow.config.setup_checks import to_do


def made(**more: Any) -> Settings:
    usual = {"node": "a", "cluster_port": 6010, "cluster_host": "10.0.0.11", "cluster_secret": "s" * 32}
    return Settings(**{**usual, "database_url": "postgresql://callflow@10.0.0.10/callflow", **more})


def problems(settings: Settings) -> list[str]:
    return settings.cluster_problems(settings.media_server, settings.database_url, ())


def test_what_a_machine_of_several_needs_is_enough() -> None:
    assert problems(made()) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", ""])
def test_an_address_at_which_nobody_finds_the_machine_is_refused(host: str) -> None:
    """The others would take it for their own address, a refused connection there for this machine's death."""
    (told,) = problems(made(cluster_host=host))
    assert told.startswith(f"CLUSTER_HOST={host} is no address")


@pytest.mark.parametrize(("more", "named"), [({"cluster_secret": ""}, "CLUSTER_SECRET"), ({"node": ""}, "NODE")])
def test_what_is_missing_is_named(more: dict[str, str], named: str) -> None:
    (told,) = problems(made(**more))
    assert told.startswith(f"{named} is not set")


@pytest.mark.parametrize(("host", "said"), [("127.0.0.1", True), ("localhost", True), ("10.0.0.11", False)])
def test_the_start_says_that_other_machines_cannot_reach_this_one(host: str, said: bool) -> None:
    lines = to_do(made(cluster_host=host), "https://phone.example")
    assert any(line.startswith("CLUSTER_HOST is an address of this machine only") for line in lines) is said
