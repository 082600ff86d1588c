/* zenflow: the most important columns of each weight are updated on the GPU in every step.  The gradients of the others
 * go to the CPU, which sums them over a window of S = update_every steps and runs Adam on their mean during the next
 * window; its directions are applied at the end of that window.  Norms, biases, embeddings and head are updated on the
 * GPU.
 *     steps wS .. wS + S - 1      window w: D2H and accumulate
 *     the next S                  UPD of window w
 *     before step (w + 2) S       H2D, APPLY: these gradients are S to 2 S - 1 steps late
 * PROJECT selects the columns every select_every steps (a multiple of S), by the column's sum of |g|; then the GPU's
 * moments of the columns start from zero, and the CPU's of the others continue.  A plan that is not followed by another
 * one drains both windows at its end (variants DRAIN, DRAIN_LAST). */
#include "plan/policies/zenflow.h"
#include "plan/policies.h"

#include <stdlib.h>

#include "plan/stage_work.h"

typedef struct {
    lspo_builder_t *b;
    uint32_t every; /* S */
    uint32_t select_every;
    lspo_op_id_t *added, *update, *sent_back; /* by stage: the latest accumulation, UPD and H2D */
} zenflow_t;

static bool shared(const zenflow_t *z, uint32_t stage)
{
    return z->b->stages[stage].link_bytes > 0;
}

static void return_window(zenflow_t *z, uint32_t iteration, lspo_op_variant_t variant)
{
    lspo_builder_t *b = z->b;
    b->update_variant = variant;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        if (!shared(z, s))
            continue;
        /* Two windows in one step: the second one comes when the first has left its buffer. */
        lspo_op_id_t updated = b->stages[s].ready;
        lspo_op_id_t wait = variant == LSPO_VARIANT_DRAIN_LAST ? b->stages[s].ready : b->stages[s].backward;
        lspo_build_return(b, iteration, s, z->update[s], wait);
        lspo_build_depend(b, updated); /* a column may have moved to the GPU since: both updates need an order */
        z->sent_back[s] = b->stages[s].returned;
    }
    b->update_variant = LSPO_VARIANT_NONE;
}

static void update_window(zenflow_t *z, uint32_t iteration, lspo_op_variant_t variant)
{
    lspo_builder_t *b = z->b;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        if (!shared(z, s))
            continue;
        z->update[s] = lspo_build_op(b, LSPO_OP_UPD, variant, s, iteration);
        lspo_build_depend(b, z->added[s]);
        lspo_build_depend(b, z->sent_back[s]);
        /* It has a whole window of time, so the accumulations of that window, for which the GPU waits, go first. */
        if (b->status != LSPO_OK)
            return;
        b->plan->ops[z->update[s]].priority = (iteration + z->every) * (b->stage_count + 1) - 1;
    }
}

