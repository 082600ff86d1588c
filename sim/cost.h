/* cost.h - the duration of a work that runs alone on a lane of a machine.
 *
 * Sum over the kernels of the work; flop, bytes and elements are totals of `count` equal launches, rates and latencies
 * those of the machine profile (plan/machine.h), p is the precision of the workload:
 *
 *     GPU lane        t = op_s + (T^p + H^p)^(1/p),  p = dispatch_power,  H = kernels x kernel_s on the host, and
 *                     T = sum of t_kernel / training_speed, in a backward pass that over (1 - backward_loss);
 *                     t_kernel = count launch_s +
 *       GEMM            flop / (gemm_flops[p] share(layout, m, n, k)) + (1 - h) far_bytes / gemm_memory_Bps[layout]
 *                       share: plan/products.h, or 1 / (1 + m_half/m + n_half/n + k_half/k) without a grid; without
 *                       a grid and gemm_memory_Bps at least  bytes / stream_Bps
 *       ATTENTION       flop / attention_flops (1 + sequence_half/sequence) (1 + width_half/head width), in a backward
 *                       pass at attention_backward_flops; without a grid and gemm_memory_Bps at most gemm_flops[p]
 *       NORM            bytes / norm_Bps             ACTIVATION   bytes / activation_Bps
 *       LOSS            bytes / loss_Bps             STREAM       bytes / stream_Bps
 *                       in a backward pass at norm_backward_Bps and so on, where the profile has them
 *       COLUMNS         bytes / columns_Bps, as STREAM without it; EXPAND likewise, of its kind
 *       FEW_ROWS        bytes / few_rows_Bps + flop / few_rows_flops, the shorter x (1 - few_rows_overlap), + count
 *                       few_rows_s; with 4-bit weights int4_*, without overlap; as STREAM without it, at most at
 *                       gemm_flops[p]
 *       CACHE           bytes / cache_Bps + flop / (4 head width cache_scores_pps) + count cache_s; as STREAM without
 *                       cache_Bps
 *       GATHER          flop / gather_flops + bytes / gather_Bps, the shorter x (1 - projector_overlap); SCATTER
 *                       likewise, its inner_flop at scatter_inner_flops
 *       ADAM            elements / adam_pps; with m and v in another format (plan/optimizer_state.h) x its traffic / 28
 *                     [software] (the framework) multiplies bytes of NORM, ACTIVATION, LOSS and STREAM by its factors
 *                     and Adam's time by gpu_adam_bytes / 28 (which includes bf16 with half_states), and divides
 *                     attention_flops by attention_share; if it
 *                     does not fuse attention, that takes  flop of all pairs at the rate of a GEMM sequence x sequence
 *                     x head width, + scores score_bytes / stream_Bps  (twice the bytes in fp32)
 *                     each rate x stands for 1 / (h / x_cached + (1 - h) / x) where the profile has x_cached
 *     D2H, H2D lanes  COPY: count latency_s + bytes / bandwidth_Bps of that direction, at most the framework's limit;
 *                     others (packing) as on the GPU
 *                     lane
 *     NET, SSD lanes  COPY: as on the links, with the rates of [net] and [ssd]; others as on the GPU lane
 *     CPU lane        t = op_s + sum over its kernels of
 *       ADAM            elements (h / adam_cached_pps + (1 - h) / adam_pps),  h = min(1, cache_bytes / state) with
 *                       state = 16 B per element: gradient, m, v and the result.  In another format, with a times the
 *                       arithmetic:  elements (a / adam_cached_pps + (1 - h) traffic / 28 / adam_pps), state = that of
 *                       the format; a from bench/bench_adam.c.  In a profile that is not calibrated
 *                       adam_cached_pps is no measure of arithmetic: both rates x 28 / traffic.  Where the profile has
 *                       the format's own rates, measured with fp32 weights, these count (adam_bf16_pps and so on); the
 *                       difference of their times scales with the traffic.  A pace is in parameters per second in every
 *                       format
 *       GEMM            flop / compute_flops, of Adam's bases (plan/adam_basis.h), whose operands stay in cache; over
 *                       share(layout, m, n, k) if compute_flops is gemm_flops[fp32]: then its cores are those of the
 *                       GPU lane, on which the grid was measured
 *       MAP             of_elements chunk_create_s + elements chunk_map_s + count chunk_access_s; where a profile has
 *                       none of these, those of an A100; + (of_elements + elements) chunk bytes / chunk_Bps
 *       others          max(flop / compute_flops, bytes / (28 B adam_pps)): the memory rate that Adam reaches, unpaced
 *
 * A work of peers that differ has the profile of its peer, and its times on the GPU lane are divided by the peer's
 * speed (plan/place.h).
 *
 * h on the GPU lane is the share of operands in cache; it depends on the bytes touched since their last use
 * (sim/reuse.h).  Not modelled: clock changes, kernels of one op overlapping.
 */
#ifndef LSPO_SIM_COST_H
#define LSPO_SIM_COST_H

#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/op.h"
#include "plan/plan.h"
#include "plan/work.h"
#include "plan/workload.h"

/* Where a work runs, whose model it is (the framework's factors depend on its family), and in which precision. */
typedef struct {
    const lspo_machine_t *machine;
    const lspo_model_t *model;
    lspo_precision_t precision;
} lspo_cost_context_t;

/* Duration of one work alone on `lane`, in seconds, with the share `cached` of the GPU's operands in its cache (0: all
 * in memory).  Infinite if the machine has no rate for a kernel. */
double lspo_cost_work_s(const lspo_cost_context_t *context, lspo_lane_kind_t lane, double cached,
                        const lspo_work_t *work);

/* Calls that make chunks of memory, map them, give access to them, and unmap ranges. */
typedef struct {
    uint64_t creates, maps, accesses, unmaps;
    double chunk_bytes;
} lspo_cost_calls_t;
double lspo_cost_map_s(const lspo_machine_t *machine, const lspo_cost_calls_t *calls);

/* Durations in ns of each work on each kind of lane where an op of the plan runs it: work_ns[work *
 * LSPO_LANE_KIND_COUNT + kind of lane]; 0 for pairs that no op uses; malloc'd.  LSPO_ERR_INPUT if one is above 11 days
 * or unknown. */
lspo_status_t lspo_cost_plan(const lspo_machine_t *machine, const lspo_plan_t *plan, uint64_t **work_ns_out);

/* The same for one op of the plan. */
static inline uint64_t lspo_cost_op_ns(const lspo_op_t *op, const uint64_t *work_ns)
{
    return work_ns[(uint64_t)op->work * LSPO_LANE_KIND_COUNT + lspo_op_kind_lane((lspo_op_kind_t)op->kind)];
}

#endif
