# phases strides decomposition.csv strides.csv: ours beside the authors'.
function off(ours, paper) { return 100 * (ours / paper - 1) }
function within(ours, paper, what) {
    require(abs(off(ours, paper)) <= 15, sprintf("%s within 15 %%: %+.0f %%", what, off(ours, paper)))
}

FNR == 1 { file++ }
file <= 2 && (/^#/ || NF == 0) { next }
file == 1 && $1 != "parts" {
    theirs[$1, "forward"] = $2; theirs[$1, "backward"] = $3; theirs[$1, "step"] = $4; theirs[$1, "iteration"] = $5
    theirs[$1, "phases"] = $2 + $3 + $4
    next
}
file == 2 && $1 == "model" { for (i = 2; i <= NF; i++) stride[i] = $i; strides = NF; next }
file == 2 { models[++count] = $1; for (i = 2; i <= NF; i++) ratio[$1, stride[i]] = $i; next }
file <= 2 { next }
FNR == 1 { csv_header($0); next }
file == 3 {
    csv_row($0)
    p = get("parts")
    ours[p, "forward"] = get("forward_s"); ours[p, "backward"] = get("backward_s"); ours[p, "step"] = get("step_s")
    ours[p, "iteration"] = ours[p, "phases"] = get("iteration_s")
    next
}
{ csv_row($0); step[get("model"), get("stride")] = get("step_s") }

END {
    if (aborted) exit 2
    split("blocking flush all", parts, " ")
    printf "  20B on four H100, seconds: ours (the authors')\n"
    printf "  %-9s %15s %15s %15s %15s %15s %13s\n", "", "forward", "backward", "step", "sum of phases", "iteration",
        "gain"
    for (i = 1; i <= 3; i++) {
        p = parts[i]
        printf "  %-9s", p
        for (j = 1; j <= 5; j++) {
            what = j == 1 ? "forward" : j == 2 ? "backward" : j == 3 ? "step" : j == 4 ? "phases" : "iteration"
            printf "   %5.3f (%5.3f)", ours[p, what], theirs[p, what]
        }
        printf "   %4.2f (%4.2f)\n", ours["blocking", "iteration"] / ours[p, "iteration"],
            theirs["blocking", "iteration"] / theirs[p, "iteration"]
    }
    for (m = 1; m <= count; m++) {
        model = models[m]
        printf "\n  %s on four A100, step as a share of the blocking one: ours (the authors')\n ", model
        for (i = 2; i <= strides; i++)
            printf "  k=%s %.2f (%.2f)", stride[i], step[model, stride[i]] / step[model, "blocking"],
                ratio[model, stride[i]]
        printf "\n  all on the CPU, asynchronous down-convert: %.2f; --stride auto: %.2f\n",
            step[model, "async"] / step[model, "blocking"], step[model, "auto"] / step[model, "blocking"]
    }
    print ""
    within(ours["blocking", "backward"] - ours["flush", "backward"],
        theirs["blocking", "backward"] - theirs["flush", "backward"], "what blocking copies add to backward is")
    within(ours["blocking", "iteration"], theirs["blocking", "iteration"], "the iteration with blocking copies is")
    within(ours["flush", "step"], theirs["flush", "step"], "the step of the CPU alone is")
    within(ours["all", "step"], theirs["all", "step"], "the step with every second subgroup on the GPU is")
    within(ours["blocking", "iteration"] / ours["flush", "iteration"],
        theirs["blocking", "iteration"] / theirs["flush", "iteration"], "the gain of the flush, 1.92, is")
    within(ours["blocking", "phases"] / ours["all", "phases"], theirs["blocking", "phases"] / theirs["all", "phases"],
        "the gain of all three in the sum of phases is")
    flush = ours["blocking", "iteration"] / ours["flush", "iteration"]
    require(flush > ours["flush", "iteration"] / ours["all", "iteration"], "the flush gains more than the interleaving")
    for (m = 1; m <= count; m++) {
        model = models[m]
        worst = 0
        for (i = 2; i <= strides; i++) {
            error = off(step[model, stride[i]] / step[model, "blocking"], ratio[model, stride[i]])
            if (abs(error) > abs(worst)) worst = error
        }
        require(abs(worst) <= 15, sprintf("%s: all ratios over k within 15 %%: at most %+.0f %%", model, worst))
        for (i = 3; i <= strides && step[model, stride[i]] >= step[model, stride[i - 1]]; i++) ;
        require(i > strides, model ": the step grows with k")
        require(step[model, 10] < 0.8 * step[model, "blocking"], model ": a tenth on the GPU still saves a fifth")
        require(step[model, "auto"] <= step[model, 2] * 1.0001, model ": --stride auto is as fast as the best k")
    }
    finish()
}
