"""Data files, and their faults with file and line."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pyarrow_parquet
import pytest

from orkester.errors import InputError
from orkester.evals.data import load_data, load_examples
from orkester.evals.task import Example

GOOD = '{"id": "a", "question": "Capital of Norway?", "answer": "Oslo"}\n'


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def plain(examples: Sequence[Example]) -> list[tuple[str, Any, Any]]:
    return [(example.id, example.question, example.expected) for example in examples]


# -- what is read -----------------------------------------------------------------------------------------------------


def test_json_lines_are_read_as_they_are(tmp_path: Path) -> None:
    parts = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    rows = [
        {"id": "a", "question": "Capital of Norway?", "answer": "Oslo"},
        {"id": 7, "question": "2 + 2?", "answer": 4},
        {"id": "c", "question": parts, "answer": ["Rome", "Roma"], "more": None},
        {"id": "d", "question": "0?", "answer": 0},
        {"id": "e", "question": "Is it?", "answer": False},
    ]
    path = write(tmp_path, "data.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert plain(load_examples(path)) == [(str(row["id"]), row["question"], row["answer"]) for row in rows]


@pytest.mark.parametrize("name", ["data.csv", "DATA.CSV"])
def test_csv_is_read_with_its_header(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, 'answer,question,id\nOslo,"Norway, capital?",a\n"say ""hi""",x,b\n')
    assert plain(load_examples(path)) == [("a", "Norway, capital?", "Oslo"), ("b", "x", 'say "hi"')]


def test_an_example_without_an_id_gets_its_line(tmp_path: Path) -> None:
    lines = '{"question": "q", "answer": 1}\n\n  \n{"question": "r", "answer": 2}'
    assert [e.id for e in load_examples(write(tmp_path, "data.jsonl", lines))] == ["1", "4"]


def test_a_csv_row_of_several_lines_has_the_line_it_begins_on(tmp_path: Path) -> None:
    path = write(tmp_path, "data.csv", 'question,answer\n"one\ntwo\nthree",1\n\nfour,2\n')
    assert plain(load_examples(path)) == [("2", "one\ntwo\nthree", "1"), ("6", "four", "2")]


@pytest.mark.parametrize("name", ["data.jsonl", "data.csv"])
@pytest.mark.parametrize(("end", "mark"), [("\n", ""), ("\r\n", ""), ("\n", "\ufeff"), ("\r\n", "\ufeff")])
def test_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path: Path, name: str, end: str, mark: str) -> None:
    lines = [GOOD.strip(), "", '{"id": "b", "question": "Capital of Sweden?", "answer": "Stockholm"}']
    if name.endswith(".csv"):
        lines = ["id,question,answer", "a,Capital of Norway?,Oslo", "", "b,Capital of Sweden?,Stockholm"]
    path = write(tmp_path, name, mark + end.join(lines) + end)
    assert plain(load_examples(path)) == [
        ("a", "Capital of Norway?", "Oslo"),
        ("b", "Capital of Sweden?", "Stockholm"),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.tsv", "id\tquestion\tanswer\na\tone, two; three\tx\n"),
        ("data.csv", "id;question;answer\na;one, two\\; three;x\n".replace("\\; three", "")),
        ("data.json", '[\n  {"id": "a", "question": "one, two; three", "answer": "x"}\n]'),
        ("data.JSON", '\ufeff[{"id":"a","question":"one, two; three","answer":"x"}]\n'),
    ],
)
def test_other_usual_formats_are_read(tmp_path: Path, name: str, content: str) -> None:
    ((id_, question, expected),) = plain(load_examples(write(tmp_path, name, content)))
    assert (id_, expected) == ("a", "x")
    assert question in {"one, two; three", "one, two"}


def test_an_entry_of_an_array_has_the_line_where_it_begins(tmp_path: Path) -> None:
    rows = [
        "[",
        '{"question": "q",',
        ' "answer": 1},',
        "",
        '{"question": "r", "answer": 2}, {"id": "c", "question": "s", "answer": 3}]',
    ]
    assert [example.id for example in load_examples(write(tmp_path, "data.json", "\n".join(rows)))] == ["2", "5", "c"]


