/* Folders of Mixtral: every tensor of a file that is written here by its names comes to its place, and folders that
 * lack one, or have too many experts, are refused. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "real/formats/hf_model.h"
#include "tests/own_folder.h"
#include "tests/said.h"

TestSuite(hf_experts, .init = make_folder, .fini = remove_folder);

enum { BLOCKS = 2, WIDTH = 8, KV = 4, INNER = 6, VOCABULARY = 10, EXPERTS = 3, TENSORS_MAX = 64 };

static const char config[] =
    "{\"model_type\": \"mixtral\", \"vocab_size\": 10, \"hidden_size\": 8, \"intermediate_size\": 6,"
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"num_local_experts\": 3,"
    "\"num_experts_per_tok\": 2, \"max_position_embeddings\": 32, \"sliding_window\": null}";

/* A tensor of the file, outputs x inputs as torch has them. */
typedef struct {
    char name[96];
    size_t outputs, inputs; /* 0 inputs: a vector */
    float *numbers;
} written_t;

typedef struct {
    written_t of[TENSORS_MAX];
    size_t count;
} file_t;

static void add(file_t *file, const char *name, size_t outputs, size_t inputs)
{
    written_t *t = &file->of[file->count];
    const size_t count = outputs * (inputs > 0 ? inputs : 1);
    snprintf(t->name, sizeof t->name, "%s", name);
    t->outputs = outputs;
    t->inputs = inputs;
    t->numbers = malloc(count * sizeof *t->numbers);
    cr_assert_not_null(t->numbers);
    lspo_random_normal_fill(1, file->count++, 1, count, t->numbers);
}

static void add_block(file_t *file, unsigned block)
{
    static const struct {
        const char *name;
        size_t outputs, inputs;
    } plain[] = {{"self_attn.q_proj.weight", WIDTH, WIDTH},        {"self_attn.k_proj.weight", KV, WIDTH},
                 {"self_attn.v_proj.weight", KV, WIDTH},           {"self_attn.o_proj.weight", WIDTH, WIDTH},
                 {"block_sparse_moe.gate.weight", EXPERTS, WIDTH}, {"input_layernorm.weight", WIDTH, 0},
                 {"post_attention_layernorm.weight", WIDTH, 0}};
    static const struct {
        const char *name;
        size_t outputs, inputs;
    } of_experts[] = {{"w1", INNER, WIDTH}, {"w2", WIDTH, INNER}, {"w3", INNER, WIDTH}};
    char name[96];
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        snprintf(name, sizeof name, "model.layers.%u.%s", block, plain[i].name);
        add(file, name, plain[i].outputs, plain[i].inputs);
    }
    for (unsigned e = 0; e < EXPERTS; e++)
        for (size_t i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "model.layers.%u.block_sparse_moe.experts.%u.%s.weight", block, e,
                     of_experts[i].name);
            add(file, name, of_experts[i].outputs, of_experts[i].inputs);
        }
}

/* All tensors but the last `left_out`. */
static void write_folder(file_t *file, size_t left_out)
{
    lspo_safetensor_source_t sources[TENSORS_MAX];
    add(file, "model.embed_tokens.weight", VOCABULARY, WIDTH);
    add(file, "model.norm.weight", WIDTH, 0);
    add(file, "lm_head.weight", VOCABULARY, WIDTH);
    for (unsigned b = 0; b < BLOCKS; b++)
        add_block(file, b);
    for (size_t i = 0; i < file->count; i++) {
        const written_t *t = &file->of[i];
        sources[i] = (lspo_safetensor_source_t){.name = t->name,
                                                .dtype = LSPO_DTYPE_F32,
                                                .rank = t->inputs > 0 ? 2 : 1,
                                                .shape = {t->outputs, t->inputs},
                                                .bytes = t->numbers};
    }
    char path[256];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    cr_assert_eq(lspo_safetensors_write(path, sources, file->count - left_out, NULL, 0), LSPO_OK);
}

