/* head.c - the head of a language model: final norm, output projection (the token embedding's when tied),
 * cross-entropy. */
#include "real/transformer/state.h"

enum { TOKEN };
enum { NORM_GAIN, NORM_BIAS }; /* without bias under RMS norm; the output projection follows */

static uint32_t output_tensor(const lspo_transformer_t *t)
{
    return t->rms ? 1 : 2;
}

static void norm_rows(const lspo_transformer_t *t, size_t rows, const void *head_weights, const void *x, void *out,
                      float *mean, float *rstd)
{
    const void *gain = lspo_stage_weight(t, &t->head, NORM_GAIN, head_weights);
    if (t->rms)
        lspo_compute_rms_norm_forward(t->compute, rows, t->width, t->epsilon, x, gain, out, rstd);
    else
        lspo_compute_norm_forward(t->compute, rows, t->width, t->epsilon, x, gain,
                                  lspo_stage_weight(t, &t->head, NORM_BIAS, head_weights), out, mean, rstd);
}

/* How many of the vocabulary's first `end` tokens the next product takes, from the end.  cuBLAS has its fastest kernels
 * where sizes, too, are multiples of 16 bytes (its manual, "Tensor Core Usage").  So where rows of logits have gaps to be
 * aligned the tokens beyond the last multiple of 8 are multiplied apart. */
static size_t next_tokens(const lspo_transformer_t *t, size_t stride, size_t end)
{
    const size_t left_over = stride > t->vocabulary ? end % 8 : 0;
    return left_over > 0 ? left_over : end;
}

/* Number `i` of an array of the format. */
static const void *at_number(const lspo_transformer_t *t, const void *array, size_t i)
{
    return (const char *)array + i * t->number_bytes;
}

/* logits: rows x V, their rows `stride` numbers apart; token: V x w. */
static void project_tied(const lspo_transformer_t *t, size_t rows, const void *token, const void *normed, char *logits,
                         size_t stride)
{
    const size_t w = t->width;
    for (size_t end = t->vocabulary, count; end > 0; end -= count) {
        count = next_tokens(t, stride, end);
        const size_t first = end - count;
        lspo_compute_gemm_nt(t->compute, rows, count, w, 1.0F, normed, w, at_number(t, token, first * w), w, 0.0F,
                             logits + first * t->number_bytes, stride);
    }
}

static void project(const lspo_transformer_t *t, size_t rows, const void *head_weights, const void *embed_weights,
                    const void *normed, void *logits, size_t stride)
{
    const size_t w = t->width, v = t->vocabulary;
    if (t->tied)
        project_tied(t, rows, lspo_stage_weight(t, &t->embed, TOKEN, embed_weights), normed, logits, stride);
    else
        lspo_compute_gemm_nn(t->compute, rows, v, w, 1.0F, normed, w,
                             lspo_stage_weight(t, &t->head, output_tensor(t), head_weights), v, 0.0F, logits, stride);
}

void lspo_language_head_forward(lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                                const uint32_t *targets, const void *x_in, char *s, double *loss_sum_out)
{
    const lspo_head_saved_t *at = &t->head_saved;
    norm_rows(t, t->tokens, head_weights, x_in, s + at->norm_out, lspo_floats(s, at->mean), lspo_floats(s, at->rstd));
    project(t, t->tokens, head_weights, embed_weights, s + at->norm_out, s + at->probabilities, t->logits_stride);
    lspo_compute_cross_entropy_forward(t->compute, t->tokens, t->vocabulary, t->logits_stride, targets,
                                       s + at->probabilities, loss_sum_out);
}

/* What is left over comes first, so that its rounded sum is the small one. */
static void project_tied_backward(const lspo_transformer_t *t, const void *token, const void *normed,
                                  const void *dlogits, float beta, char *token_gradient, void *dnorm)
{
    const size_t w = t->width, v = t->vocabulary, stride = t->logits_stride;
    for (size_t end = v, count; end > 0; end -= count) {
        count = next_tokens(t, stride, end);
        const size_t first = end - count;
        const void *some = at_number(t, dlogits, first);
        if (token_gradient != NULL)
            lspo_compute_gemm_tn(t->compute, count, w, t->tokens, 1.0F, some, stride, normed, w, beta,
                                 token_gradient + first * w * t->number_bytes, w);
        lspo_compute_gemm_nn(t->compute, t->tokens, w, count, 1.0F, some, stride, at_number(t, token, first * w), w,
                             end == v ? 0.0F : 1.0F, dnorm, w);
    }
}

