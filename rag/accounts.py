"""Accounts: who may sign in, with which password, for how long, and what each may do with which collection.

Off until the first account is made (``rag users add``); from then on page, programs and assistants must say who they
are. Passwords are kept as Argon2id (RFC 9106), sessions and tokens as SHA-256 hashes of 256 random bits.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rag.errors import AccountError, NotAllowed, SignInRefused
from rag.store.truth import (
    EDITS,
    OWNS,
    READS,
    AccountRows,
    Conversation,
    Conversations,
    Credential,
    Found,
    Growing,
    Noted,
    StoredTurn,
    User,
)

if TYPE_CHECKING:
    from argon2 import PasswordHasher

ROLES = ("reader", "editor", "admin")
"""A reader asks; an editor also makes collections and puts documents in; an admin also has the models, what belongs to
nobody, and the log."""
FREE_ATTEMPTS = 5
FIRST_LOCK_SECONDS = 60.0
LONGEST_LOCK_SECONDS = 3600.0
SESSION_SECONDS = 7 * 86_400.0
IDLE_SECONDS = 86_400.0
"""A session ends this long after it began, and this long after it was last used."""
SHORTEST_PASSWORD = 10
_LONGEST_PASSWORD = 1024
_NAME = re.compile(r"[\w][\w.@+-]{0,63}")
_NOTED_EVERY = 300.0
_AT_ONCE = 2
"""Passwords checked at the same time: each takes 64 MB while it is."""


class Accounts:
    """The accounts of a library. Thread-safe."""

    def __init__(self, rows: AccountRows) -> None:
        self._rows = rows
        self._checking = threading.BoundedSemaphore(_AT_ONCE)
        self._nobody = ""
        self._made: PasswordHasher | None = None

    @property
    def wanted(self) -> bool:
        """Whether whoever uses the library must sign in."""
        return self._rows.wanted()

    def list(self) -> tuple[User, ...]:
        """Every account, by name."""
        return self._rows.all()

    def get(self, name: str) -> User:
        """The account of that name. Raises AccountError."""
        found = self._rows.by_name(folded(name))
        if found is None:
            raise AccountError(f"There is no account {name!r}.", hint="`rag users list` shows those that there are.")
        return found

    def by_id(self, number: int) -> User | None:
        """The account of that number, unless it is disabled."""
        found = self._rows.by_id(number)
        return None if found is None or found.disabled else found

    def add(self, name: str, password: str, role: str = "reader") -> User:
        """Make an account. Raises AccountError for a name or password that won't do, or an unknown role."""
        name = _checked_name(name)
        _check_role(role)
        return self._noted(self._rows.add(name, role, self._hashed(name, password)), "account-made", role)

    def add_subject(self, name: str, subject: str, role: str = "reader") -> User:
        """Make an account that signs in with an identity provider, which knows it by ``subject``."""
        _check_role(role)
        return self._noted(self._rows.add(_checked_name(name), role, "", subject), "account-made", role)

    def set_password(self, name: str, password: str) -> None:
        """Give an account another password; its sessions end. Raises AccountError."""
        user = self.get(name)
        self._rows.change(user.id, "password", self._hashed(user.name, password))
        self._rows.end_all(user.id, tokens=False)
        self._rows.end_attempts(user.name)
        self._noted(user, "password-changed")

    def set_role(self, name: str, role: str) -> None:
        """Give an account another role, at once. Raises AccountError."""
        _check_role(role)
        user = self.get(name)
        self._rows.change(user.id, "role", role)
        self._noted(user, "role-changed", role)

    def disable(self, name: str, *, disabled: bool = True) -> None:
        """Let an account in no longer, at once: its sessions and tokens end; or let it in again.

        Raises AccountError.
        """
        user = self.get(name)
        self._rows.change(user.id, "disabled", disabled)
        if disabled:
            self._rows.end_all(user.id, tokens=True)
        self._noted(user, "disabled" if disabled else "enabled")

    # -- signing in -------------------------------------------------------------------------------------------

    def sign_in(self, name: str, password: str, address: str = "") -> str:
        """What to show for a session from now on. Raises SignInRefused.

        An unknown name takes as long as a wrong password and counts the same: after ``FREE_ATTEMPTS`` the name is
        locked out, at first for a minute.
        """
        name = folded(name)[:64]
        locked = self._rows.begin_attempt(name, FREE_ATTEMPTS, FIRST_LOCK_SECONDS, LONGEST_LOCK_SECONDS)
        if locked:
            self._rows.note(name, "locked-out", "", address)
            raise SignInRefused(
                "There were too many attempts with this name.", hint=f"Try again in {_duration(locked)}."
            )
        right = self._matches(self._rows.password(name), password)
        user = self._rows.by_name(name)
        if not right or user is None or user.disabled:
            self._rows.note(name, "sign-in-failed", "", address)
            raise SignInRefused("Name and password do not belong together.", hint="Check both and try again.")
        self._rows.end_attempts(name)
        return self.begin_session(user, address)

    def begin_session(self, user: User, address: str = "") -> str:
        """What to show for a session of somebody who was recognised."""
        shown = secrets.token_urlsafe(32)
        self._rows.keep(user.id, "session", _digest(shown), address, time.time() + SESSION_SECONDS)
        self._noted(user, "signed-in", address=address)
        return shown

    def sign_in_subject(self, subject: str, name: str, address: str = "") -> str:
        """What to show for a session of somebody whom an identity provider knows by ``subject``; whoever comes first
        time gets an account as a reader, called ``name`` as far as that is free. Raises SignInRefused.
        """
        user = self._rows.by_subject(subject)
        if user is None:
            user = self.add_subject(self._free_name(name, subject), subject)
        if user.disabled:
            self._rows.note(user.name, "sign-in-failed", "", address)
            raise SignInRefused("This account is disabled.", hint="Ask whoever administers this library.")
        return self.begin_session(user, address)

    def _free_name(self, name: str, subject: str) -> str:
        """A name for a new account: never one that another has, whoever that is."""
        usable = re.sub(r"[^\w.@+-]", "-", folded(name))[:48].lstrip(".@+-") or "user"
        return usable if self._rows.by_name(usable) is None else f"{usable}-{_digest(subject)[:12]}"

    def session(self, shown: str) -> User | None:
        """Whose session this is; None when it has ended."""
        return self._user("session", shown, IDLE_SECONDS)

    def sign_out(self, shown: str) -> None:
        """End one session."""
        user = self.session(shown)
        self._rows.end(_digest(shown))
        if user is not None:
            self._noted(user, "signed-out")

    def sign_out_everywhere(self, name: str, *, tokens: bool = False) -> None:
        """End all sessions of an account, and with ``tokens`` these too. Raises AccountError."""
        user = self.get(name)
        self._rows.end_all(user.id, tokens=tokens)
        self._noted(user, "signed-out-everywhere")

    # -- tokens -----------------------------------------------------------------------------------------------

    def new_token(self, name: str, label: str, days: float = 365.0) -> str:
        """A key for a program of this user; it is shown now and never again. Raises AccountError."""
        user = self.get(name)
        shown = f"rag_{secrets.token_urlsafe(32)}"
        self._rows.keep(user.id, "token", _digest(shown), label[:100], time.time() + days * 86_400)
        self._noted(user, "token-made", label[:100])
        return shown

    def tokens(self, name: str) -> tuple[Credential, ...]:
        """The keys of this user's programs, without what they show. Raises AccountError."""
        return self._rows.listed(self.get(name).id, "token")

    def revoke(self, name: str, token: str) -> None:
        """End a key by the name it is listed by. Raises AccountError."""
        user = self.get(name)
        if not self._rows.end_named(user.id, token):
            raise AccountError(
                f"{user.name} has no token {token!r}.", hint=f"`rag users tokens {user.name}` lists them."
            )
        self._noted(user, "token-revoked", token)

    def by_token(self, shown: str) -> User | None:
        """Whose key this is; None when it has ended."""
        return self._user("token", shown, float("inf"))

    # -- collections and the log ------------------------------------------------------------------------------

    def access(self, user: User) -> Access:
        """What a user may do, asked anew each time."""
        return Access(self._rows, user)

    def share(self, collection_id: int, name: str, *, edits: bool | None) -> None:
        """Let a user read a collection, or edit it too; None takes that back. Raises AccountError."""
        self._rows.share(collection_id, self.get(name).id, edits)

    def publish(self, collection_id: int, *, public: bool) -> None:
        """Let every user read a collection, or not."""
        self._rows.publish(collection_id, public=public)

    def give(self, collection_id: int, name: str) -> None:
        """Make a user the owner of a collection. Raises AccountError."""
        self._rows.give(collection_id, self.get(name).id)

    def shares(self, collection_id: int) -> tuple[bool, Mapping[str, bool]]:
        """Whether a collection is public, and who else may read it (True: edit it), by name."""
        return self._rows.shares(collection_id)

    def note(self, who: str, event: str, about: str = "", address: str = "") -> None:
        """Write a line of the log."""
        self._rows.note(who, event, about, address)

    def log(self, limit: int = 100, who: str | None = None) -> tuple[Noted, ...]:
        """The last lines of the log, the newest first."""
        return self._rows.log(limit, who)

    def _noted(self, user: User, event: str, about: str = "", address: str = "") -> User:
        self._rows.note(user.name, event, about, address)
        return user

    def _user(self, kind: str, shown: str, idle: float) -> User | None:
        if not shown or len(shown) > 200 or not shown.isascii():
            return None
        digest = _digest(shown)
        found = self._rows.shown("session" if kind == "session" else "token", digest, idle)
        if found is None:
            return None
        user, seen = found
        if time.time() - seen > _NOTED_EVERY:
            self._rows.note_use(digest)
        return user

    # -- passwords --------------------------------------------------------------------------------------------

    def _hashed(self, name: str, password: str) -> str:
        if not SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD or name in folded(password):
            raise AccountError(
                f"This password won't do: it has {SHORTEST_PASSWORD} characters or more and not the name in it.",
                hint="A few random words are easy to remember and hard to guess.",
            )
        with self._checking:
            return self._hasher.hash(password)

    def _matches(self, kept: str, password: str) -> bool:
        """Whether this is the password; as slow where there is none to compare with."""
        from argon2.exceptions import VerificationError

        with self._checking:
            if not self._nobody:
                self._nobody = self._hasher.hash(secrets.token_hex(16))
            try:
                return self._hasher.verify(kept or self._nobody, password[:_LONGEST_PASSWORD]) and bool(kept)
            except VerificationError:
                return False

    @property
    def _hasher(self) -> PasswordHasher:
        """Argon2id with RFC 9106's second recommended choice: 64 MB, three passes."""
        if self._made is None:
            from argon2 import PasswordHasher, profiles

            self._made = PasswordHasher.from_parameters(profiles.RFC_9106_LOW_MEMORY)
        return self._made


