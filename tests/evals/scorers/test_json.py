"""The scorer ``json`` beyond its battery: options, hostile texts, and objects as right answers in a study."""

from pathlib import Path
from typing import Any

import pytest
from support import write_study

import orkester
from orkester.errors import InputError
from orkester.evals.scorers import needs_expected, scorer


def test_the_order_of_arrays_counts_unless_it_is_ignored() -> None:
    loose = scorer({"json": {"ignore_order": True}})
    for answer, expected in (("[3, 1, 2]", "[1, 2, 3]"), ('{"a": [{"b": [2, 1]}, 5]}', '{"a": [5, {"b": [1, 2]}]}')):
        assert scorer("json").score(answer, expected) == 0
        assert loose.score(answer, expected) == 1
    assert loose.score("[1, 1, 2]", "[1, 2, 2]") == 0
    assert loose.key("[2, 1]") == loose.key("[1, 2]") != scorer("json").key("[2, 1]")


@pytest.mark.parametrize(
    "answer",
    [
        "[" * 50_000,
        '{"a": ' * 50_000,
        "[" * 5000 + "]" * 5000,
        "{" * 1000 + "}" * 1000,
        "9" * 100_000,
        "1e999999999999",
    ],
    ids=["open arrays", "open objects", "deep", "braces", "many digits", "huge exponent"],
)
def test_a_hostile_text_is_wrong_and_no_crash(answer: str) -> None:
    made = scorer("json")
    assert made.score(answer, '{"a": 1}') == 0
    assert isinstance(made.key(answer), str)


def test_a_study_may_have_objects_as_right_answers_for_this_scorer_only(tmp_path: Path) -> None:
    path = write_study(tmp_path, task={"scorer": "json"})
    lines = [f'{{"id": "q{i}", "question": "{i}?", "answer": {{"n": {i}}}}}\n' for i in range(20)]
    (tmp_path / "data.jsonl").write_text("".join(lines))
    study = orkester.load_study(path)
    assert {type(example.expected) for example in study.search_examples} == {dict}
    path = write_study(tmp_path, task={"scorer": "exact"})
    (tmp_path / "data.jsonl").write_text("".join(lines))
    with pytest.raises(InputError, match="the scorer json compares objects"):
        orkester.load_study(path)


def test_a_function_of_the_user_gets_the_right_answers_as_they_are_in_the_data(tmp_path: Path) -> None:
    path = write_study(tmp_path, task={"scorer": "own_scorer:judge"})
    (tmp_path / "own_scorer.py").write_text(
        "def judge(answer, expected):\n    return answer in expected['any_of'][0]\n"
    )
    lines = [f'{{"id": "q{i}", "question": "{i}?", "answer": {{"any_of": [["{i}"]]}}}}\n' for i in range(20)]
    (tmp_path / "data.jsonl").write_text("".join(lines))
    study = orkester.load_study(path)
    example = study.search_examples[0]
    assert study.task.scorer.score(example.id.removeprefix("q"), example.expected) == 1


def test_an_array_of_texts_in_csv_is_one_right_answer_for_this_scorer(tmp_path: Path) -> None:
    path = write_study(tmp_path, task={"scorer": "json", "data": "data.csv"})
    rows = "".join(f'{i}?,"[""a"", ""{i}""]"\n' for i in range(20))
    (tmp_path / "data.csv").write_text(f"question,answer\n{rows}")
    example = orkester.load_study(path).search_examples[0]
    assert example.expected == f'["a", "{example.question.removesuffix("?")}"]'


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"$ref": "#/$defs/count"}, "since": {"format": "date"}},
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"count": {"type": "integer", "minimum": 0}},
}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"city": "Oslo"}', True),
        ('Here it is:\n```json\n{"city": "Oslo", "people": 709037}\n```', True),
        ('{"city": "Oslo", "people": -1}', False),
        ('{"city": "Oslo", "people": 1.5}', False),
        ('{"city": "Oslo", "people": 2.0}', True),  # JSON Schema: a whole number in any form is an integer
        ('{"city": "Oslo", "since": "1048-05-01"}', True),
        ('{"city": "Oslo", "since": "long ago"}', False),
        ('{"city": "Oslo", "mayor": "?"}', False),
        ('{"people": 3}', False),
        ("Oslo", False),
        ("", False),
    ],
)
def test_with_a_schema_every_value_that_keeps_to_it_is_right(answer: str, right: bool) -> None:
    made = scorer({"json": {"schema": SCHEMA}})
    assert made.score(answer, None) == right
    assert not needs_expected(made)
    assert needs_expected(scorer("json"))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("schema.json", "schema is a mapping"),
        ({"type": "objekt"}, "schema.type"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, r"/\$defs/none is not in the schema"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "other documents are not read"),
        ({"$ref": "file:///etc/passwd"}, "other documents are not read"),
        ({"$dynamicRef": "http://127.0.0.1:9/s.json"}, "other documents are not read"),
        ({"properties": {"a": {"$dynamicRef": "#nope"}}}, "is not in the schema"),
        ({"$ref": "#/x-defs/a", "x-defs": {"a": {"type": "strng"}}}, "schema: it cannot be used"),
        ({"$ref": "#/x-defs/a", "x-defs": {"a": {"pattern": "("}}}, "schema: it cannot be used"),
        ({"$schema": 5, "type": "string"}, "schema"),
        ({"$ref": "#/enum/0", "enum": [5, "a"]}, "schema"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scorer({"json": {"schema": schema}})


@pytest.mark.parametrize(
    ("schema", "value", "right"),
    [
        ({"properties": {1: {"type": "string"}}}, '{"1": 2}', False),
        ({"const": {"$ref": "foo"}}, '{"$ref": "foo"}', True),
        ({"enum": [{"$ref": "foo"}]}, '{"$ref": "bar"}', False),
        (
            {"$id": "http://x.org/s", "properties": {"a": {"$ref": "s#/$defs/b"}}, "$defs": {"b": {"type": "string"}}},
            '{"a": 1}',
            False,
        ),
    ],
)
def test_unusual_schemas_are_understood(schema: Any, value: str, right: bool) -> None:
    assert scorer({"json": {"schema": schema}}).score(value, None) == right


def test_a_long_answer_is_read_in_time() -> None:
    for answer in ("```\n" + " " * 190_000, "```" + "a" * 190_000, "`" * 190_000):
        assert scorer("json").score(answer, "1") == 0
