/* deep-optimizer-states: the optimizer state is on the host in subgroups; of k subgroups the GPU updates the last one.
 *
 * A subgroup is a part of a stage's message (plan/chunks.h): a stage of E parameters has ceil(E / S) of them, all
 * alike, S = --subgroup-size.  They are numbered over all stages from the first one, and the GPU has subgroup i if (i +
 * 1) is a multiple of k = --stride.
 *     of the CPU    D2H of the gradient behind BWD; after the last gradient UPD, one after the other; H2D, APPLY
 *     of the GPU    its gradient stays there: COMPRESS copies it where the rest of the stage's is sent.  After backward
 *                   SWAP_IN of m, v and an fp32 copy of 16-bit weights, UPD_GPU, SWAP_OUT of m, v and what was updated
 * With fp32 state of 16-bit weights a window of k subgroups moves 24 S bytes for the GPU, 12 each way, and 2 (k - 1) S
 * each way for the CPU.  At most --subgroup-slots states are on the GPU: with 2 the next one comes while the one before
 * leaves, with 1 they take turns, as in the authors' code, which has one buffer.
 *
 * Its three parts can be switched off, so that their gains can be told apart: gradients that leave while backward goes
 * on (--gradient-buffers 1: it waits for each), parameters that return while the CPU updates the next subgroup
 * (--down-convert blocking), and the GPU's share (--interleave off).  With all three off the schedule is zero's with
 * blocking copies.
 *
 * Other than the authors': subgroups end with layers; gradients cross the link in the link's format, not in fp32; the
 * state of a GPU's subgroup may come as soon as backward has ended and there is room. */
#include "plan/policies/deep_optimizer_states.h"

#include <stdlib.h>

#include "plan/chunks.h"
#include "plan/policies.h"
#include "plan/policies/shared.h"
#include "plan/policies/visit.h"
#include "plan/stage_work.h"

/* The latest ops of a subgroup. */
typedef struct {
    lspo_op_id_t sent;  /* D2H of its gradient */
    lspo_visit_t visit; /* of the CPU: only `ready`, APPLY */
} subgroup_t;

typedef struct {
    lspo_builder_t *b;
    uint32_t stride; /* 0: all are the CPU's */
    bool blocks;     /* backward waits for each D2H */
    bool waits;      /* an update waits until the result of the one before is on the GPU */
    uint32_t count;
    subgroup_t *subgroups;
    uint32_t *first; /* by stage: the number of its first subgroup */
    lspo_visit_slots_t slots;
} states_t;

/* ---- sizes ---- */

static bool on_gpu(const states_t *g, uint32_t stage, uint32_t part)
{
    return g->stride > 0 && (g->first[stage] + part + 1) % g->stride == 0;
}

static uint64_t elements_of(const states_t *g, uint32_t stage, uint32_t part)
{
    return lspo_build_part_elements(g->b, stage, part);
}

static bool describe_part(const lspo_builder_t *b, lspo_op_kind_t kind, uint64_t elements, lspo_work_t *work)
{
    if (kind != LSPO_OP_COMPRESS)
        return lspo_visit_describe(b, kind, elements, work);
    lspo_work_stream(2 * elements * lspo_precision_bytes(b->workload->precision), work);
    return true;
}

static bool describe_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                          lspo_work_t *work)
{
    (void)variant;
    return describe_part(b, kind, b->stages[s].message.element_count, work);
}

/* ---- schedule ---- */

