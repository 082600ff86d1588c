/* published_report.c - write predicted published steps as a report, CSV and JSON; see published.h. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_file.h"
#include "base/printable.h"
#include "base/table.h"
#include "validate/published.h"

#define FIELD(kind, unit, field)                                                                                       \
    {                                                                                                                  \
#field, kind, unit, offsetof(lspo_published_row_t, field)                                                      \
    }
#define TEXT(field) FIELD(LSPO_FIELD_TEXT, LSPO_UNIT_NONE, field)
#define INTEGER(field) FIELD(LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, field)
#define REAL(field) FIELD(LSPO_FIELD_REAL, LSPO_UNIT_NONE, field)
#define YES_NO(field) FIELD(LSPO_FIELD_YES_NO, LSPO_UNIT_NONE, field)

static const lspo_field_t row_fields[] = {
    TEXT(id),
    TEXT(source),
    TEXT(address),
    TEXT(kind),
    TEXT(system),
    TEXT(framework),
    TEXT(gpu),
    INTEGER(gpus),
    TEXT(machine),
    TEXT(card),
    TEXT(model),
    INTEGER(batch),
    INTEGER(sequence),
    INTEGER(accumulation),
    TEXT(precision),
    TEXT(checkpointing),
    TEXT(policy),
    TEXT(predicted_policy),
    TEXT(flags),
    REAL(measured_s),
    REAL(predicted_s),
    REAL(error),
    REAL(left_out_s),
    REAL(left_out_error),
    YES_NO(fits),
    REAL(published_peak_gpu_bytes),
    INTEGER(peak_gpu_bytes),
    INTEGER(gpu_tensor_bytes),
    INTEGER(peak_gpu_bound_bytes),
    REAL(peak_error),
    YES_NO(above_bound),
    TEXT(published),
    TEXT(uncertainty),
    TEXT(note),
};

static const char *const grouping_names[LSPO_PUBLISHED_GROUPINGS] = {[LSPO_PUBLISHED_BY_SOURCE] = "source",
                                                                     [LSPO_PUBLISHED_BY_KIND] = "kind",
                                                                     [LSPO_PUBLISHED_BY_FRAMEWORK] = "framework",
                                                                     [LSPO_PUBLISHED_BY_CARD] = "card"};

static lspo_table_t row_table(const lspo_published_t *published)
{
    return (lspo_table_t){row_fields, sizeof row_fields / sizeof row_fields[0], published->rows,
                          sizeof *published->rows, published->row_count};
}

lspo_status_t lspo_published_write_csv(const lspo_published_t *published, FILE *file)
{
    lspo_table_t table = row_table(published);
    return lspo_table_write(&table, LSPO_FORMAT_CSV, file);
}

/* JSON: arrays of records, and an object around them that is written by hand. */

static void put_number(const char *name, double number, FILE *file)
{
    if (isfinite(number))
        fprintf(file, "  \"%s\": %.9g,\n", name, number);
    else
        fprintf(file, "  \"%s\": null,\n", name);
}

static lspo_status_t put_text(const char *name, const char *text, FILE *file)
{
    char valid[1024];
    lspo_valid_utf8(text, valid, sizeof valid);
    json_t *value = json_string(valid);
    char *json = lspo_json_print(value, JSON_ENCODE_ANY);
    json_decref(value);
    if (json == NULL)
        return lspo_no_memory("the result as JSON");
    fprintf(file, "  \"%s\": %s,\n", name, json);
    free(json);
    return LSPO_OK;
}

static void put_order(const char *name, const lspo_published_order_t *order, FILE *file)
{
    char key[64];
    snprintf(key, sizeof key, "%s_pairs", name);
    put_number(key, (double)order->pairs, file);
    snprintf(key, sizeof key, "%s_right", name);
    put_number(key, (double)order->right, file);
    snprintf(key, sizeof key, "%s_tau", name);
    put_number(key, order->tau, file);
}

static lspo_status_t put_scores(const lspo_published_scores_t *scores, FILE *file)
{
    put_number("rows", (double)scores->all.rows, file);
    put_number("mape", scores->all.mape, file);
    put_number("mean_of_sources", scores->mean_of_sources, file);
    put_number("bias", scores->all.bias, file);
    put_number("worst", scores->all.worst, file);
    lspo_status_t status = put_text("worst_id", scores->all.worst_id, file);
    if (status != LSPO_OK)
        return status;
    put_order("order", &scores->policies, file);
    put_order("card", &scores->cards, file);
    put_number("memory_rows", (double)scores->memory_rows, file);
    put_number("memory_mape", scores->memory_mape, file);
    put_number("memory_bias", scores->memory_bias, file);
    put_number("memory_bound_exceeded", (double)scores->memory_bound_exceeded, file);
    return LSPO_OK;
}