class Access:
    """What one user may do with the collections of a library, asked of the database each time: what was taken back, or
    a role that was changed, counts at once."""

    def __init__(self, rows: AccountRows, user: User) -> None:
        self._rows = rows
        self.user = user

    @property
    def owner(self) -> str:
        """What marks conversations, documents and collections as this user's."""
        return str(self.user.id)

    @property
    def role(self) -> str:
        """The user's role now; empty when they may do nothing any longer."""
        found = self._rows.by_id(self.user.id)
        return "" if found is None or found.disabled else found.role

    def readable(self) -> frozenset[int]:
        """The numbers of the collections that they may know of and ask."""
        return frozenset(self._rows.levels(self.user.id))

    def reads(self, collection_id: int | None) -> bool:
        """Whether they may know of a collection and ask it."""
        return self._level(collection_id) >= READS

    def expect_editable(self, collection_id: int) -> None:
        """Raise NotAllowed unless they may put documents into a collection and take them out."""
        if self._level(collection_id) < EDITS:
            raise NotAllowed(f"{self.user.name} may not change this collection.")

    def expect_owned(self, collection_id: int) -> None:
        """Raise NotAllowed unless they may rename, share and delete a collection."""
        if self._level(collection_id) < OWNS:
            raise NotAllowed(f"This collection does not belong to {self.user.name}.")

    def expect_editor(self) -> None:
        """Raise NotAllowed unless they may make collections."""
        if self.role not in ("editor", "admin"):
            raise NotAllowed(f"{self.user.name} may ask, and not change anything.")

    def expect_admin(self) -> None:
        """Raise NotAllowed unless they are an administrator."""
        if self.role != "admin":
            raise NotAllowed("This is for administrators.")

    def note(self, event: str, about: str) -> None:
        """Write a line of the log."""
        self._rows.note(self.user.name, event, about, "")

    def _level(self, collection_id: int | None) -> int:
        return 0 if collection_id is None else self._rows.levels(self.user.id).get(collection_id, 0)


