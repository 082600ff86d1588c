#!/bin/bash
# bench/llama_peer.py with a module in place of llama.cpp that reads its GGUF file: what it prints, and when it fails.
set -eu
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || exit 77
export PYTHONDONTWRITEBYTECODE=1
peer() {
    status_of env PYTHONPATH="$1" TOKEN_S="$2" python3 "$source_dir/bench/llama_peer.py" "$program" 256 1
}
mkdir "$folder/none"
echo 'raise ImportError("none")' >"$folder/none/llama_cpp.py"
check "without the package" 77 "$(peer "$folder/none" 0)"
check "why" "llama.cpp: skipped, since Python has no package llama-cpp-python" "$(cat "$folder/stdout")"
stand_in=$source_dir/tests/peers/stand_in
check "slower than lspo" 0 "$(peer "$stand_in" 1000)"
grep -q '^holds  lspo over llama.cpp: 0\.00, ' "$folder/stdout" || fail "$(cat "$folder/stdout" "$folder/messages")"
check "faster than lspo" 1 "$(peer "$stand_in" 1e-9)"
grep -q '^MISSED lspo over llama.cpp: ' "$folder/stdout" || fail "$(cat "$folder/stdout" "$folder/messages")"
finish llama_peer
