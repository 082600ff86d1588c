/* model.h - the shapes of a transformer: stages and tensors.
 *
 * A model is a chain of *stages*: stage 0 is the embedding, stages 1..block_count are the transformer
 * blocks, stage block_count+1 is the head (final norm, output projection, loss).  "Layer" in plans,
 * traces and reports is a stage index.  The trainable tensors of a stage are contiguous in one array (offset_elements),
 * which crosses the link as one message.
 *
 * A weight is written W: m x n, row-major, m = inputs, n = outputs, so that Y = X W and the gradient is
 * G = X^T dY  (X: tokens x m, dY: tokens x n), as in arXiv 2406.10181, Section 4.
 */
#ifndef LSPO_PLAN_MODEL_H
#define LSPO_PLAN_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "plan/record.h"

/* The families: F(identifier, name); plan/family.h says what each name stands for. */
#define LSPO_FAMILIES(F)                                                                                               \
    F(GPT, gpt)     /* learned positions, pre-norm, biases, GELU MLP (GPT-2) */                                        \
    F(LLAMA, llama) /* rotary positions, RMS norm, no biases, gated SiLU MLP */                                        \
    F(BERT, bert)   /* as GPT with post-norm, token types, bidirectional attention, exact GELU (RoBERTa) */

typedef enum {
#define LSPO_FAMILY_ID(id, name) LSPO_FAMILY_##id,
    LSPO_FAMILIES(LSPO_FAMILY_ID)
#undef LSPO_FAMILY_ID
        LSPO_FAMILY_COUNT
} lspo_family_t;

enum { LSPO_NAME_BYTES = 64, LSPO_SOURCE_BYTES = 256, LSPO_TENSORS_MAX = 28, LSPO_BLOCKS_MAX = 1000 };

/* In what a model may differ from its family.  The first value of each is the family's (lspo_model_traits()). */

/* Which linear layers of a block have biases: Q, K and V; these and attention_out; those of the MLP; all. */
typedef enum {
    LSPO_BIASES_FAMILY,
    LSPO_BIASES_NONE,
    LSPO_BIASES_QKV,
    LSPO_BIASES_ATTENTION,
    LSPO_BIASES_MLP,
    LSPO_BIASES_ALL,
    LSPO_BIASES_COUNT
} lspo_biases_t;

/* RMS norm; layer norm with gain and bias, with gain only, without either. */
typedef enum {
    LSPO_NORM_FAMILY,
    LSPO_NORM_RMS,
    LSPO_NORM_LAYER,
    LSPO_NORM_LAYER_GAIN,
    LSPO_NORM_LAYER_PLAIN,
    LSPO_NORM_COUNT
} lspo_norm_kind_t;

/* Where a block has norms: before attention and MLP; after each, before the sum with the residual; both; or attention
 * and MLP are parallel, both read the block's input, through two norms or through one. */
typedef enum {
    LSPO_NORMS_FAMILY,
    LSPO_NORMS_BEFORE,
    LSPO_NORMS_AFTER,
    LSPO_NORMS_BOTH,
    LSPO_NORMS_PARALLEL,
    LSPO_NORMS_PARALLEL_SHARED,
    LSPO_NORMS_COUNT
} lspo_norms_t;

/* A norm of Q and of K: none; of each head, with one gain for all heads; of all heads together. */
typedef enum { LSPO_QK_NORM_NONE, LSPO_QK_NORM_HEAD, LSPO_QK_NORM_WIDTH, LSPO_QK_NORM_COUNT } lspo_qk_norm_t;

typedef enum {
    LSPO_POSITIONS_FAMILY,
    LSPO_POSITIONS_LEARNED,
    LSPO_POSITIONS_ROTARY,
    LSPO_POSITIONS_ALIBI,
    LSPO_POSITIONS_COUNT
} lspo_positions_t;

/* Of which experts the router's softmax is: the chosen ones [Mixtral, arXiv 2401.04088], all [Switch, 2101.03961]. */
typedef enum { LSPO_ROUTER_CHOSEN, LSPO_ROUTER_ALL, LSPO_ROUTER_COUNT } lspo_router_t;

/* How rotary frequencies are changed for longer texts (real/transformer/rope.h). */
typedef enum { LSPO_ROPE_PLAIN, LSPO_ROPE_LINEAR, LSPO_ROPE_LLAMA3, LSPO_ROPE_COUNT } lspo_rope_scaling_t;

