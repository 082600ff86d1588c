/* axonn: fp32 parameters and Adam's moments are on the host; the GPU updates with them bucket by bucket.
 *
 * A bucket is a part of a stage's message (plan/chunks.h): a stage of E parameters has ceil(E / bsize) of them, all
 * alike, bsize = --bucket-size.  Gradients stay on the GPU.  After backward each bucket's state comes, the GPU updates,
 * and the state leaves (visit.h).  So of phi parameters in 16 bits the GPU has 4 phi bytes of parameters and gradients
 * and 12 bsize of the bucket, instead of 16 phi.  The authors have 16 bsize, because they copy the bucket's gradient to
 * fp32; Adam here reads it in 16 bits.
 *
 * At most --bucket-slots buckets are on the GPU: with 1, as in the authors' code, which has one stream for all of this,
 * state comes, is updated and leaves in turn, so that a step takes at least 24 phi / B; with 2 the next one comes while
 * the one before leaves.
 *
 * All or nothing: with --clip, and so with a loss scale that follows the norms, no bucket is updated before the norm of
 * all is known; a step whose gradients overflow changes none.  The authors check each bucket when its turn comes, and
 * have updated those before it.
 *
 * Other than the authors': buckets end with layers; parameters leave without blocking. */
#include "plan/policies/axonn.h"

#include <stdlib.h>

#include "plan/policies.h"
#include "plan/policies/shared.h"
#include "plan/policies/visit.h"

typedef struct {
    lspo_builder_t *b;
    lspo_visit_slots_t slots;
    lspo_visit_t *visits; /* by bucket, in the order of stages */
    uint32_t count;
} axonn_t;

static bool describe_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                          lspo_work_t *work)
{
    (void)variant;
    return lspo_visit_describe(b, kind, b->stages[s].message.element_count, work);
}

/* The last bucket of a stage gives its gradient back, so buckets are updated one after the other. */
static void update(axonn_t *x, uint32_t iteration)
{
    lspo_builder_t *b = x->b;
    lspo_visit_t *visit = x->visits;
    const lspo_op_id_t norm = lspo_build_norm(b, iteration), gradients = norm == LSPO_NO_OP ? b->last_compute : norm;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        lspo_build_stage_t *st = &b->stages[s];
        lspo_visit_order_t order = {.iteration = iteration, .stage = s, .gradients = gradients, .before = LSPO_NO_OP};
        for (order.part = 0; st->trained && order.part < st->parts; order.part++, visit++) {
            order.given_bytes = order.part + 1 == st->parts ? st->gradient_bytes : 0;
            lspo_visit_build(b, &x->slots, &order, visit);
            st->ready = order.before = visit->ready;
        }
    }
}

static void static_memory(lspo_builder_t *b)
{
    lspo_footprint_t *f = &b->plan->footprint;
    f->gpu_workspace_bytes = b->activations.workspace_bytes;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        const lspo_build_stage_t *st = &b->stages[s];
        f->gpu_parameters_bytes += st->parameter_bytes;
        f->host_optimizer_bytes += st->moments_bytes;
        f->host_master_bytes += st->message.element_count * lspo_precision_bytes(lspo_visit_updated(b));
    }
}

static lspo_status_t prepare(axonn_t *x)
{
    lspo_builder_t *b = x->b;
    for (uint32_t s = 0; s < b->stage_count; s++)
        x->count += b->stages[s].trained ? b->stages[s].parts : 0;
    x->visits = malloc(((size_t)x->count + 1) * sizeof *x->visits);
    if (!x->visits)
        return lspo_no_memory("a plan of %u buckets", x->count);
    for (uint32_t i = 0; i < x->count; i++)
        x->visits[i] = lspo_visit_none;
    return lspo_visit_slots_create(lspo_axonn_values_of(b->workload)->bucket_slots, &x->slots);
}

static lspo_status_t build(lspo_builder_t *b)
{
    axonn_t x = {.b = b};
    b->status = prepare(&x);
    if (b->status == LSPO_OK)
        static_memory(b);
    for (uint32_t i = 0; b->status == LSPO_OK && i < b->workload->iterations; i++) {
        lspo_build_step(b, i, false);
        update(&x, i);
    }
    lspo_visit_slots_release(&x.slots);
    free(x.visits);
    return b->status;
}

/* ---- parameters of the policy ---- */

const lspo_parameter_t lspo_parameter_bucket_size = {
    .key = "bucket-size",
    .value = "N",
    .unit = "parameters",
    .help = "the most parameters of a bucket, in whole 16384; a layer is cut into equal ones",
    .kind = LSPO_RECORD_U32,
    .preset = 16000000,
    .low = 1,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t bucket_slots = {
    .key = "bucket-slots",
    .value = "N",
    .unit = "buckets",
    .help = "buckets whose state may be on the GPU at once; 2: the next one comes while the one before leaves",
    .kind = LSPO_RECORD_U32,
    .preset = 1,
    .low = 1,
    .high = 1000,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_bucket_size, offsetof(lspo_axonn_values_t, bucket_size), true, NULL},
    {&bucket_slots, offsetof(lspo_axonn_values_t, bucket_slots), true, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_axonn_values_t, optimizer_state), false, NULL},
};
const lspo_parameters_t lspo_axonn_parameters = LSPO_PARAMETERS(uses, lspo_axonn_values_t);

const lspo_policy_t lspo_policy_axonn = {
    .name = "axonn",
    .help = "fp32 parameters and optimizer state on the CPU; the GPU fetches them bucket by bucket and updates there",
    .citation = "Singh and Bhatele, AxoNN, IPDPS 2022, arXiv 2110.13005",
    .example = "lspo sim --policy axonn --model llama-7b --machine a100-80gb-sxm --bucket-size 64000000",
    .parameters = &lspo_axonn_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "norm of the full gradient; no bucket is updated before it is known, so a step that overflows changes "
                 "none",
    .train_rest_default = true,
    .method = "axonn",
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
    .describe_work = describe_work,
    .describe_part = lspo_visit_describe,
};
