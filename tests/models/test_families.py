"""Prefixes, thinking and names by family."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.models.families import (
    RECOMMENDED,
    RECOMMENDED_EMBEDDERS,
    Prefixes,
    canonical,
    is_cloud_name,
    prefixes_for,
    think_setting,
)

SEARCH = "Represent this sentence for searching relevant passages: "


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("nomic-embed-text", "search_query: ", "search_document: "),
        ("hf.co/nomic-ai/Nomic-Embed-Text-v1.5-GGUF:Q4_K_M", "search_query: ", "search_document: "),
        ("embeddinggemma:300m", "task: search result | query: ", "title: none | text: "),
        ("mxbai-embed-large:latest", SEARCH, ""),
        ("bge-large", SEARCH, ""),
        ("bge-m3", "", ""),
        ("snowflake-arctic-embed:137m", SEARCH, ""),
        ("snowflake-arctic-embed2", "query: ", ""),
        ("all-minilm", "", ""),
        ("unheard-of", "", ""),
        ("my-nomic-embed-text", "", ""),
    ],
)
def test_prefixes_go_by_family(name: str, query: str, document: str) -> None:
    assert prefixes_for(name) == Prefixes(query, document)


def test_qwen_is_instructed() -> None:
    prefixes = prefixes_for("qwen3-embedding:0.6b")
    assert prefixes.query.startswith("Instruct: ") and prefixes.query.endswith("\nQuery:") and not prefixes.document


def test_only_models_that_cannot_stop_thinking_get_a_level() -> None:
    assert think_setting("gpt-oss:20b") == "low" and think_setting("library/gpt-oss") == "low"
    assert think_setting("qwen3:8b") is False and think_setting("my-gpt-oss") is False


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("A", "a:latest"),
        ("library/a:1b", "A:1B"),
        ("registry.ollama.ai/library/a", "a"),
        ("hf.co/x/y", "hf.co/x/y:latest"),
    ],
)
def test_names_that_mean_the_same_model(left: str, right: str) -> None:
    assert canonical(left) == canonical(right)


def test_names_that_do_not() -> None:
    assert canonical("a:1b") != canonical("a") and canonical("me/a") != canonical("a")


@pytest.mark.parametrize(
    ("name", "cloud"),
    [("a:cloud", True), ("a:120b-cloud", True), ("A:Cloud ", True), ("a-cloud", True), ("cloudy", False),
     ("a:cloud:local", False), ("cloud:8b", False)],
)  # fmt: skip
def test_names_of_the_cloud(name: str, cloud: bool) -> None:
    assert is_cloud_name(name) is cloud


def test_recommendations_fit_their_memory() -> None:
    assert {model.memory_gb for model in RECOMMENDED} == {8, 16, 24}
    for model in (*RECOMMENDED, *RECOMMENDED_EMBEDDERS):
        assert 0 < model.size_gb < 0.75 * model.memory_gb and not is_cloud_name(model.name)


def test_the_readme_names_the_same_models_as_the_doctor() -> None:
    text = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    rows = {
        line.split("|")[1].split()[0]: line for line in text.splitlines() if line.startswith("| ") and " GB" in line
    }
    for model in RECOMMENDED:
        assert f"`{model.name}` ({model.size_gb:g} GB)" in rows[str(model.memory_gb)]
    for model in RECOMMENDED_EMBEDDERS:
        assert f"`{model.name}` ({model.size_gb:g} GB)" in text
