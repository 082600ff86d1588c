/* doctor.c - what about this machine would make runs faster, or measurements quieter; see doctor.h. */
#include "real/machine/doctor.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "real/machine/counters.h"
#include "real/machine/cpu_quota.h"
#include "real/machine/host_memory.h"

void lspo_findings_add(lspo_findings_t *findings, const char *subject, lspo_finding_verdict_t verdict,
                       const char *advice, const char *format, ...)
{
    va_list arguments;
    if (findings->count == LSPO_FINDINGS_MAX)
        return;
    lspo_finding_t *finding = &findings->list[findings->count++];
    *finding = (lspo_finding_t){.subject = subject, .verdict = verdict, .advice = advice};
    va_start(arguments, format);
    vsnprintf(finding->found, sizeof finding->found, format, arguments);
    va_end(arguments);
}

const char *lspo_finding_verdict_name(lspo_finding_verdict_t verdict)
{
    static const char *const names[] = {"good", "note", "bad", "unknown"};
    return names[verdict];
}

/* ---- small files of the kernel ---- */

/* The first bytes of a file, up to `capacity`; false if there is none. */
static bool read_text(const char *root, const char *path, char *text, size_t capacity)
{
    char whole[512];
    int length = snprintf(whole, sizeof whole, "%s%s", root, path);
    FILE *file = length > 0 && (size_t)length < sizeof whole ? fopen(whole, "r") : NULL;
    if (file == NULL)
        return false;
    size_t count = fread(text, 1, capacity - 1, file);
    fclose(file);
    text[count] = '\0';
    return count > 0;
}

static bool read_line(const char *root, const char *path, char *line, size_t capacity)
{
    if (!read_text(root, path, line, capacity))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return line[0] != '\0';
}

static bool read_number(const char *root, const char *path, double *number_out)
{
    char line[128], *end;
    if (!read_line(root, path, line, sizeof line))
        return false;
    *number_out = strtod(line, &end);
    return end != line;
}

static const char *bytes(double value, char buffer[32])
{
    lspo_format_quantity(value, LSPO_UNIT_BYTES, buffer, 32);
    return buffer;
}

/* ---- processors ---- */

static void look_at_quota(const char *root, lspo_findings_t *findings)
{
    static const char *const subject = "CPU quota";
    uint32_t quota = lspo_cpu_quota(root);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (quota == UINT32_MAX || quota >= online)
        lspo_findings_add(findings, subject, LSPO_FINDING_GOOD, "", "none below the %ld CPUs", online);
    else
        lspo_findings_add(findings, subject, LSPO_FINDING_BAD,
                          "threads beyond the quota are all stopped for a part of each 100 ms: ask for more CPUs, or "
                          "give as many cores (taskset) as the quota has",
                          "%u of %ld CPUs that it sees", quota, online);
}

static void look_at_governor(const char *root, lspo_findings_t *findings)
{
    static const char *const subject = "clock";
    char governor[64];
    if (!read_line(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor, sizeof governor))
        lspo_findings_add(findings, subject, LSPO_FINDING_UNKNOWN, "", "the kernel does not tell its governor");
    else if (strcmp(governor, "performance") == 0)
        lspo_findings_add(findings, subject, LSPO_FINDING_GOOD, "", "governor %s", governor);
    else
        lspo_findings_add(findings, subject, LSPO_FINDING_NOTE,
                          "cpupower frequency-set -g performance makes times shorter and more equal", "governor %s",
                          governor);
}

static void look_at_nodes(const char *root, lspo_findings_t *findings)
{
    char online[64];
    if (!read_line(root, "/sys/devices/system/node/online", online, sizeof online))
        return;
    bool several = strpbrk(online, ",-") != NULL;
    lspo_findings_add(findings, "NUMA", several ? LSPO_FINDING_NOTE : LSPO_FINDING_GOOD,
                      several ? "lspo puts its threads near the GPU; give a host run one node: numactl --cpunodebind=0 "
                                "--membind=0 lspo ..."
                              : "",
                      "nodes %s", online);
}

/* Ticks of all CPUs together, of which idle or waiting for a disk. */
static bool read_ticks(const char *root, double *all_out, double *idle_out)
{
    char text[512];
    double ticks[8] = {0}, all = 0;
    if (!read_text(root, "/proc/stat", text, sizeof text) ||
        sscanf(text, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4],
               &ticks[5], &ticks[6], &ticks[7]) < 5)
        return false;
    for (int i = 0; i < 8; i++)
        all += ticks[i];
    *all_out = all;
    *idle_out = ticks[3] + ticks[4];
    return true;
}

