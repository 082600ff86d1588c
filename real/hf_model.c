#include "real/hf_model.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "real/hf_config.h"
#include "plan/output_file.h"

enum { NAME_BYTES = 128, PIECES_MAX = 32 };

struct lspo_hf_model {
    lspo_model_t shape;
    json_t *config;
    char *folder;
    lspo_safetensors_t *weights;
    const char *prefix; /* static: what stands before the names of the base model */
    bool has_head;
};

/* -- names --------------------------------------------------------------------------------------------------------- */

/* How a tensor of ours lies in a file.  PART: one of `count` column blocks, an nn.Linear of its own (or its bias). */
typedef enum { AS_IS, VECTOR, TRANSPOSED, PART, PART_VECTOR } layout_t;

typedef struct {
    const char *ours, *theirs;
    layout_t layout;
    uint8_t part; /* of three */
    bool outside; /* not below the base model's prefix */
} name_t;

static const name_t gpt_embed[] = {
    {.ours = "token", .theirs = "wte.weight"}, {.ours = "position", .theirs = "wpe.weight"}, {0}};
static const name_t gpt_block[] = {{.ours = "qkv", .theirs = "attn.c_attn.weight"},
                                   {.ours = "attention_out", .theirs = "attn.c_proj.weight"},
                                   {.ours = "mlp_up", .theirs = "mlp.c_fc.weight"},
                                   {.ours = "mlp_down", .theirs = "mlp.c_proj.weight"},
                                   {"qkv_bias", "attn.c_attn.bias", VECTOR, 0, false},
                                   {"attention_out_bias", "attn.c_proj.bias", VECTOR, 0, false},
                                   {"mlp_up_bias", "mlp.c_fc.bias", VECTOR, 0, false},
                                   {"mlp_down_bias", "mlp.c_proj.bias", VECTOR, 0, false},
                                   {"norm1_gain", "ln_1.weight", VECTOR, 0, false},
                                   {"norm1_bias", "ln_1.bias", VECTOR, 0, false},
                                   {"norm2_gain", "ln_2.weight", VECTOR, 0, false},
                                   {"norm2_bias", "ln_2.bias", VECTOR, 0, false},
                                   {0}};
static const name_t gpt_head[] = {{"norm_gain", "ln_f.weight", VECTOR, 0, false},
                                  {"norm_bias", "ln_f.bias", VECTOR, 0, false},
                                  {"output", "lm_head.weight", TRANSPOSED, 0, true},
                                  {0}};

static const name_t llama_embed[] = {{.ours = "token", .theirs = "embed_tokens.weight"}, {0}};
static const name_t llama_block[] = {{"q", "self_attn.q_proj.weight", TRANSPOSED, 0, false},
                                     {"k", "self_attn.k_proj.weight", TRANSPOSED, 0, false},
                                     {"v", "self_attn.v_proj.weight", TRANSPOSED, 0, false},
                                     {"attention_out", "self_attn.o_proj.weight", TRANSPOSED, 0, false},
                                     {"gate", "mlp.gate_proj.weight", TRANSPOSED, 0, false},
                                     {"up", "mlp.up_proj.weight", TRANSPOSED, 0, false},
                                     {"down", "mlp.down_proj.weight", TRANSPOSED, 0, false},
                                     {"norm1_gain", "input_layernorm.weight", VECTOR, 0, false},
                                     {"norm2_gain", "post_attention_layernorm.weight", VECTOR, 0, false},
                                     {0}};
static const name_t llama_head[] = {
    {"norm_gain", "norm.weight", VECTOR, 0, false}, {"output", "lm_head.weight", TRANSPOSED, 0, true}, {0}};

static const name_t bert_embed[] = {{.ours = "token", .theirs = "embeddings.word_embeddings.weight"},
                                    {.ours = "position", .theirs = "embeddings.position_embeddings.weight"},
                                    {.ours = "token_type", .theirs = "embeddings.token_type_embeddings.weight"},
                                    {"norm_gain", "embeddings.LayerNorm.weight", VECTOR, 0, false},
                                    {"norm_bias", "embeddings.LayerNorm.bias", VECTOR, 0, false},
                                    {0}};
