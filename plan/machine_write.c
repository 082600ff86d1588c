/* machine_write.c - write a machine profile as an INI file. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "plan/machine.h"

enum { TEXT_WRITTEN_MAX = 180 };

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* One line, truncated to the reader's limit and trimmed as the reader does.  Characters that would end the value early,
 * control characters and " ;", become a space or a comma.  Writes nothing if nothing could be read back. */
static void write_text(const char *key, const char *text, FILE *file)
{
    char line[TEXT_WRITTEN_MAX + 1];
    size_t length = 0;
    for (const char *c = text; *c != '\0' && length < TEXT_WRITTEN_MAX; c++) {
        char written = is_control(*c) ? ' ' : *c;
        if (length == 0 && written == ' ')
            continue;
        if (written == ';' && (length == 0 || line[length - 1] == ' '))
            written = ',';
        line[length++] = written;
    }
    while (length > 0 && line[length - 1] == ' ')
        length--;
    if (length > 0)
        fprintf(file, "%s = %.*s\n", key, (int)length, line);
}

static void write_comment(const char *comment, FILE *file)
{
    fputs("# ", file);
    for (const char *c = comment; *c != '\0'; c++) {
        fputc(*c, file);
        if (*c == '\n' && c[1] != '\0')
            fputs("# ", file);
    }
    fputc('\n', file);
}

/* A comment after a value; the reader takes text after " ;" as a comment. */
static void write_note(const char *note, FILE *file)
{
    if (note != NULL)
        fprintf(file, " ; %.*s", LSPO_NOTE_BYTES - 1, note);
}

lspo_status_t lspo_machine_write(const lspo_machine_t *machine, const char *comment, const char *const *notes,
                                 FILE *file)
{
    const char *section = "";
    char value[64];
    if (comment != NULL)
        write_comment(comment, file);
    fputs("[machine]\n", file);
    write_text("name", machine->name, file);
    write_text("description", machine->description, file);
    write_text("source", machine->source, file);
    write_text("evidence", machine->evidence, file);
    write_text("group", machine->group, file);
    write_text("framework_name", machine->framework, file);
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        double number = lspo_machine_value(machine, field);
        /* Unset values are not written, and are unset when read back. */
        if (number <= 0.0 && field->low <= 0.0 && (notes == NULL || notes[i] == NULL))
            continue;
        if (strcmp(section, field->section) != 0) {
            section = field->section;
            fprintf(file, "\n[%s]\n", section);
        }
        fprintf(file, "%s = %s", field->key, lspo_format_quantity_exact(number, field->unit, value, sizeof value));
        write_note(notes != NULL ? notes[i] : NULL, file);
        fputc('\n', file);
    }
    lspo_products_write(&machine->products, file);
    if (ferror(file))
        return lspo_error(LSPO_ERR_IO, "cannot write the profile of machine %s", machine->name);
    return LSPO_OK;
}
