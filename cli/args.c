/* args.c - see args.h. */
#include "cli/args.h"

#include <string.h>

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

lspo_status_t lspo_arg_u32(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    int64_t value;
    lspo_status_t status = lspo_parse_integer(what, text, arg->low, arg->high, &value);
    if (status == LSPO_OK)
        *(uint32_t *)slot = (uint32_t)value;
    return status;
}

lspo_status_t lspo_arg_u64(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    int64_t value;
    lspo_status_t status = lspo_parse_integer(what, text, arg->low, arg->high, &value);
    if (status == LSPO_OK)
        *(uint64_t *)slot = (uint64_t)value;
    return status;
}

lspo_status_t lspo_arg_bytes(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    uint64_t bytes;
    lspo_status_t status = lspo_parse_bytes(what, text, &bytes);
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
    lspo_status_t status = lspo_parse_quantity(what, text, arg->unit, &value);
    if (status != LSPO_OK)
        return status;
    if (value <= 0.0)
        return lspo_error(LSPO_ERR_INPUT, "%s is '%s'; it must be above zero", what, text);
    *(double *)slot = value;
    return LSPO_OK;
}

lspo_status_t lspo_arg_choice(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    char valid[256] = "";
    for (int i = 0; arg->names[i] != NULL; i++) {
        if (strcmp(arg->names[i], text) == 0) {
            memcpy(slot, &i, sizeof i);
            return LSPO_OK;
        }
        if (i > 0)
            strncat(valid, ", ", sizeof valid - strlen(valid) - 1);
        strncat(valid, arg->names[i], sizeof valid - strlen(valid) - 1);
    }
    return lspo_error(LSPO_ERR_INPUT, "%s is '%s'; it must be one of %s", what, text, valid);
}

enum { EDIT_LENGTH_MAX = 40 };

/* Levenshtein distance, one row at a time. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[EDIT_LENGTH_MAX + 1];
    size_t a_length = strlen(a), b_length = strlen(b);
    if (a_length > EDIT_LENGTH_MAX || b_length > EDIT_LENGTH_MAX)
        return EDIT_LENGTH_MAX;
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            size_t shorter = row[j] < row[j - 1] ? row[j] : row[j - 1];
            diagonal = row[j];
            row[j] = replaced < shorter + 1 ? replaced : shorter + 1;
        }
    }
    return row[b_length];
}

const char *lspo_args_nearest(const char *text, const char *const *candidates, size_t count)
{
    /* Farther than this a guess only misleads. */
    size_t best = 1 + strlen(text) / 3;
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(text, candidates[i]);
        if (distance < best || (distance == best && nearest == NULL)) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}

/* `name` has `name_length` characters; letter options are looked up with letter != 0. */
static const lspo_arg_t *find_arg(const lspo_arg_group_t *groups, size_t group_count, const char *name,
                                  size_t name_length, char letter, void **slot_out)
{
    for (size_t g = 0; g < group_count; g++)
        for (size_t i = 0; i < groups[g].count; i++) {
            const lspo_arg_t *arg = &groups[g].args[i];
            bool same = letter != 0 ? arg->letter == letter
                                    : strlen(arg->name) == name_length && memcmp(arg->name, name, name_length) == 0;
            if (same) {
                *slot_out = (char *)groups[g].target + arg->offset_bytes;
                return arg;
            }
        }
    return NULL;
}

static lspo_status_t unknown_option(const char *text, const lspo_arg_group_t *groups, size_t group_count)
{
    const char *names[64];
    size_t count = 0;
    for (size_t g = 0; g < group_count; g++)
        for (size_t i = 0; i < groups[g].count && count < 64; i++)
            names[count++] = groups[g].args[i].name;
    char name[EDIT_LENGTH_MAX + 1];
    size_t length = strcspn(text, "=");
    if (length > EDIT_LENGTH_MAX)
        length = EDIT_LENGTH_MAX;
    memcpy(name, text, length);
    name[length] = '\0';
    const char *nearest = lspo_args_nearest(name + strspn(name, "-"), names, count);
    if (nearest != NULL)
        return lspo_error(LSPO_ERR_INPUT, "unknown option %s; did you mean --%s?", text, nearest);
    return lspo_error(LSPO_ERR_INPUT, "unknown option %s", text);
}

