/* The CSV of a training's metrics: read as written, truncated where a resumed training begins, refused if it is not
 * one. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "real/train/metrics.h"
#include "tests/tiny_training.h"

static size_t count_rows(const char *path)
{
    lspo_metrics_row_t *rows;
    size_t count;
    cr_assert_eq(lspo_metrics_read(path, &rows, &count), LSPO_OK);
    free(rows);
    return count;
}

Test(metrics, metrics_are_read_as_written)
{
    make_folder();
    const char *path = path_of("m.csv");
    lspo_metrics_t *metrics;
    lspo_metrics_row_t row = lspo_metrics_row(0), *rows;
    size_t count;
    cr_assert_eq(lspo_metrics_open(path, &metrics), LSPO_OK);
    cr_assert_eq(lspo_metrics_begin(metrics, false, 0), LSPO_OK);
    for (uint32_t step = 0; step < 5; step++) {
        row.step = step;
        row.loss = 5.0 - step;
        cr_assert_eq(lspo_metrics_add(metrics, &row, 1), LSPO_OK);
    }
    lspo_metrics_close(metrics);
    cr_assert_eq(lspo_metrics_read(path, &rows, &count), LSPO_OK);
    cr_assert_eq(count, 5);
    cr_expect_eq(rows[3].step, 3);
    cr_expect_eq(rows[3].loss, 2);
    cr_expect(isnan(rows[3].held_out_loss) && isnan(rows[3].refits));
    free(rows);
    /* A resumed run drops what is beyond its checkpoint, and a row that was cut. */
    FILE *file = fopen(path, "a");
    cr_assert_not_null(file);
    fputs("5,,1.2", file);
    fclose(file);
    cr_expect_eq(count_rows(path), 5);
    cr_assert_eq(lspo_metrics_open(path, &metrics), LSPO_OK);
    lspo_metrics_t *second;
    cr_expect_eq(lspo_metrics_open(path, &second), LSPO_ERR_INPUT, "another training writes there");
    cr_assert_eq(lspo_metrics_begin(metrics, true, 2), LSPO_OK);
    row.step = 3;
    cr_assert_eq(lspo_metrics_add(metrics, &row, 1), LSPO_OK);
    lspo_metrics_close(metrics);
    cr_expect_eq(count_rows(path), 4);
    remove_folder();
}

static void keep_warning(void *context, const char *text)
{
    snprintf(context, 256, "%s", text);
}

