/* Chunks and ranges under random load, against a naive model: a range is an array of bytes, and needs ceil(bytes /
 * chunk) chunks, of which those that it shares are counted once. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kernels/random.h"
#include "real/device/chunks.h"

enum { CHUNK = 4096, RANGES = 8, LONGEST = 6 * CHUNK, MOST = 24, STEPS = 1500 };

typedef struct {
    lspo_range_t *range;
    uint64_t bytes;                /* that have memory, as asked for */
    uint64_t fixed;                /* of them, that are shared: not stored to again */
    uint64_t ids[LONGEST / CHUNK]; /* of its chunks; equal only if they are shared */
    unsigned char stored[LONGEST];
} model_t;

typedef struct {
    lspo_device_t *device;
    lspo_chunks_t *pool;
    model_t ranges[RANGES];
    uint64_t seed, drawn, next_id;
} world_t;

static uint64_t draw(world_t *w, uint32_t below)
{
    return lspo_random_below(w->seed, 1, w->drawn++, below);
}

/* How many more chunks can be mapped. */
static uint64_t available(const world_t *w)
{
    lspo_chunks_counts_t counts;
    lspo_chunks_count(w->pool, &counts);
    return MOST - counts.mapped;
}

static uint64_t chunks_of(uint64_t bytes)
{
    return (bytes + CHUNK - 1) / CHUNK;
}

static bool is_first(const world_t *w, int range, uint64_t chunk)
{
    for (int r = 0; r <= range; r++)
        for (uint64_t i = 0; i < (r < range ? chunks_of(w->ranges[r].bytes) : chunk); i++)
            if (w->ranges[r].range != NULL && w->ranges[r].ids[i] == w->ranges[range].ids[chunk])
                return false;
    return true;
}

/* mapped = the sum of ceil(), shared ones once; free + mapped = made; all that was stored is still there. */
static void check(world_t *w)
{
    uint64_t mappings = 0, mapped = 0;
    lspo_chunks_counts_t counts;
    for (int r = 0; r < RANGES; r++) {
        const model_t *m = &w->ranges[r];
        if (m->range == NULL)
            continue;
        cr_assert_eq(lspo_range_grow(m->range, m->bytes), LSPO_OK); /* what was asked for later is there now */
        mappings += chunks_of(m->bytes);
        for (uint64_t i = 0; i < chunks_of(m->bytes); i++)
            mapped += is_first(w, r, i);
        cr_assert(memcmp(lspo_range_memory(m->range), m->stored, m->bytes) == 0, "step %lu: range %d is another",
                  (unsigned long)w->drawn, r);
    }
    lspo_chunks_count(w->pool, &counts);
    cr_assert_eq(counts.mappings, mappings);
    cr_assert_eq(counts.mapped, mapped);
    cr_assert_eq(counts.made, counts.free + counts.mapped);
    cr_assert_leq(counts.made, MOST);
}

static void store(world_t *w, model_t *m, uint64_t from)
{
    for (uint64_t i = from; i < m->bytes; i++)
        ((unsigned char *)lspo_range_memory(m->range))[i] = m->stored[i] = (unsigned char)draw(w, 256);
}

static void name_chunks(world_t *w, model_t *m, uint64_t first)
{
    for (uint64_t i = first; i < chunks_of(m->bytes); i++)
        m->ids[i] = ++w->next_id;
}

/* What is behind the old end was never stored; whole new chunks are what others left there. */
static void grow(world_t *w, model_t *m)
{
    const uint64_t before = m->bytes, after = before + draw(w, LONGEST - (uint32_t)before + 1);
    const uint64_t more = chunks_of(after) - chunks_of(before);
    if (more > available(w)) {
        cr_assert_eq(lspo_range_grow(m->range, after), LSPO_ERR_FIT);
        return;
    }
    if (draw(w, 2) == 0)
        lspo_range_grow_later(m->range, after);
    cr_assert_eq(lspo_range_grow(m->range, after), LSPO_OK);
    m->bytes = after;
    name_chunks(w, m, chunks_of(before));
    store(w, m, before);
}

/* To nothing, or to what it does not share. */
static void shrink(world_t *w, model_t *m)
{
    const bool all = draw(w, 4) == 0;
    m->fixed = all ? 0 : m->fixed;
    m->bytes = all ? 0 : m->fixed + draw(w, (uint32_t)(m->bytes - m->fixed) + 1);
    lspo_range_shrink(m->range, m->bytes);
}

