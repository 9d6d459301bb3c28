"""Plug-ins by name: topologies, scorers, engines, meters, samplers, routing policies, tools and objectives.

All kinds are found in the same three ways:

- built in: a public file in the folder of the kind, for example ``evals/scorers/exact.py``;
- from an installed package: an entry point of the group ``orkester.KINDS``, for example
  ``[project.entry-points."orkester.scorers"]`` in its pyproject.toml;
- from a module beside the study file, or anywhere on the import path: ``module:name``.

A plug-in is imported when it is used by name, never before. One that cannot be imported is therefore the problem of
those who use it, and of nobody else; ``orkester list`` names it with its package and the first line of its error.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Final, Generic, TypeAlias, TypeVar

from .errors import InputError, did_you_mean, unknown

T = TypeVar("T")
#: Where a module that lay beside a study keeps its file's time and size; a file that has changed is imported again.
_STAMP = "__orkester_stamp__"
#: Imports a plug-in and returns the object that its file, entry point or ``module:name`` leads to.
Load: TypeAlias = Callable[[], object]

#: What ``Plugin.origin`` is for plug-ins that come with Orkester.
BUILT_IN = "orkester"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A plug-in that can be found by name. It need not be importable.

    Attributes:
        name: The name in study files.
        origin: ``orkester`` for one that is built in, else the package and its version.
        target: Where the object is: ``package.module:attribute``.
        load: Imports it.
    """

    name: str
    origin: str
    target: str
    load: Load


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A row of ``orkester list``.

    Attributes:
        name: The name in study files.
        origin: See ``Plugin``.
        summary: Its ``meaning`` or ``description``, else the first paragraph of its documentation or of its module's.
            Empty where there is none or where it cannot be used.
        fault: Why it cannot be used; empty where it can.
    """

    name: str
    origin: str
    summary: str = ""
    fault: str = ""


class Registry(Generic[T]):
    """All plug-ins of one kind.

    Args:
        kind: What one is called in messages, for example ``scorer``.
        group: The plural, which is also the end of the entry points' group, for example ``scorers``.
        built_in: Those that come with Orkester, by name; see ``files_of``.
        accept: Takes the name and the object that was loaded, and returns what users of the registry get.

            Raises ``TypeError`` where the object is not a plug-in of this kind; the message continues the sentence
            "the scorer NAME …".
        entry_points: The entry points of a group; those of the installed packages by default.
    """

    def __init__(
        self,
        *,
        kind: str,
        group: str,
        built_in: Callable[[], Iterable[Plugin]],
        accept: Callable[[str, object], T],
        entry_points: Callable[[str], Iterable[importlib.metadata.EntryPoint]] | None = None,
    ) -> None:
        self.kind = kind
        self.group = group
        self._accept = accept
        self._find_built_in = built_in
        self._find_entry_points = entry_points or _installed
        self.refresh()

    def refresh(self) -> None:
        """Forget what was found and loaded, for example after a package was installed while the process ran."""
        self._built_in: Mapping[str, Plugin] | None = None
        self._installed: Mapping[str, Sequence[Plugin]] | None = None
        self._ready: dict[str, T] = {}
        self._own: dict[str, dict[str, tuple[ModuleType, T]]] = {}
        self._in_use: Mapping[str, T] | None = None

    def names(self) -> Sequence[str]:
        """Names that a study may use, built-in plug-ins first, without importing any plug-in."""
        built_in = self._by_name()
        return (*built_in, *sorted(name for name in self._by_package() if name not in built_in))

    def get(self, name: str, *, folder: Path | None = None) -> T:
        """The plug-in of that name.

        Args:
            name: A name, or ``module:name``.
            folder: The study file's. The module of ``module:name`` is looked for there first. Without a folder,
                ``module:name`` is what it was for the study that was loaded before.

        Raises:
            InputError: There is no such plug-in, or it cannot be imported, or it is not of this kind. The message
                names the package, and the name that is spelt most alike.
        """
        if ":" in name:
            return self._from_module(name, folder)
        if name not in self._ready:
            self._ready[name] = self._use(self._plugin(name))
            self._in_use = None
        return self._ready[name]

    def origin(self, name: str) -> str:
        """Where a plug-in comes from: see ``Plugin.origin``; for ``module:name`` the module.

        Raises:
            InputError: There is no such plug-in.
        """
        return name.partition(":")[0] if ":" in name else self._plugin(name).origin

    def in_use(self) -> Mapping[str, T]:
        """The plug-ins that come with Orkester, and the others that were asked for by name so far.

        Raises:
            InputError: One that comes with Orkester cannot be used.
        """
        if self._in_use is None:
            found = {name: self.get(name) for name in self._by_name()}
            found |= self._ready
            for name, by_place in self._own.items():
                if len(by_place) == 1:  # where two modules have the same name, ``get`` says so
                    ((_, found[name]),) = by_place.values()
            self._in_use = MappingProxyType(found)
        return self._in_use

    def listed(self) -> Sequence[Listed]:
        """Every plug-in with where it comes from, also those that cannot be used. Imports all of them."""
        rows: list[Listed] = []
        for name, plugin in self._by_name().items():
            rows.append(self._row(plugin))
            rows += [
                Listed(name=name, origin=other.origin, fault=f"hidden: Orkester has a {self.kind} of this name")
                for other in self._by_package().get(name, ())
            ]
        for name in self.names()[len(self._by_name()) :]:
            rows += [self._row(plugin) for plugin in self._by_package()[name]]
        return rows

    def _row(self, plugin: Plugin) -> Listed:
        try:
            self.get(plugin.name)
            return Listed(name=plugin.name, origin=plugin.origin, summary=_summary(plugin))
        except InputError as error:
            return Listed(name=plugin.name, origin=plugin.origin, fault=str(error))

    def _plugin(self, name: str) -> Plugin:
        if (plugin := self._by_name().get(name)) is not None:
            return plugin
        offers = self._by_package().get(name, ())
        if len(offers) == 1:
            return offers[0]
        if offers:
            raise InputError(
                f"the {self.kind} {name!r} is offered by {' and by '.join(plugin.origin for plugin in offers)}; "
                f"uninstall one of them, or write {' or '.join(plugin.target for plugin in offers)}"
            )
        raise InputError(f"{unknown(self.kind, name, self.names())}, or module:name")

    def _use(self, plugin: Plugin) -> T:
        where = "" if plugin.origin == BUILT_IN else f" of the package {plugin.origin}"
        try:
            loaded = plugin.load()
        except (Exception, SystemExit) as error:  # the code is somebody else's and may raise anything
            raise InputError(
                f"the {self.kind} {plugin.name!r}{where} cannot be loaded: {_first_line(error)}"
            ) from error
        return self._accepted(plugin.name, loaded, where)

    def _accepted(self, name: str, loaded: object, where: str = "") -> T:
        try:
            return self._accept(name, loaded)
        except TypeError as error:
            raise InputError(f"the {self.kind} {name!r}{where} {error}") from error

    def _from_module(self, spec: str, folder: Path | None) -> T:
        known = self._own.setdefault(spec, {})
        if folder is None and len(known) == 1:
            return next(iter(known.values()))[1]
        if folder is None and known:
            raise InputError(
                f"the {self.kind} {spec!r} is another one in {' and in '.join(known)}; use only one of them in a "
                "process, or give one of the modules another name"
            )
        module_name, _, attribute = spec.partition(":")
        try:
            module = import_beside(module_name, folder)
        except (Exception, SystemExit) as error:  # the code is the user's and may raise anything
            where = _searched(module_name, error, folder)
            raise InputError(
                f"the {self.kind}'s module {module_name!r} cannot be imported: {_first_line(error)}{where}"
            ) from error
        place = str(module.__file__ or module_name)
        if place not in known or known[place][0] is not module:
            if not hasattr(module, attribute):
                hint = did_you_mean(attribute, [name for name in dir(module) if not name.startswith("_")])
                raise InputError(f"the module {module_name!r} has no {attribute!r}{hint}")
            known[place] = (module, self._accepted(spec, getattr(module, attribute)))
            self._in_use = None
        return known[place][1]

    def _by_name(self) -> Mapping[str, Plugin]:
        if self._built_in is None:
            self._built_in = {plugin.name: plugin for plugin in self._find_built_in()}
        return self._built_in

    def _by_package(self) -> Mapping[str, Sequence[Plugin]]:
        if self._installed is None:
            found: dict[str, list[Plugin]] = {}
            for entry in self._find_entry_points(f"orkester.{self.group}"):
                plugin = Plugin(name=entry.name, origin=_package(entry), target=entry.value, load=entry.load)
                found.setdefault(entry.name, []).append(plugin)
            self._installed = found
        return self._installed


def files_of(package: str, attribute: str) -> Callable[[], Iterable[Plugin]]:
    """The built-in plug-ins of a package: one for each file whose name does not begin with an underscore.

    Args:
        package: Import name of the package.
        attribute: What each file calls its plug-in.
    """

    def find() -> Iterable[Plugin]:
        for module in files(package):
            yield Plugin(
                name=module.rpartition(".")[2],
                origin=BUILT_IN,
                target=f"{module}:{attribute}",
                load=partial(_attribute, module, attribute),
            )

    return find


def _attribute(module: str, attribute: str) -> object:
    return getattr(importlib.import_module(module), attribute)


def files(package: str) -> Sequence[str]:
    """Import names of a package's files whose names do not begin with an underscore, sorted."""
    places = importlib.import_module(package).__path__
    names = (module.name for module in pkgutil.iter_modules(places) if not module.name.startswith("_"))
    return [f"{package}.{name}" for name in sorted(names)]


