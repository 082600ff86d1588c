/* pieces.c - split a word into pieces of a vocabulary: WordPiece repeatedly takes the longest piece [Devlin et al.
 * 2019, arXiv 1810.04805]; Unigram takes the most probable pieces [Kudo 2018, arXiv 1804.10959], by Viterbi's
 * algorithm; WordLevel takes the word. */
#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/state.h"
#include "real/tokenizer/unicode.h"

static lspo_status_t append_unknown(const lspo_tokenizer_t *t, lspo_ids_t *out)
{
    if (t->unknown == LSPO_TOKEN_NONE)
        return lspo_error(LSPO_ERR_INPUT, "the tokenizer has no pieces for a word of the text, and no unknown token");
    return lspo_ids_append(out, &t->unknown, 1);
}

lspo_status_t lspo_wordlevel_encode(const lspo_tokenizer_t *t, const char *word, size_t bytes, lspo_ids_t *out)
{
    const uint32_t id = lspo_tokenizer_lookup(t, word, bytes, false);
    return id != LSPO_TOKEN_NONE ? lspo_ids_append(out, &id, 1) : append_unknown(t, out);
}

/* -- WordPiece ----------------------------------------------------------------------------------------------------- */

static size_t count_characters(const char *word, size_t bytes)
{
    size_t count = 0;
    uint32_t code;
    for (size_t at = 0; at < bytes; count++)
        at += lspo_utf8_next(word, bytes, at, &code);
    return count;
}

/* The end of the character before `end`. */
static size_t shorter(const char *text, size_t end)
{
    do
        end--;
    while (end > 0 && ((uint8_t)text[end] & 0xc0) == 0x80);
    return end;
}

/* The longest piece at the start of `rest`: its id, or LSPO_TOKEN_NONE, and its end. */
static uint32_t find_longest(const lspo_tokenizer_t *t, const lspo_buffer_t *rest, size_t dressed, size_t *end_out)
{
    uint32_t id = LSPO_TOKEN_NONE;
    size_t end = rest->bytes;
    for (; end > dressed; end = shorter(rest->text, end)) {
        id = lspo_tokenizer_lookup(t, rest->text, end, false);
        if (id != LSPO_TOKEN_NONE)
            break;
    }
    *end_out = end;
    return id;
}

lspo_status_t lspo_wordpiece_encode(const lspo_tokenizer_t *t, const char *word, size_t bytes, lspo_ids_t *out)
{
    const size_t before = out->count, prefix_bytes = strlen(t->prefix);
    lspo_buffer_t rest = {0};
    lspo_status_t status = LSPO_OK;
    if (count_characters(word, bytes) > t->word_characters_max)
        return append_unknown(t, out);
    for (size_t at = 0, end; at < bytes;) {
        const size_t dressed = at > 0 ? prefix_bytes : 0;
        rest.bytes = 0;
        status = lspo_buffer_append(&rest, t->prefix, dressed);
        if (status != LSPO_OK)
            goto cleanup;
        status = lspo_buffer_append(&rest, word + at, bytes - at);
        if (status != LSPO_OK)
            goto cleanup;
        const uint32_t id = find_longest(t, &rest, dressed, &end);
        if (id == LSPO_TOKEN_NONE) {
            out->count = before; /* the whole word is unknown */
            status = append_unknown(t, out);
            goto cleanup;
        }
        status = lspo_ids_append(out, &id, 1);
        if (status != LSPO_OK)
            goto cleanup;
        at += end - dressed;
    }
cleanup:
    free(rest.text);
    return status;
}

/* -- Unigram ------------------------------------------------------------------------------------------------------- */

/* The best path to a place in the word: its last piece begins at `from`. */
typedef struct {
    double score;
    uint32_t from, id; /* from == UINT32_MAX: no path yet */
} node_t;

/* Among tokens[low..high), which have the same first `depth` bytes, the first one whose next byte is at least
 * `byte`. */
