# paper latency.csv throughput.csv grouped.csv host.csv: ours beside the closed form and the published gains.
# For one token of a sequence, its inputs take the time a on the link, its keys and values 2 a, rebuilding these r.
function a() { return 2 * width[m] / 32e9 }
function r() { return 4 * width[m] * width[m] / 312e12 }
function closed(share,    tokens) {
    tokens = 32 * (1024 + 4)
    return blocks[m] * tokens * (a() * share + max(r() * share, 2 * a() * (1 - share)))
}
function percent(x) { return sprintf("%+.1f %%", 100 * x) }

BEGIN {
    width["opt-6.7b"] = 4096; width["opt-13b"] = 5120; width["opt-30b"] = 7168
    blocks["opt-6.7b"] = 32; blocks["opt-13b"] = 40; blocks["opt-30b"] = 48
}
FNR == 1 { file++ }
file == 1 { if ($1 !~ /^#|^model$/) { models[++count] = $1; published[$1] = $2; faster[$1] = $3 } next }
FNR == 1 { csv_header($0); next }
{ csv_row($0); m = get("model"); asked = get("asked"); machine = get("machine") }
file == 2 {
    time[m, machine, asked] = get("token_s")
    if (asked == "auto") chosen[m, machine] = get("recompute_share")
    else if (!(asked in seen)) { seen[asked] = 1; shares[++share_count] = asked }
}
file == 3 { n = get("accumulation"); many[m, machine, n, asked] = get("token_s"); micros[n] = n }
file == 4 { grouped[m, get("schedule")] = get("recompute_share") }
file == 5 {
    host[get("kind"), asked] = get("token_s")
    if (asked == "auto") host_share = get("recompute_share")
}

END {
    if (aborted) exit 2
    printf "  latency, prompts of 1024 tokens: ours at the peak rates, ours on the A100's profile, published at best\n"
    for (i = 1; i <= count; i++) {
        m = models[i]
        printf "  %-9s share %.3f, closed form %.3f;  %s  %s  (%s)\n", m, chosen[m, "a100-peak"],
            2 * a() / (2 * a() + r()), percent(time[m, "a100-peak", "auto"] / time[m, "a100-peak", 0] - 1),
            percent(time[m, "a100-40gb", "auto"] / time[m, "a100-40gb", 0] - 1),
            published[m] == "-" ? "-" : sprintf("%+.1f %%", published[m])
    }
    printf "\n  throughput with weights on the host, prompts of 128 tokens: gain at peak rates (A100's profile)\n"
    for (i = 1; i <= count; i++) {
        m = models[i]
        printf "  %-9s", m
        for (n = 1; n <= 16; n *= 2) {
            gain[m, n] = many[m, "a100-peak", n, 0] / many[m, "a100-peak", n, "auto"] - 1
            printf "  %d x 32: %s (%s)", n, percent(gain[m, n]),
                percent(many[m, "a100-40gb", n, 0] / many[m, "a100-40gb", n, "auto"] - 1)
        }
        printf "  published %+.1f %%\n", faster[m]
    }
    printf "\n  this machine, ms per token: measured (predicted); --recompute-share auto is %.2f\n ", host_share
    for (k = 0; k <= 5; k++)
        printf "  %.1f: %.1f (%.1f)", k / 5, 1e3 * host["measured", k / 5], 1e3 * host["predicted", k / 5]
    print "\n"
    for (i = 1; i <= count; i++) {
        m = models[i]; worst = 0; falls = 0; turns = 0
        for (k = 1; k <= share_count; k++) {
            error = time[m, "a100-peak", shares[k]] / closed(shares[k]) - 1
            if (abs(error) > abs(worst)) worst = error
            if (k > 1) {
                down = time[m, "a100-peak", shares[k]] < time[m, "a100-peak", shares[k - 1]]
                if (k > 2 && down != falls) turns++
                falls = down
            }
        }
        require(abs(worst) < 0.01, sprintf("%s: all shares within 1 %% of the closed form: at most %+.2f %%", m,
            100 * worst))
        require(turns == 1, m ": one minimum over the shares")
        require(abs(chosen[m, "a100-peak"] - 2 * a() / (2 * a() + r())) < 0.01, m ": auto is the closed form's share")
        ideal = (a() + r()) / (2 * a() + r()) - 1
        ours = time[m, "a100-peak", "auto"] / time[m, "a100-peak", 0] - 1
        require(abs(ours - ideal) < 0.01, sprintf("%s: %s is within 1 point of the closed form's %s", m, percent(ours),
            percent(ideal)))
        if (published[m] != "-")
            require(abs(100 * ours - published[m]) < 1, sprintf("%s: and of the published %+.1f %%", m, published[m]))
        require(gain[m, 4] > 0.15 && gain[m, 8] < 0.462, m ": with 4 to 8 micro-batches the gain is between the " \
            "published 15.1 and 46.2 %")
        require(time[m, "a100-40gb", "auto"] < time[m, "a100-40gb", 0], m ": and there is a gain on the A100's profile")
    }
    for (s in grouped) {
        split(s, part, SUBSEP)
        few = part[1] == "llama-3.1-8b"
        require(few ? grouped[s] == 0 : grouped[s] > 0, sprintf("%s, %s: auto is %.2f, since its inputs are %s its " \
            "keys and values", part[1], part[2], grouped[s], few ? "twice" : "half"))
    }
    best = 0
    for (k = 1; k <= 5; k++) if (host["measured", k / 5] < host["measured", best / 5]) best = k
    require(best > 0 && best < 5 && abs(best / 5 - host_share) <= 0.2,
        sprintf("this machine: the fastest measured share is %.1f, within one step of the predicted %.2f", best / 5,
        host_share))
    require(host["measured", best / 5] < 0.9 * host["measured", 0], "this machine: and a tenth faster than none")
    finish()
}
