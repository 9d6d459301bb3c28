"""How fast an engine took its steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.serving.energy._jobs import Job
from orkester.serving.energy._pace import pace


def job(start_s: float, first_s: float, end_s: float, *, prompt: float = 10, output: float = 11) -> Job:
    return Job(
        id="r", engine="a", start_s=start_s, first_s=first_s, end_s=end_s, prompt=prompt, cached=0, output=output
    )


def test_a_request_alone_takes_a_step_for_its_prompt_and_one_for_each_further_token() -> None:
    found = pace([job(0.0, 1.0, 3.0, output=11)])
    assert found.steps_at(np.array([0.0, 1.0, 2.0, 3.0])) == pytest.approx([0, 1, 6, 11], rel=1e-4)


def test_a_long_prompt_takes_as_many_steps_as_it_fills() -> None:
    found = pace([job(0.0, 1.0, 2.0, prompt=8192, output=1)])
    assert found.steps_at(np.array([1.0]))[0] == pytest.approx(4, rel=1e-4)


def test_steps_are_everybodys_and_each_has_its_part() -> None:
    found = pace([job(0.0, 1.0, 3.0), job(0.0, 1.0, 3.0)])
    assert found.steps[-1] == pytest.approx(11, rel=1e-4)
    assert found.steps_per_request[-1] == pytest.approx(5.5, rel=1e-4)


def test_tokens_come_slowly_while_others_prompts_are_worked_on() -> None:
    """The first decodes 40 tokens in 4 s; a second one, there for its last two seconds, sees 30 of them."""
    found = pace([job(0.0, 0.1, 4.1, output=41), job(2.0, 2.1, 4.1, output=31)])
    between = found.steps_at(np.array([0.1, 2.1, 4.1]))
    assert between[2] - between[1] == pytest.approx(30, rel=1e-3)
    assert between[1] - between[0] == pytest.approx(10, rel=1e-3)


TIMES = st.tuples(st.floats(0, 50), st.floats(0.01, 5), st.floats(0.01, 20), st.integers(0, 5000), st.integers(0, 500))


@settings(deadline=None)
@given(st.lists(TIMES, min_size=1, max_size=20))
def test_sums_only_grow_and_are_numbers_whatever_requests_say(
    drawn: list[tuple[float, float, float, int, int]],
) -> None:
    jobs = [job(s, s + fill, s + fill + decode, prompt=p, output=o) for s, fill, decode, p, o in drawn]
    found = pace(jobs)
    for sums in (found.steps, found.steps_per_request):
        assert np.all(np.isfinite(sums))
        assert np.all(np.diff(sums) >= 0)
    assert np.all(found.steps_per_request <= found.steps + 1e-9)
