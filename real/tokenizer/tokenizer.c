/* tokenizer.c - convert text to token ids and back, like Hugging Face's tokenizers library; see tokenizer.h. */
#include "real/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/state.h"
#include "real/tokenizer/unicode.h"

/* -- words --------------------------------------------------------------------------------------------------------- */

static lspo_status_t encode_uncached(const lspo_tokenizer_t *t, const char *word, size_t bytes, lspo_ids_t *out)
{
    switch (t->kind) {
    case LSPO_TOKENIZER_BPE:
        return lspo_bpe_encode(t, word, bytes, out);
    case LSPO_TOKENIZER_WORDPIECE:
        return lspo_wordpiece_encode(t, word, bytes, out);
    case LSPO_TOKENIZER_UNIGRAM:
        return lspo_unigram_encode(t, word, bytes, out);
    case LSPO_TOKENIZER_WORDLEVEL:
        break;
    }
    return lspo_wordlevel_encode(t, word, bytes, out);
}

static lspo_status_t encode_word(lspo_tokenizer_t *t, const char *word, size_t bytes, lspo_ids_t *out)
{
    if (bytes == 0)
        return LSPO_OK;
    if (bytes > LSPO_CACHE_WORD_BYTES)
        return encode_uncached(t, word, bytes, out);
    lspo_cache_slot_t *slot = &t->cache[lspo_tokenizer_hash(word, bytes) % LSPO_CACHE_SLOTS];
    if (slot->bytes == bytes && memcmp(slot->word, word, bytes) == 0)
        return lspo_ids_append(out, slot->ids, slot->count);
    size_t before = out->count;
    lspo_status_t status = encode_uncached(t, word, bytes, out);
    if (status != LSPO_OK)
        return status;
    size_t count = out->count - before;
    if (count <= LSPO_CACHE_IDS) {
        slot->bytes = (uint8_t)bytes;
        slot->count = (uint8_t)count;
        memcpy(slot->word, word, bytes);
        if (count > 0)
            memcpy(slot->ids, out->ids + before, count * sizeof *slot->ids);
    }
    return LSPO_OK;
}

/* The end of the word that begins at `at`, before the next run of U+2581. */
static size_t metaspace_word_end(const char *text, size_t bytes, size_t at)
{
    static const size_t length = sizeof LSPO_METASPACE - 1;
    size_t p = at;
    while (bytes - p >= length && memcmp(text + p, LSPO_METASPACE, length) == 0)
        p += length;
    const char *hit = p < bytes ? memmem(text + p, bytes - p, LSPO_METASPACE, length) : NULL;
    return hit ? (size_t)(hit - text) : bytes;
}

typedef struct {
    lspo_tokenizer_t *t;
    lspo_ids_t *out;
} taker_t;

