/* calibrate.c - see calibrate.h: places threads as the executor does, and times links, ops and what lanes cost each other.
 * The kernels are timed by calibrate_kernels.c. */
#include "real/calibrate.h"

#include <hwloc.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels/adam.h"
#include "kernels/gemm.h"
#include "real/calibrate_state.h"
#include "real/device.h"
#include "real/executor.h"
#include "real/lane.h"
#include "real/transformer.h"
#include "traces/summary.h"

enum { POOL_FLOATS = 24 << 20, CHAIN_ROUNDS = 200, ROUNDS_MAX = 16 };

/* ---- threads on lanes ---- */

typedef struct {
    const lspo_topology_t *topology;
    lspo_lane_t lane;
    lspo_timed_function_t function;
    void *context;
} lane_call_t;

static void enter_lane(void *topology, lspo_lane_t lane)
{
    lspo_topology_enter(topology, lane);
    lspo_lane_flush_denormals(); /* as in training */
}

static void *lane_thread(void *argument)
{
    const lane_call_t *call = argument;
    enter_lane((void *)call->topology, call->lane);
    call->function(call->context);
    return NULL;
}

static lspo_status_t start_on_lane(lane_call_t *call, pthread_t *thread_out)
{
    if (pthread_create(thread_out, NULL, lane_thread, call) != 0)
        return lspo_error(LSPO_ERR_MEMORY, "cannot start a thread");
    return LSPO_OK;
}

static lspo_status_t run_on_lane(const lspo_topology_t *topology, lspo_lane_t lane, lspo_timed_function_t function,
                                 void *context)
{
    lane_call_t call = {.topology = topology, .lane = lane, .function = function, .context = context};
    pthread_t thread;
    lspo_status_t status = start_on_lane(&call, &thread);
    if (status == LSPO_OK)
        pthread_join(thread, NULL);
    return status;
}

/* ---- kernels on the GPU lane, Adam on the CPU lane ---- */

typedef struct {
    lspo_calibration_t calibration;
    lspo_status_t status;
} kernels_call_t;

static void time_gpu_kernels(void *context)
{
    kernels_call_t *call = context;
    lspo_calibration_t *calibration = &call->calibration;
    call->status = lspo_calibrate_gemm(calibration);
    if (call->status != LSPO_OK)
        return;
    lspo_calibrate_attention(calibration);
    lspo_calibrate_vector_kernels(calibration);
    call->status = lspo_calibrate_projectors(calibration);
    calibration->machine->gpu.adam_pps = lspo_calibrate_adam_pps(calibration);
}

static void time_cpu_kernels(void *context)
{
    lspo_calibration_t *calibration = &((kernels_call_t *)context)->calibration;
    lspo_machine_t *machine = calibration->machine;
    machine->cpu.adam_pps = lspo_calibrate_adam_pps(calibration);
    machine->cpu.adam_cached_pps = lspo_calibrate_adam_cached_pps(calibration, (size_t)machine->cpu.cache_bytes / 2);
    machine->cpu.adam_cached_pps = fmax(machine->cpu.adam_cached_pps, machine->cpu.adam_pps);
    machine->cpu.compute_flops = machine->gpu.gemm_flops[LSPO_FP32]; /* cores are alike */
}

static lspo_status_t make_pool(lspo_device_t *device, lspo_pool_t *pool)
{
    pool->count = POOL_FLOATS;
    return lspo_device_host_alloc(device, POOL_FLOATS * sizeof(float), (void **)&pool->data);
}

static void fill(lspo_pool_t *pool)
{
    uint32_t x = 1;
    for (size_t i = 0; i < pool->count; i++) {
        x = x * 1664525U + 1013904223U;
        pool->data[i] = (float)(int32_t)x * 0x1p-31F;
    }
}