static const name_t bert_block[] = {{"qkv", "attention.self.query.weight", PART, 0, false},
                                    {"qkv", "attention.self.key.weight", PART, 1, false},
                                    {"qkv", "attention.self.value.weight", PART, 2, false},
                                    {"attention_out", "attention.output.dense.weight", TRANSPOSED, 0, false},
                                    {"mlp_up", "intermediate.dense.weight", TRANSPOSED, 0, false},
                                    {"mlp_down", "output.dense.weight", TRANSPOSED, 0, false},
                                    {"qkv_bias", "attention.self.query.bias", PART_VECTOR, 0, false},
                                    {"qkv_bias", "attention.self.key.bias", PART_VECTOR, 1, false},
                                    {"qkv_bias", "attention.self.value.bias", PART_VECTOR, 2, false},
                                    {"attention_out_bias", "attention.output.dense.bias", VECTOR, 0, false},
                                    {"mlp_up_bias", "intermediate.dense.bias", VECTOR, 0, false},
                                    {"mlp_down_bias", "output.dense.bias", VECTOR, 0, false},
                                    {"norm1_gain", "attention.output.LayerNorm.weight", VECTOR, 0, false},
                                    {"norm1_bias", "attention.output.LayerNorm.bias", VECTOR, 0, false},
                                    {"norm2_gain", "output.LayerNorm.weight", VECTOR, 0, false},
                                    {"norm2_bias", "output.LayerNorm.bias", VECTOR, 0, false},
                                    {0}};
static const name_t bert_language_head[] = {{"dense", "lm_head.dense.weight", TRANSPOSED, 0, true},
                                            {"dense_bias", "lm_head.dense.bias", VECTOR, 0, true},
                                            {"norm_gain", "lm_head.layer_norm.weight", VECTOR, 0, true},
                                            {"norm_bias", "lm_head.layer_norm.bias", VECTOR, 0, true},
                                            {"output", "lm_head.decoder.weight", TRANSPOSED, 0, true},
                                            {"output_bias", "lm_head.bias", VECTOR, 0, true},
                                            {0}};
static const name_t bert_class_head[] = {{"dense", "classifier.dense.weight", TRANSPOSED, 0, true},
                                         {"dense_bias", "classifier.dense.bias", VECTOR, 0, true},
                                         {"output", "classifier.out_proj.weight", TRANSPOSED, 0, true},
                                         {"output_bias", "classifier.out_proj.bias", VECTOR, 0, true},
                                         {0}};

static const struct {
    const char *prefix, *block; /* block: before a block's number */
    const name_t *names[3];     /* by lspo_stage_kind_t           */
} families[] = {
    [LSPO_FAMILY_GPT] = {"transformer.", "h.", {gpt_embed, gpt_block, gpt_head}},
    [LSPO_FAMILY_LLAMA] = {"model.", "layers.", {llama_embed, llama_block, llama_head}},
    [LSPO_FAMILY_BERT] = {"roberta.", "encoder.layer.", {bert_embed, bert_block, bert_language_head}},
};

/* Tensors that checkpoints carry and that are no weights of the model: masks and tables that are computed, the other
 * name of a tied weight, heads of another task. */
static const char *const ignored_endings[] = {
    ".attn.bias",          ".attn.masked_bias", "rotary_emb.inv_freq",    "position_ids",
    "pooler.dense.weight", "pooler.dense.bias", "lm_head.decoder.weight", "lm_head.decoder.bias"};

/* One tensor of a file, and where it lies in a stage array. */
typedef struct {
    char name[NAME_BYTES];
    uint32_t rank;
    uint64_t shape[2];
    uint64_t offset_elements;
    size_t row_stride, col_stride;
} piece_t;

