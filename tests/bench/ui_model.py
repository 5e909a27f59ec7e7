"""A model's server for the page's figures, in a process of its own: ``python -m tests.bench.ui_model``.

Just enough of Ollama. The model ``prose:1000x45`` writes 1,000 tokens at 45 a second; ``stamps:250x20`` writes, as
each token, when it was written: ``q`` and the last seven digits of the time in tenths of a millisecond. The first
token of every answer is two such stamps, when the request arrived and when that token was written.
"""

from __future__ import annotations

import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TENTHS = 10_000_000
PROSE = (
    "Full-time staff receive 28 days of paid annual leave [1]. **Bank holidays** are counted separately [1], and up "
    "to five unused days may be carried over until 31 March [2].\n\n"
)
QUESTION = "How many days of paid annual leave do full-time staff receive?"
_TOKEN = re.compile(r"\s*(?:\w{1,6}|[^\w\s])|\s+")
_SHAPE = re.compile(r"(prose|stamps):(\d+)x(\d+)")


def stamp() -> str:
    """The time now."""
    return f"q{time.time_ns() // 100_000 % TENTHS:07d}"


def since(stamped: str, now: float) -> float:
    """Milliseconds from a stamp to ``now``, in seconds since 1970; within a quarter of an hour."""
    return (now * 10_000 - int(stamped[1:])) % TENTHS / 10


class Model(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        """Silent."""

    def do_GET(self) -> None:
        """The server's facts; every name is an installed model."""
        facts: dict[str, Any] = {
            "/api/version": {"version": "0.33.0"},
            "/api/ps": {"models": []},
            "/api/tags": {"models": []},
        }
        self._send(facts.get(self.path, {}))

    def do_POST(self) -> None:
        """Facts of a model, a load, a rewritten question or an answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        arrived = stamp()
        if self.path == "/api/show":
            self._send({"capabilities": ["completion"], "model_info": {}})
        elif not body.get("messages"):
            self._send({"done": True, "done_reason": "load"})
        elif re.search(r"\brewrite\b.*\bquestion\b", str(body["messages"])[:600], re.IGNORECASE | re.DOTALL):
            self._stream(body, [QUESTION], 1_000)
        else:
            shape = _SHAPE.fullmatch(body["model"])
            assert shape is not None, body["model"]
            kind, count, rate = shape[1], int(shape[2]), int(shape[3])
            prose = _TOKEN.findall(PROSE)
            texts = [None if kind == "stamps" else prose[i % len(prose)] for i in range(count)]
            self._stream(body, texts, rate, f"{arrived} ")

    def _stream(self, body: Any, texts: list[str | None], rate: int, head: str = "") -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        due = time.monotonic()
        for number, text in enumerate(texts):
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
            told = f"{stamp()} " if text is None else text
            self._chunk(body, f"{head}{stamp()} {told}" if head and number == 0 else told, done=False)
        self._chunk(body, "", done=True)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, body: Any, text: str, *, done: bool) -> None:
        row = {"model": body["model"], "message": {"role": "assistant", "content": text}, "done": done}
        line = json.dumps(row).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def _send(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.request_queue_size = 128
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
