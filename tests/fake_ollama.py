"""A server that behaves as Ollama's specification says, with a small deterministic model behind it.

In tests: ``with FakeOllama(["chat-s", "embed-s"]) as server: ... server.url, server.requests``. By hand, to try the
page with streaming and no GPU: ``python -m tests.fake_ollama``. A model's name may end in one of the modes
(``chat-hallucinate``, ``chat-ramble``, ...); ``server.script(Fault(...))`` makes the next request go wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

from tests.fake_ollama_generate import Generation, answer_embed, answer_embeddings, answer_generation
from tests.fake_ollama_http import Exchange, FakeHTTPServer, Fault, Record, Reply
from tests.fake_ollama_model import MODES
from tests.fake_ollama_rules import FakeModel, Refusal, check_name, with_tag
from tests.fake_ollama_runner import Load, Scheduler

__all__ = ["FakeModel", "FakeOllama", "Fault", "Record"]

VERSION = "0.33.0"
DEFAULT_MODELS: tuple[FakeModel, ...] = (
    FakeModel("fake-chat", size=4_000_000_000),
    FakeModel("fake-embed", size=300_000_000),
    *(FakeModel(f"fake-{mode}", size=1_000_000_000) for mode in MODES if mode != "honest"),
)
_PULL_STEPS = 4


class FakeOllama:
    """The server. ``delay`` is seconds a token and may be changed, ``load_seconds`` what a cold load takes.

    ``models`` are names or FakeModels; ``library`` names what can be pulled (None: everything but ``no-such*``), with
    its bytes; ``offline`` makes a pull fail as without a network; ``cloud`` lets cloud models answer.
    """

    def __init__(
        self,
        models: Sequence[str | FakeModel] = DEFAULT_MODELS,
        *,
        port: int = 0,
        delay: float = 0.0,
        load_seconds: float = 0.0,
        parallel: int = 1,
        max_queue: int = 512,
        library: Mapping[str, int] | None = None,
        offline: bool = False,
        cloud: bool = False,
    ) -> None:
        given = [FakeModel(m) if isinstance(m, str) else m for m in models]
        self.models = {with_tag(m.name).lower(): m.completed() for m in given}
        self.delay = delay
        self.library = library
        self.offline = offline
        self.cloud = cloud
        self.scheduler = Scheduler(load_seconds, parallel, max_queue)
        self.requests: list[Record] = []
        self._faults: list[Fault] = []
        self._partial: dict[str, int] = {}
        self._lock = threading.Lock()
        self._server = FakeHTTPServer(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FakeOllama:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._server.shutdown()
        self._server.server_close()
        self._server.end_connections()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def loads(self) -> list[Load]:
        """Every loading of a model so far."""
        return self.scheduler.loads

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        return len(self._server.connections)

    @property
    def accepted_connections(self) -> int:
        """Connections that were ever made."""
        return self._server.accepted

    def sent(self, path: str) -> list[Record]:
        """The requests for a path, in order."""
        return [record for record in self.requests if record.path == path]

    def script(self, *faults: Fault) -> None:
        """Make the next requests go wrong, each path's in this order."""
        with self._lock:
            for fault in faults:
                self._faults += [fault] * fault.times

    def take_fault(self, path: str) -> Fault | None:
        """The next fault for this path."""
        with self._lock:
            fault = next((fault for fault in self._faults if fault.path == path), None)
            if fault is not None:
                self._faults.remove(fault)
        return fault

    def wait_for(self, condition: Callable[[], bool], seconds: float = 5.0) -> bool:
        """Whether the condition comes true in time."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def reply(self, exchange: Exchange) -> Reply:
        """Find the route and answer."""
        record = exchange.record
        routes: dict[str, dict[str, Callable[[], Reply]]] = {
            "/": {"GET": lambda: "Ollama is running", "HEAD": lambda: "Ollama is running"},
            "/api/version": {"GET": self._version, "HEAD": self._version},
            "/api/tags": {"GET": self._tags, "HEAD": self._tags},
            "/api/ps": {"GET": self._ps},
            "/api/show": {"POST": lambda: self._show(_body(record))},
            "/api/chat": {"POST": lambda: self._generate(_body(record), exchange, "chat")},
            "/api/generate": {"POST": lambda: self._generate(_body(record), exchange, "generate")},
            "/api/embed": {"POST": lambda: self._embed(_body(record), exchange)},
            "/api/embeddings": {"POST": lambda: self._embeddings(_body(record), exchange)},
            "/api/pull": {"POST": lambda: self._pull(_body(record), exchange)},
            "/api/delete": {"DELETE": lambda: self._delete(_body(record))},
        }
        if record.path not in routes:
            raise Refusal(404, None, "404 page not found")
        if record.method not in routes[record.path]:
            raise Refusal(405, None, "405 method not allowed")
        return routes[record.path][record.method]()

    def find(self, name: str) -> FakeModel | None:
        """The installed model of that name, whatever its case, tag or registry."""
        return self.models.get(with_tag(name).lower())

    def _version(self) -> Reply:
        return {"version": VERSION}

    def _tags(self) -> Reply:
        newest = sorted(self.models.values(), key=lambda m: m.modified_at, reverse=True)
        return {"models": [_listed(model) for model in newest]}

    def _ps(self) -> Reply:
        rows = []
        for runner in self.scheduler.loaded():
            seconds = min(runner.expires - time.time(), 3.2e9)
            expires = datetime.now(UTC).astimezone() + timedelta(seconds=seconds)
            rows.append({
                "name": runner.model.name, "model": runner.model.name, "size": 0,
                "digest": runner.model.digest, "details": _details(runner.model),
                "expires_at": expires.isoformat(), "size_vram": 0, "context_length": runner.num_ctx,
            })  # fmt: skip
        return {"models": rows}

    def _show(self, body: Mapping[str, Any]) -> Reply:
        name = body.get("model") or body.get("name") or ""
        if not name:
            raise Refusal(400, "model is required")
        check_name(name)
        model = self.find(name)
        if model is None:
            raise Refusal(404, f"model '{with_tag(name)}' not found")
        arch = model.architecture
        facts: dict[str, Any] = {
            "general.architecture": arch,
            "general.parameter_count": model.parameters,
            f"{arch}.rope.scaling.original_context_length": 8192,
            f"{arch}.context_length": model.context_length,
            f"{arch}.embedding_length": model.dimension if arch == "bert" else 3072,
            f"{arch}.block_count": 28,
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.tokens": None,
            "tokenizer.ggml.merges": None,
        }
        if arch == "bert":
            facts["bert.pooling_type"] = 1
        shown: dict[str, Any] = {
            "modelfile": f"FROM {model.name}\n", "template": "{{ .Prompt }}",
            "details": _details(model), "model_info": facts, "modified_at": model.modified_at,
            "parameters": "stop                           \"<|im_end|>\"",
            "tensors": [{"name": "token_embd.weight", "type": "Q4_K", "shape": [3072, 128256]}],
        }  # fmt: skip
        if not model.old_server:
            shown["capabilities"] = list(model.capabilities)
        if model.remote_host:
            shown |= {"remote_host": model.remote_host, "remote_model": model.name.split(":")[0]}
        return shown

    def _generate(self, body: Mapping[str, Any], exchange: Exchange, verb: str) -> Reply:
        name = body.get("model") or ""
        if not name:
            raise Refusal(400, "model is required") if verb == "chat" else Refusal(404, "model '' not found")
        check_name(name)
        model = self.find(name)
        if model is None:
            raise Refusal(404, f"model '{name}' not found")
        self._check_cloud(model)
        if "completion" not in model.capabilities:
            raise Refusal(400, f'"{name}" does not support {verb}')
        return answer_generation(
            Generation(name, model, body, verb, self.scheduler, exchange.pause, lambda: self.delay)
        )

    def _embed(self, body: Mapping[str, Any], exchange: Exchange) -> Reply:
        return answer_embed(
            self._embedder(body), body.get("model") or "", body, self.scheduler, exchange.pause, self.delay
        )

    def _embeddings(self, body: Mapping[str, Any], exchange: Exchange) -> Reply:
        return answer_embeddings(self._embedder(body), body, self.scheduler, exchange.pause)

    def _embedder(self, body: Mapping[str, Any]) -> FakeModel:
        name = body.get("model") or ""
        if not name:
            raise Refusal(404, "model '' not found")
        check_name(name)
        model = self.find(name)
        if model is None:
            raise Refusal(404, f'model "{name}" not found, try pulling it first')
        self._check_cloud(model)
        return model

    def _check_cloud(self, model: FakeModel) -> None:
        tag = model.name.rsplit(":", 1)[-1]
        if (model.remote_host or tag == "cloud" or tag.endswith("-cloud")) and not self.cloud:
            raise Refusal(403, "ollama cloud is disabled: remote inference is unavailable")

    def _delete(self, body: Mapping[str, Any]) -> Reply:
        name = str(body.get("model") or body.get("name") or "")
        check_name(name)
        if self.models.pop(with_tag(name).lower(), None) is None:
            raise Refusal(404, f"model '{name}' not found")
        return ""

    def _pull(self, body: Mapping[str, Any], exchange: Exchange) -> Reply:
        name = str(body.get("model") or body.get("name") or "")
        if not name:
            raise Refusal(400, "invalid model name")
        check_name(name)
        rows = self._pull_lines(name, exchange)
        if body.get("stream") is not False:
            return rows
        for _ in rows:
            pass
        return {"status": "success"}

    def _pull_lines(self, name: str, exchange: Exchange) -> Iterator[Mapping[str, Any]]:
        yield {"status": "pulling manifest"}
        if self.offline:
            raise Refusal(500, "pull model manifest: dial tcp: lookup the library: no such host")
        size = 4_000_000 if self.library is None else self.library.get(name, 0)
        if not size or (self.library is None and name.startswith("no-such")):
            raise Refusal(500, "pull model manifest: file does not exist")
        digest = FakeModel(name).completed().digest
        done = size if self.find(name) else self._partial.get(name, 0)
        while True:
            layer = {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", "total": size}
            yield {**layer, "completed": done} if done else layer
            if done >= size:
                break
            exchange.pause(self.delay)
            done = min(size, done + -(-size // _PULL_STEPS))
            self._partial[name] = done
        yield {"status": "verifying sha256 digest"}
        yield {"status": "writing manifest"}
        self.models[with_tag(name).lower()] = FakeModel(name, size=size).completed()
        yield {"status": "success"}


_REQUESTS = {
    "/api/chat": "ChatRequest", "/api/generate": "GenerateRequest", "/api/embed": "EmbedRequest",
    "/api/embeddings": "EmbeddingRequest", "/api/show": "ShowRequest", "/api/pull": "PullRequest",
    "/api/delete": "DeleteRequest",
}  # fmt: skip
_FIELDS: Mapping[str, tuple[type, str]] = {
    "model": (str, "string"), "prompt": (str, "string"), "system": (str, "string"), "stream": (bool, "bool"),
    "messages": (list, "[]api.Message"), "options": (dict, "map[string]interface {}"),
}  # fmt: skip
_SCANNER = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
}


def _body(record: Record) -> Mapping[str, Any]:
    """The request's object; refuses as Go's decoder does, which reads one value and nothing behind it."""
    text = record.raw.decode("utf-8", "replace").strip()
    if not text:
        raise Refusal(400, "missing request body")
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        raise Refusal(400, _scanned(error)) from None
    request = _REQUESTS[record.path]
    if not isinstance(value, dict):
        raise Refusal(400, f"json: cannot unmarshal {_go_kind(value)} into Go value of type api.{request}")
    for name, (kind, go_type) in _FIELDS.items():
        given = value.get(name)
        if given is not None and not isinstance(given, kind):
            where = f"Go struct field {request}.{name} of type {go_type}"
            raise Refusal(400, f"json: cannot unmarshal {_go_kind(given)} into {where}")
    return value


def _scanned(error: json.JSONDecodeError) -> str:
    """What Go's scanner says of text that is no JSON."""
    if error.pos >= len(error.doc) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    rest = error.doc[error.pos :]
    literal = next((word for word in ("null", "true", "false") if word[0] == rest[0]), "")
    if literal and error.msg == "Expecting value":
        at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(rest, literal, strict=False)))
        if at == len(rest):
            return "unexpected EOF"
        return f"invalid character '{rest[at]}' in literal {literal} (expecting '{literal[at]}')"
    return f"invalid character '{rest[0]}' {_SCANNER.get(error.msg, 'looking for beginning of value')}"


