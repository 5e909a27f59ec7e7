from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import PromptError
from rag.prompts import VARIABLES, load_prompt, parse_prompt, shipped_folder


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_shipped_templates_are_valid(name: str) -> None:
    prompt = load_prompt(name)
    system, user = prompt.render(**{variable: f"<{variable}>" for variable in VARIABLES[name]})
    assert all(f"<{variable}>" in system + user for variable in VARIABLES[name])
    assert len(prompt.digest) == 64


@given(st.text())
def test_values_are_substituted_once(text: str) -> None:
    prompt = parse_prompt("condense", "s\n---\n$history | $question", "here")
    assert prompt.render(history="$question {x}", question=text)[1] == f"$question {{x}} | {text}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$history $question", "no line of three dashes"),
        ("a\n---\n$history $question $other", r"unknown variable \$other"),
        ("a\n---\n$question", r"does not use \$history"),
        ("cost: 5$\n---\n$history $question", "starts no variable name"),
    ],
)
def test_wrong_templates_are_refused_at_load(text: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        parse_prompt("condense", text, "here.md")


def test_render_wants_exactly_its_variables() -> None:
    prompt = load_prompt("condense")
    with pytest.raises(PromptError, match="takes"):
        prompt.render(question="x")


def test_a_folder_overrides_one_template(tmp_path: Path) -> None:
    (tmp_path / "condense.md").write_text("mine\n---\n$history $question", encoding="utf-8")
    assert load_prompt("condense", tmp_path).system == "mine"
    assert load_prompt("answer", tmp_path) == load_prompt("answer")


def test_unreadable_templates_are_named(tmp_path: Path) -> None:
    (tmp_path / "condense.md").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(PromptError, match=r"condense\.md"):
        load_prompt("condense", tmp_path)


def test_seeds_ship_too() -> None:
    assert len(list(shipped_folder("seeds").glob("*.md"))) == 5
