"""What every command of a library takes and prints: its options, the library it opens, JSON, notices."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rag.api.front import Front
    from rag.config import Config
    from rag.library import Library

F = TypeVar("F", bound=Callable[..., Any])


def common(command: F) -> F:
    """The options that every command of a library takes."""
    for option in (
        click.option("--library", metavar="FOLDER", help="The library's folder (RAG_LIBRARY)."),
        click.option("--collection", metavar="NAME", help="The collection (RAG_COLLECTION; 'default')."),
        click.option("--llm", metavar="NAME", help="auto, quotes, ollama:NAME or openai:MODEL@URL (RAG_LLM)."),
        click.option(
            "--embedder",
            metavar="NAME",
            help="Search model of new collections: auto, builtin, multilingual, ollama:NAME or openai:MODEL@URL.",
        ),
    ):
        command = option(command)
    return command


def choosing(command: F) -> F:
    """The options that choose documents to ask."""
    for option in (
        click.option(
            "--source", "sources", multiple=True, metavar="NAME", help="Only this document, or a pattern (*)."
        ),
        click.option(
            "--where",
            multiple=True,
            metavar="CONDITION",
            help="Only documents with e.g. year=2024, folder=hr, tags=plan.",
        ),
    ):
        command = option(command)
    return command


def exposed(command: F) -> F:
    """The options that say how a server is reached from elsewhere; see ``rag.api.front.Front``."""
    for option in (
        click.option("--name", "names", multiple=True, metavar="HOST", help="A name it is reached by, as a proxy's."),
        click.option(
            "--proxy", "proxies", multiple=True, metavar="ADDRESS", help="Believe this proxy's forwarded headers."
        ),
        click.option("--root-path", default="", metavar="/PATH", help="The path it lies under at the proxy."),
        click.option("--tls-cert", default="", metavar="FILE", help="Speak TLS with this certificate (PEM)."),
        click.option("--tls-key", default="", metavar="FILE", help="The certificate's key (PEM)."),
        click.option(
            "--access-log", default="", metavar="FILE", help="A line of JSON a request; - for standard error."
        ),
    ):
        command = option(command)
    return command


def front_of(flags: dict[str, Any]) -> Front:
    """How a server is reached, of the options of ``exposed``, which are taken out. Raises ConfigError."""
    from rag.api.front import Front

    return Front(
        flags.pop("names"), flags.pop("proxies"), flags.pop("root_path"), flags.pop("tls_cert"), flags.pop("tls_key"),
        flags.pop("access_log"),
    )  # fmt: skip


queue_option = click.option(
    "--queue", is_flag=True, help="Leave the reading to `rag worker`, wherever it runs, and follow (RAG_QUEUE)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def asked_words(context: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> str:
    """A question's words as one text; ``-`` alone reads it from the standard input."""
    if words == ("-",):
        return "" if sys.stdin is None else sys.stdin.buffer.read().decode("utf-8", "replace")
    return " ".join(words)


question_argument = click.argument(
    "question", nargs=-1, required=True, metavar="QUESTION...", callback=asked_words, type=click.UNPROCESSED
)


def settings(library: str | None, collection: str | None, llm: str | None, embedder: str | None) -> Config:
    """The configuration with these flags on top; those before the command's name (``rag --library X ask``) count too,
    and less than those after it."""
    from rag.config import DATABASES, OF_A_FOLDER, load_config

    context = click.get_current_context(silent=True)
    before = (context.find_root().obj if context is not None else None) or {}
    after = {"library": library, "collection": collection, "llm": llm, "embedder": embedder}
    flags: dict[str, Any] = {**before, **{k: v for k, v in after.items() if v is not None}}
    place = flags.pop("library", "")
    if place.startswith(DATABASES):
        flags["database"] = place
    elif place:
        flags |= {**OF_A_FOLDER, "library": place}
    return load_config(flags)


@contextmanager
def opened(config: Config, *, write: bool | None = None) -> Iterator[Library]:
    """The library of a command."""
    from rag.library import Library

    with Library.open(config=config, write=write) as library:
        yield library


def json_text(value: Any) -> str:
    """Values of this program as indented JSON."""
    from rag.types import to_plain

    return json.dumps(to_plain(value), ensure_ascii=False, indent=2)


def echo_json(value: Any) -> None:
    """Print values of this program as JSON."""
    click.echo(json_text(value))


def echo_line(value: Any) -> None:
    """Print a value as one line of JSON, at once."""
    from rag.types import to_plain

    click.echo(json.dumps(to_plain(value), ensure_ascii=False))
    sys.stdout.flush()


def echo_notices(notices: Iterable[str]) -> None:
    """Warn, on the standard error, of what a library has to say beside its answers."""
    from rag.commands.terminal import fitted, safe, screen_width

    for notice in notices:
        click.echo(fitted(f"Note: {safe(notice)}", screen_width(errors=True)), err=True)
