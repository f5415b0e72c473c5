"""Both ends of a run: where its frames come from, and where they go."""

from __future__ import annotations

from stream_anon.media.input.base import Source
from stream_anon.media.input.files import open_file
from stream_anon.media.input.info import MediaInfo
from stream_anon.media.input.pipe import standard_input
from stream_anon.media.output.photo_sink import PhotoSink
from stream_anon.media.output.pipe import PipeSink, pipe_suffix, standard_output
from stream_anon.media.output.sink import FileSink, Sink
from stream_anon.pipeline.plan import Plan


def make_source(plan: Plan) -> Source:
    """The source that a plan asks for.

    Raises:
        InputError: it cannot be opened.
    """
    config = plan.request.config
    tolerant = config.fault.policy == "step-down"
    if plan.info.path is None:
        pipe = standard_input()
        pipe.prepare(config.video.start, config.video.end, plan.media.copied, tolerant)
        return pipe
    return open_file(
        plan.request.input,
        start=config.video.start,
        end=config.video.end,
        copied=plan.media.copied,
        tolerant=tolerant,
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
    if pipe_suffix(request.output):
        return PipeSink(standard_output(), plan.media, info, request.config.video)
    return FileSink(request.output, plan.media, info, request.config.video, request.overwrite)
