"""The name of a generation: equal rows have one name whatever Arrow makes of them, and any other cell is another name."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from memloop_assets.store import hash_rows
from memloop_tests.things import CELLS, ROWS, SOME_ROWS, THINGS, Row, things


@given(SOME_ROWS, st.randoms(use_true_random=False), st.integers(1, 4))
def test_a_generation_is_the_same_in_any_row_order_and_any_chunks(rows: list[Row], random: object, size: int) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis draws a random.Random
    parts = [THINGS.table(shuffled[start : start + size]) for start in range(0, len(shuffled), size)]
    chunked = pa.concat_tables([*parts, THINGS.table([])])
    assert hash_rows(THINGS.conform(chunked)) == hash_rows(things(rows))


@given(SOME_ROWS, st.integers(0, 3), st.integers(0, 3))
def test_a_slice_hashes_as_its_rows_do(rows: list[Row], before: int, after: int) -> None:
    padding = [{"thing_id": f"~~~~~{place}", "text": "padding", "part_count": 9} for place in range(before + after)]
    table = THINGS.table(
        padding[:before] + sorted(rows, key=lambda row: str(row["thing_id"]).encode()) + padding[before:]
    )
    assert hash_rows(table.slice(before, len(rows))) == hash_rows(things(rows))


@given(SOME_ROWS)
def test_what_arrow_keeps_under_a_null_and_how_it_encodes_strings_do_not_matter(rows: list[Row]) -> None:
    table = things(rows)
    littered = []
    for column in table.columns:
        present = np.array([value is not None for value in column.to_pylist()], dtype=bool)
        bitmap = pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
        littered.append(_with_litter(column.combine_chunks(), bitmap))
    assert hash_rows(pa.table(littered, schema=table.schema)) == hash_rows(table)
    encoded = table.set_column(1, "text", table["text"].dictionary_encode())
    assert hash_rows(THINGS.conform(encoded)) == hash_rows(table)


def _with_litter(values: pa.Array, bitmap: pa.Buffer) -> pa.Array:
    """Return equal values whose null slots hold litter instead of zeros."""
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if pa.types.is_large_string(values.type):
        full = pa.array([f"litter{n}" if v is None else v for n, v in enumerate(values.to_pylist())], values.type)
    elif pa.types.is_boolean(values.type):
        full = values.fill_null(True)
    elif pa.types.is_floating(values.type):
        full = values.fill_null(float("nan"))
    else:
        full = values.cast(pa.int64()).fill_null(77)
    return pa.Array.from_buffers(values.type, len(values), [bitmap, *full.buffers()[1:]])


@given(SOME_ROWS.filter(bool), st.data())
def test_any_changed_cell_changes_the_generation(rows: list[Row], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from(sorted(CELLS)))
    value = data.draw(CELLS[column].filter(lambda value: value != rows[place][column]))
    changed = [{**row, column: value} if number == place else row for number, row in enumerate(rows)]
    assert hash_rows(things(changed)) != hash_rows(things(rows))


@given(SOME_ROWS.filter(bool))
def test_a_row_more_or_less_changes_the_generation(rows: list[Row]) -> None:
    assert hash_rows(things(rows[1:])) != hash_rows(things(rows))


def testvalues_cannot_slip_from_one_cell_into_the_next() -> None:
    pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), (None, "abc"), ("abc", None)]
    hashes = {hash_rows(things([{"thing_id": "1", "text": a}, {"thing_id": "2", "text": b}])) for a, b in pairs}
    assert len(hashes) == len(pairs)


def test_the_two_zeros_are_one_value() -> None:
    minus, plus = ([{"thing_id": "a", "share_ratio": zero}] for zero in (-0.0, 0.0))
    assert hash_rows(things(minus)) == hash_rows(things(plus))
    assert hash_rows(things([{"thing_id": "a"}])) != hash_rows(things(plus))


def test_a_generation_keeps_its_name_for_ever() -> None:
    """Names in every manifest and ledger row are such hashes: a change here orphans all of them."""
    assert hash_rows(things(ROWS)) == "b6fbb165e7752507ed3b14b6e1f5baa8"
    assert hash_rows(things([])) == "b97b06350289b01482b00423ae7ad118"
