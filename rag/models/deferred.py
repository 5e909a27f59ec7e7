"""LlamaIndex by the parts that are used: its packages' ``__init__`` modules import all there is, an SQL toolkit
included, which was half of the time that a question in a terminal took (1.4 s of processor time against 0.7 s).
"""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from types import ModuleType
from typing import Any

PACKAGES = ("llama_index.core", "llama_index.core.indices")
_NAMES = ("__all__", "__version__")


class _Deferred(ModuleType):
    """A package whose modules can be imported, and whose own names come with the first that is asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        self.__spec__, self.__loader__, self.__package__ = spec, spec.loader, name
        self.__file__, self.__path__ = spec.origin, list(spec.submodule_search_locations or ())
        self.__dict__["_loading"] = threading.RLock(), []
        if name == PACKAGES[0]:
            self.global_handler = None  # every model asks for it; nobody has set one yet

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _NAMES:
            raise AttributeError(name)
        lock, begun = self.__dict__["_loading"]
        with lock:
            if not begun:
                begun.append(True)
                handler = self.__dict__.get("global_handler")
                self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
                if handler is not None:
                    self.global_handler = handler
                self.__class__ = ModuleType  # type: ignore[assignment]
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self) from None


def defer() -> None:
    """Have what is imported from LlamaIndex from now on import only what it needs. Nothing changes for anybody else:
    the names of a deferred package are there when they are asked for. Does nothing once LlamaIndex is imported."""
    for name in PACKAGES:
        if name in sys.modules:
            return
        above, _, own = name.rpartition(".")
        parent = sys.modules.get(above) or __import__(above)
        module = sys.modules.setdefault(name, _Deferred(name))
        setattr(parent, own, module)
