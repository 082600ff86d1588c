/* pairs.c - create pairs of projectors, send them to the CPU, and transform the moments to new ones.
 *
 * After a calibration pass (project.c) the pairs in use are sent to the CPU, where the update of each weight transforms
 * its M and V before Adam. */
#include "real/methods/pairs.h"
#include "kernels/blas.h"
#include "plan/policies/lsp.h"

#include <stdlib.h>
#include <string.h>

/* Random streams for projectors; weights and batches have their own. */
static const uint64_t projector_seed_stride = UINT64_C(0x9e3779b97f4a7c15);

static void place_array(char **at, const void *from, size_t bytes, void **array)
{
    memcpy(*at, from, bytes);
    *array = *at;
    *at += bytes;
}

/* A projector's arrays in one block of host memory: the part that is sent to the CPU comes first. */
static void place_projector(const lspo_projector_t *made, void *memory, lspo_projector_t *placed)
{
    size_t nonzeros = (size_t)made->rows * made->r;
    char *at = memory;
    *placed = *made;
    place_array(&at, made->index, nonzeros * sizeof(uint32_t), (void **)&placed->index);
    place_array(&at, made->value, nonzeros * sizeof(float), (void **)&placed->value);
    place_array(&at, made->column_entry, nonzeros * sizeof *made->column_entry, (void **)&placed->column_entry);
    place_array(&at, made->column_first, ((size_t)made->d + 1) * sizeof(uint32_t), (void **)&placed->column_first);
}

lspo_projector_t lspo_pairs_view_in(const lspo_projector_t *shape, void *memory)
{
    lspo_projector_t view = *shape;
    const char *from = (const char *)shape->index;
    char *at = memory;
    view.index = memory;
    view.value = (float *)(at + ((const char *)shape->value - from));
    view.column_entry = (lspo_projector_entry_t *)(at + ((const char *)shape->column_entry - from));
    view.column_first = (uint32_t *)(at + ((const char *)shape->column_first - from));
    return view;
}

/* Allocate one side of a pair on the device and, if separate, on the host; does nothing if already allocated. */
static lspo_status_t take_side(lspo_session_t *session, lspo_pair_t *pair, int side, size_t bytes)
{
    lspo_status_t status = LSPO_OK;
    if (!pair->memory[side])
        status = lspo_session_take(session, bytes, &pair->memory[side]);
    if (status != LSPO_OK)
        return status;
    if (session->asynchronous && !pair->mirror[side] && !(pair->mirror[side] = malloc(bytes)))
        return lspo_no_memory("a projector's mirror of %zu bytes", bytes);
    return LSPO_OK;
}

