"""The real engine on real weights: the smallest model of the repository's own family."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT, quick_folder, write_study

import orkester
from orkester.errors import EngineError

MODEL = "arithmetic-80k"


def arithmetic(folder: Path, **changes: object) -> Path:
    """A study of one real model on the example's data."""
    path = write_study(
        folder,
        whole=True,
        **{
            "name": "arithmetic",
            "task": {"data": "sums.jsonl", "scorer": "numeric", "confirm": 0.5, "max_tokens": 8},
            "models": [MODEL],
            "engine": "llamacpp",
            "engine_options": {"context_tokens": 256, "threads": 1},
            "search": {"single": {"model": "any"}, "vote": {"agents": [2, 3], "model": "any", "temperature": 0.5}},
            "objectives": {"quality": "maximize", "latency_p50_s": "minimize", "energy_j": "minimize"},
            "measure": {"examples": 8, "block": 4, "concurrency": 2, "deadline_s": 60},
            "budget": {"trials": 3},
            **changes,
        },
    )
    rows = (ROOT / "examples" / "arithmetic.jsonl").read_text().splitlines()[:16]
    (folder / "sums.jsonl").write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def run() -> Iterator[orkester.Run]:
    with quick_folder() as folder:
        yield orkester.tune(arithmetic(folder / "study"), folder / "run")


def test_a_study_on_llama_cpp_ends_with_a_confirmed_front(run: orkester.Run) -> None:
    assert len(run.results.teams) == 3
    assert run.results.front
    for result in run.results.teams:
        assert result.infeasible == ""
        assert result.search is not None
        assert result.search.failures == {}
        assert result.search.examples == 8
    for result in run.results.front:
        assert result.confirmed is not None
        assert result.confirmed.examples == 8
    assert run.report.is_file()


def test_the_answers_are_numbers_and_some_are_right(run: orkester.Run) -> None:
    answers = [example.answer for block in run.blocks for example in block.examples]
    assert all(answer is not None and answer.lstrip("-").isdigit() for answer in answers)
    assert any(example.score == 1 for block in run.blocks for example in block.examples)


def test_one_team_is_measured_in_memory_without_a_run(run: orkester.Run, quick_path: Path) -> None:
    single = next(result.team for result in run.results.teams if result.team.topology == "single")
    study = arithmetic(quick_path)
    before = sorted(quick_path.rglob("*"))
    found = orkester.evaluate(study, single, confirm=True)
    assert (found.team, found.phase, found.examples, found.blocks) == (single.id, "confirm", 8, 2)
    assert found.failures == {}
    assert found.energy_method == "estimate"
    assert found.estimates["energy_j"].value > 0
    assert sorted(quick_path.rglob("*")) == before


def test_the_energy_is_an_estimate_of_what_engine_and_orkester_used(run: orkester.Run) -> None:
    for block in run.blocks:
        assert block.energy_method == "estimate"
        assert set(block.energy_assumptions) >= {
            "active_w_per_core",
            "low_w_per_core",
            "high_w_per_core",
            "not_included",
        }
        assert block.energy_j is not None
        assert set(block.energy_j) == {"orkester", f"engine:{MODEL}"}
        assert all(joules > 0 for joules in block.energy_j.values())
    for result in run.results.teams:
        assert result.search is not None
        assert result.search.estimates["energy_j"].value > 0
        shares = [share.energy_j or 0.0 for share in result.agents]
        assert sum(shares) + (result.residual_j or 0.0) == pytest.approx(result.search.estimates["energy_j"].value)


def test_tokens_are_counted_by_the_engine(run: orkester.Run) -> None:
    calls = [call for block in run.blocks for example in block.examples for call in example.calls]
    assert all(call.input_tokens and call.output_tokens and call.output_tokens <= 8 for call in calls)
    facts = run.blocks[0].engines[MODEL]
    assert facts["engine"] == "llamacpp"
    assert facts["weights"] == f"{MODEL}.gguf"


def test_a_trace_is_written_for_every_example(run: orkester.Run) -> None:
    spans = [
        span
        for path in (run.path / "traces").glob("spans-*.jsonl")
        for line in path.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    names = [span["name"] for span in spans]
    examples = sum(len(block.examples) for block in run.blocks)
    calls = sum(len(example.calls) for block in run.blocks for example in block.examples)
    assert sum(name.startswith("example ") for name in names) == examples
    assert names.count(f"chat {MODEL}") == calls
    assert names.count("study arithmetic") == 1
    assert sum(name.startswith("trial ") for name in names) >= 3


def test_the_energy_table_joins_the_spans_and_adds_up_to_the_meter(run: orkester.Run) -> None:
    traces = run.path / "traces"
    spans = "".join(path.read_text() for path in traces.glob("spans-*.jsonl"))
    rows = [json.loads(line) for path in traces.glob("energy-*.jsonl") for line in path.read_text().splitlines()]
    shares = [row for row in rows if row.get("scope") == "chat"]
    assert len(shares) == sum(len(example.calls) for block in run.blocks for example in block.examples)
    assert all(row["span_id"] in spans and row["trace_id"] in spans and row["energy_j"] >= 0 for row in shares)
    totals: dict[str, dict[str, float]] = {}
    for row in rows:
        kind = "meter" if row["name"] == "hw.energy" else "parts"
        sums = totals.setdefault(json.dumps(row["block"]), {"meter": 0.0, "parts": 0.0})
        sums[kind] += row["energy_j"]
    assert len(totals) == len(run.blocks)
    for sums in totals.values():
        assert sums["parts"] == pytest.approx(sums["meter"], rel=1e-6)


def test_the_winner_answers_a_question_on_engines_of_its_own(run: orkester.Run) -> None:
    winner = run.results.front[0]
    saved = orkester.load_team(run.path / "teams" / f"{winner.team.id}.json")
    assert saved.team == winner.team
    assert saved.run("What is 12 + 34?").lstrip("-").isdigit()


def test_weights_that_no_engine_can_load_end_a_study_with_the_engines_last_words(quick_path: Path) -> None:
    (quick_path / "broken.gguf").write_bytes(b"GGUF" + bytes([3, 0, 0, 0]) + bytes(2000))  # neither keys nor tensors
    study = arithmetic(quick_path / "study", models=["../broken.gguf"], search={"single": {}})
    with pytest.raises(EngineError) as raised:
        orkester.tune(study, quick_path / "run")
    message = str(raised.value)
    assert raised.value.exit_code == 1
    assert "ended while starting" in message
    assert "failed to load model" in message
    assert f"the whole log: {quick_path / 'run' / 'logs'}" in message
    assert len(message.splitlines()) <= 24


def test_a_role_has_its_output_form_in_the_study_and_in_the_saved_team() -> None:
    with quick_folder() as folder:
        search = {"single": {"model": "any", "temperature": 0.0}}
        solo = {"output": {"enum": [7, 9]}, "max_tokens": 32}  # llama.cpp lets a model put a fence around JSON
        study = arithmetic(folder / "study", search=search, roles={"solo": solo})
        run = orkester.tune(study, folder / "run")
        results = [example for block in run.blocks for example in block.examples]
        assert {example.failure for example in results} == {None}
        assert {example.answer for example in results} <= {"7", "9"}
        (path,) = (run.path / "teams").iterdir()
        saved = orkester.load_team(path)
        assert saved.run("What is 12 + 34?") in {"7", "9"}
