/* machine.h - a machine profile: the rates, latencies and sizes from which the simulator predicts.
 *
 * Every rate is an *effective* rate: what a long run of kernels of that class reaches alone on the machine.  The
 * numbers come from the files in machines/, each with its source, or from `lspo calibrate`.  The times of kernels are
 * (see sim/cost.h for the equations)
 *     GEMM m,n,k  flop / gemm_flops * (1 + m_half/m + n_half/n + k_half/k) + launch; or with a measured grid of shapes
 * (products.h) in place of the half-sizes
 *     projectors   flop / rate + bytes / bandwidth, the shorter x (1 - projector_overlap), + launch
 *     others       flop / rate or bytes / bandwidth, + launch
 *     from cache   rates between X (operands in memory) and X_cached, by the bytes between two uses: sim/reuse.h
 *     a work that is a backward pass (work.h): the sum of its kernels x 1/(1 - backward_loss)
 *     net, ssd     latency + bytes / bandwidth
 *     link         latency + bytes / bandwidth;  x 1/(1 - duplex_loss) while the other direction is busy
 *     any lane     + cpu.wake_s after a wait for one on another core, of two cores and one GPU (sim/engine.h)
 */
#ifndef LSPO_PLAN_MACHINE_H
#define LSPO_PLAN_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "base/units.h"
#include "plan/model.h"
#include "plan/op.h"
#include "plan/products.h"
#include "plan/work.h"
#include "plan/workload.h"

enum { LSPO_YARDSTICKS = 8 };

