/* eigen_adam.c - see eigen_adam.h. */
#include "kernels/eigen_adam.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/blas.h"
#include "kernels/fit_products.h"
#include "kernels/panels.h"

static const float kept = 0.95F;

enum { ADAM_BLOCK = 16384 };

size_t lspo_eigen_basis_floats(size_t d_m, size_t d_n)
{
    return 2 * (d_m * d_m + d_n * d_n);
}

lspo_eigen_basis_t lspo_eigen_basis_in(size_t d_m, size_t d_n, float *memory)
{
    lspo_eigen_basis_t basis = {.d_m = d_m, .d_n = d_n};
    basis.t_m = lspo_fit_carve(&memory, d_m * d_m);
    basis.l = lspo_fit_carve(&memory, d_m * d_m);
    basis.t_n = lspo_fit_carve(&memory, d_n * d_n);
    basis.r = memory;
    return basis;
}

/* ---- eigenvectors ---- */

/* dsyevd's fp64 and integer workspaces.  Scratch has the matrix, its eigenvalues, these, and two matrices in fp32. */
static size_t work_doubles(size_t d)
{
    return 1 + 6 * d + 2 * d * d;
}

static size_t work_integers(size_t d)
{
    return 3 + 5 * d;
}

size_t lspo_eigen_scratch_bytes(size_t d)
{
    size_t bytes = sizeof(double) * (2 * d * d + d + work_doubles(d)) + sizeof(int) * work_integers(d);
    return (bytes + 7) / 8 * 8;
}

/* The two matrices in fp32, one after the other. */
static float *spare(size_t d, void *scratch)
{
    return (float *)((double *)scratch + d * d + d + work_doubles(d));
}

/* The eigenvectors of a symmetric matrix, of which the diagonal and the upper triangle are read: vector j is row j of
 * the result, by ascending eigenvalue; scratch begins with them and the eigenvalues.  NULL if there are none. */
static const double *eigenvectors(size_t d, const float *matrix, void *scratch, const double **values_out)
{
    double *a = scratch, *values = a + d * d, *work = values + d;
    int *iwork = (int *)(spare(d, scratch) + 2 * d * d), info = 0;
    const int order = (int)d, lwork = (int)work_doubles(d), liwork = (int)work_integers(d);
    for (size_t i = 0; i < d; i++)
        for (size_t j = i; j < d; j++) {
            if (!isfinite(matrix[i * d + j]))
                return NULL;
            a[i * d + j] = (double)matrix[i * d + j]; /* LAPACK's lower triangle: it stores by column */
        }
    lspo_blas()->dsyevd("V", "L", &order, a, &order, values, work, &lwork, iwork, &liwork, &info, 1, 1);
    *values_out = values;
    return info == 0 ? a : NULL;
}

/* t = sum over j of weight_j vector_j vector_j^T. */
static void recompose(size_t d, const double *vectors, const double *weights, float *rows, float *t)
{
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < d; i++)
            rows[j * d + i] = (float)(vectors[j * d + i] * sqrt(weights[j]));
    lspo_gemm_tn(d, d, d, 1.0F, rows, d, rows, d, 0.0F, t, d);
}

bool lspo_eigen_whiten(const lspo_projector_t *p, float *t, void *scratch)
{
    const size_t d = p->d;
    float *gram = spare(d, scratch);
    const double *values, *vectors;
    lspo_fit_cross(p, p, gram);
    vectors = eigenvectors(d, gram, scratch, &values);
    if (!vectors)
        return false;
    double *weights = (double *)scratch + d * d + d; /* dsyevd's, which has ended */
    for (size_t j = 0; j < d; j++)
        weights[j] = values[j] > 1e-6 * values[d - 1] ? sqrt((double)p->rows / ((double)d * values[j])) : 0;
    recompose(d, vectors, weights, gram, t);
    return true;
}

static void set_identity(size_t d, float *e)
{
    memset(e, 0, d * d * sizeof *e);
    for (size_t i = 0; i < d; i++)
        e[i * d + i] = 1;
}

