/* Hugging Face folders: results against torch's, saved folders, and errors. */
#include "base/status.h"
#include "real/formats/hf_model.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/adam.h"
#include "kernels/random.h"
#include "real/formats/safetensors.h"
#include "real/transformer/transformer.h"
#include "tests/mean_head.h"
#include "tests/own_folder.h"

/* fp32 on both sides, in another order of sums. */
#define TOLERANCE 1e-4

/* As tests/peers/models_peer.py trains. */
enum { STEPS = 3, STAGES = 4, PATH_BYTES = 1024 };
static const float learning_rate = 1e-2F, weight_decay = 0.1F, epsilon = 1e-4F;

TestSuite(hf_model, .init = make_folder, .fini = remove_folder);

static const char *peer_path(const char *name)
{
    static char path[PATH_BYTES];
    const char *peers = getenv("LSPO_PEERS"), *source = getenv("LSPO_SOURCE");
    if (peers)
        snprintf(path, sizeof path, "%s/models/%s", peers, name);
    else
        snprintf(path, sizeof path, "%s/tests/data/peers/models/%s", source ? source : ".", name);
    return path;
}

/* All of a model's numbers in memory: weights, gradients, moments of each stage. */
typedef struct {
    lspo_hf_model_t *hf;
    lspo_model_t shape;
    uint64_t elements[STAGES];
    float *weights[STAGES], *gradients[STAGES], *m[STAGES], *v[STAGES];
} numbers_t;

static void load_numbers(const char *path, numbers_t *n)
{
    memset(n, 0, sizeof *n);
    cr_assert_eq(lspo_hf_model_open(path, 0, &n->hf), LSPO_OK, "%s", path);
    n->shape = *lspo_hf_model_shape(n->hf);
    cr_assert_eq(lspo_model_stage_count(&n->shape), (uint32_t)STAGES);
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        lspo_stage_t layout;
        lspo_model_stage(&n->shape, stage, &layout);
        n->elements[stage] = layout.element_count;
        float **arrays[] = {&n->weights[stage], &n->gradients[stage], &n->m[stage], &n->v[stage]};
        for (size_t i = 0; i < 4; i++) {
            *arrays[i] = calloc(layout.element_count, sizeof(float));
            cr_assert_not_null(*arrays[i]);
        }
        cr_assert(lspo_hf_model_has_stage(n->hf, stage));
        /* Every element is written. */
        for (uint64_t i = 0; i < layout.element_count; i++)
            n->weights[stage][i] = NAN;
        cr_assert_eq(lspo_hf_model_read(n->hf, stage, n->weights[stage]), LSPO_OK);
        for (uint64_t i = 0; i < layout.element_count; i++)
            cr_assert(isfinite(n->weights[stage][i]), "%s: stage %u, element %lu", path, stage, (unsigned long)i);
    }
}

static void release_numbers(numbers_t *n)
{
    for (int stage = 0; stage < STAGES; stage++) {
        free(n->weights[stage]);
        free(n->gradients[stage]);
        free(n->m[stage]);
        free(n->v[stage]);
    }
    lspo_hf_model_close(n->hf);
}

/* The peer's batch and answers. */
typedef struct {
    lspo_safetensors_t *file;
    uint32_t batch, sequence, lengths[8];
    uint32_t tokens[64], targets[64];
} answers_t;

static void read_ids(const answers_t *a, const char *name, uint32_t *ids, const lspo_safetensor_t **tensor_out)
{
    int64_t values[64];
    const lspo_safetensor_t *tensor = lspo_safetensors_find(a->file, name);
    cr_assert(tensor && tensor->dtype == LSPO_DTYPE_I64 && tensor->element_count <= 64);
    cr_assert_eq(lspo_safetensors_read_part(a->file, tensor, 0, tensor->byte_count, values), LSPO_OK);
    /* torch's ignored target, -100, is ours, which is all ones. */
    for (uint64_t i = 0; i < tensor->element_count; i++)
        ids[i] = values[i] < 0 ? UINT32_MAX : (uint32_t)values[i];
    *tensor_out = tensor;
}

static void load_answers(const char *path, const lspo_model_t *shape, answers_t *a)
{
    char name[PATH_BYTES + 32];
    const lspo_safetensor_t *tensor;
    memset(a, 0, sizeof *a);
    snprintf(name, sizeof name, "%s/answers.safetensors", path);
    cr_assert_eq(lspo_safetensors_open(name, &a->file), LSPO_OK);
    read_ids(a, "targets", a->targets, &tensor);
    read_ids(a, "tokens", a->tokens, &tensor);
    a->batch = (uint32_t)tensor->shape[0];
    a->sequence = (uint32_t)tensor->shape[1];
    for (uint32_t i = 0; i < a->batch; i++)
        while (a->lengths[i] < a->sequence &&
               !(shape->family == LSPO_FAMILY_BERT && a->tokens[i * a->sequence + a->lengths[i]] == 1))
            a->lengths[i]++;
}

