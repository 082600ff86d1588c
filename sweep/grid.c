/* grid.c - see grid.h. */
#include "sweep/grid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/array.h"
#include "base/words.h"

enum { ZIP_WORDS_MAX = 256, KEY_BYTES = 64, WHEEL_BYTES = 320 };

/* A section of the file. */
typedef struct {
    char *name;            /* owned until it is a group's */
    uint32_t first, count; /* its axes, among the grid's */
    char *zip, *zip_where; /* owned; NULL: none */
    lspo_where_t *where;
} section_t;

/* The state of the reader. */
typedef struct {
    const lspo_sweep_language_t *language;
    lspo_sweep_grid_t *grid;
    size_t axis_capacity;
    section_t *sections; /* owned */
    size_t section_count, section_capacity;
    XXH3_state_t *hash;            /* owned */
    const lspo_ini_entry_t *given; /* has been read; replaces the file's keys of that name */
} reader_t;

static bool is_all(const section_t *section)
{
    return strcmp(section->name, "all") == 0;
}

static lspo_status_t begin_section(reader_t *reader, const lspo_ini_entry_t *entry)
{
    if (reader->section_count > 0 && strcmp(reader->sections[reader->section_count - 1].name, entry->section) == 0)
        return LSPO_OK;
    for (size_t i = 0; i < reader->section_count; i++)
        if (strcmp(reader->sections[i].name, entry->section) == 0)
            return lspo_error(LSPO_ERR_INPUT, "%s: there is a [%s] above", entry->where, entry->section);
    if (reader->section_count > 0 && strcmp(entry->section, "all") == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: [all] must come first", entry->where);
    if (reader->section_count == LSPO_SWEEP_GROUPS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: more than %d groups", entry->where, LSPO_SWEEP_GROUPS_MAX);
    lspo_status_t status = lspo_array_grow(&reader->sections, &reader->section_capacity, reader->section_count + 1,
                                           sizeof *reader->sections, "groups");
    if (status != LSPO_OK)
        return status;
    char *name = strdup(entry->section);
    if (name == NULL)
        return lspo_no_memory("%s", entry->where);
    reader->sections[reader->section_count++] = (section_t){.name = name, .first = reader->grid->axis_count};
    return LSPO_OK;
}

static lspo_status_t take_axis(reader_t *reader, const lspo_ini_entry_t *entry, section_t *section)
{
    lspo_sweep_grid_t *grid = reader->grid;
    if (section->count == LSPO_SWEEP_AXES_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: more than %d keys in [%s]", entry->where, LSPO_SWEEP_AXES_MAX,
                          section->name);
    lspo_status_t status =
        lspo_array_grow(&grid->axes, &reader->axis_capacity, (size_t)grid->axis_count + 1, sizeof *grid->axes, "axes");
    if (status != LSPO_OK)
        return status;
    status = lspo_axis_read(reader->language, entry, &grid->axes[grid->axis_count]);
    if (status != LSPO_OK)
        return status;
    grid->axis_count++;
    section->count++;
    return LSPO_OK;
}

static lspo_status_t take_key(void *context, const lspo_ini_entry_t *entry)
{
    reader_t *reader = context;
    lspo_status_t status = begin_section(reader, entry);
    if (status != LSPO_OK)
        return status;
    section_t *section = &reader->sections[reader->section_count - 1];
    if (reader->given != NULL && strcmp(entry->key, reader->given->key) == 0)
        return LSPO_OK;
    XXH3_64bits_update(reader->hash, entry->section, strlen(entry->section) + 1);
    XXH3_64bits_update(reader->hash, entry->key, strlen(entry->key) + 1);
    XXH3_64bits_update(reader->hash, entry->value, strlen(entry->value) + 1);
    if (strcmp(entry->key, "where") == 0)
        return lspo_where_read(reader->language, entry, &section->where);
    if (strcmp(entry->key, "zip") != 0)
        return take_axis(reader, entry, section);
    section->zip = strdup(entry->value);
    section->zip_where = strdup(entry->where);
    return section->zip && section->zip_where ? LSPO_OK : lspo_no_memory("%s", entry->where);
}

/* ---- groups ---- */

/* The axes of a group: those of [all] that it does not replace, then its own. */
static lspo_status_t collect_axes(const reader_t *reader, const section_t *section, uint32_t *axes, uint32_t *count_out)
{
    const lspo_axis_t *known = reader->grid->axes;
    const section_t *all = &reader->sections[0];
    uint32_t count = 0;
    for (uint32_t i = all->first; is_all(all) && section != all && i < all->first + all->count; i++) {
        bool replaced = false;
        for (uint32_t k = section->first; k < section->first + section->count; k++)
            replaced |= strcmp(known[k].key, known[i].key) == 0;
        if (!replaced)
            axes[count++] = i;
    }
    for (uint32_t i = section->first; i < section->first + section->count; i++) {
        if (count == LSPO_SWEEP_AXES_MAX)
            return lspo_error(LSPO_ERR_INPUT, "%s: [%s] has more than %d axes with those of [all]", known[i].where,
                              section->name, LSPO_SWEEP_AXES_MAX);
        axes[count++] = i;
    }
    *count_out = count;
    return LSPO_OK;
}

/* The wheel of the axis with this key; NULL: none. */
static lspo_wheel_t *find_wheel(const lspo_axis_t *known, lspo_sweep_group_t *group, const char *key)
{
    for (uint32_t w = 0; w < group->wheel_count; w++)
        for (uint32_t i = 0; i < group->wheels[w].axis_count; i++)
            if (strcmp(known[group->wheels[w].axes[i]].key, key) == 0)
                return &group->wheels[w];
    return NULL;
}

/* Axes that this line zips but that the group replaces are not its own, and stay alone. */
static bool belongs(const lspo_axis_t *known, const section_t *section, const lspo_wheel_t *wheel)
{
    uint32_t axis = wheel->axes[0];
    (void)known;
    return axis >= section->first && axis < section->first + section->count;
}

/* "machine of --machine has 1 value": of the wheel's first axis. */
static void describe_wheel(const lspo_axis_t *known, const lspo_wheel_t *wheel, char text[WHEEL_BYTES])
{
    const lspo_axis_t *axis = &known[wheel->axes[0]];
    bool given = axis->where[0] == '-'; /* by an option */
    snprintf(text, WHEEL_BYTES, "%s%s%s has %u value%s", axis->key, given ? " of " : "", given ? axis->where : "",
             wheel->size, wheel->size == 1 ? "" : "s");
}

static lspo_status_t join_wheels(const char *where, const lspo_axis_t *known, lspo_sweep_group_t *group,
                                 lspo_wheel_t *into, lspo_wheel_t *from)
{
    if (into == from)
        return LSPO_OK;
    if (into->size != from->size) {
        char texts[2][WHEEL_BYTES];
        describe_wheel(known, into, texts[0]);
        describe_wheel(known, from, texts[1]);
        return lspo_error(LSPO_ERR_INPUT, "%s: zip: %s, but %s", where, texts[0], texts[1]);
    }
    for (uint32_t i = 0; i < from->axis_count; i++)
        into->axes[into->axis_count++] = from->axes[i];
    uint32_t at = (uint32_t)(from - group->wheels);
    memmove(from, from + 1, (group->wheel_count - at - 1) * sizeof *from);
    group->wheel_count--;
    return LSPO_OK;
}

/* "A B, C D": one list of names. */
static lspo_status_t zip_names(const reader_t *reader, const section_t *section, char *names, lspo_sweep_group_t *group)
{
    const lspo_axis_t *known = reader->grid->axes;
    char *words[ZIP_WORDS_MAX], *first = NULL;
    size_t count = 0;
    lspo_status_t status = lspo_words_split(section->zip_where, names, ZIP_WORDS_MAX, words, &count);
    for (size_t i = 0; status == LSPO_OK && i < count; i++) {
        lspo_wheel_t *wheel = find_wheel(known, group, words[i]);
        if (wheel == NULL)
            return lspo_error(LSPO_ERR_INPUT, "%s: zip: there is no axis '%s' in [%s]", section->zip_where, words[i],
                              section->name);
        if (!belongs(known, section, wheel))
            continue;
        if (first == NULL)
            first = words[i];
        else if (find_wheel(known, group, first) > wheel) /* the wheel stays where its first axis is */
            status = join_wheels(section->zip_where, known, group, wheel, find_wheel(known, group, first));
        else
            status = join_wheels(section->zip_where, known, group, find_wheel(known, group, first), wheel);
    }
    return status;
}

static lspo_status_t zip_section(const reader_t *reader, const section_t *section, lspo_sweep_group_t *group)
{
    char *rest, *text;
    lspo_status_t status = LSPO_OK;
    if (section->zip == NULL)
        return LSPO_OK;
    text = strdup(section->zip);
    if (text == NULL)
        return lspo_no_memory("%s", section->zip_where);
    for (char *names = strtok_r(text, ",", &rest); status == LSPO_OK && names != NULL;
         names = strtok_r(NULL, ",", &rest))
        status = zip_names(reader, section, names, group);
    free(text);
    return status;
}

static lspo_status_t count_cells(const reader_t *reader, lspo_sweep_group_t *group)
{
    lspo_sweep_grid_t *grid = reader->grid;
    group->first = grid->cell_count;
    group->count = 1;
    for (uint32_t i = 0; i < group->wheel_count; i++) {
        group->count *= group->wheels[i].size;
        if (group->count > LSPO_SWEEP_CELLS_MAX || group->first + group->count > LSPO_SWEEP_CELLS_MAX)
            return lspo_error(LSPO_ERR_INPUT, "%s: the grid has more than %llu cells", grid->path,
                              (unsigned long long)LSPO_SWEEP_CELLS_MAX);
    }
    grid->cell_count += group->count;
    return LSPO_OK;
}

static lspo_status_t check_group(const lspo_sweep_grid_t *grid, lspo_sweep_group_t *group)
{
    static const char *const required[] = {"model", "machine", "policy"};
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++)
        if (find_wheel(grid->axes, group, required[i]) == NULL)
            return lspo_error(LSPO_ERR_INPUT, "%s: %s%s%s has no %s", grid->path, group->name[0] ? "[" : "the grid",
                              group->name, group->name[0] ? "]" : "", required[i]);
    return LSPO_OK;
}

static lspo_status_t make_group(reader_t *reader, section_t *section)
{
    lspo_sweep_grid_t *grid = reader->grid;
    lspo_sweep_group_t *group = &grid->groups[grid->group_count++];
    section_t *all = &reader->sections[0];
    uint32_t axes[LSPO_SWEEP_AXES_MAX], count = 0;
    lspo_status_t status = collect_axes(reader, section, axes, &count);
    if (status != LSPO_OK)
        return status;
    group->name = strdup(section == all && is_all(all) ? "" : section->name);
    group->wheels = calloc((size_t)count + 1, sizeof *group->wheels);
    if (group->name == NULL || group->wheels == NULL)
        return lspo_no_memory("the group [%s]", section->name);
    for (uint32_t i = 0; i < count; i++)
        group->wheels[i] = (lspo_wheel_t){.axes = {axes[i]}, .axis_count = 1, .size = grid->axes[axes[i]].count};
    group->wheel_count = count;
    if (section != all && is_all(all))
        status = zip_section(reader, all, group);
    if (status == LSPO_OK)
        status = zip_section(reader, section, group);
    if (status == LSPO_OK)
        status = check_group(grid, group);
    if (status == LSPO_OK)
        status = count_cells(reader, group);
    if (section == all && is_all(all))
        return status;
    group->where = section->where;
    section->where = NULL;
    return status;
}

static lspo_status_t make_groups(reader_t *reader)
{
    lspo_sweep_grid_t *grid = reader->grid;
    if (reader->section_count == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: the grid has no axes", grid->path);
    grid->groups = calloc(reader->section_count, sizeof *grid->groups);
    if (grid->groups == NULL)
        return lspo_no_memory("%zu groups", reader->section_count);
    bool shares = is_all(&reader->sections[0]);
    lspo_status_t status = LSPO_OK;
    for (size_t i = shares && reader->section_count > 1; status == LSPO_OK && i < reader->section_count; i++)
        status = make_group(reader, &reader->sections[i]);
    if (shares) {
        grid->where = reader->sections[0].where;
        reader->sections[0].where = NULL;
    }
    return status;
}

static void release_reader(reader_t *reader)
{
    for (size_t i = 0; i < reader->section_count; i++) {
        free(reader->sections[i].name);
        free(reader->sections[i].zip);
        free(reader->sections[i].zip_where);
        lspo_where_destroy(reader->sections[i].where);
    }
    free(reader->sections);
    XXH3_freeState(reader->hash);
}

/* `text` NULL: of the file. */
static lspo_status_t read_grid(const char *path, const char *text, const lspo_sweep_language_t *language,
                               const lspo_ini_entry_t *given, lspo_sweep_grid_t *grid_out)
{
    lspo_sweep_grid_t grid = {.path = strdup(path)};
    reader_t reader = {.language = language, .grid = &grid, .hash = XXH3_createState()};
    lspo_status_t status = grid.path && reader.hash ? LSPO_OK : lspo_no_memory("a grid");
    if (status == LSPO_OK) {
        XXH3_64bits_reset(reader.hash);
        status = given != NULL ? take_key(&reader, given) : LSPO_OK;
        reader.given = given;
    }
    if (status == LSPO_OK)
        status =
            text != NULL ? lspo_ini_read_text(path, text, take_key, &reader) : lspo_ini_read(path, take_key, &reader);
    if (status == LSPO_OK)
        status = make_groups(&reader);
    if (status == LSPO_OK)
        grid.hash = XXH3_64bits_digest(reader.hash);
    release_reader(&reader);
    if (status != LSPO_OK) {
        lspo_sweep_grid_release(&grid);
        return status;
    }
    *grid_out = grid;
    return LSPO_OK;
}

lspo_status_t lspo_sweep_grid_read(const char *path, const lspo_sweep_language_t *language,
                                   const lspo_ini_entry_t *given, lspo_sweep_grid_t *grid_out)
{
    return read_grid(path, NULL, language, given, grid_out);
}

lspo_status_t lspo_sweep_grid_read_text(const char *path, const char *text, const lspo_sweep_language_t *language,
                                        const lspo_ini_entry_t *given, lspo_sweep_grid_t *grid_out)
{
    return read_grid(path, text, language, given, grid_out);
}

void lspo_sweep_grid_release(lspo_sweep_grid_t *grid)
{
    for (uint32_t i = 0; i < grid->group_count; i++) {
        free(grid->groups[i].name);
        free(grid->groups[i].wheels);
        lspo_where_destroy(grid->groups[i].where);
    }
    for (uint32_t i = 0; i < grid->axis_count; i++)
        lspo_axis_release(&grid->axes[i]);
    lspo_where_destroy(grid->where);
    free(grid->groups);
    free(grid->axes);
    free(grid->path);
    *grid = (lspo_sweep_grid_t){0};
}

/* ---- cells ---- */

static const lspo_sweep_group_t *group_of(const lspo_sweep_grid_t *grid, uint64_t index)
{
    uint32_t low = 0, high = grid->group_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (grid->groups[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    return &grid->groups[low];
}

/* Has the cell's policy the option of this axis?  Other keys always apply. */
static bool applies(const lspo_policy_t *policy, const lspo_axis_t *axis)
{
    return axis->info.parameter == NULL || lspo_policy_use(policy, axis->info.parameter) != NULL;
}

bool lspo_sweep_grid_cell(const lspo_sweep_grid_t *grid, uint64_t index, lspo_sweep_cell_t *cell_out)
{
    const lspo_sweep_group_t *group = group_of(grid, index);
    uint32_t digits[LSPO_SWEEP_AXES_MAX];
    uint64_t rest = index - group->first;
    *cell_out = (lspo_sweep_cell_t){.index = index, .group = group};
    for (uint32_t w = group->wheel_count; w-- > 0; rest /= group->wheels[w].size) {
        const lspo_wheel_t *wheel = &group->wheels[w];
        digits[w] = (uint32_t)(rest % wheel->size);
        for (uint32_t i = 0; i < wheel->axis_count; i++)
            if (strcmp(grid->axes[wheel->axes[i]].key, "policy") == 0)
                cell_out->policy = grid->axes[wheel->axes[i]].resolved[digits[w]];
    }
    for (uint32_t w = 0; w < group->wheel_count; w++) {
        const lspo_wheel_t *wheel = &group->wheels[w];
        uint32_t applying = 0;
        for (uint32_t i = 0; i < wheel->axis_count; i++) {
            const lspo_axis_t *axis = &grid->axes[wheel->axes[i]];
            if (!applies(cell_out->policy, axis))
                continue;
            cell_out->settings[cell_out->setting_count++] = (lspo_sweep_setting_t){axis, digits[w]};
            applying++;
        }
        if (applying == 0 && digits[w] > 0)
            return false;
    }
    return true;
}

const char *lspo_sweep_cell_value(const lspo_sweep_cell_t *cell, const char *key)
{
    for (uint32_t i = 0; i < cell->setting_count; i++)
        if (strcmp(cell->settings[i].axis->key, key) == 0)
            return cell->settings[i].axis->values[cell->settings[i].value];
    return NULL;
}
