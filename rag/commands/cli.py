"""The command line: it reads flags, calls ``Library`` and prints. No logic lives here."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from fnmatch import fnmatchcase
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rag import __version__
from rag.commands.options import (
    choosing,
    common,
    echo_json,
    echo_line,
    echo_notices,
    exposed,
    front_of,
    json_option,
    opened,
    question_argument,
    queue_option,
    settings,
)
from rag.errors import ConfigError, RagError
from rag.platform.files import real_path
from rag.platform.signals import ENDING
from rag.platform.terminal import writable

if TYPE_CHECKING:
    from rag.config import Config
    from rag.ingest import SameName
    from rag.library import Library
    from rag.types import Check, IngestEvent, IngestReport

_LAZY = {
    "gold": "rag.gold.commands.cli:gold",
    "models": "rag.commands.models:models",
    "chat": "rag.commands.chat:chat",
    "collections": "rag.commands.library:collections",
    "conversations": "rag.commands.library:conversations",
    "mcp": "rag.commands.serving:mcp",
    "move": "rag.commands.team:move",
    "queue": "rag.commands.team:queue",
    "serve": "rag.commands.serving:serve",
    "users": "rag.commands.users:users",
    "verify": "rag.commands.serving:verify",
    "worker": "rag.commands.team:worker",
}


class _Commands(click.Group):
    """Commands that live in modules of their own are imported when they are called, so that --help stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_LAZY])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        module, _, name = _LAZY[cmd_name].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        summaries = {name: _SUMMARIES[name] for name in _LAZY}
        summaries.update({n: c.get_short_help_str(120) for n, c in self.commands.items()})
        with formatter.section("Commands"):
            formatter.write_dl(sorted(summaries.items()))


_PAGE_PACKAGES = frozenset(("gradio", "nh3", "PIL"))
_SUMMARIES = {
    "gold": "Test answers against a gold question set.",
    "models": "List, pull and choose models.",
    "chat": "Talk with your documents in the terminal.",
    "collections": "List, make, rename and delete collections.",
    "conversations": "List, show, export and delete conversations.",
    "mcp": "Serve the library to assistants by the Model Context Protocol.",
    "move": "Copy a library from a folder into a database, or back, with its vectors.",
    "queue": "How the queue of files stands, and which were given up.",
    "serve": "Serve programs over HTTP, in OpenAI's form and in its own.",
    "users": "Accounts: who may sign in, and what is shared with whom.",
    "verify": "Check an exported answer again, against the library or bare files.",
    "worker": "Read the files that wait in the queue of a library in a database.",
}


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(version)s", prog_name="rag")
@common
@click.pass_context
def cli(context: click.Context, /, **flags: str | None) -> None:
    """Answers from your own documents, on your own machine, with every sentence footnoted and checked.

    The options may stand here, once for all commands, or after the command's name.
    """
    context.obj = {name: value for name, value in flags.items() if value is not None}


@cli.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH|URL...")
@click.option("--private", is_flag=True, help="Also fetch addresses of this machine and network.")
@click.option("--wait", is_flag=True, help="Wait until the ranking model, too, has seen all (else the page does it).")
@click.option(
    "--same-name",
    type=click.Choice(["keep", "replace", "ask"]),
    default="keep",
    help="A file with the name of a document from elsewhere: keep both, replace that document, or fail.",
)
@click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Note this of every file, to choose it by.")
@queue_option
@common
@json_option
def ingest(
    paths: tuple[str, ...], private: bool, same_name: SameName, wait: bool, metadata: tuple[str, ...], queue: bool,
    as_json: bool, **flags: str | None,
) -> None:  # fmt: skip
    """Put files, folders and pages of the web into the library; the README lists what can be read.

    An http or https address is fetched once: that page alone, and nothing that it names.

    Ctrl-C stops after the file in hand, and once more at once. --json prints a line for each file when it is in.
    """
    if not all(path.strip() for path in paths):
        raise click.BadParameter("an empty path names nothing; for the working folder write '.'.", param_hint="PATH")
    from rag.filters import parse_metadata

    noted = parse_metadata(metadata)
    with stoppable() as stop, opened(_queued(settings(**flags), queue), write=True) as library:
        events = _ingested(library, paths, same_name, noted, private, _ended_by(stop, library))
        report = _told(after_first(events, lambda: echo_notices(library.notices)), stop, as_json=as_json)
        if wait and not stop.asked:
            _encoded(library, quiet=as_json)
    _end(report, stop, as_json=as_json)


