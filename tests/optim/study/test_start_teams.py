"""Which teams are measured first: a study file's own, and those of earlier runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import write_study

import orkester
from orkester.errors import InputError
from orkester.evals.records.log import BlockLog
from orkester.graphs import Team
from orkester.optim.run.directory import RunDirectory
from orkester.optim.run.warm_start import MOST_TEAMS
from orkester.optim.study.start_teams import as_entry
from orkester.optim.study.study import Study
from orkester.testing.blocks import block, call, result

#: Of the study in ``support``: vote has 2 to 5 agents, small and large, temperatures 0.3 to 1.0 by 0.05.
VOTE = {"agents": 4, "model": "small", "temperature": 0.7}


def study_with(folder: Path, **changes: Any) -> Study:
    return orkester.load_study(write_study(folder / "study", **changes))


def refusal(folder: Path, **changes: Any) -> list[str]:
    path = write_study(folder / "study", **changes)
    with pytest.raises(InputError) as raised:
        orkester.load_study(path)
    return str(raised.value).replace(f"{path}:", "").splitlines()


# -- start ------------------------------------------------------------------------------------------------------------


def test_named_teams_are_measured_first_in_their_order_each_once(tmp_path: Path) -> None:
    start = [{"vote": VOTE}, {"single": {"model": "large"}}, {"vote": {**VOTE, "temperature": 0.7000000001}}]
    study = study_with(tmp_path, start=start)
    assert study.start == [Team("vote", VOTE), Team("single", {"model": "large", "temperature": 0.0})]
    assert all(team in study.space for team in study.start)


def test_a_knob_that_is_left_out_has_the_only_value_or_the_default(tmp_path: Path) -> None:
    search = {"vote": {"agents": [2, 5], "model": "small", "temperature": [0.3, 1.0]}}
    study = study_with(tmp_path, search=search, start=[{"vote": None}, {"vote": {"agents": 2}}])
    assert [dict(team.knobs) for team in study.start] == [
        {"agents": 5, "model": "small", "temperature": 0.7},
        {"agents": 2, "model": "small", "temperature": 0.7},
    ]


def test_a_team_is_measured_under_its_plainest_name_and_the_file_is_told(tmp_path: Path) -> None:
    search = {"single": {"model": "any", "temperature": 0.7}, "vote": {"agents": [1, 2], "model": "any"}}
    study = study_with(tmp_path, search=search, start=[{"vote": {"agents": 1, "model": "small"}}])
    assert study.start == [Team("single", {"model": "small", "temperature": 0.7})]
    (note,) = study.notes
    assert note == f"start: vote with these knobs makes the same calls as {study.start[0]}, which is measured"
    roles = {"voter": {"instruction": "You vote."}}
    apart = study_with(
        tmp_path / "apart", search=search, start=[{"vote": {"agents": 1, "model": "small"}}], roles=roles
    )
    assert apart.start == [Team("vote", {"agents": 1, "model": "small", "temperature": 0.7})]
    assert (len(study.space), len(apart.space), apart.notes) == (4, 6, [])


def test_a_whole_number_is_the_same_team_as_its_fraction(tmp_path: Path) -> None:
    (team,) = study_with(tmp_path, start=[{"vote": {**VOTE, "temperature": 1}}]).start
    assert team.id == Team("vote", {**VOTE, "temperature": 1.0}).id


def test_engine_options_that_are_searched_belong_to_a_team(tmp_path: Path) -> None:
    options = {"max_num_active_seqs": [2, 4], "quantization": ["none", "fp8"]}
    start = [{"vote": VOTE, "engine_options": {"quantization": "fp8"}}, {"vote": VOTE}]
    study = study_with(tmp_path, engine_options=options, start=start)
    assert [dict(team.engine) for team in study.start] == [
        {"max_num_active_seqs": 2, "quantization": "fp8"},
        {"max_num_active_seqs": 2, "quantization": None},
    ]


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (
            [{"vote": {**VOTE, "temperature": 0.72}}],
            "start.0.vote.temperature: 0.72 is not in the space, which has 0.3 to 1.0 by 0.05 (nearest: 0.7); take one",
        ),
        (
            [{"vote": VOTE}, {"vote": {**VOTE, "agents": 9}}],
            "start.1.vote.agents: 9 is not in the space, which has 2 to 5 (nearest: 5)",
        ),
        (
            [{"vote": {**VOTE, "model": "smal"}}],
            "start.0.vote.model: 'smal' is not in the space, which has small, large;",
        ),
        ([{"vote": {**VOTE, "agents": True}}], "start.0.vote.agents: True is not in the space"),
        ([{"vote": {"agents": 3}}], "start.0.vote: needs a value for model; the space has small, large"),
        ([{"vote": {**VOTE, "agent": 2}}], "start.0.vote.agent: unknown knob 'agent' (did you mean 'agents'?)"),
        ([{"debate": {}}], "start.0.debate: is not searched: 'debate'"),
        ([{"vote": VOTE, "single": {}}], "start.0: names 2 topologies (vote, single); a team is one"),
        ([{}], "start.0: names no topology; a team is one, such as {vote: {agents: 5}}"),
        (["vote"], "start.0: takes a topology with its knobs, such as {vote: {agents: 5}}, but got 'vote'"),
        ([{"vote": 5}], "start.0: takes a topology with its knobs"),
        ([{"vote": {"agents": [2, 3]}}], "start.0.vote.agents: takes "),
        (
            [{"vote": VOTE, "engine_options": {"quantization": "fp8"}}],
            "start.0.engine_options.quantization: is not searched. Leave it out",
        ),
        ({"vote": VOTE}, "start: takes a list, but got "),
    ],
)
def test_a_team_that_is_not_of_the_space_is_refused(tmp_path: Path, start: Any, said: str) -> None:
    (line,) = refusal(tmp_path, start=start)
    number, _, message = line.partition(": ")
    assert message.startswith(said), message
    assert number.isdigit()
    assert int(number) > 20  # a line of start, not the first of the file


def test_a_default_that_the_space_lacks_is_named(tmp_path: Path) -> None:
    search = {"vote": {"agents": [2, 3], "model": "small", "temperature": 0.5}}
    (line,) = refusal(tmp_path, search=search, start=[{"vote": {}}])
    assert line.endswith(
        "start.0.vote: needs a value for agents: its default 5 is not in the space; the space has 2, 3"
    )


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    lines = refusal(tmp_path, start=[{"vote": {"agents": 9, "model": "none", "temperature": 0.7}}], warm_start=["gone"])
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
        "start.0.vote.agents",
        "start.0.vote.model",
        "warm_start.0",
    ]


def test_the_teams_belong_to_the_studys_identity_whichever_way_they_are_named(tmp_path: Path) -> None:
    plain = study_with(tmp_path / "plain")
    named = study_with(tmp_path / "named", start=[{"vote": VOTE}])
    earlier = run_in(tmp_path / "runs", {Team("vote", VOTE): (0.5, 1.0)})
    warm = study_with(tmp_path / "warm", warm_start=[str(earlier)])
    assert plain.id != named.id
    assert named.identity() == warm.identity()
    assert named.identity()["start"] == [{"vote": VOTE}]
    assert {"start", "warm_start", "sampler"}.isdisjoint(plain.identity())
    again = study_with(tmp_path / "again", start=named.identity()["start"])
    assert again.start == named.start


def test_a_sampler_is_part_of_the_identity_when_it_is_named(tmp_path: Path) -> None:
    assert study_with(tmp_path / "a", sampler="auto").id == study_with(tmp_path / "b").id
    named = study_with(tmp_path / "c", sampler="tpe")
    assert named.identity()["sampler"] == "tpe"


def test_an_unknown_sampler_is_refused(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, sampler="tpee")
    assert "sampler: unknown sampler 'tpee' (did you mean 'tpe'?). Known: auto, ehvi" in line


# -- warm start -------------------------------------------------------------------------------------------------------


def run_in(folder: Path, values: Mapping[Team, tuple[float, float]], *, examples: int = 4, **manifest: Any) -> Path:
    """A run whose teams have these qualities and latencies in seconds."""
    directory = RunDirectory(folder)
    asked = {"objectives": {"quality": "maximize", "latency_p50_s": "minimize"}, "constraints": {}, **manifest}
    with directory:
        directory.begin(asked, {"name": "earlier", "sizes": {"search": examples, "confirm": 2}})
        with BlockLog(directory.blocks) as log:
            for number, (team, (quality, latency_s)) in enumerate(values.items()):
                rows = tuple(
                    result(i, score=float(i < quality * 4), latency_s=latency_s, calls=(call(),)) for i in range(4)
                )
                made = block(
                    examples=rows,
                    team=team.id,
                    topology=team.topology,
                    knobs=dict(team.knobs),
                    engine_options=dict(team.engine),
                    trial=number,
                )
                log.append(made)
    return folder


def votes(count: int, **knobs: Any) -> Sequence[Team]:
    temperatures = [round(0.3 + 0.05 * i, 6) for i in range(count)]
    return [Team("vote", {**VOTE, "temperature": temperature, **knobs}) for temperature in temperatures]


def test_the_front_of_an_earlier_run_comes_first_after_the_users_own(tmp_path: Path) -> None:
    good, bad, fast = votes(3)
    earlier = run_in(tmp_path / "earlier", {bad: (0.5, 2.0), good: (1.0, 1.0), fast: (0.75, 0.5)})
    study = study_with(
        tmp_path, start=[{"single": {"model": "large"}}, {"vote": dict(fast.knobs)}], warm_start=[str(earlier)]
    )
    assert study.start == [Team("single", {"model": "large", "temperature": 0.0}), fast, good]
    assert study.notes == [f"warm start: 2 of the 2 front members of {earlier} are measured first"]


def test_paths_are_relative_to_the_study_file(tmp_path: Path) -> None:
    run_in(tmp_path / "runs" / "earlier", {Team("vote", VOTE): (1.0, 1.0)})
    assert study_with(tmp_path, warm_start=["../runs/earlier"]).start == [Team("vote", VOTE)]


def test_teams_of_another_space_are_told_and_left_out(tmp_path: Path) -> None:
    here, many, other, unknown = (
        Team("vote", VOTE),
        Team("vote", {**VOTE, "agents": 9}),
        Team("vote", {**VOTE, "model": "huge"}),
        Team("debate", {"agents": 2, "rounds": 1, "model": "small", "temperature": 0.7}),
    )
    values = {here: (0.25, 1.0), many: (0.5, 2.0), other: (0.75, 3.0), unknown: (1.0, 4.0)}
    study = study_with(tmp_path, warm_start=[str(run_in(tmp_path / "earlier", values))])
    assert study.start == [here]
    (note,) = study.notes
    assert "1 of the 4 front members" in note
    assert f"{many.id} (vote.agents 9 is not in the space, which has 2 to 5 (nearest: 5))" in note
    assert f"{other.id} (vote.model 'huge' is not in the space, which has small, large)" in note
    assert f"{unknown.id} (debate is not searched" in note


def test_of_a_long_front_those_are_taken_that_span_it(tmp_path: Path) -> None:
    teams = votes(15)
    # Quality in quarters: the front has 12 teams of quality 0.75 with equal latency, and the extremes.
    values = dict.fromkeys(teams[:12], (0.75, 1.0))
    values |= {teams[12]: (1.0, 3.0), teams[13]: (0.5, 0.5), teams[14]: (0.25, 0.25)}
    study = study_with(tmp_path, warm_start=[str(run_in(tmp_path / "earlier", values))])
    assert len(study.start) == MOST_TEAMS
    assert study.start[0] == teams[12]
    assert study.start[1] == teams[14]
    assert teams[13] in study.start[:4]
    assert "8 of the 15 front members" in study.notes[0]
    assert "7 more are in this space" in study.notes[0]


def test_runs_take_turns(tmp_path: Path) -> None:
    few, many = votes(2, model="large"), votes(12)
    first = run_in(tmp_path / "first", dict.fromkeys(many, (0.5, 1.0)))
    second = run_in(tmp_path / "second", dict.fromkeys(few, (0.5, 1.0)))
    start = study_with(tmp_path, warm_start=[str(first), str(second)]).start
    assert [team.knobs["model"] for team in start] == ["small", "large", "small", "large", *["small"] * 4]


def test_engine_options_that_are_not_searched_here_are_this_studys(tmp_path: Path) -> None:
    team = Team("vote", VOTE, {"max_num_active_seqs": 2, "kv_cache_dtype": "fp8"})
    earlier = run_in(tmp_path / "earlier", {team: (1.0, 1.0)})
    study = study_with(
        tmp_path,
        engine_options={"max_num_active_seqs": [4, 2], "quantization": ["fp8", "none"]},
        warm_start=[str(earlier)],
    )
    assert [dict(team.engine) for team in study.start] == [{"max_num_active_seqs": 2, "quantization": "fp8"}]


def test_a_run_without_a_front_gives_nothing(tmp_path: Path) -> None:
    earlier = run_in(tmp_path / "earlier", {Team("vote", VOTE): (1.0, 1.0)}, examples=8)  # cut off half-way
    study = study_with(tmp_path, warm_start=[str(earlier)])
    assert study.start == []
    assert study.notes == [f"warm start: {earlier} has no front"]


@pytest.mark.parametrize("what", ["gone", "a folder", "another file", "no objectives", "torn"])
def test_what_is_no_run_is_refused_with_line_and_remedy(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "earlier"
    if what != "gone":
        folder.mkdir()
    if what == "another file":
        (folder / "study.yaml").write_text("name: small\n")
    if what == "no objectives":
        manifest = {"schema": 1, "study": {}, "name": "earlier", "sizes": {"search": 4, "confirm": 2}}
        (folder / "study.yaml").write_text(json.dumps(manifest))
    if what == "torn":
        run_in(folder, {Team("vote", VOTE): (1.0, 1.0)})
        (folder / "blocks.jsonl").write_text("nonsense\n" * 2)
    (line,) = refusal(tmp_path, warm_start=[str(folder)])
    assert ": warm_start.0: " in line
    assert str(folder) in line
    assert line.endswith("; name a run directory, or leave it out")


def test_an_entry_reads_as_it_was_written(tmp_path: Path) -> None:
    team = Team("vote", VOTE, {"quantization": None})
    assert as_entry(team) == {"vote": VOTE, "engine_options": {"quantization": None}}
    options = {"quantization": ["fp8", "none"]}
    assert study_with(tmp_path, engine_options=options, start=[as_entry(team)]).start == [team]
