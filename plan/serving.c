/* serving.c - see serving.h. */
#include "plan/serving.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/units.h"

#define NOBODY UINT32_MAX

typedef enum { SLOT_EMPTY, SLOT_RUNNING, SLOT_KEPT, SLOT_PREFIX } slot_state_t;

typedef struct {
    slot_state_t state;
    uint64_t mapped; /* tokens for which it has units */
    uint64_t stored; /* tokens in the cache, while it runs; of a prefix, all */
    uint64_t shared; /* of them, those of its group's prefix: their whole units are that one's */
    uint64_t own;    /* units that are counted here */
    uint32_t group, request;
    uint64_t turn; /* when it began, or was kept */
} slot_t;

typedef struct {
    const lspo_serving_options_t *options;
    const lspo_serving_request_t *requests;
    const lspo_serving_engine_t *engine;
    uint32_t count, arrived;
    lspo_served_t *served;
    lspo_serving_report_t *report;
    lspo_serving_units_t units;
    slot_t *slots;
    uint32_t slot_count;
    uint32_t *next; /* of the queue, by request */
    uint32_t first, last;
    uint32_t *batch, *lengths; /* of a decode step */
    uint64_t *came;            /* of each request: steps before */
    uint64_t used, made, turns, running, done;
    double now_s, mapped_integral, held_integral, stored_integral, texts_integral;
} server_t;

/* ---- units ---- */

static uint64_t rows_of(const lspo_serving_units_t *units, uint64_t tokens)
{
    return (tokens * units->token_bytes + units->unit_bytes - 1) / units->unit_bytes;
}

static uint64_t units_of(const server_t *s, uint64_t tokens)
{
    return s->units.ranges * rows_of(&s->units, tokens);
}

/* Those that a prefix of so many tokens fills. */
static uint64_t whole_units(const server_t *s, uint64_t tokens)
{
    return s->units.ranges * (tokens * s->units.token_bytes / s->units.unit_bytes);
}

/* The tokens for which the units of so many have room. */
static uint64_t room_of(const server_t *s, uint64_t tokens)
{
    const uint64_t room = rows_of(&s->units, tokens) * s->units.unit_bytes / s->units.token_bytes;
    return room < s->options->positions ? room : s->options->positions;
}

static slot_t *prefix_of(const server_t *s, uint32_t group)
{
    return &s->slots[2 * s->options->batch + group - 1];
}

static uint32_t index_of(const server_t *s, const slot_t *slot)
{
    return (uint32_t)(slot - s->slots);
}

/* Tokens of a request that its group's prefix gives it; at least one is always read. */
static uint64_t prefix_tokens(const server_t *s, const lspo_serving_request_t *request)
{
    if (request->group == 0 || s->options->cache == LSPO_SERVING_RESERVED)
        return 0;
    return request->prefix < request->prompt ? request->prefix : request->prompt - 1U;
}

/* ---- memory of slots ---- */

static void add_calls(server_t *s, const lspo_serving_calls_t *calls)
{
    s->report->calls.maps += calls->maps;
    s->report->calls.accesses += calls->accesses;
    s->report->calls.made += calls->made;
    s->report->calls.unmaps += calls->unmaps;
}

/* `used` grows by `more` units, of which those that there never were are made. */
static lspo_serving_calls_t take_units(server_t *s, uint64_t more)
{
    s->used += more;
    assert(s->used <= s->units.units);
    const uint64_t made = s->used > s->made ? s->used - s->made : 0;
    s->made += made;
    return (lspo_serving_calls_t){.made = made};
}

static lspo_status_t grow(server_t *s, slot_t *slot, uint64_t tokens)
{
    if (tokens <= slot->mapped)
        return LSPO_OK;
    const uint64_t more = units_of(s, tokens) - units_of(s, slot->mapped);
    lspo_serving_calls_t calls = take_units(s, more);
    calls.maps = more;
    calls.accesses = s->units.ranges;
    add_calls(s, &calls);
    slot->own += more;
    slot->mapped = room_of(s, tokens);
    return s->engine->grow(s->engine->context, index_of(s, slot), slot->mapped, &calls, s->now_s);
}

static void release(server_t *s, slot_t *slot)
{
    const lspo_serving_calls_t calls = {.unmaps = slot->mapped > 0 ? s->units.ranges : 0};
    add_calls(s, &calls);
    s->used -= slot->own;
    s->engine->release(s->engine->context, index_of(s, slot), &calls, s->now_s);
    *slot = (slot_t){.state = SLOT_EMPTY};
}

