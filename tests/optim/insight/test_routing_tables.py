"""Who got which questions from a router, beside single models and an oracle."""

import pytest

from orkester.evals.records.block import Block, Phase
from orkester.graphs import Team
from orkester.optim.insight.routing_tables import routing_tables
from orkester.testing.blocks import block, call, result

ROUTER = Team("router", {"first": "small", "second": "large", "routing": "rule", "temperature": 0.0})
SCORES = {"small": (1, 0, 0, 0), "large": (1, 1, 0, 1)}
JOULES = {"small": 1.0, "large": 10.0}
ROUTED = ("small", "large", "large", "small")


def answered(team: Team, models: tuple[str, ...], phase: Phase, *, joules: bool = True) -> Block:
    """A block in which these models have answered the questions."""
    examples = tuple(
        result(
            id=f"q{i}",
            score=float(SCORES[model][i]),
            calls=(call(agent="solo", model=model, energy_j=JOULES[model] if joules else None),),
        )
        for i, model in enumerate(models)
    )
    return block(team=team.id, topology=team.topology, knobs=dict(team.knobs), phase=phase, examples=examples)


def single(model: str) -> Team:
    return Team("single", {"model": model, "temperature": 0.0})


def test_a_table_has_the_models_the_whole_the_single_models_and_the_oracle() -> None:
    blocks = [answered(ROUTER, ROUTED, "search")]
    blocks += [answered(single(model), (model,) * 4, "search") for model in SCORES]
    (table,) = routing_tables(blocks, [single("small"), ROUTER])
    rows = [*table.models, table.whole, *table.others]
    assert [
        (row.name, row.questions, row.quality and row.quality.value, row.energy_j and row.energy_j.value)
        for row in rows
    ] == [
        ("small", 2, 0.5, 1.0),
        ("large", 2, 0.5, 10.0),
        ("all", 4, 0.5, 5.5),
        ("always small", 4, 0.25, 1.0),
        ("always large", 4, 0.75, 10.0),
        ("oracle", 4, 0.75, pytest.approx((1 + 10 + 1 + 10) / 4)),
    ]
    assert table.shared is not None
    assert table.shared.questions == 4
    assert table.dearest == "large"
    assert table.saved_j is not None
    assert table.saved_j.value == pytest.approx((9 + 0 + 0 + 9) / 4)
    assert table.saved_j.low is not None
    assert table.saved_j.low < table.saved_j.value


def test_held_out_examples_come_first_where_the_single_models_have_answered_them() -> None:
    blocks = [answered(ROUTER, ROUTED, "search"), answered(ROUTER, ROUTED, "confirm")]
    blocks += [answered(single(model), (model,) * 4, "search") for model in SCORES]
    (table,) = routing_tables(blocks, [ROUTER])
    assert table.phase == "search"
    blocks += [answered(single(model), (model,) * 4, "confirm") for model in SCORES]
    (table,) = routing_tables(blocks, [ROUTER])
    assert table.phase == "confirm"


def test_without_single_models_or_joules_the_rest_is_shown() -> None:
    (table,) = routing_tables([answered(ROUTER, ROUTED, "search", joules=False)], [ROUTER])
    assert table.others == []
    assert table.shared is None
    assert table.whole.energy_j is None
    blocks = [answered(ROUTER, ROUTED, "search", joules=False)]
    blocks += [answered(single(model), (model,) * 4, "search", joules=False) for model in SCORES]
    (table,) = routing_tables(blocks, [ROUTER])
    assert [row.name for row in table.others] == ["always small", "always large"]  # joules decide for the oracle


def test_without_routers_there_are_no_tables() -> None:
    assert routing_tables([answered(single("small"), ("small",) * 4, "search")], [single("small")]) == ()
