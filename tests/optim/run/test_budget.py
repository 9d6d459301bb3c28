"""What a search may cost, and what it has cost."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orkester.errors import InputError
from orkester.evals.records.block import Block, Call, ExampleResult
from orkester.optim.run.budget import LIMITS, Account, Budget, Spent, account, begun, readable
from orkester.optim.study.parts import BudgetPart
from orkester.testing.blocks import block, call, result


def with_calls(*calls: Call, **changes: Any) -> Block:
    """A block of one example with these calls."""
    return block(examples=(result(calls=calls),), **changes)


def reused(made: Call) -> Call:
    """As one that was answered from the run's call store."""
    object.__setattr__(made, "reused", True)
    return made


# -- what blocks cost -------------------------------------------------------------------------------------------------


def test_a_block_costs_its_window_its_calls_their_tokens_and_its_joules() -> None:
    spent = Spent.of(block(examples=3, wall_s=90.0))
    assert (spent.trials, spent.llm_calls, spent.tokens, spent.joules, spent.minutes) == (0, 3, 75, 4.0, 1.5)


def test_every_request_that_was_sent_counts_retries_and_failed_ones_too() -> None:
    failed = call(attempts=3, failure="timeout", input_tokens=None, output_tokens=None)
    spent = Spent.of(with_calls(call(), call(attempts=2), failed))
    assert spent.llm_calls == 6
    assert spent.tokens == 50  # what failed is not one that nobody counted


def test_calls_answered_from_the_store_cost_nothing() -> None:
    spent = Spent.of(with_calls(call(), reused(call(attempts=4)), reused(call())))
    assert (spent.llm_calls, spent.tokens) == (1, 25)


def test_what_nobody_counted_is_none_and_not_0() -> None:
    spent = Spent.of(with_calls(call(input_tokens=None, output_tokens=None), energy_j=None))
    assert spent.tokens is None
    assert spent.joules is None
    assert (Spent().tokens, Spent().joules) == (0, 0)


def test_one_reading_that_failed_counts_like_the_mean_of_the_others() -> None:
    spent = Spent.of(block(energy_j={"gpu0": 6.0})) + Spent.of(block(energy_j={"gpu0": 2.0}))
    assert (spent + Spent.of(block(energy_j=None))).joules == pytest.approx(12.0)
    untold = with_calls(call(), call(input_tokens=None), call())
    assert Spent.of(untold).tokens == pytest.approx(75.0)


# -- when it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "spent", "reason"),
    [
        (Budget(trials=3), Spent(trials=2), ""),
        (Budget(trials=3), Spent(trials=3), "3 teams are measured"),
        (Budget(minutes=1.5), Spent(wall_s=89.9), ""),
        (Budget(minutes=1.5), Spent(wall_s=90.0), "1.5 minutes are spent"),
        (Budget(llm_calls=10_000), Spent(llm_calls=10_220), "10,000 LLM calls are sent"),
        (Budget(tokens=10), Spent(answered=1, counted=1, counted_tokens=10), "10 tokens are spent"),
        (Budget(joules=0.25), Spent(blocks=1, metered=1, metered_j=0.25), "0.25 joules are spent"),
        (Budget(), Spent(trials=10**6, wall_s=1e9, llm_calls=10**9), ""),
        # Whichever comes first.
        (Budget(trials=40, llm_calls=100), Spent(trials=7, llm_calls=100), "100 LLM calls are sent"),
    ],
)
def test_a_search_ends_with_the_first_limit_that_is_reached(budget: Budget, spent: Spent, reason: str) -> None:
    assert budget.over(spent) == reason


@pytest.mark.parametrize("name", ["tokens", "joules"])
def test_a_limit_that_nobody_can_keep_is_refused_with_another_one_to_take(name: str) -> None:
    unknown = Spent.of(with_calls(call(input_tokens=None), energy_j=None))
    budget = Budget(trials=2).raised({name: 100.0})
    assert budget.over(Spent()) == ""
    with pytest.raises(InputError, match=rf"budget\.{name}: this limit cannot be kept: .*llm_calls or minutes"):
        budget.over(unknown)
    assert budget.over(unknown + Spent(trials=2)) == "2 teams are measured"  # it is over anyway


def test_the_default_number_of_teams_is_a_limit_only_where_the_file_gives_none() -> None:
    assert Budget.of(BudgetPart()) == Budget(trials=40)
    assert Budget.of(BudgetPart(llm_calls=500)) == Budget(llm_calls=500)
    assert Budget.of(BudgetPart(trials=40, minutes=2.5)) == Budget(trials=40, minutes=2.5)


