"""The contract of topologies, for every one that comes with Orkester."""

import importlib
import re

import pytest

from orkester.graphs import topologies
from orkester.testing.scripted import ChatCall, scripted_models
from orkester.testing.topology_contract import Case, TopologyContract, different_answers, texts


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
        Case({"agents": 4, "model": "large", "temperature": 0.3}, {"large": 4}, different_answers),
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
            different_answers,
        ),
        Case(
            {"first": "large", "then": "large", "votes": 3, "temperature": 0.3, "agreement": 1.0},
            {"large": 4},
            different_answers,
        ),
        Case(
            {"first": "large", "then": "small", "votes": 3, "temperature": 0.3, "agreement": 1.0},
            {"large": 3, "small": 1},
            different_answers,
        ),
    )


class TestDebate(TopologyContract):
    name = "debate"
    cases = (
        Case({"agents": 2, "rounds": 1, "model": "small", "temperature": 0.7}, {"small": 4}),
        Case({"agents": 3, "rounds": 2, "model": "large", "temperature": 0.3}, {"large": 9}, different_answers),
        Case({"agents": 6, "rounds": 4, "model": "small", "temperature": 0.3}, {"small": 30}, different_answers),
    )


def approved(asked: ChatCall) -> str:
    return "**Approved.**" if asked.agent == "critic" else different_answers(asked)


class TestReflect(TopologyContract):
    name = "reflect"
    cases = (
        Case({"rounds": 3, "model": "small", "critic": "small", "temperature": 0.7}, {"small": 2}),
        Case(
            {"rounds": 1, "model": "small", "critic": "large", "temperature": 0.3},
            {"small": 2, "large": 1},
            different_answers,
        ),
        Case(
            {"rounds": 4, "model": "large", "critic": "small", "temperature": 0.3},
            {"large": 5, "small": 4},
            different_answers,
        ),
        Case(
            {"rounds": 4, "model": "large", "critic": "small", "temperature": 0.3}, {"large": 1, "small": 1}, approved
        ),
    )

    async def test_the_critic_sees_the_last_reply_and_the_actor_what_is_said_about_it(self) -> None:
        models, asked = scripted_models(different_answers)
        await self.run(self.cases[2], models, question="Which?", instruction="One word.")
        assert [call.agent for call in asked] == ["actor", "critic"] * 4 + ["actor"]
        opening, *turns = [texts(call) for call in asked]
        assert opening == "One word.\nWhich?"
        for i, (critic, actor) in enumerate(zip(turns[::2], turns[1::2], strict=True)):
            assert critic.endswith(f"follow these instructions: One word.\nWhich?\n\nAnswer to check:\nlarge actor {i}")
            assert actor.startswith("One word.\nWhich?\n\nYour last answer")
            assert f"says about it:\nlarge actor {i}\n\nCritic: small critic {i}\n\n" in actor
            assert actor.count("large actor") == 1


class TestRouter(TopologyContract):
    name = "router"
    cases = (
        Case({"first": "small", "second": "large", "routing": "rule", "temperature": 0.0}, {"large": 1}),
        Case({"first": "large", "second": "small", "routing": "rule", "temperature": 0.7}, {"small": 1}),
        Case({"first": "small", "second": "large", "routing": "learnt", "temperature": 0.0}, {"large": 1}),
    )


@pytest.mark.parametrize("name", topologies())
def test_a_topology_that_comes_with_orkester_says_where_it_comes_from(name: str) -> None:
    module = importlib.import_module(f"orkester.graphs.{name}")
    assert re.search(r"arXiv:\d{4}\.\d{5}\b", module.__doc__ or "")
    assert module.graph.name == name


def test_every_topology_that_comes_with_orkester_is_held_to_the_contract() -> None:
    assert {kind.name for kind in TopologyContract.__subclasses__()} == set(topologies())
