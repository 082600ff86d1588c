/* sweep_title.c - see sweep_title.h. */
#include "cli/sweep_title.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char head[] = "lspo-sweep 2";

lspo_status_t lspo_sweep_title_write(const lspo_sweep_title_t *title, char **text_out)
{
    int length = asprintf(text_out,
                          "%s cells=%" PRIu64 " shard=%u/%u grid=%016" PRIx64 " names=%016" PRIx64
                          " format=%s run=%s version=%s columns=%s",
                          head, title->cell_count, title->shard, title->shard_count, title->grid_hash,
                          title->names_hash, title->format, title->run, title->version, title->columns);
    return length >= 0 ? LSPO_OK : lspo_no_memory("the journal's first line");
}

/* What follows " NAME=" in the text, which ends before " NEXT=". */
static char *piece(char *text, const char *name, const char *next)
{
    char mark[32], *start, *end;
    snprintf(mark, sizeof mark, " %s=", name);
    start = strstr(text, mark);
    if (start == NULL)
        return NULL;
    start += strlen(mark);
    if (next == NULL)
        return start;
    snprintf(mark, sizeof mark, " %s=", next);
    end = strstr(start, mark);
    if (end != NULL)
        *end = '\0';
    return end != NULL ? start : NULL;
}

lspo_status_t lspo_sweep_title_read(const char *path, char *text, lspo_sweep_title_t *title_out)
{
    lspo_sweep_title_t title = {0};
    bool right = strncmp(text, head, sizeof head - 1) == 0 &&
                 sscanf(text + sizeof head - 1, " cells=%" SCNu64 " shard=%u/%u grid=%" SCNx64 " names=%" SCNx64,
                        &title.cell_count, &title.shard, &title.shard_count, &title.grid_hash, &title.names_hash) == 5;
    /* From the last to the first, since each is cut off. */
    title.columns = right ? piece(text, "columns", NULL) : NULL;
    title.version = right ? piece(text, "version", "columns") : NULL;
    title.run = right ? piece(text, "run", "version") : NULL;
    title.format = right ? piece(text, "format", "run") : NULL;
    if (title.columns == NULL || title.version == NULL || title.run == NULL || title.format == NULL ||
        title.cell_count == 0 || title.shard < 1 || title.shard > title.shard_count)
        return lspo_error(LSPO_ERR_INPUT, "%s is not a shard of a sweep", path);
    *title_out = title;
    return LSPO_OK;
}