/* The first `tokens` of an empty slot are those of `from`; the whole units stay counted where they are. */
static lspo_status_t share(server_t *s, slot_t *slot, const slot_t *from, uint64_t tokens)
{
    const uint64_t all = units_of(s, tokens), whole = whole_units(s, tokens);
    lspo_serving_calls_t calls = take_units(s, all - whole);
    calls.maps = all;
    calls.accesses = (whole > 0 ? s->units.ranges : 0) + (all > whole ? s->units.ranges : 0);
    add_calls(s, &calls);
    slot->shared = tokens;
    slot->own = all - whole;
    slot->mapped = room_of(s, tokens);
    return s->engine->share(s->engine->context, index_of(s, slot), index_of(s, from), tokens, &calls, s->now_s);
}

static bool is_used(const server_t *s, const slot_t *prefix)
{
    for (uint32_t i = 0; i < 2 * s->options->batch; i++)
        if (s->slots[i].state != SLOT_EMPTY && s->slots[i].shared > 0 && s->slots[i].group == prefix->group)
            return true;
    return false;
}

/* The slot of a text that ended first, NULL: none. */
static slot_t *oldest_kept(const server_t *s)
{
    slot_t *oldest = NULL;
    for (uint32_t i = 0; i < 2 * s->options->batch; i++) {
        slot_t *slot = &s->slots[i];
        if (slot->state == SLOT_KEPT && (oldest == NULL || slot->turn < oldest->turn))
            oldest = slot;
    }
    return oldest;
}

static slot_t *unused_prefix(const server_t *s)
{
    for (uint32_t i = 2 * s->options->batch; i < s->slot_count; i++)
        if (s->slots[i].state == SLOT_PREFIX && !is_used(s, &s->slots[i]))
            return &s->slots[i];
    return NULL;
}

/* Take what nobody uses until so many units are free. */
static bool make_room(server_t *s, uint64_t units)
{
    while (s->units.units - s->used < units) {
        slot_t *slot = oldest_kept(s);
        if (slot == NULL)
            slot = unused_prefix(s);
        if (slot == NULL)
            return false;
        release(s, slot);
    }
    return true;
}

/* ---- the queue ---- */

static void push_front(server_t *s, uint32_t request)
{
    s->next[request] = s->first;
    s->first = request;
    if (s->last == NOBODY)
        s->last = request;
}

static void push_back(server_t *s, uint32_t request)
{
    s->next[request] = NOBODY;
    *(s->last == NOBODY ? &s->first : &s->next[s->last]) = request;
    s->last = request;
}

static void pop(server_t *s)
{
    s->first = s->next[s->first];
    if (s->first == NOBODY)
        s->last = NOBODY;
}

/* What it reads when it begins, or begins again. */
static uint64_t prompt_of(const server_t *s, uint32_t request)
{
    return (uint64_t)s->requests[request].prompt + s->served[request].tokens;
}

/* The tokens that are ever in its cache. */
static uint64_t longest_of(const lspo_serving_request_t *request)
{
    return (uint64_t)request->prompt + request->tokens - 1;
}

/* Could it be computed alone?  Its prefix may take a unit more in each range. */
static bool could_fit(const server_t *s, const lspo_serving_request_t *request)
{
    const uint64_t more = prefix_tokens(s, request) > 0 ? s->units.ranges : 0;
    return longest_of(request) <= s->options->positions && units_of(s, longest_of(request)) + more <= s->units.units;
}

static void arrive(server_t *s)
{
    for (; s->arrived < s->count && s->requests[s->arrived].arrival_s <= s->now_s; s->arrived++) {
        s->came[s->arrived] = s->report->steps;
        if (could_fit(s, &s->requests[s->arrived])) {
            push_back(s, s->arrived);
            continue;
        }
        s->served[s->arrived].state = LSPO_SERVED_REFUSED;
        s->report->refused++;
        s->done++;
    }
}

/* ---- time ---- */

static void advance(server_t *s, double seconds)
{
    const double all_bytes = (double)s->units.ranges * (double)s->units.token_bytes;
    double stored = 0, held = 0;
    for (uint32_t i = 0; i < s->slot_count; i++) {
        const slot_t *slot = &s->slots[i];
        if (slot->state != SLOT_RUNNING && slot->state != SLOT_PREFIX)
            continue;
        held += (double)(units_of(s, slot->stored) - whole_units(s, slot->shared));
        stored += (double)(slot->stored - (slot->state == SLOT_RUNNING ? slot->shared : 0)) * all_bytes;
    }
    s->now_s += seconds;
    s->held_integral += seconds * held * (double)s->units.unit_bytes;
    s->mapped_integral += seconds * (double)s->used * (double)s->units.unit_bytes;
    s->stored_integral += seconds * stored;
    s->texts_integral += seconds * (double)s->running;
}