static float *read_answer(const answers_t *a, const char *name, uint64_t elements)
{
    const lspo_safetensor_t *tensor = lspo_safetensors_find(a->file, name);
    cr_assert_not_null(tensor, "no %s", name);
    cr_assert_eq(tensor->element_count, elements, "%s", name);
    float *values = malloc(elements * sizeof *values);
    cr_assert_eq(lspo_safetensors_read(a->file, tensor, 1, &(lspo_tensor_view_t){elements, elements, 1},
                                       LSPO_NUMBER_FP32, values),
                 LSPO_OK);
    return values;
}

/* Largest difference over the largest magnitude, which is taken to be at least `floor`. */
static double difference(const float *ours, const float *theirs, uint64_t count, double floor)
{
    double worst = 0.0, scale = floor;
    for (uint64_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)ours[i] - (double)theirs[i]));
        scale = fmax(scale, fabs((double)theirs[i]));
        cr_assert(isfinite(ours[i]));
    }
    return worst / scale;
}

/* Buffers of one forward and backward pass. */
typedef struct {
    lspo_transformer_t *transformer;
    void *workspace, *saved[STAGES];
    float *x[STAGES], *dx; /* x[i]: input of stage i */
} pass_t;

static void create_pass(const numbers_t *n, const answers_t *a, pass_t *p)
{
    size_t bytes = lspo_transformer_workspace_bytes(&n->shape, a->batch, a->sequence, LSPO_NUMBER_FP32);
    size_t hidden = (size_t)a->batch * a->sequence * n->shape.width * sizeof(float);
    memset(p, 0, sizeof *p);
    p->workspace = aligned_alloc(64, (bytes + 63) / 64 * 64);
    cr_assert_eq(
        lspo_transformer_create(&n->shape, a->batch, a->sequence, lspo_compute_host(), p->workspace, &p->transformer),
        LSPO_OK);
    cr_assert_eq(lspo_transformer_set_lengths(p->transformer, a->lengths), LSPO_OK);
    p->dx = malloc(hidden);
    for (uint32_t stage = 1; stage < STAGES; stage++) {
        p->x[stage] = malloc(hidden);
        p->saved[stage] = aligned_alloc(64, (lspo_transformer_saved_bytes(p->transformer, stage) + 63) / 64 * 64);
    }
}

static void destroy_pass(pass_t *p)
{
    for (int stage = 0; stage < STAGES; stage++) {
        free(p->x[stage]);
        free(p->saved[stage]);
    }
    free(p->dx);
    lspo_transformer_destroy(p->transformer);
    free(p->workspace);
}

static double forward(const numbers_t *n, const answers_t *a, pass_t *p)
{
    const uint32_t head = STAGES - 1;
    lspo_transformer_embed_forward(p->transformer, a->tokens, n->weights[0], p->x[1]);
    for (uint32_t stage = 1; stage < head; stage++)
        lspo_transformer_block_forward(p->transformer, &(lspo_block_parameters_t){.weights = n->weights[stage]},
                                       p->x[stage], p->saved[stage], p->x[stage + 1]);
    return mean_head_forward(p->transformer, n->weights[head], n->weights[0], a->targets, p->x[head], p->saved[head]);
}

static lspo_gradient_sink_t sink_of(const numbers_t *n, uint32_t stage)
{
    lspo_stage_t layout;
    lspo_model_stage(&n->shape, stage, &layout);
    uint64_t linear = layout.linear_count > 0 ? layout.tensors[layout.linear_count].offset_elements : 0;
    return (lspo_gradient_sink_t){.linear = n->gradients[stage], .rest = n->gradients[stage] + linear};
}

static void backward(const numbers_t *n, const answers_t *a, pass_t *p)
{
    const uint32_t head = STAGES - 1;
    lspo_gradient_sink_t sink = sink_of(n, head);
    sink.tied = n->gradients[0];
    mean_head_backward(p->transformer, &(lspo_head_parameters_t){n->weights[head], n->weights[0]},
                       &(lspo_head_loss_t){a->targets, 1.0F}, &(lspo_stage_kept_t){p->x[head], p->saved[head]}, &sink,
                       p->dx);
    for (uint32_t stage = head - 1; stage > 0; stage--) {
        sink = sink_of(n, stage);
        lspo_transformer_block_backward(p->transformer, &(lspo_block_parameters_t){.weights = n->weights[stage]},
                                        &(lspo_stage_kept_t){p->x[stage], p->saved[stage]}, &sink, NULL, p->dx);
    }
    lspo_transformer_embed_backward(p->transformer, a->tokens, n->weights[0], p->dx, false, n->gradients[0]);
}

