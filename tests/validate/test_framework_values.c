/* Values of a framework's file that are fitted: which ones, and how the file is written. */
#include "validate/framework_values.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] = "# Mine.\n"
                           "[framework]\n"
                           "base = eager\n"
                           "name = mine\n"
                           "\n"
                           "[software]\n"
                           "kernel_s = 7 us ; fit, prior 5 us: a guess; of mine\n"
                           "loss_factor = 4 ; counted\n"
                           "d2h_limit_Bps = 3 GB/s ; fit, prior 4.5 GB/s: others\n";

static lspo_status_t take(const char *body, lspo_framework_file_t *file_out)
{
    const lspo_preset_t preset = {"frameworks", "mine", "mine.ini", body};
    return lspo_framework_file_take(&preset, file_out);
}

static char *read_all(const char *path)
{
    static char content[4096];
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    content[fread(content, 1, sizeof content - 1, file)] = '\0';
    fclose(file);
    return content;
}

static void make_folder(char *folder)
{
    strcpy(folder, "test_framework_values.XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

Test(framework_values, notes_say_what_is_fitted)
{
    lspo_framework_file_t file;
    cr_assert_eq(take(text, &file), LSPO_OK);
    cr_expect_str_eq(file.base, "eager");
    cr_assert_eq(file.fitted_count, 2);
    cr_expect_str_eq(lspo_machine_fields[file.fitted[0].field].key, "kernel_s");
    cr_expect_eq(file.fitted[0].prior, 5e-6);
    cr_expect_str_eq(lspo_machine_fields[file.fitted[1].field].key, "d2h_limit_Bps");
    cr_expect_eq(file.fitted[1].prior, 4.5e9);
    cr_expect(file.has_field[lspo_machine_field_find("software", "loss_factor")]);
    cr_expect(!file.has_field[lspo_machine_field_find("software", "stream_factor")]);
}

Test(framework_values, wrong_priors_are_refused, .init = cr_redirect_stderr)
{
    static const char *const bad[] = {
        "kernel_s = 7 us ; fit, prior 5: no unit\n", "kernel_s = 7 us ; fit, prior 5 us, no colon\n",
        "kernel_s = 7 us ; fit, prior 0 us: none\n", "kernel_s = 7 us ; fit, prior 9 h: out of range\n",
        "colonel_s = 7 us ; fit, prior 5 us: no key\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lspo_framework_file_t file;
        char body[256];
        snprintf(body, sizeof body, "[framework]\nname = mine\n[software]\n%s", bad[i]);
        cr_expect_eq(take(body, &file), LSPO_ERR_INPUT, "accepted: %s", bad[i]);
    }
}

/* Values and rows are written anew, the rest stays; and a second time gives the same. */
Test(framework_values, files_are_written)
{
    static const char expected[] = "# Mine.\n"
                                   "# Fitted to these rows by lspo validate --fit:\n"
                                   "#   one: all 2 rows\n"
                                   "#   two: a b\n"
                                   "[framework]\n"
                                   "base = eager\n"
                                   "name = mine\n"
                                   "\n"
                                   "[software]\n"
                                   "kernel_s = 8.12 us ; fit, prior 5 us: a guess; of mine\n"
                                   "loss_factor = 4 ; counted\n"
                                   "d2h_limit_Bps = 900 MB/s ; fit, prior 4.5 GB/s: others\n";
    char folder[64], path[128];
    const double values[] = {8.12e-6, 9e8}, others[] = {5e-6, 3e9};
    lspo_framework_file_t file, again;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/mine.ini", folder);
    cr_assert_eq(take(text, &file), LSPO_OK);
    cr_expect_eq(lspo_framework_file_check(&file, folder), LSPO_OK);
    cr_assert_eq(lspo_framework_file_write(&file, values, "one: all 2 rows\ntwo: a b\n", folder), LSPO_OK);
    cr_expect_str_eq(read_all(path), expected);
    cr_expect_eq(lspo_framework_file_check(&file, folder), LSPO_OK);
    cr_assert_eq(take(expected, &again), LSPO_OK);
    cr_assert_eq(lspo_framework_file_write(&again, values, "one: all 2 rows\ntwo: a b\n", folder), LSPO_OK);
    cr_expect_str_eq(read_all(path), expected);
    cr_assert_eq(lspo_framework_file_write(&again, others, NULL, folder), LSPO_OK);
    cr_expect_null(strstr(read_all(path), "Fitted"));
    unlink(path);
    rmdir(folder);
}

/* A file with another change is left alone. */
Test(framework_values, changes_are_not_lost, .init = cr_redirect_stderr)
{
    char folder[64], path[128];
    lspo_framework_file_t file;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/mine.ini", folder);
    FILE *changed = fopen(path, "w");
    cr_assert_not_null(changed);
    fputs(text, changed);
    fputs("rms_norm_factor = 2 ; mine\n", changed);
    fclose(changed);
    cr_assert_eq(take(text, &file), LSPO_OK);
    cr_expect_eq(lspo_framework_file_check(&file, folder), LSPO_ERR_INPUT);
    unlink(path);
    cr_expect_eq(mkdir(path, 0700), 0);
    cr_expect_eq(lspo_framework_file_check(&file, folder), LSPO_ERR_INPUT);
    rmdir(path);
    rmdir(folder);
}