typedef struct {
    char name[LSPO_NAME_BYTES];
    char description[LSPO_SOURCE_BYTES];
    char source[LSPO_SOURCE_BYTES];
    char evidence[LSPO_NAME_BYTES];  /* what its GPU's numbers rest on: one of lspo_machine_evidence; "": not said */
    char group[LSPO_NAME_BYTES];     /* "GeForce", "server", for lists; "": none                                   */
    char framework[LSPO_NAME_BYTES]; /* the name of its [software]; "": lspo itself */
    struct {
        double memory_bytes; /* all memory; plans may use this less context_bytes        */
        double gemm_flops[LSPO_PRECISION_COUNT];
        double gemm_m_half, gemm_n_half, gemm_k_half; /* elements at which that dimension halves the rate */
        double gemm_memory_Bps[LSPO_LAYOUT_COUNT];    /* extra time for its far_bytes (work.h); 0: none */
        double attention_flops;
        double attention_sequence_half, attention_width_half; /* sequence, head width at which its rate is halved */
        double attention_backward_flops;                      /* in a backward pass; 0: as forward */
        double norm_Bps, activation_Bps, loss_Bps, stream_Bps;
        /* Rates in a backward pass, whose kernels read what the forward pass wrote; 0: as in forward. */
        double norm_backward_Bps, activation_backward_Bps, loss_backward_Bps, stream_backward_Bps;
        double columns_Bps;          /* 0: as streams */
        double rows_Bps, expand_Bps; /* 0: as streams */
        double bitmap_Bps, csr_Bps;  /* expansion of pruned weights; 0: as expand_Bps */
        double ternary_Bps;          /* products with packed ternary weights, as work.h counts them; 0: likewise */
        /* Kernels of generation take the time of their bytes, that of their FLOPs or scores, and one of their own.
         * Bps 0: as streams; flops, scores 0: no time. */
        double few_rows_Bps, int4_Bps, cache_Bps;
        double few_rows_flops, int4_flops, cache_scores_pps;
        double few_rows_s, int4_s, cache_s;
        double few_rows_overlap;         /* share of the shorter of the first two that the longer one hides */
        double gather_flops, gather_Bps; /* a projector's kernel takes both times, less the overlap */
        double scatter_flops, scatter_Bps;
        double scatter_inner_flops;                     /* of P D (work.h); 0: as scatter_flops */
        double dense_compress_ratio, dense_apply_ratio; /* up to this d / r dense products are faster; 0: never */
        double projector_overlap; /* share of the shorter of the two times that the longer one hides */
        double adam_pps;          /* parameters per second of UPD_GPU */
        /* The same rates with operands in cache; 0: as from memory. */
        double attention_cached_flops, attention_backward_cached_flops;
        double norm_cached_Bps, activation_cached_Bps, loss_cached_Bps, stream_cached_Bps;
        double norm_backward_cached_Bps, activation_backward_cached_Bps, loss_backward_cached_Bps;
        double stream_backward_cached_Bps;
        double columns_cached_Bps, rows_cached_Bps, gather_cached_Bps, scatter_cached_Bps, adam_cached_pps;
        double few_rows_cached_Bps, int4_cached_Bps, cache_cached_Bps;
        double near_bytes;  /* up to so many bytes between two uses, all is in cache; X_cached were measured so */
        double cache_bytes; /* with at least so many, nothing is in cache; 0: there is no cache */
        /* The same in generation, whose passes are short: up to kept_all_bytes all is in cache (0: near_bytes), with
         * kept_bytes between two uses (0: cache_bytes) the share kept_share; after kept_s exp(-1) of it, for others use
         * the cache, too (0: all of it). */
        double kept_all_bytes, kept_bytes, kept_share, kept_s;
        double training_speed; /* speed of kernels in a training relative to their speed alone; 0: not measured, 1 */
        double backward_loss;  /* fraction of its speed that a backward pass loses to autograd, [0, 1) */
        double context_bytes;  /* memory that the driver takes; 0 on the host device */
        double launch_s;       /* per kernel                   */
        double op_s;           /* per op: dispatch, events     */
        /* Calls for caches whose memory is mapped in chunks: per chunk made, per chunk mapped, per call that gives
         * access to some, per range unmapped.  0: as on an A100 (sim/cost.c). */
        double chunk_create_s, chunk_map_s, chunk_access_s, chunk_unmap_s;
        double chunk_Bps; /* rate at which a chunk gets its pages, made and mapped; 0: at once, as on GPUs */
    } gpu;
    struct {
        double memory_bytes;
        double adam_pps;        /* parameters per second of UPD with all its threads, from DRAM */
        double adam_cached_pps; /* the same when the state stays in cache (small subspaces) */
        double cache_bytes;     /* state up to this size counts as cached                   */
        /* The same with m and v in bf16 and in 8 bits, for fp32 weights; 0: derived (sim/cost.h).  Of a format:
         * [format - LSPO_OPTIMIZER_STATE_BF16]. */
        struct {
            double memory_pps, cached_pps;
        } adam_narrow[LSPO_OPTIMIZER_STATE_COUNT - LSPO_OPTIMIZER_STATE_BF16];
        double own_adam_pps;  /* not in files: adam_pps before lspo_machine_pace() reduced it; 0: it did not */
        double process_bytes; /* resident memory that is in no plan: buffers of libraries, thread stacks */
        double lanes_bytes;   /* more of it with other lanes than the GPU's */
        double compute_flops; /* matrix products by all threads: FWD on the CPU (paper, Table 1), bases of Adam */
        double op_s;
        double wake_s; /* of two cores, to wake the GPU's lane for another one, or another one for the GPU's */
    } cpu;
    struct {
        double h2d_Bps, d2h_Bps;
        double h2d_latency_s, d2h_latency_s;     /* a message                                    */
        double h2d_duplex_loss, d2h_duplex_loss; /* fraction lost while the other direction is busy: [0, 1) */
        double pcie_generation, pcie_lanes;      /* 0 where unknown; documentation only          */
    } link;
    /* Whose implementation runs on the machine; all 0: lspo's own (fused kernels, sparse dispatch).  A file of
     * frameworks/ has these values; see sim/cost.h for the equations. */
    struct {
        double kernel_s;        /* host time that dispatches one kernel of a plan */
        double dispatch_power;  /* p: an op takes (gpu^p + host^p)^(1/p); 0: 2 */
        double attention_share; /* share of the card's attention rate that its fused kernels reach; 0: all */
        double score_bytes;     /* attention not fused: traffic per score, forward; 0: fused */
        double score_backward_bytes;
        /* Traffic of element-wise kernels relative to lspo's fused ones; 0: 1. */
        double layer_norm_factor, rms_norm_factor, activation_factor, gated_factor, stream_factor, loss_factor;
        double adapter_factor;     /* the same of the products of low-rank adapters, with their dropout and sums */
        double backward_loss;      /* fraction of its speed that a backward pass loses to autograd, [0, 1) */
        double gpu_adam_bytes;     /* traffic per parameter of the optimizer on the GPU; 0: 28 */
        double cpu_adam_bytes;     /* the same on the CPU, with norm, unscaling, casts and returns; 0: 28 */
        double cpu_adam_limit_pps; /* the most that its loop on the CPU reaches; 0: no limit */
        double h2d_limit_Bps;      /* the most that its copies reach; 0: no limit */
        double d2h_limit_Bps;      /* ... and to the CPU */
        double gradient_buffers;   /* of policies that send full gradients; 1: a copy blocks backward; 0: as asked */
        double fp32_transfer;      /* 1: gradients and parameters cross the link in fp32; 0: as asked */
        double host_sums;          /* 1: micro-batches' gradients are summed on the host; 0: as asked */
        /* Memory beyond the plan's: see sim/framework_memory.h for the equations. */
        double library_bytes;        /* of its process on the GPU, besides the driver's context and all tensors */
        double allocator_share;      /* share of what its allocator holds for a step that stays unused, [0, 1) */
        double allocator_most;       /* the most of all memory that its allocator leaves unused, for the bound */
        double logit_bytes;          /* per logit, with its copies and gradients; 0: as lspo */
        double saved_width_bytes;    /* kept for backward per token of a block and element of the width, */
        double saved_mlp_bytes;      /* ... of the MLP's width, */
        double saved_repeat_bytes;   /* ... by which the heads of Q are wider than those of K, */
        double saved_score_bytes;    /* ... per score of attention, */
        double saved_adapter_bytes;  /* ... and per element of the inputs of adapters */
        double adapter_cast_bytes;   /* per element of adapters: copies in 16 bits */
        double half_states;          /* 1: in bf16, moments in bf16 and no fp32 copy of the weights */
        double update_bytes;         /* temporaries of the optimizer on the GPU, per parameter that it updates */
        double bucket_elements;      /* of policies that send full gradients: buffers of so many gradients */
        double host_parameter_bytes; /* per parameter whose optimizer is on the CPU; 0: as lspo */
    } software;
    struct {
        double Bps;       /* bandwidth of sends; 0: there is no network */
        double latency_s; /* a message                                 */
    } net;
    struct {
        double read_Bps, write_Bps; /* 0: there is no SSD */
        double latency_s;           /* per read or write */
    } ssd;
    /* Fraction of its speed that lane [a] loses while lane [b] runs (shared DRAM, shared cores); [0, 1).
     * The duplex loss of the link is above, not here. */
    double contention[LSPO_DEVICE_LANES][LSPO_DEVICE_LANES];
    lspo_products_t
        products; /* matrix products by shape, operands in cache; if it has no sizes, the half-sizes are used */
    /* Seconds per iteration of four short trainings and four generations during the calibration; later runs compare
     * with it to detect drift (validate/yardstick.h); 0: not measured. */
    double yardstick_s[LSPO_YARDSTICKS];
    /* Standard deviations of the logarithm of durations: per lane, of single ops about their median, independent; and
     * run_sigma, of all GPU and CPU work of one run about the median of runs.  Only used with --noise. */
    struct {
        double gpu_sigma, d2h_sigma, h2d_sigma, cpu_sigma, run_sigma;
    } noise;
} lspo_machine_t;