def wrong_options(make: Callable[..., object], options: object) -> str:
    """What is wrong with the names of a plug-in's options, or with plain values of them; empty when nothing is.

    Args:
        make: Makes the plug-in's object; its parameters are the options.
        options: As a study file gives them.

    Returns:
        The end of a sentence that begins with the plug-in's name.
    """
    # What a ``functools.partial`` has filled in by position is no option.
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(make).parameters.items()
        if parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
    }
    listed = ", ".join(parameters) or "none"
    if not isinstance(options, Mapping):
        return f"takes options as {{OPTION: VALUE}}, but got {options!r}. Options: {listed}"
    for option in options:
        if option not in parameters:
            return f"has no option {option!r}{did_you_mean(str(option), parameters)}. Options: {listed}"
    for option, parameter in parameters.items():
        if parameter.default is parameter.empty and option not in options:
            return f"needs the option {option!r}"
    return next(filter(None, (_wrong_type(parameters[name], value) for name, value in options.items())), "")


#: Plain types by the word for them in annotations: what they accept, and what they are called in messages.
_PLAIN_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "None": ((type(None),), "nothing"),
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "text"),
}


def _wrong_type(parameter: inspect.Parameter, value: object) -> str:
    """Why a value is not of a parameter's type; empty when it is, and for types that are not plain."""
    annotation = parameter.annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    words = [word.strip() for word in text.split("|")]
    if any(word not in _PLAIN_TYPES for word in words):
        return ""
    for word in words:
        accepted, _ = _PLAIN_TYPES[word]
        if isinstance(value, accepted) and (word == "bool" or not isinstance(value, bool)):
            return ""
    wanted = " or ".join(_PLAIN_TYPES[word][1] for word in words if word != "None")
    return f"takes {wanted} as {parameter.name}, but got {value!r:.60}"


