/* No field of a workload or a model, and no flag of the command line, is missing from the tables that say what a
 * resumed training must not change. */
#include <criterion/criterion.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "ask/request.h"
#include "base/texts.h"
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

typedef struct {
    size_t offset_bytes, bytes;
} extent_t;

static int by_offset(const void *left, const void *right)
{
    const extent_t *a = left, *b = right;
    return (a->offset_bytes > b->offset_bytes) - (a->offset_bytes < b->offset_bytes);
}

/* The fields leave no more room than the next one's alignment takes. */
static void check_covered(extent_t *extents, size_t count, size_t first, size_t bytes)
{
    size_t end = first;
    qsort(extents, count, sizeof *extents, by_offset);
    for (size_t i = 0; i < count; i++) {
        size_t size = extents[i].bytes;
        cr_expect_eq(extents[i].offset_bytes, (end + size - 1) / size * size, "something is missing after byte %zu",
                     end);
        end = extents[i].offset_bytes + size;
    }
    cr_expect_lt(bytes - end, sizeof(double), "something is missing at the end");
}

static size_t add_fields(const lspo_record_field_t *fields, size_t count, extent_t *extents)
{
    for (size_t i = 0; i < count; i++)
        extents[i] = (extent_t){fields[i].offset_bytes, lspo_record_bytes(fields[i].kind)};
    return count;
}

Test(settings, every_field_is_in_a_table)
{
    extent_t extents[128];
    size_t count = add_fields(lspo_workload_fields, lspo_workload_field_count, extents);
    check_covered(extents, count, 0, offsetof(lspo_workload_t, values));
    cr_expect_eq(offsetof(lspo_workload_t, values) + sizeof(lspo_values_t), sizeof(lspo_workload_t));
    count = add_fields(lspo_model_fields, lspo_model_field_count, extents);
    check_covered(extents, count, offsetof(lspo_model_t, family), sizeof(lspo_model_t));
}

/* Of each policy's struct, too; and the structs of two policies do not overlap. */
Test(settings, every_value_of_a_policy_is_in_its_table)
{
    lspo_workload_t workload;
    extent_t blocks[64];
    size_t block_count = 0;
    for (uint32_t p = 0; p < lspo_policy_count(); p++) {
        const lspo_parameters_t *own = lspo_policy_at(p)->parameters;
        extent_t extents[64];
        for (size_t i = 0; own != NULL && i < own->count; i++) {
            const lspo_record_field_t field = {.kind = own->uses[i].parameter->kind};
            extents[i] = (extent_t){own->uses[i].offset_bytes, lspo_record_bytes(field.kind)};
        }
        if (own == NULL)
            continue;
        check_covered(extents, own->count, 0, own->block_bytes);
        size_t at = (size_t)((const unsigned char *)lspo_values_of(&workload, own) - workload.values.bytes);
        bool known = false;
        for (size_t i = 0; i < block_count; i++)
            known |= blocks[i].offset_bytes == at;
        if (!known)
            blocks[block_count++] = (extent_t){at, own->block_bytes};
    }
    qsort(blocks, block_count, sizeof *blocks, by_offset);
    for (size_t i = 1; i < block_count; i++)
        cr_expect_geq(blocks[i].offset_bytes, blocks[i - 1].offset_bytes + blocks[i - 1].bytes);
    cr_expect_gt(block_count, 6);
    cr_expect_leq(blocks[block_count - 1].offset_bytes + blocks[block_count - 1].bytes, LSPO_VALUES_BYTES);
}

/* What the policies call by one name is one parameter, and what text is written of a value is read back to it. */
Test(settings, each_parameter_is_declared_once_and_its_text_is_its_value)
{
    const lspo_parameter_t *parameter;
    size_t count = 0;
    for (; (parameter = lspo_policies_parameter(count)) != NULL; count++) {
        char text[64];
        double value = parameter->kind == LSPO_RECORD_NAMED  ? 1
                       : parameter->kind == LSPO_RECORD_REAL ? fmax(parameter->low, 0.1 + 0x1p-56)
                                                             : 7;
        uint64_t slot = 0, again = 0;
        uint32_t number = 0;
        cr_assert_eq(lspo_text_number("a text", &number), LSPO_OK);
        if (parameter->kind == LSPO_RECORD_TEXT)
            value = number;
        for (uint32_t p = 0; p < lspo_policy_count(); p++) {
            const lspo_parameter_use_t *use = lspo_policy_use(lspo_policy_at(p), parameter);
            cr_expect(use == NULL || use->parameter == parameter, "two parameters are called %s", parameter->key);
        }
        lspo_parameter_store(parameter, value, &slot);
        lspo_parameter_format(parameter, &slot, text, sizeof text);
        cr_assert_eq(lspo_parameter_parse(parameter, parameter->key, text, &again), LSPO_OK, "%s", parameter->key);
        cr_expect_eq(slot, again, "--%s %s", parameter->key, text);
    }
    cr_expect_gt(count, 15);
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
    workload.seed = UINT64_MAX;
    lspo_record_format(find("seed"), &workload, text, sizeof text);
    cr_expect_str_eq(text, "18446744073709551615");
    lspo_record_format(find("loss-scale"), &workload, text, sizeof text);
    cr_expect_str_eq(text, "auto");
}
