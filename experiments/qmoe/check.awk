# switch.csv mixtral.csv host.csv: sizes and times beside the authors' figures.
FNR == 1 { file++; csv_header($0); next }
{ csv_row($0) }
file == 1 { bytes[get("name")] = get("peak_gpu_bytes"); time[get("name")] = get("token_s") }
file == 2 { token[get("cached")] = get("token_s"); moved[get("cached")] = get("h2d_bytes") }
file == 3 { host[get("kind"), get("cached")] = get("token_s") }

END {
    if (aborted) exit 2
    parameters = 1.571e12
    times = bytes["resident"] / bytes["qmoe"]
    bits = 8 * bytes["qmoe"] / parameters
    slower = 100 * (time["qmoe"] / time["resident"] - 1)
    printf "  Switch-c2048, ours (the authors'): %.0f GB in place of %.2f TB (<160, 3.2), %.1f times less (20),\n",
        bytes["qmoe"] / 1e9, bytes["resident"] / 1e12, times
    printf "  %.2f bits per parameter (0.8), %+.1f %% time per token (<5)\n\n", bits, slower
    printf "  Mixtral 8x7B on an RTX 3060, ms per token and MB moved, by experts kept on the GPU:\n "
    for (n = 0; n <= 8; n++) printf "  %d: %.0f, %.0f", n, 1e3 * token[n], moved[n] / 1e6
    printf "\n\n  this machine, ms per token, measured (predicted):"
    for (n = 0; n <= 8; n += 4) printf "  %d: %.2f (%.2f)", n, 1e3 * host["measured", n], 1e3 * host["predicted", n]
    printf "\n\n"
    require(bytes["qmoe"] < 160e9, sprintf("1.6e12 parameters fit in 160 GB: %.1f GB", bytes["qmoe"] / 1e9))
    require(times > 19 && times < 22, sprintf("which is a twentieth: %.1f times less", times))
    require(bits > 0.72 && bits <= 0.8, sprintf("0.8 bits per parameter at most: %.3f", bits))
    require(slower < 5, sprintf("a token takes at most 5 %% longer than with dense experts: %+.1f %%", slower))
    for (n = 1; n <= 8; n++)
        require(abs(moved[n] - moved[0] * (8 - n) / 8) <= 1e-6 * moved[0] + 64,
            sprintf("%d of 8 experts cached: (8 - %d) / 8 of the bytes move", n, n))
    for (n = 1; n <= 8; n++) require(token[n] < token[n - 1], n " of 8 cached: faster than " n - 1)
    error = host["measured", 0] / host["predicted", 0] - 1
    require(abs(error) <= 0.5, sprintf("this machine, none cached: within 50 %% of predicted: %+.0f %%", 100 * error))
    require(host["measured", 4] < host["measured", 0], "half of them cached is faster")
    require(host["measured", 8] < 0.6 * host["measured", 0], "all of them cached takes at most 0.6 of the time of none")
    finish()
}
