"""The report of a benchmark: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orkester.evals.objectives import Estimate
from orkester.optim.report import TEMPLATES, script, stylesheet
from orkester.optim.report._axis import Axis, axis, from_zero
from orkester.optim.report._numbers import NOTHING, duration, facts, number, span
from orkester.optim.report._palette import named
from orkester.optim.report._plot import SYMBOLS, Chart, Point, Points

from ._figures import FIGURES, UNITS, Cell, Figure, cells, short_name
from ._files import write
from ._records import Benchmark, Pairing

#: Colours that colour-blind readers can distinguish (Okabe and Ito, 2008); symbols differ too, for prints in grey.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", named("ink"))
_LOGARITHMIC_FROM = 20.0  # ratio of the largest value to the smallest


def write_report(benchmark: Benchmark) -> Path:
    """Write ``report.html`` in one step.

    Args:
        benchmark: The results.

    Returns:
        The path of the report.
    """
    import jinja2
    from markupsafe import Markup

    folders = [Path(__file__).parent, TEMPLATES]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    table = cells(benchmark)
    charts = _charts(table)
    page = environment.get_template("report.html.j2").render(
        benchmark=benchmark,
        power=_power(benchmark),
        seconds={"window": f"{benchmark.plan['seconds']:g}", "warm_up": f"{benchmark.plan['warm_up_s']:g}"},
        methods=sorted({cell.pairing.energy_method for cell in table}),
        heads=[UNITS[name] for name in _shown(table)],
        rows=[_row(cell, _shown(table)) for cell in table],
        legend=_legend(table),
        charts=charts,
        engines=[_engine(pairing) for pairing in benchmark.pairings],
        faults=[
            {"name": f"{short_name(each.model)} on {each.engine}", "why": each.fault}
            for each in benchmark.pairings
            if each.fault
        ],
        machine=facts(benchmark.machine),
        versions=", ".join(f"{name} {version}" for name, version in benchmark.versions.items()),
        plan=benchmark.plan,
        measured=duration(sum(window.seconds for window in benchmark.windows)),
        css=Markup(stylesheet()),
        script=Markup(script()),
    )
    path = benchmark.folder / "report.html"
    write(path, page)
    return path


def _power(benchmark: Benchmark) -> str:
    """The power model of an estimate; empty when the joules were measured."""
    for pairing in benchmark.pairings:
        assumptions = pairing.energy_assumptions
        if "low_w_per_core" in assumptions:
            return (
                f"CPU seconds × {assumptions['active_w_per_core']:g} W per busy core; "
                f"{assumptions['low_w_per_core']:g} to {assumptions['high_w_per_core']:g} W are plausible, too, and "
                "would change all joules by the same factor"
            )
    return ""


def _shown(table: Sequence[Cell]) -> list[str]:
    """The names of the figures that at least one cell has."""
    return [name for name in FIGURES if any(name in cell.figures for cell in table)]


def _row(cell: Cell, names: Sequence[str]) -> dict[str, Any]:
    pairing = cell.pairing
    return {
        "model": short_name(pairing.model),
        "engine": pairing.engine,
        "batch": cell.batch,
        "windows": cell.windows,
        "method": pairing.energy_method,
        "figures": [_figure(cell.figures.get(name)) for name in names],
        "idle_w": number(pairing.total_idle_w),
        "answered": f"{cell.answered:,}",
        "failed": cell.failed,
        "right": NOTHING if cell.successes is None else f"{cell.successes:,}",
        "marks": [f"{mark} ({count} of {cell.windows} windows)" for mark, count in cell.marks.items()],
    }


def _figure(figure: Figure | None) -> dict[str, str]:
    if figure is None:
        return {"value": NOTHING, "range": ""}
    return {"value": number(figure.median), "range": span(figure.low, figure.high) if figure.n > 1 else "one window"}


def _engine(pairing: Pairing) -> dict[str, Any]:
    start = [
        duration(pairing.start_s) if pairing.start_s is not None else "",
        f"{number(pairing.start_j)} J" if pairing.start_j is not None else "",
    ]
    outside_windows = [
        f"start: {', '.join(filter(None, start))}" if any(start) else "",
        f"warm-up: {number(pairing.warm_up_j)} J" if pairing.warm_up_j is not None else "",
    ]
    return {
        "name": f"{short_name(pairing.model)} on {pairing.engine}",
        "facts": facts(pairing.facts) or NOTHING,
        "energy": f"{pairing.energy_method}: {facts(pairing.energy_assumptions) or NOTHING}",
        "outside_windows": "; ".join(filter(None, outside_windows)) or NOTHING,
    }


def _legend(table: Sequence[Cell]) -> list[dict[str, str]]:
    return [
        {"name": f"{short_name(model)} on {engine}", **{key: str(value) for key, value in style.items()}}
        for (model, engine), style in _styles(table).items()
    ]


def _styles(table: Sequence[Cell]) -> dict[tuple[str, str], dict[str, str]]:
    """For each model and engine: a colour, a symbol, and a character that looks like the symbol."""
    names = list(dict.fromkeys((cell.pairing.model, cell.pairing.engine) for cell in table))
    return {
        name: {
            "colour": _COLOURS[i % len(_COLOURS)],
            "symbol": SYMBOLS[i % len(SYMBOLS)][0],
            "mark": SYMBOLS[i % len(SYMBOLS)][1],
        }
        for i, name in enumerate(names)
    }


def _charts(table: Sequence[Cell]) -> list[Chart]:
    """The charts: J per output token, one chart per method (joules of different methods share no axis), and speed."""
    methods = sorted({cell.pairing.energy_method for cell in table})
    charts = [
        _chart(
            f"energy-{i}",
            [cell for cell in table if cell.pairing.energy_method == method],
            table,
            "energy_j_per_output_token",
            f"J per output token, {method}, less is better",
        )
        for i, method in enumerate(methods)
    ]
    charts.append(_chart("speed", table, table, "output_tokens_per_s", "output tokens per s, more is better"))
    return [each for each in charts if each is not None]


def _chart(name: str, some: Sequence[Cell], table: Sequence[Cell], figure: str, title: str) -> Chart | None:
    styles = _styles(table)
    series = []
    seen: list[Figure] = []
    for (model, engine), style in styles.items():
        mine = [c for c in some if (c.pairing.model, c.pairing.engine) == (model, engine) and figure in c.figures]
        if not mine:
            continue
        seen += [cell.figures[figure] for cell in mine]
        what = f"{short_name(model)} on {engine}"
        points = [_point(cell.batch, cell.figures[figure], what, style["symbol"]) for cell in mine]
        series.append(Points(name=what, colour=style["colour"], points=points, connected=True))
    if not series:
        return None
    batches = sorted({cell.batch for cell in table})
    return Chart(
        id=name,
        label=title.replace(",", " against batch,", 1),
        height=330,
        series=series,
        x=Axis(
            title="batch: requests in flight",
            low=batches[0] / 1.15,
            high=batches[-1] * 1.15,
            logarithmic=True,
            ticks=[(batch, str(batch)) for batch in batches],
        ),
        y=_scale(title, seen),
    )


def _point(batch: int, figure: Figure, what: str, symbol: str) -> Point:
    ends = Estimate(value=figure.median, low=figure.low, high=figure.high, n=figure.n)
    tip = f"{what}\nbatch {batch}: {number(figure.median)}"
    return Point(x=batch, y=figure.median, tip=tip, y_interval=ends, symbol=symbol)


def _scale(title: str, seen: Sequence[Figure]) -> Axis:
    """The scale of an axis: from 0, so that heights can be compared, or logarithmic when the values differ much."""
    low, high = min(each.low for each in seen), max(each.high for each in seen)
    if low > 0 and high / low > _LOGARITHMIC_FROM:
        return axis(title, [low, high])
    return from_zero(title, [high])
