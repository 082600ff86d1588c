/* The cells of a grid: ranges, zip, groups, constraints, options that a policy does not have; compared with loops. */
#include "sweep/grid.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plan/policies/lsp.h"

static const char path[] = "test_sweep_grid.tmp";

/* A language of a few keys: what begins with "n" takes integers, with "q" bytes per second; subspace is lsp's. */
static lspo_status_t find(void *context, const char *what, const char *key, lspo_sweep_key_t *key_out)
{
    (void)context;
    if (strcmp(key, "unknown") == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: there is no key '%s'", what, key);
    *key_out = (lspo_sweep_key_t){.kind = LSPO_SWEEP_TEXT, .meaning = strdup(key)};
    if (key[0] == 'n' || strcmp(key, "subspace") == 0)
        key_out->kind = LSPO_SWEEP_INTEGER;
    if (key[0] == 'q')
        key_out->kind = LSPO_SWEEP_QUANTITY, key_out->unit = LSPO_UNIT_BPS;
    if (strcmp(key, "subspace") == 0)
        key_out->parameter = lspo_lsp_parameters.uses[0].parameter;
    return LSPO_OK;
}

static lspo_status_t check(void *context, const char *what, const lspo_sweep_key_t *key, const char *value,
                           const void **resolved_out)
{
    const lspo_policy_t *policy = NULL;
    double number;
    (void)context;
    if (strcmp(key->meaning, "policy") == 0 && lspo_policy_find(value, &policy) != LSPO_OK)
        return LSPO_ERR_INPUT;
    *resolved_out = policy;
    return key->kind == LSPO_SWEEP_QUANTITY ? lspo_parse_quantity(what, value, key->unit, &number) : LSPO_OK;
}

static const lspo_sweep_language_t language = {.find = find, .check = check};

static lspo_status_t read_text(const char *text, lspo_sweep_grid_t *grid_out)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    lspo_status_t status = lspo_sweep_grid_read(path, &language, NULL, grid_out);
    unlink(path);
    return status;
}

#define HEAD "[all]\nmodel = m\nmachine = h\n"

/* "A B": the values of the cell, in the order of its settings, without model and machine; "": left out. */
static const char *cell_text(const lspo_sweep_grid_t *grid, uint64_t index)
{
    static char text[256];
    lspo_sweep_cell_t cell;
    text[0] = '\0';
    if (!lspo_sweep_grid_cell(grid, index, &cell))
        return text;
    for (uint32_t i = 0; i < cell.setting_count; i++) {
        const lspo_sweep_setting_t *setting = &cell.settings[i];
        if (strcmp(setting->axis->key, "model") == 0 || strcmp(setting->axis->key, "machine") == 0)
            continue;
        strcat(text, text[0] ? " " : "");
        strcat(text, setting->axis->values[setting->value]);
    }
    return text;
}

Test(sweep_grid, cells_are_a_product_whose_first_axis_is_slowest)
{
    static const char *const policies[] = {"zero", "native"}, *const letters[] = {"a", "b c", "d"};
    lspo_sweep_grid_t grid;
    cr_assert_eq(read_text(HEAD "policy = zero native\nn = linear(4, 10, 3)\nword = a \"b c\" d\n", &grid), LSPO_OK);
    cr_assert_eq(grid.cell_count, 18);
    uint64_t index = 0;
    for (int p = 0; p < 2; p++)
        for (int n = 4; n <= 10; n += 3)
            for (int w = 0; w < 3; w++) {
                char expected[64];
                snprintf(expected, sizeof expected, "%s %d %s", policies[p], n, letters[w]);
                cr_expect_str_eq(cell_text(&grid, index++), expected);
            }
    lspo_sweep_grid_release(&grid);
}

