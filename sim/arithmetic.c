/* arithmetic.c - what a step consists of; see arithmetic.h. */
#include "sim/arithmetic.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "sim/bound.h"
#include "sim/cost.h"

/* TRAFFIC: bytes in units of what Adam moves per parameter, the CPU's measure of memory (sim/cost.h). */
typedef enum { FLOP, BYTES, ELEMENTS, TRAFFIC } quantity_t;
static const double traffic_bytes = 28;

#define CLASS(name) (1u << LSPO_KERNEL_##name)
#define RATE(member) offsetof(lspo_machine_t, member)
#define NO_LIMIT ((size_t)-1)
static const unsigned of_memory =
    CLASS(NORM) | CLASS(ACTIVATION) | CLASS(LOSS) | CLASS(STREAM) | CLASS(EXPAND) | CLASS(COLUMNS) | CLASS(FEW_ROWS) |
    CLASS(CACHE) | CLASS(COPY);

/* A sort of work: the kernel classes of a lane that the same rate divides.  Where neighbours have the same lane and
 * classes, the one that takes longer counts. */
typedef struct {
    lspo_lane_kind_t lane;
    unsigned classes;
    const char *work;
    quantity_t quantity;
    size_t rate, limit; /* offsets in lspo_machine_t; `limit`: a framework's, 0 there: none */
    bool of_precision;  /* the first of an array by precision */
} sort_t;

static const sort_t sorts[] = {
    /* clang-format off */
    {LSPO_LANE_GPU, CLASS(GEMM), "products", FLOP, RATE(gpu.gemm_flops), NO_LIMIT, true},
    {LSPO_LANE_GPU, CLASS(ATTENTION), "attention", FLOP, RATE(gpu.attention_flops), NO_LIMIT, false},
    {LSPO_LANE_GPU, CLASS(GATHER), "projecting", BYTES, RATE(gpu.gather_Bps), NO_LIMIT, false},
    {LSPO_LANE_GPU, CLASS(GATHER), "projecting", FLOP, RATE(gpu.gather_flops), NO_LIMIT, false},
    {LSPO_LANE_GPU, CLASS(SCATTER), "applying", BYTES, RATE(gpu.scatter_Bps), NO_LIMIT, false},
    {LSPO_LANE_GPU, CLASS(SCATTER), "applying", FLOP, RATE(gpu.scatter_flops), NO_LIMIT, false},
    {LSPO_LANE_GPU, CLASS(ADAM), "Adam", ELEMENTS, RATE(gpu.adam_pps), NO_LIMIT, false},
    {LSPO_LANE_GPU, of_memory, "other kernels", BYTES, RATE(gpu.stream_Bps), NO_LIMIT, false},
    {LSPO_LANE_D2H, CLASS(COPY), "copies", BYTES, RATE(link.d2h_Bps), RATE(software.d2h_limit_Bps), false},
    {LSPO_LANE_D2H, of_memory & ~CLASS(COPY), "packing", BYTES, RATE(gpu.stream_Bps), NO_LIMIT, false},
    {LSPO_LANE_H2D, CLASS(COPY), "copies", BYTES, RATE(link.h2d_Bps), RATE(software.h2d_limit_Bps), false},
    {LSPO_LANE_H2D, of_memory & ~CLASS(COPY), "packing", BYTES, RATE(gpu.stream_Bps), NO_LIMIT, false},
    {LSPO_LANE_CPU, CLASS(ADAM), "Adam", ELEMENTS, RATE(cpu.adam_pps), RATE(software.cpu_adam_limit_pps), false},
    {LSPO_LANE_CPU, of_memory, "sums, per 28 B", TRAFFIC, RATE(cpu.adam_pps), NO_LIMIT, false},
    {LSPO_LANE_CPU, CLASS(GEMM), "products", FLOP, RATE(cpu.compute_flops), NO_LIMIT, false},
    {LSPO_LANE_NET, CLASS(COPY), "sends", BYTES, RATE(net.Bps), NO_LIMIT, false},
    {LSPO_LANE_SSD, CLASS(COPY), "reads and writes", BYTES, RATE(ssd.read_Bps), NO_LIMIT, false},
    /* clang-format on */
};
enum { SORTS = sizeof sorts / sizeof sorts[0] };

/* Sums over the iterations. */
typedef struct {
    double amount[SORTS];
    uint64_t launches[SORTS];
    double alone_s[LSPO_LANE_KIND_COUNT];
} sums_t;

static void add_kernel(lspo_lane_kind_t lane, const lspo_kernel_t *kernel, sums_t *sums)
{
    const double amounts[] = {[FLOP] = kernel->flop,
                              [BYTES] = (double)kernel->bytes,
                              [ELEMENTS] = (double)kernel->elements,
                              [TRAFFIC] = (double)kernel->bytes / traffic_bytes};
    for (size_t s = 0; s < SORTS; s++)
        if (sorts[s].lane == lane && (sorts[s].classes & (1u << kernel->kernel_class))) {
            sums->amount[s] += amounts[sorts[s].quantity];
            sums->launches[s] += kernel->count;
        }
}

