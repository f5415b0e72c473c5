"""``stream-anon models``: the networks' weights, each pinned by its SHA-256."""

from __future__ import annotations

from pathlib import Path

import click

from stream_anon.cli.boundary import FAILED, Exit, explain, say
from stream_anon.errors import ModelError

_NAMES = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
_folder = click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with network weights, searched first and stored to.",
)


@click.group(context_settings=_NAMES)
def models() -> None:
    """List, fetch and check network weights.

    They are looked for in --models-dir, then in the folder that STREAM_ANON_MODELS
    names, then in the user's cache; what does not match its hash is never used.
    """


@models.command("list")
@_folder
def list_(models_dir: Path | None) -> None:
    """Name, licence, size and state of every file that the registry knows."""
    from stream_anon.models import registry

    for name in registry.names():
        entry = registry.describe(name)
        state = registry.verify(name, models_dir)
        size = f"{entry.size / 1e6:.1f} MB"
        click.echo(f"{name:<12} {state:<8} {entry.kind:<9} {size:>8}  {entry.licence}")
        click.echo(f"{'':<13}{entry.what}")
    click.echo("searched: " + ", ".join(str(path) for path in registry.folders(models_dir)))


@models.command()
@_folder
@click.argument("names", nargs=-1)
def pull(models_dir: Path | None, names: tuple[str, ...]) -> None:
    """Fetch NAMES, or where none is given what the defaults need: the detector, and
    the one that checks results."""
    from stream_anon.models import registry

    failed = False
    for name in names or ("centerface", "blazeface"):
        try:
            entry = registry.describe(name)
            path = registry.pull(name, models_dir)
            click.echo(f"{name}: {path} (licence: {entry.licence})")
        except ModelError as error:
            explain(error)
            failed = True
    if failed:
        raise Exit(FAILED)


@models.command()
@_folder
@click.argument("names", nargs=-1)
def verify(models_dir: Path | None, names: tuple[str, ...]) -> None:
    """Hash what is there: NAMES, or everything. A missing file fails only if it was named."""
    from stream_anon.models import registry

    failed = False
    for name in names or registry.names():
        state = registry.verify(name, models_dir)
        bad = state == "wrong" or (state == "missing" and name in names)
        failed |= bad
        (say if bad else click.echo)(f"{name}: {state}")
    if failed:
        raise Exit(FAILED)
