/* train_state.h - what a training holds; private to real/train/train*.c. */
#ifndef LSPO_REAL_TRAIN_TRAIN_STATE_H
#define LSPO_REAL_TRAIN_TRAIN_STATE_H

#include <xxhash.h>

#include "plan/plan.h"
#include "base/workers.h"
#include "real/machine/topology.h"
#include "real/session/session.h"
#include "real/train/metrics.h"
#include "real/train/saver.h"
#include "real/train/train.h"

enum { LSPO_SETTINGS_MAX = 80 };

typedef struct {
    const lspo_train_options_t *options;
    lspo_schedule_t schedule;
    lspo_topology_t topology;
    lspo_workers_t *workers;
    lspo_device_t *device;
    lspo_plan_t *plan; /* of the segment that ran last */
    lspo_session_t *session;
    lspo_metrics_t *metrics;
    lspo_metrics_row_t *rows;         /* of the segment under way, one a step */
    double *row_fit_s;                /* what fits took in each of them */
    uint32_t cut_count;               /* steps of the segment that an end left; 0: all */
    uint32_t projects, projects_done; /* ops of the segment that check or fit projectors */
    XXH3_state_t *weights_hash;       /* while the first weights are loaded; NULL: they are there */
    lspo_setting_t settings[LSPO_SETTINGS_MAX];
    size_t setting_count;
    lspo_train_state_t state;
    float **best;                    /* weights of the best evaluation, a stage each; NULL: not kept */
    lspo_saver_t *saver;             /* NULL: no checkpoints */
    int lock;                        /* of the folder of checkpoints */
    uint32_t first_step, saved_step; /* of this sitting; that the newest checkpoint holds */
    uint64_t refits_before;          /* this sitting */
    double sitting_s;                /* of training, without the rest */
    double fit_s, load_s;            /* of this sitting: in fits of projectors; until the first step could begin */
    double tokens_per_s;             /* of the latest segment */
} trainer_t;

/* LSPO_ERR_INPUT for options that contradict each other. */
lspo_status_t lspo_train_check_options(const lspo_train_options_t *options);

/* Fill trainer->settings with all that decides the numbers but the first weights: those are added, by their hash, when
 * they have been loaded. */
void lspo_train_set_all(trainer_t *trainer);
void lspo_train_set_weights(trainer_t *trainer, const char *hash);

/* Copies of the weights, a stage each. */
lspo_status_t lspo_train_alloc_stages(const lspo_train_options_t *options, float ***stages_out);
void lspo_train_free_stages(const lspo_train_options_t *options, float **stages);
lspo_status_t lspo_train_copy_weights(const trainer_t *trainer, float **stages);

/* Whether the best weights are needed: for an export, or for a checkpoint that may be resumed with one. */
bool lspo_train_tracks_best(const lspo_train_options_t *options);
/* Give options->save the best weights, or the last ones. */
lspo_status_t lspo_train_export(trainer_t *trainer);

/* The held-out loss of the weights as they are, into state and `row`, with the best weights.  LSPO_ERR_INTERRUPTED,
 * not logged and with nothing changed, when an end is asked for before the last batch. */
lspo_status_t lspo_train_evaluate(trainer_t *trainer, lspo_metrics_row_t *row);

/* Tell whoever watches how far a phase that is no step has come. */
static inline void lspo_train_report_phase(const trainer_t *trainer, const char *phase, uint32_t done, uint32_t of)
{
    const lspo_train_options_t *options = trainer->options;
    if (options->phase)
        options->phase(options->progress_context, phase, done, of);
}

/* A checkpoint of the state as it is, unless it has one; `last`: no step follows. */
lspo_status_t lspo_train_save(trainer_t *trainer, bool last);
/* Take up the newest whole checkpoint; a warning when there is none. */
lspo_status_t lspo_train_resume(trainer_t *trainer);

#endif
