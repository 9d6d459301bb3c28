"""The contract of topologies, for every one that comes with Orkester."""

from contracts.topologies import Case, TopologyContract, apart

from orkester.graphs import topologies


class TestSingle(TopologyContract):
    name = "single"
    cases = (
        Case({"model": "small", "temperature": 0.0}, {"small": 1}),
        Case({"model": "large", "temperature": 1.2}, {"large": 1}),
    )


class TestVote(TopologyContract):
    name = "vote"
    cases = (
        Case({"agents": 1, "model": "small", "temperature": 0.7}, {"small": 1}),
        Case({"agents": 4, "model": "large", "temperature": 0.3}, {"large": 4}, apart),
        Case({"agents": 9, "model": "small", "temperature": 0.7}, {"small": 9}),
    )


class TestCascade(TopologyContract):
    name = "cascade"
    cases = (
        Case(
            {"first": "small", "then": "large", "votes": 2, "temperature": 0.7, "agreement": 1.0},
            {"small": 2},
        ),
        Case(
            {"first": "small", "then": "large", "votes": 9, "temperature": 0.3, "agreement": 0.5},
            {"small": 9, "large": 1},
            apart,
        ),
        Case(
            {"first": "large", "then": "large", "votes": 3, "temperature": 0.3, "agreement": 1.0},
            {"large": 4},
            apart,
        ),
        Case(
            {"first": "large", "then": "small", "votes": 3, "temperature": 0.3, "agreement": 1.0},
            {"large": 3, "small": 1},
            apart,
        ),
    )


class TestDebate(TopologyContract):
    name = "debate"
    cases = (
        Case({"agents": 2, "rounds": 1, "model": "small", "temperature": 0.7}, {"small": 4}),
        Case({"agents": 3, "rounds": 2, "model": "large", "temperature": 0.3}, {"large": 9}, apart),
        Case({"agents": 6, "rounds": 4, "model": "small", "temperature": 0.3}, {"small": 30}, apart),
    )


def test_every_topology_that_comes_with_orkester_is_held_to_the_contract() -> None:
    assert {kind.name for kind in TopologyContract.__subclasses__()} == set(topologies())
