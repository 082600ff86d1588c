/* device.c - code common to all devices: names, caps, exact accounting of memory, paced copies.  See
 * device.h. */
#include "real/device/device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/units.h"
#include "real/device/device_state.h"
#include "real/machine/host_memory.h"

enum {
    SPIN_NS = 40000,         /* the last part of a wait, which sleep would overshoot */
    CHUNK_AHEAD_NS = 200000, /* between chunks, sleep only if this far ahead: waking costs too */
    SLICE_NS = 100000000,    /* longer sleeps check in between whether to keep pacing */
};

/* ---- time ---- */

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

static bool is_hurried(const atomic_int *hurry)
{
    return hurry && atomic_load_explicit(hurry, memory_order_relaxed) != 0;
}

/* Sleeps until SPIN_NS before it. */
static void sleep_until(uint64_t due_ns, const atomic_int *hurry)
{
    for (uint64_t now_ns = lspo_now_ns(); now_ns + SPIN_NS < due_ns && !is_hurried(hurry); now_ns = lspo_now_ns()) {
        uint64_t left_ns = due_ns - now_ns - SPIN_NS;
        sleep_ns(hurry && left_ns > SLICE_NS ? SLICE_NS : left_ns);
    }
}

static void pace(uint64_t start_ns, double seconds, const atomic_int *hurry)
{
    if (!(seconds > 0))
        return;
    uint64_t due_ns = start_ns + (uint64_t)(seconds * 1e9);
    sleep_until(due_ns, hurry);
    while (lspo_now_ns() < due_ns && !is_hurried(hurry)) {
    }
}

void lspo_pace(uint64_t start_ns, double seconds)
{
    pace(start_ns, seconds, NULL);
}

void lspo_device_pace(const lspo_device_t *device, uint64_t start_ns, double seconds)
{
    pace(start_ns, seconds, device->hurry);
}

void lspo_device_set_hurry(lspo_device_t *device, const atomic_int *hurry)
{
    device->hurry = hurry;
}

/* ---- open and close ---- */

void lspo_device_close(lspo_device_t *device)
{
    if (device)
        device->backend->close(device);
}

void lspo_device_begin(lspo_device_t *device, const lspo_device_backend_t *backend, const lspo_device_caps_t *caps)
{
    device->backend = backend;
    device->caps = *caps;
    pthread_mutex_init(&device->lock, NULL);
    pthread_cond_init(&device->passed, NULL);
}

void lspo_device_end(lspo_device_t *device)
{
    pthread_cond_destroy(&device->passed);
    pthread_mutex_destroy(&device->lock);
    free(device);
}

const lspo_device_caps_t *lspo_device_caps(const lspo_device_t *device)
{
    return &device->caps;
}

lspo_status_t lspo_device_describe(const lspo_device_t *device, lspo_device_entry_t add, void *context)
{
    return device->backend->describe ? device->backend->describe(device, add, context) : LSPO_OK;
}

const char *lspo_device_pci_address(const lspo_device_t *device)
{
    return device->backend->pci_address ? device->backend->pci_address(device) : NULL;
}

lspo_compute_t *lspo_device_compute(lspo_device_t *device)
{
    return device->backend->compute(device);
}

lspo_status_t lspo_device_set_number(lspo_device_t *device, lspo_number_t number)
{
    return device->backend->set_number(device, number);
}

/* ---- memory ---- */

/* The lane on whose stream the calling thread's work is queued. */
static lspo_lane_kind_t stream_lane(lspo_device_t *device)
{
    lspo_lane_kind_t lane = device->backend->lane_here(device);
    return lane == LSPO_LANE_CPU ? LSPO_LANE_GPU : lane;
}

/* Lock held.  Bytes that other lanes have freed but may still use: this lane's stream is not ordered after theirs until
 * a mark there has passed. */
static uint64_t leaving_bytes(lspo_device_t *device)
{
    uint64_t bytes = 0;
    if (!device->backend->is_asynchronous)
        return 0;
    lspo_lane_kind_t here = stream_lane(device);
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        if (lane != (int)here)
            bytes += device->given_back_bytes[lane] - device->passed_bytes[lane];
    return bytes;
}

