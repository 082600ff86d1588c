/* Folders with weights in 4 bits: what files of GPTQ's and AWQ's layouts hold comes back number by number, and what is
 * not supported is refused by name. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/pack.h"
#include "real/formats/hf_model.h"
#include "tests/own_folder.h"

TestSuite(hf_int4, .init = make_folder, .fini = remove_folder);

enum { WIDTH = 32, MLP = 64, VOCABULARY = 16, GROUP = 32, TENSORS = 48, LINEAR = 7 };

/* What a folder is made of; changed by the cases that must be refused. */
typedef struct {
    bool awq, symmetric, v2, no_scales, short_zeros, other_order, no_order, has_biases;
    uint16_t bias;      /* of the last of each, with has_biases */
    uint16_t half;      /* in place of the scale of group 1, column 5 of down_proj; 0: none */
    const char *config; /* quantization_config; NULL: as above says */
} kind_t;

static const struct {
    const char *name;
    uint32_t m, n;
} linear[LINEAR] = {{"self_attn.q_proj", WIDTH, WIDTH}, {"self_attn.k_proj", WIDTH, WIDTH},
                    {"self_attn.v_proj", WIDTH, WIDTH}, {"self_attn.o_proj", WIDTH, WIDTH},
                    {"mlp.gate_proj", WIDTH, MLP},      {"mlp.up_proj", WIDTH, MLP},
                    {"mlp.down_proj", MLP, WIDTH}};

static uint32_t code_of(uint32_t weight, uint32_t i, uint32_t j)
{
    return (i * 7 + j * 3 + i * j + weight) % 16;
}

static uint32_t zero_of(const kind_t *kind, uint32_t g, uint32_t j)
{
    const uint32_t less = kind->awq || kind->v2 ? 0 : 1;
    return kind->symmetric ? 8 : (g * 5 + j * 3) % 16 + less;
}

static uint16_t scale_of(uint32_t weight, uint32_t g, uint32_t j)
{
    const float scale = 0.001F * (float)(1 + weight + g + j);
    uint16_t half;
    lspo_pack_fp16(1, &scale, &half);
    return half;
}

/* ---- files ---- */

static void *room(size_t bytes)
{
    void *memory = calloc(1, bytes);
    cr_assert_not_null(memory);
    return memory;
}

/* Eight columns of a row as a word. */
static uint32_t across(bool awq, const uint32_t *values)
{
    static const unsigned order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    uint32_t word = 0;
    for (unsigned i = 0; i < 8; i++)
        word |= values[awq ? order[i] : i] << 4 * i;
    return word;
}

static lspo_safetensor_source_t tensor(const char *name, lspo_dtype_t dtype, uint64_t rows, uint64_t cols)
{
    lspo_safetensor_source_t t = {
        .name = strdup(name), .dtype = dtype, .rank = cols > 0 ? 2 : 1, .shape = {rows, cols}};
    t.bytes = room((cols > 0 ? rows * cols : rows) * lspo_dtype_bytes(dtype));
    return t;
}

static lspo_safetensor_source_t of_linear(uint32_t w, const char *part, lspo_dtype_t dtype, uint64_t rows,
                                          uint64_t cols)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.0.%s.%s", linear[w].name, part);
    return tensor(name, dtype, rows, cols);
}

