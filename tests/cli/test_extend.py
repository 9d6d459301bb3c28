"""``orkester tune --extend``, as a user meets it."""

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import write_study

import orkester
from orkester.cli import main
from orkester.optim.run.events import BudgetSpent, Event, Forecast, SearchEnded

wired = pytest.mark.skipif("extend" not in inspect.signature(orkester.tune).parameters, reason="tune() has no extend")

#: Seven teams, quickly measured.
SEARCH = {
    "single": {"model": "any"},
    "vote": {"agents": [2, 4], "model": "large"},
    "debate": {"agents": 2, "model": "any"},
}
Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs ``orkester tune`` in this process; gives its exit code and what it said on standard error."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["orkester", "tune", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("amounts", "said"),
    [
        (["trials"], "--extend must be KEY=NUMBER, for example trials=20, but it is 'trials'"),
        (["trials=many"], "--extend must be KEY=NUMBER, for example trials=20, but it is 'trials=many'"),
        (["=20"], "--extend: unknown limit ''. Known: trials, minutes, llm_calls, tokens, joules"),
        (["trails=20"], "--extend: unknown limit 'trails' (did you mean 'trials'?)"),
        (["trials=2.5"], "--extend: trials takes a whole number of at least 1, but got 2.5"),
        (["minutes=-3"], "--extend: minutes takes a number above 0, but got -3"),
        (["trials=2", "trials=3"], "--extend: trials is given twice; give it once, with the sum"),
    ],
)
def test_what_cannot_be_added_ends_with_2_and_says_how(
    cli: Cli, amounts: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, err = cli("study.yaml", *[part for amount in amounts for part in ("--extend", amount)])
    assert code == 2
    assert said in err
    assert list(tmp_path.iterdir()) == []


@wired
def test_a_run_that_is_not_there_is_not_begun(cli: Cli, quick_path: Path) -> None:
    study = write_study(quick_path / "study", search=SEARCH, budget={"trials": 2})
    code, err = cli(study, "--run", quick_path / "slip", "--extend", "trials=2")
    assert code == 2
    assert "this directory has no run to extend; to start a run, leave out --extend" in err
    assert not (quick_path / "slip").exists()


@wired
def test_a_finished_run_goes_on_and_the_same_command_adds_again(cli: Cli, quick_path: Path) -> None:
    study, run = write_study(quick_path / "study", whole=True, search=SEARCH, budget={"trials": 2}), quick_path / "run"

    def teams(*more: object) -> int:
        code, err = cli(study, "--run", run, *more)
        assert code == 0, err
        return len(orkester.open_run(run).results.teams)

    assert teams() == 2
    assert teams() == 2
    assert teams("--extend", "trials=2") == 4
    assert teams() == 4
    assert teams("--extend", "trials=1") == 5
    assert teams("--extend", "trials=1") == 6
    code, err = cli(study, "--run", run, "--extend", "llm_calls=1")
    assert code == 2
    assert "--extend llm_calls=1 would change nothing: 6 teams are measured. Add --extend trials=…" in err
    assert teams("--extend", "llm_calls=1", "--extend", "trials=9") == 7  # every team of the space


@wired
def test_an_extension_that_was_interrupted_is_not_added_twice(quick_path: Path) -> None:
    study, run = write_study(quick_path / "study", whole=True, search=SEARCH, budget={"trials": 2}), quick_path / "run"
    orkester.tune(study, run)

    class Cut(Exception):
        """As a kill: nothing is tidied up after it."""

    def cut(event: Event) -> None:
        if isinstance(event, BudgetSpent):
            raise Cut

    for _ in range(2):
        with pytest.raises((Cut, ExceptionGroup)):
            orkester.tune(study, run, extend={"trials": 2}, observer=cut)
    assert len(orkester.tune(study, run, extend={"trials": 2}).results.teams) == 4
    assert len(orkester.tune(study, run, extend={"trials": 2}).results.teams) == 6


@wired
def test_calls_that_are_spent_end_the_search_and_what_is_told_of_them_is_so(quick_path: Path) -> None:
    study = write_study(quick_path / "study", search=SEARCH, budget={"trials": None, "llm_calls": 60})
    events: list[Event] = []
    run = orkester.tune(study, quick_path / "run", observer=events.append)
    (ended,) = [event for event in events if isinstance(event, SearchEnded)]
    assert ended.reason == "60 LLM calls are sent"
    searched = [block for block in run.blocks if block.phase == "search"]
    sent = sum(not call.reused for block in searched for e in block.examples for call in e.calls)
    used = [event for event in events if isinstance(event, BudgetSpent) and event.name == "llm_calls"]
    assert used[-1].spent == sent
    assert used[-1].limit == 60
    assert 60 <= sent < 60 + 4 * 4  # the block that had begun was finished
    first = next(event for event in events if isinstance(event, Forecast))
    assert first.teams == 7
    assert first.ranges["llm_calls"] == (60, 60)  # seven teams, twelve examples, one call at least
    assert first.ends_by == "llm_calls"


@wired
def test_the_forecast_of_a_whole_search_holds(cli: Cli, quick_path: Path) -> None:
    study = write_study(quick_path / "study", search=SEARCH, budget={"trials": 6})
    code, err = cli(study, "--run", quick_path / "run")
    assert code == 0
    said = re.search(r"forecast: at most 6 teams × 12 examples: (\d+) to (\d+) calls; minutes", err)
    assert said is not None
    blocks = orkester.open_run(quick_path / "run").blocks
    sent = sum(len(e.calls) for block in blocks if block.phase == "search" for e in block.examples)
    assert int(said[1]) <= sent <= int(said[2])
    assert "forecast from 3 teams: 6 teams in all: " in err
