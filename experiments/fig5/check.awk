# When does a method first reach zero's final perplexity?  By interpolation between evaluations; none: never.
function reaches(level, time, loss, method, count,    i, share) {
    for (i = 2; i <= count[method]; i++)
        if (loss[method, i] <= level) {
            share = (loss[method, i - 1] - level) / (loss[method, i - 1] - loss[method, i])
            return time[method, i - 1] + share * (time[method, i] - time[method, i - 1])
        }
    return ""
}
FNR == 1 {
    csv_header($0)
    files++
    if (files == 1)
        printf "  %-10s %4s %6s %9s %8s %10s %9s %10s\n", "method", "seed", "steps", "ms/step", "s", "perplexity",
            "from", "GPU MiB"
    next
}
files == 1 {
    csv_row($0)
    m = get("method")
    printf "  %-10s %4d %6d %9.1f %8.2f %10.3f %9.3f %10.1f\n", m, get("seed"), get("steps"), 1000 * get("step_s"),
        get("train_s"), get("perplexity_after"), get("perplexity_before"), get("peak_gpu_bytes") / 2 ^ 20
    if (!(m in runs)) methods[++method_count] = m
    runs[m]++
    after[m] += get("held_out_after"); taken[m] += get("train_s"); bytes[m] = get("peak_gpu_bytes")
    step_s[m] += get("step_s")
    if (get("held_out_after") >= get("held_out_before")) worse = worse " " m
    next
}
{ csv_row($0); m = get("method") }
files == 2 { n = ++count[m]; time[m, n] = get("time_s"); loss[m, n] = get("held_out_loss"); next }
{ n = ++joined_count[m]; joined_time[m, n] = get("time_s"); joined_loss[m, n] = get("held_out_loss") }
END {
    if (aborted) exit 2
    for (i = 1; i <= method_count; i++) {
        m = methods[i]
        after[m] /= runs[m]; taken[m] /= runs[m]; step_s[m] /= runs[m]
    }
    level = loss["full", count["full"]]
    for (i = 1; i <= method_count; i++) {
        m = methods[i]
        if (m == "full-steps") continue
        at = reaches(level, time, loss, m, count)
        at_laptop = reaches(level, joined_time, joined_loss, m, joined_count)
        printf "  %-10s reaches zero's final perplexity after %s of its measured time, " \
            "%s of its time simulated on paper-laptop\n", m,
            share(at, time["full", count["full"]]), share(at_laptop, joined_time["full", joined_count["full"]])
    }
    print "  (-: not within its steps; the paper: 37.5 to 44 % for lsp on the laptop; 33.1 % less on the workstation)"
    require(worse == "",
        "every method's held-out loss falls below that of the pretrained model" (worse == "" ? "" : ", but not" worse))
    require(step_s["lsp"] < step_s["full"], "a step of lsp takes less time than one of zero")
    require(bytes["lora"] <= 1.01 * bytes["lsp"] && bytes["galore"] <= 1.01 * bytes["lsp"],
        "lora and galore stay within lsp's GPU memory")
    require(after["lsp"] < after["full"], "lsp ends below zero after the same time")
    excess = after["lsp"] / after["full-steps"] - 1
    printf "  %-5s lsp stays within 2 %% of the loss of full fine-tuning after as many steps (it is %.1f %% %s)\n",
        excess < 0.02 ? "yes" : "no", 100 * abs(excess), excess < 0 ? "below" : "above"
    claim("learned projectors end below random ones", after["lsp"], after["lsp-random"])
    claim("lsp ends below lora at equal memory and time", after["lsp"], after["lora"])
    claim("lsp ends below galore at equal memory and time", after["lsp"], after["galore"])
    claim("lsp in the eigenbasis, random, ends below lora at equal memory and time", after["lsp-eigen"], after["lora"])
    claim("lsp in the eigenbasis, random, ends below galore at equal memory and time", after["lsp-eigen"],
        after["galore"])
    finish()
}
function share(part, all) { return part == "" ? "   -" : sprintf("%3.0f %%", 100 * part / all) }
# The paper's claims at this scale: printed, but not required.
function claim(text, a, b) { printf "  %-5s %s (loss %.3f against %.3f)\n", a < b ? "yes" : "no", text, a, b }
