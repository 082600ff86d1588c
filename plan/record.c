/* record.c - tables of the fields of a struct; see record.h. */
#include "plan/record.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/texts.h"
#include "base/units.h"
#include "plan/precision.h"

void lspo_record_format_value(lspo_record_kind_t kind, const char *const *names, const void *value, char *text,
                              size_t capacity)
{
    char number[64];
    switch (kind) {
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
        snprintf(text, capacity, "%s",
                 lspo_format_quantity_exact(*(const double *)value, LSPO_UNIT_NONE, number, sizeof number));
        break;
    case LSPO_RECORD_BOOL:
        snprintf(text, capacity, "%s", *(const bool *)value ? "on" : "off");
        break;
    case LSPO_RECORD_NAMED:
        snprintf(text, capacity, "%s", names[*(const unsigned *)value]);
        break;
    case LSPO_RECORD_TEXT:
        snprintf(text, capacity, "%s",
                 *(const uint32_t *)value > 0 ? lspo_text_of(*(const uint32_t *)value) : names[0]);
        break;
    case LSPO_RECORD_SCALE:
        lspo_loss_scale_format(*(const double *)value, text, capacity);
        break;
    }
}

void lspo_record_format(const lspo_record_field_t *field, const void *record, char *text, size_t capacity)
{
    lspo_record_format_value(field->kind, field->names, (const char *)record + field->offset_bytes, text, capacity);
}

size_t lspo_record_bytes(lspo_record_kind_t kind)
{
    switch (kind) {
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
    case LSPO_RECORD_TEXT:
        break;
    }
    return sizeof(uint32_t);
}
