// VisualMixer on the GPU. The arithmetic, constants and names are those of visual_mixer.py and
// mixer_layout.py beside this file; a test holds the two together bit for bit, here on the CPU
// through shim/cpu_shim.h and on a GPU through CuPy. All numbers are integers; the only square
// root is IEEE single precision of an exactly represented integer, so it is the same everywhere.
//
// Every kernel takes one flat thread index. None uses shared memory or a barrier.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define THREAD ((i64)blockIdx.x * blockDim.x + threadIdx.x)

// One ChaCha20 block (RFC 8439) a thread: image t / blocks, counter t % blocks, nonce zero.
extern "C" __global__ void vm_keystream(const u32 *keys, int images, int blocks, u32 *words) {
    i64 t = THREAD;
    if (t >= (i64)images * blocks) return;
    const u32 *key = keys + 8 * (t / blocks);
    u32 s[16], x[16];
    s[0] = 0x61707865u; s[1] = 0x3320646eu; s[2] = 0x79622d32u; s[3] = 0x6b206574u;
    for (int i = 0; i < 8; ++i) s[4 + i] = key[i];
    s[12] = (u32)(t % blocks);
    s[13] = s[14] = s[15] = 0u;
    for (int i = 0; i < 16; ++i) x[i] = s[i];
#define ROTL(v, n) (((v) << (n)) | ((v) >> (32 - (n))))
#define QR(a, b, c, d)                                          \
    x[a] += x[b]; x[d] ^= x[a]; x[d] = ROTL(x[d], 16);          \
    x[c] += x[d]; x[b] ^= x[c]; x[b] = ROTL(x[b], 12);          \
    x[a] += x[b]; x[d] ^= x[a]; x[d] = ROTL(x[d], 8);           \
    x[c] += x[d]; x[b] ^= x[c]; x[b] = ROTL(x[b], 7);
    for (int round = 0; round < 10; ++round) {
        QR(0, 4, 8, 12) QR(1, 5, 9, 13) QR(2, 6, 10, 14) QR(3, 7, 11, 15)
        QR(0, 5, 10, 15) QR(1, 6, 11, 12) QR(2, 7, 8, 13) QR(3, 4, 9, 14)
    }
    for (int i = 0; i < 16; ++i) words[16 * t + i] = x[i] + s[i];
}

__device__ inline int sixteenths(int square) {
    return (int)(__fsqrt_rn((float)square) * 16.0f);
}

// Sum of the gradient magnitudes of each region, in sixteenths. sums must be zero.
extern "C" __global__ void vm_region_sums(const u8 *images, int count, int height, int width,
                                          int region, int columns, int regions, u64 *sums) {
    i64 t = THREAD;
    i64 domain = (i64)(height - 1) * (width - 1);
    if (t >= count * domain) return;
    int b = (int)(t / domain), y = (int)(t % domain / (width - 1)), x = (int)(t % domain % (width - 1));
    const u8 *p = images + 3 * (((i64)b * height + y) * width + x);
    int square = 0;
    for (int c = 0; c < 3; ++c) {
        int across = p[3 + c] - p[c], down = p[3 * width + c] - p[c];
        square += across * across + down * down;
    }
    // Integer additions: their order does not matter.
    atomicAdd(sums + (i64)b * regions + (y / region) * columns + x / region, (u64)sixteenths(square));
}

// The channel that order `low` puts into place c, at a share of `share` byte values.
__device__ inline int channel(int low, int share, int c) {
    const int orders[18] = {0, 1, 2, 0, 2, 1, 1, 0, 2, 1, 2, 0, 2, 0, 1, 2, 1, 0};
    return low < share ? orders[3 * (low % 6) + c] : c;
}

