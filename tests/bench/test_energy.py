"""``orkester bench energy``, from Python: the fake engine, a meter whose joules are known, and llama.cpp."""

import asyncio
import base64
import csv
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from orkester.bench.energy import (
    FIGURES,
    Benchmark,
    Plan,
    Prompt,
    WindowRecord,
    bench_energy,
    built_in_prompts,
    cells,
    load_images,
    load_prompts,
    short_name,
)
from orkester.bench.energy._window import send_requests
from orkester.errors import CallFailed, EngineError, InputError
from orkester.optim.study.engine_parts import FakePart
from orkester.serving.energy import Limits, Reading, UnavailableMeter
from orkester.serving.engines import FakeScript
from orkester.testing.scripted import ChatCall, ScriptedModel

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SUMS = tuple(Prompt(content=f"What is {i} + {i}?", answer=str(2 * i)) for i in range(6))


@dataclass
class SteadyMeter:
    """So many watts all the time, on one GPU."""

    watts: float = 50.0
    limits: Limits = field(default_factory=Limits)
    foreign: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    method: str = "steady"
    closed: int = 0
    watched: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def assumptions(self) -> Mapping[str, object]:
        return {"not_included": "everything"}

    def watch(self, domain: str, pids: tuple[int, ...]) -> None:
        self.watched[domain] = pids

    def read(self) -> Reading | None:
        now = time.monotonic()
        return Reading(time_s=now, energy_j={"gpu:0": now * self.watts}, foreign=self.foreign, faults=self.faults)

    def close(self) -> None:
        self.closed += 1


def fake(**script: Any) -> FakePart:
    return FakePart(fake=FakeScript(latency_s=0.01, **script))


def plan(**changes: Any) -> Plan:
    asked: dict[str, Any] = {
        "models": ["small"],
        "engines": [fake()],
        "batches": [1, 3],
        "prompts": SUMS,
        "seconds": 0.15,
        "warm_up_s": 0.0,
        "repeat": 2,
        "deadline_s": 5.0,
    }
    return Plan(**{**asked, **changes})


def run(asked: Plan, folder: Path, meter: Any = None, **more: Any) -> Benchmark:
    return bench_energy(asked, folder / "out", meter=lambda _: meter or SteadyMeter(), **more)


def shot(**changes: Any) -> WindowRecord:
    known = WindowRecord(
        model="m",
        engine="e",
        batch=1,
        round=1,
        started_at="",
        seconds=2.0,
        full_s=2.0,
        answered=4,
        failures={},
        input_tokens=8,
        output_tokens=20,
        cached_tokens=0,
        successes=2,
        energy_j={"gpu:0": 6.0, "orkester": 4.0},
        energy_error_j=0.0,
        energy_s=2.5,
    )
    return replace(known, **changes)


# -- figures ----------------------------------------------------------------------------------------------------------


def test_figures_are_all_joules_over_what_was_answered() -> None:
    found = {name: of(shot(failures={"timeout": 4})) for name, of in FIGURES.items()}
    assert found == {
        "energy_j_per_request": 2.5,
        "energy_j_per_output_token": 0.5,
        "energy_j_per_success": 5.0,
        "output_tokens_per_s": 10.0,
        "requests_per_s": 2.0,
        "mean_w": 4.0,
    }


@given(
    energy=st.none() | st.floats(0, 1e6),
    answered=st.integers(0, 50),
    tokens=st.none() | st.integers(0, 500),
    right=st.none() | st.integers(0, 50),
)
def test_what_is_not_known_is_none_and_never_0(
    energy: float | None, answered: int, tokens: int | None, right: int | None
) -> None:
    one = shot(
        energy_j=None if energy is None else {"gpu:0": energy},
        energy_s=None if energy is None else 1.0,
        answered=answered,
        output_tokens=tokens,
        successes=right,
    )
    known = energy is not None
    assert (FIGURES["energy_j_per_request"](one) is not None) == (known and answered > 0)
    assert (FIGURES["energy_j_per_output_token"](one) is not None) == (known and bool(tokens))
    assert (FIGURES["energy_j_per_success"](one) is not None) == (known and bool(right))
    assert (FIGURES["mean_w"](one) is not None) == known
    assert all((value := of(one)) is None or value >= 0 for of in FIGURES.values())


