"""``rag models``: what Ollama has, downloads with progress, and the choice of a model."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.commands.options import common, echo_json, json_option, settings
from rag.commands.terminal import one_line, safe
from rag.config import settings_file
from rag.errors import ConfigError, ModelMissing

if TYPE_CHECKING:
    from rag.models.client import ModelInfo, OllamaClient, Running

_OF_KIND = {"chat": ("completion",), "embedding": ("embedding",)}
_SETTING = re.compile(r"^llm\s*=.*$", re.MULTILINE)


@click.group()
def models() -> None:
    """List, pull and choose models."""


@models.command("list")
@common
@click.option("--server", metavar="URL", help="The models of a server of OpenAI's protocol: http://host:port/v1.")
@json_option
def list_models(server: str | None, as_json: bool, **flags: str | None) -> None:
    """Show the installed models and what they can do.

    WINDOW is what a model was trained for, LOADED the window that it has in memory now, both in tokens.
    """
    from rag.models.choose import open_client
    from rag.models.families import canonical

    if server is not None:
        from rag.models.foreign import served_models

        served = served_models(server, settings(**flags))
        if as_json:
            echo_json([{"name": name} for name in served])
        else:
            click.echo("\n".join(map(safe, served)) or "It has no models.")
        return

    with open_client(settings(**flags)) as client:
        shown = [_known(client, model) for model in client.models()]
        loaded = {canonical(model.name): model for model in client.running()}
    pairs = [(model, loaded.get(canonical(model.name))) for model in shown]
    if as_json:
        echo_json([_plain(model, running) for model, running in pairs])
        return
    click.echo(_table([_row(model, running) for model, running in pairs]) if pairs else "No models yet.")
    _recommend()


def _known(client: OllamaClient, listed: ModelInfo) -> ModelInfo:
    """All about a model; only what the list says when it was removed a moment ago."""
    try:
        return client.show(listed.name)
    except ModelMissing:
        return listed


def _plain(model: ModelInfo, running: Running | None) -> dict[str, Any]:
    from rag.types import to_plain

    return {**to_plain(model), "kind": _kind(model), "loaded": to_plain(running)}


def _kind(model: ModelInfo) -> str:
    if model.is_remote:
        return "remote"
    return "embedding" if "embedding" in model.capabilities else "chat"


def _row(model: ModelInfo, running: Running | None) -> tuple[str, ...]:
    kind = _kind(model)
    window = f"{model.context_length:,}" if model.context_length else "unknown"
    able = ", ".join(ability for ability in model.capabilities if ability not in _OF_KIND.get(kind, ())) or "-"
    state = f"{running.context_length:,}" if running else "no"
    return (one_line(model.name.removesuffix(":latest"), 60), kind, _size(model), window, state, one_line(able, 60))


def _size(model: ModelInfo) -> str:
    return f"{model.size / 1e9:.1f} GB" if model.size >= 5e7 else f"{model.size / 1e6:.1f} MB"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    head = ("MODEL", "KIND", "SIZE", "WINDOW", "LOADED", "ALSO")
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    padded = ([value.ljust(width) for value, width in zip(row, widths, strict=True)] for row in (head, *rows))
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def _recommend() -> None:
    from rag.models.families import RECOMMENDED_EMBEDDERS, recommended_lines

    click.echo("\nWorth having, by the machine's memory (size of the download):")
    for line in recommended_lines():
        click.echo(f"  {line}")
    embedders = ", ".join(f"{model.name} ({model.size_gb:g} GB)" for model in RECOMMENDED_EMBEDDERS)
    click.echo(f"  for searching: {embedders}")


@models.command()
@click.argument("name")
@common
def pull(name: str, **flags: str | None) -> None:
    """Download a model. Ctrl-C stops; the next pull goes on where this one ended."""
    from rag.models.choose import open_client

    with open_client(settings(**flags)) as client:
        try:
            _pull(client, name)
        except KeyboardInterrupt:
            click.echo(f"Stopped. What was downloaded is kept: run `rag models pull {safe(name)}` again.", err=True)
            raise
        model = client.show(name)
    use = f"rag reindex ollama:{name}` searches" if _kind(model) == "embedding" else f"rag models use {name}` answers"
    click.echo(safe(f"{name} is ready ({_size(model)}). `{use} with it from now on."))


def _pull(client: OllamaClient, name: str) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    # The server's words are text, not markup.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    layers: dict[str, tuple[int, int]] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar, closing(client.pull(name)) as steps:
        task = bar.add_task("starting", total=None)
        for step in steps:
            if step.digest:
                layers[step.digest] = (step.total, step.completed)
            total, done = (sum(part) for part in zip(*layers.values(), strict=True)) if layers else (0, 0)
            bar.update(task, description=one_line(step.status, 40), total=total or None, completed=done)


@models.command()
@click.argument("name")
@common
def use(name: str, **flags: str | None) -> None:
    """Answer with this model from now on.

    NAME may be 'auto', 'quotes' or 'openai:MODEL@http://host:port/v1' too. It is written to rag.toml in this folder, or
    to what RAG_CONFIG names.
    """
    from rag.models.choose import choose_llm

    wanted = name if name in ("auto", "quotes") or name.startswith(("ollama:", "openai:")) else f"ollama:{name}"
    model, choice = choose_llm(settings(**flags).with_(llm=wanted))
    close = getattr(model, "close", None)
    if close is not None:
        close()
    path = settings_file()
    _write_setting(path, wanted)
    click.echo(f"{safe(choice.reason)} Written to {path.resolve()}.")
    stronger = os.environ.get("RAG_LLM") or wanted
    if stronger != wanted:
        click.echo(f"But the variable RAG_LLM says {safe(stronger)}, and it counts for more: unset it.", err=True)


def _write_setting(path: Path, wanted: str) -> None:
    """Put ``llm`` into the file, all of it or nothing; what else is in it stays as it was."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    line = f"llm = {json.dumps(wanted)}"
    text = _SETTING.sub(lambda _: line, before, count=1) if _SETTING.search(before) else f"{line}\n{before}"
    by_hand = f"Write it by hand: {line}"
    try:
        right = tomllib.loads(text).get("llm") == wanted
    except tomllib.TOMLDecodeError:
        right = False
    if not right:
        raise ConfigError(f"The setting llm stands in {path} in a way that this command cannot change.", hint=by_hand)
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise ConfigError(f"Cannot write {path}: {error.strerror}.", hint=by_hand) from error
