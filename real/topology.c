/* topology.c - see topology.h. */
#include "real/topology.h"

#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc 2.36 has no wrapper.  Layout: sched_setattr(2). */
typedef struct {
    uint32_t size, sched_policy;
    uint64_t sched_flags;
    int32_t sched_nice;
    uint32_t sched_priority;
    uint64_t sched_runtime, sched_deadline, sched_period;
} sched_attributes_t;

static const uint64_t link_slice_ns = 100000;

/* The core of a lane among `core_count`, counted from the GPU lane's. */
static uint32_t lane_core(lspo_lane_t lane, uint32_t core_count)
{
    static const uint32_t with_three[LSPO_LANE_COUNT] = {
        [LSPO_LANE_GPU] = 0, [LSPO_LANE_CPU] = 1, [LSPO_LANE_D2H] = 2, [LSPO_LANE_H2D] = 2};
    static const uint32_t with_four[LSPO_LANE_COUNT] = {
        [LSPO_LANE_GPU] = 0, [LSPO_LANE_CPU] = 1, [LSPO_LANE_D2H] = 2, [LSPO_LANE_H2D] = 3};
    if (core_count < 2)
        return 0;
    if (core_count == 2)
        return lane == LSPO_LANE_GPU ? 0 : 1;
    return core_count == 3 ? with_three[lane] : with_four[lane];
}

static void describe(lspo_topology_t *topology)
{
    int length = snprintf(topology->description, sizeof topology->description, "%u core%s:", topology->core_count,
                          topology->core_count == 1 ? "" : "s");
    for (int lane = 0; lane < LSPO_LANE_COUNT; lane++)
        if (length > 0 && (size_t)length < sizeof topology->description)
            length +=
                snprintf(topology->description + length, sizeof topology->description - (size_t)length,
                         "%s %s on cpu %d", lane ? "," : "", lspo_lane_name((lspo_lane_t)lane), topology->cpu[lane]);
}

static lspo_status_t place_lanes(hwloc_topology_t machine, lspo_topology_t *topology)
{
    /* A machine may hide its cores and show hardware threads only. */
    hwloc_obj_type_t type = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    int count = hwloc_get_nbobjs_by_type(machine, type);
    if (count < 1)
        return lspo_error(LSPO_ERR_DEVICE, "hwloc finds no core that this process may use");
    topology->core_count = (uint32_t)count;
    for (int lane = 0; lane < LSPO_LANE_COUNT; lane++) {
        hwloc_obj_t core = hwloc_get_obj_by_type(machine, type, lane_core((lspo_lane_t)lane, (uint32_t)count));
        topology->cpu[lane] = hwloc_bitmap_first(core->cpuset);
    }
    describe(topology);
    return LSPO_OK;
}

lspo_status_t lspo_topology_read(lspo_topology_t *topology_out)
{
    hwloc_topology_t machine;
    if (hwloc_topology_init(&machine) != 0)
        return lspo_error(LSPO_ERR_DEVICE, "hwloc cannot start");
#if HWLOC_API_VERSION >= 0x00020500
    hwloc_topology_set_flags(machine, HWLOC_TOPOLOGY_FLAG_IS_THISSYSTEM | HWLOC_TOPOLOGY_FLAG_RESTRICT_TO_CPUBINDING);
#endif
    lspo_status_t status = LSPO_OK;
    lspo_topology_t topology = {0};
    if (hwloc_topology_load(machine) != 0)
        status = lspo_error(LSPO_ERR_DEVICE, "hwloc cannot read the cores of this machine");
    else
        status = place_lanes(machine, &topology);
    hwloc_topology_destroy(machine);
    if (status == LSPO_OK)
        *topology_out = topology;
    return status;
}

void lspo_topology_enter(const lspo_topology_t *topology, lspo_lane_t lane)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (topology->cpu[lane] < CPU_SETSIZE)
        CPU_SET((size_t)topology->cpu[lane], &set);
    sched_setaffinity(0, sizeof set, &set);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    if (lane == LSPO_LANE_D2H || lane == LSPO_LANE_H2D) {
        sched_attributes_t attributes = {.size = sizeof attributes,
                                         .sched_policy = SCHED_OTHER,
                                         .sched_nice = getpriority(PRIO_PROCESS, 0),
                                         .sched_runtime = link_slice_ns};
        syscall(SYS_sched_setattr, 0, &attributes, 0);
    }
}
