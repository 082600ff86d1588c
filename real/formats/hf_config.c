/* hf_config.c - see hf_config.h; each family has a table of type lspo_hf_family_t (hf_family.h). */
#include "real/formats/hf_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/formats/hf_family.h"

const lspo_hf_family_t *lspo_hf_family(lspo_family_t family)
{
    static const lspo_hf_family_t *const families[] = {
#define FAMILY(id, name) [LSPO_FAMILY_##id] = &lspo_hf_##name,
        LSPO_FAMILIES(FAMILY)
#undef FAMILY
    };
    return families[family];
}

/* Sets model->family; an unknown type is an error that lists the known ones. */
static lspo_status_t find_family(const lspo_hf_reader_t *r, lspo_model_t *model)
{
    const char *type = json_string_value(lspo_hf_get(r, "model_type"));
    char known[256] = "";
    for (int i = 0; i < LSPO_FAMILY_COUNT; i++) {
        const char *name = lspo_hf_family((lspo_family_t)i)->model_type;
        if (type && strcmp(type, name) == 0) {
            model->family = (lspo_family_t)i;
            return LSPO_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "", name);
    }
    return lspo_error(LSPO_ERR_INPUT, "%s: model_type %s is not one of %s", r->path, type ? type : "(missing)", known);
}

lspo_status_t lspo_hf_config_parse(const json_t *config, const char *path, uint32_t class_count,
                                   lspo_model_t *model_out)
{
    const lspo_hf_reader_t r = {.config = config, .path = path};
    lspo_model_t model = {0};
    if (lspo_hf_get(&r, "quantization_config"))
        return lspo_hf_refuse(&r, "quantization_config");
    lspo_status_t status = find_family(&r, &model);
    if (status != LSPO_OK)
        return status;
    const lspo_hf_family_t *family = lspo_hf_family(model.family);
    if (family->count_classes != NULL)
        status = family->count_classes(&r, class_count, &model.class_count);
    if (status != LSPO_OK)
        return status;
    status = family->parse(&r, &model);
    if (status != LSPO_OK)
        return status;
    if (class_count > 0 && family->count_classes == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: a classifier must be a roberta, not a %s", path, family->model_type);
    *model_out = model;
    return LSPO_OK;
}

json_t *lspo_hf_config_make(const lspo_model_t *model)
{
    return lspo_hf_family(model->family)->make(model);
}
