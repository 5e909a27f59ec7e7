"""One frozen ``Config``; flags beat ``RAG_*`` variables, these beat ``rag.toml``, this beats the defaults."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from rag.errors import ConfigError

CONFIG_NAME = "rag.toml"
_NAMED = re.compile(r"ollama:.+|openai:.+@https?://.+")
_OF_OLLAMA = re.compile(r"ollama:.+")
_SERVER = re.compile(r"https?://[^/\s]+/?")
_LANGUAGES = re.compile(r"[A-Za-z_]{2,40}(?:\+[A-Za-z_]{2,40}){0,9}")
_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Limits:
    """Over a limit is a named refusal of that file or question; the others go on."""

    file_mb: int = 50
    pages: int = 2_000
    characters: int = 10_000_000
    passages: int = 20_000
    child_memory_mb: int = 1_024
    child_cpu_seconds: int = 20
    child_wall_seconds: int = 30
    question_characters: int = 8_000
    upload_mb: int = 200
    unzipped_mb: int = 200
    archive_entries: int = 2_000
    archive_ratio: int = 100
    ocr_seconds: int = 60
    ocr_memory_mb: int = 2_048


DATABASES = ("postgresql://", "postgres://")
"""What the address of a database begins with."""

OF_A_FOLDER: Mapping[str, Any] = MappingProxyType({"database": "", "chroma": "", "queue": False})
"""The settings of a folder that is named: what is set for a library in a database is not meant for it."""


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, with its default. Builders that turn names into objects live elsewhere.

    ``library`` is the folder of the library; with a ``database``, a ``postgresql://`` address, the library is there,
    and the folder holds only what this machine has in hand. ``chroma``, ``http://host:port``, is the Chroma server that
    searches a library in a database; every process of the library names the same one. ``queue`` leaves the reading of
    files to the workers of such a library.
    ``llm``: ``auto``, ``quotes``, ``ollama:NAME`` or ``openai:MODEL@URL``; ``embedder``: ``auto``, ``builtin``,
    ``multilingual`` (an extra), ``ollama:NAME`` or ``openai:MODEL@URL``.
    ``encoder``, which ranks what was found, in the background of it: ``builtin``, ``off`` or ``ollama:NAME``;
    ``encoder_weight`` >= 0 is what it counts beside all else about a passage, which counts 1.
    ``top_k`` passages go to the answer; ``fusion_weight`` is the dense part's share in [0, 1] (0.5 = equal);
    ``document_weight`` >= 0 is what a document that is about what is asked adds to its passages' scores.
    ``abstain_below``: probability in [0, 1] under which the answer is "not in the documents"; -1 means the
    value fitted for the collection, or else the shipped one. ``allow_remote`` lets ``*-cloud`` models see documents.
    ``addresses`` says which pages of the web may be put in by typing their address on the page: none (``off``), those
    of the ``public`` network, or those of this machine and its network, too (``private``).

    ``verify``: ``rules``, ``llm`` (the answering model gives a second opinion on sentences in doubt) or ``ollama:NAME``
    (that model does); ``verify_all`` asks it about every sentence that cites something and is no quotation.
    ``prompt``: ``auto`` takes the one for the model's size, ``full`` or ``small`` insist. ``smallest_llm``: ``auto``
    quotes instead of taking a chat model of fewer billions of parameters.
    ``query_prefix`` and ``document_prefix`` go, with a space, before what an Ollama embedder gets: ``auto`` takes those
    of the model's family, ``none`` means none.
    """

    library: Path | None = None
    database: str = ""
    chroma: str = ""
    queue: bool = False
    collection: str = "default"
    llm: str = "auto"
    embedder: str = "auto"
    encoder: str = "builtin"
    query_prefix: str = "auto"
    document_prefix: str = "auto"
    ollama_host: str = ""
    allow_remote: bool = False
    num_ctx: int = 8_192
    num_predict: int = 1_024
    temperature: float = 0.0
    seed: int = 0
    keep_alive: str = "10m"
    connect_seconds: float = 5.0
    read_seconds: float = 300.0
    concurrency: int = 2
    top_k: int = 6
    candidates: int = 50
    fusion_weight: float = 0.5
    document_weight: float = 0.8
    encoder_weight: float = 1.0
    abstain_below: float = -1.0
    verify: str = "rules"
    verify_all: bool = False
    ocr: str = "auto"
    ocr_languages: str = ""
    passage_characters: int = 1_000
    passage_overlap: int = 100
    prompts: Path | None = None
    prompt: str = "auto"
    smallest_llm: float = 1.0
    addresses: str = "off"
    host: str = "127.0.0.1"
    port: int = 7860
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _check_ranges(self)

    @property
    def library_path(self) -> Path:
        """The library's folder: the setting, or the user's data folder. Raises ConfigError where there is none."""
        from platformdirs import user_data_path

        try:
            path = self.library or user_data_path("rag", appauthor=False) / "library"
            path = path.expanduser()
        except RuntimeError as error:  # neither HOME nor an entry in the password file
            raise ConfigError(
                "This user has no home folder for the library.", hint="Set HOME, or RAG_LIBRARY to a folder."
            ) from error
        try:
            str(path).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"The library's path {str(path)!a} is no UTF-8, which its index needs.",
                hint="Choose a folder of another name (RAG_LIBRARY).",
            ) from error
        return path

    @property
    def library_place(self) -> str:
        """Where the library is, for people: its folder, or its database without the password."""
        if not self.database:
            return str(self.library_path)
        parts = urlsplit(self.database)
        return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def answer_tokens(self) -> int:
        """The longest answer in tokens: ``num_predict``, at most half of the window ``num_ctx``."""
        return min(self.num_predict, self.num_ctx // 2)

    def with_(self, **changes: Any) -> Config:
        """A copy with these settings; ``None`` leaves a setting as it is. Unknown names raise ConfigError."""
        given = {name: value for name, value in changes.items() if value is not None}
        return _apply(self, given, "argument")

    def with_file(self, path: Path) -> Config:
        """A copy with the settings of a TOML file on top. Raises ConfigError naming the file."""
        return _apply(self, _read_toml(path), str(path))


_NO_SETTINGS = (
    "RAG_CONFIG", "RAG_API_KEYS", "RAG_OIDC_ISSUER", "RAG_OIDC_CLIENT", "RAG_OIDC_SECRET", "RAG_SOAK",
)  # fmt: skip
"""Variables of this program that are no settings: where the settings are, keys and the identity provider, which no file
may hold, and the long form of its tests."""


def load_config(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Config:
    """Read ``rag.toml`` in ``directory`` (default: the working directory), then ``RAG_*``, then ``flags``.

    Raises ConfigError naming the file, variable or flag for an unknown key, a wrong type or a value out of range.
    ``RAG_CONFIG`` names another file; a limit is ``RAG_LIMITS_FILE_MB`` or ``[limits] file_mb``.
    """
    environ = os.environ if environ is None else environ
    config = Config()
    path = settings_file(environ, directory)
    if environ.get("RAG_CONFIG") or path.is_file():
        config = _apply(config, _read_toml(path), str(path))
    config = _apply(config, _from_environment(environ), "the environment")
    return config.with_(**dict(flags or {}))


def settings_file(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Path:
    """The settings file that is read, whether it is there or not: ``RAG_CONFIG``, else ``rag.toml`` in the folder."""
    named = (os.environ if environ is None else environ).get("RAG_CONFIG")
    if named:
        return Path(named).expanduser()
    try:
        return (directory or Path.cwd()) / CONFIG_NAME
    except FileNotFoundError:  # the working folder has been deleted
        return Path(CONFIG_NAME)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"Cannot read the settings file {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    known = {f"RAG_{f.name.upper()}": f.name for f in fields(Config) if f.name != "limits"}
    limits = {f"RAG_LIMITS_{f.name.upper()}": f.name for f in fields(Limits)}
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith("RAG_") or variable in _NO_SETTINGS or text == "":
            continue
        if variable in known:
            values[known[variable]] = text
        elif variable in limits:
            values.setdefault("limits", {})[limits[variable]] = text
        else:
            raise ConfigError(
                f"The variable {variable} is no setting of this program.{_suggest(variable, [*known, *limits])}",
                hint="Unset it, or correct its name; docs/settings.md lists the settings.",
            )
    return values


def _apply(config: Config, values: Mapping[str, Any], origin: str) -> Config:
    hints = get_type_hints(Config)
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise ConfigError(
                f"Unknown setting {name!r} in {origin}.{_suggest(name, list(hints))}",
                hint="The README lists the settings.",
            )
        if name == "limits" and not isinstance(value, Limits):
            changes[name] = _apply_limits(config.limits, value, origin)
        else:
            changes[name] = value if name == "limits" else _coerce(name, value, hints[name], origin)
    try:
        return replace(config, **changes)
    except ConfigError as error:
        raise ConfigError(f"{error} (from {origin})", hint=error.hint) from None


def _apply_limits(limits: Limits, values: Any, origin: str) -> Limits:
    if not isinstance(values, Mapping):
        raise ConfigError(f"'limits' in {origin} must be a table, not {values!r}.")
    names = [f.name for f in fields(Limits)]
    changes: dict[str, int] = {}
    for name, value in values.items():
        if name not in names:
            raise ConfigError(f"Unknown limit {name!r} in {origin}.{_suggest(name, names)}")
        number = _coerce(f"limits.{name}", value, int, origin)
        if number <= 0:
            raise ConfigError(f"limits.{name} in {origin} must be positive, not {number}.")
        changes[name] = number
    return replace(limits, **changes)


def _coerce(name: str, value: Any, kind: Any, origin: str) -> Any:
    if kind == Path | None:
        return Path(value) if isinstance(value, str | Path) else value
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in _SWITCH:
            return _SWITCH[value.lower()]
    elif kind is str and isinstance(value, str):
        return value.strip()
    elif kind in (int, float) and not isinstance(value, bool):
        try:
            return kind(value) if not (kind is int and isinstance(value, float)) else _refuse(name, value, kind, origin)
        except (TypeError, ValueError):
            pass
    return _refuse(name, value, kind, origin)


def _refuse(name: str, value: Any, kind: Any, origin: str) -> Any:
    wanted = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]
    raise ConfigError(f"{name} in {origin} must be {wanted}, not {value!r}.")


def _suggest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _check_ranges(config: Config) -> None:
    """Raise ConfigError for the first value out of its range."""
    at_least = {
        "num_ctx": 512, "num_predict": 16, "concurrency": 1, "top_k": 1, "candidates": 1,
        "passage_characters": 100, "passage_overlap": 0, "port": 0,
        "temperature": 0, "smallest_llm": 0, "document_weight": 0, "encoder_weight": 0,
        "connect_seconds": 0.1, "read_seconds": 1,
    }  # fmt: skip
    for name, least in at_least.items():
        if getattr(config, name) < least:
            raise ConfigError(f"{name} must be at least {least}, not {getattr(config, name)}.")
    if not 0 <= config.fusion_weight <= 1:
        raise ConfigError(f"fusion_weight must be between 0 and 1, not {config.fusion_weight}.")
    if not (config.abstain_below == -1 or 0 <= config.abstain_below <= 1):
        raise ConfigError(f"abstain_below must be between 0 and 1 (or -1 for the default), not {config.abstain_below}.")
    if config.passage_overlap * 2 > config.passage_characters:
        raise ConfigError(f"passage_overlap must be at most half of passage_characters, not {config.passage_overlap}.")
    if config.port > 65535:
        raise ConfigError(f"port must be at most 65535, not {config.port}.")
    if config.database and not config.database.startswith(DATABASES):
        raise ConfigError("database must be the address of a PostgreSQL database: postgresql://USER@HOST/NAME.")
    if config.chroma and not _SERVER.fullmatch(config.chroma):
        raise ConfigError("chroma must be the address of a Chroma server: http://HOST:PORT.")
    if config.addresses not in ("off", "public", "private"):
        raise ConfigError(f"addresses must be 'off', 'public' or 'private', not {config.addresses!r}.")
    if config.prompt not in ("auto", "full", "small"):
        raise ConfigError(f"prompt must be 'auto', 'full' or 'small', not {config.prompt!r}.")
    if config.verify not in ("rules", "llm") and not _OF_OLLAMA.fullmatch(config.verify):
        raise ConfigError(
            f"verify must be 'rules', 'llm' or 'ollama:NAME', not {config.verify!r}.",
            hint='A model trained to check claims is best: verify = "ollama:bespoke-minicheck".',
        )
    if config.ocr not in ("auto", "off", "rapidocr", "tesseract"):
        raise ConfigError(f"ocr must be 'auto', 'off', 'rapidocr' or 'tesseract', not {config.ocr!r}.")
    if config.ocr_languages and not _LANGUAGES.fullmatch(config.ocr_languages):
        raise ConfigError(
            f"ocr_languages must be names of Tesseract's languages, as eng+deu, not {config.ocr_languages!r}."
        )
    names = {
        "llm": ("auto", "quotes"),
        "embedder": ("auto", "builtin", "multilingual"),
        "encoder": ("builtin", "off"),
    }
    for name, plain in names.items():
        value = getattr(config, name)
        if value not in plain and not _NAMED.fullmatch(value):
            raise ConfigError(
                f"{name} must be {', '.join(map(repr, plain))}, 'ollama:NAME' or 'openai:MODEL@URL', not {value!r}.",
                hint="For a model of Ollama write its name after 'ollama:', as `ollama list` shows it; for another "
                "server openai:MODEL@http://host:port/v1.",
            )


def describe(config: Config) -> dict[str, Any]:
    """The settings as JSON-ready values."""
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(config).items()}
