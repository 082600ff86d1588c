/* chunks.c - see chunks.h. */
#include "real/device/chunks.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/units.h"
#include "real/device/chunks_state.h"
#include "real/device/device_state.h"

struct lspo_chunks {
    lspo_chunks_options_t options;
    const lspo_chunks_backend_t *backend;
    void *state;
    pthread_mutex_t lock;
    uint32_t *users;  /* of each chunk made: ranges that it is mapped into */
    uint64_t *free;   /* chunks that nobody uses, the last one is taken first */
    uint64_t *unmade; /* those that have no memory, most - made, likewise */
    lspo_chunks_counts_t counts;
    /* What is to be mapped ahead, in order; guarded by the lock, too. */
    lspo_range_t *first, *last;
    pthread_cond_t wanted;
    pthread_t mapper;
    bool has_mapper, stops;
};

struct lspo_range {
    lspo_chunks_t *pool;
    char *at;
    uint64_t most, count; /* chunks: that its addresses have room for; that are mapped, from its beginning */
    uint64_t *chunks;     /* which ones */
    uint64_t wanted;      /* by the mapper, while it is in the queue */
    bool is_queued;
    lspo_range_t *next;
};

static uint64_t chunks_of(const lspo_chunks_t *pool, uint64_t bytes)
{
    return bytes / pool->options.chunk_bytes + (bytes % pool->options.chunk_bytes > 0);
}

static char *place(const lspo_range_t *range, uint64_t chunk)
{
    return range->at + chunk * range->pool->options.chunk_bytes;
}

uint64_t lspo_chunks_unit(const lspo_device_t *device)
{
    return device->backend->chunks != NULL ? device->backend->chunks->unit(device) : 0;
}

/* ---- chunks; with the lock ---- */

static lspo_status_t make(lspo_chunks_t *pool)
{
    lspo_status_t status = lspo_device_claim(pool->options.device, pool->options.chunk_bytes);
    if (status != LSPO_OK)
        return status;
    const uint64_t start_ns = lspo_now_ns(), chunk = pool->unmade[pool->options.most - pool->counts.made - 1];
    status = pool->backend->make(pool->state, chunk);
    if (status != LSPO_OK) {
        lspo_device_unclaim(pool->options.device, pool->options.chunk_bytes);
        return status;
    }
    pool->counts.make_ns += lspo_now_ns() - start_ns;
    pool->counts.makes++;
    pool->counts.made++;
    pool->users[chunk] = 0;
    pool->free[pool->counts.free++] = chunk;
    return LSPO_OK;
}

static void unmake(lspo_chunks_t *pool)
{
    const uint64_t chunk = pool->free[--pool->counts.free];
    pool->backend->unmake(pool->state, chunk);
    lspo_device_unclaim(pool->options.device, pool->options.chunk_bytes);
    pool->unmade[pool->options.most - pool->counts.made--] = chunk;
}

static uint64_t available(const lspo_chunks_t *pool)
{
    return pool->counts.free + pool->options.most - pool->counts.made;
}

/* So many free ones, or an error that says what is missing. */
static lspo_status_t provide(lspo_chunks_t *pool, uint64_t count)
{
    char size[32];
    if (count > available(pool))
        return lspo_error(LSPO_ERR_FIT, "%llu chunks of %s are needed, and %llu of %llu are free",
                          (unsigned long long)count,
                          lspo_format_quantity((double)pool->options.chunk_bytes, LSPO_UNIT_BYTES, size, sizeof size),
                          (unsigned long long)available(pool), (unsigned long long)pool->options.most);
    lspo_status_t status = LSPO_OK;
    while (status == LSPO_OK && pool->counts.free < count)
        status = make(pool);
    return status;
}

static void use(lspo_chunks_t *pool, uint64_t chunk)
{
    pool->counts.mapped += pool->users[chunk]++ == 0;
    pool->counts.mappings++;
}

static void leave(lspo_chunks_t *pool, uint64_t chunk)
{
    pool->counts.mappings--;
    if (--pool->users[chunk] > 0)
        return;
    pool->counts.mapped--;
    pool->free[pool->counts.free++] = chunk;
}

/* ---- ranges; with the lock ---- */

static void cut_off(lspo_range_t *range, uint64_t count)
{
    lspo_chunks_t *pool = range->pool;
    if (range->count <= count)
        return;
    const uint64_t start_ns = lspo_now_ns();
    pool->backend->unmap(pool->state, place(range, count), (range->count - count) * pool->options.chunk_bytes);
    pool->counts.unmap_ns += lspo_now_ns() - start_ns;
    pool->counts.unmaps++;
    while (range->count > count)
        leave(pool, range->chunks[--range->count]);
}

/* One more chunk at its end, which is not accessible yet. */
static lspo_status_t attach(lspo_range_t *range, uint64_t chunk)
{
    lspo_chunks_t *pool = range->pool;
    const uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = pool->backend->map(pool->state, place(range, range->count), chunk);
    pool->counts.map_ns += lspo_now_ns() - start_ns;
    pool->counts.maps++;
    if (status != LSPO_OK)
        return status;
    range->chunks[range->count++] = chunk;
    use(pool, chunk);
    return LSPO_OK;
}

