"""The published forms of keys: what a vendor's key starts with, and what follows. One rule of ``secret_rules`` looks for all of them.

Vendors whose keys are frequent enough in logs of agents to be counted apart have rules of their own there. Forms are those of the vendors'
documentation and of the secret scanners that vendors report them to.
"""

import re
from collections.abc import Iterator

# A key may follow an escaped line end where JSON lies inside text.
START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"

_HEX = "[0-9a-f]"
_ALNUM = "[A-Za-z0-9]"
_BODIES: dict[str, str] = {
    **dict.fromkeys(
        ("xai-", "gsk_", "pplx-", "lin_api_", "lin_oauth_", "tvly-"), _ALNUM + "{30,}|dev-" + _ALNUM + "{20,}"
    ),
    **dict.fromkeys(
        ("r8_", "fw_", "whsec_", "rubygems_", "NRAK-", "NRII-", "CLOJARS_", "ntn_", "secret_"), _ALNUM + "{20,}"
    ),
    **dict.fromkeys(
        ("nvapi-", "pcsk_", "hvs.", "hvb.", "hvr.", "ya29.", "sntrys_", "sntryu_", "figd_", "pypi-AgE"),
        r"[\w+/=-]{20,}",
    ),
    **dict.fromkeys(
        ("dckr_pat_", "dckr_oat_", "sq0atp-", "sq0csp-", "GOCSPX-", "pscale_tkn_", "pscale_pw_", "phx_"), r"[\w-]{20,}"
    ),
    **dict.fromkeys(
        ("glptt-", "gldt-", "glrt-", "glrtr-", "glsoat-", "glcbt-", "glimt-", "glft-", "gloas-", "GR1348941"),
        r"[\w-]{18,}",
    ),
    **dict.fromkeys(("shpat_", "shpca_", "shppa_", "shpss_", "dapi", "key-"), _HEX + r"{32}(?:-\d)?(?![\w-])"),
    **dict.fromkeys(("dop_v1_", "doo_v1_", "dor_v1_", "sbp_"), _HEX + "{40,}"),
    **dict.fromkeys(("lsv2_pt_", "lsv2_sk_"), _HEX + "{20,}_" + _HEX + "{6,}"),
    **dict.fromkeys(("sk-lf-", "pk-lf-"), _HEX + "{8}-[0-9a-f-]{27}"),
    **dict.fromkeys(("dp.pt.", "dp.st.", "dp.ct."), r"[\w.]{30,}"),
    **dict.fromkeys(("ATATT3", "ATCTT3", "ATBB"), r"[\w=-]{24,}"),
    **dict.fromkeys(("glsa_", "glc_"), r"[\w+/=]{32,}"),
    "xapp-": r"\d-[A-Z0-9]+-\d+-[0-9a-f]{20,}",
    "PMAK-": _HEX + "{24}-" + _HEX + "{34}",
    "AGE-SECRET-KEY-1": "[A-Z0-9]{50,}",
    "ops_eyJ": r"[\w=-]{100,}",
    "fm2_": r"[\w+/=,-]{40,}",
    "dt0c01.": r"[A-Z0-9]{24}\.[A-Z0-9]{64}",
    "hooks.slack.com/": r"(?:services|workflows)/[\w/]{20,}",
    "discord.com/api/webhooks/": r"\d{15,}/[\w-]{40,}",
}
_KEYS = tuple(
    (prefix, re.compile(f"{START}{re.escape(prefix)}(?:{body})", re.ASCII)) for prefix, body in _BODIES.items()
)
# No prefix, but a form: a bot of Discord and of Telegram, a client secret of Azure, tokens of Terraform Cloud and of Airtable.
_FORMS = (
    r"(?<![A-Za-z0-9])[MNO][A-Za-z0-9]{23,27}\.[\w-]{6}\.[\w-]{27,40}",
    r"(?<!\d)\d{8,10}:AA[\w-]{33}",
    r"[\w.~-]{3}\dQ~[\w.~-]{31,34}",
    r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}",
    r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}",
)
_FORMED = re.compile("|".join(_FORMS), re.ASCII)
BEGINNINGS: tuple[str, ...] = tuple(_BODIES)
"""What keys of a published form begin with."""
FORMS = (
    r"[MNO][A-Za-z0-9]{23,27}\.[0-9A-Za-z_\-]{6}\.|AA[0-9A-Za-z_\-]{33}|pat[A-Za-z0-9]{14}\."
    r"|Q~[0-9A-Za-z_.~\-]{31}|\.atlasv1\.[0-9A-Za-z_\-]{60}"
)
"""What is found in each key that has a form and no beginning of its own; for RE2 and for Python alike."""
_SEEN_FORMS = re.compile(FORMS)


def find_vendor_keys(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the keys of a text start and end, in their order."""
    spans = [match.span() for match in _FORMED.finditer(text)] if _SEEN_FORMS.search(text) else []
    for prefix, pattern in _KEYS:
        place = text.find(prefix)
        while place >= 0:
            match = pattern.match(text, place)
            if match and any(char.isdigit() for char in match[0]):
                spans.append(match.span())
            place = text.find(prefix, match.end() if match else place + 1)
    last = 0
    for start, end in sorted(spans):
        if start >= last:
            yield start, end
            last = end
