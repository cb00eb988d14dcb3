/* Keyword scores, compiled: the same bits as `vecver/index/keywords/scoring.py`, and the same order as `ranking.py`;
   and lists of postings, with the same bytes as those of `postings.py`.

   Integers are added, and each part of a sum is a few single operations of doubles, so no compiler and no CPU changes a
   bit. `hatch_build.py` compiles it without -ffast-math and without fused multiply-adds.

   Rows are taken BLOCK at a time, so that their sums stay in the first cache however many rows there are; each term's
   list is read once, from the first block to the last. A list is never read beyond its end, nor a row written beyond
   the last; what is wrong in a file gives wrong sums. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_VERSION 3 /* raised with every change of a function, as is VERSION in __init__.py */
#define NO_MEMORY -1
#define BLOCK 4096
#define SCALE 0x1p36
#define NO_ROW INT64_MAX

int32_t vecver_keywords_version(void) { return KERNEL_VERSION; }

/* The postings of a segment, and the rows of it that a version has. `live`: little-endian bits; NULL: all rows. */
typedef struct {
    const uint64_t *hashes;
    int64_t terms;
    const uint64_t *starts;
    const uint32_t *counts;
    const void *lengths;
    int64_t width; /* bytes of a length, 2 or 4 */
    int64_t rows;
    const uint8_t *lists, *live, *keys;
} Part;

/* A term's list, and the next row in it, NO_ROW at its end. */
typedef struct {
    const uint8_t *at, *end;
    int64_t row, times, in_query;
    double weight; /* of the term, times SCALE */
} List;

static inline uint64_t number(List *list) {
    uint64_t value = 0;
    for (int shift = 0; list->at < list->end && shift < 64; shift += 7) {
        uint8_t byte = *list->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) break;
    }
    return value;
}

static inline void go_on(List *list) {
    if (list->at >= list->end) {
        list->row = NO_ROW;
        return;
    }
    uint64_t value = *list->at < 128 ? *list->at++ : number(list);
    list->row += (int64_t)(value >> 1) + 1;
    list->times = value & 1 ? 2 + (int64_t)number(list) : 1;
}

/* The place of a term among those of a part; -1 where no row has it. */
static int64_t place_of(const Part *part, uint64_t hash) {
    int64_t low = 0, high = part->terms;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (part->hashes[middle] < hash) low = middle + 1;
        else high = middle;
    }
    return low < part->terms && part->hashes[low] == hash ? low : -1;
}

static List list_at(const Part *part, int64_t place) {
    List list = {part->lists + part->starts[place], part->lists + part->starts[place + 1], -1, 0, 0, 0};
    go_on(&list);
    return list;
}

static inline int holds(const uint8_t *bits, int64_t row) { return bits[row >> 3] >> (row & 7) & 1; }

/* In how many live rows each term is. */
int64_t vecver_keywords_count(const Part *parts, int64_t part_count, const uint64_t *hashes, int64_t term_count,
                              int64_t *counts) {
    for (int64_t term = 0; term < term_count; term++) {
        counts[term] = 0;
        for (const Part *part = parts; part < parts + part_count; part++) {
            int64_t place = place_of(part, hashes[term]);
            if (place < 0) continue;
            if (!part->live) {
                counts[term] += part->counts[place];
                continue;
            }
            for (List list = list_at(part, place); list.row < part->rows; go_on(&list))
                counts[term] += holds(part->live, list.row);
        }
    }
    return 0;
}

/* -- sums of a block of rows -- */

typedef struct {
    const uint64_t *hashes;
    const double *weights;
    const int64_t *in_query;
    int64_t count;
} Terms;

/* By length of a row: `damping`, and 1 / (1 + damping). */
typedef struct {
    const double *damping, *single;
} Lengths;

/* The lists of the terms that a part has; how many. */
static int64_t open_lists(const Part *part, const Terms *terms, List *lists) {
    int64_t opened = 0;
    for (int64_t term = 0; term < terms->count; term++) {
        int64_t place = terms->weights[term] > 0 ? place_of(part, terms->hashes[term]) : -1;
        if (place < 0) continue;
        lists[opened] = list_at(part, place);
        lists[opened].weight = terms->weights[term] * SCALE;
        lists[opened++].in_query = terms->in_query[term];
    }
    return opened;
}

#define ADD_LIST(TYPE)                                                                                            \
    static void add_list_##TYPE(const TYPE *lengths, const Lengths *by, List *list, int64_t first, int64_t end,   \
                                int64_t *sums) {                                                                  \
        List now = *list;                                                                                         \
        while (now.row < end) {                                                                                   \
            int64_t length = lengths[now.row];                                                                    \
            double w = now.times == 1 ? by->single[length] : now.times / (now.times + by->damping[length]);       \
            sums[now.row - first] += now.in_query * (int64_t)llrint(now.weight * w);                              \
            go_on(&now);                                                                                          \
        }                                                                                                         \
        *list = now;                                                                                              \
    }
ADD_LIST(uint16_t)
ADD_LIST(uint32_t)

