"""The contract of routing policies: the tests that every policy must pass. Subclass it with the policy's name."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from orkester.agents.routing import (
    LearningPolicy,
    Route,
    RoutingPolicy,
    RoutingRecord,
    RoutingRequest,
    routing_policy,
)

REQUESTS = (
    RoutingRequest(question="What is 2 + 3?", choices=("small", "large")),
    RoutingRequest(question="What is 2 + 3?", choices=("only",)),
    RoutingRequest(question="", choices=("small", "middle", "large"), drafts=("5", "6")),
    RoutingRequest(question=[{"type": "text", "text": "What is this?"}], choices=("small", "large"), drafts=("5", "5")),
)
#: ``small`` answers the sums, and ``large`` answers the other questions.
RECORDS = tuple(
    RoutingRecord(question=question, choice=choice, score=float(right == choice))
    for i in range(20)
    for question, right in (
        (f"What is {i} + {2 * i + 3}?", "small"),
        (f"Which river is in {chr(97 + i)}?", "large"),
    )
    for choice in ("small", "large")
)


class RoutingContract:
    """The contract of all routing policies. A subclass sets the name of the policy, and may set other requests.

    A policy that learns (``LearningPolicy``) is tested with what it has learnt from ``RECORDS``, too.
    """

    #: The name of the policy in study files.
    name: str
    requests: Sequence[RoutingRequest] = REQUESTS

    @property
    def policy(self) -> RoutingPolicy:
        return routing_policy(self.name)

    @property
    def policies(self) -> Sequence[RoutingPolicy]:
        """The policy as it is made, and as it is fitted."""
        policy = self.policy
        return [policy, policy.fitted(RECORDS)] if isinstance(policy, LearningPolicy) else [policy]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "request_" in metafunc.fixturenames:
            metafunc.parametrize("request_", self.requests, ids=range(len(self.requests)))

    def test_it_chooses_one_of_the_choices_and_says_why(self, request_: RoutingRequest) -> None:
        for policy in self.policies:
            route = policy.route(request_)
            assert isinstance(route, Route)
            assert route.choice in request_.choices
            assert route.reason.strip()

    def test_the_same_request_gets_the_same_decision(self, request_: RoutingRequest) -> None:
        for one, other in zip(self.policies, self.policies, strict=True):
            assert one.route(request_) == other.route(request_)

    def test_a_question_that_it_has_learnt_from_is_decided_as_if_it_were_new(self) -> None:
        policy = self.policy
        if not isinstance(policy, LearningPolicy):
            return
        fitted = policy.fitted(RECORDS)
        for question in {str(record.question) for record in RECORDS}:
            turned = [
                replace(record, score=1 - record.score) if record.question == question else record for record in RECORDS
            ]
            request = RoutingRequest(question=question, choices=("small", "large"))
            assert policy.fitted(turned).route(request) == fitted.route(request)

    def test_what_it_has_learnt_does_not_depend_on_the_process_or_the_time(self) -> None:
        policy = self.policy
        if not isinstance(policy, LearningPolicy):
            return
        assert policy.examples >= 1
        one, other = policy.fitted(RECORDS), policy.fitted(list(RECORDS))
        for question, choices in itertools.product(("What is 8 + 9?", "Who is it?"), (("small", "large"), ("large",))):
            request = RoutingRequest(question=question, choices=choices)
            assert one.route(request) == other.route(request)
