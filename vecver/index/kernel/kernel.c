/* The rule of scores, the window before it and the order after it, compiled: the same bits as `vecver/index/scoring.py`;
   and the scan of 8-bit codes, in row_codes.c.

   Only additions of integers, and single products and roundings of doubles, decide what comes out, so no compiler and
   no CPU changes a bit. `hatch_build.py` compiles it without -ffast-math and without fused multiply-adds.
   Vectors are C-contiguous native float32, `(n, dim)`; keys are 16 bytes a row. Row numbers are checked before rows are
   read. Functions return NO_MEMORY or NO_SUCH_ROW instead of their result. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_VERSION 4 /* raised with every change of a function, as is VERSION in __init__.py */
#define NO_MEMORY -1
#define NO_SUCH_ROW -2
#define BITS 62
#define LARGEST_SCALE 1000
#define OVERFLOW_SLACK 1e30

/* Compiled for wider registers too where the loader of the platform can choose; the bits are the same. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define CHOOSES_BY_CPU
#define CHOSEN_BY_CPU __attribute__((target_clones("default", "avx2", "arch=skylake-avx512")))
#else
#define CHOSEN_BY_CPU
#endif
#define INLINED static inline __attribute__((always_inline))

int32_t vecver_kernel_version(void) { return KERNEL_VERSION; }

/* The bits of the registers for which the loader chose code here; 0 where it had no choice. */
int32_t vecver_kernel_register_bits(void) {
#ifdef CHOOSES_BY_CPU
    __builtin_cpu_init();
    if (__builtin_cpu_is("skylake-avx512")) return 512; /* by model, as the loader does: other CPUs get AVX2 */
    return __builtin_cpu_supports("avx2") ? 256 : 128;
#else
    return 0;
#endif
}

/* -- the rule -- */

static int exponent_of(double largest) {
    int exponent;
    frexp(largest, &exponent);
    return exponent;
}

static int bit_length(int64_t value) {
    int bits = 0;
    while (value >> bits) bits++;
    return bits;
}

INLINED float larger(float largest, float value) {
    float size = fabsf(value);
    return size > largest ? size : largest;
}

INLINED double largest_of(const float *values, int64_t dim) {
    float lanes[16] = {0}, largest = 0; /* lanes, since compilers keep the order of comparisons of floats */
    int64_t i = 0;
    for (; i + 16 <= dim; i += 16)
        for (int lane = 0; lane < 16; lane++) lanes[lane] = larger(lanes[lane], values[i + lane]);
    for (; i < dim; i++) largest = larger(largest, values[i]);
    for (int lane = 0; lane < 16; lane++) largest = larger(largest, lanes[lane]);
    return largest;
}

/* The sum of `terms`, each smaller than 2^exponent, as the rule rounds it. */
INLINED double fixed_sum(const double *terms, int64_t dim, int exponent) {
    int shift = BITS - bit_length(dim) - exponent;
    int64_t sum = 0;
    if (abs(shift) <= LARGEST_SCALE) {
        double scale = ldexp(1.0, shift);
        for (int64_t i = 0; i < dim; i++) sum += (int64_t)llrint(terms[i] * scale);
    } else {
        for (int64_t i = 0; i < dim; i++) sum += (int64_t)llrint(ldexp(terms[i], shift));
    }
    return ldexp((double)sum, -shift);
}

INLINED double score_of(const double *query, int query_exponent, const float *row, int64_t dim, int is_l2, double *terms) {
    if (!is_l2) {
        for (int64_t i = 0; i < dim; i++) terms[i] = (double)row[i] * query[i];
        return fixed_sum(terms, dim, query_exponent + exponent_of(largest_of(row, dim)));
    }
    double largest = 0;
    for (int64_t i = 0; i < dim; i++) {
        double apart = (double)row[i] - query[i], size = fabs(apart);
        largest = size > largest ? size : largest;
        terms[i] = apart * apart;
    }
    return -fixed_sum(terms, dim, 2 * exponent_of(largest)) + 0.0;
}

/* `scratch`: 2 * dim doubles. */
INLINED int widened(const float *query, int64_t dim, double *wide) {
    for (int64_t i = 0; i < dim; i++) wide[i] = query[i];
    return exponent_of(largest_of(query, dim));
}

