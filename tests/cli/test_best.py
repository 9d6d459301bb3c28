"""``orkester best``, as a user meets it."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import orkester
from orkester.cli import main

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """``orkester best`` in this process: exit code, standard output, standard error."""
    for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["orkester", "best", *map(str, arguments)])
        code: Any = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        assert "\x1b" not in out + err
        return code, out, err

    return run


def values(run: Path, name: str, phase: str) -> dict[str, float]:
    """By team, what was measured in a phase."""
    found = orkester.open_run(run).results.teams
    return {t.team.id: m.estimates[name].value for t in found if (m := getattr(t, phase)) is not None}


def test_help_has_an_example_and_says_how_a_share_is_kept(cli: Cli) -> None:
    code, out, _ = cli("--help")
    assert code == 0
    assert re.search(r"Example: orkester best runs/\w+ --max \w+=\d+", out)
    assert "--keep quality=90% --for energy_j" in out


def test_a_team_is_chosen_with_numbers_reason_and_file(cli: Cli, finished_run: Path) -> None:
    code, out, err = cli(finished_run)
    assert (code, err) == (0, "")
    choice = orkester.best(orkester.open_run(finished_run))
    team = choice.result.team
    lines = out.splitlines()
    assert lines[0] == str(team)
    assert lines[1].split() == ["quality", "calls", "n"]
    assert re.match(r"  search +[01]\.?\d* \[", lines[2])
    assert lines[2].split()[-1] == "12"
    assert re.match(r"  confirmed +[01]\.?\d* \[", lines[3])
    assert lines[3].split()[-1] == "5"
    assert lines[4] == "Decided by the confirmed values. Energy: estimate. Brackets: 95 % intervals."
    assert lines[5] == f"Why: {choice.why}"
    file = finished_run / "teams" / f"{team.id}.json"
    assert lines[-1] == f"Team file: {file}"
    assert orkester.load_team(file).team == team


def test_a_team_off_the_front_is_chosen_where_a_limit_says_so(cli: Cli, finished_run: Path) -> None:
    run = orkester.open_run(finished_run)
    off = [t for t in run.results.teams if not t.on_front and not t.infeasible and t.search]
    assert off
    least = min(t.search.estimates["calls"].value for t in off if t.search)
    code, out, _ = cli(finished_run, "--min", f"calls={least}", "--for", "failure_rate", "--json")
    assert code == 0
    shown = json.loads(out)
    assert values(finished_run, "calls", "search")[shown["id"]] >= least
    assert shown["values"]["calls"]["value"] >= least
    assert shown["team_file"] is None or Path(shown["team_file"]).is_file()


def test_json_is_what_programs_were_promised(cli: Cli, finished_run: Path) -> None:
    code, out, err = cli(finished_run, "--keep", "quality=90%", "--for", "calls", "--max", "energy_j=1e6", "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert set(shown) == {
        *("study", "id", "topology", "knobs", "engine", "trial", "on_front", "rule", "why", "values_of", "values"),
        *("energy_method", "candidates", "excluded", "unclear", "doubts", "cut_answers", "against_single"),
        *("team_file", "verdict"),
    }
    assert orkester.Team(shown["topology"], shown["knobs"], shown["engine"]).id == shown["id"]
    assert shown["rule"] == "best in calls"
    assert list(shown["values"]) == ["quality", "calls", "energy_j"]
    assert all(set(estimate) == {"value", "low", "high", "n"} for estimate in shown["values"].values())
    assert shown["excluded"] == {"energy_j <= 1000000": 0}
    phase = {"confirm": "confirmed", "search": "search"}[shown["values_of"]]
    qualities = values(finished_run, "quality", phase)
    assert shown["id"] in shown["candidates"]
    assert all(qualities[team] >= 0.9 * qualities[shown["id"]] for team in shown["candidates"])
    assert shown["team_file"] == str(finished_run / "teams" / f"{shown['id']}.json")


def test_percent_and_share_are_the_same(cli: Cli, finished_run: Path) -> None:
    assert cli(finished_run, "--keep", "quality=90%") == cli(finished_run, "--keep", " quality = 0.9")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max", "energy_j"], "--max takes a quantity and a number, such as energy_j=40, but got 'energy_j'"),
        (["--min", "quality=90%"], "--min takes a quantity and a number, such as energy_j=40, but got 'quality=90%'"),
        (["--keep", "quality=much"], "--keep takes a quantity and a number, such as quality=90%, but got"),
        (["--keep", "quality=90"], "the share of quality to keep must be over 0 and up to 1 (100 %), but got 90"),
        (["--max", "calls=3", "--max", "calls=4"], "--max names calls twice; name it once"),
        (["--max", "energie_j=4"], "unknown objective 'energie_j' (did you mean 'energy_j'?)"),
        (["--for", "qualty"], "unknown objective 'qualty' (did you mean 'quality'?)"),
        (["--max", "calls=nan"], "an upper limit of calls must be a number, but got nan"),
        (["--max", "cost_eur=1"], "cost_eur was not measured in this run"),
    ],
)
def test_what_is_asked_wrongly_ends_with_2_and_says_how(
    cli: Cli, finished_run: Path, arguments: list[str], said: str
) -> None:
    code, out, err = cli(finished_run, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("orkester: ")
    assert said in err


def test_no_run_ends_with_2(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli(tmp_path)
    assert (code, out) == (2, "")
    assert "there is no run here; orkester tune STUDY.yaml makes one" in err


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_nothing_that_satisfies_ends_with_1_and_the_nearest_miss(
    cli: Cli, finished_run: Path, options: list[str]
) -> None:
    code, out, err = cli(finished_run, "--max", "calls=0.5", *options)
    assert (code, out) == (1, "")
    assert err.startswith("orkester: no team keeps to the limit; ")
    assert re.search(r"  calls <= 0\.5 excludes (\d): ?|; nearest: 1 ", err)
    assert 'constraints: {calls: "<= 0.5"} in a study file' in err
