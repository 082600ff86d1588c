/* memory.c - pools of operands for timed kernels: in device memory and, if that is separate, in host memory for the CPU
 * optimizer and messages. */
#include "real/calibrate/state.h"

/* Host: far pools of 192 MiB each, much more than a core's share of a shared cache.  GPU: near pools that are large
 * enough for the operands; the profile of a GPU does not use them otherwise. */
const lspo_calibration_shapes_t lspo_calibrate_host_shapes = {
    .near_floats = LSPO_CALIBRATE_NEAR_BYTES / 2 / sizeof(float) + 64,
    .far_floats = 48 << 20,
    .product_sizes = {4, 16, 32, 64, 128, 256, 512, 1024},
    .vectors = {{16, 64}, {64, 128}, {128, 128}, {512, 128}, {256, 384}, {1024, 384}, {1024, 512}},
    .attentions = {{4, 64, 4, 32},
                   {4, 128, 4, 32},
                   {4, 256, 4, 32},
                   {4, 64, 6, 64},
                   {2, 128, 6, 64},
                   {2, 256, 6, 64},
                   {1, 512, 6, 64},
                   {2, 128, 2, 128}},
    .width_p = 384,
    .width_q = 1536,
    .subspace = 128,
    .nonzeros = {1, 4, 8},
    .tokens = 512,
    .adam_near = 1 << 17,
    .adam_far = 1 << 19,
    .message_sizes = 11,
    .block_width = 256,
    .block_sequence = 256,
};
const lspo_calibration_shapes_t lspo_calibrate_gpu_shapes = {
    .near_floats = 20 << 20,
    .far_floats = 64 << 20,
    .product_sizes = {16, 64, 128, 256, 512, 1024, 2048, 4096},
    .vectors = {{256, 512}, {512, 1024}, {1024, 1024}, {1024, 2048}, {2048, 2048}, {4096, 1024}, {4096, 1600}},
    .attentions = {{16, 256, 12, 64},
                   {8, 512, 12, 64},
                   {4, 512, 20, 64},
                   {4, 1024, 16, 64},
                   {2, 2048, 16, 64},
                   {8, 512, 12, 128},
                   {4, 1024, 12, 128},
                   {2, 2048, 12, 128}},
    .width_p = 2048,
    .width_q = 5504,
    .subspace = 1024, /* as lsp's default, half of the width; nonzeros around its default of 8 */
    .nonzeros = {4, 8, 16},
    .tokens = 2048,
    .adam_near = 1 << 20,
    .adam_far = 1 << 23,
    .message_sizes = 11,
    .block_width = 2048,
    .block_sequence = 1024,
};

/* ---- pools ---- */

float *lspo_pool_take(lspo_pool_t *pool, size_t n)
{
    const size_t gap = 336;
    n = (n + 15) / 16 * 16; /* keep cache lines whole */
    if (pool->at >= pool->around || pool->at + n > pool->count)
        pool->at = 0;
    float *taken = pool->data + pool->at;
    pool->at += n + gap;
    return taken;
}

/* The number of floats that n numbers of the device's format take. */
static size_t floats(const lspo_calibration_t *calibration, size_t n)
{
    return (n * lspo_compute_number_bytes(calibration->compute) + sizeof(float) - 1) / sizeof(float);
}

const float *lspo_calibrate_recent_floats(lspo_calibration_t *calibration, size_t n)
{
    return lspo_pool_take(&calibration->memory->near_input, n);
}

float *lspo_calibrate_recent_output_floats(lspo_calibration_t *calibration, size_t n)
{
    return lspo_pool_take(&calibration->memory->near_output, n);
}

const float *lspo_calibrate_saved_floats(lspo_calibration_t *calibration, size_t n)
{
    return calibration->far ? lspo_pool_take(&calibration->memory->far_input, n)
                            : lspo_calibrate_recent_floats(calibration, n);
}

float *lspo_calibrate_saved_output_floats(lspo_calibration_t *calibration, size_t n)
{
    return calibration->far ? lspo_pool_take(&calibration->memory->far_output, n)
                            : lspo_calibrate_recent_output_floats(calibration, n);
}