Test(sweep_grid, ranges_of_doublings)
{
    lspo_sweep_grid_t grid;
    cr_assert_eq(read_text(HEAD "policy = zero\nq = log2(1GB/s, 8GB/s, 2)\nn = log2(1, 4, 4)\n", &grid), LSPO_OK);
    const lspo_axis_t *q = &grid.axes[3], *n = &grid.axes[4];
    cr_assert_eq(q->count, 7);
    for (uint32_t i = 0; i < q->count; i++) {
        double value;
        cr_assert_eq(lspo_parse_quantity("q", q->values[i], LSPO_UNIT_BPS, &value), LSPO_OK);
        cr_expect_float_eq(value, 1e9 * pow(2, i / 2.0), 1e-3);
    }
    cr_expect_str_eq(q->values[2], "2GB/s");
    /* 1 1.19 1.41 1.68 2 2.38 2.83 3.36 4 */
    cr_assert_eq(n->count, 4);
    for (uint32_t i = 0; i < n->count; i++)
        cr_expect_eq(n->values[i][0], '1' + (char)i);
    lspo_sweep_grid_release(&grid);
}

Test(sweep_grid, zipped_axes_go_side_by_side)
{
    lspo_sweep_grid_t grid;
    cr_assert_eq(read_text(HEAD "policy = zero\nword = a b\nn = 1 2 3\nother = x y\nzip = other word\n", &grid),
                 LSPO_OK);
    static const char *const expected[] = {"zero a x 1", "zero a x 2", "zero a x 3",
                                           "zero b y 1", "zero b y 2", "zero b y 3"};
    cr_assert_eq(grid.cell_count, 6);
    for (uint64_t i = 0; i < 6; i++)
        cr_expect_str_eq(cell_text(&grid, i), expected[i]);
    lspo_sweep_grid_release(&grid);
}

Test(sweep_grid, a_group_replaces_keys_of_all)
{
    lspo_sweep_grid_t grid;
    cr_assert_eq(
        read_text(HEAD "policy = zero native\nword = a\n[one]\nn = 1\n[two]\nword = b c\npolicy = lsp\n", &grid),
        LSPO_OK);
    static const char *const expected[] = {"zero a 1", "native a 1", "b lsp", "c lsp"};
    cr_assert_eq(grid.group_count, 2);
    cr_expect_str_eq(grid.groups[1].name, "two");
    cr_assert_eq(grid.cell_count, 4);
    for (uint64_t i = 0; i < 4; i++)
        cr_expect_str_eq(cell_text(&grid, i), expected[i]);
    lspo_sweep_grid_release(&grid);
}

Test(sweep_grid, options_of_other_policies_do_not_apply)
{
    lspo_sweep_grid_t grid;
    cr_assert_eq(read_text(HEAD "policy = zero lsp\nsubspace = 64 128\n", &grid), LSPO_OK);
    static const char *const expected[] = {"zero", "", "lsp 64", "lsp 128"};
    cr_assert_eq(grid.cell_count, 4);
    for (uint64_t i = 0; i < 4; i++)
        cr_expect_str_eq(cell_text(&grid, i), expected[i]);
    lspo_sweep_grid_release(&grid);
}

Test(sweep_grid, all_policies)
{
    lspo_sweep_grid_t grid;
    cr_assert_eq(read_text(HEAD "policy = all\n", &grid), LSPO_OK);
    cr_assert_eq(grid.cell_count, lspo_policy_count());
    for (uint32_t i = 0; i < lspo_policy_count(); i++)
        cr_expect_str_eq(cell_text(&grid, i), lspo_policy_at(i)->name);
    lspo_sweep_grid_release(&grid);
}

Test(sweep_grid, the_hash_is_that_of_keys_and_values)
{
    lspo_sweep_grid_t a, b, c;
    cr_assert_eq(read_text(HEAD "policy = zero\nn = 1 2\n", &a), LSPO_OK);
    cr_assert_eq(read_text("; a comment\n" HEAD "\npolicy = zero\nn = 1 2   ; another\n", &b), LSPO_OK);
    cr_assert_eq(read_text(HEAD "policy = zero\nn = 1 3\n", &c), LSPO_OK);
    cr_expect_eq(a.hash, b.hash);
    cr_expect_neq(a.hash, c.hash);
    lspo_sweep_grid_release(&a);
    lspo_sweep_grid_release(&b);
    lspo_sweep_grid_release(&c);
}

/* The values of a made-up cell. */
static void value_of(void *cell, const char *name, const lspo_sweep_key_t *key, double *number_out,
                     const char **text_out)
{
    (void)cell;
    cr_expect_str_eq(name, key->meaning);
    if (strcmp(key->meaning, "n3") == 0)
        *number_out = 3;
    else if (strcmp(key->meaning, "q2") == 0)
        *number_out = 2e9;
    else if (strcmp(key->meaning, "word") == 0)
        *text_out = "yes";
}

