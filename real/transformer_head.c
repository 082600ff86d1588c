/* transformer_head.c - the head of a language model: final norm, output projection (the token embedding's when tied),
 * cross-entropy. */
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/loss.h"
#include "kernels/norm.h"
#include "real/transformer_state.h"

enum { TOKEN };
enum { NORM_GAIN, NORM_BIAS }; /* without bias under RMS norm; the output projection follows */

static uint32_t output_tensor(const lspo_transformer_t *t)
{
    return t->rms ? 1 : 2;
}

static void norm_rows(const lspo_transformer_t *t, size_t rows, const float *head_weights, const float *x, float *out,
                      float *mean, float *rstd)
{
    const float *gain = lspo_stage_weight(&t->head, NORM_GAIN, head_weights);
    if (t->rms)
        lspo_rms_norm_forward(rows, t->width, t->epsilon, x, gain, out, rstd);
    else
        lspo_norm_forward_epsilon(rows, t->width, t->epsilon, x, gain,
                                  lspo_stage_weight(&t->head, NORM_BIAS, head_weights), out, mean, rstd);
}

static void project(const lspo_transformer_t *t, size_t rows, const float *head_weights, const float *embed_weights,
                    const float *normed, float *logits)
{
    const size_t w = t->width, v = t->vocabulary;
    if (t->tied)
        lspo_gemm_nt(rows, v, w, 1.0F, normed, w, lspo_stage_weight(&t->embed, TOKEN, embed_weights), w, 0.0F, logits,
                     v);
    else
        lspo_gemm_nn(rows, v, w, 1.0F, normed, w, lspo_stage_weight(&t->head, output_tensor(t), head_weights), v, 0.0F,
                     logits, v);
}

double lspo_language_head_forward(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                                  const uint32_t *targets, const float *x_in, float *s)
{
    const lspo_head_saved_t *at = &t->head_saved;
    norm_rows(t, t->tokens, head_weights, x_in, s + at->norm_out, s + at->mean, s + at->rstd);
    project(t, t->tokens, head_weights, embed_weights, s + at->norm_out, s + at->probabilities);
    const double sum = lspo_cross_entropy_forward(t->tokens, t->vocabulary, targets, s + at->probabilities);
    const size_t counted = lspo_targets_counted(t->tokens, targets);
    return counted > 0 ? sum / (double)counted : 0.0;
}

/* dlogits to the gradients of the output projection, where they are wanted, and of what it projected. */
static void project_backward(const lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                             const float *normed, const float *dlogits, const lspo_gradient_sink_t *sink,
                             float *embed_gradient, float *dnorm)
{
    const size_t w = t->width, v = t->vocabulary;
    const float beta = lspo_sink_adds(sink) ? 1.0F : 0.0F;
    if (t->tied) {
        if (embed_gradient != NULL)
            lspo_gemm_tn(v, w, t->tokens, 1.0F, dlogits, v, normed, w, beta,
                         embed_gradient + t->embed.tensors[TOKEN].offset_elements, w);
        lspo_gemm_nn(t->tokens, w, v, 1.0F, dlogits, v, lspo_stage_weight(&t->embed, TOKEN, embed_weights), w, 0.0F,
                     dnorm, w);
        return;
    }
    float *output_gradient = lspo_rest_sink(&t->head, output_tensor(t), sink);
    if (output_gradient != NULL)
        lspo_gemm_tn(w, v, t->tokens, 1.0F, normed, w, dlogits, v, beta, output_gradient, v);
    lspo_gemm_nt(t->tokens, w, v, 1.0F, dlogits, v, lspo_stage_weight(&t->head, output_tensor(t), head_weights), v,
                 0.0F, dnorm, w);
}

void lspo_language_head_backward(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                                 const uint32_t *targets, const float *x_in, const float *s, float loss_scale,
                                 const lspo_gradient_sink_t *sink, float *embed_gradient, float *dx_out)
{
    const size_t w = t->width, v = t->vocabulary, counted = lspo_targets_counted(t->tokens, targets);
    const lspo_head_saved_t *at = &t->head_saved;
    const bool accumulate = lspo_sink_adds(sink);
    const float *gain = lspo_stage_weight(&t->head, NORM_GAIN, head_weights);
    float *dgain = lspo_rest_sink(&t->head, NORM_GAIN, sink);
    float *dlogits = t->workspace, *dnorm = t->workspace + t->tokens * v;
    lspo_cross_entropy_backward(t->tokens, v, targets, s + at->probabilities,
                                loss_scale / (float)(counted > 0 ? counted : 1), dlogits);
    project_backward(t, head_weights, embed_weights, s + at->norm_out, dlogits, sink, embed_gradient, dnorm);
    if (t->rms)
        lspo_rms_norm_backward(t->tokens, w, dnorm, x_in, s + at->rstd, gain, NULL, accumulate, dx_out, dgain);
    else
        lspo_norm_backward(t->tokens, w, dnorm, x_in, s + at->mean, s + at->rstd, gain, NULL, accumulate, dx_out, dgain,
                           lspo_rest_sink(&t->head, NORM_BIAS, sink), NULL);
}

void lspo_language_head_logits(lspo_transformer_t *t, const float *head_weights, const float *embed_weights,
                               const float *x_in, size_t count, const uint32_t *rows, float *logits_out)
{
    const size_t w = t->width;
    float *gathered = t->workspace, *normed = gathered + t->tokens * w, *mean = normed + t->tokens * w;
    for (size_t done = 0; done < count;) {
        const size_t some = count - done < t->tokens ? count - done : t->tokens;
        for (size_t i = 0; i < some; i++)
            memcpy(gathered + i * w, x_in + (rows != NULL ? rows[done + i] : done + i) * w, w * sizeof *gathered);
        norm_rows(t, some, head_weights, gathered, normed, mean, mean + t->tokens);
        project(t, some, head_weights, embed_weights, normed, logits_out + done * t->vocabulary);
        done += some;
    }
}
