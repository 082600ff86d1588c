/* terms.c - explanations of the words in results, help and documents: `lspo help terms`; see terms.h. */
#include "cli/terms.h"

#include "base/wrap.h"

const lspo_term_t lspo_terms[] = {
    {"policy", "A way to schedule a training and to handle its gradients, such as zero or lsp (`lspo list policies`)."},
    {"plan", "All ops of a training, which a policy builds from a model and a workload. The simulator and the executor "
             "run the same plan."},
    {"op", "One piece of work in a plan, such as the backward pass of one layer. It runs on one lane, after the ops "
           "that it depends on have ended."},
    {"lane", "A resource that runs one op at a time: gpu; d2h, the link from the GPU to the CPU; h2d, the link back; "
             "cpu, which runs the optimizer."},
    {"kind", "What an op does: FWD is forward, RECOMPUTE repeats it under checkpointing, and BWD is backward; "
             "COMPRESS makes the message that D2H sends; UPD is the optimizer on the CPU and UPD_GPU on the GPU; H2D "
             "brings the result back and APPLY adds it to the weights; SWAP_IN and SWAP_OUT move weights, optimizer "
             "state, sums of gradients or activations; NORM computes the norm for --clip; PROJECT chooses projectors, "
             "a basis or columns."},
    {"iteration", "One optimizer step: --accumulation micro-batches of --batch sequences."},
    {"step", "An optimizer step. As a column of a table: the time per iteration."},
    {"warm-up", "The first iterations, which differ from those of a long training and are left out of all times."},
    {"period", "The number of iterations after which the work repeats, such as selections of columns, new bases or "
               "projector checks. Times are means over whole periods."},
    {"semantics",
     "How a policy's training differs from native's. exact: the same updates, bit for bit on the same "
     "device and with the same --optimizer-state and --adam-basis. stale: updates come some steps late. compressed: "
     "updates stay in a subspace. other: another optimizer, or not all weights at once."},
    {"native", "Training with everything on the GPU. Other policies are compared with it, even if it does not fit."},
    {"slowdown", "Time per iteration, divided by that of native on the same machine with unlimited memory. A policy "
                 "that does less work than native may be below 1."},
    {"busy", "Time per iteration during which a lane runs an op."},
    {"exposed", "Time per iteration during which the GPU is idle while the link works (exposed_comm_s), while only the "
                "CPU works (exposed_cpu_s), or while nothing works (other_s). Link and CPU work that overlaps with GPU "
                "work is not exposed."},
    {"limited by", "The lane that is busy for at least 95 % of an iteration, or else the lane with most of the "
                   "critical path (`bound` in CSV and JSON)."},
    {"critical path", "A chain of ops from the first to the last of a plan, each of which starts when the one before "
                      "it ends. To make the plan shorter, make these ops shorter."},
    {"lower bound", "lower_bound_s: no order of these ops has a shorter time per iteration on this machine. It follows "
                    "from the busiest lane, from cycles of ops that depend on each other across iterations, and from "
                    "how long each lane needs at least between two passes of an op for which the others wait."},
    {"peak", "The most memory in use at any time, on the GPU or on the host."},
    {"peak bound",
     "The largest peak that is possible if ops run up to a tenth of an iteration earlier or later than predicted, and "
     "its framework's allocator leaves as much unused as others have seen."},
    {"reserve", "GPU memory that a framework's allocator holds but has not handed out: lspo's own holds none."},
    {"fits", "Both peaks are at most the memory of the machine, less what the GPU's driver takes."},
    {"stage", "A layer of the plan, counted from 0: the embedding, then the blocks, then the head."},
    {"transition",
     "A layer. Layer-wise policies serve the layers up to it last in, first out, so that the first layers are ready "
     "when the next forward pass begins. Without --transition it is chosen by simulation."},
    {"subspace", "lsp updates an m x n weight by a d x d matrix between two sparse projectors; --subspace is d."},
    {"bias", "The share of a gradient that lsp's projectors lose. Projectors above --bias-threshold are fitted again."},
    {"rank", "The rank of lora's adapters or galore's bases."},
    {"block", "A layer of the model between embedding and head."},
    {"checkpointing", "The forward pass keeps only the inputs of blocks, and the backward pass computes the rest "
                      "again: less memory, more time."},
    {"transfer", "The number format of data on the link (--transfer)."},
    {"share of peak",
     "FLOP/s of a step, divided by the dense peak of the card's products in the step's format. It counts 6 N FLOPs per "
     "token without checkpointing, and 8 N with it, because the forward pass then runs twice. N are the weights in "
     "products, so not the embedding's table. 45 % by 8 N is 34 % by 6 N."},
    {"cap", "A limit on a real device: --link, --cpu, --gpu-memory, --host-memory. It makes the device slower or "
            "smaller; times are still measured."},
    {"band", "expect_low_s to expect_high_s: where a measured time may lie. For a calibrated profile, 95 of 100 "
             "predictions were within it; else 80 of 100 published steps of that framework or kind (expect_basis, "
             "expect_rows)."},
    {"evidence", "What a profile's GPU rests on: calibrated, published rows, fitted, data sheet, assumed."},
    {"profile", "A file with a machine's rates, sizes and latencies, which `lspo calibrate` measures and `lspo show "
                "machine NAME` prints."},
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
