// Faces out of frames and back into them: one launch for all faces of a batch of frames.
// The arithmetic is that of faces.py beside this file, bit for bit: everything is an integer.
//
// A plan says what is read of a plane for one face: from sample (X0, Y0) on NX by NY blocks of
// SX by SY samples, which are averaged first so that nothing aliases; and where in those blocks
// place (i, j) of the destination lies, (A i + B j + C, D i + E j + F) in units of 1 / 2^24.
#include "common.cuh"

enum { X0, Y0, NX, NY, SX, SY, A, B, C, D, E, F, PLAN };

// The four blocks about a place, and their weights, which add up to 65536. Outside the blocks
// the plane goes on as at its border, or it is nothing.
struct Taps {
    i64 x[2], y[2];
    int wx[2], wy[2];
};

__device__ inline Taps taps_at(const i64 *plan, i64 i, i64 j, bool nothing_outside) {
    Taps t;
    i64 u = plan[A] * i + plan[B] * j + plan[C], v = plan[D] * i + plan[E] * j + plan[F];
    i64 x = u >> 24, y = v >> 24;
    t.wx[1] = (int)((u >> 16) & 255);
    t.wy[1] = (int)((v >> 16) & 255);
    t.wx[0] = 256 - t.wx[1];
    t.wy[0] = 256 - t.wy[1];
    for (int k = 0; k < 2; ++k) {
        if (nothing_outside && (x + k < 0 || x + k >= plan[NX])) t.wx[k] = 0;
        if (nothing_outside && (y + k < 0 || y + k >= plan[NY])) t.wy[k] = 0;
        t.x[k] = at_least_at_most(x + k, 0, plan[NX] - 1);
        t.y[k] = at_least_at_most(y + k, 0, plan[NY] - 1);
    }
    return t;
}

// The sum of a block; beyond the plane its last row and column go on, or there is nothing.
__device__ inline i64 block_sum(const Plane &p, const i64 *plan, i64 bx, i64 by,
                                bool nothing_outside) {
    i64 sum = 0;
    for (i64 dy = 0; dy < plan[SY]; ++dy)
        for (i64 dx = 0; dx < plan[SX]; ++dx) {
            i64 x = plan[X0] + bx * plan[SX] + dx, y = plan[Y0] + by * plan[SY] + dy;
            if (nothing_outside && (x >= p.width || y >= p.height)) continue;
            x = x < p.width ? x : p.width - 1;
            y = y < p.height ? y : p.height - 1;
            sum += sample_at(p, x, y);
        }
    return sum;
}

// The mean about a place, in units of 1 / 2^bits, rounded.
__device__ inline i64 mean_at(const Plane &p, const i64 *plan, const Taps &t, int bits,
                              bool nothing_outside) {
    i64 sum = 0;
    for (int k = 0; k < 2; ++k)
        for (int l = 0; l < 2; ++l) {
            i64 weight = (i64)t.wy[k] * t.wx[l];
            if (weight) sum += weight * block_sum(p, plan, t.x[l], t.y[k], nothing_outside);
        }
    i64 unit = (plan[SX] * plan[SY]) << (16 - bits);
    return (sum + unit / 2) / unit;
}

// Row f of `plans`: the frame's number, a plan for luma (or red, green and blue), one for chroma.
// crops: (faces, size, size, 3), RGB.
extern "C" __global__ void face_crop(const u64 *planes, const int *geometry, const int *colours, const i64 *plans, int faces, int size, u8 *crops) {
    i64 t = THREAD, area = (i64)size * size;
    if (t >= faces * area) return;
    const i64 *row = plans + (1 + 2 * PLAN) * (t / area);
    i64 frame = row[0], i = t % area % size, j = t % area / size;
    const i64 *own = row + 1, *shared = row + 1 + PLAN;
    bool rgb = geometry[GEOMETRY * frame + FORMAT] == RGB;
    Taps fine = taps_at(own, i, j, false), coarse = taps_at(shared, i, j, false);
    i64 values[3];
    for (int c = 0; c < 3; ++c) {
        Plane p = plane_of(planes, geometry, frame, c);
        bool whole = c == 0 || rgb;
        values[c] = mean_at(p, whole ? own : shared, whole ? fine : coarse, 0, false);
    }
    for (int c = 0; c < 3; ++c) {
        i64 level = values[c];
        if (!rgb) level = (mixed(colours + COLOURS * frame + TO_RGB, c, values, 0) + 32768) >> 16;
        crops[3 * t + c] = (u8)at_least_at_most(level, 0, 255);
    }
}

__device__ inline void put_sample(const u64 *planes, const int *geometry, i64 frame, int component,
                                  i64 x, i64 y, int value) {
    Plane p = plane_of(planes, geometry, frame, component);
    u8 *row = (u8 *)p.bytes + y * p.pitch;
    i64 at = x * p.stride + p.first;
    if (p.wide) ((u16 *)row)[at] = (u16)(value << 6);
    else row[at] = (u8)value;
}

