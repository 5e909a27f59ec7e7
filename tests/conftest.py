"""Every test: no network beyond loopback, no settings of the user's, no real Ollama, an empty home."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser

from rag.encode import PassageEncoder
from rag.platform.libraries import keep_gradio_from_writing_stubs
from tests.browser import CHROMIUM, chromium
from tests.postgres import Server, server

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"
CLOSED_PORT = "http://127.0.0.1:9"

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    keep_gradio_from_writing_stubs()
    # Started in the background, a shell has SIGINT ignored, and every child inherits that: Ctrl-C would do nothing.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    guard = TESTS / "netguard"
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(guard) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(guard), *paths]))
        spec = spec_from_file_location("rag_tests_netguard", guard / "sitecustomize.py")
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(module_from_spec(spec))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of the page between the others, from the first on: a browser waits more than it computes, and the
    slowest files should not come last (`--no-loadscope-reorder` keeps this order)."""
    files = list(dict.fromkeys(item.path for item in items))
    page = [path for path in files if path.parent.name == "ui"]
    rest = [path for path in files if path.parent.name != "ui"]
    apart = max(len(rest) // (len(page) + 1), 1)
    place = {path: (number * apart, 0) for number, path in enumerate(page)}
    place |= {path: (number, 1) for number, path in enumerate(rest)}
    items.sort(key=lambda item: place[item.path])


@pytest.fixture(scope="session", autouse=True)
def patient_encoder() -> Iterator[None]:
    """A question has the encoder see all of its passages: in the 0.3 s of the product a busy machine sees fewer of
    them, and another passage may come first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PassageEncoder.passages, "__defaults__", (60.0,))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith("RAG_") and name != "RAG_SOAK":
            monkeypatch.delenv(name)
    monkeypatch.setenv("OLLAMA_HOST", CLOSED_PORT)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data that is kept outside the project; without it the test skips, except in CI."""
    if not SHARED.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{SHARED} is missing, and CI must have it")
        pytest.skip(f"needs the data in {SHARED}, which is not there")
    return SHARED


@pytest.fixture(scope="session")
def soak() -> bool:
    """Whether the long forms run (`make soak`)."""
    return os.environ.get("RAG_SOAK") == "1"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running PostgreSQL."""
    with TemporaryDirectory(prefix="pg") as folder, server(Path(folder)) as running:  # a socket's path is short
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; without it the test skips, except in CI. Ends with its module, as its event loop blocks any other."""
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing, and CI must have it")
        pytest.skip(f"needs {CHROMIUM} (Debian's package chromium)")
    with chromium() as opened:
        yield opened
