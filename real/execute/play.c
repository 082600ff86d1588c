/* play.c - see play.h. */
#include "real/execute/play.h"

lspo_status_t lspo_play_place(const lspo_device_t *device, uint32_t cpu_threads, lspo_topology_t *topology_out,
                              lspo_workers_t **workers_out)
{
    uint32_t count;
    lspo_topology_t topology;
    lspo_workers_t *workers = NULL;
    lspo_status_t status = lspo_device_is_asynchronous(device)
                               ? lspo_topology_read_near(lspo_device_pci_address(device), &topology)
                               : lspo_topology_read(&topology);
    if (status != LSPO_OK)
        return status;
    status = lspo_topology_workers(&topology, cpu_threads, &count);
    if (status != LSPO_OK)
        return status;
    if (count > 1)
        status = lspo_workers_create(count, topology.worker_cpu, &workers);
    if (status != LSPO_OK)
        return status;
    *topology_out = topology;
    *workers_out = workers;
    return LSPO_OK;
}

typedef struct {
    lspo_device_mark_t *begin, *end;
} slot_t;

/* By kind of lane: a device has one of each.  What it sends to others has no stream. */
typedef struct {
    const lspo_play_t *play;
    const lspo_lanes_t *lanes;
    slot_t slots[LSPO_DEVICE_LANES][LSPO_ISSUED_MAX];
    lspo_status_t entered[LSPO_LANE_KIND_COUNT]; /* each lane writes and reads its own */
} player_t;

static lspo_lane_kind_t kind_of(const player_t *player, uint32_t lane)
{
    return (lspo_lane_kind_t)player->lanes->list[lane].kind;
}

static void enter_lane(void *context, const lspo_lane_t *lane)
{
    player_t *player = context;
    const lspo_play_t *play = player->play;
    if (play->enter_lane)
        play->enter_lane(play->context, lane);
    if (lane->kind < LSPO_DEVICE_LANES)
        player->entered[lane->kind] = lspo_device_enter_lane(play->device, (lspo_lane_kind_t)lane->kind);
}

static lspo_status_t run(void *context, const lspo_op_t *op)
{
    player_t *player = context;
    const lspo_play_t *play = player->play;
    const lspo_lane_kind_t kind = kind_of(player, op->lane);
    if (player->entered[kind] != LSPO_OK)
        return player->entered[kind];
    lspo_device_range_begin(play->device, lspo_op_kind_name((lspo_op_kind_t)op->kind));
    lspo_status_t status = play->run(play->context, op);
    lspo_device_range_end(play->device);
    return status;
}

static lspo_status_t finish(void *context, const lspo_op_t *op)
{
    const player_t *player = context;
    return player->play->finish(player->play->context, op);
}

static lspo_status_t begin(void *context, uint32_t lane, uint32_t slot)
{
    player_t *player = context;
    const lspo_lane_kind_t kind = kind_of(player, lane);
    return lspo_device_mark_record(player->play->device, kind, player->slots[kind][slot].begin);
}

static lspo_status_t issued(void *context, uint32_t lane, uint32_t slot)
{
    player_t *player = context;
    const lspo_lane_kind_t kind = kind_of(player, lane);
    return lspo_device_mark_record(player->play->device, kind, player->slots[kind][slot].end);
}

static lspo_status_t wait(void *context, uint32_t lane, uint32_t slot, uint64_t *start_ns_out, uint64_t *end_ns_out)
{
    player_t *player = context;
    lspo_device_t *device = player->play->device;
    const slot_t *marks = &player->slots[kind_of(player, lane)][slot];
    lspo_status_t status = lspo_device_mark_wait(device, marks->end);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_mark_time(device, marks->begin, start_ns_out);
    if (status != LSPO_OK)
        return status;
    return lspo_device_mark_time(device, marks->end, end_ns_out);
}

static uint32_t cut(void *context, lspo_op_id_t reached)
{
    const player_t *player = context;
    return player->play->cut(player->play->context, reached);
}

static lspo_status_t create_marks(player_t *player)
{
    lspo_device_t *device = player->play->device;
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        for (int i = 0; i < LSPO_ISSUED_MAX && lane != LSPO_LANE_CPU; i++) {
            lspo_status_t status = lspo_device_mark_create(device, &player->slots[lane][i].begin);
            if (status != LSPO_OK)
                return status;
            status = lspo_device_mark_create(device, &player->slots[lane][i].end);
            if (status != LSPO_OK)
                return status;
        }
    return LSPO_OK;
}

static void destroy_marks(player_t *player)
{
    for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
        for (int i = 0; i < LSPO_ISSUED_MAX; i++) {
            lspo_device_mark_destroy(player->play->device, player->slots[lane][i].end);
            lspo_device_mark_destroy(player->play->device, player->slots[lane][i].begin);
        }
}

/* A device has one stream for each of its lanes; of a part of a plan, a peer's lanes are those of a device. */
static lspo_status_t check_lanes(const lspo_plan_t *plan, const lspo_executor_part_t *part)
{
    if (part || lspo_lanes_are_default(&plan->lanes))
        return LSPO_OK;
    return lspo_error(
        LSPO_ERR_INPUT,
        "a plan with %u lanes cannot be run on one GPU, which has the lanes gpu, d2h, h2d and cpu; run it "
        "on --device host, or simulate it",
        plan->lanes.count);
}

static lspo_status_t play_on_streams(const lspo_plan_t *plan, const lspo_play_t *play, const atomic_int *stop,
                                     lspo_trace_t **trace_out)
{
    player_t player = {.play = play, .lanes = &plan->lanes};
    uint64_t room_bytes = play->part ? UINT64_MAX : lspo_device_room_bytes(play->device);
    const lspo_executor_calls_t calls = {
        .context = &player,
        .run = run,
        .enter_lane = enter_lane,
        .finish = play->finish ? finish : NULL,
        .part = play->part,
        .cut = play->cut ? cut : NULL,
        .row = play->row,
        .row_context = play->row_context,
        .depth =
            {[LSPO_LANE_GPU] = LSPO_ISSUED_MAX, [LSPO_LANE_D2H] = LSPO_ISSUED_MAX, [LSPO_LANE_H2D] = LSPO_ISSUED_MAX},
        .room_bytes = room_bytes < UINT64_MAX ? room_bytes : 0,
        .begin = begin,
        .issued = issued,
        .wait = wait};
    lspo_status_t status = check_lanes(plan, play->part);
    if (status != LSPO_OK)
        goto cleanup;
    status = create_marks(&player);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_execute_calls(plan, &calls, stop, trace_out);
cleanup:
    destroy_marks(&player);
    return status;
}

lspo_status_t lspo_play(const lspo_plan_t *plan, const lspo_play_t *play, const atomic_int *stop,
                        lspo_trace_t **trace_out)
{
    if (lspo_device_is_asynchronous(play->device))
        return play_on_streams(plan, play, stop, trace_out);
    const lspo_executor_calls_t calls = {.context = play->context,
                                         .run = play->run,
                                         .enter_lane = play->enter_lane,
                                         .part = play->part,
                                         .cut = play->cut,
                                         .row = play->row,
                                         .row_context = play->row_context};
    return lspo_execute_calls(plan, &calls, stop, trace_out);
}
