/* lane.c - see lane.h. */
#include "plan/lane.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static const char *const kind_names[LSPO_LANE_KIND_COUNT] = {
    [LSPO_LANE_GPU] = "gpu", [LSPO_LANE_D2H] = "d2h", [LSPO_LANE_H2D] = "h2d",
    [LSPO_LANE_CPU] = "cpu", [LSPO_LANE_NET] = "net", [LSPO_LANE_SSD] = "ssd",
};

const char *lspo_lane_kind_name(lspo_lane_kind_t kind)
{
    return (unsigned)kind < LSPO_LANE_KIND_COUNT ? kind_names[kind] : "?";
}

lspo_lane_kind_t lspo_lane_kind_parse(const char *text)
{
    int kind = 0;
    while (kind < LSPO_LANE_KIND_COUNT && strcmp(kind_names[kind], text) != 0)
        kind++;
    return (lspo_lane_kind_t)kind;
}

static bool is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strnlen(name, LSPO_LANE_NAME_BYTES);
    return length > 0 && length < LSPO_LANE_NAME_BYTES && strspn(name, allowed) == length;
}

static void make_name(lspo_lane_t *lane)
{
    char peer[16] = "", device[8] = "";
    if (lane->peer > 0)
        snprintf(peer, sizeof peer, "p%" PRIu32 ".", lane->peer);
    if (lane->device > 0)
        snprintf(device, sizeof device, "%u", lane->device);
    snprintf(lane->name, sizeof lane->name, "%s%s%s", peer, kind_names[lane->kind], device);
}

lspo_status_t lspo_lanes_add(lspo_lanes_t *lanes, const lspo_lane_t *lane, uint32_t *index_out)
{
    lspo_lane_t added = *lane;
    if (added.kind >= LSPO_LANE_KIND_COUNT)
        return lspo_error(LSPO_ERR_INPUT, "a lane of kind %u: there are %d kinds", added.kind, LSPO_LANE_KIND_COUNT);
    if (added.peer > LSPO_LANE_PEER_MAX)
        return lspo_error(LSPO_ERR_INPUT, "a lane of peer %" PRIu32 ": the highest is %d", added.peer,
                          LSPO_LANE_PEER_MAX);
    if (added.name[0] == '\0')
        make_name(&added);
    if (!is_name(added.name))
        return lspo_error(LSPO_ERR_INPUT,
                          "'%.*s' is not a lane name; allowed are 1 to %d letters, digits, '.', '_' and '-'",
                          LSPO_LANE_NAME_BYTES, added.name, LSPO_LANE_NAME_BYTES - 1);
    if (lanes->count == LSPO_LANES_MAX)
        return lspo_error(LSPO_ERR_INPUT, "lane '%s' is one too many: at most %d are allowed", added.name,
                          LSPO_LANES_MAX);
    lspo_status_t status =
        lspo_array_grow(&lanes->list, &lanes->capacity, (size_t)lanes->count + 1, sizeof *lanes->list, "lanes");
    if (status != LSPO_OK)
        return status;
    lanes->list[lanes->count] = added;
    *index_out = lanes->count++;
    return LSPO_OK;
}

lspo_status_t lspo_lanes_create(lspo_lanes_t *lanes_out)
{
    lspo_lanes_t lanes = {0};
    uint32_t index;
    for (int kind = 0; kind < LSPO_DEVICE_LANES; kind++) {
        lspo_status_t status = lspo_lanes_add(&lanes, &(lspo_lane_t){.kind = (uint8_t)kind}, &index);
        if (status != LSPO_OK) {
            lspo_lanes_release(&lanes);
            return status;
        }
    }
    *lanes_out = lanes;
    return LSPO_OK;
}

lspo_status_t lspo_lanes_copy(const lspo_lanes_t *lanes, lspo_lanes_t *copy_out)
{
    lspo_lane_t *list = malloc(((size_t)lanes->count + 1) * sizeof *list);
    if (!list)
        return lspo_no_memory("%" PRIu32 " lanes", lanes->count);
    if (lanes->count > 0)
        memcpy(list, lanes->list, lanes->count * sizeof *list);
    *copy_out = (lspo_lanes_t){.list = list, .count = lanes->count, .capacity = lanes->count + 1};
    return LSPO_OK;
}

