/* texts.c - see texts.h. */
#include "base/texts.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static lspo_texts_t of_process;
static _Thread_local lspo_texts_t *own;

lspo_texts_t *lspo_texts_use(lspo_texts_t *texts)
{
    lspo_texts_t *before = own;
    own = texts;
    return before;
}

void lspo_texts_release(lspo_texts_t *texts)
{
    for (uint32_t i = 0; i < texts->count; i++)
        free(texts->list[i]);
    free(texts->list);
    *texts = (lspo_texts_t){0};
}

static lspo_status_t find_or_add(lspo_texts_t *texts, const char *text, uint32_t *number_out)
{
    for (uint32_t i = 0; i < texts->count; i++)
        if (strcmp(texts->list[i], text) == 0) {
            *number_out = i + 1;
            return LSPO_OK;
        }
    lspo_status_t status =
        lspo_array_grow(&texts->list, &texts->capacity, (size_t)texts->count + 1, sizeof *texts->list, "texts");
    if (status != LSPO_OK)
        return status;
    texts->list[texts->count] = strdup(text);
    if (texts->list[texts->count] == NULL)
        return lspo_no_memory("a text");
    *number_out = ++texts->count;
    return LSPO_OK;
}

lspo_status_t lspo_text_number(const char *text, uint32_t *number_out)
{
    if (own != NULL)
        return find_or_add(own, text, number_out);
    pthread_mutex_lock(&lock);
    lspo_status_t status = find_or_add(&of_process, text, number_out);
    pthread_mutex_unlock(&lock);
    return status;
}

static const char *text_at(const lspo_texts_t *texts, uint32_t number)
{
    assert(number >= 1 && number <= texts->count);
    return texts->list[number - 1];
}

const char *lspo_text_of(uint32_t number)
{
    if (own != NULL)
        return text_at(own, number);
    pthread_mutex_lock(&lock);
    const char *text = text_at(&of_process, number);
    pthread_mutex_unlock(&lock);
    return text;
}
