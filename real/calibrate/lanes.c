/* lanes.c - run threads on lanes, and measure how lanes slow each other down and how much the time of the same work
 * varies. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/adam.h"
#include "real/calibrate/state.h"
#include "real/execute/lane.h"
#include "real/transformer/transformer.h"
#include "traces/median.h"

enum { ROUNDS_MAX = 16, NOISE_STEPS_MAX = 64 };

/* ---- threads on lanes ---- */

typedef struct {
    const lspo_topology_t *topology;
    lspo_lane_kind_t lane;
    lspo_timed_function_t function;
    void *context;
} lane_call_t;

void lspo_calibrate_enter_lane(void *topology, const lspo_lane_t *lane)
{
    lspo_topology_enter(topology, (lspo_lane_kind_t)lane->kind);
    lspo_lane_flush_denormals(); /* as in training */
}

static void *lane_thread(void *argument)
{
    const lane_call_t *call = argument;
    lspo_calibrate_enter_lane((void *)call->topology, &(lspo_lane_t){.kind = (uint8_t)call->lane});
    call->function(call->context);
    return NULL;
}

static lspo_status_t start_on_lane(lane_call_t *call, pthread_t *thread_out)
{
    if (pthread_create(thread_out, NULL, lane_thread, call) != 0)
        return lspo_error(LSPO_ERR_MEMORY, "cannot start a thread");
    return LSPO_OK;
}

lspo_status_t lspo_calibrate_on_lane(const lspo_topology_t *topology, lspo_lane_kind_t lane,
                                     lspo_timed_function_t function, void *context)
{
    lane_call_t call = {.topology = topology, .lane = lane, .function = function, .context = context};
    pthread_t thread;
    lspo_status_t status = start_on_lane(&call, &thread);
    if (status != LSPO_OK)
        return status;
    pthread_join(thread, NULL);
    return LSPO_OK;
}

/* ---- work of each lane ---- */

/* A GPU's link takes microseconds per message, so a step copies several and rarely waits for the thread. */
enum { MESSAGE_BYTES = 4 << 20, MESSAGES = 12, QUEUED_MESSAGES = 6, ADAM_ELEMENTS = 2 << 20 };

/* The work of each lane in training, in steps of some milliseconds. */
struct lspo_lanes_work {
    lspo_device_t *device;
    bool asynchronous;            /* then device memory is not host memory */
    char *host[2], *on_device[2]; /* by direction: MESSAGES messages each */
    float *adam[4];
    lspo_model_t model; /* of one block */
    lspo_transformer_t *transformer;
    void *workspace, *weights, *x, *y, *saved;
    uint32_t turn[LSPO_DEVICE_LANES]; /* separate for each lane */
};

enum { GPU_WORK_BATCH = 2 };

static void copy_message(lspo_lanes_work_t *work, lspo_copy_direction_t direction)
{
    lspo_lane_kind_t lane = direction == LSPO_COPY_D2H ? LSPO_LANE_D2H : LSPO_LANE_H2D;
    size_t offset = (size_t)(work->turn[lane]++ % MESSAGES) * MESSAGE_BYTES;
    char *host = work->host[direction] + offset, *on_device = work->on_device[direction] + offset;
    if (direction == LSPO_COPY_D2H)
        lspo_device_copy(work->device, direction, host, on_device, MESSAGE_BYTES);
    else
        lspo_device_copy(work->device, direction, on_device, host, MESSAGE_BYTES);
}

static void copy_messages(lspo_lanes_work_t *work, lspo_copy_direction_t direction)
{
    for (int i = 0; i < (work->asynchronous ? QUEUED_MESSAGES : 1); i++)
        copy_message(work, direction);
}

static void step_gpu(void *context)
{
    lspo_lanes_work_t *work = context;
    lspo_transformer_block_forward(work->transformer, &(lspo_block_parameters_t){.weights = work->weights}, work->x,
                                   work->saved, work->y);
}

static void step_d2h(void *context)
{
    copy_messages(context, LSPO_COPY_D2H);
}

static void step_h2d(void *context)
{
    copy_messages(context, LSPO_COPY_H2D);
}

