"""The queue: files that wait for workers. A row is taken in a writing transaction, of which there is one at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rag.errors import JobLost
from rag.store.tables.connection import Connection, Database
from rag.store.truth import ATTEMPTS, Claim, DeadLetter, Job, NewJob, QueueFacts

_KEPT_SECONDS = 86_400.0
"""What came of a file is kept for so long where nobody asks."""

_LOST = "the worker that read it ended before it was done"

_FREE = """j.state = 'waiting' AND j.due <= ?
    AND NOT EXISTS (SELECT 1 FROM job o WHERE o.collection_id = j.collection_id AND o.origin = j.origin AND o.id < j.id
        AND o.state IN ('waiting', 'running'))
    AND NOT EXISTS (SELECT 1 FROM job n WHERE n.collection_id = j.collection_id AND n.name = j.name AND n.id < j.id
        AND n.state IN ('waiting', 'running'))"""

_COLUMNS = """j.id, c.name, j.source, j.origin, j.name, j.path, j.signature, j.modified, j.same_name, j.metadata,
    j.size, j.attempts FROM job j JOIN collection c ON c.id = j.collection_id"""


class JobsTables:
    """``rag.store.truth.Jobs`` in tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, collection_id: int, batch: str, jobs: Sequence[NewJob]) -> None:
        with self._database.writing() as connection:
            connection.execute("DELETE FROM job WHERE state = 'ended' AND ended < ?", (time.time() - _KEPT_SECONDS,))
            for one in jobs:
                number = connection.insert(
                    "INSERT INTO job (collection_id, batch, source, origin, name, path, signature, modified, same_name,"
                    " metadata, size, state, attempts, due, worker, events, error, ended, collected)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', 0, 0, '', '[]', '', 0, 0)",
                    (collection_id, batch, one.source, one.origin, one.name, one.path, one.signature, one.modified,
                     one.same_name, json.dumps(one.metadata), len(one.data)),
                )  # fmt: skip
                connection.execute("INSERT INTO job_file VALUES (?, ?)", (number, one.data))

    def claim(self, worker: str, lease: float, most: int, most_bytes: int) -> tuple[Job, ...]:
        now = time.time()
        with self._database.reading() as connection:  # most looks find nothing, and need no turn at writing
            if not self._something(connection, now, lease):
                return ()
        with self._database.writing() as connection:
            self._take_back(connection, now, lease)
            rows = connection.execute(f"SELECT {_COLUMNS} WHERE {_FREE} ORDER BY j.id LIMIT ?", (now, most)).fetchall()
            taken: list[Job] = []
            for row in rows:
                job = _job(row, worker)
                if taken and not _fits(job, taken, most_bytes):
                    break
                taken.append(job)
            connection.executemany(
                "UPDATE job SET state = 'running', worker = ?, due = ?, attempts = attempts + 1 WHERE id = ?",
                [(worker, now, job.claim.number) for job in taken],
            )
        return tuple(taken)

    def data(self, claim: Claim) -> bytes:
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT f.data FROM job_file f JOIN job j ON j.id = f.job_id"
                " WHERE j.id = ? AND j.worker = ? AND j.state = 'running'",
                claim,
            ).fetchone()
        if row is None:
            raise _lost(claim)
        return bytes(row[0])

    def renew(self, worker: str, host: str, numbers: Sequence[int]) -> None:
        now = time.time()
        with self._database.writing() as connection:
            connection.execute("DELETE FROM worker WHERE seen < ?", (now - _KEPT_SECONDS,))
            connection.execute(
                "INSERT INTO worker VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
                (worker, host, now),
            )
            connection.executemany(
                "UPDATE job SET due = ? WHERE id = ? AND state = 'running' AND worker = ?",
                [(now, number, worker) for number in numbers],
            )

    def leave(self, worker: str, *, tried: bool) -> None:
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE job SET state = 'waiting', worker = '', due = 0, attempts = attempts - ?"
                " WHERE state = 'running' AND worker = ?",
                (int(not tried), worker),
            )
            connection.execute("DELETE FROM worker WHERE id = ?", (worker,))

    def finish(self, claim: Claim, events: Sequence[Mapping[str, Any]]) -> None:
        with self._database.writing() as connection:
            expect_claimed(connection, claim)
            connection.execute(
                "UPDATE job SET state = 'ended', events = ?, ended = ? WHERE id = ?",
                (json.dumps(events), time.time(), claim.number),
            )
            connection.execute("DELETE FROM job_file WHERE job_id = ?", (claim.number,))

    def fail(self, claim: Claim, error: str, wait: float) -> bool:
        now = time.time()
        with self._database.writing() as connection:
            expect_claimed(connection, claim)
            connection.execute(
                f"UPDATE job SET state = CASE WHEN attempts < {ATTEMPTS} THEN 'waiting' ELSE 'dead' END, worker = '',"
                " due = ?, error = ?, ended = ? WHERE id = ?",
                (now + wait, error, now, claim.number),
            )
            row = connection.execute("SELECT state FROM job WHERE id = ?", (claim.number,)).fetchone()
        return bool(row[0] == "dead")

    def collect(self, batch: str, limit: int) -> tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]:
        which = "batch = ? AND state IN ('ended', 'dead') AND collected = 0 ORDER BY ended, id LIMIT ?"
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT id, path, source, state, events, error FROM job WHERE {which}", (batch, limit)
            ).fetchall()
        if rows:
            with self._database.writing() as connection:
                connection.executemany("UPDATE job SET collected = 1 WHERE id = ?", [(row[0],) for row in rows])
        return tuple((str(path), _events(*told)) for _, path, *told in rows)

    def unfinished(self, batch: str) -> int:
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT count(*) FROM job WHERE batch = ? AND (state IN ('waiting', 'running') OR collected = 0)",
                (batch,),
            ).fetchone()
        return int(row[0])

    def facts(self, lease: float) -> QueueFacts:
        with self._database.reading() as connection:
            rows = connection.execute("SELECT state, count(*) FROM job GROUP BY state").fetchall()
            workers = connection.execute(
                "SELECT count(*) FROM worker WHERE seen > ?", (time.time() - lease,)
            ).fetchone()[0]
        counted = dict(rows)
        waiting, running, dead = (int(counted.get(state, 0)) for state in ("waiting", "running", "dead"))
        return QueueFacts(waiting, running, dead, int(workers))

    def dead(self) -> tuple[DeadLetter, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT j.id, c.name, j.source, j.attempts, j.error FROM job j"
                " JOIN collection c ON c.id = j.collection_id WHERE j.state = 'dead' ORDER BY j.id"
            ).fetchall()
        return tuple(DeadLetter(*row) for row in rows)

    def revive(self) -> int:
        with self._database.writing() as connection:
            return connection.execute(
                "UPDATE job SET state = 'waiting', attempts = 0, due = 0, collected = 0 WHERE state = 'dead'"
            ).rowcount

    def bury(self) -> int:
        with self._database.writing() as connection:
            return connection.execute("DELETE FROM job WHERE state = 'dead'").rowcount

    @staticmethod
    def _something(connection: Connection, now: float, lease: float) -> bool:
        row = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM job WHERE state = 'waiting' AND due <= ?)"
            " OR EXISTS (SELECT 1 FROM job WHERE state = 'running' AND due <= ?)",
            (now, now - lease),
        ).fetchone()
        return bool(row[0])

    @staticmethod
    def _take_back(connection: Connection, now: float, lease: float) -> None:
        """Have the files of workers that are gone wait again, or give them up."""
        connection.execute(
            f"UPDATE job SET state = CASE WHEN attempts < {ATTEMPTS} THEN 'waiting' ELSE 'dead' END, worker = '',"
            " error = ?, ended = ? WHERE state = 'running' AND due <= ?",
            (_LOST, now, now - lease),
        )


