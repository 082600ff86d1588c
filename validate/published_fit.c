/* published_fit.c - see published_fit.h. */
#include "validate/published_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/printable.h"
#include "plan/presets.h"
#include "validate/framework_values.h"
#include "validate/published_points.h"

/* Steps are powers of 2^(1/STEPS): the first doubles a value, the last changes it by 1 %. */
enum { STEPS = 64, ROWS_LEAST = 2, LINE_MAX = 116, WORD_BYTES = 100 };
static const double pull = 0.2, range_factor = 10, depends_least = 0.001, weight_high = 0.5;

/* Values of all frameworks, by framework and knob. */
typedef struct {
    double values[LSPO_FRAMEWORK_FITTED_MAX];
    uint64_t rows[LSPO_FRAMEWORK_FITTED_MAX]; /* of own knobs: rows that depend on them */
} solution_t;

struct lspo_published_fit {
    const lspo_published_options_t *options;
    lspo_published_t *published;
    lspo_workers_t *workers;
    lspo_published_framework_t *frameworks; /* those of the rows that are built in, each once */
    uint32_t framework_count;
    solution_t *all; /* by framework: the fit to all rows; NULL: not yet */
    lspo_published_value_t *values;
    uint32_t value_count;
    uint32_t done, of; /* searches, for the progress */
};

/* Frameworks */

static uint32_t find_framework(const lspo_published_fit_t *fit, const char *name)
{
    uint32_t f = 0;
    while (f < fit->framework_count && strcmp(fit->frameworks[f].file.name, name) != 0)
        f++;
    return f;
}

static lspo_status_t add_case(lspo_published_fit_t *fit, const lspo_published_row_t *row)
{
    if (lspo_preset_find("frameworks", row->framework) == NULL)
        return LSPO_OK;
    uint32_t f = find_framework(fit, row->framework);
    lspo_published_framework_t *framework = &fit->frameworks[f];
    lspo_status_t status = LSPO_OK;
    if (f == fit->framework_count) {
        framework->cases = calloc(fit->published->row_count, sizeof *framework->cases);
        if (framework->cases == NULL)
            return lspo_no_memory("the rows of %s", row->framework);
        fit->framework_count++;
        status = lspo_framework_file_read(row->framework, &framework->file);
    }
    if (status != LSPO_OK)
        return status;
    status = lspo_published_case_create(fit->published, fit->options, row, &framework->cases[framework->case_count]);
    framework->case_count += status == LSPO_OK;
    return status;
}

/* Add the fitted values of `file`, a base, that no file above it gives. */
static void take_knobs(const lspo_published_fit_t *fit, const lspo_framework_file_t *file, const bool *given,
                       lspo_published_framework_t *framework)
{
    uint32_t owner = find_framework(fit, file->name);
    for (uint32_t k = 0; k < file->fitted_count && owner < fit->framework_count; k++) {
        size_t field = file->fitted[k].field;
        if (given[field] || framework->knob_count == LSPO_FRAMEWORK_FITTED_MAX)
            continue;
        framework->knobs[framework->knob_count++] =
            (lspo_published_knob_t){.field = field, .prior = file->fitted[k].prior, .framework = owner, .key = k};
    }
}

/* The framework's own values and those of its bases. */
static lspo_status_t find_knobs(const lspo_published_fit_t *fit, lspo_published_framework_t *framework)
{
    bool given[LSPO_MACHINE_FIELDS_MAX] = {false};
    lspo_machine_t builtin = {0};
    lspo_framework_file_t file = framework->file;
    lspo_status_t status = lspo_machine_use_framework(&builtin, file.name);
    if (status != LSPO_OK)
        return status;
    while (true) {
        take_knobs(fit, &file, given, framework);
        for (size_t i = 0; i < lspo_machine_field_count; i++)
            given[i] = given[i] || file.has_field[i];
        if (file.base[0] == '\0')
            break;
        char base[LSPO_NAME_BYTES];
        memcpy(base, file.base, sizeof base);
        status = lspo_framework_file_read(base, &file);
        if (status != LSPO_OK)
            return status;
        framework->depth++;
    }
    for (uint32_t k = 0; k < framework->knob_count; k++)
        framework->knobs[k].builtin = lspo_machine_value(&builtin, &lspo_machine_fields[framework->knobs[k].field]);
    return LSPO_OK;
}

