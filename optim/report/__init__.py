"""The report: one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from orkester.evals.block import Block
from orkester.optim.insight.insights import Insights, space_of_run
from orkester.optim.insight.insights import insights as learn
from orkester.optim.run.engine_log import EngineUse
from orkester.optim.run.results import Results

from ._content import content


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
) -> None:
    """Write the report of a run in one step.

    Args:
        path: the HTML file.
        name: of the study.
        results: its teams and front.
        manifest: of the run directory: what was asked, machine, versions.
        blocks: all of them; for engines, energy assumptions and counts.
        engine_uses: what befell the engines.
        insights: which knobs matter and what would be worth trying; learnt here from the results when not given.
        now: when it is written.
    """
    import jinja2

    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        **content(
            name=name,
            results=results,
            manifest=manifest,
            insights=insights or learn(results, space_of_run(manifest)),
            blocks=blocks,
            engine_uses=engine_uses,
            now=now,
        ),
        css=stylesheet(),
    )
    draft = path.with_suffix(".tmp")
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)


def stylesheet() -> str:
    """The style sheet that all of Orkester's pages share."""
    return (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
