/* chat_template.c - see chat_template.h. */
#include "real/data/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "real/data/jinja.h"

#define BEGIN LSPO_CHAT_BEGIN
#define END LSPO_CHAT_END

/* The same words around each role's content. */
#define SAME(before, behind, close, after)                                                                             \
    {                                                                                                                  \
        {before "system" behind, close, after}, {before "user" behind, close, after},                                  \
        {                                                                                                              \
            before "assistant" behind, close, after                                                                    \
        }                                                                                                              \
    }

enum { CHATML, DEEPSEEK_CODER, GEMMA, LLAMA2, LLAMA3, MISTRAL, PHI3, PLAIN, QWEN3, ZEPHYR, KNOWN_COUNT };

/* Each in its usual form. */
static const lspo_chat_template_t known[KNOWN_COUNT] = {
    [CHATML] = {.name = "chatml", .turns = SAME("<|im_start|>", "\n", "<|im_end|>", "\n"), .begin = "", .end = ""},
    [DEEPSEEK_CODER] = {.name = "deepseek-coder",
                        .turns = {{"", "", ""},
                                  {"### Instruction:\n", "", "\n"},
                                  {"### Response:\n", "\n<|EOT|>", "\n"}},
                        .begin = BEGIN,
                        .end = "",
                        .seeks_system = true},
    [GEMMA] = {.name = "gemma",
               .turns = {{"", "", ""},
                         {"<start_of_turn>user\n", "<end_of_turn>", "\n"},
                         {"<start_of_turn>model\n", "<end_of_turn>", "\n"}},
               .begin = BEGIN,
               .end = "",
               .system_place = LSPO_SYSTEM_FIRST,
               .system_open = "",
               .system_close = "\n\n",
               .alternates = true,
               .trims = {false, true, true}},
    [LLAMA2] = {.name = "llama-2",
                .turns = {{"", "", ""}, {BEGIN "[INST] ", "", " [/INST]"}, {" ", " " END, ""}},
                .begin = "",
                .end = "",
                .system_place = LSPO_SYSTEM_FIRST,
                .system_open = "<<SYS>>\n",
                .system_close = "\n<</SYS>>\n\n",
                .alternates = true,
                .trims = {false, false, true},
                .trims_whole = true},
    [LLAMA3] = {.name = "llama-3",
                .turns = SAME("<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", ""),
                .begin = BEGIN,
                .end = "",
                .trims = {true, true, true}},
    [MISTRAL] = {.name = "mistral",
                 .turns = {{"", "", ""}, {"[INST] ", "", " [/INST]"}, {"", END, ""}},
                 .begin = BEGIN,
                 .end = "",
                 .system_place = LSPO_SYSTEM_FIRST,
                 .system_open = "",
                 .system_close = "\n\n",
                 .alternates = true},
    [PHI3] = {.name = "phi-3", .turns = SAME("<|", "|>\n", "<|end|>", "\n"), .begin = "", .end = END},
    [PLAIN] = {.name = "plain",
               .turns = {{"System: ", "", "\n"}, {"User: ", "", "\n"}, {"Assistant: ", END, "\n"}},
               .begin = BEGIN,
               .end = ""},
    [QWEN3] = {.name = "qwen3",
               .turns = SAME("<|im_start|>", "\n", "<|im_end|>", "\n"),
               .begin = "",
               .end = "",
               .thinks = true},
    [ZEPHYR] = {.name = "zephyr", .turns = SAME("<|", "|>\n", END, "\n"), .begin = "", .end = ""}};

lspo_status_t lspo_chat_template_named(const char *name, lspo_chat_template_t *template_out)
{
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        *template_out = known[i];
        return LSPO_OK;
    }
    return lspo_error(LSPO_ERR_INPUT, "--chat-template '%s' is none of " LSPO_CHAT_OF_FOLDER ", " LSPO_CHAT_TEMPLATES,
                      name);
}

void lspo_chat_template_release(lspo_chat_template_t *chat_template)
{
    free(chat_template->system);
    free(chat_template->header);
    free(chat_template->date);
}

/* ---- recognition ---- */

typedef struct {
    const char *tags;    /* in the notation of jinja.h */
    const char *outside; /* the text outside of tags */
    bool *no_memory;     /* set if a text could not be kept */
} seen_t;

static bool has(const seen_t *seen, const char *expression)
{
    return strstr(seen->tags, expression) != NULL;
}

