"""The router of ``router_quality.py`` over many splits, fitted directly: what that script's few splits are a draw from.

Fits the samples that the loop would build, but for the 0.3 % that nearly repeat a held-out question, which the loop drops (on the first
split 0.673 here, 0.678 there), and prints the APGR of each split, their mean and its 95 % t interval. It does not run the loop: no logs,
weeks, datasets or gate.

    python benchmarks/router_splits.py [--splits 20] [--data PATH]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from router_quality import (  # type: ignore[import-not-found]  # the script beside this one
    DATA,
    PRICES_USD,
    STRONG,
    WEAK,
    Question,
    mean_interval,
    read_questions,
    split_questions,
)

from memloop_assets.benchmarks.tradeoff import average_gap_recovered
from memloop_assets.routing.training import fit_router

VARIANTS = ("single", "both")


def build_samples(logged: Sequence[Question], variant: str, seed: int) -> pa.Table:
    """Return the router samples of the logged questions: one arm each by chance, or both."""
    rng = np.random.default_rng([seed, 2])
    drawn = [(STRONG, WEAK)[int(rng.integers(2))] for _ in logged]
    propensity = 1.0 if variant == "both" else 0.5
    return pa.Table.from_pylist(
        [
            {
                "example_id": f"{number:06d} {arm}",
                "task_key": question.key,
                "task_text": question.prompt,
                "domain": None,
                "arm": arm,
                "reward": question.rewards[arm],
                "cost_usd": PRICES_USD[arm],
                "latency_ms": None,
                "propensity": propensity,
                "weight": 1.0,
            }
            for number, question in enumerate(logged)
            for arm in ((STRONG, WEAK) if variant == "both" else (drawn[number],))
        ]
    )


def main() -> None:
    """Fit and score every split, print per variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--data", type=Path, default=DATA)
    asked = parser.parse_args()
    questions = read_questions(asked.data)
    for variant in VARIANTS:
        found = []
        for seed in range(asked.splits):
            logged, held = split_questions(questions, seed)
            router = fit_router(build_samples(logged, variant, seed), {})
            predicted = router.predict_reward_table([question.prompt for question in held])
            scores = predicted[:, router.arms.index(STRONG)] - predicted[:, router.arms.index(WEAK)]
            strong, weak = (np.array([question.rewards[arm] for question in held]) for arm in (STRONG, WEAK))
            found.append(average_gap_recovered(scores, strong, weak))
        mean, lower, upper = mean_interval(found)
        print(f"{variant}: {' '.join(f'{value:.3f}' for value in found)}")
        print(f"  mean over {len(found)} splits {mean:.4f} [{lower:.4f}, {upper:.4f}]")


if __name__ == "__main__":
    main()