static uint64_t limit_of(const lspo_device_t *device)
{
    uint64_t cap_bytes = device->caps.memory_bytes;
    return cap_bytes == 0 || (device->free_bytes > 0 && device->free_bytes < cap_bytes) ? device->free_bytes
                                                                                        : cap_bytes;
}

static bool fits(const lspo_device_t *device, uint64_t used_bytes, size_t bytes)
{
    uint64_t limit_bytes = limit_of(device);
    return limit_bytes == 0 || (bytes <= limit_bytes && used_bytes <= limit_bytes - bytes);
}

/* Lock held, and released while it sleeps.  A lane's thread waits for memory being freed, which only needs someone to
 * wait for the marks after it: threads that never allocate do. */
static void wait_for_room(lspo_device_t *device, size_t bytes)
{
    if (!device->backend->is_asynchronous || device->backend->lane_here(device) == LSPO_LANE_CPU)
        return;
    while (leaving_bytes(device) > 0 && !fits(device, device->in_use_bytes + leaving_bytes(device), bytes))
        pthread_cond_wait(&device->passed, &device->lock);
}

static lspo_status_t refuse(const lspo_device_t *device, uint64_t used_bytes, size_t bytes)
{
    uint64_t limit_bytes = limit_of(device);
    double sizes[] = {(double)bytes, (double)used_bytes, (double)limit_bytes,
                      (double)used_bytes + (double)bytes - (double)limit_bytes};
    char texts[4][32];
    for (int i = 0; i < 4; i++)
        lspo_format_quantity(sizes[i], LSPO_UNIT_BYTES, texts[i], sizeof texts[i]);
    const char *whose = limit_bytes == device->caps.memory_bytes ? "allowed" : "that were free on the GPU at the start";
    char peak[32], whole[96] = "";
    if (device->caps.peak_bytes > limit_bytes)
        snprintf(whole, sizeof whole, "; the plan needs %s at its predicted peak",
                 lspo_format_quantity((double)device->caps.peak_bytes, LSPO_UNIT_BYTES, peak, sizeof peak));
    return lspo_error(LSPO_ERR_FIT, "device memory: %s needed with %s in use of %s %s: %s short%s", texts[0], texts[1],
                      texts[2], whose, texts[3], whole);
}

/* Lock held. */
static lspo_status_t claim(lspo_device_t *device, size_t bytes)
{
    wait_for_room(device, bytes);
    uint64_t used_bytes = device->in_use_bytes + leaving_bytes(device);
    if (!fits(device, used_bytes, bytes))
        return refuse(device, used_bytes, bytes);
    device->in_use_bytes += bytes;
    return LSPO_OK;
}

/* Lock held, after claim(), once there is the memory. */
static void note_peak(lspo_device_t *device)
{
    const uint64_t used_bytes = device->in_use_bytes + leaving_bytes(device);
    if (used_bytes > device->peak_bytes)
        device->peak_bytes = used_bytes;
}

static lspo_status_t take_counted(lspo_device_t *device, size_t bytes, void **memory_out)
{
    lspo_status_t status = claim(device, bytes);
    if (status != LSPO_OK)
        return status;
    status = device->backend->take(device, bytes, true, memory_out);
    if (status == LSPO_OK)
        note_peak(device);
    else
        device->in_use_bytes -= bytes;
    return status;
}

lspo_status_t lspo_device_claim(lspo_device_t *device, uint64_t bytes)
{
    pthread_mutex_lock(&device->lock);
    lspo_status_t status = claim(device, bytes);
    if (status == LSPO_OK) {
        note_peak(device);
        device->claimed_bytes += bytes;
        if (device->claimed_bytes > device->most_claimed_bytes)
            device->most_claimed_bytes = device->claimed_bytes;
    }
    pthread_mutex_unlock(&device->lock);
    return status;
}

void lspo_device_unclaim(lspo_device_t *device, uint64_t bytes)
{
    pthread_mutex_lock(&device->lock);
    device->in_use_bytes -= bytes;
    device->claimed_bytes -= bytes;
    pthread_mutex_unlock(&device->lock);
}

