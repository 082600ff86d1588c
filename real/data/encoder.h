/* encoder.h - convert text to tokens: bytes, or a tokenizer behind a function. */
#ifndef LSPO_REAL_DATA_ENCODER_H
#define LSPO_REAL_DATA_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/tokenizer/tokenizer.h"

#define LSPO_NO_TOKEN UINT32_MAX

/* A growing list of tokens; the owner of the list frees ids. */
typedef struct {
    uint32_t *ids;
    size_t count, capacity;
} lspo_tokens_t;

/* Append one token; LSPO_ERR_MEMORY. */
lspo_status_t lspo_tokens_append(lspo_tokens_t *tokens, uint32_t id);

/* A way to convert text to tokens. */
typedef struct {
    const char *name; /* "bytes", "bpe", ...: part of the fingerprint */
    /* Append the tokens of `bytes` bytes of text; NULL: one token per byte. */
    lspo_status_t (*encode)(void *context, const char *text, size_t bytes, lspo_tokens_t *tokens);
    /* The same of a text with plain parts and stops; NULL: one token per byte. */
    lspo_status_t (*encode_parts)(void *context, const lspo_tokenizer_parts_t *parts, lspo_tokens_t *tokens);
    void *context;
    uint32_t begin;      /* before each example and label text; LSPO_NO_TOKEN: none               */
    uint32_t end;        /* after each record                                                    */
    uint32_t pad;        /* fills rows                                                           */
    uint32_t vocabulary; /* ids at or above are refused                                          */
    bool pairs;          /* two texts can be one row, with these tokens between them             */
    const uint32_t *between;
    uint32_t between_count;
} lspo_encoder_t;

/* Append the tokens of `bytes` bytes of text, without begin and end. */
lspo_status_t lspo_encoder_encode(const lspo_encoder_t *encoder, const char *text, size_t bytes, lspo_tokens_t *tokens);

/* Append the tokens of a text with plain parts, and set its stops, counted from the first of these tokens. */
lspo_status_t lspo_encoder_encode_parts(const lspo_encoder_t *encoder, const lspo_tokenizer_parts_t *parts,
                                        lspo_tokens_t *tokens);

/* One token per byte, no begin; end and padding are 0, a byte that text does not contain; two are between a pair. */
lspo_encoder_t lspo_encoder_bytes(void);

#endif
