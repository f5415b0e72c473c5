// What the kernels share: names of types, the thread's number, samples of a frame's planes.
// shim/cpu_shim.h lets g++ run all of it; nothing here uses shared memory or a barrier.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define THREAD ((i64)blockIdx.x * blockDim.x + threadIdx.x)

// A frame: three addresses, and a row of numbers. Pitches are in bytes.
enum { PLANES = 3 };
enum { WIDTH, HEIGHT, PITCH, CHROMA_PITCH, FORMAT, GEOMETRY = 8 };
enum { NV12, P010, RGB };
// Colour: two matrices of three rows by four, the fourth the offset, all in units of 1 / 65536.
enum { TO_RGB = 0, TO_YCC = 12, COLOURS = 24 };

__device__ inline i64 at_least_at_most(i64 value, i64 low, i64 high) {
    return value < low ? low : value > high ? high : value;
}

// One plane as it is read: its memory, what a sample takes, and how many lie beside each other.
struct Plane {
    const u8 *bytes;
    i64 pitch;
    int width, height, wide, stride, first;
};

__device__ inline int sample_at(const Plane &p, i64 x, i64 y) {
    i64 at = x * p.stride + p.first;
    const u8 *row = p.bytes + y * p.pitch;
    return p.wide ? ((const u16 *)row)[at] >> 6 : row[at];
}

// Component 0 is luma or red, 1 and 2 are Cb and Cr or green and blue.
__device__ inline Plane plane_of(const u64 *planes, const int *geometry, i64 frame, int component) {
    const int *g = geometry + GEOMETRY * frame;
    const u64 *addresses = planes + PLANES * frame;
    Plane p;
    p.wide = g[FORMAT] == P010;
    if (component == 0 || g[FORMAT] == RGB) {
        p.bytes = (const u8 *)addresses[component];
        p.pitch = g[PITCH];
        p.width = g[WIDTH];
        p.height = g[HEIGHT];
        p.stride = 1;
        p.first = 0;
    } else {
        p.bytes = (const u8 *)addresses[1];
        p.pitch = g[CHROMA_PITCH];
        p.width = (g[WIDTH] + 1) / 2;
        p.height = (g[HEIGHT] + 1) / 2;
        p.stride = 2;
        p.first = component - 1;
    }
    return p;
}

__device__ inline int depth_of(const int *geometry, i64 frame) {
    return geometry[GEOMETRY * frame + FORMAT] == P010 ? 10 : 8;
}

// Row `row` of a colour matrix times three values in units of 1 / 2^bits, in units of
// 1 / 2^(16 + bits).
__device__ inline i64 mixed(const int *matrix, int row, const i64 *values, int bits) {
    const int *m = matrix + 4 * row;
    return m[0] * values[0] + m[1] * values[1] + m[2] * values[2] + ((i64)m[3] << bits);
}
