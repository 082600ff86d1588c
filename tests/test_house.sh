#!/bin/bash
# Limits of length: functions 60 lines, parameter lists 6, sources 600 lines, suites 800, lines 120 columns.  Each
# rule is tried on examples first, to show that the check can find violations.
set -eu
source_dir=$(cd "${LSPO_SOURCE:-$(dirname "$0")/..}" && pwd)
LC_ALL=C
export LC_ALL
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

# Functions that may take more: each calls one function of BLAS, or stands in for one of another library.
exempt='lspo_gemm_nn lspo_gemm_nt lspo_gemm_tn lspo_gemm_nn_cuda lspo_gemm_nt_cuda lspo_gemm_tn_cuda
kernels/gemm_cuda.cu:product cublasGemmEx cublasGemmStridedBatchedEx cublasLtMatmul
cublasLtMatmulAlgoGetHeuristic __libc_start_main'

# Print one line per offence of the tree at $1: FILE:LINE: KIND NUMBER NAME, or FILE: lines NUMBER.
offences() {
    (
        cd "$1"
        sources=$(find . -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cc' | sed 's|^\./||' | ours)
        awk -v columns_most=120 -v lines_most=60 -v parameters_most=6 -v exempt="$(echo $exempt)" \
            -f "$source_dir/tests/house.awk" $sources
        wc -l $sources | awk '$2 != "total" { most = $2 ~ /^tests\// ? 800 : 600
            if ($1 > most) print $2 ": lines " $1 }'
        find . -name '*.sh' -o -name '*.sql' -o -name '*.awk' -o -name '*.py' -o -name '*.am' -o -name selftest \
            -o -name lease |
        sed 's|^\./||' | ours | xargs awk '
            { text = $0; gsub(/[\200-\277]/, "", text) }
            length(text) > 120 { print FILENAME ":" FNR ": columns " length(text) }'
        # Rows of tables, what is printed or typed, and addresses are not broken.
        find . -name '*.md' -o -name HACKING | sed 's|^\./||' | ours | xargs awk '
            /^```/ { code = !code }
            { text = $0; gsub(/[\200-\277]/, "", text) }
            length(text) > 120 && !code && !(FILENAME ~ /md$/ && /^(\||    )/) {
                print FILENAME ":" FNR ": columns " length(text)
            }'
    )
}

# Of a list of files, those that are the repository's: not a build folder's, not recorded inputs.
ours() {
    grep -vE '^(build|_build|_inst|build-aux|autom4te\.cache|tests/data)/|^config\.h|/build/' || true
}

# ---- examples ----

for name in tests/short.sh tests/short.awk short.am short.md; do
    mkdir -p "$scratch/$(dirname "$name")"
    echo "nothing" > "$scratch/$name"
done
mkdir -p "$scratch/plan"
cat > "$scratch/plan/fine.c" <<'SOURCE'
typedef void (*callback_t)(int a, int b, int c, int d, int e, int f, int g);
static int six(int a, int b, int c, int (*d)(int, int, int), int e, int f)
{
    return 0;
}
__global__ void kernel(int a, int b, int c, int d, int e, int f, int g)
{
}
SOURCE
[ -z "$(offences "$scratch")" ] || { echo "what is right is found: $(offences "$scratch")"; exit 1; }

# expect NAME FILE: the check finds what is in FILE now.
expect() {
    [ -n "$(offences "$scratch")" ] || { echo "the check misses $1"; status=1; }
    rm "$scratch/$2"
}
repeat() { # COUNT TEXT
    for _ in $(seq "$1"); do echo "$2"; done
}
wide=$(printf '%0121d' 0)
{ echo "static int f(void)"; echo "{"; repeat 60 "    work();"; echo "}"; } > "$scratch/plan/long.c"
expect "a function of 63 lines" plan/long.c
{ echo "static int f(int a, int b, int c, int d,"; echo "             int e, int f, int g)"; echo "{"; echo "}"; } \
    > "$scratch/plan/many.c"
expect "seven parameters" plan/many.c
repeat 601 "int x;" > "$scratch/plan/file.c"
expect "a source of 601 lines" plan/file.c
repeat 801 "int x;" > "$scratch/tests/suite.c"
expect "a suite of 801 lines" tests/suite.c
for name in plan/wide.h plan/wide.cu tests/wide.sh tests/wide.awk tests/wide.sql wide.py wide.am wide.md HACKING; do
    echo "$wide" > "$scratch/$name"
    expect "a line of 121 columns in $name" "$name"
done

# ---- the tree ----

found=$(offences "$source_dir")
if [ -n "$found" ]; then
    echo "$found"
    status=1
fi
exit $status
