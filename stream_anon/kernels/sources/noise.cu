// Noise for identity codes, drawn anew from a track's key wherever it is needed: nothing is stored.
// The arithmetic is that of noise.py beside this file, bit for bit. A draw is an integer found by
// comparing 64 random bits with a table of integers, so there is no floating-point number whose
// gaps could tell what was added to; see docs/gpu.md.
#include "common.cuh"
#include "chacha.cuh"

enum { EACH = 8 };

// The key's stream as words (count, 16) from block `counter` on: for the test vectors.
extern "C" __global__ void noise_stream(const u32 *key, int counter, const u32 *nonce, int count, u32 *words) {
    i64 t = THREAD;
    if (t >= count) return;
    chacha_block(key, (u32)counter + (u32)t, nonce, words + 16 * t);
}

// Codes (rows, dimension) on a grid of 1 / 2^bits plus noise on that grid. Row r takes key owners[r].
// table: (entries), rising: noise is `low` plus the number of entries that the 64 random bits reach.
// squares: (rows), must be zero; the squared length of each row is added. One thread a block of
// the stream, which serves EACH coordinates.
extern "C" __global__ void noise_add(const float *codes, i64 rows, int dimension, int bits, const int *owners, const u32 *keys, const u32 *nonce, const u64 *table, int entries, int low, int *noisy, u64 *squares) {
    i64 t = THREAD, blocks = (dimension + EACH - 1) / EACH;
    if (t >= rows * blocks) return;
    i64 row = t / blocks, block = t % blocks;
    u32 words[16];
    chacha_block(keys + 8 * owners[row], (u32)block, nonce, words);
    float unit = (float)(1 << bits);
    u64 sum = 0;
    for (int k = 0; k < EACH; ++k) {
        i64 at = block * EACH + k;
        if (at >= dimension) break;
        u64 drawn = words[2 * k] | ((u64)words[2 * k + 1] << 32);
        int from = 0, to = entries;
        while (from < to) {
            int middle = (from + to) / 2;
            if (table[middle] <= drawn) from = middle + 1;
            else to = middle;
        }
        i64 value = (i64)__float2int_rn(codes[row * dimension + at] * unit) + low + from;
        noisy[row * dimension + at] = (int)value;
        sum += (u64)(value * value);
    }
    // Integer additions: their order does not matter.
    atomicAdd(squares + row, sum);
}

// Back onto the sphere; IEEE double precision, rounded once to single.
extern "C" __global__ void noise_normalise(const int *noisy, i64 rows, int dimension, const u64 *squares, float *codes) {
    i64 t = THREAD;
    if (t >= rows * dimension) return;
    u64 square = squares[t / dimension];
    // A code that the noise has made nothing points along the first axis.
    if (!square) codes[t] = t % dimension ? 0.0f : 1.0f;
    else codes[t] = (float)((double)noisy[t] / __dsqrt_rn((double)square));
}
