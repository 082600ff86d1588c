#include "real/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "real/tokenizer_state.h"

/* Words of up to this many symbols are searched for their best pair; longer ones keep a heap of pairs. */
enum { SHORT_WORD = 64 };

/* -- small parts ------------------------------------------------------------------------------------------------- */

lspo_status_t lspo_buffer_append(lspo_buffer_t *buffer, const char *text, size_t bytes)
{
    if (buffer->bytes + bytes + 1 > buffer->capacity) {
        size_t capacity = 2 * (buffer->bytes + bytes) + 64;
        char *grown = realloc(buffer->text, capacity);
        if (!grown)
            return lspo_error(LSPO_ERR_MEMORY, "out of memory for %zu bytes of text", capacity);
        buffer->text = grown;
        buffer->capacity = capacity;
    }
    memcpy(buffer->text + buffer->bytes, text, bytes);
    buffer->bytes += bytes;
    buffer->text[buffer->bytes] = '\0';
    return LSPO_OK;
}

typedef struct {
    uint32_t *ids;
    size_t count, capacity;
} id_list_t;

static lspo_status_t append_ids(id_list_t *list, const uint32_t *ids, size_t count)
{
    if (list->count + count > list->capacity) {
        size_t capacity = 2 * (list->count + count) + 64;
        uint32_t *grown = realloc(list->ids, capacity * sizeof *grown);
        if (!grown)
            return lspo_error(LSPO_ERR_MEMORY, "out of memory for %zu token ids", capacity);
        list->ids = grown;
        list->capacity = capacity;
    }
    if (count > 0)
        memcpy(list->ids + list->count, ids, count * sizeof *ids);
    list->count += count;
    return LSPO_OK;
}

uint64_t lspo_tokenizer_hash(const char *text, size_t bytes)
{
    uint64_t hash = 0xcbf29ce484222325U; /* FNV-1a, then mixed: slots take the low bits */
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3U;
    return hash ^ hash >> 29;
}

uint32_t lspo_tokenizer_lookup(const lspo_tokenizer_t *t, const char *text, size_t bytes, bool any)
{
    for (uint32_t slot = (uint32_t)lspo_tokenizer_hash(text, bytes) & t->token_slot_mask; t->token_slots[slot] != 0;
         slot = (slot + 1) & t->token_slot_mask) {
        uint32_t id = t->token_slots[slot] - 1;
        if (t->tokens[id].bytes == bytes && memcmp(t->tokens[id].text, text, bytes) == 0)
            return any || !t->added_only[id] ? id : LSPO_TOKEN_NONE;
    }
    return LSPO_TOKEN_NONE;
}

uint32_t lspo_tokenizer_pair_slot(const lspo_tokenizer_t *t, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15U;
    uint32_t slot = (uint32_t)(key >> 32) & t->merge_slot_mask;
    while (t->merge_slots[slot] != 0) {
        const lspo_merge_t *merge = &t->merges[t->merge_slots[slot] - 1];
        if (merge->left == left && merge->right == right)
            break;
        slot = (slot + 1) & t->merge_slot_mask;
    }
    return slot;
}

uint32_t lspo_tokenizer_rank(const lspo_tokenizer_t *t, uint32_t left, uint32_t right)
{
    return t->merge_slots[lspo_tokenizer_pair_slot(t, left, right)] - 1; /* 0 - 1: UINT32_MAX */
}

/* GPT-2's bytes_to_unicode(): these stand for themselves. */
static bool is_printable(uint32_t code)
{
    return (code >= 0x21 && code <= 0x7e) || (code >= 0xa1 && code <= 0xac) || (code >= 0xae && code <= 0xff);
}

size_t lspo_byte_character(uint8_t byte, char out[2])
{
    uint32_t code = byte;
    if (!is_printable(byte)) {
        code = 0x100;
        for (uint32_t other = 0; other < byte; other++)
            code += !is_printable(other);
    }
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    out[0] = (char)(0xc0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3f));
    return 2;
}

