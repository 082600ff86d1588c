/* place.c - see place.h. */
#include "plan/place.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "plan/peers.h"
#include "plan/stage_work.h"

/* The plan as it becomes. */
typedef struct {
    lspo_plan_t *plan;
    const lspo_network_t *network;
    const uint32_t *kinds;
    lspo_peers_t peers; /* before */
    uint32_t *works;    /* [old work][from kind][to kind]: new work + 1; 0: none yet */
    uint32_t old_works;
    size_t work_capacity;
    lspo_work_t *new_works;
    uint32_t new_count;
    lspo_op_t *ops;
    uint32_t op_count;
    lspo_op_id_t *ids;          /* by old id: after which those begin that waited for it */
    uint32_t *delay_lanes;      /* by peer: the first of its lanes for delays */
    uint32_t *delay_lane_count; /* by peer; 0: none */
    uint32_t *delays;           /* by peer: so far */
} placing_t;

static uint32_t kind_from(const placing_t *p, lspo_op_id_t id)
{
    return p->kinds[p->peers.of_lane[p->plan->ops[id].lane]];
}

static uint32_t kind_to(const placing_t *p, lspo_op_id_t id)
{
    return p->kinds[p->peers.taker[id]];
}

static bool is_send(const lspo_op_t *op)
{
    return op->kind == LSPO_OP_SEND;
}

static double latency_of(const placing_t *p, lspo_op_id_t id)
{
    return is_send(&p->plan->ops[id]) ? lspo_network_link(p->network, kind_from(p, id), kind_to(p, id))->latency_s : 0;
}

/* ---- works ---- */

/* The work of `old` between these kinds. */
static lspo_status_t work_between(placing_t *p, uint32_t old, uint32_t from, uint32_t to, uint32_t *work_out)
{
    const uint32_t kinds = p->network->kind_count;
    uint32_t *known = &p->works[((size_t)old * kinds + from) * kinds + to];
    if (*known == 0) {
        lspo_status_t status = lspo_array_grow(&p->new_works, &p->work_capacity, (size_t)p->new_count + 1,
                                               sizeof *p->new_works, "works of a plan");
        if (status != LSPO_OK)
            return status;
        lspo_work_t *work = &p->new_works[p->new_count];
        *work = p->plan->works[old];
        work->from_kind = (uint16_t)(from + 1);
        work->to_kind = (uint16_t)(to + 1);
        *known = ++p->new_count;
    }
    *work_out = *known - 1;
    return LSPO_OK;
}

/* The works of the plan, and behind them one that is only a latency. */
static lspo_status_t add_delay_work(placing_t *p)
{
    lspo_plan_t *plan = p->plan;
    lspo_work_t *works = realloc(plan->works, ((size_t)plan->work_count + 1) * sizeof *works);
    if (works == NULL)
        return lspo_no_memory("%u works", plan->work_count);
    plan->works = works;
    lspo_work_copy(0, &works[plan->work_count]);
    p->old_works = plan->work_count + 1;
    p->works = calloc((size_t)p->old_works * p->network->kind_count * p->network->kind_count, sizeof *p->works);
    return p->works != NULL ? LSPO_OK : lspo_no_memory("the works of %u peers", p->peers.count);
}

/* ---- delays ---- */

/* So many messages can be on their way from a peer at once: while the first byte of one travels, others follow, each
 * of which takes the time of its bytes. */
static uint32_t most_on_the_way(const placing_t *p, uint32_t peer)
{
    double most = 0, messages = 0;
    for (lspo_op_id_t id = 0; id < p->plan->op_count; id++) {
        if (p->peers.of_lane[p->plan->ops[id].lane] != peer || !is_send(&p->plan->ops[id]))
            continue;
        const lspo_peer_link_t *link = lspo_network_link(p->network, kind_from(p, id), kind_to(p, id));
        const double bytes = (double)lspo_work_link_bytes(&p->plan->works[p->plan->ops[id].work]);
        messages += link->latency_s > 0;
        if (p->plan->ops[id].variant != LSPO_VARIANT_NORM_SCALAR) /* one a step: there is a lane more for it */
            most = fmax(most, ceil(link->latency_s / (bytes / link->Bps)) + 2);
    }
    return (uint32_t)fmin(fmax(most, 2), messages);
}

static lspo_status_t add_delay_lanes(placing_t *p)
{
    lspo_plan_t *plan = p->plan;
    p->delay_lanes = calloc((size_t)p->peers.count + 1, sizeof *p->delay_lanes);
    p->delay_lane_count = calloc((size_t)p->peers.count + 1, sizeof *p->delay_lane_count);
    p->delays = calloc((size_t)p->peers.count + 1, sizeof *p->delays);
    if (p->delay_lanes == NULL || p->delay_lane_count == NULL || p->delays == NULL)
        return lspo_no_memory("the lanes of %u peers", p->peers.count);
    const uint32_t lanes = plan->lanes.count;
    for (uint32_t lane = 0; lane < lanes; lane++) {
        const uint32_t peer = p->peers.of_lane[lane];
        if (plan->lanes.list[lane].kind != LSPO_LANE_NET)
            continue;
        p->delay_lane_count[peer] = most_on_the_way(p, peer);
        for (uint32_t i = 0; i < p->delay_lane_count[peer]; i++) {
            const lspo_lane_t delay = {
                .peer = plan->lanes.list[lane].peer, .device = (uint16_t)(i + 1), .kind = LSPO_LANE_NET};
            uint32_t index = 0;
            lspo_status_t status = lspo_lanes_add(&plan->lanes, &delay, &index);
            if (status != LSPO_OK)
                return status;
            p->delay_lanes[peer] = i == 0 ? index : p->delay_lanes[peer];
        }
    }
    return LSPO_OK;
}

