/* hf_family.h - a model family in Hugging Face's files: the names of its tensors and of the keys in config.json.
 *
 * For each family of LSPO_FAMILIES (plan/model.h), real/formats/hf_NAME.c defines the table declared here.  Private to
 * real/formats/hf_*.c.
 */
#ifndef LSPO_REAL_FORMATS_HF_FAMILY_H
#define LSPO_REAL_FORMATS_HF_FAMILY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/model.h"

/* How one of our tensors is stored in a file.  PART: one of its three column blocks is a separate nn.Linear (or its
 * bias).  EXPERTS: each expert's matrix is a separate one, transposed; `theirs` has %u for its number. */
typedef enum {
    LSPO_HF_AS_IS,
    LSPO_HF_VECTOR,
    LSPO_HF_TRANSPOSED,
    LSPO_HF_PART,
    LSPO_HF_PART_VECTOR,
    LSPO_HF_EXPERTS
} lspo_hf_layout_t;

typedef struct {
    const char *ours, *theirs;
    lspo_hf_layout_t layout;
    uint8_t part; /* of three */
    bool outside; /* its name lacks the base model's prefix */
} lspo_hf_tensor_name_t;

/* A config.json and its path, for messages.  shapes_only: it is read for predictions; a value that only changes the
 * mathematics then makes the model one that can only be predicted, and is refused otherwise. */
typedef struct {
    const json_t *config;
    const char *path;
    bool shapes_only;
    bool allows_int4; /* weights may be in 4 bits */
} lspo_hf_reader_t;

/* A model_type of config.json, with the defaults of absent keys where they differ; 0: the key is required, or has the
 * usual default. */
typedef struct lspo_hf_kind lspo_hf_kind_t;
struct lspo_hf_kind {
    const char *model_type;
    lspo_family_t family;
    lspo_status_t (*parse)(const lspo_hf_reader_t *reader, const lspo_hf_kind_t *kind, lspo_model_t *model);
    bool predict_only; /* lspo does not compute it */
    bool fused;        /* its weights are stored in a way that lspo does not read */
    uint32_t vocabulary, positions, heads, kv_heads, head_width, window, full_every;
    bool window_switch; /* use_sliding_window turns the window on */
    lspo_biases_t biases;
    bool attention_bias, mlp_bias; /* it has the key of this name; the others ignore it */
    lspo_norm_kind_t norm;
    lspo_norms_t norms;
    lspo_qk_norm_t qk_norm;
    bool tied;                           /* tie_word_embeddings */
    uint32_t experts, experts_per_token; /* 0: it has none, and one of the keys for them is refused */
};

/* In the order of messages: first those that can be trained. */
extern const lspo_hf_kind_t lspo_hf_kinds[];
extern const size_t lspo_hf_kind_count;

/* NULL: unknown. */
const lspo_hf_kind_t *lspo_hf_kind_find(const char *model_type);

/* Read the shapes; family and class_count are already set. */
lspo_status_t lspo_hf_parse_gpt2(const lspo_hf_reader_t *reader, const lspo_hf_kind_t *kind, lspo_model_t *model);
lspo_status_t lspo_hf_parse_llama(const lspo_hf_reader_t *reader, const lspo_hf_kind_t *kind, lspo_model_t *model);
lspo_status_t lspo_hf_parse_roberta(const lspo_hf_reader_t *reader, const lspo_hf_kind_t *kind, lspo_model_t *model);
lspo_status_t lspo_hf_parse_neox(const lspo_hf_reader_t *reader, const lspo_hf_kind_t *kind, lspo_model_t *model);
lspo_status_t lspo_hf_parse_opt(const lspo_hf_reader_t *reader, const lspo_hf_kind_t *kind, lspo_model_t *model);
lspo_status_t lspo_hf_parse_mpt(const lspo_hf_reader_t *reader, const lspo_hf_kind_t *kind, lspo_model_t *model);

/* A new config.json of a Llama; NULL if out of memory. */
json_t *lspo_hf_make_llama(const lspo_model_t *model);

typedef struct {
    const char *prefix;                      /* of all names of the base model      */
    const char *block;                       /* what precedes a block's number */
    const lspo_hf_tensor_name_t *names[3];   /* by lspo_stage_kind_t, ending at {0} */
    const lspo_hf_tensor_name_t *class_head; /* NULL: the family has no classifiers */

    /* The number of labels if the file is a classifier, or `wanted` if the caller gives it; NULL: never a
     * classifier. */
    lspo_status_t (*count_classes)(const lspo_hf_reader_t *reader, uint32_t wanted, uint32_t *count_out);
    /* A new config.json; NULL if out of memory. */
    json_t *(*make)(const lspo_model_t *model);
} lspo_hf_family_t;

#define LSPO_HF_FAMILY(id, name) extern const lspo_hf_family_t lspo_hf_##name;
LSPO_FAMILIES(LSPO_HF_FAMILY)
#undef LSPO_HF_FAMILY

/* By lspo_family_t. */
const lspo_hf_family_t *lspo_hf_family(lspo_family_t family);

/* Read values of a config.json.  An absent key and null are the same.  An unsupported value is an error that names its
 * key. */
const json_t *lspo_hf_get(const lspo_hf_reader_t *reader, const char *key);
lspo_status_t lspo_hf_refuse(const lspo_hf_reader_t *reader, const char *key);
/* The value makes the model one that lspo does not compute: refused or, if only shapes are read, noted in the model. */
lspo_status_t lspo_hf_differs(const lspo_hf_reader_t *reader, const char *key, lspo_model_t *model);

typedef struct {
    const char *key;
    uint32_t *size;
    uint32_t otherwise; /* 0: the key is required */
} lspo_hf_size_t;
lspo_status_t lspo_hf_take_size(const lspo_hf_reader_t *reader, const char *key, uint32_t otherwise,
                                uint32_t *size_out);
lspo_status_t lspo_hf_take_sizes(const lspo_hf_reader_t *reader, const lspo_hf_size_t *fields, size_t count);
lspo_status_t lspo_hf_take_number(const lspo_hf_reader_t *reader, const char *key, double otherwise,
                                  double *number_out);
lspo_status_t lspo_hf_need_number(const lspo_hf_reader_t *reader, const char *key, double *number_out);
bool lspo_hf_take_flag(const lspo_hf_reader_t *reader, const char *key, bool otherwise);

typedef struct {
    const char *key;
    bool wanted; /* also the default */
} lspo_hf_flag_t;
lspo_status_t lspo_hf_check_flags(const lspo_hf_reader_t *reader, const lspo_hf_flag_t *fields, size_t count);

/* Check that the value, or its default, is one of two names. */
lspo_status_t lspo_hf_check_name(const lspo_hf_reader_t *reader, const char *key, const char *otherwise, const char *a,
                                 const char *b);

#define LSPO_COUNT(array) (sizeof(array) / sizeof(array)[0])

#endif
