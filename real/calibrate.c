/* calibrate.c - see calibrate.h: the order of measurements, and the memory that they share. */
#include "real/calibrate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/gemm.h"
#include "real/calibrate_state.h"
#include "real/process.h"

/* Far pools of 192 MiB each, far above what a core keeps of a shared cache. */
enum { NEAR_FLOATS = LSPO_CALIBRATE_NEAR_BYTES / 2 / (int)sizeof(float) + 64, FAR_FLOATS = 48 << 20 };

/* ---- memory ---- */

static lspo_status_t make_pool(lspo_device_t *device, size_t count, lspo_pool_t *pool)
{
    pool->count = count;
    return lspo_device_host_alloc(device, count * sizeof(float), (void **)&pool->data);
}

static void fill(lspo_pool_t *pool)
{
    uint32_t x = 1;
    for (size_t i = 0; i < pool->count; i++) {
        x = x * 1664525U + 1013904223U;
        pool->data[i] = (float)(int32_t)x * 0x1p-31F;
    }
}

static lspo_status_t make_memory(lspo_device_t *device, lspo_calibration_memory_t *memory)
{
    lspo_pool_t *pools[] = {&memory->near_input, &memory->near_output, &memory->far_input, &memory->far_output};
    lspo_status_t status =
        lspo_device_host_alloc(device, LSPO_CALIBRATE_SCRATCH * sizeof(float), (void **)&memory->scratch);
    for (size_t i = 0; status == LSPO_OK && i < 4; i++)
        status = make_pool(device, i < 2 ? NEAR_FLOATS : FAR_FLOATS, pools[i]);
    for (size_t i = 0; status == LSPO_OK && i < 4; i++)
        fill(pools[i]);
    return status;
}

static void release_memory(lspo_device_t *device, lspo_calibration_memory_t *memory)
{
    float *arrays[] = {memory->far_output.data, memory->far_input.data, memory->near_output.data,
                       memory->near_input.data, memory->scratch};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        lspo_device_host_free(device, arrays[i]);
}

/* ---- steps ---- */

typedef lspo_status_t (*measurement_t)(lspo_calibration_t *calibration);

typedef struct {
    lspo_calibration_t *calibration;
    measurement_t measure;
    lspo_status_t status;
} measurement_call_t;

static void measure_here(void *context)
{
    measurement_call_t *call = context;
    call->status = call->measure(call->calibration);
}

static lspo_status_t measure_on_lane(lspo_calibration_t *calibration, lspo_lane_t lane, measurement_t measure)
{
    measurement_call_t call = {.calibration = calibration, .measure = measure};
    lspo_status_t status = lspo_calibrate_on_lane(calibration->topology, lane, measure_here, &call);
    if (status == LSPO_OK)
        status = call.status;
    return status == LSPO_OK ? calibration->status : status;
}

static lspo_status_t measure_noise(lspo_calibration_t *calibration)
{
    return lspo_calibrate_noise(calibration, calibration->lanes_work);
}

static lspo_status_t measure_contention(lspo_calibration_t *calibration)
{
    return lspo_calibrate_contention(calibration, calibration->lanes_work);
}

/* Lane COUNT: the measurement starts threads of its own.  Noise in between: its medians stand for runs at other times. */
static const struct {
    const char *label;
    lspo_lane_t lane;
    measurement_t measure;
} measurements[] = {
    {"noise", LSPO_LANE_COUNT, measure_noise},
    {"counters", LSPO_LANE_COUNT, lspo_calibrate_counters},
    {"vector kernels", LSPO_LANE_GPU, lspo_calibrate_vector_kernels},
    {"matrix products", LSPO_LANE_GPU, lspo_calibrate_gemm},
    {"noise", LSPO_LANE_COUNT, measure_noise},
    {"attention", LSPO_LANE_GPU, lspo_calibrate_attention},
    {"projectors", LSPO_LANE_GPU, lspo_calibrate_projectors},
    {"optimizer", LSPO_LANE_GPU, lspo_calibrate_gpu_adam},
    {"CPU optimizer", LSPO_LANE_CPU, lspo_calibrate_cpu_adam},
    {"noise", LSPO_LANE_COUNT, measure_noise},
    {"link", LSPO_LANE_COUNT, lspo_calibrate_link},
    {"ops", LSPO_LANE_COUNT, lspo_calibrate_ops},
    {"contention", LSPO_LANE_COUNT, measure_contention},
    {"noise", LSPO_LANE_COUNT, measure_noise},
};

