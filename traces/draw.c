/* draw.c - the lanes of a trace as lines of text; see draw.h. */
#include "traces/draw.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "base/wrap.h"
#include "traces/summary.h"

/* The time that is drawn, and its columns. */
typedef struct {
    const lspo_trace_t *trace;
    const lspo_draw_t *draw;
    uint64_t begin_ns, end_ns;
    uint32_t columns, last_iteration; /* of those wanted that the trace has */
    int label_width;
    char letters[LSPO_OP_KIND_COUNT];
    bool used[LSPO_OP_KIND_COUNT];
    double *busy_ns; /* columns x kinds, of one lane */
} canvas_t;

/* Of each kind the first letter of its name that no kind before it has. */
static void choose_letters(canvas_t *canvas)
{
    bool taken[UINT8_MAX + 1] = {false};
    for (int kind = 0; kind < LSPO_OP_KIND_COUNT; kind++) {
        const char *name = lspo_op_kind_name((lspo_op_kind_t)kind);
        while (*name != '\0' && (!isalpha((unsigned char)*name) || taken[(unsigned char)*name]))
            name++;
        for (int other = 'A'; *name == '\0' && canvas->letters[kind] == '\0' && other <= 'Z'; other++)
            if (!taken[other])
                canvas->letters[kind] = (char)other;
        if (*name != '\0')
            canvas->letters[kind] = *name;
        taken[(unsigned char)canvas->letters[kind]] = true;
    }
}

static bool is_wanted(const lspo_draw_t *draw, const lspo_trace_row_t *row)
{
    return row->iteration >= draw->first_iteration && row->iteration - draw->first_iteration < draw->iteration_count;
}

static uint32_t last_of(const lspo_trace_t *trace)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < trace->row_count; i++)
        last = trace->rows[i].iteration > last ? trace->rows[i].iteration : last;
    return last;
}

static bool find_window(canvas_t *canvas)
{
    canvas->begin_ns = UINT64_MAX;
    for (uint32_t i = 0; i < canvas->trace->row_count; i++) {
        const lspo_trace_row_t *row = &canvas->trace->rows[i];
        if (!is_wanted(canvas->draw, row))
            continue;
        canvas->begin_ns = row->start_ns < canvas->begin_ns ? row->start_ns : canvas->begin_ns;
        canvas->end_ns = row->end_ns > canvas->end_ns ? row->end_ns : canvas->end_ns;
        canvas->last_iteration = row->iteration > canvas->last_iteration ? row->iteration : canvas->last_iteration;
    }
    return canvas->end_ns > canvas->begin_ns;
}

static double column_ns(const canvas_t *canvas)
{
    return (double)(canvas->end_ns - canvas->begin_ns) / canvas->columns;
}

static uint32_t column_of(const canvas_t *canvas, uint64_t at_ns)
{
    double column = (double)(at_ns - canvas->begin_ns) / column_ns(canvas);
    return column < canvas->columns ? (uint32_t)column : canvas->columns - 1;
}

/* Add the op's time to each column that it touches. */
static void add_row(canvas_t *canvas, const lspo_trace_row_t *row)
{
    if (row->end_ns <= canvas->begin_ns || row->start_ns >= canvas->end_ns)
        return;
    double start = row->start_ns > canvas->begin_ns ? (double)(row->start_ns - canvas->begin_ns) : 0;
    double end = (double)((row->end_ns < canvas->end_ns ? row->end_ns : canvas->end_ns) - canvas->begin_ns);
    double width = column_ns(canvas);
    for (uint32_t c = (uint32_t)(start / width); c < canvas->columns && c * width < end; c++) {
        double from = start > c * width ? start : c * width, to = end < (c + 1) * width ? end : (c + 1) * width;
        if (to > from)
            canvas->busy_ns[c * LSPO_OP_KIND_COUNT + row->kind] += to - from;
    }
}

static const char *idle(const canvas_t *canvas)
{
    return canvas->draw->utf8 ? "\u00b7" : ".";
}

static void print_column(canvas_t *canvas, uint32_t column, FILE *file)
{
    const double *busy = canvas->busy_ns + (size_t)column * LSPO_OP_KIND_COUNT;
    double all = 0, share;
    int most = 0;
    for (int kind = 0; kind < LSPO_OP_KIND_COUNT; kind++) {
        all += busy[kind];
        most = busy[kind] > busy[most] ? kind : most;
    }
    share = all / column_ns(canvas);
    if (share < 0.1) {
        fputs(share < 0.01 ? idle(canvas) : ",", file);
        return;
    }
    canvas->used[most] = true;
    fputc(share < 0.5 ? tolower(canvas->letters[most]) : canvas->letters[most], file);
}

static void print_lane(canvas_t *canvas, uint32_t lane, FILE *file)
{
    bool any = false;
    memset(canvas->busy_ns, 0, (size_t)canvas->columns * LSPO_OP_KIND_COUNT * sizeof *canvas->busy_ns);
    for (uint32_t i = 0; i < canvas->trace->row_count; i++)
        if (canvas->trace->rows[i].lane == lane) {
            add_row(canvas, &canvas->trace->rows[i]);
            any = true;
        }
    if (!any)
        return;
    fprintf(file, "%-*s ", canvas->label_width, canvas->trace->lanes.list[lane].name);
    for (uint32_t c = 0; c < canvas->columns; c++)
        print_column(canvas, c, file);
    fputc('\n', file);
}

