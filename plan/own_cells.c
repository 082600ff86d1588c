/* own_cells.c - see own_cells.h. */
#include "plan/own_cells.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#include "plan/policy.h"

static lspo_field_kind_t kind_of(const lspo_parameter_t *parameter)
{
    switch (parameter->kind) {
    case LSPO_RECORD_REAL:
    case LSPO_RECORD_SCALE:
        return LSPO_FIELD_REAL;
    case LSPO_RECORD_NAMED:
    case LSPO_RECORD_TEXT:
        return LSPO_FIELD_TEXT;
    case LSPO_RECORD_BOOL:
        return LSPO_FIELD_YES_NO;
    case LSPO_RECORD_U32:
    case LSPO_RECORD_I32:
    case LSPO_RECORD_U64:
        break;
    }
    return LSPO_FIELD_INTEGER;
}

/* `slot` is NULL if the policy lacks the parameter. */
static lspo_own_cell_t cell_of(const lspo_parameter_t *parameter, const void *slot)
{
    double number = slot != NULL ? lspo_parameter_number(parameter, slot) : 0;
    switch (kind_of(parameter)) {
    case LSPO_FIELD_REAL:
        return (lspo_own_cell_t){.real = slot != NULL && number >= 0 ? number : (double)NAN};
    case LSPO_FIELD_TEXT:
        return (lspo_own_cell_t){.text = slot != NULL ? lspo_parameter_word(parameter, (uint32_t)number) : NULL};
    case LSPO_FIELD_YES_NO:
        return (lspo_own_cell_t){.yes = slot != NULL ? number != 0 : -1};
    case LSPO_FIELD_INTEGER:
    case LSPO_FIELD_STRING:
        break;
    }
    bool automatic = parameter->kind == LSPO_RECORD_I32 && number < 0;
    return (lspo_own_cell_t){.integer = slot != NULL && !automatic ? (uint64_t)number : LSPO_MISSING};
}

void lspo_own_cells_fill(const lspo_plan_t *plan, lspo_own_cell_t *cells)
{
    const lspo_parameter_t *parameter;
    for (size_t i = 0; i < LSPO_OWN_CELLS_MAX && (parameter = lspo_policies_parameter(i)) != NULL; i++)
        cells[i] = cell_of(parameter, lspo_policy_value(plan->policy, &plan->workload, parameter));
}

static void add_field(const lspo_parameter_t *parameter, size_t offset_bytes, lspo_own_field_t *field)
{
    snprintf(field->name, sizeof field->name, "%s", parameter->key);
    for (char *c = field->name; *c != '\0'; c++)
        *c = *c == '-' ? '_' : *c;
    field->field = (lspo_field_t){field->name, kind_of(parameter), parameter->quantity, offset_bytes};
}

size_t lspo_own_fields(size_t offset_bytes, lspo_own_field_t fields[LSPO_OWN_CELLS_MAX], size_t *first_out)
{
    const lspo_parameter_t *parameter;
    size_t first = 0, count = 0;
    for (size_t i = 0; i < LSPO_OWN_CELLS_MAX && (parameter = lspo_policies_parameter(i)) != NULL; i++)
        first += parameter->column > 0;
    count = first;
    for (size_t i = 0; i < LSPO_OWN_CELLS_MAX && (parameter = lspo_policies_parameter(i)) != NULL; i++) {
        size_t place = parameter->column > 0 ? parameter->column - 1 : count++;
        add_field(parameter, offset_bytes + i * sizeof(lspo_own_cell_t), &fields[place]);
    }
    *first_out = first;
    return count;
}
