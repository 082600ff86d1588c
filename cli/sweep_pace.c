/* sweep_pace.c - see sweep_pace.h. */
#include "cli/sweep_pace.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/asked.h"
#include "cli/sweep_language.h"

enum { FLAGS_BYTES = 2048 };

/* The cell's flags for the policy that sets the rates: those of its own options only if it is the cell's policy. */
static void write_flags(const lspo_sweep_cell_t *cell, const char *rates, char flags[FLAGS_BYTES])
{
    bool self = strcmp(rates, "self") == 0;
    size_t used = (size_t)snprintf(flags, FLAGS_BYTES, "--policy %s", self ? cell->policy->name : rates);
    for (uint32_t i = 0; i < cell->setting_count && used < FLAGS_BYTES; i++) {
        const lspo_axis_t *axis = cell->settings[i].axis;
        const char *value = axis->values[cell->settings[i].value];
        bool option = axis->info.source == LSPO_SOURCE_OPTION && strcmp(axis->key, "policy") != 0 &&
                      strcmp(axis->key, "machine") != 0;
        if (option || (self && axis->info.source == LSPO_SOURCE_OWN))
            used += (size_t)snprintf(flags + used, FLAGS_BYTES - used, " --%s %s", axis->key, value);
        else if (axis->info.source == LSPO_SOURCE_MACHINE || axis->info.source == LSPO_SOURCE_MODEL)
            used += (size_t)snprintf(flags + used, FLAGS_BYTES - used, " --set %s=%s", axis->key, value);
    }
}

/* "lsp:64:8" of a cell whose own rates are wanted. */
static lspo_status_t add_colons(const lspo_sweep_cell_t *cell, char flags[FLAGS_BYTES])
{
    char scratch[LSPO_SWEEP_COLON_BYTES];
    lspo_request_t *request = calloc(1, sizeof *request);
    if (request == NULL)
        return lspo_no_memory("the rates of a cell");
    lspo_status_t status =
        lspo_sweep_colons("policy", cell->policy, lspo_sweep_cell_value(cell, "policy"), scratch, request);
    size_t used = strlen(flags);
    for (uint32_t i = 0; status == LSPO_OK && i < request->given.count && used < FLAGS_BYTES; i++)
        used += (size_t)snprintf(flags + used, FLAGS_BYTES - used, " --%s %s", request->given.flags[i].parameter->key,
                                 request->given.flags[i].text);
    free(request);
    return status;
}

static double share_of(const lspo_sweep_cell_t *cell, const char *key)
{
    const char *value = lspo_sweep_cell_value(cell, key);
    return value != NULL ? strtod(value, NULL) : 0;
}

lspo_status_t lspo_sweep_pace(const lspo_sweep_cell_t *cell, const lspo_machine_t *machine, double *link_Bps_out,
                              double *cpu_pps_out)
{
    char flags[FLAGS_BYTES];
    const char *rates_of = lspo_sweep_cell_value(cell, "rates");
    lspo_rates_t rates = {.link_share = share_of(cell, "link-over-gpu"),
                          .cpu_share = share_of(cell, "cpu-over-gpu"),
                          .link_most_Bps = (double)INFINITY};
    lspo_variants_t variants = {.count = 1, .names = {"lspo"}, .read_flags = lspo_asked_read_text};
    lspo_status_t status = LSPO_OK;
    if (!(rates.link_share > 0 || rates.cpu_share > 0))
        return LSPO_OK;
    if (rates_of == NULL)
        rates_of = "self";
    variants.machine = *machine;
    write_flags(cell, rates_of, flags);
    if (strcmp(rates_of, "self") == 0)
        status = add_colons(cell, flags);
    if (status == LSPO_OK)
        status = lspo_validate_shared_rates(&variants, flags, &rates);
    if (status != LSPO_OK)
        return status;
    *link_Bps_out = rates.link_Bps;
    *cpu_pps_out = rates.cpu_pps;
    return LSPO_OK;
}