/* The chunks from `first` on. */
static lspo_status_t open_up(lspo_range_t *range, uint64_t first)
{
    lspo_chunks_t *pool = range->pool;
    const uint64_t step = pool->options.access_by_chunk ? 1 : range->count - first, start_ns = lspo_now_ns();
    lspo_status_t status = LSPO_OK;
    for (; status == LSPO_OK && first < range->count; first += step, pool->counts.accesses++)
        status = pool->backend->access(pool->state, place(range, first), step * pool->options.chunk_bytes);
    pool->counts.access_ns += lspo_now_ns() - start_ns;
    return status;
}

static lspo_status_t extend(lspo_range_t *range, uint64_t count)
{
    lspo_chunks_t *pool = range->pool;
    const uint64_t before = range->count;
    assert(count <= range->most);
    if (count <= before)
        return LSPO_OK;
    lspo_status_t status = provide(pool, count - before);
    while (status == LSPO_OK && range->count < count) {
        status = attach(range, pool->free[pool->counts.free - 1]);
        pool->counts.free -= status == LSPO_OK;
    }
    if (status == LSPO_OK)
        status = open_up(range, before);
    if (status != LSPO_OK)
        cut_off(range, before);
    return status;
}

static lspo_status_t share(lspo_range_t *range, const lspo_range_t *from, uint64_t bytes)
{
    lspo_chunks_t *pool = range->pool;
    const uint64_t whole = bytes / pool->options.chunk_bytes, rest = bytes % pool->options.chunk_bytes;
    lspo_status_t status = provide(pool, rest > 0);
    for (uint64_t i = 0; status == LSPO_OK && i < whole; i++)
        status = attach(range, from->chunks[i]);
    if (status == LSPO_OK)
        status = open_up(range, 0);
    if (status == LSPO_OK)
        status = extend(range, whole + (rest > 0));
    if (status != LSPO_OK)
        cut_off(range, 0);
    else if (rest > 0)
        pool->backend->copy(pool->state, place(range, whole), place(from, whole), rest);
    return status;
}

/* ---- the mapper ---- */

static void leave_queue(lspo_range_t *range)
{
    lspo_chunks_t *pool = range->pool;
    lspo_range_t *before = NULL;
    if (!range->is_queued)
        return;
    for (lspo_range_t *r = pool->first; r != range; r = r->next)
        before = r;
    *(before != NULL ? &before->next : &pool->first) = range->next;
    if (pool->last == range)
        pool->last = before;
    range->is_queued = false;
}

/* Errors are not printed: whoever needs the memory asks again. */
static void *map_ahead(void *context)
{
    lspo_chunks_t *pool = context;
    char message[256];
    lspo_messages_keep(message, sizeof message);
    pthread_mutex_lock(&pool->lock);
    while (!pool->stops) {
        lspo_range_t *range = pool->first;
        if (range == NULL) {
            pthread_cond_wait(&pool->wanted, &pool->lock);
            continue;
        }
        leave_queue(range);
        extend(range, range->wanted);
        pthread_mutex_unlock(&pool->lock); /* whoever waits comes before the next range */
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    lspo_messages_keep(NULL, 0);
    return NULL;
}

static lspo_status_t start_mapper(lspo_chunks_t *pool)
{
    if (pthread_create(&pool->mapper, NULL, map_ahead, pool) != 0)
        return lspo_error(LSPO_ERR_MEMORY, "a thread that maps chunks cannot be started");
    pool->has_mapper = true;
    return LSPO_OK;
}

static void stop_mapper(lspo_chunks_t *pool)
{
    if (!pool->has_mapper)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stops = true;
    pthread_cond_signal(&pool->wanted);
    pthread_mutex_unlock(&pool->lock);
    pthread_join(pool->mapper, NULL);
}

/* ---- pools ---- */

static lspo_status_t check(const lspo_chunks_options_t *options)
{
    const uint64_t unit = lspo_chunks_unit(options->device);
    char size[32], unit_size[32];
    if (unit == 0)
        return lspo_error(LSPO_ERR_INPUT, "this device does not map memory in chunks");
    if (options->chunk_bytes > 0 && options->chunk_bytes % unit == 0)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "chunks of %s: on this device they are multiples of %s",
                      lspo_format_quantity((double)options->chunk_bytes, LSPO_UNIT_BYTES, size, sizeof size),
                      lspo_format_quantity((double)unit, LSPO_UNIT_BYTES, unit_size, sizeof unit_size));
}

static lspo_status_t open_pool(lspo_chunks_t *pool)
{
    const lspo_chunks_options_t *o = &pool->options;
    pool->users = calloc(o->most + 1, sizeof *pool->users);
    pool->free = calloc(o->most + 1, sizeof *pool->free);
    pool->unmade = calloc(o->most + 1, sizeof *pool->unmade);
    if (pool->users == NULL || pool->free == NULL || pool->unmade == NULL)
        return lspo_no_memory("a pool of %llu chunks", (unsigned long long)o->most);
    for (uint64_t i = 0; i < o->most; i++)
        pool->unmade[i] = o->most - 1 - i;
    lspo_status_t status = pool->backend->open(o->device, o->chunk_bytes, o->most, &pool->state);
    while (status == LSPO_OK && pool->counts.made < o->made)
        status = make(pool);
    if (status == LSPO_OK && o->maps_ahead)
        status = start_mapper(pool);
    return status;
}

