"""The rules that find secrets and personal data in text: one name each, so that each can be switched off.

Here is what counts as a find and where it starts and ends; what is put in its place, and in which positions of a log line it is looked
for, is the business of ``redaction``. Patterns are bounded or consume what they refuse, so hostile text costs time linear in its length.
"""

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from memloop_assets.trajectories.vendor_keys import START, find_vendor_keys

Span = tuple[int, int]
Gate = Literal["at", "auth", "digits", "prefix", "word"]

_DOMAIN = re.compile(r"@(?:[\w-]{1,63}\.){1,8}([^\W\d_]{2,24})")
_LOCAL = re.compile(
    r"(?:[\w.%+-]{0,40}\b[dlmno]')?[\w.%+-]{1,64}$", re.IGNORECASE
)  # with the apostrophe of O'Brien, D'Angelo
_ALNUM = re.compile(r"[A-Za-z0-9]")
_FILE_ENDINGS = {"css", "gif", "jpeg", "jpg", "js", "png", "py", "svg", "ts", "webp"}
_IBAN = re.compile(
    r"\d\d(?<=[A-Za-z]{2}\d\d)(?:(?<![A-Za-z0-9].{4})|(?<=\\[nrt].{4}))(?:[ -]?[A-Za-z0-9]){11,30}", re.DOTALL
)
_IBAN_SIZES = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 "
    "FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 "
    "LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 "
    "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
)
_IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBAN_SIZES.split()}
_CARD = re.compile(
    r"[2-6](?:(?<![0-9A-Za-z].)|(?<=\\[nrt].))(?<!\d\..)"
    r"(?:\d{12,18}|\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{3}([ -])\d{6}\2\d{4,5})(?![0-9A-Za-z])"
)
_DIALLED = re.compile(r"[+(\d](?<!\d\d)(?:[ .\-/()\u00a0]{0,3}\d){8,20}", re.ASCII)
_PHONES = (
    re.compile(r"(?:(?<![\w+])|(?<=\\[nrt]))\+[1-9](?:[ .\-/()\u00a0]{0,3}\d){8,14}(?!\w)", re.ASCII),
    re.compile(
        r"(?:(?<![\w.+-])|(?<=\\[nrt]))(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[.-])[2-9]\d{2}[.-]\d{4}(?![\w-])",
        re.ASCII,
    ),
    re.compile(
        r"(?:(?<![\w.+-])|(?<=\\[nrt]))(?!\d\d[ ./-]\d\d[ ./-]\d{4})"
        r"\(?0(?:0[1-9]|[1-9])\d{0,4}\)?(?: ?[ /-] ?)\d{2,8}(?:[ -]\d{2,8}){0,4}(?![\w-])",
        re.ASCII,
    ),
)
_CALL_ME = re.compile(
    r"(?i)\b(?:phone|tel|telephone|mobile|cell|whatsapp|fax|(?:call|text|reach) me)\.?(?:\s(?:number|no\.?|is|me|at|on))*[\s:=#\"'\\]{0,4}$"
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d\d[./]\d\d[./]\d{4}")
_NO_PASSWORD = {"false", "none", "null", "optional", "password", "redacted", "required", "string", "true", "undefined"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its name in ``memloop.toml``, the word of its placeholder, the gate that text must pass, and what finds it.

    ``is_certain`` marks the rules whose finds are never taken for anything else: none of theirs may reach a table.
    """

    name: str
    label: str
    gate: Gate
    find: Callable[[str], Iterator[Span]]
    is_certain: bool = True


def looks_random(text: str) -> bool:
    """Tell whether text has letters and digits mixed as keys have: 16 characters and 3 bits each, or 12 in both cases."""
    if not (re.search(r"\d", text) and re.search(r"[A-Za-z]", text)):
        return False
    both = text != text.lower() and text != text.upper()
    return (len(text) >= 16 and _entropy_bits(text) >= 3) or (len(text) >= 12 and both)


def is_password(text: str) -> bool:
    """Tell whether the value of a field named password is one: not a word of a schema, not masked already."""
    return len(text) >= 4 and text.lower() not in _NO_PASSWORD and len(set(text)) > 1 and not re.search(r"[\s<>]", text)


def is_card(digits: str) -> bool:
    """Tell whether 13 to 19 digits are a card number: a first digit that card networks use, and the Luhn sum (ISO/IEC 7812)."""
    if not 13 <= len(digits) <= 19 or not re.match(r"2[2-7]|[3-6]", digits) or len(set(digits)) == 1:
        return False
    doubled = (int(d) * 2 if place % 2 else int(d) for place, d in enumerate(reversed(digits)))
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def is_phone(text: str) -> bool:
    """Tell whether the value of a field named phone is a number: 7 to 15 digits and what stands between them."""
    return bool(re.fullmatch(r"\+?[\d \-().\u00a0/]+", text)) and 7 <= len(re.sub(r"\D", "", text)) <= 15


def _entropy_bits(text: str) -> float:
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _matching(
    pattern: str, accept: Callable[[str], bool] = bool, flags: re.RegexFlag = re.ASCII
) -> Callable[[str], Iterator[Span]]:
    """Return a finder of a pattern's last group that took part (or all of it), where what it holds is accepted."""
    compiled = re.compile(pattern, flags)

    def find(text: str) -> Iterator[Span]:
        for match in compiled.finditer(text):
            group = match.lastindex or 0
            if accept(match[group]):
                yield match.span(group)

    return find


def _prefixed(
    prefixes: tuple[str, ...], body: str, accept: Callable[[str], bool] = bool
) -> Callable[[str], Iterator[Span]]:
    """Return a finder of what starts with one of several literals: these are looked up first, which is much faster than a pattern."""
    compiled = re.compile(START + f"(?:{'|'.join(map(re.escape, prefixes))})" + body, re.ASCII)

    def find(text: str) -> Iterator[Span]:
        spans = []
        for prefix in prefixes:
            place = text.find(prefix)
            while place >= 0:
                match = compiled.match(text, place)
                if match and accept(match[0]):
                    spans.append(match.span())
                place = text.find(prefix, match.end() if match else place + 1)
        yield from sorted(spans)

    return find


def _find_email(text: str) -> Iterator[Span]:
    for match in _DOMAIN.finditer(text):
        start = match.start()
        local = _LOCAL.search(text, max(0, start - 64), start)
        if local and local[0] != "git" and match[1].lower() not in _FILE_ENDINGS:
            yield local.start(), match.end()


def _find_iban(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        start = match.start() - 2
        length = _IBAN_LENGTHS.get(text[start : start + 2].upper(), 99)
        places = [place for place in range(start, match.end()) if text[place].isalnum()][:length]
        end = places[-1] + 1
        plain = "".join(text[place] for place in places).upper()
        if len(plain) == length and not _ALNUM.match(text, end):
            number = int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4]))
            if number % 97 == 1:
                yield start, end


