/* What lspo doctor finds, on machines made of files. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "real/machine/doctor.h"
#include "tests/own_folder.h"

TestSuite(doctor, .init = make_folder, .fini = remove_folder);

/* A file of the machine, with the folders that it is in. */
static void put(const char *path, const char *text)
{
    char whole[256];
    snprintf(whole, sizeof whole, "%s%s", folder, path);
    for (char *slash = whole + strlen(folder) + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = '\0';
        mkdir(whole, 0700);
    }
    FILE *file = fopen(whole, "w");
    cr_assert_not_null(file, "%s", whole);
    fputs(text, file);
    fclose(file);
}

static const lspo_finding_t *about(const lspo_findings_t *findings, const char *subject)
{
    for (size_t i = 0; i < findings->count; i++)
        if (strcmp(findings->list[i].subject, subject) == 0)
            return &findings->list[i];
    return NULL;
}

static void expect_finding(const lspo_findings_t *findings, const char *subject, lspo_finding_verdict_t verdict,
                           const char *found)
{
    const lspo_finding_t *finding = about(findings, subject);
    cr_assert_not_null(finding, "%s", subject);
    cr_expect_eq(finding->verdict, verdict, "%s: %s", subject, lspo_finding_verdict_name(finding->verdict));
    cr_expect_not_null(strstr(finding->found, found), "%s: %s", subject, finding->found);
    cr_expect_eq(finding->advice[0] == '\0', verdict == LSPO_FINDING_GOOD || verdict == LSPO_FINDING_UNKNOWN, "%s: %s",
                 subject, finding->advice);
}

Test(doctor, finds_what_disturbs)
{
    lspo_findings_t findings = {.count = 0};
    put("/proc/loadavg", "1.50 0.9 0.2 3/100 77\n");
    put("/proc/meminfo", "MemTotal:       8000000 kB\nMemAvailable:   1000000 kB\nSwapTotal: 4000000 kB\n"
                         "SwapFree: 3000000 kB\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    put("/sys/devices/system/node/online", "0-1\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    lspo_doctor_host(folder, 0, &findings);
    expect_finding(&findings, "other programs", LSPO_FINDING_BAD, "1.5 of");
    expect_finding(&findings, "clock", LSPO_FINDING_NOTE, "powersave");
    expect_finding(&findings, "NUMA", LSPO_FINDING_NOTE, "0-1");
    expect_finding(&findings, "host memory", LSPO_FINDING_NOTE, "977 MiB of 7.63 GiB");
    expect_finding(&findings, "swap", LSPO_FINDING_BAD, "977 MiB");
    expect_finding(&findings, "huge pages", LSPO_FINDING_BAD, "off");
}

Test(doctor, is_content_with_a_quiet_machine)
{
    lspo_findings_t findings = {.count = 0};
    put("/proc/loadavg", "0.02 0.0 0.0 1/100 77\n");
    put("/proc/meminfo", "MemTotal:       8000000 kB\nMemAvailable:   7000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    put("/sys/devices/system/node/online", "0\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    lspo_doctor_host(folder, 0, &findings);
    static const char *const subjects[] = {"other programs", "clock", "NUMA", "host memory", "huge pages", "CPU quota"};
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++)
        expect_finding(&findings, subjects[i], LSPO_FINDING_GOOD, "");
    cr_expect_null(about(&findings, "swap"));
}

/* Ticks that do not grow say nothing; then the minute counts.  Without either it is unknown. */
Test(doctor, load_of_a_machine_that_tells_little)
{
    lspo_findings_t findings = {.count = 0}, nothing = {.count = 0};
    lspo_doctor_host(folder, 0, &nothing);
    expect_finding(&nothing, "other programs", LSPO_FINDING_UNKNOWN, "");
    expect_finding(&nothing, "clock", LSPO_FINDING_UNKNOWN, "");
    expect_finding(&nothing, "huge pages", LSPO_FINDING_NOTE, "none");
    put("/proc/stat", "cpu  100 0 0 900 0 0 0 0 0 0\n");
    put("/proc/loadavg", "0.30 0.9 0.2 3/100 77\n");
    lspo_doctor_host(folder, 0, &findings);
    expect_finding(&findings, "other programs", LSPO_FINDING_NOTE, "last minute");
}

static void put_card(const char *address, const char *vendor, const char *class)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/vendor", address);
    put(path, vendor);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/class", address);
    put(path, class);
}

