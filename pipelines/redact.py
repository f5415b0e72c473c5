"""redact: a video or photo in, the same file with its faces covered out.

Which parts, in which order. Copy this file, change a part, and run it by its path:

    stream-anon redact street.mp4 --pipeline my_redact.py

Whatever is changed here, a frame reaches the sink only through the compositor.
"""

from stream_anon.media.device.source import on_device
from stream_anon.pipeline.analysis import make_analyzer
from stream_anon.pipeline.ends import make_sink, make_source
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.places import workplace
from stream_anon.pipeline.painting.targets import make_targets, other_methods
from stream_anon.pipeline.plan import Plan
from stream_anon.pipeline.run import Pipeline


def build(plan: Plan) -> Pipeline:
    """The pipeline for one file."""
    config = plan.request.config
    # The processor, or a GPU for networks, methods and covers.
    place = workplace(plan.device)
    # What is painted and by what: a label, a shape and a method each.
    targets = make_targets(config, place)
    # A video or a photo, on the device that does the work.
    strict = config.fault.policy == "stop"
    source = on_device(make_source(plan), plan.device, config.video.decoder, strict)
    # Detector and tracker, or a Tracks file that says what they would.
    analyzer = make_analyzer(plan)
    # The methods that single regions ask for.
    others = other_methods(config, analyzer.methods, place)
    compositor = Compositor(
        targets, config.fault, config.draw_boxes, others, config.models_dir, place
    )
    sink = make_sink(plan, source.info)
    return Pipeline(plan, source, analyzer, compositor, sink)
