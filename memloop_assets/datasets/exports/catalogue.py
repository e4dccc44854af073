"""The trainers that memloop writes for, by the name that ``memloop export --for`` takes."""

from collections.abc import Mapping

from memloop_assets.datasets.exports.axolotl import Axolotl
from memloop_assets.datasets.exports.llamafactory import LlamaFactory
from memloop_assets.datasets.exports.openai import OpenAI
from memloop_assets.datasets.exports.trainer import Trainer
from memloop_assets.datasets.exports.trl import Trl

TRAINERS: Mapping[str, Trainer] = {trainer.name: trainer for trainer in (OpenAI(), Trl(), Axolotl(), LlamaFactory())}
