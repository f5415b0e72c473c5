"""Breaks of frames on a device."""

from __future__ import annotations

from tests.mutation.runner import Break

PARITY = "tests/media/device/test_parity.py"

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
)
