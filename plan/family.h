/* family.h - a family of models: the tensors and kernels of its stages, and what lspo can do with it.
 *
 * LSPO_FAMILIES (plan/model.h) names the families; for each, plan/families/NAME.c has the row declared here,
 * real/transformer/NAME.c its mathematics and real/formats/hf_NAME.c its names in Hugging Face's files.
 */
#ifndef LSPO_PLAN_FAMILY_H
#define LSPO_PLAN_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/model.h"
#include "plan/work.h"
#include "plan/workload.h"

/* The shape on which works depend, in elements; p is the bytes of one element. */
typedef struct {
    const lspo_model_t *model;
    lspo_traits_t traits;
    uint64_t tokens, p;
    uint64_t width, attention_width, kv_width, mlp_width, vocabulary;
    uint64_t sequence, batch;
    uint64_t window; /* of the stage's attention; 0: none */
} lspo_stage_shape_t;

typedef struct {
    double norm_epsilon;  /* default of a model that gives none                                           */
    bool tied_head;       /* default: the head of a language model shares the token embedding          */
    bool causal;          /* attention sees earlier positions only; such a model continues a text             */
    bool post_norm;       /* norms behind the sums with the residual                                          */
    bool embed_norm;      /* the embedding's output is normed: its backward reads its weights again             */
    bool rms_norm;        /* of usual models of the family, norms have neither mean nor bias: norm is RMS        */
    bool gated;           /* the MLP has a gate: one more array of its width is kept                          */
    bool varies;          /* its models may differ from the traits below                                      */
    bool classifies;      /* may have a classifier's head                                                     */
    bool trains_language; /* its language head can be computed                                                */
    bool on_gpu;          /* a GPU computes it, too                                                           */
    lspo_biases_t biases;
    lspo_norm_kind_t norm;
    lspo_positions_t positions;

    /* The tensors of a stage, in their order: linear ones first. */
    void (*embed)(const lspo_model_t *model, lspo_stage_t *stage);
    void (*block)(const lspo_model_t *model, lspo_stage_t *stage);
    void (*head)(const lspo_model_t *model, lspo_stage_t *stage);

    /* Append the kernels of a stage; `rest`: with gradients of all tensors except the linear ones. block_backward is
     * called after the products of linear layers and attention have been added, which all families have. */
    void (*embed_forward)(const lspo_stage_shape_t *shape, lspo_work_t *work);
    void (*block_forward)(const lspo_stage_shape_t *shape, bool recompute, lspo_work_t *work);
    void (*head_forward)(const lspo_stage_shape_t *shape, lspo_work_t *work);
    void (*embed_backward)(const lspo_stage_shape_t *shape, lspo_work_t *work); /* with rest only */
    void (*block_backward)(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work);
    void (*head_backward)(const lspo_stage_shape_t *shape, bool rest, lspo_work_t *work);
} lspo_family_row_t;

#define LSPO_FAMILY_ROW(id, name) extern const lspo_family_row_t lspo_family_##name;
LSPO_FAMILIES(LSPO_FAMILY_ROW)
#undef LSPO_FAMILY_ROW

const lspo_family_row_t *lspo_family_row(lspo_family_t family);

/* The row of a model that has passed lspo_model_check(). */
static inline const lspo_family_row_t *lspo_family_of(const lspo_model_t *model)
{
    return lspo_family_row(model->family);
}

/* Whether a norm follows a block's last product, so that recompute needs its result. */
bool lspo_model_ends_with_norm(const lspo_model_t *model);

/* The number of norms over the width of a block. */
uint32_t lspo_model_norm_count(const lspo_model_t *model);

/* Names of the families, by lspo_family_t, and NULL. */
extern const char *const lspo_family_names[LSPO_FAMILY_COUNT + 1];

/* For the rows: add a tensor of rows x cols to the stage. */
void lspo_stage_add_linear(lspo_stage_t *stage, const char *name, uint32_t inputs, uint32_t outputs);
void lspo_stage_add_experts(lspo_stage_t *stage, const char *name, const lspo_model_t *model, uint32_t inputs,
                            uint32_t outputs);
void lspo_stage_add_rest(lspo_stage_t *stage, const char *name, uint32_t rows, uint32_t cols);

/* For the rows: append `count` launches of a kernel; `per_token` elements of memory traffic per token. */
void lspo_work_add(lspo_work_t *work, lspo_kernel_class_t kernel_class, uint32_t count, double flop, uint64_t bytes);
void lspo_work_add_traffic(lspo_work_t *work, const lspo_stage_shape_t *shape, lspo_kernel_class_t kernel_class,
                           uint32_t count, uint64_t per_token);
/* Counted as in kernels/attention.h.  Probabilities are stored in fp32 only. */
void lspo_work_add_attention(lspo_work_t *work, const lspo_stage_shape_t *shape, bool backward);

#endif
