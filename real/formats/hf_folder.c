/* hf_folder.c - explain why a folder cannot be loaded as a model, and what to do; see hf_folder.h. */
#include "real/formats/hf_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

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

lspo_status_t lspo_hf_folder_refuse(const char *folder)
{
    char found[256] = "";
    size_t best = KIND_COUNT;
    bool config = false;
    DIR *list = opendir(folder);
    if (!list)
        return lspo_error(lspo_status_of_errno(errno), "%s: %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        const size_t kind = kind_of(entry->d_name);
        config |= strcmp(entry->d_name, "config.json") == 0;
        if (kind < best || (kind == best && kind < KIND_COUNT && strcmp(entry->d_name, found) < 0)) {
            best = kind;
            strcpy(found, entry->d_name);
        }
    }
    closedir(list);
    const char *missing = config ? "neither model.safetensors nor model.safetensors.index.json" : "no config.json";
    if (best < KIND_COUNT)
        return lspo_error(LSPO_ERR_INPUT, "%s has %s; its %s is %s: %s", folder, missing, found, kinds[best].what,
                          kinds[best].remedy);
    const char *other = ": it is not a model folder of Hugging Face's tools (`lspo help models`)";
    return lspo_error(LSPO_ERR_INPUT, "%s has %s%s", folder, missing, config ? "" : other);
}
