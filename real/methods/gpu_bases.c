/* gpu_bases.c - a part of lsp: Adam's bases on the GPU; see gpu_bases.h. */
#include "real/methods/gpu_bases.h"

/* ---- memory ---- */

static size_t bytes_of(const lspo_session_t *session, uint32_t s)
{
    const lspo_plan_t *plan = session->plan;
    if (!lspo_plan_has_bases_on_gpu(plan) || !session->stages[s].updated_on_host)
        return 0;
    return lspo_adam_basis_turn_bytes(lspo_plan_adam_basis(plan), plan->gradient_form, &session->stages[s].message,
                                      session->number_bytes);
}

lspo_status_t lspo_gpu_bases_take_host(lspo_session_t *session, uint32_t s, lspo_gpu_bases_t *bases,
                                       lspo_host_count_t *count)
{
    size_t bytes = bytes_of(session, s);
    return bytes > 0 ? lspo_session_take_host(session, count, LSPO_HOST_OUTGOING, bytes, &bases->outgoing) : LSPO_OK;
}

lspo_status_t lspo_gpu_bases_take_device(lspo_session_t *session, uint32_t s, lspo_gpu_bases_t *bases)
{
    size_t bytes = bytes_of(session, s);
    return bytes > 0 ? lspo_session_take(session, bytes, &bases->device) : LSPO_OK;
}

static bool converts(const lspo_session_t *session)
{
    return session->link != session->number;
}

lspo_status_t lspo_gpu_bases_take_scratch(lspo_session_t *session, lspo_gpu_bases_scratch_t *scratch)
{
    const lspo_plan_t *plan = session->plan;
    size_t product_bytes = 0, direction_bytes = 0;
    for (uint32_t s = 0; lspo_plan_has_bases_on_gpu(plan) && s < session->stage_count; s++) {
        const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, s);
        if (!session->stages[s].updated_on_host)
            continue;
        size_t all_bytes = lspo_eigen_elements(&matrices) * session->number_bytes;
        size_t bytes = lspo_adam_basis_turn_scratch_bytes(lspo_plan_adam_basis(plan), plan->gradient_form,
                                                          &session->stages[s].message, session->number_bytes, false);
        product_bytes = bytes > product_bytes ? bytes : product_bytes;
        direction_bytes = converts(session) && all_bytes > direction_bytes ? all_bytes : direction_bytes;
    }
    lspo_status_t status = product_bytes > 0 ? lspo_session_take(session, product_bytes, &scratch->product) : LSPO_OK;
    if (status != LSPO_OK || direction_bytes == 0)
        return status;
    return lspo_session_take(session, direction_bytes, &scratch->directions);
}

void lspo_gpu_bases_give_back(lspo_session_t *session, lspo_gpu_bases_t *bases)
{
    lspo_device_host_free(session->device, bases->outgoing);
    bases->outgoing = NULL;
    lspo_session_give_back(session, &bases->device);
}

void lspo_gpu_bases_give_back_scratch(lspo_session_t *session, lspo_gpu_bases_scratch_t *scratch)
{
    lspo_session_give_back(session, &scratch->directions);
    lspo_session_give_back(session, &scratch->product);
}

/* ---- from the CPU to the GPU ---- */

static char *pack_side(const lspo_session_t *session, size_t d, const float *t, char *to)
{
    lspo_session_pack_numbers(session->number, d * d, t, to);
    return to + d * d * session->number_bytes;
}

void lspo_gpu_bases_pack(const lspo_session_t *session, uint32_t s, const lspo_eigen_t *eigen,
                         const lspo_gpu_bases_t *bases)
{
    char *to = bases->outgoing;
    const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, s);
    for (uint32_t i = 0; to && i < matrices.count; i++) {
        const lspo_eigen_basis_t basis = lspo_eigen_weight(session, s, i, eigen, NULL).basis;
        to = pack_side(session, basis.d_m, basis.t_m, to);
        to = pack_side(session, basis.d_n, basis.t_n, to);
    }
}

void lspo_gpu_bases_send(lspo_session_t *session, uint32_t s, lspo_gpu_bases_t *bases)
{
    bases->unsent = false;
    if (bases->device)
        lspo_device_copy(session->device, LSPO_COPY_H2D, bases->device, bases->outgoing, bytes_of(session, s));
}

lspo_status_t lspo_gpu_bases_write(lspo_session_t *session, uint32_t s, const lspo_eigen_t *eigen,
                                   lspo_gpu_bases_t *bases)
{
    bases->unsent = false;
    if (!bases->device)
        return LSPO_OK;
    lspo_gpu_bases_pack(session, s, eigen, bases);
    return lspo_device_write(session->device, bases->device, bases->outgoing, bytes_of(session, s));
}

/* ---- on the GPU ---- */

typedef void turn_function_t(lspo_compute_t *c, const lspo_turn_t *turn, void *matrices, void *y);

/* All matrices of a stage, run after run. */
static void turn_all(lspo_session_t *session, uint32_t s, const lspo_gpu_bases_t *bases,
                     const lspo_gpu_bases_scratch_t *scratch, turn_function_t *function, void *message)
{
    const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, s);
    size_t at = 0; /* number of T's elements before the run */
    for (uint32_t i = 0, run; i < matrices.count; i += run) {
        size_t m = matrices.of[i].rows, n = matrices.of[i].cols;
        run = lspo_adam_basis_run(matrices.of, matrices.count, i);
        const lspo_turn_t turn = {.count = run, .m = m, .n = n, .bases = lspo_session_at(session, bases->device, at)};
        function(session->compute, &turn, lspo_session_at(session, message, matrices.of[i].offset_elements),
                 scratch->product);
        at += run * (m * m + n * n);
    }
}

void lspo_gpu_bases_turn_gradient(lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_bases_t *bases,
                                  const lspo_gpu_bases_scratch_t *scratch)
{
    void *gradient = session->stages[op->layer].gradient[lspo_session_parity(session, op)];
    turn_all(session, op->layer, bases, scratch, lspo_compute_turn_in, gradient);
}

void *lspo_gpu_bases_turn_directions(lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_bases_t *bases,
                                     const lspo_gpu_bases_scratch_t *scratch, void *message)
{
    const lspo_basis_matrices_t matrices = lspo_eigen_matrices(session, op->layer);
    void *directions = converts(session) ? scratch->directions : message;
    if (converts(session))
        lspo_compute_convert(session->compute, lspo_eigen_elements(&matrices), session->link, message, session->number,
                             directions);
    turn_all(session, op->layer, bases, scratch, lspo_compute_turn_back, directions);
    return directions;
}
