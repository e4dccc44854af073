"""Makes what identifies a person, as people and programs write it: addresses, numbers of phones, cards and accounts.

By another hand than the rules, as `foreign_secrets.py` says. Every card number passes Luhn's check, every IBAN its country's
length and mod 97.
"""

import random
import string
from collections.abc import Callable

from memloop_tests.trajectories.foreign_secrets import Secret, drawn

FIRST = [
    "anna",
    "bob",
    "chloe",
    "dmitri",
    "emeka",
    "fatima",
    "giulia",
    "hiro",
    "ines",
    "jürgen",
    "kwame",
    "li",
    "maría",
    "noah",
    "søren",
]
LAST = [
    "schmidt",
    "okafor",
    "tanaka",
    "garcia",
    "rossi",
    "nowak",
    "o'brien",
    "kim",
    "da-silva",
    "müller",
    "lindqvist",
    "ali",
]
# length and the letters, digits (A, 9) or either (x) of the part behind the check digits, after the IBAN registry
IBANS = {
    "DE": "9" * 18,
    "GB": "AAAA" + "9" * 14,
    "FR": "9" * 10 + "x" * 11 + "99",
    "NL": "AAAA" + "9" * 10,
    "ES": "9" * 20,
    "IT": "A" + "9" * 10 + "x" * 12,
    "CH": "9" * 5 + "x" * 12,
    "AT": "9" * 16,
    "BE": "9" * 12,
    "PL": "9" * 24,
    "SE": "9" * 20,
    "NO": "9" * 11,
    "PT": "9" * 21,
    "IE": "AAAA" + "9" * 14,
    "MT": "AAAA" + "9" * 5 + "x" * 18,
    "SA": "99" + "x" * 18,
    "AE": "9" * 19,
    "TR": "9" * 6 + "x" * 16,
}
CARDS = [
    ("visa", "4", 16),
    ("mastercard", "51", 16),
    ("mastercard", "55", 16),
    ("mastercard 2-series", "2223", 16),
    ("amex", "34", 15),
    ("amex", "37", 15),
    ("discover", "6011", 16),
    ("jcb", "3530", 16),
    ("diners", "36", 14),
    ("unionpay", "62", 16),
]
# #: any digit, N: any digit but 0 and 1; the form is how the country's people write it
PHONES = {
    "e164 us": "+1N##N######",
    "e164 uk": "+447#########",
    "e164 de": "+49151########",
    "e164 in": "+9198########",
    "us parentheses": "(N##) N##-####",
    "us dashes": "N##-N##-####",
    "us dots": "N##.N##.####",
    "us international": "+1 N##-N##-####",
    "us 1-": "1-N##-N##-####",
    "uk spaces": "+44 20 7### ####",
    "uk national": "020 7### ####",
    "de (0)": "+49 (0)30 N######",
    "de slash": "030/N#######",
    "de 0049": "0049 151 N#######",
    "fr pairs": "+33 6 ## ## ## ##",
    "fr national": "06 ## ## ## ##",
    "es": "+34 6## ### ###",
    "jp": "+81 90-####-####",
    "br": "+55 (11) 9####-####",
    "au": "+61 4## ### ###",
    "cn": "+86 138 #### ####",
    "extension": "+1 (N##) N##-#### x###",
}


def email(rng: random.Random) -> Secret:
    """Return an address as mail programs, forms and directories hold them; the part before the host is what must go."""
    first, last = rng.choice(FIRST), rng.choice(LAST)
    plain_first, plain_last = (name.translate(str.maketrans("üíøí", "uioi")).replace("'", "") for name in (first, last))
    number = str(rng.randrange(10, 9999))
    flavour, local = rng.choice(
        [
            ("dotted", f"{plain_first}.{plain_last}{number}"),
            ("plus", f"{plain_first}{number}+shop"),
            ("short", f"{plain_first[0]}{plain_last}{number}"),
            ("underscore", f"{plain_last}_{plain_first}_{number}"),
            ("capitals", f"{plain_first.title()}.{plain_last.title()}{number}"),
            ("apostrophe", f"{plain_first}.o'{plain_last}{number}"),
            ("unicode", f"{first}.{last.replace(chr(39), '')}{number}"),
            ("digits", number + drawn(rng, string.digits, 6)),
        ]
    )
    host = rng.choice(
        [
            "example.com",
            "mail.example.co.uk",
            "example.org",
            "gmail.com",
            "acme-corp.io",
            "uni-köln.de",
            "kunden.example.de",
        ]
    )
    return Secret("email", flavour, f"{local}@{host}", (f"{local}@",))


def phone(rng: random.Random) -> Secret:
    """Return a telephone number in the form of one of `PHONES`."""
    flavour = rng.choice(list(PHONES))
    digits = {"#": string.digits, "N": "23456789"}
    text = "".join(rng.choice(digits[character]) if character in digits else character for character in PHONES[flavour])
    return Secret("phone", flavour, text, (text,))


def luhn_digit(digits: str) -> str:
    """Return the digit that makes `digits` pass Luhn's check."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        doubled = int(character) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def card(rng: random.Random) -> Secret:
    """Return a card number, bare or in the groups that are embossed on it."""
    brand, prefix, length = rng.choice(CARDS)
    digits = prefix + drawn(rng, string.digits, length - len(prefix) - 1)
    digits += luhn_digit(digits)
    groups = [4, 6, 5] if length == 15 else [4, 6, 4] if length == 14 else [4, 4, 4, 4]
    ends = [sum(groups[: at + 1]) for at in range(len(groups))]
    separator = rng.choice(["", "", " ", "-"])
    text = separator.join(digits[end - size : end] for end, size in zip(ends, groups, strict=True))
    return Secret("card", brand, text, (text,))


def iban(rng: random.Random) -> Secret:
    """Return an IBAN of a country of the registry: whole, or in groups of four as on paper."""
    country = rng.choice(list(IBANS))
    alphabets = {"9": string.digits, "A": string.ascii_uppercase, "x": string.ascii_uppercase + string.digits}
    account = "".join(rng.choice(alphabets[character]) for character in IBANS[country])
    check = 98 - int("".join(str(int(character, 36)) for character in account + country + "00")) % 97
    whole = f"{country}{check:02d}{account}"
    grouped = " ".join(whole[at : at + 4] for at in range(0, len(whole), 4))
    flavour, text = rng.choice(
        [("whole", whole), ("grouped", grouped), ("grouped", grouped), ("lower case", whole.lower())]
    )
    return Secret("iban", flavour, text, (text,))


PERSON_KINDS: dict[str, Callable[[random.Random], Secret]] = {
    "email": email,
    "phone": phone,
    "card": card,
    "iban": iban,
}
