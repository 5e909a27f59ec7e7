"""A file of questions, one a line, into JSON lines: ``python examples/batch.py < questions.txt``."""

import json
import sys
from tempfile import TemporaryDirectory

from rag import Library

questions = [line.strip() for line in sys.stdin if line.strip()] or ["Who visited Moscow?"]
with TemporaryDirectory() as folder, Library.open(folder, llm="quotes") as library:
    library.ingest(["seeds"])
    for question in questions:
        print(json.dumps(library.ask(question).to_dict(), ensure_ascii=False))
