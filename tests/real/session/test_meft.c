/* meft on the host: losses and gradients are those of a dense adapter under a mask, computed by loops in double and by
 * finite differences; bytes on the link, memory and numbers of rows are those of the plan; rows that no token uses do
 * not change; segments, workers, micro-batches and evaluations agree. */
#include "plan/policies/meft.h"

#include "kernels/random.h"
#include "real/methods/meft_state.h"
#include "tests/session_fixture.h"

static const char name[] = "meft";

enum { WIDTH = 32, TOKENS = 32, ROWS = 24, ROW = 2 * WIDTH, SHORT = 6 };

static lspo_workload_t workload_of(lspo_meft_values_t values)
{
    lspo_workload_t workload = small_workload();
    workload.iterations = SHORT;
    workload.weight_decay = 0.1;
    *lspo_meft_values_edit(&workload) = values;
    return workload;
}

static const lspo_meft_values_t few = {ROWS, 6, 2, 5, 0};

/* ---- the adapter by loops ---- */

typedef struct {
    training_t *training;
    bool chosen[BLOCKS + 1][TOKENS][ROWS];
    float *x[2], *saved, *saved_head;
} reference_t;

static int descending(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return a[0] != b[0] ? (a[0] < b[0]) - (a[0] > b[0]) : (a[1] > b[1]) - (a[1] < b[1]);
}

static double dot(const float *x, const float *y, size_t stride)
{
    double sum = 0;
    for (size_t i = 0; i < WIDTH; i++)
        sum += (double)x[i] * (double)y[i * stride];
    return sum;
}

/* The K rows with the largest |g_e| (h . k) of the experts with the largest g_e. */
static void choose(const lspo_meft_shape_t *shape, const lspo_meft_stage_t *own, const float *h, bool *chosen)
{
    double gates[ROWS][2], scores[ROWS][2];
    uint32_t count = 0;
    for (uint32_t e = 0; e < shape->experts; e++) {
        gates[e][0] = dot(h, (const float *)own->router + e, shape->experts);
        gates[e][1] = e;
    }
    qsort(gates, shape->experts, sizeof gates[0], descending);
    for (uint32_t i = 0; i < shape->probes; i++)
        for (uint32_t k = 0; k < shape->each; k++) {
            const uint32_t row = (uint32_t)gates[i][1] * shape->each + k;
            scores[count][0] = fabs(gates[i][0]) * dot(h, own->rows + (size_t)row * ROW, 1);
            scores[count++][1] = row;
        }
    qsort(scores, count, sizeof scores[0], descending);
    memset(chosen, 0, ROWS * sizeof *chosen);
    for (uint32_t i = 0; i < shape->chosen; i++)
        chosen[(uint32_t)scores[i][1]] = true;
}

static void add_adapter(const lspo_meft_stage_t *own, const bool *chosen, const float *h, float *y)
{
    double sum[WIDTH] = {0};
    for (uint32_t row = 0; row < ROWS; row++) {
        const float *key = own->rows + (size_t)row * ROW;
        const double score = dot(h, key, 1);
        for (size_t i = 0; chosen[row] && score > 0 && i < WIDTH; i++)
            sum[i] += score * (double)key[WIDTH + i];
    }
    for (size_t i = 0; i < WIDTH; i++)
        y[i] = (float)((double)y[i] + sum[i]);
}

/* The loss of the first batch; rows are chosen first, unless `keep`. */
static double reference_loss(reference_t *r, bool keep)
{
    lspo_session_t *session = r->training->session;
    lspo_transformer_t *t = session->transformer;
    const lspo_meft_shape_t shape = lspo_meft_of(session)->shape;
    uint32_t tokens[TOKENS], targets[TOKENS], lengths[2] = {TOKENS / 2, TOKENS / 2}, head = session->stage_count - 1;
    lspo_batch_t batch = {.tokens = tokens, .targets = targets, .lengths = lengths};
    double sum = 0;
    size_t counted = 0;
    cr_assert_eq(made_up_batch(&r->training->workload, 0, 0, &batch), LSPO_OK);
    lspo_transformer_embed_forward(t, tokens, session->stages[0].weights, r->x[0]);
    for (uint32_t s = 1; s < head; s++) {
        const lspo_meft_stage_t *own = lspo_meft_stage_of(session, s);
        const lspo_block_parameters_t block = {.weights = session->stages[s].weights};
        float *y = r->x[s % 2];
        lspo_transformer_block_begin(t, &block, r->x[(s + 1) % 2], r->saved);
        lspo_transformer_block_mlp(t, &block, r->saved, y);
        for (size_t i = 0; i < TOKENS; i++) {
            const float *h = (const float *)lspo_transformer_mlp_input(t, r->saved) + i * WIDTH;
            if (!keep)
                choose(&shape, own, h, r->chosen[s][i]);
            add_adapter(own, r->chosen[s][i], h, y + i * WIDTH);
        }
        lspo_transformer_block_end(t, &block, r->saved, y);
    }
    lspo_transformer_head_forward(t,
                                  &(lspo_head_parameters_t){session->stages[head].weights, session->stages[0].weights},
                                  targets, r->x[(head - 1) % 2], r->saved_head, &sum);
    for (size_t i = 0; i < TOKENS; i++)
        counted += targets[i] != LSPO_TARGET_IGNORED;
    return sum / (double)counted;
}