static void add_ops(const lspo_plan_t *plan, const lspo_summary_t *summary, const uint64_t *work_ns, sums_t *sums)
{
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        const lspo_work_t *work = &plan->works[op->work];
        const lspo_lane_kind_t lane = lspo_op_kind_lane((lspo_op_kind_t)op->kind);
        if (op->iteration <= summary->warmup || op->iteration > summary->warmup + summary->iteration_count)
            continue;
        sums->alone_s[lane] += 1e-9 * (double)lspo_cost_op_ns(op, work_ns);
        for (uint32_t i = 0; i < work->kernel_count; i++)
            add_kernel(lane, &work->kernels[i], sums);
    }
}

static const lspo_machine_field_t *field_at(size_t offset_bytes)
{
    size_t i = 0;
    while (i + 1 < lspo_machine_field_count && lspo_machine_fields[i].offset_bytes != offset_bytes)
        i++;
    return &lspo_machine_fields[i];
}

/* The rate, or a framework's limit below it. */
static const lspo_machine_field_t *rate_of(const sort_t *sort, const lspo_plan_t *plan, const lspo_machine_t *machine)
{
    const lspo_machine_field_t *own =
        field_at(sort->rate + (sort->of_precision ? plan->workload.precision * sizeof(double) : 0));
    if (sort->limit == NO_LIMIT)
        return own;
    const lspo_machine_field_t *limit = field_at(sort->limit);
    const double limit_value = lspo_machine_value(machine, limit);
    return limit_value > 0 && limit_value < lspo_machine_value(machine, own) ? limit : own;
}

/* The row of a sort; false: there is none of it in the plan. */
static bool fill_row(size_t s, const lspo_plan_t *plan, const lspo_machine_t *machine, const sums_t *sums,
                     uint32_t iterations, lspo_arithmetic_row_t *row)
{
    const lspo_machine_field_t *field = rate_of(&sorts[s], plan, machine);
    *row = (lspo_arithmetic_row_t){.lane = sorts[s].lane,
                                   .work = sorts[s].work,
                                   .unit = field->unit,
                                   .amount = sums->amount[s] / iterations,
                                   .launches = sums->launches[s] / iterations,
                                   .rate = lspo_machine_value(machine, field),
                                   .section = field->section,
                                   .key = field->key,
                                   .alone_s = NAN,
                                   .busy_s = NAN};
    row->least_s = row->rate > 0 ? row->amount / row->rate : 0;
    return row->amount > 0 && row->rate > 0;
}

static bool same_work(const lspo_arithmetic_row_t *a, const lspo_arithmetic_row_t *b)
{
    return a->lane == b->lane && strcmp(a->work, b->work) == 0;
}

/* By kind: how many lanes have ops. */
static lspo_status_t count_lanes(const lspo_plan_t *plan, uint32_t counts[LSPO_LANE_KIND_COUNT])
{
    bool *used = calloc((size_t)plan->lanes.count + 1, sizeof *used);
    if (used == NULL)
        return lspo_no_memory("%u lanes", plan->lanes.count);
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        used[plan->ops[id].lane] = true;
    for (uint32_t i = 0; i < plan->lanes.count; i++)
        counts[plan->lanes.list[i].kind] += used[i];
    free(used);
    return LSPO_OK;
}

static lspo_status_t fill(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_summary_t *summary,
                          const sums_t *sums, lspo_arithmetic_t *arithmetic)
{
    uint32_t lanes[LSPO_LANE_KIND_COUNT] = {0};
    lspo_status_t status = count_lanes(plan, lanes);
    for (size_t s = 0; s < SORTS && status == LSPO_OK; s++) {
        lspo_arithmetic_row_t row, *last = arithmetic->count > 0 ? &arithmetic->rows[arithmetic->count - 1] : NULL;
        if (!fill_row(s, plan, machine, sums, summary->iteration_count, &row))
            continue;
        if (last != NULL && same_work(last, &row)) {
            const double alone_s = last->alone_s, busy_s = last->busy_s;
            *last = last->least_s >= row.least_s ? *last : row;
            last->alone_s = alone_s;
            last->busy_s = busy_s;
            continue;
        }
        if (last == NULL || last->lane != row.lane) {
            row.alone_s = sums->alone_s[row.lane] / summary->iteration_count;
            row.busy_s = summary->busy_s[row.lane] * lanes[row.lane];
        }
        arithmetic->rows[arithmetic->count++] = row;
    }
    return status;
}

lspo_status_t lspo_arithmetic(const lspo_plan_t *plan, const lspo_machine_t *machine,
                              const lspo_prediction_t *prediction, lspo_arithmetic_t *arithmetic_out)
{
    lspo_arithmetic_t arithmetic = {0};
    sums_t sums = {0};
    uint64_t *work_ns = NULL;
    lspo_status_t status = lspo_cost_plan(machine, plan, &work_ns);
    if (status == LSPO_OK)
        status = lspo_bound_busy(plan, work_ns, &arithmetic.busiest_s);
    if (status == LSPO_OK) {
        add_ops(plan, &prediction->summary, work_ns, &sums);
        status = fill(plan, machine, &prediction->summary, &sums, &arithmetic);
    }
    free(work_ns);
    if (status == LSPO_OK)
        *arithmetic_out = arithmetic;
    return status;
}