/* The rest of the string that begins with `start`, up to `end`, if it is one string: NULL if there is none. */
static char *literal_after(const seen_t *seen, const char *start, const char *end)
{
    for (const char *at = seen->tags; (at = strstr(at, start)) != NULL;) {
        at += strlen(start);
        const char *stop = strstr(at, end), *quote = strchr(at, '\'');
        while (quote && quote > at && quote[-1] == '\\')
            quote = strchr(quote + 1, '\'');
        if (!stop || (quote && quote < stop))
            continue;
        char *text = strndup(at, (size_t)(stop - at));
        *seen->no_memory |= !text;
        for (char *c = text; c && (c = strchr(c, '\\')) != NULL; c++)
            memmove(c + (c[1] == '-'), c + 1 + (c[1] == '-'), strlen(c + (c[1] == '-')));
        return text;
    }
    return NULL;
}

static bool sets_system(const seen_t *seen)
{
    const char *at = strstr(seen->tags, "system_message='");
    return at && at[strlen("system_message='")] != '\'';
}

/* Begins with bos_token, does not name it, or uses it in a way of its own. */
static bool take_begin(const seen_t *seen, lspo_chat_template_t *t)
{
    t->begin = has(seen, "{{bos_token}}") ? BEGIN : "";
    return *t->begin != '\0' || !has(seen, "bos_token");
}

static bool is_chatml(const seen_t *seen, lspo_chat_template_t *t)
{
    static const char *const each[] = {
        "{{'<|im_start|>system\n'+message['content']+'<|im_end|>\n'}}",
        "{{'<|im_start|>user\n'+message['content']+'<|im_end|>\n'}}",
        "{{'<|im_start|>assistant\n'+message['content']+'<|im_end|>\n'}}",
    };
    const bool trimmed = has(seen, "{{'<|im_start|>'+message['role']+'\n'+message['content']|trim+'<|im_end|>\n'}}");
    const bool one = trimmed || has(seen, "{{'<|im_start|>'+message['role']+'\n'+message['content']+'<|im_end|>\n'}}");
    if (*seen->outside || !(one || (has(seen, each[0]) && has(seen, each[1]) && has(seen, each[2]))) ||
        !take_begin(seen, t) || has(seen, "</think>") || has(seen, "reasoning_content") || has(seen, "{{eos_token}}"))
        return false;
    for (size_t i = 0; i < LSPO_ROLE_COUNT; i++)
        t->trims[i] = trimmed;
    t->system = literal_after(seen, "{{'<|im_start|>system\n", "<|im_end|>\n'}}");
    if (!has(seen, "system_message"))
        return true;
    t->system = t->system ? t->system : literal_after(seen, "system_message='", "'");
    return has(seen, "{{'<|im_start|>system\n'+system_message+'<|im_end|>\n'}}");
}

/* Where an answer is asked for, the newline behind its tag ends the words before it. */
static bool is_deepseek_coder(const seen_t *seen, lspo_chat_template_t *t)
{
    if (strcmp(seen->outside, "\n") != 0 || !has(seen, "{{'### Instruction:\n'+message['content']+'\n'}}") ||
        !has(seen, "{{'### Response:\n'+message['content']+'\n<|EOT|>\n'}}") || !has(seen, "{{message['content']}}") ||
        !has(seen, "{{'### Response:'}}") || !take_begin(seen, t))
        return false;
    t->system = literal_after(seen, "{%ifnotns.found%}{{'", "'}}");
    return t->system != NULL || !has(seen, "ns.found");
}

static bool is_gemma(const seen_t *seen, lspo_chat_template_t *t)
{
    const bool plain = has(seen, "{{'<start_of_turn>'+role+'\n'+message['content']|trim+'<end_of_turn>\n'}}");
    const bool prefixed = has(seen, "{{'<start_of_turn>'+role+'\n'+(first_user_prefixifloop.firstelse'')}}") &&
                          has(seen, "{{message['content']|trim}}") && has(seen, "{{'<end_of_turn>\n'}}") &&
                          has(seen, "first_user_prefix=messages[0]['content']+'\n\n'");
    if (!prefixed)
        t->system_place = LSPO_SYSTEM_NONE;
    return !*seen->outside && (plain || prefixed) && has(seen, "setrole='model'") && has(seen, "raise_exception") &&
           take_begin(seen, t);
}

