/* broker_run.h - a broker that trains a chain of peers for real: it starts the ranks of an MPI job, one for each peer,
 * which save their parts (real/train/grid_parts.h), and starts them again when one was lost, with a backup of the file
 * of peers in its place.
 *
 * A peer is lost when its process was ended by a signal, of which the launcher tells, or when the others have not heard
 * of it for the time-out, of which they tell (base/mail.h); both name the rank.  The launcher then ends the others; if
 * it does not, it is killed.  A job that ends otherwise is one with an error, and is not started again.
 *
 * A backup has the kind of the lost peer or, if there is none, the first one of the file that has as much memory. */
#ifndef LSPO_CLI_BROKER_RUN_H
#define LSPO_CLI_BROKER_RUN_H

#include "plan/plan.h"

typedef struct {
    const lspo_plan_t *plan; /* of the chain with which it begins */
    const char *folder;
    const char *launcher; /* words; "-n RANKS COMMAND" is added */
    uint32_t steps, backups;
    double timeout_s;
    int argc; /* the flags with which the ranks are started; "--chain CHAIN" is added */
    char **argv;
} lspo_broker_run_t;

/* What rank 0 of the last start has said, and what it took. */
typedef struct {
    uint32_t starts, replaced;
    double loss_first, loss_last, time_s;
    char weights[17]; /* hash, in hexadecimal digits */
    char *chain;      /* with which it ended; owned */
} lspo_broker_ran_t;

/* LSPO_ERR_INPUT if no backup is left; LSPO_ERR_IO if there is no launcher, or if three starts in a row save nothing;
 * otherwise the status with which the ranks have ended.  What they write on standard error is passed on. */
lspo_status_t lspo_broker_start(const lspo_broker_run_t *run, lspo_broker_ran_t *ran_out);

/* The last words of rank 0 on its standard output, which the broker reads. */
void lspo_broker_say(double loss_first, double loss_last, uint64_t weights_hash);

#endif
