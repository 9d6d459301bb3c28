"""Writes docs/topologies.md: each topology with its drawing, its knobs and how many calls it makes.

``.venv/bin/python docs/draw_topologies.py`` writes the page; a test fails when the page is not what this writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from orkester.evals.running.probe import probe_all
from orkester.evals.scorers import scorer
from orkester.evals.task import Task
from orkester.graphs import (
    Between,
    Knob,
    KnobValue,
    OneOf,
    OneOfModels,
    OneOfPolicies,
    Team,
    Topology,
    topologies,
    topology,
)

PAGE = Path(__file__).with_name("topologies.md")
_HEAD = """# Topologies

<!-- docs/draw_topologies.py writes this page from graphs/. -->

A topology is a LangGraph whose knobs a study searches over ([study file](study-file.md#search)). Each is a file of
`graphs/` that also works alone. `orkester list topologies` shows those that are there, and
[Add a topology](how-to/add-a-topology.md) says how to write your own.

*Calls* is the number of model calls for a question: when all replies are equal, and when no two are. Most graphs branch
on whether agents agree. Where the text of a reply decides, as with a supervisor, there may be more calls.

"""
_TASK = Task(
    name="page",
    shots=(),
    search=(),
    confirm=(),
    scorer=scorer("exact"),
    instruction="",
    max_tokens=64,
    extract=None,
    data_sha256="",
)


def page() -> str:
    """The page."""
    return _HEAD + "\n".join("\n".join(_section(topology(name))) for name in _built_in())


def _built_in() -> Iterator[str]:
    for name in topologies():
        if _module(topology(name)).__name__.startswith("orkester.graphs."):
            yield name


def _module(plan: Topology) -> ModuleType:
    return sys.modules[plan.context.__module__]


def _section(plan: Topology) -> Iterator[str]:
    text, _, _ = (_module(plan).__doc__ or "").partition("\n::\n")
    first, _, more = text.strip().partition("\n\n")
    yield f"## {plan.name}\n"
    yield f"{' '.join(first.split())}\n"
    yield f"{' '.join(more.split())}\n"
    yield f"```mermaid\n{plan.graph.get_graph().draw_mermaid(with_styles=False).strip()}\n```\n"
    yield "| knob | values | default |"
    yield "|---|---|---|"
    for knob in plan.knobs.values():
        yield f"| `{knob.name}` | {_values(knob)} | {_default(knob)} |"
    yield ""
    yield f"Roles: {', '.join(f'`{name}`' for name in plan.roles)}. Calls: {_calls(plan)}.\n"


def _default(knob: Knob) -> str:
    if isinstance(knob.range, OneOfModels):
        return "any model"
    return f"{knob.default:g}" if isinstance(knob.default, float) else f"{knob.default}"


def _values(knob: Knob) -> str:
    match knob.range:
        case Between(low, high):
            return f"{low:g} to {high:g}"
        case OneOf(choices):
            return ", ".join(f"`{choice}`" for choice in choices)
        case OneOfModels():
            return "a model"
        case OneOfPolicies():
            return "a [routing policy](study-file.md#routing)"


def _calls(plan: Topology) -> str:
    defaults = {knob.name: knob.default for knob in plan.knobs.values()}
    settings: Mapping[str, Mapping[str, KnobValue]] = {
        "with the defaults": defaults,
        "at least": {**defaults, **_ends(plan, 0)},
        "at most": {**defaults, **_ends(plan, 1)},
    }
    counts = {label: _counts(Team(plan.name, knobs)) for label, knobs in settings.items()}
    low, high = min(counts["at least"]), max(counts["at most"])
    usual = " or ".join(str(count) for count in dict.fromkeys(counts["with the defaults"]))
    return usual if low == high else f"{usual} with the defaults, {low} to {high} in all"


def _ends(plan: Topology, end: int) -> dict[str, KnobValue]:
    return {
        knob.name: knob.kind((knob.range.low, knob.range.high)[end])
        for knob in plan.knobs.values()
        if isinstance(knob.range, Between) and knob.name != "agreement"
    }


def _counts(team: Team) -> Sequence[int]:
    (signature,) = probe_all([team], _TASK)
    return [sum(map(len, stages)) for stages in (signature.agreeing, signature.differing)]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