class OwnConversations:
    """The conversations of one owner alone, whomever a call names; another's are as unknown as those there are not."""

    def __init__(self, kept: Conversations, owner: str) -> None:
        self._kept = kept
        self._owner = owner

    def create(self, collection: str, owner: str = "", title: str = "") -> int:
        return self._kept.create(collection, self._owner, title)

    def append(
        self, conversation_id: int, question: str, asked: str, answer: Mapping[str, Any], owner: str = "",
        task: str = "",
    ) -> int:  # fmt: skip
        return self._kept.append(conversation_id, question, asked, answer, self._owner, task)

    def keep(self, growing: Sequence[Growing]) -> tuple[str, ...]:
        return self._kept.keep(growing)

    def end(
        self, conversation_id: int, index: int, task: str, asked: str, answer: Mapping[str, Any], owner: str = ""
    ) -> bool:
        return self._kept.end(conversation_id, index, task, asked, answer, self._owner)

    def turn(self, conversation_id: int, index: int, owner: str = "") -> StoredTurn | None:
        return self._kept.turn(conversation_id, index, self._owner)

    def list(self, owner: str = "", collection: str | None = None, limit: int = 200) -> tuple[Conversation, ...]:
        return self._kept.list(self._owner, collection, limit)

    def get(self, conversation_id: int, owner: str = "") -> tuple[Conversation, tuple[StoredTurn, ...]]:
        return self._kept.get(conversation_id, self._owner)

    def rename(self, conversation_id: int, title: str, owner: str = "") -> None:
        self._kept.rename(conversation_id, title, self._owner)

    def delete(self, conversation_id: int, owner: str = "") -> None:
        self._kept.delete(conversation_id, self._owner)

    def delete_turns_from(self, conversation_id: int, index: int, owner: str = "") -> int:
        return self._kept.delete_turns_from(conversation_id, index, self._owner)

    def search(self, text: str, owner: str = "", limit: int = 50) -> tuple[Found, ...]:
        return self._kept.search(text, self._owner, limit)

    def feedback(self, conversation_id: int, index: int, value: int, note: str = "", owner: str = "") -> None:
        self._kept.feedback(conversation_id, index, value, note, self._owner)


