/* cmd_doctor.c - `lspo doctor`: what about this machine would make runs faster, or measurements quieter. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "base/table.h"
#include "base/wrap.h"
#include "cli/command.h"
#include "real/device/device.h"
#include "real/machine/doctor.h"

typedef struct {
    int format;
} doctor_request_t;

static const lspo_arg_t doctor_args[] = {
    LSPO_FORMAT_ARG("result", offsetof(doctor_request_t, format)),
};

static const lspo_arg_group_t doctor_group = LSPO_ARG_GROUP("options", doctor_args);

/* ---- GPUs ---- */

enum { COPIES = 24, COPY_BYTES = 64 << 20 };

/* Copies enough to look at the link in their midst; its rate once they are done. */
static lspo_status_t load_link(lspo_device_t *device, const char *address, lspo_findings_t *findings)
{
    void *there = NULL, *here = NULL;
    lspo_device_mark_t *begin = NULL, *end = NULL;
    uint64_t begin_ns = 0, end_ns = 0;
    lspo_status_t status = lspo_device_alloc(device, COPY_BYTES, &there);
    if (status == LSPO_OK)
        status = lspo_device_host_alloc(device, COPY_BYTES, &here);
    if (status == LSPO_OK)
        status = lspo_device_mark_create(device, &begin);
    if (status == LSPO_OK)
        status = lspo_device_mark_create(device, &end);
    if (status == LSPO_OK)
        status = lspo_device_enter_lane(device, LSPO_LANE_H2D);
    if (status != LSPO_OK)
        goto cleanup;
    lspo_device_copy(device, LSPO_COPY_H2D, there, here, COPY_BYTES);
    status = lspo_device_mark_record(device, LSPO_LANE_H2D, begin);
    for (int i = 0; i < COPIES; i++)
        lspo_device_copy(device, LSPO_COPY_H2D, there, here, COPY_BYTES);
    if (status == LSPO_OK)
        status = lspo_device_mark_record(device, LSPO_LANE_H2D, end);
    lspo_doctor_link("", "PCIe", address, true, findings);
    if (status == LSPO_OK)
        status = lspo_device_mark_wait(device, end);
    if (status == LSPO_OK)
        status = lspo_device_mark_time(device, begin, &begin_ns);
    if (status == LSPO_OK)
        status = lspo_device_mark_time(device, end, &end_ns);
    if (status == LSPO_OK && end_ns > begin_ns)
        lspo_findings_add(findings, "link", LSPO_FINDING_GOOD, "", "%.1f GB/s to the GPU, of pinned memory",
                          (double)COPIES * COPY_BYTES / (double)(end_ns - begin_ns));
cleanup:
    lspo_device_mark_destroy(device, begin);
    lspo_device_mark_destroy(device, end);
    lspo_device_host_free(device, here);
    lspo_device_free(device, there);
    return status;
}

/* A GPU that cannot be used is a finding; what is wrong with it is said on stderr. */
static void look_at_gpu(uint32_t number, lspo_findings_t *findings)
{
    const lspo_device_caps_t caps = {0};
    lspo_device_gpu_t gpu;
    lspo_device_t *device = NULL;
    if (lspo_device_gpu_at(number, &gpu) != LSPO_OK)
        return;
    if (lspo_device_open(gpu.name, &caps, &device) != LSPO_OK) {
        lspo_findings_add(findings, "GPU", LSPO_FINDING_BAD, "the message above says why", "%s (%s) cannot be used",
                          gpu.name, gpu.description);
        return;
    }
    lspo_findings_add(findings, "GPU", LSPO_FINDING_GOOD, "", "%s: %s", gpu.name, gpu.description);
    if (load_link(device, gpu.place, findings) != LSPO_OK)
        lspo_findings_add(findings, "link", LSPO_FINDING_BAD, "the message above says why", "%s: copies failed",
                          gpu.name);
    lspo_device_close(device);
}

static void look_at_gpus(lspo_findings_t *findings)
{
    uint32_t count = lspo_device_gpu_count();
    lspo_doctor_cards("", count > 0, findings);
    for (uint32_t number = 0; number < count; number++)
        look_at_gpu(number, findings);
}

