/* calibrate.c - see calibrate.h: the order of measurements, and the memory that they share. */
#include "real/calibrate/calibrate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/gemm.h"
#include "real/calibrate/state.h"
#include "real/train/run.h"

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
    lspo_calibration_t *calibration = call->calibration;
    call->status = lspo_device_enter_lane(calibration->device, calibration->lane);
    if (call->status != LSPO_OK)
        return;
    call->status = call->measure(calibration);
}

static lspo_status_t measure_on_lane(lspo_calibration_t *calibration, lspo_lane_kind_t lane, measurement_t measure)
{
    measurement_call_t call = {.calibration = calibration, .measure = measure};
    calibration->lane = lane;
    calibration->memory = lspo_calibrate_is_queued(calibration, lane) ? &calibration->on_device : &calibration->on_host;
    lspo_status_t status = lspo_calibrate_on_lane(calibration->topology, lane, measure_here, &call);
    if (status != LSPO_OK)
        return status;
    status = call.status;
    if (status != LSPO_OK)
        return status;
    return calibration->status;
}

static lspo_status_t measure_noise(lspo_calibration_t *calibration)
{
    return lspo_calibrate_noise(calibration, calibration->lanes_work);
}

static lspo_status_t measure_contention(lspo_calibration_t *calibration)
{
    return lspo_calibrate_contention(calibration, calibration->lanes_work);
}

/* Lane COUNT: the measurement starts its own threads.  The noise steps in between stand for runs at other times. */
static const struct {
    const char *label;
    lspo_lane_kind_t lane;
    measurement_t measure;
} measurements[] = {
    {"what a cache holds", LSPO_LANE_GPU, lspo_calibrate_near},
    {"noise", LSPO_DEVICE_LANES, measure_noise},
    {"counters", LSPO_DEVICE_LANES, lspo_calibrate_counters},
    {"vector kernels", LSPO_LANE_GPU, lspo_calibrate_vector_kernels},
    {"matrix products", LSPO_LANE_GPU, lspo_calibrate_gemm},
    {"noise", LSPO_DEVICE_LANES, measure_noise},
    {"attention", LSPO_LANE_GPU, lspo_calibrate_attention},
    {"projectors", LSPO_LANE_GPU, lspo_calibrate_projectors},
    {"dense projectors", LSPO_LANE_GPU, lspo_calibrate_dense},
    {"generation", LSPO_LANE_GPU, lspo_calibrate_generation},
    {"what a cache keeps", LSPO_LANE_GPU, lspo_calibrate_kept},
    {"optimizer", LSPO_LANE_GPU, lspo_calibrate_gpu_adam},
    {"CPU optimizer", LSPO_LANE_CPU, lspo_calibrate_cpu_adam},
    {"its other formats", LSPO_LANE_CPU, lspo_calibrate_cpu_narrow_adam},
    {"its threads", LSPO_DEVICE_LANES, lspo_calibrate_cpu_threads},
    {"noise", LSPO_DEVICE_LANES, measure_noise},
    {"link", LSPO_DEVICE_LANES, lspo_calibrate_link},
    {"chunks", LSPO_LANE_CPU, lspo_calibrate_chunks},
    {"ops", LSPO_DEVICE_LANES, lspo_calibrate_ops},
    {"contention", LSPO_DEVICE_LANES, measure_contention},
    {"noise", LSPO_DEVICE_LANES, measure_noise},
};

static lspo_status_t measure_all(const lspo_calibrate_options_t *options, lspo_calibration_t *calibration)
{
    const unsigned count = sizeof measurements / sizeof measurements[0];
    lspo_status_t status = LSPO_OK;
    for (unsigned i = 0; i < count; i++) {
        if (options->progress)
            options->progress(options->progress_context, measurements[i].label, i, count);
        if (measurements[i].lane == LSPO_DEVICE_LANES)
            status = measurements[i].measure(calibration);
        else
            status = measure_on_lane(calibration, measurements[i].lane, measurements[i].measure);
        if (status != LSPO_OK)
            return status;
    }
    if (options->progress)
        options->progress(options->progress_context, "done", count, count);
    return calibration->status;
}

/* ---- the calibration ---- */

static void describe(const lspo_calibrate_options_t *options, const lspo_topology_t *topology, lspo_machine_t *machine)
{
    double memory_bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    snprintf(machine->source, sizeof machine->source, "measured by lspo calibrate --device %s", options->device);
    snprintf(machine->name, sizeof machine->name, "%s", options->device);
    snprintf(machine->evidence, sizeof machine->evidence, "calibrated");
    snprintf(machine->description, sizeof machine->description, "this machine as a device: %s; BLAS core %s",
             topology->description, lspo_gemm_core());
    machine->gpu.memory_bytes = floor(memory_bytes / 2);
    machine->gpu.near_bytes = LSPO_CALIBRATE_NEAR_BYTES;
    machine->gpu.cache_bytes = LSPO_CALIBRATE_FAR_BYTES;
    machine->cpu.memory_bytes = floor(memory_bytes / 2);
}

