/* zenflow: its training against an independent loop in double, and its link traffic. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/columns.h"
#include "plan/policies/zenflow.h"
#include "real/methods/zenflow.h"
#include "tests/rival_loop.h"

/* What the loop needs beside the GPU's moments (loop->m, loop->v): by element, the CPU's moments, two windows of sums
 * and of directions, and by weight which columns the GPU has, in two windows. */
typedef struct {
    loop_t loop;
    double *m[STAGES], *v[STAGES], *sum[2][STAGES], *direction[2][STAGES];
    bool *critical[2][STAGES][LSPO_LINEAR_MAX];
} zenflow_t;

static void zenflow_open(const fixture_t *f, zenflow_t *z)
{
    *z = (zenflow_t){0};
    loop_open(f, &z->loop);
    for (uint32_t s = 0; s < STAGES; s++) {
        size_t n = z->loop.shape[s].element_count;
        z->m[s] = doubles(n);
        z->v[s] = doubles(n);
        for (int slot = 0; slot < 2; slot++) {
            z->sum[slot][s] = doubles(n);
            z->direction[slot][s] = doubles(n);
            for (uint32_t i = 0; i < z->loop.shape[s].linear_count; i++)
                z->critical[slot][s][i] = memory(z->loop.shape[s].tensors[i].cols * sizeof(bool));
        }
    }
}

static void zenflow_close(zenflow_t *z)
{
    for (uint32_t s = 0; s < STAGES; s++) {
        free(z->m[s]);
        free(z->v[s]);
        for (int slot = 0; slot < 2; slot++) {
            free(z->sum[slot][s]);
            free(z->direction[slot][s]);
            for (uint32_t i = 0; i < LSPO_LINEAR_MAX; i++)
                free(z->critical[slot][s][i]);
        }
    }
    loop_close(&z->loop);
}

/* The session's choice, which must be the columns with the largest sums of |g|: of nearly equal ones either may do. */
static void take_choice(const fixture_t *f, zenflow_t *z, uint32_t step, int slot)
{
    const lspo_workload_t *workload = z->loop.workload;
    for (uint32_t s = 1; s < HEAD; s++)
        for (uint32_t i = 0; i < z->loop.shape[s].linear_count; i++) {
            const lspo_tensor_t *t = &z->loop.shape[s].tensors[i];
            const lspo_zenflow_stage_t *own = f->session->stages[s].own;
            const uint32_t *columns = own->columns[step / lspo_zenflow_values_of(workload)->select_every & 1][i];
            bool *critical = z->critical[slot][s][i];
            uint32_t count = (uint32_t)(lspo_zenflow_values_of(workload)->critical_fraction * t->cols + 0.5);
            double least = INFINITY, most = 0;
            memset(critical, 0, t->cols * sizeof(bool));
            for (uint32_t j = 0; j < count; j++)
                critical[columns[j]] = true;
            for (uint32_t j = 0; j < t->cols; j++) {
                double sum = 0;
                for (uint32_t r = 0; r < t->rows; r++)
                    sum += fabs(z->loop.sum[s][t->offset_elements + (size_t)r * t->cols + j]);
                if (critical[j])
                    least = fmin(least, sum);
                else
                    most = fmax(most, sum);
            }
            cr_assert(step % lspo_zenflow_values_of(workload)->select_every != 0 || most <= least * (1 + 1e-4),
                      "stage %u, weight %u: %g is left, %g taken", s, i, most, least);
        }
}

/* Element e of the stage belongs to the GPU in that window. */
static bool on_gpu(const zenflow_t *z, int slot, uint32_t s, size_t e)
{
    const lspo_stage_t *shape = &z->loop.shape[s];
    for (uint32_t i = 0; i < shape->linear_count; i++) {
        const lspo_tensor_t *t = &shape->tensors[i];
        if (e >= t->offset_elements && e < t->offset_elements + (uint64_t)t->rows * t->cols)
            return z->critical[slot][s][i][(e - t->offset_elements) % t->cols];
    }
    return true;
}

static double adam_direction(double g, double *m, double *v, uint32_t t)
{
    *m = 0.9 * *m + 0.1 * g;
    *v = 0.999 * *v + 0.001 * g * g;
    return *m / (1 - pow(0.9, t)) / (sqrt(*v / (1 - pow(0.999, t))) + 1e-8);
}

static void move(loop_t *loop, uint32_t s, size_t e, double direction)
{
    loop->exact[s][e] -= loop->workload->learning_rate * (direction + loop->workload->weight_decay * loop->exact[s][e]);
    loop->w[s][e] = (float)loop->exact[s][e];
}

static void apply_window(zenflow_t *z, int slot)
{
    for (uint32_t s = 1; s < HEAD; s++)
        for (size_t e = 0; e < linear_count(&z->loop.shape[s]); e++)
            if (!on_gpu(z, slot, s, e))
                move(&z->loop, s, e, z->direction[slot][s][e]);
}

