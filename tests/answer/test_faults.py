"""Every failure of a model as its user meets it: through ``Library.ask`` and on the terminal through ``rag ask``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rag import Library
from rag.commands.cli import run
from rag.errors import ModelError, PromptTooLong, RagError, ServerBusy, ServerError, StreamBroken
from tests.fake_ollama import FakeOllama, Fault
from tests.models.faults import STREAM_FAULTS

QUESTION = "How often does the foghorn of the Skerry lighthouse sound in winter?"
NOTE = "The foghorn of the Skerry lighthouse sounds every 40 seconds in winter.\n"
BUSY = Fault(status=503, text="server busy, please try again.  maximum pending requests exceeded", times=5)


@pytest.fixture(autouse=True)
def unsure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate is never so sure that quotes stand in for an answer that is empty."""
    monkeypatch.setattr("rag.answer.engine.CONFIDENT", 1.1)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOllama]:
    with FakeOllama(["chat-s", "embed-s"]) as running:
        yield running


@pytest.fixture(scope="module")
def home(server: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "note.txt").write_text(NOTE, encoding="utf-8")
    with Library.open(folder / "library", embedder="builtin", llm="quotes") as library:
        library.ingest([folder / "note.txt"])
    return folder


@pytest.fixture(scope="module")
def library(home: Path, server: FakeOllama) -> Iterator[Library]:
    with Library.open(home / "library", llm="ollama:chat-s", ollama_host=server.url) as opened:
        assert "40 seconds" in opened.ask(QUESTION).text
        yield opened


def twice(fault: Fault) -> list[Fault]:
    """A prompt that is refused as too long is tried once more."""
    return [fault] * 2


@pytest.mark.parametrize(("fault", "kind", "says"), [*STREAM_FAULTS, pytest.param(BUSY, ServerBusy, "busy", id="busy")])
def test_a_question_that_fails_raises_one_typed_error_and_the_next_is_answered(
    library: Library, server: FakeOllama, fault: Fault, kind: type[ModelError], says: str
) -> None:
    server.script(*(twice(fault) if kind is PromptTooLong else [fault]))
    with pytest.raises(RagError) as caught:
        library.ask(QUESTION)
    assert type(caught.value) is kind and says in str(caught.value) and caught.value.hint
    assert "40 seconds" in library.ask(QUESTION).text


@pytest.mark.parametrize(("fault", "kind", "says"), STREAM_FAULTS)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_on_the_terminal_it_is_said_once_with_what_to_do(
    home: Path, server: FakeOllama, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    fault: Fault, kind: type[ModelError], says: str, as_json: bool,
) -> None:  # fmt: skip
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    server.script(*(twice(fault) if kind is PromptTooLong else [fault]))
    flags = ["--library", str(home / "library"), "--llm", "ollama:chat-s", *(["--json"] if as_json else [])]
    assert run(["ask", QUESTION, *flags]) == 1
    shown = capsys.readouterr()
    assert shown.out == "", "what is no answer does not go where answers go"
    assert shown.err.count("Error: ") == 1 and says in shown.err and "Traceback" not in shown.err
    _, _, error = shown.err.partition("Error: ")
    assert len(error.strip().splitlines()) == 2, "what happened, and what to do"


@pytest.mark.parametrize(
    ("host", "flag", "says", "remedy"),
    [
        ("127.0.0.1:9", "ollama:chat-s", "nothing listens", "ollama serve"),
        ("", "ollama:gone", "does not have the model gone", "ollama pull gone"),
        ("", "ollama:embed-s", "cannot chat", "rag models list"),
        ("", "ollama:big:cloud", "documents would leave", "allow_remote"),
    ],
)
def test_a_model_that_cannot_be_opened_is_said_the_same_way(
    home: Path, server: FakeOllama, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    host: str, flag: str, says: str, remedy: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("OLLAMA_HOST", host or server.url)
    assert run(["ask", QUESTION, "--library", str(home / "library"), "--llm", flag]) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("Error: ") == 1 and says in shown.err and remedy in shown.err


LINES = st.lists(
    st.sampled_from([
        *(
            b'{"message":{"role":"assistant",%s},"done":false}' % said
            for said in (
                b'"content":"40 seconds [1]. "', b'"content":"[9]("', b'"content":"","thinking":"a"',
                b'"content":"<think>"', b'"content":"\\ud800"', b'"content":"<<<SOURCE 1"',
            )
        ),
        b'{"message":{"role":"assistant","content":""},"done":true,"done_reason":"length","prompt_eval_count":3}',
        b'{"message":{"role":"assistant"},"done":true,"eval_count":-1}', b'{"error":"x"}',
        b'{"message":{"role":"assistant"},"done":true,"prompt_eval_count":1e99}', b'{"done":true}', b"[]", b"",
    ])
    | st.binary(max_size=40),
    max_size=6,
).map(b"\n".join)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fault=st.builds(Fault, body=LINES) | st.builds(Fault, raw=st.binary(max_size=80)))
@example(fault=Fault(body=b'{"message":{"role":"assistant","content":"NOT IN THE DOCUMENTS"},"done":true}'))
@example(fault=Fault(body=b'{"message":{"role":"assistant","content":"[1][1][1]"},"done":true}'))
def test_whatever_comes_it_is_an_answer_or_a_typed_error(library: Library, server: FakeOllama, fault: Fault) -> None:
    server.script(fault)
    try:
        answer = library.ask(QUESTION)
    except RagError as error:
        assert str(error)
    else:
        assert answer.abstained or answer.text


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("/api/embed", status=500, text="the runner has crashed", times=2), ServerError),
        (Fault("/api/embed", body=b'{"embeddings":[[1,0]]}', times=2), ModelError),
        (Fault("/api/embed", body=b'{"embeddings":[]}', times=2), ServerError),
        (Fault("/api/embed", body=b"<html>", times=2), StreamBroken),
        (Fault("/api/embed", raw=b"", times=2), StreamBroken),
    ],
)
def test_a_failing_embedder_is_a_typed_error_and_stores_nothing(
    tmp_path: Path, server: FakeOllama, fault: Fault, kind: type[ModelError]
) -> None:
    (tmp_path / "note.txt").write_text(NOTE, encoding="utf-8")
    with Library.open(tmp_path / "library", llm="quotes", embedder="ollama:embed-s", ollama_host=server.url) as opened:
        opened.collections.ensure()
        server.script(fault)
        with pytest.raises(kind) as caught:
            opened.ingest([tmp_path / "note.txt"])
        assert caught.value.hint and opened.sources() == ()
        while server.take_fault("/api/embed"):
            pass
        assert opened.ingest([tmp_path / "note.txt"]).count("added") == 1
        server.script(fault)
        with pytest.raises(kind):
            opened.ask(QUESTION)
        while server.take_fault("/api/embed"):
            pass
        assert "40 seconds" in opened.ask(QUESTION).text