/* Entries of lspo_device_describe(). */
static lspo_status_t take_entry(void *context, const char *key, const char *value)
{
    lspo_machine_t *machine = context;
    if (strcmp(key, "gpu") == 0)
        snprintf(machine->description, sizeof machine->description, "%s", value);
    else if (strcmp(key, "gpu memory bytes") == 0)
        machine->gpu.memory_bytes = strtod(value, NULL);
    return LSPO_OK;
}

/* A GPU has its own memory and name; no host memory is set aside for it. */
static lspo_status_t describe_gpu(lspo_calibration_t *calibration)
{
    lspo_machine_t *machine = &calibration->result->machine;
    machine->gpu.near_bytes = machine->gpu.cache_bytes = 0;
    machine->cpu.memory_bytes *= 2;
    return lspo_device_describe(calibration->device, take_entry, machine);
}

static lspo_status_t measure_with_memory(const lspo_calibrate_options_t *options, lspo_calibration_t *calibration)
{
    lspo_status_t status = lspo_calibrate_make_marks(calibration);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_calibrate_make_memory(calibration);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_lanes_work_create(calibration->device, calibration->shapes, &calibration->lanes_work);
    if (status != LSPO_OK)
        goto cleanup;
    status = measure_all(options, calibration);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_machine_check(&calibration->result->machine);
cleanup:
    lspo_lanes_work_destroy(calibration->lanes_work);
    lspo_calibrate_release_memory(calibration);
    lspo_calibrate_release_marks(calibration);
    return status;
}

static lspo_status_t calibrate_here(const lspo_calibrate_options_t *options, lspo_device_t *device,
                                    const lspo_calibration_shapes_t *shapes, lspo_calibration_result_t *result)
{
    lspo_topology_t topology;
    bool asynchronous = lspo_device_is_asynchronous(device);
    if (shapes == NULL)
        shapes = asynchronous ? &lspo_calibrate_gpu_shapes : &lspo_calibrate_host_shapes;
    lspo_calibration_t calibration = {.topology = &topology,
                                      .device = device,
                                      .compute = lspo_device_compute(device),
                                      .shapes = shapes,
                                      .asynchronous = asynchronous,
                                      .quick = options->quick,
                                      .repeats = options->quick ? 5 : 15,
                                      .result = result};
    lspo_status_t status = asynchronous ? lspo_topology_read_near(lspo_device_pci_address(device), &topology)
                                        : lspo_topology_read(&topology);
    if (status != LSPO_OK)
        return status;
    status = lspo_topology_workers(&topology, options->cpu_threads, &calibration.cpu_threads);
    if (status != LSPO_OK)
        return status;
    describe(options, &topology, &result->machine);
    if (asynchronous)
        status = describe_gpu(&calibration);
    if (status != LSPO_OK)
        return status;
    lspo_calibrate_note(&calibration, &result->machine.cpu.process_bytes, NAN, 1);
    lspo_calibrate_note(&calibration, &result->machine.cpu.lanes_bytes, NAN, 1);
    status = lspo_calibrate_place(&calibration);
    if (status != LSPO_OK)
        return status;
    return measure_with_memory(options, &calibration);
}

lspo_status_t lspo_calibrate(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result_out)
{
    return lspo_calibrate_at(options, NULL, result_out);
}

lspo_status_t lspo_calibrate_at(const lspo_calibrate_options_t *options, const lspo_calibration_shapes_t *shapes,
                                lspo_calibration_result_t *result_out)
{
    static const lspo_device_caps_t no_caps;
    lspo_calibration_result_t result = {.counted_bytes = NAN, .counted_model_bytes = NAN, .counted_cycles = NAN};
    lspo_device_t *device = NULL;
    lspo_status_t status = lspo_device_open(options->device, &no_caps, &device);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_set_number(device, lspo_compute_number_of(options->precision));
    if (status != LSPO_OK)
        goto close;
    for (size_t i = 0; i < LSPO_MACHINE_FIELDS_MAX; i++)
        result.errors[i].standard_error = NAN;
    uint64_t process_bytes = 0, lanes_bytes = 0;
    /* First, because memory touched earlier is not counted again. */
    status = lspo_run_extra_bytes(&process_bytes, &lanes_bytes);
    if (status != LSPO_OK)
        goto close;
    result.machine.cpu.process_bytes = (double)process_bytes;
    result.machine.cpu.lanes_bytes = (double)lanes_bytes;
    status = calibrate_here(options, device, shapes, &result);
    if (status != LSPO_OK) {
        lspo_calibration_release(&result);
        goto close;
    }
    *result_out = result;
close:
    lspo_device_close(device);
    return status;
}

void lspo_calibration_release(lspo_calibration_result_t *result)
{
    free(result->samples);
    result->samples = NULL;
    result->sample_count = 0;
}
