"""The breaks. One that is added here needs a test that it turns red: ``make mutants``.

``old`` must stand in its file exactly once, so whoever rewrites such a line brings its break along.
"""

from __future__ import annotations

from tests.mutation.runner import Break
from tests.mutation.table_parts import DETECT, PIPELINE, TRACK

LOOK = (
    Break(
        "nothing-is-news",
        "stream_anon/tracking/changes.py",
        "        if (self._age > PATIENCE).any():\n",
        "        if False:\n",
        ("tests/tracking/test_changes.py",),
        "somebody who slides in between two looks is shown until the next",
    ),
    Break(
        "no-last-look",
        "stream_anon/pipeline/stream_analyzer.py",
        "            self._look_back_once(self._tracker.ending())\n            decided",
        "            decided",
        ("tests/tracking/test_looking.py", "tests/pipeline/test_stream_analyzer.py"),
        "somebody in the last frames of a file is shown",
    ),
    Break(
        "memory-before-people",
        "stream_anon/pipeline/stream_analyzer.py",
        "self._tracker.limit(max(least, affordable))",
        "self._tracker.limit(max(1, affordable))",
        ("tests/tracking/test_looking.py",),
        "of large frames fewer wait than the detector's interval needs to look back",
    ),
)


GATE = (
    Break(
        "five-painted",
        "stream_anon/pipeline/painting/gate.py",
        "            self._paint(frame, faces)\n",
        "            self._paint(frame, faces[:5])\n",
        ("tests/pipeline/test_whole_run.py",),
        "in a crowd all but five people are shown",
    ),
    Break(
        "unchanged-passes",
        "stream_anon/pipeline/painting/gate.py",
        "        failed = old.shown_in(rendered.crops)\n",
        "        failed = np.zeros(len(crops), np.bool_)\n",
        ("tests/pipeline/test_gate.py",),
        "a method that gives back the face itself shows it",
    ),
    Break(
        "compared-too-late",
        "stream_anon/pipeline/painting/gate.py",
        "        old = OldFaces(crops)\n        crops.setflags(write=False)\n"
        "        rendered = self._render(crops, subjects)\n",
        "        rendered = self._render(crops, subjects)\n        old = OldFaces(crops)\n",
        ("tests/pipeline/test_gate_more.py",),
        "a method that writes into its crops is compared with what it wrote",
    ),
    Break(
        "whole-frame-too-fine",
        "stream_anon/pipeline/painting/gate.py",
        "PIXELATED_BLOCKS = 4",
        "PIXELATED_BLOCKS = 24",
        ("tests/pipeline/test_gate_more.py",),
        "a close-up in a frame that is pixelated whole can be recognised",
    ),
    Break(
        "known-faces-open",
        "stream_anon/pipeline/painting/gate.py",
        "                self._fill(frame, [face])\n",
        "                pass\n",
        ("tests/pipeline/test_gate_more.py",),
        "faces that are known are not covered where the whole frame is only pixelated",
    ),
    Break(
        "declined-passes",
        "stream_anon/pipeline/painting/gate.py",
        "        rejected = failed | declined\n",
        "        rejected = failed\n",
        ("tests/pipeline/test_gate_more.py",),
        "a face that the method declined is pasted as black, or as it was",
    ),
    Break(
        "mask-not-raised",
        "stream_anon/pipeline/painting/targets.py",
        "        return at_least_minimum(rendered, len(faces))\n",
        "        return rendered if rendered is not None else at_least_minimum(None, len(faces))\n",
        ("tests/pipeline/test_gate.py",),
        "a method with a small mask leaves a ring that names people",
    ),
    Break(
        "damaged-passes",
        "stream_anon/pipeline/painting/gate.py",
        "        if frame.corrupt and analysis_error is None:\n",
        "        if False:\n",
        ("tests/pipeline/test_gate.py",),
        "a damaged frame shows a face at a place that nobody looked at",
    ),
    Break(
        "cover-not-grown",
        "stream_anon/pipeline/painting/targets.py",
        "COVER_GROWTH = 1.25",
        "COVER_GROWTH = 0.6",
        ("tests/pipeline/test_gate.py",),
        "the solid cover is smaller than the face",
    ),
    Break(
        "mask-smaller",
        "stream_anon/geometry.py",
        "MASK_SEMI_AXES = (44.0, 58.0)",
        "MASK_SEMI_AXES = (33.0, 44.0)",
        ("tests/test_geometry.py", "tests/pipeline/test_whole_run.py"),
        "forehead, jaw and cheeks stay open, by which recognisers name people",
    ),
    Break(
        "seal-for-all",
        "stream_anon/media/cleared.py",
        "        if seal is not _SEAL:\n",
        "        if seal is None:\n",
        ("tests/attacks/test_pass.py",),
        "anything can pass as cleared",
    ),
    Break(
        "stop-goes-on",
        "stream_anon/pipeline/painting/gate.py",
        '        if self._fault.policy == "stop":\n            raise fault\n        log.',
        "        log.",
        ("tests/pipeline/test_gate.py",),
        "a run that should stop at a fault goes on",
    ),
)

