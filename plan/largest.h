/* largest.h - messages of which only the largest numbers are sent, over links of different rates (--compress-links).
 *
 * n numbers of p bytes take t_e = n p / B_e on link e.  Of the slowest link's, which take T, one in R is sent, of the
 * others one in r_e = max(1, R t_e / T): K_e = ceil(n / r_e), each with an index of 4 bytes.  Where K_e (p + 4) is not
 * less than n p, all are sent.  So what is compressed takes R times less, (p + 4) / p times more, on each link.
 *
 * The sender chooses: it forms magnitudes (4 n bytes), finds the least one that is sent by its bits, in three passes
 * over them, and lists the places of those above it (kernels/columns.h), in 12 n bytes of scratch.  With feedback it
 * adds what was not sent of the message before and keeps what is not sent of this one.  The receiver puts the numbers
 * at their places among zeros. */
#ifndef LSPO_PLAN_LARGEST_H
#define LSPO_PLAN_LARGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/work.h"

typedef struct {
    uint64_t count, number_bytes; /* n, p */
    uint64_t kept;                /* K; 0: all are sent */
    bool feedback;
} lspo_largest_t;

/* r of a link on which a message takes link_s, and K of it: 0 where all are sent. */
double lspo_largest_ratio(double most, double link_s, double slowest_s);
uint64_t lspo_largest_kept(uint64_t count, uint64_t number_bytes, double ratio);
/* Of the message on the link, and of scratch on the sender's GPU. */
uint64_t lspo_largest_bytes(const lspo_largest_t *message);
uint64_t lspo_largest_scratch_bytes(uint64_t count);

/* What the sender and the receiver do with a message with K > 0, which is `elements` of the first kernel. */
void lspo_largest_choose_work(const lspo_largest_t *message, lspo_work_t *work_out);
void lspo_largest_spread_work(const lspo_largest_t *message, lspo_work_t *work_out);

#endif
