"""Planted secrets: a generator of values and of places to put them, written from the vendors' formats and not from memloop's rules.

It uses no pattern, alphabet or template of ``secret_rules``: values are drawn from the documented shapes, sentences and fields from what
people write. What its first run changed in the rules, and what they still miss, stands in ``docs/redaction.md``.
"""

import base64
import json
import random
import string
from collections.abc import Callable, Mapping
from typing import Any

LETTERS, DIGITS = string.ascii_letters, string.digits
URL_SAFE = LETTERS + DIGITS + "-_"
Draw = random.Random


def drawn(draw: Draw, alphabet: str, length: int) -> str:
    return "".join(draw.choice(alphabet) for _ in range(length))


def jwt(draw: Draw) -> str:
    header = {"alg": draw.choice(["HS256", "RS256", "ES384"]), "typ": "JWT"}
    claims = {"sub": drawn(draw, DIGITS, 10), "iat": draw.randrange(10**9, 2 * 10**9), "name": drawn(draw, LETTERS, 8)}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join([*parts, drawn(draw, URL_SAFE, 43)])


def pem(draw: Draw) -> str:
    kind = draw.choice(["RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"])
    body = "\n".join(drawn(draw, LETTERS + DIGITS + "+/", 64) for _ in range(draw.randrange(3, 9)))
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"


KEYS: Mapping[str, Callable[[Draw], str]] = {
    "openai": lambda d: "sk-" + drawn(d, LETTERS + DIGITS, 48),
    "openai project": lambda d: "sk-proj-" + drawn(d, URL_SAFE, 74) + "T3BlbkFJ" + drawn(d, URL_SAFE, 74),
    "anthropic": lambda d: "sk-ant-api03-" + drawn(d, URL_SAFE, 93) + "AA",
    "aws id": lambda d: d.choice(["AKIA", "ASIA"]) + drawn(d, string.ascii_uppercase + "234567", 16),
    "github": lambda d: d.choice(["ghp_", "gho_", "ghs_"]) + drawn(d, LETTERS + DIGITS, 36),
    "github fine": lambda d: f"github_pat_{drawn(d, LETTERS + DIGITS, 22)}_{drawn(d, LETTERS + DIGITS, 59)}",
    "google": lambda d: "AIzaSy" + drawn(d, URL_SAFE, 33),
    "slack": lambda d: (
        f"xox{d.choice('bp')}-{drawn(d, DIGITS, 12)}-{drawn(d, DIGITS, 13)}-{drawn(d, LETTERS + DIGITS, 24)}"
    ),
    "stripe": lambda d: d.choice(["sk_live_", "rk_live_"]) + drawn(d, LETTERS + DIGITS, d.choice([24, 99])),
    "hugging face": lambda d: "hf_" + drawn(d, LETTERS, 34),
    "gitlab": lambda d: "glpat-" + drawn(d, URL_SAFE, 20),
    "npm": lambda d: "npm_" + drawn(d, LETTERS + DIGITS, 36),
    "sendgrid": lambda d: f"SG.{drawn(d, URL_SAFE, 22)}.{drawn(d, URL_SAFE, 43)}",
    "jwt": jwt,
    "pem": pem,
}


def password(draw: Draw) -> str:
    words = ["falcon", "Winter", "kitchen", "Orbit", "sunrise", "maple"]
    return draw.choice(words) + draw.choice("!#$%*?") + drawn(draw, DIGITS, 3) + draw.choice(words)


CONTEXTS: Mapping[str, tuple[Callable[[Draw], str], tuple[str, ...]]] = {
    "aws secret": (
        lambda d: drawn(d, LETTERS + DIGITS + "/+", 40),
        ("AWS_SECRET_ACCESS_KEY=%s", "aws_secret_access_key = %s", 'SecretAccessKey: "%s"'),
    ),
    "api key": (
        lambda d: drawn(d, LETTERS + DIGITS, 32),
        ("API_KEY=%s", "api_key: %s", "my api key is %s", "x-api-key: %s", "?api_key=%s&page=2"),
    ),
    "token": (lambda d: drawn(d, "0123456789abcdef", 40), ("ACCESS_TOKEN=%s", "refresh_token: '%s'", "&token=%s")),
    "password": (password, ("password: %s", "PASSWORD=%s", "the password is %s", "DB_PASSWORD='%s'", "passwd=%s")),
    "url": (password, ("postgres://app:%s@db.internal:5432/shop", "https://robot:%s@registry.example.org/v2/")),
    "bearer": (lambda d: drawn(d, URL_SAFE, 40), ("Authorization: Bearer %s", "curl -H 'authorization: bearer %s'")),
    "basic": (
        lambda d: base64.b64encode(f"user:{password(d)}".encode()).decode(),
        ("Authorization: Basic %s", "Proxy-Authorization: basic %s"),
    ),
}
FIELDS = ("password", "api_key", "clientSecret", "auth-token", "DB_PASSWORD", "AccessToken", "secret_access_key")


def luhn_digit(digits: str) -> str:
    total = 0
    for place, char in enumerate(reversed(digits + "0")):
        value = int(char) * (2 if place % 2 else 1)
        total += sum(map(int, str(value)))
    return str(-total % 10)


