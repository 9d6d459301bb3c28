"""A probability in words."""

import pytest

from orkester.optim.confirm.probability_text import probability_text


@pytest.mark.parametrize(
    ("probability", "said"),
    [(None, "–"), (0.0, "<1 %"), (0.006, "1 %"), (0.514, "51 %"), (0.994, "99 %"), (1.0, ">99 %")],
)
def test_a_chance_is_never_a_certainty(probability: float | None, said: str) -> None:
    assert probability_text(probability) == said
