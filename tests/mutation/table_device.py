"""Breaks of frames on a device."""

from __future__ import annotations

from tests.mutation.runner import Break

PARITY = "tests/media/device/test_parity.py"
DECODING = "tests/media/device/decoding"

DEVICE = (
    Break(
        "device-paints-backwards",
        "stream_anon/media/device/plans.py",
        "    return tiles, faces[order].astype(np.int32)\n",
        "    return tiles, faces[order][::-1].astype(np.int32)\n",
        (f"{PARITY}::test_a_later_patch_covers_an_earlier_one",),
        "a cover lies under its neighbour's soft edge",
    ),
    Break(
        "device-leaves-the-edge",
        "stream_anon/media/device/plans.py",
        "(ends[kept] + 1) // 2 * 2",
        "ends[kept] // 2 * 2",
        (f"{PARITY}::test_the_last_row_and_column_are_covered",),
        "the last column of a face at the border of an odd frame is shown",
    ),
    Break(
        "device-hides-damage",
        "stream_anon/media/device/source.py",
        "        corrupt=frame.corrupt,\n",
        "",
        (f"{PARITY}::test_damage_is_told_on",),
        "a damaged frame is believed to be whole",
    ),
    Break(
        "noise-for-every-code",
        "stream_anon/kernels/track_codes.py",
        "            if track not in self._held:\n",
        "            if True:\n",
        ("tests/kernels/test_noise.py::test_a_track_is_released_once",),
        "a track is released more than once",
    ),
    Break(
        "keys-shared-by-tracks",
        "stream_anon/kernels/track_codes.py",
        "            owners = np.arange(len(first), dtype=np.int32)\n",
        "            owners = np.zeros(len(first), np.int32)\n",
        ("tests/kernels/test_noise.py::test_tracks_take_noise_of_their_own",),
        "what two people's codes differ by is given away",
    ),
    Break(
        "nvdec-owes-frames",
        "stream_anon/media/device/nvdec.py",
        "            return self._replayed(packet, error)\n",
        "            return []\n",
        (f"{DECODING}/test_nvdec.py::test_a_decoder_that_fails_in_mid_stream_loses_nothing",),
        "frames that a card was given before it failed never come",
    ),
    Break(
        "nvdec-gives-twice",
        "stream_anon/media/device/nvdec.py",
        "            if number in self._given:\n",
        "            if False:\n",
        (f"{DECODING}/test_nvdec.py::test_a_decoder_that_fails_in_mid_stream_loses_nothing",),
        "frames come again, at times that are not theirs",
    ),
    Break(
        "dali-is-believed",
        "stream_anon/media/device/dali.py",
        "            if given > count or (found < SEQUENCE and given < count):\n",
        "            if False:\n",
        (f"{DECODING}/test_dali.py::test_frames_are_counted",),
        "frames are shown at the times of others",
    ),
    Break(
        "dali-hides-damage",
        "stream_anon/media/device/dali.py",
        "                yield Redone(frame, bad or frame.is_corrupt)\n",
        "                yield Redone(frame, False)\n",
        (f"{DECODING}/test_dali.py::test_damage_in_a_group_that_the_cpu_decodes_is_marked",),
        "a damaged frame is believed to be whole",
    ),
    Break(
        "surface-of-the-decoder",
        "stream_anon/media/device/decoded.py",
        "    streams.finish(copied)\n",
        "",
        (f"{DECODING}/test_decoded_runs.py::test_decoders_take_their_memory_back_only_when_it_was_read",),
        "a frame is read from memory that the decoder has taken back",
    ),
    Break(
        "torn-frame-lifted",
        "stream_anon/live/painting/source.py",
        "        return frame if ring.is_whole(*found) else None\n",
        "        return frame\n",
        ("tests/live/test_device.py::test_a_frame_that_is_written_over_meanwhile_is_torn",),
        "half of one frame and half of another is painted where one of them has its faces",
    ),
)
