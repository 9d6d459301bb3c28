"""Topologies on models whose truth is known: their quality is what the arithmetic says.

Each model answers rightly with a stated probability, drawn anew for each question and draw. Limits are four standard
errors, and the draws are seeded, so a test fails when the arithmetic does not hold.
"""

import asyncio
import itertools
import math
import random
from collections.abc import Callable, Mapping

import pytest

from orkester.graphs import KnobValue, Team, TeamSettings
from orkester.testing.scripted import Answer, ChatCall, scripted_models
from orkester.testing.topology_contract import texts

QUESTIONS = 600
RIGHT, WRONG = "right", "wrong"
SETTINGS = TeamSettings(key=lambda answer: answer.split()[0], instruction="Say right or wrong.")


class Draws:
    """Draws that depend on the question, the agent and the number of the call, and not on the order of calls."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, asked: ChatCall, *more: object) -> random.Random:
        question = str(asked.content).split("\n")[0]
        return random.Random(f"{self._name} {question} {asked.agent} {asked.sample} {more}")


def quality(topology: str, knobs: Mapping[str, KnobValue], answer: Answer, count: int = QUESTIONS) -> float:
    """The share of questions that a team answers rightly."""

    async def ask() -> list[str]:
        models, _ = scripted_models(answer)
        team = Team(topology, knobs)
        return [await team.answer(f"question {i}", models, SETTINGS) for i in range(count)]

    answers = asyncio.run(ask())
    return sum(each.startswith(RIGHT) for each in answers) / count


def is_near(found: float, expected: float, count: int = QUESTIONS) -> bool:
    return abs(found - expected) <= 4 * math.sqrt(expected * (1 - expected) / count)


def voter(chance: float, name: str = "vote") -> Callable[[ChatCall], str]:
    """Right with a chance; all that is wrong is the same. Each text is another one, so that each is marked."""
    draws = Draws(name)
    return lambda asked: f"{RIGHT if draws(asked).random() < chance else WRONG} {asked.sample}"


def binomial(n: int, chance: float) -> float:
    """The chance that a majority of n is right; n is odd."""
    return sum(math.comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in range(n // 2 + 1, n + 1))


@pytest.mark.parametrize(("agents", "chance"), [(1, 0.6), (3, 0.6), (9, 0.6), (5, 0.4)])
def test_a_vote_follows_the_binomial_curve(agents: int, chance: float) -> None:
    found = quality("vote", {"agents": agents, "model": "small", "temperature": 0.7}, voter(chance))
    assert is_near(found, binomial(agents, chance))


@pytest.mark.parametrize(("agents", "chance", "trust"), [(3, 0.5, 0.8), (4, 0.3, 0.9), (3, 0.6, 0.5)])
def test_the_best_of_n_is_the_order_statistic_of_its_marks(agents: int, chance: float, trust: float) -> None:
    """A draft that is right gets a high mark with the chance ``trust``, a wrong one with 1 - ``trust``."""
    draft, marks = voter(chance), Draws("marks")

    def answer(asked: ChatCall) -> str:
        if asked.agent != "verifier":
            return draft(asked)
        good = RIGHT in str(asked.content)
        return "90" if (marks(asked).random() < trust) == good else "10"

    knobs = {"agents": agents, "model": "small", "verifier": "large", "temperature": 0.7}
    expected = 0.0
    for outcomes in itertools.product(itertools.product((True, False), (90, 10)), repeat=agents):
        share = math.prod(_chance(right, mark, chance, trust) for right, mark in outcomes)
        best = max(range(agents), key=lambda i: (outcomes[i][1], -i))
        expected += share * outcomes[best][0]
    assert is_near(quality("best_of_n", knobs, answer), expected)


@pytest.mark.parametrize(("agents", "chance", "trust"), [(3, 0.5, 0.8), (4, 0.4, 0.9), (5, 0.6, 0.5)])
def test_a_weighted_vote_adds_up_the_marks(agents: int, chance: float, trust: float) -> None:
    """A verifier whose marks are log-odds makes the best decision there is (Nitzan and Paroush 1982)."""
    draft, marks = voter(chance), Draws("marks")
    high, low = 80, 20

    def answer(asked: ChatCall) -> str:
        if asked.agent != "verifier":
            return draft(asked)
        good = RIGHT in str(asked.content)
        return str(high if (marks(asked).random() < trust) == good else low)

    knobs = {"agents": agents, "model": "small", "verifier": "large", "temperature": 0.7}
    expected = 0.0
    for outcomes in itertools.product(itertools.product((True, False), (high, low)), repeat=agents):
        share = math.prod(_chance(right, mark, chance, trust) for right, mark in outcomes)
        sums = {
            side: (sum(m for r, m in outcomes if r is side), sum(r is side for r, _ in outcomes))
            for side in (True, False)
        }
        first = outcomes[0][0]
        expected += share * (first if sums[True] == sums[False] else sums[True] > sums[False])
    assert is_near(quality("weighted_vote", knobs, answer), expected)


def _chance(right: bool, mark: int, chance: float, trust: float) -> float:
    high = mark > 50
    return (chance if right else 1 - chance) * (trust if high == right else 1 - trust)


def test_a_cascade_asks_the_larger_model_as_often_as_its_votes_disagree() -> None:
    small, large = 0.7, 0.9
    cheap, dear = voter(small), voter(large, "large")
    asked_large = 0

    def answer(asked: ChatCall) -> str:
        nonlocal asked_large
        asked_large += asked.model == "large"
        return (dear if asked.model == "large" else cheap)(asked)

    knobs = {"first": "small", "then": "large", "votes": 3, "temperature": 0.7, "agreement": 1.0}
    found = quality("cascade", knobs, answer)
    disagree = 1 - small**3 - (1 - small) ** 3
    assert is_near(asked_large / QUESTIONS, disagree)
    assert is_near(found, small**3 + disagree * large)


def test_a_router_is_the_mixture_of_its_models() -> None:
    """The rule sends questions with a digit to the first model, and here all have one."""
    first, second = voter(0.8, "first"), voter(0.3, "second")
    knobs = {"first": "small", "second": "large", "routing": "rule", "temperature": 0.0}
    found = quality("router", knobs, lambda asked: (first if asked.model == "small" else second)(asked))
    assert is_near(found, 0.8)


def test_a_mixture_is_as_good_as_what_its_aggregator_makes_of_the_last_layer() -> None:
    """Proposers of later layers keep a right answer that they see with a chance, and so does the aggregator."""
    first, keep = 0.4, 0.9
    draws = Draws("mixture")

    def answer(asked: ChatCall) -> str:
        seen = str(asked.content).count(f"- {RIGHT}")
        chance = first if "Answers of" not in str(asked.content) else keep if seen else 0.0
        return f"{RIGHT if draws(asked, seen > 0).random() < chance else WRONG} {asked.sample}"

    knobs = {"agents": 3, "layers": 2, "model": "small", "aggregator": "large", "temperature": 0.7}
    some_right = 1 - (1 - first) ** 3
    expected = some_right * (1 - (1 - keep) ** 3) * keep
    assert is_near(quality("mixture", knobs, answer), expected)


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_reflection_is_a_markov_chain_of_revisions(rounds: int) -> None:
    """The critic approves right and wrong answers with different chances; each revision may repair or break."""
    start, approves_right, approves_wrong, repairs, breaks = 0.5, 0.9, 0.3, 0.2, 0.3
    draws = Draws("reflect")

    def answer(asked: ChatCall) -> str:
        text = str(asked.content)
        if asked.agent == "critic":
            right = f"check:\n{RIGHT}" in text
            return "APPROVED" if draws(asked).random() < (approves_right if right else approves_wrong) else "no, look"
        revised = 1 - breaks if f":\n{RIGHT}" in text else repairs
        chance = revised if "Critic:" in text else start
        return f"{RIGHT if draws(asked).random() < chance else WRONG} {asked.sample}"

    right, wrong, done = start, 1 - start, 0.0
    for _ in range(rounds):
        done += right * approves_right
        right, wrong = right * (1 - approves_right), wrong * (1 - approves_wrong)  # those that are answered again
        right, wrong = right * (1 - breaks) + wrong * repairs, right * breaks + wrong * (1 - repairs)
    knobs = {"rounds": rounds, "model": "small", "critic": "large", "temperature": 0.7}
    assert is_near(quality("reflect", knobs, answer), done + right)


def test_a_debate_is_a_markov_chain_of_majorities() -> None:
    """An agent that sees how many of the other two are right is right with a chance for each number."""
    start, after = 0.5, {0: 0.2, 1: 0.5, 2: 0.95}
    draws = Draws("debate")

    def answer(asked: ChatCall) -> str:
        text = str(asked.content)
        chance = after[text.count(f"- {RIGHT}")] if "Drafts" in text else start
        return f"{RIGHT if draws(asked).random() < chance else WRONG} {asked.sample}"

    states = {
        outcome: math.prod(start if right else 1 - start for right in outcome)
        for outcome in itertools.product((True, False), repeat=3)
    }
    for _ in range(2):
        following = dict.fromkeys(states, 0.0)
        for state, share in states.items():
            chances = [after[sum(state) - own] for own in state]
            for outcome in following:
                moved = (c if right else 1 - c for c, right in zip(chances, outcome, strict=True))
                following[outcome] += share * math.prod(moved)
        states = following
    expected = sum(share for state, share in states.items() if sum(state) > 1)
    knobs = {"agents": 3, "rounds": 2, "model": "small", "temperature": 0.7}
    assert is_near(quality("debate", knobs, answer), expected)


def test_a_handoff_is_worth_what_the_receiver_knows_of_itself() -> None:
    """The receiver hands over with a chance that depends on whether it would be right."""
    own, hands_right, hands_wrong, specialist = 0.5, 0.1, 0.8, 0.9
    draws = Draws("handoff")

    def answer(asked: ChatCall) -> str:
        chance = draws(asked)
        if asked.agent == "specialist":
            return RIGHT if chance.random() < specialist else WRONG
        right = chance.random() < own
        return (
            "HANDOFF: help" if chance.random() < (hands_right if right else hands_wrong) else RIGHT if right else WRONG
        )

    knobs = {"rounds": 1, "model": "small", "specialist": "large", "temperature": 0.0}
    expected = own * (1 - hands_right) + (own * hands_right + (1 - own) * hands_wrong) * specialist
    assert is_near(quality("handoff", knobs, answer), expected)


def test_a_tree_is_as_good_as_the_steps_that_are_kept() -> None:
    """A step is right with a chance; the evaluator knows it. The answer is right when all kept steps are."""
    chance, breadth, depth = 0.5, 3, 2
    draws = Draws("tree")

    def answer(asked: ChatCall) -> str:
        text = str(asked.content)
        if asked.agent == "thinker":
            return f"{'sound' if draws(asked).random() < chance else 'unsound'} step {asked.sample}"
        if asked.agent == "evaluator":
            return str(100 - 50 * text.count("unsound"))
        return WRONG if "unsound" in text else RIGHT

    knobs = {"breadth": breadth, "depth": depth, "model": "small", "evaluator": "large", "temperature": 0.7}
    assert is_near(quality("tree", knobs, answer), (1 - (1 - chance) ** breadth) ** depth)


def test_a_plan_is_as_good_as_all_its_steps() -> None:
    chance = 0.8
    draws = Draws("plan")

    def answer(asked: ChatCall) -> str:
        if asked.agent == "planner":
            return "1. first\n2. second\n3. third\n4. fourth"
        if asked.agent == "executor":
            return "sound" if draws(asked).random() < chance else "unsound"
        return WRONG if "unsound" in str(asked.content) else RIGHT

    knobs = {"rounds": 3, "planner": "large", "model": "small", "temperature": 0.0}
    assert is_near(quality("plan", knobs, answer), chance**3)


@pytest.mark.parametrize("topology", ["supervisor", "hybrid"])
def test_a_supervisor_is_as_good_as_its_workers(topology: str) -> None:
    """It asks once and takes the majority of three; workers that read each other follow the majority that they see."""
    chance = 0.6
    draws = Draws(topology)

    def answer(asked: ChatCall) -> str:
        text = texts(asked)
        if asked.agent == "worker":
            seen = [RIGHT] * text.count(f"worker: {RIGHT}") + [WRONG] * text.count(f"worker: {WRONG}")
            if seen and len(set(seen)) == 1:
                return seen[0]
            if f"so far: {RIGHT}" in text or f"so far: {WRONG}" in text:
                return RIGHT if f"so far: {RIGHT}" in text else WRONG
            return RIGHT if draws(asked).random() < chance else WRONG
        if "Results of" not in text:
            return "ASK: one\nASK: two\nASK: three"
        return RIGHT if text.count(f": {RIGHT}") > text.count(f": {WRONG}") else WRONG

    knobs = {"agents": 3, "rounds": 1, "model": "small", "supervisor": "large", "temperature": 0.7}
    assert is_near(quality(topology, knobs, answer), binomial(3, chance))
