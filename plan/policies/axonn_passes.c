/* axonn_passes.c - forward and backward through a pipeline of GPUs; see axonn.c. */
#include "plan/build_parts.h"
#include "plan/largest.h"
#include "plan/policies/axonn_grid.h"

void lspo_axonn_enter(const lspo_axonn_t *x, uint32_t replica, uint32_t d)
{
    const lspo_axonn_device_t *device = lspo_axonn_device(x, replica, d);
    for (int kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++)
        if (device->lanes[kind] != LSPO_NO_LANE)
            lspo_build_use_lane(x->b, device->lanes[kind]);
    x->b->stages = x->stages + (size_t)replica * x->b->stage_count;
    x->b->first_micro = replica * x->micros;
}

/* What passes between two peers for a micro-batch. */
typedef struct {
    lspo_op_variant_t variant; /* of its SEND */
    uint32_t stage, iteration, micro;
    lspo_largest_t numbers;
} passed_t;

/* Over the link between peer d and the next one. */
static passed_t passed(const lspo_axonn_t *x, uint32_t d, lspo_op_variant_t variant, uint32_t iteration, uint32_t micro)
{
    const uint64_t p = lspo_precision_bytes(x->b->workload->precision);
    const bool gradient = variant == LSPO_VARIANT_GRADIENT;
    return (passed_t){.variant = variant,
                      .stage = lspo_axonn_device(x, 0, d)->last + (gradient ? 1 : 0),
                      .iteration = iteration,
                      .micro = x->b->first_micro + micro,
                      .numbers = {.count = x->b->activations.input_bytes / p,
                                  .number_bytes = p,
                                  .kept = lspo_axonn_device(x, 0, d)->kept,
                                  .feedback = x->feedback && gradient}};
}

/* COMPRESS or APPLY of the message, in the chain of computations. */
static lspo_op_id_t work_on(const lspo_axonn_t *x, lspo_op_kind_t kind, const passed_t *message,
                            const lspo_work_t *work)
{
    lspo_builder_t *b = x->b;
    const lspo_op_id_t id = lspo_build_with_work(b,
                                                 &(lspo_new_op_t){.kind = kind,
                                                                  .variant = message->variant == LSPO_VARIANT_GRADIENT
                                                                                 ? LSPO_VARIANT_GRADIENT
                                                                                 : LSPO_VARIANT_ACTIVATIONS,
                                                                  .stage = message->stage,
                                                                  .iteration = message->iteration,
                                                                  .micro = message->micro},
                                                 work);
    lspo_build_depend(b, b->last_compute);
    b->last_compute = id;
    return id;
}

/* What leaves this GPU is the next one's input: the sender gives it back, and the receiver takes it.  Of numbers that
 * are chosen COMPRESS gives back all, and APPLY takes them. */
static lspo_op_id_t send(const lspo_axonn_t *x, const passed_t *message)
{
    lspo_builder_t *b = x->b;
    const uint64_t bytes = lspo_largest_bytes(&message->numbers);
    if (message->numbers.kept > 0) {
        lspo_work_t work;
        lspo_largest_choose_work(&message->numbers, &work);
        work_on(x, LSPO_OP_COMPRESS, message, &work);
        lspo_build_gpu_memory(b, bytes, b->activations.input_bytes);
    }
    const lspo_op_id_t id = lspo_build_message(b, &(lspo_build_message_t){.variant = message->variant,
                                                                          .stage = message->stage,
                                                                          .iteration = message->iteration,
                                                                          .micro = message->micro,
                                                                          .bytes = bytes,
                                                                          .messages = 1});
    lspo_build_depend(b, b->last_compute);
    lspo_build_gpu_memory(b, bytes, bytes);
    return id;
}

/* The numbers that have been chosen, at their places; LSPO_NO_OP: all have come. */
static lspo_op_id_t spread(const lspo_axonn_t *x, const passed_t *message)
{
    lspo_work_t work;
    if (message->numbers.kept == 0)
        return LSPO_NO_OP;
    lspo_largest_spread_work(&message->numbers, &work);
    const lspo_op_id_t id = work_on(x, LSPO_OP_APPLY, message, &work);
    lspo_build_gpu_memory(x->b, x->b->activations.input_bytes, lspo_largest_bytes(&message->numbers));
    return id;
}

