"""redact: a video file in, the same file with its faces covered out.

Which parts, in which order. Copy this file, change a part, and run it by its path:

    stream-anon redact street.mp4 --pipeline my_redact.py

Whatever is changed here, a frame reaches the sink only through the compositor.
"""

from stream_anon.media.input.source import FileSource
from stream_anon.media.output.sink import FileSink
from stream_anon.methods import make_method
from stream_anon.pipeline.analysis import make_analyzer
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.targets import other_methods
from stream_anon.pipeline.plan import Plan
from stream_anon.pipeline.run import Pipeline


def build(plan: Plan) -> Pipeline:
    """The pipeline for one file."""
    config = plan.request.config
    source = FileSource(
        plan.request.input,
        start=config.video.start,
        end=config.video.end,
        copied=plan.media.copied,
        tolerant=config.fault.policy == "step-down",
    )
    # Detector and tracker, or a Tracks file that says what they would.
    analyzer = make_analyzer(plan)
    method, others = make_method(config.method), other_methods(config.method, analyzer.methods)
    compositor = Compositor(
        method, config.fault, config.draw_boxes, others, models_dir=config.models_dir
    )
    sink = FileSink(
        plan.request.output,
        plan.media,
        source.info,
        config.video,
        replace=plan.request.overwrite,
    )
    return Pipeline(plan, source, analyzer, compositor, sink)