// Sampled sums of one level and region a thread, before they are made monotone (vm_choose does).
// places: (levels, regions, samples, 3) pixel numbers; low: bytes of the same shape.
extern "C" __global__ void vm_expect(const u8 *images, int count, i64 values, const int *places,
                                     const u8 *low, int cells, int samples, const int *shares,
                                     i64 *table) {
    i64 t = THREAD;
    if (t >= (i64)count * cells) return;
    int b = (int)(t / cells), cell = (int)(t % cells);
    const u8 *p = images + b * values;
    i64 sum = 0;
    for (int k = 0; k < samples; ++k) {
        i64 at = 3 * ((i64)cell * samples + k);
        int square = 0;
        for (int c = 0; c < 3; ++c) {
            int here = p[3 * places[at] + channel(low[at], shares[b], c)];
            int across = p[3 * places[at + 1] + channel(low[at + 1], shares[b], c)] - here;
            int down = p[3 * places[at + 2] + channel(low[at + 2], shares[b], c)] - here;
            square += across * across + down * down;
        }
        sum += sixteenths(square);
    }
    table[t] = sum;
}

__device__ inline i64 total_at(const i64 *table, const int *weights, int levels, int regions,
                               i64 threshold, u8 *chosen) {
    i64 total = 0;
    for (int r = 0; r < regions; ++r) {
        int level = 0;
        while (level < levels - 1 && table[level * regions + r] < threshold) ++level;
        if (chosen) chosen[r] = (u8)level;
        total += table[level * regions + r] * weights[r];
    }
    return total;
}

// Makes the image's table monotone, then the bisection of visual_mixer.choose: a thread an image.
extern "C" __global__ void vm_choose(i64 *tables, const int *weights, int count, int levels,
                                     int regions, const i64 *wanted, u8 *chosen) {
    i64 t = THREAD;
    if (t >= count) return;
    i64 *table = tables + t * levels * regions;
    i64 most = 0;
    for (int r = 0; r < regions; ++r) {
        for (int l = 1; l < levels; ++l)
            if (table[l * regions + r] < table[(l - 1) * regions + r])
                table[l * regions + r] = table[(l - 1) * regions + r];
        if (table[(levels - 1) * regions + r] > most) most = table[(levels - 1) * regions + r];
    }
    i64 low = 0, high = most + 1;
    while (low < high) {
        i64 middle = (low + high) / 2;
        if (total_at(table, weights, levels, regions, middle, 0) >= wanted[t]) high = middle;
        else low = middle + 1;
    }
    i64 below = low > 0 ? low - 1 : 0;
    i64 more = total_at(table, weights, levels, regions, low, 0) - wanted[t];
    i64 less = wanted[t] - total_at(table, weights, levels, regions, below, 0);
    if (more < 0) more = -more;
    if (less < 0) less = -less;
    total_at(table, weights, levels, regions, more <= less ? low : below, chosen + t * regions);
}

// One source pixel a thread: its rank among the keys of its window is the place it goes to.
// sides: window side of each region and image, in pixels.
extern "C" __global__ void vm_mix(const u8 *images, const u32 *words, int stride, const u8 *sides,
                                  const int *shares, int count, int height, int width, int region,
                                  int columns, int regions, u8 *mixed) {
    i64 t = THREAD;
    i64 size = (i64)height * width;
    if (t >= count * size) return;
    int b = (int)(t / size), y = (int)(t % size / width), x = (int)(t % size % width);
    const u32 *word = words + (i64)b * stride;
    int side = sides[(i64)b * regions + (y / region) * columns + x / region];
    int top = y / side * side, left = x / side * side;
    int tall = height - top < side ? height - top : side;
    int wide = width - left < side ? width - left : side;
    int bits = 0;
    while ((1 << bits) < side) ++bits;
    int shift = 2 * bits > 8 ? 2 * bits : 8;
    u32 most = (0xffffffffu >> shift) - 1u;
    u32 mine = word[y * width + x] >> shift;
    if (mine > most) mine = most;
    int place = (y - top) * wide + x - left, rank = 0;
    for (int i = 0; i < tall * wide; ++i) {
        u32 other = word[(top + i / wide) * width + left + i % wide] >> shift;
        if (other > most) other = most;
        rank += other < mine || (other == mine && i < place);
    }
    i64 to = (i64)(top + rank / wide) * width + left + rank % wide;
    const u8 *from = images + 3 * t;
    int low = (int)(word[to] & 0xffu);
    for (int c = 0; c < 3; ++c)
        mixed[3 * (b * size + to) + c] = from[channel(low, shares[b], c)];
}
