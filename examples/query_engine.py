"""The query engine in LlamaIndex's own terms: nodes with scores, a Response, and this program's Answer inside it."""

from tempfile import TemporaryDirectory

from rag import Library

with TemporaryDirectory() as folder, Library.open(folder, llm="quotes") as library:
    library.ingest(["seeds"])
    response = library.query_engine().query("How many terrorist attacks did Pakistan suffer in 2022?")
    for node in response.source_nodes:
        print(f"{node.score:.2f} {node.node.metadata['source']}")
    assert response.metadata is not None
    answer = response.metadata["answer"]
    print(answer.text, [citation.source for citation in answer.citations])
