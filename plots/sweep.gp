# Lines: a column of a sweep against another one, a line per value of a third; policies have their own colours.
# `points`: per line its title, an empty line, and points, in pieces; `x_name`, `y_name`: the columns.
width = 760; height = 460
load plots."/style.gp"
unset datafile columnheaders
stats points using 1:2 nooutput
blocks = STATS_blocks
# A scale over a wide range is logarithmic.
if (STATS_min_x > 0 && STATS_max_x > 15*STATS_min_x) { set logscale x 10 }
if (STATS_min_y > 0 && STATS_max_y > 15*STATS_min_y) { set logscale y 10 }
set xlabel x_name
set ylabel y_name
if (STATS_max_x >= 10000) { set format x "%.0s%c" } else { set format x "%g" }
if (STATS_max_y >= 10000) { set format y "%.1s%c" } else { set format y "%g" }
set key outside right top vertical Left reverse
array shade[8] = [blue, orange, green, red, sky, pink, yellow, grey]
colour(name, i) = index_in(styled_policies, name) > 0 ? colour_of(name) : shade[i % 8 + 1]
mark(name, i) = index_in(styled_policies, name) > 0 ? mark_of(name) : i % 12 + 4
array titles[blocks]
do for [i=1:blocks] { titles[i] = "" }
do for [i=1:blocks] { stats points index i-1 every ::0:0:0:0 using (titles[i] = strcol(1), 1) nooutput }
plot for [i=1:blocks] points index i-1 every :::1 using 1:2 with linespoints pointtype mark(titles[i], i) pointsize 0.9 \
    linewidth 1.6 linecolor rgb colour(titles[i], i) title titles[i]
