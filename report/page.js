// page.js - unpacks what is compressed, and opens each picture that gnuplot drew with `mouse` in a frame of its own,
// when it comes near the screen.  The image stays for print and for browsers without scripts.
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

    // What report/embed.h compressed, as a stream.
    var unpack = function (text) {
        var packed = Uint8Array.from(atob(text), function (c) { return c.charCodeAt(0); });
        return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate')));
    };

    // The image is complete before it comes near the screen: it is what is printed.
    var load = function (image) {
        if (!image.dataset.svg)
            return Promise.resolve(decodeURIComponent(image.getAttribute('src').slice(source.length)));
        return unpack(image.dataset.svg).text().then(function (svg) {
            image.src = source + encodeURIComponent(svg);
            return svg;
        });
    };

    // What cannot be unpacked is taken from the folder of results.
    var save = function (event) {
        var link = event.currentTarget;
        var follow = function (address) {
            var saved = document.createElement('a');
            saved.href = address;
            saved.download = link.download;
            saved.click();
        };
        event.preventDefault();
        var unpacked = Promise.resolve(link.dataset.csv).then(unpack);
        unpacked.then(function (data) { return data.blob(); }).then(function (csv) {
            var address = URL.createObjectURL(csv.slice(0, csv.size, 'text/csv;charset=utf-8'));
            follow(address);
            setTimeout(function () { URL.revokeObjectURL(address); }, 10000); // some browsers read it after the click
        }, function () { follow(link.href); });
    };

    var packed = '';
    if ('DecompressionStream' in window) {
        packed = ', img.picture[data-svg]';
        document.querySelectorAll('a[data-csv]').forEach(function (link) { link.addEventListener('click', save); });
    }
    var images = Array.from(document.querySelectorAll('img.picture[src^="' + source + '"]' + packed));
    var pictures = new Map(images.map(function (image) { return [image, load(image)]; }));
    if (!document.getElementById('gnuplot-script'))
        return;
    var open = function (image) { pictures.get(image).then(function (svg) { show(image, svg); }); };
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