static lspo_status_t calibrate_kernels(lspo_calibration_t *calibration, lspo_device_t *device)
{
    kernels_call_t call = {.calibration = *calibration};
    lspo_status_t status = make_pool(device, &call.calibration.input);
    if (status == LSPO_OK)
        status = make_pool(device, &call.calibration.output);
    if (status == LSPO_OK)
        status = make_pool(device, &call.calibration.state);
    if (status == LSPO_OK)
        status =
            lspo_device_host_alloc(device, LSPO_CALIBRATE_SCRATCH * sizeof(float), (void **)&call.calibration.scratch);
    if (status == LSPO_OK) {
        fill(&call.calibration.input);
        fill(&call.calibration.output);
        status = run_on_lane(calibration->topology, LSPO_LANE_GPU, time_gpu_kernels, &call);
    }
    if (status == LSPO_OK)
        status = call.status;
    if (status == LSPO_OK)
        status = run_on_lane(calibration->topology, LSPO_LANE_CPU, time_cpu_kernels, &call);
    lspo_device_host_free(device, call.calibration.scratch);
    lspo_device_host_free(device, call.calibration.state.data);
    lspo_device_host_free(device, call.calibration.output.data);
    lspo_device_host_free(device, call.calibration.input.data);
    return status;
}

/* ---- work of each lane, for links and contention ---- */

enum { MESSAGE_BYTES = 4 << 20, MESSAGES = 12, ADAM_ELEMENTS = 2 << 20 };

/* What each lane does in training, in steps of some milliseconds. */
typedef struct {
    lspo_device_t *device;
    char *host[2], *on_device[2]; /* by direction: MESSAGES messages each */
    float *adam[4];
    lspo_transformer_t *transformer;
    void *workspace;
    float *weights, *x, *y, *saved;
    uint32_t turn[LSPO_LANE_COUNT]; /* each lane's own */
} lanes_work_t;

static const lspo_model_t gpu_work_model = {.name = "calibration",
                                            .family = LSPO_FAMILY_GPT,
                                            .block_count = 1,
                                            .width = 256,
                                            .head_count = 4,
                                            .kv_head_count = 4,
                                            .mlp_width = 1024,
                                            .vocabulary = 256,
                                            .max_sequence = 256,
                                            .tied_head = true};
enum { GPU_WORK_BATCH = 2 };

static void copy_message(lanes_work_t *work, lspo_copy_direction_t direction, size_t bytes)
{
    lspo_lane_t lane = direction == LSPO_COPY_D2H ? LSPO_LANE_D2H : LSPO_LANE_H2D;
    size_t offset = (size_t)(work->turn[lane]++ % MESSAGES) * MESSAGE_BYTES;
    char *host = work->host[direction] + offset, *on_device = work->on_device[direction] + offset;
    if (direction == LSPO_COPY_D2H)
        lspo_device_copy(work->device, direction, host, on_device, bytes);
    else
        lspo_device_copy(work->device, direction, on_device, host, bytes);
}

static void step_gpu(void *context)
{
    lanes_work_t *work = context;
    lspo_transformer_block_forward(work->transformer, work->weights, NULL, work->x, work->saved, work->y);
}

static void step_d2h(void *context)
{
    copy_message(context, LSPO_COPY_D2H, MESSAGE_BYTES);
}

static void step_h2d(void *context)
{
    copy_message(context, LSPO_COPY_H2D, MESSAGE_BYTES);
}

static void step_cpu(void *context)
{
    lanes_work_t *work = context;
    lspo_adam_t adam = lspo_adam_default(1e-3F, 1);
    lspo_adam_parameters(&adam, ADAM_ELEMENTS, work->adam[0], work->adam[1], work->adam[2], work->adam[3]);
}

static const lspo_timed_function_t steps[LSPO_LANE_COUNT] = {
    [LSPO_LANE_GPU] = step_gpu, [LSPO_LANE_D2H] = step_d2h, [LSPO_LANE_H2D] = step_h2d, [LSPO_LANE_CPU] = step_cpu};

