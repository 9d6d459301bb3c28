"""Routing policies of a study: their options, and the agents whose records a learning policy learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orkester.agents.routing import LearningPolicy, RoutingPolicy, RoutingRecord, routing_policy
from orkester.errors import InputError, nearest
from orkester.evals.records.block import Block
from orkester.evals.task import Example
from orkester.graphs import OneOfModels, OneOfPolicies, Team, topology

from .space import Space
from .study_file import StudyFile
from .yaml_source import Source


@dataclass(frozen=True, kw_only=True)
class Routing:
    """The routing policies that a study may use.

    Attributes:
        policies: The policies with the options of the study, by name.
        sources: The single agents whose records the learning policies learn from, by the model's name; empty when
            no policy learns.
    """

    policies: Mapping[str, RoutingPolicy] = field(default_factory=dict)
    sources: Mapping[str, Team] = field(default_factory=dict)

    @property
    def learning(self) -> Mapping[str, LearningPolicy]:
        """The policies that learn, by name."""
        return {name: policy for name, policy in self.policies.items() if isinstance(policy, LearningPolicy)}

    @property
    def examples(self) -> int:
        """The number of the search's examples on which each source must be measured."""
        return max((policy.examples for policy in self.learning.values()), default=0)

    def fitted(self, records: Sequence[RoutingRecord]) -> Mapping[str, RoutingPolicy]:
        """The policies, with those that learn fitted to records.

        Args:
            records: The records, those of a model in the order of the examples; see ``records_of``.
        """
        if not records:
            return self.policies
        return {
            name: policy.fitted(self.records_for(name, records)) if isinstance(policy, LearningPolicy) else policy
            for name, policy in self.policies.items()
        }

    def records_for(self, name: str, records: Sequence[RoutingRecord]) -> list[RoutingRecord]:
        """The records that a policy is fitted to.

        Args:
            name: The name of the policy.
            records: All records, those of a model in the order of the examples.

        Returns:
            The first records of each model; none for a policy that does not learn.
        """
        policy = self.policies[name]
        return first_records(records, policy.examples) if isinstance(policy, LearningPolicy) else []


def records_of(
    sources: Mapping[str, Team], blocks: Mapping[str, Sequence[Block]], examples: Sequence[Example]
) -> list[RoutingRecord]:
    """The records that the sources have left in the search.

    Args:
        sources: The single agents, by the model's name.
        blocks: The blocks of the search, by the id of the team.
        examples: The examples of the search, in order.

    Returns:
        A record for each answer, model by model, in the order of the examples.
    """
    records: list[RoutingRecord] = []
    for model, team in sources.items():
        results = {each.id: each for block in blocks.get(team.id, ()) for each in block.examples}
        records += [
            RoutingRecord(
                question=example.question,
                choice=model,
                score=results[example.id].score,
                energy_j=results[example.id].energy_j,
            )
            for example in examples
            if example.id in results
        ]
    return records


def first_records(records: Sequence[RoutingRecord], count: int) -> list[RoutingRecord]:
    """The first records of each choice, at most ``count`` of them."""
    kept: dict[str, int] = {}
    first: list[RoutingRecord] = []
    for record in records:
        kept[record.choice] = kept.get(record.choice, 0) + 1
        if kept[record.choice] <= count:
            first.append(record)
    return first


def routing_of(file: StudyFile, source: Source, space: Space) -> tuple[Routing, list[str]]:
    """The routing policies that a study file asks for.

    Args:
        file: The study file.
        source: Its text, for messages.
        space: The teams of the study.

    Returns:
        The policies, and the faults as messages with file and line.
    """
    faults: list[str] = []
    used = {name: place for place, names in _policy_knobs(space).items() for name in names}
    policies: dict[str, RoutingPolicy] = {}
    for name in file.routing:
        if name not in used:
            message = f"no topology of the search uses the routing policy {nearest(name, used)}"
            faults.append(source.error(["routing", name], message))
    for name in used:
        try:
            policies[name] = routing_policy(name, file.routing.get(name), folder=_folder(source))
        except InputError as error:
            faults.append(source.error(["routing", name], str(error)))
    routing = Routing(policies=policies)
    learning = [(place, name) for name, place in used.items() if name in routing.learning]
    if not learning:
        return routing, faults
    sources: dict[str, Team] = {}
    for (topology_name, knob), name in learning:
        models = _models(space, topology_name)
        known = space.grids["single"]["model"].values if "single" in space.grids else ()
        if missing := [model for model in models if model not in known]:
            faults.append(
                source.error(
                    ["search", topology_name, knob],
                    f"the routing policy {name!r} learns from agents that answer alone; "
                    f"add them to search: single: {{model: [{', '.join(missing)}]}}",
                )
            )
            break  # one line is enough for all policies that learn
        for model in models:
            knobs = {knob: grid.values[0] for knob, grid in space.grids["single"].items()} | {"model": model}
            engine = {option: values[0] for option, values in space.engine.items()}
            sources.setdefault(model, space.representative(Team("single", knobs, engine)))
    return Routing(policies=policies, sources=sources), faults


def _folder(source: Source) -> Path:
    return source.path.parent


def _policy_knobs(space: Space) -> Mapping[tuple[str, str], Sequence[str]]:
    """The names of the policies that each knob may have, by topology and knob."""
    return {
        (name, knob): [str(value) for value in grid.values]
        for name, grids in space.grids.items()
        for knob, grid in grids.items()
        if isinstance(topology(name).knobs[knob].range, OneOfPolicies)
    }


def _models(space: Space, name: str) -> list[str]:
    """The models that a topology may use, each once."""
    knobs = topology(name).knobs
    grids = (grid for knob, grid in space.grids[name].items() if isinstance(knobs[knob].range, OneOfModels))
    return list(dict.fromkeys(str(value) for grid in grids for value in grid.values))
