"""TRL's conversational formats: ``{"messages": […]}``, and ``{"prompt": […], "chosen": […], "rejected": […]}`` with an explicit prompt.

Arguments of tool calls are JSON strings: where they were objects, older versions of the ``datasets`` library would give every call the
keys of all others, filled with null. Source: TRL's page "Dataset formats and types".
"""

from memloop_assets.datasets.conversations import Chat, Message
from memloop_assets.datasets.exports.trainer import Pair, speaker_fault, with_standard_roles


class Trl:
    """Writes what TRL's SFTTrainer and DPOTrainer read."""

    name = "trl"

    def sft_fault(self, chat: Chat) -> str | None:
        """Return why there is nothing to learn; TRL itself takes any order of roles that the model's chat template takes."""
        return speaker_fault(chat)

    def sft_record(self, chat: Chat) -> Message:
        """Return the conversation as one line."""
        return {"messages": with_standard_roles(chat)}

    def pair_fault(self, pair: Pair) -> str | None:
        """Return None: completions may be several messages, tool calls among them."""
        del pair
        return None

    def pair_record(self, pair: Pair) -> Message:
        """Return the pair as one line."""
        prompt, chosen, rejected = map(with_standard_roles, pair)
        return {"prompt": prompt, "chosen": chosen, "rejected": rejected}

    def how_to_load(self, kind: str, file_name: str) -> str:
        """Return the line that loads the file."""
        trainer = "SFTTrainer" if kind == "sft" else "DPOTrainer"
        return f'`{trainer}(train_dataset=datasets.load_dataset("json", data_files="{file_name}", split="train"), …)`'
