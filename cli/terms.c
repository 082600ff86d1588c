#include "cli/terms.h"

#include "cli/wrap.h"

const lspo_term_t lspo_terms[] = {
    {"policy", "A way to schedule a training and to treat its gradients, such as zero or lsp: `lspo list policies`."},
    {"plan",
     "All ops that a policy makes of a model and a workload. The simulator and the executor run the same plan."},
    {"op",
     "One piece of work of a plan, such as the backward pass of one layer. It runs on one lane, when the ops that "
     "it waits for have ended."},
    {"lane", "What runs one op at a time: gpu; d2h, the link from the GPU to the CPU; h2d, the link back; cpu, which "
             "runs the optimizer."},
    {"kind", "What an op does: FWD, RECOMPUTE and BWD are forward, its repetition under checkpointing, and backward; "
             "COMPRESS makes the message that D2H sends; UPD is the optimizer on the CPU and UPD_GPU on the GPU; H2D "
             "brings the result back and APPLY adds it to the weights; SWAP_IN and SWAP_OUT move weights; NORM is for "
             "--clip; PROJECT chooses projectors, a basis or columns."},
    {"iteration", "One step of the optimizer: --accumulation micro-batches of --batch sequences."},
    {"step", "In tables for people: the time per iteration."},
    {"warm-up", "The first iterations, which are left out of times: they are not yet as in a long training."},
    {"period", "Iterations after which the work repeats: choices of columns, new bases, checks of "
               "projectors. Times are means over whole periods."},
    {"semantics", "What a policy's training is, beside native's. exact: the same updates, bit for bit on one device. "
                  "stale: updates come some steps late. compressed: updates stay in a subspace. other: another "
                  "optimizer, or not all weights at once."},
    {"native", "Training with everything on the GPU; what the others are compared with, whether it fits or not."},
    {"slowdown", "Time per iteration over that of native on the same machine as if its memory were unlimited. Below 1: "
                 "faster than native, since it does less."},
    {"busy", "Time per iteration in which a lane runs an op."},
    {"exposed", "Time per iteration in which the GPU waits: for the link (exposed_comm_s), else for the CPU "
                "(exposed_cpu_s), else for nothing that runs (other_s). Work that another lane hides is not exposed."},
    {"limited by", "The lane that is busy for 95 % of an iteration or more, or else has most of the critical path "
                   "(`bound` in CSV and JSON)."},
    {"critical path", "Ops from the first to the last of a plan, each of which started when the one before had ended: "
                      "only what makes these shorter makes the plan shorter."},
    {"lower bound",
     "lower_bound_s: the time per iteration that no order of these ops can beat on this machine, from busy "
     "lanes and from ops that wait for each other in a circle."},
    {"peak", "The most memory taken at one time, on the GPU or on the host."},
    {"peak bound",
     "The most that it can be when ops run up to a tenth of an iteration earlier or later than predicted."},
    {"fits", "Both peaks are within the memory of the machine, less what the GPU's driver takes."},
    {"stage", "A layer as the plan counts them: 0 is the embedding, then the blocks, then the head."},
    {"transition", "The layer below which layer-wise policies send what came last first, so that the next forward pass "
                   "finds the first layers ready; chosen by simulation unless --transition gives it."},
    {"subspace", "lsp trains a weight of m x n by a matrix of d x d between two sparse projectors; --subspace is d."},
    {"bias", "lsp: the part of a gradient that the projectors lose, by which they are fitted anew (--bias-threshold)."},
    {"rank", "Of a policy's adapters or of its bases."},
    {"block", "A layer of the model between embedding and head."},
    {"checkpointing", "Keeping only the inputs of blocks in the forward pass, and computing the rest again in the "
                      "backward pass: less memory, more time."},
    {"transfer", "The format of what crosses the link."},
    {"cap", "A limit on a device that runs: --link, --cpu, --gpu-memory, --host-memory. It slows or shrinks, it never "
            "fakes."},
    {"profile",
     "The file of a machine's rates, sizes and latencies: `lspo show machine NAME`, made by `lspo calibrate`."},
    {NULL, NULL},
};

void lspo_terms_write(FILE *file)
{
    char left[32];
    for (const lspo_term_t *term = lspo_terms; term->term != NULL; term++) {
        snprintf(left, sizeof left, "  %s", term->term);
        lspo_wrap_item(file, left, term->meaning, 18, 80);
    }
}
