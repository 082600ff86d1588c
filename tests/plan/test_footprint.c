/* Messages and activations, counted by hand on a GPT of w 4, h 2, f 8, V 10, and on llama-7b. */
#include "plan/footprint.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/toy_gpt.h"

static lspo_stage_t stage_of(const lspo_model_t *model, uint32_t index)
{
    lspo_stage_t stage;
    lspo_model_stage(model, index, &stage);
    return stage;
}

/* Linear 48 + 16 + 32 + 32 = 128; biases 12 + 4 + 8 + 4, norms 4 x 4: rest 44. */
Test(footprint, a_dense_message_is_the_stage_array)
{
    lspo_stage_t stage = stage_of(&toy, 1);
    lspo_message_t message;
    lspo_message_dense(&stage, true, &message);
    cr_expect_eq(message.element_count, stage.element_count);
    cr_expect_eq(message.element_count, 172u);
    cr_expect_eq(message.rest_offset_elements, 128u);
    cr_expect_eq(message.rest_elements, 44u);
    for (uint32_t i = 0; i < message.linear_count; i++) {
        cr_expect_eq(message.linear[i].message_offset_elements, stage.tensors[i].offset_elements);
        cr_expect_not(message.linear[i].compressed);
    }
    lspo_message_dense(&stage, false, &message);
    cr_expect_eq(message.element_count, 128u);
    cr_expect_eq(message.rest_elements, 0u);
}

Test(footprint, a_frozen_embedding_sends_nothing)
{
    lspo_stage_t stage = stage_of(&toy, 0);
    lspo_message_t message;
    lspo_message_dense(&stage, false, &message);
    cr_expect_eq(message.element_count, 0u);
    lspo_message_projected(&stage, 2, 1, true, &message);
    cr_expect_eq(message.element_count, 52u); /* (10 + 3) x 4, uncompressed */
}

/* d 8: qkv 4x12 becomes 4x8 = 32 of 48; attention_out 4x4 would stay 16 of 16, mlp_up and mlp_down 32 of 32. */
Test(footprint, what_would_not_shrink_is_sent_as_it_is)
{
    lspo_stage_t stage = stage_of(&toy, 1);
    lspo_message_t message;
    lspo_message_projected(&stage, 8, 6, true, &message);
    cr_expect(message.linear[0].compressed);
    cr_expect_eq(message.linear[0].d_rows, 4u);
    cr_expect_eq(message.linear[0].d_cols, 8u);
    cr_expect_eq(message.linear[0].nnz_rows, 4u);
    cr_expect_eq(message.linear[0].nnz_cols, 6u);
    cr_expect_eq(message.linear[0].message_elements, 32u);
    cr_expect_not(message.linear[1].compressed);
    cr_expect_not(message.linear[2].compressed);
    cr_expect_eq(message.linear[1].message_offset_elements, 32u);
    cr_expect_eq(message.linear[2].message_offset_elements, 48u);
    cr_expect_eq(message.rest_offset_elements, 112u);
    cr_expect_eq(message.element_count, 156u);
}

/* Rank 2: r (m + n) of qkv 2 x 16, attention_out 2 x 8, mlp_up and mlp_down 2 x 12 each: 32 + 16 + 24 + 24 = 96. */
Test(footprint, adapters_lie_one_after_the_other)
{
    static const uint64_t offsets[] = {0, 32, 48, 72};
    lspo_stage_t stage = stage_of(&toy, 1);
    lspo_message_t message;
    lspo_message_adapters(&stage, 2, true, &message);
    for (uint32_t i = 0; i < message.linear_count; i++)
        cr_expect_eq(message.linear[i].message_offset_elements, offsets[i]);
    cr_expect_eq(message.linear[3].message_elements, 24u);
    cr_expect_eq(message.rest_offset_elements, 96u);
    cr_expect_eq(message.element_count, 140u);
    lspo_message_adapters(&stage, 2, false, &message);
    cr_expect_eq(message.element_count, 96u);
    stage = stage_of(&toy, 0);
    lspo_message_adapters(&stage, 2, false, &message);
    cr_expect_eq(message.element_count, 0u);
}