static bool is_llama2(const seen_t *seen, lspo_chat_template_t *t)
{
    (void)t;
    /* Converted models say whether a default is used. */
    const bool unused = has(seen, "USE_DEFAULT_PROMPT==true") || has(seen, "false==true");
    return !*seen->outside && (!sets_system(seen) || unused) && has(seen, "raise_exception") &&
           has(seen, "{{bos_token+'[INST] '+content.strip()+' [/INST]'}}") &&
           has(seen, "{{' '+content.strip()+' '+eos_token}}") &&
           has(seen, "content='<<SYS>>\n'+system_message+'\n<</SYS>>\n\n'+message['content']");
}

/* Llama 3.1's system turn begins with two dates: that of the model, and today's or, without a clock, a fixed one. */
static bool take_header(const seen_t *seen, lspo_chat_template_t *t)
{
    char *model = literal_after(seen, "{{'Cutting Knowledge Date: ", "\n'}}");
    lspo_buffer_t text = {0};
    t->date = literal_after(seen, "date_string='", "'");
    t->system = strdup("");
    const char *const parts[] = {"Cutting Knowledge Date: ", model, "\nToday Date: ", t->date, "\n\n"};
    const bool complete = model && t->date && has(seen, "{{'Today Date: '+date_string+'\n\n'}}") &&
                          has(seen, "{{system_message}}") && has(seen, "system_message=messages[0]['content']|trim") &&
                          has(seen, "{{'<|start_header_id|>system<|end_header_id|>\n\n'}}");
    for (size_t i = 0; complete && i < sizeof parts / sizeof parts[0]; i++)
        *seen->no_memory |= lspo_buffer_append(&text, parts[i], strlen(parts[i])) != LSPO_OK;
    *seen->no_memory |= !t->system;
    t->header = text.text;
    free(model);
    return complete;
}

static bool is_llama3(const seen_t *seen, lspo_chat_template_t *t)
{
    if (*seen->outside || sets_system(seen) || !has(seen, "bos_token") ||
        !has(seen,
             "'<|start_header_id|>'+message['role']+'<|end_header_id|>\n\n'+message['content']|trim+'<|eot_id|>'"))
        return false;
    return has(seen, "Cutting Knowledge Date") ? take_header(seen, t) : !has(seen, "system_message");
}

/* The spaces of Mistral's versions. */
static bool take_spaces(const seen_t *seen, lspo_chat_template_t *t)
{
    static const struct {
        const char *expression, *open, *after;
    } users[] = {{"{{'[INST] '+message['content']+' [/INST]'}}", "[INST] ", " [/INST]"},
                 {"{{' [INST] '+message['content']+' [/INST]'}}", " [INST] ", " [/INST]"},
                 {"{{'[INST] '+message['content']+'[/INST]'}}", "[INST] ", "[/INST]"},
                 {"{{'[INST]'+message['content']+'[/INST]'}}", "[INST]", "[/INST]"}};
    static const struct {
        const char *expression, *open, *after;
        bool trims;
    } answers[] = {{"{{message['content']+eos_token}}", "", "", false},
                   {"{{message['content']+eos_token+' '}}", "", " ", false},
                   {"{{' '+message['content']+eos_token}}", " ", "", false},
                   {"{{' '+message['content']|trim+eos_token}}", " ", "", true},
                   {"{{message['content']|trim+eos_token}}", "", "", true}};
    size_t found = 0;
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        if (!has(seen, users[i].expression))
            continue;
        t->turns[LSPO_ROLE_USER] = (lspo_chat_turn_t){users[i].open, "", users[i].after};
        found++;
    }
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        if (!has(seen, answers[i].expression))
            continue;
        t->turns[LSPO_ROLE_ASSISTANT] = (lspo_chat_turn_t){answers[i].open, END, answers[i].after};
        t->trims[LSPO_ROLE_ASSISTANT] = answers[i].trims;
        found++;
    }
    return found == 2;
}

static bool is_mistral(const seen_t *seen, lspo_chat_template_t *t)
{
    if (*seen->outside || has(seen, "<<SYS>>") || !has(seen, "raise_exception") || sets_system(seen) ||
        !take_spaces(seen, t) || !take_begin(seen, t))
        return false;
    const bool first = has(seen, "loop.firstandsystem_messageisdefined");
    const bool last = has(seen, "loop.lastandsystem_messageisdefined");
    if (!first && !last)
        t->system_place = LSPO_SYSTEM_NONE;
    else if (last)
        t->system_place = LSPO_SYSTEM_LAST;
    return first || last ? first != last && has(seen, "+system_message+'\n\n'+message['content']+")
                         : !has(seen, "system_message");
}

