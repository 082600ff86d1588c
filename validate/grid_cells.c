/* grid_cells.c - see grid_cells.h. */
#include "validate/grid_cells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/units.h"

bool lspo_grid_is_of_sweeps(const char *path, bool otherwise)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return otherwise;
    FILE *file = fopen(path, "r");
    char line[512];
    bool found = false;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        const char *text = line + strspn(line, " \t\r\n\xef\xbb\xbf");
        if (*text == '\0' || *text == ';' || *text == '#')
            continue;
        /* "KEY = VALUE" above all sections is a mistake that only the reader of sweeps can name. */
        const char *behind = text + strcspn(text, "= \t\r\n");
        found = *text == '[' || behind[strspn(behind, " \t")] == '=';
        break;
    }
    if (file != NULL)
        fclose(file);
    return found;
}

static bool is_one_of(const char *key, const char *const *keys)
{
    for (; *keys != NULL; keys++)
        if (strcmp(*keys, key) == 0)
            return true;
    return false;
}

/* The line of "FILE:LINE". */
static uint32_t line_of(const lspo_axis_t *axis)
{
    const char *colon = strrchr(axis->where, ':');
    return colon != NULL ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
}

static lspo_status_t add_flag(const lspo_axis_t *axis, const char *value, char *flags, size_t capacity)
{
    size_t used = strlen(flags);
    bool field = strchr(axis->key, '.') != NULL;
    int length = field ? snprintf(flags + used, capacity - used, " --set %s=%s", axis->key, value)
                       : snprintf(flags + used, capacity - used, " --%s %s", axis->key, value);
    if (strpbrk(value, " \t") != NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: %s: '%s' has a blank", axis->where, axis->key, value);
    if (used + (size_t)length >= capacity)
        return lspo_error(LSPO_ERR_INPUT, "%s: the cell's flags take more than %zu characters", axis->where,
                          capacity - 1);
    return LSPO_OK;
}

static lspo_status_t set_rates(const lspo_axis_t *axis, const char *value, lspo_grid_group_t *group)
{
    if (strcmp(axis->key, "link-over-gpu") == 0)
        return lspo_parse_quantity(axis->where, value, LSPO_UNIT_NONE, &group->link_share);
    if (strcmp(axis->key, "cpu-over-gpu") == 0)
        return lspo_parse_quantity(axis->where, value, LSPO_UNIT_NONE, &group->cpu_share);
    if (strcmp(axis->key, "link") == 0)
        return lspo_parse_quantity(axis->where, value, LSPO_UNIT_BPS, &group->link_Bps);
    if (strcmp(axis->key, "cpu") == 0)
        return lspo_parse_quantity(axis->where, value, LSPO_UNIT_PPS, &group->cpu_pps);
    return strcmp(value, "self") == 0 ? LSPO_OK : lspo_policy_find_any(value, &group->rates_of);
}

/* The group of a cell without its policy: name, flags, rates. */
static lspo_status_t describe_group(const lspo_sweep_cell_t *cell, lspo_grid_group_t *group)
{
    static const char *const of_rates[] = {"rates", "link-over-gpu", "cpu-over-gpu", "link", "cpu", NULL};
    static const char *const of_cell[] = {"policy", "machine", NULL};
    lspo_status_t status = LSPO_OK;
    snprintf(group->name, sizeof group->name, "%s", cell->group->name[0] != '\0' ? cell->group->name : "all");
    for (uint32_t i = 0; status == LSPO_OK && i < cell->setting_count; i++) {
        const lspo_axis_t *axis = cell->settings[i].axis;
        const char *value = axis->values[cell->settings[i].value];
        if (is_one_of(axis->key, of_rates))
            status = set_rates(axis, value, group);
        else if (axis->info.parameter == NULL && !is_one_of(axis->key, of_cell) &&
                 strncmp(axis->key, "column.", 7) != 0)
            status = add_flag(axis, value, group->flags, sizeof group->flags);
    }
    if (group->flags[0] == ' ')
        memmove(group->flags, group->flags + 1, strlen(group->flags));
    return status;
}

static bool same_group(const lspo_grid_group_t *a, const lspo_grid_group_t *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->flags, b->flags) == 0 && a->rates_of == b->rates_of &&
           a->link_share == b->link_share && a->cpu_share == b->cpu_share && a->link_Bps == b->link_Bps &&
           a->cpu_pps == b->cpu_pps;
}

static lspo_status_t find_group(lspo_grid_t *grid, const lspo_grid_group_t *group, uint32_t *index_out)
{
    for (uint32_t i = 0; i < grid->group_count; i++)
        if (same_group(&grid->groups[i], group)) {
            *index_out = i;
            return LSPO_OK;
        }
    *index_out = grid->group_count;
    return lspo_grid_add_group(grid, group);
}