/* One row per numeric field: INI key, unit, range, offset.  The reader, the writer, `--set` and `lspo show machine`
 * iterate over this table.  In a file without base, a field whose range includes 0 may be missing and is then 0; the
 * others are required. */
typedef struct {
    const char *section; /* "gpu", "cpu", "link", "software", "net", "ssd", "contention", "noise", "yardstick" */
    const char *key;
    lspo_unit_t unit;
    double low, high; /* allowed range, inclusive */
    const char *help;
    size_t offset_bytes;
} lspo_machine_field_t;
extern const lspo_machine_field_t lspo_machine_fields[];
extern const size_t lspo_machine_field_count;

enum { LSPO_MACHINE_FIELDS_MAX = 176 };

/* Is it the host as a device, which `lspo run --device host` measures?  There no driver takes memory, and there is no
 * slot. */
bool lspo_machine_is_host(const lspo_machine_t *machine);

/* The field's value in `machine`. */
double lspo_machine_value(const lspo_machine_t *machine, const lspo_machine_field_t *field);

/* The index of a field, or lspo_machine_field_count if there is none of that name. */
size_t lspo_machine_field_find(const char *section, const char *key);

/* Parse `text` into the field.  LSPO_ERR_INPUT, with `what` in the message, if its unit is missing or it is out of
 * range. */
lspo_status_t lspo_machine_take(const char *what, const lspo_machine_field_t *field, const char *text,
                                lspo_machine_t *machine);

/* A profile may be combined from parts: a card is [gpu] and [products], a host is [cpu], a framework is [software], and
 * a machine file adds what depends on card and host ([link], [contention], ...).  Built-in files are machines/NAME.ini,
 * machines/cards/NAME.ini, machines/hosts/NAME.ini and frameworks/NAME.ini (plan/presets.h). */
typedef enum { LSPO_PART_MACHINE, LSPO_PART_CARD, LSPO_PART_HOST, LSPO_PART_FRAMEWORK } lspo_machine_part_t;

uint32_t lspo_machine_preset_count(lspo_machine_part_t part);
/* Static; index < count.  Machines are the files of machines/, then the cards that name their usual host. */
const char *lspo_machine_preset_name(lspo_machine_part_t part, uint32_t index);
/* A card, host or framework has its texts, its own sections, and link.pcie_generation and pcie_lanes if known; the rest
 * is 0. */
