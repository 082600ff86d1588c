/* head.c - the head of a language model: final norm, output projection (the token embedding's when tied),
 * cross-entropy. */
#include "real/transformer/state.h"

enum { TOKEN };
enum { NORM_GAIN, NORM_BIAS }; /* without bias under RMS norm; the output projection follows */

static uint32_t output_tensor(const lspo_transformer_t *t)
{
    return t->rms ? 1 : 2;
}

/* The norm's gain or bias: in generation in fp32, which is computed here. */
static const void *vector_of(const lspo_transformer_t *t, uint32_t tensor, const void *head_weights)
{
    const void *stored = lspo_stage_weight(t, &t->head, tensor, head_weights);
    if (!lspo_transformer_generates(t))
        return stored;
    float *vector = t->pass.vectors + tensor * t->width;
    lspo_compute_convert(t->compute, t->width, t->weight_number, stored, LSPO_NUMBER_FP32, vector);
    return vector;
}

static lspo_norm_t norm_of(const lspo_transformer_t *t, size_t rows, const void *head_weights)
{
    return (lspo_norm_t){.rows = rows,
                         .width = t->width,
                         .epsilon = t->epsilon,
                         .gain = vector_of(t, NORM_GAIN, head_weights),
                         .bias = t->rms ? NULL : vector_of(t, NORM_BIAS, head_weights)};
}

static void norm_rows(const lspo_transformer_t *t, const lspo_norm_t *norm, const void *x, void *out, float *mean,
                      float *rstd)
{
    if (t->rms)
        lspo_compute_rms_norm_forward(t->compute, norm, x, out, rstd);
    else
        lspo_compute_norm_forward(t->compute, norm, x, out, mean, rstd);
}

/* How many of the vocabulary's first `end` tokens the next product takes, from the end.  cuBLAS is fastest if sizes,
 * too, are multiples of 16 bytes (its manual, "Tensor Core Usage").  So if rows of logits have gaps for alignment, the
 * tokens beyond the last multiple of 8 have a separate product. */
static size_t next_tokens(const lspo_transformer_t *t, size_t stride, size_t end)
{
    const size_t left_over = stride > t->vocabulary ? end % 8 : 0;
    return left_over > 0 ? left_over : end;
}

/* Element `i` of an array in the format. */
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
        lspo_compute_gemm_nt(t->compute, &(lspo_gemm_t){.m = rows,
                                                        .n = count,
                                                        .k = w,
                                                        .alpha = 1.0F,
                                                        .a = normed,
                                                        .a_stride = w,
                                                        .b = at_number(t, token, first * w),
                                                        .b_stride = w,
                                                        .c = logits + first * t->number_bytes,
                                                        .c_stride = stride});
    }
}

/* logits: rows x V, dense. */
static void project_stored(const lspo_transformer_t *t, size_t rows, const lspo_head_parameters_t *from,
                           const void *normed, void *logits)
{
    const lspo_few_rows_t product = {.rows = rows,
                                     .m = t->width,
                                     .n = t->vocabulary,
                                     .number = t->weight_number,
                                     .w = t->tied ? lspo_stage_weight(t, &t->embed, TOKEN, from->embed)
                                                  : lspo_stage_weight(t, &t->head, output_tensor(t), from->head),
                                     .transposed = t->tied};
    lspo_compute_few_rows_product(t->compute, &product, normed, logits);
}

static void project(const lspo_transformer_t *t, size_t rows, const lspo_head_parameters_t *from, const void *normed,
                    void *logits, size_t stride)
{
    const size_t w = t->width, v = t->vocabulary;
    if (t->tied) {
        project_tied(t, rows, lspo_stage_weight(t, &t->embed, TOKEN, from->embed), normed, logits, stride);
        return;
    }
    lspo_compute_gemm_nn(t->compute, &(lspo_gemm_t){.m = rows,
                                                    .n = v,
                                                    .k = w,
                                                    .alpha = 1.0F,
                                                    .a = normed,
                                                    .a_stride = w,
                                                    .b = lspo_stage_weight(t, &t->head, output_tensor(t), from->head),
                                                    .b_stride = v,
                                                    .c = logits,
                                                    .c_stride = stride});
}

static lspo_cross_entropy_t cross_entropy(const lspo_transformer_t *t, const uint32_t *targets)
{
    return (lspo_cross_entropy_t){
        .rows = t->tokens, .vocabulary = t->vocabulary, .stride = t->logits_stride, .targets = targets};
}

void lspo_language_head_forward(lspo_transformer_t *t, const lspo_head_parameters_t *from, const uint32_t *targets,
                                const void *x_in, char *s, double *loss_sum_out)
{
    const lspo_head_saved_t *at = &t->head_saved;
    const lspo_norm_t norm = norm_of(t, t->tokens, from->head);
    const lspo_cross_entropy_t loss = cross_entropy(t, targets);
    norm_rows(t, &norm, x_in, s + at->norm_out, lspo_floats(s, at->mean), lspo_floats(s, at->rstd));
    project(t, t->tokens, from, s + at->norm_out, s + at->probabilities, t->logits_stride);
    lspo_compute_cross_entropy_forward(t->compute, &loss, s + at->probabilities, loss_sum_out);
}