static piece_t make_piece(const lspo_tensor_t *tensor, const name_t *name)
{
    uint64_t rows = tensor->rows, cols = tensor->cols;
    piece_t piece = {.offset_elements = tensor->offset_elements};
    if (name->layout == PART || name->layout == PART_VECTOR) {
        cols /= 3;
        piece.offset_elements += name->part * cols;
    }
    if (name->layout == VECTOR || name->layout == PART_VECTOR) {
        piece.rank = 1;
        piece.shape[0] = cols;
        piece.col_stride = 1;
    } else {
        bool turned = name->layout != AS_IS;
        piece.rank = 2;
        piece.shape[0] = turned ? cols : rows;
        piece.shape[1] = turned ? rows : cols;
        piece.row_stride = turned ? 1 : tensor->cols;
        piece.col_stride = turned ? tensor->cols : 1;
    }
    return piece;
}

/* The tensors of a stage under their names in a file; their number. */
static uint32_t list_pieces(const lspo_model_t *model, const char *prefix, uint32_t stage, piece_t *pieces)
{
    lspo_stage_t shape;
    uint32_t count = 0;
    lspo_model_stage(model, stage, &shape);
    const name_t *names = families[model->family].names[shape.kind];
    if (shape.kind == LSPO_STAGE_HEAD && model->class_count > 0)
        names = bert_class_head;
    for (uint32_t i = 0; i < shape.tensor_count; i++) {
        for (const name_t *name = names; name->ours; name++) {
            if (strcmp(name->ours, shape.tensors[i].name) != 0)
                continue;
            pieces[count] = make_piece(&shape.tensors[i], name);
            char block[32] = "";
            if (shape.kind == LSPO_STAGE_BLOCK)
                snprintf(block, sizeof block, "%s%" PRIu32 ".", families[model->family].block, stage - 1);
            snprintf(pieces[count].name, NAME_BYTES, "%s%s%s", name->outside ? "" : prefix, block, name->theirs);
            count++;
        }
    }
    return count;
}

/* -- loading ------------------------------------------------------------------------------------------------------- */

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

bool lspo_hf_model_exists(const char *folder)
{
    char *path = join(folder, "config.json");
    bool found = path && access(path, R_OK) == 0;
    free(path);
    return found;
}

static lspo_status_t load_config(lspo_hf_model_t *model, const char *folder, uint32_t class_count)
{
    json_error_t error;
    char *path = join(folder, "config.json");
    if (!path)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the name of %s", folder);
    model->config = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    lspo_status_t status = LSPO_OK;
    if (!model->config)
        status = lspo_error(LSPO_ERR_INPUT, "%s: %s (line %d)", path, error.text, error.line);
    else if (!json_is_object(model->config))
        status = lspo_error(LSPO_ERR_INPUT, "%s: no JSON object", path);
    else
        status = lspo_hf_config_parse(model->config, path, class_count, &model->shape);
    free(path);
    return status;
}

static void name_model(lspo_hf_model_t *model)
{
    size_t end = strlen(model->folder);
    while (end > 1 && model->folder[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && model->folder[begin - 1] != '/')
        begin--;
    snprintf(model->shape.name, sizeof model->shape.name, "%.*s", (int)(end - begin), model->folder + begin);
    snprintf(model->shape.source, sizeof model->shape.source, "%s/config.json", model->folder);
}

static lspo_status_t check_piece(const lspo_hf_model_t *model, const piece_t *piece)
{
    const lspo_safetensor_t *tensor = lspo_safetensors_find(model->weights, piece->name);
    if (!tensor)
        return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' is missing", model->folder, piece->name);
    bool same = tensor->rank == piece->rank && tensor->dtype <= LSPO_DTYPE_BF16;
    for (uint32_t i = 0; i < piece->rank && same; i++)
        same = tensor->shape[i] == piece->shape[i];
    if (same)
        return LSPO_OK;
    char wanted[64];
    snprintf(wanted, sizeof wanted, piece->rank == 1 ? "[%" PRIu64 "]" : "[%" PRIu64 ", %" PRIu64 "]", piece->shape[0],
             piece->shape[1]);
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: tensor '%s' is %s of rank %" PRIu32 ", first dimension %" PRIu64
                      "; config.json makes it %s in F32, F16 or BF16",
                      lspo_safetensors_path(model->weights, tensor), piece->name, lspo_dtype_name(tensor->dtype),
                      tensor->rank, tensor->rank > 0 ? tensor->shape[0] : 0, wanted);
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), ending_length = strlen(ending);
    return length >= ending_length && strcmp(text + length - ending_length, ending) == 0;
}

