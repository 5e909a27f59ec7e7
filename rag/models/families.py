"""What is known about families of models: prefixes for embeddings, how to keep a model from thinking, favourites.

A family is recognised by the start of the model's own name (the part after the last slash, before the tag).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Template

_SEARCH = "Represent this sentence for searching relevant passages: "


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What to put before a question and before a passage, as the model was trained with."""

    query: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True)
class Verifying:
    """A family of models trained for nothing but to say yes or no: whether a passage supports a claim.

    ``messages`` are pairs of a role and a template with ``$passage`` and ``$claim``, as the family was trained.
    ``yes_supports`` tells what its yes means.
    """

    own_name: str
    messages: tuple[tuple[str, str], ...]
    yes_supports: bool

    def asked(self, passage: str, claim: str) -> list[tuple[str, str]]:
        """The messages about this passage and claim, each on one line, so that neither can pass for the other."""
        given = {"passage": " ".join(passage.split()), "claim": " ".join(claim.split())}
        return [(role, Template(text).substitute(given)) for role, text in self.messages]


@dataclass(frozen=True, slots=True)
class Recommended:
    """A model worth having: its download in GB, and the memory in GB of a machine on which it runs well."""

    name: str
    size_gb: float
    memory_gb: int


# First match wins, so a longer name stands before the shorter one it begins with. Sources: the models' own cards.
_PREFIXES: tuple[tuple[str, Prefixes], ...] = (
    ("nomic-embed-text", Prefixes("search_query: ", "search_document: ")),
    ("embeddinggemma", Prefixes("task: search result | query: ", "title: none | text: ")),
    (
        "qwen3-embedding",
        Prefixes("Instruct: Given a question, retrieve relevant passages that answer the question\nQuery:"),
    ),
    ("mxbai-embed", Prefixes(_SEARCH)),
    ("bge-m3", Prefixes()),
    ("bge-", Prefixes(_SEARCH)),
    ("snowflake-arctic-embed2", Prefixes("query: ")),
    ("snowflake-arctic-embed-l-v2", Prefixes("query: ")),
    ("snowflake-arctic-embed-m-v2", Prefixes("query: ")),
    ("snowflake-arctic-embed", Prefixes(_SEARCH)),
    ("multilingual-e5", Prefixes("query: ", "passage: ")),
    ("all-minilm", Prefixes()),
)

# Families that always think; the least they can do is a level.
_THINK_LEVEL: tuple[tuple[str, str], ...] = (("gpt-oss", "low"),)

# Bespoke's MiniCheck (Tang et al. 2024, arXiv:2404.10774; ollama.com/library/bespoke-minicheck), whose instructions the
# server adds itself, and IBM's Granite Guardian (arXiv:2412.07724; ollama.com/library/granite3-guardian), whose
# template has a role for the context and whose yes says that the risk is there.
_VERIFYING: tuple[Verifying, ...] = (
    Verifying(r"(?:bespoke-)?minicheck", (("user", "Document: $passage\nClaim: $claim"),), True),
    Verifying(
        r"granite[\d.]*-guardian",
        (("system", "groundedness"), ("context", "$passage"), ("assistant", "$claim")),
        False,
    ),
)

# Architectures of embedding models, for servers too old to report capabilities.
EMBEDDING_ARCHITECTURES = ("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "t5encoder", "modern-bert")

CHAT_FAVOURITES: tuple[str, ...] = (
    "qwen3.5:9b", "qwen3.5:4b", "gemma4:e4b", "gpt-oss:20b", "gemma3:12b", "qwen3:8b", "qwen3:4b-instruct",
    "gemma3:4b", "qwen3:4b", "llama3.1:8b", "llama3.2:3b",
)  # fmt: skip
EMBEDDING_FAVOURITES: tuple[str, ...] = (
    "embeddinggemma", "qwen3-embedding:0.6b", "nomic-embed-text", "bge-m3", "snowflake-arctic-embed2",
    "mxbai-embed-large",
)  # fmt: skip

RECOMMENDED: tuple[Recommended, ...] = (
    Recommended("llama3.2:3b", 2.0, 8),
    Recommended("qwen3.5:4b", 3.4, 8),
    Recommended("qwen3.5:9b", 6.6, 16),
    Recommended("gemma3:12b", 8.1, 16),
    Recommended("gpt-oss:20b", 14.0, 24),
    Recommended("gemma3:27b", 17.0, 24),
)
RECOMMENDED_EMBEDDERS: tuple[Recommended, ...] = (
    Recommended("nomic-embed-text", 0.3, 4),
    Recommended("embeddinggemma", 0.6, 8),
)
DEFAULT_CHAT_PULL = "qwen3.5:4b"


def family_name(name: str) -> str:
    """The model's own name in lower case: ``hf.co/org/Nomic-Embed:Q4`` gives ``nomic-embed``."""
    return name.strip().lower().rsplit("/", 1)[-1].split(":", 1)[0]


def prefixes_for(name: str) -> Prefixes:
    """The prefixes of the model's family; both empty for an unknown one."""
    own = family_name(name)
    return next((prefixes for start, prefixes in _PREFIXES if own.startswith(start)), Prefixes())


def verifying_family(name: str) -> Verifying | None:
    """How a model that was trained to check claims is asked; None for a model that was not."""
    own = family_name(name)
    return next((family for family in _VERIFYING if re.match(family.own_name, own)), None)


def think_setting(name: str) -> bool | str:
    """What to send as ``think`` so that the model thinks as little as it can."""
    own = family_name(name)
    return next((level for start, level in _THINK_LEVEL if own.startswith(start)), False)


def recommended_lines() -> tuple[str, ...]:
    """The models worth having, a line for each size of memory: ``8 GB: llama3.2:3b (2 GB), qwen3.5:4b (3.4 GB)``."""
    lines = []
    for memory in sorted({model.memory_gb for model in RECOMMENDED}):
        models = ", ".join(f"{m.name} ({m.size_gb:g} GB)" for m in RECOMMENDED if m.memory_gb == memory)
        lines.append(f"{memory}{'+' if memory == max(m.memory_gb for m in RECOMMENDED) else ''} GB: {models}")
    return tuple(lines)


def canonical(name: str) -> str:
    """The name for comparing, as Ollama matches it: case, default registry, namespace and tag do not count."""
    own = name.strip().lower()
    for default in ("registry.ollama.ai/", "library/"):
        own = own.removeprefix(default)
    return own if ":" in own.rsplit("/", 1)[-1] else f"{own}:latest"


def is_cloud_name(name: str) -> bool:
    """Whether the name says that the model runs at ollama.com: the tag ``cloud``, or an ending ``-cloud``."""
    return name.strip().lower().endswith((":cloud", "-cloud"))