static void reference_begin(training_t *training, reference_t *r)
{
    *r = (reference_t){.training = training};
    for (int i = 0; i < 2; i++)
        r->x[i] = floats(TOKENS * WIDTH);
    r->saved = floats(lspo_transformer_saved_bytes(training->session->transformer, 1) / sizeof(float));
    r->saved_head = floats(lspo_transformer_saved_bytes(training->session->transformer, BLOCKS + 1) / sizeof(float));
}

static void reference_end(reference_t *r)
{
    free(r->saved_head);
    free(r->saved);
    free(r->x[1]);
    free(r->x[0]);
}

/* Values that are not 0, so that keys have gradients, too. */
static void fill_values(const training_t *training)
{
    for (uint32_t s = 1; s <= BLOCKS; s++)
        for (size_t row = 0; row < ROWS; row++)
            lspo_random_normal_fill_from(4, s, 0.2, row * WIDTH, WIDTH,
                                         lspo_meft_stage_of(training->session, s)->rows + row * ROW + WIDTH);
}

/* The gradient of a number: of m after the first step, (1 - b1) g. */
static double gradient_at(const lspo_meft_stage_t *own, size_t at)
{
    return (double)own->moments[at] / (double)(1 - 0.9F);
}

/* Central differences at the numbers of a block with the largest gradients and at some others; all rows are `kept`. */
static void check_gradients(reference_t *r, uint32_t s, float *const *kept)
{
    lspo_meft_stage_t *own = lspo_meft_stage_of(r->training->session, s);
    double largest = 0;
    for (uint32_t b = 1; b <= BLOCKS; b++)
        memcpy(lspo_meft_stage_of(r->training->session, b)->rows, kept[b], ROWS * ROW * sizeof(float));
    for (size_t at = 0; at < ROWS * ROW; at++)
        largest = fmax(largest, fabs(gradient_at(own, at)));
    cr_assert_gt(largest, 2e-3);
    for (size_t at = 0; at < ROWS * ROW; at++) {
        const double gradient = gradient_at(own, at);
        const float step = 2e-3F;
        double losses[2];
        if (fabs(gradient) < 0.7 * largest && at % 97 != 0)
            continue;
        for (int side = 0; side < 2; side++) {
            own->rows[at] = kept[s][at] + (side ? step : -step);
            losses[side] = reference_loss(r, true);
        }
        own->rows[at] = kept[s][at];
        cr_assert_float_eq((losses[1] - losses[0]) / (2 * (double)step), gradient, 0.03 * largest,
                           "block %u, number %zu: %g, not %g", s, at, gradient,
                           (losses[1] - losses[0]) / (2 * (double)step));
    }
}

static void check_against_loops(lspo_meft_values_t values, bool checkpointing)
{
    lspo_workload_t workload = workload_of(values);
    training_t training;
    reference_t r;
    double losses[STEPS];
    float *kept[BLOCKS + 1];
    workload.iterations = 1;
    workload.checkpointing = checkpointing;
    training_begin(name, &workload, &training);
    fill_values(&training);
    reference_begin(&training, &r);
    for (uint32_t s = 1; s <= BLOCKS; s++) {
        kept[s] = floats(ROWS * ROW);
        memcpy(kept[s], lspo_meft_stage_of(training.session, s)->rows, ROWS * ROW * sizeof(float));
    }
    const double expected = reference_loss(&r, false);
    training_run(&training, losses);
    cr_assert_float_eq(losses[0], expected, 1e-5 * expected);
    for (uint32_t s = 1; s <= BLOCKS; s++)
        check_gradients(&r, s, kept);
    for (uint32_t s = 1; s <= BLOCKS; s++)
        free(kept[s]);
    reference_end(&r);
    training_end(&training);
}

