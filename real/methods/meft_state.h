/* meft_state.h - the state of the method meft, for its files: meft.c (ops), meft_memory.c, meft_update.c (the CPU's
 * updates), meft_choose.c. */
#ifndef LSPO_REAL_METHODS_MEFT_STATE_H
#define LSPO_REAL_METHODS_MEFT_STATE_H

#include "real/methods/gpu_adam.h"
#include "real/methods/meft.h"
#include "real/session/state.h"

/* What has crossed the link since the session began, over all blocks and micro-batches. */
typedef struct {
    uint64_t batches;       /* choices: blocks times micro-batches */
    uint64_t rows;          /* chosen in all of them               */
    double alike;           /* sum of the batches' lspo_meft_alike() */
    uint64_t to_gpu_bytes;  /* of rows; their lists are not counted */
    uint64_t to_host_bytes; /* of gradients of rows                */
    uint64_t routing_bytes; /* tokens and gates to the CPU, lists back */
} lspo_meft_ledger_t;

typedef struct {
    /* Host. */
    float *rows, *moments; /* r x 2 d: a key and a value each; m of all of them, then v */
    uint32_t *steps;       /* of each row: its updates so far */
    float *sums;           /* gradients of micro-batches so far; NULL without micro-batches */
    uint8_t *added;        /* rows that have any */
    uint32_t *chosen;      /* the rows of the latest micro-batch */
    uint32_t chosen_count;
    /* Device. */
    void *router;    /* W_g: d x E */
    void *arrived;   /* from H2D: rows in the link's format */
    void *unpacked;  /* in the device's; NULL: the same     */
    uint32_t *lists; /* slots, entries, first */
    void *gradient;  /* from BWD to D2H, in both formats */
    void *packed;
    lspo_block_keys_t keys;
    lspo_gpu_adam_t gpu; /* of the rest */
} lspo_meft_stage_t;

typedef struct {
    lspo_meft_shape_t shape;
    size_t width, most; /* d; rows of a micro-batch at most */
    /* Host, for one block after the other. */
    void *tokens;        /* the MLP's input in the link's format */
    float *tokens_fp32;  /* NULL: the same */
    uint32_t *experts;   /* and the gates behind them */
    uint32_t *scratch;   /* of choices */
    void *leaving;       /* rows in the link's format, then their lists */
    double *row_squares; /* with micro-batches: of the sums of one block's rows */
    double *squares;     /* by stage: of rows' gradients in this step */
    /* Device, for one block after the other. */
    void *gates;         /* T x E */
    void *packed_tokens; /* NULL: what the block has saved is sent */
    uint32_t *gpu_experts;
    float *activations;
    double *gpu_squares; /* by parity and stage */
    lspo_meft_ledger_t ledger;
} lspo_meft_t;

static inline lspo_meft_stage_t *lspo_meft_stage_of(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].own;
}

static inline lspo_meft_t *lspo_meft_of(const lspo_session_t *session)
{
    return session->own;
}

static inline bool lspo_meft_is_block(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].shape.kind == LSPO_STAGE_BLOCK;
}

static inline bool lspo_meft_has_sums(const lspo_session_t *session)
{
    return session->plan->workload.accumulation > 1;
}

static inline bool lspo_meft_packs(const lspo_session_t *session)
{
    return session->link != session->number;
}

/* ---- sizes ---- */

static inline size_t lspo_meft_row_numbers(const lspo_session_t *session)
{
    return 2 * lspo_meft_of(session)->width;
}

static inline size_t lspo_meft_all_numbers(const lspo_session_t *session)
{
    return lspo_meft_of(session)->shape.width * lspo_meft_row_numbers(session);
}

static inline size_t lspo_meft_link_row_bytes(const lspo_session_t *session)
{
    return lspo_meft_row_numbers(session) * lspo_number_bytes(session->link);
}

static inline size_t lspo_meft_number_row_bytes(const lspo_session_t *session)
{
    return lspo_meft_row_numbers(session) * session->number_bytes;
}

static inline size_t lspo_meft_token_bytes(const lspo_session_t *session)
{
    return session->tokens * lspo_meft_of(session)->width * lspo_number_bytes(session->link);
}

static inline size_t lspo_meft_routes_bytes(const lspo_session_t *session)
{
    return lspo_meft_route_bytes(&lspo_meft_of(session)->shape, session->tokens);
}

static inline size_t lspo_meft_lists_bytes(const lspo_session_t *session, size_t rows)
{
    return lspo_meft_list_bytes(&lspo_meft_of(session)->shape, session->tokens, rows);
}

/* ---- meft_memory.c ---- */

void lspo_meft_describe(lspo_session_t *session);
lspo_status_t lspo_meft_take_host(lspo_session_t *session, uint32_t s, lspo_host_count_t *count);
lspo_status_t lspo_meft_take_device(lspo_session_t *session, uint32_t s);
lspo_status_t lspo_meft_create(lspo_session_t *session);
lspo_status_t lspo_meft_reset(lspo_session_t *session);
void lspo_meft_drop(lspo_session_t *session);
void lspo_meft_release(lspo_session_t *session);
/* The block's rows on the device. */
void lspo_meft_give_back_rows(lspo_session_t *session, uint32_t s);

/* ---- meft_update.c: UPD and UPD accumulate ---- */

lspo_status_t lspo_meft_update(lspo_session_t *session, const lspo_op_t *op);

#endif
