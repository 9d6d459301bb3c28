"""Examples of calls, results and blocks, for tests. Each function takes changes of single fields."""

from typing import Any

from orkester.evals.records.block import Block, Call, ExampleResult
from orkester.graphs import Team

TEAM = Team("vote", {"agents": 3, "model": "small", "temperature": 0.7})


def call(**changes: Any) -> Call:
    """Make a successful call.

    Args:
        changes: Fields of ``Call`` with other values.
    """
    defaults: dict[str, Any] = {
        "agent": "voter",
        "model": "small",
        "sample": 0,
        "start_s": 0.01,
        "latency_s": 0.2,
        "input_tokens": 20,
        "output_tokens": 5,
        "cached_tokens": 0,
    }
    return Call(**{**defaults, **changes})


def result(number: int = 0, **changes: Any) -> ExampleResult:
    """Make the result of an example with one call and the right answer.

    Args:
        number: A number for the id.
        changes: Fields of ``ExampleResult`` with other values.
    """
    defaults: dict[str, Any] = {
        "id": f"q{number}",
        "answer": "Oslo",
        "score": 1.0,
        "latency_s": 0.25,
        "calls": (call(),),
    }
    return ExampleResult(**{**defaults, **changes})


def block(*, examples: int | tuple[ExampleResult, ...] = 2, **changes: Any) -> Block:
    """Make a block without failures.

    Args:
        examples: The results, or their number.
        changes: Fields of ``Block`` with other values.
    """
    defaults: dict[str, Any] = {
        "team": TEAM.id,
        "topology": TEAM.topology,
        "knobs": dict(TEAM.knobs),
        "phase": "search",
        "index": 0,
        "trial": 0,
        "started_at": "2026-01-01T12:00:00.000+00:00",
        "wall_s": 0.5,
        "concurrency": 4,
        "seed": 0,
        "energy_j": {"orkester": 1.0, "engine:small": 3.0},
        "energy_method": "estimate",
        "energy_assumptions": {"active_w_per_core": 8.0},
        "examples": tuple(result(i) for i in range(examples)) if isinstance(examples, int) else examples,
        "engines": {"small": {"engine": "fake"}},
    }
    return Block(**{**defaults, **changes})
