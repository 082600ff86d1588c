/* chunks.c - the calls that map chunks of memory (real/device/chunks.h): made, mapped, accessible and unmapped one by
 * one.  On the host each page takes time, so that they are timed in two sizes, and
 *     make = chunk_create_s + bytes / chunk_Bps       map + access = chunk_map_s + chunk_access_s + bytes / chunk_Bps
 * A device without chunks has no such rates. */
#include <math.h>

#include "real/calibrate/state.h"
#include "real/device/chunks.h"

enum { CHUNKS = 8, REPEATS_MOST = 16, SIZES = 2, LARGE = 32 };

typedef struct {
    lspo_timing_t make, map, access, unmap; /* of a chunk, of a range */
} calls_t;

/* Time per call of CHUNKS chunks that are mapped one after the other, and then unmapped together. */
static lspo_status_t map_once(lspo_calibration_t *calibration, uint64_t chunk_bytes, double *times_s)
{
    lspo_chunks_t *pool = NULL;
    lspo_range_t *range = NULL;
    lspo_chunks_counts_t c;
    lspo_status_t status = lspo_chunks_create(
        &(lspo_chunks_options_t){.device = calibration->device, .chunk_bytes = chunk_bytes, .most = CHUNKS}, &pool);
    if (status != LSPO_OK)
        return status;
    status = lspo_range_reserve(pool, CHUNKS * chunk_bytes, &range);
    for (uint64_t i = 1; status == LSPO_OK && i <= CHUNKS; i++)
        status = lspo_range_grow(range, i * chunk_bytes);
    lspo_range_release(range);
    lspo_chunks_count(pool, &c);
    lspo_chunks_destroy(pool);
    if (status != LSPO_OK)
        return status;
    times_s[0] = 1e-9 * (double)c.make_ns / (double)c.makes;
    times_s[1] = 1e-9 * (double)c.map_ns / (double)c.maps;
    times_s[2] = 1e-9 * (double)c.access_ns / (double)c.accesses;
    times_s[3] = 1e-9 * (double)c.unmap_ns / (double)c.unmaps;
    return LSPO_OK;
}

static lspo_status_t time_calls(lspo_calibration_t *calibration, uint64_t chunk_bytes, const char *shape,
                                calls_t *calls_out)
{
    static const char *const kinds[] = {"make a chunk", "map a chunk", "access to a chunk", "unmap a range"};
    lspo_timing_t *const out[] = {&calls_out->make, &calls_out->map, &calls_out->access, &calls_out->unmap};
    double samples_s[4][REPEATS_MOST];
    const uint32_t repeats = calibration->repeats < REPEATS_MOST ? calibration->repeats : REPEATS_MOST;
    for (uint32_t r = 0; r < repeats; r++) {
        double times_s[4];
        lspo_status_t status = map_once(calibration, chunk_bytes, times_s);
        if (status != LSPO_OK)
            return status;
        for (int i = 0; i < 4; i++)
            samples_s[i][r] = times_s[i];
    }
    for (int i = 0; i < 4; i++)
        *out[i] = lspo_calibrate_keep(calibration, kinds[i], shape, samples_s[i], repeats);
    return LSPO_OK;
}

/* A profile says 0 where it does not know. */
static void keep(lspo_calibration_t *calibration, double time_s, const lspo_timing_t *timing, double *value)
{
    *value = fmax(time_s, 1e-9);
    lspo_calibrate_note(calibration, value, timing->error_s, timing->count);
}

static void fit(lspo_calibration_t *calibration, uint64_t small_bytes, const calls_t calls[SIZES])
{
    lspo_machine_t *machine = &calibration->result->machine;
    const calls_t *small = &calls[0], *large = &calls[1];
    const double longer_s = large->make.median_s + large->map.median_s + large->access.median_s - small->make.median_s -
                            small->map.median_s - small->access.median_s;
    const double page_s = calibration->asynchronous ? 0 : fmax(longer_s / (2 * (LARGE - 1) * (double)small_bytes), 0);
    const double pages_s = page_s * (double)small_bytes;
    keep(calibration, small->make.median_s - pages_s, &small->make, &machine->gpu.chunk_create_s);
    keep(calibration, small->map.median_s, &small->map, &machine->gpu.chunk_map_s);
    keep(calibration, small->access.median_s - pages_s, &small->access, &machine->gpu.chunk_access_s);
    keep(calibration, small->unmap.median_s, &small->unmap, &machine->gpu.chunk_unmap_s);
    machine->gpu.chunk_Bps = page_s > 0 ? 1 / page_s : 0;
    lspo_calibrate_note(calibration, &machine->gpu.chunk_Bps, NAN, large->access.count);
    for (int i = 0; i < SIZES; i++) {
        const double bytes_s = page_s * (double)small_bytes * (i == 0 ? 1 : LARGE);
        lspo_calibrate_set_fitted(calibration, &calls[i].make, machine->gpu.chunk_create_s + bytes_s);
        lspo_calibrate_set_fitted(calibration, &calls[i].map, machine->gpu.chunk_map_s);
        lspo_calibrate_set_fitted(calibration, &calls[i].access, machine->gpu.chunk_access_s + bytes_s);
        lspo_calibrate_set_fitted(calibration, &calls[i].unmap, machine->gpu.chunk_unmap_s);
    }
}

/* Chunks of a GPU have its unit, usually 2 MiB; those of the host 64 KiB and 2 MiB. */
lspo_status_t lspo_calibrate_chunks(lspo_calibration_t *calibration)
{
    const uint64_t unit = lspo_chunks_unit(calibration->device);
    const uint64_t small_bytes = calibration->asynchronous ? unit : 16 * unit;
    calls_t calls[SIZES];
    if (unit == 0)
        return LSPO_OK;
    lspo_status_t status = time_calls(calibration, small_bytes, "small", &calls[0]);
    if (status == LSPO_OK)
        status = time_calls(calibration, small_bytes * (calibration->asynchronous ? 1 : LARGE), "large", &calls[1]);
    if (status == LSPO_OK)
        fit(calibration, small_bytes, calls);
    return status;
}