lspo_status_t lspo_device_alloc(lspo_device_t *device, size_t bytes, void **memory_out)
{
    pthread_mutex_lock(&device->lock);
    lspo_status_t status = take_counted(device, bytes, memory_out);
    pthread_mutex_unlock(&device->lock);
    return status;
}

lspo_status_t lspo_device_alloc_uncounted(lspo_device_t *device, size_t bytes, void **memory_out)
{
    pthread_mutex_lock(&device->lock);
    lspo_status_t status = device->backend->take(device, bytes, false, memory_out);
    pthread_mutex_unlock(&device->lock);
    return status;
}

void lspo_device_free(lspo_device_t *device, void *memory)
{
    if (!memory)
        return;
    pthread_mutex_lock(&device->lock);
    size_t bytes = device->backend->give_back(device, memory);
    device->in_use_bytes -= bytes;
    if (device->backend->is_asynchronous)
        device->given_back_bytes[stream_lane(device)] += bytes;
    pthread_mutex_unlock(&device->lock);
}

uint64_t lspo_device_room_bytes(lspo_device_t *device)
{
    pthread_mutex_lock(&device->lock);
    uint64_t limit_bytes = limit_of(device);
    uint64_t room_bytes = limit_bytes > device->in_use_bytes ? limit_bytes - device->in_use_bytes : 0;
    pthread_mutex_unlock(&device->lock);
    return limit_bytes == 0 ? UINT64_MAX : room_bytes;
}

uint64_t lspo_device_peak_bytes(const lspo_device_t *device)
{
    return device->peak_bytes;
}

uint64_t lspo_device_most_held_bytes(const lspo_device_t *device)
{
    return device->backend->most_held_bytes(device) + device->most_claimed_bytes;
}

uint64_t lspo_device_card_bytes(lspo_device_t *device)
{
    return device->backend->card_bytes != NULL ? device->backend->card_bytes(device) : 0;
}

static lspo_status_t lack_host_memory(uint64_t bytes, uint64_t available_bytes, const lspo_device_host_item_t *items,
                                      size_t item_count)
{
    char needed[32], there[32], item[32], *list = NULL;
    size_t length = 0;
    FILE *text = open_memstream(&list, &length);
    if (!text)
        return lspo_no_memory("a message");
    for (size_t i = 0; i < item_count; i++)
        fprintf(text, "%s %s %s", i ? "," : ":", items[i].purpose,
                lspo_format_quantity((double)items[i].bytes, LSPO_UNIT_BYTES, item, sizeof item));
    fclose(text);
    lspo_status_t status =
        lspo_error(LSPO_ERR_FIT, "host memory: %s needed, %s available%s",
                   lspo_format_quantity((double)bytes, LSPO_UNIT_BYTES, needed, sizeof needed),
                   lspo_format_quantity((double)available_bytes, LSPO_UNIT_BYTES, there, sizeof there), list);
    free(list);
    return status;
}

lspo_status_t lspo_device_host_reserve(lspo_device_t *device, uint64_t bytes, const lspo_device_host_item_t *items,
                                       size_t item_count)
{
    uint64_t available_bytes = lspo_host_memory_available(""), cap_bytes = device->caps.host_memory_bytes;
    if (cap_bytes > 0 && cap_bytes < available_bytes)
        available_bytes = cap_bytes;
    if (bytes > available_bytes)
        return lack_host_memory(bytes, available_bytes, items, item_count);
    if (bytes == 0 || !device->backend->host_reserve)
        return LSPO_OK;
    pthread_mutex_lock(&device->lock);
    lspo_status_t status = device->backend->host_reserve(device, bytes);
    pthread_mutex_unlock(&device->lock);
    return status;
}

lspo_status_t lspo_device_host_alloc(lspo_device_t *device, size_t bytes, void **memory_out)
{
    pthread_mutex_lock(&device->lock);
    lspo_status_t status = device->backend->host_take(device, bytes, memory_out);
    pthread_mutex_unlock(&device->lock);
    return status;
}

