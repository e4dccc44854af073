"""A chat-completions server on loopback with scripted answers: what real clients, instrumentations and gateways talk to in these tests.

It speaks the shape of OpenAI's chat completions, streamed and whole, and writes down the tokens that it billed: the independent count.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CALL = {"id": "call_7", "type": "function", "function": {"name": "find_order", "arguments": '{"order": 17}'}}


class StubServer(ThreadingHTTPServer):
    """Answers by the words of the last message; `billed` lists the tokens of each answer that was not refused, in order."""

    def __init__(self) -> None:
        """Listen on a free port of loopback."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.billed: list[tuple[int, int]] = []

    @property
    def url(self) -> str:
        """Return the base URL that clients are given."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: StubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
        """Say nothing."""

    def do_POST(self) -> None:  # the name is the base class's
        """Answer a request for a chat completion."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        last = asked["messages"][-1]
        if "refuse" in str(last["content"]):
            refusal = {
                "message": "The request is refused.",
                "type": "invalid_request_error",
                "param": None,
                "code": "refused",
            }
            self._send(400, "application/json", json.dumps({"error": refusal}).encode())
            return
        message: dict[str, Any] = {"role": "assistant", "content": f"You said: {last['content']}"}
        if last["role"] == "user" and asked.get("tools"):
            message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        usage = self._bill(asked, message)
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        head = {
            "id": f"chatcmpl-{len(self.server.billed)}",
            "created": 1_773_741_600,
            "model": f"{asked['model']}-2026",
        }
        if asked.get("stream"):
            self._send(200, "text/event-stream", b"".join(_streamed(head, message, reason, usage)))
            return
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        self._send(200, "application/json", json.dumps(whole).encode())

    def _bill(self, asked: dict[str, Any], message: dict[str, Any]) -> dict[str, int]:
        read = sum(len(str(one.get("content") or "").split()) for one in asked["messages"])
        written = len(json.dumps(message).split())
        self.server.billed.append((read, written))
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _streamed(head: dict[str, Any], message: dict[str, Any], reason: str, usage: dict[str, int]) -> Iterator[bytes]:
    """Yield an answer as server-sent events: word by word, then why it ended, then the usage."""
    words = str(message["content"] or "").split(" ")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word if place == 0 else f" {word}"} for place, word in enumerate(words)]
    choices: list[list[dict[str, Any]]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices += [[{"index": 0, "delta": {}, "finish_reason": reason}], []]
    for place, choice in enumerate(choices):
        told = usage if place == len(choices) - 1 else None
        chunk = {**head, "object": "chat.completion.chunk", "choices": choice, "usage": told}
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


@contextmanager
def serving() -> Iterator[StubServer]:
    """Run a stub server in a thread for as long as the block lasts."""
    with StubServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
