/* projector_lanes.h - the projector's inner loops for vectors of LANES floats.  projector.c includes it once per vector
 * width, with the macros LANES, LANES_NAME(name), LANES_TARGET, lanes_t, mask_t and the lanes_* operations defined; it
 * intentionally has no include guard.
 *
 * Both loops transpose tiles of LANES x LANES floats in registers, so that one vector has the same element of LANES
 * tokens (or rows of W), and an access at a random index transfers a whole vector. */

/* out (count x d) = x P for count <= LANES tokens.  sums: d x LANES floats, 64-byte aligned. */
LANES_TARGET static void LANES_NAME(gather_tokens)(const lspo_projector_t *p, size_t count, const float *x,
                                                   size_t x_stride, float *out, float *sums)
{
    const size_t rows = p->rows, d = p->d, r = p->r;
    for (size_t c = 0; c < d; c++)
        lanes_store(sums + c * LANES, lanes_zero());
    const uint32_t *index = p->index;
    const float *value = p->value;
    for (size_t row = 0; row < rows; row += LANES) {
        const size_t width = rows - row < LANES ? rows - row : LANES;
        const mask_t mask = lanes_first(width);
        lanes_t tile[LANES];
        for (size_t t = 0; t < LANES; t++)
            tile[t] = t < count ? lanes_load_masked(mask, x + t * x_stride + row) : lanes_zero();
        lanes_transpose(tile);
        for (size_t k = 0; k < width; k++) {
            const lanes_t tokens = tile[k];
            for (size_t e = 0; e < r; e++) {
                float *sum = sums + (size_t)*index++ * LANES;
                lanes_store(sum, lanes_fmadd(lanes_all(*value++), tokens, lanes_load(sum)));
            }
        }
    }
    for (size_t c = 0; c < d; c += LANES) {
        const size_t width = d - c < LANES ? d - c : LANES;
        const mask_t mask = lanes_first(width);
        lanes_t tile[LANES];
        for (size_t k = 0; k < LANES; k++)
            tile[k] = k < width ? lanes_load(sums + (c + k) * LANES) : lanes_zero();
        lanes_transpose(tile);
        for (size_t t = 0; t < count; t++)
            lanes_store_masked(out + t * d + c, mask, tile[t]);
    }
}

LANES_TARGET static void LANES_NAME(gather)(const lspo_projector_t *p, size_t tokens, const float *x, size_t x_stride,
                                            float *out)
{
    _Alignas(64) float sums[GATHER_COLUMNS_MAX * LANES];
    for (size_t token = 0; token < tokens; token += LANES) {
        const size_t count = tokens - token < LANES ? tokens - token : LANES;
        LANES_NAME(gather_tokens)(p, count, x + token * x_stride, x_stride, out + token * p->d, sums);
    }
}

/* panel (d_n x LANES, transposed) = rows row .. row + count of P delta.  Processes PANEL_VECTORS vectors of a row of
 * delta together, so that index and value are loaded once for all of them. */
LANES_TARGET static void LANES_NAME(make_panel)(const lspo_projector_t *p, size_t row, size_t count, size_t d_n,
                                                const float *delta, float *panel)
{
    const size_t r = p->r;
    for (size_t c = 0; c < d_n; c += PANEL_VECTORS * LANES) {
        const size_t left = d_n - c;
        mask_t mask[PANEL_VECTORS];
        for (size_t b = 0; b < PANEL_VECTORS; b++)
            mask[b] = lanes_first(left <= b * LANES ? 0 : left - b * LANES < LANES ? left - b * LANES : LANES);
        lanes_t tile[PANEL_VECTORS][LANES];
        for (size_t i = 0; i < LANES; i++) {
            lanes_t sum[PANEL_VECTORS];
            for (size_t b = 0; b < PANEL_VECTORS; b++)
                sum[b] = lanes_zero();
            for (size_t e = i < count ? (row + i) * r : 0; i < count && e < (row + i + 1) * r; e++) {
                const float *from = delta + p->index[e] * d_n + c;
                for (size_t b = 0; b < PANEL_VECTORS; b++)
                    sum[b] = lanes_fmadd(lanes_all(p->value[e]), lanes_load_masked(mask[b], from + b * LANES), sum[b]);
            }
            for (size_t b = 0; b < PANEL_VECTORS; b++)
                tile[b][i] = sum[b];
        }
        for (size_t b = 0; b < PANEL_VECTORS && b * LANES < left; b++) {
            lanes_transpose(tile[b]);
            for (size_t k = 0; k < LANES && b * LANES + k < left; k++)
                lanes_store(panel + (c + b * LANES + k) * LANES, tile[b][k]);
        }
    }
}

LANES_TARGET static void LANES_NAME(apply)(const lspo_projector_pair_t *pair, const float *delta,
                                           const lspo_vector_step_t *step, float *w, float *panel)
{
    const lspo_projector_t *p = pair->p, *q = pair->q;
    const float keep = step->keep, rate = step->rate;
    const size_t m = p->rows, n = q->rows, r = q->r;
    for (size_t row = 0; row < m; row += LANES) {
        const size_t count = m - row < LANES ? m - row : LANES;
        LANES_NAME(make_panel)(p, row, count, q->d, delta, panel);
        const uint32_t *index = q->index;
        const float *value = q->value;
        for (size_t column = 0; column < n; column += LANES) {
            const size_t width = n - column < LANES ? n - column : LANES;
            const mask_t mask = lanes_first(width);
            lanes_t tile[LANES];
            for (size_t j = 0; j < LANES; j++) {
                lanes_t sum = lanes_zero();
                for (size_t e = 0; j < width && e < r; e++)
                    sum = lanes_fmadd(lanes_all(*value++), lanes_load(panel + (size_t)*index++ * LANES), sum);
                tile[j] = sum;
            }
            lanes_transpose(tile);
            /* LANES short rows are read at the same time, which the hardware prefetcher does not predict. */
            for (size_t i = LANES; i < 2 * LANES && row + i < m; i++)
                __builtin_prefetch(w + (row + i) * n + column, 1);
            for (size_t i = 0; i < count; i++) {
                float *at = w + (row + i) * n + column;
                lanes_t kept = lanes_mul(lanes_all(keep), lanes_load_masked(mask, at));
                lanes_store_masked(at, mask, lanes_fnmadd(lanes_all(rate), tile[i], kept));
            }
        }
    }
}