def test_a_cell_has_median_least_and_most_and_no_figure_that_a_window_lacks(tmp_path: Path) -> None:
    found = run(plan(batches=[1], repeat=1), tmp_path)
    base = replace(found.windows[0], output_tokens=10, answered=5, energy_s=1.0, marks=("hot",))
    shots = [replace(base, energy_j={"gpu:0": joules}) for joules in (30.0, 10.0, 50.0)]
    (cell,) = cells(replace(found, windows=tuple(shots)))
    tokens = cell.figures["energy_j_per_output_token"]
    assert (tokens.median, tokens.low, tokens.high, tokens.n) == (3.0, 1.0, 5.0, 3)
    assert str(tokens) == "3 [1, 5]"
    assert cell.marks == {"hot": 3}
    (cell,) = cells(replace(found, windows=(*shots, replace(base, energy_j=None, energy_s=None))))
    assert "energy_j_per_output_token" not in cell.figures
    assert "output_tokens_per_s" in cell.figures


# -- windows ----------------------------------------------------------------------------------------------------------


async def test_exactly_the_batch_is_in_flight_until_the_time_is_over() -> None:
    now, in_flight, seen = [0.0], [0], []

    async def answer(asked: ChatCall) -> str:
        in_flight[0] += 1
        seen.append((now[0], in_flight[0]))
        for _ in range(1 + asked.sample):  # places take differently long
            await asyncio.sleep(0)
            now[0] += 0.01
        in_flight[0] -= 1
        return "so"

    tally = await send_requests(ScriptedModel("m", answer), SUMS, plan(), batch=3, seconds=1.0, clock=lambda: now[0])
    assert max(count for _, count in seen) == 3
    assert all(count == 3 for _, count in seen[2:])
    assert max(at for at, _ in seen) < 1.0  # nothing begins afterwards
    assert len(tally.replies) == len(seen)  # and all that began are awaited
    assert tally.full_until_s is not None
    assert 1.0 <= tally.full_until_s <= now[0]


async def test_failed_requests_are_counted_by_kind_and_others_go_on() -> None:
    number = [0]

    def answer(asked: ChatCall) -> str:
        number[0] += 1
        if number[0] % 2:
            raise CallFailed("http 400", "no")
        return "so"

    now = [0.0]

    def clock() -> float:
        now[0] += 0.1
        return now[0]

    tally = await send_requests(ScriptedModel("m", answer), SUMS, plan(), batch=1, seconds=1.0, clock=clock)
    assert tally.failures["http 400"] == number[0] - len(tally.replies) > 0
    assert len(tally.replies) > 0


def test_the_joules_are_the_meters_over_the_window(tmp_path: Path) -> None:
    meter = SteadyMeter(watts=40.0)
    found = run(plan(), tmp_path, meter)
    assert found.is_complete
    assert len(found.windows) == 4
    for one in found.windows:
        assert one.total_j == pytest.approx(40.0 * one.seconds, rel=0.1)
        assert one.seconds >= one.full_s >= 0.15
        assert FIGURES["mean_w"](one) == pytest.approx(40.0)
        assert one.answered > 0
        assert one.output_tokens is not None
    assert meter.closed == 1
    assert len(meter.watched["engine:small"]) == 1
    assert found.pairings[0].start_j is not None
    assert found.pairings[0].warm_up_j is not None
    assert found.pairings[0].warm_up_j > 0


def test_every_batch_comes_once_a_round_in_an_order_that_the_seed_decides(tmp_path: Path) -> None:
    asked = plan(models=["small", "large"], batches=[1, 2, 3, 4], seconds=0.01, seed=5)
    orders = []
    for number in range(2):
        found = bench_energy(asked, tmp_path / str(number), meter=lambda _: SteadyMeter())
        orders.append([(one.model, one.round, one.batch) for one in found.windows])
        for model in asked.models:
            for turn in (1, 2):
                batches = [batch for name, at, batch in orders[-1] if (name, at) == (model, turn)]
                assert sorted(batches) == [1, 2, 3, 4]
        assert [(pairing.model, pairing.engine) for pairing in found.pairings] == [("small", "fake"), ("large", "fake")]
        # One at a time: no window of a model between those of another.
        assert len({orders[-1][i][0] for i in range(8)}) == 1
    assert orders[0] == orders[1]


