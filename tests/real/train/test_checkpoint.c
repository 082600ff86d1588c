/* Checkpoints are read back as written; those that do not fit or are damaged are refused; half-written ones are
 * removed. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "real/train/checkpoint.h"
#include "tests/own_folder.h"

TestSuite(checkpoint, .init = make_folder, .fini = remove_folder);

static float weights[5] = {1.5F, -0.0F, 3e-39F, 4, 5};
static uint32_t indices[3] = {7, UINT32_MAX, 0};
static uint16_t halves[3] = {1, 2, 0xffff};
static const lspo_setting_t settings[] = {{.key = "policy", .value = "zero"}, {.key = "seed", .value = "1"}};

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
                                .steps = 405,
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
    const lspo_checkpoint_t checkpoint = {.state = &state,
                                          .settings = settings,
                                          .setting_count = 2,
                                          .arrays = arrays_of(weights, indices, halves),
                                          .array_count = 3};
    cr_assert_eq(lspo_checkpoint_write(folder, &checkpoint, keep), LSPO_OK);
}

static bool is_there(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* state_out->steps: those that are asked for. */
static lspo_status_t resume(const lspo_setting_t *with, lspo_state_array_t *arrays, size_t count, bool undrained,
                            lspo_train_state_t *state_out)
{
    bool found = false;
    const lspo_checkpoint_t checkpoint = {
        .state = state_out, .settings = with, .setting_count = 2, .arrays = arrays, .array_count = count};
    lspo_status_t status = lspo_checkpoint_resume(folder, &checkpoint, undrained, &found);
    cr_expect(status != LSPO_OK || found);
    return status;
}

static lspo_status_t read_with(const lspo_setting_t *with, lspo_state_array_t *arrays)
{
    lspo_train_state_t state = {.steps = 405};
    return resume(with, arrays, 3, false, &state);
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
    lspo_train_state_t state = {.steps = 405};
    write_step(12, 2);
    cr_expect(is_there("step-0000000012"));
    cr_assert_eq(resume(settings, arrays_of(w, i, h), 3, false, &state), LSPO_OK);
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
}

Test(checkpoint, only_the_newest_are_kept)
{
    for (uint32_t step = 5; step <= 1000; step *= 3) /* 5 15 45 135 405 */
        write_step(step, 2);
    cr_expect_eq(count_entries(), 2);
    cr_expect(is_there("step-0000000405") && is_there("step-0000000135"));
}

/* A training that goes on from an earlier step has left the later ones. */
Test(checkpoint, what_is_beyond_the_newest_goes)
{
    for (uint32_t step = 1; step <= 5; step++)
        write_step(step, 9);
    write_step(3, 2);
    cr_expect_eq(count_entries(), 2);
    cr_expect(is_there("step-0000000002") && is_there("step-0000000003"));
}

Test(checkpoint, an_empty_folder_has_none)
{
    bool found = true;
    lspo_train_state_t state = {0};
    const lspo_checkpoint_t none = {.state = &state};
    cr_expect_eq(lspo_checkpoint_resume(folder, &none, false, &found), LSPO_OK);
    cr_expect_not(found);
    cr_expect_eq(lspo_checkpoint_resume("/nonexistent", &none, false, &found), LSPO_ERR_INPUT);
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
    cr_expect_eq(lspo_checkpoint_prune(folder, 3, 2, false), LSPO_OK);
    cr_expect_eq(count_entries(), 2);
    cr_expect(is_there("step-0000000003"));
    cr_expect_eq(lspo_checkpoint_prune(folder, 2, 1, false), LSPO_OK);
    cr_expect_eq(count_entries(), 2, "what is beyond stays");
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
    const lspo_setting_t other[] = {{.key = "policy", .value = "lsp"}, {.key = "seed", .value = "1"}};
    const lspo_setting_t more[] = {{.key = "policy", .value = "zero"}, {.key = "batch", .value = "1"}};
    /* A flag that the writing version did not have: its default is what the checkpoint means. */
    const lspo_setting_t usual[] = {{.key = "policy", .value = "zero"}, {.key = "new", .value = "off", .preset = true}};
    const lspo_setting_t newer[] = {{.key = "policy", .value = "zero"},
                                    {.key = "adam-basis", .value = "eigen", .unnamed = "plain"}};
    const lspo_setting_t rounding[] = {{.key = "policy", .value = "zero"},
                                       {.key = "seed", .value = "2", .tolerated = true}};
    cr_expect_eq(read_with(other, arrays_of(w, i, h)), LSPO_ERR_INPUT);
    cr_expect_eq(read_with(more, arrays_of(w, i, h)), LSPO_ERR_INPUT);
    cr_expect_eq(read_with(rounding, arrays_of(w, i, h)), LSPO_OK);
    cr_expect_eq(read_with(usual, arrays_of(w, i, h)), LSPO_OK);
    cr_expect_eq(read_with(newer, arrays_of(w, i, h)), LSPO_ERR_INPUT);
    lspo_state_array_t *arrays = arrays_of(w, i, h);
    arrays[0].element_count = 4;
    cr_expect_eq(read_with(settings, arrays), LSPO_ERR_INPUT);
    arrays = arrays_of(w, i, h);
    strcpy(arrays[1].name, "block2.p0.index");
    cr_expect_eq(read_with(settings, arrays), LSPO_ERR_INPUT);
    lspo_train_state_t state = {.steps = 405};
    cr_expect_eq(resume(settings, arrays_of(w, i, h), 2, false, &state), LSPO_ERR_INPUT);
    cr_expect(is_there("step-0000000003"), "what does not fit is not damaged");
}

