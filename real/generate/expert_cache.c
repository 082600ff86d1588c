/* expert_cache.c - see expert_cache.h. */
#include "real/generate/expert_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/qmoe.h"
#include "plan/policy.h"

enum { MATRICES_MAX = LSPO_QMOE_MATRICES_MAX };

/* An expert of a block. */
typedef struct {
    void *home;    /* on the host; NULL: it is always on the device */
    void *memory;  /* on the device; NULL: it is not there          */
    uint64_t used; /* when; a later use has a larger number         */
} expert_t;

struct lspo_expert_cache {
    const lspo_plan_t *plan;
    lspo_device_t *device;
    const lspo_qmoe_values_t *values;
    uint32_t experts, cached, matrices;
    uint32_t m[MATRICES_MAX], n[MATRICES_MAX];
    uint64_t room[MATRICES_MAX]; /* codes */
    size_t bytes;                /* of an expert */
    expert_t *of_blocks;         /* by block, from stage 1 on, and expert */
    lspo_ternary_t *packed;      /* likewise, and by matrix */
    lspo_chosen_t chosen;        /* on the device */
    uint32_t *at_home;           /* the same on the host */
    uint64_t now, loads;
};

static expert_t *expert_at(const lspo_expert_cache_t *c, uint32_t stage, uint32_t expert)
{
    return &c->of_blocks[(size_t)(stage - 1) * c->experts + expert];
}

static lspo_ternary_t *packed_at(const lspo_expert_cache_t *c, uint32_t stage, uint32_t expert)
{
    return &c->packed[((size_t)(stage - 1) * c->experts + expert) * c->matrices];
}

/* The matrices of an expert in this memory. */
static void place(const lspo_expert_cache_t *c, void *memory, lspo_ternary_t *packed_out)
{
    char *at = memory;
    for (uint32_t i = 0; i < c->matrices; i++) {
        packed_out[i] = lspo_ternary_in(c->m[i], c->n[i], at);
        at += lspo_ternary_bytes(c->n[i], c->room[i]);
    }
}

lspo_status_t lspo_expert_cache_create(const lspo_plan_t *plan, lspo_device_t *device, lspo_expert_cache_t **cache_out)
{
    const lspo_workload_t *w = &plan->workload;
    *cache_out = NULL;
    if (lspo_policy_use(plan->policy, &lspo_parameter_cached_experts) == NULL)
        return LSPO_OK;
    lspo_expert_cache_t *c = calloc(1, sizeof *c);
    if (c == NULL)
        return lspo_no_memory("a cache of experts");
    *c = (lspo_expert_cache_t){
        .plan = plan, .device = device, .values = lspo_qmoe_values_of(w), .experts = plan->model.expert_count};
    c->cached = lspo_qmoe_cached(c->values, &plan->model);
    c->matrices = lspo_qmoe_matrices(&plan->model, c->m, c->n);
    c->bytes = lspo_qmoe_expert_bytes(c->values, &plan->model);
    for (uint32_t i = 0; i < c->matrices; i++)
        c->room[i] = lspo_qmoe_room_codes(c->values, c->m[i], c->n[i]);
    const size_t count = (size_t)plan->model.block_count * c->experts;
    c->of_blocks = calloc(count, sizeof *c->of_blocks);
    c->packed = calloc(count * c->matrices, sizeof *c->packed);
    c->at_home = calloc((size_t)w->batch * w->sequence * plan->model.experts_per_token, sizeof *c->at_home);
    if (c->of_blocks == NULL || c->packed == NULL || c->at_home == NULL) {
        lspo_expert_cache_destroy(c);
        return lspo_no_memory("a cache of %zu experts", count);
    }
    *cache_out = c;
    return LSPO_OK;
}

static void drop(lspo_expert_cache_t *c, uint32_t stage, uint32_t expert)
{
    expert_t *e = expert_at(c, stage, expert);
    if (e->memory != NULL)
        lspo_device_free(c->device, e->memory);
    e->memory = NULL;
    memset(packed_at(c, stage, expert), 0, c->matrices * sizeof *c->packed);
}

void lspo_expert_cache_destroy(lspo_expert_cache_t *cache)
{
    if (cache == NULL)
        return;
    for (uint32_t s = 1; cache->of_blocks != NULL && cache->packed != NULL && s <= cache->plan->model.block_count; s++)
        for (uint32_t i = 0; i < cache->experts; i++) {
            drop(cache, s, i);
            lspo_device_host_free(cache->device, expert_at(cache, s, i)->home);
        }
    free(cache->of_blocks);
    free(cache->packed);
    free(cache->at_home);
    free(cache);
}

/* ---- packing ---- */