/* Behind the last BWD of a stage: keep the gradients of the GPU's subgroups, send those of the CPU's. */
static void send(states_t *g, uint32_t iteration, uint32_t stage)
{
    lspo_builder_t *b = g->b;
    lspo_build_stage_t *st = &b->stages[stage];
    const uint64_t p = lspo_precision_bytes(b->workload->precision);
    if (!lspo_build_is_sent(b, stage))
        return;
    for (uint32_t part = 0; part < st->parts; part++) {
        if (!on_gpu(g, stage, part))
            continue;
        lspo_op_id_t kept = lspo_build_part(b, LSPO_OP_COMPRESS, LSPO_VARIANT_NONE, stage, iteration, part);
        lspo_build_depend(b, b->last_compute);
        lspo_build_gpu_memory(b, elements_of(g, stage, part) * p, 0);
        b->last_compute = st->backward = kept;
    }
    for (uint32_t part = 0; part < st->parts; part++) {
        if (on_gpu(g, stage, part))
            continue;
        st->sent = lspo_build_part(b, LSPO_OP_D2H, LSPO_VARIANT_NONE, stage, iteration, part);
        lspo_build_depend(b, st->backward);
        g->subgroups[g->first[stage] + part].sent = st->sent;
    }
    lspo_build_gpu_memory(b, 0, st->gradient_bytes);
}

/* Of the step's updates on the CPU. */
typedef struct {
    lspo_op_id_t update, returned; /* of the subgroup before; LSPO_NO_OP: none */
    lspo_op_id_t norm;             /* its D2H */
} turn_t;

/* No update starts before all gradients have arrived, and each waits for the one before it. */
static void update_on_cpu(states_t *g, uint32_t iteration, uint32_t stage, uint32_t part, turn_t *turn)
{
    lspo_builder_t *b = g->b;
    subgroup_t *subgroup = &g->subgroups[g->first[stage] + part];
    const uint64_t bytes = elements_of(g, stage, part) * lspo_precision_bytes(b->workload->transfer);
    lspo_op_id_t update = lspo_build_part(b, LSPO_OP_UPD, LSPO_VARIANT_NONE, stage, iteration, part);
    lspo_build_depend(b, subgroup->sent);
    lspo_build_depend(b, turn->update == LSPO_NO_OP ? turn->norm : turn->update);
    if (g->waits)
        lspo_build_depend(b, turn->returned);
    for (uint32_t s = 0; turn->update == LSPO_NO_OP && s < b->stage_count; s++)
        lspo_build_depend(b, b->stages[s].sent);
    turn->update = update;
    turn->returned = lspo_build_part(b, LSPO_OP_H2D, LSPO_VARIANT_NONE, stage, iteration, part);
    lspo_build_depend(b, update);
    lspo_build_gpu_memory(b, bytes, 0);
    subgroup->visit.ready = lspo_build_part(b, LSPO_OP_APPLY, LSPO_VARIANT_NONE, stage, iteration, part);
    lspo_build_depend(b, turn->returned);
    lspo_build_gpu_memory(b, 0, bytes);
}

static void update_on_gpu(states_t *g, uint32_t iteration, uint32_t stage, uint32_t part, lspo_op_id_t gradients)
{
    const lspo_build_stage_t *st = &g->b->stages[stage];
    const uint64_t kept_bytes = elements_of(g, stage, part) * lspo_precision_bytes(g->b->workload->precision);
    const lspo_visit_order_t order = {.iteration = iteration,
                                      .stage = stage,
                                      .part = part,
                                      .waits = &gradients,
                                      .wait_count = 1,
                                      .before = LSPO_NO_OP,
                                      .given_bytes = st->parts > 1 ? kept_bytes : st->gradient_bytes};
    lspo_visit_build(g->b, &g->slots, &order, &g->subgroups[g->first[stage] + part].visit);
}

static void update(states_t *g, uint32_t iteration)
{
    lspo_builder_t *b = g->b;
    lspo_op_id_t norm = lspo_build_norm(b, iteration), gradients = norm == LSPO_NO_OP ? b->last_compute : norm;
    turn_t turn = {LSPO_NO_OP, LSPO_NO_OP, lspo_build_norm_to_host(b, iteration, norm)};
    for (uint32_t s = 0; s < b->stage_count; s++)
        for (uint32_t part = 0; b->stages[s].trained && part < b->stages[s].parts; part++)
            if (on_gpu(g, s, part))
                update_on_gpu(g, iteration, s, part, gradients);
            else
                update_on_cpu(g, iteration, s, part, &turn);
}

