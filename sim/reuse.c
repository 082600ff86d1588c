/* reuse.c - the share of an op's operands that is in the GPU's cache, from the reuse distance; see reuse.h. */
#include "sim/reuse.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "plan/place.h"
#include "plan/policy.h"

static bool has_kernel(const lspo_work_t *work, lspo_kernel_class_t kernel_class)
{
    for (uint32_t i = 0; i < work->kernel_count; i++)
        if (work->kernels[i].kernel_class == kernel_class)
            return true;
    return false;
}

static bool touches_far_bytes(lspo_kernel_class_t kernel_class)
{
    return kernel_class == LSPO_KERNEL_EXPAND || kernel_class == LSPO_KERNEL_ROWS ||
           kernel_class == LSPO_KERNEL_FEW_ROWS || kernel_class == LSPO_KERNEL_CACHE;
}

uint64_t lspo_reuse_touched_bytes(const lspo_plan_t *plan, const lspo_op_t *op)
{
    const lspo_work_t *work = &plan->works[op->work];
    bool multiplies = has_kernel(work, LSPO_KERNEL_GEMM);
    uint64_t bytes = op->gpu_alloc_bytes + op->gpu_free_bytes;
    for (uint32_t i = 0; i < work->kernel_count; i++) {
        const lspo_kernel_t *kernel = &work->kernels[i];
        if (kernel->kernel_class == LSPO_KERNEL_GEMM)
            bytes += kernel->layout == LSPO_LAYOUT_TN ? 0 : kernel->far_bytes;
        else if (touches_far_bytes(kernel->kernel_class))
            bytes += kernel->far_bytes;
        else if (kernel->kernel_class == LSPO_KERNEL_ADAM)
            bytes +=
                (uint64_t)((double)kernel->elements * lspo_optimizer_state_held_bytes(kernel->state, kernel->weights));
        else if (!multiplies)
            bytes += kernel->bytes / 2;
    }
    return bytes;
}

/* Of a GPU, with the share that is left after cache_bytes.  kept_s 0: what is in it stays there. */
typedef struct {
    double near_bytes, cache_bytes, left, kept_s;
} cache_t;

static double share_at(const cache_t *cache, double distance_bytes)
{
    double near_bytes = cache->near_bytes, cache_bytes = cache->cache_bytes;
    if (distance_bytes >= cache_bytes && cache->left == 0)
        return 0;
    if (distance_bytes <= near_bytes || near_bytes <= 0)
        return 1;
    if (cache_bytes <= near_bytes)
        return cache->left;
    return fmax(0, 1 - (1 - cache->left) * log(distance_bytes / near_bytes) / log(cache_bytes / near_bytes));
}

/* What others have left of it. */
static double left_after(const cache_t *cache, double s)
{
    return cache->kept_s > 0 ? exp(-(s / cache->kept_s) * (s / cache->kept_s)) : 1;
}

/* For each layer, the total bytes that a GPU had touched when it last worked on it; 0: never. */
typedef struct {
    uint64_t *layer_bytes, *adam_bytes;
    uint64_t *layer_ns;           /* when that ended */
    uint64_t *start_ns, *lane_ns; /* of each op; when each lane is free */
    uint32_t *counts;             /* by work: ops whose distance is known */
    cache_t *caches;              /* by work */
    lspo_op_id_t *next;           /* of each op: the next one on its lane */
    lspo_op_id_t *first;          /* by lane; LSPO_NO_OP: none */
    uint64_t total_bytes;         /* the most that one GPU touches in the plan */
} history_t;

static void link_ops(const lspo_plan_t *plan, history_t *history)
{
    for (uint32_t lane = 0; lane < plan->lanes.count; lane++)
        history->first[lane] = LSPO_NO_OP;
    for (lspo_op_id_t id = plan->op_count; id-- > 0;) {
        history->next[id] = history->first[plan->ops[id].lane];
        history->first[plan->ops[id].lane] = id;
    }
}

/* Each op starts when its lane and what it waits for have ended; lanes take them in the order of their ids. */
static void time_ops(const lspo_plan_t *plan, const uint64_t *op_ns, history_t *history)
{
    for (lspo_op_id_t id = 0; op_ns != NULL && id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        uint64_t start_ns = history->lane_ns[op->lane];
        for (uint32_t d = 0; d < op->dep_count; d++) {
            const lspo_op_id_t dep = plan->deps[op->dep_first + d];
            const uint64_t end_ns = history->start_ns[dep] + op_ns[dep];
            start_ns = end_ns > start_ns ? end_ns : start_ns;
        }
        history->start_ns[id] = start_ns;
        history->lane_ns[op->lane] = start_ns + op_ns[id];
    }
}

/* What rebuilds a cache reads a part of the weights; the FWD behind it finds the others as FWD left them. */
static bool is_use(const lspo_op_t *op)
{
    return op->kind != LSPO_OP_RECOMPUTE || op->variant != LSPO_VARIANT_CACHE;
}

