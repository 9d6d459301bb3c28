"""A team on disk, and loaded again."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support import write_study

import orkester
from orkester.errors import InputError
from orkester.graphs import topology
from orkester.optim.session.team_file import TeamFile
from orkester.testing.scripted import scripted_models


@pytest.fixture(scope="module")
def team_path(finished_run: Path) -> Path:
    """The smallest front member."""
    return min((finished_run / "teams").glob("*.json"), key=lambda path: path.name)


def altered(team_path: Path, folder: Path, **changes: Any) -> Path:
    """A copy with keys replaced, or removed by ``...``."""
    data = {**json.loads(team_path.read_text()), **changes}
    path = folder / "team.json"
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not ...}))
    return path


def test_whoever_is_on_the_front_or_likely_is_written_and_nobody_else(finished_run: Path) -> None:
    found = orkester.open_run(finished_run).results
    written = sorted(path.name for path in (finished_run / "teams").iterdir())
    assert written == sorted(f"{result.team.id}.json" for result in [*found.front, *found.likely])


def test_a_team_is_loaded_as_it_was_measured(finished_run: Path) -> None:
    run = orkester.open_run(finished_run)
    for result in run.results.front:
        saved = orkester.load_team(finished_run / "teams" / f"{result.team.id}.json")
        assert saved.team == result.team
        assert saved.team.id == saved.file.id == result.team.id
        assert saved.file.study == run.name
        assert set(saved.file.models) == set(result.team.models)
        assert saved.file.measured == result.as_json(run.results.objectives)
        assert saved.settings.max_tokens == 16
        assert saved.settings.key(" The  Answer. ") == "the answer"


def test_a_team_file_survives_the_way_to_memory_and_back(team_path: Path) -> None:
    file = orkester.load_team(team_path).file
    assert TeamFile.model_validate_json(file.model_dump_json()) == file
    assert json.loads(team_path.read_text()) == json.loads(file.model_dump_json())


def test_a_loaded_team_answers_a_question_with_engines_of_its_own(team_path: Path) -> None:
    answer = orkester.load_team(team_path).run("What is 3 + 3?")
    assert answer == "6" or answer.startswith("wrong")


async def test_a_greedy_team_answers_many_questions_as_it_did_in_the_study(finished_run: Path) -> None:
    run = orkester.open_run(finished_run)
    team = next(result.team for result in run.results.front if result.team.topology == "single")
    measured = {e.id: e.answer for block in run.blocks if block.team == team.id for e in block.examples}
    saved = orkester.load_team(finished_run / "teams" / f"{team.id}.json")
    async with saved.models() as models:
        for example, answer in measured.items():
            number = example.removeprefix("q")
            assert await team.answer(f"What is {number} + {number}?", models, saved.settings) == answer
    assert len(measured) == 17


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"schema_version": 99},
            "a newer version of Orkester (schema 99; this version reads up to 5); upgrade Orkester",
        ),
        ({"topology": ...}, "this is not a team file: topology: "),
        ({"topology": "vot"}, "unknown topology 'vot' (did you mean 'vote'?)"),
        ({"knobs": {"colour": "red"}}, "has no knob 'colour'"),
        ({"knobs": {}}, "needs a value for the knob"),
        (
            {"topology": "vote", "knobs": {"agents": 99, "model": "small", "temperature": 0.5}},
            "takes 1 to 9, but got 99",
        ),
        ({"models": {}}, "which is not among the models of the file"),
        ({"engine_searched": ["slots"]}, "engine_searched: a study cannot search 'slots'. Known: max_num_active_seqs"),
        (
            {"engine_options": {"kv_cache_dtype": ["auto", "fp8"]}},
            "engine_options.kv_cache_dtype: a team has one value, not a list to choose from",
        ),
        ({"engine_options": {"tensor_parallel": 0}}, "this is not a team file: engine_options.tensor_parallel"),
        ({"engine": "vlm"}, "unknown engine 'vlm' (did you mean 'vllm'?)"),
        ({"engine": 7}, "this is not a team file: engine: "),
        ({"roles": {"solo": {"sees": "some"}}}, "this is not a team file: roles.solo.sees: "),
        ({"roles": {"solo": {"instruction": "{x}"}}}, "roles.solo.instruction: unknown placeholder {x}. Known: "),
        ({"more": 1}, "this is not a team file: more: "),
    ],
)
def test_a_team_that_cannot_be_used_is_answered_with_its_file_and_the_reason(
    team_path: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = altered(team_path, tmp_path, **changes)
    with pytest.raises(InputError) as raised:
        orkester.load_team(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert "\n" not in message


OPTIONS = {"max_num_active_seqs": [2, 4], "quantization": ["none", "fp8"], "tensor_parallel": 2}


def test_a_team_file_says_how_its_engines_are_to_be_served(quick_path: Path) -> None:
    path = write_study(quick_path / "study", search={"single": {"model": "small"}}, engine_options=OPTIONS)
    run = orkester.tune(path, quick_path / "run")
    assert len(run.results.teams) == 4
    for result in run.results.front:
        saved = orkester.load_team(quick_path / "run" / "teams" / f"{result.team.id}.json")
        assert saved.team == result.team
        assert saved.team.id == saved.file.id == result.team.id
        assert set(saved.team.engine) == {"max_num_active_seqs", "quantization"}
        assert saved.file.engine_options.fixed == {
            "prefix_caching": True,
            "kv_cache_dtype": "auto",
            "tensor_parallel": 2,
            **saved.team.engine,
        }
        (example, *_) = next(b for b in run.blocks if b.team == result.team.id and b.phase == "search").examples
        number = example.id.removeprefix("q")
        assert saved.run(f"What is {number} + {number}?") == example.answer


ROLES = {
    "solo": {"instruction": "Think.", "max_tokens": 7, "temperature": 0.5, "output": {"type": "string"}},
    "voter": {"instruction": "Never used by a single agent."},
}


def test_a_team_file_has_the_roles_that_the_team_was_measured_with(quick_path: Path) -> None:
    search = {"single": {"model": "small", "temperature": 0.0}, "vote": {"model": "small", "agents": 2}}
    path = write_study(quick_path / "study", search=search, roles=ROLES, budget={"trials": 2})
    run = orkester.tune(path, quick_path / "run")
    for result in run.results.front:
        saved = orkester.load_team(quick_path / "run" / "teams" / f"{result.team.id}.json")
        known = orkester.load_study(path).task.roles
        assert saved.settings.roles == {name: known[name] for name in topology(result.team.topology).roles}
        models, asked = scripted_models(lambda call: "4")
        asyncio.run(saved.team.answer("What is 2 + 2?", models, saved.settings))
        for call in asked:
            role = known[call.agent]
            assert call.messages[0] == {"role": "system", "content": role.instruction}
            assert call.max_tokens == (7 if call.agent == "solo" else 16)
            assert call.response_format == role.response_format


def test_a_team_file_of_the_second_version_has_the_roles_of_the_packs(team_path: Path, tmp_path: Path) -> None:
    saved = orkester.load_team(altered(team_path, tmp_path, schema_version=2, roles=...))
    assert saved.team == orkester.load_team(team_path).team
    assert saved.settings.roles == {}


def test_a_team_file_of_the_first_version_is_loaded(team_path: Path, tmp_path: Path) -> None:
    data = json.loads(team_path.read_text())
    options = {key: data["engine_options"][key] for key in ("slots", "context_tokens", "threads", "prefix_caching")}
    path = altered(team_path, tmp_path, schema_version=1, engine_options=options, engine_searched=..., roles=...)
    saved, now = orkester.load_team(path), orkester.load_team(team_path)
    assert saved.team == now.team
    assert saved.file.engine_options == now.file.engine_options


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"{}"])
def test_a_file_that_is_no_team_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "team.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="this is not a team file"):
        orkester.load_team(path)


def test_a_team_file_that_is_not_there_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such team file; a study writes its front to runs/NAME/teams/"):
        orkester.load_team(tmp_path / "team.json")
    with pytest.raises(InputError, match="this is not a team file"):
        orkester.load_team(tmp_path)
