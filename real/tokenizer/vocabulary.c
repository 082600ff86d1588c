/* vocabulary.c - hash tables for encoding: tokens by text, merges by pair; and lists of ids. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "real/tokenizer/state.h"

lspo_status_t lspo_ids_append(lspo_ids_t *list, const uint32_t *ids, size_t count)
{
    lspo_status_t status =
        lspo_array_grow(&list->ids, &list->capacity, list->count + count, sizeof *list->ids, "token ids");
    if (status != LSPO_OK)
        return status;
    if (count > 0)
        memcpy(list->ids + list->count, ids, count * sizeof *ids);
    list->count += count;
    return LSPO_OK;
}

uint64_t lspo_tokenizer_hash(const char *text, size_t bytes)
{
    uint64_t hash = 0xcbf29ce484222325U; /* FNV-1a, then mixed: slots take the low bits */
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3U;
    return hash ^ hash >> 29;
}

uint32_t lspo_tokenizer_lookup(const lspo_tokenizer_t *t, const char *text, size_t bytes, bool any)
{
    for (uint32_t slot = (uint32_t)lspo_tokenizer_hash(text, bytes) & t->token_slot_mask; t->token_slots[slot] != 0;
         slot = (slot + 1) & t->token_slot_mask) {
        uint32_t id = t->token_slots[slot] - 1;
        if (t->tokens[id].bytes == bytes && memcmp(t->tokens[id].text, text, bytes) == 0)
            return any || !t->added_only[id] ? id : LSPO_TOKEN_NONE;
    }
    return LSPO_TOKEN_NONE;
}

uint32_t lspo_tokenizer_pair_slot(const lspo_tokenizer_t *t, uint32_t left, uint32_t right)
{
    uint64_t key = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15U;
    uint32_t slot = (uint32_t)(key >> 32) & t->merge_slot_mask;
    while (t->merge_slots[slot] != 0) {
        const lspo_merge_t *merge = &t->merges[t->merge_slots[slot] - 1];
        if (merge->left == left && merge->right == right)
            break;
        slot = (slot + 1) & t->merge_slot_mask;
    }
    return slot;
}