def test_a_window_is_as_long_as_the_meter_needs_and_idle_power_is_looked_at_first(tmp_path: Path) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        await asyncio.sleep(0.02)

    meter = SteadyMeter(watts=30.0, limits=Limits(window_s=0.3, over_idle_j=5.0, idle_s=7.0))
    found = run(plan(batches=[1], seconds=0.05, repeat=1), tmp_path, meter, sleep=sleep)
    (one,) = found.windows
    assert one.seconds >= 0.3
    assert 7.0 in waited
    assert found.pairings[0].total_idle_w == pytest.approx(30.0)
    assert any("under 5 J over idle" in mark for mark in one.marks)
    assert cells(found)[0].pairing.idle_w == found.pairings[0].idle_w


def test_what_makes_joules_doubtful_is_said_everywhere(tmp_path: Path) -> None:
    meter = SteadyMeter(foreign=("gpu:0: 4711 (python)",))
    found = run(plan(batches=[1], repeat=1), tmp_path, meter)
    mark = "others were at work on gpu:0: 4711 (python)"
    assert mark in found.windows[0].marks
    for name in ("results.csv", "results.json", "report.html"):
        assert mark in (found.folder / name).read_text()


def test_a_counter_that_fails_leaves_no_joules(tmp_path: Path) -> None:
    found = run(plan(batches=[1], repeat=1), tmp_path, SteadyMeter(faults=("gpu:0 jumped back",)))
    assert found.windows[0].energy_j is None
    assert found.windows[0].marks[0] == "gpu:0 jumped back"
    (cell,) = cells(found)
    assert set(cell.figures) == {"output_tokens_per_s", "requests_per_s"}


def test_without_a_meter_there_is_speed_and_no_joule(tmp_path: Path) -> None:
    found = run(plan(batches=[1], repeat=1), tmp_path, UnavailableMeter("the device has none"))
    with (found.folder / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["energy_method"] == "unavailable"
    assert row["energy_j_per_request"] == row["mean_w"] == row["idle_w"] == ""
    assert float(row["requests_per_s"]) > 0
    assert "There are no joules" in (found.folder / "report.html").read_text()


def test_answers_are_scored_where_it_is_known_what_is_right(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"question": p.content, "answer": p.answer}) + "\n" for p in SUMS))
    right = fake(data=str(data), accuracy=1.0)
    found = run(plan(engines=[right], batches=[2], repeat=1, scorer="exact"), tmp_path)
    (cell,) = cells(found)
    assert cell.successes == cell.answered
    assert cell.figures["energy_j_per_success"].median == cell.figures["energy_j_per_request"].median
    unscored = bench_energy(
        plan(engines=[right], batches=[1], repeat=1, prompts=built_in_prompts()),
        tmp_path / "b",
        meter=lambda _: SteadyMeter(),
    )
    assert unscored.windows[0].successes is None
    assert "energy_j_per_success" not in cells(unscored)[0].figures
    assert "J per success" not in (unscored.folder / "report.html").read_text()


def test_failed_requests_carry_their_joules_and_are_no_success(tmp_path: Path) -> None:
    flaky = fake(faults=[{"kind": "400", "share": 0.5}])
    found = run(plan(engines=[flaky], batches=[2], repeat=1), tmp_path)
    (one,) = found.windows
    assert 0 < one.failed == one.failures["http 400"]
    assert one.total_j == pytest.approx(50.0 * one.seconds, rel=0.1)
    per_request = FIGURES["energy_j_per_request"](one)
    assert per_request == pytest.approx((one.total_j or 0) / one.answered)


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_model_that_cannot_be_served_does_not_cost_the_others(tmp_path: Path) -> None:
    engine = fake(faults=[{"kind": "400", "models": ["broken"]}])
    lines: list[str] = []
    found = run(plan(models=["broken", "small"], engines=[engine], repeat=1), tmp_path, say=lines.append)
    assert not found.is_complete
    assert {one.model for one in found.windows} == {"small"}
    broken, small = found.pairings
    assert "answered none of the warm-up requests: http 400: " in broken.fault
    assert small.fault == ""
    assert any(line.startswith("broken on fake is skipped") for line in lines)
    assert "Incomplete: 1 of 2 models on engines" in (found.folder / "report.html").read_text()
    assert json.loads((found.folder / "results.json").read_text())["whole"] is False


