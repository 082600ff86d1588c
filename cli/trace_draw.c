/* trace_draw.c - print the lanes of a trace as text; and `lspo trace draw`.  See trace_draw.h. */
#include "cli/trace_draw.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ask/args.h"
#include "base/wrap.h"
#include "traces/draw.h"

enum { USUAL_WIDTH = 110 };

/* As setlocale() decides: the first that is set and not empty. */
static bool speaks_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0')
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
    }
    return false;
}

uint32_t lspo_draw_width(FILE *terminal)
{
    size_t width = lspo_terminal_width(terminal);
    return width > 0 ? (uint32_t)width : USUAL_WIDTH;
}

lspo_status_t lspo_draw_one(const lspo_trace_t *trace, uint32_t named, uint32_t width, FILE *file)
{
    const lspo_draw_t draw = {.iteration_count = 1, .named_from = named, .width = width, .utf8 = speaks_utf8()};
    return lspo_trace_draw(trace, &draw, file);
}

lspo_status_t lspo_draw_print(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count)
{
    const lspo_draw_t draw = {.first_iteration = first_iteration,
                              .iteration_count = count,
                              .width = lspo_draw_width(stdout),
                              .utf8 = speaks_utf8()};
    return lspo_trace_draw(trace, &draw, stdout);
}

typedef struct {
    uint32_t first, count;
} draw_request_t;

static const lspo_arg_t draw_args[] = {
    {.name = "first",
     .value = "N",
     .help = "first iteration (3)",
     .store = lspo_arg_u32,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(draw_request_t, first)},
    {.name = "count",
     .value = "N",
     .help = "iterations (2)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(draw_request_t, count)},
};

static const lspo_arg_group_t draw_group = LSPO_ARG_GROUP("options", draw_args);

static lspo_status_t draw(int argc, char **argv)
{
    draw_request_t request = {.first = 3, .count = 2};
    lspo_positionals_t positionals;
    lspo_trace_t *trace = NULL;
    lspo_status_t status = lspo_command_parse(&lspo_command_trace_draw, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_read(positionals.texts[0], &trace);
    if (status == LSPO_OK)
        status = lspo_draw_print(trace, request.first, request.count);
    lspo_trace_destroy(trace);
    return status;
}

const lspo_command_t lspo_command_trace_draw = {
    .name = "trace draw",
    .summary = "draw the lanes of a trace as text",
    .usage = "TRACE [--first N] [--count N]",
    .about = "Draw what each lane does when, a letter per kind of op, as wide as the terminal.",
    .examples = "lspo trace draw run.trace\n"
                "lspo trace draw run.trace --first 4 --count 1",
    .groups = (const lspo_arg_group_t *const[]){&draw_group, NULL},
    .positional_least = 1,
    .positional_most = 1,
    .positionals = "TRACE",
    .run = draw,
};
