"""How many planted secrets the redaction finds, by kind, place and wording, and what it takes for a secret in clean messages.

The plants are those of `memloop_tests/trajectories/foreign_places.py`, which was written without sight of the rules. A plant is found where
no half of it is left. Clean messages are tau-bench's, with `--clean FILE`: every find in them is printed, for a person to judge.
Not measured: how often secrets occur in your logs, and forms that neither author thought of.

    python -m benchmarks.secret_recall [--seed 1] [--per-cell 200] [--missed 0] [--clean ../shared/data/tau-bench/gpt-4o-airline.json]
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from memloop_assets.trajectories.redaction import Redactor
from memloop_tests.trajectories.foreign_places import KINDS, Plant, plants
from memloop_tests.trajectories.foreign_secrets import KEY_KINDS


def print_recall(title: str, planted: list[Plant], missed: list[Plant], name_of: Callable[[Plant], str]) -> None:
    """Print the share of plants that were found for each name that `name_of` gives them, the lowest first."""
    total, lost = Counter(map(name_of, planted)), Counter(map(name_of, missed))
    print(f"\n{title}")
    for name, count in sorted(total.items(), key=lambda item: (item[1] - lost[item[0]]) / item[1]):
        print(f"  {1 - lost[name] / count:.4f}  {count - lost[name]:>6} of {count:<6} {name}")


def print_false_hits(file: Path) -> None:
    """Print what the rules find in a file of tau-bench's, message by message."""
    found: Counter[str] = Counter()
    values: dict[str, set[str]] = {}
    runs = json.loads(file.read_bytes())
    for run in runs:
        for message in run["traj"]:
            redactor = Redactor()
            redactor.redact(message)
            found.update(redactor.counts)
            for value, placeholder in redactor.replaced.items():
                values.setdefault(placeholder.strip("<>").rsplit("_", 1)[0], set()).add(value)
    print(f"\n{sum(len(run['traj']) for run in runs)} clean messages: finds {dict(found)}")
    for label, told in values.items():
        print(f"  {label}: {len(told)} distinct, such as {sorted(told)[:5]}")


def main() -> None:
    """Plant, redact and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-cell", type=int, default=200, help="plants of each kind in each place")
    parser.add_argument("--missed", type=int, default=0, help="print so many plants that were missed of each kind")
    parser.add_argument("--clean", type=Path, help="a file of tau-bench's to look for false hits in")
    told = parser.parse_args()
    planted = list(plants(told.seed, told.per_cell))
    missed = [plant for plant in planted if plant.leaks(Redactor().redact(plant.record))]
    groups = {kind: "keys, tokens, passwords" if kind in KEY_KINDS else "personal data" for kind in KINDS}
    print_recall("by group", planted, missed, lambda plant: groups[plant.secret.kind])
    print_recall("by kind", planted, missed, lambda plant: plant.secret.kind)
    print_recall("by place", planted, missed, lambda plant: plant.place)
    print_recall("by kind and place, keys", planted, missed, lambda plant: f"{plant.secret.kind}, {plant.place}")
    print_recall("by kind and wording", planted, missed, lambda plant: f"{plant.secret.kind}, {plant.wording}")
    print_recall("by kind and flavour", planted, missed, lambda plant: f"{plant.secret.kind}, {plant.secret.flavour}")
    shown: Counter[str] = Counter()
    for plant in missed:
        shown[plant.secret.kind] += 1
        if shown[plant.secret.kind] <= told.missed:
            print(f"missed {plant.secret.kind} ({plant.place}, {plant.wording}): {json.dumps(plant.record)[:400]}")
    if told.clean:
        print_false_hits(told.clean)


if __name__ == "__main__":
    main()
