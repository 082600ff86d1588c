/* chat_template.h - the chat templates that lspo knows, and which one a folder's chat_template is.
 *
 * A chat template is a program in Jinja that writes a conversation as one text.  lspo has no Jinja: it knows the texts
 * that the common templates write, and recognises them by the expressions that write the turns.  For this, a template
 * is brought into one notation first (no blanks outside of strings, one kind of quotes, message['role'] for
 * message.role, joined strings).  A template that has these expressions and something else that changes the text
 * (reasoning that is taken out, a last turn that is left open, text outside of expressions) is not recognised.
 */
#ifndef LSPO_REAL_DATA_CHAT_TEMPLATE_H
#define LSPO_REAL_DATA_CHAT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef enum { LSPO_ROLE_SYSTEM, LSPO_ROLE_USER, LSPO_ROLE_ASSISTANT, LSPO_ROLE_COUNT } lspo_role_t;

/* Where a first system message goes. */
typedef enum {
    LSPO_SYSTEM_TURN,  /* a turn of its own */
    LSPO_SYSTEM_FIRST, /* before the text of the first user turn */
    LSPO_SYSTEM_LAST,  /* before the text of the last user turn */
    LSPO_SYSTEM_NONE   /* the template refuses it */
} lspo_system_place_t;

/* In the texts of a template, these characters stand for the tokenizer's bos_token and eos_token. */
#define LSPO_CHAT_BEGIN "\1"
#define LSPO_CHAT_END "\2"

typedef struct {
    const char *open, *close, *after; /* a turn is open, content, close, after; an answer is content and close */
} lspo_chat_turn_t;

typedef struct {
    const char *name; /* "chatml", ...: the value of --chat-template */
    lspo_chat_turn_t turns[LSPO_ROLE_COUNT];
    const char *begin, *end; /* before the first turn and after the last */
    lspo_system_place_t system_place;
    const char *system_open, *system_close; /* around a system message that is in a user turn */
    bool alternates;                        /* user and assistant in turns, beginning with the user, or it is refused */
    bool trims[LSPO_ROLE_COUNT];            /* blanks around a content are removed */
    bool trims_whole;                       /* and those of a user turn after the system message is in it */
    bool skips_empty_system;
    bool seeks_system; /* `system` is left out also if a later message is a system message */
    bool thinks;  /* Qwen3: <think> ... </think> before the answers to the last question, and taken out of others */
    char *system; /* owned; what a conversation without a system message begins with; NULL: nothing */
    char *header; /* owned; before each first system message, also an absent one; NULL: nothing */
    char *date;   /* owned; the date in the header, which is not today's; NULL: none */
} lspo_chat_template_t;

/* The template of that name in its usual form.  LSPO_ERR_INPUT, with a list of the names, if there is none. */
lspo_status_t lspo_chat_template_named(const char *name, lspo_chat_template_t *template_out);
/* The template that this Jinja program is; LSPO_ERR_INPUT, naming `path`, if it is none of them. */
lspo_status_t lspo_chat_template_recognise(const char *path, const char *jinja, lspo_chat_template_t *template_out);
void lspo_chat_template_release(lspo_chat_template_t *chat_template);

/* In place of a name: the template that the model's folder must have. */
#define LSPO_CHAT_OF_FOLDER "folder"

/* The names. */
#define LSPO_CHAT_TEMPLATES "chatml, deepseek-coder, gemma, llama-2, llama-3, mistral, phi-3, plain, qwen3, zephyr"

#endif
