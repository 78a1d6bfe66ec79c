"""What the operators' page loads: from memory, compressed, with types and ETags, and nothing from elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
from pathlib import Path

import pytest

from callflow.web.console.static_files import StaticFiles, load
from tests.web.console.stage import Stage, play


FOLDER = Path(__file__).parents[3] / "callflow" / "web" / "console" / "static"
OURS = sorted(FOLDER.glob("*.js"))
MOST = 200_000
"""Bytes of everything that the page loads, compressed."""
SOUND = "sound.js"
"""What the page of a call loads where there is a recording."""
TOKEN = "a-token-of-24-characters"


def page() -> str:
    return load().filled("n")[0].plain.decode()


def import_map() -> dict[str, str]:
    found = re.search(r'<script type="importmap">(.*?)</script>', page(), re.DOTALL)
    assert found is not None
    imports: dict[str, str] = json.loads(found[1])["imports"]
    return imports


def below(address: str) -> str:
    """The name of a file by its address on the page."""
    return address.removeprefix(f"/static/{load().digest}/")


def resolved(name: str, importer: str) -> str:
    """The file that an import means, as a browser finds it."""
    imports = import_map()
    if name in imports:
        return below(imports[name])
    for prefix, address in imports.items():
        if prefix.endswith("/") and name.startswith(prefix):
            return below(address + name.removeprefix(prefix))
    assert name.startswith(("./", "../")), f"{importer} imports {name}, which the import map does not have"
    parts = importer.split("/")[:-1]
    for part in name.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def loaded(known: StaticFiles, *also: str) -> set[str]:
    """The files that a browser loads for the page: those that it names, and what these import; and `also` these, which
    it loads where they are needed."""
    waiting = [*also, *(below(each) for each in re.findall(r'(?:src|href)="(/static/[^"]+)"', page()))]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        assert name in known.files, f"{name} is not there"
        if name.endswith(".js"):
            text = known.files[name].plain.decode()
            # A worklet is a module of its own, which is loaded by its address.
            imports = re.findall(r'(?:\bfrom\s*|\bimport\s*|\bworklet\()"([^"\s]+)"', text)
            waiting += [resolved(each, name) for each in imports]
            waiting += re.findall(r'addModule\(new URL\("([^"]+)"', text)  # beside it, on the thread of the sound
    return found


def test_the_page_and_all_that_it_loads_weigh_little() -> None:
    known = load()
    names = loaded(known)
    assert {"app.js", "style.css", "vendor/lit-html/lit-html.js", "vendor/uplot/uPlot.esm.js"} <= names
    weight = len(known.filled("n")[0].gzipped) + sum(len(known.files[name].gzipped) for name in names)
    print(f"{len(names)} files, {weight} bytes compressed")
    assert weight < MOST
    sound = loaded(known, SOUND) - names
    assert SOUND in sound
    assert not any("wavesurfer" in name for name in names)
    print(f"sound: {len(sound)} files, {sum(len(known.files[name].gzipped) for name in sound)} bytes compressed")


def test_no_module_is_there_that_nothing_loads() -> None:
    known = load()
    code = {name for name in known.files if name.endswith((".js", ".css"))}
    assert code - loaded(known, SOUND) == set()


def test_what_others_made_is_as_it_was_fetched() -> None:
    vendor = FOLDER / "vendor"
    lines = (vendor / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    there = {path.relative_to(vendor).as_posix() for path in vendor.rglob("*") if path.is_file()}
    assert there - {"SHA256SUMS"} == sums.keys()
    for name, digest in sums.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name
    packages = {name.rpartition("/LICENSE")[0] for name in sums if name.endswith("/LICENSE")}
    assert {next((each for each in packages if name.startswith(f"{each}/")), "") for name in sums} - {""} == packages


@pytest.mark.parametrize("path", [*OURS, FOLDER / "index.html"], ids=lambda path: path.name)
def test_nothing_needs_a_weaker_policy(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(
        r"\beval\(|new Function|\sstyle=\"|\sstyle=\$|\son\w+=\"|innerHTML|unsafeHTML|https?://(?!www\.w3)", text
    )
    assert text.count("\n") < (1000 if path.name == "texts.js" else 450), "a file of several things"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_every_text_of_the_page_stands_in_one_file(path: Path) -> None:
    texts = (FOLDER / "texts.js").read_text(encoding="utf-8")
    known = set(re.findall(r"^  (\w+)[:(]", texts, re.MULTILINE))
    used = set(re.findall(r"\bT\.(\w+)", path.read_text(encoding="utf-8")))
    assert used - known == set()


def test_files_have_types_etags_and_both_encodings(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        digest = load().digest
        plain = await the.get("/static/app.js")
        assert (plain.status, plain.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
        assert plain.body == (FOLDER / "app.js").read_bytes()
        assert (plain.headers["cache-control"], plain.headers["vary"]) == ("no-cache", "Accept-Encoding")
        small = await the.get("/static/app.js", accept_encoding="gzip, br")
        assert (small.headers["content-encoding"], gzip.decompress(small.body)) == ("gzip", plain.body)
        assert small.headers["content-length"] == str(len(small.body))
        refused = await the.get("/static/app.js", accept_encoding="gzip;q=0")
        assert refused.body == plain.body
        again = await the.get("/static/app.js", if_none_match=plain.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == plain.headers["etag"]
        kept = await the.get(f"/static/{digest}/style.css")
        assert kept.headers["content-type"] == "text/css; charset=utf-8"
        assert "immutable" in kept.headers["cache-control"]
        head = await the.send("HEAD", "/static/app.js")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(plain.body)))

    play(tmp_path, main)


@pytest.mark.parametrize(
    "name", ["nothing.js", "index.html", "../app.py", "..%2fapp.py", "vendor", "vendor/", "0123456789abcdef/app.js", ""]
)
def test_there_is_nothing_else(tmp_path: Path, name: str) -> None:
    async def main(the: Stage) -> None:
        answer = await the.get(f"/static/{name}")
        assert answer.status == 404

    play(tmp_path, main)


def test_the_page_may_load_its_own_files_and_run_its_import_map_alone(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        answer = await the.get("/", accept="text/html", accept_encoding="gzip")
        text = gzip.decompress(answer.body).decode()
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert policy.count("sha256-") == 1
        (nonce,) = re.findall(r'name="style-nonce" content="([^"]{20,})"', text)
        assert f"style-src 'self' 'nonce-{nonce}';" in policy
        other = (await the.get("/", accept="text/html")).headers["content-security-policy"]
        assert other.replace(re.findall(r"'nonce-([^']+)'", other)[0], nonce) == policy != other
        assert "{{" not in text
        for address in re.findall(r'"(/static/[^"]+)"', text):
            if not address.endswith("/"):
                assert (await the.get(address)).status == 200, address

    play(tmp_path, main)


@pytest.mark.parametrize("entry", ["anna:view", "berta:operate:shop"])
def test_every_role_and_business_gets_the_page_whole(tmp_path: Path, entry: str) -> None:
    async def main(the: Stage) -> None:
        given = {"authorization": "Bearer another-token-of-many-characters"}
        answer = await the.get("/", accept="text/html", **given)
        nonce = re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"])[0]
        assert (answer.status, answer.body) == (200, load().filled(nonce)[0].plain)
        for name, file in load().files.items():
            found = await the.get(f"/static/{name}", accept_encoding="gzip", **given)
            assert found.body == file.gzipped, name

    play(tmp_path, main, token=TOKEN, named_tokens=f"{entry}:another-token-of-many-characters")


async def test_a_file_is_compressed_by_a_thread_when_it_is_first_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them take 20 ms, the largest 5: neither the start nor anybody's audio waits for that."""
    threads: list[threading.Thread] = []
    whole = gzip.compress

    def compress(plain: bytes, level: int, *, mtime: float) -> bytes:
        threads.append(threading.current_thread())
        return whole(plain, level, mtime=mtime)

    monkeypatch.setattr(gzip, "compress", compress)
    (tmp_path / "index.html").write_text("page")
    (tmp_path / "one.js").write_text("one")
    file = load(tmp_path).files["one.js"]
    assert threads == [], "none is compressed by the start"
    await file.compress()
    await file.compress()
    assert gzip.decompress(file.gzipped) == b"one"
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
