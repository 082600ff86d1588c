/* tune_configuration.h - a setting as the configuration of another implementation of its policy: DeepSpeed's JSON, or
 * lines of Python for torchao.  Which policy has one is in the policy's table (lspo_elsewhere_t).
 *
 * Keys and defaults are those of DeepSpeed's documentation (config-json, tutorials zero-offload and zenflow) and of its
 * runtime/zero/config.py, offload_config.py and zenflow_config.py; those of torchao of its torchao/optim/README.md:
 *     zero                       ZeRO stage 2, offload_optimizer on the CPU
 *     zero --cpu-share R < 1     stage 3 with the ratio R: only stage 3 knows it (Twin-Flow); less the share of
 *                                --native-layers, though DeepSpeed does not choose the first layers
 *     stream                     stage 3, offload_param and offload_optimizer on the CPU; window in parameters
 *     zenflow                    stage 2, offload_optimizer, zenflow
 *     native, zero with 16- or 8-bit states   torchao; CPUOffloadOptimizer clips no gradients, and with
 *                                offload_gradients it does not accumulate any
 * Nobody has --native-layers.
 */
#ifndef LSPO_CLI_TUNE_CONFIGURATION_H
#define LSPO_CLI_TUNE_CONFIGURATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "plan/model.h"
#include "sim/search.h"

enum { LSPO_TUNE_CONFIGURATION_BYTES = 2048 };

typedef struct {
    const char *framework;                    /* "DeepSpeed", "torchao"; NULL: nobody else has this */
    const char *file;                         /* the usual name of the file: "ds_config.json" */
    const char *beside;                       /* what the configuration does not say, for people; NULL: nothing */
    char text[LSPO_TUNE_CONFIGURATION_BYTES]; /* several lines */
} lspo_tune_configuration_t;

lspo_status_t lspo_tune_configure(const lspo_model_t *model, const lspo_found_t *found,
                                  lspo_tune_configuration_t *configuration_out);

#endif
