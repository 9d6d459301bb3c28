"""Records: what is written is read again, whatever happened in between."""

import gc
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import ROOT

from orkester.errors import InputError, OrkesterError
from orkester.evals.records.block import Block, Call, ExampleResult
from orkester.evals.records.log import SCHEMA, BlockLog, TeamFailure, decode, encode, read_records
from orkester.testing.blocks import TEAM, block, result

# -- a line -----------------------------------------------------------------------------------------------------------

#: All of Unicode, lone surrogates among it: a model's text may end in half an emoji. Two halves would be a whole one.
TEXT = st.text(max_size=12) | st.characters(categories=["Cs"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.none() | st.integers(0, 10**9)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
KNOBS = st.dictionaries(TEXT, st.integers() | NUMBERS | TEXT, max_size=4)
OPTIONS = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers() | NUMBERS | TEXT, max_size=3)
CALLS = st.builds(
    Call,
    agent=TEXT,
    model=TEXT,
    sample=st.integers(0, 100),
    start_s=NUMBERS,
    latency_s=NUMBERS,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    cached_tokens=COUNTS,
    attempts=st.integers(1, 4),
    failure=st.none() | TEXT,
    queue_s=st.none() | NUMBERS,
    ttft_s=st.none() | NUMBERS,
    decode_s=st.none() | NUMBERS,
    key=st.none() | TEXT,
    text=st.none() | TEXT,
    finish_reason=st.none() | TEXT,
    thought=st.sampled_from(["", "answered", "unanswered"]),
    thought_tokens=st.none() | st.integers(0, 2**31),
    thought_estimated=st.booleans(),
    reused=st.booleans(),
    failure_message=st.none() | TEXT,
)
EXAMPLES = st.builds(
    ExampleResult,
    id=TEXT,
    answer=st.none() | TEXT,
    score=st.floats(0, 1),
    latency_s=NUMBERS,
    failure=st.none() | TEXT,
    calls=st.lists(CALLS, max_size=3).map(tuple),
    composed=st.booleans(),
    failure_message=st.none() | TEXT,
)
BLOCKS = st.builds(
    Block,
    team=TEXT,
    topology=TEXT,
    knobs=KNOBS,
    phase=st.sampled_from(["search", "confirm"]),
    index=st.integers(0, 10**6),
    trial=st.none() | st.integers(0, 10**6),
    started_at=TEXT,
    wall_s=NUMBERS,
    concurrency=st.integers(1, 99),
    seed=st.integers(0, 2**32),
    energy_j=st.none() | st.dictionaries(TEXT, NUMBERS, max_size=3),
    energy_method=TEXT,
    energy_assumptions=st.dictionaries(TEXT, JSON, max_size=3),
    examples=st.lists(EXAMPLES, max_size=3).map(tuple),
    engines=st.dictionaries(TEXT, st.dictionaries(TEXT, JSON, max_size=2), max_size=2),
    reruns=st.integers(0, 3),
    engine_options=OPTIONS,
    engine_metrics=st.dictionaries(TEXT, st.dictionaries(TEXT, NUMBERS, max_size=2), max_size=2),
    prefix_cache=st.sampled_from(["", "cold", "kept", "warm"]),
    composed_wall_s=st.none() | NUMBERS,
)
FAILURES = st.builds(
    TeamFailure,
    team=TEXT,
    topology=TEXT,
    knobs=KNOBS,
    reason=TEXT,
    trial=st.integers(0, 10**6),
    engine_options=OPTIONS,
)


@settings(max_examples=150, deadline=None)
@given(BLOCKS | FAILURES)
def test_a_record_is_one_line_of_utf_8_and_read_as_it_was(record: Block | TeamFailure) -> None:
    line = encode(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    data = json.loads(line.decode())
    assert data["schema"] == SCHEMA
    assert decode(data) == record


@settings(max_examples=60, deadline=None)
@given(st.lists(BLOCKS | FAILURES, max_size=4))
def test_a_file_of_records_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, records: list[Block | TeamFailure]
) -> None:
    path = tmp_path_factory.mktemp("read") / "blocks.jsonl"
    path.write_bytes(b"".join(map(encode, records)))
    found = read_records(path)
    assert [*found.blocks] == [each for each in records if isinstance(each, Block)]
    assert [*found.failures] == [each for each in records if isinstance(each, TeamFailure)]
    assert [*found] == [*found.blocks, *found.failures]


def test_half_a_character_beside_the_ends_of_what_a_float_can_be_is_read(path: Path) -> None:
    written = block(wall_s=1.7976931348623157e308, energy_error_j=5e-324, examples=(result(answer="\ud83d", id="😀"),))
    path.write_bytes(encode(written))
    assert read_records(path).blocks == (written,)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_not_written(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(block(wall_s=number))


def test_the_form_of_a_line_does_not_change_without_a_new_schema() -> None:
    assert SCHEMA == 6
    known = json.loads(encode(block(examples=1)))
    assert list(known) == [
        *("schema", "kind", "team", "topology", "knobs", "phase", "index", "trial", "started_at", "wall_s"),
        *("concurrency", "seed", "energy_j", "energy_method", "energy_assumptions", "examples", "engines", "reruns"),
        *("engine_options", "engine_metrics", "prefix_cache", "energy_error_j", "energy_idle_j"),
        *("energy_unattributed_j", "energy_marks", "energy_gauges", "attribution", "composed_wall_s"),
        "scoring",
    ]
    (example,) = known["examples"]
    assert list(example) == [
        *("id", "answer", "score", "latency_s", "failure", "calls", "trace_id", "composed", "failure_message"),
        "score_detail",
    ]
    assert list(example["calls"][0]) == [
        *("agent", "model", "sample", "start_s", "latency_s"),
        *("input_tokens", "output_tokens", "cached_tokens", "attempts", "failure"),
        *("queue_s", "ttft_s", "decode_s", "energy_j", "span_id", "key", "text", "finish_reason", "reused"),
        *("thought", "thought_tokens", "thought_estimated"),
        "failure_message",
    ]
    assert list(json.loads(encode(FAILED))) == [
        *("schema", "kind", "team", "topology", "knobs", "reason", "trial", "engine_options"),
    ]


def test_what_schema_1_wrote_is_read_and_goes_on_in_schema_6(path: Path) -> None:
    old = (ROOT / "tests" / "evals" / "records" / "schema-1.jsonl").read_bytes()  # as the first version wrote them
    path.write_bytes(old)
    with BlockLog(path) as log:
        (known,), (failed,) = log.records().blocks, log.records().failures
        assert (known.team, known.phase, known.index, known.reruns) == ("single-7e4dda62", "search", 0, 0)
        assert [(e.id, e.answer, e.score) for e in known.examples] == [("q0", "0", 1.0), ("q1", "wrong 1", 0.0)]
        assert (known.engine_options, known.engine_metrics, known.prefix_cache) == ({}, {}, "")
        assert (known.energy_idle_j, known.energy_unattributed_j, known.energy_marks) == (None, None, ())
        call = known.examples[0].calls[0]
        assert (call.energy_j, call.span_id) == (None, None)
        assert (call.input_tokens, call.queue_s, call.ttft_s, call.decode_s) == (9, None, None, None)
        assert (failed.trial, failed.engine_options) == (0, {})
        assert failed.reason.startswith("the engine of small died 3 times")
        log.append(block(index=1, engine_options={"quantization": None}, prefix_cache="cold"))
    assert path.read_bytes().startswith(old)
    again = read_records(path).blocks
    assert again[0] == known
    assert (again[1].engine_options, again[1].prefix_cache) == ({"quantization": None}, "cold")


def test_what_schema_3_wrote_is_of_calls_that_were_all_made() -> None:
    line = json.loads(encode(block()))
    line["schema"] = 3
    del line["composed_wall_s"]
    for example in line["examples"]:
        del example["composed"]
        for call in example["calls"]:
            for name in ("key", "text", "finish_reason", "reused", "thought", "thought_tokens", "thought_estimated"):
                del call[name]
    known = decode(line)
    assert known == block()
    assert isinstance(known, Block)
    assert (known.reused_calls, known.charged_wall_s, known.spent_j) == (0, 0.5, 4.0)
    assert not any(example.composed for example in known.examples)
    assert {call.key for example in known.examples for call in example.calls} == {None}


def test_what_schema_4_wrote_has_thoughts_that_are_not_known() -> None:
    line = json.loads(encode(block()))
    line["schema"] = 4
    for example in line["examples"]:
        for call in example["calls"]:
            for name in ("thought", "thought_tokens", "thought_estimated"):
                del call[name]
    known = decode(line)
    assert isinstance(known, Block)
    assert {(call.thought, call.thought_tokens) for example in known.examples for call in example.calls} == {("", None)}


# -- the file ---------------------------------------------------------------------------------------------------------

FAILED = TeamFailure(team="vote-1", topology="vote", knobs=dict(TEAM.knobs), reason="the engine died", trial=4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "blocks.jsonl"


def test_what_is_appended_is_on_disk_at_once_and_known(path: Path) -> None:
    first, second = block(index=1), block(index=0)
    with BlockLog(path) as log:
        for number, record in enumerate((first, FAILED, second), start=1):
            log.append(record)
            found = read_records(path)
            assert len(found.blocks) + len(found.failures) == number
            assert log.records() == found
        assert log.blocks(TEAM.id, "search") == [second, first]
        assert log.blocks(TEAM.id, "confirm") == log.blocks("another", "search") == []
        assert log.all_blocks() == [first, second]
        assert log.failed_teams() == {"vote-1"}
        assert not log.torn


def test_a_log_that_is_opened_again_goes_on(path: Path) -> None:
    for index in range(3):
        with BlockLog(path) as log:
            assert [known.index for known in log.all_blocks()] == list(range(index))
            assert not log.torn
            log.append(block(index=index))
    assert [known.index for known in read_records(path).blocks] == [0, 1, 2]


def test_there_are_no_records_without_a_file(path: Path) -> None:
    assert read_records(path).blocks == read_records(path).failures == ()


def test_appending_needs_an_open_log(path: Path) -> None:
    with pytest.raises(RuntimeError, match="enter the BlockLog"):
        BlockLog(path).append(block())


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 10**6))
def test_wherever_a_crash_cuts_the_file_whole_lines_stay(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "blocks.jsonl"
    records = [block(index=index, examples=1) for index in range(3)]
    lines = [encode(record) for record in records]
    data = b"".join(lines)
    data = data[: cut % (len(data) + 1)]
    path.write_bytes(data)
    whole = data.count(b"\n")
    assert read_records(path).blocks == tuple(records[:whole])
    with BlockLog(path) as log:
        assert log.torn is (len(data) > sum(map(len, lines[:whole])))
        assert log.all_blocks() == records[:whole]
        log.append(FAILED)
    assert path.read_bytes() == b"".join([*lines[:whole], encode(FAILED)])


def test_a_reader_leaves_alone_what_a_writer_is_writing(path: Path) -> None:
    data = encode(block()) + encode(block(index=1))[:40]
    path.write_bytes(data)
    assert len(read_records(path).blocks) == 1
    assert path.read_bytes() == data


GOOD = json.loads(encode(block(examples=1)))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"schema"',
        b"\xff\xfe\x00",
        json.dumps({**GOOD, "kind": "team"}).encode(),
        json.dumps({**GOOD, "schema": "1"}).encode(),
        json.dumps({**GOOD, "schema": 0}).encode(),
        json.dumps({**GOOD, "more": 1}).encode(),
        json.dumps({key: value for key, value in GOOD.items() if key != "schema"}).encode(),
        json.dumps({key: value for key, value in GOOD.items() if key != "examples"}).encode(),
        json.dumps({**GOOD, "examples": [{"id": "q1"}]}).encode(),
    ],
)
def test_a_damaged_line_is_said_with_its_number_and_nothing_is_changed(path: Path, line: bytes) -> None:
    data = encode(block()) + line + b"\n" + encode(block(index=1)) + b'{"torn'
    path.write_bytes(data)
    for read in (read_records, lambda path: BlockLog(path).__enter__()):
        with pytest.raises(InputError) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path}:2: this line is not a block record")
        assert "remove the line: Orkester then runs its block again" in str(raised.value)
    assert path.read_bytes() == data