static bool is_phi3(const seen_t *seen, lspo_chat_template_t *t)
{
    if (*seen->outside || !has(seen, "{{'<|system|>\n'+message['content']+'<|end|>\n'}}") ||
        !has(seen, "{{'<|user|>\n'+message['content']+'<|end|>\n'}}") ||
        !has(seen, "{{'<|assistant|>\n'+message['content']+'<|end|>\n'}}"))
        return false;
    t->skips_empty_system = has(seen, "message['role']=='system'andmessage['content']");
    if (!has(seen, "{%else%}{{eos_token}}{%endif%}"))
        t->end = "";
    return take_begin(seen, t) && (*t->end != '\0' || !has(seen, "eos_token"));
}

static bool is_qwen3(const seen_t *seen, lspo_chat_template_t *t)
{
    static const char *const needed[] = {
        "{{'<|im_start|>system\n'+messages[0]['content']+'<|im_end|>\n'}}",
        "{{'<|im_start|>'+message['role']+'\n<think>\n'+reasoning_content.strip('\n')+'\n</think>\n\n'+"
        "content.lstrip('\n')}}",
        "{{'<|im_start|>'+message['role']+'\n'+content}}",
        "last_query_index=messages|length-1",
        "split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n')",
        "split('</think>')[-1].lstrip('\n')",
        "loop.index0>ns.last_query_index",
        "loop.lastor(notloop.lastandreasoning_content)",
        "message['content'].startswith('<tool_response>')",
    };
    (void)t;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (!has(seen, needed[i]))
            return false;
    return !*seen->outside && !has(seen, "bos_token") && !has(seen, "eos_token");
}

/* After each turn, the newline that follows its tag. */
static bool is_zephyr(const seen_t *seen, lspo_chat_template_t *t)
{
    const size_t lines = strspn(seen->outside, "\n");
    if (seen->outside[lines] != '\0' || !has(seen, "{{'<|system|>\n'+message['content']+eos_token}}") ||
        !has(seen, "{{'<|user|>\n'+message['content']+eos_token}}") ||
        !has(seen, "{{'<|assistant|>\n'+message['content']+eos_token}}"))
        return false;
    for (size_t i = 0; i < LSPO_ROLE_COUNT; i++)
        t->turns[i].after = lines > 0 ? "\n" : "";
    return (lines == 0 || lines == 3 || lines == 4) && take_begin(seen, t);
}

/* ---- nothing else ---- */

