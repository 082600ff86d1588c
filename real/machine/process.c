/* process.c - see process.h. */
#include "real/machine/process.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "plan/policy.h"

/* A line of /proc/self/status in bytes; 0 if the system has none. */
static uint64_t status_bytes(const char *key)
{
    FILE *file = fopen("/proc/self/status", "r");
    if (!file)
        return 0;
    char line[256];
    uint64_t kibibytes = 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            sscanf(line + strlen(key), ": %" SCNu64, &kibibytes);
    fclose(file);
    return kibibytes * 1024;
}

static bool start_high_water_mark(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file)
        return false;
    bool written = fputs("5", file) >= 0;
    return fclose(file) == 0 && written;
}

void lspo_process_mark(lspo_process_mark_t *mark_out)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    mark_out->starts_anew = start_high_water_mark();
    mark_out->resident_bytes = status_bytes("VmRSS");
    if (!mark_out->starts_anew && !atomic_flag_test_and_set(&said))
        lspo_warn("the kernel cannot reset VmHWM, so peak memory is the resident memory at the end of a run");
}

uint64_t lspo_process_peak_bytes(const lspo_process_mark_t *mark)
{
    uint64_t peak_bytes = status_bytes(mark->starts_anew ? "VmHWM" : "VmRSS");
    return peak_bytes > mark->resident_bytes ? peak_bytes - mark->resident_bytes : 0;
}
