"""``rag chat`` as a person has it: on a terminal, with a model that streams from a real loopback server."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import Library
from rag.commands.chat import Session
from rag.commands.terminal import fitted
from tests.fake_ollama import FakeModel, FakeOllama, Fault

RAG = [sys.executable, "-m", "rag"]
# Ctrl-C reaches the program only where the terminal is its controlling one.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
_PIECES = re.compile(r"\x1b\[(?P<steps>\d+)(?P<way>[CD])|\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9])|.", re.DOTALL)
_HALF = re.compile(r"(?:\x1b(?:\[[0-9;?]*|[()])?|\r+)?\Z")
LIGHTHOUSE = "# Lighthouse\n\nThe foghorn of the Skerry lighthouse sounds every 40 seconds in winter.\n"
KEEPER = "The keeper of the Skerry lighthouse is Mrs Dahl. She lives in the red house.\n"


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with FakeOllama([FakeModel("chat-s"), FakeModel("chat-ramble")], delay=0.02) as running:
        yield running


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with two documents, to be copied."""
    folder = tmp_path_factory.mktemp("filled")
    docs = folder / "docs"
    docs.mkdir()
    (docs / "lighthouse.md").write_text(LIGHTHOUSE, encoding="utf-8")
    (docs / "keeper.txt").write_text(KEEPER, encoding="utf-8")
    with Library.open(folder / "library", llm="quotes", embedder="builtin") as library:
        library.ingest([docs])
    return folder / "library"


