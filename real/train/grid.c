/* grid.c - see grid.h. */
#include "real/train/grid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/blas.h"
#include "plan/policy.h"
#include "real/execute/lane.h"
#include "real/methods/methods.h"
#include "real/session/session.h"
#include "real/train/grid_state.h"

/* ---- create and destroy ---- */

static lspo_status_t open_peer(lspo_grid_t *grid, uint32_t p, const lspo_device_caps_t *caps,
                               const lspo_topology_t *machine, const lspo_text_t *text)
{
    lspo_grid_peer_t *peer = &grid->peers[p];
    const lspo_method_t *method = NULL;
    lspo_session_place(grid->plan, p, &peer->place);
    lspo_topology_share(machine, p, grid->peer_count, &peer->topology);
    lspo_status_t status = lspo_device_open("host", caps, &peer->device);
    if (status == LSPO_OK)
        status = lspo_method_find(grid->plan, &method);
    if (status != LSPO_OK)
        return status;
    const lspo_session_start_t start = {.text = text, .place = &peer->place};
    return lspo_session_create_with(grid->plan, peer->device, method, &start, &peer->session);
}

static void describe_topology(lspo_grid_t *grid)
{
    int length = snprintf(grid->topology, sizeof grid->topology, "%u core%s:", grid->core_count,
                          grid->core_count == 1 ? "" : "s");
    for (uint32_t p = 0; p < grid->peer_count && length > 0 && (size_t)length < sizeof grid->topology; p++)
        length += snprintf(grid->topology + length, sizeof grid->topology - (size_t)length, "%s peer %u on cpu %d",
                           p > 0 ? "," : "", p, grid->peers[p].topology.cpu[LSPO_LANE_GPU]);
}

static lspo_status_t open_peers(lspo_grid_t *grid, const lspo_device_caps_t *caps, const lspo_text_t *text)
{
    lspo_topology_t machine;
    lspo_status_t status = lspo_topology_read(&machine);
    if (status != LSPO_OK)
        return status;
    grid->core_count = machine.core_count;
    status = lspo_blas_reserve(grid->peer_count + 1);
    for (uint32_t p = 0; p < grid->peer_count && status == LSPO_OK; p++)
        status = open_peer(grid, p, caps, &machine, text);
    describe_topology(grid);
    return status;
}

lspo_status_t lspo_grid_create(const lspo_plan_t *plan, const char *device, const lspo_device_caps_t *caps,
                               const lspo_text_t *text, lspo_grid_t **grid_out)
{
    const uint32_t peers = lspo_policy_peers(plan->policy, &plan->workload);
    if (strcmp(device, "host") != 0)
        return lspo_error(LSPO_ERR_INPUT, "--device %s: a grid of %u devices runs on --device host only", device,
                          peers);
    lspo_grid_t *grid = calloc(1, sizeof *grid);
    if (grid)
        grid->peers = calloc(peers, sizeof *grid->peers);
    if (!grid || !grid->peers) {
        free(grid);
        return lspo_no_memory("a grid of %u devices", peers);
    }
    grid->plan = plan;
    grid->peer_count = peers;
    lspo_status_t status = open_peers(grid, caps, text);
    if (status != LSPO_OK) {
        lspo_grid_destroy(grid);
        return status;
    }
    *grid_out = grid;
    return LSPO_OK;
}

void lspo_grid_destroy(lspo_grid_t *grid)
{
    if (!grid)
        return;
    for (uint32_t p = 0; p < grid->peer_count; p++) {
        lspo_session_message_release(&grid->peers[p].message);
        lspo_session_destroy(grid->peers[p].session);
        lspo_device_close(grid->peers[p].device);
    }
    free(grid->peers);
    free(grid);
}

lspo_status_t lspo_grid_reset(lspo_grid_t *grid)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t p = 0; p < grid->peer_count && status == LSPO_OK; p++)
        status = lspo_session_reset(grid->peers[p].session);
    return status;
}

/* ---- ops ---- */

/* Everything is copied at once, and the op then takes the time of the network: nobody reads it before it has ended. */
static lspo_status_t send(const lspo_grid_t *grid, lspo_grid_peer_t *peer, const lspo_op_t *op)
{
    const lspo_plan_t *plan = grid->plan;
    const lspo_device_caps_t *caps = lspo_device_caps(peer->device);
    const lspo_work_t *work = &plan->works[op->work];
    const double bytes_s = caps->net_Bps > 0 ? (double)lspo_work_link_bytes(work) / caps->net_Bps : 0;
    const uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = lspo_session_begin_send(peer->session, op);
    for (uint32_t to = 0; to < grid->peer_count && status == LSPO_OK; to++) {
        if (!plan->policy->receives(plan, op, to))
            continue;
        status = lspo_session_pack(peer->session, op, to, &peer->message);
        if (status == LSPO_OK)
            status = lspo_session_unpack(grid->peers[to].session, op, peer->place.peer, &peer->message);
    }
    lspo_device_pace(peer->device, start_ns, work->kernels[0].count * caps->net_latency_s + bytes_s);
    return status == LSPO_OK ? lspo_session_end_send(peer->session, op) : status;
}

