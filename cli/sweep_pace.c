/* sweep_pace.c - see sweep_pace.h. */
#include "cli/sweep_pace.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"
#include "cli/asked.h"
#include "cli/command_line.h"
#include "cli/sweep_language.h"

enum { WORD_BYTES = 4096, WORDS_MAX = 512 };

static void put_flag(FILE *file, const char *name, const char *value)
{
    char word[WORD_BYTES];
    fprintf(file, " --%s %s", name, lspo_shell_word(value, word, sizeof word));
}

/* "lsp:64:8" of a cell whose own rates are wanted. */
static lspo_status_t put_colons(const lspo_sweep_cell_t *cell, FILE *file)
{
    char scratch[LSPO_SWEEP_COLON_BYTES];
    lspo_request_t *request = calloc(1, sizeof *request);
    if (request == NULL)
        return lspo_no_memory("the rates of a cell");
    lspo_status_t status =
        lspo_sweep_colons("policy", cell->policy, lspo_sweep_cell_value(cell, "policy"), scratch, request);
    for (uint32_t i = 0; status == LSPO_OK && i < request->given.count; i++)
        put_flag(file, request->given.flags[i].parameter->key, request->given.flags[i].text);
    free(request);
    return status;
}

/* The cell's flags for the policy that sets the rates: those of its own options only if it is the cell's policy. */
static lspo_status_t put_flags(const lspo_sweep_cell_t *cell, const lspo_overrides_t *overrides, const char *rates,
                               FILE *file)
{
    bool self = strcmp(rates, "self") == 0;
    put_flag(file, "policy", self ? cell->policy->name : rates);
    for (uint32_t i = 0; i < cell->setting_count; i++) {
        const lspo_axis_t *axis = cell->settings[i].axis;
        bool option = axis->info.source == LSPO_SOURCE_OPTION && strcmp(axis->key, "policy") != 0 &&
                      strcmp(axis->key, "machine") != 0;
        if (option || (self && axis->info.source == LSPO_SOURCE_OWN))
            put_flag(file, axis->key, axis->values[cell->settings[i].value]);
    }
    for (uint32_t i = 0; i < overrides->set_count; i++)
        put_flag(file, "set", overrides->sets[i]);
    return self ? put_colons(cell, file) : LSPO_OK;
}

/* malloc'd. */
static lspo_status_t write_flags(const lspo_sweep_cell_t *cell, const lspo_overrides_t *overrides, const char *rates,
                                 char **flags_out)
{
    size_t bytes;
    FILE *file = open_memstream(flags_out, &bytes);
    if (file == NULL)
        return lspo_no_memory("the rates of a cell");
    lspo_status_t status = put_flags(cell, overrides, rates, file);
    return fclose(file) == 0 ? status : lspo_no_memory("the rates of a cell");
}

/* lspo_read_flags_t of flags with quotes. */
static lspo_status_t read_flags(const char *flags, lspo_machine_t *machine, lspo_asked_t *asked_out)
{
    char *argv[WORDS_MAX + 1] = {"sweep"}, *text = strdup(flags);
    size_t count = 0;
    if (text == NULL)
        return lspo_no_memory("the rates of a cell");
    lspo_status_t status = lspo_words_split("the rates of a cell", text, WORDS_MAX, argv + 1, &count);
    if (status == LSPO_OK)
        status = lspo_asked_read((int)count + 1, argv, true, machine, asked_out);
    free(text);
    return status;
}

static double share_of(const lspo_sweep_cell_t *cell, const char *key)
{
    const char *value = lspo_sweep_cell_value(cell, key);
    return value != NULL ? strtod(value, NULL) : 0;
}

lspo_status_t lspo_sweep_pace(const lspo_sweep_cell_t *cell, const lspo_overrides_t *overrides,
                              const lspo_machine_t *machine, double *link_Bps_out, double *cpu_pps_out)
{
    char *flags = NULL;
    const char *rates_of = lspo_sweep_cell_value(cell, "rates");
    lspo_rates_t rates = {.link_share = share_of(cell, "link-over-gpu"),
                          .cpu_share = share_of(cell, "cpu-over-gpu"),
                          .link_most_Bps = (double)INFINITY};
    lspo_variants_t variants = {.count = 1, .names = {"lspo"}, .read_flags = read_flags};
    if (!(rates.link_share > 0 || rates.cpu_share > 0))
        return LSPO_OK;
    variants.machine = *machine;
    lspo_status_t status = write_flags(cell, overrides, rates_of != NULL ? rates_of : "self", &flags);
    if (status == LSPO_OK)
        status = lspo_validate_shared_rates(&variants, flags, &rates);
    free(flags);
    if (status != LSPO_OK)
        return status;
    *link_Bps_out = rates.link_Bps;
    *cpu_pps_out = rates.cpu_pps;
    return LSPO_OK;
}