/* The scores of rows first <= row < end, in units of 2^-36. The lists go on from block to block. */
static void add_block(const Part *part, const Lengths *by, List *lists, int64_t opened, int64_t first, int64_t end,
                      int64_t *sums) {
    memset(sums, 0, (size_t)(end - first) * sizeof(int64_t));
    for (int64_t i = 0; i < opened; i++) {
        if (part->width == 2) add_list_uint16_t(part->lengths, by, lists + i, first, end, sums);
        else add_list_uint32_t(part->lengths, by, lists + i, first, end, sums);
    }
}

/* -- the best rows -- */

typedef struct {
    int64_t score;
    const uint8_t *key;
    int64_t part, row;
} Found;

static inline int is_worse(const Found *one, const Found *other) {
    if (one->score != other->score) return one->score < other->score;
    return memcmp(one->key, other->key, 16) > 0;
}

/* Moves the item at `place` down to where no item below it is worse: the worst is the first. */
static void sift(Found *heap, int64_t count, int64_t place) {
    Found moved = heap[place];
    for (int64_t below = 2 * place + 1; below < count; below = 2 * place + 1) {
        if (below + 1 < count && is_worse(heap + below + 1, heap + below)) below++;
        if (!is_worse(heap + below, &moved)) break;
        heap[place] = heap[below];
        place = below;
    }
    heap[place] = moved;
}

typedef struct {
    Found *heap;
    int64_t n, filled, least; /* no row with a lower score is among the best */
} Best;

static void offer(Best *best, Found found) {
    if (best->filled < best->n) {
        best->heap[best->filled++] = found;
        if (best->filled < best->n) return;
        for (int64_t i = best->n / 2 - 1; i >= 0; i--) sift(best->heap, best->n, i);
    } else if (is_worse(best->heap, &found)) {
        best->heap[0] = found;
        sift(best->heap, best->n, 0);
    }
    best->least = best->heap[0].score;
}

static void offer_block(Best *best, const Part *part, int64_t number, const uint8_t *selected, int64_t first,
                        int64_t end, const int64_t *sums) {
    for (int64_t start = first; start < end; start += 8) {
        int64_t stop = start + 8 < end ? start + 8 : end, any = 0;
        for (int64_t row = start; row < stop; row++) any |= sums[row - first] >= best->least;
        for (int64_t row = start; any && row < stop; row++)
            if (sums[row - first] >= best->least && (!selected || holds(selected, row)))
                offer(best, (Found){sums[row - first], part->keys + 16 * row, number, row});
    }
}

static int in_order(const void *one, const void *other) {
    if (is_worse(one, other)) return 1;
    return is_worse(other, one) ? -1 : 0;
}

/* Rows whose scores are wanted: those of part i, ascending, from starts[i] to starts[i + 1]. `rows` NULL: none. */
typedef struct {
    const int64_t *starts, *rows;
    int64_t *scores;
} Wanted;

/* Writes the scores of the wanted rows below `end`, from number `next` on; the number of the next one. */
static int64_t write_wanted(const Wanted *wanted, int64_t next, int64_t stop, int64_t first, int64_t end,
                            const int64_t *sums) {
    for (; next < stop && wanted->rows[next] < end; next++) wanted->scores[next] = sums[wanted->rows[next] - first];
    return next;
}

/* The best `n` > 0 selected rows with a score above 0, best first; returns how many. In the same pass the scores of
   wanted rows, selected or not; those of a part that has no term of the query are left as they are.

   `selected`: for each part little-endian bits, NULL: all rows. `parts_found`, `rows_found`, `scores`: room for n. */
int64_t vecver_keywords_best(const Part *parts, int64_t part_count, const uint8_t *const *selected,
                             const uint64_t *hashes, int64_t term_count, const double *weights, const int64_t *in_query,
                             const double *damping, const double *single, int64_t n, int64_t *parts_found,
                             int64_t *rows_found, int64_t *scores, const int64_t *wanted_starts,
                             const int64_t *wanted_rows, int64_t *wanted_scores) {
    Terms terms = {hashes, weights, in_query, term_count};
    Lengths by = {damping, single};
    Wanted wanted = {wanted_starts, wanted_rows, wanted_scores};
    Best best = {malloc((size_t)n * sizeof(Found)), n, 0, 1};
    List *lists = malloc((size_t)(term_count + 1) * sizeof(List));
    int64_t sums[BLOCK];
    for (int64_t i = 0; best.heap && lists && i < part_count; i++) {
        int64_t opened = open_lists(parts + i, &terms, lists), next = wanted_rows ? wanted_starts[i] : 0;
        for (int64_t first = 0; opened && first < parts[i].rows; first += BLOCK) {
            int64_t end = first + BLOCK < parts[i].rows ? first + BLOCK : parts[i].rows;
            add_block(parts + i, &by, lists, opened, first, end, sums);
            offer_block(&best, parts + i, i, selected[i], first, end, sums);
            if (wanted_rows) next = write_wanted(&wanted, next, wanted_starts[i + 1], first, end, sums);
        }
    }
    int64_t found = best.heap && lists ? best.filled : NO_MEMORY;
    if (found > 0) qsort(best.heap, (size_t)found, sizeof(Found), in_order);
    for (int64_t i = 0; i < found; i++) {
        parts_found[i] = best.heap[i].part;
        rows_found[i] = best.heap[i].row;
        scores[i] = best.heap[i].score;
    }
    free(best.heap);
    free(lists);
    return found;
}

