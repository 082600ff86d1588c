/* encoder.h - how text becomes tokens. */
#ifndef LSPO_REAL_DATA_ENCODER_H
#define LSPO_REAL_DATA_ENCODER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define LSPO_NO_TOKEN UINT32_MAX

/* Tokens as they are made; ids are owned by whoever owns the list: free(). */
typedef struct {
    uint32_t *ids;
    size_t count, capacity;
} lspo_tokens_t;

/* Append one token; LSPO_ERR_MEMORY. */
lspo_status_t lspo_tokens_append(lspo_tokens_t *tokens, uint32_t id);

/* How text becomes tokens. */
typedef struct {
    const char *name; /* "bytes", "bpe", ...: goes into the fingerprint */
    /* Append the tokens of `bytes` bytes of text; NULL: one token a byte. */
    lspo_status_t (*encode)(void *context, const char *text, size_t bytes, lspo_tokens_t *tokens);
    void *context;
    uint32_t begin;      /* before each example and label text; LSPO_NO_TOKEN: none               */
    uint32_t end;        /* after each record                                                    */
    uint32_t pad;        /* fills rows                                                           */
    uint32_t vocabulary; /* ids at or above are refused                                          */
} lspo_encoder_t;

/* Append the tokens of `bytes` bytes of text, without begin and end. */
lspo_status_t lspo_encoder_encode(const lspo_encoder_t *encoder, const char *text, size_t bytes, lspo_tokens_t *tokens);

/* One token a byte, no begin, end and padding 0: a byte that text does not have. */
lspo_encoder_t lspo_encoder_bytes(void);

#endif
