/* machine_file.c - load machine profiles by name or from INI files, complete or combined from a card and a host. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ini.h"
#include "base/names.h"
#include "plan/machine.h"
#include "plan/presets.h"

/* A kind of file: its own section, the folder of its presets, and which sections of values it has. */
typedef struct {
    const char *head;
    const char *folder;
    const char *sections[2]; /* both NULL: all */
    const char *keys;        /* of its own section, for messages */
} kind_t;

static const kind_t kinds[] = {
    [LSPO_PART_MACHINE] = {"machine", "machines", {NULL, NULL}, "base, card, host, name, description, source"},
    [LSPO_PART_CARD] = {"card", "machines/cards", {"gpu", "products"}, "base, name, description, source"},
    [LSPO_PART_HOST] = {"host", "machines/hosts", {"cpu", NULL}, "base, name, description, source"},
};

/* A file being read. */
typedef struct {
    const char *path;
    const kind_t *kind;
    lspo_machine_t machine;
    lspo_machine_notes_t *notes; /* NULL: not wanted */
    bool given[LSPO_MACHINE_FIELDS_MAX];
    bool any_given, has_part;
} machine_file_t;

static lspo_status_t read_part(lspo_machine_part_t part, const char *name_or_path, const char *beside,
                               machine_file_t *file);

static bool has_section(const kind_t *kind, const char *section)
{
    return kind->sections[0] == NULL || strcmp(section, kind->sections[0]) == 0 ||
           (kind->sections[1] != NULL && strcmp(section, kind->sections[1]) == 0);
}

static void set_note(const machine_file_t *file, size_t field, const char *note)
{
    if (file->notes != NULL)
        snprintf(file->notes->text[field], sizeof file->notes->text[field], "%.*s", LSPO_NOTE_BYTES - 1, note);
}

/* Every value of the sections that `part` has. */
static void take_values(const kind_t *part, const machine_file_t *from, machine_file_t *file)
{
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        if (!has_section(part, field->section))
            continue;
        memcpy((char *)&file->machine + field->offset_bytes, (const char *)&from->machine + field->offset_bytes,
               sizeof(double));
        file->given[i] = true;
        set_note(file, i, from->notes != NULL ? from->notes->text[i] : "");
    }
    if (has_section(part, "products"))
        file->machine.products = from->machine.products;
}

static lspo_status_t refuse_name(const char *what, lspo_machine_part_t part, const char *name, const char *also)
{
    const char *names[LSPO_PRESETS_MAX];
    uint32_t count = lspo_preset_names(kinds[part].folder, names);
    return lspo_name_refuse(what, name, names, count, also);
}

/* Read the preset `name` of the same kind, or a card or host, and take all its values. */
static lspo_status_t take_part(const char *what, lspo_machine_part_t part, const char *name, const char *beside,
                               machine_file_t *file)
{
    machine_file_t *from = calloc(1, sizeof *from);
    lspo_machine_notes_t *notes = file->notes != NULL ? calloc(1, sizeof *notes) : NULL;
    lspo_status_t status = LSPO_OK;
    if (from == NULL || (file->notes != NULL && notes == NULL)) {
        status = lspo_no_memory("%s", what);
        goto release;
    }
    from->notes = notes;
    if (lspo_preset_find(kinds[part].folder, name) == NULL && (beside == NULL || !lspo_name_is_path(name))) {
        status = refuse_name(what, part, name, beside != NULL ? ", nor a file such as ./my.ini" : NULL);
        goto release;
    }
    status = read_part(part, name, beside, from);
    if (status != LSPO_OK)
        goto release;
    take_values(&kinds[part], from, file);
release:
    free(notes);
    free(from);
    return status;
}

static lspo_status_t take_base(const char *what, const char *value, machine_file_t *file)
{
    if (file->any_given || file->has_part || file->machine.name[0] != '\0')
        return lspo_error(LSPO_ERR_INPUT, "%s: must be the first key of the file", what);
    return take_part(what, (lspo_machine_part_t)(file->kind - kinds), value, NULL, file);
}

