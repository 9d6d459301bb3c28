"""The split of a data set, and how an answer is read out of a text."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.errors import InputError
from orkester.evals.task import Example, reader, split

# -- the split --------------------------------------------------------------------------------------------------------


def examples(count: int) -> list[Example]:
    return [Example(id=f"q{i}", question=f"{i}?", expected=str(i)) for i in range(count)]


PARTS = st.tuples(st.integers(2, 60), st.floats(0.05, 0.95), st.integers(0, 5), st.integers(0, 99))


@settings(max_examples=80, deadline=None)
@given(PARTS)
def test_a_split_is_a_partition_and_may_keep_the_datas_order(asked: tuple[int, float, int, int]) -> None:
    count, confirm, shots, seed = asked
    data = examples(count + shots)
    try:
        parts = split(data, confirm=confirm, shots=shots, seed=seed, order="as_given")
    except InputError:
        assert round(count * confirm) in {count, 0}
        return
    assert parts[0] == data[:shots]
    assert all(parts[1:])
    assert sorted((e.id for part in parts for e in part), key=lambda i: int(i[1:])) == [e.id for e in data]
    for part in parts:
        assert part == [example for example in data if example in part]
    assert len(parts[2]) == max(1, round(count * confirm))


@settings(max_examples=30, deadline=None)
@given(PARTS)
def test_the_same_examples_are_held_out_whatever_their_order(asked: tuple[int, float, int, int]) -> None:
    count, _, shots, seed = asked
    data = examples(count + shots)
    shuffled = data[shots:]
    random.Random(seed).shuffle(shuffled)
    _, _, held = split(data, confirm=0.4, shots=shots, seed=seed)
    _, _, held_of_shuffled = split([*data[:shots], *shuffled], confirm=0.4, shots=shots, seed=seed)
    assert held == held_of_shuffled


def test_examples_are_shuffled_by_the_seed_and_the_same_ones_are_held_out() -> None:
    """Data that are sorted by difficulty would mislead a search, which looks at the first examples first."""
    data = examples(400)
    _, given_search, given_held = split(data, confirm=0.25, shots=4, seed=1, order="as_given")
    shots, search, held = split(data, confirm=0.25, shots=4, seed=1)
    assert shots == data[:4]
    assert search != given_search
    assert sorted(e.id for e in search) == sorted(e.id for e in given_search)
    assert sorted(e.id for e in held) == sorted(e.id for e in given_held)
    for part in (search, held):
        places = [int(e.id[1:]) for e in part]
        first, second = (sum(half) / len(half) for half in (places[: len(part) // 2], places[len(part) // 2 :]))
        assert abs(first - second) < 80, "one half of the part comes from one half of the data"
    assert split(data, confirm=0.25, shots=4, seed=2)[1] != search


def test_another_seed_holds_out_others() -> None:
    held = {tuple(e.id for e in split(examples(40), confirm=0.25, shots=0, seed=seed)[2]) for seed in range(5)}
    assert len(held) == 5


def test_a_split_does_not_change_from_one_version_to_the_next() -> None:
    _, _, held = split(examples(12), confirm=0.25, shots=0, seed=3)
    assert [e.id for e in held] == ["q8", "q7", "q2"]
    _, _, held = split(examples(12), confirm=0.25, shots=0, seed=3, order="as_given")
    assert [e.id for e in held] == ["q2", "q7", "q8"]


@pytest.mark.parametrize(("count", "shots", "confirm"), [(1, 0, 0.3), (4, 3, 0.3), (4, 4, 0.3), (3, 9, 0.3), (2, 0, 1)])
def test_too_few_examples_are_refused(count: int, shots: int, confirm: float) -> None:
    with pytest.raises(InputError, match=rf"^{count} examples are too few: {shots} are shots"):
        split(examples(count), confirm=confirm, shots=shots, seed=0)


# -- reading an answer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extract", "text", "answer"),
    [
        (None, "  Oslo\n", "Oslo"),
        (r"#### (\S+)", "so\n#### 3\n#### 4 ", "4"),
        (r"#### (\S+)", " no mark ", "no mark"),
        (r"\d+", "4 and 5", "5"),
    ],
)
def test_an_answer_is_read_out_of_a_text(extract: str | None, text: str, answer: str) -> None:
    assert reader(extract)(text) == answer