/* ---- the answer ---- */

typedef struct {
    const char *subject, *verdict, *found, *advice;
} record_t;

#define TEXT(name)                                                                                                     \
    {                                                                                                                  \
#name, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(record_t, name)                                               \
    }
static const lspo_field_t fields[] = {TEXT(subject), TEXT(verdict), TEXT(found), TEXT(advice)};

static void print_headline(const lspo_findings_t *findings)
{
    size_t bad = 0, notes = 0;
    for (size_t i = 0; i < findings->count; i++) {
        bad += findings->list[i].verdict == LSPO_FINDING_BAD;
        notes += findings->list[i].verdict == LSPO_FINDING_NOTE;
    }
    if (bad + notes == 0)
        puts("Nothing stands in the way of fast runs and quiet measurements.\n");
    else
        printf("%zu to mend, %zu to know, of %zu looked at.\n\n", bad, notes, findings->count);
}

/* A line per finding, and its advice below. */
static void print_findings(const lspo_findings_t *findings)
{
    enum { USUAL_WIDTH = 110 };
    size_t terminal = lspo_terminal_width(stdout), width = terminal > 0 ? terminal : (size_t)USUAL_WIDTH;
    print_headline(findings);
    for (size_t i = 0; i < findings->count; i++) {
        const lspo_finding_t *finding = &findings->list[i];
        char text[1024], left[64];
        snprintf(left, sizeof left, "%-8s %s", lspo_finding_verdict_name(finding->verdict), finding->subject);
        snprintf(text, sizeof text, "%s%s%s", finding->found, finding->advice[0] != '\0' ? ": " : "", finding->advice);
        lspo_wrap_item(stdout, left, text, 36, width);
    }
}

static lspo_status_t write_records(const lspo_findings_t *findings, lspo_format_t format)
{
    record_t records[LSPO_FINDINGS_MAX];
    for (size_t i = 0; i < findings->count; i++)
        records[i] = (record_t){findings->list[i].subject, lspo_finding_verdict_name(findings->list[i].verdict),
                                findings->list[i].found, findings->list[i].advice};
    lspo_table_t table = {.fields = fields,
                          .field_count = sizeof fields / sizeof fields[0],
                          .records = records,
                          .record_bytes = sizeof records[0],
                          .record_count = findings->count};
    return lspo_table_write(&table, format, stdout);
}

static lspo_status_t doctor(int argc, char **argv)
{
    doctor_request_t request = {.format = LSPO_FORMAT_AUTO};
    lspo_positionals_t none;
    lspo_status_t status = lspo_command_parse(&lspo_command_doctor, argc, argv, &request, &none);
    if (status != LSPO_OK)
        return status;
    lspo_findings_t *findings = calloc(1, sizeof *findings);
    if (findings == NULL)
        return lspo_no_memory("findings");
    lspo_doctor_host("", 0.5, findings);
    look_at_gpus(findings);
    lspo_format_t format = lspo_format_resolve(request.format);
    if (format == LSPO_FORMAT_TABLE)
        print_findings(findings);
    else
        status = write_records(findings, format);
    free(findings);
    return status;
}

const lspo_command_t lspo_command_doctor = {
    .name = "doctor",
    .summary = "what about this machine slows runs down or disturbs measurements",
    .usage = "[options]",
    .about = "Look at this machine: other programs' load, CPU quota, clock, NUMA, memory, swap, huge pages, limits, "
             "counters, GPUs, their driver and the PCIe link under load; and say what would make runs faster, or "
             "measurements quieter. It changes nothing and takes about 1 s.",
    .examples = "lspo doctor\n"
                "lspo doctor --format json",
    .common = "format",
    .details = "bad: mend it before you measure. note: it may matter. unknown: the machine does not tell. The exit "
               "status is 0 whatever is found.",
    .groups = (const lspo_arg_group_t *const[]){&doctor_group, NULL},
    .runs_bare = true,
    .run = doctor,
};
