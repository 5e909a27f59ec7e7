"""Promise: a hostile file is contained. The child is confined, dies on time, and takes nothing with it."""

from __future__ import annotations

import gc
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from rag.config import Limits
from rag.documents import Parsed, ParserPool
from rag.errors import DamagedDocument, DocumentError, EmptyDocument, LimitExceeded, ParserCrashed, UnsupportedFormat
from rag.platform.forking import ForkServer
from tests.documents.material import open_descriptors, pdf, processes_below

ROOT = Path(__file__).parents[2]
SLOW = b"<div>" * 100_000 + b"x"
"""Markup whose nesting takes the HTML parser a quarter of a minute."""


def pool_with(workers: int = 1, **limits: int) -> ParserPool:
    return ParserPool(Limits(**limits), characters=1_000, overlap=100, workers=workers)


def await_child(server: int) -> int:
    """The parser's child process, once it is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if children := processes_below(server):
            return children[0]
        time.sleep(0.01)
    raise AssertionError("no child was started")


def server_of(pool: ParserPool) -> int:
    """The pool's fork server."""
    server = pool._servers[""]
    assert isinstance(server, ForkServer)
    return server.pid


def test_a_document_comes_back_whole(pool: ParserPool) -> None:
    text = "Ünïcode 😀 text. " * 500
    parsed = pool.parse(f"# Title\n\n{text}".encode(), "notes/a.md")
    document = parsed.document
    assert (document.title, document.media_type, document.text) == ("Title", "text/markdown", f"# Title\n\n{text}")
    assert len(parsed.slices) > 5 and all(piece.heading == ("Title",) for piece in parsed.slices)
    assert all(document.text[s.start : s.end] == document.text[s.start : s.end].strip() for s in parsed.slices)


def test_refusals_keep_their_kind_message_and_hint(pool: ParserPool) -> None:
    for data, source, kind, said in (
        (b"", "a.txt", EmptyDocument, "a.txt is empty (0 bytes)"),
        (b" ", "a.txt", EmptyDocument, "a.txt has no text"),
        (b"x", "a.xyz", UnsupportedFormat, ".xyz files are not supported"),
        (b"\0\1\2", "a.txt", DamagedDocument, "is binary, not text"),
        (b"nothing", "a.pdf", DamagedDocument, "is damaged or is no PDF"),
        (pdf([None, None]), "a.pdf", EmptyDocument, "none of its 2 pages has text"),
        (b"\0", "sur\udce9rogate.txt", DamagedDocument, "sur\\udce9rogate.txt is binary"),
        (b"\0", "new\nline\u202e.txt", DamagedDocument, "new\\u000aline\\u202e.txt is binary"),
    ):
        with pytest.raises(kind) as caught:
            pool.parse(data, source)
        assert said in str(caught.value) and caught.value.hint and type(caught.value) is kind


def test_passage_limit_is_exact() -> None:
    text = b"\n\n".join(b"# h%d\n\nbody" % n for n in range(20))
    with pool_with(passages=20) as pool:
        assert len(pool.parse(text, "a.md").slices) == 20
    with (
        pool_with(passages=19) as pool,
        pytest.raises(LimitExceeded, match=r"20 passages; the limit is 19 \(limits\.pass"),
    ):
        pool.parse(text, "a.md")


def test_processor_time_is_limited() -> None:
    with pool_with(child_cpu_seconds=1) as pool:
        with pytest.raises(ParserCrashed, match=r"s\.html takes more than 1 s of processor time \(limits\.child_cpu"):
            pool.parse(SLOW, "s.html")
        assert pool.parse(b"after", "a.txt").document.text == "after"


def test_the_clock_is_limited_and_the_child_is_gone() -> None:
    with pool_with(child_wall_seconds=1) as pool:
        with pytest.raises(ParserCrashed, match=r"takes more than 1 s of time \(limits\.child_wall_seconds\)"):
            pool.parse(SLOW, "s.html")
        assert processes_below(server_of(pool)) == []
        assert pool.parse(b"after", "a.txt").document.text == "after"


