"""How long one choice of the client takes, in this process, beside the plain scikit-learn pipeline of the same shape.

Prints the median and the 99th percentile in microseconds, and their ratio in this one run. It does not measure loading a champion, other
machines, or a loaded process: the ratio is what to compare.

    python benchmarks/client_choice.py [--choices 4000]
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from memloop_assets.featuriser import read_terms
from memloop_assets.routing.training import fit_router
from memloop_assets.simulate import ARMS, World, draw_tasks, true_reward
from memloop_assets.tasks import task_key
from memloop_assets.weeks import IsoWeek

PROMPT_CHARACTERS = 500
SAMPLE_COUNT = 4_000


def draw_samples(world: World) -> pa.Table:
    """Return trials of the simulated world: each task tried by one arm at random, its reward drawn from the truth."""
    rng = np.random.default_rng(0)
    names = list(ARMS)
    rows = []
    for number, task in enumerate(draw_tasks(world, world.first_week, SAMPLE_COUNT, "client-choice")):
        arm = names[rng.integers(len(names))]
        reward = float(rng.random() < true_reward(world, task, world.first_week)[arm])
        rows.append(
            {
                "example_id": f"{number:06d}",
                "task_key": task_key(task.text),
                "task_text": task.text,
                "domain": None,
                "arm": arm,
                "reward": reward,
                "cost_usd": ARMS[arm].price_usd,
                "latency_ms": None,
                "propensity": 1 / len(names),
                "weight": 1.0,
            }
        )
    return pa.Table.from_pylist(rows)


def lengthen(texts: Sequence[str]) -> list[str]:
    """Return prompts of about 500 characters, each several requests of the world in a row."""
    prompts, parts = [], list(texts)
    while parts:
        prompt = parts.pop()
        while parts and len(prompt) < PROMPT_CHARACTERS:
            prompt = f"{prompt} {parts.pop()}"
        prompts.append(prompt[:PROMPT_CHARACTERS])
    return prompts


def microseconds(choose: Callable[[str], object], prompts: Sequence[str], count: int) -> np.ndarray:
    """Return how long each of ``count`` calls took, after a short warm-up."""
    taken = np.empty(count)
    for prompt in prompts[:50]:
        choose(prompt)
    for number in range(count):
        prompt = prompts[number % len(prompts)]
        start = time.perf_counter_ns()
        choose(prompt)
        taken[number] = (time.perf_counter_ns() - start) / 1_000
    return taken


def main() -> None:
    """Fit once, time both, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choices", type=int, default=4_000)
    count = parser.parse_args().choices
    world = World(first_week=IsoWeek(2026, 2), week_count=1)
    samples = draw_samples(world)
    router = fit_router(samples, {})
    texts = samples["task_text"].to_pylist()
    plain = make_pipeline(TfidfVectorizer(analyzer=read_terms, sublinear_tf=True, min_df=3), Ridge(alpha=7.0))
    rewards = np.array(samples["reward"].to_pylist())
    plain.fit(texts, np.column_stack([rewards] * len(ARMS)))
    prompts = lengthen(texts)
    ours = microseconds(router.choose, prompts, count)
    theirs = microseconds(lambda prompt: plain.predict([prompt]), prompts, count // 10)
    print(
        f"{len(router.arms)} arms, {len(router.featuriser.terms):,} terms, {count:,} choices of {PROMPT_CHARACTERS} characters"
    )
    for name, taken in (("memloop choice", ours), ("scikit-learn prediction alone", theirs)):
        print(f"  {name:<30} median {np.median(taken):7.0f} us, p99 {np.quantile(taken, 0.99):7.0f} us")
    print(f"  ratio of medians {np.median(theirs) / np.median(ours):.1f}")


if __name__ == "__main__":
    main()
