/* Words of texts, compiled: what `vecver/pipeline/tokenizers/many_texts.py` finds in Python, as the same numbers.

   Texts are UTF-8, NFKC, one after the other. A run is what lies between white space. A run of ASCII alone is taken
   apart into words by the pattern `_ASCII_WORD` of words.py (UAX #29); any other run is one unit, which Python takes
   apart. Each distinct unit gets a number, in the order of their first places.

   Of units that are words of ASCII, `vecver_words_folded` finds the parts of identifiers, as `_of_identifier` does.

   Nothing beyond a text's end is read. `room` says how many units there is space for: a unit has a byte at least, and
   between two lies another, so half the bytes, rounded up, for each text is enough. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_VERSION 3 /* raised with every change of a function, as is VERSION in __init__.py */
#define NO_MEMORY -1

#define LEFT_OUT -1  /* a unit that Python takes apart */
#define SPLIT_LENGTH 128 /* longer words are no identifiers: `_SPLIT_LENGTH` of words.py */

enum { SPACE = 1, LETTER = 2, DIGIT = 4, LINE = 8, IN_LETTERS = 16, IN_DIGITS = 32, BEYOND_ASCII = 64 };
#define IN_WORD (LETTER | DIGIT | LINE)

int32_t vecver_words_version(void) { return KERNEL_VERSION; }

/* A distinct unit: of up to SHORT bytes these and how many they are, of a longer one its hash; and number + 1, 0 where
   the slot is free. So short units, which most are, are told apart without a look at the content. */
typedef struct {
    uint64_t head;
    uint32_t number;
} Slot;

enum { SHORT = 7 };
#define IS_LONG (0xffull << 56)