static size_t add_linear(const kind_t *kind, uint32_t w, lspo_safetensor_source_t *out)
{
    const uint32_t m = linear[w].m, n = linear[w].n, groups = m / GROUP, less = kind->awq || kind->v2 ? 0 : 1;
    size_t count = 0;
    out[count] = of_linear(w, "qweight", LSPO_DTYPE_I32, kind->awq ? m : m / 8, kind->awq ? n / 8 : n);
    uint32_t *words = (uint32_t *)(uintptr_t)out[count++].bytes;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) {
            uint32_t values[8];
            for (uint32_t k = 0; k < 8; k++)
                values[k] = code_of(w, i, j / 8 * 8 + k);
            if (kind->awq)
                words[i * (n / 8) + j / 8] = across(true, values);
            else
                words[i / 8 * n + j] |= code_of(w, i, j) << 4 * (i % 8);
        }
    out[count] = of_linear(w, "qzeros", LSPO_DTYPE_I32, groups, n / 8 - (kind->short_zeros ? 1 : 0));
    words = (uint32_t *)(uintptr_t)out[count++].bytes;
    for (uint32_t k = 0; !kind->short_zeros && k < groups * n / 8; k++) {
        uint32_t values[8];
        for (uint32_t i = 0; i < 8; i++)
            values[i] = zero_of(kind, k / (n / 8), k % (n / 8) * 8 + i) - less;
        words[k] = across(kind->awq, values);
    }
    if (!kind->no_scales) {
        out[count] = of_linear(w, "scales", LSPO_DTYPE_F16, groups, n);
        uint16_t *scales = (uint16_t *)(uintptr_t)out[count++].bytes;
        for (uint32_t k = 0; k < groups * n; k++)
            scales[k] = scale_of(w, k / n, k % n);
    }
    if (kind->half != 0 && w + 1 == LINEAR)
        ((uint16_t *)(uintptr_t)out[count - 1].bytes)[n + 5] = kind->half;
    if (kind->has_biases) {
        out[count] = of_linear(w, "bias", LSPO_DTYPE_F16, n, 0);
        ((uint16_t *)(uintptr_t)out[count++].bytes)[n - 1] = kind->bias;
    }
    if (!kind->awq && !kind->no_order) {
        out[count] = of_linear(w, "g_idx", LSPO_DTYPE_I32, m, 0);
        int32_t *groups_of = (int32_t *)(uintptr_t)out[count++].bytes;
        for (uint32_t i = 0; i < m; i++)
            groups_of[i] = (int32_t)(kind->other_order && m > GROUP ? i % groups : i / GROUP);
    }
    return count;
}

static void write_config(const kind_t *kind)
{
    char path[4200], own[200];
    snprintf(own, sizeof own, "{\"quant_method\": \"%s\", \"bits\": 4, \"group_size\": %d, \"version\": \"gemm\"%s}",
             kind->awq ? "awq" : "gptq", GROUP, kind->v2 ? ", \"checkpoint_format\": \"gptq_v2\"" : "");
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(file,
            "{\"model_type\": \"llama\", \"vocab_size\": %d, \"hidden_size\": %d, \"intermediate_size\": %d, "
            "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"num_key_value_heads\": 4, "
            "\"max_position_embeddings\": 16, \"rms_norm_eps\": 1e-5, \"tie_word_embeddings\": false, "
            "\"hidden_act\": \"silu\", \"quantization_config\": %s}\n",
            VOCABULARY, WIDTH, MLP, kind->config != NULL ? kind->config : own);
    cr_assert_eq(fclose(file), 0);
}

static void write_folder(const kind_t *kind)
{
    static const char *const vectors[] = {"model.layers.0.input_layernorm.weight",
                                          "model.layers.0.post_attention_layernorm.weight", "model.norm.weight"};
    lspo_safetensor_source_t tensors[TENSORS];
    char path[4200];
    size_t count = 0;
    tensors[count++] = tensor("model.embed_tokens.weight", LSPO_DTYPE_F16, VOCABULARY, WIDTH);
    tensors[count++] = tensor("lm_head.weight", LSPO_DTYPE_F16, VOCABULARY, WIDTH);
    for (size_t i = 0; i < 3; i++) {
        tensors[count] = tensor(vectors[i], LSPO_DTYPE_F16, WIDTH, 0);
        for (size_t k = 0; k < WIDTH; k++)
            ((uint16_t *)(uintptr_t)tensors[count].bytes)[k] = (uint16_t)(0x3c00 + i * 64 + k); /* about 1 */
        count++;
    }
    for (uint32_t w = 0; w < LINEAR; w++)
        count += add_linear(kind, w, tensors + count);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    cr_assert_eq(lspo_safetensors_write(path, tensors, count, NULL, 0), LSPO_OK);
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)tensors[i].name);
        free((void *)(uintptr_t)tensors[i].bytes);
    }
    write_config(kind);
}