@cli.command()
@click.argument("folder", required=False, type=click.Path(exists=False))
@click.option("--include", multiple=True, metavar="PATTERN", help="Only files that match, as in a .gitignore.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="No files that match.")
@click.option("--dry-run", is_flag=True, help="Say what would change.")
@click.option("--allow-deletions", is_flag=True, help="Also when the folder is empty or most of it is gone.")
@click.option("--watch", is_flag=True, help="Go on, and follow every change, until Ctrl-C.")
@click.option("--forget", is_flag=True, help="Mirror the folder no longer; its documents stay.")
@queue_option
@common
@json_option
def sync(
    folder: str | None, include: tuple[str, ...], exclude: tuple[str, ...], dry_run: bool, allow_deletions: bool,
    watch: bool, forget: bool, queue: bool, as_json: bool, **flags: str | None,
) -> None:  # fmt: skip
    """Make the library mirror a folder: add, update, move and remove documents.

    Without FOLDER: every folder that was synced before. What a .ragignore in a folder names is left out.
    """
    from rag.library import sync_events
    from rag.store.backends import FILE_NAME

    if folder is not None and not folder.strip():
        raise click.BadParameter("an empty path names nothing; for the working folder write '.'.", param_hint="FOLDER")
    config = _queued(settings(**flags), queue)
    with stoppable() as stop, ExitStack() as closing_:
        there = bool(config.database) or (config.library_path / FILE_NAME).is_file()
        new = dry_run and folder is not None and not there
        library = None if new else closing_.enter_context(opened(config, write=not dry_run))
        folders = [folder] if folder is not None else [one.path for one in library.folders()] if library else []
        if not folders:
            raise click.UsageError("No folder was synced yet: name one.")
        if forget and library:
            for path in folders:
                library.forget_folder(str(real_path(Path(path), there=False)))
                click.echo(f"No longer mirrored: {path}. Its documents stay.")
            return
        passes = (
            sync_events(
                library, path, config=config, include=include or None, exclude=exclude or None, dry_run=dry_run,
                allow_deletions=allow_deletions, stop=_ended_by(stop, library) if library else None,
            )
            for path in folders
        )  # fmt: skip
        events = after_first(chain.from_iterable(passes), lambda: echo_notices(library.notices if library else ()))
        report = _told(events, stop, as_json=as_json)
        if watch and not stop.asked and library:
            _watched(library, folders, stop, as_json=as_json)
            return
    _end(report, stop, as_json=as_json, dry_run=dry_run)


def _queued(config: Config, queue: bool) -> Config:
    """The configuration, with a queue where ``--queue`` asks for it."""
    return config.with_(queue=True) if queue else config


def _ended_by(stop: Stop, library: Library) -> threading.Event:
    """Set once this command is asked to stop. Says who reads the files where nobody does."""
    ended = threading.Event()
    stop.then = ended.set
    if library.config.queue and not library.queue()[0].workers:
        click.echo("No worker is there to read the files. Start one, here or elsewhere: rag worker", err=True)
    return ended


def _watched(library: Library, folders: Sequence[str], stop: Stop, *, as_json: bool) -> None:
    """Follow the folders until this command is asked to stop."""
    from rag.commands.terminal import event_text

    ended = threading.Event()
    stop.then = ended.set
    if not as_json:
        click.echo("Watching. Ctrl-C ends it.", err=True)
    for event in library.watch(folders, stop=ended):
        if as_json:
            echo_line(event)
        else:
            click.echo(event_text(event))


class Stop:
    """Whether this command was asked to stop, and by which signal, 0 before it was; ``then`` is called once it is."""

    def __init__(self) -> None:
        self.asked = 0
        self.then: Callable[[], None] = lambda: None


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Ctrl-C, and what ends a program from outside, only asks to stop: what is in hand is finished and all is closed in
    order. A second Ctrl-C is one."""
    stop = Stop()

    def ask(number: int, _: object) -> None:
        if stop.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.asked = number
        stop.then()
        with suppress(OSError):
            os.write(2, b"\nStopping after the file in hand ...\n")

    kinds = (signal.SIGINT, *ENDING)
    heard = [kind for kind in kinds if signal.getsignal(kind) != signal.SIG_IGN]
    before = [signal.signal(kind, ask) for kind in heard]
    try:
        yield stop
    finally:
        for kind, handler in zip(heard, before, strict=True):
            signal.signal(kind, handler)


def after_first(events: Iterator[IngestEvent], tell: Callable[[], None]) -> Generator[IngestEvent, None, None]:
    """These events; ``tell`` is called once there is one, so that nothing stands before an error that there is none."""
    for number, event in enumerate(events):
        if number == 0:
            tell()
        yield event


def _ingested(
    library: Library, paths: Sequence[str], same_name: SameName, noted: dict[str, Any], private: bool,
    ended: threading.Event,
) -> Generator[IngestEvent, None, None]:  # fmt: skip
    """The events of files and folders, and of what was typed as an address."""
    from rag.documents import is_address

    files = [Path(path) for path in paths if not is_address(path)]
    if files:
        yield from library.ingest_events(files, same_name=same_name, metadata=noted, stop=ended)
    for path in paths:
        if is_address(path):
            yield from library.ingest_address(path, private=private, metadata=noted).events


def _told(events: Generator[IngestEvent, None, None], stop: Stop, *, as_json: bool) -> IngestReport:
    """Follow an ingest to its end, or until it is asked to stop, and tell how it goes."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from rag.commands.terminal import one_line
    from rag.types import IngestReport

    started = time.perf_counter()
    ended = []
    columns = (
        TextColumn("Reading"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[name]}"),
    )
    try:
        with Progress(*columns, console=Console(stderr=True), disable=as_json) as bar, closing(events):
            task = bar.add_task("", total=None, name="")
            for event in events:
                ended.append(event)
                if as_json:
                    echo_line(event)
                bar.update(task, completed=event.done, total=event.total, name=one_line(event.source, 40))
                if stop.asked and not event.following:
                    break
    except RagError as error:
        if as_json:
            echo_line({"error": str(error), "hint": error.hint, "code": error.code})
        raise
    return IngestReport(tuple(ended), time.perf_counter() - started)


def _end(report: IngestReport, stop: Stop, *, as_json: bool, dry_run: bool = False) -> None:
    """The sum of an ingest, and its exit code."""
    from rag.commands.terminal import fitted, report_text, screen_width
    from rag.types import INGEST_STATUSES

    if as_json:
        counts = {status: report.count(status) for status in INGEST_STATUSES}
        echo_line({**counts, "seconds": report.seconds, "stopped": bool(stop.asked)})
    else:
        click.echo(fitted(report_text(report, dry_run=dry_run), screen_width()))
    if stop.asked:
        click.echo("Stopped. Run it again: it goes on from here.", err=True)
        raise click.exceptions.Exit(128 + stop.asked)
    if report.failed:
        raise click.exceptions.Exit(1)


def _encoded(library: Library, *, quiet: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from rag.commands.terminal import duration

    columns = (TextColumn("Encoding"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=False) as bar:
        task = bar.add_task("", total=None, left="")
        for event in library.encode_events():
            left = f"about {duration(event.seconds_left)} left" if event.done < event.total else ""
            bar.update(task, completed=event.done, total=event.total, left=left)


@cli.command()
@click.option("--folders", "what", flag_value="folders", help="The folders that are mirrored, instead.")
@click.option("--unread", "what", flag_value="unread", help="The files that could not be read, and why, instead.")
@common
@json_option
def sources(what: str | None, as_json: bool, **flags: str | None) -> None:
    """List the documents of a collection."""
    from rag.commands.terminal import fitted, folders_text, screen_width, sources_text, unread_text

    with opened(settings(**flags), write=False) as library:
        listed: Sequence[Any]
        if what == "folders":
            listed, text = (folders := library.folders()), folders_text(folders)
        elif what == "unread":
            listed, text = (files := library.unread()), fitted(unread_text(files), screen_width())
        else:
            listed, text = (documents := library.sources()), sources_text(documents)
    if as_json:
        echo_json(listed)
    else:
        click.echo(text)


@cli.command()
@click.argument("names", nargs=-1, metavar="SOURCE...")
@click.option("--all", "everything", is_flag=True, help="All documents of the collection.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
def remove(names: tuple[str, ...], everything: bool, yes: bool, **flags: str | None) -> None:
    """Remove documents, by the names that `rag sources` shows or patterns of them ('reports/*.pdf')."""
    if bool(names) == everything:
        raise click.UsageError("Name documents, or say --all.")
    with opened(settings(**flags), write=True) as library:
        known = [document.source for document in library.sources()]
        chosen = known if everything else [one for name in names for one in _matching(name, known)]
        if (everything or len(chosen) > len(names)) and not yes:
            click.confirm(f"Remove {len(chosen)} documents?", abort=True)
        for source in dict.fromkeys(chosen):
            library.remove(source)
            click.echo(f"Removed {source}.")


def _matching(name: str, known: Sequence[str]) -> list[str]:
    """The document of that name, else those that match it as a pattern; the name itself when none does."""
    if name in known or not set(name) & set("*?["):
        return [name]
    return [source for source in known if fnmatchcase(source, name)] or [name]


@cli.command()
@question_argument
@click.option("-k", type=click.IntRange(1, 200), default=None, help="How many passages.")
@choosing
@common
@json_option
def search(
    question: str, k: int | None, sources: tuple[str, ...], where: tuple[str, ...], as_json: bool, **flags: str | None
) -> None:
    """Show the passages nearest to a question."""
    from rag.commands.terminal import fitted, hits_text, screen_width
    from rag.filters import parse_terms

    with opened(settings(**flags), write=False) as library:
        hits = library.search(question, k, sources=sources, where=parse_terms(where))
    if as_json:
        echo_json(hits)
    else:
        click.echo(fitted(hits_text(hits), screen_width()))


@cli.command()
@question_argument
@choosing
@common
@json_option
def ask(question: str, sources: tuple[str, ...], where: tuple[str, ...], as_json: bool, **flags: str | None) -> None:
    """Answer a question, each sentence with its source."""
    from rag.commands.terminal import answer_text, screen_width
    from rag.filters import parse_terms

    with opened(settings(**flags)) as library:
        if as_json:
            answer = library.ask(question, sources=sources, where=parse_terms(where))
            echo_notices(library.notices)
            echo_json(answer)
            return
        from rag.commands.chat import stream_answer

        def begun() -> None:
            echo_notices([*library.notices, library.llm_choice.reason])

        answer = stream_answer(library, question, (), sources=sources, where=parse_terms(where), begun=begun)
        click.echo(answer_text(answer, screen_width()))


@cli.command()
@click.option("--host", default=None, help="Address to listen on (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Port (7860, or the next free one).")
@click.option(
    "--seeds/--no-seeds", default=None, help="Put the sample documents into an empty library first, or don't ask."
)
@click.option("--open/--no-open", "browser", default=False, help="Open the page in a browser.")
@click.option("--open-to-all", is_flag=True, help="Away from 127.0.0.1 and without accounts: yes, for everybody.")
@exposed
@common
def ui(host: str | None, port: int | None, seeds: bool | None, browser: bool, open_to_all: bool, **flags: Any) -> None:
    """Serve the page; where there are accounts or keys (RAG_API_KEYS), to programs too, as `rag serve` does.

    With an empty library it offers the sample documents first, when it is asked at a terminal.
    """
    from rag.commands.serving import for_programs, keys_given

    front, keys = front_of(flags), keys_given()
    config = settings(**flags).with_(host=host, port=port)
    click.echo("Loading the page ...", err=True)
    serve = _page()
    with opened(config, write=True) as library:
        library.collections.ensure()
        if not library.sources():
            _first_start(library, seeds)
        programs = None
        if keys or library.accounts.wanted:
            programs = for_programs(library, config.host, keys, front, assistants=False)
        serve(
            library,
            front=front,
            programs=programs,
            open_to_all=open_to_all,
            host=config.host,
            port=port,
            open_browser=browser,
            on_ready=lambda address: click.echo(f"Ready: {address}  (Ctrl-C ends it)"),
        )


def _page() -> Callable[..., None]:
    """What serves the page. Raises ConfigError where its packages are not installed."""
    from rag.platform.libraries import keep_gradio_from_writing_stubs

    keep_gradio_from_writing_stubs()
    try:
        from ui.app import serve
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _PAGE_PACKAGES:
            raise
        raise ConfigError(
            f"The page needs packages that are not installed: {error.name}.",
            hint="Install them with: pip install 'rag-cited[ui]' (or uv tool install, pipx install).",
        ) from error
    return serve


def _first_start(library: Library, seeds: bool | None) -> None:
    """Say what is where, and put the sample documents in if they are wanted."""
    from rag.commands.terminal import report_text, safe
    from rag.prompts import shipped_folder

    click.echo(f"The library is empty. It is kept in {library.config.library_place}.", err=True)
    click.echo(safe(library.llm_choice.reason), err=True)
    if seeds is None and sys.stdin.isatty() and sys.stderr.isatty():
        seeds = click.confirm("Put a few sample documents in, to try it?", default=True, err=True)
    if seeds:
        events = library.ingest_events([shipped_folder("seeds")])
        click.echo(report_text(_told(events, Stop(), as_json=False)), err=True)


@cli.command()
@click.argument("embedder_name", metavar="EMBEDDER", required=False)
@common
def reindex(embedder_name: str | None, **flags: str | None) -> None:
    """Search a collection with another model (builtin, multilingual or ollama:NAME), which reads it anew.

    Without a name: with that of an unfinished reindex, else the configured one. Ctrl-C loses nothing: run it again
    and it goes on. Until it has read all, searches go on as before.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from rag.commands.terminal import duration

    columns = (TextColumn("Reading"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    config = settings(**flags)
    with opened(config, write=True) as library:
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None, left="")
            for event in library.reindex_events(embedder_name):
                left = f"about {duration(event.seconds_left)} left"
                bar.update(task, completed=event.done, total=event.total, left=left)
        used = library.embedder_choice.name
    click.echo(f"The collection is searched with {used} from now on.")
    if config.embedder not in ("auto", used):
        click.echo(f"The setting embedder still says {config.embedder}: change it to auto or {used}.", err=True)


@cli.command()
@common
def compact(**flags: str | None) -> None:
    """Give the space of removed documents back; nothing of their text stays in the files."""
    with opened(settings(**flags), write=True) as library:
        library.compact()
    click.echo("Done.")


@cli.command()
@click.argument("file", type=click.Path(dir_okay=False))
@common
def backup(file: str, **flags: str | None) -> None:
    """Copy the library into one file, also while documents go in."""
    with opened(settings(**flags), write=False) as library:
        size = library.backup(file)
    click.echo(f"Written to {file}: {size / 1e6:.1f} MB. `rag restore` puts it back.")


@cli.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--replace", is_flag=True, help="Also where a library is; it is kept under another name.")
@common
def restore(file: str, replace: bool, **flags: str | None) -> None:
    """Make a backup the library."""
    from rag.library import Library

    config = settings(**flags)
    if config.database:
        raise click.UsageError(f"{config.library_place} is a database: restore a dump of it with pg_restore.")
    folder = config.library_path
    Library.restore(file, folder, replace=replace)
    click.echo(f"The library in {folder} is that of the backup; its index is made anew when it is opened.")


@cli.command("export")
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--gold", multiple=True, type=click.Path(exists=True, dir_okay=False), help="A gold set to take along.")
@common
def export_library(folder: str, gold: tuple[str, ...], **flags: str | None) -> None:
    """Write all into a new FOLDER as plain JSON lines and files, for any program: texts, conversations, settings."""
    with opened(settings(**flags), write=False) as library:
        moved = library.export(folder, gold)
    click.echo(
        f"Written to {folder}: {moved.documents} documents, {moved.conversations} conversations. `rag import` takes it."
    )


@cli.command("import")
@click.argument("folder", type=click.Path(file_okay=False))
@common
@json_option
def import_library(folder: str, as_json: bool, **flags: str | None) -> None:
    """Put into the library what `rag export` wrote. What is there already is passed over."""
    with stoppable() as stop, opened(settings(**flags), write=True) as library:
        report = _told(library.import_events(folder), stop, as_json=as_json)
    _end(report, stop, as_json=as_json)


@cli.command()
@click.option("--repair", is_flag=True, help="Write the library anew from all that can be read of it.")
@common
@json_option
def doctor(repair: bool, as_json: bool, **flags: str | None) -> None:
    """Say what is there and what is wrong."""
    from rag.commands.terminal import checks_text, fitted, repair_text, screen_width
    from rag.doctor import diagnose

    if repair:
        from rag.library import Library

        done = Library.repair(settings(**flags))
        if as_json:
            echo_json(done)
        else:
            click.echo(fitted(repair_text(done), screen_width()))
        raise click.exceptions.Exit(1 if done.lost else 0)
    config = settings(**flags)

    def examined() -> tuple[Check, ...]:
        with opened(config) as library:
            return library.doctor()

    checks = diagnose(config, examined)
    if as_json:
        echo_json(checks)
    else:
        click.echo(checks_text(checks, screen_width()))
    if any(check.state == "bad" for check in checks):
        raise click.exceptions.Exit(1)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        code = cli.main(args=list(arguments) if arguments is not None else None, prog_name="rag", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
    except RagError as error:
        from rag.commands.terminal import fitted, safe, screen_width

        click.echo(fitted(f"Error: {safe(error.explain())}", screen_width(errors=True)), err=True)
        return 2 if error.code in ("config", "prompt") else 1
    except BrokenPipeError:
        # The reader of our output is gone (`rag ask ... | head`); that is no failure of ours.
        sys.stdout = None
        return 0
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            raise
        sys.stdout = None  # what is still to be written would fail again when the program ends
        click.echo(f"Error: The output could not be written: {error.strerror}.", err=True)
        return 1
    return int(code) if isinstance(code, int) else 0


def main() -> None:
    """The console script."""
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        writable(stream)
    sys.exit(run())


def _open_standard_streams() -> None:
    """Put the null device where a standard stream is closed: the next file to be opened would take its place, and
    what is printed would go there."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
