"""A study whose scorer asks a model: when it is leased, what happens when it dies, and what is refused before."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pools import ScriptedLease, ScriptedPool, guess
from support import quick_folder, write_study

import orkester
from orkester.errors import CallFailed, EngineError, EngineLost, InputError
from orkester.evals.records.call_store import CallStore
from orkester.evals.running.runner import BlockRunner
from orkester.graphs import Team
from orkester.optim.run.events import BlockRerun, Event
from orkester.optim.session.block_driver import BlockDriver
from orkester.serving.energy import Sampler, UnavailableMeter
from orkester.testing.scripted import ChatCall

JUDGE = {"judge": {"model": "large", "max_tokens": 8}}
SMALL = {"single": {"model": "small"}, "vote": {"agents": [2, 5], "model": "small", "temperature": 0.7}}
SINGLE = Team("single", {"model": "small", "temperature": 0.0})


@pytest.fixture(scope="module")
def study() -> Iterator[orkester.Study]:
    with quick_folder() as folder:
        changes: dict[str, Any] = {"measure": {"block": 3, "concurrency": 1}, "task": {"scorer": JUDGE}}
        yield orkester.load_study(write_study(folder, search=SMALL, **changes))


def answer(call: ChatCall, overrides: Mapping[str, object]) -> str:
    """The judge calls every answer correct."""
    return "correct" if call.agent == "judge" else guess(call, overrides)


def driver_of(study: orkester.Study, pool: ScriptedPool, events: list[Event]) -> BlockDriver:
    return BlockDriver(
        runner=BlockRunner(
            task=study.task, meter=Sampler(UnavailableMeter("none here")), concurrency=1, deadline_s=20, seed=1
        ),
        pool=pool,  # type: ignore[arg-type]
        observer=events.append,
        cold=True,
    )


async def run(driver: BlockDriver, study: orkester.Study, index: int = 0, **changes: Any) -> Any:
    examples = study.search_examples[3 * index : 3 * index + 3]
    known: dict[str, Any] = {"trial": 0, "progress": lambda done: None}
    return await driver.run(SINGLE, examples, "search", index, **{**known, **changes})


async def test_the_judge_is_leased_when_the_block_is_measured(study: orkester.Study) -> None:
    pool = ScriptedPool(answer=answer)
    block = await run(driver_of(study, pool, []), study)
    assert [what for what in pool.did if what[0] == "lease"] == [("lease", "small", "{}"), ("lease", "large", "{}")]
    assert [example.score for example in block.examples] == [1.0, 1.0, 1.0]
    assert {call.model for example in block.examples for call in example.calls} == {"small"}
    assert block.scoring.calls == 3


async def test_answers_that_were_judged_need_no_judge(study: orkester.Study) -> None:
    pool, store = ScriptedPool(answer=answer), CallStore()
    driver = driver_of(study, pool, [])
    store.add(await run(driver, study, store=store))
    before = len(pool.did)
    again = await run(driver, study, store=store)
    assert len(pool.did) == before  # all calls and all verdicts are known
    assert (again.scoring.scored, again.scoring.known) == (0, 3)


async def test_a_judge_that_died_is_started_again_and_the_block_is_kept(study: orkester.Study) -> None:
    broken = iter([CallFailed("connection")])

    def breaks(call: ChatCall, overrides: Mapping[str, object]) -> str:
        if call.agent == "judge":
            for failure in broken:
                raise failure
        return answer(call, overrides)

    pool, events = ScriptedPool(answer=breaks), list[Event]()
    block = await run(driver_of(study, pool, events), study)
    assert [example.score for example in block.examples] == [1.0, 1.0, 1.0]
    leases = [what[1] for what in pool.did if what[0] == "lease"]
    assert leases == ["small", "large", "large"]
    assert ("lost?", "large") in pool.did
    assert not any(isinstance(event, BlockRerun) for event in events)
    assert block.reruns == 0


async def test_a_team_whose_engine_died_is_not_judged(study: orkester.Study) -> None:
    broken = iter([CallFailed("connection")])

    def breaks(call: ChatCall, overrides: Mapping[str, object]) -> str:
        if call.agent != "judge":
            for failure in broken:
                raise failure
        return answer(call, overrides)

    pool = ScriptedPool(answer=breaks, loses=[("small",)])
    block = await run(driver_of(study, pool, []), study)
    assert block.reruns == 1
    assert [what[1] for what in pool.did if what[0] == "lease"] == ["small", "small", "large"]


async def test_no_team_is_to_blame_when_the_judge_cannot_be_kept_running(study: orkester.Study) -> None:
    class Broken(ScriptedPool):
        async def lease(self, names: Collection[str], overrides: Mapping[str, object]) -> ScriptedLease:
            if "large" in names:
                raise EngineLost("the engine of large died 3 times and is not started again")
            return await super().lease(names, overrides)

    with pytest.raises(EngineError, match="the scorer judge cannot go on: the engine of large died") as caught:
        await run(driver_of(study, Broken(answer=answer), []), study)
    assert not isinstance(caught.value, EngineLost)


def fake(folder: Path, **changes: Any) -> Path:
    """The fake engine knows no question of a judge, so that its verdicts cannot be read."""
    return write_study(folder, task={"scorer": JUDGE}, search=SMALL, budget={"trials": 2}, **changes)


def test_a_study_with_a_judge_is_tuned_and_says_what_the_verdicts_are_worth(tmp_path: Path) -> None:
    study = orkester.load_study(fake(tmp_path))
    orkester.tune(study, tmp_path / "run")
    run = orkester.open_run(tmp_path / "run")
    cost, *others = run.scoring
    assert "answers were scored in" in cost
    assert "No team pays for it; the budget does" in cost
    assert any("verdicts could not be read and count as wrong" in line for line in others)
    assert {call.model for block in run.blocks for example in block.examples for call in example.calls} == {"small"}
    assert "Scoring." in (tmp_path / "run" / "report.html").read_text()


def test_a_run_that_goes_on_knows_the_verdicts(tmp_path: Path) -> None:
    path = fake(tmp_path)
    orkester.tune(orkester.load_study(path), tmp_path / "run")
    orkester.tune(orkester.load_study(path), tmp_path / "run", extend={"trials": 6})
    lines = (tmp_path / "run" / "blocks.jsonl").read_text().splitlines()
    judged = {(e["id"], e["answer"]) for line in lines for e in json.loads(line).get("examples", ()) if e["answer"]}
    costs = [json.loads(line)["scoring"] for line in lines if "scoring" in json.loads(line)]
    assert sum(cost["scored"] for cost in costs) == len(judged)
    assert sum(cost["known"] for cost in costs) > 0


def test_evaluate_judges_too(tmp_path: Path) -> None:
    found = orkester.evaluate(fake(tmp_path), SINGLE)
    assert found.examples == 12
    assert found.estimates["quality"].value == 0.0  # no verdict can be read


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        ({"judge": {"model": "larg"}}, r"study\.yaml:\d+: task\.scorer\.judge.*did you mean 'large'"),
        ("judge", "judge"),
    ],
)
def test_a_judge_that_is_no_model_of_the_study_is_refused(tmp_path: Path, scorer: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        orkester.load_study(write_study(tmp_path, task={"scorer": scorer}))


def test_a_judge_of_its_own_answers_is_noted(tmp_path: Path) -> None:
    (note,) = orkester.load_study(write_study(tmp_path / "any", task={"scorer": JUDGE})).notes
    assert note.startswith("large judges teams that it takes part in")
    assert not orkester.load_study(fake(tmp_path / "small")).notes


def test_tests_that_cannot_be_run_are_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path, task={"scorer": "code"})
    with pytest.raises(InputError, match=r"task\.scorer: code cannot use the answer of 'q0': the test checks nothing"):
        orkester.load_study(path)


def test_data_need_no_answers_for_criteria(tmp_path: Path) -> None:
    path = write_study(tmp_path, task={"scorer": {"judge": {"model": "large", "criteria": "It is polite."}}})
    (tmp_path / "data.jsonl").write_text("".join(f'{{"question": "Greet {i} people."}}\n' for i in range(20)))
    study = orkester.load_study(path)
    assert {example.expected for example in study.task.search} == {None}
    path = write_study(tmp_path, task={"scorer": JUDGE})
    (tmp_path / "data.jsonl").write_text('{"question": "Greet."}\n')
    with pytest.raises(InputError, match="the field 'answer' is missing"):
        orkester.load_study(path)
