/* grid_ranks.c - a grid with one peer a rank of an MPI job: what ranks tell each other beside and behind a play. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"
#include "real/train/grid_state.h"
#include "real/train/run.h"

/* ---- before a run ---- */

/* Two files or models may have the same name. */
static void describe_contents(const lspo_plan_t *plan, FILE *file)
{
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        lspo_stage_t shape;
        lspo_model_stage(&plan->model, s, &shape);
        fprintf(file, "stage %" PRIu32 " of the model:", s);
        for (uint32_t i = 0; i < shape.tensor_count; i++)
            fprintf(file, " %" PRIu32 " x %" PRIu32, shape.tensors[i].rows, shape.tensors[i].cols);
        fputc('\n', file);
    }
    for (uint32_t a = 0; a < plan->network.kind_count; a++) {
        const lspo_peer_kind_t *kind = &plan->network.kinds[a];
        fprintf(file, "peers of kind %s: %" PRIu32 ", speed %g, memory %g bytes, links", kind->name, kind->count,
                kind->speed, kind->has_memory ? kind->memory_bytes : -1.0);
        for (uint32_t b = 0; b < plan->network.kind_count; b++)
            fprintf(file, " %g bytes/s %g s", lspo_network_link(&plan->network, a, b)->Bps,
                    lspo_network_link(&plan->network, a, b)->latency_s);
        fputc('\n', file);
    }
}

/* "key: value" lines of everything on which ranks must agree. */
static lspo_status_t describe(const lspo_grid_t *grid, const lspo_grid_options_t *options, char **text_out,
                              size_t *bytes_out)
{
    lspo_trace_t *trace = NULL;
    lspo_status_t status = lspo_trace_create(0, &trace);
    if (status == LSPO_OK)
        status = lspo_trace_describe_plan(trace, grid->plan);
    if (status == LSPO_OK)
        status = lspo_run_describe_caps(&options->caps, trace);
    FILE *file = status == LSPO_OK ? open_memstream(text_out, bytes_out) : NULL;
    if (status == LSPO_OK && !file)
        status = lspo_no_memory("what ranks agree on");
    if (status != LSPO_OK)
        goto cleanup;
    for (uint32_t i = 0; i < trace->meta_count; i++)
        fprintf(file, "%s: %s\n", trace->meta[i].key, trace->meta[i].value);
    describe_contents(grid->plan, file);
    fprintf(file, "text: %s\nops: %" PRIu32 "\nrepeat: %" PRIu32 "\ntiming-only: %s\n", lspo_text_source(options->text),
            grid->plan->op_count, options->repeat, options->timing_only ? "on" : "off");
    if (fclose(file) != 0)
        status = lspo_no_memory("what ranks agree on");
cleanup:
    lspo_trace_destroy(trace);
    return status;
}

/* Both are lines; the first that differs. */
static lspo_status_t compare(uint32_t rank, const char *here, const char *there, size_t there_bytes)
{
    const char *end = there + there_bytes;
    while (*here != '\0') {
        const size_t length = strcspn(here, "\n") + 1;
        const char *line_end = memchr(there, '\n', (size_t)(end - there));
        const size_t there_length = line_end ? (size_t)(line_end - there) + 1 : 0;
        if (length != there_length || memcmp(here, there, length) != 0)
            return lspo_error(LSPO_ERR_INPUT, "ranks must agree: rank 0 has \"%.*s\", rank %" PRIu32 " has \"%.*s\"",
                              (int)length - 1, here, rank, there_length > 0 ? (int)there_length - 1 : 0, there);
        here += length;
        there += there_length;
    }
    return LSPO_OK;
}

lspo_status_t lspo_grid_check_alike(const lspo_grid_t *grid, const lspo_grid_options_t *options)
{
    char *text = NULL;
    size_t bytes = 0;
    lspo_status_t status = describe(grid, options, &text, &bytes);
    if (status == LSPO_OK && grid->first_here > 0)
        status = lspo_mail_send(grid->mail, &(lspo_letter_t){.what = LSPO_GRID_ALIKE, .data = text, .bytes = bytes});
    for (uint32_t rank = 1; status == LSPO_OK && grid->first_here == 0 && rank < grid->peer_count; rank++) {
        lspo_letter_t letter;
        status = lspo_mail_take(grid->mail, LSPO_GRID_ALIKE, (int)rank, NULL, &letter);
        if (status != LSPO_OK)
            break;
        status = compare(rank, text, letter.data, letter.bytes);
        free(letter.data);
    }
    free(text);
    return status;
}

/* ---- SEND ---- */

