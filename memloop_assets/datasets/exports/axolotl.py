"""Axolotl: ``{"messages": […]}`` for ``type: chat_template``; ``{"messages", "chosen", "rejected"}`` for ``type: chat_template.default``.

Its preference strategy reads role and content of one message a side and drops everything else, tool calls in the prompt too. Source:
Axolotl's page on conversation datasets and its preference strategy ``chat_template.default``.
"""

from memloop_assets.datasets.conversations import Chat, Message
from memloop_assets.datasets.exports.trainer import Pair, single_answer_fault, speaker_fault, with_standard_roles


class Axolotl:
    """Writes what Axolotl's chat template strategies read."""

    name = "axolotl"

    def sft_fault(self, chat: Chat) -> str | None:
        """Return why there is nothing to learn."""
        return speaker_fault(chat)

    def sft_record(self, chat: Chat) -> Message:
        """Return the conversation as one line."""
        return {"messages": with_standard_roles(chat)}

    def pair_fault(self, pair: Pair) -> str | None:
        """Return why the pair would not be compared as it is."""
        if any(message.get("tool_calls") for message in pair[0]):
            return "tool_call_in_prompt"
        return single_answer_fault(pair)

    def pair_record(self, pair: Pair) -> Message:
        """Return the pair as one line."""
        prompt, chosen, rejected = map(with_standard_roles, pair)
        return {"messages": prompt, "chosen": chosen[0], "rejected": rejected[0]}

    def how_to_load(self, kind: str, file_name: str) -> str:
        """Return the configuration that reads the file."""
        strategy, rl = ("chat_template", "") if kind == "sft" else ("chat_template.default", "rl: dpo\n")
        return f"```yaml\n{rl}datasets:\n  - path: {file_name}\n    ds_type: json\n    type: {strategy}\n```"