static void sleep_s(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

/* Where nothing could be seen in the time, what the kernel says of the last minute. */
static void look_at_load(const char *root, double wait_s, lspo_findings_t *findings)
{
    static const char *const subject = "other programs",
                             *const advice = "measure when they are done: validate repeats and says inconclusive "
                                             "otherwise, and a calibration is wrong for ever";
    double before, after, idle_before, idle_after, minute = 0, cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);
    bool seen = read_ticks(root, &before, &idle_before);
    if (seen && wait_s > 0)
        sleep_s(wait_s);
    seen = seen && read_ticks(root, &after, &idle_after) && after > before;
    double busy = seen ? cpus * (1 - (idle_after - idle_before) / (after - before)) : 0;
    if (!seen && !read_number(root, "/proc/loadavg", &minute)) {
        lspo_findings_add(findings, subject, LSPO_FINDING_UNKNOWN, "", "/proc is not there");
        return;
    }
    double used = seen ? busy : minute;
    lspo_finding_verdict_t verdict = used > 0.5 ? LSPO_FINDING_BAD : used > 0.1 ? LSPO_FINDING_NOTE : LSPO_FINDING_GOOD;
    lspo_findings_add(findings, subject, verdict, verdict == LSPO_FINDING_GOOD ? "" : advice,
                      seen ? "use %.1f of %.0f CPUs now" : "used %.1f of %.0f CPUs in the last minute", used, cpus);
}

/* ---- memory ---- */

/* "always [madvise] never" */
static void look_at_huge_pages(const char *root, lspo_findings_t *findings)
{
    static const char *const subject = "huge pages";
    char modes[128];
    if (!read_line(root, "/sys/kernel/mm/transparent_hugepage/enabled", modes, sizeof modes))
        lspo_findings_add(findings, subject, LSPO_FINDING_NOTE,
                          "arrays have pages of 4 KiB: a kernel with transparent "
                          "huge pages is faster",
                          "the kernel has none");
    else if (strstr(modes, "[never]") != NULL)
        lspo_findings_add(findings, subject, LSPO_FINDING_BAD,
                          "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled; lspo asks for them",
                          "off");
    else
        lspo_findings_add(findings, subject, LSPO_FINDING_GOOD, "", "%s",
                          strstr(modes, "[always]") != NULL ? "always" : "where a program asks for them, as lspo does");
}

static double memory_entry(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at != NULL ? 1024 * strtod(at + strlen(key), NULL) : 0;
}

static void look_at_memory(const char *root, lspo_findings_t *findings)
{
    char text[4096], first[32], second[32];
    uint64_t available = lspo_host_memory_available(root);
    if (!read_text(root, "/proc/meminfo", text, sizeof text) || available == UINT64_MAX)
        return;
    double total = memory_entry(text, "MemTotal:");
    bool short_of = (double)available < total / 2;
    lspo_findings_add(findings, "host memory", short_of ? LSPO_FINDING_NOTE : LSPO_FINDING_GOOD,
                      short_of ? "offloaded states need it: end other programs, or raise the limit of the cgroup" : "",
                      "%s of %s can be had", bytes((double)available, first), bytes(total, second));
    double swap = memory_entry(text, "SwapTotal:") - memory_entry(text, "SwapFree:");
    if (swap > 0)
        lspo_findings_add(findings, "swap", swap > 1e8 ? LSPO_FINDING_BAD : LSPO_FINDING_NOTE,
                          "what is swapped out comes back in the middle of a measurement: swapoff -a, or wait",
                          "%s are swapped out", bytes(swap, first));
}

/* ---- limits of the process ---- */

static void look_at_limit(int resource, const char *subject, double least, const char *advice,
                          lspo_findings_t *findings)
{
    struct rlimit limit;
    char text[32];
    bool of_files = resource == RLIMIT_NOFILE;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY) {
        lspo_findings_add(findings, subject, LSPO_FINDING_GOOD, "", "none");
        return;
    }
    bool enough = (double)limit.rlim_cur >= least;
    if (of_files)
        snprintf(text, sizeof text, "%" PRIu64, (uint64_t)limit.rlim_cur);
    else
        bytes((double)limit.rlim_cur, text);
    lspo_findings_add(findings, subject, enough ? LSPO_FINDING_GOOD : LSPO_FINDING_NOTE, enough ? "" : advice, "%s",
                      text);
}