static double logits_difference(const numbers_t *n, const answers_t *a, pass_t *p)
{
    const uint32_t classes = n->shape.class_count, head = STAGES - 1;
    size_t rows = classes > 0 ? a->batch : (size_t)a->batch * a->sequence;
    size_t count = rows * (classes > 0 ? classes : n->shape.vocabulary);
    float *logits = malloc(count * sizeof *logits), *theirs = read_answer(a, "logits", count);
    lspo_transformer_logits(p->transformer, &(lspo_head_parameters_t){n->weights[head], n->weights[0]}, p->x[head],
                            rows, NULL, logits);
    double worst = difference(logits, theirs, count, 1e-30);
    free(theirs);
    free(logits);
    return worst;
}

static double largest(const numbers_t *n, float *const *stages)
{
    double found = 0.0;
    for (int stage = 0; stage < STAGES; stage++)
        for (uint64_t i = 0; i < n->elements[stage]; i++)
            found = fmax(found, fabs((double)stages[stage][i]));
    return found;
}

/* Stage arrays as the peer names them: saved, read again as a file, and compared tensor by tensor.  Returns the largest
 * relative difference; the tensors of `prefix` in the answers must all have been met.  A tensor below `floor` of the
 * largest number of all is compared on that scale: a key's bias has gradient 0 but for rounding. */
static double tensors_difference(const numbers_t *n, const answers_t *a, float *const *stages, const char *prefix)
{
    char place[PATH_BYTES], name[512];
    const float *arrays[STAGES] = {stages[0], stages[1], stages[2], stages[3]};
    lspo_safetensors_t *ours = NULL;
    double worst = 0.0;
    size_t met = 0, wanted = 0;
    const double floor = 1e-2 * largest(n, stages);
    snprintf(place, sizeof place, "%s/tensors", folder);
    cr_assert_eq(lspo_hf_model_save(&n->shape, n->hf, arrays, place), LSPO_OK);
    cr_assert_eq(lspo_safetensors_open_folder(place, &ours), LSPO_OK);
    for (size_t i = 0; i < lspo_safetensors_count(a->file); i++)
        wanted += strncmp(lspo_safetensors_at(a->file, i)->name, prefix, strlen(prefix)) == 0;
    for (size_t i = 0; i < lspo_safetensors_count(ours); i++) {
        const lspo_safetensor_t *tensor = lspo_safetensors_at(ours, i);
        snprintf(name, sizeof name, "%s%s", prefix, tensor->name);
        float *theirs = read_answer(a, name, tensor->element_count), *values = malloc(tensor->byte_count);
        cr_assert_eq(lspo_safetensors_read(ours, tensor, 1, &(lspo_tensor_view_t){tensor->element_count, 1, 1},
                                           LSPO_NUMBER_FP32, values),
                     LSPO_OK);
        double off = difference(values, theirs, tensor->element_count, floor);
        cr_assert_lt(off, TOLERANCE, "%s: %.2e", name, off);
        worst = fmax(worst, off);
        met++;
        free(values);
        free(theirs);
    }
    cr_assert_eq(met, wanted);
    lspo_safetensors_close(ours);
    return worst;
}

static void adam_step(const numbers_t *n, uint32_t step)
{
    lspo_adam_t adam = lspo_adam_default(learning_rate, step);
    adam.weight_decay = weight_decay;
    adam.epsilon = epsilon;
    for (int stage = 0; stage < STAGES; stage++)
        lspo_adam_parameters(&adam,
                             &(lspo_adam_state_t){.count = n->elements[stage], .m = n->m[stage], .v = n->v[stage]},
                             n->gradients[stage], n->weights[stage]);
}

static void compare_forward(const char *name)
{
    numbers_t n;
    answers_t a;
    pass_t p;
    load_numbers(peer_path(name), &n);
    load_answers(peer_path(name), &n.shape, &a);
    create_pass(&n, &a, &p);
    float *loss = read_answer(&a, "loss", 1);
    double ours = forward(&n, &a, &p), loss_off = fabs(ours - (double)loss[0]) / (double)loss[0];
    double logits_off = logits_difference(&n, &a, &p);
    cr_assert_lt(loss_off, TOLERANCE, "%s: loss %g, not %g", name, ours, (double)loss[0]);
    cr_assert_lt(logits_off, TOLERANCE, "%s: logits differ by %.2e", name, logits_off);
    if (getenv("LSPO_PEERS"))
        fprintf(stderr, "%-14s loss differs by %.1e, logits by %.1e\n", name, loss_off, logits_off);
    free(loss);
    destroy_pass(&p);
    lspo_safetensors_close(a.file);
    release_numbers(&n);
}

