"""``orkester run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    team: Annotated[Path, typer.Argument(help="A team that a study wrote.", metavar="TEAM.json")],
    question: Annotated[str, typer.Argument(help="What to ask it.")],
) -> None:
    """Start the engines a team needs, ask it one question, and print its answer.

    Example: `orkester run runs/arithmetic/teams/vote-481d87e8.json "What is 12 + 34?"`
    """
    import orkester

    typer.echo(orkester.load_team(team).run(question))