typedef struct {
    char name[LSPO_NAME_BYTES];
    char source[LSPO_SOURCE_BYTES]; /* where the shapes come from */
    lspo_family_t family;
    uint32_t block_count;
    uint32_t width;         /* hidden size                                  */
    uint32_t head_count;    /* attention heads                              */
    uint32_t kv_head_count; /* = head_count without grouped-query attention */
    uint32_t mlp_width;
    uint32_t vocabulary;
    uint32_t max_sequence;
    bool tied_head; /* output projection shares the token embedding */
    /* 0: the family's default; use the functions below. */
    double norm_epsilon;
    double rope_theta;    /* base of the rotary angles, LLAMA only                                     */
    uint32_t class_count; /* BERT: labels of a sequence classifier, 1 for a number; 0: a language model */
    /* For GPT and LLAMA only; 0: as the family has it.  Use lspo_model_traits() and the functions below. */
    uint32_t head_width; /* of Q, K and V; 0: width / head_count, which must then be an integer */
    lspo_biases_t biases;
    lspo_norm_kind_t norm;
    lspo_norms_t norms;
    lspo_qk_norm_t qk_norm;
    lspo_positions_t positions;
    uint32_t unused_positions; /* rows of a learned table that are never read (OPT: 2)                   */
    uint32_t window;           /* a query sees itself and the window - 1 tokens before it; 0: all before it */
    uint32_t full_every;       /* with a window: of this many blocks the last one has none; 0: all have one */
    lspo_rope_scaling_t rope_scaling;
    double rope_factor, rope_low_factor, rope_high_factor;
    uint32_t rope_original; /* LLAMA3: positions before scaling */
    uint32_t expert_count;  /* MLPs of mlp_width in each block, of which a token uses some; 0: one, used by all */
    uint32_t experts_per_token;
    lspo_router_t router;
    bool predict_only; /* something else that lspo does not compute: another activation, scaled embeddings, ... */
} lspo_model_t;

/* What the fields say where they are not 0, and the family otherwise. */
typedef struct {
    bool qkv_bias, attention_out_bias, mlp_bias;
    bool rms, norm_gain, norm_bias;
    lspo_norms_t norms;
    lspo_positions_t positions;
} lspo_traits_t;

lspo_traits_t lspo_model_traits(const lspo_model_t *model);

/* The width of a head, of all heads together, and of those of K or V together. */
uint32_t lspo_model_head_width(const lspo_model_t *model);
uint32_t lspo_model_attention_width(const lspo_model_t *model);
uint32_t lspo_model_kv_width(const lspo_model_t *model);

/* The window of a stage's attention; 0: none. */
uint32_t lspo_model_window(const lspo_model_t *model, uint32_t stage);

/* Every field but name and source, by the key of an INI file. */
extern const lspo_record_field_t lspo_model_fields[];
extern const size_t lspo_model_field_count;

/* RoBERTa numbers positions from its padding index + 1, which leaves the first two rows of its table unused. */
enum { LSPO_BERT_UNUSED_POSITIONS = 2 };

typedef enum { LSPO_STAGE_EMBED, LSPO_STAGE_BLOCK, LSPO_STAGE_HEAD } lspo_stage_kind_t;

typedef struct {
    const char *name; /* static: "qkv", "attention_out", "mlp_up", "norm1_gain", ... */
    uint32_t rows;    /* m, inputs; 1 for a vector                                   */
    uint32_t cols;    /* n, outputs                                                  */
    uint64_t offset_elements;
    bool linear;     /* a matrix of attention or MLP: what LSP, LoRA and GaLore compress */
    bool same_input; /* a linear one, whose input is that of the tensor before */
} lspo_tensor_t;

typedef struct {
    lspo_stage_kind_t kind;
    uint32_t tensor_count; /* linear tensors come first */
    uint32_t linear_count;
    uint32_t expert_first; /* linear tensor from which on each is one matrix per expert; linear_count: none */
    uint32_t expert_count; /* these matrices, one behind the other */
    lspo_tensor_t tensors[LSPO_TENSORS_MAX];
    uint64_t element_count;
} lspo_stage_t;

/* block_count + 2. */
uint32_t lspo_model_stage_count(const lspo_model_t *model);

