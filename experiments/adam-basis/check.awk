# What the recorded full run shows, and whether this run's one seed agrees.  Of two methods on one base after as many
# steps: the mean loss over the seeds.
FNR == 1 { csv_header($0); files++; next }
{
    csv_row($0)
    key = get("base") "," get("steps") "," get("method")
    if (files == 1) {
        cell = get("base") "," get("steps")
        if (!(cell in seen)) { seen[cell]; cells[++cell_count] = cell }
        if (!(get("method") in known)) { known[get("method")]; methods[++method_count] = get("method") }
        loss[key] = get("loss")
        low[key] = get("low"); high[key] = get("high"); peak[key] = get("peak_gpu_bytes")
    } else here[key] = get("loss")
}
function ratio(cell, a, b) { return loss[cell "," a] / loss[cell "," b] - 1 }
# Mean over seeds, and the range of the seeds, in nats per byte.
function table(    i, k, key) {
    printf "  %-18s %7s", "held-out loss", "GPU MiB"
    for (i = 1; i <= cell_count; i++) printf " %20s", cells[i]
    print ""
    for (k = 1; k <= method_count; k++) {
        printf "  %-18s %7.1f", methods[k], peak[cells[1] "," methods[k]] / 2 ^ 20
        for (i = 1; i <= cell_count; i++) {
            key = cells[i] "," methods[k]
            if (key in loss) printf " %20s", sprintf("%.3f (%.3f-%.3f)", loss[key], low[key], high[key])
            else printf " %20s", "-"
        }
        print ""
    }
}
# A claim for every cell that has both: printed, and how far it is off where it is.
function claim(text, a, b, most,    i, off, missed) {
    for (i = 1; i <= cell_count; i++) {
        if (!(cells[i] "," a in loss) || !(cells[i] "," b in loss)) continue
        off = ratio(cells[i], a, b)
        if (off > most) missed = missed sprintf(", %s %+.1f %%", cells[i], 100 * off)
    }
    printf "  %-5s %s%s\n", missed == "" ? "yes" : "no", text, missed == "" ? "" : ": not at" substr(missed, 2)
}
END {
    if (aborted) exit 2
    table()
    claim("lsp with random projectors at or below full Adam", "lsp", "full", 0)
    claim("lsp with random projectors within 2 % of full SOAP", "lsp", "soap", 0.02)
    claim("learned projectors within 1 % of random ones", "lsp-learned", "lsp", 0.01)
    claim("lsp below lora with Adam at equal GPU memory", "lsp", "lora-plain", 0)
    claim("lsp below galore with Adam at equal GPU memory", "lsp", "galore-plain", 0)
    claim("lsp below lora in eigenbases, which take more GPU memory than lsp", "lsp", "lora", 0)
    claim("lsp below galore in eigenbases, which take more GPU memory than lsp", "lsp", "galore", 0)
    first = cells[1]
    require(here[first ",lsp"] < here[first ",lsp-plain"], "here, too, lsp ends lower in the eigenbasis")
    require(here[first ",lsp-learned"] < here[first ",lsp-learned-plain"],
        "here, too, learned projectors end lower in the eigenbasis")
    require(here[first ",lsp"] < here[first ",full"], "here, too, lsp ends below full fine-tuning with Adam")
    require(here[first ",soap"] < here[first ",full"], "here, too, SOAP ends below Adam")
    require(here[first ",lsp"] < here[first ",rest"], "here, too, lsp ends below training only the rest")
    finish()
}