int lspo_character_byte(uint32_t code)
{
    if (code <= 0xff)
        return is_printable(code) ? (int)code : -1;
    for (uint32_t byte = 0, next = 0x100; byte < 0x100; byte++)
        if (!is_printable(byte) && next++ == code)
            return (int)byte;
    return -1;
}

/* -- normalising --------------------------------------------------------------------------------------------------- */

static lspo_status_t replace_all(const char *text, size_t bytes, const char *from, const char *to, lspo_buffer_t *out)
{
    size_t from_bytes = strlen(from), to_bytes = strlen(to), done = 0;
    lspo_status_t status = LSPO_OK;
    while (status == LSPO_OK) {
        const char *hit = memmem(text + done, bytes - done, from, from_bytes);
        size_t until = hit ? (size_t)(hit - text) : bytes;
        status = lspo_buffer_append(out, text + done, until - done);
        if (!hit || status != LSPO_OK)
            break;
        status = lspo_buffer_append(out, to, to_bytes);
        done = until + from_bytes;
    }
    return status;
}

lspo_status_t lspo_tokenizer_normalize(const lspo_tokenizer_t *t, const char *text, size_t bytes, lspo_buffer_t *out)
{
    lspo_buffer_t from = {0}, to = {0};
    lspo_status_t status = lspo_buffer_append(&from, text, bytes);
    for (uint32_t i = 0; i < t->step_count && status == LSPO_OK; i++) {
        const lspo_normal_step_t *step = &t->steps[i];
        to.bytes = 0;
        if (step->from) {
            status = replace_all(from.text, from.bytes, step->from, step->to, &to);
        } else {
            if (from.bytes > 0)
                status = lspo_buffer_append(&to, step->to, strlen(step->to));
            if (status == LSPO_OK)
                status = lspo_buffer_append(&to, from.text, from.bytes);
        }
        lspo_buffer_t swap = from;
        from = to;
        to = swap;
    }
    if (status == LSPO_OK)
        status = lspo_buffer_append(out, from.text, from.bytes);
    free(from.text);
    free(to.text);
    return status;
}

/* -- byte-pair encoding of one word -------------------------------------------------------------------------------- */

/* One symbol a character; NULL text: the word's bytes. */
typedef struct {
    const lspo_tokenizer_t *t;
    uint32_t *symbols;
    size_t count;
    bool pending; /* an unknown symbol that has not been written: more may be fused with it */
} symbols_t;

static void flush_unknown(symbols_t *s)
{
    if (s->pending)
        s->symbols[s->count++] = s->t->unknown;
    s->pending = false;
}

static void add_unknown(symbols_t *s)
{
    if (s->t->unknown == LSPO_TOKEN_NONE)
        return;
    if (!s->t->fuse_unknown)
        flush_unknown(s);
    s->pending = true;
}

static void add_character(symbols_t *s, const char *text, size_t bytes)
{
    uint32_t id = lspo_tokenizer_lookup(s->t, text, bytes, false);
    if (id != LSPO_TOKEN_NONE) {
        flush_unknown(s);
        s->symbols[s->count++] = id;
        return;
    }
    bool has_bytes = s->t->byte_fallback;
    for (size_t i = 0; i < bytes && has_bytes; i++)
        has_bytes = s->t->byte_ids[(uint8_t)text[i]] != LSPO_TOKEN_NONE;
    if (!has_bytes) {
        add_unknown(s);
        return;
    }
    for (size_t i = 0; i < bytes; i++)
        s->symbols[s->count++] = s->t->byte_ids[(uint8_t)text[i]];
}

/* The symbols of a word: at most one a byte, and one more. */
static size_t split_word(const lspo_tokenizer_t *t, const char *word, size_t bytes, uint32_t *symbols)
{
    symbols_t s = {.t = t, .symbols = symbols};
    if (t->byte_level) {
        for (size_t i = 0; i < bytes; i++) {
            uint32_t id = t->byte_level_ids[(uint8_t)word[i]];
            if (id == LSPO_TOKEN_NONE) {
                add_unknown(&s);
                continue;
            }
            flush_unknown(&s);
            symbols[s.count++] = id;
        }
    } else {
        uint32_t code;
        for (size_t at = 0, length; at < bytes; at += length) {
            length = lspo_utf8_next(word, bytes, at, &code);
            add_character(&s, word + at, length);
        }
    }
    flush_unknown(&s);
    return s.count;
}

