"""Others' searches are counted and judged as the benchmark says, and nat is served what the table holds."""

import csv
import json
import math
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import optuna
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from orkester.optim.study.space import Grid, Space

sys.path.insert(0, str(ROOT / "benchmarks"))

from search import baselines, measures, run, syftr
from search.generator import MODELS, World
from search.nat import __main__ as nat
from search.nat.server import TableServer, fields, team_of
from search.table import Table

NAMES = Grid(("tiny", "small"))
SPACE = Space(
    {
        "single": {"model": NAMES, "temperature": Grid((0.0, 0.2, 0.4))},
        "vote": {"agents": Grid((2, 3, 4)), "model": NAMES, "temperature": Grid((0.4,))},
    }
)
TABLE = World(models=MODELS[:2], space=SPACE).table(examples=40, searched=35)
OPTUNA_S = ["random", "nsga2", "nsga2_conditional", "nsga3", "tpe", "tpe_group"]


def with_values(score: Sequence[Sequence[float]], energy_j: Sequence[Sequence[float]]) -> Table:
    """The first teams' scores and joules replaced; every other team is right nowhere."""
    scores, joules = np.zeros_like(TABLE.score), np.full_like(TABLE.energy_j, 100.0)
    scores[: len(score)], joules[: len(energy_j)] = score, energy_j
    return replace(TABLE, score=scores, energy_j=joules, latency_s=np.ones_like(TABLE.latency_s))


# -- judging


def test_a_front_is_worth_its_true_volume() -> None:
    judge = measures.Judge(np.array([[1.0, 2.0, 2.0], [0.0, 1.0, 1.0], [0.0, 1.5, 1.5]]))
    assert judge.front.tolist() == [0, 1]
    whole = 1.1 * 0.1 * 0.1 + 0.1 * 1.1 * 1.1 - 0.1**3
    assert judge.relative([0]) == pytest.approx(1.1 * 0.1 * 0.1 / whole)
    assert judge.relative([1, 2]) == pytest.approx(0.1 * 1.1 * 1.1 / whole)
    assert judge.relative([0, 1]) == pytest.approx(1)
    assert judge.relative([]) == 0


def test_a_team_beyond_the_reference_point_is_worth_nothing() -> None:
    judge = measures.Judge(np.array([[1.0, 2.0, 2.0], [0.0, 1.0, 1.0], [0.9, 2.2, 2.0]]))
    assert judge.relative([2]) == 0


def test_an_objective_in_which_the_front_is_equal_divides_nothing() -> None:
    judge = measures.Judge(np.array([[0.5, 1.0, 3.0], [0.5, 2.0, 1.0]]))
    assert judge.relative([0, 1]) == pytest.approx(1)
    assert 0 < judge.relative([0]) < 1


def test_a_curve_says_when_the_target_was_reached_and_from_when_it_held() -> None:
    found = measures.Curve(calls=(10, 20, 30, 40), value=(0.5, 0.96, 0.9, 0.97), end=50)
    assert (found.reaches(), found.holds()) == (20, 40)
    assert found.reaches(0.99) == found.holds(0.99) == math.inf
    assert found.at(np.array([5.0, 10.0, 35.0, 50.0])).tolist() == [0, 0.5, 0.9, 0.97]
    assert math.isnan(found.at(np.array([51.0]))[0])


def test_reports_beyond_the_budget_or_the_cap_are_not_looked_at() -> None:
    judge = measures.Judge(np.array([[1.0, 2.0, 2.0], [0.0, 1.0, 1.0]]))
    reports = [(10, [1]), (20, [1]), (30, [0, 1])]
    assert measures.curve(reports, judge, max_calls=29).calls == (10,)
    assert measures.curve(reports, judge, max_calls=29).end == 29
    assert measures.curve(reports, judge, max_calls=99, max_trials=2).end == 20
    assert measures.curve(reports, judge, max_calls=99).reaches() == 30


@given(st.lists(st.integers(0, len(TABLE.teams) - 1), max_size=30))
def test_the_reported_front_is_that_of_all_measured_teams(order: list[int]) -> None:
    estimate = TABLE.truth()
    *_, (calls, front) = measures.checkpoints([(0, None), *enumerate(order, start=1)], estimate)
    seen = sorted(set(order))
    assert calls == len(order)
    assert sorted(front) == [seen[i] for i in np.flatnonzero(measures.front_mask(estimate[seen]))]


