# style.gp - settings of all pictures.  Set `width`, `height` (pixels), then load this, then plot.
# Set by the caller: format (png or svg), target (file), plots (this folder), data (folder of the CSV), and `mouse` for
# an SVG that gnuplot's own script makes interactive.
with_mouse = exists("mouse") ? "mouse" : ""
if (format eq "png") {
    set terminal pngcairo noenhanced size width*2, height*2 font "DejaVu Sans,10" fontscale 2 linewidth 2 pointscale 2 \
        background "white"
} else {
    set terminal svg noenhanced @with_mouse size width, height font "DejaVu Sans,10" background "white"
}
set output target
set datafile separator comma
set datafile missing ""
set datafile columnheaders

# Okabe and Ito's palette, which colour-blind people can distinguish.
blue = 0x0072B2; orange = 0xE69F00; green = 0x009E73; red = 0xD55E00
sky = 0x56B4E9; pink = 0xCC79A7; yellow = 0xF0E442; grey = 0x8C8C8C; black = 0x000000

# A policy looks the same in every picture, with a colour and a mark of its own.  An unknown name is an error.
styled_policies = "native swap stream zero zero-delayed zero-layerwise backward-update deep-optimizer-states axonn lsp lsp-random lsp-eigen lsp-paper lora galore zenflow lomo badam meft fusion"
array policy_colour[20] = [black, grey, 0xB0305A, orange, pink, sky, 0x7F3C8D, 0x7FBF00, 0x9467BD, blue, 0x6FA8DC, 0x00D0FF, 0x1F3864, green, red, 0xC9A800, 0x8B5A2B, 0x35B5A5, 0xE377C2, 0x4B6B00]
array policy_mark[20] = [2, 4, 1, 8, 10, 12, 14, 3, 5, 7, 6, 1, 5, 9, 11, 13, 15, 3, 1, 4]
index_in(list, name) = sum [i=1:words(list)] (word(list, i) eq name ? i : 0)
colour_of(policy) = policy_colour[index_in(styled_policies, policy)]
mark_of(policy) = policy_mark[index_in(styled_policies, policy)]

# A text with one line per part between "|".
lines(text) = strstrt(text, "|") == 0 ? text : text[1:strstrt(text, "|")-1]."\n".lines(text[strstrt(text, "|")+1:*])

set border 3 linecolor rgb "#404040"
set tics nomirror out scale 0.6 textcolor rgb "#202020"
set grid ytics linecolor rgb "#e0e0e0" linetype 1 linewidth 0.6
set key noautotitle samplen 2 spacing 1.15
set style fill solid 1.0 noborder
