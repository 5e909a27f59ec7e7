"""What the names in the configuration mean: ``auto``, ``quotes``, ``builtin``, ``ollama:NAME``, ... as model objects;
and the models of an open library, chosen once, when first needed, and shared by everything that asks.

``auto`` is resolved once, and the reason is a sentence to say aloud. A model asked for by name is used or refused with
a typed error, never replaced by another. Nothing here touches the network for ``quotes`` or ``builtin``.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from rag.config import Config
from rag.errors import ArgumentError, ConfigError, EmbedderMismatch, ModelError, RagError, ServerError, ServerNotRunning
from rag.models.families import (
    CHAT_FAVOURITES,
    DEFAULT_CHAT_PULL,
    EMBEDDING_FAVOURITES,
    Prefixes,
    canonical,
    prefixes_for,
)
from rag.models.host import host_and_port, is_loopback, redact, resolve_host
from rag.platform.machine import memory_bytes

if TYPE_CHECKING:
    from llama_index.core.llms.llm import LLM

    from rag.models.client import ModelInfo, OllamaClient, Running
    from rag.models.embed import Embedder
    from rag.store.truth import EmbedderInfo

QUOTES = "quotes"
BUILTIN = "builtin"
MULTILINGUAL = "multilingual"
OFF = "off"
AUTO = "auto"
OLLAMA = "ollama:"
OPENAI = "openai:"
_PROBE_SECONDS = 1.0
_USABLE_MEMORY = 0.8


@dataclass(frozen=True, slots=True)
class Choice:
    """A model's name as the configuration writes it, and one or two sentences that say why it was taken."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What there is at the server's address. ``error`` and ``hint`` say why it is not ``reachable``.

    ``local`` is False when the address is another machine's, which then sees the documents.
    """

    base_url: str
    local: bool
    reachable: bool
    version: str = ""
    models: tuple[ModelInfo, ...] = ()
    running: tuple[Running, ...] = ()
    error: str = ""
    hint: str = ""


def choose_llm(config: Config, *, client: OllamaClient | None = None) -> tuple[LLM | None, Choice]:
    """The chat model; None means answers are quoted from the documents.

    ``ollama:NAME`` raises a ModelError when that model cannot be used. ``auto`` takes the first installed of a short
    list, else the largest installed chat model that fits into memory, else None. A window too small for
    ``num_predict`` makes the longest answer shorter, and the reason says so. ``client`` is used instead of a new
    connection and stays the caller's to close; else ``close`` of the model closes it.
    """
    llm, choice = _chosen_llm(config, client)
    room = config.num_predict if llm is None else llm.metadata.num_output
    if llm is None or not 0 < room < config.num_predict:
        return llm, choice
    short = (
        f"Its answers have at most {room} tokens instead of num_predict = {config.num_predict}, since its window has "
        f"{llm.metadata.context_window} (num_ctx = {config.num_ctx})."
    )
    return llm, replace(choice, reason=f"{choice.reason} {short}")


def _chosen_llm(config: Config, client: OllamaClient | None) -> tuple[LLM | None, Choice]:
    if config.llm == QUOTES:
        return None, Choice(QUOTES, "Answers by quoting the documents, as configured.")
    if config.llm == AUTO:
        return _auto_llm(config, client)
    if config.llm.startswith(OPENAI):
        from rag.models.foreign import served_llm

        return served_llm(config.llm, config), Choice(config.llm, f"Answers with {redact(config.llm)}, as configured.")
    name = config.llm.removeprefix(OLLAMA)
    llm = _open_llm(config, client, name)
    return llm, Choice(config.llm, f"Answers with the model {name} of Ollama, as configured.")


def choose_embedder(
    config: Config, recorded: str | None = None, *, client: OllamaClient | None = None
) -> tuple[Embedder, Choice]:
    """The embedding model; ``recorded`` is the name stored with the collection, which must then be opened as that.

    Raises EmbedderMismatch when the configuration names another one, a ModelError when it cannot be used.
    """
    wanted = config.embedder
    if recorded is not None:
        if wanted != AUTO and not _same(wanted, recorded):
            raise EmbedderMismatch(
                f"The collection was embedded by {recorded}, but the setting embedder is {wanted}.",
                hint="Run `rag reindex` to embed it again, or set embedder to auto.",
            )
        return _open_embedder(config, client, recorded), Choice(recorded, f"The collection was embedded by {recorded}.")
    if wanted != AUTO:
        return _open_embedder(config, client, wanted), Choice(wanted, f"Embeds with {wanted}, as configured.")
    return _auto_embedder(config, client)


def choose_encoder(config: Config, *, client: OllamaClient | None = None) -> Embedder | None:
    """The model that ranks what was found; None when it is off. Raises a ModelError when it cannot be used."""
    if config.encoder == OFF:
        return None
    if config.encoder == BUILTIN:
        from rag.models.embed import EncoderEmbedding

        return EncoderEmbedding()
    return _open_embedder(config, client, config.encoder)


def server_facts(config: Config) -> ServerFacts:
    """What the server says of itself. Never raises: what went wrong is in ``error``."""
    try:
        base_url = resolve_host(config.ollama_host)
    except ConfigError as error:
        return ServerFacts(redact(config.ollama_host), False, False, error=str(error), hint=error.hint)
    address, local = redact(base_url), is_loopback(base_url)
    try:
        _probe(base_url)
        with open_client(config) as client:
            return ServerFacts(address, local, True, client.version(), client.models(), client.running())
    except RagError as error:
        return ServerFacts(address, local, False, error=str(error), hint=error.hint)


def served_names(config: Config, *others: str) -> tuple[str, ...]:
    """The models of the servers of OpenAI's protocol in use: those in the settings and in ``others``, names of models.
    A server that does not tell its models has those that were named. Never raises."""
    named = [name for name in (config.llm, config.embedder, *others) if name.startswith(OPENAI)]
    found: list[str] = []
    for url in dict.fromkeys(f"http{name.rpartition('@http')[2]}" for name in named):
        from rag.models.foreign import served_models

        with contextlib.suppress(ModelError):
            found += served_models(url, config)
    return tuple(dict.fromkeys([*found, *named]))


def open_client(config: Config) -> OllamaClient:
    """A connection to the configured server; nothing is sent yet. Raises ConfigError for a bad address."""
    from rag.models.client import OllamaClient

    return OllamaClient(
        resolve_host(config.ollama_host),
        connect_seconds=config.connect_seconds,
        read_seconds=config.read_seconds,
        concurrency=config.concurrency,
        allow_remote=config.allow_remote,
    )


def _auto_llm(config: Config, client: OllamaClient | None) -> tuple[LLM | None, Choice]:
    own = None
    try:
        _probe(resolve_host(config.ollama_host))
        own = client or open_client(config)
        installed = _installed(own, "completion")
        helpful = [info for info in installed if not 0 < info.parameters < config.smallest_llm * 1e9]
        picked = _pick(helpful, CHAT_FAVOURITES)
        if picked is not None:
            name = picked.name.removesuffix(":latest")
            llm = _open_llm(config, own, name)
            own = None
            return llm, Choice(f"{OLLAMA}{name}", f"Answers with the model {name} of Ollama.")
        why = _too_small(installed, config) if installed else "Ollama has no chat model."
        why = f"{why} Get one with `ollama pull {DEFAULT_CHAT_PULL}`."
    except ServerNotRunning as error:  # its hint would offer the quotes that there are already
        why = f"{error} Start it with `ollama serve` for written answers."
    except ModelError as error:
        why = f"{error} {error.hint}".strip()
    finally:
        if own is not None and own is not client:
            own.close()
    return None, Choice(QUOTES, f"Answers by quoting the documents: {why}")


def _too_small(models: Sequence[ModelInfo], config: Config) -> str:
    largest = max(models, key=lambda info: info.parameters)
    name = largest.name.removesuffix(":latest")
    return (
        f"Ollama's largest chat model, {name}, has {largest.parameters / 1e9:.2g} billion parameters, and below "
        f"{config.smallest_llm:g} they refuse or copy more than they answer (take it all the same with "
        f"`rag models use {name}`, or lower smallest_llm)."
    )


def _auto_embedder(config: Config, client: OllamaClient | None) -> tuple[Embedder, Choice]:
    own = None
    try:
        _probe(resolve_host(config.ollama_host))
        own = client or open_client(config)
        picked = _favourite(_installed(own, "embedding"), EMBEDDING_FAVOURITES)
        if picked is not None:
            name = picked.name.removesuffix(":latest")
            model = _open_embedder(config, own, f"{OLLAMA}{name}")
            own = None
            return model, Choice(f"{OLLAMA}{name}", f"Searches with the model {name} of Ollama.")
        why = "Ollama has no embedding model of the short list"
    except ModelError as error:
        why = str(error).rstrip(".")
    finally:
        if own is not None and own is not client:
            own.close()
    return _builtin(), Choice(BUILTIN, f"Searches with the included model: {why}.")


def _open_llm(config: Config, client: OllamaClient | None, name: str) -> LLM:
    from rag.models.ollama import OllamaLLM

    with _closing_on_error(config, client) as used:
        return OllamaLLM.open(used, name, config)


def _open_embedder(config: Config, client: OllamaClient | None, name: str) -> Embedder:
    if name == BUILTIN:
        return _builtin()
    if name == MULTILINGUAL:
        from rag.models.embed import MultilingualEmbedding

        return MultilingualEmbedding()
    if name.startswith(OPENAI):
        from rag.models.foreign import served_embedder

        return served_embedder(name, config)
    if not name.startswith(OLLAMA):
        raise EmbedderMismatch(
            f"The collection was embedded by {name}, which was given to this program by a script.",
            hint="Open the library with embed_model=..., as that script did.",
        )
    from rag.models.ollama import OllamaEmbedding

    plain = name.removeprefix(OLLAMA)
    with _closing_on_error(config, client) as used:
        return OllamaEmbedding.open(used, plain, config, prefixes=_prefixes(config, plain))


def _builtin() -> Embedder:
    from rag.models.embed import BuiltinEmbedding

    return BuiltinEmbedding()


@contextlib.contextmanager
def _closing_on_error(config: Config, client: OllamaClient | None) -> Iterator[OllamaClient]:
    """The caller's client, or a new one that is closed again if opening the model fails."""
    used = client or open_client(config)
    try:
        yield used
    except BaseException:
        if client is None:
            used.close()
        raise