/* A base model that becomes a classifier leaves its language head behind. */
static bool is_ignored(const lspo_model_t *model, const char *name)
{
    for (size_t i = 0; i < sizeof ignored_endings / sizeof ignored_endings[0]; i++)
        if (ends_with(name, ignored_endings[i]))
            return true;
    if (model->class_count > 0 && strncmp(name, "lm_head.", 8) == 0)
        return true;
    if (model->class_count == 0 && strncmp(name, "classifier.", 11) == 0)
        return true;
    return model->tied_head && strcmp(name, "lm_head.weight") == 0;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What is in the files and not in the model is a mistake unless it is known to be harmless. */
static lspo_status_t check_unused(const lspo_hf_model_t *model, const char **used, size_t used_count)
{
    qsort(used, used_count, sizeof *used, compare_strings);
    for (size_t i = 0; i < lspo_safetensors_count(model->weights); i++) {
        const lspo_safetensor_t *tensor = lspo_safetensors_at(model->weights, i);
        if (!bsearch(&tensor->name, used, used_count, sizeof *used, compare_strings) &&
            !is_ignored(&model->shape, tensor->name))
            return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' is no part of a %s model of these shapes",
                              lspo_safetensors_path(model->weights, tensor), tensor->name,
                              lspo_family_name(model->shape.family));
    }
    return LSPO_OK;
}

static lspo_status_t check_tensors(lspo_hf_model_t *model)
{
    piece_t pieces[PIECES_MAX];
    uint32_t stages = lspo_model_stage_count(&model->shape);
    const char **used = calloc((size_t)stages * PIECES_MAX, sizeof *used);
    size_t used_count = 0;
    lspo_status_t status = LSPO_OK;
    if (!used)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the tensors of %s", model->folder);
    for (uint32_t stage = 0; stage < stages && status == LSPO_OK; stage++) {
        uint32_t count = list_pieces(&model->shape, model->prefix, stage, pieces);
        if (stage + 1 == stages && model->shape.class_count > 0 &&
            !lspo_safetensors_find(model->weights, pieces[0].name))
            continue;
        for (uint32_t i = 0; i < count && status == LSPO_OK; i++) {
            status = check_piece(model, &pieces[i]);
            if (status == LSPO_OK)
                used[used_count++] = lspo_safetensors_find(model->weights, pieces[i].name)->name;
        }
        if (stage + 1 == stages)
            model->has_head = true;
    }
    if (status == LSPO_OK)
        status = check_unused(model, used, used_count);
    free(used);
    return status;
}

static lspo_status_t load(lspo_hf_model_t *model, const char *folder, uint32_t class_count)
{
    model->folder = strdup(folder);
    if (!model->folder)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the name of %s", folder);
    lspo_status_t status = load_config(model, folder, class_count);
    if (status != LSPO_OK)
        return status;
    name_model(model);
    status = lspo_model_check(&model->shape);
    if (status == LSPO_OK)
        status = lspo_safetensors_open_folder(folder, &model->weights);
    if (status != LSPO_OK)
        return status;
    piece_t pieces[PIECES_MAX];
    model->prefix = families[model->shape.family].prefix;
    list_pieces(&model->shape, model->prefix, 0, pieces);
    if (!lspo_safetensors_find(model->weights, pieces[0].name) &&
        lspo_safetensors_find(model->weights, pieces[0].name + strlen(model->prefix)))
        model->prefix = "";
    return check_tensors(model);
}

