#include "plan/record.h"

#include <inttypes.h>
#include <stdio.h>

#include "plan/workload.h"

size_t lspo_record_field_bytes(const lspo_record_field_t *field)
{
    switch (field->kind) {
    case LSPO_RECORD_U64:
        return sizeof(uint64_t);
    case LSPO_RECORD_REAL:
    case LSPO_RECORD_SCALE:
        return sizeof(double);
    case LSPO_RECORD_BOOL:
        return sizeof(bool);
    case LSPO_RECORD_U32:
    case LSPO_RECORD_I32:
    case LSPO_RECORD_NAMED:
        break;
    }
    return sizeof(uint32_t);
}

void lspo_record_format(const lspo_record_field_t *field, const void *record, char *text, size_t capacity)
{
    const void *value = (const char *)record + field->offset_bytes;
    switch (field->kind) {
    case LSPO_RECORD_U32:
        snprintf(text, capacity, "%" PRIu32, *(const uint32_t *)value);
        break;
    case LSPO_RECORD_I32:
        snprintf(text, capacity, "%" PRId32, *(const int32_t *)value);
        break;
    case LSPO_RECORD_U64:
        snprintf(text, capacity, "%" PRIu64, *(const uint64_t *)value);
        break;
    case LSPO_RECORD_REAL:
        snprintf(text, capacity, "%.17g", *(const double *)value);
        break;
    case LSPO_RECORD_BOOL:
        snprintf(text, capacity, "%s", *(const bool *)value ? "on" : "off");
        break;
    case LSPO_RECORD_NAMED:
        snprintf(text, capacity, "%s", field->names[*(const unsigned *)value]);
        break;
    case LSPO_RECORD_SCALE:
        lspo_loss_scale_format(*(const double *)value, text, capacity);
        break;
    }
}