def require_like(kind: str, name: str, made: object, protocol: type) -> None:
    """See that what a plug-in has made has everything that a protocol asks for.

    Args:
        kind: What it is called in messages, for example ``engine``.
        name: The plug-in's name.
        made: The object.
        protocol: The protocol.

    Raises:
        InputError: Something is missing; the message names it.
    """
    if missing := [each for each in vars(protocol) if not each.startswith("_") and not hasattr(made, each)]:
        raise InputError(
            f"the {kind} {name!r} has made a {type(made).__name__}, which has no {missing[0]!r}; it must be like "
            f"orkester's {protocol.__name__}"
        )


def import_beside(name: str, folder: Path | None) -> ModuleType:
    """Import a module, from a folder if the folder has it.

    Args:
        name: The module's; dots are allowed for modules on the import path.
        folder: Looked into first; None for the import path alone.

    Raises:
        Exception: Whatever the module raises.
    """
    if folder is None:
        return importlib.import_module(name)
    beside = folder.resolve()
    if str(beside) not in sys.path:
        sys.path.append(str(beside))  # for what the module imports; last, so that it hides nothing that is installed
    file = beside / f"{name}.py"
    if not name.isidentifier() or not file.is_file():
        return importlib.import_module(name)
    # By its path and under another name: two studies may each have a module of the same name.
    alias = f"_orkester_study_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    stamp = (file.stat().st_mtime_ns, file.stat().st_size)
    if alias in sys.modules and vars(sys.modules[alias]).get(_STAMP) == stamp:
        return sys.modules[alias]
    spec = importlib.util.spec_from_file_location(alias, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module)[_STAMP] = stamp
    sys.modules[alias] = module  # dataclasses and type hints look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[alias]
        raise
    return module


def _summary(plugin: Plugin) -> str:
    loaded = plugin.load()
    for attribute in ("meaning", "description"):
        if isinstance(text := getattr(loaded, attribute, None), str):
            return text
    own = inspect.getdoc(loaded) if inspect.isclass(loaded) or inspect.isfunction(loaded) else None
    module = importlib.import_module(plugin.target.partition(":")[0]).__doc__
    # A file of ours holds one plug-in and says what it is; a package's module may hold several.
    text = (module or own) if plugin.origin == BUILT_IN else (own or module)
    return " ".join((text or "").strip().partition("\n\n")[0].split())


def _installed(group: str) -> Iterable[importlib.metadata.EntryPoint]:
    return importlib.metadata.entry_points(group=group)


def _package(entry: importlib.metadata.EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unknown package"


def _searched(module: str, error: BaseException, folder: Path | None) -> str:
    """Where a module was looked for that is not there, and the file with the most similar name."""
    if folder is None or not isinstance(error, ModuleNotFoundError) or error.name != module:
        return ""
    there = sorted(path.stem for path in folder.glob("*.py"))
    return f". It was looked for in {folder.resolve()} and on Python's import path{did_you_mean(module, there)}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