Test(checkpoint, an_older_format_is_named)
{
    char command[256];
    write_step(3, 1);
    snprintf(command, sizeof command, "sed -i 's/\"format\": 2/\"format\": 1/' %s/step-0000000003/state.json", folder);
    cr_assert_eq(system(command), 0);
    cr_expect_eq(read_with(settings, arrays_of(weights, indices, halves)), LSPO_ERR_INPUT);
    cr_expect(is_there("step-0000000003"), "it is not damaged");
}

static const char *file_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/step-0000000003/%s", folder, name);
    return path;
}

/* The only one is damaged and set aside: put it back. */
static void put_back(void)
{
    char aside[256], path[256];
    snprintf(aside, sizeof aside, "%s/damaged-step-0000000003", folder);
    snprintf(path, sizeof path, "%s/step-0000000003", folder);
    cr_assert_eq(rename(aside, path), 0);
}

/* Every byte of either file in turn becomes another: no crash, and changed numbers never pass. */
static uint32_t count_accepted(const char *name)
{
    long bytes = 0;
    uint32_t accepted = 0;
    for (long at = 0; at == 0 || at < bytes; at++) {
        float w[5];
        uint32_t i[3];
        uint16_t h[3];
        FILE *file = fopen(file_of(name), "r+");
        cr_assert_not_null(file);
        cr_assert_eq(fseek(file, 0, SEEK_END), 0);
        bytes = ftell(file);
        fseek(file, at, SEEK_SET);
        int was = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(was ^ 0x11, file);
        fflush(file);
        lspo_status_t status = read_with(settings, arrays_of(w, i, h));
        if (status == LSPO_OK) {
            accepted++;
            cr_expect_arr_eq(w, weights, sizeof weights);
            cr_expect_arr_eq(i, indices, sizeof indices);
            cr_expect_arr_eq(h, halves, sizeof halves);
        } else if (is_there("damaged-step-0000000003")) {
            put_back();
        }
        fseek(file, at, SEEK_SET);
        fputc(was, file);
        fclose(file);
    }
    cr_expect_gt(bytes, 100);
    return accepted;
}

Test(checkpoint, damage_is_found)
{
    write_step(3, 1);
    /* Only a change of a blank of the header, or between values, may pass. */
    cr_expect_lt(count_accepted("state.safetensors"), 16);
    cr_expect_lt(count_accepted("state.json"), 4);
}

static void damage(uint32_t step)
{
    char path[256];
    snprintf(path, sizeof path, "%s/step-%010u/state.safetensors", folder, step);
    FILE *file = fopen(path, "r+");
    cr_assert_not_null(file);
    fseek(file, -1, SEEK_END);
    int was = fgetc(file);
    fseek(file, -1, SEEK_END);
    fputc(was ^ 1, file);
    fclose(file);
}

Test(checkpoint, the_one_before_a_damaged_one_is_taken)
{
    float w[5];
    uint32_t i[3];
    uint16_t h[3];
    lspo_train_state_t state = {.steps = 405};
    for (uint32_t step = 1; step <= 4; step++)
        write_step(step, 9);
    damage(4);
    damage(3);
    cr_assert_eq(resume(settings, arrays_of(w, i, h), 3, false, &state), LSPO_OK);
    cr_expect_eq(state.step, 2);
    cr_expect_arr_eq(w, weights, sizeof weights);
    cr_expect(is_there("damaged-step-0000000004") && is_there("damaged-step-0000000003"));
    damage(2);
    damage(1);
    cr_expect_eq(resume(settings, arrays_of(w, i, h), 3, false, &state), LSPO_ERR_INPUT, "none is whole");
}

/* The one who resumes it tells of the damage, not the one who only asks for a setting. */
Test(checkpoint, a_setting_of_a_damaged_one_is_that_of_the_one_before)
{
    char value[LSPO_SETTING_BYTES] = "", error[256] = "";
    bool found = false;
    write_step(2, 9);
    write_step(3, 9);
    FILE *file = fopen(file_of("state.json"), "w");
    cr_assert_not_null(file);
    fputs("{\"version\": ", file);
    fclose(file);
    lspo_messages_t before = lspo_messages_send((lspo_messages_t){.text = error, .capacity = sizeof error});
    cr_expect_eq(lspo_checkpoint_setting(folder, "policy", value, &found), LSPO_OK);
    lspo_messages_send(before);
    cr_expect(found);
    cr_expect_str_eq(value, "zero");
    cr_expect_str_eq(error, "");
}

/* A stale policy's last updates are applied at the end of its 405 steps: there is nothing to go on with for more. */
Test(checkpoint, an_end_is_no_beginning_for_a_stale_policy)
{
    lspo_train_state_t state = {.steps = 405};
    write_step(400, 9);
    write_step(405, 9);
    lspo_state_array_t *arrays = arrays_of(weights, indices, halves);
    cr_assert_eq(resume(settings, arrays, 3, true, &state), LSPO_OK);
    cr_expect_eq(state.step, 405, "it is done");
    state.steps = 500;
    cr_assert_eq(resume(settings, arrays, 3, false, &state), LSPO_OK);
    cr_expect_eq(state.step, 405, "of an exact policy");
    state.steps = 500;
    cr_assert_eq(resume(settings, arrays, 3, true, &state), LSPO_OK);
    cr_expect_eq(state.step, 400);
    cr_expect(is_there("step-0000000405"));
}
