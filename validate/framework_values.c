/* framework_values.c - see framework_values.h. */
#include "validate/framework_values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/ini.h"
#include "base/input_file.h"
#include "base/output_file.h"
#include "plan/presets.h"

enum { PATH_BYTES = 4096, FILE_BYTES_MAX = 1 << 20 };
static const char mark[] = "fit, prior ",
                  rows_begin[] = "# Fitted to these rows by lspo validate --fit:", rows_go_on[] = "#   ";

/* Reading */

static lspo_status_t take_prior(const char *what, size_t field, const char *note, lspo_framework_file_t *file)
{
    const lspo_machine_field_t *it = &lspo_machine_fields[field];
    const char *text = note + strlen(mark), *colon = strchr(text, ':');
    lspo_machine_t scratch = {0};
    char prior[64];
    if (colon == NULL || (size_t)(colon - text) >= sizeof prior)
        return lspo_error(LSPO_ERR_INPUT, "%s: the note '%s' is not 'fit, prior VALUE: why'", what, note);
    if (file->fitted_count == LSPO_FRAMEWORK_FITTED_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: more than %d values are fitted", what, LSPO_FRAMEWORK_FITTED_MAX);
    snprintf(prior, sizeof prior, "%.*s", (int)(colon - text), text);
    lspo_status_t status = lspo_machine_take(what, it, prior, &scratch);
    if (status != LSPO_OK)
        return lspo_error(status, "%s: the prior '%s' is not a value", what, prior);
    double value = lspo_machine_value(&scratch, it);
    if (!(value > 0))
        return lspo_error(LSPO_ERR_INPUT, "%s: the prior '%s' is not above 0", what, prior);
    file->fitted[file->fitted_count++] = (lspo_fitted_key_t){field, value};
    return LSPO_OK;
}

static lspo_status_t take_key(void *context, const lspo_ini_entry_t *entry)
{
    lspo_framework_file_t *file = context;
    char what[256];
    if (strcmp(entry->section, "framework") == 0) {
        if (strcmp(entry->key, "base") == 0)
            snprintf(file->base, sizeof file->base, "%s", entry->value);
        return LSPO_OK;
    }
    size_t field = lspo_machine_field_find(entry->section, entry->key);
    snprintf(what, sizeof what, "%s: [%s] %s", entry->where, entry->section, entry->key);
    if (field == lspo_machine_field_count)
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown key", what);
    file->has_field[field] = true;
    return strncmp(entry->note, mark, strlen(mark)) == 0 ? take_prior(what, field, entry->note, file) : LSPO_OK;
}

lspo_status_t lspo_framework_file_read(const char *name, lspo_framework_file_t *file_out)
{
    const lspo_preset_t *preset = lspo_preset_find("frameworks", name);
    if (preset == NULL)
        return lspo_error(LSPO_ERR_INPUT, "framework: '%s' is not one of `lspo list frameworks`", name);
    return lspo_framework_file_take(preset, file_out);
}

lspo_status_t lspo_framework_file_take(const lspo_preset_t *preset, lspo_framework_file_t *file_out)
{
    lspo_framework_file_t file = {.name = preset->name, .path = preset->path, .text = preset->text};
    lspo_status_t status = lspo_ini_read_text(preset->path, preset->text, take_key, &file);
    if (status != LSPO_OK)
        return status;
    *file_out = file;
    return LSPO_OK;
}

/* Writing */

static bool begins_with(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* The index of the fitted value that this line gives, else fitted_count. */
static uint32_t fitted_at(const lspo_framework_file_t *file, const char *line, size_t length)
{
    uint32_t i = 0;
    for (; i < file->fitted_count; i++) {
        const char *key = lspo_machine_fields[file->fitted[i].field].key, *after = line + strlen(key);
        if (strlen(key) < length && begins_with(line, key) && (*after == ' ' || *after == '='))
            break;
    }
    return i;
}

static lspo_status_t append(lspo_buffer_t *buffer, const char *text)
{
    return lspo_buffer_append(buffer, text, strlen(text));
}

/* "key = VALUE ; note", where the note is the line's. */
static lspo_status_t append_value(const lspo_fitted_key_t *fitted, double value, const char *line, size_t length,
                                  lspo_buffer_t *buffer)
{
    const lspo_machine_field_t *field = &lspo_machine_fields[fitted->field];
    char number[64], begin[160];
    const char *note = memchr(line, ';', length);
    size_t note_length = note != NULL ? (size_t)(line + length - note) : 0;
    snprintf(begin, sizeof begin, "%s = %s ", field->key,
             lspo_format_quantity_exact(value, field->unit, number, sizeof number));
    lspo_status_t status = append(buffer, begin);
    return status != LSPO_OK ? status : lspo_buffer_append(buffer, note != NULL ? note : "", note_length);
}

/* The comment with the lines of `rows`; NULL: none. */
static lspo_status_t append_rows(const char *rows, lspo_buffer_t *buffer)
{
    lspo_status_t status = rows != NULL ? append(buffer, rows_begin) : LSPO_OK;
    for (const char *line = rows; status == LSPO_OK && line != NULL && *line != '\0';) {
        size_t length = strcspn(line, "\n");
        status = append(buffer, "\n");
        if (status == LSPO_OK)
            status = append(buffer, rows_go_on);
        if (status == LSPO_OK)
            status = lspo_buffer_append(buffer, line, length);
        line += length + (line[length] == '\n');
    }
    return status == LSPO_OK && rows != NULL ? append(buffer, "\n") : status;
}

/* A framework's text with other values and rows. */
static lspo_status_t render(const lspo_framework_file_t *file, const char *text, const double *values, const char *rows,
                            lspo_buffer_t *buffer)
{
    bool in_rows = false;
    lspo_status_t status = LSPO_OK;
    for (const char *line = text; *line != '\0' && status == LSPO_OK;) {
        size_t length = strcspn(line, "\n");
        uint32_t fitted = fitted_at(file, line, length);
        in_rows = begins_with(line, rows_begin) || (in_rows && begins_with(line, rows_go_on));
        if (begins_with(line, "[framework]"))
            status = append_rows(rows, buffer);
        if (status != LSPO_OK)
            return status;
        if (fitted < file->fitted_count)
            status = append_value(&file->fitted[fitted], values[fitted], line, length, buffer);
        else if (!in_rows)
            status = lspo_buffer_append(buffer, line, length);
        if (status == LSPO_OK && !in_rows)
            status = append(buffer, "\n");
        line += length + (line[length] == '\n');
    }
    return status;
}

/* FOLDER/NAME.ini */
static lspo_status_t name_file(const lspo_framework_file_t *file, const char *folder, char path[PATH_BYTES])
{
    if (snprintf(path, PATH_BYTES, "%s/%s.ini", folder, file->name) >= PATH_BYTES)
        return lspo_error(LSPO_ERR_INPUT, "%s: the name is too long", folder);
    return LSPO_OK;
}

static lspo_status_t read_text(const char *path, char **text_out)
{
    size_t length;
    return lspo_input_read_file(path, FILE_BYTES_MAX, text_out, &length);
}

/* Both texts with the priors as values and without rows are equal unless something else differs. */
lspo_status_t lspo_framework_file_check(const lspo_framework_file_t *file, const char *folder)
{
    char path[PATH_BYTES], *text = NULL;
    double priors[LSPO_FRAMEWORK_FITTED_MAX];
    lspo_buffer_t theirs = {0}, own = {0};
    lspo_status_t status = name_file(file, folder, path);
    if (status != LSPO_OK || (access(path, F_OK) != 0 && errno == ENOENT))
        return status;
    for (uint32_t k = 0; k < file->fitted_count; k++)
        priors[k] = file->fitted[k].prior;
    status = read_text(path, &text);
    if (status == LSPO_OK)
        status = render(file, text, priors, NULL, &theirs);
    if (status == LSPO_OK)
        status = render(file, file->text, priors, NULL, &own);
    if (status == LSPO_OK && strcmp(theirs.text != NULL ? theirs.text : "", own.text) != 0)
        status = lspo_error(LSPO_ERR_INPUT,
                            "%s differs from the built-in framework %s in more than its fitted values, and would lose "
                            "that: build lspo with it, or name another folder",
                            path, file->name);
    free(own.text);
    free(theirs.text);
    free(text);
    return status;
}

lspo_status_t lspo_framework_file_write(const lspo_framework_file_t *file, const double *values, const char *rows,
                                        const char *folder)
{
    char path[PATH_BYTES];
    lspo_buffer_t rendered = {0};
    lspo_output_t output;
    lspo_status_t status = name_file(file, folder, path);
    if (status != LSPO_OK)
        return status;
    status = render(file, file->text, values, rows, &rendered);
    if (status != LSPO_OK)
        goto release;
    status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        goto release;
    fputs(rendered.text, output.file);
    status = lspo_output_finish(&output, LSPO_OK);
release:
    free(rendered.text);
    return status;
}
