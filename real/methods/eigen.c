/* eigen.c - a part of methods: Adam in eigenbases; see eigen.h. */
#include "real/methods/eigen.h"

#include <string.h>

#include "plan/policy.h"

lspo_basis_matrices_t lspo_eigen_matrices(const lspo_session_t *session, uint32_t s)
{
    lspo_basis_matrices_t matrices = {0};
    matrices.count = lspo_adam_basis_matrices(session->plan->gradient_form, &session->stages[s].message, matrices.of);
    return matrices;
}

size_t lspo_eigen_elements(const lspo_basis_matrices_t *matrices)
{
    size_t elements = 0;
    for (uint32_t i = 0; i < matrices->count; i++)
        elements += (size_t)matrices->of[i].rows * matrices->of[i].cols;
    return elements;
}

static size_t bytes_of(const lspo_session_t *session, uint32_t s)
{
    return lspo_adam_basis_bytes(lspo_plan_adam_basis(session->plan), session->plan->gradient_form,
                                 &session->stages[s].message);
}

/* x, y, e_m and e_n. */
static size_t scratch_floats(const lspo_basis_matrix_t *matrix)
{
    size_t m = matrix->rows, n = matrix->cols;
    return 2 * m * n + m * m + n * n;
}

void lspo_eigen_describe(lspo_session_t *session)
{
    size_t largest = 0;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, s);
        for (uint32_t i = 0; bytes_of(session, s) > 0 && session->stages[s].updated_on_host && i < matrices.count;
             i++) {
            largest = matrices.of[i].rows > largest ? matrices.of[i].rows : largest;
            largest = matrices.of[i].cols > largest ? matrices.of[i].cols : largest;
        }
    }
    if (largest > 0)
        session->method_scratch_count = lspo_eigen_scratch_bytes(largest) / sizeof(float);
    session->workers_multiply = largest > 0;
}

/* ---- memory ---- */

lspo_status_t lspo_eigen_take_host(lspo_session_t *session, uint32_t s, lspo_eigen_t *eigen, lspo_host_count_t *count)
{
    size_t bytes = session->stages[s].updated_on_host ? bytes_of(session, s) : 0;
    return bytes > 0 ? lspo_session_take_host(session, count, LSPO_HOST_OPTIMIZERS, bytes, &eigen->host) : LSPO_OK;
}

lspo_status_t lspo_eigen_take_device(lspo_session_t *session, uint32_t s, lspo_eigen_t *eigen)
{
    size_t bytes = session->stages[s].updated_on_gpu ? bytes_of(session, s) : 0;
    if (bytes > 0 && (session->asynchronous || session->number != LSPO_NUMBER_FP32))
        return lspo_error(LSPO_ERR_DEVICE,
                          "--policy %s updates its weights on the GPU, where --adam-basis fixed and eigen run only on "
                          "--device host in fp32; lsp and zero, whose Adam is on the CPU, run them on any device",
                          session->plan->policy->name);
    return bytes > 0 ? lspo_session_take(session, bytes, &eigen->device) : LSPO_OK;
}

void lspo_eigen_give_back(lspo_session_t *session, lspo_eigen_t *eigen)
{
    lspo_device_host_free(session->device, eigen->host);
    eigen->host = NULL;
    lspo_session_give_back(session, &eigen->device);
}

static size_t largest_scratch_bytes(const lspo_session_t *session, bool on_gpu)
{
    size_t largest = 0;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_session_stage_t *stage = &session->stages[s];
        size_t bytes = lspo_adam_basis_scratch_bytes(lspo_plan_adam_basis(session->plan), session->plan->gradient_form,
                                                     &stage->message);
        if ((on_gpu ? stage->updated_on_gpu : stage->updated_on_host) && bytes > largest)
            largest = bytes;
    }
    return largest;
}

