/* The sums of LtHash, compiled: SHAKE128 of several rows at a time. The same bits as `roots.py` gives with hashlib.

   SHAKE128 is Keccak-f[1600] at a rate of 168 bytes (FIPS 202). A vector holds the same word of several states, so one
   permutation serves eight rows with AVX-512, four with AVX2, two otherwise. There are only integer operations, so no
   compiler and no CPU changes a bit. Little-endian machines only. */

#include <stdint.h>
#include <string.h>

#define LANES_VERSION 1 /* raised with every change; `loading.py` takes no other */
#define RATE 168        /* bytes that one permutation takes or gives */
#define RATE_WORDS 21
#define WORDS 256 /* of an expansion: 1,024 lanes of 16 bits */

#define ROTATED(x, n) (((x) << (n)) | ((x) >> (64 - (n))))
#define JOINED2(a, b) a##b
#define JOINED(a, b) JOINED2(a, b)
#define NAMED(name) JOINED(name, WIDE)

static const uint64_t ROUNDS[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};

int32_t vecver_lanes_version(void) { return LANES_VERSION; }

/* The block with this number of a row; the last one is padded as SHAKE128 pads it. */
static const uint8_t *block_of(const uint8_t *row, int64_t size, int64_t number, uint8_t *padded) {
    int64_t left = size - number * RATE;
    if (left >= RATE) return row + number * RATE;
    memset(padded, 0, RATE);
    memcpy(padded, row + number * RATE, (size_t)left);
    padded[left] = 0x1f;
    padded[RATE - 1] ^= 0x80;
    return padded;
}

#define WIDE 2
#define TARGET
#include "lanes_wide.h"
#undef WIDE
#undef TARGET

#if defined(__x86_64__)
#define WIDE 4
#define TARGET __attribute__((target("avx2")))
#include "lanes_wide.h"
#undef WIDE
#undef TARGET
#define WIDE 8
#define TARGET __attribute__((target("avx512f,avx512bw")))
#include "lanes_wide.h"
#undef WIDE
#undef TARGET
#endif

/* How many rows this CPU serves at once. */
int32_t vecver_lanes_width(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) return 8;
    if (__builtin_cpu_supports("avx2")) return 4;
#endif
    return 2;
}

/* Adds the expansion of each row, 2,048 bytes as lanes of 16 bits, to `total`, `(1024,)`, `width` rows at a time.
   Row i is bytes[ends[i - 1]..ends[i]]; the first begins at 0. `width` is 2, or what `vecver_lanes_width` allows. */
void vecver_add_lanes(const uint8_t *bytes, const int64_t *ends, int64_t count, int32_t width, uint16_t *total) {
#if defined(__x86_64__)
    if (width == 8) {
        add_lanes_8(bytes, ends, count, total);
        return;
    }
    if (width == 4) {
        add_lanes_4(bytes, ends, count, total);
        return;
    }
#endif
    add_lanes_2(bytes, ends, count, total);
}
