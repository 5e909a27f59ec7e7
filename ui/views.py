"""What each browser tab shows: kept for the tabs that showed something last."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Shown = TypeVar("Shown")

MOST_VIEWS = 500


class Views(Generic[Shown]):
    """What each tab shows, by the tab's name; of more than ``MOST_VIEWS`` tabs those are forgotten that showed nothing
    new for longest."""

    def __init__(self) -> None:
        self._shown: OrderedDict[str, Shown] = OrderedDict()

    def __contains__(self, view: str) -> bool:
        return view in self._shown

    def get(self, view: str) -> Shown | None:
        """What a tab shows; None for one that is not known."""
        return self._shown.get(view)

    def show(self, view: str, shown: Shown) -> None:
        """From now on the tab shows this."""
        self._shown[view] = shown
        self._shown.move_to_end(view)
        while len(self._shown) > MOST_VIEWS:
            self._shown.popitem(last=False)

    def is_shown(self, shown: Shown) -> bool:
        """Whether a tab shows this very thing."""
        return any(one is shown for one in self._shown.values())