@pytest.mark.parametrize(
    ("source", "data"),
    [("a.txt", b"word word " * 5_000_000), ("a.md", b"# x\n\n- word\n" * 600_000), ("a.html", b"<p>x" * 4_000_000)],
)
def test_memory_is_limited(source: str, data: bytes) -> None:
    with pool_with(child_memory_mb=100, characters=100_000_000, passages=1_000_000) as pool:
        with pytest.raises(ParserCrashed, match=r"more than 100 MB of memory \(limits\.child_memory_mb\)"):
            pool.parse(data, source)
        assert pool.parse(b"after", "a.txt").document.text == "after"


@pytest.mark.parametrize(("how", "said"), [(signal.SIGKILL, "was killed"), (signal.SIGSEGV, r"crash \(SIGSEGV\)")])
def test_a_killed_child_is_one_failed_file(how: signal.Signals, said: str) -> None:
    with pool_with() as pool:
        pool.parse(b"x", "a.txt")
        future = pool.submit(SLOW, "s.html")
        os.kill(await_child(server_of(pool)), how)
        with pytest.raises(ParserCrashed, match=said):
            future.result()
        assert pool.parse(b"after", "a.txt").document.text == "after"


def test_a_killed_server_is_started_again() -> None:
    with pool_with() as pool:
        pool.parse(b"x", "a.txt")
        future = pool.submit(SLOW, "s.html")
        server = server_of(pool)
        child = await_child(server)
        os.kill(server, signal.SIGKILL)
        with pytest.raises(ParserCrashed):
            future.result()
        assert pool.parse(b"after", "a.txt").document.text == "after"
        assert not _alive(server) and not _alive(child)


def _alive(pid: int) -> bool:
    """Whether the process still runs (a zombie that waits for its new parent does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_closing_ends_everything_at_once() -> None:
    pool = pool_with(workers=2)
    pool.parse(b"x", "a.txt")
    server = server_of(pool)
    running, waiting = [pool.submit(SLOW, "s.html") for _ in range(2)], [pool.submit(b"x", "b.txt") for _ in range(3)]
    child = await_child(server)
    begun = time.monotonic()
    pool.close()
    pool.close()
    assert time.monotonic() - begun < 60 and not _alive(child) and not _alive(server)
    assert all(isinstance(future.exception(), ParserCrashed) for future in running)
    assert all(future.cancelled() or isinstance(future.exception(), ParserCrashed) for future in waiting)
    with pytest.raises(RuntimeError):
        pool.submit(b"x", "a.txt")


def test_nothing_is_left_behind() -> None:
    with pool_with(workers=2) as warm:
        warm.parse(b"x", "a.txt")
    gc.collect()
    before = open_descriptors(), sorted(processes_below("self"))
    with pool_with(workers=2, child_wall_seconds=1) as pool:
        futures = [pool.submit(b"text" if n % 3 else b"", f"{n}.txt") for n in range(60)]
        futures += [pool.submit(b"\0", "bad.txt"), pool.submit(SLOW, "slow.html"), pool.submit(b"?", "x.pdf")]
        outcomes = [future.exception() for future in futures]
        assert all(error is None or isinstance(error, DocumentError) for error in outcomes)
        assert processes_below(server_of(pool)) == []
    gc.collect()
    assert (open_descriptors(), sorted(processes_below("self"))) == before


def test_many_threads_share_a_pool() -> None:
    with pool_with(workers=2) as pool, ThreadPoolExecutor(12) as threads:

        def parse(n: int) -> Parsed:
            return pool.parse(f"text number {n}".encode(), f"{n}.txt")

        results: list[Future[Parsed]] = [threads.submit(parse, n) for n in range(60)]
        assert [r.result().document.text for r in results] == [f"text number {n}" for n in range(60)]


CONFINED = """
import os, signal, socket, sys
from rag.config import Limits
from rag.platform.confine import confine
victim, other = sys.argv[1], int(sys.argv[2])
confine(Limits(child_memory_mb=400))
def attempt(name, action):
    try:
        action()
    except (OSError, MemoryError) as error:
        print(name, type(error).__name__)
    else:
        print(name, 'worked')