void lspo_device_host_free(lspo_device_t *device, void *memory)
{
    if (!memory)
        return;
    pthread_mutex_lock(&device->lock);
    device->backend->host_give_back(device, memory);
    pthread_mutex_unlock(&device->lock);
}

uint64_t lspo_device_most_host_held_bytes(const lspo_device_t *device)
{
    return device->backend->most_host_held_bytes(device);
}

/* ---- copies ---- */

lspo_status_t lspo_device_read(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    return device->backend->read(device, to, from, bytes);
}

lspo_status_t lspo_device_write(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    return device->backend->write(device, to, from, bytes);
}

void lspo_device_read_later(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    device->backend->read_later(device, to, from, bytes);
}

void lspo_device_write_later(lspo_device_t *device, void *to, const void *from, size_t bytes)
{
    device->backend->write_later(device, to, from, bytes);
}

typedef struct {
    double rate_Bps, latency_s, loss;
    bool any;
} pace_t;

static pace_t pace_of(const lspo_device_caps_t *caps, lspo_copy_direction_t direction)
{
    pace_t kept = {caps->d2h_Bps, caps->d2h_latency_s, caps->d2h_duplex_loss, false};
    if (direction == LSPO_COPY_H2D)
        kept = (pace_t){caps->h2d_Bps, caps->h2d_latency_s, caps->h2d_duplex_loss, false};
    kept.any = kept.rate_Bps > 0 || kept.latency_s > 0 || kept.loss > 0;
    return kept;
}

/* A message in chunks, because the rate depends on whether the other direction is busy, which may change during a
 * message.  Where copies are queued, the next part is begun before the thread waits for one, so that the link does not
 * idle while the thread wakes up. */
typedef struct {
    lspo_device_t *device;
    lspo_copy_direction_t direction;
    char *to;
    const char *from;
    size_t bytes, part_count, begun_count; /* parts */
} message_t;

static lspo_copy_part_t part_at(const message_t *m, size_t i)
{
    const size_t chunk_bytes = m->device->backend->chunk_bytes, at = i * chunk_bytes;
    return (lspo_copy_part_t){.direction = m->direction,
                              .slot = (unsigned)(i % LSPO_COPY_SLOTS),
                              .to = m->to + at,
                              .from = m->from + at,
                              .bytes = m->bytes - at < chunk_bytes ? m->bytes - at : chunk_bytes};
}

/* Begin the parts up to this number; returns when part i has arrived. */
static size_t carry_part(message_t *m, size_t i, size_t begin_count)
{
    const lspo_device_backend_t *backend = m->device->backend;
    for (; m->begun_count < begin_count && m->begun_count < m->part_count; m->begun_count++) {
        const lspo_copy_part_t next = part_at(m, m->begun_count);
        backend->copy_begin(m->device, &next);
    }
    const lspo_copy_part_t part = part_at(m, i);
    if (backend->copy_wait)
        backend->copy_wait(m->device, &part);
    return part.bytes;
}

/* Without a rate a part's own time is what counts, and that is known only of one at a time. */
static void copy_at_pace(const pace_t *kept, message_t *m)
{
    lspo_device_t *device = m->device;
    atomic_bool *mine = &device->busy[m->direction], *other = &device->busy[!m->direction];
    size_t ahead = kept->rate_Bps > 0 ? device->backend->parts_ahead : 0;
    uint64_t start_ns = lspo_now_ns();
    double due_s = kept->latency_s; /* after start: when the bytes copied so far may have arrived */
    atomic_store(mine, true);
    for (size_t i = 0; i < m->part_count; i++) {
        uint64_t part_start_ns = lspo_now_ns();
        size_t part_bytes = carry_part(m, i, i + 1 + ahead);
        uint64_t now_ns = lspo_now_ns();
        double part_s =
            kept->rate_Bps > 0 ? (double)part_bytes / kept->rate_Bps : (double)(now_ns - part_start_ns) * 1e-9;
        due_s += atomic_load(other) ? part_s / (1 - kept->loss) : part_s;
        if (i + 1 < m->part_count && start_ns + (uint64_t)(due_s * 1e9) > now_ns + CHUNK_AHEAD_NS)
            sleep_until(start_ns + (uint64_t)(due_s * 1e9) + SPIN_NS, device->hurry);
    }
    if (kept->any)
        lspo_device_pace(device, start_ns, due_s);
    atomic_store(mine, false);
}

