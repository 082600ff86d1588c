/* op.c - the table of op kinds and their properties. */
#include "plan/op.h"

#include <string.h>

const lspo_op_kind_info_t lspo_op_kinds[LSPO_OP_KIND_COUNT] = {
    [LSPO_OP_FWD] = {"FWD", LSPO_LANE_GPU, "#56b4e9"},
    [LSPO_OP_RECOMPUTE] = {"RECOMPUTE", LSPO_LANE_GPU, "#bfe0f5"},
    [LSPO_OP_BWD] = {"BWD", LSPO_LANE_GPU, "#0072b2"},
    [LSPO_OP_COMPRESS] = {"COMPRESS", LSPO_LANE_GPU, "#f0e442"},
    [LSPO_OP_NORM] = {"NORM", LSPO_LANE_GPU, "#000000"},
    [LSPO_OP_D2H] = {"D2H", LSPO_LANE_D2H, "#e69f00"},
    [LSPO_OP_UPD] = {"UPD", LSPO_LANE_CPU, "#009e73"},
    [LSPO_OP_UPD_GPU] = {"UPD_GPU", LSPO_LANE_GPU, "#66c2a5"},
    [LSPO_OP_H2D] = {"H2D", LSPO_LANE_H2D, "#d55e00"},
    [LSPO_OP_APPLY] = {"APPLY", LSPO_LANE_GPU, "#cc79a7"},
    [LSPO_OP_SWAP_IN] = {"SWAP_IN", LSPO_LANE_H2D, "#e8a27c"},
    [LSPO_OP_SWAP_OUT] = {"SWAP_OUT", LSPO_LANE_D2H, "#f2c879"},
    [LSPO_OP_PROJECT] = {"PROJECT", LSPO_LANE_GPU, "#8c8c8c"},
    [LSPO_OP_SEND] = {"SEND", LSPO_LANE_NET, "#7f3c8d"},
    [LSPO_OP_READ] = {"READ", LSPO_LANE_SSD, "#8b5a2b"},
    [LSPO_OP_WRITE] = {"WRITE", LSPO_LANE_SSD, "#c9a27c"},
    [LSPO_OP_SELECT] = {"SELECT", LSPO_LANE_CPU, "#5fd3b0"},
    [LSPO_OP_MAP] = {"MAP", LSPO_LANE_CPU, "#a6761d"},
};

const char *lspo_op_kind_name(lspo_op_kind_t kind)
{
    return (unsigned)kind < LSPO_OP_KIND_COUNT ? lspo_op_kinds[kind].name : "?";
}

lspo_op_kind_t lspo_op_kind_parse(const char *text)
{
    int kind = 0;
    while (kind < LSPO_OP_KIND_COUNT && strcmp(lspo_op_kinds[kind].name, text) != 0)
        kind++;
    return (lspo_op_kind_t)kind;
}