static void note_peaks(server_t *s)
{
    uint64_t saved = 0;
    for (uint32_t i = 0; i < 2 * s->options->batch; i++)
        if (s->slots[i].state != SLOT_EMPTY)
            saved += whole_units(s, s->slots[i].shared);
    for (uint32_t i = 2 * s->options->batch; i < s->slot_count; i++)
        if (s->slots[i].state == SLOT_PREFIX && is_used(s, &s->slots[i]))
            saved -= whole_units(s, s->slots[i].stored) < saved ? whole_units(s, s->slots[i].stored) : saved;
    lspo_serving_report_t *r = s->report;
    const uint64_t used_bytes = s->used * s->units.unit_bytes, saved_bytes = saved * s->units.unit_bytes;
    r->peak_bytes = used_bytes > r->peak_bytes ? used_bytes : r->peak_bytes;
    r->shared_peak_bytes = saved_bytes > r->shared_peak_bytes ? saved_bytes : r->shared_peak_bytes;
    r->texts_peak = s->running > r->texts_peak ? s->running : r->texts_peak;
}

static void take_time(server_t *s, const lspo_serving_step_t *step)
{
    note_peaks(s);
    advance(s, step->exposed_s + step->computed_s);
    s->report->steps++;
    s->report->exposed_s += step->exposed_s;
    s->report->computed_s += step->computed_s;
}

/* ---- texts ---- */

/* A slot has one token more, and may end with it. */
static void count_token(server_t *s, slot_t *slot)
{
    const lspo_serving_request_t *request = &s->requests[slot->request];
    lspo_served_t *served = &s->served[slot->request];
    if (served->tokens++ == 0)
        served->first_s = s->now_s;
    s->report->tokens++;
    const bool leaves = request->cancelled > 0 && served->tokens >= request->cancelled;
    if (served->tokens < request->tokens && !leaves)
        return;
    served->end_s = s->now_s;
    served->state = served->tokens < request->tokens ? LSPO_SERVED_CANCELLED : LSPO_SERVED;
    s->report->served += served->state == LSPO_SERVED;
    s->report->cancelled += served->state == LSPO_SERVED_CANCELLED;
    s->done++;
    s->running--;
    if (s->options->cache != LSPO_SERVING_VTENSOR) {
        release(s, slot);
        return;
    }
    slot->state = SLOT_KEPT;
    slot->stored = 0;
    slot->turn = ++s->turns;
}

/* A slot that needs no mapping for what it has: of a text that shared the same prefix, or none as this one. */
static slot_t *find_kept(const server_t *s, uint32_t group, uint64_t prefix)
{
    slot_t *newest = NULL;
    for (uint32_t i = 0; i < 2 * s->options->batch; i++) {
        slot_t *slot = &s->slots[i];
        const bool alike = slot->shared == prefix && (prefix == 0 || slot->group == group);
        if (slot->state == SLOT_KEPT && alike && (newest == NULL || slot->turn > newest->turn))
            newest = slot;
    }
    return newest;
}

/* There are twice as many as texts at once, so if all are taken one was kept. */
static slot_t *find_empty(server_t *s)
{
    for (;;) {
        for (uint32_t i = 0; i < 2 * s->options->batch; i++)
            if (s->slots[i].state == SLOT_EMPTY)
                return &s->slots[i];
        release(s, oldest_kept(s));
    }
}

/* Units that it needs to begin: for its prompt and one token more. */
static uint64_t begin_tokens(const server_t *s, uint32_t request)
{
    const uint64_t prompt = prompt_of(s, request), longest = longest_of(&s->requests[request]);
    return prompt < longest ? prompt + 1 : longest;
}

/* Give a slot that is not empty, or whose beginning the prefix gives, the units that it still needs. */
static lspo_status_t fill(server_t *s, slot_t *slot, uint32_t request, uint64_t prefix)
{
    lspo_status_t status = LSPO_OK;
    if (slot->mapped == 0 && prefix > 0)
        status = share(s, slot, prefix_of(s, s->requests[request].group), prefix);
    return status == LSPO_OK ? grow(s, slot, begin_tokens(s, request)) : status;
}

