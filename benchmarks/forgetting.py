"""What a router forgets and what it gains, week by week, on real outcomes: RouteLLM's MMLU questions, twelve weeks of other subjects each.

The 57 subjects are dealt over twelve weeks; a quarter of each week's questions (by normalised prompt) is held out, the others are
logged with one arm each, drawn at even odds. The ways to keep what was learned:

- refit on all: a full refit on every week so far, as memloop does;
- refit on four: a full refit on the last four weeks, as where older rows had to be deleted;
- newest alone: a full refit on the newest week;
- four + prior, newest + prior: the same, with the Laplace prior (128 directions) in the place of the rows that are gone;
- newest + diagonal: the prior's diagonal alone (EWC), a control;
- newest + huge: the prior at a hundred times its weight, a control: it should forget little, and learn little;
- frozen: the first week's router, kept. The control: it cannot forget, and cannot learn.

Forgetting: on the held-out questions of the first eleven weeks, the score of the routers that had just seen each week minus that of
the last router. Gain: on the held-out questions of weeks 2 to 12, the score of the routers that have just seen each week minus that
of the first week's router, and its share of the gain of the refit on all. The score is the APGR (ten bins, over all these questions
at once) and the Brier score of both arms' predicted rewards (negative here, so that more is better). Intervals are 95 % t intervals
over seeds: of deals and drawn arms.

Not measured: tasks other than multiple choice, subjects that come back, the gate.

    python benchmarks/forgetting.py [--seeds 5] [--named] [--ways WAY ...] [--data PATH]
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from router_models import (  # type: ignore[import-not-found]  # the script beside this one
    DATA,
    Outcomes,
    build_samples,
    read_outcomes,
)
from router_quality import mean_interval  # type: ignore[import-not-found]  # likewise

from memloop_assets.benchmarks.calibration_metrics import brier_score
from memloop_assets.benchmarks.tradeoff import average_gap_recovered
from memloop_assets.routing.prior import Leaving, Prior, absorb
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import DEFAULTS, fit_router

WEEKS = 12
HELD_SHARE = 0.25
RANK = 128
HUGE = 100.0
FROZEN = "frozen"
MOST_FORGOTTEN, LEAST_GAIN = 0.02, 0.9


@dataclass(frozen=True)
class Way:
    """What is kept: the rows of so many weeks, and of the others a prior of ``rank`` directions (None: none) that weighs ``strength``."""

    weeks: int
    rank: int | None = None
    strength: float = 1.0


WAYS = {
    "refit on all": Way(WEEKS),
    "refit on four": Way(4),
    "newest alone": Way(1),
    "four + prior": Way(4, RANK),
    "newest + prior": Way(1, RANK),
    "newest + diagonal": Way(1, 0),
    "newest + huge": Way(1, RANK, HUGE),
}


@dataclass(frozen=True)
class Weeks:
    """The week of each question, whether it is held out, and which arm's outcome was logged, each (questions,)."""

    week: NDArray[np.intp]
    is_held: NDArray[np.bool_]
    served: NDArray[np.intp]


def deal_weeks(keys: Sequence[str], subjects: Sequence[str], seed: int) -> Weeks:
    """Return one deal: subjects over weeks, the largest (give or take a fifth, by chance) first to the emptiest week."""
    rng = np.random.default_rng([seed, 5])
    names, places = np.unique(subjects, return_inverse=True)
    sizes = np.bincount(places) * rng.uniform(0.8, 1.25, len(names))
    week_of = np.empty(len(names), dtype=np.intp)
    filled = np.zeros(WEEKS)
    for subject in np.argsort(-sizes, kind="stable"):
        week_of[subject] = filled.argmin()
        filled[week_of[subject]] += sizes[subject]
    order = rng.permutation(WEEKS)
    distinct = sorted(set(keys))
    held = {distinct[place] for place in rng.permutation(len(distinct))[: int(HELD_SHARE * len(distinct))]}
    is_held = np.array([key in held for key in keys])
    return Weeks(order[week_of][places], is_held, rng.integers(0, 2, len(places)))


def predict_by_week(found: Outcomes, weeks: Weeks, way: Way) -> NDArray[np.float64]:
    """Return what the router after each week predicts of every question that is held out, (weeks, questions, arms)."""
    held = np.flatnonzero(weeks.is_held)
    table = np.full((WEEKS, len(weeks.week), len(found.arms)), np.nan)
    texts, domains = [found.prompts[place] for place in held], [found.domains[place] for place in held]
    settings = DEFAULTS if way.rank is None else replace(DEFAULTS, prior_rank=max(1, way.rank))
    router: Router | None = None
    prior: Prior | None = None
    for week in range(WEEKS):
        gone = week - way.weeks
        if gone >= 0 and way.rank is not None and router is not None:
            leaving = Leaving(_samples(found, weeks, gone, gone), (str(gone),), "")
            prior = absorb(prior, router, leaving, rank=way.rank, propensity_floor=DEFAULTS.propensity_floor)
        kept = prior.faded(way.strength) if prior else None
        router = fit_router(_samples(found, weeks, gone + 1, week), {}, settings, prior=kept)
        table[week, held] = router.predict_reward_table(texts, domains)
    return table


