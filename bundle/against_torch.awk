# Our native step compared with PyTorch's: -v model=NAME fig7.csv torch.csv
FNR == 1 && NF { csv_header($0); next }
NF && has("label") { csv_row($0); if (get("label") == model " native") ours = get("iteration_s") }
NF && has("mode") { csv_row($0); if (get("model") == model) torch[get("mode")] = get("iteration_s") }
END {
    for (mode in torch)
        if (ours > 0 && torch[mode] > 0)
            printf "%s native at least level with PyTorch, %s: %.4f s, ours %.4f s\n", \
                ours <= torch[mode] ? "goal" : "misses", mode, torch[mode], ours
    finish()
}
