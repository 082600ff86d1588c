/* The table of kinds of ops, and the charts that draw them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/op.h"

Test(op, every_kind_has_a_name_a_lane_and_a_colour_of_its_own)
{
    for (int i = 0; i < LSPO_OP_KIND_COUNT; i++) {
        const lspo_op_kind_info_t *kind = &lspo_op_kinds[i];
        cr_assert(kind->name && kind->colour, "kind %d", i);
        cr_expect_lt(kind->lane, LSPO_LANE_KIND_COUNT);
        cr_expect_eq(lspo_op_kind_parse(kind->name), (lspo_op_kind_t)i);
        cr_expect_eq(strlen(kind->colour), 7u);
        cr_expect_eq(strspn(kind->colour + 1, "0123456789abcdef"), 6u);
        for (int j = 0; j < i; j++)
            cr_expect_str_neq(lspo_op_kinds[j].colour, kind->colour, "%s and %s", lspo_op_kinds[j].name, kind->name);
    }
    cr_expect_eq(lspo_op_kind_parse("FWD2"), LSPO_OP_KIND_COUNT);
    cr_expect_eq(lspo_op_kind_parse(""), LSPO_OP_KIND_COUNT);
}

/* The text of plots/gantt-style.gp between `begin` and the next `end`. */
static void find_text(const char *begin, char end, char text[1024])
{
    const char *source = getenv("LSPO_SOURCE");
    char path[512], file_text[8192] = {0};
    snprintf(path, sizeof path, "%s/plots/gantt-style.gp", source ? source : ".");
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    cr_assert_gt(fread(file_text, 1, sizeof file_text - 1, file), 0u);
    fclose(file);
    const char *start = strstr(file_text, begin);
    cr_assert_not_null(start, "%s has no '%s'", path, begin);
    start += strlen(begin);
    size_t length = strcspn(start, (char[]){end, '\0'});
    cr_assert_lt(length, 1024u);
    memcpy(text, start, length);
    text[length] = '\0';
}

Test(op, charts_have_the_names_and_colours_of_the_table)
{
    char names[1024], colours[1024], *next_name = NULL, *next_colour = NULL, size[16];
    find_text("\nkinds = \"", '"', names);
    find_text("] = [", ']', colours);
    snprintf(size, sizeof size, "shade[%d]", LSPO_OP_KIND_COUNT);
    char declared[1024];
    find_text("array ", ' ', declared);
    cr_expect_str_eq(declared, size);
    char *name = strtok_r(names, " ", &next_name), *colour = strtok_r(colours, ", ", &next_colour);
    for (int i = 0; i < LSPO_OP_KIND_COUNT; i++) {
        cr_assert(name && colour, "kind %d, %s, is missing", i, lspo_op_kinds[i].name);
        cr_expect_str_eq(name, lspo_op_kinds[i].name);
        cr_expect_eq(strtoul(colour, NULL, 16), strtoul(lspo_op_kinds[i].colour + 1, NULL, 16), "%s: %s in the charts",
                     name, colour);
        name = strtok_r(NULL, " ", &next_name);
        colour = strtok_r(NULL, ", ", &next_colour);
    }
    cr_expect(!name && !colour, "the charts have more");
}