/* What goes to one peer in one letter: all but shares and sums, which are of several letters. */
lspo_status_t lspo_grid_check_letters(const lspo_grid_t *grid)
{
    const lspo_plan_t *plan = grid->plan;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        const uint64_t bytes = lspo_work_link_bytes(&plan->works[op->work]);
        if (op->kind != LSPO_OP_SEND || op->variant == LSPO_VARIANT_SHARE || op->variant == LSPO_VARIANT_SUM ||
            bytes <= INT_MAX)
            continue;
        return lspo_error(LSPO_ERR_INPUT,
                          "peers would send messages of %" PRIu64 " bytes, and MPI takes at most %d: use a smaller "
                          "--batch or --sequence, with more --accumulation",
                          bytes, INT_MAX);
    }
    return LSPO_OK;
}

lspo_status_t lspo_grid_mail_send(const lspo_grid_t *grid, const lspo_op_t *op, uint32_t to,
                                  const lspo_session_message_t *message)
{
    return lspo_mail_send(grid->mail, &(lspo_letter_t){.from = (int)to,
                                                       .what = LSPO_GRID_SEND,
                                                       .number = (uint32_t)(op - grid->plan->ops),
                                                       .data = message->data,
                                                       .bytes = message->bytes});
}

static bool runs(void *grid_void, const lspo_op_t *op)
{
    const lspo_grid_t *grid = grid_void;
    return grid->plan->lanes.list[op->lane].peer == grid->first_here;
}

static bool arrives(void *grid_void, const lspo_op_t *op)
{
    const lspo_grid_t *grid = grid_void;
    return op->kind == LSPO_OP_SEND && grid->plan->policy->receives(grid->plan, op, grid->first_here);
}

/* Only what this rank waits for, from whom it waits for it. */
static lspo_status_t check_letter(lspo_grid_t *grid, const lspo_letter_t *letter)
{
    const lspo_plan_t *plan = grid->plan;
    const lspo_op_t *op = letter->number < plan->op_count ? &plan->ops[letter->number] : NULL;
    if (op && arrives(grid, op) && plan->lanes.list[op->lane].peer == (uint32_t)letter->from)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_CHECK,
                      "rank %d sends op %" PRIu32 ", for which rank %" PRIu32
                      " does not wait: do all ranks run the same "
                      "program with the same flags?",
                      letter->from, letter->number, grid->first_here);
}

static lspo_status_t arrive(void *grid_void, const atomic_int *halted, lspo_op_id_t *op_out)
{
    lspo_grid_t *grid = grid_void;
    lspo_letter_t letter;
    lspo_status_t status = lspo_mail_take(grid->mail, LSPO_GRID_SEND, -1, halted, &letter);
    if (status != LSPO_OK)
        return status;
    const lspo_session_message_t message = {.data = letter.data, .bytes = letter.bytes};
    status = check_letter(grid, &letter);
    if (status == LSPO_OK && grid->plan->ops[letter.number].variant != LSPO_VARIANT_DELAY)
        status = lspo_session_unpack(grid->peers[grid->first_here].session, &grid->plan->ops[letter.number],
                                     (uint32_t)letter.from, &message);
    free(letter.data);
    *op_out = letter.number;
    return status;
}

static lspo_status_t begin(void *grid_void, uint64_t *zero_ns_out)
{
    lspo_grid_t *grid = grid_void;
    lspo_status_t status = lspo_mail_meet(grid->mail);
    *zero_ns_out = grid->zero_ns = lspo_now_ns();
    return status;
}

void lspo_grid_set_part(lspo_grid_t *grid)
{
    grid->part =
        (lspo_executor_part_t){.context = grid, .runs = runs, .arrives = arrives, .arrive = arrive, .begin = begin};
}

/* ---- numbers ---- */

static lspo_status_t send_to(const lspo_grid_t *grid, uint32_t what, uint32_t to, const void *data, size_t bytes)
{
    return lspo_mail_send(grid->mail,
                          &(lspo_letter_t){.from = (int)to, .what = what, .data = (void *)data, .bytes = bytes});
}

/* The caller frees letter_out->data. */
static lspo_status_t take_from(const lspo_grid_t *grid, uint32_t what, uint32_t from, size_t bytes,
                               lspo_letter_t *letter_out)
{
    lspo_status_t status = lspo_mail_take(grid->mail, what, (int)from, NULL, letter_out);
    if (status != LSPO_OK || letter_out->bytes == bytes)
        return status;
    free(letter_out->data);
    return lspo_error(LSPO_ERR_CHECK,
                      "rank %" PRIu32 " sends %zu bytes, not %zu: do all ranks run the same program with "
                      "the same flags?",
                      from, letter_out->bytes, bytes);
}

