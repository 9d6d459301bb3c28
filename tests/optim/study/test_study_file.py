"""What a study file may say, and what is said of one that cannot be used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from refusals import ELSEWHERE, LLAMACPP, line_of, refusal
from support import write_study

import orkester
from orkester.evals.footprint import grids
from orkester.optim.goals.goal import limit
from orkester.optim.study.engine_parts import EngineOptionsPart, VllmPart, VllmSettings
from orkester.optim.study.parts import EnergyPart
from orkester.optim.study.yaml_source import listed


def test_a_missing_key_is_named_with_its_place(tmp_path: Path) -> None:
    path = write_study(tmp_path, task={"data": None}, models=None)
    message = refusal(path)
    assert f"{path}:{line_of(path, 'task:')}: task: the key 'data' is missing" in message
    assert f"{path}:1: the key 'models' is missing" in message


def test_a_misspelt_address_names_the_right_key(tmp_path: Path) -> None:
    path = write_study(tmp_path, engine={"base_urll": "http://127.0.0.1:8000/v1"})
    message = refusal(path)
    assert (
        f"{path}:{line_of(path, 'base_urll:')}: engine.base_urll: unknown key 'base_urll' (did you mean 'base_url'?)"
        in message
    )
    assert f"{path}:{line_of(path, 'engine:')}: engine: the key 'base_url' is missing" in message
    assert len(message.splitlines()) == 2


def test_the_default_objectives_are_explained_where_energy_cannot_be_had(tmp_path: Path) -> None:
    message = refusal(write_study(tmp_path, **ELSEWHERE, objectives=None))
    assert "give objectives without it: {quality: maximize, latency_p50_s: minimize}" in message


def test_the_energy_part_says_what_a_joule_means(tmp_path: Path) -> None:
    (tmp_path / "joules.csv").write_text("time_s,gpu:0\n")
    energy = {"region": "DE", "pue": 1.3, "gpu_hour_eur": 2, "meter": {"replay": "joules.csv"}}
    study = orkester.load_study(write_study(tmp_path, energy=energy, objectives={"cost_eur": "minimize"}))
    found = study.file.energy.footprint
    assert (found.region, found.pue, found.gpu_hour_eur, found.price_eur_per_kwh) == ("DE", 1.3, 2.0, None)
    assert found.carbon_g_per_kwh == grids()["DE"].carbon_g_per_kwh
    assert study.identity()["energy"] == energy
    assert EnergyPart.model_validate(study.identity()["energy"]) == study.file.energy


def test_a_study_without_an_energy_part_is_the_same_study_as_before_there_was_one(tmp_path: Path) -> None:
    plain = orkester.load_study(write_study(tmp_path))
    assert "energy" not in plain.identity()
    said = orkester.load_study(write_study(tmp_path, energy={"region": "SE", "pue": 1}))
    assert said.id == plain.id
    assert orkester.load_study(write_study(tmp_path, energy={"region": "DE"})).id != plain.id


def test_a_block_may_be_larger_than_the_examples_when_nobody_asked_for_its_size(tmp_path: Path) -> None:
    study = orkester.load_study(write_study(tmp_path, measure={"examples": 4, "block": None}))
    assert study.file.measure.block == 8


def test_all_faults_of_the_form_are_shown_at_once(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, objectives={"qualty": "maximize"}, seed="x", measure={"blok": 1}, engine={"fake": {"data": 3}}
    )
    message = refusal(path)
    keys = [line.split(": ")[1] for line in message.splitlines()]
    assert sorted(keys) == ["engine.fake.data", "measure.blok", "objectives.qualty", "seed"]


def test_all_faults_of_the_meaning_are_shown_at_once(tmp_path: Path) -> None:
    path = write_study(
        tmp_path,
        engine="auto",
        models=["smol", "arithmetic-80k"],
        search={"vot": {}, "single": {"temp": 1.0, "model": "arithmetic"}},
        task={"scorer": "exat", "data": "absent.jsonl"},
    )
    message = refusal(path)
    assert len(message.splitlines()) == 6
    for text in ("'vot'", "'temp'", "'arithmetic'", "'exat'", "absent.jsonl: the data file does not exist", "'smol'"):
        assert text in message


def test_a_model_that_completes_is_asked_so_and_the_others_are_chatted_with(tmp_path: Path) -> None:
    models = orkester.load_study(write_study(tmp_path, task={"shots": 2, "completion": ["small"]})).models
    assert models["small"].base
    assert models["small"].stop == ("\n",)
    assert "Q: {{ m['content'] }}" in models["small"].chat_template
    assert not models["large"].base
    assert models["large"].chat_template == ""


def test_a_scorer_that_cannot_read_the_right_answers_is_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path, task={"scorer": "numeric"})
    data = tmp_path / "data.jsonl"
    data.write_text(data.read_text().replace('"answer": "14"', '"answer": "quatorze"'))
    message = refusal(path)
    assert f"{path}:{line_of(path, 'scorer: numeric')}: task.scorer:" in message
    assert "numeric gives no point to 'quatorze', which the example 'q7' says is right" in message


def test_many_faults_still_fit_a_screen(tmp_path: Path) -> None:
    message = refusal(write_study(tmp_path, **{f"key{i}": i for i in range(40)}))
    lines = message.splitlines()
    assert len(lines) == 8
    assert lines[-1] == "… and 33 faults more"


def test_a_fault_is_said_once() -> None:
    assert listed(["a", "b", "a"]) == "a\nb"


# Contents of the file; the line that is named; what is said.
UNREADABLE: list[tuple[bytes, int, str]] = [
    (b"name: a\nseed: 1\nname: b\n", 3, "the key 'name' appears twice"),
    (b"name: a\ntask:\n  data: x\n  data: y\n", 4, "the key 'data' appears twice"),
    (b"name: [a\nb: }", 2, "this is not YAML"),
    (b"name: a\n\tseed: 1\n", 2, "this is not YAML"),
    (b"name: a\nseed: \x01\n", 2, "control character #x0001"),
    (b"name: a\n---\nname: b\n", 2, "this is not YAML"),
    (b"name: !!python/object:os.system {}\n", 1, "this is not YAML"),
    (b"name: a\n# caf\xe9\n", 2, "this is not UTF-8 text; save the file as UTF-8"),
    (b"- a\n- b\n", 1, "a study file is a mapping with the keys name, task"),
    (b"", 1, "but got nothing"),
    (b"hello\n", 1, "but got 'hello'"),
    (b"1: 2\n", 1, "keys are text, but got 1"),
]


@pytest.mark.parametrize(("content", "line", "said"), UNREADABLE)
def test_a_file_that_is_no_study_is_answered_with_its_line(
    tmp_path: Path, content: bytes, line: int, said: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    message = refusal(path)
    assert any(entry.startswith(f"{path}:{line}: ") and said in entry for entry in message.splitlines()), message


def test_a_date_that_is_none_is_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: 2020-13-45\n")
    assert "needs quotes" in refusal(path)


def test_an_anchor_that_contains_itself_is_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("models: &a [*a]\nsearch: &s {single: {model: *s}}\n")
    assert "models.0: takes text" in refusal(path)


@pytest.mark.parametrize("nested", ["[" * 3000 + "]" * 3000, "{a: " * 3000 + "1" + "}" * 3000])
def test_a_file_that_is_nested_too_deeply_is_refused_with_its_line(tmp_path: Path, nested: str) -> None:
    path = write_study(tmp_path)
    lines = path.read_text().count("\n")
    path.write_text(f"{path.read_text()}roles: {nested}\n")
    assert (
        refusal(path) == f"{path}:{lines + 1}: this is nested in more than 50 levels; no key of a study needs so many"
    )


def test_a_direction_that_is_unusual_is_noted(tmp_path: Path) -> None:
    study = orkester.load_study(write_study(tmp_path, objectives={"quality": "minimize", "calls": "minimize"}))
    assert study.notes == ["objectives.quality is minimized in this study; usually it is maximized. Is this intended?"]
    assert orkester.load_study(write_study(tmp_path)).notes == []


def test_aliases_of_aliases_are_walked_once(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))]  # 2**60 leaves
    path.write_text("\n".join(lines))
    assert "unknown key 'a0'" in refusal(path)


def test_a_file_that_is_not_there_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.yaml") == f"{tmp_path / 'absent.yaml'}: there is no such study file"
    assert "is a folder; a study file was expected" in refusal(tmp_path)


def test_a_byte_order_mark_is_no_fault(study_file: Path) -> None:
    plain = orkester.load_study(study_file)
    study_file.write_bytes(b"\xef\xbb\xbf" + study_file.read_bytes())
    assert orkester.load_study(study_file).id == plain.id


def test_the_name_is_the_files_unless_given(tmp_path: Path) -> None:
    path = write_study(tmp_path, name=None).rename(tmp_path / "sums.yaml")
    assert orkester.load_study(path).name == "sums"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("<= 10", ("<=", 10.0)), (">=.5", (">=", 0.5)), (" <= -1e-3 ", ("<=", -0.001)), ("<= 2.", ("<=", 2.0))],
)
def test_a_limit_is_a_comparison_and_a_number(text: str, expected: tuple[str, float]) -> None:
    assert limit(text) == expected


# -- engines ----------------------------------------------------------------------------------------------------------

VLLM: dict[str, Any] = {**LLAMACPP, "engine": "vllm"}
SEARCHED: dict[str, Any] = {
    "prefix_caching": [True, False],
    "max_num_active_seqs": [2, 4, 2],
    "kv_cache_dtype": ["auto", "fp8"],
    "quantization": ["none", "fp8"],
    "tensor_parallel": [1, 2],
}


def options(path: Path) -> EngineOptionsPart:
    return orkester.load_study(path).file.engine_options


@pytest.mark.parametrize("engine", ["vllm", {"vllm": {}}, {"fake": {}}], ids=["vllm", "vllm with settings", "fake"])
def test_vllm_takes_every_option_one_or_several_and_so_does_the_fake(tmp_path: Path, engine: Any) -> None:
    study = {**VLLM, "engine": engine}
    plain = options(write_study(tmp_path / "a", **study, engine_options={name: v[1] for name, v in SEARCHED.items()}))
    assert plain.choices == {}
    assert plain.fixed == {
        "prefix_caching": False,
        "max_num_active_seqs": 4,
        "kv_cache_dtype": "fp8",
        "quantization": "fp8",
        "tensor_parallel": 2,
    }
    several = options(write_study(tmp_path / "b", **study, engine_options=SEARCHED))
    assert several.choices == {
        "prefix_caching": (True, False),
        "max_num_active_seqs": (2, 4),
        "kv_cache_dtype": ("auto", "fp8"),
        "quantization": (None, "fp8"),
        "tensor_parallel": (1, 2),
    }
    chosen = {"max_num_active_seqs": 4, "prefix_caching": False}
    assert several.settled(chosen).fixed == {**{name: v[0] for name, v in several.choices.items()}, **chosen}


def test_engine_options_that_came_later_make_no_other_study_until_they_are_used(tmp_path: Path) -> None:
    plain = orkester.load_study(write_study(tmp_path / "a"))
    assert set(plain.identity()["engine_options"]) == {"slots", "context_tokens", "threads", "prefix_caching"}
    for number, (name, asked) in enumerate({**SEARCHED, "prefix_cache": "warm"}.items()):
        other = orkester.load_study(write_study(tmp_path / str(number), engine_options={name: asked}))
        assert other.identity()["engine_options"][name] != plain.identity()["engine_options"].get(name)
        assert other.id != plain.id


def test_a_list_of_one_value_is_that_value(tmp_path: Path) -> None:
    found = options(write_study(tmp_path, **VLLM, engine_options={"max_num_active_seqs": [2, 2]}))
    assert found.choices == {}
    assert found.fixed["max_num_active_seqs"] == 2


@pytest.mark.parametrize("engine", ["auto", "llamacpp"])
def test_prefix_caching_may_be_searched_where_llama_cpp_serves(tmp_path: Path, engine: str) -> None:
    found = options(
        write_study(tmp_path, **{**LLAMACPP, "engine": engine}, engine_options={"prefix_caching": [True, False]})
    )
    assert found.choices == {"prefix_caching": (True, False)}


@pytest.mark.parametrize(
    ("asked", "slots"),
    [({}, 8), ({"slots": 5}, 5), ({"max_num_active_seqs": [2, 20]}, 20), ({"max_num_active_seqs": 3}, 8)],
)
def test_there_are_slots_for_teams_that_fan_out_and_for_what_vllm_works_on(
    tmp_path: Path, asked: dict[str, Any], slots: int
) -> None:
    assert options(write_study(tmp_path, **VLLM, engine_options=asked)).slots_for(4) == slots


def test_vllms_own_options_are_passed_on_as_they_are(tmp_path: Path) -> None:
    asked = {
        "enforce-eager": True,
        "block-size": 32,
        "dtype": "float16",
        "swap-space": 0.5,
        "compilation-config.mode": 0,
    }
    path = write_study(tmp_path, **{**LLAMACPP, "engine": {"vllm": {"options": asked}}})
    engine = orkester.load_study(path).file.engine
    assert isinstance(engine, VllmPart)
    assert engine.vllm.options == asked
    assert [type(value) for value in engine.vllm.options.values()] == [bool, int, str, float, int]


def test_vllms_python_is_sought_from_the_study_files_folder(tmp_path: Path) -> None:
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    path = write_study(tmp_path, **{**LLAMACPP, "engine": {"vllm": {"python": "env/bin/python"}}})
    engine = orkester.load_study(path).file.engine
    assert isinstance(engine, VllmPart)
    assert engine.vllm.interpreter(tmp_path) == python
    assert VllmSettings(python=str(python)).interpreter(Path("elsewhere")) == python
    assert VllmSettings().interpreter(tmp_path) is None


@pytest.mark.parametrize(
    "key", ["sk-proj-Ab12Cd34Ef56Gh78", "Ab12Cd34Ef56Gh78Ij90Kl12", 1234567890123456, ["sk-Ab12Cd34"]]
)
@pytest.mark.parametrize(
    "change",
    [
        lambda key: {"engine": {"base_url": "http://x/v1", "api_key_env": key}},
        lambda key: {"engine": {"base_url": "http://x/v1", "api_key": key}},
        lambda key: {"engine": {"base_url": "http://x/v1", "headers": {"Authorization": key}}},
        lambda key: {"models": ["small", {"large": {"request": {"extra": {"api_key": key, "x": "sk-Ab12Cd34"}}}}]},
    ],
)
def test_a_key_in_a_study_file_is_in_no_message(
    key: Any, change: Callable[[Any], dict[str, Any]], tmp_path: Path
) -> None:
    said = refusal(write_study(tmp_path, **change(key)))
    assert "Ab12" not in said
    assert "1234567890123456" not in said


def test_the_temperature_of_a_model_without_one_may_be_searched_for_other_models(tmp_path: Path) -> None:
    models = ["small", {"large": {"request": {"drop": ["temperature"]}}}]
    search = {
        "single": {"model": "any", "temperature": 0.7},
        "vote": {"agents": 2, "model": "small", "temperature": [0.3, 1.0]},
        "cascade": {"first": "small", "then": "large", "votes": 2, "temperature": [0.3, 1.0], "agreement": 1.0},
    }
    study = orkester.load_study(write_study(tmp_path, models=models, search=search))
    assert study.models["large"].request.drop == ("temperature",)
    assert study.identity()["models"]["large"] == {
        "source": "fake",
        "sha256": None,
        "request": {"drop": ["temperature"]},
    }
    plain = orkester.load_study(write_study(tmp_path, search=search))
    assert plain.id != study.id
    assert "request" not in plain.identity()["models"]["large"]