/* The ops of one GPU lane, which has its own cache. */
static void walk_lane(const lspo_plan_t *plan, uint32_t lane, const uint64_t *op_ns, history_t *history, double *shares)
{
    uint64_t now_bytes = 0;
    for (lspo_op_id_t id = history->first[lane]; id != LSPO_NO_OP; id = history->next[id]) {
        const lspo_op_t *op = &plan->ops[id];
        const cache_t *cache = &history->caches[op->work];
        bool adam = has_kernel(&plan->works[op->work], LSPO_KERNEL_ADAM);
        uint64_t last_bytes = adam ? history->adam_bytes[op->layer] : history->layer_bytes[op->layer];
        now_bytes += lspo_reuse_touched_bytes(plan, op);
        if (last_bytes > 0) {
            const double age_s = 1e-9 * (double)(history->start_ns[id] - history->layer_ns[op->layer]);
            shares[op->work] += share_at(cache, (double)(now_bytes - last_bytes)) * left_after(cache, age_s);
            history->counts[op->work]++;
        }
        if (is_use(op)) {
            history->layer_bytes[op->layer] = now_bytes;
            history->layer_ns[op->layer] = history->start_ns[id] + (op_ns != NULL ? op_ns[id] : 0);
        }
        if (adam)
            history->adam_bytes[op->layer] = now_bytes;
    }
    for (lspo_op_id_t id = history->first[lane]; id != LSPO_NO_OP; id = history->next[id])
        history->layer_bytes[plan->ops[id].layer] = history->adam_bytes[plan->ops[id].layer] = 0;
    if (now_bytes > history->total_bytes)
        history->total_bytes = now_bytes;
}

static void walk(const lspo_plan_t *plan, const uint64_t *op_ns, history_t *history, double *shares)
{
    link_ops(plan, history);
    time_ops(plan, op_ns, history);
    for (uint32_t lane = 0; lane < plan->lanes.count; lane++)
        if (plan->lanes.list[lane].kind == LSPO_LANE_GPU)
            walk_lane(plan, lane, op_ns, history, shares);
    for (uint32_t work = 0; work < plan->work_count; work++)
        if (history->counts[work] > 0)
            shares[work] /= history->counts[work];
        else
            shares[work] = share_at(&history->caches[work], (double)history->total_bytes);
}

/* Returns whether any GPU has a cache. */
static bool find_caches(const lspo_machine_t *machine, const lspo_plan_t *plan, cache_t *caches)
{
    const bool generates = plan->policy != NULL && plan->policy->task == LSPO_TASK_GENERATE;
    bool any = false;
    for (uint32_t work = 0; work < plan->work_count; work++) {
        lspo_machine_t own;
        double speed;
        const lspo_machine_t *m = lspo_place_machine(plan, machine, work, &own, &speed);
        caches[work] = (cache_t){m->gpu.near_bytes, m->gpu.cache_bytes, 0, generates ? m->gpu.kept_s : 0};
        if (generates && m->gpu.kept_bytes > 0) {
            if (m->gpu.kept_all_bytes > 0)
                caches[work].near_bytes = m->gpu.kept_all_bytes;
            caches[work].cache_bytes = m->gpu.kept_bytes;
            caches[work].left = m->gpu.kept_share;
        }
        any |= m->gpu.cache_bytes > 0;
    }
    return any;
}

lspo_status_t lspo_reuse_shares(const lspo_machine_t *machine, const lspo_plan_t *plan, const uint64_t *op_ns,
                                double *shares_out)
{
    size_t layers = (size_t)UINT16_MAX + 1;
    memset(shares_out, 0, plan->work_count * sizeof *shares_out);
    if (!(machine->gpu.cache_bytes > 0) && plan->network.kind_count == 0)
        return LSPO_OK;
    history_t history = {.layer_bytes = calloc(layers, sizeof *history.layer_bytes),
                         .adam_bytes = calloc(layers, sizeof *history.adam_bytes),
                         .layer_ns = calloc(layers, sizeof *history.layer_ns),
                         .start_ns = calloc((size_t)plan->op_count + 1, sizeof *history.start_ns),
                         .lane_ns = calloc((size_t)plan->lanes.count + 1, sizeof *history.lane_ns),
                         .counts = calloc((size_t)plan->work_count + 1, sizeof *history.counts),
                         .caches = calloc((size_t)plan->work_count + 1, sizeof *history.caches),
                         .next = calloc((size_t)plan->op_count + 1, sizeof *history.next),
                         .first = calloc((size_t)plan->lanes.count + 1, sizeof *history.first)};
    lspo_status_t status = LSPO_OK;
    const bool room = history.layer_bytes && history.adam_bytes && history.layer_ns && history.start_ns &&
                      history.lane_ns && history.counts && history.caches && history.next && history.first;
    if (room && find_caches(machine, plan, history.caches))
        walk(plan, op_ns, &history, shares_out);
    if (!room)
        status = lspo_no_memory("the reuse distances of %u works", plan->work_count);
    free(history.first);
    free(history.next);
    free(history.caches);
    free(history.counts);
    free(history.lane_ns);
    free(history.start_ns);
    free(history.layer_ns);
    free(history.adam_bytes);
    free(history.layer_bytes);
    return status;
}
