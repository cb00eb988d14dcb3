/* Words of texts, compiled: what `vecver/pipeline/tokenizers/many_texts.py` finds in Python, as the same numbers.

   Texts are UTF-8, NFKC, one after the other. A run is what lies between white space. A run of ASCII alone is taken
   apart into words by the pattern `_ASCII_WORD` of words.py (UAX #29); any other run is one unit, which Python takes
   apart. Each distinct unit gets a number, in the order of their first places.

   Nothing beyond a text's end is read. `room` says how many units there is space for: a unit has a byte at least, and
   between two lies another, so half the bytes, rounded up, for each text is enough. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_VERSION 1 /* raised with every change of a function, as is VERSION in __init__.py */
#define NO_MEMORY -1

enum { SPACE = 1, LETTER = 2, DIGIT = 4, LINE = 8, IN_LETTERS = 16, IN_DIGITS = 32, BEYOND_ASCII = 64 };
#define IN_WORD (LETTER | DIGIT | LINE)

int32_t vecver_words_version(void) { return KERNEL_VERSION; }

/* The distinct units: slots of (upper half of the hash, number + 1), 0 where free; and where each unit lies first. */
typedef struct {
    const uint8_t *content;
    uint64_t seed, mask;
    uint64_t *slots;
    int64_t count;
    int64_t *starts, *sizes; /* by number */
} Table;

static void fill_classes(uint8_t *classes) {
    memset(classes, 0, 256);
    for (int c = '\t'; c <= '\r'; c++) classes[c] = SPACE;
    for (int c = 0x1c; c <= ' '; c++) classes[c] = SPACE; /* the separators of files, groups, records and units too */
    for (int c = 'a'; c <= 'z'; c++) classes[c] = classes[c - 'a' + 'A'] = LETTER;
    for (int c = '0'; c <= '9'; c++) classes[c] = DIGIT;
    classes['_'] = LINE;
    classes['.'] = classes['\''] = IN_LETTERS | IN_DIGITS;
    classes[':'] = IN_LETTERS;
    classes[','] = classes[';'] = IN_DIGITS;
    for (int c = 128; c < 256; c++) classes[c] = BEYOND_ASCII;
}

/* The bytes of white space beyond ASCII that begins here, 0 if none: of that at which `str.split` divides, NFKC leaves
   U+0085, U+1680, U+2028 and U+2029. */
static int wide_space(const uint8_t *at, const uint8_t *end) {
    if (end - at >= 2 && at[0] == 0xc2 && at[1] == 0x85) return 2;
    if (end - at < 3) return 0;
    if (at[0] == 0xe1) return at[1] == 0x9a && at[2] == 0x80 ? 3 : 0;
    return at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9) ? 3 : 0;
}