static void step_cpu(void *context)
{
    lspo_lanes_work_t *work = context;
    lspo_adam_t adam = lspo_adam_default(1e-3F, 1);
    const lspo_adam_state_t state = {.count = ADAM_ELEMENTS, .m = work->adam[1], .v = work->adam[2]};
    lspo_adam_parameters(&adam, &state, work->adam[0], work->adam[3]);
}

static const lspo_timed_function_t steps[LSPO_DEVICE_LANES] = {
    [LSPO_LANE_GPU] = step_gpu, [LSPO_LANE_D2H] = step_d2h, [LSPO_LANE_H2D] = step_h2d, [LSPO_LANE_CPU] = step_cpu};

/* Allocate device memory, zeroed. */
static lspo_status_t device_array(lspo_lanes_work_t *work, size_t bytes, void **memory_out)
{
    if (!work->asynchronous)
        return lspo_device_host_alloc(work->device, bytes, memory_out);
    lspo_status_t status = lspo_device_alloc(work->device, bytes, memory_out);
    if (status != LSPO_OK)
        return status;
    lspo_compute_zero(lspo_device_compute(work->device), bytes, *memory_out);
    return LSPO_OK;
}

/* Copy n fp32 numbers of the host, converted to the device's format. */
static lspo_status_t upload(lspo_lanes_work_t *work, size_t n, const float *from, void *to)
{
    lspo_compute_t *compute = lspo_device_compute(work->device);
    void *fp32 = NULL;
    lspo_status_t status = device_array(work, n * sizeof(float), &fp32);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_write(work->device, fp32, from, n * sizeof(float));
    if (status != LSPO_OK)
        goto free_fp32;
    lspo_compute_convert(compute, n, LSPO_NUMBER_FP32, fp32, lspo_compute_number(compute), to);
    status = lspo_compute_status(compute);
free_fp32:
    (work->asynchronous ? lspo_device_free : lspo_device_host_free)(work->device, fp32);
    return status;
}

static lspo_status_t fill_gpu_work(lspo_lanes_work_t *work, size_t weights, size_t activations)
{
    float *numbers = malloc((weights > activations ? weights : activations) * sizeof *numbers);
    if (!numbers)
        return lspo_no_memory("the lanes' work");
    lspo_transformer_init(&work->model, 1, 1, numbers);
    lspo_status_t status = upload(work, weights, numbers, work->weights);
    for (size_t i = 0; i < activations; i++)
        numbers[i] = (float)(i % 17) * 0.1F - 0.8F;
    if (status != LSPO_OK)
        goto cleanup;
    status = upload(work, activations, numbers, work->x);
cleanup:
    free(numbers);
    return status;
}

static lspo_status_t make_gpu_work(lspo_lanes_work_t *work)
{
    const lspo_model_t *model = &work->model;
    lspo_compute_t *compute = lspo_device_compute(work->device);
    const size_t number_bytes = lspo_compute_number_bytes(compute);
    const size_t activations = (size_t)GPU_WORK_BATCH * model->max_sequence * model->width;
    lspo_stage_t stage;
    lspo_model_stage(model, 1, &stage);
    lspo_status_t status = device_array(
        work,
        lspo_transformer_workspace_bytes(model, GPU_WORK_BATCH, model->max_sequence, lspo_compute_number(compute)),
        &work->workspace);
    if (status != LSPO_OK)
        return status;
    status = lspo_transformer_create(model, GPU_WORK_BATCH, model->max_sequence, compute, work->workspace,
                                     &work->transformer);
    if (status != LSPO_OK)
        return status;
    status = device_array(work, stage.element_count * number_bytes, &work->weights);
    if (status != LSPO_OK)
        return status;
    status = device_array(work, lspo_transformer_saved_bytes(work->transformer, 1), &work->saved);
    if (status != LSPO_OK)
        return status;
    status = device_array(work, activations * number_bytes, &work->x);
    if (status != LSPO_OK)
        return status;
    status = device_array(work, activations * number_bytes, &work->y);
    if (status != LSPO_OK)
        return status;
    return fill_gpu_work(work, stage.element_count, activations);
}

