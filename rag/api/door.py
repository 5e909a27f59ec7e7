"""Who asks: what a request shows, and the library that it is answered from."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rag.errors import ConfigError
from rag.types import Document, UnreadFile, to_plain

if TYPE_CHECKING:
    from rag.library import Library


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was let in. ``library`` holds what they may see and no more; ``administers``: whether they may read how the
    server does; ``welcome`` says whether they would be let in still, for an answer that takes its time.
    """

    library: Library
    administers: bool = True
    welcome: Callable[[], bool] = lambda: True
    name: str = ""


class Door:
    """Lets in who holds one of ``keys``, or everybody where there are none; all of them to the whole of ``library``."""

    def __init__(self, library: Library, keys: Sequence[str] = ()) -> None:
        self._caller = Caller(library)
        self._keys = [key.encode() for key in keys]

    def caller(self, authorization: str) -> Caller | None:
        """Who shows this ``Authorization`` header; None for nobody who may come in."""
        if not self._keys:
            return self._caller
        given = bearer(authorization)
        matches = [hmac.compare_digest(given, key) for key in self._keys]  # every key, in constant time
        return self._caller if given and any(matches) else None


class AccountDoor(Door):
    """Lets in who holds a token of an account, to what that user may see."""

    def __init__(self, library: Library) -> None:
        super().__init__(library)
        self._library = library

    def caller(self, authorization: str) -> Caller | None:
        """The user whose token this is; None for nobody, and for one that has ended."""
        accounts, token = self._library.accounts, bearer(authorization).decode("latin-1")
        user = accounts.by_token(token)
        if user is None:
            return None
        return Caller(
            self._library.for_user(user), user.role == "admin", lambda: accounts.by_token(token) is not None, user.name
        )


def door_to(library: Library, keys: Sequence[str] = ()) -> Door:
    """The door that a library wants: by its accounts where there are any, else by ``keys``.

    Raises ConfigError for both, since a key would open everything to whoever holds it.
    """
    if not library.accounts.wanted:
        return Door(library, keys)
    if keys:
        raise ConfigError(
            "This library has accounts, and keys were given beside them (RAG_API_KEYS): a key belongs to no user.",
            hint="Unset RAG_API_KEYS and give each program a token of a user: `rag users tokens NAME --new PROGRAM`.",
        )
    return AccountDoor(library)


def bearer(authorization: str) -> bytes:
    """The token of an ``Authorization`` header; empty where there is none."""
    kind, _, told = authorization.partition(" ")
    return told.strip().encode("utf-8", "surrogateescape") if kind.lower() == "bearer" else b""


def described(file: Document | UnreadFile) -> dict[str, Any]:
    """A document, or a file that is none, for programs: all but where on the server's disk it came from."""
    plain: dict[str, Any] = to_plain(file)
    del plain["origin"]
    return plain
