# Errors of lspo validate over undisturbed cells: -v least=COUNT.  Median at most 5 %, worst at most 15 %.
FNR == 1 && NF { csv_header($0); next }
NF {
    csv_row($0)
    if (get("disturbed") == "true" || get("measured_s") <= 0) next
    error = abs(get("predicted_s") / get("measured_s") - 1)
    errors[++count] = error
    if (error > worst) worst = error
}
END {
    printf "%s at least %d undisturbed cells: %d\n", (count >= least ? "goal" : "misses"), least, count
    if (count > 0) {
        middle = median(errors, count)
        printf "%s median absolute error at most 5 %%: %.1f %%\n", middle <= 0.05 ? "goal" : "misses", 100 * middle
        printf "%s worst at most 15 %%: %.1f %%\n", worst <= 0.15 ? "goal" : "misses", 100 * worst
    }
    finish()
}