attempt('read', lambda: open('/etc/passwd'))
attempt('write', lambda: open(victim, 'w'))
attempt('list', lambda: os.listdir('/'))
attempt('socket', lambda: socket.socket())
attempt('pipe', lambda: os.pipe())
attempt('memory', lambda: bytearray(500 * 2**20))
attempt('remove', lambda: os.unlink(victim))
attempt('run', lambda: os.execv('/bin/true', ['true']))
attempt('signal', lambda: os.kill(other, signal.SIGTERM))
"""


def test_a_confined_process_can_do_nothing_else(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("safe")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        run = subprocess.run(
            [sys.executable, "-c", CONFINED, str(victim), str(other.pid)],
            capture_output=True, text=True, check=True, timeout=60, cwd=ROOT, env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        outcome = dict(line.split(" ") for line in run.stdout.splitlines())
        untouched = other.poll() is None
        other.kill()
    for name in ("read", "write", "list", "socket", "pipe"):
        assert outcome[name] == "OSError", name
    assert outcome["memory"] == "MemoryError" and victim.exists()
    if _kernel_has_landlock(6):
        assert {outcome[name] for name in ("remove", "run", "signal")} == {"PermissionError"}
        assert untouched and victim.read_text() == "safe"


def _kernel_has_landlock(version: int) -> bool:
    import ctypes

    return sys.platform == "linux" and int(ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)) >= version


SCRIPT = """
import sys
from rag.config import Limits
from rag.documents import ParserPool
print('main ran')
pool = ParserPool(Limits(), characters=1000, overlap=100)
print(pool.parse(b'# Hello\\n\\nworld', 'a.md').document.title)
pool.close()
heavy = {'pypdfium2', 'selectolax', 'markdown_it', 'semantic_text_splitter', 'numpy', 'charset_normalizer'}
print(sorted(heavy & set(sys.modules)))
"""


@pytest.mark.parametrize("way", ["script", "stdin", "command"])
def test_it_works_from_any_main_and_runs_it_once(tmp_path: Path, way: str) -> None:
    script = tmp_path / "my script.py"
    script.write_text(SCRIPT)
    arguments = {"script": [str(script)], "stdin": ["-"], "command": ["-c", SCRIPT]}[way]
    run = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        input=SCRIPT, capture_output=True, text=True, timeout=60, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (run.stdout, run.stderr, run.returncode) == ("main ran\nHello\n[]\n", "", 0)


def test_a_parent_that_dies_leaves_no_process(tmp_path: Path) -> None:
    script = SCRIPT.split("print(pool")[0] + (
        "pool.parse(b'x', 'a.txt')\npool.submit(b'<div>' * 100_000, 's.html')\n"
        "print(pool._servers[''].pid, flush=True)\nimport time; time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-u", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        server = int(parent.stdout.readline())
        child = await_child(server)
        parent.kill()
    deadline = time.monotonic() + 10
    while (_alive(server) or _alive(child)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(server) and not _alive(child)


def test_no_descriptors_left_is_a_reason_too() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pool_with() as pool, pool_with() as other:
        pool.parse(b"x", "a.txt")
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(ParserCrashed, match="no child process"):
                pool.parse(b"x", "a.txt")
            with pytest.raises(ParserCrashed, match=r"cannot be started: .*Too many open files"):
                other.parse(b"x", "a.txt")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [p.parse(b"x", "a.txt").document.text for p in (pool, other)] == ["x", "x"]


def test_a_parser_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.platform.apart._import_path", lambda: ["/nowhere"])
    with pool_with() as pool, pytest.raises(ParserCrashed, match=r"cannot be started: .*No module named"):
        pool.parse(b"x", "a.txt")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pool_with() as pool, pytest.raises(ParserCrashed, match=r"cannot be started: .*No such file"):
        pool.parse(b"x", "a.txt")
