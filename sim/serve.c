/* serve.c - see serve.h. */
#include "sim/serve.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdlib.h>

#include "plan/build_generate.h"
#include "sim/cost.h"

/* Growths of a slot that may be under way; further ones count with the last. */
enum { PENDING_MOST = 8 };

typedef struct {
    uint64_t tokens; /* for which memory is there from this time on */
    double ready_s;
} growth_t;

typedef struct {
    uint64_t tokens; /* for which there is memory */
    growth_t pending[PENDING_MOST];
    uint32_t count;
} slot_t;

typedef struct {
    const lspo_machine_t *machine;
    const lspo_serving_options_t *options;
    slot_t *slots;
    double mapper_s; /* when the mapper has done all that it was asked for */
    double before_s; /* calls to be made before the next pass              */
    double calls_s;  /* all */
} machine_t;

static double calls_s(const machine_t *m, const lspo_serving_calls_t *calls)
{
    if (m->options->cache != LSPO_SERVING_VTENSOR)
        return 0;
    return lspo_cost_map_s(m->machine, &(lspo_cost_calls_t){.creates = calls->made,
                                                            .maps = calls->maps,
                                                            .accesses = calls->accesses,
                                                            .unmaps = calls->unmaps,
                                                            .chunk_bytes = (double)m->options->chunk_bytes});
}

static lspo_status_t grow(void *context, uint32_t slot, uint64_t tokens, const lspo_serving_calls_t *calls,
                          double now_s)
{
    machine_t *m = context;
    slot_t *s = &m->slots[slot];
    const double time_s = calls_s(m, calls);
    m->mapper_s = fmax(m->mapper_s, now_s) + time_s;
    m->calls_s += time_s;
    if (s->count == PENDING_MOST)
        s->count--;
    s->pending[s->count++] = (growth_t){tokens, m->mapper_s};
    return LSPO_OK;
}

static void release(void *context, uint32_t slot, const lspo_serving_calls_t *calls, double now_s)
{
    machine_t *m = context;
    const double time_s = calls_s(m, calls);
    (void)now_s;
    m->before_s += time_s;
    m->calls_s += time_s;
    m->slots[slot] = (slot_t){0};
}

static lspo_status_t share(void *context, uint32_t slot, uint32_t from, uint64_t tokens,
                           const lspo_serving_calls_t *calls, double now_s)
{
    machine_t *m = context;
    const double time_s = calls_s(m, calls);
    (void)from, (void)now_s;
    m->slots[slot].tokens = tokens;
    m->before_s += time_s;
    m->calls_s += time_s;
    return LSPO_OK;
}

/* When so many tokens have memory, now at the earliest. */
static double ready_s(slot_t *slot, uint64_t tokens, double now_s)
{
    uint32_t done = 0;
    while (done < slot->count && slot->pending[done].ready_s <= now_s)
        slot->tokens = slot->pending[done++].tokens;
    for (uint32_t i = done; i < slot->count; i++)
        slot->pending[i - done] = slot->pending[i];
    slot->count -= done;
    for (uint32_t i = 0; i < slot->count && slot->tokens < tokens; i++)
        if (slot->pending[i].tokens >= tokens)
            return slot->pending[i].ready_s;
    return now_s;
}

static lspo_status_t pass(machine_t *m, const lspo_generate_pass_t *pass, double *time_s_out)
{
    const lspo_cost_context_t context = {m->machine, pass->model, pass->precision};
    const uint32_t stages = lspo_model_stage_count(pass->model);
    const uint32_t kinds[] = {0, 1, stages - 1};
    lspo_work_t *work = malloc(sizeof *work);
    double time_s = 0;
    if (work == NULL)
        return lspo_no_memory("the kernels of a pass");
    for (int i = 0; i < 3; i++) {
        lspo_work_clear(work);
        lspo_generate_pass_work(pass, kinds[i], work);
        time_s += (i == 1 ? stages - 2 : 1) * lspo_cost_work_s(&context, LSPO_LANE_GPU, 0, work);
    }
    free(work);
    if (!isfinite(time_s))
        return lspo_error(LSPO_ERR_INPUT, "machine '%s' has no rate for a kernel of a pass", m->machine->name);
    *time_s_out = time_s;
    return LSPO_OK;
}

