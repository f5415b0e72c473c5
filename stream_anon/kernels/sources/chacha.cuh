// ChaCha20 (RFC 8439): one block of sixteen words for a key, a counter and a nonce of three words.
#pragma once

__device__ inline unsigned turned(unsigned value, int bits) {
    return (value << bits) | (value >> (32 - bits));
}

__device__ inline void quarter(unsigned *x, int a, int b, int c, int d) {
    x[a] += x[b]; x[d] = turned(x[d] ^ x[a], 16);
    x[c] += x[d]; x[b] = turned(x[b] ^ x[c], 12);
    x[a] += x[b]; x[d] = turned(x[d] ^ x[a], 8);
    x[c] += x[d]; x[b] = turned(x[b] ^ x[c], 7);
}

__device__ inline void chacha_block(const unsigned *key, unsigned counter, const unsigned *nonce,
                                    unsigned *words) {
    unsigned start[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
    for (int i = 0; i < 8; ++i) start[4 + i] = key[i];
    start[12] = counter;
    for (int i = 0; i < 3; ++i) start[13 + i] = nonce[i];
    for (int i = 0; i < 16; ++i) words[i] = start[i];
    for (int round = 0; round < 10; ++round) {
        quarter(words, 0, 4, 8, 12);
        quarter(words, 1, 5, 9, 13);
        quarter(words, 2, 6, 10, 14);
        quarter(words, 3, 7, 11, 15);
        quarter(words, 0, 5, 10, 15);
        quarter(words, 1, 6, 11, 12);
        quarter(words, 2, 7, 8, 13);
        quarter(words, 3, 4, 9, 14);
    }
    for (int i = 0; i < 16; ++i) words[i] += start[i];
}
