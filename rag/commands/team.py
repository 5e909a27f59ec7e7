"""``rag worker``, ``rag queue`` and ``rag move``: a library that several machines share."""

from __future__ import annotations

import threading
from typing import Any

import click

from rag.commands.options import common, echo_json, echo_line, json_option, opened, settings


@click.command()
@click.option("--until-empty", is_flag=True, help="End when nothing waits any more.")
@common
@json_option
def worker(until_empty: bool, as_json: bool, **flags: str | None) -> None:
    """Read the files that wait in the queue of a library in a database, until Ctrl-C; run as many as you like."""
    from rag.commands.cli import stoppable
    from rag.commands.terminal import event_text

    config = settings(**flags).with_(queue=False)
    ended = threading.Event()
    with stoppable() as stop, opened(config, write=True) as library:
        stop.then = ended.set
        if not as_json:
            click.echo(f"Reading what waits for {config.library_place}. Ctrl-C ends it.", err=True)
        for event in library.work(ended, until_empty=until_empty):
            if as_json:
                echo_line(event)
            else:
                click.echo(event_text(event))


@click.command()
@click.option("--retry", "what", flag_value="retry", help="Have the files that were given up tried again.")
@click.option("--forget", "what", flag_value="forget", help="Forget the files that were given up.")
@common
@json_option
def queue(what: str | None, as_json: bool, **flags: str | None) -> None:
    """How the queue of files stands, and which files were given up."""
    from rag.commands.terminal import safe

    with opened(settings(**flags), write=what is not None) as library:
        changed = library.settle_queue(again=what == "retry") if what else 0
        facts, dead = library.queue()
    if as_json:
        told: dict[str, Any] = {name: getattr(facts, name) for name in ("waiting", "running", "dead", "workers")}
        echo_json({**told, "changed": changed, "given_up": dead})
        return
    if what:
        click.echo(f"{changed} files {'wait again' if what == 'retry' else 'are forgotten'}.")
    click.echo(f"{facts.waiting} wait, {facts.running} are read, {facts.dead} given up; workers: {facts.workers}.")
    for one in dead:
        click.echo(f"{safe(one.source)} ({safe(one.collection)}, {one.attempts} times): {safe(one.error)}")


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@common
def move(source: str, target: str, **flags: str | None) -> None:
    """Copy a whole library from a folder into a PostgreSQL database, or back, and compare the two.

    Nothing is embedded anew: documents, vectors, conversations, accounts and their numbers stay as they are. Run again,
    it goes on. FROM stays as it is; TO must hold no library.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from rag.library import move_library

    columns = (TextColumn("{task.fields[table]}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, table="")
        for event in move_library(source, target, config=settings(**flags)):
            bar.update(task, completed=event.done, total=event.total, table=event.table)
    click.echo(
        f"{event.total} rows are the same in both, and {event.questions} questions are answered alike."
        " Name the copy from now on (--library, RAG_LIBRARY or RAG_DATABASE); what was copied is as it was."
    )
