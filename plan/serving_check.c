/* serving_check.c - what is given to a server: units of memory, slots, and whether requests are possible. */
#include "base/units.h"
#include "plan/serving.h"

void lspo_serving_units(const lspo_serving_options_t *options, lspo_serving_units_t *units_out)
{
    const lspo_model_t *model = options->model;
    const uint64_t tensor = (uint64_t)lspo_model_kv_width(model) * lspo_precision_bytes(options->precision);
    const bool one_range = options->cache != LSPO_SERVING_VTENSOR || options->one_range;
    const uint32_t tensors = 2 * model->block_count;
    units_out->ranges = one_range ? 1 : tensors;
    units_out->token_bytes = one_range ? tensors * tensor : tensor;
    units_out->unit_bytes = options->cache == LSPO_SERVING_VTENSOR ? options->chunk_bytes
                            : options->cache == LSPO_SERVING_PAGED ? options->block_tokens * units_out->token_bytes
                                                                   : options->positions * units_out->token_bytes;
    units_out->units = options->cache_bytes / units_out->unit_bytes;
}

uint32_t lspo_serving_slots(const lspo_serving_options_t *options, uint32_t groups)
{
    return 2 * options->batch + groups;
}

/* Advice, which also names the cache that a message is about. */
static const char *what_needs_less(const lspo_serving_options_t *options)
{
    switch (options->cache) {
    case LSPO_SERVING_VTENSOR:
        return options->one_range ? "a smaller --chunk needs less" : "a smaller --chunk or --range text needs less";
    case LSPO_SERVING_PAGED:
        return "a smaller --block needs less";
    case LSPO_SERVING_RESERVED:
        break;
    }
    return "fewer --positions, or --cache paged or vtensor, need less";
}

lspo_status_t lspo_serving_check(const lspo_serving_options_t *options, const lspo_serving_request_t *requests,
                                 uint32_t count)
{
    lspo_serving_units_t units;
    lspo_serving_units(options, &units);
    char size[32], there[32];
    if (units.units < units.ranges)
        return lspo_error(
            LSPO_ERR_FIT, "%s of memory for caches: one text needs %s at least; %s",
            lspo_format_quantity((double)options->cache_bytes, LSPO_UNIT_BYTES, there, sizeof there),
            lspo_format_quantity((double)units.ranges * (double)units.unit_bytes, LSPO_UNIT_BYTES, size, sizeof size),
            what_needs_less(options));
    for (uint32_t i = 0; i < count; i++) {
        const lspo_serving_request_t *r = &requests[i];
        if (r->arrival_s > LSPO_SERVING_TIME_MAX_S)
            return lspo_error(LSPO_ERR_INPUT, "request %u comes after %g s; %g s are the most", i + 1, r->arrival_s,
                              LSPO_SERVING_TIME_MAX_S);
        if (r->prompt == 0 || r->tokens == 0 || r->prefix > r->prompt || (r->group == 0 && r->prefix > 0) ||
            (r->group > 0 && r->prefix == 0) || !(r->arrival_s >= 0) ||
            (i > 0 && r->arrival_s < requests[i - 1].arrival_s))
            return lspo_error(LSPO_ERR_INPUT, "request %u is not possible", i + 1);
    }
    return LSPO_OK;
}

uint32_t lspo_serving_groups(const lspo_serving_request_t *requests, uint32_t count)
{
    uint32_t groups = 0;
    for (uint32_t i = 0; i < count; i++)
        groups = requests[i].group > groups ? requests[i].group : groups;
    return groups;
}
