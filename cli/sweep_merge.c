/* sweep_merge.c - see sweep_merge.h. */
#include "cli/sweep_merge.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/input_file.h"
#include "cli/sweep_title.h"
#include "sweep/output.h"

char *lspo_sweep_shard_path(const char *output, uint32_t shard, uint32_t shard_count)
{
    char *path;
    return asprintf(&path, "%s.shard-%u-of-%u", output, shard, shard_count) >= 0 ? path : NULL;
}

bool lspo_sweep_is_stream(const char *path)
{
    struct stat info;
    return lspo_descriptor_of_path(path) >= 0 ||
           (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode));
}

lspo_status_t lspo_sweep_part_path(const char *final_path, char **path_out, bool *apart_out)
{
    const char *temporary = getenv("TMPDIR");
    const char *parent = temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp";
    char folder[PATH_MAX];
    *apart_out = lspo_sweep_is_stream(final_path);
    if (*apart_out) {
        snprintf(folder, sizeof folder, "%s/lspo-sweep-XXXXXX", parent);
        *apart_out = mkdtemp(folder) != NULL;
        if (!*apart_out)
            return lspo_error(LSPO_ERR_IO, "cannot make a folder in %s: %s", parent, strerror(errno));
    }
    if (asprintf(path_out, "%s%s.part", *apart_out ? folder : final_path, *apart_out ? "/rows" : "") >= 0)
        return LSPO_OK;
    *path_out = NULL;
    return lspo_no_memory("the names of files");
}

void lspo_sweep_part_remove(char *path)
{
    char *slash = path != NULL ? strrchr(path, '/') : NULL;
    if (slash == NULL)
        return;
    unlink(path);
    *slash = '\0';
    rmdir(path);
}

lspo_status_t lspo_sweep_finish(lspo_journal_t *journal, bool shard, const char *part_path, const char *final_path,
                                const char *names)
{
    lspo_status_t status = shard ? lspo_journal_finish(journal) : lspo_sweep_write(final_path, names, &journal, 1);
    if (status == LSPO_OK && shard && rename(part_path, final_path) != 0)
        status = lspo_error(LSPO_ERR_IO, "cannot rename %s: %s", part_path, strerror(errno));
    if (shard)
        return status;
    if (status == LSPO_OK && part_path != NULL && unlink(part_path) != 0)
        return lspo_error(LSPO_ERR_IO, "cannot remove %s: %s", part_path, strerror(errno));
    return status;
}

void lspo_sweep_say(const char *output, uint64_t rows, uint64_t errors, const char *columns)
{
    static const char name[] = "error";
    bool there = false;
    for (const char *at = strstr(columns, name); at != NULL && !there; at = strstr(at + 1, name)) {
        char after = at[sizeof name - 1];
        there = (at == columns || at[-1] == ',') && (after == '\0' || after == ',');
    }
    if (errors > 0)
        lspo_warn("cells with an error: %" PRIu64 "; %s", errors,
                  there ? "see the column error" : "the column error says why");
    if (lspo_descriptor_of_path(output) != STDOUT_FILENO) /* where the rows are */
        printf("%s: %" PRIu64 " rows\n", output, rows);
}

/* The shards that are open. */
typedef struct {
    uint32_t count;            /* of all */
    lspo_journal_t **journals; /* owned, the first `opened` of them too */
    uint32_t opened;
    char *text; /* owned: of the first one's title, to which `title` points */
    lspo_sweep_title_t title;
} shards_t;

/* N of FILE.shard-I-of-N; 0: it is no such name. */
static unsigned count_of(const char *path, const char *output)
{
    unsigned shard, count;
    int used = 0;
    const char *end = path + strlen(output);
    if (sscanf(end, ".shard-%u-of-%u%n", &shard, &count, &used) != 2 || end[used] != '\0')
        return 0;
    return count;
}

/* N of the names; LSPO_ERR_INPUT, with a name of each, if two of them have another. */
static lspo_status_t agree(const glob_t *found, const char *output, uint32_t *count_out)
{
    const char *first = NULL;
    for (size_t i = 0; i < found->gl_pathc; i++) {
        const char *path = found->gl_pathv[i];
        unsigned count = count_of(path, output);
        if (count == 0 || count > UINT16_MAX)
            continue;
        if (first != NULL && count != *count_out)
            return lspo_error(LSPO_ERR_INPUT,
                              "there are shards of %u and of %u: %s and %s; remove those that are not wanted",
                              *count_out, count, first, path);
        first = path;
        *count_out = count;
    }
    return first != NULL ? LSPO_OK : lspo_error(LSPO_ERR_INPUT, "there is no %s.shard-I-of-N", output);
}