static void compare_training(const char *name)
{
    numbers_t n;
    answers_t a;
    pass_t p;
    double gradients_off = 0.0;
    compare_forward(name);
    load_numbers(peer_path(name), &n);
    load_answers(peer_path(name), &n.shape, &a);
    create_pass(&n, &a, &p);
    for (uint32_t step = 1; step <= STEPS; step++) {
        forward(&n, &a, &p);
        backward(&n, &a, &p);
        if (step == 1)
            gradients_off = tensors_difference(&n, &a, n.gradients, "gradient.");
        adam_step(&n, step);
    }
    double steps_off = tensors_difference(&n, &a, n.weights, "stepped.");
    if (getenv("LSPO_PEERS"))
        fprintf(stderr, "%-14s gradients differ by %.1e, weights after %d AdamW steps by %.1e\n", name, gradients_off,
                STEPS, steps_off);
    destroy_pass(&p);
    lspo_safetensors_close(a.file);
    release_numbers(&n);
}

Test(hf_model, gpt2_agrees_with_torch)
{
    compare_training("gpt2");
    compare_forward("gpt2-untied");
    compare_forward("gpt2-sharded");
}

Test(hf_model, llama_agrees_with_torch)
{
    compare_training("llama");
    compare_forward("llama-tied");
}

/* Biases, heads of another width, norms of heads, scaled positions. */
Test(hf_model, models_like_llama_agree_with_torch)
{
    compare_training("llama3");
    compare_training("qwen2");
    compare_training("qwen3");
    compare_forward("llama-linear");
    compare_forward("mistral");
}

Test(hf_model, roberta_agrees_with_torch)
{
    compare_training("roberta");
}

static const char *const all_models[] = {"gpt2",         "gpt2-untied", "gpt2-sharded",   "llama",
                                         "llama-tied",   "roberta",     "roberta-masked", "llama3",
                                         "llama-linear", "mistral",     "qwen2",          "qwen3"};

static void expect_same_file(const char *a, const char *b, const char *name)
{
    char command[8 * PATH_BYTES];
    snprintf(command, sizeof command, "cmp -s '%s/%s' '%s/%s'", a, name, b, name);
    cr_assert_eq(system(command), 0, "%s", command);
}

/* Names, types and every bit of the weights outlive loading and saving; so do the tokenizer's files.  With LSPO_SAVED
 * the folders stay there, for the peer to read. */
Test(hf_model, saving_undoes_loading)
{
    const char *keep = getenv("LSPO_SAVED");
    for (size_t i = 0; i < sizeof all_models / sizeof all_models[0]; i++) {
        char origin[PATH_BYTES], place[PATH_BYTES];
        numbers_t n;
        snprintf(origin, sizeof origin, "%s/%s", folder, all_models[i]);
        snprintf(place, sizeof place, "%s/%s", keep ? keep : folder, keep ? all_models[i] : "saved");
        char command[8 * PATH_BYTES];
        snprintf(command, sizeof command,
                 "cp -r '%s' '%s' && chmod -R u+w '%s' && echo '{}' > '%s/tokenizer_config.json'",
                 peer_path(all_models[i]), origin, origin, origin);
        cr_assert_eq(system(command), 0);
        load_numbers(origin, &n);
        const float *stages[STAGES] = {n.weights[0], n.weights[1], n.weights[2], n.weights[3]};
        cr_assert_eq(lspo_hf_model_save(&n.shape, n.hf, stages, place), LSPO_OK);
        if (keep)
            unlink(strcat(strcpy(command, place), "/tokenizer_config.json"));
        else
            expect_same_file(origin, place, "tokenizer_config.json");

        lspo_safetensors_t *before = NULL, *after = NULL;
        cr_assert_eq(lspo_safetensors_open_folder(origin, &before), LSPO_OK);
        cr_assert_eq(lspo_safetensors_open_folder(place, &after), LSPO_OK);
        cr_assert_str_eq(lspo_safetensors_metadata(after, "format"), "pt");
        cr_assert_eq(lspo_safetensors_count(before), lspo_safetensors_count(after));
        for (size_t j = 0; j < lspo_safetensors_count(before); j++) {
            const lspo_safetensor_t *x = lspo_safetensors_at(before, j), *y = lspo_safetensors_at(after, j);
            cr_assert_str_eq(x->name, y->name);
            cr_assert_eq(x->dtype, y->dtype);
            cr_assert(x->rank == y->rank && memcmp(x->shape, y->shape, sizeof x->shape) == 0);
            char *a = malloc(x->byte_count), *b = malloc(y->byte_count);
            cr_assert_eq(lspo_safetensors_read_part(before, x, 0, x->byte_count, a), LSPO_OK);
            cr_assert_eq(lspo_safetensors_read_part(after, y, 0, y->byte_count, b), LSPO_OK);
            cr_assert_eq(memcmp(a, b, x->byte_count), 0, "%s: %s", all_models[i], x->name);
            free(b);
            free(a);
        }
        lspo_safetensors_close(after);
        lspo_safetensors_close(before);
        release_numbers(&n);
    }
}

