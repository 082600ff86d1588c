/* fusion: a pipeline of peers of unequal speed, memory and links.                             [Tang et al., FusionAI]
 *
 * Each peer of the chain (plan/chain.h) has consecutive stages: their weights, gradients and optimizer state, and
 * updates them.  Micro-batches pass all of them forward and backward.  With C_p the time of a micro-batch on peer p,
 * N_p that of what it sends for it (activations to the next peer, a gradient to the one before), M micro-batches take
 * about  sum over p of (C_p + N_p) + (M - 1) max over p of max(C_p, N_p).  sim/partition.h finds the chain with the
 * least maximum.  The paper's own equations are not to be had.
 *     1f1b     peer p of P goes forward P - p times, and then backward and forward in turn
 *     gpipe    all forward, then all backward
 * The passes are those of axonn (axonn_passes.c); plan/place.h gives each peer its profile and each message its link.
 *
 * With --compress-links R, links carry only the largest numbers of activations and their gradients [Tang et al.,
 * FusionLLM, arXiv 2410.12707: AdaTopK], the more of them the faster they are (plan/largest.h; how the ratio follows
 * the links is stated there, not theirs).  COMPRESS chooses them on the sender's GPU, APPLY puts them at their places
 * on the receiver's.  With --link-feedback what is not sent of a gradient stays with the sender, who adds it to the
 * next one.
 *
 * With --clip a peer adds the squares of its gradients to the sum of the peers before it and sends that on; the last
 * one knows the norm, which goes back the same way.  A tied head has a copy of the token embedding: its gradient goes
 * to the first peer, and the updated embedding comes back. */
#include "plan/policies/fusion.h"

#include <math.h>
#include <stdlib.h>

#include "base/texts.h"
#include "plan/chain.h"
#include "plan/largest.h"
#include "plan/place.h"
#include "plan/policies.h"
#include "plan/policies/axonn_grid.h"
#include "plan/policies/shared.h"

/* ---- after the passes ---- */

/* SEND of a norm is about no micro-batch, but goes down the chain or back. */
enum { GOES_DOWN, GOES_BACK };

static lspo_op_id_t send_sum(const lspo_axonn_t *x, uint32_t iteration, uint32_t stage, uint32_t way,
                             lspo_op_id_t behind)
{
    lspo_op_id_t id = lspo_build_message(x->b, &(lspo_build_message_t){.variant = LSPO_VARIANT_NORM_SCALAR,
                                                                       .stage = stage,
                                                                       .iteration = iteration,
                                                                       .micro = way,
                                                                       .bytes = sizeof(float),
                                                                       .messages = 1});
    lspo_build_depend(x->b, behind);
    return id;
}

/* Down the chain with sums, up again with the norm: device->norm is what updates wait for. */
static void norms(const lspo_axonn_t *x, uint32_t iteration)
{
    lspo_op_id_t sum = LSPO_NO_OP;
    for (uint32_t d = 0; x->b->workload->clip_norm > 0 && d < x->pipeline; d++) {
        lspo_axonn_device_t *device = lspo_axonn_device(x, 0, d);
        lspo_axonn_enter(x, 0, d);
        device->norm = lspo_build_op(x->b, LSPO_OP_NORM, LSPO_VARIANT_NONE, device->last, iteration);
        lspo_build_depend(x->b, device->backward);
        lspo_build_depend(x->b, sum);
        if (d + 1 < x->pipeline)
            sum = send_sum(x, iteration, device->last, GOES_DOWN, device->norm);
    }
    for (uint32_t d = x->pipeline - 1; x->b->workload->clip_norm > 0 && d > 0; d--) {
        lspo_axonn_enter(x, 0, d);
        lspo_axonn_device_t *before = lspo_axonn_device(x, 0, d - 1);
        before->norm = send_sum(x, iteration, before->last, GOES_BACK, lspo_axonn_device(x, 0, d)->norm);
    }
}