def _find_phone(text: str) -> Iterator[Span]:
    for region in _DIALLED.finditer(text):
        start, end = region.span()
        spans = [m.span() for pattern in _PHONES for m in pattern.finditer(text, start, min(end + 1, len(text)))][:1]
        said = _CALL_ME.search(text, max(0, start - 40), start)
        if not spans and said and not _DATE.match(text, start) and sum(map(str.isdigit, region[0])) <= 15:
            spans = [(start, end)]
        yield from (span for span in spans if 9 <= sum(map(str.isdigit, text[slice(*span)])) <= 15)


def _find_card(text: str) -> Iterator[Span]:
    for match in _CARD.finditer(text):
        if is_card(re.sub(r"\D", "", match[0])):
            yield match.span()


def _is_provider_key(text: str) -> bool:
    """Tell a key from hyphenated words: a digit, and capitals or a long run without hyphens."""
    has_run = max(map(len, re.split(r"[-_]", text))) >= 20
    return bool(re.search(r"\d", text)) and (has_run or text != text.lower())


def _is_jwt(text: str) -> bool:
    head, *rest = text.rstrip(".").split(".")
    return len(head) >= 11 and bool(rest) and len(rest[0]) + len(rest[-1]) >= 8


def _is_basic(text: str) -> bool:
    try:
        return b":" in base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return False


def _is_mixed(text: str) -> bool:
    return any(char.isdigit() for char in text) or len({char.isupper() for char in text if char.isalpha()}) == 2


def _is_said_password(text: str) -> bool:
    return bool(re.search(r"[A-Za-z]", text)) and bool(re.search(r"[\d!@#$%^&*+=~?|]", text)) and is_password(text)


def _is_dialled(text: str) -> bool:
    return 9 <= sum(char.isdigit() for char in text) <= 15


def _find_assignment(text: str) -> Iterator[Span]:
    lower = text.lower()
    if len(lower) != len(text):  # a few letters grow when they are lowered; places must stay
        lower = "".join(char.lower() if char.isascii() else char for char in text)
    spans = [match.span(match.lastgroup or 0) for match in _COMMAND.finditer(text)] if _PROGRAM.search(text) else []
    for word, accept in _ASSIGNED.items():
        place = lower.find(word)
        while place >= 0:
            end = place + len(word)
            match = _value_after(text, lower, word, place)
            value = match and match.lastgroup
            if match and value and accept(match[value]) and not _REFERENCE.match(match[value]):
                start, end = match.span(value)
                rest = _REST.match(text, end) if value == "bare" else None
                end = rest.end() if rest else end
                spans.append((start, end))
            place = lower.find(word, end)
    last = 0
    for start, end in sorted(spans):
        if start >= last:
            yield start, end
            last = end