static void finish_window(zenflow_t *z, uint32_t window, uint32_t steps)
{
    int slot = window & 1;
    for (uint32_t s = 1; s < HEAD; s++)
        for (size_t e = 0; e < linear_count(&z->loop.shape[s]); e++)
            if (!on_gpu(z, slot, s, e))
                z->direction[slot][s][e] =
                    adam_direction(z->sum[slot][s][e] / steps, &z->m[s][e], &z->v[s][e], window + 1);
}

/* The gradients of the step are in loop->sum. */
static void zenflow_step(const fixture_t *f, zenflow_t *z, uint32_t step)
{
    const lspo_workload_t *workload = z->loop.workload;
    const rival_t all = {.rest = f->plan->workload.train_rest == LSPO_TRAIN_REST_ON};
    double scale = loop_clip_scale(&z->loop, &all, step);
    int slot = step / lspo_zenflow_values_of(workload)->update_every & 1;
    bool begins = step % lspo_zenflow_values_of(workload)->update_every == 0,
         chooses = step % lspo_zenflow_values_of(workload)->select_every == 0;
    if (begins)
        take_choice(f, z, step, slot);
    for (uint32_t s = 0; s < STAGES; s++) {
        size_t linear = linear_count(&z->loop.shape[s]);
        for (size_t e = 0; e < trained_count(&z->loop, all.rest, s); e++) {
            double g = scale * z->loop.sum[s][e], *m = &z->loop.m[s][e], *v = &z->loop.v[s][e];
            if (e < linear && chooses)
                *m = *v = 0;
            if (on_gpu(z, slot, s, e))
                move(&z->loop, s, e,
                     adam_direction(g, m, v,
                                    e < linear ? step % lspo_zenflow_values_of(workload)->select_every + 1 : step + 1));
            else
                z->sum[slot][s][e] = g + (begins ? 0 : z->sum[slot][s][e]);
        }
        memset(z->loop.sum[s], 0, z->loop.shape[s].element_count * sizeof(double));
    }
}

/* How far the session's weights are from the loop's, of how far they have come. */
static double distance(const fixture_t *f, const loop_t *loop, float *const before[STAGES])
{
    double off = 0, moved = 0;
    for (uint32_t s = 0; s < STAGES; s++)
        for (size_t e = 0; e < loop->shape[s].element_count; e++) {
            double difference = (double)host_weights(f->session, s)[e] - loop->exact[s][e];
            off += difference * difference;
            moved += pow(loop->exact[s][e] - (double)before[s][e], 2);
        }
    return sqrt(off / moved);
}

static void assert_zenflow_equals_loop(const lspo_workload_t *workload, double tolerance)
{
    lspo_model_t model = small_gpt();
    fixture_t f;
    zenflow_t z;
    float *before[STAGES];
    uint32_t at = 0, every = lspo_zenflow_values_of(workload)->update_every, last = workload->iterations - 1;
    cr_assert_eq(open_fixture(&model, "zenflow", workload, 0, &f), LSPO_OK);
    zenflow_open(&f, &z);
    for (uint32_t s = 0; s < STAGES; s++)
        before[s] = floats(z.loop.shape[s].element_count);
    remember(&f, &z.loop, before);
    for (uint32_t step = 0; step <= last; step++) {
        run_step(&f, step, &at);
        if (step % every == 0 && step >= 2 * every)
            apply_window(&z, step / every & 1);
        double loss = 0, got = lspo_session_losses(f.session)[step];
        for (uint32_t micro = 0; micro < workload->accumulation; micro++)
            loss += loop_backward(&z.loop, f.text, step, micro);
        zenflow_step(&f, &z, step);
        if (step % every == every - 1 && step < last)
            finish_window(&z, step / every, every);
        cr_assert_float_eq(got, loss, tolerance * loss, "step %u: loss %.9g, loop %.9g", step, got, loss);
    }
    if (last / every >= 1)
        apply_window(&z, (last / every - 1) & 1);
    finish_window(&z, last / every, last % every + 1);
    apply_window(&z, last / every & 1);
    double off = distance(&f, &z.loop, before);
    cr_assert_lt(off, 100 * tolerance, "weights are off by %g of their way", off);
    for (uint32_t s = 0; s < STAGES; s++)
        free(before[s]);
    zenflow_close(&z);
    close_fixture(&f);
}

