"""The report's answer to which team to take."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

from chosen import THREE, entry, of, together

import orkester
from orkester.optim.insight.choosing import best
from orkester.optim.report.sections.choices import choices

#: On the front in this order: 5, 4, 3, 2 agents.
POINTS = [(0.4, 0.1, 9.0), (0.8, 0.3, 5.0), (0.9, 0.5, 20.0), (1.0, 2.0, 60.0)]


def test_every_usual_wish_has_its_team_and_reason() -> None:
    found = of(POINTS, THREE)
    wishes = {
        wish["label"]: (answer["number"], wish["command"]) for answer in choices(found) for wish in answer["wishes"]
    }
    assert wishes == {
        "Recommended": (1, ""),
        "Best in quality": (1, "--for quality"),
        "Best in latency_p50_s": (4, "--for latency_p50_s"),
        "Best in energy_j": (3, "--for energy_j"),
        "90 % of the best quality at least latency_p50_s": (2, "--keep quality=90% --for latency_p50_s"),
        "90 % of the best quality at least energy_j": (2, "--keep quality=90% --for energy_j"),
    }
    shown = {answer["number"]: answer for answer in choices(found)}
    assert list(shown) == [1, 4, 3, 2]
    assert shown[2]["measured"] == "quality 0.9; latency_p50_s 0.5 s; energy_j 20 J, nvml"
    assert shown[2]["wishes"][0]["why"] == best(found, keep={"quality": 0.9}, best_in="latency_p50_s").why
    assert {answer["decided_by"] for answer in shown.values()} == {"values of the search"}
    assert all("not confirmed" in wish["doubts"][0] for answer in shown.values() for wish in answer["wishes"])


def test_confirmed_values_decide_when_there_are() -> None:
    found = of(POINTS, THREE)
    teams = [replace(t, confirmed=replace(t.search, phase="confirm")) for t in found.teams if t.search is not None]
    assert {answer["decided_by"] for answer in choices(replace(found, teams=teams))} == {"confirmed values"}


def test_who_is_not_told_apart_is_named_by_number() -> None:
    found = together(
        entry(2, {"quality": (0.9, 0.7, 1.0), "energy_j": 10.0}),
        entry(3, {"quality": (0.8, 0.6, 0.9), "energy_j": 5.0}),
        entry(4, {"quality": (0.7, 0.5, 0.8), "energy_j": 1.0}),
    )
    (wish,) = [w for e in choices(found) for w in e["wishes"] if w["label"] == "Best in quality"]
    assert wish["unclear"] == [2, 3]


def test_teams_are_compared_with_the_best_single_agent() -> None:
    found = together(entry(1, {"quality": 0.5, "energy_j": 10.0}), entry(2, {"quality": 1.0, "energy_j": 25.0}))
    shown = {answer["id"]: answer["against"] for answer in choices(found)}
    single, vote = (team.team for team in found.teams)
    assert shown == {
        single.id: "the best single agent",
        vote.id: f"against the best single agent ({single}): quality × 2, energy_j × 2.5",
    }
    assert {answer["against"] for answer in choices(of(POINTS, THREE))} == {""}


def test_other_objectives_have_no_share_of_quality() -> None:
    found = of([(1.0, 5.0), (2.0, 3.0)], {"calls": "minimize", "energy_j": "minimize"})
    labels = [wish["label"] for answer in choices(found) for wish in answer["wishes"]]
    assert sorted(labels) == ["Best in calls", "Best in energy_j", "Recommended"]
    alone = choices(of([(1.0,), (0.5,), (1.0,)], {"quality": "maximize"}))
    assert [[w["label"] for w in e["wishes"]] for e in alone] == [["Best in quality"]]


def test_one_member_is_one_answer_and_none_is_none() -> None:
    (only,) = choices(of([(1.0, 1.0, 1.0), (0.5, 2.0, 2.0)], THREE))
    (wish,) = only["wishes"]
    assert wish["label"] == "Only member"
    assert wish["why"].endswith("It is the only team on the front.")
    nobody = together(entry(2, {"quality": 1.0, "energy_j": 1.0}, infeasible="failure_rate is 1, not <= 0"))
    assert choices(nobody) == []


def test_the_report_of_a_run_says_which_one_to_take(finished_run: Path) -> None:
    page = (finished_run / "report.html").read_text(encoding="utf-8")
    (section,) = re.findall(r'<section id="choices">(.*?)</section>', page, re.DOTALL)
    assert '<a href="#choices">' in page
    text = " ".join(unescape(re.sub(r"<[^>]*>", "", section.replace("<wbr>", ""))).split())
    run = orkester.open_run(finished_run)
    for answer in choices(run.results):
        assert f"{answer['number']} {answer['team']} {answer['measured']}" in text
        for wish in answer["wishes"]:
            assert f"{wish['label']}{wish['command']} {wish['why']}" in text