def _value_after(text: str, lower: str, word: str, place: int) -> re.Match[str] | None:
    """Return what stands as the value of a word that names secrets, where the word does so at this place."""
    end = place + len(word)
    if word == "key" and not (_KEY_OF.search(lower, max(0, place - 16), place) or text[place - 1 : end] == "_KEY"):
        return None
    if word in _WHOLE_WORDS and (lower[end : end + 1].isalpha() or _ALNUM.match(text, place - 1 if place else end)):
        return None
    found = _VALUE.match(text, end)
    if found is None and _FLAG.search(text, max(0, place - 40), place):
        found = _VALUE_OF_FLAG.match(text, end)
    if found is None and word in _PASSWORDS and word not in _WHOLE_WORDS:
        found = _SAID_BESIDE.match(text, end)
    return found


_PASSWORDS = ("password", "passwd", "passphrase", "pwd", "pass", "pw")
_WHOLE_WORDS = ("pass", "pw")
_FOREIGN = (
    "passwort",
    "kennwort",
    "contraseña",
    "mot de passe",
    "senha",
    "wachtwoord",
    "lösenord",
    "пароль",
    "密码",
    "パスワード",
)
_ASSIGNED: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys(("key", "secret", "token", "credential"), looks_random),
    **dict.fromkeys((*_PASSWORDS, *_FOREIGN), _is_said_password),
}
_KEY_OF = re.compile(r"(?:api|access|account|auth|encryption|master|private|role|signing|secret|storage)[ _-]?$")
_REFERENCE = re.compile(r"\$\{?\w+\}?$|\$\(|\{\{|%\(|[A-Za-z_][\w.]*\(|https?:|os\.environ|process\.env")
# A bracket or an ampersand belongs to a value that goes on, unless it opens the next field of a form.
_IN_VALUE = (
    r"(?:[^\s\"'\\,;<>{}\[\]()`&]|[()](?=[()&]{0,2}[\w!@#$%^*=+-])|&(?=[()]{0,2}[\w!@#$%^*=+-])(?![\w.-]{1,40}=))"
)
_QUOTED_OR_BARE = (
    rf"(?:[\"'`](?P<quoted>[^\s\"'`\\<>]{{6,512}})(?=[\"'`\\])|[\"'\\`]{{0,4}}(?P<bare>{_IN_VALUE}{{6,512}}))"
)
# Between a name and its value: a colon or the like, also as languages and YAML break it; a pair's comma; the field `value` beside it.
_BETWEEN = (
    r"(?:\s{0,3}(?::=|[:=]{1,2}>?|->|\uff1a)(?:\s{0,3}|[ \t]{0,3}[>|]?[-+]?\\?\r?\n[ \t]{1,20}|[ \t]{0,3}\(\s{0,20})"
    r"|\s{0,3}\b(?:is|was|lautet|es|est)\s{1,3}"
    r"|(?<=[\"'])\s{0,2},\s{0,3}(?=[\"'])"
    r"|,?\s{0,20}[\"'\\]{0,4}\bvalue[\"'\\]{0,4}\s{0,3}[:=]\s{0,3})"
)
_VALUE = re.compile(rf"[\w-]{{0,20}}[\"'\\`]{{0,4}}\]?{_BETWEEN}{_QUOTED_OR_BARE}", re.ASCII | re.IGNORECASE)
_FLAG = re.compile(r"(?<![\w-])--?[\w-]{0,38}$", re.ASCII)
_VALUE_OF_FLAG = re.compile(rf"[\w-]{{0,20}}\s{{1,3}}{_QUOTED_OR_BARE}", re.ASCII)
_SAID_BESIDE = re.compile(r"\s[\"'`]?(?P<said>(?=[^\s]{0,40}\d)[A-Za-z0-9][\w!@#$%^*+=~?-]{7,64})", re.ASCII)
_REST = re.compile(_IN_VALUE + "*")
# Programs that take a password as an argument without naming it.
_PROGRAM = re.compile(r"curl|wget|http|mysql|sshpass|redis-cli|secret")
_COMMAND = re.compile(
    r"\b(?:curl|wget|https?)\b[^\n|;]{0,200}?\s(?:-u|--(?:proxy-)?user)[ =][\"'\\]{0,3}[\w.@+-]{1,64}:"
    r"(?P<user>[^\s\"'\\$<{][^\s\"'\\]{3,128})"
    r"|\bmysql(?:dump|admin)?\b[^\n|;]{0,120}?\s-p(?P<mysql>[^\s\"'\\$<{-][^\s\"'\\]{3,64})"
    r"|\b(?:sshpass\s+-p|redis-cli\b[^\n|;]{0,120}?\s-a)\s{0,3}[\"'\\]{0,3}(?P<other>[^\s\"'\\$<{-][^\s\"'\\]{3,64})"
    r"|\b(?:secrets? (?:add|create|put|set)|(?:create|put)-secret(?:-value)?)\b[^\n|;]{0,120}?"
    r"\s(?:-b|--body|--data|--secret-string|--value)[ =]{1,2}[\"'\\]{0,3}(?P<kept>[^\s\"'\\$<{-][^\s\"'\\]{5,512})",
)

