/* dataset_labels.c - rows of classifiers: one text or two, and a class or a number.  See dataset.h. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "real/data/dataset_state.h"

bool lspo_label_target(const lspo_dataset_t *dataset, double label, uint32_t *target_out)
{
    const float value = (float)label;
    if (dataset->class_count == 1) {
        memcpy(target_out, &value, sizeof value);
        return isfinite(value);
    }
    if (!(label >= 0 && label < dataset->class_count && label == floor(label)))
        return false;
    *target_out = (uint32_t)label;
    return true;
}

static lspo_status_t append_all(const uint32_t *ids, size_t count, lspo_tokens_t *tokens)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; status == LSPO_OK && i < count; i++)
        status = lspo_tokens_append(tokens, ids[i]);
    return status;
}

/* Tokens are taken from the longer text first, as by Hugging Face's `longest_first`. */
static void cut_pair(size_t room, size_t *first, size_t *second)
{
    size_t *shorter = *first <= *second ? first : second, *longer = shorter == first ? second : first;
    if (*first + *second <= room)
        return;
    if (*shorter > room / 2)
        *shorter = room / 2;
    *longer = room - *shorter;
}

/* Of the texts, whose tokens follow those of `part` and are in `second`, what fits into a row; then the end. */
static lspo_status_t fit_texts(const lspo_dataset_t *dataset, lspo_part_t *part, size_t room, size_t begin,
                               const lspo_tokens_t *second)
{
    const lspo_encoder_t *encoder = &dataset->encoder;
    size_t counts[] = {part->tokens.count - begin, second ? second->count : 0}, whole = counts[0] + counts[1];
    cut_pair(room, &counts[0], &counts[1]);
    part->cut += counts[0] + counts[1] < whole;
    part->tokens.count = begin + counts[0];
    lspo_status_t status = LSPO_OK;
    if (second)
        status = append_all(encoder->between, encoder->between_count, &part->tokens);
    if (status == LSPO_OK && second)
        status = append_all(second->ids, counts[1], &part->tokens);
    return status == LSPO_OK ? lspo_dataset_append_special(encoder->end, &part->tokens) : status;
}

static lspo_status_t add_texts(const lspo_dataset_t *dataset, lspo_part_t *part, const lspo_labelled_t *labelled,
                               lspo_tokens_t *second)
{
    const lspo_encoder_t *encoder = &dataset->encoder;
    const lspo_text_span_t *texts = labelled->texts;
    const size_t specials =
        (encoder->begin != LSPO_NO_TOKEN) + (encoder->end != LSPO_NO_TOKEN) + (second ? encoder->between_count : 0);
    const size_t first = part->tokens.count;
    if (dataset->sequence <= specials)
        return lspo_error(LSPO_ERR_INPUT, "%s: --sequence %" PRIu32 " has no room for a text beside %zu special tokens",
                          labelled->where, dataset->sequence, specials);
    lspo_status_t status = lspo_dataset_append_special(encoder->begin, &part->tokens);
    const size_t begin = part->tokens.count;
    if (status == LSPO_OK)
        status = lspo_encoder_encode(encoder, texts[0].data, texts[0].bytes, &part->tokens);
    if (status == LSPO_OK && second)
        status = lspo_encoder_encode(encoder, texts[1].data, texts[1].bytes, second);
    if (status == LSPO_OK && part->tokens.count == begin && (!second || second->count == 0)) {
        part->tokens.count = first;
        lspo_dataset_skip(part, labelled->where, "it has no text");
        return LSPO_OK;
    }
    if (status == LSPO_OK)
        status = fit_texts(dataset, part, dataset->sequence - specials, begin, second);
    if (status != LSPO_OK)
        return status;
    lspo_row_t row = {.first = first, .count = (uint32_t)(part->tokens.count - first), .label = labelled->target};
    return lspo_dataset_add_row(part, &row);
}

lspo_status_t lspo_dataset_add_labelled(const lspo_dataset_t *dataset, lspo_part_t *part,
                                        const lspo_labelled_t *labelled)
{
    lspo_tokens_t second = {0};
    if (labelled->text_count == 2 && !dataset->encoder.pairs)
        return lspo_error(LSPO_ERR_INPUT, "%s: the model's tokenizer has no template for a pair of texts",
                          labelled->where);
    lspo_status_t status = add_texts(dataset, part, labelled, labelled->text_count == 2 ? &second : NULL);
    free(second.ids);
    return status;
}
