"""Writes OTLP/JSON lines as OpenTelemetry's SDK and its instrumentation of the openai client make them: a program, run by the tests.

The spans, their attributes and their encoding as protobuf messages are the SDK's and the instrumentation's. Its own is only the last step,
for which Python's SDK has no exporter: one JSON object a line, ids as hexadecimal, as the OTLP specification asks for JSON.

    python -m memloop_tests.interop.emit_otlp FILE     # prints the tokens that the server billed, as JSON
"""

import base64
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openai
from google.protobuf.json_format import MessageToDict
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from memloop_tests.interop.conversation import GREETING, ORDER, REFUSED, STREAMED, TOOLS, answered
from memloop_tests.interop.stub_server import serving


class JsonLines(SpanExporter):
    """Appends one OTLP/JSON object a batch to a file."""

    def __init__(self, path: Path) -> None:
        """Keep the path."""
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans."""
        told = MessageToDict(encode_spans(spans), use_integers_for_enums=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_with_hexadecimal_ids(told), ensure_ascii=False) + "\n")
        return SpanExportResult.SUCCESS


def _with_hexadecimal_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_hexadecimal_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    ids = ("traceId", "spanId", "parentSpanId")
    return {key: base64.b64decode(v).hex() if key in ids else _with_hexadecimal_ids(v) for key, v in value.items()}


def talk(url: str, flush: Callable[[], object]) -> None:
    """Have the conversations, each in a trace of its own; `flush` after each makes it a batch, as the seconds in between would."""
    client = openai.OpenAI(base_url=url, api_key="unused", max_retries=0)
    tracer = trace.get_tracer("agent")
    ask = client.chat.completions.create
    with tracer.start_as_current_span("greet"):
        ask(model="small", messages=GREETING)
    flush()
    with tracer.start_as_current_span("find order"):
        first = ask(model="small", messages=ORDER, tools=TOOLS)
        call = first.choices[0].message.model_dump(exclude_none=True)
        ask(model="small", messages=answered(call), tools=TOOLS)
    flush()
    with tracer.start_as_current_span("stream"):
        for _ in ask(model="large", messages=STREAMED, stream=True, stream_options={"include_usage": True}):
            pass
    flush()
    with tracer.start_as_current_span("be refused"):
        try:
            ask(model="large", messages=REFUSED)
        except openai.BadRequestError:
            return
    raise AssertionError("the stub server did not refuse")


def main() -> None:
    """Talk to a stub server with the instrumentation on."""
    provider = TracerProvider(resource=Resource.create({"service.name": "agent"}))
    provider.add_span_processor(BatchSpanProcessor(JsonLines(Path(sys.argv[1]))))
    trace.set_tracer_provider(provider)
    OpenAIInstrumentor().instrument()
    with serving() as server:
        talk(server.url, provider.force_flush)
        print(json.dumps(server.billed))
    provider.shutdown()


if __name__ == "__main__":
    main()