static lspo_status_t pack_matrix(const lspo_expert_cache_t *c, const char *what, uint32_t matrix, float *w,
                                 float *scratch, const lspo_ternary_t *to)
{
    size_t used = 0;
    lspo_ternary_round(c->m[matrix], c->n[matrix], c->values->expert_zeros, w, scratch);
    lspo_status_t status = lspo_ternary_pack(w, c->room[matrix], to, &used);
    /* A product reads where the codes say, so they are checked once. */
    return status == LSPO_OK ? lspo_ternary_check(what, to, lspo_ternary_bytes(to->n, c->room[matrix])) : status;
}

static lspo_status_t take_home(lspo_expert_cache_t *c, expert_t *e)
{
    if (lspo_expert_cache_streams(c))
        return lspo_device_host_alloc(c->device, c->bytes, &e->home);
    return lspo_device_alloc(c->device, c->bytes, &e->memory);
}

static lspo_status_t store_expert(lspo_expert_cache_t *c, uint32_t stage, uint32_t expert, float *wide, float *scratch)
{
    lspo_ternary_t packed[MATRICES_MAX];
    lspo_stage_t shape;
    char what[64];
    expert_t *e = expert_at(c, stage, expert);
    lspo_status_t status = take_home(c, e);
    if (status != LSPO_OK)
        return status;
    lspo_model_stage(&c->plan->model, stage, &shape);
    place(c, e->home != NULL ? e->home : e->memory, packed);
    for (uint32_t i = 0; status == LSPO_OK && i < c->matrices; i++) {
        snprintf(what, sizeof what, "block %u, expert %u, matrix %u", stage, expert, i);
        status = pack_matrix(c, what, i,
                             wide + shape.tensors[shape.expert_first + i].offset_elements +
                                 (size_t)expert * c->m[i] * c->n[i],
                             scratch, &packed[i]);
    }
    if (e->home == NULL)
        place(c, e->memory, packed_at(c, stage, expert));
    return status;
}

static lspo_status_t bring(lspo_expert_cache_t *c, uint32_t stage, uint32_t expert)
{
    expert_t *e = expert_at(c, stage, expert);
    lspo_status_t status = lspo_device_alloc(c->device, c->bytes, &e->memory);
    if (status != LSPO_OK)
        return status;
    lspo_device_copy(c->device, LSPO_COPY_H2D, e->memory, e->home, c->bytes);
    place(c, e->memory, packed_at(c, stage, expert));
    return LSPO_OK;
}

lspo_status_t lspo_expert_cache_store(lspo_expert_cache_t *cache, uint32_t stage, float *wide)
{
    float *scratch = malloc((size_t)cache->m[0] * cache->n[0] * sizeof *scratch + 1);
    lspo_status_t status = scratch != NULL ? LSPO_OK : lspo_no_memory("the magnitudes of an expert's weights");
    for (uint32_t i = 0; status == LSPO_OK && i < cache->experts; i++)
        status = store_expert(cache, stage, i, wide, scratch);
    for (uint32_t i = 0; status == LSPO_OK && lspo_expert_cache_streams(cache) && i < cache->cached; i++)
        status = bring(cache, stage, i);
    free(scratch);
    return status;
}

/* ---- use ---- */

bool lspo_expert_cache_streams(const lspo_expert_cache_t *cache)
{
    return cache->cached < cache->experts;
}

void lspo_expert_cache_choose(lspo_expert_cache_t *cache, lspo_chosen_t chosen)
{
    cache->chosen = chosen;
}

void lspo_expert_cache_read(lspo_expert_cache_t *cache)
{
    lspo_device_copy(cache->device, LSPO_COPY_D2H, cache->at_home, cache->chosen.experts,
                     cache->chosen.count * sizeof *cache->at_home);
}

lspo_status_t lspo_expert_cache_bring(lspo_expert_cache_t *cache, uint32_t stage)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; status == LSPO_OK && i < cache->chosen.count; i++) {
        expert_t *e = expert_at(cache, stage, cache->at_home[i]);
        e->used = ++cache->now;
        if (e->memory != NULL)
            continue;
        status = bring(cache, stage, cache->at_home[i]);
        cache->loads++;
    }
    return status;
}

void lspo_expert_cache_drop(lspo_expert_cache_t *cache, uint32_t stage)
{
    uint32_t there = 0;
    for (uint32_t i = 0; i < cache->experts; i++)
        there += expert_at(cache, stage, i)->memory != NULL;
    for (; there > cache->cached; there--) {
        uint32_t oldest = cache->experts;
        for (uint32_t i = 0; i < cache->experts; i++)
            if (expert_at(cache, stage, i)->memory != NULL &&
                (oldest == cache->experts || expert_at(cache, stage, i)->used < expert_at(cache, stage, oldest)->used))
                oldest = i;
        drop(cache, stage, oldest);
    }
}

const lspo_ternary_t *lspo_expert_cache_of(const lspo_expert_cache_t *cache, uint32_t stage)
{
    return packed_at(cache, stage, 0);
}

uint64_t lspo_expert_cache_loads(const lspo_expert_cache_t *cache)
{
    return cache->loads;
}
