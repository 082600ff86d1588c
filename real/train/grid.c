/* grid.c - see grid.h. */
#include "real/train/grid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mpi.h"
#include "kernels/blas.h"
#include "plan/policy.h"
#include "real/execute/lane.h"
#include "real/methods/methods.h"
#include "real/session/session.h"
#include "real/train/grid_state.h"

/* ---- create and destroy ---- */

static bool is_here(const lspo_grid_t *grid, uint32_t p)
{
    return p - grid->first_here < grid->here_count;
}

/* "cuda" is the GPU with the rank's number on its machine. */
static void name_device(const lspo_grid_options_t *options, size_t size, char *name_out)
{
    uint32_t rank, count;
    lspo_mpi_local(&rank, &count);
    if (options->mail && strcmp(options->device, "cuda") == 0)
        snprintf(name_out, size, "cuda:%u", rank);
    else
        snprintf(name_out, size, "%s", options->device);
}

/* Peers that may use the same cores share them. */
static lspo_status_t place_peer(lspo_grid_t *grid, uint32_t p)
{
    lspo_grid_peer_t *peer = &grid->peers[p];
    lspo_topology_t machine;
    uint32_t place = p, places = grid->peer_count;
    lspo_status_t status = lspo_device_is_asynchronous(peer->device)
                               ? lspo_topology_read_near(lspo_device_pci_address(peer->device), &machine)
                               : lspo_topology_read(&machine);
    if (status != LSPO_OK)
        return status;
    if (grid->mail)
        status = lspo_grid_share_cores(grid, &machine, &place, &places);
    if (status != LSPO_OK)
        return status;
    grid->has_cores = places <= machine.core_count;
    lspo_topology_share(&machine, place, places, &peer->topology);
    return LSPO_OK;
}

/* ---- peers of a file ---- */

static const lspo_peer_kind_t *kind_of(const lspo_plan_t *plan, uint32_t p)
{
    return plan->peer_kinds ? &plan->network.kinds[plan->peer_kinds[p]] : NULL;
}

static lspo_device_caps_t caps_of(const lspo_plan_t *plan, uint32_t p, const lspo_grid_options_t *options)
{
    lspo_device_caps_t caps = options->caps;
    const lspo_peer_kind_t *kind = kind_of(plan, p);
    if (kind && kind->has_memory && (caps.memory_bytes == 0 || kind->memory_bytes < (double)caps.memory_bytes))
        caps.memory_bytes = (uint64_t)kind->memory_bytes;
    return caps;
}

/* Rank 0 says what is not as in the file. */
static void set_speeds(lspo_grid_t *grid, const lspo_grid_options_t *options)
{
    const bool host = strcmp(options->device, "host") == 0, tells = lspo_mail_rank(grid->mail) == 0;
    for (uint32_t p = 0; p < grid->peer_count; p++) {
        const lspo_peer_kind_t *kind = kind_of(grid->plan, p);
        const double speed = kind ? kind->speed : 1;
        grid->peers[p].speed = host ? fmin(speed, 1) : 1;
        if (tells && (speed > 1 || (speed < 1 && !host)) && (p == 0 || kind_of(grid->plan, p - 1) != kind))
            lspo_warn("peer %u is of kind %s with speed %g, and runs at speed 1: %s", p, kind->name, speed,
                      host ? "a run cannot make it faster than its device" : "only host devices can wait");
    }
}

static lspo_status_t open_peer(lspo_grid_t *grid, uint32_t p, const lspo_grid_options_t *options)
{
    lspo_grid_peer_t *peer = &grid->peers[p];
    const lspo_method_t *method = NULL;
    const lspo_device_caps_t caps = caps_of(grid->plan, p, options);
    char device[32];
    name_device(options, sizeof device, device);
    lspo_status_t status = lspo_device_open(device, &caps, &peer->device);
    if (status == LSPO_OK)
        status = place_peer(grid, p);
    if (status == LSPO_OK)
        status = lspo_method_find(grid->plan, &method);
    if (status != LSPO_OK)
        return status;
    const lspo_session_start_t start = {.text = options->text, .place = &peer->place};
    return lspo_session_create_with(grid->plan, peer->device, method, &start, &peer->session);
}

static lspo_status_t describe_topology(lspo_grid_t *grid)
{
    size_t bytes = 0;
    FILE *file = open_memstream(&grid->topology, &bytes);
    for (uint32_t p = grid->first_here; file && is_here(grid, p); p++)
        fprintf(file, "%speer %u on cpu %d", p > grid->first_here ? ", " : "", p,
                grid->peers[p].topology.cpu[LSPO_LANE_GPU]);
    return file && fclose(file) == 0 ? LSPO_OK : lspo_no_memory("the cores of %u peers", grid->here_count);
}

