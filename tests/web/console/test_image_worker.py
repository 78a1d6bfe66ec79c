"""What is made of a picture, and what is taken for one: in this process, as the program of its own does it."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from callflow.sandbox.openai_realtime import validation
from callflow.web.console import image_worker
from callflow.web.console.image_worker import Refused, reduced


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 20), mode: str = "RGB", **options: Any) -> bytes:
    into = io.BytesIO()
    Image.new(mode, size, "red" if mode != "L" else 7).save(into, kind, **options)
    return into.getvalue()


def only_a_head(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and breaks off."""
    parts = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0), b"IDAT")
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


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


@pytest.mark.exhaustive
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
    "nothing": b"", "riff": b"RIFF1234WAVEfmt " + b"0" * 99, "behind": b" " + JPEG,
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_picture_is_refused_by_its_content(name: str) -> None:
    with pytest.raises(Refused) as refused:
        reduced(BROKEN[name])
    assert refused.value.status == 415


def test_what_is_too_large_is_refused_before_it_is_decoded() -> None:
    for size in ((8000, 7000), (20_000, 10_000)):  # the second one is past Pillow's own limit
        with pytest.raises(Refused, match="million pixels") as refused:
            reduced(only_a_head(*size))
        assert refused.value.status == 413
    with pytest.raises(Refused, match="broken"):
        reduced(only_a_head(100, 100))


def test_what_is_transparent_stands_on_white() -> None:
    into = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(into, "WEBP", lossless=True)
    _, given, thumbnail = reduced(into.getvalue())
    for each in (given, thumbnail):
        assert min(shown(each).convert("RGB").getpixel((4, 4))) > 250  # type: ignore[arg-type]


@pytest.mark.parametrize(("orientation", "size"), [(1, (40, 20)), (3, (40, 20)), (6, (20, 40)), (8, (20, 40))])
def test_a_picture_that_lies_on_its_side_is_turned(orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    told, given, _ = reduced(picture("JPEG", exif=exif))
    assert (told["width"], told["height"]) == shown(given).size == size
    assert not shown(given).getexif()


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_the_thinnest_picture_keeps_a_pixel(size: tuple[int, int]) -> None:
    told, given, thumbnail = reduced(picture("PNG", size))
    assert (told["width"], told["height"]) == size
    assert min(shown(given).size) == min(shown(thumbnail).size) == 1


def test_a_comment_in_a_png_is_left_out() -> None:
    from PIL.PngImagePlugin import PngInfo

    note = PngInfo()
    note.add_text("Comment", "secret words")
    note.add_itxt("XML:com.adobe.xmp", "secret words")
    _, given, thumbnail = reduced(picture("PNG", pnginfo=note, dpi=(72, 72)))
    assert b"secret" not in given + thumbnail
    assert b"pHYs" not in given


@pytest.mark.parametrize("data", [picture("WEBP"), b"no picture"], ids=["picture", "none"])
def test_the_program_answers_one_line_and_then_the_pictures(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    streams = SimpleNamespace(stdin=SimpleNamespace(buffer=io.BytesIO(data)), stdout=SimpleNamespace(buffer=out))
    monkeypatch.setattr(image_worker, "sys", streams)
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    assert image_worker.main() == 0
    line, _, rest = out.getvalue().partition(b"\n")
    told = json.loads(line)
    if data == b"no picture":
        assert (told["status"], rest) == (415, b"")
    else:
        assert len(rest) == told["shown"] + told["thumbnail"]
        assert shown(rest[: told["shown"]]).format == shown(rest[told["shown"] :]).format == "JPEG"