/* The new embedding comes to the last peer. */
static void return_tied(const lspo_axonn_t *x, uint32_t iteration)
{
    lspo_builder_t *b = x->b;
    const lspo_op_id_t sent = lspo_build_message(b, &(lspo_build_message_t){.variant = LSPO_VARIANT_PARAMETERS,
                                                                            .iteration = iteration,
                                                                            .bytes = lspo_axonn_tied_bytes(b),
                                                                            .messages = 1});
    lspo_build_depend(b, b->stages[0].ready);
    lspo_axonn_enter(x, 0, x->pipeline - 1);
    x->tied_back[0] = lspo_build_op(b, LSPO_OP_APPLY, LSPO_VARIANT_NONE, 0, iteration);
    lspo_build_depend(b, sent);
    lspo_build_depend(b, lspo_axonn_device(x, 0, x->pipeline - 1)->backward);
}

static void step(lspo_axonn_t *x, uint32_t iteration)
{
    lspo_axonn_passes(x, iteration, 0);
    norms(x, iteration);
    for (uint32_t d = 0; d < x->pipeline; d++) {
        const lspo_axonn_device_t *device = lspo_axonn_device(x, 0, d);
        const lspo_op_id_t wait = device->norm != LSPO_NO_OP ? device->norm : device->backward;
        lspo_axonn_enter(x, 0, d);
        for (uint32_t s = device->first; s <= device->last; s++)
            if (x->b->stages[s].trained)
                lspo_build_update_gpu(x->b, iteration, s, wait);
        if (d == 0 && x->tied && x->b->stages[0].trained)
            return_tied(x, iteration);
    }
}

/* ---- memory ---- */

static lspo_footprint_t footprint_of(const lspo_axonn_t *x, uint32_t d)
{
    const lspo_builder_t *b = x->b;
    lspo_footprint_t f = {.gpu_workspace_bytes = b->activations.workspace_bytes};
    const lspo_axonn_device_t *device = lspo_axonn_device(x, 0, d);
    for (uint32_t s = device->first; s <= device->last; s++) {
        f.gpu_parameters_bytes += b->stages[s].parameter_bytes;
        f.gpu_optimizer_bytes += b->stages[s].optimizer_bytes;
    }
    if (x->tied && d + 1 == x->pipeline)
        f.gpu_parameters_bytes += lspo_axonn_tied_bytes(b);
    const bool compresses_back = d > 0 && lspo_axonn_device(x, 0, d - 1)->kept > 0;
    const uint64_t numbers = b->activations.input_bytes / lspo_precision_bytes(b->workload->precision);
    if (device->kept > 0 || compresses_back)
        f.gpu_workspace_bytes += lspo_largest_scratch_bytes(numbers);
    if (x->feedback && compresses_back)
        f.gpu_gradients_bytes += b->activations.input_bytes;
    return f;
}

/* The plan's footprint is that of the peer that needs most. */
static lspo_status_t static_memory(const lspo_axonn_t *x)
{
    lspo_plan_t *plan = x->b->plan;
    plan->peer_static = malloc(x->pipeline * sizeof *plan->peer_static);
    if (plan->peer_static == NULL)
        return lspo_no_memory("%u peers", x->pipeline);
    for (uint32_t d = 0; d < x->pipeline; d++) {
        const lspo_footprint_t f = footprint_of(x, d);
        plan->peer_static[d] = (lspo_peer_static_t){.gpu_bytes = lspo_footprint_gpu_bytes(&f)};
        if (lspo_footprint_gpu_bytes(&f) > lspo_footprint_gpu_bytes(&plan->footprint))
            plan->footprint = f;
    }
    return LSPO_OK;
}

/* ---- the chain ---- */

