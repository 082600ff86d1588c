/* partition.h - which peers train which stages: the chain with the shortest time per micro-batch that fits in memory.
 *
 * There are n_k peers of each of K kinds, and S stages.  A chain is a sequence of some of the peers, each with
 * consecutive stages, at least one.  On a peer of kind k stage s takes time_s[k][s] per micro-batch, forward and
 * backward, and a message to a peer of kind q keeps the sender busy for send_s[k][q].  With C and N the sums of a
 * peer's stages and messages (activations to the next peer, a gradient to the one before), a full pipeline takes per
 * micro-batch
 *     T = max over peers of max(C, N)
 * The peer with r peers behind it holds min(M, r + 1) of M micro-batches (1f1b), or M (gpipe).  Its stages need,
 * together, static_bytes + micro-batches x (kept_bytes + message_bytes if r > 0, of what waits for the link or has come
 * over it), and the largest passing_bytes of one; at most memory_bytes[k].
 *
 * From the last stage on: f(j, u, k, l) is the least T of stages j .. S - 1 on u = (u_1 .. u_K) peers of each kind, the
 * first of which is of kind k and has one of kind l behind it.  Its messages are known with the peer before it:
 *     f(j, u + e_q, q, k) = min over i > j and l of
 *                           max(f(i, u, k, l), C_q(j .. i - 1), send[k][l] + send[k][q])
 * if stages j .. i - 1 fit on q.  The least T is that of the best f(0, u, k, l) with send[k][l] of its first peer.  So
 * all orders of the peers are searched, in at most S^2 K^3 prod (n_k + 1) steps (n_k counted up to S); parts that take
 * longer than the best chain so far are left out.
 *
 * Where K^3 prod (n_k + 1) is above LSPO_PARTITION_SETS, only the order of the file is searched, some peers left out; u
 * is then the place in that list, and all peers behind it count for r.  The list has the LSPO_PARTITION_LISTED peers
 * with the least time for all stages.
 *
 * Of the chains with the least T the one with the least sum of C, messages and latencies is taken, what a micro-batch
 * takes alone, by the same recurrence: h(j, u + e_q, q, k) = min of h(i, u, k, l) + C_q(j .. i - 1) + what passes
 * between q and k, where no C or N is above T.
 *
 * With compressed links (plan/largest.h) what a link sends follows from the slowest link of the chain.  So the above is
 * done once for each time tau that a link may take for all numbers: without slower links, and with what is sent if the
 * slowest takes tau.  A chain without a link that slow seems to send more than it does, and has its own time where tau
 * is that of its slowest link; the best of all is exact.  Choosing the numbers does not count.
 */
#ifndef LSPO_SIM_PARTITION_H
#define LSPO_SIM_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/chain.h"

enum { LSPO_PARTITION_SETS = 200000, LSPO_PARTITION_LISTED = 32 };

typedef struct {
    uint32_t kind_count, stage_count, micros;
    bool gpipe;
    const uint32_t *counts;         /* by kind */
    const double *time_s;           /* [kind][stage] */
    const double *send_s;           /* [from kind][to kind]; of all numbers */
    double most;                    /* R of the slowest link; at most 1: all numbers are sent */
    uint64_t numbers, number_bytes; /* of a message */
    const double *latency_s;        /* [from kind][to kind] */
    const double *memory_bytes;     /* by kind */
    const uint64_t *static_bytes;   /* by stage: weights, gradients, optimizer state */
    const uint64_t *kept_bytes;     /* by stage: of a micro-batch between forward and backward */
    const uint64_t *passing_bytes;  /* by stage: of the micro-batch that is computed */
    uint64_t message_bytes;         /* between two peers */
} lspo_partition_t;

typedef struct {
    lspo_chain_t chain;  /* the caller releases it; no peers: nothing fits */
    double bottleneck_s; /* T */
    double alone_s;      /* the sum that a micro-batch takes alone */
    bool any_order;      /* all orders were searched */
} lspo_partition_found_t;

lspo_status_t lspo_partition_solve(const lspo_partition_t *question, lspo_partition_found_t *found_out);

#endif