/* What a peer knows of the scale of the loss, it learns when it updates. */
static lspo_status_t check_last(const lspo_grid_t *grid)
{
    const lspo_session_place_t *place = &grid->peers[grid->peer_count - 1].place;
    if (place->first_stage < place->last_stage || place->first_stage + 1 < grid->plan->stage_count ||
        grid->plan->workload.train_rest == LSPO_TRAIN_REST_ON)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "--chain: the last peer has only the head, which this training leaves as it is: "
                                      "give it a block, or --train-rest on");
}

static lspo_status_t open_peers(lspo_grid_t *grid, const lspo_grid_options_t *options)
{
    lspo_status_t status = lspo_blas_reserve(grid->here_count + 1);
    for (uint32_t p = 0; p < grid->peer_count; p++)
        lspo_session_place(grid->plan, p, &grid->peers[p].place);
    set_speeds(grid, options);
    if (status == LSPO_OK)
        status = check_last(grid);
    for (uint32_t p = grid->first_here; is_here(grid, p) && status == LSPO_OK; p++)
        status = open_peer(grid, p, options);
    return status == LSPO_OK ? describe_topology(grid) : status;
}

/* Each has threads for its lanes, and replicas send to all others: with hundreds on a core a step takes minutes. */
enum { PEERS_PER_CORE_MAX = 32 };

static lspo_status_t check(const lspo_grid_options_t *options, uint32_t peers)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!options->mail && peers > (cores > 1 ? (uint32_t)cores : 1) * PEERS_PER_CORE_MAX)
        return lspo_error(LSPO_ERR_INPUT,
                          "a grid of %u devices in one process of %ld cores: at most %d per core run here; lspo sim "
                          "simulates it, and mpirun -n %u runs it on several machines",
                          peers, cores, PEERS_PER_CORE_MAX, peers);
    const int ranks = lspo_mail_size(options->mail);
    if (options->mail && (uint32_t)ranks != peers)
        return lspo_error(LSPO_ERR_INPUT, "a grid of %u devices needs as many ranks, not %d: mpirun -n %u", peers,
                          ranks, peers);
    if (!options->mail && strcmp(options->device, "host") != 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "--device %s: in one process a grid runs on --device host only; each GPU needs a rank of its "
                          "own: mpirun -n %u lspo run",
                          options->device, peers);
    return LSPO_OK;
}

bool lspo_grid_is_for(const lspo_plan_t *plan)
{
    return plan->peer_kinds != NULL || lspo_policy_peers(plan->policy, &plan->workload) > 1;
}

lspo_status_t lspo_grid_create(const lspo_plan_t *plan, const lspo_grid_options_t *options, lspo_grid_t **grid_out)
{
    const uint32_t peers = lspo_policy_peers(plan->policy, &plan->workload);
    lspo_status_t status = check(options, peers);
    if (status != LSPO_OK)
        return status;
    lspo_grid_t *grid = calloc(1, sizeof *grid);
    if (grid)
        grid->peers = calloc(peers, sizeof *grid->peers);
    if (!grid || !grid->peers) {
        free(grid);
        return lspo_no_memory("a grid of %u devices", peers);
    }
    grid->plan = plan;
    grid->mail = options->mail;
    grid->peer_count = peers;
    grid->first_here = (uint32_t)lspo_mail_rank(options->mail);
    grid->here_count = options->mail ? 1 : peers;
    lspo_grid_set_part(grid);
    if (grid->mail)
        status = lspo_grid_check_letters(grid);
    if (status == LSPO_OK && grid->mail)
        status = lspo_grid_check_alike(grid, options);
    if (status == LSPO_OK)
        status = open_peers(grid, options);
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
    free(grid->topology);
    free(grid->peers);
    free(grid);
}

lspo_status_t lspo_grid_reset(lspo_grid_t *grid)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t p = grid->first_here; is_here(grid, p) && status == LSPO_OK; p++)
        status = lspo_session_reset(grid->peers[p].session);
    return status;
}

lspo_status_t lspo_grid_continue(lspo_grid_t *grid, const lspo_plan_t *plan)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t p = grid->first_here; is_here(grid, p) && status == LSPO_OK; p++)
        status = lspo_session_continue(grid->peers[p].session, plan);
    if (status == LSPO_OK)
        grid->plan = plan;
    return status;
}

/* ---- ops ---- */

/* To another session of this process, or to a rank. */
static lspo_status_t deliver(const lspo_grid_t *grid, lspo_grid_peer_t *peer, const lspo_op_t *op, uint32_t to)
{
    lspo_status_t status = lspo_session_pack(peer->session, op, to, &peer->message);
    if (status != LSPO_OK)
        return status;
    return grid->mail ? lspo_grid_mail_send(grid, op, to, &peer->message)
                      : lspo_session_unpack(grid->peers[to].session, op, peer->place.peer, &peer->message);
}