/* E: the eigenvectors of `moment`, which becomes their diagonal matrix of eigenvalues; then T <- T E. */
static void turn_side(size_t d, float *moment, float *t, float *e, void *scratch)
{
    const double *values, *vectors = eigenvectors(d, moment, scratch, &values);
    if (!vectors) {
        set_identity(d, e);
        return;
    }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            e[i * d + j] = (float)vectors[j * d + i];
    memset(moment, 0, d * d * sizeof *moment);
    for (size_t i = 0; i < d; i++)
        moment[i * d + i] = (float)values[i];
    float *turned = scratch; /* in place of the eigenvectors */
    lspo_gemm_nn(d, d, d, 1.0F, t, d, e, d, 0.0F, turned, d);
    memcpy(t, turned, d * d * sizeof *t);
}

/* ---- a step ---- */

static lspo_panel_product_t product(lspo_panel_form_t form, size_t m, size_t n, size_t k)
{
    return (lspo_panel_product_t){
        .form = form,
        .gemm = {.m = m,
                 .n = n,
                 .k = k,
                 .alpha = 1,
                 .a_stride = form == LSPO_PANEL_TN ? m : k,
                 .b_stride = form == LSPO_PANEL_NT ? k : n,
                 .c_stride = n},
    };
}

static lspo_panel_product_t product_of(lspo_panel_product_t shape, const float *a, const float *b, float *c)
{
    shape.gemm.a = a;
    shape.gemm.b = b;
    shape.gemm.c = c;
    return shape;
}

/* One product per weight. */
typedef lspo_panel_product_t side_product_t(const lspo_eigen_step_t *step, const lspo_eigen_weight_t *weight);

static void multiply(const lspo_eigen_step_t *step, side_product_t *of)
{
    lspo_panel_product_t products[LSPO_EIGEN_WEIGHTS_MAX];
    for (size_t i = 0; i < step->count; i++)
        products[i] = of(step, &step->weights[i]);
    lspo_panels_multiply(step->workers, products, step->count);
}

static lspo_panel_product_t gradient_left(const lspo_eigen_step_t *step, const lspo_eigen_weight_t *w)
{
    size_t m = w->basis.d_m, n = w->basis.d_n;
    lspo_panel_product_t y = product_of(product(LSPO_PANEL_TN, m, n, m), w->basis.t_m, w->gradient, w->y);
    y.gemm.alpha = step->adam.gradient_scale;
    return y;
}

static lspo_panel_product_t gradient_right(const lspo_eigen_step_t *step, const lspo_eigen_weight_t *w)
{
    size_t m = w->basis.d_m, n = w->basis.d_n;
    (void)step;
    return product_of(product(LSPO_PANEL_NN, m, n, n), w->y, w->basis.t_n, w->x);
}

/* A running mean, of which the upper triangle is used. */
static lspo_panel_product_t running(const lspo_eigen_step_t *step, const lspo_eigen_weight_t *w,
                                    lspo_panel_product_t moment)
{
    bool stays = step->renewal == LSPO_EIGEN_FIXED && !w->begins;
    moment.gemm.alpha = stays ? 0 : 1 - kept;
    moment.gemm.beta = stays ? 1 : kept;
    moment.upper = true;
    return moment;
}

static lspo_panel_product_t moment_left(const lspo_eigen_step_t *step, const lspo_eigen_weight_t *w)
{
    size_t m = w->basis.d_m, n = w->basis.d_n;
    return running(step, w, product_of(product(LSPO_PANEL_NT, m, m, n), w->x, w->x, w->basis.l));
}

static lspo_panel_product_t moment_right(const lspo_eigen_step_t *step, const lspo_eigen_weight_t *w)
{
    size_t m = w->basis.d_m, n = w->basis.d_n;
    return running(step, w, product_of(product(LSPO_PANEL_TN, n, n, m), w->x, w->x, w->basis.r));
}

static lspo_panel_product_t delta_left(const lspo_eigen_step_t *step, const lspo_eigen_weight_t *w)
{
    size_t m = w->basis.d_m, n = w->basis.d_n;
    (void)step;
    return product_of(product(LSPO_PANEL_NN, m, n, m), w->basis.t_m, w->x, w->y);
}