def test_the_names_of_the_study_file_are_those_of_the_budget() -> None:
    assert set(BudgetPart.model_fields) - {"confirm_calls"} == set(LIMITS) == set(vars(Budget()))
    spent = Spent()
    assert all(spent.amount(name) == 0 for name in LIMITS)


def test_raised_limits_are_never_lower() -> None:
    budget = Budget(trials=40, minutes=2.0).raised({"trials": 60.0, "minutes": 1.0, "tokens": 99.5})
    assert budget == Budget(trials=60, minutes=2.0, tokens=99)
    assert isinstance(budget.trials, int)


def test_the_limit_that_ends_the_search_first_is_the_one_with_the_largest_share_spent() -> None:
    budget = Budget(trials=40, llm_calls=10_000)
    use = budget.tightest(Spent(trials=4, llm_calls=3120), space=1000)
    assert use is not None
    assert (use.name, use.spent, use.limit, use.share) == ("llm_calls", 3120, 10_000, 0.312)
    few = budget.tightest(Spent(trials=4, llm_calls=3120), space=8)
    assert few is not None
    assert (few.name, few.limit) == ("trials", 8)


@pytest.mark.parametrize(
    ("amount", "said"), [(3120.0, "3,120"), (12.5, "12.5"), (1e-6, "1e-06"), (2e6, "2,000,000"), (7, "7"), (0.0, "0")]
)
def test_amounts_are_readable(amount: float, said: str) -> None:
    assert readable(amount) == said


# -- the account ------------------------------------------------------------------------------------------------------


def test_a_team_that_is_cut_off_counts_in_the_total_alone() -> None:
    book = Account()
    book.add(block(team="a"))
    book.end("a")
    book.add(block(team="b", wall_s=2.0))
    assert (book.spent.trials, book.spent.llm_calls, book.spent.wall_s) == (1, 2, 0.5)
    assert (book.total.trials, book.total.llm_calls, book.total.wall_s) == (1, 4, 2.5)
    book.end("b")
    assert book.spent == book.total
    assert book.spent.trials == 2


def test_a_team_that_gets_more_blocks_is_still_one_trial() -> None:
    book = Account()
    for _ in range(2):
        book.add(block(team="a"))
        book.end("a")
    assert (book.spent.trials, book.spent.llm_calls) == (1, 4)
    assert book.teams["a"].llm_calls == 4


def test_a_team_that_could_not_be_measured_is_a_trial_that_costs_nothing() -> None:
    book = account([], {"broken"})
    assert book.spent == book.total == Spent(trials=1)


def test_confirmation_costs_the_search_nothing() -> None:
    blocks = [block(team="a"), block(team="a", phase="confirm")]
    assert begun(blocks).llm_calls == account(blocks, {"a"}).total.llm_calls == 2


@given(
    blocks=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.booleans()), max_size=12),
    ended=st.sets(st.sampled_from("abcd")),
    seed=st.integers(0, 99),
)
def test_the_sums_do_not_depend_on_the_order_nor_on_when_teams_end(
    blocks: list[tuple[str, int, bool]], ended: set[str], seed: int
) -> None:
    made = [
        block(team=team, examples=size, wall_s=size / 4, energy_j={"gpu0": float(size)} if metered else None)
        for team, size, metered in blocks
    ]
    at_once = account(made, ended)
    other = Account()
    for one in random.Random(seed).sample(made, len(made)):
        other.add(one)
        if one.team in ended:
            other.end(one.team)
    for team in ended:
        other.end(team)
    assert other.spent == at_once.spent
    assert other.total == at_once.total
    assert at_once.spent.llm_calls == sum(len(b.examples) for b in made if b.team in ended)
    assert at_once.total.llm_calls == sum(len(b.examples) for b in made)
    assert at_once.spent.trials == len(ended)


def test_a_block_is_looked_at_once_however_many_follow() -> None:
    looks = itertools.count()

    class Watched(tuple[ExampleResult, ...]):
        def __iter__(self) -> Iterator[ExampleResult]:
            next(looks)
            return super().__iter__()

    book = Account()
    for number in range(500):
        book.add(block(team=f"t{number}", examples=Watched((result(),))))
        book.end(f"t{number}")
        assert Budget(trials=1000, llm_calls=1000, joules=1e9).over(book.spent) == ""
    assert next(looks) == 500