/* How many shards there are. */
static lspo_status_t count_shards(const char *output, uint32_t *count_out)
{
    char *pattern;
    glob_t found = {0};
    if (asprintf(&pattern, "%s.shard-*-of-*[0-9]", output) < 0)
        return lspo_no_memory("the names of shards");
    int error = glob(pattern, 0, NULL, &found);
    lspo_status_t status =
        error == GLOB_NOSPACE ? lspo_no_memory("the names of shards") : agree(&found, output, count_out);
    globfree(&found);
    free(pattern);
    return status;
}

/* The first line of a shard. */
static lspo_status_t read_title(const char *path, char **text_out)
{
    lspo_input_t *input;
    char *line;
    size_t length;
    lspo_status_t status = lspo_input_open(path, UINT64_MAX, &input);
    if (status != LSPO_OK)
        return status;
    status = lspo_input_line(input, &line, &length);
    *text_out = status == LSPO_OK && line != NULL ? strdup(line) : NULL;
    lspo_input_close(input);
    if (status == LSPO_OK && *text_out == NULL)
        status = lspo_error(LSPO_ERR_INPUT, "%s is not a shard of a sweep", path);
    return status;
}

static bool same_sweep(const lspo_sweep_title_t *a, const lspo_sweep_title_t *b)
{
    return a->cell_count == b->cell_count && a->shard_count == b->shard_count && a->grid_hash == b->grid_hash &&
           a->names_hash == b->names_hash && strcmp(a->format, b->format) == 0 && strcmp(a->version, b->version) == 0 &&
           strcmp(a->run, b->run) == 0 && strcmp(a->columns, b->columns) == 0;
}

/* The first shard's title says what the others must be. */
static lspo_status_t check_title(const char *path, char *text, shards_t *shards)
{
    lspo_sweep_title_t title;
    lspo_status_t status = lspo_sweep_title_read(path, text, &title);
    if (status != LSPO_OK)
        return status;
    if (shards->opened == 0) {
        shards->title = title;
        shards->text = text;
    }
    if (!same_sweep(&title, &shards->title) || title.shard != shards->opened + 1)
        status = lspo_error(LSPO_ERR_INPUT,
                            "%s is of another sweep than the first shard: its grid, columns, profiles, version or "
                            "--run differ",
                            path);
    return status;
}

static lspo_status_t open_shard(const char *output, shards_t *shards)
{
    char *path = lspo_sweep_shard_path(output, shards->opened + 1, shards->count), *text = NULL, *unused = NULL;
    lspo_status_t status = path ? LSPO_OK : lspo_no_memory("the name of a shard");
    if (status == LSPO_OK && access(path, F_OK) != 0)
        status = lspo_error(LSPO_ERR_INPUT, "%s is missing: that shard is not done", path);
    if (status == LSPO_OK)
        status = read_title(path, &text);
    if (status == LSPO_OK)
        status = check_title(path, text, shards);
    if (status == LSPO_OK)
        status = lspo_journal_open_finished(path, shards->title.cell_count, &shards->journals[shards->opened], &unused);
    if (text != shards->text)
        free(text);
    free(unused);
    free(path);
    shards->opened += status == LSPO_OK;
    return status;
}

static lspo_status_t write_all(const char *output, const shards_t *shards)
{
    uint64_t rows = 0, errors = 0;
    const char *names = strcmp(shards->title.format, "csv") == 0 ? shards->title.columns : NULL;
    for (uint32_t i = 0; i < shards->count; i++) {
        rows += lspo_journal_rows(shards->journals[i]);
        errors += lspo_journal_errors(shards->journals[i]);
    }
    lspo_status_t status = lspo_sweep_write(output, names, shards->journals, shards->count);
    if (status != LSPO_OK)
        return status;
    lspo_sweep_say(output, rows, errors, shards->title.columns);
    return LSPO_OK;
}

lspo_status_t lspo_sweep_merge(const char *output)
{
    shards_t shards = {0};
    lspo_status_t status = count_shards(output, &shards.count);
    if (status != LSPO_OK)
        return status;
    shards.journals = calloc(shards.count, sizeof *shards.journals);
    if (!shards.journals)
        return lspo_no_memory("%u shards", shards.count);
    while (status == LSPO_OK && shards.opened < shards.count)
        status = open_shard(output, &shards);
    if (status == LSPO_OK)
        status = write_all(output, &shards);
    for (uint32_t i = 0; i < shards.opened; i++)
        lspo_journal_close(shards.journals[i]);
    free(shards.journals);
    free(shards.text);
    return status;
}
