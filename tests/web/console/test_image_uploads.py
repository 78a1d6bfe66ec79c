"""What is taken for a picture, and what is made of it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from callflow.contracts.errors import BadRequest
from callflow.web.console import image_uploads
from callflow.web.console.image_uploads import Upload


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 20), mode: str = "RGB", **options: Any) -> bytes:
    into = io.BytesIO()
    Image.new(mode, size, "red" if mode != "L" else 7).save(into, kind, **options)
    return into.getvalue()


def read_upload(body: bytes, mimetype: str, options: dict[str, str]) -> Upload:
    into = io.BytesIO()
    into.write(body)
    return image_uploads.read_upload(into, mimetype, options)


def content(sent: Upload) -> bytes:
    with sent.file as file:
        file.seek(0)
        return file.read()


def shown(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_what_is_empty_or_too_large_is_given_to_no_decoder() -> None:
    for size, status in ((0, 400), ((15 << 20) + 1, 413)):
        with pytest.raises(BadRequest) as early:
            image_uploads.read_picture(io.BytesIO(b"0" * size))
        assert early.value.status == status


@pytest.mark.process
def test_another_process_does_it(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(picture("WEBP"))
    found = image_uploads.read_picture(file.open("rb"))
    assert (found.mime, found.width, found.height, found.size) == ("image/jpeg", 40, 20, file.stat().st_size)
    assert found.url == f"data:image/jpeg;base64,{base64.b64encode(found.shown).decode()}"
    assert shown(found.thumbnail).size == (40, 20)
    with pytest.raises(BadRequest) as refused:
        image_uploads.read_picture(io.BytesIO(picture("JPEG", (300, 300))[:-200]))
    assert (refused.value.status, "broken" in refused.value.problems[0]) == (415, True)


def test_the_other_process_gets_no_key_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert "OPENAI_API_KEY" not in image_uploads._environment()


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