lspo_status_t lspo_pairs_upload(lspo_session_t *session, lspo_pair_t *pair)
{
    for (int side = 0; session->asynchronous && side < 2; side++) {
        lspo_status_t status = lspo_device_write(session->device, pair->memory[side], pair->mirror[side],
                                                 lspo_pairs_block_bytes(side == 0 ? &pair->p : &pair->q));
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* rows x d, with r nonzeros per row. */
typedef struct {
    uint32_t rows, d, r;
} shape_t;

static lspo_status_t make_projector(lspo_session_t *session, uint64_t seed, const shape_t *shape, lspo_pair_t *pair,
                                    int side)
{
    uint32_t rows = shape->rows, d = shape->d, r = shape->r;
    lspo_projector_t made;
    const lspo_workload_t *workload = &session->plan->workload;
    bool works;
    if (workload->identity_projectors)
        works = lspo_projector_identity(rows, &made);
    else if (lspo_lsp_values_of(workload)->projector_values == LSPO_PROJECTOR_SIGN)
        works = lspo_projector_signs(rows, d, r, seed, &made);
    else
        works = lspo_projector_random(rows, d, r, seed, &made);
    if (!works)
        return lspo_no_memory("a projector of %u rows with %u nonzeros each", rows, r);
    lspo_status_t status = take_side(session, pair, side, lspo_pairs_block_bytes(&made));
    if (status != LSPO_OK)
        goto cleanup;
    lspo_projector_t *host = side == 0 ? &pair->host_p : &pair->host_q;
    place_projector(&made, pair->mirror[side] ? pair->mirror[side] : pair->memory[side], host);
    *(side == 0 ? &pair->p : &pair->q) = lspo_pairs_view_in(host, pair->memory[side]);
cleanup:
    lspo_projector_release(&made);
    return status;
}

static lspo_status_t make_pair(lspo_session_t *session, uint32_t s, uint32_t i)
{
    lspo_pair_t *pair = &lspo_pairs_of(session, s)->own_pairs[i];
    const lspo_projection_t *linear = &session->stages[s].message.linear[i];
    uint64_t number = (uint64_t)s * LSPO_LINEAR_MAX + i;
    uint64_t seed = session->plan->workload.seed + (number * 2 + 1) * projector_seed_stride;
    const shape_t p = {linear->rows, linear->d_rows, linear->nnz_rows};
    const shape_t q = {linear->cols, linear->d_cols, linear->nnz_cols};
    lspo_status_t status = make_projector(session, seed, &p, pair, 0);
    if (status != LSPO_OK)
        return status;
    status = make_projector(session, seed + projector_seed_stride, &q, pair, 1);
    if (status != LSPO_OK)
        return status;
    return lspo_pairs_upload(session, pair);
}

static bool checks(const lspo_session_t *session)
{
    const lspo_workload_t *workload = &session->plan->workload;
    return lspo_lsp_values_of(workload)->check_every > 0 && !workload->identity_projectors;
}

/* Bytes of the rows: indices, then values. */
static size_t row_bytes(const lspo_projector_t *p)
{
    return (size_t)p->rows * p->r * (sizeof(uint32_t) + sizeof(float));
}

static const lspo_projector_t *side_of(const lspo_pair_t *pair, int side)
{
    return side == 0 ? &pair->p : &pair->q;
}

static const lspo_projector_t *host_side_of(const lspo_pair_t *pair, int side)
{
    return side == 0 ? &pair->host_p : &pair->host_q;
}

void lspo_pairs_learn(lspo_session_t *session)
{
    for (uint32_t s = 0; checks(session) && s < session->stage_count; s++)
        for (uint32_t i = 0; i < LSPO_LINEAR_MAX; i++)
            for (int side = 0; lspo_pairs_owns(session, s, i) && side < 2; side++) {
                lspo_pair_t *pair = &lspo_pairs_of(session, s)->own_pairs[i];
                const lspo_projector_t *p = host_side_of(pair, side);
                memcpy(pair->arrived[side], p->index, row_bytes(p));
            }
}

static lspo_status_t make_known(lspo_session_t *session, lspo_pair_t *pair)
{
    for (int side = 0; side < 2; side++) {
        size_t bytes = row_bytes(side_of(pair, side));
        lspo_status_t status = lspo_device_host_alloc(session->device, bytes, &pair->known[side]);
        if (status != LSPO_OK)
            return status;
        status = lspo_device_host_alloc(session->device, bytes, &pair->arrived[side]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* The pair of weight i is that of weight *first_out of the returned stage: itself, or the first of its shape in the
 * first block that has projectors. */
static uint32_t owner_of(const lspo_session_t *session, uint32_t s, uint32_t i, uint32_t *first_out)
{
    bool shared = lspo_lsp_values_of(&session->plan->workload)->projectors == LSPO_PROJECTORS_SHAPE;
    *first_out = shared ? lspo_message_first_alike(&session->stages[s].message, i) : i;
    return shared ? lspo_plan_first_sent_block(session->plan) : s;
}

static lspo_status_t join_pair(lspo_session_t *session, uint32_t s, uint32_t i)
{
    lspo_pairs_stage_t *own = lspo_pairs_of(session, s);
    uint32_t first, owner = owner_of(session, s, i, &first);
    lspo_pair_t *pair = &lspo_pairs_of(session, owner)->own_pairs[first];
    lspo_status_t status = LSPO_OK;
    if (pair->weights == 0)
        status = make_pair(session, owner, first);
    if (status != LSPO_OK)
        return status;
    if (pair->weights == 0 && checks(session))
        status = make_known(session, pair);
    if (status != LSPO_OK)
        return status;
    pair->weights++;
    own->pair[i] = pair;
    own->p[i] = pair->p;
    own->q[i] = pair->q;
    return LSPO_OK;
}

lspo_status_t lspo_pairs_make(lspo_session_t *session, uint32_t s)
{
    const lspo_message_t *message = &session->stages[s].message;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < message->linear_count; i++) {
        if (message->linear[i].compressed)
            status = join_pair(session, s, i);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* The arrays keep their addresses, so that the stages' views of them remain valid. */
lspo_status_t lspo_pairs_reset(lspo_session_t *session)
{
    for (uint32_t s = 0; checks(session) && s < session->stage_count; s++)
        for (uint32_t i = 0; i < LSPO_LINEAR_MAX; i++) {
            if (!lspo_pairs_owns(session, s, i))
                continue;
            lspo_status_t status = make_pair(session, s, i);
            if (status != LSPO_OK)
                return status;
        }
    lspo_pairs_learn(session);
    return LSPO_OK;
}

static void release_pair(lspo_session_t *session, lspo_pair_t *pair)
{
    for (int side = 0; side < 2; side++) {
        lspo_session_give_back(session, &pair->memory[side]);
        free(pair->mirror[side]);
        lspo_device_host_free(session->device, pair->known[side]);
        lspo_device_host_free(session->device, pair->arrived[side]);
    }
}

void lspo_pairs_release(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        for (uint32_t i = 0; i < LSPO_LINEAR_MAX; i++)
            release_pair(session, &lspo_pairs_of(session, s)->own_pairs[i]);
}

/* ---- moments ---- */

lspo_status_t lspo_pairs_make_carry(lspo_session_t *session)
{
    lspo_pairs_t *pairs = session->own;
    size_t largest = 0;
    bool plain = lspo_plan_adam_basis(session->plan) == LSPO_ADAM_BASIS_PLAIN;
    for (uint32_t s = 0; plain && checks(session) && s < session->stage_count; s++)
        for (uint32_t i = 0; i < session->stages[s].message.linear_count; i++) {
            const lspo_pairs_stage_t *own = lspo_pairs_of(session, s);
            size_t count = own->p[i].index ? lspo_fit_carry_scratch(&own->p[i], &own->q[i]) : 0;
            largest = count > largest ? count : largest;
        }
    if (largest == 0)
        return LSPO_OK;
    return lspo_device_host_alloc(session->device, largest * sizeof(float), (void **)&pairs->carry_scratch);
}

/* The stages, shared by workers. */
typedef struct {
    lspo_session_t *session;
    char *scratch;
    size_t scratch_bytes;
} begin_t;

static void begin_stage(void *context, uint32_t worker, size_t s)
{
    const begin_t *begin = context;
    const lspo_pairs_stage_t *own = lspo_pairs_of(begin->session, (uint32_t)s);
    void *scratch = begin->scratch + worker * begin->scratch_bytes;
    lspo_eigen_begin(begin->session, (uint32_t)s, &own->eigen);
    for (uint32_t i = 0; own->eigen.host && i < begin->session->stages[s].message.linear_count; i++) {
        if (!own->pair[i])
            continue;
        const lspo_eigen_basis_t basis = lspo_eigen_weight(begin->session, (uint32_t)s, i, &own->eigen, NULL).basis;
        lspo_eigen_whiten(&own->pair[i]->host_p, basis.t_m, scratch);
        lspo_eigen_whiten(&own->pair[i]->host_q, basis.t_n, scratch);
    }
}

lspo_status_t lspo_pairs_begin_bases(lspo_session_t *session)
{
    if (lspo_plan_adam_basis(session->plan) == LSPO_ADAM_BASIS_PLAIN)
        return LSPO_OK;
    lspo_workers_t *workers = lspo_workers_of_process();
    uint32_t count = lspo_workers_count(workers);
    begin_t begin = {.session = session, .scratch_bytes = session->method_scratch_count * sizeof(float)};
    lspo_status_t status = lspo_blas_reserve(count + 1);
    begin.scratch = status == LSPO_OK ? malloc(count * begin.scratch_bytes + 1) : NULL;
    if (begin.scratch)
        lspo_workers_run(workers, session->stage_count, begin_stage, &begin);
    else if (status == LSPO_OK)
        status = lspo_no_memory("scratch of %u threads for Adam's first bases", count);
    free(begin.scratch);
    lspo_workers_destroy(workers);
    return status;
}

/* All updates with older pairs are done, so the pairs that the previous pass sent are now the known ones. */
void lspo_pairs_send(lspo_session_t *session, const lspo_op_t *op)
{
    for (uint32_t i = 0; i < LSPO_LINEAR_MAX; i++) {
        lspo_pair_t *pair = lspo_pairs_of(session, op->layer)->pair[i];
        for (int side = 0; lspo_pairs_owns(session, op->layer, i) && side < 2; side++) {
            const lspo_projector_t *p = side_of(pair, side);
            void *before = pair->known[side];
            pair->known[side] = pair->arrived[side];
            pair->arrived[side] = before;
            lspo_device_copy(session->device, LSPO_COPY_D2H, pair->arrived[side], p->index, row_bytes(p));
        }
    }
}

/* The rows of a projector in host memory. */
static lspo_projector_t rows_on_host(const lspo_projector_t *shape, void *rows)
{
    size_t nonzeros = (size_t)shape->rows * shape->r;
    return (lspo_projector_t){.rows = shape->rows,
                              .d = shape->d,
                              .r = shape->r,
                              .index = rows,
                              .value = (float *)((uint32_t *)rows + nonzeros)};
}

static void carry_weight(lspo_session_t *session, uint32_t s, uint32_t i)
{
    const lspo_pairs_stage_t *own = lspo_pairs_of(session, s);
    const lspo_pair_t *pair = own->pair[i];
    if (memcmp(pair->known[0], pair->arrived[0], row_bytes(&pair->p)) == 0 &&
        memcmp(pair->known[1], pair->arrived[1], row_bytes(&pair->q)) == 0)
        return;
    lspo_projector_t p_old = rows_on_host(&pair->p, pair->known[0]);
    lspo_projector_t q_old = rows_on_host(&pair->q, pair->known[1]);
    lspo_projector_t p_new = rows_on_host(&pair->p, pair->arrived[0]);
    lspo_projector_t q_new = rows_on_host(&pair->q, pair->arrived[1]);
    float *m = (float *)own->host.moments.memory + session->stages[s].message.linear[i].message_offset_elements;
    float *v = m + own->host.count;
    const lspo_projector_pair_t from = {&p_old, &q_old}, to = {&p_new, &q_new};
    const lspo_pairs_t *pairs = session->own;
    if (!own->eigen.host) {
        lspo_fit_carry(&from, &to, true, m, v, pairs->carry_scratch);
        return;
    }
    lspo_eigen_weight_t weight = lspo_eigen_weight(session, s, i, &own->eigen, &pairs->eigen);
    weight.m = m;
    weight.v = v;
    lspo_eigen_carry(&from, &to, &weight, session->method_scratch);
}

void lspo_pairs_carry_moments(lspo_session_t *session, const lspo_op_t *op)
{
    if (!lspo_plan_checks_projectors(session->plan, op->iteration))
        return;
    for (uint32_t i = 0; i < session->stages[op->layer].message.linear_count; i++)
        if (lspo_pairs_of(session, op->layer)->pair[i])
            carry_weight(session, op->layer, i);
}