static lspo_status_t deliver_all(const lspo_grid_t *grid, lspo_grid_peer_t *peer, const lspo_op_t *op)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t to = 0; to < grid->peer_count && status == LSPO_OK; to++)
        if (grid->plan->policy->receives(grid->plan, op, to))
            status = deliver(grid, peer, op, to);
    return status;
}

/* A link of a file's peers has latencies that are ops of their own. */
static double network_time_s(const lspo_grid_t *grid, const lspo_grid_peer_t *peer, const lspo_op_t *op)
{
    const lspo_device_caps_t *caps = lspo_device_caps(peer->device);
    const lspo_work_t *work = &grid->plan->works[op->work];
    lspo_peer_link_t link = {.Bps = caps->net_Bps, .latency_s = caps->net_latency_s};
    if (work->from_kind > 0)
        link = *lspo_network_link(&grid->plan->network, work->from_kind - 1U, work->to_kind - 1U);
    return work->kernels[0].count * link.latency_s + (link.Bps > 0 ? (double)lspo_work_link_bytes(work) / link.Bps : 0);
}

/* Of a message that has been delivered; a rank says when its time is over. */
static lspo_status_t delay(const lspo_grid_t *grid, const lspo_grid_peer_t *peer, const lspo_op_t *op)
{
    const lspo_session_message_t nothing = {0};
    lspo_status_t status = LSPO_OK;
    lspo_device_pace(peer->device, lspo_now_ns(), network_time_s(grid, peer, op));
    for (uint32_t to = 0; grid->mail && to < grid->peer_count && status == LSPO_OK; to++)
        if (grid->plan->policy->receives(grid->plan, op, to))
            status = lspo_grid_mail_send(grid, op, to, &nothing);
    return status;
}

/* In one process everything is copied at once, and the op then takes the time of the network: nobody reads it before it
 * has ended.  A rank waits for that time before it sends, since the receiver goes on when it has come. */
static lspo_status_t send(const lspo_grid_t *grid, lspo_grid_peer_t *peer, const lspo_op_t *op)
{
    const double time_s = network_time_s(grid, peer, op);
    const uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = lspo_session_begin_send(peer->session, op);
    if (grid->mail)
        lspo_device_pace(peer->device, start_ns, time_s);
    if (status == LSPO_OK)
        status = deliver_all(grid, peer, op);
    if (!grid->mail)
        lspo_device_pace(peer->device, start_ns, time_s);
    return status == LSPO_OK ? lspo_session_end_send(peer->session, op) : status;
}

lspo_status_t lspo_grid_run_op(void *grid_void, const lspo_op_t *op)
{
    const lspo_grid_t *grid = grid_void;
    const lspo_lane_t *lane = &grid->plan->lanes.list[op->lane];
    lspo_grid_peer_t *peer = &grid->peers[lane->peer];
    if (op->kind == LSPO_OP_SEND && op->variant == LSPO_VARIANT_DELAY)
        return delay(grid, peer, op);
    if (op->kind == LSPO_OP_SEND)
        return send(grid, peer, op);
    if (lane->kind != LSPO_LANE_GPU || lspo_device_is_asynchronous(peer->device))
        return lspo_session_run_op(peer->session, op);
    const double cpu_s = lspo_lane_cpu_s();
    const uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = lspo_session_run_op(peer->session, op);
    const double op_cpu_s = lspo_lane_cpu_s() - cpu_s;
    peer->busy_s += (double)(lspo_now_ns() - start_ns) * 1e-9;
    peer->cpu_s += op_cpu_s;
    if (peer->speed < 1)
        lspo_device_pace(peer->device, start_ns, op_cpu_s / peer->speed);
    return status;
}

lspo_status_t lspo_grid_finish_op(void *grid_void, const lspo_op_t *op)
{
    const lspo_grid_t *grid = grid_void;
    return op->kind == LSPO_OP_SEND
               ? LSPO_OK
               : lspo_session_finish_op(grid->peers[grid->plan->lanes.list[op->lane].peer].session, op);
}

void lspo_grid_enter_lane(void *grid_void, const lspo_lane_t *lane)
{
    const lspo_grid_t *grid = grid_void;
    lspo_topology_enter(&grid->peers[lane->peer].topology, (lspo_lane_kind_t)lane->kind);
    lspo_lane_flush_denormals();
}

/* ---- results ---- */

lspo_status_t lspo_grid_losses(const lspo_grid_t *grid, double *losses_out)
{
    const uint32_t count = grid->plan->workload.iterations;
    for (uint32_t i = 0; i < count; i++)
        losses_out[i] = 0;
    for (uint32_t p = grid->first_here; is_here(grid, p); p++)
        for (uint32_t i = 0; i < count; i++)
            losses_out[i] += lspo_session_losses(grid->peers[p].session)[i];
    return grid->mail ? lspo_grid_add_up(grid, count, losses_out) : LSPO_OK;
}

