/* train_paths.c - see train_paths.h. */
#include "cli/train_paths.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ask/request.h"
#include "base/folder_lock.h"
#include "base/output_file.h"
#include "real/formats/hf_folder.h"
#include "real/train/checkpoint.h"
#include "real/train/metrics.h"

static lspo_status_t make_export_folder(const char *folder)
{
    struct stat info;
    if (mkdir(folder, 0777) == 0)
        return LSPO_OK;
    int error = errno;
    if (error == EEXIST && stat(folder, &info) == 0)
        error = !S_ISDIR(info.st_mode) ? ENOTDIR : access(folder, W_OK | X_OK) != 0 ? errno : 0;
    if (error == 0)
        return LSPO_OK;
    return lspo_error(lspo_status_of_mkdir(error), "%s: cannot make the folder: %s", folder, strerror(error));
}

/* Does an export write this name?  Its files have these endings, metrics have another. */
static bool is_exported(const char *path, const char *folder)
{
    static const char *const endings[] = {".json", ".safetensors", ".txt", ".jinja", ".model"};
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    char *parent = slash ? strndup(path, (size_t)(slash - path + 1)) : strdup(".");
    bool inside = parent && lspo_same_file(parent, folder), ours = false;
    free(parent);
    for (size_t i = 0; inside && dot && i < sizeof endings / sizeof endings[0]; i++)
        ours |= strcmp(dot, endings[i]) == 0;
    return ours;
}

static lspo_status_t check_metrics(const lspo_train_paths_t *paths)
{
    const char *path = paths->metrics;
    if (paths->export && is_exported(path, paths->export))
        return lspo_error(LSPO_ERR_INPUT, "--metrics %s is a file that --export writes", path);
    lspo_metrics_t *metrics;
    lspo_status_t status = lspo_metrics_open(path, &metrics);
    if (status != LSPO_OK)
        return status;
    lspo_metrics_close(metrics);
    return LSPO_OK;
}

static lspo_status_t check_export(const lspo_train_paths_t *paths, int *lock_out)
{
    const char *folder = paths->export, *model = paths->model;
    lspo_status_t status;
    if (model && lspo_same_file(folder, model))
        return lspo_error(LSPO_ERR_INPUT, "--export %s would overwrite the weights of --model; give another folder",
                          folder);
    status = make_export_folder(folder);
    if (status == LSPO_OK)
        status = lspo_hf_folder_check_save(folder, model && lspo_request_is_folder(model) ? model : NULL);
    if (status != LSPO_OK || (paths->output && lspo_same_file(folder, paths->output))) /* the checkpoints have a lock */
        return status;
    return lspo_folder_lock(folder, "training", lock_out);
}

static lspo_status_t check_output(const lspo_train_paths_t *paths)
{
    int lock;
    lspo_status_t status = lspo_checkpoint_prepare(paths->output, paths->resume, &lock);
    if (status != LSPO_OK)
        return status;
    close(lock);
    return LSPO_OK;
}

lspo_status_t lspo_train_paths_check(const lspo_train_paths_t *paths, int *export_lock_out)
{
    lspo_status_t status = paths->output ? check_output(paths) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (paths->export)
        status = check_export(paths, export_lock_out);
    if (status != LSPO_OK)
        return status;
    if (lspo_request_is_config(paths->model))
        lspo_warn("--model %s has no weights: they are random; to fine-tune the model, give its folder", paths->model);
    return paths->metrics ? check_metrics(paths) : LSPO_OK;
}
