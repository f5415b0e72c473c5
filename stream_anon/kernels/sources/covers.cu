// Faces and frames of which little is left: cells, planes of colour, the soft cover, blocks.
// The arithmetic is that of covers.py beside this file, bit for bit: everything is an integer.
#include "common.cuh"

// Crops (faces, size, size, 3) as squares: the mean of each of cells[f] by cells[f] areas, on
// (faces, side, side, 3).
extern "C" __global__ void cover_cells(const u8 *crops, int faces, int size, const int *cells, int side, u8 *out) {
    i64 t = THREAD, area = (i64)side * side;
    if (t >= faces * area) return;
    i64 face = t / area, across = cells[face];
    i64 column = t % area % side * across / side, row = t % area / side * across / side;
    // In these units a pixel is `across` wide and a cell `size`.
    i64 x0 = column * size, x1 = x0 + size, y0 = row * size, y1 = y0 + size;
    i64 sum[3] = {0, 0, 0};
    for (i64 y = y0 / across; y * across < y1; ++y) {
        i64 high = ((y + 1) * across < y1 ? (y + 1) * across : y1) - (y * across > y0 ? y * across : y0);
        for (i64 x = x0 / across; x * across < x1; ++x) {
            i64 wide = ((x + 1) * across < x1 ? (x + 1) * across : x1) - (x * across > x0 ? x * across : x0);
            const u8 *pixel = crops + 3 * ((face * size + y) * size + x);
            for (int c = 0; c < 3; ++c) sum[c] += high * wide * pixel[c];
        }
    }
    i64 whole = (i64)size * size;
    for (int c = 0; c < 3; ++c) out[3 * t + c] = (u8)((sum[c] + whole / 2) / whole);
}

// The plane of colour nearest to what `solve` (3, size * size) reads of each crop:
// (faces, 3 channels, 3 numbers), units of 1 / 2^32.
extern "C" __global__ void cover_fit(const u8 *crops, int faces, int size, const i64 *solve, i64 *planes) {
    i64 t = THREAD;
    if (t >= (i64)faces * 9) return;
    i64 face = t / 9, area = (i64)size * size, sum = 0;
    int channel = (int)(t % 9 / 3);
    const i64 *row = solve + t % 3 * area;
    for (i64 p = 0; p < area; ++p) sum += row[p] * crops[3 * (face * area + p) + channel];
    planes[t] = sum;
}

// Planes of colour as pictures (faces, size, size, 3).
extern "C" __global__ void cover_plane(const i64 *planes, int faces, int size, u8 *out) {
    i64 t = THREAD, area = (i64)size * size;
    if (t >= faces * area) return;
    i64 x = 2 * (t % area % size) + 1 - size, y = 2 * (t % area / size) + 1 - size;
    for (int c = 0; c < 3; ++c) {
        const i64 *plane = planes + 9 * (t / area) + 3 * c;
        i64 level = 2 * size * plane[0] + x * plane[1] + y * plane[2] + ((i64)size << 32);
        out[3 * t + c] = level < 0 ? 0 : (u8)at_least_at_most(level / ((2ll * size) << 32), 0, 255);
    }
}

// The soft cover, 1: means of the cells (faces, cells, 3), units of 1 / 65536. kinds: (size * size)
// the cell of each hidden pixel, -1 where nothing is hidden.
extern "C" __global__ void cover_means(const u8 *crops, int faces, int size, const int *kinds, int cells, i64 *means) {
    i64 t = THREAD;
    if (t >= (i64)faces * cells * 3) return;
    i64 face = t / (3 * cells), area = (i64)size * size, sum = 0, count = 0;
    int kind = (int)(t / 3 % cells), channel = (int)(t % 3);
    for (i64 p = 0; p < area; ++p)
        if (kinds[p] == kind) {
            sum += crops[3 * (face * area + p) + channel];
            ++count;
        }
    means[t] = ((sum << 16) + count / 2) / (count ? count : 1);
}

