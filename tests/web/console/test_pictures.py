"""What is taken for a picture, and what is made of it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from callflow.contracts.errors import BadRequest
from callflow.sandbox.openai_realtime import validation
from callflow.web.console import pictures
from callflow.web.console.picture_worker import Refused, reduced
from callflow.web.console.pictures import Upload


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 20), mode: str = "RGB", **options: Any) -> bytes:
    into = io.BytesIO()
    Image.new(mode, size, "red" if mode != "L" else 7).save(into, kind, **options)
    return into.getvalue()


def read_upload(body: bytes, mimetype: str, options: dict[str, str]) -> Upload:
    into = io.BytesIO()
    into.write(body)
    return pictures.read_upload(into, mimetype, options)


def content(sent: Upload) -> bytes:
    with sent.file as file:
        file.seek(0)
        return file.read()


def shown(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (picture("PNG"), "image/png"), (picture("PNG", mode="RGBA"), "image/png"), (picture("JPEG"), "image/jpeg"),
        (picture("WEBP"), "image/jpeg"), (picture("JPEG", mode="CMYK"), "image/jpeg"),
    ],
    ids=["png", "transparent", "jpeg", "webp", "cmyk"],
)  # fmt: skip
def test_a_picture_is_encoded_anew_as_the_api_takes_it(data: bytes, mime: str) -> None:
    told, given, thumbnail = reduced(data)
    assert told == {"mime": mime, "width": 40, "height": 20}
    url = f"data:{mime};base64,{base64.b64encode(given).decode()}"
    validation.ITEM({"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": url}]}, "item")
    assert shown(given).size == (40, 20)
    assert shown(thumbnail).format == "JPEG"


def test_a_large_one_is_made_small_and_its_place_and_camera_are_not_told() -> None:
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "Camera-4711", 6  # turned by 90 degrees
    noise = Image.effect_noise((3000, 2000), 80).convert("RGB")
    into = io.BytesIO()
    noise.save(into, "JPEG", exif=exif, comment=b"secret words")
    told, given, thumbnail = reduced(into.getvalue())
    assert (told["width"], told["height"]) == (2000, 3000)
    assert max(shown(given).size) <= 1536
    assert shown(given).height > shown(given).width
    assert len(given) <= 256 << 10
    assert max(shown(thumbnail).size) <= 320
    assert not any(words in given + thumbnail for words in (b"Camera-4711", b"secret words"))


JPEG = picture("JPEG", (300, 300))
BROKEN = {
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "gif": b"GIF89a" + b"0" * 99, "pdf": b"%PDF-1.7 image.png",
    "cut": JPEG[:-200], "png": b"\x89PNG\r\n\x1a\n" + b"0" * 200, "webp": b"RIFF1234WEBPVP8 " + b"0" * 99,
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_picture_is_refused_by_its_content(name: str) -> None:
    with pytest.raises(Refused) as refused:
        reduced(BROKEN[name])
    assert refused.value.status == 415


def test_what_is_too_large_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(Refused) as refused:
        reduced(picture("PNG", (8000, 7000), mode="1"))
    assert refused.value.status == 413
    with pytest.raises(Refused, match="million pixels"):  # past Pillow's own limit
        reduced(picture("PNG", (20_000, 10_000), mode="1"))
    for size, status in ((0, 400), ((15 << 20) + 1, 413)):
        with pytest.raises(BadRequest) as early:
            pictures.read_picture(io.BytesIO(b"0" * size))
        assert early.value.status == status


@pytest.mark.process
def test_another_process_does_it(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(picture("WEBP"))
    found = pictures.read_picture(file.open("rb"))
    assert (found.mime, found.width, found.height, found.size) == ("image/jpeg", 40, 20, file.stat().st_size)
    assert found.url == f"data:image/jpeg;base64,{base64.b64encode(found.shown).decode()}"
    assert shown(found.thumbnail).size == (40, 20)
    with pytest.raises(BadRequest) as refused:
        pictures.read_picture(io.BytesIO(BROKEN["cut"]))
    assert (refused.value.status, "broken" in refused.value.problems[0]) == (415, True)


def test_the_other_process_gets_no_key_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert "OPENAI_API_KEY" not in pictures._environment()


def form(*parts: tuple[str, bytes]) -> bytes:
    lines = [b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (name.encode(), data) for name, data in parts]
    return b"".join(lines) + b"--x--\r\n"


def test_the_three_ways_to_send_one() -> None:
    data = picture() + b"0" * 300_000
    body = form(('name="file"; filename="a.txt"', data), ('name="text"', b"A menu."), ('name="now"', b"true"))
    sent = read_upload(body, "multipart/form-data", {"boundary": "x"})
    assert (content(sent), sent.text, sent.now) == (data, "A menu.", True)
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    sent = read_upload(f'{{"url": "{url}", "text": "A menu."}}'.encode(), "application/json", {})
    assert (content(sent), sent.text, sent.now) == (data, "A menu.", False)
    assert content(read_upload(data, "image/png", {})) == data


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"no form", "multipart/form-data"), (form(('name="text"', b"x")), "multipart/form-data"),
        (form(('name="a"; filename="a"', b"x"), ('name="b"; filename="b"', b"y")), "multipart/form-data"),
        (form(('name="a"; filename="a"', b"x"), ('name="what"', b"y")), "multipart/form-data"),
        (b"{", "application/json"), (b"[]", "application/json"), (b'{"url": 1}', "application/json"),
        (b'{"url": "https://127.0.0.1/a.png"}', "application/json"),
        (b'{"url": "file:///etc/passwd"}', "application/json"),
        (b'{"url": "data:image/png;base64,AAA"}', "application/json"), (b'{"url": "data:,x"}', "application/json"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read_upload(body, kind, {"boundary": "x"})
    assert refused.value.status == 400