/* One of each family. */
static const lspo_model_t shapes[] = {
    {.name = "g",
     .family = LSPO_FAMILY_GPT,
     .block_count = 2,
     .width = 8,
     .head_count = 2,
     .kv_head_count = 2,
     .mlp_width = 12,
     .vocabulary = 11,
     .max_sequence = 6,
     .tied_head = true},
    {.name = "l",
     .family = LSPO_FAMILY_LLAMA,
     .block_count = 2,
     .width = 8,
     .head_count = 4,
     .kv_head_count = 2,
     .mlp_width = 12,
     .vocabulary = 11,
     .max_sequence = 6,
     .norm_epsilon = 1e-4,
     .rope_theta = 777.0},
    {.name = "b",
     .family = LSPO_FAMILY_BERT,
     .block_count = 2,
     .width = 8,
     .head_count = 2,
     .kv_head_count = 2,
     .mlp_width = 12,
     .vocabulary = 11,
     .max_sequence = 6,
     .class_count = 3},
};

/* A preset has no folder: what is saved from it is a folder of its own, and the same model. */
Test(hf_model, presets_can_be_saved)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        char place[PATH_BYTES];
        float *stages[STAGES];
        uint64_t elements[STAGES];
        snprintf(place, sizeof place, "%s/%.63s", folder, shapes[i].name);
        for (uint32_t stage = 0; stage < STAGES; stage++) {
            lspo_stage_t layout;
            lspo_model_stage(&shapes[i], stage, &layout);
            elements[stage] = layout.element_count;
            stages[stage] = malloc(layout.element_count * sizeof(float));
            lspo_random_normal_fill(3, stage, 1.0, layout.element_count, stages[stage]);
        }
        const float *arrays[STAGES] = {stages[0], stages[1], stages[2], stages[3]};
        cr_assert_eq(lspo_hf_model_save(&shapes[i], NULL, arrays, place), LSPO_OK);
        numbers_t n;
        load_numbers(place, &n);
        cr_assert_str_eq(n.shape.name, shapes[i].name);
        cr_assert_eq(n.shape.kv_head_count, shapes[i].kv_head_count);
        cr_assert_eq(n.shape.max_sequence, shapes[i].max_sequence);
        cr_assert_eq(n.shape.class_count, shapes[i].class_count);
        cr_assert_eq(n.shape.tied_head, shapes[i].tied_head);
        cr_assert_eq(lspo_model_norm_epsilon(&n.shape), lspo_model_norm_epsilon(&shapes[i]));
        cr_assert_eq(lspo_model_rope_theta(&n.shape), lspo_model_rope_theta(&shapes[i]));
        for (int stage = 0; stage < STAGES; stage++) {
            cr_assert_eq(memcmp(n.weights[stage], stages[stage], elements[stage] * sizeof(float)), 0);
            free(stages[stage]);
        }
        release_numbers(&n);
    }
}

/* A masked-language model becomes a classifier whose head is the caller's to make. */
Test(hf_model, base_models_become_classifiers)
{
    lspo_hf_model_t *hf = NULL, *again = NULL;
    char place[PATH_BYTES];
    float *stages[STAGES];
    cr_assert_eq(lspo_hf_model_open(peer_path("roberta-masked"), 5, &hf), LSPO_OK);
    const lspo_model_t *shape = lspo_hf_model_shape(hf);
    cr_assert_eq(shape->class_count, 5u);
    cr_assert(lspo_hf_model_has_stage(hf, 0));
    cr_assert_not(lspo_hf_model_has_stage(hf, STAGES - 1));
    for (uint32_t stage = 0; stage < STAGES; stage++) {
        lspo_stage_t layout;
        lspo_model_stage(shape, stage, &layout);
        stages[stage] = calloc(layout.element_count, sizeof(float));
        cr_assert_eq(lspo_hf_model_read(hf, stage, stages[stage]), stage + 1 < STAGES ? LSPO_OK : LSPO_ERR_INPUT);
    }
    const float *arrays[STAGES] = {stages[0], stages[1], stages[2], stages[3]};
    snprintf(place, sizeof place, "%s/classifier", folder);
    cr_assert_eq(lspo_hf_model_save(shape, hf, arrays, place), LSPO_OK);
    cr_assert_eq(lspo_hf_model_open(place, 0, &again), LSPO_OK);
    cr_assert_eq(lspo_hf_model_shape(again)->class_count, 5u);
    cr_assert(lspo_hf_model_has_stage(again, STAGES - 1));
    for (int stage = 0; stage < STAGES; stage++)
        free(stages[stage]);
    lspo_hf_model_close(again);
    lspo_hf_model_close(hf);
    hf = NULL;
    /* A Llama does not. */
    cr_assert_eq(lspo_hf_model_open(peer_path("llama"), 5, &hf), LSPO_ERR_INPUT);
}

