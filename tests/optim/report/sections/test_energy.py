"""The report's section on energy: whose joules they were, what makes them doubtful, what they are worth."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from orkester.evals.records.block import Block
from orkester.evals.records.log import Records, decode
from orkester.graphs import Team
from orkester.optim.insight.insights import Insights
from orkester.optim.report import write_report
from orkester.optim.report._joules import marks_of, shared_how
from orkester.optim.report.sections.energy import apart, energy_section, gauges
from orkester.optim.report.sections.engines import ledger_total
from orkester.optim.report.sections.members import member
from orkester.optim.report.sections.methods import carbon_and_cost
from orkester.optim.run.engine_log import EngineUse
from orkester.optim.run.results import Results, results
from orkester.optim.study.parts import EnergyPart
from orkester.testing.blocks import block, call, result

CASCADE = Team("cascade", {"first": "small", "then": "large", "votes": 2, "temperature": 0.7, "agreement": 1.0})
SHORT = "imprecise: shorter than the 2 s that the meter needs"
FOREIGN = "others were at work on gpu:0"


class Page:
    """A report's parts by their ids: texts, rows of cells, and the tips of charts."""

    def __init__(self, path: Path) -> None:
        self.source = path.read_text(encoding="utf-8")
        parts = {
            name: inside
            for tag in ("section", "article")
            for name, inside in re.findall(rf'<{tag}[^>]* id="([^"]+)">(.*?)</{tag}>', self.source, re.DOTALL)
        }
        self.texts = {name: _plain(inside) for name, inside in parts.items()}
        self.rows = {
            name: [
                [_plain(cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", row, re.DOTALL)]
                for row in re.findall(r"<tr.*?</tr>", inside, re.DOTALL)
            ]
            for name, inside in parts.items()
        }
        self.charts = {
            name: [unescape(tip) for tip in re.findall(r"<title>(.*?)</title>", inside, re.DOTALL)]
            for name, inside in re.findall(r'<figure[^>]* id="([^"]+)">(.*?)</figure>', self.source, re.DOTALL)
        }


def _plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html.replace("<wbr>", ""))).split())


def use(**changes: Any) -> EngineUse:
    names = ("starts", "sleeps", "wakes", "restarts", "deaths", "stops", "start_s", "sleep_s", "wake_s")
    return EngineUse(
        **{"model": "small", "options": {}, "reasons": {}, "energy_j": None, **dict.fromkeys(names, 0), **changes}
    )


def measured(team: Team = CASCADE, **changes: Any) -> Block:
    """One example, 10 J by a meter: 3 J and 1 J of two agents, 4 J idle, 2 J of no agent."""
    calls = (
        call(agent="first", model="small", energy_j=3.0),
        call(agent="then", model="large", start_s=0.3, energy_j=1.0),
    )
    known: dict[str, Any] = {
        "team": team.id,
        "topology": team.topology,
        "knobs": dict(team.knobs),
        "energy_j": {"gpu:0": 10.0},
        "energy_method": "nvml",
        "energy_assumptions": {"not_included": "CPU and cooling"},
        "energy_idle_j": 4.0,
        "energy_unattributed_j": 2.0,
        "attribution": "affine",
        "examples": (result(calls=calls),),
    }
    made: Block = block(**{**known, **changes})
    return made


def found(
    blocks: Sequence[Block],
    objectives: Mapping[str, Any] | None = None,
    energy: Mapping[str, Any] | None = None,
) -> Results:
    footprint = EnergyPart.model_validate(energy or {}).footprint
    wanted = objectives or {"quality": "maximize"}
    return results(Records(blocks=blocks, failures=()), wanted, {}, {"search": 1, "confirm": 1}, footprint=footprint)


def section(*blocks: Block) -> dict[str, Any]:
    made = energy_section(found(blocks), blocks)
    assert made is not None
    return made


