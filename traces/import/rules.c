/* rules.c - the meaning of events of a PyTorch profiler trace: a table of name patterns; see rules.h. */
#include "traces/import/rules.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/input_file.h"

struct lspo_import_rules {
    lspo_import_rule_t *rules; /* the user's; patterns are owned */
    uint32_t count;
    size_t capacity;
};

enum {
    RANGE = LSPO_EVENT_ANNOTATION | LSPO_EVENT_CPU_OP,
    DEVICE = LSPO_EVENT_KERNEL | LSPO_EVENT_COPY,
    NOTE = LSPO_EVENT_ANNOTATION
};

/* PyTorch itself marks backward (autograd::engine) and optimizer steps; steps only if the user calls prof.step(),
 * forward only if the user marks it.  Profilers before 1.12 wrote annotations as operators, hence both classes. */
static const lspo_import_rule_t builtin[] = {
    {RANGE, LSPO_RULE_STEP, LSPO_LANE_CPU, false, false, "ProfilerStep#*"},
    {RANGE, LSPO_OP_UPD, LSPO_LANE_CPU, false, true, "Optimizer.step#*CPU*.step"},
    {RANGE, LSPO_OP_UPD_GPU, LSPO_LANE_GPU, false, true, "Optimizer.step#*"},
    {RANGE, LSPO_OP_RECOMPUTE, LSPO_LANE_GPU, false, false, "*CheckpointFunctionBackward*"},
    {RANGE, LSPO_OP_BWD, LSPO_LANE_GPU, false, false, "autograd::engine::evaluate_function:*"},
    {NOTE, LSPO_OP_BWD, LSPO_LANE_GPU, false, false, "*backward*"},
    {NOTE, LSPO_OP_FWD, LSPO_LANE_GPU, false, false, "*forward*"},
    {NOTE, LSPO_OP_UPD_GPU, LSPO_LANE_GPU, false, false, "optimizer"},
    {NOTE, LSPO_OP_UPD_GPU, LSPO_LANE_GPU, false, false, "optimizer?step*"},
    {NOTE, LSPO_OP_UPD_GPU, LSPO_LANE_GPU, false, false, "## optimizer ##"},
    {LSPO_EVENT_COPY, LSPO_OP_H2D, LSPO_LANE_H2D, false, false, "*HtoD*"},
    {LSPO_EVENT_COPY, LSPO_OP_D2H, LSPO_LANE_D2H, false, false, "*DtoH*"},
    {LSPO_EVENT_COPY, LSPO_OP_H2D, LSPO_LANE_H2D, false, false, "*HostToDevice*"},
    {LSPO_EVENT_COPY, LSPO_OP_D2H, LSPO_LANE_D2H, false, false, "*DeviceToHost*"},
    {LSPO_EVENT_COPY, LSPO_OP_H2D, LSPO_LANE_H2D, false, false, "*M2D*"}, /* Intel's terms: memory, device */
    {LSPO_EVENT_COPY, LSPO_OP_D2H, LSPO_LANE_D2H, false, false, "*D2M*"},
};
enum { BUILTIN_COUNT = sizeof builtin / sizeof builtin[0] };

const lspo_import_rule_t *lspo_import_rules_builtin(uint32_t *count_out)
{
    *count_out = BUILTIN_COUNT;
    return builtin;
}

const char *lspo_import_rule_kind_name(uint8_t kind)
{
    return kind == LSPO_RULE_STEP ? "STEP" : lspo_op_kind_name((lspo_op_kind_t)kind);
}

static lspo_status_t append_rule(lspo_import_rules_t *rules, lspo_import_rule_t rule, const char *path)
{
    char *pattern = strdup(rule.pattern);
    if (!pattern)
        return lspo_no_memory("the rules of %s", path);
    lspo_status_t status =
        lspo_array_grow(&rules->rules, &rules->capacity, (size_t)rules->count + 1, sizeof *rules->rules, "rules");
    if (status != LSPO_OK) {
        free(pattern);
        return status;
    }
    rule.pattern = pattern;
    rules->rules[rules->count++] = rule;
    return LSPO_OK;
}

static const char blanks[] = " \t\r\n";

