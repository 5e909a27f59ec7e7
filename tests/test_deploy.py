"""What stands in deploy/ is true: every path and command in it is there, and the proxy works with the real nginx."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import click
import httpx
import pytest
import yaml

from rag import Library
from rag.commands.cli import cli
from rag.config import load_config

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/sbin:/bin")
PASSWORD = "walnut orbit lantern"


def check_command(words: list[str]) -> None:
    """The words of a ``rag`` command name a command and options that it has."""
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, words
        command, words = found, words[1:]
    options = {name: one for one in command.params for name in one.opts if isinstance(one, click.Option)}
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            assert word in options, (command.name, word)
            if not options[word].is_flag:
                assert words, word
                words.pop(0)


def test_the_commands_and_paths_of_the_image_exist() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    told = [(name, rest) for name, rest in lines]
    for name, rest in told:
        words = shlex.split(rest) if name == "COPY" else []
        if words and not words[0].startswith("--from"):
            for source in words[:-1]:
                assert (ROOT / source).exists() and f"!{source.removeprefix('./')}\n" in sent, source
    last = text[text.rindex("FROM ") :]
    assert re.search(r"^USER rag$", last, re.MULTILINE) and "useradd --system" in last
    assert all(rest.startswith("python:3.11-slim") for name, rest in told if name == "FROM")
    (entry,) = (yaml.safe_load(rest) for name, rest in told if name == "ENTRYPOINT")
    (command,) = (yaml.safe_load(rest) for name, rest in told if name == "CMD")
    assert entry == ["rag"]
    check_command(command)
    assert "ADD" not in {name for name, _ in told} and "--require-hashes" in text
    for install in re.findall(r"pip install [^&\n]+", text):  # the lock is whole, and leaves out what nothing imports
        assert "--no-deps" in install and ("requirements.lock" in install or "--no-build-isolation" in install)


def test_the_services_run_without_rights() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    told = yaml.safe_load(text)
    ours = told["services"]["rag"]
    build = (DEPLOY / ours["build"]["context"]).resolve()
    assert (build / ours["build"]["dockerfile"]).is_file() and build == ROOT
    check_command(list(ours["command"]))
    assert ours["read_only"] and ours["cap_drop"] == ["ALL"] and "no-new-privileges:true" in ours["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in ours["ports"])
    named = {volume.partition(":")[0] for one in told["services"].values() for volume in one.get("volumes", ())}
    assert named == set(told["volumes"]) and set(ours["depends_on"]) <= set(told["services"])
    for line in re.findall(r"^# docker compose -f (\S+) (.+)$", text, re.MULTILINE):
        assert (ROOT / line[0]).is_file()
        words = shlex.split(line[1])
        if "rag" in words:
            check_command(words[words.index("rag") + 1 :])


def test_the_services_of_a_team_are_what_they_say() -> None:
    """The commands, paths, names and settings of the compose file for a team are there."""
    text = (DEPLOY / "team.yaml").read_text(encoding="utf-8")
    told = yaml.safe_load(text)
    services = told["services"]
    for name, one in services.items():
        if "build" in one:
            build = (DEPLOY / one["build"]["context"]).resolve()
            assert build == ROOT and (build / one["build"]["dockerfile"]).is_file()
            assert one["cap_drop"] == ["ALL"] and "no-new-privileges:true" in one["security_opt"]
            assert ("ports" in one) is False, f"{name}: only nginx is reached from outside"
        if "entrypoint" not in one and "build" in one:
            check_command(list(one["command"]))
            environment = {k: str(v).partition(":?")[0] for k, v in one["environment"].items()}
            config = load_config(environ={k: v for k, v in environment.items() if k.startswith("RAG_")}, directory=ROOT)
            assert config.database == "postgresql://rag@postgres/rag" and config.queue
            assert config.chroma == f"http://chroma:{services['chroma']['command'][-1]}"
            assert set(one["depends_on"]) <= set(services)
    assert services["chroma"]["entrypoint"] == ["chroma"] and services["chroma"]["command"][0] == "run"
    assert any(point.name == "chroma" for point in entry_points(group="console_scripts"))
    named = [v.partition(":")[0] for one in services.values() for v in one.get("volumes", ()) if v[0] != "."]
    assert set(named) == set(told["volumes"]) and len(named) == len(set(named)), "nobody shares a folder"
    address = services["nginx"]["networks"]["default"]["ipv4_address"]
    pages = [one["command"] for name, one in services.items() if name.startswith("page")]
    assert len(pages) == 2 and all(command[command.index("--proxy") + 1] == address for command in pages)
    proxy = (DEPLOY / "team.nginx.conf").read_text(encoding="utf-8")
    assert re.findall(r"server (page-\d:\d+)", proxy) == ["page-1:7860", "page-2:7860"]
    assert "./team.nginx.conf:/etc/nginx/conf.d/default.conf:ro" in services["nginx"]["volumes"]
    for line in re.findall(r"^# docker compose -f (\S+) (.+)$", text, re.MULTILINE):
        assert (ROOT / line[0]).is_file()
        words = shlex.split(line[1])
        if "rag" in words:
            check_command(words[words.index("rag") + 1 :])
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "\npsycopg==" in lock and "\nchromadb==" in lock, "the image has what the team needs"


def test_the_unit_names_what_there_is(tmp_path: Path) -> None:
    text = (DEPLOY / "rag.service").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    words = shlex.split(command)
    assert words[0] == "/opt/rag/bin/rag"
    check_command(words[1:])
    assert re.search(r"^User=(?!root)\w+$", text, re.MULTILINE)
    if shutil.which("systemd-analyze"):
        unit = tmp_path / "rag.service"
        unit.write_text(text.replace(words[0], "/bin/true").replace("User=rag", "User=daemon"), encoding="utf-8")
        done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
        assert "rag.service" not in done.stderr, done.stderr


def test_the_commands_of_the_page_on_it_exist() -> None:
    for text in ((ROOT / "docs/deploy.md").read_text("utf-8"), (DEPLOY / "nginx.conf").read_text("utf-8")):
        for line in re.findall(r"^(?:# |    )?(?:sudo -u rag \S+ \S*/)?rag ([a-z].*)$", text, re.MULTILINE):
            check_command(shlex.split(line, comments=True))


@contextmanager
def served(place: Path, *arguments: str) -> Iterator[int]:
    """The port of ``rag ui`` over a library with accounts."""
    command = [sys.executable, "-m", "rag", "--llm", "quotes", "--library", str(place), "ui", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            found = re.search(r"Ready: https?://\S+:(\d+)/", child.stdout.readline())
            assert found is not None
            yield int(found[1])
        finally:
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a certificate for the example's names, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=DNS:docs.example.org,DNS:www.example.org,IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=docs.example.org", "-addext", names, "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("deploy") / "library"
    with Library.open(place, llm="quotes", embedder="builtin") as opened:
        user = opened.accounts.add("ada", PASSWORD, "admin")
        opened.for_user(user).add("The Brackwater bridge opened in 1931.", source="bridge.txt")
    return place


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def nginx(folder: Path, text: str) -> Iterator[None]:
    """nginx over a configuration, with everything it writes in ``folder``."""
    assert NGINX is not None
    places = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;"
        f"events {{}} http {{ access_log off; {places} {text} }}",
        encoding="utf-8",
    )
    subprocess.run([NGINX, "-t", "-e", folder / "error.log", "-c", file], check=True, capture_output=True, timeout=60)
    with subprocess.Popen([NGINX, "-e", folder / "error.log", "-c", file]) as child:
        try:
            yield
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(60)


@contextmanager
def through(certificate: Path, name: str, port: int, way: str = "") -> Iterator[httpx.Client]:
    """A browser that finds ``name`` at the proxy on ``port`` and trusts its certificate."""
    context = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    headers = {"host": f"{name}:{port}", "origin": f"https://{name}:{port}"}
    base = f"https://127.0.0.1:{port}{way}"
    ended = time.monotonic() + 60
    with httpx.Client(base_url=base, verify=context, timeout=60, headers=headers) as client:
        while True:
            try:
                client.get("/login")
            except httpx.ConnectError:
                assert time.monotonic() < ended
                time.sleep(0.05)
            else:
                break
        yield client


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed on this machine")
def test_the_proxy_of_the_example(library: Path, certificate: Path, tmp_path: Path) -> None:
    """Signing in, asking and the cookie, under a name of its own and under a path, by the very file that is shipped."""
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    listening = free_port()
    log = tmp_path / "requests.log"
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{listening} ssl")
    text = re.sub(r"/etc/ssl/\S+\.pem", str(certificate / "cert.pem"), text)
    text = re.sub(r"/etc/ssl/\S+\.key", str(certificate / "key.pem"), text)
    for name, way, port, more in (
        ("docs.example.org", "", 7860, ["--access-log", str(log)]),
        ("www.example.org", "/rag", 7861, ["--root-path", "/rag"]),
    ):
        with ExitStack() as stack:
            own = stack.enter_context(served(library, "--name", name, "--proxy", "127.0.0.1", *more))
            folder = tmp_path / name
            folder.mkdir()
            stack.enter_context(nginx(folder, text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{own}")))
            browser = stack.enter_context(through(certificate, name, listening, way))
            first = browser.get("/")
            assert first.status_code == 303 and first.headers["location"] == f"{way}/login"
            told = browser.post("/login", data={"name": "ada", "password": PASSWORD})
            assert told.status_code == 303 and told.headers["location"] == f"{way}/"
            cookie = told.headers["set-cookie"]
            assert "; Secure" in cookie and f"Path={way or '/'};" in cookie
            assert cookie.startswith("__Secure-" if way else "__Host-")
            shown = {"cookie": cookie.partition(";")[0]}
            page = browser.get("/", headers=shown)
            assert page.status_code == 200 and "gradio" in page.text
            root = browser.get("/config", headers=shown).json()["root"]
            assert root == f"https://{name}:{listening}{way}"
            joined = browser.post(
                "/gradio_api/call/ask", json={"data": ["When did the Brackwater bridge open?", "ada"]}, headers=shown
            )
            event = joined.json()["event_id"]
            told = browser.get(f"/gradio_api/call/ask/{event}", headers=shown)
            assert "1931" in told.text, told.text[:500]
            # Under the path, nginx gives a foreign name to the first server, behind which nothing runs here.
            assert browser.get("/login", headers={"host": "evil.example"}).status_code == (502 if way else 421)
    lines = log.read_text(encoding="utf-8")
    assert '"client": "127.0.0.1"' in lines and '"user": "ada"' in lines and "bridge" not in lines


def test_tls_without_a_proxy(library: Path, certificate: Path) -> None:
    pem = [str(certificate / "cert.pem"), str(certificate / "key.pem")]
    with served(library, "--tls-cert", pem[0], "--tls-key", pem[1]) as port:
        with through(certificate, "127.0.0.1", port) as browser:
            told = browser.post("/login", data={"name": "ada", "password": PASSWORD})
            assert told.status_code == 303 and told.headers["set-cookie"].startswith("__Host-rag_session=")
            assert browser.get("/healthz").json() == {"status": "ok"}