def test_an_engine_that_dies_in_a_window_gives_no_window(tmp_path: Path) -> None:
    engine = fake(faults=[{"kind": "die", "share": 0.2}])
    with pytest.raises(EngineError, match="the engine of small ended during the measurement"):
        run(plan(engines=[engine], batches=[4], deadline_s=0.5), tmp_path)
    assert json.loads((tmp_path / "out" / "results.json").read_text())["windows"] == []


def test_a_model_without_eyes_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "dot.png").write_bytes(PNG)
    blind = fake(faults=[{"kind": "400"}])
    asked = plan(engines=[blind], prompts=load_images(tmp_path / "pictures"), images=True)
    with pytest.raises(InputError, match=r"answers no request with a picture .*; use a model that accepts images"):
        run(asked, tmp_path)
    with pytest.raises(InputError, match=r"Orkester runs llama\.cpp without"):
        run(replace(asked, engines=["llamacpp"], models=["arithmetic-80k"]), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_interrupt_keeps_what_is_finished(tmp_path: Path) -> None:
    def say(line: str) -> None:
        if "round 1" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan(), tmp_path, say=say)
    out = tmp_path / "out"
    assert len(json.loads((out / "results.json").read_text())["windows"]) == 1
    assert len((out / "results.csv").read_text().splitlines()) == 2
    assert "the benchmark was stopped before the last window" in (out / "report.html").read_text()
    assert list(out.glob("*.tmp")) == []


