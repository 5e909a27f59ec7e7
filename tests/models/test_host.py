"""The server's address in all the forms that Ollama takes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.models.host import host_and_port, is_cloud_host, is_loopback, redact, resolve_host

DEFAULT = "http://127.0.0.1:11434"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", DEFAULT),
        ("   ", DEFAULT),
        ('" "', DEFAULT),
        ("127.0.0.1", DEFAULT),
        ("localhost", "http://localhost:11434"),
        ("example.local:8080", "http://example.local:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("0.0.0.0", DEFAULT),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("http://0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("::", "http://[::1]:11434"),
        ("[::]:99", "http://[::1]:99"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1", "http://[::1]:11434"),
        ("http://", "http://127.0.0.1:80"),
        ("[::1]:1234", "http://[::1]:1234"),
        ("2001:DB8::7", "http://[2001:db8::7]:11434"),
        ("http://example.org", "http://example.org:80"),
        ("https://example.org", "https://example.org:443"),
        ("HTTPS://example.org:8443", "https://example.org:8443"),
        ("http://example.org/ollama/", "http://example.org:80/ollama"),
        ("example.org/a/b", "http://example.org:11434/a/b"),
        ("http://example.org:1/", "http://example.org:1"),
        (" 'http://example.org:1' ", "http://example.org:1"),
        ('"192.168.1.5:1"', "http://192.168.1.5:1"),
        ("http://me:pass@example.org:1", "http://me:pass@example.org:1"),
    ],
)
def test_every_form(value: str, expected: str) -> None:
    assert resolve_host(value, {}) == expected
    assert resolve_host("", {"OLLAMA_HOST": value}) == expected
    assert resolve_host(expected, {}) == expected


def test_the_setting_beats_the_variable() -> None:
    assert resolve_host("a:1", {"OLLAMA_HOST": "b:2"}) == "http://a:1"


@pytest.mark.parametrize(
    "value",
    ["ftp://x", "x:port", "x:0", "x:65536", "x:-1", "a b", "http://x:1?q", "x/a b", "x:²", "::1%lo",
     "a:b:c", "http://a:b:80", "://x", "x\x00y", "[]@x", "a@b@c", "x\u2100y"],
)  # fmt: skip
def test_the_rest_is_refused_by_name(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_host(value, {})
    assert "OLLAMA_HOST" in caught.value.hint


def test_a_password_is_never_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_host("http://me:secret@x:port", {})
    assert "secret" not in caught.value.explain()
    assert redact("http://me:secret@x:1/a@b") == "http://x:1/a@b"
    assert redact("me:secret@x") == "x"


@pytest.mark.parametrize(
    ("value", "loopback"),
    [("", True), ("localhost", True), ("a.localhost", True), ("127.3.2.1", True), ("::1", True),
     ("192.168.0.1", False), ("example.org", False), ("localhost.example.org", False), ("2001:db8::7", False)],
)  # fmt: skip
def test_which_addresses_are_this_machine(value: str, loopback: bool) -> None:
    assert is_loopback(resolve_host(value, {})) is loopback


def test_the_cloud_is_known() -> None:
    assert is_cloud_host("https://ollama.com:443") and is_cloud_host("https://api.ollama.com:443")
    assert not is_cloud_host("https://notollama.com:443") and not is_cloud_host(DEFAULT)


def test_what_a_socket_connects_to() -> None:
    assert host_and_port("http://[::1]:99/x") == ("::1", 99)


@settings(max_examples=500)
@example('/"/')
@given(st.text(max_size=30) | st.text("[]@:/.%\u2100\u24b6 a1\\'\"", max_size=12))
def test_any_text_is_an_address_or_a_config_error(text: str) -> None:
    try:
        url = resolve_host(text, {})
    except ConfigError:
        return
    assert resolve_host(url, {}) == url
    host, port = host_and_port(url)
    assert host and 0 < port <= 65535
