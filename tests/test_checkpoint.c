/* What is written is read back; what does not fit, or was damaged, is refused; what was half-written disappears. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "real/checkpoint.h"

static char folder[] = "/tmp/lspo-checkpoint-XXXXXX";

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(checkpoint, .init = make_folder, .fini = remove_folder);

static float weights[5] = {1.5F, -0.0F, 3e-39F, 4, 5};
static uint32_t indices[3] = {7, UINT32_MAX, 0};
static uint16_t halves[3] = {1, 2, 0xffff};
static const lspo_setting_t settings[] = {{"policy", "zero"}, {"seed", "1"}};

static lspo_state_array_t *arrays_of(float *w, uint32_t *i, uint16_t *h)
{
    static lspo_state_array_t arrays[3];
    arrays[0] = (lspo_state_array_t){.name = "block1.weights", .data = w, .element_count = 5, .type = LSPO_STATE_F32};
    arrays[1] = (lspo_state_array_t){.name = "block1.p0.index", .data = i, .element_count = 3, .type = LSPO_STATE_U32};
    arrays[2] = (lspo_state_array_t){.name = "block1.pending", .data = h, .element_count = 3, .type = LSPO_STATE_U16};
    return arrays;
}

static void write_step(uint32_t step, uint32_t keep)
{
    lspo_train_state_t state = {.step = step,
                                .elapsed_s = 0.1,
                                .loss_first = 5.5,
                                .loss_last = 1.0 / 3,
                                .held_out_before = NAN,
                                .held_out_last = 4,
                                .best_loss = 2,
                                .best_step = 3,
                                .worse_count = 1,
                                .refits = 77,
                                .finished = true};
    cr_assert_eq(lspo_checkpoint_write(folder, &state, settings, 2, arrays_of(weights, indices, halves), 3, keep),
                 LSPO_OK);
}

static char *latest(void)
{
    char *path;
    cr_assert_eq(lspo_checkpoint_latest(folder, &path), LSPO_OK);
    return path;
}

static lspo_status_t read_with(const char *path, const lspo_setting_t *with, lspo_state_array_t *arrays)
{
    lspo_train_state_t state;
    return lspo_checkpoint_read(path, with, 2, arrays, 3, &state);
}

static int count_entries(void)
{
    char command[128], text[16] = "";
    snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    cr_assert_not_null(fgets(text, sizeof text, pipe));
    pclose(pipe);
    return atoi(text);
}

Test(checkpoint, what_is_written_is_read_back)
{
    float w[5];
    uint32_t i[3];
    uint16_t h[3];
    lspo_train_state_t state;
    write_step(12, 2);
    char *path = latest();
    cr_assert_not_null(strstr(path, "/step-0000000012"));
    cr_assert_eq(lspo_checkpoint_read(path, settings, 2, arrays_of(w, i, h), 3, &state), LSPO_OK);
    cr_expect_arr_eq(w, weights, sizeof weights);
    cr_expect_arr_eq(i, indices, sizeof indices);
    cr_expect_arr_eq(h, halves, sizeof halves);
    cr_expect_eq(state.step, 12);
    cr_expect_eq(state.elapsed_s, 0.1);
    cr_expect_eq(state.loss_last, 1.0 / 3);
    cr_expect(isnan(state.held_out_before));
    cr_expect_eq(state.best_loss, 2);
    cr_expect_eq(state.best_step, 3);
    cr_expect_eq(state.worse_count, 1);
    cr_expect_eq(state.refits, 77);
    cr_expect(state.finished);
    free(path);
}

Test(checkpoint, only_the_newest_are_kept)
{
    for (uint32_t step = 5; step <= 1000; step *= 3) /* 5 15 45 135 405 */
        write_step(step, 2);
    cr_expect_eq(count_entries(), 2);
    char *path = latest();
    cr_expect_not_null(strstr(path, "step-0000000405"));
    free(path);
}

Test(checkpoint, an_empty_folder_has_none)
{
    cr_expect_null(latest());
    char *path;
    cr_expect_eq(lspo_checkpoint_latest("/nonexistent", &path), LSPO_ERR_INPUT);
}

