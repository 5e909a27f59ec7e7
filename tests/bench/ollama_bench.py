"""What the Ollama adapter costs: ``python -m tests.bench.ollama_bench``.

A server in a process of its own writes the time into every token, so the delay to each layer that reads it is known to
the microsecond; the layers are a bare socket, the client, and the LlamaIndex stream. It also tells when a request
arrived: what passed since the question is the time that this program adds, here at 100,000 passages. Then: twenty
chats and twenty questions at once with two places, how soon a stop reaches the server, and how long ``auto`` takes to
see that nothing listens.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import search_bench
from tests.bench.tables import say

TOKENS = 1_000
PAUSE = 0.004
ROUNDS = 20
QUESTION = [{"role": "user", "content": "[1] A b c.\n\nQuestion: A b?"}]


class TimedTokens(BaseHTTPRequestHandler):
    """Just enough of Ollama: each token is the time at which it was written.

    The model ``arrival`` says one word instead: the time at which the request had arrived.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        """Silent."""

    def do_GET(self) -> None:
        """No models listed."""
        self._send(b'{"models":[]}')

    def do_POST(self) -> None:
        """Facts of the model, or a stream."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        arrived = time.monotonic_ns()
        if self.path == "/api/show":
            self._send(b'{"capabilities":["completion"],"model_info":{}}')
            return
        if json.loads(body).get("model") == "arrival":
            self._send(json.dumps({"message": {"role": "assistant", "content": f"{arrived}"}, "done": True}).encode())
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(TOKENS + 1):
            time.sleep(PAUSE)
            row = {"message": {"role": "assistant", "content": f"{time.monotonic_ns()} "}, "done": number == TOKENS}
            line = json.dumps(row).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve() -> None:
    """Print the port and serve until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), TimedTokens)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


def delays(texts: Iterable[str]) -> list[float]:
    """Milliseconds from the writing of each token to its arrival here."""
    return [(time.monotonic_ns() - int(text)) / 1e6 for text in texts if text.strip()]


