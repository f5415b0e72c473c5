"""Breaks of what lies before the gate."""

from __future__ import annotations

from tests.mutation.runner import Break

DETECT = (
    Break(
        "five-candidates",
        "stream_anon/detection/network.py",
        "                found.append(self._decode(named, width, height))\n",
        "                one = self._decode(named, width, height)\n"
        "                best = np.argsort(-one[2])[:5]\n"
        "                found.append((one[0][best], one[1][best], one[2][best]))\n",
        ("tests/alignment/test_crowd.py",),
        "in a crowd all but five people are shown",
    ),
    Break(
        "keep-is-threshold",
        "stream_anon/detection/centerface.py",
        "np.nonzero(heat >= self.config.keep_threshold)",
        "np.nonzero(heat >= self.config.threshold)",
        ("tests/alignment/test_crowd.py",),
        "a face that turns away is lost where it should be continued",
    ),
    Break(
        "keep-is-threshold-yunet",
        "stream_anon/detection/yunet.py",
        "np.nonzero(scores >= self.config.keep_threshold)",
        "np.nonzero(scores >= self.config.threshold)",
        ("tests/alignment/test_crowd.py",),
        "likewise with the other detector",
    ),
    Break(
        "no-coarse-look",
        "stream_anon/detection/network.py",
        "    if 2 * coarse > scale:\n",
        "    if True:\n",
        ("tests/detection/test_detectors.py",),
        "a face that fills a large frame is shown",
    ),
    Break(
        "rotation-in-the-detector",
        "stream_anon/detection/network.py",
        "    pixels = view.thumbnail(*((width, height) if quarter_turns % 2 == 0 else (height, "
        "width)))\n"
        "    if quarter_turns:\n",
        "    pixels = view.thumbnail(width, height)\n    if False:\n",
        ("tests/detection/test_detectors.py",),
        "in a phone's upright video people lie on their side and are not found",
    ),
)


TRACK = (
    Break(
        "no-margin",
        "stream_anon/tracking/over_cover.py",
        "(1.0 + margin + unsure)",
        "(1.0 + unsure)",
        ("tests/tracking/test_tracker_spans.py",),
        "forehead and jaw stay open where a box is tight",
    ),
    Break(
        "no-hold",
        "stream_anon/tracking/tracker.py",
        "spans = (self.config.backfill, self.config.max_age)",
        "spans = (self.config.backfill, 0.0)",
        ("tests/tracking/test_tracker_spans.py", "tests/tracking/test_tracker.py"),
        "whoever the detector loses is shown until it finds them again",
    ),
    Break(
        "no-look-back",
        "stream_anon/tracking/tracker.py",
        "spans = (self.config.backfill, self.config.max_age)",
        "spans = (0.0, self.config.max_age)",
        ("tests/tracking/test_tracker_spans.py", "tests/tracking/test_tracker.py"),
        "whoever comes in is shown until the next look",
    ),
    Break(
        "no-bridge",
        "stream_anon/tracking/tracker.py",
        "self._max_gap = config.max_gap + config.interval",
        "self._max_gap = config.interval",
        ("tests/tracking/test_tracker_spans.py", "tests/tracking/test_tracker.py"),
        "a gap in a track is open",
    ),
    Break(
        "no-cuts",
        "stream_anon/tracking/shot_boundary.py",
        "> THRESHOLD",
        "> 1e9",
        ("tests/tracking/test_tracker.py",),
        "a new shot is not looked at until the next look is due",
    ),
    Break(
        "faint-is-nobody",
        "stream_anon/tracking/tracker.py",
        "        _, tentative = self._match(now, free, tentative, 0.7, growth)\n",
        "",
        ("tests/tracking/test_tracker_spans.py", "tests/tracking/test_tracker.py"),
        "weak detections do not continue a track",
    ),
)


