"""The encoder's vectors of a library's passages: looked up, made while a question waits, and filled in behind.

Documents are searchable as soon as their static vectors are in; the encoder, a hundred times as slow, comes after.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rag.errors import RagError
from rag.store.truth import Encoded, Truth
from rag.types import EncodeEvent

if TYPE_CHECKING:
    from rag.models.embed import Embedder
    from rag.store.served import Election

logger = logging.getLogger(__name__)

QUESTION_SECONDS = 0.3
"""How long a question waits for passages that the encoder has not seen."""

FOREIGN_BELOW = 0.45
"""A passage of which the encoder knows less than this share (``Encoder.known``) is in another language: 19 of 20
English paragraphs have more than 0.75, 19 of 20 Spanish ones less than 0.45."""

_REMEMBERED = 4_096
_BATCH = 32
_AT_ONCE = 4
_QUIET_SECONDS = 2.0
_TURN_SECONDS = 5.0
_DIGEST = 16


class PassageEncoder:
    """A model's vectors of the passages of ``truth``. Thread-safe."""

    def __init__(self, truth: Truth, model: Embedder, *, clock: Callable[[], float] = time.monotonic) -> None:
        from rag.models.embed import describe_embedder

        facts = describe_embedder(model)
        self.name = facts.name
        self.tag = " ".join(filter(None, (facts.name, facts.digest[:_DIGEST], facts.document_prefix)))
        self._truth = truth
        self._clock = clock
        self._model = model
        self._hurried: Embedder = getattr(model, "hurried", model)
        self._remembered: OrderedDict[int, Encoded] = OrderedDict()
        self._guard = threading.Lock()

    @property
    def model(self) -> Embedder:
        """The model."""
        return self._model

    def load_soon(self) -> None:
        """Begin to load the model in the background, where it runs in this process: a question is about to come."""
        load: Callable[[], None] | None = getattr(self._model, "load_soon", None)
        if load is not None:
            load()

    def question(self, text: str) -> Encoded:
        """The question's vector. Raises ModelError."""
        from rag.models.embed import embed_query

        return Encoded(embed_query(self._model, text), self._known([text])[0])

    def passages(self, ids: Sequence[int], seconds: float = QUESTION_SECONDS) -> dict[int, Encoded]:
        """The vectors of these passages; of those not seen yet as many, in the order given, as take ``seconds`` to
        make, one batch at least. Raises ModelError."""
        with self._guard:
            found = {number: self._remembered[number] for number in ids if number in self._remembered}
        found |= self._truth.encodings.get(self.tag, [number for number in ids if number not in found])
        missing = [number for number in ids if number not in found]
        started, longest = self._clock(), 0.0
        for at in range(0, len(missing), _AT_ONCE):
            begun = self._clock()
            if at and begun - started + longest > seconds:
                break
            texts = {n: p.index_text for n, p in self._truth.passages.get(missing[at : at + _AT_ONCE]).items()}
            fresh = dict(zip(texts, self._encode(self._hurried, list(texts.values())), strict=True))
            self._remember(fresh)
            found |= fresh
            longest = max(longest, self._clock() - begun)
        return found

    def pending(self, collection_id: int) -> int:
        """How many different texts of a collection have no vector kept yet."""
        return self._truth.encodings.pending_count(collection_id, self.tag)

    def fill(self, collection_id: int, *, hurried: bool = False) -> Iterator[EncodeEvent]:
        """Make and keep what is missing of a collection, an event a batch; what is done stays done.

        ``hurried`` takes every core. Raises ModelError, StoreError, DiskFull.
        """
        model = self._hurried if hurried else self._model
        total, done, last = self.pending(collection_id), 0, -1
        started = self._clock()
        while batch := self._truth.encodings.pending(collection_id, self.tag, last, _BATCH):
            encoded = self._encode(model, [passage.index_text for passage in batch.values()])
            self._truth.encodings.put(self.tag, dict(zip(batch, encoded, strict=True)))
            last, done = max(batch), done + len(batch)
            total = max(total, done)
            yield EncodeEvent(done, total, (self._clock() - started) / done * (total - done))

    def _encode(self, model: Embedder, texts: list[str]) -> list[Encoded]:
        from rag.models.embed import embed_documents

        vectors = embed_documents(model, texts)
        return [Encoded(vector, known) for vector, known in zip(vectors, self._known(texts), strict=True)]

    def _known(self, texts: Sequence[str]) -> list[float]:
        """How well the model knows the texts' language; a model that does not say is trusted with all."""
        known = getattr(self._model, "known", None)
        return [1.0] * len(texts) if known is None else [float(share) for share in known(texts)]

    def _remember(self, fresh: dict[int, Encoded]) -> None:
        with self._guard:
            self._remembered |= fresh
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)


class Filler:
    """Fills what is missing in the background, once nothing has woken it for two seconds. Thread-safe.

    Where many processes write a library, the one that wins the ``election`` fills, since all would make the same; the
    others look every few seconds whether it has ended, and whether something is left.
    """

    def __init__(
        self, encoder: Callable[[], PassageEncoder | None], collections: Callable[[], Sequence[int]],
        election: Election | None = None,
    ) -> None:  # fmt: skip
        self._encoder = encoder
        self._collections = collections
        self._election = election
        self._guard = threading.Lock()
        self._woken, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There may be something to do."""
        with self._guard:
            if self._stop.is_set():
                return
            self._woken.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="encoder", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop after the batch in hand; what is done is kept."""
        with self._guard:
            self._stop.set()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            while self._woken.is_set():
                self._woken.clear()
                if self._stop.wait(_QUIET_SECONDS):
                    return
            try:
                if not self._fill():
                    return
            except RagError as error:
                logger.warning("The encoder's vectors could not be made: %s", error.explain())
            with self._guard:
                if not self._woken.is_set():
                    self._thread = None
                    return

    def _fill(self) -> bool:
        """Whether to go on: False when it is to stop."""
        encoder, election = self._encoder(), self._election
        if encoder is None:
            return True
        try:
            while election is not None and not election.won():
                if self._stop.wait(_TURN_SECONDS):
                    return False
            for collection_id in self._collections():
                for _ in encoder.fill(collection_id):
                    if self._stop.is_set():
                        return False
            return True
        finally:
            if election is not None:
                election.resign()