def expect_claimed(connection: Connection, claim: Claim) -> None:
    """Raise JobLost unless the worker still has its job, in the state that ``connection`` sees."""
    row = connection.execute("SELECT 1 FROM job WHERE id = ? AND worker = ? AND state = 'running'", claim).fetchone()
    if row is None:
        raise _lost(claim)


def _lost(claim: Claim) -> JobLost:
    return JobLost(f"The file number {claim.number} of the queue is no longer this worker's.")


def _job(row: Sequence[Any], worker: str) -> Job:
    number, collection, source, origin, name, path, signature, modified, same_name, metadata, size, attempts = row
    return Job(
        source, origin, name, path, signature, modified, same_name, json.loads(metadata),
        Claim(int(number), worker), collection, int(size), int(attempts) + 1,
    )  # fmt: skip


def _fits(job: Job, taken: Sequence[Job], most_bytes: int) -> bool:
    """Whether a file may be read together with these."""
    together = job.attempts == taken[0].attempts == 1 and _way(job) == _way(taken[0])
    return together and sum(one.size for one in taken) + job.size <= most_bytes


def _way(job: Job) -> tuple[object, ...]:
    """How a file is put in: those of one way are read together."""
    return job.collection, job.same_name, json.dumps(job.metadata, sort_keys=True)


def _events(source: str, state: str, events: str, error: str) -> tuple[Mapping[str, Any], ...]:
    if state == "dead":
        hint = "`rag queue` lists such files, `rag queue --retry` has them tried again."
        return ({"source": source, "status": "failed", "error": error, "hint": hint, "code": "dead-letter"},)
    return tuple(json.loads(events))
