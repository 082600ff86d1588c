/* train_state.h - the state of a training in progress; private to real/train/train*.c. */
#ifndef LSPO_REAL_TRAIN_TRAIN_STATE_H
#define LSPO_REAL_TRAIN_TRAIN_STATE_H

#include <xxhash.h>

#include "base/workers.h"
#include "plan/plan.h"
#include "real/machine/topology.h"
#include "real/session/session.h"
#include "real/train/metrics.h"
#include "real/train/saver.h"
#include "real/train/settings.h"
#include "real/train/train.h"

typedef struct {
    const lspo_train_options_t *options;
    lspo_schedule_t schedule;
    lspo_topology_t topology;
    lspo_workers_t *workers;
    lspo_device_t *device;
    lspo_plan_t *plan; /* of the latest segment */
    lspo_session_t *session;
    lspo_metrics_t *metrics;
    lspo_metrics_row_t *rows;         /* of the current segment, one per step */
    double *row_fit_s;                /* time of fits in each of these steps */
    uint32_t cut_count;               /* steps of the segment if it was ended early; 0: all */
    uint32_t projects, projects_done; /* ops of the segment that check or fit projectors */
    XXH3_state_t *weights_hash;       /* while the initial weights are loaded; else NULL */
    lspo_settings_t settings;
    lspo_train_state_t state;
    float **best;                    /* weights of the best evaluation, one array per stage; NULL: not kept */
    lspo_saver_t *saver;             /* NULL: no checkpoints */
    int lock;                        /* of the folder of checkpoints */
    uint32_t first_step, saved_step; /* of this run; of the newest checkpoint */
    uint64_t refits_before;          /* refits before this run */
    double sitting_s;                /* time of steps in this run */
    double fit_s, load_s;            /* in this run: time of fits of projectors; time before the first step */
    double tokens_per_s;             /* of the latest segment */
} trainer_t;

/* LSPO_ERR_INPUT for options that contradict each other. */
lspo_status_t lspo_train_check_options(const lspo_train_options_t *options);

/* Fill trainer->settings with all settings that determine the numbers. set_weights adds the hash of the initial weights
 * after they have been loaded. */
void lspo_train_set_all(trainer_t *trainer);
void lspo_train_set_weights(trainer_t *trainer, const char *hash);

/* Copies of the weights, one array per stage. */
lspo_status_t lspo_train_alloc_stages(const lspo_train_options_t *options, float ***stages_out);
void lspo_train_free_stages(const lspo_train_options_t *options, float **stages);
lspo_status_t lspo_train_copy_weights(const trainer_t *trainer, float **stages);

/* Whether the best weights are needed: for an export, or for a checkpoint that may be resumed with one. */
bool lspo_train_tracks_best(const lspo_train_options_t *options);
/* Call options->save with the best weights, or with the last ones. */
lspo_status_t lspo_train_export(trainer_t *trainer);

/* Compute the held-out loss of the current weights, store it in state and `row`, and update the best weights.
 * LSPO_ERR_INTERRUPTED, not logged and with nothing changed, if a stop is requested before the last batch. */
lspo_status_t lspo_train_evaluate(trainer_t *trainer, lspo_metrics_row_t *row);

/* Report the progress of work other than steps. */
static inline void lspo_train_report_phase(const lspo_train_options_t *options, const char *phase, uint32_t done,
                                           uint32_t of)
{
    if (options->phase)
        options->phase(options->progress_context, phase, done, of);
}

/* Write a checkpoint of the current state, unless there already is one; `last`: no step follows. */
lspo_status_t lspo_train_save(trainer_t *trainer, bool last);
/* Continue from the newest complete checkpoint; warns if there is none. */
lspo_status_t lspo_train_resume(trainer_t *trainer);

#endif
