# Lines: bias on held-out gradients against r, a panel a text and subspace size; means over the weights of a block.
file = data."/mean.csv"
panels = system("awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' '".file."'")
n = words(panels)
width = 1000; height = n > 3 ? 800 : 420
load plots."/style.gp"
set logscale x 2
set xlabel "r (all at its GPU memory)"
set yrange [0:1.05]
names = '"random, best scale" learned "GaLore, equal bytes" "GaLore, equal numbers" "..... SVD floor at rank d"'
columns = "random learned galore galore_formula floor"
array shade[5] = [grey, blue, orange, orange, black]
array mark[5] = [5, 7, 9, 8, 0]
array dashes[5] = [1, 1, 1, 2, 3]
set multiplot layout (n > 3 ? 2 : 1),(n > 3 ? 3 : n) margins screen 0.07,0.98,(n > 3 ? 0.13 : 0.24),(n > 3 ? 0.93 : 0.91) spacing screen 0.07,0.15
unset key
do for [k=1:5] {
    set label k word(names, k) at screen 0.19*k-0.17, screen (n > 3 ? 0.025 : 0.04) left offset 1.5,0 point pointtype mark[k] linecolor rgb shade[k]
}
do for [i=1:n] {
    panel = word(panels, i)
    colon = strstrt(panel, ":")
    set title panel[1:colon-1]." text, d = ".panel[colon+1:*]
    if (i % 3 == 1) { set ylabel "relative bias on held-out gradients" } else { unset ylabel }
    plot for [k=1:5] file using (strcol("panel") eq panel ? column("r") : NaN):(column(word(columns, k))) \
        with linespoints pointtype mark[k] linewidth 1.4 linecolor rgb shade[k] dashtype dashes[k]
    unset label
}
unset multiplot
