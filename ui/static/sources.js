// The sources panel: shows the turn of the chip that was clicked, its card highlighted. Events: 'open' 'gold'
let turn = null, card = null, newest = null;
const find = id => element.querySelector('#' + CSS.escape(id));
const narrow = () => innerWidth <= 1000;
const chips = () => document.querySelectorAll('#chat a[href*="#t"]');
const apply = () => {
  element.querySelectorAll('.turn').forEach(x => x.classList.toggle('on', x.id === turn));
  element.querySelectorAll('.src').forEach(x => x.classList.toggle('on', x.id === card));
  chips().forEach(a => a.getAttribute('href').endsWith('#' + card) ? a.setAttribute('aria-current', 'true') : a.removeAttribute('aria-current'));
};
const show = (id, byKey) => {
  const target = find(id);
  if (!target) return;
  turn = target.closest('.turn').id;
  card = id;
  apply();
  target.closest('details')?.setAttribute('open', '');
  if (narrow()) document.body.classList.add('sheet');
  target.scrollIntoView({block: narrow() ? 'start' : 'nearest', behavior: window.ragPage.calm() ? 'auto' : 'smooth'});
  if (byKey) target.focus({preventScroll: true});
};
watch('value', () => {
  const last = [...element.querySelectorAll('.turn')].at(-1), now = last ? last.id + last.querySelector('.tq').textContent : null;
  if (now !== newest || !(turn && find(turn))) turn = last?.id ?? null, card = null;  // else the reader chose this turn
  if (card && !find(card)) card = null;
  newest = now;
  apply();
});
const closeSheet = () => {
  if (!document.body.classList.contains('sheet')) return false;
  document.body.classList.remove('sheet');
  return true;
};
document.addEventListener('click', e => {
  const chip = e.target.closest?.('#chat a[href*="#t"]');
  if (chip) {  // a hash link would leave the page, because of <base href>
    e.preventDefault();
    e.stopPropagation();
    show(chip.getAttribute('href').split('#')[1], e.detail === 0);
    return;
  }
  if (e.target.closest?.('[data-act=close]')) closeSheet();
  else if (narrow() && !e.target.closest?.('#srccol, #top, #reader, dialog')) closeSheet();
}, true);
// With footnotes, made when it is wanted; the address of the export names the conversation.
const copyMarkdown = async button => {
  const link = document.querySelector('#export a[href$=".md"]'), number = button.closest('.turn').id.slice(1);
  const reply = link ? await fetch(link.getAttribute('href') + '?turn=' + number).catch(() => null) : null;
  button.textContent = reply?.ok && await window.ragPage.copy(await reply.text()) ? 'Copied' : 'Not copied';
  setTimeout(() => { button.textContent = 'Copy as Markdown'; }, 1500);
};
element.addEventListener('click', e => {
  const button = e.target.closest('[data-open]');
  if (button) trigger('open', {id: button.dataset.open});
  const markdown = e.target.closest('[data-markdown]');
  if (markdown) copyMarkdown(markdown);
  const gold = e.target.closest('[data-gold]');
  if (gold) trigger('gold', {turn: Number(gold.dataset.gold)});
});
document.addEventListener('keydown', e => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName) || e.target.isContentEditable;
  if (e.key === '/' && !typing && !e.ctrlKey && !e.metaKey) {
    e.preventDefault();
    document.querySelector('#box textarea')?.focus();
  }
  if (e.key === 'Escape' && !document.querySelector('dialog[open]') && !document.body.classList.contains('reading')) {
    if (!(narrow() && closeSheet())) document.querySelector('#box .stop-button')?.click();
  }
  if (e.altKey && (e.key === 'ArrowDown' || e.key === 'ArrowUp')) {
    const ids = [...element.querySelectorAll('.turn.on > .src')].map(x => x.id);
    if (!ids.length) return;
    e.preventDefault();
    const at = ids.indexOf(card), down = e.key === 'ArrowDown';
    show(ids[at < 0 ? (down ? 0 : ids.length - 1) : (at + (down ? 1 : ids.length - 1)) % ids.length], true);
  }
});
// The chat's own copy button copies the HTML it was given; copy the plain answer with its sources instead.
document.addEventListener('click', async e => {
  const button = e.target.closest?.('#chat .message-buttons button[aria-label^="Cop"]');
  if (!button) return;
  e.preventDefault();
  e.stopPropagation();
  const rows = [...document.querySelectorAll('#chat .message-row')], bar = button.closest('.message-buttons');
  const row = rows.filter(x => x.compareDocumentPosition(bar) & Node.DOCUMENT_POSITION_FOLLOWING).pop();
  const bots = rows.filter(x => x.classList.contains('bot-row'));
  const section = row?.classList.contains('bot-row') ? find('t' + (bots.indexOf(row) + 1)) : null;
  const done = await window.ragPage.copy(section ? section.dataset.copy : row?.querySelector('.q')?.textContent ?? '') ? 'done' : 'failed';
  button.classList.add(done);
  setTimeout(() => button.classList.remove(done), 1500);
}, true);
