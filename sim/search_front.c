/* search_front.c - the front of time against GPU memory; see search.h. */
#include <stdlib.h>

#include "base/array.h"
#include "sim/search_axes.h"
#include "sim/search_parts.h"

/* Rounding errors of bounds and times stay below this share. */
static const double tolerance = 1e-9;

typedef struct {
    uint32_t candidate;
    double steps, bound_s;
    uint64_t bound_bytes;
} rated_t;

typedef struct {
    lspo_search_options_t options;
    lspo_candidates_t candidates;
    rated_t *rated; /* owned: those that may fit */
    uint32_t rated_count;
    size_t capacity;
    lspo_search_t front; /* in any order */
} searcher_t;

/* The shortest bound first; of equal ones the one of less memory, then the first candidate. */
static int compare_rated(const void *left, const void *right)
{
    const rated_t *a = left, *b = right;
    if (a->bound_s < b->bound_s || a->bound_s > b->bound_s)
        return a->bound_s < b->bound_s ? -1 : 1;
    if (a->bound_bytes != b->bound_bytes)
        return a->bound_bytes < b->bound_bytes ? -1 : 1;
    return (a->candidate > b->candidate) - (a->candidate < b->candidate);
}

static int compare_found(const void *left, const void *right)
{
    const lspo_found_t *a = left, *b = right;
    if (a->objective < b->objective || a->objective > b->objective)
        return a->objective < b->objective ? -1 : 1;
    if (a->fit.gpu_bytes != b->fit.gpu_bytes)
        return a->fit.gpu_bytes < b->fit.gpu_bytes ? -1 : 1;
    return (a->fit.host_bytes > b->fit.host_bytes) - (a->fit.host_bytes < b->fit.host_bytes);
}

void lspo_search_front_keep(lspo_search_t *front)
{
    uint32_t kept = 0;
    if (front->count == 0)
        return;
    qsort(front->found, front->count, sizeof *front->found, compare_found);
    for (uint32_t i = 0; i < front->count; i++)
        if (kept == 0 || front->found[i].fit.gpu_bytes < front->found[kept - 1].fit.gpu_bytes)
            front->found[kept++] = front->found[i];
    front->count = kept;
}

static lspo_status_t rate_all(searcher_t *searcher)
{
    lspo_status_t status = LSPO_OK;
    searcher->rated = malloc((searcher->candidates.count + 1) * sizeof *searcher->rated);
    if (searcher->rated == NULL)
        return lspo_no_memory("%zu candidates", searcher->candidates.count);
    for (uint32_t i = 0; i < searcher->candidates.count && status == LSPO_OK; i++) {
        lspo_rating_t rating = {0};
        status = lspo_search_rate(&searcher->options, &searcher->candidates.list[i], true, &rating);
        searcher->front.unfit += status == LSPO_OK && !rating.unknown && !rating.may_fit;
        if (status == LSPO_OK && rating.may_fit)
            searcher->rated[searcher->rated_count++] =
                (rated_t){i, rating.steps, rating.steps * rating.busy_s, rating.gpu_static_bytes};
    }
    if (status == LSPO_OK && searcher->rated_count + searcher->front.unfit == 0)
        status = lspo_search_check_taken(&searcher->options, &searcher->candidates);
    qsort(searcher->rated, searcher->rated_count, sizeof *searcher->rated, compare_rated);
    return status;
}

/* Is a result certainly faster, and not larger? */
static bool is_excluded(const searcher_t *searcher, const rated_t *rated)
{
    const lspo_search_t *front = &searcher->front;
    bool excluded = false;
    for (uint32_t i = 0; i < front->count && !excluded; i++)
        excluded = front->found[i].objective * (1 + tolerance) < rated->bound_s &&
                   front->found[i].fit.gpu_bytes <= rated->bound_bytes;
    return excluded && !searcher->options.exhaustive;
}

static lspo_status_t add(searcher_t *searcher, const lspo_found_t *found)
{
    lspo_search_t *front = &searcher->front;
    lspo_status_t status =
        lspo_array_grow(&front->found, &searcher->capacity, (size_t)front->count + 1, sizeof *front->found, "results");
    if (status == LSPO_OK)
        front->found[front->count++] = *found;
    return status;
}

static lspo_status_t simulate_all(searcher_t *searcher)
{
    const lspo_search_options_t *options = &searcher->options;
    for (uint32_t i = 0; i < searcher->rated_count; i++) {
        const rated_t *rated = &searcher->rated[i];
        const lspo_candidate_t *candidate = &searcher->candidates.list[rated->candidate];
        lspo_found_t found;
        if (is_excluded(searcher, rated))
            continue;
        if (options->progress != NULL)
            options->progress(options->progress_context, "time against memory", i, searcher->rated_count);
        lspo_status_t status = lspo_search_simulate(options, candidate, rated->steps, &found);
        searcher->front.simulated++;
        searcher->front.unfit += !found.fit.fits;
        if (status == LSPO_OK && found.fit.fits)
            status = add(searcher, &found);
        if (status != LSPO_OK)
            return status;
        lspo_search_front_keep(&searcher->front);
    }
    return LSPO_OK;
}

lspo_status_t lspo_search_front(const lspo_search_options_t *options, lspo_search_t *front_out)
{
    searcher_t searcher = {.options = *options};
    if (options->objective == LSPO_OBJECTIVE_MEMORY)
        searcher.options.objective = LSPO_OBJECTIVE_TIME;
    lspo_status_t status = lspo_search_candidates(&searcher.options, &searcher.candidates);
    searcher.front.candidates = (uint32_t)searcher.candidates.count;
    if (status == LSPO_OK)
        status = rate_all(&searcher);
    if (status == LSPO_OK)
        status = simulate_all(&searcher);
    for (uint32_t i = 0; i < searcher.front.count && status == LSPO_OK; i++)
        status = lspo_search_refine(&searcher.options, &searcher.front.found[i]);
    lspo_search_front_keep(&searcher.front);
    if (status == LSPO_OK)
        *front_out = searcher.front;
    else
        lspo_search_release(&searcher.front);
    free(searcher.rated);
    lspo_search_candidates_release(&searcher.candidates);
    return status;
}