@pytest.fixture
def home(filled: Path, tmp_path: Path, server: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(filled, tmp_path / "library")
    settings = {"RAG_LIBRARY": str(tmp_path / "library"), "RAG_ENCODER": "off", "OLLAMA_HOST": server.url}
    for name, value in {**settings, "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Terminal:
    """A program on a pseudo-terminal of 30 lines; ``seen`` is all that it ever wrote."""

    def __init__(self, arguments: list[str], columns: int) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.child = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # Without this the child gets C's environment, in which readline may have put another terminal's size.
            # Nor does this terminal answer where its cursor is.
            env={n: v for n, v in os.environ.items() if n not in ("COLUMNS", "LINES")} | {"PROMPT_TOOLKIT_NO_CPR": "1"},
        )
        os.close(slave)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._unread = ""
        self._written: list[str] = []
        self._line = self._at = 0

    @property
    def seen(self) -> str:
        """All that was written, lines that are being typed as the cursor's steps to and fro leave them."""
        return "".join(self._written)

    def _take(self, data: bytes) -> None:
        """Go on with what came, up to the start of what may be half an escape sequence or line end."""
        text = self._unread + self._decode(data)
        self._unread = _HALF.search(text)[0]  # type: ignore[index]  # it matches nothing, too
        for match in _PIECES.finditer(re.sub("\r+\n", "\n", text.removesuffix(self._unread))):
            piece = match[0]
            if match["steps"]:
                self._at += int(match["steps"]) * (1 if match["way"] == "C" else -1)
            elif piece == "\x08":
                self._at -= 1
            elif len(piece) == 1:
                self._at = len(self._written) if piece in "\r\n" else self._at
                self._written[self._at : self._at + 1] = piece
                self._at += 1
                self._line = self._at if piece in "\r\n" else self._line
            self._at = max(self._at, self._line)
            self._written.extend(" " * (self._at - len(self._written)))

    def type(self, text: str) -> None:
        """Type, without the key Enter."""
        os.write(self._master, text.encode())

    def enter(self, line: str, *until: str, seconds: float = 60) -> str:
        """Type a line and read until all of ``until`` and then the prompt are there; what was written meanwhile."""
        start = len(self.seen)
        self.type(f"{line}\r")
        self.wait(lambda text: all(part in text for part in until) and text.endswith("\n> "), start, seconds)
        return self.seen[start:]

    def wait(self, done: object, start: int = 0, seconds: float = 60) -> None:
        """Read until ``done`` (a text, or a function of what was written since ``start``)."""
        end = time.monotonic() + seconds
        while not (done(self.seen[start:]) if callable(done) else str(done) in self.seen[start:]):
            readable, _, _ = select.select([self._master], [], [], max(end - time.monotonic(), 0))
            assert readable, f"nothing more came; so far:\n{self.seen[start:]}"
            while readable and time.monotonic() < end:  # what comes at one go is looked at once
                self._take(os.read(self._master, 65536))
                readable, _, _ = select.select([self._master], [], [], 0.05)

    def close(self) -> None:
        """Wait for the program's end."""
        try:
            self.child.wait(60)
        finally:
            self.child.kill()
            self.child.wait()
            os.close(self._master)


@contextmanager
def chat(*arguments: str, columns: int = 100) -> Iterator[Terminal]:
    """A conversation that has reached its first prompt."""
    terminal = Terminal([*RAG, "chat", *arguments], columns)
    try:
        terminal.wait(lambda text: text.endswith("\n> "))
        yield terminal
    except BaseException:
        terminal.child.kill()
        raise
    finally:
        terminal.close()


def test_an_answer_streams_and_ends_with_its_footnotes(home: Path, server: FakeOllama) -> None:
    server.delay = 0.1
    with chat("--llm", "ollama:chat-s") as terminal:
        assert "Answers with the model chat-s" in terminal.seen
        text = terminal.enter("How often does the foghorn of the Skerry lighthouse sound in winter?", "characters")
        assert "[1] lighthouse.md, “Lighthouse”, characters" in text
        grown = re.findall(r"The foghorn of[^\r\n]*", text)
        assert len(set(grown)) > 1, "the answer was on the screen while it grew"
        terminal.type("\x04")
    assert terminal.child.returncode == 0


def test_what_is_typed_while_an_answer_grows_waits_for_the_prompt(home: Path, server: FakeOllama) -> None:
    with chat("--llm", "ollama:chat-ramble") as terminal:
        start = len(terminal.seen)
        terminal.type("How often does the foghorn of the Skerry lighthouse sound in winter?\r")
        terminal.wait("The foghorn", start)
        terminal.type("/sources\r")
        server.delay = 0
        terminal.wait(lambda text: "keeper.txt  —" in text and text.endswith("\n> "), start)
        text = terminal.seen[start:]
        assert text.count("/sources") == 1 and text.index("characters") < text.index("> /sources")
        terminal.type("\x04")


def test_follow_ups_are_rewritten_and_the_rewriting_is_shown(home: Path, server: FakeOllama) -> None:
    with chat("--llm", "ollama:chat-s") as terminal:
        terminal.enter("Who is the keeper of the Skerry lighthouse?", "characters")
        text = terminal.enter("Where does she live?", "characters")
        assert "Searching for: Where does" in text and "Skerry" in text.split("Searching for:")[1].splitlines()[0]
        terminal.enter("/new", "New conversation.")
        sent = len(server.sent("/api/chat"))
        assert "Searching for" not in terminal.enter("Where does she live?")
        said = [message for r in server.sent("/api/chat")[sent:] for message in r.json["messages"]]
        assert all("CONVERSATION>>>\nUser:" not in message["content"] for message in said), "all is forgotten"
        server.script(Fault(status=500, text="the runner has crashed"))
        terminal.enter("Who is the keeper of the Skerry lighthouse?", "Error: ", "crashed")
        terminal.enter("Who is the keeper of the Skerry lighthouse?", "Mrs Dahl", "characters")
        terminal.type("/quit\r")
    assert terminal.child.returncode == 0


def test_commands(home: Path, server: FakeOllama) -> None:
    with chat("--llm", "ollama:chat-s") as terminal:
        assert "lighthouse.md" in terminal.enter("/sources", "keeper.txt")
        terminal.enter("/export", "nothing to export")
        terminal.enter("/model", "Answers with the model chat-s")
        terminal.enter("/model absent", "Error:", "ollama pull absent")
        terminal.enter("/model quotes", "quoting the documents")
        terminal.enter("Who is the keeper of the Skerry lighthouse?", "Mrs Dahl", "characters")
        assert not server.sent("/api/chat"), "no model was asked"
        terminal.enter("/model chat-s", "Answers with the model chat-s")
        terminal.enter("How often does the foghorn sound in winter?", "40 seconds", "characters")
        assert len(server.sent("/api/chat")) == 1
        terminal.enter("/hits", "score")
        terminal.enter("/export talk.md", "Written to talk.md")
        terminal.enter("/export talk.md", "Cannot write talk.md", "File exists")
        terminal.enter("/nonsense", "Unknown command /nonsense", "/export")
        terminal.type("/quit\r")
    text = (home / "talk.md").read_text(encoding="utf-8")
    assert "Mrs Dahl" in text and "40 seconds" in text and text.index("Mrs Dahl") < text.index("40 seconds")


def test_lines_are_remembered_across_runs(home: Path) -> None:
    question = "Who is the keeper of the Skerry lighthouse?"
    with chat("--llm", "quotes") as terminal:
        terminal.enter(question, "characters")
        terminal.type("/quit\r")
    history = home / "library" / "chat_history"
    assert history.stat().st_mode & 0o777 == 0o600
    with chat("--llm", "quotes") as terminal:
        start = len(terminal.seen)
        terminal.type("\x1b[A\x1b[A")
        terminal.wait(question, start)
        terminal.enter("", "Mrs Dahl", "characters")
        terminal.type("\x04")
    assert history.stat().st_mode & 0o777 == 0o600
    assert history.read_text(encoding="utf-8").count(question) == 2


@pytest.mark.parametrize("silent", [False, True], ids=["in-mid-answer", "while-the-model-loads"])
def test_ctrl_c_stops_the_answer_and_not_the_program(home: Path, server: FakeOllama, silent: bool) -> None:
    with chat("--llm", "ollama:chat-ramble") as terminal:
        if silent:
            server.script(Fault(stall=120))
        start = len(terminal.seen)
        terminal.type("How often does the foghorn of the Skerry lighthouse sound in winter?\r")
        if silent:
            assert server.wait_for(lambda: bool(server.sent("/api/chat")), 60)
        else:
            terminal.wait("The foghorn of the Skerry", start + 80)
        record = server.sent("/api/chat")[0]
        terminal.type("\x03")
        terminal.wait(lambda text: "Stopped." in text and text.endswith("\n> "), start)
        assert server.wait_for(lambda: record.disconnected > 0, 60)
        assert ("The foghorn of" in terminal.seen[start + 80 :].rpartition("Stopped.")[0]) is not silent
        terminal.type("\x03")
        terminal.wait("Ctrl-D to leave", start)
        terminal.enter("/model chat-s", "Answers with the model chat-s")
        terminal.enter("Who is the keeper of the Skerry lighthouse?", "Mrs Dahl", "characters")
        terminal.type("/quit\r")
    assert terminal.child.returncode == 0


def test_the_answer_alone_goes_to_the_standard_output(home: Path, server: FakeOllama) -> None:
    done = subprocess.run(
        [*RAG, "ask", "Who is the keeper of the Skerry lighthouse?", "--llm", "ollama:chat-s"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith("The keeper") and "\x1b" not in done.stdout
    assert "\x1b" not in done.stderr and "Answers with the model chat-s" in done.stderr


@pytest.mark.parametrize("where", ["while the model is silent", "in mid-answer", "while the question is embedded"])
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_ctrl_c_ends_a_question_and_its_request(home: Path, server: FakeOllama, where: str, as_json: bool) -> None:
    path = "/api/embed" if "embedded" in where else "/api/chat"
    if "embedded" in where:
        server.models["embed-s:latest"] = FakeModel("embed-s").completed()
        with Library.open(write=True) as library:
            list(library.reindex_events("ollama:embed-s"))
    before = len(server.sent(path))
    if "mid-answer" not in where:
        server.script(Fault(path, stall=120))
    question = "How often does the foghorn of the Skerry lighthouse sound in winter?"
    command = [*RAG, "ask", question, "--llm", "ollama:chat-ramble", *(["--json"] if as_json else [])]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as child:
        assert server.wait_for(lambda: len(server.sent(path)) > before, 60)
        record = server.sent(path)[before]
        assert server.wait_for(lambda: record.lines > 5 or "mid-answer" not in where, 60)
        child.send_signal(signal.SIGINT)
        out, error = child.communicate(timeout=30)
    assert child.returncode == 130 and out == "" and "Traceback" not in error
    assert error.rstrip().endswith("Interrupted.") and error.count("Interrupted.") == 1
    assert record.disconnected


WORDS = st.lists(st.text("ab,.—é漢[1]", min_size=1, max_size=30), max_size=40)


@given(paragraphs=st.lists(WORDS, max_size=4), width=st.integers(1, 120), indent=st.integers(0, 6))
def test_lines_are_broken_between_words_and_lose_nothing(paragraphs: list[list[str]], width: int, indent: int) -> None:
    text = "\n".join(" " * indent + " ".join(words) for words in paragraphs)
    shown = fitted(text, width)
    assert shown.split() == text.split() and fitted(text, None) == text
    for line in shown.splitlines():
        assert len(line) <= max(width, 20) or len(line.split()) == 1


def test_without_documents_it_says_so_at_once(home: Path) -> None:
    done = subprocess.run(
        [*RAG, "chat", "--library", str(home / "none")], capture_output=True, text=True, timeout=60, input="hello\n"
    )
    assert done.returncode == 1 and done.stdout == "" and "rag ingest FOLDER" in done.stderr


def test_an_embedder_pulled_anew_meanwhile_is_told_once(
    home: Path, server: FakeOllama, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.models.ollama._DIGEST_SECONDS", 0.0)
    server.models["embed-s:latest"] = FakeModel("embed-s").completed()
    with Library.open(write=True, llm="quotes") as library:
        list(library.reindex_events("ollama:embed-s"))
        session = Session(library)
        session.handle("Who is the keeper of the Skerry lighthouse?")
        assert "Note:" not in capsys.readouterr().err
        server.models["embed-s:latest"] = FakeModel("embed-s", digest="f" * 64).completed()
        for times in (1, 0):
            session.handle("Who is the keeper of the Skerry lighthouse?")
            assert capsys.readouterr().err.count("ollama:embed-s has changed") == times


@pytest.mark.parametrize("word", ["/bye", "QUIT"])
def test_there_are_several_ways_out(home: Path, word: str) -> None:
    with chat("--llm", "quotes") as terminal:
        terminal.type(f"{word}\r")
    assert terminal.child.returncode == 0


def test_a_model_that_takes_long_to_load_is_waited_for_in_words(home: Path, server: FakeOllama) -> None:
    server.script(Fault(stall=3.5))
    with chat("--llm", "ollama:chat-s") as terminal:
        text = terminal.enter("How often does the foghorn of the Skerry lighthouse sound in winter?", "characters")
        assert "Waiting for the model, 3 s. Ctrl-C stops." in text and "40 seconds" in text
        terminal.type("/quit\r")


def test_on_a_narrow_terminal_no_word_is_cut(home: Path, server: FakeOllama) -> None:
    with chat("--llm", "ollama:chat-s", columns=40) as terminal:
        text = terminal.enter("How often does the foghorn of the Skerry lighthouse sound in winter?", "characters")
        shown = text[text.rindex("The foghorn of the Skerry lighthouse\n") :]
        assert max(map(len, shown.splitlines())) <= 40
        assert "\nsounds every 40 seconds in winter. [1]" in shown
        terminal.type("/quit\r")


@pytest.mark.parametrize(("lines", "kept"), [(3, 3), (100, 28)])
def test_only_what_fits_the_screen_is_shown_while_it_grows(lines: int, kept: int) -> None:
    from rich.console import Console

    from rag.commands.chat import _tail

    shown = str(_tail("\n".join(f"line {n}" for n in range(lines)), Console(width=80, height=30)))
    assert len(shown.splitlines()) == kept and shown.endswith(f"line {lines - 1}")