/* Parse the option at argv[*index] and advance past the value that it takes. */
static lspo_status_t parse_option(int argc, char **argv, int *index, const lspo_arg_group_t *groups, size_t group_count)
{
    const char *text = argv[*index];
    bool is_long = text[1] == '-';
    const char *equals = is_long ? strchr(text, '=') : NULL;
    size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
    if (!is_long && length != 2)
        return unknown_option(text, groups, group_count);

    void *slot = NULL;
    const lspo_arg_t *arg = is_long ? find_arg(groups, group_count, text + 2, length - 2, 0, &slot)
                                    : find_arg(groups, group_count, NULL, 0, text[1], &slot);
    if (arg == NULL)
        return unknown_option(text, groups, group_count);

    char what[64];
    snprintf(what, sizeof what, "--%s", arg->name);
    if (arg->value == NULL) {
        if (equals != NULL)
            return lspo_error(LSPO_ERR_INPUT, "%s takes no value", what);
        return arg->store(arg, what, "", slot);
    }
    if (equals != NULL)
        return arg->store(arg, what, equals + 1, slot);
    if (*index + 1 >= argc || strncmp(argv[*index + 1], "--", 2) == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s needs a value: %s %s", what, what, arg->value);
    *index += 1;
    return arg->store(arg, what, argv[*index], slot);
}

lspo_status_t lspo_args_parse(int argc, char **argv, const lspo_arg_group_t *groups, size_t group_count,
                              lspo_positionals_t *positionals_out, bool *help_out)
{
    *help_out = false;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            *help_out = true;
    positionals_out->count = 0;
    if (*help_out)
        return LSPO_OK;

    bool options_ended = false;
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (!options_ended && strcmp(text, "--") == 0) {
            options_ended = true;
        } else if (!options_ended && text[0] == '-' && text[1] != '\0') {
            lspo_status_t status = parse_option(argc, argv, &i, groups, group_count);
            if (status != LSPO_OK)
                return status;
        } else if (positionals_out->count == LSPO_POSITIONALS_MAX) {
            return lspo_error(LSPO_ERR_INPUT, "too many arguments, from '%s' on", text);
        } else {
            positionals_out->texts[positionals_out->count++] = text;
        }
    }
    return LSPO_OK;
}

lspo_status_t lspo_args_expect(const lspo_positionals_t *positionals, size_t low, size_t high, const char *usage)
{
    if (positionals->count > high)
        return lspo_error(LSPO_ERR_INPUT, "unexpected argument '%s'; usage: %s", positionals->texts[high], usage);
    if (positionals->count < low)
        return lspo_error(LSPO_ERR_INPUT, "an argument is missing; usage: %s", usage);
    return LSPO_OK;
}

lspo_status_t lspo_args_begin(int argc, char **argv, const lspo_arg_group_t *group, const lspo_args_form_t *form,
                              lspo_positionals_t *positionals_out, bool *help_out)
{
    lspo_status_t status = lspo_args_parse(argc, argv, group, 1, positionals_out, help_out);
    if (status != LSPO_OK)
        return status;
    if (!*help_out)
        return lspo_args_expect(positionals_out, form->low, form->high, form->usage);
    form->print_help(group);
    return LSPO_OK;
}

void lspo_args_print(const lspo_arg_group_t *groups, size_t group_count, FILE *file)
{
    for (size_t g = 0; g < group_count; g++) {
        fprintf(file, "\n%s:\n", groups[g].title);
        for (size_t i = 0; i < groups[g].count; i++) {
            const lspo_arg_t *arg = &groups[g].args[i];
            char left[64], letter[8] = "";
            if (arg->letter != 0)
                snprintf(letter, sizeof letter, "-%c, ", arg->letter);
            snprintf(left, sizeof left, "%s--%s%s%s", letter, arg->name, arg->value != NULL ? " " : "",
                     arg->value != NULL ? arg->value : "");
            fprintf(file, "  %-30s %s\n", left, arg->help);
        }
    }
}