static lspo_panel_product_t delta_right(const lspo_eigen_step_t *step, const lspo_eigen_weight_t *w)
{
    size_t m = w->basis.d_m, n = w->basis.d_n;
    (void)step;
    return product_of(product(LSPO_PANEL_NT, m, n, n), w->y, w->basis.t_n, w->delta);
}

static lspo_panel_product_t first_moment_left(const lspo_eigen_step_t *step, const lspo_eigen_weight_t *w)
{
    size_t m = w->basis.d_m, n = w->basis.d_n;
    (void)step;
    return product_of(product(LSPO_PANEL_TN, m, n, m), w->e_m, w->m, w->y);
}

static lspo_panel_product_t first_moment_right(const lspo_eigen_step_t *step, const lspo_eigen_weight_t *w)
{
    size_t m = w->basis.d_m, n = w->basis.d_n;
    (void)step;
    return product_of(product(LSPO_PANEL_NN, m, n, n), w->y, w->e_n, w->m);
}

static bool has_no_gradient_yet(const lspo_eigen_basis_t *basis)
{
    for (size_t i = 0; i < basis->d_m; i++)
        if (basis->l[i * basis->d_m + i] != 0)
            return false;
    return true;
}

static size_t blocks_of(const lspo_eigen_weight_t *w)
{
    return (w->basis.d_m * w->basis.d_n + ADAM_BLOCK - 1) / ADAM_BLOCK;
}

/* A block of a weight. */
typedef struct {
    const lspo_eigen_weight_t *weight;
    size_t at, count;
} block_t;

static block_t block_of(const lspo_eigen_step_t *step, size_t item)
{
    const lspo_eigen_weight_t *w = step->weights;
    while (item >= blocks_of(w))
        item -= blocks_of(w++);
    size_t at = item * ADAM_BLOCK, left = w->basis.d_m * w->basis.d_n - at;
    return (block_t){w, at, left < ADAM_BLOCK ? left : ADAM_BLOCK};
}

/* Where the GPU has turned the gradient. */
static void scale_item(void *context, uint32_t worker, size_t item)
{
    const lspo_eigen_step_t *step = context;
    const block_t block = block_of(step, item);
    const float *from = block.weight->gradient + block.at, scale = step->adam.gradient_scale;
    float *x = block.weight->x + block.at;
    (void)worker;
    for (size_t i = 0; i < block.count; i++)
        x[i] = scale * from[i];
}

static void adam_item(void *context, uint32_t worker, size_t item)
{
    const lspo_eigen_step_t *step = context;
    const block_t block = block_of(step, item);
    const lspo_eigen_weight_t *w = block.weight;
    (void)worker;
    size_t at = block.at, count = block.count;
    lspo_adam_state_t state = {.count = count, .m = w->m + at, .v = w->v + at};
    float *direction = (step->turned ? w->delta : w->x) + at;
    lspo_adam_t adam = step->adam;
    adam.step = adam.step > 2 ? adam.step - 1 : 1;
    adam.gradient_scale = 1; /* X is scaled */
    if (w->begins)
        memset(direction, 0, count * sizeof *direction);
    else
        lspo_adam_direction(&adam, &state, w->x + at, direction);
}

static void run_blocks(const lspo_eigen_step_t *step, void (*item)(void *context, uint32_t worker, size_t item))
{
    size_t items = 0;
    for (size_t i = 0; i < step->count; i++)
        items += blocks_of(&step->weights[i]);
    lspo_workers_run(step->workers, items, item, (void *)step);
}

static void turn_item(void *context, uint32_t worker, size_t item)
{
    const lspo_eigen_step_t *step = context;
    const lspo_eigen_weight_t *w = &step->weights[item / 2];
    const lspo_eigen_basis_t *basis = &w->basis;
    void *scratch = (char *)step->scratch + worker * step->scratch_bytes;
    bool left = item % 2 == 0;
    if (!w->begins && step->renewal != LSPO_EIGEN_RENEW)
        set_identity(left ? basis->d_m : basis->d_n, left ? w->e_m : w->e_n);
    else if (left)
        turn_side(basis->d_m, basis->l, basis->t_m, w->e_m, scratch);
    else
        turn_side(basis->d_n, basis->r, basis->t_n, w->e_n, scratch);
}

