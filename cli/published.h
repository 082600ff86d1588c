/* published.h - `lspo validate --published FILE`: steps that others measured and published. */
#ifndef LSPO_CLI_PUBLISHED_H
#define LSPO_CLI_PUBLISHED_H

#include <stdbool.h>
#include <stdint.h>

#include "ask/args.h"
#include "base/status.h"

enum { LSPO_WHERE_MAX = 16 };

/* The first field of the command's target struct. */
typedef struct {
    const char *path, *memory_path, *bands_path;
    const char *fit_folder; /* NULL: do not fit */
    bool leave_out;
    const char *where[LSPO_WHERE_MAX]; /* "column=value" */
    uint32_t where_count;
    int format;
} lspo_published_request_t;

/* --published and the options that go with it. */
extern const lspo_arg_group_t lspo_published_group;

/* Read, predict and print. */
lspo_status_t lspo_published_run(const lspo_published_request_t *request);

#endif
