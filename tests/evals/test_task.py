"""Data files, their faults with file and line, and the split."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orkester.errors import InputError
from orkester.evals.task import Example, load_examples, reader, split

GOOD = '{"id": "a", "question": "Capital of Norway?", "answer": "Oslo"}\n'


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def plain(examples: list[Example]) -> list[tuple[str, Any, Any]]:
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
    lines = [GOOD.strip(), "", GOOD.strip().replace('"a"', '"b"')]
    if name.endswith(".csv"):
        lines = ["id,question,answer", "a,Capital of Norway?,Oslo", "", "b,Capital of Norway?,Oslo"]
    path = write(tmp_path, name, mark + end.join(lines) + end)
    assert plain(load_examples(path)) == [(i, "Capital of Norway?", "Oslo") for i in "ab"]


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


# -- the split --------------------------------------------------------------------------------------------------------


def examples(count: int) -> list[Example]:
    return [Example(id=f"q{i}", question=f"{i}?", expected=str(i)) for i in range(count)]


PARTS = st.tuples(st.integers(2, 60), st.floats(0.05, 0.95), st.integers(0, 5), st.integers(0, 99))


@settings(max_examples=80, deadline=None)
@given(PARTS)
def test_a_split_is_a_partition_in_the_datas_order(asked: tuple[int, float, int, int]) -> None:
    count, confirm, shots, seed = asked
    data = examples(count + shots)
    try:
        parts = split(data, confirm=confirm, shots=shots, seed=seed)
    except InputError:
        assert round(count * confirm) in {count, 0}
        return
    assert parts[0] == data[:shots]
    assert all(parts[1:])
    assert sorted((e.id for part in parts for e in part), key=lambda i: int(i[1:])) == [e.id for e in data]
    for part in parts:
        assert part == [example for example in data if example in part]
    assert len(parts[2]) == max(1, round(count * confirm))


@settings(max_examples=30, deadline=None)
@given(PARTS)
def test_the_same_examples_are_held_out_whatever_their_order(asked: tuple[int, float, int, int]) -> None:
    count, _, shots, seed = asked
    data = examples(count + shots)
    shuffled = data[shots:]
    random.Random(seed).shuffle(shuffled)
    _, _, held = split(data, confirm=0.4, shots=shots, seed=seed)
    _, _, held_of_shuffled = split([*data[:shots], *shuffled], confirm=0.4, shots=shots, seed=seed)
    assert {e.id for e in held} == {e.id for e in held_of_shuffled}


def test_another_seed_holds_out_others() -> None:
    held = {tuple(e.id for e in split(examples(40), confirm=0.25, shots=0, seed=seed)[2]) for seed in range(5)}
    assert len(held) == 5


def test_a_split_does_not_change_from_one_version_to_the_next() -> None:
    _, _, held = split(examples(12), confirm=0.25, shots=0, seed=3)
    assert [e.id for e in held] == ["q2", "q7", "q8"]


@pytest.mark.parametrize(("count", "shots", "confirm"), [(1, 0, 0.3), (4, 3, 0.3), (4, 4, 0.3), (3, 9, 0.3), (2, 0, 1)])
def test_too_few_examples_are_refused(count: int, shots: int, confirm: float) -> None:
    with pytest.raises(InputError, match=rf"^{count} examples are too few: {shots} are shots"):
        split(examples(count), confirm=confirm, shots=shots, seed=0)


# -- reading an answer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extract", "text", "answer"),
    [
        (None, "  Oslo\n", "Oslo"),
        (r"#### (\S+)", "so\n#### 3\n#### 4 ", "4"),
        (r"#### (\S+)", " no mark ", "no mark"),
        (r"\d+", "4 and 5", "5"),
    ],
)
def test_an_answer_is_read_out_of_a_text(extract: str | None, text: str, answer: str) -> None:
    assert reader(extract)(text) == answer
