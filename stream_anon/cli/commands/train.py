"""``stream-anon train``: train the project's own networks on faces one has the rights to."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import click

from stream_anon import recipes
from stream_anon.errors import UsageError
from stream_anon.training.plan import TrainConfig, load, parse

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--config", "config_file", type=_file, help="Options as YAML; see configs/training.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A folder or tar of images; may be given several times.",
)
@click.option("--teacher", type=_file, help="Recogniser as ONNX: the code space that is learned.")
@click.option("--detector", type=_file, help="YuNet as ONNX: finds and aligns the faces.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the run.")
@click.option(
    "--stages",
    help="Comma-separated: distil, landmarks, identity, appearance, morphable, export.",
)
@click.option("--device", help="auto, cpu, cuda.")
@click.option("--worker", type=click.IntRange(0, 63), help="Number of this process.")
def train(
    config_file: Path | None, data: tuple[Path, ...], stages: str | None, **given: Any
) -> None:
    """Train, or go on training, from images to weights.

    What is given here comes before the configuration file. An interrupted run goes on from
    its last checkpoint when the same command is given again.
    """
    config = TrainConfig() if config_file is None else load(config_file)
    changed = {key: value for key, value in given.items() if value is not None}
    if data:
        changed["data"] = data
    if stages:
        changed["stages"] = tuple(stages.split(","))
    config = parse(config.model_dump() | changed, "options")
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    try:
        training = recipes.pipeline("train_identity").build(config)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"training needs the [train] extra ({error.name} is missing): "
            "pip install 'stream-anon[train]'"
        ) from error
    training.run()