class Throttle:
    """Bounds what one address may try: ``most`` attempts in ``seconds``. For one process; thread-safe."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, list[float]] = {}

    def allows(self, address: str) -> bool:
        """Count an attempt; whether it may go on."""
        now = self._clock()
        with self._lock:
            if len(self._seen) > 10_000:
                self._seen = {key: times for key, times in self._seen.items() if times[-1] > now - self._seconds}
            times = [at for at in self._seen.get(address, ()) if at > now - self._seconds]
            self._seen[address] = [*times[-self._most :], now]
            return len(times) < self._most

    def forgive(self, address: str) -> None:
        """Do not count the last attempt: it was no guess."""
        with self._lock:
            self._seen[address] = self._seen.get(address, [])[:-1]
            if not self._seen[address]:
                del self._seen[address]


def folded(name: str) -> str:
    """A name as it is kept and compared: in one spelling, whatever the case."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _checked_name(name: str) -> str:
    name = folded(name)
    if not _NAME.fullmatch(name):
        raise AccountError(
            f"{name[:64]!r} cannot name an account.", hint="Use up to 64 letters, digits and . @ + - _, no spaces."
        )
    return name


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise AccountError(f"There is no role {role!r}.", hint=f"Choose one of {', '.join(ROLES)}.")


def _digest(shown: str) -> str:
    return hashlib.sha256(shown.encode()).hexdigest()


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} seconds" if seconds < 120 else f"{round(seconds / 60)} minutes"