/* The stages of one micro-batch; one that is all the GPU's waits for the D2H of others as the rest. */
static void backward(states_t *g, uint32_t iteration, uint32_t micro)
{
    lspo_builder_t *b = g->b;
    lspo_op_id_t sent = LSPO_NO_OP;
    for (uint32_t s = b->stage_count; s-- > 0;) {
        lspo_build_backward(b, iteration, micro, s, g->blocks ? sent : LSPO_NO_OP);
        if (micro + 1 < b->workload->accumulation)
            continue;
        send(g, iteration, s);
        if (lspo_build_is_sent(b, s))
            sent = b->stages[s].sent;
    }
}

/* Of each stage for the last subgroup of the CPU and the last one of the GPU: lanes serve those of a side in turn. */
static void depend_on_weights(states_t *g)
{
    for (uint32_t s = 0; s < g->b->stage_count; s++) {
        lspo_op_id_t ready[2] = {LSPO_NO_OP, LSPO_NO_OP};
        for (uint32_t part = 0; g->b->stages[s].trained && part < g->b->stages[s].parts; part++)
            ready[on_gpu(g, s, part)] = g->subgroups[g->first[s] + part].visit.ready;
        lspo_build_depend(g->b, ready[false]);
        lspo_build_depend(g->b, ready[true]);
    }
}

static void step(states_t *g, uint32_t iteration)
{
    lspo_builder_t *b = g->b;
    for (uint32_t micro = 0; micro < b->workload->accumulation; micro++) {
        for (uint32_t s = 0; s < b->stage_count; s++) {
            lspo_build_forward(b, iteration, micro, s);
            if (s == 0 && micro == 0)
                depend_on_weights(g);
        }
        backward(g, iteration, micro);
    }
    update(g, iteration);
}

/* ---- memory ---- */

/* The host has state and masters of all; landing and outgoing buffers for stages of which anything is sent. */
static void static_memory(const lspo_builder_t *b)
{
    lspo_footprint_t *f = &b->plan->footprint;
    const lspo_precision_t master = lspo_visit_updated(b);
    f->gpu_workspace_bytes = b->activations.workspace_bytes;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        const lspo_build_stage_t *st = &b->stages[s];
        f->gpu_parameters_bytes += st->parameter_bytes;
        f->host_optimizer_bytes += st->moments_bytes;
        f->host_master_bytes += st->message.element_count * lspo_precision_bytes(master);
        if (!lspo_build_is_sent(b, s))
            continue;
        f->host_gradients_bytes += st->sent_bytes;
        f->host_outgoing_bytes += b->workload->transfer == master ? 0 : st->link_bytes;
    }
}

/* Number the subgroups; a stage that is all the GPU's sends nothing. */
static lspo_status_t number(states_t *g)
{
    lspo_builder_t *b = g->b;
    g->first = calloc(b->stage_count, sizeof *g->first);
    if (!g->first)
        return lspo_no_memory("a plan");
    lspo_status_t status =
        lspo_visit_slots_create(lspo_deep_optimizer_states_values_of(b->workload)->subgroup_slots, &g->slots);
    if (status != LSPO_OK)
        return status;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        lspo_build_stage_t *st = &b->stages[s];
        g->first[s] = g->count;
        g->count += st->trained ? st->parts : 0;
        if (st->trained && st->parts == 1 && on_gpu(g, s, 0))
            lspo_build_keep_on_gpu(st);
    }
    g->subgroups = malloc((g->count + 1) * sizeof *g->subgroups);
    for (uint32_t i = 0; g->subgroups && i < g->count; i++)
        g->subgroups[i] = (subgroup_t){LSPO_NO_OP, lspo_visit_none};
    return g->subgroups ? LSPO_OK : lspo_no_memory("a plan of %u subgroups", g->count);
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_deep_optimizer_states_values_t *own = lspo_deep_optimizer_states_values_of(b->workload);
    states_t g = {.b = b,
                  .stride = own->interleave ? (uint32_t)own->stride : 0,
                  .blocks = own->gradient_buffers == 1 && b->workload->accumulation == 1,
                  .waits = own->down_convert == LSPO_DOWN_CONVERT_BLOCKING};
    b->status = number(&g);
    if (b->status == LSPO_OK)
        static_memory(b);
    for (uint32_t i = 0; b->status == LSPO_OK && i < b->workload->iterations; i++)
        step(&g, i);
    free(g.subgroups);
    lspo_visit_slots_release(&g.slots);
    free(g.first);
    return b->status;
}

