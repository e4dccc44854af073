"""A week at the gate: gather the evidence, decide, and record the first decision of a closed week.

Joins ``evidence``, ``policy`` and the ledger; no rule of its own.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from memloop_assets.benchmarks.standing import is_own, no_own_benchmark
from memloop_assets.benchmarks.weekly import points_of
from memloop_assets.pictures import draw_lines, draw_points
from memloop_assets.promotion.canary_week import begin_canary, decide_canary_week, gather_canary_week
from memloop_assets.promotion.decision import PromotionDecision
from memloop_assets.promotion.evidence import Gathered, Sources, gather_week
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.tables import decision_row, would_decide
from memloop_assets.promotion.week_rules import decide_week
from memloop_assets.routing.versions import CANARY, Ledger, LedgerRow
from memloop_assets.store import Store
from memloop_assets.weeks import IsoWeek


@dataclass(frozen=True)
class DecidedWeek:
    """One decision with what it rests on; ``row`` is its row in ``promotion_decision``; ``standing``, the ledger's where there is one."""

    week: IsoWeek
    decision: PromotionDecision
    found: Gathered
    row: Mapping[str, object]
    standing: LedgerRow | None = None

    def as_text(self) -> str:
        """Return the decision as Markdown for a person: outcome, reasons, versions; where the ledger says otherwise, that first."""
        reasons = "\n".join(f"- {reason}" for reason in self.decision.reasons)
        told, after = f"**{self.decision.outcome}** {self.week}", f"`{self.row['champion_after']}`"
        if self.standing is not None and self.standing.is_other(self.decision.outcome, self.row["champion_after"]):
            told = f"The ledger stands: **{self.standing.action}** {self.week}. Now it {would_decide(self.row)}."
            after = f"`{self.standing.to_version}` by the ledger"
        versions = f"champion before: `{self.row['champion_before']}`, after: {after}, challenger: {self._challenger}"
        return f"{told}\n\n{reasons}\n\n{versions}"

    @property
    def _challenger(self) -> str:
        return f"`{self.row['challenger']}`" if self.row["challenger"] else "none"

    @property
    def missing_benchmark(self) -> str | None:
        """Return the line for a week that has no benchmark of one's own to be decided on; None where it has one."""
        suite = self.found.suite
        return None if suite is None or is_own(suite) else no_own_benchmark()

    def picture(self) -> bytes | None:
        """Return champion, challenger and baselines, reward against cost with intervals; None where nothing was scored."""
        compared = self.found.compared
        scores = [s for s in (compared.challenger, compared.champion, *self.found.baselines) if s is not None]
        if not scores:
            return None
        title = f"{self.week}: {self.decision.outcome}"
        return draw_points(
            points_of(scores, "challenger"), title=title, x_label="USD per 1,000 calls", y_label="mean reward"
        )


def decide(week: IsoWeek, sources: Sources, policy: PromotionPolicy, now: datetime) -> DecidedWeek:
    """Decide one week; any input that fails is a reason, never an exception."""
    canary = sources.ledger.canary_as_of(week)
    if canary is None:
        found = gather_week(week, sources, policy, now)
        decision = begin_canary(decide_week(found.evidence, policy, found.compared), found, policy)
    else:
        found, trials = gather_canary_week(week, canary, sources, now)
        decision = decide_canary_week(found.evidence, policy, canary, trials)
    row = decision_row(
        week,
        decision,
        champion=found.champion_version,
        challenger=found.challenger_version,
        policy=asdict(policy),
        suite_fingerprint=found.suite.fingerprint if found.suite else None,
    )
    return DecidedWeek(week, decision, found, row, sources.ledger.decision_of(week))


def record_first_decision(decided: DecidedWeek, sources: Sources, evidence_hash: str, now: datetime) -> str:
    """Append a closed week's first decision to the ledger; return in words what became of it.

    An open week is not recorded, and where a first decision stands nothing moves. Raises LedgerConflict where another writer was faster.
    """
    standing = sources.ledger.decision_of(decided.week)
    if standing is not None:
        return f"The first decision stands: {standing.action}. {standing.reason}"
    if not decided.week.is_closed(now):
        return "The week is open: nothing was recorded."
    canary = decided.decision.canary
    sources.ledger.append_decision(
        decided.week,
        decided.decision.outcome,
        from_version=str(decided.row["champion_before"]),
        to_version=str(decided.row["champion_after"]),
        evidence_hash=evidence_hash,
        numbers={**decided.decision.metrics, **({CANARY: canary.as_facts()} if canary else {})},
        reason=" ".join(decided.decision.reasons),
        now=now,
    )
    return "Recorded in the ledger."


def draw_history(store: Store, weeks: list[IsoWeek], ledger: Ledger) -> bytes | None:
    """Return the benchmark reward of champion and challenger over weeks, marked where the ledger promoted; None without a decision."""
    rows = [store.read("promotion_decision", week).to_pylist()[0] for week in weeks]
    if not rows:
        return None
    columns = {"champion before the decision": "champion_reward", "challenger": "challenger_reward"}
    lines = {
        name: [math.nan if row[column] is None else row[column] for row in rows] for name, column in columns.items()
    }
    promoted = {
        row.week for row in ledger.rows() if row.action == "promote"
    }  # a replay that would promote moves nothing
    return draw_lines(
        lines,
        [str(row["week"]) for row in rows],
        title="Reward on the benchmark; dotted: promoted",
        y_label="mean reward",
        marks=[str(week) for week in weeks if str(week) in promoted],
    )