/* All that the tags of each template write; * is any text within a string. */
enum { WRITTEN_MAX = 16 };
static const char *const written[KNOWN_COUNT][WRITTEN_MAX] = {
    [CHATML] = {"{{'<|im_start|>'+message['role']+'\n'+message['content']+'<|im_end|>\n'}}",
                "{{'<|im_start|>'+message['role']+'\n'+message['content']|trim+'<|im_end|>\n'}}",
                "{{'<|im_start|>system\n'+message['content']+'<|im_end|>\n'}}",
                "{{'<|im_start|>user\n'+message['content']+'<|im_end|>\n'}}",
                "{{'<|im_start|>assistant\n'+message['content']+'<|im_end|>\n'}}", "{{'<|im_start|>assistant\n'}}",
                "{{'<|im_start|>system\n'+messages[0]['content']+'<|im_end|>\n'}}",
                "{{'<|im_start|>system\n'+system_message+'<|im_end|>\n'}}", "{{'<|im_start|>system\n*<|im_end|>\n'}}"},
    [DEEPSEEK_CODER] = {"{{message['content']}}", "{{'### Instruction:\n'+message['content']+'\n'}}",
                        "{{'### Response:\n'+message['content']+'\n<|EOT|>\n'}}", "{{'### Response:'}}",
                        "{{'You are an AI programming assistant*'}}"},
    [GEMMA] = {"{{'<start_of_turn>'+role+'\n'+message['content']|trim+'<end_of_turn>\n'}}",
               "{{'<start_of_turn>'+role+'\n'+(first_user_prefixifloop.firstelse'')}}", "{{message['content']|trim}}",
               "{{'<end_of_turn>\n'}}", "{{'<start_of_image>'}}", "{{item['text']|trim}}",
               "{{'<start_of_turn>model\n'}}"},
    [LLAMA2] = {"{{bos_token+'[INST] '+content.strip()+' [/INST]'}}", "{{' '+content.strip()+' '+eos_token}}",
                "{{'<<SYS>>\n'+content.strip()+'\n<</SYS>>\n\n'}}"},
    [LLAMA3] =
        {"{{content}}",
         "{{'<|start_header_id|>'+message['role']+'<|end_header_id|>\n\n'+message['content']|trim+'<|eot_id|>'}}",
         "{{'<|start_header_id|>assistant<|end_header_id|>\n\n'}}",
         "{{'<|start_header_id|>system<|end_header_id|>\n\n'}}", "{{'Cutting Knowledge Date: *\n'}}",
         "{{'Today Date: '+date_string+'\n\n'}}", "{{system_message}}", "{{'<|eot_id|>'}}"},
    [MISTRAL] = {"{{'*[INST]*'+message['content']+'*[/INST]'}}",
                 "{{'*[INST]*'+system_message+'\n\n'+message['content']+'*[/INST]'}}",
                 "{{message['content']+eos_token}}", "{{message['content']+eos_token+' '}}",
                 "{{' '+message['content']+eos_token}}", "{{' '+message['content']|trim+eos_token}}",
                 "{{message['content']|trim+eos_token}}"},
    [PHI3] = {"{{'<|system|>\n'+message['content']+'<|end|>\n'}}", "{{'<|user|>\n'+message['content']+'<|end|>\n'}}",
              "{{'<|assistant|>\n'+message['content']+'<|end|>\n'}}", "{{'<|assistant|>\n'}}", "{{eos_token}}"},
    [QWEN3] = {"{{'<|im_start|>system\n'+messages[0]['content']+'<|im_end|>\n'}}",
               "{{'<|im_start|>'+message['role']+'\n'+message['content']+'<|im_end|>\n'}}",
               "{{'<|im_start|>'+message['role']+'\n'+content+'<|im_end|>\n'}}",
               "{{'<|im_start|>'+message['role']+'\n<think>\n'+reasoning_content.strip('\n')+'\n</think>\n\n'+"
               "content.lstrip('\n')}}",
               "{{'<|im_start|>'+message['role']+'\n'+content}}", "{{'<|im_end|>\n'}}", "{{'<|im_start|>assistant\n'}}",
               "{{'<think>\n\n</think>\n\n'}}"},
    [ZEPHYR] = {"{{'<|system|>\n'+message['content']+eos_token}}", "{{'<|user|>\n'+message['content']+eos_token}}",
                "{{'<|assistant|>\n'+message['content']+eos_token}}", "{{'<|assistant|>'}}", "{{'<|assistant|>\n'}}"}};

/* What Qwen's template writes for an answer that calls tools, in a branch that no other answer reaches. */
static const char *const written_of_calls[] = {"{{'<|im_start|>'+message['role']}}", "{{'\n'+message['content']}}",
                                               "{{'<|im_end|>\n'}}"};

static bool matches(const char *pattern, const char *text, size_t bytes)
{
    for (; *pattern != '*'; pattern++, text++, bytes--)
        if (*pattern == '\0' || bytes == 0 || *pattern != *text)
            return *pattern == '\0' && bytes == 0;
    for (size_t skip = 0; skip <= bytes; skip++) {
        if (matches(pattern + 1, text + skip, bytes - skip))
            return true;
        if (skip < bytes && text[skip] == '\'' && (skip == 0 || text[skip - 1] != '\\'))
            return false;
    }
    return false;
}

static bool is_written(const seen_t *seen, size_t which, const char *tag, size_t bytes)
{
    static const char refuses[] = "{{raise_exception(";
    bool found = matches("{{bos_token}}", tag, bytes) || strncmp(tag, refuses, sizeof refuses - 1) == 0;
    for (size_t i = 0; i < WRITTEN_MAX && written[which][i] && !found; i++)
        found = matches(written[which][i], tag, bytes);
    for (size_t i = 0; which == CHATML && has(seen, "notmessage.tool_calls") && i < 3 && !found; i++)
        found = matches(written_of_calls[i], tag, bytes);
    return found;
}

enum { DEPTH_MAX = 32 };

static bool begins(const char *tag, const char *word)
{
    return strncmp(tag + 2, word, strlen(word)) == 0;
}

static bool is(const char *tag, size_t bytes, const char *text)
{
    return bytes == strlen(text) && strncmp(tag, text, bytes) == 0;
}

