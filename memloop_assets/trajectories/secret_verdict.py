"""The verdict that a table holds no secret: what is certain to be one is looked for once more before anything is published.

The rules are those of ``secret_rules``; this is the last look, by another way than the redaction itself took.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa

from memloop_assets.store import Verdict
from memloop_assets.trajectories.redaction import open_gates
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
    """Return the count of values with a find, by rule; the whole column is scanned at once, and only a find looks at single values."""
    whole = b"\n".join(_bytes_of(chunk) for chunk in column.chunks)
    gates = open_gates(whole)
    open_rules = [rule for rule in rules if rule.gate in gates]
    if not open_rules:
        return {}
    text = whole.decode("utf-8", "replace")
    suspects = [rule for rule in open_rules if any(True for _ in rule.find(text))]
    values = column.drop_null().to_pylist() if suspects else []
    counts = {rule.name: sum(any(True for _ in rule.find(value)) for value in values) for rule in suspects}
    return {name: count for name, count in counts.items() if count}


def _bytes_of(chunk: pa.Array) -> bytes:
    """Return the bytes of all strings of an array, one after the other."""
    data = chunk.buffers()[2]
    if not len(chunk) or data is None:
        return b""
    offsets = memoryview(chunk.buffers()[1]).cast("q")
    return memoryview(data)[offsets[chunk.offset] : offsets[chunk.offset + len(chunk)]].tobytes()
