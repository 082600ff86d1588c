/* update.c - code shared by the CPU's updates: scratch of the workers, messages in fp32, the cap on the CPU's speed. */
#include "kernels/blas.h"
#include "real/session/state.h"

float *lspo_session_update_scratch(const lspo_session_t *session, uint32_t worker)
{
    return session->update_scratch + (size_t)worker * LSPO_UPDATE_BLOCK;
}

const float *lspo_session_landed(lspo_session_t *session, uint32_t worker, const void *landing, size_t at, size_t n)
{
    const void *part = lspo_session_link_at(session, landing, at);
    if (!lspo_session_packs(session))
        return part;
    float *scratch = lspo_session_update_scratch(session, worker);
    lspo_session_unpack_numbers(session->link, n, part, scratch);
    return scratch;
}

lspo_status_t lspo_session_make_worker_scratch(lspo_session_t *session)
{
    size_t workers = lspo_workers_count(session->workers);
    lspo_device_host_free(session->device, session->update_scratch);
    lspo_device_host_free(session->device, session->method_scratch);
    session->update_scratch = session->method_scratch = NULL;
    lspo_status_t status = session->workers_multiply ? lspo_blas_reserve((uint32_t)workers + 1) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    status = lspo_device_host_alloc(session->device, workers * LSPO_UPDATE_BLOCK * sizeof(float),
                                    (void **)&session->update_scratch);
    if (status != LSPO_OK)
        return status;
    if (session->method_scratch_count > 0)
        status = lspo_device_host_alloc(session->device, workers * session->method_scratch_count * sizeof(float),
                                        (void **)&session->method_scratch);
    return status;
}

lspo_status_t lspo_session_set_workers(lspo_session_t *session, lspo_workers_t *workers)
{
    session->workers = workers;
    return lspo_session_make_worker_scratch(session);
}

void lspo_session_pace_update(lspo_session_t *session, uint64_t start_ns, size_t count)
{
    double cpu_pps = lspo_device_caps(session->device)->cpu_pps;
    if (cpu_pps > 0)
        lspo_device_pace(session->device, start_ns, (double)count / cpu_pps);
}