void lspo_device_copy(lspo_device_t *device, lspo_copy_direction_t direction, void *to, const void *from, size_t bytes)
{
    pace_t kept = pace_of(&device->caps, direction);
    if (!kept.any && device->backend->copy_later) {
        device->backend->copy_later(device, direction, to, from, bytes);
        return;
    }
    const size_t chunk_bytes = device->backend->chunk_bytes;
    message_t message = {.device = device,
                         .direction = direction,
                         .to = to,
                         .from = from,
                         .bytes = bytes,
                         .part_count = bytes / chunk_bytes + (bytes % chunk_bytes > 0)};
    copy_at_pace(&kept, &message);
}

/* ---- lanes and marks ---- */

bool lspo_device_is_asynchronous(const lspo_device_t *device)
{
    return device->backend->is_asynchronous;
}

static void pass(lspo_device_t *device, lspo_lane_kind_t lane, uint64_t given_back_bytes)
{
    pthread_mutex_lock(&device->lock);
    if (given_back_bytes > device->passed_bytes[lane])
        device->passed_bytes[lane] = given_back_bytes;
    pthread_cond_broadcast(&device->passed);
    pthread_mutex_unlock(&device->lock);
}

lspo_status_t lspo_device_enter_lane(lspo_device_t *device, lspo_lane_kind_t lane)
{
    if (!device->backend->enter_lane)
        return LSPO_OK;
    lspo_status_t status = device->backend->enter_lane(device, lane);
    pthread_mutex_lock(&device->lock); /* from here on every lane's stream is ordered after the compute stream's work */
    device->passed_bytes[LSPO_LANE_GPU] = device->given_back_bytes[LSPO_LANE_GPU];
    pthread_mutex_unlock(&device->lock);
    return status;
}

static lspo_status_t no_marks(void)
{
    return lspo_error(LSPO_ERR_INTERNAL, "this device works synchronously and has no marks");
}

lspo_status_t lspo_device_mark_create(lspo_device_t *device, lspo_device_mark_t **mark_out)
{
    return device->backend->mark_create ? device->backend->mark_create(device, mark_out) : no_marks();
}

void lspo_device_mark_destroy(lspo_device_t *device, lspo_device_mark_t *mark)
{
    if (mark)
        device->backend->mark_destroy(device, mark);
}

lspo_status_t lspo_device_mark_record(lspo_device_t *device, lspo_lane_kind_t lane, lspo_device_mark_t *mark)
{
    if (!device->backend->mark_record)
        return no_marks();
    pthread_mutex_lock(&device->lock);
    mark->lane = lane;
    mark->given_back_bytes = device->given_back_bytes[lane];
    pthread_mutex_unlock(&device->lock);
    lspo_status_t status = device->backend->mark_record(device, lane, mark);
    if (status != LSPO_OK) /* nothing will wait for it */
        pass(device, lane, mark->given_back_bytes);
    return status;
}

lspo_status_t lspo_device_mark_wait(lspo_device_t *device, lspo_device_mark_t *mark)
{
    if (!device->backend->mark_wait)
        return no_marks();
    lspo_status_t status = device->backend->mark_wait(device, mark);
    pass(device, mark->lane, mark->given_back_bytes); /* also for a failed device, so that nothing waits for more */
    return status;
}

lspo_status_t lspo_device_mark_time(lspo_device_t *device, lspo_device_mark_t *mark, uint64_t *ns_out)
{
    return device->backend->mark_time ? device->backend->mark_time(device, mark, ns_out) : no_marks();
}

void lspo_device_range_begin(lspo_device_t *device, const char *name)
{
    if (device->caps.nvtx && device->backend->range_begin)
        device->backend->range_begin(device, name);
}

void lspo_device_range_end(lspo_device_t *device)
{
    if (device->caps.nvtx && device->backend->range_end)
        device->backend->range_end(device);
}
