"""Records of one team under two names become records of one team."""

from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import given, settings

from orkester.evals.records.block import Block
from orkester.evals.records.log import Records, TeamFailure
from orkester.evals.records.twins import under_one_name
from orkester.graphs import Team
from orkester.testing.blocks import block

SINGLE = Team("single", {"model": "small", "temperature": 0.5})
TWIN = Team("vote", {"agents": 1, "model": "small", "temperature": 0.5})
OTHER = Team("vote", {"agents": 3, "model": "small", "temperature": 0.5})


def representative(team: Team) -> Team:
    return SINGLE if team == TWIN else team


def of(team: Team, index: int, phase: str = "search") -> Block:
    return block(team=team.id, topology=team.topology, knobs=dict(team.knobs), index=index, phase=phase)


def failure(team: Team, reason: str) -> TeamFailure:
    return TeamFailure(team=team.id, topology=team.topology, knobs=dict(team.knobs), reason=reason, trial=3)


def arranged(*blocks: Block, failures: Sequence[TeamFailure] = (), **stopped: str) -> Records:
    by_id = {{"single": SINGLE, "twin": TWIN, "other": OTHER}[name].id: reason for name, reason in stopped.items()}
    return under_one_name(Records(blocks=blocks, failures=failures, stopped=by_id), representative)


def test_records_without_twins_stay_as_they_are() -> None:
    records = Records(blocks=(of(SINGLE, 0), of(OTHER, 0)), failures=(), stopped={OTHER.id: "beaten"})
    assert under_one_name(records, representative) is records


def test_each_block_counts_once_and_the_first_one_does() -> None:
    found = arranged(of(TWIN, 0), of(SINGLE, 0), of(OTHER, 0), of(SINGLE, 1), of(TWIN, 0, "confirm"))
    assert [(b.team, b.topology, b.phase, b.index) for b in found.blocks] == [
        (SINGLE.id, "single", "search", 0),
        (OTHER.id, "vote", "search", 0),
        (SINGLE.id, "single", "search", 1),
        (SINGLE.id, "single", "confirm", 0),
    ]
    assert found.blocks[0].knobs == dict(SINGLE.knobs)


def test_why_a_team_was_stopped_counts_for_the_name_that_was_measured_last() -> None:
    assert arranged(of(TWIN, 0), of(SINGLE, 0), of(SINGLE, 1), twin="beaten").stopped == {}
    assert arranged(of(SINGLE, 0), of(SINGLE, 1), of(TWIN, 0), twin="beaten").stopped == {}
    assert arranged(of(TWIN, 0), of(SINGLE, 0), twin="beaten", other="slow").stopped == {SINGLE.id: "beaten"}
    assert arranged(of(SINGLE, 0), of(TWIN, 0), of(TWIN, 1), twin="beaten").stopped == {SINGLE.id: "beaten"}


def test_a_failure_counts_for_the_name_that_was_measured_last_or_where_nothing_was() -> None:
    (found,) = arranged(failures=(failure(TWIN, "the engine died"),)).failures
    assert (found.team, found.topology, found.knobs) == (SINGLE.id, "single", dict(SINGLE.knobs))
    assert arranged(of(SINGLE, 0), failures=(failure(TWIN, "the engine died"),)).failures == []


def representative_id(made: Block) -> str:
    return representative(Team(made.topology, made.knobs)).id


_BLOCKS = st.lists(
    st.builds(of, st.sampled_from([SINGLE, TWIN, OTHER]), st.integers(0, 2), st.sampled_from(["search", "confirm"])),
    max_size=12,
)


@settings(deadline=None)
@given(blocks=_BLOCKS)
def test_no_block_is_lost_and_doing_it_twice_changes_nothing(blocks: list[Block]) -> None:
    records = arranged(*blocks)
    places = [(b.team, b.phase, b.index) for b in records.blocks]
    if TWIN.id in {b.team for b in blocks}:
        assert len(set(places)) == len(places)
    assert TWIN.id not in {b.team for b in records.blocks}
    assert set(places) == {(representative_id(b), b.phase, b.index) for b in blocks}
    again = under_one_name(records, representative)
    assert list(again.blocks) == list(records.blocks)
