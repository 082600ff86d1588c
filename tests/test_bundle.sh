#!/usr/bin/env bash
# make bundle: the folder is moved away from the build and made read-only, and must work there with only its own and
# the system's libraries.  Without a GPU selftest exits with 3; tests/test_selftest.sh makes up boxes that have one.
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
system+='|libgcc_s\.so\.1|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|libutil\.so\.1|libresolv\.so\.2|libanl\.so\.1'
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
# By the loader's own list of what a file needs, not by its symbols as in collect.
needed=$(for binary in "$bundle"/bin/* "$bundle"/lib/*; do readelf -V "$binary" 2> /dev/null; done |
    sed -n 's/.*Name: GLIBC_\(2\.[0-9.]*\) .*/\1/p' | sort -t . -k 1,1n -k 2,2n | tail -n 1)
check "the glibc that is needed" 1 "$(grep -cE "^needs: .* glibc ${needed//./\\.} or newer$" "$bundle/MANIFEST")"
# Of Debian 12 only libstdc++ and GSL need more than 2.34, which RHEL 9 has, too; they are linked statically.
case $(ldd --version | sed -n '1s/.* //p') in 2.36) check "an older glibc is enough" 2.34 "$needed" ;; esac
if grep -q ' cuda)$' <<< "$("$program" --version)"; then
    check "the driver that is needed" 1 \
        "$(grep -cE '^needs: NVIDIA driver [0-9]+ or newer \(CUDA 1[0-9.]+\), compute capability [0-9.]+ or newer$' \
            "$bundle/MANIFEST")"
fi
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

# ---- steps with the real program, on the host: what selftest asks of it, it takes ----

real="$folder/a real one"
mkdir -p "$real/bin" "$real/out"
cp -R "$bundle/selftest" "$bundle/share" "$bundle/MANIFEST" "$real/"
chmod -R u+w "$real"
cat > "$real/bin/lspo" << REAL
#!/bin/bash
# The host in place of the GPU, with two seconds for what may take minutes.
words=()
while [ \$# -gt 0 ]; do
    case \$1 in
    --device) words+=(--device host); shift ;;
    --budget) words+=(--budget 2s); shift ;;
    *) words+=("\$1") ;;
    esac
    shift
done
exec "$bundle/bin/lspo" "\${words[@]}"
REAL
chmod +x "$real/bin/lspo"
printf 'flags --iterations 7\nlink gpt-tiny 1 32 zero 1.6 0.3 zero lsp:32:2\n' > "$real/share/grid"
"$bundle/bin/lspo" show machine host-reference > "$real/out/machine.ini"
step() { status_of "${bare[@]}" OUT="$real/out" DEVICE=cuda PRECISION=fp32 "$real/selftest" --call "step_$1"; }
check "validate begins where nothing was measured" "0 2" \
    "$(step validate) $(tail -n +2 "$real/out/sim-vs-cuda/cells.csv" | wc -l)"
visits=$(wc -l < "$real/out/sim-vs-cuda/visits.csv")
check "and goes on where something was" "0 more" \
    "$(step validate) $([ "$(wc -l < "$real/out/sim-vs-cuda/visits.csv")" -ge "$visits" ] && [ "$visits" -gt 1 ] &&
    echo more)"

finish bundle
