/* axonn: fp32 parameters and Adam's moments are on the host; the GPU updates with them bucket by bucket.  A pipeline
 * of GPUs, in several replicas, runs messages in the order in which they come.
 *
 * A bucket is a part of a stage's message (plan/chunks.h): a stage of E parameters has ceil(E / bsize) of them.  bsize
 * is --bucket-size, rounded down to a multiple of LSPO_CHUNK_GRAIN, but at least one grain.  All buckets of a stage but
 * the last have the same size, which is a multiple of the grain, too; the last one has what is left.
 *
 * Gradients stay on the GPU.  After backward each bucket's state comes, the GPU updates, and the state leaves
 * (visit.h).  So of phi parameters in 16 bits the GPU has 4 phi bytes of parameters and gradients and 12 bsize of the
 * bucket, instead of 16 phi.  The authors have 16 bsize, because they copy the bucket's gradient to fp32; Adam here
 * reads it in 16 bits.
 *
 * At most --bucket-slots buckets are on the GPU: with 1, as in the authors' code, which has one stream for all of
 * this, state comes, is updated and leaves in turn, so that a step takes at least 24 phi / B; with 2 the next one
 * comes while the one before leaves.
 *
 * All or nothing: with --clip, and so with a loss scale that follows the norms, no bucket is updated before the norm
 * of all is known; a step whose gradients overflow changes none.  The authors check each bucket when its turn comes,
 * and have updated those before it.
 *
 * G = --pipeline peers (plan/lane.h), each with one GPU, its own host and a network lane, have equal numbers of
 * blocks, the first ones one more; the first peer has the embedding, the last one the head.  Each of the R =
 * --replicas has A / R of the step's A = --accumulation micro-batches.  A *message* is what a GPU does for a micro-
 * batch in one go: forward through its stages behind SEND of the activations, or backward behind SEND of the gradient.
 * Orders:
 *     message   the one that came first, as in the authors' code.  The last GPU goes backward right behind its
 *               forward.  The first one begins micro-batch m right behind backward of m - G, so that at most G are in
 *               flight.
 *     1f1b      GPU d of G: forward G - d times, then backward and forward in turn
 *     gpipe     all forward, then all backward
 * With equal stages and no time on the network the static orders take (M + G - 1) (f + b), M = A / R, and message-
 * driven does if M <= G or G <= 4.
 *
 * After backward the replicas sum --reduce-buckets buckets at a time, each sending 2 (R - 1) / R of their gradients,
 * as on a ring (half of it SHARE, half SUM), while earlier buckets are updated.  With --clip all sums come first, then
 * the norms.  A tied head has a copy of the token embedding; its gradient goes to the first peer, which adds it in its
 * last BWD, and the updated embedding comes back.
 *
 * Other than the authors': buckets end with layers; parameters leave without blocking; forward of a layer waits for
 * its own buckets only. */
#include "plan/policies/axonn.h"

#include <stdlib.h>

#include "plan/chunks.h"
#include "plan/policies.h"
#include "plan/policies/axonn_grid.h"
#include "plan/policies/shared.h"

static bool describe_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                          lspo_work_t *work)
{
    (void)variant;
    return lspo_visit_describe(b, kind, b->stages[s].message.element_count, work);
}

/* ---- sums over replicas, and norms ---- */

static uint64_t group_elements(const lspo_axonn_t *x, uint32_t stage, uint32_t part, uint32_t end)
{
    uint64_t elements = 0;
    for (; part < end; part++)
        elements += lspo_build_part_elements(x->b, stage, part);
    return elements;
}

/* Of a group of R replicas' gradients each replica sums one R-th: SHARE sends the other parts to those who sum them,
 * and when all have come, SUM sends the sum to all.  Buckets go in their order, a sum before later shares. */
static lspo_op_id_t send_group(const lspo_axonn_t *x, lspo_op_variant_t variant, const lspo_build_message_t *group)
{
    const uint32_t others = x->replicas - 1;
    lspo_build_message_t message = *group;
    message.variant = variant;
    message.bytes = group->bytes * others / x->replicas;
    message.messages = others;
    const lspo_op_id_t id = lspo_build_message(x->b, &message);
    lspo_build_rank(x->b, id, variant == LSPO_VARIANT_SHARE ? 1 : 0);
    return id;
}

