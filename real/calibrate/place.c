/* place.c - describe the measured machine by hwloc: caches, NUMA nodes, and the place of the GPU. */
#include <hwloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "real/calibrate/state.h"
#include "real/machine/apart.h"

static void append(char *text, size_t text_bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t text_bytes, const char *format, ...)
{
    size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, text_bytes - length, format, arguments);
    va_end(arguments);
}

/* The data caches above a core, from its own outward. */
static void describe_caches(hwloc_topology_t machine, int cpu, char *text, size_t text_bytes)
{
    hwloc_obj_t object = hwloc_get_pu_obj_by_os_index(machine, (unsigned)cpu);
    append(text, text_bytes, "caches of the GPU lane's core:");
    for (; object; object = object->parent) {
        char size[48];
        if (!hwloc_obj_type_is_dcache(object->type))
            continue;
        lspo_format_quantity((double)object->attr->cache.size, LSPO_UNIT_BYTES, size, sizeof size);
        append(text, text_bytes, " L%u %s of %d cores,", object->attr->cache.depth, size,
               hwloc_get_nbobjs_inside_cpuset_by_type(machine, object->cpuset, HWLOC_OBJ_CORE));
    }
    append(text, text_bytes, " %d NUMA nodes\n", hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_NUMANODE));
}

/* Display controllers that can compute (PCI class 0x0300 and 0x0302), with bandwidth and NUMA node. */
static void describe_gpus(hwloc_topology_t machine, char *text, size_t text_bytes)
{
    int found = 0;
    for (hwloc_obj_t device = NULL; (device = hwloc_get_next_pcidev(machine, device)) != NULL;) {
        const struct hwloc_pcidev_attr_s *pci = &device->attr->pcidev;
        if (pci->class_id != 0x0300 && pci->class_id != 0x0302)
            continue;
        hwloc_obj_t near = hwloc_get_non_io_ancestor_obj(machine, device);
        append(text, text_bytes, "GPU %04x:%02x:%02x.%01x", pci->domain, pci->bus, pci->dev, pci->func);
        if (pci->linkspeed > 0)
            append(text, text_bytes, ", link %.1f GB/s", (double)pci->linkspeed);
        if (near && near->nodeset && hwloc_bitmap_first(near->nodeset) >= 0)
            append(text, text_bytes, ", NUMA node %d", hwloc_bitmap_first(near->nodeset));
        append(text, text_bytes, "\n");
        found++;
    }
    if (found == 0)
        append(text, text_bytes, "no GPU on PCIe\n");
}

/* Without values that hwloc does not know. */
static lspo_status_t describe(const void *context, void *result)
{
    const lspo_calibration_t *calibration = context;
    char *text = result;
    const size_t text_bytes = sizeof calibration->result->topology;
    hwloc_topology_t machine;
    snprintf(text, text_bytes, "%s\n", calibration->topology->description);
    if (hwloc_topology_init(&machine) != 0)
        return LSPO_OK;
    hwloc_topology_set_io_types_filter(machine, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
    if (hwloc_topology_load(machine) == 0) {
        describe_caches(machine, calibration->topology->cpu[LSPO_LANE_GPU], text, text_bytes);
        describe_gpus(machine, text, text_bytes);
    }
    hwloc_topology_destroy(machine);
    return LSPO_OK;
}

lspo_status_t lspo_calibrate_place(lspo_calibration_t *calibration)
{
    return lspo_call_apart("describe this machine", describe, calibration, calibration->result->topology,
                           sizeof calibration->result->topology);
}
