// The panes' widths: by pointer or arrow keys, remembered.
const panes = {
  left: {css: '--left-w', low: 220, high: 520, usual: 288, from: x => x},
  sources: {css: '--sources-w', low: 280, high: 760, usual: 380, from: x => innerWidth - x},
  reader: {css: '--reader-w', low: 360, high: 1400, usual: 760, from: x => innerWidth - x},
};
const most = pane => Math.max(pane.low, Math.min(pane.high, Math.round(innerWidth * 0.6)));
const set = (name, width, keep) => {
  const pane = panes[name], split = element.querySelector('#split-' + name);
  const fits = Math.max(pane.low, Math.min(most(pane), Math.round(width)));
  document.documentElement.style.setProperty(pane.css, fits + 'px');
  split.ariaValueNow = fits;
  split.ariaValueMin = pane.low;
  split.ariaValueMax = most(pane);
  if (keep) localStorage.setItem('rag.width.' + name, fits);
};
const now = name => Number(element.querySelector('#split-' + name).ariaValueNow);
for (const name of Object.keys(panes)) set(name, Number(localStorage.getItem('rag.width.' + name)) || panes[name].usual);
element.addEventListener('keydown', e => {
  const name = e.target.dataset?.pane;
  if (!name) return;
  const wider = name === 'left' ? 'ArrowRight' : 'ArrowLeft', slimmer = name === 'left' ? 'ArrowLeft' : 'ArrowRight';
  const to = {[wider]: now(name) + 24, [slimmer]: now(name) - 24, Home: panes[name].low, End: panes[name].high, Enter: panes[name].usual}[e.key];
  if (to === undefined) return;
  e.preventDefault();
  set(name, to, true);
});
element.addEventListener('pointerdown', e => {
  const split = e.target.closest('.split');
  if (!split) return;
  e.preventDefault();
  split.setPointerCapture(e.pointerId);
  const name = split.dataset.pane, move = m => set(name, panes[name].from(m.clientX), true);
  document.body.classList.add('resizing');
  split.addEventListener('pointermove', move);
  split.addEventListener('lostpointercapture', () => {
    split.removeEventListener('pointermove', move);
    document.body.classList.remove('resizing');
  }, {once: true});
});
element.addEventListener('dblclick', e => { if (e.target.dataset.pane) set(e.target.dataset.pane, panes[e.target.dataset.pane].usual, true); });
