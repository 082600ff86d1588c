/* run.h - measure a plan on a device: the real path's front door, the counterpart of sim/sim.h. */
#ifndef LSPO_REAL_TRAIN_RUN_H
#define LSPO_REAL_TRAIN_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plan/plan.h"
#include "real/device/device.h"
#include "traces/summary.h"
#include "traces/trace.h"

typedef struct {
    const char *device; /* "host", "cuda", "cuda:N" */
    lspo_device_caps_t caps;
    uint32_t cpu_threads;  /* workers of the CPU lane; 0: as lspo_topology_workers() says          */
    const char *text_path; /* training text; NULL: the machine's own text, see real/data/text.h */
    uint32_t repeat;       /* plays of the plan; each adds its iterations' samples           */
    bool slowdown;         /* also measure native without caps but that of its sms, after each play */
    uint32_t warmup;       /* iterations dropped in each play */
    bool timing_only;      /* no loss on held-out text: it is then NaN */
    const atomic_int *stop;
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of); /* may be NULL */
    void *progress_context;
} lspo_run_options_t;

typedef struct {
    lspo_summary_t summary;    /* samples of all repeats together */
    double slowdown;           /* NaN unless asked for            */
    double native_iteration_s; /* NaN unless asked for            */
    double tokens_per_s;
    double gpu_core_share; /* fraction of the GPU lane's busy time in which it had its core: 1 on an idle machine; well
                              below, other work ran there and the times are not those of the plan; 1 with a GPU */
    uint64_t peak_gpu_bytes; /* the device's high-water mark    */
    /* Of the process above what it held before, by the kernel (real/machine/process.h): the device's memory, the
     * host's and all else. */
    uint64_t peak_total_bytes;
    uint64_t peak_host_bytes; /* the same less the device's memory: with a GPU what the kernel counts, and the total is
                                  that and the GPU's high-water mark */
    uint64_t extra_bytes;     /* and less the host memory that copies use: BLAS workspaces, stacks, libraries */
    double loss_first, loss_last;           /* training loss of the first and the last iteration of the last repeat */
    double held_out_before, held_out_after; /* mean loss on held-out text, nats a token */
    double *losses;                         /* owned: one per iteration of the first repeat */
    uint32_t loss_count;
    const char *blas_core; /* static: the kernels that OpenBLAS chose for this CPU */
} lspo_run_result_t;

/* host, no caps, the machine's own text, one play, no slowdown, two iterations of warm-up. */
lspo_status_t lspo_run_default(lspo_run_options_t *options_out);

/* Every repeat starts from the same seeded weights.  `trace_out` (may be NULL) is the trace of the last repeat, with
 * device, caps, topology, threads, text and counters in its header.  Times are the medians over all repeats' samples,
 * busy times averages over the repeats.  LSPO_ERR_INPUT for fewer than warmup + 2 iterations and what a session
 * refuses, LSPO_ERR_FIT, LSPO_ERR_NUMERIC, LSPO_ERR_INTERRUPTED. */
lspo_status_t lspo_run(const lspo_plan_t *plan, const lspo_run_options_t *options, lspo_run_result_t *result_out,
                       lspo_trace_t **trace_out);
void lspo_run_result_release(lspo_run_result_t *result);

/* What a run makes the process take besides device memory and host memory: BLAS workspaces, thread stacks, library
 * code, the trace; the machine profile's cpu.process_bytes.  A small training of a few tenths of a second, of a model
 * of its own.
 *
 * Call it before anything else computes in this process: what earlier work has touched is not counted again.
 * Errors are those of lspo_run(). */
lspo_status_t lspo_run_extra_bytes(uint64_t *bytes_out);

#endif