RULES: tuple[Rule, ...] = (
    Rule(
        "pem",
        "PEM",
        "prefix",
        _matching(
            r"-----BEGIN [A-Z0-9 ]{1,40}-----(?:(?:[^-]|-(?!----))*-----END [A-Z0-9 ]{1,40}-----|[A-Za-z0-9+/=\s\\]*)"
        ),
    ),
    Rule("url_credentials", "URL_CREDENTIALS", "at", _matching(r"://([^\s/:@\"'<>\\]*:[^\s/\"'<>\\]+|[\w-]{20,})@")),
    Rule("anthropic_key", "ANTHROPIC_KEY", "prefix", _prefixed(("sk-ant-",), r"[\w-]{20,}", _is_mixed)),
    Rule("openai_key", "OPENAI_KEY", "prefix", _prefixed(("sk-",), r"[\w-]{20,}", _is_provider_key)),
    Rule("aws_key", "AWS_KEY", "prefix", _prefixed(("AKIA", "ASIA", "ABIA", "ACCA"), r"[A-Z0-9]{16}(?![A-Za-z0-9])")),
    Rule(
        "aws_secret",
        "AWS_SECRET",
        "word",
        _matching(
            r"(?i)secret[_ -]?(?:access[_ -]?)?key[\"'\\]{0,4}\s{0,3}(?:[:=]|is)\s{0,3}[\"'\\]{0,4}([\w/+]{40})(?![\w/+=])"
        ),
    ),
    Rule(
        "github_key",
        "GITHUB_KEY",
        "prefix",
        _prefixed(("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), r"\w{30,}", _is_mixed),
    ),
    Rule("google_key", "GOOGLE_KEY", "prefix", _prefixed(("AIza",), r"[\w-]{35}(?![\w-])")),
    Rule("slack_key", "SLACK_KEY", "prefix", _prefixed(("xox",), r"[abeoprs]-[A-Za-z0-9-]{10,}", _is_mixed)),
    Rule("stripe_key", "STRIPE_KEY", "prefix", _prefixed(("sk_", "rk_"), r"(?:live|test)_[A-Za-z0-9]{16,}", _is_mixed)),
    Rule("huggingface_key", "HUGGINGFACE_KEY", "prefix", _prefixed(("hf_",), r"[A-Za-z0-9]{30,}")),
    Rule("gitlab_key", "GITLAB_KEY", "prefix", _prefixed(("glpat-",), r"[\w-]{20,}", _is_mixed)),
    Rule("npm_key", "NPM_KEY", "prefix", _prefixed(("npm_",), r"[A-Za-z0-9]{30,}", _is_mixed)),
    Rule("sendgrid_key", "SENDGRID_KEY", "prefix", _prefixed(("SG.",), r"[\w-]{16,64}\.[\w-]{16,}", _is_mixed)),
    Rule("vendor_key", "VENDOR_KEY", "prefix", find_vendor_keys),
    Rule("jwt", "JWT", "prefix", _prefixed(("eyJ",), r"[\w.-]{12,}", _is_jwt)),
    Rule("bearer", "BEARER", "auth", _matching(r"(?i)bearer +([\w.~+/=-]{16,})", _is_mixed)),
    Rule(
        "token",
        "TOKEN",
        "word",
        _matching(r"(?i)(?<!\w)(?:token|api-?key) +([\w.~+/=-]{16,})", looks_random),
        is_certain=False,
    ),
    Rule("basic", "BASIC_AUTH", "auth", _matching(r"(?i)basic +([A-Za-z0-9+/]{8,}={0,2})", _is_basic)),
    Rule(
        "assignment",
        "SECRET",
        "word",
        _find_assignment,
        is_certain=False,
    ),
    Rule("email", "EMAIL", "at", _find_email, is_certain=False),
    Rule("iban", "IBAN", "digits", _find_iban, is_certain=False),
    Rule(
        "card",
        "CARD",
        "digits",
        _find_card,
        is_certain=False,
    ),
    Rule("phone", "PHONE", "digits", _find_phone, is_certain=False),
)
"""Every rule, in the order in which they are applied: what is certain first, so that a key is named for what it is."""