/* dlogits to the gradients of the output projection, where they are wanted, and of what it projected. */
static void project_backward(const lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                             const void *normed, const void *dlogits, const lspo_gradient_sink_t *sink,
                             void *embed_gradient, void *dnorm)
{
    const size_t w = t->width, v = t->vocabulary, stride = t->logits_stride;
    const float beta = lspo_sink_adds(sink) ? 1.0F : 0.0F;
    if (t->tied) {
        project_tied_backward(t, lspo_stage_weight(t, &t->embed, TOKEN, embed_weights), normed, dlogits, beta,
                              embed_gradient != NULL ? lspo_stage_gradient(t, &t->embed, TOKEN, embed_gradient) : NULL,
                              dnorm);
        return;
    }
    void *output_gradient = lspo_rest_sink(t, &t->head, output_tensor(t), sink);
    if (output_gradient != NULL)
        lspo_compute_gemm_tn(t->compute, w, v, t->tokens, 1.0F, normed, w, dlogits, stride, beta, output_gradient, v);
    lspo_compute_gemm_nt(t->compute, t->tokens, w, v, 1.0F, dlogits, stride,
                         lspo_stage_weight(t, &t->head, output_tensor(t), head_weights), v, 0.0F, dnorm, w);
}

void lspo_language_head_backward(lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                                 const uint32_t *targets, const void *x_in, const char *s, float scale,
                                 const lspo_gradient_sink_t *sink, void *embed_gradient, void *dx_out)
{
    const size_t w = t->width, v = t->vocabulary, stride = t->logits_stride;
    const lspo_head_saved_t *at = &t->head_saved;
    const bool accumulate = lspo_sink_adds(sink);
    const void *gain = lspo_stage_weight(t, &t->head, NORM_GAIN, head_weights);
    void *dgain = lspo_rest_sink(t, &t->head, NORM_GAIN, sink);
    char *dlogits = t->workspace, *dnorm = t->workspace + t->tokens * stride * t->number_bytes;
    lspo_compute_cross_entropy_backward(t->compute, t->tokens, v, stride, targets, s + at->probabilities, scale,
                                        dlogits);
    project_backward(t, head_weights, embed_weights, s + at->norm_out, dlogits, sink, embed_gradient, dnorm);
    const float *rstd = lspo_saved_floats(s, at->rstd);
    if (t->rms)
        lspo_compute_rms_norm_backward(t->compute, t->tokens, w, dnorm, x_in, rstd, gain, NULL, accumulate, dx_out,
                                       dgain);
    else
        lspo_compute_norm_backward(t->compute, t->tokens, w, dnorm, x_in, lspo_saved_floats(s, at->mean), rstd, gain,
                                   NULL, accumulate, dx_out, dgain, lspo_rest_sink(t, &t->head, NORM_BIAS, sink), NULL);
}

void lspo_language_head_logits(lspo_transformer_t *t, const void *head_weights, const void *embed_weights,
                               const void *x_in, size_t count, const uint32_t *rows, void *logits_out)
{
    const size_t row_bytes = t->width * t->number_bytes, vocabulary_bytes = t->vocabulary * t->number_bytes;
    float *mean = lspo_floats(t->workspace, 0), *rstd = mean + t->tokens;
    char *gathered = t->workspace + 2 * t->tokens * sizeof(float), *normed = gathered + t->tokens * row_bytes;
    for (size_t done = 0; done < count;) {
        const size_t some = count - done < t->tokens ? count - done : t->tokens;
        for (size_t i = 0; i < some; i++)
            lspo_compute_copy(t->compute, row_bytes,
                              (const char *)x_in + (rows != NULL ? rows[done + i] : done + i) * row_bytes,
                              gathered + i * row_bytes);
        norm_rows(t, some, head_weights, gathered, normed, mean, rstd);
        project(t, some, head_weights, embed_weights, normed, (char *)logits_out + done * vocabulary_bytes,
                t->vocabulary);
        done += some;
    }
}
