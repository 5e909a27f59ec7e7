"""The words behind a citation, read back from the document: a citation is a place, not a copy."""

from tempfile import TemporaryDirectory

from rag import Library

with TemporaryDirectory() as folder, Library.open(folder, llm="quotes") as library:
    library.ingest(["seeds"])
    answer = library.ask("In which year did Pakistan become a major non-NATO ally?")
    for citation in answer.citations:
        text = library.text(citation.document_id)
        assert text[citation.start : citation.end] == citation.quote
        before, after = text[max(0, citation.start - 60) : citation.start], text[citation.end : citation.end + 60]
        print(f"{citation.source}: ...{before}>>>{citation.quote}<<<{after}...".replace("\n", " "))
