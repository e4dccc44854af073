"""Writes gateway records as LiteLLM's own logging makes them (StandardLoggingPayload, from a CustomLogger): a program, run by the tests.

Nothing of a record is this program's but its being printed as a line of JSON.

    python -m memloop_tests.interop.emit_litellm FILE     # prints the tokens that the server billed, as JSON
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches the list of prices when it is imported

import litellm
from litellm.integrations.custom_logger import CustomLogger

from memloop_tests.interop.conversation import GREETING, ORDER, REFUSED, STREAMED, TOOLS, answered
from memloop_tests.interop.stub_server import serving


class JsonLines(CustomLogger):
    """Keeps each record that LiteLLM logs, and tells when so many have come: it logs in threads of its own."""

    def __init__(self) -> None:
        """Start without records."""
        super().__init__()
        self.records: list[dict[str, Any]] = []
        self.has_more = threading.Condition()

    def _keep(self, record: dict[str, Any]) -> None:
        with self.has_more:
            self.records.append(record)
            self.has_more.notify_all()

    def log_success_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Keep the record of a call that was answered."""
        del response_obj, start_time, end_time
        self._keep(kwargs["standard_logging_object"])

    def log_failure_event(self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Keep the record of a call that failed."""
        del response_obj, start_time, end_time
        self._keep(kwargs["standard_logging_object"])


def talk(url: str) -> int:
    """Have the conversations, each in a session of its own; return how many calls that were."""
    common: dict[str, Any] = {"api_base": url, "api_key": "unused", "num_retries": 0, "user": "anna-7"}
    small, large = {**common, "model": "openai/gpt-4o-mini"}, {**common, "model": "openai/gpt-4o"}
    litellm.completion(messages=GREETING, litellm_session_id="greet", **small)
    order = {**small, "metadata": {"session_id": "order"}, "tools": TOOLS}
    first = litellm.completion(messages=ORDER, **order)
    call = first.choices[0].message.model_dump(exclude_none=True)
    litellm.completion(messages=answered(call), **order)
    for _ in litellm.completion(messages=STREAMED, stream=True, stream_options={"include_usage": True}, **large):
        pass
    try:
        litellm.completion(messages=REFUSED, **large)
    except litellm.BadRequestError:
        return 5
    raise AssertionError("the stub server did not refuse")


def main() -> None:
    """Talk to a stub server through LiteLLM and write down what it logged."""
    litellm.suppress_debug_info = True
    logger = JsonLines()
    litellm.callbacks = [logger]
    with serving() as server:
        calls = talk(server.url)
        with logger.has_more:
            if not logger.has_more.wait_for(lambda: len(logger.records) >= calls, timeout=60):
                raise AssertionError(f"LiteLLM logged {len(logger.records)} of {calls} calls")
        print(json.dumps(server.billed))
    lines = [json.dumps(record, ensure_ascii=False) for record in logger.records]
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
