"""The queue: files are taken once, in order, given back by whoever is lost, and given up in the end."""

from __future__ import annotations

import threading

import pytest

from rag.errors import JobLost
from rag.store.truth import ATTEMPTS, Claim, Collection, NewDocument, NewJob, Truth
from tests.store.material import cut, embed_all, parsed

LONG = 1e6
"""A lease that does not end in a test; 0 ends at once."""


def job(name: str, *, origin: str = "", same_name: str = "keep", data: bytes = b"text", **metadata: str) -> NewJob:
    where = origin or f"/docs/{name}"
    return NewJob(name, where, name, f"/here/{name}", "sig", 1.5, same_name, metadata, data)


def taken(truth: Truth, worker: str = "w", lease: float = LONG, most: int = 8, most_bytes: int = 1000) -> list[str]:
    return [one.name for one in truth.jobs.claim(worker, lease, most, most_bytes)]


def test_files_are_taken_once_as_they_were_put_in(truth: Truth, collection: Collection) -> None:
    truth.jobs.add(collection.id, "b", [job("a.md", data=b"\0\xff"), job("b.md", year="2024"), job("c.md")])
    (first,) = truth.jobs.claim("one", LONG, 8, 1000)
    assert (first.collection, first.source, first.origin, first.name, first.path, first.signature) == (
        "default", "a.md", "/docs/a.md", "a.md", "/here/a.md", "sig",
    )  # fmt: skip
    assert (first.modified, first.same_name, first.metadata, first.size, first.attempts) == (1.5, "keep", {}, 2, 1)
    assert truth.jobs.data(first.claim) == b"\0\xff"
    assert taken(truth, "two") == ["b.md"], "what is put in alike is read together, and nothing else"
    assert taken(truth, "three") == ["c.md"] and taken(truth) == []
    facts = truth.jobs.facts(LONG)
    assert (facts.waiting, facts.running, facts.dead, facts.workers) == (0, 3, 0, 0)
    truth.jobs.renew("one", "here:1", [first.claim.number])
    assert truth.jobs.facts(LONG).workers == 1


def test_no_more_are_taken_than_fit(truth: Truth, collection: Collection) -> None:
    truth.jobs.add(collection.id, "b", [job(f"{n}.md", data=b"x" * 400) for n in range(4)])
    assert taken(truth, most=3) == ["0.md", "1.md"], "a third would be more than a thousand bytes"
    truth.jobs.add(collection.id, "b", [job("huge.md", data=b"x" * 5000)])
    assert taken(truth, most=1) == ["2.md"] and taken(truth) == ["3.md"] and taken(truth) == ["huge.md"]


def test_the_older_version_of_a_file_is_done_first(truth: Truth, collection: Collection) -> None:
    truth.jobs.add(collection.id, "b", [job("a.md", data=b"old")])
    truth.jobs.add(collection.id, "b", [job("a.md", data=b"new"), job("a.md", origin="/other/a.md"), job("z.md")])
    (old,) = truth.jobs.claim("one", LONG, 1, 1000)
    assert taken(truth, "two") == ["z.md"], "neither the newer version nor another file of that name"
    truth.jobs.finish(old.claim, [])
    (new,) = truth.jobs.claim("two", LONG, 8, 1000)
    assert truth.jobs.data(new.claim) == b"new"


def test_what_came_of_a_batch_is_told_once(truth: Truth, collection: Collection) -> None:
    truth.jobs.add(collection.id, "mine", [job("a.md"), job("b.md")])
    truth.jobs.add(collection.id, "other", [job("c.md")])
    for one in truth.jobs.claim("w", LONG, 8, 1000):
        truth.jobs.finish(one.claim, [{"source": one.name, "status": "added"}])
    assert truth.jobs.unfinished("mine") == 2
    assert truth.jobs.collect("mine", 1) == (("/here/a.md", ({"source": "a.md", "status": "added"},)),)
    assert [path for path, _ in truth.jobs.collect("mine", 10)] == ["/here/b.md"]
    assert truth.jobs.collect("mine", 10) == () and truth.jobs.unfinished("mine") == 0
    assert truth.jobs.unfinished("other") == 1


