"""The encoder that ships: its files are those whose hashes are told, and its vectors hold what is promised of them."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import ModelError
from rag.models.embed import EncoderEmbedding, describe_embedder, embed_documents, embed_query
from rag.models.encoder import DIMENSION, MAX_TOKENS, Encoder, shared_encoder
from rag.models.span_model import SpanModel

DATA = Path(__file__).parents[2] / "rag" / "data" / "encoder"
TEXTS = [
    "How long is the annual leave?",
    "Full-time staff receive 28 days of paid holiday a year.",
    "The pumps of the Halden plant were replaced in March.",
    "",
]


def test_the_files_are_those_whose_origin_is_told() -> None:
    told = dict(re.findall(r"\| (\S+) \| [\d,]+ \| ([0-9a-f]{64}) \|", (DATA / "ORIGIN.md").read_text("utf-8")))
    assert set(told) == {"model.onnx", "tokenizer.json"}
    for name, digest in told.items():
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest
    assert shared_encoder().digest == told["model.onnx"]
    assert "Apache License" in (DATA / "LICENSE").read_text("utf-8")


def test_meaning_counts_and_blank_texts_are_like_nothing() -> None:
    rows = shared_encoder().embed(TEXTS)
    assert rows.shape == (4, DIMENSION) and rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), [1, 1, 1, 0], atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.3


def test_a_vector_depends_on_its_text_alone() -> None:
    encoder = shared_encoder()
    together = encoder.embed(TEXTS, threads=2)
    alone = np.concatenate([encoder.embed([text]) for text in TEXTS])
    assert np.array_equal(together, alone)
    assert np.array_equal(encoder.embed_question(TEXTS[0]), together[0])


def test_what_stands_beyond_the_window_is_not_read() -> None:
    encoder = shared_encoder()
    window = "word " * (MAX_TOKENS - 2)
    assert np.array_equal(encoder.embed([window]), encoder.embed([window + "and something else"]))
    assert len(encoder.tokens([window + "more"])[0].spans) == MAX_TOKENS - 2


@given(st.text(max_size=80))
@settings(max_examples=60)
def test_tokens_are_slices_of_their_text_in_order(text: str) -> None:
    (found,) = shared_encoder().tokens([text])
    assert found.vectors.shape == (len(found.spans), DIMENSION)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-4)
    assert all(0 <= start <= end <= len(text) for start, end in found.spans)
    assert all(one[0] <= other[0] for one, other in zip(found.spans, found.spans[1:], strict=False))
    (known,) = shared_encoder().known([text])
    assert 0 <= known <= 1


def test_tokens_are_read_in_context() -> None:
    bank = shared_encoder().tokens(["He sat on the bank of the river.", "She put the money into the bank."])
    words = [[text[a:b] for a, b in one.spans] for text, one in zip(
        ["He sat on the bank of the river.", "She put the money into the bank."], bank, strict=True)]  # fmt: skip
    one, other = (b.vectors[w.index("bank")] for b, w in zip(bank, words, strict=True))
    assert 0.2 < one @ other < 0.95


def test_it_says_which_languages_it_knows() -> None:
    texts = [
        "The committee meets every second Tuesday in the large hall of the library.",
        "Der Ausschuss tritt jeden zweiten Dienstag im großen Saal der Bücherei zusammen.",
        "委员会每隔一个星期二在图书馆大厅开会。",
        "تجتمع اللجنة كل ثلاثاء ثان في القاعة الكبرى بالمكتبة.",
        "42 | 17",
    ]
    english, german, chinese, arabic, figures = shared_encoder().known(texts)
    assert english > 0.7 > 0.45 > german > chinese
    assert chinese == arabic == figures == 0


def test_what_is_stored_of_the_encoder() -> None:
    model = EncoderEmbedding()
    facts = describe_embedder(model)
    assert (facts.name, facts.dimension) == ("EncoderEmbedding/all-minilm-l6-v2-int8", DIMENSION)
    assert np.allclose(embed_documents(model, TEXTS), embed_documents(model.hurried, TEXTS))
    assert np.allclose(embed_query(model, TEXTS[0]), embed_documents(model, TEXTS[:1])[0], atol=1e-6)


@pytest.mark.parametrize("model", [Encoder, SpanModel])
def test_missing_files_are_said(model: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="missing") as error:
        model(tmp_path)
    assert "encoder to off" in error.value.hint


@pytest.mark.parametrize("model", ["encoder", "span_model"])
def test_nothing_is_loaded_before_it_is_used(model: str) -> None:
    code = (
        f"import sys; from rag.models.{model} import shared_{model}; shared_{model}();"
        "sys.exit(', '.join({'onnxruntime', 'tokenizers'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
