"""``engines.jsonl``: what befell engines, written, read, and added up."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import write_study

import orkester
from orkester.errors import InputError
from orkester.optim.run.engine_log import SCHEMA, EngineLog, read_events, summary
from orkester.optim.run.events import EngineChanged, Event
from orkester.serving.lease import EngineEvent

KINDS = ("started", "slept", "woken", "stopped", "died", "restarted")


def event(**changes: Any) -> EngineEvent:
    known: dict[str, Any] = {
        "kind": "started",
        "model": "small",
        "options": {},
        "seconds": 1.5,
        "at": "2026-01-02T03:04:05.678+00:00",
    }
    return EngineEvent(**{**known, **changes})


def written(path: Path, *events: EngineEvent) -> Path:
    with EngineLog(path) as log:
        for one in events:
            log.append(one)
    return path


def test_what_is_written_is_read_and_later_runs_add_to_it(tmp_path: Path) -> None:
    first = event(options={"prefix_caching": False, "max_num_active_seqs": 8, "kv_cache_dtype": "fp8"})
    second = event(kind="died", reason="its process ended ✝ \ud800", seconds=0.0)
    path = written(tmp_path / "engines.jsonl", first)
    written(path, second)
    assert read_events(path) == [first, second]
    assert read_events(path)[0].options["prefix_caching"] is False
    assert all(json.loads(line)["schema"] == SCHEMA for line in path.read_bytes().splitlines())


def test_a_run_without_engines_has_none(tmp_path: Path) -> None:
    assert read_events(tmp_path / "engines.jsonl") == ()
    assert read_events(written(tmp_path / "engines.jsonl")) == []


@given(cut=st.integers(0))
def test_a_line_that_was_cut_off_is_left_out_and_removed_before_others_follow(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = written(tmp_path_factory.mktemp("cut") / "engines.jsonl", event(), event(kind="slept"))
    data = path.read_bytes()
    cut %= len(data) + 1
    path.write_bytes(data[:cut])
    whole = data[:cut].count(b"\n")
    assert len(read_events(path)) == whole
    assert read_events(written(path, event(kind="died")))[whole:] == [event(kind="died")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{"schema": 2, "kind": "teleported"}',
            "a newer version of Orkester wrote this line (schema 2; this version reads schemas up to 1)",
        ),
        ('{"schema": 1, "kind": "teleported"}', "this line is not an engine event"),
        ('{"kind": "started"}', "this line is not an engine event"),
        ("[]", "this line is not an engine event"),
        ("\x00", "this line is not an engine event"),
        (json.dumps({"schema": 1, "kind": "died", "model": "m", "options": {}, "seconds": "x", "at": ""}), "seconds"),
    ],
)
def test_a_line_that_is_none_is_named_with_what_to_do(tmp_path: Path, line: str, said: str) -> None:
    path = written(tmp_path / "engines.jsonl", event())
    with path.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(InputError) as caught:
        read_events(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert said in str(caught.value)


_FULL = """
import resource, sys
from pathlib import Path
from orkester.optim.run.engine_log import EngineLog
from orkester.serving.lease import EngineEvent

path = Path(sys.argv[1])
def event(reason):
    return EngineEvent(kind="died", model="m", options={}, seconds=0.0, at="", reason=reason)