Test(meft, equals_the_masked_adapter_by_loops)
{
    check_against_loops(few, false);
    check_against_loops(few, true);
    check_against_loops((lspo_meft_values_t){ROWS, 3, 3, 7, 0}, false);
}

/* With K = r and all experts the mask is none. */
Test(meft, equals_the_dense_adapter)
{
    check_against_loops((lspo_meft_values_t){ROWS, 1, 1, ROWS, 0}, false);
    check_against_loops((lspo_meft_values_t){ROWS, 4, 4, ROWS, 0}, false);
}

/* ---- other families: a classifier with norms behind the sums, and gated MLPs ---- */

static lspo_status_t any_targets(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    const lspo_model_t *model = context;
    (void)step;
    (void)micro;
    for (uint32_t i = 0; i < TOKENS; i++) {
        batch->tokens[i] = (i * i + 3) % 97;
        batch->targets[i] = model->class_count > 0 ? i % model->class_count : (i * 7 + 1) % 97;
    }
    return LSPO_OK;
}

/* The gradient of a number, of m after one step, against the losses of evaluations around it. */
static void check_family(lspo_family_t family, uint32_t classes, bool checkpointing)
{
    lspo_workload_t workload = workload_of((lspo_meft_values_t){ROWS, 4, 4, ROWS, 0});
    lspo_model_t model = small_model();
    training_t training = {0};
    const lspo_policy_t *policy = NULL;
    lspo_device_caps_t caps = {0};
    double losses[STEPS];
    float *kept[BLOCKS + 1];
    model.family = family;
    model.class_count = classes;
    model.tied_head = classes == 0;
    workload.iterations = 1;
    workload.checkpointing = checkpointing;
    cr_assert_eq(lspo_policy_find(name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, &workload, policy, &training.plan), LSPO_OK);
    cr_assert_eq(lspo_device_open("host", &caps, &training.device), LSPO_OK);
    cr_assert_eq(lspo_session_create(training.plan, training.device, NULL, &training.session), LSPO_OK);
    lspo_session_set_batches(training.session, any_targets, &model);
    fill_values(&training);
    for (uint32_t s = 1; s <= BLOCKS; s++) {
        kept[s] = floats(ROWS * ROW);
        memcpy(kept[s], lspo_meft_stage_of(training.session, s)->rows, ROWS * ROW * sizeof(float));
    }
    training_run(&training, losses);
    for (uint32_t s = 1; s <= BLOCKS; s++)
        memcpy(lspo_meft_stage_of(training.session, s)->rows, kept[s], ROWS * ROW * sizeof(float));
    for (uint32_t s = 1; s <= BLOCKS; s++) {
        lspo_meft_stage_t *own = lspo_meft_stage_of(training.session, s);
        double largest = 0;
        for (size_t at = 0; at < ROWS * ROW; at++)
            largest = fmax(largest, fabs(gradient_at(own, at)));
        cr_assert_gt(largest, 1e-3);
        for (size_t at = 0; at < ROWS * ROW; at++) {
            lspo_evaluation_t around[2];
            if (fabs(gradient_at(own, at)) < 0.8 * largest && at % 211 != 0)
                continue;
            for (int side = 0; side < 2; side++) {
                own->rows[at] = kept[s][at] + (side ? 2e-3F : -2e-3F);
                cr_assert_eq(lspo_session_evaluate(training.session, any_targets, &model, 1, &around[side]), LSPO_OK);
            }
            own->rows[at] = kept[s][at];
            cr_assert_float_eq((around[1].loss - around[0].loss) / 4e-3, gradient_at(own, at), 0.04 * largest,
                               "family %d, block %u, number %zu", (int)family, s, at);
        }
    }
    for (uint32_t s = 1; s <= BLOCKS; s++)
        free(kept[s]);
    training_end(&training);
}

Test(meft, llama)
{
    check_family(LSPO_FAMILY_LLAMA, 0, false);
}

/* With checkpointing, its second norm needs the sum with the adapter's result again. */
Test(meft, bert)
{
    check_family(LSPO_FAMILY_BERT, 2, false);
    check_family(LSPO_FAMILY_BERT, 2, true);
}

/* ---- trainings ---- */

static void train_rows(const lspo_workload_t *workload, double *losses, training_t *training)
{
    training_begin(name, workload, training);
    training_run(training, losses);
}

