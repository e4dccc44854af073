"""Makes secrets as their issuers write them, by another hand than the rules that must find them.

This module and `foreign_places.py` were written without sight of the redaction rules, their documentation or the author's own generator,
from the vendors' public descriptions of their keys and from what logs of agents look like. Nothing here is a real secret: every
character is drawn from a seeded generator. `memloop_tests/trajectories/test_foreign_secrets.py` holds the recall on them.
"""

import base64
import json
import random
import string
from collections.abc import Callable
from dataclasses import dataclass

ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
URLSAFE = ALNUM + "-_"
BASE64 = ALNUM + "+/"
BASE32 = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class Secret:
    """One secret: `text` is what a log holds, `core` the part of it that must not survive, `flavour` whose or which form it is."""

    kind: str
    flavour: str
    text: str
    core: tuple[str, ...]


def drawn(rng: random.Random, alphabet: str, length: int) -> str:
    """Return `length` characters of `alphabet`, with a digit among them where the alphabet has any."""
    drawn_characters = rng.choices(alphabet, k=length)
    if "7" in alphabet and not any(character.isdigit() for character in drawn_characters):
        drawn_characters[length // 2] = "7"
    return "".join(drawn_characters)


def _pattern(rng: random.Random, pattern: list[tuple[str, int] | str]) -> str:
    return "".join(part if isinstance(part, str) else drawn(rng, *part) for part in pattern)


# A vendor's key: fixed text and runs of drawn characters. Several entries of one vendor are its several kinds of key.
KEYS: dict[str, list[tuple[str, int] | str]] = {
    "openai legacy": ["sk-", (ALNUM, 20), "T3BlbkFJ", (ALNUM, 20)],
    "openai project": ["sk-proj-", (URLSAFE, 73), "aT3BlbkFJ", (URLSAFE, 73), "A"],
    "openai service account": ["sk-svcacct-", (URLSAFE, 73), "aT3BlbkFJ", (URLSAFE, 73), "A"],
    "openai admin": ["sk-admin-", (URLSAFE, 57), "aT3BlbkFJ", (URLSAFE, 57), "A"],
    "anthropic": ["sk-ant-api03-", (URLSAFE, 93), "AA"],
    "anthropic admin": ["sk-ant-admin01-", (URLSAFE, 93), "AA"],
    "anthropic oauth": ["sk-ant-oat01-", (URLSAFE, 93), "AA"],
    "aws access key": ["AKIA", (BASE32, 16)],
    "aws session key": ["ASIA", (BASE32, 16)],
    "google api": ["AIza", (URLSAFE, 35)],
    "google oauth": ["ya29.a0", (URLSAFE, 140), "Q"],
    "google client secret": ["GOCSPX-", (URLSAFE, 27), "k"],
    "github personal": ["ghp_", (ALNUM, 36)],
    "github app": ["ghs_", (ALNUM, 36)],
    "github oauth": ["gho_", (ALNUM, 36)],
    "github fine-grained": ["github_pat_", (ALNUM, 22), "_", (ALNUM, 59)],
    "gitlab personal": ["glpat-", (URLSAFE, 19), "z"],
    "gitlab runner": ["glrt-", (URLSAFE, 19), "z"],
    "slack bot": ["xoxb-", ("123456789", 12), "-", ("123456789", 13), "-", (ALNUM, 24)],
    "slack user": ["xoxp-", ("123456789", 12), "-", ("123456789", 12), "-", ("123456789", 13), "-", (HEX, 32)],
    "slack app": ["xapp-1-A", (UPPER, 10), "-", ("123456789", 13), "-", (HEX, 64)],
    "slack webhook": ["https://hooks.slack.com/services/T", (UPPER, 10), "/B", (UPPER, 10), "/", (ALNUM, 24)],
    "stripe secret": ["sk_live_", (ALNUM, 99)],
    "stripe secret, short": ["sk_live_", (ALNUM, 24)],
    "stripe restricted": ["rk_live_", (ALNUM, 99)],
    "stripe test": ["sk_test_", (ALNUM, 99)],
    "stripe webhook": ["whsec_", (ALNUM, 32)],
    "sendgrid": ["SG.", (URLSAFE, 21), "w.", (URLSAFE, 42), "w"],
    "hugging face": ["hf_", (string.ascii_letters, 34)],
    "npm": ["npm_", (ALNUM, 36)],
    "pypi": ["pypi-AgEIcHlwaS5vcmcC", (URLSAFE, 150), "w"],
    "databricks": ["dapi", (HEX, 32)],
    "digitalocean": ["dop_v1_", (HEX, 64)],
    "shopify": ["shpat_", (HEX, 32)],
    "discord bot": ["MTE", (ALNUM, 21), ".G", (URLSAFE, 5), ".", (URLSAFE, 37), "w"],
    "telegram bot": [("123456789", 10), ":AA", (URLSAFE, 32), "w"],
    "groq": ["gsk_", (ALNUM, 52)],
    "xai": ["xai-", (ALNUM, 80)],
    "perplexity": ["pplx-", (ALNUM, 48)],
    "replicate": ["r8_", (ALNUM, 37)],
    "openrouter": ["sk-or-v1-", (HEX, 64)],
    "deepseek": ["sk-", (HEX, 32)],
    "nvidia": ["nvapi-", (URLSAFE, 63), "w"],
    "fireworks": ["fw_", (ALNUM, 24)],
    "tavily": ["tvly-dev-", (ALNUM, 32)],
    "langsmith": ["lsv2_pt_", (HEX, 32), "_", (HEX, 10)],
    "langfuse": ["sk-lf-", (HEX, 8), "-", (HEX, 4), "-4", (HEX, 3), "-a", (HEX, 3), "-", (HEX, 12)],
    "pinecone": ["pcsk_", (ALNUM, 6), "_", (ALNUM, 63)],
    "vault": ["hvs.CAESI", (URLSAFE, 86), "w"],
    "terraform cloud": [(ALNUM, 14), ".atlasv1.", (URLSAFE, 66), "w"],
    "linear": ["lin_api_", (ALNUM, 40)],
    "notion": ["ntn_", ("123456789", 11), (ALNUM, 35)],
    "atlassian": ["ATATT3xFfGF0", (URLSAFE, 171), "=", (UPPER, 8)],
    "airtable": ["pat", (ALNUM, 14), ".", (HEX, 64)],
    "postman": ["PMAK-", (HEX, 24), "-", (HEX, 34)],
    "new relic": ["NRAK-", (UPPER, 27)],
    "grafana": ["glsa_", (ALNUM, 32), "_", (HEX, 8)],
    "doppler": ["dp.pt.", (ALNUM, 43)],
    "supabase": ["sbp_", (HEX, 40)],
    "docker hub": ["dckr_pat_", (URLSAFE, 26), "w"],
    "square": ["sq0atp-", (URLSAFE, 21), "w"],
    "mailgun": ["key-", (HEX, 32)],
    "azure client secret": [(ALNUM, 3), "8Q~", (ALNUM + "_-.~", 33), "w"],
    "age": ["AGE-SECRET-KEY-1", ("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58)],
}


def provider_key(rng: random.Random) -> Secret:
    """Return a key of one of the vendors of `KEYS`, each as likely as the other."""
    vendor = rng.choice(list(KEYS))
    text = _pattern(rng, KEYS[vendor])
    return Secret("provider_key", vendor, text, (text,))


def jwt(rng: random.Random) -> Secret:
    """Return a JSON web token with a plausible header, claims and a signature of the length of its algorithm."""
    algorithm, length = rng.choice([("HS256", 43), ("RS256", 342), ("ES256", 86), ("EdDSA", 86)])
    header: dict[str, str] = {"alg": algorithm, "typ": "JWT"} | (
        {"kid": drawn(rng, HEX, 8)} if rng.random() < 0.4 else {}
    )
    claims = {
        "sub": drawn(rng, LOWER, 12),
        "iat": 1_770_000_000 + rng.randrange(10**6),
        "scope": rng.choice(["read", "admin openid"]),
    }
    parts = [
        base64.urlsafe_b64encode(json.dumps(part, separators=(",", ":")).encode()).decode().rstrip("=")
        for part in (header, claims)
    ]
    text = ".".join([*parts, drawn(rng, URLSAFE, length - 1) + "w"])
    return Secret("jwt", algorithm, text, (text[len(parts[0]) :],))


def pem(rng: random.Random) -> Secret:
    """Return a private key in PEM or PGP armour: lines as OpenSSL, ssh-keygen and GnuPG break them."""
    label, start, length, width = rng.choice(
        [
            ("RSA PRIVATE KEY", "MIIEpAIBAAKCAQEA", 1592, 64),
            ("PRIVATE KEY", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", 1624, 64),
            ("EC PRIVATE KEY", "MHcCAQEEI", 164, 64),
            ("ENCRYPTED PRIVATE KEY", "MIIFHDBOBgkqhkiG9w0BBQ0wQTApBgkq", 1768, 64),
            ("OPENSSH PRIVATE KEY", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUA", 1800, 70),
            ("PGP PRIVATE KEY BLOCK", "lQOYBG", 1200, 64),
        ]
    )
    body = start + drawn(rng, BASE64, length - len(start))
    lines = [body[at : at + width] for at in range(0, len(body), width)]
    extra = ["", *lines, "=" + drawn(rng, BASE64, 4)] if label.startswith("PGP") else lines
    text = "\n".join([f"-----BEGIN {label}-----", *extra, f"-----END {label}-----"])
    return Secret("pem", label, text, tuple(lines))


def _password(rng: random.Random) -> str:
    words = ["Sommer", "tiger", "Winter", "dragon", "Coffee", "falcon", "Orchid", "mango", "Berlin", "rocket"]
    return rng.choice(
        [
            rng.choice(words) + str(rng.randrange(1950, 2030)) + rng.choice("!?#*$"),
            drawn(rng, ALNUM, rng.randint(8, 20)),
            drawn(rng, ALNUM + "!%^*-_+", rng.randint(10, 18)) + "9",
            "-".join(rng.sample([word.lower() for word in words], 3)) + str(rng.randrange(10, 99)),
            (
                rng.choice(words).replace("o", "0").replace("e", "3").replace("a", "4")
                + "_"
                + drawn(rng, string.digits, 4)
            ),
        ]
    )


def password(rng: random.Random) -> Secret:
    """Return a password as people choose them and as generators write them."""
    text = _password(rng)
    return Secret("password", "password", text, (text,))


def generic_secret(rng: random.Random) -> Secret:
    """Return a secret without a form of its own: it is known by the name beside it alone."""
    flavour, text = rng.choice(
        [
            ("hex 32", drawn(rng, HEX, 32)),
            ("hex 64", drawn(rng, HEX, 64)),
            ("alphanumeric 32", drawn(rng, ALNUM, 32)),
            ("alphanumeric 40", drawn(rng, ALNUM, 40)),
            ("base64 40", drawn(rng, BASE64, 40)),
            ("base64 44", drawn(rng, BASE64, 43) + "="),
            ("urlsafe 43", drawn(rng, URLSAFE, 42) + "w"),
            ("uuid", _pattern(rng, [(HEX, 8), "-", (HEX, 4), "-4", (HEX, 3), "-b", (HEX, 3), "-", (HEX, 12)])),
            ("django", drawn(rng, LOWER + "!@#$%^&*(-_=+)", 49) + "k"),
        ]
    )
    return Secret("generic_secret", flavour, text, (text,))


def url_credentials(rng: random.Random) -> Secret:
    """Return a URL with a password, or a token, before the host."""
    host = rng.choice(
        ["db.internal", "10.0.4.17", "prod-cluster.a1b2c.mongodb.net", "localhost", "cache.eu-west-1.amazonaws.com"]
    )
    secret = rng.choice(
        [_password(rng).replace("#", "%23").replace("?", "%3F").replace("%^", "%25"), drawn(rng, ALNUM, 24)]
    )
    flavour, text = rng.choice(
        [
            ("postgres", f"postgresql://app_user:{secret}@{host}:5432/orders?sslmode=require"),
            ("sqlalchemy", f"postgresql+psycopg2://svc:{secret}@{host}/billing"),
            ("mysql", f"mysql://root:{secret}@{host}:3306/shop"),
            ("redis", f"redis://:{secret}@{host}:6379/0"),
            ("redis tls", f"rediss://default:{secret}@{host}:6380"),
            ("amqp", f"amqp://guest:{secret}@{host}:5672/%2Fvhost"),
            ("mongodb", f"mongodb+srv://admin:{secret}@{host}/test?retryWrites=true&w=majority"),
            ("git token", f"https://x-access-token:{secret}@github.com/acme/widgets.git"),
            ("git oauth", f"https://oauth2:{secret}@gitlab.com/acme/widgets.git"),
            ("https", f"https://deploy:{secret}@artifacts.example.com/simple/"),
            ("proxy", f"http://proxyuser:{secret}@{host}:3128"),
            ("ftp", f"ftp://upload:{secret}@{host}/in"),
            ("smtp", f"smtps://mailer%40example.com:{secret}@{host}:465"),
            ("sentry", f"https://{drawn(rng, HEX, 32)}:{secret}@o4501.ingest.example.io/77"),
        ]
    )
    return Secret("url_credentials", flavour, text, (secret,))


def auth_header(rng: random.Random) -> Secret:
    """Return the value of an Authorization header: a bearer token without a form of its own, or name and password in base64."""
    if rng.random() < 0.6:
        token = rng.choice(
            [drawn(rng, URLSAFE, 42) + "w", drawn(rng, HEX, 40), drawn(rng, ALNUM, 28), drawn(rng, BASE64, 62) + "=="]
        )
        scheme = rng.choice(["Bearer", "Bearer", "bearer", "BEARER", "Token", "token"])
        return Secret("auth_header", scheme.lower(), f"{scheme} {token}", (token,))
    user = rng.choice(["admin", "svc-agent", "anna", "api"])
    token = base64.b64encode(f"{user}:{_password(rng)}".encode()).decode()
    return Secret("auth_header", "basic", f"{rng.choice(['Basic', 'Basic', 'basic'])} {token}", (token,))


KEY_KINDS: dict[str, Callable[[random.Random], Secret]] = {
    "provider_key": provider_key,
    "jwt": jwt,
    "pem": pem,
    "url_credentials": url_credentials,
    "auth_header": auth_header,
    "generic_secret": generic_secret,
    "password": password,
}
