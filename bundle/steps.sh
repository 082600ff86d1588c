# steps.sh - what selftest and lease share.  They set `here` (their folder), `self` (their file, which with --call
# FUNCTION ARGS... runs one function), and OUT, DEVICE and PRECISION.

die() {
    echo "${0##*/}: $2" >&2
    exit "$1"
}

# ---- lspo, and what it answers ----

lspo() { # as the command, noted so that every result can be made again
    echo "lspo $*" >> "$OUT/commands"
    "$here/bin/lspo" "$@"
}
awk_csv() { awk -f "$here/share/lib.awk" -f "$@"; }
column() {
    wanted=$1
    shift
    awk -f "$here/share/lib.awk" -f "$here/share/field.awk" -v name="$wanted" "$@"
}
# own_flags POLICY --NAME VALUE...: those of these flags that the policy has.
own_flags() {
    own=" $("$here/bin/lspo" show policy "$1" --format csv | column option | tr '\n' ' ')"
    shift
    while [ $# -gt 1 ]; do
        case $own in *" ${1#--} "*) printf '%s %s ' "$1" "$2" ;; esac
        shift 2
    done
}
# Those of trainings.
policies() { "$here/bin/lspo" list policies --format csv | column name -v where=task -v is=train; }
# append FILE LABEL TEXT: a CSV header and row as one more row of FILE, behind a column `label`.
append() {
    [ -s "$1" ] || printf 'label,%s\n' "$(printf '%s\n' "$3" | sed -n 1p)" > "$1"
    printf '%s,%s\n' "$2" "$(printf '%s\n' "$3" | sed -n 2p)" >> "$1"
}

# ---- arguments and folders ----

check_device_arguments() {
    case $PRECISION in '' | bf16 | fp16) ;; *) die 2 "--precision '$PRECISION': bf16 or fp16" ;; esac
    case $DEVICE in
    cuda) ;;
    cuda:*[!0-9]* | cuda:) die 2 "--device '$DEVICE': cuda or cuda:N" ;;
    cuda:*) ;;
    *) die 2 "--device '$DEVICE': cuda or cuda:N" ;;
    esac
}

make_out() { # make_out FOLDER: sets OUT, the device's folder in it
    mkdir -p "$1" || die 1 "cannot make $1"
    OUT=$(cd "$1" && pwd)/$gpu
    mkdir -p "$OUT/done" "$OUT/traces" || die 1 "cannot make $OUT"
    export OUT
    [ -s "$OUT/commands" ] ||
        echo "# CUDA_DEVICE_ORDER=$CUDA_DEVICE_ORDER CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES" > "$OUT/commands"
}

# write_grid FILE: a grid of cells in the format that the GPU has.
write_grid() {
    echo "# Written by ${self##*/} from $(basename "$1")."
    sed "s/^flags .*/& --precision $PRECISION/" "$1"
}

# ---- the GPU ----

probe() {
    "$here/bin/lspo" run --device "$DEVICE" --model gpt-tiny --policy native --batch 1 --sequence 16 --iterations 4 \
        --timing-only --text "$here/share/text" --format csv "$@" 2>&1
}