static void assert_same_rows(const char *what, const training_t *a, const training_t *b)
{
    for (uint32_t s = 1; s <= BLOCKS; s++) {
        const lspo_meft_stage_t *of_a = lspo_meft_stage_of(a->session, s), *of_b = lspo_meft_stage_of(b->session, s);
        cr_assert_arr_eq(of_a->rows, of_b->rows, ROWS * ROW * sizeof(float), "%s: rows of block %u", what, s);
        cr_assert_arr_eq(of_a->moments, of_b->moments, 2 * ROWS * ROW * sizeof(float), "%s: block %u", what, s);
        cr_assert_arr_eq(of_a->steps, of_b->steps, ROWS * sizeof(uint32_t), "%s: block %u", what, s);
    }
}

/* The router is not in the result of a dense adapter. */
Test(meft, dense_adapters_of_one_and_of_many_experts_train_alike)
{
    const lspo_workload_t one = workload_of((lspo_meft_values_t){ROWS, 1, 1, ROWS, 0});
    const lspo_workload_t many = workload_of((lspo_meft_values_t){ROWS, 8, 8, ROWS, 0});
    double first[STEPS], second[STEPS];
    training_t a, b;
    train_rows(&one, first, &a);
    train_rows(&many, second, &b);
    cr_expect_arr_eq(first, second, SHORT * sizeof *first);
    assert_same_rows("experts", &a, &b);
    training_end(&b);
    training_end(&a);
}

/* With one expert its gate weighs all rows alike: with the negative of W_g, the same rows are chosen. */
Test(meft, the_sign_of_a_gate_does_not_choose)
{
    const lspo_workload_t workload = workload_of((lspo_meft_values_t){ROWS, 1, 1, 7, 0});
    double losses[STEPS], of_negative[STEPS];
    training_t plain, negative;
    train_rows(&workload, losses, &plain);
    training_begin(name, &workload, &negative);
    for (uint32_t s = 1; s <= BLOCKS; s++) {
        float *router = lspo_meft_stage_of(negative.session, s)->router;
        for (size_t i = 0; i < WIDTH; i++)
            router[i] = -router[i];
    }
    training_run(&negative, of_negative);
    cr_expect_arr_eq(of_negative, losses, SHORT * sizeof *losses);
    assert_same_rows("the negative", &negative, &plain);
    training_end(&negative);
    training_end(&plain);
}

/* A row has as many steps as it had micro-batches; one that no token has used is as it was drawn. */
Test(meft, only_rows_in_use_are_updated)
{
    lspo_workload_t workload = workload_of((lspo_meft_values_t){ROWS, 12, 1, 1, 0});
    double losses[STEPS];
    training_t training, fresh;
    uint64_t steps = 0, untouched = 0;
    workload.iterations = 1;
    train_rows(&workload, losses, &training);
    training_begin(name, &workload, &fresh);
    for (uint32_t s = 1; s <= BLOCKS; s++) {
        const lspo_meft_stage_t *own = lspo_meft_stage_of(training.session, s);
        const lspo_meft_stage_t *first = lspo_meft_stage_of(fresh.session, s);
        for (size_t row = 0; row < ROWS; row++) {
            const bool same = memcmp(own->rows + row * ROW, first->rows + row * ROW, ROW * sizeof(float)) == 0;
            const bool zero = memcmp(own->moments + row * ROW, first->moments + row * ROW, ROW * sizeof(float)) == 0;
            cr_expect_eq(same, own->steps[row] == 0, "block %u, row %zu", s, row);
            cr_expect(zero || own->steps[row] > 0, "block %u, row %zu", s, row);
            untouched += own->steps[row] == 0;
            steps += own->steps[row];
        }
    }
    cr_expect_eq(steps, lspo_meft_of(training.session)->ledger.rows);
    cr_expect_gt(untouched, 0u);
    training_end(&fresh);
    training_end(&training);
}

