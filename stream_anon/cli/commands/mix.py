"""``stream-anon mix``: a folder of images in, the same folder with shuffled pixels out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream_anon.cli.boundary import FAILED, Exit, say

if TYPE_CHECKING:
    from stream_anon.visual_mixer.folder import FolderResult

_SHOWN = 20
"""Lines about files that failed, before the rest is only counted."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for the PNG results; subfolders (classes) are kept.",
)
@click.option(
    "--vfe",
    type=click.FloatRange(0, 1000, min_open=True),
    help="Target Visual Feature Entropy, 0-255 scale.  [default: 100]",
)
@click.option("--full", is_flag=True, help="No target: shuffle as far as regions allow.")
@click.option(
    "--region",
    type=click.Choice(["2", "4", "8", "16", "32"]),
    help="Side of a region in pixels.  [default: by each image's size]",
)
@click.option(
    "--smallest",
    type=click.Choice(["1", "2", "4", "8", "16", "32"]),
    help="Smallest window in pixels.  [default: half a region]",
)
@click.option(
    "--channels",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Greatest share of pixels whose channels are shuffled.",
)
@click.option(
    "-j",
    "--workers",
    type=click.IntRange(0, 256),
    default=0,
    help="Processes.  [default: one for each processor]",
)
@click.option("-y", "--overwrite", is_flag=True, help="Make results anew that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but what failed.")
def mix(
    folder: Path,
    output: Path,
    vfe: float | None,
    full: bool,
    region: str | None,
    smallest: str | None,
    channels: float,
    workers: int,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Shuffle the pixels of every image below FOLDER, for training networks on the result.

    No noise is added: pixels change places inside small windows, and colour channels change
    places inside pixels, each image with a key of its own that is dropped at once. A run
    that was stopped goes on where it was.

    Visual Feature Entropy measures how visible structure still is. It guarantees nothing:
    docs/methods/visual_mixer.md says what attackers get.
    """  # fmt: skip
    from stream_anon.errors import UsageError
    from stream_anon.visual_mixer.folder import MixOptions, mix_folder
    from stream_anon.visual_mixer.mix import DEFAULT_VFE

    if full and vfe is not None:
        raise UsageError("--full and --vfe exclude each other")
    options = MixOptions(
        vfe=None if full else DEFAULT_VFE if vfe is None else vfe,
        region=int(region) if region else None,
        smallest=int(smallest) if smallest else None,
        channels=channels,
        workers=workers,
        overwrite=overwrite,
    )
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("mixing", total=None)
        result = mix_folder(
            folder,
            output,
            options,
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    for _, words in result.failed[:_SHOWN]:
        say(f"error: {words}")
    if len(result.failed) > _SHOWN:
        say(f"error: and {len(result.failed) - _SHOWN} more files")
    if not quiet:
        click.echo(_summary(result, output))
    if result.failed:
        raise Exit(FAILED)


def _summary(result: FolderResult, output: Path) -> str:
    parts = [f"{result.mixed} mixed"]
    for count, words in (
        (result.kept, "already there"),
        (result.below, "fully shuffled without reaching the target"),
        (result.above, "above the target with the weakest shuffle"),
        (len(result.failed), "failed"),
    ):
        if count:
            parts.append(f"{count} {words}")
    return f"{output}: {', '.join(parts)}"
