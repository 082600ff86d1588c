/* run.h - execute a plan on a device and measure it; the counterpart of sim/sim.h. */
#ifndef LSPO_REAL_TRAIN_RUN_H
#define LSPO_REAL_TRAIN_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mail.h"
#include "plan/plan.h"
#include "real/device/device.h"
#include "real/execute/executor.h"
#include "traces/summary.h"
#include "traces/trace.h"

typedef struct {
    const char *device; /* "host", "cuda", "cuda:N" */
    lspo_device_caps_t caps;
    uint32_t cpu_threads;  /* workers of the CPU lane; 0: lspo_topology_workers() */
    const char *text_path; /* training text; NULL: the machine's own text, see real/data/text.h */
    uint32_t repeat;       /* how many times to execute the plan; the samples of all count */
    bool slowdown;         /* after each execution also measure native, without caps except sms */
    uint32_t warmup;       /* iterations not counted in each execution */
    bool timing_only;      /* do not compute the held-out loss, which is then NaN */
    const atomic_int *stop;
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of); /* may be NULL */
    void *progress_context;
    /* NULL, or called with the row of each op of the plan that has ended; see lspo_row_function_t. */
    lspo_row_function_t op_ended;
    void *op_ended_context;
    lspo_mail_t *mail; /* one rank for each peer of the plan: all call lspo_run(), rank 0 has the results.  NULL: one */
} lspo_run_options_t;

typedef struct {
    lspo_summary_t summary;    /* samples of all repeats together */
    double slowdown;           /* NaN unless asked for            */
    double native_iteration_s; /* NaN unless asked for            */
    double tokens_per_s;
    /* Fraction of the GPU lane's busy time in which its thread ran: 1 on an idle machine and with a GPU; if it is well
     * below 1, other work used the core and the times are too long. */
    double gpu_core_share;
    uint64_t peak_gpu_bytes; /* the device's high-water mark    */
    uint64_t card_bytes;     /* lspo_device_card_bytes() after the first execution */
    /* Growth of the process's memory, as measured by the operating system (real/machine/process.h): device memory, host
     * memory and everything else.  For a plan of several peers, here and below, of the peer that needs most. */
    uint64_t peak_total_bytes;
    /* Without device memory; with a GPU this is measured, and peak_total_bytes = this + peak_gpu_bytes. */
    uint64_t peak_host_bytes;
    uint64_t extra_bytes;         /* also without the host memory of copies: BLAS workspaces, stacks, libraries */
    double loss_first, loss_last; /* training loss of the first and the last iteration of the last repeat */
    double held_out_before, held_out_after; /* mean loss on held-out text, nats per token */
    double *losses;                         /* owned: one per iteration of the first repeat */
    uint32_t loss_count;
    const char *blas_core; /* static: the kernels that OpenBLAS chose for this CPU */
} lspo_run_result_t;

/* Device host, no caps, the machine's own text, one execution, no slowdown, two iterations of warm-up. */
lspo_status_t lspo_run_default(lspo_run_options_t *options_out);

/* Every repeat starts from the same seeded weights.  `trace_out` (may be NULL) receives the trace of the last repeat,
 * with device, caps, topology, threads, text and counters in its header.  Times are the medians over all repeats'
 * samples, busy times are averages over the repeats.  LSPO_ERR_INPUT for fewer than warmup + 2 iterations or if the
 * session refuses the plan, LSPO_ERR_FIT, LSPO_ERR_NUMERIC, LSPO_ERR_INTERRUPTED. */
lspo_status_t lspo_run(const lspo_plan_t *plan, const lspo_run_options_t *options, lspo_run_result_t *result_out,
                       lspo_trace_t **trace_out);
void lspo_run_result_release(lspo_run_result_t *result);

/* Header entries "cap. ..." for the caps that are set. */
lspo_status_t lspo_run_describe_caps(const lspo_device_caps_t *caps, lspo_trace_t *trace);

/* Measure the memory that a run takes in addition to device memory and host memory (BLAS workspaces, thread stacks,
 * library code, the trace): cpu.process_bytes of the machine profile, and cpu.lanes_bytes, what the lanes besides the
 * GPU's add.  Runs two small trainings of its own for a few tenths of a second.
 *
 * Call it before any other computation in this process: memory that earlier work has touched is not counted again.
 * Errors are those of lspo_run(). */
lspo_status_t lspo_run_extra_bytes(uint64_t *bytes_out, uint64_t *lanes_bytes_out);

#endif