const void *lspo_calibrate_recent(lspo_calibration_t *calibration, size_t n)
{
    return lspo_calibrate_recent_floats(calibration, floats(calibration, n));
}

void *lspo_calibrate_recent_output(lspo_calibration_t *calibration, size_t n)
{
    return lspo_calibrate_recent_output_floats(calibration, floats(calibration, n));
}

const void *lspo_calibrate_saved(lspo_calibration_t *calibration, size_t n)
{
    return lspo_calibrate_saved_floats(calibration, floats(calibration, n));
}

void *lspo_calibrate_saved_output(lspo_calibration_t *calibration, size_t n)
{
    return lspo_calibrate_saved_output_floats(calibration, floats(calibration, n));
}

/* ---- on the host ---- */

static void fill(lspo_pool_t *pool)
{
    uint32_t x = 1;
    for (size_t i = 0; i < pool->count; i++) {
        x = x * 1664525U + 1013904223U;
        pool->data[i] = (float)(int32_t)x * 0x1p-31F;
    }
}

static lspo_status_t make_on_host(lspo_device_t *device, const lspo_calibration_shapes_t *shapes,
                                  lspo_calibration_memory_t *memory)
{
    lspo_pool_t *pools[] = {&memory->near_input, &memory->near_output, &memory->far_input, &memory->far_output};
    lspo_status_t status =
        lspo_device_host_alloc(device, LSPO_CALIBRATE_SCRATCH * sizeof(float), (void **)&memory->scratch);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_host_alloc(device, LSPO_CALIBRATE_TARGETS * sizeof(uint32_t), (void **)&memory->targets);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_host_alloc(device, LSPO_CALIBRATE_TARGETS * sizeof(uint32_t), (void **)&memory->columns);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_host_alloc(device, LSPO_CALIBRATE_TARGETS * sizeof(uint32_t), (void **)&memory->slots);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_host_alloc(device, sizeof(double), (void **)&memory->sum);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < 4; i++) {
        pools[i]->count = pools[i]->around = i < 2 ? shapes->near_floats : shapes->far_floats;
        status = lspo_device_host_alloc(device, pools[i]->count * sizeof(float), (void **)&pools[i]->data);
        if (status != LSPO_OK)
            return status;
    }
    for (size_t i = 0; i < 4; i++)
        fill(pools[i]);
    for (uint32_t i = 0; i < LSPO_CALIBRATE_TARGETS; i++)
        memory->slots[i] = i ^ (i >> 1); /* a Gray code */
    for (uint32_t i = 0; i < LSPO_CALIBRATE_TARGETS; i++)
        memory->columns[i] = i < LSPO_CALIBRATE_TARGETS / 2 ? 2 * i : 2 * (i - LSPO_CALIBRATE_TARGETS / 2) + 1;
    return LSPO_OK;
}

/* ---- on a GPU ---- */

static lspo_status_t make_zeroed(lspo_calibration_t *calibration, size_t bytes, void **memory_out)
{
    lspo_status_t status = lspo_device_alloc(calibration->device, bytes, memory_out);
    if (status != LSPO_OK)
        return status;
    lspo_compute_zero(calibration->compute, bytes, *memory_out);
    return LSPO_OK;
}

/* The host's numbers in the device's format.  Two 16-bit numbers read as fp32 are also below 1. */
static lspo_status_t fill_on_device(lspo_calibration_t *calibration, const lspo_pool_t *from, lspo_pool_t *to)
{
    lspo_compute_t *compute = calibration->compute;
    const size_t number_bytes = lspo_compute_number_bytes(compute), count = to->count * sizeof(float) / number_bytes;
    for (size_t at = 0; at < count;) {
        size_t n = count - at < LSPO_CALIBRATE_SCRATCH ? count - at : LSPO_CALIBRATE_SCRATCH;
        n = n < from->count ? n : from->count;
        size_t source = n < from->count ? at % (from->count - n) : 0;
        lspo_status_t status = lspo_device_write(calibration->device, calibration->on_device.scratch,
                                                 from->data + source, n * sizeof(float));
        if (status != LSPO_OK)
            return status;
        lspo_compute_convert(compute, n, LSPO_NUMBER_FP32, calibration->on_device.scratch, lspo_compute_number(compute),
                             (char *)to->data + at * number_bytes);
        at += n;
    }
    return lspo_compute_status(compute);
}