def test_a_long_field_is_read(tmp_path: Path) -> None:
    long = "x" * 300_000
    path = write(tmp_path, "data.csv", f"question,answer\n{long},1\n")
    assert plain(load_examples(path)) == [("2", long, "1")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "d.jsonl",
            '{"question": ' + "[" * 3000 + "]" * 3000 + ', "answer": 1}',
            ":1: each line must be one JSON object",
        ),
        (
            "d.jsonl",
            GOOD + '{"question": "q", "answer": NaN}',
            ":2: each line must be one JSON object, but: NaN is not",
        ),
        (
            "d.jsonl",
            '{"question": "q", "answer": 1e999}',
            ":1: the field 'answer' must be a finite number, but it is inf",
        ),
        (
            "d.jsonl",
            '{"question": "q", "answer": {"text": ["2"]}}',
            (
                ":1: the field 'answer' must be text, a number or a list of them, "
                'but it is an object: {"text": ["2"]}. Several right answers are a list'
            ),
        ),
        (
            "d.jsonl",
            '{"question": "q", "answer": [["2"]]}',
            ":1: the field 'answer' must be an answer or a list of answers",
        ),
        ("d.json", GOOD, ":1: a .json file must be an array of objects"),
        ("d.json", f"[{GOOD}", ":1: after this object, the array must go on with a comma or end with ]"),
        ("d.json", '[\n{"question": }]', ":2: this is not JSON: Expecting value"),
        ("d.json", f"[{GOOD},\n3]", ":3: each line must be one JSON object, but it is 3"),
        ("d.json", "[" * 3000, ":1: this is not JSON: it is nested too deeply"),
        ("d.json", "[]", ":1: the file has no examples"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(InputError) as raised:
        load_examples(path)
    assert str(raised.value).startswith(f"{path}{message}"), str(raised.value)


@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\x0b", "\x0c", "\x1e"])
def test_only_line_ends_end_lines(tmp_path: Path, odd: str) -> None:
    text = f"one{odd}two"
    row = json.dumps({"id": "a", "question": text, "answer": "x"}, ensure_ascii=False)
    rows = [write(tmp_path, "data.csv", f"id,question,answer\na,{text},x\n")]
    rows += [write(tmp_path, "data.jsonl", row + "\n")] if odd in "\u2028\x85" else []  # JSON has no control characters
    for path in rows:
        assert plain(load_examples(path)) == [("a", text, "x")]


def test_fields_may_have_other_names(tmp_path: Path) -> None:
    path = write(tmp_path, "data.jsonl", '{"key": 1, "prompt": "q", "gold": "x", "answer": "not this"}\n')
    assert plain(load_examples(path, fields={"id": "key", "question": "prompt", "answer": "gold"})) == [("1", "q", "x")]
    assert plain(load_examples(path, fields={"question": "prompt"})) == [("1", "q", "not this")]


# -- what is refused --------------------------------------------------------------------------------------------------

BAD_LINES: dict[str, tuple[str, int, str]] = {
    "not JSON": (GOOD + "{'question': 1}\n", 2, "each line must be one JSON object, but: Expecting property name"),
    "cut off": (GOOD + '{"question": "q", "ans', 2, "each line must be one JSON object"),
    "not an object": (GOOD + "\n[1, 2]\n", 3, "each line must be one JSON object, but it is [1, 2]"),
    "two objects on a line": (GOOD.strip() + GOOD, 1, "Extra data"),
    "a number too long to read": (GOOD + '{"answer": ' + "1" * 5000 + "}", 2, "each line must be one JSON object"),
    "half a character": (GOOD + '{"question": "\\ud83d", "answer": "x"}', 2, "half a character"),
    "field absent": (
        GOOD + '{"question": "q", "anwser": "x"}\n',
        2,
        "the field 'answer' is missing (did you mean 'anwser'?)",
    ),
    "no fields at all": (GOOD + "{}\n", 2, "the field 'question' is missing; the fields of this line are: none"),
    "question empty": (GOOD + '{"question": "", "answer": "x"}\n', 2, "the field 'question' is empty"),
    "question blank": (GOOD + '{"question": " ", "answer": "x"}\n', 2, "the field 'question' is empty"),
    "question a number": (GOOD + '{"question": 5, "answer": "x"}\n', 2, "must be text or a list of content parts"),
    "answer null": (GOOD + '{"question": "q", "answer": null}\n', 2, "the field 'answer' is empty"),
    "answer an empty list": (GOOD + '{"question": "q", "answer": []}\n', 2, "the field 'answer' is empty"),
    "an answer of several empty": (GOOD + '{"question": "q", "answer": ["x", ""]}\n', 2, "a list with an empty entry"),
    "id empty": (GOOD + '{"id": "", "question": "q", "answer": "x"}\n', 2, "the field 'id' is empty"),
    "id twice": (GOOD * 2, 2, "line 1 has the same id 'a'; every id must be unique"),
    "id twice, as number and text": (
        GOOD.replace('"a"', "1") + GOOD.replace('"a"', '"1"'),
        2,
        "line 1 has the same id '1'",
    ),
    "id the line of another": (
        '{"question": "q", "answer": 1}\n' + GOOD.replace('"a"', '"1"'),
        2,
        "line 1 has the same",
    ),
    "empty": ("", 1, "the file has no examples; write one example per line, with the fields 'question' and 'answer'"),
    "blank": ("\n \n", 1, "the file has no examples"),
}
BAD_CSV: dict[str, tuple[str, int, str]] = {
    "empty": ("", 1, "the file has no examples"),
    "header alone": ("id,question,answer\n", 1, "the file has no examples"),
    "no header": ("a,q,x\nb,r,y\n", 2, "the field 'question' is missing; the fields of this line are: a, q, x"),
    "header twice": ("question,answer,answer\nq,x,y\n", 1, "the header has the column 'answer' twice"),
    "too many fields": ("question,answer\nq,x\nq,x,y\n", 3, "more fields than the header has columns"),
    "too few fields": ("question,answer\nq\n", 2, "the field 'answer' is empty"),
    "quote not closed": ('question,answer\nq,x\n"q,x\ny,z\n', 3, "this line is not CSV: unexpected end of data"),
    "after a field of several lines": ('question,answer\n"q\nq\nq",x\n,y\n', 5, "the field 'question' is empty"),
    "within one": ('question,answer\nq,x\n"q\nq\n",\n', 3, "the field 'answer' is empty"),
    "id twice": ('id,question,answer\na,"q\nq",x\na,r,y\n', 4, "line 2 has the same id 'a'"),
    "id absent": ("id,question,answer\n,q,x\n", 2, "the field 'id' is empty"),
}


@pytest.mark.parametrize("fault", BAD_LINES)
def test_a_bad_line_is_said_with_file_and_line(tmp_path: Path, fault: str) -> None:
    content, line, said = BAD_LINES[fault]
    refused(write(tmp_path, "data.jsonl", content), line, said)


@pytest.mark.parametrize("fault", BAD_CSV)
def test_a_bad_row_is_said_with_file_and_line(tmp_path: Path, fault: str) -> None:
    content, line, said = BAD_CSV[fault]
    refused(write(tmp_path, "data.csv", content), line, said)


@pytest.mark.parametrize("name", ["data.jsonl", "data.csv"])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\xff\xfe", 1),
        (b"question,answer\n\nq,x\xe9y\n", 3),
        (b"\xef\xbb\xbfa,b\n\xe9", 2),
        ("q,Łódź\n".encode("utf-16"), 1),
        (b"a,b\nq,\xc5", 2),
    ],
)
def test_a_file_that_is_not_utf_8_is_said_with_the_line(tmp_path: Path, name: str, content: bytes, line: int) -> None:
    refused(write(tmp_path, name, content), line, "this line is not UTF-8 text; save the file as UTF-8")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    with pytest.raises(InputError) as raised:
        load_examples(path)
    assert str(raised.value) == f"{path}: the data file does not exist"
    with pytest.raises(InputError) as raised:
        load_examples(tmp_path)
    assert str(raised.value) == f"{tmp_path}: the data file cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"question": "prompt"},
            "'prompt' is missing; the fields of this line are: id, question, answer. If your data",
        ),
        ({"answer": "anser"}, "the field 'anser' is missing (did you mean 'answer'?)"),
        ({"id": "key"}, "the field 'key' is missing"),
    ],
)
def test_a_mapped_field_that_is_absent_is_said(tmp_path: Path, fields: Mapping[Any, str], said: str) -> None:
    refused(write(tmp_path, "data.jsonl", GOOD), 1, said, fields=fields)


