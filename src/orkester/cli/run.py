"""The command ``orkester run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    team: Annotated[Path, typer.Argument(help="A team file from the run directory of a study.", metavar="TEAM.json")],
    question: Annotated[str, typer.Argument(help="The question for the team.")],
) -> None:
    """Start the engines that a team needs, ask the team one question, and print its answer.

    Example: `orkester run runs/arithmetic/teams/vote-481d87e8.json "What is 12 + 34?"`
    """
    import orkester

    typer.echo(orkester.load_team(team).run(question))