static lspo_status_t take_card_or_host(const char *what, lspo_machine_part_t part, const char *value,
                                       machine_file_t *file)
{
    if (file->any_given)
        return lspo_error(LSPO_ERR_INPUT, "%s: must come before all values", what);
    file->has_part = true;
    return take_part(what, part, value, file->path, file);
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

static lspo_status_t take_text(const char *what, const char *value, char *text, size_t text_bytes)
{
    if (*value == '\0' || strlen(value) >= text_bytes)
        return lspo_error(LSPO_ERR_INPUT, "%s: needs 1 to %zu characters", what, text_bytes - 1);
    for (const char *c = value; *c != '\0'; c++) {
        if (is_control(*c) && *c != '\t')
            return lspo_error(LSPO_ERR_INPUT, "%s: '%s' has a control character", what, value);
    }
    memcpy(text, value, strlen(value) + 1);
    return LSPO_OK;
}

static lspo_status_t take_head_key(const char *what, const char *key, const char *value, machine_file_t *file)
{
    lspo_machine_t *machine = &file->machine;
    if (strcmp(key, "base") == 0)
        return take_base(what, value, file);
    if (strcmp(key, "name") == 0)
        return take_text(what, value, machine->name, sizeof machine->name);
    if (strcmp(key, "description") == 0)
        return take_text(what, value, machine->description, sizeof machine->description);
    if (strcmp(key, "source") == 0)
        return take_text(what, value, machine->source, sizeof machine->source);
    for (int part = LSPO_PART_CARD; file->kind == kinds && part <= LSPO_PART_HOST; part++) {
        if (strcmp(key, kinds[part].head) == 0)
            return take_card_or_host(what, (lspo_machine_part_t)part, value, file);
    }
    return lspo_error(LSPO_ERR_INPUT, "%s: unknown key; [%s] has %s", what, file->kind->head, file->kind->keys);
}

static lspo_status_t take_key(void *context, const lspo_ini_entry_t *entry)
{
    machine_file_t *file = context;
    char what[640];
    snprintf(what, sizeof what, "%s: [%s] %s", entry->where, entry->section, entry->key);
    if (strcmp(entry->section, file->kind->head) == 0)
        return take_head_key(what, entry->key, entry->value, file);
    if (!has_section(file->kind, entry->section)) {
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown section; a %s has [%s], [%s]%s", what, file->kind->head,
                          file->kind->head, file->kind->sections[0],
                          file->kind->sections[1] != NULL ? " and [products]" : "");
    }
    if (strcmp(entry->section, "products") == 0) {
        file->any_given = true;
        return lspo_products_take(what, entry->key, entry->value, &file->machine.products);
    }
    size_t index = lspo_machine_field_find(entry->section, entry->key);
    if (index == lspo_machine_field_count)
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown key; `lspo show machine` prints all of them", what);
    file->given[index] = true;
    file->any_given = true;
    set_note(file, index, entry->note);
    return lspo_machine_take(what, &lspo_machine_fields[index], entry->value, &file->machine);
}

/* The file that should have a missing value. */
static const char *sources_of(const machine_file_t *file, const char *section)
{
    if (file->kind != &kinds[LSPO_PART_MACHINE])
        return "base";
    return strcmp(section, "gpu") == 0 ? "base or card" : strcmp(section, "cpu") == 0 ? "base or host" : "base";
}

/* A missing key whose value may be 0 is 0; the others come from the file, its base, card or host. */
static lspo_status_t check_complete(const machine_file_t *file)
{
    if (file->machine.name[0] == '\0')
        return lspo_error(LSPO_ERR_INPUT, "%s: [%s] name is missing", file->path, file->kind->head);
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        if (!file->given[i] && field->low > 0.0 && has_section(file->kind, field->section)) {
            return lspo_error(LSPO_ERR_INPUT, "%s: [%s] %s is missing, and there is no [%s] %s to take it from",
                              file->path, field->section, field->key, file->kind->head,
                              sources_of(file, field->section));
        }
    }
    return lspo_products_check(file->path, &file->machine.products);
}

