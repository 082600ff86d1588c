/* bpe.c - byte-pair encoding of a word: repeatedly join the adjacent pair that comes first in the list of merges, on
 * ties the leftmost [Sennrich et al. 2016, arXiv 1508.07909]. */
#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/state.h"
#include "real/tokenizer/unicode.h"

/* For words of up to this many symbols the best pair is found by a linear search; longer ones use a heap of pairs. */
enum { SHORT_WORD = 64 };

static uint32_t rank_of(const lspo_tokenizer_t *t, uint32_t left, uint32_t right)
{
    return t->merge_slots[lspo_tokenizer_pair_slot(t, left, right)] - 1; /* 0 - 1: UINT32_MAX, none */
}

/* -- the initial symbols of a word --------------------------------------------------------------------------------- */

typedef struct {
    const lspo_tokenizer_t *t;
    uint32_t *symbols; /* at most one per byte of the word and of the suffix, plus one */
    size_t count;
    bool pending; /* an unknown symbol that is not yet written, because more may be fused with it */
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

static void add_symbol(symbols_t *s, uint32_t id)
{
    flush_unknown(s);
    s->symbols[s->count++] = id;
}

static void add_character(symbols_t *s, const char *text, size_t bytes)
{
    uint32_t id = lspo_tokenizer_lookup(s->t, text, bytes, false);
    if (id != LSPO_TOKEN_NONE) {
        add_symbol(s, id);
        return;
    }
    bool has_bytes = s->t->byte_fallback;
    for (size_t i = 0; i < bytes && has_bytes; i++)
        has_bytes = s->t->byte_ids[(uint8_t)text[i]] != LSPO_TOKEN_NONE;
    if (!has_bytes) {
        add_unknown(s);
        return;
    }
    /* As in the library, a pending unknown symbol stays pending. */
    for (size_t i = 0; i < bytes; i++)
        s->symbols[s->count++] = s->t->byte_ids[(uint8_t)text[i]];
}

/* A character with the model's prefix, inside a word, and suffix, at the end of a word. */
static lspo_status_t add_dressed(symbols_t *s, const char *text, size_t bytes, bool first, bool last,
                                 lspo_buffer_t *dressed)
{
    dressed->bytes = 0;
    lspo_status_t status = lspo_buffer_append(dressed, s->t->prefix, first ? 0 : strlen(s->t->prefix));
    if (status != LSPO_OK)
        return status;
    status = lspo_buffer_append(dressed, text, bytes);
    if (status != LSPO_OK)
        return status;
    status = lspo_buffer_append(dressed, s->t->suffix, last ? strlen(s->t->suffix) : 0);
    if (status != LSPO_OK)
        return status;
    add_character(s, dressed->text, dressed->bytes);
    return LSPO_OK;
}

static lspo_status_t split_word(symbols_t *s, const char *word, size_t bytes)
{
    const bool dressed = *s->t->prefix != '\0' || *s->t->suffix != '\0';
    lspo_buffer_t buffer = {0};
    lspo_status_t status = LSPO_OK;
    uint32_t code = 0;
    for (size_t at = 0, length; at < bytes; at += length) {
        length = lspo_utf8_next(word, bytes, at, &code);
        const uint32_t id = code < LSPO_SHORT_CHARACTERS ? s->t->short_ids[code] : LSPO_TOKEN_NONE;
        if (dressed)
            status = add_dressed(s, word + at, length, at == 0, at + length == bytes, &buffer);
        else if (id != LSPO_TOKEN_NONE)
            add_symbol(s, id);
        else
            add_character(s, word + at, length);
        if (status != LSPO_OK)
            break;
    }
    flush_unknown(s);
    free(buffer.text);
    return status;
}

/* -- joining ------------------------------------------------------------------------------------------------------- */

/* Join in place; ranks[i] is the rank of symbols i and i + 1. */
static size_t merge_short(const lspo_tokenizer_t *t, uint32_t *symbols, size_t count)
{
    uint32_t ranks[SHORT_WORD];
    for (size_t i = 0; i + 1 < count; i++)
        ranks[i] = rank_of(t, symbols[i], symbols[i + 1]);
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
            ranks[best] = rank_of(t, symbols[best], symbols[best + 1]);
        }
        if (best > 0)
            ranks[best - 1] = rank_of(t, symbols[best - 1], symbols[best]);
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

/* A word as a list: symbols joined into their left neighbour are LSPO_TOKEN_NONE. */
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
    uint32_t rank = rank_of(c->t, c->symbols[left], c->symbols[right]);
    if (rank != UINT32_MAX)
        heap_push(&c->heap, (pair_t){rank, (uint32_t)left});
}

