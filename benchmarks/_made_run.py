"""A run of any size that was never run: the product's records, of models that are random numbers.

Teams, racing, reuse, records and the trials' database are the product's own; made up are the answers, seconds and
joules of the calls. What the search says of a team is what it would say of such records, so ``orkester tune`` resumes
the run as it does any other.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from orkester.evals.records.block import Block, Call, ExampleResult, Phase
from orkester.evals.records.call_store import CallStore
from orkester.evals.records.log import BlockLog, TeamFailure, TeamStopped
from orkester.evals.running.reuse import wall_s, with_reused
from orkester.evals.summaries.rows import rows_of
from orkester.evals.task import Example
from orkester.graphs import Team
from orkester.optim.goals.goal import Goal
from orkester.optim.run.directory import RunDirectory
from orkester.optim.run.results import Results, TeamResult, results
from orkester.optim.search.racing import Race
from orkester.optim.search.samplers import Outcome
from orkester.optim.search.search import Search, Taken
from orkester.optim.search.trials import Trials
from orkester.optim.session.study_loading import load_study
from orkester.optim.study.study import Study
from orkester.serving import machine
from orkester.serving.energy import EstimateMeter

EXAMPLES, HELD_OUT, BLOCK, CONCURRENCY = 24, 32, 8, 4
#: By model: chance of a right answer, seconds and joules of a call.
MODELS: Mapping[str, tuple[float, float, float]] = {
    f"model-{i}": (0.35 + 0.05 * i, 0.1 * 1.3**i, 0.3 * 1.4**i) for i in range(12)
}
SEED = 11
#: Share of examples that fail, and of teams that cannot be measured at all.
FAILING, UNMEASURABLE = 0.0005, 0.002
#: Teams that are confirmed, at most.
CONFIRMED = 24
#: Of a reply: what a model says around its answer.
_AROUND = "Adding the number to itself gives twice the number, so the answer is"
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def write_study(folder: Path, teams: int) -> Path:
    """A study file and its data; its budget is as many teams."""
    rows = [
        {"id": f"q{i}", "question": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(EXAMPLES + HELD_OUT)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    heat = [0.0, 1.2]
    study = {
        "name": "made",
        "task": {
            "data": "data.jsonl",
            "scorer": "exact",
            "order": "as_given",
            "confirm": HELD_OUT / (EXAMPLES + HELD_OUT),
        },
        "models": list(MODELS),
        "engine": {"fake": {"data": "data.jsonl", "accuracy": {name: right for name, (right, _, _) in MODELS.items()}}},
        "search": {
            "single": {"model": "any", "temperature": heat},
            "vote": {"agents": [2, 5], "model": "any", "temperature": heat},
            "cascade": {"first": "any", "then": "any", "votes": [2, 5], "temperature": heat, "agreement": [0.5, 1.0]},
            "debate": {"agents": [2, 3], "rounds": [1, 2], "model": "any", "temperature": heat},
        },
        "objectives": {"quality": "maximize", "latency_p50_s": "minimize", "energy_j": "minimize"},
        "constraints": {"quality": ">= 0.75"},
        "energy": {"meter": "estimate"},
        "measure": {"block": BLOCK, "concurrency": CONCURRENCY},
        "sampler": "random",
        "budget": {"trials": teams, "confirm_calls": 1},
        "seed": SEED,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


def make(folder: Path, teams: int, *, database: bool = True) -> Path:
    """Make a study file and the directory of its run, which has spent its budget.

    Args:
        folder: for ``study.yaml``, its data and ``run/``.
        teams: tried.
        database: whether to write the trials' database too, which only a resume reads and which takes longest.

    Returns:
        The run directory.
    """
    study = load_study(write_study(folder, teams))
    goal = Goal.of(study.file.objectives, study.file.constraints)
    directory = RunDirectory(folder / "run")
    with directory:
        directory.begin(study.identity(), {"name": study.name, "sizes": study.sizes, "machine": machine.facts()})
        with BlockLog(directory.blocks) as log:
            maker = Maker(rng=random.Random(SEED))
            asked = list(_search(study, goal, log, maker, teams))
            _confirm(study, log, maker)
            found = _results(study, log)
        if database:
            _tell(study, goal, directory, asked, found)
    return directory.path


def _results(study: Study, log: BlockLog) -> Results:
    file = study.file
    return results(log.records(), file.objectives, file.constraints, study.sizes, footprint=file.energy.footprint)


def _search(study: Study, goal: Goal, log: BlockLog, maker: Maker, teams: int) -> Iterator[Team]:
    """Teams drawn at random, each measured until it is whole or out of the race; in the order of their trials."""
    rng, error = maker.rng, study.file.measure.stop_error
    race = Race(objectives=goal.objectives, constraints=goal.constraints, examples=EXAMPLES, block=BLOCK, error=error)
    search = Search(goal=goal, examples=EXAMPLES, block=BLOCK, race=race, composition=None)
    for trial, team in enumerate(_drawn(study, rng, teams)):
        if rng.random() < UNMEASURABLE:
            reason = f"the engine of {team.models[0]} died 3 times in block 0 of {team.id}"
            log.append(
                TeamFailure(team=team.id, topology=team.topology, knobs=dict(team.knobs), reason=reason, trial=trial)
            )
            search.give_up(team, reason)
            yield team
            continue
        index = 0
        while team.id not in search.closed:
            examples = study.search_examples[index * BLOCK : (index + 1) * BLOCK]
            block = maker.block(team, examples, "search", index, trial)
            log.append(block)
            search.learn(team, rows_of(block, study.file.energy.footprint), Taken.of(block))
            index += 1
        if reason := search.closed[team.id]:
            log.append(TeamStopped(team=team.id, reason=reason))
        yield team


def _drawn(study: Study, rng: random.Random, teams: int) -> list[Team]:
    """Different ones; one of each topology first, as samplers begin."""
    if teams > len(study.space) / 2:
        raise SystemExit(f"--teams takes at most {len(study.space) // 2}, half of the space")
    found: dict[str, Team] = {}
    while len(found) < teams:
        team = study.space.draw(rng)
        found.setdefault(team.id, team)
    return list(found.values())


def _confirm(study: Study, log: BlockLog, maker: Maker) -> None:
    """Members of the front, and as many beside it, on all held-out examples."""
    found = _results(study, log)
    front = list(found.front)[: CONFIRMED // 2]
    beside = [result for result in found.teams if result.whole and not result.infeasible and not result.on_front]
    for result in [*front, *beside[: len(front)]]:
        for index in range(HELD_OUT // BLOCK):
            examples = study.task.confirm[index * BLOCK : (index + 1) * BLOCK]
            log.append(maker.block(result.team, examples, "confirm", index, None))


def _tell(study: Study, goal: Goal, directory: RunDirectory, asked: Sequence[Team], found: Results) -> None:
    by_id = {result.team.id: result for result in found.teams}
    with Trials(study.space, goal, path=directory.database, name=study.name) as trials:
        for team in asked:
            trials.record(_outcome(by_id[team.id]))


def _outcome(result: TeamResult) -> Outcome:
    return Outcome(
        team=result.team,
        trial=result.trial,
        measurement=result.search,
        infeasible=result.infeasible,
        stopped=result.stopped,
    )


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A call to be made: all that are asked at once, of one round, have the same."""

    agent: str
    model: str
    sample: int
    about: str = ""  # what a debater has read, which makes it another call


