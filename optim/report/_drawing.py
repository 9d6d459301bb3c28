"""A team's graph as SVG: LangGraph's own nodes and edges, laid out in rows from start to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from orkester.evals.measurement import AgentShare
from orkester.graphs import Team, topology

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 190, 46, 24, 34
_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
)


@dataclass(frozen=True)
class _Edge:
    source: str
    target: str
    conditional: bool


def draw(team: Team, agents: Sequence[AgentShare]) -> str:
    """An ``<svg>`` element: agents with their model and calls per example, conditional edges dashed."""
    graph = topology(team.topology).graph.get_graph()
    edges = [_Edge(edge.source, edge.target, bool(edge.conditional)) for edge in graph.edges]
    labels = {agent.agent: f"{agent.calls:.3g} × {agent.model}" for agent in agents}
    rows = _rows(list(graph.nodes), edges)
    columns = max(len(row) for row in rows)
    # Room at the right for edges that go back up.
    back = any(_row_of(rows, edge.source) >= _row_of(rows, edge.target) for edge in edges)
    width = columns * (_WIDTH + _GAP_X) + (30 if back else 0)
    height = len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y + 12
    places = _places(rows, columns)
    label = f"Graph of {escape(str(team), quote=True)}"
    parts = [
        f'<svg class="graph" viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{label}">',
        _ARROW,
        *(_edge(edge, places) for edge in edges),
        *(_node(name, labels.get(name, ""), *places[name]) for name in places),
        "</svg>",
    ]
    return "".join(parts)


def _rows(nodes: Sequence[str], edges: Sequence[_Edge]) -> list[list[str]]:
    """Nodes by their distance from the start; the end comes last, alone."""
    depth = {nodes[0]: 0}
    queue = [nodes[0]]
    for name in queue:
        for edge in edges:
            if edge.source == name and edge.target not in depth:
                depth[edge.target] = depth[name] + 1
                queue.append(edge.target)
    last = max(depth.values(), default=0)
    rows = [[name for name in nodes if depth.get(name, last) == i and name != "__end__"] for i in range(last + 1)]
    return [row for row in [*rows, ["__end__"]] if row]


def _row_of(rows: Sequence[Sequence[str]], name: str) -> int:
    return next(i for i, row in enumerate(rows) if name in row)


def _places(rows: Sequence[Sequence[str]], columns: int) -> dict[str, tuple[float, float]]:
    """Top left corners."""
    places = {}
    for y, row in enumerate(rows):
        indent = (columns - len(row)) * (_WIDTH + _GAP_X) / 2
        for x, name in enumerate(row):
            places[name] = (indent + x * (_WIDTH + _GAP_X) + _GAP_X / 2, y * (_HEIGHT + _GAP_Y) + 6.0)
    return places


def _node(name: str, label: str, x: float, y: float) -> str:
    middle = x + _WIDTH / 2
    if name in {"__start__", "__end__"}:
        return f'<text class="end" x="{middle}" y="{y + _HEIGHT / 2 + 4}" text-anchor="middle">{name.strip("_")}</text>'
    box = f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
    offset = 19 if label else 28
    title = f'<text x="{middle}" y="{y + offset}" text-anchor="middle">{escape(name)}</text>'
    below = (
        f'<text class="model" x="{middle}" y="{y + 36}" text-anchor="middle">{escape(label)}</text>' if label else ""
    )
    return box + title + below


def _edge(edge: _Edge, places: Mapping[str, tuple[float, float]]) -> str:
    (x1, y1), (x2, y2) = places[edge.source], places[edge.target]
    style = ' class="conditional"' if edge.conditional else ""
    if y2 > y1:
        start_y = y1 + (_HEIGHT if edge.source != "__start__" else _HEIGHT / 2 + 10)
        end_y = y2 if edge.target != "__end__" else y2 + _HEIGHT / 2 - 12
        start_x, end_x = x1 + _WIDTH / 2, x2 + _WIDTH / 2
        skips = y2 - y1 > _HEIGHT + _GAP_Y + 1 and x1 == x2
        if skips:  # past a node in between, along its left side
            side = x1 - 8
            path = f"M{x1 + 20},{start_y} C{side},{start_y + 30} {side},{end_y - 30} {end_x - 30},{end_y}"
        else:
            middle = (start_y + end_y) / 2
            path = f"M{start_x},{start_y} C{start_x},{middle} {end_x},{middle} {end_x},{end_y}"
    else:  # back up, along the right side
        right = max(x1, x2) + _WIDTH
        start_y, end_y = y1 + _HEIGHT / 2, y2 + _HEIGHT / 2
        path = f"M{x1 + _WIDTH},{start_y} C{right + 34},{y1} {right + 34},{y2 + _HEIGHT} {x2 + _WIDTH},{end_y}"
    return f'<path d="{path}"{style} marker-end="url(#arrow)"/>'
