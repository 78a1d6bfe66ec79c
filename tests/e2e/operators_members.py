"""What is sent to every route of the operators' port: bodies, queries, parts of paths, headers, methods."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from tests.e2e.operators_port import FORM, MCP_HEADERS, Headers


@dataclass(frozen=True)
class Member:
    """One of what is sent to every route. `part`: for each part of its path; "": of a call that is on record."""

    part: str = ""
    query: bytes = b""
    headers: Headers = ()
    body: bytes | None = None
    method: str = ""


def items(**item: Any) -> bytes:
    given = {"id": "item_1", "type": "message", "role": "user", "content": [{"type": "text", "text": "hello"}], **item}
    return json.dumps({"items": [given]}).encode()


def rpc(method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


BODIES: Final = {
    "nothing": b"",
    "a NUL": b"\0",
    "no UTF-8": b'{"items": "\xff\xfe"}',
    "UTF-16": '{"items": []}'.encode("utf-16"),
    "a BOM": b"\xef\xbb\xbf{}",
    "half of it": b'{"items": [',
    "a number": b"1",
    "null": b"null",
    "true": b"true",
    "a text": b'"now"',
    "blanks": b" \n",
    "a list": b"[]",
    "an empty object": b"{}",
    "a batch": b"[{},{}]",
    "deep lists": b"[" * 30_000,
    "deep and closed": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"items":' * 6_000 + b"1" + b"}" * 6_000,
    "below the parser's depth": b'{"a":' * 500 + b"1" + b"}" * 500,
    "many values": b"[" + b"1," * 30_000 + b"1]",
    "many names": b"{" + b",".join(b'"%d":1' % n for n in range(5000)) + b"}",
    "half a pair": b'{"items": "\\ud800", "instructions": "\\udfff", "jsonrpc": "\\ud800"}',
    "NaN": b'{"speed": NaN}',
    "endless number": b'{"speed": ' + b"9" * 5000 + b"}",
    "beyond a double": b'{"speed": 1e999}',
    "long number": b'{"speed": 123456789012345678901234567890}',
    "beyond 64 bits": items(id=1 << 70),
    "twice": b'{"items": [], "items": 1}',
    "twice, deeper": b'{"speed": 1, "speed": 2, "when": "now", "when": "goodbye", "audio": {"a": 1, "a": 2}}',
    "an end of another kind": b'{"when": "soon"}',
    "an end of no kind": b'{"when": [null]}',
    "not supported": b'{"temperature": 1, "include_segments": 1, "voice": "nova", "noise_reduction": {"type": "x"}}',
    "a NUL in a text": b'{"instructions": "a\\u0000b", "greeting": "\\u0000", "when": "\\u0000"}',
    "long instructions": b'{"instructions": "' + b"x" * 200_000 + b'"}',
    "numbers of another form": '{"speed": "\u0663", "vad_silence_ms": -1.5, "max_output_tokens": "\u00b2"}'.encode(),
    "a name of nothing": b'{"": 1, " ": 2}',
    "infinite": b'{"speed": -Infinity, "limit": Infinity}',
    "a form": b"items=1&speed=2",
    "XML": b"<a/>",
    "settings of wrong types": json.dumps(
        {"instructions": {"a": [1]}, "speed": [], "voice": 1, "tools": "\0"}
    ).encode(),
    "an unknown setting": json.dumps({"\u202e\x1b[2J\n" * 200: 1}).encode(),
    "unknown settings": json.dumps({"\u202e" * 300: 1, "\x1b[2J": 2, "port": "x"}).encode(),
    "items: numbers": b'{"items": [1, 2]}',
    "items: nothing needed": b'{"items": [{}]}',
    "items: no id": items(id=""),
    "items: id of a list": items(id=[1]),
    "items: long id": items(id="x" * 5000),
    "items: unknown type": items(type="x"),
    "items: parts are numbers": items(content=[1, 2.5]),
    "items: content is a dict": items(content={"text": "x"}),
    "items: text is a dict": items(content=[{"text": {"a": 1}}]),
    "items: text is a number": items(content=[{"text": 1}]),
    "items: long role": items(role="x" * 60_000),
    "items: role is a list": items(role=["user"]),
    "items: half a pair": items(content=[{"type": "text", "text": "\ud800"}]),
    "items: NaN": items(content=[{"n": float("nan")}]),
    "items: half a pair in a name": items(content=[{"\udfff": "x"}]),
    "items: a NUL": items(content=[{"text": "a\0b", "\0": "\0"}]),
    "items: long number": items(content=[{"n": 1 << 80}], output=-(1 << 70)),
    "items: deep": items(content=[json.loads("[" * 90 + "]" * 90)]),
    "items: deep output": items(output=json.loads("[" * 200 + "]" * 200)),
    "items: year 1": items(timestamp="0001-01-01T00:00:00+14:00"),
    "items: year 10000": items(timestamp="9999-12-31T23:59:59-14:00"),
    "items: no time": items(timestamp="\u0662"),
    "items: time is a number": items(timestamp=1e300),
    "items: name is a dict": items(name={}),
    "items: call_id": items(call_id=5),
    "items: escapes": items(content=[{"text": "\x1b]0;t\x07\u202e\u2028\x7f\x9b"}], name="\x1b", output="\u202e"),
    "rpc: list": rpc("tools/list"),
    "rpc: no tool": rpc("tools/call", name="\u202e\x1b[2J" * 9, arguments={}),
    "rpc: NUL": rpc("tools/call", name="get_conversation_details", arguments={"streamSid": "a\0b"}),
    "rpc: NUL number": rpc("tools/call", name="get_conversations", arguments={"phoneNumber": "\0"}),
    "rpc: endless limit": rpc("tools/call", name="get_conversations", arguments={"limit": 1e308}),
    "rpc: a date": rpc("tools/call", name="search_conversations", arguments={"startDate": "0001-01-01T00:00+14:00"}),
    "rpc: words": rpc(
        "tools/call", name="search_conversations_by_text", arguments={"query": "NEAR( \"' OR *" + "x" * 3000}
    ),
    "rpc: arguments are a list": rpc("tools/call", name="get_conversations", arguments=[]),
    "rpc: no resource": rpc("resources/read", uri="conversation://\u202e\x1b"),
    "rpc: no uri": rpc("resources/read", uri=[1]),
    "rpc: half a pair": rpc("tools/call", name="\ud800", arguments={}),
    "rpc: unknown": rpc("\x1b[2J\u202e", x=1),
    "rpc: id of a list": b'{"jsonrpc":"2.0","id":[1],"method":"tools/list"}',
    "rpc: no id": b'{"jsonrpc":"2.0","method":"x"}',
    "rpc: hello": rpc("initialize", protocolVersion="\u202e", capabilities={}, clientInfo={"name": "\0", "version": 1}),
    "rpc: an answer": b'{"jsonrpc":"2.0","id":1,"result":{}}',
    "rpc: old": b'{"jsonrpc":"1.0","id":1,"method":"x"}',
}
QUERIES: Final = {
    "NUL": b"text=%00&from=%00",
    "raw NUL": b"limit=1&x=a%00b",
    "no UTF-8": b"text=%ff%fe",
    "half a pair": b"number=%ed%a0%80",
    "broken escape": b"text=%zz%",
    "plus": b"number=+",
    "long": b"text=" + b"x" * 7_000,
    "longer": b"text=" + b"x" * 12_000,
    "many": b"&".join(b"a%d=1" % n for n in range(900)),
    "only &": b"&" * 5000,
    "only =": b"=" * 5000,
    "brackets": b"a[b][c]=1&[]=2",
    "twice": b"limit=1&limit=2&part=1&part=2&from=2026-01-01&from=2026-01-02&all=true&all=true",
    "two names": b"from=2026-01-01&since=2026-01-01",
    "escapes": b"text=%1b%5b2J%e2%80%ae&live=%1b",
    "unknown": b"nonsense=1&limt=2&LIMIT=3&%e2%80%ae=4",
    "out of range": b"limit=0&offset=-1&part=-1&before=-9",
    "of another form": b"limit=%d9%a3&offset=1.5&part=%c2%b2&before=1e3",
    "odd words": b"live=maybe&format=xml&all=yes&from=yesterday&to=2026-02-30",
    "a name of nothing": b"=1&%20=2",
}
PARTS: Final = {
    "NUL": "%00",
    "NUL inside": "a%00b",
    "no UTF-8": "%ff",
    "half a pair": "%ed%a0%80",
    "line breaks": "+15550100002%0d%0aX-Evil:%201",
    "escapes": "%1b%5b2J%e2%80%ae",
    "long": "x" * 4000,
    "longer": "x" * 9000,
    "dots": "..%2f..%2fetc%2fpasswd",
    "a slash": "a%2fb",
    "quotes": "'%20OR%201=1%20--%22",
    "digits": "9" * 5000,
    "other digits": "\u0661\u0662",
    "superscript": "²",
    "a number": "client:joe\u202e",
    "percent": "%25",
    "broken escape": "%zz",
    "nothing": "%20",
}
HEADERS: Final = {
    "media type of bytes": (b"Content-Type", b"\xff\xfe"),
    "a form": FORM,
    "charset": (b"Content-Type", b"application/json; charset=\xff"),
    "multipart": (b"Content-Type", b"multipart/form-data; boundary="),
    "text": (b"Content-Type", b"text/plain"),
    "range of other digits": (b"Range", "bytes=²-".encode()),
    "endless range": (b"Range", b"bytes=0-" + b"9" * 5000),
    "last bytes": (b"Range", b"bytes=-1"),
    "no last bytes": (b"Range", b"bytes=-0"),
    "empty range": (b"Range", b""),
    "no bytes": (b"Range", b"bytes=-"),
    "accept nothing": (b"Accept", b""),
    "accept json": (b"Accept", b"application/json;q=1, */*;q=0"),
    "who asks": (b"Callflow-Asked-By", b"\xffthe queen\x01"),
    "last and more": (b"Range", b"bytes=-99999999999999999999"),
    "no range": (b"Range", b"bytes=9-1"),
    "behind the end": (b"Range", b"bytes=99999999999-"),
    "ranges": (b"Range", b"bytes=0-1,2-3,-1"),
    "other units": (b"Range", b"apples=1-2"),
    "since the beginning": (b"If-Modified-Since", b"Mon, 01 Jan 0001 00:00:00 +1400"),
    "since the end": (b"If-Modified-Since", b"Fri, 31 Dec 99999 23:59:59 GMT"),
    "if bytes": (b"If-None-Match", b"\xff\xfe"),
    "if match": (b"If-Match", b'"x"'),
    "if range": (b"If-Range", b"\xff"),
    "cookies": (b"Cookie", b"a=\xff; b=\x80;;=" + b"c" * 3000),
    "language": (b"Accept-Language", b"\xff;q=9" * 99),
    "forwarded": (b"X-Forwarded-Host", b"["),
    "mcp version": (b"MCP-Protocol-Version", b"\xff"),
    "mcp session": (b"MCP-Session-Id", b"\xff"),
    "expect": (b"Expect", b"nonsense"),
    "same origin": (b"Origin", b"http://localhost"),
    "encoding": (b"Content-Encoding", b"gzip"),
    "accept": (b"Accept", b"\xff/\xff;q=x"),
    "upgrade": (b"Upgrade", b"h2c"),
    "override": (b"X-HTTP-Method-Override", b"DELETE"),
}


def members() -> dict[str, Member]:
    found = {f"body: {name}": Member(body=body, headers=MCP_HEADERS) for name, body in BODIES.items()}
    found |= {f"query: {name}": Member(query=query) for name, query in QUERIES.items()}
    found |= {f"path: {name}": Member(part=part) for name, part in PARTS.items()}
    found |= {
        f"header: {name}": Member(headers=(header, *(() if header[0] in (b"Content-Type", b"Accept") else MCP_HEADERS)))
        for name, header in HEADERS.items()
    }
    found |= {f"method: {name}": Member(method=name) for name in ("PUT", "PATCH", "TRACE", "FOO", "get", "CONNECT")}
    return found


def is_sent(method: str, name: str, member: Member) -> bool:
    """Not all of them: what is behind HEAD is behind GET as well, and a body is read where one is expected."""
    if member.method:
        return method == "GET"
    if member.body is not None:
        return method in ("POST", "PATCH") or (method in ("GET", "DELETE") and name.startswith("body: deep"))
    return method != "OPTIONS" or name.startswith("path: ")
