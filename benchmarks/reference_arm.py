"""Which arm memloop names as the best single one when logs draw their arm evenly: LLMRouter's nine arms, by their true mean reward.

Per deal of the questions over twelve weeks of 125 logged trials, the arm is named from the trials of the first 1, 4 and 12 weeks, as the
loop names it (the reference arm, the built-in champion and a baseline). Beside it stands the arm of the highest logged mean. Truth: the
mean reward over all questions, those logged included.

    python benchmarks/reference_arm.py [--deals 200] [--data FOLDER]
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from real_weeks import SETS, deal, read_world  # type: ignore[import-not-found]  # the scripts beside this one
from router_models import DATA, build_samples  # type: ignore[import-not-found]
from router_quality import mean_interval  # type: ignore[import-not-found]

from memloop_assets.routing.training import best_single_arm

WEEKS = (1, 4, 12)
POOR = 0.45


def main() -> None:
    """Deal, name and print, or say in one line what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--deals", type=int, default=200)
    asked = parser.parse_args()
    cut = SETS["half"]
    if not (asked.data / cut.folder / "outcomes.parquet").is_file():
        sys.exit(
            f"reference_arm: {cut.folder} is absent under {asked.data}. Fix: give the folder of the data with --data FOLDER"
        )
    world = read_world(cut, asked.data, is_shuffled=False)
    found = world.found
    truth = dict(zip(found.arms, found.rewards.mean(axis=0).tolist(), strict=True))
    print(
        "true mean rewards: " + ", ".join(f"{arm} {truth[arm]:.3f}" for arm in sorted(truth, key=lambda a: -truth[a]))
    )
    named: dict[tuple[int, str], list[float]] = {}
    for seed in range(asked.deals):
        weeks, _held, _others = deal(found, cut, seed)
        served = np.random.default_rng([seed, 9]).integers(len(found.arms), size=len(found.prompts))
        for count in WEEKS:
            places = np.concatenate(weeks[:count]).tolist()
            samples = build_samples(found, places, served, 1 / len(found.arms))
            arm, means = best_single_arm(samples, world.prices_usd)
            named.setdefault((count, "memloop"), []).append(truth[arm])
            named.setdefault((count, "highest mean"), []).append(truth[max(means, key=lambda one: means[one])])
    for (count, rule), earned in named.items():
        mean, low, high = mean_interval(np.array(earned))
        poor = np.mean(np.array(earned) < POOR)
        print(
            f"  after {count:>2} weeks, {rule:<12} truly earns {mean:.3f} [{low:.3f}, {high:.3f}]; under {POOR}: {poor:.1%}"
        )


if __name__ == "__main__":
    main()