def _prefixes(config: Config, name: str) -> Prefixes:
    """The family's prefixes, each replaced by the configured one; ``auto`` keeps it, ``none`` means empty."""
    family = prefixes_for(name)
    query = _configured_prefix(config.query_prefix, family.query)
    return Prefixes(query, _configured_prefix(config.document_prefix, family.document))


def _configured_prefix(value: str, family: str) -> str:
    if value == AUTO:
        return family
    return "" if value in ("", "none") else f"{value} "


def _probe(base_url: str) -> None:
    """Raise ServerNotRunning quickly when nothing listens on this machine's own address.

    A plain socket: it takes a tenth of a millisecond, where importing the HTTP library takes a tenth of a second.
    """
    if not is_loopback(base_url):
        return
    with contextlib.suppress(TimeoutError):
        try:
            socket.create_connection(host_and_port(base_url), timeout=_PROBE_SECONDS).close()
        except ConnectionRefusedError as error:
            raise ServerNotRunning(f"Ollama is not running at {base_url}.") from error
        except OSError as error:
            raise ServerError(f"No connection to {base_url}: {error.strerror or error}.") from error


def _installed(client: OllamaClient, capability: str) -> list[ModelInfo]:
    """The local models that can do this; servers that do not list capabilities are asked model by model."""
    local = [info for info in client.models() if not info.is_remote]
    known = [info if info.capabilities else client.show(info.name) for info in local]
    return [info for info in known if capability in info.capabilities and not info.is_remote]