def bare_socket(port: int) -> Iterator[str]:
    """The tokens, read with nothing in between."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
        for line in connection.makefile("rb"):
            if line.startswith(b"{"):
                yield json.loads(line)["message"]["content"]
            elif line == b"0\r\n":
                return


def token_overhead(port: int) -> None:
    """Delay a token, by layer."""
    from llama_index.core.llms import ChatMessage

    from rag.config import Config
    from rag.models.ollama import OllamaClient, OllamaLLM

    with OllamaClient(f"http://127.0.0.1:{port}") as client:
        llm = OllamaLLM.open(client, "m", Config())
        layers: dict[str, Callable[[], Iterator[str]]] = {
            "bare socket": lambda: bare_socket(port),
            "client.chat": lambda: (chunk.text for chunk in client.chat("m", QUESTION, options={})),
            "llm.stream_chat": lambda: (part.delta or "" for part in llm.stream_chat([ChatMessage("hi")])),
        }
        for name, start in layers.items():
            row("delay a token, " + name, delays(start()), "ms")


def added_time(port: int) -> None:
    """From question to request, at 100,000 passages: with Chroma, as the writing process has it, and without."""
    from rag.library import Library
    from rag.types import Done

    asked = search_bench.questions()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "library"
        _fill(folder)
        for name, write in (("the page (Chroma)", True), ("a second process (exact)", False)):
            with Library.open(
                folder, llm="ollama:arrival", ollama_host=f"127.0.0.1:{port}", abstain_below=0.0, write=write
            ) as library:
                library.doctor()
                library.ask(asked[0])
                seen: list[float] = []
                parts: dict[str, list[float]] = {"retrieve": [], "abstain": [], "prompt": []}
                for question in asked[1:]:
                    started = time.monotonic_ns()
                    answer = next(e.answer for e in library.stream(question) if isinstance(e, Done))
                    seen.append((int(answer.text.split()[0]) - started) / 1e6)
                    for part, times in parts.items():
                        times.append(answer.timings[part])
            row(f"question to request, {name}", seen, "ms")
            for part, times in parts.items():
                row(f"  of which: {part}", times, "ms")


def _fill(folder: Path) -> None:
    """A library of 100,000 passages, its Chroma index ready."""
    from rag.documents import SPLITTER_VERSION
    from rag.models.choose import embedder_info
    from rag.models.embed import BuiltinEmbedding
    from rag.store.backends import open_truth
    from rag.store.dense import DenseIndex

    embedder = BuiltinEmbedding()
    with open_truth(folder, writer=True) as truth:
        collection = truth.collections.create("default", embedder_info(embedder), SPLITTER_VERSION)
        search_bench.fill(truth, collection, embedder)
        dense = DenseIndex.open(truth, folder)
        dense.sync(collection)
        say(f"{search_bench.PASSAGES:,} passages; search is {dense.state(collection)}")
        dense.close()


def twenty_questions() -> None:
    """A hundred questions by twenty callers through one library, two of them at the model at a time."""
    from rag.library import Library
    from rag.prompts import shipped_folder
    from tests.fake_ollama import FakeOllama

    asked = "How many people did Pakistan lose in the fight against terrorism?"
    settings: dict[str, Any] = {"llm": "ollama:chat-s", "embedder": "builtin"}
    with FakeOllama(["chat-s"], delay=0.001, parallel=2) as server, tempfile.TemporaryDirectory() as home:
        with Library.open(Path(home) / "library", ollama_host=server.url, **settings) as library:
            library.ingest([shipped_folder("seeds")])
            library.ask(asked)

            def ask(_: int) -> float:
                started = time.perf_counter()
                library.ask(asked)
                return (time.perf_counter() - started) * 1e3

            with ThreadPoolExecutor(20) as pool:
                row("20 questions at once, time of an answer", list(pool.map(ask, range(100))), "ms")
            say(f"{'connections ever made':<44}{server.accepted_connections:>9}")
        server.wait_for(lambda: server.open_connections == 0)
        say(f"{'connections open afterwards':<44}{server.open_connections:>9}")


def twenty_at_once() -> None:
    """Sixty chats by twenty callers with two places; then a full queue."""
    from rag.errors import ServerBusy
    from rag.models.ollama import OllamaClient
    from tests.fake_ollama import FakeOllama

    with FakeOllama(["chat-s"], delay=0.001, parallel=2) as server, OllamaClient(server.url, queue=18) as client:

        def ask(_: int) -> float:
            started = time.perf_counter()
            list(client.chat("chat-s", QUESTION, options={}))
            return (time.perf_counter() - started) * 1e3

        with ThreadPoolExecutor(20) as pool:
            row("20 callers, 2 places, time of an answer", list(pool.map(ask, range(60))), "ms")
        sys.stdout.write(f"{'connections open afterwards':<44}{server.open_connections:>9}\n")
    with FakeOllama(["chat-ramble"], delay=0.05) as server, OllamaClient(server.url, queue=0) as client:
        running = [client.chat("chat-ramble", QUESTION, options={}) for _ in range(2)]
        for chunks in running:
            next(chunks)
        started = time.perf_counter()
        try:
            next(client.chat("chat-ramble", QUESTION, options={}))
        except ServerBusy:
            row("a full queue is told after", [(time.perf_counter() - started) * 1e3], "ms")
        for chunks in running:
            chunks.close()


def stop() -> None:
    """From closing the generator to the server's seeing it, in mid-stream and in the silence of a load."""
    from rag.models.ollama import OllamaClient
    from tests.fake_ollama import FakeOllama, Fault

    with FakeOllama(["chat-ramble"], delay=0.02) as server, OllamaClient(server.url) as client:
        for name, fault in (("in mid-stream", None), ("while the server is silent", Fault(stall=60))):
            seen = []
            for _ in range(ROUNDS):
                if fault is not None:
                    server.script(fault)
                chunks = client.chat("chat-ramble", QUESTION, options={})
                next(chunk for chunk in chunks if chunk.text or fault)
                closed = time.monotonic()
                chunks.close()
                record = server.sent("/api/chat")[-1]
                while not record.disconnected:
                    time.sleep(0.001)
                seen.append((record.disconnected - closed) * 1e3)
            row(f"stop {name}", seen, "ms")


def probing() -> None:
    """``auto`` where nothing listens, and where a server does."""
    from rag.config import Config
    from rag.models.choose import choose_llm
    from tests.fake_ollama import FakeOllama

    def choose(config: Config) -> float:
        started = time.perf_counter()
        llm, _ = choose_llm(config)
        taken = (time.perf_counter() - started) * 1e3
        if llm is not None:
            llm.close()  # type: ignore[attr-defined]
        return taken

    row("auto, nothing listens", [choose(Config(ollama_host="127.0.0.1:9")) for _ in range(ROUNDS)], "ms")
    with FakeOllama() as server:
        row("auto, a server with eleven models", [choose(Config(ollama_host=server.url)) for _ in range(ROUNDS)], "ms")


def row(name: str, values: Sequence[float], unit: str) -> None:
    """One line of the table."""
    p50, p95 = np.percentile(values, [50, 95])
    sys.stdout.write(f"{name:<44}{p50:>9.2f}{p95:>9.2f}{max(values):>9.2f} {unit}\n")


def main(arguments: Sequence[str] = ()) -> None:
    """Run everything, or serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ollama_bench", description=__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args(list(arguments)).serve:
        serve()
        return
    sys.stdout.write(f"{'':<44}{'p50':>9}{'p95':>9}{'max':>9}\n")
    command = [sys.executable, "-m", "tests.bench.ollama_bench", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            port = int(child.stdout.readline())
            token_overhead(port)
            added_time(port)
        finally:
            child.kill()
    twenty_at_once()
    twenty_questions()
    stop()
    probing()


if __name__ == "__main__":
    main(sys.argv[1:])