/* A bar where the forward and backward passes of an iteration end. */
static lspo_status_t print_ends(const canvas_t *canvas, FILE *file)
{
    uint64_t *ends_ns = NULL;
    uint32_t count = 0;
    bool *ends = calloc(canvas->columns, sizeof *ends);
    if (ends == NULL)
        return lspo_no_memory("a drawing of %u columns", canvas->columns);
    lspo_status_t status = lspo_trace_iteration_ends(canvas->trace, &ends_ns, &count);
    if (status != LSPO_OK) {
        free(ends);
        return status;
    }
    for (uint32_t n = canvas->draw->first_iteration; n < count && n <= canvas->last_iteration; n++)
        if (ends_ns[n] > canvas->begin_ns && ends_ns[n] <= canvas->end_ns)
            ends[column_of(canvas, ends_ns[n] - 1)] = true;
    uint32_t columns = canvas->columns;
    while (columns > 0 && !ends[columns - 1])
        columns--;
    fprintf(file, "%-*s ", canvas->label_width, "");
    for (uint32_t c = 0; c < columns; c++)
        fputs(!ends[c] ? " " : canvas->draw->utf8 ? "\u2502" : "|", file);
    fputc('\n', file);
    free(ends_ns);
    free(ends);
    return LSPO_OK;
}

static void write_legend(const canvas_t *canvas, FILE *file)
{
    char whole[32], part[32];
    const uint32_t first = canvas->draw->first_iteration + canvas->draw->named_from;
    const uint32_t last = canvas->last_iteration + canvas->draw->named_from;
    lspo_format_quantity(1e-9 * (double)(canvas->end_ns - canvas->begin_ns), LSPO_UNIT_SECONDS, whole, sizeof whole);
    lspo_format_quantity(1e-9 * column_ns(canvas), LSPO_UNIT_SECONDS, part, sizeof part);
    const char *between = "";
    for (int kind = 0; kind < LSPO_OP_KIND_COUNT; kind++)
        if (canvas->used[kind]) {
            fprintf(file, "%s%c %s", between, canvas->letters[kind], lspo_op_kind_name((lspo_op_kind_t)kind));
            between = ", ";
        }
    fprintf(file, "; small: busy for less than half; \",\" a tenth, %s a hundredth; %s ends of backward passes.\n",
            idle(canvas), canvas->draw->utf8 ? "\u2502" : "|");
    fprintf(file, "%s in all, %s per character; ", whole, part);
    if (last == first)
        fprintf(file, "iteration %" PRIu32 ".\n", last);
    else
        fprintf(file, "iterations %" PRIu32 " to %" PRIu32 ".\n", first, last);
}

static lspo_status_t print_legend(const canvas_t *canvas, FILE *file)
{
    char *text = NULL;
    size_t bytes;
    FILE *legend = open_memstream(&text, &bytes);
    if (legend == NULL)
        return lspo_no_memory("a legend");
    write_legend(canvas, legend);
    if (fclose(legend) != 0 || text == NULL) {
        free(text);
        return lspo_no_memory("a legend");
    }
    lspo_wrap_text(file, text, (size_t)canvas->label_width + 1 + canvas->columns);
    free(text);
    return LSPO_OK;
}

static int label_width(const lspo_trace_t *trace)
{
    size_t width = 0;
    for (uint32_t lane = 0; lane < trace->lanes.count; lane++) {
        size_t length = strlen(trace->lanes.list[lane].name);
        width = length > width ? length : width;
    }
    return (int)width;
}

lspo_status_t lspo_trace_draw(const lspo_trace_t *trace, const lspo_draw_t *draw, FILE *file)
{
    canvas_t canvas = {.trace = trace, .draw = draw, .label_width = label_width(trace)};
    if (!find_window(&canvas))
        return lspo_error(LSPO_ERR_INPUT,
                          "%s has no op in the %" PRIu32 " iterations from %" PRIu32
                          ": it has iterations 0 to %" PRIu32,
                          lspo_trace_name(trace), draw->iteration_count, draw->first_iteration, last_of(trace));
    uint32_t width = draw->width < LSPO_DRAW_WIDTH_LEAST ? LSPO_DRAW_WIDTH_LEAST : draw->width;
    uint32_t labels = (uint32_t)canvas.label_width + 1;
    canvas.columns = width > 2 * labels ? width - labels : width / 2;
    canvas.busy_ns = calloc((size_t)canvas.columns * LSPO_OP_KIND_COUNT, sizeof *canvas.busy_ns);
    if (canvas.busy_ns == NULL)
        return lspo_no_memory("a drawing of %u columns", canvas.columns);
    choose_letters(&canvas);
    lspo_status_t status = print_ends(&canvas, file);
    for (uint32_t lane = 0; status == LSPO_OK && lane < trace->lanes.count; lane++)
        print_lane(&canvas, lane, file);
    if (status == LSPO_OK)
        status = print_legend(&canvas, file);
    free(canvas.busy_ns);
    return status;
}
