/* Help and tables fit a terminal of 80 columns. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/table.h"
#include "base/wrap.h"

enum { WIDTH = 60, TEXT_BYTES = 8192 };

/* A pseudo-terminal of WIDTH columns, and what was written to it. */
typedef struct {
    int master;
    FILE *file;
} terminal_t;

static terminal_t terminal_open(void)
{
    terminal_t terminal = {.master = posix_openpt(O_RDWR | O_NOCTTY)};
    if (terminal.master < 0 || grantpt(terminal.master) != 0 || unlockpt(terminal.master) != 0)
        cr_skip("there are no pseudo-terminals here");
    const struct winsize size = {.ws_row = 24, .ws_col = WIDTH};
    terminal.file = fopen(ptsname(terminal.master), "w");
    cr_assert_not_null(terminal.file);
    cr_assert_eq(ioctl(fileno(terminal.file), TIOCSWINSZ, &size), 0);
    unsetenv("COLUMNS");
    setenv("NO_COLOR", "1", 1);
    return terminal;
}

/* Closes it.  Line ends come as \r\n from a terminal. */
static void terminal_take(terminal_t *terminal, char text[TEXT_BYTES])
{
    size_t length = 0;
    fclose(terminal->file);
    for (ssize_t got; (got = read(terminal->master, text + length, TEXT_BYTES - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    close(terminal->master);
    char *to = text;
    for (const char *from = text; *from != '\0'; from++)
        if (*from != '\r')
            *to++ = *from;
    *to = '\0';
}

static size_t longest_line(const char *text)
{
    size_t longest = 0;
    for (const char *end; *text != '\0'; text = end + (*end == '\n')) {
        end = strchrnul(text, '\n');
        longest = (size_t)(end - text) > longest ? (size_t)(end - text) : longest;
    }
    return longest;
}

typedef struct {
    const char *name, *help, *note;
    uint64_t numbers[6];
} record_t;

#define NUMBER(i)                                                                                                      \
    {                                                                                                                  \
        "number_" #i, LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(record_t, numbers) + (i) * sizeof(uint64_t)         \
    }

static const lspo_field_t text_fields[] = {
    {"name", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(record_t, name)},
    {"help", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(record_t, help)},
    {"note", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(record_t, note)},
};
static const lspo_field_t number_fields[] = {
    {"name", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(record_t, name)},
    NUMBER(0),
    NUMBER(1),
    NUMBER(2),
    NUMBER(3),
    NUMBER(4),
    NUMBER(5),
};
static const record_t records[] = {
    {"a", "gradients to the CPU, Adam there after the last one, then parameters back", "free", {1, 2, 3, 4, 5, 6}},
    {"longer", "short", "one pass over the gradient is what it costs", {10, 20, 30, 40, 50, 60}},
};

static void write_table(const lspo_field_t *fields, size_t count, char text[TEXT_BYTES])
{
    const lspo_table_t table = {.fields = fields,
                                .field_count = count,
                                .records = records,
                                .record_bytes = sizeof records[0],
                                .record_count = 2};
    terminal_t terminal = terminal_open();
    cr_assert_eq(lspo_table_write(&table, LSPO_FORMAT_TABLE, terminal.file), LSPO_OK);
    terminal_take(&terminal, text);
}

Test(wrap, texts_of_a_table_are_wrapped)
{
    char text[TEXT_BYTES];
    write_table(text_fields, 3, text);
    cr_assert_leq(longest_line(text), WIDTH);
    cr_assert_str_eq(text, "name    help                       note\n"
                           "a       gradients to the CPU,      free\n"
                           "        Adam there after the last\n"
                           "        one, then parameters back\n"
                           "longer  short                      one pass over the\n"
                           "                                   gradient is what it costs\n");
}

Test(wrap, columns_that_do_not_fit_follow_below)
{
    char text[TEXT_BYTES];
    write_table(number_fields, 7, text);
    cr_assert_leq(longest_line(text), WIDTH);
    cr_assert_str_eq(text, "name    number_0  number_1  number_2  number_3  number_4\n"
                           "a              1         2         3         4         5\n"
                           "longer        10        20        30        40        50\n"
                           "\n"
                           "name    number_5\n"
                           "a              6\n"
                           "longer        60\n");
}

Test(wrap, a_text_keeps_its_words_and_lines_that_begin_with_a_blank)
{
    char text[TEXT_BYTES];
    terminal_t terminal = terminal_open();
    lspo_wrap_text(terminal.file, "one two three\n\n  kept   as it is, however long\nfour", 8);
    lspo_wrap_item(terminal.file, "  --flag", "what it is", 12, 20);
    lspo_wrap_item(terminal.file, "  --very-long-flag", "what", 12, 20);
    terminal_take(&terminal, text);
    cr_assert_str_eq(text, "one two\nthree\n\n  kept   as it is, however long\nfour\n"
                           "  --flag    what it\n            is\n"
                           "  --very-long-flag\n            what\n");
}

static void print_sentences(FILE *file, const void *context)
{
    fprintf(file, "%s.  The GPU waits 36.6 ms for the link, 61.7 ms for the CPU.\nShort.\n", (const char *)context);
}

/* To a terminal in lines of its width, none of which begins with a blank; to a file line by line as they were
 * written. */
Test(wrap, sentences_are_wrapped_on_a_terminal_alone)
{
    char text[TEXT_BYTES];
    const char *busy = "Busy: GPU 92 %, link to the CPU 18 %, link to the GPU 18 %";
    terminal_t terminal = terminal_open();
    lspo_wrap_print(terminal.file, print_sentences, busy);
    terminal_take(&terminal, text);
    cr_assert_str_eq(text, "Busy: GPU 92 %, link to the CPU 18 %, link to the GPU 18 %.\n"
                           "The GPU waits 36.6 ms for the link, 61.7 ms for the CPU.\n"
                           "Short.\n");
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    lspo_wrap_print(file, print_sentences, busy);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    cr_assert_str_eq(text,
                     "Busy: GPU 92 %, link to the CPU 18 %, link to the GPU 18 %.  The GPU waits 36.6 ms for the link, "
                     "61.7 ms for the CPU.\nShort.\n");
}
