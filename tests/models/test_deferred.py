"""LlamaIndex comes by the parts that are used, and whole for whoever asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import sys, threading
from rag import Library
from rag.models.deferred import PACKAGES, defer
with Library.open(sys.argv[1], llm="quotes", embedder="builtin", write=True) as library:
    library.add("The keeper of the Skerry lighthouse is Mrs Dahl.", source="keeper")
    assert "Mrs Dahl" in library.ask("Who is the keeper of the Skerry lighthouse?").text
    assert type(library.query_engine()).__mro__[1].__name__ == "BaseQueryEngine"
spared = {"sqlalchemy", "networkx", "workflows", "fsspec.implementations"} & set(sys.modules)
assert not spared, spared
core = sys.modules[PACKAGES[0]]
mine = object()
core.global_handler = mine
found = []
threads = [threading.Thread(target=lambda: found.append((core.VectorStoreIndex, core.indices.VectorStoreIndex)))
           for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(set(found)) == 1 and len(found) == 4 and core.global_handler is mine
core.global_handler = None
from llama_index.core import *
from llama_index.core import Settings, SimpleDirectoryReader, __version__
import llama_index.core.indices
assert __version__ and Settings is core.Settings and type(core) is type(sys)
try:
    core.nothing_of_the_kind
except AttributeError as error:
    assert "nothing_of_the_kind" in str(error)
else:
    raise AssertionError
defer()
assert sys.modules[PACKAGES[0]] is core
"""


def test_an_answer_imports_parts_and_the_rest_is_there_when_asked_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, str(tmp_path)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
