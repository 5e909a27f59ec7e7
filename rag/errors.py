"""The tree of errors. Each says what happened, to what, and, in ``hint``, what to do next."""

from __future__ import annotations


class RagError(Exception):
    """Base of everything this package raises on purpose; anything else is a bug.

    ``hint`` is one sentence that tells the user what to do next; it may be empty only where the
    message itself already says it.
    """

    hint: str = ""
    code: str = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint

    def explain(self) -> str:
        """The message and, on a second line, the remedy."""
        return f"{self}\n{self.hint}" if self.hint else str(self)


class ArgumentError(RagError, TypeError):
    """A method of this package was given an argument of a wrong type."""

    code = "argument"


class ConfigError(RagError):
    """A setting is unknown, has the wrong type or is out of range."""

    code = "config"


class PromptError(ConfigError):
    """A prompt template is missing, or names a variable it may not use."""

    code = "prompt"


class QuestionError(RagError):
    """The question is empty or longer than the limit."""

    code = "question"


class DocumentError(RagError):
    """One file cannot become a document; the others go on."""

    code = "document"


class UnsupportedFormat(DocumentError):
    """No parser for this file."""

    code = "unsupported"


class EncryptedDocument(DocumentError):
    """The file needs a password."""

    code = "encrypted"


class EmptyDocument(DocumentError):
    """The file has no text (zero bytes, or only pictures).

    ``unread`` are the numbers of the pages on which text recognition could find some.
    """

    code = "empty"

    def __init__(self, message: str, *, hint: str | None = None, unread: tuple[int, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.unread = unread


class DamagedDocument(DocumentError):
    """The file cannot be decoded or parsed."""

    code = "damaged"


class LimitExceeded(DocumentError):
    """The file is over one of the limits; the message names the limit."""

    code = "limit"


class NameTaken(DocumentError):
    """There is another document of this name, and nobody has said whether to replace it or to keep both."""

    code = "same-name"


class ParserCrashed(DocumentError):
    """The parser's child process died, ran out of memory or out of time."""

    code = "parser"


class ProofError(RagError):
    """A file is no exported answer."""

    code = "proof"


class PathError(RagError):
    """A path to ingest is missing, unreadable or holds nothing to ingest."""

    code = "path"


class StoreError(RagError):
    """The library on disk cannot be used as asked."""

    code = "store"


class JobLost(StoreError):
    """A worker was not heard of for so long that its file was given to another; nothing was stored."""

    code = "job"
    hint = "The other worker reads it. Clocks that differ, or a machine that was asleep, cause this."


class LibraryLocked(StoreError):
    """Another process writes to this library; the message names it."""

    code = "locked"
    hint = "Wait until it ends or stop it; reading (search, ask) works meanwhile."


class LibraryFormat(StoreError):
    """The library was written by a newer or unknown version, or its file is no library."""

    code = "format"


class LibraryDamaged(StoreError):
    """The library's file does not hold what was written to it: the disk, or another program, changed it."""

    code = "damaged"
    hint = "`rag doctor --repair` saves what can be read; `rag restore` puts a backup back."


class DiskFull(StoreError):
    """A write failed for lack of space. Nothing that was acknowledged is lost."""

    code = "disk"
    hint = "Free some space and run the same command again; finished documents are kept."


class UnknownCollection(StoreError):
    """No collection of that name."""

    code = "collection"


class UnknownSource(StoreError):
    """No document of that name in the collection."""

    code = "source"


class UnknownConversation(StoreError):
    """No conversation of that number, or not of this owner."""

    code = "conversation"


class AccountError(StoreError):
    """An account cannot be made or changed as asked, or there is none of that name."""

    code = "account"


class SignInRefused(RagError):
    """Name and password do not belong together, or there were too many attempts."""

    code = "sign-in"


class NotAllowed(RagError):
    """The user's role, or what was shared with them, does not go that far."""

    code = "forbidden"
    hint = "Ask whoever administers this library."


class EmbedderMismatch(StoreError):
    """The collection was embedded by another model than the one asked for."""

    code = "embedder"


class ModelError(RagError):
    """The model or its server could not do what was asked."""

    code = "model"


class ServerNotRunning(ModelError):
    """Nothing listens at the server's address."""

    code = "server-down"
    hint = "Start it with `ollama serve`, or choose `--llm quotes` to answer without a model."


class ServerUnreachable(ModelError):
    """The server's host cannot be reached or refuses this client."""

    code = "server-unreachable"


class ServerBusy(ModelError):
    """The server's queue, or this program's, is full."""

    code = "busy"
    hint = "Try again in a moment."


class ModelMissing(ModelError):
    """The server does not have the model."""

    code = "model-missing"


class WrongModelKind(ModelError):
    """The model cannot do this (an embedding model asked to chat, or the reverse)."""

    code = "model-kind"


class ModelRefused(ModelError):
    """The name means a remote model, and documents may not leave this machine."""

    code = "model-remote"


class ModelOutOfMemory(ModelError):
    """The model does not fit into memory."""

    code = "memory"


class ModelTimeout(ModelError):
    """No answer within the time limit."""

    code = "timeout"


class StreamBroken(ModelError):
    """The answer's stream was cut, ended without its final line, or held an error or garbage."""

    code = "stream"


class EmptyAnswer(ModelError):
    """The model ended without a word of answer (or only thought)."""

    code = "empty-answer"


class PromptTooLong(ModelError):
    """The prompt does not fit the model's window. ``tokens`` is the server's count of it, 0 where it gave none."""

    code = "window"
    tokens: int = 0


class ServerError(ModelError):
    """The server reported a failure that has no class of its own."""

    code = "server"


class GoldError(RagError):
    """The gold set is invalid; the message names file and line."""

    code = "gold"
