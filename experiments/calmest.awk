# The row that was disturbed least: CPU time of others over elapsed time, plus the width of the 95 % interval over the median.
# Exit status 1 when even there one of the two is above `limit`.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    spread = (get("iteration_high_s") - get("iteration_low_s")) / get("iteration_s")
    disturbance = spread + get("foreign_share")
    if (best == "" || disturbance < least) { best = $0; least = disturbance; worst = max(spread, get("foreign_share")) }
}
END {
    if (aborted) exit 2
    print best
    exit !(worst <= limit)
}
