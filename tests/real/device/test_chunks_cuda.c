/* Chunks of a GPU: what is stored stays while ranges grow, shared beginnings, units, memory that is short; on a GPU,
 * and on the CPU that stands in for one, which refuses what a driver refuses (tests/cuda_on_host/virtual.cc). */
#include "real/device/chunks.h"
#include "tests/device_fixture.h"

enum { TURNS = 5 };

static lspo_chunks_t *open_pool(lspo_device_t *device, uint64_t most, uint64_t made)
{
    lspo_chunks_t *pool = NULL;
    cr_assert_eq(lspo_chunks_create(&(lspo_chunks_options_t){.device = device,
                                                             .chunk_bytes = lspo_chunks_unit(device),
                                                             .most = most,
                                                             .made = made,
                                                             .maps_ahead = true},
                                    &pool),
                 LSPO_OK);
    return pool;
}

static void expect_nothing_left(void)
{
    size_t chunks, ranges, mappings;
    cuda_on_host_virtual(&chunks, &ranges, &mappings);
    cr_expect_eq(chunks, 0, "%zu chunks are left", chunks);
    cr_expect_eq(ranges, 0, "%zu ranges are left", ranges);
    cr_expect_eq(mappings, 0, "%zu mappings are left", mappings);
}

static void store(lspo_device_t *device, lspo_range_t *range, size_t first, size_t end, unsigned seed)
{
    unsigned char *bytes = malloc(end);
    fill(bytes, end, seed);
    cr_assert_eq(lspo_device_write(device, (char *)lspo_range_memory(range) + first, bytes + first, end - first),
                 LSPO_OK);
    free(bytes);
}

static size_t wrong(lspo_device_t *device, lspo_range_t *range, size_t end, unsigned seed)
{
    unsigned char *bytes = malloc(end);
    cr_assert_eq(lspo_device_read(device, bytes, lspo_range_memory(range), end), LSPO_OK);
    const size_t count = wrong_bytes(bytes, end, seed);
    free(bytes);
    return count;
}

Test(chunks_cuda, what_is_stored_stays_while_a_range_grows)
{
    lspo_device_t *device = open_device(&(lspo_device_caps_t){0});
    const size_t unit = lspo_chunks_unit(device);
    cr_assert_gt(unit, 0);
    lspo_chunks_t *pool = open_pool(device, TURNS, 2);
    lspo_range_t *range = NULL;
    cr_assert_eq(lspo_range_reserve(pool, TURNS * unit, &range), LSPO_OK);
    for (size_t i = 0; i < TURNS; i++) {
        lspo_range_grow_later(range, (i + 1) * unit);
        cr_assert_eq(lspo_range_grow(range, i * unit + 1), LSPO_OK);
        store(device, range, i * unit, (i + 1) * unit, 7);
        cr_expect_eq(wrong(device, range, (i + 1) * unit, 7), 0);
    }
    cr_expect_eq(lspo_device_peak_bytes(device), TURNS * unit);
    lspo_range_shrink(range, 2 * unit);
    cr_expect_eq(wrong(device, range, 2 * unit, 7), 0);
    lspo_range_release(range);
    lspo_chunks_destroy(pool);
    expect_nothing_left();
    lspo_device_close(device);
}

Test(chunks_cuda, share_a_beginning_and_then_differ)
{
    lspo_device_t *device = open_device(&(lspo_device_caps_t){0});
    const size_t unit = lspo_chunks_unit(device), shared = unit + 1000;
    lspo_chunks_t *pool = open_pool(device, 5, 0);
    lspo_range_t *a = NULL, *b = NULL;
    lspo_chunks_counts_t counts;
    cr_assert_eq(lspo_range_reserve(pool, 3 * unit, &a), LSPO_OK);
    cr_assert_eq(lspo_range_reserve(pool, 3 * unit, &b), LSPO_OK);
    cr_assert_eq(lspo_range_grow(a, 2 * unit), LSPO_OK);
    store(device, a, 0, 2 * unit, 1);
    cr_assert_eq(lspo_range_share(b, a, shared), LSPO_OK);
    lspo_chunks_count(pool, &counts);
    cr_expect_eq(counts.mapped, 3);
    cr_expect_eq(counts.mappings, 4);
    store(device, b, shared, 2 * unit, 2);
    cr_expect_eq(wrong(device, a, 2 * unit, 1), 0);
    cr_expect_eq(wrong(device, b, shared, 1), 0);
    lspo_range_release(a);
    cr_expect_eq(wrong(device, b, shared, 1), 0);
    lspo_range_release(b);
    lspo_chunks_destroy(pool);
    expect_nothing_left();
    lspo_device_close(device);
}

/* 2 MiB; a size that is none of its multiples is refused before the driver sees it. */
Test(chunks_cuda, have_the_granularity_of_the_driver, .init = cr_redirect_stderr)
{
    lspo_device_t *device = open_device(&(lspo_device_caps_t){0});
    lspo_chunks_t *pool = NULL;
    const uint64_t unit = lspo_chunks_unit(device);
    cr_expect_eq(unit % (64 << 10), 0);
    cr_expect_eq(
        lspo_chunks_create(&(lspo_chunks_options_t){.device = device, .chunk_bytes = unit / 2, .most = 1}, &pool),
        LSPO_ERR_INPUT);
    cr_expect_eq(said("on this device they are multiples of"), 1);
    lspo_device_close(device);
}

/* The cap of the device, and a driver that has no more memory: nothing changes. */
Test(chunks_cuda, no_more_than_there_is, .init = cr_redirect_stderr)
{
    lspo_device_t *device = open_device(&(lspo_device_caps_t){.memory_bytes = 5 * MIB});
    ONLY_ON_HOST();
    lspo_chunks_t *pool = open_pool(device, 4, 0);
    lspo_range_t *range = NULL;
    lspo_chunks_counts_t counts;
    cr_assert_eq(lspo_range_reserve(pool, 8 * MIB, &range), LSPO_OK);
    cr_expect_eq(lspo_range_grow(range, 6 * MIB), LSPO_ERR_FIT);
    cr_expect_eq(said("2.00 MiB needed with 4.00 MiB in use of 5.00 MiB allowed: 1.00 MiB short"), 1);
    cuda_on_host_chunks_most(2);
    cr_expect_eq(lspo_range_grow(range, 4 * MIB), LSPO_OK);
    lspo_chunks_count(pool, &counts);
    cr_expect_eq(counts.mapped, 2);
    lspo_range_release(range);
    lspo_chunks_destroy(pool);
    lspo_device_close(device);

    device = open_device(&(lspo_device_caps_t){0});
    pool = open_pool(device, 4, 0);
    cr_assert_eq(lspo_range_reserve(pool, 8 * MIB, &range), LSPO_OK);
    cr_expect_eq(lspo_range_grow(range, 6 * MIB), LSPO_ERR_FIT);
    cr_expect_eq(said("no memory for a chunk (CUDA driver error 2)"), 1);
    lspo_chunks_count(pool, &counts);
    cr_expect_eq(counts.mapped, 0);
    cr_expect_eq(lspo_range_grow(range, 4 * MIB), LSPO_OK);
    lspo_range_release(range);
    lspo_chunks_destroy(pool);
    cuda_on_host_chunks_most(SIZE_MAX);
    expect_nothing_left();
    lspo_device_close(device);
}
