"""An answer as it grows. Closing the generator stops the model."""

from contextlib import closing
from tempfile import TemporaryDirectory

from rag import Library
from rag.types import Done, Retrieved, Token

with TemporaryDirectory() as folder, Library.open(folder, llm="quotes") as library:
    library.ingest(["seeds"])
    with closing(library.stream("Which port did the article wrongly call Pakistani?")) as events:
        for event in events:
            if isinstance(event, Retrieved):
                print(f"{len(event.hits)} passages")
            elif isinstance(event, Token):
                print(event.text, end="", flush=True)
            elif isinstance(event, Done):
                print(f"\nchecked: {', '.join(str(sentence.support) for sentence in event.answer.sentences)}")
