// The reader pane: opens when it gets content, at the marked span. Events: 'turn' 'about'
let opener = null;
const close = () => {
  if (!document.body.classList.contains('reading')) return;
  document.body.classList.remove('reading');
  opener?.focus?.();
};
const toMark = () => element.querySelector('#reader-mark')?.scrollIntoView({block: 'center'});
watch('value', () => {
  if (!element.querySelector('.rhead')) return;
  if (!document.body.classList.contains('reading')) opener = document.activeElement;
  document.body.classList.add('reading');
  element.querySelectorAll('.rpage img').forEach(image => { image.removeAttribute('src'); });
  view('text');
  toMark();
  element.querySelector('[data-act=close-reader]')?.focus({preventScroll: true});
});
const view = which => {
  const page = element.querySelector('.rpage'), text = element.querySelector('.rtext');
  element.querySelectorAll('[data-view]').forEach(b => b.setAttribute('aria-pressed', String(b.dataset.view === which)));
  if (!page) return;
  page.hidden = which !== 'page';
  text.hidden = which === 'page';
  const image = page.querySelector('img');
  if (which === 'page' && !image.src) image.src = image.dataset.src;
  if (which === 'text') toMark();
};
element.addEventListener('click', e => {
  const button = e.target.closest('button');
  if (!button) return;
  if (button.dataset.act === 'close-reader') close();
  else if (button.dataset.act === 'about') { close(); trigger('about', {id: button.dataset.id, collection: button.dataset.collection}); }
  else if (button.dataset.view) view(button.dataset.view);
  else if (button.dataset.offset) trigger('turn', {id: button.dataset.key, offset: Number(button.dataset.offset)});
});
document.addEventListener('keydown', e => {
  if (e.key === 'Escape' && document.body.classList.contains('reading')) { e.stopImmediatePropagation(); close(); }
}, true);
