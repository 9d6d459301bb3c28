"""Routing policies of a study file: their options, and whose records they learn from."""

from pathlib import Path
from typing import Any

import pytest
from support import write_study

import orkester
from orkester.agents.routing import RoutingRecord, RoutingRequest
from orkester.errors import InputError
from orkester.evals.task import Example
from orkester.graphs import Team
from orkester.optim.study.routing import first_records, records_of
from orkester.testing.blocks import block, result

ROUTER = {"first": "small", "second": "large", "routing": ["rule", "learnt"]}
SEARCH = {"single": {"model": "any"}, "router": ROUTER}


def refusal(folder: Path, **changes: Any) -> list[str]:
    path = write_study(folder, **changes)
    with pytest.raises(InputError) as raised:
        orkester.load_study(path)
    return str(raised.value).replace(f"{path}:", "").splitlines()


def test_a_policy_gets_the_options_of_the_study(tmp_path: Path) -> None:
    study = orkester.load_study(write_study(tmp_path, search=SEARCH, routing={"rule": {"pattern": "[x]"}}))
    choices = ("small", "large")
    rule = study.routing.policies["rule"]
    assert rule.route(RoutingRequest(question="2", choices=choices)).choice == "large"
    assert rule.route(RoutingRequest(question="x", choices=choices)).choice == "small"


def test_options_make_another_study_and_their_absence_does_not(tmp_path: Path) -> None:
    plain = orkester.load_study(write_study(tmp_path / "a", search=SEARCH))
    assert "routing" not in plain.identity()
    other = orkester.load_study(write_study(tmp_path / "b", search=SEARCH, routing={"rule": {"pattern": "[x]"}}))
    assert other.id != plain.id


def test_the_learnt_policy_learns_from_the_single_agents_of_its_models(tmp_path: Path) -> None:
    study = orkester.load_study(write_study(tmp_path, search=SEARCH, routing={"learnt": {"examples": 9}}))
    assert study.routing.examples == 9
    assert study.routing.sources == {
        name: Team("single", {"model": name, "temperature": 0.0}) for name in ("small", "large")
    }


def test_without_a_policy_that_learns_there_is_nobody_to_learn_from(tmp_path: Path) -> None:
    study = orkester.load_study(write_study(tmp_path, search={"router": {**ROUTER, "routing": "rule"}}))
    assert study.routing.sources == {}
    assert study.routing.examples == 0
    assert len(study.space) == 1


def test_a_policy_may_be_named_by_its_module(tmp_path: Path) -> None:
    (tmp_path / "own_routing_policy.py").write_text(
        "from orkester.agents.routing import Route\n"
        "class Last:\n"
        "    def route(self, request):\n"
        "        return Route(choice=request.choices[-1], reason='it is the last')\n"
    )
    router = {**ROUTER, "routing": ["rule", "own_routing_policy:Last"]}
    study = orkester.load_study(write_study(tmp_path, search={"router": router}))
    assert set(study.routing.policies) == {"rule", "own_routing_policy:Last"}
    assert len(study.space) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"search": {"router": ROUTER}},
            (
                "search.router.routing: the routing policy 'learnt' learns from agents that answer alone; "
                "add them to search: single: {model: [small, large]}"
            ),
        ),
        (
            {"search": {"single": {"model": "small"}, "router": ROUTER}},
            "add them to search: single: {model: [large]}",
        ),
        (
            {"search": {"single": {"model": "small"}, "router": {**ROUTER, "routing": "any"}}},
            "add them to search: single: {model: [large]}",
        ),
        ({"search": SEARCH, "routing": {"rul": {}}}, "routing.rul: no topology of the search uses the routing policy"),
        (
            {"search": SEARCH, "routing": {"rule": {"pattern": "("}}},
            "routing.rule: the routing policy 'rule' does not take the options {'pattern': '('}",
        ),
        (
            {"search": SEARCH, "routing": {"learnt": {"example": 9}}},
            "has no option 'example'",
        ),
        (
            {"search": {"router": {**ROUTER, "routing": "rul"}}},
            "search.router.routing: is not one of the routing policies: 'rul' (did you mean 'rule'?)",
        ),
        (
            {"search": {"router": {**ROUTER, "routing": "no_such_module:x"}}},
            "search.router.routing: the routing policy's module 'no_such_module' cannot be imported",
        ),
        ({"search": SEARCH, "routing": {"rule": "x"}}, "routing.rule: takes a mapping"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (line,) = refusal(tmp_path, **changes)
    assert message in line
    assert line.split(":")[0].strip().isdecimal()


def test_records_are_those_of_the_sources_in_the_order_of_the_examples() -> None:
    team = Team("single", {"model": "m", "temperature": 0.0})
    other = Team("single", {"model": "n", "temperature": 0.0})
    examples = [Example(id=name, question=f"Q {name}", expected="") for name in "abc"]
    blocks = {team.id: [block(examples=(result(id="b", score=0.5),)), block(examples=(result(id="a", score=0.0),))]}
    records = records_of({"m": team, "n": other}, blocks, examples)
    assert [(record.question, record.choice) for record in records] == [("Q a", "m"), ("Q b", "m")]
    assert [record.score for record in records] == [0.0, 0.5]
    assert {record.energy_j for record in records} == {None}  # these calls have no joules


def test_of_each_choice_the_first_records_count() -> None:
    records = [RoutingRecord(question=i, choice=name, score=0.0) for name in "ab" for i in range(3)]
    assert [(record.choice, record.question) for record in first_records(records, 2)] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
    ]
