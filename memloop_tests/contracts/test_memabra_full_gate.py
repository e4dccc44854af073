"""Contract rows M2 to M6 once more under the full gate: beside rivals, vetoes and controls, and in the loop that gathers them.

The same rows for a bare comparison of two policies stand in ``test_memabra_gate``.
"""

import json
import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from memloop_assets.benchmarks import weekly as scoring
from memloop_assets.benchmarks.evaluation import PolicyScores
from memloop_assets.benchmarks.suite import load_suite, save_suite
from memloop_assets.benchmarks.weekly import score_router
from memloop_assets.errors import BadInput
from memloop_assets.home import Home
from memloop_assets.promotion.attempts import Attempts
from memloop_assets.promotion.controls import AA_TWIN, NO_OP, Controls
from memloop_assets.promotion.decision import PromotionDecision
from memloop_assets.promotion.evidence import Sources
from memloop_assets.promotion.policy import PromotionPolicy
from memloop_assets.promotion.vetoes import VETOES, Rivals
from memloop_assets.promotion.week_rules import Compared, decide_week
from memloop_assets.promotion.weekly import decide
from memloop_assets.routing.checkpoint import load_checkpoint
from memloop_assets.routing.training import TrainingSettings
from memloop_assets.simulate import World
from memloop_assets.weeks import IsoWeek, weeks_between
from memloop_tests.promotion.test_week_rules import evidence
from memloop_tests.scenario import (
    FIRST,
    LAST_RUN,
    LONG_AFTER,
    champion_of,
    decision_of,
    fill_home,
    finished_home,
    run_weeks_through_dagster,
)

TASKS = 400
WEEKS = list(weeks_between(FIRST, LAST_RUN))
WIDE = PromotionPolicy(max_error_rate_increase=0.2, max_latency_increase_ms=100.0)
"""Thresholds that the challenger below keeps."""


def scores(name: str, rewards: np.ndarray, latency_ms: float) -> PolicyScores:
    """Return scores whose predictions are all off by ten points."""
    ids = tuple(f"task-{number:03d}" for number in range(TASKS))
    costs, latencies = np.full(TASKS, 0.02), np.full(TASKS, latency_ms)
    return PolicyScores(name, ids, (name,) * TASKS, rewards, costs, latencies, rewards - 0.1)


PLACES = np.arange(TASKS) % 10
CHAMPION = scores("champion", np.select([PLACES < 5, PLACES < 6], [0.6, 0.55], 0.8), 100.0)
CHALLENGER = scores("challenger", np.select([PLACES < 5, PLACES < 6], [1.0, 0.45], 0.8), 160.0)
"""19 points more reward; but a tenth more tasks fail (below 0.5), and each takes 60 ms longer."""
POOR = CHAMPION.rewards - 0.1


def full(challenger: PolicyScores = CHALLENGER, shuffled: np.ndarray = POOR) -> Compared:
    """Return a comparison with every rival and every control that the loop would gather."""
    rivals = Rivals(
        baselines=(replace(CHAMPION, policy="best-single-arm"), scores("cheapest-arm", POOR, 90.0)),
        chance=replace(CHAMPION, policy="chance", arms=(None,) * TASKS),
        shuffled=scores("shuffled-control", shuffled, 100.0),
        strata={task: str(place % 2) for place, task in enumerate(CHAMPION.task_ids)},
    )
    return Compared(CHAMPION, challenger, 0.02, rivals, controls=Controls(CHALLENGER, CHAMPION))


def cycle(policy: PromotionPolicy, compared: Compared | None = None, new_sample_count: int = 50) -> PromotionDecision:
    """Decide a closed week under the full gate."""
    week = evidence(holdout_task_count=TASKS, new_sample_count=new_sample_count)
    return decide_week(week, policy, compared or full())


def sources_of(home: Home) -> Sources:
    return Sources(
        home.store, home.ledger, home.places.router_versions, home.arm_prices, TrainingSettings(), home.first_week
    )