/* The distinct units, and where each lies first. */
typedef struct {
    const uint8_t *content, *end;
    uint64_t seed, mask;
    Slot *slots;
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

static inline uint64_t head_of(const Table *table, const uint8_t *at, int64_t size) {
    uint64_t bytes = 0;
    if (size > SHORT) return hash_of(at, size, table->seed) | IS_LONG;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (table->end - at >= 8) { /* all eight at once, those of the unit kept */
        memcpy(&bytes, at, 8);
        return (bytes & ((1ull << 8 * size) - 1)) | (uint64_t)size << 56;
    }
#endif
    for (int64_t i = 0; i < size; i++) bytes |= (uint64_t)at[i] << 8 * i;
    return bytes | (uint64_t)size << 56;
}

/* Where the search for a unit begins. */
static inline uint64_t place_of(const Table *table, uint64_t head) {
    return (head >= IS_LONG ? head : mixed(head ^ table->seed, table->seed | 0x8000000000000001)) & table->mask;
}

/* Twice as many slots. */
static int grow(Table *table) {
    Table larger = *table;
    larger.mask = 2 * table->mask + 1;
    larger.slots = calloc(larger.mask + 1, sizeof *larger.slots);
    if (!larger.slots) return NO_MEMORY;
    for (uint64_t old = 0; table->slots && old <= table->mask; old++) {
        if (!table->slots[old].number) continue;
        uint64_t place = place_of(&larger, table->slots[old].head);
        while (larger.slots[place].number) place = (place + 1) & larger.mask;
        larger.slots[place] = table->slots[old];
    }
    free(table->slots);
    *table = larger;
    return 0;
}

/* The number of a unit, a new one where it was not met before. */
static inline int64_t number_of(Table *table, const uint8_t *at, int64_t size) {
    if ((uint64_t)table->count * 2 > table->mask && grow(table)) return NO_MEMORY;
    uint64_t head = head_of(table, at, size), place = place_of(table, head);
    for (const Slot *slot; (slot = &table->slots[place])->number; place = (place + 1) & table->mask) {
        int64_t number = (int64_t)slot->number - 1;
        if (slot->head != head) continue;
        if (head < IS_LONG) return number;
        if (table->sizes[number] == size && !memcmp(table->content + table->starts[number], at, (size_t)size))
            return number;
    }
    table->starts[table->count] = at - table->content, table->sizes[table->count] = size;
    table->slots[place] = (Slot){head, (uint32_t)(table->count + 1)};
    return table->count++;
}

/* Write each distinct unit with '\n' after it, and free the table. How many bytes; NO_MEMORY where it `failed`. */
static int64_t written_out(Table *table, int failed, uint8_t *words) {
    int64_t written = 0;
    for (int64_t unit = 0; unit < table->count && !failed; unit++) {
        memcpy(words + written, table->content + table->starts[unit], (size_t)table->sizes[unit]);
        written += table->sizes[unit];
        words[written++] = '\n';
    }
    free(table->slots);
    return failed ? NO_MEMORY : written;
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
    Table table = {content, content + (texts ? ends[texts - 1] : 0), seed, 2047, NULL, 0, starts, sizes};
    int64_t count = grow(&table), start = 0;
    for (int64_t text = 0; text < texts && count >= 0; start = ends[text++]) {
        int64_t before = count;
        count = units_of_text(&table, content + start, content + ends[text], classes, units, count);
        counts[text] = count - before;
    }
    return written_out(&table, count < 0, words);
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

static inline int is_upper(uint8_t c) { return c >= 'A' && c <= 'Z'; }
static inline int is_lower(uint8_t c) { return c >= 'a' && c <= 'z'; }
static inline int is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* Does Python take this unit apart? All but letters, digits and _; and letters, _, dots and colons. */
static int is_left_out(const uint8_t *at, int64_t size) {
    int digits = 0, joints = 0, lines = 0, humps = 0;
    for (int64_t i = 0; i < size; i++) {
        uint8_t c = at[i];
        if (is_digit(c)) digits = 1;
        else if (c == '.' || c == ':') joints = 1;
        else if (c == '_') lines = 1;
        else if (is_upper(c)) humps |= i > 0;
        else if (!is_lower(c)) return 1;
    }
    return (digits && joints) || (size > SPLIT_LENGTH && (joints || lines || humps));
}

/* Where the part ends that begins here, by `_PIECE` of words.py; NULL where none begins. */
static const uint8_t *piece_end(const uint8_t *at, const uint8_t *end) {
    const uint8_t *uppers = at;
    while (uppers < end && is_upper(*uppers)) uppers++;
    if (uppers - at > 1 && uppers < end && is_lower(*uppers)) return uppers - 1;
    const uint8_t *stop = uppers;
    while (stop < end && (is_lower(*stop) || is_digit(*stop))) stop++;
    return stop > at ? stop : NULL;
}

/* The folded words of a unit, after the `count` that are written already: it itself, then its parts of two characters
   or more; how many there are then. The table's content is `content` in lower case. */
static int64_t folded_unit(Table *table, const uint8_t *content, const uint8_t *at, const uint8_t *end,
                           int32_t *numbers, int64_t count) {
    const uint8_t *lowered = table->content;
    while (at < end && *at == '_') at++;
    while (at < end && end[-1] == '_') end--;
    if (at == end) return count;
    int64_t first = count, whole = number_of(table, lowered + (at - content), end - at);
    if (whole < 0) return NO_MEMORY;
    numbers[count++] = (int32_t)whole;
    int pieces = 0;
    for (const uint8_t *next = at, *stop; next < end; next = stop ? stop : next + 1) {
        stop = piece_end(next, end);
        if (!stop) continue;
        pieces++;
        if (stop - next < 2 || (next == at && stop == end)) continue;
        int64_t number = number_of(table, lowered + (next - content), stop - next);
        if (number < 0) return NO_MEMORY;
        numbers[count++] = (int32_t)number;
    }
    return pieces > 1 ? count : first + 1;
}

/* The folded words of units, which lie in `content` with '\n' after each: the numbers of each unit's words in
   `numbers`, how many each unit has in `counts`, LEFT_OUT where Python takes it apart; and the distinct words, each
   with '\n' after it, in `words`. The bytes in `words`, or NO_MEMORY. `starts`, `sizes`: scratch, as large as
   `numbers`; `lowered`: scratch, as large as `content`. */
int64_t vecver_words_folded(const uint8_t *content, int64_t size, uint64_t seed, int64_t *starts, int64_t *sizes,
                            uint8_t *lowered, int32_t *numbers, int64_t *counts, uint8_t *words) {
    for (int64_t i = 0; i < size; i++) lowered[i] = is_upper(content[i]) ? content[i] + ('a' - 'A') : content[i];
    Table table = {lowered, lowered + size, seed, 2047, NULL, 0, starts, sizes};
    int64_t count = grow(&table), unit = 0;
    for (const uint8_t *at = content, *end = content + size; at < end && count >= 0; unit++) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        int64_t before = count;
        if (is_left_out(at, stop - at)) counts[unit] = LEFT_OUT;
        else {
            count = folded_unit(&table, content, at, stop, numbers, count);
            counts[unit] = count - before;
        }
        at = stop + 1;
    }
    return written_out(&table, count < 0, words);
}