/* The plan's workload names the chain in any case. */
static lspo_status_t read_chain(const lspo_builder_t *b, const lspo_network_t *network, lspo_chain_t *chain_out)
{
    const uint32_t text = lspo_fusion_values_of(b->workload)->chain;
    char *even = NULL;
    if (text != 0)
        return lspo_chain_parse("--chain", lspo_text_of(text), network, b->stage_count, chain_out);
    lspo_status_t status = lspo_chain_even(network, b->stage_count, chain_out);
    if (status == LSPO_OK)
        status = lspo_chain_write(chain_out, network, &even);
    if (status == LSPO_OK)
        status = lspo_text_number(even, &lspo_fusion_values_edit(&b->plan->workload)->chain);
    free(even);
    return status;
}

/* Peer 0 has the plan's first lanes. */
static void make_devices(const lspo_axonn_t *x, const lspo_chain_t *chain)
{
    uint32_t stage = 0;
    for (uint32_t d = 0; d < x->pipeline; d++) {
        lspo_axonn_device_t *device = lspo_axonn_device(x, 0, d);
        device->first = stage;
        stage += chain->peers[d].stages;
        device->last = stage - 1;
        device->latest = LSPO_NO_OP;
        for (int kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++)
            device->lanes[kind] = d == 0 && kind < LSPO_DEVICE_LANES ? (uint32_t)kind : LSPO_NO_LANE;
        if (d > 0)
            device->lanes[LSPO_LANE_GPU] = lspo_build_lane(x->b, &(lspo_lane_t){.peer = d, .kind = LSPO_LANE_GPU});
        if (x->pipeline > 1)
            device->lanes[LSPO_LANE_NET] = lspo_build_lane(x->b, &(lspo_lane_t){.peer = d, .kind = LSPO_LANE_NET});
    }
}

/* Nothing would come back from a peer with layers that have no backward. */
static lspo_status_t check_first(const lspo_builder_t *b, const lspo_chain_t *chain)
{
    if (chain->count == 1 || chain->peers[0].stages > 1 || b->stages[0].trained)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "--chain: the first peer has only the embedding, which this training leaves as "
                                      "it is: give it a block, or --train-rest on");
}

/* ---- compression ---- */

static double link_time_s(const lspo_network_t *network, const lspo_chain_t *chain, uint32_t d, uint64_t bytes)
{
    return (double)bytes / lspo_network_link(network, chain->peers[d].kind, chain->peers[d + 1].kind)->Bps;
}

/* What is sent over each link of the chain: plan/largest.h. */
static void choose_ratios(const lspo_axonn_t *x, const lspo_chain_t *chain, const lspo_network_t *network)
{
    const double most = lspo_fusion_values_of(x->b->workload)->compress_links;
    const uint64_t p = lspo_precision_bytes(x->b->workload->precision);
    const uint64_t bytes = x->b->activations.input_bytes;
    double slowest_s = 0;
    for (uint32_t d = 0; d + 1 < x->pipeline; d++)
        slowest_s = fmax(slowest_s, link_time_s(network, chain, d, bytes));
    for (uint32_t d = 0; most > 1 && d + 1 < x->pipeline; d++)
        lspo_axonn_device(x, 0, d)->kept =
            lspo_largest_kept(bytes / p, p, lspo_largest_ratio(most, link_time_s(network, chain, d, bytes), slowest_s));
}

static lspo_op_id_t *no_ops(size_t count)
{
    lspo_op_id_t *ids = malloc((count + 1) * sizeof *ids);
    for (size_t i = 0; ids && i < count; i++)
        ids[i] = LSPO_NO_OP;
    return ids;
}

static lspo_status_t take_room(lspo_axonn_t *x)
{
    const size_t messages = (size_t)x->pipeline * x->micros;
    x->devices = calloc(x->pipeline, sizeof *x->devices);
    x->activation = no_ops(messages);
    x->gradient = no_ops(messages);
    x->returned = no_ops(x->micros);
    x->tied_back = no_ops(1);
    x->b->plan->peer_kinds = malloc(x->pipeline * sizeof *x->b->plan->peer_kinds);
    if (!x->devices || !x->activation || !x->gradient || !x->returned || !x->tied_back || !x->b->plan->peer_kinds)
        return lspo_no_memory("a plan of %u peers", x->pipeline);
    return LSPO_OK;
}