def first_week_with(home: Home, outcome: str) -> IsoWeek:
    return next(IsoWeek.parse(row.week) for row in home.ledger.rows() if row.action == outcome)


BROKEN: list[tuple[dict[str, float], str, str]] = [
    ({"min_reward_delta": 0.25}, "reject", "at least +25.0 points is required"),
    ({"max_error_rate_increase": 0.05}, "reject", "The share of failed tasks"),
    ({"max_latency_increase_ms": 50.0}, "reject", "Latency rises by 60 ms; the limit is 50 ms"),
    ({"required_task_count": 401}, "hold", "401 are required"),
]


def test_m02_a_challenger_that_keeps_every_threshold_is_promoted_beside_all_rivals_and_controls() -> None:
    decision = cycle(WIDE)
    assert decision.outcome == "promote"
    names = {one.name.split()[0] for one in decision.findings}
    assert names == {*VETOES, AA_TWIN, NO_OP}
    assert not any(one.is_against for one in decision.findings)
    assert all(isinstance(reason, str) for reason in decision.reasons)
    assert all(value is None or math.isfinite(value) for value in decision.metrics.values())


@pytest.mark.parametrize("off", [(), VETOES], ids=["all vetoes", "vetoes off"])
@pytest.mark.parametrize(("threshold", "outcome", "reason"), BROKEN, ids=[next(iter(one)) for one, _, _ in BROKEN])
def test_m02_a_broken_threshold_stands_above_bounds_that_hold_and_vetoes_that_are_not_raised_or_off(
    threshold: dict[str, float], outcome: str, reason: str, off: tuple[str, ...]
) -> None:
    policy = replace(WIDE, vetoes_off=off, **threshold)  # type: ignore[arg-type]  # its own fields
    assert cycle(replace(WIDE, vetoes_off=off)).outcome == "promote", "this threshold alone is in its way"
    alone = policy.evaluate(CHAMPION, CHALLENGER, 0.02, rivals=full().rivals)
    for decision in (alone, cycle(policy)):
        assert (decision.outcome, decision.accepted) == (outcome, False)
        assert len(decision.reasons) == 1
        assert reason in decision.reasons[0]


def test_m02_a_raised_veto_hides_no_broken_threshold() -> None:
    vetoed = full(shuffled=CHALLENGER.rewards)
    decision = cycle(replace(WIDE, min_reward_delta=0.25), vetoed)
    assert decision.outcome == "reject"
    assert "at least +25.0 points is required" in decision.reasons[0]
    assert decision.metrics["veto_count"] == 1


@pytest.mark.parametrize(
    ("threshold", "outcome"), [({"min_reward_delta": 0.9}, "reject"), ({"required_task_count": 100_000}, "hold")]
)
def test_m02_in_the_loop_a_promoted_week_is_not_promoted_past_a_threshold_whatever_is_off(
    tmp_path: Path, threshold: dict[str, float], outcome: str
) -> None:
    home = finished_home(tmp_path / "home")
    week, now = first_week_with(home, "promote"), datetime.fromisoformat(LONG_AFTER)
    assert decide(week, sources_of(home), PromotionPolicy(vetoes_off=VETOES), now).decision.outcome == "promote"
    policy = PromotionPolicy(vetoes_off=VETOES, **threshold)  # type: ignore[arg-type]  # its own fields
    assert decide(week, sources_of(home), policy, now).decision.outcome == outcome