/* The next word of *rest, ended with a NUL; NULL at the end of the line. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, blanks);
    size_t length = strcspn(word, blanks);
    *rest = word + length;
    if (length == 0)
        return NULL;
    if (**rest != '\0')
        *(*rest)++ = '\0';
    return word;
}

static lspo_status_t parse_rule(char *line, const char *path, uint64_t number, lspo_import_rules_t *rules)
{
    char *rest = line;
    const char *kind_text = next_word(&rest);
    if (!kind_text || kind_text[0] == '#')
        return LSPO_OK;
    const char *lane_text = next_word(&rest);
    char *pattern = rest + strspn(rest, blanks);
    size_t length = strlen(pattern);
    while (length > 0 && strchr(blanks, pattern[length - 1]))
        pattern[--length] = '\0';
    if (!lane_text || length == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": a rule is 'KIND LANE PATTERN', as in 'FWD gpu my_model*'",
                          path, number);
    bool is_step = strcmp(kind_text, "STEP") == 0;
    lspo_op_kind_t kind = lspo_op_kind_parse(kind_text);
    if (kind == LSPO_OP_KIND_COUNT && !is_step)
        return lspo_error(
            LSPO_ERR_INPUT,
            "%s:%" PRIu64 ": '%.40s' is not a kind of op: FWD, RECOMPUTE, BWD, COMPRESS, NORM, D2H, UPD, "
            "UPD_GPU, H2D, APPLY, SWAP_IN, SWAP_OUT, PROJECT, or STEP for the events that mark iterations",
            path, number, kind_text);
    lspo_lane_kind_t lane = lspo_lane_kind_parse(lane_text);
    if (lane == LSPO_LANE_KIND_COUNT || (is_step && lane != LSPO_LANE_CPU))
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": '%.40s' is not a lane: %s", path, number, lane_text,
                          is_step ? "STEP must be on cpu" : "gpu, d2h, h2d or cpu");
    lspo_import_rule_t rule = {.classes = is_step ? RANGE : RANGE | DEVICE,
                               .kind = is_step ? (uint8_t)LSPO_RULE_STEP : (uint8_t)kind,
                               .lane = (uint8_t)lane,
                               .from_file = true,
                               .pattern = pattern};
    return append_rule(rules, rule, path);
}

static const uint64_t rules_bytes_max = (uint64_t)1 << 20;

static lspo_status_t read_file(const char *path, lspo_import_rules_t *rules)
{
    lspo_input_t *input;
    char *line = NULL;
    size_t length = 0;
    lspo_status_t status = lspo_input_open(path, rules_bytes_max, &input);
    if (status != LSPO_OK)
        return status;
    status = lspo_input_line(input, &line, &length);
    if (status != LSPO_OK)
        goto cleanup;
    while (line) {
        status = parse_rule(line, path, lspo_input_line_number(input), rules);
        if (status != LSPO_OK)
            goto cleanup;
        status = lspo_input_line(input, &line, &length);
        if (status != LSPO_OK)
            goto cleanup;
    }
cleanup:
    lspo_input_close(input);
    return status;
}

lspo_status_t lspo_import_rules_create(const char *path, lspo_import_rules_t **rules_out)
{
    lspo_import_rules_t *rules = calloc(1, sizeof *rules);
    if (!rules)
        return lspo_no_memory("the rules of an import");
    lspo_status_t status = path ? read_file(path, rules) : LSPO_OK;
    if (status != LSPO_OK) {
        lspo_import_rules_destroy(rules);
        return status;
    }
    *rules_out = rules;
    return LSPO_OK;
}

void lspo_import_rules_destroy(lspo_import_rules_t *rules)
{
    if (!rules)
        return;
    for (uint32_t i = 0; i < rules->count; i++)
        free((char *)rules->rules[i].pattern);
    free(rules->rules);
    free(rules);
}

static const lspo_import_rule_t *find_in(const lspo_import_rule_t *rules, uint32_t count,
                                         lspo_event_class_t event_class, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if ((rules[i].classes & event_class) && fnmatch(rules[i].pattern, name, FNM_CASEFOLD) == 0)
            return &rules[i];
    return NULL;
}

const lspo_import_rule_t *lspo_import_rules_find(const lspo_import_rules_t *rules, lspo_event_class_t event_class,
                                                 const char *name)
{
    const lspo_import_rule_t *rule = find_in(rules->rules, rules->count, event_class, name);
    return rule ? rule : find_in(builtin, BUILTIN_COUNT, event_class, name);
}