static inline uint64_t mixed(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_of(const uint8_t *at, int64_t size, uint64_t seed) {
    uint64_t hash = seed ^ (uint64_t)size, piece;
    for (; size >= 8; at += 8, size -= 8) {
        memcpy(&piece, at, 8);
        hash = mixed(hash ^ piece, 0x9e3779b97f4a7c15);
    }
    piece = 0;
    memcpy(&piece, at, (size_t)size);
    return mixed(hash ^ piece, seed | 0x8000000000000001);
}

/* Twice as many slots. */
static int grow(Table *table) {
    uint64_t mask = 2 * table->mask + 1, *slots = calloc(mask + 1, sizeof *slots);
    if (!slots) return NO_MEMORY;
    for (uint64_t old = 0; table->slots && old <= table->mask; old++) {
        uint64_t slot = table->slots[old];
        if (!slot) continue;
        int64_t number = (int64_t)(uint32_t)slot - 1;
        uint64_t at = hash_of(table->content + table->starts[number], table->sizes[number], table->seed) & mask;
        while (slots[at]) at = (at + 1) & mask;
        slots[at] = slot;
    }
    free(table->slots);
    table->slots = slots, table->mask = mask;
    return 0;
}

/* The number of a unit, a new one where it was not met before. */
static inline int64_t number_of(Table *table, const uint8_t *at, int64_t size) {
    if ((uint64_t)table->count * 2 > table->mask && grow(table)) return NO_MEMORY;
    uint64_t hash = hash_of(at, size, table->seed), high = hash & 0xffffffff00000000;
    uint64_t place = hash & table->mask;
    for (uint64_t slot; (slot = table->slots[place]); place = (place + 1) & table->mask) {
        int64_t number = (int64_t)(uint32_t)slot - 1;
        if ((slot & 0xffffffff00000000) != high || table->sizes[number] != size) continue;
        if (!memcmp(table->content + table->starts[number], at, (size_t)size)) return number;
    }
    table->starts[table->count] = at - table->content, table->sizes[table->count] = size;
    table->slots[place] = high | (uint64_t)(table->count + 1);
    return table->count++;
}

/* Where the word ends that begins here, in a run of ASCII. */
static inline const uint8_t *word_end(const uint8_t *at, const uint8_t *end, const uint8_t *classes) {
    for (;;) {
        while (at < end && classes[*at] & IN_WORD) at++;
        if (end - at < 2) return at;
        uint8_t left = classes[at[-1]], sign = classes[*at], right = classes[at[1]];
        int in_letters = left & LETTER && sign & IN_LETTERS && right & LETTER;
        if (!in_letters && !(left & DIGIT && sign & IN_DIGITS && right & DIGIT)) return at;
        at++;
    }
}

/* The units of a run, after the `count` that are written already; how many there are then. */
static int64_t units_of_run(Table *table, const uint8_t *at, const uint8_t *end, const uint8_t *classes, int ascii,
                            int32_t *units, int64_t count) {
    while (at < end) {
        if (ascii && !(classes[*at] & IN_WORD)) {
            at++;
            continue;
        }
        const uint8_t *stop = ascii ? word_end(at, end, classes) : end;
        int64_t number = number_of(table, at, stop - at);
        if (number < 0) return NO_MEMORY;
        units[count++] = (int32_t)number;
        at = stop;
    }
    return count;
}

static int64_t units_of_text(Table *table, const uint8_t *at, const uint8_t *end, const uint8_t *classes,
                             int32_t *units, int64_t count) {
    while (at < end && count >= 0) {
        const uint8_t *start = at;
        int ascii = 1, space = 0;
        for (; at < end; at++) {
            uint8_t class = classes[*at];
            if (class == SPACE) space = 1;
            else if (class == BEYOND_ASCII && !(space = wide_space(at, end))) ascii = 0;
            if (space) break;
        }
        count = units_of_run(table, start, at, classes, ascii, units, count);
        at += space;
    }
    return count;
}

/* The distinct units, each with '\n' after it, in `words`; the units of all texts in `units`, and how many each text
   has. The bytes in `words`, or NO_MEMORY. `starts`, `sizes`: scratch, as large as `units`. */
int64_t vecver_words_units(const uint8_t *content, const int64_t *ends, int64_t texts, uint64_t seed, int64_t *starts,
                           int64_t *sizes, int32_t *units, int64_t *counts, uint8_t *words) {
    uint8_t classes[256];
    fill_classes(classes);
    Table table = {content, seed, 2047, NULL, 0, starts, sizes};
    int64_t count = grow(&table), written = 0, start = 0;
    for (int64_t text = 0; text < texts && count >= 0; start = ends[text++]) {
        int64_t before = count;
        count = units_of_text(&table, content + start, content + ends[text], classes, units, count);
        counts[text] = count - before;
    }
    for (int64_t word = 0; word < table.count && count >= 0; word++) {
        memcpy(words + written, content + starts[word], (size_t)sizes[word]);
        written += sizes[word];
        words[written++] = '\n';
    }
    free(table.slots);
    return count < 0 ? NO_MEMORY : written;
}

/* Each text's terms: those of its units, one after the other; and how many it has. `starts`: where each unit's terms
   lie in `numbers`. How many there are in all; nothing is written to `terms` if it is NULL. */
int64_t vecver_words_terms(const int32_t *units, const int64_t *counts, int64_t texts, const int64_t *starts,
                           const int32_t *numbers, int32_t *terms, int64_t *sizes) {
    int64_t written = 0;
    for (int64_t text = 0; text < texts; text++) {
        int64_t before = written;
        for (int64_t i = 0; i < counts[text]; i++, units++) {
            int64_t first = starts[*units], last = starts[*units + 1];
            if (terms) {
                for (int64_t place = first; place < last; place++) terms[written++] = numbers[place];
            } else written += last - first;
        }
        sizes[text] = written - before;
    }
    return written;
}
