#include "plan/work.h"

static const char *const class_names[LSPO_KERNEL_CLASS_COUNT] = {
    [LSPO_KERNEL_GEMM] = "gemm",       [LSPO_KERNEL_ATTENTION] = "attention",
    [LSPO_KERNEL_NORM] = "norm",       [LSPO_KERNEL_ACTIVATION] = "activation",
    [LSPO_KERNEL_LOSS] = "loss",       [LSPO_KERNEL_STREAM] = "stream",
    [LSPO_KERNEL_COLUMNS] = "columns", [LSPO_KERNEL_GATHER] = "gather",
    [LSPO_KERNEL_SCATTER] = "scatter", [LSPO_KERNEL_ADAM] = "adam",
    [LSPO_KERNEL_COPY] = "copy",
};

static const char *const layout_names[LSPO_LAYOUT_COUNT] = {
    [LSPO_LAYOUT_NN] = "nn", [LSPO_LAYOUT_NT] = "nt", [LSPO_LAYOUT_TN] = "tn"};

double lspo_work_flop(const lspo_work_t *work)
{
    double flop = 0.0;
    for (uint32_t i = 0; i < work->kernel_count; i++) {
        flop += work->kernels[i].flop;
    }
    return flop;
}

uint64_t lspo_work_bytes(const lspo_work_t *work)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < work->kernel_count; i++) {
        bytes += work->kernels[i].bytes;
    }
    return bytes;
}

uint64_t lspo_work_link_bytes(const lspo_work_t *work)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < work->kernel_count; i++) {
        if (work->kernels[i].kernel_class == LSPO_KERNEL_COPY) {
            bytes += work->kernels[i].bytes;
        }
    }
    return bytes;
}

const char *lspo_kernel_class_name(lspo_kernel_class_t kernel_class)
{
    return (unsigned)kernel_class < LSPO_KERNEL_CLASS_COUNT ? class_names[kernel_class] : "?";
}

const char *lspo_layout_name(lspo_layout_t layout)
{
    return (unsigned)layout < LSPO_LAYOUT_COUNT ? layout_names[layout] : "?";
}