/* A head of the wanted number of classes is used, another one replaced. */
Test(hf_model, classifiers_get_new_heads)
{
    lspo_hf_model_t *hf = NULL;
    cr_assert_eq(lspo_hf_model_open(peer_path("roberta"), 3, &hf), LSPO_OK);
    cr_assert(lspo_hf_model_has_stage(hf, STAGES - 1));
    lspo_hf_model_close(hf);
    cr_assert_eq(lspo_hf_model_open(peer_path("roberta"), 1, &hf), LSPO_OK);
    cr_assert_eq(lspo_hf_model_shape(hf)->class_count, 1u);
    cr_assert(lspo_hf_model_has_stage(hf, 0));
    cr_assert_not(lspo_hf_model_has_stage(hf, STAGES - 1));
    lspo_hf_model_close(hf);
}

/* Reading a stage fills an array of the folder's own shape. */
Test(hf_model, another_shape_is_refused)
{
    lspo_hf_model_t *hf = NULL;
    char said[200];
    cr_assert_eq(lspo_hf_model_open(peer_path("llama"), 0, &hf), LSPO_OK);
    lspo_model_t shape = *lspo_hf_model_shape(hf);
    snprintf(shape.name, sizeof shape.name, "renamed");
    cr_expect_eq(lspo_hf_model_check_shape(hf, &shape), LSPO_OK);
    shape.block_count++;
    lspo_messages_keep(said, sizeof said);
    cr_expect_eq(lspo_hf_model_check_shape(hf, &shape), LSPO_ERR_INPUT);
    cr_expect(strstr(said, "with blocks 2, not 3"), "%s", said);
    shape.block_count--;
    shape.norm_epsilon *= 2;
    cr_expect_eq(lspo_hf_model_check_shape(hf, &shape), LSPO_ERR_INPUT);
    lspo_hf_model_close(hf);
}

/* Copy a peer's folder, let sed change its config.json, and expect a refusal whose message has `words`. */
static void expect_refused(const char *model, const char *sed, const char *words)
{
    char command[8 * PATH_BYTES], place[PATH_BYTES], message[2048] = "";
    lspo_hf_model_t *hf = NULL;
    snprintf(place, sizeof place, "%s/wrong", folder);
    snprintf(command, sizeof command,
             "rm -rf '%s' && cp -r '%s' '%s' && chmod -R u+w '%s' && sed -i '%s' '%s/config.json'", place,
             peer_path(model), place, place, sed, place);
    cr_assert_eq(system(command), 0);
    fflush(stderr);
    FILE *log = tmpfile();
    int saved = dup(STDERR_FILENO);
    dup2(fileno(log), STDERR_FILENO);
    lspo_status_t status = lspo_hf_model_open(place, 0, &hf);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t got = pread(fileno(log), message, sizeof message - 1, 0);
    fclose(log);
    cr_assert_eq(status, LSPO_ERR_INPUT, "%s: %s", model, sed);
    cr_assert_null(hf);
    cr_assert_gt(got, 0);
    cr_assert_not_null(strstr(message, words), "'%s' not in: %s", words, message);
}