METHODS = (
    Break(
        "blur-half",
        "stream_anon/methods/blur.py",
        "self._sigma = deviation * self.crop_size",
        "self._sigma = 0.5 * deviation * self.crop_size",
        ("tests/methods/test_strength.py",),
        "a blurred face can be recognised",
    ),
    Break(
        "mosaic-finer",
        "stream_anon/methods/pixelate.py",
        "return max(2, min(self._cells, ",
        "return max(2, min(2 * self._cells, ",
        ("tests/methods/test_strength.py",),
        "a mosaic of twice as many cells can be recognised",
    ),
    Break(
        "key-kept",
        "stream_anon/privacy/randomness.py",
        "            self._key[:] = builtins.bytes(len(self._key))\n",
        "            pass\n",
        ("tests/privacy/test_randomness.py",),
        "whoever reads the memory afterwards can undo the noise",
    ),
    Break(
        "keys-kept-by-the-method",
        "stream_anon/methods/generative/base.py",
        "        self._random.close()\n",
        "        pass\n",
        ("tests/methods/test_keys.py",),
        "the key of a run outlives it",
    ),
    Break(
        "codes-kept",
        "stream_anon/privacy/release.py",
        "            self._held.clear()\n",
        "",
        ("tests/privacy/test_release.py",),
        "the codes of a run outlive it",
    ),
    Break(
        "drawn-again",
        "stream_anon/privacy/release.py",
        "                self._held[track] = held\n",
        "",
        ("tests/privacy/test_release.py",),
        "each frame has a new draw, whose mean is the person",
    ),
    Break(
        "ended-drawn-again",
        "stream_anon/privacy/release.py",
        "                if self.ledger.has(track):\n",
        "                if False:\n",
        ("tests/privacy/test_release.py",),
        "a track that ended is released a second time",
    ),
    Break(
        "method-left-open",
        "stream_anon/pipeline/run.py",
        '                method.close()\n            if "stream-anon-analyst',
        '                pass\n            if "stream-anon-analyst',
        ("tests/pipeline/test_whole_run.py",),
        "keys stay in memory after the run",
    ),
)

