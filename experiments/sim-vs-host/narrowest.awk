# The row whose samples lie closest together; exit status 1 when even they are more than `limit` apart.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    spread = (get("iteration_high_s") - get("iteration_low_s")) / get("iteration_s")
    if (best == "" || spread < least) { best = $0; least = spread }
}
END {
    print best
    exit !(least <= limit)
}