/* 24 steps: six windows of four, three choices of columns; then windows that do not divide the training. */
Test(zenflow, zenflow_equals_a_loop)
{
    lspo_workload_t workload = small_workload();
    lspo_zenflow_values_edit(&workload)->select_every = 8;
    for (int variant = 0; variant < 16; variant++) {
        workload.checkpointing = variant & 1;
        workload.train_rest = variant & 2 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        workload.accumulation = variant & 4 ? 2 : 1;
        workload.clip_norm = variant & 8 ? 0.05 : 0;
        workload.weight_decay = variant & 8 ? 1 : 0;
        assert_zenflow_equals_loop(&workload, 1e-4);
    }
    static const uint32_t shapes[][3] = {{1, 1, 7}, {1, 3, 7}, {3, 6, 11},  {5, 5, 13},
                                         {4, 8, 3}, {2, 4, 2}, {24, 24, 24}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        lspo_zenflow_values_edit(&workload)->update_every = shapes[i][0];
        lspo_zenflow_values_edit(&workload)->select_every = shapes[i][1];
        workload.iterations = shapes[i][2];
        assert_zenflow_equals_loop(&workload, 1e-4);
    }
}

/* Threads in any order that the plan allows: the same bits as one after the other. */
Test(zenflow, zenflow_does_not_depend_on_the_order_of_lanes)
{
    lspo_model_t model = small_gpt();
    lspo_workload_t workload = small_workload();
    fixture_t f;
    outcome_t threads, again;
    uint32_t at = 0;
    workload.clip_norm = 0.05;
    lspo_zenflow_values_edit(&workload)->select_every = 8;
    train("zenflow", &workload, &threads);
    cr_assert_eq(open_fixture(&model, "zenflow", &workload, 0, &f), LSPO_OK);
    for (uint32_t step = 0; step < STEPS; step++)
        run_step(&f, step, &at);
    for (uint32_t step = 0; step < STEPS; step++)
        cr_assert_eq(threads.losses[step], lspo_session_losses(f.session)[step]);
    close_fixture(&f);
    workload.transfer = LSPO_BF16; /* packed on the link: other bits, nearly the same losses */
    train("zenflow", &workload, &again);
    cr_assert_neq(again.losses[STEPS - 1], threads.losses[STEPS - 1]);
    cr_assert_float_eq(again.losses[STEPS - 1], threads.losses[STEPS - 1], 0.02 * threads.losses[STEPS - 1]);
}

/* Critical or not by the sums of |g|: 5, 1, 3, 3, 0 -> 0, then of the two threes the first. */
Test(zenflow, columns_are_split_by_importance)
{
    const float g[] = {2, -1, 0, 3, 0, -3, 0, 3, 0, 0};
    float scratch[10], x[4], y[10] = {0};
    uint32_t columns[5];
    const uint32_t want[] = {0, 2, 1, 3, 4};
    lspo_columns_split(&(lspo_columns_t){2, 5, 2}, g, scratch, columns);
    cr_assert_eq(memcmp(columns, want, sizeof want), 0);
    lspo_columns_gather(&(lspo_columns_t){2, 5, 2}, columns, g, x);
    cr_assert(x[0] == 2 && x[1] == 0 && x[2] == -3 && x[3] == 3);
    lspo_columns_scatter(&(lspo_columns_t){2, 5, 2}, columns, x, y);
    cr_assert(y[0] == 2 && y[2] == 0 && y[5] == -3 && y[7] == 3 && y[3] == 0);
    const float bad[] = {NAN, 1, NAN, 2, INFINITY};
    lspo_columns_split(&(lspo_columns_t){1, 5, 2}, bad, scratch, columns);
    const uint32_t still[] = {0, 2, 1, 3, 4};
    cr_assert_eq(memcmp(columns, still, sizeof still), 0);
    lspo_columns_split(&(lspo_columns_t){1, 5, 0}, g, scratch, columns);
    for (uint32_t j = 0; j < 5; j++)
        cr_assert_eq(columns[j], j);
}

/* 0.1 of 96, 32, 64 and 32 columns: 10, 3, 6, 3.  Sent: 32 x 86 + 32 x 29 + 32 x 58 + 64 x 29 = 7392 of 8192
 * weights. */
Test(zenflow, zenflow_sends_the_other_columns)
{
    lspo_model_t model = small_gpt();
    lspo_workload_t workload = small_workload();
    fixture_t f;
    cr_assert_eq(open_fixture(&model, "zenflow", &workload, 0, &f), LSPO_OK);
    uint64_t d2h = 0, h2d = 0;
    for (uint32_t i = 0; i < f.plan->op_count; i++) {
        const lspo_op_t *op = &f.plan->ops[i];
        uint64_t bytes = lspo_work_link_bytes(&f.plan->works[op->work]);
        d2h += op->kind == LSPO_OP_D2H ? bytes : 0;
        h2d += op->kind == LSPO_OP_H2D ? bytes : 0;
    }
    cr_assert_eq(d2h, 4ull * 7392 * BLOCKS * STEPS);
    cr_assert_eq(h2d, 4ull * 7392 * BLOCKS * STEPS / 4, "once a window of four steps");
    close_fixture(&f);
}