static uint32_t message_rank(const lspo_axonn_t *x)
{
    return x->pipeline > 1 ? 1 : 0; /* behind the ops of a message that has begun */
}

/* The head waits for its copy of a tied embedding, not for the embedding, which is another peer's. */
static lspo_op_id_t forward_stage(const lspo_axonn_t *x, uint32_t iteration, uint32_t replica, uint32_t m, uint32_t s)
{
    lspo_builder_t *b = x->b;
    const lspo_op_id_t ready = b->stages[0].ready;
    const bool copy = x->tied && s + 1 == b->stage_count;
    b->stages[0].ready = copy ? x->tied_back[replica] : ready;
    const lspo_op_id_t id = lspo_build_forward(b, iteration, b->first_micro + m, s);
    b->stages[0].ready = ready;
    return id;
}

/* `id`, the op emitted last, is the first one of forward of micro-batch m. */
static void begin_forward(const lspo_axonn_t *x, uint32_t d, const lspo_axonn_device_t *device, uint32_t m,
                          lspo_op_id_t id)
{
    lspo_build_rank(x->b, id, x->message_driven && d == 0 && m >= x->pipeline ? 0 : message_rank(x));
    lspo_build_depend(x->b, x->message_driven && m > 0 ? device->forward : device->latest);
    if (x->message_driven && d == 0 && m >= x->pipeline)
        lspo_build_depend(x->b, x->returned[m - x->pipeline]);
}

static void forward(const lspo_axonn_t *x, uint32_t iteration, uint32_t replica, uint32_t d)
{
    lspo_builder_t *b = x->b;
    lspo_axonn_device_t *device = lspo_axonn_device(x, replica, d);
    const uint32_t m = device->forwards++;
    lspo_axonn_enter(x, replica, d);
    b->last_compute = x->activation[(size_t)d * x->micros + m];
    lspo_op_id_t first = LSPO_NO_OP;
    if (d > 0) {
        const passed_t message = passed(x, d - 1, LSPO_VARIANT_NONE, iteration, m);
        first = spread(x, &message);
    }
    if (first != LSPO_NO_OP)
        begin_forward(x, d, device, m, first);
    for (uint32_t s = device->first; s <= device->last; s++) {
        const lspo_op_id_t id = forward_stage(x, iteration, replica, m, s);
        if (s == device->first && first == LSPO_NO_OP)
            begin_forward(x, d, device, m, id);
    }
    if (d + 1 < x->pipeline) {
        const passed_t message = passed(x, d, LSPO_VARIANT_NONE, iteration, m);
        x->activation[(size_t)(d + 1) * x->micros + m] = send(x, &message);
    }
    device->forward = device->latest = b->last_compute;
    if (d + 1 == x->pipeline)
        x->gradient[(size_t)d * x->micros + m] = device->forward;
}

/* The last peer's part of the gradient of a tied embedding goes to the first one, which takes it. */
static void send_tied(lspo_axonn_t *x, uint32_t iteration)
{
    lspo_builder_t *b = x->b;
    const uint64_t bytes = lspo_axonn_tied_bytes(b);
    x->tied_sum = LSPO_NO_OP;
    if (!x->tied || !b->stages[0].trained)
        return;
    x->tied_sum = lspo_build_message(
        b, &(lspo_build_message_t){
               .variant = LSPO_VARIANT_GRADIENT, .iteration = iteration, .bytes = bytes, .messages = 1});
    lspo_build_depend(b, b->last_compute);
    lspo_build_gpu_memory(b, bytes, b->stages[0].gradient_bytes);
}

/* The embedding's BWD, emitted last: the first peer's part of its gradient, which otherwise has its place with the
 * head's; the last one adds the other part. */
