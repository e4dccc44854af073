"""A canary's week: which live trials champion and canary served, what the week decides by them, and how a canary begins.

Reads tables and the ledger, never writes. How two sides are compared is said in ``canary``, the order of a week's other rules
in ``week_rules``.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from memloop_assets.promotion.canary import Served, judge_canary
from memloop_assets.promotion.decision import CANARY_WEEK, PromotionDecision
from memloop_assets.promotion.evidence import Gathered, Reading, Sources, standing_of
from memloop_assets.promotion.pairs import FAILING_REWARD
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.reasons import in_share
from memloop_assets.promotion.week_rules import Compared, WeekEvidence, obstacle_before_learning
from memloop_assets.routing.versions import Canary
from memloop_assets.trajectories.tables import TRAJECTORIES
from memloop_assets.weeks import IsoWeek, weeks_between

_READ = ("session_id", "origin", "policy_version", "started_at", "reward", "is_known_failure", "latency_ms")
_ENDS = "The canary ends: the champion serves all sessions."


@dataclass(frozen=True, eq=False)
class LiveTrials:
    """What both routers served since the canary's first session.

    ``mixed_count``: sessions of the canary that are left out because another router served them too.
    """

    control: Served
    canary: Served
    mixed_count: int


def begin_canary(decision: PromotionDecision, found: Gathered, policy: PromotionPolicy) -> PromotionDecision:
    """Return the hold by which an accepted challenger first serves as a canary; any other decision, or with canaries off, as it is."""
    if not decision.accepted or not policy.canary:
        return decision
    week = found.evidence.week
    if found.challenger_version is None or found.control_version is None:
        missing = f"Champion or challenger of {week} has no router that could serve: `memloop backfill {week}`."
        return replace(decision, outcome="error", reasons=(missing,))
    told = (
        f"Accepted; serves {in_share(policy.canary_share)} of the sessions first: the logs of {week.shift(1)} decide."
    )
    return replace(
        decision,
        outcome="hold",
        reasons=(told, *decision.reasons),
        metrics={**decision.metrics, CANARY_WEEK: 0},
        canary=Canary(found.challenger_version, found.control_version, policy.canary_share, week),
    )


def gather_canary_week(week: IsoWeek, canary: Canary, sources: Sources, now: datetime) -> tuple[Gathered, LiveTrials]:
    """Return what is known of a week in which a canary runs, and the live trials since it began, as far as they can be read."""
    reading, store = Reading(sources), sources.store
    tables = [
        reading.table(TRAJECTORIES.name, served, _READ)
        for served in weeks_between(canary.since.shift(1), week)
        if served == week or store.generation(TRAJECTORIES.name, served) or store.failure(TRAJECTORIES.name, served)
    ]
    found = Gathered(
        standing_of(week, sources, reading, now),
        Compared(None, None),
        sources.ledger.champion_as_of(week),
        canary.version,
        baselines=(),
        suite=None,
        inputs=reading.inputs,
        control_version=canary.control,
    )
    return found, live_trials([row for table in tables if table is not None for row in table.to_pylist()], canary)


def live_trials(trajectories: Iterable[Mapping[str, Any]], canary: Canary) -> LiveTrials:
    """Return the live trials of champion and canary, by the router that each trajectory names.

    Only sessions that one router served throughout, and that began when the canary had begun to serve: before that, agents had not yet
    loaded it, and what the champion served then may have been other traffic.
    """
    rows = [row for row in trajectories if row["origin"] == "live" and row["session_id"] and row["policy_version"]]
    routers: dict[str, set[str]] = defaultdict(set)
    begun: dict[str, datetime] = {}
    for row in rows:
        session, at = row["session_id"], row["started_at"]
        routers[session].add(row["policy_version"])
        begun[session] = min(at, begun.get(session, at))
    start = min((begun[session] for session, versions in routers.items() if versions == {canary.version}), default=None)

    def served_by(version: str) -> Served:
        of_one = {session for session, versions in routers.items() if versions == {version}}
        return _served(
            [row for row in rows if row["session_id"] in of_one and start and begun[row["session_id"]] >= start]
        )

    mixed = sum(len(versions) > 1 and canary.version in versions for versions in routers.values())
    return LiveTrials(served_by(canary.control), served_by(canary.version), mixed)


def decide_canary_week(
    evidence: WeekEvidence, policy: PromotionPolicy, canary: Canary, trials: LiveTrials
) -> PromotionDecision:
    """Decide a week in which a canary runs: only about the canary, never about the week's own challenger.

    What applies first: error (an input failed), hold (the week is open, or the week before is undecided), hold (canaries are switched
    off), hold (nothing was served by it), then ``judge_canary``. A hold lets the canary go on until ``canary_weeks`` are over; anything
    else ends it.
    """
    week, look = evidence.week, (evidence.week.start - canary.since.start).days // 7
    obstacle = obstacle_before_learning(evidence)
    if obstacle:
        decision = PromotionDecision(obstacle[0], (obstacle[1],))
    elif not policy.canary:
        decision = PromotionDecision("hold", ("A canary runs, but canary is switched off under [promotion].",))
    elif not trials.canary.sessions.size:
        span = f"{canary.since.shift(1)}..{week}"
        ask = "do agents use load_deployment, and log session_id and policy_version?"
        reason = f"The canary {canary.version} served no session in the logs of {span}: {ask}"
        decision = PromotionDecision("hold", (reason,))
    else:
        decision = judge_canary(trials.control, trials.canary, policy)
    goes_on = decision.outcome == "hold" and policy.canary and look < policy.canary_weeks
    return replace(
        decision,
        reasons=(*decision.reasons, *_endings(decision, look, policy, goes_on=goes_on)),
        metrics={**decision.metrics, "mixed_session_count": trials.mixed_count, CANARY_WEEK: look},
        canary=canary if goes_on else None,
    )


def _endings(decision: PromotionDecision, look: int, policy: PromotionPolicy, *, goes_on: bool) -> tuple[str, ...]:
    """Return what becomes of the canary and of the week's own challenger."""
    waits = "The week's own challenger was not judged: one canary at a time."
    if goes_on:
        return (f"The canary goes on: week {look} of {policy.canary_weeks}.", waits)
    if decision.outcome == "hold" and look >= policy.canary_weeks:
        return (f"It ran {look} weeks without a decision (canary_weeks). {_ENDS}", waits)
    return (waits,) if decision.accepted else (_ENDS, waits)


def _served(rows: Sequence[Mapping[str, Any]]) -> Served:
    """Return the rows of one side as trials; whether one failed is known from its reward, or where its outcome says so."""
    rewards = np.array([np.nan if row["reward"] is None else row["reward"] for row in rows], dtype=np.float64)
    failed = np.array([bool(row["is_known_failure"]) for row in rows], dtype=np.bool_)
    failures = np.where(failed, 1.0, np.where(np.isnan(rewards), np.nan, rewards < FAILING_REWARD))
    latencies = np.array([np.nan if row["latency_ms"] is None else row["latency_ms"] for row in rows], dtype=np.float64)
    numbers = {session: number for number, session in enumerate(dict.fromkeys(row["session_id"] for row in rows))}
    return Served(np.array([numbers[row["session_id"]] for row in rows], dtype=np.intp), rewards, failures, latencies)
