"""``rag users``: who may sign in, with what, and what is shared with whom."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from rag.commands.options import common, echo_json, json_option, opened, settings
from rag.commands.terminal import safe
from rag.errors import AccountError

if TYPE_CHECKING:
    from rag.accounts import Accounts
    from rag.library import Library

_ROLE = click.Choice(["reader", "editor", "admin"])
_NAME = click.argument("name")
password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the standard input, not from the terminal."
)


@click.group()
def users() -> None:
    """Accounts: who may sign in, with which role, and what is shared with them.

    There are none at first, and whoever reaches the page has all of it. From the first account on, page, programs and
    assistants must say who they are; start `rag ui` and `rag serve` anew then.
    """


@users.command("add")
@_NAME
@click.option("--role", type=_ROLE, default="reader", show_default=True, help="What they may do.")
@password_option
@common
def add(name: str, role: str, password_stdin: bool, **flags: str | None) -> None:
    """Make an account.

    A reader asks; an editor also makes collections and puts documents in; an admin also has the models, the log and
    the collections that were there before the accounts.
    """
    with _accounts(flags) as accounts:
        first = not accounts.wanted
        user = accounts.add(name, _password(password_stdin), role)
    click.echo(f"Made {safe(user.name)}, {role}.")
    if first:
        click.echo("From now on everybody must sign in. Start `rag ui` and `rag serve` anew if they run.", err=True)


@users.command("passwd")
@_NAME
@password_option
@common
def passwd(name: str, password_stdin: bool, **flags: str | None) -> None:
    """Give an account another password; its sessions end."""
    with _accounts(flags) as accounts:
        accounts.get(name)
        accounts.set_password(name, _password(password_stdin))
    click.echo("Changed; whoever was signed in with it must sign in again.")


@users.command("role")
@_NAME
@click.argument("role", type=_ROLE)
@common
def role(name: str, role: str, **flags: str | None) -> None:
    """Give an account another role, at once."""
    with _accounts(flags) as accounts:
        accounts.set_role(name, role)
    click.echo(f"{safe(name)} is {role} now.")


@users.command("disable")
@_NAME
@common
def disable(name: str, **flags: str | None) -> None:
    """Let an account in no longer, at once; what it has stays."""
    with _accounts(flags) as accounts:
        accounts.disable(name)
    click.echo(f"{safe(name)} is let in no longer.")


@users.command("enable")
@_NAME
@common
def enable(name: str, **flags: str | None) -> None:
    """Let a disabled account in again."""
    with _accounts(flags) as accounts:
        accounts.disable(name, disabled=False)
    click.echo(f"{safe(name)} may sign in again.")


@users.command("list")
@common
@json_option
def list_users(as_json: bool, **flags: str | None) -> None:
    """The accounts, with their roles."""
    with _accounts(flags) as accounts:
        found = accounts.list()
    if as_json:
        echo_json(found)
        return
    for user in found:
        click.echo(f"{safe(user.name)}: {user.role}{', disabled' if user.disabled else ''}, since {_day(user.created)}")
    if not found:
        click.echo("There are no accounts: nobody has to sign in. `rag users add NAME` makes the first.")


@users.command("tokens")
@_NAME
@click.option("--new", "label", metavar="LABEL", help="Make a token for the program of this name, and print it once.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it is valid.")
@click.option("--revoke", metavar="TOKEN", help="End the token of this name, as listed.")
@common
@json_option
def tokens(name: str, label: str | None, days: int, revoke: str | None, as_json: bool, **flags: str | None) -> None:
    """The keys of a user's programs: list, make, end them.

    A program sends it as 'Authorization: Bearer TOKEN' and sees what the user sees.
    """
    with _accounts(flags) as accounts:
        if revoke is not None:
            accounts.revoke(name, revoke)
        if label is not None:
            click.echo(accounts.new_token(name, label, days))
            click.echo("It is shown this once; only its hash is kept.", err=True)
        found = accounts.tokens(name)
    if as_json:
        echo_json(found)
    elif label is None:
        for token in found:
            click.echo(f"{token.name}: {safe(token.label)}, made {_day(token.created)}, until {_day(token.expires)}")
        if not found:
            click.echo(f"{safe(name)} has no tokens. `rag users tokens {safe(name)} --new PROGRAM` makes one.")


@users.command("sign-out")
@_NAME
@click.option("--tokens", "also_tokens", is_flag=True, help="End the keys of their programs too.")
@common
def sign_out(name: str, also_tokens: bool, **flags: str | None) -> None:
    """End all sessions of an account, wherever it is signed in."""
    with _accounts(flags) as accounts:
        accounts.sign_out_everywhere(name, tokens=also_tokens)
    click.echo(f"{safe(name)} is signed in nowhere now.")


@users.command("share")
@click.argument("shared", metavar="COLLECTION")
@click.option("--with", "readers", multiple=True, metavar="USER", help="Let them ask it.")
@click.option("--edit", "editors", multiple=True, metavar="USER", help="Let them ask it and change its documents.")
@click.option("--without", "others", multiple=True, metavar="USER", help="Share it with them no longer.")
@click.option("--public/--private", "public", default=None, help="Let every user ask it, or not.")
@click.option("--owner", metavar="USER", help="Whose it is.")
@common
def share(
    shared: str, readers: tuple[str, ...], editors: tuple[str, ...], others: tuple[str, ...], public: bool | None,
    owner: str | None, **flags: str | None,
) -> None:  # fmt: skip
    """Say who may ask a collection; without options, who may now."""
    with _library(flags) as library:
        accounts, collection = library.accounts, library.collections.get(shared)
        for name in (*readers, *editors, *others, *([owner] if owner else [])):
            accounts.get(name)  # none is shared with when one is misspelt
        for names, edits in ((readers, False), (editors, True), (others, None)):
            for name in names:
                accounts.share(collection.id, name, edits=edits)
        if public is not None:
            accounts.publish(collection.id, public=public)
        if owner is not None:
            accounts.give(collection.id, owner)
        accounts.note("", "collection-shared", shared)
        everybody, people = accounts.shares(collection.id)
        known = {str(user.id): user.name for user in accounts.list()}
        owned = library.collections.get(shared).owner
    click.echo(f"{safe(shared)} belongs to {safe(known.get(owned, 'the administrators'))}.")
    for name, edits in sorted(people.items()):
        click.echo(f"{safe(name)} may {'change' if edits else 'ask'} it.")
    click.echo("Every user may ask it." if everybody else "Nobody else may.")


@users.command("log")
@click.option("-n", "count", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many lines.")
@click.option("--user", "who", metavar="NAME", help="Only what this user did.")
@common
@json_option
def log(count: int, who: str | None, as_json: bool, **flags: str | None) -> None:
    """Who signed in, failed to, and changed what; the newest last."""
    with _accounts(flags) as accounts:
        lines = accounts.log(count, who)[::-1]
    if as_json:
        echo_json(lines)
        return
    for line in lines:
        at = datetime.datetime.fromtimestamp(line.at).isoformat(" ", "seconds")
        told = (line.who or "-", line.event, line.about, line.address)
        click.echo("  ".join([at, *(safe(one) for one in told if one)]))


@contextmanager
def _library(flags: dict[str, str | None]) -> Iterator[Library]:
    """The library, made if need be; else opened beside whoever writes to it."""
    config = settings(**flags)
    with opened(config) as library:
        yield library


@contextmanager
def _accounts(flags: dict[str, str | None]) -> Iterator[Accounts]:
    with _library(flags) as library:
        yield library.accounts


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return "" if sys.stdin is None else sys.stdin.readline().rstrip("\r\n")
    if sys.stdin is None or not sys.stdin.isatty():
        raise AccountError("There is no terminal to type a password.", hint="Give it with --password-stdin.")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def _day(at: float) -> str:
    return datetime.datetime.fromtimestamp(at).date().isoformat()
