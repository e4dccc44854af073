"""The tables of the room ``datasets``: what a week teaches, and the manifest of everything that teaches up to a week."""

from memloop_assets.contracts import Column, TableContract
from memloop_assets.trajectories.quality import TIERS
from memloop_assets.trajectories.tables import TASK_KEY, TRAJECTORY_ID, WEEK

EXAMPLE_ID = Column("example_id", "string", "content hash of the example; equal content in two weeks has one id")

SFT_EXAMPLES = TableContract(
    name="sft_examples",
    row="one conversation worth imitating: HIGH or MEDIUM, and not known to have failed",
    key=("example_id",),
    columns=(
        WEEK,
        EXAMPLE_ID,
        TRAJECTORY_ID,
        TASK_KEY,
        Column("messages_json", "json", "chat messages: role, content and tool calls with their arguments"),
        Column("message_count", "int", "chat messages", minimum=1),
        Column("quality_tier", "string", "HIGH or MEDIUM", allowed=("HIGH", "MEDIUM")),
        Column("quality_score", "float", "points under the quality rule"),
        Column("arm", "string", "arm that served it", nullable=True),
        Column("reward", "float", "known reward", nullable=True, minimum=0, maximum=1),
    ),
)

PREFERENCE_PAIRS = TableContract(
    name="preference_pairs",
    row="two answers to one task, of which one is known to have earned more",
    key=("example_id",),
    columns=(
        WEEK,
        EXAMPLE_ID,
        TASK_KEY,
        Column(
            "prompt_json",
            "json",
            "chat messages up to and with the first user message or messages, as the chosen side has them",
        ),
        Column("chosen_json", "json", "chat messages of the better answer, up to its last assistant message"),
        Column("rejected_json", "json", "chat messages of the worse answer, up to its last assistant message"),
        Column("chosen_trajectory_id", "string", "trajectory of the better answer"),
        Column("rejected_trajectory_id", "string", "trajectory of the worse answer"),
        Column("chosen_week", "string", "week of the better answer"),
        Column("rejected_week", "string", "week of the worse answer"),
        Column("chosen_arm", "string", "arm that gave the better answer", nullable=True),
        Column("rejected_arm", "string", "arm that gave the worse answer", nullable=True),
        Column("chosen_reward", "float", "known reward of the better answer", minimum=0, maximum=1),
        Column("rejected_reward", "float", "known reward of the worse answer", minimum=0, maximum=1),
    ),
)

ROUTER_SAMPLES = TableContract(
    name="router_samples",
    row="one trial: a task, the arm that served it, what came of it",
    key=("example_id",),
    columns=(
        WEEK,
        EXAMPLE_ID,
        TASK_KEY,
        Column("task_text", "string", "the task as it was asked"),
        Column("domain", "string", "logged label of the kind of task", nullable=True),
        Column("arm", "string", "arm that served it"),
        Column("reward", "float", "known reward", minimum=0, maximum=1),
        Column("cost_usd", "float", "cost of the call", nullable=True, minimum=0),
        Column("latency_ms", "float", "latency of the call", nullable=True, minimum=0),
        Column("propensity", "float", "probability with which the arm was chosen", nullable=True, minimum=0, maximum=1),
        Column("label_source", "string", "who judged", nullable=True),
        Column("quality_tier", "string", "grade of its trajectory", allowed=TIERS),
        Column(
            "near_duplicate_of",
            "string",
            "key of the week's task that this one nearly repeats: five-character sets of Jaccard similarity 0.8 or more",
            nullable=True,
        ),
        Column(
            "asker",
            "string",
            "who asked, for telling which trials depend on each other: the user's group (u0 to u63), else the session, hashed",
            nullable=True,
        ),
    ),
)

DATASET_SNAPSHOT = TableContract(
    name="dataset_snapshot",
    row="one example that may be trained on as of the week",
    key=("table_name", "example_id"),
    columns=(
        WEEK,
        Column(
            "table_name",
            "string",
            "table that holds the example",
            allowed=(SFT_EXAMPLES.name, PREFERENCE_PAIRS.name, ROUTER_SAMPLES.name),
        ),
        Column("example_week", "string", "week of that table: the earliest in the window that holds the example"),
        EXAMPLE_ID,
        TASK_KEY,
        Column("weight", "float", "weight in training", minimum=0),
    ),
)

TABLES = (SFT_EXAMPLES, PREFERENCE_PAIRS, ROUTER_SAMPLES, DATASET_SNAPSHOT)
TEACHING_TABLES = (SFT_EXAMPLES, PREFERENCE_PAIRS, ROUTER_SAMPLES)