#define SORTED "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 32, \"desc_act\": true}"

/* ---- what comes back ---- */

static void check_weight(const kind_t *kind, uint32_t w, const lspo_int4_shape_t *shape, const void *packed)
{
    uint8_t *codes = room(shape->m * shape->n), *zeros = room(shape->m * shape->n);
    uint16_t *scales = room(shape->m * shape->n * sizeof *scales);
    lspo_int4_unpack(shape, packed, codes, scales, zeros);
    for (uint32_t i = 0; i < shape->m; i++)
        for (uint32_t j = 0; j < shape->n; j++) {
            const size_t part = i / GROUP * shape->n + j;
            cr_assert_eq(codes[i * shape->n + j], code_of(w, i, j), "%s, %u, %u", linear[w].name, i, j);
            cr_assert_eq(zeros[part], zero_of(kind, i / GROUP, j), "%s, %u, %u", linear[w].name, i, j);
            cr_assert_eq(scales[part], scale_of(w, i / GROUP, j), "%s, %u, %u", linear[w].name, i, j);
        }
    free(codes), free(zeros), free(scales);
}

static void check_kind(const kind_t *kind)
{
    lspo_hf_model_t *model = NULL;
    write_folder(kind);
    cr_assert_eq(lspo_hf_model_open_text(folder, &model), LSPO_OK);
    const lspo_int4_form_t *form = lspo_hf_model_int4(model);
    cr_expect(form->on && form->group == GROUP && form->zeros == !kind->symmetric);
    cr_expect_eq(lspo_hf_model_number(model), LSPO_NUMBER_FP16);
    char *stage = aligned_alloc(64, 1 << 16), *at = stage;
    cr_assert_not_null(stage);
    cr_assert_eq(lspo_hf_model_read_int4(model, 1, LSPO_NUMBER_FP32, stage), LSPO_OK);
    for (uint32_t w = 0; w < LINEAR; w++) {
        const lspo_int4_shape_t shape = lspo_int4_shape(form, linear[w].m, linear[w].n);
        check_weight(kind, w, &shape, at);
        at += lspo_int4_bytes(&shape);
    }
    for (size_t i = 0; i < 2 * WIDTH; i++) { /* the gains of two norms */
        const uint16_t half = (uint16_t)(0x3c00 + i / WIDTH * 64 + i % WIDTH);
        float wanted;
        lspo_unpack_fp16(1, &half, &wanted);
        cr_expect_eq(((float *)(void *)at)[i], wanted);
    }
    free(stage);
    lspo_hf_model_close(model);
}

Test(hf_int4, files_of_gptq_and_awq_come_back_number_by_number)
{
    for (int symmetric = 0; symmetric < 2; symmetric++) {
        check_kind(&(kind_t){.symmetric = symmetric != 0});
        check_kind(&(kind_t){.symmetric = symmetric != 0, .v2 = true});
        check_kind(&(kind_t){.symmetric = symmetric != 0, .awq = true});
    }
}

Test(hf_int4, zero_biases_and_an_order_that_is_plain_are_read)
{
    check_kind(&(kind_t){.has_biases = true, .bias = 0x8000}); /* -0 */
    check_kind(&(kind_t){.no_order = true});
    check_kind(&(kind_t){.config = SORTED});
    check_kind(&(kind_t){.config = "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 32, "
                                   "\"checkpoint_format\": null, \"desc_act\": false}",
                         .no_order = true});
}

/* ---- what is refused ---- */

static void expect_refused(const kind_t *kind, const char *what)
{
    lspo_hf_model_t *model = NULL;
    write_folder(kind);
    cr_expect_eq(lspo_hf_model_open_text(folder, &model), LSPO_ERR_INPUT, "%s", what);
}

static void expect_message(const kind_t *kind, const char *what)
{
    char text[4096] = "";
    lspo_messages_keep(text, sizeof text);
    expect_refused(kind, what);
    lspo_messages_keep(NULL, 0);
    cr_expect(strstr(text, folder) != NULL && strstr(text, what) != NULL, "%s", text);
}

