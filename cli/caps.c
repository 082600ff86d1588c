/* caps.c - overrides as caps of a device; see caps.h. */
#include "cli/caps.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* The machine fields that a device can be made to follow. */
static const struct {
    size_t machine_offset, caps_offset;
} cap_fields[] = {
    {offsetof(lspo_machine_t, link.h2d_Bps), offsetof(lspo_device_caps_t, h2d_Bps)},
    {offsetof(lspo_machine_t, link.d2h_Bps), offsetof(lspo_device_caps_t, d2h_Bps)},
    {offsetof(lspo_machine_t, link.h2d_latency_s), offsetof(lspo_device_caps_t, h2d_latency_s)},
    {offsetof(lspo_machine_t, link.d2h_latency_s), offsetof(lspo_device_caps_t, d2h_latency_s)},
    {offsetof(lspo_machine_t, link.h2d_duplex_loss), offsetof(lspo_device_caps_t, h2d_duplex_loss)},
    {offsetof(lspo_machine_t, link.d2h_duplex_loss), offsetof(lspo_device_caps_t, d2h_duplex_loss)},
    {offsetof(lspo_machine_t, net.Bps), offsetof(lspo_device_caps_t, net_Bps)},
    {offsetof(lspo_machine_t, net.latency_s), offsetof(lspo_device_caps_t, net_latency_s)},
    {offsetof(lspo_machine_t, cpu.adam_pps), offsetof(lspo_device_caps_t, cpu_pps)},
};

/* "section.key" of an assignment that lspo_machine_set() has accepted. */
static const lspo_machine_field_t *assigned_field(const char *assignment)
{
    size_t length = strcspn(assignment, "=");
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        char name[128];
        int name_length =
            snprintf(name, sizeof name, "%s.%s", lspo_machine_fields[i].section, lspo_machine_fields[i].key);
        if ((size_t)name_length == length && memcmp(name, assignment, length) == 0)
            return &lspo_machine_fields[i];
    }
    return NULL;
}

static lspo_status_t cap_set(const char *assignment, lspo_machine_t *scratch, lspo_device_caps_t *caps)
{
    lspo_status_t status = lspo_machine_set(scratch, assignment);
    if (status != LSPO_OK)
        return status;
    const lspo_machine_field_t *field = assigned_field(assignment);
    if (field != NULL && field->offset_bytes == offsetof(lspo_machine_t, gpu.memory_bytes)) {
        caps->memory_bytes = (uint64_t)scratch->gpu.memory_bytes;
        return LSPO_OK;
    }
    if (field != NULL && field->offset_bytes == offsetof(lspo_machine_t, cpu.memory_bytes)) {
        caps->host_memory_bytes = (uint64_t)scratch->cpu.memory_bytes;
        return LSPO_OK;
    }
    for (size_t i = 0; field != NULL && i < sizeof cap_fields / sizeof cap_fields[0]; i++)
        if (field->offset_bytes == cap_fields[i].machine_offset) {
            memcpy((char *)caps + cap_fields[i].caps_offset, (const char *)scratch + field->offset_bytes,
                   sizeof(double));
            return LSPO_OK;
        }
    return lspo_error(LSPO_ERR_INPUT,
                      "--set %s: a running device has only caps of the link, the network, cpu.adam_pps and memory",
                      assignment);
}

lspo_status_t lspo_overrides_caps(const lspo_overrides_t *overrides, lspo_device_caps_t *caps)
{
    lspo_machine_t scratch = {0};
    for (uint32_t i = 0; i < overrides->set_count; i++) {
        if (lspo_request_sets_model(overrides->sets[i]))
            continue;
        lspo_status_t status = cap_set(overrides->sets[i], &scratch, caps);
        if (status != LSPO_OK)
            return status;
    }
    if (overrides->link_Bps > 0.0)
        caps->h2d_Bps = caps->d2h_Bps = overrides->link_Bps;
    if (overrides->cpu_pps > 0.0)
        caps->cpu_pps = overrides->cpu_pps;
    if (overrides->gpu_memory_bytes > 0)
        caps->memory_bytes = overrides->gpu_memory_bytes;
    if (overrides->host_memory_bytes > 0)
        caps->host_memory_bytes = overrides->host_memory_bytes;
    return LSPO_OK;
}

lspo_status_t lspo_request_caps(const lspo_request_t *request, lspo_device_caps_t *caps)
{
    caps->sms = request->sms;
    caps->peak_bytes = request->peak_bytes;
    caps->nvtx = request->nvtx;
    return lspo_overrides_caps(&request->overrides, caps);
}
