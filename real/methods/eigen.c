/* eigen.c - a part of methods: Adam in eigenbases on the CPU; see eigen.h. */
#include "real/methods/eigen.h"

static bool has_basis(const lspo_session_t *session, uint32_t s, uint32_t i)
{
    return session->stages[s].message.linear[i].compressed;
}

static size_t bytes_of(const lspo_session_t *session, uint32_t s)
{
    return lspo_adam_basis_bytes(lspo_plan_adam_basis(session->plan), &session->stages[s].message);
}

/* x, y, e_m and e_n. */
static size_t scratch_floats(const lspo_projection_t *w)
{
    size_t m = w->d_rows, n = w->d_cols;
    return 2 * m * n + m * m + n * n;
}

void lspo_eigen_describe(lspo_session_t *session)
{
    size_t largest = 0;
    for (uint32_t s = 0; s < session->stage_count; s++)
        for (uint32_t i = 0; bytes_of(session, s) > 0 && i < session->stages[s].message.linear_count; i++) {
            const lspo_projection_t *w = &session->stages[s].message.linear[i];
            size_t d = w->d_rows > w->d_cols ? w->d_rows : w->d_cols;
            largest = w->compressed && d > largest ? d : largest;
        }
    if (largest > 0)
        session->method_scratch_count = lspo_eigen_scratch_bytes(largest) / sizeof(float);
    session->workers_multiply = largest > 0;
}

lspo_status_t lspo_eigen_take(lspo_session_t *session, uint32_t s, lspo_eigen_t *eigen, lspo_host_count_t *count)
{
    size_t bytes = bytes_of(session, s);
    return bytes > 0 ? lspo_session_take_host(session, count, LSPO_HOST_OPTIMIZERS, bytes, &eigen->memory) : LSPO_OK;
}

void lspo_eigen_give_back(lspo_session_t *session, lspo_eigen_t *eigen)
{
    lspo_device_host_free(session->device, eigen->memory);
    eigen->memory = NULL;
}

lspo_status_t lspo_eigen_take_scratch(lspo_session_t *session, lspo_eigen_scratch_t *scratch)
{
    size_t largest = 0;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_message_t *message = &session->stages[s].message;
        size_t floats = 0;
        for (uint32_t i = 0; bytes_of(session, s) > 0 && i < message->linear_count; i++)
            floats += has_basis(session, s, i) ? scratch_floats(&message->linear[i]) : 0;
        largest = floats > largest ? floats : largest;
    }
    if (largest == 0)
        return LSPO_OK;
    return lspo_device_host_alloc(session->device, largest * sizeof(float), (void **)&scratch->memory);
}

void lspo_eigen_give_back_scratch(lspo_session_t *session, lspo_eigen_scratch_t *scratch)
{
    lspo_device_host_free(session->device, scratch->memory);
    scratch->memory = NULL;
}

lspo_eigen_weight_t lspo_eigen_weight(const lspo_session_t *session, uint32_t s, uint32_t i, const lspo_eigen_t *eigen,
                                      const lspo_eigen_scratch_t *scratch)
{
    const lspo_projection_t *linear = session->stages[s].message.linear;
    float *bases = eigen->memory, *at = scratch->memory;
    for (uint32_t k = 0; k < i; k++) {
        bases += has_basis(session, s, k) ? lspo_eigen_basis_floats(linear[k].d_rows, linear[k].d_cols) : 0;
        at += has_basis(session, s, k) ? scratch_floats(&linear[k]) : 0;
    }
    size_t m = linear[i].d_rows, n = linear[i].d_cols;
    lspo_eigen_weight_t weight = {.basis = lspo_eigen_basis_in(m, n, bases)};
    weight.x = at;
    weight.y = weight.x + m * n;
    weight.e_m = weight.y + m * n;
    weight.e_n = weight.e_m + m * m;
    return weight;
}

/* An UPD. */
typedef struct {
    lspo_session_t *session;
    const void *landing;
    void *outgoing;
    size_t count;
    size_t at[LSPO_LINEAR_MAX]; /* of each weight in the message */
    lspo_eigen_weight_t weights[LSPO_LINEAR_MAX];
} update_t;

static size_t elements_of(const lspo_eigen_weight_t *weight)
{
    return weight->basis.d_m * weight->basis.d_n;
}