def page(
    path: Path,
    blocks: Sequence[Block],
    objectives: Mapping[str, Any] | None = None,
    energy: Mapping[str, Any] | None = None,
    uses: Sequence[EngineUse] = (),
) -> Page:
    write_report(
        path / "report.html",
        name="energy",
        results=found(blocks, objectives, energy),
        manifest={"study": {"measure": {"deadline_s": 1.0}, **({"energy": energy} if energy else {})}},
        insights=Insights(),
        blocks=blocks,
        engine_uses=uses,
        now=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    )
    return Page(path / "report.html")


def test_a_bar_has_its_agents_then_idle_then_what_is_no_agents() -> None:
    (chart,) = section(measured())["charts"]
    assert [(part.name, [(bar.start, bar.end, bar.y) for bar in part.bars]) for part in chart.series] == [
        ("first on small", [(0.0, 3.0, 1)]),
        ("then on large", [(3.0, 4.0, 1)]),
        ("idle", [(4.0, 8.0, 1)]),
        ("no agent", [(8.0, 10.0, 1)]),
    ]
    assert "[J, nvml]" in chart.x.title
    assert "(nvml)" in chart.label
    assert chart.series[0].bars[0].tip == "first on small\n3 J, 30 %"


def test_the_table_has_the_numbers_of_the_plot_and_adds_up(tmp_path: Path) -> None:
    rows = page(tmp_path, [measured(), measured(index=1)]).rows["energy"]
    assert rows == [
        ["agent", "calls", "input tokens", "output tokens", "energy [J]", "share"],
        [f"1 {CASCADE} nvml; shares: calibrated (affine)"],
        ["first small", "1", "20", "5", "3", "30 %"],
        ["then large", "1", "20", "5", "1", "10 %"],
        ["idle", "4", "40 %"],
        ["no agent", "2", "20 %"],
        ["team", "10 no interval", ""],
    ]


def test_every_front_member_has_a_bar_and_a_role_one_colour_whatever_its_model() -> None:
    other = Team("single", {"model": "large", "temperature": 0.0})
    swapped = tuple(
        call(agent=agent, model=model, energy_j=joules)
        for agent, model, joules in (("then", "small", 1.5), ("first", "large", 2.5))
    )
    third = Team("cascade", {**CASCADE.knobs, "first": "large", "then": "small"})
    made = section(
        measured(),
        measured(other, examples=(result(calls=(call(agent="solo", model="large", energy_j=4.0),)),)),
        measured(third, examples=(result(calls=swapped),)),
    )
    (chart,) = made["charts"]
    at = [part for part in chart.series if " on " in part.name]
    assert [part.name for part in at] == [
        "first on small", "first on large", "then on large", "then on small", "solo on large"
    ]  # fmt: skip
    colours = {part.name: part.colour for part in at}
    assert colours["first on small"] == colours["first on large"]
    assert len(set(colours.values())) == 3 == len(made["roles"])
    assert {role["name"] for role in made["roles"]} == {"first", "then", "solo"}
    idle = next(part for part in chart.series if part.name == "idle")
    assert [(bar.end - bar.start, bar.y) for bar in idle.bars] == [(4.0, 1), (4.0, 2), (4.0, 3)]
    ends = dict.fromkeys((1, 2, 3), 0.0)
    for part in chart.series:
        for bar in part.bars:
            assert bar.start == pytest.approx(ends[bar.y]), "a part begins where the one before it ends"
            ends[bar.y] = bar.end
    assert ends == pytest.approx({1: 10.0, 2: 10.0, 3: 10.0})


def test_many_roles_differ_by_their_hatching() -> None:
    calls = tuple(call(agent=f"debater-{i}", energy_j=0.4) for i in range(10))
    (chart,) = section(measured(examples=(result(calls=calls),)))["charts"]
    looks = [(part.colour, part.hatch) for part in chart.series]
    assert len(set(looks)) == len(looks) == 12