lspo_status_t lspo_hf_model_open(const char *folder, uint32_t class_count, lspo_hf_model_t **model_out)
{
    lspo_hf_model_t *model = calloc(1, sizeof *model);
    if (!model)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the model of %s", folder);
    lspo_status_t status = load(model, folder, class_count);
    if (status != LSPO_OK) {
        lspo_hf_model_close(model);
        return status;
    }
    *model_out = model;
    return LSPO_OK;
}

void lspo_hf_model_close(lspo_hf_model_t *model)
{
    if (!model)
        return;
    lspo_safetensors_close(model->weights);
    json_decref(model->config);
    free(model->folder);
    free(model);
}

const lspo_model_t *lspo_hf_model_shape(const lspo_hf_model_t *model)
{
    return &model->shape;
}

bool lspo_hf_model_has_stage(const lspo_hf_model_t *model, uint32_t stage)
{
    return stage + 1 < lspo_model_stage_count(&model->shape) || model->has_head;
}

lspo_status_t lspo_hf_model_read(const lspo_hf_model_t *model, uint32_t stage, float *weights)
{
    piece_t pieces[PIECES_MAX];
    lspo_status_t status = LSPO_OK;
    if (!lspo_hf_model_has_stage(model, stage))
        return lspo_error(LSPO_ERR_INPUT, "%s: has no classifier", model->folder);
    uint32_t count = list_pieces(&model->shape, model->prefix, stage, pieces);
    for (uint32_t i = 0; i < count && status == LSPO_OK; i++) {
        const piece_t *piece = &pieces[i];
        const lspo_safetensor_t *tensor = lspo_safetensors_find(model->weights, piece->name);
        uint64_t rows = piece->rank == 1 ? 1 : piece->shape[0], cols = piece->shape[piece->rank - 1];
        status = lspo_safetensors_read(model->weights, tensor, rows, cols, piece->row_stride, piece->col_stride,
                                       weights + piece->offset_elements);
    }
    return status;
}

/* -- saving -------------------------------------------------------------------------------------------------------- */

static lspo_status_t check_same_shape(const lspo_model_t *a, const lspo_model_t *b)
{
    bool same = a->family == b->family && a->block_count == b->block_count && a->width == b->width &&
                a->head_count == b->head_count && a->kv_head_count == b->kv_head_count &&
                a->mlp_width == b->mlp_width && a->vocabulary == b->vocabulary && a->max_sequence == b->max_sequence &&
                a->tied_head == b->tied_head && a->class_count == b->class_count;
    return same ? LSPO_OK
                : lspo_error(LSPO_ERR_INPUT, "model %s does not have the shapes of %s, as which it is to be saved",
                             a->name, b->name);
}

static lspo_status_t write_weights(const lspo_model_t *shape, const lspo_hf_model_t *origin, const float *const *stages,
                                   const char *path)
{
    const char *prefix = origin ? origin->prefix : families[shape->family].prefix;
    const lspo_safetensor_note_t note = {"format", "pt"};
    uint32_t stage_count = lspo_model_stage_count(shape);
    piece_t *pieces = calloc((size_t)stage_count * PIECES_MAX, sizeof *pieces);
    lspo_safetensor_source_t *sources = calloc((size_t)stage_count * PIECES_MAX, sizeof *sources);
    uint32_t count = 0;
    lspo_status_t status = LSPO_OK;
    if (!pieces || !sources)
        status = lspo_error(LSPO_ERR_MEMORY, "out of memory for the tensors of %s", path);
    for (uint32_t stage = 0; stage < stage_count && status == LSPO_OK; stage++) {
        uint32_t first = count;
        count += list_pieces(shape, prefix, stage, pieces + count);
        for (uint32_t i = first; i < count; i++) {
            const lspo_safetensor_t *old = origin ? lspo_safetensors_find(origin->weights, pieces[i].name) : NULL;
            sources[i] = (lspo_safetensor_source_t){.name = pieces[i].name,
                                                    .dtype = old ? old->dtype : LSPO_DTYPE_F32,
                                                    .rank = pieces[i].rank,
                                                    .shape = {pieces[i].shape[0], pieces[i].shape[1]},
                                                    .view = stages[stage] + pieces[i].offset_elements,
                                                    .row_stride = pieces[i].row_stride,
                                                    .col_stride = pieces[i].col_stride};
        }
    }
    if (status == LSPO_OK)
        status = lspo_safetensors_write(path, sources, count, &note, 1);
    free(sources);
    free(pieces);
    return status;
}

