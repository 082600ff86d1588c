// Appended to a page of lspo report by tests/report_in_browser.sh: does the page work in this browser?  What does not
// is sent to the page around it, or "all right".
(function () {
    'use strict';
    var wrong = [];
    var expect = function (what, holds) { if (!holds) wrong.push(what); };
    // Until the page was drawn once more: frames open then.
    var drawn = function () {
        return new Promise(function (done) { requestAnimationFrame(function () { setTimeout(done, 20); }); });
    };
    var isReady = function (frame) {
        var svg = frame.contentDocument && frame.contentDocument.querySelector('svg');
        return svg && svg.gnuplot;
    };
    var viewBox = function (svg) { return svg.getAttribute('viewBox'); };

    // An event as a user makes it; was its own effect in the browser prevented?
    var send = function (frame, target, kind, type, more) {
        var event = new frame.contentWindow[kind](type, Object.assign({ bubbles: true, cancelable: true }, more));
        target.dispatchEvent(event);
        return event.defaultPrevented;
    };

    var checkToggle = function (frame, svg) {
        var entry = svg.querySelector('g[id$="_keyentry"][role="button"]');
        if (!entry)
            return 0;
        var curve = svg.getElementById(entry.id.replace('_keyentry', ''));
        var hidden = function () {
            return svg.querySelectorAll('g[id^="gnuplot_plot_"][visibility="hidden"]').length;
        };
        send(frame, entry.querySelector('text'), 'MouseEvent', 'click');
        expect(frame.title + ': a click hides a curve', curve.getAttribute('visibility') === 'hidden');
        expect(frame.title + ': a Gantt chart\'s legend hides ops of both sides, not ' + hidden(),
            !/^lsp\.svg/.test(frame.title) || hidden() === 3);
        send(frame, entry, 'KeyboardEvent', 'keydown', { key: 'Enter' });
        expect(frame.title + ': a key shows it again',
            curve.getAttribute('visibility') === 'visible' && hidden() === 0);
        return 1;
    };

    var checkZoom = function (frame, svg) {
        var before = viewBox(svg);
        expect(frame.title + ': the wheel is the page\'s',
            !send(frame, svg, 'WheelEvent', 'wheel', { deltaY: 50 }) && viewBox(svg) === before);
        ['ArrowDown', 'ArrowLeft', 'Home'].forEach(function (key) {
            expect(frame.title + ': ' + key + ' is the page\'s',
                !send(frame, frame.contentDocument.body, 'KeyboardEvent', 'keydown', { key: key }) &&
                viewBox(svg) === before);
        });
        expect(frame.title + ': Ctrl and the wheel zoom',
            send(frame, svg, 'WheelEvent', 'wheel', { deltaY: 50, ctrlKey: true }) && viewBox(svg) !== before);
        send(frame, svg, 'MouseEvent', 'contextmenu');
        expect(frame.title + ': a right click shows all again',
            viewBox(svg).split(' ').map(Number).join(' ') === before);
    };

    // Ops whose box is found say what they are over all of it.
    var checkOps = function (frame, svg) {
        var points = svg.querySelectorAll('g > rect[fill="transparent"]');
        if (points.length === 0)
            return 0;
        points.forEach(function (point, i) {
            if (i % 10 !== 0)
                return;
            send(frame, point, 'MouseEvent', 'mousemove', { clientX: 50, clientY: 50 });
            var text = svg.getElementById('hypertext');
            expect(frame.title + ': an op says what it is', text.getAttribute('visibility') === 'visible' &&
                /^[A-Z0-9_]+, layer \d+: [\d.]+ to [\d.]+ ms, \d+ bytes$/.test(text.textContent));
            send(frame, point, 'MouseEvent', 'mouseout');
            expect(frame.title + ': and no more', text.getAttribute('visibility') === 'hidden');
        });
        expect(frame.title + ': every op has its box', svg.querySelectorAll('g[onmousemove] > use').length === 0);
        return points.length;
    };

    // Texts of one picture that lie on each other by more than a pixel along a line, and three across lines,
    // because boxes are higher than letters.  Each box is turned as its text is.
    var checkLabels = function (frame, svg) {
        var boxes = [];
        svg.querySelectorAll('text').forEach(function (text) {
            if (text.getAttribute('visibility') === 'hidden' || text.textContent.trim() === '')
                return;
            var own = text.getBBox(), toScreen = text.getScreenCTM(), length = Math.hypot(toScreen.a, toScreen.b);
            var box = {
                text: text.textContent, along: [toScreen.a / length, toScreen.b / length],
                corners: [0, 1, 2, 3].map(function (i) {
                    return new DOMPoint(own.x + (i & 1) * own.width, own.y + (i >> 1) * own.height)
                        .matrixTransform(toScreen);
                })
            };
            boxes.forEach(function (other) {
                expect(frame.title + ': "' + box.text + '" lies on "' + other.text + '"', apart(box, other));
            });
            boxes.push(box);
        });
    };
    // Is there a direction of either box in which the two overlap by no more than that?
    var apart = function (a, b) {
        return [a, b].some(function (box) {
            return overlap(a, b, box.along[0], box.along[1]) < 1 || overlap(a, b, -box.along[1], box.along[0]) < 3;
        });
    };
    var overlap = function (a, b, x, y) {
        var ends = [a, b].map(function (box) {
            var at = box.corners.map(function (corner) { return corner.x * x + corner.y * y; });
            return [Math.min.apply(null, at), Math.max.apply(null, at)];
        });
        return Math.min(ends[0][1], ends[1][1]) - Math.max(ends[0][0], ends[1][0]);
    };

    // Curves that lie on names of a legend, looked for at every fourth point of them.
    var checkLegend = function (frame, svg) {
        var names = Array.from(svg.querySelectorAll('[id$="_keyentry"] text'), function (text) {
            return { box: text.getBoundingClientRect(), text: text.textContent };
        });
        svg.querySelectorAll('g[id^="gnuplot_plot_"] path').forEach(function (path) {
            if (path.closest('[id$="_keyentry"]'))
                return;
            var toScreen = path.getScreenCTM(), length = path.getTotalLength(), points = [];
            for (var at = 0; at < length; at += 4)
                points.push(path.getPointAtLength(at).matrixTransform(toScreen));
            names.forEach(function (name) {
                var box = name.box;
                expect(frame.title + ': a curve lies on "' + name.text + '"', !points.some(function (point) {
                    return point.x > box.left && point.x < box.right && point.y > box.top && point.y < box.bottom;
                }));
            });
        });
        return names.length;
    };

    // WCAG 2.2, 1.4.3: 4.5 to 1.
    var luminance = function (colour) {
        var parts = colour.match(/[\d.]+/g).slice(0, 3).map(function (part) {
            var c = part / 255;
            return c <= 0.04045 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4);
        });
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    var background = function (element) {
        for (; element; element = element.parentElement) {
            var colour = getComputedStyle(element).backgroundColor;
            if (!/, 0\)$/.test(colour))
                return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    var checkContrast = function () {
        document.querySelectorAll('body *:not(script)').forEach(function (element) {
            var own = Array.prototype.some.call(element.childNodes, function (node) {
                return node.nodeType === 3 && node.textContent.trim() !== '';
            });
            if (!own)
                return;
            var a = luminance(getComputedStyle(element).color), b = luminance(background(element));
            expect('contrast of ' + element.tagName + ' ' + element.className,
                (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) >= 4.5);
        });
    };

    // What a click on a compressed CSV saves has the rows that are written above it, and its head.
    var checkData = async function () {
        var saved = [], open = new Set(), create = URL.createObjectURL, revoke = URL.revokeObjectURL, followed = '';
        URL.createObjectURL = function (blob) {
            var address = create.call(URL, blob);
            saved.push(blob);
            open.add(address);
            return address;
        };
        URL.revokeObjectURL = function (address) { open.delete(address); revoke.call(URL, address); };
        HTMLAnchorElement.prototype.click = function () { followed = this.href; }; // nothing is written
        var links = document.querySelectorAll('a[data-csv]');
        for (var i = 0; i < links.length; i++) {
            links[i].dispatchEvent(new MouseEvent('click', { cancelable: true }));
            for (var tries = 0; tries < 100 && saved.length <= i; tries++)
                await drawn();
            var details = links[i].closest('details');
            var lines = saved[i] ? (await saved[i].text()).trimEnd().split('\n') : [''];
            var head = Array.from(details.querySelectorAll('th'), function (cell) { return cell.textContent; });
            var rows = Number(/: (\d+) rows/.exec(details.textContent)[1]);
            var columns = lines[0].split(',');
            expect(links[i].download + ': all of it is saved', lines.length - 1 === rows &&
                head.length > 1 && head.every(function (name) { return columns.includes(name); }));
        }
        expect('a large CSV is in the page', links.length > 0);
        links[0].dataset.csv = 'damaged';
        links[0].dispatchEvent(new MouseEvent('click', { cancelable: true }));
        for (tries = 0; tries < 100 && followed !== links[0].href; tries++)
            await drawn();
        expect('what cannot be unpacked is taken from the folder', followed === links[0].href);
        await new Promise(function (done) { setTimeout(done, 11000); });
        expect('nothing saved stays in memory', open.size === 0);
    };

    var run = async function () {
        var images = document.querySelectorAll('img.picture');
        for (var i = 0; i < images.length; i++) {
            images[i].parentNode.scrollIntoView();
            for (var tries = 0; tries < 100 && !images[i].classList.contains('print'); tries++)
                await drawn();
        }
        var frames = document.querySelectorAll('iframe.picture');
        for (tries = 0; tries < 100 && !Array.prototype.every.call(frames, isReady); tries++)
            await drawn();
        expect('a frame per picture: ' + frames.length + ' of ' + images.length, frames.length === images.length);
        var toggles = 0, ops = 0, names = 0;
        frames.forEach(function (frame) {
            var svg = frame.contentDocument.querySelector('svg');
            expect(frame.title + ': gnuplot\'s script runs', svg.gnuplot);
            expect(frame.title + ': its whole width shows', svg.getBoundingClientRect().width <= frame.clientWidth);
            checkLabels(frame, svg);
            names += checkLegend(frame, svg);
            toggles += checkToggle(frame, svg);
            checkZoom(frame, svg);
            ops += checkOps(frame, svg);
        });
        expect('curves can be hidden', toggles > 0);
        expect('curves have names', names > 0);
        expect('ops say what they are', ops > 0);
        expect('the page is no wider than the screen: ' + document.documentElement.scrollWidth + ' of ' + innerWidth,
            document.documentElement.scrollWidth <= innerWidth);
        checkContrast();
        await checkData();
    };

    run().catch(function (error) { wrong.push(String(error)); }).then(function () {
        parent.postMessage(innerWidth + ' wide: ' + (wrong.length ? wrong.join('; ') : 'all right'), '*');
    });
})();
