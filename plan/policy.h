/* policy.h - a policy: how a training is scheduled and what is compressed.  Each policy is a file in plan/policies/ and
 * a row in plan/policy_table.c; command line, help, tests and documents iterate over that table. */
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

/* Who else has a policy's schedule; `lspo tune` writes the configuration for it (cli/tune_configuration.h). */
typedef enum {
    LSPO_ELSEWHERE_NOBODY,
    LSPO_ELSEWHERE_OPTIMIZERS,    /* plain training: torchao's optimizers have its narrow states             */
    LSPO_ELSEWHERE_ZERO_OFFLOAD,  /* DeepSpeed: the optimizer on the CPU; torchao's CPUOffloadOptimizer, too */
    LSPO_ELSEWHERE_ZERO_INFINITY, /* DeepSpeed's ZeRO-3: the parameters on the CPU, too                      */
    LSPO_ELSEWHERE_ZENFLOW,       /* DeepSpeed's ZenFlow                                                     */
    LSPO_ELSEWHERE_COUNT
} lspo_elsewhere_t;

/* Work that is done once in several steps. */
typedef struct {
    const lspo_parameter_t *parameter; /* U32: how often */
    uint32_t times;                    /* the work repeats after its value, times this, steps */
    const char *work;                  /* name of the work, for people */
    const lspo_parameter_t *with;      /* NAMED: there is such work only if this has `with_value`; NULL: always */
    uint32_t with_value;
} lspo_period_t;

enum { LSPO_PERIODS_MAX = 2 };

/* What a plan computes: steps of a training, or the tokens of texts (plan/build_generate.h). */
typedef enum { LSPO_TASK_TRAIN, LSPO_TASK_GENERATE, LSPO_TASK_COUNT } lspo_task_t;
extern const char *const lspo_task_names[]; /* "train", "generate"; ends with NULL */

/* Is a policy for models whose blocks have experts? */
typedef enum { LSPO_EXPERTS_NEVER, LSPO_EXPERTS_MAYBE, LSPO_EXPERTS_ALWAYS } lspo_policy_experts_t;

struct lspo_policy {
    const char *name;
    lspo_task_t task;
    lspo_policy_experts_t experts;
    const char *help;     /* one line */
    const char *citation; /* publication; NULL: none */
    lspo_elsewhere_t elsewhere;
    lspo_semantics_t semantics;
    uint32_t staleness_steps;                /* with default parameters; see lspo_policy_staleness()  */
    const char *example;                     /* a command, for help */
    const lspo_parameters_t *parameters;     /* of its own; NULL: none       */
    lspo_period_t periods[LSPO_PERIODS_MAX]; /* ends with the first without a parameter; none: all steps are alike */
    bool stale_by_period;                    /* updates come up to the first period, less one step, late */
    const char *clip_help;                   /* the norm that --clip limits, and its cost */
    bool train_rest_default;
    bool of_peers;       /* for several peers: not among those from which one machine's is chosen */
    bool stands_apart;   /* what it trains is no part of any weight: it cannot be exported */
    uint32_t eigen_most; /* trainings with a subspace of at most this have --adam-basis eigen by default */
    bool dense_sketches; /* unless told otherwise, projectors are used as dense matrices, kernels/sketch.h */
    lspo_gradient_form_t gradient_form;
    lspo_return_form_t return_form;
    lspo_optimizer_t optimizer;
    const char *method; /* name of its training method in real/methods/methods.c */
    lspo_status_t (*build)(lspo_builder_t *builder);
    /* Replace AUTO in its own values of a plan's workload; NULL: nothing to do. */
    void (*resolve)(lspo_workload_t *workload);
    /* The message of a stage; NULL: lspo_message_dense(). */
    void (*describe_message)(const lspo_workload_t *workload, const lspo_stage_t *stage, bool train_rest,
                             lspo_message_t *message_out);
    /* For LSPO_OPTIMIZER_BLOCK_ADAM, which trains one stage at a time: the number of steps per turn, U32. */
    const lspo_parameter_t *turn;
    /* The sizes of a stage, if they do not follow from the forms above; NULL: they do.  Called once for blocks that are
     * alike, so the number of the block must not matter. */
    void (*describe_stage)(const lspo_builder_t *builder, lspo_build_stage_t *stage);
    /* The kernels of an op (*work is all zero), if they do not follow from the forms above; returns false if they do.
     * NULL: they always do. */
    bool (*describe_work)(const lspo_builder_t *builder, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                          lspo_work_t *work);
    /* The same of SWAP_IN, SWAP_OUT, UPD_GPU and COMPRESS of so many elements of a message in parts (plan/chunks.h).
     * NULL: the policy has no such ops of parts. */
    bool (*describe_part)(const lspo_builder_t *builder, lspo_op_kind_t kind, uint64_t elements, lspo_work_t *work);
    /* LSPO_ERR_INPUT for settings with which `lspo train` cannot train.  NULL: there are none. */
    lspo_status_t (*check_trains)(const lspo_workload_t *workload);
    /* The number of peers of its plan (plan/lane.h), from 0 on.  NULL: one. */
    uint32_t (*count_peers)(const lspo_workload_t *workload);
    /* Does this peer receive what the op, a SEND of another peer, sends?  NULL: its plans have no SEND. */
    bool (*receives)(const lspo_plan_t *plan, const lspo_op_t *op, uint32_t peer);
};