static void share(world_t *w, model_t *m)
{
    model_t *from = &w->ranges[draw(w, RANGES)];
    if (from == m || from->range == NULL || from->bytes == 0 || available(w) == 0)
        return;
    lspo_range_shrink(m->range, 0);
    m->bytes = 1 + draw(w, (uint32_t)from->bytes);
    cr_assert_eq(lspo_range_share(m->range, from->range, m->bytes), LSPO_OK);
    memcpy(m->stored, from->stored, m->bytes);
    m->fixed = m->bytes / CHUNK * CHUNK;
    from->fixed = m->fixed > from->fixed ? m->fixed : from->fixed;
    memcpy(m->ids, from->ids, m->bytes / CHUNK * sizeof *m->ids);
    name_chunks(w, m, m->bytes / CHUNK);
}

static void step(world_t *w)
{
    model_t *m = &w->ranges[draw(w, RANGES)];
    if (m->range == NULL) {
        cr_assert_eq(lspo_range_reserve(w->pool, LONGEST, &m->range), LSPO_OK);
        m->bytes = m->fixed = 0;
        return;
    }
    switch (draw(w, 9)) {
    case 0:
        lspo_range_grow_later(m->range, LONGEST); /* it may be there or not when the range is released */
        lspo_range_release(m->range);
        m->range = NULL;
        break;
    case 1:
        shrink(w, m);
        break;
    case 8:
        lspo_chunks_trim(w->pool);
        break;
    case 2:
    case 3:
        share(w, m);
        break;
    default:
        grow(w, m);
    }
}

static void play(uint64_t seed, uint64_t made, bool access_by_chunk)
{
    static world_t w;
    w = (world_t){.seed = seed};
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &w.device), LSPO_OK);
    cr_assert_eq(lspo_chunks_create(&(lspo_chunks_options_t){.device = w.device,
                                                             .chunk_bytes = CHUNK,
                                                             .most = MOST,
                                                             .made = made,
                                                             .access_by_chunk = access_by_chunk,
                                                             .maps_ahead = true},
                                    &w.pool),
                 LSPO_OK);
    lspo_messages_send((lspo_messages_t){.text = (char[256]){0}, .capacity = 256});
    for (int i = 0; i < STEPS; i++) {
        step(&w);
        check(&w);
    }
    for (int r = 0; r < RANGES; r++)
        lspo_range_release(w.ranges[r].range);
    lspo_chunks_counts_t counts;
    lspo_chunks_count(w.pool, &counts);
    cr_expect_eq(counts.mapped, 0);
    cr_expect_eq(counts.free, counts.made, "the pool is full again");
    cr_expect_eq(lspo_device_peak_bytes(w.device), MOST * CHUNK);
    lspo_chunks_trim(w.pool);
    lspo_chunks_count(w.pool, &counts);
    cr_expect_eq(counts.made, made, "and the device has all of it that was not made at once");
    cr_expect(access_by_chunk ? counts.accesses == counts.maps : counts.accesses < counts.maps);
    lspo_chunks_destroy(w.pool);
    lspo_device_close(w.device);
    lspo_messages_send((lspo_messages_t){0});
}

Test(chunks, keep_their_invariants_under_random_load)
{
    play(1, 0, false);
    play(2, MOST, true);
    play(3, 5, false);
}

static lspo_device_t *open_host(uint64_t cap)
{
    lspo_device_t *device = NULL;
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){.memory_bytes = cap}, &device), LSPO_OK);
    return device;
}

/* Five chunks, and a device with room for three: the first growth that is refused changes nothing. */
Test(chunks, count_as_memory_of_the_device)
{
    lspo_device_t *device = open_host(3 * CHUNK);
    lspo_chunks_t *pool = NULL;
    lspo_range_t *range = NULL;
    lspo_chunks_counts_t counts;
    void *other = NULL;
    cr_assert_eq(lspo_chunks_create(&(lspo_chunks_options_t){.device = device, .chunk_bytes = CHUNK, .most = 5}, &pool),
                 LSPO_OK);
    cr_assert_eq(lspo_range_reserve(pool, 5 * CHUNK, &range), LSPO_OK);
    cr_assert_eq(lspo_range_grow(range, 2 * CHUNK), LSPO_OK);
    memset(lspo_range_memory(range), 7, 2 * CHUNK);
    cr_expect_eq(lspo_range_grow(range, 4 * CHUNK), LSPO_ERR_FIT);
    lspo_chunks_count(pool, &counts);
    cr_expect_eq(counts.mapped, 2);
    cr_expect_eq(((char *)lspo_range_memory(range))[2 * CHUNK - 1], 7);
    lspo_range_shrink(range, 0);
    cr_expect_eq(lspo_range_grow(range, 3 * CHUNK), LSPO_OK);
    cr_expect_eq(lspo_device_alloc(device, 64, &other), LSPO_ERR_FIT, "chunks fill the device");
    lspo_range_release(range);
    lspo_chunks_destroy(pool);
    cr_assert_eq(lspo_device_alloc(device, 64, &other), LSPO_OK, "the pool's chunks are the device's again");
    lspo_device_free(device, other);
    cr_expect_eq(lspo_device_peak_bytes(device), 3 * CHUNK);
    cr_expect_geq(lspo_device_most_held_bytes(device), 3 * CHUNK);
    lspo_device_close(device);
}