/* Rank 2 of the shorter side: qkv 4 x 12 becomes 2 x 12, attention_out 2 x 4, mlp_up 2 x 8, mlp_down (8 x 4, taller
 * than wide) 8 x 2: 24 + 8 + 16 + 16 = 64.  At rank 4, the shorter side of all, everything is sent as it is. */
Test(footprint, low_rank_projects_the_shorter_side)
{
    lspo_stage_t stage = stage_of(&toy, 1);
    lspo_message_t message;
    lspo_message_lowrank(&stage, 2, true, &message);
    cr_expect_eq(message.linear[0].d_rows, 2u);
    cr_expect_eq(message.linear[0].d_cols, 12u);
    cr_expect_eq(message.linear[3].d_rows, 8u);
    cr_expect_eq(message.linear[3].d_cols, 2u);
    cr_expect_eq(message.linear[1].message_offset_elements, 24u);
    cr_expect_eq(message.linear[2].message_offset_elements, 32u);
    cr_expect_eq(message.linear[3].message_offset_elements, 48u);
    cr_expect_eq(message.rest_offset_elements, 64u);
    cr_expect_eq(message.element_count, 108u);
    for (uint32_t i = 0; i < message.linear_count; i++)
        cr_expect(message.linear[i].compressed);
    lspo_message_lowrank(&stage, 4, true, &message);
    for (uint32_t i = 0; i < message.linear_count; i++)
        cr_expect_not(message.linear[i].compressed);
    cr_expect_eq(message.element_count, stage.element_count);
}

/* d 512 on llama-7b: seven weights of 512 x 512 = 1,835,008 elements instead of 202,375,168: 110 times fewer. */
Test(footprint, llama_block_shrinks_by_two_orders)
{
    lspo_model_t model;
    cr_assert_eq(lspo_model_find("llama-7b", &model), LSPO_OK);
    lspo_stage_t stage = stage_of(&model, 7);
    lspo_message_t message;
    lspo_message_projected(&stage, 512, 16, false, &message);
    cr_expect_eq(message.element_count, 1835008u);
    lspo_message_dense(&stage, false, &message);
    cr_expect_eq(message.element_count, 202375168u);
}

/* A GPT block has four shapes; of a LLaMA block q, k, v and o are w x w, gate and up w x f, down f x w. */
Test(footprint, weights_of_a_shape_are_found)
{
    lspo_model_t llama;
    lspo_message_t message;
    cr_assert_eq(lspo_model_find("llama-7b", &llama), LSPO_OK);
    lspo_stage_t stage = stage_of(&toy, 1);
    lspo_message_projected(&stage, 2, 1, false, &message);
    for (uint32_t i = 0; i < message.linear_count; i++)
        cr_expect_eq(lspo_message_first_alike(&message, i), i);
    stage = stage_of(&llama, 1);
    lspo_message_projected(&stage, 512, 8, false, &message);
    const uint32_t first[] = {0, 0, 0, 0, 4, 4, 6};
    cr_assert_eq(message.linear_count, 7u);
    for (uint32_t i = 0; i < 7; i++)
        cr_expect_eq(lspo_message_first_alike(&message, i), first[i], "weight %u", i);
}

/* batch 2 of s 3, T 6.  fp32: saved T (7 w + 2 f + h s + 4) = 6 (28 + 16 + 6 + 4) = 324 floats, head
 * T (w + V + 2) = 96 floats, workspace max(T (6 w + f), head) + (32 + w / h) s = 192 + 102 floats.
 * fp16, flash attention: 6 (2 (28 + 16) + 4 x 2 + 4 x 4) = 672 bytes; head 6 (2 (4 + 16) + 8) = 288, since rows of 10
 * logits start 16 apart, workspace 6 x 2 x 32. */
