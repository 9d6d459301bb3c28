"""The report of a run on the fake engine: all its numbers, nothing from outside, readable on a phone."""

import json
import os
import re
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support import write_study

import orkester
from orkester.errors import InputError
from orkester.evals.objectives import Estimate
from orkester.evals.records.block import Block
from orkester.evals.records.log import Records, TeamFailure
from orkester.evals.summaries.baselines import Baseline
from orkester.graphs import Team
from orkester.optim.insight.importance import Importance, Interaction, Share
from orkester.optim.insight.insights import Insights
from orkester.optim.insight.suggestions import Suggestion
from orkester.optim.report import write_report
from orkester.optim.report._charts import confirmation_charts, front_charts
from orkester.optim.report._palette import LIGHT
from orkester.optim.report._plot import Points
from orkester.optim.report.sections.importance import importance_section
from orkester.optim.run.results import Results, results
from orkester.optim.study.study_of_run import space_of_run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
THREE = {"quality": "maximize", "latency_p50_s": "minimize", "energy_j": "minimize"}


class Page(HTMLParser):
    """What a reader finds: texts by section, tables as rows of cells, tags with attributes, tips of marks by chart."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.rows: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.charts: dict[str, list[str]] = {}
        self._section, self._inside, self._in_cell, self._chart = "", "", False, ""
        self.feed(path.read_text(encoding="utf-8"))
        self.texts = {section: " ".join(text.split()) for section, text in self.texts.items()}
        for rows in self.rows.values():
            rows[:] = [[" ".join(cell.split()) for cell in row] for row in rows]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "wbr":
            return
        self._inside = tag
        if tag == "title" and self._chart:
            self.charts[self._chart].append("")
            return
        self._say(" ")
        if tag == "figure":
            self._chart = dict(attrs)["id"] or ""
            self.charts[self._chart] = []
        elif tag in {"section", "article"}:
            self._section = dict(attrs).get("id") or ""
        elif tag == "tr":
            self.rows.setdefault(self._section, []).append([])
        elif tag in {"td", "th"}:
            self.rows[self._section][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""
        self._say(" ")
        if tag in {"td", "th"}:
            self._in_cell = False
        elif tag == "figure":
            self._chart = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "title" and self._chart:
            self.charts[self._chart][-1] += data
        elif self._inside not in {"style", "script"}:
            self._say(data)

    def _say(self, data: str) -> None:
        self.texts[self._section] = self.texts.get(self._section, "") + data
        if self._in_cell:
            self.rows[self._section][-1][-1] += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> orkester.Run:
    """Nine teams of two topologies on three models, one of which always answers with HTTP 400.

    Each is measured to its end: which teams are stopped early would depend on the machine's speed.
    """
    folder = tmp_path_factory.mktemp("reported")
    study = write_study(
        folder,
        models=["small", "large", "broken"],
        engine={
            "fake": {
                "data": "data.jsonl",
                "accuracy": {"small": 0.55, "large": 0.9},
                "faults": [{"kind": "400", "models": ["broken"]}],
            }
        },
        search={"single": {"model": "any"}, "vote": {"agents": [2, 3], "model": "any", "temperature": 0.5}},
        objectives={"calls": None, **THREE},
        budget={"trials": 9},
        sampler="grid",
        measure={"stop_error": 0},
    )
    return orkester.tune(study, folder / "run")


@pytest.fixture(scope="module")
def page(run: orkester.Run) -> Page:
    return Page(run.report)


def reported(run: orkester.Run, path: Path, found: Results, **changes: Any) -> Page:
    """The run's report, written again with other results or texts."""
    given: dict[str, Any] = {
        "name": run.name,
        "manifest": run.manifest,
        "insights": Insights(),
        "blocks": run.blocks,
        "now": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    }
    write_report(path / "report.html", results=found, **{**given, **changes})
    return Page(path / "report.html")


def found_in(
    run: orkester.Run,
    objectives: Mapping[str, Any] = THREE,
    *,
    blocks: Sequence[Block] | None = None,
    failures: Sequence[TeamFailure] = (),
) -> Results:
    records = Records(blocks=run.blocks if blocks is None else blocks, failures=failures)
    return results(records, objectives, {}, run.manifest["sizes"])