def test_results_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").write_text("{}")
    with pytest.raises(InputError, match="is not empty; give a new folder with --out"):
        run(plan(), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        bench_energy(plan(), tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": []}, "needs at least one of: models"),
        ({"batches": [0]}, "batch must be at least 1, but got 0"),
        ({"batches": [2, 2]}, "batches has the same entry twice: 2, 2"),
        ({"repeat": 0}, "repeat must be at least 1"),
        ({"seconds": 0.0}, "seconds must be above 0"),
        ({"seconds": float("inf")}, "seconds must be above 0"),
        ({"warm_up_s": float("nan")}, "warm_up_s must be at least 0"),
        ({"max_tokens": 2048}, r"max_tokens \(2048\) must be less than context_tokens \(1024\)"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan(**changes)


# -- prompts ----------------------------------------------------------------------------------------------------------


def test_prompts_are_read_with_answers_or_without(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"question": "a", "answer": ["b", "c"]}\n\n{"question": "d", "answer": "e", "id": 1}\n')
    assert load_prompts(path) == (Prompt(content="a", answer=["b", "c"]), Prompt(content="d", answer="e"))
    path.write_text('{"question": "a"}\n')
    assert load_prompts(path) == (Prompt(content="a"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "p.jsonl: the file is empty"),
        ("{", "p.jsonl:1: this line is not JSON"),
        ("[1]", "p.jsonl:1: each line must be a JSON object"),
        ('{"question": "a"}\n{"prompt": "b"}', "p.jsonl:2: the field 'question' must be text"),
        ('{"question": "a"}\n{"question": "b", "answer": "c"}', "1 of 2 lines have an answer"),
    ],
)
def test_a_file_that_is_no_prompts_says_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(InputError, match=re.escape(said)):
        load_prompts(tmp_path / "p.jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        load_prompts(tmp_path / "absent.jsonl")


def test_pictures_become_content_parts(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(PNG)
    (folder / "b.JPG").write_bytes(b"\xff\xd8\xff rest")
    (folder / "notes.txt").write_text("no picture")
    one, two = load_images(folder)
    url = one.content[1]["image_url"]["url"]
    assert (one.content[0]["type"], one.content[1]["type"]) == ("text", "image_url")
    assert base64.b64decode(url.removeprefix("data:image/png;base64,")) == PNG
    assert two.content[1]["image_url"]["url"].startswith("data:image/jpeg;base64,")

    lines = tmp_path / "asked.jsonl"
    lines.write_text('{"image": "pictures/a.png", "question": "What?", "answer": "dot"}\n')
    (asked,) = load_images(lines)
    assert asked.content[0]["text"] == "What?"
    assert asked.content[1]["image_url"]["url"] == url
    assert asked.answer == "dot"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder, "this folder has no picture"),
        (
            lambda folder: write(folder / "a.jsonl", '{"image": "x.png"}'),
            "a.jsonl:1: x.png: the picture cannot be read: No such",
        ),
        (lambda folder: write(folder / "a.jsonl", '{"image": "a.jsonl"}'), "is not a PNG, JPEG, GIF or WebP picture"),
        (lambda folder: write(folder / "a.jsonl", '{"picture": "a"}'), "a.jsonl:1: the field 'image' must be the path"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, make: Callable[[Path], Path], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        load_images(make(tmp_path))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_pictures_reach_the_engine(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "dot.png").write_bytes(PNG)
    found = run(plan(prompts=load_images(tmp_path / "pictures"), images=True, batches=[1], repeat=1), tmp_path)
    assert found.windows[0].answered > 0
    assert found.plan["images"] is True


# -- files ------------------------------------------------------------------------------------------------------------


def test_the_files_say_all_of_it(tmp_path: Path) -> None:
    found = run(plan(), tmp_path)
    said = json.loads((found.folder / "results.json").read_text())
    assert said["schema"] == 1
    assert said["whole"] is True
    assert said["machine"]["threads"] >= 1
    assert "orkester" in said["versions"]
    assert said["engines"][0]["facts"]["prefix_caching"] is False
    assert said["engines"][0]["facts"]["slots"] == 3
    assert [cell["batch"] for cell in said["cells"]] == [1, 3]
    assert all(cell["energy_method"] == "steady" for cell in said["cells"])
    with (found.folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, cell in zip(rows, said["cells"], strict=True):
        figure = cell["figures"]["energy_j_per_output_token"]
        assert float(row["energy_j_per_output_token"]) == pytest.approx(figure["median"], rel=1e-5)
        assert float(row["energy_j_per_output_token_low"]) <= float(row["energy_j_per_output_token_high"])
        assert row["energy_method"] == "steady"
    page = (found.folder / "report.html").read_text()
    assert "J per output token, steady, less is better" in page
    assert not re.search(r'(src|href)="(https?:)?//', page)


def test_joules_of_different_methods_share_no_plot(tmp_path: Path) -> None:
    methods = iter(["one", "two"])
    found = bench_energy(
        plan(models=["small", "large"], batches=[1], repeat=1),
        tmp_path / "out",
        meter=lambda _: SteadyMeter(method=next(methods)),
    )
    page = (found.folder / "report.html").read_text()
    figures = dict(re.findall(r'<figure[^>]* id="([^"]+)">(.*?)</figure>', page, re.DOTALL))
    for name, method in (("energy-0", "one"), ("energy-1", "two")):
        assert figures[name].count("<title>") == 1
        assert method in re.findall(r'<text class="title"[^>]*>([^<]+)<', figures[name])[-1]
    assert figures["speed"].count("<title>") == 2


def test_paths_are_shortened_for_people() -> None:
    assert short_name("/home/somebody/models/a.gguf") == "a.gguf"
    assert short_name("hf:org/name") == "hf:org/name"
    assert short_name("smollm2-135m") == "smollm2-135m"


def test_llama_cpp_is_measured(tmp_path: Path) -> None:
    found = bench_energy(
        plan(
            models=["arithmetic-80k"],
            engines=["auto", "llamacpp"],
            prompts=load_prompts(ROOT / "examples" / "arithmetic.jsonl"),
            scorer="numeric",
            max_tokens=8,
            context_tokens=256,
            threads=1,
            seconds=0.5,
            repeat=1,
        ),
        tmp_path / "out",
    )
    assert found.is_complete
    assert [pairing.engine for pairing in found.pairings] == ["llamacpp"]
    for cell in cells(found):
        assert cell.pairing.energy_method == "estimate"
        assert cell.failed == 0
        assert cell.successes is not None
        assert 0 < cell.successes <= cell.answered
        assert 0 < cell.figures["energy_j_per_output_token"].median < cell.figures["energy_j_per_success"].median
    for one in found.windows:
        assert one.cached_tokens in {0, None}
        assert set(one.energy_j or {}) == {"orkester", "engine:arithmetic-80k"}