static void sum_group(const lspo_axonn_t *x, uint32_t iteration, uint32_t d, uint32_t stage, uint32_t part,
                      uint32_t end)
{
    lspo_builder_t *b = x->b;
    const lspo_build_message_t group = {.stage = stage,
                                        .iteration = iteration,
                                        .micro = part,
                                        .bytes = group_elements(x, stage, part, end) *
                                                 lspo_precision_bytes(b->workload->precision)};
    for (uint32_t r = 0; r < x->replicas; r++) {
        lspo_axonn_enter(x, r, d);
        x->shares[r] = send_group(x, LSPO_VARIANT_SHARE, &group);
        lspo_build_depend(b, lspo_axonn_device(x, r, d)->backward);
    }
    for (uint32_t r = 0; r < x->replicas; r++) {
        lspo_axonn_enter(x, r, d);
        const lspo_op_id_t id = send_group(x, LSPO_VARIANT_SUM, &group);
        for (uint32_t other = 0; other < x->replicas; other++)
            lspo_build_depend(b, x->shares[other]);
        for (uint32_t i = part; i < end; i++)
            x->sums[(size_t)r * x->bucket_count + x->first[stage] + i] = id;
    }
}

static void sum_replicas(const lspo_axonn_t *x, uint32_t iteration, uint32_t d)
{
    const uint32_t together = lspo_axonn_values_of(x->b->workload)->reduce_buckets;
    const lspo_axonn_device_t *device = lspo_axonn_device(x, 0, d);
    for (uint32_t s = device->first; x->replicas > 1 && s <= device->last; s++) {
        const uint32_t parts = x->stages[s].trained ? x->stages[s].parts : 0;
        for (uint32_t part = 0; part < parts; part += together)
            sum_group(x, iteration, d, s, part, parts - part < together ? parts : part + together);
    }
}

/* After which the gradient of this bucket is complete. */
static uint32_t list_gradients(const lspo_axonn_t *x, uint32_t replica, uint32_t d, uint32_t stage, uint32_t part,
                               lspo_op_id_t *waits)
{
    uint32_t count = 0;
    for (uint32_t r = 0; x->replicas > 1 && r < x->replicas; r++)
        waits[count++] = x->sums[(size_t)r * x->bucket_count + x->first[stage] + part];
    if (count > 0)
        return count;
    waits[count++] = lspo_axonn_device(x, replica, d)->backward;
    return count;
}

/* The squares of sums over replicas are known to NORM only. */
static void square(const lspo_axonn_t *x, const lspo_axonn_device_t *device)
{
    uint64_t bytes = 0;
    uint32_t trained = 0;
    for (uint32_t s = device->first; s <= device->last; s++) {
        bytes += x->stages[s].trained ? x->stages[s].gradient_bytes : 0;
        trained += x->stages[s].trained;
    }
    if (x->replicas > 1)
        lspo_build_stream(x->b, bytes, trained);
}

/* NORM of the peer's stages; with several peers each learns of those of the others. */
static void norm(const lspo_axonn_t *x, uint32_t iteration, uint32_t replica, uint32_t d)
{
    lspo_builder_t *b = x->b;
    lspo_axonn_device_t *device = lspo_axonn_device(x, replica, d);
    if (!(b->workload->clip_norm > 0))
        return;
    lspo_axonn_enter(x, replica, d);
    device->norm = lspo_build_op(b, LSPO_OP_NORM, LSPO_VARIANT_NONE, device->last, iteration);
    square(x, device);
    for (uint32_t s = device->first; s <= device->last; s++)
        for (uint32_t part = 0; b->stages[s].trained && part < b->stages[s].parts; part++) {
            const uint32_t count = list_gradients(x, replica, d, s, part, x->waits);
            for (uint32_t i = 0; i < count; i++)
                lspo_build_depend(b, x->waits[i]);
        }
    if (x->pipeline == 1)
        return;
    const lspo_op_id_t own = device->norm;
    const uint32_t others = x->pipeline - 1;
    device->norm = lspo_build_message(b, &(lspo_build_message_t){.variant = LSPO_VARIANT_NORM_SCALAR,
                                                                 .stage = device->last,
                                                                 .iteration = iteration,
                                                                 .bytes = others * sizeof(double),
                                                                 .messages = others});
    lspo_build_depend(b, own);
}

