# TRACE: its last iteration that another one follows, as CSV: seconds of forward, of backward with the gradients' way to
# the CPU, of the step until the next forward begins, and of all.
$0 ~ /^op,/ { csv_header($0); next }
has("op") && $0 ~ /^[0-9]/ {
    csv_row($0)
    kind = get("kind"); i = get("iteration"); end = get("end_s")
    if (i > last) last = i
    if (kind == "FWD") {
        if (!(i in begun) || get("start_s") < begun[i]) begun[i] = get("start_s")
        forward[i] = max(forward[i], end)
    }
    if (kind == "BWD" || kind == "COMPRESS" || (kind == "D2H" && get("variant") == 0))
        backward[i] = max(backward[i], end)
}
END {
    if (aborted) exit 2
    i = last - 1
    printf "%.6f,%.6f,%.6f,%.6f\n", forward[i] - begun[i], backward[i] - forward[i], begun[last] - backward[i],
        begun[last] - begun[i]
}