def _pick(models: Sequence[ModelInfo], favourites: Sequence[str]) -> ModelInfo | None:
    """The first favourite, else the largest that fits into this machine's memory, else the smallest."""
    room = _USABLE_MEMORY * memory_bytes()
    fitting = [info for info in models if info.size <= room]
    by_size = sorted(fitting, key=lambda info: (-info.size, info.name)) or sorted(models, key=lambda info: info.size)
    return _favourite(fitting, favourites) or next(iter(by_size), None)


def _favourite(models: Sequence[ModelInfo], favourites: Sequence[str]) -> ModelInfo | None:
    by_name = {canonical(info.name): info for info in models}
    return next((by_name[canonical(name)] for name in favourites if canonical(name) in by_name), None)


def _same(wanted: str, recorded: str) -> bool:
    if wanted.startswith(OLLAMA) and recorded.startswith(OLLAMA):
        return canonical(wanted.removeprefix(OLLAMA)) == canonical(recorded.removeprefix(OLLAMA))
    return wanted == recorded


class ModelRegistry:
    """The chat model and the embedders. Models that the caller gave are used instead of the configured ones and stay
    the caller's to close; the others are closed by ``close``. Thread-safe."""

    def __init__(
        self, config: Config, llm: LLM | None, embed_model: Embedder | None, encoder: Embedder | None = None
    ) -> None:
        for given, wanted in (
            (llm, "stream_chat"),
            (embed_model, "get_text_embedding"),
            (encoder, "get_text_embedding"),
        ):
            if given is not None and not callable(getattr(given, wanted, None)):
                raise ArgumentError(
                    f"A model is given by its name or as LlamaIndex's, not as {type(given).__name__}.",
                    hint="Write llm='ollama:NAME', or pass a LlamaIndex LLM or BaseEmbedding.",
                )
        self.config = config
        self._given_llm = llm
        self._given_embedder = embed_model
        self._given_encoder = encoder
        self._encoder: Embedder | None = None
        self._guard = threading.RLock()
        self._llm: tuple[LLM | None, Choice] | None = None
        self._chosen: Callable[[], str | None] = lambda: None
        self._wanted = config.llm
        self._verifying: LLM | None = None
        self._embedders: dict[str, tuple[Embedder, Choice]] = {}

    @property
    def importing(self) -> AbstractContextManager[bool]:
        """To be held while LlamaIndex is imported: its modules import each other in circles, which two threads at once
        cannot."""
        return self._guard

    def llm(self) -> tuple[LLM | None, Choice]:
        """The chat model (None: answers are quoted) and why it was chosen. Raises ModelError."""
        with self._guard:
            if (wanted := self.wanted) != self._wanted:
                self.use_llm(wanted)
            if self._llm is None:
                if self._given_llm is not None:
                    name = self._given_name(self._given_llm)
                    self._llm = (self._given_llm, Choice(name, f"Answers with the given model {name}."))
                else:
                    self._llm = choose_llm(self.config)
            return self._llm

    def verifying(self) -> LLM:
        """The model that the setting ``verify`` names as ``ollama:NAME``. Raises ModelError when it cannot be used."""
        with self._guard:
            if self._verifying is None:
                self._verifying = _open_llm(
                    self.config.with_(temperature=0.0), None, self.config.verify.removeprefix(OLLAMA)
                )
            return self._verifying

    @property
    def given(self) -> bool:
        """Whether the caller gave a chat model."""
        return self._given_llm is not None

    @property
    def llm_name(self) -> str:
        """The chat model's name as far as it is known without asking a server; ``auto`` where it is not."""
        with self._guard:
            if self._llm is not None:
                return self._llm[1].name
            return self.config.llm if self._given_llm is None else self._given_name(self._given_llm)

    @staticmethod
    def _given_name(llm: LLM) -> str:
        from rag.models.foreign import name_of

        return name_of(llm)

    @property
    def wanted(self) -> str:
        """What was asked for: in the settings, or chosen since."""
        return self._chosen() or self._wanted

    def follow(self, chosen: Callable[[], str | None]) -> None:
        """From now on use the model that ``chosen`` names, asked before each use; not where a model was given."""
        if self._given_llm is None:
            self._chosen = chosen

    def use_llm(self, name: str) -> None:
        """Answer with a model named as in the settings, or by a bare name of Ollama's, from now on.

        Raises ConfigError or ModelError, and then keeps the model in use.
        """
        known = name in ("auto", "quotes") or name.startswith((OLLAMA, OPENAI))
        config = self.config.with_(llm=name if known else f"ollama:{name}")
        chosen = choose_llm(config)
        with self._guard:
            before, self.config, self._llm, self._wanted = self._llm, config, chosen, name
        if before is not None and before[0] is not self._given_llm:
            _close(before[0])

    def embedder(self, recorded: str | None) -> tuple[Embedder, Choice]:
        """The embedder of a collection that was embedded by ``recorded``; None for one that is yet to be made.

        Raises EmbedderMismatch when another one was asked for, ModelError when it cannot be used.
        """
        from rag.models.embed import describe_embedder

        with self._guard:
            if self._given_embedder is not None:
                name = describe_embedder(self._given_embedder).name
                if recorded not in (None, name):
                    raise EmbedderMismatch(
                        f"The collection was embedded by {recorded}, not by {name}.",
                        hint="Open the library without embed_model, or make a new collection.",
                    )
                return self._given_embedder, Choice(name, f"Embeds with the given model {name}.")
            key = recorded or ""
            if key not in self._embedders:
                self._embedders[key] = choose_embedder(self.config, recorded)
            return self._embedders[key]

    def new_embedder(self, name: str) -> tuple[Embedder, Choice]:
        """Another embedder, for a reindex. From now on no embedder is insisted on but what each collection records."""
        with self._guard:
            model, choice = choose_embedder(self.config.with_(embedder=name))
            self.config = self.config.with_(embedder="auto")
            self._embedders[choice.name] = (model, choice)
            return model, choice

    def load_soon(self) -> None:
        """Begin to load the included encoder in the background, where it is what ranks, and the model that reads what
        was found: a question is about to come."""
        if self._given_encoder is None and self.config.encoder == BUILTIN:
            from rag.models.encoder import shared_encoder
            from rag.models.span_model import shared_span_model

            shared_encoder().load_soon()
            shared_span_model().load_soon()

    def encoder(self) -> Embedder | None:
        """The model that ranks what was found; None when it is off. Raises ModelError when it cannot be used."""
        with self._guard:
            if self._given_encoder is not None:
                return self._given_encoder
            if self._encoder is None:
                self._encoder = choose_encoder(self.config)
            return self._encoder

    def close(self) -> None:
        """Close connections to servers."""
        with self._guard:
            _close(self._encoder)
            _close(self._verifying)
            self._encoder = self._verifying = None
            for model, _ in self._embedders.values():
                _close(model)
            if self._llm is not None and self._llm[0] is not self._given_llm:
                _close(self._llm[0])
            self._embedders.clear()
            self._llm = None


def embedder_info(model: Embedder) -> EmbedderInfo:
    """What the truth keeps of an embedder."""
    from rag.models.embed import describe_embedder
    from rag.store.truth import EmbedderInfo

    return EmbedderInfo(**asdict(describe_embedder(model)))


def _close(model: object) -> None:
    close = getattr(model, "close", None)
    if close is not None:
        close()
