"""A transformer that ships as int8 ONNX, run by onnxruntime in this process, with its tokenizer."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rag.errors import ModelError
from rag.platform.libraries import silence_onnxruntime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer

Matrix = npt.NDArray[np.float32]


class Transformer:
    """The model in file ``model``, fed by the tokens of ``tokenizer``, at most ``longest`` of them.

    Loaded when first used; thread-safe. ``name`` is what it is called when its files are missing: then raises
    ModelError.
    """

    def __init__(self, name: str, model: Path, tokenizer: Path, longest: int) -> None:
        for path in (model, tokenizer):
            if not path.is_file():
                raise ModelError(
                    f"The built-in {name}'s files are missing from {path.parent}.",
                    hint="Install this program again, or set encoder to off.",
                )
        self._path = model
        self._name, self._tokens, self._longest = name, tokenizer, longest
        self._loading, self._beginning = threading.Lock(), threading.Lock()
        self._begun = False

    def load_soon(self) -> None:
        """Begin to load the model in the background: most of that needs no interpreter, so other work goes on. What
        fails then fails again, and is told, when the model is used."""
        with self._beginning:
            begun, self._begun = self._begun, True
        if not begun:
            pool = ThreadPoolExecutor(1, f"{self._name}-load")
            pool.submit(lambda: self._session)
            pool.shutdown(wait=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights file, in hexadecimal."""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    @property
    def tokenizer(self) -> Tokenizer:
        """Loaded once."""
        with self._loading:
            return self._loaded_tokenizer

    def run(self, encodings: Sequence[Encoding], threads: int = 1) -> Iterator[Matrix]:
        """The model's first output for each text: a row a token, the special ones too.

        A text a run: the activations' scale is that of the whole run, so that what is said of a text would otherwise
        depend on what it happens to be run with (cosines down to 0.991), and it is no slower than runs of several.
        """
        if threads <= 1 or len(encodings) <= 1:
            yield from map(self._run, encodings)
            return
        with ThreadPoolExecutor(min(threads, len(encodings)), self._name) as pool:
            yield from pool.map(self._run, encodings)

    @cached_property
    def _loaded_tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        tokenizer: Tokenizer = Tokenizer.from_file(str(self._tokens))
        tokenizer.no_padding()
        tokenizer.enable_truncation(self._longest)
        return tokenizer

    @property
    def _session(self) -> InferenceSession:
        with self._loading:
            return self._loaded_session

    @cached_property
    def _loaded_session(self) -> InferenceSession:
        silence_onnxruntime()
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        # One thread a run: several texts at once are spread over threads here, without ones that spin while idle.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])

    def _run(self, encoding: Encoding) -> Matrix:
        ids = np.array([encoding.ids], dtype=np.int64)
        kinds = np.array([encoding.type_ids], dtype=np.int64)
        fed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": kinds}
        return np.asarray(self._session.run(None, fed)[0][0], dtype=np.float32)


def shipped(folder: str) -> Path:
    """A folder of the package's data. Raises ModelError where the package is not installed."""
    spec = find_spec("rag")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("The package rag is not installed.", hint="Install this program again.")
    return Path(next(iter(spec.submodule_search_locations))) / "data" / folder


def encodable(text: str) -> str:
    """Text without lone surrogates, which the tokenizer cannot encode; its offsets stay."""
    return text.encode("utf-8", "replace").decode("utf-8")
