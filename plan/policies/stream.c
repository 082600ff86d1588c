/* stream: all parameters and all optimizer state live on the CPU; the GPU computes and holds a window of layers
 * [ZeRO-Infinity, STRONGHOLD, SlideFormer, MegaTrain].
 *
 *     parameters   of every layer, embedding and head too, come in (SWAP_IN) ahead of FWD and, in reverse, of
 *                  [RECOMPUTE and] BWD.  They are dropped after their use, since the CPU has them.  At most `window`
 *                  layers are on the GPU or on their way; the last window - 1 blocks of the forward pass stay for the
 *                  backward pass.  The head comes in once for both, and a tied embedding comes in again with it.
 *                  BWD of an embedding needs its parameters only if its output is normed.
 *     gradients    leave (D2H) as soon as a layer's BWD has ended; at most `gradient_buffers` layers have theirs on the
 *                  GPU, besides that of a tied embedding.  With --accumulation the sum so far leaves (SWAP_OUT) and
 *                  comes in again for the next micro-batch's BWD, as in DeepSpeed, so that sums are those of native.
 *     updates      are on the CPU: --update backward, each when its gradient has arrived; --update after, shallow
 *                  layers first, when all have, and the next step begins after the last.  Nothing is sent back: the
 *                  next SWAP_IN of the layer brings the new parameters. */
#include "plan/policies/stream.h"
#include "plan/family.h"
#include "plan/policies.h"
#include "plan/policies/shared.h"

#include <stdlib.h>

/* Places on the GPU.  What is taken waits for the op that gave the oldest free place back. */
typedef struct {
    lspo_op_id_t *freed; /* NULL: no limit */
    uint32_t count;
    uint64_t taken, given;
} places_t;

static lspo_op_id_t places_take(places_t *places)
{
    return places->freed ? places->freed[places->taken++ % places->count] : LSPO_NO_OP;
}

static void places_give(places_t *places, lspo_op_id_t op)
{
    if (places->freed)
        places->freed[places->given++ % places->count] = op;
}

typedef struct {
    lspo_builder_t *b;
    places_t window, gradients;
    lspo_op_id_t *held;     /* by stage: SWAP_IN of parameters that stay until BWD; LSPO_NO_OP: none */
    lspo_op_id_t held_tied; /* that of a tied embedding with the head                               */
    lspo_op_id_t *updated;  /* by stage: latest UPD                                                  */
    lspo_op_id_t last_update;
} stream_t;

static uint32_t head_of(const stream_t *w)
{
    return w->b->stage_count - 1;
}

static bool updates_after(const stream_t *w)
{
    return lspo_stream_values_of(w->b->workload)->update == LSPO_STREAM_UPDATE_AFTER;
}

/* Does the head need the embedding's parameters, too? */
static bool brings_tied(const stream_t *w, uint32_t stage)
{
    return stage == head_of(w) && w->b->model->tied_head;
}

/* Is the gradient of this stage, the embedding, on the GPU from the head's BWD to its own? */
static bool is_tied(const stream_t *w, uint32_t stage)
{
    return stage == 0 && w->b->model->tied_head;
}

/* ---- parameters ---- */

static lspo_op_id_t bring(const stream_t *w, uint32_t iteration, uint32_t micro, uint32_t stage, lspo_op_id_t place)
{
    lspo_op_id_t id = lspo_build_op(w->b, LSPO_OP_SWAP_IN, LSPO_VARIANT_PARAMETERS, stage, iteration);
    lspo_build_micro(w->b, micro);
    lspo_build_depend(w->b, place);
    lspo_build_depend(w->b, updates_after(w) ? w->last_update : w->updated[stage]);
    lspo_build_gpu_memory(w->b, w->b->stages[stage].parameter_bytes, 0);
    return id;
}

static void bring_layer(stream_t *w, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    lspo_op_id_t place = places_take(&w->window);
    w->held[stage] = bring(w, iteration, micro, stage, place);
    if (brings_tied(w, stage))
        w->held_tied = bring(w, iteration, micro, 0, place);
}

/* The parameters are dropped when the op emitted last ends. */
static void drop_layer(stream_t *w, uint32_t stage, lspo_op_id_t op)
{
    lspo_build_gpu_memory(w->b, 0, w->b->stages[stage].parameter_bytes);
    if (brings_tied(w, stage))
        lspo_build_gpu_memory(w->b, 0, w->b->stages[0].parameter_bytes);
    places_give(&w->window, op);
    w->held[stage] = LSPO_NO_OP;
}

