#!/bin/bash
# Under limits on addresses (ulimit -v, as batch systems set them) every command ends soon: done, or with status 1 or 4
# and a message that says what is missing.  What the machine cannot hold is refused before any of it is taken, with
# status 4.
set -eu
program=${LSPO:-$(command -v lspo)}
if (ulimit -v 400000 && exec "$program" --version) 2>&1 | grep -q Sanitizer; then
    echo "a sanitizer reserves more addresses than any limit here allows"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
status=0

fail() {
    echo "$1"
    sed 's/^/  /' err
    status=1
}

# ulimit in kB, whether it must be enough (or "any"), command
limited() {
    local kb=$1 enough=$2 code=0
    shift 2
    (ulimit -v "$kb" && exec timeout -k 1 20 "$program" "$@" --format csv >out 2>err) || code=$?
    case $code in
    0) [ "$enough" != no ] || fail "ulimit -v $kb: lspo $*: ended with 0, though it cannot have enough" ;;
    1 | 4)
        [ "$enough" != yes ] || fail "ulimit -v $kb: lspo $*: failed, though there is enough"
        grep -q 'lspo: error: .*\(memory\|addresses\)' err || fail "ulimit -v $kb: lspo $*: no message about memory"
        ;;
    *) fail "ulimit -v $kb: lspo $*: status $code" ;;
    esac
    ended=$code
}

for kb in 200000 600000 900000 1100000 2000000 16000000; do
    limited $kb yes list models
    limited $kb yes sim --model gpt2-124m --policy lsp
    large=any
    [ $kb -lt 700000 ] && large=no
    [ $kb -gt 1900000 ] && large=yes
    limited $kb $large run --policy lsp --iterations 4 --batch 1 --sequence 16
    limited $kb $large train --policy zero --steps 1 --batch 1 --sequence 16
done

# 100 GiB in 8 GB: refused in words, and quickly, by all that would take it.
for command in "run --iterations 4" "train --steps 1" "fit --iterations 2"; do
    # shellcheck disable=SC2086
    limited 8000000 no $command --model llama-7b --policy native --batch 1 --sequence 16
    [ "$ended" = 4 ] || fail "lspo $command: status $ended"
    grep -q "llama-7b with policy native does not fit: it needs .* of this machine's memory" err ||
        fail "lspo $command: no sentence about what does not fit"
done

# fit holds gradients, a copy of the weights and a backward pass beside its training: 2.0 GB + 0.8 GB.
limited 2500000 no fit --model gpt2-124m --subspace 32 --nnz 4 --iterations 1 --batch 1 --sequence 64
grep -q "gpt2-124m with policy native does not fit: it needs 2[.]6[0-9] GiB of this machine's memory" err ||
    fail "lspo fit: its own arrays are not counted"
exit $status