/* ---- parameters of the policy ---- */

const lspo_parameter_t lspo_parameter_stride = {
    .key = "stride",
    .value = "auto|K",
    .unit = "subgroups",
    .help = "of K subgroups the GPU updates the last one; auto: the fastest by simulation that fits",
    .kind = LSPO_RECORD_I32,
    .preset = LSPO_STRIDE_AUTO,
    .low = LSPO_STRIDE_LEAST,
    .high = 1000000,
    .affects = LSPO_AFFECTS_PLAN,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

const lspo_parameter_t lspo_parameter_subgroup_size = {
    .key = "subgroup-size",
    .value = "N",
    .unit = "parameters",
    .help = "the most parameters of a subgroup, in whole 16384; a layer is cut into equal ones",
    .kind = LSPO_RECORD_U32,
    .preset = 100000000,
    .low = 1,
    .affects = LSPO_AFFECTS_PLAN,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const lspo_parameter_t subgroup_slots = {
    .key = "subgroup-slots",
    .value = "N",
    .unit = "subgroups",
    .help = "subgroups whose state may be on the GPU at once; 2: the next one comes while the one before leaves",
    .kind = LSPO_RECORD_U32,
    .preset = 2,
    .low = 1,
    .high = 1000,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t interleave = {
    .key = "interleave",
    .value = "on|off",
    .help = "off: the CPU updates all subgroups",
    .kind = LSPO_RECORD_BOOL,
    .preset = 1,
    .affects = LSPO_AFFECTS_PLAN,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const char *const down_convert_names[] = {"async", "blocking", NULL};

static const lspo_parameter_t down_convert = {
    .key = "down-convert",
    .value = "async|blocking",
    .help = "parameters in the link's format return while the CPU updates the next subgroup, or it waits for them",
    .kind = LSPO_RECORD_NAMED,
    .names = down_convert_names,
    .preset = LSPO_DOWN_CONVERT_ASYNC,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_stride, offsetof(lspo_deep_optimizer_states_values_t, stride), true, NULL},
    {&lspo_parameter_subgroup_size, offsetof(lspo_deep_optimizer_states_values_t, subgroup_size), true, NULL},
    {&subgroup_slots, offsetof(lspo_deep_optimizer_states_values_t, subgroup_slots), false, NULL},
    {&lspo_parameter_gradient_buffers, offsetof(lspo_deep_optimizer_states_values_t, gradient_buffers), false, NULL},
    {&down_convert, offsetof(lspo_deep_optimizer_states_values_t, down_convert), false, NULL},
    {&interleave, offsetof(lspo_deep_optimizer_states_values_t, interleave), false, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_deep_optimizer_states_values_t, optimizer_state), false, NULL},
};
const lspo_parameters_t lspo_deep_optimizer_states_parameters =
    LSPO_PARAMETERS(uses, lspo_deep_optimizer_states_values_t);

const lspo_policy_t lspo_policy_deep_optimizer_states = {
    .name = "deep-optimizer-states",
    .help =
        "optimizer state on the CPU in subgroups; the GPU fetches every k-th one and updates it while the CPU updates "
        "the others",
    .citation = "Maurya et al., Deep Optimizer States, Middleware 2024, arXiv 2410.21316",
    .example = "lspo sim --policy deep-optimizer-states --model llama-7b --machine a100-80gb-sxm --stride 3",
    .parameters = &lspo_deep_optimizer_states_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "norm of the full gradient; free, since updates wait for all gradients anyway",
    .train_rest_default = true,
    .method = "deep-optimizer-states",
    .return_form = LSPO_RETURN_PARAMETERS,
    .build = build,
    .describe_work = describe_work,
    .describe_part = describe_part,
};
