/* products.c - the speed of matrix products by shape; see products.h. */
#include "plan/products.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double size_high = 1e9, share_high = 4.0;

/* The two sizes between which `value` lies: the index of the lower one, and the relative position, 0..1. */
static uint32_t locate(const lspo_products_t *products, double value, double *fraction_out)
{
    const double *sizes = products->sizes;
    uint32_t last = products->size_count - 1, low = 0;
    *fraction_out = 0.0;
    if (value <= sizes[0] || last == 0)
        return 0;
    if (value >= sizes[last])
        return last;
    while (value >= sizes[low + 1])
        low++;
    *fraction_out = log(value / sizes[low]) / log(sizes[low + 1] / sizes[low]);
    return low;
}

double lspo_products_share(const lspo_products_t *products, lspo_layout_t layout, double m, double n, double k)
{
    const double values[3] = {m, n, k};
    uint32_t low[3];
    double fraction[3], log_share = 0.0;
    for (int i = 0; i < 3; i++)
        low[i] = locate(products, values[i], &fraction[i]);
    for (uint32_t corner = 0; corner < 8; corner++) {
        double weight = 1.0;
        uint32_t at[3];
        for (int i = 0; i < 3; i++) {
            uint32_t high = corner >> i & 1;
            at[i] = low[i] + (fraction[i] > 0.0 ? high : 0);
            weight *= high ? fraction[i] : 1.0 - fraction[i];
        }
        if (weight > 0.0)
            log_share += weight * log2(products->share[layout][at[0]][at[1]][at[2]]);
    }
    return exp2(log_share);
}

/* Up to LSPO_PRODUCT_SIZES_MAX numbers, each in (0, high]. */
static lspo_status_t take_numbers(const char *what, const char *text, double high, double *numbers, uint32_t *count_out)
{
    uint32_t count = 0;
    for (const char *at = text + strspn(text, " \t"); *at != '\0'; at += strspn(at, " \t")) {
        char *end;
        double number = strtod(at, &end);
        if (end == at || !(number > 0.0 && number <= high) || (*end != '\0' && *end != ' ' && *end != '\t'))
            return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not a list of numbers above 0, at most %g", what, text,
                              high);
        if (count == LSPO_PRODUCT_SIZES_MAX)
            return lspo_error(LSPO_ERR_INPUT, "%s: more than %d numbers", what, LSPO_PRODUCT_SIZES_MAX);
        numbers[count++] = number;
        at = end;
    }
    *count_out = count;
    return LSPO_OK;
}

