/* work.c - the cost of an op, independent of any machine; see work.h. */
#include "plan/work.h"

static const char *const layout_names[LSPO_LAYOUT_COUNT] = {
    [LSPO_LAYOUT_NN] = "nn", [LSPO_LAYOUT_NT] = "nt", [LSPO_LAYOUT_TN] = "tn"};

void lspo_work_clear(lspo_work_t *work)
{
    work->kernel_count = 0;
    work->backward = work->writes = false;
    work->from_kind = work->to_kind = 0;
}

double lspo_work_flop(const lspo_work_t *work)
{
    double flop = 0.0;
    for (uint32_t i = 0; i < work->kernel_count; i++)
        flop += work->kernels[i].flop;
    return flop;
}

uint64_t lspo_work_link_bytes(const lspo_work_t *work)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < work->kernel_count; i++) {
        if (work->kernels[i].kernel_class == LSPO_KERNEL_COPY)
            bytes += work->kernels[i].bytes;
    }
    return bytes;
}

const char *lspo_layout_name(lspo_layout_t layout)
{
    return (unsigned)layout < LSPO_LAYOUT_COUNT ? layout_names[layout] : "?";
}
