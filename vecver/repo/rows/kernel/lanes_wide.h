/* What `lanes.c` compiles for each width: WIDE rows at a time, for the CPUs of TARGET. */

#define wide NAMED(wide_)
#define lanes NAMED(lanes_)
#define permute NAMED(permute_)
#define absorb NAMED(absorb_)
#define add_lanes NAMED(add_lanes_)

typedef uint64_t wide __attribute__((vector_size(8 * WIDE)));
typedef uint16_t lanes __attribute__((vector_size(8 * WIDE)));

/* Keccak-f[1600] (FIPS 202, section 3.2); word (x, y) of the states is a[x + 5 * y]. */
TARGET static void permute(wide *a) {
    for (int round = 0; round < 24; round++) {
        wide c[5], d[5], b[25];
        for (int x = 0; x < 5; x++) c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (int x = 0; x < 5; x++) d[x] = c[(x + 4) % 5] ^ ROTATED(c[(x + 1) % 5], 1);
#define MOVE(to, from, n) b[to] = ROTATED(a[from] ^ d[(from) % 5], n)
        b[0] = a[0] ^ d[0];
        MOVE(10, 1, 1), MOVE(20, 2, 62), MOVE(5, 3, 28), MOVE(15, 4, 27);
        MOVE(16, 5, 36), MOVE(1, 6, 44), MOVE(11, 7, 6), MOVE(21, 8, 55), MOVE(6, 9, 20);
        MOVE(7, 10, 3), MOVE(17, 11, 10), MOVE(2, 12, 43), MOVE(12, 13, 25), MOVE(22, 14, 39);
        MOVE(23, 15, 41), MOVE(8, 16, 45), MOVE(18, 17, 15), MOVE(3, 18, 21), MOVE(13, 19, 8);
        MOVE(14, 20, 18), MOVE(24, 21, 2), MOVE(9, 22, 61), MOVE(19, 23, 56), MOVE(4, 24, 14);
#undef MOVE
        for (int y = 0; y < 25; y += 5)
            for (int x = 0; x < 5; x++) a[y + x] = b[y + x] ^ (~b[y + (x + 1) % 5] & b[y + (x + 2) % 5]);
        a[0] ^= ROUNDS[round];
    }
}

/* Absorbs up to WIDE rows; the state of a row with fewer blocks than the others is kept after its last one. */
TARGET static void absorb(wide *state, const uint8_t *const *rows, const int64_t *sizes, int count) {
    int64_t most = 0;
    for (int i = 0; i < count; i++) most = sizes[i] / RATE + 1 > most ? sizes[i] / RATE + 1 : most;
    memset(state, 0, 25 * sizeof(wide));
    for (int64_t number = 0; number < most; number++) {
        wide open = {0}, before[25];
        int all_open = 1;
        for (int i = 0; i < count; i++) {
            uint8_t padded[RATE];
            if (number > sizes[i] / RATE) {
                all_open = 0;
                continue;
            }
            open[i] = ~(uint64_t)0;
            const uint8_t *block = block_of(rows[i], sizes[i], number, padded);
            for (int word = 0; word < RATE_WORDS; word++) {
                uint64_t value;
                memcpy(&value, block + 8 * word, 8);
                state[word][i] ^= value;
            }
        }
        if (!all_open) memcpy(before, state, sizeof before);
        permute(state);
        if (!all_open)
            for (int word = 0; word < 25; word++) state[word] = (state[word] & open) | (before[word] & ~open);
    }
}

TARGET static void add_lanes(const uint8_t *bytes, const int64_t *ends, int64_t count, uint16_t *total) {
    lanes sums[WORDS];
    memset(sums, 0, sizeof sums);
    for (int64_t first = 0; first < count; first += WIDE) {
        const uint8_t *rows[WIDE];
        int64_t sizes[WIDE];
        wide state[25], used = {0};
        int here = count - first < WIDE ? (int)(count - first) : WIDE;
        for (int i = 0; i < here; i++) {
            int64_t begin = first + i ? ends[first + i - 1] : 0;
            rows[i] = bytes + begin;
            sizes[i] = ends[first + i] - begin;
            used[i] = ~(uint64_t)0;
        }
        absorb(state, rows, sizes, here);
        for (int word = 0; word < WORDS; word++) {
            if (word && word % RATE_WORDS == 0) permute(state);
            sums[word] += (lanes)(state[word % RATE_WORDS] & used);
        }
    }
    for (int word = 0; word < WORDS; word++)
        for (int i = 0; i < 4 * WIDE; i++) total[4 * word + i % 4] += sums[word][i];
}

#undef wide
#undef lanes
#undef permute
#undef absorb
#undef add_lanes