static void join_best(chain_t *c)
{
    pair_t best = heap_pop(&c->heap);
    uint32_t left = best.at, right = c->next[left];
    /* A pair that has changed since it was pushed has another rank or none. */
    if (c->symbols[left] == LSPO_TOKEN_NONE || right >= c->count ||
        rank_of(c->t, c->symbols[left], c->symbols[right]) != best.rank)
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
    /* Each join removes one symbol and pushes at most two pairs. */
    c.next = malloc(*count * sizeof *c.next);
    c.previous = malloc(*count * sizeof *c.previous);
    c.heap.pairs = malloc(3 * *count * sizeof *c.heap.pairs);
    lspo_status_t status = LSPO_OK;
    if (!c.next || !c.previous || !c.heap.pairs) {
        status = lspo_no_memory("a word of %zu symbols", *count);
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

static lspo_status_t encode_symbols(symbols_t *s, const char *word, size_t bytes, lspo_ids_t *out)
{
    lspo_status_t status = split_word(s, word, bytes);
    if (status != LSPO_OK)
        return status;
    if (s->count <= SHORT_WORD) {
        s->count = merge_short(s->t, s->symbols, s->count);
    } else {
        status = merge_long(s->t, s->symbols, &s->count);
        if (status != LSPO_OK)
            return status;
    }
    return lspo_ids_append(out, s->symbols, s->count);
}

lspo_status_t lspo_bpe_encode(const lspo_tokenizer_t *t, const char *word, size_t bytes, lspo_ids_t *out)
{
    uint32_t local[SHORT_WORD + 1], *symbols = local;
    const uint32_t whole = t->ignore_merges ? lspo_tokenizer_lookup(t, word, bytes, false) : LSPO_TOKEN_NONE;
    /* A character with prefix or suffix may become bytes. */
    const size_t room = bytes * (1 + strlen(t->prefix)) + strlen(t->suffix) + 1;
    if (whole != LSPO_TOKEN_NONE)
        return lspo_ids_append(out, &whole, 1);
    if (room > SHORT_WORD + 1)
        symbols = malloc(room * sizeof *symbols);
    if (!symbols)
        return lspo_no_memory("a word of %zu bytes", bytes);
    symbols_t s = {.t = t, .symbols = symbols};
    lspo_status_t status = encode_symbols(&s, word, bytes, out);
    if (symbols != local)
        free(symbols);
    return status;
}

/* -- where a word can be split ------------------------------------------------------------------------------------- */

/* Whether a run of U+2581 begins inside this text. */
static bool has_inner_metaspace(const lspo_token_t *token)
{
    const size_t length = sizeof LSPO_METASPACE - 1;
    for (const char *hit = token->text; (hit = strstr(hit, LSPO_METASPACE)) != NULL; hit += length) {
        bool in_run = hit >= token->text + length && memcmp(hit - length, LSPO_METASPACE, length) == 0;
        if (hit > token->text && !in_run)
            return true;
    }
    return false;
}

/* If no merge creates a token with a blank after another character, words can be encoded separately with the same
 * result, which is much faster than one word for the whole text. */
bool lspo_bpe_splits_at_metaspace(const lspo_tokenizer_t *t)
{
    bool splits = !t->ignore_merges && *t->prefix == '\0' && *t->suffix == '\0' &&
                  lspo_tokenizer_lookup(t, LSPO_METASPACE, strlen(LSPO_METASPACE), false) != LSPO_TOKEN_NONE;
    for (uint32_t i = 0; i < t->merge_count && splits; i++)
        splits = !has_inner_metaspace(&t->tokens[t->merges[i].joined]);
    return splits;
}
