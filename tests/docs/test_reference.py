"""The reference names everything there is, and links lead somewhere."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from support import ROOT

from orkester.agents.packs import RoleChange
from orkester.evals.objectives import objectives
from orkester.evals.scorers import scorers
from orkester.graphs import topologies, topology
from orkester.optim.study.engine_parts import RESTARTS, EngineOptionsPart, ExternalPart, VllmSettings
from orkester.optim.study.parts import BudgetPart, EnergyPart, MeasurePart, TaskPart
from orkester.optim.study.study_file import StudyFile

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = (ROOT / "docs" / "study-file.md").read_text()
MEASUREMENT = (ROOT / "docs" / "measurement.md").read_text()
PARTS: list[type[BaseModel]] = [
    StudyFile,
    TaskPart,
    RoleChange,
    ExternalPart,
    VllmSettings,
    EngineOptionsPart,
    EnergyPart,
    MeasurePart,
    BudgetPart,
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_key_of_a_study_file_is_documented(part: type[BaseModel]) -> None:
    assert [key for key in part.model_fields if f"| `{key}` |" not in REFERENCE] == []


@pytest.mark.parametrize(("option", "restart"), RESTARTS.items())
def test_what_another_value_of_a_searched_option_costs_is_documented(option: str, restart: str) -> None:
    assert f"| `{option}` | {restart}: " in REFERENCE


@pytest.mark.parametrize("name", topologies())
def test_every_knob_and_role_is_documented(name: str) -> None:
    row = next((line for line in REFERENCE.splitlines() if line.startswith(f"| `{name}` |")), None)
    assert row is not None, f"docs/study-file.md has no row for the topology {name} in the table below ## search"
    knobs, roles = row.strip("|").split("|")[1:]
    assert [knob for knob in topology(name).knobs if f"`{knob}`" not in knobs] == []
    assert [role for role in topology(name).roles if f"`{role}`" not in roles] == []


def test_every_quantity_and_scorer_is_documented() -> None:
    names = [*objectives(), *scorers()]
    assert [name for name in names if f"`{name}`" not in REFERENCE] == [], "docs/study-file.md does not name them"
    unknown = [name for name in objectives() if f"`{name}`" not in MEASUREMENT]
    assert unknown == [], "docs/measurement.md does not name them"


def test_the_file_that_is_shown_for_an_objective_is_the_real_one() -> None:
    file = ROOT / "evals" / "objectives" / "input_tokens.py"
    assert f"This is all of `{file.relative_to(ROOT)}`" in MEASUREMENT
    assert f"```python\n{file.read_text()}```" in MEASUREMENT


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_anchor_is_one_on_a_code_host(page: Path) -> None:
    """The site makes its anchors by another rule; ``make test-docs`` looks at those."""
    targets = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)", page.read_text())
    assert [
        f"{path}#{anchor}" for path, anchor in targets if anchor not in anchors((page.parent / path) if path else page)
    ] == []


def test_anchors_are_made_as_a_code_host_makes_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# The `study` file\n```\n# no heading\n```\n## Cost & [energy](energy.md)\n## The `study` file\n")
    assert anchors(page) == {"the-study-file", "cost--energy", "the-study-file-1"}


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings: lower case, without punctuation, spaces as hyphens, repeated ones numbered."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        found.append(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return {f"{name}-{found[:i].count(name)}" if name in found[:i] else name for i, name in enumerate(found)}
