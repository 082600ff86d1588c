// page.js - opens each picture that gnuplot drew with `mouse` in a frame of its own, when it comes near the screen.
// The image stays for print and for browsers without scripts.
(function () {
    'use strict';
    var source = 'data:image/svg+xml;charset=utf-8,';
    var script = function (id) {
        return '<script>' + document.getElementById(id).textContent + '</' + 'script>';
    };

    // gnuplot's script comes first, because scripts within the SVG use it.
    var show = function (image, svg) {
        if (svg.indexOf('gnuplot_canvas') < 0)
            return;
        var frame = document.createElement('iframe');
        frame.className = 'picture';
        frame.title = image.alt;
        frame.width = image.getAttribute('width');
        frame.height = image.getAttribute('height');
        frame.srcdoc = '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>picture</title><style>' +
            'html, body { margin: 0; overflow: hidden; } svg { display: block; } svg > rect { stroke: none; } ' +
            'text { pointer-events: none; } [id$="_keyentry"] { cursor: pointer; } ' +
            '[id$="_keyentry"] text { pointer-events: auto; } ' +
            '[id$="_keyentry"]:focus-visible { outline: 2px solid #0072b2; }</style>' + script('gnuplot-script') +
            '</head><body>' + svg + script('frame-script') + '</body></html>';
        image.parentNode.insertBefore(frame, image);
        image.classList.add('print');
    };

    var open = function (image) {
        if (!image.dataset.svg) {
            show(image, decodeURIComponent(image.getAttribute('src').slice(source.length)));
            return;
        }
        var packed = Uint8Array.from(atob(image.dataset.svg), function (c) { return c.charCodeAt(0); });
        var stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
        new Response(stream).text().then(function (svg) {
            image.src = source + encodeURIComponent(svg);
            show(image, svg);
        });
    };

    var inside = ', img.picture[data-svg]';
    if (!('DecompressionStream' in window))
        inside = '';
    var images = document.querySelectorAll('img.picture[src^="' + source + '"]' + inside);
    if (!('IntersectionObserver' in window)) {
        images.forEach(open);
        return;
    }
    var observer = new IntersectionObserver(function (entries) {
        entries.forEach(function (entry) {
            if (!entry.isIntersecting)
                return;
            observer.unobserve(entry.target);
            open(entry.target);
        });
    }, { rootMargin: '400px' });
    images.forEach(function (image) { observer.observe(image); });
})();
