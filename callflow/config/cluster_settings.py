"""The settings of a cluster: several processes, on one machine or on several, that serve with one history."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr

from callflow.config import validators
from callflow.config.origins import OriginSettings


_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?")
_MOST_WORKERS: Final = 64
_LONGEST_SOCKET: Final = 103
"""Characters of the path of a Unix socket: 107 on Linux, 103 elsewhere."""
_MAKE_SECRET: Final = 'make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'


def node_name(text: str) -> str:
    """Check the name of a node, which stands in addresses; "" stays. Raises ValueError."""
    if text and not _NAME.fullmatch(text):
        raise ValueError("must be a short name: up to 24 small letters, digits and hyphens")
    return text


class ClusterSettings(OriginSettings):
    """Who serves beside this process."""

    # Several processes

    workers: Annotated[int, Field(ge=1, le=_MOST_WORKERS)] = 1
    """Processes that share this machine's calls, each on a core of its own; one that dies is replaced, and the others
    take its calls over. 1: this process serves alone. `max_concurrent_calls` holds for all of them together. The same
    as `--workers`."""
    node: Annotated[str, AfterValidator(node_name)] = ""
    """The name of this machine among several that share a database: `a`; its workers are `a-w1`, `a-w2`, … Another one
    on each machine. Empty: there is one machine."""
    cluster_host: str = "127.0.0.1"
    """The address on which the other machines reach this one's workers. Nobody else may."""
    cluster_port: Annotated[int, Field(ge=0, le=65535 - 2 * _MOST_WORKERS)] = 0
    """The first of the ports for that, twice as many as there are workers: each has one, and during a restart so have
    the workers of before. 0: there is one machine."""
    cluster_secret: Annotated[SecretStr, AfterValidator(validators.secret)] = SecretStr("")
    """With what the nodes sign what they say to each other, at least 32 characters, the same on all machines. Needed
    with `cluster_port`."""

    @property
    def is_clustered(self) -> bool:
        """Whether more than one process may serve with this history."""
        return self.workers > 1 or self.cluster_port > 0

    def cluster_problems(
        self, media_server: str, database_url: str, others: Sequence[int], data_dir: str = ""
    ) -> list[str]:
        """Return a line for each problem that keeps several processes from serving. `others`: ports that are used
        otherwise. `data_dir`: the folder with the workers' sockets."""
        problems = []
        secret = self.cluster_secret.get_secret_value()
        if self.cluster_port and not secret:
            problems.append(f"CLUSTER_SECRET is not set, but CLUSTER_PORT is: {_MAKE_SECRET}")
        if secret and len(secret) < 32:
            problems.append(f"CLUSTER_SECRET has {len(secret)} characters: use at least 32")
        if self.cluster_port and self.cluster_host.strip("[]") in validators.EVERY_ADDRESS:
            problems.append(
                f"CLUSTER_HOST={self.cluster_host} is no address at which others find this machine: give its own"
            )
        if self.cluster_port and not self.node:
            problems.append("NODE is not set, but CLUSTER_PORT is: give each machine a name of its own")
        if self.cluster_port and not database_url.startswith("postgres"):
            problems.append("CLUSTER_PORT is set, but DATABASE_URL is no PostgreSQL: machines share nothing else")
        ports = range(self.cluster_port, self.cluster_port + 2 * self.workers) if self.cluster_port else range(0)
        problems += [f"CLUSTER_PORT={self.cluster_port}: {port} is used already" for port in others if port in ports]
        if self.is_clustered and media_server == "hypercorn":
            problems.append("MEDIA_SERVER=hypercorn serves one process: leave it away, or set WORKERS=1")
        socket = len(str(Path(data_dir).absolute())) + len(f"/cluster/{self.node}-w99.fd.sock")
        if self.is_clustered and socket > _LONGEST_SOCKET:
            problems.append(f"DATA_DIR is {socket - _LONGEST_SOCKET} characters too long for the workers' Unix sockets")
        if self.is_clustered and os.name == "nt":
            problems.append("WORKERS: several processes need Unix sockets, which Windows has not: set WORKERS=1")
        return problems
