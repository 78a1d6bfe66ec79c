"""An object store as recordings need it: a real server that speaks S3, over a real socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from callflow.config.settings import Settings
from callflow.contracts.errors import StoreAway
from callflow.history.bucket import Bucket, trouble_of
from tests.object_store import KEY, settings_for
from tests.ports import free_port


pytestmark = [pytest.mark.process, pytest.mark.usefixtures("address")]


def settings(address: str, **more: Any) -> Settings:
    return Settings(**{**settings_for(address), **more})


async def put(bucket: Bucket, folder: Path, name: str, content: bytes) -> None:
    file = folder / "file"
    file.write_bytes(content)
    await bucket.put(name, file, len(content), "audio/wav")


async def bytes_of(bucket: Bucket, name: str, begin: int, end: int) -> bytes:
    async with bucket.open(name, begin, end) as pieces:
        return b"".join([piece async for piece in pieces])


async def test_what_is_put_there_is_read_whole_and_in_parts_until_it_is_deleted(tmp_path: Path, address: str) -> None:
    bucket, sound = Bucket(settings(address)), bytes(range(256)) * 1000
    await put(bucket, tmp_path, "a b+ü.wav", sound)
    known = await bucket.head("a b+ü.wav")
    assert known is not None
    assert (known.size, bool(known.tag)) == (len(sound), True)
    assert await bucket.read("a b+ü.wav") == sound
    for begin, end in ((0, 1), (255, 257), (len(sound) - 1, len(sound)), (0, len(sound)), (70_000, 200_000)):
        assert await bytes_of(bucket, "a b+ü.wav", begin, end) == sound[begin:end]
    await put(bucket, tmp_path, "a b+ü.wav", b"")
    changed = await bucket.head("a b+ü.wav")
    assert changed is not None
    assert (changed.size, changed.tag == known.tag) == (0, False)
    assert await bucket.read("a b+ü.wav") == b"", "an empty object is no fault"
    for _ in range(2):
        await bucket.delete("a b+ü.wav")
    assert (await bucket.head("a b+ü.wav"), await bucket.read("a b+ü.wav")) == (None, None)


async def test_a_prefix_keeps_the_objects_of_two_servers_apart(tmp_path: Path, address: str) -> None:
    ours, theirs = (Bucket(settings(address, recordings_url=f"s3://calls{path}")) for path in ("/one", "/two/"))
    await put(ours, tmp_path, "x.wav", b"ours")
    assert await theirs.head("x.wav") is None
    whole = Bucket(settings(address, recordings_url="s3://calls"))
    assert await whole.read("one/x.wav") == b"ours"
    await ours.delete("x.wav")


@pytest.mark.parametrize(("begin", "end"), [(0, 0), (5, 5), (7, 3)])
async def test_of_nothing_nothing_is_asked(begin: int, end: int) -> None:
    away = Bucket(settings(f"http://127.0.0.1:{free_port()}"))
    assert await bytes_of(away, "x.wav", begin, end) == b""


async def test_what_is_not_there_any_more_is_told_as_that(tmp_path: Path, address: str) -> None:
    bucket = Bucket(settings(address))
    with pytest.raises(StoreAway, match="gone"):
        await bytes_of(bucket, "nobody.wav", 0, 5)
    with pytest.raises(FileNotFoundError):
        await bucket.put("x.wav", tmp_path / "nobody", 5, "audio/wav")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("<Code>NoSuchBucket</Code> at http://10.0.0.7/", "there is no such bucket"),
        ("<Code>SignatureDoesNotMatch</Code>", "it refuses the key (AWS_ACCESS_KEY_ID), or what it is to be used for"),
        ("<Code>ExpiredToken</Code>", "it refuses the key (AWS_ACCESS_KEY_ID), or what it is to be used for"),
        ("Server returned non-2xx status code: 507 : secret words", "it answers with HTTP 507"),
        ("error sending request for url (http://10.0.0.7/calls?key)", "it does not answer"),
        ("", "it does not answer"),
    ],
)
def test_what_a_store_says_is_told_in_words_of_ours(said: str, told: str) -> None:
    assert Bucket(settings("http://127.0.0.1:9"))._told(OSError(said)) == told


async def test_an_answer_that_does_not_come_is_not_waited_for_without_end() -> None:
    bucket = Bucket(settings("http://127.0.0.1:9"))
    with pytest.raises(StoreAway, match=r"does not answer within 0\.01 s"):
        await bucket._asked(asyncio.Event().wait(), 0.01)


async def test_what_is_wrong_with_a_store_is_told_without_a_key(address: str) -> None:
    assert await trouble_of(settings(address)) == ""
    no_bucket = await trouble_of(settings(address, recordings_url="s3://nobodys"))
    assert no_bucket == "s3://nobodys: there is no such bucket"
    away = await trouble_of(settings(f"http://127.0.0.1:{free_port()}"))
    assert away == "s3://calls/of/today: it does not answer"
    assert KEY not in repr(settings(address))