lspo_status_t lspo_published_fit_create(const lspo_published_options_t *options, lspo_published_t *published,
                                        lspo_published_fit_t **fit_out)
{
    lspo_published_fit_t *fit = calloc(1, sizeof *fit);
    if (fit == NULL)
        return lspo_no_memory("a fit");
    *fit = (lspo_published_fit_t){.options = options, .published = published};
    lspo_status_t status = LSPO_OK;
    fit->frameworks = calloc(published->row_count, sizeof *fit->frameworks);
    if (fit->frameworks == NULL) {
        status = lspo_no_memory("frameworks");
        goto failed;
    }
    status = lspo_workers_create(options->threads, NULL, &fit->workers);
    if (status != LSPO_OK)
        goto failed;
    for (uint32_t i = 0; i < published->row_count && status == LSPO_OK; i++)
        status = add_case(fit, &published->rows[i]);
    for (uint32_t f = 0; f < fit->framework_count && status == LSPO_OK; f++)
        status = find_knobs(fit, &fit->frameworks[f]);
    if (status != LSPO_OK)
        goto failed;
    *fit_out = fit;
    return LSPO_OK;
failed:
    lspo_published_fit_destroy(fit);
    return status;
}

void lspo_published_fit_destroy(lspo_published_fit_t *fit)
{
    if (fit == NULL)
        return;
    for (uint32_t f = 0; f < fit->framework_count; f++)
        lspo_published_framework_release(&fit->frameworks[f]);
    if (fit->workers != NULL)
        lspo_workers_destroy(fit->workers);
    free(fit->frameworks);
    free(fit->all);
    free(fit->values);
    free(fit);
}

/* Search */

/* One framework without the rows of the source of `excluded` (NULL: with all). */
typedef struct {
    lspo_published_fit_t *fit;
    lspo_published_framework_t *framework;
    const lspo_published_row_t *excluded;
    bool varied[LSPO_FRAMEWORK_FITTED_MAX]; /* by knob */
    int steps[LSPO_FRAMEWORK_FITTED_MAX];   /* value = prior 2^(steps / STEPS) */
    double values[LSPO_FRAMEWORK_FITTED_MAX], best;
    uint32_t sources; /* of the used rows */
} search_t;

static bool is_used(const search_t *search, const lspo_published_row_t *row)
{
    return search->excluded == NULL || !lspo_published_is_same_source(row, search->excluded);
}

/* What is minimised. */
static lspo_status_t score(const search_t *search, const double *values, double *score_out)
{
    const lspo_published_framework_t *framework = search->framework;
    const double *predicted_s;
    double sum = 0, weights = 0, pulls = 0;
    lspo_status_t status = lspo_published_point(search->framework, values, search->fit->workers, &predicted_s);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < framework->case_count; i++) {
        const lspo_published_row_t *row = framework->cases[i].row;
        bool high = row->uncertainty != NULL && strcmp(row->uncertainty, "high") == 0;
        double weight = is_used(search, row) ? (high ? weight_high : 1) : 0;
        weights += weight;
        sum += weight > 0 ? weight * fabs(log(predicted_s[i] / row->measured_s)) : 0;
    }
    for (uint32_t k = 0; k < framework->file.fitted_count; k++)
        pulls += pow(log(values[k] / framework->knobs[k].prior), 2);
    *score_out = sum / weights + pull * pulls / search->sources;
    return LSPO_OK;
}

/* The value after this many steps, of three digits; 0: out of range. */
static double value_at(const lspo_published_knob_t *knob, int steps)
{
    const lspo_machine_field_t *field = &lspo_machine_fields[knob->field];
    size_t length = strlen(field->key);
    bool share = length > 6 && strcmp(field->key + length - 6, "_share") == 0;
    double low = fmax(field->low, knob->prior / range_factor);
    double high = fmin(share ? fmin(field->high, 1) : field->high, knob->prior * range_factor);
    char digits[32];
    if (steps == 0)
        return knob->prior;
    snprintf(digits, sizeof digits, "%.2e", knob->prior * exp2((double)steps / STEPS));
    double value = strtod(digits, NULL);
    return value >= low && value <= high ? value : 0;
}