/* Reserve the device's own scratch for the largest shapes. */
static lspo_status_t reserve(lspo_calibration_t *calibration)
{
    const lspo_calibration_shapes_t *shapes = calibration->shapes;
    for (size_t i = 0; i < LSPO_CALIBRATE_VECTORS; i++) {
        lspo_status_t status = lspo_compute_reserve(calibration->compute, shapes->vectors[i][0], 1);
        if (status != LSPO_OK)
            return status;
    }
    for (size_t i = 0; i < LSPO_CALIBRATE_ATTENTIONS; i++) {
        lspo_status_t status = lspo_compute_reserve(
            calibration->compute, shapes->attentions[i][0] * shapes->attentions[i][1], shapes->attentions[i][2]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t make_on_device(lspo_calibration_t *calibration)
{
    lspo_calibration_memory_t *memory = &calibration->on_device;
    lspo_pool_t *pools[] = {&memory->near_input, &memory->near_output, &memory->far_input, &memory->far_output};
    const lspo_calibration_shapes_t *shapes = calibration->shapes;
    lspo_status_t status = reserve(calibration);
    if (status != LSPO_OK)
        return status;
    status = make_zeroed(calibration, LSPO_CALIBRATE_SCRATCH * sizeof(float), (void **)&memory->scratch);
    if (status != LSPO_OK)
        return status;
    status = make_zeroed(calibration, LSPO_CALIBRATE_TARGETS * sizeof(uint32_t), (void **)&memory->targets);
    if (status != LSPO_OK)
        return status;
    status = make_zeroed(calibration, LSPO_CALIBRATE_TARGETS * sizeof(uint32_t), (void **)&memory->columns);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_write(calibration->device, memory->columns, calibration->on_host.columns,
                               LSPO_CALIBRATE_TARGETS * sizeof(uint32_t));
    if (status != LSPO_OK)
        return status;
    status = make_zeroed(calibration, LSPO_CALIBRATE_TARGETS * sizeof(uint32_t), (void **)&memory->slots);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_write(calibration->device, memory->slots, calibration->on_host.slots,
                               LSPO_CALIBRATE_TARGETS * sizeof(uint32_t));
    if (status != LSPO_OK)
        return status;
    status = make_zeroed(calibration, sizeof(double), (void **)&memory->sum);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < 4; i++) {
        pools[i]->count = pools[i]->around = i < 2 ? shapes->near_floats : shapes->far_floats;
        status = lspo_device_alloc(calibration->device, pools[i]->count * sizeof(float), (void **)&pools[i]->data);
        if (status != LSPO_OK)
            return status;
        status = fill_on_device(calibration, &calibration->on_host.far_input, pools[i]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* ---- both ---- */

lspo_status_t lspo_calibrate_make_memory(lspo_calibration_t *calibration)
{
    lspo_status_t status = make_on_host(calibration->device, calibration->shapes, &calibration->on_host);
    if (status != LSPO_OK)
        return status;
    calibration->memory = calibration->asynchronous ? &calibration->on_device : &calibration->on_host;
    return calibration->asynchronous ? make_on_device(calibration) : LSPO_OK;
}

static void release(lspo_device_t *device, lspo_calibration_memory_t *memory,
                    void (*release_array)(lspo_device_t *device, void *memory))
{
    void *arrays[] = {
        memory->far_output.data, memory->far_input.data, memory->near_output.data, memory->near_input.data, memory->sum,
        memory->slots,           memory->columns,        memory->targets,          memory->scratch};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        release_array(device, arrays[i]);
}

void lspo_calibrate_release_memory(lspo_calibration_t *calibration)
{
    release(calibration->device, &calibration->on_device, lspo_device_free);
    release(calibration->device, &calibration->on_host, lspo_device_host_free);
}
