#!/bin/bash
# Public functions that only tests call: each must be deleted, used, or listed here with a reason.  A use is an
# occurrence outside comments that is neither the prototype nor the head of the definition, both of which begin in the
# first column.  The rule is tried on examples first, so that a check that finds nothing can find something.
set -eu
source_dir=$(cd "${LSPO_SOURCE:-$(dirname "$0")/..}" && pwd)
LC_ALL=C
export LC_ALL
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

allowed='
lspo_fit_objective        the function whose gradient a fit follows: checked by finite differences
lspo_int4_unpack          what a suite sees of the codes
lspo_int4_arrange         for weights on a GPU, which no session holds yet
lspo_generator_length     what a suite sees of the passes
lspo_generator_logits     likewise
lspo_generation_session_tokens what a suite sees of the texts
lspo_generation_session_expert_loads what a suite sees of the experts that came
lspo_server_tokens        likewise
lspo_safetensors_metadata what other tools read of our files
lspo_dataset_tokens       what a suite sees of the rows
lspo_text_train_bytes     what a suite sees of the split
lspo_tanh_forward_cuda    the head of a classifier on a GPU, which no session opens yet
lspo_tanh_backward_cuda   likewise
lspo_tokenizer_vocabulary what a suite sees of the tokens
lspo_build_op_on          an op on a lane of its own kind, which no policy adds one by one yet: test_lane does
'

folders='base kernels plan traces sim ask lib real validate sweep report sql cli contrib/c bench'

# Print the functions that headers of the tree at $1 declare and none of its sources uses, sorted.
unused() {
    # shellcheck disable=SC2086 # a list
    (cd "$1" && find $folders \
        -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' | sort |
        xargs awk '
        {
            line = $0
            if (comment) { if ((at = index(line, "*/")) == 0) next; line = substr(line, at + 2); comment = 0 }
            while ((at = index(line, "/*")) > 0) {
                rest = substr(line, at + 2); line = substr(line, 1, at - 1)
                if ((end = index(rest, "*/")) == 0) { comment = 1; break }
                line = line " " substr(rest, end + 2)
            }
            sub(/\/\/.*/, "", line)
            header = FILENAME ~ /\.(h|cuh)$/
            head = line ~ /^[a-z]/ && line !~ /=/
            while (match(line, /lspo_[a-z0-9_]+/)) {
                name = substr(line, RSTART, RLENGTH)
                called = substr(line, RSTART + RLENGTH, 1) == "("
                if (head && called) { if (header) declared[name] = 1 }
                else used[name] = 1
                line = substr(line, RSTART + RLENGTH)
            }
        }
        END { for (name in declared) if (!(name in used)) print name }') | sort
}

for folder in $folders; do mkdir -p "$scratch/$folder"; done
cat > "$scratch/base/x.h" <<'END'
/* lspo_in_a_comment(
 * int lspo_in_another(void); */
int lspo_alone(void);
const char *lspo_called(int a, /* lspo_alone() */
                        int b);
lspo_status_t lspo_in_a_table(void);
END
cat > "$scratch/base/x.c" <<'END'
int lspo_alone(void)
{
    return 1; /* as lspo_alone() */
}
const char *lspo_called(int a, int b)
{
    return 0;
}
static const row_t rows[] = {{lspo_in_a_table}};
static void f(void)
{
    lspo_called(1, 2);
}
END
[ "$(unused "$scratch")" = lspo_alone ] || { echo "of the examples this is found: $(unused "$scratch")"; exit 1; }

echo "$allowed" | awk 'NF > 1 { print $1 }' | sort > "$scratch/allowed"
unused "$source_dir" > "$scratch/found"
status=0
for name in $(comm -23 "$scratch/found" "$scratch/allowed"); do
    echo "nothing but tests calls $name: delete it or use it"
    status=1
done
for name in $(comm -13 "$scratch/found" "$scratch/allowed"); do
    echo "$name is used now, or gone: take it out of the list in tests/test_unused.sh"
    status=1
done
exit $status
