#include "plan/op.h"

#include <string.h>

static const char *const kind_names[LSPO_OP_KIND_COUNT] = {
    [LSPO_OP_FWD] = "FWD",           [LSPO_OP_RECOMPUTE] = "RECOMPUTE", [LSPO_OP_BWD] = "BWD",
    [LSPO_OP_COMPRESS] = "COMPRESS", [LSPO_OP_NORM] = "NORM",           [LSPO_OP_D2H] = "D2H",
    [LSPO_OP_UPD] = "UPD",           [LSPO_OP_UPD_GPU] = "UPD_GPU",     [LSPO_OP_H2D] = "H2D",
    [LSPO_OP_APPLY] = "APPLY",       [LSPO_OP_SWAP_IN] = "SWAP_IN",     [LSPO_OP_SWAP_OUT] = "SWAP_OUT",
    [LSPO_OP_PROJECT] = "PROJECT",
};

static const char *const lane_names[LSPO_LANE_COUNT] = {
    [LSPO_LANE_GPU] = "gpu",
    [LSPO_LANE_D2H] = "d2h",
    [LSPO_LANE_H2D] = "h2d",
    [LSPO_LANE_CPU] = "cpu",
};

static int find_name(const char *const *names, int count, const char *text)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], text) == 0) {
            return i;
        }
    }
    return count;
}

const char *lspo_op_kind_name(lspo_op_kind_t kind)
{
    return (unsigned)kind < LSPO_OP_KIND_COUNT ? kind_names[kind] : "?";
}

lspo_op_kind_t lspo_op_kind_parse(const char *text)
{
    return (lspo_op_kind_t)find_name(kind_names, LSPO_OP_KIND_COUNT, text);
}

const char *lspo_lane_name(lspo_lane_t lane)
{
    return (unsigned)lane < LSPO_LANE_COUNT ? lane_names[lane] : "?";
}

lspo_lane_t lspo_lane_parse(const char *text)
{
    return (lspo_lane_t)find_name(lane_names, LSPO_LANE_COUNT, text);
}
