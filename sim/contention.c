/* contention.c - see contention.h. */
#include "sim/contention.h"

#include <inttypes.h>
#include <stdlib.h>

static bool is_link(uint8_t kind)
{
    return kind == LSPO_LANE_D2H || kind == LSPO_LANE_H2D;
}

/* ---- rates ---- */

static void fill_rates(lspo_contention_t *contention, const lspo_machine_t *machine)
{
    for (int a = 0; a < LSPO_LANE_KIND_COUNT; a++)
        for (int b = 0; b < LSPO_LANE_KIND_COUNT; b++)
            contention->speed[a][b] =
                a == b || a >= LSPO_DEVICE_LANES || b >= LSPO_DEVICE_LANES ? 1 : 1 - machine->contention[a][b];
    const double duplex[2] = {1 - machine->link.d2h_duplex_loss, 1 - machine->link.h2d_duplex_loss};
    for (uint32_t set = 0; set < 2 * LSPO_CONTENTION_DUPLEX; set++)
        for (uint32_t a = 0; a < LSPO_LANE_KIND_COUNT; a++) {
            bool duplexed = set & LSPO_CONTENTION_DUPLEX && is_link((uint8_t)a);
            uint32_t other = a == LSPO_LANE_D2H ? LSPO_LANE_H2D : LSPO_LANE_D2H;
            double rate = 1;
            for (uint32_t b = 0; b < LSPO_LANE_KIND_COUNT; b++)
                if (set >> b & 1)
                    rate *= contention->speed[a][b] * (duplexed && b == other ? duplex[a - LSPO_LANE_D2H] : 1);
            contention->rates[set][a] = rate;
            contention->any |= rate < 1;
        }
}

/* Not in the table: all running lanes of each kind except one. */
static double crowd_rate(const lspo_contention_t *contention, const lspo_contention_peer_t *peer, uint32_t kind)
{
    double rate = 1;
    for (uint32_t b = 0; b < LSPO_LANE_KIND_COUNT; b++)
        for (uint32_t i = 1; i < peer->classes[b].count && contention->speed[kind][b] != 1; i++)
            rate *= contention->speed[kind][b];
    return rate;
}

/* ---- running lanes ---- */

static void mark_changed(lspo_contention_t *contention, uint32_t peer)
{
    if (!contention->peers[peer].changed)
        contention->changed_peers[contention->changed_peer_count++] = peer;
    contention->peers[peer].changed = true;
}

void lspo_contention_start(lspo_contention_t *contention, uint32_t lane)
{
    lspo_contention_lane_t *self = &contention->lanes[lane];
    lspo_contention_peer_t *peer = &contention->peers[self->peer];
    lspo_contention_class_t *class = &peer->classes[self->kind];
    class->running[self->at = class->count++] = lane;
    peer->kinds |= (uint8_t)(1 << self->kind);
    peer->crowded |= (uint8_t)((class->count > 1) << self->kind);
    if (is_link(self->kind) && contention->links[self->link].busy[self->kind - LSPO_LANE_D2H]++ == 0)
        peer->duplex_changed = true;
    contention->rate[lane] = 1;
    contention->started[contention->started_count++] = lane;
    mark_changed(contention, self->peer);
}

void lspo_contention_end(lspo_contention_t *contention, uint32_t lane)
{
    const lspo_contention_lane_t *self = &contention->lanes[lane];
    lspo_contention_peer_t *peer = &contention->peers[self->peer];
    lspo_contention_class_t *class = &peer->classes[self->kind];
    uint32_t last = class->running[--class->count];
    class->running[self->at] = last;
    contention->lanes[last].at = self->at;
    if (class->count == 0)
        peer->kinds &= (uint8_t) ~(1 << self->kind);
    if (class->count <= 1)
        peer->crowded &= (uint8_t) ~(1 << self->kind);
    if (is_link(self->kind) && --contention->links[self->link].busy[self->kind - LSPO_LANE_D2H] == 0)
        peer->duplex_changed = true;
    mark_changed(contention, self->peer);
}

static void set_rate(lspo_contention_t *contention, uint32_t lane, const double rates[2])
{
    const lspo_contention_lane_t *self = &contention->lanes[lane];
    /* The other direction of d2h (kind - d2h = 0) is busy[1], that of h2d busy[0]. */
    bool duplexed = is_link(self->kind) && contention->links[self->link].busy[LSPO_LANE_H2D - self->kind] > 0;
    if (contention->rate[lane] == rates[duplexed])
        return;
    contention->rate[lane] = rates[duplexed];
    contention->changed_lanes[contention->changed_lane_count++] = lane;
}

static void find_rates(const lspo_contention_t *contention, const lspo_contention_peer_t *peer, uint32_t kind,
                       double rates[2])
{
    double crowd = peer->crowded ? crowd_rate(contention, peer, kind) : 1;
    rates[0] = contention->rates[peer->kinds][kind] * crowd;
    rates[1] = contention->rates[peer->kinds | LSPO_CONTENTION_DUPLEX][kind] * crowd;
}

