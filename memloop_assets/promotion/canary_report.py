"""A canary's week in a report: what happened, and what the live sessions of both routers showed.

Here: wording alone, of weeks in which a canary begins or runs. Not here: the rest of the page (``report``), any rule (``canary``).
"""

from collections.abc import Mapping
from typing import Any

from memloop_assets.promotion.decision import CANARY_WEEK
from memloop_assets.weeks import IsoWeek

_BEGUN = (
    "**On hold.** The gate accepts the challenger. As a *canary* it serves a share of the sessions first, and what is logged there "
    "decides. The champion stays until then."
)
_MEANING = {
    "promote": "**Promoted.** On live sessions the canary does no worse than the champion, and becomes the champion.",
    "reject": "**Rejected.** On live sessions the canary does worse than the champion, beyond chance. The champion stays.",
    "hold": "**On hold.** The live sessions do not decide about the canary yet. The champion stays.",
    "error": "**Error.** Something that the decision about the canary needs is missing or broken. The champion stays.",
}
_READING = (
    "The *canary* is a challenger that the gate accepted earlier. Chance dealt it a share of the sessions, the *champion* serves the "
    "others, and each session stays with one router. Since the canary began it served {canary_session_count:,} sessions, the champion "
    "{control_session_count:,}; of {canary_unknown_count:,} and {control_unknown_count:,} further trials nobody logged how they ended. "
    "Each bound is one-sided."
)
_ROWS = (
    ("reward", "mean reward, 0 to 1", "reward", "reward_delta"),
    ("failures", "share of failed trials", "error_ratio", "error_rate_increase"),
    ("latency", "latency in ms", "latency_ms", "latency_increase_ms"),
)


def canary_meaning(report: Mapping[str, Any]) -> str | None:
    """Return in a sentence what a canary's week came to; None for any other week."""
    week = report["comparison"].get(CANARY_WEEK)
    if week is None:
        return None
    return _MEANING[report["outcome"]] if week else _BEGUN


def is_judged(report: Mapping[str, Any]) -> bool:
    """Tell whether the week's decision was about a canary that ran, so that nothing was compared on a benchmark."""
    return bool(report["comparison"].get(CANARY_WEEK))


def canary_source(report: Mapping[str, Any]) -> str:
    """Return where it is told what the canary learned from: not this week's samples, but those of the week that began it."""
    begun = IsoWeek.parse(report["week"]).shift(-int(report["comparison"][CANARY_WEEK]))
    return f"What the canary learned from stands in the report of {begun}."


def canary_table(report: Mapping[str, Any]) -> str:
    """Return champion and canary side by side on live sessions, with the verdict on each metric; nothing where neither served."""
    numbers, findings = report["comparison"], {one["name"]: one for one in report["findings"]}
    rows = [
        f"| {title} | {numbers[f'control_{side}']:.4g} | {numbers[f'canary_{side}']:.4g} | "
        f"{numbers[delta]:+.4g} [{numbers[f'{delta}_lower']:+.4g}, {numbers[f'{delta}_upper']:+.4g}] | "
        f"{'**regression**' if findings[name]['is_against'] else 'no regression'} |"
        for name, title, side, delta in _ROWS
        if name in findings
    ]
    if not rows:
        return ""
    head = "| live sessions | champion | canary | difference [one-sided bounds] | |\n|---|---|---|---|---|"
    return "\n".join(["## What was measured", "", _READING.format(**numbers), "", head, *rows])