def test_joules_of_different_methods_are_on_different_plots() -> None:
    other = Team("single", {"model": "large", "temperature": 0.0})
    charts = section(measured(), measured(other, energy_method="estimate"))["charts"]
    assert [chart.label.rpartition("(")[2] for chart in charts] == ["estimate)", "nvml)"]
    assert len({chart.id for chart in charts}) == 2
    idle = [part for chart in charts for part in chart.series if part.name == "idle"]
    assert [[bar.y for bar in part.bars] for part in idle] == [[2], [1]]


def test_what_subtraction_leaves_of_nothing_is_nothing() -> None:
    calls = tuple(call(agent="voter", energy_j=0.1) for _ in range(3))
    made = section(measured(energy_j={"gpu:0": 0.3}, energy_idle_j=0.0, examples=(result(calls=calls),)))
    assert made["members"][0]["nobody"] == ("0", "0 %")


def test_no_energy_has_no_section(tmp_path: Path) -> None:
    calls = (call(agent="first"),)
    blind = measured(
        energy_j=None, energy_method="unavailable", energy_idle_j=None, attribution="", examples=(result(calls=calls),)
    )
    assert energy_section(found([blind]), [blind]) is None
    shown = page(tmp_path, [blind])
    assert "energy" not in shown.texts
    assert 'href="#energy"' not in shown.source
    assert "No agent's joules are known." in shown.texts["members"]
    nobody = measured(energy_j=None, examples=(result(failure="timeout", answer=None, score=0.0, calls=()),))
    assert energy_section(found([nobody]), [nobody]) is None


def test_why_a_counter_failed_is_said_where_joules_would_be(tmp_path: Path) -> None:
    lost = measured(
        energy_j=None, energy_idle_j=None, attribution="", energy_marks=("the counter of gpu:0 is missing",)
    )
    shown = page(tmp_path, [measured(), replace(lost, index=1)])
    assert shown.rows["energy"][1][0].endswith("nvml the counter of gpu:0 is missing (1 of 2 blocks)")
    assert [row[-2:] for row in shown.rows["energy"][2:6]] == [["–", "–"]] * 4
    assert shown.charts.keys() == {"front-calls-quality"}
    assert "the counter of gpu:0 is missing (1 of 2 blocks)" in shown.texts["methods"]


def test_records_without_idle_and_without_marks_are_shared_by_tokens(tmp_path: Path) -> None:
    line: dict[str, Any] = {
        "schema": 2, "kind": "block", "team": CASCADE.id, "topology": "cascade", "knobs": dict(CASCADE.knobs),
        "phase": "search", "index": 0, "trial": 0, "started_at": "", "wall_s": 1.0, "concurrency": 1, "seed": 0,
        "energy_j": {"engine:small": 3.0, "engine:large": 1.0, "orkester": 1.0}, "energy_method": "estimate",
        "energy_assumptions": {}, "engines": {}, "engine_options": {}, "engine_metrics": {}, "prefix_cache": "",
        "examples": [{
            "id": "q", "answer": "x", "score": 1.0, "latency_s": 0.5, "failure": None,
            "calls": [
                {"agent": agent, "model": model, "sample": 0, "start_s": 0.0, "latency_s": 0.1, "input_tokens": 2,
                 "output_tokens": 2, "cached_tokens": None, "attempts": 1, "failure": None}
                for agent, model in (("first", "small"), ("then", "large"))
            ],
        }],
    }  # fmt: skip
    old = decode(line)
    assert isinstance(old, Block)
    shown = page(tmp_path, [old])
    assert shown.rows["energy"][1:] == [
        [f"1 {CASCADE} estimate; shares: by tokens"],
        ["first small", "1", "2", "2", "3", "60 %"],
        ["then large", "1", "2", "2", "1", "20 %"],
        ["idle", "–", "–"],
        ["no agent", "1", "20 %"],
        ["team", "5 no interval", ""],
    ]
    names = [tip.partition("\n")[0] for tip in shown.charts["energy-by-agent-0"]]
    assert names == ["first on small", "then on large", "no agent"]
    assert "Idle power is not shown separately." in shown.texts["energy"]
    assert "with care" not in " ".join(shown.texts.values())
    assert "Not included" not in shown.texts["energy"]


