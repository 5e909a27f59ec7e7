"""Token counts: tiktoken's estimate, corrected for each model by what its server reported.

The encoding's table comes from the copy that llama-index-core ships, because tiktoken's own loader downloads it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import ModelError

if TYPE_CHECKING:
    from tiktoken import Encoding

# cl100k_base as published with tiktoken: name of its cached file, digest, and pattern.
_FILE = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_PATTERN = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"""
    r"""|\s+(?!\S)|\s"""
)
MESSAGE_OVERHEAD = 8
"""Tokens a chat template adds around one message; common templates add 4 to 7."""
FIRST_FACTOR = 1.25
"""Safety factor for a model whose server has not reported a count yet: vocabularies of 32,000 tokens split
English text into up to a quarter more tokens than cl100k_base does."""

_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_SMALLEST_FACTOR = 0.5
_CAUTION = (1.3, 8.0)
"""By how much a refused prompt is at least, and at most, taken to have been underestimated."""


@lru_cache(maxsize=1)
def _encoding() -> Encoding:
    from tiktoken import Encoding

    spec = find_spec("llama_index.core")
    folder = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else Path()
    path = folder / "_static" / "tiktoken_cache" / _FILE
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise ModelError(
            f"The token table {path} is missing or damaged.",
            hint="Install llama-index-core again, in the version that requirements.lock pins.",
        )
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in data.splitlines())}
    return Encoding("cl100k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})


def count(text: str) -> int:
    """Tokens of a text by cl100k_base. Special tokens count as the plain text they are."""
    return len(_encoding().encode_ordinary(text.encode("utf-8", "replace").decode()))


def truncate(text: str, limit: int) -> str:
    """The longest beginning of ``text`` of at most ``limit`` tokens, cut between characters."""
    tokens = _encoding().encode_ordinary(text.encode("utf-8", "replace").decode())
    if len(tokens) <= limit:
        return text
    kept = _encoding().decode_bytes(tokens[: max(limit, 0)]).decode("utf-8", "ignore")
    return text[: len(kept)]


def caution(estimated: int, reported: int) -> float:
    """By what to multiply the factor for one more try, after the server refused a prompt that was ``estimated`` to fit
    and that it counted as ``reported`` tokens (0 where it did not say)."""
    least, most = _CAUTION
    return min(max(least, 1.05 * reported / max(estimated, 1)), most)


def fewest(text: str) -> int:
    """How many tokens any vocabulary needs at the least: one a word between spaces, one for four characters of a
    script that is written without spaces."""
    return len(text.split()) + len(_UNSPACED.findall(text)) // 4


class TokenCounter:
    """Estimates a model's token counts; ``observe`` what the server counted and the estimate follows.

    The factor never underestimates what has been seen: it is the largest ratio of reported to estimated counts,
    let down slowly (by 2 % an answer) so that one odd prompt does not waste the window for good. It stays above 0.5,
    because vocabularies that are good at one script, and a third of the estimate there, are not as good at others.
    """

    def __init__(self, factor: float = FIRST_FACTOR, observations: int = 0) -> None:
        self.factor = factor
        self.observations = observations

    def count(self, text: str) -> int:
        """Estimated tokens of a text, rounded up."""
        return ceil(count(text) * self.factor)

    def message(self, text: str) -> int:
        """Estimated tokens of a chat message with the template around it."""
        return self.count(text) + MESSAGE_OVERHEAD

    def fit(self, text: str, limit: int) -> str:
        """The longest beginning of ``text`` that is estimated to fit into ``limit`` tokens."""
        return truncate(text, int(limit / self.factor))

    def observe(self, estimated: int, reported: int, factor: float) -> None:
        """Learn from one prompt: tokens as ``estimated`` with ``factor``, and as the server ``reported`` them.

        The factor of the estimate is asked for because others may have taught this counter since. Not for a prompt
        that the server has cut, which tells nothing of the ratio.
        """
        if estimated <= 0 or reported <= 0:
            return
        ratio = max(factor * reported / estimated, _SMALLEST_FACTOR)
        self.factor = max(ratio * 1.02, self.factor * 0.98) if self.observations else ratio * 1.05
        self.observations += 1
