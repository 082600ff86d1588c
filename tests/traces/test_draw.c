/* Lanes as text, drawn by hand in the comments. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/engine.h"
#include "tests/plan_maker.h"
#include "traces/draw.h"

/* 36 columns of 10 ns on lanes whose names have 3 letters: FWD 0 to 200, BWD 200 to 320; D2H of the first from 200 to
 * 213, that is a column and three tenths of the next; UPD after it for 4 ns; iteration 1 is a FWD of 40, 320 to 360. */
static plan_maker_t small_plan(void)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 200);
    maker_op(&maker, LSPO_OP_D2H, 0, 0, 13);
    maker_depend(&maker, 0);
    maker_op(&maker, LSPO_OP_BWD, 1, 0, 120);
    maker_depend(&maker, 0);
    maker_op(&maker, LSPO_OP_UPD, 0, 0, 4);
    maker_depend(&maker, 1);
    maker_op(&maker, LSPO_OP_FWD, 0, 1, 40);
    maker_depend(&maker, 2);
    maker.plan.stage_count = 3;
    return maker;
}

static lspo_trace_t *play(const plan_maker_t *maker)
{
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_engine_play(&maker->plan, &machine, maker->work_ns, &trace), LSPO_OK);
    return trace;
}

static char *drawn(const lspo_trace_t *trace, const lspo_draw_t *draw)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    cr_assert_not_null(file);
    cr_assert_eq(lspo_trace_draw(trace, draw, file), LSPO_OK);
    fclose(file);
    return text;
}

Test(draw, each_letter_by_hand)
{
    static const char expected[] = "                                   |   |\n"
                                   "gpu FFFFFFFFFFFFFFFFFFFFBBBBBBBBBBBBFFFF\n"
                                   "d2h ....................Dd..............\n"
                                   "cpu .....................u..............\n"
                                   "F FWD, B BWD, D D2H, U UPD; small: busy\n"
                                   "for less than half; ";
    plan_maker_t maker = small_plan();
    lspo_trace_t *trace = play(&maker);
    char *text = drawn(trace, &(lspo_draw_t){.iteration_count = 2, .width = 40});
    cr_expect(strncmp(text, expected, sizeof expected - 1) == 0, "%s", text);
    cr_expect_not_null(strstr(text, "360 ns in all, 10.0 ns per character;\niterations 0 to 1."), "%s", text);
    free(text);
    text = drawn(trace, &(lspo_draw_t){.iteration_count = 2, .width = 40, .utf8 = true});
    cr_expect_not_null(strstr(text, "d2h \u00b7\u00b7"), "%s", text);
    cr_expect_not_null(strstr(text, "\u2502   \u2502"), "%s", text);
    free(text);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* Only iteration 1: 36 columns of 40 / 36 ns, and lanes that do nothing then. */
Test(draw, part_of_a_trace)
{
    plan_maker_t maker = small_plan();
    lspo_trace_t *trace = play(&maker);
    char *text = drawn(trace, &(lspo_draw_t){.first_iteration = 1, .iteration_count = 1, .width = 7});
    cr_expect_not_null(strstr(text, "gpu FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\n"), "%s", text);
    cr_expect_not_null(strstr(text, "cpu ....................................\n"), "%s", text);
    free(text);
    cr_expect_eq(
        lspo_trace_draw(trace, &(lspo_draw_t){.first_iteration = 2, .iteration_count = 1, .width = 80}, stdout),
        LSPO_ERR_INPUT);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* Letters of a line that are not those before, added to `seen`. */
static void gather_letters(const char *line, char seen[64])
{
    size_t begin = strlen(seen), count = begin;
    for (; *line != '\n'; line++) {
        if (*line == '.' || (count > begin && seen[count - 1] == *line))
            continue;
        cr_expect_null(strchr(seen, *line), "%c twice in %s", *line, seen);
        cr_assert_lt(count, 63u);
        seen[count++] = *line;
        seen[count] = '\0';
    }
}

/* Every kind on the lanes of a device has a letter of its own, whatever kinds there are. */
Test(draw, letters_differ)
{
    plan_maker_t maker = maker_create();
    for (int kind = 0; kind < LSPO_OP_KIND_COUNT; kind++)
        if (lspo_op_kind_lane((lspo_op_kind_t)kind) < LSPO_DEVICE_LANES)
            maker_op(&maker, (lspo_op_kind_t)kind, 0, 0, 1000);
    maker.plan.stage_count = 3;
    lspo_trace_t *trace = play(&maker);
    char *text = drawn(trace, &(lspo_draw_t){.iteration_count = 1, .width = 900}), seen[64] = "";
    for (uint32_t lane = 0; lane < trace->lanes.count; lane++) {
        char label[32];
        snprintf(label, sizeof label, "\n%s ", trace->lanes.list[lane].name);
        const char *line = strstr(text, label);
        cr_assert_not_null(line, "%s", text);
        gather_letters(line + strlen(label), seen);
    }
    cr_expect_eq(strlen(seen), maker.plan.op_count, "%s", seen);
    free(text);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* More iterations than there are take no longer. */
Test(draw, counts_what_there_is)
{
    plan_maker_t maker = small_plan();
    lspo_trace_t *trace = play(&maker);
    char *all = drawn(trace, &(lspo_draw_t){.iteration_count = 2, .width = 40});
    char *more = drawn(trace, &(lspo_draw_t){.iteration_count = UINT32_MAX, .width = 40});
    cr_expect_str_eq(more, all);
    free(all);
    free(more);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}
