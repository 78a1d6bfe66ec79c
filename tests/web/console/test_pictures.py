"""What is taken for a picture, and what is made of it."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from callflow.contracts.errors import BadRequest
from callflow.sandbox.openai_realtime import validation
from callflow.web.console.pictures import read_picture, read_upload


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 20), mode: str = "RGB", **options: Any) -> bytes:
    into = io.BytesIO()
    Image.new(mode, size, "red" if mode != "L" else 7).save(into, kind, **options)
    return into.getvalue()


def decoded(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (picture("PNG"), "image/png"), (picture("PNG", mode="RGBA"), "image/png"), (picture("JPEG"), "image/jpeg"),
        (picture("WEBP"), "image/jpeg"), (picture("JPEG", mode="CMYK"), "image/jpeg"),
    ],
)  # fmt: skip
def test_a_picture_is_encoded_anew_as_the_api_takes_it(data: bytes, mime: str) -> None:
    found = read_picture(data)
    assert (found.mime, found.width, found.height, found.size) == (mime, 40, 20, len(data))
    assert found.url.startswith(f"data:{mime};base64,")
    validation.ITEM(
        {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": found.url}]}, "item"
    )
    assert decoded(found.url).size == (40, 20)
    assert Image.open(io.BytesIO(found.thumbnail)).format == "JPEG"


def test_a_large_one_is_made_small_and_its_place_and_camera_are_not_told() -> None:
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "Camera-4711", 6  # turned by 90 degrees
    noise = Image.effect_noise((3000, 2000), 80).convert("RGB")
    into = io.BytesIO()
    noise.save(into, "JPEG", exif=exif, comment=b"secret words")
    found = read_picture(into.getvalue())
    shown = decoded(found.url)
    assert max(shown.size) <= 1536
    assert shown.height > shown.width
    raw = base64.b64decode(found.url.partition(",")[2])
    assert len(raw) <= 256 << 10
    assert b"Camera-4711" not in raw + found.thumbnail
    assert b"secret words" not in raw + found.thumbnail
    assert max(Image.open(io.BytesIO(found.thumbnail)).size) <= 320


JPEG = picture("JPEG", (300, 300))
BROKEN = [
    (b"", 400), (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415), (b"GIF89a" + b"0" * 99, 415),
    (b"%PDF-1.7 image.png", 415), (JPEG[:-200], 415), (b"\x89PNG\r\n\x1a\n" + b"0" * 200, 415),
    (b"RIFF1234WEBPVP8 " + b"0" * 99, 415), (b"\x00" * ((15 << 20) + 1), 413), (picture("PNG", (8000, 7000)), 413),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status"), BROKEN)
def test_what_is_no_picture_is_refused_by_its_content(data: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as refused:
        read_picture(data)
    assert refused.value.status == status


def form(*parts: tuple[str, bytes]) -> bytes:
    lines = [b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (name.encode(), data) for name, data in parts]
    return b"".join(lines) + b"--x--\r\n"


def test_the_three_ways_to_send_one() -> None:
    data = picture()
    body = form(('name="file"; filename="a.txt"', data), ('name="text"', b"A menu."), ('name="now"', b"true"))
    sent = read_upload(body, "multipart/form-data", {"boundary": "x"})
    assert (sent.data, sent.text, sent.now) == (data, "A menu.", True)
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    sent = read_upload(f'{{"url": "{url}", "text": "A menu."}}'.encode(), "application/json", {})
    assert (sent.data, sent.text, sent.now) == (data, "A menu.", False)
    assert read_upload(data, "image/png", {}).data == data


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
