# Errors by predictor and by bound, then the gates.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    count++
    bound[count] = get("bound")
    cells_of[bound[count]]++
    group[count] = get("group_id")
    shared[count] = get("rates_of") != "self"
    label[count] = sprintf("%-10s %-15s %4s %3s", get("model"), get("policy"), get("d"), get("r"))
    measured[count] = get("measured_s")
    predicted["simulated", count] = get("predicted_s")
    predicted["naive", count] = get("naive_s")
    error["simulated time", count] = get("error")
    error["naive time", count] = get("naive_error")
    error["simulated slowdown", count] = get("slowdown_error")
    error["naive slowdown", count] = get("naive_slowdown_error")
    calm[count] = get("foreign_share") <= 0.06
    if (calm[count]) { calm_cells++; calm_of[bound[count]]++ }
    fastest_link = max(fastest_link, get("link_Bps"))
    if (count == 1)
        printf "  %-37s %-4s %12s %12s %9s %9s %8s\n", "cell: model, policy, d, r", "by", "measured", "predicted", "error", "naive", "others"
    printf "  %2d %s %-4s %9.2f ms %9.2f ms %+7.1f %% %+7.1f %% %6.0f %%\n", count, label[count], bound[count],
        1000 * get("measured_s"), 1000 * get("predicted_s"), 100 * get("error"), 100 * get("naive_error"), 100 * get("foreign_share")
}

# Sets mid, worst, bias of one kind of error over the calm cells of `class`, of "all" classes, or over "each" cell.
function errors_of(kind, class,    i, n, values) {
    n = worst = bias = 0
    for (i = 1; i <= count; i++) {
        if (class != "each" && !(calm[i] && (class == "all" || class == bound[i]))) continue
        values[++n] = abs(error[kind, i])
        bias += error[kind, i]
        worst = max(worst, values[n])
    }
    bias = n ? bias / n : 0
    mid = n ? median(values, n) : 0
}

function sign(x) { return (x > 0) - (x < 0) }

# Mean over the groups with shared rates of Kendall's tau between the measured and the predicted order of policies.
function tau(predictor,    g, i, j, n, agree, pairs, sum, groups) {
    for (g = 1; g <= group[count]; g++) {
        agree = pairs = 0
        for (i = 1; i <= count; i++)
            for (j = i + 1; j <= count; j++)
                if (group[i] == g && group[j] == g && shared[i] && calm[i] && calm[j]) {
                    pairs++
                    agree += sign(measured[i] - measured[j]) * \
                        sign(predicted[predictor, i] - predicted[predictor, j])
                }
        if (pairs) { sum += agree / pairs; groups++ }
    }
    return groups ? sum / groups : 0
}

END {
    if (aborted) exit 2
    printf "\n  %-20s %-14s %8s %8s %8s\n", "error of", "cells", "median", "worst", "bias"
    split("simulated time|naive time|simulated slowdown|naive slowdown", kinds, "|")
    for (k = 1; k <= 4; k++) {
        split("all gpu link cpu each", classes, " ")
        for (c = 1; c <= (kinds[k] == "simulated time" ? 5 : 1); c++) {
            if (classes[c] == "each" && calm_cells == count) continue
            errors_of(kinds[k], classes[c])
            printf "  %-20s %-14s %6.1f %% %6.1f %% %+6.1f %%\n", kinds[k],
                classes[c] == "each" ? "with disturbed" : classes[c], 100 * mid, 100 * worst, 100 * bias
        }
    }
    printf "  Kendall's tau of the order of policies at equal rates: simulated %.2f, naive %.2f\n\n", tau("simulated"),
        tau("naive")

    require(count >= 24, count " cells, at least 24")
    for (c = 2; c <= 4; c++)
        require(cells_of[classes[c]] * 3 >= count, \
            sprintf("%d of %d cells are bound by the %s, at least a third", cells_of[classes[c]], count, classes[c]))
    require(fastest_link <= 0.1 * memcpy, \
        sprintf("the fastest link, %.0f MB/s, is at most 10 %% of what a core copies, %.1f GB/s", fastest_link / 1e6, memcpy / 1e9))
    # A cell that others disturbed to the last repeat measures them, not the plan; a grid of too few others says nothing.
    require(calm_cells >= 24 && min(min(calm_of["gpu"], calm_of["link"]), calm_of["cpu"]) >= 8, \
        sprintf("%d of %d cells were measured while others took at most 6 %% of a CPU, at least 24 and 8 of a class: the gates are for these", \
            calm_cells, count))
    errors_of("simulated time", "all")
    require(mid <= 0.10, sprintf("simulated: median error %.1f %% is at most 10 %%", 100 * mid))
    require(worst <= 0.25, sprintf("simulated: worst error %.1f %% is at most 25 %%", 100 * worst))
    errors_of("naive time", "all")
    require(mid > 0.10 || worst > 0.25, \
        sprintf("naive: native time plus bytes over link fails the same gates (median %.1f %%, worst %.1f %%)", 100 * mid, 100 * worst))
    finish()
}