/* 2 |U| d p each way, in the link's format; and the copies of choosing. */
Test(meft, the_ledger_is_what_crosses_the_link)
{
    for (int half = 0; half < 2; half++) {
        lspo_workload_t workload = workload_of(few);
        double losses[STEPS];
        training_t training;
        workload.transfer = half ? LSPO_BF16 : LSPO_FP32;
        workload.accumulation = 2;
        train_rows(&workload, losses, &training);
        const lspo_meft_ledger_t *ledger = &lspo_meft_of(training.session)->ledger;
        const uint64_t number = half ? 2 : 4, batches = BLOCKS * 2 * SHORT;
        cr_expect_eq(ledger->batches, batches);
        cr_expect_leq(ledger->rows, batches * ROWS);
        cr_expect_gt(ledger->rows, batches * 5);
        cr_expect_eq(ledger->to_gpu_bytes, ledger->rows * ROW * number);
        cr_expect_eq(ledger->to_host_bytes, ledger->rows * ROW * number);
        cr_expect_eq(ledger->routing_bytes, batches * (TOKENS * WIDTH * number + TOKENS * 2 * 8) +
                                                4 * (batches * (2 * TOKENS * 5 + 1) + ledger->rows));
        training_end(&training);
    }
}

/* Of tokens as alike as these are, the rows used are those expected, within 5 %. */
static lspo_status_t any_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    (void)context;
    for (uint32_t i = 0; i < TOKENS; i++) {
        batch->tokens[i] = lspo_random_below(6, step * 8 + micro, i, 256);
        batch->targets[i] = lspo_random_below(7, step * 8 + micro, i, 256);
    }
    return LSPO_OK;
}

Test(meft, rows_used_are_those_expected)
{
    enum { WIDE = 256 };
    lspo_workload_t workload = workload_of((lspo_meft_values_t){WIDE, 32, 8, 16, 0});
    double losses[STEPS];
    training_t training;
    for (uint32_t probes = 4; probes <= 8; probes += 4) {
        workload.iterations = 20;
        lspo_meft_values_edit(&workload)->probes = (int32_t)probes;
        training_begin(name, &workload, &training);
        lspo_session_set_batches(training.session, any_batch, NULL);
        training_run(&training, losses);
        const lspo_meft_t *meft = lspo_meft_of(training.session);
        const double used = (double)meft->ledger.rows / (double)meft->ledger.batches;
        const double alike = meft->ledger.alike / (double)meft->ledger.batches;
        const double expected = lspo_meft_rows_expected(&meft->shape, TOKENS, alike);
        cr_expect_float_eq(used, expected, 0.05 * expected, "%u probes: %g rows, expected %g of tokens alike by %g",
                           probes, used, expected, alike);
        training_end(&training);
    }
}

Test(meft, memory_is_what_the_plan_says)
{
    for (int variant = 0; variant < 16; variant++) {
        lspo_workload_t workload = workload_of(few);
        workload.checkpointing = variant & 1;
        workload.transfer = variant & 2 ? LSPO_BF16 : LSPO_FP32;
        workload.accumulation = variant & 4 ? 2 : 1;
        workload.train_rest = variant & 8 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
        assert_planned_memory(name, &workload);
    }
}

static lspo_status_t same_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    (void)micro;
    return made_up_batch(context, step, 0, batch);
}

/* Two equal micro-batches are one, up to rounding: losses, the norm, clipped or not, and which rows are updated. */
Test(meft, micro_batches_are_one_batch)
{
    for (int clips = 0; clips < 2; clips++) {
        lspo_workload_t workload = workload_of(few);
        double losses[2][STEPS], norms[2];
        training_t trainings[2];
        workload.clip_norm = clips ? 0.02 : 10;
        workload.train_rest = LSPO_TRAIN_REST_ON;
        for (int i = 0; i < 2; i++) {
            workload.accumulation = 1 + (uint32_t)i;
            training_begin(name, &workload, &trainings[i]);
            lspo_session_set_batches(trainings[i].session, same_batch, &trainings[i].workload);
            training_run(&trainings[i], losses[i]);
            norms[i] = lspo_session_gradient_norm(trainings[i].session);
        }
        for (int i = 0; i < SHORT; i++)
            cr_expect_float_eq(losses[1][i], losses[0][i], 1e-5 * losses[0][i], "step %d", i);
        cr_expect_float_eq(norms[1], norms[0], 1e-3 * norms[0]);
        cr_expect_arr_eq(lspo_meft_stage_of(trainings[0].session, 1)->steps,
                         lspo_meft_stage_of(trainings[1].session, 1)->steps, ROWS * sizeof(uint32_t));
        training_end(&trainings[1]);
        training_end(&trainings[0]);
    }
}