/* Join in place; ranks[i] is that of symbols i and i + 1. */
static size_t merge_short(const lspo_tokenizer_t *t, uint32_t *symbols, size_t count)
{
    uint32_t ranks[SHORT_WORD];
    for (size_t i = 0; i + 1 < count; i++)
        ranks[i] = lspo_tokenizer_rank(t, symbols[i], symbols[i + 1]);
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == UINT32_MAX)
            break;
        symbols[best] = t->merges[ranks[best]].joined;
        count--;
        memmove(&symbols[best + 1], &symbols[best + 2], (count - best - 1) * sizeof *symbols);
        if (best + 1 < count) {
            memmove(&ranks[best], &ranks[best + 1], (count - best - 1) * sizeof *ranks);
            ranks[best] = lspo_tokenizer_rank(t, symbols[best], symbols[best + 1]);
        }
        if (best > 0)
            ranks[best - 1] = lspo_tokenizer_rank(t, symbols[best - 1], symbols[best]);
    }
    return count;
}

typedef struct {
    uint32_t rank, at;
} pair_t;

typedef struct {
    pair_t *pairs;
    size_t count;
} heap_t;

static bool pair_before(pair_t a, pair_t b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void heap_push(heap_t *heap, pair_t pair)
{
    size_t i = heap->count++;
    for (; i > 0 && pair_before(pair, heap->pairs[(i - 1) / 2]); i = (i - 1) / 2)
        heap->pairs[i] = heap->pairs[(i - 1) / 2];
    heap->pairs[i] = pair;
}

static pair_t heap_pop(heap_t *heap)
{
    pair_t top = heap->pairs[0], last = heap->pairs[--heap->count];
    size_t i = 0;
    for (size_t child = 1; child < heap->count; child = 2 * i + 1) {
        if (child + 1 < heap->count && pair_before(heap->pairs[child + 1], heap->pairs[child]))
            child++;
        if (!pair_before(heap->pairs[child], last))
            break;
        heap->pairs[i] = heap->pairs[child];
        i = child;
    }
    if (heap->count > 0)
        heap->pairs[i] = last;
    return top;
}

/* A word as a list: symbols that were joined into their left neighbour are LSPO_TOKEN_NONE. */
typedef struct {
    const lspo_tokenizer_t *t;
    uint32_t *symbols, *next, *previous;
    size_t count;
    heap_t heap;
} chain_t;

static void push_pair(chain_t *c, size_t left, size_t right)
{
    if (left >= c->count || right >= c->count)
        return;
    uint32_t rank = lspo_tokenizer_rank(c->t, c->symbols[left], c->symbols[right]);
    if (rank != UINT32_MAX)
        heap_push(&c->heap, (pair_t){rank, (uint32_t)left});
}

static void join_best(chain_t *c)
{
    pair_t best = heap_pop(&c->heap);
    uint32_t left = best.at, right = c->next[left];
    /* A pair that changed since it was pushed has another rank or none. */
    if (c->symbols[left] == LSPO_TOKEN_NONE || right >= c->count ||
        lspo_tokenizer_rank(c->t, c->symbols[left], c->symbols[right]) != best.rank)
        return;
    c->symbols[left] = c->t->merges[best.rank].joined;
    c->symbols[right] = LSPO_TOKEN_NONE;
    c->next[left] = c->next[right];
    if (c->next[left] < c->count)
        c->previous[c->next[left]] = left;
    push_pair(c, c->previous[left], left);
    push_pair(c, left, c->next[left]);
}

static lspo_status_t merge_long(const lspo_tokenizer_t *t, uint32_t *symbols, size_t *count)
{
    if (*count > UINT32_MAX / 4)
        return lspo_error(LSPO_ERR_INPUT, "a word of %zu symbols is too long", *count);
    chain_t c = {.t = t, .symbols = symbols, .count = *count};
    /* Each join removes one symbol and pushes two pairs at most. */
    c.next = malloc(*count * sizeof *c.next);
    c.previous = malloc(*count * sizeof *c.previous);
    c.heap.pairs = malloc(3 * *count * sizeof *c.heap.pairs);
    lspo_status_t status = LSPO_OK;
    if (!c.next || !c.previous || !c.heap.pairs) {
        status = lspo_error(LSPO_ERR_MEMORY, "out of memory for a word of %zu symbols", *count);
    } else {
        for (size_t i = 0; i < c.count; i++) {
            c.next[i] = (uint32_t)i + 1;
            c.previous[i] = i > 0 ? (uint32_t)i - 1 : UINT32_MAX;
        }
        for (size_t i = 0; i + 1 < c.count; i++)
            push_pair(&c, i, i + 1);
        while (c.heap.count > 0)
            join_best(&c);
        size_t kept = 0;
        for (size_t i = 0; i < c.count; i++)
            if (symbols[i] != LSPO_TOKEN_NONE)
                symbols[kept++] = symbols[i];
        *count = kept;
    }
    free(c.heap.pairs);
    free(c.previous);
    free(c.next);
    return status;
}

/* The id of a whole word when merges are to be ignored for words of the vocabulary. */
static lspo_status_t whole_word(const lspo_tokenizer_t *t, const char *word, size_t bytes, uint32_t *id_out)
{
    lspo_buffer_t spelled = {0};
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < bytes && t->byte_level && status == LSPO_OK; i++) {
        char character[2];
        size_t length = lspo_byte_character((uint8_t)word[i], character);
        status = lspo_buffer_append(&spelled, character, length);
    }
    if (status == LSPO_OK)
        *id_out = spelled.text ? lspo_tokenizer_lookup(t, spelled.text, spelled.bytes, false)
                               : lspo_tokenizer_lookup(t, word, bytes, false);
    free(spelled.text);
    return status;
}

