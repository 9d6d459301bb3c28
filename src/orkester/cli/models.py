"""``orkester models``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orkester.errors import InputError

from .results import LOG_WIDTH

if TYPE_CHECKING:
    from orkester.serving.catalogue import Model

EngineOption = Annotated[
    str | None, typer.Option("--for", help="Engine that is to read them: llamacpp or vllm.", metavar="ENGINE")
]

app = typer.Typer(
    no_args_is_help=True,
    help="The models a study can name, and their weights.\n\nExample: `orkester models list`",
)


@app.command("list")
def list_models() -> None:
    """Show every model of the catalogue, and whether its weights are here.

    Example: `orkester models list`
    """
    from rich.console import Console
    from rich.table import Table

    from orkester.serving.catalogue import Catalogue

    catalogue = Catalogue.default()
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in ("name", "params", "size", "GGUF", "safetensors", "license", "from"):
        table.add_column(column, justify="right" if column in {"params", "size"} else "left", no_wrap=True)
    for name in catalogue.names:
        model = catalogue.find(name)
        where = catalogue.locate(model)
        size = model.size_bytes or (where.stat().st_size if where is not None and where.is_file() else None)
        table.add_row(
            name,
            _short(model.parameters),
            f"{size / 1e6:,.1f} MB" if size else "",
            _here(where),
            _here(catalogue.locate(model.in_safetensors())) if model.safetensors else "converted",
            model.license,
            _origin(model.source),
        )
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=LOG_WIDTH)).print(table)


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(help="Models, by name.", metavar="NAME...")],
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="Accept the terms of models that have some.")
    ] = False,
    engine: EngineOption = None,
) -> None:
    """Fetch weights, checked against their SHA-256; what is here already is checked too.

    Example: `orkester models pull smollm2-135m`
    """
    from orkester.serving.catalogue import Catalogue

    catalogue = Catalogue.default()
    models = [_for(engine, catalogue.find(name)) for name in names]
    for model in models:
        if model.terms and catalogue.locate(model) is None:
            typer.echo(f"{model.name}: {model.terms}", err=True)
            if accept_terms:
                typer.echo(f"{model.name}: terms accepted by --accept-terms", err=True)
            elif not sys.stdin.isatty():
                raise InputError(f"{model.name} has terms (above); give --accept-terms to accept them")
            elif not typer.confirm("Do you accept them?"):
                raise InputError(f"{model.name} is not fetched, since its terms were not accepted")
    for model in models:
        catalogue.pull(model, say=lambda line: typer.echo(line, err=True))
        if engine == "vllm" and model.layout != "safetensors":
            typer.echo(f"{model.name} is GGUF: it is converted when vLLM first serves it", err=True)


@app.command()
def where(
    name: Annotated[str, typer.Argument(help="A model, by name.", metavar="NAME")],
    engine: EngineOption = None,
) -> None:
    """Print where the weights of a model are.

    Example: `orkester models where smollm2-135m`
    """
    from orkester.errors import ModelError
    from orkester.serving.catalogue import Catalogue

    catalogue = Catalogue.default()
    model = _for(engine, catalogue.find(name))
    found: Path | None = catalogue.locate(model)
    if found is None:
        asked = f"--for {engine} {name}" if engine else name
        raise ModelError(f"the weights of {name} are not here; fetch them: orkester models pull {asked}")
    typer.echo(found)


def _for(engine: str | None, model: Model) -> Model:
    """The model in the form that an engine reads."""
    if engine not in {None, "llamacpp", "vllm"}:
        raise InputError(f"--for must be llamacpp or vllm, but got {engine!r}")
    return model.in_safetensors() if engine == "vllm" else model


def _here(where: Path | None) -> str:
    return "no" if where is None else "yes"


def _origin(source: str) -> str:
    """Where weights come from, short enough for a column: of a hub's repository, whose it is."""
    kind, _, rest = source.partition(":")
    return f"hf:{rest.partition('/')[0]}" if kind == "hf" else kind


def _short(count: int | None) -> str:
    if count is None:
        return ""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return str(count)
