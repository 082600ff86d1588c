/* args.c - see args.h. */
#include "ask/args.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/names.h"
#include "base/output_file.h"
#include "plan/presets.h"

lspo_status_t lspo_arg_switch(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    (void)what;
    (void)text;
    *(bool *)slot = true;
    return LSPO_OK;
}

lspo_status_t lspo_arg_on_off(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
        return lspo_error(LSPO_ERR_INPUT, "%s is '%s'; it must be on or off", what, text);
    *(bool *)slot = strcmp(text, "on") == 0;
    return LSPO_OK;
}

lspo_status_t lspo_arg_text(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    if (text[0] == '\0')
        return lspo_error(LSPO_ERR_INPUT, "%s is empty", what);
    *(const char **)slot = text;
    return LSPO_OK;
}

lspo_status_t lspo_arg_output(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    if (strcmp(text, "-") == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: '-' does not mean standard output here; write /dev/stdout for that, or ./- for a file "
                          "or folder of this name",
                          what);
    return lspo_arg_text(arg, what, text, slot);
}

/* The range in words, if `high` alone would not say it. */
static lspo_status_t parse_count(const lspo_arg_t *arg, const char *what, const char *text, int64_t *value_out)
{
    char range[128];
    if (arg->high_is == NULL)
        return lspo_parse_integer(what, text, arg->low, arg->high, value_out);
    snprintf(range, sizeof range, "from %lld to %s", (long long)arg->low, arg->high_is);
    return lspo_parse_integer_in(what, text, arg->low, arg->high, range, value_out);
}

lspo_status_t lspo_arg_u32(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    int64_t value;
    lspo_status_t status = parse_count(arg, what, text, &value);
    if (status != LSPO_OK)
        return status;
    *(uint32_t *)slot = (uint32_t)value;
    return LSPO_OK;
}

lspo_status_t lspo_arg_u64(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    int64_t value;
    lspo_status_t status = parse_count(arg, what, text, &value);
    if (status != LSPO_OK)
        return status;
    *(uint64_t *)slot = (uint64_t)value;
    return LSPO_OK;
}

