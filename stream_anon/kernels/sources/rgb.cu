// RGB that a decoder made out of 4:2:0, back as NV12: DALI gives nothing else.
// The arithmetic is that of rgb.py beside this file, bit for bit: everything is an integer.
//
// DALI converts by BT.601 and draws chroma between its samples as straight lines. Luma comes back by
// the inverse matrix; the mean chroma of two by two samples is the old chroma blurred by
// (1, 6, 1) / 8 across and down, which rgb_chroma takes back by the inverse filter.
#include "common.cuh"

// Luma into the frames, mean chroma (count, 2, height / 2, width / 2) in units of 1 / 256 beside
// them. `rgb` is (count, height, width, 3); width and height are even.
extern "C" __global__ void rgb_luma(const u8 *rgb, const u64 *planes, const int *geometry, const int *colours, int count, int width, int height, int *means) {
    i64 t = THREAD, w = width / 2, area = w * (height / 2);
    if (t >= count * area) return;
    i64 frame = t / area, x = t % area % w, y = t % area / w;
    const int *matrix = colours + COLOURS * frame + TO_YCC;
    Plane p = plane_of(planes, geometry, frame, 0);
    i64 sums[3] = {0, 0, 0};
    for (int k = 0; k < 4; ++k) {
        i64 row = 2 * y + k / 2, at = 2 * x + k % 2;
        const u8 *pixel = rgb + 3 * ((frame * height + row) * width + at);
        i64 values[3] = {pixel[0], pixel[1], pixel[2]};
        i64 level = (mixed(matrix, 0, values, 0) + (1 << 15)) >> 16;
        ((u8 *)p.bytes)[row * p.pitch + at] = (u8)at_least_at_most(level, 0, 255);
        for (int c = 1; c < 3; ++c) sums[c] += mixed(matrix, c, values, 0);
    }
    for (int c = 0; c < 2; ++c) means[(frame * 2 + c) * area + t % area] = (int)((sums[c + 1] + 512) >> 10);
}

__device__ inline i64 folded(i64 at, i64 length) {
    i64 place = at % (2 * length);
    if (place < 0) place += 2 * length;
    return place < length ? place : 2 * length - 1 - place;
}

// Chroma into the frames: the means, filtered across and down by `weights` (taps, odd) in units of
// 1 / 65536. Beyond a border the samples come back mirrored.
extern "C" __global__ void rgb_chroma(const int *means, const u64 *planes, const int *geometry, int count, int width, int height, const int *weights, int taps) {
    i64 t = THREAD, w = width / 2, h = height / 2, area = w * h;
    if (t >= count * 2 * area) return;
    i64 frame = t / (2 * area), c = t / area % 2, x = t % area % w, y = t % area / w;
    const int *plane = means + (frame * 2 + c) * area;
    i64 sum = 0;
    for (int k = 0; k < taps; ++k) {
        const int *row = plane + folded(y + k - taps / 2, h) * w;
        i64 across = 0;
        for (int l = 0; l < taps; ++l) across += (i64)weights[l] * row[folded(x + l - taps / 2, w)];
        sum += weights[k] * ((across + (1 << 15)) >> 16);
    }
    Plane p = plane_of(planes, geometry, frame, (int)c + 1);
    i64 level = (sum + (1 << 23)) >> 24;
    ((u8 *)p.bytes)[y * p.pitch + x * p.stride + p.first] = (u8)at_least_at_most(level, 0, 255);
}