static void look_at_limits(lspo_findings_t *findings)
{
    look_at_limit(RLIMIT_AS, "ulimit -v, addresses", 1e13,
                  "lspo reserves addresses ahead: ulimit -v unlimited, or ask the batch system for more", findings);
    look_at_limit(RLIMIT_MEMLOCK, "ulimit -l, locked memory", 8e9,
                  "a driver that counts pinned memory here makes lspo's copies slow: ulimit -l unlimited", findings);
    look_at_limit(RLIMIT_NOFILE, "ulimit -n, open files", 256, "ulimit -n 1024", findings);
}

static void look_at_counters(const char *root, lspo_findings_t *findings)
{
    static const char *const subject = "counters";
    lspo_counters_t *counters = NULL;
    double level = 0;
    lspo_counters_open(&counters);
    bool there = counters != NULL;
    lspo_counters_close(counters);
    bool told = read_number(root, "/proc/sys/kernel/perf_event_paranoid", &level);
    if (there)
        lspo_findings_add(findings, subject, LSPO_FINDING_GOOD, "", "traces have them%s",
                          told && level > 1 ? ", those of this user" : "");
    else
        lspo_findings_add(findings, subject, LSPO_FINDING_NOTE,
                          "traces have no counters: as root, sysctl kernel.perf_event_paranoid=1; containers need "
                          "--cap-add PERFMON",
                          told ? "none; kernel.perf_event_paranoid is %.0f" : "none: the kernel has no events", level);
}

void lspo_doctor_host(const char *root, double wait_s, lspo_findings_t *findings)
{
    look_at_load(root, wait_s, findings);
    look_at_quota(root, findings);
    look_at_governor(root, findings);
    look_at_nodes(root, findings);
    look_at_memory(root, findings);
    look_at_huge_pages(root, findings);
    look_at_limits(findings);
    look_at_counters(root, findings);
}

/* ---- cards ---- */

static bool is_nvidia_card(const char *root, const char *address)
{
    char path[128], vendor[32], class[32];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%.32s/vendor", address);
    if (!read_line(root, path, vendor, sizeof vendor) || strcmp(vendor, "0x10de") != 0)
        return false;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%.32s/class", address);
    return read_line(root, path, class, sizeof class) && strncmp(class, "0x03", 4) == 0;
}

size_t lspo_doctor_cards(const char *root, bool can_use, lspo_findings_t *findings)
{
    char path[512], driver[256] = "no driver";
    size_t count = 0;
    snprintf(path, sizeof path, "%s/sys/bus/pci/devices", root);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        count += is_nvidia_card(root, entry->d_name);
    if (folder != NULL)
        closedir(folder);
    bool driven = read_line(root, "/proc/driver/nvidia/version", driver, sizeof driver);
    if (count == 0 && !can_use)
        lspo_findings_add(findings, "GPU", LSPO_FINDING_NOTE, "", "no NVIDIA GPU on the PCI bus: only the host runs");
    else if (can_use)
        lspo_findings_add(findings, "driver", LSPO_FINDING_GOOD, "", "%.200s", driver);
    else
        lspo_findings_add(findings, "GPU", LSPO_FINDING_BAD,
                          driven
                              ? "build lspo with the CUDA Toolkit (nvcc in PATH, or --with-cuda=DIR), and check that "
                                "nvidia-smi works"
                              : "install NVIDIA's driver, and give the container its GPUs",
                          "%zu NVIDIA GPUs, which lspo cannot use; %.150s", count, driver);
    return count;
}

/* "16.0 GT/s PCIe" */
static bool read_link(const char *root, const char *address, const char *name, double *number_out)
{
    char path[160];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%.32s/%s", address, name);
    return read_number(root, path, number_out);
}

void lspo_doctor_link(const char *root, const char *subject, const char *address, bool loaded,
                      lspo_findings_t *findings)
{
    double speed, width, most_speed, most_width;
    if (!read_link(root, address, "current_link_speed", &speed) ||
        !read_link(root, address, "current_link_width", &width) ||
        !read_link(root, address, "max_link_speed", &most_speed) ||
        !read_link(root, address, "max_link_width", &most_width)) {
        lspo_findings_add(findings, subject, LSPO_FINDING_UNKNOWN, "", "%s: the kernel does not tell its link",
                          address);
        return;
    }
    bool narrow = width < most_width, slow = loaded && speed < most_speed;
    lspo_findings_add(findings, subject, narrow || slow ? LSPO_FINDING_BAD : LSPO_FINDING_GOOD,
                      narrow ? "the card has fewer lanes than it could: another slot, or a card beside it takes them"
                      : slow ? "the slot or its firmware (BIOS) is of an older generation, or limits it"
                             : "",
                      "%s: %.0f lanes of %.0f at %.1f of %.1f GT/s%s", address, width, most_width, speed, most_speed,
                      loaded ? " under load" : "; idle, when cards go slower");
}
