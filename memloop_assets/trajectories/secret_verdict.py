"""The verdict that a table holds no secret: what is certain to be one is looked for once more before anything is published.

The rules are those of ``secret_rules``; this is the last look, by another way than the redaction itself took.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa

from memloop_assets.store import Verdict
from memloop_assets.trajectories.secret_gates import gates_of_all, open_gates
from memloop_assets.trajectories.secret_rules import Rule

RULE_NAME = "no secret"


def no_secrets(rules: Sequence[Rule]) -> Callable[[pa.Table], Verdict]:
    """Return the store's rule that no text of a table holds a find of a rule that is certain; what was found is not quoted."""
    certain = [rule for rule in rules if rule.is_certain]

    def judge(table: pa.Table) -> Verdict:
        found = []
        for name in (field.name for field in table.schema if pa.types.is_large_string(field.type)):
            found += [f"{count} x {rule} in {name}" for rule, count in _finds(table[name], certain).items()]
        listed = ", ".join(found)
        return Verdict(RULE_NAME, not found, listed or f"none of {len(certain)} certain rules finds one")

    return judge


def secrets_in(value: Any, rules: Sequence[Rule]) -> list[str]:
    """Return the names of the certain rules that find something in a JSON value, keys and values; what was found is not quoted."""
    gates = open_gates(orjson.dumps(value))
    among = [rule for rule in rules if rule.is_certain and rule.gate in gates]
    return [rule.name for rule in among if any(True for text in _texts_of(value) for _ in rule.find(text))]


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_of(inner)


def _finds(column: pa.ChunkedArray, rules: Sequence[Rule]) -> dict[str, int]:
    """Return the count of values with a find, by rule; only a value that passes a rule's gate is looked at by itself."""
    counts: Counter[str] = Counter()
    for chunk in column.chunks:
        values = chunk.cast(pa.large_binary())
        for place, gates in gates_of_all(values).items():
            text = values[place].as_py().decode("utf-8", "replace")
            counts.update(rule.name for rule in rules if rule.gate in gates and any(True for _ in rule.find(text)))
    return dict(counts)
