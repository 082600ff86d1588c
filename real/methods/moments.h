/* moments.h - a building block of methods: Adam's m and v of one message, in one piece of memory and in the format of
 * --optimizer-state (kernels/adam_state.h). */
#ifndef LSPO_REAL_METHODS_MOMENTS_H
#define LSPO_REAL_METHODS_MOMENTS_H

#include "kernels/adam_state.h"
#include "real/session/state.h"

typedef struct {
    void *memory; /* NULL: none */
    size_t places;
    lspo_adam_format_t format;
} lspo_moments_t;

/* The format and the places of a message, without memory.  Linear weights and the rest begin a block each. */
lspo_moments_t lspo_moments_of(const lspo_session_t *session, const lspo_message_t *message);
size_t lspo_moments_bytes(const lspo_moments_t *moments);
/* The state of `count` elements of the message from `at` on, where a block begins, in the op's step. */
lspo_adam_state_t lspo_moments_at(const lspo_session_t *session, const lspo_op_t *op, const lspo_moments_t *moments,
                                  size_t at, size_t count);
/* The random rounding of such a state: that of the elements from `at` on. */
void lspo_moments_seed(const lspo_session_t *session, const lspo_op_t *op, size_t at, lspo_adam_state_t *state);
/* Does a stage's Adam update an fp32 copy of its 16-bit weights?  And the numbers that it updates. */
bool lspo_moments_have_master(const lspo_session_t *session);
lspo_number_t lspo_moments_update(const lspo_session_t *session);
/* Visit NAME.moments, or in 8 bits NAME.codes and NAME.scales, with a lspo_walk_ function. */
typedef void lspo_moments_walk_t(lspo_state_walk_t *walk, void *data, uint64_t count, lspo_state_type_t type,
                                 const char *format, ...);
void lspo_moments_visit(const lspo_moments_t *moments, const char *name, lspo_moments_walk_t *visit,
                        lspo_state_walk_t *walk);

#endif
