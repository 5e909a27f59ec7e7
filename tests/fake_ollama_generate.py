"""Chat, generate and embed of the fake server: from a checked request to the rows of the answer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from tests.fake_ollama_http import Reply
from tests.fake_ollama_model import THOUGHT, VERIFYING, chance_of_yes, embed, reply, tokens, yes_or_no
from tests.fake_ollama_rules import (
    FakeModel,
    Refusal,
    check_format,
    check_messages,
    check_options,
    check_think,
    fit,
    fit_input,
    keep_alive_seconds,
    nested_overflow,
)
from tests.fake_ollama_runner import Pause, Scheduler

_EVAL_NS_A_TOKEN = 1_000_000


@dataclass(frozen=True)
class Generation:
    """A request for text; ``verb`` is chat or generate."""

    name: str
    model: FakeModel
    body: Mapping[str, Any]
    verb: str
    scheduler: Scheduler
    pause: Pause
    delay: Callable[[], float]

    @property
    def shift(self) -> bool:
        """As resolved: on unless sent as false."""
        return self.body.get("shift") is not False


def answer_generation(job: Generation) -> Reply:
    """Check the request and answer it as a stream or, if that is not wanted, as one object."""
    body, model = job.body, job.model
    options = check_options(body.get("options"))
    keep_alive = keep_alive_seconds(body.get("keep_alive"))
    messages = check_messages(body.get("messages")) if job.verb == "chat" else _as_messages(body)
    top = body.get("top_logprobs") or 0
    if not isinstance(top, int) or not 0 <= top <= 20:
        raise Refusal(400, "top_logprobs must be between 0 and 20")
    if body.get("tools") and "tools" not in model.capabilities:
        raise Refusal(400, f"registry.ollama.ai/library/{model.name} does not support tools")
    thinks = check_think(body.get("think"), model, job.name)
    wanted = check_format(body.get("format"))
    if not messages:
        return _load_only(job, options, keep_alive)
    rows = _rows(job, messages, options, keep_alive, thinks, wanted)
    return rows if body.get("stream") is not False else _joined(rows, job.verb)


def _as_messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Generate's system and prompt as messages."""
    if body.get("raw") and (body.get("template") or body.get("system") or body.get("context")):
        raise Refusal(400, "raw mode does not support template, system, or context")
    prompt, system = body.get("prompt") or "", body.get("system") or ""
    if not prompt:
        return []
    systems = [{"role": "system", "content": system}] if system else []
    return [*systems, {"role": "user", "content": prompt}]


def _load_only(job: Generation, options: Mapping[str, Any], keep_alive: float) -> Reply:
    if keep_alive == 0:
        job.scheduler.unload(job.model.name)
        return _row(job, "", done=True, done_reason="unload")
    with job.scheduler.run(job.model, options, job.shift, keep_alive, job.pause):
        return _row(job, "", done=True, done_reason="load")


def _rows(
    job: Generation,
    messages: list[Mapping[str, Any]],
    options: Mapping[str, Any],
    keep_alive: float,
    thinks: bool,
    wanted: Any,
) -> Iterator[Mapping[str, Any]]:
    started = time.monotonic_ns()
    with job.scheduler.run(job.model, options, job.shift, keep_alive, job.pause) as (runner, load_ns):
        prompt, prompt_tokens = _prompt(job, messages, runner.num_ctx)
        evaluated = time.monotonic_ns()
        room = _room(options, runner.num_ctx, prompt_tokens, job.shift)
        if job.model.speaker is None:
            pieces = iter(_pieces(job.model, prompt, thinks, wanted, options.get("stop") or ()))
        else:
            pieces = job.model.speaker.speak(messages, room, options, wanted)
        written = 0
        for thinking, piece in islice(pieces, room):
            written += 1
            job.pause(job.delay())
            yield _row(job, piece, thinking=thinking, logprobs=_told(job, prompt, piece))
        cut = next(pieces, None) is not None
    context: dict[str, Any] = {}
    if job.verb == "generate" and not job.body.get("raw"):
        context["context"] = list(range(prompt_tokens))
    yield _row(
        job,
        "",
        done=True,
        done_reason="length" if cut else "stop",
        total_duration=time.monotonic_ns() - started,
        load_duration=load_ns,
        prompt_eval_count=prompt_tokens,
        prompt_eval_duration=max(evaluated - started, 1),
        eval_count=written + (0 if cut else 1),
        eval_duration=_EVAL_NS_A_TOKEN * (written + 1),
        **context,
    )


def _prompt(job: Generation, messages: list[Mapping[str, Any]], num_ctx: int) -> tuple[str, int]:
    """The rendered prompt (empty where a real model renders its own) and its tokens, fitted or refused."""
    if job.model.speaker is None:
        return fit(messages, num_ctx, job.body, job.model)
    count = job.model.speaker.count(messages)
    if count >= num_ctx:
        raise Refusal(400, nested_overflow(count, num_ctx))
    return "", count


def _room(options: Mapping[str, Any], num_ctx: int, prompt_tokens: int, shift: bool) -> int:
    """How many tokens may be written: num_predict, and what the window leaves where it may not shift."""
    wanted = int(options.get("num_predict", -1))
    limit = wanted if wanted >= 0 else 10 * num_ctx
    return limit if shift else min(limit, max(num_ctx - prompt_tokens, 0))