// The soft cover, 2: cells made smooth where something is hidden, the frame elsewhere, units of
// 1 / 256. tables: two of (size * size, cells), units of 1 / 65536; small[f] takes the second.
extern "C" __global__ void cover_shown(const u8 *crops, int faces, int size, const int *kinds, int cells, const i64 *means, const int *tables, const int *small, int *shown) {
    i64 t = THREAD, area = (i64)size * size;
    if (t >= faces * area) return;
    i64 face = t / area, p = t % area;
    const int *weights = tables + (small[face] ? area * cells : 0) + p * cells;
    for (int c = 0; c < 3; ++c) {
        i64 sum = 0;
        if (kinds[p] < 0) {
            shown[3 * t + c] = crops[3 * t + c] << 8;
            continue;
        }
        for (int k = 0; k < cells; ++k) sum += weights[k] * means[(face * cells + k) * 3 + c];
        shown[3 * t + c] = (int)((sum + (1 << 23)) >> 24);
    }
}

// The soft cover, 3: blurred across or down by an odd number of taps, units of 1 / 65536.
extern "C" __global__ void cover_blur(const int *from, int faces, int size, const int *kernel, int taps, int down, int *to) {
    i64 t = THREAD, area = (i64)size * size;
    if (t >= faces * area) return;
    i64 face = t / area, x = t % area % size, y = t % area / size;
    i64 sum[3] = {0, 0, 0};
    for (int k = 0; k < taps; ++k) {
        i64 at = at_least_at_most((down ? y : x) + k - taps / 2, 0, size - 1);
        const int *pixel = from + 3 * (face * area + (down ? at * size + x : y * size + at));
        for (int c = 0; c < 3; ++c) sum[c] += (i64)kernel[k] * pixel[c];
    }
    for (int c = 0; c < 3; ++c) to[3 * t + c] = (int)((sum[c] + 32768) >> 16);
}

// The soft cover, 4: how often each strength of fine noise is met outside (faces, bins), from 0.
extern "C" __global__ void cover_noise(const u8 *crops, int faces, int size, const int *kinds, int bins, u32 *counts) {
    i64 t = THREAD, area = (i64)size * size;
    if (t >= faces * area || kinds[t % area] >= 0) return;
    i64 face = t / area, x = t % area % size, y = t % area / size;
    const int ones[3] = {1, -2, 1};
    int fine = 0;
    for (int dy = -1; dy < 2; ++dy)
        for (int dx = -1; dx < 2; ++dx) {
            i64 at_x = x + dx < 0 ? 1 : x + dx >= size ? size - 2 : x + dx;
            i64 at_y = y + dy < 0 ? 1 : y + dy >= size ? size - 2 : y + dy;
            const u8 *p = crops + 3 * (face * area + at_y * size + at_x);
            // BT.601, as OpenCV rounds it.
            int grey = (p[0] * 9798 + p[1] * 19235 + p[2] * 3735 + 16384) >> 15;
            fine += ones[dx + 1] * ones[dy + 1] * grey;
        }
    fine = fine < 0 ? -fine : fine;
    atomicAdd(counts + face * bins + (fine < bins ? fine : bins - 1), 1u);
}

// The soft cover, 5: the strength of the grain that is put on top, units of 1 / 65536, from the
// median of those counts; `unit` is what a step of the median is worth.
extern "C" __global__ void cover_level(const u32 *counts, int faces, int bins, int unit, int most, int *grains) {
    i64 face = THREAD;
    if (face >= faces) return;
    const u32 *row = counts + face * bins;
    i64 total = 0, seen = 0, twice = 0;
    for (int k = 0; k < bins; ++k) total += row[k];
    for (int k = 0; k < bins; ++k) {
        // Both middle values of an even number.
        if (seen <= (total - 1) / 2 && (total - 1) / 2 < seen + row[k]) twice += k;
        if (seen <= total / 2 && total / 2 < seen + row[k]) twice += k;
        seen += row[k];
    }
    grains[face] = (int)at_least_at_most(twice * unit / 2, 0, most);
}