static lspo_status_t measure_all(const lspo_calibrate_options_t *options, lspo_calibration_t *calibration)
{
    const unsigned count = sizeof measurements / sizeof measurements[0];
    lspo_status_t status = LSPO_OK;
    for (unsigned i = 0; status == LSPO_OK && i < count; i++) {
        if (options->progress)
            options->progress(options->progress_context, measurements[i].label, i, count);
        if (measurements[i].lane == LSPO_LANE_COUNT)
            status = measurements[i].measure(calibration);
        else
            status = measure_on_lane(calibration, measurements[i].lane, measurements[i].measure);
    }
    if (status == LSPO_OK && options->progress)
        options->progress(options->progress_context, "done", count, count);
    return status == LSPO_OK ? calibration->status : status;
}

/* ---- front door ---- */

static void describe(const lspo_topology_t *topology, lspo_machine_t *machine)
{
    double memory_bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    snprintf(machine->name, sizeof machine->name, "host");
    snprintf(machine->description, sizeof machine->description, "this machine as a device: %s; BLAS core %s",
             topology->description, lspo_gemm_core());
    snprintf(machine->source, sizeof machine->source, "measured by lspo calibrate --device host");
    machine->gpu.memory_bytes = floor(memory_bytes / 2);
    machine->gpu.near_bytes = LSPO_CALIBRATE_NEAR_BYTES;
    machine->gpu.cache_bytes = LSPO_CALIBRATE_FAR_BYTES;
    machine->cpu.memory_bytes = floor(memory_bytes / 2);
}

static lspo_status_t calibrate_here(const lspo_calibrate_options_t *options, lspo_device_t *device,
                                    lspo_calibration_result_t *result)
{
    lspo_topology_t topology;
    lspo_lanes_work_t *work = NULL;
    lspo_calibration_t calibration = {.topology = &topology,
                                      .device = device,
                                      .quick = options->quick,
                                      .repeats = options->quick ? 5 : 15,
                                      .result = result};
    lspo_status_t status = lspo_topology_read(&topology);
    if (status != LSPO_OK)
        return status;
    describe(&topology, &result->machine);
    lspo_calibrate_note(&calibration, &result->machine.cpu.process_bytes, NAN, 1);
    lspo_calibrate_place(&calibration);
    status = make_memory(device, &calibration.memory);
    if (status == LSPO_OK)
        status = lspo_lanes_work_create(device, &work);
    calibration.lanes_work = work;
    if (status == LSPO_OK)
        status = measure_all(options, &calibration);
    if (status == LSPO_OK)
        status = lspo_machine_check(&result->machine);
    lspo_lanes_work_destroy(work);
    release_memory(device, &calibration.memory);
    return status;
}

lspo_status_t lspo_calibrate(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result_out)
{
    static const lspo_device_caps_t no_caps;
    lspo_calibration_result_t result = {.counted_bytes = NAN, .counted_model_bytes = NAN, .counted_cycles = NAN};
    lspo_device_t *device = NULL;
    lspo_status_t status = lspo_device_open(options->device, &no_caps, &device);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < LSPO_CALIBRATION_FIELDS_MAX; i++)
        result.errors[i].standard_error = NAN;
    lspo_gemm_single_thread();
    uint64_t process_bytes = 0;
    status = lspo_process_extra_bytes(&process_bytes); /* first: what earlier work has touched is not counted again */
    result.machine.cpu.process_bytes = (double)process_bytes;
    if (status == LSPO_OK)
        status = calibrate_here(options, device, &result);
    lspo_device_close(device);
    if (status == LSPO_OK)
        *result_out = result;
    else
        lspo_calibration_release(&result);
    return status;
}

void lspo_calibration_release(lspo_calibration_result_t *result)
{
    free(result->samples);
    result->samples = NULL;
    result->sample_count = 0;
}
