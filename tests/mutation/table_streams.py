"""Breaks of what streams, photos and pipes need; see ``table``."""

from __future__ import annotations

from tests.mutation.runner import Break

STREAMS = (
    Break(
        "gap-keeps-tracks",
        "stream_anon/pipeline/analysis.py",
        "        analyzer = self._analyzers.pop(item.stream, None)\n",
        "        analyzer = None\n",
        ("tests/pipeline/streams/test_gaps.py",),
        "somebody is followed into a picture that shows something else",
    ),
    Break(
        "gap-ends-nothing",
        "stream_anon/pipeline/run.py",
        "        self._compositor.end(tally.gap(item))\n",
        "        tally.gap(item)\n",
        ("tests/pipeline/streams/test_gaps.py",),
        "keys of people who are gone stay in memory for months",
    ),
    Break(
        "size-may-change",
        "stream_anon/pipeline/stream_analyzer.py",
        "        elif form != self._form:\n",
        "        elif False:\n",
        ("tests/pipeline/streams/test_gaps.py",),
        "boxes of one size are painted on frames of another",
    ),
    Break(
        "drops-uncounted",
        "stream_anon/pipeline/flow.py",
        "                    self.dropped += 1\n",
        "                    self.dropped += 0\n",
        ("tests/pipeline/streams/test_gaps.py", "tests/pipeline/test_flow.py"),
        "frames are missing, and nobody is told",
    ),
    Break(
        "folded-released-again",
        "stream_anon/privacy/ledger.py",
        "return track in self._entries or track in self._past",
        "return track in self._entries",
        ("tests/privacy/test_ledger_bounded.py",),
        "of a long run, somebody's code is drawn a second time",
    ),
    Break(
        "photo-metadata-kept",
        "stream_anon/media/output/photo_sink.py",
        "    if keep_metadata and template.exif:\n",
        "    if template.exif:\n",
        ("tests/media/photos/test_photos.py",),
        "a photo says where and when it was taken",
    ),
    Break(
        "photo-of-anybody",
        "stream_anon/media/output/photo_sink.py",
        "        if type(cleared) is not Cleared:\n",
        "        if False:\n",
        ("tests/media/contracts/test_ends.py",),
        "what nobody painted is written as a photo",
    ),
    Break(
        "photo-lies-on-its-side",
        "stream_anon/media/photo.py",
        "        return _ROTATIONS[self.orientation]\n",
        "        return 0\n",
        ("tests/media/photos/test_photos.py",),
        "in a phone's upright photo people lie on their side and are not found",
    ),
    Break(
        "part-as-if-whole",
        "stream_anon/media/output/pipe.py",
        "        self._pipe.shut = True\n",
        "        self._pipe.shut = False\n",
        ("tests/cli/test_pipes.py",),
        "a part that a failed run wrote to a pipe looks like the whole",
    ),
    Break(
        "preview-for-everybody",
        "stream_anon/pipeline/painting/preview.py",
        "private=shot.before is not None)",
        "private=False)",
        ("tests/cli/test_preview.py",),
        "a preview that shows people can be read by every user of the machine",
    ),
    Break(
        "drain-unwatched",
        "stream_anon/pipeline/run.py",
        'with worker.busy("drain", clock, allowance=DRAIN * spent * self._sink.held):',
        'with worker.busy("drain", clock, watched=False):',
        ("tests/pipeline/streams/test_drain.py",),
        "an encoder that hangs with the last frames is waited for for ever",
    ),
)
