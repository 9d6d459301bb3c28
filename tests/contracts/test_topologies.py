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


def two_sides(asked: ChatCall) -> str:
    """Every second voter says something else."""
    return ("Oslo", "Bergen")[asked.sample % 2]


class TestAdaptiveVote(TopologyContract):
    name = "adaptive_vote"
    cases = (
        Case({"agents": 3, "confidence": 1.0, "model": "small", "temperature": 0.7}, {"small": 2}),
        Case({"agents": 9, "confidence": 0.9, "model": "small", "temperature": 0.7}, {"small": 3}),
        Case({"agents": 9, "confidence": 1.0, "model": "large", "temperature": 0.3}, {"large": 9}, two_sides),
        Case({"agents": 8, "confidence": 0.95, "model": "large", "temperature": 0.3}, {"large": 8}, different_answers),
    )


def marked(asked: ChatCall) -> str:
    """Different drafts; each verifier gives the draft's number as its mark."""
    return f"{asked.sample} of 100" if asked.agent == "verifier" else different_answers(asked)


VERIFIED = (
    Case({"agents": 2, "model": "small", "verifier": "large", "temperature": 0.7}, {"small": 2}),
    Case(
        {"agents": 3, "model": "small", "verifier": "large", "temperature": 0.3},
        {"small": 3, "large": 3},
        different_answers,
    ),
    Case({"agents": 9, "model": "large", "verifier": "small", "temperature": 0.7}, {"large": 9, "small": 9}, marked),
    Case({"agents": 4, "model": "large", "verifier": "large", "temperature": 0.0}, {"large": 8}, marked),
)


class TestBestOfN(TopologyContract):
    name = "best_of_n"
    cases = VERIFIED


class TestWeightedVote(TopologyContract):
    name = "weighted_vote"
    cases = VERIFIED[1:]


class TestMixture(TopologyContract):
    name = "mixture"
    cases = (
        Case(
            {"agents": 2, "layers": 1, "model": "small", "aggregator": "large", "temperature": 0.7},
            {"small": 2, "large": 1},
        ),
        Case(
            {"agents": 3, "layers": 3, "model": "large", "aggregator": "small", "temperature": 0.3},
            {"large": 9, "small": 1},
            different_answers,
        ),
        Case(
            {"agents": 6, "layers": 2, "model": "small", "aggregator": "small", "temperature": 0.7},
            {"small": 13},
            different_answers,
        ),
    )


class TestPipeline(TopologyContract):
    name = "pipeline"
    cases = (
        Case(
            {"agents": 2, "analyst": "small", "model": "large", "reviewer": "small", "temperature": 0.0},
            {"small": 1, "large": 1},
        ),
        Case(
            {"agents": 3, "analyst": "large", "model": "small", "reviewer": "large", "temperature": 0.7},
            {"small": 1, "large": 2},
            different_answers,
        ),
    )


def three_steps(asked: ChatCall) -> str:
    """The planner's list has three steps."""
    return "1. one\n2) two\n3. three" if asked.agent == "planner" else different_answers(asked)


class TestPlan(TopologyContract):
    name = "plan"
    cases = (
        Case({"rounds": 5, "planner": "large", "model": "small", "temperature": 0.0}, {"large": 1, "small": 1}),
        Case(
            {"rounds": 5, "planner": "large", "model": "small", "temperature": 0.7},
            {"large": 1, "small": 4},
            three_steps,
        ),
        Case(
            {"rounds": 2, "planner": "small", "model": "large", "temperature": 0.7},
            {"large": 3, "small": 1},
            three_steps,
        ),
    )


def delegating(asked: ChatCall) -> str:
    """The supervisor asks for three parts each time it may."""
    if asked.agent == "supervisor":
        return "ASK: one\n**ASK:** two\n- ASK: three" if "No more work" not in texts(asked) else "Oslo"
    return different_answers(asked)


class TestSupervisor(TopologyContract):
    name = "supervisor"
    cases = (
        Case(
            {"agents": 1, "rounds": 1, "model": "small", "supervisor": "large", "temperature": 0.7},
            {"large": 1},
        ),
        Case(
            {"agents": 2, "rounds": 1, "model": "small", "supervisor": "large", "temperature": 0.3},
            {"large": 2, "small": 2},
            delegating,
        ),
        Case(
            {"agents": 6, "rounds": 4, "model": "large", "supervisor": "small", "temperature": 0.3},
            {"small": 5, "large": 12},
            delegating,
        ),
    )


class TestHybrid(TopologyContract):
    name = "hybrid"
    cases = (
        Case(
            {"agents": 1, "rounds": 1, "model": "small", "supervisor": "large", "temperature": 0.7},
            {"large": 2, "small": 1},
            delegating,
        ),
        Case(
            {"agents": 2, "rounds": 1, "model": "small", "supervisor": "large", "temperature": 0.3},
            {"large": 2, "small": 4},
            delegating,
        ),
        Case(
            {"agents": 6, "rounds": 4, "model": "large", "supervisor": "small", "temperature": 0.3},
            {"small": 5, "large": 24},
            delegating,
        ),
    )


class TestTree(TopologyContract):
    name = "tree"
    cases = (
        Case(
            {"breadth": 3, "depth": 2, "model": "small", "evaluator": "large", "temperature": 0.7},
            {"small": 7},
        ),
        Case(
            {"breadth": 2, "depth": 3, "model": "small", "evaluator": "large", "temperature": 0.3},
            {"small": 7, "large": 6},
            different_answers,
        ),
        Case(
            {"breadth": 5, "depth": 1, "model": "large", "evaluator": "small", "temperature": 0.3},
            {"large": 6, "small": 5},
            different_answers,
        ),
    )


def handing_over(asked: ChatCall) -> str:
    """Everyone hands the question over as long as it may."""
    return "HANDOFF: it is yours" if "Answer now" not in texts(asked) else "Oslo"


class TestHandoff(TopologyContract):
    name = "handoff"
    cases = (
        Case({"rounds": 1, "model": "small", "specialist": "large", "temperature": 0.0}, {"small": 1}),
        Case(
            {"rounds": 1, "model": "small", "specialist": "large", "temperature": 0.7},
            {"small": 1, "large": 1},
            handing_over,
        ),
        Case(
            {"rounds": 4, "model": "large", "specialist": "small", "temperature": 0.7},
            {"large": 3, "small": 2},
            handing_over,
        ),
    )


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