/* Rows of steps 0, 1 and 3, and 4, which is behind the checkpoint. */
Test(metrics, missing_rows_of_a_resumed_training_are_told)
{
    make_folder();
    const char *path = path_of("m.csv");
    char warning[256], error[256];
    lspo_metrics_t *metrics;
    lspo_metrics_row_t row = lspo_metrics_row(0);
    cr_assert_eq(lspo_metrics_open(path, &metrics), LSPO_OK);
    cr_assert_eq(lspo_metrics_begin(metrics, false, 0), LSPO_OK);
    for (row.step = 0; row.step < 5; row.step++)
        cr_assert_eq(row.step == 2 ? LSPO_OK : lspo_metrics_add(metrics, &row, 1), LSPO_OK);
    lspo_metrics_close(metrics);
    static const struct {
        uint32_t step;
        const char *words; /* NULL: nothing is missing */
    } cases[] = {{3, "no rows of 1 of the 3 steps"}, {1, NULL}, {4, "no rows of 3 of the 4 steps"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_messages_t kept = {.text = error, .capacity = sizeof error, .warn = keep_warning, .context = warning};
        warning[0] = '\0';
        cr_assert_eq(lspo_metrics_open(path, &metrics), LSPO_OK);
        lspo_messages_t before = lspo_messages_send(kept);
        cr_expect_eq(lspo_metrics_begin(metrics, true, cases[i].step), LSPO_OK);
        lspo_messages_send(before);
        lspo_metrics_close(metrics);
        cr_expect(cases[i].words ? strstr(warning, cases[i].words) != NULL : warning[0] == '\0', "%s", warning);
    }
    remove_folder();
}

/* Files of before the scores that follow accuracy: read, and continued with all columns. */
Test(metrics, files_without_the_last_columns_are_read_and_resumed)
{
    make_folder();
    lspo_metrics_t *metrics;
    lspo_metrics_row_t row = lspo_metrics_row(3), *rows;
    size_t count;
    const char *path = path_of("m.csv"), *link = path_of("link.csv");
    static const char header[] = "step,epoch,loss,learning_rate,gradient_norm,time_s,tokens_per_s,held_out_loss,"
                                 "perplexity,bias,bias_fitted,refits,accuracy";
    char text[512];
    /* What was cut off is longer than the columns that are added. */
    snprintf(text, sizeof text, "%s\n1,0.5,5,,,,,,,,,,0.25\n2,,0.1,,,,,,,,,,\n3,%0120d", header, 0);
    write_text(path, text);
    cr_assert_eq(symlink(path, link), 0);
    cr_assert_eq(chmod(path, 0604), 0);
    cr_assert_eq(lspo_metrics_read(path, &rows, &count), LSPO_OK);
    cr_assert_eq(count, 2);
    cr_expect_eq(rows[0].scores.accuracy, 0.25);
    cr_expect(isnan(rows[0].scores.f1) && isnan(rows[0].scores.spearman));
    free(rows);
    cr_assert_eq(lspo_metrics_open(link, &metrics), LSPO_OK);
    lspo_metrics_row_t found = row;
    cr_expect_eq(lspo_metrics_find(metrics, 1, &found), LSPO_OK);
    cr_expect_eq(found.loss, 5);
    cr_assert_eq(lspo_metrics_begin(metrics, true, 2), LSPO_OK);
    row.scores.f1 = 0.75;
    cr_assert_eq(lspo_metrics_add(metrics, &row, 1), LSPO_OK);
    lspo_metrics_close(metrics);
    char written[512] = "";
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    cr_assert_gt(fread(written, 1, sizeof written - 1, file), 0);
    fclose(file);
    snprintf(text, sizeof text,
             "%s,f1,matthews,pearson,spearman\n1,0.5,5,,,,,,,,,,0.25,,,,\n2,,0.1,,,,,,,,,,,,,,\n"
             "3,,,,,,,,,,,,,0.75,,,\n",
             header);
    cr_expect_str_eq(written, text);
    struct stat info;
    cr_expect(stat(path, &info) == 0 && (info.st_mode & 0777) == 0604 && lstat(link, &info) == 0 &&
              S_ISLNK(info.st_mode));
    /* Rows of either header only below that one. */
    static const char *const lines[] = {"1,,5,,,,,,,,,,,,,,\n", "1,,5,,,,,,,,,\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(text, sizeof text, "%s\n%s", header, lines[i]);
        write_text(path, text);
        cr_expect_eq(lspo_metrics_read(path, &rows, &count), LSPO_ERR_INPUT, "%s", lines[i]);
    }
    remove_folder();
}

Test(metrics, metrics_overwrite_nothing_else)
{
    make_folder();
    lspo_metrics_t *metrics;
    const char *text = path_of("notes.txt"), *link = path_of("link.csv"), *fresh = path_of("fresh.csv");
    write_text(text, "notes that were never copied\n");
    cr_assert_eq(symlink(text, link), 0);
    cr_expect_eq(lspo_metrics_open(text, &metrics), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_metrics_open(link, &metrics), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_metrics_open(folder, &metrics), LSPO_ERR_IO);
    cr_assert_eq(mkfifo(path_of("pipe"), 0600), 0);
    cr_expect_eq(lspo_metrics_open(path_of("pipe"), &metrics), LSPO_ERR_IO, "nobody reads it");
    cr_assert_eq(lspo_metrics_open(fresh, &metrics), LSPO_OK);
    lspo_metrics_close(metrics);
    cr_expect_neq(access(fresh, F_OK), 0, "nothing was begun");
    cr_assert_eq(lspo_metrics_open("/dev/null", &metrics), LSPO_OK);
    cr_expect_eq(lspo_metrics_begin(metrics, true, 3), LSPO_OK);
    lspo_metrics_close(metrics);
    remove_folder();
}

Test(metrics, what_is_no_metrics_is_refused)
{
    make_folder();
    lspo_metrics_row_t *rows;
    size_t count;
    const char *path = path_of("m.csv");
    static const char header[] = "step,epoch,loss,learning_rate,gradient_norm,time_s,tokens_per_s,held_out_loss,"
                                 "perplexity,bias,bias_fitted,refits,accuracy,f1,matthews,pearson,spearman\n";
    char text[512];
    cr_expect_eq(lspo_metrics_read("/nonexistent", &rows, &count), LSPO_ERR_INPUT);
    write_text(path, "");
    cr_expect_eq(lspo_metrics_read(path, &rows, &count), LSPO_ERR_INPUT);
    static const char *const lines[] = {"x,,,,,,,,,,,,,,,,\n",
                                        "1,,,,,,,\n",
                                        "-1,,,,,,,,,,,,,,,,\n",
                                        "1,,nan,,,,,,,,,,,,,,\n",
                                        "1,,,,,,,,,,,,,,,,,\n",
                                        "1,,-0.5,,,,,,,,,,,,,,\n",
                                        "1,,,,,,,-2,,,,,,,,,\n",
                                        "1.5,,5,,,,,,,,,,,,,,\n",
                                        ",,5,,,,,,,,,,,,,,\n",
                                        "1,,5,,,,,,,,,,,,,,\n1,,4,,,,,,,,,,,,,,\n",
                                        "2,,5,,,,,,,,,,,,,,\n1,,4,,,,,,,,,,,,,,\n",
                                        "1,,,,,,,,,,,,,,,-1.1,\n",
                                        "1,,,,,,,,,,,,,-0.1,,,\n",
                                        ""};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(text, sizeof text, "%s%s", header, lines[i]);
        write_text(path, text);
        cr_expect_eq(lspo_metrics_read(path, &rows, &count), LSPO_ERR_INPUT, "%s", lines[i]);
    }
    mkfifo(path_of("pipe.csv"), 0600);
    cr_expect_eq(lspo_metrics_read(path_of("pipe.csv"), &rows, &count), LSPO_ERR_INPUT);
    remove_folder();
}

