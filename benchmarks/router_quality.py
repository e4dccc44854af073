"""How good the loop's router is on real outcomes: RouteLLM's MMLU questions as twelve weeks of session logs, through the whole loop.

Per seed 3,000 questions (by normalised prompt, none that RouteLLM calls contaminated) are the holdout benchmark; the others
are logged over twelve ISO weeks, ingested and backfilled with the commands that a user types. What is measured is the last
week's router: APGR as RouteLLM defines it, over predicted strong minus predicted weak reward, thresholds swept. Variant
``single``: one arm per question, drawn at random, propensity 0.5 logged. Variant ``both``: both arms on every question.

Not measured: subjects that the training questions lack (splits share subjects), tasks other than multiple choice, other pairs
of arms, a router's own selective logs (here arms are drawn at random), latency. The price ratio of 20 is set, not observed.
Question intervals hold the router fixed; the interval over seeds speaks of splits and drawn arms of this one set of questions.

    python benchmarks/router_quality.py [--data outcomes.parquet] [--seeds 5] [--variants single both]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import stats

from memloop_assets.benchmarks.suite import load_suite
from memloop_assets.benchmarks.tradeoff import average_gap_recovered
from memloop_assets.datasets.snapshot import read_samples
from memloop_assets.home import Home, open_home
from memloop_assets.near_duplicates import NearDuplicateIndex
from memloop_assets.routing.checkpoint import load_checkpoint
from memloop_assets.routing.router import Router
from memloop_assets.routing.training import fit_router
from memloop_assets.routing.versions import BUILT_IN
from memloop_assets.tasks import task_key
from memloop_assets.weeks import IsoWeek

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "routellm-mmlu" / "outcomes.parquet"
STRONG, WEAK = "gpt-4-1106-preview", "mixtral-8x7b-instruct"
PRICES_USD = {STRONG: 0.02, WEAK: 0.001}
FIRST_WEEK = IsoWeek(2025, 2)
WEEK_COUNT = 12
HOLDOUT_TASKS = 3_000
TARGETS = {"single": 0.63, "both": 0.665}
RESAMPLES = 1_000


@dataclass(frozen=True)
class Question:
    """One question with what each arm earned on it; ``key`` is the identity of its normalised prompt."""

    task_id: str
    key: str
    prompt: str
    rewards: Mapping[str, float]
    domain: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One arm's attempt at one question, drawn with a known probability out of some arms."""

    question: Question
    arm: str
    candidate_arms: Sequence[str]
    propensity: float
    cost_usd: float
    session: str
    start: datetime

    def lines(self) -> Iterator[str]:
        """Yield its four lines as an agent logs them."""
        reward, domain = self.question.rewards[self.arm], self.question.domain
        route = {"arm": self.arm, "candidate_arms": list(self.candidate_arms), "propensity": self.propensity}
        verdict = {"success": reward >= 0.5, "reward": reward, "label_source": "checker", "cost_usd": self.cost_usd}
        events: tuple[Mapping[str, object], ...] = (
            {"type": "message", "role": "user", "content": self.question.prompt},
            {"type": "route", **route, **({} if domain is None else {"domain": domain})},
            {"type": "message", "role": "assistant", "content": "Answered."},
            {"type": "outcome", **verdict},
        )
        ids = {"session_id": self.session, "task_id": self.question.task_id}
        for place, event in enumerate(events):
            stamp = (self.start + timedelta(milliseconds=place)).isoformat()
            yield json.dumps({**event, **ids, "timestamp": stamp}) + "\n"


@dataclass(frozen=True)
class Measured:
    """What one seed of one variant came to; ``interval`` is the 95 % question bootstrap of ``apgr``.

    ``champion_apgr`` is None while the built-in policy is champion. ``fits`` tells what the backfill's CPU time would pay for, in fits of
    the last router.
    """

    apgr: float
    interval: tuple[float, float]
    champion_apgr: float | None
    decisions: Sequence[str]
    rows: Mapping[str, int]
    served: str
    fits: float


def read_questions(path: Path) -> list[Question]:
    """Read the questions that RouteLLM reports on, each with both rewards, ordered by id."""
    prompts: dict[str, str] = {}
    rewards: dict[str, dict[str, float]] = {}
    for row in pq.read_table(path).to_pylist():
        if not row["contaminated"]:
            prompts[row["task_id"]] = row["prompt"]
            rewards.setdefault(row["task_id"], {})[row["arm"]] = row["reward"]
    return [Question(name, task_key(prompts[name]), prompts[name], rewards[name]) for name in sorted(prompts)]


