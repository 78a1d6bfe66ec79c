"""The settings of the store of the recordings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from callflow.config import recording_settings
from callflow.config.preflight import check_serve
from callflow.config.settings import Settings


@pytest.mark.parametrize("address", ["", "s3://calls", "s3://calls.example/of/today", "s3://calls/"])
def test_addresses_of_a_bucket(address: str) -> None:
    assert Settings(recordings_url=address).recordings_url == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    ["calls", "https://calls", "s3://", "s3://key:secret@calls", "s3://calls?x=1", "s3://calls/../x", "s3://calls//x"],
)
def test_others_are_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(recordings_url=address)
    assert "s3://BUCKET/PREFIX" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_missing_package_and_half_a_key_keep_the_server_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    def problems(**more: Any) -> list[str]:
        return [each for each in check_serve(Settings(**more)) if "RECORDINGS" in each or "AWS" in each]

    monkeypatch.setattr(recording_settings, "find_spec", lambda name: None)
    assert problems() == []
    (missing,) = problems(recordings_url="s3://calls")
    assert "scripts/setup s3" in missing
    monkeypatch.setattr(recording_settings, "find_spec", lambda name: name)
    assert problems(recordings_url="s3://calls") == []
    (half,) = problems(recordings_url="s3://calls", aws_access_key_id="some")
    assert half.startswith("AWS_SECRET_ACCESS_KEY is not set")
    (half,) = problems(recordings_url="s3://calls", aws_secret_access_key="some")
    assert half.startswith("AWS_ACCESS_KEY_ID is not set")