lspo_status_t lspo_grid_run_op(void *grid_void, const lspo_op_t *op)
{
    const lspo_grid_t *grid = grid_void;
    const lspo_lane_t *lane = &grid->plan->lanes.list[op->lane];
    lspo_grid_peer_t *peer = &grid->peers[lane->peer];
    if (op->kind == LSPO_OP_SEND)
        return send(grid, peer, op);
    if (lane->kind != LSPO_LANE_GPU)
        return lspo_session_run_op(peer->session, op);
    const double cpu_s = lspo_lane_cpu_s();
    const uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = lspo_session_run_op(peer->session, op);
    peer->busy_s += (double)(lspo_now_ns() - start_ns) * 1e-9;
    peer->cpu_s += lspo_lane_cpu_s() - cpu_s;
    return status;
}

void lspo_grid_enter_lane(void *grid_void, const lspo_lane_t *lane)
{
    const lspo_grid_t *grid = grid_void;
    lspo_topology_enter(&grid->peers[lane->peer].topology, (lspo_lane_kind_t)lane->kind);
    lspo_lane_flush_denormals();
}

/* ---- results ---- */

void lspo_grid_losses(const lspo_grid_t *grid, double *losses_out)
{
    for (uint32_t i = 0; i < grid->plan->workload.iterations; i++)
        losses_out[i] = 0;
    for (uint32_t p = 0; p < grid->peer_count; p++)
        for (uint32_t i = 0; i < grid->plan->workload.iterations; i++)
            losses_out[i] += lspo_session_losses(grid->peers[p].session)[i];
}

/* Through the first replica. */
lspo_status_t lspo_grid_held_out_loss(lspo_grid_t *grid, uint32_t batches, double *loss_out)
{
    const uint32_t pipeline = grid->peers[0].place.peer_count;
    double sum = 0;
    void *x = malloc(lspo_session_boundary_bytes(grid->peers[0].session));
    lspo_status_t status = x ? LSPO_OK : lspo_no_memory("an evaluation");
    for (uint32_t i = 0; i < batches && status == LSPO_OK; i++) {
        double loss = 0;
        for (uint32_t p = 0; p < pipeline && status == LSPO_OK; p++)
            status = lspo_session_held_out_part(grid->peers[p].session, i, batches, x, &loss);
        sum += loss;
    }
    free(x);
    if (status == LSPO_OK)
        *loss_out = sum / batches;
    return status;
}

uint32_t lspo_grid_peers(const lspo_grid_t *grid)
{
    return grid->peer_count;
}

lspo_device_t *lspo_grid_device(const lspo_grid_t *grid, uint32_t peer)
{
    return grid->peers[peer].device;
}

static void raise_to(uint64_t *most, uint64_t bytes)
{
    *most = bytes > *most ? bytes : *most;
}

lspo_grid_memory_t lspo_grid_memory(const lspo_grid_t *grid)
{
    lspo_grid_memory_t memory = {0};
    for (uint32_t p = 0; p < grid->peer_count; p++) {
        const lspo_device_t *device = grid->peers[p].device;
        raise_to(&memory.most_gpu, lspo_device_peak_bytes(device));
        raise_to(&memory.most_held, lspo_device_most_held_bytes(device));
        raise_to(&memory.most_host, lspo_device_most_host_held_bytes(device));
        memory.all_held += lspo_device_most_held_bytes(device);
        memory.all_host += lspo_device_most_host_held_bytes(device);
    }
    return memory;
}

double lspo_grid_core_share(const lspo_grid_t *grid)
{
    double cpu_s = 0, busy_s = 0;
    for (uint32_t p = 0; p < grid->peer_count; p++) {
        cpu_s += grid->peers[p].cpu_s;
        busy_s += grid->peers[p].busy_s;
    }
    return busy_s > 0 ? fmin(cpu_s / busy_s, 1) : 1;
}

bool lspo_grid_has_cores(const lspo_grid_t *grid)
{
    return grid->peer_count <= grid->core_count;
}

const char *lspo_grid_topology(const lspo_grid_t *grid)
{
    return grid->topology;
}