VIDEO = (
    Break(
        "damage-ends-anywhere",
        "stream_anon/media/input/decoder.py",
        "elif av_frame.key_frame or key:",
        "else:",
        ("tests/media/input/test_faults.py", "tests/media/input/test_leaks.py"),
        "what is predicted from damage shows a face where nobody looked",
    ),
    Break(
        "broken-tail",
        "stream_anon/media/input/source.py",
        "if decoder.broken and not self._tolerant:",
        "if False:",
        ("tests/media/input/test_faults.py", "tests/media/input/test_leaks.py"),
        "the last frames are lost, and nobody is told",
    ),
    Break(
        "short-file",
        "stream_anon/media/input/source.py",
        "if missing and not self._tolerant:",
        "if False:",
        ("tests/media/input/test_faults.py",),
        "a file that breaks off counts as whole",
    ),
    Break(
        "captions-x264",
        "stream_anon/media/output/encoders.py",
        'return {"crf": f"{crf:g}", "preset": preset, "a53cc": "0", "udu_sei": "0"}',
        'return {"crf": f"{crf:g}", "preset": preset, "a53cc": "1", "udu_sei": "0"}',
        ("tests/media/input/test_leaks.py",),
        "closed captions say what was said and by whom",
    ),
    Break(
        "user-data-x264",
        "stream_anon/media/output/encoders.py",
        'return {"crf": f"{crf:g}", "preset": preset, "a53cc": "0", "udu_sei": "0"}',
        'return {"crf": f"{crf:g}", "preset": preset, "a53cc": "0", "udu_sei": "1"}',
        ("tests/media/input/test_leaks.py",),
        "a camera's user data tells place, time and device",
    ),
    Break(
        "playlists",
        "stream_anon/media/input/probe.py",
        '    "ogg,mxf,nut,dv,rm,wtv,yuv4mpegpipe"\n',
        '    "ogg,mxf,nut,dv,rm,wtv,yuv4mpegpipe,hls,concat"\n',
        ("tests/media/input/test_leaks.py",),
        "a .mp4 that is a playlist opens another file",
    ),
    Break(
        "painted-in-place",
        "stream_anon/media/cpu_frame.py",
        "            self._av_frame.make_writable()\n",
        "",
        ("tests/media/input/test_source.py", "tests/media/input/test_leaks.py"),
        "a cover moves with what is predicted from it, off the face",
    ),
    Break(
        "metadata-kept",
        "stream_anon/media/output/_mux.py",
        "        if options.keep_metadata:\n            self._output.metadata",
        "        if True:\n            self._output.metadata",
        ("tests/media/output/test_round_trip_streams.py",),
        "place, time and device go along",
    ),
    Break(
        "attached-frame",
        "stream_anon/media/output/streams.py",
        "    if stream.attached_picture:\n",
        "    if False:\n",
        ("tests/media/output/test_streams.py", "tests/media/output/test_round_trip.py"),
        "a cover frame shows the face",
    ),
    Break(
        "part-file-left",
        "stream_anon/media/output/sink.py",
        "        self.temporary.unlink(missing_ok=True)\n        if hard:\n            return\n",
        "        if hard:\n            return\n",
        ("tests/media/output/test_sink.py",),
        "what was given up is left behind",
    ),
)

CONFIG = (
    Break(
        "any-threshold",
        "stream_anon/config.py",
        "    threshold: Annotated[Number, Field(ge=0, le=0.5)] = 0.2",
        "    threshold: Annotated[Number, Field(ge=0)] = 0.2",
        ("tests/test_config.py",),
        "a threshold of 1 finds nobody, and the run ends well",
    ),
    Break(
        "lax-numbers",
        "stream_anon/config.py",
        "Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]",
        "Number = Annotated[float, Field(allow_inf_nan=False)]",
        ("tests/test_config.py",),
        "threshold: true is a threshold of 1",
    ),
    Break(
        "keep-above",
        "stream_anon/config.py",
        "        if self.keep_threshold > self.threshold:\n",
        "        if False:\n",
        ("tests/test_config.py",),
        "looks that find a face again do not count",
    ),
    Break(
        "any-interval",
        "stream_anon/config.py",
        "interval: Annotated[Span, Field(gt=0, le=1)] = 0.28",
        "interval: Annotated[Span, Field(gt=0)] = 0.28",
        ("tests/test_config.py",),
        "the detector looks once in the whole video",
    ),
)

VERIFY = (
    Break(
        "verdict-ignored",
        "stream_anon/pipeline/second_look.py",
        "        if verdict.passed:\n",
        "        if True:\n",
        ("tests/verification/test_run.py",),
        "a file that shows a face as it was gets its name",
    ),
    Break(
        "visible-for-ever",
        "stream_anon/verification/check.py",
        "visible = files.visible.get((pair.stream, pair.index), ())",
        "visible = [box for boxes in files.visible.values() for box in boxes]",
        ("tests/verification/test_run.py",),
        "who consented for a moment may be shown at any",
    ),
)

BREAKS = (*DETECT, *TRACK, *LOOK, *PIPELINE, *GATE, *METHODS, *VIDEO, *CONFIG, *VERIFY)