/* Does the stage's next use come before its place is needed? */
static bool stays_for_backward(const stream_t *w, uint32_t stage)
{
    return stage > 0 && (uint64_t)stage + w->window.count > head_of(w);
}

/* ---- gradients ---- */

/* The sum of the earlier micro-batches, to which this BWD adds: behind the parameters for the same BWD. */
static lspo_op_id_t bring_sum(stream_t *w, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    const lspo_build_stage_t *st = &w->b->stages[stage];
    lspo_op_id_t id = lspo_build_op(w->b, LSPO_OP_SWAP_IN, LSPO_VARIANT_SUM, stage, iteration);
    lspo_build_micro(w->b, micro);
    lspo_build_depend(w->b, is_tied(w, stage) ? w->held_tied : w->held[stage]);
    lspo_build_depend(w->b, is_tied(w, stage) ? LSPO_NO_OP : places_take(&w->gradients));
    lspo_build_depend(w->b, st->sent);
    lspo_build_gpu_memory(w->b, st->gradient_bytes, 0);
    return id;
}

/* After the op emitted last, BWD. */
static void send_gradient(stream_t *w, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    lspo_build_stage_t *st = &w->b->stages[stage];
    bool last = micro + 1 == w->b->workload->accumulation;
    st->sent = lspo_build_op(w->b, last ? LSPO_OP_D2H : LSPO_OP_SWAP_OUT, last ? LSPO_VARIANT_NONE : LSPO_VARIANT_SUM,
                             stage, iteration);
    lspo_build_micro(w->b, last ? 0 : micro);
    lspo_build_depend(w->b, st->backward);
    lspo_build_gpu_memory(w->b, 0, st->gradient_bytes);
    if (!is_tied(w, stage))
        places_give(&w->gradients, st->sent);
}

/* ---- passes ---- */

static void forward(stream_t *w, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    bring_layer(w, iteration, micro, stage);
    lspo_op_id_t id = lspo_build_forward(w->b, iteration, micro, stage);
    lspo_build_depend(w->b, w->held[stage]);
    if (brings_tied(w, stage))
        lspo_build_depend(w->b, w->held_tied);
    if (!stays_for_backward(w, stage))
        drop_layer(w, stage, id);
}

/* What BWD adds to, from the micro-batch before; or, in the first one, a place for its gradient. */
typedef struct {
    lspo_op_id_t own, tied;
} sums_t;

static sums_t bring_sums(stream_t *w, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    sums_t sums = {LSPO_NO_OP, LSPO_NO_OP};
    const lspo_build_stage_t *stages = w->b->stages;
    bool own = stages[stage].trained && !is_tied(w, stage);
    if (own)
        sums.own = micro > 0 ? bring_sum(w, iteration, micro, stage) : places_take(&w->gradients);
    if (micro > 0 && brings_tied(w, stage) && stages[0].trained)
        sums.tied = bring_sum(w, iteration, micro, 0);
    return sums;
}

static void backward(stream_t *w, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    if (stage < lspo_plan_lowest_trained(w->b->plan, iteration))
        return;
    bool reads = stage > 0 || lspo_family_of(w->b->model)->embed_norm;
    if (reads && w->held[stage] == LSPO_NO_OP)
        bring_layer(w, iteration, micro, stage);
    sums_t sums = bring_sums(w, iteration, micro, stage);
    lspo_op_id_t id = lspo_build_backward(w->b, iteration, micro, stage, w->held[stage]);
    lspo_build_depend(w->b, sums.own);
    lspo_build_depend(w->b, sums.tied);
    if (brings_tied(w, stage))
        lspo_build_depend(w->b, w->held_tied);
    if (reads)
        drop_layer(w, stage, id);
    if (w->b->stages[stage].trained)
        send_gradient(w, iteration, micro, stage);
}

static void update(stream_t *w, uint32_t iteration, lspo_op_id_t norm)
{
    lspo_builder_t *b = w->b;
    bool after = updates_after(w);
    lspo_op_id_t previous = LSPO_NO_OP;
    for (uint32_t i = 0; i < b->stage_count; i++) {
        uint32_t s = after ? i : b->stage_count - 1 - i;
        if (!b->stages[s].trained)
            continue;
        previous = after ? lspo_build_update_in_turn(b, iteration, s, previous, norm)
                         : lspo_build_update(b, iteration, s, norm);
        w->updated[s] = previous;
    }
    w->last_update = previous;
}

static void step(stream_t *w, uint32_t iteration)
{
    lspo_builder_t *b = w->b;
    for (uint32_t micro = 0; micro < b->workload->accumulation; micro++) {
        for (uint32_t s = 0; s < b->stage_count; s++)
            forward(w, iteration, micro, s);
        for (uint32_t s = b->stage_count; s-- > 0;)
            backward(w, iteration, micro, s);
    }
    update(w, iteration, lspo_build_norm_to_host(b, iteration, lspo_build_norm(b, iteration)));
}

