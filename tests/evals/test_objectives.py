"""Objectives are found by their files, and nobody else knows their names."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from own_objectives import added
from support import ROOT

from orkester.errors import InputError
from orkester.evals.objectives import Objective, PerBlock, PerCall, PerSuccess, Quantile, Share, objective, objectives
from orkester.evals.objectives._joules import joules
from orkester.evals.summaries.rows import rows_of, team_rows
from orkester.testing.blocks import block, call, result

#: Where names of objectives may stand: their own files.
HOME = ROOT / "evals" / "objectives"
PRODUCT = sorted(
    path
    for folder in ("bench", "optim", "evals", "graphs", "agents", "serving", "telemetry", "src/orkester")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts and HOME not in path.parents
)
#: Methods that look up a name, and those that match a part of one.
LOOKING_UP = {"get", "pop", "index", "count"}
MATCHING = {"startswith", "endswith", "removeprefix", "removesuffix"}


# -- the lookup -------------------------------------------------------------------------------------------------------


def test_objectives_are_found_by_file_and_stay_in_the_same_order() -> None:
    first_ones = [
        "calls",
        "co2e_g",
        "cost_eur",
        "energy_j",
        "energy_j_per_success",
        "energy_idle_j",
        "failure_rate",
        "input_tokens",
        "latency_p50_s",
        "latency_p95_s",
        "latency_mean_s",
        "output_tokens",
        "quality",
    ]
    assert [name for name in objectives() if name in first_ones] == first_ones
    assert all(objective(name) is each for name, each in objectives().items())


@pytest.mark.parametrize(
    ("name", "near"), [("qualty", "quality"), ("energy", "energy_j"), ("input_token", "input_tokens")]
)
def test_an_unknown_name_is_answered_with_the_nearest_known_one(name: str, near: str) -> None:
    with pytest.raises(InputError, match=rf"^unknown objective '{name}' \(did you mean '{near}'\?\)\. Known: "):
        objective(name)


def test_two_files_must_not_define_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "twice.py").write_text("from orkester.evals.objectives.quality import OBJECTIVES\n")
    with added(tmp_path), pytest.raises(ValueError, match=r"two objectives with the name 'quality'"):
        objectives()


def test_pieces_that_do_not_go_together_are_refused() -> None:
    for statistic in (Share(), Quantile(0.5, variance_ratio=1.57)):
        with pytest.raises(ValueError, match="odd needs a number for each example, but energy_j is metered by block"):
            Objective(name="odd", meaning="", column=objective("energy_j").column, statistic=statistic)
    with pytest.raises(ValueError, match="a share has no unit, but odd has 's'"):
        Objective(name="odd", unit="s", meaning="", column=objective("quality").column, statistic=Share())


def test_columns_of_the_same_name_are_the_same_column() -> None:
    columns = [column for each in objectives().values() for column in (each.column, *each.statistic.extra_columns)]
    assert {column.name: column for column in columns} == {column.name: column for column in reversed(columns)}
    assert list(rows_of(block())) == list(dict.fromkeys(column.name for column in columns))


# -- pieces that no objective of ours puts together --------------------------------------------------------------------


def test_tokens_per_success_are_put_together_from_the_same_pieces() -> None:
    wasteful = Objective(
        name="tokens_per_success",
        meaning="Generated tokens per example answered right.",
        column=PerCall(name="output_tokens", of=lambda call: call.output_tokens),
        statistic=PerSuccess(),
    )
    parts = (result(0, calls=(call(), call())), result(1, score=0.0))
    made = [block(index=index, examples=parts) for index in range(3)]
    found = wasteful.estimate(made, None)
    assert found is not None
    assert (found.value, found.low, found.high, found.n) == (15.0, 15.0, 15.0, 6)
    rows = team_rows(made)
    assert wasteful.value(rows.columns) == 15.0
    assert wasteful.known(rows)
    assert wasteful.optimistic_bound(rows, "maximize", 0.05) is None
    uncounted = [block(examples=(result(0, calls=(call(output_tokens=None),)),))]
    assert wasteful.estimate(uncounted, None) is None
    assert not wasteful.known(team_rows(uncounted))


def test_what_is_metered_by_block_is_spread_over_its_examples_and_has_no_values_of_its_own() -> None:
    doubled = PerBlock(name="doubled", total=joules, convert=lambda energy_j, footprint: 2 * energy_j)
    assert doubled.values([block()]) is None
    assert np.isnan(doubled.of_block(block(), None)).all()  # there is no footprint to convert by
    assert doubled.totals([block()], None) is None
    assert objective("energy_j").column.of_block(block(examples=4), None).tolist() == [1.0] * 4


# -- nobody else knows -------------------------------------------------------------------------------------------------


def matched(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names of objectives, and parts of names, that are compared, looked up or matched, with their lines."""
    for node in ast.walk(tree):
        whole: list[ast.expr] = []
        part: list[ast.expr] = []
        match node:
            case ast.Compare(left=left, comparators=comparators):
                whole = [left, *comparators]
            case ast.MatchValue(value=value) | ast.Subscript(slice=value):
                whole = [value]
            case ast.Call(func=ast.Attribute(attr=method), args=args) if method in LOOKING_UP:
                whole = args
            case ast.Call(func=ast.Attribute(attr=method), args=args) if method in MATCHING:
                part = args
            case ast.Call(func=ast.Name(id="set" | "frozenset"), args=args):
                whole = args
        yield from ((line, text) for line, text in literals(whole) if text in objectives())
        yield from (
            (line, text)
            for line, text in literals(part)
            if len(text) > 3 and any(name.startswith(text) or name.endswith(text) for name in objectives())
        )


def literals(nodes: Iterable[ast.expr]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        for each in ast.walk(node):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                yield each.lineno, each.value


@pytest.mark.parametrize(
    "code",
    [
        'name == "energy_j"',
        '"quality" != name',
        'name in {"co2e_g", "cost_eur"}',
        'name.startswith("latency")',
        'name.endswith("_tokens")',
        'estimates["failure_rate"]',
        'estimates.get("failure_rate")',
        'ENERGY = frozenset({"energy_j"})',
        'match name:\n    case "a" | "calls":\n        pass',
    ],
)
def test_the_search_for_names_finds_them(code: str) -> None:
    assert list(matched(ast.parse(code)))


def test_no_other_module_matches_the_name_of_an_objective() -> None:
    assert len(PRODUCT) > 150
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for path in PRODUCT
        for line, text in matched(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found


def test_input_tokens_are_one_file() -> None:
    searched = [
        path
        for path in PRODUCT
        if path.relative_to(ROOT).parts[0] in {"evals", "optim", "src"} and "testing" not in path.parts
    ]
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in searched
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Constant) and node.value == "input_tokens")
        or (isinstance(node, ast.ImportFrom) and (node.module or "").endswith("objectives.input_tokens"))
    ]
    assert not found
    (defined,) = [path.name for path in HOME.glob("*.py") if '"input_tokens"' in path.read_text(encoding="utf-8")]
    assert defined == "input_tokens.py"
