/* A checkpoint written in the background has the state at the time of the request, with and without memory for a
 * copy. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "real/train/saver.h"
#include "tests/own_folder.h"

enum { ELEMENTS = 16 << 20 }; /* 64 MiB: writing takes far longer than the change behind it */

TestSuite(saver, .init = make_folder, .fini = remove_folder);

static void fill(float *values, float with)
{
    for (size_t i = 0; i < ELEMENTS; i++)
        values[i] = with + (float)(i % 1000);
}

static lspo_status_t save(lspo_saver_t *saver, float *values, uint32_t step, bool last)
{
    lspo_train_state_t state = {.step = step, .steps = 9};
    const lspo_state_array_t array = {.name = "weights", .data = values, .element_count = ELEMENTS};
    const lspo_checkpoint_t checkpoint = {.state = &state, .arrays = &array, .array_count = 1};
    return lspo_saver_save(saver, &checkpoint, last);
}

/* The newest one is of `step` and holds what fill() made of `with`. */
static void check_newest(float *values, uint32_t step, float with)
{
    bool found = false;
    lspo_train_state_t state = {.steps = 9};
    const lspo_state_array_t array = {.name = "weights", .data = values, .element_count = ELEMENTS};
    const lspo_checkpoint_t checkpoint = {.state = &state, .arrays = &array, .array_count = 1};
    memset(values, 0, ELEMENTS * sizeof *values);
    cr_assert_eq(lspo_checkpoint_resume(folder, &checkpoint, false, &found), LSPO_OK);
    cr_assert(found);
    cr_expect_eq(state.step, step);
    size_t wrong = 0;
    for (size_t i = 0; i < ELEMENTS; i++)
        wrong += values[i] != with + (float)(i % 1000);
    cr_expect_eq(wrong, 0, "%zu values are of another moment", wrong);
}

static void save_and_change(lspo_saver_t *saver, float *values)
{
    fill(values, 1);
    cr_assert_eq(save(saver, values, 1, false), LSPO_OK);
    fill(values, 2);
    cr_assert_eq(lspo_saver_wait(saver), LSPO_OK);
    check_newest(values, 1, 1);
    fill(values, 3);
    cr_assert_eq(save(saver, values, 2, false), LSPO_OK);
    fill(values, 4);
    cr_assert_eq(save(saver, values, 3, true), LSPO_OK);
    check_newest(values, 3, 4);
}

Test(saver, what_is_written_is_the_state_that_was_saved)
{
    float *values = malloc(ELEMENTS * sizeof *values);
    lspo_saver_t *saver = lspo_saver_create(folder, 2);
    cr_assert(values && saver);
    save_and_change(saver, values);
    cr_expect_eq(lspo_saver_copy_bytes(saver), ELEMENTS * sizeof *values);
    cr_expect_gt(lspo_saver_held_s(saver), 0);
    lspo_saver_destroy(saver);
    free(values);
}

/* Sanitizers map memory of their own, which the limit would deny. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* 32 MiB more than there is now: no room for a copy of 64. */
static void limit_memory(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    struct rlimit limit = {.rlim_cur = pages * (rlim_t)sysconf(_SC_PAGESIZE) + (32 << 20), .rlim_max = RLIM_INFINITY};
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

Test(saver, without_memory_for_a_copy_the_training_waits)
{
    float *values = malloc(ELEMENTS * sizeof *values);
    lspo_saver_t *saver = lspo_saver_create(folder, 2);
    cr_assert(values && saver);
    limit_memory();
    save_and_change(saver, values);
    cr_expect_eq(lspo_saver_copy_bytes(saver), 0);
    lspo_saver_destroy(saver);
    free(values);
}
#endif

Test(saver, a_write_that_failed_is_told)
{
    float *values = calloc(ELEMENTS, sizeof *values);
    lspo_saver_t *saver = lspo_saver_create("/proc/nowhere", 2);
    cr_assert(values && saver);
    lspo_status_t status = save(saver, values, 1, false);
    cr_expect_eq(status == LSPO_OK ? lspo_saver_wait(saver) : status, LSPO_ERR_IO);
    cr_expect_eq(save(saver, values, 2, true), LSPO_ERR_IO);
    lspo_saver_destroy(saver);
    free(values);
}
