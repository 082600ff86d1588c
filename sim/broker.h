/* broker.h - pipelines of peers that leave and come back, and a broker that replaces them, event by event.
 *
 * R pipelines of P parts train together; each part of each is with a peer, and further peers are backups.  A step has M
 * micro-batches per pipeline: the first has gone forward and backward alone_s after its begin, each further one micro_s
 * later.  Each part adds a micro-batch's gradient to its sum when the backward pass has come to it.  When all sums of
 * all pipelines are complete, all parts update: the weights' version v becomes v + 1.  Every save_every steps each part
 * is saved, which takes save_s of the step.
 *
 * Each peer leaves after an exponential time of mean stay_s, and comes back as a backup after one of mean away_s (0:
 * never).  What the broker does when the peer of a part leaves:
 *     after timeout_s without an answer the part goes to the backup that has waited longest, or if there is none to the
 *     next peer that comes; a pipeline that has waited for give_up_s ends the job with a message
 *     the backup loads the part in load_s: from another pipeline that has it in version v, or else the last saved one s
 *     if s < v, all parts of all pipelines go back to s, and steps s .. v - 1 are repeated
 *     then the pipeline runs again all micro-batches that some part of it lacks: that of the new peer lacks all.  Parts
 *     that have a micro-batch in their sum do not add it again
 * A peer that leaves while it loads is replaced in the same way.  Peers are alike: a backup is as fast as who left.
 *
 * Events at the same time are served in the order in which they were planned; the same seed gives the same run.
 */
#ifndef LSPO_SIM_BROKER_H
#define LSPO_SIM_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { LSPO_BROKER_PEERS_MAX = 1000000, LSPO_BROKER_MICROS_MAX = 65535 };

/* What happens to a part of a pipeline, for those who watch. */
typedef enum {
    LSPO_BROKER_ADD,    /* it adds the gradient of micro-batch `micro` to its sum */
    LSPO_BROKER_LOSE,   /* its peer leaves, and with it weights and sum */
    LSPO_BROKER_LOAD,   /* another peer has it in `version` */
    LSPO_BROKER_RETURN, /* all parts go back to `version`, without sums */
    LSPO_BROKER_UPDATE  /* all parts update from `version` to the next one */
} lspo_broker_event_kind_t;

typedef struct {
    lspo_broker_event_kind_t kind;
    double time_s;
    uint32_t pipeline, part, micro, version;
} lspo_broker_event_t;

typedef struct {
    uint32_t parts, pipelines, micros, backups;
    double alone_s, micro_s;
    double load_s, save_s;
    uint32_t save_every; /* steps */
    double stay_s;       /* 0: nobody leaves */
    double away_s;
    double timeout_s, give_up_s;
    uint32_t steps;
    double limit_s; /* the job ends then, whatever steps it has */
    uint64_t seed;
    void (*watch)(void *context, const lspo_broker_event_t *event); /* NULL: nobody */
    void *context;
} lspo_broker_job_t;

typedef struct {
    double time_s;            /* of all steps, or until the job was given up or limit_s */
    uint32_t steps;           /* updates that count */
    uint32_t repeated_steps;  /* ... that were lost and made again */
    uint64_t left, came;      /* peers */
    uint64_t replaced;        /* parts that another peer has loaded */
    uint64_t repeated_micros; /* that had gone through a pipeline whole, and again */
    double waited_s;          /* for a backup, summed over parts */
    bool gave_up;
    uint32_t lost_pipeline, lost_part; /* for which there was nobody */
} lspo_broker_outcome_t;

/* LSPO_ERR_INPUT for numbers out of range. */
lspo_status_t lspo_broker_run(const lspo_broker_job_t *job, lspo_broker_outcome_t *outcome_out);

#endif
