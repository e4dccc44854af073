"""How tables and numbers appear in the UI: column schemas, row counts, pictures."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from memloop_assets.contracts import TableContract
from memloop_assets.pictures import as_markdown
from memloop_assets.store import Publication

MetadataValue = float | int | str | bool | None | dg.MetadataValue


def column_schema(contract: TableContract) -> dg.TableSchema:
    """Return a contract as Dagster's column schema: types, nullability, uniqueness of a single key, descriptions."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable,
                    unique=contract.key == (column.name,),
                    other=[f"one of {', '.join(column.allowed)}"] if column.allowed else None,
                ),
            )
            for column in contract.columns
        ]
    )


def publication_metadata(publication: Publication) -> dict[str, MetadataValue]:
    """Return what every published week shows: row count, generation, verdicts."""
    verdicts = "\n".join(f"- {v.rule}: {v.detail}" for v in publication.verdicts)
    return {
        "dagster/row_count": publication.row_count,
        "generation": publication.generation,
        "verdicts": dg.MetadataValue.md(verdicts),
    }


def picture(png: bytes, alt: str) -> dg.MetadataValue:
    """Return a PNG as metadata that the UI shows in place."""
    return dg.MetadataValue.md(as_markdown(png, alt))


def known(numbers: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """Return the values that are known, neither None nor NaN: the UI charts numbers."""
    return {name: value for name, value in numbers.items() if value is not None and value == value}  # noqa: PLR0124  # NaN