def split_questions(questions: Sequence[Question], seed: int) -> tuple[list[Question], list[Question]]:
    """Return the questions to log, in the order of their logging, and those to hold out: 3,000 tasks, whatever their ids."""
    rng = np.random.default_rng([seed, 1])
    keys = sorted({question.key for question in questions})
    held = {keys[place] for place in rng.permutation(len(keys))[:HOLDOUT_TASKS]}
    logged = [question for question in questions if question.key not in held]
    order = rng.permutation(len(logged))
    return [logged[place] for place in order], [question for question in questions if question.key in held]


def write_benchmark(questions: Iterable[Question], prices_usd: Mapping[str, float], path: Path) -> None:
    """Write the long table of the held-out questions."""
    rows = [
        {"task_id": one.task_id, "prompt": one.prompt, "arm": arm, "reward": reward, "cost_usd": prices_usd[arm]}
        | ({} if one.domain is None else {"domain": one.domain})
        for one in questions
        for arm, reward in one.rewards.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def write_logs(questions: Sequence[Question], variant: str, seed: int, folder: Path) -> int:
    """Write native session logs, the questions dealt evenly over the weeks; return how many trajectories."""
    rng = np.random.default_rng([seed, 2])
    span = timedelta(weeks=WEEK_COUNT)
    attempts: list[Attempt] = []
    for number, question in enumerate(questions):
        drawn = (STRONG, WEAK)[int(rng.integers(2))]
        start = FIRST_WEEK.start + span * (number / len(questions))
        for arm in (STRONG, WEAK) if variant == "both" else (drawn,):
            propensity = 1.0 if variant == "both" else 0.5
            session = f"s-{len(attempts) + 1:05d}"
            attempts.append(Attempt(question, arm, (STRONG, WEAK), propensity, PRICES_USD[arm], session, start))
    write_sessions(attempts, folder)
    return len(attempts)


def write_sessions(attempts: Iterable[Attempt], folder: Path) -> None:
    """Write attempts as native session logs, one file per day."""
    folder.mkdir(exist_ok=True)
    days: dict[str, list[str]] = {}
    for attempt in attempts:
        days.setdefault(f"{attempt.start:%Y-%m-%d}", []).extend(attempt.lines())
    for day, lines in days.items():
        (folder / f"session_{day}.jsonl").write_text("".join(lines), encoding="utf-8")


def write_prices(prices_usd: Mapping[str, float], folder: Path) -> None:
    """Write a home's settings: what each arm costs per call."""
    prices = "".join(f'[arms."{arm}"]\nusd_per_call = {price}\n' for arm, price in prices_usd.items())
    (folder / "memloop.toml").write_text(prices, encoding="utf-8")


def run_loop(logged: Sequence[Question], held: Sequence[Question], variant: str, seed: int, folder: Path) -> Measured:
    """Take a new home through ingest, import and backfill, and measure its last router. Ends the program where rows are lost."""
    write_prices(PRICES_USD, folder)
    write_benchmark(held, PRICES_USD, folder / "mmlu.parquet")
    count = write_logs(logged, variant, seed, folder / "logs")
    run_memloop(folder, "ingest", str(folder / "logs"))
    run_memloop(folder, "benchmark", "import", str(folder / "mmlu.parquet"), "--holdout-share", "1.0")
    last = FIRST_WEEK.shift(WEEK_COUNT - 1)
    seconds = run_memloop(folder, "backfill", f"{FIRST_WEEK}..{last}")
    home = open_home(folder, {}, lambda: datetime.now(tz=UTC))
    rows = _count_rows(home)
    taught = count - sum(_repeats(logged, held)) * count // len(logged)
    if rows != {"trajectories": count, "router_samples": taught, "snapshot": taught}:
        sys.exit(f"rows were lost or invented: {rows}, of {count:,} attempts {taught:,} repeat no holdout task")
    return _measure(home, rows, seconds)


def run_memloop(folder: Path, *words: str) -> float:
    """Run a memloop command on a home; return its CPU seconds. Ends the program with its words where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [str(Path(sys.executable).with_name("memloop")), "--home", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 — this project's own command
    if done.returncode:
        sys.exit(f"memloop {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _repeats(logged: Sequence[Question], held: Sequence[Question]) -> list[bool]:
    """Tell of each logged question whether it nearly repeats a held-out one: those must not teach."""
    index = NearDuplicateIndex(one.prompt for one in held)
    return [index.find(one.prompt) is not None for one in logged]


def _count_rows(home: Home) -> dict[str, int]:
    """Return the rows of the weekly tables over all weeks, and of the last snapshot's samples."""
    weeks = home.store.weeks("router_samples")
    counts = {
        name: sum(home.store.read(name, w).num_rows for w in weeks) for name in ("trajectories", "router_samples")
    }
    return {**counts, "snapshot": read_samples(home.store, weeks[-1]).num_rows}


def _measure(home: Home, rows: Mapping[str, int], seconds: float) -> Measured:
    weeks = home.store.weeks("promotion_decision")
    decided = [home.store.read("promotion_decision", week).to_pylist()[0] for week in weeks]
    router = load_checkpoint(home.places.router_versions, decided[-1]["challenger"])
    scores, strong, weak = _score_holdout(home, router)
    champion = home.ledger.champion_as_of()
    champion_apgr = None
    if champion != BUILT_IN:
        loaded = load_checkpoint(home.places.router_versions, champion)
        champion_apgr = average_gap_recovered(_score_holdout(home, loaded)[0], strong, weak)
    samples = read_samples(home.store, weeks[-1])
    fit_router(samples.slice(0, 200), home.arm_prices)  # loads scikit-learn, which is not to be counted
    before = time.process_time()
    fit_router(samples, home.arm_prices)
    last = decided[-1]
    cost = last["challenger_cost_usd"] / PRICES_USD[STRONG]
    return Measured(
        apgr=average_gap_recovered(scores, strong, weak),
        interval=_bootstrap(scores, strong, weak),
        champion_apgr=champion_apgr,
        decisions=[row["outcome"] for row in decided],
        rows=rows,
        served=f"{last['challenger_reward'] / strong.mean():.1%} of the strong arm's reward at {cost:.1%} of its cost",
        fits=seconds / (time.process_time() - before),
    )


def _score_holdout(home: Home, router: Router) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return predicted strong minus weak reward, and both true rewards, each (tasks,)."""
    tasks = load_suite(home.places.benchmark_suite).tasks_of("holdout")
    predicted = router.predict_reward_table([task.prompt for task in tasks])
    strong, weak = (np.array([task.outcomes[arm].reward for task in tasks]) for arm in (STRONG, WEAK))
    return predicted[:, router.arms.index(STRONG)] - predicted[:, router.arms.index(WEAK)], strong, weak


def _bootstrap(
    scores: NDArray[np.float64], strong: NDArray[np.float64], weak: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the APGR over resampled questions, the router held fixed."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, scores.size, scores.size) for _ in range(RESAMPLES)]
    found = [average_gap_recovered(scores[places], strong[places], weak[places]) for places in drawn]
    lower, upper = np.quantile(found, [0.025, 0.975])
    return float(lower), float(upper)


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of some seeds' values with its 95 % t interval; without bounds (NaN) for one seed."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def run_variant(questions: Sequence[Question], variant: str, seeds: int) -> None:
    """Run and print one variant, seed by seed and in the mean."""
    print(f"\n{variant}: {'one arm drawn per question' if variant == 'single' else 'both arms on every question'}")
    measured = []
    for seed in range(seeds):
        logged, held = split_questions(questions, seed)
        with tempfile.TemporaryDirectory(prefix="memloop-quality-") as folder:
            one = run_loop(logged, held, variant, seed, Path(folder))
        measured.append(one)
        champion = "built-in" if one.champion_apgr is None else f"{one.champion_apgr:.3f}"
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in Counter(one.decisions).most_common())
        print(
            f"  seed {seed}: APGR {one.apgr:.3f} [{one.interval[0]:.3f}, {one.interval[1]:.3f}], "
            f"last champion {champion}; decisions {outcomes}; promoted in week "
            f"{', '.join(str(n) for n, o in enumerate(one.decisions, 1) if o == 'promote') or '-'}"
        )
        rows = ", ".join(f"{number:,} {name}" for name, number in one.rows.items())
        print(
            f"          rows {rows}; its own rule serves {one.served}; backfill = {one.fits:.0f} fits of CPU",
            flush=True,
        )
    mean, lower, upper = mean_interval([one.apgr for one in measured])
    target = TARGETS[variant]
    verdict = "reached" if mean >= target else f"missed by {target - mean:.4f}"
    print(
        f"  mean over {seeds} seeds {mean:.4f} [{lower:.4f}, {upper:.4f}] (95 % t interval); target {target}: {verdict}"
    )


def main() -> None:
    """Measure the variants asked for, or say in one line what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="outcomes.parquet of RouteLLM's MMLU questions")
    parser.add_argument("--seeds", type=int, default=5, help="split seeds per variant (default 5)")
    parser.add_argument("--variants", nargs="+", choices=sorted(TARGETS), default=["single", "both"])
    options = parser.parse_args()
    if not options.data.is_file():
        sys.exit(f"router_quality: {options.data} is absent. Fix: give RouteLLM's MMLU outcomes with --data PATH")
    questions = read_questions(options.data)
    print(
        f"{len(questions):,} questions, {len({one.key for one in questions}):,} distinct; {HOLDOUT_TASKS:,} held out, "
        f"{WEEK_COUNT} weeks, {STRONG} at 20 times the price of {WEAK}"
    )
    for variant in options.variants:
        run_variant(questions, variant, options.seeds)


if __name__ == "__main__":
    main()