/* Behind the SEND that was written last. */
static lspo_status_t add_delay(placing_t *p, lspo_op_id_t id)
{
    const uint32_t peer = p->peers.of_lane[p->plan->ops[id].lane];
    lspo_op_t delay = p->plan->ops[id];
    delay.variant = LSPO_VARIANT_DELAY;
    delay.lane = p->delay_lanes[peer] + p->delays[peer]++ % p->delay_lane_count[peer];
    delay.gpu_alloc_bytes = delay.gpu_free_bytes = delay.host_alloc_bytes = delay.host_free_bytes = 0;
    delay.dep_first = p->op_count - 1; /* for now: what it waits for */
    delay.dep_count = 1;
    p->ids[id] = p->op_count;
    p->ops[p->op_count] = delay;
    return work_between(p, p->old_works - 1, kind_from(p, id), kind_to(p, id), &p->ops[p->op_count++].work);
}

/* ---- ops ---- */

static lspo_status_t place_op(placing_t *p, lspo_op_id_t id)
{
    const uint32_t from = kind_from(p, id), to = is_send(&p->plan->ops[id]) ? kind_to(p, id) : from;
    p->ops[p->op_count] = p->plan->ops[id];
    p->ids[id] = p->op_count;
    lspo_status_t status = work_between(p, p->plan->ops[id].work, from, to, &p->ops[p->op_count].work);
    if (status != LSPO_OK)
        return status;
    if (is_send(&p->plan->ops[id]))
        p->new_works[p->ops[p->op_count].work].kernels[0].count = 0; /* its latency is an op of its own */
    p->op_count++;
    return latency_of(p, id) > 0 ? add_delay(p, id) : LSPO_OK;
}

static lspo_status_t place_ops(placing_t *p)
{
    lspo_plan_t *plan = p->plan;
    uint32_t sends = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        sends += is_send(&plan->ops[id]);
    p->ops = malloc(((size_t)plan->op_count + sends + 1) * sizeof *p->ops);
    p->ids = malloc(((size_t)plan->op_count + 1) * sizeof *p->ids);
    if (p->ops == NULL || p->ids == NULL)
        return lspo_no_memory("%u ops", plan->op_count);
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        lspo_status_t status = place_op(p, id);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* Old dependencies get their new ids, and each delay its own one behind them. */
static lspo_status_t place_dependencies(placing_t *p)
{
    lspo_plan_t *plan = p->plan;
    const uint32_t delays = p->op_count - plan->op_count;
    lspo_op_id_t *deps = realloc(plan->deps, ((size_t)plan->dep_count + delays + 1) * sizeof *deps);
    if (deps == NULL)
        return lspo_no_memory("%u dependencies", plan->dep_count);
    plan->deps = deps;
    for (uint32_t d = 0; d < plan->dep_count; d++)
        deps[d] = p->ids[deps[d]];
    for (uint32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].variant == LSPO_VARIANT_DELAY) {
            deps[plan->dep_count] = p->ops[i].dep_first;
            p->ops[i].dep_first = plan->dep_count++;
        }
    return LSPO_OK;
}

static lspo_status_t place(placing_t *p)
{
    lspo_status_t status = lspo_peers_create(p->plan, &p->peers);
    if (status == LSPO_OK)
        status = add_delay_work(p);
    if (status == LSPO_OK)
        status = add_delay_lanes(p);
    if (status == LSPO_OK)
        status = place_ops(p);
    return status == LSPO_OK ? place_dependencies(p) : status;
}

lspo_status_t lspo_place_plan(lspo_plan_t *plan, const uint32_t *kinds, lspo_network_t *network)
{
    placing_t p = {.plan = plan, .network = network, .kinds = kinds};
    lspo_status_t status = place(&p);
    if (status == LSPO_OK) {
        free(plan->ops);
        free(plan->works);
        plan->ops = p.ops;
        plan->op_count = p.op_count;
        plan->works = p.new_works;
        plan->work_count = p.new_count;
        plan->network = *network;
        *network = (lspo_network_t){0};
        p.ops = NULL;
        p.new_works = NULL;
    }
    free(p.delays);
    free(p.delay_lane_count);
    free(p.delay_lanes);
    free(p.ids);
    free(p.ops);
    free(p.new_works);
    free(p.works);
    lspo_peers_release(&p.peers);
    return status;
}

const lspo_machine_t *lspo_place_machine(const lspo_plan_t *plan, const lspo_machine_t *machine, uint32_t work,
                                         lspo_machine_t *own, double *speed_out)
{
    const lspo_work_t *w = &plan->works[work];
    *speed_out = 1;
    if (w->from_kind == 0)
        return machine;
    lspo_network_machine(&plan->network, machine, w->from_kind - 1, w->to_kind - 1, own);
    *speed_out = plan->network.kinds[w->from_kind - 1].speed;
    return own;
}