/* *slot_out: NULL if there is not enough memory now. */
static lspo_status_t begin(server_t *s, uint32_t request, slot_t **slot_out)
{
    const lspo_serving_request_t *r = &s->requests[request];
    const slot_t *group = r->group > 0 ? prefix_of(s, r->group) : NULL;
    const bool has_prefix = group != NULL && group->state == SLOT_PREFIX;
    uint64_t prefix = has_prefix ? prefix_tokens(s, r) : 0;
    if (has_prefix && group->stored < prefix)
        prefix = group->stored; /* the first of the group had no more */
    slot_t *slot = find_kept(s, r->group, prefix);
    *slot_out = NULL;
    if (slot == NULL)
        slot = find_empty(s);
    const slot_t before = *slot;
    *slot = (slot_t){.state = SLOT_RUNNING,
                     .mapped = before.mapped,
                     .own = before.own,
                     .shared = prefix,
                     .group = r->group,
                     .request = request,
                     .turn = ++s->turns};
    const uint64_t had = before.mapped > 0 ? units_of(s, before.mapped) : whole_units(s, prefix);
    const uint64_t needed = units_of(s, begin_tokens(s, request));
    if (needed > had && !make_room(s, needed - had)) {
        *slot = before;
        return LSPO_OK;
    }
    lspo_status_t status = fill(s, slot, request, prefix);
    slot->stored = prefix;
    s->running++;
    *slot_out = slot;
    return status;
}

/* The prefix of a group has been read for the first time: it becomes a slot of its own, which shares the text's
 * units. */
static lspo_status_t keep_prefix(server_t *s, slot_t *slot)
{
    const lspo_serving_request_t *request = &s->requests[slot->request];
    const uint64_t tokens = prefix_tokens(s, request);
    if (tokens == 0 || slot->shared > 0 || prefix_of(s, request->group)->state == SLOT_PREFIX ||
        s->units.units - s->used < units_of(s, tokens) - whole_units(s, tokens))
        return LSPO_OK;
    slot_t *prefix = prefix_of(s, request->group);
    *prefix = (slot_t){.state = SLOT_PREFIX, .stored = tokens, .group = request->group};
    lspo_status_t status = share(s, prefix, slot, tokens);
    prefix->own += whole_units(s, tokens);
    prefix->shared = 0;
    slot->own -= whole_units(s, tokens);
    slot->shared = tokens;
    return status;
}

/* Begin the first request that waits, if there is memory. */
static lspo_status_t read_next(server_t *s, bool *begun_out)
{
    slot_t *slot = NULL;
    lspo_serving_step_t step = {0};
    *begun_out = false;
    if (s->first == NOBODY || s->running == s->options->batch)
        return LSPO_OK;
    const uint32_t request = s->first;
    lspo_status_t status = begin(s, request, &slot);
    if (status != LSPO_OK || slot == NULL)
        return status;
    *begun_out = true;
    s->report->waited += s->served[request].preempted == 0 && s->report->steps > s->came[request];
    pop(s);
    const uint64_t prompt = prompt_of(s, request);
    const lspo_serving_read_t read = {index_of(s, slot), request, (uint32_t)slot->stored, (uint32_t)prompt};
    status = s->engine->read(s->engine->context, &read, s->now_s, &step);
    if (status != LSPO_OK)
        return status;
    slot->stored = prompt;
    take_time(s, &step);
    status = keep_prefix(s, slot);
    count_token(s, slot);
    return status;
}

/* The text that began last is read again later. */
static void preempt(server_t *s)
{
    slot_t *latest = NULL;
    for (uint32_t i = 0; i < 2 * s->options->batch; i++)
        if (s->slots[i].state == SLOT_RUNNING && (latest == NULL || s->slots[i].turn > latest->turn))
            latest = &s->slots[i];
    s->report->preempted++;
    s->served[latest->request].preempted++;
    push_front(s, latest->request);
    s->running--;
    release(s, latest);
}