Test(hf_model, refuses_other_mathematics_by_name)
{
    expect_refused("gpt2", "s/\"gelu_new\"/\"relu\"/", "activation_function");
    expect_refused("gpt2", "s/\"scale_attn_weights\": true/\"scale_attn_weights\": false/", "scale_attn_weights");
    expect_refused("gpt2", "s/\"scale_attn_by_inverse_layer_idx\": false/\"scale_attn_by_inverse_layer_idx\": true/",
                   "inverse_layer_idx");
    expect_refused("gpt2", "s/\"model_type\": \"gpt2\"/\"model_type\": \"bloom\"/", "bloom");
    expect_refused("gpt2", "s/{/{\"quantization_config\": {},/", "quantization_config");
    expect_refused("llama", "s/\"silu\"/\"gelu\"/", "hidden_act");
    expect_refused("llama", "s/\"head_dim\": [0-9]*/\"head_dim\": 0/", "head_dim");
    expect_refused("llama", "s/\"rope_type\": \"default\"/\"rope_type\": \"linear\"/", "factor is missing");
    expect_refused("llama", "1s/{/{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2.0},/", "rope_scaling");
    expect_refused("llama", "s/\"model_type\": \"llama\"/\"model_type\": \"olmo2\"/", "only be predicted");
    expect_refused("roberta", "s/\"hidden_act\": \"gelu\"/\"hidden_act\": \"relu\"/", "hidden_act");
    expect_refused("roberta", "s/\"pad_token_id\": 1/\"pad_token_id\": 0/", "pad_token_id");
    expect_refused("roberta", "s/\"type_vocab_size\": 1/\"type_vocab_size\": 2/", "type_vocab_size");
    expect_refused("roberta", "s/\"is_decoder\": false/\"is_decoder\": true/", "is_decoder");
}

Test(hf_model, refuses_weights_that_are_not_the_models)
{
    expect_refused("gpt2", "s/\"n_layer\": 2/\"n_layer\": 3/", "h.2.attn.c_attn.weight");
    expect_refused("gpt2", "s/\"n_layer\": 2/\"n_layer\": 1/", "does not belong to");
    expect_refused("gpt2", "s/\"vocab_size\": 31/\"vocab_size\": 32/", "wte.weight");
    expect_refused("gpt2", "s/\"tie_word_embeddings\": true/\"tie_word_embeddings\": false/", "lm_head.weight");
    expect_refused("llama", "s/\"num_key_value_heads\": 2/\"num_key_value_heads\": 6/", "k_proj");
    expect_refused("llama", "s/\"num_key_value_heads\": 2/\"num_key_value_heads\": 4/", "kv_heads");
    expect_refused("llama", "s/\"attention_bias\": false/\"attention_bias\": true/", "q_proj.bias");
    expect_refused("llama", "s/\"mlp_bias\": false/\"mlp_bias\": true/", "gate_proj.bias");
    expect_refused("llama", "s/\"head_dim\": [0-9]*/\"head_dim\": 6/", "q_proj");
    expect_refused("llama", "s/\"model_type\": \"llama\"/\"model_type\": \"qwen2\"/", "q_proj.bias");
    expect_refused("llama", "s/\"hidden_size\": [0-9]*/\"hidden_size\": 0/", "hidden_size");
    expect_refused("llama", "s/\"hidden_size\": [0-9]*/\"hidden_size\": 99999999999/", "hidden_size");
    expect_refused("llama", "s/\"hidden_size\": [0-9]*/\"hidden_size\": 12.5/", "hidden_size");
    expect_refused("llama", "s/\"rms_norm_eps\": 1e-05/\"rms_norm_eps\": -1/", "rms_norm_eps");
    expect_refused("llama", "s/\"vocab_size\"/\"vocab\"/", "vocab_size");
    expect_refused("llama", "1d", "config.json");
    lspo_hf_model_t *hf = NULL;
    cr_assert_not(lspo_hf_model_exists(folder));
    cr_assert(lspo_hf_model_exists(peer_path("llama")));
    cr_assert_eq(lspo_hf_model_open(folder, 0, &hf), LSPO_ERR_INPUT);
    cr_assert_null(hf);
}