/* Behind a shared beginning each range stores its own, and its own end stays where the other ends first. */
Test(chunks, share_a_beginning_and_then_differ)
{
    lspo_device_t *device = open_host(0);
    lspo_chunks_t *pool = NULL;
    lspo_range_t *a = NULL, *b = NULL;
    lspo_chunks_counts_t counts;
    const uint64_t shared = 2 * CHUNK + 100;
    cr_assert_eq(
        lspo_chunks_create(&(lspo_chunks_options_t){.device = device, .chunk_bytes = CHUNK, .most = 10}, &pool),
        LSPO_OK);
    cr_assert_eq(lspo_range_reserve(pool, 4 * CHUNK, &a), LSPO_OK);
    cr_assert_eq(lspo_range_reserve(pool, 4 * CHUNK, &b), LSPO_OK);
    cr_assert_eq(lspo_range_grow(a, 3 * CHUNK), LSPO_OK);
    memset(lspo_range_memory(a), 1, 3 * CHUNK);
    cr_assert_eq(lspo_range_share(b, a, shared), LSPO_OK);
    lspo_chunks_count(pool, &counts);
    cr_expect_eq(counts.mapped, 4, "two shared chunks, and the end of each");
    cr_expect_eq(counts.mappings, 6);
    memset((char *)lspo_range_memory(b) + shared, 2, 3 * CHUNK - shared);
    char *of_a = lspo_range_memory(a), *of_b = lspo_range_memory(b);
    cr_expect(of_a[shared] == 1 && of_b[shared] == 2 && of_b[shared - 1] == 1);
    lspo_range_release(a);
    lspo_chunks_count(pool, &counts);
    cr_expect_eq(counts.mapped, 3);
    cr_expect_eq(of_b[0], 1, "what is shared lives as long as its last user");
    lspo_range_release(b);
    lspo_chunks_destroy(pool);
    lspo_device_close(device);
}

Test(chunks, have_the_units_of_their_device)
{
    lspo_device_t *device = open_host(0);
    lspo_chunks_t *pool = NULL;
    const uint64_t unit = lspo_chunks_unit(device);
    cr_assert_gt(unit, 0);
    cr_expect_eq(
        lspo_chunks_create(&(lspo_chunks_options_t){.device = device, .chunk_bytes = unit + 1, .most = 1}, &pool),
        LSPO_ERR_INPUT);
    cr_expect_eq(lspo_chunks_create(&(lspo_chunks_options_t){.device = device, .chunk_bytes = 0, .most = 1}, &pool),
                 LSPO_ERR_INPUT);
    cr_expect_eq(lspo_chunks_create(
                     &(lspo_chunks_options_t){.device = device, .chunk_bytes = unit, .most = 2, .made = 2}, &pool),
                 LSPO_OK);
    lspo_chunks_destroy(pool);
    lspo_device_close(device);
}

/* From here on this process has no memfd, and no file without a name if `files` is false; returns whether the kernel
 * can do that.  Of an argument the filter sees the lower half, on machines that store it first. */
static bool forbid_memfd(bool files)
{
    const uint32_t refused = SECCOMP_RET_ERRNO | ENOSYS, unnamed = O_TMPFILE & ~O_DIRECTORY;
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, files ? 0 : unnamed, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, refused),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

Test(chunks, need_no_memfd)
{
    if (!forbid_memfd(true))
        return;
    play(4, 5, true);
}

Test(chunks, are_refused_without_files_in_memory)
{
    lspo_chunks_t *pool = NULL;
    if (!forbid_memfd(false))
        return;
    lspo_device_t *device = open_host(0);
    cr_expect_eq(lspo_chunks_unit(device), 0, "so a calibration leaves them out");
    cr_expect_eq(lspo_chunks_create(&(lspo_chunks_options_t){.device = device, .chunk_bytes = CHUNK, .most = 1}, &pool),
                 LSPO_ERR_INPUT);
    lspo_device_close(device);
}
