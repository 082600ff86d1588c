/* device_host.c - the host as a device: accounted memory of its own and a paced duplex link.  See device.h.
 *
 * What is free stays resident for the next request (real/arena.h), so that a steady state takes no page faults; it is not
 * counted as in use, exactly as memory that a GPU's driver has back.  Copies go in chunks, because the rate depends on
 * whether the other direction is busy, and that changes while a message is under way. */
#include "real/device.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "real/arena.h"

enum {
    CHUNK_BYTES = 256 << 10,
    SPIN_NS = 40000,         /* the last stretch of a wait, which sleeping would overshoot      */
    CHUNK_AHEAD_NS = 200000, /* between chunks, sleep only when this far ahead: waking costs too */
};

struct lspo_device {
    lspo_device_caps_t caps;
    pthread_mutex_t lock;
    uint64_t in_use_bytes, peak_bytes;
    lspo_arena_t *memory, *host_memory;
    atomic_bool busy[2]; /* by direction */
};

uint64_t lspo_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void sleep_ns(uint64_t ns)
{
    static _Thread_local bool slack_is_set;
    if (!slack_is_set) {
        prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
        slack_is_set = true;
    }
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000U), .tv_nsec = (long)(ns % 1000000000U)};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static void wait_until(uint64_t due_ns)
{
    uint64_t now_ns = lspo_now_ns();
    while (now_ns < due_ns) {
        if (due_ns - now_ns > SPIN_NS)
            sleep_ns(due_ns - now_ns - SPIN_NS);
        now_ns = lspo_now_ns();
    }
}

void lspo_pace(uint64_t start_ns, double seconds)
{
    if (seconds > 0)
        wait_until(start_ns + (uint64_t)(seconds * 1e9));
}

static lspo_status_t check_caps(const lspo_device_caps_t *caps)
{
    const double positive[] = {caps->h2d_Bps, caps->d2h_Bps, caps->h2d_latency_s, caps->d2h_latency_s, caps->cpu_pps};
    for (size_t i = 0; i < sizeof positive / sizeof positive[0]; i++)
        if (!(positive[i] >= 0 && positive[i] < 1e18))
            return lspo_error(LSPO_ERR_INPUT, "a cap of the device is %g; it must be at least 0 and below 1e18",
                              positive[i]);
    const double loss[] = {caps->h2d_duplex_loss, caps->d2h_duplex_loss};
    for (size_t i = 0; i < 2; i++)
        if (!(loss[i] >= 0 && loss[i] <= 0.99))
            return lspo_error(LSPO_ERR_INPUT, "a duplex loss of the link is %g; allowed is 0 to 0.99", loss[i]);
    return LSPO_OK;
}

lspo_status_t lspo_device_open(const char *name, const lspo_device_caps_t *caps, lspo_device_t **device_out)
{
    if (strncmp(name, "cuda", 4) == 0)
        return lspo_error(LSPO_ERR_DEVICE, "device '%s': this build executes on the host device only", name);
    if (strcmp(name, "host") != 0)
        return lspo_error(LSPO_ERR_INPUT, "unknown device '%s'; devices are: host", name);
    lspo_status_t status = check_caps(caps);
    if (status != LSPO_OK)
        return status;
    lspo_device_t *device = calloc(1, sizeof *device);
    if (!device)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a device");
    device->caps = *caps;
    pthread_mutex_init(&device->lock, NULL);
    device->memory = lspo_arena_create();
    device->host_memory = lspo_arena_create();
    if (!device->memory || !device->host_memory) {
        lspo_device_close(device);
        return lspo_error(LSPO_ERR_MEMORY, "no addresses for a device's memory");
    }
    *device_out = device;
    return LSPO_OK;
}

void lspo_device_close(lspo_device_t *device)
{
    if (!device)
        return;
    lspo_arena_destroy(device->host_memory);
    lspo_arena_destroy(device->memory);
    pthread_mutex_destroy(&device->lock);
    free(device);
}

