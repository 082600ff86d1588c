/* lomo: W <- W - eta G, no optimizer state.  Each stage's update follows its BWD at once, so that the GPU holds one
 * stage's gradient at a time (a tied embedding's stays from the head to the end).  Clipping needs the norm before the
 * first update: a first backward pass computes it and drops its gradients (PROBE); activations stay for the second.
 * With --accumulation all gradients stay until the last micro-batch, and the norm is free. */
#include "plan/policies.h"

static void update(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t norm)
{
    if (b->stages[stage].trained) /* the next BWD waits, so that only one gradient exists at a time */
        b->last_compute = lspo_build_update_gpu(b, iteration, stage, norm);
}

static lspo_op_id_t probe(lspo_builder_t *b, uint32_t iteration)
{
    for (uint32_t s = b->stage_count; s-- > 0;)
        lspo_build_probe(b, iteration, s);
    return b->last_compute = lspo_build_norm(b, iteration);
}

static void step(lspo_builder_t *b, uint32_t iteration)
{
    uint32_t micros = b->workload->accumulation;
    bool clips = b->workload->clip_norm > 0, probes = clips && micros == 1;
    lspo_op_id_t norm = LSPO_NO_OP;
    for (uint32_t micro = 0; micro < micros; micro++) {
        for (uint32_t s = 0; s < b->stage_count; s++)
            lspo_build_forward(b, iteration, micro, s);
        if (probes)
            norm = probe(b, iteration);
        b->norm_known = probes;
        for (uint32_t s = b->stage_count; s-- > 0;) {
            lspo_build_backward(b, iteration, micro, s, LSPO_NO_OP);
            if (micro + 1 == micros && (!clips || probes))
                update(b, iteration, s, norm);
        }
        b->norm_known = false;
    }
    if (clips && !probes) {
        norm = lspo_build_norm(b, iteration);
        for (uint32_t s = b->stage_count; s-- > 0;)
            update(b, iteration, s, norm);
    }
}

static lspo_status_t build(lspo_builder_t *b)
{
    lspo_build_resident_memory(b);
    for (uint32_t i = 0; i < b->workload->iterations; i++)
        step(b, i);
    return b->status;
}

const lspo_policy_t lspo_policy_lomo = {
    .name = "lomo",
    .help = "plain gradient descent without optimizer state; the GPU updates each layer right after its backward pass",
    .citation = "Lv et al., ACL 2024, arXiv 2306.09782",
    .example = "lspo sim --policy lomo --model llama-7b --machine rtx4090 --clip 1",
    .semantics = LSPO_SEMANTICS_OTHER,
    .clip_help = "norm of the full gradient; costs a second backward pass (free with --accumulation)",
    .train_rest_default = true,
    .optimizer = LSPO_OPTIMIZER_SGD,
    .method = "lomo",
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
};
