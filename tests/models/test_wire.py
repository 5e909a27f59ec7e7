"""Places are handed on first come, first served, and none is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ServerBusy
from rag.models.wire import Slots, Ticket


def test_first_come_first_served() -> None:
    slots = Slots(["a"], 2)
    first, second, third = slots.enter(), slots.enter(), slots.enter()
    assert first.place == "a" and first.ready.is_set() and not second.ready.is_set()
    with pytest.raises(ServerBusy):
        slots.enter()
    slots.leave(first)
    assert second.place == "a" and third.place is None
    slots.leave(third)
    slots.leave(second)
    assert slots.enter().place == "a"


@given(st.lists(st.integers(0, 9), max_size=80), st.integers(1, 3), st.integers(0, 3))
def test_no_place_is_lost_or_lent_twice(steps: list[int], places: int, queue: int) -> None:
    slots = Slots(list(range(places)), queue)
    tickets: list[Ticket[int]] = []
    for step in steps:
        if step < 5 or not tickets:
            try:
                tickets.append(slots.enter())
            except ServerBusy:
                assert len(tickets) == places + queue
        else:
            slots.leave(tickets.pop(step % len(tickets)))
        lent = [ticket.place for ticket in tickets if ticket.place is not None]
        assert len(lent) == len(set(lent)) == min(places, len(tickets))
        assert all(ticket.ready.is_set() == (ticket.place is not None) for ticket in tickets)