/* The policies of trainings. */
uint32_t lspo_policy_count(void);
const lspo_policy_t *lspo_policy_at(uint32_t index);
/* Those of generation. */
uint32_t lspo_generation_policy_count(void);
const lspo_policy_t *lspo_generation_policy_at(uint32_t index);

/* With which the others of a task are compared, the first of its table: native, resident. */
const lspo_policy_t *lspo_policy_baseline(lspo_task_t task);

/* All of them, in that order. */
uint32_t lspo_any_policy_count(void);
const lspo_policy_t *lspo_any_policy_at(uint32_t index);

/* A policy of trainings.  Unknown names are an error that lists the valid ones. */
lspo_status_t lspo_policy_find(const char *name, const lspo_policy_t **policy_out);
/* The same of any task. */
lspo_status_t lspo_policy_find_any(const char *name, const lspo_policy_t **policy_out);

/* The plan's workload, for a plan of another policy such as native, the baseline of slowdowns.  If --train-rest has the
 * default of the plan's policy, the other policy uses its own default; --optimizer-state is the plan's. */
lspo_workload_t lspo_policy_workload(const lspo_plan_t *plan);

/* The policy's row with this key (of `length` characters), or of this parameter; NULL: none. */
const lspo_parameter_use_t *lspo_policy_named_use(const lspo_policy_t *policy, const char *key, size_t length);
const lspo_parameter_use_t *lspo_policy_use(const lspo_policy_t *policy, const lspo_parameter_t *parameter);
/* The policy's parameter whose value may follow its name in a grid behind the colon with that index, from 0; NULL:
 * none. */
const lspo_parameter_use_t *lspo_policy_colon_use(const lspo_policy_t *policy, uint32_t index);
/* Is the first word ("--rank", "--rank=4", "--rank 4") a flag of other policies, but not of this one? */
bool lspo_policy_flag_is_foreign(const lspo_policy_t *policy, const char *word);
/* The policy's value in a workload; NULL: the policy has no such parameter. */
const void *lspo_policy_value(const lspo_policy_t *policy, const lspo_workload_t *workload,
                              const lspo_parameter_t *parameter);
void *lspo_policy_slot(const lspo_policy_t *policy, lspo_workload_t *workload, const lspo_parameter_t *parameter);

/* All parameters of all policies, each once, in the order of policies and their tables; NULL after the last. */
const lspo_parameter_t *lspo_policies_parameter(size_t index);

/* Set the policy's own parameters to their defaults; `training`: those of `lspo train`. */
void lspo_policy_set_defaults(const lspo_policy_t *policy, const lspo_model_t *model, bool training,
                              lspo_workload_t *workload);
/* Whether the policy is for this model. */
static inline bool lspo_policy_takes(const lspo_policy_t *policy, const lspo_model_t *model)
{
    return policy->experts != (model->expert_count > 0 ? LSPO_EXPERTS_NEVER : LSPO_EXPERTS_ALWAYS);
}
/* LSPO_ERR_INPUT if it is not for the model, or one of its values is out of range; the message names flag, value and
 * allowed range. */
lspo_status_t lspo_policy_check(const lspo_policy_t *policy, const lspo_model_t *model,
                                const lspo_workload_t *workload);
/* LSPO_ERR_INPUT if `lspo train` cannot train with these settings. */
static inline lspo_status_t lspo_policy_check_trains(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    return policy->check_trains != NULL ? policy->check_trains(workload) : LSPO_OK;
}
/* The number of peers of its plan with these settings. */
static inline uint32_t lspo_policy_peers(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    return policy->count_peers != NULL ? policy->count_peers(workload) : 1;
}

/* Number of steps of a period, at least 1, from its parameter's value. */
uint32_t lspo_period_steps(const lspo_period_t *period, uint32_t value);
/* The number of steps of each of the policy's periods; what it has none for is not changed. */
void lspo_policy_periods(const lspo_policy_t *policy, const lspo_workload_t *workload,
                         uint32_t steps_out[LSPO_PERIODS_MAX]);
/* The longest of the policy's periods; NULL: all steps are alike. */
const lspo_period_t *lspo_policy_longest_period(const lspo_policy_t *policy, const lspo_workload_t *workload);
/* The number of steps of that period, at least 1. */
uint32_t lspo_policy_period(const lspo_policy_t *policy, const lspo_workload_t *workload);
/* The largest number of steps by which an update may be late. */
uint32_t lspo_policy_staleness(const lspo_policy_t *policy, const lspo_workload_t *workload);
/* The smallest number of iterations with which a plan has some that are as in a long training: those in which a stale
 * policy still lacks updates, and then two, or the whole period by which it is stale. */
uint32_t lspo_policy_iterations_least(const lspo_policy_t *policy, const lspo_workload_t *workload);
/* Iterations to leave out at the start of a plan: `asked`, or all in which a stale policy still lacks updates if the
 * plan is long enough for that. */
uint32_t lspo_policy_warmup(const lspo_policy_t *policy, const lspo_workload_t *workload, uint32_t asked);
/* The default number of iterations of a plan: 8; 16 under stale policies, whose lanes take longer to settle; the
 * smallest number allowed, if that is larger; or twice a period of up to 16. */
uint32_t lspo_policy_iterations(const lspo_policy_t *policy, const lspo_workload_t *workload);

const char *lspo_semantics_name(lspo_semantics_t semantics);
/* Names for people; NULL for LSPO_ELSEWHERE_NOBODY. */
const char *lspo_elsewhere_name(lspo_elsewhere_t elsewhere);
/* The meaning of the word, for people. */
const char *lspo_semantics_help(lspo_semantics_t semantics);

#endif
