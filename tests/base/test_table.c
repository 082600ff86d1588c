/* Results as a table, CSV and JSON: harmless on a terminal, valid JSON, and written in time that grows with the
 * rows. */
#include "base/table.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    const char *name;
    double time_s;
} record_t;

static const lspo_field_t fields[] = {
    {"name", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(record_t, name)},
    {"time_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(record_t, time_s)},
};

static char *written(const record_t *records, size_t count, lspo_format_t format)
{
    lspo_table_t table = {fields, 2, records, sizeof *records, count};
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    cr_assert_not_null(file);
    cr_assert_eq(lspo_table_write(&table, format, file), LSPO_OK);
    cr_assert_eq(fclose(file), 0);
    return text;
}

static const record_t hostile[] = {{"\033[2Jclear", 0.5}, {"gr\xc3\xbc\xc3\x9f", 1.5}, {"latin \xe9\n", 2.5}};

Test(table, a_table_moves_no_cursor_and_counts_characters)
{
    char *text = written(hostile, 3, LSPO_FORMAT_TABLE);
    cr_expect_str_eq(text, "name          time_s\n"
                           "\\x1b[2Jclear  500 ms\n"
                           "gr\xc3\xbc\xc3\x9f          1.50 s\n"
                           "latin \\xe9\\n  2.50 s\n");
    free(text);
    lspo_table_t table = {fields, 2, hostile, sizeof *hostile, 1};
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    cr_assert_eq(lspo_table_write_record(&table, LSPO_FORMAT_TABLE, file), LSPO_OK);
    fclose(file);
    cr_expect_str_eq(text, "name               \\x1b[2Jclear\ntime_s             500 ms\n");
    free(text);
}

/* Values begin in one column, whatever the names. */
Test(table, a_record_makes_room_for_its_longest_name)
{
    static const lspo_field_t long_fields[] = {
        {"name", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(record_t, name)},
        {"checkpoint_copy_bytes", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(record_t, time_s)},
    };
    static const record_t records[] = {{"one", 2}};
    lspo_table_t table = {long_fields, 2, records, sizeof *records, 1};
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    cr_assert_eq(lspo_table_write_record(&table, LSPO_FORMAT_TABLE, file), LSPO_OK);
    fclose(file);
    cr_expect_str_eq(text, "name                  one\ncheckpoint_copy_bytes 2\n");
    free(text);
}

Test(table, csv_in_a_file_has_the_bytes_as_they_are)
{
    char *text = written(hostile, 3, LSPO_FORMAT_CSV);
    cr_expect_str_eq(text, "name,time_s\n\033[2Jclear,0.5\ngr\xc3\xbc\xc3\x9f,1.5\n\"latin \xe9\n\",2.5\n");
    free(text);
}

Test(table, json_is_valid_whatever_a_text_holds)
{
    char *text = written(hostile, 3, LSPO_FORMAT_JSON);
    json_t *array = json_loads(text, 0, NULL);
    cr_assert_eq(json_array_size(array), 3);
    static const char *const expected[] = {"\033[2Jclear", "gr\xc3\xbc\xc3\x9f", "latin \\xe9\n"};
    for (size_t i = 0; i < 3; i++)
        cr_expect_str_eq(json_string_value(json_object_get(json_array_get(array, i), "name")), expected[i]);
    json_decref(array);
    free(text);
}

static double seconds_to_write(const record_t *records, size_t count)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    free(written(records, count, LSPO_FORMAT_TABLE));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    return (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
}

/* 20 times the rows: 20 times the time, and 400 times if each row looks at all others. */
Test(table, time_grows_with_the_rows)
{
    enum { ROWS = 40000 };
    record_t *records = malloc(ROWS * sizeof *records);
    cr_assert_not_null(records);
    for (size_t i = 0; i < ROWS; i++)
        records[i] = (record_t){"name of a row", (double)i};
    double few_s = seconds_to_write(records, ROWS / 20), many_s = seconds_to_write(records, ROWS);
    cr_expect_lt(many_s, 100.0 * few_s, "%g s for %d rows, %g s for a twentieth", many_s, ROWS, few_s);
    free(records);
}