PIPELINE = (
    Break(
        "doubt-not-back",
        "stream_anon/pipeline/stream_analyzer.py",
        "            if waiting.index > since:\n",
        "            if waiting.index >= self._waiting[-1].index:\n",
        ("tests/pipeline/test_stream_analyzer.py",),
        "whoever came in between the last good look and the failure is shown",
    ),
    Break(
        "no-rotation",
        "stream_anon/media/frame.py",
        "return round(self.rotation / 90) % 4",
        "return 0",
        ("tests/pipeline/test_whole_run.py",),
        "in a phone's upright video people lie on their side and are not found",
    ),
    Break(
        "counts-may-differ",
        "stream_anon/pipeline/run.py",
        "        if frames.input != frames.output + frames.dropped:\n",
        "        if False:\n",
        ("tests/pipeline/test_whole_run.py",),
        "frames are lost, and nobody is told",
    ),
    Break(
        "tracker-skips",
        "stream_anon/pipeline/stream_analyzer.py",
        "self._waiting[0].index != decided.index",
        "False",
        ("tests/attacks/test_faults.py",),
        "faces of one frame are painted on another",
    ),
    Break(
        "models-dir-in-report",
        "stream_anon/pipeline/manifest.py",
        'exclude={"models_dir", "regions"}',
        'exclude={"regions"}',
        ("tests/pipeline/test_report.py",),
        "the report names a folder of the machine, often somebody's name",
    ),
    Break(
        "input-named",
        "stream_anon/pipeline/manifest.py",
        'plan.request.input.name if named == "both" else None',
        "plan.request.input.name",
        ("tests/pipeline/test_report.py",),
        "the report says who, where and when by the input's name",
    ),
    Break(
        "output-hash-of-input",
        "stream_anon/pipeline/manifest.py",
        ", outcome.output)",
        ", outcome.input)",
        ("tests/pipeline/test_report.py",),
        "the evidence names another file",
    ),
    Break(
        "unusual-unsaid",
        "stream_anon/pipeline/run.py",
        "            outcome.notes.append(words)\n",
        "",
        ("tests/test_api.py",),
        "a run that cannot find anybody looks like one of an empty street",
    ),
    Break(
        "input-is-output",
        "stream_anon/pipeline/plan.py",
        "        if not piped and target.exists() and target.samefile(source):\n",
        "        if target == source:\n",
        ("tests/test_api.py",),
        "the original is overwritten through a link",
    ),
    Break(
        "stall-unwatched",
        "stream_anon/pipeline/flow.py",
        "now - max(doing[1], self._awake) > self._stall_seconds",
        "False",
        ("tests/pipeline/test_flow.py", "tests/attacks/test_faults.py"),
        "a part that hangs is waited for for ever",
    ),
)


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
        "no-glance",
        "stream_anon/pipeline/stream_analyzer.py",
        "        if not len(attention.sudden) or look.areas is None:\n",
        "        if True:\n",
        ("tests/tracking/test_looking.py",),
        "somebody who is there for a frame or two only is shown",
    ),
    Break(
        "glance-for-a-look",
        "stream_anon/tracking/changes.py",
        "        self._urgent &= ~cells\n\n    def looked",
        "        self.looked(cells)\n\n    def looked",
        ("tests/tracking/test_changes.py",),
        "small faces that come with a large thing are shown until the next look",
    ),
    Break(
        "carried-for-ever",
        "stream_anon/tracking/changes.py",
        "        needs_detection |= self._carried & late\n",
        "",
        ("tests/tracking/test_changes.py",),
        "what a camera slowly brings nearer is looked at as rarely as a still wall",
    ),
    Break(
        "all-is-camera",
        "stream_anon/tracking/changes.py",
        "            moving &= np.asarray(cv2.morphologyEx(own",
        "            moving &= 0 * np.asarray(cv2.morphologyEx(own",
        ("tests/tracking/test_changes.py",),
        "before a camera that moves, whoever walks is looked at as rarely as the wall behind",
    ),
    Break(
        "one-of-a-batch",
        "stream_anon/detection/network.py",
        "                    name: output[k : k + 1]\n",
        "                    name: output[:1]\n",
        ("tests/detection/test_detectors.py",),
        "of the parts of a frame that are looked at together only one is looked at",
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
