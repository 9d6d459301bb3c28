"""Tables of recorded and of generated calls: the arrays are what the graphs would have done."""

import asyncio
import importlib.util
import json
import random
import selectors
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from orkester.evals.scorers import scorer
from orkester.graphs import Team, TeamSettings
from orkester.graphs._votes import Draft
from orkester.graphs._votes import majority as elected_by_graphs
from orkester.optim.study.space import Grid, Space
from orkester.serving.chat import Message, Reply

sys.path.insert(0, str(ROOT / "benchmarks"))

from search import record
from search.compose import NONE, Calls, asked, compose, majority
from search.generator import MODELS, World, default_space, table
from search.plan import Plan, Recipe
from search.recording import TABLES, read
from search.repeats import repeats
from search.table import Table, load

RECORDED = sorted(path.stem for path in TABLES.glob("*.json"))
needs_pyarrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")


class Leaping(selectors.DefaultSelector):
    """Does not wait: the clock is put forward instead."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class Leap(asyncio.SelectorEventLoop):
    """A loop in which seconds pass only by sleeping."""

    def __init__(self) -> None:
        self._leaping = Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now_s


@dataclass
class Replayed:
    """A model that answers what was recorded, and takes as long."""

    name: str
    known: dict[tuple[str, float, str, int], int]
    texts: Sequence[str]
    latency_s: Sequence[float]
    made: list[int] = field(default_factory=list)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        agent: str,
        temperature: float,
        max_tokens: int,
        sample: int = 0,
        seed: int | None = None,
        response_format: object = None,
    ) -> Reply:
        assert len(messages) == 1
        assert response_format is None
        call = self.known[self.name, temperature, messages[0]["content"], sample]
        self.made.append(call)
        await asyncio.sleep(float(self.latency_s[call]))
        return Reply(text=self.texts[call], input_tokens=None, output_tokens=None, cached_tokens=None, latency_s=0.0)


def agree_with_the_graphs(
    made: Table, calls: Calls, texts: Sequence[str], questions: Sequence[str], score: Any, key: Any, pairs: int = 240
) -> None:
    """Run teams drawn at random, each on an example drawn at random, and compare all that a cell says."""
    rng = random.Random(4)
    rows: dict[str, list[int]] = {}
    for number, team in enumerate(made.teams):
        rows.setdefault(team.topology, []).append(number)
    some = rng.sample(range(len(made.examples)), min(12, len(made.examples)))
    known = {example: asked(calls, texts, example, questions[example]) for example in some}
    settings = TeamSettings(read=str.strip, key=key)

    async def compare() -> None:
        loop = asyncio.get_running_loop()
        for pair in range(pairs):
            # Every topology as often.
            number, example = rng.choice(list(rows.values())[pair % len(rows)]), rng.choice(some)
            call_ids: list[int] = []
            models = {
                name: Replayed(name, known[example], texts, calls.latency_s.tolist(), call_ids) for name in made.models
            }
            begin = loop.time()
            answer = await made.teams[number].answer(questions[example], models, settings)
            assert made.score[number, example] == score(answer, example)
            assert made.calls[number, example] == len(call_ids)
            assert sorted(made.keys(number, example)) == sorted(set(call_ids))
            assert made.latency_s[number, example] == pytest.approx(loop.time() - begin, rel=1e-4)
            joules = float(calls.energy_j[call_ids].sum())
            assert made.energy_j[number, example] == pytest.approx(joules, rel=1e-4, abs=1e-6)

    with asyncio.Runner(loop_factory=Leap) as runner:
        runner.run(compare())


@cache
def world() -> World:
    return World(seed=11)


@cache
def generated() -> Table:
    return world().table(examples=40, searched=25)


def test_generated_teams_do_what_the_graphs_do() -> None:
    calls = world().calls(examples=40)
    texts = [str(vote) for vote in calls.vote]
    questions = [f"Which is right of {name}?" for name in calls.examples]
    agree_with_the_graphs(generated(), calls, texts, questions, lambda answer, _: float(answer == "0"), str)


@needs_pyarrow
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_teams_do_what_the_graphs_do(name: str) -> None:
    recording = read(name)
    calls, texts = recording.calls(), recording.answers[recording.rows()].tolist()
    questions = [each["question"] for each in recording.questions]
    scores = scorer(recording.facts["scorer"])
    agree_with_the_graphs(
        load(name),
        calls,
        texts,
        questions,
        lambda answer, example: scores.score(answer, recording.questions[example]["expected"]),
        scores.key,
    )


@needs_pyarrow
@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_table_is_whole(name: str) -> None:
    made, recording = load(name), read(name)
    assert made.teams == tuple(recording.space.teams())
    assert len({team.id for team in made.teams}) == len(made.teams)
    assert np.isin(made.score, (0, 1)).all()
    assert (made.latency_s > 0).all()
    assert (made.energy_j >= 0).all()
    assert np.isfinite(made.truth()).all()
    assert recording.facts["sessions"][0]["energy"]["method"] == "estimate"
    # The scores are those that the scorer gives the answers.
    scores, rows = scorer(recording.facts["scorer"]), recording.rows()
    for row in random.Random(1).sample(rows.tolist(), 200):
        expected = recording.questions[recording.columns["example"][row]]["expected"]
        assert recording.columns["score"][row] == scores.score(str(recording.answers[row]), expected)
    assert sum(file.stat().st_size for file in TABLES.glob(f"{name}*")) < 4_000_000
    # A greedy call gives the same vote again, but for ties and rounding; what is sampled does not always.
    found = repeats(recording)
    assert found.greedy > 0.95 > found.sampled


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9))
def test_votes_are_elected_as_in_the_graphs(said: list[str]) -> None:
    elected, agreeing = majority(np.asarray([[ord(each)] for each in said]))
    # A wording of its own for each draft shows whose answer was elected, not only which.
    drafts = [Draft(sample, f"{each}{sample}") for sample, each in enumerate(said)]
    wording, share = elected_by_graphs(drafts, lambda answer: answer[0])
    assert wording == drafts[int(elected[0])].answer
    assert int(agreeing[0]) / len(said) == share


def test_teams_that_ask_the_same_share_calls() -> None:
    made, space = generated(), world().space
    knobs: dict[str, Any] = {"model": "small", "temperature": 0.4}
    five = made.number(Team("vote", {"agents": 5, **knobs}))
    nine = made.number(Team("vote", {"agents": 9, **knobs}))
    single = made.number(Team("single", knobs))
    debate = made.number(Team("debate", {"agents": 3, "rounds": 1, **knobs}))
    longer = made.number(Team("debate", {"agents": 3, "rounds": 2, **knobs}))
    for example in range(len(made.examples)):
        keys = {row: set(made.keys(row, example).tolist()) for row in (five, nine, single, debate, longer)}
        assert keys[single] < keys[five] < keys[nine]
        assert len(keys[debate] & keys[nine]) == 3
        assert keys[debate] < keys[longer]
        assert len(keys[longer]) == 9
    whole = [key for example in range(3, 7) for key in made.keys(nine, example)]
    assert made.keys_of(nine, slice(3, 7)).tolist() == whole
    assert len(made.teams) == len(space) == len(made.index)


def test_a_cascade_at_no_temperature_makes_its_greedy_call_once() -> None:
    space = Space(
        {
            "cascade": {
                "first": Grid(("a",)),
                "then": Grid(("a",)),
                "votes": Grid((2,)),
                "temperature": Grid((0.0,)),
                "agreement": Grid((1.0,)),
            }
        }
    )
    ids = np.arange(2, dtype=np.int32)
    ones = np.ones(2, np.float32)
    calls = Calls(
        models=("a",), temperatures=(0.0,), examples=("q",), base=ids.reshape(1, 1, 2, 1),
        later=np.full((1, 1, 1, 1, 1, 1), NONE, np.int32), model=np.zeros(2, np.int16),
        vote=np.asarray([0, 1], np.int32), score=ones, latency_s=ones, energy_j=ones, input_tokens=ids,
        output_tokens=ids,
    )  # fmt: skip
    made = compose("greedy", space, calls, searched=1)
    assert made.calls.tolist() == [[3]]
    assert made.keys(0, 0).tolist() == [0, 1]
    assert made.latency_s.tolist() == [[2.0]]


def test_what_was_not_recorded_cannot_be_composed() -> None:
    calls = world().calls(examples=3)
    for grids, message in (
        ({"single": {"model": Grid(("small",)), "temperature": Grid((0.33,))}}, "temperature 0.33"),
        ({"single": {"model": Grid(("huge",)), "temperature": Grid((0.4,))}}, "huge"),
        ({"vote": {"agents": Grid((10,)), "model": Grid(("small",)), "temperature": Grid((0.4,))}}, "10 samples"),
        ({"vote": {"agents": Grid((2,)), "model": Grid(("small",)), "temperature": Grid((0.0,))}}, "not recorded"),
    ):
        with pytest.raises(ValueError, match=message):
            compose("absent", Space(grids), calls, searched=2)
    with pytest.raises(ValueError, match="engine options"):
        compose("options", Space(world().space.grids, {"prefix_caching": (True, False)}), calls, searched=2)
    with pytest.raises(ValueError, match="1 to 3"):
        compose("none", world().space, calls, searched=0)


def test_a_seed_gives_the_same_table_and_another_draw_fresh_samples() -> None:
    first, same = table(seed=3, examples=30), table(seed=3, examples=30)
    assert np.array_equal(first.score, same.score)
    assert np.array_equal(first.latency_s, same.latency_s)
    made = World(seed=3)
    fresh, other = made.table(examples=30, draw=1), made.table(examples=30, items=1)
    assert fresh.examples == first.examples != other.examples
    assert not np.array_equal(first.score, fresh.score)
    # The same examples stay as hard as they are: their mean scores go together, those of others do not.
    together = np.corrcoef(first.score.mean(axis=0), fresh.score.mean(axis=0))[0, 1]
    apart = np.corrcoef(first.score.mean(axis=0), other.score.mean(axis=0))[0, 1]
    assert together > 0.95
    assert abs(apart) < 0.6


def test_the_known_truth_is_what_many_examples_come_to() -> None:
    weak, strong = MODELS[0], MODELS[2]
    names, warm = Grid((weak.name, strong.name)), Grid((0.2, 0.8))
    space = Space(
        {
            "single": {"model": names, "temperature": Grid((0.0, 0.8))},
            "vote": {"agents": Grid((2, 5, 8)), "model": names, "temperature": warm},
            "cascade": {
                "first": names,
                "then": names,
                "votes": Grid((3, 4)),
                "temperature": warm,
                "agreement": Grid((0.5, 0.75, 1.0)),
            },
            "debate": {"agents": Grid((2, 4)), "rounds": Grid((1, 2)), "model": names, "temperature": Grid((0.8,))},
        }
    )
    made = World(models=(weak, strong), space=space, seed=11)
    many = 12_000
    big = made.table(examples=many)
    truth = made.truth()
    errors = []
    for row, team in enumerate(made.space.teams()):
        quality, latency_p50_s, energy_j = truth[row]
        assert made.true_objectives(team) == (quality, latency_p50_s, energy_j)
        errors.append((big.score[row].mean() - quality) / (big.score[row].std() / many**0.5))
        seconds = np.sort(big.latency_s[row])
        low, high = (seconds[int(many / 2 + sign * 3.5 * many**0.5 / 2)] for sign in (-1, 1))
        assert low <= latency_p50_s <= high, team
        joules = big.energy_j[row].astype(np.float64)
        assert joules.mean() == pytest.approx(energy_j, abs=4 * joules.std() / many**0.5), team
    assert np.abs(errors).max() < 4


def test_harder_worlds_differ_in_what_pays() -> None:
    truth = dict(zip([team.id for team in world().space.teams()], world().truth(), strict=True))

    def quality(topology: str, **knobs: Any) -> float:
        return float(truth[Team(topology, knobs).id][0])

    assert quality("vote", agents=9, model="large", temperature=0.8) > quality("single", model="large", temperature=0.8)
    assert quality("single", model="large", temperature=0.0) > quality("single", model="tiny", temperature=0.0)
    assert (default_space().settings, len(default_space())) == (1264, 1024)


STUDY = {
    "name": "small",
    "task": {"data": "data.jsonl", "scorer": "exact", "confirm": 0.4, "max_tokens": 16},
    "models": ["small", "large"],
    "engine": {"fake": {"data": "data.jsonl", "accuracy": {"small": 0.55, "large": 0.9}}},
    "engine_options": {"slots": 4},
    "search": {
        "single": {"model": "any", "temperature": [0.0, 0.4]},
        "vote": {"agents": [2, 3], "model": "any", "temperature": [0.2, 0.4]},
        "cascade": {"first": "small", "then": "large", "votes": [2, 3], "temperature": 0.4, "agreement": [0.5, 1.0]},
        "debate": {"agents": [2, 3], "rounds": [1, 2], "model": "small", "temperature": 0.4},
    },
    "objectives": {"quality": "maximize", "calls": "minimize"},
    "seed": 3,
}


@needs_pyarrow
def test_recording_goes_on_where_it_was_cut_and_composes_what_the_graphs_do(tmp_path: Path) -> None:
    rows = [{"id": f"q{i}", "question": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(20)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    recipe = Recipe(
        study=tmp_path / "study.yaml",
        steps={"temperature": 0.2, "agreement": 0.25},
        examples=(10, 6),
        in_flight=4,
        again=8,
    )
    plan = Plan("small", recipe, tmp_path / "work" / "small.jsonl")
    assert plan.space.settings == 6 + 8 + 6 + 4
    # Two votes agree by a half, which makes a vote of two, or wholly; three agree by two thirds or wholly.
    assert len(plan.space) == 6 + 8 + 3 + 4
    assert not asyncio.run(record.record(plan, minutes=0.0))
    with pytest.raises(SystemExit, match="record more"):
        record.compact(plan, tmp_path / "tables")
    assert asyncio.run(record.record(plan, minutes=5.0))
    lines = plan.work.read_text().splitlines()
    # A crash in the middle of a line costs that block and no other.
    plan.work.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:80])
    assert asyncio.run(record.record(plan, minutes=5.0))
    assert set(plan.done()) == {block.id for block in plan.blocks}
    record.compact(plan, tmp_path / "tables")

    recording = read("small", tmp_path / "tables")
    made, calls = recording.table(), recording.calls()
    assert made.searched == 10
    assert {team.topology for team in made.teams} == {"single", "vote", "cascade", "debate"}
    texts, questions = recording.answers[recording.rows()].tolist(), [each["question"] for each in recording.questions]
    scores = scorer("exact")
    agree_with_the_graphs(
        made,
        calls,
        texts,
        questions,
        lambda answer, example: scores.score(answer, recording.questions[example]["expected"]),
        scores.key,
        pairs=60,
    )
    # A block's joules are its calls' and what no call accounts for.
    for row in plan.done().values():
        assert sum(call["energy_j"] for call in row["calls"]) + row["unattributed_j"] == pytest.approx(
            row["energy_j"], abs=1e-4
        )
    found = repeats(recording)
    assert found.examples == 8
    assert 0 <= found.sampled <= 1
    assert set(found.ratios["latency_s"]) == {"small", "large"}
    again = recording.calls(repetition=1)
    assert (again.base[:, :, 0, :8] != NONE).all()
    assert (again.base[..., 8:] == NONE).all()
