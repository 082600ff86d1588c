# Lines: bias on held-out gradients against r, one panel per text and subspace size; means over the weights of a block.
file = data."/mean.csv"
panels = system("awk -F, 'NR > 1 && !seen[$1]++ { print $1 }' '".file."'")
n = words(panels)
rows = n > 3 ? 2 : 1
width = 1000; height = 85 + 380*rows
load plots."/style.gp"
set logscale x 2
set xlabel "nonzeros per row of a projector (r)\n(GaLore: a rank of equal memory)"
# A little below 0, so that the floor is seen above the axis.
set yrange [-0.05:1.05]
names = '"random projectors, best scale" "learned projectors" "GaLore, equal bytes" "GaLore, equal numbers" "SVD floor at rank d"'
columns = "random learned galore galore_formula floor"
array shade[5] = [colour_of("lsp-random"), colour_of("lsp"), colour_of("galore"), colour_of("galore"), black]
array mark[5] = [mark_of("lsp-random"), mark_of("lsp"), mark_of("galore"), mark_of("galore")-1, 0]
array dashes[5] = [1, 1, 1, 2, 3]
set multiplot title note
unset key
do for [i=1:n] {
    panel = word(panels, i)
    colon = strstrt(panel, ":")
    across = (i - 1) % 3; down = (i - 1) / 3
    set lmargin at screen 0.07 + 0.325*across; set rmargin at screen 0.07 + 0.325*across + 0.27
    top = 1 - (60.0 + 380*down)/height
    set tmargin at screen top; set bmargin at screen top - 270.0/height
    set title panel[1:colon-1]." text, d = ".panel[colon+1:*]
    if (across == 0) { set ylabel "relative bias on held-out gradients" } else { unset ylabel }
    stats file using (strcol("panel") eq panel ? column("floor") : NaN) nooutput name "F"
    set label 1 sprintf("floor: %.2g", F_mean) at graph 0.04, first F_mean offset 0, 0.6 left font ",9"
    plot for [k=1:5] file using (strcol("panel") eq panel ? column("r") : NaN):(column(word(columns, k))) \
        with linespoints pointtype mark[k] linewidth 1.4 linecolor rgb shade[k] dashtype dashes[k]
}
# The legend on a separate strip.
unset title; unset label; unset border; unset tics; unset xlabel; unset ylabel; unset logscale; unset grid
set lmargin at screen 0; set rmargin at screen 1; set tmargin at screen 0.05; set bmargin at screen 0
set xrange [0:1]; set yrange [0:1]
set key at screen 0.5, screen 22.0/height center center horizontal Left reverse samplen 2 width -1
plot for [k=1:5] NaN with linespoints pointtype mark[k] linewidth 1.4 linecolor rgb shade[k] dashtype dashes[k] title word(names, k)
unset multiplot
