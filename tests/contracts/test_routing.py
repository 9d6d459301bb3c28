"""The contract of routing policies, for every one that comes with Orkester."""

from orkester.agents.routing import routing_policies
from orkester.testing.routing_contract import RoutingContract


class TestRule(RoutingContract):
    name = "rule"


class TestLearnt(RoutingContract):
    name = "learnt"


class TestCostAware(RoutingContract):
    name = "cost_aware"


def test_every_policy_that_comes_with_orkester_is_held_to_the_contract() -> None:
    assert {kind.name for kind in RoutingContract.__subclasses__()} == set(routing_policies())
