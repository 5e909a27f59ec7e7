"""``rag models``: what Ollama has, downloads with progress, and the choice of a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rag.cli import common, echo_json, json_option, settings
from rag.config import CONFIG_NAME

if TYPE_CHECKING:
    from rag.models.ollama_values import ModelInfo, Running

_SETTING = re.compile(r"^llm\s*=.*$", re.MULTILINE)


@click.group()
def models() -> None:
    """List, pull and choose models of Ollama."""


@models.command("list")
@common
@json_option
def list_models(as_json: bool, **flags: str | None) -> None:
    """Show the installed models: size, window, what they can do, loaded or not."""
    from rag.models.choose import open_client, server_facts

    config = settings(**flags)
    facts = server_facts(config)
    if not facts.reachable:
        raise click.ClickException(f"{facts.error}\n{facts.hint}")
    with open_client(config) as client:
        shown = [client.show(model.name) for model in facts.models]
    if as_json:
        echo_json(shown)
        return
    loaded = {model.name: model for model in facts.running}
    for model in shown:
        click.echo(_row(model, loaded.get(model.name)))
    if not shown:
        click.echo("No models yet.")
    _recommend()


def _row(model: ModelInfo, running: Running | None) -> str:
    kind = "embedding" if "embedding" in model.capabilities else "chat"
    window = f"{model.context_length:,} tokens" if model.context_length else "window unknown"
    state = f"loaded with {running.context_length:,} tokens" if running else "not loaded"
    able = ", ".join(model.capabilities) or "unknown"
    return f"{model.name:32} {kind:9} {model.size / 1e9:5.1f} GB  {window}  ({able})  {state}"


def _recommend() -> None:
    from rag.models.families import RECOMMENDED, RECOMMENDED_EMBEDDERS

    click.echo("\nWorth having:")
    for model in (*RECOMMENDED, *RECOMMENDED_EMBEDDERS):
        click.echo(f"  {model.name:20} {model.size_gb:5.1f} GB to download, for {model.memory_gb}+ GB of memory")


@models.command()
@click.argument("name")
@common
def pull(name: str, **flags: str | None) -> None:
    """Download a model. Ctrl-C stops; the next pull goes on where this one ended."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from rag.models.choose import open_client

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with open_client(settings(**flags)) as client, Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=None)
        for step in client.pull(name):
            bar.update(task, description=step.status[:40], total=step.total or None, completed=step.completed)
    click.echo(f"{name} is ready. `rag models use {name}` answers with it from now on.")


@models.command()
@click.argument("name")
@common
def use(name: str, **flags: str | None) -> None:
    """Answer with this model from now on ('auto' and 'quotes' too): writes it to rag.toml here."""
    from rag.models.choose import choose_llm

    wanted = name if name in ("auto", "quotes") or name.startswith("ollama:") else f"ollama:{name}"
    _, choice = choose_llm(settings(**flags).with_(llm=wanted))
    path = Path(CONFIG_NAME)
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    line = f'llm = "{wanted}"'
    text = _SETTING.sub(lambda _: line, before, count=1) if _SETTING.search(before) else f"{line}\n{before}"
    path.write_text(text, encoding="utf-8")
    click.echo(f"{choice.reason} Written to {path.resolve()}.")