def test_a_lost_worker_stores_nothing_and_its_file_goes_to_another(truth: Truth, collection: Collection) -> None:
    truth.jobs.add(collection.id, "b", [job("a.md")])
    (lost,) = truth.jobs.claim("lost", LONG, 8, 1000)
    assert taken(truth, "next", lease=LONG) == []
    (again,) = truth.jobs.claim("next", 0, 8, 1000)
    assert again.attempts == 2
    document = parsed("some text")
    passages = cut(document)
    for claim in (lost.claim, Claim(10**6, "next")):
        new = NewDocument("/docs/a.md", "a.md", document, passages, embed_all(passages), claim=claim)
        with pytest.raises(JobLost):
            truth.documents.put(collection, new)
        with pytest.raises(JobLost):
            truth.jobs.finish(claim, [])
        with pytest.raises(JobLost):
            truth.jobs.fail(claim, "", 0)
        with pytest.raises(JobLost):
            truth.jobs.data(claim)
    assert truth.documents.list(collection.id) == ()
    truth.jobs.renew("next", "here:1", [again.claim.number])
    new = NewDocument("/docs/a.md", "a.md", document, passages, embed_all(passages), claim=again.claim)
    assert truth.documents.put(collection, new).source == "a.md"


def test_what_goes_wrong_is_tried_again_alone_and_given_up_in_the_end(truth: Truth, collection: Collection) -> None:
    truth.jobs.add(collection.id, "b", [job("a.md"), job("b.md")])
    for attempt in range(1, ATTEMPTS + 1):
        found = truth.jobs.claim("w", LONG, 8, 1000)
        assert [one.name for one in found] == (["a.md", "b.md"] if attempt == 1 else ["a.md"])
        assert truth.jobs.fail(found[0].claim, "no model", 0) is (attempt == ATTEMPTS)
        for other in found[1:]:
            truth.jobs.finish(other.claim, [])
    (dead,) = truth.jobs.dead()
    assert (dead.source, dead.collection, dead.attempts, dead.error) == ("a.md", "default", ATTEMPTS, "no model")
    assert taken(truth) == [] and truth.jobs.facts(LONG).dead == 1
    ((_, told),) = [one for one in truth.jobs.collect("b", 10) if one[1]]
    assert told[0]["status"] == "failed" and told[0]["error"] == "no model" and told[0]["code"] == "dead-letter"
    assert truth.jobs.revive() == 1 and truth.jobs.dead() == ()
    (one,) = truth.jobs.claim("w", LONG, 8, 1000)
    assert truth.jobs.data(one.claim) == b"text", "its bytes were kept"
    truth.jobs.leave("w", tried=False)
    (one,) = truth.jobs.claim("w", LONG, 8, 1000)
    assert one.attempts == 1
    assert not truth.jobs.fail(one.claim, "later", LONG) and taken(truth) == [], "not before its time"
    assert truth.jobs.bury() == 0


def test_a_file_that_kills_its_workers_is_given_up(truth: Truth, collection: Collection) -> None:
    truth.jobs.add(collection.id, "b", [job("bomb.pdf")])
    for number in range(ATTEMPTS):
        assert taken(truth, f"w{number}", lease=0) == ["bomb.pdf"]
    assert taken(truth, "last", lease=0) == []
    (dead,) = truth.jobs.dead()
    assert "ended before" in dead.error and truth.jobs.bury() == 1 and truth.jobs.dead() == ()


def test_many_take_at_once_and_none_twice(truth: Truth, collection: Collection) -> None:
    truth.jobs.add(collection.id, "b", [job(f"{n}.md") for n in range(40)])
    found: list[str] = []

    def take(worker: str) -> None:
        while names := taken(truth, worker, most=3):
            found.extend(names)

    threads = [threading.Thread(target=take, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"{n}.md" for n in range(40))


def test_a_deleted_collection_takes_its_jobs_along(truth: Truth, collection: Collection) -> None:
    truth.jobs.add(collection.id, "b", [job("a.md")])
    truth.collections.delete("default")
    assert truth.jobs.facts(LONG).waiting == 0 and truth.jobs.unfinished("b") == 0