/* Move knob `k` by so many steps if that is better. */
static lspo_status_t try_step(search_t *search, uint32_t k, int steps, bool *moved)
{
    double values[LSPO_FRAMEWORK_FITTED_MAX], now = 0;
    memcpy(values, search->values, sizeof values);
    values[k] = value_at(&search->framework->knobs[k], search->steps[k] + steps);
    if (!(values[k] > 0))
        return LSPO_OK;
    lspo_status_t status = score(search, values, &now);
    if (status != LSPO_OK || !(now < search->best - 1e-12))
        return status;
    memcpy(search->values, values, sizeof values);
    search->steps[k] += steps;
    search->best = now;
    *moved = true;
    return LSPO_OK;
}

/* Try all knobs, up and down. */
static lspo_status_t try_all(search_t *search, int step, bool *moved)
{
    for (uint32_t k = 0; k < search->framework->file.fitted_count; k++) {
        if (!search->varied[k])
            continue;
        lspo_status_t status = try_step(search, k, step, moved);
        if (status != LSPO_OK)
            return status;
        status = try_step(search, k, -step, moved);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t descend(search_t *search)
{
    lspo_status_t status = score(search, search->values, &search->best);
    for (int step = STEPS; step > 0 && status == LSPO_OK; step /= 2) {
        bool moved = true;
        while (moved && status == LSPO_OK) {
            moved = false;
            status = try_all(search, step, &moved);
        }
    }
    return status;
}

/* How many used rows change when knob `k` is doubled, or halved if twice its prior is out of range? */
static lspo_status_t count_dependent(const search_t *search, uint32_t k, uint64_t *rows_out)
{
    const lspo_published_framework_t *framework = search->framework;
    const double *before, *after;
    double values[LSPO_FRAMEWORK_FITTED_MAX];
    memcpy(values, search->values, sizeof values);
    values[k] = value_at(&framework->knobs[k], STEPS);
    if (!(values[k] > 0))
        values[k] = value_at(&framework->knobs[k], -STEPS);
    *rows_out = 0;
    if (!(values[k] > 0))
        return LSPO_OK;
    lspo_status_t status = lspo_published_point(search->framework, search->values, search->fit->workers, &before);
    if (status != LSPO_OK)
        return status;
    status = lspo_published_point(search->framework, values, search->fit->workers, &after);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < framework->case_count; i++)
        *rows_out += is_used(search, framework->cases[i].row) && fabs(log(after[i] / before[i])) > depends_least;
    return LSPO_OK;
}

static uint32_t count_sources(const search_t *search)
{
    const lspo_published_framework_t *framework = search->framework;
    uint32_t sources = 0;
    for (uint32_t i = 0; i < framework->case_count; i++) {
        uint32_t first = 0;
        while (!lspo_published_is_same_source(framework->cases[first].row, framework->cases[i].row))
            first++;
        sources += first == i && is_used(search, framework->cases[i].row);
    }
    return sources;
}

/* Fit one framework; its bases have been. */
static lspo_status_t fit_one(search_t *search, solution_t *solutions)
{
    const lspo_published_framework_t *framework = search->framework;
    solution_t *own = &solutions[framework - search->fit->frameworks];
    bool any = false;
    search->sources = count_sources(search);
    for (uint32_t k = 0; k < framework->knob_count; k++) {
        const lspo_published_knob_t *knob = &framework->knobs[k];
        search->values[k] =
            k < framework->file.fitted_count ? knob->prior : solutions[knob->framework].values[knob->key];
    }
    for (uint32_t k = 0; k < framework->file.fitted_count; k++) {
        lspo_status_t status = count_dependent(search, k, &own->rows[k]);
        if (status != LSPO_OK)
            return status;
        search->varied[k] = own->rows[k] >= ROWS_LEAST;
        any = any || search->varied[k];
    }
    lspo_status_t status = any ? descend(search) : LSPO_OK;
    if (status == LSPO_OK)
        memcpy(own->values, search->values, sizeof own->values);
    return status;
}

/* Fit all frameworks, bases first. */
static lspo_status_t solve(lspo_published_fit_t *fit, const char *label, const lspo_published_row_t *excluded,
                           solution_t *solutions)
{
    uint32_t left = fit->framework_count;
    for (uint32_t depth = 0; left > 0; depth++)
        for (uint32_t f = 0; f < fit->framework_count; f++) {
            if (fit->frameworks[f].depth != depth)
                continue;
            search_t search = {.fit = fit, .framework = &fit->frameworks[f], .excluded = excluded};
            lspo_status_t status = fit_one(&search, solutions);
            if (status != LSPO_OK)
                return status;
            left--;
            fit->options->progress(fit->options->progress_context, label, ++fit->done, fit->of);
        }
    return LSPO_OK;
}

static solution_t *new_solutions(const lspo_published_fit_t *fit)
{
    return calloc(fit->framework_count + 1, sizeof(solution_t));
}

/* Results */

static lspo_status_t keep_values(lspo_published_fit_t *fit)
{
    fit->values = calloc((size_t)fit->framework_count * LSPO_FRAMEWORK_FITTED_MAX + 1, sizeof *fit->values);
    if (fit->values == NULL)
        return lspo_no_memory("fitted values");
    for (uint32_t f = 0; f < fit->framework_count; f++) {
        const lspo_published_framework_t *framework = &fit->frameworks[f];
        for (uint32_t k = 0; k < framework->file.fitted_count; k++) {
            const lspo_machine_field_t *field = &lspo_machine_fields[framework->knobs[k].field];
            fit->values[fit->value_count++] = (lspo_published_value_t){.framework = framework->file.name,
                                                                       .key = field->key,
                                                                       .unit = field->unit,
                                                                       .prior = framework->knobs[k].prior,
                                                                       .value = fit->all[f].values[k],
                                                                       .rows = fit->all[f].rows[k]};
        }
    }
    return LSPO_OK;
}

uint32_t lspo_published_fit_values(const lspo_published_fit_t *fit, const lspo_published_value_t **values_out)
{
    *values_out = fit->values;
    return fit->value_count;
}

/* The row of a case, to write its results. */
static lspo_published_row_t *row_of(const lspo_published_fit_t *fit, const lspo_published_case_t *it)
{
    return &fit->published->rows[it->row - fit->published->rows];
}

lspo_status_t lspo_published_fit(lspo_published_fit_t *fit)
{
    fit->all = new_solutions(fit);
    if (fit->all == NULL)
        return lspo_no_memory("a fit");
    fit->done = 0;
    fit->of = fit->framework_count;
    lspo_status_t status = solve(fit, "fitting", NULL, fit->all);
    for (uint32_t f = 0; f < fit->framework_count && status == LSPO_OK; f++) {
        lspo_published_framework_t *framework = &fit->frameworks[f];
        const double *predicted_s;
        status = lspo_published_point(framework, fit->all[f].values, fit->workers, &predicted_s);
        for (uint32_t i = 0; i < framework->case_count && status == LSPO_OK; i++) {
            lspo_published_row_t *row = row_of(fit, &framework->cases[i]);
            row->predicted_s = predicted_s[i];
            row->error = row->predicted_s / row->measured_s - 1;
        }
    }
    return status != LSPO_OK ? status : keep_values(fit);
}

/* Is it the first row of its source? */
static bool is_first(const lspo_published_t *published, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (lspo_published_is_same_source(&published->rows[i], &published->rows[index]))
            return false;
    return true;
}

/* Predict the rows of the source of `first` by values that were fitted to all others. */
static lspo_status_t leave_out(lspo_published_fit_t *fit, const lspo_published_row_t *first, solution_t *solutions)
{
    lspo_status_t status = solve(fit, "leaving out", first, solutions);
    for (uint32_t f = 0; f < fit->framework_count && status == LSPO_OK; f++) {
        lspo_published_framework_t *framework = &fit->frameworks[f];
        const double *predicted_s;
        status = lspo_published_point(framework, solutions[f].values, fit->workers, &predicted_s);
        for (uint32_t i = 0; i < framework->case_count && status == LSPO_OK; i++) {
            lspo_published_row_t *row = row_of(fit, &framework->cases[i]);
            if (lspo_published_is_same_source(row, first))
                row->left_out_s = predicted_s[i];
        }
    }
    return status;
}

lspo_status_t lspo_published_leave_out(lspo_published_fit_t *fit)
{
    lspo_published_t *published = fit->published;
    solution_t *solutions = new_solutions(fit);
    lspo_status_t status = solutions != NULL ? LSPO_OK : lspo_no_memory("fits");
    fit->done = fit->of = 0;
    for (uint32_t i = 0; i < published->row_count; i++) {
        published->rows[i].left_out_s = NAN;
        fit->of += fit->framework_count * is_first(published, i);
    }
    for (uint32_t i = 0; i < published->row_count && status == LSPO_OK; i++)
        if (is_first(published, i))
            status = leave_out(fit, &published->rows[i], solutions);
    for (uint32_t i = 0; i < published->row_count; i++) {
        lspo_published_row_t *row = &published->rows[i];
        if (isnan(row->left_out_s)) /* of a framework that is not fitted */
            row->left_out_s = row->predicted_s;
        row->left_out_error = row->left_out_s / row->measured_s - 1;
    }
    free(solutions);
    return status;
}

/* Files */

/* Add a word, on a new line if this one is full. */
static lspo_status_t add_word(const char *word, size_t *column, lspo_buffer_t *buffer)
{
    size_t length = strlen(word);
    bool breaks = *column + 1 + length > LINE_MAX;
    lspo_status_t status = lspo_buffer_append(buffer, breaks ? "\n  " : " ", breaks ? 3 : 1);
    *column = (breaks ? 2 : *column + 1) + length;
    return status != LSPO_OK ? status : lspo_buffer_append(buffer, word, length);
}

/* The rows of the source of `first`: "SOURCE: all 24 rows", or their ids. */
static lspo_status_t describe_source(const lspo_published_fit_t *fit, const lspo_published_framework_t *framework,
                                     const lspo_published_row_t *first, lspo_buffer_t *buffer)
{
    char word[WORD_BYTES];
    uint32_t own = 0, rows = 0;
    for (uint32_t i = 0; i < framework->case_count; i++)
        own += lspo_published_is_same_source(framework->cases[i].row, first);
    for (uint32_t i = 0; i < fit->published->row_count; i++)
        rows += lspo_published_is_same_source(&fit->published->rows[i], first);
    lspo_printable(first->source, word, sizeof word - 1);
    size_t column = strlen(strcat(word, ":"));
    lspo_status_t status = lspo_buffer_append(buffer, word, column);
    snprintf(word, sizeof word, "all %u row%s", rows, rows == 1 ? "" : "s");
    if (own == rows && status == LSPO_OK)
        status = add_word(word, &column, buffer);
    for (uint32_t i = 0; i < framework->case_count && own < rows && status == LSPO_OK; i++) {
        lspo_printable(framework->cases[i].row->id, word, sizeof word);
        if (lspo_published_is_same_source(framework->cases[i].row, first))
            status = add_word(word, &column, buffer);
    }
    return status != LSPO_OK ? status : lspo_buffer_append(buffer, "\n", 1);
}

/* The rows that a framework was fitted to, a line or more for each source. */
static lspo_status_t describe_rows(const lspo_published_fit_t *fit, const lspo_published_framework_t *framework,
                                   lspo_buffer_t *buffer)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < framework->case_count && status == LSPO_OK; i++) {
        uint32_t first = 0;
        while (!lspo_published_is_same_source(framework->cases[first].row, framework->cases[i].row))
            first++;
        if (first == i)
            status = describe_source(fit, framework, framework->cases[i].row, buffer);
    }
    return status;
}

lspo_status_t lspo_published_fit_check(const lspo_published_fit_t *fit, const char *folder)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t f = 0; f < fit->framework_count && status == LSPO_OK; f++)
        if (fit->frameworks[f].file.fitted_count > 0)
            status = lspo_framework_file_check(&fit->frameworks[f].file, folder);
    return status;
}

lspo_status_t lspo_published_fit_write(const lspo_published_fit_t *fit, const char *folder)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t f = 0; f < fit->framework_count && status == LSPO_OK; f++) {
        const lspo_published_framework_t *framework = &fit->frameworks[f];
        lspo_buffer_t rows = {0};
        bool any = false;
        for (uint32_t k = 0; k < framework->file.fitted_count; k++)
            any = any || fit->all[f].rows[k] >= ROWS_LEAST;
        if (framework->file.fitted_count == 0)
            continue;
        if (any)
            status = describe_rows(fit, framework, &rows);
        if (status == LSPO_OK)
            status = lspo_framework_file_write(&framework->file, fit->all[f].values, rows.text, folder);
        free(rows.text);
    }
    return status;
}