typedef void (*combine_t)(double *own, double other);

static void add(double *own, double other)
{
    *own += other;
}

static void take_more(double *own, double other)
{
    *own = other > *own ? other : *own;
}

static void take_less(double *own, double other)
{
    *own = other < *own ? other : *own;
}

static lspo_status_t combine(const lspo_grid_t *grid, combine_t function, uint32_t count, double *numbers)
{
    if (grid->first_here > 0)
        return send_to(grid, LSPO_GRID_NUMBERS, 0, numbers, count * sizeof *numbers);
    for (uint32_t rank = 1; rank < grid->peer_count; rank++) {
        lspo_letter_t letter;
        lspo_status_t status = take_from(grid, LSPO_GRID_NUMBERS, rank, count * sizeof *numbers, &letter);
        if (status != LSPO_OK)
            return status;
        for (uint32_t i = 0; i < count; i++)
            function(&numbers[i], ((const double *)letter.data)[i]);
        free(letter.data);
    }
    return LSPO_OK;
}

lspo_status_t lspo_grid_add_up(const lspo_grid_t *grid, uint32_t count, double *numbers)
{
    return combine(grid, add, count, numbers);
}

lspo_status_t lspo_grid_extreme(const lspo_grid_t *grid, bool least, double *value)
{
    return grid->mail ? combine(grid, least ? take_less : take_more, 1, value) : LSPO_OK;
}

lspo_status_t lspo_grid_agree_least(const lspo_grid_t *grid, double *value)
{
    lspo_status_t status = lspo_grid_extreme(grid, true, value);
    for (uint32_t rank = 1; grid->mail && rank < grid->peer_count && status == LSPO_OK; rank++)
        status = lspo_grid_pass(grid, 0, rank, value, sizeof *value);
    return status;
}

lspo_status_t lspo_grid_pass(const lspo_grid_t *grid, uint32_t from, uint32_t to, void *data, size_t bytes)
{
    lspo_letter_t letter;
    if (grid->first_here == from)
        return send_to(grid, LSPO_GRID_BOUNDARY, to, data, bytes);
    if (grid->first_here != to)
        return LSPO_OK;
    lspo_status_t status = take_from(grid, LSPO_GRID_BOUNDARY, from, bytes, &letter);
    if (status != LSPO_OK)
        return status;
    memcpy(data, letter.data, bytes);
    free(letter.data);
    return LSPO_OK;
}

/* ---- machines ---- */

/* The start of a machine; "": unknown. */
typedef struct {
    char id[64];
} boot_t;

static boot_t this_boot(void)
{
    boot_t boot = {0};
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (!file)
        return boot;
    if (!fgets(boot.id, sizeof boot.id, file))
        boot.id[0] = '\0';
    fclose(file);
    return boot;
}

typedef struct {
    boot_t boot;
    uint32_t core_count;
    int cpu[LSPO_DEVICE_LANES];
} home_t;

static bool is_same_home(const home_t *a, const home_t *b)
{
    return strcmp(a->boot.id, b->boot.id) == 0 && a->core_count == b->core_count &&
           memcmp(a->cpu, b->cpu, sizeof a->cpu) == 0;
}

lspo_status_t lspo_grid_share_cores(const lspo_grid_t *grid, const lspo_topology_t *cores, uint32_t *before_out,
                                    uint32_t *count_out)
{
    home_t here = {.boot = this_boot(), .core_count = cores->core_count};
    memcpy(here.cpu, cores->cpu, sizeof here.cpu);
    lspo_status_t status = LSPO_OK;
    *before_out = 0;
    *count_out = 1;
    for (uint32_t rank = 0; rank < grid->peer_count && status == LSPO_OK; rank++)
        if (rank != grid->first_here)
            status = send_to(grid, LSPO_GRID_CORES, rank, &here, sizeof here);
    for (uint32_t rank = 0; rank < grid->peer_count && status == LSPO_OK; rank++) {
        lspo_letter_t letter;
        if (rank == grid->first_here)
            continue;
        status = take_from(grid, LSPO_GRID_CORES, rank, sizeof here, &letter);
        if (status != LSPO_OK)
            break;
        const bool same = is_same_home(&here, letter.data);
        *count_out += same;
        *before_out += same && rank < grid->first_here;
        free(letter.data);
    }
    return status;
}

/* ---- the trace ---- */

