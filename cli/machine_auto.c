/* machine_auto.c - the profile of this machine, measured once; see machine_auto.h. */
#include "cli/machine_auto.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder_lock.h"
#include "base/input_file.h"

enum { PATH_BYTES = 4096, PART_BYTES = 128, PROFILE_BYTES_MAX = 1 << 20 };

/* Letters, digits and dots; each run of others becomes one dash. */
static void put_part(const char *text, char part[PART_BYTES])
{
    size_t used = 0;
    for (const char *at = text; *at != '\0' && used + 1 < PART_BYTES; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') ||
                     (*at == '.' && used > 0);
        if (plain)
            part[used++] = *at;
        else if (used > 0 && part[used - 1] != '-')
            part[used++] = '-';
    }
    while (used > 0 && part[used - 1] == '-')
        used--;
    part[used] = '\0';
}

static lspo_status_t put_path(const lspo_machine_auto_t *wanted, char path[PATH_BYTES])
{
    char host[PART_BYTES], device[PART_BYTES];
    put_part(wanted->host, host);
    put_part(wanted->device_name, device);
    int length = snprintf(path, PATH_BYTES, "%s/%s-%s.ini", wanted->folder, host, device);
    return length < PATH_BYTES ? LSPO_OK
                               : lspo_error(LSPO_ERR_INPUT, "--machine auto: %s: the name is too long", wanted->folder);
}

/* With those above it. */
static lspo_status_t make_folder(const char *folder)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s", folder);
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return lspo_error(lspo_status_of_mkdir(errno), "--machine auto: %s: cannot make the folder: %s", path,
                              strerror(errno));
        if (slash == NULL)
            return LSPO_OK;
        *slash = '/';
    }
}

/* Is there a profile, and has this version measured it? */
static lspo_status_t find_measured(const char *path, const char *version, bool *there_out, bool *current_out)
{
    char *line = NULL, wanted[256];
    size_t length = 0;
    lspo_input_t *input = NULL;
    *there_out = access(path, F_OK) == 0;
    *current_out = false;
    if (!*there_out)
        return LSPO_OK;
    lspo_status_t status = lspo_input_open(path, PROFILE_BYTES_MAX, &input);
    if (status == LSPO_OK)
        status = lspo_input_line(input, &line, &length);
    snprintf(wanted, sizeof wanted, "# Measured by %s:", version);
    *current_out = status == LSPO_OK && line != NULL && strncmp(line, wanted, strlen(wanted)) == 0;
    lspo_input_close(input);
    return status;
}

__attribute__((format(printf, 2, 3))) static void say(const lspo_machine_auto_t *wanted, const char *format, ...)
{
    char text[PATH_BYTES + 256];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    wanted->say(text);
}

static lspo_status_t measure(const lspo_machine_auto_t *wanted, const char *path, bool is_old)
{
    int lock = -1;
    lspo_status_t status = make_folder(wanted->folder);
    if (status == LSPO_OK && access(wanted->folder, W_OK | X_OK) != 0)
        status =
            lspo_error(LSPO_ERR_INPUT, "--machine auto: %s: cannot be written: %s", wanted->folder, strerror(errno));
    if (status == LSPO_OK)
        status = lspo_folder_lock(wanted->folder, "--machine auto", &lock);
    if (status != LSPO_OK)
        return status;
    say(wanted, "%s of this machine's device %s%s; measuring it for half a minute, while nothing else should run",
        is_old ? "another version has measured the profile" : "there is no profile", wanted->device,
        is_old ? "" : " yet");
    status = wanted->measure(wanted->device, path);
    close(lock);
    return status;
}

lspo_status_t lspo_machine_auto(const lspo_machine_auto_t *wanted, lspo_machine_t *machine_out)
{
    char path[PATH_BYTES];
    bool is_there = false, is_current = false;
    lspo_status_t status = put_path(wanted, path);
    if (status == LSPO_OK)
        status = find_measured(path, wanted->version, &is_there, &is_current);
    if (status == LSPO_OK && !is_current)
        status = measure(wanted, path, is_there);
    if (status == LSPO_OK)
        status = lspo_machine_find(path, machine_out);
    if (status == LSPO_OK)
        say(wanted, "the profile is %s", path);
    return status;
}