static int all_exist(const int64_t *rows, int64_t count, int64_t total) {
    for (int64_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= total) return 0;
    return 1;
}

/* The scores of `rows` of `total` (NULL: of the first `count`), `(count,)`. Returns 0. */
CHOSEN_BY_CPU
int64_t vecver_scores(const float *query, int64_t dim, int64_t is_l2, const float *vectors, int64_t total,
                      const int64_t *rows, int64_t count, double *scores) {
    if (rows ? !all_exist(rows, count, total) : count > total) return NO_SUCH_ROW;
    double *scratch = malloc(2 * (size_t)dim * sizeof(double));
    if (!scratch) return NO_MEMORY;
    int exponent = widened(query, dim, scratch);
    for (int64_t i = 0; i < count; i++)
        scores[i] = score_of(scratch, exponent, vectors + (rows ? rows[i] : i) * dim, dim, is_l2, scratch + dim);
    free(scratch);
    return 0;
}

/* Each row divided by its reproducible length; a zero row stays. Returns 0. */
CHOSEN_BY_CPU
int64_t vecver_normalised(const float *vectors, int64_t count, int64_t dim, float *normalised) {
    double *terms = malloc((size_t)dim * sizeof(double));
    if (!terms) return NO_MEMORY;
    for (int64_t n = 0; n < count; n++) {
        const float *row = vectors + n * dim;
        for (int64_t i = 0; i < dim; i++) terms[i] = (double)row[i] * (double)row[i];
        double norm = sqrt(fixed_sum(terms, dim, 2 * exponent_of(largest_of(row, dim))));
        if (!(norm > 0)) norm = 1.0;
        for (int64_t i = 0; i < dim; i++) normalised[n * dim + i] = (float)((double)row[i] / norm);
    }
    free(terms);
    return 0;
}

/* -- the order: score descending, then key ascending, then position ascending -- */

typedef struct {
    double score;
    const uint8_t *key;
    int64_t position, row;
} Ranked;

static int is_before(const Ranked *a, const Ranked *b) {
    if (a->score != b->score) return a->score > b->score;
    int keys = memcmp(a->key, b->key, 16);
    return keys ? keys < 0 : a->position < b->position;
}

static int compare(const void *a, const void *b) { return is_before(a, b) ? -1 : is_before(b, a) ? 1 : 0; }

/* Puts `top` into a heap of `size` whose first is the last in the order. */
static void sift_down(Ranked *heap, int64_t size, int64_t at) {
    for (;;) {
        int64_t last = at, left = 2 * at + 1, right = left + 1;
        if (left < size && is_before(&heap[last], &heap[left])) last = left;
        if (right < size && is_before(&heap[last], &heap[right])) last = right;
        if (last == at) return;
        Ranked swapped = heap[at];
        heap[at] = heap[last];
        heap[last] = swapped;
        at = last;
    }
}

/* The best `k` of `count` entries, in order, at the beginning of `entries`; returns how many. */
static int64_t rank(Ranked *entries, int64_t count, int64_t k) {
    if (count > k) {
        for (int64_t i = k / 2 - 1; i >= 0; i--) sift_down(entries, k, i);
        for (int64_t i = k; i < count; i++)
            if (is_before(&entries[i], &entries[0])) {
                entries[0] = entries[i];
                sift_down(entries, k, 0);
            }
        count = k;
    }
    qsort(entries, (size_t)count, sizeof(Ranked), compare);
    return count;
}

/* -- the window -- */

INLINED float product(const float *a, const float *b, int64_t dim) {
    float sums[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= dim; i += 16)
        for (int lane = 0; lane < 16; lane++) sums[lane] += a[i + lane] * b[i + lane];
    float sum = 0;
    for (int lane = 0; lane < 16; lane++) sum += sums[lane];
    for (; i < dim; i++) sum += a[i] * b[i];
    return sum;
}

static void sift_floats(float *heap, int64_t size, int64_t at) {
    for (;;) {
        int64_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < size && heap[left] < heap[least]) least = left;
        if (right < size && heap[right] < heap[least]) least = right;
        if (least == at) return;
        float swapped = heap[at];
        heap[at] = heap[least];
        heap[least] = swapped;
        at = least;
    }
}

