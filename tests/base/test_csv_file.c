/* CSV files and lines of words: quotes, line ends, and what is refused. */
#include "base/csv_file.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/words.h"

static const char path[] = "test_csv_file.tmp";

static lspo_status_t read_bytes(const char *text, size_t bytes, lspo_csv_t *csv_out)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fwrite(text, 1, bytes, file);
    fclose(file);
    lspo_status_t status = lspo_csv_read(path, 1000, csv_out);
    unlink(path);
    return status;
}

static lspo_status_t read_text(const char *text, lspo_csv_t *csv_out)
{
    return read_bytes(text, strlen(text), csv_out);
}

Test(csv_file, cells_may_be_quoted)
{
    lspo_csv_t csv;
    cr_assert_eq(read_text("name,\"a text\",value\r\n"
                           "\n"
                           "x,\"one, two \"\"three\"\"\nand a line\",\r\n"
                           "\"\",y z,\"7\"",
                           &csv),
                 LSPO_OK);
    static const char *const expected[2][3] = {{"x", "one, two \"three\"\nand a line", ""}, {"", "y z", "7"}};
    cr_assert_eq(csv.column_count, 3);
    cr_assert_eq(csv.row_count, 2);
    cr_expect_eq(lspo_csv_column(&csv, "a text"), 1);
    cr_expect_eq(lspo_csv_column(&csv, "text"), 3);
    for (size_t row = 0; row < 2; row++)
        for (size_t column = 0; column < 3; column++)
            cr_expect_str_eq(lspo_csv_cell(&csv, row, column), expected[row][column]);
    cr_expect_eq(lspo_csv_line(&csv, 0), 3);
    cr_expect_eq(lspo_csv_line(&csv, 1), 5);
    lspo_csv_release(&csv);
}

Test(csv_file, one_column_and_no_row)
{
    lspo_csv_t csv;
    cr_assert_eq(read_text("only\n", &csv), LSPO_OK);
    cr_expect_eq(csv.column_count, 1);
    cr_expect_eq(csv.row_count, 0);
    lspo_csv_release(&csv);
}

Test(csv_file, malformed_files_are_refused)
{
    static const char *const bad[] = {
        "",
        "\n\n",
        "a,b\n1\n",        /* too few */
        "a,b\n1,2,\n",     /* too many */
        "a,a\n1,2\n",      /* a name twice */
        "a,b\n\"1,2\n",    /* no end */
        "a,b\n\"1\"x,2\n", /* after the quote */
        "a,b\nx\"1\",2\n", /* before the quote */
        "a,b\n1,\"2\"\"",  /* the last quote is a character */
    };
    cr_redirect_stderr();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lspo_csv_t csv;
        cr_expect_eq(read_text(bad[i], &csv), LSPO_ERR_INPUT, "accepted: %s", bad[i]);
    }
    lspo_csv_t csv;
    cr_expect_eq(read_bytes("a\n1\0002\n", 6, &csv), LSPO_ERR_INPUT);
}

static void expect_words(const char *line, size_t count, const char *const *expected)
{
    char text[100], *words[8];
    size_t found = 0;
    snprintf(text, sizeof text, "%s", line);
    cr_assert_eq(lspo_words_split("line", text, 8, words, &found), LSPO_OK);
    cr_assert_eq(found, count, "%s: %zu words", line, found);
    for (size_t i = 0; i < count; i++)
        cr_expect_str_eq(words[i], expected[i]);
}

Test(words, are_split_like_a_shell)
{
    expect_words("", 0, NULL);
    expect_words(" \t ", 0, NULL);
    expect_words("--rank  64 --set 'a.b = 1 GB/s' ", 4, (const char *const[]){"--rank", "64", "--set", "a.b = 1 GB/s"});
    expect_words("a\\ b\"c 'd'\"'e\\' '' \"x\\\"y\"", 3, (const char *const[]){"a bc 'd'e\\", "", "x\"y"});
}

Test(words, without_end_or_limit_are_refused)
{
    char open[] = "a 'b", open_double[] = "\"", many[] = "a b c";
    char *words[2];
    size_t count;
    cr_redirect_stderr();
    cr_expect_eq(lspo_words_split("line", open, 2, words, &count), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_words_split("line", open_double, 2, words, &count), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_words_split("line", many, 2, words, &count), LSPO_ERR_INPUT);
}
