"""docs/topologies.md is made from the topologies."""

from support import module_at

from orkester.graphs import topologies


def test_the_page_shows_the_topologies_as_they_are() -> None:
    draw = module_at("docs/draw_topologies.py")
    assert draw.PAGE.read_text(encoding="utf-8") == draw.page(), (
        "the topologies have changed; run: .venv/bin/python docs/draw_topologies.py"
    )
    assert [line[3:] for line in draw.page().splitlines() if line.startswith("## ")] == list(topologies())
