"""How well the router predicts, out of fold on real outcomes: RouteLLM's MMLU questions (2 arms) and LLMRouter's half (9 arms).

Five folds by normalised prompt per seed (0, 1, ...); every prediction is by a router that was fitted without the prompt's fold. MMLU:
APGR (ten bins) and the share of strong calls that recovers 50 and 80 % of the gap (first crossing of the same ten-bin curve, linear
between its points), with the question known by its text alone, with its subject as the logged domain, and from logs of one arm per
question: at even odds, and with 20 % exploration around the strong arm (it serves 9 in 10). By its text alone also: fitted on 500 and 2,000
questions drawn by chance, both outcomes known, and judged on all others; and on subjects that the training questions lack (five folds by
subject). The interval is a 95 % bootstrap over questions (over subjects, where those are unseen), routers held fixed, of the mean over
seeds. ECE of each arm's predicted reward: ten bins of equal width, mean over seeds. Nine arms: share of the gap between best single arm
and oracle that the best predicted arm closes; cost saved at the best single arm's quality, at the weight of cost that was dear enough on
the other four folds.

Not measured: other data, the gate, the rule's own delta, memory of repeated tasks (there are none here).

    python benchmarks/router_models.py [--seeds 3] [--parts text subject even explored few500 few2000 unseen nine refit] [--data FOLDER]
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from memloop_assets.benchmarks.calibration_metrics import expected_calibration_error
from memloop_assets.benchmarks.tradeoff import average_gap_recovered, sweep_thresholds
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import fit_router
from memloop_assets.tasks import task_key

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDS = 5
RESAMPLES = 1_000
STRONG_ODDS = {"even": 0.5, "explored": 0.9}
TARGETS = {
    "text": 0.69,
    "subject": 0.70,
    "even": 0.655,
    "explored": 0.64,
    "few500": 0.63,
    "few2000": 0.655,
    "unseen": 0.615,
}
FEW = {"few500": 500, "few2000": 2_000}
PRICES = {"gemma-2-9b-it": 0.1}
DEAR = ("51b", "49b", "70b")


@dataclass(frozen=True)
class Outcomes:
    """Tasks by arms: ``rewards`` (tasks, arms), the arms sorted."""

    prompts: Sequence[str]
    keys: Sequence[str]
    domains: Sequence[str | None]
    arms: Sequence[str]
    rewards: NDArray[np.float64]


def read_outcomes(path: Path) -> Outcomes:
    """Read a long table of outcomes; what RouteLLM calls contaminated is left out."""
    tasks: dict[str, tuple[str, str]] = {}
    rewards: dict[str, dict[str, float]] = {}
    for row in pq.read_table(path).to_pylist():
        if not row.get("contaminated"):
            tasks[row["task_id"]] = (row["prompt"], row["domain"])
            rewards.setdefault(row["task_id"], {})[row["arm"]] = row["reward"]
    arms = sorted({arm for one in rewards.values() for arm in one})
    names = sorted(tasks)
    table = np.array([[rewards[name][arm] for arm in arms] for name in names], dtype=np.float64)
    prompts = [tasks[name][0] for name in names]
    return Outcomes(prompts, [task_key(one) for one in prompts], [tasks[name][1] for name in names], arms, table)


def deal_folds(keys: Sequence[str], seed: int) -> NDArray[np.intp]:
    """Return the fold of each task; equal prompts share one."""
    distinct = sorted(set(keys))
    order = np.random.default_rng(seed).permutation(len(distinct))
    fold_of = {distinct[place]: number % FOLDS for number, place in enumerate(order)}
    return np.array([fold_of[key] for key in keys], dtype=np.intp)


def build_samples(found: Outcomes, places: Sequence[int], served: NDArray | None, odds: float = 1.0) -> pa.Table:
    """Return router samples of some tasks: of every arm, or of the arm in the column ``served`` (odds: of the first arm)."""
    rows = [
        {
            "example_id": f"{place:06d} {column}",
            "task_key": found.keys[place],
            "task_text": found.prompts[place],
            "domain": found.domains[place],
            "arm": found.arms[column],
            "reward": found.rewards[place, column],
            "cost_usd": None,
            "latency_ms": None,
            "propensity": 1.0 if served is None else (odds if column == 0 else 1.0 - odds),
            "weight": 1.0,
        }
        for place in places
        for column in (range(len(found.arms)) if served is None else [int(served[place])])
    ]
    schema = pa.schema([("domain", pa.string()), ("cost_usd", pa.float64()), ("latency_ms", pa.float64())])
    table = pa.Table.from_pylist(rows)
    for field in schema:
        table = table.set_column(table.column_names.index(field.name), field, table[field.name].cast(field.type))
    return table


def predict_out_of_fold(
    found: Outcomes, folds: NDArray, served: NDArray | None = None, odds: float = 1.0
) -> NDArray[np.float64]:
    """Return predicted rewards (tasks, arms), each by a router fitted without the task's fold."""
    predicted = np.empty(found.rewards.shape)
    for fold in range(FOLDS):
        router = fit_router(build_samples(found, np.flatnonzero(folds != fold).tolist(), served, odds), {})
        asked = np.flatnonzero(folds == fold)
        predicted[asked] = _ask(router, found, asked)
    return predicted