static lspo_status_t encode_uncached(const lspo_tokenizer_t *t, const char *word, size_t bytes, id_list_t *out)
{
    uint32_t local[SHORT_WORD + 1], *symbols = local, id = LSPO_TOKEN_NONE;
    lspo_status_t status = LSPO_OK;
    if (t->ignore_merges) {
        status = whole_word(t, word, bytes, &id);
        if (status != LSPO_OK || id != LSPO_TOKEN_NONE)
            return status != LSPO_OK ? status : append_ids(out, &id, 1);
    }
    if (bytes > SHORT_WORD)
        symbols = malloc((bytes + 1) * sizeof *symbols);
    if (!symbols)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for a word of %zu bytes", bytes);
    size_t count = split_word(t, word, bytes, symbols);
    if (count <= SHORT_WORD)
        count = merge_short(t, symbols, count);
    else
        status = merge_long(t, symbols, &count);
    if (status == LSPO_OK)
        status = append_ids(out, symbols, count);
    if (symbols != local)
        free(symbols);
    return status;
}

static lspo_status_t encode_word(lspo_tokenizer_t *t, const char *word, size_t bytes, id_list_t *out)
{
    if (bytes == 0)
        return LSPO_OK;
    if (bytes > LSPO_CACHE_WORD_BYTES)
        return encode_uncached(t, word, bytes, out);
    lspo_cache_slot_t *slot = &t->cache[lspo_tokenizer_hash(word, bytes) % LSPO_CACHE_SLOTS];
    if (slot->bytes == bytes && memcmp(slot->word, word, bytes) == 0)
        return append_ids(out, slot->ids, slot->count);
    size_t before = out->count;
    lspo_status_t status = encode_uncached(t, word, bytes, out);
    size_t count = out->count - before;
    if (status == LSPO_OK && count <= LSPO_CACHE_IDS) {
        slot->bytes = (uint8_t)bytes;
        slot->count = (uint8_t)count;
        memcpy(slot->word, word, bytes);
        if (count > 0)
            memcpy(slot->ids, out->ids + before, count * sizeof *slot->ids);
    }
    return status;
}

