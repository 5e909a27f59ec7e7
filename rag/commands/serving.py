"""``rag serve``, ``rag mcp``, ``rag verify``: the library for programs and assistants, and exported answers checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from rag.commands.options import common, echo_json, exposed, front_of, json_option, opened, settings
from rag.errors import ConfigError, NotAllowed, ProofError
from rag.proof import MEANING, ProofReport, bare_files, check_proof, read_proofs

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from rag.api.front import Front
    from rag.api.guard import ApiGuard
    from rag.library import Library


KEYS = "RAG_API_KEYS"
"""The variable with the keys that programs must show, separated by commas; never a flag, which others could read."""
_SHORTEST_KEY = 16


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Port (7870, or the next free one).")
@click.option("--mcp", "assistants", is_flag=True, help="Serve assistants too, at /mcp (Model Context Protocol).")
@exposed
@common
def serve(host: str, port: int | None, assistants: bool, **flags: Any) -> None:
    """Serve programs over HTTP: OpenAI's endpoints at /v1, the library's own at /api.

    Where there are accounts, a program shows a user's token (`rag users tokens`) as a bearer token. Else keys in
    RAG_API_KEYS (separated by commas) are asked for; away from 127.0.0.1 there must be one or the other.
    """
    from rag.api.server import address_of, ended_by_signals, listen, run

    front, keys = front_of(flags), keys_given()
    with ended_by_signals(), opened(settings(**flags)) as library:
        library.collections.ensure()
        library.share_choices()
        app = for_programs(library, host, keys, front, assistants=assistants)
        listener = listen(host, 7870 if port is None else port, exactly=port is not None, guarded=True)
        address = address_of(listener, front)
        run(app, listener, lambda: click.echo(f"Ready: {address}v1  (Ctrl-C ends it)"), front)


def for_programs(library: Library, host: str, keys: tuple[str, ...], front: Front, *, assistants: bool) -> ApiGuard:
    """The guarded application for programs. Raises ConfigError where whoever reaches ``host`` would have it all."""
    from rag.api.door import AccountDoor, door_to
    from rag.api.guard import ApiGuard, is_loopback, names_for
    from rag.api.http import MEGABYTE, create_app

    door = door_to(library, keys)
    if not keys and not isinstance(door, AccountDoor) and not is_loopback(host):
        raise ConfigError(
            f"Serving on {host} without keys would give the documents to whoever reaches this machine.",
            hint=f"Set {KEYS} to one or more keys, make accounts (`rag users add`), or listen on 127.0.0.1.",
        )
    served = _assistants(None if isinstance(door, AccountDoor) else library) if assistants else None
    app = create_app(library, door=door, assistants=served)
    return ApiGuard(app, names_for(host, front.names), file_bytes=library.config.limits.file_mb * MEGABYTE)


def keys_given() -> tuple[str, ...]:
    """The keys of ``KEYS``. Raises ConfigError for one that is too short."""
    keys = tuple(key.strip() for key in os.environ.get(KEYS, "").split(",") if key.strip())
    if any(len(key) < _SHORTEST_KEY for key in keys):
        raise ConfigError(
            f"A key in {KEYS} is shorter than {_SHORTEST_KEY} characters.",
            hint="Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return keys


def _assistants(library: Library | None) -> MCPServer[Any]:
    """The server for assistants. Raises ConfigError where its package is not installed."""
    try:
        from rag.api.mcp import create_server
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The Model Context Protocol needs a package that is not installed: {error.name}.",
            hint="Install it with: pip install 'rag-cited[mcp]'",
        ) from error
    return create_server(library)


@click.command("mcp")
@click.option("--user", metavar="NAME", help="Show the assistant what this user may see, and no more.")
@common
def mcp(user: str | None, **flags: str | None) -> None:
    """Serve the library to assistants by the Model Context Protocol, over standard input and output.

    It has all of the library, as every command has; where there are accounts, --user bounds it to what one may see.
    """
    with opened(settings(**flags), write=False) as library:
        seen = library if user is None else _as_seen_by(library, user)
        _assistants(seen).run("stdio")


def _as_seen_by(library: Library, name: str) -> Library:
    """The library as a user sees it. Raises AccountError for an unknown name, NotAllowed for a disabled account."""
    user = library.accounts.by_id(library.accounts.get(name).id)
    if user is None:
        raise NotAllowed(f"The account {name!r} is disabled.", hint=f"Let it in again: rag users enable {name}")
    return library.for_user(user)


@click.command("verify")
@click.argument("answer", type=click.File(encoding="utf-8"), metavar="FILE")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@common
@json_option
def verify(answer: TextIO, paths: tuple[str, ...], as_json: bool, **flags: str | None) -> None:
    """Check an exported answer again: do its quotes still stand in the documents?

    FILE is what `rag ask --json` or the page's export wrote; - reads the standard input. With PATHs it is held against
    those files instead of the library. Exit code 1 when a quote no longer holds.
    """
    config = settings(**flags)
    try:
        answers = read_proofs(answer.read())
    except UnicodeDecodeError as error:
        raise ProofError("This file is not text in UTF-8.", hint="Export the answer anew.") from error
    if paths:
        documents = list(bare_files([Path(path) for path in paths], config))
    else:
        with opened(config, write=False) as library:
            documents = list(library.known_documents())
    reports = [check_proof(one, documents) for one in answers]
    if as_json:
        echo_json([{"holds": report.holds, "report": report} for report in reports])
    else:
        click.echo("\n\n".join(_told(report) for report in reports))
    if not all(report.holds for report in reports):
        raise click.exceptions.Exit(1)


def _told(report: ProofReport) -> str:
    """A report for the terminal."""
    from rag.commands.terminal import fitted, one_line, safe, screen_width

    lines = [safe(report.question)] if report.question else []
    for checked in report.citations:
        lines.append(f"[{checked.marker}] {checked.state}: {safe(checked.source)}: {MEANING[checked.state]}")
        lines.append(f"    “{one_line(checked.quote, 160)}”")
    lines += [f"altered: “{one_line(text, 160)}” is not what it cites word for word" for text in report.altered]
    if report.loose:
        lines.append(f"{report.loose} markers stand for no citation")
    kept = sum(1 for checked in report.citations if checked.state == "holds")
    lines.append(f"{kept} of {len(report.citations)} citations hold." if report.citations else "Nothing is cited.")
    return fitted("\n".join(lines), screen_width())