/* Whether a loop goes through all messages, or all parts of one, in their order. */
static bool is_plain_loop(const char *tag, size_t bytes)
{
    return is(tag, bytes, "{%formessageinmessages%}") || is(tag, bytes, "{%formessageinloop_messages%}") ||
           is(tag, bytes, "{%foriteminmessage['content']%}");
}

/* Whether a `set` leaves the messages what they are; without the first one only where that is the system's. */
static bool keeps_messages(const seen_t *seen, const char *tag, size_t bytes)
{
    static const char *const first_left_out[] = {"{%setmessages=messages[1:]%}", "{%setloop_messages=messages[1:]%}"};
    if (!begins(tag, "setmessages=") && !begins(tag, "setloop_messages=") && !begins(tag, "setmessage="))
        return true;
    if (is(tag, bytes, first_left_out[0]) || is(tag, bytes, first_left_out[1]))
        return has(seen, "messages[0]['role']=='system'");
    return is(tag, bytes, "{%setloop_messages=messages%}");
}

/* Whether the template writes nothing but what is known, except where tools are used, and of all messages. */
static bool is_all_known(const seen_t *seen, size_t which)
{
    bool of_tools[DEPTH_MAX] = {false}, of_some[DEPTH_MAX] = {false}; /* by depth of blocks */
    size_t depth = 0;
    for (const char *tag = seen->tags, *end; *tag != '\0'; tag = end) {
        if (tag[0] != '{' || (tag[1] != '{' && tag[1] != '%')) /* a string has no end: no template */
            return false;
        end = lspo_jinja_tag_end(tag);
        const size_t bytes = (size_t)(end - tag);
        const bool tools = memmem(tag, bytes, "tool", 4) != NULL;
        if (tag[1] == '{') {
            if (!of_tools[depth] && (of_some[depth] || !is_written(seen, which, tag, bytes)))
                return false;
        } else if (begins(tag, "if") || begins(tag, "for")) {
            if (++depth == DEPTH_MAX)
                return false;
            of_tools[depth] = of_tools[depth - 1] || tools;
            of_some[depth] = of_some[depth - 1] || (begins(tag, "for") && !is_plain_loop(tag, bytes));
        } else if (depth > 0 && (begins(tag, "elif") || begins(tag, "else")))
            of_tools[depth] = of_tools[depth - 1] || tools;
        else if (depth > 0 && (begins(tag, "endif") || begins(tag, "endfor")))
            depth--;
        else if (begins(tag, "set") ? !keeps_messages(seen, tag, bytes)
                                    : !begins(tag, "break") && !begins(tag, "continue"))
            return false;
    }
    return true;
}

static lspo_status_t find(const char *path, const seen_t *seen, lspo_chat_template_t *template_out)
{
    static bool (*const is[KNOWN_COUNT])(const seen_t *, lspo_chat_template_t *) = {
        [CHATML] = is_chatml, [DEEPSEEK_CODER] = is_deepseek_coder,
        [GEMMA] = is_gemma,   [LLAMA2] = is_llama2,
        [LLAMA3] = is_llama3, [MISTRAL] = is_mistral,
        [PHI3] = is_phi3,     [QWEN3] = is_qwen3,
        [ZEPHYR] = is_zephyr};
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        lspo_chat_template_t candidate = known[i];
        const bool found = is[i] && is[i](seen, &candidate) && is_all_known(seen, i);
        if (found && !*seen->no_memory) {
            *template_out = candidate;
            return LSPO_OK;
        }
        lspo_chat_template_release(&candidate);
        if (*seen->no_memory)
            return lspo_no_memory("the chat template of %s", path);
    }
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: this chat template is none of those that lspo knows: " LSPO_CHAT_TEMPLATES
                      "; choose the one with which the model was trained: --chat-template NAME",
                      path);
}

lspo_status_t lspo_chat_template_recognise(const char *path, const char *jinja, lspo_chat_template_t *template_out)
{
    lspo_buffer_t tags = {0}, outside = {0};
    bool no_memory = false;
    lspo_status_t status = lspo_jinja_canonical(jinja, &tags, &outside);
    if (status != LSPO_OK)
        goto cleanup;
    const seen_t seen = {tags.text ? tags.text : "", outside.text ? outside.text : "", &no_memory};
    status = find(path, &seen, template_out);
cleanup:
    free(outside.text);
    free(tags.text);
    return status;
}
