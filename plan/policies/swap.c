/* swap: all compute on the GPU, memory offloaded [Fig. 3c].  Blocks beyond the first `resident_blocks` live on the CPU:
 * their parameters come in for FWD and again for BWD, the optimizer state comes in for UPD_GPU, and both go out.
 * Embedding, head, gradients and activations stay on the GPU.  `swap_slots` blocks may be on the GPU at a time, so that
 * a swap-in runs ahead of the compute.  Under --clip the updates come after the whole backward pass, and the parameters
 * come in a third time. */
#include "plan/policies/swap.h"
#include "plan/policies.h"
#include "plan/policies/shared.h"

#include <stdlib.h>

/* A ring of the ops that end the use of a slot: a swap-in waits for the use that is `slots` uses older. */
typedef struct {
    lspo_op_id_t *ends;
    uint32_t slots;
    uint64_t uses;
} slot_ring_t;

static lspo_op_id_t ring_take(const slot_ring_t *ring)
{
    return ring->uses < ring->slots ? LSPO_NO_OP : ring->ends[ring->uses % ring->slots];
}

static void ring_end(slot_ring_t *ring, lspo_op_id_t op)
{
    ring->ends[ring->uses++ % ring->slots] = op;
}

typedef struct {
    lspo_builder_t *b;
    slot_ring_t ring[2];   /* of parameters and of optimizer state                               */
    lspo_op_id_t *home[2]; /* SWAP_OUT after which a stage's copy on the CPU is the latest one */
} swap_t;

static int which(lspo_op_variant_t variant)
{
    return variant == LSPO_VARIANT_OPTIMIZER;
}

static uint64_t bytes_of(const swap_t *w, uint32_t stage, lspo_op_variant_t variant)
{
    const lspo_build_stage_t *st = &w->b->stages[stage];
    return variant == LSPO_VARIANT_OPTIMIZER ? st->optimizer_bytes : st->parameter_bytes;
}

static bool swapped(const lspo_builder_t *b, uint32_t stage)
{
    return b->stages[stage].shape.kind == LSPO_STAGE_BLOCK && stage > lspo_swap_values_of(b->workload)->resident_blocks;
}

static lspo_op_id_t swap_in(swap_t *w, uint32_t iteration, uint32_t stage, lspo_op_variant_t variant)
{
    lspo_op_id_t id = lspo_build_op(w->b, LSPO_OP_SWAP_IN, variant, stage, iteration);
    lspo_build_depend(w->b, ring_take(&w->ring[which(variant)]));
    lspo_build_depend(w->b, w->home[which(variant)][stage]);
    lspo_build_gpu_memory(w->b, bytes_of(w, stage, variant), 0);
    return id;
}

static void swap_out(swap_t *w, uint32_t iteration, uint32_t stage, lspo_op_variant_t variant, lspo_op_id_t update)
{
    lspo_op_id_t id = lspo_build_op(w->b, LSPO_OP_SWAP_OUT, variant, stage, iteration);
    lspo_build_depend(w->b, update);
    lspo_build_gpu_memory(w->b, 0, bytes_of(w, stage, variant));
    ring_end(&w->ring[which(variant)], id);
    w->home[which(variant)][stage] = id;
}

/* `parameters` has brought the block's parameters: bring the optimizer state after them, update, and send both back. */
static void update_swapped(swap_t *w, uint32_t iteration, uint32_t stage, lspo_op_id_t parameters, lspo_op_id_t norm)
{
    lspo_op_id_t state = swap_in(w, iteration, stage, LSPO_VARIANT_OPTIMIZER);
    lspo_build_depend(w->b, parameters);
    lspo_op_id_t update = lspo_build_update_gpu(w->b, iteration, stage, norm);
    lspo_build_depend(w->b, parameters);
    lspo_build_depend(w->b, state);
    swap_out(w, iteration, stage, LSPO_VARIANT_PARAMETERS, update);
    swap_out(w, iteration, stage, LSPO_VARIANT_OPTIMIZER, update);
}

/* The parameters of this use are dropped instead of sent back when the op emitted last ends. */
static void drop_parameters(swap_t *w, uint32_t stage, lspo_op_id_t op)
{
    lspo_build_gpu_memory(w->b, 0, w->b->stages[stage].parameter_bytes);
    ring_end(&w->ring[which(LSPO_VARIANT_PARAMETERS)], op);
}

static void forward(swap_t *w, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    lspo_op_id_t parameters = LSPO_NO_OP;
    if (swapped(w->b, stage))
        parameters = swap_in(w, iteration, stage, LSPO_VARIANT_PARAMETERS);
    lspo_op_id_t id = lspo_build_forward(w->b, iteration, micro, stage);
    lspo_build_depend(w->b, parameters);
    if (swapped(w->b, stage))
        drop_parameters(w, stage, id);
}

