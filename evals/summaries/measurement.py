"""The measurement of a team: the sum of its blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orkester.errors import OrkesterError
from orkester.serving.server_words import same_cause

from ..footprint import Footprint
from ..objectives import Estimate, objectives
from ..records.block import Block, ExampleResult, Phase
from .cut_answers import CutAnswers, cut_answers


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The measurement of one team in one phase.

    Attributes:
        team: The id of the team.
        phase: ``search`` or ``confirm``.
        examples: The number of examples that were run.
        blocks: The number of blocks.
        estimates: The estimates by objective name (see ``objectives``). An objective that is unavailable is left out.
        energy_method: The label of the meter; ``unavailable`` when there are no joules.
        failures: The number of failed examples, by cause, the most frequent first. A cause is the kind of failure with
            the server's words; words that differ only in numbers and ids are one cause, with the words of the first.
        energy_marks: The number of blocks whose joules must be taken with care, by reason.
        calls: The number of model calls of all examples.
        reused_calls: The number of calls that were answered from the call store; 0 when every call was made.
        cut: The replies that do not end with a whole answer, for each agent and model that has some.
    """

    team: str
    phase: Phase
    examples: int
    blocks: int
    estimates: Mapping[str, Estimate]
    energy_method: str
    failures: Mapping[str, int]
    energy_marks: Mapping[str, int] = field(default_factory=dict)
    calls: int = 0
    reused_calls: int = 0
    cut: Sequence[CutAnswers] = ()


def measure(blocks: Sequence[Block], footprint: Footprint | None = None) -> Measurement:
    """Add up the blocks of one team in one phase.

    Args:
        blocks: The blocks, at least one.
        footprint: Emissions and costs of a joule; without it there are no ``co2e_g`` and ``cost_eur``.

    Raises:
        ValueError: There are no blocks, or they have different teams or phases.
        OrkesterError: The joules were measured by different methods.
    """
    if len({(block.team, block.phase) for block in blocks}) != 1:
        raise ValueError("a measurement needs at least one block, and all blocks must have the same team and phase")
    examples = [example for block in blocks for example in block.examples]
    estimates = {
        name: estimate
        for name, each in objectives().items()
        if (estimate := each.estimate(blocks, footprint)) is not None
    }
    return Measurement(
        team=blocks[0].team,
        phase=blocks[0].phase,
        examples=len(examples),
        blocks=len(blocks),
        estimates=estimates,
        energy_method=_method(blocks),
        failures=_causes(examples),
        energy_marks=dict(sorted(Counter(mark for block in blocks for mark in set(block.energy_marks)).items())),
        calls=sum(len(example.calls) for example in examples),
        reused_calls=sum(block.reused_calls for block in blocks),
        cut=cut_answers(blocks),
    )


def _causes(examples: Sequence[ExampleResult]) -> dict[str, int]:
    """The number of failed examples by cause; see ``Measurement.failures``."""
    named = [
        example.failure + (f": {example.failure_message}" if example.failure_message else "")
        for example in examples
        if example.failure is not None
    ]
    first: dict[str, str] = {}
    for cause in named:
        first.setdefault(same_cause(cause), cause)
    return dict(Counter(first[same_cause(cause)] for cause in named).most_common())


def _method(blocks: Sequence[Block]) -> str:
    methods = sorted({block.energy_method for block in blocks})
    if len(methods) > 1:
        raise OrkesterError(
            f"the joules of team {blocks[0].team} were measured by different methods ({', '.join(methods)}) and cannot "
            "be added up; start a new run directory on a machine with one meter"
        )
    return methods[0]