@dataclass(kw_only=True)
class Maker:
    """Makes blocks.

    Attributes:
        rng: all that is made up comes from it.
        store: calls of the search, to be answered from as a run does it.
    """

    rng: random.Random
    store: CallStore = field(default_factory=CallStore)
    _meter: EstimateMeter = field(default_factory=EstimateMeter)
    _blocks: int = 0

    def block(self, team: Team, examples: Sequence[Example], phase: Phase, index: int, trial: int | None) -> Block:
        """A block of a team; one of the search is in the store afterwards."""
        made = [self._example(team, example, phase) for example in examples]
        calls = [call for result in made for call in result.calls]
        sent = [call for call in calls if not call.reused]
        took_s = [result.latency_s for result in made]
        window_s = wall_s([max((c.latency_s for c in result.calls if not c.reused), default=0.0) for result in made], 4)
        by_model: dict[str, float] = defaultdict(float)
        for call in sent:
            by_model[f"engine:{call.model}"] += call.energy_j or 0.0
        self._blocks += 1
        block = Block(
            team=team.id,
            topology=team.topology,
            knobs=dict(team.knobs),
            phase=phase,
            index=index,
            trial=trial,
            started_at=(_BEGAN + timedelta(seconds=10 * self._blocks)).isoformat(timespec="milliseconds"),
            wall_s=window_s,
            concurrency=CONCURRENCY,
            seed=SEED,
            energy_j={"orkester": 0.6 * window_s, **by_model},
            energy_method=self._meter.method,
            energy_assumptions=self._meter.assumptions,
            examples=tuple(made),
            engines={name: _facts(name) for name in team.models},
            energy_error_j=0.01,
            energy_unattributed_j=0.6 * window_s,
            attribution="tokens",
            prefix_cache="cold",
        )
        if phase == "confirm":
            return block
        block = with_reused(block, took_s, self.store)
        self.store.add(block)
        return block

    def _example(self, team: Team, example: Example, phase: Phase) -> ExampleResult:
        calls: list[Call] = []
        latency_s, answer = 0.0, ""
        for asked in _rounds(team):
            if team.topology == "cascade" and asked[0].agent == "finisher" and not self._differ(calls):
                break
            made = [self._call(each, team, example, phase, latency_s) for each in asked]
            latency_s += max(call.latency_s for call in made)
            calls += made
            answer = statistics.mode(self._said(call, example) for call in made)
        result = ExampleResult(
            id=example.id,
            answer=answer,
            score=float(answer == example.expected),
            latency_s=latency_s,
            calls=tuple(calls),
            trace_id=f"{self.rng.getrandbits(128):032x}",
            composed=any(call.reused for call in calls),
        )
        if self.rng.random() >= FAILING:
            return result
        return replace(result, answer=None, score=0.0, latency_s=60.0, failure="deadline")

    def _differ(self, calls: Sequence[Call]) -> bool:
        return len({call.text for call in calls}) > 1

    def _call(self, asked: _Asked, team: Team, example: Example, phase: Phase, start_s: float) -> Call:
        key = None
        if phase == "search":
            name = [asked.model, asked.sample, team.knobs["temperature"], asked.about, example.id]
            key = hashlib.blake2b(json.dumps(name).encode(), digest_size=16).hexdigest()
            if (known := self.store.recall(key, self._meter.method)) is not None:
                return replace(known, start_s=start_s, agent=asked.agent)
        rng, (right, seconds, joules) = self.rng, MODELS[asked.model]
        hard = int(hashlib.sha256(example.id.encode()).hexdigest()[:4], 16) / 0x10000  # the same for all teams
        chance = 1 / (1 + math.exp(-(math.log(right / (1 - right)) + 2 * (0.5 - hard) + 0.3 * bool(asked.about))))
        answer = str(example.expected) if rng.random() < chance else str(rng.randrange(100))
        tokens = rng.randrange(12, 40)
        latency_s = seconds * rng.lognormvariate(0, 0.3)
        return Call(
            agent=asked.agent,
            model=asked.model,
            sample=asked.sample,
            start_s=start_s,
            latency_s=latency_s,
            input_tokens=rng.randrange(20, 60) + 200 * bool(asked.about),
            output_tokens=tokens,
            cached_tokens=0,
            energy_j=joules * rng.lognormvariate(0, 0.3),
            span_id=f"{rng.getrandbits(64):016x}",
            key=key,
            text=f"{_AROUND} {answer}" if phase == "search" else None,
            finish_reason="stop" if phase == "search" else None,
        )

    def _said(self, call: Call, example: Example) -> str:
        """Of a reply; what is not kept is drawn as it was."""
        if call.text is not None:
            return call.text.rpartition(" ")[2]
        return str(example.expected) if self.rng.random() < MODELS[call.model][0] else "?"


