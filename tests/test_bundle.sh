#!/usr/bin/env bash
# make bundle: the folder is moved away from the build and made read-only, and must work there with only its own and
# the system's libraries.  Without a GPU selftest exits with 3; its steps are tested with a stand-in for `lspo` that
# has one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
build=$(dirname "$program")

env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$build" bundle-folder > "$folder/make.log" 2>&1 || {
    cat "$folder/make.log" >&2
    exit 1
}
made=$(echo "$build"/bundle-*/)
bundle="$folder/a place/bundle"
mkdir -p "$(dirname "$bundle")"
mv "$made" "$bundle"
chmod -R a-w "$bundle"
cd "$folder"

# ---- what is in it ----

system='linux-(vdso|gate)\.so\.[0-9]+|ld-linux[^ ]*|libc\.so\.6|libm\.so\.6|libmvec\.so\.1'
system+='|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|libutil\.so\.1|libresolv\.so\.2|libanl\.so\.1'
system+='|libcuda\.so\.1|libnvidia-[^ ]*'
for binary in "$bundle"/bin/*; do
    name=$(basename "$binary")
    env -u LD_LIBRARY_PATH ldd "$binary" > "$folder/ldd"
    check "$name finds all libraries" "" "$(grep 'not found' "$folder/ldd" || true)"
    check "$name takes them from the bundle" "" \
        "$(awk '{ print $1 }' "$folder/ldd" | sed 's|.*/||' | grep -vxE "$system" |
            while read -r library; do grep -qF "$library => $bundle/" "$folder/ldd" ||
                grep -qF "$bundle/bin/../lib/$library" "$folder/ldd" || echo "$library"; done)"
done
for library in "$bundle"/lib/*; do
    check "$(basename "$library") is a library that is needed" 1 \
        "$(grep -c "^lib/$(basename "$library") " "$bundle/MANIFEST")"
done
check "no static libraries" "" "$(find "$bundle" -name '*.a')"
check "the licence of lspo" yes "$([ -s "$bundle/licences/lspo" ] && echo yes)"
check "the glibc that is needed" 1 "$(grep -cE '^needs: .* glibc [0-9]+\.[0-9]+ or newer$' "$bundle/MANIFEST")"
check "every library has a licence" "" \
    "$(if command -v dpkg-query > /dev/null; then grep 'unknown package' "$bundle/MANIFEST"; fi || true)"

# ---- it runs there ----

bare=(env -i PATH=/usr/bin:/bin HOME="$folder" LC_ALL=C)
check "--version" 0 "$(status_of "${bare[@]}" "$bundle/bin/lspo" --version)"
check "sim" 0 "$(status_of "${bare[@]}" "$bundle/bin/lspo" sim --model llama-7b --machine paper-workstation \
    --policy lsp)"
check "run" 0 "$(status_of "${bare[@]}" "$bundle/bin/lspo" run --device host --model gpt-tiny --batch 1 --sequence 16 \
    --iterations 4 --timing-only --text "$bundle/share/text" --trace "$folder/trace")"
check "its trace" yes "$([ -s "$folder/trace" ] && echo yes)"
"${bare[@]}" LD_DEBUG=files "$bundle/bin/lspo" run --device host --model gpt-tiny --batch 1 --sequence 16 \
    --iterations 4 --timing-only --text "$bundle/share/text" > "$folder/stdout" 2> "$folder/loaded"
check "what the bundle has is not opened elsewhere" "" \
    "$(sed -n 's/.*calling init: //p' "$folder/loaded" | grep -vF "$bundle/" | sed 's|.*/||' |
        while read -r library; do [ ! -e "$bundle/lib/$library" ] || echo "$library"; done)"
# Twice on a CPU that it does not know: kernels/blas.c.
check "OpenBLAS is opened" yes "$(grep -q "calling init: $bundle/.*libopenblas" "$folder/loaded" && echo yes)"
"${bare[@]}" LD_DEBUG=files "$bundle/bin/lspo" sim --model llama-7b --machine paper-workstation --policy lsp \
    > "$folder/stdout" 2> "$folder/loaded"
check "sim opens neither OpenBLAS nor cuBLAS" "" \
    "$(grep 'calling init: .*blas' "$folder/loaded" | grep -v gslcblas || true)"

# A machine with a GPU has other answers from here on.
if [ "$(status_of "${bare[@]}" "$bundle/bin/lspo" run --device cuda --model gpt-tiny --batch 1 --sequence 16 \
    --iterations 4 --timing-only)" != 0 ]; then
    check "no GPU" 3 "$(status_of "${bare[@]}" "$bundle/selftest" --out "$folder/results")"
    check "it says so" 1 "$(grep -c 'selftest: there is no GPU' "$folder/messages")"
    check "nothing is written" "" "$(ls "$folder/results" 2> /dev/null)"
fi
check "help" 0 "$(status_of "${bare[@]}" "$bundle/selftest" --help)"
check "bad usage" 2 "$(status_of "${bare[@]}" "$bundle/selftest" --minutes soon)"
check "the file of PyTorch's step" 0 "$(if command -v python3 > /dev/null; then
    status_of python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$bundle/share/native_torch.py";
        else echo 0; fi)"

# ---- selftest's steps, on a device that answers at once ----

