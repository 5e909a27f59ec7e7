"""Everything that can change an answer, as JSON-ready values, so that two runs can be told apart."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.config import Config
from rag.prompts import VARIABLES, load_prompt
from rag.store.truth import Collection, Truth

if TYPE_CHECKING:
    from llama_index.core.llms.llm import LLM

_PACKAGES = (
    "rag-cited",
    "llama-index-core",
    "chromadb",
    "onnxruntime",
    "wordllama",
    "pypdfium2",
    "semantic-text-splitter",
    "sentencex",
)


def fingerprint(config: Config, truth: Truth, collection: Collection, llm: LLM | None, model: str) -> Mapping[str, Any]:
    """Model, embedder, options, prompts, corpus, parsed text, splitter, retrieval settings, versions and commit."""
    documents = truth.documents.list(collection.id)
    corpus = hashlib.sha256()
    parsed = hashlib.sha256()
    for document in documents:
        corpus.update(f"{document.source}\0{document.sha256}\n".encode())
        parsed.update(truth.documents.text(document.id).encode("utf-8", "replace"))
    return {
        "model": {"name": model, "digest": str(getattr(llm, "digest", ""))},
        "server": str(getattr(llm, "server_version", "")),
        "embedder": {
            "name": collection.embedder.name,
            "digest": collection.embedder.digest,
            "query_prefix": collection.embedder.query_prefix,
            "document_prefix": collection.embedder.document_prefix,
        },
        "options": {
            "num_ctx": config.num_ctx,
            "num_predict": config.num_predict,
            "temperature": config.temperature,
            "seed": config.seed,
            "verify": config.verify,
            **({"verify_all": True} if config.verify_all else {}),
        },
        "prompts": {name: load_prompt(name, config.prompts).digest for name in sorted(VARIABLES)},
        # The number of passages tells apart libraries whose documents were cut to other sizes.
        "corpus": {
            "documents": len(documents),
            "passages": sum(document.passages for document in documents),
            "sha256": corpus.hexdigest(),
        },
        "parsed_text": parsed.hexdigest(),
        "splitter": collection.splitter,
        "retrieval": {
            "top_k": config.top_k,
            "candidates": config.candidates,
            "fusion_weight": collection.settings.get("fusion_weight", config.fusion_weight),
            "document_weight": config.document_weight,
            "encoder": config.encoder,
            "encoder_weight": config.encoder_weight,
            "abstain_below": collection.settings.get("abstain_below", config.abstain_below),
        },
        "packages": {name: _version(name) for name in _PACKAGES},
        "commit": _commit(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """The checkout's commit; empty for an installed package or without git."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
