/* machine_named.c - the machine of --machine; see machine_named.h. */
#include "cli/machine_named.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask/version.h"
#include "cli/calibration.h"
#include "cli/machine_auto.h"
#include "real/device/device.h"

enum { PATH_BYTES = 4096, HOST_BYTES = 256 };

static lspo_status_t measure(const char *device, const char *path)
{
    lspo_calibration_result_t result;
    const lspo_calibrate_options_t options = {
        .device = device, .precision = lspo_calibration_precision(device), .quick = true};
    lspo_status_t status = lspo_calibration_measure(&options, &result);
    if (status != LSPO_OK)
        return status;
    status = lspo_calibration_write(&result, &options, path);
    lspo_calibration_release(&result);
    return status;
}

/* A command may ask for the machine more than once. */
static void say(const char *text)
{
    static atomic_bool said;
    if (!atomic_exchange(&said, true) || strncmp(text, "the profile is ", strlen("the profile is ")) != 0)
        fprintf(stderr, "lspo: --machine auto: %s\n", text);
}

static lspo_status_t put_folder(char folder[PATH_BYTES])
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool has_cache = cache != NULL && cache[0] == '/';
    if (!has_cache && (home == NULL || home[0] == '\0'))
        return lspo_error(LSPO_ERR_INPUT, "--machine auto: there is no place for the profile: neither XDG_CACHE_HOME "
                                          "nor HOME is set; name a file of lspo calibrate -o FILE");
    int length = has_cache ? snprintf(folder, PATH_BYTES, "%s/lspo", cache)
                           : snprintf(folder, PATH_BYTES, "%s/.cache/lspo", home);
    return length < PATH_BYTES ? LSPO_OK : lspo_error(LSPO_ERR_INPUT, "--machine auto: the cache's name is too long");
}

static lspo_status_t find_auto(lspo_machine_t *machine_out)
{
    char folder[PATH_BYTES], host[HOST_BYTES] = "";
    lspo_device_gpu_t gpu = {.description = "host"};
    bool has_gpu = lspo_device_gpu_count() > 0;
    lspo_status_t status = put_folder(folder);
    if (status == LSPO_OK && has_gpu)
        status = lspo_device_gpu_at(0, &gpu);
    if (status != LSPO_OK)
        return status;
    gethostname(host, sizeof host - 1);
    return lspo_machine_auto(&(lspo_machine_auto_t){.folder = folder,
                                                    .host = host,
                                                    .device = has_gpu ? "cuda" : "host",
                                                    .device_name = gpu.description,
                                                    .version = lspo_program_version,
                                                    .measure = measure,
                                                    .say = say},
                             machine_out);
}

lspo_status_t lspo_machine_named(const char *name, lspo_machine_t *machine_out)
{
    return strcmp(name, "auto") == 0 ? find_auto(machine_out) : lspo_machine_find(name, machine_out);
}

lspo_status_t lspo_request_machine(lspo_request_t *request, lspo_machine_t *machine_out)
{
    lspo_status_t status = lspo_machine_named(request->machine_name, machine_out);
    return status == LSPO_OK ? lspo_request_use_machine(request, machine_out) : status;
}
