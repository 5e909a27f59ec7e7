from __future__ import annotations

from pathlib import Path

import pytest

from rag.config import Config, Limits, describe, load_config
from rag.errors import ConfigError


def load(tmp_path: Path, toml: str = "", environ: dict[str, str] | None = None, **flags: object) -> Config:
    if toml:
        (tmp_path / "rag.toml").write_text(toml, encoding="utf-8")
    return load_config(flags, environ=environ or {}, directory=tmp_path)


def test_defaults_need_no_file(tmp_path: Path) -> None:
    assert load(tmp_path) == Config()


def test_flags_beat_variables_beat_file(tmp_path: Path) -> None:
    toml = 'top_k = 3\nllm = "quotes"\nport = 1000\n'
    config = load(tmp_path, toml, {"RAG_TOP_K": "4", "RAG_PORT": "2000"}, port=3000)
    assert (config.llm, config.top_k, config.port) == ("quotes", 4, 3000)


def test_limits_from_file_and_variable(tmp_path: Path) -> None:
    config = load(tmp_path, "[limits]\nfile_mb = 7\npages = 8\n", {"RAG_LIMITS_PAGES": "9"})
    assert config.limits == Limits(file_mb=7, pages=9)


def test_a_named_file_is_read_and_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text("top_k = 2\n", encoding="utf-8")
    assert load(tmp_path, environ={"RAG_CONFIG": str(path)}).top_k == 2
    with pytest.raises(ConfigError, match="Cannot read the settings file"):
        load(tmp_path, environ={"RAG_CONFIG": str(tmp_path / "absent.toml")})


@pytest.mark.parametrize(
    ("toml", "environ", "message"),
    [
        ("tok_k = 3", {}, r"Unknown setting 'tok_k' in .*rag\.toml.*Did you mean 'top_k'"),
        ("[limits]\nfile = 3", {}, "Unknown limit 'file'"),
        ("[limits]\nfile_mb = 0", {}, "must be positive"),
        ("limits = 3", {}, "must be a table"),
        ("top_k = 'x", {}, "not valid TOML"),
        ("top_k = 'many'", {}, "top_k in .* must be a whole number, not 'many'"),
        ("top_k = 2.5", {}, "must be a whole number"),
        ("top_k = true", {}, "must be a whole number"),
        ("top_k = 0", {}, "top_k must be at least 1"),
        ("llm = 3", {}, "must be a text"),
        ("llm = 'gpt'", {}, "llm must be 'auto', 'quotes', 'ollama:NAME' or 'openai:MODEL@URL'"),
        ("llm = 'ollama:'", {}, "llm must be"),
        ("embedder = 'quotes'", {}, "embedder must be"),
        ("allow_remote = 'perhaps'", {}, "must be true or false"),
        ("fusion_weight = 1.5", {}, "between 0 and 1"),
        ("abstain_below = 2", {}, "between 0 and 1"),
        ("passage_overlap = 900", {}, "at most half"),
        ("port = 70000", {}, "at most 65535"),
        ("verify = 'maybe'", {}, "'rules', 'llm' or 'ollama:NAME'"),
        ("", {"RAG_TOPK": "3"}, "RAG_TOPK is no setting.*RAG_TOP_K"),
        ("", {"RAG_TOP_K": "x"}, "top_k in the environment must be a whole number"),
    ],
)
def test_wrong_settings_name_the_culprit(tmp_path: Path, toml: str, environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, toml, environ)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("off", False), ("false", False)])
def test_switches(tmp_path: Path, text: str, value: bool) -> None:
    assert load(tmp_path, environ={"RAG_ALLOW_REMOTE": text}).allow_remote is value


def test_library_path_is_expanded_or_the_users_data_folder() -> None:
    assert Config(library=Path("~/x")).library_path == Path.home() / "x"
    assert Config().library_path.parts[-2:] == ("rag", "library")


def test_every_setting_has_a_variable_and_describes_itself(tmp_path: Path) -> None:
    plain = describe(Config(library=Path("/x")))
    assert plain["library"] == "/x" and plain["limits"]["pages"] == 2000
    for name, value in plain.items():
        if name not in ("limits", "prompts"):
            assert load(tmp_path, environ={f"RAG_{name.upper()}": str(value)})


def test_a_small_window_makes_the_longest_answer_shorter() -> None:
    assert Config(num_ctx=600).answer_tokens == 300 and Config(num_ctx=600, num_predict=64).answer_tokens == 64
    assert Config().answer_tokens == Config().num_predict