Test(footprint, activations_by_hand)
{
    lspo_workload_t workload;
    lspo_activations_t activations;
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 3;
    workload.precision = LSPO_FP32;
    lspo_activations(&toy, &workload, &activations);
    cr_expect_eq(activations.saved_bytes, 4u * 324u);
    cr_expect_eq(activations.input_bytes, 4u * 24u);
    cr_expect_eq(activations.head_bytes, 4u * 96u);
    cr_expect_eq(activations.workspace_bytes, 4u * 294u);
    workload.precision = LSPO_FP16;
    lspo_activations(&toy, &workload, &activations);
    cr_expect_eq(activations.saved_bytes, 672u);
    cr_expect_eq(activations.head_bytes, 288u);
    cr_expect_eq(activations.workspace_bytes, 384u);
}

/* Rows of 16-bit logits start at multiples of 16 bytes, and no further apart than that needs. */
Test(footprint, rows_of_logits_are_aligned)
{
    cr_expect_eq(lspo_logits_stride(50257, 2), 50264u);
    cr_expect_eq(lspo_logits_stride(50264, 2), 50264u);
    cr_expect_eq(lspo_logits_stride(1, 2), 8u);
    cr_expect_eq(lspo_logits_stride(UINT32_MAX, 2), UINT64_C(1) << 32);
    cr_expect_eq(lspo_logits_stride(50257, 4), 50257u);
}

/* LLAMA with kv 2: saved T (5 w + 2 kv + 3 f + h s + 2) = 6 (20 + 4 + 24 + 6 + 2) = 336 floats, head T (w + V + 1)
 * = 90, workspace T (4 w + 2 kv + 2 f) + (32 + 2 + 2) s = 216 + 108.  Classifier: saved as GPT, head 2 (w + 3) = 14,
 * workspace as GPT. */
Test(footprint, activations_of_other_families_by_hand)
{
    lspo_workload_t workload;
    lspo_activations_t activations;
    lspo_model_t model = toy;
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 3;
    workload.precision = LSPO_FP32;
    model.family = LSPO_FAMILY_LLAMA;
    model.kv_head_count = 1;
    model.tied_head = false;
    lspo_activations(&model, &workload, &activations);
    cr_expect_eq(activations.saved_bytes, 4u * 336u);
    cr_expect_eq(activations.head_bytes, 4u * 90u);
    cr_expect_eq(activations.workspace_bytes, 4u * 324u);
    workload.precision = LSPO_BF16; /* 216 numbers and the table of 2 s floats */
    lspo_activations(&model, &workload, &activations);
    cr_expect_eq(activations.saved_bytes, 6u * (2u * (20 + 4 + 24) + 4u * 2 + 4u * 2));
    cr_expect_eq(activations.workspace_bytes, 2u * 216u + 4u * 6u);
    workload.precision = LSPO_FP32;
    model.family = LSPO_FAMILY_BERT;
    model.kv_head_count = 2;
    model.class_count = 3;
    lspo_activations(&model, &workload, &activations);
    cr_expect_eq(activations.saved_bytes, 4u * 324u);
    cr_expect_eq(activations.head_bytes, 4u * 14u);
    cr_expect_eq(activations.workspace_bytes, 4u * 294u);
}

/* Every field counts once: with powers of two, a forgotten or doubled one changes the sum. */
Test(footprint, sums_cover_every_field)
{
    lspo_footprint_t footprint;
    memset(&footprint, 0, sizeof footprint);
    uint64_t *fields = (uint64_t *)&footprint;
    for (size_t i = 0; i < sizeof footprint / sizeof *fields; i++) {
        fields[i] = UINT64_C(1) << i;
    }
    cr_expect_eq(lspo_footprint_gpu_bytes(&footprint) + lspo_footprint_host_bytes(&footprint),
                 (UINT64_C(1) << (sizeof footprint / sizeof *fields)) - 1);
    cr_expect_eq(lspo_footprint_gpu_bytes(&footprint) & lspo_footprint_host_bytes(&footprint), 0u);
}
