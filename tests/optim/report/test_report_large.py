"""The report of a large run: what a reader wants, and a line for what is left out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orkester.evals.records.block import Block, Phase
from orkester.evals.records.log import Record, Records, TeamFailure
from orkester.graphs import Team
from orkester.optim.insight.insights import Insights
from orkester.optim.report import write_report
from orkester.optim.report._charts import MOST_POINTS, drawn, front_charts
from orkester.optim.report._plot import Points
from orkester.optim.report.sections.failures import MOST_FAILURES, failures
from orkester.optim.report.sections.teams import MOST_TEAMS, listed
from orkester.optim.run.results import Results, results
from orkester.testing.blocks import block, call, result

OBJECTIVES: Mapping[str, Any] = {"quality": "maximize", "latency_p50_s": "minimize"}
SIZES: Mapping[Phase, int] = {"search": 4, "confirm": 4}
#: Examples that are wrong, and seconds of an answer, of teams on the front; all others are slower for as many.
FRONT = [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]


def team(number: int) -> Team:
    return Team("single", {"model": "small", "temperature": number / 1000})


def measured(number: int, wrong: int, latency_s: float, *, phase: Phase = "search", failed: int = 0) -> Block:
    """Four examples of a team; the first ``failed`` of them failed."""
    examples = [
        result(
            i, score=float(i >= wrong), latency_s=latency_s, failure="timeout" if i < failed else None, calls=(call(),)
        )
        for i in range(4)
    ]
    who = team(number)
    return block(
        team=who.id,
        topology=who.topology,
        knobs=dict(who.knobs),
        phase=phase,
        trial=number,
        examples=tuple(examples),
    )


def run(teams: int, *, infeasible: int = 0) -> tuple[Results, Sequence[Block]]:
    """Teams of which the last are the front, worse ones the earlier they were; then some that failed."""
    records: list[Record] = []
    for number in range(teams):
        wrong, latency_s = FRONT[number % 4]
        records.append(measured(number, wrong, latency_s + (teams - 4 - number if number < teams - 4 else 0)))
    records += [measured(0, 0, 4.0, phase="confirm"), measured(teams - 1, 3, 1.0, phase="confirm")]
    for number in range(teams, teams + infeasible):
        records.append(measured(number, 4, 9.0, failed=number % 2))
    dead = team(teams + infeasible)
    records.append(
        TeamFailure(
            team=dead.id, topology="single", knobs=dict(dead.knobs), reason="its engine died", trial=teams + infeasible
        )
    )
    blocks = [record for record in records if isinstance(record, Block)]
    died = [record for record in records if isinstance(record, TeamFailure)]
    found = results(Records(blocks=blocks, failures=died), OBJECTIVES, {"quality": ">= 0.2"}, SIZES)
    return found, blocks


def page(found: Results, blocks: Sequence[Block], folder: Path) -> str:
    path = folder / "report.html"
    manifest = {"study": {"seed": 1, "measure": {"deadline_s": 60}}, "sizes": SIZES, "machine": {}, "versions": {}}
    write_report(
        path,
        name="large",
        results=found,
        manifest=manifest,
        blocks=blocks,
        insights=Insights(),
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return path.read_text(encoding="utf-8")


def rows(text: str) -> list[str]:
    """Trials in the table of all teams."""
    table = text.partition('<section id="teams">')[2].partition("</section>")[0]
    return re.findall(r'<td class="number">(\d+)</td><td class="team">', table)


def test_a_run_that_can_be_listed_is_listed_whole(tmp_path: Path) -> None:
    found, blocks = run(MOST_TEAMS - 1)
    assert listed(found) == found.teams
    text = page(found, blocks, tmp_path)
    assert rows(text) == [str(number) for number in range(MOST_TEAMS)]
    assert "left out" not in text
    assert drawn(found) == {"measured": "", "infeasible": ""}


def test_of_a_large_run_the_front_the_near_and_those_behind_are_listed(tmp_path: Path) -> None:
    found, blocks = run(1000, infeasible=5)
    text = page(found, blocks, tmp_path)
    shown = rows(text)
    assert len(shown) == MOST_TEAMS
    assert [member.trial for member in found.front] == [996, 997, 998, 999]
    assert [result.trial for result in found.near] == [0]
    assert {"0", "996", "997", "998", "999"} <= set(shown)
    # Front by front: each four teams before the last ones are the next, as far as there is room.
    assert shown == [str(number) for number in (0, 700, 701, 702, *range(704, 1000))]
    assert "1,006 teams were tried. This table lists 300" in text
    assert "706 are left out" in text
    assert all(f"<code>teams/{member.team.id}.json</code>" in text for member in found.front)


def test_where_few_are_sound_the_others_fill_the_table() -> None:
    found, _ = run(20, infeasible=400)
    assert [result.trial for result in listed(found)] == list(range(MOST_TEAMS))


def test_plots_of_many_teams_show_as_many_as_can_be_seen_evenly(tmp_path: Path) -> None:
    found, blocks = run(2 * MOST_POINTS + 4, infeasible=3)
    text = page(found, blocks, tmp_path)
    (plot,) = front_charts(found, "unavailable")
    series = {each.name: each.points for each in plot.series if isinstance(each, Points)}
    assert {name: len(points) for name, points in series.items() if points} == {
        "infeasible": 3,
        "searched": MOST_POINTS,
        "near the front": 1,
        "front": 1,
        "front, searched only": 3,
    }
    tips = [point.tip for point in series["searched"]]
    assert len(set(tips)) == MOST_POINTS
    assert str(team(1)) in tips[0]
    assert str(team(2 * MOST_POINTS - 2)) in tips[-1]  # every second one
    assert f"searched ({MOST_POINTS} of {2 * MOST_POINTS - 1:,})" in text


def test_of_many_failures_those_come_first_of_which_something_failed(tmp_path: Path) -> None:
    found, blocks = run(10, infeasible=3 * MOST_FAILURES)
    entries, left_out = failures(found)
    assert (len(entries), left_out) == (MOST_FAILURES, 2 * MOST_FAILURES + 1)
    assert all("examples of the search failed" in entry["phases"] or not entry["phases"] for entry in entries)
    assert sum(bool(entry["phases"]) for entry in entries) >= MOST_FAILURES - 1
    assert f"{left_out} more are left out" in page(found, blocks, tmp_path)


def test_few_failures_are_in_the_order_of_their_trials() -> None:
    found, _ = run(10, infeasible=3 * MOST_FAILURES)
    few = replace(found, teams=[result for result in found.teams if result.trial < 10 + MOST_FAILURES])
    entries, left_out = failures(few)
    assert left_out == 0
    assert [entry["team"] for entry in entries] == [str(team(10 + i)) for i in range(MOST_FAILURES)]


def test_the_page_of_a_large_run_is_small(tmp_path: Path) -> None:
    found, blocks = run(2000, infeasible=20)
    assert len(page(found, blocks, tmp_path)) < 1_000_000