def refused(path: Path, line: int, said: str, **settings: Any) -> None:
    with pytest.raises(InputError) as raised:
        load_examples(path, **settings)
    message = str(raised.value)
    assert message.startswith(f"{path}:{line}: ")
    assert said in message


# -- rows that repeat or contradict each other ------------------------------------------------------------------------


def test_rows_that_repeat_a_question_with_its_answer_count_once_and_are_noted(tmp_path: Path) -> None:
    rows = [("a", "1 + 1?", "2"), ("b", "Capital of Norway?", "Oslo"), ("c", " 1 + 1? ", "2"), ("d", "1 + 1?", "2")]
    lines = "".join(json.dumps({"id": i, "question": q, "answer": a}) + "\n" for i, q, a in rows)
    path = write(tmp_path, "data.jsonl", lines)
    data = load_data("data.jsonl", tmp_path)
    assert [example.id for example in data.examples] == ["a", "b"]
    assert data.notes == [
        f"data: 2 of 4 rows repeat a question with the same answer and count once; the first: {path}:1 and {path}:3"
    ]
    assert load_data(write(tmp_path, "other.jsonl", GOOD).name, tmp_path).notes == []


@pytest.mark.parametrize("answer", ['"Bergen"', '["Oslo", "Bergen"]', "1"])
def test_one_question_with_two_answers_is_refused_with_both_lines_and_the_remedy(tmp_path: Path, answer: str) -> None:
    other = f'{{"id": "b", "question": "Capital of Norway?", "answer": {answer}}}'
    path = write(tmp_path, "data.jsonl", f"{GOOD}\n{other}")
    refused(path, 3, f"{path}:1 has the same question with another answer. If both are right, give them as a list")


