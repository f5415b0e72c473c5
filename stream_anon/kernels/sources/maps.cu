// Small pictures of whole frames, as detector, tracker and shot-boundary detector read them.
// The arithmetic is that of maps.py beside this file, bit for bit: everything is an integer.
//
// An axis is told by the first source sample of each destination sample and the weights, in units
// of 1 / 65536, of so many samples from there on. maps.py makes them.
#include "common.cuh"

// The weighted mean of a plane about destination sample (x, y), in units of 1 / 2^32.
__device__ inline i64 weighted(const Plane &p, i64 x, i64 y, const int *first_x, const int *weight_x, int taps_x, const int *first_y, const int *weight_y, int taps_y) {
    i64 sum = 0;
    for (int k = 0; k < taps_y; ++k) {
        i64 row = 0, down = weight_y[y * taps_y + k];
        if (!down) continue;
        for (int l = 0; l < taps_x; ++l) {
            i64 across = weight_x[x * taps_x + l];
            if (across) row += across * sample_at(p, first_x[x] + l, first_y[y] + k);
        }
        sum += down * row;
    }
    return sum;
}

// Frames of one size scaled to (count, height, width, 3), BGR.
// firsts: across luma, down luma, across chroma, down chroma; weights likewise, one after another;
// taps: of the four.
extern "C" __global__ void map_thumbnail(const u64 *planes, const int *geometry, const int *colours, int count, int width, int height, const int *firsts, const int *weights, const int *taps, u8 *out) {
    i64 t = THREAD, area = (i64)width * height;
    if (t >= count * area) return;
    i64 frame = t / area, x = t % area % width, y = t % area / width;
    const int *first[4] = {firsts, firsts + width, firsts + width + height, firsts + 2 * width + height};
    const int *weight[4];
    weight[0] = weights;
    for (int k = 1; k < 4; ++k) weight[k] = weight[k - 1] + (k % 2 ? width : height) * taps[k - 1];
    i64 values[3];
    bool rgb = geometry[GEOMETRY * frame + FORMAT] == RGB;
    for (int c = 0; c < 3; ++c) {
        int a = c == 0 || rgb ? 0 : 2;
        Plane p = plane_of(planes, geometry, frame, c);
        i64 sum = weighted(p, x, y, first[a], weight[a], taps[a], first[a + 1], weight[a + 1], taps[a + 1]);
        values[c] = (sum + (1 << 23)) >> 24;
    }
    for (int c = 0; c < 3; ++c) {
        i64 level = rgb ? values[c] << 16 : mixed(colours + COLOURS * frame + TO_RGB, c, values, 8);
        out[3 * t + 2 - c] = (u8)at_least_at_most((level + (1 << 23)) >> 24, 0, 255);
    }
}

// Every step-th sample of every step-th row, 8 bit: (count, height, width).
extern "C" __global__ void map_luma(const u64 *planes, const int *geometry, int count, int step, int width, int height, u8 *out) {
    i64 t = THREAD, area = (i64)width * height;
    if (t >= count * area) return;
    i64 frame = t / area, x = t % area % width, y = t % area / width;
    int level = sample_at(plane_of(planes, geometry, frame, 0), x * step, y * step);
    out[t] = (u8)(level >> (depth_of(geometry, frame) - 8));
}

__device__ inline i64 mirrored(i64 at, i64 length) {
    if (length == 1) return 0;
    return at < 0 ? -at : at >= length ? 2 * length - 2 - at : at;
}

__device__ inline int mean_of_nine(const u8 *plane, int width, int height, i64 x, i64 y) {
    int sum = 0;
    for (int dy = -1; dy < 2; ++dy)
        for (int dx = -1; dx < 2; ++dx)
            sum += plane[mirrored(y + dy, height) * width + mirrored(x + dx, width)];
    return (2 * sum + 9) / 18;
}

// How far each sample has changed since the frame before: luma (count, height, width) blurred by
// three by three, and the absolute difference of it from the frame before. `last` is what came
// before the batch, not blurred.
extern "C" __global__ void map_change(const u8 *luma, const u8 *last, int count, int width, int height, u8 *blurred, u8 *change) {
    i64 t = THREAD, area = (i64)width * height;
    if (t >= count * area) return;
    i64 frame = t / area, x = t % area % width, y = t % area / width;
    const u8 *now = luma + frame * area, *before = frame ? now - area : last;
    int here = mean_of_nine(now, width, height, x, y);
    int there = mean_of_nine(before, width, height, x, y);
    blurred[t] = (u8)here;
    change[t] = (u8)(here > there ? here - there : there - here);
}

// Luma planes (count, rows, columns) scaled to (count, height, width): a shot-boundary detector's cells.
extern "C" __global__ void map_cells(const u8 *luma, int count, int columns, int rows, int width, int height, const int *first_x, const int *weight_x, int taps_x, const int *first_y, const int *weight_y, int taps_y, u8 *out) {
    i64 t = THREAD, area = (i64)width * height;
    if (t >= count * area) return;
    Plane p = {luma + t / area * ((i64)rows * columns), columns, columns, rows, 0, 1, 0};
    i64 sum = weighted(p, t % area % width, t % area / width, first_x, weight_x, taps_x, first_y, weight_y, taps_y);
    out[t] = (u8)at_least_at_most((sum + (1ll << 31)) >> 32, 0, 255);
}