static uint32_t lower(const lspo_tokenizer_t *t, uint32_t low, uint32_t high, uint32_t depth, int byte)
{
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const lspo_token_t *token = &t->tokens[t->sorted[middle]];
        const int here = token->bytes > depth ? (uint8_t)token->text[depth] : -1;
        if (here < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void offer(node_t *node, double score, uint32_t from, uint32_t id)
{
    if (node->from == UINT32_MAX || score > node->score)
        *node = (node_t){score, from, id};
}

/* Try all pieces that begin at `at`; returns whether one is a single character of `length` bytes. */
static bool offer_pieces(const lspo_tokenizer_t *t, const char *word, size_t bytes, size_t at, size_t length,
                         node_t *nodes)
{
    uint32_t low = t->sorted_starts[(uint8_t)word[at]], high = t->sorted_starts[(uint8_t)word[at] + 1];
    bool single = false;
    for (uint32_t depth = 1; low < high; depth++) {
        const uint32_t id = t->sorted[low];
        if (t->tokens[id].bytes == depth) {
            offer(&nodes[at + depth], nodes[at].score + t->scores[id], (uint32_t)at, id);
            single |= depth == length;
        }
        if (at + depth == bytes)
            break;
        const int byte = (uint8_t)word[at + depth];
        low = lower(t, low, high, depth, byte);
        high = lower(t, low, high, depth, byte + 1);
    }
    return single;
}

/* A piece without an id becomes its bytes, or unknown. */
static lspo_status_t append_piece(const lspo_tokenizer_t *t, const char *piece, size_t bytes, lspo_ids_t *out)
{
    const uint32_t id = lspo_tokenizer_lookup(t, piece, bytes, false);
    if (id != LSPO_TOKEN_NONE)
        return lspo_ids_append(out, &id, 1);
    bool has_bytes = t->byte_fallback;
    for (size_t i = 0; i < bytes && has_bytes; i++)
        has_bytes = t->byte_ids[(uint8_t)piece[i]] != LSPO_TOKEN_NONE;
    lspo_status_t status = has_bytes ? LSPO_OK : append_unknown(t, out);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < bytes && has_bytes; i++) {
        status = lspo_ids_append(out, &t->byte_ids[(uint8_t)piece[i]], 1);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* The backward path is reversed in place: then node `end` has the start of its piece, and `id` its end. */
static lspo_status_t append_way(const lspo_tokenizer_t *t, const char *word, size_t bytes, node_t *nodes,
                                lspo_ids_t *out)
{
    uint32_t *ends = malloc((bytes + 1) * sizeof *ends);
    size_t count = 0;
    lspo_status_t status = LSPO_OK;
    if (!ends)
        return lspo_no_memory("a word of %zu bytes", bytes);
    for (size_t at = bytes; at > 0; at = nodes[at].from)
        ends[count++] = (uint32_t)at;
    while (count > 0) {
        const uint32_t begin = nodes[ends[count - 1]].from;
        uint32_t end = ends[--count];
        /* Adjacent unknown characters form one piece. */
        if (nodes[end].id == t->unknown)
            while (count > 0 && t->fuse_unknown && nodes[ends[count - 1]].id == t->unknown)
                end = ends[--count];
        status = append_piece(t, word + begin, end - begin, out);
        if (status != LSPO_OK)
            break;
    }
    free(ends);
    return status;
}

lspo_status_t lspo_unigram_encode(const lspo_tokenizer_t *t, const char *word, size_t bytes, lspo_ids_t *out)
{
    if (bytes >= UINT32_MAX)
        return lspo_error(LSPO_ERR_INPUT, "a word of %zu bytes is too long", bytes);
    node_t *nodes = malloc((bytes + 1) * sizeof *nodes);
    if (!nodes)
        return lspo_no_memory("a word of %zu bytes", bytes);
    for (size_t i = 0; i <= bytes; i++)
        nodes[i] = (node_t){.from = UINT32_MAX};
    uint32_t code;
    for (size_t at = 0, length; at < bytes; at += length) {
        length = lspo_utf8_next(word, bytes, at, &code);
        if (!offer_pieces(t, word, bytes, at, length, nodes))
            offer(&nodes[at + length], nodes[at].score + t->unknown_score, (uint32_t)at, t->unknown);
    }
    lspo_status_t status = append_way(t, word, bytes, nodes, out);
    free(nodes);
    return status;
}