/* Units for the next token of a text, whose own may be taken. */
static lspo_status_t provide(server_t *s, slot_t *slot)
{
    while (slot->state == SLOT_RUNNING && slot->mapped < slot->stored + 1) {
        if (!make_room(s, units_of(s, slot->stored + 1) - units_of(s, slot->mapped))) {
            preempt(s);
            continue;
        }
        lspo_status_t status = grow(s, slot, slot->stored + 1);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* Units in advance, but only such as nobody has. */
static lspo_status_t provide_ahead(server_t *s, slot_t *slot)
{
    const uint64_t longest = longest_of(&s->requests[slot->request]);
    const uint64_t wanted = slot->stored + 1 + s->options->map_ahead;
    const uint64_t target = wanted < longest ? wanted : longest;
    if (s->options->cache != LSPO_SERVING_VTENSOR || target <= slot->mapped ||
        units_of(s, target) - units_of(s, slot->mapped) > s->units.units - s->used)
        return LSPO_OK;
    return grow(s, slot, target);
}

static lspo_status_t decode(server_t *s)
{
    uint32_t count = 0;
    lspo_status_t status = LSPO_OK;
    lspo_serving_step_t step = {0};
    for (uint32_t i = 0; status == LSPO_OK && i < 2 * s->options->batch; i++)
        status = provide(s, &s->slots[i]);
    for (uint32_t i = 0; status == LSPO_OK && i < 2 * s->options->batch; i++)
        if (s->slots[i].state == SLOT_RUNNING) {
            s->batch[count] = i;
            s->lengths[count++] = (uint32_t)s->slots[i].stored + 1;
            status = provide_ahead(s, &s->slots[i]);
        }
    if (status == LSPO_OK && count > 0)
        status = s->engine->decode(s->engine->context, s->batch, s->lengths, count, s->now_s, &step);
    if (status != LSPO_OK || count == 0)
        return status;
    for (uint32_t i = 0; i < count; i++)
        s->slots[s->batch[i]].stored++;
    take_time(s, &step);
    for (uint32_t i = 0; i < count; i++)
        count_token(s, &s->slots[s->batch[i]]);
    return LSPO_OK;
}

/* ---- all of it ---- */

static lspo_status_t step(server_t *s)
{
    bool begun = false;
    if (s->engine->stopped != NULL && s->engine->stopped(s->engine->context))
        return LSPO_ERR_INTERRUPTED;
    arrive(s);
    lspo_status_t status = read_next(s, &begun);
    if (status != LSPO_OK || begun)
        return status;
    if (s->running > 0)
        return decode(s);
    if (s->first != NOBODY)
        return lspo_error(LSPO_ERR_INTERNAL, "a request that fits alone was not begun");
    if (s->arrived < s->count)
        advance(s, s->requests[s->arrived].arrival_s - s->now_s);
    return LSPO_OK;
}

static void conclude(server_t *s)
{
    lspo_serving_report_t *r = s->report;
    for (uint32_t i = 0; i < s->slot_count; i++)
        if (s->slots[i].state != SLOT_EMPTY)
            release(s, &s->slots[i]);
    assert(s->used == 0);
    r->end_s = s->now_s;
    if (!(s->now_s > 0))
        return;
    r->mean_bytes = s->mapped_integral / s->now_s;
    r->held_mean_bytes = s->held_integral / s->now_s;
    r->stored_mean_bytes = s->stored_integral / s->now_s;
    r->texts_mean = s->texts_integral / s->now_s;
}

static lspo_status_t serve(server_t *s)
{
    const size_t batch = s->options->batch;
    s->slots = calloc(s->slot_count, sizeof *s->slots);
    s->next = calloc(s->count + 1U, sizeof *s->next);
    s->came = calloc(s->count + 1U, sizeof *s->came);
    s->batch = calloc(batch, sizeof *s->batch);
    s->lengths = calloc(batch, sizeof *s->lengths);
    if (!s->slots || !s->next || !s->came || !s->batch || !s->lengths)
        return lspo_no_memory("%u requests", s->count);
    lspo_status_t status = LSPO_OK;
    while (status == LSPO_OK && s->done < s->count)
        status = step(s);
    conclude(s);
    return status;
}

lspo_status_t lspo_serving_run(const lspo_serving_options_t *options, const lspo_serving_request_t *requests,
                               uint32_t count, const lspo_serving_engine_t *engine, lspo_served_t *served_out,
                               lspo_serving_report_t *report_out)
{
    server_t s = {.options = options,
                  .requests = requests,
                  .engine = engine,
                  .count = count,
                  .served = served_out,
                  .report = report_out,
                  .slot_count = lspo_serving_slots(options, lspo_serving_groups(requests, count)),
                  .first = NOBODY,
                  .last = NOBODY};
    lspo_serving_units(options, &s.units);
    lspo_status_t status = lspo_serving_check(options, requests, count);
    if (status != LSPO_OK)
        return status;
    *report_out = (lspo_serving_report_t){0};
    for (uint32_t i = 0; i < count; i++)
        served_out[i] = (lspo_served_t){.state = LSPO_SERVED_NOT_YET};
    status = serve(&s);
    free(s.slots);
    free(s.next);
    free(s.came);
    free(s.batch);
    free(s.lengths);
    return status;
}
