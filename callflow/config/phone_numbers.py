"""Telephone numbers, however a carrier or a person writes them: one form for one number.

`+1 (555) 010-0002`, `0015550100002`, `555 010 0002` where numbers are American, `tel:+1-555-010-0002;ext=5`,
`sip:+15550100002@trunk.example:5060;transport=tls` and `"Ann" <sip:%2B15550100002@…>` are all `+15550100002`. What is
no number (`1001` of a switchboard, `anonymous`, a name) is only itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

import phonenumbers


USUAL_COUNTRY: Final = "US"
_E164: Final = re.compile(r"\+[1-9][0-9]{7,14}")
_URI: Final = re.compile(r"(?:sips?|tel|callto):([^@>]*)(?:@[^>]*)?", re.IGNORECASE)
_EXTENSION: Final = re.compile(
    r"(?:;ext=|[;,]*\s*(?:ext(?:ension)?\.?|x|#)\s*)[0-9]{1,8}$|[,;pw]+[0-9*#,]{1,20}$", re.IGNORECASE
)
"""Of a number, or keys that are pressed after a pause."""
_DIALLED: Final = re.compile(r"[0-9+*#().\-/\s\u00a0\u2010-\u2015]+")
_SHORTEST_NATIONAL: Final = 7
"""Digits; what is shorter and has no `+` is somebody's extension."""
_MOST: Final = 200


class Numbers:
    """`country`: the one whose numbers may be written without `+` and country code, as ISO 3166 (`US`, `DE`)."""

    def __init__(self, country: str = USUAL_COUNTRY) -> None:
        self.country = country
        self.plain("5550100002")  # loads the country's numbering plan now, and not in a call

    def plain(self, given: str) -> str:
        """The one form of this number; of what is none, the text itself without what a URI puts around it."""
        text = user_part(given[:_MOST].strip())
        number = _EXTENSION.sub("", text)
        if _E164.fullmatch(number):
            return number
        digits = [each for each in number if each.isdigit()]
        if not _DIALLED.fullmatch(number) or len(digits) < _SHORTEST_NATIONAL:
            return text
        return self._parsed(number) or text

    def _parsed(self, number: str) -> str:
        """In the international form; "": it is none."""
        spelled = f"+{number[2:]}" if number.startswith("00") else number
        for each in dict.fromkeys((spelled, number)):
            try:
                found = phonenumbers.parse(each, self.country)
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_possible_number(found):
                return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)
        return ""

    def assumes(self, given: str) -> bool:
        """Whether it is written without a country code, so that it can only be one of `country`."""
        number = _EXTENSION.sub("", user_part(given[:_MOST].strip()))
        digits = [each for each in number if each.isdigit()]
        is_dialled = _DIALLED.fullmatch(number) is not None and len(digits) >= _SHORTEST_NATIONAL
        return is_dialled and not number.startswith(("+", "00"))

    def told(self, given: str) -> str:
        """The one form of a number; what is none stays as it was given."""
        plain = self.plain(given)
        return plain if plain.startswith("+") else given


def user_part(text: str) -> str:
    """Of a SIP or tel URI, with or without a name before it: who is called, and nothing of where."""
    found = _URI.search(text)
    if found is None:
        return text
    user = unquote(found[1].split(":", 1)[0])  # user:password
    name, *parameters = user.split(";")
    extension = next((each for each in parameters if each.lower().startswith("ext=")), "")
    return f"{name.strip()};{extension}" if extension else name.strip()


def is_like_one(given: str) -> bool:
    """Whoever wrote this meant a telephone number, and not somebody's extension or name: `+1555`, `1-800-FLOWERS`."""
    text = user_part(given.strip())
    if text.startswith("+") or re.search(r"\s", text):
        return True
    if phonenumbers.is_alpha_number(text):
        return any(each.isdigit() for each in text)
    return _DIALLED.fullmatch(text) is not None and sum(each.isdigit() for each in text) >= _SHORTEST_NATIONAL


def lacks_country(given: str, plain: str) -> bool:
    """Whether a number was written without its country code, and could be another one elsewhere."""
    text = user_part(given.strip())
    return not text.startswith(("+", "00")) and text != plain[1:]


def is_possible(plain: str) -> bool:
    """Whether an international number has as many digits as those of its country have."""
    try:
        reason = phonenumbers.is_possible_number_with_reason(phonenumbers.parse(plain, None))
    except phonenumbers.NumberParseException:
        return False
    return reason == phonenumbers.ValidationResult.IS_POSSIBLE


def country_of(numbers: Iterable[str]) -> str:
    """The country that most of these international numbers belong to; "": none does."""
    found: Counter[str] = Counter()
    for number in numbers:
        if number.strip().startswith("+"):
            try:
                parsed = phonenumbers.parse(number, None)
            except phonenumbers.NumberParseException:
                continue
            # Numbers that are possible and not in use have no region: then it is the first of their country code.
            first = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
            region = phonenumbers.region_code_for_number(parsed) or first
            if region not in ("ZZ", "001"):
                found[region] += 1
    return found.most_common(1)[0][0] if found else ""


def is_country(name: str) -> bool:
    """Whether there is a numbering plan for it."""
    return name in phonenumbers.SUPPORTED_REGIONS