static void backward(swap_t *w, uint32_t iteration, uint32_t micro, uint32_t stage, bool update)
{
    if (!swapped(w->b, stage)) {
        lspo_build_backward(w->b, iteration, micro, stage, LSPO_NO_OP);
        return;
    }
    lspo_op_id_t parameters = swap_in(w, iteration, stage, LSPO_VARIANT_PARAMETERS);
    lspo_op_id_t id = lspo_build_backward(w->b, iteration, micro, stage, parameters);
    if (update)
        update_swapped(w, iteration, stage, parameters, LSPO_NO_OP);
    else
        drop_parameters(w, stage, id);
}

static void update_late(swap_t *w, uint32_t iteration, uint32_t stage, lspo_op_id_t norm)
{
    if (swapped(w->b, stage))
        update_swapped(w, iteration, stage, swap_in(w, iteration, stage, LSPO_VARIANT_PARAMETERS), norm);
    else
        lspo_build_update_gpu(w->b, iteration, stage, norm);
}

static void step(swap_t *w, uint32_t iteration)
{
    lspo_builder_t *b = w->b;
    bool clips = b->workload->clip_norm > 0;
    for (uint32_t micro = 0; micro < b->workload->accumulation; micro++) {
        bool last = micro + 1 == b->workload->accumulation;
        for (uint32_t s = 0; s < b->stage_count; s++)
            forward(w, iteration, micro, s);
        for (uint32_t s = b->stage_count; s-- > 0;)
            backward(w, iteration, micro, s, last && !clips);
    }
    lspo_op_id_t norm = lspo_build_norm(b, iteration);
    for (uint32_t s = 0; s < b->stage_count; s++)
        if (b->stages[s].trained && (clips || !swapped(b, s)))
            update_late(w, iteration, s, norm);
}

static void static_memory(lspo_builder_t *b)
{
    lspo_footprint_t *f = &b->plan->footprint;
    f->gpu_workspace_bytes = b->activations.workspace_bytes;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        const lspo_build_stage_t *st = &b->stages[s];
        if (swapped(b, s)) {
            f->host_parameters_bytes += st->parameter_bytes;
            f->host_optimizer_bytes += st->optimizer_bytes;
        } else {
            f->gpu_parameters_bytes += st->parameter_bytes;
            f->gpu_optimizer_bytes += st->optimizer_bytes;
        }
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
    uint32_t slots = lspo_swap_values_of(b->workload)->swap_slots;
    swap_t w = {.b = b};
    bool enough = true;
    for (int v = 0; v < 2; v++) {
        w.ring[v] = (slot_ring_t){.ends = no_ops(slots), .slots = slots};
        w.home[v] = no_ops(b->stage_count);
        enough = enough && w.ring[v].ends && w.home[v];
    }
    if (enough) {
        static_memory(b);
        for (uint32_t i = 0; i < b->workload->iterations; i++)
            step(&w, i);
    } else {
        b->status = lspo_no_memory("a plan");
    }
    for (int v = 0; v < 2; v++) {
        free(w.home[v]);
        free(w.ring[v].ends);
    }
    return b->status;
}

static double blocks_of_model(const lspo_parameter_context_t *context)
{
    return context->model->block_count;
}

static const lspo_parameter_t swap_slots = {
    .key = "swap-slots",
    .value = "N",
    .unit = "blocks",
    .help = "swapped blocks that may be on the GPU at once",
    .kind = LSPO_RECORD_U32,
    .preset = 2,
    .low = 1,
    .high = LSPO_BLOCKS_MAX,
    .affects = LSPO_AFFECTS_PLAN,
};

/* The optimizer state of these blocks stays on the GPU, too. */
static const lspo_parameter_t resident_blocks = {
    .key = "resident-blocks",
    .value = "N",
    .unit = "blocks",
    .help = "number of blocks, counted from the first, that stay on the GPU",
    .kind = LSPO_RECORD_U32,
    .preset = 0,
    .high_of = blocks_of_model,
    .high_is = "the model's number of blocks",
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const lspo_parameter_use_t uses[] = {
    {&swap_slots, offsetof(lspo_swap_values_t, swap_slots), false, NULL},
    {&resident_blocks, offsetof(lspo_swap_values_t, resident_blocks), false, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_swap_values_t, optimizer_state), true, NULL},
};
const lspo_parameters_t lspo_swap_parameters = LSPO_PARAMETERS(uses, lspo_swap_values_t);

const lspo_policy_t lspo_policy_swap = {
    .name = "swap",
    .help =
        "all compute on the GPU; each block's parameters and optimizer state are swapped in from the CPU when needed",
    .citation = "arXiv 2406.10181, Fig. 3c",
    .example = "lspo sim --policy swap --model gpt2-774m --machine paper-laptop --swap-slots 3",
    .parameters = &lspo_swap_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "norm of the full gradient; updates wait for the whole backward pass, so parameters are swapped in a "
                 "third time",
    .train_rest_default = true,
    .method = "adam",
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
};
