/* model_fields.h - names of the values of a model's fields, and the checks of these fields; private to
 * plan/model*.c. */
#ifndef LSPO_PLAN_MODEL_FIELDS_H
#define LSPO_PLAN_MODEL_FIELDS_H

#include "plan/model.h"

/* Each ends with NULL. */
extern const char *const lspo_biases_names[];
extern const char *const lspo_norm_kind_names[];
extern const char *const lspo_norms_names[];
extern const char *const lspo_qk_norm_names[];
extern const char *const lspo_positions_names[];
extern const char *const lspo_rope_scaling_names[];
extern const char *const lspo_router_names[];

/* LSPO_ERR_INPUT for fields that contradict each other or the family; part of lspo_model_check(), as is `what`. */
lspo_status_t lspo_model_check_traits(const char *what, const lspo_model_t *model);

#endif
