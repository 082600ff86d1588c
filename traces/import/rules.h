/* rules.h - the meaning of events of a PyTorch profiler trace: a table of name patterns.
 *
 * A rule gives a kind and a lane to events by name.  For work of the device (kernels, copies) it gives the kind of that
 * work.  For a CPU range (an annotation, an operator) with a device lane, it gives the kind of the work of that lane
 * that was launched in the range; with the CPU lane, the range itself is an op.  A rule of kind STEP marks the
 * iterations.
 *
 * A user's file is searched before the built-in table, each from its first line on.  Its lines are
 *     KIND LANE PATTERN        FWD gpu my_model*
 * '#' starts a comment.  A pattern is the rest of the line, a shell wildcard that ignores case.
 */
#ifndef LSPO_TRACES_IMPORT_RULES_H
#define LSPO_TRACES_IMPORT_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/op.h"

/* Classes of events, as bits: a rule may apply to several. */
typedef enum {
    LSPO_EVENT_ANNOTATION = 1, /* user_annotation: record_function(), ProfilerStep#N, Optimizer.step#...  */
    LSPO_EVENT_CPU_OP = 2,     /* cpu_op: aten::..., autograd::engine::evaluate_function: ...             */
    LSPO_EVENT_KERNEL = 4,     /* kernel, gpu_memset                                                      */
    LSPO_EVENT_COPY = 8,       /* gpu_memcpy                                                              */
    LSPO_EVENT_LAUNCH = 16     /* cuda_runtime, cuda_driver: the call that put work on a stream           */
} lspo_event_class_t;

enum { LSPO_RULE_STEP = LSPO_OP_KIND_COUNT };

typedef struct {
    uint8_t classes;    /* lspo_event_class_t bits               */
    uint8_t kind, lane; /* lspo_op_kind_t or LSPO_RULE_STEP      */
    bool from_file;     /* the user's rule, which comes before built-in ones */
    bool whole_step;    /* PyTorch's own mark of a whole step of an optimizer */
    const char *pattern;
} lspo_import_rule_t;

typedef struct lspo_import_rules lspo_import_rules_t;

/* `path` NULL: only the built-in table.  Errors name file, line and value. */
lspo_status_t lspo_import_rules_create(const char *path, lspo_import_rules_t **rules_out);
void lspo_import_rules_destroy(lspo_import_rules_t *rules);

/* The first rule for such an event, or NULL.  It lives as long as `rules`. */
const lspo_import_rule_t *lspo_import_rules_find(const lspo_import_rules_t *rules, lspo_event_class_t event_class,
                                                 const char *name);

/* The built-in table, in order; for help and documentation. */
const lspo_import_rule_t *lspo_import_rules_builtin(uint32_t *count_out);
const char *lspo_import_rule_kind_name(uint8_t kind); /* "FWD", ..., "STEP" */

#endif
