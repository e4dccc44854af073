"""The report of an attempt: what a week learned from, what was measured, what was decided and where it comes from.

Pure: facts in, a row of ``training_report``, a JSON-ready document or a Markdown page out. Not here: gathering the facts (``audit``),
counting attempts and keeping files (``attempts``), deciding (``policy``).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memloop_assets.benchmarks.standing import default_fingerprint, no_own_benchmark
from memloop_assets.promotion.canary_report import canary_meaning, canary_source, canary_table, is_judged
from memloop_assets.promotion.control_section import CONTROLS, controls_section
from memloop_assets.promotion.tables import would_decide
from memloop_assets.routing.versions import LedgerRow
from memloop_assets.trajectories.formats.reader import canonical_json
from memloop_assets.weeks import IsoWeek

_MEASURED = (
    ("reward", "mean reward, 0 to 1", "reward_delta"),
    ("error_ratio", "share of failed tasks", "error_rate_increase"),
    ("cost_usd", "USD per call", None),
    ("latency_ms", "latency in ms", "latency_increase_ms"),
)
_MEANING = {
    "promote": "**Promoted.** The challenger is better than the champion beyond chance, and becomes the champion.",
    "reject": "**Rejected.** The evidence speaks against the challenger. The champion stays.",
    "hold": "**On hold.** There is not enough evidence to tell. The champion stays.",
    "skip": "**Skipped.** There was nothing new to learn from. The champion stays.",
    "error": "**Error.** Something that the decision needs is missing or broken. The champion stays.",
}
_READING = (
    "The *challenger* is the router trained on everything up to this week, the *champion* the one in service. Both chose an arm for "
    "the same {task_count:,} holdout tasks: these never teach, and what each arm achieves on them is known. One *point* is a hundredth "
    "of the reward."
)
_SHOWN_IDS = 5
_SHOWN_AT_ONCE = 900  # characters: from 1,000 on Dagster hides Markdown behind a click


@dataclass(frozen=True)
class Audit:
    """Everything that one attempt at a week used and came to.

    ``decision`` is the row of ``promotion_decision`` that the attempt computed; None where it came to none, and ``fault`` says why.
    ``standing`` is its first decision as the ledger has it. ``sample_ids`` are the trajectories of this week that teach the
    router, ``earlier_samples`` counts those of each earlier week. ``lineage`` maps tables to generations.
    """

    week: IsoWeek
    decision: Mapping[str, Any] | None = None
    fault: str | None = None
    standing: LedgerRow | None = None
    trajectory_count: int | None = None
    sample_ids: Sequence[str] = ()
    earlier_samples: Mapping[str, int] = field(default_factory=dict)
    is_snapshot_known: bool = False
    lineage: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_other(self) -> bool:
        """Tell whether the decision differs from the one that stands."""
        if self.standing is None or self.decision is None:
            return False
        return self.standing.is_other(self.decision["outcome"], self.decision["champion_after"])


def report_row(audit: Audit) -> dict[str, object]:
    """Return an audit as a row of ``training_report``: no clock, no attempt number, so equal inputs give equal rows."""
    decided = audit.decision
    outcome = str(decided["outcome"]) if decided else "error"
    reasons = json.loads(decided["reasons_json"]) if decided else [audit.fault or "The week came to no decision."]
    metrics = json.loads(decided["metrics_json"]) if decided else {}
    standing, champion = (audit.standing.action, audit.standing.to_version) if audit.standing else (None, None)
    return {
        "week": str(audit.week),
        "outcome": outcome,
        "ledger_outcome": standing,
        "would_decide_now": outcome if audit.is_other else None,
        "champion_before": decided["champion_before"] if decided else None,
        "champion_after": champion or (decided["champion_after"] if decided else None),
        "challenger": decided["challenger"] if decided else None,
        "promoted_version": champion if standing == "promote" else None,
        "trajectory_count": audit.trajectory_count,
        "new_sample_count": len(audit.sample_ids) if audit.is_snapshot_known else None,
        "sample_count": len(audit.sample_ids) + sum(audit.earlier_samples.values())
        if audit.is_snapshot_known
        else None,
        "sample_ids_json": canonical_json(list(audit.sample_ids)),
        "earlier_samples_json": canonical_json(dict(audit.earlier_samples)),
        "champion_metrics_json": canonical_json(_named(metrics, "baseline_")),
        "challenger_metrics_json": canonical_json(_named(metrics, "challenger_")),
        "comparison_json": canonical_json(
            {name: value for name, value in metrics.items() if not name.startswith(("baseline_", "challenger_"))}
        ),
        "findings_json": decided["findings_json"] if decided else "[]",
        "reasons_json": canonical_json(reasons),
        "policy_json": decided["policy_json"] if decided else "{}",
        "suite_fingerprint": decided["suite_fingerprint"] if decided else None,
        "lineage_json": canonical_json(dict(sorted(audit.lineage.items()))),
    }


def report_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of ``training_report`` as a document: columns of JSON become what they hold."""
    return {
        name.removesuffix("_json"): json.loads(value) if name.endswith("_json") else value
        for name, value in row.items()
    }


