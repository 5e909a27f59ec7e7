"""A gold question set as a gate: the exit code says whether answers got worse."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rag import Library
from rag.gold import load_gold, run, verdict

GOLD = """version: 1
questions:
- id: nato-ally
  question: In which year did Pakistan become a major non-NATO ally?
  facts: [{id: year, number: 2004}]
  sources: [{file: khan-visit-to-washington.md}]
  thresholds: {fact_recall: 1.0}
"""

with TemporaryDirectory() as folder, Library.open(Path(folder, "library"), llm="quotes") as library:
    library.ingest(["seeds"])
    gold = Path(folder, "gold.yaml")
    gold.write_text(GOLD, encoding="utf-8")
    result = verdict(run(load_gold(gold), library))
    print(result.headline)
    sys.exit(int(result.code))
