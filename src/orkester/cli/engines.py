"""The command ``orkester engines``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .results import LOG_WIDTH

app = typer.Typer(
    no_args_is_help=True,
    help="Engines that are installed separately from Orkester, each in its own environment.\n\n"
    "Example: `orkester engines list`",
)


@app.command()
def install(
    engine: Annotated[str, typer.Argument(help="The engine: vllm.", metavar="ENGINE")],
    build: Annotated[
        str | None, typer.Option("--build", help="cuda, rocm or cpu. Default: the build for this machine.")
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option("--python", help="The Python interpreter to use. Default: the one that runs Orkester."),
    ] = None,
    index_url: Annotated[str | None, typer.Option("--index-url", help="The package index. Default: PyPI.")] = None,
    extra_index_url: Annotated[
        list[str] | None, typer.Option("--extra-index-url", help="An additional package index; may be repeated.")
    ] = None,
    find_links: Annotated[
        list[str] | None, typer.Option("--find-links", help="A folder or page with wheels; may be repeated.")
    ] = None,
) -> None:
    """Install an engine: the version that Orkester is tested with, built for this machine's GPU or CPU.

    Example: `orkester engines install vllm`
    """
    from typing import get_args

    from orkester.errors import InputError
    from orkester.serving.environments import Build, Index, install_vllm

    if engine != "vllm":
        if engine in {"llamacpp", "llama.cpp"}:
            raise InputError("llama.cpp is a part of Orkester and needs no installation; only vllm can be installed")
        raise InputError(f"the engine {engine!r} does not exist; only vllm can be installed")
    if build is not None and build not in get_args(Build):
        raise InputError(f"--build must be one of {', '.join(get_args(Build))}, but got {build!r}")
    installed = install_vllm(
        lambda line: typer.echo(line, err=True),
        build=build,  # type: ignore[arg-type]
        python=python,
        index=Index(index_url=index_url, extra_index_urls=extra_index_url or (), find_links=find_links or ()),
    )
    typer.echo(installed.folder)


@app.command("list")
def list_engines() -> None:
    """Show the installed engines, and whether each works. Each engine is started once, which takes some seconds.

    Example: `orkester engines list`
    """
    from rich.console import Console
    from rich.table import Table

    from orkester.serving.environments import environments

    installed_engines = environments()
    if not installed_engines:
        typer.echo(
            "No engine is installed (llama.cpp is a part of Orkester). To install vLLM, run: orkester engines install "
            "vllm"
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "version", "build", "size", "works", "path"):
        table.add_column(column, justify="right" if column == "size" else "left", no_wrap=True)
    faults = {}
    for installed in installed_engines:
        environment = installed.environment
        if fault := installed.fault():
            faults[installed.name] = fault
        table.add_row(
            installed.name,
            environment.version if environment else "",
            environment.build if environment else "",
            f"{installed.size_bytes / 1e9:.1f} GB" if installed.size_bytes else "",
            "no" if fault else "yes",
            str(installed.folder),
        )
    # Users copy the paths, so they are never cut to the width of the terminal.
    Console(highlight=False, width=LOG_WIDTH, soft_wrap=True).print(table)
    for name, fault in faults.items():
        typer.echo(f"{name}: {fault}", err=True)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The name of an installed engine, as shown by `list`.", metavar="NAME")],
) -> None:
    """Remove an installed engine from the disk.

    Example: `orkester engines remove vllm-0.32.0-cpu`
    """
    from orkester.serving import environments

    freed_bytes = environments.remove(name)
    typer.echo(f"{name} is removed; {freed_bytes / 1e9:.1f} GB are free again")