static lspo_status_t take_sizes(const char *what, const char *value, lspo_products_t *products)
{
    lspo_products_t grid = {0};
    lspo_status_t status = take_numbers(what, value, size_high, grid.sizes, &grid.size_count);
    if (status != LSPO_OK)
        return status;
    if (grid.size_count == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: needs at least one size", what);
    for (uint32_t i = 1; i < grid.size_count; i++)
        if (grid.sizes[i] <= grid.sizes[i - 1])
            return lspo_error(LSPO_ERR_INPUT, "%s: %g comes after %g, but sizes must ascend", what, grid.sizes[i],
                              grid.sizes[i - 1]);
    *products = grid;
    return LSPO_OK;
}

/* The index of a size; size_count when it is none of them. */
static uint32_t size_index(const lspo_products_t *products, double size)
{
    uint32_t i = 0;
    while (i < products->size_count && products->sizes[i] != size)
        i++;
    return i;
}

/* The layout that a row's key begins with; LSPO_LAYOUT_COUNT when it is none. */
static int take_layout(const char *key)
{
    int layout = 0;
    while (layout < LSPO_LAYOUT_COUNT &&
           !(strncmp(key, lspo_layout_name((lspo_layout_t)layout), 2) == 0 && key[2] == '_'))
        layout++;
    return layout;
}

lspo_status_t lspo_products_take(const char *what, const char *key, const char *value, lspo_products_t *products)
{
    double m, n, shares[LSPO_PRODUCT_SIZES_MAX] = {0};
    uint32_t count = 0;
    int length = 0;
    if (strcmp(key, "sizes") == 0)
        return take_sizes(what, value, products);
    int layout = take_layout(key);
    if (layout == LSPO_LAYOUT_COUNT || sscanf(key + 3, "m%lf_n%lf%n", &m, &n, &length) != 2 || key[3 + length] != '\0')
        return lspo_error(LSPO_ERR_INPUT, "%s: unknown key; [products] has sizes and then rows such as nn_m16_n64",
                          what);
    uint32_t row = size_index(products, m), column = size_index(products, n);
    if (row == products->size_count || column == products->size_count)
        return lspo_error(LSPO_ERR_INPUT, "%s: its sizes must first be listed in [products] sizes", what);
    lspo_status_t status = take_numbers(what, value, share_high, shares, &count);
    if (status != LSPO_OK)
        return status;
    if (count != products->size_count)
        return lspo_error(LSPO_ERR_INPUT, "%s: there are %u numbers for %u sizes", what, count, products->size_count);
    if (products->share[layout][row][column][0] > 0.0)
        return lspo_error(LSPO_ERR_INPUT, "%s: given twice", what);
    memcpy(products->share[layout][row][column], shares, sizeof shares);
    return LSPO_OK;
}

static lspo_status_t check_shares(const char *what, const lspo_products_t *products, lspo_layout_t layout)
{
    for (uint32_t i = 0; i < products->size_count; i++)
        for (uint32_t j = 0; j < products->size_count; j++)
            for (uint32_t k = 0; k < products->size_count; k++) {
                double share = products->share[layout][i][j][k];
                if (!(share > 0.0 && share <= share_high))
                    return lspo_error(LSPO_ERR_INPUT, "%s: [products] %s_m%g_n%g: %g is outside 0..%g, or missing",
                                      what, lspo_layout_name(layout), products->sizes[i], products->sizes[j], share,
                                      share_high);
            }
    return LSPO_OK;
}

lspo_status_t lspo_products_check(const char *what, const lspo_products_t *products)
{
    if (products->size_count > LSPO_PRODUCT_SIZES_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: [products] has %u sizes; at most %d", what, products->size_count,
                          LSPO_PRODUCT_SIZES_MAX);
    for (uint32_t i = 0; i < products->size_count; i++)
        if (!(products->sizes[i] > (i > 0 ? products->sizes[i - 1] : 0.0) && products->sizes[i] <= size_high))
            return lspo_error(LSPO_ERR_INPUT, "%s: [products] sizes: %g is not above the one before it, up to %g", what,
                              products->sizes[i], size_high);
    for (int layout = 0; layout < LSPO_LAYOUT_COUNT; layout++) {
        lspo_status_t status = check_shares(what, products, (lspo_layout_t)layout);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static void write_row(const double *numbers, uint32_t count, FILE *file)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[32];
        int digits = 3; /* the fewest that read back to the same number */
        do
            snprintf(text, sizeof text, "%.*g", digits, numbers[i]);
        while (strtod(text, NULL) != numbers[i] && ++digits <= 17);
        fprintf(file, " %s", text);
    }
    fputc('\n', file);
}

void lspo_products_write(const lspo_products_t *products, FILE *file)
{
    if (products->size_count == 0)
        return;
    fputs("\n[products]\nsizes =", file);
    write_row(products->sizes, products->size_count, file);
    for (int layout = 0; layout < LSPO_LAYOUT_COUNT; layout++)
        for (uint32_t m = 0; m < products->size_count; m++)
            for (uint32_t n = 0; n < products->size_count; n++) {
                fprintf(file, "%s_m%.17g_n%.17g =", lspo_layout_name((lspo_layout_t)layout), products->sizes[m],
                        products->sizes[n]);
                write_row(products->share[layout][m][n], products->size_count, file);
            }
}
