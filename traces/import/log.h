/* log.h - read the times in a log of DeepSpeed, Megatron or Hugging Face's Trainer as records.
 *
 *     time (ms) | fwd_microstep: 54.76 | bwd_microstep: 122.95 | ... | step_microstep: 0.34      a micro-step
 *     time (ms) | fwd: 55.15 | bwd: 180.82 | ... | step: 183.61                                  a step, or several
 *     time (ms) | forward: 210.71 | backward: 3509.10 | optimizer: 38738.77 | ...                Megatron: averages
 *     (min, max) time across ranks (ms): ...    a block of lines, see ranks.h                    Megatron: averages
 *     step=10, skipped=0, ...    steps: 10 loss: ...    global_step=10    iteration 10/ 500      the step's number
 *     iter time (s): 0.910       elapsed time per iteration (ms): 910.0                          the time of a step
 *     RunningAvgSamplesPerSec=6.30, CurrSamplesPerSec=6.31    samples/sec: 281.3                 throughput
 *     {'train_runtime': 3150.0, ..., 'train_steps_per_second': 0.317}                            of a whole training
 *
 * Only lines of one source count: those of rank 0 and, if a launcher adds labels ("worker-0: ", "0: ", "[rank0]: "),
 * those of one label.  Lines broken at a fixed number of columns are joined again.  Any text before a record on its
 * line, such as a progress bar or a date, is ignored.
 */
#ifndef LSPO_TRACES_IMPORT_LOG_H
#define LSPO_TRACES_IMPORT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { LSPO_LOG_FORWARD, LSPO_LOG_BACKWARD, LSPO_LOG_STEP, LSPO_LOG_PHASE_COUNT };

typedef enum {
    LSPO_LOG_MICRO,       /* ms: of a micro-step                                          */
    LSPO_LOG_SUM,         /* ms: of a step, or summed since the line before               */
    LSPO_LOG_AVERAGE,     /* ms: of a step, an average since the line before              */
    LSPO_LOG_NUMBER,      /* value: so many steps are done                                */
    LSPO_LOG_SECONDS,     /* value: of a step                                             */
    LSPO_LOG_RATE,        /* value: samples per second, since the line before           */
    LSPO_LOG_RATE_NOW,    /* value: samples per second, of the last step                */
    LSPO_LOG_RATE_OF_RUN, /* value: samples per second, of all steps                    */
} lspo_log_kind_t;

typedef struct {
    lspo_log_kind_t kind;
    uint64_t line;
    double ms[LSPO_LOG_PHASE_COUNT];
    double value;
} lspo_log_record_t;

typedef struct {
    lspo_log_record_t *records; /* owned, in the order of the file */
    uint32_t count;
    size_t capacity;
    bool saw_cpu, saw_gpu;                    /* where the optimizer runs, by the log    */
    double batch;                             /* samples per step on all GPUs; 0: unknown        */
    double run_s, run_steps_per_s, run_steps; /* of a whole training; 0: unknown                 */
    double samples_per_s;                     /* the last average over the run; 0: unknown       */
    uint32_t run_count;                       /* different averages over a training             */
    uint32_t other_rank_count, other_source_count, bad_count, cut_count;
    uint64_t bad_line, cut_line;
    uint32_t columns;       /* at which lines are broken; 0: none */
    char source[64];        /* the label that counts               */
    char other_timers[160]; /* names of timers that are not phases */
    bool saw_both_passes;   /* a timer of forward and backward together */
    bool tail_cut;          /* its last line was cut within a time */
} lspo_log_t;

lspo_status_t lspo_log_read(const char *path, lspo_log_t *log_out);
void lspo_log_release(lspo_log_t *log);

#endif