/* What an update of the bucket waits for. */
static uint32_t list_waits(const lspo_axonn_t *x, uint32_t replica, uint32_t d, uint32_t stage, uint32_t part)
{
    uint32_t count = 0;
    if (lspo_axonn_device(x, replica, d)->norm == LSPO_NO_OP)
        return list_gradients(x, replica, d, stage, part, x->waits);
    for (; count < x->pipeline; count++)
        x->waits[count] = lspo_axonn_device(x, replica, count)->norm;
    return count;
}

/* ---- updates ---- */

/* The last bucket of a stage gives its gradient back, so buckets are updated one after the other. */
static void update_stage(const lspo_axonn_t *x, uint32_t iteration, uint32_t replica, uint32_t d, uint32_t stage)
{
    lspo_builder_t *b = x->b;
    lspo_axonn_device_t *device = lspo_axonn_device(x, replica, d);
    lspo_build_stage_t *st = &b->stages[stage];
    lspo_visit_order_t order = {.iteration = iteration, .stage = stage, .waits = x->waits, .before = LSPO_NO_OP};
    for (; st->trained && order.part < st->parts; order.part++) {
        lspo_visit_t *visit = &x->visits[(size_t)replica * x->bucket_count + x->first[stage] + order.part];
        order.wait_count = list_waits(x, replica, d, stage, order.part);
        order.given_bytes = order.part + 1 == st->parts ? st->gradient_bytes : 0;
        lspo_visit_build(b, &device->slots, &order, visit);
        st->ready = order.before = visit->ready;
    }
    if (stage > 0 || !x->tied || !st->trained)
        return;
    x->tied_back[replica] = lspo_build_message(b, &(lspo_build_message_t){.variant = LSPO_VARIANT_PARAMETERS,
                                                                          .iteration = iteration,
                                                                          .bytes = lspo_axonn_tied_bytes(b),
                                                                          .messages = 1});
    lspo_build_depend(b, st->ready);
}

static void update(const lspo_axonn_t *x, uint32_t iteration, uint32_t replica, uint32_t d)
{
    const lspo_axonn_device_t *device = lspo_axonn_device(x, replica, d);
    lspo_axonn_enter(x, replica, d);
    x->b->last_compute = device->backward;
    for (uint32_t s = device->first; s <= device->last; s++)
        update_stage(x, iteration, replica, d, s);
}

static void step(lspo_axonn_t *x, uint32_t iteration)
{
    for (uint32_t r = 0; r < x->replicas; r++)
        lspo_axonn_passes(x, iteration, r);
    for (uint32_t d = 0; d < x->pipeline; d++)
        sum_replicas(x, iteration, d);
    for (uint32_t r = 0; r < x->replicas; r++)
        for (uint32_t d = 0; d < x->pipeline; d++)
            norm(x, iteration, r, d);
    for (uint32_t r = 0; r < x->replicas; r++)
        for (uint32_t d = 0; d < x->pipeline; d++)
            update(x, iteration, r, d);
}

/* ---- memory ---- */

static lspo_footprint_t footprint_of(const lspo_axonn_t *x, const lspo_axonn_device_t *device)
{
    const lspo_builder_t *b = x->b;
    lspo_footprint_t f = {.gpu_workspace_bytes = b->activations.workspace_bytes};
    for (uint32_t s = device->first; s <= device->last; s++) {
        const lspo_build_stage_t *st = &x->stages[s];
        f.gpu_parameters_bytes += st->parameter_bytes;
        f.host_optimizer_bytes += st->moments_bytes;
        f.host_master_bytes += st->message.element_count * lspo_precision_bytes(lspo_visit_updated(b));
    }
    if (x->tied && device->last + 1 == b->stage_count)
        f.gpu_parameters_bytes += lspo_axonn_tied_bytes(b);
    return f;
}

