"""Study files that are written and read again, and what makes two of them the same study."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import yaml
from hypothesis import HealthCheck, given, settings
from support import STUDY, merged, write_study

import orkester
from orkester.agents import Role
from orkester.agents.packs import known_roles
from orkester.evals.objectives import objectives
from orkester.optim.study.space import space_of
from orkester.optim.study.study_file import StudyFile, read_study_file

# -- round trip -------------------------------------------------------------------------------------------------------

_WORDS = st.text("abcxyz-._0 19", min_size=1, max_size=8)
_ENGINES = st.one_of(
    st.sampled_from(["auto", "llamacpp", "vllm"]),
    st.fixed_dictionaries(
        {
            "vllm": st.fixed_dictionaries(
                {},
                optional={
                    "python": _WORDS | st.none(),
                    "options": st.dictionaries(
                        st.sampled_from(["enforce-eager", "block-size", "compilation-config.mode"]),
                        st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _WORDS,
                        max_size=2,
                    ),
                },
            )
        }
    ),
    st.fixed_dictionaries(
        {"base_url": st.just("http://127.0.0.1:8000/v1")},
        optional={
            "api_key_env": st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True),
            "requests_per_s": st.floats(0.1, 99),
            "concurrency": st.integers(1, 99),
        },
    ),
    st.fixed_dictionaries(
        {
            "fake": st.fixed_dictionaries(
                {},
                optional={
                    "accuracy": st.floats(0, 1) | st.dictionaries(_WORDS, st.floats(0, 1), max_size=2),
                    "faults": st.lists(
                        st.fixed_dictionaries({"kind": st.sampled_from(["400", "die", "hang"])}), max_size=2
                    ),
                },
            )
        }
    ),
)


def _one_or_more(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, min_size=1, max_size=3)


def _ranges(numbers: Callable[[], st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return numbers() | st.lists(numbers(), min_size=2, max_size=2).map(sorted)


_SEARCH = st.dictionaries(
    st.just("vote"),
    st.fixed_dictionaries(
        {},
        optional={
            "agents": _ranges(lambda: st.integers(1, 9)),
            "temperature": _ranges(lambda: st.integers(0, 24).map(lambda i: i / 20)),
            "model": st.sampled_from(["any", "small", ["large"], ["small", "large"]]),
        },
    )
    | st.none(),
    min_size=1,
)
_STUDIES = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True),
        "task": st.fixed_dictionaries(
            {"data": _WORDS},
            optional={
                "scorer": st.sampled_from(["exact", {"numeric": {"tolerance": 0.1}}, "mine:score"]),
                "confirm": st.floats(0.01, 0.99),
                "shots": st.integers(0, 9),
                "instruction": st.text(max_size=20),
                "extract": st.sampled_from([None, "(.*)"]),
                "fields": st.dictionaries(st.sampled_from(["id", "question", "answer"]), _WORDS, max_size=3),
            },
        ),
        "models": st.just(["small", "large"]),
        "search": _SEARCH,
    },
    optional={
        "engine": _ENGINES,
        "engine_options": st.fixed_dictionaries(
            {},
            optional={
                "slots": st.integers(4, 9) | st.none(),
                "prefix_cache": st.sampled_from(["cold", "warm"]),
                "prefix_caching": _one_or_more(st.booleans()),
                "max_num_active_seqs": _one_or_more(st.integers(1, 4)) | st.none(),
                "kv_cache_dtype": _one_or_more(_WORDS),
                "quantization": _one_or_more(st.sampled_from(["fp8", "none", None])),
                "tensor_parallel": _one_or_more(st.integers(1, 8)),
            },
        ),
        "objectives": st.dictionaries(
            st.sampled_from(list(objectives())), st.sampled_from(["maximize", "minimize"]), min_size=1, max_size=4
        ),
        "constraints": st.dictionaries(
            st.sampled_from(list(objectives())),
            st.tuples(st.sampled_from(["<=", ">="]), st.floats(-1e6, 1e6)).map(lambda pair: f"{pair[0]} {pair[1]}"),
            max_size=2,
        ),
        "measure": st.fixed_dictionaries({}, optional={"block": st.integers(1, 9), "deadline_s": st.integers(1, 99)}),
        "budget": st.fixed_dictionaries({}, optional={"trials": st.integers(1, 99), "minutes": st.floats(0.1, 99)}),
        "seed": st.integers(0, 2**32 - 1),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=_STUDIES)
def test_a_study_file_survives_the_way_to_disk_and_back(tmp_path: Path, asked: dict[str, Any]) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(asked, allow_unicode=True), encoding="utf-8")
    read, source = read_study_file(path)
    assert all(
        getattr(read, key) == value for key, value in asked.items() if key in {"name", "models", "search", "seed"}
    )
    assert StudyFile.model_validate(read.model_dump()) == read
    path.write_text(yaml.safe_dump(read.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    again, _ = read_study_file(path)
    assert again == read
    assert again.model_dump(mode="json") == read.model_dump(mode="json")
    assert space_of(read, source)[1] == []


def test_the_studys_identity_is_all_that_was_asked_but_the_budget(tmp_path: Path) -> None:
    first = orkester.load_study(write_study(tmp_path / "a"))
    more = orkester.load_study(write_study(tmp_path / "b", budget={"trials": 60}))
    other = orkester.load_study(write_study(tmp_path / "c", seed=4))
    assert first.id == more.id
    assert first.id != other.id


def test_roles_make_another_study_once_they_are_given(tmp_path: Path) -> None:
    plain = orkester.load_study(write_study(tmp_path / "a"))
    assert "roles" not in plain.identity()
    assert orkester.load_study(write_study(tmp_path / "b", roles={})).id == plain.id
    asked = {"solo": {"instruction": "Think.", "max_tokens": None}}
    other = orkester.load_study(write_study(tmp_path / "c", roles=asked))
    assert other.identity()["roles"] == asked
    assert other.id != plain.id


def test_a_role_of_the_file_is_that_of_the_pack_with_what_is_said(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "integer"}}}
    asked = {
        "solo": {"instruction": "Think.\n{task}", "temperature": 0.5},
        "debater": {"max_tokens": 9, "sees": "last_draft", "output": schema},
    }
    search = {"single": {}, "debate": {}}
    study = orkester.load_study(write_study(tmp_path, search=search, roles=asked))
    packs = known_roles()
    assert study.task.roles == {
        "solo": replace(packs["solo"], instruction="Think.\n{task}", temperature=0.5),
        "debater": replace(packs["debater"], max_tokens=9, sees="last_draft", output=schema),
    }
    assert study.task.roles["debater"].drafts == packs["debater"].drafts != Role.drafts


def test_other_data_make_another_study(tmp_path: Path) -> None:
    first = orkester.load_study(write_study(tmp_path / "a"))
    other = orkester.load_study(write_study(tmp_path / "b", examples=21))
    assert merged(STUDY, {}) == STUDY
    assert first.id != other.id
