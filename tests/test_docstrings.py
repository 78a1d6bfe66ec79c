"""Docstrings of the product: those of functions begin with a verb, and name the errors that are raised there.

The sources are searched as text: they are laid out by ruff, and to parse all of them would take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final


ROOT: Final = Path(__file__).parents[1]
ERRORS: Final = "callflow/contracts/errors.py"
VERBS: Final = """
Accept Act Add Allow Announce Answer Append Apply Ask Assign Await Begin Bind Break Bridge Bring Call Cancel Carry
Change Charge Check Choose Claim Close Collect Commit Compare Compile Compute Connect Continue Convert Correct Count
Create Cut Decide Declare Decode Delete Describe Detect Dial Discard Do Drain Draw Drop Empty Encode End Enter Explain
Fence Find Fit Follow Forget Free Gather Get Give Go Hand Handle Hang Hash Have Hear Hide Hold Ignore Import
Insert Install Interrupt Join Journal Judge Keep Kill Lead Learn Leave Let List Listen Load Log Look Make Mark Mask
Measure Mix Move Mute Narrow Note Obey Open Parse Pass Pause Play Post Press Print Process Put Queue Raise Read
Reconnect Record Redirect Refer Refuse Release Remember Remove Render Renew Replace Replay Report Request Reserve Reset
Restart Resume Return Revoke Ring Run Save Say Search See Send Serve Set Show Shut Silence Speak Split Start Stop Stream
Switch Take Tell Transcode Translate Try Turn Undo Update Use Verify Wait Wake Warn Watch Withdraw Wrap Write Yield
"""
"""What a docstring may begin with. A docstring that begins with another verb in the imperative adds it here."""
FUNCTION: Final = re.compile(
    r"""
    ^(?P<indent>\ *)(?:async\ )?def\ (?P<name>[A-Za-z]\w*)\(
    (?:[^\n]*|\n(?:(?P=indent)\ {4}[^\n]*\n)+(?P=indent)\)[^\n]*):(?:\ \ \#[^\n]*)?\n
    (?P=indent)\ {4}r?\"{3}(?P<text>(?P<word>[^\s,;:.]*).*?)\"{3}
    """,
    re.MULTILINE | re.VERBOSE | re.DOTALL,
)
"""A function that has a docstring."""
DOCSTRING: Final = re.compile(r'"{3}(.*?)"{3}', re.DOTALL)


@cache
def sources() -> dict[str, str]:
    files = [ROOT / "server.py", *sorted(ROOT.glob("callflow/**/*.py")), *sorted(ROOT.glob("carriers/**/*.py"))]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def is_property(code: str, function: re.Match[str]) -> bool:
    """A property is read as a value, and says what it is."""
    for line in reversed(code[: function.start()].splitlines()):
        if not line.startswith(f"{function['indent']}@"):
            return False
        if "property" in line:
            return True
    return False


def without_verb(file: str, code: str) -> Iterator[str]:
    verbs = frozenset(VERBS.split())
    for function in FUNCTION.finditer(code):
        if function["word"] not in verbs and not is_property(code, function):
            line = code.count("\n", 0, function.start()) + 1
            yield f"{file}:{line} {function['name']}: {function['text'][:40]}"


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    found = [each for file, code in sources().items() for each in without_verb(file, code)]
    assert found == [], "begin with what it does: `Return …`, `Note …`; if that is a verb, add it to VERBS here"


def test_a_docstring_without_a_verb_is_found() -> None:
    code = '''
class Line:
    @property
    def length(self) -> int:
        """Its length in metres."""

    @staticmethod
    def cut(
        first: int,
    ) -> str:  # noqa: D1
        """The first part."""

async def send() -> None:
    """Send it."""
'''
    assert list(without_verb("line.py", code)) == ["line.py:8 cut: The first part."]


# Vendors' pages

PAGE: Final = re.compile(r"Vendor|developers\.(telnyx|openai)|twilio\.com/docs|platform\.openai|RFC \d")
NO_PROTOCOL: Final = """
__init__ accounts config connection control_api decisions emulator event_summary exchange faults lenient_json phone
plain_http script server sound state turns
"""
"""Modules beside a vendor's protocol, in which no fact of it stands."""


def test_modules_that_speak_a_vendors_protocol_name_its_page() -> None:
    spoken = re.compile(r"(carriers|callflow/sandbox|callflow/engines)/(telnyx|twilio|openai_\w+)/")
    files = {file: code for file, code in sources().items() if spoken.match(file)}
    assert len(files) > 80
    found = [
        file for file, code in files.items() if PAGE.search(code) is None and Path(file).stem not in NO_PROTOCOL.split()
    ]
    assert found == [], "say `Vendor:` and the page in the module's docstring"


# What is raised


def bases() -> dict[str, str]:
    """The errors of the product, each with the one that it extends."""
    return dict(re.findall(r"^class (\w+)\((\w+)", sources()[ERRORS], re.MULTILINE))


def named(error: str, extends: dict[str, str]) -> list[str]:
    """The names under which a docstring may tell of an error: its own, and those of what it extends."""
    names = [error]
    while (above := extends.get(names[-1], "CallflowError")) != "CallflowError":
        names.append(above)
    return names


def around(lines: list[str], number: int) -> list[int]:
    """The lines that begin what a line stands in, the innermost first."""
    found, indent = [], len(lines[number]) - len(lines[number].lstrip())
    for above in range(number - 1, -1, -1):
        line = lines[above]
        stripped = line.lstrip()
        if stripped and len(line) - len(stripped) < indent and not stripped.startswith(")"):
            indent = len(line) - len(stripped)
            found.append(above)
    return found


def docstring_of(lines: list[str], begin: int) -> str:
    """The docstring of what begins at a line."""
    body = next(number for number in range(begin, len(lines)) if re.search(r":(  #.*)?$", lines[number])) + 1
    text = "\n".join(lines[body : body + 40])
    found = DOCSTRING.match(text.lstrip().removeprefix("r"))
    return found[1] if found is not None else ""


def unnamed(file: str, code: str, extends: dict[str, str]) -> Iterator[str]:
    lines = code.splitlines()
    for match in re.finditer(rf"^ +raise (?:\w+\.)?({'|'.join(extends)})\b", code, re.MULTILINE):
        number = code.count("\n", 0, match.start())
        within = around(lines, number)
        heads = [re.match(r" *(?:async )?(def|class) (\w+)", lines[each]) for each in within]
        scopes = [(each[1], each[2], begin) for each, begin in zip(heads, within, strict=True) if each is not None]
        is_public = not any(name.startswith("_") for _, name, _ in scopes)
        if not is_public or [kind for kind, _, _ in scopes[1:]] != ["class"] * (len(scopes) - 1):
            continue
        caught = any(re.match(rf" *except .*\b{match[1]}\b", line) for line in handlers(lines, number, within))
        text = " ".join(docstring_of(lines, begin) for _, _, begin in scopes)
        if not caught and "Raises as" not in text and not any(name in text for name in named(match[1], extends)):
            yield f"{file}:{number + 1} {scopes[0][1]}: {match[1]}"


def handlers(lines: list[str], number: int, within: list[int]) -> Iterator[str]:
    """The `except` clauses of the `try` blocks in which a line stands."""
    for begin in within:
        if lines[begin].strip() == "try:":
            indent = lines[begin][: len(lines[begin]) - len("try:")]
            for line in lines[number:]:
                if line.strip() and not line.startswith(indent):
                    break
                if line.startswith(f"{indent}except"):
                    yield line


def test_docstrings_name_the_errors_that_are_raised() -> None:
    extends = bases()
    found = [each for file, code in sources().items() for each in unnamed(file, code, extends)]
    assert found == [], "say `Raises <Error>`, and when, in the docstring of the function or of its class"


def test_an_error_of_which_a_docstring_says_nothing_is_found() -> None:
    code = '''
class Store:
    """Holds things."""

    def find(
        self, name: str
    ) -> str:
        """Return it."""
        try:
            raise StoreAway("no")
        except StoreAway:
            raise AnswerLost from None

    def put(self) -> None:
        """Keep it. Raises ConsoleError."""
        raise ServerAway
'''
    assert list(unnamed("store.py", code, bases())) == ["store.py:12 find: AnswerLost"]