lspo_status_t lspo_arg_bytes(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    double value;
    uint64_t bytes;
    lspo_status_t status = lspo_parse_quantity_in(what, text, LSPO_UNIT_BYTES, "above zero", &value);
    if (status != LSPO_OK)
        return status;
    status = lspo_parse_bytes(what, text, &bytes);
    if (status != LSPO_OK)
        return status;
    if (bytes == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s is '%s'; it must be above zero", what, text);
    *(uint64_t *)slot = bytes;
    return LSPO_OK;
}

lspo_status_t lspo_arg_quantity(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    double value;
    lspo_status_t status = lspo_parse_quantity_in(what, text, arg->unit, "above zero", &value);
    if (status != LSPO_OK)
        return status;
    if (value <= 0.0)
        return lspo_error(LSPO_ERR_INPUT, "%s is '%s'; it must be above zero", what, text);
    *(double *)slot = value;
    return LSPO_OK;
}

lspo_status_t lspo_arg_choice(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    size_t count = 0;
    for (; arg->names[count] != NULL; count++)
        if (strcmp(arg->names[count], text) == 0) {
            int index = (int)count;
            memcpy(slot, &index, sizeof index);
            return LSPO_OK;
        }
    return lspo_name_refuse(what, text, arg->names, count, NULL);
}

bool lspo_arg_group_at(const lspo_arg_group_t *group, size_t index, lspo_arg_t *arg_out)
{
    if (group->at != NULL)
        return group->at(index, arg_out);
    if (index < group->count)
        *arg_out = group->args[index];
    return index < group->count;
}

/* The option of that name or, where `letter` is not 0, of that letter. */
static bool find_arg(const lspo_arg_group_t *const *groups, const char *name, size_t name_length, char letter,
                     lspo_arg_t *arg_out)
{
    for (size_t g = 0; groups != NULL && groups[g] != NULL; g++)
        for (size_t i = 0; lspo_arg_group_at(groups[g], i, arg_out); i++) {
            bool same = letter != 0
                            ? arg_out->letter == letter
                            : strlen(arg_out->name) == name_length && memcmp(arg_out->name, name, name_length) == 0;
            if (same)
                return true;
        }
    return false;
}

bool lspo_args_find(const lspo_arg_group_t *const *groups, const char *name, size_t length, lspo_arg_t *arg_out)
{
    return find_arg(groups, name, length, 0, arg_out);
}

enum { NAMES_MAX = 256 };

/* Their names, at most NAMES_MAX. */
static size_t list_names(const lspo_arg_group_t *const *groups, const char *names[NAMES_MAX])
{
    size_t count = 0;
    lspo_arg_t arg;
    for (size_t g = 0; groups != NULL && groups[g] != NULL; g++)
        for (size_t i = 0; lspo_arg_group_at(groups[g], i, &arg) && count < NAMES_MAX; i++)
            names[count++] = arg.name;
    return count;
}

static lspo_status_t unknown_option(const char *text, const lspo_arg_group_t *const *groups)
{
    enum { NAME_BYTES = 64 };
    const char *names[NAMES_MAX];
    char name[NAME_BYTES];
    const char *bare = text + strspn(text, "-");
    snprintf(name, sizeof name, "%.*s", (int)strcspn(bare, "="), bare);
    const char *nearest = lspo_name_nearest(name, names, list_names(groups, names));
    if (nearest != NULL)
        return lspo_error(LSPO_ERR_INPUT, "unknown option %s; did you mean --%s?", text, nearest);
    return lspo_error(LSPO_ERR_INPUT, "unknown option %s", text);
}

/* Files */

/* What a command line reads and writes. */
typedef struct {
    const char *option; /* NULL: a positional argument */
    const char *path;
    bool written;
} named_file_t;

enum { FILES_MAX = 64 };

typedef struct {
    named_file_t at[FILES_MAX];
    size_t count;
} named_files_t;

bool lspo_arg_names_files(const char *value, size_t length)
{
    return memmem(value, length, "FILE", 4) != NULL || memmem(value, length, "FOLDER", 6) != NULL ||
           memmem(value, length, "TRACE", 5) != NULL;
}

/* A preset comes before a file of its name; a card is a machine, too. */
static bool is_preset(const lspo_arg_t *arg, const char *text)
{
    return arg->list != NULL &&
           (lspo_preset_find(arg->list, text) != NULL ||
            (strcmp(arg->list, "machines") == 0 && lspo_preset_find("machines/cards", text) != NULL));
}

/* Of an output that is given twice, only the last is written. */
static lspo_status_t note_file(named_files_t *files, const char *option, const char *path, bool written)
{
    size_t i = 0;
    while (i < files->count && !(written && files->at[i].option != NULL && strcmp(files->at[i].option, option) == 0))
        i++;
    if (i == FILES_MAX)
        return lspo_error(LSPO_ERR_INPUT, "too many files, from '%s' on; a command takes at most %d", path, FILES_MAX);
    files->at[i] = (named_file_t){option, path, written};
    files->count += i == files->count;
    return LSPO_OK;
}

/* Are both the same regular file?  `none` is the answer if neither is there yet. */
static bool same_file(const char *a, const char *b, bool none)
{
    struct stat info;
    if (stat(a, &info) != 0)
        return none && stat(b, &info) != 0;
    return S_ISREG(info.st_mode) && lspo_same_file(a, b);
}

static lspo_status_t check_pair(const named_file_t *output, const named_file_t *other)
{
    if (other->written && same_file(output->path, other->path, strcmp(output->path, other->path) == 0))
        return lspo_error(LSPO_ERR_INPUT, "--%s and --%s would both write %s", other->option, output->option,
                          output->path);
    if (other->written || !same_file(output->path, other->path, false))
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "--%s %s would overwrite the file %s%s%s%s", output->option, output->path,
                      other->option != NULL ? "of --" : "", other->option != NULL ? other->option : "",
                      other->option != NULL ? " " : "", other->path);
}

/* No output may replace an input, nor another output. */
static lspo_status_t check_files(const named_files_t *files)
{
    for (size_t i = 0; i < files->count; i++)
        for (size_t k = 0; files->at[i].written && k < files->count; k++) {
            if (k == i || (files->at[k].written && k > i))
                continue;
            lspo_status_t status = check_pair(&files->at[i], &files->at[k]);
            if (status != LSPO_OK)
                return status;
        }
    return LSPO_OK;
}

