'use strict';
(() => {
	const charts = JSON.parse(document.getElementById('charts').textContent) || [];
	const colors = 6;
	const off = new Set(); // names and sets that are not shown
	const zoom = {};       // by the name of the x axis: [from, to]
	const views = [];

	const svgNS = 'http://www.w3.org/2000/svg';
	function svg(name, attributes, parent) {
		const e = document.createElementNS(svgNS, name);
		for (const k in attributes) e.setAttribute(k, attributes[k]);
		if (parent) parent.append(e);
		return e;
	}
	function html(name, className, text, parent) {
		const e = document.createElement(name);
		if (className) e.className = className;
		if (text !== undefined) e.textContent = text;
		if (parent) parent.append(e);
		return e;
	}

	// A number in four digits.
	function brief(v) {
		const a = Math.abs(v);
		if (a !== 0 && (a < 1e-4 || a >= 1e6)) return v.toExponential(2).replace('e+', 'e');
		return String(+v.toPrecision(4));
	}
	// The same on an axis, where there is little room.
	function tick(v) {
		const a = Math.abs(v);
		return a >= 1e6 && a < 1e9 ? brief(v / 1e6) + 'M' : a >= 1e4 && a < 1e6 ? brief(v / 1e3) + 'k' : brief(v);
	}
	const count = v => Number.isInteger(v) ? v.toLocaleString('en') : brief(v);

	// The place of the first x that is not below v.
	function from(x, v) {
		let low = 0, high = x.length;
		while (low < high) {
			const mid = (low + high) >> 1;
			if (x[mid] < v) low = mid + 1; else high = mid;
		}
		return low;
	}

	// The place with a value that is nearest to v.
	function nearest(c, v) {
		const at = from(c.x, v);
		let best = -1;
		for (let i = Math.max(0, at - 2); i < Math.min(c.x.length, at + 2); i++) {
			if (c.y[i] !== null && (best < 0 || Math.abs(c.x[i] - v) < Math.abs(c.x[best] - v))) best = i;
		}
		return best;
	}

	function linearTicks(low, high, most) {
		const raw = (high - low) / most, size = 10 ** Math.floor(Math.log10(raw));
		const step = [1, 2, 5, 10].map(k => k * size).find(s => s >= raw);
		const ticks = [];
		for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(+(k * step).toPrecision(12));
		return ticks;
	}

	function logTicks(low, high) {
		const ticks = [], decades = Math.log10(high / low);
		const every = Math.max(1, Math.round(decades / 5));
		const digits = decades > 3 ? [1] : decades > 1.2 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
		for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
			if (e % every === 0) for (const d of digits) {
				const v = d * 10 ** e;
				if (v >= low && v <= high) ticks.push(+v.toPrecision(12));
			}
		}
		return ticks.length > 1 ? ticks : linearTicks(low, high, 4);
	}

	const shown = c => !off.has(c.name) && !off.has(c.set);
	const both = curves => new Set(curves.map(c => c.set).filter(Boolean)).size > 1;

	// The first curve of each value of a field.
	const firsts = (curves, field) => curves.filter((c, i) => curves.findIndex(d => d[field] === c[field]) === i);

	// The buttons: names with their colours, then sets with their strokes. It says
	// whether there is anything to choose.
	function legend(box, curves) {
		const names = firsts(curves, 'name'), sets = both(curves);
		if (names.length > 1) for (const c of names) toggle(box, c.name, c, Object.assign({}, c, { set: '' }), hue(c), c.dots && !c.set);
		if (sets) for (const c of firsts(curves, 'set').filter(c => c.set)) toggle(box, c.set, c, c, '', false);
		return names.length > 1 || sets;
	}

	function toggle(box, key, c, drawn, color, dot) {
		const b = html('button', color === '' ? 'sets' : '', undefined, box);
		b.type = 'button';
		b.dataset.key = key;
		b.setAttribute('aria-pressed', 'true');
		const swatch = svg('svg', { viewBox: '0 0 18 10', 'aria-hidden': 'true', 'data-color': color }, b);
		svg('path', Object.assign({ class: 'line', d: 'M1 5H17' }, stroke(drawn, color === '')), swatch);
		if (dot) svg('circle', { class: 'dot', cx: 9, cy: 5, r: 3 }, swatch);
		html('span', '', key, b);
		b.addEventListener('click', () => {
			if (!off.delete(key)) off.add(key);
			for (const other of document.querySelectorAll('.legend button')) {
				if (other.dataset.key === key) other.setAttribute('aria-pressed', String(!off.has(key)));
			}
			views.forEach(v => v.draw());
		});
	}

	class View {
		constructor(figure, chart) {
			this.figure = figure;
			this.chart = chart;
			this.full = this.span();
			const caption = figure.querySelector('figcaption');
			if (chart.note && chart.x !== 'epoch') html('small', '', chart.note, caption);
			const controls = html('span', 'controls', undefined, caption);
			this.reset = html('button', 'reset', 'reset', controls);
			this.reset.type = 'button';
			this.reset.addEventListener('click', () => this.zoomTo(null));
			if (chart.log) {
				const [low, high] = this.extent(this.full);
				this.log = low > 0 && high / low > 5;
				this.logButton = html('button', 'log', 'log', controls);
				this.logButton.type = 'button';
				this.logButton.addEventListener('click', () => { this.log = !this.log; this.draw(); });
			}
			if (chart.x !== 'epoch') {
				const box = html('div', 'legend', undefined, figure);
				if (!legend(box, chart.curves)) box.remove();
			}
			this.svg = svg('svg', { tabindex: 0, role: 'img', 'aria-label': `${chart.title} over ${chart.x}s: ` + [...new Set(chart.curves.map(c => c.name))].join(', ') }, figure);
			this.tip = html('div', 'tip', undefined, figure);
			this.tip.hidden = true;
			this.listen();
		}

		span() {
			let low = Infinity, high = -Infinity;
			for (const c of this.chart.curves) {
				low = Math.min(low, c.x[0]);
				high = Math.max(high, c.x[c.x.length - 1]);
			}
			return low < high ? [low, high] : [low - 0.5, high + 0.5];
		}

		// The lowest and the highest value that is shown, and one on either side.
		extent([a, b]) {
			const all = [];
			for (const c of this.chart.curves) {
				if (!shown(c)) continue;
				for (const ys of [c.y, c.low, c.high]) {
					if (!ys) continue;
					const last = Math.min(ys.length, from(c.x, b) + 1);
					for (let i = Math.max(0, from(c.x, a) - 1); i < last; i++) if (ys[i] !== null) all.push(ys[i]);
				}
			}
			if (!all.length) return [0, 1];
			all.sort((p, q) => p - q);
			let low = all[0];
			const high = all[all.length - 1];
			if (this.chart.zero) return [0, high];
			const tenth = all[Math.floor(all.length / 10)];
			// What is far below the rest runs off the axis.
			if (this.chart.share && high - tenth < (high - low) / 2) low = tenth;
			return [low, high];
		}

		scale() {
			const [w, h] = [this.w, this.h], m = this.margin;
			const [x0, x1] = zoom[this.chart.x] || this.full;
			let [y0, y1] = this.extent([x0, x1]);
			const log = this.log && y0 > 0;
			if (log) {
				const room = Math.max((y1 / y0) ** 0.05, 1.02);
				[y0, y1] = [Math.log(y0 / room), Math.log(y1 * room)];
			} else {
				const room = (y1 - y0) * 0.06 || Math.abs(y1) * 0.1 || 1;
				const top = this.chart.share && y1 <= 100 ? 100 + (y1 - y0) * 0.02 : Infinity;
				[y0, y1] = [y0 >= 0 ? Math.max(y0 - room, 0) : y0 - room, Math.min(y1 + room, top)];
			}
			const sx = (w - m.left - m.right) / (x1 - x0), sy = (h - m.top - m.bottom) / (y1 - y0);
			this.x = v => m.left + (v - x0) * sx;
			this.value = px => x0 + (px - m.left) / sx;
			this.y = v => h - m.bottom - ((log ? Math.log(v > 0 ? v : 1e-300) : v) - y0) * sy;
			this.domain = [x0, x1];
			this.yTicks = log ? logTicks(Math.exp(y0), Math.exp(y1)) : linearTicks(y0, y1, this.chart.zero ? 6 : 5);
		}

		draw() {
			const w = this.w = Math.max(240, this.figure.clientWidth), h = this.h = Math.round(Math.min(300, Math.max(190, w * 0.56)));
			this.margin = { left: 44, right: 8, top: 8, bottom: 34 };
			this.scale();
			this.svg.setAttribute('viewBox', `0 0 ${w} ${h}`);
			this.svg.style.height = h + 'px';
			this.svg.replaceChildren();
			this.axes();
			const id = 'clip' + views.indexOf(this), m = this.margin;
			svg('rect', { x: m.left - 4, y: m.top - 4, width: w - m.left - m.right + 8, height: h - m.top - m.bottom + 6 }, svg('clipPath', { id }, this.svg));
			this.plot = svg('g', { 'clip-path': `url(#${id})` }, this.svg);
			const visible = this.chart.curves.filter(shown);
			for (const c of visible) this.under(c);
			for (const c of visible) this.over(c);
			this.marks = svg('g', {}, this.svg);
			this.reset.hidden = !zoom[this.chart.x];
			if (this.logButton) this.logButton.setAttribute('aria-pressed', String(!!this.log));
		}

		axes() {
			const { w, h, margin: m } = this;
			let grid = '';
			for (const t of this.yTicks) {
				const y = this.y(t);
				if (y < m.top - 1 || y > h - m.bottom + 1) continue;
				grid += `M${m.left} ${y.toFixed(1)}H${w - m.right}`;
				svg('text', { class: 'end', x: m.left - 6, y: y + 4 }, this.svg).textContent = tick(t);
			}
			svg('path', { class: 'grid', d: grid }, this.svg);
			svg('path', { class: 'axis', d: `M${m.left} ${h - m.bottom}H${w - m.right}` }, this.svg);
			const whole = linearTicks(...this.domain, Math.max(2, Math.floor(w / 75))).filter(Number.isInteger);
			for (const t of whole) {
				const x = this.x(t);
				svg('path', { class: 'axis', d: `M${x.toFixed(1)} ${h - m.bottom}v4` }, this.svg);
				svg('text', { class: 'middle', x, y: h - m.bottom + 16 }, this.svg).textContent = count(t);
			}
			svg('text', { class: 'end', x: w - m.right, y: h - 4 }, this.svg).textContent = this.chart.x;
		}

		// The points of a curve that are in sight, and one on either side.
		path(x, y) {
			const [a, b] = this.domain;
			let d = '', pen = false;
			for (let i = Math.max(0, from(x, a) - 1); i < x.length; i++) {
				if (y[i] === null) { pen = false; continue; }
				d += (pen ? 'L' : 'M') + this.x(x[i]).toFixed(1) + ' ' + this.y(y[i]).toFixed(1);
				pen = true;
				if (x[i] > b) break;
			}
			return d;
		}

		under(c) {
			const g = svg('g', { 'data-color': hue(c) }, this.plot);
			if (c.rawX) svg('path', { class: 'raw', d: this.path(c.rawX, c.rawY) }, g);
			if (c.low) {
				const at = c.x.map((_, i) => i).filter(i => c.low[i] !== null && c.high[i] !== null);
				const side = ys => at.map(i => this.x(c.x[i]).toFixed(1) + ' ' + this.y(ys[i]).toFixed(1));
				if (at.length) svg('path', { class: 'band', d: 'M' + [...side(c.low), ...side(c.high).reverse()].join('L') + 'Z' }, g);
			}
		}

		over(c) {
			const g = svg('g', { class: 'curve', 'data-name': c.name, 'data-set': c.set || '', 'data-color': hue(c) }, this.plot);
			svg('path', Object.assign({ class: c.dots && !c.set ? 'line thin' : 'line', d: this.path(c.x, c.y) }, both(this.chart.curves) ? stroke(c) : stroke(Object.assign({}, c, { set: '' }))), g);
			const few = c.x.length <= Math.max(2, this.w / 14);
			for (let i = 0; i < c.x.length; i++) {
				if (c.y[i] !== null && (c.dots && few && !c.set || alone(c, i))) svg('circle', { class: 'dot', cx: this.x(c.x[i]).toFixed(1), cy: this.y(c.y[i]).toFixed(1), r: 3 }, g);
			}
		}

		listen() {
			let start = null;
			const place = e => {
				const box = this.svg.getBoundingClientRect();
				return (e.clientX - box.left) * this.w / box.width;
			};
			this.svg.addEventListener('pointerdown', e => {
				if (e.button > 0) return;
				start = place(e);
				this.svg.setPointerCapture(e.pointerId);
			});
			this.svg.addEventListener('pointermove', e => {
				const at = place(e);
				if (start === null) { this.point(this.value(at)); return; }
				hide();
				const { margin: m } = this, [a, b] = [Math.min(start, at), Math.max(start, at)].map(v => Math.min(this.w - m.right, Math.max(m.left, v)));
				this.marks.replaceChildren();
				svg('rect', { class: 'select', x: a, y: m.top, width: b - a, height: this.h - m.top - m.bottom }, this.marks);
			});
			this.svg.addEventListener('pointerup', e => {
				const a = start, b = place(e);
				start = null;
				if (a === null) return;
				if (Math.abs(a - b) > 6) this.zoomTo([Math.min(a, b), Math.max(a, b)].map(v => this.value(v)));
				else this.point(this.value(b));
			});
			this.svg.addEventListener('pointercancel', () => { start = null; hide(); });
			this.svg.addEventListener('pointerleave', e => { if (start === null && e.pointerType !== 'touch') hide(); });
			this.svg.addEventListener('dblclick', () => this.zoomTo(null));
			this.svg.addEventListener('blur', hide);
			this.svg.addEventListener('keydown', e => this.key(e));
		}

		key(e) {
			const [a, b] = this.domain, mid = this.at === undefined ? (a + b) / 2 : this.at;
			const longest = this.chart.curves.filter(shown).reduce((p, c) => !p || c.x.length > p.x.length ? c : p, null);
			const next = direction => {
				if (!longest) return mid;
				const i = nearest(longest, mid) + direction * Math.max(1, Math.round(longest.x.length / 200));
				return longest.x[Math.min(longest.x.length - 1, Math.max(0, i))];
			};
			switch (e.key) {
			case 'ArrowRight': this.point(next(1)); break;
			case 'ArrowLeft': this.point(next(-1)); break;
			case 'Home': this.point(a); break;
			case 'End': this.point(b); break;
			case '+': case '=': this.zoomTo([mid - (b - a) / 4, mid + (b - a) / 4]); break;
			case '-': this.zoomTo([mid - (b - a), mid + (b - a)]); break;
			case 'Escape': hide(); this.zoomTo(null); break;
			default: return;
			}
			e.preventDefault();
		}

		// Shows the values at x here, and a line there in all charts of that axis.
		point(x) {
			x = Math.min(this.domain[1], Math.max(this.domain[0], x));
			let at = x, near = Infinity;
			const rows = [];
			for (const c of this.chart.curves.filter(shown)) {
				const i = nearest(c, x);
				if (i < 0) continue;
				if (!c.level && Math.abs(c.x[i] - x) < near) { near = Math.abs(c.x[i] - x); at = c.x[i]; }
			}
			for (const c of this.chart.curves.filter(shown)) {
				const i = nearest(c, at);
				if (i >= 0) rows.push({ c, x: c.x[i], y: c.y[i], band: c.low && c.low[i] !== c.high[i] ? [c.low[i], c.high[i]] : null });
			}
			rows.sort((p, q) => q.y - p.y);
			for (const v of views) if (v.chart.x === this.chart.x) v.cross(at);
			this.at = at;
			for (const r of rows) if (!r.c.level) {
				const g = svg('g', { 'data-color': hue(r.c) }, this.marks);
				svg('circle', { class: 'dot', cx: this.x(r.x), cy: this.y(r.y), r: 4 }, g);
			}
			this.say(at, rows);
		}

		say(at, rows) {
			const tip = this.tip, sets = both(this.chart.curves);
			tip.replaceChildren();
			html('b', '', this.chart.x + ' ' + count(at), tip);
			for (const r of rows) {
				const row = html('span', '', undefined, tip), name = html('i', '', undefined, row);
				name.style.fontStyle = 'normal';
				html('i', 'chip', undefined, name).dataset.color = hue(r.c);
				name.append(r.c.name + (sets && r.c.set ? ', ' + r.c.set : '') + (r.x !== at && !r.c.level ? ` (${this.chart.x} ${count(r.x)})` : ''));
				html('output', '', brief(r.y) + (r.band ? ` (${brief(r.band[0])} to ${brief(r.band[1])})` : ''), row);
			}
			tip.hidden = !rows.length;
			const x = this.x(at), room = this.figure.clientWidth - tip.offsetWidth;
			tip.style.left = Math.max(0, Math.min(room, x + 14 + tip.offsetWidth > this.w ? x - 14 - tip.offsetWidth : x + 14)) + 'px';
			tip.style.top = this.svg.getBoundingClientRect().top - this.figure.getBoundingClientRect().top + this.margin.top + 'px';
		}

		cross(x) {
			this.marks.replaceChildren();
			this.tip.hidden = true;
			if (x < this.domain[0] || x > this.domain[1]) return;
			const { margin: m } = this, px = this.x(x).toFixed(1);
			svg('path', { class: 'cross', d: `M${px} ${m.top}V${this.h - m.bottom}` }, this.marks);
		}

		zoomTo(span) {
			const [a, b] = this.full;
			if (span) span = [Math.max(a, span[0]), Math.min(b, span[1])];
			if (!span || span[0] <= a && span[1] >= b) delete zoom[this.chart.x];
			else if (span[1] > span[0]) zoom[this.chart.x] = span;
			for (const v of views) if (v.chart.x === this.chart.x) { v.tip.hidden = true; v.draw(); }
		}
	}

	const hue = c => c.color < 0 ? -1 : c.color % colors;
	const alone = (c, i) => (i === 0 || c.y[i - 1] === null) && (i === c.x.length - 1 || c.y[i + 1] === null);

	// Dashes tell validation from training, levels from curves, and the seventh
	// curve from the first.
	function stroke(c, key) {
		if (c.level) return { 'stroke-dasharray': '6 4' };
		if (c.set === 'validation') return { 'stroke-dasharray': '5 4' };
		if (!key && c.color >= colors) return { 'stroke-dasharray': '1 4' };
		return {};
	}

	function hide() {
		for (const v of views) {
			v.tip.hidden = true;
			if (v.marks) v.marks.replaceChildren();
		}
	}

	// What is over the epochs has one legend, for its charts are all of the same arms.
	const arms = charts.filter(c => c.x === 'epoch'), bar = document.querySelector('.common');
	if (bar && legend(bar, arms.flatMap(c => c.curves))) bar.hidden = false;
	for (const c of arms.filter(c => c.note).slice(0, 1)) document.querySelector('.hint').append(' ' + c.note);

	for (const figure of document.querySelectorAll('.chart')) views.push(new View(figure, charts[figure.dataset.chart]));
	// Scroll bars that appear make charts narrower.
	let width = 0;
	const fit = () => {
		if (document.documentElement.clientWidth !== width) {
			width = document.documentElement.clientWidth;
			views.forEach(v => v.draw());
		}
	};
	fit();
	addEventListener('resize', fit);
	addEventListener('beforeprint', () => views.forEach(v => v.draw()));
	for (const hint of document.querySelectorAll('.hint')) hint.hidden = false;

	// Tabs: one model at a time, the same in all places.
	const lists = [];
	function select(name) {
		for (const { tabs, buttons } of lists) {
			if (!tabs.some(t => t.dataset.tab === name)) continue;
			tabs.forEach((t, i) => {
				t.hidden = t.dataset.tab !== name;
				buttons[i].setAttribute('aria-selected', String(!t.hidden));
				buttons[i].tabIndex = t.hidden ? -1 : 0;
			});
		}
	}
	document.querySelectorAll('.tabs').forEach((box, n) => {
		const tabs = [...box.querySelectorAll('.tab')];
		if (tabs.length < 2) return;
		const list = html('div', 'tablist');
		list.setAttribute('role', 'tablist');
		const buttons = tabs.map((t, i) => {
			const b = html('button', '', t.dataset.tab, list);
			b.type = 'button';
			b.setAttribute('role', 'tab');
			t.id = `tab-${n}-${i}`;
			b.setAttribute('aria-controls', t.id);
			t.setAttribute('role', 'tabpanel');
			t.querySelector('h3').hidden = true;
			b.addEventListener('click', () => select(t.dataset.tab));
			b.addEventListener('keydown', e => {
				const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
				if (!step) return;
				const next = buttons[(i + step + buttons.length) % buttons.length];
				next.focus();
				next.click();
			});
			return b;
		});
		box.prepend(list);
		lists.push({ tabs, buttons });
	});
	for (const { tabs } of lists) select(tabs[tabs.length - 1].dataset.tab);
})();