static void release(file_t *file)
{
    for (size_t i = 0; i < file->count; i++)
        free(file->of[i].numbers);
}

static const written_t *written(const file_t *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->of[i].name, name) == 0)
            return &file->of[i];
    cr_assert_fail("%s", name);
    return NULL;
}

static const lspo_tensor_t *tensor_of(const lspo_stage_t *stage, const char *name)
{
    for (uint32_t i = 0; i < stage->tensor_count; i++)
        if (strcmp(stage->tensors[i].name, name) == 0)
            return &stage->tensors[i];
    cr_assert_fail("%s", name);
    return NULL;
}

/* Ours, inputs x outputs from `at` on, is theirs, transposed. */
static void expect_turned(const float *at, const written_t *theirs)
{
    for (size_t i = 0; i < theirs->inputs; i++)
        for (size_t o = 0; o < theirs->outputs; o++)
            cr_assert_float_eq(at[i * theirs->outputs + o], theirs->numbers[o * theirs->inputs + i], 0, "%s: %zu, %zu",
                               theirs->name, i, o);
}

Test(hf_experts, every_tensor_comes_to_its_place)
{
    static const char *const ours[] = {"experts_gate", "experts_down", "experts_up"}; /* w1, w2, w3 */
    file_t file = {.count = 0};
    lspo_hf_model_t *hf = NULL;
    lspo_stage_t stage;
    char name[96];
    write_folder(&file, 0);
    own_file("config.json", config);
    cr_assert_eq(lspo_hf_model_open_text(folder, &hf), LSPO_OK);
    cr_expect_eq(lspo_hf_model_shape(hf)->expert_count, EXPERTS);
    for (unsigned b = 0; b < BLOCKS; b++) {
        lspo_model_stage(lspo_hf_model_shape(hf), b + 1, &stage);
        float *weights = malloc(stage.element_count * sizeof *weights);
        cr_assert_not_null(weights);
        cr_assert_eq(lspo_hf_model_read(hf, b + 1, weights), LSPO_OK);
        snprintf(name, sizeof name, "model.layers.%u.block_sparse_moe.gate.weight", b);
        expect_turned(weights + tensor_of(&stage, "router")->offset_elements, written(&file, name));
        for (unsigned e = 0; e < EXPERTS; e++)
            for (unsigned w = 0; w < 3; w++) {
                snprintf(name, sizeof name, "model.layers.%u.block_sparse_moe.experts.%u.w%u.weight", b, e, w + 1);
                expect_turned(weights + tensor_of(&stage, ours[w])->offset_elements + (size_t)e * WIDTH * INNER,
                              written(&file, name));
            }
        free(weights);
    }
    lspo_hf_model_close(hf);
    release(&file);
}

Test(hf_experts, a_missing_expert_is_named)
{
    file_t file = {.count = 0};
    lspo_hf_model_t *hf = NULL;
    write_folder(&file, 1); /* w3 of the last expert of the last block */
    own_file("config.json", config);
    listen_begin();
    cr_expect_eq(lspo_hf_model_open_text(folder, &hf), LSPO_ERR_INPUT);
    listen_end();
    expect_said("missing", "'model.layers.1.block_sparse_moe.experts.2.w3.weight' is missing");
    release(&file);
}

Test(hf_experts, more_experts_than_are_read_are_refused)
{
    char text[512];
    lspo_hf_model_t *hf = NULL;
    snprintf(text, sizeof text, "%s", config);
    char *at = strstr(text, "_experts\": 3");
    const char *rest = strstr(config, "_experts\": 3") + strlen("_experts\": 3");
    snprintf(at, sizeof text - (size_t)(at - text), "_experts\": 65%s", rest);
    own_file("config.json", text);
    own_file("model.safetensors", "");
    listen_begin();
    cr_expect_eq(lspo_hf_model_open_text(folder, &hf), LSPO_ERR_INPUT);
    listen_end();
    expect_said("experts", "weights of at most 64 experts per block are read, not 65");
}
