"""The signature of Standard Webhooks: the vector of its specification, and the same worked out by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from callflow.history.delivery.signature import Signer
from tests.history.delivery.receiver import KEY, SECRET


def test_the_vector_of_the_specification() -> None:
    """https://github.com/standard-webhooks/standard-webhooks: the example that all of its libraries test against."""
    signer = Signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', 1614265330.9)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_secrets_are_rotated_each_of_them_signs() -> None:
    other = bytes(32)
    headers = Signer(f"whsec_{base64.b64encode(other).decode()},{SECRET}").headers("evt_1", '{"ü": 1}', 1_700_000_000)
    text = 'evt_1.1700000000.{"ü": 1}'.encode()
    wanted = [base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode() for key in (other, KEY)]
    assert headers["webhook-signature"] == f"v1,{wanted[0]} v1,{wanted[1]}"


@pytest.mark.parametrize("secrets", ["", ","])
def test_nothing_is_sent_unsigned(secrets: str) -> None:
    with pytest.raises(ValueError, match="no secret"):
        Signer(secrets)