/* The scores of `count` rows of one part, ascending. */
int64_t vecver_keywords_scores(const Part *part, const uint64_t *hashes, int64_t term_count, const double *weights,
                               const int64_t *in_query, const double *damping, const double *single,
                               const int64_t *rows, int64_t count, int64_t *scores) {
    Terms terms = {hashes, weights, in_query, term_count};
    Lengths by = {damping, single};
    List *lists = malloc((size_t)(term_count + 1) * sizeof(List));
    if (!lists) return NO_MEMORY;
    int64_t sums[BLOCK], opened = open_lists(part, &terms, lists), next = 0;
    for (int64_t first = 0; next < count && first < part->rows; first += BLOCK) {
        int64_t end = first + BLOCK < part->rows ? first + BLOCK : part->rows;
        add_block(part, &by, lists, opened, first, end, sums);
        for (; next < count && rows[next] < end; next++) scores[next] = sums[rows[next] - first];
    }
    free(lists);
    return next;
}

/* -- building lists -- */

/* A term while rows are read: the last row that has it, and the one before, -1 where there is none. */
typedef struct {
    int64_t row, before, times;
    uint64_t place;
} Entry;

/* A number as LEB128; its bytes. Written nowhere if `at` is NULL. */
static inline uint64_t write_number(uint64_t value, uint8_t *at) {
    uint64_t size = 0;
    for (; value > 127; value >>= 7, size++)
        if (at) at[size] = (uint8_t)(value | 128);
    if (at) at[size] = (uint8_t)value;
    return size + 1;
}

static inline void write_entry(Entry *entry, uint8_t *lists) {
    int several = entry->times > 1;
    uint64_t gap = (uint64_t)(entry->row - entry->before - 1);
    entry->place += write_number(2 * gap + (uint64_t)several, lists ? lists + entry->place : NULL);
    if (several) entry->place += write_number((uint64_t)entry->times - 2, lists ? lists + entry->place : NULL);
}

/* The lists of terms from the terms of each row. Without `lists`: in how many rows each term is, its first and its last
   row, the bytes of its list, and each row's length. With `lists`: writes them, each at its `starts`.

   `ids`: the terms of all rows; `ranks`: the place of each among the terms in order; `counted`: whether it has a share
   in a row's length. */
int64_t vecver_keywords_lists(const int32_t *ids, const int64_t *sizes, int64_t rows, const int32_t *ranks,
                              const uint8_t *counted, int64_t terms, int64_t *counts, int64_t *firsts, int64_t *lasts,
                              int64_t *bytes, int64_t *lengths, const uint64_t *starts, uint8_t *lists) {
    Entry *entries = malloc((size_t)(terms ? terms : 1) * sizeof *entries);
    if (!entries) return NO_MEMORY;
    for (int64_t term = 0; term < terms; term++) entries[term] = (Entry){-1, -1, 0, lists ? starts[term] : 0};
    for (int64_t row = 0; row < rows; row++) {
        int64_t length = 0;
        for (const int32_t *end = ids + sizes[row]; ids < end; ids++) {
            Entry *entry = entries + ranks[*ids];
            length += counted[*ids];
            if (entry->row == row) {
                entry->times++;
                continue;
            }
            if (entry->times) write_entry(entry, lists);
            if (!lists) {
                int64_t term = entry - entries;
                if (!entry->times) firsts[term] = row;
                counts[term]++;
            }
            entry->before = entry->row, entry->row = row, entry->times = 1;
        }
        if (!lists) lengths[row] = length;
    }
    for (int64_t term = 0; term < terms; term++) {
        if (entries[term].times) write_entry(entries + term, lists);
        if (!lists) bytes[term] = (int64_t)entries[term].place, lasts[term] = entries[term].row;
    }
    free(entries);
    return 0;
}

/* Copies lists to `places` of other lists, where `gaps` more rows lie before each. `firsts`: the first row of each. */
int64_t vecver_keywords_move(const uint8_t *lists, const uint64_t *starts, int64_t terms, const int64_t *firsts,
                             const int64_t *gaps, const int64_t *places, uint8_t *moved) {
    for (int64_t term = 0; term < terms; term++) {
        const uint8_t *at = lists + starts[term], *end = lists + starts[term + 1];
        uint64_t several = *at & 1;
        while (*at++ > 127) continue;
        uint8_t *to = moved + places[term];
        to += write_number(2 * (uint64_t)(firsts[term] + gaps[term]) + several, to);
        memcpy(to, at, (size_t)(end - at));
    }
    return 0;
}