/* The plan's footprint has the GPU and the host that need most. */
static lspo_status_t static_memory(const lspo_axonn_t *x)
{
    lspo_plan_t *plan = x->b->plan;
    const uint32_t peers = x->pipeline * x->replicas;
    lspo_footprint_t most = footprint_of(x, &x->devices[0]);
    if (peers > 1)
        plan->peer_static = malloc(peers * sizeof *plan->peer_static);
    if (peers > 1 && !plan->peer_static)
        return lspo_no_memory("%u peers", peers);
    for (uint32_t p = 0; p < peers; p++) {
        const lspo_footprint_t f = footprint_of(x, &x->devices[p]);
        const lspo_peer_static_t own = {lspo_footprint_gpu_bytes(&f), lspo_footprint_host_bytes(&f)};
        if (peers > 1)
            plan->peer_static[p] = own;
        if (own.gpu_bytes > lspo_footprint_gpu_bytes(&most))
            most.gpu_parameters_bytes = f.gpu_parameters_bytes;
        if (own.host_bytes <= lspo_footprint_host_bytes(&most))
            continue;
        most.host_optimizer_bytes = f.host_optimizer_bytes;
        most.host_master_bytes = f.host_master_bytes;
    }
    plan->footprint = most;
    return LSPO_OK;
}

/* ---- the grid ---- */

static const lspo_lane_kind_t of_gpu[] = {LSPO_LANE_GPU, LSPO_LANE_D2H, LSPO_LANE_H2D};

/* Peer 0 has the plan's first lanes. */
static void make_lanes(const lspo_axonn_t *x, uint32_t peer, lspo_axonn_device_t *device)
{
    for (int kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++)
        device->lanes[kind] = peer == 0 && kind < LSPO_DEVICE_LANES ? (uint32_t)kind : LSPO_NO_LANE;
    for (size_t i = 0; peer > 0 && i < sizeof of_gpu / sizeof of_gpu[0]; i++)
        device->lanes[of_gpu[i]] = lspo_build_lane(x->b, &(lspo_lane_t){.peer = peer, .kind = (uint8_t)of_gpu[i]});
    if (x->pipeline * x->replicas > 1)
        device->lanes[LSPO_LANE_NET] = lspo_build_lane(x->b, &(lspo_lane_t){.peer = peer, .kind = LSPO_LANE_NET});
}

/* Blocks are distributed evenly, the first GPUs having one more where they do not divide. */
static lspo_status_t make_devices(const lspo_axonn_t *x)
{
    const uint32_t blocks = x->b->model->block_count, each = blocks / x->pipeline, more = blocks % x->pipeline;
    const lspo_axonn_values_t *own = lspo_axonn_values_of(x->b->workload);
    for (uint32_t p = 0; p < x->pipeline * x->replicas; p++) {
        lspo_axonn_device_t *device = &x->devices[p];
        const uint32_t d = p % x->pipeline;
        device->first = d == 0 ? 0 : 1 + d * each + (d < more ? d : more);
        device->last = d + 1 == x->pipeline ? blocks + 1 : (d + 1) * each + (d + 1 < more ? d + 1 : more);
        device->latest = LSPO_NO_OP;
        make_lanes(x, p, device);
        lspo_status_t status = lspo_visit_slots_create(own->bucket_slots, &device->slots);
        if (status != LSPO_OK)
            return status;
    }
    return x->b->status;
}