lspo_status_t lspo_eigen_take_host_scratch(lspo_session_t *session, lspo_eigen_scratch_t *scratch)
{
    size_t bytes = largest_scratch_bytes(session, false), elements = 0;
    lspo_status_t status = bytes > 0 ? lspo_device_host_alloc(session->device, bytes, &scratch->memory) : LSPO_OK;
    if (status != LSPO_OK || bytes == 0 || !lspo_session_packs(session))
        return status;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, s);
        elements = lspo_eigen_elements(&matrices) > elements ? lspo_eigen_elements(&matrices) : elements;
    }
    return lspo_device_host_alloc(session->device, elements * sizeof(float), (void **)&scratch->message);
}

lspo_status_t lspo_eigen_take_device_scratch(lspo_session_t *session, lspo_eigen_scratch_t *scratch)
{
    size_t bytes = largest_scratch_bytes(session, true);
    return bytes > 0 ? lspo_session_take(session, bytes, &scratch->memory) : LSPO_OK;
}

void lspo_eigen_give_back_scratch(lspo_session_t *session, lspo_eigen_scratch_t *host, lspo_eigen_scratch_t *device)
{
    lspo_device_host_free(session->device, host->memory);
    lspo_device_host_free(session->device, host->message);
    *host = (lspo_eigen_scratch_t){0};
    lspo_session_give_back(session, &device->memory);
}

/* ---- matrices ---- */

lspo_eigen_weight_t lspo_eigen_weight(const lspo_session_t *session, uint32_t s, uint32_t i, const lspo_eigen_t *eigen,
                                      const lspo_eigen_scratch_t *scratch)
{
    const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, s);
    float *bases = eigen->host ? eigen->host : eigen->device, *at = scratch ? scratch->memory : NULL;
    for (uint32_t k = 0; k < i; k++) {
        bases += lspo_eigen_basis_floats(matrices.of[k].rows, matrices.of[k].cols);
        at += at ? scratch_floats(&matrices.of[k]) : 0;
    }
    size_t m = matrices.of[i].rows, n = matrices.of[i].cols;
    lspo_eigen_weight_t weight = {.basis = lspo_eigen_basis_in(m, n, bases)};
    if (!at)
        return weight;
    weight.x = at;
    weight.y = weight.x + m * n;
    weight.e_m = weight.y + m * n;
    weight.e_n = weight.e_m + m * m;
    return weight;
}

static void begin_side(size_t d, float *t, float *moment)
{
    memset(t, 0, d * d * sizeof *t);
    memset(moment, 0, d * d * sizeof *moment);
    for (size_t i = 0; i < d; i++)
        t[i * d + i] = 1;
}

void lspo_eigen_begin(const lspo_session_t *session, uint32_t s, const lspo_eigen_t *eigen)
{
    const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, s);
    for (uint32_t i = 0; (eigen->host || eigen->device) && i < matrices.count; i++) {
        const lspo_eigen_basis_t basis = lspo_eigen_weight(session, s, i, eigen, NULL).basis;
        begin_side(basis.d_m, basis.t_m, basis.l);
        begin_side(basis.d_n, basis.t_n, basis.r);
    }
}

/* ---- updates ---- */

/* Arrays with the layout of the message. */
typedef struct {
    const float *gradient;
    float *m, *v, *delta;
} arrays_t;

static lspo_eigen_renewal_t renewal_of(const lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_plan_t *plan = session->plan;
    if (op->kind == LSPO_OP_UPD && lspo_plan_renews_apart(plan) &&
        lspo_plan_renews_adam_basis(plan, op->layer, op->iteration))
        return LSPO_EIGEN_LATER;
    if (lspo_plan_adam_basis(plan) == LSPO_ADAM_BASIS_FIXED)
        return LSPO_EIGEN_FIXED;
    return op->variant == LSPO_VARIANT_RENEW ? LSPO_EIGEN_RENEW : LSPO_EIGEN_KEEP;
}