static void settle_peer(lspo_contention_t *contention, lspo_contention_peer_t *peer)
{
    for (uint32_t kinds = peer->kinds; kinds; kinds &= kinds - 1) {
        uint32_t kind = (uint32_t)__builtin_ctz(kinds);
        lspo_contention_class_t *class = &peer->classes[kind];
        double rates[2];
        find_rates(contention, peer, kind, rates);
        if (rates[0] == class->rate && !(peer->duplex_changed && is_link((uint8_t)kind)))
            continue;
        class->rate = rates[0];
        for (uint32_t i = 0; i < class->count; i++)
            set_rate(contention, class->running[i], rates);
    }
    peer->changed = peer->duplex_changed = false;
}

void lspo_contention_settle(lspo_contention_t *contention)
{
    contention->changed_lane_count = 0;
    for (uint32_t i = 0; i < contention->changed_peer_count; i++)
        settle_peer(contention, &contention->peers[contention->changed_peers[i]]);
    contention->changed_peer_count = 0;
    /* In a class with an unchanged rate only lanes that have just started need one. */
    for (uint32_t i = 0; i < contention->started_count; i++) {
        uint32_t lane = contention->started[i];
        const lspo_contention_lane_t *self = &contention->lanes[lane];
        double rates[2];
        find_rates(contention, &contention->peers[self->peer], self->kind, rates);
        set_rate(contention, lane, rates);
    }
    contention->started_count = 0;
}

/* ---- beginning and end ---- */

/* By peer, then device; the remaining keys make the order unique. */
static int compare_place(const void *left, const void *right)
{
    const lspo_lane_t *a = *(const lspo_lane_t *const *)left, *b = *(const lspo_lane_t *const *)right;
    if (a->peer != b->peer)
        return a->peer < b->peer ? -1 : 1;
    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    return (a > b) - (a < b);
}

/* Number the peers and links and give each class its part of `running`. */
static void place_lanes(lspo_contention_t *contention, const lspo_lanes_t *lanes, const lspo_lane_t *const *ordered)
{
    uint32_t peer = 0, link = 0, next = 0;
    for (uint32_t i = 0; i < lanes->count; i++) {
        const lspo_lane_t *lane = ordered[i];
        bool new_peer = i > 0 && lane->peer != ordered[i - 1]->peer;
        peer += new_peer;
        link += i > 0 && (new_peer || lane->device != ordered[i - 1]->device);
        contention->lanes[lane - lanes->list] =
            (lspo_contention_lane_t){.peer = peer, .link = link, .kind = lane->kind};
        contention->peers[peer].classes[lane->kind].count++;
    }
    for (uint32_t p = 0; p <= peer; p++)
        for (uint32_t kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++) {
            lspo_contention_class_t *class = &contention->peers[p].classes[kind];
            class->running = contention->running + next;
            next += class->count;
            *class = (lspo_contention_class_t){.running = class->running};
        }
}

static lspo_status_t allocate(const lspo_lanes_t *lanes, lspo_contention_t *contention)
{
    size_t count = (size_t)lanes->count + 1;
    contention->lanes = calloc(count, sizeof *contention->lanes);
    contention->peers = calloc(count, sizeof *contention->peers);
    contention->links = calloc(count, sizeof *contention->links);
    contention->running = calloc(4 * count, sizeof *contention->running);
    contention->rate = calloc(count, sizeof *contention->rate);
    if (!contention->lanes || !contention->peers || !contention->links || !contention->running || !contention->rate)
        return lspo_no_memory("the contention of %" PRIu32 " lanes", lanes->count);
    contention->changed_peers = contention->running + count;
    contention->started = contention->running + 2 * count;
    contention->changed_lanes = contention->running + 3 * count;
    return LSPO_OK;
}

lspo_status_t lspo_contention_create(const lspo_lanes_t *lanes, const lspo_machine_t *machine,
                                     lspo_contention_t *contention_out)
{
    lspo_contention_t contention = {0};
    fill_rates(&contention, machine);
    if (!contention.any || lanes->count == 0) {
        contention.any = false;
        *contention_out = contention;
        return LSPO_OK;
    }
    const lspo_lane_t **ordered = NULL;
    lspo_status_t status = allocate(lanes, &contention);
    if (status != LSPO_OK)
        goto failed;
    status = lspo_lanes_sort(lanes, &ordered);
    if (status != LSPO_OK)
        goto failed;
    qsort(ordered, lanes->count, sizeof *ordered, compare_place);
    place_lanes(&contention, lanes, ordered);
    free(ordered);
    *contention_out = contention;
    return LSPO_OK;
failed:
    lspo_contention_release(&contention);
    return status;
}

void lspo_contention_release(lspo_contention_t *contention)
{
    free(contention->rate);
    free(contention->running);
    free(contention->links);
    free(contention->peers);
    free(contention->lanes);
    *contention = (lspo_contention_t){0};
}
