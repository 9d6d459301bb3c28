"""Plug-ins are found by file, by entry point and by ``module:name``; a broken one harms nobody else."""

import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import pytest

from orkester.errors import InputError
from orkester.registry import BUILT_IN, Listed, Plugin, Registry, files, files_of, require_like


def accept(name: str, loaded: object) -> str:
    if not isinstance(loaded, str):
        raise TypeError(f"is no text but {loaded!r}")
    return loaded


def built_in() -> Iterable[Plugin]:
    return [Plugin(name="plain", origin=BUILT_IN, target="string:PLAIN", load=lambda: "ours")]


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package with entry points where Python finds it, as pip does."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def installed(package: str, code: str, **entries: str) -> None:
        module = package.replace("-", "_")
        (site / f"{module}.py").write_text(code)
        info = site / f"{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        lines = "\n".join(f"{name} = {target}" for name, target in entries.items())
        (info / "entry_points.txt").write_text(f"[orkester.words]\n{lines}\n")
        importlib.invalidate_caches()

    return installed


@pytest.fixture
def words() -> Registry[str]:
    return Registry(kind="word", group="words", built_in=built_in, accept=accept)


def listed(registry: Registry[str]) -> dict[tuple[str, str], Listed]:
    return {(row.name, row.origin): row for row in registry.listed()}


def test_built_in_plugins_are_the_public_files_of_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_words"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_base.py").write_text("raise RuntimeError('not a plug-in')")
    (package / "red.py").write_text("word = 'red'")
    (package / "blue.py").write_text("word = 'blue'")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry(kind="word", group="words", built_in=files_of("some_words", "word"), accept=accept)
    assert files("some_words") == ["some_words.blue", "some_words.red"]
    assert registry.names() == ("blue", "red")
    assert "some_words.red" not in sys.modules, "names are known without imports"
    assert registry.get("red") == "red"
    assert registry.origin("red") == BUILT_IN


def test_a_package_adds_a_plugin_by_its_entry_point(words: Registry[str], install: Install) -> None:
    install("green-words", "'''The colour of grass.\n\nMore.'''\nWORD = 'grass'", green="green_words:WORD")
    assert words.names() == ("plain", "green")
    assert "green_words" not in sys.modules, "names are known without imports"
    assert words.get("green") == "grass"
    assert words.get("green") is words.get("green")
    assert words.origin("green") == "green-words 1.5"
    assert listed(words)["green", "green-words 1.5"] == Listed(
        name="green", origin="green-words 1.5", summary="The colour of grass."
    )


def test_a_package_that_cannot_be_imported_is_named_and_harms_nobody_else(
    words: Registry[str], install: Install
) -> None:
    install("sound-words", "WORD = 'fine'", fine="sound_words:WORD")
    install("broken-words", "raise RuntimeError('no GPU here\\nand more lines')", lost="broken_words:WORD")
    install("ending-words", "import sys; sys.exit('need cuda')", ending="ending_words:WORD")
    install("wrong-words", "WORD = 3", three="wrong_words:WORD", none="wrong_words:NOTHING")
    assert words.get("fine") == "fine"
    assert words.get("plain") == "ours"
    assert set(words.in_use()) == {"plain", "fine"}
    with pytest.raises(InputError, match=r"'ending' of the package ending-words 1\.5 cannot be loaded: Sys"):
        words.get("ending")
    why = "the word 'lost' of the package broken-words 1.5 cannot be loaded: RuntimeError: no GPU here"
    with pytest.raises(InputError) as raised:
        words.get("lost")
    assert str(raised.value) == why
    rows = listed(words)
    assert rows["lost", "broken-words 1.5"].fault == why
    assert rows["three", "wrong-words 1.5"].fault == "the word 'three' of the package wrong-words 1.5 is no text but 3"
    assert "AttributeError" in rows["none", "wrong-words 1.5"].fault
    assert rows["plain", BUILT_IN].fault == ""


def test_a_name_that_two_packages_offer_is_refused_and_a_built_in_one_stays(
    words: Registry[str], install: Install
) -> None:
    install("one-words", "WORD = 'one'", shared="one_words:WORD", plain="one_words:WORD")
    install("two-words", "WORD = 'two'", shared="two_words:WORD")
    with pytest.raises(InputError, match=r"'shared' is offered by .* and by .*; uninstall one of them, or write "):
        words.get("shared")
    assert words.get("two_words:WORD") == "two"
    assert words.get("plain") == "ours"
    rows = listed(words)
    assert rows["plain", "one-words 1.5"].fault == "hidden: Orkester has a word of this name"
    assert "uninstall one of them" in rows["shared", "one-words 1.5"].fault
    assert "uninstall one of them" in rows["shared", "two-words 1.5"].fault


def test_an_unknown_name_is_answered_with_the_nearest(words: Registry[str], install: Install) -> None:
    install("green-words", "WORD = 'grass'", green="green_words:WORD")
    with pytest.raises(InputError) as raised:
        words.get("gren")
    message = "unknown word 'gren' (did you mean 'green'?). Known: plain, green, or module:name"
    assert str(raised.value) == message


def test_module_and_name_are_found_beside_the_study_and_then_everywhere(words: Registry[str], tmp_path: Path) -> None:
    (tmp_path / "words_beside.py").write_text("MINE = 'beside'")
    assert words.get("words_beside:MINE", folder=tmp_path) == "beside"
    assert words.get("words_beside:MINE") == "beside", "the study has settled what the name stands for"
    assert words.in_use()["words_beside:MINE"] == "beside"
    assert words.origin("words_beside:MINE") == "words_beside"
    with pytest.raises(InputError, match=r"has no 'MIN' \(did you mean 'MINE'\?\)"):
        words.get("words_beside:MIN", folder=tmp_path)


def test_one_name_for_two_modules_needs_a_folder(words: Registry[str], tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "words_twice.py").write_text(f"MINE = {folder!r}")
        assert words.get("words_twice:MINE", folder=tmp_path / folder) == folder
    assert words.get("words_twice:MINE", folder=tmp_path / "a") == "a"
    with pytest.raises(InputError, match="is another one in"):
        words.get("words_twice:MINE")
    assert "words_twice:MINE" not in words.in_use()


def test_a_module_that_has_changed_is_read_again(words: Registry[str], tmp_path: Path) -> None:
    for text in ("first", "and the second"):
        (tmp_path / "words_changing.py").write_text(f"MINE = {text!r}")
        assert words.get("words_changing:MINE", folder=tmp_path) == text
        assert words.get("words_changing:MINE") == text


def test_what_is_installed_later_is_found_after_a_refresh(words: Registry[str], install: Install) -> None:
    assert words.names() == ("plain",)
    install("late-words", "WORD = 'late'", late="late_words:WORD")
    assert words.names() == ("plain",)
    words.refresh()
    assert words.names() == ("plain", "late")


def test_what_a_plugin_makes_must_be_complete() -> None:
    class Half:
        def ask(self) -> str:
            return "?"

    class Whole(Protocol):
        def ask(self) -> str: ...
        def answer(self) -> str: ...

    with pytest.raises(InputError, match=r"the word 'half' has made a Half, which has no 'answer'; .* Whole"):
        require_like("word", "half", Half(), Whole)