static void place_matrices(const lspo_session_t *session, uint32_t s, const lspo_eigen_t *eigen,
                           const lspo_eigen_scratch_t *scratch, const arrays_t *arrays, lspo_eigen_step_t *step)
{
    const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, s);
    for (uint32_t i = 0; i < matrices.count; i++) {
        size_t at = matrices.of[i].offset_elements;
        step->weights[i] = lspo_eigen_weight(session, s, i, eigen, scratch);
        step->weights[i].gradient = arrays->gradient + at;
        step->weights[i].m = arrays->m + at;
        step->weights[i].v = arrays->v + at;
        step->weights[i].delta = arrays->delta + at;
    }
    step->count = matrices.count;
}

/* Returns true if one of them had its first gradient, and its basis was made of it. */
static bool step_matrices(const lspo_session_t *session, const lspo_op_t *op, const lspo_eigen_t *eigen,
                          const lspo_eigen_scratch_t *scratch, const arrays_t *arrays, lspo_eigen_step_t *step)
{
    lspo_eigen_weight_t weights[LSPO_BASIS_MATRICES_MAX];
    bool begins = false;
    step->weights = weights;
    step->renewal = renewal_of(session, op);
    place_matrices(session, op->layer, eigen, scratch, arrays, step);
    lspo_eigen_adam(step);
    for (size_t i = 0; step->renewal != LSPO_EIGEN_LATER && i < step->count; i++)
        begins |= weights[i].begins;
    return begins;
}

/* Between the link's format and fp32, shared by the workers block by block. */
typedef struct {
    const lspo_session_t *session;
    float *numbers;
    void *message;
    size_t count;
    bool packs;
} conversion_t;

static void convert_block(void *context, uint32_t worker, size_t block)
{
    const conversion_t *all = context;
    size_t at = block * LSPO_UPDATE_BLOCK,
           n = all->count - at < LSPO_UPDATE_BLOCK ? all->count - at : LSPO_UPDATE_BLOCK;
    void *message = lspo_session_link_at(all->session, all->message, at);
    (void)worker;
    if (all->packs)
        lspo_session_pack_numbers(all->session->link, n, all->numbers + at, message);
    else
        lspo_session_unpack_numbers(all->session->link, n, message, all->numbers + at);
}

static void convert(lspo_session_t *session, float *numbers, void *message, size_t count, bool packs)
{
    conversion_t all = {session, numbers, message, count, packs};
    lspo_workers_run(session->workers, (count + LSPO_UPDATE_BLOCK - 1) / LSPO_UPDATE_BLOCK, convert_block, &all);
}

/* The matrices of a step that is not skipped; true as step_matrices(). */
static bool update_matrices(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                            const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, op->layer);
    uint32_t slot = lspo_session_slot(session, op);
    bool packs = lspo_session_packs(session);
    float *gradient = packs ? scratch->message : stage->landing[slot], *m = host->moments.memory;
    arrays_t arrays = {.gradient = gradient, .m = m, .v = m + host->moments.places, .delta = stage->outgoing[slot]};
    lspo_eigen_step_t step = {.workers = session->workers,
                              .adam = lspo_host_adam_of(session, op),
                              .turned = lspo_plan_turns_on_gpu(session->plan, op->iteration),
                              .scratch = session->method_scratch,
                              .scratch_bytes = session->method_scratch_count * sizeof(float)};
    if (packs)
        convert(session, gradient, stage->landing[slot], lspo_eigen_elements(&matrices), false);
    if (packs || host->master)
        arrays.delta = gradient;
    bool begins = step_matrices(session, op, eigen, scratch, &arrays, &step);
    if (host->master)
        lspo_host_adam_step_along(session, op, host, arrays.delta, lspo_eigen_elements(&matrices));
    else if (packs)
        convert(session, arrays.delta, stage->outgoing[slot], lspo_eigen_elements(&matrices), true);
    return begins;
}

uint64_t lspo_eigen_update_host(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                                const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch, bool *begins_out)
{
    const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, op->layer);
    bool skips = lspo_session_skips_step(session, op, session->host_norms);
    uint64_t start_ns = lspo_now_ns(), took_ns;
    *begins_out = !skips && update_matrices(session, op, host, eigen, scratch);
    took_ns = lspo_now_ns() - start_ns;
    size_t first = skips ? 0 : lspo_eigen_elements(&matrices); /* a skipped step may send its master */
    lspo_host_adam_update_part(session, op, host, first, host->count - first);
    return took_ns;
}

