# cells.csv of grid-parts: does each part of the model reduce errors where it should?  A group has the name of its part.
FNR == 1 { csv_header($0); next }
{ csv_row($0); part = get("group_name") }
get("measured_s") == "" { next }
{
    calm += get("disturbed") == "false"
    if (!(part in count)) names[++parts] = part
    count[part]++
    with_part[part] += abs(get("predicted_s") / get("measured_s") - 1)
    without[part] += abs(get("no_" part) / get("measured_s") - 1)
    bias[part] += get("predicted_s") / get("measured_s") - 1
    noise[part] += get("noise")
}
END {
    if (aborted) exit 2
    printf "  %-12s %5s %14s %14s %8s %14s\n", "part", "cells", "error with it", "without it", "bias", "measured again"
    for (i = 1; i <= parts; i++) {
        p = names[i]
        printf "  %-12s %5d %12.1f %% %12.1f %% %+6.1f %% %12.1f %%\n", p, count[p], 100 * with_part[p] / count[p], \
            100 * without[p] / count[p], 100 * bias[p] / count[p], 100 * noise[p] / count[p]
    }
    printf "  undisturbed: %d cells\n", calm
    for (i = 1; i <= parts; i++)
        require(with_part[names[i]] < without[names[i]],
            names[i] ": predictions are better with it, on cells that are about it")
    finish()
}