/* Store an option's value, and note the file that it names.  Outputs may share a folder. */
static lspo_status_t store_value(const lspo_arg_t *arg, const char *what, const char *text, void *slot,
                                 named_files_t *files)
{
    const bool written = arg->store == lspo_arg_output;
    const bool file = lspo_arg_names_files(arg->value, strlen(arg->value)) && !is_preset(arg, text) &&
                      !(written && strcmp(arg->value, "FOLDER") == 0);
    lspo_status_t status = file ? note_file(files, arg->name, text, written) : LSPO_OK;
    return status == LSPO_OK ? arg->store(arg, what, text, slot) : status;
}

/* Parse the option at argv[*index] and advance past the value that it takes. */
static lspo_status_t parse_option(int argc, char **argv, int *index, const lspo_arg_group_t *const *groups,
                                  void *target, named_files_t *files)
{
    const char *text = argv[*index];
    bool is_long = text[1] == '-';
    const char *equals = is_long ? strchr(text, '=') : NULL;
    size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
    if (!is_long && length != 2)
        return unknown_option(text, groups);

    lspo_arg_t found, *arg = &found;
    if (!find_arg(groups, text + 2, is_long ? length - 2 : 0, is_long ? 0 : text[1], arg))
        return unknown_option(text, groups);

    char what[64];
    void *slot = (char *)target + arg->offset_bytes;
    snprintf(what, sizeof what, "--%s", arg->name);
    if (arg->value == NULL) {
        if (equals != NULL)
            return lspo_error(LSPO_ERR_INPUT, "%s takes no value", what);
        return arg->store(arg, what, "", slot);
    }
    if (equals != NULL)
        return store_value(arg, what, equals + 1, slot, files);
    if (*index + 1 >= argc || strncmp(argv[*index + 1], "--", 2) == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s needs a value: %s %s", what, what, arg->value);
    *index += 1;
    return store_value(arg, what, argv[*index], slot, files);
}

lspo_status_t lspo_args_parse(int argc, char **argv, const lspo_arg_group_t *const *groups, void *target,
                              lspo_positionals_t *positionals_out)
{
    bool options_ended = false;
    named_files_t files = {.count = 0};
    positionals_out->count = 0;
    for (int i = 1; i < argc; i++) {
        lspo_status_t status = LSPO_OK;
        const char *text = argv[i];
        if (!options_ended && strcmp(text, "--") == 0) {
            options_ended = true;
        } else if (!options_ended && text[0] == '-' && text[1] != '\0') {
            status = parse_option(argc, argv, &i, groups, target, &files);
        } else if (positionals_out->count == LSPO_POSITIONALS_MAX) {
            return lspo_error(LSPO_ERR_INPUT, "too many arguments, from '%s' on", text);
        } else {
            positionals_out->texts[positionals_out->count++] = text;
            status = note_file(&files, NULL, text, false);
        }
        if (status != LSPO_OK)
            return status;
    }
    return check_files(&files);
}

/* Find the option, or refuse the name. */
static lspo_status_t find_named(const lspo_arg_group_t *const *groups, const char *name, lspo_arg_t *arg_out)
{
    const char *names[NAMES_MAX];
    if (lspo_args_find(groups, name, strlen(name), arg_out))
        return LSPO_OK;
    const char *nearest = lspo_name_nearest(name, names, list_names(groups, names));
    if (nearest != NULL)
        return lspo_error(LSPO_ERR_INPUT, "unknown key '%s'; did you mean '%s'?", name, nearest);
    return lspo_error(LSPO_ERR_INPUT, "unknown key '%s'", name);
}

lspo_status_t lspo_args_check_name(const lspo_arg_group_t *const *groups, const char *name)
{
    lspo_arg_t arg;
    return find_named(groups, name, &arg);
}

lspo_status_t lspo_args_store(const lspo_arg_group_t *const *groups, const char *name, const char *text, void *target)
{
    lspo_arg_t arg;
    lspo_status_t status = find_named(groups, name, &arg);
    if (status != LSPO_OK)
        return status;
    void *slot = (char *)target + arg.offset_bytes;
    return arg.value == NULL ? lspo_arg_on_off(&arg, name, text, slot) : arg.store(&arg, name, text, slot);
}