static double take_before(machine_t *m)
{
    const double time_s = m->before_s;
    m->before_s = 0;
    return time_s;
}

static lspo_status_t read_prompt(void *context, const lspo_serving_read_t *read, double now_s,
                                 lspo_serving_step_t *step_out)
{
    machine_t *m = context;
    const lspo_generate_pass_t of = {m->options->model, m->options->precision, 1, read->first,
                                     read->count - read->first};
    step_out->exposed_s = ready_s(&m->slots[read->slot], read->count, now_s) - now_s + take_before(m);
    return pass(m, &of, &step_out->computed_s);
}

static lspo_status_t decode(void *context, const uint32_t *slots, const uint32_t *lengths, uint32_t count, double now_s,
                            lspo_serving_step_t *step_out)
{
    machine_t *m = context;
    lspo_generate_pass_t of = {m->options->model, m->options->precision, count, 0, 1};
    double begin_s = now_s;
    for (uint32_t i = 0; i < count; i++) {
        begin_s = fmax(begin_s, ready_s(&m->slots[slots[i]], lengths[i], now_s));
        of.cached += lengths[i] - 1;
    }
    step_out->exposed_s = begin_s - now_s + take_before(m);
    return pass(m, &of, &step_out->computed_s);
}

lspo_status_t lspo_serve_simulate(const lspo_machine_t *machine, const lspo_serving_options_t *options,
                                  const lspo_serving_request_t *requests, uint32_t count, lspo_served_t *served_out,
                                  lspo_serving_report_t *report_out)
{
    machine_t m = {.machine = machine, .options = options};
    const lspo_serving_engine_t engine = {
        .context = &m, .grow = grow, .release = release, .share = share, .read = read_prompt, .decode = decode};
    const uint32_t slots = lspo_serving_slots(options, lspo_serving_groups(requests, count));
    m.slots = calloc(slots, sizeof *m.slots);
    if (m.slots == NULL)
        return lspo_no_memory("%u slots", slots);
    lspo_status_t status = lspo_serving_run(options, requests, count, &engine, served_out, report_out);
    if (status == LSPO_OK)
        report_out->map_s = m.calls_s;
    free(m.slots);
    return status;
}

/* ---- arrivals ---- */

static uint32_t draw_length(gsl_rng *random, uint32_t mean, double spread)
{
    const double length = round(mean * (1 + spread * (2 * gsl_rng_uniform(random) - 1)));
    return length < 1 ? 1 : (uint32_t)length;
}

lspo_status_t lspo_arrivals_draw(const lspo_arrivals_t *arrivals, uint32_t count, lspo_serving_request_t *requests_out)
{
    gsl_error_handler_t *handler = gsl_set_error_handler_off(); /* which would end the process */
    gsl_rng *random = gsl_rng_alloc(gsl_rng_mt19937);
    double now_s = 0;
    gsl_set_error_handler(handler);
    if (random == NULL)
        return lspo_no_memory("a generator of random numbers");
    gsl_rng_set(random, (unsigned long)arrivals->seed);
    for (uint32_t i = 0; i < count; i++) {
        requests_out[i] = (lspo_serving_request_t){.arrival_s = now_s,
                                                   .prompt = draw_length(random, arrivals->prompt, arrivals->spread),
                                                   .tokens = draw_length(random, arrivals->tokens, arrivals->spread)};
        now_s += gsl_ran_exponential(random, 1 / arrivals->rate);
    }
    gsl_rng_free(random);
    return LSPO_OK;
}