/* A table program writes a byte-order mark and "\r\n", an editor no end of the last line. */
Test(metrics, files_that_went_through_another_program_are_read)
{
    make_folder();
    lspo_metrics_row_t *rows;
    size_t count;
    const char *path = path_of("m.csv");
    write_text(path, "\xef\xbb\xbfstep,epoch,loss,learning_rate,gradient_norm,time_s,tokens_per_s,held_out_loss,"
                     "perplexity,bias,bias_fitted,refits,accuracy,f1,matthews,pearson,spearman\r\n"
                     "1,,5,,,,,,,,,,,,,,\r\n2,,4.5,,,,,,,,,,0.5,0.25,-0.75,,-1");
    cr_assert_eq(lspo_metrics_read(path, &rows, &count), LSPO_OK);
    cr_assert_eq(count, 2);
    cr_expect_float_eq(rows[0].loss, 5, 0);
    cr_expect_float_eq(rows[1].scores.accuracy, 0.5, 0);
    cr_expect_float_eq(rows[1].scores.f1, 0.25, 0);
    cr_expect_float_eq(rows[1].scores.matthews, -0.75, 0);
    cr_expect(isnan(rows[1].scores.pearson));
    cr_expect_float_eq(rows[1].scores.spearman, -1, 0);
    free(rows);
    remove_folder();
}
