"""Both ends of a run: where its frames come from, and where they go."""

from __future__ import annotations

from stream_anon.media.input.base import Source
from stream_anon.media.input.files import open_file
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.output.photo_sink import PhotoSink
from stream_anon.media.output.sink import FileSink, Sink
from stream_anon.pipeline.plan import Plan


def make_source(plan: Plan) -> Source:
    """The source that a plan asks for.

    Raises:
        InputError: it cannot be opened.
    """
    config = plan.request.config
    return open_file(
        plan.request.input,
        start=config.video.start,
        end=config.video.end,
        copied=plan.media.copied,
        tolerant=config.fault.policy == "step-down",
    )


def make_sink(plan: Plan, info: MediaInfo) -> Sink:
    """The sink that a plan asks for.

    Args:
        plan: of the run.
        info: of the source.

    Raises:
        OutputError, UsageError: it cannot be written to.
    """
    request = plan.request
    if info.photo is not None:
        return PhotoSink(request.output, info, request.config.video, request.overwrite)
    return FileSink(request.output, plan.media, info, request.config.video, request.overwrite)