def _go_kind(value: Any) -> str:
    return {list: "array", str: "string", bool: "bool", dict: "object"}.get(type(value), "number")


def _parameter_size(count: int) -> str:
    """As Ollama writes it: 134.52M, 3.2B."""
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.2f}M"


def _details(model: FakeModel) -> dict[str, Any]:
    """Without the lengths, which ``show`` alone tells."""
    details = {
        "parent_model": "", "format": "gguf", "family": model.architecture, "families": [model.architecture],
        "parameter_size": _parameter_size(model.parameters), "quantization_level": "Q4_K_M",
    }  # fmt: skip
    return {**details, **model.details}


def _listed(model: FakeModel) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": model.name, "model": model.name, "modified_at": model.modified_at, "size": model.size,
        "digest": model.digest, "details": _details(model),
    }  # fmt: skip
    if not model.old_server:
        row["capabilities"] = list(model.capabilities)
    if model.remote_host:
        row |= {"remote_host": model.remote_host, "remote_model": model.name.split(":")[0]}
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_ollama", description=__doc__)
    parser.add_argument("--port", type=int, default=11434, help="port on 127.0.0.1 (0: any free one)")
    parser.add_argument("--delay", type=float, default=0.03, help="seconds a token")
    parser.add_argument("--load", type=float, default=1.0, help="seconds to load a model")
    parser.add_argument("--model", action="append", help="a model's name; may be repeated")
    options = parser.parse_args(arguments)
    models: Sequence[str | FakeModel] = options.model or DEFAULT_MODELS
    try:
        fake = FakeOllama(models, port=options.port, delay=options.delay, load_seconds=options.load)
    except OSError as error:
        sys.exit(f"Cannot listen on port {options.port}: {error.strerror}. Choose another with --port.")
    with fake as server:
        names = ", ".join(sorted(model.name.removesuffix(":latest") for model in server.models.values()))
        sys.stdout.write(
            f"Fake Ollama at {server.url}\nModels: {names}\n"
            f"Use it with: OLLAMA_HOST={server.url} rag ui --llm ollama:fake-chat\nCtrl-C stops it.\n"
        )
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            sys.stdout.write("Stopped.\n")


if __name__ == "__main__":
    main()
