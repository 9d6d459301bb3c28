"""What every routing policy must do. Subclass the contract in a test module and give it the policy's name."""

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
    """Subclasses name the policy, and may have more requests."""

    #: The name in study files.
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