def test_answers_in_another_order_or_case_do_not_contradict(tmp_path: Path) -> None:
    lines = '{"question": "q", "answer": ["a", "b"]}\n{"question": "q", "answer": ["B", "a"]}\n'
    assert plain(load_examples(write(tmp_path, "data.jsonl", lines))) == [("1", "q", ["a", "b"])]


# -- several right answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('"[""Rome"", ""Roma""]"', ["Rome", "Roma"]),
        ('"[1, 2]"', "[1, 2]"),
        ("[x", "[x"),
        ("[]", "[]"),
        ('"[[""a""]]"', '[["a"]]'),
    ],
)
def test_a_cell_with_a_list_of_texts_has_several_right_answers(tmp_path: Path, cell: str, expected: Any) -> None:
    path = write(tmp_path, "data.csv", f"question,answer\nq,{cell}\n")
    assert [example.expected for example in load_examples(path)] == [expected]
    lines = json.dumps({"question": "q", "answer": '["Rome"]'})
    assert load_examples(write(tmp_path, "data.jsonl", lines))[0].expected == '["Rome"]', "JSON has lists of its own"


# -- Parquet, and data sets on the hub --------------------------------------------------------------------------------


def parquet(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow_parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "question": "Capital of Italy?", "answer": ["Rome", "Roma"]},
        {"id": "b", "question": "Capital of Norway?", "answer": ["Oslo"]},
    ]
    path = parquet(tmp_path, "data.parquet", rows)
    assert plain(load_examples(path)) == [(row["id"], row["question"], row["answer"]) for row in rows]
    numbers = parquet(tmp_path, "numbers.parquet", [{"question": "2 + 2?", "answer": 4}])
    assert plain(load_examples(numbers)) == [("1", "2 + 2?", 4)]


def test_a_parquet_file_that_is_none_and_rows_that_are_none_are_refused_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.parquet: this is not a Parquet file: "):
        load_examples(write(tmp_path, "data.parquet", GOOD))
    rows = [{"question": "q", "answer": "x"}, {"question": "r", "answer": None}]
    refused(parquet(tmp_path, "a.parquet", rows), 2, "the field 'answer' is empty")
    refused(parquet(tmp_path, "b.parquet", [{"question": "q", "answer": {"text": "x"}}]), 1, "is an object")
    refused(parquet(tmp_path, "c.parquet", [{"question": "q", "answer": math.nan}]), 1, "must be a finite number")


def test_parquet_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path, "data.parquet", [{"question": "q", "answer": "x"}])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"needs the pyarrow package; install it with: pip install 'orkester\[data\]'"):
        load_examples(path)