__device__ inline int blended(i64 old, i64 fresh, int share) {
    return (int)((share * fresh + (255 - share) * old + 127) / 255);
}

enum { TILE = 16, BLOCKS = (TILE / 2) * (TILE / 2) };
enum { OF_FRAME, LEFT, TOP, RIGHT, BOTTOM, PATCH };

// Row f of `plans`: PATCH numbers (the region, in luma samples and whole chroma blocks), a plan
// for the crop and one for its mask, both from the region's first sample.
// Row t of `tiles`: frame, x, y, and from where to where in `lists` the faces stand that reach it.
// One thread a chroma block: it paints the faces one after the other, as they come in the list.
extern "C" __global__ void face_paste(const u64 *planes, const int *geometry, const int *colours, const i64 *plans, const int *tiles, int count, const int *lists, const u8 *crops, int size, const u8 *masks, int grid) {
    i64 t = THREAD;
    if (t >= (i64)count * BLOCKS) return;
    const int *tile = tiles + 5 * (t / BLOCKS);
    i64 frame = tile[0];
    int in_tile = (int)(t % BLOCKS), width = geometry[GEOMETRY * frame + WIDTH],
        height = geometry[GEOMETRY * frame + HEIGHT];
    i64 x = tile[1] + 2 * (in_tile % (TILE / 2)), y = tile[2] + 2 * (in_tile / (TILE / 2));
    if (x >= width || y >= height) return;
    const int *matrix = colours + COLOURS * frame + TO_YCC;
    i64 most = (1 << depth_of(geometry, frame)) - 1;
    i64 old[3][4];
    for (int k = 0; k < 4; ++k) {
        bool inside = x + k % 2 < width && y + k / 2 < height;
        old[0][k] = inside ? sample_at(plane_of(planes, geometry, frame, 0), x + k % 2, y + k / 2) : 0;
    }
    for (int c = 1; c < 3; ++c)
        old[c][0] = sample_at(plane_of(planes, geometry, frame, c), x / 2, y / 2);
    bool changed[5] = {false, false, false, false, false};
    for (int n = tile[3]; n < tile[4]; ++n) {
        const i64 *row = plans + (PATCH + 2 * PLAN) * (i64)lists[n];
        const i64 *news = row + PATCH, *cover = row + PATCH + PLAN;
        if (x < row[LEFT] || x >= row[RIGHT] || y < row[TOP] || y >= row[BOTTOM]) continue;
        Plane mask = {masks + (i64)lists[n] * grid * grid, grid, grid, grid, 0, 1, 0};
        int share[4], most_share = 0;
        for (int k = 0; k < 4; ++k) {
            share[k] = 0;
            if (x + k % 2 >= width || y + k / 2 >= height) continue;
            Taps at = taps_at(cover, x - row[LEFT] + k % 2, y - row[TOP] + k / 2, true);
            share[k] = (int)mean_at(mask, cover, at, 0, true);
            most_share = share[k] > most_share ? share[k] : most_share;
        }
        if (!most_share) continue;
        for (int k = 0; k < 4; ++k) changed[k] |= share[k] > 0;
        changed[4] = true;
        i64 ycc[3][4];
        for (int k = 0; k < 4; ++k) {
            Taps at = taps_at(news, x - row[LEFT] + k % 2, y - row[TOP] + k / 2, false);
            i64 rgb[3];
            for (int c = 0; c < 3; ++c) {
                Plane crop = {crops + (i64)lists[n] * size * size * 3, 3 * size, size, size, 0, 3, c};
                rgb[c] = mean_at(crop, news, at, 8, false);
            }
            for (int c = 0; c < 3; ++c) ycc[c][k] = mixed(matrix, c, rgb, 8);
        }
        for (int k = 0; k < 4; ++k) {
            i64 fresh = at_least_at_most((ycc[0][k] + (1 << 23)) >> 24, 0, most);
            old[0][k] = blended(old[0][k], fresh, share[k]);
        }
        for (int c = 1; c < 3; ++c) {
            i64 all = ycc[c][0] + ycc[c][1] + ycc[c][2] + ycc[c][3];
            i64 fresh = at_least_at_most((all + (1 << 25)) >> 26, 0, most);
            old[c][0] = blended(old[c][0], fresh, most_share);
        }
    }
    // What no mask reaches keeps every bit, also those below a P010 sample's depth.
    for (int k = 0; k < 4; ++k)
        if (changed[k])
            put_sample(planes, geometry, frame, 0, x + k % 2, y + k / 2, (int)old[0][k]);
    for (int c = 1; c < 3 && changed[4]; ++c)
        put_sample(planes, geometry, frame, c, x / 2, y / 2, (int)old[c][0]);
}