/* -- cutting text into words --------------------------------------------------------------------------------------- */

static bool begins_with(const char *text, size_t bytes, const char *prefix)
{
    return bytes >= strlen(prefix) && memcmp(text, prefix, strlen(prefix)) == 0;
}

static lspo_status_t encode_byte_level(lspo_tokenizer_t *t, const char *text, size_t bytes, id_list_t *out)
{
    lspo_buffer_t prefixed = {0};
    lspo_status_t status = LSPO_OK;
    if (t->add_prefix_space && text[0] != ' ') {
        status = lspo_buffer_append(&prefixed, " ", 1);
        if (status == LSPO_OK)
            status = lspo_buffer_append(&prefixed, text, bytes);
        text = prefixed.text;
        bytes = prefixed.bytes;
    }
    for (size_t at = 0; at < bytes && status == LSPO_OK;) {
        size_t end = lspo_word_end(t->split, text, bytes, at);
        status = encode_word(t, text + at, end - at, out);
        at = end;
    }
    free(prefixed.text);
    return status;
}

/* End of the word that begins at `at`: before the next U+2581, with `runs` only before the first of several. */
static size_t metaspace_word_end(const char *text, size_t bytes, size_t at, bool runs)
{
    static const size_t length = sizeof LSPO_METASPACE - 1;
    bool blank = begins_with(text + at, bytes - at, LSPO_METASPACE);
    size_t p = at + (blank ? length : 1);
    while (runs && blank && begins_with(text + p, bytes - p, LSPO_METASPACE))
        p += length;
    const char *hit = memmem(text + p, bytes - p, LSPO_METASPACE, length);
    return hit ? (size_t)(hit - text) : bytes;
}

static lspo_status_t encode_words(lspo_tokenizer_t *t, const char *text, size_t bytes, id_list_t *out)
{
    bool runs = !(t->metaspace && t->metaspace_split);
    lspo_status_t status = LSPO_OK;
    if (runs && !t->splits_at_metaspace)
        return encode_word(t, text, bytes, out);
    for (size_t at = 0; at < bytes && status == LSPO_OK;) {
        size_t end = metaspace_word_end(text, bytes, at, runs);
        status = encode_word(t, text + at, end - at, out);
        at = end;
    }
    return status;
}

static lspo_status_t encode_metaspace(lspo_tokenizer_t *t, const char *text, size_t bytes, bool first, id_list_t *out)
{
    lspo_buffer_t spelled = {0};
    bool prepends =
        t->metaspace_prepend == LSPO_PREPEND_ALWAYS || (t->metaspace_prepend == LSPO_PREPEND_FIRST && first);
    lspo_status_t status = LSPO_OK;
    if (prepends && text[0] != ' ' && !begins_with(text, bytes, LSPO_METASPACE))
        status = lspo_buffer_append(&spelled, LSPO_METASPACE, sizeof LSPO_METASPACE - 1);
    if (status == LSPO_OK)
        status = replace_all(text, bytes, " ", LSPO_METASPACE, &spelled);
    if (status == LSPO_OK)
        status = encode_words(t, spelled.text, spelled.bytes, out);
    free(spelled.text);
    return status;
}

static lspo_status_t encode_plain(lspo_tokenizer_t *t, const char *text, size_t bytes, bool first, id_list_t *out)
{
    if (bytes == 0)
        return LSPO_OK;
    if (t->byte_level)
        return encode_byte_level(t, text, bytes, out);
    if (t->metaspace)
        return encode_metaspace(t, text, bytes, first, out);
    return encode_words(t, text, bytes, out);
}

/* -- cutting out added tokens -------------------------------------------------------------------------------------- */

/* The longest added token at `at` of those that are searched in this kind of text; NULL: none. */
static const lspo_added_token_t *added_at(const lspo_tokenizer_t *t, const char *text, size_t bytes, size_t at,
                                          bool normalized)
{
    if (!t->added_starts[normalized][(uint8_t)text[at]])
        return NULL;
    for (uint32_t i = 0; i < t->added_count; i++) {
        const lspo_added_token_t *added = &t->added[i];
        if (added->normalized == normalized && added->bytes <= bytes - at &&
            memcmp(text + at, added->text, added->bytes) == 0)
            return added;
    }
    return NULL;
}

