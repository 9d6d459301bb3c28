"""The joules of the front's teams: who used them, and how reliable they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orkester.evals.objectives import Estimate
from orkester.evals.objectives.energy import ENERGY
from orkester.evals.records.agent_shares import AgentShare
from orkester.evals.records.block import Block
from orkester.optim.run.results import Results, TeamResult

from .._axis import from_zero
from .._joules import how_attributed, marks
from .._material import Material
from .._numbers import NOTHING, interval, number, unit
from .._palette import named
from .._plot import Bar, Bars, Chart, rows
from .._section import Section

_INK, _WHITE = "#1c2429", "#ffffff"
#: The colours of roles, and of text on them. They repeat, with hatches, if there are more roles than colours.
_COLOURS = (
    ("#0b6e4f", _WHITE),
    ("#e0a03a", _INK),
    ("#0072b2", _WHITE),
    ("#a34a80", _WHITE),
    ("#7fbf9f", _INK),
    ("#8a5a2b", _WHITE),
)
_HATCHES = ("", "/", "x")
_IDLE, _NOBODY = named("idle"), named("measured")
_QUANTITIES = {"power_w": "power [W]", "temperature_c": "temperature [°C]", "clock_mhz": "clock [MHz]"}


def energy_section(results: Results, blocks: Sequence[Block]) -> dict[str, Any] | None:
    """Make the values for the template; None if there are neither joules nor a reason for their absence."""
    members = [_Member(number=i, result=result) for i, result in enumerate(results.front, start=1)]
    if not any(member.known or marks(member.result) for member in members):
        return None
    known = [member for member in members if member.known]
    methods = sorted({member.method for member in known})
    roles = _roles(known)
    return {
        # Joules of different methods never share an axis.
        "charts": [
            _chart(f"energy-by-agent-{i}", [m for m in known if m.method == method], method, roles)
            for i, method in enumerate(methods)
        ],
        "roles": [{"name": name, "colour": look.colour} for name, look in roles.items()],
        "idle": _IDLE if any(member.result.idle_j is not None for member in known) else "",
        "nobody": _NOBODY,
        "members": [member.table for member in members],
        "apart": apart(results),
        "not_included": _not_included(blocks, {member.result.team.id for member in members}),
        "gauges": gauges(blocks),
    }


def apart(results: Results) -> str:
    """Describe the joules of the front that belong to no agent, in sentences."""
    idle = [result.idle_j is not None for result in results.front if result.residual_j is not None]
    idle_text = "Idle power is not shown separately."
    if any(idle):
        where = "" if all(idle) else " where it is known"
        idle_text = f"The energy that idle engines would have used is shown separately{where}."
    return (
        f"{idle_text} Joules of Orkester's own process, and of engines while no counted call was in progress, belong "
        "to no agent."
    )


def gauges(blocks: Sequence[Block]) -> list[dict[str, str]]:
    """Temperatures, clock rates and watts: the mean over blocks, weighted by length, the lowest and the highest."""
    found: dict[str, list[tuple[float, Mapping[str, float]]]] = {}
    for block in blocks:
        for name, seen in block.energy_gauges.items():
            if {"mean", "low", "high"} <= set(seen):
                found.setdefault(name, []).append((block.wall_s, seen))
    rows = []
    for name, values in sorted(found.items()):
        device, _, quantity = name.rpartition(".")
        seconds = sum(wall_s for wall_s, _ in values)
        mean = sum(wall_s * seen["mean"] for wall_s, seen in values) / seconds if seconds > 0 else None
        rows.append(
            {
                "name": f"{device} {_QUANTITIES.get(quantity, quantity.replace('_', ' '))}".strip(),
                "mean": number(mean),
                "low": number(min(seen["low"] for _, seen in values)),
                "high": number(max(seen["high"] for _, seen in values)),
                "blocks": str(len(values)),
            }
        )
    return rows


@dataclass(frozen=True, kw_only=True)
class _Member:
    """A front member with its number in the report."""

    number: int
    result: TeamResult

    @property
    def known(self) -> bool:
        """Whether the joules of this member are known."""
        return self.result.residual_j is not None

    @property
    def method(self) -> str:
        return self.result.search.energy_method if self.result.search is not None else "unavailable"

    @property
    def total_j(self) -> float:
        """All joules per example."""
        spent = sum(share.energy_j or 0.0 for share in self.result.agents)
        return spent + (self.result.idle_j or 0.0) + (self.result.residual_j or 0.0)

    @property
    def nobody_j(self) -> float:
        """Joules per example that belong to no agent and are not idle; rounding errors count as 0."""
        left = self.result.residual_j or 0.0
        return left if abs(left) > 1e-9 * self.total_j else 0.0

    @property
    def table(self) -> dict[str, Any]:
        """The head and the rows of its table."""
        ways = how_attributed(self.result.attribution)
        return {
            "number": self.number,
            "id": self.result.team.id,
            "team": str(self.result.team),
            "how": f"{self.method}; shares: {ways}" if self.known and ways else self.method,
            "marks": marks(self.result),
            "agents": [self._row(share) for share in self.result.agents],
            "idle": (number(self.result.idle_j), self.share(self.result.idle_j)),
            "nobody": (number(self.nobody_j), self.share(self.nobody_j)) if self.known else (NOTHING, NOTHING),
            "total": interval(self._estimate),
        }

    def share(self, joules: float | None) -> str:
        """A part of the total in per cent."""
        return NOTHING if joules is None or self.total_j <= 0 else f"{100 * joules / self.total_j:.3g} %"

    def _row(self, share: AgentShare) -> dict[str, str]:
        return {
            "agent": share.agent,
            "model": share.model,
            "calls": number(share.calls),
            "input": number(share.input_tokens),
            "output": number(share.output_tokens),
            "thought": _thought(share),
            "joules": number(share.energy_j),
            "share": self.share(share.energy_j),
        }

    @property
    def _estimate(self) -> Estimate | None:
        return self.result.search.estimates.get(ENERGY.name) if self.result.search is not None else None


def _thought(share: AgentShare) -> str:
    """The part of the output tokens that is a thought; empty where there is none."""
    if not share.thought_tokens:
        return ""
    return f"{number(share.thought_tokens)} thought{' (estimated)' if share.thoughts_estimated else ''}"


@dataclass(frozen=True, kw_only=True)
class _Look:
    """The style of a part of a bar."""

    colour: str
    text_colour: str
    hatch: str = ""
    hatch_colour: str = _WHITE


def _roles(members: Sequence[_Member]) -> dict[str, _Look]:
    """The style of each role in a bar."""
    names = dict.fromkeys(share.agent for member in members for share in member.result.agents)
    looks = {}
    for i, name in enumerate(names):
        turn, at = divmod(i, len(_COLOURS))
        colour, text_colour = _COLOURS[at]
        looks[name] = _Look(colour=colour, text_colour=text_colour, hatch=_HATCHES[turn % len(_HATCHES)])
    return looks


def _chart(name: str, members: Sequence[_Member], method: str, roles: Mapping[str, _Look]) -> Chart:
    """A chart with a bar for each member: its agents in order, then idle power, then the joules of no agent."""
    pairs = dict.fromkeys((share.agent, share.model) for member in members for share in member.result.agents)
    spent: list[tuple[str, str, _Look, list[tuple[_Member, float]]]] = []
    # In the order of the roles, so that a role has the same place with each model.
    for agent, model in sorted(pairs, key=lambda pair: list(roles).index(pair[0])):
        of = [
            (member, share.energy_j)
            for member in members
            for share in member.result.agents
            if (share.agent, share.model) == (agent, model) and share.energy_j is not None
        ]
        spent.append((agent, f"{agent} on {model}", roles[agent], of))
    idle = [(member, member.result.idle_j) for member in members if member.result.idle_j is not None]
    spent.append(("idle", "idle", _Look(colour=_IDLE, text_colour=named("ink")), idle))
    hatched = _Look(colour=named("paper"), text_colour=named("ink"), hatch="/", hatch_colour=_NOBODY)
    spent.append(("", "no agent", hatched, [(member, member.nobody_j) for member in members]))
    ends = dict.fromkeys((member.number for member in members), 0.0)
    series = []
    for short, what, look, of in spent:
        bars = []
        for member, joules in of:
            start = ends[member.number]
            ends[member.number] += joules
            tip = f"{what}\n{number(joules)} J, {member.share(joules)}"
            bars.append(Bar(y=member.number, start=start, end=ends[member.number], tip=tip))
        if bars:
            series.append(
                Bars(
                    name=what,
                    colour=look.colour,
                    bars=bars,
                    text=short,  # where it does not fit into its part, it is in the legend only
                    text_colour=look.text_colour,
                    hatch=look.hatch,
                    hatch_colour=look.hatch_colour,
                )
            )
    return Chart(
        id=name,
        label=f"joules per example by agent of the front ({method})",
        height=70 + 40 * len(members),
        series=series,
        x=from_zero(f"energy per example [{unit('energy_j', method)}], less is better", list(ends.values())),
        y=rows([(member.number, f"{member.number} {member.result.team.topology}") for member in members]),
    )


def _not_included(blocks: Sequence[Block], teams: set[str]) -> list[str]:
    """What the joules of the teams do not include, from the meters."""
    said = [
        str(block.energy_assumptions["not_included"])
        for block in blocks
        if block.team in teams and block.energy_assumptions.get("not_included")
    ]
    return list(dict.fromkeys(said))


def _content(material: Material) -> dict[str, Any] | None:
    return energy_section(material.results, material.blocks)


SECTION = Section(key="energy", label="Energy", content=_content)