def test_ratios_of_runs_that_never_got_there_are_at_least_what_their_ends_say() -> None:
    there = measures.ratio([100, 200, 300], [400] * 3, [10, 20, 30], seed=0)
    assert (there["median"], there["at_least"]) == (10, False)
    assert 0 < there["low"] <= 10 <= there["high"]
    never = measures.ratio([100, math.inf, math.inf], [400, 500, 600], [10, 20, 30], seed=0)
    assert (never["median"], never["at_least"], never["high"]) == (25, True, None)
    assert measures.ratio([100], [400], [math.inf], seed=0)["median"] is None
    assert measures.ratio([100] * 3, [400] * 3, [10, 10, math.inf], seed=0)["low"] == 0


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=9), st.integers(1, 50))
def test_a_ratio_does_not_depend_on_the_unit(calls: list[int], unit: int) -> None:
    ends = [1000.0] * len(calls)
    plain = measures.ratio(calls, ends, calls[::-1], seed=1)
    assert plain["median"] == 1
    assert plain == measures.ratio([c * unit for c in calls], ends, [c * unit for c in calls[::-1]], seed=1)


# -- Optuna's


@pytest.mark.parametrize("name", OPTUNA_S)
def test_every_trial_is_paid_in_full_and_a_seed_gives_the_same_run(name: str) -> None:
    method, cost = getattr(baselines, name), set(baselines.Measured(TABLE).cost.tolist())
    first = list(islice(method(TABLE, 3, 10**6), 60))
    assert len(first) == 60 > len(TABLE.teams)  # so some were asked for again
    spent = [calls for calls, _ in first]
    assert {int(step) for step in np.diff([0, *spent])} <= cost
    assert first == list(islice(method(TABLE, 3, 10**6), 60))
    assert first != list(islice(method(TABLE, 4, 10**6), 60))


@pytest.mark.parametrize("name", ["random", "nsga2", "tpe"])
def test_a_run_ends_with_its_budget(name: str) -> None:
    spent = [calls for calls, _ in getattr(baselines, name)(TABLE, 0, 2000)]
    assert spent[-2] < 2000 <= spent[-1]


def test_measuring_every_team_finds_the_front_of_what_was_measured() -> None:
    measured = baselines.Measured(TABLE)
    *_, (calls, front) = baselines.exhaustive(TABLE, 0, 10**6)
    assert measured.examples == 35
    assert calls == TABLE.calls[:, :35].sum()
    assert sorted(front) == np.flatnonzero(measures.front_mask(TABLE.truth(slice(35)))).tolist()


def test_a_flat_space_has_the_knobs_of_all_topologies() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        assert baselines.suggest_flat(SPACE, trial) in SPACE
        assert set(trial.params) == {
            "topology",
            "single.model",
            "single.temperature",
            "vote.agents",
            "vote.model",
        }


def test_our_own_sampler_s_settings_begin_with_each_topology_once() -> None:
    fronts = islice(baselines.tpe_group(TABLE, 0, 10**6), 2)
    seen = {TABLE.teams[team].topology for _, front in fronts for team in front}
    assert seen == {"single", "vote"}


def test_the_wilcoxon_pruner_saves_calls_and_reports_only_whole_teams() -> None:
    reports = list(islice(baselines.wilcoxon(TABLE, 0, 10**6), 40))
    whole = set(baselines.Measured(TABLE).cost.tolist())
    steps = {int(step) for step in np.diff([0, *(calls for calls, _ in reports)])}
    assert steps - whole
    assert reports[-1][1]


# -- syftr's


def test_as_published_an_interval_has_no_width_at_the_ends_and_repaired_it_has() -> None:
    assert syftr.wald_corner(np.ones(30), np.ones(30)) == (1, 0)
    assert syftr.wald_corner(np.zeros(30), np.ones(30))[0] == 0
    assert syftr.wilson_upper(0.0, 30) == pytest.approx(1.645**2 / (30 + 1.645**2))
    assert syftr.wilson_upper(1.0, 30) == pytest.approx(1)
    values = np.random.default_rng(0).lognormal(size=40)
    assert values.min() < syftr.median_lower(values) < np.median(values)


