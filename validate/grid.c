/* grid.c - see grid.h. */
#include "validate/grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"
#include "base/units.h"

enum { FILE_BYTES_MAX = 1 << 24, WHERE_BYTES = 512, SHARE_MOST = 1000 };

/* The state of the reader. */
typedef struct {
    lspo_grid_t *grid;
    const char *path;
    uint32_t line;
    char flags[LSPO_GRID_FLAGS_BYTES]; /* of the last `flags` line */
    char *rest;                        /* state of strtok_r */
} reader_t;

static const char *const field_names[] = {
    "a name", "a model", "a batch", "a sequence", "the policy that sets the rates", "link/gpu", "cpu/gpu"};
enum { FIELD_COUNT = sizeof field_names / sizeof field_names[0] };

static char *next_word(reader_t *reader)
{
    return strtok_r(NULL, " \t\r\n", &reader->rest);
}

static const char *where(const reader_t *reader, const char *what, char *buffer)
{
    snprintf(buffer, WHERE_BYTES, "%s:%u: %s", reader->path, reader->line, what);
    return buffer;
}

/* A copy of one more element; `*items` grows by powers of two. */
static lspo_status_t append(void **items, uint32_t *count, const void *item, size_t item_bytes)
{
    if ((*count & (*count - 1)) == 0) {
        void *grown = realloc(*items, (*count > 0 ? 2 * (size_t)*count : 1) * item_bytes);
        if (grown == NULL)
            return lspo_no_memory("a grid of %u cells", *count);
        *items = grown;
    }
    memcpy((char *)*items + *count * item_bytes, item, item_bytes);
    ++*count;
    return LSPO_OK;
}

static lspo_status_t parse_count(const reader_t *reader, const char *name, const char *text, int64_t *count_out)
{
    char what[WHERE_BYTES];
    return lspo_parse_integer(where(reader, name, what), text, 1, UINT32_MAX, count_out);
}

static lspo_status_t parse_share(const reader_t *reader, const char *name, const char *text, double *share_out)
{
    char what[WHERE_BYTES];
    char range[64];
    double share;
    snprintf(range, sizeof range, "above 0 and at most %d", SHARE_MOST);
    lspo_status_t status = lspo_parse_quantity_in(where(reader, name, what), text, LSPO_UNIT_NONE, range, &share);
    if (status != LSPO_OK)
        return status;
    if (!(share > 0 && share <= SHARE_MOST))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not %s", what, text, range);
    *share_out = share;
    return LSPO_OK;
}

/* A share of the GPU time, a rate with its unit, or `free`. */
static lspo_status_t parse_pace(const reader_t *reader, const char *name, lspo_unit_t unit, const char *text,
                                double *share_out, double *rate_out)
{
    char what[WHERE_BYTES];
    size_t length = strlen(text);
    *share_out = *rate_out = 0;
    if (strcmp(text, "free") == 0)
        return LSPO_OK;
    if (length < 2 || strcmp(text + length - 2, "/s") != 0)
        return parse_share(reader, name, text, share_out);
    lspo_status_t status = lspo_parse_quantity_in(where(reader, name, what), text, unit, "above 0", rate_out);
    if (status != LSPO_OK)
        return status;
    if (!(*rate_out > 0))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not above 0", what, text);
    return LSPO_OK;
}

static lspo_status_t find_policy(const reader_t *reader, const char *name, const lspo_policy_t **policy_out)
{
    for (uint32_t i = 0; i < lspo_any_policy_count(); i++)
        if (strcmp(lspo_any_policy_at(i)->name, name) == 0) {
            *policy_out = lspo_any_policy_at(i);
            return LSPO_OK;
        }
    return lspo_error(LSPO_ERR_INPUT, "%s:%u: there is no policy '%s'; `lspo list policies` names them", reader->path,
                      reader->line, name);
}

/* " --subspace 64", and the flags that it implies. */
static lspo_status_t add_value(const reader_t *reader, const lspo_parameter_use_t *use, const char *text, char *flags,
                               size_t capacity)
{
    char flag[64], what[WHERE_BYTES];
    uint64_t scratch = 0;
    snprintf(flag, sizeof flag, "--%s", use->parameter->key);
    lspo_status_t status = lspo_parameter_parse(use->parameter, where(reader, flag, what), text, &scratch);
    if (status != LSPO_OK)
        return status;
    if (!lspo_parameter_is_word(use->parameter) && !(lspo_parameter_number(use->parameter, &scratch) > 0))
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not above 0", what, text);
    int length = snprintf(flags, capacity, " %s %s%s%s", flag, text, use->brings != NULL ? " " : "",
                          use->brings != NULL ? use->brings : "");
    if ((size_t)length < capacity)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "%s:%u: '%s' is too long", reader->path, reader->line, text);
}

