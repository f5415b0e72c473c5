// Runs a CUDA source on the CPU: qualifiers, indices, and a launcher that loops over threads.
// Good for kernels without shared memory and barriers, which is what this package writes.
#pragma once
#include <cmath>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__

struct shim_index { unsigned x, y, z; };
static thread_local shim_index threadIdx, blockIdx, blockDim, gridDim;

// One thread runs at a time, so plain arithmetic is atomic.
template <class T> static inline T atomicAdd(T *at, T value) {
    T old = *at;
    *at = old + value;
    return old;
}

template <class T> static inline T atomicMax(T *at, T value) {
    T old = *at;
    if (value > old) *at = value;
    return old;
}

// IEEE single precision, rounded to nearest, as the CUDA intrinsic of that name.
static inline float __fsqrt_rn(float value) { return std::sqrt(value); }
static inline double __dsqrt_rn(double value) { return std::sqrt(value); }
static inline int __float2int_rn(float value) { return (int)std::nearbyint(value); }

template <class Kernel, class... Args>
static void shim_launch(unsigned blocks, unsigned threads, Kernel kernel, Args... args) {
    gridDim = {blocks, 1, 1};
    blockDim = {threads, 1, 1};
    for (unsigned b = 0; b < blocks; ++b)
        for (unsigned t = 0; t < threads; ++t) {
            blockIdx = {b, 0, 0};
            threadIdx = {t, 0, 0};
            kernel(args...);
        }
}