lspo_status_t lspo_machine_preset(lspo_machine_part_t part, uint32_t index, lspo_machine_t *machine_out);

/* "calibrated": by `lspo calibrate`; "published rows": fitted to measured trainings of others; "fitted": to one paper's
 * table; "data sheet": sheet rates times shares that others measured; "assumed": round numbers.  Ends with NULL. */
extern const char *const lspo_machine_evidence[];

/* Find a preset by name or read an INI file: sections [machine], [gpu], [cpu], [link], [software], [contention],
 * [products] (products.h), [noise], [yardstick].  [machine] has name, description, source, and before all values
 *     base = PRESET       take all its values; must be the first key of the file
 *     card = CARD|FILE    then take all of [gpu] and [products] from a card
 *     host = HOST|FILE    then take all of [cpu] from a host
 *     framework = FRAMEWORK|FILE   then take all of [software] from a framework (none: lspo's own)
 * The file's own values come last.  With a card and a host but no base and no rates of the link, [link] comes from
 * their PCIe (machine_link.h).  A card's file has [card] with name, description, source, evidence, group, base = CARD,
 * pcie = 4x16 and host = its usual host in place of [machine]; a host's file has [host], a framework's [framework].
 * A FILE is relative to the file that names it.  Quantities have units.  Unknown sections or keys are errors
 * with file:line.
 *
 * CARD+HOST, each a preset or a file, is the machine of a file with only that card and host, and has that name.  CARD
 * alone is the card in its usual host, unless a machine has that name. */
lspo_status_t lspo_machine_find(const char *name_or_path, lspo_machine_t *machine_out);

/* The same of a name in a file `beside`, to which a FILE is relative; `what` names the place in messages. */
lspo_status_t lspo_machine_find_beside(const char *what, const char *name_or_path, const char *beside,
                                       lspo_machine_t *machine_out);

/* The comment after each value, by field, which gives its source.  "": none; long comments are cut off. */
enum { LSPO_NOTE_BYTES = 101 };
typedef struct {
    char text[LSPO_MACHINE_FIELDS_MAX][LSPO_NOTE_BYTES];
} lspo_machine_notes_t;

/* The same, with the notes of all files from which it was combined. */
lspo_status_t lspo_machine_find_noted(const char *name_or_path, lspo_machine_t *machine_out,
                                      lspo_machine_notes_t *notes_out);

/* Replace [software] by that of a framework: a preset of frameworks/, or a file. */
lspo_status_t lspo_machine_use_framework(lspo_machine_t *machine, const char *name_or_path);

/* The name of its framework; "lspo" if it names none. */
const char *lspo_machine_framework(const lspo_machine_t *machine);

/* Apply one "section.key=VALUE" (from --set). */
lspo_status_t lspo_machine_set(lspo_machine_t *machine, const char *assignment);

/* Limit both directions of the link to link_Bps and the CPU optimizer to cpu_pps (0: no limit), as pacing does on a
 * device: work at full speed, then wait.  Other work of the CPU, such as summing gradients, keeps its speed.  A lane
 * that works only for the fraction f = pace / rate of its time slows the others down by only f of its loss; and a loss
 * of its own has no effect until its rate falls below the pace:
 *     loss[a][x] <- f loss[a][x]          loss[x][b] <- max(0, 1 - (1 - loss[x][b]) / f)
 * A rate above the machine's own replaces it and leaves the losses as they are. */
void lspo_machine_pace(lspo_machine_t *machine, double link_Bps, double cpu_pps);

/* Remove one part of the model, to see what it is worth: "contention" (lanes do not slow each other down, duplex losses
 * are 0), "shapes" (one rate for products of every shape, and for attention), "latency" (no latencies of launches, ops
 * and messages), "cache" (everything comes from memory).  LSPO_ERR_INPUT for another name. */
lspo_status_t lspo_machine_ablate(lspo_machine_t *machine, const char *part);

/* LSPO_ERR_INPUT unless every field is in its range; logs the first that is not. */
lspo_status_t lspo_machine_check(const lspo_machine_t *machine);

/* Write as an INI that lspo_machine_find reads back to equal values (name, description and source are cut to 180
 * characters), without optional keys that are 0.  `comment` (may be NULL, may have several lines) is written at the
 * top.  Each value is followed by its note, such as its standard error: `notes` has one text per field of the table
 * (it, and each text, may be NULL), of at most 100 characters and without line ends. */
lspo_status_t lspo_machine_write(const lspo_machine_t *machine, const char *comment, const char *const *notes,
                                 FILE *file);

#endif
