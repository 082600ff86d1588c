/* overrides.c - overrides as text and as entries of a trace; see request.h. */
#include <ctype.h>
#include <stdio.h>

#include "ask/request.h"

void lspo_overrides_sets(const lspo_overrides_t *overrides, char *buffer, size_t buffer_bytes)
{
    size_t used = 0;
    for (uint32_t i = 0; i < overrides->set_count; i++) {
        if (i > 0 && used + 1 < buffer_bytes)
            buffer[used++] = ' ';
        for (const char *c = overrides->sets[i]; *c != '\0'; c++)
            if (!isspace((unsigned char)*c) && used + 1 < buffer_bytes)
                buffer[used++] = *c;
    }
    buffer[used] = '\0';
}

static lspo_status_t describe_quantity(lspo_trace_t *trace, const char *key, double value)
{
    char text[64];
    if (value <= 0.0)
        return LSPO_OK;
    snprintf(text, sizeof text, "%.15g", value);
    return lspo_trace_set_meta(trace, key, text);
}

lspo_status_t lspo_overrides_describe(const lspo_overrides_t *overrides, lspo_trace_t *trace)
{
    const struct {
        const char *key;
        double value;
    } quantities[] = {{"link_Bps", overrides->link_Bps},
                      {"cpu_pps", overrides->cpu_pps},
                      {"gpu_memory_bytes", (double)overrides->gpu_memory_bytes},
                      {"host_memory_bytes", (double)overrides->host_memory_bytes}};
    for (size_t i = 0; i < sizeof quantities / sizeof quantities[0]; i++) {
        lspo_status_t status = describe_quantity(trace, quantities[i].key, quantities[i].value);
        if (status != LSPO_OK)
            return status;
    }
    char sets[1024];
    lspo_overrides_sets(overrides, sets, sizeof sets);
    return sets[0] != '\0' ? lspo_trace_set_meta(trace, "set", sets) : LSPO_OK;
}
