"""Stream tokens: made again after a restart, and good for nothing when a single character differs."""

from __future__ import annotations

import string
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.call.stream_tokens import StreamToken, StreamTokens
from callflow.contracts.errors import Refused


CALL = "7f1c7d0e-6a57-4c39-8f3c-0f4ad6f2a1bc"
MINT = StreamTokens(bytes(range(32)))
TOKEN = MINT.path_token(CALL, 12)


@given(st.uuids(), st.integers(min_value=0, max_value=10**6))
def test_a_token_names_its_stream(call: object, ordinal: int) -> None:
    assert MINT.read(MINT.path_token(str(call), ordinal)) == StreamToken(str(call), ordinal)


def test_a_token_fits_into_a_path() -> None:
    assert set(TOKEN) <= set(string.ascii_letters + string.digits + "-_.")
    assert len(TOKEN) < 100


def test_a_token_is_the_same_each_time_and_another_for_each_stream() -> None:
    assert MINT.path_token(CALL, 12) == TOKEN
    tokens = {MINT.path_token(call, ordinal) for call in (CALL, str(uuid4())) for ordinal in range(20)}
    assert len(tokens) == 40


def test_the_header_token_is_another_secret_for_the_same_stream() -> None:
    header = MINT.header_token(CALL, 12)
    assert header == MINT.header_token(CALL, 12)
    assert header not in TOKEN
    assert header != MINT.header_token(CALL, 13)
    with pytest.raises(Refused):
        MINT.read(f"{TOKEN.rpartition('.')[0]}.{header}")


def _tampered() -> list[str]:
    """Every character of the token replaced by every sort of other one, left out, and doubled."""
    found = set()
    for place, character in enumerate(TOKEN):
        head, tail = TOKEN[:place], TOKEN[place + 1 :]
        others = (
            *string.ascii_letters,
            *string.digits,
            *"-_.+/= %\n\0",
            character.upper(),
            "é",
            "\uff11",
            "٢",
            "\udcff",
        )
        found |= {head + other + tail for other in others}
        found |= {head + tail, head + character + character + tail}
        found |= {head + extra + character + tail for extra in " +0-_.{}"}
    return sorted(found - {TOKEN})


def test_no_tampered_token_is_read() -> None:
    tampered = _tampered()
    assert len(tampered) > 5000
    accepted = []
    for token in tampered:
        try:
            accepted.append((token, MINT.read(token)))
        except Refused:
            pass
    assert accepted == []


OTHER_SPELLINGS = [
    TOKEN.upper(),
    TOKEN.replace(TOKEN.split(".")[0], CALL),
    TOKEN.replace(TOKEN.split(".")[0], "{" + CALL + "}"),
    TOKEN.replace(TOKEN.split(".")[0], f"urn:uuid:{CALL}"),
    TOKEN.replace(".12.", ".012."),
    TOKEN.replace(".12.", ".+12."),
    TOKEN.replace(".12.", ".1_2."),
    TOKEN.replace(".12.", ". 12."),
    TOKEN.replace(".12.", ".\uff11\uff12."),
]


@pytest.mark.parametrize("token", OTHER_SPELLINGS)
def test_another_spelling_of_the_same_stream_is_no_token(token: str) -> None:
    with pytest.raises(Refused):
        MINT.read(token)


@given(st.text() | st.from_regex(r"[0-9a-f]{32}\.\d{1,3}\.[A-Za-z0-9_-]{43}"))
def test_arbitrary_text_is_refused_and_nothing_else(token: str) -> None:
    with pytest.raises(Refused):
        MINT.read(token)


@pytest.mark.parametrize("token", ["", ".", "..", "...", f"{'0' * 32}.{'9' * 5000}.x", "a" * 100_000])
def test_hopeless_tokens_are_refused(token: str) -> None:
    with pytest.raises(Refused):
        MINT.read(token)


def test_another_secret_makes_other_tokens() -> None:
    with pytest.raises(Refused):
        StreamTokens(bytes(32)).read(TOKEN)


# The secret in the data folder


def test_the_secret_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet" / "there"
    first = StreamTokens.in_folder(folder)
    path = folder / "stream.secret"
    secret = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(secret) == 32
    assert StreamTokens.in_folder(folder).read(first.path_token(CALL, 1)) == StreamToken(CALL, 1)
    assert path.read_bytes() == secret


def test_a_secret_that_was_left_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    StreamTokens.in_folder(tmp_path)
    (tmp_path / "stream.secret").chmod(0o644)
    StreamTokens.in_folder(tmp_path)
    assert (tmp_path / "stream.secret").stat().st_mode & 0o777 == 0o600


def test_every_folder_has_a_secret_of_its_own(tmp_path: Path) -> None:
    token = StreamTokens.in_folder(tmp_path / "a").path_token(CALL, 1)
    with pytest.raises(Refused):
        StreamTokens.in_folder(tmp_path / "b").read(token)


@pytest.mark.parametrize("damage", [b"", b"short", bytes(33)])
def test_a_damaged_secret_is_told_and_never_used(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "stream.secret"
    path.write_bytes(damage)
    with pytest.raises(OSError, match=r"stream\.secret is damaged: delete it"):
        StreamTokens.in_folder(tmp_path)
    assert path.read_bytes() == damage, "whoever runs this decides; nothing is overwritten"


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        StreamTokens.in_folder(tmp_path / "file" / "data")


def test_tokens_of_the_folder_hold_when_the_secret_of_all_nodes_comes() -> None:
    here, there = StreamTokens(bytes(range(32))), StreamTokens(b"y" * 32)
    there.share(bytes(range(1, 33)))
    here.share(bytes(range(1, 33)))
    assert here.read(TOKEN) == StreamToken(CALL, 12)
    assert here.path_token(CALL, 12) == there.path_token(CALL, 12) != TOKEN
    assert here.secrets_for("x")[0] == there.secrets_for("x")[0] not in MINT.secrets_for("x")
    with pytest.raises(ValueError, match="damaged"):
        here.share(b"short")
