"""The cheap look before any rule: which gates a text passes, so that clean text costs little.

Every rule of ``secret_rules`` stands behind a gate, and nothing that a rule finds lies in a text that its gate does not let through: a
gate may let too much through, never too little (held by a test). Many texts are looked at by RE2, which comes with pyarrow, in one pass
over their bytes for all gates.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from memloop_assets.trajectories.secret_rules import Gate
from memloop_assets.trajectories.vendor_keys import BEGINNINGS, FORMS

GATES: tuple[Gate, ...] = ("at", "auth", "digits", "prefix", "word")

_AS_ZERO = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
_BETWEEN_DIGITS = b" -().+/\xc2\xa0"
_NINE_DIGITS = b"0" * 9
_IBAN = r"(?:^|[^A-Za-z0-9]|\\[nrt])[A-Za-z]{2}[0-9]{2}(?:[ \-]?[A-Za-z0-9]){11}"
_PHONE_FIELD = r'(?i:phone|mobile|fax|whatsapp|msisdn|callback|tel)[^a-zA-Z":]*(?i:number)?[^a-zA-Z":]*"\s*:'
_IBAN_OR_PHONE_FIELD = f"{_IBAN}|{_PHONE_FIELD}"
_PREFIX = (
    r"(?:sk-|[sr]k_|A(?:KIA|SIA|BIA|CCA)|gh[pousr]_|github_pat_|AIza|xox|hf_|glpat-|npm_|SG\.|eyJ|"
    + "|".join(beginning.replace(".", r"\.").replace("-", r"\-") for beginning in BEGINNINGS)
    + r")[0-9A-Za-z_.+/=,\-]{8}|-----BEGIN |"  # eight are less than any rule wants behind its prefix
    + FORMS
)
_KELVIN = "\N{KELVIN SIGN}".encode()  # a k once it is lowered
_AUTH = r"(?i:bearer +[\w.~+/=\-]{8}|basic +[a-z0-9+/]{8})"
_AUTH_BYTES = re.compile(_AUTH.encode())
_AS_WORDS = bytes(97 if re.match(rb"[0-9A-Za-z_.+/=,~\-]", bytes([byte])) else 32 for byte in range(256))
_LONG_WORD = b"a" * 11  # no beginning and what it asks for behind it is shorter
_PREFIX_BYTES = re.compile(_PREFIX.encode())
_IBAN_OR_PHONE_FIELD_BYTES = re.compile(_IBAN_OR_PHONE_FIELD.encode())
_WORDS = (
    *(
        b"key",
        b"secret",
        b"token",
        b"pw",
        b"credential",
        b"authorization",
        b"kennwort",
        b"senha",
        b"wachtwoord",
        _KELVIN,
    ),
    *(b"-u ", b"--user", b"mysql", b"redis-cli"),  # programs that take a password without naming it
    *(word.encode() for word in ("contrase", "lösenord", "ароль", "密码", "パスワード")),
)
_PASS_WORD = (
    r"""pass(?:w|ph|e[ :]|[`'"\\]|\s{0,3}[:=\-]|\s{1,3}(?:is|was|es|lautet)\s|[\s,]{1,24}value)|_pass(?:[^a-z]|$)"""  # noqa: S105  # a word
)
_PASS_WORD_BYTES = re.compile(_PASS_WORD.encode())
_ANY_CHARACTER = b"\\u"  # JSON inside a string may spell any character so


def open_gates(text: bytes, among: Iterable[Gate] = GATES) -> set[Gate]:
    """Return the gates that a text passes; for many texts ``gates_of_all`` is faster."""
    if _ANY_CHARACTER in text:
        return set(among)
    return {gate for gate in among if _PASSES[gate](text)}


def gates_of_all(texts: Sequence[bytes] | pa.Array) -> dict[int, set[Gate]]:
    """Return the gates that each of many texts passes, by its place; those that pass none, and null, are left out."""
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_binary())
    suspects = _where(array, _ANY_GATE)
    found: dict[int, set[Gate]] = {place: set() for place in suspects.to_pylist()}
    if found:
        looked = array.take(suspects)
        for gates, pattern in (*(((gate,), _PATTERNS[gate]) for gate in GATES), (GATES, _SPELLED)):
            for place in suspects.take(_where(looked, pattern)).to_pylist():
                found[place].update(gates)
    return found


def _where(array: pa.Array, pattern: str) -> pa.Array:
    return pc.indices_nonzero(pc.match_substring_regex(array, pattern))


def _passes_digits(text: bytes) -> bool:
    if len(text) >= 9 and _NINE_DIGITS in text.translate(_AS_ZERO, _BETWEEN_DIGITS):
        return True
    return _IBAN_OR_PHONE_FIELD_BYTES.search(text) is not None


def _passes_auth(text: bytes) -> bool:
    return _AUTH_BYTES.search(text) is not None


def _passes_prefix(text: bytes) -> bool:
    """Look for the beginnings of keys in long words alone: there are a hundred of them, and most text has few such words."""
    if b"-----BEGIN " in text:
        return True
    kinds, words = text.translate(_AS_WORDS), []
    place = kinds.find(_LONG_WORD)
    while place >= 0:
        end = kinds.find(b" ", place)
        end = len(kinds) if end < 0 else end
        words.append(text[place:end])
        place = kinds.find(_LONG_WORD, end)
    return bool(words) and _PREFIX_BYTES.search(b" ".join(words)) is not None


def _passes_word(text: bytes) -> bool:
    lower = text.lower()
    return any(word in lower for word in _WORDS) or (b"pass" in lower and _PASS_WORD_BYTES.search(lower) is not None)


def _any_of(literals: Iterable[bytes]) -> str:
    """Return a pattern for any of some literals; RE2 reads binary columns as Latin-1, and only escapes stand for bytes beyond ASCII."""
    spelled = ("".join(chr(byte) if byte < 128 else f"\\x{{{byte:02x}}}" for byte in literal) for literal in literals)
    return f"(?:{'|'.join(spelled)})"


_PASSES: Mapping[Gate, Callable[[bytes], bool]] = {
    "at": lambda text: b"@" in text,
    "auth": _passes_auth,
    "digits": _passes_digits,
    "prefix": _passes_prefix,
    "word": _passes_word,
}
_PATTERNS: Mapping[Gate, str] = {
    "at": "@",
    "auth": _AUTH,
    "digits": rf"[0-9](?:[ \-().+/\x{{c2}}\x{{a0}}]*[0-9]){{8}}|{_IBAN_OR_PHONE_FIELD}",
    "prefix": _PREFIX,
    "word": f"(?i:{_any_of(_WORDS)}|{_PASS_WORD})",
}
_SPELLED = re.escape(_ANY_CHARACTER.decode())
_ANY_GATE = "|".join(f"(?:{pattern})" for pattern in (*_PATTERNS.values(), _SPELLED))
