/* hf_llama.c - the names of a Llama's tensors in Hugging Face's files: also those of Mistral, Qwen2, Qwen3
 * and Mixtral. */
#include "real/formats/hf_family.h"

static const lspo_hf_tensor_name_t embed_names[] = {{.ours = "token", .theirs = "embed_tokens.weight"}, {0}};
static const lspo_hf_tensor_name_t block_names[] = {
    {"q", "self_attn.q_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"k", "self_attn.k_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"v", "self_attn.v_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"attention_out", "self_attn.o_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"gate", "mlp.gate_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"up", "mlp.up_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"down", "mlp.down_proj.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"router", "block_sparse_moe.gate.weight", LSPO_HF_TRANSPOSED, 0, false},
    {"experts_gate", "block_sparse_moe.experts.%u.w1.weight", LSPO_HF_EXPERTS, 0, false},
    {"experts_up", "block_sparse_moe.experts.%u.w3.weight", LSPO_HF_EXPERTS, 0, false},
    {"experts_down", "block_sparse_moe.experts.%u.w2.weight", LSPO_HF_EXPERTS, 0, false},
    {"q_bias", "self_attn.q_proj.bias", LSPO_HF_VECTOR, 0, false},
    {"k_bias", "self_attn.k_proj.bias", LSPO_HF_VECTOR, 0, false},
    {"v_bias", "self_attn.v_proj.bias", LSPO_HF_VECTOR, 0, false},
    {"attention_out_bias", "self_attn.o_proj.bias", LSPO_HF_VECTOR, 0, false},
    {"gate_bias", "mlp.gate_proj.bias", LSPO_HF_VECTOR, 0, false},
    {"up_bias", "mlp.up_proj.bias", LSPO_HF_VECTOR, 0, false},
    {"down_bias", "mlp.down_proj.bias", LSPO_HF_VECTOR, 0, false},
    {"norm1_gain", "input_layernorm.weight", LSPO_HF_VECTOR, 0, false},
    {"norm2_gain", "post_attention_layernorm.weight", LSPO_HF_VECTOR, 0, false},
    {"q_norm_gain", "self_attn.q_norm.weight", LSPO_HF_VECTOR, 0, false},
    {"k_norm_gain", "self_attn.k_norm.weight", LSPO_HF_VECTOR, 0, false},
    {0}};
static const lspo_hf_tensor_name_t head_names[] = {{"norm_gain", "norm.weight", LSPO_HF_VECTOR, 0, false},
                                                   {"output", "lm_head.weight", LSPO_HF_TRANSPOSED, 0, true},
                                                   {0}};

const lspo_hf_family_t lspo_hf_llama = {.prefix = "model.",
                                        .block = "layers.",
                                        .names = {embed_names, block_names, head_names},
                                        .make = lspo_hf_make_llama};