Test(hf_int4, a_message_names_the_tensor_and_what_is_wrong)
{
    const kind_t sorted = {.config = SORTED, .no_order = true};
    expect_message(&sorted, "q_proj.g_idx' of a weight in 4 bits is missing; with desc_act");
    expect_message(&(kind_t){.no_scales = true}, "q_proj.scales' of a weight in 4 bits is missing");
    expect_message(&(kind_t){.short_zeros = true}, "q_proj.qzeros' is I32 [1, 3]; it must be I32 [1, 4]");
    expect_message(&(kind_t){.has_biases = true, .bias = 0x3800}, "proj.bias' has 0.5 at [");
    expect_message(&(kind_t){.has_biases = true, .bias = 0x7e00}, "proj.bias' has nan at [");
}

Test(hf_int4, a_scale_that_is_not_finite_is_refused)
{
    static const uint16_t halves[] = {0x7c00, 0xfc00, 0x7e00}; /* infinite, its negative, NaN */
    char *stage = aligned_alloc(64, 1 << 16);
    cr_assert_not_null(stage);
    for (size_t i = 0; i < 3; i++) {
        lspo_hf_model_t *model = NULL;
        char text[4096] = "";
        write_folder(&(kind_t){.half = halves[i]});
        cr_assert_eq(lspo_hf_model_open_text(folder, &model), LSPO_OK);
        lspo_messages_keep(text, sizeof text);
        cr_expect_eq(lspo_hf_model_read_int4(model, 1, LSPO_NUMBER_FP32, stage), LSPO_ERR_INPUT);
        lspo_messages_keep(NULL, 0);
        cr_expect_not_null(strstr(text, "model.safetensors: tensor 'model.layers.0.mlp.down_proj.scales': the scale at "
                                        "[1, 5] is not a finite number"),
                           "%s", text);
        lspo_hf_model_close(model);
    }
    free(stage);
}

/* AutoAWQ writes GEMM, transformers takes a missing version for gemm, and the head is never in 4 bits. */
Test(hf_int4, a_configuration_may_be_written_in_several_ways)
{
    static const char *const configs[] = {
        "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 32, \"version\": \"GEMM\"}",
        "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 32}",
        "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 32, \"modules_to_not_convert\": [\"lm_head\"]}"};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        check_kind(&(kind_t){.awq = true, .config = configs[i]});
}

Test(hf_int4, what_is_not_supported_is_refused)
{
    static const char *const configs[] = {
        "{\"quant_method\": \"gptq\", \"bits\": 8, \"group_size\": 32}",
        "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 48}",
        "{\"quant_method\": \"gptq\", \"bits\": 4}",
        "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 128}", /* other shapes */
        "{\"quant_method\": \"bitsandbytes\", \"bits\": 4, \"group_size\": 32}",
        "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 32, \"version\": \"gemv\"}",
        "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 32, \"checkpoint_format\": \"marlin\"}",
        "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 32, \"lm_head\": true}",
        "{\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 32, \"modules_to_not_convert\": [\"x\"]}",
        "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 32, \"modules_to_not_convert\": [\"lm_head\", 1]}",
        "7"};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        expect_refused(&(kind_t){.config = configs[i]}, configs[i]);
    expect_refused(&(kind_t){.no_scales = true}, "no scales");
    expect_refused(&(kind_t){.short_zeros = true}, "too few zero points");
    expect_refused(&(kind_t){.other_order = true}, "rows in another order");
    /* GPTQ's tensors are not AWQ's. */
    expect_refused(&(kind_t){.config = "{\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 32, "
                                       "\"version\": \"gemm\"}"},
                   "another layout");
}

Test(hf_int4, a_truncated_file_is_refused_and_a_training_refuses_4_bits)
{
    lspo_hf_model_t *model = NULL;
    char path[4200];
    write_folder(&(kind_t){.symmetric = true});
    cr_expect_eq(lspo_hf_model_open(folder, 0, &model), LSPO_ERR_INPUT);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    cr_assert_eq(truncate(path, 9000), 0);
    cr_expect_eq(lspo_hf_model_open_text(folder, &model), LSPO_ERR_INPUT);
}