/* The `k`-th largest of `count` >= k > 0 values. `heap`: room for k. */
static float kth_largest(const float *values, int64_t count, int64_t k, float *heap) {
    memcpy(heap, values, (size_t)k * sizeof(float));
    for (int64_t i = k / 2 - 1; i >= 0; i--) sift_floats(heap, k, i);
    for (int64_t i = k; i < count; i++)
        if (values[i] > heap[0]) {
            heap[0] = values[i];
            sift_floats(heap, k, 0);
        }
    return heap[0];
}

/* The best `k` of `rows` for the inner product (or cosine) by the rule, best first; fewer only if `count` is smaller.

   Rows whose float32 product lies more than two `slack` below the k-th are not scored: they cannot be among the best.
   Returns how many were written to `best_rows` and `best_scores` (room for k). */
CHOSEN_BY_CPU
int64_t vecver_best(const float *query, int64_t dim, const float *vectors, int64_t total, const uint8_t *keys,
                    const int64_t *rows, int64_t count, int64_t k, double slack, int64_t *best_rows,
                    double *best_scores) {
    if (!all_exist(rows, count, total)) return NO_SUCH_ROW;
    size_t room = (size_t)count * (sizeof(Ranked) + 2 * sizeof(float)) + 2 * (size_t)dim * sizeof(double);
    char *scratch = malloc(room ? room : 1);
    if (!scratch) return NO_MEMORY;
    double *wide = (double *)scratch;
    Ranked *entries = (Ranked *)(wide + 2 * dim);
    float *near = (float *)(entries + count), *heap = near + count;
    float least = -INFINITY;
    if (count > k && slack < OVERFLOW_SLACK) {
        for (int64_t i = 0; i < count; i++) {
            if (i + 4 < count)
                for (int64_t line = 0; line < dim; line += 16) __builtin_prefetch(vectors + rows[i + 4] * dim + line);
            near[i] = product(query, vectors + rows[i] * dim, dim);
        }
        double kth = kth_largest(near, count, k, heap);
        least = nextafterf((float)(kth - 2 * slack), -INFINITY);
    }
    int exponent = widened(query, dim, wide);
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++) {
        if (least > -INFINITY && !(near[i] >= least)) continue;
        double score = score_of(wide, exponent, vectors + rows[i] * dim, dim, 0, wide + dim);
        entries[kept++] = (Ranked){score, keys + 16 * rows[i], i, rows[i]};
    }
    int64_t ranked = rank(entries, kept, k);
    for (int64_t i = 0; i < ranked; i++) {
        best_rows[i] = entries[i].row;
        best_scores[i] = entries[i].score;
    }
    free(scratch);
    return ranked;
}

/* -- masks -- */

/* Sets the bits of the live rows whose document is among `documents`, `(ceil(count / 8),)`; returns how many they are.

   `documents`: a byte each, 0 or 1. Row i has the document `numbers[codes[i]]`; none where that is negative. */
int64_t vecver_selected(const uint8_t *documents, int64_t document_count, const int32_t *numbers, int64_t code_count,
                        const int32_t *codes, int64_t count, const uint8_t *live, uint8_t *bits) {
    const uint8_t none[1] = {0};
    int64_t selected = 0;
    for (int64_t byte = 0; byte * 8 < count; byte++) {
        int in_byte = count - byte * 8 < 8 ? (int)(count - byte * 8) : 8, set = 0;
        for (int bit = 0; bit < in_byte; bit++) {
            int32_t code = codes[byte * 8 + bit];
            if (code < 0 || code >= code_count) return NO_SUCH_ROW;
            int32_t number = numbers[code];
            if (number >= document_count) return NO_SUCH_ROW;
            set |= (number < 0 ? none : documents + number)[0] << bit; /* no branch: half of them would be mispredicted */
        }
        bits[byte] = (uint8_t)(set & live[byte]);
        selected += __builtin_popcount(bits[byte]);
    }
    return selected;
}

/* How many of the live rows lie in each list: `sizes`, `(list_count,)`, zero before. Returns 0. */
int64_t vecver_list_sizes(const uint16_t *lists, int64_t count, const uint8_t *live, int64_t list_count,
                          int64_t *sizes) {
    for (int64_t row = 0; row < count; row++) {
        if (lists[row] >= list_count) return NO_SUCH_ROW;
        sizes[lists[row]] += live[row >> 3] >> (row & 7) & 1;
    }
    return 0;
}

#include "row_codes.c"