static lspo_status_t make_lanes_work(lspo_lanes_work_t *work)
{
    for (int i = 0; i < 2; i++) {
        lspo_status_t status =
            lspo_device_host_alloc(work->device, (size_t)MESSAGES * MESSAGE_BYTES, (void **)&work->host[i]);
        if (status != LSPO_OK)
            return status;
        status = device_array(work, (size_t)MESSAGES * MESSAGE_BYTES, (void **)&work->on_device[i]);
        if (status != LSPO_OK)
            return status;
    }
    for (int i = 0; i < 4; i++) {
        lspo_status_t status =
            lspo_device_host_alloc(work->device, ADAM_ELEMENTS * sizeof(float), (void **)&work->adam[i]);
        if (status != LSPO_OK)
            return status;
    }
    return make_gpu_work(work);
}

static void describe_block(const lspo_calibration_shapes_t *shapes, lspo_model_t *model)
{
    *model = (lspo_model_t){.name = "calibration",
                            .family = LSPO_FAMILY_GPT,
                            .block_count = 1,
                            .width = shapes->block_width,
                            .head_count = shapes->block_width < 1024 ? 4 : shapes->block_width / 128,
                            .mlp_width = 4 * shapes->block_width,
                            .vocabulary = 256,
                            .max_sequence = shapes->block_sequence,
                            .tied_head = true};
    model->kv_head_count = model->head_count;
}

lspo_status_t lspo_lanes_work_create(lspo_device_t *device, const lspo_calibration_shapes_t *shapes,
                                     lspo_lanes_work_t **work_out)
{
    lspo_lanes_work_t *work = calloc(1, sizeof *work);
    if (!work)
        return lspo_no_memory("the lanes' work");
    work->device = device;
    work->asynchronous = lspo_device_is_asynchronous(device);
    describe_block(shapes, &work->model);
    lspo_status_t status = make_lanes_work(work);
    if (status != LSPO_OK) {
        lspo_lanes_work_destroy(work);
        return status;
    }
    *work_out = work;
    return LSPO_OK;
}

void lspo_lanes_work_destroy(lspo_lanes_work_t *work)
{
    if (!work)
        return;
    lspo_transformer_destroy(work->transformer);
    void *on_host[] = {work->host[0], work->host[1], work->adam[0], work->adam[1], work->adam[2], work->adam[3]};
    void *on_device[] = {work->workspace, work->weights,      work->x,           work->y,
                         work->saved,     work->on_device[0], work->on_device[1]};
    for (size_t i = 0; i < sizeof on_host / sizeof on_host[0]; i++)
        lspo_device_host_free(work->device, on_host[i]);
    for (size_t i = 0; i < sizeof on_device / sizeof on_device[0]; i++)
        (work->asynchronous ? lspo_device_free : lspo_device_host_free)(work->device, on_device[i]);
    free(work);
}

/* ---- what lanes cost each other ---- */

typedef struct {
    lspo_calibration_t *calibration;
    lspo_lane_kind_t lane;
    lspo_timed_function_t step;
    void *context;
    atomic_bool started, end;
} background_t;

static void keep_stepping(void *context)
{
    background_t *background = context;
    lspo_meter_t meter;
    lspo_calibrate_fail(background->calibration,
                        lspo_device_enter_lane(background->calibration->device, background->lane));
    while (!atomic_load(&background->end)) {
        lspo_meter_start(background->calibration, background->lane, &meter);
        background->step(background->context);
        (void)lspo_meter_stop(background->calibration, &meter); /* on a stream: waits until it is done */
        atomic_store(&background->started, true);
    }
}

typedef struct {
    lspo_calibration_t *calibration;
    lspo_lane_kind_t lane;
    lspo_timed_function_t step;
    void *context;
    double least_s;       /* a sample has as many steps as take this long */
    double time_s, steps; /* out */
} foreground_t;

static void time_steps(void *context)
{
    foreground_t *foreground = context;
    lspo_meter_t meter;
    lspo_calibrate_fail(foreground->calibration,
                        lspo_device_enter_lane(foreground->calibration->device, foreground->lane));
    foreground->time_s = foreground->steps = 0;
    do {
        lspo_meter_start(foreground->calibration, foreground->lane, &meter);
        foreground->step(foreground->context);
        foreground->time_s += lspo_meter_stop(foreground->calibration, &meter);
        foreground->steps++;
    } while (foreground->time_s < foreground->least_s && foreground->calibration->status == LSPO_OK);
}

