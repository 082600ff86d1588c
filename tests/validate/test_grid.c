/* The grid file: the meaning of a line, and errors that name file, line and value. */
#include "validate/grid.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char path[] = "test_grid.tmp";

static lspo_status_t read_text(const char *text, lspo_grid_t *grid_out)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    lspo_status_t status = lspo_grid_read(path, grid_out);
    unlink(path);
    return status;
}

Test(grid, lines_become_groups_and_cells)
{
    lspo_grid_t grid;
    cr_assert_eq(read_text("# a comment\n\n"
                           "gpu  gpt-tiny 4 256 zero 0.35 0.3  lora:8 lsp:64:2 lsp   # and one here\n"
                           "flags --precision bf16 --seed 2\n"
                           "link gpt-small 2 128 self 1.6 2 swap lsp:4294967295:4294967295:4294967295",
                           &grid),
                 LSPO_OK);
    cr_assert_eq(grid.group_count, 2);
    cr_assert_eq(grid.cell_count, 5);
    cr_expect_str_eq(grid.groups[0].name, "gpu");
    cr_expect_eq(grid.groups[0].line, 3);
    cr_expect_str_eq(grid.groups[0].flags, "--model gpt-tiny --batch 4 --sequence 256");
    cr_expect_str_eq(grid.groups[0].rates_of->name, "zero");
    cr_expect_eq(grid.groups[0].link_share, 0.35);
    cr_expect_eq(grid.groups[0].cpu_share, 0.3);
    cr_expect_str_eq(grid.cells[0].flags, "--policy lora --rank 8");
    cr_expect_str_eq(grid.cells[1].flags, "--policy lsp --subspace 64 --nnz 2");
    cr_expect_str_eq(grid.cells[2].flags, "--policy lsp");
    cr_expect_eq(grid.cells[2].group, 0);
    cr_expect_str_eq(grid.groups[1].flags, "--model gpt-small --batch 2 --sequence 128 --precision bf16 --seed 2");
    cr_expect_null(grid.groups[1].rates_of);
    cr_expect_eq(grid.cells[3].group, 1);
    cr_expect_str_eq(grid.cells[4].flags,
                     "--policy lsp --subspace 4294967295 --nnz 4294967295 --check-every 4294967295 "
                     "--bias-threshold 0");
    lspo_grid_release(&grid);
}

