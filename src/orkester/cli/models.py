"""The command ``orkester models``."""

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
    str | None, typer.Option("--for", help="The engine that will read the weights: llamacpp or vllm.", metavar="ENGINE")
]

app = typer.Typer(
    no_args_is_help=True,
    help="The models that a study can use, and their weights.\n\nExample: `orkester models list`",
)


@app.command("list")
def list_models() -> None:
    """Show every model of the catalogue, and whether its weights are on this machine.

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
        path = catalogue.locate(model)
        size = model.size_bytes or (path.stat().st_size if path is not None and path.is_file() else None)
        table.add_row(
            name,
            _short(model.parameters),
            f"{size / 1e6:,.1f} MB" if size else "",
            _yes_or_no(path),
            _yes_or_no(catalogue.locate(model.in_safetensors())) if model.safetensors else "converted",
            model.license,
            _origin(model.source),
        )
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=LOG_WIDTH)).print(table)


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(help="The names of models.", metavar="NAME...")],
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="Accept the terms of models that have terms.")
    ] = False,
    engine: EngineOption = None,
) -> None:
    """Fetch weights, and check their SHA-256. Weights that are on this machine already are checked, too.

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
                raise InputError(f"{model.name} has terms (shown above); to accept them, use --accept-terms")
            elif not typer.confirm("Do you accept them?"):
                raise InputError(f"{model.name} was not fetched, because its terms were not accepted")
    for model in models:
        catalogue.pull(model, say=lambda line: typer.echo(line, err=True))
        if engine == "vllm" and model.layout != "safetensors":
            typer.echo(f"{model.name} is a GGUF file; it is converted when vLLM serves it for the first time", err=True)


@app.command()
def where(
    name: Annotated[str, typer.Argument(help="The name of a model.", metavar="NAME")],
    engine: EngineOption = None,
) -> None:
    """Print the path of a model's weights.

    Example: `orkester models where smollm2-135m`
    """
    from orkester.errors import ModelError
    from orkester.serving.catalogue import Catalogue

    catalogue = Catalogue.default()
    model = _for(engine, catalogue.find(name))
    path: Path | None = catalogue.locate(model)
    if path is None:
        arguments = f"--for {engine} {name}" if engine else name
        raise ModelError(
            f"the weights of {name} are not on this machine; to fetch them, run: orkester models pull {arguments}"
        )
    typer.echo(path)


def _for(engine: str | None, model: Model) -> Model:
    """The model in the form that an engine reads."""
    if engine not in {None, "llamacpp", "vllm"}:
        raise InputError(f"--for must be llamacpp or vllm, but got {engine!r}")
    return model.in_safetensors() if engine == "vllm" else model


def _yes_or_no(path: Path | None) -> str:
    return "no" if path is None else "yes"


def _origin(source: str) -> str:
    """The source of the weights, short enough for a column: of a repository on a model hub, only its owner."""
    kind, _, rest = source.partition(":")
    return f"hf:{rest.partition('/')[0]}" if kind == "hf" else kind


def _short(count: int | None) -> str:
    if count is None:
        return ""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{letter}"
    return str(count)
