"""Table contracts: each way to break one is found and said in words, and a table that keeps it comes out in one shape."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from memloop_assets.contracts import Column, TableContract
from memloop_assets.errors import ContractBroken

NOON = datetime(2026, 3, 17, 12, tzinfo=UTC)
THINGS = TableContract(
    name="things",
    row="one thing",
    key=("week", "thing_id"),
    columns=(
        Column("week", "string", "ISO week"),
        Column("thing_id", "string", "identity"),
        Column("kind", "string", "kind of thing", nullable=True, allowed=("tool", "model")),
        Column("part_count", "int", "parts", nullable=True, minimum=0, maximum=10),
        Column("share_ratio", "float", "share", nullable=True, minimum=0, maximum=1),
        Column("is_known", "bool", "whether it is known", nullable=True),
        Column("seen_at", "time", "when it was seen", nullable=True),
        Column("extra_json", "json", "more", nullable=True),
    ),
)


def thing(thing_id: str = "a", **values: object) -> dict[str, object]:
    return {"week": "2026-W12", "thing_id": thing_id, **values}


def violations(*rows: dict[str, object]) -> list[str]:
    return THINGS.violations(THINGS.conform(THINGS.table(rows)))


def test_rows_become_a_table_in_contract_order_with_contract_types() -> None:
    row = thing(extra_json="{}", seen_at=NOON, is_known=True, share_ratio=1, part_count=3.0, kind="tool")
    table = THINGS.table([row])
    assert table.schema == THINGS.schema
    assert table.to_pylist() == [{**row, "share_ratio": 1.0, "part_count": 3}]
    assert table.schema.field("seen_at").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("extra_json").type == pa.large_string()


def test_a_column_that_a_row_lacks_is_null_and_one_that_is_unknown_is_refused() -> None:
    assert THINGS.table([thing()]).to_pylist()[0]["kind"] is None
    with pytest.raises(ContractBroken, match=r"things: columns \['colour', 'size'\] are not in its contract"):
        THINGS.table([thing(), thing("b", size=1, colour="red")])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("thing_id", 3),
        ("thing_id", ["a"]),
        ("thing_id", {"a": 1}),
        ("thing_id", "\ud800"),
        ("part_count", "3"),
        ("part_count", 1.5),
        ("part_count", float("nan")),
        ("part_count", True),
        ("part_count", 2**63),
        ("share_ratio", "1"),
        ("share_ratio", 2**53 + 1),
        ("is_known", 1),
        ("is_known", "yes"),
        ("seen_at", "2026-03-17"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name_and_never_cut_to_fit(column: str, value: object) -> None:
    with pytest.raises(ContractBroken, match=rf"things: column {column} holds a value that is not a"):
        THINGS.table([thing(), {**thing("b"), column: value}])


def test_a_table_without_rows_keeps_every_contract() -> None:
    empty = THINGS.conform(THINGS.table([]))
    assert empty.schema == THINGS.schema
    assert empty.num_rows == 0
    assert THINGS.violations(empty) == []


def test_a_sound_table_breaks_nothing() -> None:
    edges = thing("a", part_count=0, share_ratio=0.0), thing("b", part_count=10, share_ratio=1.0, kind="model")
    assert violations(*edges) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([thing(), {"week": "2026-W12"}, {"week": "2026-W12"}], "thing_id is null in 2 rows"),
        ([thing(part_count=-1), thing("b", part_count=-7)], "part_count is below 0 in 2 rows"),
        ([thing(part_count=11)], "part_count is above 10 in 1 rows"),
        ([thing(share_ratio=-1e-9)], "share_ratio is below 0 in 1 rows"),
        ([thing(share_ratio=1.000001)], "share_ratio is above 1 in 1 rows"),
        ([thing(share_ratio=float("nan"))], "share_ratio is not finite in 1 rows"),
        ([thing(share_ratio=float("inf"))], "share_ratio is not finite in 1 rows"),
        ([thing(kind="Tool"), thing("b", kind="skill")], "kind holds ['Tool', 'skill'], allowed are ['tool', 'model']"),
        ([thing(kind="")], "kind holds [''], allowed are ['tool', 'model']"),
        ([thing(), thing(), thing(), thing("b")], "key ('week', 'thing_id') repeats in 2 rows"),
    ],
)
def test_each_way_to_break_a_contract_is_told_in_words(rows: list[dict[str, object]], message: str) -> None:
    assert message in violations(*rows)


def test_several_faults_are_all_told() -> None:
    found = violations(thing(kind="x", part_count=-1), thing(share_ratio=2.0))
    assert len(found) == 4


def test_half_of_a_key_may_repeat() -> None:
    assert violations(thing("a"), thing("b"), {**thing("a"), "week": "2026-W13"}) == []


def test_in_a_key_that_may_be_null_null_equals_only_null() -> None:
    by_kind = replace(THINGS, key=("kind", "thing_id"))
    rows = [thing("a"), thing("a", kind="tool"), thing("a", kind="model"), thing("b")]
    assert by_kind.violations(by_kind.conform(by_kind.table(rows))) == []
    found = by_kind.violations(by_kind.conform(by_kind.table([*rows, thing("b"), thing("a", kind="tool")])))
    assert found == ["key ('kind', 'thing_id') repeats in 2 rows"]


def test_conforming_orders_rows_by_key_and_columns_by_contract_in_one_chunk() -> None:
    rows = [thing("b"), {**thing("a"), "week": "2026-W13"}, thing("a")]
    parts = [THINGS.table([row]).select(THINGS.schema.names[::-1]) for row in rows]
    table = THINGS.conform(pa.concat_tables(parts))
    assert table.column_names == THINGS.schema.names
    assert [(row["week"], row["thing_id"]) for row in table.to_pylist()] == [
        ("2026-W12", "a"),
        ("2026-W12", "b"),
        ("2026-W13", "a"),
    ]
    assert {column.num_chunks for column in table.columns} == {1}


def test_other_types_that_hold_the_same_values_are_cast() -> None:
    plain = THINGS.conform(THINGS.table([thing("a", part_count=3, share_ratio=1.0, kind="tool", seen_at=NOON)]))
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))
    columns = {
        "week": pa.array(["2026-W12"]).dictionary_encode(),
        "thing_id": pa.array(["a"], pa.string_view()),
        "kind": pa.array(["tool"]).dictionary_encode(),
        "part_count": pa.array([3.0], pa.float32()),
        "share_ratio": pa.array([1], pa.uint8()),
        "is_known": pa.nulls(1),
        "seen_at": pa.array([berlin], pa.timestamp("ns", tz="Europe/Berlin")),
        "extra_json": pa.array([None], pa.string()),
    }
    assert THINGS.conform(pa.table(columns)).equals(plain)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("part_count", pa.array([1.5])),
        ("part_count", pa.array(["x"])),
        ("part_count", pa.array([2**63], pa.uint64())),
        ("share_ratio", pa.array([2**53 + 1])),
        ("thing_id", pa.array([{"a": 1}])),
        ("thing_id", pa.array([b"\xff"])),
        ("seen_at", pa.array([1], pa.timestamp("ns"))),
        ("seen_at", pa.array(["never"])),
    ],
)
def test_what_cannot_be_cast_without_loss_is_refused(column: str, values: pa.Array) -> None:
    table = THINGS.table([thing()])
    table = table.set_column(table.column_names.index(column), column, values)
    with pytest.raises(ContractBroken, match="a column has the wrong type"):
        THINGS.conform(table)


def test_missing_unknown_and_doubled_columns_are_named() -> None:
    table = THINGS.table([thing()])
    with pytest.raises(ContractBroken, match=r"columns missing \['kind'\], unknown or twice \[\]"):
        THINGS.conform(table.drop_columns(["kind"]))
    with pytest.raises(ContractBroken, match=r"columns missing \[\], unknown or twice \['colour'\]"):
        THINGS.conform(table.append_column("colour", pa.array(["red"])))
    with pytest.raises(ContractBroken, match=r"columns missing \[\], unknown or twice \['kind'\]"):
        THINGS.conform(table.append_column("kind", pa.array(["tool"])))


def test_the_hash_changes_with_the_shape_and_not_with_the_words() -> None:
    week, thing_id, *others = THINGS.columns
    other_shapes = [
        replace(THINGS, name="stuff"),
        replace(THINGS, key=("thing_id",)),
        replace(THINGS, columns=THINGS.columns[:-1]),
        replace(THINGS, columns=(thing_id, week, *others)),
        replace(THINGS, columns=(week, replace(thing_id, name="id"), *others)),
        replace(THINGS, columns=(week, replace(thing_id, type="json"), *others)),
        replace(THINGS, columns=(week, replace(thing_id, nullable=True), *others)),
    ]
    assert len({THINGS.hash, *(contract.hash for contract in other_shapes)}) == 1 + len(other_shapes)
    assert (
        replace(THINGS, row="a thing", columns=(week, replace(thing_id, description="x"), *others)).hash == THINGS.hash
    )
