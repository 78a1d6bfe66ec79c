"""Which numbers may be dialled: the form of a number, what is never dialled, and the prefixes of DIAL_ALLOW and
DIAL_DENY. Pure.

Emergency and short numbers, premium rates and lengths are those of the package `phonenumbers`. It is imported with the
first number that is checked, and reads the tables of a country then: see `DialRules.acheck`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from callflow.contracts.e164 import SHORTEST, is_e164


if TYPE_CHECKING:
    from phonenumbers import PhoneNumber


_PREFIX: Final = re.compile(r"\+[1-9][0-9]{0,14}")
_SEPARATOR: Final = re.compile(r"[,\s]+")
_EXAMPLE: Final = "+15550100001"
_LONGEST_EMERGENCY: Final = 6
"""Digits of the longest emergency numbers there are."""
_GLOBAL: Final = "001"
"""The region of country codes that are no country's, by the list of assigned codes that belongs to ITU-T E.164:
satellites (+870, +881), international networks (+882, +883), universal personal numbers (+878), shared cost (+808),
premium rate (+979), disaster relief (+888), and freephone."""
_FREEPHONE: Final = 800
"""The one of them that costs its callers nothing."""

_FORM: Final = (
    f"The number must be in E.164: +, the country code and the number, 15 digits at most and nothing else, such as"
    f" {_EXAMPLE}."
)
_NEVER: Final = (
    "Emergency numbers and other short numbers are never dialled, whatever the settings: in an emergency, dial from a"
    " telephone; for anything else, give the number in E.164 that the short one stands for."
)
_NO_COUNTRY: Final = f"No country has a code with which this number begins: write it in E.164, such as {_EXAMPLE}."
_NOT_AS_WRITTEN: Final = (
    "The number has digits behind its country code that are dialled only within its country, such as the 0 of"
    f" +44 (0)20: leave them out, as E.164 does in {_EXAMPLE}."
)
_DENIED: Final = (
    "DIAL_DENY has a prefix of this number, so it is not dialled: take the prefix out, or put a longer one into"
    " DIAL_ALLOW."
)


def prefixes(given: object) -> tuple[str, ...]:
    """Return the prefixes in a text, which are separated by commas or spaces, or in a list of texts.

    Raises ValueError when one is not `+` and digits; the message continues a line about a setting, and names no prefix.
    """
    parts = [str(each).strip() for each in given] if isinstance(given, list) else _SEPARATOR.split(str(given))
    found = [each for each in parts if each]
    for place, each in enumerate(found, start=1):
        if not _PREFIX.fullmatch(each):
            which = f", and number {place} of them is not" if len(found) > 1 else ""
            raise ValueError(
                f'must be beginnings of numbers with their country code, each + and digits{which}; as in "+1, +4420"'
            )
    return tuple(dict.fromkeys(found))


def number_problem(number: str) -> str:
    """Return why this is not a number of a subscriber in E.164 as `phonenumbers` writes it, and what to do; "": it is.

    Numbers that are possible and not in use, such as those with 555, pass. May read tables, like `DialRules.check`.
    """
    return _read(number)[0]


class DialSettings(Protocol):
    """The settings that the rules are made of, each with prefixes as one text."""

    @property
    def dial_allow(self) -> str: ...

    @property
    def dial_deny(self) -> str: ...


class DialRules:
    """Decides which numbers may be dialled.

    Emergency and short numbers are never dialled. Numbers at a premium rate, and those of satellites and international
    networks, need an allowed prefix that is meant for them. Of all others the longest matching prefix decides.
    """

    def __init__(self, allow: Sequence[str], deny: Sequence[str]) -> None:
        """`allow`, `deny`: as `prefixes` returns them. An empty `allow` allows every ordinary number; where an allowed
        and a denied prefix are equally long, the denied one decides."""
        self._allow, self._deny = tuple(allow), tuple(deny)

    @classmethod
    def of(cls, settings: DialSettings) -> DialRules:
        """Make the rules of these settings. Raises ValueError as `prefixes`."""
        return cls(prefixes(settings.dial_allow), prefixes(settings.dial_deny))

    def check(self, number: str) -> str:
        """Return a sentence for people: why this number is not dialled, and what to do; "": it may be dialled.

        The sentence does not contain the number. For threads: the first number of a country reads its tables from
        files (1 to 45 ms; 5 MB for all countries there are).
        """
        problem, parsed = _read(number)
        return problem or self._of_prefixes(number, parsed)

    async def acheck(self, number: str) -> str:
        """Do what `check` does, in a thread: nothing is imported or read on the event loop."""
        return await asyncio.to_thread(self.check, number)

    def _of_prefixes(self, number: str, parsed: PhoneNumber) -> str:
        import phonenumbers

        allowed, denied = _longest(self._allow, number), _longest(self._deny, number)
        code = f"+{parsed.country_code}"
        if denied and len(denied) >= len(allowed):
            return _DENIED
        if self._allow and not allowed:
            return f"DIAL_ALLOW has no prefix of this number, so it is not dialled: put one there, such as {code}."
        is_global = phonenumbers.region_code_for_country_code(parsed.country_code or 0) == _GLOBAL
        if is_global and parsed.country_code != _FREEPHONE and len(allowed) < len(code):
            return (
                f"{code} is no country's, but of satellites, international networks or services, which cost much and so"
                f" are not dialled: to allow them, put {code} or a longer prefix into DIAL_ALLOW."
            )
        if not is_global and len(allowed) <= len(code) and _is_premium(parsed):
            return (
                "This number is at a premium rate, and so is not dialled: to allow some, put a prefix with more than"
                f" their country code {code} into DIAL_ALLOW, such as +44909 for some of +44."
            )
        return ""


def _longest(of: Sequence[str], number: str) -> str:
    return max((each for each in of if number.startswith(each)), key=len, default="")


def _read(number: str) -> tuple[str, Any]:
    """Return what is wrong with a number, and the number as `phonenumbers` reads it, if nothing is."""
    if not is_e164(number):
        return _FORM, None
    import phonenumbers

    digits = number[1:]
    if len(digits) < SHORTEST or _is_emergency_anywhere(digits):
        return _NEVER, None
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return _NO_COUNTRY, None
    if _is_short(parsed, digits):
        return _NEVER, None
    code, length = f"+{parsed.country_code}", phonenumbers.is_possible_number_with_reason(parsed)
    if length == phonenumbers.ValidationResult.TOO_LONG:
        return f"The number has too many digits for one of {code}: are there digits of an extension at its end?", None
    if length != phonenumbers.ValidationResult.IS_POSSIBLE:
        return f"The number has fewer digits than those of {code}, or another count of them: is one missing?", None
    if phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) != number:
        return _NOT_AS_WRITTEN, None
    return "", parsed


def _is_short(parsed: PhoneNumber, digits: str) -> bool:
    """Return whether a number is an emergency or a short number behind its country code, however it is dialled."""
    import phonenumbers
    from phonenumbers import shortnumberinfo

    code = parsed.country_code or 0
    is_valid = phonenumbers.is_valid_number(parsed)
    for region in phonenumbers.region_codes_for_country_code(code):
        readings = {phonenumbers.national_significant_number(parsed)}
        if not is_valid:
            readings |= set(_readings(digits[len(str(code)) :], region))
        for reading in filter(None, readings):
            if _is_emergency_anywhere(reading):
                return True
            if shortnumberinfo.is_valid_short_number_for_region(_with_zeros(code, reading), region):
                return True
            # 911 5550100: exchanges take what follows for nothing. 1 53 45 67 89 is a number of Paris, and no 15.
            if not is_valid and shortnumberinfo.connects_to_emergency_number(reading, region):
                return True
    return False


def _is_premium(parsed: PhoneNumber) -> bool:
    """Return whether a number, or the beginning of one that nobody has, is at a premium rate: exchanges take the digits
    behind a whole number for nothing."""
    import phonenumbers

    national = phonenumbers.national_significant_number(parsed)
    lengths: Iterable[int] = [len(national)]
    if not phonenumbers.is_valid_number(parsed):
        known = _lengths(parsed.country_code or 0)  # numbers of other lengths are of no kind
        lengths = [length for length in range(len(national), 2, -1) if length in known]
    beginnings = (_with_zeros(parsed.country_code or 0, national[:length]) for length in lengths)
    premium = phonenumbers.PhoneNumberType.PREMIUM_RATE
    return any(phonenumbers.number_type(each) == premium for each in beginnings)


def _lengths(code: int) -> set[int]:
    """Return how many digits numbers behind a country code have."""
    import phonenumbers
    from phonenumbers import PhoneMetadata

    plans = (PhoneMetadata.metadata_for_region(each) for each in phonenumbers.region_codes_for_country_code(code))
    kinds = (plan.general_desc for plan in plans if plan is not None)
    return {length for kind in kinds if kind is not None for length in kind.possible_length}


def _with_zeros(code: int, national: str) -> PhoneNumber:
    """Return a number whose zeros at its beginning belong to it."""
    from phonenumbers import PhoneNumber

    zeros = len(national) - len(str(int(national)))
    return PhoneNumber(
        country_code=code,
        national_number=int(national),
        italian_leading_zero=zeros > 0,
        number_of_leading_zeros=zeros or None,
    )


def _readings(national: str, region: str) -> Iterator[str]:
    """Yield what may be left of the digits behind a country code when an exchange takes away those that are dialled
    within the country only: zeros, and what the numbering plan has."""
    from phonenumbers import PhoneMetadata

    zeros = len(national) - len(national.lstrip("0"))
    yield from (national[left_out:] for left_out in range(zeros + 1))
    plan = PhoneMetadata.metadata_for_region(region)
    prefix = plan.national_prefix_for_parsing if plan is not None else None
    if prefix and (found := re.match(prefix, national)):
        yield national[found.end() :]


def _is_emergency_anywhere(digits: str) -> bool:
    from phonenumbers import shortnumberinfo

    regions = shortnumberinfo.SUPPORTED_SHORT_REGIONS if 1 < len(digits) <= _LONGEST_EMERGENCY else ()
    return any(shortnumberinfo.is_emergency_number(digits, region) for region in regions)