/* One batch through the first replica; the loss comes to the first peer. */
static lspo_status_t evaluate(const lspo_grid_t *grid, uint32_t batch, uint32_t batches, void *x, double *loss)
{
    const uint32_t pipeline = grid->peers[0].place.peer_count;
    const size_t bytes = lspo_session_boundary_bytes(grid->peers[grid->first_here].session);
    lspo_status_t status = LSPO_OK;
    for (uint32_t p = 0; p < pipeline && status == LSPO_OK; p++) {
        if (p > 0 && grid->mail)
            status = lspo_grid_pass(grid, p - 1, p, x, bytes);
        if (status == LSPO_OK && is_here(grid, p))
            status = lspo_session_held_out_part(grid->peers[p].session, batch, batches, x, loss);
    }
    if (status == LSPO_OK && pipeline > 1 && grid->mail)
        status = lspo_grid_pass(grid, pipeline - 1, 0, loss, sizeof *loss);
    return status;
}

lspo_status_t lspo_grid_held_out_loss(lspo_grid_t *grid, uint32_t batches, double *loss_out)
{
    double sum = 0;
    void *x = malloc(lspo_session_boundary_bytes(grid->peers[grid->first_here].session));
    lspo_status_t status = x ? LSPO_OK : lspo_no_memory("an evaluation");
    for (uint32_t i = 0; i < batches && status == LSPO_OK; i++) {
        double loss = 0;
        status = evaluate(grid, i, batches, x, &loss);
        sum += loss;
    }
    free(x);
    if (status == LSPO_OK)
        *loss_out = sum / batches;
    return status;
}

const lspo_executor_part_t *lspo_grid_part(const lspo_grid_t *grid)
{
    return grid->mail ? &grid->part : NULL;
}

uint32_t lspo_grid_peers(const lspo_grid_t *grid)
{
    return grid->peer_count;
}

lspo_device_t *lspo_grid_device(const lspo_grid_t *grid)
{
    return grid->peers[grid->first_here].device;
}

static void raise_to(uint64_t *most, uint64_t bytes)
{
    *most = bytes > *most ? bytes : *most;
}

lspo_grid_memory_t lspo_grid_memory(const lspo_grid_t *grid)
{
    lspo_grid_memory_t memory = {0};
    for (uint32_t p = grid->first_here; is_here(grid, p); p++) {
        const lspo_device_t *device = grid->peers[p].device;
        raise_to(&memory.most_gpu, lspo_device_peak_bytes(device));
        raise_to(&memory.most_held, lspo_device_most_held_bytes(device));
        raise_to(&memory.most_host, lspo_device_most_host_held_bytes(device));
        memory.all_held += lspo_device_most_held_bytes(device);
        memory.all_host += lspo_device_most_host_held_bytes(device);
    }
    return memory;
}

static uint64_t above(uint64_t peak_bytes, uint64_t base_bytes)
{
    return peak_bytes > base_bytes ? peak_bytes - base_bytes : 0;
}

lspo_status_t lspo_grid_host_memory(const lspo_grid_t *grid, const lspo_process_mark_t *mark,
                                    lspo_grid_host_t *host_out)
{
    const lspo_grid_memory_t memory = lspo_grid_memory(grid);
    const bool apart = lspo_device_is_asynchronous(lspo_grid_device(grid));
    double extra = (double)above(lspo_process_peak_bytes(mark), (apart ? 0 : memory.all_held) + memory.all_host);
    double peak = (double)memory.most_host + extra;
    double total = peak + (double)(apart ? memory.most_gpu : memory.most_held);
    double *const figures[] = {&extra, &peak, &total};
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        lspo_status_t status = lspo_grid_extreme(grid, false, figures[i]);
        if (status != LSPO_OK)
            return status;
    }
    *host_out = (lspo_grid_host_t){(uint64_t)extra, (uint64_t)peak, (uint64_t)total};
    return LSPO_OK;
}

double lspo_grid_core_share(const lspo_grid_t *grid)
{
    double cpu_s = 0, busy_s = 0;
    for (uint32_t p = grid->first_here; is_here(grid, p); p++) {
        cpu_s += grid->peers[p].cpu_s;
        busy_s += grid->peers[p].busy_s;
    }
    return busy_s > 0 ? fmin(cpu_s / busy_s, 1) : 1;
}

bool lspo_grid_has_cores(const lspo_grid_t *grid)
{
    return grid->has_cores;
}

const char *lspo_grid_topology(const lspo_grid_t *grid)
{
    return grid->topology;
}