def test_idle_joules_have_a_row_with_a_member_where_they_are_known() -> None:
    def rows(made: Block) -> dict[str, list[str]]:
        shown = member(found([made]).teams[0], [made])
        return {row["label"]: row["cells"] for row in shown["agents"]}

    known = rows(measured())
    assert known["energy [J, nvml]"] == ["3", "1", "10"]
    assert known["… of it idle"] == ["", "", "4"]
    assert known["… of no agent"] == ["", "", "2"]
    assert "… of it idle" not in rows(measured(energy_idle_j=None))


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (["tokens"], "its engine's by tokens (uncached prompt plus output): they"),
        (["affine"], "its engine's by what its steps and tokens cost, as calibrated (affine): they"),
        (["affine", "tokens"], "as calibrated (affine), or where that was not possible by tokens"),
    ],
)
def test_how_joules_were_shared_is_what_the_records_say(ways: list[str], said: str) -> None:
    made = found([measured(attribution=way, index=i) for i, way in enumerate(ways)])
    assert said in shared_how(made)
    assert "is shown separately. Joules" in apart(made)


def test_idle_power_that_some_teams_know_is_said_to_be() -> None:
    other = Team("single", {"model": "large", "temperature": 0.0})
    assert "shown separately where it is known" in apart(found([measured(), measured(other, energy_idle_j=None)]))


def test_marks_are_counted_by_blocks_wherever_joules_are_shown(tmp_path: Path) -> None:
    blocks = [
        measured(energy_marks=(SHORT, FOREIGN)),
        measured(index=1, energy_marks=(SHORT,)),
        measured(index=2),
        measured(phase="confirm", energy_marks=(FOREIGN,)),
    ]
    shown = page(tmp_path, blocks, {"quality": "maximize", "energy_j": "minimize"})
    searched = (f"{SHORT} (2 of 3 blocks)", f"{FOREIGN} (1 of 3 blocks)", f"in confirmation: {FOREIGN} (1 of 1 block)")
    for part in ("energy", CASCADE.id):
        assert all(mark in shown.texts[part] for mark in searched)
    assert "Joules of all members have warnings" in shown.texts["front"]
    assert f"Warnings about the joules {SHORT} (2 of 4 blocks); {FOREIGN} (2 of 4 blocks)" in shown.texts["methods"]


def test_only_members_with_marks_are_named(tmp_path: Path) -> None:
    other = Team("single", {"model": "large", "temperature": 0.0})
    blocks = [measured(), measured(other, energy_marks=(SHORT,))]
    shown = page(tmp_path, blocks, {"quality": "maximize", "energy_j": "minimize"})
    assert "Joules of member 2 have warnings" in shown.texts["front"]
    assert "with care" not in page(tmp_path, blocks).texts["front"]


def test_blocks_without_joules_and_without_a_reason_are_counted_too() -> None:
    silent = measured(energy_j=None, energy_idle_j=None)
    assert marks_of([measured(), silent]) == ["no joules, and no reason recorded (1 of 2 blocks)"]
    assert marks_of([replace(silent, energy_method="unavailable")]) == []
    assert marks_of([]) == []


def test_gauges_are_summed_up_over_blocks_by_their_length() -> None:
    blocks = [
        measured(wall_s=1.0, energy_gauges={"gpu:0.power_w": {"mean": 100.0, "low": 90.0, "high": 300.0}}),
        measured(wall_s=3.0, energy_gauges={"gpu:0.power_w": {"mean": 200.0, "low": 150.0, "high": 250.0}}),
        measured(energy_gauges={"gpu:0.temperature_c": {"mean": 50.0, "low": 40.0, "high": 60.0}}),
        measured(energy_gauges={"gpu:0.clock_mhz": {"mean": 1.0}}),
        measured(),
    ]
    assert gauges(blocks) == [
        {"name": "gpu:0 power [W]", "mean": "175", "low": "90", "high": "300", "blocks": "2"},
        {"name": "gpu:0 temperature [°C]", "mean": "50", "low": "40", "high": "60", "blocks": "1"},
    ]