def _rounds(team: Team) -> Iterator[Sequence[_Asked]]:
    """Which calls a team makes one after the other; those of a round at once."""
    knobs: Mapping[str, Any] = team.knobs
    match team.topology:
        case "single":
            yield [_Asked(agent="solo", model=knobs["model"], sample=0)]
        case "vote":
            yield [_Asked(agent="voter", model=knobs["model"], sample=i) for i in range(knobs["agents"])]
        case "cascade":
            yield [_Asked(agent="voter", model=knobs["first"], sample=i) for i in range(knobs["votes"])]
            yield [_Asked(agent="finisher", model=knobs["then"], sample=0)]
        case "debate":
            for turn in range(knobs["rounds"] + 1):
                about = f"{team.id} {turn}" if turn else ""
                yield [
                    _Asked(agent="debater", model=knobs["model"], sample=i, about=about) for i in range(knobs["agents"])
                ]


def _facts(model: str) -> dict[str, object]:
    """As much as an engine says of itself."""
    return {
        "engine": "llamacpp",
        "version": "1.0",
        "source": f"made/{model}",
        "weights_bytes": 400_000_000,
        "weights_sha256": hashlib.sha256(model.encode()).hexdigest(),
        "slots": 16,
        "context_tokens": 4096,
        "threads": 2,
        "base_url": "http://127.0.0.1:8000/v1",
        "quantization": "q8_0",
    }