static lspo_status_t build_chain(lspo_builder_t *b, const lspo_chain_t *chain, lspo_network_t *network)
{
    lspo_axonn_t x = {.b = b,
                      .pipeline = chain->count,
                      .replicas = 1,
                      .micros = b->workload->accumulation,
                      .gpipe =
                          lspo_fusion_values_of(b->workload)->peer_order == LSPO_PEER_ORDER_GPIPE && chain->count > 1,
                      .tied = b->model->tied_head && chain->count > 1,
                      .feedback = lspo_fusion_values_of(b->workload)->link_feedback,
                      .stages = b->stages};
    b->status = check_first(b, chain);
    if (b->status == LSPO_OK)
        b->status = take_room(&x);
    if (b->status == LSPO_OK) {
        make_devices(&x, chain);
        choose_ratios(&x, chain, network);
        b->status = b->status == LSPO_OK ? static_memory(&x) : b->status;
    }
    for (uint32_t i = 0; b->status == LSPO_OK && i < b->workload->iterations; i++)
        step(&x, i);
    for (uint32_t d = 0; b->status == LSPO_OK && d < x.pipeline; d++)
        b->plan->peer_kinds[d] = chain->peers[d].kind;
    if (b->status == LSPO_OK)
        b->status = lspo_place_plan(b->plan, b->plan->peer_kinds, network);
    free(x.tied_back);
    free(x.returned);
    free(x.gradient);
    free(x.activation);
    free(x.devices);
    return b->status;
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_fusion_values_t *own = lspo_fusion_values_of(b->workload);
    lspo_network_t network = {0};
    lspo_chain_t chain = {0};
    if (own->peers == 0 && own->chain != 0)
        return lspo_error(LSPO_ERR_INPUT, "--chain %s needs a file of peers: --peers FILE", lspo_text_of(own->chain));
    if (own->peers == 0 && own->compress_links > 1)
        return lspo_error(LSPO_ERR_INPUT, "--compress-links %g needs a file of peers: --peers FILE",
                          own->compress_links);
    if (own->peers == 0)
        return lspo_build_on_gpu(b);
    if (own->compress_links > 1 && own->link_feedback && b->workload->precision == LSPO_FP16 &&
        b->workload->clip_norm > 0)
        return lspo_error(LSPO_ERR_INPUT, "--link-feedback on excludes --clip in fp16, whose loss scale follows the "
                                          "norms, so that gradients of two steps have different scales");
    if (b->workload->swap_activations > 0)
        return lspo_error(LSPO_ERR_INPUT, "--swap-activations %u excludes --peers", b->workload->swap_activations);
    lspo_status_t status = lspo_network_read(lspo_text_of(own->peers), &network);
    if (status == LSPO_OK)
        status = read_chain(b, &network, &chain);
    if (status == LSPO_OK)
        status = build_chain(b, &chain, &network);
    lspo_chain_release(&chain);
    lspo_network_release(&network);
    return status;
}

static lspo_status_t check_trains(const lspo_workload_t *workload)
{
    const lspo_fusion_values_t *own = lspo_fusion_values_of(workload);
    if (own->peers == 0)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "--peers %s: lspo train has one device; lspo run executes chains of peers",
                      lspo_text_of(own->peers));
}

/* An open chain is one of several peers: a plan has none. */
static uint32_t count_peers(const lspo_workload_t *workload)
{
    const lspo_fusion_values_t *own = lspo_fusion_values_of(workload);
    if (own->peers == 0)
        return 1;
    return own->chain != 0 ? lspo_chain_peer_count(lspo_text_of(own->chain)) : UINT32_MAX;
}

/* All but the norm on its way back goes to the next peer, or a gradient to the one before; a tied embedding's is the
 * first one's, whose new parameters are the last one's. */
