"""What the report says of confirmation: chances, examples, and how far the search flattered."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from orkester.evals.records.block import Block, Phase
from orkester.evals.records.log import Records
from orkester.graphs import Team
from orkester.optim.report.sections.confirmation import confirmation_section
from orkester.optim.run.results import results
from orkester.testing.blocks import block, call, result

OBJECTIVES: Mapping[str, Any] = {"quality": "maximize", "calls": "minimize"}
HELD_OUT = 40


def made(agents: int, right: int, *, phase: Phase = "search", index: int = 0, of: int = 10) -> Block:
    """So many right answers by a vote of so many agents."""
    who = Team("vote", {"agents": agents, "model": "small", "temperature": 0.7})
    examples = tuple(result(i, score=float(i < right), calls=(call(),) * agents) for i in range(of))
    return block(team=who.id, knobs=dict(who.knobs), phase=phase, index=index, trial=agents, examples=examples)


def confirmed(agents: int, right: int, blocks: int) -> list[Block]:
    return [made(agents, right, phase="confirm", index=i) for i in range(blocks)]


def section(blocks: Sequence[Block]) -> dict[str, Any] | None:
    found = results(Records(blocks=blocks, failures=()), OBJECTIVES, {}, {"search": 10, "confirm": HELD_OUT})
    return confirmation_section(found, blocks, held_out=HELD_OUT, seed=1, footprint=None)


def shown(blocks: Sequence[Block]) -> dict[str, Any]:
    found = section(blocks)
    assert found is not None
    return found


def test_there_is_none_before_anything_is_confirmed() -> None:
    assert section([made(1, 5), made(2, 8)]) is None


def test_members_and_teams_near_them_have_chances_examples_and_what_the_search_flattered() -> None:
    blocks = [made(1, 5), made(2, 9), made(3, 9), *confirmed(1, 2, 3), *confirmed(2, 6, 4), *confirmed(3, 9, 4)]
    found = shown(blocks)
    first, second, near = found["teams"]
    assert [(t["number"], t["n"], t["of"]) for t in found["teams"]] == [(1, 40, 40), (2, 30, 40), (None, 40, 40)]
    assert near["team"].startswith("vote: agents=3")
    assert [t["chance"] for t in found["teams"]] == [">99 %", ">99 %", ">99 %"]
    assert first["cells"][0]["value"] == "+0.3"  # 0.9 in the search, 0.6 confirmed
    assert second["cells"][0]["value"] == "+0.3"
    assert near["cells"][0]["value"] == "0"
    low, high = (float(end.replace("−", "-")) for end in first["cells"][0]["range"].split(" to "))
    assert low < 0.3 < high
    assert {t["cells"][1]["value"] for t in found["teams"]} == {"0"}
    assert (found["near"], found["members"], found["unclear"]) == (1, 2, 0)


def test_the_winners_curse_is_the_mean_of_the_members_alone() -> None:
    blocks = [made(1, 5), made(2, 9), made(3, 9), *confirmed(1, 5, 3), *confirmed(2, 6, 4), *confirmed(3, 1, 4)]
    quality, calls = shown(blocks)["means"]
    assert quality["value"] == "+0.15"
    assert (calls["value"], calls["range"]) == ("0 %", "0 % to 0 %")
    alone = shown([made(1, 5), *confirmed(1, 5, 3)])
    assert alone["means"] == []  # of one, it is in its row


@pytest.mark.parametrize(("blocks", "used_up"), [(3, False), (4, True)])
def test_what_is_not_clear_is_counted_with_why(blocks: int, used_up: bool) -> None:
    found = shown([made(1, 7), made(2, 8), *confirmed(1, 8, blocks), *confirmed(2, 8, blocks)])
    assert (found["unclear"], found["used_up"]) == (1, used_up)


def test_a_quantity_in_seconds_is_flattered_where_confirmation_was_slower() -> None:

    def slow(each: Block, latency_s: float) -> Block:
        examples = tuple(dataclasses.replace(e, latency_s=latency_s) for e in each.examples)
        return dataclasses.replace(each, examples=examples)

    blocks = [slow(made(1, 5), 1.0), *(slow(each, 1.25) for each in confirmed(1, 5, 3))]
    objectives: Mapping[str, Any] = {"quality": "maximize", "latency_p50_s": "minimize"}
    found = results(Records(blocks=blocks, failures=()), objectives, {}, {"search": 10, "confirm": HELD_OUT})
    told = confirmation_section(found, blocks, held_out=HELD_OUT, seed=1, footprint=None)
    assert told is not None
    assert told["teams"][0]["cells"][1]["value"] == "+0.25"