static lspo_status_t make_gpu_work(lanes_work_t *work)
{
    const lspo_model_t *model = &gpu_work_model;
    size_t activations = (size_t)GPU_WORK_BATCH * model->max_sequence * model->width;
    lspo_stage_t stage;
    lspo_model_stage(model, 1, &stage);
    lspo_status_t status = lspo_device_host_alloc(
        work->device, lspo_transformer_workspace_bytes(model, GPU_WORK_BATCH, 256), &work->workspace);
    if (status == LSPO_OK)
        status = lspo_transformer_create(model, GPU_WORK_BATCH, 256, work->workspace, &work->transformer);
    if (status == LSPO_OK)
        status = lspo_device_host_alloc(work->device, stage.element_count * sizeof(float), (void **)&work->weights);
    if (status == LSPO_OK)
        status = lspo_device_host_alloc(work->device, lspo_transformer_saved_bytes(work->transformer, 1),
                                        (void **)&work->saved);
    if (status == LSPO_OK)
        status = lspo_device_host_alloc(work->device, activations * sizeof(float), (void **)&work->x);
    if (status == LSPO_OK)
        status = lspo_device_host_alloc(work->device, activations * sizeof(float), (void **)&work->y);
    if (status == LSPO_OK)
        lspo_transformer_init(model, 1, 1, work->weights);
    for (size_t i = 0; status == LSPO_OK && i < activations; i++)
        work->x[i] = (float)(i % 17) * 0.1F - 0.8F;
    return status;
}

static lspo_status_t make_lanes_work(lanes_work_t *work)
{
    lspo_status_t status = LSPO_OK;
    for (int i = 0; status == LSPO_OK && i < 2; i++) {
        status = lspo_device_host_alloc(work->device, (size_t)MESSAGES * MESSAGE_BYTES, (void **)&work->host[i]);
        if (status == LSPO_OK)
            status =
                lspo_device_host_alloc(work->device, (size_t)MESSAGES * MESSAGE_BYTES, (void **)&work->on_device[i]);
    }
    for (int i = 0; status == LSPO_OK && i < 4; i++)
        status = lspo_device_host_alloc(work->device, ADAM_ELEMENTS * sizeof(float), (void **)&work->adam[i]);
    return status == LSPO_OK ? make_gpu_work(work) : status;
}

static void release_lanes_work(lanes_work_t *work)
{
    lspo_transformer_destroy(work->transformer);
    void *arrays[] = {work->workspace, work->weights,      work->x,           work->y,       work->saved,
                      work->host[0],   work->host[1],      work->adam[0],     work->adam[1], work->adam[2],
                      work->adam[3],   work->on_device[0], work->on_device[1]};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        lspo_device_host_free(work->device, arrays[i]);
}

/* ---- links ---- */

typedef struct {
    lanes_work_t *work;
    uint32_t samples;
    double bandwidth_Bps[2], latency_s[2]; /* by direction */
} link_call_t;

static void empty_message_d2h(void *context)
{
    copy_message(context, LSPO_COPY_D2H, 64);
}

static void empty_message_h2d(void *context)
{
    copy_message(context, LSPO_COPY_H2D, 64);
}

static void time_link(void *context)
{
    link_call_t *call = context;
    for (int direction = 0; direction < 2; direction++) {
        bool up = direction == LSPO_COPY_H2D;
        double message_s = lspo_calibrate_time_s(up ? step_h2d : step_d2h, call->work, 4 * call->samples);
        double empty_s =
            lspo_calibrate_time_s(up ? empty_message_h2d : empty_message_d2h, call->work, 4 * call->samples);
        call->latency_s[direction] = empty_s;
        call->bandwidth_Bps[direction] = MESSAGE_BYTES / fmax(message_s - empty_s, 1e-9);
    }
}

static lspo_status_t calibrate_link(lspo_calibration_t *calibration, lanes_work_t *work)
{
    link_call_t call = {.work = work, .samples = calibration->samples};
    lspo_status_t status = run_on_lane(calibration->topology, LSPO_LANE_D2H, time_link, &call);
    calibration->machine->link.d2h_Bps = call.bandwidth_Bps[LSPO_COPY_D2H];
    calibration->machine->link.h2d_Bps = call.bandwidth_Bps[LSPO_COPY_H2D];
    calibration->machine->link.d2h_latency_s = call.latency_s[LSPO_COPY_D2H];
    calibration->machine->link.h2d_latency_s = call.latency_s[LSPO_COPY_H2D];
    return status;
}

