"""Documents in, a question out, every sentence with its proof."""

import sys
from tempfile import TemporaryDirectory

from rag import Library

question = " ".join(sys.argv[1:]) or "How many people did Pakistan lose in the fight against terrorism?"
with TemporaryDirectory() as folder, Library.open(folder, llm="quotes") as library:
    report = library.ingest(["seeds"])
    print(f"{report.count('added')} documents")
    answer = library.ask(question)
    if answer.abstained:
        print("Not in the documents.")
    for sentence in answer.sentences:
        print(f"[{sentence.support}] {sentence.text}")
    for citation in answer.citations:
        print(f"  [{citation.marker}] {citation.source}, characters {citation.start}-{citation.end}")