/* A path in a file is relative to that file's folder. */
static char *path_beside(const char *path, const char *beside)
{
    char *joined = NULL;
    const char *slash = beside != NULL ? strrchr(beside, '/') : NULL;
    if (slash == NULL || path[0] == '/')
        return strdup(path);
    return asprintf(&joined, "%.*s%s", (int)(slash + 1 - beside), beside, path) < 0 ? NULL : joined;
}

static lspo_status_t read_file(const char *path, machine_file_t *file)
{
    file->path = path;
    lspo_status_t status = lspo_ini_read(path, take_key, file);
    if (status != LSPO_OK)
        return status;
    return check_complete(file);
}

static lspo_status_t read_preset(const lspo_preset_t *preset, machine_file_t *file)
{
    file->path = preset->path;
    lspo_status_t status = lspo_ini_read_text(preset->path, preset->text, take_key, file);
    if (status != LSPO_OK)
        return status;
    return check_complete(file);
}

/* A preset by name, else a file relative to the file `beside` (NULL: to the current folder).  `file` is zero except for
 * its notes. */
static lspo_status_t read_part(lspo_machine_part_t part, const char *name_or_path, const char *beside,
                               machine_file_t *file)
{
    const lspo_preset_t *preset = lspo_preset_find(kinds[part].folder, name_or_path);
    file->kind = &kinds[part];
    if (preset != NULL)
        return read_preset(preset, file);
    char *path = path_beside(name_or_path, beside);
    if (path == NULL)
        return lspo_no_memory("%s", name_or_path);
    lspo_status_t status = read_file(path, file);
    free(path);
    return status;
}

uint32_t lspo_machine_preset_count(lspo_machine_part_t part)
{
    return lspo_preset_count(kinds[part].folder);
}

const char *lspo_machine_preset_name(lspo_machine_part_t part, uint32_t index)
{
    return lspo_preset_at(kinds[part].folder, index)->name;
}

lspo_status_t lspo_machine_preset(lspo_machine_part_t part, uint32_t index, lspo_machine_t *machine_out)
{
    machine_file_t file = {0};
    lspo_status_t status = read_part(part, lspo_machine_preset_name(part, index), NULL, &file);
    if (status != LSPO_OK)
        return status;
    *machine_out = file.machine;
    return LSPO_OK;
}

static lspo_status_t check_name(const char *name)
{
    bool is_file = access(name, F_OK) == 0;
    if (lspo_preset_find(kinds[LSPO_PART_MACHINE].folder, name) != NULL) {
        if (is_file)
            lspo_warn("--machine %s is the preset of that name; to use the file here, write ./%s", name, name);
        return LSPO_OK;
    }
    if (!is_file && lspo_name_is_path(name)) {
        return lspo_error(LSPO_ERR_INPUT,
                          "machine: there is no file %s; `lspo calibrate -o %s` measures this machine and writes one",
                          name, name);
    }
    return is_file ? LSPO_OK : refuse_name("machine", LSPO_PART_MACHINE, name, ", nor a file here");
}

lspo_status_t lspo_machine_find_noted(const char *name_or_path, lspo_machine_t *machine_out,
                                      lspo_machine_notes_t *notes_out)
{
    machine_file_t file = {.notes = notes_out};
    lspo_status_t status = check_name(name_or_path);
    if (status != LSPO_OK)
        return status;
    if (notes_out != NULL)
        *notes_out = (lspo_machine_notes_t){0};
    status = read_part(LSPO_PART_MACHINE, name_or_path, NULL, &file);
    if (status != LSPO_OK)
        return status;
    *machine_out = file.machine;
    return LSPO_OK;
}

lspo_status_t lspo_machine_find(const char *name_or_path, lspo_machine_t *machine_out)
{
    return lspo_machine_find_noted(name_or_path, machine_out, NULL);
}