def _pieces(model: FakeModel, prompt: str, thinks: bool, wanted: Any, stops: Any) -> list[tuple[bool, str]]:
    """(is thinking, piece) in order."""
    assert model.mode is not None
    thoughts = [(True, piece) for piece in tokens(THOUGHT)] if thinks or model.mode == "think-only" else []
    if model.mode in VERIFYING:
        text = yes_or_no(model.name, chance_of_yes(model.mode, prompt))
    else:
        text = "" if model.mode == "think-only" else reply(model.mode, prompt, wanted)
    for stop in stops:
        text = text.split(str(stop))[0]
    return [*thoughts, *((False, piece) for piece in tokens(text))]


def _row(job: Generation, piece: str, *, thinking: bool = False, done: bool = False, **final: Any) -> dict[str, Any]:
    """One line; what is zero or empty is left out where Ollama leaves it out."""
    now = datetime.now(UTC)
    row: dict[str, Any] = {
        "model": job.name,
        "created_at": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond * 1000 + 1:09d}Z",
    }
    text, thought = ("", piece) if thinking else (piece, "")
    if job.verb == "chat":
        row["message"] = {"role": "assistant", "content": text, **({"thinking": thought} if thought else {})}
    else:
        row |= {"response": text, **({"thinking": thought} if thought else {})}
    row["done"] = done
    return row | {key: value for key, value in final.items() if value}


def _told(job: Generation, prompt: str, piece: str) -> list[Any]:
    """The token's logprobs where they are asked for and the server is new enough: a verifying model's yes and no with
    their own, all else as nearly sure."""
    if not job.body.get("logprobs") or job.model.old_server or not piece:
        return []
    top = job.body.get("top_logprobs") or 0
    word = piece.strip().lower()
    if job.model.mode in VERIFYING and word in ("yes", "no"):
        yes = chance_of_yes(job.model.mode, prompt)
        other = piece.replace(piece.strip(), {"yes": "no", "no": "yes"}[word])
        chances = {piece: yes if word == "yes" else 1 - yes, other: 1 - yes if word == "yes" else yes}
    else:
        chances = {piece: math.exp(-0.1)}
    told = [{"token": t, "logprob": math.log(p), "bytes": list(t.encode())} for t, p in chances.items()]
    return [{**told[0], "top_logprobs": told[:top]} if top else told[0]]


def _joined(rows: Iterator[Mapping[str, Any]], verb: str) -> Mapping[str, Any]:
    """The stream as one object: texts joined, the last line's counters."""
    text, thinking = "", ""
    told: list[Any] = []
    last: Mapping[str, Any] = {}
    for last in rows:
        told += last.get("logprobs") or []
        part = last["message"] if verb == "chat" else last
        text += part["content" if verb == "chat" else "response"]
        thinking += part.get("thinking", "")
    thought = {"thinking": thinking} if thinking else {}
    last = {**last, "logprobs": told} if told else last
    if verb == "chat":
        return {**last, "message": {"role": "assistant", "content": text, **thought}}
    return {**last, "response": text, **thought}


def answer_embed(
    model: FakeModel, name: str, body: Mapping[str, Any], scheduler: Scheduler, pause: Pause, delay: float
) -> Reply:
    """``/api/embed``."""
    inputs = _inputs(body.get("input"))
    options = check_options(body.get("options"))
    keep_alive = keep_alive_seconds(body.get("keep_alive"))
    started = time.monotonic_ns()
    with scheduler.run(model, options, True, keep_alive, pause) as (_, load_ns):
        if not inputs:
            return {"model": name, "embeddings": []}
        if "embedding" not in model.capabilities:
            raise Refusal(501, "This server does not support embeddings. Start it with `--embeddings`")
        fitted = [fit_input(text, options, body.get("truncate") is not False, model) for text in inputs]
        pause(delay * len(inputs))
        wanted = body.get("dimensions") or 0
        rows = [_cut(embed(text, model.dimension).tolist(), wanted) for text, _ in fitted]
    return {
        "model": name,
        "embeddings": rows,
        "total_duration": time.monotonic_ns() - started,
        "load_duration": load_ns,
        "prompt_eval_count": sum(count for _, count in fitted),
    }


def _inputs(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "invalid input type")
    return texts


def _cut(vector: list[float], dimensions: int) -> list[float]:
    if not 0 < dimensions < len(vector):
        return vector
    kept = vector[:dimensions]
    norm = sum(x * x for x in kept) ** 0.5 or 1.0
    return [x / norm for x in kept]


def answer_embeddings(model: FakeModel, body: Mapping[str, Any], scheduler: Scheduler, pause: Pause) -> Reply:
    """The legacy ``/api/embeddings``: one prompt, and a vector that nobody normalised."""
    prompt = body.get("prompt") or ""
    options = check_options(body.get("options"))
    with scheduler.run(model, options, True, keep_alive_seconds(body.get("keep_alive")), pause):
        if not prompt:
            return {"embedding": []}
        return {"embedding": [3.0 * x for x in embed(str(prompt), model.dimension).tolist()]}