/* ---- memory ---- */

/* Parameters that are updated as they are need no master.  A landing buffer has room for the message and for a sum. */
static void static_memory(lspo_builder_t *b)
{
    lspo_footprint_t *f = &b->plan->footprint;
    bool master = lspo_optimizer_state_has_master(lspo_plan_optimizer_state(b->plan), b->workload->precision);
    f->gpu_workspace_bytes = b->activations.workspace_bytes;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        const lspo_build_stage_t *st = &b->stages[s];
        uint64_t elements = st->message.element_count, sum_bytes = st->gradient_bytes - st->packed_bytes;
        f->host_parameters_bytes += st->parameter_bytes;
        if (master)
            f->host_master_bytes += elements * sizeof(float);
        f->host_optimizer_bytes += st->moments_bytes;
        f->host_gradients_bytes += st->sent_bytes > sum_bytes ? st->sent_bytes : sum_bytes;
    }
}

static lspo_op_id_t *no_ops(uint32_t count)
{
    lspo_op_id_t *ids = malloc(count * sizeof *ids);
    for (uint32_t i = 0; ids && i < count; i++)
        ids[i] = LSPO_NO_OP;
    return ids;
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_stream_values_t *own = lspo_stream_values_of(b->workload);
    stream_t w = {.b = b, .held_tied = LSPO_NO_OP, .last_update = LSPO_NO_OP};
    w.window = (places_t){.freed = no_ops(own->window), .count = own->window};
    if (own->gradient_buffers > 0)
        w.gradients = (places_t){.freed = no_ops(own->gradient_buffers), .count = own->gradient_buffers};
    w.held = no_ops(b->stage_count);
    w.updated = no_ops(b->stage_count);
    b->bounds_gradients = false; /* the places above do so, also with --accumulation */
    if (w.window.freed && w.held && w.updated && (w.gradients.freed || own->gradient_buffers == 0)) {
        static_memory(b);
        for (uint32_t i = 0; i < b->workload->iterations; i++)
            step(&w, i);
    } else {
        b->status = lspo_no_memory("a plan");
    }
    free(w.updated);
    free(w.held);
    free(w.gradients.freed);
    free(w.window.freed);
    return b->status;
}

/* ---- parameters of the policy ---- */

static const lspo_parameter_t window = {
    .key = "window",
    .value = "N",
    .unit = "layers",
    .help = "layers whose parameters may be on the GPU at once; 1: none is fetched ahead of its use",
    .kind = LSPO_RECORD_U32,
    .preset = 2,
    .low = 1,
    .high = LSPO_BLOCKS_MAX + 2,
    .affects = LSPO_AFFECTS_PLAN,
};

static const char *const update_names[] = {"backward", "after", NULL};

static const lspo_parameter_t update_when = {
    .key = "update",
    .value = "backward|after",
    .help = "the CPU updates a layer when its gradient has arrived, or all layers after the last gradient",
    .kind = LSPO_RECORD_NAMED,
    .names = update_names,
    .preset = LSPO_STREAM_UPDATE_BACKWARD,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_use_t uses[] = {
    {&window, offsetof(lspo_stream_values_t, window), false, NULL},
    {&update_when, offsetof(lspo_stream_values_t, update), true, NULL},
    {&lspo_parameter_gradient_buffers, offsetof(lspo_stream_values_t, gradient_buffers), false, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_stream_values_t, optimizer_state), true, NULL},
};
const lspo_parameters_t lspo_stream_parameters = LSPO_PARAMETERS(uses, lspo_stream_values_t);

const lspo_policy_t lspo_policy_stream = {
    .name = "stream",
    .help =
        "parameters and optimizer state on the CPU; layers are fetched ahead of forward and backward, Adam on the CPU",
    .citation = "Rajbhandari et al., ZeRO-Infinity, arXiv 2104.07857; Sun et al., STRONGHOLD, SC 2022; SlideFormer, "
                "arXiv 2603.16428; MegaTrain, arXiv 2604.05091",
    .elsewhere = LSPO_ELSEWHERE_ZERO_INFINITY,
    .example = "lspo sim --policy stream --model llama-7b --machine rtx4090 --update after",
    .parameters = &lspo_stream_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help =
        "norm of the full gradient; free with --update after, otherwise a barrier: no update starts before the "
        "last gradient is known",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_PARAMETERS,
    .build = build,
};
