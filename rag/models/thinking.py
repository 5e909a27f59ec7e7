"""Parting a model's thinking from its answer when the server did not."""

from __future__ import annotations

_OPENINGS = ("<think>", "<thinking>")
_CLOSINGS = {"<think>": "</think>", "<thinking>": "</thinking>"}


class ThinkFilter:
    """Takes ``<think>...</think>`` at the head of an answer out of it, however the tags are cut into pieces.

    Only the head is looked at, because an answer about such tags may rightly hold them. White space before the answer
    goes as well.
    """

    def __init__(self) -> None:
        self._held = ""
        self._closing = ""
        self._in_body = False

    def feed(self, text: str) -> tuple[str, str]:
        """What of the text so far can be told apart: (answer, thinking). The rest is kept for later."""
        if self._in_body:
            return text, ""
        self._held += text
        thinking = ""
        while True:
            if self._closing:
                inside, done = self._take_thinking()
                thinking += inside
                if not done:
                    return "", thinking
            head = self._held.lstrip()
            opening = next((tag for tag in _OPENINGS if head.startswith(tag)), "")
            if opening:
                self._closing = _CLOSINGS[opening]
                self._held = head[len(opening) :]
            elif any(tag.startswith(head) for tag in _OPENINGS):
                return "", thinking
            else:
                self._in_body, self._held = True, ""
                return head, thinking

    def finish(self) -> tuple[str, str]:
        """The rest, once the stream has ended: (answer, thinking)."""
        rest, self._held = self._held, ""
        return ("", rest) if self._closing else (rest.lstrip(), "")

    def _take_thinking(self) -> tuple[str, bool]:
        """Thinking up to the closing tag and True, or all but what may be the tag's beginning and False."""
        inside, tag, after = self._held.partition(self._closing)
        if tag:
            self._held, self._closing = after.lstrip(), ""
            return inside, True
        keep = next(n for n in range(len(self._closing) - 1, -1, -1) if self._held.endswith(self._closing[:n]))
        cut = len(self._held) - keep
        inside, self._held = self._held[:cut], self._held[cut:]
        return inside, False
