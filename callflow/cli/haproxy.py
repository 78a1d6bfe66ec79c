"""`server.py haproxy`: the configuration of an HAProxy in front of several servers.

`python -m callflow.cli.haproxy` writes deploy/haproxy.cfg, which is the same for two servers of an example. What each
line is for stands in that file. Source: HAProxy 2.6, configuration manual,
https://docs.haproxy.org/2.6/configuration.html
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from callflow.cli.generated_file import bring_up_to_date


FILE: Final = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"
COMMAND: Final = "python -m callflow.cli.haproxy"


@dataclass(frozen=True, slots=True)
class Server:
    """One machine on which Callflow listens for carriers."""

    name: str
    """Of its node; where it has several workers, of their names what stands before `-w1`."""
    address: str
    """Host and port of its public listener."""


EXAMPLE: Final = (Server("a", "10.0.0.11:6000"), Server("b", "10.0.0.12:6000"))
CERTIFICATE: Final = "/etc/haproxy/callflow.pem"


def configuration(servers: Sequence[Server], *, bind: str, certificate: str) -> str:
    """Return the configuration. `bind`: where carriers reach HAProxy. `certificate`: a file with certificate chain and
    key; "": TLS ends elsewhere, at a proxy before this one."""
    tls = f" ssl crt {certificate} alpn http/1.1" if certificate else ""
    width = max(len(server.name) for server in servers)
    names = [(f"{server.name:<{width}}", server) for server in servers]
    return _TEXT.format(
        bind=f"{bind}{tls}",
        proto="\n    http-request set-header X-Forwarded-Proto https" if certificate else "",
        named="\n".join(f"    server {padded} {server.address}" for padded, server in names),
        tracking="\n".join(
            f"    server {padded} {server.address} track named/{server.name}" for padded, server in names
        ),
    )


_TEXT: Final = """\
# HAProxy in front of several Callflow servers that share a PostgreSQL database. Made by `python server.py haproxy`;
# what happens when each part dies is in docs/operations.md. HAProxy 2.6 or newer. Check it before every reload:
#     haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl reload haproxy

global
    user haproxy
    group haproxy
    chroot /var/lib/haproxy
    stats socket /run/haproxy/admin.sock mode 660 level admin
    log stdout format raw local0 info
    # As many connections as open files allow, up to this many files: two for each media socket or webhook.
    fd-hard-limit 100000
    ssl-default-bind-options ssl-min-ver TLSv1.2
    # A reload leaves the process before to its media sockets. It ends with the last of them, after this at the latest:
    # longer than the longest call (max_call_seconds, and while connected with a person max_bridged_seconds).
    hard-stop-after 3h

defaults
    mode http
    log global
    option dontlognull
    # Neither path nor query: a media socket's path holds its token, a query may hold telephone numbers.
    log-format "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %tsc %ac/%fc/%bc/%sc/%rc %HM"
    timeout http-request 5s
    timeout http-keep-alive 30s
    timeout client 30s
    # Longer than Callflow ever lets a webhook wait: ten seconds, for a caller whose call is being taken over.
    timeout server 15s
    # Between these machines. So long does a request wait for a machine that has lost its power.
    timeout connect 500ms
    timeout queue 1s
    # A media socket on which neither side sends anything. Callflow pings it every media_ping_seconds.
    timeout tunnel 10m
    timeout client-fin 5s
    timeout server-fin 5s
    # A server that refuses the connection has not seen the request: another one gets it at once. A request that a
    # server may have seen is never sent twice from here: whether it is sent again is the carrier's decision.
    retries 3
    option redispatch 1
    retry-on conn-failure
    # Each request on a connection of its own: workers of one machine hand a connection on to each other by the name in
    # its first request, and no request meets a connection that the server is about to close.
    option http-server-close
    http-reuse never

frontend carriers
    bind {bind}{proto}
    # Whether a server is full, draining or alive is nobody's business outside.
    http-request deny deny_status 404 if {{ path_end /ready }}
    # /nodes/NAME/… belongs to a call that NAME has. Workers of one machine share its name: a-w1, a-w2.
    http-request set-var(txn.node) path,field(3,/),regsub(-w[0-9]+$,) if {{ path_beg /nodes/ }}
    use_backend media if {{ path_reg ^(/nodes/[a-z0-9-]+)?/(media-stream|call)/ }}
    use_backend named if {{ path_beg /nodes/ }}
    # When no server asks for new calls, any that lives gets them: it knows what the caller is to hear.
    use_backend new if {{ nbsrv(new) gt 0 }}
    default_backend named

# New calls, and whatever has no name: to servers that take new calls. /ready answers 503 while one starts, drains, is
# full or has no database; the calls that it has are served on below.
backend new
    balance leastconn
    option httpchk
    http-check send meth GET uri /ready ver HTTP/1.1 hdr Host callflow
    http-check expect status 200
    timeout check 1s
    default-server check inter 500ms fastinter 250ms downinter 500ms fall 1 rise 1
{named}

# Webhooks of a call: to the server that has it, also while that one drains. If it is down, to any other, which takes
# the call over or asks who has. What waits for a server when it is found dead is closed, and the carrier sends it
# again, or asks the fallback URL.
backend named
    balance leastconn
    use-server %[var(txn.node)] if {{ var(txn.node) -m found }}
    option httpchk
    http-check send meth GET uri /health ver HTTP/1.1 hdr Host callflow
    http-check expect status 200
    timeout check 1s
    default-server check inter 500ms fastinter 250ms downinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
{named}

# Media sockets, likewise; but one that is open stays open whatever the checks say, because a server that is only slow
# still carries its audio.
backend media
    balance leastconn
    use-server %[var(txn.node)] if {{ var(txn.node) -m found }}
{tracking}
"""


def run(arguments: argparse.Namespace) -> int:
    """Print the configuration. Returns the exit code: 2, the names cannot be used."""
    servers: list[Server] = arguments.node
    twice = [name for name, count in Counter(server.name for server in servers).items() if count > 1]
    if twice:
        print(f"server.py haproxy: two servers have the name {twice[0]}: each needs one of its own.", file=sys.stderr)
        return 2
    certificate = "" if arguments.no_tls else str(arguments.certificate)
    print(configuration(servers, bind=arguments.bind, certificate=certificate), end="")
    return 0


def main() -> int:
    """Write the file of the example, unless it is up to date. Returns 0."""
    return bring_up_to_date(FILE, configuration(EXAMPLE, bind="*:443", certificate=CERTIFICATE))


if __name__ == "__main__":
    sys.exit(main())
