/* No field of a workload or a model, and no flag of the command line, is missing from the tables that say what a resumed
 * training must not change. */
#include <criterion/criterion.h>
#include <stddef.h>
#include <string.h>

#include "cli/request.h"
#include "plan/record.h"

static const lspo_record_field_t *find(const char *name)
{
    for (size_t i = 0; i < lspo_workload_field_count; i++)
        if (strcmp(lspo_workload_fields[i].name, name) == 0)
            return &lspo_workload_fields[i];
    return NULL;
}

Test(settings, every_flag_of_the_workload_is_a_field_of_the_table)
{
    for (size_t i = 0; i < lspo_workload_group.count; i++) {
        const lspo_arg_t *arg = &lspo_workload_group.args[i];
        const lspo_record_field_t *field = find(arg->name);
        cr_assert_not_null(field, "--%s is not in lspo_workload_fields", arg->name);
        cr_expect_eq(arg->offset_bytes, offsetof(lspo_request_t, workload) + field->offset_bytes,
                     "--%s and lspo_workload_fields mean different fields", arg->name);
    }
}

/* The fields in the order of the struct leave no more room than the next one's alignment takes. */
static void check_covered(const lspo_record_field_t *fields, size_t count, size_t first, size_t bytes)
{
    size_t end = first;
    for (size_t i = 0; i < count; i++) {
        size_t size = lspo_record_field_bytes(&fields[i]);
        cr_expect_eq(fields[i].offset_bytes, (end + size - 1) / size * size, "something is missing before %s",
                     fields[i].name);
        end = fields[i].offset_bytes + size;
    }
    cr_expect_lt(bytes - end, sizeof(double), "something is missing at the end");
}

Test(settings, every_field_is_in_the_table)
{
    check_covered(lspo_workload_fields, lspo_workload_field_count, 0, sizeof(lspo_workload_t));
    check_covered(lspo_model_fields, lspo_model_field_count, offsetof(lspo_model_t, family), sizeof(lspo_model_t));
}

/* Two values of a field never have the same text. */
Test(settings, values_are_told_apart)
{
    lspo_workload_t workload;
    char text[64], other[64];
    lspo_workload_default(&workload);
    workload.learning_rate = 0.1;
    lspo_record_format(find("learning-rate"), &workload, text, sizeof text);
    workload.learning_rate = 0.1 + 0x1p-56;
    lspo_record_format(find("learning-rate"), &workload, other, sizeof other);
    cr_expect_str_neq(text, other);
    lspo_record_format(find("precision"), &workload, text, sizeof text);
    cr_expect_str_eq(text, "fp16");
    lspo_record_format(find("transition"), &workload, text, sizeof text);
    cr_expect_str_eq(text, "-1");
    workload.seed = UINT64_MAX;
    lspo_record_format(find("seed"), &workload, text, sizeof text);
    cr_expect_str_eq(text, "18446744073709551615");
    lspo_record_format(find("loss-scale"), &workload, text, sizeof text);
    cr_expect_str_eq(text, "auto");
}