stand_in=$folder/stand-in
mkdir -p "$stand_in/bin"
cp -R "$bundle/selftest" "$bundle/share" "$bundle/MANIFEST" "$stand_in/"
chmod -R u+w "$stand_in"
cat > "$stand_in/bin/lspo" << STAND_IN
#!/bin/sh
# run --device cuda answers with a fixed time and loss; native takes as long as its neighbours.
case "\$*" in
*--policy\ zenflow*--iterations\ 50* | *gpt2-1.3b*zero-layerwise*) [ ! -e "$folder/broken" ] || exit 1 ;;
esac
case \$1 in
run)
    while [ \$# -gt 1 ]; do
        case \$1 in --trace) echo a trace > "\$2" ;; esac
        shift
    done
    printf 'policy,iteration_s,loss_last,held_out_after\nany,0.5,3.25,3.5\n' ;;
list) exec "$bundle/bin/lspo" "\$@" ;;
calibrate) while [ \$# -gt 1 ]; do case \$1 in -o) echo measured > "\$2" ;; esac; shift; done ;;
validate)
    while [ \$# -gt 1 ]; do
        case \$1 in
        --out)
            mkdir -p "\$2"
            printf '%s\n' predicted_s,measured_s,disturbed 1,1.04,false 1,2,true 1,1.25,false 1.01,1,false \
                > "\$2/cells.csv" ;;
        esac
        shift
    done
    exit 5 ;;
esac
STAND_IN
chmod +x "$stand_in/bin/lspo"
touch "$folder/broken"
selftest() { status_of "${bare[@]}" "$stand_in/selftest" --out "$folder/results" "$@"; }
check "no time: nothing is run" 4 "$(selftest --minutes 0)"
check "all is left" 14 "$(grep 'not finished' "$folder/stdout" | sed 's/.*://' | wc -w)"
check "a step that fails" 1 "$(selftest)"
check "which" "losses fig7_gpt2_1_3b" "$(sed -n 's/^FAILED: \([^;]*\);.*/\1/p' "$folder/messages")"
results=$(echo "$folder"/results/*)
check "cells of one model" 7 "$(grep -c '^gpt2-774m ' "$results/fig7.csv")"
check "the failed cell is missing" 6 "$(grep -c '^gpt2-1.3b ' "$results/fig7.csv")"
check "traces" 27 "$(ls "$results/traces" | wc -l)"
check "goal" 1 "$(grep -c 'goal lsp d=512 within 5 % of native: +0.0 %' "$results/fig7_llama_3b.log")"
check "errors leave out what was disturbed" "misses goal misses" \
    "$(grep -oE '^(goal|misses)' "$results/validate.log" | xargs)"
check "median of 1/1.04, 1/1.25 and 1.01" 1 \
    "$(grep -c 'median absolute error at most 5 %: 3.8 %' "$results/validate.log")"
check "what PyTorch needs is not here" yes \
    "$(python3 -c 'import torch' 2> /dev/null || grep -q skipped "$results/done/torch_llama_3b" && echo yes)"
commands=$(wc -l < "$results/commands")
rm "$folder/broken"
check "again, and all is well" 0 "$(selftest)"
check "steps that were done" 12 "$(grep -c 'before$' "$folder/stdout")"
# Every policy's losses in three runs, and a cell.
again=$((3 * $("$bundle/bin/lspo" list policies --format csv | tail -n +2 | wc -l) + 1))
check "only what was missing is run" $((commands + again)) "$(wc -l < "$results/commands")"
check "once more: nothing is left to do" $((commands + again)) \
    "$(selftest > "$folder/code"; wc -l < "$results/commands")"

# ---- steps with the real program, on the host: what selftest asks of it, it takes ----

real="$folder/a real one"
mkdir -p "$real/bin" "$real/out"
cp -R "$bundle/selftest" "$bundle/share" "$bundle/MANIFEST" "$real/"
chmod -R u+w "$real"
cat > "$real/bin/lspo" << REAL
#!/bin/bash
# The host in place of the GPU: in fp32, and with two seconds for what may take minutes.
words=()
while [ \$# -gt 0 ]; do
    case \$1 in
    --device) words+=(--device host); shift ;;
    --precision) shift ;;
    --budget) words+=(--budget 2s); shift ;;
    *) words+=("\$1") ;;
    esac
    shift
done
exec "$bundle/bin/lspo" "\${words[@]}"
REAL
chmod +x "$real/bin/lspo"
printf 'link gpt-tiny 1 32 zero 1.6 0.3 zero lsp:32:2\n' > "$real/share/grid"
"$bundle/bin/lspo" show machine host-reference > "$real/out/machine.ini"
step() { status_of "${bare[@]}" OUT="$real/out" DEVICE=cuda PRECISION=bf16 "$real/selftest" --step "$1"; }
check "validate begins where nothing was measured" "0 2" \
    "$(step validate) $(tail -n +2 "$real/out/sim-vs-cuda/cells.csv" | wc -l)"
visits=$(wc -l < "$real/out/sim-vs-cuda/visits.csv")
check "and goes on where something was" "0 more" \
    "$(step validate) $([ "$(wc -l < "$real/out/sim-vs-cuda/visits.csv")" -ge "$visits" ] && [ "$visits" -gt 1 ] &&
    echo more)"

finish bundle
