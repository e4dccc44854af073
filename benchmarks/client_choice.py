"""How long one choice of the client takes, in this process, beside a plain scikit-learn pipeline of the same models.

Prints the median and the 99th percentile in microseconds, and their ratio in this one run, by two clocks: the wall clock, which is
what a user waits on a quiet machine, and the CPU time of the one thread, which a busy machine changes less. scikit-learn's pipeline
has the same words, hand features, logistic regressions and trees as the router, but no task memory, no rule and no reason: what ours
does beyond it counts against us. It does not measure loading a champion or other machines: the ratio is what to compare.

    python benchmarks/client_choice.py [--choices 4000]
"""

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from memloop_assets.featuriser import measure_text, read_terms
from memloop_assets.routing.training import fit_router
from memloop_assets.simulate import ARMS, World, draw_tasks, true_reward
from memloop_assets.tasks import task_key
from memloop_assets.weeks import IsoWeek

PROMPT_CHARACTERS = 500
SAMPLE_COUNT = 4_000
CLOCKS = {"wall clock": time.perf_counter_ns, "CPU time": time.thread_time_ns}


def draw_samples(world: World, arm_count: int) -> pa.Table:
    """Return trials of the simulated world: each task tried by one arm at random, its reward drawn from the truth.

    The arms are the world's, in their order and again under other names where it has too few. Half of the tasks name their
    domain; one in twenty comes again.
    """
    rng = np.random.default_rng(0)
    names = [f"{name}-{number // len(ARMS)}" for number, name in enumerate([*ARMS, *ARMS][:arm_count])]
    tasks = draw_tasks(world, world.first_week, SAMPLE_COUNT, "client-choice")
    rows = []
    for number in range(SAMPLE_COUNT):
        task = tasks[int(rng.integers(100))] if rng.random() < 0.05 else tasks[number]
        arm = names[rng.integers(len(names))]
        usual = arm.rpartition("-")[0]
        reward = float(rng.random() < true_reward(world, task, world.first_week)[usual])
        rows.append(
            {
                "example_id": f"{number:06d}",
                "task_key": task_key(task.text),
                "task_text": task.text,
                "domain": task.domain if rng.random() < 0.5 else None,
                "arm": arm,
                "reward": reward,
                "cost_usd": ARMS[usual].price_usd,
                "latency_ms": 100.0,
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
    """Return how long each of ``count`` calls took by both clocks, (2, count), after a short warm-up."""
    taken = np.empty((2, count))
    for prompt in prompts[:50]:
        choose(prompt)
    for number in range(count):
        prompt = prompts[number % len(prompts)]
        starts = [clock() for clock in CLOCKS.values()]
        choose(prompt)
        ends = [clock() for clock in reversed(CLOCKS.values())]
        taken[:, number] = [(end - start) / 1_000 for start, end in zip(starts, reversed(ends), strict=True)]
    return taken


def fit_plainly(samples: pa.Table) -> Callable[[Sequence[str]], object]:
    """Return the plain scikit-learn prediction: words and hand features, a logistic regression per arm, trees over 96 directions."""
    texts, arms = samples["task_text"].to_pylist(), np.array(samples["arm"].to_pylist())
    rewards = np.array(samples["reward"].to_pylist())
    words = TfidfVectorizer(analyzer=read_terms, sublinear_tf=True, min_df=3).fit(texts)
    scale = StandardScaler().fit(measure_all(texts))
    directions = TruncatedSVD(96, random_state=0).fit(words.transform(texts))

    def see(asked: Sequence[str]) -> tuple[sparse.csr_matrix, np.ndarray]:
        found, hand = words.transform(asked), scale.transform(measure_all(asked))
        return sparse.hstack([found, hand], format="csr"), np.hstack([directions.transform(found), hand])

    matrix, inputs = see(texts)
    names = sorted(set(arms.tolist()))
    linear = [LogisticRegression(C=0.7, max_iter=1_000).fit(matrix[arms == arm], rewards[arms == arm]) for arm in names]
    table = np.column_stack([np.where(arms == arm, rewards, rewards.mean()) for arm in names])
    trees = ExtraTreesRegressor(100, min_samples_leaf=8, max_depth=16, max_features=0.3, random_state=0)
    trees.fit(inputs, table)

    def predict(asked: Sequence[str]) -> object:
        found, shown = see(asked)
        chances = np.column_stack([one.predict_proba(found)[:, 1] for one in linear])
        return (chances + trees.predict(shown)) / 2

    return predict


def measure_all(texts: Sequence[str]) -> np.ndarray:
    """Return the raw hand features of some texts, (texts, features)."""
    return np.array([measure_text(text) for text in texts])


def measure(arm_count: int, count: int) -> None:
    """Fit once, time both, print."""
    world = World(first_week=IsoWeek(2026, 2), week_count=1)
    samples = draw_samples(world, arm_count)
    router, plain = fit_router(samples, {}), fit_plainly(samples)
    prompts = lengthen(samples["task_text"].to_pylist())
    domain = samples["domain"].drop_null()[0].as_py()
    ours = microseconds(lambda prompt: router.choose(prompt, domain=domain, draw=0.5), prompts, count)
    theirs = microseconds(lambda prompt: plain([prompt]), prompts, count // 20)
    batch = [prompts[number % len(prompts)] for number in range(1_000)]
    batched = [best_of_three(router.predict_reward_table, batch), best_of_three(plain, batch)]
    remembered = 0 if router.memory is None else len(router.memory.keys)
    print(
        f"{arm_count} arms, {len(router.featuriser.terms):,} terms, {remembered} remembered tasks, {count:,} choices of "
        f"{PROMPT_CHARACTERS} characters"
    )
    for clock, own, other in zip(CLOCKS, ours, theirs, strict=True):
        print(f"  by {clock}")
        for name, taken in (("memloop, the whole choice", own), ("scikit-learn, prediction alone", other)):
            print(f"    {name:<30} median {np.median(taken):7.0f} us, p99 {np.quantile(taken, 0.99):7.0f} us")
        print(f"    ratio of medians {np.median(other) / np.median(own):.1f}")
    shown = [" and ".join(f"{taken:.0f}" for taken in one) for one in batched]
    print(
        f"  a batch of 1,000, {' and '.join(CLOCKS)}: memloop {shown[0]} us each, scikit-learn {shown[1]} us each",
        flush=True,
    )


def best_of_three(predict: Callable[[Sequence[str]], object], batch: Sequence[str]) -> list[float]:
    """Return how many microseconds one text of a batch took, the best of three tries by each clock."""
    found = []
    for _ in range(3):
        starts = [clock() for clock in CLOCKS.values()]
        predict(batch)
        ends = [clock() for clock in CLOCKS.values()]
        found.append([(end - start) / 1_000 / len(batch) for start, end in zip(starts, ends, strict=True)])
    return np.min(found, axis=0).tolist()


def main() -> None:
    """Measure 2 and 9 arms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choices", type=int, default=4_000)
    count = parser.parse_args().choices
    for arm_count in (2, 9):
        measure(arm_count, count)


if __name__ == "__main__":
    main()
