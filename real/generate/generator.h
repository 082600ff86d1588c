/* generator.h - a model that continues texts token by token, with caches of keys and values.
 *
 * Sequences of a batch have equal lengths.  The weights are the caller's, in one array per stage; caches, activations
 * and everything else are memory of a device, the host, so that its cap and its account count.  Up to
 * LSPO_GENERATOR_CHUNK tokens of a prompt are read at a time.
 */
#ifndef LSPO_REAL_GENERATE_GENERATOR_H
#define LSPO_REAL_GENERATE_GENERATOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/workers.h"
#include "plan/model.h"
#include "real/device/device.h"
#include "real/generate/choice.h"
#include "real/generate/ternary_experts.h"
#include "real/transformer/generation.h"

enum { LSPO_GENERATOR_CHUNK = 256 };

typedef struct lspo_generator lspo_generator_t;

typedef struct {
    const lspo_model_t *model;
    const void *const *stages;             /* weights of each stage, in `number` */
    uint32_t batch, positions;             /* tokens per sequence: prompt and answer */
    lspo_number_t weights, cache;          /* formats */
    lspo_int4_form_t int4;                 /* of the linear weights of blocks */
    const lspo_ternary_experts_t *experts; /* packed; NULL: those of a block are in its array */
    lspo_workers_t *workers;               /* NULL: the calling thread */
    lspo_device_t *device;                 /* "host" */
} lspo_generator_options_t;

/* LSPO_ERR_INPUT as lspo_generation_check(). */
lspo_status_t lspo_generator_check(const lspo_generator_options_t *options);

/* What a generator takes of the device, without the weights. */
uint64_t lspo_generator_bytes(const lspo_generator_options_t *options);

/* What `options` points to must outlive the generator.  Checks them first; LSPO_ERR_FIT if the device has not so much
 * memory. */
lspo_status_t lspo_generator_create(const lspo_generator_options_t *options, lspo_generator_t **generator_out);
void lspo_generator_destroy(lspo_generator_t *generator);

/* Read `count` more tokens per sequence: those of sequence b are tokens[b x stride ...].  At most `positions` in
 * all. */
lspo_status_t lspo_generator_read(lspo_generator_t *generator, const uint32_t *tokens, size_t stride, size_t count);
/* Forget everything, read `count` tokens (batch 1), and give the cross-entropy of each but the first from those before
 * it: the sum of their -ln p, in nats.  LSPO_ERR_NUMERIC if it is no number. */
lspo_status_t lspo_generator_score(lspo_generator_t *generator, const uint32_t *tokens, size_t count, double *sum_out);
/* Forget all tokens but the first `count`. */
void lspo_generator_rewind(lspo_generator_t *generator, size_t count);
/* Tokens per sequence so far. */
size_t lspo_generator_length(const lspo_generator_t *generator);
/* Of the last token of each sequence: batch x vocabulary, valid until the next call. */
const float *lspo_generator_logits(const lspo_generator_t *generator);

/* ---- one text ---- */

typedef enum {
    LSPO_END_TOKENS, /* as many as asked for */
    LSPO_END_TOKEN,  /* a token that ends a text came */
    LSPO_END_STOPPED /* by the flag */
} lspo_text_end_t;

typedef struct {
    lspo_choice_t choice;
    uint32_t most;        /* new tokens */
    const uint32_t *ends; /* tokens that end the text, which are not part of it */
    size_t end_count;
    const atomic_int *stop; /* NULL; ends the text once it is not 0, also while the prompt is read */
    /* NULL, or called with each new token, as soon as it is known. */
    lspo_status_t (*token)(void *context, uint32_t token);
    void *context;
} lspo_text_options_t;

typedef struct {
    lspo_text_end_t end;
    size_t count;   /* new tokens that were computed, with one that ended the text; 0 if stopped before */
    double first_s; /* from the call to the first of them, which is the time to read the prompt; 0 without one */
    double rest_s;  /* for the others together */
} lspo_text_result_t;

/* Forget everything, continue the text of `count` tokens (batch 1), and store new tokens behind them.  There must be
 * room for count + most tokens, which are at most `positions` of the generator.  LSPO_ERR_NUMERIC if the logits are not
 * numbers. */
lspo_status_t lspo_generator_continue(lspo_generator_t *generator, const lspo_text_options_t *options, uint32_t *tokens,
                                      size_t count, lspo_text_result_t *result_out);

#endif
