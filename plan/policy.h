/* policy.h - a policy: how the work is scheduled and what is compressed.  One file each under plan/policies/,
 * one row each in plan/policy_table.c; the command line, help, tests and docs iterate over that table. */
#ifndef LSPO_PLAN_POLICY_H
#define LSPO_PLAN_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/build.h"
#include "plan/parameter.h"
#include "plan/plan.h"

typedef enum {
    LSPO_SEMANTICS_EXACT,      /* the same updates as native, bit for bit on one device */
    LSPO_SEMANTICS_STALE,      /* updates come staleness_steps late                     */
    LSPO_SEMANTICS_COMPRESSED, /* updates live in a subspace                            */
    LSPO_SEMANTICS_OTHER       /* another optimizer than Adam on all weights at once    */
} lspo_semantics_t;

/* Work that comes once in several steps. */
typedef struct {
    const lspo_parameter_t *parameter; /* U32: how often */
    uint32_t times;                    /* steps are alike again after so many times its value */
    const char *work;                  /* what comes once in a period, for people */
} lspo_period_t;

enum { LSPO_PERIODS_MAX = 2 };

struct lspo_policy {
    const char *name;
    const char *help;     /* one line */
    const char *citation; /* where it is described; NULL for a baseline of ours */
    lspo_semantics_t semantics;
    uint32_t staleness_steps;                /* at the default workload; lspo_policy_staleness() has it for any other */
    const char *example;                     /* a command, for help */
    const lspo_parameters_t *parameters;     /* its own; NULL: it has none */
    lspo_period_t periods[LSPO_PERIODS_MAX]; /* until the first without a parameter; none: every step is alike */
    bool stale_by_period;                    /* updates come up to the first period, less one step, late */
    const char *clip_help;                   /* which gradient's norm --clip bounds, and what it costs the schedule */
    bool train_rest_default;
    bool dense_sketches; /* projectors are written out and multiplied as dense matrices, kernels/sketch.h */
    lspo_gradient_form_t gradient_form;
    lspo_return_form_t return_form;
    lspo_optimizer_t optimizer;
    const char *method; /* what trains with it on a device: the name of a row in real/methods/methods.c */
    lspo_status_t (*build)(lspo_builder_t *builder);
    /* The message of a stage; NULL: lspo_message_dense(). */
    void (*describe_message)(const lspo_workload_t *workload, const lspo_stage_t *stage, bool train_rest,
                             lspo_message_t *message_out);
    /* Of a policy that trains one stage at a time (LSPO_OPTIMIZER_BLOCK_ADAM): how many steps each turn has, U32. */
    const lspo_parameter_t *turn;
    /* What a stage takes, where that is not what the forms above say; NULL: it is. */
    void (*describe_stage)(const lspo_builder_t *builder, lspo_build_stage_t *stage);
    /* The kernels of an op (*work is all zero), where they are not those that the forms above run; false: they are.
     * NULL: always. */
    bool (*describe_work)(const lspo_builder_t *builder, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                          lspo_work_t *work);
};

uint32_t lspo_policy_count(void);
const lspo_policy_t *lspo_policy_at(uint32_t index);

/* Unknown names are an error that lists the valid ones. */
lspo_status_t lspo_policy_find(const char *name, const lspo_policy_t **policy_out);

/* The plan's workload for a plan of another policy, such as native as the yardstick of slowdown: where --train-rest is
 * what the plan's policy does by default, the other policy decides for itself again. */
static inline lspo_workload_t lspo_policy_workload(const lspo_plan_t *plan)
{
    lspo_workload_t workload = plan->workload;
    if (workload.train_rest == (plan->policy->train_rest_default ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF))
        workload.train_rest = LSPO_TRAIN_REST_AUTO;
    return workload;
}

/* The policy's row with that key (text of `length` characters), or of that parameter; NULL: it has none. */
const lspo_parameter_use_t *lspo_policy_named_use(const lspo_policy_t *policy, const char *key, size_t length);
const lspo_parameter_use_t *lspo_policy_use(const lspo_policy_t *policy, const lspo_parameter_t *parameter);
/* Is the first word ("--rank", "--rank=4", "--rank 4") a flag of other policies, but not of this one? */
bool lspo_policy_flag_is_foreign(const lspo_policy_t *policy, const char *word);
/* Where a policy's value is in a workload; NULL: the policy has no such parameter. */
const void *lspo_policy_value(const lspo_policy_t *policy, const lspo_workload_t *workload,
                              const lspo_parameter_t *parameter);
void *lspo_policy_slot(const lspo_policy_t *policy, lspo_workload_t *workload, const lspo_parameter_t *parameter);

/* Every parameter that any policy has, each once, in the order of policies and of their tables; NULL behind the
 * last. */
const lspo_parameter_t *lspo_policies_parameter(size_t index);

/* Give the policy's own parameters their defaults.  `training`: as `lspo train` has them. */
void lspo_policy_set_defaults(const lspo_policy_t *policy, const lspo_model_t *model, bool training,
                              lspo_workload_t *workload);
/* Are its values within their limits?  The message names flag, value and allowed range. */
lspo_status_t lspo_policy_check(const lspo_policy_t *policy, const lspo_model_t *model,
                                const lspo_workload_t *workload);

/* Steps after which a period's work comes again, at least 1, from its parameter's value. */
uint32_t lspo_period_steps(const lspo_period_t *period, uint32_t value);
/* The longest of the policy's periods, after which an iteration's work repeats; NULL: every step is alike. */
const lspo_period_t *lspo_policy_longest_period(const lspo_policy_t *policy, const lspo_workload_t *workload);
/* Its steps, at least 1. */
uint32_t lspo_policy_period(const lspo_policy_t *policy, const lspo_workload_t *workload);
/* Steps by which an update may be late. */
uint32_t lspo_policy_staleness(const lspo_policy_t *policy, const lspo_workload_t *workload);
/* The least iterations of a plan in which some are as in a long training: what a stale policy begins without is over,
 * and then come two, or the whole period by which it is stale. */
uint32_t lspo_policy_iterations_least(const lspo_policy_t *policy, const lspo_workload_t *workload);
/* Iterations to leave out at the start of a plan: `asked`, or all that a stale policy begins without where the plan
 * has the least iterations for that. */
uint32_t lspo_policy_warmup(const lspo_policy_t *policy, const lspo_workload_t *workload, uint32_t asked);
/* Iterations of a plan where nobody says: 8; 16 under stale policies, whose lanes take longer to settle, or the least
 * where that is more, or twice a period of up to 16. */
uint32_t lspo_policy_iterations(const lspo_policy_t *policy, const lspo_workload_t *workload);

const char *lspo_semantics_name(lspo_semantics_t semantics);
/* What the word means, for people. */
const char *lspo_semantics_help(lspo_semantics_t semantics);

#endif