void lspo_lanes_release(lspo_lanes_t *lanes)
{
    free(lanes->list);
    *lanes = (lspo_lanes_t){0};
}

static bool is_same(const lspo_lane_t *a, const lspo_lane_t *b)
{
    return a->kind == b->kind && a->device == b->device && a->peer == b->peer && strcmp(a->name, b->name) == 0;
}

bool lspo_lanes_equal(const lspo_lanes_t *a, const lspo_lanes_t *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!is_same(&a->list[i], &b->list[i]))
            return false;
    return true;
}

bool lspo_lanes_are_default(const lspo_lanes_t *lanes)
{
    if (lanes->count != LSPO_DEVICE_LANES)
        return false;
    for (uint32_t i = 0; i < LSPO_DEVICE_LANES; i++) {
        lspo_lane_t lane = {.kind = (uint8_t)i};
        make_name(&lane);
        if (!is_same(&lanes->list[i], &lane))
            return false;
    }
    return true;
}

uint32_t lspo_lanes_of_kind(const lspo_lanes_t *lanes, lspo_lane_kind_t kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lanes->count; i++)
        count += lanes->list[i].kind == kind;
    return count;
}

/* ---- by name ---- */

static int compare_name(const void *left, const void *right)
{
    const lspo_lane_t *a = *(const lspo_lane_t *const *)left, *b = *(const lspo_lane_t *const *)right;
    int order = strcmp(a->name, b->name);
    return order != 0 ? order : (a > b) - (a < b);
}

lspo_status_t lspo_lanes_sort(const lspo_lanes_t *lanes, const lspo_lane_t ***by_name_out)
{
    const lspo_lane_t **by_name = malloc(((size_t)lanes->count + 1) * sizeof *by_name);
    if (!by_name)
        return lspo_no_memory("the names of %" PRIu32 " lanes", lanes->count);
    for (uint32_t i = 0; i < lanes->count; i++)
        by_name[i] = &lanes->list[i];
    qsort(by_name, lanes->count, sizeof *by_name, compare_name);
    *by_name_out = by_name;
    return LSPO_OK;
}

uint32_t lspo_lanes_find(const lspo_lanes_t *lanes, const lspo_lane_t *const *by_name, const char *name)
{
    uint32_t low = 0, high = lanes->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(by_name[middle]->name, name);
        if (order == 0)
            return (uint32_t)(by_name[middle] - lanes->list);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return lanes->count;
}

static lspo_status_t check_names(const lspo_lanes_t *lanes, const lspo_lane_t *const *by_name)
{
    for (uint32_t i = 0; i < lanes->count; i++) {
        if (by_name[i]->kind >= LSPO_LANE_KIND_COUNT || by_name[i]->peer > LSPO_LANE_PEER_MAX ||
            !is_name(by_name[i]->name))
            return lspo_error(LSPO_ERR_CHECK, "lane %u has kind %u, peer %" PRIu32 " and the name '%.*s'",
                              (unsigned)(by_name[i] - lanes->list), by_name[i]->kind, by_name[i]->peer,
                              LSPO_LANE_NAME_BYTES, by_name[i]->name);
        if (i > 0 && strcmp(by_name[i - 1]->name, by_name[i]->name) == 0)
            return lspo_error(LSPO_ERR_CHECK, "lanes %u and %u have the same name '%s'",
                              (unsigned)(by_name[i - 1] - lanes->list), (unsigned)(by_name[i] - lanes->list),
                              by_name[i]->name);
    }
    return LSPO_OK;
}

lspo_status_t lspo_lanes_check(const lspo_lanes_t *lanes)
{
    if (lanes->count == 0 || lanes->count > LSPO_LANES_MAX)
        return lspo_error(LSPO_ERR_CHECK, "a list of %" PRIu32 " lanes: 1 to %d are allowed", lanes->count,
                          LSPO_LANES_MAX);
    const lspo_lane_t **by_name = NULL;
    lspo_status_t status = lspo_lanes_sort(lanes, &by_name);
    if (status != LSPO_OK)
        return status;
    status = check_names(lanes, by_name);
    free(by_name);
    return status;
}