def test_what_a_line_lacks_is_said_without_all_that_is_in_it(path: Path) -> None:
    example = {**GOOD["examples"][0], "score": None, "marks": 1}
    path.write_bytes(json.dumps({**GOOD, "examples": [example]}).encode() + b"\n")
    with pytest.raises(InputError, match=r"\(examples\.0\.marks: Unexpected keyword argument\); if the file"):
        read_records(path)


@pytest.mark.parametrize("enabled", [True, False])
def test_reading_leaves_the_garbage_collector_as_it_was(path: Path, enabled: bool) -> None:
    path.write_bytes(encode(block()) + b"{}\n")
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(InputError):
            read_records(path)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_a_newer_schema_is_refused_with_a_remedy(path: Path) -> None:
    newer = json.dumps({"schema": SCHEMA + 1, "kind": "block", "unheard_of": True}).encode() + b"\n"
    path.write_bytes(encode(block()) + newer)
    with pytest.raises(InputError) as raised:
        read_records(path)
    assert str(raised.value) == (
        f"{path}:2: a newer version of Orkester wrote this line (schema {SCHEMA + 1}; this version reads schemas up to "
        f"{SCHEMA}); upgrade Orkester"
    )


# -- the disk ---------------------------------------------------------------------------------------------------------


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    script = "mount -t tmpfs -o size=64k none /mnt"
    return subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("how", ["limit", "tmpfs"])
