/* sim_request.h - the flags of `lspo sim`. */
#ifndef LSPO_CLI_SIM_REQUEST_H
#define LSPO_CLI_SIM_REQUEST_H

#include <stdbool.h>

#include "ask/request.h"
#include "base/status.h"
#include "sim/noise.h"

typedef struct {
    lspo_request_t base;
    lspo_noise_options_t noise; /* a seed of 0: no noise; 0 draws: not given */
    const char *gantt_path;
    const char *measured; /* a time or a file; NULL: not given */
    bool all, draw;
    int argc; /* as read */
    char **argv;
} lspo_sim_request_t;

/* Read the flags, with the defaults of `lspo sim`. */
typedef lspo_status_t (*lspo_sim_read_t)(int argc, char **argv, lspo_sim_request_t *request_out);

#endif
