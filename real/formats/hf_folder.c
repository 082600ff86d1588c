/* hf_folder.c - explain why a folder cannot be loaded as a model, and what to do; see hf_folder.h. */
#include "real/formats/hf_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "real/tokenizer/files.h"

#define RESAVE "load it with Python's transformers and save_pretrained(FOLDER), which writes model.safetensors"

/* Ordered by how much a name explains; the first that exists is used. */
static const struct {
    const char *pattern, *what, *remedy;
} kinds[] = {
    {"adapter_config.json", "an adapter of PEFT, not a whole model",
     "merge it into its base model first: PeftModel.from_pretrained(BASE, ADAPTER).merge_and_unload()"
     ".save_pretrained(FOLDER)"},
    {"adapter_model.*", "an adapter of PEFT, not a whole model",
     "merge it into its base model first: PeftModel.from_pretrained(BASE, ADAPTER).merge_and_unload()"
     ".save_pretrained(FOLDER)"},
    {"consolidated*", "weights under the names of their authors' own code",
     "convert them with the script that transformers has for the family"},
    {"params.json", "weights under the names of their authors' own code",
     "convert them with the script that transformers has for the family"},
    {"*.safetensors.index.json", "an index of shards under another name",
     "lspo reads model.safetensors or model.safetensors.index.json: rename it, or " RESAVE},
    {"*.safetensors", "safetensors under another name",
     "lspo reads model.safetensors, or the shards that "
     "model.safetensors.index.json lists: rename it, or " RESAVE},
    {"pytorch_model*.bin", "weights in PyTorch's own format, which runs code when it is read", RESAVE},
    {"*.bin", "weights in PyTorch's own format, which runs code when it is read", RESAVE},
    {"*.pt", "weights in PyTorch's own format, which runs code when it is read", RESAVE},
    {"*.pth", "weights in PyTorch's own format, which runs code when it is read", RESAVE},
    {"*.ckpt*", "a checkpoint of PyTorch Lightning or TensorFlow", RESAVE},
    {"*.gguf", "a model of llama.cpp, most often quantized", "get the folder that it was made from"},
    {"ggml*", "a model of llama.cpp, most often quantized", "get the folder that it was made from"},
    {"*.h5", "weights of TensorFlow", RESAVE},
    {"*.msgpack", "weights of Flax", RESAVE},
    {"*.onnx", "a model of ONNX", "get the folder that it was exported from"},
    {"*.npz", "arrays of NumPy", "get the folder that it was made from, with model.safetensors"},
};

enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

static size_t kind_of(const char *name)
{
    size_t kind = 0;
    while (kind < KIND_COUNT && fnmatch(kinds[kind].pattern, name, 0) != 0)
        kind++;
    return kind;
}

/* As in a cache of Hugging Face's hub whose blobs are gone. */
static bool is_needed_but_broken(DIR *list, const char *name)
{
    const bool needed = strcmp(name, "config.json") == 0 || strcmp(name, "model.safetensors") == 0 ||
                        strcmp(name, "model.safetensors.index.json") == 0;
    return needed && faccessat(dirfd(list), name, F_OK, 0) != 0;
}

lspo_status_t lspo_hf_folder_refuse(const char *folder)
{
    char found[256] = "", broken[256] = "";
    size_t best = KIND_COUNT;
    bool config = false;
    DIR *list = opendir(folder);
    if (!list)
        return lspo_error(lspo_status_of_errno(errno), "%s: %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        const size_t kind = kind_of(entry->d_name);
        config |= strcmp(entry->d_name, "config.json") == 0;
        if (is_needed_but_broken(list, entry->d_name))
            strcpy(broken, entry->d_name);
        if (kind < best || (kind == best && kind < KIND_COUNT && strcmp(entry->d_name, found) < 0)) {
            best = kind;
            strcpy(found, entry->d_name);
        }
    }
    closedir(list);
    if (*broken)
        return lspo_error(LSPO_ERR_INPUT, "%s/%s is a link to a file that is not there; fetch the model again", folder,
                          broken);
    const char *missing = config ? "neither model.safetensors nor model.safetensors.index.json" : "no config.json";
    if (best < KIND_COUNT)
        return lspo_error(LSPO_ERR_INPUT, "%s has %s; its %s is %s: %s", folder, missing, found, kinds[best].what,
                          kinds[best].remedy);
    const char *other = ": it is not a model folder of Hugging Face's tools (`lspo help models`)";
    return lspo_error(LSPO_ERR_INPUT, "%s has %s%s", folder, missing, config ? "" : other);
}

/* Would it be taken for a part of the saved model?  Saving writes config.json and model.safetensors itself. */
static bool is_part(const char *name)
{
    return strcmp(name, "model.safetensors") != 0 &&
           (lspo_tokenizer_is_companion(name) || fnmatch("*.safetensors", name, FNM_PERIOD) == 0 ||
            fnmatch("*.safetensors.index.json", name, FNM_PERIOD) == 0);
}

/* Saving copies the companions of `origin`, and so replaces those of the same names. */
static lspo_status_t check_entry(const char *folder, const char *origin, const char *name)
{
    bool replaced = false;
    if (!is_part(name))
        return LSPO_OK;
    if (origin && lspo_tokenizer_is_companion(name)) {
        char *path;
        if (asprintf(&path, "%s/%s", origin, name) < 0)
            return lspo_no_memory("the name of %s", name);
        replaced = access(path, F_OK) == 0;
        free(path);
    }
    if (replaced)
        return LSPO_OK;
    return lspo_error(
        LSPO_ERR_INPUT,
        "%s has a %s of another model, which would stay beside this one; remove it, or give another folder", folder,
        name);
}

lspo_status_t lspo_hf_folder_check_save(const char *folder, const char *origin)
{
    lspo_status_t status = LSPO_OK;
    DIR *list = opendir(folder);
    if (!list)
        return lspo_error(lspo_status_of_errno(errno), "%s: %s", folder, strerror(errno));
    for (struct dirent *entry; status == LSPO_OK && (entry = readdir(list)) != NULL;)
        status = check_entry(folder, origin, entry->d_name);
    closedir(list);
    return status;
}