/* What is in front of a rank's rows.  Ranks on the same start of the same machine have one clock. */
typedef struct {
    uint64_t zero_ns;
    boot_t boot;
} origin_t;

static origin_t origin_of(const lspo_grid_t *grid)
{
    return (origin_t){.zero_ns = grid->zero_ns, .boot = this_boot()};
}

static lspo_status_t send_rows(const lspo_grid_t *grid, const lspo_trace_t *trace)
{
    const origin_t origin = origin_of(grid);
    lspo_status_t status = send_to(grid, LSPO_GRID_ROWS, 0, &origin, sizeof origin);
    return status == LSPO_OK ? send_to(grid, LSPO_GRID_ROWS, 0, trace->rows, trace->row_count * sizeof *trace->rows)
                             : status;
}

/* The moment of another rank's time zero on this one's clock, from its own; on another machine all begin at once. */
static int64_t offset_ns(const origin_t *here, const origin_t *there)
{
    const bool same = here->boot.id[0] != '\0' && strcmp(here->boot.id, there->boot.id) == 0;
    return same ? (int64_t)there->zero_ns - (int64_t)here->zero_ns : 0;
}

static lspo_status_t take_rows(const lspo_grid_t *grid, uint32_t rank, lspo_trace_t *trace)
{
    lspo_letter_t letter;
    const origin_t here = origin_of(grid);
    lspo_status_t status = take_from(grid, LSPO_GRID_ROWS, rank, sizeof(origin_t), &letter);
    if (status != LSPO_OK)
        return status;
    const int64_t shift_ns = offset_ns(&here, letter.data);
    free(letter.data);
    status = lspo_mail_take(grid->mail, LSPO_GRID_ROWS, (int)rank, NULL, &letter);
    if (status != LSPO_OK)
        return status;
    const lspo_trace_row_t *rows = letter.data;
    const size_t count = letter.bytes / sizeof *rows;
    if (count > grid->plan->op_count - trace->row_count)
        status = lspo_error(LSPO_ERR_CHECK, "rank %" PRIu32 " sends %zu rows of a trace: too many", rank, count);
    for (size_t i = 0; status == LSPO_OK && i < count; i++) {
        lspo_trace_row_t row = rows[i];
        row.start_ns = (uint64_t)((int64_t)row.start_ns + shift_ns);
        row.end_ns = (uint64_t)((int64_t)row.end_ns + shift_ns);
        trace->rows[trace->row_count++] = row;
    }
    free(letter.data);
    return status;
}

/* Rank 0's zero may not be the first one. */
static void move_to_zero(lspo_trace_t *trace)
{
    int64_t first = 0;
    for (uint32_t i = 0; i < trace->row_count; i++)
        first = (int64_t)trace->rows[i].start_ns < first ? (int64_t)trace->rows[i].start_ns : first;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        trace->rows[i].start_ns -= (uint64_t)first;
        trace->rows[i].end_ns -= (uint64_t)first;
    }
}

/* A sender knows that its message is gone a moment after the receiver has got it and gone on. */
static lspo_status_t end_sends_in_time(const lspo_plan_t *plan, lspo_trace_t *trace)
{
    lspo_trace_row_t **row_of = calloc((size_t)plan->op_count + 1, sizeof *row_of);
    if (!row_of)
        return lspo_no_memory("a trace of %" PRIu32 " ops", plan->op_count);
    for (uint32_t i = 0; i < trace->row_count; i++)
        row_of[trace->rows[i].op] = &trace->rows[i];
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        const lspo_op_t *op = &plan->ops[row->op];
        for (uint32_t d = op->dep_first; d < op->dep_first + op->dep_count; d++) {
            lspo_trace_row_t *sent = row_of[plan->deps[d]];
            if (sent && sent->kind == LSPO_OP_SEND && sent->end_ns > row->start_ns && sent->start_ns <= row->start_ns)
                sent->end_ns = row->start_ns;
        }
    }
    free(row_of);
    return LSPO_OK;
}

lspo_status_t lspo_grid_gather_trace(lspo_grid_t *grid, lspo_trace_t *trace)
{
    lspo_status_t status = LSPO_OK;
    if (!grid->mail)
        return LSPO_OK;
    if (grid->first_here > 0)
        return send_rows(grid, trace);
    for (uint32_t rank = 1; rank < grid->peer_count && status == LSPO_OK; rank++)
        status = take_rows(grid, rank, trace);
    if (status != LSPO_OK)
        return status;
    move_to_zero(trace);
    status = end_sends_in_time(grid->plan, trace);
    lspo_trace_sort(trace);
    return status;
}
