"""The ways in which a chat fails on the wire: what the server does, the error it becomes, and what that says."""

from __future__ import annotations

import pytest

from rag.errors import (
    EmptyAnswer,
    ModelMissing,
    ModelOutOfMemory,
    ModelRefused,
    ModelTimeout,
    PromptTooLong,
    ServerError,
    ServerUnreachable,
    StreamBroken,
    WrongModelKind,
)
from tests.fake_ollama import Fault
from tests.fake_ollama_http import RUNNER_KILLED, encode
from tests.fake_ollama_rules import nested_bad_schema, nested_overflow

STREAM_FAULTS = [
    pytest.param(Fault(raw=b""), StreamBroken, "broke off", id="closed without an answer"),
    pytest.param(Fault(after=2, then="cut"), StreamBroken, "broke off", id="cut stream"),
    pytest.param(Fault(after=2, then="end"), StreamBroken, "without its last line", id="stream without done"),
    pytest.param(Fault(after=0, then="end"), StreamBroken, "without its last line", id="empty stream"),
    pytest.param(
        Fault(after=2, line=b'{"error":"llama runner process has terminated: exit status 2"}', then="end"),
        ServerError, "has terminated", id="error line in mid-stream",
    ),
    pytest.param(
        Fault(after=2, line=encode({"error": RUNNER_KILLED}), then="end"), ServerError, "unexpected EOF",
        id="runner killed in mid-stream",
    ),
    pytest.param(Fault(status=500, text=RUNNER_KILLED), ServerError, "unexpected EOF", id="runner killed"),
    pytest.param(
        Fault(status=400, text=nested_bad_schema({"type": "no-type"})), ServerError, "failed: JSON schema conversion",
        id="bad schema",
    ),
    pytest.param(
        Fault(status=400, text="invalid character 'x' looking for beginning of value"), ServerError,
        "invalid character", id="malformed JSON",
    ),
    pytest.param(
        Fault(status=400, text="json: cannot unmarshal number into Go struct field ChatRequest.model of type string"),
        ServerError, "cannot unmarshal", id="wrong type",
    ),
    pytest.param(
        Fault(after=1, line=b'{"error":"CUDA error: out of memory"}', then="end"),
        ModelOutOfMemory, "memory", id="out of memory in mid-stream",
    ),
    pytest.param(Fault(after=1, line=b"<html>bad gateway</html>"), StreamBroken, "bad gateway", id="garbage line"),
    pytest.param(Fault(after=1, line=b"\xff\xfe\x00"), StreamBroken, "no answer", id="bytes that are no text"),
    pytest.param(Fault(after=1, line=b"[1,2]"), StreamBroken, "a list", id="a list for an object"),
    pytest.param(Fault(after=1, line=b'{"done":false}'), StreamBroken, "message", id="a line without a message"),
    pytest.param(
        Fault(after=1, line=b'{"message":{"role":"assistant","content":7}}'), StreamBroken, "not text",
        id="a number for a text",
    ),
    pytest.param(Fault(after=1, line=b"[" * 100_000), StreamBroken, "no answer", id="a bomb of brackets"),
    pytest.param(
        Fault(status=500, text="model requires more system memory (9.1 GiB) than is available (3.2 GiB)"),
        ModelOutOfMemory, "9.1 GiB", id="out of memory",
    ),
    pytest.param(
        Fault(status=500, text="timed out waiting for llama runner to start"), ModelTimeout, "load", id="slow load"
    ),
    pytest.param(Fault(status=500, text="something new"), ServerError, "something new", id="unknown failure"),
    pytest.param(
        Fault(status=400, text=nested_overflow(9000, 4096)), PromptTooLong, "9000 tokens", id="runner's overflow"
    ),
    pytest.param(Fault(status=404, text="404 page not found", plain=True), ServerError, "like Ollama", id="no Ollama"),
    pytest.param(Fault(status=403, text="", plain=True), ServerUnreachable, "refuses", id="foreign host"),
    pytest.param(Fault(status=302, text="", plain=True), ServerError, "like Ollama", id="redirect"),
    pytest.param(Fault(status=504, text="gateway timeout", plain=True), ModelTimeout, "nothing", id="gateway timeout"),
    pytest.param(Fault(raw=b"SSH-2.0-OpenSSH_9\r\n"), StreamBroken, "broke off", id="no HTTP"),
    pytest.param(Fault(body=b""), StreamBroken, "last line", id="empty 200"),
    pytest.param(
        Fault(body=b'{"message":{"role":"assistant","content":" "},"done":true,"done_reason":"stop"}\n'),
        EmptyAnswer, "without a word", id="an answer of blanks",
    ),
    pytest.param(
        Fault(
            body=b'{"message":{"role":"assistant","content":"","thinking":"Hm."},"done":true,"done_reason":"length"}\n'
        ),
        EmptyAnswer, "ran out of room", id="only thoughts",
    ),
    pytest.param(Fault(status=404, text="model 'chat-s' not found"), ModelMissing, "chat-s", id="missing model"),
    pytest.param(
        Fault(status=400, text='"chat-s" does not support chat'), WrongModelKind, "support chat", id="wrong kind"
    ),
    pytest.param(
        Fault(status=403, text="ollama cloud is disabled: remote inference is unavailable"), ModelRefused, "machines",
        id="a cloud model",
    ),
]  # fmt: skip
