/* predict.c - what does each policy cost?  An example of liblspo:
 *
 *     cc predict.c $(pkg-config --cflags --libs lspo) -o predict && ./predict llama-7b rtx4090
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lspo.h>

static void print_policy(lspo_query *query, const lspo_context *context, const char *policy)
{
    lspo_reply *reply = NULL;
    double step_s, fits;
    lspo_query_set(query, "policy", policy);
    if (lspo_query_predict(query, &reply) != LSPO_DONE) {
        printf("%-24s  %s\n", policy, lspo_context_message(context));
        return;
    }
    lspo_reply_number(reply, "iteration_s", &step_s);
    lspo_reply_number(reply, "fits", &fits);
    printf("%-24s  %8.1f ms%s\n", policy, step_s * 1e3, fits > 0 ? "" : "  does not fit");
    lspo_reply_destroy(reply);
}

int main(int argc, char **argv)
{
    lspo_context *context = NULL;
    lspo_query *query = NULL;
    const char *policy;
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL MACHINE\n", argv[0]);
        return 2;
    }
    if (lspo_context_open(NULL, &context) != LSPO_DONE || lspo_query_create(context, &query) != LSPO_DONE) {
        fprintf(stderr, "there is no memory\n");
        lspo_context_close(context);
        return 1;
    }
    lspo_query_set(query, "model", argv[1]);
    lspo_query_set(query, "machine", argv[2]);
    for (size_t i = 0; (policy = lspo_known_name("policies", i)) != NULL; i++)
        print_policy(query, context, policy);
    lspo_query_destroy(query);
    lspo_context_close(context);
    return 0;
}
