"""A team's graph as SVG: LangGraph's own nodes and edges, laid out in rows from start to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from orkester.evals.records.agent_shares import AgentShare
from orkester.graphs import Team, topology

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 190, 46, 24, 34
_SIDE = 34  # room beside the boxes for edges that pass them
_LONGEST = 26  # characters that fit into a box
_ENDS = {"__start__", "__end__"}


@dataclass(frozen=True)
class _Edge:
    source: str
    target: str
    conditional: bool


def draw(team: Team, agents: Sequence[AgentShare]) -> str:
    """An ``<svg>`` element: agents with their model and calls per example, conditional edges dashed."""
    graph = topology(team.topology).graph.get_graph()
    edges = [_Edge(edge.source, edge.target, bool(edge.conditional)) for edge in graph.edges]
    labels: dict[str, list[str]] = {}
    for agent in agents:
        labels.setdefault(agent.agent, []).append(f"{agent.calls:.3g} × {agent.model}")
    rows = _rows(list(graph.nodes), edges)
    columns = max(len(row) for row in rows)
    places = _places(rows, columns)
    width = columns * (_WIDTH + _GAP_X) + 2 * _SIDE
    height = len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y + 12
    arrow = f"arrow-{escape(team.id, quote=True)}"
    label = f"Graph of {escape(str(team), quote=True)}"
    marker = f'<marker id="{arrow}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    parts = [
        f'<svg class="graph" viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{label}">',
        f'<defs>{marker}<path d="M0,0 L8,4 L0,8 z"/></marker></defs>',
        *(_edge(edge, places, arrow) for edge in edges),
        *(_node(name, " + ".join(labels.get(name, [])), *places[name]) for name in places),
        "</svg>",
    ]
    return "".join(parts)


def _rows(nodes: Sequence[str], edges: Sequence[_Edge]) -> list[list[str]]:
    """The nodes in rows by their distance from the start; the end has the last row."""
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


def _places(rows: Sequence[Sequence[str]], columns: int) -> dict[str, tuple[float, float]]:
    """The top left corner of each node."""
    places = {}
    for y, row in enumerate(rows):
        indent = _SIDE + (columns - len(row)) * (_WIDTH + _GAP_X) / 2
        for x, name in enumerate(row):
            places[name] = (indent + x * (_WIDTH + _GAP_X) + _GAP_X / 2, y * (_HEIGHT + _GAP_Y) + 6.0)
    return places


def _node(name: str, label: str, x: float, y: float) -> str:
    middle = x + _WIDTH / 2
    if name in _ENDS:
        return f'<text class="end" x="{middle}" y="{y + _HEIGHT / 2 + 4}" text-anchor="middle">{name.strip("_")}</text>'
    box = f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
    return (
        box
        + _text(name, "", middle, y + (19 if label else 28))
        + (_text(label, ' class="model"', middle, y + 36) if label else "")
    )


def _text(text: str, kind: str, x: float, y: float) -> str:
    """Shorten a name at its beginning, because names of models differ at their end. Hovering shows the whole name."""
    shown = text if len(text) <= _LONGEST else "…" + text[-_LONGEST + 1 :]
    return f'<text{kind} x="{x}" y="{y}" text-anchor="middle"><title>{escape(text)}</title>{escape(shown)}</text>'


def _edge(edge: _Edge, places: Mapping[str, tuple[float, float]], arrow: str) -> str:
    (x1, y1), (x2, y2) = places[edge.source], places[edge.target]
    middle1, middle2 = y1 + _HEIGHT / 2, y2 + _HEIGHT / 2
    if y2 <= y1:  # back up, along the right side
        side = max(x1, x2) + _WIDTH + _SIDE
        path = f"M{x1 + _WIDTH},{middle1} C{side},{middle1} {side},{middle2} {x2 + _WIDTH},{middle2}"
    elif y2 - y1 > _HEIGHT + _GAP_Y + 1 and x1 == x2:  # past the nodes between, along the left side
        side = x1 - _SIDE
        start_x = x1 if edge.source not in _ENDS else x1 + _WIDTH / 2 - 20
        end_x = x2 if edge.target not in _ENDS else x2 + _WIDTH / 2 - 18
        path = f"M{start_x},{middle1} C{side},{middle1} {side},{middle2} {end_x},{middle2}"
    else:
        start_x, end_x = x1 + _WIDTH / 2, x2 + _WIDTH / 2
        start_y = y1 + _HEIGHT if edge.source not in _ENDS else middle1 + 10
        end_y = y2 if edge.target not in _ENDS else middle2 - 12
        half = (start_y + end_y) / 2
        path = f"M{start_x},{start_y} C{start_x},{half} {end_x},{half} {end_x},{end_y}"
    style = ' class="conditional"' if edge.conditional else ""
    return f'<path d="{path}"{style} marker-end="url(#{arrow})"/>'
