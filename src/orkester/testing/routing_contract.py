"""The contract of routing policies: the tests that every policy must pass. Subclass it with the policy's name."""

from collections.abc import Sequence

import pytest

from orkester.agents.routing import Route, RoutingPolicy, RoutingRequest, routing_policy

REQUESTS = (
    RoutingRequest(question="What is 2 + 3?", choices=("small", "large")),
    RoutingRequest(question="What is 2 + 3?", choices=("only",)),
    RoutingRequest(question="", choices=("small", "middle", "large"), drafts=("5", "6")),
    RoutingRequest(question=[{"type": "text", "text": "What is this?"}], choices=("small", "large"), drafts=("5", "5")),
)


class RoutingContract:
    """The contract of all routing policies. A subclass sets the name of the policy, and may set other requests."""

    #: The name of the policy in study files.
    name: str
    requests: Sequence[RoutingRequest] = REQUESTS

    @property
    def policy(self) -> RoutingPolicy:
        return routing_policy(self.name)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "request_" in metafunc.fixturenames:
            metafunc.parametrize("request_", self.requests, ids=range(len(self.requests)))

    def test_it_chooses_one_of_the_choices_and_says_why(self, request_: RoutingRequest) -> None:
        route = self.policy.route(request_)
        assert isinstance(route, Route)
        assert route.choice in request_.choices
        assert route.reason.strip()

    def test_the_same_request_gets_the_same_decision(self, request_: RoutingRequest) -> None:
        assert self.policy.route(request_) == self.policy.route(request_)
