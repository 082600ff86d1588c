/* methods.h - the table of training methods, and sessions that train with the method of their plan's policy.
 *
 * A policy (plan/policy.h) names its method.  A new method is a file here and a row in methods.c. */
#ifndef LSPO_REAL_METHODS_METHODS_H
#define LSPO_REAL_METHODS_METHODS_H

#include "real/session/method.h"
#include "real/session/session.h"

extern const lspo_method_t lspo_method_adam, lspo_method_lsp, lspo_method_lora, lspo_method_galore, lspo_method_lomo,
    lspo_method_badam, lspo_method_zenflow, lspo_method_deep_optimizer_states, lspo_method_axonn, lspo_method_meft;

/* LSPO_ERR_INTERNAL if the policy of the plan names a method that is not in the table. */
lspo_status_t lspo_method_find(const lspo_plan_t *plan, const lspo_method_t **method_out);

/* A session (lspo_session_create_with()) that trains with the method of the plan's policy; `text` may be NULL if
 * batches come from a function. */
lspo_status_t lspo_session_create(const lspo_plan_t *plan, lspo_device_t *device, const lspo_text_t *text,
                                  lspo_session_t **session_out);
/* The same with given initial weights. */
lspo_status_t lspo_session_create_from(const lspo_plan_t *plan, lspo_device_t *device, const lspo_text_t *text,
                                       const lspo_first_weights_t *first, lspo_session_t **session_out);

#endif