static void unpack_weight(void *context, uint32_t worker, size_t item)
{
    const update_t *update = context;
    const lspo_eigen_weight_t *weight = &update->weights[item];
    (void)worker;
    lspo_session_unpack_numbers(update->session->link, elements_of(weight),
                                lspo_session_link_at(update->session, update->landing, update->at[item]), weight->x);
}

static void pack_weight(void *context, uint32_t worker, size_t item)
{
    const update_t *update = context;
    const lspo_eigen_weight_t *weight = &update->weights[item];
    (void)worker;
    lspo_session_pack_numbers(update->session->link, elements_of(weight), weight->x,
                              lspo_session_link_at(update->session, update->outgoing, update->at[item]));
}

/* The compressed weights of the op's stage, with gradients and deltas in place, or in x if the link has 16 bits. */
static void list_weights(const lspo_op_t *op, const lspo_host_adam_t *host, const lspo_eigen_t *eigen,
                         const lspo_eigen_scratch_t *scratch, update_t *update)
{
    const lspo_session_t *session = update->session;
    const lspo_message_t *message = &session->stages[op->layer].message;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        if (!has_basis(session, op->layer, i))
            continue;
        size_t at = message->linear[i].message_offset_elements;
        lspo_eigen_weight_t *weight = &update->weights[update->count];
        *weight = lspo_eigen_weight(session, op->layer, i, eigen, scratch);
        weight->m = (float *)host->moments.memory + at;
        weight->v = weight->m + host->count;
        weight->gradient = weight->delta = weight->x;
        if (!lspo_session_packs(session)) {
            weight->gradient = lspo_session_link_at(session, update->landing, at);
            weight->delta = lspo_session_link_at(session, update->outgoing, at);
        }
        update->at[update->count++] = at;
    }
}

static void update_weights(const lspo_op_t *op, update_t *update)
{
    lspo_session_t *session = update->session;
    bool renews = op->variant == LSPO_VARIANT_RENEW;
    bool fixed = lspo_plan_adam_basis(session->plan) == LSPO_ADAM_BASIS_FIXED;
    const lspo_eigen_step_t step = {.workers = session->workers,
                                    .adam = lspo_host_adam_of(session, op),
                                    .renewal = fixed    ? LSPO_EIGEN_FIXED
                                               : renews ? LSPO_EIGEN_RENEW
                                                        : LSPO_EIGEN_KEEP,
                                    .weights = update->weights,
                                    .count = update->count,
                                    .scratch = session->method_scratch,
                                    .scratch_bytes = session->method_scratch_count * sizeof(float)};
    if (lspo_session_packs(session))
        lspo_workers_run(session->workers, update->count, unpack_weight, update);
    lspo_eigen_adam(&step);
    if (lspo_session_packs(session))
        lspo_workers_run(session->workers, update->count, pack_weight, update);
}

static void update_others(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host)
{
    const lspo_message_t *message = &session->stages[op->layer].message;
    for (uint32_t i = 0; i < message->linear_count; i++)
        if (!has_basis(session, op->layer, i))
            lspo_host_adam_update_part(session, op, host, message->linear[i].message_offset_elements,
                                       message->linear[i].message_elements);
    lspo_host_adam_update_part(session, op, host, message->rest_offset_elements, message->rest_elements);
}

uint64_t lspo_eigen_update(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                           const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch)
{
    uint32_t slot = lspo_session_slot(session, op);
    update_t update = {.session = session,
                       .landing = session->stages[op->layer].landing[slot],
                       .outgoing = session->stages[op->layer].outgoing[slot]};
    uint64_t start_ns = lspo_now_ns(), took_ns;
    list_weights(op, host, eigen, scratch, &update);
    if (!lspo_session_skips_step(session, op, session->host_norms))
        update_weights(op, &update);
    took_ns = lspo_now_ns() - start_ns;
    update_others(session, op, host);
    return took_ns;
}

void lspo_eigen_visit(const lspo_session_t *session, uint32_t s, const lspo_eigen_t *eigen, const char *name,
                      lspo_state_walk_t *walk)
{
    lspo_walk_host(walk, eigen->memory, bytes_of(session, s) / sizeof(float), LSPO_STATE_F32, "%s.bases", name);
}