def shown(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        only = "no interval" if estimate.low is estimate.high else f"≥ {estimate.low:.3g}"
        return f"{estimate.value:.3g} {only}"
    return f"{estimate.value:.3g} {estimate.low:.3g}–{estimate.high:.3g}"


def with_twin(found: Results) -> Results:
    """The results, and a team on the front that measured the very same as the first member: the two are alike."""
    member = found.front[0]
    twin = Team(member.team.topology, {**member.team.knobs, "temperature": 0.99})
    assert twin.id not in {each.team.id for each in found.teams}
    return replace(
        found,
        teams=[*found.teams, replace(member, team=twin, trial=len(found.teams))],
        blocks={**found.blocks, twin.id: found.blocks[member.team.id]},
    )


def test_every_front_member_has_its_numbers_and_confirmed_numbers_with_intervals(
    run: orkester.Run, tmp_path: Path
) -> None:
    found = with_twin(run.results)
    rows = iter(reported(run, tmp_path, found).rows["front"][1:])
    numbers = {member.team.id: number for number, member in enumerate(found.front, start=1)}
    grouped = [(member, group[0]) for group in found.groups for member in group]
    assert len(grouped) == len(numbers) > len(found.groups), "no two members are alike; nothing is tested"
    for member, first in grouped:
        alike = f" not told apart from {numbers[first.team.id]}" if first is not member else ""
        assert next(rows) == [f"{numbers[member.team.id]} {member.team}{alike}"]
        for label, measurement in (("search", member.search), ("confirmed", member.confirmed)):
            assert measurement is not None
            cells = next(rows)
            assert cells[0] == f"{label} n = {measurement.examples}"
            for cell, name in zip(cells[1:], THREE, strict=True):
                assert cell.startswith(shown(measurement.estimates[name])), name
    for guess in found.baselines:
        assert next(rows) == [f"guess: {guess.name}"]
        for label, phase in (("search", "search"), ("held-out examples", "confirm")):
            quality = guess.estimate(phase)
            assert next(rows) == [f"{label} n = {quality.n}", shown(quality), "", ""]
    assert found.baselines
    assert next(rows, None) is None


def test_the_best_guess_is_a_line_in_the_plots_of_quality_and_in_the_legend(run: orkester.Run) -> None:
    guess = max(run.results.baselines, key=lambda each: each.value("search"))
    text = unescape(run.report.read_text(encoding="utf-8"))
    charts = front_charts(run.results, "estimate")
    for chart in charts:
        assert [(each.name, each.upright) for each in chart.guides] == (
            [(guess.name, chart.id.startswith("front-quality"))] if "quality" in chart.id else []
        )
        for each in chart.guides:
            assert each.value == guess.value("confirm")
    in_view = any(chart.guides_in_view for chart in charts)
    assert (f"┄</span> {guess.name}: {guess.value('confirm'):.3g}" in text) == in_view
    low = Baseline(name="constant answer 'no'", scores={"search": [-9.0] * 12, "confirm": [-9.0] * 5})
    high = Baseline(name="constant answer 'yes'", scores={"search": [0.9] * 12, "confirm": [0.9] * 5})
    (low_one, *_), (high_one, *_) = (
        front_charts(replace(run.results, baselines=[each]), "estimate") for each in (low, high)
    )
    assert not low_one.guides_in_view
    assert [each.name for each in high_one.guides_in_view] == [high.name]
    assert 'class="guide"' in high_one.svg
    assert "stroke-dasharray" in high_one.svg


def test_joules_are_an_estimate_with_the_range_of_the_power_model(run: orkester.Run, page: Page) -> None:
    assert page.rows["front"][0][-1] == "energy_j [J, estimate]"
    best = run.results.groups[0][0].search
    assert best is not None
    joules = best.estimates["energy_j"].value
    assert page.rows["front"][2][-1].endswith(f"3–15 W: {joules * 3 / 8:.3g}–{joules * 15 / 8:.3g}")
    titles = re.findall(r'<text class="title"[^>]*>([^<]+)<', run.report.read_text(encoding="utf-8"))
    assert sum("energy" in title for title in titles) >= 4
    assert all("[J, estimate]" in title for title in titles if "energy" in title)
    for member in run.results.front:
        assert any(row[0] == "energy [J, estimate]" for row in page.rows[member.team.id])


def front_plots(found: Results) -> dict[str, dict[str, Points]]:
    """The series of the plots of the front, by plot and name."""
    plots = {}
    for chart in front_charts(found, "estimate"):
        assert all(isinstance(series, Points) for series in chart.series)
        plots[chart.id] = {series.name: series for series in chart.series if isinstance(series, Points)}
    return plots


def test_the_plots_show_all_teams_for_every_pair_of_three_objectives(run: orkester.Run, page: Page) -> None:
    pairs = {"front-latency_p50_s-quality", "front-energy_j-quality", "front-energy_j-latency_p50_s"}
    assert {name for name in page.charts if name.startswith("front-")} == pairs
    for name in pairs:
        assert len([tip for tip in page.charts[name] if "\n" in tip]) == len(run.results.teams)


def test_front_members_are_plotted_with_their_confirmed_values_and_intervals(run: orkester.Run) -> None:
    for name, series in front_plots(run.results).items():
        _, x, y = name.split("-")
        confirmed = [member.confirmed.estimates for member in run.results.front if member.confirmed is not None]
        assert len(confirmed) == len(run.results.front) > 1
        points = series["front"].points
        assert [(point.x, point.y) for point in points] == [(e[x].value, e[y].value) for e in confirmed]
        assert [(point.x_interval, point.y_interval) for point in points] == [(e[x], e[y]) for e in confirmed]
        assert [point.label for point in points] == [str(i) for i in range(1, len(points) + 1)]
        assert not any(point.label for other in series.values() for point in other.points if other.name != "front")


def test_members_that_were_only_searched_are_told_apart_and_partly_measured_teams_are_hollow(run: orkester.Run) -> None:
    searched = front_plots(found_in(run, blocks=[b for b in run.blocks if b.phase == "search"]))
    for name, series in searched.items():
        _, x, y = name.split("-")
        points = series["front, searched only"].points
        members = found_in(run, blocks=[b for b in run.blocks if b.phase == "search"]).front
        values = [member.search.estimates for member in members if member.search is not None]
        assert [(point.x, point.y) for point in points] == [(e[x].value, e[y].value) for e in values]
        assert all("searched only" in point.tip and not point.hollow for point in points)
        assert series["front"].points == []
        assert series["front"].colour != series["front, searched only"].colour
    first = run.results.front[0].team.id
    cut = next(r.team.id for r in run.results.teams if not r.infeasible and not r.on_front)
    blocks = [b for b in run.blocks if b.team != cut or (b.phase == "search" and b.index == 0)]
    blocks = [b for b in blocks if b.team != first or b.phase == "search" or b.index == 0]
    partly = found_in(run, blocks=blocks)
    for series in front_plots(partly).values():
        hollow = [point.tip for each in series.values() for point in each.points if point.hollow]
        assert {tip.splitlines()[-1] for tip in hollow} == {"confirmed in part", "searched in part"}
        assert len(hollow) == sum(
            not result.whole if result.confirmed is None else not result.settled
            for result in partly.teams
            if not result.infeasible
        )


def test_a_legend_names_the_numbers_in_the_plots(run: orkester.Run, page: Page) -> None:
    for number, member in enumerate(run.results.front, start=1):
        assert re.search(rf"\b{number} [●■▲◆] {re.escape(str(member.team))} confirmed\b", page.texts["front"])


def test_a_team_that_failed_does_not_make_the_plot_of_the_others_small(run: orkester.Run, page: Page) -> None:
    (chart,) = [each for each in front_charts(run.results, "estimate") if each.id == "front-energy_j-quality"]
    (failed,) = [each.points for each in chart.series if each.name == "infeasible" and isinstance(each, Points)]
    assert len(failed) == sum(bool(result.infeasible) for result in run.results.teams) > 0
    out = {result.team.id for result in run.results.teams if result.infeasible}
    others = found_in(run, blocks=[block for block in run.blocks if block.team not in out])
    (without,) = [each for each in front_charts(others, "estimate") if each.id == chart.id]
    assert (chart.y.low, chart.y.high) == (without.y.low, without.y.high)
    assert all(point.y == 0 for point in failed)
    assert f"{chart.beyond} teams beyond the view" in run.report.read_text(encoding="utf-8")
    tips = [tip for tip in page.charts[chart.id] if "infeasible: " in tip]
    assert len(tips) == len(failed)
    assert all("quality 0" in tip for tip in tips)


def test_search_and_confirmation_are_plotted_side_by_side(run: orkester.Run, page: Page) -> None:
    members = [member for member in run.results.front if member.confirmed is not None]
    for objective, chart in zip(THREE, confirmation_charts(run.results, "estimate"), strict=True):
        assert chart.id == f"confirmed-{objective}"
        searched, confirmed = (each.points for each in chart.series if isinstance(each, Points))
        assert [p.x for p in searched] == [m.search.estimates[objective].value for m in members if m.search is not None]
        assert [p.x for p in confirmed] == [m.confirmed.estimates[objective].value for m in members if m.confirmed]
        assert len(page.charts[chart.id]) == 2 * len(members)


def test_every_agent_of_the_front_has_tokens_latency_and_energy(run: orkester.Run, page: Page) -> None:
    for member in run.results.front:
        rows = {row[0]: row[1:] for row in page.rows[member.team.id]}
        assert rows[""] == [*(agent.agent for agent in member.agents), "team"]
        assert rows["model"][:-1] == [agent.model for agent in member.agents]
        for i, agent in enumerate(member.agents):
            assert rows["calls"][i] == f"{agent.calls:.3g}"
            assert rows["input tokens"][i] == f"{agent.input_tokens:.3g}"
            assert rows["output tokens"][i] == f"{agent.output_tokens:.3g}"
            assert rows["p50 of a call [s]"][i] == f"{agent.latency_p50_s:.3g}"
            assert float(rows["energy [J, estimate]"][i]) == pytest.approx(agent.energy_j, rel=0.01)


def test_every_front_member_is_drawn_with_its_models_and_a_typical_example(run: orkester.Run, page: Page) -> None:
    svgs = [attributes.get("aria-label") or "" for tag, attributes in page.tags if tag == "svg"]
    for member in run.results.front:
        assert f"Graph of {member.team}" in svgs
        for agent in member.agents:
            assert f"{agent.calls:.3g} × {agent.model}" in page.texts[member.team.id]
    assert sum("model calls of example" in label for label in svgs) == len(run.results.front)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_all_teams_are_listed_with_their_state(run: orkester.Run, page: Page) -> None:
    listed = {row[1].partition(" n = ")[0]: row for row in page.rows["teams"][1:]}
    for result in run.results.teams:
        assert result.search is not None
        row = listed[str(result.team)]
        assert row[2] == shown(result.search.estimates["quality"])
        state = ", front" if result.on_front else ", infeasible" if result.infeasible else ""
        reused = f", {result.search.reused_calls} of {result.search.calls} calls reused"
        state += reused if result.search.reused_calls else ""
        assert row[1].endswith(f" n = {result.search.examples}{state}")


def test_failures_are_listed_with_their_reasons(run: orkester.Run, page: Page) -> None:
    broken = [result for result in run.results.teams if result.infeasible]
    assert broken
    for result in broken:
        assert f"{result.team} {result.infeasible}" in page.texts["failures"]
    assert "http 400" in page.texts["failures"]


def test_methods_assumptions_and_versions_are_there(run: orkester.Run, page: Page) -> None:
    text = page.texts["methods"]
    assert run.manifest["study"]["task"]["data_sha256"][:12] in text
    assert "4 a block, 4 at once" in text
    assert "active: 8 W per core" in text
    assert "not included: idle power" in text
    assert "Wilson" in text
    for package, version in run.manifest["versions"].items():
        assert f"{package} {version}" in text
    assert "Engine of large" in text


def test_engines_are_listed_with_how_often_they_were_started(run: orkester.Run, page: Page, tmp_path: Path) -> None:
    head, *rows = page.rows["engines"][:4]
    assert head[:2] == ["engine", "started"]
    assert sorted(row[0] for row in rows) == ["broken", "large", "small"]
    assert all(re.fullmatch(r"1 [\d.]+ s", row[1]) for row in rows)
    bare = [replace(block, engine_metrics={}) for block in run.blocks]
    silent = reported(run, tmp_path, run.results, blocks=bare)
    assert "engines" not in silent.texts
    assert "#engines" not in [attributes.get("href") for _, attributes in silent.tags]


def learnt(knob: str = "vote.agents", **changes: Any) -> Insights:
    """What may be said of a run whose first objective is quality."""
    first = Share(value=0.75, low=0.504, high=0.9, teams=12)
    second = Share(value=0.125, low=0.0, high=0.25, teams=30)
    none = Share(value=0.0, low=0.0, high=0.0, teams=30)
    pair = Interaction(first=knob, second="vote.model", share=replace(first, value=0.1, low=0.05, high=0.2))
    given: dict[str, Any] = {
        "objective": "quality",
        "logarithmic": False,
        "knobs": {knob: first, "topology": second},
        "interactions": [pair, replace(pair, second="vote.temperature", share=none)],
        "together": pair.share,
        "rest": none,
        "teams": 30,
    }
    quality = Importance(**{**given, **changes})
    energy = replace(quality, objective="energy_j", logarithmic=True, knobs={"topology": second}, interactions=[])
    return Insights(importances={"quality": quality, "energy_j": replace(energy, together=None)})


def test_knobs_are_listed_by_their_importance_with_intervals(run: orkester.Run, tmp_path: Path) -> None:
    page = reported(run, tmp_path, run.results, insights=learnt())
    rows = page.rows["importance"]
    pairs, shares = rows[:2], rows[2:]
    assert pairs[1] == ["quality", "vote.agents × vote.model", "0.10 0.05–0.20", "12"]
    assert shares[0] == ["knob", "quality", "energy_j", "teams"]
    assert shares[1:] == [
        ["vote.agents", "0.75 0.50–0.90", "–", "12"],
        ["topology", "0.12 0.00–0.25", "0.12 0.00–0.25", "30"],
        ["pairs of knobs", "0.10 0.05–0.20", "–", ""],
        ["the rest", "0.00 0.00–0.00", "0.00 0.00–0.00", ""],
    ]
    assert "of energy_j it is the logarithm's variance" in page.texts["importance"]
    assert page.charts["importance-quality"] == [
        "vote.agents: 0.75 (0.50–0.90)",
        "topology: 0.12 (0.00–0.25)",
        "pairs of knobs: 0.10 (0.05–0.20)",
        "the rest: 0.00 (0.00–0.00)",
    ]
    section = importance_section(learnt())
    assert section is not None
    chart = section["charts"][0]
    bars = [bar for series in chart.series for bar in series.bars]
    assert [(bar.start, bar.end) for bar in bars] == [(0.0, 0.75), (0.0, 0.125), (0.0, 0.1), (0.0, 0.0)]
    assert [(bar.interval.low, bar.interval.high) for bar in bars][:2] == [(0.504, 0.9), (0.0, 0.25)]
    assert [text for _, text in section["charts"][1].y.ticks] == ["topology", "the rest"]
    alone = learnt(interactions=[], together=None)
    assert "Too few teams to say" in reported(run, tmp_path, run.results, insights=alone).texts["importance"]


def test_what_would_be_worth_trying_is_said_to_be_predicted(run: orkester.Run, tmp_path: Path) -> None:
    team = Team("vote", {"agents": 9, "model": "large", "temperature": 0.5})
    predicted = {"quality": Estimate(value=0.93, low=0.88, high=0.97, n=15)}
    tip = Suggestion(team=team, predicted=predicted, chance=0.4, claim="it would beat the front's highest quality, 0.9")
    insights = Insights(suggestions=[tip], hints=["2 of 3 front members are at the end"])
    page = reported(run, tmp_path, run.results, insights=insights)
    assert "Predicted, not measured" in page.texts["next"]
    heading, row = page.rows["next"][1:]
    assert heading == [f"{team} {tip.claim}"]
    assert row[0] == "predicted from 15 teams; chance 40%"
    assert row[1 + list(run.results.objectives).index("quality")] == "0.93 0.88–0.97"
    assert "2 of 3 front members are at the end" in page.texts["next"]
    silent = reported(run, tmp_path, run.results)
    assert not {"importance", "next"} & set(silent.texts)
    only = reported(run, tmp_path, run.results, insights=replace(insights, suggestions=[]))
    assert "Predicted" not in only.texts["next"]


def test_a_report_learns_from_its_run(run: orkester.Run, tmp_path: Path) -> None:
    """Nine teams, six without failures: too few to say which knobs matter."""
    assert space_of_run(run.manifest) is not None
    page = reported(run, tmp_path, run.results, insights=None)
    assert "importance" not in page.texts


def test_nothing_is_loaded_from_outside(run: orkester.Run, page: Page) -> None:
    policy = {a.get("http-equiv"): a.get("content") for tag, a in page.tags if tag == "meta"}
    assert (policy["Content-Security-Policy"] or "").startswith("default-src 'none'")
    for _, attributes in page.tags:
        assert not {"src", "srcset", "action", "data", "poster"} & set(attributes)
        assert (attributes.get("href") or "#").startswith(("#", "data:"))
    css = re.findall(r"<style>(.*?)</style>", run.report.read_text(encoding="utf-8"), re.DOTALL)
    assert css
    assert not re.search(r"url\(|@import", " ".join(css))


@pytest.mark.parametrize(
    "evil",
    ["</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;", '"><i onerror=x>'],
    ids=["long", "quoted and short enough not to be cut"],
)
def test_what_users_and_engines_say_is_text_and_nothing_else(run: orkester.Run, tmp_path: Path, evil: str) -> None:
    def poisoned(block: Block) -> Block:
        knobs = {**block.knobs, "model": evil}
        examples = []
        for example in block.examples:
            calls = [replace(call, model=evil) for call in example.calls]
            examples.append(replace(example, id=evil + example.id, calls=(*calls, replace(calls[0], agent=evil))))
        return replace(
            block,
            team=Team(block.topology, knobs).id,
            knobs=knobs,
            examples=tuple(examples),
            engines={evil: {evil: evil}},
            energy_assumptions={evil: 1},
        )

    blocks = [poisoned(block) for block in run.blocks if block.knobs["model"] == "large"]
    lost = TeamFailure(team="lost", topology="single", knobs={"model": evil, "temperature": 0.1}, trial=90, reason=evil)
    manifest = {**run.manifest, "study": {"task": {"data": evil, "scorer": evil}, "measure": {"deadline_s": 1.0}}}
    manifest |= {"versions": {evil: evil}, "machine": {"cpu": evil, "gpus": [evil]}}
    found = found_in(run, blocks=blocks, failures=[lost])
    assert found.front
    page = reported(
        run, tmp_path, found, name=evil, manifest=manifest, blocks=blocks, insights=replace(learnt(evil), hints=[evil])
    )
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not [tag for tag, attributes in page.tags if tag in {"img", "i"} or "onerror" in attributes]
    for section in ("front", "importance", "next", "teams", "failures", "methods", found.front[0].team.id):
        assert evil in page.texts[section]
    assert evil in page.charts["front-energy_j-quality"][-1]


def test_an_empty_front_is_said(run: orkester.Run, tmp_path: Path) -> None:
    blocks = [block for block in run.blocks if block.knobs["model"] == "broken"]
    page = reported(run, tmp_path, found_in(run, blocks=blocks), blocks=blocks, insights=learnt())
    assert "No team is on the front" in page.texts["front"]
    assert page.charts == {}
    assert not {"confirmation", "members", "importance"} & set(page.texts)
    assert "http 400" in page.texts["failures"]


@pytest.mark.parametrize(
    ("objectives", "plots"),
    [
        ({"quality": "maximize"}, ["front-calls-quality"]),
        ({"calls": "minimize"}, ["front-quality-calls"]),
        ({"quality": "maximize", "calls": "minimize"}, ["front-calls-quality"]),
        (
            {**THREE, "calls": "minimize"},
            ["front-latency_p50_s-quality", "front-energy_j-quality", "front-calls-quality"],
        ),
    ],
)
def test_other_numbers_of_objectives_have_their_plots(
    run: orkester.Run, tmp_path: Path, objectives: Mapping[str, Any], plots: list[str]
) -> None:
    found = found_in(run, objectives)
    page = reported(run, tmp_path, found)
    assert [name for name in page.charts if name.startswith("front-")] == plots
    assert all(len(row) == len(objectives) + 1 for row in page.rows["front"] if row[0].startswith("search"))
    assert ("The other axis is not an objective" in page.texts["front"]) == (len(objectives) == 1)


def test_energy_that_is_unavailable_is_no_number(run: orkester.Run, tmp_path: Path) -> None:
    blind = partial(
        replace, energy_j=None, energy_method="unavailable", energy_assumptions={"reason": "it runs elsewhere"}
    )
    blocks = [blind(block) for block in run.blocks]
    found = found_in(run, {"quality": "maximize", "calls": "minimize"}, blocks=blocks)
    page = reported(run, tmp_path, found, blocks=blocks)
    rows = {row[0]: row[1:] for row in page.rows[found.front[0].team.id]}
    assert set(rows["energy [J, unavailable]"]) == {"–"}
    assert "it runs elsewhere" in page.texts["methods"]
    assert "W per busy core" not in " ".join(page.texts.values())


def test_what_a_stopped_run_lacks_is_said(run: orkester.Run, tmp_path: Path) -> None:
    whole, part, *_ = [member.team for member in run.results.front]
    cut_off = next(r.team for r in run.results.teams if r.team.id not in {whole.id, part.id} and not r.infeasible)
    blocks = [b for b in run.blocks if b.index == 0 or b.team != cut_off.id]
    blocks = [b for b in blocks if b.phase == "search" or b.team == whole.id or (b.team == part.id and b.index == 0)]
    page = reported(run, tmp_path, found_in(run, blocks=blocks), blocks=blocks)
    rows = page.rows["front"]
    at = {row[0].partition(" ")[2].partition(" not told")[0]: i for i, row in enumerate(rows)}
    assert rows[at[str(whole)] + 2][0] == "confirmed n = 5"
    assert rows[at[str(part)] + 2][0] == "confirmed in part n = 4"
    assert f"{cut_off} n = 4, unfinished" in [row[1] for row in page.rows["teams"]]
    unconfirmed = found_in(run, blocks=[b for b in run.blocks if b.phase == "search"])
    page = reported(run, tmp_path, unconfirmed)
    assert page.rows["front"].count(["not confirmed yet"]) == len(unconfirmed.front)
    assert "confirmation" not in page.texts


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_draws_it_at_400_800_and_1400_pixels_without_scrolling_sideways_or_overlaps(
    run: orkester.Run, tmp_path: Path
) -> None:
    # A window cannot be 400 pixels wide, but a frame can.
    widths = (400, 800, 1400)
    frames = "".join(f'<iframe width="{width}" height="900" src="{run.report.as_uri()}"></iframe>' for width in widths)
    look = """const frames = () => [...document.querySelectorAll("iframe")];
    const drawn = () => frames().every((frame) => [...frame.contentDocument.querySelectorAll(".chart svg")]
        .every((svg) => svg.getBoundingClientRect().height > 60));
    let tries = 0;
    addEventListener("load", () => { const timer = setInterval(() => {
        if (!drawn() && ++tries < 50) return;  // a busy browser draws later
        clearInterval(timer);
        document.body.textContent = JSON.stringify(frames().map((frame) => {
            const page = frame.contentDocument.documentElement, width = frame.contentWindow.innerWidth;
            const all = (what, from = page) => [...from.querySelectorAll(what)];
            const box = (part) => part.getBoundingClientRect();
            const touch = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
            const labels = all(".chart svg").map((svg) =>
                all("text", svg).map((text) => [text.textContent, box(text)]));
            return {width, needed: page.scrollWidth, plots: all(".chart").length,
                drawn: all(".chart svg").filter((svg) => svg.querySelector(".mark") && box(svg).height > 60).length,
                axes: all(".chart svg").filter((svg) => all(".tick", svg).length > 3
                    && all("text", svg).every((text) => box(text).bottom <= box(svg).bottom + 1
                        && box(text).left >= box(svg).left - 1 && box(text).right <= box(svg).right + 1)).length,
                overlaps: labels.flatMap((some) => some.flatMap(([text, a], i) =>
                    some.slice(i + 1).filter(([, b]) => touch(a, b)).map(([other]) => text + " | " + other))),
                narrow: all("table").filter((table) => box(table).width + 1 < Math.max(
                    ...all(".charts", table.closest("section")).map((charts) => box(charts).width), 0)).length,
                outside: all("body *").filter((part) => !part.closest(".scroll")
                    && box(part).right > width + 1).map((part) => part.outerHTML.slice(0, 80)),
                loaded: frame.contentWindow.performance.getEntriesByType("resource").map((entry) => entry.name)};
        }))}, 100)})"""
    (tmp_path / "look.html").write_text(f"<!doctype html><script>{look}</script><body>{frames}", encoding="utf-8")
    seen = in_browser(tmp_path / "look.html", tmp_path)
    looks = json.loads(unescape(seen.split("<body>")[1].split("</body>")[0]))
    assert [look["width"] for look in looks] == list(widths)
    for look in looks:
        assert look["needed"] <= look["width"], look
        assert look["outside"] == []
        assert look["plots"] == look["drawn"] == look["axes"] == 7, look
        assert look["overlaps"] == []
        assert look["narrow"] == 0
        assert look["loaded"] == []


def in_browser(page: Path, folder: Path, *more: str) -> str:
    """The document of a page after its scripts ran. A browser that hangs, as busy ones do, is started again."""
    assert CHROMIUM is not None
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--allow-file-access-from-files", "--virtual-time-budget=10000",
        "--window-size=1500,1000", "--dump-dom",
    ]  # fmt: skip
    for attempt in range(3):
        command = [CHROMIUM, *flags, f"--user-data-dir={folder / f'profile-{attempt}'}", *more, page.as_uri()]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        ) as browser:
            try:
                seen, _ = browser.communicate(timeout=40)
            except subprocess.TimeoutExpired:
                os.killpg(browser.pid, signal.SIGKILL)
                continue
        assert browser.returncode == 0
        return seen
    pytest.fail("the browser hung three times")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_tips_are_shown_and_figures_are_saved_for_light_paper_in_a_dark_browser(
    run: orkester.Run, tmp_path: Path
) -> None:
    try_it = """<script>addEventListener("load", async () => {
        const mark = document.querySelector(".chart .mark"), link = document.querySelector("a.save");
        mark.dispatchEvent(new PointerEvent("pointerover", {bubbles: true}));
        const made = {};
        URL.createObjectURL = (blob) => { made.blob = blob; return "#"; };
        link.click();
        const style = getComputedStyle(document.body), tip = document.querySelector("#tip");
        document.documentElement.innerHTML = "<body>";
        document.body.textContent = JSON.stringify({dark: matchMedia("(prefers-color-scheme: dark)").matches,
            tip: tip.textContent, hidden: tip.hidden, saved: await made.blob.text(), paper: style.backgroundColor});
    })</script>"""
    page = run.report.read_text(encoding="utf-8").replace("</body>", f"{try_it}</body>")
    (tmp_path / "try.html").write_text(page, encoding="utf-8")
    seen = in_browser(tmp_path / "try.html", tmp_path, "--blink-settings=preferredColorScheme=0")
    found = json.loads(unescape(seen.split("<body>")[1].split("</body>")[0]))
    assert not found["hidden"]
    assert "quality" in found["tip"]
    assert "var(" not in found["saved"]
    assert LIGHT["front"] in found["saved"]
    assert ET.fromstring(found["saved"]).tag == "{http://www.w3.org/2000/svg}svg"
    assert found["dark"]


def test_figures_are_written_as_svg_and_pdf_as_wide_as_a_column(run: orkester.Run, tmp_path: Path) -> None:
    page = reported(run, tmp_path, run.results, figures=tmp_path / "new" / "figures")
    names = {path.name for path in (tmp_path / "new" / "figures").iterdir()}
    assert names == {f"{chart}.{kind}" for chart in page.charts for kind in ("svg", "pdf")}
    for chart in page.charts:
        root = ET.fromstring((tmp_path / "new" / "figures" / f"{chart}.svg").read_text(encoding="utf-8"))
        assert root.attrib["width"] == "85mm"
        assert "var(" not in ET.tostring(root, encoding="unicode")
        pdf = (tmp_path / "new" / "figures" / f"{chart}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF")
        assert b"/MediaBox [ 0 0 240.94" in pdf
        assert b"/FontFile2" in pdf, "a font is not embedded"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        reported(run, tmp_path, run.results, figures=tmp_path / "file")


def test_the_page_is_small(run: orkester.Run) -> None:
    assert run.report.stat().st_size < 200_000