def _ask(router: Router, found: Outcomes, places: NDArray) -> NDArray[np.float64]:
    return router.predict_reward_table([found.prompts[p] for p in places], [found.domains[p] for p in places])


def strong_share_for(gap: float, scores: NDArray, strong: NDArray, weak: NDArray) -> float:
    """Return the share of strong calls (0 to 1) at which the ten-bin curve first recovers a share of the gap."""
    ratios, rewards = sweep_thresholds(scores, strong, weak)
    target = weak.mean() + gap * (strong.mean() - weak.mean())
    above = int(np.argmax(rewards >= target))
    if above == 0:
        return float(ratios[0])
    part = (target - rewards[above - 1]) / (rewards[above] - rewards[above - 1])
    return float(ratios[above - 1] + part * (ratios[above] - ratios[above - 1]))


@dataclass(frozen=True)
class Scored:
    """What one seed predicted: ``places`` of the questions that its routers had not seen, and their rewards, (places, arms)."""

    places: NDArray[np.intp]
    predicted: NDArray[np.float64]


def score_mmlu(found: Outcomes, part: str, seed: int, subjects: Sequence[str]) -> Scored:
    """Return the predictions of one seed for one way of knowing MMLU."""
    if part in FEW:
        order = np.random.default_rng([seed, 3]).permutation(len(found.prompts))
        fitted, asked = order[: FEW[part]], np.sort(order[FEW[part] :])
        keys = {found.keys[place] for place in fitted}
        asked = asked[[found.keys[place] not in keys for place in asked]]
        return Scored(asked, _ask(fit_router(build_samples(found, fitted.tolist(), None), {}), found, asked))
    odds = STRONG_ODDS.get(part, 1.0)
    drawn = np.random.default_rng([seed, 2]).random(len(found.prompts)) >= odds
    folds = deal_folds(subjects if part == "unseen" else found.keys, seed)
    predicted = predict_out_of_fold(found, folds, drawn if part in STRONG_ODDS else None, odds)
    return Scored(np.arange(len(folds)), predicted)


def run_mmlu(found: Outcomes, part: str, seeds: int) -> None:
    """Measure one way of knowing MMLU and print it."""
    subjects = [str(domain) for domain in found.domains]
    if part != "subject":
        found = replace(found, domains=[None] * len(found.prompts))
    strong, weak = found.rewards[:, 0], found.rewards[:, 1]
    scored = [score_mmlu(found, part, seed, subjects) for seed in range(seeds)]
    scores = []
    for one in scored:
        scores.append(np.full(len(strong), np.nan))
        scores[-1][one.places] = one.predicted[:, 0] - one.predicted[:, 1]

    def apgr(one: NDArray, places: NDArray) -> float:
        asked = places[~np.isnan(one[places])]
        return average_gap_recovered(one[asked], strong[asked], weak[asked])

    everywhere = np.arange(len(strong))
    each = [apgr(one, everywhere) for one in scores]
    groups = np.unique(subjects, return_inverse=True)[1] if part == "unseen" else everywhere
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    rng = np.random.default_rng(0)
    drawn_means = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, len(members), len(members))
        places = np.concatenate([members[group] for group in drawn]) if part == "unseen" else drawn
        drawn_means.append(np.mean([apgr(one, places) for one in scores]))
    lower, upper = np.quantile(drawn_means, [0.025, 0.975])
    half, most = (
        100
        * np.mean(
            [
                strong_share_for(gap, s[one.places], strong[one.places], weak[one.places])
                for s, one in zip(scores, scored, strict=True)
            ]
        )
        for gap in (0.5, 0.8)
    )
    errors = [
        np.mean([expected_calibration_error(one.predicted[:, arm], found.rewards[one.places, arm]) for one in scored])
        for arm in (0, 1)
    ]
    print(
        f"mmlu {part:<9} APGR {np.mean(each):.4f} [{lower:.4f}, {upper:.4f}] (goal {TARGETS[part]}; seeds "
        f"{' '.join(f'{one:.4f}' for one in each)}), CPT50 {half:.1f}, CPT80 {most:.1f}, "
        f"ECE {errors[0]:.3f} (strong) {errors[1]:.3f} (weak)",
        flush=True,
    )