def report_page(report: Mapping[str, Any]) -> str:
    """Return a report (facts, and the attempt's id, time and run) as Markdown for a person."""
    dry = " (dry run: nothing was recorded, published or promoted)" if report["dry_run"] else ""
    reasons = "\n".join(f"- {reason}" for reason in report["reasons"])
    parts = [
        f"# {report['week']}, attempt {report['attempt']}: {_outcome(report)}{dry}",
        _meaning(report),
        "\n".join(["## Why", "", reasons, _standing_line(report), *_benchmark_lines(report)]),
        *([canary_table(report)] if is_judged(report) else _compared_tables(report)),
        f"## Where it comes from\n\n{_versions_line(report)}",
        canary_source(report) if is_judged(report) else _sources_text(report),
        _lineage_table(report["lineage"]),
        f"Report `{report['id']}`, {report['at']}, run `{report['run_id']}`",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def report_summary(report: Mapping[str, Any]) -> str:
    """Return the beginning of a report, short enough for the UI to show it without a click: what happened, and why."""
    told = [_meaning(report), *(f"- {reason}" for reason in report["reasons"])]
    shown = [line for place, line in enumerate(told) if len("\n".join(told[: place + 1])) < _SHOWN_AT_ONCE]
    left = len(told) - len(shown)
    more = [f"- and {left} more: see the report"] if left else []
    return "\n".join([shown[0], "", *shown[1:], *more])


def _outcome(report: Mapping[str, Any]) -> str:
    if report["would_decide_now"]:
        return f"would now {report['outcome']}; the ledger stands: {report['ledger_outcome']}"
    return str(report["outcome"])


def _meaning(report: Mapping[str, Any]) -> str:
    """Return what came of the week: by the ledger, where this attempt came to something else."""
    if report["would_decide_now"]:
        stands = f"**The ledger stands: {report['ledger_outcome']}.** The champion after this week is `{report['champion_after']}`."
        return f"{stands} On what lies there now the gate {would_decide(report)}, which moves nothing:"
    return canary_meaning(report) or _MEANING[report["outcome"]]


def _compared_tables(report: Mapping[str, Any]) -> list[str]:
    others = [one for one in report["findings"] if one["name"] not in CONTROLS]
    return [_measured_table(report), controls_section(report), _findings_table(others)]


def _versions_line(report: Mapping[str, Any]) -> str:
    unknown = "none" if report["champion_before"] else "not known"
    names = ("champion_before", "champion_after", "challenger")
    before, after, challenger = (f"`{report[name]}`" if report[name] else unknown for name in names)
    promoted = f"`{report['promoted_version']}`" if report["promoted_version"] else "nothing"
    return f"champion before: {before}, after: {after}, challenger: {challenger}, promoted: {promoted}"


def _standing_line(report: Mapping[str, Any]) -> str:
    if report["ledger_outcome"] is None:
        return "- The ledger holds no decision of this week."
    if report["would_decide_now"]:
        return (
            f"- The ledger stands: {report['ledger_outcome']}. On what lies there now the gate {would_decide(report)}."
        )
    return f"- The ledger says: {report['ledger_outcome']}."


def _benchmark_lines(report: Mapping[str, Any]) -> list[str]:
    """Return the line that a week without a benchmark of its own gets, whatever else decided it."""
    line = no_own_benchmark()
    is_missing = report["suite_fingerprint"] == default_fingerprint() and line not in report["reasons"]
    return [f"- {line}"] if is_missing else []


def _measured_table(report: Mapping[str, Any]) -> str:
    """Return champion and challenger side by side, with what the words mean; nothing where nothing was scored."""
    champion, challenger, compared = (report[name] for name in ("champion_metrics", "challenger_metrics", "comparison"))
    rows = [
        f"| {title} | {_number(champion.get(name))} | {_number(challenger.get(name))} | {_difference(compared, delta)} |"
        for name, title, delta in _MEASURED
        if name in champion or name in challenger
    ]
    if not rows:
        return ""
    if compared.get("utility_delta") is not None:
        rows.append(f"| reward net of cost | | | {_difference(compared, 'utility_delta')} |")
    head = "| | champion | challenger | difference [one-sided bounds] |\n|---|---|---|---|"
    return "\n".join(["## What was measured", "", _READING.format(**compared), "", head, *rows])


def _findings_table(findings: Sequence[Mapping[str, Any]]) -> str:
    """Return what else the challenger was held against; a veto is marked, and so is what could not be compared."""
    rows = [
        f"| {'**veto**' if one['is_against'] else 'not tested' if one['mean'] is None else 'no veto'} "
        f"| {one['name']} | {one['sentence']} |"
        for one in findings
    ]
    return "\n".join(["## Other tests", "", "| | held against | |", "|---|---|---|", *rows]) if rows else ""


def _sources_text(report: Mapping[str, Any]) -> str:
    if report["sample_count"] is None:
        return "What it learned from is not known: the week ended before that."
    ids = report["sample_ids"]
    shown = ", ".join(f"`{one}`" for one in ids[:_SHOWN_IDS])
    more = f" and {len(ids) - _SHOWN_IDS:,} more (all in the JSON file)" if len(ids) > _SHOWN_IDS else ""
    weeks = report["earlier_samples"]
    earlier = f"{sum(weeks.values()):,} of {len(weeks)} earlier weeks" if weeks else "none of earlier weeks"
    return (
        f"Learned from {report['sample_count']:,} samples: {len(ids):,} trajectories of this week and {earlier}.\n\n"
        f"{f'This week: {shown}{more}' if ids else 'This week: none'}"
    )


def _lineage_table(lineage: Mapping[str, str]) -> str:
    """Return one row per table: its newest generation, and how many earlier weeks it rests on; all are in the JSON file."""
    newest: dict[str, tuple[str, str]] = {}
    counts = Counter(label.rpartition(" ")[0] or label for label in lineage)
    for label, generation in sorted(lineage.items()):
        newest[label.rpartition(" ")[0] or label] = (label, generation)
    rows = [
        f"| {label} | `{generation}` | {f'and {counts[name] - 1} other weeks' if counts[name] > 1 else ''} |"
        for name, (label, generation) in newest.items()
    ]
    head = "| from | generation | |\n|---|---|---|"
    return "\n".join([head, *rows, "", "Every generation stands in the report's JSON file."]) if rows else ""


def _named(metrics: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}


def _difference(compared: Mapping[str, Any], name: str | None) -> str:
    """Write a difference with its bounds, where it has any."""
    if name is None or compared.get(name) is None:
        return ""
    lower, upper = compared.get(f"{name}_lower"), compared.get(f"{name}_upper")
    bounds = f" [{lower:+.4f}, {upper:+.4f}]" if lower is not None and upper is not None else ""
    return f"{compared[name]:+.4g}{bounds}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