static lspo_status_t put_groups(const lspo_published_scores_t *scores, int grouping, FILE *file)
{
    static const lspo_field_t fields[] = {
        {"name", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_published_group_t, name)},
        {"rows", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(lspo_published_group_t, rows)},
        {"mape", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(lspo_published_group_t, mape)},
        {"bias", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(lspo_published_group_t, bias)},
        {"worst", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(lspo_published_group_t, worst)},
        {"worst_id", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_published_group_t, worst_id)},
    };
    lspo_table_t table = {fields, sizeof fields / sizeof fields[0], scores->groups[grouping],
                          sizeof *scores->groups[grouping], scores->group_counts[grouping]};
    fprintf(file, "  \"by_%s\":\n", grouping_names[grouping]);
    lspo_status_t status = lspo_table_write(&table, LSPO_FORMAT_JSON, file);
    fputs(",\n", file);
    return status;
}

/* Sources that were left out. */
static lspo_status_t put_left_out(const lspo_published_scores_t *scores, FILE *file)
{
    static const lspo_field_t fields[] = {
        {"source", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_published_group_t, name)},
        {"rows", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(lspo_published_group_t, rows)},
        {"mape", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(lspo_published_group_t, mape)},
        {"bias", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(lspo_published_group_t, bias)},
    };
    lspo_table_t table = {fields, sizeof fields / sizeof fields[0], scores->groups[LSPO_PUBLISHED_BY_SOURCE],
                          sizeof *scores->groups[LSPO_PUBLISHED_BY_SOURCE],
                          scores->group_counts[LSPO_PUBLISHED_BY_SOURCE]};
    put_number("leave_out_mape", scores->all.mape, file);
    put_number("leave_out_mean_of_sources", scores->mean_of_sources, file);
    fputs("  \"leave_out\":\n", file);
    lspo_status_t status = lspo_table_write(&table, LSPO_FORMAT_JSON, file);
    fputs(",\n", file);
    return status;
}

static lspo_status_t put_values(const lspo_published_result_t *result, FILE *file)
{
    static const lspo_field_t fields[] = {
        {"framework", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_published_value_t, framework)},
        {"key", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_published_value_t, key)},
        {"prior", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(lspo_published_value_t, prior)},
        {"value", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(lspo_published_value_t, value)},
        {"rows", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(lspo_published_value_t, rows)},
    };
    lspo_table_t table = {fields, sizeof fields / sizeof fields[0], result->values, sizeof *result->values,
                          result->value_count};
    fputs("  \"fitted\":\n", file);
    lspo_status_t status = lspo_table_write(&table, LSPO_FORMAT_JSON, file);
    fputs(",\n", file);
    return status;
}

lspo_status_t lspo_published_write_json(const lspo_published_result_t *result, FILE *file)
{
    lspo_table_t table = row_table(result->published);
    fputs("{\n", file);
    lspo_status_t status = put_scores(result->scores, file);
    for (int grouping = 0; grouping < LSPO_PUBLISHED_GROUPINGS && status == LSPO_OK; grouping++)
        status = put_groups(result->scores, grouping, file);
    if (status == LSPO_OK && result->values != NULL)
        status = put_values(result, file);
    if (status == LSPO_OK && result->left_out != NULL)
        status = put_left_out(result->left_out, file);
    if (status != LSPO_OK)
        return status;
    fputs("  \"cells\":\n", file);
    status = lspo_table_write(&table, LSPO_FORMAT_JSON, file);
    fputs("}\n", file);
    return status;
}

/* The report */

/* "+3.1 %".  Returns `buffer`. */
static const char *percent(double fraction, bool with_sign, char buffer[24])
{
    snprintf(buffer, 24, with_sign ? "%+.1f %%" : "%.1f %%", 100 * fraction);
    return buffer;
}

/* A name of the file without control characters.  Returns `buffer`. */
typedef char shown_t[256];
static const char *shown(const char *name, shown_t buffer)
{
    lspo_printable(name[0] != '\0' ? name : "-", buffer, sizeof(shown_t));
    return buffer;
}

static void print_summary(const lspo_published_scores_t *scores, FILE *file)
{
    char mape[24], sources[24], bias[24], worst[24];
    shown_t id;
    fprintf(file,
            "%" PRIu64 " published steps of %u sources: predictions are %s off on average (mean of the sources %s), "
            "bias %s.\nWorst: %s, %s.\n",
            scores->all.rows, scores->group_counts[LSPO_PUBLISHED_BY_SOURCE], percent(scores->all.mape, false, mape),
            percent(scores->mean_of_sources, false, sources), percent(scores->all.bias, true, bias),
            shown(scores->all.worst_id, id), percent(scores->all.worst, true, worst));
}

static void print_order(const char *what, const lspo_published_order_t *order, FILE *file)
{
    if (order->pairs > 0)
        fprintf(file,
                "Order of %s: right in %" PRIu64 " of %" PRIu64 " pairs that differ by more than 10 %%, tau %.2f.\n",
                what, order->right, order->pairs, order->tau);
}