/* The remainder comes first, so that its rounded sum is the small one. */
static void project_tied_backward(const lspo_transformer_t *t, const void *token, const void *normed,
                                  const void *dlogits, const lspo_gradient_sink_t *sink, void *dnorm)
{
    const size_t w = t->width, v = t->vocabulary, stride = t->logits_stride;
    char *token_gradient =
        sink != NULL && sink->tied != NULL ? lspo_stage_gradient(t, &t->embed, TOKEN, sink->tied) : NULL;
    for (size_t end = v, count; end > 0; end -= count) {
        count = next_tokens(t, stride, end);
        const size_t first = end - count;
        const void *some = at_number(t, dlogits, first);
        if (token_gradient != NULL)
            lspo_compute_gemm_tn(t->compute, &(lspo_gemm_t){.m = count,
                                                            .n = w,
                                                            .k = t->tokens,
                                                            .alpha = 1.0F,
                                                            .a = some,
                                                            .a_stride = stride,
                                                            .b = normed,
                                                            .b_stride = w,
                                                            .beta = lspo_sink_adds(sink) ? 1.0F : 0.0F,
                                                            .c = token_gradient + first * w * t->number_bytes,
                                                            .c_stride = w});
        lspo_compute_gemm_nn(t->compute, &(lspo_gemm_t){.m = t->tokens,
                                                        .n = w,
                                                        .k = count,
                                                        .alpha = 1.0F,
                                                        .a = some,
                                                        .a_stride = stride,
                                                        .b = at_number(t, token, first * w),
                                                        .b_stride = w,
                                                        .beta = end == v ? 0.0F : 1.0F,
                                                        .c = dnorm,
                                                        .c_stride = w});
    }
}

/* From dlogits to the gradients of the output projection, if they are wanted, and of its input. */
static void project_backward(const lspo_transformer_t *t, const lspo_head_parameters_t *from, const void *normed,
                             const void *dlogits, const lspo_gradient_sink_t *sink, void *dnorm)
{
    const size_t w = t->width, v = t->vocabulary, stride = t->logits_stride;
    if (t->tied) {
        const void *token = lspo_stage_weight(t, &t->embed, TOKEN, from->embed);
        project_tied_backward(t, token, normed, dlogits, sink, dnorm);
        return;
    }
    void *output_gradient = lspo_rest_sink(t, &t->head, output_tensor(t), sink);
    if (output_gradient != NULL)
        lspo_compute_gemm_tn(t->compute, &(lspo_gemm_t){.m = w,
                                                        .n = v,
                                                        .k = t->tokens,
                                                        .alpha = 1.0F,
                                                        .a = normed,
                                                        .a_stride = w,
                                                        .b = dlogits,
                                                        .b_stride = stride,
                                                        .beta = lspo_sink_adds(sink) ? 1.0F : 0.0F,
                                                        .c = output_gradient,
                                                        .c_stride = v});
    lspo_compute_gemm_nt(t->compute, &(lspo_gemm_t){.m = t->tokens,
                                                    .n = w,
                                                    .k = v,
                                                    .alpha = 1.0F,
                                                    .a = dlogits,
                                                    .a_stride = stride,
                                                    .b = lspo_stage_weight(t, &t->head, output_tensor(t), from->head),
                                                    .b_stride = v,
                                                    .c = dnorm,
                                                    .c_stride = w});
}

void lspo_language_head_backward(lspo_transformer_t *t, const lspo_head_parameters_t *from,
                                 const lspo_head_loss_t *loss, const lspo_stage_kept_t *kept,
                                 const lspo_gradient_sink_t *sink, void *dx_out)
{
    const char *s = kept->saved;
    const lspo_head_saved_t *at = &t->head_saved;
    const lspo_norm_t norm = norm_of(t, t->tokens, from->head);
    const lspo_cross_entropy_t entropy = cross_entropy(t, loss->targets);
    char *dlogits = t->workspace, *dnorm = t->workspace + t->tokens * t->logits_stride * t->number_bytes;
    lspo_compute_cross_entropy_backward(t->compute, &entropy, s + at->probabilities, loss->scale, dlogits);
    project_backward(t, from, s + at->norm_out, dlogits, sink, dnorm);
    const lspo_norm_operands_t operands = {.dout = dnorm,
                                           .x = kept->x_in,
                                           .mean = t->rms ? NULL : lspo_saved_floats(s, at->mean),
                                           .rstd = lspo_saved_floats(s, at->rstd)};
    const lspo_norm_gradients_t gradients = {.dx = dx_out,
                                             .dgain = lspo_rest_sink(t, &t->head, NORM_GAIN, sink),
                                             .dbias = t->rms ? NULL : lspo_rest_sink(t, &t->head, NORM_BIAS, sink),
                                             .accumulate = lspo_sink_adds(sink)};
    if (t->rms)
        lspo_compute_rms_norm_backward(t->compute, &norm, &operands, &gradients);
    else
        lspo_compute_norm_backward(t->compute, &norm, &operands, &gradients);
}

void lspo_language_head_logits(lspo_transformer_t *t, const lspo_head_parameters_t *from, const void *x_in,
                               size_t count, const uint32_t *rows, void *logits_out)
{
    const size_t row_bytes = t->width * t->number_bytes, vocabulary_bytes = t->vocabulary * t->number_bytes;
    float *mean = lspo_floats(t->workspace, 0), *rstd = mean + t->tokens;
    char *gathered = t->workspace + 2 * t->tokens * sizeof(float), *normed = gathered + t->tokens * row_bytes;
    for (size_t done = 0; done < count;) {
        const size_t some = count - done < t->tokens ? count - done : t->tokens;
        const lspo_norm_t norm = norm_of(t, some, from->head);
        for (size_t i = 0; i < some; i++)
            lspo_compute_copy(t->compute, row_bytes,
                              (const char *)x_in + (rows != NULL ? rows[done + i] : done + i) * row_bytes,
                              gathered + i * row_bytes);
        norm_rows(t, &norm, gathered, normed, mean, rstd);
        char *logits = (char *)logits_out + done * vocabulary_bytes;
        if (lspo_transformer_generates(t))
            project_stored(t, some, from, normed, logits);
        else
            project(t, some, from, normed, logits, t->vocabulary);
        done += some;
    }
}