static void renew(const lspo_eigen_step_t *step)
{
    lspo_workers_run(step->workers, 2 * step->count, turn_item, (void *)step);
    multiply(step, first_moment_left);
    multiply(step, first_moment_right);
}

void lspo_eigen_adam(const lspo_eigen_step_t *step)
{
    bool any_begins = false;
    assert(step->count <= LSPO_EIGEN_WEIGHTS_MAX);
    for (size_t i = 0; i < step->count; i++) {
        step->weights[i].begins = has_no_gradient_yet(&step->weights[i].basis);
        any_begins |= step->weights[i].begins;
    }
    if (step->turned) {
        run_blocks(step, scale_item);
    } else {
        multiply(step, gradient_left);
        multiply(step, gradient_right);
    }
    if (any_begins || step->renewal != LSPO_EIGEN_FIXED) {
        multiply(step, moment_left);
        multiply(step, moment_right);
    }
    run_blocks(step, adam_item);
    if (!step->turned) {
        multiply(step, delta_left);
        multiply(step, delta_right);
    }
    if (step->renewal == LSPO_EIGEN_RENEW || (any_begins && step->renewal != LSPO_EIGEN_LATER))
        renew(step);
}

void lspo_eigen_renew(const lspo_eigen_step_t *step)
{
    for (size_t i = 0; i < step->count; i++)
        step->weights[i].begins = !has_no_gradient_yet(&step->weights[i].basis);
    renew(step);
}

/* ---- other projectors ---- */

/* One side's C into `c`, which has T' of lspo_eigen_whiten(), with its new basis and moment. */
static void carry_side(const lspo_projector_t *from, const lspo_projector_t *to, float *t, float *moment, float *c,
                       void *scratch)
{
    const size_t d = from->d;
    float *whitened = spare(d, scratch) + d * d, *between = (float *)scratch;
    memcpy(whitened, c, d * d * sizeof *c);
    lspo_fit_cross(to, from, c);
    lspo_gemm_nn(d, d, d, (float)d / (float)from->rows, c, d, t, d, 0.0F, between, d);
    lspo_gemm_tn(d, d, d, 1.0F, whitened, d, between, d, 0.0F, c, d);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < i; j++)
            moment[i * d + j] = moment[j * d + i];
    lspo_gemm_nn(d, d, d, 1.0F, c, d, moment, d, 0.0F, between, d);
    lspo_gemm_nt(d, d, d, 1.0F, between, d, c, d, 0.0F, moment, d);
    memcpy(t, whitened, d * d * sizeof *t);
    turn_side(d, moment, t, whitened, scratch);
    lspo_gemm_tn(d, d, d, 1.0F, whitened, d, c, d, 0.0F, between, d);
    memcpy(c, between, d * d * sizeof *c);
}

/* array <- C_m array C_n^T. */
static void carry_moment(const lspo_eigen_weight_t *w, float *array)
{
    size_t m = w->basis.d_m, n = w->basis.d_n;
    lspo_gemm_nn(m, n, m, 1.0F, w->e_m, m, array, n, 0.0F, w->y, n);
    lspo_gemm_nt(m, n, n, 1.0F, w->y, n, w->e_n, n, 0.0F, array, n);
}

void lspo_eigen_carry(const lspo_projector_pair_t *from, const lspo_projector_pair_t *to,
                      const lspo_eigen_weight_t *weight, void *scratch)
{
    const lspo_eigen_basis_t *basis = &weight->basis;
    const size_t count = basis->d_m * basis->d_n;
    /* Both before the first change. */
    if (!lspo_eigen_whiten(to->p, weight->e_m, scratch) || !lspo_eigen_whiten(to->q, weight->e_n, scratch))
        return;
    carry_side(from->p, to->p, basis->t_m, basis->l, weight->e_m, scratch);
    carry_side(from->q, to->q, basis->t_n, basis->r, weight->e_n, scratch);
    const double before = lspo_fit_sum(count, weight->v);
    carry_moment(weight, weight->m);
    lspo_fit_square(basis->d_m * basis->d_m, weight->e_m);
    lspo_fit_square(basis->d_n * basis->d_n, weight->e_n);
    carry_moment(weight, weight->v);
    lspo_fit_keep_sum(count, before, weight->m, weight->v);
}