static void split(zenflow_t *z, uint32_t iteration, uint32_t stage)
{
    lspo_builder_t *b = z->b;
    lspo_build_stage_t *st = &b->stages[stage];
    if ((b->workload->first_step + iteration) % z->select_every == 0) {
        lspo_op_id_t select = lspo_build_op(b, LSPO_OP_PROJECT, LSPO_VARIANT_NONE, stage, iteration);
        lspo_build_depend(b, b->last_compute);
        b->last_compute = select;
    }
    lspo_op_id_t id = lspo_build_op(b, LSPO_OP_COMPRESS, LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_depend(b, b->last_compute);
    lspo_build_depend(b, st->sent); /* one buffer per stage for the link */
    lspo_build_gpu_memory(b, st->link_bytes + st->kept_bytes, st->gradient_bytes);
    b->last_compute = st->backward = id;
    st->sent = lspo_build_op(b, LSPO_OP_D2H, LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_depend(b, id);
    lspo_build_depend(b, z->added[stage]); /* and one where it lands */
    lspo_build_gpu_memory(b, 0, st->link_bytes);
}

static void update_stage(zenflow_t *z, uint32_t iteration, uint32_t stage, lspo_op_id_t norm, lspo_op_id_t scalar)
{
    lspo_builder_t *b = z->b;
    lspo_build_stage_t *st = &b->stages[stage];
    if (!st->trained)
        return;
    st->ready = lspo_build_op(b, LSPO_OP_UPD_GPU, LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_depend(b, st->backward);
    lspo_build_depend(b, norm);
    lspo_build_depend(b, b->last_compute);
    lspo_build_gpu_memory(b, 0, shared(z, stage) ? st->kept_bytes : st->gradient_bytes);
    b->last_compute = st->ready;
    if (!shared(z, stage))
        return;
    z->added[stage] = lspo_build_op(b, LSPO_OP_UPD, LSPO_VARIANT_ACCUMULATE, stage, iteration);
    lspo_build_depend(b, st->sent);
    lspo_build_depend(b, scalar);
}

static void step(zenflow_t *z, uint32_t iteration)
{
    lspo_builder_t *b = z->b;
    uint32_t global = b->workload->first_step + iteration, micros = b->workload->accumulation;
    bool clips = b->workload->clip_norm > 0;
    if (global % z->every == 0 && global >= 2 * z->every)
        return_window(z, iteration, LSPO_VARIANT_NONE);
    if (global % z->every == 0 && global >= z->every)
        update_window(z, iteration, LSPO_VARIANT_NONE);
    for (uint32_t micro = 0; micro < micros; micro++) {
        for (uint32_t s = 0; s < b->stage_count; s++)
            lspo_build_forward(b, iteration, micro, s);
        for (uint32_t s = b->stage_count; s-- > 0;) {
            lspo_build_backward(b, iteration, micro, s, LSPO_NO_OP);
            if (micro + 1 == micros && shared(z, s))
                split(z, iteration, s);
            if (micro + 1 == micros && !clips)
                update_stage(z, iteration, s, LSPO_NO_OP, LSPO_NO_OP);
        }
    }
    if (!clips)
        return;
    lspo_op_id_t norm = lspo_build_norm(b, iteration);
    lspo_op_id_t scalar = lspo_build_norm_to_host(b, iteration, norm);
    for (uint32_t s = b->stage_count; s-- > 0;)
        update_stage(z, iteration, s, norm, scalar);
}

static void drain(zenflow_t *z)
{
    uint32_t last = z->b->workload->iterations - 1;
    if ((z->b->workload->first_step + last) / z->every >= 1)
        return_window(z, last, LSPO_VARIANT_DRAIN);
    update_window(z, last, LSPO_VARIANT_DRAIN_LAST);
    return_window(z, last, LSPO_VARIANT_DRAIN_LAST);
}

/* Host: both moments of the linear weights, the splits of this and of the previous selection; the landing buffer, the
 * sums of two windows; the outgoing buffer. */
static void static_memory(const lspo_builder_t *b)
{
    lspo_footprint_t *f = &b->plan->footprint;
    uint64_t q = lspo_precision_bytes(b->workload->transfer), scratch_elements = 0;
    for (uint32_t s = 0; s < b->stage_count; s++) {
        const lspo_build_stage_t *st = &b->stages[s];
        f->gpu_parameters_bytes += st->parameter_bytes;
        f->gpu_optimizer_bytes += st->optimizer_bytes;
        f->host_gradients_bytes += st->link_bytes + 2 * st->link_bytes / q * sizeof(float);
        f->host_outgoing_bytes += st->link_bytes;
        for (uint32_t i = 0; i < st->message.linear_count; i++) {
            const lspo_projection_t *w = &st->message.linear[i];
            uint64_t critical = (uint64_t)w->rows * (w->cols - w->d_cols), needed = 2 * (uint64_t)w->cols;
            needed = critical > needed ? critical : needed;
            scratch_elements = needed > scratch_elements ? needed : scratch_elements;
            f->host_optimizer_bytes += 2 * (uint64_t)w->cols * (w->rows * sizeof(float) + sizeof(uint32_t));
        }
    }
    f->gpu_workspace_bytes = b->activations.workspace_bytes + scratch_elements * sizeof(float);
}

static lspo_op_id_t *no_ops(uint32_t count)
{
    lspo_op_id_t *ids = malloc(count * sizeof *ids);
    for (uint32_t i = 0; ids && i < count; i++)
        ids[i] = LSPO_NO_OP;
    return ids;
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    const lspo_zenflow_values_t *own = lspo_zenflow_values_of(w);
    if (own->select_every % own->update_every != 0)
        return lspo_error(LSPO_ERR_INPUT, "--select-every %u must be a multiple of --update-every %u",
                          own->select_every, own->update_every);
    zenflow_t z = {.b = b,
                   .every = own->update_every,
                   .select_every = own->select_every,
                   .added = no_ops(b->stage_count),
                   .update = no_ops(b->stage_count),
                   .sent_back = no_ops(b->stage_count)};
    if (z.added && z.update && z.sent_back) {
        static_memory(b);
        for (uint32_t i = 0; i < w->iterations; i++)
            step(&z, i);
        if (!w->open_end)
            drain(&z);
    } else {
        b->status = lspo_no_memory("a plan");
    }
    free(z.sent_back);
    free(z.update);
    free(z.added);
    return b->status;
}

static const lspo_parameter_t critical = {
    .key = "critical",
    .value = "FRACTION",
    .unit = "share of a weight's columns",
    .help = "share of each weight's columns that the GPU updates in every step",
    .kind = LSPO_RECORD_REAL,
    .preset = 0.1,
    .above_low = true,
    .high = 1,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_t update_every = {
    .key = "update-every",
    .value = "N",
    .unit = "steps",
    .help = "steps whose gradients the CPU sums up for each update",
    .kind = LSPO_RECORD_U32,
    .preset = 4,
    .low = 1,
    .high = LSPO_STEPS_MAX,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_t select_every = {
    .key = "select-every",
    .value = "N",
    .unit = "steps",
    .help = "steps between selections of the columns; a multiple of --update-every",
    .kind = LSPO_RECORD_U32,
    .preset = 16,
    .low = 1,
    .high = LSPO_STEPS_MAX,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_use_t uses[] = {
    {&critical, offsetof(lspo_zenflow_values_t, critical_fraction), false, NULL},
    {&update_every, offsetof(lspo_zenflow_values_t, update_every), false, NULL},
    {&select_every, offsetof(lspo_zenflow_values_t, select_every), false, NULL},
};
const lspo_parameters_t lspo_zenflow_parameters = LSPO_PARAMETERS(uses, lspo_zenflow_values_t);

static void describe_message(const lspo_workload_t *workload, const lspo_stage_t *stage, bool train_rest,
                             lspo_message_t *message_out)
{
    lspo_message_columns(stage, lspo_zenflow_values_of(workload)->critical_fraction, train_rest, message_out);
}

/* The CPU's columns cross the link; the GPU keeps the others and the rest. */
static void describe_stage(const lspo_builder_t *b, lspo_build_stage_t *stage)
{
    const lspo_workload_t *w = b->workload;
    uint64_t p = lspo_precision_bytes(w->precision), sent = stage->message.element_count - stage->message.rest_elements;
    uint64_t linear = 0;
    for (uint32_t i = 0; i < stage->message.linear_count; i++)
        linear += (uint64_t)stage->message.linear[i].rows * stage->message.linear[i].cols;
    uint64_t kept = linear - sent + stage->message.rest_elements;
    stage->sent_bytes = stage->link_bytes = sent * lspo_precision_bytes(w->transfer);
    stage->packed_bytes = 0;
    stage->gradient_bytes = (linear + stage->message.rest_elements) * p;
    stage->kept_bytes = kept * p;
    stage->optimizer_bytes = kept * 8; /* no master: columns change sides */
}

static void add_kernel(lspo_work_t *work, lspo_kernel_class_t kernel_class, uint64_t bytes)
{
    lspo_work_t one;
    lspo_work_stream(bytes, &one);
    one.kernels[0].kernel_class = kernel_class;
    lspo_work_append(work, &one.kernels[0]);
}

static bool describe_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                          lspo_work_t *work)
{
    const lspo_build_stage_t *stage = &b->stages[s];
    uint64_t p = lspo_precision_bytes(b->workload->precision);
    uint64_t sent = stage->message.element_count - stage->message.rest_elements;
    uint64_t kept_bytes = stage->kept_bytes, moved = kept_bytes - stage->message.rest_elements * p;
    switch (kind) {
    case LSPO_OP_PROJECT:
        lspo_work_stream(stage->gradient_bytes, work);
        return true;
    case LSPO_OP_COMPRESS:
        add_kernel(work, LSPO_KERNEL_COLUMNS, stage->gradient_bytes + kept_bytes + stage->link_bytes);
        return true;
    case LSPO_OP_UPD:
        if (variant == LSPO_VARIANT_ACCUMULATE)
            lspo_work_stream(stage->link_bytes + 2 * sent * sizeof(float), work);
        else
            lspo_work_adam(sent, work);
        return true;
    case LSPO_OP_UPD_GPU: /* the columns of W are gathered and put back */
        lspo_work_adam(kept_bytes / p, work);
        if (moved > 0)
            add_kernel(work, LSPO_KERNEL_COLUMNS, 4 * moved);
        return true;
    case LSPO_OP_APPLY:
        add_kernel(work, LSPO_KERNEL_COLUMNS, stage->link_bytes + 2 * sent * p);
        return true;
    default:
        return false;
    }
}

const lspo_policy_t lspo_policy_zenflow = {
    .name = "zenflow",
    .help = "the GPU updates the most important columns in each step; the CPU updates the others every --update-every "
            "steps, late",
    .citation = "Lan et al., ZenFlow, arXiv 2505.12242",
    .elsewhere = LSPO_ELSEWHERE_ZENFLOW,
    .example = "lspo sim --policy zenflow --model gpt2-774m --machine rtx4090 --update-every 2",
    .parameters = &lspo_zenflow_parameters,
    .semantics = LSPO_SEMANTICS_STALE,
    .staleness_steps = 7, /* at the default S of 4 */
    .periods = {{&update_every, 2, "updates on the CPU"}, {&select_every, 1, "selections of columns"}},
    .stale_by_period = true,
    .clip_help = "norm of the full gradient; a barrier before the updates on the GPU",
    .train_rest_default = true,
    .gradient_form = LSPO_FORM_COLUMNS,
    .method = "zenflow",
    .return_form = LSPO_RETURN_DELTA,
    .build = build,
    .describe_message = describe_message,
    .describe_stage = describe_stage,
    .describe_work = describe_work,
};