/* Where the blanks that end at `end` begin, not before `least`. */
static size_t blanks_begin(const char *text, size_t least, size_t end)
{
    while (end > least) {
        size_t p = end - 1;
        uint32_t code;
        while (p > least && ((uint8_t)text[p] & 0xc0) == 0x80)
            p--;
        if (p + lspo_utf8_next(text, end, p, &code) != end || !lspo_is_blank(code))
            break;
        end = p;
    }
    return end;
}

static size_t blanks_after(const char *text, size_t bytes, size_t at)
{
    uint32_t code;
    while (at < bytes) {
        size_t length = lspo_utf8_next(text, bytes, at, &code);
        if (!lspo_is_blank(code))
            break;
        at += length;
    }
    return at;
}

static lspo_status_t encode_segments(lspo_tokenizer_t *t, const char *text, size_t bytes, bool normalized, bool first,
                                     id_list_t *out);

static lspo_status_t encode_between(lspo_tokenizer_t *t, const char *text, size_t bytes, bool normalized, bool first,
                                    id_list_t *out)
{
    if (bytes == 0)
        return LSPO_OK;
    if (normalized)
        return encode_plain(t, text, bytes, first, out);
    if (t->step_count == 0)
        return encode_segments(t, text, bytes, true, first, out);
    lspo_buffer_t normal = {0};
    lspo_status_t status = lspo_tokenizer_normalize(t, text, bytes, &normal);
    if (status == LSPO_OK)
        status = encode_segments(t, normal.text, normal.bytes, true, first, out);
    free(normal.text);
    return status;
}

/* Added tokens become their ids; what lies between them is normalised, searched again, and encoded. */
static lspo_status_t encode_segments(lspo_tokenizer_t *t, const char *text, size_t bytes, bool normalized, bool first,
                                     id_list_t *out)
{
    size_t done = 0, at = 0;
    lspo_status_t status = LSPO_OK;
    while (at < bytes && status == LSPO_OK) {
        const lspo_added_token_t *added = added_at(t, text, bytes, at, normalized);
        if (!added) {
            at++;
            continue;
        }
        size_t begin = added->strip_left && at > done ? blanks_begin(text, done, at) : at;
        at += added->bytes;
        if (begin > done)
            status = encode_between(t, text + done, begin - done, normalized, first && done == 0, out);
        if (status == LSPO_OK)
            status = append_ids(out, &added->id, 1);
        done = added->strip_right ? blanks_after(text, bytes, at) : at;
        at = done;
    }
    if (status == LSPO_OK)
        status = encode_between(t, text + done, bytes - done, normalized, first && done == 0, out);
    return status;
}

/* -- public -------------------------------------------------------------------------------------------------------- */

lspo_status_t lspo_tokenizer_encode(lspo_tokenizer_t *t, const char *text, size_t bytes, bool specials,
                                    uint32_t **ids_out, size_t *count_out)
{
    id_list_t list = {0};
    lspo_status_t status = append_ids(&list, t->before, specials ? t->before_count : 0);
    if (status == LSPO_OK)
        status = encode_segments(t, text, bytes, false, true, &list);
    if (status == LSPO_OK)
        status = append_ids(&list, t->after, specials ? t->after_count : 0);
    if (status != LSPO_OK) {
        free(list.ids);
        return status;
    }
    *ids_out = list.ids;
    *count_out = list.count;
    return LSPO_OK;
}

