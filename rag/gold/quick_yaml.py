"""YAML nodes by libyaml, eight times as fast as in Python; imported only where PyYAML was built with it."""

from __future__ import annotations

from typing import Any

from yaml.composer import Composer
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.resolver import Resolver

from rag.gold.nodes import refuse_reference


class QuickLoader(Composer, CParser, Resolver):
    """Python's composer over libyaml's events. Its complaints are terse; those of ``yaml.SafeLoader`` say more."""

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        Composer.__init__(self)
        Resolver.__init__(self)

    def compose_node(self, parent: Any, index: Any) -> Any:
        refuse_reference(self.peek_event())
        return super().compose_node(parent, index)