lspo_status_t lspo_device_alloc(lspo_device_t *device, size_t bytes, void **memory_out)
{
    lspo_status_t status = LSPO_OK;
    pthread_mutex_lock(&device->lock);
    uint64_t cap_bytes = device->caps.memory_bytes;
    if (cap_bytes && (bytes > cap_bytes || device->in_use_bytes > cap_bytes - bytes)) {
        status = lspo_error(LSPO_ERR_FIT,
                            "device memory: %zu bytes asked for with %" PRIu64 " in use of %" PRIu64 " allowed", bytes,
                            device->in_use_bytes, cap_bytes);
        goto unlock;
    }
    void *memory = lspo_arena_take(device->memory, bytes);
    if (!memory) {
        status = lspo_error(LSPO_ERR_MEMORY, "no host memory for %zu bytes of device memory", bytes);
        goto unlock;
    }
    device->in_use_bytes += bytes;
    if (device->in_use_bytes > device->peak_bytes)
        device->peak_bytes = device->in_use_bytes;
    *memory_out = memory;
unlock:
    pthread_mutex_unlock(&device->lock);
    return status;
}

void lspo_device_free(lspo_device_t *device, void *memory)
{
    if (!memory)
        return;
    pthread_mutex_lock(&device->lock);
    device->in_use_bytes -= lspo_arena_give_back(device->memory, memory);
    pthread_mutex_unlock(&device->lock);
}

uint64_t lspo_device_peak_bytes(const lspo_device_t *device)
{
    return device->peak_bytes;
}

uint64_t lspo_device_most_held_bytes(const lspo_device_t *device)
{
    return lspo_arena_most_held_bytes(device->memory);
}

const lspo_device_caps_t *lspo_device_caps(const lspo_device_t *device)
{
    return &device->caps;
}

lspo_status_t lspo_device_host_alloc(lspo_device_t *device, size_t bytes, void **memory_out)
{
    pthread_mutex_lock(&device->lock);
    void *memory = lspo_arena_take(device->host_memory, bytes);
    pthread_mutex_unlock(&device->lock);
    if (!memory)
        return lspo_error(LSPO_ERR_MEMORY, "no host memory for %zu bytes", bytes);
    memset(memory, 0, bytes);
    *memory_out = memory;
    return LSPO_OK;
}

void lspo_device_host_free(lspo_device_t *device, void *memory)
{
    if (!memory)
        return;
    pthread_mutex_lock(&device->lock);
    lspo_arena_give_back(device->host_memory, memory);
    pthread_mutex_unlock(&device->lock);
}

uint64_t lspo_device_most_host_held_bytes(const lspo_device_t *device)
{
    return lspo_arena_most_held_bytes(device->host_memory);
}

void lspo_device_copy(lspo_device_t *device, lspo_copy_direction_t direction, void *to, const void *from, size_t bytes)
{
    const lspo_device_caps_t *caps = &device->caps;
    bool up = direction == LSPO_COPY_H2D;
    double rate_Bps = up ? caps->h2d_Bps : caps->d2h_Bps;
    double latency_s = up ? caps->h2d_latency_s : caps->d2h_latency_s;
    double loss = up ? caps->h2d_duplex_loss : caps->d2h_duplex_loss;
    atomic_bool *mine = &device->busy[direction], *other = &device->busy[!direction];

    uint64_t start_ns = lspo_now_ns();
    double due_s = latency_s; /* after start: when what has been copied so far may have arrived */
    atomic_store(mine, true);
    for (size_t at = 0; at < bytes;) {
        size_t part_bytes = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
        uint64_t part_start_ns = lspo_now_ns();
        memcpy((char *)to + at, (const char *)from + at, part_bytes);
        at += part_bytes;
        uint64_t now_ns = lspo_now_ns();
        double part_s = rate_Bps > 0 ? (double)part_bytes / rate_Bps : (double)(now_ns - part_start_ns) * 1e-9;
        due_s += atomic_load(other) ? part_s / (1 - loss) : part_s;
        if (at < bytes && start_ns + (uint64_t)(due_s * 1e9) > now_ns + CHUNK_AHEAD_NS)
            sleep_ns(start_ns + (uint64_t)(due_s * 1e9) - now_ns);
    }
    if (latency_s > 0 || rate_Bps > 0 || loss > 0)
        lspo_pace(start_ns, due_s);
    atomic_store(mine, false);
}
