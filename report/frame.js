// frame.js - around gnuplot's script for an SVG, in the frame of one picture; runs before that script looks at the SVG.
(function () {
    'use strict';
    var svg = document.querySelector('svg');

    // The wheel scrolls the page, with Ctrl it zooms; arrows and Home are the page's.
    window.addEventListener('wheel', function (event) {
        if (!event.ctrlKey)
            event.stopImmediatePropagation();
    }, true);
    window.addEventListener('keydown', function (event) {
        if (/^(Arrow.*|Left|Right|Up|Down|Home)$/.test(event.key))
            event.stopImmediatePropagation();
    }, true);

    // Coordinates are those of the last of several plots in one picture, so they would be wrong in the others.
    var plots = svg.querySelectorAll('g[id^="gnuplot_plot_"]');
    var parts = {};
    plots.forEach(function (plot) { parts[plot.id.replace(/^gnuplot_plot_\d+|_keyentry$/g, '')] = true; });
    var several = Object.keys(parts).length > 1;
    window.addEventListener('click', function (event) {
        if (several && !event.target.closest('[id$="_keyentry"]'))
            event.stopImmediatePropagation();
    }, true);

    // Titles that gnuplot gives to plots are no names of curves: no tooltips.
    plots.forEach(function (plot) {
        var title = plot.querySelector(':scope > title');
        if (title)
            title.textContent = '';
    });

    // The colour of a curve or box, as "polygon rgb(1,2,3)"; within the legend or without it.
    var paint = function (plot, inLegend) {
        var found = '';
        plot.querySelectorAll('polygon[fill], path[stroke], use[color]').forEach(function (shape) {
            if (found !== '' || (shape.closest('[id$="_keyentry"]') !== null) !== inLegend)
                return;
            var colour = shape.getAttribute({ polygon: 'fill', path: 'stroke', use: 'color' }[shape.tagName]);
            found = shape.tagName + ' ' + colour.replace(/ /g, '');
        });
        return found;
    };

    // A name in the legend hides what has its colour in the other plots of the picture; gnuplot's script hides its own.
    var hideOthers = function (entry) {
        var own = svg.getElementById(entry.id.replace('_keyentry', ''));
        var colour = paint(own, true) || paint(own, false), hidden = own.getAttribute('visibility') === 'hidden';
        plots.forEach(function (plot) {
            if (plot !== own && !/_keyentry$/.test(plot.id) && colour !== '' && paint(plot, false) === colour)
                plot.setAttribute('visibility', hidden ? 'visible' : 'hidden');
        });
    };

    // The names are buttons for the keyboard, too.
    svg.querySelectorAll('g[id$="_keyentry"]').forEach(function (entry) {
        entry.addEventListener('click', function () { hideOthers(entry); });
        if (!entry.querySelector('text'))
            return;
        entry.setAttribute('tabindex', '0');
        entry.setAttribute('role', 'button');
        entry.addEventListener('keydown', function (event) {
            if (event.key !== 'Enter' && event.key !== ' ')
                return;
            event.preventDefault();
            entry.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }));
        });
    });

    // A hypertext's point grows to the box whose centre it is in.
    var place = function (x, y) { return Math.round(2 * x) + ' ' + Math.round(2 * y); };
    var points = svg.querySelectorAll('g[onmousemove^="gnuplot_svg.showHypertext"]');
    if (points.length === 0)
        return;
    var boxes = {};
    svg.querySelectorAll('g[id^="gnuplot_plot_"] polygon').forEach(function (polygon) {
        var box = polygon.getBBox();
        boxes[place(box.x + box.width / 2, box.y + box.height / 2)] = box;
    });
    points.forEach(function (point) {
        var shape = point.querySelector('use');
        var at = /translate\(([-\d.]+),([-\d.]+)\)/.exec(shape ? shape.getAttribute('transform') : '');
        var box = at && boxes[place(Number(at[1]), Number(at[2]))];
        if (!box)
            return;
        var area = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
        ['x', 'y', 'width', 'height'].forEach(function (name) { area.setAttribute(name, box[name]); });
        area.setAttribute('fill', 'transparent');
        area.setAttribute('stroke', 'none');
        point.replaceChild(area, shape);
    });
})();