static lspo_status_t write_config(const lspo_model_t *shape, const lspo_hf_model_t *origin, const char *path)
{
    json_t *config = origin ? json_deep_copy(origin->config) : lspo_hf_config_make(shape);
    char *text = NULL;
    /* A classifier that began as another model says so from now on. */
    if (config && origin && shape->class_count > 0 && !origin->has_head &&
        lspo_hf_config_set_classes(config, shape->class_count) != 0) {
        json_decref(config);
        config = NULL;
    }
    if (config)
        text = json_dumps(config, JSON_INDENT(2));
    json_decref(config);
    if (!text)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for %s", path);
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status == LSPO_OK) {
        fprintf(output.file, "%s\n", text);
        status = lspo_output_finish(&output, LSPO_OK);
    }
    free(text);
    return status;
}

static lspo_status_t copy_stream(FILE *from, const char *from_path, const char *path)
{
    char chunk[65536];
    size_t got;
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    while ((got = fread(chunk, 1, sizeof chunk, from)) > 0)
        fwrite(chunk, 1, got, output.file);
    if (ferror(from))
        status = lspo_error(LSPO_ERR_IO, "cannot read %s: %s", from_path, strerror(errno));
    return lspo_output_finish(&output, status);
}

/* Files that are not there are left out. */
static lspo_status_t copy_file(const char *from_folder, const char *folder, const char *name)
{
    char *from_path = join(from_folder, name), *path = join(folder, name);
    lspo_status_t status = LSPO_OK;
    if (!from_path || !path) {
        status = lspo_error(LSPO_ERR_MEMORY, "out of memory for the name of %s", name);
    } else {
        FILE *from = fopen(from_path, "rb");
        if (from) {
            status = copy_stream(from, from_path, path);
            fclose(from);
        }
    }
    free(path);
    free(from_path);
    return status;
}

static lspo_status_t copy_tokenizer(const lspo_hf_model_t *origin, const char *folder)
{
    static const char *const names[] = {
        "tokenizer.json",    "tokenizer_config.json",  "vocab.json",     "merges.txt", "special_tokens_map.json",
        "added_tokens.json", "generation_config.json", "tokenizer.model"};
    struct stat from, to;
    /* Saved over itself, the files are already there. */
    if (stat(origin->folder, &from) == 0 && stat(folder, &to) == 0 && from.st_dev == to.st_dev &&
        from.st_ino == to.st_ino)
        return LSPO_OK;
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && status == LSPO_OK; i++)
        status = copy_file(origin->folder, folder, names[i]);
    return status;
}

lspo_status_t lspo_hf_model_save(const lspo_model_t *shape, const lspo_hf_model_t *origin, const float *const *stages,
                                 const char *folder)
{
    char *config = NULL, *weights = NULL;
    lspo_status_t status = origin ? check_same_shape(shape, &origin->shape) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return lspo_error(LSPO_ERR_IO, "cannot make %s: %s", folder, strerror(errno));
    config = join(folder, "config.json");
    weights = join(folder, "model.safetensors");
    if (!config || !weights)
        status = lspo_error(LSPO_ERR_MEMORY, "out of memory for the name of %s", folder);
    if (status == LSPO_OK && origin)
        status = copy_tokenizer(origin, folder);
    if (status == LSPO_OK)
        status = write_config(shape, origin, config);
    if (status == LSPO_OK)
        status = write_weights(shape, origin, stages, weights);
    free(weights);
    free(config);
    return status;
}
