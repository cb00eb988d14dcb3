/* 8-bit codes of rows, and the scan of them: which rows can be among the best. The proof stands in
   `vecver/index/row_codes.py`. A part of kernel.c, which includes it behind what it uses. */

#define CODE_LIMIT 127
#define LISTED 1024 /* rows whose live ones are listed at once, a multiple of 64 */
#define AHEAD 16 /* live rows, whose codes are fetched before they are needed: a quarter less time on 1,000,000 x 384 */

/* The sum of squares of `v - centre - scale * code`, or of `v` without codes. */
INLINED double squares_of(const float *row, const float *centre, const int8_t *code, double scale, int64_t dim) {
    double sums[8] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + 8 <= dim; i += 8)
        for (int lane = 0; lane < 8; lane++) {
            double apart = row[i + lane];
            if (code) apart = apart - centre[i + lane] - scale * code[i + lane];
            sums[lane] += apart * apart;
        }
    for (; i < dim; i++) {
        double apart = row[i];
        if (code) apart = apart - centre[i] - scale * code[i];
        sum += apart * apart;
    }
    for (int lane = 0; lane < 8; lane++) sum += sums[lane];
    return sum;
}

/* No less than a positive value, and no subnormal number. */
static float above(double value) {
    float nearest = nextafterf((float)(value * (1 + 1e-9)), INFINITY);
    return nearest < FLT_MIN ? FLT_MIN : nearest;
}

/* Codes each of `count` rows: v is nearly `centre + scale * code`, and no farther from it than `error`.

   `squares`: NULL, or where the squared length of each row goes. `longest`: no row, and no `scale * code`, is longer.
   Returns 0. */
CHOSEN_BY_CPU
int64_t vecver_encode(const float *vectors, int64_t count, int64_t dim, const float *centre, int8_t *codes,
                      float *scales, float *errors, float *squares, double *longest) {
    float *apart = malloc((size_t)(dim + 1) * sizeof(float));
    if (!apart) return NO_MEMORY;
    double from_centre = sqrt(squares_of(centre, NULL, NULL, 0, dim)) * (1 + 1e-9);
    *longest = 0;
    for (int64_t n = 0; n < count; n++) {
        const float *row = vectors + n * dim;
        int8_t *code = codes + n * dim;
        for (int64_t i = 0; i < dim; i++) apart[i] = row[i] - centre[i];
        float scale = (float)(largest_of(apart, dim) / CODE_LIMIT);
        if (!(scale >= FLT_MIN)) scale = 0; /* too small for codes: they are zeros, and all else is the error */
        float inverse = scale > 0 ? 1 / scale : 0;
        for (int64_t i = 0; i < dim; i++) code[i] = (int8_t)(int32_t)rintf(apart[i] * inverse);
        double square = squares_of(row, NULL, NULL, 0, dim), length = sqrt(square) * (1 + 1e-9) + from_centre;
        scales[n] = scale;
        errors[n] = above(sqrt(squares_of(row, centre, code, scale, dim)) + length * 0x1p-50); /* as subtractions round */
        if (squares) squares[n] = (float)square;
        *longest = length + errors[n] > *longest ? length + errors[n] : *longest;
    }
    free(apart);
    return 0;
}

INLINED int32_t product_of_codes(const int8_t *code, const int16_t *query, int64_t dim) {
    int32_t sum = 0;
    for (int64_t i = 0; i < dim; i++) sum += (int32_t)(int16_t)code[i] * (int32_t)query[i];
    return sum;
}

/* The live ones of the rows from `first`, a multiple of 64, to `end`. `live`: little-endian bits; NULL: all. */
static int64_t list_live(const uint8_t *live, int64_t first, int64_t end, int64_t *rows) {
    int64_t listed = 0;
    for (; first < end; first += 64) {
        int64_t count = end - first < 64 ? end - first : 64;
        uint64_t bits = live ? 0 : ~(uint64_t)0;
        for (int64_t byte = 0; live && byte * 8 < count; byte++) bits |= (uint64_t)live[first / 8 + byte] << (8 * byte);
        if (count < 64) bits &= ((uint64_t)1 << count) - 1;
        for (; bits; bits &= bits - 1) rows[listed++] = first + __builtin_ctzll(bits);
    }
    return listed;
}

/* The `k` largest of many lower bounds of scores, as a heap, and the least of them: -INFINITY until there are k. */
typedef struct {
    float *heap, least;
    int64_t k, filled;
} Lowest;

static void add_bound(Lowest *bounds, double low) {
    if (!(low > bounds->least)) return; /* also where it is no number */
    float *heap = bounds->heap, below = nextafterf((float)low, -INFINITY);
    if (bounds->filled < bounds->k) {
        heap[bounds->filled++] = below;
        if (bounds->filled < bounds->k) return;
        for (int64_t i = bounds->k / 2 - 1; i >= 0; i--) sift_floats(heap, bounds->k, i);
    } else {
        heap[0] = below;
        sift_floats(heap, bounds->k, 0);
    }
    bounds->least = heap[0];
}

/* The live rows that can be among the `k` > 0 with the highest scores, ascending; returns how many.

   `query`: integers, nearly the query when multiplied by `unit`; `norm`, `slack`: a row's score, less what is the
   same for every row, lies within norm * error + slack of what its code gives; for l2 there are `squares`.
   `rows`: room for `room`, as many as live. */
CHOSEN_BY_CPU
int64_t vecver_scan(const int16_t *query, int64_t dim, const int8_t *codes, const float *scales, const float *errors,
                    const float *squares, const uint8_t *live, int64_t count, int64_t k, double unit, double norm,
                    double slack, int64_t *rows, int64_t room) {
    double *highest = malloc((size_t)(room + 1) * sizeof(double)); /* of each row kept: its score is no higher */
    Lowest bounds = {malloc((size_t)k * sizeof(float)), -INFINITY, k, 0};
    int64_t kept = highest && bounds.heap ? 0 : NO_MEMORY, possible = 0, listed[LISTED];
    for (int64_t first = 0; first < count && kept >= 0; first += LISTED) {
        int64_t lives = list_live(live, first, count - first < LISTED ? count : first + LISTED, listed);
        for (int64_t i = 0; i < lives && kept >= 0; i++) {
            int64_t row = listed[i], later = i + AHEAD < lives ? listed[i + AHEAD] : row;
            for (int64_t line = 0; line < dim; line += 64) __builtin_prefetch(codes + later * dim + line);
            double near = product_of_codes(codes + row * dim, query, dim) * (double)scales[row] * unit;
            double apart = norm * errors[row] + slack;
            if (squares) {
                near = 2 * near - squares[row];
                apart += norm * errors[row] + squares[row] * 0x1p-23;
            }
            if (near + apart < bounds.least) continue; /* kept where the sum is no number */
            if (kept < room) {
                rows[kept] = row;
                highest[kept++] = near + apart;
                add_bound(&bounds, near - apart);
            } else {
                kept = NO_SUCH_ROW;
            }
        }
    }
    for (int64_t i = 0; i < kept; i++)
        if (!(highest[i] < bounds.least)) rows[possible++] = rows[i];
    free(highest);
    free(bounds.heap);
    return kept < 0 ? kept : possible;
}
