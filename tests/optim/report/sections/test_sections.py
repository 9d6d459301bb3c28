"""The list of sections, from which the page is built."""

from pathlib import Path

import pytest

from orkester.optim.report import sections
from orkester.optim.report._section import Section
from orkester.optim.report.sections import SECTIONS

FOLDER = Path(sections.__file__).parent


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.key)
def test_a_template_is_one_section_with_the_key_for_its_anchor(section: Section) -> None:
    text = (FOLDER.parent / section.template).read_text(encoding="utf-8")
    assert text.count("<section") == text.count("</section>") == 1
    assert f'<section id="{section.key}">' in text
    assert text.endswith("</section>\n")


def test_every_section_is_in_the_list_once_with_a_label_of_its_own() -> None:
    keys = [section.key for section in SECTIONS]
    assert len({section.label for section in SECTIONS}) == len(set(keys)) == len(keys)
    assert {path.name for path in FOLDER.glob("*.j2")} == {f"{key}.html.j2" for key in keys}
    assert {path.stem for path in FOLDER.glob("*.py")} - {"__init__"} == set(keys)