def card(draw: Draw) -> str:
    prefix, length = draw.choice(
        [("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("3528", 16)]
    )
    digits = prefix + drawn(draw, DIGITS, length - len(prefix) - 1)
    digits += luhn_digit(digits)
    cuts = (4, 10) if length == 15 else (4, 8, 12)
    between = draw.choice(["", " ", "-"])
    return between.join(digits[a:b] for a, b in zip((0, *cuts), (*cuts, None), strict=True))


def iban(draw: Draw) -> str:
    country, body = draw.choice(
        [
            ("DE", drawn(draw, DIGITS, 18)),
            ("GB", drawn(draw, string.ascii_uppercase, 4) + drawn(draw, DIGITS, 14)),
            ("FR", drawn(draw, DIGITS, 20) + "P" + drawn(draw, DIGITS, 2)),
            ("NL", "ABNA" + drawn(draw, DIGITS, 10)),
            ("ES", drawn(draw, DIGITS, 20)),
            ("CH", drawn(draw, DIGITS, 17)),
        ]
    )
    number = "".join(str(ord(c) - 55) if c.isalpha() else c for c in f"{body}{country}00")
    plain = f"{country}{98 - int(number) % 97:02d}{body}"
    return " ".join(plain[i : i + 4] for i in range(0, len(plain), 4)) if draw.random() < 0.5 else plain


def email(draw: Draw) -> str:
    person = drawn(draw, string.ascii_lowercase, draw.randrange(2, 9))
    more = draw.choice(["", ".mc-" + drawn(draw, string.ascii_lowercase, 4), "+news", "_" + drawn(draw, DIGITS, 2)])
    domain = drawn(draw, string.ascii_lowercase, draw.randrange(3, 10))
    return f"{person}{more}@{draw.choice(['', 'mail.'])}{domain}.{draw.choice(['com', 'de', 'co.uk', 'io', 'museum'])}"


def phone(draw: Draw) -> str:
    def n(count: int) -> str:
        return drawn(draw, "23456789", count)

    return draw.choice(
        [
            f"+1 {n(3)} {n(3)} {n(4)}",
            f"+1-{n(3)}-{n(3)}-{n(4)}",
            f"({n(3)}) {n(3)}-{n(4)}",
            f"{n(3)}-{n(3)}-{n(4)}",
            f"{n(3)}.{n(3)}.{n(4)}",
            f"+49 15{n(1)} {n(8)}",
            f"+49 (0)30 {n(7)}",
            f"+44 7{n(3)} {n(6)}",
            f"07{n(3)} {n(6)}",
            f"+33 6 {n(2)} {n(2)} {n(2)} {n(2)}",
            f"0{n(3)}/{n(7)}",
            f"+91{n(10)}",
        ]
    )


PERSONAL: Mapping[str, Callable[[Draw], str]] = {"card": card, "iban": iban, "email": email, "phone": phone}
SENTENCES = (
    "Please use %s for this.",
    "%s",
    "I tried it (%s) twice already",
    "Here you go:\n%s\nThanks!",
    "first line\t%s",
    '{"note": "%s"} is what came back',
    "it says '%s', does that help?",
    "mine: %s, yours?",
)


def plant(draw: Draw, kind: str) -> tuple[str, str, str | None]:
    """Return a value of a kind, text that holds it, and the name of a field that alone gives it away, where there is one."""
    if kind == "field":
        value = password(draw)
        return value, value, draw.choice(FIELDS)
    if kind in CONTEXTS:
        make, templates = CONTEXTS[kind]
        value = make(draw)
        return value, draw.choice(templates) % value, None
    value = {**KEYS, **PERSONAL}[kind](draw)
    escaped = value if kind != "pem" else value.replace("\n", draw.choice(["\n", "\\n"]))
    sentence = draw.choice([s for s in SENTENCES if kind != "pem" or "{" not in s])
    return escaped, sentence % escaped, None


POSITIONS: tuple[Callable[[str, str | None], dict[str, Any]], ...] = (
    lambda text, name: {"type": "message", "role": "user", "content": {name: text} if name else text},
    lambda text, name: {
        "type": "message",
        "role": "user",
        "content": [{"type": "text", "text": text, name or "x": text}],
    },
    lambda text, name: {"type": "tool_call", "tool": "http", "args": {"deep": [{"er": {name or "body": text}}]}},
    lambda text, name: {
        "type": "tool_call",
        "tool": "http",
        "args": {},
        "result": json.dumps({"a": [{name or "v": text}]}),
    },
    lambda text, name: {
        "type": "error",
        "error": "failed",
        "context": {"seen": json.dumps(json.dumps({name or "e": text}))},
    },
    lambda text, name: {"type": "decision", "decision": "retry", "rationale": {name: text} if name else text},
    lambda text, name: {
        "type": "message",
        "role": "bot",
        "content": "ok",
        "metadata": {"trace": [[{name or "t": text}]]},
    },
    lambda text, name: {"type": "error", "error": "bad key", "context": {name: text} if name else {text: 1}},
    lambda text, name: {
        "type": "message",
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "f", "arguments": json.dumps({name or "q": text, "n": 3})}}],
    },
)
KINDS_OF_KEYS = (*KEYS, *CONTEXTS, "field")
KINDS = (*KINDS_OF_KEYS, *PERSONAL)