/* A group's first policy says what all do; without an optimizer there is no cpu/gpu. */
Test(grid, a_group_trains_or_generates)
{
    lspo_grid_t grid;
    cr_assert_eq(read_text("a gpt-tiny 4 64 offload-weights 0.5 free resident kvpr\n"
                           "b gpt-tiny 4 64 self free free zero",
                           &grid),
                 LSPO_OK);
    cr_expect_eq(grid.groups[0].task, LSPO_TASK_GENERATE);
    cr_expect_eq(grid.groups[1].task, LSPO_TASK_TRAIN);
    lspo_grid_release(&grid);
    static const char *const wrong[] = {"a gpt-tiny 4 64 self free free resident zero",
                                        "a gpt-tiny 4 64 zero 0.5 free resident",
                                        "a gpt-tiny 4 64 offload-weights 0.5 0.5 resident",
                                        "a gpt-tiny 4 64 self free 200M/s resident"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(read_text(wrong[i], &grid), LSPO_ERR_INPUT, "%s", wrong[i]);
}

/* In place of a share of the GPU time: a rate with its unit, or no pace at all. */
Test(grid, rates_may_be_given)
{
    lspo_grid_t grid;
    cr_assert_eq(read_text("fast gpt-tiny 4 256 self 4GB/s free zero\n"
                           "slow gpt-tiny 4 256 self free 200M/s zero\n"
                           "both gpt-tiny 4 256 self 1.5 0.5 zero\n",
                           &grid),
                 LSPO_OK);
    const double expected[3][4] = {{0, 4e9, 0, 0}, {0, 0, 0, 2e8}, {1.5, 0, 0.5, 0}};
    for (uint32_t i = 0; i < 3; i++) {
        const lspo_grid_group_t *group = &grid.groups[i];
        cr_expect_eq(group->link_share, expected[i][0]);
        cr_expect_eq(group->link_Bps, expected[i][1]);
        cr_expect_eq(group->cpu_share, expected[i][2]);
        cr_expect_eq(group->cpu_pps, expected[i][3]);
    }
    lspo_grid_release(&grid);
}

Test(grid, wrong_lines_are_refused)
{
    static const char *const bad[] = {
        "",                                         /* no cells */
        "# nothing\n",                              /* no cells */
        "gpu\n",                                    /* ends early */
        "gpu gpt-tiny 4 256 zero 0.35\n",           /* ends early */
        "gpu gpt-tiny 4 256 zero 0.35 0.3\n",       /* no policy */
        "gpu gpt-tiny 0 256 zero 0.35 0.3 lsp\n",   /* batch */
        "gpu gpt-tiny 4 -1 zero 0.35 0.3 lsp\n",    /* sequence */
        "gpu gpt-tiny 4 256 nought 0.35 0.3 lsp\n", /* rates */
        "gpu gpt-tiny 4 256 zero 0 0.3 lsp\n",      /* share */
        "gpu gpt-tiny 4 256 zero 0.3 1e9 lsp\n",    /* share */
        "gpu gpt-tiny 4 256 zero 0.3 nan lsp\n",    /* share */
        "gpu gpt-tiny 4 256 zero 4GB 0.3 lsp\n",    /* no rate */
        "gpu gpt-tiny 4 256 zero 0GB/s 0.3 lsp\n",  /* rate */
        "gpu gpt-tiny 4 256 zero 0.3 4GB/s lsp\n",  /* a rate of the link */
        "gpu gpt-tiny 4 256 zero 0.35 0.3 lps\n",   /* policy */
        "gpu gpt-tiny 4 256 zero 0.35 0.3 lsp::8\n",
        "gpu gpt-tiny 4 256 zero 0.35 0.3 lsp:64:8:0\n",
        "gpu gpt-tiny 4 256 zero 0.35 0.3 lsp:64:8:1:1\n",
        "gpu gpt-tiny 4 256 zero 0.35 0.3 zero:64\n",
        "gpu gpt-tiny 4 256 zero 0.35 0.3 lora:x\n",
        "gpu gpt-tiny 4 256 zero 0.35 0.3 :\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lspo_grid_t grid = {.cell_count = 77};
        cr_expect_eq(read_text(bad[i], &grid), LSPO_ERR_INPUT, "%s", bad[i]);
        cr_expect_eq(grid.cell_count, 77, "%s: set in spite of the error", bad[i]);
    }
    lspo_grid_t grid;
    cr_expect_eq(lspo_grid_read("no/such/grid", &grid), LSPO_ERR_INPUT);
}

Test(grid, refusal_names_file_line_and_value, .init = cr_redirect_stderr)
{
    lspo_grid_t grid;
    read_text("# one\ngpu gpt-tiny many 256 zero 0.35 0.3 lsp\n", &grid);
    fflush(stderr);
    cr_assert_stderr_eq_str("lspo: error: test_grid.tmp:2: batch: 'many' is not an integer from 1 to 4294967295\n");
}

Test(grid, overlong_lines_and_flags_are_refused)
{
    lspo_grid_t grid;
    char *text = malloc(9000);
    cr_assert_not_null(text);
    memset(text, 'x', 8999);
    text[8999] = '\0';
    cr_expect_eq(read_text(text, &grid), LSPO_ERR_INPUT);
    memcpy(text, "flags ", 6);
    text[2000] = '\0';
    cr_expect_eq(read_text(text, &grid), LSPO_ERR_INPUT);
    text[LSPO_GRID_FLAGS_BYTES - 10] = '\0';
    strcat(text, "\ngpu gpt-tiny 4 256 zero 0.35 0.3 lsp\n");
    cr_expect_eq(read_text(text, &grid), LSPO_ERR_INPUT);
    free(text);
}