# find_gpu: ends with 3 unless DEVICE (cuda or cuda:N) computes; sets PRECISION unless it is set, and gpu, its name.
# From then on everything sees this GPU only, as `cuda`.  GPUs are counted in the order of their PCI addresses, as
# nvidia-smi does; CUDA's own order is another one where cards differ.
find_gpu() {
    CUDA_DEVICE_ORDER=PCI_BUS_ID
    export CUDA_DEVICE_ORDER
    status=0
    answer=$(probe) || status=$?
    case $status in
    0) ;;
    3) echo "$answer" >&2; die 3 "there is no GPU that lspo can use; nothing was run" ;;
    *) echo "$answer" >&2; die 1 "lspo does not run a training step on $DEVICE" ;;
    esac
    number=${DEVICE#cuda} number=${number#:} number=${number:-0}
    gpu=$("$here/bin/lspo" list devices --format csv |
        awk_csv "$here/share/gpu_name.awk" -v device="cuda:$number" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9.-')
    gpu=${gpu:-cuda}
    if [ -n "${CUDA_VISIBLE_DEVICES-}" ]; then
        CUDA_VISIBLE_DEVICES=$(echo "$CUDA_VISIBLE_DEVICES," | cut -d , -f $((number + 1)))
    else
        CUDA_VISIBLE_DEVICES=$number
    fi
    DEVICE=cuda
    export CUDA_VISIBLE_DEVICES DEVICE
    if [ -z "$PRECISION" ]; then
        PRECISION=bf16
        probe --precision bf16 > /dev/null || PRECISION=fp16
    fi
    export PRECISION
}

describe_system() {
    {
        cat "$here/MANIFEST"
        uname -a
        grep PRETTY_NAME /etc/os-release
        lscpu
        cat /proc/meminfo
        nvidia-smi -q
        nvidia-smi topo -m
    } > "$OUT/system.txt" 2> /dev/null
}

# ---- losses: fifty steps of every policy, on the GPU and on the host ----

# loss POLICY DEVICE PRECISION: the last loss and that of the held-out text, in a file, unless they are there.
loss() {
    file=$OUT/losses/$1.$2.$3
    [ ! -s "$file" ] || return 0
    mkdir -p "$OUT/losses"
    # shellcheck disable=SC2046
    text=$(lspo run --device "$2" --policy "$1" --precision "$3" $(cat "$here/share/losses") \
        $(own_flags "$1" --subspace 32 --nnz 4) --text "$here/share/text" --format csv) || return 1
    held_out=$(printf '%s\n' "$text" | column held_out_after)
    echo "$(printf '%s\n' "$text" | column loss_last) ${held_out:--}" > "$file"
}

# losses_on DEVICE PRECISION JOBS: of all policies, so many at a time; none fails for another's failure.
losses_on() {
    policies | xargs -P "$3" -I POLICY "$self" --call loss POLICY "$1" "$2"
}

# compare_losses: in fp32 the same losses as the host's, in 16 bits the same within its rounding.
compare_losses() {
    for policy in $(policies); do
        for precision in fp32 "$PRECISION"; do
            echo "$policy $precision $(cat "$OUT/losses/$policy.host.fp32" "$OUT/losses/$policy.$DEVICE.$precision" \
                2> /dev/null | tr '\n' ' ')"
        done
    done > "$OUT/losses.txt"
    awk -f "$here/share/losses.awk" "$OUT/losses.txt"
}

# ---- cells: measured steps, a row of FILE and a trace each ----

# cell FILE LABEL ARGS...: 0 measured, now or before; 4 it does not fit, which LABEL in OUT/no-room says from then on.
cell() {
    file=$OUT/$1 label=$2
    shift 2
    ! grep -qF "$label," "$file" 2> /dev/null || return 0
    ! grep -qxF "$label" "$OUT/no-room" 2> /dev/null || return 4
    mkdir -p "$OUT/traces"
    status=0
    text=$(lspo run --device "$DEVICE" --precision "$PRECISION" --iterations 8 --timing-only \
        --text "$here/share/text" --trace "$OUT/traces/$(echo "$label" | tr ' =' '--').trace" --format csv "$@" \
        2> "$OUT/messages") || status=$?
    cat "$OUT/messages"
    case $status in
    0) ;;
    4) echo "$label" >> "$OUT/no-room"; echo "no room for $label: $(tail -n 1 "$OUT/messages")"; return 4 ;;
    *) echo "FAILED $label"; return 1 ;;
    esac
    append "$file" "$label" "$text"
    printf '%s: %s s per iteration\n' "$label" "$(printf '%s\n' "$text" | column iteration_s)"
}

# ---- steps under a limit, Ctrl-C, and the last line ----

# timeout puts what it runs into a process group of its own, which Ctrl-C on a terminal does not reach; a signal to
# timeout it passes on to that group.
child='' stopped=''
stop() {
    stopped=$1
    [ -z "$child" ] || kill -TERM "$child" 2> /dev/null
}
catch_signals() {
    trap 'stop 129' HUP
    trap 'stop 130' INT
    trap 'stop 143' TERM
}

# limited SECONDS LOG COMMAND...: sets `status`, 124 or 137 if the time was not enough, and `took`.
limited() {
    limit=$1 log=$2 begun=$(date +%s) status=0
    shift 2
    timeout -k 10 "$limit" "$@" > "$log" 2>&1 < /dev/null &
    child=$!
    [ -z "$stopped" ] || kill -TERM "$child" 2> /dev/null
    # A signal ends a wait, not the child.
    while :; do
        status=0
        wait "$child" || status=$?
        kill -0 "$child" 2> /dev/null || break
    done
    child='' took=$(($(date +%s) - begun))
}

# tell NAME: what became of a step by `status`, kept in one of four lists; what is done or skipped is not tried again.
done_steps='' skipped='' failed='' left=''
tell() {
    if [ -n "$stopped" ]; then
        verdict=stopped left="$left $1"
    else
        case $status in
        0) verdict=done done_steps="$done_steps $1" ;;
        4) verdict="skipped: no room" skipped="$skipped $1" ;;
        77) verdict="skipped: cannot be done here" skipped="$skipped $1" ;;
        124 | 137) verdict="out of time" left="$left $1" ;;
        *) verdict=FAILED failed="$failed $1" ;;
        esac
    fi
    case $verdict in "done" | skipped*) echo "$verdict" > "$OUT/done/$1" ;; esac
    printf '%-20s %s, %d s\n' "$1" "$verdict" "$took"
    # Verdicts of what is compared, without the rest of the log.
    grep -E '^ *(holds|FAILS|FAILED|goal|misses|no room)' "$log" | sed 's/^ */    /'
}

# told_before NAME: a step of an earlier run, which is listed as it was then.
told_before() {
    [ -e "$OUT/done/$1" ] || return 1
    verdict=$(cat "$OUT/done/$1")
    case $verdict in
    "done") done_steps="$done_steps $1" ;;
    *) skipped="$skipped $1" ;;
    esac
    printf '%-20s %s, before\n' "$1" "$verdict"
}

# finish: the last line, and the exit status that goes with it.
finish() {
    list() { echo "${1:- none}"; }
    echo "measured:$(list "$done_steps"); skipped:$(list "$skipped"); failed:$(list "$failed");" \
        "left for another run:$(list "$left")"
    [ -z "$stopped" ] || exit "$stopped"
    [ -z "$failed" ] || exit 1
    [ -z "$left" ] || exit 4
    exit 0
}
