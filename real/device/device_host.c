/* device_host.c - the host as a device: separate memory, and memcpy as the link.  See device.h.
 *
 * Freed memory stays resident for the next request (real/device/arena.h), so a steady state has no page faults; it is
 * not counted as in use, like freed memory of a GPU. */
#include <stdlib.h>
#include <string.h>

#include "real/device/arena.h"
#include "real/device/chunks_state.h"
#include "real/device/device_state.h"

enum { CHUNK_BYTES = 256 << 10 };

typedef struct {
    lspo_device_t device;
    lspo_arena_t *memory, *host_memory;
} host_device_t;

static host_device_t *host(lspo_device_t *device)
{
    return (host_device_t *)device;
}

static void host_close(lspo_device_t *device)
{
    lspo_arena_destroy(host(device)->host_memory);
    lspo_arena_destroy(host(device)->memory);
    lspo_device_end(device);
}

/* Uncounted memory is not needed here: the host's own memory serves its purpose. */
static lspo_status_t host_take_device(lspo_device_t *device, size_t bytes, bool counted, void **memory_out)
{
    (void)counted;
    void *memory = lspo_arena_take(host(device)->memory, bytes);
    if (!memory)
        return lspo_no_memory("%zu bytes of device memory", bytes);
    *memory_out = memory;
    return LSPO_OK;
}

static size_t host_give_back_device(lspo_device_t *device, void *memory)
{
    return lspo_arena_give_back(host(device)->memory, memory);
}

static lspo_status_t host_take(lspo_device_t *device, size_t bytes, void **memory_out)
{
    void *memory = lspo_arena_take(host(device)->host_memory, bytes);
    if (!memory)
        return lspo_no_memory("%zu bytes of host memory", bytes);
    memset(memory, 0, bytes);
    *memory_out = memory;
    return LSPO_OK;
}

static void host_give_back(lspo_device_t *device, void *memory)
{
    lspo_arena_give_back(host(device)->host_memory, memory);
}

static uint64_t host_most_held_bytes(const lspo_device_t *device)
{
    return lspo_arena_most_held_bytes(((const host_device_t *)device)->memory);
}

static uint64_t host_most_host_held_bytes(const lspo_device_t *device)
{
    return lspo_arena_most_held_bytes(((const host_device_t *)device)->host_memory);
}

static lspo_compute_t *host_compute(lspo_device_t *device)
{
    (void)device;
    return lspo_compute_host();
}

static lspo_status_t host_set_number(lspo_device_t *device, lspo_number_t number)
{
    (void)device;
    if (number != LSPO_NUMBER_FP32)
        return lspo_error(LSPO_ERR_INPUT, "the host device computes in fp32: use --precision fp32 (--transfer may be "
                                          "bf16 or fp16)");
    return LSPO_OK;
}

static void host_copy_begin(lspo_device_t *device, const lspo_copy_part_t *part)
{
    (void)device;
    memcpy(part->to, part->from, part->bytes);
}

static void host_copy(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    (void)device;
    if (bytes)
        memcpy(to, from, bytes);
}

static lspo_status_t host_copy_now(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    host_copy(device, to, from, bytes);
    return LSPO_OK;
}

static const lspo_device_backend_t backend = {.chunk_bytes = CHUNK_BYTES,
                                              .close = host_close,
                                              .take = host_take_device,
                                              .give_back = host_give_back_device,
                                              .host_take = host_take,
                                              .host_give_back = host_give_back,
                                              .most_held_bytes = host_most_held_bytes,
                                              .most_host_held_bytes = host_most_host_held_bytes,
                                              .compute = host_compute,
                                              .set_number = host_set_number,
                                              .copy_begin = host_copy_begin,
                                              .read = host_copy_now,
                                              .write = host_copy_now,
                                              .read_later = host_copy,
                                              .write_later = host_copy,
                                              .chunks = &lspo_chunks_host};

lspo_status_t lspo_device_open_host(const lspo_device_caps_t *caps, lspo_device_t **device_out)
{
    host_device_t *opened = calloc(1, sizeof *opened);
    if (!opened)
        return lspo_no_memory("a device");
    lspo_device_begin(&opened->device, &backend, caps);
    opened->memory = lspo_arena_create();
    opened->host_memory = lspo_arena_create();
    if (!opened->memory || !opened->host_memory) {
        lspo_device_close(&opened->device);
        return lspo_error(LSPO_ERR_MEMORY, "no addresses for a device's memory");
    }
    *device_out = &opened->device;
    return LSPO_OK;
}