static double cpu_of(pthread_t thread)
{
    clockid_t clock;
    struct timespec now = {0};
    if (pthread_getcpuclockid(thread, &clock) == 0)
        clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* `background_cpu_s_out`: CPU time of the other lane's thread in the meantime. */
static lspo_status_t time_beside(lspo_calibration_t *calibration, lspo_lane_kind_t running, lspo_lanes_work_t *work,
                                 foreground_t *foreground, double *background_cpu_s_out)
{
    const lspo_topology_t *topology = calibration->topology;
    background_t background = {.calibration = calibration, .lane = running, .step = steps[running], .context = work};
    lane_call_t call = {.topology = topology, .lane = running, .function = keep_stepping, .context = &background};
    pthread_t thread;
    lspo_status_t status = start_on_lane(&call, &thread);
    if (status != LSPO_OK)
        return status;
    while (!atomic_load(&background.started))
        lspo_pace(lspo_now_ns(), 1e-4);
    double before_s = cpu_of(thread);
    status = lspo_calibrate_on_lane(topology, foreground->lane, time_steps, foreground);
    *background_cpu_s_out = cpu_of(thread) - before_s;
    atomic_store(&background.end, true);
    pthread_join(thread, NULL);
    if (status != LSPO_OK)
        return status;
    return calibration->status;
}

/* The fraction of its speed that `slowed` loses while `running` runs, measured by turns alone and together.  A step
 * takes longer if another lane uses the same memory; on the same core it also gets only a share of the time, which the
 * queues of a GPU do not need. */
static lspo_status_t measure_loss(lspo_calibration_t *calibration, lspo_lanes_work_t *work, lspo_lane_kind_t slowed,
                                  lspo_lane_kind_t running, double *loss_out)
{
    const lspo_topology_t *topology = calibration->topology;
    double losses[ROUNDS_MAX];
    uint32_t rounds = calibration->quick ? 3 : 7;
    bool same_core = topology->cpu[slowed] == topology->cpu[running] && !calibration->asynchronous;
    foreground_t foreground = {.calibration = calibration,
                               .lane = slowed,
                               .step = steps[slowed],
                               .context = work,
                               .least_s = calibration->quick ? 0.015 : 0.04};
    for (uint32_t i = 0; i < rounds; i++) {
        lspo_status_t status = lspo_calibrate_on_lane(topology, slowed, time_steps, &foreground);
        if (status != LSPO_OK)
            return status;
        double alone_s = foreground.time_s / foreground.steps, background_s = 0;
        status = time_beside(calibration, running, work, &foreground, &background_s);
        if (status != LSPO_OK)
            return status;
        double share = same_core ? foreground.time_s / (foreground.time_s + background_s) : 1;
        losses[i] = 1 - share * alone_s / (foreground.time_s / foreground.steps);
    }
    *loss_out = fmin(fmax(lspo_median(losses, rounds), 0), 0.95);
    lspo_calibrate_note(calibration, loss_out, lspo_calibrate_error(losses, rounds), rounds);
    return LSPO_OK;
}

lspo_status_t lspo_calibrate_contention(lspo_calibration_t *calibration, lspo_lanes_work_t *work)
{
    lspo_machine_t *machine = &calibration->result->machine;
    for (int a = 0; a < LSPO_DEVICE_LANES; a++) {
        for (int b = 0; b < LSPO_DEVICE_LANES; b++) {
            if (a == b)
                continue;
            double *loss = &machine->contention[a][b];
            if (a == LSPO_LANE_D2H && b == LSPO_LANE_H2D)
                loss = &machine->link.d2h_duplex_loss;
            else if (a == LSPO_LANE_H2D && b == LSPO_LANE_D2H)
                loss = &machine->link.h2d_duplex_loss;
            lspo_status_t status = measure_loss(calibration, work, (lspo_lane_kind_t)a, (lspo_lane_kind_t)b, loss);
            if (status != LSPO_OK)
                return status;
        }
    }
    return LSPO_OK;
}

/* ---- noise ---- */

typedef struct {
    lspo_calibration_t *calibration;
    lspo_lane_kind_t lane;
    lspo_timed_function_t step;
    void *context;
    uint32_t count;
    double times_s[NOISE_STEPS_MAX];
} noise_call_t;

static void time_each_step(void *context)
{
    noise_call_t *call = context;
    bool queued = lspo_calibrate_is_queued(call->calibration, call->lane);
    lspo_meter_t meter;
    lspo_calibrate_fail(call->calibration, lspo_device_enter_lane(call->calibration->device, call->lane));
    for (int warm = 0; warm < 3; warm++)
        call->step(call->context);
    for (uint32_t i = 0; i < call->count; i++) {
        uint64_t start_ns = lspo_now_ns();
        if (queued)
            lspo_meter_start(call->calibration, call->lane, &meter);
        call->step(call->context);
        call->times_s[i] =
            queued ? lspo_meter_stop(call->calibration, &meter) : (double)(lspo_now_ns() - start_ns) * 1e-9;
    }
}

/* Robust standard deviation of the logarithms; at most 0.98, well below the profile's limit. */
static double log_deviation(const double *values, uint32_t count)
{
    double distances[NOISE_STEPS_MAX], median = lspo_median(values, count);
    for (uint32_t i = 0; i < count; i++)
        distances[i] = fabs(log(values[i] / median));
    return fmin(1.4826 * lspo_median(distances, count), 0.98);
}

/* The noise of the medians of two lanes over the calls so far, which are spread over the whole calibration. */
static void set_run_sigma(lspo_calibration_t *calibration)
{
    double sum = 0;
    uint32_t runs = calibration->run_count;
    for (int lane = 0; lane < 2 && runs > 1; lane++) {
        double mean = 0, squares = 0;
        for (uint32_t i = 0; i < runs; i++)
            mean += log(calibration->run_medians_s[lane][i]) / runs;
        for (uint32_t i = 0; i < runs; i++)
            squares += pow(log(calibration->run_medians_s[lane][i]) - mean, 2);
        sum += squares / (runs - 1) / 2;
    }
    double *sigma = &calibration->result->machine.noise.run_sigma;
    *sigma = sqrt(sum);
    lspo_calibrate_note(calibration, sigma, runs > 1 ? *sigma / sqrt(2.0 * (2 * runs - 2)) : (double)NAN, 2 * runs);
}

lspo_status_t lspo_calibrate_noise(lspo_calibration_t *calibration, lspo_lanes_work_t *work)
{
    static const char *const names[LSPO_DEVICE_LANES] = {"noise gpu", "noise d2h", "noise h2d", "noise cpu"};
    lspo_machine_t *machine = &calibration->result->machine;
    double *sigmas[LSPO_DEVICE_LANES] = {[LSPO_LANE_GPU] = &machine->noise.gpu_sigma,
                                         [LSPO_LANE_D2H] = &machine->noise.d2h_sigma,
                                         [LSPO_LANE_H2D] = &machine->noise.h2d_sigma,
                                         [LSPO_LANE_CPU] = &machine->noise.cpu_sigma};
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++) {
        noise_call_t call = {.calibration = calibration,
                             .lane = (lspo_lane_kind_t)lane,
                             .step = steps[lane],
                             .context = work,
                             .count = calibration->quick ? 16 : 48};
        lspo_status_t status =
            lspo_calibrate_on_lane(calibration->topology, (lspo_lane_kind_t)lane, time_each_step, &call);
        if (status != LSPO_OK)
            return status;
        lspo_timing_t timing = lspo_calibrate_keep(calibration, names[lane], "one op", call.times_s, call.count);
        lspo_calibrate_set_fitted(calibration, &timing, timing.median_s);
        *sigmas[lane] = log_deviation(call.times_s, call.count);
        lspo_calibrate_note(calibration, sigmas[lane], *sigmas[lane] / sqrt(2.0 * call.count), call.count);
        if ((lane == LSPO_LANE_GPU || lane == LSPO_LANE_CPU) && calibration->run_count < LSPO_CALIBRATE_RUNS_MAX)
            calibration->run_medians_s[lane == LSPO_LANE_CPU][calibration->run_count] = timing.median_s;
    }
    if (calibration->run_count < LSPO_CALIBRATE_RUNS_MAX)
        calibration->run_count++;
    set_run_sigma(calibration);
    return LSPO_OK;
}