static void add_tied(const lspo_axonn_t *x, uint32_t m)
{
    lspo_builder_t *b = x->b;
    if (!x->tied)
        return;
    if (m == 0)
        lspo_build_gpu_memory(b, b->stages[0].gradient_bytes, 0);
    if (m + 1 < x->micros)
        return;
    lspo_build_depend(b, x->tied_sum);
    lspo_build_gpu_memory(b, 0, lspo_axonn_tied_bytes(b));
}

static void backward(lspo_axonn_t *x, uint32_t iteration, uint32_t replica, uint32_t d)
{
    lspo_builder_t *b = x->b;
    lspo_axonn_device_t *device = lspo_axonn_device(x, replica, d);
    const uint32_t m = device->backwards++, lowest = lspo_plan_lowest_trained(b->plan, iteration);
    const bool follows = x->message_driven && d + 1 == x->pipeline; /* its own forward */
    lspo_op_id_t before = x->message_driven ? device->backward : device->latest;
    lspo_axonn_enter(x, replica, d);
    b->last_compute = x->gradient[(size_t)d * x->micros + m];
    lspo_op_id_t first = b->plan->op_count;
    if (d + 1 < x->pipeline) {
        const passed_t message = passed(x, d, LSPO_VARIANT_GRADIENT, iteration, m);
        if (spread(x, &message) != LSPO_NO_OP) {
            lspo_build_depend(b, before);
            before = LSPO_NO_OP;
        }
    }
    for (uint32_t s = device->last + 1; s-- > device->first && s >= lowest;) {
        lspo_build_backward(b, iteration, b->first_micro + m, s, before);
        if (s == 0)
            add_tied(x, m);
        before = LSPO_NO_OP;
    }
    if (!follows)
        lspo_build_rank(b, first, message_rank(x));
    if (d > 0) {
        const passed_t message = passed(x, d - 1, LSPO_VARIANT_GRADIENT, iteration, m);
        x->gradient[(size_t)(d - 1) * x->micros + m] = send(x, &message);
    }
    device->backward = device->latest = b->last_compute;
    if (d == 0)
        x->returned[m] = device->backward;
    if (d + 1 == x->pipeline && m + 1 == x->micros)
        send_tied(x, iteration);
}

/* Does the static order have forward next?  That of 1f1b is one in which ops of a message-driven pipeline can be
 * written, too. */
static bool forward_is_next(const lspo_axonn_t *x, const lspo_axonn_device_t *device, uint32_t d)
{
    return device->forwards < x->micros && (x->gpipe || device->forwards - device->backwards < x->pipeline - d);
}

/* Write the next message if what it waits for has been written. */
static bool write_next(lspo_axonn_t *x, uint32_t iteration, uint32_t replica, uint32_t d)
{
    const lspo_axonn_device_t *device = lspo_axonn_device(x, replica, d);
    if (device->backwards == x->micros)
        return false;
    if (forward_is_next(x, device, d)) {
        if (d > 0 && x->activation[(size_t)d * x->micros + device->forwards] == LSPO_NO_OP)
            return false;
        forward(x, iteration, replica, d);
        return true;
    }
    if (x->gradient[(size_t)d * x->micros + device->backwards] == LSPO_NO_OP)
        return false;
    backward(x, iteration, replica, d);
    return true;
}

void lspo_axonn_passes(lspo_axonn_t *x, uint32_t iteration, uint32_t replica)
{
    for (size_t i = 0; i < (size_t)x->pipeline * x->micros; i++)
        x->activation[i] = x->gradient[i] = LSPO_NO_OP;
    for (uint32_t d = 0; d < x->pipeline; d++) {
        lspo_axonn_device_t *device = lspo_axonn_device(x, replica, d);
        device->forward = device->backward = device->norm = LSPO_NO_OP;
        device->forwards = device->backwards = 0;
    }
    for (bool wrote = true; wrote && x->b->status == LSPO_OK;) {
        wrote = false;
        for (uint32_t d = 0; d < x->pipeline; d++)
            wrote |= write_next(x, iteration, replica, d);
    }
}
