/* texts.c - see texts.h. */
#include "base/texts.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char **texts;
static size_t capacity;
static uint32_t count;

static lspo_status_t find_or_add(const char *text, uint32_t *number_out)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0) {
            *number_out = i + 1;
            return LSPO_OK;
        }
    lspo_status_t status = lspo_array_grow(&texts, &capacity, (size_t)count + 1, sizeof *texts, "texts");
    if (status != LSPO_OK)
        return status;
    texts[count] = strdup(text);
    if (texts[count] == NULL)
        return lspo_no_memory("a text");
    *number_out = ++count;
    return LSPO_OK;
}

lspo_status_t lspo_text_number(const char *text, uint32_t *number_out)
{
    pthread_mutex_lock(&lock);
    lspo_status_t status = find_or_add(text, number_out);
    pthread_mutex_unlock(&lock);
    return status;
}

const char *lspo_text_of(uint32_t number)
{
    pthread_mutex_lock(&lock);
    assert(number >= 1 && number <= count);
    const char *text = texts[number - 1];
    pthread_mutex_unlock(&lock);
    return text;
}
