"""The report: one HTML file that loads nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from orkester.errors import InputError
from orkester.evals.records.block import Block
from orkester.optim.insight.insights import Insights
from orkester.optim.insight.insights import insights as learn
from orkester.optim.run.engine_log import EngineUse
from orkester.optim.run.results import Results
from orkester.optim.study.study_of_run import space_of_run

from ._figure import standalone_svg
from ._material import Material
from ._palette import LIGHT, variables
from ._pdf import write_pdf
from ._plot import Chart
from ._section import Section
from .sections import SECTIONS

if TYPE_CHECKING:
    import jinja2

#: The folder of the templates.
TEMPLATES = Path(__file__).parent


def write_report(
    path: Path,
    *,
    name: str,
    results: Results,
    manifest: Mapping[str, Any],
    blocks: Sequence[Block],
    engine_uses: Sequence[EngineUse] = (),
    insights: Insights | None = None,
    now: datetime,
    figures: Path | None = None,
) -> None:
    """Write the report of a run in one step.

    Args:
        path: the HTML file.
        name: of the study.
        results: its teams and front.
        manifest: of the run directory: what was asked, machine, versions.
        blocks: all of them; for engines, energy assumptions and counts.
        engine_uses: what happened to the engines.
        insights: which knobs matter and what would be worth trying; learnt here from the results when not given.
        now: when it is written.
        figures: a folder for each figure as SVG and PDF, as wide as a column of a paper; made if it is not there.
    """
    import jinja2

    material = Material(
        name=name,
        results=results,
        manifest=manifest,
        insights=insights or learn(results, space_of_run(manifest)),
        blocks=blocks,
        engine_uses=engine_uses,
        now=now,
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    contents = {section: section.content(material) for section in SECTIONS}
    page = environment.get_template("page.html.j2").render(
        material.page,
        parts=[_part(environment, section, content, material) for section, content in contents.items()],
        css=stylesheet(),
        script=script(),
    )
    draft = path.with_suffix(".tmp")
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    if figures is not None:
        found = [chart for content in contents.values() if content is not None for chart in content.get("charts", ())]
        write_figures(found, figures)


def write_figures(charts: Sequence[Chart], folder: Path) -> None:
    """Write each chart as ``ID.svg`` and ``ID.pdf``.

    Args:
        charts: The charts.
        folder: Made if it is not there.

    Raises:
        InputError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for chart in charts:
            figure = chart.figure_with_legend
            (folder / f"{figure.id}.svg").write_text(standalone_svg(figure), encoding="utf-8")
            write_pdf(figure, folder / f"{figure.id}.pdf")
    except OSError as error:
        raise InputError(f"the figures cannot be written to {folder}: {error.strerror or error}") from error


def stylesheet() -> str:
    """The style sheet that all of Orkester's pages share."""
    return variables() + (TEMPLATES / "report.css").read_text(encoding="utf-8")


def script() -> str:
    """The script that all of Orkester's pages share: tips of figures, and saving them."""
    return f"const paper = {json.dumps(dict(LIGHT))};\n" + (TEMPLATES / "report.js").read_text(encoding="utf-8")


def _part(
    environment: jinja2.Environment, section: Section, content: Mapping[str, Any] | None, material: Material
) -> Mapping[str, str]:
    """Render a section of the page. A section without content has no HTML."""
    html = ""
    if content is not None:
        html = Markup(environment.get_template(section.template).render(material.page, section=content))
    return {"key": section.key, "label": section.label, "html": html}
