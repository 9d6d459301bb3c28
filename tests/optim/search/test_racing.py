"""When a team is out of the race."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from orkester.graphs import Team
from orkester.optim.goals.goal import Direction
from orkester.optim.search.models.evidence import Evidence
from orkester.optim.search.racing import ERROR, MOST_MEMBERS, Race

Floats = NDArray[np.float64]
EXAMPLES, BLOCK = 64, 8
OBJECTIVES: Mapping[str, Direction] = {"quality": "maximize", "latency_mean_s": "minimize", "energy_j": "minimize"}


def team(number: int) -> Team:
    return Team("single", {"model": f"m{number}", "temperature": 0.0})


def race(**changes: object) -> Race:
    known = {"objectives": OBJECTIVES, "constraints": {}, "examples": EXAMPLES, "block": BLOCK}
    return Race(**{**known, **changes})  # type: ignore[arg-type]


def measured(columns: Mapping[str, Floats], constraints: tuple[str, ...] = ()) -> Evidence:
    """All teams, whole."""
    evidence = Evidence([*OBJECTIVES, *constraints], EXAMPLES)
    for number in range(len(columns["score"])):
        add(evidence, number, columns, EXAMPLES)
    return evidence


def add(evidence: Evidence, number: int, columns: Mapping[str, Floats], upto: int) -> None:
    for start in range(evidence.seen(team(number)), upto, BLOCK):
        part = {name: column[number, start : start + BLOCK] for name, column in columns.items()}
        evidence.add(team(number), part)


def drawn(
    rng: np.random.Generator, quality: list[float], latency_s: list[float], energy_j: list[float]
) -> Mapping[str, Floats]:
    """Rows of teams: examples differ in difficulty and length, joules are measured by block."""
    n, ease, length = len(quality), rng.normal(0, 0.15, EXAMPLES), rng.normal(0, 0.3, EXAMPLES)
    score = (rng.random((n, EXAMPLES)) < np.clip(np.array(quality)[:, None] + ease, 0, 1)).astype(float)
    latency = np.array(latency_s)[:, None] * np.exp(length + rng.normal(0, 0.2, (n, EXAMPLES)))
    joules = np.array(energy_j)[:, None] * np.exp(rng.normal(0, 0.1, (n, EXAMPLES // BLOCK)))
    return {"score": score, "latency_s": latency, "energy_j": np.repeat(joules, BLOCK, axis=1)}


def raced(race: Race, columns: Mapping[str, Floats]) -> tuple[str, int]:
    """Team 0 block by block against the others, which were measured whole: why it was stopped, and after how many."""
    evidence = Evidence(list(OBJECTIVES), EXAMPLES)
    others = [team(number) for number in range(1, len(columns["score"]))]
    for number in range(1, len(columns["score"])):
        add(evidence, number, columns, EXAMPLES)
    for seen in range(BLOCK, EXAMPLES + 1, BLOCK):
        add(evidence, 0, columns, seen)
        if reason := race.stops(evidence, team(0), others):
            return reason, seen
    return "", EXAMPLES


@pytest.mark.parametrize(
    ("quality", "latency_s", "energy_j"),
    [
        ([0.5, 0.9], [1.0, 0.5], [10.0, 10.0]),  # as dear as the member, and worse in all else
        ([0.5, 0.9], [1.0, 1.0], [10.0, 5.0]),
        ([0.6, 0.6], [1.0, 0.5], [10.0, 5.0]),
        # Equal to each of several members in another objective.
        ([0.7, 0.7, 0.9, 0.9, 0.7], [1.0, 0.5, 1.0, 0.5, 0.4], [10.0, 5.0, 5.0, 10.0, 6.0]),
    ],
)
def test_a_team_that_is_beaten_in_all_but_one_objective_is_stopped_no_more_often_than_stated(
    quality: list[float], latency_s: list[float], energy_j: list[float]
) -> None:
    rng = np.random.default_rng(5)
    often = 250
    stopped = sum(bool(raced(race(), drawn(rng, quality, latency_s, energy_j))[0]) for _ in range(often))
    assert stopped / often <= ERROR + 2 * (ERROR * (1 - ERROR) / often) ** 0.5


def test_a_team_that_is_clearly_beaten_is_stopped_early_and_told_by_whom() -> None:
    rng = np.random.default_rng(6)
    ends = [raced(race(), drawn(rng, [0.3, 0.9], [2.0, 0.5], [20.0, 5.0])) for _ in range(30)]
    assert all(reason for reason, _ in ends)
    assert np.mean([seen for _, seen in ends]) < 0.5 * EXAMPLES
    assert ends[0][0] == f"beaten by {team(1).id} after {ends[0][1]} of 64 examples"


def test_at_error_0_no_team_is_stopped_by_another() -> None:
    rng = np.random.default_rng(7)
    assert raced(race(error=0.0), drawn(rng, [0.1, 1.0], [5.0, 0.5], [50.0, 5.0])) == ("", EXAMPLES)


def test_less_error_stops_later() -> None:
    def mean_end(error: float) -> float:
        rng = np.random.default_rng(8)
        return float(
            np.mean([raced(race(error=error), drawn(rng, [0.6, 0.9], [1.0, 0.5], [9.0, 5.0]))[1] for _ in range(40)])
        )

    assert mean_end(0.2) < mean_end(0.05) < mean_end(0.001)


def test_only_members_that_saw_as_much_may_stop_a_team() -> None:
    columns = drawn(np.random.default_rng(9), [0.1, 1.0], [5.0, 0.5], [50.0, 5.0])
    evidence = Evidence(list(OBJECTIVES), EXAMPLES)
    add(evidence, 0, columns, 40)
    add(evidence, 1, columns, 32)
    assert race().stops(evidence, team(0), [team(1)]) == ""
    add(evidence, 1, columns, 40)
    assert race().stops(evidence, team(0), [team(1)]).startswith("beaten by ")
    assert race().stops(evidence, team(1), [team(0), team(1)]) == ""  # not by itself, and not by the worse one


def test_a_team_that_is_whole_is_not_stopped_any_more() -> None:
    columns = drawn(np.random.default_rng(9), [0.1, 1.0], [5.0, 0.5], [50.0, 5.0])
    assert race().stops(measured(columns), team(0), [team(1)]) == ""


def test_of_many_members_that_beat_a_team_some_are_enough() -> None:
    count = 3 * MOST_MEMBERS
    columns = drawn(np.random.default_rng(10), [0.2, *[0.95] * count], [3.0, *[0.5] * count], [30.0, *[5.0] * count])
    reason, seen = raced(race(), columns)
    assert reason.startswith("beaten by ")
    assert seen < EXAMPLES


# -- teams that cannot hold a constraint any more ---------------------------------------------------------------------


def failing(at: list[int]) -> Mapping[str, Floats]:
    """One team that fails at these examples and is right in all others."""
    failed = np.zeros((1, EXAMPLES))
    failed[0, at] = 1.0
    return {
        "score": 1 - failed,
        "failed": failed,
        "latency_s": np.ones((1, EXAMPLES)),
        "energy_j": np.ones((1, EXAMPLES)),
    }


def hopeless(constraints: Mapping[str, str], columns: Mapping[str, Floats], error: float = 0.0) -> tuple[str, int]:
    evidence = Evidence([*OBJECTIVES, *constraints], EXAMPLES)
    for seen in range(BLOCK, EXAMPLES + 1, BLOCK):
        add(evidence, 0, columns, seen)
        if reason := race(constraints=constraints, error=error).stops(evidence, team(0), []):
            return reason, seen
    return "", EXAMPLES


def test_one_failure_is_enough_where_none_is_allowed() -> None:
    reason, seen = hopeless({"failure_rate": "<= 0"}, failing([12]))
    assert (reason, seen) == ("failure_rate cannot be <= 0 any more after 16 of 64 examples", 16)
    assert hopeless({"failure_rate": "<= 0"}, failing([])) == ("", EXAMPLES)


def test_where_some_are_allowed_it_takes_one_more_than_those_of_a_whole_measurement() -> None:
    at = [0, 10, 20, 30, 40]
    assert hopeless({"failure_rate": "<= 0.0625"}, failing(at[:4])) == ("", EXAMPLES)  # four of 64
    assert hopeless({"failure_rate": "<= 0.0625"}, failing(at))[1] == 48


def test_a_team_whose_quality_can_no_longer_be_enough_is_stopped() -> None:
    reason, seen = hopeless({"quality": ">= 0.8"}, failing(list(range(14))))  # 50 of 64 at best
    assert (reason, seen) == ("quality cannot be >= 0.8 any more after 16 of 64 examples", 16)
    assert hopeless({"quality": ">= 0.75"}, failing(list(range(14)))) == ("", EXAMPLES)


def test_what_is_no_share_may_still_change() -> None:
    assert hopeless({"latency_mean_s": "<= 0.5"}, failing([])) == ("", EXAMPLES)
