"""Table contracts: one declaration of a table's columns, types, keys and bounds.

The same declaration validates rows before they are published, becomes the column schema in the UI and the page ``docs/tables.md``.
Which tables exist is told in each room's ``tables.py``, not here.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from memloop_assets.errors import ContractBroken

ColumnType = Literal["string", "int", "float", "bool", "time", "json"]

_ARROW_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.large_string(),
    "json": pa.large_string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a name with its unit in the suffix, a type, and what a value may be.

    ``minimum`` and ``maximum`` are inclusive; ``allowed`` lists the only values a string may take. ``json`` is a string of canonical JSON.
    """

    name: str
    type: ColumnType
    description: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableContract:
    """What one table promises: its columns in order, the key that is unique, and what a row is."""

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pa.Schema:
        """Return the Arrow schema; strings are large strings, times are microseconds in UTC."""
        return pa.schema([pa.field(c.name, _ARROW_TYPES[c.type], nullable=c.nullable) for c in self.columns])

    @property
    def hash(self) -> str:
        """Return a short hash of the column names, types and key, as recorded in manifests."""
        shape = [[c.name, c.type, c.nullable] for c in self.columns]
        return hashlib.sha256(json.dumps([self.name, self.key, shape]).encode()).hexdigest()[:16]

    def table(self, rows: Iterable[Mapping[str, object]]) -> pa.Table:
        """Build a table from rows given as mappings; a column that a row lacks is null, one that is unknown is refused."""
        rows = list(rows)
        names = {c.name for c in self.columns}
        unknown = sorted({name for row in rows for name in row} - names)
        if unknown:
            raise ContractBroken(
                self.name, f"columns {unknown} are not in its contract", "name them there or leave them out"
            )
        columns = []
        for field in self.schema:
            values = [row.get(field.name) for row in rows]
            try:
                columns.append(_without_loss(values, field.type))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
                raise ContractBroken(
                    self.name,
                    f"column {field.name} holds a value that is not a {field.type} ({error})",
                    "mend its builder",
                ) from error
        return pa.table(columns, schema=self.schema)

    def conform(self, table: pa.Table) -> pa.Table:
        """Return the table in contract order and types, sorted by key, in one chunk; raises ContractBroken where it cannot be."""
        wanted = self.schema
        if sorted(table.column_names) != sorted(wanted.names):
            missing = sorted(set(wanted.names) - set(table.column_names))
            extra = sorted((Counter(table.column_names) - Counter(wanted.names)).keys())
            raise ContractBroken(
                self.name, f"columns missing {missing}, unknown or twice {extra}", "build every column of the contract"
            )
        try:
            table = pa.table([table[field.name].cast(field.type) for field in wanted], schema=wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ContractBroken(
                self.name, f"a column has the wrong type ({error})", "build it as the contract says"
            ) from error
        return table.sort_by([(name, "ascending") for name in self.key]).combine_chunks()

    def violations(self, table: pa.Table) -> list[str]:
        """Return what is wrong with a conformed table, in words; an empty list means that it keeps its contract."""
        found: list[str] = []
        for column in self.columns:
            found += _column_violations(column, table[column.name])
        repeated = _count_repeats([table[name] for name in self.key])
        if repeated:
            found.append(f"key {self.key} repeats in {repeated} rows")
        return found


def _without_loss(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    """Return values as an Arrow array; Arrow itself would cut 1.5 to the integer 1 in silence, here it raises ArrowInvalid."""
    if pa.types.is_integer(kind):
        cut = next((v for v in values if isinstance(v, float) and not v.is_integer()), None)
        if cut is not None:
            message = f"{cut} is not a whole number"
            raise pa.ArrowInvalid(message)
    return pa.array(values, type=kind)


def _count_repeats(keys: Sequence[pa.ChunkedArray]) -> int:
    """Return how many rows equal the one before them in every key, null being equal to null; the rows are sorted by these."""
    count = len(keys[0])
    same = pa.array([True] * (count - 1), pa.bool_())
    for key in keys:
        row, before = key.slice(1), key.slice(0, max(count - 1, 0))
        are_both_null = pc.and_(pc.is_null(row), pc.is_null(before))
        same = pc.and_(same, pc.or_(are_both_null, pc.fill_null(pc.equal(row, before), False)))
    return pc.sum(same).as_py() or 0


def _column_violations(column: Column, values: pa.ChunkedArray) -> Sequence[str]:
    found: list[str] = []
    if not column.nullable and values.null_count:
        found.append(f"{column.name} is null in {values.null_count} rows")
    present = values.drop_null()
    if column.type == "float":
        count = len(present) - (pc.sum(pc.is_finite(present)).as_py() or 0)
        if count:
            found.append(f"{column.name} is not finite in {count} rows")
    if column.minimum is not None:
        count = pc.sum(pc.less(present, column.minimum)).as_py() or 0
        if count:
            found.append(f"{column.name} is below {column.minimum} in {count} rows")
    if column.maximum is not None:
        count = pc.sum(pc.greater(present, column.maximum)).as_py() or 0
        if count:
            found.append(f"{column.name} is above {column.maximum} in {count} rows")
    if column.allowed:
        strange = sorted(set(pc.unique(present).to_pylist()) - set(column.allowed))
        if strange:
            found.append(f"{column.name} holds {strange[:3]}, allowed are {list(column.allowed)}")
    return found