def test_m03_the_saved_suite_is_the_one_the_gate_decides_on_with_its_domains_as_strata(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    suite = load_suite(home.places.benchmark_suite)
    save_suite(suite, tmp_path / "again.json")
    again = load_suite(tmp_path / "again.json")
    row = decision_of(home, LAST_RUN)
    assert row["suite_fingerprint"] == suite.fingerprint == again.fingerprint
    router = load_checkpoint(home.places.router_versions, row["challenger"])
    first, second = (score_router(one, router, "challenger", home.arm_prices) for one in (suite, again))
    assert first.mean_reward == second.mean_reward == row["challenger_reward"]
    domains = [task.domain for task in again.tasks_of("holdout")]
    large = {domain for domain in domains if domain is not None and domains.count(domain) >= 30}
    policy, now = PromotionPolicy(stratum_task_count=30), datetime.fromisoformat(LONG_AFTER)
    found = decide(LAST_RUN, sources_of(home), policy, now).decision.findings
    strata = {one.name for one in found if one.name.startswith("stratum ")}
    assert strata == {f"stratum {domain}" for domain in large}
    assert strata


def test_m04_the_three_cases_hold_beside_rivals_and_controls() -> None:
    skipped = cycle(WIDE, new_sample_count=19)
    assert (skipped.outcome, skipped.findings) == ("skip", ())
    vetoed = cycle(WIDE, full(shuffled=CHALLENGER.rewards))
    assert (vetoed.outcome, vetoed.reasons[0]) == ("reject", "Both bounds hold, but there are vetoes.")
    lost = cycle(WIDE, full(challenger=replace(CHAMPION, policy="worse", arms=("worse",) * TASKS, rewards=POOR)))
    assert lost.outcome == "reject"
    assert cycle(WIDE).accepted


def test_m04_every_cycle_of_the_loop_is_judged_by_the_full_gate(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    wanted = {*VETOES, AA_TWIN, NO_OP} - {"stratum"}  # no domain of this small benchmark has 50 tasks
    for week in WEEKS:
        row = decision_of(home, week)
        findings, metrics = json.loads(row["findings_json"]), json.loads(row["metrics_json"])
        names = {one["name"].split()[0] for one in findings}
        is_alike = (
            metrics["changed_choice_count"] == 0
        )  # as the built-in champion, which takes one arm: chance is not asked
        assert names >= (wanted - {"chance"} if is_alike else wanted)
        raised = sum(one["is_against"] for one in findings)
        assert metrics["veto_count"] == raised
        assert row["outcome"] != "promote" or not raised


def test_m05_a_report_holds_every_test_and_control_that_the_decision_rests_on(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    attempts = Attempts(home.state, home.places.training_reports)
    for week in WEEKS:
        report, row = attempts.get_report(f"{week}.1"), decision_of(home, week)
        assert report["findings"] == json.loads(row["findings_json"])
        page = attempts.path_of(week, 1).with_suffix(".md").read_text(encoding="utf-8")
        assert all(one["sentence"] in page for one in report["findings"])


def test_m05_a_control_that_cannot_be_fitted_ends_in_an_error_report_and_not_in_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fill_home(tmp_path / "home", World(first_week=FIRST, seed=2, week_count=1, trajectories_per_week=40))

    def fail(*_args: object, **_more: object) -> None:
        raise BadInput("twin", "made to fail", "this is a trial")

    monkeypatch.setattr(scoring, "fit_twin", fail)
    assert run_weeks_through_dagster(tmp_path / "home", FIRST).success
    attempts = Attempts(home.state, home.places.training_reports)
    report = attempts.get_report(str(FIRST))
    assert (report["outcome"], report["promoted_version"]) == ("error", None)
    assert "benchmark_results" in report["reasons"][0]
    assert home.ledger.rows()[-1].action == "error"
    assert (champion_of(home) or {})["policy"] == "best-single-arm"


def test_m06_the_ledger_says_what_the_active_router_was_promoted_on_and_whom_it_followed(tmp_path: Path) -> None:
    home = finished_home(tmp_path / "home")
    active = home.ledger.champion_as_of()
    row = next(row for row in reversed(home.ledger.rows()) if row.action == "promote")
    assert (champion_of(home) or {})["promoted_week"] == row.week
    assert row.to_version == active != row.from_version
    decided = decision_of(home, IsoWeek.parse(row.week))
    numbers = json.loads(row.numbers_json)
    assert (decided["champion_before"], decided["challenger"]) == (row.from_version, row.to_version)
    assert numbers == json.loads(decided["metrics_json"])
    assert (numbers["veto_count"], numbers["challenger_reward"]) == (0, decided["challenger_reward"])
    assert row.reason
