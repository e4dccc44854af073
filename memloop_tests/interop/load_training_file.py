"""Loads a training file as its trainer's data code does, without a model and without torch: a program, run by the tests.

Rows are loaded with `datasets`. What TRL does with them before it trains is TRL's own: `is_conversational` decides how a row is read, and
`apply_chat_template` renders it, here with chat templates that TRL ships. The tokenizer knows no word; only its template is used.

    python -m memloop_tests.interop.load_training_file FILE CACHE      # prints what it found, as JSON
"""

import json
import sys
from pathlib import Path
from typing import Any

import datasets
import trl
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from trl.data_utils import apply_chat_template, is_conversational

# Qwen 3 takes arguments of tool calls as they are; later ones take them apart, and refuse a string.
TEMPLATES = {"as strings": "qwen3.jinja", "as objects": "qwen3_6.jinja"}


def without_nulls(value: Any) -> Any:
    """Return a row without the nulls with which a table fills the keys that other rows have."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


def with_objects(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the arguments of its tool calls as objects, the way docs/datasets.md says it."""
    for message in (
        message for name in ("messages", "prompt", "chosen", "rejected") for message in row.get(name) or []
    ):
        for call in message.get("tool_calls") or []:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return row


def rendered(rows: Any, template: str) -> list[dict[str, str]]:
    """Return what TRL makes of each row with one of its templates: the texts that it would tokenize."""
    text = (Path(trl.__file__).parent / "chat_templates" / template).read_text(encoding="utf-8")
    nothing = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))  # noqa: S106  # no secret, a word for what is not known
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=nothing, eos_token="<unk>", chat_template=text)  # noqa: S106  # likewise
    return [apply_chat_template(row, tokenizer) for row in rows]


def main() -> None:
    """Load, compare with the file, and render where TRL would."""
    file, cache = Path(sys.argv[1]), sys.argv[2]
    rows = datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=cache)
    written = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    found: dict[str, Any] = {
        "rows": len(rows),
        "columns": sorted(rows.column_names),
        "equal": sum(without_nulls(row) == without_nulls(line) for row, line in zip(rows, written, strict=True)),
        "conversational": sum(is_conversational(row) for row in rows),
    }
    if set(rows.column_names) in ({"messages"}, {"prompt", "chosen", "rejected"}):
        shown = {"as strings": rows, "as objects": rows.map(with_objects, features=rows.features)}
        found["rendered"] = {
            how: sum(all(texts.values()) for texts in rendered(shown[how], template))
            for how, template in TEMPLATES.items()
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
