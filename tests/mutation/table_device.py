"""Breaks of frames on a device."""

from __future__ import annotations

from tests.mutation.runner import Break

PARITY = "tests/media/device/test_parity.py"
DECODING = "tests/media/device/decoding"
BATCHES = "tests/media/device/test_batches.py"
ORDER = "tests/media/device/test_order.py"

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
    Break(
        "batch-half-painted-passes",
        "stream_anon/pipeline/painting/gate.py",
        "            if whole and (failed is None or faces):\n",
        "            if faces:\n",
        (f"{BATCHES}::test_a_paste_that_fails_half_way_takes_the_next_step",),
        "a batch that failed half way leaves with open faces",
    ),
    Break(
        "painted-is-not-what-was-compared",
        "stream_anon/pipeline/painting/transfer.py",
        "        mine: Pixels = module.take(crops, np.arange(len(crops)))\n",
        "        mine: Pixels = crops\n",
        (f"{BATCHES}::TestTrust::test_what_is_painted_is_what_was_compared",),
        "a method on a device changes its answer when the gate has looked",
    ),
    Break(
        "queues-do-not-wait",
        "stream_anon/media/device/order.py",
        "                for event in one.behind if writing else (one.behind.changed,):\n",
        "                for event in ():\n",
        (f"{ORDER}::test_memory_is_used_again_only_when_it_is_free",),
        "faces are cut and pasted before the frame is there",
    ),
    Break(
        "memory-is-used-too-early",
        "stream_anon/media/device/pool.py",
        "        for event in events:\n            self._streams.wait(event)\n",
        "",
        (f"{ORDER}::test_planes_that_are_still_read_are_not_overwritten",),
        "a frame is overwritten by the next, unpainted one while it is copied to the encoder",
    ),
    Break(
        "failed-batch-keeps-its-memory",
        "stream_anon/pipeline/painting/painter.py",
        "            let_go(error)\n",
        "",
        (f"{BATCHES}::TestMemory::test_the_batch_is_halved_until_it_fits_and_stays_so",),
        "what finds no memory for a batch finds none for half of it either",
    ),
)
