"""A table with a column of every type, a few rows of it, and any rows of it: what tests of the store write."""

from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import strategies as st

from memloop_assets.contracts import Column, TableContract

THINGS = TableContract(
    name="things",
    row="one thing",
    key=("thing_id",),
    columns=(
        Column("thing_id", "string", "identity"),
        Column("text", "string", "text", nullable=True),
        Column("part_count", "int", "parts", nullable=True),
        Column("share_ratio", "float", "share", nullable=True),
        Column("is_known", "bool", "whether it is known", nullable=True),
        Column("seen_at", "time", "when it was seen", nullable=True),
    ),
)
Row = dict[str, object]
ROWS: list[Row] = [
    {"thing_id": "a", "text": "x", "part_count": 1, "share_ratio": 0.5, "is_known": True, "seen_at": None},
    {"thing_id": "b", "text": None, "part_count": None, "share_ratio": None, "is_known": None, "seen_at": None},
    {
        "thing_id": "c",
        "text": "",
        "part_count": 0,
        "share_ratio": 0.0,
        "is_known": False,
        "seen_at": datetime(2026, 3, 17, tzinfo=UTC),
    },
]

CELLS = {
    "text": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    "part_count": st.none() | st.integers(-(2**63), 2**63 - 1),
    "share_ratio": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "is_known": st.none() | st.booleans(),
    "seen_at": st.none()
    | st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(lambda d: d.replace(tzinfo=UTC)),  # noqa: DTZ001
}
SOME_ROWS = st.lists(
    st.fixed_dictionaries({"thing_id": st.text(st.characters(exclude_categories=["Cs"]), max_size=4), **CELLS}),
    max_size=12,
    unique_by=lambda row: row["thing_id"],
)


def things(rows: list[Row]) -> pa.Table:
    return THINGS.conform(THINGS.table(rows))
