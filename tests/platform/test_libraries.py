"""Libraries of others do what was asked of them, and nothing else."""

from __future__ import annotations

import sys

from gradio import Dropdown
from gradio.component_meta import create_or_modify_pyi


def test_gradio_is_whole_and_writes_no_stubs_beside_its_sources() -> None:
    assert "change" in {str(event) for event in Dropdown.EVENTS}
    assert create_or_modify_pyi(Dropdown, "No such class", []) is None  # its own would not find it, and say so
    assert not any("Stubs" in type(finder).__name__ for finder in sys.meta_path)
