from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rag.errors import GoldError
from rag.gold import Exit, GoldSet, Run, Settings, compare, load_gold, read_run, run, verdict, write_run
from rag.gold.files.runs import RunWriter
from rag.gold.types import Fact, InvalidGold, Noise, Review, Source
from rag.library import Library
from rag.types import Answer, Turn
from tests.gold import handbook
from tests.gold.handbook import Interrupted, Unplugged, plain


def test_a_run_survives_the_way_through_its_file(healthy: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    kept = replace(healthy, noise=Noise(10, 9, ("leave",), {"fact_recall": 0.1}))
    write_run(path, kept)
    back = read_run(path)
    assert plain(back) == plain(kept)
    assert (back.questions, back.noise, back.fingerprint, back.passages) == (
        kept.questions, kept.noise, kept.fingerprint, kept.passages,
    )  # fmt: skip
    assert not path.with_name("a.jsonl.part").exists()


def test_progress_counts_to_the_end(library: Library, gold: GoldSet) -> None:
    steps: list[tuple[int, int, str]] = []
    run(gold, library, Settings(repeats=2), progress=lambda *step: steps.append(step))
    assert [step[0] for step in steps] == list(range(1, 21))
    assert steps[-1] == (20, 20, "symphony")


def test_an_interrupted_run_goes_on_where_it_stopped(
    library: Library, gold: GoldSet, healthy: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run.jsonl"
    first: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(gold, Interrupted(library, 4, first), Settings(out=out))
    assert not out.exists() and len(first) == 4
    # A kill in the middle of a write leaves half a line.
    part = tmp_path / "run.jsonl.part"
    part.write_bytes(part.read_bytes() + b'{"kind": "record", "id": "ga')
    rest: list[str] = []
    finished = run(gold, Interrupted(library, 99, rest), Settings(out=out))
    assert len(rest) == 6 and not set(first) & set(rest)
    assert plain(finished) == plain(healthy) == plain(read_run(out))
    assert not part.exists()


def test_another_configuration_does_not_go_on_with_it(library: Library, gold: GoldSet, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(gold, Interrupted(library, 4, []), Settings(out=out))
    asked: list[str] = []
    run(gold, Interrupted(library, 99, asked), Settings(out=out, k=3))
    assert len(asked) == 10


def test_questions_that_failed_are_asked_again_when_a_run_goes_on(
    library: Library, gold: GoldSet, tmp_path: Path
) -> None:
    out = tmp_path / "run.jsonl"
    failed = run(gold, Unplugged(library), Settings(out=out))
    assert len(failed.errors) == 10
    text = out.read_text(encoding="utf-8")
    (tmp_path / "run.jsonl.part").write_text(text[: text.rindex('{"finished')], encoding="utf-8")
    assert not run(gold, library, Settings(out=out)).errors


def test_a_missing_model_is_an_error_and_never_a_score(library: Library, gold: GoldSet) -> None:
    found = run(gold, Unplugged(library))
    assert all(record.error and not record.metrics for record in found.records)
    assert [record.error_code for record in found.records] == ["server-down"] * 3 + ["not-asked"] * 7
    assert "ollama serve" in found.records[0].error
    assert verdict(found).code is Exit.INFRASTRUCTURE
    assert found.scores() == {}


def test_retrieval_only_searches_and_does_not_answer(library: Library, gold: GoldSet, healthy: Run) -> None:
    found = run(gold, Unplugged(library), Settings(retrieval_only=True))
    assert all(record.reply is None and record.ranking and not record.error for record in found.records)
    assert found.scores()["leave"]["file_hit@2"] == 1.0
    assert set(found.scores()["volcano"]) == {"retrieve_ms"}
    comparison = compare(healthy, found)
    assert verdict(found, comparison).code is Exit.CLEAN
    assert {shift.metric.name.split("@")[0] for shift in comparison.shifts} == {
        "file_hit", "file_recall", "file_ndcg", "file_rr", "passage_hit", "passage_recall", "passage_ndcg",
        "passage_rr", "character_precision", "retrieve_ms",
    }  # fmt: skip


def test_the_noise_floor_of_quotes_is_silent(library: Library, gold: GoldSet, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    found = run(gold, library, Settings(noise=True, out=out))
    assert found.noise is not None and found.noise.silent
    assert read_run(out).noise == found.noise


def test_an_interrupted_noise_floor_goes_on_where_it_stopped(library: Library, gold: GoldSet, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"
    first: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(gold, Interrupted(library, 13, first), Settings(noise=True, out=out))
    assert len(first) == 13 and not out.exists()
    rest: list[str] = []
    steps: list[int] = []
    finished = run(
        gold,
        Interrupted(library, 99, rest),
        Settings(noise=True, out=out),
        progress=lambda done, *_: steps.append(done),
    )
    assert len(rest) == 7 and steps == list(range(1, 21))
    assert finished.noise is not None and finished.noise.questions == 10 and read_run(out).noise == finished.noise
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]


def test_two_runs_at_once_do_not_mix(library: Library, gold: GoldSet, tmp_path: Path) -> None:
    out = tmp_path / "run.jsonl"

    @dataclass(frozen=True)
    class Greedy(handbook.Tampered):
        """Starts the same run while the first is at it."""

        def ask(self, question: str, *, history: Sequence[Turn] = (), collection: str | None = None) -> Answer:
            with pytest.raises(GoldError, match="Another run is being written to"):
                run(gold, self.library, Settings(out=out))
            return super().ask(question, history=history, collection=collection)

    finished = run(gold, Greedy(library), Settings(out=out))
    assert plain(read_run(out)) == plain(finished) and not finished.errors
    run(gold, library, Settings(out=out))  # the way is free again


def test_a_full_disk_is_told_and_is_no_traceback(healthy: Run) -> None:
    with pytest.raises(GoldError, match="Cannot write /dev/full: No space left on device"):
        RunWriter.start(Path("/dev/full"), healthy)


def test_a_pattern_that_explodes_is_stopped_and_its_question_named(library: Library, gold: GoldSet) -> None:
    explosive = replace(gold.questions[0], facts=(Fact("f", any=(r"re:(.|..|...)+[§¤]",)),))
    for check in (True, False):
        with pytest.raises(
            InvalidGold, match=rf"gold\.yaml:{explosive.line}: In 'leave': .* took over 2 s on one text"
        ):
            run(replace(gold, questions=(explosive,)), library, Settings(check=check))


def test_gold_that_does_not_stand_in_the_documents_is_a_finding_and_the_run_goes_on(
    library: Library, gold: GoldSet
) -> None:
    first, *others = gold.questions
    quote = "Full-time staff get 26 days of annual leave."
    broken = replace(first, sources=(replace(first.sources[0], quote=quote), Source("gone.md", line=3)))
    finished = run(replace(gold, questions=(broken, *others)), library)
    words, file = finished.findings
    assert (words.id, words.kind, words.source, words.quote) == ("leave", "quote", 0, quote)
    assert words.quote_now == "Full-time staff get 25 days of annual leave."
    assert (file.kind, file.source, file.line, file.mendable) == ("file", 1, 3, False)
    assert len(finished.records) == len(gold.questions) and not finished.errors
    assert finished.records[0].reply is not None and "25 days" in finished.records[0].reply.text
    decided = verdict(finished)
    assert decided.code is Exit.REGRESSION
    assert decided.reasons == ("The gold of 1 question does not stand in the documents: leave.",)
    assert run(replace(gold, questions=(broken,)), library, Settings(check=False)).findings == ()
    watched = run(replace(gold, questions=(replace(broken, severity="watch"),)), library)
    assert watched.stale == {"leave"} and verdict(watched).code is Exit.CLEAN


def test_drafts_are_left_out_of_a_gold_file(library: Library, handbook_folder: Path, gold: GoldSet) -> None:
    found = run(str(handbook_folder / "gold.yaml"), library, Settings(check=False))
    assert len(found.records) == 10
    drafts = tuple(replace(q, review=Review("draft")) for q in gold.questions)
    assert replace(gold, questions=drafts).select().questions == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(mode="replay"), "needs a file"),
        (Settings(mode="record", recording=Path("x"), retrieval_only=True), "no answers to record"),
        (Settings(mode="replay", recording=Path("x"), noise=True), "measured live"),
        (Settings(mode="replay", recording=Path("nowhere.jsonl")), "Cannot read the recording"),
        (Settings(out=Path("/proc/nothing/run.jsonl")), "Cannot write /proc/nothing/run.jsonl"),
    ],
)
def test_what_cannot_be_run_is_refused(library: Library, gold: GoldSet, settings: Settings, message: str) -> None:
    with pytest.raises(GoldError, match=message):
        run(gold, library, settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no run"),
        ('{"kind": "run", "version": 99}\n', "is no run"),
        ('{"kind": "run"\n', ":1: the line is damaged"),
        ("[]\n", ":1: the line is damaged"),
    ],
)
def test_a_damaged_run_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(GoldError, match=message):
        read_run(path)


def test_a_damaged_line_is_named_and_an_interrupted_run_too(healthy: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    write_run(path, healthy)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines[:3], "garbage\n", *lines[3:]]), encoding="utf-8")
    with pytest.raises(GoldError, match=r"x\.jsonl:4: the line is damaged"):
        read_run(path)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(GoldError, match="was interrupted"):
        read_run(path)
    assert len(read_run(path, interrupted=True).records) == 10
    with pytest.raises(GoldError, match="Cannot read the run"):
        read_run(tmp_path / "none.jsonl")


def test_the_file_is_plain_json_lines(healthy: Run, tmp_path: Path) -> None:
    write_run(tmp_path / "x.jsonl", healthy)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()]
    assert kinds[0] == "run" and kinds[-1] == "end" and kinds.count("record") == 10


def test_the_front_door_loads_a_gold_set(handbook_folder: Path) -> None:
    assert len(load_gold(handbook_folder / "gold.yaml").questions) == 10
