"""Bring telephone numbers, however a carrier or a person writes them, into one form (E.164). Pure.

`+1 (555) 010-0002`, `0015550100002`, `555 010 0002` where numbers are American, `tel:+1-555-010-0002;ext=5`,
`sip:+15550100002@trunk.example:5060;transport=tls` and `"Ann" <sip:%2B15550100002@…>` are all `+15550100002`. What is
not a number (the extension `1001`, `anonymous`, a name) stays as it is.
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
"""The extension of a number, or keys to press after a pause."""
_DIALLED: Final = re.compile(r"[0-9+*#().\-/\s\u00a0\u2010-\u2015]+")
_SHORTEST_NATIONAL: Final = 7
"""Digits; a shorter number without `+` is an extension."""
_MOST: Final = 200


class Numbers:
    """Numbers as they are written in one country."""

    def __init__(self, country: str = USUAL_COUNTRY) -> None:
        """`country`: whose numbers may be written without `+` and country code, as ISO 3166 (`US`, `DE`)."""
        self.country = country
        self.normal("5550100002")  # loads the country's numbering plan now, and not in a call

    def normal(self, given: str) -> str:
        """Return the number as `+` and digits; of what is not a number, the text without the parts of a URI."""
        text = user_part(given[:_MOST].strip())
        number = _EXTENSION.sub("", text)
        if _E164.fullmatch(number):
            return number
        digits = [each for each in number if each.isdigit()]
        if not _DIALLED.fullmatch(number) or len(digits) < _SHORTEST_NATIONAL:
            return text
        return self._parsed(number) or text

    def _parsed(self, number: str) -> str:
        """Return the number in the international form; "": it is not a number."""
        spelled = f"+{number[2:]}" if number.startswith("00") else number
        for each in dict.fromkeys((spelled, number)):
            try:
                found = phonenumbers.parse(each, self.country)
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_possible_number(found):
                return phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)
        return ""

    def assumes_country(self, given: str) -> bool:
        """Return whether a number is written without a country code, so that `country` decides what it is."""
        number = _EXTENSION.sub("", user_part(given[:_MOST].strip()))
        digits = [each for each in number if each.isdigit()]
        is_dialled = _DIALLED.fullmatch(number) is not None and len(digits) >= _SHORTEST_NATIONAL
        return is_dialled and not number.startswith(("+", "00"))

    def e164_or_same(self, given: str) -> str:
        """Return the number as `+` and digits; what is not a number is returned unchanged."""
        plain = self.normal(given)
        return plain if plain.startswith("+") else given


def user_part(text: str) -> str:
    """Return the user part of a SIP or tel URI, with its extension; a text that is no URI is returned unchanged."""
    found = _URI.search(text)
    if found is None:
        return text
    user = unquote(found[1].split(":", 1)[0])  # user:password
    name, *parameters = user.split(";")
    extension = next((each for each in parameters if each.lower().startswith("ext=")), "")
    return f"{name.strip()};{extension}" if extension else name.strip()


def looks_like_number(given: str) -> bool:
    """Return whether a text was meant as a telephone number, not as an extension or name: `+1555`, `1-800-FLOWERS`."""
    text = user_part(given.strip())
    if text.startswith("+") or re.search(r"\s", text):
        return True
    if phonenumbers.is_alpha_number(text):
        return any(each.isdigit() for each in text)
    return _DIALLED.fullmatch(text) is not None and sum(each.isdigit() for each in text) >= _SHORTEST_NATIONAL


def lacks_country(given: str, plain: str) -> bool:
    """Return whether a number was written without its country code, so that it is another number in other countries.

    `plain`: its form with country code.
    """
    text = user_part(given.strip())
    return not text.startswith(("+", "00")) and text != plain[1:]


def is_possible(plain: str) -> bool:
    """Return whether an international number has as many digits as numbers of its country have."""
    try:
        reason = phonenumbers.is_possible_number_with_reason(phonenumbers.parse(plain, None))
    except phonenumbers.NumberParseException:
        return False
    return reason == phonenumbers.ValidationResult.IS_POSSIBLE


def country_of(numbers: Iterable[str]) -> str:
    """Return the country of most of these international numbers, as two letters; "": none has a country."""
    found: Counter[str] = Counter()
    for number in numbers:
        if number.strip().startswith("+"):
            try:
                parsed = phonenumbers.parse(number, None)
            except phonenumbers.NumberParseException:
                continue
            # A number that is possible but not in use has no region: take the first one of its country code.
            first = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
            region = phonenumbers.region_code_for_number(parsed) or first
            if region not in ("ZZ", "001"):
                found[region] += 1
    return found.most_common(1)[0][0] if found else ""


def is_country(name: str) -> bool:
    """Return whether these two letters are a country that has a numbering plan."""
    return name in phonenumbers.SUPPORTED_REGIONS