/* The first policy of a group says what the group does. */
static lspo_status_t join_group(const reader_t *reader, const lspo_policy_t *policy, uint32_t index)
{
    lspo_grid_group_t *group = &reader->grid->groups[index];
    const bool is_first =
        reader->grid->cell_count == 0 || reader->grid->cells[reader->grid->cell_count - 1].group != index;
    if (is_first)
        group->task = policy->task;
    const lspo_policy_t *other = group->rates_of;
    if (policy->task != group->task || (other != NULL && other->task != policy->task))
        return lspo_error(LSPO_ERR_INPUT, "%s:%u: policy %s is of the task %s, others of its group are not",
                          reader->path, reader->line, policy->name, lspo_task_names[policy->task]);
    if (policy->task == LSPO_TASK_GENERATE && (group->cpu_share > 0 || group->cpu_pps > 0))
        return lspo_error(LSPO_ERR_INPUT, "%s:%u: policy %s has no optimizer: its cpu/gpu must be 'free'", reader->path,
                          reader->line, policy->name);
    return LSPO_OK;
}

/* "lsp:64:8", "lsp:64:8:1" */
static lspo_status_t read_cell(reader_t *reader, char *text, uint32_t group)
{
    lspo_grid_cell_t cell = {.group = group};
    const lspo_policy_t *policy = NULL;
    char *rest = text, *name = strsep(&rest, ":"), *number;
    lspo_status_t status = find_policy(reader, name, &policy);
    if (status != LSPO_OK)
        return status;
    status = join_group(reader, policy, group);
    if (status != LSPO_OK)
        return status;
    cell.policy = policy;
    snprintf(cell.flags, sizeof cell.flags, "--policy %s", policy->name);
    for (uint32_t colon = 0; (number = strsep(&rest, ":")) != NULL; colon++) {
        const lspo_parameter_use_t *use = lspo_policy_colon_use(policy, colon);
        size_t used = strlen(cell.flags);
        if (use == NULL)
            return lspo_error(LSPO_ERR_INPUT, "%s:%u: '%s' is one number too many for policy %s", reader->path,
                              reader->line, number, policy->name);
        status = add_value(reader, use, number, cell.flags + used, sizeof cell.flags - used);
        if (status != LSPO_OK)
            return status;
    }
    if (reader->grid->cell_count == LSPO_GRID_CELLS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s:%u: more than %d cells", reader->path, reader->line, LSPO_GRID_CELLS_MAX);
    return append((void **)&reader->grid->cells, &reader->grid->cell_count, &cell, sizeof cell);
}

lspo_status_t lspo_grid_add_cell(lspo_grid_t *grid, uint32_t line, char *text, uint32_t group)
{
    reader_t reader = {.grid = grid, .path = grid->path, .line = line};
    return read_cell(&reader, text, group);
}

lspo_status_t lspo_grid_add_group(lspo_grid_t *grid, const lspo_grid_group_t *group)
{
    return append((void **)&grid->groups, &grid->group_count, group, sizeof *group);
}

static lspo_status_t read_fields(reader_t *reader, char *const fields[FIELD_COUNT], lspo_grid_group_t *group)
{
    int64_t batch, sequence;
    lspo_status_t status = parse_count(reader, "batch", fields[2], &batch);
    if (status != LSPO_OK)
        return status;
    status = parse_count(reader, "sequence", fields[3], &sequence);
    if (status != LSPO_OK)
        return status;
    if (strcmp(fields[4], "self") != 0)
        status = find_policy(reader, fields[4], &group->rates_of);
    if (status != LSPO_OK)
        return status;
    status = parse_pace(reader, field_names[5], LSPO_UNIT_BPS, fields[5], &group->link_share, &group->link_Bps);
    if (status != LSPO_OK)
        return status;
    status = parse_pace(reader, field_names[6], LSPO_UNIT_PPS, fields[6], &group->cpu_share, &group->cpu_pps);
    if (status != LSPO_OK)
        return status;
    int used = snprintf(group->flags, sizeof group->flags, "--model %s --batch %lld --sequence %lld%s", fields[1],
                        (long long)batch, (long long)sequence, reader->flags);
    if ((size_t)used >= sizeof group->flags)
        return lspo_error(LSPO_ERR_INPUT, "%s:%u: model and flags take more than %d characters", reader->path,
                          reader->line, LSPO_GRID_FLAGS_BYTES - 1);
    snprintf(group->name, sizeof group->name, "%s", fields[0]);
    return LSPO_OK;
}

static lspo_status_t read_group(reader_t *reader, char *name)
{
    char *fields[FIELD_COUNT] = {name}, *policy;
    lspo_grid_group_t group = {.line = reader->line};
    uint32_t index = reader->grid->group_count;
    for (int i = 1; i < FIELD_COUNT; i++)
        if ((fields[i] = next_word(reader)) == NULL)
            return lspo_error(LSPO_ERR_INPUT,
                              "%s:%u: the line ends before %s; a group is: name model batch sequence rates "
                              "link/gpu cpu/gpu policy...",
                              reader->path, reader->line, field_names[i]);
    lspo_status_t status = read_fields(reader, fields, &group);
    if (status != LSPO_OK)
        return status;
    status = lspo_grid_add_group(reader->grid, &group);
    if (status != LSPO_OK)
        return status;
    uint32_t before = reader->grid->cell_count;
    while ((policy = next_word(reader)) != NULL) {
        status = read_cell(reader, policy, index);
        if (status != LSPO_OK)
            return status;
    }
    if (reader->grid->cell_count == before)
        return lspo_error(LSPO_ERR_INPUT, "%s:%u: the group names no policy", reader->path, reader->line);
    return LSPO_OK;
}

/* The words after `flags`, a blank before each. */
static lspo_status_t read_flags(reader_t *reader)
{
    size_t used = 0;
    reader->flags[0] = '\0';
    for (char *word = next_word(reader); word != NULL; word = next_word(reader)) {
        used += (size_t)snprintf(reader->flags + used, sizeof reader->flags - used, " %s", word);
        if (used >= sizeof reader->flags)
            return lspo_error(LSPO_ERR_INPUT, "%s:%u: more than %d characters of flags", reader->path, reader->line,
                              LSPO_GRID_FLAGS_BYTES - 1);
    }
    return LSPO_OK;
}

static lspo_status_t read_line(reader_t *reader, char *text)
{
    text[strcspn(text, "#")] = '\0';
    char *word = strtok_r(text, " \t\r\n", &reader->rest);
    if (word == NULL)
        return LSPO_OK;
    return strcmp(word, "flags") == 0 ? read_flags(reader) : read_group(reader, word);
}

static lspo_status_t read_lines(reader_t *reader, lspo_input_t *input)
{
    char *text = NULL;
    size_t length;
    while (true) {
        lspo_status_t status = lspo_input_line(input, &text, &length);
        if (status != LSPO_OK)
            return status;
        if (!text)
            break;
        reader->line++;
        if (memchr(text, '\0', length))
            return lspo_error(LSPO_ERR_INPUT, "%s:%u: the line has a NUL byte", reader->path, reader->line);
        status = read_line(reader, text);
        if (status != LSPO_OK)
            return status;
    }
    if (reader->line == 0)
        return lspo_input_refuse_empty(reader->path);
    if (reader->grid->cell_count == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: the grid has no cells", reader->path);
    return LSPO_OK;
}

lspo_status_t lspo_grid_read(const char *path, lspo_grid_t *grid_out)
{
    lspo_grid_t grid = {.path = strdup(path)};
    reader_t reader = {.grid = &grid, .path = path};
    if (grid.path == NULL)
        return lspo_no_memory("a grid");
    lspo_input_t *input = NULL;
    lspo_status_t status = lspo_input_open(path, FILE_BYTES_MAX, &input);
    if (status != LSPO_OK)
        goto failed;
    status = read_lines(&reader, input);
    lspo_input_close(input);
    if (status != LSPO_OK)
        goto failed;
    *grid_out = grid;
    return LSPO_OK;
failed:
    lspo_grid_release(&grid);
    return status;
}

void lspo_grid_release(lspo_grid_t *grid)
{
    free(grid->cells);
    free(grid->groups);
    free(grid->path);
    *grid = (lspo_grid_t){0};
}