// The soft cover, 6: with grain (size, size), units of 1 / 65536, shifted for every frame.
extern "C" __global__ void cover_finish(const int *blurred, int faces, int size, const int *grain, const int *grains, int shift_x, int shift_y, u8 *out) {
    i64 t = THREAD, area = (i64)size * size;
    if (t >= faces * area) return;
    i64 x = (t % area % size + size - shift_x) % size, y = (t % area / size + size - shift_y) % size;
    i64 more = ((i64)grain[y * size + x] * grains[t / area]) >> 24;
    for (int c = 0; c < 3; ++c)
        out[3 * t + c] = (u8)at_least_at_most((blurred[3 * t + c] + more + 128) >> 8, 0, 255);
}

// A whole frame in blocks, 1: sums of each row (frames, 3 components, height, across). The axes
// are those of maps.cu: luma's, then chroma's.
extern "C" __global__ void cover_rows(const u64 *planes, const int *geometry, int count, int height, int across, const int *firsts, const int *weights, const int *taps, i64 *sums) {
    i64 t = THREAD, each = (i64)height * across;
    if (t >= count * 3 * each) return;
    int component = (int)(t / each % 3), block = (int)(t % each % across);
    i64 y = t % each / across, sum = 0;
    Plane p = plane_of(planes, geometry, t / (3 * each), component);
    if (y >= p.height) return;
    int axis = component ? 1 : 0, n = taps[axis];
    const int *weight = weights + (axis ? across * taps[0] : 0) + block * n;
    for (int k = 0; k < n; ++k)
        if (weight[k]) sum += (i64)weight[k] * sample_at(p, firsts[axis * across + block] + k, y);
    sums[t] = sum;
}

// A whole frame in blocks, 2: levels (frames, 3 components, down, across).
extern "C" __global__ void cover_blocks(const i64 *sums, int count, int height, int across, int down, const int *firsts, const int *weights, const int *taps, int *blocks) {
    i64 t = THREAD, each = (i64)down * across;
    if (t >= count * 3 * each) return;
    int component = (int)(t / each % 3), axis = component ? 1 : 0, n = taps[axis];
    i64 row = t % each / across, sum = 0;
    const int *weight = weights + (axis ? down * taps[0] : 0) + row * n;
    const i64 *columns = sums + t / each * height * across + t % across;
    for (int k = 0; k < n; ++k)
        if (weight[k]) sum += weight[k] * columns[(firsts[axis * down + row] + k) * across];
    blocks[t] = (int)((sum + (1ll << 31)) >> 32);
}

// A whole frame in blocks, 3: every sample takes its block's level; with one block it is one colour.
// One thread a chroma sample and the luma samples that belong to it.
extern "C" __global__ void cover_paint(const u64 *planes, const int *geometry, int count, int width, int height, const int *blocks, int across, int down) {
    i64 t = THREAD, wide = (width + 1) / 2, high = (height + 1) / 2;
    if (t >= count * wide * high) return;
    i64 frame = t / (wide * high), x = t % (wide * high) % wide, y = t % (wide * high) / wide;
    const int *own = blocks + frame * 3 * down * across;
    for (int c = 0; c < 3; ++c) {
        Plane p = plane_of(planes, geometry, frame, c);
        int each = c ? 1 : 2;
        for (int k = 0; k < each * each; ++k) {
            i64 px = each * x + k % each, py = each * y + k / each;
            if (px >= p.width || py >= p.height) continue;
            int level = own[(c * down + py * down / p.height) * across + px * across / p.width];
            u8 *row = (u8 *)p.bytes + py * p.pitch;
            if (p.wide) ((u16 *)row)[px * p.stride + p.first] = (u16)(level << 6);
            else row[px * p.stride + p.first] = (u8)level;
        }
    }
}

// Values of each crop put elsewhere in it: out[f][k] = crops[f][index[k]], with an index of `values`
// numbers of its own for each face, at the address that `indexes` names.
extern "C" __global__ void cover_gather(const u8 *crops, int faces, int values, const u64 *indexes, u8 *out) {
    i64 t = THREAD;
    if (t >= (i64)faces * values) return;
    i64 face = t / values;
    out[t] = crops[face * values + ((const int *)indexes[face])[t % values]];
}