def _samples(found: Outcomes, weeks: Weeks, first: int, last: int) -> pa.Table:
    """Return what was logged from one week to another."""
    is_theirs = (weeks.week >= first) & (weeks.week <= last) & ~weeks.is_held
    return build_samples(found, np.flatnonzero(is_theirs).tolist(), weeks.served, 0.5)


def score(found: Outcomes, places: NDArray[np.intp], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return APGR and negative Brier score of predictions (places, arms), (2,)."""
    earned = found.rewards[places]
    apgr = average_gap_recovered(predicted[:, 0] - predicted[:, 1], earned[:, 0], earned[:, 1])
    return np.array([apgr, -brier_score(predicted.ravel(), earned.ravel())])


def measure(found: Outcomes, weeks: Weeks, table: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray:
    """Return forgetting, gain and the last router's score on all weeks, each by APGR and Brier score, (3, 2)."""
    everyone = np.flatnonzero(weeks.is_held)
    earlier = everyone[weeks.week[everyone] < WEEKS - 1]
    later = everyone[weeks.week[everyone] > 0]
    forgotten = score(found, earlier, table[weeks.week[earlier], earlier]) - score(found, earlier, table[-1, earlier])
    gained = score(found, later, table[weeks.week[later], later]) - score(found, later, first[later])
    return np.stack([forgotten, gained, score(found, everyone, table[-1, everyone])])


def run_seed(found: Outcomes, subjects: Sequence[str], seed: int, ways: Sequence[str]) -> dict[str, NDArray]:
    """Return what ``measure`` says of each way of keeping, for one deal."""
    weeks = deal_weeks(found.keys, subjects, seed)
    tables = {name: predict_by_week(found, weeks, WAYS[name]) for name in ways}
    first = tables["newest alone"][0]
    tables[FROZEN] = np.broadcast_to(first, (WEEKS, *first.shape))
    return {name: measure(found, weeks, table, first) for name, table in tables.items()}


def show(results: Sequence[dict[str, NDArray]]) -> None:
    """Print a line per way of keeping and kind of score, and what the goal says of it."""
    for number, kind in enumerate(("APGR", "Brier score")):
        print(f"  {kind}")
        full = np.array([one["refit on all"][1, number] for one in results])
        for name in results[0]:
            forgotten, gained, last = np.array([one[name][:, number] for one in results]).T
            share = float(gained.mean() / full.mean())
            told = "; ".join(
                f"{title} {mean:+.4f} [{low:+.4f}, {high:+.4f}]"
                for title, (mean, low, high) in (
                    ("forgetting", mean_interval(forgotten)),
                    ("gain", mean_interval(gained)),
                    ("last router, all weeks", mean_interval(last)),
                )
            )
            line = f"    {name:<17} {told}; {share:.0%} of the gain"
            if kind == "APGR":
                forgets = "little" if forgotten.mean() <= MOST_FORGOTTEN else "TOO MUCH"
                line += f": forgets {forgets}, learns {'enough' if share >= LEAST_GAIN else 'TOO LITTLE'}"
            print(line, flush=True)


def main() -> None:
    """Measure and print, or say in one line what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "routellm-mmlu" / "outcomes.parquet")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--named", action="store_true", help="the subject is logged as the domain")
    parser.add_argument(
        "--ways", nargs="+", choices=WAYS, default=list(WAYS), help="beside refit on all, newest alone, frozen"
    )
    asked = parser.parse_args()
    if not asked.data.is_file():
        sys.exit(f"forgetting: {asked.data} is absent. Fix: give RouteLLM's MMLU outcomes with --data PATH")
    found = read_outcomes(asked.data)
    subjects = [str(domain) for domain in found.domains]
    if not asked.named:
        found = replace(found, domains=[None] * len(found.prompts))
    known = "named" if asked.named else "not named"
    print(f"{len(found.prompts):,} questions, {WEEKS} weeks, {asked.seeds} seeds, subject {known}", flush=True)
    ways = [name for name in WAYS if name in {"refit on all", "newest alone", *asked.ways}]
    results = []
    for seed in range(asked.seeds):
        results.append(run_seed(found, subjects, seed, ways))
        print(f"seed {seed} is done", file=sys.stderr, flush=True)
    show(results)


if __name__ == "__main__":
    main()