/* Of the first step, in which nothing clips: m is (1 - b1) g. */
Test(meft, the_norm_is_that_of_all_gradients)
{
    for (uint32_t accumulation = 1; accumulation <= 2; accumulation++) {
        lspo_workload_t workload = workload_of(few);
        double losses[STEPS], sum = 0;
        training_t training;
        workload.iterations = 1;
        workload.clip_norm = 1000;
        workload.accumulation = accumulation;
        train_rows(&workload, losses, &training);
        for (uint32_t s = 1; s <= BLOCKS; s++)
            for (size_t at = 0; at < ROWS * ROW; at++)
                sum += pow(gradient_at(lspo_meft_stage_of(training.session, s), at), 2);
        cr_expect_gt(sum, 0);
        cr_expect_float_eq(lspo_session_gradient_norm(training.session), sqrt(sum), 1e-4 * sqrt(sum));
        training_end(&training);
    }
}

/* The state of a session, written into another one at the same step, continues it bit for bit; so do two segments. */
Test(meft, continues_from_its_state)
{
    lspo_workload_t workload = workload_of(few), second;
    training_t whole, parts, resumed;
    double losses[STEPS], first[STEPS], rest[STEPS], again[STEPS];
    workload.train_rest = LSPO_TRAIN_REST_ON;
    train_rows(&workload, losses, &whole);
    second = workload;
    workload.iterations = second.first_step = SHORT / 2;
    second.iterations = SHORT - SHORT / 2;
    train_rows(&workload, first, &parts);
    training_begin(name, &workload, &resumed);
    for (uint32_t i = 0; i < lspo_session_state_count(parts.session); i++) {
        lspo_state_array_t from, to;
        lspo_session_state_at(parts.session, i, &from);
        lspo_session_state_at(resumed.session, i, &to);
        cr_assert_str_eq(from.name, to.name);
        memcpy(to.data, from.data, lspo_state_array_bytes(&from));
    }
    cr_assert_eq(lspo_session_state_written(resumed.session), LSPO_OK);
    training_continue(&parts, name, &second);
    training_continue(&resumed, name, &second);
    training_run(&parts, rest);
    training_run(&resumed, again);
    cr_assert_arr_eq(rest, losses + SHORT / 2, (SHORT - SHORT / 2) * sizeof *rest);
    cr_assert_arr_eq(again, rest, (SHORT - SHORT / 2) * sizeof *rest);
    assert_same_rows("segments", &parts, &whole);
    assert_same_rows("resumed", &resumed, &whole);
    training_end(&resumed);
    training_end(&parts);
    training_end(&whole);
}

Test(meft, workers_change_nothing)
{
    lspo_workload_t workload = workload_of(few);
    training_t alone, shared;
    double losses[STEPS], with_workers[STEPS];
    lspo_workers_t *workers = NULL;
    workload.transfer = LSPO_BF16;
    workload.accumulation = 2;
    workload.clip_norm = 0.05;
    train_rows(&workload, losses, &alone);
    cr_assert_eq(lspo_workers_create(3, NULL, &workers), LSPO_OK);
    training_begin(name, &workload, &shared);
    cr_assert_eq(lspo_session_set_workers(shared.session, workers), LSPO_OK);
    training_run(&shared, with_workers);
    cr_expect_arr_eq(with_workers, losses, SHORT * sizeof *losses);
    assert_same_rows("workers", &shared, &alone);
    training_end(&shared);
    lspo_workers_destroy(workers);
    training_end(&alone);
}

/* The loss of the first batch before the first step, in a training and in an evaluation. */
Test(meft, an_evaluation_uses_the_adapter)
{
    lspo_workload_t workload = workload_of(few);
    double losses[STEPS];
    lspo_evaluation_t evaluation, after;
    training_t training;
    training_begin(name, &workload, &training);
    fill_values(&training);
    cr_assert_eq(lspo_session_evaluate(training.session, made_up_batch, &training.workload, 1, &evaluation), LSPO_OK);
    training_run(&training, losses);
    cr_assert_eq(lspo_session_evaluate(training.session, made_up_batch, &training.workload, 1, &after), LSPO_OK);
    cr_expect_float_eq(evaluation.loss, losses[0], 1e-9);
    cr_expect_lt(after.loss, evaluation.loss);
    training_end(&training);
}

Test(meft, there_are_no_weights_that_include_it)
{
    const lspo_workload_t workload = workload_of(few);
    training_t training;
    training_begin(name, &workload, &training);
    float *weights = floats(training.session->stages[1].shape.element_count);
    cr_expect_eq(lspo_session_merged_weights(training.session, 1, weights), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_session_weights(training.session, 1, weights), LSPO_OK);
    free(weights);
    training_end(&training);
}