static bool holds(const char *text)
{
    lspo_where_t *where = NULL;
    const lspo_ini_entry_t entry = {.where = "f:1", .section = "all", .key = "where", .value = text, .note = ""};
    cr_assert_eq(lspo_where_read(&language, &entry, &where), LSPO_OK, "%s", text);
    bool result = lspo_where_holds(where, value_of, NULL);
    lspo_where_destroy(where);
    return result;
}

Test(sweep_grid, constraints)
{
    static const char *const true_ones[] = {
        "n3 < 4",
        "n3 <= 3",
        "n3 > 2",
        "n3 >= 3",
        "n3 = 3",
        "n3 != 4",
        "4 > n3",
        "2 * n3 = 6",
        "n3 * n3 = 9",
        "q2 = 2GB/s",
        "q2 < 2001MB/s",
        "2 * q2 = 4GB/s",
        "word = yes",
        "word != no",
        "n3 < 4 and n3 > 2",
        "nothing < 1 and n3 = 3",
        "n3 > -1",
        "n3 > .5",
        "-1 * n3 = -3",
    };
    static const char *const false_ones[] = {
        "n3 < 3",    "n3 > 3",      "n3 != 3",           "q2 > 2GB/s",
        "word = no", "word != yes", "n3 < 4 and n3 > 3", "n3 > 3 and n3 < 4",
    };
    for (size_t i = 0; i < sizeof true_ones / sizeof true_ones[0]; i++)
        cr_expect(holds(true_ones[i]), "%s", true_ones[i]);
    for (size_t i = 0; i < sizeof false_ones / sizeof false_ones[0]; i++)
        cr_expect(!holds(false_ones[i]), "%s", false_ones[i]);
}

Test(sweep_grid, what_is_wrong_is_refused)
{
    static const char *const wrong[] = {
        "model = m\n",
        "[all]\nmodel = m\nmachine = h\n",
        HEAD "policy = zero\nn =\n",
        HEAD "policy = zero\nn = linear(1)\n",
        HEAD "policy = zero\nn = linear(1, 2, 0)\n",
        HEAD "policy = zero\nn = linear(3, 2)\n",
        HEAD "policy = zero\nn = log2(0, 2)\n",
        HEAD "policy = zero\nn = log2(1, 2, 1001)\n",
        HEAD "policy = zero\nn = linear(1, 2x)\n",
        HEAD "policy = zero\nword = linear(1, 2)\n",
        HEAD "policy = zero\nn = linear(1, 1000001)\n",
        HEAD "policy = zero\nq = linear(1GB/s, 2GB/s, 1e-300GB/s)\n",
        HEAD "policy = zero\nq = linear(1e300B/s, 1.1e300B/s, 1B/s)\n",
        HEAD "policy = zero\nq = log2(1e-300B/s, 1e300B/s, 1001)\n",
        HEAD "policy = zero\nunknown = 1\n",
        HEAD "policy = zero\nzip = n\n",
        HEAD "policy = zero\nn = 1 2\nm = 1 2 3\nzip = n m\n",
        HEAD "policy = zero\n[a]\nn = 1\n[b]\nn = 1\n[a]\nm = 1\n",
        "[a]\nmodel = m\nmachine = h\npolicy = zero\n[all]\nn = 1\n",
        HEAD "policy = zero\nwhere = n <\n",
        HEAD "policy = zero\nwhere = 1 < 2\n",
        HEAD "policy = zero\nwhere = n 3\n",
        HEAD "policy = zero\nwhere = n < 3 or n > 4\n",
        HEAD "policy = zero\nwhere = word < a\n",
        HEAD "policy = zero\nwhere = n = word\n",
        HEAD "policy = zero\nwhere = n > --1\n",
        HEAD "policy = zero\nwhere = policy != lspp\n",
        HEAD "policy = zero\nwhere = 4 = policy\n",
        HEAD "policy = zero\nwhere = word = n and n = word\n",
        HEAD "policy = zero\nn = linear(1, 100000)\nn2 = linear(1, 100000)\n",
    };
    lspo_sweep_grid_t grid;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(read_text(wrong[i], &grid), LSPO_ERR_INPUT, "%s", wrong[i]);
}