static lspo_status_t take_word(void *context, const char *word, size_t bytes)
{
    const taker_t *taker = context;
    for (size_t at = 0, end; at < bytes; at = end) {
        end = taker->t->splits_at_metaspace ? metaspace_word_end(word, bytes, at) : bytes;
        lspo_status_t status = encode_word(taker->t, word + at, end - at, taker->out);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t encode_plain(lspo_tokenizer_t *t, const char *text, size_t bytes, bool first, lspo_ids_t *out)
{
    taker_t taker = {t, out};
    return lspo_splitter_apply(t->splitter, text, bytes, first, take_word, &taker);
}

/* -- added tokens -------------------------------------------------------------------------------------------------- */

/* One text being encoded.  `parts`: with its parts that are plain, and its stops; NULL: a text without. */
typedef struct {
    lspo_tokenizer_t *t;
    lspo_ids_t *out;
    const lspo_tokenizer_parts_t *parts;
    size_t *stop, *plain; /* the next stop; the first plain part that ends behind the place reached */
} pass_t;

/* Whether a control token may be matched there: not where the text is plain. */
static bool is_free(const pass_t *pass, size_t begin, size_t end)
{
    const lspo_tokenizer_parts_t *parts = pass->parts;
    while (*pass->plain < parts->plain_count && parts->plain[*pass->plain].end <= begin)
        ++*pass->plain;
    return *pass->plain == parts->plain_count || parts->plain[*pass->plain].begin >= end;
}

/* In a text with parts, control tokens are matched before it is normalised. */
static bool is_raw_control(const pass_t *pass, const lspo_added_token_t *added)
{
    return pass->parts && added->control;
}

static size_t searched_bytes(const pass_t *pass, const lspo_added_token_t *added)
{
    return is_raw_control(pass, added) ? pass->t->tokens[added->id].bytes : added->bytes;
}

static bool is_matched(const pass_t *pass, const lspo_added_token_t *added, const char *text, size_t bytes, size_t at,
                       bool normalized)
{
    const bool raw = is_raw_control(pass, added);
    const char *searched = raw ? pass->t->tokens[added->id].text : added->text;
    const size_t length = searched_bytes(pass, added);
    if (normalized != (added->normalized && !raw) || length > bytes - at || memcmp(text + at, searched, length) != 0)
        return false;
    return !raw || is_free(pass, at, at + length);
}

/* The longest added token at `at` among those matched in this kind of text; NULL: none. */
static const lspo_added_token_t *added_at(const pass_t *pass, const char *text, size_t bytes, size_t at,
                                          bool normalized)
{
    const lspo_tokenizer_t *t = pass->t;
    const uint8_t first = (uint8_t)text[at];
    if (!t->added_starts[normalized][first] && !(pass->parts && !normalized && t->control_starts[first]))
        return NULL;
    for (uint32_t i = 0; i < t->added_count; i++)
        if (is_matched(pass, &t->added[i], text, bytes, at, normalized))
            return &t->added[i];
    return NULL;
}

/* The start of the blanks that end at `end`, but not before `least`. */
static size_t blanks_begin(const char *text, size_t least, size_t end)
{
    while (end > least) {
        size_t p = end - 1;
        uint32_t code;
        while (p > least && ((uint8_t)text[p] & 0xc0) == 0x80)
            p--;
        if (p + lspo_utf8_next(text, end, p, &code) != end || !lspo_unicode_is_space(code))
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
        if (!lspo_unicode_is_space(code))
            break;
        at += length;
    }
    return at;
}

static lspo_status_t encode_segments(const pass_t *pass, const char *text, size_t bytes, bool normalized, bool first);

static lspo_status_t encode_between(const pass_t *pass, const char *text, size_t bytes, bool normalized, bool first)
{
    lspo_tokenizer_t *t = pass->t;
    if (bytes == 0)
        return LSPO_OK;
    if (normalized)
        return encode_plain(t, text, bytes, first, pass->out);
    if (lspo_normalizer_is_empty(t->normalizer))
        return encode_segments(pass, text, bytes, true, first);
    lspo_buffer_t normal = {0};
    bool takes_front = false;
    lspo_status_t status = lspo_normalizer_apply(t->normalizer, text, bytes, &normal);
    if (status != LSPO_OK)
        goto cleanup;
    if (first && lspo_splitter_asks_for_first(t->splitter))
        status = lspo_normalizer_takes_front(t->normalizer, text, bytes, &takes_front);
    if (status != LSPO_OK)
        goto cleanup;
    status = encode_segments(pass, normal.text, normal.bytes, true, first && !takes_front);
cleanup:
    free(normal.text);
    return status;
}

static bool is_word_before(const char *text, size_t at)
{
    uint32_t code;
    size_t p = at;
    if (at == 0)
        return false;
    do
        p--;
    while (p > 0 && ((uint8_t)text[p] & 0xc0) == 0x80);
    lspo_utf8_next(text, at, p, &code);
    return lspo_unicode_is_word(code);
}

static bool is_word_after(const char *text, size_t bytes, size_t at)
{
    uint32_t code;
    if (at == bytes)
        return false;
    lspo_utf8_next(text, bytes, at, &code);
    return lspo_unicode_is_word(code);
}

static bool stands_alone(const char *text, size_t bytes, size_t at, size_t end)
{
    return !is_word_before(text, at) && !is_word_after(text, bytes, end);
}

/* The token of each stop up to `end` is the next one. */
static void settle(const pass_t *pass, bool normalized, size_t end)
{
    const lspo_tokenizer_parts_t *parts = pass->parts;
    if (!parts || normalized)
        return;
    for (; *pass->stop < parts->stop_count && parts->stops[*pass->stop].at <= end; ++*pass->stop)
        parts->stops[*pass->stop].token = pass->out->count;
}

/* How many of the tokens from `before` on are also those of the text up to a stop: the first that is not contains some
 * of what follows. */
static lspo_status_t count_common(const pass_t *pass, const char *text, size_t bytes, bool first, size_t before,
                                  size_t *common_out)
{
    lspo_ids_t list = {0};
    const pass_t alone = {pass->t, &list, pass->parts, pass->stop, pass->plain};
    lspo_status_t status = encode_between(&alone, text, bytes, false, first);
    size_t common = 0;
    while (common < list.count && before + common < pass->out->count &&
           list.ids[common] == pass->out->ids[before + common])
        common++;
    free(list.ids);
    *common_out = common;
    return status;
}

/* The text from `done` to `end`, and the tokens of the stops in it. */
static lspo_status_t encode_part(const pass_t *pass, const char *text, size_t done, size_t end, bool normalized,
                                 bool first)
{
    const lspo_tokenizer_parts_t *parts = pass->parts;
    const size_t before = pass->out->count;
    first = first && done == 0;
    settle(pass, normalized, done);
    lspo_status_t status = encode_between(pass, text + done, end - done, normalized, first);
    if (status != LSPO_OK || !parts || normalized)
        return status;
    for (; *pass->stop < parts->stop_count && parts->stops[*pass->stop].at < end; ++*pass->stop) {
        lspo_tokenizer_stop_t *stop = &parts->stops[*pass->stop];
        size_t common = 0;
        status = count_common(pass, text + done, stop->at - done, first, before, &common);
        if (status != LSPO_OK)
            return status;
        stop->token = before + common;
    }
    return LSPO_OK;
}

/* Added tokens become their ids; the text between them is normalised, searched again, and encoded. */
static lspo_status_t encode_segments(const pass_t *pass, const char *text, size_t bytes, bool normalized, bool first)
{
    size_t done = 0, at = 0;
    lspo_status_t status = LSPO_OK;
    while (at < bytes) {
        const lspo_added_token_t *added = added_at(pass, text, bytes, at, normalized);
        if (!added) {
            at++;
            continue;
        }
        const size_t end = at + searched_bytes(pass, added),
                     stop = added->strip_right ? blanks_after(text, bytes, end) : end;
        const size_t begin = !added->strip_left ? at : at > done ? blanks_begin(text, done, at) : done;
        const bool stands = !added->single_word || stands_alone(text, bytes, at, end);
        at = end; /* the library searches for the next token after this one, used or not */
        if (!stands)
            continue;
        if (begin > done)
            status = encode_part(pass, text, done, begin, normalized, first);
        if (status != LSPO_OK)
            return status;
        settle(pass, normalized, begin);
        if (begin < stop) /* nothing remains of a token in blanks that the previous one took */
            status = lspo_ids_append(pass->out, &added->id, 1);
        if (status != LSPO_OK)
            return status;
        settle(pass, normalized, stop);
        done = stop; /* as in the library, even if the previous one took more blanks */
    }
    if (done < bytes)
        status = encode_part(pass, text, done, bytes, normalized, first);
    if (status != LSPO_OK)
        return status;
    settle(pass, normalized, bytes);
    return LSPO_OK;
}

/* -- public functions ---------------------------------------------------------------------------------------------- */

lspo_status_t lspo_tokenizer_encode(lspo_tokenizer_t *t, const char *text, size_t bytes, bool specials,
                                    uint32_t **ids_out, size_t *count_out)
{
    lspo_ids_t list = {0};
    const pass_t pass = {.t = t, .out = &list};
    lspo_status_t status = lspo_ids_append(&list, t->before, specials ? t->before_count : 0);
    if (status != LSPO_OK)
        goto failed;
    status = encode_segments(&pass, text, bytes, false, true);
    if (status != LSPO_OK)
        goto failed;
    status = lspo_ids_append(&list, t->after, specials ? t->after_count : 0);
    if (status != LSPO_OK)
        goto failed;
    *ids_out = list.ids;
    *count_out = list.count;
    return LSPO_OK;
failed:
    free(list.ids);
    return status;
}

lspo_status_t lspo_tokenizer_encode_parts(lspo_tokenizer_t *t, const lspo_tokenizer_parts_t *parts, uint32_t **ids_out,
                                          size_t *count_out)
{
    lspo_ids_t list = {0};
    size_t stop = 0, plain = 0;
    const pass_t pass = {t, &list, parts, &stop, &plain};
    lspo_status_t status = encode_segments(&pass, parts->text, parts->bytes, false, true);
    if (status != LSPO_OK) {
        free(list.ids);
        return status;
    }
    *ids_out = list.ids;
    *count_out = list.count;
    return LSPO_OK;
}

void lspo_tokenizer_reserve(lspo_tokenizer_t *t, const char *text)
{
    for (uint32_t i = 0; i < t->added_count; i++) {
        lspo_added_token_t *added = &t->added[i];
        added->control |= strstr(text, t->tokens[added->id].text) != NULL;
        t->control_starts[(uint8_t)*t->tokens[added->id].text] |= added->control;
    }
}

const char *lspo_tokenizer_text_of(const lspo_tokenizer_t *t, uint32_t id)
{
    return id < t->token_count && t->tokens[id].text ? t->tokens[id].text : "";
}

uint32_t lspo_tokenizer_bos(const lspo_tokenizer_t *t)
{
    return t->begin;
}

uint32_t lspo_tokenizer_eos(const lspo_tokenizer_t *t)
{
    return t->end;
}

const char *lspo_tokenizer_kind(const lspo_tokenizer_t *t)
{
    static const char *const names[] = {[LSPO_TOKENIZER_BPE] = "bpe",
                                        [LSPO_TOKENIZER_WORDPIECE] = "wordpiece",
                                        [LSPO_TOKENIZER_UNIGRAM] = "unigram",
                                        [LSPO_TOKENIZER_WORDLEVEL] = "wordlevel"};
    return names[t->kind];
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

uint32_t lspo_tokenizer_between(const lspo_tokenizer_t *t, const uint32_t **ids_out)
{
    *ids_out = t->between;
    return t->pairs ? t->between_count : UINT32_MAX;
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
    lspo_splitter_destroy(t->splitter);
    lspo_normalizer_destroy(t->normalizer);
    free(t->sorted);
    free(t->scores);
    free(t->suffix);
    free(t->prefix);
    free(t->cache);
    free(t->added);
    free(t->merge_slots);
    free(t->merges);
    free(t->added_only);
    free(t->token_slots);
    free(t->tokens);
    free(t);
}