/* Which pairs are not in the measured order. */
static void print_wrong(const lspo_published_t *published, FILE *file)
{
    shown_t first, second;
    for (uint32_t i = 0; i < published->row_count; i++)
        for (uint32_t j = 0; j < published->row_count; j++) {
            const lspo_published_row_t *a = &published->rows[i], *b = &published->rows[j];
            if (a->measured_s < b->measured_s && lspo_published_pair_order(a, b) <= 0 &&
                (lspo_published_is_policy_pair(a, b) || lspo_published_is_card_pair(a, b)))
                fprintf(file, "  not so predicted: %s takes less than %s\n", shown(a->id, first), shown(b->id, second));
        }
}

static void print_groups(const lspo_published_scores_t *scores, int grouping, FILE *file)
{
    const lspo_published_group_t *groups = scores->groups[grouping];
    size_t width = strlen(grouping_names[grouping]);
    shown_t name, id;
    for (uint32_t g = 0; g < scores->group_counts[grouping]; g++)
        width = strlen(shown(groups[g].name, name)) > width ? strlen(name) : width;
    fprintf(file, "\n%-*s %5s %9s %9s %9s  %s\n", (int)width, grouping_names[grouping], "rows", "error", "bias",
            "worst", "worst row");
    for (uint32_t g = 0; g < scores->group_counts[grouping]; g++) {
        char mape[24], bias[24], worst[24];
        fprintf(file, "%-*s %5" PRIu64 " %9s %9s %9s  %s\n", (int)width, shown(groups[g].name, name), groups[g].rows,
                percent(groups[g].mape, false, mape), percent(groups[g].bias, true, bias),
                percent(groups[g].worst, true, worst), shown(groups[g].worst_id, id));
    }
}

static void print_memory(const lspo_published_scores_t *scores, FILE *file)
{
    char mape[24], bias[24];
    if (scores->memory_rows > 0)
        fprintf(file,
                "Peak GPU memory: %s off on average over %" PRIu64 " rows, bias %s; %" PRIu64
                " published peaks are above the predicted bound.\n",
                percent(scores->memory_mape, false, mape), scores->memory_rows,
                percent(scores->memory_bias, true, bias), scores->memory_bound_exceeded);
}

static void print_notes(const lspo_published_t *published, FILE *file)
{
    uint32_t unfit = 0;
    shown_t name;
    for (uint32_t i = 0; i < published->row_count; i++)
        unfit += published->rows[i].fits == 0;
    for (uint32_t p = 0; p < published->profile_count; p++)
        if (strcmp(published->profiles[p].card, "project") == 0)
            fprintf(file, "%s: card of lspo's own %s; host and link of the file.\n",
                    shown(published->profiles[p].name, name), published->profiles[p].machine.name);
    if (unfit > 0)
        fprintf(file, "%u steps do not fit in the predicted memory; their times do not depend on that.\n", unfit);
}

/* Fitted values, and the errors of sources that were left out. */
static void print_values(const lspo_published_result_t *result, FILE *file)
{
    if (result->value_count > 0)
        fprintf(file, "\n%-20s %-20s %10s %10s %5s\n", "framework", "fitted value", "prior", "value", "rows");
    for (uint32_t i = 0; i < result->value_count; i++) {
        const lspo_published_value_t *it = &result->values[i];
        char prior[64], value[64];
        fprintf(file, "%-20s %-20s %10s %10s %5" PRIu64 "\n", it->framework, it->key,
                lspo_format_quantity_exact(it->prior, it->unit, prior, sizeof prior),
                lspo_format_quantity_exact(it->value, it->unit, value, sizeof value), it->rows);
    }
}

static void print_left_out(const lspo_published_scores_t *scores, FILE *file)
{
    const lspo_published_group_t *groups = scores->groups[LSPO_PUBLISHED_BY_SOURCE];
    size_t width = strlen("left out");
    char mape[24], bias[24];
    shown_t name;
    for (uint32_t g = 0; g < scores->group_counts[LSPO_PUBLISHED_BY_SOURCE]; g++)
        width = strlen(shown(groups[g].name, name)) > width ? strlen(name) : width;
    fprintf(file, "\n%-*s %5s %9s %9s\n", (int)width, "left out", "rows", "error", "bias");
    for (uint32_t g = 0; g < scores->group_counts[LSPO_PUBLISHED_BY_SOURCE]; g++)
        fprintf(file, "%-*s %5" PRIu64 " %9s %9s\n", (int)width, shown(groups[g].name, name), groups[g].rows,
                percent(groups[g].mape, false, mape), percent(groups[g].bias, true, bias));
    fprintf(file, "Fitted without their own source, predictions are %s off on average (mean of the sources %s).\n",
            percent(scores->all.mape, false, mape), percent(scores->mean_of_sources, false, bias));
}

void lspo_published_write_report(const lspo_published_result_t *result, FILE *file)
{
    print_summary(result->scores, file);
    print_order("policies", &result->scores->policies, file);
    print_order("cards", &result->scores->cards, file);
    print_wrong(result->published, file);
    print_memory(result->scores, file);
    print_notes(result->published, file);
    for (int grouping = 0; grouping < LSPO_PUBLISHED_GROUPINGS; grouping++)
        print_groups(result->scores, grouping, file);
    print_values(result, file);
    if (result->left_out != NULL)
        print_left_out(result->left_out, file);
}