static bool receives(const lspo_plan_t *plan, const lspo_op_t *op, uint32_t peer)
{
    const uint32_t from = plan->lanes.list[op->lane].peer;
    const lspo_op_t *sent = op->variant == LSPO_VARIANT_DELAY ? &plan->ops[plan->deps[op->dep_first]] : op;
    switch (sent->variant) {
    case LSPO_VARIANT_NORM_SCALAR:
        return peer == (sent->micro == GOES_BACK ? from - 1 : from + 1);
    case LSPO_VARIANT_PARAMETERS:
        return peer + 1 == count_peers(&plan->workload);
    case LSPO_VARIANT_GRADIENT:
        return sent->layer == 0 ? peer == 0 : peer + 1 == from;
    default:
        return peer == from + 1;
    }
}

/* ---- parameters of the policy ---- */

static const char *const no_peers[] = {"none", NULL}, *const open_chain[] = {"auto", NULL};

const lspo_parameter_t lspo_parameter_peers = {
    .key = "peers",
    .value = "FILE",
    .help = "a file of peers with their speed, memory and links, see docs/peers.md; none: one peer, the machine",
    .kind = LSPO_RECORD_TEXT,
    .names = no_peers,
    .affects = LSPO_AFFECTS_PLAN,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

const lspo_parameter_t lspo_parameter_chain = {
    .key = "chain",
    .value = "KIND*N:S/...",
    .help = "the peers in the order of the pipeline: N of a kind with S stages each; auto: the fastest that fits",
    .kind = LSPO_RECORD_TEXT,
    .names = open_chain,
    .affects = LSPO_AFFECTS_PLAN,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const char *const peer_order_names[] = {"1f1b", "gpipe", NULL};

static const lspo_parameter_t peer_order = {
    .key = "peer-order",
    .value = "1f1b|gpipe",
    .help = "what a peer does next: backward and forward in turn, or all forward first",
    .kind = LSPO_RECORD_NAMED,
    .names = peer_order_names,
    .preset = LSPO_PEER_ORDER_1F1B,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t compress_ratio = {
    .key = "compress-links",
    .value = "R",
    .help = "send one in R of the numbers of activations and gradients over the slowest link, the largest; on faster "
            "links more; 1: all",
    .kind = LSPO_RECORD_REAL,
    .preset = 1,
    .low = 1,
    .high = 1000000,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_t link_feedback = {
    .key = "link-feedback",
    .value = "on|off",
    .help = "with --compress-links, add what was not sent of a gradient to the next one over the same link",
    .kind = LSPO_RECORD_BOOL,
    .preset = 1,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_peers, offsetof(lspo_fusion_values_t, peers), false, NULL},
    {&lspo_parameter_chain, offsetof(lspo_fusion_values_t, chain), false, NULL},
    {&peer_order, offsetof(lspo_fusion_values_t, peer_order), false, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_fusion_values_t, optimizer_state), false, NULL},
    {&compress_ratio, offsetof(lspo_fusion_values_t, compress_links), false, NULL},
    {&link_feedback, offsetof(lspo_fusion_values_t, link_feedback), false, NULL},
};
const lspo_parameters_t lspo_fusion_parameters = LSPO_PARAMETERS(uses, lspo_fusion_values_t);

const lspo_policy_t lspo_policy_fusion = {
    .name = "fusion",
    .help =
        "a pipeline of peers of unequal speed, memory and links, each with a part of the layers; one peer is as native",
    .citation = "Tang et al., FusionAI, arXiv 2309.01172",
    .example = "lspo sim --policy fusion --peers peers.ini --model llama-7b --machine rtx3080 --accumulation 32",
    .parameters = &lspo_fusion_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .clip_help = "norm of the full gradient, which goes down the chain of peers and up again",
    .train_rest_default = true,
    .of_peers = true,
    .method = "adam",
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
    .check_trains = check_trains,
    .count_peers = count_peers,
    .receives = receives,
};