/* A byte-level token is the bytes that its characters stand for, or its own text when one stands for none. */
static lspo_status_t decode_byte_level(const lspo_token_t *token, lspo_buffer_t *out)
{
    size_t begin = out->bytes;
    for (size_t at = 0; at < token->bytes;) {
        uint32_t code;
        at += lspo_utf8_next(token->text, token->bytes, at, &code);
        int byte = lspo_character_byte(code);
        const char character = (char)byte;
        lspo_status_t status = LSPO_OK;
        if (byte < 0) {
            out->bytes = begin;
            return lspo_buffer_append(out, token->text, token->bytes);
        }
        status = lspo_buffer_append(out, &character, 1);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* The byte of "<0x0A>", -1 for other tokens. */
static int fallback_byte(const lspo_token_t *token)
{
    char digits[3] = "", *rest;
    if (token->bytes != 6 || memcmp(token->text, "<0x", 3) != 0 || token->text[5] != '>')
        return -1;
    memcpy(digits, token->text + 3, 2);
    long value = strtol(digits, &rest, 16);
    return *rest == '\0' && strchr(" +-", digits[0]) == NULL ? (int)value : -1;
}

static lspo_status_t decode_token(const lspo_tokenizer_t *t, const lspo_token_t *token, bool first, lspo_buffer_t *out)
{
    if (t->byte_level)
        return decode_byte_level(token, out);
    int byte = t->decode_bytes ? fallback_byte(token) : -1;
    if (byte >= 0) {
        const char character = (char)byte;
        return lspo_buffer_append(out, &character, 1);
    }
    if (t->decode_metaspace)
        return replace_all(token->text, token->bytes, LSPO_METASPACE,
                           first && t->metaspace_prepend != LSPO_PREPEND_NEVER ? "" : " ", out);
    lspo_status_t status = t->decode_spaces && !first ? lspo_buffer_append(out, " ", 1) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (t->decode_replaces)
        return replace_all(token->text, token->bytes, LSPO_METASPACE, " ", out);
    return lspo_buffer_append(out, token->text, token->bytes);
}

lspo_status_t lspo_tokenizer_decode(const lspo_tokenizer_t *t, const uint32_t *ids, size_t count, bool skip_specials,
                                    char **text_out, size_t *bytes_out)
{
    lspo_buffer_t text = {0};
    bool first = true;
    lspo_status_t status = lspo_buffer_append(&text, "", 0);
    for (size_t i = 0; i < count && status == LSPO_OK; i++) {
        if (ids[i] >= t->token_count || !t->tokens[ids[i]].text || (skip_specials && t->tokens[ids[i]].special))
            continue;
        status = decode_token(t, &t->tokens[ids[i]], first, &text);
        first = false;
    }
    if (status != LSPO_OK) {
        free(text.text);
        return status;
    }
    size_t strip = 0;
    while (strip < t->decode_strip && strip < text.bytes && text.text[strip] == ' ')
        strip++;
    memmove(text.text, text.text + strip, text.bytes - strip + 1);
    *text_out = text.text;
    *bytes_out = text.bytes - strip;
    return LSPO_OK;
}

uint32_t lspo_tokenizer_vocabulary(const lspo_tokenizer_t *t)
{
    return t->token_count;
}

uint32_t lspo_tokenizer_id(const lspo_tokenizer_t *t, const char *token)
{
    return lspo_tokenizer_lookup(t, token, strlen(token), true);
}

uint32_t lspo_tokenizer_end(const lspo_tokenizer_t *t)
{
    return t->after_count > 0 ? t->after[0] : t->end;
}

uint32_t lspo_tokenizer_begin(const lspo_tokenizer_t *t)
{
    return t->before_count > 0 ? t->before[0] : LSPO_TOKEN_NONE;
}

uint32_t lspo_tokenizer_pad(const lspo_tokenizer_t *t)
{
    return t->pad;
}

void lspo_tokenizer_close(lspo_tokenizer_t *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->token_count && t->tokens; i++)
        free(t->tokens[i].text);
    for (uint32_t i = 0; i < t->added_count; i++)
        free(t->added[i].text);
    for (uint32_t i = 0; i < t->step_count; i++) {
        free(t->steps[i].from);
        free(t->steps[i].to);
    }
    free(t->cache);
    free(t->added);
    free(t->merge_slots);
    free(t->merges);
    free(t->added_only);
    free(t->token_slots);
    free(t->tokens);
    free(t);
}
