/* Targets that do not count, logits of chosen positions, and GPTs with a head of their own or with grouped queries:
 * against the naive implementation of family_reference.h. */
#include "kernels/pack.h"
#include "tests/family_reference.h"

enum { BATCH = 2, SEQUENCE = 5, T = BATCH * SEQUENCE, V = 11 };

static const lspo_model_t tiny = {.name = "tiny",
                                  .family = LSPO_FAMILY_GPT,
                                  .block_count = 2,
                                  .width = 8,
                                  .head_count = 2,
                                  .kv_head_count = 2,
                                  .mlp_width = 12,
                                  .vocabulary = V,
                                  .max_sequence = 5,
                                  .tied_head = true,
                                  .norm_epsilon = 1e-5};

static const uint32_t tokens[T] = {3, 1, 4, 1, 5, 9, 2, 6, 10, 3};
static const uint32_t targets[T] = {1, 4, 1, 5, 9, 2, 6, 10, 3, 0};
/* A prompt of three tokens, and padding after two tokens of the second sequence. */
static const uint32_t masked[T] = {LSPO_TARGET_IGNORED, LSPO_TARGET_IGNORED, LSPO_TARGET_IGNORED, 5, 9, 2, 6,
                                   LSPO_TARGET_IGNORED, LSPO_TARGET_IGNORED, LSPO_TARGET_IGNORED};

static void assert_model(const lspo_model_t *model, const uint32_t *wanted)
{
    tested_t m;
    reference_t r;
    tested_create(model, BATCH, SEQUENCE, &m);
    reference_create(&m, &r);
    tested_forward(&m, tokens, wanted);
    assert_loss(&m, &r, tokens, wanted);
    tested_backward(&m, tokens, wanted, 1.0F, false);
    assert_gradients(&m, &r, tokens, wanted);
    assert_logits(&m, &r, tokens, wanted);
    assert_sizes(&m);
    reference_destroy(&r);
    tested_destroy(&m);
}

Test(transformer_targets, a_gpt_with_a_head_of_its_own)
{
    lspo_model_t model = tiny;
    model.tied_head = false;
    assert_model(&model, targets);
    assert_accumulation(&model, BATCH, SEQUENCE, (micro_t){tokens, targets}, (micro_t){targets, tokens});
}

Test(transformer_targets, a_gpt_with_grouped_queries_and_another_epsilon)
{
    lspo_model_t model = tiny;
    model.kv_head_count = 1;
    model.norm_epsilon = 1e-2;
    assert_model(&model, targets);
    assert_adapters(&model, BATCH, SEQUENCE, tokens, targets);
}

/* The mean is over the four targets that count, and so are the gradients.  With a tied head and two of the ten tokens
 * never reaching a loss, every tensor still has a gradient to see. */
Test(transformer_targets, masked_loss_and_gradients_equal_the_reference)
{
    assert_model(&tiny, masked);
}

/* No target but one: the loss of that token alone, ln(sum e^logit) - logit. */
Test(transformer_targets, one_target_is_its_own_mean)
{
    uint32_t one[T];
    float logits[V];
    tested_t m;
    tested_create(&tiny, BATCH, SEQUENCE, &m);
    memset(one, 0xff, sizeof one);
    one[7] = 4;
    tested_forward(&m, tokens, one);
    lspo_transformer_logits(m.t, &(lspo_head_parameters_t){m.weights[3], m.weights[0]}, m.x[2], 1, &(uint32_t){7},
                            logits);
    double sum = 0.0;
    for (size_t j = 0; j < V; j++)
        sum += exp((double)logits[j]);
    cr_assert_float_eq(m.loss, log(sum) - (double)logits[4], 1e-5);
    tested_destroy(&m);
}

/* Nothing counts: no loss and no gradient, rather than 0 / 0. */
Test(transformer_targets, no_target_no_gradient)
{
    uint32_t none[T];
    tested_t m;
    tested_create(&tiny, BATCH, SEQUENCE, &m);
    memset(none, 0xff, sizeof none);
    tested_forward(&m, tokens, none);
    cr_assert_eq(m.loss, 0.0);
    tested_backward(&m, tokens, none, 1.0F, false);
    for (uint32_t stage = 0; stage < m.stages; stage++)
        for (size_t i = 0; i < m.shape[stage].element_count; i++)
            cr_assert_eq(m.gradient[stage][i], 0.0F);
    tested_destroy(&m);
}

/* In another format, from the linear tensors on, and by columns, from an odd place on, too, they are the same
 * numbers. */
Test(transformer_init, weights_are_made_in_any_format_and_in_parts)
{
    lspo_model_t model;
    lspo_stage_t shape;
    cr_assert_eq(lspo_model_find("gpt-tiny", &model), LSPO_OK);
    model.mlp_width = 37;
    lspo_model_stage(&model, 1, &shape);
    const size_t n = shape.element_count, rest = n - shape.tensors[shape.linear_count].offset_elements;
    const lspo_tensor_t *tensor = &shape.tensors[shape.linear_count - 2]; /* of odd width */
    const lspo_init_t init = {1, 5, LSPO_NUMBER_BF16};
    float *wide = malloc(n * sizeof *wide), *columns = malloc(tensor->rows * 7UL * sizeof *columns);
    uint16_t *wanted = malloc(n * sizeof *wanted), *narrow = malloc(n * sizeof *narrow);
    cr_assert(wide && columns && wanted && narrow);
    lspo_transformer_init(&model, 1, 5, wide);
    lspo_convert(n, LSPO_NUMBER_FP32, wide, LSPO_NUMBER_BF16, wanted);
    lspo_transformer_init_as(&model, &init, narrow);
    cr_expect_arr_eq(narrow, wanted, n * sizeof *narrow);
    lspo_transformer_init_rest(&model, &init, narrow);
    cr_expect_arr_eq(narrow, wanted + n - rest, rest * sizeof *narrow);
    cr_assert_eq(tensor->cols % 2, 1u);
    lspo_transformer_init_columns(&model, &init, &(lspo_init_columns_t){shape.linear_count - 2, 3, 7}, columns);
    for (size_t i = 0; i < tensor->rows * 7UL; i++)
        cr_assert_eq(columns[i], wide[tensor->offset_elements + i / 7 * tensor->cols + 3 + i % 7], "number %zu", i);
    free(narrow);
    free(wanted);
    free(columns);
    free(wide);
}