Test(checkpoint, what_was_half_written_is_removed)
{
    char path[256];
    snprintf(path, sizeof path, "%s/.step-0000000007", folder);
    cr_assert_eq(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/.step-0000000007/state.safetensors.tmp.1", folder);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fclose(file);
    cr_expect_null(latest(), "a half-written one is none");
    int lock;
    cr_expect_eq(lspo_checkpoint_prepare(folder, false, &lock), LSPO_OK);
    cr_expect_eq(count_entries(), 0);
}

/* Killed between a write and the removal of what is older: the next run removes it. */
Test(checkpoint, what_is_left_over_is_removed)
{
    for (uint32_t step = 1; step <= 3; step++)
        write_step(step, 3);
    cr_assert_eq(count_entries(), 3);
    cr_expect_eq(lspo_checkpoint_prune(folder, 2), LSPO_OK);
    cr_expect_eq(count_entries(), 2);
    char *path = latest();
    cr_expect_not_null(strstr(path, "step-0000000003"));
    free(path);
}

Test(checkpoint, checkpoints_are_not_overwritten_unasked)
{
    write_step(1, 1);
    int lock = -1;
    cr_expect_eq(lspo_checkpoint_prepare(folder, false, &lock), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_checkpoint_prepare(folder, true, &lock), LSPO_OK);
    cr_expect_eq(count_entries(), 1);
    char deep[256];
    snprintf(deep, sizeof deep, "%s/a/b", folder);
    cr_expect_eq(lspo_checkpoint_prepare(deep, false, &lock), LSPO_OK);
    cr_expect_eq(access(deep, F_OK), 0);
    cr_expect_eq(lspo_checkpoint_prepare("/proc/none", false, &lock), LSPO_ERR_IO);
}

Test(checkpoint, two_trainings_do_not_share_a_folder)
{
    int first, second = -1;
    cr_assert_eq(lspo_checkpoint_prepare(folder, false, &first), LSPO_OK);
    cr_expect_eq(lspo_checkpoint_prepare(folder, true, &second), LSPO_ERR_INPUT);
    cr_expect_eq(second, -1);
    close(first);
    cr_expect_eq(lspo_checkpoint_prepare(folder, true, &second), LSPO_OK);
    close(second);
}

Test(checkpoint, other_settings_and_other_arrays_are_refused)
{
    float w[5];
    uint32_t i[3];
    uint16_t h[3];
    write_step(3, 1);
    char *path = latest();
    lspo_setting_t other[] = {{"policy", "lsp"}, {"seed", "1"}}, more[] = {{"policy", "zero"}, {"batch", "1"}};
    cr_expect_eq(read_with(path, other, arrays_of(w, i, h)), LSPO_ERR_INPUT);
    cr_expect_eq(read_with(path, more, arrays_of(w, i, h)), LSPO_ERR_INPUT);
    lspo_state_array_t *arrays = arrays_of(w, i, h);
    arrays[0].element_count = 4;
    cr_expect_eq(read_with(path, settings, arrays), LSPO_ERR_INPUT);
    arrays = arrays_of(w, i, h);
    strcpy(arrays[1].name, "block2.p0.index");
    cr_expect_eq(read_with(path, settings, arrays), LSPO_ERR_INPUT);
    arrays = arrays_of(w, i, h);
    arrays[1].type = LSPO_STATE_F32;
    cr_expect_eq(read_with(path, settings, arrays), LSPO_ERR_INPUT);
    lspo_train_state_t state;
    cr_expect_eq(lspo_checkpoint_read(path, settings, 2, arrays_of(w, i, h), 2, &state), LSPO_ERR_INPUT);
    free(path);
}

/* Every byte of either file in turn becomes another: no crash, and changed numbers never pass. */
static uint32_t count_accepted(const char *path, const char *name)
{
    char file_path[512];
    snprintf(file_path, sizeof file_path, "%s/%s", path, name);
    FILE *file = fopen(file_path, "r+");
    cr_assert_not_null(file);
    cr_assert_eq(fseek(file, 0, SEEK_END), 0);
    long bytes = ftell(file);
    uint32_t accepted = 0;
    for (long at = 0; at < bytes; at++) {
        float w[5];
        uint32_t i[3];
        uint16_t h[3];
        fseek(file, at, SEEK_SET);
        int was = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(was ^ 0x11, file);
        fflush(file);
        if (read_with(path, settings, arrays_of(w, i, h)) == LSPO_OK) {
            accepted++;
            cr_expect_arr_eq(w, weights, sizeof weights);
            cr_expect_arr_eq(i, indices, sizeof indices);
            cr_expect_arr_eq(h, halves, sizeof halves);
        }
        fseek(file, at, SEEK_SET);
        fputc(was, file);
        fflush(file);
    }
    fclose(file);
    cr_expect_gt(bytes, 100);
    return accepted;
}

Test(checkpoint, damage_is_found)
{
    write_step(3, 1);
    char *path = latest();
    /* Only a change of a blank of the header may pass. */
    cr_expect_lt(count_accepted(path, "state.safetensors"), 16);
    count_accepted(path, "state.json");
    free(path);
}
