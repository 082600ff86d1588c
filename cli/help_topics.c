/* help_topics.c - the topics of `lspo help` that are not commands. */
#include "base/status.h"
#include "base/wrap.h"
#include "cli/help.h"
#include "cli/terms.h"

static const char models[] =
    "A model (--model) is one of four things.\n"
    "\n"
    "A preset: its shapes are built in, its weights are random, drawn from --seed. `lspo list models` lists the "
    "presets. A preset comes before a folder of the same name: write ./NAME for the folder.\n"
    "\n"
    "A config.json of Hugging Face's tools, or a folder with one: enough for all commands that only predict (sim, "
    "choose, show), which need no weights. model_type may be llama (Llama 2 to 3.3, SmolLM), smollm3, qwen2, qwen3, "
    "mistral, gemma, gemma2, gemma3, phi3 (Phi-3, Phi-4), olmo, olmo2, granite, gpt2, gpt_neox (Pythia), opt, mpt or "
    "roberta.\n"
    "\n"
    "  lspo choose --model ./config.json --machine rtx4090\n"
    "\n"
    "A file of shapes: an INI file (its name ends in .ini) that describes your own model. Its weights are random, "
    "too. Further keys, for what differs from the family: head_dim, biases, norm, norms, qk_norm, positions, window, "
    "rope_scaling and others (the files of models/).\n"
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
    "A folder in Hugging Face's format: config.json, *.safetensors and the tokenizer's files. To download one:\n"
    "\n"
    "  pip install huggingface_hub\n"
    "  hf download openai-community/gpt2 --local-dir ./gpt2\n"
    "  lspo train --model ./gpt2 --policy lsp --data notes.txt --output run1\n"
    "  lspo generate --model ./gpt2 --prompt \"Once upon a time\"\n"
    "\n"
    "In older versions the command is `huggingface-cli download`. Some models (Llama) require an account that has "
    "accepted their licence, and `hf auth login` first. lspo trains folders of gpt2, llama, mistral, qwen2, qwen3 and "
    "roberta.";

static const char machines[] =
    "A machine (--machine) is a profile: the rates, sizes and latencies from which `lspo sim` predicts. Give the name "
    "of a built-in profile (`lspo list machines`), an INI file, or a card and a host joined by '+', such as "
    "rtx3060+desktop-ddr5 (`lspo list cards`, `lspo list hosts`; each may be a file). A card alone is that card in its "
    "usual host. The link of a card and a host comes from the smaller of their PCIe generations and numbers of "
    "lanes.\n"
    "\n"
    "`lspo calibrate -o mine.ini` measures this machine and writes such a file. `lspo show machine NAME` prints any "
    "profile, each value with its source. A file may start from another profile, or combine a card and a host:\n"
    "\n"
    "  [machine]                 [machine]\n"
    "  base = rtx4090            card = rtx4090\n"
    "  name = my-desktop         host = desktop-ddr4-3200-32gib\n"
    "  [link]                    name = my-other-desktop\n"
    "  h2d_Bps = 22GB/s          [link]\n"
    "                            h2d_Bps = 12GB/s\n"
    "                            d2h_Bps = 12GB/s\n"
    "\n"
    "base sets all values; then card sets all of [gpu] and [products], and host all of [cpu]; the file's own values "
    "come last and override these. base must be the first key of the file, and card and host must come before all "
    "values. A card or host may also be a file (card = ./my-card.ini), relative to the file that names it. Such a file "
    "has [card] or [host] in place of [machine], with base, name, description, source, evidence, group and pcie (such "
    "as 4x16), and for a card host, its usual one. A file without base, card and host must have every key whose range "
    "excludes 0; one with a card and a host may leave out [link].\n"
    "\n"
    "evidence says what a profile's GPU rests on: calibrated (`lspo calibrate`), published rows (trainings of others), "
    "fitted (one paper's table), data sheet (its rates times shares that others measured), assumed.";

static const char units[] =
    "Quantities need a unit; a number without one is refused where it would be ambiguous.\n"
    "\n"
    "  memory        --gpu-memory 24GiB      B, KiB MiB ... EiB (1024), kB MB ... PB (1000)\n"
    "  bandwidth     --link 12GB/s           bytes per second: MB/s GB/s, MiB/s GiB/s\n"
    "  optimizer     --cpu 1.5G/s            parameters per second: k/s M/s G/s\n"
    "  time          --budget 8min           ns us ms s min h\n"
    "  share         --interval 2%           percent\n"
    "\n"
    "Names of result columns end in their units: _s seconds, _bytes bytes, _Bps bytes per second, _pps parameters per "
    "second, _flops floating-point operations per second. On a terminal each number has its own unit.";

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
    {"machines", "profiles, your own files, cards and hosts", machines, NULL},
    {"units", "how to write memory, bandwidth, rates and times", units, NULL},
    {"terms", "the words in results: exposed, bound, slowdown, semantics", NULL, lspo_terms_write},
    {"exit-codes", "what each exit status means", NULL, write_exit_codes},
    {0},
};