def study_of(table: Table, *, repaired: bool) -> syftr.Study:
    study = optuna.create_study(directions=("maximize", "minimize"), sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(SPACE.params(table.teams[1]))
    return syftr.Study(
        table=table,
        measured=baselines.Measured(table),
        study=study,
        cost=syftr.ENERGY,
        repaired=repaired,
    )


@pytest.mark.parametrize(("repaired", "state"), [(False, "COMPLETE"), (True, "PRUNED")])
def test_a_team_that_is_surely_beaten_is_stopped_after_thirty(repaired: bool, state: str) -> None:
    n = len(TABLE.examples)
    table = with_values([[1] * n, [0, 1] * (n // 2)], [[1.0] * n, [2.0] * n])
    found = study_of(table, repaired=repaired)
    found.seen[0], found.values[0] = 35, (1.0, 1.0)
    assert found.trial() == table.calls[1, :30].sum()
    assert found.study.trials[-1].state.name == state
    assert found.front() == [0]


def test_a_team_that_may_be_best_is_run_to_the_end() -> None:
    n = len(TABLE.examples)
    table = with_values([[1] * n, [1] * n], [[1.0] * n, [0.5] * n])
    found = study_of(table, repaired=False)
    found.seen[0], found.values[0] = 35, (1.0, 1.0)
    assert found.trial() == table.calls[1, :35].sum()
    assert found.front() == [1]


@pytest.mark.parametrize("name", ["energy", "latency", "both", "repaired_energy", "repaired_latency", "repaired_both"])
def test_each_way_of_syftr_reports_a_front_that_is_worth_something(name: str) -> None:
    *_, (calls, front) = islice(getattr(syftr, name)(TABLE, 0, 10**6), 40)
    judge = measures.Judge(TABLE.truth())
    assert calls <= 40 * baselines.Measured(TABLE).cost.max()
    assert judge.relative(front) > 0.3


# -- the command


def test_it_writes_what_it_found_and_adds_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "load_table", lambda _: TABLE)
    monkeypatch.setattr(run, "_judge", lambda _: measures.Judge(TABLE.truth()))
    plain = ["--table", "generated", "--seeds", "2", "--jobs", "1", "--out", str(tmp_path)]
    run.main([*plain, "--methods", "exhaustive,random"])
    [path] = tmp_path.glob("search-generated-*.json")
    result = json.loads(path.read_text())
    assert list(result["methods"]) == ["random", "exhaustive"]
    assert result["ratio_to"] == {}
    assert result["seeds"] == [0, 1]
    assert 0 <= result["teams_that_reach_the_target_alone"] <= len(TABLE.teams)
    assert len(result["methods"]["random"]["bands"]["p50"]) == len(result["grid_of_calls"])
    assert result["calls_of_the_whole_grid"] == result["max_calls"]
    assert "polyline" in path.with_suffix(".svg").read_text()
    assert "random" in capsys.readouterr().out
    live = {
        "content_sha256": result["content_sha256"],
        "trials": 7,
        "runs": [{"calls": [10, 20], "value": [0.5, 0.96], "end": 30, "pick": {"team": "single"}}],
    }
    (tmp_path / "live.json").write_text(json.dumps(live))
    run.main([*plain, "--methods", "syftr", "--update", "--nat", str(tmp_path / "live.json")])
    result = json.loads(path.read_text())
    assert list(result["methods"]) == ["random", "syftr", "exhaustive", "nat"]
    assert result["methods"]["nat"]["calls_to_95"] == [20]
    assert result["methods"]["nat"]["exported_pick"] == [{"team": "single"}]
    (tmp_path / "live.json").write_text(json.dumps({**live, "content_sha256": "other"}))
    with pytest.raises(SystemExit):
        run.main([*plain, "--methods", "random", "--nat", str(tmp_path / "live.json")])
    assert "another table" in capsys.readouterr().err


def test_ratios_are_to_ours_and_say_when_they_are_bounds() -> None:
    def runs(calls: list[float | None]) -> dict[str, object]:
        return {"calls_to_95": calls, "ended_at": [1000.0] * len(calls)}

    found = run.ratios({"ours": runs([10, 20, 30]), "tpe": runs([100, 80, 90]), "gp": runs([None] * 3)}, seed=0)
    assert set(found) == {"tpe", "gp"}
    assert (found["tpe"]["median"], found["gp"]["median"]) == (4.5, 50)
    assert (found["tpe"]["at_least"], found["gp"]["at_least"]) == (False, True)
    held = {name: {**runs([1, 1, 1]), "held_from": [c, c, c]} for name, c in {"ours": 10.0, "tpe": 70.0}.items()}
    assert run.ratios(held, seed=0, calls="held_from")["tpe"]["median"] == 7


@pytest.mark.parametrize("wrong", [["--methods", "simulated_annealing"], ["--seeds", "0"]])
def test_what_cannot_be_run_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run.main(wrong)
    assert left.value.code == 2
    assert wrong[0] in capsys.readouterr().err or "simulated_annealing" in wrong


def test_a_method_that_needs_what_is_not_there_is_left_out() -> None:
    entry = run.Entry(where="baselines:gp", needs=("no_such_package_at_all",))
    assert entry.lacks == "not installed: no_such_package_at_all"
    assert run.Entry(where="baselines:absent").lacks
    assert not run.METHODS["tpe"].lacks


# -- nat


def test_flat_fields_lead_back_to_every_team() -> None:
    known = fields(SPACE)
    assert known["vote__agents"]["space"] == {"low": 2, "high": 4, "step": 1}
    assert known["single__temperature"]["space"] == {"low": 0.0, "high": 0.4, "step": 0.2}
    assert known["vote__temperature"] == {"kind": "float", "default": 0.4, "space": None}
    for team in SPACE.teams():
        flat = {name: field["default"] for name, field in known.items()}
        flat |= {f"{team.topology}__{knob}": value for knob, value in team.knobs.items()}
        assert team_of(SPACE, {**flat, "topology": team.topology}) == team
    rounded = {"topology": "single", "single__model": "tiny", "single__temperature": 0.2 + 1e-9}
    assert team_of(SPACE, rounded).knobs["temperature"] == 0.2


def test_the_server_answers_as_often_as_the_table_says_and_counts() -> None:
    row = next(i for i, team in enumerate(TABLE.teams) if team.knobs.get("agents") == 3)
    team = TABLE.teams[row]
    flat = {"topology": "vote", **{f"vote__{knob}": value for knob, value in team.knobs.items()}}
    with TableServer(TABLE) as server:
        more, calls = True, 0
        while more:
            content = json.dumps({"team": flat, "example": "example 7", "call": calls})
            body = json.dumps({"model": "table", "messages": [{"role": "user", "content": content}]}).encode()
            request = urllib.request.Request(
                f"{server.url}/chat/completions", body, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as reply:
                answer = json.loads(json.load(reply)["choices"][0]["message"]["content"])
            more, calls = answer["more"], calls + 1
        assert calls == len(server.times_s) == TABLE.calls[row, 7] == 3
    assert answer["energy_j"] == pytest.approx(TABLE.energy_j[row, 7])
    assert answer["score"] == TABLE.score[row, 7]


def test_what_nat_leaves_is_judged_by_the_truth(tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.mkdir()
    measured, judge = baselines.Measured(TABLE), measures.Judge(TABLE.truth())
    rows, times_s = [], []
    for number, row in enumerate([0, 6, 0]):
        team = TABLE.teams[row]
        quality, latency, energy = measured.estimate[row]
        times_s += [100.0 * number] * int(measured.cost[row])
        rows.append(
            {
                "number": number,
                "values_quality": quality,
                "values_latency_p50_s": latency,
                "values_energy_j": energy,
                "datetime_complete": f"1970-01-01 00:0{(100 * number + 1) // 60}:{(100 * number + 1) % 60:02d}.5",
                "pareto_optimal": row == 0,
                "params_workflow.topology": team.topology,
                **{f"params_workflow.{team.topology}__{knob}": value for knob, value in team.knobs.items()},
            }
        )
    names = dict.fromkeys(name for row in rows for name in row)
    with (found / "trials_dataframe_params.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(names))
        writer.writeheader()
        writer.writerows(rows)
    flat = {f"single__{knob}": value for knob, value in TABLE.teams[0].knobs.items()}
    (found / "optimized_config.yml").write_text(yaml.safe_dump({"workflow": {"topology": "single", **flat}}))
    read = nat.read(TABLE, tmp_path, times_s, judge)
    assert (read["trials"], read["duplicates"]) == (3, 1)
    assert read["calls_at_the_server"] == read["calls_of_the_table"] == 2 * measured.cost[0] + measured.cost[6]
    assert read["calls"][0] == measured.cost[0]
    assert read["front"] == [TABLE.teams[0].id]
    assert read["pick"]["team"] == str(TABLE.teams[0])
    assert read["pick"]["value_alone"] == pytest.approx(judge.relative([0]), abs=1e-4)