/* ---- ops ---- */

typedef struct {
    lspo_plan_t plan;
    lspo_op_t *ops;
    lspo_op_id_t *deps;
    lspo_work_t nothing;
} chain_t;

/* Ops that do nothing, each after the one before, on the lanes of `kinds` in turn. */
static lspo_status_t make_chain(const lspo_op_kind_t *kinds, uint32_t kind_count, chain_t *chain)
{
    uint32_t count = kind_count * CHAIN_ROUNDS;
    memset(chain, 0, sizeof *chain);
    chain->ops = calloc(count, sizeof *chain->ops);
    chain->deps = calloc(count, sizeof *chain->deps);
    if (!chain->ops || !chain->deps) {
        free(chain->ops);
        free(chain->deps);
        return lspo_error(LSPO_ERR_MEMORY, "no memory for %u ops", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        lspo_op_kind_t kind = kinds[i % kind_count];
        chain->ops[i] = (lspo_op_t){.kind = (uint8_t)kind,
                                    .lane = (uint8_t)lspo_op_kind_lane(kind),
                                    .dep_first = i ? i - 1 : 0,
                                    .dep_count = i > 0};
        chain->deps[i] = i;
    }
    chain->plan = (lspo_plan_t){.ops = chain->ops,
                                .op_count = count,
                                .deps = chain->deps,
                                .dep_count = count,
                                .works = &chain->nothing,
                                .work_count = 1};
    return LSPO_OK;
}

static lspo_status_t no_work(void *context, const lspo_op_t *op)
{
    (void)context;
    (void)op;
    return LSPO_OK;
}

/* Median time from the end of an op to the start of the next, by the lane of the next. */
static lspo_status_t time_chain(const lspo_topology_t *topology, const lspo_op_kind_t *kinds, uint32_t kind_count,
                                double gap_s_out[LSPO_LANE_COUNT])
{
    chain_t chain;
    lspo_trace_t *trace = NULL;
    lspo_status_t status = make_chain(kinds, kind_count, &chain);
    if (status != LSPO_OK)
        return status;
    status = lspo_execute(&chain.plan, no_work, enter_lane, (void *)topology, NULL, &trace);
    for (int lane = 0; status == LSPO_OK && lane < LSPO_LANE_COUNT; lane++) {
        double gaps_s[CHAIN_ROUNDS];
        uint32_t count = 0;
        for (uint32_t row = 1; row < trace->row_count && count < CHAIN_ROUNDS; row++)
            if (trace->rows[row].lane == lane)
                gaps_s[count++] = (double)(trace->rows[row].start_ns - trace->rows[row - 1].end_ns) * 1e-9;
        gap_s_out[lane] = count ? lspo_median(gaps_s, count) : 0;
    }
    lspo_trace_destroy(trace);
    free(chain.deps);
    free(chain.ops);
    return status;
}

/* GPU ops mostly follow GPU ops; those of the other lanes wait for another lane and have to be woken. */
static lspo_status_t calibrate_ops(lspo_calibration_t *calibration)
{
    static const lspo_op_kind_t gpu[] = {LSPO_OP_FWD};
    static const lspo_op_kind_t around[] = {LSPO_OP_BWD, LSPO_OP_D2H, LSPO_OP_UPD, LSPO_OP_H2D};
    double gap_s[LSPO_LANE_COUNT];
    lspo_machine_t *machine = calibration->machine;
    lspo_status_t status = time_chain(calibration->topology, gpu, 1, gap_s);
    if (status != LSPO_OK)
        return status;
    machine->gpu.op_s = gap_s[LSPO_LANE_GPU];
    status = time_chain(calibration->topology, around, 4, gap_s);
    if (status != LSPO_OK)
        return status;
    machine->cpu.op_s = gap_s[LSPO_LANE_CPU];
    machine->link.d2h_latency_s += gap_s[LSPO_LANE_D2H];
    machine->link.h2d_latency_s += gap_s[LSPO_LANE_H2D];
    return LSPO_OK;
}

/* ---- what lanes cost each other ---- */

typedef struct {
    lspo_timed_function_t step;
    void *context;
    atomic_bool started, end;
} background_t;

static void keep_stepping(void *context)
{
    background_t *background = context;
    while (!atomic_load(&background->end)) {
        background->step(background->context);
        atomic_store(&background->started, true);
    }
}

typedef struct {
    lspo_timed_function_t step;
    void *context;
    double least_s;      /* a sample is as many steps as take this long */
    double cpu_s, steps; /* out */
} foreground_t;

static void time_steps(void *context)
{
    foreground_t *foreground = context;
    double start_s = lspo_lane_cpu_s();
    foreground->steps = 0;
    do {
        foreground->step(foreground->context);
        foreground->steps++;
        foreground->cpu_s = lspo_lane_cpu_s() - start_s;
    } while (foreground->cpu_s < foreground->least_s);
}

static double cpu_of(pthread_t thread)
{
    clockid_t clock;
    struct timespec now = {0};
    if (pthread_getcpuclockid(thread, &clock) == 0)
        clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* `background_cpu_s_out`: what the other lane's thread ran in the meantime. */
static lspo_status_t time_beside(const lspo_topology_t *topology, lspo_lane_t slowed, lspo_lane_t running,
                                 lanes_work_t *work, foreground_t *foreground, double *background_cpu_s_out)
{
    background_t background = {.step = steps[running], .context = work};
    lane_call_t call = {.topology = topology, .lane = running, .function = keep_stepping, .context = &background};
    pthread_t thread;
    lspo_status_t status = start_on_lane(&call, &thread);
    if (status != LSPO_OK)
        return status;
    while (!atomic_load(&background.started))
        lspo_pace(lspo_now_ns(), 1e-4);
    double before_s = cpu_of(thread);
    status = run_on_lane(topology, slowed, time_steps, foreground);
    *background_cpu_s_out = cpu_of(thread) - before_s;
    atomic_store(&background.end, true);
    pthread_join(thread, NULL);
    return status;
}

/* Fraction of its speed that `slowed` loses while `running` runs: alone and beside, in turns.  A step costs more CPU time
 * beside a lane that uses the same memory; on the same core it also gets only its share of the time. */
static lspo_status_t measure_loss(lspo_calibration_t *calibration, lanes_work_t *work, lspo_lane_t slowed,
                                  lspo_lane_t running, double *loss_out)
{
    const lspo_topology_t *topology = calibration->topology;
    double losses[ROUNDS_MAX];
    uint32_t rounds = calibration->quick ? 3 : 7;
    bool same_core = topology->cpu[slowed] == topology->cpu[running];
    foreground_t foreground = {.step = steps[slowed], .context = work, .least_s = calibration->quick ? 0.015 : 0.04};
    for (uint32_t i = 0; i < rounds; i++) {
        lspo_status_t status = run_on_lane(topology, slowed, time_steps, &foreground);
        double alone_s = foreground.cpu_s / foreground.steps, background_s = 0;
        if (status == LSPO_OK)
            status = time_beside(topology, slowed, running, work, &foreground, &background_s);
        if (status != LSPO_OK)
            return status;
        double share = same_core ? foreground.cpu_s / (foreground.cpu_s + background_s) : 1;
        losses[i] = 1 - share * alone_s / (foreground.cpu_s / foreground.steps);
    }
    *loss_out = fmin(fmax(lspo_median(losses, rounds), 0), 0.95);
    return LSPO_OK;
}

static lspo_status_t calibrate_contention(lspo_calibration_t *calibration, lanes_work_t *work)
{
    lspo_machine_t *machine = calibration->machine;
    for (int a = 0; a < LSPO_LANE_COUNT; a++) {
        for (int b = 0; b < LSPO_LANE_COUNT; b++) {
            if (a == b)
                continue;
            double *loss = &machine->contention[a][b];
            if (a == LSPO_LANE_D2H && b == LSPO_LANE_H2D)
                loss = &machine->link.d2h_duplex_loss;
            else if (a == LSPO_LANE_H2D && b == LSPO_LANE_D2H)
                loss = &machine->link.h2d_duplex_loss;
            lspo_status_t status = measure_loss(calibration, work, (lspo_lane_t)a, (lspo_lane_t)b, loss);
            if (status != LSPO_OK)
                return status;
        }
    }
    return LSPO_OK;
}

/* ---- front door ---- */

/* A core's own cache: the largest level that the CPU lane's core does not share with the GPU lane's. */
static double private_cache_bytes(const lspo_topology_t *topology)
{
    double bytes = 1 << 20;
    hwloc_topology_t machine;
    if (hwloc_topology_init(&machine) != 0)
        return bytes;
    if (hwloc_topology_load(machine) == 0) {
        hwloc_obj_t object = hwloc_get_pu_obj_by_os_index(machine, (unsigned)topology->cpu[LSPO_LANE_CPU]);
        for (; object; object = object->parent)
            if (hwloc_obj_type_is_dcache(object->type) &&
                (topology->core_count == 1 ||
                 !hwloc_bitmap_isset(object->cpuset, (unsigned)topology->cpu[LSPO_LANE_GPU])) &&
                object->attr->cache.size > 0)
                bytes = (double)object->attr->cache.size;
    }
    hwloc_topology_destroy(machine);
    return bytes;
}

static void describe(lspo_machine_t *machine, const lspo_topology_t *topology)
{
    double memory_bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    snprintf(machine->name, sizeof machine->name, "host");
    snprintf(machine->description, sizeof machine->description, "this machine as a device: %s; BLAS core %s",
             topology->description, lspo_gemm_core());
    snprintf(machine->source, sizeof machine->source, "measured by lspo calibrate --device host");
    machine->gpu.memory_bytes = floor(memory_bytes / 2);
    machine->cpu.memory_bytes = floor(memory_bytes / 2);
    machine->cpu.cache_bytes = private_cache_bytes(topology);
}

static void report(const lspo_calibrate_options_t *options, const char *label, unsigned done)
{
    if (options->progress)
        options->progress(options->progress_context, label, done, 4);
}

static lspo_status_t calibrate_all(const lspo_calibrate_options_t *options, lspo_calibration_t *calibration,
                                   lspo_device_t *device, lanes_work_t *work)
{
    report(options, "kernels", 0);
    lspo_status_t status = calibrate_kernels(calibration, device);
    if (status != LSPO_OK)
        return status;
    report(options, "link", 1);
    status = make_lanes_work(work);
    if (status == LSPO_OK)
        status = calibrate_link(calibration, work);
    if (status != LSPO_OK)
        return status;
    report(options, "ops", 2);
    status = calibrate_ops(calibration);
    if (status != LSPO_OK)
        return status;
    report(options, "contention", 3);
    status = calibrate_contention(calibration, work);
    report(options, "done", 4);
    return status;
}

lspo_status_t lspo_calibrate(const lspo_calibrate_options_t *options, lspo_machine_t *machine_out)
{
    static const lspo_device_caps_t no_caps;
    lspo_machine_t machine = {0};
    lspo_topology_t topology;
    lanes_work_t work = {0};
    lspo_status_t status = lspo_device_open(options->device, &no_caps, &work.device);
    if (status != LSPO_OK)
        return status;
    lspo_gemm_single_thread();
    status = lspo_topology_read(&topology);
    if (status == LSPO_OK) {
        describe(&machine, &topology);
        lspo_calibration_t calibration = {
            .topology = &topology, .quick = options->quick, .samples = options->quick ? 5 : 15, .machine = &machine};
        status = calibrate_all(options, &calibration, work.device, &work);
    }
    if (status == LSPO_OK)
        status = lspo_machine_check(&machine);
    if (status == LSPO_OK)
        *machine_out = machine;
    release_lanes_work(&work);
    lspo_device_close(work.device);
    return status;
}