static lspo_op_id_t *no_ops(size_t count)
{
    lspo_op_id_t *ids = malloc((count + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < count; i++)
        ids[i] = LSPO_NO_OP;
    return ids;
}

static lspo_status_t check(const lspo_axonn_t *x)
{
    const lspo_workload_t *w = x->b->workload;
    if (w->accumulation % x->replicas != 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "--accumulation %u cannot be divided among --replicas %u: it counts the micro-batches of a "
                          "step of all replicas together, and must be a multiple of their number",
                          w->accumulation, x->replicas);
    if (w->swap_activations > 0 && x->pipeline > 1)
        return lspo_error(LSPO_ERR_INPUT, "--swap-activations %u needs --pipeline 1, not %u", w->swap_activations,
                          x->pipeline);
    return LSPO_OK;
}

static lspo_status_t take_room(lspo_axonn_t *x)
{
    const lspo_builder_t *b = x->b;
    const size_t replicas = x->replicas, messages = (size_t)x->pipeline * x->micros;
    x->first = calloc(b->stage_count, sizeof *x->first);
    x->devices = calloc(replicas * x->pipeline, sizeof *x->devices);
    x->stages = malloc(replicas * b->stage_count * sizeof *x->stages);
    for (uint32_t s = 0; x->first && s < b->stage_count; s++) {
        x->first[s] = x->bucket_count;
        x->bucket_count += b->stages[s].trained ? b->stages[s].parts : 0;
    }
    x->visits = malloc((replicas * x->bucket_count + 1) * sizeof *x->visits);
    x->sums = no_ops(replicas * x->bucket_count);
    x->waits = no_ops(replicas + x->pipeline + 1);
    x->activation = no_ops(messages);
    x->gradient = no_ops(messages);
    x->returned = no_ops(x->micros);
    x->shares = no_ops(replicas);
    x->tied_back = no_ops(replicas);
    if (!x->first || !x->devices || !x->stages || !x->visits || !x->sums || !x->waits || !x->activation ||
        !x->gradient || !x->returned || !x->shares || !x->tied_back)
        return lspo_no_memory("a plan of %u buckets", x->bucket_count);
    for (size_t i = 0; i < replicas * x->bucket_count; i++)
        x->visits[i] = lspo_visit_none;
    for (size_t i = 0; i < replicas * b->stage_count; i++)
        x->stages[i] = b->stages[i % b->stage_count];
    return LSPO_OK;
}

static void release(lspo_axonn_t *x)
{
    for (uint32_t p = 0; x->devices && p < x->pipeline * x->replicas; p++)
        lspo_visit_slots_release(&x->devices[p].slots);
    free(x->tied_back);
    free(x->shares);
    free(x->returned);
    free(x->gradient);
    free(x->activation);
    free(x->waits);
    free(x->sums);
    free(x->visits);
    free(x->stages);
    free(x->devices);
    free(x->first);
}

static lspo_status_t prepare(lspo_axonn_t *x)
{
    lspo_status_t status = check(x);
    if (status == LSPO_OK)
        status = take_room(x);
    if (status == LSPO_OK)
        status = make_devices(x);
    return status == LSPO_OK ? static_memory(x) : status;
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_axonn_values_t *own = lspo_axonn_values_of(b->workload);
    lspo_build_stage_t *stages = b->stages;
    lspo_axonn_t x = {.b = b,
                      .pipeline = own->pipeline,
                      .replicas = own->replicas,
                      .micros = b->workload->accumulation / own->replicas,
                      .message_driven = own->pipeline_order == LSPO_PIPELINE_ORDER_MESSAGE,
                      .gpipe = own->pipeline_order == LSPO_PIPELINE_ORDER_GPIPE && own->pipeline > 1,
                      .tied = b->model->tied_head && own->pipeline > 1};
    b->status = prepare(&x);
    b->micro_count = x.micros;
    b->norm_known = x.replicas > 1; /* before the sum nothing is squared */
    for (uint32_t i = 0; b->status == LSPO_OK && i < b->workload->iterations; i++)
        step(&x, i);
    release(&x);
    b->stages = stages; /* the caller's */
    return b->status;
}

static uint32_t count_peers(const lspo_workload_t *workload)
{
    const lspo_axonn_values_t *own = lspo_axonn_values_of(workload);
    return own->pipeline * own->replicas;
}

static bool receives(const lspo_plan_t *plan, const lspo_op_t *op, uint32_t peer)
{
    const uint32_t pipeline = lspo_axonn_values_of(&plan->workload)->pipeline, from = plan->lanes.list[op->lane].peer;
    const bool same_replica = peer / pipeline == from / pipeline;
    switch (op->variant) {
    case LSPO_VARIANT_SHARE:
    case LSPO_VARIANT_SUM:
        return peer != from && peer % pipeline == from % pipeline;
    case LSPO_VARIANT_NORM_SCALAR:
        return peer != from && same_replica;
    case LSPO_VARIANT_PARAMETERS: /* the tied embedding's */
        return same_replica && (peer + 1) % pipeline == 0;
    case LSPO_VARIANT_GRADIENT: /* that of the embedding, or of a stage's input */
        return op->layer == 0 ? same_replica && peer % pipeline == 0 : peer + 1 == from;
    default:
        return peer == from + 1;
    }
}

void lspo_axonn_sum_range(const lspo_plan_t *plan, const lspo_op_t *op, uint64_t elements, uint64_t *first_out,
                          uint64_t *count_out)
{
    const uint32_t parts = lspo_chunk_count(plan, elements);
    const uint32_t together = lspo_axonn_values_of(&plan->workload)->reduce_buckets;
    const uint32_t last = parts - op->micro < together ? parts - 1 : op->micro + together - 1;
    uint64_t last_first;
    lspo_chunk_elements(plan, elements, op->micro, first_out);
    const uint64_t last_count = lspo_chunk_elements(plan, elements, last, &last_first);
    *count_out = last_first + last_count - *first_out;
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

static double blocks_of_model(const lspo_parameter_context_t *context)
{
    return context->model->block_count;
}

static const lspo_parameter_t pipeline = {
    .key = "pipeline",
    .value = "G",
    .unit = "GPUs",
    .help = "GPUs of a pipeline, each with its own part of the layers, its own host and a network lane",
    .kind = LSPO_RECORD_U32,
    .preset = 1,
    .low = 1,
    .high_of = blocks_of_model,
    .high_is = "the model's number of blocks",
    .affects = LSPO_AFFECTS_PLAN,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const lspo_parameter_t replicas = {
    .key = "replicas",
    .value = "R",
    .unit = "pipelines",
    .help = "pipelines that share the micro-batches of a step and sum their gradients; divides --accumulation",
    .kind = LSPO_RECORD_U32,
    .preset = 1,
    .low = 1,
    .high = 1024,
    .affects = LSPO_AFFECTS_PLAN,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const char *const pipeline_order_names[] = {"message", "1f1b", "gpipe", NULL};

static const lspo_parameter_t pipeline_order = {
    .key = "pipeline-order",
    .value = "message|1f1b|gpipe",
    .help = "what a GPU of a pipeline does next: what came first, backward and forward in turn, or all forward first",
    .kind = LSPO_RECORD_NAMED,
    .names = pipeline_order_names,
    .preset = LSPO_PIPELINE_ORDER_MESSAGE,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t reduce_buckets = {
    .key = "reduce-buckets",
    .value = "N",
    .unit = "buckets",
    .help = "buckets of a layer whose gradients replicas sum in one go",
    .kind = LSPO_RECORD_U32,
    .preset = 4,
    .low = 1,
    .high = 1000000,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_bucket_size, offsetof(lspo_axonn_values_t, bucket_size), true, NULL},
    {&bucket_slots, offsetof(lspo_axonn_values_t, bucket_slots), true, NULL},
    {&pipeline, offsetof(lspo_axonn_values_t, pipeline), false, NULL},
    {&replicas, offsetof(lspo_axonn_values_t, replicas), false, NULL},
    {&pipeline_order, offsetof(lspo_axonn_values_t, pipeline_order), false, NULL},
    {&reduce_buckets, offsetof(lspo_axonn_values_t, reduce_buckets), false, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_axonn_values_t, optimizer_state), false, NULL},
};
const lspo_parameters_t lspo_axonn_parameters = LSPO_PARAMETERS(uses, lspo_axonn_values_t);

const lspo_policy_t lspo_policy_axonn = {
    .name = "axonn",
    .help =
        "fp32 parameters and optimizer state on the CPU; the GPU fetches them bucket by bucket and updates there; also "
        "in replicas of a pipeline of GPUs",
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
    .count_peers = count_peers,
    .receives = receives,
};
