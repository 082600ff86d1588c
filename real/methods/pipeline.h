/* pipeline.h - the messages between peers that have parts of the layers (axonn's grid, fusion's chain), each with a
 * session of its own:
 *     SEND              activations of the last stage here; the receiver has them as its input
 *     SEND gradient     of the first stage's input; of layer 0 the last peer's part of a tied embedding's gradient
 *     SEND parameters   of the embedding, to the last peer's copy of it
 *     SEND norm         down a chain of peers the sum of the squares of the gradients so far, up again that of all;
 *                       partials[0] has what has come, beside the peer's own */
#ifndef LSPO_REAL_METHODS_PIPELINE_H
#define LSPO_REAL_METHODS_PIPELINE_H

#include "real/session/state.h"

/* Functions of a method (real/session/method.h). */
lspo_status_t lspo_pipeline_pack(lspo_session_t *session, const lspo_op_t *op, uint32_t to,
                                 lspo_session_message_t *message);
lspo_status_t lspo_pipeline_unpack(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                                   const lspo_session_message_t *message);
lspo_status_t lspo_pipeline_end_send(lspo_session_t *session, const lspo_op_t *op);
/* APPLY of the embedding's copy, which unpacking has written. */
lspo_status_t lspo_pipeline_apply(lspo_session_t *session, const lspo_op_t *op);

/* ---- for methods with messages of their own ---- */

/* Numbers on the device in the session's format; squares are on the host. */
typedef struct {
    void *numbers;
    size_t count;
} lspo_pipeline_range_t;

lspo_status_t lspo_pipeline_make_room(lspo_session_message_t *message, size_t bytes);
lspo_status_t lspo_pipeline_pack_range(lspo_session_t *session, lspo_pipeline_range_t range,
                                       lspo_session_message_t *message);
/* LSPO_ERR_CHECK if the message has another size. */
lspo_status_t lspo_pipeline_unpack_range(lspo_session_t *session, const lspo_op_t *op, lspo_pipeline_range_t range,
                                         const lspo_session_message_t *message);
lspo_status_t lspo_pipeline_check_bytes(const lspo_op_t *op, size_t bytes, size_t expected);

#endif
