"""The order in which teams are measured."""

import random

import pytest

from orkester.graphs import Team
from orkester.optim.search.engine_order import by_engines


def single(model: str, **engine: int) -> Team:
    return Team("single", {"model": model, "temperature": 0.0}, engine)


def cascade(first: str, then: str, **engine: int) -> Team:
    knobs = {"first": first, "then": then, "votes": 2, "temperature": 0.7, "agreement": 1.0}
    return Team("cascade", knobs, engine)


S, L, T = single("s"), single("l"), single("t")
S2, L2 = single("s", tensor_parallel=2), single("l", tensor_parallel=2)
SL, LS = cascade("s", "l"), cascade("l", "s")


@pytest.mark.parametrize(
    ("teams", "measured", "expected"),
    [
        ([], [], []),
        ([S, L, S, L], [], [S, S, L, L]),
        ([S, S2, L, S, S2], [], [S, S, S2, S2, L]),
        # those in use before go first, the last one at the front
        ([S, L, T], [L], [L, S, T]),
        ([S, L, T], [T, L], [L, T, S]),
        ([S, L, T], [T, L, T], [T, L, S]),
        ([T, S2, L], [S2, S], [S2, T, L]),
        # then those that need the fewest engines more
        ([S2, SL, T], [S], [SL, S2, T]),
        ([SL, S], [], [S, SL]),
        # the same engines whatever they do there
        ([SL, T, LS], [], [T, SL, LS]),
        ([L, LS, SL], [S, L], [L, LS, SL]),
    ],
)
def test_teams_with_the_same_engines_follow_each_other(
    teams: list[Team], measured: list[Team], expected: list[Team]
) -> None:
    order = by_engines(teams, measured)
    assert sorted(order) == list(range(len(teams)))
    assert [teams[i] for i in order] == expected


def test_teams_with_the_same_engines_keep_their_order() -> None:
    rng = random.Random(1)
    teams = [rng.choice([S, L, T, S2, L2, SL, LS]) for _ in range(40)]
    order = by_engines(teams, [L, S2])
    for team in {*teams}:
        places = [index for index in order if teams[index] == team]
        assert places == sorted(places)
    changes = sum(
        set(a.models) != set(b.models) or a.engine != b.engine
        for a, b in zip([teams[i] for i in order], [teams[i] for i in order[1:]], strict=False)
    )
    assert changes == 5  # six configurations, one after the other


def test_when_a_team_was_measured_last_is_all_that_counts() -> None:
    """So it is enough to remember every team once."""
    rng = random.Random(2)
    for _ in range(200):
        teams, measured = ([rng.choice([S, L, T, S2, L2, SL, LS]) for _ in range(size)] for size in (6, 30))
        last = list(dict.fromkeys(reversed(measured)))[::-1]
        assert by_engines(teams, last) == by_engines(teams, measured)