/* Tensors of stage `stage` < lspo_model_stage_count(model).
 * GPT block, in order: qkv (w x 3w), attention_out (w x w), mlp_up (w x f), mlp_down (f x w), then qkv_bias,
 * attention_out_bias, mlp_up_bias, mlp_down_bias, norm1_gain, norm1_bias, norm2_gain, norm2_bias.
 * GPT embed: token (V x w), position (S x w).  GPT head: norm_gain, norm_bias, and output (w x V) if not tied.
 * Llama block: q, k, v, attention_out, gate, up, down, norm1_gain, norm2_gain.  Llama embed: token; head: norm_gain,
 * and output if not tied.
 * Both without what a model's traits lack, and with what they add: a Llama's biases (q_bias to down_bias) before its
 * norms, norms behind attention and MLP (norm3, norm4), q_norm_gain and k_norm_gain last.  With heads of another width,
 * w of Q's outputs and of attention_out's inputs is lspo_model_attention_width().
 * With experts a block has a router (w x experts) in place of the MLP's tensors, and behind it experts_gate (GPT:
 * none), experts_up and experts_down: the matrices of all experts, one below the other.
 * BERT block: as GPT's, norm1 behind attention, norm2 behind the MLP.  BERT embed: token, position (S + 2 rows),
 * token_type, norm_gain, norm_bias.  BERT classifier head: dense (w x w), dense_bias, output (w x classes),
 * output_bias. */
void lspo_model_stage(const lspo_model_t *model, uint32_t stage, lspo_stage_t *stage_out);

/* The same stage without its experts' tensors. */
void lspo_stage_without_experts(const lspo_stage_t *stage, lspo_stage_t *stage_out);

/* What is pruned of a linear tensor of a block: equal matrices, one behind the other, each for itself.  That is the
 * tensor, or those of its experts; of a router none, because it stays as it is. */
typedef struct {
    uint32_t count, rows, cols;
} lspo_pruned_t;
lspo_pruned_t lspo_stage_pruned(const lspo_stage_t *stage, uint32_t tensor);
/* Numbers of one expert of a block, all its matrices together. */
uint64_t lspo_model_expert_elements(const lspo_model_t *model);

/* All trainable parameters; a tied head is counted once. */
uint64_t lspo_model_parameter_count(const lspo_model_t *model);

/* norm_epsilon, or the family's: 1e-5 (GPT-2, RoBERTa), 1e-6 (LLaMA).  rope_theta, or 10000. */
double lspo_model_norm_epsilon(const lspo_model_t *model);
double lspo_model_rope_theta(const lspo_model_t *model);

/* The allowed range of a size; for a number, which may also be 0, the limits between which it must lie. */
void lspo_model_range(const lspo_record_field_t *field, double *low_out, double *high_out);

/* LSPO_ERR_INPUT, with `what` and the range in the message, if the field's value is out of range. */
lspo_status_t lspo_model_check_field(const char *what, const lspo_record_field_t *field, const lspo_model_t *model);

/* Refuse zero or overflowing shapes, width % heads != 0, ...; logs `model->name` and the field. */
lspo_status_t lspo_model_check(const lspo_model_t *model);
/* The same; messages begin with `what`, such as the path of the model's file. */
lspo_status_t lspo_model_check_named(const char *what, const lspo_model_t *model);

/* LSPO_ERR_INPUT, naming the field, for a model that can be predicted, but not computed (real/transformer/).  Those
 * with experts are computed in generation only. */
lspo_status_t lspo_model_check_trains(const lspo_model_t *model);
/* Whether lspo can train it: the check above, and a head that it computes. */
bool lspo_model_trains(const lspo_model_t *model);

/* The built-in presets, in the order of `lspo list models`: the files models/NAME.ini (plan/presets.h). */
uint32_t lspo_model_preset_count(void);
const char *lspo_model_preset_name(uint32_t index); /* static */
lspo_status_t lspo_model_preset(uint32_t index, lspo_model_t *model_out);

/* Find a preset by name, or read an INI file when `name_or_path` names one ([model] name, family, blocks,
 * width, heads, kv_heads, mlp_width, vocabulary, max_sequence, tied_head, source and the other keys of
 * lspo_model_fields).  Unknown names list the valid ones. */
lspo_status_t lspo_model_find(const char *name_or_path, lspo_model_t *model_out);

/* Apply "KEY=VALUE" of these keys; the caller checks the model. */
lspo_status_t lspo_model_set(lspo_model_t *model, const char *assignment);

/* Write the model as an INI file that lspo_model_find() reads: keys that are as in the family are left out. */
void lspo_model_write(const lspo_model_t *model, FILE *file);

/* Name of a stage for people: "embed", "1".."N", "head".  Writes into buffer (>= 16 bytes), returns it. */
const char *lspo_model_stage_name(const lspo_model_t *model, uint32_t stage, char *buffer);

const char *lspo_family_name(lspo_family_t family);

#endif