lspo_status_t lspo_chunks_create(const lspo_chunks_options_t *options, lspo_chunks_t **pool_out)
{
    assert(options->made <= options->most);
    lspo_status_t status = check(options);
    if (status != LSPO_OK)
        return status;
    lspo_chunks_t *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return lspo_no_memory("a pool of chunks");
    pool->options = *options;
    pool->backend = options->device->backend->chunks;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wanted, NULL);
    status = open_pool(pool);
    if (status != LSPO_OK) {
        lspo_chunks_destroy(pool);
        return status;
    }
    *pool_out = pool;
    return LSPO_OK;
}

void lspo_chunks_destroy(lspo_chunks_t *pool)
{
    if (pool == NULL)
        return;
    assert(pool->counts.mappings == 0);
    stop_mapper(pool);
    while (pool->counts.free > 0)
        unmake(pool);
    if (pool->state != NULL)
        pool->backend->close(pool->state);
    pthread_cond_destroy(&pool->wanted);
    pthread_mutex_destroy(&pool->lock);
    free(pool->users);
    free(pool->free);
    free(pool->unmade);
    free(pool);
}

void lspo_chunks_trim(lspo_chunks_t *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (pool->counts.free > 0 && pool->counts.made > pool->options.made)
        unmake(pool);
    pthread_mutex_unlock(&pool->lock);
}

void lspo_chunks_count(lspo_chunks_t *pool, lspo_chunks_counts_t *counts_out)
{
    pthread_mutex_lock(&pool->lock);
    *counts_out = pool->counts;
    pthread_mutex_unlock(&pool->lock);
}

/* ---- ranges ---- */

lspo_status_t lspo_range_reserve(lspo_chunks_t *pool, uint64_t bytes, lspo_range_t **range_out)
{
    const uint64_t most = chunks_of(pool, bytes);
    lspo_range_t *range = calloc(1, sizeof *range);
    uint64_t *chunks = calloc(most, sizeof *chunks);
    lspo_status_t status = LSPO_OK;
    if (range == NULL || chunks == NULL)
        status = lspo_no_memory("a range of %llu chunks", (unsigned long long)most);
    else
        *range = (lspo_range_t){.pool = pool, .most = most, .chunks = chunks};
    if (status == LSPO_OK)
        status = pool->backend->reserve(pool->state, most * pool->options.chunk_bytes, &range->at);
    if (status != LSPO_OK) {
        free(chunks);
        free(range);
        return status;
    }
    *range_out = range;
    return LSPO_OK;
}

void lspo_range_release(lspo_range_t *range)
{
    if (range == NULL)
        return;
    lspo_chunks_t *pool = range->pool;
    lspo_range_shrink(range, 0);
    pool->backend->release(pool->state, range->at, range->most * pool->options.chunk_bytes);
    free(range->chunks);
    free(range);
}

void *lspo_range_memory(const lspo_range_t *range)
{
    return range->at;
}

lspo_status_t lspo_range_grow(lspo_range_t *range, uint64_t bytes)
{
    lspo_chunks_t *pool = range->pool;
    pthread_mutex_lock(&pool->lock);
    lspo_status_t status = extend(range, chunks_of(pool, bytes));
    pthread_mutex_unlock(&pool->lock);
    return status;
}

void lspo_range_grow_later(lspo_range_t *range, uint64_t bytes)
{
    lspo_chunks_t *pool = range->pool;
    assert(pool->has_mapper && chunks_of(pool, bytes) <= range->most);
    pthread_mutex_lock(&pool->lock);
    leave_queue(range);
    if (chunks_of(pool, bytes) > range->count) {
        range->wanted = chunks_of(pool, bytes);
        range->next = NULL;
        range->is_queued = true;
        *(pool->last != NULL ? &pool->last->next : &pool->first) = range;
        pool->last = range;
        pthread_cond_signal(&pool->wanted);
    }
    pthread_mutex_unlock(&pool->lock);
}

void lspo_range_shrink(lspo_range_t *range, uint64_t bytes)
{
    lspo_chunks_t *pool = range->pool;
    pthread_mutex_lock(&pool->lock);
    leave_queue(range);
    cut_off(range, chunks_of(pool, bytes));
    pthread_mutex_unlock(&pool->lock);
}

lspo_status_t lspo_range_share(lspo_range_t *range, const lspo_range_t *from, uint64_t bytes)
{
    lspo_chunks_t *pool = range->pool;
    pthread_mutex_lock(&pool->lock);
    assert(range->count == 0 && from->pool == pool && chunks_of(pool, bytes) <= from->count);
    lspo_status_t status = share(range, from, bytes);
    pthread_mutex_unlock(&pool->lock);
    return status;
}
