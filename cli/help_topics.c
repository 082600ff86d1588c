/* help_topics.c - the subjects of `lspo help` that are no commands. */
#include "base/status.h"
#include "cli/help.h"
#include "cli/terms.h"
#include "cli/wrap.h"

static const char models[] =
    "A model (--model) is one of three things.\n"
    "\n"
    "A preset: its shapes are built in, its weights are random. `lspo list models` names them; a folder of the same "
    "name is written with a slash (./NAME). `lspo sim` needs no more, and `lspo run` and `lspo train` begin with "
    "weights that --seed draws.\n"
    "\n"
    "A file of shapes: an INI file that ends in .ini, for a model of your own:\n"
    "\n"
    "  [model]\n"
    "  name = mine\n"
    "  family = llama        ; gpt, llama or bert\n"
    "  blocks = 16\n"
    "  width = 1024\n"
    "  heads = 16\n"
    "  kv_heads = 4\n"
    "  mlp_width = 2816\n"
    "  vocabulary = 32000\n"
    "  max_sequence = 2048\n"
    "\n"
    "A folder in Hugging Face's form: config.json, *.safetensors and the tokenizer's files. To download one:\n"
    "\n"
    "  pip install huggingface_hub\n"
    "  hf download openai-community/gpt2 --local-dir ./gpt2\n"
    "  lspo train --model ./gpt2 --policy lsp --data notes.txt --output run1\n"
    "\n"
    "`huggingface-cli download` is the same in older versions. Some models (Llama) want an account that has accepted "
    "their licence, and `hf auth login` first. The families gpt, llama and roberta can be read, and a preset of the "
    "same name comes before a folder: write ./NAME for the folder.";

static const char machines[] =
    "A machine (--machine) is a profile: the rates, sizes and latencies from which `lspo sim` predicts. It is the name "
    "of "
    "a built-in profile (`lspo list machines`) or an INI file.\n"
    "\n"
    "`lspo calibrate -o mine.ini` measures this machine into such a file, and `lspo show machine NAME` prints any "
    "profile with the source of each value behind it. A file may begin with another profile, or be put together from a "
    "card and a host (`lspo list cards`, `lspo list hosts`):\n"
    "\n"
    "  [machine]                 [machine]\n"
    "  base = rtx4090            card = rtx4090\n"
    "  name = my-desktop         host = desktop-ddr4-3200-32gib\n"
    "  [link]                    name = my-other-desktop\n"
    "  h2d_Bps = 22GB/s          [link]\n"
    "                            h2d_Bps = 12GB/s\n"
    "                            d2h_Bps = 12GB/s\n"
    "\n"
    "base gives all values, then card all of [gpu] and [products], then host all of [cpu]; what the file says itself "
    "comes last. base is the first key of the file, and card and host stand before all values. A card or host may also "
    "be a file (card = ./my-card.ini), sought beside the file that names it; it has [card] or [host] in place of "
    "[machine], with base, name, description and source. Without them every key must be there whose range excludes 0.";

static const char units[] =
    "Every quantity has its unit; a number without one is refused where it could mean two things.\n"
    "\n"
    "  memory        --gpu-memory 24GiB      KiB MiB GiB TiB (1024), kB MB GB TB (1000), B\n"
    "  bandwidth     --link 12GB/s           bytes per second: MB/s GB/s, MiB/s GiB/s\n"
    "  optimizer     --cpu 1.5G/s            parameters per second: k/s M/s G/s\n"
    "  time          --budget 8min           ns us ms s min h\n"
    "  share         --interval 2%           percent\n"
    "\n"
    "Columns of results name their units: _s seconds, _bytes bytes, _Bps bytes per second, _pps parameters per second, "
    "_flops floating-point operations per second. In a table for people numbers have their own unit.";

static void write_exit_codes(FILE *file)
{
    char left[16];
    for (const lspo_exit_code_t *code = lspo_exit_codes; code->meaning != NULL; code++) {
        snprintf(left, sizeof left, "  %d", code->code);
        lspo_wrap_item(file, left, code->meaning, 8, 80);
    }
}

const lspo_topic_t lspo_topics[] = {
    {"models", "presets, files of shapes, and where to get a folder with weights", models, NULL},
    {"machines", "profiles, files of your own, cards and hosts", machines, NULL},
    {"units", "how memory, bandwidth, rates and times are written", units, NULL},
    {"terms", "the words of results: exposed, bound, slowdown, semantics", NULL, lspo_terms_write},
    {"exit-codes", "what the exit status says", NULL, write_exit_codes},
    {0},
};
