"""``rag collections`` and ``rag conversations``: what a library keeps, listed, changed and taken out."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.commands.options import common, echo_json, json_option, json_text, opened, settings
from rag.commands.terminal import fitted, one_line, safe, screen_width

if TYPE_CHECKING:
    from rag.store.truth import Conversation, StoredTurn

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def collections() -> None:
    """List, make, rename and delete collections: named groups of documents."""


@collections.command("list")
@common
@json_option
def list_collections(as_json: bool, **flags: str | None) -> None:
    """The collections, with their documents and embedder."""
    with opened(settings(**flags), write=False) as library:
        rows = [
            (name, len(library.sources(name)), library.collections.get(name).embedder.name)
            for name in library.collections.names()
        ]
    if as_json:
        echo_json([dict(zip(("name", "documents", "embedder"), row, strict=True)) for row in rows])
        return
    for name, documents, embedder in rows:
        click.echo(f"{safe(name)}: {_counted(documents, 'document')}, searched with {embedder}")
    if not rows:
        click.echo("There are no collections yet. `rag ingest FOLDER` makes the first.")


@collections.command("create")
@click.argument("name")
@common
def create_collection(name: str, **flags: str | None) -> None:
    """Make an empty collection; its embedder is chosen now."""
    with opened(settings(**flags), write=True) as library:
        library.collections.create(name)
    click.echo(f"Made {name}.")


@collections.command("rename")
@click.argument("old")
@click.argument("new")
@common
def rename_collection(old: str, new: str, **flags: str | None) -> None:
    """Give a collection another name."""
    with opened(settings(**flags), write=True) as library:
        library.collections.rename(old, new)
    click.echo(f"{old} is called {new} now.")


@collections.command("delete")
@click.argument("name")
@yes_option
@common
def delete_collection(name: str, yes: bool, **flags: str | None) -> None:
    """Delete a collection and all its documents."""
    with opened(settings(**flags), write=True) as library:
        _sure(f"Delete {name} with {_counted(len(library.sources(name)), 'document')}?", yes)
        library.collections.delete(name)
    click.echo(f"Deleted {name}.")


@click.group()
def conversations() -> None:
    """List, show, export and delete conversations."""


@conversations.command("list")
@click.option("--search", default="", metavar="WORDS", help="Only those that hold these words.")
@common
@json_option
def list_conversations(search: str, as_json: bool, **flags: str | None) -> None:
    """The conversations, the last changed first."""
    with opened(settings(**flags), write=False) as library:
        listed = library.conversations.list()
        if search:
            found = {hit.conversation.id for hit in library.conversations.search(search)}
            listed = tuple(one for one in listed if one.id in found)
    if as_json:
        echo_json(listed)
        return
    for one in listed:
        day = datetime.datetime.fromtimestamp(one.updated, datetime.UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        turns = _counted(one.turns, "question")
        click.echo(f"{one.id:>5}  {day}  {one_line(one.title, 44) or '(untitled)'}  ({turns}, {safe(one.collection)})")
    if not listed:
        click.echo("There are no conversations." if not search else "No conversation holds these words.")


@conversations.command("show")
@click.argument("number", type=int)
@common
@json_option
def show_conversation(number: int, as_json: bool, **flags: str | None) -> None:
    """A conversation with its answers and their sources."""
    with opened(settings(**flags), write=False) as library:
        head, turns = library.conversations.get(number)
    if as_json:
        echo_json(_plain(head, turns))
    else:
        click.echo(fitted(safe(_markdown(head, turns)).rstrip(), screen_width()))


@conversations.command("export")
@click.argument("number", type=int)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file (else it is printed).")
@common
@json_option
def export_conversation(number: int, output: Path | None, as_json: bool, **flags: str | None) -> None:
    """A conversation as Markdown with footnotes, or with --json as a proof that `rag verify` checks."""
    with opened(settings(**flags), write=False) as library:
        head, turns = library.conversations.get(number)
    text = json_text(_plain(head, turns)) + "\n" if as_json else _markdown(head, turns)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{output} could not be written: {error.strerror}.") from error
    click.echo(f"Wrote {output}.")


@conversations.command("delete")
@click.argument("numbers", type=int, nargs=-1, required=True)
@yes_option
@common
def delete_conversations(numbers: tuple[int, ...], yes: bool, **flags: str | None) -> None:
    """Delete conversations, by the numbers that `rag conversations list` shows."""
    with opened(settings(**flags), write=True) as library:
        heads = [library.conversations.get(number)[0] for number in numbers]
        _sure(f"Delete {_counted(len(heads), 'conversation')}?", yes)
        for head in heads:
            library.conversations.delete(head.id)
            click.echo(f"Deleted {head.id}, {one_line(head.title, 50)}.")


def _plain(head: Conversation, turns: Sequence[StoredTurn]) -> dict[str, Any]:
    return {
        "title": head.title,
        "collection": head.collection,
        "turns": [{"question": turn.question, "answer": dict(turn.answer)} for turn in turns],
    }


def _markdown(head: Conversation, turns: Sequence[StoredTurn]) -> str:
    from ui.export import to_markdown

    return to_markdown(head.title, [(turn.question, turn.answer) for turn in turns])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _sure(question: str, yes: bool) -> None:
    """Ask before what cannot be undone; raises click.Abort unless the answer is yes."""
    if not yes:
        click.confirm(question, abort=True)