/* Cards of others and NVIDIA's sound devices do not count. */
Test(doctor, counts_cards)
{
    lspo_findings_t none = {.count = 0}, idle = {.count = 0}, driven = {.count = 0}, used = {.count = 0};
    cr_expect_eq(lspo_doctor_cards(folder, false, &none), 0u);
    cr_expect_eq(about(&none, "GPU")->verdict, LSPO_FINDING_NOTE);
    put_card("0000:01:00.0", "0x10de\n", "0x030000\n");
    put_card("0000:01:00.1", "0x10de\n", "0x040300\n");
    put_card("0000:02:00.0", "0x10de\n", "0x030200\n");
    put_card("0000:03:00.0", "0x1002\n", "0x030000\n");
    cr_expect_eq(lspo_doctor_cards(folder, false, &idle), 2u);
    expect_finding(&idle, "GPU", LSPO_FINDING_BAD, "2 NVIDIA GPUs, which lspo cannot use; no driver");
    put("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX 580.65.06\nGCC version: 12\n");
    lspo_doctor_cards(folder, false, &driven);
    expect_finding(&driven, "GPU", LSPO_FINDING_BAD, "580.65.06");
    cr_expect_str_neq(about(&driven, "GPU")->advice, about(&idle, "GPU")->advice);
    lspo_doctor_cards(folder, true, &used);
    expect_finding(&used, "driver", LSPO_FINDING_GOOD, "580.65.06");
}

static void put_link(const char *speed, const char *width)
{
    put("/sys/bus/pci/devices/0000:01:00.0/current_link_speed", speed);
    put("/sys/bus/pci/devices/0000:01:00.0/current_link_width", width);
    put("/sys/bus/pci/devices/0000:01:00.0/max_link_speed", "16.0 GT/s PCIe\n");
    put("/sys/bus/pci/devices/0000:01:00.0/max_link_width", "16\n");
}

/* A link that is slow while idle is as it should be; under load it is not; a narrow one never is. */
Test(doctor, judges_a_link)
{
    static const struct {
        const char *speed, *width;
        bool loaded;
        lspo_finding_verdict_t verdict;
    } cases[] = {{"16.0 GT/s PCIe\n", "16\n", true, LSPO_FINDING_GOOD},
                 {"2.5 GT/s PCIe\n", "16\n", false, LSPO_FINDING_GOOD},
                 {"8.0 GT/s PCIe\n", "16\n", true, LSPO_FINDING_BAD},
                 {"16.0 GT/s PCIe\n", "8\n", true, LSPO_FINDING_BAD},
                 {"2.5 GT/s PCIe\n", "8\n", false, LSPO_FINDING_BAD}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_findings_t findings = {.count = 0};
        put_link(cases[i].speed, cases[i].width);
        lspo_doctor_link(folder, "PCIe", "0000:01:00.0", cases[i].loaded, &findings);
        expect_finding(&findings, "PCIe", cases[i].verdict, "of 16");
    }
    lspo_findings_t findings = {.count = 0};
    lspo_doctor_link(folder, "PCIe", "0000:09:00.0", true, &findings);
    expect_finding(&findings, "PCIe", LSPO_FINDING_UNKNOWN, "0000:09:00.0");
}

Test(doctor, drops_what_has_no_room)
{
    lspo_findings_t findings = {.count = 0};
    for (int i = 0; i < LSPO_FINDINGS_MAX + 3; i++)
        lspo_findings_add(&findings, "one", LSPO_FINDING_GOOD, "", "%d", i);
    cr_expect_eq(findings.count, (size_t)LSPO_FINDINGS_MAX);
}
