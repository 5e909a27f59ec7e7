"""``rag chat``: a conversation in the terminal, and the streamed answer that ``rag ask`` shares."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag.commands.options import common, echo_notices, opened, settings
from rag.commands.terminal import answer_text, fitted, hits_text, safe, screen_width, sources_text
from rag.errors import RagError
from rag.platform.files import open_private
from rag.platform.terminal import without_echo
from rag.types import Answer, Condensed, Done, Token, Turn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from rag.library import Library

_HELP = """\
/sources        the documents of this collection
/hits           the passages behind the last answer
/model [NAME]   which model answers; with a NAME, answer with that one
/new            forget this conversation
/export [FILE]  write the conversation as Markdown (conversation.md)
/quit           leave, as Ctrl-D does. Ctrl-C stops an answer only."""
_LEAVE = frozenset({"/quit", "/exit", "/bye", "quit", "exit"})
_PATIENCE = 2.0
_HISTORY_LINES = 1_000


def stream_answer(
    library: Library, question: str, history: Sequence[Turn], *, sources: Sequence[str] = (),
    where: Mapping[str, Any] | None = None, begun: Callable[[], None] = lambda: None,
) -> Answer:  # fmt: skip
    """Ask, showing the answer as it grows when the output is a terminal; returns the checked answer. ``begun`` is
    called once the question is taken.

    Ctrl-C stops the model, leaves what it wrote so far on the screen, and goes on as KeyboardInterrupt.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    grown, started = "", time.monotonic()
    stream = library.stream(question, history=history, sources=sources, where=where)
    try:
        waiting = Text("...", style="dim")
        with without_echo(), Live(waiting, console=console, transient=True, refresh_per_second=12) as live:
            for number, event in enumerate(stream):
                if not number:
                    begun()
                if isinstance(event, Condensed) and event.question != event.original:
                    live.console.print(Text(safe(_searched(event)), style="dim"))
                elif isinstance(event, Token) and event.text:
                    grown += event.text
                    live.update(_tail(safe(grown), console))
                elif isinstance(event, Done):
                    return event.answer
                elif not grown and (waited := time.monotonic() - started) > _PATIENCE:
                    live.update(Text(f"Waiting for the model, {waited:.0f} s. Ctrl-C stops.", style="dim"))
    except KeyboardInterrupt:
        if grown:
            console.print(Text(safe(grown)))
        raise
    finally:
        stream.close()
    raise AssertionError("a stream ends with Done")


def _searched(event: Condensed) -> str:
    """What is searched for in place of the question, or beside it, for a reader."""
    beside = event.question.removeprefix(event.original.strip()).strip()
    if beside != event.question and beside.startswith("(") and beside.endswith(")"):
        return f"Searching with what was asked before: {beside[1:-1]}"
    return f"Searching for: {event.question}"


def _tail(text: str, console: Console) -> Text:
    """The last lines that fit the screen: what has scrolled away could not be taken back."""
    from rich.text import Text

    lines = Text(text).wrap(console, console.width)
    return Text("\n").join(lines[-max(console.height - 2, 1) :])


@click.command()
@common
def chat(**flags: str | None) -> None:
    """Talk with your documents in the terminal."""
    config = settings(**flags)
    with opened(config) as library:
        library.sources()  # without any documents there is nothing to talk with: say so at once
        session = Session(library)
        session.tell_notices()
        click.echo(safe(library.llm_choice.reason))
        click.echo("Ask a question, or type /help.")
        read = _reader(config.library_path / "chat_history")
        while session.running:
            try:
                click.echo()
                line = read("> ")
            except EOFError:
                break
            except KeyboardInterrupt:
                click.echo("\nType /quit or press Ctrl-D to leave.")
                continue
            session.handle(line.strip())


class Session:
    """One conversation: questions, slash commands, and what was said so far."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._turns: list[Turn] = []
        self._answers: list[Answer] = []
        self._told: set[str] = set()
        self.running = True

    def tell_notices(self) -> None:
        """Print, on the standard error, what the library has to say beside its answers and was not said yet."""
        new = [notice for notice in dict.fromkeys(self._library.notices) if notice not in self._told]
        self._told.update(new)
        echo_notices(new)

    def handle(self, line: str) -> None:
        """Do what the line asks; errors are printed with their remedy and end nothing."""
        if not line:
            return
        if line.lower() in _LEAVE:
            self.running = False
            return
        try:
            if line.startswith("/"):
                self._command(*line.split(maxsplit=1))
            else:
                self._ask(line)
        except RagError as error:
            click.echo(f"Error: {safe(error.explain())}")
        except KeyboardInterrupt:
            click.echo("Stopped.")

    def _ask(self, question: str) -> None:
        answer = stream_answer(self._library, question, tuple(self._turns))
        self._turns.append(Turn(question, answer.text))
        self._answers.append(answer)
        click.echo(answer_text(answer, screen_width()))
        self.tell_notices()

    def _command(self, name: str, argument: str = "") -> None:
        if name == "/new":
            self._turns.clear()
            self._answers.clear()
            click.echo("New conversation.")
        elif name == "/sources":
            click.echo(sources_text(self._library.sources()))
        elif name == "/hits":
            click.echo(fitted(hits_text(self._answers[-1].hits if self._answers else ()), screen_width()))
        elif name == "/model":
            if argument:
                self._library.use_llm(argument)
            click.echo(self._library.llm_choice.reason)
        elif name == "/export":
            self._export(Path(argument or "conversation.md").expanduser())
        else:
            click.echo(_HELP if name == "/help" else f"Unknown command {safe(name)}.\n{_HELP}")

    def _export(self, path: Path) -> None:
        from rag.answer.export import to_markdown

        if not self._answers:
            click.echo("There is nothing to export yet.")
            return
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write("\n\n".join(to_markdown(answer) for answer in self._answers) + "\n")
        except OSError as error:
            click.echo(f"Cannot write {path}: {error.strerror}. Name another file: /export FILE")
            return
        click.echo(f"Written to {path}.")


def _reader(history: Path) -> Callable[[str], str]:
    """What asks for a line: on a terminal with editing, and the lines of earlier conversations, kept in ``history``,
    at the arrow keys. Without them in a folder that cannot be written, where the lines of this one are there."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return input
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History

    class Kept(History):
        """A file with a line for each line, the newest last."""

        def load_history_strings(self) -> Iterable[str]:
            with suppress(OSError):
                lines = history.read_text(encoding="utf-8", errors="replace").split("\n")
                yield from reversed([line for line in lines if line][-_HISTORY_LINES:])

        def store_string(self, string: str) -> None:
            with suppress(OSError), os.fdopen(open_private(history), "a", encoding="utf-8") as file:
                file.write(f"{string}\n")

    session: PromptSession[str] = PromptSession(history=Kept())
    return session.prompt