void lspo_eigen_renew_host(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                           const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch)
{
    lspo_eigen_weight_t weights[LSPO_BASIS_MATRICES_MAX];
    float *m = host->moments.memory;
    const arrays_t arrays = {.gradient = m, .m = m, .v = m + host->moments.places, .delta = m}; /* m and v are used */
    lspo_eigen_step_t step = {.workers = session->workers,
                              .renewal = LSPO_EIGEN_LATER,
                              .weights = weights,
                              .scratch = session->method_scratch,
                              .scratch_bytes = session->method_scratch_count * sizeof(float)};
    if (lspo_session_skips_step(session, op, session->host_norms))
        return;
    place_matrices(session, op->layer, eigen, scratch, &arrays, &step);
    lspo_eigen_renew(&step);
}

size_t lspo_eigen_update_device(lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_adam_t *gpu,
                                const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch)
{
    const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, op->layer);
    float *gradient = session->stages[op->layer].gradient[lspo_session_parity(session, op)], *m = gpu->moments.memory;
    const arrays_t arrays = {.gradient = gradient, .m = m, .v = m + gpu->moments.places, .delta = gradient};
    size_t floats = 0;
    for (uint32_t i = 0; i < matrices.count; i++)
        floats += scratch_floats(&matrices.of[i]);
    lspo_eigen_step_t step = {.adam = lspo_gpu_adam_of(session, op), .scratch = (float *)scratch->memory + floats};
    step_matrices(session, op, eigen, scratch, &arrays, &step);
    return lspo_eigen_elements(&matrices);
}

/* The matrices step along their directions; the rest follows in the state's order. */
static void update_stage_in_bases(lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_adam_t *gpu,
                                  const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch, void *weights)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    void *gradient = stage->gradient[lspo_session_parity(session, op)];
    lspo_adam_t adam = lspo_gpu_adam_of(session, op);
    size_t first = lspo_eigen_update_device(session, op, gpu, eigen, scratch);
    const lspo_vector_step_t along = {.keep = lspo_session_kept(session, adam.learning_rate),
                                      .rate = adam.learning_rate};
    const lspo_adam_state_t rest = lspo_gpu_adam_at(session, op, gpu, first, stage->message.element_count - first);
    lspo_compute_step_along(session->compute, first, &along, LSPO_NUMBER_FP32, gradient, weights);
    lspo_compute_adam_parameters(session->compute, &adam, &rest, lspo_session_at(session, gradient, first),
                                 lspo_session_at(session, weights, first));
}

void lspo_eigen_update_stage(lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_adam_t *gpu,
                             const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch, void *weights)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **gradient = &stage->gradient[lspo_session_parity(session, op)];
    lspo_adam_t adam = lspo_gpu_adam_of(session, op);
    const lspo_adam_state_t state = lspo_gpu_adam_at(session, op, gpu, 0, stage->message.element_count);
    bool skips = lspo_session_skips_step(session, op, &session->norms);
    if (!skips && eigen->device)
        update_stage_in_bases(session, op, gpu, eigen, scratch, weights);
    else if (!skips)
        lspo_compute_adam_parameters(session->compute, &adam, &state, *gradient, weights);
    lspo_session_give_back(session, gradient);
}

void lspo_eigen_visit(const lspo_session_t *session, uint32_t s, const lspo_eigen_t *eigen, const char *name,
                      lspo_state_walk_t *walk)
{
    size_t count = bytes_of(session, s) / sizeof(float);
    lspo_walk_host(walk, eigen->host, count, LSPO_STATE_F32, "%s.bases", name);
    lspo_walk_device(walk, eigen->device, count, LSPO_STATE_F32, "%s.gpu_bases", name);
}
