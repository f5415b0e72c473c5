// A track's drawing, unrolled onto the texture of a mesh, carried to where the mesh lies now.
// The arithmetic is that of warp.py beside this file, bit for bit: everything is an integer.
//
// Points are told in units of 1 / 256 of a pixel. A triangle that is turned away takes no pixel,
// and of those that share one the last in the list wins, as in alignment/uv.py.
#include "common.cuh"

struct Edges {
    i64 x[3], y[3], area;
};

// Twice the signed area of three points; positive where they run clockwise on the screen.
__device__ inline i64 cross(i64 ax, i64 ay, i64 bx, i64 by, i64 cx, i64 cy) {
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
}

__device__ inline Edges edges_of(const int *points, const int *triangle) {
    Edges e;
    for (int k = 0; k < 3; ++k) {
        e.x[k] = points[2 * triangle[k]];
        e.y[k] = points[2 * triangle[k] + 1];
    }
    e.area = cross(e.x[0], e.y[0], e.x[1], e.y[1], e.x[2], e.y[2]);
    return e;
}

// Weight of corner k at (x, y), in parts of the area.
__device__ inline i64 part(const Edges &e, int k, i64 x, i64 y) {
    int a = (k + 1) % 3, b = (k + 2) % 3;
    return cross(e.x[a], e.y[a], e.x[b], e.y[b], x, y);
}

// Which triangle each pixel shows: owners (faces, size, size), must be zero; number plus 1.
// points: (faces, count, 2). One thread a triangle of a face.
extern "C" __global__ void warp_owners(const int *points, int faces, int count, const int *triangles, int number, int size, int *owners) {
    i64 t = THREAD;
    if (t >= (i64)faces * number) return;
    i64 face = t / number;
    int index = (int)(t % number);
    Edges e = edges_of(points + 2 * face * count, triangles + 3 * index);
    if (e.area <= 0) return;
    i64 low[2], high[2];
    for (int axis = 0; axis < 2; ++axis) {
        const i64 *v = axis ? e.y : e.x;
        i64 least = v[0] < v[1] ? v[0] : v[1], most = v[0] < v[1] ? v[1] : v[0];
        least = least < v[2] ? least : v[2];
        most = most < v[2] ? v[2] : most;
        low[axis] = at_least_at_most((least + 255) >> 8, 0, size);
        high[axis] = at_least_at_most(most >> 8, -1, size - 1);
    }
    for (i64 y = low[1]; y <= high[1]; ++y)
        for (i64 x = low[0]; x <= high[0]; ++x) {
            bool inside = true;
            for (int k = 0; k < 3; ++k) inside = inside && part(e, k, x << 8, y << 8) >= 0;
            // The largest number wins, whatever the order.
            if (inside) atomicMax(owners + (face * size + y) * size + x, index + 1);
        }
}

// Textures (faces, side, side, 4) over crops (faces, size, size, 3), in place. texels: (count, 2),
// where the points lie in the texture; the fourth channel and amounts[f] (0 to 256) say how much.
extern "C" __global__ void warp_paint(const int *points, int faces, int count, const int *triangles, const int *owners, int size, const int *texels, const u8 *textures, int side, const int *amounts, u8 *crops) {
    i64 t = THREAD, area = (i64)size * size;
    if (t >= faces * area || !owners[t]) return;
    i64 face = t / area, x = t % area % size, y = t % area / size;
    const int *triangle = triangles + 3 * (owners[t] - 1);
    Edges e = edges_of(points + 2 * face * count, triangle);
    i64 u = 0, v = 0;
    for (int k = 0; k < 3; ++k) {
        i64 weight = part(e, k, x << 8, y << 8);
        u += weight * texels[2 * triangle[k]];
        v += weight * texels[2 * triangle[k] + 1];
    }
    u = at_least_at_most(u / e.area, 0, (i64)(side - 1) << 8);
    v = at_least_at_most(v / e.area, 0, (i64)(side - 1) << 8);
    i64 tx = u >> 8, ty = v >> 8, wx = u & 255, wy = v & 255;
    i64 right = tx + 1 < side ? tx + 1 : side - 1, below = ty + 1 < side ? ty + 1 : side - 1;
    const u8 *texture = textures + 4 * face * side * side;
    i64 shown[4];
    for (int c = 0; c < 4; ++c) {
        i64 above = (256 - wx) * texture[4 * (ty * side + tx) + c] + wx * texture[4 * (ty * side + right) + c];
        i64 under = (256 - wx) * texture[4 * (below * side + tx) + c] + wx * texture[4 * (below * side + right) + c];
        shown[c] = (256 - wy) * above + wy * under;
    }
    // The share in units of 1 / (255 * 2^16), the colours in units of 1 / 2^16.
    i64 whole = 255ll << 16, share = (shown[3] * amounts[face]) >> 8;
    for (int c = 0; c < 3; ++c) {
        i64 old = (i64)crops[3 * t + c] << 16;
        i64 mixed_levels = (share * shown[c] + (whole - share) * old) / whole;
        crops[3 * t + c] = (u8)((mixed_levels + 32768) >> 16);
    }
}
