"""Which numbers may be dialled: every country's emergency and short numbers are refused, whatever is allowed."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, shortnumberinfo

from callflow.config.dial_rules import DialRules, number_problem, prefixes
from callflow.config.settings import Settings
from tests.config.test_settings import Here, here, problems
from tests.sample import Sample


__all__ = ["here"]  # a fixture


ALL = DialRules((), ())
EVERYTHING = DialRules([f"+{digit}" for digit in range(1, 10)], ())
NEVER = "Emergency numbers and other short numbers are never dialled"


@pytest.mark.parametrize(
    "number",
    [
        "+15550100001", "+15551234567", "+14155550100", "+12425551234", "+4930123456", "+491701234567",
        "+4314000", "+33153456789", "+33117456789", "+441214960100", "+447911123456", "+390612345678", "+39011234567",
        "+5511961234567", "+541123456789", "+5491123456789", "+523312345678", "+911123456789", "+919812345678",
        "+8613912345678", "+81312345678", "+82212345678", "+61212345678", "+6834002", "+29022158", "+85221234567",
        "+35222123456", "+4791234567", "+79123456789", "+78001234567", "+2348012345678", "+97142345678",
        "+37257123456", "+80012345678", "+18005550100",
    ],
)  # fmt: skip
def test_an_ordinary_number_is_dialled(number: str) -> None:
    assert ALL.check(number) == ""
    assert EVERYTHING.check(number) == ""


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", [0, 1, 2, 3])
def test_the_usual_numbers_of_every_country_are_dialled(kind: int) -> None:
    """`kind`: fixed line, mobile, either, toll-free."""
    said = {}
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(region, kind)
        if example is not None:
            number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            said[number] = ALL.check(number)
    assert len(said) > 140
    assert {number: sentence for number, sentence in said.items() if sentence} == {}


@pytest.mark.parametrize(
    "text",
    [
        "", "+", "112", "911", "15550100001", "0015550100001", "+0112", "+0015550100001", "+1 911", "+1 5550100001",
        "+15550100001 ", " +15550100001", "+15550100001\n", "+1-555-010-0001", "+1(555)0100001", "+1555010000a",
        "+15550100001;ext=112", "+15550100001x112", "+15550100001,911", "+15550100001p911", "+15550100001w911#",
        "+15550100001#", "+*112", "tel:+15550100001", "sip:+15550100001@example.org", "+4401 12", "++15550100001",
        "+1555010000123456", "+\u0661\u0661\u0662", "+1\uff19\uff11\uff11", "+1555010000\u0661", "\uff0b15550100001",
        "+1555\u200b0100001", "+49\u00a0112", "+1555010000\u00b9", "+1\x00911",
    ],
)  # fmt: skip
def test_what_is_not_e164_is_told_what_that_is(text: str) -> None:
    for rules in (ALL, EVERYTHING):
        assert "E.164" in rules.check(text)
        assert "+15550100001" in rules.check(text)


@pytest.mark.parametrize(
    "number",
    [
        "+112", "+911", "+999", "+110", "+1911", "+1112", "+1988", "+1411", "+44999", "+44112", "+44101", "+44111",
        "+49110", "+49112", "+49115", "+49116117", "+4911833", "+33112", "+3315", "+3317", "+3318", "+33119", "+39112",
        "+39113", "+39118", "+34112", "+41117", "+41144", "+43144", "+61000", "+61112", "+64111", "+81110", "+81119",
        "+82112", "+86110", "+86120", "+91112", "+91108", "+55190", "+55192", "+525911", "+52911", "+7112", "+7101",
        "+353999", "+35311850", "+27112", "+2710111", "+20123", "+972100", "+971999", "+31112", "+32112", "+46112",
        "+45112", "+47110", "+358112", "+48999", "+48997", "+66191", "+6595", "+65999", "+852999", "+60999", "+62112",
        "+63911", "+84113", "+90112", "+380112", "+30100", "+351112", "+420158", "+36107", "+381192", "+683999",
        "+290911", "+290999", "+690911", "+16", "+4420",
        # behind the digits that are dialled only within a country
        "+490112", "+4900112", "+49000112", "+440999", "+4400999", "+390112", "+330112", "+78112", "+36060112",
        "+360107", "+10911", "+11911", "+52019110", "+610000", "+8200112", "+81000119", "+861112",
        # with digits behind them, where no subscriber has the number
        "+19110000000", "+19115550100", "+19111111111", "+441120000000", "+49112000000", "+491100000000",
    ],
)  # fmt: skip
def test_an_emergency_or_short_number_is_never_dialled(number: str) -> None:
    for rules in (ALL, EVERYTHING, DialRules([number], ()), DialRules([number[:3], number], ["+999"])):
        assert rules.check(number), number
    if len(number) < 8:
        assert ALL.check(number).startswith(NEVER)


def _digits_of(region: str) -> list[str]:
    """Return the emergency numbers of a region of up to four digits, and an example of its short numbers."""
    tables = PhoneMetadata.short_metadata_for_region(region)
    assert tables is not None
    found = [tables.short_code.example_number] if tables.short_code and tables.short_code.example_number else []
    if tables.emergency is not None and tables.emergency.national_number_pattern:
        form = re.compile(tables.emergency.national_number_pattern)
        every = (str(number).zfill(length) for length in (2, 3, 4) for number in range(10**length))
        found += [digits for digits in every if form.fullmatch(digits)]
    return found


def _as_dialled(region: str) -> list[tuple[str, str]]:
    """Return the short numbers of a region behind its country code, with and without what is dialled before numbers
    within it, and each as it is."""
    code = phonenumbers.country_code_for_region(region)
    plan = PhoneMetadata.metadata_for_region(region)
    trunk = plan.national_prefix if plan is not None and plan.national_prefix else ""
    found = []
    for digits in _digits_of(region):
        for before in dict.fromkeys(("", trunk, "0", "00", "000")):
            number = f"+{code}{before}{digits}"
            # With digits before it, it may be somebody's.
            if not before or not phonenumbers.is_valid_number(phonenumbers.parse(number, None)):
                found.append((number, digits))
    return found


@cache
def short_numbers() -> list[tuple[str, str]]:
    """Those of all regions, as they might be dialled, each with its digits."""
    regions = sorted({*shortnumberinfo.SUPPORTED_SHORT_REGIONS} & {*phonenumbers.SUPPORTED_REGIONS})
    return [each for region in regions for each in _as_dialled(region)]


PREFIXES = st.lists(st.from_regex(r"\+[1-9][0-9]{0,6}", fullmatch=True), max_size=6)


@pytest.mark.exhaustive
def test_no_emergency_or_short_number_of_any_country_is_dialled(some: Sample) -> None:
    short = short_numbers()
    assert len(short) > 3000
    assert {"+1911", "+44999", "+490112", "+61000", "+3315", "+8200112"} <= {number for number, _ in short}
    assert [number for number, _ in some(short, 7) if not EVERYTHING.check(number)] == []
    assert [digits for _, digits in some(short, 7) if not EVERYTHING.check(f"+{digits}")] == []


@given(st.deferred(lambda: st.sampled_from(short_numbers())), PREFIXES, PREFIXES, st.data())
@pytest.mark.exhaustive
def test_no_setting_lets_an_emergency_or_short_number_through(
    short: tuple[str, str], allow: list[str], deny: list[str], data: st.DataObject
) -> None:
    number, digits = short
    own = number[: data.draw(st.integers(2, len(number)))]
    rules = DialRules([*allow, own, f"+{digits}"], deny)
    assert rules.check(number)
    assert rules.check(f"+{digits}")


@given(st.text(max_size=20))
def test_whatever_is_given_is_answered(text: str) -> None:
    said = EVERYTHING.check(text)
    assert said == "" or said.endswith((".", "?"))


@pytest.mark.parametrize(
    ("number", "says"),
    [
        ("+1555010000", "fewer digits"), ("+155501000012", "too many digits"), ("+4930123456789012", "15 digits"),
        ("+2101234567", "No country"), ("+9991234567", "No country"), ("+0441234567", "E.164"),
        ("+4901701234567", "the 0 of"), ("+4402079460000", "the 0 of"),
    ],
)  # fmt: skip
def test_a_number_that_is_nobodys_is_told_why(number: str, says: str) -> None:
    assert says in ALL.check(number)
    assert says in EVERYTHING.check(number)
    assert number not in ALL.check(number)
    assert says in number_problem(number)


@pytest.mark.parametrize(
    ("number", "too_little", "enough"),
    [
        ("+449098790000", ["+44"], ["+44909"]), ("+19002345678", ["+1"], ["+1900"]),
        ("+499001123456", ["+49", "+4"], ["+49900"]), ("+4990011234567", ["+49"], ["+49900"]),
        ("+33899123456", ["+33"], ["+338"]), ("+41900123456", ["+41"], ["+41900123456"]),
        ("+870773111632", ["+8", "+87"], ["+870"]), ("+881612345678", ["+88"], ["+881"]),
        ("+881612345678", ["+8"], ["+8816"]), ("+882161234567", ["+88"], ["+882"]),
        ("+883510012345", ["+8"], ["+883"]), ("+878101234567890", ["+87"], ["+878"]),
        ("+979123456789", ["+97"], ["+979"]), ("+88812345678901", ["+88"], ["+888"]),
        ("+80812345678", ["+80"], ["+808"]),
    ],
)  # fmt: skip
def test_what_costs_much_needs_a_prefix_that_is_meant_for_it(
    number: str, too_little: list[str], enough: list[str]
) -> None:
    for allow in ([], too_little, ["+1", "+44", "+49", "+8", "+9"]):
        assert "DIAL_ALLOW" in DialRules(allow, ()).check(number), allow
    assert DialRules(enough, ()).check(number) == ""
    assert DialRules([*too_little, *enough], ()).check(number) == ""
    assert "DIAL_DENY" in DialRules(enough, enough).check(number)


@pytest.mark.exhaustive
def test_the_premium_rates_of_every_country_are_not_dialled() -> None:
    """Nor with digits behind them, where the numbering plan has room for some."""
    tried = longer = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.PREMIUM_RATE)
        if example is None:
            continue
        number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        for each in (number, f"{number}5", f"{number}55"):
            if number_problem(each):
                continue
            tried, longer = tried + 1, longer + (each != number)
            whole = phonenumbers.parse(each, None)
            if phonenumbers.is_valid_number(whole) and phonenumbers.number_type(whole) != 4:
                continue  # somebody's
            code = f"+{example.country_code}"
            for allow in ((), (code,), (code, "+1", "+9")):
                assert "DIAL_ALLOW" in DialRules(allow, ()).check(each), each
            assert DialRules((number[:-3],), ()).check(each) == ""
    assert (tried > 90, longer > 15) == (True, True), (tried, longer)


@pytest.mark.parametrize(
    ("allow", "deny", "dialled"),
    [
        ("", "", True), ("+1", "", True), ("+1555", "", True), ("+15550100001", "", True), ("+44", "", False),
        ("+2, +1", "", True), ("+155501000012", "", False), ("", "+1", False), ("", "+15550100001", False),
        ("", "+1556", True), ("+1", "+1", False), ("+1", "+1555", False), ("+1555", "+1", True),
        ("+1, +155501", "+1555", True), ("+1, +155501", "+1555010000", False), ("+44", "+1", False),
        ("+15550100001", "+15550100001", False), ("+15550100001", "+1555010000", True),
    ],
)  # fmt: skip
def test_the_longest_prefix_decides(allow: str, deny: str, dialled: bool) -> None:
    said = DialRules(prefixes(allow), prefixes(deny)).check("+15550100001")
    assert (said == "") is dialled
    assert dialled or "DIAL_ALLOW" in said


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        ("", ()), ("  ", ()), ("+1", ("+1",)), ("+1,+44", ("+1", "+44")), (" +1  +44,\n+49 ,", ("+1", "+44", "+49")),
        (["+1", " +44 "], ("+1", "+44")), ([], ()), ("+1 +1", ("+1",)),
    ],
)  # fmt: skip
def test_prefixes_stand_in_a_text_or_a_list(given_: object, found: tuple[str, ...]) -> None:
    assert prefixes(given_) == found


@pytest.mark.parametrize(
    "given_",
    ["1", "+", "+0", "+049", "0044", "+44 20", "+44-20", "+1;+44", "+44*", "+4420\u0661", "+1234567890123456", "44",
     ["+1", 44], [["+1"]], ["+1 +44"], {"+1": 1}, 44, None],
)  # fmt: skip
def test_what_is_no_prefix_is_refused(given_: object) -> None:
    with pytest.raises(ValueError, match=r"each \+ and digits"):
        prefixes(given_)


@pytest.mark.parametrize(
    ("toml", "env", "allow", "deny"),
    [
        ('dial_allow = "+1, +44"', "", "+1, +44", ""),
        ('dial_allow = ["+1", "+44"]\ndial_deny = []', "", "+1, +44", ""),
        ('dial_allow = "+1"', "DIAL_ALLOW=+49 +43\nDIAL_DENY=+4990", "+49, +43", "+4990"),
    ],
)
def test_the_settings_are_read_from_every_place(toml: str, env: str, allow: str, deny: str, here: Here) -> None:
    from callflow.config.loader import load

    here(toml=toml, env=env)
    settings = load()
    assert (settings.dial_allow, settings.dial_deny) == (allow, deny)
    assert Settings(**settings.model_dump()).dial_allow == allow
    said = DialRules.of(settings).check("+15550100001")
    assert (said == "") is ("+1" in allow)


@pytest.mark.parametrize(
    ("toml", "name", "which"),
    [
        ('dial_allow = "0044"', 'DIAL_ALLOW="0044"', ""),
        ('dial_deny = ["+1", "44"]', "DIAL_DENY", ", and number 2 of them is not"),
        ("dial_allow = true", 'DIAL_ALLOW="true"', ""),
        ("dial_allow = 44", 'DIAL_ALLOW="44"', ""),
    ],
)
def test_a_bad_prefix_is_a_problem_of_the_settings(toml: str, name: str, which: str, here: Here) -> None:
    here(toml=toml)
    what = "must be beginnings of numbers with their country code, each + and digits"
    assert problems() == [f'{name} (settings.toml) {what}{which}; as in "+1, +4420"']


def test_a_table_of_prefixes_is_none(here: Here) -> None:
    here(toml="[dial_allow]")
    (said,) = problems()
    assert said.endswith("; this is a table")


async def test_it_is_checked_in_a_thread_as_well() -> None:
    rules = DialRules((), ["+44"])
    assert [await rules.acheck(number) for number in ("+15550100001", "+49112")] == ["", rules.check("+49112")]
    assert "DIAL_DENY" in await rules.acheck("+441214960100")


@pytest.mark.process
def test_who_never_dials_loads_no_tables() -> None:
    code = (
        "import sys; from callflow.config.dial_rules import DialRules, prefixes;"
        "rules = DialRules(prefixes('+1'), ()); assert rules.check('1'); assert 'phonenumbers' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