def test_gauges_have_a_table_where_there_are_some(tmp_path: Path) -> None:
    seen = {"gpu:0.clock_mhz": {"mean": 1800.0, "low": 1200.0, "high": 1980.0}}
    assert page(tmp_path, [measured(energy_gauges=seen)]).rows["energy"][-2:] == [
        ["", "mean", "lowest", "highest", "blocks"],
        ["gpu:0 clock [MHz]", "1,800", "1,200", "1,980", "1"],
    ]
    assert "devices" not in page(tmp_path, [measured()]).texts["energy"]


def test_what_is_not_included_is_next_to_the_plot(tmp_path: Path) -> None:
    assert "Not included for any team: CPU and cooling." in page(tmp_path, [measured()]).texts["energy"]


def test_grams_and_euros_say_what_they_stand_on(tmp_path: Path) -> None:
    energy = {"region": "DE", "pue": 1.5, "price_eur_per_kwh": 0.25, "gpu_hour_eur": 2.0}
    wanted = {"quality": "maximize", "co2e_g": "minimize", "cost_eur": "minimize"}
    shown = page(tmp_path, [measured()], wanted, energy)
    grid = EnergyPart.model_validate(energy).footprint
    said = f"co2e_g: kWh × PUE 1.5 × {grid.carbon_g_per_kwh:.3g} g/kWh (DE, {grid.year}; {grid.source})"
    assert said in shown.texts["methods"]
    assert "cost_eur: kWh × PUE 1.5 × 0.25 EUR/kWh + hours of the windows × 2 EUR" in shown.texts["methods"]
    assert shown.rows["front"][0][2:] == ["co2e_g [g, nvml]", "cost_eur [EUR, nvml]"]
    assert "Carbon and cost" not in page(tmp_path, [measured()]).texts["methods"]


def test_an_intensity_given_by_hand_has_no_year_and_an_energy_part_of_another_version_no_numbers() -> None:
    (own,) = carbon_and_cost({"energy": {"carbon_g_per_kwh": 30.0}}, ["co2e_g"])
    assert own == "co2e_g: kWh × PUE 1 × 30 g/kWh (SE; given by hand)"
    assert carbon_and_cost({}, ["cost_eur"]) == ["cost_eur: no price is known"]
    assert "cannot be read" in carbon_and_cost({"energy": {"region": "ATLANTIS"}}, ["co2e_g"])[0]
    assert carbon_and_cost({"energy": {"region": "ATLANTIS"}}, ["energy_j"]) == []


def test_joules_of_engines_belong_to_no_team(tmp_path: Path) -> None:
    uses = [use(starts=1, start_s=3.0, energy_j=1000.0), use(model="large", starts=1, energy_j=234.0)]
    text = page(tmp_path, [measured()], uses=uses).texts["engines"]
    assert "and of blocks that were lost with their engine, 1,234 J in total; they belong to no team." in text
    assert ledger_total([*uses, use()]) == ""
    silent = page(tmp_path, [measured()], uses=[use(starts=1, start_s=3.0)])
    assert "belong to no team" not in silent.texts["engines"]


def test_names_of_agents_and_meters_are_text_and_nothing_else(tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    made = measured(
        examples=(result(calls=(call(agent=evil, model=evil, energy_j=1.0),)),),
        energy_assumptions={"not_included": evil},
        energy_marks=(evil,),
        energy_gauges={evil: {"mean": 1.0, "low": 1.0, "high": 1.0}},
        energy_method=evil,
        attribution=evil,
    )
    shown = page(tmp_path, [made])
    assert "<img" not in shown.source.split("</head>")[1]
    assert shown.texts["energy"].count(evil) >= 6
    assert shown.charts["energy-by-agent-0"][0].startswith(f"{evil} on {evil}\n")