def price_of(arm: str) -> float:
    """Return what a million tokens of one of the nine arms cost, USD."""
    return PRICES.get(arm, 0.9 if any(mark in arm for mark in DEAR) else 0.2)


def run_nine(found: Outcomes, seeds: int) -> None:
    """Measure nine arms, by text and with the task label, and print both."""
    prices = np.array([price_of(arm) for arm in found.arms])
    for part, known in (("text", replace(found, domains=[None] * len(found.prompts))), ("task label", found)):
        best, oracle = found.rewards.mean(axis=0).max(), found.rewards.max(axis=1).mean()
        gaps, saved, lost = [], [], []
        for seed in range(seeds):
            folds = deal_folds(found.keys, seed)
            predicted = predict_out_of_fold(known, folds)
            earned = found.rewards[np.arange(len(folds)), predicted.argmax(axis=1)].mean()
            gaps.append((earned - best) / (oracle - best))
            kept = np.array(list(_serve_cheaply(predicted, found.rewards, prices, folds)))
            saved.append(1.0 - kept[:, 1].sum() / len(folds) / prices[found.rewards.mean(axis=0).argmax()])
            lost.append(kept[:, 0].sum() / len(folds) - best)
        shown = [
            f"{100 * np.mean(values):.1f} ({', '.join(f'{100 * one:.1f}' for one in values)})"
            for values in (gaps, saved)
        ]
        print(
            f"nine arms, {part}: {shown[0]} % of the oracle gap; {shown[1]} % saved at {np.mean(lost):+.4f} reward",
            flush=True,
        )


def _serve_cheaply(
    predicted: NDArray, rewards: NDArray, prices: NDArray, folds: NDArray
) -> Iterator[tuple[float, float]]:
    """Yield per fold the reward and cost earned at the dearest weight of cost that lost nothing on the other folds."""
    weights = [0.0, *np.geomspace(0.005, 2.0, 60)]

    def earn(places: NDArray, weight: float) -> tuple[float, float]:
        taken = (predicted[places] - weight * prices).argmax(axis=1)
        return float(rewards[places, taken].sum()), float(prices[taken].sum())

    for fold in range(FOLDS):
        others = np.flatnonzero(folds != fold)
        enough = rewards[others].sum(axis=0).max()
        yield earn(np.flatnonzero(folds == fold), max(w for w in weights if w == 0.0 or earn(others, w)[0] >= enough))


def run_refit(found: Outcomes) -> None:
    """Time a fit of 10,000 rows, and say how large its checkpoint is."""
    samples = build_samples(found, range(5_000), None)
    fit_router(samples.slice(0, 600), {})  # loads scikit-learn, which is not to be counted
    before = time.process_time()
    router = fit_router(samples, {})
    size = sum(array.nbytes for array in router.arrays().values()) + sum(map(len, router.featuriser.terms))
    print(
        f"refit of {samples.num_rows:,} rows: {time.process_time() - before:.1f} CPU-s, arrays and terms {size / 1e6:.1f} MB"
    )


def main() -> None:
    """Measure the parts asked for, or say in one line what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of routellm-mmlu/ and llmrouter-half/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", default=[*TARGETS, "nine", "refit"], choices=[*TARGETS, "nine", "refit"])
    asked = parser.parse_args()
    paths = {name: asked.data / name / "outcomes.parquet" for name in ("routellm-mmlu", "llmrouter-half")}
    for path in paths.values():
        if not path.is_file():
            sys.exit(f"router_models: {path} is absent. Fix: give the folder with --data")
    mmlu = read_outcomes(paths["routellm-mmlu"])
    print(f"{len(mmlu.prompts):,} questions, {asked.seeds} seeds, {FOLDS} folds")
    for part in asked.parts:
        if part == "nine":
            run_nine(read_outcomes(paths["llmrouter-half"]), asked.seeds)
        elif part == "refit":
            run_refit(mmlu)
        else:
            run_mmlu(mmlu, part, asked.seeds)


if __name__ == "__main__":
    main()
