/* room.c - see room.h. */
#include "real/execute/room.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/units.h"

#define ROOM_MAX (INT64_MAX / 2) /* more than any op needs, and sums with it do not overflow */

static int64_t taken(const lspo_op_t *op)
{
    return (int64_t)op->gpu_alloc_bytes;
}

static int64_t kept(const lspo_op_t *op)
{
    return taken(op) - (int64_t)op->gpu_free_bytes;
}

uint64_t lspo_room_least_bytes(const lspo_plan_t *plan)
{
    int64_t before = 0, most = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        most = before + taken(op) > most ? before + taken(op) : most;
        before += kept(op);
    }
    return (uint64_t)most;
}

static lspo_status_t check_room(const lspo_plan_t *plan, uint64_t room_bytes)
{
    char least[32], there[32], lacking[32];
    uint64_t least_bytes = lspo_room_least_bytes(plan);
    if (room_bytes >= least_bytes)
        return LSPO_OK;
    return lspo_error(
        LSPO_ERR_FIT,
        "device memory: activations, gradients and messages need %s even if ops run one after the other, and %s are "
        "left for them: %s short",
        lspo_format_quantity((double)least_bytes, LSPO_UNIT_BYTES, least, sizeof least),
        lspo_format_quantity((double)room_bytes, LSPO_UNIT_BYTES, there, sizeof there),
        lspo_format_quantity((double)(least_bytes - room_bytes), LSPO_UNIT_BYTES, lacking, sizeof lacking));
}

lspo_status_t lspo_room_create(const lspo_plan_t *plan, uint64_t room_bytes, lspo_room_t *room_out)
{
    lspo_status_t status = check_room(plan, room_bytes);
    if (status != LSPO_OK)
        return status;
    lspo_room_t room = {.plan = plan, .room_bytes = room_bytes < ROOM_MAX ? (int64_t)room_bytes : ROOM_MAX};
    room.serial_bytes = calloc((size_t)plan->op_count + 1, sizeof *room.serial_bytes);
    room.begun = calloc((size_t)plan->op_count + 1, sizeof *room.begun);
    room.coming_bytes = calloc((size_t)plan->lanes.count + 1, sizeof *room.coming_bytes);
    if (!room.serial_bytes || !room.begun || !room.coming_bytes) {
        lspo_room_release(&room);
        return lspo_no_memory("the room of %" PRIu32 " ops", plan->op_count);
    }
    int64_t before = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        room.serial_bytes[id] = before + taken(&plan->ops[id]);
        before += kept(&plan->ops[id]);
    }
    *room_out = room;
    return LSPO_OK;
}

void lspo_room_release(lspo_room_t *room)
{
    free(room->coming_bytes);
    free(room->begun);
    free(room->serial_bytes);
    *room = (lspo_room_t){0};
}

/* Condition 2, from the highest id that has begun downward. */
static bool others_can(const lspo_room_t *room, lspo_op_id_t op)
{
    int64_t above = 0;
    lspo_op_id_t end = op + 1 > room->first_untouched ? op + 1 : room->first_untouched;
    for (lspo_op_id_t id = end; id-- > room->first_open;) {
        if (id == op || room->begun[id])
            above += kept(&room->plan->ops[id]);
        else if (room->serial_bytes[id] > room->room_bytes - above)
            return false;
    }
    return true;
}

/* An op that frees at least what it takes never harms the others. */
bool lspo_room_admits(const lspo_room_t *room, lspo_op_id_t id)
{
    const lspo_op_t *op = &room->plan->ops[id];
    if (taken(op) == 0)
        return true;
    return taken(op) <= room->room_bytes - (room->held_bytes - room->coming_bytes[op->lane]) && others_can(room, id);
}

void lspo_room_begin(lspo_room_t *room, lspo_op_id_t id)
{
    const lspo_op_t *op = &room->plan->ops[id];
    room->held_bytes += taken(op);
    room->coming_bytes[op->lane] += (int64_t)op->gpu_free_bytes;
    room->begun[id] = true;
    if (id >= room->first_untouched)
        room->first_untouched = id + 1;
    while (room->first_open < room->plan->op_count && room->begun[room->first_open])
        room->first_open++;
}

void lspo_room_end(lspo_room_t *room, lspo_op_id_t id)
{
    const lspo_op_t *op = &room->plan->ops[id];
    room->held_bytes -= (int64_t)op->gpu_free_bytes;
    room->coming_bytes[op->lane] -= (int64_t)op->gpu_free_bytes;
}
