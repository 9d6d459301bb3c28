"""Role packs: read, refused, and changed."""

from pathlib import Path

import pytest

from orkester.agents import Role
from orkester.agents.packs import RoleChange, RoleEntry, known_roles, read_pack, read_packs
from orkester.errors import InputError


def pack(folder: Path, text: str, name: str = "pack.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_pack_is_a_mapping_of_roles(tmp_path: Path) -> None:
    text = """
judge:
  instruction: Judge {question}
  max_tokens: 9
  temperature: 1
  sees: all
  drafts: "|{drafts}"
  output: {type: object}
  answers: false
plain: {}
text: {output: text}
"""
    assert read_pack(pack(tmp_path, text)) == {
        "judge": Role(
            name="judge",
            instruction="Judge {question}",
            max_tokens=9,
            temperature=1,
            sees="all",
            drafts="|{drafts}",
            output={"type": "object"},
            answers=False,
        ),
        "plain": Role(name="plain"),
        "text": Role(name="text"),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {instructions: x}", "a.instructions: "),
        ("a: {max_tokens: 0}", "a.max_tokens: "),
        ("a: {max_tokens: '9'}", "a.max_tokens: "),
        ("a: {temperature: 3}", "a.temperature: "),
        ("a: {sees: nothing}", "a.sees: "),
        ("a: {output: json}", "a.output"),
        ("a: {output: {}}", "a.output"),
        ("a: {instruction: 'see {draft}'}", "a.instruction: unknown placeholder {draft} (did you mean {drafts}?)"),
        ("a: {drafts: 'none'}", "a.drafts: needs {drafts}"),
        ("a:", "a: "),
        ("- a", ""),
        ("", ""),
        ("a: [", "the file is not YAML"),
    ],
)
def test_a_pack_that_cannot_be_used_is_refused_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = pack(tmp_path, text)
    with pytest.raises(InputError) as raised:
        read_pack(path)
    assert str(raised.value).startswith(f"{path}: {said}")


def test_a_role_is_in_one_pack(tmp_path: Path) -> None:
    pack(tmp_path, "a: {}\nb: {}", "one.yaml")
    pack(tmp_path, "c: {}", "two.yaml")
    assert set(read_packs(tmp_path)) == {"a", "b", "c"}
    other = pack(tmp_path, "b: {}", "two.yaml")
    with pytest.raises(InputError, match=f"{other}: b: one.yaml already has a role with this name; rename one of them"):
        read_packs(tmp_path)


def test_a_change_leaves_the_rest_as_it_is() -> None:
    role = Role(name="a", instruction="Think.", max_tokens=9, output={"type": "object"}, answers=False)
    assert RoleChange().apply_to(role) == role
    changed = RoleChange(instruction="Judge.", output="text", max_tokens=None).apply_to(role)
    assert changed == Role(name="a", instruction="Judge.", answers=False)
    assert RoleChange(output={"type": "string"}).apply_to(role).output == {"type": "string"}


@pytest.mark.parametrize("role", known_roles().values(), ids=lambda role: role.name)
def test_a_role_survives_the_way_to_a_file_and_back(role: Role) -> None:
    text = RoleEntry.of(role).model_dump_json()
    assert RoleEntry.model_validate_json(text).apply_to(Role(name=role.name)) == role