static lspo_status_t add_cell(lspo_grid_t *grid, const lspo_sweep_cell_t *cell)
{
    lspo_grid_group_t group = {0};
    uint32_t index;
    lspo_status_t status = describe_group(cell, &group);
    for (uint32_t i = 0; i < cell->setting_count; i++)
        if (strcmp(cell->settings[i].axis->key, "policy") == 0)
            group.line = line_of(cell->settings[i].axis);
    if (status == LSPO_OK)
        status = find_group(grid, &group, &index);
    if (status != LSPO_OK)
        return status;
    char *policy = strdup(lspo_sweep_cell_value(cell, "policy"));
    if (policy == NULL)
        return lspo_no_memory("a cell");
    status = lspo_grid_add_cell(grid, group.line, policy, index);
    free(policy);
    for (uint32_t i = 0; status == LSPO_OK && i < cell->setting_count; i++) {
        const lspo_axis_t *axis = cell->settings[i].axis;
        lspo_grid_cell_t *added = &grid->cells[grid->cell_count - 1];
        if (axis->info.parameter != NULL)
            status = add_flag(axis, axis->values[cell->settings[i].value], added->flags, sizeof added->flags);
    }
    return status;
}

static lspo_status_t add_cells(const lspo_sweep_grid_t *cells, const lspo_grid_language_t *language, lspo_grid_t *grid)
{
    lspo_sweep_cell_t cell;
    lspo_status_t status = LSPO_OK;
    for (uint64_t i = 0; status == LSPO_OK && i < cells->cell_count; i++)
        if (lspo_sweep_grid_cell(cells, i, &cell) && language->holds(cells, &cell))
            status = add_cell(grid, &cell);
    if (status == LSPO_OK && grid->cell_count == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: the grid has no cells", grid->path);
    return status;
}

static lspo_status_t read_sweep(const char *path, const lspo_grid_language_t *language, const char *machine,
                                lspo_grid_t *grid_out)
{
    const lspo_ini_entry_t given = {
        .where = "--machine", .section = "all", .key = "machine", .value = machine, .note = ""};
    lspo_sweep_grid_t cells;
    lspo_grid_t grid = {.path = strdup(path)};
    if (grid.path == NULL)
        return lspo_no_memory("a grid");
    lspo_status_t status = lspo_sweep_grid_read(path, &language->language, &given, &cells);
    if (status == LSPO_OK) {
        status = add_cells(&cells, language, &grid);
        lspo_sweep_grid_release(&cells);
    }
    if (status != LSPO_OK) {
        lspo_grid_release(&grid);
        return status;
    }
    *grid_out = grid;
    return LSPO_OK;
}

lspo_status_t lspo_grid_read_any(const char *path, const lspo_grid_language_t *language, const char *machine,
                                 lspo_grid_t *grid_out)
{
    return lspo_grid_is_of_sweeps(path, false) ? read_sweep(path, language, machine, grid_out)
                                               : lspo_grid_read(path, grid_out);
}

/* ---- from grid.h to sweeps ---- */

/* Does a later option of these, or of `others`, have the key of the one at `at`? */
static bool is_repeated(const char *at, size_t length, const char *others)
{
    char option[80];
    snprintf(option, sizeof option, " %.*s ", (int)length, at);
    char later[LSPO_GRID_FLAGS_BYTES + 4];
    snprintf(later, sizeof later, " %s", at + length);
    if (strstr(later, option) != NULL)
        return true;
    snprintf(later, sizeof later, " %s ", others);
    return strstr(later, option) != NULL;
}

/* "--batch 4 --seed 2" as lines "batch = 4"; options that come again, also in `others`, are left out. */
static void write_options(const char *flags, const char *others, FILE *file)
{
    for (const char *at = flags + strspn(flags, " "); *at != '\0';) {
        size_t length = strcspn(at, " =");
        const char *value = at + length + strspn(at + length, " =");
        size_t value_length = strcspn(value, " ");
        if (length > 2 && !is_repeated(at, length, others))
            fprintf(file, "%.*s = %.*s\n", (int)length - 2, at + 2, (int)value_length, value);
        at = value + value_length;
        at += strspn(at, " ");
    }
}

static void write_rate(const char *name, double share, double rate, lspo_unit_t unit, FILE *file)
{
    char text[64];
    if (share > 0)
        fprintf(file, "%s-over-gpu = %.17g\n", name, share);
    else if (rate > 0)
        fprintf(file, "%s = \"%s\"\n", name, lspo_format_quantity_exact(rate, unit, text, sizeof text));
}

lspo_status_t lspo_grid_as_sweep(const lspo_grid_t *grid, char **text_out)
{
    size_t bytes;
    FILE *file = open_memstream(text_out, &bytes);
    if (file == NULL)
        return lspo_no_memory("a grid");
    for (uint32_t i = 0; i < grid->cell_count; i++) {
        const lspo_grid_cell_t *cell = &grid->cells[i];
        const lspo_grid_group_t *group = &grid->groups[cell->group];
        fprintf(file, "[%s %u.%u]\n", group->name, group->line, i + 1);
        fprintf(file, "rates = %s\n", group->rates_of != NULL ? group->rates_of->name : "self");
        write_rate("link", group->link_share, group->link_Bps, LSPO_UNIT_BPS, file);
        write_rate("cpu", group->cpu_share, group->cpu_pps, LSPO_UNIT_PPS, file);
        write_options(group->flags, cell->flags, file);
        write_options(cell->flags, "", file);
    }
    if (fclose(file) == 0)
        return LSPO_OK;
    free(*text_out);
    return lspo_no_memory("a grid");
}