/* Mutated config.json: opened or refused, and what opens can be read. */
Test(hf_model, mutated_configs_never_crash, .timeout = 120)
{
    static const char *const models[] = {"gpt2", "llama", "roberta"};
    unsigned opened = 0, refused = 0;
    cr_assert_not_null(freopen("/dev/null", "w", stderr));
    for (uint64_t round = 0; round < 1500; round++) {
        char path[PATH_BYTES], text[4096];
        snprintf(path, sizeof path, "%.900s/config.json", peer_path(models[round % 3]));
        FILE *file = fopen(path, "rb");
        cr_assert_not_null(file);
        size_t bytes = fread(text, 1, sizeof text, file);
        fclose(file);
        if (round < 3) {
            char command[8 * PATH_BYTES];
            snprintf(command, sizeof command, "cp -r '%s' '%s' && chmod -R u+w '%s'", peer_path(models[round]), folder,
                     folder);
            cr_assert_eq(system(command), 0);
        }
        for (uint32_t i = 0; i <= lspo_random_below(4, round, 0, 2); i++) {
            size_t where = lspo_random_below(4, round, 3 * i + 1, (uint32_t)bytes);
            uint32_t value = lspo_random_below(4, round, 3 * i + 2, 256);
            while (value < 160 && where < bytes && (text[where] < '0' || text[where] > '9'))
                where++;
            if (where < bytes)
                text[where] = value < 160 ? (char)('0' + value % 10) : (char)(value % 128);
        }
        snprintf(path, sizeof path, "%s/%s/config.json", folder, models[round % 3]);
        file = fopen(path, "wb");
        cr_assert_eq(fwrite(text, 1, bytes, file), bytes);
        fclose(file);
        lspo_hf_model_t *hf = NULL;
        snprintf(path, sizeof path, "%s/%s", folder, models[round % 3]);
        lspo_status_t status = lspo_hf_model_open(path, 0, &hf);
        cr_assert(status == LSPO_OK || status == LSPO_ERR_INPUT);
        refused += status != LSPO_OK;
        if (status != LSPO_OK)
            continue;
        opened++;
        lspo_stage_t layout;
        lspo_model_stage(lspo_hf_model_shape(hf), 1, &layout);
        float *weights = malloc(layout.element_count * sizeof *weights);
        cr_assert_eq(lspo_hf_model_read(hf, 1, weights), LSPO_OK);
        free(weights);
        lspo_hf_model_close(hf);
    }
    cr_assert_gt(opened, 50u);
    cr_assert_gt(refused, 200u);
}

/* tests/data/cases/model/base with each name as a wrapper would write it: `front` before all, `inner` before the number
 * of a block's part. */
static void write_wrapped(const char *front, const char *inner)
{
    enum { TENSORS_MAX = 64 };
    static char names[TENSORS_MAX][256];
    lspo_safetensor_source_t sources[TENSORS_MAX];
    const char *source = getenv("LSPO_SOURCE");
    char path[PATH_BYTES], command[2 * PATH_BYTES + 64];
    lspo_safetensors_t *files = NULL;
    snprintf(path, sizeof path, "%s/tests/data/cases/model/base", source ? source : ".");
    snprintf(command, sizeof command, "cp '%s/config.json' '%s' && chmod u+w '%s/config.json'", path, folder, folder);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(lspo_safetensors_open_folder(path, &files), LSPO_OK);
    const size_t count = lspo_safetensors_count(files);
    cr_assert_leq(count, (size_t)TENSORS_MAX);
    for (size_t i = 0; i < count; i++) {
        const lspo_safetensor_t *tensor = lspo_safetensors_at(files, i);
        const char *part = strstr(tensor->name, "self_attn");
        const int before = part ? (int)(part - tensor->name) : (int)strlen(tensor->name);
        snprintf(names[i], sizeof names[i], "%s%.*s%s%s", front, before, tensor->name, part ? inner : "",
                 part ? part : "");
        const uint64_t rows = tensor->rank == 1 ? 1 : tensor->shape[0], cols = tensor->shape[tensor->rank - 1];
        float *values = malloc(rows * cols * sizeof *values);
        cr_assert_eq(
            lspo_safetensors_read(files, tensor, rows, &(lspo_tensor_view_t){cols, cols, 1}, LSPO_NUMBER_FP32, values),
            LSPO_OK);
        sources[i] = (lspo_safetensor_source_t){.name = names[i],
                                                .dtype = tensor->dtype,
                                                .rank = tensor->rank,
                                                .shape = {tensor->shape[0], cols},
                                                .view = values,
                                                .row_stride = cols,
                                                .col_stride = 1};
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    cr_assert_eq(lspo_safetensors_write(path, sources, (uint32_t)count, NULL, 0), LSPO_OK);
    for (size_t i = 0; i < count; i++)
        free((void *)sources[i].view);
    lspo_safetensors_close(files);
}

Test(hf_model, wrappers_are_no_part_of_a_name)
{
    static const char *const wrapped[][2] = {{"_orig_mod.", ""},
                                             {"module.", ""},
                                             {"module._orig_mod.", ""},
                                             {"_orig_mod.module.", ""},
                                             {"model.", ""},
                                             {"base_model.model.", ""},
                                             {"", "_orig_mod."},
                                             {"module.", "_fsdp_wrapped_module._checkpoint_wrapped_module."}};
    for (size_t i = 0; i < sizeof wrapped / sizeof wrapped[0]; i++) {
        lspo_hf_model_t *model = NULL;
        write_wrapped(wrapped[i][0], wrapped[i][1]);
        cr_assert_eq(lspo_hf_model_open(folder, 0, &model), LSPO_OK, "%s %s", wrapped[i][0], wrapped[i][1]);
        cr_assert(lspo_hf_model_has_stage(model, 0));
        lspo_hf_model_close(model);
    }
}
