"""What the blocks of one team add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orkester.errors import OrkesterError

from .block import Block, Phase
from .footprint import Footprint
from .objectives import Estimate, objectives


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One team in one phase.

    Attributes:
        team: the team's id.
        phase: search or confirm.
        examples: how many were run.
        blocks: in how many blocks.
        estimates: by objective name (see ``objectives``); an objective that could not be had is absent.
        energy_method: label of the joules; ``unavailable`` when there are none.
        failures: how many examples failed, by kind.
        energy_marks: in how many blocks the joules are to be taken with care, by reason.
        calls: model calls, of all examples together.
        reused_calls: those of them that were answered from the call store: 0 where everything was measured.
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


def measure(blocks: Sequence[Block], footprint: Footprint | None = None) -> Measurement:
    """Add up blocks of one team in one phase.

    Args:
        blocks: at least one.
        footprint: what joules mean where they were used; without it there is no ``co2e_g`` and no ``cost_eur``.

    Raises:
        ValueError: no blocks, or of different teams or phases.
        OrkesterError: their joules were had by different methods.
    """
    if len({(block.team, block.phase) for block in blocks}) != 1:
        raise ValueError("a measurement is made of the blocks of one team in one phase, at least one")
    examples = [example for block in blocks for example in block.examples]
    failures = Counter(example.failure for example in examples if example.failure is not None)
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
        failures=dict(failures),
        energy_marks=dict(sorted(Counter(mark for block in blocks for mark in set(block.energy_marks)).items())),
        calls=sum(len(example.calls) for example in examples),
        reused_calls=sum(block.reused_calls for block in blocks),
    )


def _method(blocks: Sequence[Block]) -> str:
    methods = sorted({block.energy_method for block in blocks})
    if len(methods) > 1:
        raise OrkesterError(
            f"the blocks of {blocks[0].team} have joules of different methods ({', '.join(methods)}), which must not "
            "be added up; start a new run directory on a machine with one meter"
        )
    return methods[0]
