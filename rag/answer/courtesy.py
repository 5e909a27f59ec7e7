"""Thanks and greetings: said to a person, and no question about the documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.models.encoder import Encoder
from rag.types import Answer, Outcome

REPLY = "That is no question about the documents, so nothing was searched."
EXAMPLES: Sequence[str] = (
    "Thank you!", "Thanks a lot, that was helpful.", "Hello!", "Good morning.", "Goodbye.", "Great, okay.",
)  # fmt: skip
ALIKE = 0.45
"""The cosine from which a message is like one of the examples. Measured: of 565 real search and conversation questions
the nearest has 0.31; "Danke!" has 0.44, "thank you very much" 0.60, "Hello there" 0.74."""


def is_courtesy(encoder: Encoder, message: str) -> bool:
    """Whether a message asks nothing: it is like a thank-you, a greeting or a good-bye. A question mark asks."""
    if not message.strip() or message.rstrip().endswith(("?", "？", "؟")):
        return False
    examples = np.array([encoder.embed_question(example) for example in EXAMPLES])
    return bool((examples @ encoder.embed_question(message)).max() >= ALIKE)


def reply_to(message: str) -> Answer:
    """The answer to a courtesy: nothing was searched."""
    return Answer(
        question=message, text=REPLY, abstained=True, reason="the message asks nothing", outcome=Outcome.ABSENT
    )
