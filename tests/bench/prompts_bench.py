"""What a prompt makes of a small model: ``python -m tests.bench prompts``.

The shipped questions that have an answer, asked of SmolLM2-135M-Instruct (see ``tests.real_model``) with each prompt of
the family, and of quotes, which need no model. Facts are those of the gold set; an answer counts where the model's own
words hold one, not where quotes stood in. The last line asks twice: at temperature 0 the same must come.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rag import Library
from rag.gold import load_gold
from rag.gold.metrics.matching import states
from rag.types import Answer
from tests import real_model
from tests.bench.tables import say
from tests.fake_ollama import FakeOllama

REPO = Path(__file__).parents[2]
QUESTIONS = 7


def main() -> None:
    """Print the table."""
    if lacking := real_model.missing():
        say(f"skipped: the package {lacking} is not installed (make live installs it)")
        return
    gold = load_gold(REPO / "tests" / "data" / "seeds.yaml").select()
    asked = [q for q in gold.questions if not q.unanswerable and not q.turns and q.facts][:QUESTIONS]
    with tempfile.TemporaryDirectory() as home, FakeOllama([real_model.served()]) as server:
        with Library.open(Path(home) / "library", llm="quotes", embedder="builtin") as library:
            library.ingest(REPO / "seeds")
        say(f"{'':24}{'answered':>10}{'facts':>8}{'cited':>8}{'refused':>9}{'other':>7}{'tokens':>8}{'s':>7}")
        for name, settings in (
            ("quotes", {"llm": "quotes"}),
            ("SmolLM2, full prompt", {"llm": f"ollama:{real_model.NAME}", "prompt": "full"}),
            ("SmolLM2, small prompt", {"llm": f"ollama:{real_model.NAME}", "prompt": "small"}),
        ):
            given: dict[str, Any] = {**settings, "ollama_host": server.url, "num_ctx": 4096, "num_predict": 128}
            with Library.open(Path(home) / "library", write=False, **given) as library:
                started = time.perf_counter()
                answers = [library.ask(question.question) for question in asked]
                seconds = (time.perf_counter() - started) / len(asked)
                row(name, answers, [question.facts for question in asked], seconds)
                if name.endswith("small prompt"):
                    again = [library.ask(question.question) for question in asked]
                    same = sum(a.text == b.text for a, b in zip(answers, again, strict=True))
                    say(f"asked again at temperature 0: {same} of {len(asked)} answers are the same")


def row(name: str, answers: list[Answer], facts: list[Any], seconds: float) -> None:
    """One line of the table."""
    own = [(a, f) for a, f in zip(answers, facts, strict=True) if not a.abstained and not a.reason]
    right = sum(all(states(fact, answer.text) for fact in wanted) for answer, wanted in own)
    cited = sum(bool(answer.citations) for answer, _ in own)
    refused = sum("found no answer" in answer.reason for answer in answers)
    tokens = sum(answer.tokens.get("prompt", 0) for answer in answers) / len(answers)
    say(
        f"{name:24}{len(own):>10}{right:>8}{cited:>8}{refused:>9}{len(answers) - len(own) - refused:>7}{tokens:>8.0f}"
        f"{seconds:>7.1f}"
    )
    sys.stdout.flush()
