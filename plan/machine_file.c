/* machine_file.c - load machine profiles by name or from INI files, complete or combined from a card and a host. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ini.h"
#include "base/names.h"
#include "plan/machine.h"
#include "plan/machine_link.h"
#include "plan/presets.h"

/* A kind of file: its own section, the folder of its presets, and which sections of values it has. */
typedef struct {
    const char *head;
    const char *folder;
    const char *sections[2]; /* both NULL: all */
    const char *keys;        /* of its own section, for messages */
} kind_t;

static const kind_t kinds[] = {
    [LSPO_PART_MACHINE] = {"machine",
                           "machines",
                           {NULL, NULL},
                           "base, card, host, framework, framework_name, name, description, source, evidence, group"},
    [LSPO_PART_CARD] = {"card",
                        "machines/cards",
                        {"gpu", "products"},
                        "base, name, description, source, evidence, group, pcie, host"},
    [LSPO_PART_HOST] = {"host",
                        "machines/hosts",
                        {"cpu", NULL},
                        "base, name, description, source, evidence, group, pcie"},
    [LSPO_PART_FRAMEWORK] = {"framework", "frameworks", {"software", NULL}, "base, name, description, source"},
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

const char *const lspo_machine_evidence[] = {"calibrated", "published rows", "fitted", "data sheet", "assumed", NULL};

/* What a file has besides values and that another file takes from it: the texts of a base or card, and for the link of
 * a machine the name and PCIe of its card and host. */
typedef struct {
    char name[LSPO_NAME_BYTES], description[LSPO_SOURCE_BYTES], source[LSPO_SOURCE_BYTES];
    lspo_pcie_t pcie;
} part_t;

/* A file being read. */
typedef struct {
    const char *path;
    const kind_t *kind;
    lspo_machine_t machine;
    lspo_machine_notes_t *notes; /* NULL: not wanted */
    bool given[LSPO_MACHINE_FIELDS_MAX];
    bool any_given, has_part;
    char taken_evidence[LSPO_NAME_BYTES], taken_group[LSPO_NAME_BYTES]; /* for want of its own */
    char usual_host[LSPO_NAME_BYTES];                                   /* of a card; "": none */
    part_t parts[KIND_COUNT]; /* the card and the host that it names; name "": none */
} machine_file_t;

static lspo_status_t read_named(const char *what, lspo_machine_part_t part, const char *name, const char *beside,
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
    if (has_section(part, "software")) {
        const char *name = part == &kinds[LSPO_PART_FRAMEWORK] ? from->machine.name : from->machine.framework;
        memcpy(file->machine.framework, name, sizeof file->machine.framework);
    }
}

static uint32_t names_of(lspo_machine_part_t part, const char *names[LSPO_PRESETS_MAX]);

static lspo_status_t refuse_name(const char *what, lspo_machine_part_t part, const char *name, const char *also)
{
    const char *names[LSPO_PRESETS_MAX];
    const char *slash = strrchr(kinds[part].folder, '/'), *list = slash != NULL ? slash + 1 : kinds[part].folder;
    return lspo_name_refuse_listed(what, name, names, names_of(part, names), list, also);
}

/* Texts that a file without its own takes from its base, and from its card before that. */
static void take_texts(lspo_machine_part_t part, const machine_file_t *from, machine_file_t *file)
{
    bool is_base = file->kind == &kinds[part];
    if (is_base || part == LSPO_PART_CARD) {
        memcpy(file->taken_evidence, from->machine.evidence, sizeof file->taken_evidence);
        memcpy(file->taken_group, from->machine.group, sizeof file->taken_group);
    }
    if (is_base && part != LSPO_PART_MACHINE) {
        file->machine.link = from->machine.link;
        memcpy(file->usual_host, from->usual_host, sizeof file->usual_host);
    }
    part_t *own = &file->parts[part];
    if (part == LSPO_PART_CARD && file->kind == &kinds[LSPO_PART_MACHINE])
        memcpy(file->usual_host, from->usual_host, sizeof file->usual_host);
    memcpy(own->name, from->machine.name, sizeof own->name);
    memcpy(own->description, from->machine.description, sizeof own->description);
    memcpy(own->source, from->machine.source, sizeof own->source);
    own->pcie = (lspo_pcie_t){from->machine.link.pcie_generation, from->machine.link.pcie_lanes};
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
    status = read_named(what, part, name, beside, from);
    if (status != LSPO_OK)
        goto release;
    take_values(&kinds[part], from, file);
    take_texts(part, from, file);
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

static lspo_status_t take_named_part(const char *what, lspo_machine_part_t part, const char *value,
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

static lspo_status_t take_evidence(const char *what, const char *value, machine_file_t *file)
{
    size_t count = 0;
    while (lspo_machine_evidence[count] != NULL && strcmp(lspo_machine_evidence[count], value) != 0)
        count++;
    if (lspo_machine_evidence[count] == NULL)
        return lspo_name_refuse(what, value, lspo_machine_evidence, count, NULL);
    return take_text(what, value, file->machine.evidence, sizeof file->machine.evidence);
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
    if (strcmp(key, "framework_name") == 0 && file->kind == kinds)
        return take_text(what, value, machine->framework, sizeof machine->framework);
    if (strcmp(key, "evidence") == 0)
        return take_evidence(what, value, file);
    if (strcmp(key, "group") == 0)
        return take_text(what, value, machine->group, sizeof machine->group);
    if (strcmp(key, "pcie") == 0 && file->kind != &kinds[LSPO_PART_MACHINE])
        return lspo_machine_link_parse(what, value, machine);
    if (strcmp(key, "host") == 0 && file->kind == &kinds[LSPO_PART_CARD])
        return take_text(what, value, file->usual_host, sizeof file->usual_host);
    for (int part = LSPO_PART_CARD; file->kind == kinds && part <= LSPO_PART_FRAMEWORK; part++) {
        if (strcmp(key, kinds[part].head) == 0)
            return take_named_part(what, (lspo_machine_part_t)part, value, file);
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

static void give_link(void *context, size_t field, const char *note)
{
    machine_file_t *file = context;
    file->given[field] = true;
    set_note(file, field, note);
}

/* The link of a card in a host, where nothing else gives one. */
static lspo_status_t complete_link(machine_file_t *file)
{
    size_t h2d = lspo_machine_field_find("link", "h2d_Bps"), d2h = lspo_machine_field_find("link", "d2h_Bps");
    const part_t *card = &file->parts[LSPO_PART_CARD], *host = &file->parts[LSPO_PART_HOST];
    if (card->name[0] == '\0' || host->name[0] == '\0' || file->given[h2d] || file->given[d2h])
        return LSPO_OK;
    if (card->pcie.lanes <= 0 || host->pcie.lanes <= 0) {
        bool is_card = card->pcie.lanes <= 0;
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: the %s %s does not say its PCIe (pcie = 4x16), so the link is unknown; a machine's file "
                          "can give [link] h2d_Bps and d2h_Bps",
                          file->path, is_card ? "card" : "host", is_card ? card->name : host->name);
    }
    lspo_machine_link_set(card->pcie, host->pcie, &file->machine, give_link, file);
    return LSPO_OK;
}

/* A missing key whose value may be 0 is 0; the others come from the file, its base, card or host. */
static lspo_status_t check_complete(machine_file_t *file)
{
    lspo_machine_t *machine = &file->machine;
    if (machine->name[0] == '\0')
        return lspo_error(LSPO_ERR_INPUT, "%s: [%s] name is missing", file->path, file->kind->head);
    if (machine->evidence[0] == '\0')
        memcpy(machine->evidence, file->taken_evidence, sizeof machine->evidence);
    if (machine->group[0] == '\0')
        memcpy(machine->group, file->taken_group, sizeof machine->group);
    lspo_status_t status = complete_link(file);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        if (!file->given[i] && field->low > 0.0 && has_section(file->kind, field->section)) {
            return lspo_error(LSPO_ERR_INPUT, "%s: [%s] %s is missing, and there is no [%s] %s to take it from",
                              file->path, field->section, field->key, file->kind->head,
                              sources_of(file, field->section));
        }
    }
    return lspo_products_check(file->path, &machine->products);
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

/* ---- machines of a card and a host ---- */

/* The '+' of CARD+HOST: the first one after a card, else the first; NULL: there is none. */
static const char *plus_of(const char *name)
{
    for (const char *plus = strchr(name, '+'); plus != NULL; plus = strchr(plus + 1, '+')) {
        char *card = strndup(name, (size_t)(plus - name));
        bool found =
            card != NULL && (lspo_preset_find(kinds[LSPO_PART_CARD].folder, card) != NULL || access(card, F_OK) == 0);
        free(card);
        if (found)
            return plus;
    }
    return strchr(name, '+');
}

/* Is it the name of a card, or CARD+HOST, and not of a machine's file? */
static bool is_joined(const char *name)
{
    return lspo_preset_find(kinds[LSPO_PART_MACHINE].folder, name) == NULL &&
           (lspo_preset_find(kinds[LSPO_PART_CARD].folder, name) != NULL ||
            (strchr(name, '+') != NULL && access(name, F_OK) != 0));
}

static void describe_joined(const char *name, bool named_host, machine_file_t *file)
{
    const part_t *card = &file->parts[LSPO_PART_CARD], *host = &file->parts[LSPO_PART_HOST];
    lspo_machine_t *machine = &file->machine;
    if (named_host)
        snprintf(machine->name, sizeof machine->name, "%.31s+%.31s", card->name, host->name);
    else
        snprintf(machine->name, sizeof machine->name, "%.63s", name);
    snprintf(machine->description, sizeof machine->description, "%.110s, %.110s", card->description, host->description);
    snprintf(machine->source, sizeof machine->source, "%.110s; host: %.110s", card->source, host->source);
}

/* The machine of CARD+HOST, or of a card in its usual host. */
static lspo_status_t read_joined(const char *name, machine_file_t *file)
{
    char what[160];
    const char *plus = lspo_preset_find(kinds[LSPO_PART_CARD].folder, name) != NULL ? NULL : plus_of(name);
    char *card = plus != NULL ? strndup(name, (size_t)(plus - name)) : strdup(name);
    if (card == NULL)
        return lspo_no_memory("%s", name);
    file->kind = &kinds[LSPO_PART_MACHINE];
    file->path = name;
    snprintf(what, sizeof what, "machine %.100s: card", name);
    lspo_status_t status = take_part(what, LSPO_PART_CARD, card, "", file);
    free(card);
    if (status != LSPO_OK)
        return status;
    if (plus == NULL && file->usual_host[0] == '\0') {
        return lspo_error(LSPO_ERR_INPUT,
                          "machine: %s is a card without a usual host: write %s+HOST (`lspo list hosts`)", name, name);
    }
    snprintf(what, sizeof what, "machine %.100s: host", name);
    status = take_part(what, LSPO_PART_HOST, plus != NULL ? plus + 1 : file->usual_host, "", file);
    if (status != LSPO_OK)
        return status;
    describe_joined(name, plus != NULL, file);
    return check_complete(file);
}

/* A preset of its kind, a machine of a card and a host, or, unless `beside` is NULL, a file beside that one. */
static lspo_status_t read_named(const char *what, lspo_machine_part_t part, const char *name, const char *beside,
                                machine_file_t *file)
{
    if (part == LSPO_PART_MACHINE && is_joined(name))
        return read_joined(name, file);
    if (lspo_preset_find(kinds[part].folder, name) == NULL && (beside == NULL || !lspo_name_is_path(name)))
        return refuse_name(what, part, name, beside != NULL ? ", nor a file such as ./my.ini" : NULL);
    return read_part(part, name, beside, file);
}

/* ---- presets ---- */

/* Does this card name its usual host, and has no machine's file its name?  Presets are written in one way
 * (tests/test_presets.sh), so that their texts need not be parsed for a list of names. */
static bool is_machine_too(const lspo_preset_t *card)
{
    return lspo_preset_find(kinds[LSPO_PART_MACHINE].folder, card->name) == NULL &&
           strstr(card->text, "\nhost = ") != NULL;
}

/* The names of a part's presets: machines are the files and the cards with a usual host. */
static uint32_t names_of(lspo_machine_part_t part, const char *names[LSPO_PRESETS_MAX])
{
    uint32_t count = lspo_preset_names(kinds[part].folder, names);
    uint32_t cards = part == LSPO_PART_MACHINE ? lspo_preset_count(kinds[LSPO_PART_CARD].folder) : 0;
    for (uint32_t i = 0; i < cards && count < LSPO_PRESETS_MAX; i++) {
        const lspo_preset_t *card = lspo_preset_at(kinds[LSPO_PART_CARD].folder, i);
        if (is_machine_too(card))
            names[count++] = card->name;
    }
    return count;
}

uint32_t lspo_machine_preset_count(lspo_machine_part_t part)
{
    const char *names[LSPO_PRESETS_MAX];
    return names_of(part, names);
}

const char *lspo_machine_preset_name(lspo_machine_part_t part, uint32_t index)
{
    const char *names[LSPO_PRESETS_MAX];
    names_of(part, names);
    return names[index];
}

lspo_status_t lspo_machine_preset(lspo_machine_part_t part, uint32_t index, lspo_machine_t *machine_out)
{
    machine_file_t file = {0};
    const char *name = lspo_machine_preset_name(part, index);
    lspo_status_t status = read_named(name, part, name, NULL, &file);
    if (status != LSPO_OK)
        return status;
    *machine_out = file.machine;
    return LSPO_OK;
}

static lspo_status_t check_name(const char *name)
{
    bool is_file = access(name, F_OK) == 0;
    if (lspo_preset_find(kinds[LSPO_PART_MACHINE].folder, name) != NULL || is_joined(name)) {
        if (is_file)
            lspo_warn("--machine %s is the preset of that name; to use the file here, write ./%s", name, name);
        return LSPO_OK;
    }
    if (!is_file && lspo_preset_find(kinds[LSPO_PART_HOST].folder, name) != NULL) {
        return lspo_error(LSPO_ERR_INPUT, "machine: %s is a host: write CARD+%s (`lspo list cards`)", name, name);
    }
    if (!is_file && lspo_name_is_path(name)) {
        return lspo_error(LSPO_ERR_INPUT,
                          "machine: there is no file %s; `lspo calibrate -o %s` measures this machine and writes one",
                          name, name);
    }
    return is_file ? LSPO_OK : refuse_name("machine", LSPO_PART_MACHINE, name, ", nor CARD+HOST, nor a file here");
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
    status = is_joined(name_or_path) ? read_joined(name_or_path, &file)
                                     : read_part(LSPO_PART_MACHINE, name_or_path, NULL, &file);
    if (status != LSPO_OK)
        return status;
    *machine_out = file.machine;
    return LSPO_OK;
}

lspo_status_t lspo_machine_use_framework(lspo_machine_t *machine, const char *name_or_path)
{
    machine_file_t file = {.machine = *machine};
    lspo_status_t status = take_part("--framework", LSPO_PART_FRAMEWORK, name_or_path, "", &file);
    if (status != LSPO_OK)
        return status;
    *machine = file.machine;
    return LSPO_OK;
}

lspo_status_t lspo_machine_find(const char *name_or_path, lspo_machine_t *machine_out)
{
    return lspo_machine_find_noted(name_or_path, machine_out, NULL);
}

lspo_status_t lspo_machine_find_beside(const char *what, const char *name_or_path, const char *beside,
                                       lspo_machine_t *machine_out)
{
    machine_file_t file = {0};
    lspo_status_t status = read_named(what, LSPO_PART_MACHINE, name_or_path, beside, &file);
    if (status != LSPO_OK)
        return status;
    *machine_out = file.machine;
    return LSPO_OK;
}
