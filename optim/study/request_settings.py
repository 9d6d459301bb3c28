"""The settings of the requests that the teams of a space send to a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orkester.evals.running.probe import probe_all
from orkester.evals.task import Task
from orkester.graphs import KnobValue, OneOfModels, Team, topology

from .space import Space

#: The knob with which a topology sets the temperature of its agents.
_TEMPERATURE = "temperature"


@dataclass(frozen=True, kw_only=True)
class RequestSettings:
    """The settings of the requests to one model.

    Attributes:
        temperatures: The sampling temperatures, in ascending order.
        max_tokens: The smallest limit of the tokens of an answer.
    """

    temperatures: tuple[float, ...]
    max_tokens: int


def request_settings(space: Space, task: Task, model: str) -> Mapping[str, RequestSettings]:
    """Find the settings of the requests to a model, by running the graphs on fake models.

    Args:
        space: The space of teams.
        task: The settings that the task gives every team.
        model: The name of the model.

    Returns:
        The settings by topology; topologies that never ask the model are left out.
    """
    found: dict[str, RequestSettings] = {}
    for name in space.grids:
        teams = list(_teams(space, name, model))
        calls = {
            temperature: [call for call in signature.planned if call.model == model]
            for (temperature, _), signature in zip(teams, probe_all([team for _, team in teams], task), strict=True)
        }
        all_calls = [call for each in calls.values() for call in each]
        if not all_calls:
            continue
        temperatures = {call.temperature for call in all_calls}
        first, last = next(iter(calls.values())), list(calls.values())[-1]
        if {call.temperature for call in first} != {call.temperature for call in last}:
            temperatures |= {float(value) for value in space.grids[name][_TEMPERATURE].values}
        found[name] = RequestSettings(
            temperatures=tuple(sorted(temperatures)), max_tokens=min(call.max_tokens for call in all_calls)
        )
    return found


def settings_of_all(space: Space, task: Task, model: str) -> RequestSettings | None:
    """The settings of the requests to a model, over all topologies; None if no team asks it.

    Args:
        space, task, model: See ``request_settings``.
    """
    found = request_settings(space, task, model).values()
    if not found:
        return None
    return RequestSettings(
        temperatures=tuple(sorted({value for each in found for value in each.temperatures})),
        max_tokens=min(each.max_tokens for each in found),
    )


def _teams(space: Space, name: str, model: str) -> Iterator[tuple[KnobValue | None, Team]]:
    """Teams of a topology that use the model wherever they can, at the lowest and the highest temperature."""
    grids, knobs = space.grids[name], {}
    for knob in topology(name).knobs.values():
        values = grids[knob.name].values
        uses_model = isinstance(knob.range, OneOfModels) and model in values
        knobs[knob.name] = model if uses_model else values[0]
    engine = next(iter(space.engines()))
    temperatures = grids[_TEMPERATURE].values if _TEMPERATURE in grids else (None,)
    for temperature in dict.fromkeys((temperatures[0], temperatures[-1])):
        changed = {} if temperature is None else {_TEMPERATURE: temperature}
        yield temperature, Team(name, {**knobs, **changed}, engine)