with EngineLog(path) as log:
    log.append(event("before"))
    room = path.stat().st_size + 50
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    log.append(event("half of it fits"))
    log.append(event("nor does this"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log.append(event("after"))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on the size of files")
def test_a_full_disk_ends_no_study_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "engines.jsonl"
    subprocess.run([sys.executable, "-c", _FULL, path], check=True, timeout=60)
    assert [one.reason for one in read_events(path)] == ["before", "after"]


def test_events_are_added_up_by_model_and_options() -> None:
    fast = {"max_num_active_seqs": 8, "prefix_caching": True}
    events = [
        event(seconds=30.0),
        event(options=fast, seconds=20.0),
        event(kind="slept", seconds=2.0),
        event(model="large", seconds=60.0),
        event(kind="woken", seconds=0.5),
        event(kind="slept", seconds=3.0),
        event(kind="stopped", reason="to make room"),
        event(kind="died", reason="its process ended", seconds=0.0, options=dict(reversed(fast.items()))),
        event(options=fast, seconds=25.0),
        event(kind="stopped", options=fast),
    ]
    small, tuned, large = summary(events)
    assert (small.model, small.options, large.model, tuned.options) == ("small", {}, "large", fast)
    assert (small.starts, small.start_s, small.sleeps, small.sleep_s, small.wakes, small.wake_s) == (
        1,
        30,
        2,
        5,
        1,
        0.5,
    )
    assert (small.stops, small.deaths, small.reasons) == (1, 0, {"to make room": 1})
    assert (tuned.starts, tuned.start_s, tuned.deaths, tuned.stops) == (2, 45, 1, 1)
    assert tuned.reasons == {"its process ended": 1}
    assert summary([]) == []


def test_one_that_woke_as_another_is_counted_once_though_it_is_told_of_twice() -> None:
    why = "after its sleep it said 'x' instead of 'y'"
    events = [event(), event(kind="restarted", reason=why), event(kind="stopped", reason=why), event()]
    (use,) = summary([*events, *events[1:]])
    assert (use.restarts, use.stops, use.starts, use.reasons) == (2, 2, 3, {why: 2})


@given(st.lists(st.builds(event, kind=st.sampled_from(KINDS), model=st.sampled_from("ab"), seconds=st.floats(0, 1e6))))
def test_no_event_is_lost_in_the_sum(events: list[EngineEvent]) -> None:
    found = summary(events)
    counted = sum(u.starts + u.sleeps + u.wakes + u.restarts + u.deaths + u.stops for u in found)
    assert counted == len(events)
    shown = sum(u.start_s + u.sleep_s + u.wake_s for u in found)
    assert shown == pytest.approx(sum(e.seconds for e in events if e.kind in {"started", "slept", "woken"}))


def test_a_study_writes_down_what_befell_its_engines_and_tells_of_it(quick_path: Path) -> None:
    fake = {"data": "data.jsonl", "memory_bytes": 6.0, "capacity_bytes": 10, "sleeps": True}
    search = {"single": {"model": "any"}}
    told: list[Event] = []
    orkester.tune(
        write_study(quick_path / "study", engine={"fake": fake}, search=search),
        quick_path / "run",
        observer=told.append,
    )
    events = read_events(quick_path / "run" / "engines.jsonl")
    assert [one.event for one in told if isinstance(one, EngineChanged)] == events
    found = {use.model: use for use in summary(events)}
    assert {model: (use.starts, use.stops) for model, use in found.items()} == {"small": (1, 1), "large": (1, 1)}
    assert sum(use.sleeps for use in found.values()) >= 1
    assert "put to sleep" in (quick_path / "run" / "report.html").read_text()
    before = (quick_path / "run" / "engines.jsonl").read_bytes()
    orkester.tune(quick_path / "study" / "study.yaml", quick_path / "run")  # finished: no engine starts
    assert (quick_path / "run" / "engines.jsonl").read_bytes() == before


def test_joules_of_starts_and_of_blocks_that_died_are_added_up_where_all_starts_were_measured() -> None:
    spent = (("started", 5.0), ("died", 2.0), ("started", 6.0), ("stopped", 0.5))
    lived = [event(kind=kind, energy_j=energy_j) for kind, energy_j in spent]
    (use,) = summary(lived)
    assert use.energy_j == pytest.approx(13.5)
    (use,) = summary([*lived, event(kind="died", energy_j=None)])  # it died between blocks
    assert use.energy_j == pytest.approx(13.5)
    (use,) = summary([*lived, event(kind="started", energy_j=None)])
    assert use.energy_j is None
