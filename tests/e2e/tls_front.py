"""TLS in front of an emulator, as vendors have it: a certificate of its own authority, and a relay of bytes."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e import tcp_front


HOST: Final = "localhost"
"""A name, so that it has to be looked up."""


class Authority:
    """A certificate for this machine that `trusted`, a file for SSL_CERT_FILE, vouches for."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )
        plain = serialization.NoEncryption()
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        own = folder / "own.pem"
        own.write_bytes(private + certificate)
        self.trusted = folder / "trusted.pem"
        # with those of the world, so that reading them takes as long as it does
        self.trusted.write_bytes(certificate + Path(certifi.where()).read_bytes())
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(own)


@contextlib.asynccontextmanager
async def front(address: str, authority: Authority) -> AsyncIterator[str]:
    """A TLS listener in front of an `http:` or `ws:` address on this machine; gives the address with `s` and `HOST`."""
    parts = urlsplit(address)
    async with tcp_front.front(lambda: address, _pass, authority.context) as port:
        yield urlunsplit(parts._replace(scheme=f"{parts.scheme}s", netloc=f"{HOST}:{port}"))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while some := await reader.read(1 << 16):
            writer.write(some)
            await writer.drain()
    except OSError:
        pass  # one side is gone, and so is the other in a moment
    finally:
        writer.close()
