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
 * bias). */
typedef enum { LSPO_HF_AS_IS, LSPO_HF_VECTOR, LSPO_HF_TRANSPOSED, LSPO_HF_PART, LSPO_HF_PART_VECTOR } lspo_hf_layout_t;

typedef struct {
    const char *ours, *theirs;
    lspo_hf_layout_t layout;
    uint8_t part; /* of three */
    bool outside; /* its name lacks the base model's prefix */
} lspo_hf_tensor_name_t;

/* A config.json and its path, for messages. */
typedef struct {
    const json_t *config;
    const char *path;
} lspo_hf_reader_t;

typedef struct {
    const char *model_type;                  /* of config.json                      */
    const char *prefix;                      /* of all names of the base model      */
    const char *block;                       /* what precedes a block's number */
    const lspo_hf_tensor_name_t *names[3];   /* by lspo_stage_kind_t, ending at {0} */
    const lspo_hf_tensor_name_t *class_head; /* NULL: the family has no classifiers */

    /* Read the shapes; family and class_count are already set. */
    lspo_status_t (*parse)(const lspo_hf_reader_t *reader, lspo_model_t *model);
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