def test_a_full_disk_leaves_whole_lines_and_says_what_to_do(tmp_path: Path, how: str) -> None:
    command = [sys.executable, str(ROOT / "tests/evals/records/disk_full.py"), str(tmp_path), how]
    if how == "tmpfs":
        if not _can_mount():
            pytest.skip("this system lets nobody mount a file system in a namespace of their own")
        mount = f'mount -t tmpfs -o size=64k none "{tmp_path}" && exec "$@"'
        command = ["unshare", "-rm", "sh", "-c", mount, "sh", *command]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path])},
    )
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    assert said["written"] > 1
    for message in said["messages"]:
        reason = "File too large" if how == "limit" else "No space left on device"
        assert message.startswith(f"{tmp_path}/blocks.jsonl: the block could not be written: {reason}.")
        assert message.endswith("Make room and run the same command again: it goes on from the last block on disk")
    assert said["whole"]
    assert said["known"] == said["on_disk"] == said["written"]
    assert said["indices"] == list(range(said["written"] + 1))


def test_a_write_that_fails_on_sync_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with BlockLog(path) as log:
        log.append(block())
        real = os.fsync

        def broken(handle: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(OrkesterError, match="could not be written: Input/output error"):
            log.append(block(index=1, examples=(result(answer="x" * 100_000),)))
        monkeypatch.setattr(os, "fsync", real)
        assert [known.index for known in log.all_blocks()] == [0]
        log.append(block(index=2))
    assert [known.index for known in read_records(path).blocks] == [0, 2]
